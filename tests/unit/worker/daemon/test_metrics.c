#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/daemon/metrics_page.h"
#include "worker/daemon/process_metrics.h"

/* What is rendered is read back with a parser that knows the text format's grammar and the rules
 * for counters and histograms, and is stricter than any scraper. */

enum { SAMPLES_MAX = 1024, NAME_MAX_BYTES = 128, LABELS_MAX_BYTES = 256 };

struct sample {
    char name[NAME_MAX_BYTES];
    char labels[LABELS_MAX_BYTES]; /* as written, without the braces */
    double value;
};

struct parsed {
    struct sample samples[SAMPLES_MAX];
    size_t count;
    char family[NAME_MAX_BYTES]; /* of the last TYPE line */
    char type[16];
    char help_of[NAME_MAX_BYTES]; /* of the last HELP line */
    char families[64][NAME_MAX_BYTES];
    size_t family_count;
};

static struct lane_metrics lanes[2];
static const struct lane_metrics *const lane_pointers[] = {&lanes[0], &lanes[1]};
static struct parsed parsed;

/* --- the parser --------------------------------------------------------------------------------
 */

static size_t name_length(const char *text)
{
    size_t length = 0;

    if (!isalpha((unsigned char)text[0]) && text[0] != '_')
        return 0;
    while (isalnum((unsigned char)text[length]) || text[length] == '_')
        length++;
    return length;
}

static void copy(char *to, size_t size, const char *from, size_t length)
{
    assert_true(length < size);
    memcpy(to, from, length);
    to[length] = '\0';
}

static void parse_comment(const char *line)
{
    bool help = strncmp(line, "# HELP ", 7) == 0;
    if (!help && strncmp(line, "# TYPE ", 7) != 0)
        fail_msg("neither HELP nor TYPE: %s", line);
    size_t length = name_length(line + 7);
    assert_true(length > 0);
    assert_int_equal(line[7 + length], ' ');
    const char *rest = line + 7 + length + 1;
    assert_true(*rest != '\0');

    if (help) {
        copy(parsed.help_of, sizeof(parsed.help_of), line + 7, length);
        return;
    }
    copy(parsed.family, sizeof(parsed.family), line + 7, length);
    copy(parsed.type, sizeof(parsed.type), rest, strlen(rest));
    assert_string_equal(parsed.help_of, parsed.family); /* HELP stands before its TYPE */
    for (size_t i = 0; i < parsed.family_count; i++)
        assert_string_not_equal(parsed.families[i], parsed.family); /* each family once */
    assert_true(parsed.family_count < 64);
    memcpy(parsed.families[parsed.family_count++], parsed.family, sizeof(parsed.family));
    assert_true(strcmp(parsed.type, "counter") == 0 || strcmp(parsed.type, "gauge") == 0 ||
                strcmp(parsed.type, "histogram") == 0);
}

/* name="value",... up to the closing brace. */
static const char *parse_labels(const char *at, struct sample *sample)
{
    const char *begin = at;

    while (*at != '}') {
        size_t length = name_length(at);
        if (length == 0 || strncmp(at + length, "=\"", 2) != 0)
            fail_msg("label expected: %s", at);
        at += length + 2;
        while (*at != '"') {
            assert_true(*at != '\0' && *at != '\\' && *at != '\n');
            at++;
        }
        at++;
        assert_true(*at == ',' || *at == '}');
        at += *at == ',';
    }
    copy(sample->labels, sizeof(sample->labels), begin, (size_t)(at - begin));
    return at + 1;
}

static bool belongs(const struct sample *sample)
{
    size_t length = strlen(parsed.family);

    if (strncmp(sample->name, parsed.family, length) != 0)
        return false;
    const char *suffix = sample->name + length;
    if (strcmp(parsed.type, "histogram") != 0)
        return *suffix == '\0';
    return strcmp(suffix, "_bucket") == 0 || strcmp(suffix, "_sum") == 0 ||
           strcmp(suffix, "_count") == 0;
}

