#pragma once

#include "config/config.h"
#include "repo/audit/audit_retention.h"

/* What can still be delivered, as the brokers know it: the first offsets of all topics that the
 * audit log has commands of. Topics that are gone deliver nothing, and neither do partitions that a
 * topic once had; of topics that we may not describe every row stays.
 *
 * keep_from_us  goes into the guard
 * ret_guard     in `arena`
 *
 * RETRY   a broker or the database is away, or a partition without a leader
 * REJECT  the brokers refuse us, or a command topic of the configuration is missing
 * FATAL   as the database; no memory */
enum outcome retention_guard(const struct config *config, struct executor *db, int64_t keep_from_us,
                             struct arena *arena, struct audit_guard *ret_guard, struct err *err);
