#include "tests/bench/service.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "events/audit_message.h"
#include "events/commands.h"
#include "tests/bench/usage.h"

enum { POLL_MS = 100, ARENA_BYTES_PER_COMMAND = 32 * 1024, SPARE_BYTES = 1024 * 1024 };

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

void service_decode(struct service *service, const struct message *message,
                    struct command *ret_command)
{
    struct err err = {0};

    if (command_decode(message, service->arena, ret_command, &err) != OUTCOME_OK)
        die("decode: %s", err.text);
}

const struct audit_event *service_event(struct service *service, const struct message *message,
                                        const struct command *command,
                                        const struct command_result *result)
{
    struct audit_event *event = ARENA_NEW(service->arena, struct audit_event);
    struct err err = {0};

    if (event == NULL || command_event(command, result, service->arena, event, &err) != OUTCOME_OK)
        die("no audit event");
    event->topic_id = 1;
    event->partition = message->partition;
    event->offset = message->offset;
    return event;
}

void service_publish(struct service *service, const struct audit_event *event)
{
    struct outgoing_record record;
    struct err err = {0};

    if (audit_message_encode(event, TEXT_ABSENT, service->arena, &record, &err) != OUTCOME_OK)
        die("encode: %s", err.text);
    kafka_loop_produce(service->kafka, &record);
}

static void read_options(int argc, char **argv, struct service_options *options)
{
    static const struct option known[] = {
        {"conninfo", required_argument, NULL, 'c'},    {"schema", required_argument, NULL, 's'},
        {"brokers", required_argument, NULL, 'k'},     {"topic", required_argument, NULL, 't'},
        {"audit-topic", required_argument, NULL, 'a'}, {"group", required_argument, NULL, 'g'},
        {"batch", required_argument, NULL, 'b'},       {NULL, 0, NULL, 0}};
    int option;

    *options = (struct service_options){.conninfo = "",
                                        .schema = "public",
                                        .kafka = {.brokers = "localhost:9092",
                                                  .command_topic = "bench.commands",
                                                  .audit_topic = "bench.audit",
                                                  .group = "bench",
                                                  .batch_max = 500}};
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'c':
            options->conninfo = optarg;
            break;
        case 's':
            options->schema = optarg;
            break;
        case 'k':
            options->kafka.brokers = optarg;
            break;
        case 't':
            options->kafka.command_topic = optarg;
            break;
        case 'a':
            options->kafka.audit_topic = optarg;
            break;
        case 'g':
            options->kafka.group = optarg;
            break;
        case 'b':
            options->kafka.batch_max = (size_t)number_of("batch", optarg, 1);
            break;
        default:
            die("see the options in %s", __FILE__);
        }
    }
}

int service_main(int argc, char **argv, const char *name, service_work *work)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct service service;
    const struct message *messages;
    struct err err = {0};

    read_options(argc, argv, &service.options);
    const struct executor_pq_options database = {.conninfo = service.options.conninfo,
                                                 .schema = service.options.schema,
                                                 .application_name = name};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (executor_pq_new(&database, &service.pq, &err) != OUTCOME_OK ||
        executor_recover(executor_pq_port(service.pq), &err) != OUTCOME_OK)
        die("connect: %s", err.text);
    service.db = executor_pq_port(service.pq);
    service.arena =
        arena_new(service.options.kafka.batch_max * ARENA_BYTES_PER_COMMAND + SPARE_BYTES);
    if (service.arena == NULL)
        die("no memory");
    service.kafka = kafka_loop_new(&service.options.kafka);

    while (!stopping) {
        size_t count = kafka_loop_poll(service.kafka, POLL_MS, &messages);
        if (count == 0)
            continue;
        arena_reset(service.arena);
        work(&service, messages, count);
        kafka_loop_commit(service.kafka);
    }
    kafka_loop_free(service.kafka);
    executor_pq_free(service.pq);
    arena_free(service.arena);
    return 0;
}
