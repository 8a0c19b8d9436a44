#include "repo/executor_pq.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "repo/executor_pq_copy.h"
#include "repo/pg_binary.h"
#include "repo/pq_hosts.h"

enum {
    BINARY = 1,
    CONNECT_TIMEOUT_S = 10, /* when neither the options nor the conninfo nor libpq's say */
    /* The server gives up a statement first, and says so; only a peer that does not answer at all
     * runs into the client's own deadline. */
    TIMEOUT_GRACE_MS = 2000,
    NAMES_FIRST = 64,
};

static const char LOST[] = "08006"; /* connection_failure */

DEFINE_CLEANUP(PGresult *, PQclear)
DEFINE_CLEANUP(PQconninfoOption *, PQconninfoFree)

struct executor_pq {
    struct executor port;
    PGconn *connection;
    bool broken; /* the connection is to be replaced by the next recover() */
    bool stale;  /* the server knows other prepared statements than `prepared` says */
    uint64_t connects;

    char **prepared; /* names that the server has prepared on this connection */
    size_t prepared_count;
    size_t prepared_capacity;

    char *conninfo;
    struct pq_hosts hosts; /* of the conninfo, the next one to try first */
    char *schema;
    char *application_name;
    int connect_timeout_s;
    int64_t statement_timeout_ms;

    /* The only thing that other threads touch. */
    pthread_mutex_t cancel_lock;
    PGcancel *cancel;
};

static void ignore_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

/* --- outcomes ---------------------------------------------------------------------------- */

/* SQLSTATE, or its beginning, to outcome; first match wins. What is not here is FATAL. Codes and
 * classes: PostgreSQL manual, appendix "PostgreSQL Error Codes". */
static const struct {
    const char *prefix;
    enum outcome outcome;
} outcomes[] = {
    {"08", OUTCOME_RETRY},    /* connection exception */
    {"25006", OUTCOME_RETRY}, /* read-only: this server became a standby */
    {"25P03", OUTCOME_RETRY}, /* idle in transaction for too long: the session is gone */
    {"26000", OUTCOME_RETRY}, /* prepared statement unknown: prepared again next time */
    {"40", OUTCOME_RETRY},    /* serialization failure, deadlock */
    {"42P05", OUTCOME_RETRY}, /* prepared statement known already: forgotten by recover() */
    {"53", OUTCOME_RETRY},    /* out of connections, memory or disk */
    {"55006", OUTCOME_RETRY}, /* object in use */
    {"55P03", OUTCOME_RETRY}, /* lock not available */
    {"57", OUTCOME_RETRY},    /* shut down, starting up, cancelled, timed out */
    {"58030", OUTCOME_RETRY}, /* I/O error */
    {"22", OUTCOME_REJECT},   /* value out of range or malformed */
    {"23", OUTCOME_REJECT},   /* constraint violated */
};

static enum outcome outcome_of(const char *sqlstate)
{
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        if (strncmp(sqlstate, outcomes[i].prefix, strlen(outcomes[i].prefix)) == 0)
            return outcomes[i].outcome;
    }
    return OUTCOME_FATAL;
}

static const char *field(const PGresult *result, int code)
{
    const char *value = PQresultErrorField(result, code);
    return value != NULL ? value : "";
}

static const char *statement_label(const struct statement *statement)
{
    return statement->name != NULL ? statement->name : "statement";
}

/* The plan of a prepared statement that a migration has made impossible: 0A000, raised by this
 * function of the server (its message may be translated). */
static bool is_outdated_plan(const PGresult *result, const char *sqlstate)
{
    return strcmp(sqlstate, "0A000") == 0 &&
           strcmp(field(result, PG_DIAG_SOURCE_FUNCTION), "RevalidateCachedQuery") == 0;
}

static void note_state(struct executor_pq *self, const PGresult *result, const char *sqlstate)
{
    if (is_outdated_plan(result, sqlstate) || strcmp(sqlstate, "26000") == 0 ||
        strcmp(sqlstate, "42P05") == 0)
        self->stale = true;
    /* A standby stays one: only another connection finds the primary. */
    if (strcmp(sqlstate, "25006") == 0 || strncmp(sqlstate, "08", 2) == 0 ||
        strncmp(sqlstate, "57P", 3) == 0 || strcmp(sqlstate, "25P03") == 0)
        self->broken = true;
}

