#include "tests/integration/audit_fixture.h"

#include <stdio.h>

#include "repo/audit/audit_partitions.h"
#include "repo/schema/migrate.h"

int audit_fixture_fresh(void **state)
{
    struct pg_fixture *t = *state;
    struct migrate_report report;
    struct err err;

    if (executor_recover(t->db, &err) != OUTCOME_OK)
        return 1;
    pg_fixture_empty_schema(t);
    arena_reset(t->arena);
    return migrate_up(t->db, t->schema, t->arena, &report, &err) == OUTCOME_OK ? 0 : 1;
}

int64_t time_of(const char *text)
{
    int64_t us;
    assert_true(timestamp_parse(text_of(text), &us));
    return us;
}

struct uuid timed_id(int64_t us, uint32_t number)
{
    struct uuid id = audit_bound_of(us);

    id.bytes[6] = 0x80;
    id.bytes[8] = 0x80;
    for (size_t i = 0; i < 4; i++)
        id.bytes[12 + i] = (uint8_t)(number >> (24 - 8 * i));
    return id;
}

struct uuid hashed_id(uint8_t first, uint8_t second, uint32_t number)
{
    struct uuid id = {{first, second, 0x77, 0x77, 0x77, 0x77, 0x57, 0x77, 0x97}};

    for (size_t i = 0; i < 4; i++)
        id.bytes[12 + i] = (uint8_t)(number >> (24 - 8 * i));
    return id;
}

struct audit_event event_of(struct uuid id, int64_t occurred_at_us, int32_t topic_id,
                            int32_t partition, int64_t offset)
{
    return (struct audit_event){
        .id = id,
        .occurred_at_us = occurred_at_us,
        .category = TEXT("key"),
        .action = TEXT("key.used"),
        .outcome = TEXT("applied"),
        .entity = TEXT("k-1"),
        .command_source = TEXT("source"),
        .command_id = topic_id != 0 ? TEXT("c") : TEXT_ABSENT,
        .topic_id = topic_id,
        .partition = partition,
        .offset = offset,
    };
}

enum outcome record_events(struct executor *db, const struct audit_event *events, size_t count,
                           struct arena *arena, struct err *err)
{
    const struct audit_event **list = ARENA_ARRAY(arena, const struct audit_event *, count);
    struct statement statement;
    struct rows rows;

    if (list == NULL)
        return err_no_memory(err, "test");
    for (size_t i = 0; i < count; i++)
        list[i] = &events[i];
    enum outcome outcome = audit_record_prepare(list, count, arena, &statement, err);
    return outcome == OUTCOME_OK ? executor_run(db, &statement, arena, &rows, err) : outcome;
}

void put_command(struct pg_fixture *t, struct uuid id, int64_t occurred_at_us, int32_t topic_id,
                 int32_t partition, int64_t offset)
{
    const struct audit_event event = event_of(id, occurred_at_us, topic_id, partition, offset);
    struct err err;

    ASSERT_OK(record_events(t->db, &event, 1, t->arena, &err));
}

void put(struct pg_fixture *t, struct uuid id, int64_t occurred_at_us)
{
    put_command(t, id, occurred_at_us, 0, 0, 0);
}

const char *home_of(struct pg_fixture *t, const struct uuid *id)
{
    char text[UUID_TEXT_LENGTH + 1];

    uuid_format(id, text);
    return pg_fixture_text(
        t, arena_printf(t->arena,
                        "SELECT coalesce((SELECT c.relname::text FROM auth_audit_events a"
                        " JOIN pg_class c ON c.oid = a.tableoid WHERE a.id = '%s'), 'nowhere')",
                        text));
}

int64_t rows_of(struct pg_fixture *t, const char *table)
{
    return pg_fixture_int(t, arena_printf(t->arena, "SELECT count(*) FROM %s", table));
}

struct audit_change change_of(struct pg_fixture *t, int64_t patience_ms)
{
    return (struct audit_change){.db = t->db, .schema = t->schema, .patience_ms = patience_ms};
}

void convert_by_month(struct pg_fixture *t, const char *first)
{
    const struct audit_change change = change_of(t, 30000);
    const struct audit_conversion conversion = {INTERVAL_MONTH, time_of(first), 3};
    struct audit_converted converted;
    struct err err;

    ASSERT_OK(audit_convert(&change, &conversion, t->arena, &converted, &err));
    assert_true(converted.converted);
}

struct audit_layout layout_of(struct pg_fixture *t)
{
    struct audit_layout layout;
    struct err err;

    ASSERT_OK(audit_layout_read(t->db, t->arena, &layout, &err));
    return layout;
}

const struct audit_partition *interval_of(struct pg_fixture *t, const char *from)
{
    struct audit_layout layout = layout_of(t);
    const struct audit_partition *found = layout.partitions;

    for (size_t i = 0; i < layout.partition_count; i++, found++) {
        if (found->kind == AUDIT_INTERVAL && found->from_us == time_of(from))
            return found;
    }
    fail_msg("no interval from %s", from);
    return NULL;
}
