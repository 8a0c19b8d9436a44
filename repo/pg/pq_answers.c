#include "repo/pg/pq_answers.h"

#include <libpq-fe.h>
#include <stddef.h>

bool pq_answers_without_tls(const char *conninfo)
{
    static const char *const keywords[] = {"dbname", "sslmode", "gssencmode", "connect_timeout",
                                           NULL};
    const char *const values[] = {conninfo, "disable", "disable", "3", NULL};

    PGPing answer = PQpingParams(keywords, values, /* expand_dbname */ 1);
    return answer == PQPING_OK || answer == PQPING_REJECT;
}
