#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "events/message.h"

/* A record as one line of JSON, for people and scripts:
 *   {"topic", "partition", "offset", "timestamp", "key", "headers", "data"}
 * timestamp: RFC 3339, null when there is none. Keys, header values and data are texts where they
 * are UTF-8, else {"base64": "..."}; null where absent. headers: an object; a name that comes more
 * than once has an array. The binary headers of a dead letter (kafka_dlt-original-partition,
 * -offset, -timestamp) are numbers. data: MessagePack and JSON bodies decoded, as
 * events/wire/msgpack_to_json.h shows them.
 *
 * ret_line  in the arena, no newline
 *
 * FULL   the arena is full */
enum outcome message_to_json(const struct message *message, struct arena *arena,
                             struct text *ret_line, struct err *err);
