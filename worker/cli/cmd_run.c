#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "repo/pg/executor_pq.h"
#include "worker/apply/apply.h"
#include "worker/cli/verbs.h"
#include "worker/cli/version.h"
#include "worker/daemon/admin_http.h"
#include "worker/daemon/health.h"
#include "worker/daemon/metrics_page.h"
#include "worker/daemon/process_metrics.h"
#include "worker/daemon/startup.h"
#include "worker/daemon/supervisor.h"
#include "worker/daemon/watchdog.h"
#include "worker/kafka/kafka_client.h"
#include "worker/kafka/kafka_version.h"

/* The daemon: configuration, checks, lanes, signals. Signals are blocked in every thread and taken
 * by the main one, synchronously, so no handler runs. */

struct daemon_state {
    struct config config;
    struct supervisor *supervisor;
    struct admin_http *http;
    struct health health;
    int64_t started_wall_us;
    sigset_t signals;
    int caught;     /* the signal that ended the start; 0: none */
    bool abandoned; /* lanes hang in librdkafka: the process ends without them */
    bool hung;      /* with a batch in hand */
};

/* Within that a lane goes round its loop, or it loses its partitions. */
enum { MAX_POLL_INTERVAL_MS = 300 * 1000 }; /* librdkafka's default */

static int64_t poll_interval_ms(const struct config *config)
{
    const char *text = config_kafka_value(config, "max.poll.interval.ms");
    return text != NULL ? strtoll(text, NULL, 10) : MAX_POLL_INTERVAL_MS;
}

/* --- pages -------------------------------------------------------------------------------------
 */

enum { HTTP_OK = 200, HTTP_UNAVAILABLE = 503 };

static unsigned page_started(void *context, struct buffer *out)
{
    const struct daemon_state *state = context;
    return health_started(&state->health, out) ? HTTP_OK : HTTP_UNAVAILABLE;
}

static unsigned page_live(void *context, struct buffer *out)
{
    const struct daemon_state *state = context;
    return health_live(&state->health, clock_monotonic_us(), out) ? HTTP_OK : HTTP_UNAVAILABLE;
}

static unsigned page_ready(void *context, struct buffer *out)
{
    const struct daemon_state *state = context;
    return health_ready(&state->health, out) ? HTTP_OK : HTTP_UNAVAILABLE;
}

static unsigned page_metrics(void *context, struct buffer *out)
{
    const struct daemon_state *state = context;

    metrics_render(state->health.lanes, state->health.lane_count, out);
    process_metrics_render(state->started_wall_us, out);
    return HTTP_OK;
}

static unsigned page_version(void *context, struct buffer *out)
{
    (void)context;
    version_json(out);
    buffer_append_byte(out, '\n');
    return HTTP_OK;
}

static const struct admin_page pages[] = {
    {"/health/started", "application/json", page_started},
    {"/health/live", "application/json", page_live},
    {"/health/ready", "application/json", page_ready},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", page_metrics},
    {"/version", "application/json", page_version},
};

/* --- signals -----------------------------------------------------------------------------------
 */

/* SIGUSR1 comes from the supervisor: a lane has ended. SIGHUP must not end the process: to many
 * operators and log rotators it means "read your settings again". */
