#include "repo/seed.h"

#include "repo/audit/audit_repo.h"
#include "repo/entitlements_repo.h"
#include "repo/groups_repo.h"
#include "repo/keys_repo.h"
#include "repo/memberships_repo.h"
#include "repo/orgs_repo.h"
#include "repo/seed_records.h"
#include "repo/users_repo.h"

/* Inputs of one batch; a user makes at most two memberships, an org three groups. */
enum { BATCH = 500, RECORDS_MAX = 3 * BATCH, ARENA_BYTES = 32 * 1024 * 1024 };

struct seeder {
    struct executor *db;
    struct seed_maker maker;
    struct seed_report report;
};

/* --- batches ----------------------------------------------------------------------------- */

typedef enum outcome batch_function(struct seeder *self, size_t first, size_t count,
                                    struct err *err);

static enum outcome in_transaction(struct seeder *self, batch_function *batch, size_t first,
                                   size_t count, struct err *err)
{
    struct rows rows;
    struct err ignored;

    enum outcome outcome = executor_run(self->db, &executor_begin, self->maker.arena, &rows, err);
    if (outcome == OUTCOME_OK)
        outcome = batch(self, first, count, err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run(self->db, &executor_commit, self->maker.arena, &rows, err);
    if (outcome != OUTCOME_OK)
        (void)executor_recover(self->db, &ignored); /* the first failure is the one to tell */
    return outcome;
}

static enum outcome in_batches(struct seeder *self, batch_function *batch, size_t total,
                               struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    for (size_t first = 0; outcome == OUTCOME_OK && first < total; first += BATCH) {
        size_t count = total - first < BATCH ? total - first : BATCH;
        arena_reset(self->maker.arena);
        outcome = in_transaction(self, batch, first, count, err);
    }
    return outcome;
}

/* Counts the answers of an upsert. */
static enum outcome tally(const enum write_result *results, size_t count,
                          struct seed_count *counted, const char *what, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (results[i] == WRITE_DUPLICATE)
            return err_set(err, OUTCOME_REJECT, "",
                           "%s: a unique value of the seed belongs to another row", what);
        counted->rows++;
        counted->created += results[i] == WRITE_CREATED ? 1 : 0;
    }
    return OUTCOME_OK;
}

static enum outcome made(const struct seeder *self, struct err *err)
{
    return self->maker.full ? err_no_memory(err, "seed") : OUTCOME_OK;
}

/* --- users, orgs, groups ----------------------------------------------------------------- */

static enum outcome users_batch(struct seeder *self, size_t first, size_t count, struct err *err)
{
    struct user users[BATCH];
    const struct user *pointers[BATCH];
    enum write_result results[BATCH];

    for (size_t i = 0; i < count; i++) {
        seed_user(&self->maker, first + i, &users[i]);
        pointers[i] = &users[i];
    }
    enum outcome outcome = made(self, err);
    if (outcome == OUTCOME_OK)
        outcome = users_upsert(self->db, pointers, count, self->maker.arena, results, err);
    if (outcome == OUTCOME_OK)
        outcome = tally(results, count, &self->report.users, "users", err);
    return outcome;
}

static enum outcome orgs_batch(struct seeder *self, size_t first, size_t count, struct err *err)
{
    struct org orgs[BATCH];
    const struct org *pointers[BATCH];
    enum write_result results[BATCH];

    for (size_t i = 0; i < count; i++) {
        seed_org(&self->maker, first + i, &orgs[i]);
        pointers[i] = &orgs[i];
    }
    enum outcome outcome = made(self, err);
    if (outcome == OUTCOME_OK)
        outcome = orgs_upsert(self->db, pointers, count, self->maker.arena, results, err);
    if (outcome == OUTCOME_OK)
        outcome = tally(results, count, &self->report.orgs, "orgs", err);
    return outcome;
}

static enum outcome groups_batch(struct seeder *self, size_t first, size_t count, struct err *err)
{
    struct group groups[RECORDS_MAX];
    const struct group *pointers[RECORDS_MAX];
    enum write_result results[RECORDS_MAX];

    for (size_t i = 0; i < count * SEED_GROUPS_PER_ORG; i++) {
        seed_group(&self->maker, first + i / SEED_GROUPS_PER_ORG, i % SEED_GROUPS_PER_ORG,
                   &groups[i]);
        pointers[i] = &groups[i];
    }
    enum outcome outcome = made(self, err);
    if (outcome == OUTCOME_OK)
        outcome = groups_upsert(self->db, pointers, count * SEED_GROUPS_PER_ORG, self->maker.arena,
                                results, err);
    if (outcome == OUTCOME_OK)
        outcome = tally(results, count * SEED_GROUPS_PER_ORG, &self->report.groups, "groups", err);
    return outcome;
}

