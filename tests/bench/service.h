#pragma once

#include "repo/pg/executor_pq.h"
#include "tests/bench/kafka_loop.h"

/* What bench_service and bench_floor share: options, the loop until SIGTERM, the event. */

struct service_options {
    const char *conninfo;
    const char *schema;
    struct kafka_loop_options kafka;
};

struct service {
    struct service_options options;
    struct executor_pq *pq;
    struct executor *db;
    struct kafka_loop *kafka;
    struct arena *arena; /* of one batch */
};

struct command;
struct command_result;

/* Decodes, which these services expect to succeed. */
void service_decode(struct service *service, const struct message *message,
                    struct command *ret_command);

/* The audit event of a command: the row, in the arena, and the queued record. */
const struct audit_event *service_event(struct service *service, const struct message *message,
                                        const struct command *command,
                                        const struct command_result *result);
void service_publish(struct service *service, const struct audit_event *event);

/* Calls `work` on every batch until SIGTERM or SIGINT. */
typedef void service_work(struct service *service, const struct message *messages, size_t count);
int service_main(int argc, char **argv, const char *name, service_work *work);
