#pragma once

#include "repo/pg/executor.h"

/* Requests to move a partition past records that can't be read (catalyst_skip_requests). */

struct stored_skip {
    struct text topic;
    int32_t partition;
    int64_t from; /* where the partition stands */
    int64_t to;   /* the first offset that is read again */
    struct text reason;
    bool unread;          /* before anything of it is read */
    int64_t requested_us; /* an output only: set when it is written */
};

/* Writes the request. ret_written false: the partition has a request already. */
enum outcome skip_request_write(struct executor *db, const struct stored_skip *skip,
                                struct arena *arena, bool *ret_written, struct err *err);

/* All requests, by topic and partition, in `arena`. */
enum outcome skip_requests_list(struct executor *db, struct arena *arena,
                                const struct stored_skip **ret_skips, size_t *ret_count,
                                struct err *err);

/* Deletes this very request; it is fine when it is gone. */
enum outcome skip_request_delete(struct executor *db, const struct stored_skip *skip,
                                 struct arena *arena, struct err *err);