static void parse_sample(const char *line)
{
    struct sample *sample = &parsed.samples[parsed.count++];
    size_t length = name_length(line);
    char *end;

    assert_true(parsed.count <= SAMPLES_MAX);
    assert_true(length > 0);
    copy(sample->name, sizeof(sample->name), line, length);
    sample->labels[0] = '\0';
    const char *at = line + length;
    if (*at == '{')
        at = parse_labels(at + 1, sample);
    assert_int_equal(*at, ' ');
    assert_true(isdigit((unsigned char)at[1]) || at[1] == '-');
    sample->value = strtod(at + 1, &end);
    if (*end != '\0')
        fail_msg("number expected: %s", line);
    if (!belongs(sample))
        fail_msg("%s is not of the family %s", sample->name, parsed.family);
    if (strcmp(parsed.type, "counter") == 0)
        assert_string_equal(sample->name + length - 6, "_total");
    for (size_t i = 0; i + 1 < parsed.count; i++) {
        if (strcmp(parsed.samples[i].name, sample->name) == 0)
            assert_string_not_equal(parsed.samples[i].labels, sample->labels);
    }
}

static void parse(struct text text)
{
    char line[512];

    memset(&parsed, 0, sizeof(parsed));
    assert_true(text.length > 0);
    assert_int_equal(text.data[text.length - 1], '\n');
    while (text.length > 0) {
        const char *end = memchr(text.data, '\n', text.length);
        size_t length = (size_t)(end - text.data);
        copy(line, sizeof(line), text.data, length);
        if (line[0] == '#')
            parse_comment(line);
        else
            parse_sample(line);
        text.data += length + 1;
        text.length -= length + 1;
    }
}

static const struct sample *find(const char *name, const char *labels)
{
    for (size_t i = 0; i < parsed.count; i++) {
        if (strcmp(parsed.samples[i].name, name) == 0 &&
            strcmp(parsed.samples[i].labels, labels) == 0)
            return &parsed.samples[i];
    }
    return NULL;
}

static void assert_value(const char *name, const char *labels, double expected)
{
    const struct sample *sample = find(name, labels);
    if (sample == NULL)
        fail_msg("no sample %s{%s}", name, labels);
    else if (sample->value < expected - 1e-9 || sample->value > expected + 1e-9)
        fail_msg("%s{%s} is %f, not %f", name, labels, sample->value, expected);
}

/* --- fixture -----------------------------------------------------------------------------------
 */

static int setup(void **state)
{
    memset(lanes, 0, sizeof(lanes));
    *state = arena_new((size_t)1024 * 1024);
    return *state != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

static void render(void **state)
{
    struct buffer out;

    buffer_init(&out, *state);
    metrics_render(lane_pointers, 2, &out);
    assert_false(out.full);
    parse(buffer_text(&out));
}

/* --- tests -------------------------------------------------------------------------------------
 */

static void test_metrics_render__sums_the_counters_of_all_lanes(void **state)
{
    metric_add(&lanes[0].applied[USER_UPSERT], 3);
    metric_add(&lanes[1].applied[USER_UPSERT], 4);
    metric_add(&lanes[1].rejected[KEY_REVOKE_COMMAND], 5);
    metric_add(&lanes[0].dead_letters[DEAD_BODY], 6);
    metric_add(&lanes[0].duplicates, 7);
    metric_add(&lanes[1].redeliveries, 8);
    metric_add(&lanes[1].conflicts, 9);
    metric_add(&lanes[0].transactions_aborted, 10);
    metric_add(&lanes[1].transactions_lost, 1);
    metric_add(&lanes[0].database_connects, 1);
    metric_add(&lanes[1].database_connects, 1);

    render(state);

    assert_value("catalyst_commands_total",
                 "type=\"dev.catalyst.identity.user.upsert.v1\",outcome=\"applied\"", 7);
    assert_value("catalyst_commands_total",
                 "type=\"dev.catalyst.key.revoke.v1\",outcome=\"rejected\"", 5);
    assert_value("catalyst_dead_letters_total", "class=\"body\"", 6);
    assert_value("catalyst_duplicates_total", "", 7);
    assert_value("catalyst_redeliveries_total", "", 8);
    assert_value("catalyst_id_conflicts_total", "", 9);
    assert_value("catalyst_kafka_transactions_aborted_total", "", 10);
    assert_value("catalyst_kafka_transactions_lost_total", "", 1);
    assert_value("catalyst_database_connects_total", "", 2);
}

static void test_metrics_render__has_a_sample_for_every_type_class_and_step_at_once(void **state)
{
    static const char *const steps[] = {"decode", "find", "apply", "record", "overlap", "publish"};
    static const char *const classes[] = {"envelope", "body",   "type",
                                          "field",    "secret", "sqlstate"};

    render(state);

    for (size_t i = 0; i < COMMAND_KIND_COUNT; i++) {
        char labels[LABELS_MAX_BYTES];
        snprintf(labels, sizeof(labels), "type=\"%s\",outcome=\"applied\"", command_types[i].name);
        assert_value("catalyst_commands_total", labels, 0);
    }
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "step=\"%s\"", steps[i]);
        assert_value("catalyst_step_duration_seconds_count", labels, 0);
    }
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "class=\"%s\"", classes[i]);
        assert_value("catalyst_dead_letters_total", labels, 0);
    }
}