/* Classes 22 and 23 put the offending value into their message; for them only the names of the
 * objects are told. */
static enum outcome fail(struct executor_pq *self, const PGresult *result,
                         const struct statement *statement, struct err *err)
{
    const char *sqlstate = field(result, PG_DIAG_SQLSTATE);
    const char *label = statement_label(statement);
    enum outcome outcome = outcome_of(sqlstate);

    note_state(self, result, sqlstate);
    if (is_outdated_plan(result, sqlstate))
        outcome = OUTCOME_RETRY;
    if (sqlstate[0] == '\0') {
        self->broken = true;
        return err_set(err, OUTCOME_RETRY, LOST, "%s: connection lost", label);
    }
    if (outcome == OUTCOME_REJECT) {
        const char *table = field(result, PG_DIAG_TABLE_NAME);
        const char *column = field(result, PG_DIAG_COLUMN_NAME);
        const char *constraint = field(result, PG_DIAG_CONSTRAINT_NAME);
        return err_set(err, outcome, sqlstate, "%s: PostgreSQL refuses a value (%s)%s%s%s%s%s%s",
                       label, sqlstate, table[0] != '\0' ? ", table " : "", table,
                       column[0] != '\0' ? ", column " : "", column,
                       constraint[0] != '\0' ? ", constraint " : "", constraint);
    }
    return err_set(err, outcome, sqlstate, "%s: %s (%s)", label,
                   field(result, PG_DIAG_MESSAGE_PRIMARY), sqlstate);
}

static enum outcome lost(struct executor_pq *self, const struct statement *statement,
                         const char *why, struct err *err)
{
    self->broken = true;
    return err_set(err, OUTCOME_RETRY, LOST, "%s: %s", statement_label(statement), why);
}

/* --- waiting ----------------------------------------------------------------------------- */

static int64_t deadline_us(const struct executor_pq *self)
{
    if (self->statement_timeout_ms == 0)
        return INT64_MAX;
    return clock_monotonic_us() + (self->statement_timeout_ms + TIMEOUT_GRACE_MS) * 1000;
}

enum waited { WAITED_READY, WAITED_TIMEOUT, WAITED_FAILED };

static enum waited wait_for(int socket, short events, int64_t until_us)
{
    struct pollfd watched = {.fd = socket, .events = events};

    for (;;) {
        int timeout_ms = -1;
        if (until_us != INT64_MAX) {
            int64_t left_us = until_us - clock_monotonic_us();
            if (left_us <= 0)
                return WAITED_TIMEOUT;
            timeout_ms =
                left_us > (int64_t)INT32_MAX * 1000 ? INT32_MAX : (int)((left_us + 999) / 1000);
        }
        int ready = poll(&watched, 1, timeout_ms);
        if (ready > 0)
            return WAITED_READY;
        if (ready < 0 && errno != EINTR)
            return WAITED_FAILED;
    }
}

/* Until a result can be taken without blocking. Writes what is left to write meanwhile, and reads
 * while it writes: with both buffers full the server would wait for us as we for it. */
static enum waited wait_for_result(PGconn *connection, int64_t until_us)
{
    bool flushed = false;

    while (!flushed || PQisBusy(connection)) {
        int unsent = flushed ? 0 : PQflush(connection);
        if (unsent < 0)
            return WAITED_FAILED;
        flushed = unsent == 0;
        if (flushed && !PQisBusy(connection))
            break;
        short events = (short)(flushed ? POLLIN : POLLIN | POLLOUT);
        enum waited waited = wait_for(PQsocket(connection), events, until_us);
        if (waited != WAITED_READY)
            return waited;
        if (PQconsumeInput(connection) == 0)
            return WAITED_FAILED;
    }
    return WAITED_READY;
}

/* --- prepared statements ------------------------------------------------------------------ */

static bool is_prepared(const struct executor_pq *self, const char *name)
{
    for (size_t i = 0; i < self->prepared_count; i++) {
        if (strcmp(self->prepared[i], name) == 0)
            return true;
    }
    return false;
}

static void forget_prepared(struct executor_pq *self)
{
    for (size_t i = 0; i < self->prepared_count; i++)
        free(self->prepared[i]);
    self->prepared_count = 0;
}

