/* The floor of latency: the least that a loop on the same libraries can do. What is there is taken,
 * written without any check in one pipelined transaction, and published in one Kafka transaction.
 * Key issues only: their event needs no answer from the database. */

#include "events/commands.h"
#include "tests/bench/plain_store.h"
#include "tests/bench/service.h"
#include "tests/bench/usage.h"

static void work(struct service *service, const struct message *messages, size_t count)
{
    const struct command_result applied = {.created = true};
    struct statement *statements = ARENA_ARRAY(service->arena, struct statement, 2 * count + 2);
    struct rows *rows = ARENA_ARRAY(service->arena, struct rows, 2 * count + 2);
    const struct audit_event **events =
        ARENA_ARRAY(service->arena, const struct audit_event *, count);
    size_t used = 0;
    struct err err;

    if (statements == NULL || rows == NULL || events == NULL)
        die("no memory");
    statements[used++] = executor_begin;
    for (size_t i = 0; i < count; i++) {
        struct command command;
        service_decode(service, &messages[i], &command);
        if (command.type->kind != KEY_ISSUE_COMMAND)
            die("not a key.issue");
        events[i] = service_event(service, &messages[i], &command, &applied);
        if (!plain_write_prepare(&command, service->arena, &statements[used++]) ||
            !plain_record_prepare(events[i], service->arena, &statements[used++]))
            die("no memory");
    }
    statements[used++] = executor_commit;
    if (executor_run_all(service->db, statements, used, service->arena, rows, &err) != OUTCOME_OK)
        die("%s", err.text);
    for (size_t i = 0; i < count; i++)
        service_publish(service, events[i]);
}

int main(int argc, char **argv)
{
    return service_main(argc, argv, "bench_floor", work);
}
