#include "repo/pg/executor_pq.h"

#include <assert.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/crash_point.h"
#include "repo/pg/executor_pq_copy.h"
#include "repo/pg/pq_connect.h"
#include "repo/pg/pq_conninfo.h"
#include "repo/pg/pq_hosts.h"
#include "repo/pg/pq_prepared.h"
#include "repo/pg/pq_session.h"
#include "repo/pg/pq_statement.h"
#include "repo/pg/pq_wait.h"
#include "repo/pg/refused_row.h"
#include "repo/pg/session_settings.h"
#include "repo/pg/sqlstate.h"

enum {
    /* The server gives up a statement first, and says so; only a peer that does not answer at all
     * runs into the client's own deadline. */
    TIMEOUT_GRACE_MS = 2000,
};

/* Nobody but superusers creates objects in pg_catalog; pg_temp is not searched for functions and
 * operators, and would come first if it were not named. */
static const char SEARCH_PATH[] = "pg_catalog, pg_temp";

DEFINE_CLEANUP(PGresult *, PQclear)

struct executor_pq {
    struct executor port;
    PGconn *connection;
    bool broken; /* the connection is to be replaced by the next recover() */
    bool stale;  /* the server knows other prepared statements than `prepared` says */
    uint64_t connects;

    struct pq_prepared prepared;

    char *conninfo;
    struct pq_hosts hosts; /* of the conninfo, the next one to try first */
    struct sql_schema schema;
    char *search_path;
    char session[PQ_SESSION_VALUE_LENGTH + 1]; /* of the connection */
    char *application_name;
    int connect_timeout_s;
    int64_t statement_timeout_ms;

    /* The only thing that other threads touch. */
    pthread_mutex_t cancel_lock;
    PGcancel *cancel;
};

/* --- failures ---------------------------------------------------------------------------- */

static const char *field(const PGresult *result, int code)
{
    const char *value = PQresultErrorField(result, code);
    return value != NULL ? value : "";
}

static const char *statement_label(const struct statement *statement)
{
    return statement->name != NULL ? statement->name : "statement";
}

/* The server's function behind RAISE of PL/pgSQL. */
static const char RAISE[] = "exec_stmt_raise";

/* A refusal puts the offending value into its message; for it only the names of the objects are
 * told. */
static enum outcome tell_refusal(const PGresult *result, const char *label, const char *sqlstate,
                                 enum outcome outcome, struct err *err)
{
    const char *table = field(result, PG_DIAG_TABLE_NAME);
    const char *column = field(result, PG_DIAG_COLUMN_NAME);
    const char *constraint = field(result, PG_DIAG_CONSTRAINT_NAME);

    return err_set(err, outcome, sqlstate, "%s: PostgreSQL refuses a value (%s)%s%s%s%s%s%s", label,
                   sqlstate, table[0] != '\0' ? ", table " : "", table,
                   column[0] != '\0' ? ", column " : "", column,
                   constraint[0] != '\0' ? ", constraint " : "", constraint);
}

static enum outcome fail(struct executor_pq *self, const PGresult *result,
                         const struct statement *statement, struct err *err)
{
    const char *sqlstate = field(result, PG_DIAG_SQLSTATE);
    const char *label = statement_label(statement);

    if (sqlstate[0] == '\0') {
        self->broken = true;
        return err_set(err, OUTCOME_RETRY, pq_connection_failure, "%s: connection lost", label);
    }
    const char *function = field(result, PG_DIAG_SOURCE_FUNCTION);
    const struct sqlstate_rule *rule = sqlstate_rule_of(sqlstate, function);
    enum outcome outcome = statement->own ? sqlstate_own_outcome(rule) : rule->outcome;
    self->broken = self->broken || rule->reconnect;
    self->stale = self->stale || rule->prepare_anew;
    if (pq_session_is_check(statement) && rule->outcome == OUTCOME_REJECT) {
        self->broken = true;
        return pq_session_fail(err);
    }
    if (rule->outcome == OUTCOME_REJECT)
        return tell_refusal(result, label, sqlstate, outcome, err);
    if (strcmp(function, RAISE) == 0) /* in somebody's own words: they may hold values */
        return err_set(err, outcome, sqlstate, "%s: a function in the database raises it (%s)",
                       label, sqlstate);
    return err_set(err, outcome, sqlstate, "%s: %s (%s)", label,
                   field(result, PG_DIAG_MESSAGE_PRIMARY), sqlstate);
}