static bool remember_prepared(struct executor_pq *self, const char *name)
{
    if (self->prepared_count == self->prepared_capacity) {
        size_t capacity =
            self->prepared_capacity > 0 ? 2 * self->prepared_capacity : (size_t)NAMES_FIRST;
        char **grown = realloc(self->prepared, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        self->prepared = grown;
        self->prepared_capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        return false;
    self->prepared[self->prepared_count++] = copy;
    return true;
}

/* --- sending ----------------------------------------------------------------------------- */

/* The parameters of one statement as libpq takes them, in the arena of the call. */
struct bound {
    Oid *types;
    const char **values;
    int *lengths;
    int *formats;
};

static bool bind_params(const struct statement *statement, struct arena *arena,
                        struct bound *ret_bound)
{
    size_t count = statement->param_count;
    struct bound bound = {
        ARENA_ARRAY(arena, Oid, count),
        ARENA_ARRAY(arena, const char *, count),
        ARENA_ARRAY(arena, int, count),
        ARENA_ARRAY(arena, int, count),
    };
    if (bound.types == NULL || bound.values == NULL || bound.lengths == NULL ||
        bound.formats == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        assert(statement->params[i].length <= INT32_MAX);
        bound.types[i] = (Oid)statement->params[i].type;
        bound.values[i] = statement->params[i].data;
        bound.lengths[i] = (int)statement->params[i].length;
        bound.formats[i] = BINARY;
    }
    *ret_bound = bound;
    return true;
}

/* What was sent for a statement: what answers come back for it. */
struct sent {
    bool prepare; /* a preparation precedes the execution */
};

/* Two uses of a new name in one round trip prepare it once. */
static bool is_prepared_before(const struct statement *statements, const struct sent *sent,
                               size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (sent[i].prepare && strcmp(statements[i].name, statements[index].name) == 0)
            return true;
    }
    return false;
}

static enum outcome send_one(struct executor_pq *self, const struct statement *statements,
                             size_t index, struct sent *sent, struct arena *arena, struct err *err)
{
    const struct statement *statement = &statements[index];
    int count = (int)statement->param_count;
    struct bound bound;
    int done = 1;

    if (!bind_params(statement, arena, &bound))
        return err_no_memory(err, "batch arena");
    if (statement->name == NULL) {
        done = PQsendQueryParams(self->connection, statement->sql, count, bound.types, bound.values,
                                 bound.lengths, bound.formats, BINARY);
    } else {
        sent[index].prepare =
            !is_prepared(self, statement->name) && !is_prepared_before(statements, sent, index);
        if (sent[index].prepare)
            done = PQsendPrepare(self->connection, statement->name, statement->sql, count,
                                 bound.types);
        if (done == 1)
            done = PQsendQueryPrepared(self->connection, statement->name, count, bound.values,
                                       bound.lengths, bound.formats, BINARY);
    }
    if (done != 1)
        return lost(self, statement, "cannot be sent: connection lost", err);
    return OUTCOME_OK;
}

/* --- results ----------------------------------------------------------------------------- */

static size_t affected_by(PGresult *result)
{
    const char *tuples = PQcmdTuples(result);
    return tuples[0] != '\0' ? (size_t)strtoull(tuples, NULL, 10) : 0;
}

static bool copy_rows(PGresult *result, struct arena *arena, struct rows *ret_rows)
{
    int row_count = PQntuples(result);
    int column_count = PQnfields(result);
    struct cell *cells = ARENA_ARRAY(arena, struct cell, (size_t)row_count * (size_t)column_count);
    if (cells == NULL)
        return false;

    struct cell *cell = cells;
    for (int row = 0; row < row_count; row++) {
        for (int column = 0; column < column_count; column++, cell++) {
            if (PQgetisnull(result, row, column))
                continue;
            cell->length = (size_t)PQgetlength(result, row, column);
            cell->data = arena_copy(arena, PQgetvalue(result, row, column), cell->length);
            if (cell->data == NULL)
                return false;
        }
    }
    *ret_rows = (struct rows){
        .affected = affected_by(result),
        .row_count = (size_t)row_count,
        .column_count = (size_t)column_count,
        .cells = cells,
    };
    return true;
}

/* The next answer of the pipeline, and the NULL that libpq puts behind each. */
static PGresult *take_result(struct executor_pq *self, int64_t until_us, const char **ret_why)
{
    enum waited waited = wait_for_result(self->connection, until_us);
    if (waited != WAITED_READY) {
        *ret_why =
            waited == WAITED_TIMEOUT ? "no answer within the statement timeout" : "connection lost";
        return NULL;
    }
    PGresult *result = PQgetResult(self->connection);
    if (result == NULL) {
        *ret_why = "connection lost";
        return NULL;
    }
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
        return result;
    PGresult *end = wait_for_result(self->connection, until_us) == WAITED_READY
                        ? PQgetResult(self->connection)
                        : NULL;
    PQclear(end);
    return result;
}

static bool is_commit(const struct statement *statement)
{
    return statement->sql == executor_commit.sql || strcmp(statement->sql, "COMMIT") == 0;
}

static enum outcome accept(struct executor_pq *self, PGresult *result,
                           const struct statement *statement, struct arena *arena,
                           struct rows *ret_rows, struct err *err)
{
    switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
        /* COMMIT of a failed transaction reports success with the tag ROLLBACK. */
        if (is_commit(statement) && strcmp(PQcmdStatus(result), "COMMIT") != 0)
            return err_set(err, OUTCOME_RETRY, "40000", "%s: was rolled back",
                           statement_label(statement));
        *ret_rows = (struct rows){.affected = affected_by(result)};
        return OUTCOME_OK;
    case PGRES_TUPLES_OK:
        if (!copy_rows(result, arena, ret_rows))
            return err_no_memory(err, "batch arena");
        return OUTCOME_OK;
    case PGRES_BAD_RESPONSE:
    case PGRES_FATAL_ERROR:
    case PGRES_NONFATAL_ERROR:
        return fail(self, result, statement, err);
    case PGRES_PIPELINE_ABORTED:
        /* Only behind a failure, which has been told already. */
        return OUTCOME_OK;
    case PGRES_EMPTY_QUERY:
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
    case PGRES_SINGLE_TUPLE:
    case PGRES_PIPELINE_SYNC:
        break;
    }
    self->broken = true;
    return err_set(err, OUTCOME_FATAL, "", "%s: unexpected kind of answer",
                   statement_label(statement));
}

