#include "tests/integration/lane_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ARENA_BYTES = 64 * 1024 * 1024, HEADERS = 6, WAITS_MAX = 100 };

static struct lane_fixture *current; /* what the ports belong to */

/* --- ports: a membership that lasts, and a place to look in after each wait --------------------
 */

static uint64_t generation(struct source *source)
{
    (void)source;
    return 1;
}

static void keep_alive(struct source *source, int timeout_ms)
{
    (void)source;
    (void)timeout_ms; /* the tests need no pause */
    current->pauses++;
}

static void serve(struct sink *sink)
{
    (void)sink;
    if (++current->waits > WAITS_MAX)
        fail_msg("the lane waits for something that does not come");
    const struct holdup why = holdup_get(&current->metrics.why);
    memcpy(current->waited_for, why.code, sizeof(why.code));
    if (current->mend != NULL && current->waits == current->mend_after)
        current->mend(current);
    if (current->stop_after > 0 && current->waits >= current->stop_after)
        lane_stop(&current->lane);
}

static bool lags(struct source *source, const struct partition_lag **ret_lags, size_t *ret_count)
{
    (void)source;
    *ret_lags = NULL;
    *ret_count = 0;
    return true;
}

static void rewind_source(struct source *source)
{
    (void)source;
}

static const struct source_ops source_ops = {
    .generation = generation, .keep_alive = keep_alive, .lags = lags, .rewind = rewind_source};
static const struct sink_ops sink_ops = {.serve = serve};

/* --- life ------------------------------------------------------------------------------------
 */

struct lane_fixture *lane_fixture_new(struct pg_fixture *pg, int64_t statement_timeout_ms)
{
    struct lane_fixture *lane = calloc(1, sizeof(*lane));

    assert_non_null(lane);
    lane->pg = pg;
    lane->pq = pg_fixture_connect(pg, statement_timeout_ms);
    lane->arena = arena_new(ARENA_BYTES);
    lane->scratch = arena_new(SIZE_MAX);
    assert_true(lane->arena != NULL && lane->scratch != NULL);
    store_repo_init(&lane->store, executor_pq_port(lane->pq));
    lane->source.ops = &source_ops;
    lane->sink.ops = &sink_ops;
    lane->record_bytes_max = 1000000;
    lane->topic_id = 1;
    static const struct text topic = {"t", 1};
    lane->lane = (struct lane){.options = {.audit_topic = TEXT("audit"),
                                           .command_topics = &topic,
                                           .command_topic_count = 1},
                               .source = &lane->source,
                               .sink = &lane->sink,
                               .store = &lane->store.port,
                               .metrics = &lane->metrics,
                               .arena = lane->arena,
                               .scratch = lane->scratch,
                               .topic_ids = &lane->topic_id,
                               .random = 1,
                               .suspect_after_us = INT64_MAX};
    current = lane;
    return lane;
}

void lane_fixture_free(struct lane_fixture *lane)
{
    executor_pq_free(lane->pq);
    progress_release(&lane->lane.progress);
    arena_free(lane->arena);
    arena_free(lane->scratch);
    free(lane);
}

/* --- the batch -------------------------------------------------------------------------------
 */

static struct header header_of(const char *name, const char *value)
{
    return (struct header){text_of(name), slice_of_text(text_of(value))};
}

static void user_message(struct lane_fixture *lane, size_t index, const char *display_name,
                         struct message *ret_message)
{
    static unsigned serial;
    struct arena *arena = lane->arena;
    struct header *headers = ARENA_ARRAY(arena, struct header, HEADERS);
    const char *id = arena_printf(arena, "%u", ++serial);
    const char *body =
        arena_printf(arena,
                     "{\"id\":\"u%05zu\",\"authentikId\":\"a\",\"email\":\"u@example.com\","
                     "\"displayName\":\"%s\"}",
                     index, display_name);

    assert_true(headers != NULL && id != NULL && body != NULL);
    headers[0] = header_of("ce_specversion", "1.0");
    headers[1] = header_of("ce_id", id);
    headers[2] = header_of("ce_source", "/test");
    headers[3] = header_of("ce_type", command_types[USER_UPSERT].name);
    headers[4] = header_of("ce_time", "2026-02-01T00:00:00Z");
    headers[5] = header_of("content-type", "application/json");
    *ret_message = (struct message){.topic = TEXT("t"),
                                    .offset = (int64_t)index,
                                    .timestamp_ms = 1,
                                    .value = slice_of_text(text_of(body)),
                                    .headers = headers,
                                    .header_count = HEADERS};
}

void lane_fixture_users(struct lane_fixture *lane, size_t count,
                        const char *(*display_name_of)(size_t index))
{
    static struct message messages[LANE_FIXTURE_MAX];
    struct err err = {0};

    assert_true(count <= LANE_FIXTURE_MAX);
    arena_reset(lane->arena);
    for (size_t i = 0; i < count; i++)
        user_message(lane, i, display_name_of(i), &messages[i]);
    if (batch_decode(&lane->batch, &lane->lane, lane->arena, messages, count, &err) != OUTCOME_OK)
        fail_msg("%s", err.text);
    lane->batch.generation = 1;
}

enum outcome lane_fixture_settle(struct lane_fixture *lane, struct err *err)
{
    atomic_store(&lane->lane.stopping, 0);
    lane->lane.wait = (struct wait){0};
    lane->lane.limits.max_record_bytes = lane->record_bytes_max;
    memset(&lane->metrics, 0, sizeof(lane->metrics));
    memset(lane->waited_for, 0, sizeof(lane->waited_for));
    lane->waits = 0;
    lane->pauses = 0;
    return bisect_settle(&lane->lane, &lane->batch, err);
}

size_t lane_fixture_count(const struct lane_fixture *lane, enum entry_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < lane->batch.count; i++)
        count += lane->batch.entries[i].state == state;
    return count;
}

uint64_t lane_fixture_transactions(const struct lane_fixture *lane)
{
    uint64_t begun = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        begun += atomic_load(&lane->metrics.steps[STEP_FIND].buckets[i]);
    return begun;
}