static void signals_block(sigset_t *ret_signals)
{
    sigemptyset(ret_signals);
    sigaddset(ret_signals, SIGHUP);
    sigaddset(ret_signals, SIGTERM);
    sigaddset(ret_signals, SIGINT);
    sigaddset(ret_signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, ret_signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* The next signal within the pause, or negative. */
static int take_signal(const struct daemon_state *state, const struct timespec *pause)
{
    int caught = sigtimedwait(&state->signals, NULL, pause);

    if (caught == SIGHUP)
        log_plain(LOG_INFO, "SIGHUP does nothing: settings are read at start only");
    return caught;
}

/* A pause that a signal ends, for startup_check(). */
static bool pause_or_signal(void *context, int64_t pause_ms)
{
    struct daemon_state *state = context;
    const struct timespec pause = {pause_ms / 1000, (pause_ms % 1000) * 1000000};
    int caught = take_signal(state, &pause);

    if (caught == SIGTERM || caught == SIGINT)
        state->caught = caught;
    return state->caught == 0;
}

/* A supervisor that signals both a process and its group sends two at once and means one. */
enum { SECOND_SIGNAL_AFTER_US = 1000 * 1000 };

/* A lane that has left its loop has left the group too, and owes nothing; its clients are still to
 * be taken down. librdkafka 2.0.2 waits for a thread of its own for ever when a command topic was
 * deleted meanwhile. */
enum { CLIENTS_GONE_WITHIN_US = 5 * 1000 * 1000 };

static bool lanes_left_loop(const struct daemon_state *state)
{
    for (size_t i = 0; i < state->health.lane_count; i++) {
        if (!atomic_load(&state->health.lanes[i]->stopped))
            return false;
    }
    return true;
}

/* Whether the process ends without its clients. */
static bool clients_hang(const struct daemon_state *state, int64_t *left_since_us)
{
    int64_t now_us = clock_monotonic_us();

    if (!atomic_load(&state->health.stopping) || !lanes_left_loop(state))
        return false;
    if (*left_since_us == 0)
        *left_since_us = now_us;
    return now_us - *left_since_us > CLIENTS_GONE_WITHIN_US;
}

/* A lane that hangs with a batch in hand never comes back (a transactional producer of librdkafka
 * 2.16 that was told of no broker waits for ever). After max.poll.interval.ms it has lost its
 * partitions in any case, and another process can have them. */
static unsigned looks_before_hanging(const struct config *config)
{
    return (unsigned)(poll_interval_ms(config) / WATCHDOG_LOOK_MS) + 1;
}

static bool lane_hangs(struct daemon_state *state, struct watchdog *watchdog, unsigned looks)
{
    int lane = watchdog_look(watchdog, state->health.lanes, state->health.lane_count, looks,
                             atomic_load(&state->health.stopping));
    if (lane < 0)
        return false;
    log_line(LOG_ERROR, "a lane hangs; the process ends", LOG_INT("lane", lane));
    state->abandoned = state->hung = true;
    return true;
}

/* Until every lane has ended. The first SIGTERM or SIGINT lets them finish, another one a second
 * later does not wait for that: what is in hand will be delivered again. */
static void run_until_drained(struct daemon_state *state)
{
    const struct timespec pause = {WATCHDOG_LOOK_MS / 1000, 0};
    const unsigned looks = looks_before_hanging(&state->config);
    int64_t stopping_since_us = 0, left_since_us = 0;
    struct watchdog watchdog = {0};

    while (supervisor_running(state->supervisor) > 0) {
        int caught = take_signal(state, &pause);
        bool asked = caught == SIGTERM || caught == SIGINT;

        if (clients_hang(state, &left_since_us)) {
            log_line(LOG_WARN, "librdkafka does not end its threads; the process does",
                     LOG_INT("lanes", supervisor_running(state->supervisor)));
            state->abandoned = true;
            return;
        }
        if (caught < 0 && lane_hangs(state, &watchdog, looks))
            return;

        if (!asked && !supervisor_gave_up(state->supervisor))
            continue;
        if (!atomic_exchange(&state->health.stopping, 1)) {
            log_line(LOG_INFO, "stopping", LOG_STR("why", asked ? "signal" : "a lane gave up"));
            stopping_since_us = clock_monotonic_us();
            supervisor_stop(state->supervisor);
        } else if (asked && clock_monotonic_us() - stopping_since_us > SECOND_SIGNAL_AFTER_US) {
            log_plain(LOG_WARN, "second signal, not waiting");
            _exit(EXIT_TRY_AGAIN);
        }
    }
}

/* --- the log's first and last line -------------------------------------------------------------
 */

static void log_start(const struct daemon_state *state)
{
    const struct config *config = &state->config;
    char libpq[LIBPQ_VERSION_LENGTH];
    char topics[1024] = "";

    for (size_t i = 0; i < config->command_topic_count; i++) {
        size_t length = strlen(topics);
        snprintf(topics + length, sizeof(topics) - length, "%s%s", i > 0 ? "," : "",
                 config->command_topics[i]);
    }
    libpq_version(libpq);
    log_line(LOG_INFO, "starting", LOG_STR("version", WORKER_VERSION), LOG_STR("libpq", libpq),
             LOG_STR("librdkafka", kafka_library_version()), LOG_INT("lanes", config->lanes),
             LOG_STR("group", config->group_id), LOG_STR("instance", config->instance_id),
             LOG_STR("command_topics", topics), LOG_STR("audit_topic", config->audit_topic),
             LOG_INT("http_port", state->http != NULL ? admin_http_port(state->http) : 0));
    if (kafka_library_number() < KAFKA_LIBRARY_CALM)
        log_line(LOG_INFO,
                 "librdkafka older than 2.4 spends CPU time on timers; a newer one does "
                 "not",
                 LOG_STR("librdkafka", kafka_library_version()));
}

static void log_stop(const struct daemon_state *state, enum exit_code code)
{
    uint64_t messages = 0, batches = 0;

    for (size_t i = 0; i < state->health.lane_count; i++) {
        messages += atomic_load(&state->health.lanes[i]->batch_messages.sum);
        batches += atomic_load(&state->health.lanes[i]->batches);
    }
    log_line(LOG_INFO, "stopped", LOG_INT("exit", code), LOG_INT("messages", messages),
             LOG_INT("batches", batches),
             LOG_INT("seconds", (clock_wall_us() - state->started_wall_us) / 1000000));
}

/* --- the verb ----------------------------------------------------------------------------------
 */

static enum exit_code fail(enum exit_code code, const struct err *err)
{
    log_line(LOG_ERROR, "cannot start", LOG_STR("error", err->text), LOG_STR("code", err->code),
             LOG_INT("exit", code));
    return code;
}

static enum exit_code prepare(struct daemon_state *state)
{
    struct err err;

    if (apply_check(&err) != OUTCOME_OK)
        return fail(EXIT_BUG, &err);
    if (supervisor_new(&state->config, &state->supervisor, &err) != OUTCOME_OK)
        return fail(EXIT_BUG, &err);
    state->health.lanes = supervisor_metrics(state->supervisor);
    state->health.lane_count = supervisor_lane_count(state->supervisor);
    state->health.stuck_after_us = poll_interval_ms(&state->config) * 1000;
    if (state->config.http_listen[0] != '\0' &&
        admin_http_start(state->config.http_listen, pages, sizeof(pages) / sizeof(pages[0]), state,
                         &state->http, &err) != OUTCOME_OK)
        return fail(exit_code_of(&err), &err);
    return EXIT_DONE;
}

/* Whatever the start-up check refuses is a setting, a schema, a topic or a right. */
static enum exit_code exit_code_of_start(enum outcome outcome, const struct err *err)
{
    if (outcome == OUTCOME_RETRY)
        return kafka_refuses_connection(err) ? EXIT_CONFIG : EXIT_UNAVAILABLE;
    return outcome == OUTCOME_FULL ? EXIT_BUG : EXIT_CONFIG;
}

static enum exit_code serve(struct daemon_state *state)
{
    const struct startup startup = {&state->config, pause_or_signal, state};
    int64_t record_bytes_max = 0;
    struct err err;

    enum outcome outcome = startup_check(&startup, &record_bytes_max, &err);
    if (state->caught != 0)
        return EXIT_DONE;
    if (outcome != OUTCOME_OK)
        return fail(exit_code_of_start(outcome, &err), &err);

    if (supervisor_start(state->supervisor, record_bytes_max, SUPERVISOR_PAUSE_MIN_MS, &err) !=
        OUTCOME_OK)
        return fail(EXIT_BUG, &err);
    atomic_store(&state->health.checked, 1);
    run_until_drained(state);
    return state->hung || supervisor_gave_up(state->supervisor) ? EXIT_TRY_AGAIN : EXIT_DONE;
}

static enum exit_code run_daemon(struct daemon_state *state)
{
    log_configure(state->config.log_level, state->config.log_format);
    signals_block(&state->signals);
    enum exit_code code = prepare(state);
    if (code == EXIT_DONE) {
        log_start(state);
        code = serve(state);
    }
    /* The pages read the lanes' numbers: the server goes first. */
    admin_http_stop(state->http);
    log_stop(state, code);
    if (state->abandoned)
        _exit((int)code);
    supervisor_free(state->supervisor);
    return code;
}

static enum exit_code run_run(const struct arguments *arguments)
{
    struct daemon_state state = {.started_wall_us = clock_wall_us()};
    struct err err;

    if (arguments->operand_count > 0)
        return cli_usage_error(arguments, "takes no operands");
    if (crash_points_arm(&err) != OUTCOME_OK)
        return cli_fail(arguments, EXIT_CONFIG, "%s", err.text);
    enum exit_code code = cli_config(arguments, &state.config);
    if (code != EXIT_DONE)
        return code;
    code = run_daemon(&state);
    config_release(&state.config);
    return code;
}

const struct verb verb_run = {
    .name = "run",
    .operands = "",
    .summary = "the daemon: apply commands, publish audit events",
    .description =
        "Applies commands from Kafka to PostgreSQL exactly once and publishes an audit event\n"
        "for each, until SIGTERM or SIGINT: then the batches in hand are finished and the\n"
        "consumer group is left. Another signal a second later ends the process at once (exit\n"
        "75); what was in hand is delivered again.\n\n"
        "At start it waits for broker and database up to worker.startup_deadline (then exit\n"
        "69), and refuses to run on a schema that is too old or without its topics (exit 78);\n"
        "once running it waits for ever. A lane that fails is built anew after a pause; when\n"
        "that did not help five times in a row, or when it hangs for longer than librdkafka's\n"
        "max.poll.interval.ms, the process exits 75, to be started again.",
    .run = run_run,
};
