#pragma once

#include "base/arena.h"
#include "base/overlap.h"
#include "base/records.h"
#include "events/commands.h"

/* Port: the database as the protocol sees it. One transaction at a time: find ... apply ... record.
 * Real: worker/apply/store_repo.h. Used by the lane's thread only.
 *
 * Outcomes of every operation but recover():
 *   RETRY   connection lost, deadlock ...: recover(), then begin again with find()
 *   REJECT  the database refuses a row of a command; explain() tells whether another lane may have
 *           got there first
 *   FATAL   wrong schema, no permission: recover() may help once somebody has mended it
 * After a failed record() it is unknown whether the transaction committed: find() tells. */

struct store {
    const struct store_ops *ops;
};

/* How far the audit events of a partition are known to be published: the offset behind the last
 * one. reset: the store lowers it too (the topic was made anew); otherwise it only grows.
 *
 * recorded: the end of the newest batch whose last transaction committed in the store; 0: not
 * known. It only grows. The group never commits more with our mark: a store that says less was set
 * back. */
struct published_offset {
    int32_t topic_id;
    int32_t partition;
    int64_t offset;
    bool reset;
    int64_t recorded;
};

/* What a REJECT of the store means, for the row's own command. */
enum { REFUSAL_REASON_BYTES = 128 };
struct refusal {
    bool may_be_race;                  /* another lane may have written the row first: run again */
    bool once_more;                    /* the same, but a second failure of that kind is no race */
    char reason[REFUSAL_REASON_BYTES]; /* for the dead letter: no value of the row */
};

/* An operator's request to move a partition past records that can't be read. */
struct skip_request {
    struct text topic;
    int32_t partition;
    int64_t from; /* where the partition stood when it was asked for */
    int64_t to;   /* the first offset that is read again */
    struct text reason;
    bool unread; /* before anything of it is read: for records that end the process */
    int64_t requested_us;
};

struct store_ops {
    /* Begins a transaction when none is open and looks up the audit events with these ids.
     * ret_events  one per id; NULL: not known */
    enum outcome (*find)(struct store *self, const struct uuid *ids, size_t count,
                         struct arena *arena, const struct audit_event **ret_events,
                         struct err *err);

    /* Applies commands, as if one by one in this order. ret_results: one each. */
    enum outcome (*apply)(struct store *self, const struct command *const *commands, size_t count,
                          struct arena *arena, struct command_result *ret_results, struct err *err);

    /* Records the events and the published offsets, and commits. Either count may be 0.
     * overlap  runs after COMMIT is sent and before its answer is read; of many events it runs once
     *          before that, with `runs_again`, while their rows are being sent. Whether the store
     *          commits is not known at either time */
    enum outcome (*record)(struct store *self, const struct audit_event *const *events,
                           size_t event_count, const struct published_offset *offsets,
                           size_t offset_count, struct overlap *overlap, struct arena *arena,
                           struct err *err);

    /* Rolls back what is open, connects again where the connection is broken. One attempt. Never
     * REJECT. */
    enum outcome (*recover)(struct store *self, struct err *err);

    /* Runs the statements of such a command for no row at all, and commits: whether the store works
     * but for its row. Outside a transaction. */
    enum outcome (*probe)(struct store *self, const struct command *command, struct arena *arena,
                          struct err *err);

    /* What `err`, a REJECT of this store, means. Asks nobody. */
    void (*explain)(const struct store *self, const struct err *err, struct refusal *ret_refusal);

    /* Outside a transaction: small integers for topic names, and what is stored of the
     * given partitions: `offset` and `recorded`. */
    enum outcome (*intern)(struct store *self, const struct text *names, size_t count,
                           struct arena *arena, int32_t *ret_topic_ids, struct err *err);
    enum outcome (*load_published)(struct store *self, struct published_offset *offsets,
                                   size_t count, struct arena *arena, struct err *err);

    /* Outside a transaction: what operators asked to skip, in `arena`, and that one is done with.
     */
    enum outcome (*load_skips)(struct store *self, struct arena *arena,
                               const struct skip_request **ret_skips, size_t *ret_count,
                               struct err *err);
    enum outcome (*delete_skip)(struct store *self, const struct skip_request *skip,
                                struct arena *arena, struct err *err);
};

static inline enum outcome store_find(struct store *store, const struct uuid *ids, size_t count,
                                      struct arena *arena, const struct audit_event **ret_events,
                                      struct err *err)
{
    return store->ops->find(store, ids, count, arena, ret_events, err);
}

static inline enum outcome store_apply(struct store *store, const struct command *const *commands,
                                       size_t count, struct arena *arena,
                                       struct command_result *ret_results, struct err *err)
{
    return store->ops->apply(store, commands, count, arena, ret_results, err);
}

static inline enum outcome store_record(struct store *store,
                                        const struct audit_event *const *events, size_t event_count,
                                        const struct published_offset *offsets, size_t offset_count,
                                        struct overlap *overlap, struct arena *arena,
                                        struct err *err)
{
    return store->ops->record(store, events, event_count, offsets, offset_count, overlap, arena,
                              err);
}

static inline enum outcome store_recover(struct store *store, struct err *err)
{
    return store->ops->recover(store, err);
}

static inline struct refusal store_explain(const struct store *store, const struct err *err)
{
    struct refusal refusal;

    store->ops->explain(store, err, &refusal);
    return refusal;
}

static inline enum outcome store_intern(struct store *store, const struct text *names, size_t count,
                                        struct arena *arena, int32_t *ret_topic_ids,
                                        struct err *err)
{
    return store->ops->intern(store, names, count, arena, ret_topic_ids, err);
}

static inline enum outcome store_load_published(struct store *store,
                                                struct published_offset *offsets, size_t count,
                                                struct arena *arena, struct err *err)
{
    return store->ops->load_published(store, offsets, count, arena, err);
}

static inline enum outcome store_load_skips(struct store *store, struct arena *arena,
                                            const struct skip_request **ret_skips,
                                            size_t *ret_count, struct err *err)
{
    return store->ops->load_skips(store, arena, ret_skips, ret_count, err);
}

static inline enum outcome store_delete_skip(struct store *store, const struct skip_request *skip,
                                             struct arena *arena, struct err *err)
{
    return store->ops->delete_skip(store, skip, arena, err);
}

static inline enum outcome store_probe(struct store *store, const struct command *command,
                                       struct arena *arena, struct err *err)
{
    return store->ops->probe(store, command, arena, err);
}
