#include "worker/apply/store_repo.h"

#include <stdio.h>

#include "repo/audit/audit_repo.h"
#include "repo/pg/refused_row.h"
#include "repo/pg/sqlstate.h"
#include "repo/protocol_repo.h"
#include "repo/skip_repo.h"

static struct store_repo *self_of(struct store *port)
{
    return (struct store_repo *)port;
}

/* Below this many events COPY costs more than it saves. */
enum { COPY_MIN = 32 };

static enum outcome find(struct store *port, const struct uuid *ids, size_t count,
                         struct arena *arena, const struct audit_event **ret_events,
                         struct err *err)
{
    struct store_repo *self = self_of(port);
    struct statement statements[2 + AUDIT_FIND_STATEMENTS] = {executor_begin};
    struct rows rows[2 + AUDIT_FIND_STATEMENTS];
    size_t first = self->in_transaction ? 0 : 1;
    bool look = count >= COPY_MIN;
    size_t lookups;

    if (look)
        statements[first++] = row_triggers_look;

    enum outcome outcome = audit_find_prepare(ids, count, arena, &statements[first], &lookups, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    self->in_transaction = true;
    outcome = executor_run_all(self->applier.db, statements, first + lookups, arena, rows, err);
    if (outcome == OUTCOME_OK && look)
        outcome = row_triggers_read(&rows[first - 1], &self->applier.triggers, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    return audit_find_read(&rows[first], lookups, ids, count, arena, ret_events, err);
}

static enum outcome apply(struct store *port, const struct command *const *commands, size_t count,
                          struct arena *arena, struct command_result *ret_results, struct err *err)
{
    return apply_commands(&self_of(port)->applier, commands, count, arena, ret_results, err);
}

/* What the events leave for the last round trip: a statement, or nothing. */
static enum outcome record_events(struct store_repo *self, const struct audit_event *const *events,
                                  size_t count, struct overlap *overlap, struct arena *arena,
                                  struct statement *ret_statement, size_t *ret_count,
                                  struct err *err)
{
    *ret_count = 0;
    if (count == 0)
        return OUTCOME_OK;
    if (self->in_transaction && count >= COPY_MIN && !self->no_copy &&
        !self->applier.triggers.audit) {
        overlap_set_runs_again(overlap, true); /* COMMIT is still to come */
        enum outcome outcome =
            audit_record_copy(self->applier.db, events, count, overlap, arena, err);
        overlap_set_runs_again(overlap, false);
        self->no_copy = outcome == OUTCOME_FATAL;
        return outcome;
    }
    *ret_count = 1;
    return audit_record_prepare(events, count, arena, ret_statement, err);
}

static enum outcome save_offsets(const struct published_offset *offsets, size_t count,
                                 struct arena *arena, struct statement *ret_statement,
                                 struct err *err)
{
    struct stored_offset *stored = ARENA_ARRAY(arena, struct stored_offset, count);

    if (stored == NULL)
        return err_no_memory(err, "save published offsets");
    for (size_t i = 0; i < count; i++)
        stored[i] = (struct stored_offset){.topic_id = offsets[i].topic_id,
                                           .partition = offsets[i].partition,
                                           .offset = offsets[i].offset,
                                           .reset = offsets[i].reset,
                                           .recorded = offsets[i].recorded};
    return published_offsets_save_prepare(stored, count, arena, ret_statement, err);
}

static enum outcome record(struct store *port, const struct audit_event *const *events,
                           size_t event_count, const struct published_offset *offsets,
                           size_t offset_count, struct overlap *overlap, struct arena *arena,
                           struct err *err)
{
    struct store_repo *self = self_of(port);
    struct statement statements[4];
    struct rows rows[4];
    size_t count = 0;
    size_t recording;

    if (!self->in_transaction && event_count + offset_count == 0)
        return OUTCOME_OK;
    if (!self->in_transaction)
        statements[count++] = executor_begin;
    enum outcome outcome = record_events(self, events, event_count, overlap, arena,
                                         &statements[count], &recording, err);
    count += recording;
    if (outcome == OUTCOME_OK && offset_count > 0)
        outcome = save_offsets(offsets, offset_count, arena, &statements[count++], err);
    if (outcome != OUTCOME_OK)
        return outcome;
    statements[count++] = executor_commit;
    outcome =
        executor_run_overlapped(self->applier.db, statements, count, overlap, arena, rows, err);
    if (outcome == OUTCOME_OK)
        self->in_transaction = false;
    else if (outcome == OUTCOME_FATAL)
        self->no_copy = false;
    else if (outcome == OUTCOME_REJECT)
        audit_record_explain(err);
    return outcome;
}

static enum outcome probe(struct store *port, const struct command *command, struct arena *arena,
                          struct err *err)
{
    struct store_repo *self = self_of(port);
    struct statement statements[2];
    struct rows rows[2];

    enum outcome outcome = executor_run(self->applier.db, &executor_begin, arena, rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    self->in_transaction = true;
    outcome = apply_nothing(&self->applier, command, arena, err);
    if (outcome == OUTCOME_OK)
        outcome = audit_record_prepare(NULL, 0, arena, &statements[0], err);
    if (outcome != OUTCOME_OK)
        return outcome;
    statements[1] = executor_commit;
    outcome = executor_run_all(self->applier.db, statements, 2, arena, rows, err);
    if (outcome == OUTCOME_OK)
        self->in_transaction = false;
    return outcome;
}

static enum outcome recover(struct store *port, struct err *err)
{
    struct store_repo *self = self_of(port);
    enum outcome outcome = executor_recover(self->applier.db, err);
    if (outcome == OUTCOME_OK)
        self->in_transaction = false;
    return outcome;
}

static void explain(const struct store *port, const struct err *err, struct refusal *ret_refusal)
{
    (void)port;
    const char *reason = refused_row_reason(err);
    *ret_refusal = (struct refusal){
        .may_be_race = strcmp(err->code, sqlstate_unique_violation) == 0,
        .once_more = reason != NULL,
    };
    if (reason != NULL)
        snprintf(ret_refusal->reason, sizeof(ret_refusal->reason), "refused by PostgreSQL: %s",
                 reason);
    else
        snprintf(ret_refusal->reason, sizeof(ret_refusal->reason),
                 "refused by PostgreSQL with SQLSTATE %.5s", err->code);
}

static enum outcome intern(struct store *port, const struct text *names, size_t count,
                           struct arena *arena, int32_t *ret_topic_ids, struct err *err)
{
    return topics_intern(self_of(port)->applier.db, names, count, arena, ret_topic_ids, err);
}

static enum outcome load_published(struct store *port, struct published_offset *offsets,
                                   size_t count, struct arena *arena, struct err *err)
{
    struct stored_offset *stored = ARENA_ARRAY(arena, struct stored_offset, count);

    if (stored == NULL)
        return err_no_memory(err, "load published offsets");
    for (size_t i = 0; i < count; i++)
        stored[i] = (struct stored_offset){.topic_id = offsets[i].topic_id,
                                           .partition = offsets[i].partition};
    enum outcome outcome =
        published_offsets_load(self_of(port)->applier.db, stored, count, arena, err);
    for (size_t i = 0; outcome == OUTCOME_OK && i < count; i++) {
        offsets[i].offset = stored[i].offset;
        offsets[i].recorded = stored[i].recorded;
    }
    return outcome;
}

static enum outcome load_skips(struct store *port, struct arena *arena,
                               const struct skip_request **ret_skips, size_t *ret_count,
                               struct err *err)
{
    const struct stored_skip *stored;
    size_t count;

    enum outcome outcome =
        skip_requests_list(self_of(port)->applier.db, arena, &stored, &count, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    struct skip_request *skips = ARENA_ARRAY(arena, struct skip_request, count);
    if (skips == NULL)
        return err_no_memory(err, "load skip requests");
    for (size_t i = 0; i < count; i++)
        skips[i] = (struct skip_request){.topic = stored[i].topic,
                                         .partition = stored[i].partition,
                                         .from = stored[i].from,
                                         .to = stored[i].to,
                                         .reason = stored[i].reason,
                                         .unread = stored[i].unread,
                                         .requested_us = stored[i].requested_us};
    *ret_skips = skips;
    *ret_count = count;
    return OUTCOME_OK;
}

static enum outcome delete_skip(struct store *port, const struct skip_request *skip,
                                struct arena *arena, struct err *err)
{
    const struct stored_skip stored = {
        .topic = skip->topic, .partition = skip->partition, .from = skip->from, .to = skip->to};

    return skip_request_delete(self_of(port)->applier.db, &stored, arena, err);
}

static const struct store_ops ops = {.find = find,
                                     .apply = apply,
                                     .record = record,
                                     .recover = recover,
                                     .probe = probe,
                                     .explain = explain,
                                     .intern = intern,
                                     .load_published = load_published,
                                     .load_skips = load_skips,
                                     .delete_skip = delete_skip};

void store_repo_init(struct store_repo *store, struct executor *db)
{
    *store = (struct store_repo){.port.ops = &ops, .applier.db = db};
}