/* Takes the answers to one statement. `err` is set by the first failure of the round trip only. */
static enum outcome receive_one(struct executor_pq *self, const struct statement *statement,
                                const struct sent *sent, int64_t until_us, struct arena *arena,
                                struct rows *ret_rows, struct err *err)
{
    const char *why = "";

    if (sent->prepare) {
        CLEANUP(PQclearp) PGresult *prepared = take_result(self, until_us, &why);
        if (prepared == NULL)
            return lost(self, statement, why, err);
        if (PQresultStatus(prepared) == PGRES_COMMAND_OK) {
            if (!remember_prepared(self, statement->name))
                self->stale = true; /* forgotten on both sides by recover() */
        } else if (PQresultStatus(prepared) != PGRES_PIPELINE_ABORTED) {
            enum outcome outcome = fail(self, prepared, statement, err);
            CLEANUP(PQclearp) PGresult *aborted = take_result(self, until_us, &why);
            if (aborted == NULL)
                self->broken = true;
            return outcome;
        }
    }
    CLEANUP(PQclearp) PGresult *result = take_result(self, until_us, &why);
    if (result == NULL)
        return lost(self, statement, why, err);
    return accept(self, result, statement, arena, ret_rows, err);
}

/* The answers in order up to the synchronisation point, also behind a failure, so that the
 * connection is at rest afterwards. */
static enum outcome receive_all(struct executor_pq *self, const struct statement *statements,
                                const struct sent *sent, size_t count, int64_t until_us,
                                struct arena *arena, struct rows *rows, struct err *err)
{
    enum outcome first = OUTCOME_OK;
    struct err ignored;
    const char *why = "";

    for (size_t i = 0; i < count; i++) {
        bool failed = first != OUTCOME_OK;
        enum outcome outcome = receive_one(self, &statements[i], &sent[i], until_us, arena,
                                           &rows[i], failed ? &ignored : err);
        if (!failed)
            first = outcome;
        if (outcome != OUTCOME_OK && self->broken)
            return first;
    }
    CLEANUP(PQclearp) PGresult *sync = take_result(self, until_us, &why);
    if (sync != NULL && PQresultStatus(sync) == PGRES_PIPELINE_SYNC)
        return first;
    /* An implicit transaction commits only here: what came before is not known to have lasted. */
    enum outcome outcome =
        lost(self, &statements[count - 1], why, first != OUTCOME_OK ? &ignored : err);
    return first != OUTCOME_OK ? first : outcome;
}

