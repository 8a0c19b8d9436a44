#include "tests/bench/plain_store.h"

#include "base/timestamp.h"
#include "events/rejections.h"
#include "repo/pg/pg_binary.h"

enum { PARAMS_MAX = 23 };

bool plain_find_prepare(const struct uuid *audit_id, struct arena *arena,
                        struct statement *ret_statement)
{
    struct params params;

    *ret_statement = (struct statement){
        .name = "plain.find", .sql = "SELECT 1 FROM {schema}.auth_audit_events WHERE id = $1"};
    params_init(&params, arena, 1);
    params_uuid(&params, audit_id);
    return params_done(&params, ret_statement);
}

static void put_list(struct params *params, struct text_list list)
{
    struct buffer literal;

    buffer_init(&literal, params->arena);
    pg_list_literal(&literal, list);
    if (literal.full)
        params->full = true;
    params_text(params, buffer_text(&literal));
}

static bool issue_prepare(const struct key *key, struct arena *arena, struct statement *statement)
{
    struct params params;

    *statement = (struct statement){
        .name = "plain.issue",
        .sql = "INSERT INTO {schema}.auth_keys (id, hash, owner_kind, owner_id, name, description,"
               " created_by_kind, created_by_id, created_at, updated_at, expires_at, status,"
               " scopes, labels, metadata) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
               " 'active', $12::text::text[], $13, $14) ON CONFLICT DO NOTHING"};
    params_init(&params, arena, PARAMS_MAX);
    params_text(&params, key->id);
    params_text(&params, key->hash);
    params_text(&params, key->owner.kind);
    params_text(&params, key->owner.id);
    params_text(&params, key->name);
    params_text(&params, key->description);
    params_text(&params, key->created_by.kind);
    params_text(&params, key->created_by.id);
    params_time(&params, key->created_at_us);
    params_time(&params, key->updated_at_us);
    params_time(&params, key->expires_at_us);
    put_list(&params, key->scopes);
    params_json(&params, key->labels.json);
    params_json(&params, key->metadata.json);
    return params_done(&params, statement);
}

static bool use_prepare(const struct key *key, struct arena *arena, struct statement *statement)
{
    struct params params;

    *statement = (struct statement){
        .name = "plain.use",
        .sql = "UPDATE {schema}.auth_keys SET usage_count = usage_count + 1, last_used_at = $2,"
               " updated_at = $2 WHERE id = $1 AND status = 'active' AND revoked_at IS NULL"
               " AND (expires_at IS NULL OR expires_at > $2)"
               " RETURNING owner_kind, owner_id, usage_count"};
    params_init(&params, arena, 2);
    params_text(&params, key->id);
    params_time(&params, key->last_used_at_us);
    return params_done(&params, statement);
}

static bool user_prepare(const struct user *user, struct arena *arena, struct statement *statement)
{
    struct params params;

    *statement = (struct statement){
        .name = "plain.user",
        .sql = "INSERT INTO {schema}.auth_users (id, authentik_id, email, primary_org_id, "
               "display_name,"
               " avatar_url, labels, metadata) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
               " ON CONFLICT (id) DO UPDATE SET authentik_id = excluded.authentik_id,"
               " email = excluded.email, primary_org_id = excluded.primary_org_id,"
               " display_name = excluded.display_name, avatar_url = excluded.avatar_url,"
               " labels = excluded.labels, metadata = excluded.metadata"
               " RETURNING (xmax = 0)"};
    params_init(&params, arena, 8);
    params_text(&params, user->id);
    params_text(&params, user->authentik_id);
    params_text(&params, user->email);
    params_text(&params, user->primary_org_id);
    params_text(&params, user->display_name);
    params_text(&params, user->avatar_url);
    params_json(&params, user->labels.json);
    params_json(&params, user->metadata.json);
    return params_done(&params, statement);
}

bool plain_write_prepare(const struct command *command, struct arena *arena,
                         struct statement *ret_statement)
{
    if (command->type->kind == KEY_ISSUE_COMMAND)
        return issue_prepare(command->record, arena, ret_statement);
    if (command->type->kind == KEY_RECORD_USAGE_COMMAND)
        return use_prepare(command->record, arena, ret_statement);
    if (command->type->kind == USER_UPSERT)
        return user_prepare(command->record, arena, ret_statement);
    return false;
}

static bool use_read(const struct key *key, const struct rows *rows, struct arena *arena,
                     struct command_result *result)
{
    struct pg_row row;
    struct key *after = ARENA_NEW(arena, struct key);

    if (after == NULL)
        return false;
    if (rows->row_count == 0) {
        result->rejection = REJECTION_KEY_NOT_FOUND;
        return true;
    }
    pg_row_init(&row, rows, 0, arena);
    *after = *key;
    after->owner.kind = pg_row_text(&row);
    after->owner.id = pg_row_text(&row);
    after->usage_count = pg_row_int(&row);
    result->row = after;
    return row.problem == NULL;
}

bool plain_write_read(const struct command *command, const struct rows *rows, struct arena *arena,
                      struct command_result *ret_result)
{
    struct pg_row row;

    *ret_result = (struct command_result){.created = true};
    if (command->type->kind == KEY_ISSUE_COMMAND) {
        if (rows->affected == 0)
            ret_result->rejection = REJECTION_KEY_DUPLICATE_ID;
        return true;
    }
    if (command->type->kind == KEY_RECORD_USAGE_COMMAND)
        return use_read(command->record, rows, arena, ret_result);
    pg_row_init(&row, rows, 0, arena);
    ret_result->created = pg_row_bool(&row);
    return row.problem == NULL;
}

bool plain_record_prepare(const struct audit_event *event, struct arena *arena,
                          struct statement *ret_statement)
{
    struct params params;

    *ret_statement = (struct statement){
        .name = "plain.record",
        .sql = "INSERT INTO {schema}.auth_audit_events (id, occurred_at, category, action, "
               "outcome, actor,"
               " subject, resource, metadata, correlation_id, error, entity, command_source,"
               " command_id, command_type, command_digest, topic_id, \"partition\", \"offset\","
               " traceparent, tracestate, carried_correlation_id) VALUES ($1, $2, $3, $4, $5, $6,"
               " $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)"};
    params_init(&params, arena, PARAMS_MAX);
    params_uuid(&params, &event->id);
    params_time(&params, event->occurred_at_us);
    params_text(&params, event->category);
    params_text(&params, event->action);
    params_text(&params, event->outcome);
    params_json(&params, event->actor.json);
    params_json(&params, event->subject.json);
    params_json(&params, event->resource.json);
    params_json(&params, event->metadata.json);
    params_text(&params, event->correlation_id);
    params_json(&params, event->error.json);
    params_text(&params, event->entity);
    params_text(&params, event->command_source);
    params_text(&params, event->command_id);
    params_text(&params, event->command_type);
    params_uuid(&params, &event->command_digest);
    params_int4(&params, event->topic_id);
    params_int4(&params, event->partition);
    params_int8(&params, event->offset);
    params_text(&params, event->traceparent);
    params_text(&params, event->tracestate);
    params_text(&params, event->carried_correlation_id);
    return params_done(&params, ret_statement);
}
