#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "events/message.h"

/* A dead letter read back, and the way back to its topic of origin.
 *
 * A dead-letter topic holds letters (events/dead_letter.h) and marks. A mark says that a letter of
 * the same partition was redriven; it is published in the transaction that redrove it, with the
 * header catalyst-dlq-redriven "<offset of the letter>". Behind its letter in the same partition
 * it cannot be deleted by retention before the letter is. */

struct letter {
    struct text topic; /* of the letter */
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* of the record that failed; -1: none */
    struct text origin_topic;
    int32_t origin_partition; /* -1: not told */
    int64_t origin_offset;    /* -1: not told */
    struct text stage;        /* "decode", "apply", or as the header says; absent: not told */
    struct text class_name;
    struct text reason;
    int64_t redrive_count; /* how often it went back before it failed here; -1: unreadable */
    bool redacted;
    bool truncated;
    struct text changed; /* catalyst-dlq-changed: what of the record is not as received; absent: all
                            is */
    bool redriven;       /* by a mark; false from letter_read() */
};

/* Reads what the headers say; texts are borrowed from the message. false: the record is no letter
 * of the worker (a mark, or something foreign). */
bool letter_read(const struct message *message, struct letter *ret_letter);

/* Whether the record is a mark, and of which offset of its partition. */
bool letter_mark_read(const struct message *message, int64_t *ret_offset);

/* TOPIC:PARTITION:OFFSET of the letter, and of the record that failed; NULL: the arena is full. */
char *letter_name(const struct letter *letter, struct arena *arena);
char *letter_origin(const struct letter *letter, struct arena *arena);

/* Why it cannot go back to `origin`; NULL: it can. */
const char *letter_fault(const struct letter *letter, struct text origin, int64_t max_redrives);

/* The record as the worker received it, also where timestamp and key of the letter were changed:
 * key, value, timestamp and headers, without the error headers, plus catalyst-redrive-count   how
 * often it went back, this time included catalyst-redrive-origin  TOPIC:PARTITION:OFFSET where it
 * failed first
 *
 * ret_record  borrowed from the message, or in the arena
 * FULL        the arena is full */
enum outcome letter_restore(const struct message *message, const struct letter *letter,
                            struct arena *arena, struct outgoing_record *ret_record,
                            struct err *err);

/* The mark of a letter. FULL: the arena is full */
enum outcome letter_mark(const struct letter *letter, struct arena *arena,
                         struct outgoing_record *ret_record, struct err *err);

/* ce_source of the events that letter_audit() makes. */
#define LETTER_AUDIT_SOURCE "catalyst-worker/dlq"

/* The audit.append command that reports the redrive. Its id is a function of the letter's
 * coordinates and the count.
 *
 * REJECT  the coordinates or the reason are too long for an audit event
 * FULL    the arena is full */
enum outcome letter_audit(const struct letter *letter, struct text topic, int64_t now_us,
                          struct arena *arena, struct outgoing_record *ret_record, struct err *err);
