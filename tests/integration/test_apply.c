/* Set-wise apply does what the commands one by one would do: random batches over a few ids, where
 * commands collide in every way, applied both ways to the same state on a real PostgreSQL. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "events/audit_message.h"
#include "tests/integration/pg_fixture.h"
#include "worker/apply/apply.h"

enum { BATCHES = 150, BATCH_MAX = 40, IDS = 4 };

static uint64_t random_state = 20261124;

static unsigned below(unsigned bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % bound);
}

static const char *user_body(struct arena *arena)
{
    return arena_printf(arena,
                        "{\"id\":\"u%u\",\"authentikId\":\"a\",\"email\":\"m%u@example.com\"}",
                        below(IDS), below(1000));
}

static const char *org_body(struct arena *arena)
{
    return arena_printf(
        arena,
        "{\"id\":\"o%u\",\"slug\":\"s%u\",\"status\":\"active\",\"ownerUserId\":\"u\","
        "\"profile\":{\"name\":\"n%u\"}}",
        below(IDS), below(IDS), below(1000));
}

static const char *group_body(struct arena *arena)
{
    return arena_printf(arena, "{\"id\":\"g%u\",\"orgId\":\"o\",\"slug\":\"s%u\",\"name\":\"n\"}",
                        below(IDS), below(1000));
}

static const char *created_at(struct arena *arena)
{
    return below(2) == 0
               ? ""
               : arena_printf(arena, ",\"createdAt\":\"2025-01-01T00:00:%02uZ\"", below(60));
}

static const char *membership_body(struct arena *arena)
{
    return arena_printf(arena,
                        "{\"id\":\"m%u\",\"userId\":\"u%u\",\"orgId\":\"o\",\"role\":\"r\","
                        "\"groupIds\":[\"g%u\",\"a,\\\"b\\\\\"]%s}",
                        below(IDS), below(1000), below(9), created_at(arena));
}

static const char *entitlement_body(struct arena *arena)
{
    return arena_printf(arena,
                        "{\"id\":\"e%u\",\"subjectKind\":\"user\",\"subjectId\":\"u%u\","
                        "\"entitlement\":\"x%u\"%s}",
                        below(IDS), below(2), below(3), created_at(arena));
}

static const char *id_body(struct arena *arena, char prefix)
{
    return arena_printf(arena, "{\"id\":\"%c%u\"}", prefix, below(IDS));
}

static const char *issue_body(struct arena *arena)
{
    const char *expires =
        below(3) == 0 ? arena_printf(arena, ",\"expiresAt\":\"2026-01-01T00:00:%02uZ\"", below(60))
                      : "";
    return arena_printf(
        arena,
        "{\"id\":\"k%u\",\"hash\":\"h%u\",\"owner\":{\"kind\":\"user\",\"id\":\"u\"},"
        "\"scopes\":[\"a\",\"b\",\"a\"]%s}",
        below(IDS), below(IDS + 2), expires);
}

static const char *usage_body(struct arena *arena)
{
    return arena_printf(arena, "{\"id\":\"k%u\",\"usedAt\":\"2026-01-01T00:00:%02uZ\"}",
                        below(IDS + 1), below(60));
}

static const char *random_body(struct arena *arena, enum command_kind *ret_kind)
{
    static const enum command_kind often[] = {KEY_RECORD_USAGE_COMMAND, KEY_RECORD_USAGE_COMMAND,
                                              ORG_UPSERT, ENTITLEMENT_UPSERT, ENTITLEMENT_REMOVE};
    unsigned draw = below(COMMAND_KIND_COUNT + 5);
    enum command_kind kind =
        draw < COMMAND_KIND_COUNT ? (enum command_kind)draw : often[draw - COMMAND_KIND_COUNT];

    *ret_kind = kind;
    switch (kind) {
    case USER_UPSERT:
        return user_body(arena);
    case ORG_UPSERT:
        return org_body(arena);
    case GROUP_UPSERT:
        return group_body(arena);
    case GROUP_DELETE:
        return id_body(arena, 'g');
    case MEMBERSHIP_UPSERT:
        return membership_body(arena);
    case MEMBERSHIP_REMOVE:
        return id_body(arena, 'm');
    case ENTITLEMENT_UPSERT:
        return entitlement_body(arena);
    case ENTITLEMENT_REMOVE:
        return id_body(arena, 'e');
    case KEY_ISSUE_COMMAND:
        return issue_body(arena);
    case KEY_RECORD_USAGE_COMMAND:
        return usage_body(arena);
    case KEY_REVOKE_COMMAND:
        return id_body(arena, 'k');
    case AUDIT_APPEND_COMMAND:
    case COMMAND_KIND_COUNT:
        break;
    }
    return below(4) == 0 ? "{\"category\":\" \",\"action\":\"x\"}"
                         : "{\"category\":\"c\",\"action\":\"x\"}";
}

static struct header header_of(const char *name, const char *value)
{
    return (struct header){text_of(name), slice_of_text(text_of(value))};
}

static struct command *command_of(struct arena *arena, enum command_kind kind, const char *body,
                                  unsigned serial)
{
    struct header *headers = ARENA_ARRAY(arena, struct header, 6);
    struct command *command = ARENA_NEW(arena, struct command);
    struct message *message = ARENA_NEW(arena, struct message);
    struct err err = {0};

    headers[0] = header_of("ce_specversion", "1.0");
    headers[1] = header_of("ce_id", arena_printf(arena, "%u", serial));
    headers[2] = header_of("ce_source", "/test");
    headers[3] = header_of("ce_type", command_types[kind].name);
    headers[4] = header_of("ce_time", arena_printf(arena, "2026-02-01T00:00:%02uZ", serial % 60));
    headers[5] = header_of("content-type", "application/json");
    *message = (struct message){.topic = TEXT("t"),
                                .timestamp_ms = 1,
                                .value = slice_of_text(text_of(body)),
                                .headers = headers,
                                .header_count = 6};
    if (command_decode(message, arena, command, &err) != OUTCOME_OK)
        fail_msg("%s: %s", body, err.text);
    return command;
}

static struct command *random_command(struct arena *arena, unsigned serial)
{
    enum command_kind kind;
    const char *body = random_body(arena, &kind);

    return command_of(arena, kind, body, serial);
}

/* The audit events of the results, one after the other: everything a result can tell. */
static struct slice events_of(struct arena *arena, const struct command *const *commands,
                              const struct command_result *results, size_t count)
{
    struct buffer all;
    struct err err = {0};

    buffer_init(&all, arena);
    for (size_t i = 0; i < count; i++) {
        struct audit_event event;
        struct outgoing_record record;
        assert_int_equal(command_event(commands[i], &results[i], arena, &event, &err), OUTCOME_OK);
        assert_int_equal(audit_message_encode(&event, TEXT("audit"), arena, &record, &err),
                         OUTCOME_OK);
        buffer_append(&all, record.value.data, record.value.length);
    }
    assert_false(all.full);
    return buffer_slice(&all);
}

