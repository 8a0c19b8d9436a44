#include "worker/apply/bindings.h"

#include "repo/entitlements_repo.h"
#include "repo/groups_repo.h"
#include "repo/memberships_repo.h"
#include "repo/orgs_repo.h"
#include "repo/users_repo.h"

#define APPLY(prepare_name, finish_name, row_, touch_name)                                         \
    .prepare = prepare_##prepare_name, .finish = finish_##finish_name, .row = (row_),              \
    .touch = touch_##touch_name
#define REJECTED(answer_, code_, message_, field_) answer_,
#define REJECTIONS(...) .rejected = {__VA_ARGS__}
#define NOT_REJECTED .rejected = {WRITE_OPEN}
#define COMMAND(kind_, name_, record_, event_, apply_, rejections_) [kind_] = {apply_, rejections_},

const struct binding bindings[COMMAND_KIND_COUNT] = {
#include "events/commands.def"
};

/* --- what the functions share ------------------------------------------------------------------
 */

struct text record_id(const struct command *command)
{
    const struct field_spec *id = record_field(command->type->record, "id");
    return *(const struct text *)field_of_const(id, command->record);
}

const void **records_of(const struct group_run *run)
{
    const void **records = ARENA_ARRAY(run->arena, const void *, run->count);
    for (size_t i = 0; records != NULL && i < run->count; i++)
        records[i] = run->commands[i]->record;
    return records;
}

struct text *ids_of(const struct group_run *run)
{
    struct text *ids = ARENA_ARRAY(run->arena, struct text, run->count);
    for (size_t i = 0; ids != NULL && i < run->count; i++)
        ids[i] = record_id(run->commands[i]);
    return ids;
}

static const char *rejection_of(const struct command_type *type, enum write_result answer)
{
    for (size_t i = 0; i < COMMAND_REJECTIONS_MAX && type->rejections[i].code != NULL; i++) {
        if (bindings[type->kind].rejected[i] == answer)
            return type->rejections[i].code;
    }
    return NULL;
}

enum outcome answer_read(const struct command_type *type, enum write_result answer,
                         struct command_result *ret_result, struct err *err)
{
    const char *rejection = answer != NOT_A_WRITE ? rejection_of(type, answer) : NULL;

    *ret_result = (struct command_result){.rejection = rejection};
    if (rejection != NULL)
        return OUTCOME_OK;
    ret_result->created = answer == WRITE_CREATED;
    if (answer == WRITE_CREATED || answer == WRITE_UPDATED || answer == WRITE_REMOVED)
        return OUTCOME_OK;
    return err_set(err, OUTCOME_FATAL, "", "apply %s: unexpected answer %d", type->name,
                   (int)answer);
}

/* Nothing but an answer per command. */
enum outcome finish_plain(struct group_run *run, struct err *err)
{
    for (size_t i = 0; i < run->count; i++) {
        enum outcome outcome = answer_read(run->type, run->answers[i], run->results[i], err);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return OUTCOME_OK;
}

/* run->rows: the records that were removed, as structs of the type's record. */
enum outcome finish_removal(struct group_run *run, struct err *err)
{
    size_t size = run->type->record->size;

