#pragma once

#include "base/arena.h"
#include "base/slice.h"

/* Redacts one body, JSON or MessagePack, whatever its content type says. Private to redaction. */

#define REDACTED_TEXT "[redacted]"

/* Which fields of a well-formed body are redacted. A damaged body loses everything from the first
 * name on in each case. */
enum redacted_fields {
    REDACT_NO_FIELD,  /* another known type */
    REDACT_TOP,       /* key.issue: all but what lies below metadata and labels */
    REDACT_ANY_DEPTH, /* unknown type */
};

struct redacted_body {
    struct slice bytes; /* what came, or in the arena */
    bool redacted;
    bool
        well_formed; /* one JSON object, or one MessagePack map whose keys are texts, and no more */
    bool full;       /* the arena is */
};

struct redacted_body redact_body(struct slice bytes, enum redacted_fields fields,
                                 struct arena *arena);