static enum outcome lost(struct executor_pq *self, const struct statement *statement,
                         const char *why, struct err *err)
{
    self->broken = true;
    return err_set(err, OUTCOME_RETRY, pq_connection_failure, "%s: %s", statement_label(statement),
                   why);
}

static int64_t deadline_us(const struct executor_pq *self)
{
    if (self->statement_timeout_ms == 0)
        return INT64_MAX;
    return clock_monotonic_us() + (self->statement_timeout_ms + TIMEOUT_GRACE_MS) * 1000;
}

/* --- sending ----------------------------------------------------------------------------- */

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

    sent[index].prepare = statement->name != NULL &&
                          !pq_prepared_has(&self->prepared, statement->name) &&
                          !is_prepared_before(statements, sent, index);
    switch (
        pq_statement_send(self->connection, statement, sent[index].prepare, &self->schema, arena)) {
    case PQ_SENT:
        return OUTCOME_OK;
    case PQ_NO_MEMORY:
        return err_no_memory(err, "batch arena");
    case PQ_CONNECTION_LOST:
        break;
    }
    return lost(self, statement, "cannot be sent: connection lost", err);
}

/* --- results ----------------------------------------------------------------------------- */

/* The next answer of the pipeline, and the NULL that libpq puts behind each. */
static PGresult *take_result(struct executor_pq *self, int64_t until_us, const char **ret_why)
{
    enum waited waited = pq_wait_for_result(self->connection, until_us);
    if (waited != WAITED_READY) {
        *ret_why = pq_waited_name(waited);
        return NULL;
    }
    PGresult *result = PQgetResult(self->connection);
    if (result == NULL) {
        *ret_why = "connection lost";
        return NULL;
    }
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
        return result;
    PGresult *end = pq_wait_for_result(self->connection, until_us) == WAITED_READY
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
        *ret_rows = (struct rows){.affected = pq_statement_affected(result)};
        return OUTCOME_OK;
    case PGRES_TUPLES_OK:
        return pq_statement_rows(result, arena, ret_rows) ? OUTCOME_OK
                                                          : err_no_memory(err, "batch arena");
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
            if (!pq_prepared_add(&self->prepared, statement->name))
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

/* The statements with the check of the session behind BEGIN. */
static enum outcome insert_check(const struct executor_pq *self, const struct statement *statements,
                                 size_t count, struct arena *arena,
                                 const struct statement **ret_statements, struct err *err)
{
    struct statement *all = ARENA_ARRAY(arena, struct statement, count + 1);
    if (all == NULL)
        return err_no_memory(err, "batch arena");
    all[0] = statements[0];
    memcpy(all + 2, statements + 1, (count - 1) * sizeof(*all));
    *ret_statements = all;
    return pq_session_check_prepare(self->session, arena, &all[1], err);
}

static enum outcome run_all(struct executor_pq *self, const struct statement *statements,
                            size_t count, struct overlap *overlap, struct arena *arena,
                            const struct rows **ret_rows, struct err *err)
{
    struct sent *sent = ARENA_ARRAY(arena, struct sent, count);
    struct rows *rows = ARENA_ARRAY(arena, struct rows, count);
    if (sent == NULL || rows == NULL)
        return err_no_memory(err, "batch arena");

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
    overlap_run(overlap);

    *ret_rows = rows;
    return receive_all(self, statements, sent, count, deadline_us(self), arena, rows, err);
}

static enum outcome run(struct executor *port, const struct statement *statements, size_t count,
                        struct overlap *overlap, struct arena *arena, struct rows *ret_rows,
                        struct err *err)
{
    struct executor_pq *self = (struct executor_pq *)port;
    const struct rows *rows = NULL;
    enum outcome outcome = OUTCOME_OK;

    if (count == 0)
        return OUTCOME_OK;
    if (self->connection == NULL || self->broken)
        return err_set(err, OUTCOME_RETRY, pq_connection_failure, "%s: not connected",
                       statement_label(&statements[0]));
    size_t checks = statements[0].sql == executor_begin.sql ? 1 : 0;
    if (checks > 0)
        outcome = insert_check(self, statements, count, arena, &statements, err);
    if (outcome == OUTCOME_OK)
        outcome = run_all(self, statements, count + checks, overlap, arena, &rows, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    assert(rows != NULL);
    ret_rows[0] = rows[0];
    memcpy(ret_rows + 1, rows + 1 + checks, (count - 1) * sizeof(rows[0]));
    return OUTCOME_OK;
}

static enum outcome copy(struct executor *port, const struct copy *copy, struct err *err)
{
    struct executor_pq *self = (struct executor_pq *)port;
    const struct statement statement = {.name = copy->name, .sql = copy->sql};

    if (self->connection == NULL || self->broken)
        return err_set(err, OUTCOME_RETRY, pq_connection_failure, "%s: not connected", copy->name);
    struct copy named = *copy;
    named.sql = sql_schema_expand(&self->schema, copy->sql);
    if (named.sql == NULL)
        return err_no_memory(err, copy->name);
    struct pq_copied copied = pq_copy(self->connection, &named, deadline_us(self));
    CLEANUP(PQclearp) PGresult *refusal = copied.refused;
    if (copied.lost != NULL)
        return lost(self, &statement, copied.lost, err);
    if (refusal != NULL)
        return fail(self, refusal, &statement, err);
    return copied.row_count < copy->row_count ? refused_row_set_skipped(err, copy->name)
                                              : OUTCOME_OK;
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
    pq_prepared_clear(&self->prepared);
}

static enum outcome apply_settings(struct executor_pq *self, struct err *err)
{
    struct statement settings;
    struct rows rows;
    CLEANUP(arena_freep) struct arena *arena = arena_new((size_t)1024 * 1024);
    if (arena == NULL)
        return err_no_memory(err, "connect to PostgreSQL");

    if (!pq_session_new(self->session))
        return err_set(err, OUTCOME_RETRY, "", "connect to PostgreSQL: no random bytes");
    const struct session_settings wanted = {.search_path = self->search_path,
                                            .session = self->session,
                                            .statement_timeout_ms = self->statement_timeout_ms};
    enum outcome outcome = session_settings_prepare(&wanted, arena, &settings, err);
    if (outcome == OUTCOME_OK)
        outcome = executor_run(&self->port, &settings, arena, &rows, err);
    return outcome == OUTCOME_OK ? outcome : err_prefix(err, "session settings");
}

static enum outcome reconnect(struct executor_pq *self, struct err *err)
{
    const struct pq_connector connector = {.conninfo = self->conninfo,
                                           .application_name = self->application_name,
                                           .connect_timeout_s = self->connect_timeout_s,
                                           .hosts = &self->hosts};

    disconnect(self);
    self->broken = false;
    self->stale = false;
    self->connection = pq_connect(&connector, err);
    if (self->connection == NULL)
        return err->outcome;
    self->connects++;
    set_cancel(self, PQgetCancel(self->connection));
    enum outcome outcome = apply_settings(self, err);
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
    if (executor_run_all(&self->port, statements, count, arena, rows, &err) != OUTCOME_OK)
        return false;
    if (self->stale)
        pq_prepared_clear(&self->prepared);
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
    pq_prepared_release(&db->prepared);
    free(db->conninfo);
    pq_hosts_release(&db->hosts);
    sql_schema_release(&db->schema);
    free(db->search_path);
    free(db->application_name);
    free(db);
}

enum outcome executor_pq_new(const struct executor_pq_options *options, struct executor_pq **ret_db,
                             struct err *err)
{
    const char *rule = pq_conninfo_rule(options->conninfo);
    if (rule != NULL)
        return err_set(err, OUTCOME_FATAL, "", "database URL: %s", rule);

    struct executor_pq *db = calloc(1, sizeof(*db));
    if (db == NULL)
        return err_no_memory(err, "connect to PostgreSQL");
    db->port.ops = &ops;
    db->broken = true;
    pthread_mutex_init(&db->cancel_lock, NULL);
    db->connect_timeout_s = options->connect_timeout_s;
    db->statement_timeout_ms = options->statement_timeout_ms;
    db->conninfo = strdup(options->conninfo);
    db->search_path = strdup(options->search_path != NULL ? options->search_path : SEARCH_PATH);
    db->application_name = strdup(options->application_name);
    if (db->conninfo == NULL || db->search_path == NULL || db->application_name == NULL ||
        !sql_schema_init(&db->schema, options->schema) ||
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

void libpq_version(char ret_text[LIBPQ_VERSION_LENGTH])
{
    int number = PQlibVersion();
    snprintf(ret_text, LIBPQ_VERSION_LENGTH, "%d.%d", number / 10000, number % 10000);
}