/* --- memberships and entitlements, by user or org ---------------------------------------- */

static enum outcome memberships_batch(struct seeder *self, size_t first, size_t count,
                                      struct err *err)
{
    struct membership memberships[RECORDS_MAX];
    const struct membership *pointers[RECORDS_MAX];
    enum write_result results[RECORDS_MAX];
    size_t found = 0;

    for (size_t i = 0; i < count * SEED_MEMBERSHIPS_PER_USER; i++) {
        pointers[found] = &memberships[found];
        if (seed_membership(&self->maker, first + i / SEED_MEMBERSHIPS_PER_USER,
                            i % SEED_MEMBERSHIPS_PER_USER, &memberships[found]))
            found++;
    }
    enum outcome outcome = made(self, err);
    if (outcome == OUTCOME_OK)
        outcome = memberships_upsert(self->db, pointers, found, self->maker.arena, results, err);
    if (outcome == OUTCOME_OK)
        outcome = tally(results, found, &self->report.memberships, "memberships", err);
    return outcome;
}

static enum outcome write_entitlements(struct seeder *self, const struct entitlement *entitlements,
                                       size_t count, struct err *err)
{
    const struct entitlement *pointers[RECORDS_MAX];
    enum write_result results[RECORDS_MAX];

    for (size_t i = 0; i < count; i++)
        pointers[i] = &entitlements[i];
    enum outcome outcome = made(self, err);
    if (outcome == OUTCOME_OK)
        outcome = entitlements_upsert(self->db, pointers, count, self->maker.arena, results, err);
    if (outcome == OUTCOME_OK)
        outcome = tally(results, count, &self->report.entitlements, "entitlements", err);
    return outcome;
}

static enum outcome org_entitlements_batch(struct seeder *self, size_t first, size_t count,
                                           struct err *err)
{
    struct entitlement entitlements[RECORDS_MAX];
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        found += seed_org_entitlement(&self->maker, first + i, &entitlements[found]) ? 1 : 0;
    return write_entitlements(self, entitlements, found, err);
}

static enum outcome user_entitlements_batch(struct seeder *self, size_t first, size_t count,
                                            struct err *err)
{
    struct entitlement entitlements[RECORDS_MAX];
    size_t found = 0;

    for (size_t i = first; i < first + count; i++) {
        found += seed_user_entitlement(&self->maker, i, &entitlements[found]) ? 1 : 0;
        found += seed_membership_entitlement(&self->maker, i, &entitlements[found]) ? 1 : 0;
    }
    return write_entitlements(self, entitlements, found, err);
}

/* --- keys -------------------------------------------------------------------------------- */

/* Usages and revocations happen to the keys that this run issued: to do them again would count them
 * again. They share the transaction, so a key is never there without them. */
static enum outcome use_keys(struct seeder *self, size_t first, size_t count,
                             const enum write_result *issued, struct err *err)
{
    struct key keys[BATCH];
    struct key_usage usages[BATCH];
    struct key_usage_result results[BATCH];
    int64_t used_at_us[BATCH][SEED_USAGES_MAX];
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        if (issued[i] != WRITE_CREATED)
            continue;
        size_t times = seed_key_usages(&self->maker, first + i, used_at_us[used]);
        if (times == 0)
            continue;
        seed_key(&self->maker, first + i, &keys[used]);
        usages[used] = (struct key_usage){keys[used].id, used_at_us[used], times};
        results[used] = (struct key_usage_result){
            .results = ARENA_ARRAY(self->maker.arena, enum write_result, times)};
        self->maker.full = self->maker.full || results[used].results == NULL;
        used++;
    }
    enum outcome outcome = made(self, err);
    if (outcome == OUTCOME_OK && used > 0)
        outcome = keys_record_usage(self->db, usages, used, self->maker.arena, results, err);
    return outcome;
}

static enum outcome revoke_keys(struct seeder *self, size_t first, size_t count,
                                const enum write_result *issued, struct err *err)
{
    struct key revocations[BATCH];
    const struct key *pointers[BATCH];
    size_t found = 0;

    for (size_t i = 0; i < count; i++) {
        pointers[found] = &revocations[found];
        if (issued[i] == WRITE_CREATED &&
            seed_key_revocation(&self->maker, first + i, &revocations[found]))
            found++;
    }
    enum outcome outcome = made(self, err);
    if (outcome != OUTCOME_OK || found == 0)
        return outcome;

    enum write_result results[BATCH];
    struct ref owners[BATCH];
    return keys_revoke(self->db, pointers, found, self->maker.arena, results, owners, err);
}

