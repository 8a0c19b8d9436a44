#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "events/message.h"

/* CloudEvents 1.0 over Kafka, binary and structured content mode.
 *
 * Binary: headers ce_specversion "1.0", ce_id and ce_source (1..256 bytes), ce_type, ce_time (RFC
 * 3339; absent: the record's timestamp), ce_subject?, content-type application/vnd.msgpack (aliases
 * application/msgpack, application/x-msgpack) or application/json; parameters are allowed.
 * Structured: content-type application/cloudevents+json; attributes, data or data_base64 in the
 * value (datacontenttype of data_base64 as above). A ce_... or content-type header given twice is
 * refused. Source: CloudEvents 1.0.2 and its Kafka protocol binding. */
struct envelope {
    struct text id;
    struct text source;
    struct text type;
    struct text subject;     /* absent when not given */
    int64_t time_us;         /* ce_time, else the record's timestamp */
    struct text traceparent; /* carried to the audit event unchanged; absent when not given */
    struct text tracestate;
    struct text correlation_id; /* ce_correlationid */
    struct text auth_type;      /* ce_authtype */
    struct text auth_id;        /* ce_authid */
};

/* ret_envelope  texts borrowed from the message, or in the arena (structured mode)
 * ret_data      the data as one MessagePack value, bounds checked (events/wire/msgpack_bounds.h):
 * the message's own bytes, or in the arena when it came as JSON ret_envelope->type, id and source
 * are filled as far as they could be read, also on REJECT.
 *
 * REJECT  a header or the body breaks a rule; err->text names the field and the rule, err->code is
 *         "envelope" or "body"
 * FULL    the arena is full */
enum outcome envelope_decode(const struct message *message, struct arena *arena,
                             struct envelope *ret_envelope, struct slice *ret_data,
                             struct err *err);

/* Whether the content-type header says structured mode. */
bool envelope_is_structured(const struct message *message);
