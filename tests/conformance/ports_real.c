#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "repo/pg/pg_binary.h"
#include "tests/conformance/ports.h"
#include "tests/integration/kafka/kafka_fixture.h"
#include "tests/integration/pg_fixture.h"
#include "worker/apply/store_repo.h"
#include "worker/kafka/sink_kafka.h"
#include "worker/kafka/source_kafka.h"

/* Topics are made when a test first speaks of them: the tests of the store need none. */
struct real {
    bool impatient;
    bool has_topics;
    struct rig rig;
    struct source_kafka *sources[WORLD_LANES];
    struct sink_kafka *sinks[WORLD_LANES];
    struct sink_kafka *twins[WORLD_LANES];
    struct executor_pq *connections[WORLD_LANES];
    struct store_repo stores[WORLD_LANES];
};

/* One schema for all tests, made with the first that needs it. */
static struct pg_fixture *database;

static void drop_database(void)
{
    void *state = database;
    pg_fixture_teardown(&state);
}

static const char *const IMPATIENT[] = {"session.timeout.ms=2000", "max.poll.interval.ms=2500",
                                        "transaction.timeout.ms=1500", "heartbeat.interval.ms=200",
                                        NULL};
static const char *const PATIENT[] = {"heartbeat.interval.ms=200", NULL};

static void setup(struct world *world, bool impatient)
{
    struct real *real = calloc(1, sizeof(*real));

    assert_non_null(real);
    real->impatient = impatient;
    world->own = real;
}

static struct real *with_topics(struct world *world)
{
    struct real *real = world->own;

    if (real->has_topics)
        return real;
    rig_setup(&real->rig, WORLD_PARTITIONS, real->impatient ? IMPATIENT : PATIENT);
    real->has_topics = true;
    world->commands = text_of(real->rig.commands);
    world->audit = text_of(real->rig.audit);
    return real;
}

static void teardown(struct world *world)
{
    struct real *real = world->own;

    for (int i = 0; i < WORLD_LANES; i++) {
        if (real->twins[i] != NULL)
            sink_kafka_free(real->twins[i]);
        if (real->sinks[i] != NULL)
            sink_kafka_free(real->sinks[i]);
        if (real->sources[i] != NULL)
            source_kafka_free(real->sources[i]);
        if (real->connections[i] != NULL)
            executor_pq_free(real->connections[i]);
    }
    if (real->has_topics)
        rig_teardown(&real->rig);
    free(real);
}

static void fill(struct world *world, int partition, int count)
{
    struct real *real = with_topics(world);
    rig_fill(&real->rig, real->rig.commands, partition, "value", count);
}

static struct ends start(struct world *world, int lane)
{
    struct real *real = with_topics(world);
    struct err err = {0};

    if (source_kafka_new(&real->rig.config, lane, &real->sources[lane], &err) != OUTCOME_OK ||
        sink_kafka_new(&real->rig.config, lane, real->sources[lane], 0, &real->sinks[lane], &err) !=
            OUTCOME_OK)
        fail_msg("%s", err.text);
    return (struct ends){source_kafka_port(real->sources[lane]),
                         sink_kafka_port(real->sinks[lane])};
}

static struct sink *twin(struct world *world, int lane)
{
    struct real *real = world->own;
    struct err err = {0};

    if (sink_kafka_new(&real->rig.config, lane, real->sources[lane], 0, &real->twins[lane], &err) !=
        OUTCOME_OK)
        fail_msg("%s", err.text);
    return sink_kafka_port(real->twins[lane]);
}

static void fall_silent(struct world *world, int lane)
{
    (void)world;
    (void)lane;
}

static const char *visible(struct world *world)
{
    struct real *real = world->own;
    struct record records[16];
    size_t count = rig_read(&real->rig, real->rig.audit, records, 16);
    const char *all = "";

    for (size_t i = 0; i < count; i++)
        all = arena_printf(world->arena, "%s%s%s", all, i > 0 ? " " : "", records[i].value);
    return all;
}

static void empty_database(void)
{
    void *state = NULL;

    if (database == NULL) {
        assert_int_equal(pg_fixture_setup(&state), 0);
        database = state;
        atexit(drop_database);
        /* what the simulated store refuses */
        pg_fixture_sql(database, "ALTER TABLE auth_users ADD CONSTRAINT refused"
                                 " CHECK (email <> 'v99@example.com')");
    }
    state = database;
    assert_int_equal(pg_fixture_clean(&state), 0);
}

static struct store *connect_store(struct world *world, int lane)
{
    struct real *real = world->own;

    if (real->connections[0] == NULL && real->connections[1] == NULL)
        empty_database();
    real->connections[lane] = pg_fixture_connect(database, 30000);
    store_repo_init(&real->stores[lane], executor_pq_port(real->connections[lane]));
    return &real->stores[lane].port;
}

/* Waits until the server has ended it. */
static void cut(struct world *world, int lane)
{
    struct real *real = world->own;
    struct executor *db = executor_pq_port(real->connections[lane]);
    const struct statement ask = {.sql = "SELECT pg_backend_pid()::text"};
    struct rows rows;
    struct err err;

    assert_int_equal(executor_run(db, &ask, world->arena, &rows, &err), OUTCOME_OK);
    struct pg_row row;
    pg_row_init(&row, &rows, 0, world->arena);
    struct text pid = pg_row_text(&row);
    assert_int_equal(
        pg_fixture_int(database,
                       arena_printf(world->arena, "SELECT pg_terminate_backend(%.*s, 10000)::int",
                                    TEXT_ARG(pid))),
        1);
}

const struct maker real_ports = {setup,       teardown, fill,          start, twin,
                                 fall_silent, visible,  connect_store, cut};
