#pragma once

#include <stdbool.h>

/* Whether a server answers at the addresses of the conninfo once neither TLS nor GSSAPI is asked
 * for. A refusal is an answer too. For diagnosis: nobody logs in, and no password is sent. Takes
 * some seconds where nobody answers. */
bool pq_answers_without_tls(const char *conninfo);