static enum outcome run(struct executor *port, const struct statement *statements, size_t count,
                        struct arena *arena, struct rows *ret_rows, struct err *err)
{
    struct executor_pq *self = (struct executor_pq *)port;

    if (count == 0)
        return OUTCOME_OK;
    if (self->connection == NULL || self->broken)
        return err_set(err, OUTCOME_RETRY, LOST, "%s: not connected",
                       statement_label(&statements[0]));
    struct sent *sent = ARENA_ARRAY(arena, struct sent, count);
    struct rows *rows = ARENA_ARRAY(arena, struct rows, count);
    if (sent == NULL || rows == NULL)
        return err_no_memory(err, "batch arena");

    int64_t until_us = deadline_us(self);
    for (size_t i = 0; i < count; i++) {
        enum outcome outcome = send_one(self, statements, i, sent, arena, err);
        if (outcome != OUTCOME_OK) {
            self->broken = true; /* half a round trip is on its way */
            return outcome;
        }
    }
    if (PQpipelineSync(self->connection) != 1)
        return lost(self, &statements[0], "cannot be sent: connection lost", err);
    if (is_commit(&statements[count - 1]))
        CRASH_POINT(commit_sent);

    enum outcome outcome = receive_all(self, statements, sent, count, until_us, arena, rows, err);
    if (outcome == OUTCOME_OK)
        memcpy(ret_rows, rows, count * sizeof(rows[0]));
    return outcome;
}

static const char *wait_to_copy(PGconn *connection, int64_t until_us)
{
    switch (wait_for_result(connection, until_us)) {
    case WAITED_READY:
        return NULL;
    case WAITED_TIMEOUT:
        return "no answer within the statement timeout";
    case WAITED_FAILED:
        break;
    }
    return "connection lost";
}

static enum outcome copy(struct executor *port, const struct copy *copy, struct err *err)
{
    struct executor_pq *self = (struct executor_pq *)port;
    const struct statement statement = {.name = copy->name, .sql = copy->sql};

    if (self->connection == NULL || self->broken)
        return err_set(err, OUTCOME_RETRY, LOST, "%s: not connected", copy->name);
    struct pq_copied copied = pq_copy(self->connection, copy, wait_to_copy, deadline_us(self));
    CLEANUP(PQclearp) PGresult *refused = copied.refused;
    if (copied.lost != NULL)
        return lost(self, &statement, copied.lost, err);
    return refused != NULL ? fail(self, refused, &statement, err) : OUTCOME_OK;
}

/* --- connecting -------------------------------------------------------------------------- */

static void set_cancel(struct executor_pq *self, PGcancel *cancel)
{
    pthread_mutex_lock(&self->cancel_lock);
    PQfreeCancel(self->cancel);
    self->cancel = cancel;
    pthread_mutex_unlock(&self->cancel_lock);
}

static void disconnect(struct executor_pq *self)
{
    set_cancel(self, NULL);
    PQfinish(self->connection);
    self->connection = NULL;
    forget_prepared(self);
}

/* A failed connection has no PGresult; libpq writes the SQLSTATE into its message when asked to be
 * verbose: "... FATAL:  28P01: password ...". With several hosts the last one counts. */
static void sqlstate_of_message(const char *message, char ret_sqlstate[6])
{
    ret_sqlstate[0] = '\0';
    for (const char *at = strstr(message, ":  "); at != NULL; at = strstr(at + 1, ":  ")) {
        if (strspn(at + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && at[8] == ':') {
            memcpy(ret_sqlstate, at + 3, 5);
            ret_sqlstate[5] = '\0';
        }
    }
}

static enum outcome connect_failed(struct executor_pq *self, const char *why, struct err *err)
{
    const char *message = why != NULL ? why : PQerrorMessage(self->connection);
    char sqlstate[6];

    sqlstate_of_message(message, sqlstate);
    enum outcome outcome = sqlstate[0] != '\0' ? outcome_of(sqlstate) : OUTCOME_RETRY;
    if (PQconnectionNeedsPassword(self->connection))
        outcome = OUTCOME_FATAL;
    /* The first line: host, port and reason. Behind it come hints and source positions. */
    err_set(err, outcome, sqlstate[0] != '\0' ? sqlstate : LOST, "connect to PostgreSQL: %.*s",
            (int)strcspn(message, "\n"), message);
    disconnect(self);
    return outcome;
}

static int64_t connect_timeout_us(PGconn *connection)
{
    CLEANUP(PQconninfoFreep) PQconninfoOption *options = PQconninfo(connection);
    int64_t seconds = 0;

    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++) {
        if (option->val != NULL && strcmp(option->keyword, "connect_timeout") == 0)
            seconds = strtol(option->val, NULL, 10);
    }
    return (seconds > 0 ? seconds : CONNECT_TIMEOUT_S) * 1000000;
}

