#include "worker/daemon/metrics_page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Names: OpenTelemetry's messaging conventions where they have one (as its Prometheus exporter
 * writes it: dots as underscores, unit and _total behind), else catalyst_... Every label value is a
 * constant of this program. */

static const char *const step_names[STEP_COUNT] = {
    [STEP_DECODE] = "decode", [STEP_FIND] = "find",       [STEP_APPLY] = "apply",
    [STEP_RECORD] = "record", [STEP_OVERLAP] = "overlap", [STEP_PUBLISH] = "publish",
};

/* --- text --------------------------------------------------------------------------------------
 */

static void put(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Every line is shorter than the limit: names and labels are ours. */
static void put(struct buffer *out, const char *format, ...)
{
    enum { LINE_MAX_BYTES = 512 };
    char line[LINE_MAX_BYTES];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (length > 0)
        buffer_append(out, line, (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

static void family(struct buffer *out, const char *name, const char *type, const char *help)
{
    put(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static uint64_t load(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

/* --- sums over the lanes -----------------------------------------------------------------------
 */

struct lanes {
    const struct lane_metrics *const *items;
    size_t count;
};

/* The counter at that place of struct lane_metrics. */
static uint64_t sum_of(const struct lanes *lanes, size_t offset)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < lanes->count; i++) {
        const void *counter = (const char *)lanes->items[i] + offset;
        sum += load(counter);
    }
    return sum;
}

static void counters(struct buffer *out, const struct lanes *lanes)
{
    static const struct {
        const char *name, *help;
        size_t offset;
    } rows[] = {
        {"messaging_client_consumed_messages_total", "Messages taken from the command topics.",
         offsetof(struct lane_metrics, batch_messages.sum)},
        {"catalyst_duplicates_total",
         "Commands that came again at another offset with the same content; nothing was published.",
         offsetof(struct lane_metrics, duplicates)},
        {"catalyst_redeliveries_total",
         "Commands delivered again after a crash or rebalance; their stored answer stands.",
         offsetof(struct lane_metrics, redeliveries)},
        {"catalyst_id_conflicts_total",
         "Commands whose source and id came before with another type or body.",
         offsetof(struct lane_metrics, conflicts)},
        {"catalyst_dead_letters_truncated_total",
         "Dead letters whose value did not fit into one message.",
         offsetof(struct lane_metrics, dead_letters_truncated)},
        {"catalyst_batches_total", "Batches that were finished.",
         offsetof(struct lane_metrics, batches)},
        {"catalyst_batches_dropped_total",
         "Batches given up because their partitions were revoked; their next owner has them.",
         offsetof(struct lane_metrics, batches_dropped)},
        {"catalyst_batch_bisections_total",
         "Database transactions split because a row was refused or they failed on and on.",
         offsetof(struct lane_metrics, bisections)},
        {"catalyst_database_transaction_retries_total",
         "Database transactions run again: deadlock, race for an id, lost connection.",
         offsetof(struct lane_metrics, transaction_retries)},
        {"catalyst_database_connects_total", "Connections made to PostgreSQL.",
         offsetof(struct lane_metrics, database_connects)},
        {"catalyst_kafka_transactions_aborted_total", "Kafka transactions that were aborted.",
         offsetof(struct lane_metrics, transactions_aborted)},
        {"catalyst_kafka_transactions_lost_total",
         "Partitions whose committed offset fell back behind an acknowledged transaction.",
         offsetof(struct lane_metrics, transactions_lost)},
        {"catalyst_kafka_logs_gone_back_total",
         "Partitions whose log ended before the group's position; they were read from their start.",
         offsetof(struct lane_metrics, logs_gone_back)},
        {"catalyst_kafka_logs_overtaken_total",
         "Partitions whose log began behind the group's position: records were removed unread.",
         offsetof(struct lane_metrics, logs_overtaken)},
        {"catalyst_kafka_records_removed_unread_total",
         "Records of command topics that were removed before the group had read them.",
         offsetof(struct lane_metrics, records_removed)},
        {"catalyst_kafka_producers_reopened_total",
         "Transactional producers made anew after a fatal error.",
         offsetof(struct lane_metrics, producers_reopened)},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool of_messaging = strncmp(rows[i].name, "messaging_", 10) == 0;
        family(out, rows[i].name, "counter", rows[i].help);
        put(out, "%s%s %" PRIu64 "\n", rows[i].name,
            of_messaging ? "{messaging_system=\"kafka\",messaging_operation_name=\"poll\"}" : "",
            sum_of(lanes, rows[i].offset));
    }
}

static void commands(struct buffer *out, const struct lanes *lanes)
{
    family(out, "catalyst_commands_total", "counter",
           "Commands that were answered, by type and outcome.");
    for (size_t kind = 0; kind < COMMAND_KIND_COUNT; kind++) {
        size_t index = kind * sizeof(_Atomic uint64_t);
        put(out, "catalyst_commands_total{type=\"%s\",outcome=\"applied\"} %" PRIu64 "\n",
            command_types[kind].name,
            sum_of(lanes, offsetof(struct lane_metrics, applied) + index));
        put(out, "catalyst_commands_total{type=\"%s\",outcome=\"rejected\"} %" PRIu64 "\n",
            command_types[kind].name,
            sum_of(lanes, offsetof(struct lane_metrics, rejected) + index));
    }
}

static void dead_letters(struct buffer *out, const struct lanes *lanes)
{
    family(out, "catalyst_dead_letters_total", "counter",
           "Messages sent to a dead-letter topic, by the class of what is wrong with them.");
    for (size_t i = 0; i < DEAD_CLASS_COUNT; i++)
        put(out, "catalyst_dead_letters_total{class=\"%s\"} %" PRIu64 "\n",
            dead_letter_class_name((enum dead_letter_class)i),
            sum_of(lanes,
                   offsetof(struct lane_metrics, dead_letters) + i * sizeof(_Atomic uint64_t)));
}

/* --- histograms --------------------------------------------------------------------------------
 */

/* Millionths as a decimal number without trailing zeros: 2500 -> 0.0025. */
enum { DECIMAL_LENGTH = 40 };
static const char *decimal(uint64_t millionths, char text[DECIMAL_LENGTH])
{
    int length = snprintf(text, DECIMAL_LENGTH, "%" PRIu64 ".%06" PRIu64, millionths / 1000000,
                          millionths % 1000000);
    while (length > 0 && text[length - 1] == '0')
        length--;
    if (length > 0 && text[length - 1] == '.')
        length--;
    text[length] = '\0';
    return text;
}

struct histogram_shape {
    const char *name;
    const char *labels; /* `step="find"`, or "" */
    const uint64_t *bounds;
    uint64_t scale; /* of bounds and sum, to millionths of the unit */
};

static void histogram(struct buffer *out, const struct lanes *lanes, size_t offset,
                      const struct histogram_shape *shape)
{
    const char *comma = shape->labels[0] != '\0' ? "," : "";
    const char *open = shape->labels[0] != '\0' ? "{" : "";
    const char *close = shape->labels[0] != '\0' ? "}" : "";
    char number[DECIMAL_LENGTH];
    uint64_t cumulated = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        cumulated += sum_of(lanes, offset + offsetof(struct histogram, buckets) +
                                       i * sizeof(_Atomic uint64_t));
        put(out, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", shape->name, shape->labels, comma,
            i < HISTOGRAM_BUCKETS - 1 ? decimal(shape->bounds[i] * shape->scale, number) : "+Inf",
            cumulated);
    }
    uint64_t sum = sum_of(lanes, offset + offsetof(struct histogram, sum));
    put(out, "%s_sum%s%s%s %s\n", shape->name, open, shape->labels, close,
        decimal(sum * shape->scale, number));
    put(out, "%s_count%s%s%s %" PRIu64 "\n", shape->name, open, shape->labels, close, cumulated);
}

static void histograms(struct buffer *out, const struct lanes *lanes)
{
    family(out, "catalyst_batch_messages", "histogram", "Messages in a batch.");
    histogram(out, lanes, offsetof(struct lane_metrics, batch_messages),
              &(struct histogram_shape){"catalyst_batch_messages", "", batch_bounds, 1000000});

    family(out, "catalyst_step_duration_seconds", "histogram",
           "Time that a batch spends in each step of its way.");
    for (size_t i = 0; i < STEP_COUNT; i++) {
        char labels[32];
        snprintf(labels, sizeof(labels), "step=\"%s\"", step_names[i]);
        histogram(out, lanes, offsetof(struct lane_metrics, steps) + i * sizeof(struct histogram),
                  &(struct histogram_shape){"catalyst_step_duration_seconds", labels,
                                            duration_bounds_us, 1});
    }
}

/* --- lane by lane ------------------------------------------------------------------------------
 */

struct lag_page {
    struct buffer *out;
    size_t lane;
};

static void put_lag(const struct lag *lag, void *context)
{
    const struct lag_page *page = context;

    if (lag->records >= 0)
        put(page->out,
            "catalyst_consumer_lag_messages{lane=\"%zu\",topic=\"%s\",partition=\"%" PRId32
            "\"} %" PRId64 "\n",
            page->lane, lag->topic, lag->partition, lag->records);
}

static void lags(struct buffer *out, const struct lanes *lanes)
{
    family(out, "catalyst_consumer_lag_messages", "gauge",
           "End of the partition's log minus the group's committed offset; no sample where it is "
           "unknown.");
    for (size_t i = 0; i < lanes->count; i++) {
        if (lanes->items[i]->lags != NULL)
            lags_each(lanes->items[i]->lags, put_lag, &(struct lag_page){out, i});
    }
}

static void partitions(struct buffer *out, const struct lanes *lanes)
{
    family(out, "catalyst_lane_partitions", "gauge",
           "Partitions of the lane; 0: it stands by; no sample while it is joining the group.");
    for (size_t i = 0; i < lanes->count; i++) {
        int64_t count = atomic_load(&lanes->items[i]->partitions);
        if (count >= 0)
            put(out, "catalyst_lane_partitions{lane=\"%zu\"} %" PRId64 "\n", i, count);
    }
}

static void waits(struct buffer *out, const struct lanes *lanes)
{
    static const enum dependency rows[] = {DEPENDENCY_DATABASE, DEPENDENCY_BROKERS};

    family(out, "catalyst_lane_waiting", "gauge",
           "1 while the lane waits for a dependency that is away.");
    for (size_t i = 0; i < lanes->count; i++) {
        int waiting_for = atomic_load(&lanes->items[i]->waiting_for);
        for (size_t j = 0; j < sizeof(rows) / sizeof(rows[0]); j++)
            put(out, "catalyst_lane_waiting{lane=\"%zu\",dependency=\"%s\"} %d\n", i,
                dependency_name(rows[j]), waiting_for == (int)rows[j]);
    }
}

static void stuck_partitions(struct buffer *out, const struct lanes *lanes)
{
    family(
        out, "catalyst_partition_stuck_offset", "gauge",
        "The offset from which a partition of the lane can not be read; no sample while all can.");
    for (size_t i = 0; i < lanes->count; i++) {
        if (!atomic_load(&lanes->items[i]->is_stuck))
            continue;
        const struct holdup stuck = holdup_get(&lanes->items[i]->stuck);
        put(out,
            "catalyst_partition_stuck_offset{lane=\"%zu\",topic=\"%s\",partition=\"%" PRId32
            "\",code=\"%s\"} %" PRId64 "\n",
            i, stuck.topic, stuck.partition, stuck.code, stuck.offset);
    }
}

static void held_lanes(struct buffer *out, const struct lanes *lanes)
{
    family(out, "catalyst_lane_held", "gauge",
           "1: the database was set back, and the lane writes nothing before `recover` has run.");
    for (size_t i = 0; i < lanes->count; i++)
        put(out, "catalyst_lane_held{lane=\"%zu\"} %d\n", i,
            atomic_load(&lanes->items[i]->is_held) != 0);
}

void metrics_render(const struct lane_metrics *const *lanes, size_t lane_count, struct buffer *out)
{
    const struct lanes all = {lanes, lane_count};

    counters(out, &all);
    commands(out, &all);
    dead_letters(out, &all);
    histograms(out, &all);
    lags(out, &all);
    partitions(out, &all);
    waits(out, &all);
    stuck_partitions(out, &all);
    held_lanes(out, &all);
}
