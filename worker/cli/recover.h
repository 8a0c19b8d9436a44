#pragma once

#include "events/commands.h"
#include "repo/protocol_repo.h"
#include "repo/recovery_repo.h"
#include "worker/cli/dead_letters.h"
#include "worker/lane/source.h"

/* Brings a database that was set back level with the group again: what it lacks is applied as the
 * published events say, and nothing is published. For `recover`.
 *
 * Memory grows with the commands that are to be recovered, and their events. */

/* A range of commands, and what the topic still holds of it. */
struct lost_range {
    struct recovery_range range;
    const char *topic;
    int64_t first; /* of the log, as it is now */
};

struct lost_ranges {
    struct lost_range *items;
    size_t count;
};

enum command_fate {
    FATE_WAITING,     /* not recorded yet */
    FATE_KNOWN,       /* the database holds its event, or that of the same command elsewhere */
    FATE_APPLIED,     /* recorded and applied */
    FATE_REJECTED,    /* recorded, as its event says: rejected */
    FATE_DIFFERING,   /* recorded as published, but the database answers otherwise */
    FATE_DUPLICATE,   /* of another command of the ranges */
    FATE_DEAD_LETTER, /* it has a dead letter and no event */
    FATE_UNANSWERED,  /* it has neither: the brokers lost the answer, or retention removed it */
};
enum { FATE_COUNT = FATE_UNANSWERED + 1 };

struct lost_command {
    struct message message;
    bool decoded;
    struct command command;
    struct uuid conflict_id;   /* of the event, had another command its id first */
    struct audit_event *event; /* as published, with digest and coordinates; NULL: none was found */
    struct slice value;        /* of its record */
    enum command_fate fate;
    struct text answer; /* of the database, as JSON; DIFFERING */
};

struct recovery {
    const struct config *config;
    struct executor *db;
    struct arena *arena; /* all that is remembered */
    struct lost_ranges ranges;
    struct lost_command **commands; /* in the order in which they are applied */
    size_t count;
    size_t capacity;
};

/* Every partition of the command topics, with what the group has committed and what is stored. */
struct partitions {
    struct position *committed;
    struct stored_offset *stored;
    size_t count;
    int32_t *topic_ids; /* one a topic; 0: the database has no number for it */
};
enum outcome recover_ask_partitions(struct recovery *self, struct letter_topics topics,
                                    bool may_write, struct partitions *ret_partitions,
                                    struct err *err);

/* What a database that was set back lacks, also what an earlier call has begun with. store:
 * remembers it in the database, so that a call after a crash goes on with the same; else nothing is
 * written. */
enum outcome recover_find_ranges(struct recovery *self, struct letter_topics topics, bool store,
                                 struct err *err);

/* Reads the commands of the ranges, their events and their dead letters.
 * topics  of the configuration: the command topics, then their dead-letter topics, then the audit
 *         topic */
enum outcome recover_read(struct recovery *self, struct letter_topics topics, struct err *err);

/* Records and applies them: RETRY also for an interruption; what is done stays done. */
enum outcome recover_apply(struct recovery *self, struct err *err);

/* Publishes the stored events since the time that the audit topic lacks, in the order of the audit
 * log. dry_run: only counts them. */
struct audit_recovery {
    int64_t since_us;
    bool dry_run;
    uint64_t stored;    /* events of the worker since then */
    uint64_t published; /* of those: the topic lacked them */
};
enum outcome recover_audit(struct recovery *self, struct letter_topics topics,
                           struct audit_recovery *audit, struct err *err);
