/* The load: `fill` puts commands into the topic as fast as it goes; `pace` sends them at a steady
 * rate and measures, in the same process and so with one clock, when a read_committed consumer sees
 * their audit events. An event carries its command's ce_time, which is the moment the command was
 * due, not when it left: a stall of the sender counts as latency too. */

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/timestamp.h"
#include "tests/bench/mix_options.h"
#include "tests/bench/usage.h"
#include "worker/kafka/kafka_record.h"

enum {
    ARENA_BYTES = 1024 * 1024,
    FLUSH_MS = 60000,
    METADATA_MS = 10000,
    DRAIN_US = 5000000, /* how long late events are waited for */
};

struct options {
    const char *brokers;
    const char *topic;
    const char *audit_topic;
    struct mix_options mix;
    uint64_t commands;
    uint64_t rate; /* commands a second */
    uint64_t seconds;
    uint64_t warmup; /* seconds that don't count */
};

/* --- librdkafka -------------------------------------------------------------------------- */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char reason[256];

    if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
        die("%s", reason);
}

static rd_kafka_t *open_client(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char reason[256];
    rd_kafka_t *client = rd_kafka_new(type, conf, reason, sizeof(reason));

    if (client == NULL)
        die("%s", reason);
    return client;
}

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    (void)opaque;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("delivery: %s", rd_kafka_err2str(message->err));
}

static rd_kafka_t *open_producer(const struct options *options, const char *linger_ms)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    set(conf, "bootstrap.servers", options->brokers);
    set(conf, "enable.idempotence", "true");
    set(conf, "socket.nagle.disable", "true");
    set(conf, "linger.ms", linger_ms);
    set(conf, "partitioner", "murmur2_random");
    set(conf, "queue.buffering.max.messages", "200000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    return open_client(RD_KAFKA_PRODUCER, conf);
}

static void send_command(rd_kafka_t *producer, rd_kafka_topic_t *topic, const struct mix *mix,
                         uint64_t index, struct arena *arena)
{
    struct outgoing_record record;
    rd_kafka_resp_err_t code;
    struct err err;

    arena_reset(arena);
    if (mix_command(mix, index, arena, &record, &err) != OUTCOME_OK)
        die("command: %s", err.text);
    while ((code = kafka_produce(producer, topic, &record, NULL)) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            die("produce: %s", rd_kafka_err2str(code));
        rd_kafka_poll(producer, 10);
    }
    rd_kafka_poll(producer, 0);
}

/* --- fill -------------------------------------------------------------------------------- */