    for (size_t i = 0; i < run->count; i++) {
        enum outcome outcome = answer_read(run->type, run->answers[i], run->results[i], err);
        if (outcome != OUTCOME_OK)
            return outcome;
        if (run->answers[i] == WRITE_REMOVED)
            run->results[i]->row = (const char *)run->rows + i * size;
    }
    return OUTCOME_OK;
}

/* --- identity ----------------------------------------------------------------------------------
 */

enum outcome prepare_user_upsert(struct group_run *run, struct err *err)
{
    const void **users = records_of(run);
    if (users == NULL)
        return err_no_memory(err, "apply users");
    return users_upsert_prepare((const struct user *const *)users, run->count, run->arena,
                                run->answers, &run->write, err);
}

enum outcome prepare_org_upsert(struct group_run *run, struct err *err)
{
    const void **orgs = records_of(run);
    if (orgs == NULL)
        return err_no_memory(err, "apply orgs");
    return orgs_upsert_prepare((const struct org *const *)orgs, run->count, run->arena,
                               run->answers, &run->write, err);
}

enum outcome prepare_group_upsert(struct group_run *run, struct err *err)
{
    const void **groups = records_of(run);
    if (groups == NULL)
        return err_no_memory(err, "apply groups");
    return groups_upsert_prepare((const struct group *const *)groups, run->count, run->arena,
                                 run->answers, &run->write, err);
}

enum outcome prepare_membership_upsert(struct group_run *run, struct err *err)
{
    const void **memberships = records_of(run);
    if (memberships == NULL)
        return err_no_memory(err, "apply memberships");
    return memberships_upsert_prepare((const struct membership *const *)memberships, run->count,
                                      run->arena, run->answers, &run->write, err);
}

enum outcome prepare_entitlement_upsert(struct group_run *run, struct err *err)
{
    const void **entitlements = records_of(run);
    if (entitlements == NULL)
        return err_no_memory(err, "apply entitlements");
    return entitlements_upsert_prepare((const struct entitlement *const *)entitlements, run->count,
                                       run->arena, run->answers, &run->write, err);
}

enum outcome prepare_group_delete(struct group_run *run, struct err *err)
{
    struct text *ids = ids_of(run);
    run->rows = ARENA_ARRAY(run->arena, struct group, run->count);
    if (ids == NULL || run->rows == NULL)
        return err_no_memory(err, "apply group deletions");
    return groups_delete_prepare(ids, run->count, run->arena, run->answers, run->rows, &run->write,
                                 err);
}

enum outcome prepare_membership_remove(struct group_run *run, struct err *err)
{
    struct text *ids = ids_of(run);
    run->rows = ARENA_ARRAY(run->arena, struct membership, run->count);
    if (ids == NULL || run->rows == NULL)
        return err_no_memory(err, "apply membership removals");
    return memberships_remove_prepare(ids, run->count, run->arena, run->answers, run->rows,
                                      &run->write, err);
}

enum outcome prepare_entitlement_remove(struct group_run *run, struct err *err)
{
    struct text *ids = ids_of(run);
    run->rows = ARENA_ARRAY(run->arena, struct entitlement, run->count);
    if (ids == NULL || run->rows == NULL)
        return err_no_memory(err, "apply entitlement removals");
    return entitlements_remove_prepare(ids, run->count, run->arena, run->answers, run->rows,
                                       &run->write, err);
}

/* --- audit -------------------------------------------------------------------------------------
 */

/* An audit.append has no row but its audit event: no statement is made. */
enum outcome prepare_nothing(struct group_run *run, struct err *err)
{
    (void)run;
    (void)err;
    return OUTCOME_OK;
}

enum outcome finish_audit_append(struct group_run *run, struct err *err)
{
    (void)err;
    for (size_t i = 0; i < run->count; i++) {
        *run->results[i] =
            (struct command_result){.rejection = audit_entry_rejection(run->commands[i]->record)};
    }
    return OUTCOME_OK;
}

/* --- the check of the table --------------------------------------------------------------------
 */

static enum outcome wrong(const struct command_type *type, const char *what, struct err *err)
{
    return err_set(err, OUTCOME_FATAL, "", "command %s: %s", type->name, what);
}

enum outcome binding_check(const struct command_type *type, const struct binding *binding,
                           struct err *err)
{
    if (binding->prepare == NULL || binding->finish == NULL || binding->touch == NULL)
        return wrong(type, "its row lacks a function", err);
    if ((binding->row == RESOURCE_NONE) != type->as_given)
        return wrong(type, "its row lacks the resource that its id names", err);
    for (size_t i = 0; i < COMMAND_REJECTIONS_MAX && type->rejections[i].code != NULL; i++) {
        for (size_t j = 0; j < i; j++) {
            if (binding->rejected[i] == binding->rejected[j] && binding->rejected[i] != NOT_A_WRITE)
                return wrong(type, "one answer has two rejections", err);
        }
    }
    return OUTCOME_OK;
}

enum outcome bindings_check(struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    for (size_t i = 0; i < COMMAND_KIND_COUNT && outcome == OUTCOME_OK; i++)
        outcome = binding_check(&command_types[i], &bindings[i], err);
    return outcome;
}
