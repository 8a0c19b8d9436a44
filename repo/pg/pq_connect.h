#pragma once

#include <libpq-fe.h>

#include "base/err.h"
#include "repo/pg/pq_hosts.h"

/* Making a connection, with a deadline for each host. */
struct pq_connector {
    const char *conninfo;
    const char *application_name;
    int connect_timeout_s;  /* 0: the conninfo's, libpq's, else 10 */
    struct pq_hosts *hosts; /* of the conninfo; turned when the first one does not answer */
};

/* A connection in pipeline mode that never blocks; the caller finishes it. NULL: see *err. libpq
 * reads a passfile and a service file anew each time.
 *
 * RETRY  the server cannot be reached, or is not ready
 * FATAL  it refuses us: password, role, database, settings; never REJECT, no message is to blame */
PGconn *pq_connect(const struct pq_connector *connector, struct err *err);

/* SQLSTATE of a connection that was lost, or was never made for a reason without one. */
extern const char pq_connection_failure[];
