#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "events/commands.h"

/* A command to publish: from the JSON line of an operator to the record that Kafka carries.
 *
 * Line: {"type", "id", "source", "subject"?, "time"?, "traceparent"?, "tracestate"?,
 * "correlationid"?, "authtype"?, "authid"?, "data": {...}}, all but data text; null counts as not
 * given; another member is refused. Record: CloudEvents binary mode, the data as canonical
 * MessagePack, key = the entity (data.id; of an audit.append resource.id, else subject.id; else the
 * subject; else none). It has passed command_decode(): what is wrong with a line shows here, with
 * the same words.
 *
 * topic        the caller's; may be absent
 * time         absent in the line: no ce_time, so that the record's timestamp counts
 * ret_record   in the arena
 * ret_command  what the worker will read, in the arena; its envelope.time_us is that of the line,
 *              else `now_us`. NULL: not wanted
 *
 * REJECT  not such a line, or not a valid command: field and rule, never the value
 * FULL    the arena is full */
enum outcome command_message_from_json(struct text line, struct text topic, int64_t now_us,
                                       struct arena *arena, struct outgoing_record *ret_record,
                                       struct command *ret_command, struct err *err);

/* The same from its parts. */
struct command_parts {
    struct text type;
    struct text id;
    struct text source;
    struct text subject; /* this and the next ones: absent when not given */
    struct text time;    /* RFC 3339 */
    struct text traceparent;
    struct text tracestate;
    struct text correlation_id;
    struct text auth_type;
    struct text auth_id;
    struct slice data; /* MessagePack */
};

enum outcome command_message_encode(const struct command_parts *parts, struct text topic,
                                    int64_t now_us, struct arena *arena,
                                    struct outgoing_record *ret_record, struct command *ret_command,
                                    struct err *err);
