/* The ordinary service: one PostgreSQL transaction per command, a statement at a time, each waited
 * for; one Kafka transaction per poll. It gives the same guarantees against duplicates as the
 * worker (the audit log is its inbox) and writes the same rows and events, with the same decoder.
 */

#include "events/commands.h"
#include "tests/bench/plain_store.h"
#include "tests/bench/service.h"
#include "tests/bench/usage.h"

static void run(struct service *service, const struct statement *statement, struct rows *ret_rows)
{
    struct err err;

    if (executor_run(service->db, statement, service->arena, ret_rows, &err) != OUTCOME_OK)
        die("%s", err.text);
}

static void process(struct service *service, const struct message *message)
{
    struct command command;
    struct command_result result;
    struct statement statement;
    struct rows rows;

    service_decode(service, message, &command);
    run(service, &executor_begin, &rows);
    if (!plain_find_prepare(&command.audit_id, service->arena, &statement))
        die("no memory");
    run(service, &statement, &rows);
    if (rows.row_count > 0) {
        run(service, &executor_rollback, &rows);
        return;
    }
    if (!plain_write_prepare(&command, service->arena, &statement))
        die("a command that this service does not know");
    run(service, &statement, &rows);
    if (!plain_write_read(&command, &rows, service->arena, &result))
        die("an answer that this service does not know");
    const struct audit_event *event = service_event(service, message, &command, &result);
    if (!plain_record_prepare(event, service->arena, &statement))
        die("no memory");
    run(service, &statement, &rows);
    run(service, &executor_commit, &rows);
    service_publish(service, event);
}

static void work(struct service *service, const struct message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++)
        process(service, &messages[i]);
}

int main(int argc, char **argv)
{
    return service_main(argc, argv, "bench_service", work);
}
