#include "repo/pg/pq_connect.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "repo/pg/pq_wait.h"
#include "repo/pg/sqlstate.h"

enum { TIMEOUT_S = 10 /* when neither the caller nor the conninfo nor libpq's variables say */ };

const char pq_connection_failure[] = "08006";

DEFINE_CLEANUP(PGconn *, PQfinish)
DEFINE_CLEANUP(PQconninfoOption *, PQconninfoFree)

static void ignore_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
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

static enum outcome failed(const PGconn *connection, const char *why, struct err *err)
{
    const char *message = why != NULL ? why : PQerrorMessage(connection);
    char sqlstate[6];

    sqlstate_of_message(message, sqlstate);
    if (sqlstate[0] == '\0')
        memcpy(sqlstate, pq_connection_failure, sizeof(sqlstate));
    enum outcome outcome = sqlstate_own_outcome(sqlstate_rule_of(sqlstate, ""));
    if (PQconnectionNeedsPassword(connection))
        outcome = OUTCOME_FATAL;
    /* The first line: host, port and reason. Behind it come hints and source positions. */
    return err_set(err, outcome, sqlstate, "connect to PostgreSQL: %.*s",
                   (int)strcspn(message, "\n"), message);
}

static PGconn *start(const struct pq_connector *connector)
{
    /* Keywords in front of "dbname" are defaults that the conninfo may override, those behind it
     * it may not. A NULL value counts as not given. */
    char timeout[12];
    snprintf(timeout, sizeof(timeout), "%d", connector->connect_timeout_s);
    const struct {
        const char *keyword;
        const char *value;
    } settings[] = {
        {"fallback_application_name", connector->application_name},
        {"connect_timeout", connector->connect_timeout_s > 0 ? timeout : NULL},
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "25000"},
        {"dbname", connector->conninfo},
        {"client_encoding", "UTF8"},
        {"host", connector->hosts->host},
        {"hostaddr", connector->hosts->hostaddr},
        {"port", connector->hosts->port},
    };
    enum { COUNT = sizeof(settings) / sizeof(settings[0]) };
    const char *keywords[COUNT + 1] = {NULL};
    const char *values[COUNT + 1] = {NULL};
    for (size_t i = 0; i < COUNT; i++) {
        keywords[i] = settings[i].keyword;
        values[i] = settings[i].value;
    }
    return PQconnectStartParams(keywords, values, /* expand_dbname */ 1);
}

static int64_t timeout_us_of(PGconn *connection)
{
    CLEANUP(PQconninfoFreep) PQconninfoOption *options = PQconninfo(connection);
    int64_t seconds = 0;

    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++) {
        if (option->val != NULL && strcmp(option->keyword, "connect_timeout") == 0)
            seconds = strtol(option->val, NULL, 10);
    }
    return (seconds > 0 ? seconds : TIMEOUT_S) * 1000000;
}

/* Each host has the whole time, as with libpq's own connecting; past it the next attempt begins
 * with another one. */
static enum outcome finish(const struct pq_connector *connector, PGconn *connection,
                           struct err *err)
{
    int64_t timeout_us = timeout_us_of(connection);
    int64_t until_us = clock_monotonic_us() + timeout_us;
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    const char *host = PQhost(connection);
    const char *port = PQport(connection);

    while (next != PGRES_POLLING_OK) {
        if (next == PGRES_POLLING_FAILED)
            return failed(connection, NULL, err);
        if (PQhost(connection) != host || PQport(connection) != port) {
            host = PQhost(connection);
            port = PQport(connection);
            until_us = clock_monotonic_us() + timeout_us;
        }
        short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        enum waited waited = pq_wait_for(PQsocket(connection), events, until_us);
        if (waited == WAITED_TIMEOUT) {
            pq_hosts_turn(connector->hosts);
            return failed(connection, "timed out", err);
        }
        if (waited == WAITED_FAILED)
            return failed(connection, "cannot wait for the socket", err);
        next = PQconnectPoll(connection);
    }
    return OUTCOME_OK;
}

PGconn *pq_connect(const struct pq_connector *connector, struct err *err)
{
    CLEANUP(PQfinishp) PGconn *connection = start(connector);

    if (connection == NULL) {
        err_no_memory(err, "connect to PostgreSQL");
        return NULL;
    }
    PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    PQsetNoticeReceiver(connection, ignore_notice, NULL);
    if (PQstatus(connection) == CONNECTION_BAD) {
        failed(connection, NULL, err);
        return NULL;
    }
    if (finish(connector, connection, err) != OUTCOME_OK)
        return NULL;
    if (PQsetnonblocking(connection, 1) != 0 || PQenterPipelineMode(connection) != 1) {
        failed(connection, "cannot enter pipeline mode", err);
        return NULL;
    }
    return TAKE(connection);
}
