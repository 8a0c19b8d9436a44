#pragma once

#include "events/commands.h"
#include "events/dead_letter.h"
#include "events/message.h"
#include "worker/lane/source.h"

/* The messages of one poll on their way through the protocol. Everything lives in the batch arena.
 */

enum entry_state {
    ENTRY_NEW,      /* a command not seen before */
    ENTRY_CONFLICT, /* (source, id) known with another content: answered by an event of its own */
    ENTRY_REDELIVERED, /* applied before from this very offset: its stored event is published again
                        */
    ENTRY_PUBLISHED,   /* the same, and its event is known to be published: nothing to do */
    ENTRY_DUPLICATE,   /* upstream sent it twice: nothing to do */
    ENTRY_DEAD,        /* no valid command, or PostgreSQL refuses it: to the dead-letter topic */
};

struct entry {
    const struct message *message; /* the source's, until its release */
    int32_t topic_id;
    enum entry_state state;
    struct command command;           /* not when dead from decoding */
    struct command_result result;     /* NEW */
    const struct audit_event *event;  /* NEW, CONFLICT, REDELIVERED */
    struct outgoing record;           /* the same, encoded; its topic is the audit topic */
    struct dead_letter_reason reason; /* DEAD */
};

struct batch {
    struct arena *arena;
    struct entry *entries;
    size_t count;
    struct position *positions; /* behind the last message of each partition */
    size_t position_count;
    uint64_t generation; /* of the source when it was polled */
};

/* The number of a command topic; 0: none of them. */
int32_t topic_id_of(struct text topic, const struct text *topics, const int32_t *topic_ids,
                    size_t topic_count);

/* Decodes the messages of one poll. `arena` has been reset by the caller.
 *
 * topics, topic_ids  the command topics and their numbers in the store
 *
 * FATAL  the arena is full */
enum outcome batch_decode(struct batch *batch, struct arena *arena, const struct message *messages,
                          size_t count, const struct text *topics, const int32_t *topic_ids,
                          size_t topic_count, struct err *err);

/* Makes the entry a dead letter; the message is copied. false: the arena is full. */
bool entry_bury(struct entry *entry, struct arena *arena, enum dead_letter_stage stage,
                const char *class_name, const char *message);