/* Each host has the whole time, as with libpq's own connecting; past it the next attempt begins
 * with another one. */
static enum outcome finish_connecting(struct executor_pq *self, struct err *err)
{
    int64_t timeout_us = connect_timeout_us(self->connection);
    int64_t until_us = clock_monotonic_us() + timeout_us;
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    const char *host = PQhost(self->connection);
    const char *port = PQport(self->connection);

    while (next != PGRES_POLLING_OK) {
        if (next == PGRES_POLLING_FAILED)
            return connect_failed(self, NULL, err);
        if (PQhost(self->connection) != host || PQport(self->connection) != port) {
            host = PQhost(self->connection);
            port = PQport(self->connection);
            until_us = clock_monotonic_us() + timeout_us;
        }
        short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        enum waited waited = wait_for(PQsocket(self->connection), events, until_us);
        if (waited == WAITED_TIMEOUT) {
            pq_hosts_turn(&self->hosts);
            return connect_failed(self, "timed out", err);
        }
        if (waited == WAITED_FAILED)
            return connect_failed(self, "cannot wait for the socket", err);
        next = PQconnectPoll(self->connection);
    }
    return OUTCOME_OK;
}

/* What every session of ours has, whatever the server's or the role's defaults.
 *
 * The plan and scan settings are those that the set-wise statements were measured with: a generic
 * plan made while a table was empty must not become a sequential scan. The TCP settings are the
 * server's side of a dead peer: locks of a vanished client go within half a minute. */
static enum outcome apply_settings(struct executor_pq *self, struct err *err)
{
    static const struct statement settings = {
        .sql = "SELECT set_config('search_path', quote_ident($1), false),"
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
               " set_config('tcp_user_timeout', '25s', false)",
    };
    char timeout[24];
    struct rows rows;
    CLEANUP(arena_freep) struct arena *arena = arena_new((size_t)1024 * 1024);
    if (arena == NULL)
        return err_no_memory(err, "connect to PostgreSQL");

    snprintf(timeout, sizeof(timeout), "%" PRId64, self->statement_timeout_ms);
    struct statement statement = settings;
    struct params params;
    params_init(&params, arena, 2);
    params_text(&params, text_of(self->schema));
    params_text(&params, text_of(timeout));
    if (!params_done(&params, &statement))
        return err_no_memory(err, "connect to PostgreSQL");
    enum outcome outcome = run(&self->port, &statement, 1, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return err_prefix(err, "session settings");
    return OUTCOME_OK;
}

static enum outcome reconnect(struct executor_pq *self, struct err *err)
{
    /* Keywords in front of "dbname" are defaults that the conninfo may override, those behind it
     * it may not. A NULL value counts as not given. */
    char timeout[12];
    snprintf(timeout, sizeof(timeout), "%d", self->connect_timeout_s);
    const struct {
        const char *keyword;
        const char *value;
    } settings[] = {
        {"fallback_application_name", self->application_name},
        {"connect_timeout", self->connect_timeout_s > 0 ? timeout : NULL},
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "25000"},
        {"dbname", self->conninfo},
        {"client_encoding", "UTF8"},
        {"host", self->hosts.host},
        {"hostaddr", self->hosts.hostaddr},
        {"port", self->hosts.port},
    };
    enum { COUNT = sizeof(settings) / sizeof(settings[0]) };
    const char *keywords[COUNT + 1] = {NULL};
    const char *values[COUNT + 1] = {NULL};
    for (size_t i = 0; i < COUNT; i++) {
        keywords[i] = settings[i].keyword;
        values[i] = settings[i].value;
    }

    disconnect(self);
    self->broken = false;
    self->stale = false;
    self->connection = PQconnectStartParams(keywords, values, /* expand_dbname */ 1);
    if (self->connection == NULL)
        return err_no_memory(err, "connect to PostgreSQL");
    PQsetErrorVerbosity(self->connection, PQERRORS_VERBOSE);
    PQsetNoticeReceiver(self->connection, ignore_notice, NULL);
    if (PQstatus(self->connection) == CONNECTION_BAD)
        return connect_failed(self, NULL, err);
    enum outcome outcome = finish_connecting(self, err);
    if (outcome != OUTCOME_OK)
        return outcome;

