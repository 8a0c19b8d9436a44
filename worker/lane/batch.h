#pragma once

#include "base/overlap.h"
#include "events/commands.h"
#include "events/dead_letter.h"
#include "events/message.h"
#include "events/topic_policy.h"
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
    ENTRY_DEAD,        /* no valid command, or the store refuses it: to the dead-letter topic */
};

struct entry {
    const struct message *message; /* the source's, until its release */
    int32_t topic_id;
    enum entry_state state;
    struct command command;           /* not when dead from decoding */
    struct command_result result;     /* NEW */
    const struct audit_event *event;  /* NEW, CONFLICT, REDELIVERED */
    struct outgoing_record record;    /* the same, encoded; its topic is the audit topic */
    struct dead_letter_reason reason; /* DEAD */
    bool settled; /* the store has committed: the entry never becomes a dead letter any more */
};

/* How far the Kafka transaction of the batch is. Zero: not begun. */
struct publication {
    bool overlapping; /* the store is committing: every call is made once, none is waited for */
    bool begun;
    size_t produced; /* entries */
    bool offsets_sent;
    enum outcome failed; /* of an overlapping call; handled once the store has committed */
    struct err why;      /* of that */
};

struct lane;

struct batch {
    struct lane *lane;
    struct arena *arena;
    struct entry *entries;
    size_t count;
    struct position *positions; /* behind the last message of each partition */
    struct position *committed; /* room for the group's offsets of the same partitions */
    size_t position_count;
    uint64_t generation; /* of the source when it was polled */
    bool recorded;       /* the store knows the batch's end */
    int races;           /* lost so far, by ranges of more than one message */
    struct publication publication;
    struct overlap overlap; /* run: NULL, or what the store may run while it commits the batch */
};

/* The number of a command topic in the store; 0: it is none of the command topics. */
int32_t topic_id_of(const struct lane *lane, struct text topic);
/* The allow-list of a command topic; NULL: it takes everything. */
const struct topic_policy *policy_of(const struct lane *lane, struct text topic);
/* The other way round of topic_id_of(); "": it is none. */
struct text topic_of(const struct lane *lane, int32_t topic_id);

/* Decodes the messages of one poll into `arena`, which the caller has reset.
 * FULL  the arena is full */
enum outcome batch_decode(struct batch *batch, struct lane *lane, struct arena *arena,
                          const struct message *messages, size_t count, struct err *err);

/* Makes the entry, which is not settled, a dead letter. The message is copied into the lane's
 * scratch arena. false: no memory. */
bool entry_bury(struct lane *lane, struct entry *entry, enum dead_letter_stage stage,
                const char *class_name, const char *message);
