#include "repo/pg/pq_session.h"

#include <string.h>
#include <sys/random.h>

#include "repo/pg/executor_pq.h"

static const char check_sql[] =
    "SELECT 1 / (coalesce(current_setting('catalyst.session', true), '') = $1)::int4";

bool pq_session_new(char ret_value[PQ_SESSION_VALUE_LENGTH + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[PQ_SESSION_VALUE_LENGTH / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return false;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        ret_value[2 * i] = digits[bytes[i] >> 4];
        ret_value[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_value[PQ_SESSION_VALUE_LENGTH] = '\0';
    return true;
}

enum outcome pq_session_check_prepare(const char *value, struct arena *arena,
                                      struct statement *ret_statement, struct err *err)
{
    struct statement statement = {.name = "session.check", .sql = check_sql, .own = true};
    struct params params;

    params_init(&params, arena, 1);
    params_text(&params, text_of(value));
    if (!params_done(&params, &statement))
        return err_no_memory(err, "batch arena");
    *ret_statement = statement;
    return OUTCOME_OK;
}

bool pq_session_is_check(const struct statement *statement)
{
    return statement->sql == check_sql;
}

enum outcome pq_session_fail(struct err *err)
{
    return err_set(err, OUTCOME_FATAL, EXECUTOR_PQ_POOLED,
                   "this is another session of the server than the one that was set up: a "
                   "connection pooler in transaction mode is in between; use its session mode");
}
