#include "repo/pg/session_settings.h"

#include <inttypes.h>

#include "repo/pg/pg_binary.h"

/* The plan and scan settings are those that the set-wise statements were measured with: a generic
 * plan made while a table was empty must not become a sequential scan. The TCP settings are the
 * server's side of a dead peer: locks of a vanished client go within half a minute. */
static const char settings_sql[] =
    "SELECT set_config('search_path', $1, false),"
    " set_config('catalyst.session', $3, false),"
    " set_config('statement_timeout', $2, false),"
    " set_config('timezone', 'UTC', false),"
    " set_config('plan_cache_mode', 'force_generic_plan', false),"
    " set_config('enable_seqscan', 'off', false),"
    " set_config('work_mem', '64MB', false),"
    " set_config('jit', 'off', false),"
    " set_config('default_transaction_isolation', 'read committed', false),"
    " set_config('synchronous_commit',"
    " CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
    " ELSE current_setting('synchronous_commit') END, false),"
    " set_config('idle_in_transaction_session_timeout', '60s', false),"
    " set_config('tcp_keepalives_idle', '10', false),"
    " set_config('tcp_keepalives_interval', '5', false),"
    " set_config('tcp_keepalives_count', '3', false),"
    " set_config('tcp_user_timeout', '25s', false)";

enum outcome session_settings_prepare(const struct session_settings *settings, struct arena *arena,
                                      struct statement *ret_statement, struct err *err)
{
    const char *timeout = arena_printf(arena, "%" PRId64, settings->statement_timeout_ms);
    struct statement statement = {.sql = settings_sql, .own = true};
    struct params params;

    params_init(&params, arena, 3);
    params_text(&params, text_of(settings->search_path));
    params_text(&params, timeout != NULL ? text_of(timeout) : TEXT_ABSENT);
    params_text(&params, text_of(settings->session));
    if (timeout == NULL || !params_done(&params, &statement))
        return err_no_memory(err, "session settings");
    *ret_statement = statement;
    return OUTCOME_OK;
}
