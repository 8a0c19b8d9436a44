#pragma once

#include "base/err.h"
#include "base/slice.h"

/* What must hold before a received value is decoded, whatever the fields mean:
 *   one MessagePack value and nothing behind it, at most MSGPACK_MAX_BYTES long
 *   no length or count larger than the bytes left
 *   arrays and maps nested at most MSGPACK_MAX_DEPTH deep, the outermost counted
 *   every text well-formed UTF-8 without U+0000
 *   map keys are texts, and no map holds one twice
 * Binary, extensions, NaN and integers past INT64_MAX may pass here: a field that the contract does
 * not know is ignored with whatever it holds. Where a value is stored,
 * events/wire/msgpack_to_json.h refuses them.
 *
 * One pass over the bytes without recursion. */

enum {
    MSGPACK_MAX_DEPTH = 64,
    /* Kafka takes records of 1 MiB, librdkafka sends a million bytes, by default: the audit event
     * that repeats what a body holds must fit too, with its own fields and headers. */
    MSGPACK_MAX_BYTES = 960 * 1024,
};

#define MSGPACK_TOO_LONG "longer than 983040 bytes"

struct msgpack_fault {
    const char *rule;  /* "nested deeper than 64" */
    struct text field; /* key of the outermost map under which it lies; absent: none. It is the
                          sender's text: never show it unless the contract declares it */
};

/* ret_fault  set on REJECT
 *
 * REJECT  a rule is broken
 * FULL    no memory */
enum outcome msgpack_check(struct slice bytes, struct msgpack_fault *ret_fault);