static void test_metrics_render__histograms_are_cumulative_and_end_with_inf(void **state)
{
    histogram_observe(&lanes[0].batch_messages, 1, batch_bounds);
    histogram_observe(&lanes[0].batch_messages, 7, batch_bounds);
    histogram_observe(&lanes[1].batch_messages, 2000, batch_bounds);
    histogram_observe(&lanes[1].batch_messages, 1000000, batch_bounds);

    render(state);

    double previous = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "le=\"%llu\"", (unsigned long long)batch_bounds[i]);
        const struct sample *bucket = find("catalyst_batch_messages_bucket", labels);
        assert_non_null(bucket);
        assert_true(bucket->value >= previous);
        previous = bucket->value;
    }
    assert_value("catalyst_batch_messages_bucket", "le=\"1\"", 1);
    assert_value("catalyst_batch_messages_bucket", "le=\"5\"", 1);
    assert_value("catalyst_batch_messages_bucket", "le=\"10\"", 2);
    assert_value("catalyst_batch_messages_bucket", "le=\"2000\"", 3);
    assert_value("catalyst_batch_messages_bucket", "le=\"+Inf\"", 4);
    assert_value("catalyst_batch_messages_count", "", 4);
    assert_value("catalyst_batch_messages_sum", "", 1002008);
    assert_value("messaging_client_consumed_messages_total",
                 "messaging_system=\"kafka\",messaging_operation_name=\"poll\"", 1002008);
}

static void test_metrics_render__durations_are_in_seconds(void **state)
{
    histogram_observe(&lanes[0].steps[STEP_APPLY], 2500, duration_bounds_us);
    histogram_observe(&lanes[0].steps[STEP_APPLY], 2501, duration_bounds_us);

    render(state);

    assert_value("catalyst_step_duration_seconds_bucket", "step=\"apply\",le=\"0.001\"", 0);
    assert_value("catalyst_step_duration_seconds_bucket", "step=\"apply\",le=\"0.0025\"", 1);
    assert_value("catalyst_step_duration_seconds_bucket", "step=\"apply\",le=\"0.005\"", 2);
    assert_value("catalyst_step_duration_seconds_sum", "step=\"apply\"", 0.005001);
}

static void test_histogram_observe__bounds_are_inclusive(void **state)
{
    struct histogram histogram = {0};
    (void)state;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++)
        histogram_observe(&histogram, batch_bounds[i], batch_bounds);
    histogram_observe(&histogram, batch_bounds[HISTOGRAM_BUCKETS - 2] + 1, batch_bounds);

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        assert_int_equal(atomic_load(&histogram.buckets[i]), 1);
}