static const char *tables_of(struct pg_fixture *fixture)
{
    return pg_fixture_text(fixture,
                           "SELECT concat_ws(E'\\n',"
                           " (SELECT json_agg(t ORDER BY id)::text FROM auth_users t),"
                           " (SELECT json_agg(t ORDER BY id)::text FROM auth_orgs t),"
                           " (SELECT json_agg(t ORDER BY id)::text FROM auth_groups t),"
                           " (SELECT json_agg(t ORDER BY id)::text FROM auth_memberships t),"
                           " (SELECT json_agg(t ORDER BY id)::text FROM auth_entitlements t),"
                           " (SELECT json_agg(t ORDER BY id)::text FROM auth_keys t))");
}

static void run(struct pg_fixture *fixture, const struct statement *statement)
{
    struct rows rows;
    struct err err = {0};

    if (executor_run(fixture->db, statement, fixture->arena, &rows, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
}

static void apply(struct applier *applier, struct pg_fixture *fixture,
                  const struct command *const *commands, size_t count,
                  struct command_result *results)
{
    struct err err = {0};

    if (apply_commands(applier, commands, count, fixture->arena, results, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
}

/* Applies them together and takes it back, then one by one, and compares. */
static void check_commands(struct pg_fixture *fixture, struct applier *applier, const char *label,
                           const struct command *const *commands, size_t count)
{
    struct command_result *together = ARENA_ARRAY(fixture->arena, struct command_result, count);
    struct command_result *alone = ARENA_ARRAY(fixture->arena, struct command_result, count);

    run(fixture, &executor_begin);
    apply(applier, fixture, commands, count, together);
    const char *tables_together = tables_of(fixture);
    run(fixture, &executor_rollback);
    run(fixture, &executor_begin);
    for (size_t i = 0; i < count; i++)
        apply(applier, fixture, &commands[i], 1, &alone[i]);
    const char *tables_alone = tables_of(fixture);
    run(fixture, &executor_commit);

    struct slice events_together = events_of(fixture->arena, commands, together, count);
    struct slice events_alone = events_of(fixture->arena, commands, alone, count);
    for (size_t i = 0; i < count; i++) {
        const char *a = together[i].rejection != NULL ? together[i].rejection : "applied";
        const char *b = alone[i].rejection != NULL ? alone[i].rejection : "applied";
        if (strcmp(a, b) != 0 || together[i].created != alone[i].created)
            fail_msg("%s, command %zu, %s: together %s, alone %s", label, i,
                     commands[i]->type->name, a, b);
    }
    assert_string_equal(tables_together, tables_alone);
    assert_int_equal(events_together.length, events_alone.length);
    assert_memory_equal(events_together.data, events_alone.data, events_alone.length);
}

static void test_apply_commands__does_what_the_commands_one_by_one_would_do(void **state)
{
    struct pg_fixture *fixture = *state;
    struct applier applier = {.db = fixture->db};

    for (unsigned batch = 0; batch < BATCHES; batch++) {
        const struct command *commands[BATCH_MAX];
        size_t count = 1 + below(BATCH_MAX);

        arena_reset(fixture->arena);
        const char *label = arena_printf(fixture->arena, "batch %u", batch);
        for (size_t i = 0; i < count; i++)
            commands[i] = random_command(fixture->arena, batch * BATCH_MAX + (unsigned)i);
        check_commands(fixture, &applier, label, commands, count);
    }
}

/* Enough keys for COPY. Numbers from `first`; every `again`th has the hash of the one before it, of
 * which more than one wave is made. 0: none. */
enum { ISSUES = 200 };

static void issues(struct arena *arena, const struct command **commands, unsigned first,
                   unsigned again)
{
    for (unsigned i = 0; i < ISSUES; i++) {
        unsigned number = first + ISSUES - i;
        bool repeats = again > 0 && i % again == again - 1;
        const char *body = arena_printf(
            arena,
            "{\"id\":\"n%u\",\"hash\":\"nh%u\",\"owner\":{\"kind\":\"user\",\"id\":\"u\"},"
            "\"scopes\":[\"a\",\"b\",\"a\"],\"labels\":{\"n\":%u}}",
            number, repeats ? number + 1 : number, number);
        commands[i] = command_of(arena, KEY_ISSUE_COMMAND, body, number);
    }
}

static void test_apply_commands__many_keys_are_copied(void **state)
{
    struct pg_fixture *fixture = *state;
    struct applier applier = {.db = fixture->db};
    const struct command *commands[ISSUES];

    issues(fixture->arena, commands, 1000, 0);
    check_commands(fixture, &applier, "all new", commands, ISSUES);
    issues(fixture->arena, commands, 2000, 10);
    check_commands(fixture, &applier, "some hashes twice", commands, ISSUES);

    assert_int_equal(applier.copy_holdoff, 0);
}

static void test_apply_commands__after_a_duplicate_key_the_next_ones_are_not_copied(void **state)
{
    struct pg_fixture *fixture = *state;
    struct applier applier = {.db = fixture->db};
    const struct command *commands[ISSUES];

    issues(fixture->arena, commands, 1000, 0);
    check_commands(fixture, &applier, "all new", commands, ISSUES);
    issues(fixture->arena, commands, 1000 + ISSUES - 1, 0);
    check_commands(fixture, &applier, "one is there", commands, ISSUES);
    assert_int_equal(applier.copy_holdoff, 100);
    issues(fixture->arena, commands, 2000, 0);
    check_commands(fixture, &applier, "all new again", commands, ISSUES);
    assert_int_equal(applier.copy_holdoff, 99);

    applier.copy_holdoff = 0;
    issues(fixture->arena, commands, 1000, 0);
    check_commands(fixture, &applier, "all are there", commands, ISSUES);
    assert_int_equal(applier.copy_holdoff, 100);
}

/* Kinds before and behind the keys go in trips of their own. */
static void test_apply_commands__a_copy_stands_between_other_kinds(void **state)
{
    struct pg_fixture *fixture = *state;
    struct applier applier = {.db = fixture->db};
    const struct command *commands[3 * ISSUES];

    for (unsigned round = 0; round < 3; round++) {
        arena_reset(fixture->arena);
        issues(fixture->arena, commands, 1000 * (round / 2), 0);
        for (unsigned i = ISSUES; i < 3 * ISSUES; i++)
            commands[i] = random_command(fixture->arena, round * 3 * ISSUES + i);
        check_commands(fixture, &applier, "mixed", commands, 3 * (size_t)ISSUES);
        assert_int_equal(applier.copy_holdoff, round == 1 ? 100 : round == 2 ? 99 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_apply_commands__does_what_the_commands_one_by_one_would_do,
                               pg_fixture_clean),
        cmocka_unit_test_setup(test_apply_commands__many_keys_are_copied, pg_fixture_clean),
        cmocka_unit_test_setup(
            test_apply_commands__after_a_duplicate_key_the_next_ones_are_not_copied,
            pg_fixture_clean),
        cmocka_unit_test_setup(test_apply_commands__a_copy_stands_between_other_kinds,
                               pg_fixture_clean),
    };

    return cmocka_run_group_tests(tests, pg_fixture_setup, pg_fixture_teardown);
}