static enum outcome keys_batch(struct seeder *self, size_t first, size_t count, struct err *err)
{
    struct key keys[BATCH];
    const struct key *pointers[BATCH];
    enum write_result results[BATCH];

    for (size_t i = 0; i < count; i++) {
        seed_key(&self->maker, first + i, &keys[i]);
        pointers[i] = &keys[i];
    }
    enum outcome outcome = made(self, err);
    if (outcome == OUTCOME_OK)
        outcome = keys_issue(self->db, pointers, count, self->maker.arena, results, err);
    if (outcome == OUTCOME_OK)
        outcome = use_keys(self, first, count, results, err);
    if (outcome == OUTCOME_OK)
        outcome = revoke_keys(self, first, count, results, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    for (size_t i = 0; i < count; i++) {
        if (results[i] == WRITE_DUPLICATE_HASH)
            results[i] = WRITE_DUPLICATE; /* a key of somebody else's */
    }
    return tally(results, count, &self->report.keys, "keys", err);
}

/* --- audit events ------------------------------------------------------------------------ */

/* Records those that are not there yet. */
static enum outcome write_events(struct seeder *self, const struct audit_event *events,
                                 size_t count, struct err *err)
{
    struct arena *arena = self->maker.arena;
    struct uuid ids[BATCH];
    const struct audit_event *known[BATCH];
    const struct audit_event *fresh[BATCH];
    size_t fresh_count = 0;
    struct statement statement;
    struct statement lookups[AUDIT_FIND_STATEMENTS];
    struct rows found[AUDIT_FIND_STATEMENTS];
    struct rows rows;
    size_t lookup_count;

    for (size_t i = 0; i < count; i++)
        ids[i] = events[i].id;
    enum outcome outcome = made(self, err);
    if (outcome == OUTCOME_OK)
        outcome = audit_find_prepare(ids, count, arena, lookups, &lookup_count, err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run_all(self->db, lookups, lookup_count, arena, found, err);
    if (outcome == OUTCOME_OK)
        outcome = audit_find_read(found, lookup_count, ids, count, arena, known, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    for (size_t i = 0; i < count; i++) {
        if (known[i] == NULL)
            fresh[fresh_count++] = &events[i];
    }
    if (fresh_count > 0)
        outcome = audit_record_prepare(fresh, fresh_count, arena, &statement, err);
    if (outcome == OUTCOME_OK && fresh_count > 0)
        outcome = executor_run(self->db, &statement, arena, &rows, err);
    if (outcome == OUTCOME_OK) {
        self->report.audit_events.rows += count;
        self->report.audit_events.created += fresh_count;
    }
    return outcome;
}

typedef void event_maker(struct seed_maker *maker, size_t index, struct audit_event *ret_event);

static enum outcome events_batch(struct seeder *self, event_maker *make_event, size_t first,
                                 size_t count, struct err *err)
{
    struct audit_event events[BATCH];

    for (size_t i = 0; i < count; i++)
        make_event(&self->maker, first + i, &events[i]);
    return write_events(self, events, count, err);
}

static enum outcome user_events_batch(struct seeder *self, size_t first, size_t count,
                                      struct err *err)
{
    return events_batch(self, seed_user_event, first, count, err);
}

static enum outcome org_events_batch(struct seeder *self, size_t first, size_t count,
                                     struct err *err)
{
    return events_batch(self, seed_org_event, first, count, err);
}

static enum outcome key_events_batch(struct seeder *self, size_t first, size_t count,
                                     struct err *err)
{
    return events_batch(self, seed_key_event, first, count, err);
}

/* --- all --------------------------------------------------------------------------------- */

enum outcome seed_run(struct executor *db, const struct seed_options *options,
                      struct seed_report *ret_report, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(ARENA_BYTES);
    struct seeder self = {.db = db, .maker = {.options = *options, .arena = arena}};
    const struct {
        batch_function *batch;
        size_t total;
    } steps[] = {
        {orgs_batch, options->orgs},
        {groups_batch, options->orgs},
        {users_batch, options->users},
        {memberships_batch, options->users},
        {org_entitlements_batch, options->orgs},
        {user_entitlements_batch, options->users},
        {keys_batch, options->keys},
        {user_events_batch, options->users},
        {org_events_batch, options->orgs},
        {key_events_batch, options->keys},
    };

    if (arena == NULL)
        return err_no_memory(err, "seed");
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        enum outcome outcome = in_batches(&self, steps[i].batch, steps[i].total, err);
        if (outcome != OUTCOME_OK)
            return err_prefix(err, "seed");
    }
    *ret_report = self.report;
    return OUTCOME_OK;
}