static void test_metrics_render__an_unknown_lag_has_no_sample(void **state)
{
    const struct partition_lag items[] = {{TEXT("c"), 0, -1}, {TEXT("c"), 1, 12}};
    struct shared_lags shared = {.items = NULL};
    lags_set(&shared, items, 2);
    lanes[1].lags = &shared;
    atomic_store(&lanes[0].partitions, -1);
    atomic_store(&lanes[1].partitions, 2);

    render(state);

    lanes[1].lags = NULL;
    lags_release(&shared);
    assert_null(find("catalyst_consumer_lag_messages", "lane=\"1\",topic=\"c\",partition=\"0\""));
    assert_value("catalyst_consumer_lag_messages", "lane=\"1\",topic=\"c\",partition=\"1\"", 12);
    assert_null(find("catalyst_lane_partitions", "lane=\"0\""));
    assert_value("catalyst_lane_partitions", "lane=\"1\"", 2);
}

static void test_metrics_render__tells_what_a_lane_waits_for(void **state)
{
    atomic_store(&lanes[1].waiting_for, (int)DEPENDENCY_BROKERS);

    render(state);

    assert_value("catalyst_lane_waiting", "lane=\"0\",dependency=\"kafka\"", 0);
    assert_value("catalyst_lane_waiting", "lane=\"1\",dependency=\"kafka\"", 1);
    assert_value("catalyst_lane_waiting", "lane=\"1\",dependency=\"postgresql\"", 0);
}

static void test_metrics_render__tells_which_partition_can_not_be_read(void **state)
{
    const struct holdup stuck = {"_BAD_COMPRESSION", "commands", 3, 42, 0};
    holdup_set(&lanes[1].stuck, &stuck);
    atomic_store(&lanes[1].is_stuck, 1);

    render(state);

    assert_value("catalyst_partition_stuck_offset",
                 "lane=\"1\",topic=\"commands\",partition=\"3\",code=\"_BAD_COMPRESSION\"", 42);
    assert_null(
        find("catalyst_partition_stuck_offset", "lane=\"0\",topic=\"\",partition=\"0\",code=\"\""));
}

static void test_holdup__is_read_as_it_was_set(void **state)
{
    struct shared_holdup shared = {0};
    const struct holdup set = {"TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "topic", 7, INT64_MAX, 9};
    (void)state;

    assert_string_equal(holdup_get(&shared).code, "");
    holdup_set(&shared, &set);

    struct holdup holdup = holdup_get(&shared);
    assert_memory_equal(&holdup, &set, sizeof(set));
}

static void test_process_metrics_render__tells_start_memory_cpu_and_files(void **state)
{
    struct buffer out;

    buffer_init(&out, *state);
    process_metrics_render(1700000000500000, &out);
    parse(buffer_text(&out));

    assert_value("process_start_time_seconds", "", 1700000000.5);
    assert_true(find("process_resident_memory_bytes", "")->value > 100000);
    assert_true(find("process_open_fds", "")->value >= 3);
    assert_true(find("process_cpu_seconds_total", "")->value >= 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_metrics_render__sums_the_counters_of_all_lanes),
        TEST(test_metrics_render__has_a_sample_for_every_type_class_and_step_at_once),
        TEST(test_metrics_render__histograms_are_cumulative_and_end_with_inf),
        TEST(test_metrics_render__durations_are_in_seconds),
        TEST(test_histogram_observe__bounds_are_inclusive),
        TEST(test_metrics_render__an_unknown_lag_has_no_sample),
        TEST(test_metrics_render__tells_what_a_lane_waits_for),
        TEST(test_metrics_render__tells_which_partition_can_not_be_read),
        cmocka_unit_test(test_holdup__is_read_as_it_was_set),
        TEST(test_process_metrics_render__tells_start_memory_cpu_and_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