    self->connects++;
    if (PQsetnonblocking(self->connection, 1) != 0 || PQenterPipelineMode(self->connection) != 1)
        return connect_failed(self, "cannot enter pipeline mode", err);
    set_cancel(self, PQgetCancel(self->connection));
    outcome = apply_settings(self, err);
    if (outcome != OUTCOME_OK)
        disconnect(self);
    return outcome;
}

/* Whether the connection is usable again without a new one. */
static bool settle(struct executor_pq *self)
{
    struct err err;
    struct rows rows[2];
    struct statement statements[2] = {executor_rollback, {.sql = "DEALLOCATE ALL"}};
    size_t count = self->stale ? 2 : 1;

    statements[0].name = NULL;
    CLEANUP(arena_freep) struct arena *arena = arena_new((size_t)64 * 1024);
    if (arena == NULL)
        return false;
    if (!self->stale && PQtransactionStatus(self->connection) == PQTRANS_IDLE)
        return true;
    if (run(&self->port, statements, count, arena, rows, &err) != OUTCOME_OK)
        return false;
    if (self->stale)
        forget_prepared(self);
    self->stale = false;
    return true;
}

static enum outcome recover(struct executor *port, struct err *err)
{
    struct executor_pq *self = (struct executor_pq *)port;

    if (self->connection != NULL && !self->broken && PQstatus(self->connection) == CONNECTION_OK &&
        settle(self))
        return OUTCOME_OK;
    return reconnect(self, err);
}

/* --- life -------------------------------------------------------------------------------- */

static const struct executor_ops ops = {.run = run, .copy = copy, .recover = recover};

void executor_pq_free(struct executor_pq *db)
{
    if (db == NULL)
        return;
    disconnect(db);
    pthread_mutex_destroy(&db->cancel_lock);
    free(db->prepared);
    free(db->conninfo);
    pq_hosts_release(&db->hosts);
    free(db->schema);
    free(db->application_name);
    free(db);
}

enum outcome executor_pq_new(const struct executor_pq_options *options, struct executor_pq **ret_db,
                             struct err *err)
{
    /* Only looked at: a conninfo that is none is found before the first attempt. Its error message
     * may quote the text, password and all, and is not passed on. */
    if (strchr(options->conninfo, '=') != NULL || strstr(options->conninfo, "://") != NULL) {
        CLEANUP(PQconninfoFreep)
        PQconninfoOption *parsed = PQconninfoParse(options->conninfo, NULL);
        if (parsed == NULL)
            return err_set(err, OUTCOME_FATAL, "",
                           "database URL: neither a URI nor key=value pairs "
                           "that libpq understands");
    }

    struct executor_pq *db = calloc(1, sizeof(*db));
    if (db == NULL)
        return err_no_memory(err, "connect to PostgreSQL");
    db->port.ops = &ops;
    db->broken = true;
    pthread_mutex_init(&db->cancel_lock, NULL);
    db->connect_timeout_s = options->connect_timeout_s;
    db->statement_timeout_ms = options->statement_timeout_ms;
    db->conninfo = strdup(options->conninfo);
    db->schema = strdup(options->schema);
    db->application_name = strdup(options->application_name);
    if (db->conninfo == NULL || db->schema == NULL || db->application_name == NULL ||
        !pq_hosts_parse(options->conninfo, &db->hosts)) {
        executor_pq_free(db);
        return err_no_memory(err, "connect to PostgreSQL");
    }
    *ret_db = db;
    return OUTCOME_OK;
}

struct executor *executor_pq_port(struct executor_pq *db)
{
    return &db->port;
}

uint64_t executor_pq_connects(const struct executor_pq *db)
{
    return db->connects;
}

void executor_pq_cancel(struct executor_pq *db)
{
    pthread_mutex_lock(&db->cancel_lock);
    if (db->cancel != NULL) {
        char ignored[256];
        (void)PQcancel(db->cancel, ignored, sizeof(ignored));
    }
    pthread_mutex_unlock(&db->cancel_lock);
}

int executor_pq_library_version(void)
{
    return PQlibVersion();
}