static void fill(const struct options *options, const struct mix *mix)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(ARENA_BYTES);
    rd_kafka_t *producer = open_producer(options, "50");
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, options->topic, NULL);
    struct stopwatch start = stopwatch_start();

    if (arena == NULL)
        die("no memory");
    for (uint64_t i = 0; i < options->commands; i++)
        send_command(producer, topic, mix, i, arena);
    if (rd_kafka_flush(producer, FLUSH_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("flush");
    report("fill", options->commands, stopwatch_since(start));
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
}

/* --- pace -------------------------------------------------------------------------------- */

struct sender {
    const struct options *options;
    const struct mix *mix;
    pthread_t thread;
    _Atomic bool done;
};

static void *send_paced(void *context)
{
    struct sender *sender = context;
    const struct options *options = sender->options;
    CLEANUP(arena_freep) struct arena *arena = arena_new(ARENA_BYTES);
    rd_kafka_t *producer = open_producer(options, "0");
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, options->topic, NULL);
    uint64_t count = options->rate * options->seconds;

    if (arena == NULL)
        die("no memory");
    for (uint64_t i = 0; i < count; i++) {
        int64_t early_us = mix_time_us(sender->mix, i) - clock_wall_us();
        if (early_us > 0)
            clock_sleep_us(early_us);
        send_command(producer, topic, sender->mix, i, arena);
    }
    if (rd_kafka_flush(producer, FLUSH_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("flush");
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    atomic_store(&sender->done, true);
    return NULL;
}

/* All partitions of the audit topic, from their ends. */
static rd_kafka_t *open_reader(const struct options *options)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const struct rd_kafka_metadata *metadata;

    set(conf, "bootstrap.servers", options->brokers);
    set(conf, "group.id", "bench-reader");
    set(conf, "isolation.level", "read_committed");
    set(conf, "enable.auto.commit", "false");
    set(conf, "fetch.wait.max.ms", "100");
    set(conf, "socket.nagle.disable", "true");
    rd_kafka_t *reader = open_client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(reader);

    rd_kafka_topic_t *topic = rd_kafka_topic_new(reader, options->audit_topic, NULL);
    if (rd_kafka_metadata(reader, 0, topic, &metadata, METADATA_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("metadata");
    rd_kafka_topic_destroy(topic);
    rd_kafka_topic_partition_list_t *partitions = rd_kafka_topic_partition_list_new(8);
    for (int i = 0; i < metadata->topics[0].partition_cnt; i++) {
        int64_t low;
        int64_t high;
        if (rd_kafka_query_watermark_offsets(reader, options->audit_topic, i, &low, &high,
                                             METADATA_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
            die("watermarks");
        rd_kafka_topic_partition_list_add(partitions, options->audit_topic, i)->offset = high;
    }
    rd_kafka_metadata_destroy(metadata);
    if (rd_kafka_assign(reader, partitions) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("assign");
    rd_kafka_topic_partition_list_destroy(partitions);
    return reader;
}

/* false: an event without a readable ce_time. */
static bool due_time(const rd_kafka_message_t *message, int64_t *ret_us)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t length;

    return rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           rd_kafka_header_get_last(headers, "ce_time", &value, &length) ==
               RD_KAFKA_RESP_ERR_NO_ERROR &&
           timestamp_parse((struct text){value, length}, ret_us);
}

struct samples {
    int64_t *latency_us;
    size_t count;
    size_t seen; /* warm-up included */
};

/* Until every command has been answered, or those that are missing have had their time. */
static void read_events(rd_kafka_t *reader, struct sender *sender, struct samples *samples)
{
    const struct options *options = sender->options;
    size_t expected = (size_t)(options->rate * options->seconds);
    int64_t counts_from_us = mix_time_us(sender->mix, options->rate * options->warmup);
    int64_t quiet_since_us = clock_monotonic_us();

    while (samples->seen < expected) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, 100);
        int64_t now_us = clock_wall_us();
        int64_t due_us;

        if (message == NULL) {
            if (atomic_load(&sender->done) && clock_monotonic_us() - quiet_since_us > DRAIN_US)
                return;
            continue;
        }
        quiet_since_us = clock_monotonic_us();
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && due_time(message, &due_us) &&
            due_us >= options->mix.first_us) {
            samples->seen++;
            if (due_us >= counts_from_us)
                samples->latency_us[samples->count++] = now_us - due_us;
        }
        rd_kafka_message_destroy(message);
    }
}

static int compare_times(const void *left, const void *right)
{
    const int64_t *a = left;
    const int64_t *b = right;
    return (*a > *b) - (*a < *b);
}

static double percentile_ms(const struct samples *samples, double share)
{
    if (samples->count == 0)
        return 0;
    size_t rank = (size_t)(share * (double)samples->count);
    if (rank >= samples->count)
        rank = samples->count - 1;
    return (double)samples->latency_us[rank] / 1000.0;
}

static void report_latency(const struct options *options, const struct samples *samples,
                           struct stopwatch elapsed)
{
    uint64_t sent = options->rate * options->seconds;

    printf("{\"program\": \"pace\", \"rate\": %" PRIu64 ", \"commands\": %" PRIu64
           ", \"missing\": %" PRIu64 ", \"samples\": %zu, \"seconds\": %.3f"
           ", \"p50_ms\": %.3f, \"p90_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f"
           ", \"max_ms\": %.3f, \"cpu_us_per_command\": %.3f}\n",
           options->rate, sent, sent - samples->seen, samples->count, (double)elapsed.wall_us / 1e6,
           percentile_ms(samples, 0.50), percentile_ms(samples, 0.90), percentile_ms(samples, 0.99),
           percentile_ms(samples, 0.999), percentile_ms(samples, 1.0),
           (double)elapsed.cpu_us / (double)sent);
}

static void pace(struct options *options)
{
    struct samples samples = {
        .latency_us = calloc((size_t)(options->rate * options->seconds), sizeof(int64_t))};
    rd_kafka_t *reader = open_reader(options);

    options->mix.first_us = clock_wall_us() + 500000;
    options->mix.interval_us = (int64_t)(1000000 / options->rate);
    CLEANUP(mix_freep) struct mix *mix = mix_new(&options->mix);
    struct sender sender = {.options = options, .mix = mix};
    struct stopwatch start = stopwatch_start();
    if (samples.latency_us == NULL || mix == NULL ||
        pthread_create(&sender.thread, NULL, send_paced, &sender) != 0)
        die("no memory");
    read_events(reader, &sender, &samples);
    pthread_join(sender.thread, NULL);

    if (samples.count > 1)
        qsort(samples.latency_us, samples.count, sizeof(samples.latency_us[0]), compare_times);
    report_latency(options, &samples, stopwatch_since(start));
    rd_kafka_consumer_close(reader);
    rd_kafka_destroy(reader);
    free(samples.latency_us);
}

/* --- options ----------------------------------------------------------------------------- */

static void read_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {{"brokers", required_argument, NULL, 'k'},
                                          {"topic", required_argument, NULL, 't'},
                                          {"audit-topic", required_argument, NULL, 'a'},
                                          {"commands", required_argument, NULL, 'n'},
                                          {"rate", required_argument, NULL, 'p'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"warmup", required_argument, NULL, 'w'},
                                          MIX_LONG_OPTIONS,
                                          {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'k':
            options->brokers = optarg;
            break;
        case 't':
            options->topic = optarg;
            break;
        case 'a':
            options->audit_topic = optarg;
            break;
        case 'n':
            options->commands = number_of("commands", optarg, 1);
            break;
        case 'p':
            options->rate = number_of("rate", optarg, 1);
            break;
        case 's':
            options->seconds = number_of("seconds", optarg, 1);
            break;
        case 'w':
            options->warmup = number_of("warmup", optarg, 0);
            break;
        default:
            if (!mix_option_take(option, optarg, &options->mix))
                die("see the options in %s", __FILE__);
        }
    }
}

int main(int argc, char **argv)
{
    struct options options = {.brokers = "localhost:9092",
                              .topic = "bench.commands",
                              .audit_topic = "bench.audit",
                              .mix = {.seed = 1, .first_us = clock_wall_us(), .interval_us = 20},
                              .commands = 100000,
                              .rate = 200,
                              .seconds = 10,
                              .warmup = 2};

    read_options(argc, argv, &options);
    if (optind != argc - 1)
        die("usage: bench_load [options] fill|pace; see the options in %s", __FILE__);
    if (strcmp(argv[optind], "fill") == 0) {
        CLEANUP(mix_freep) struct mix *mix = mix_new(&options.mix);
        if (mix == NULL)
            die("no memory");
        fill(&options, mix);
    } else if (strcmp(argv[optind], "pace") == 0) {
        if (options.warmup >= options.seconds || options.rate > 1000000)
            die("pace: --warmup must be shorter than --seconds, --rate at most 1000000");
        pace(&options);
    } else {
        die("usage: bench_load [options] fill|pace");
    }
    return 0;
}
