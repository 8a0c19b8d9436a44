#pragma once

/* The lane's way through PostgreSQL (worker/lane/bisect.h) on the real store, without Kafka:
 * commands in, and what became of each. Waiting is real; after each wait a hook of the test may
 * mend what it had broken. */

#include "tests/integration/pg_fixture.h"
#include "worker/apply/store_repo.h"
#include "worker/lane/bisect.h"
#include "worker/lane/context.h"

enum { LANE_FIXTURE_MAX = 1024 };

struct lane_fixture {
    struct pg_fixture *pg;
    struct executor_pq *pq; /* the lane's connection */
    struct store_repo store;
    struct lane_metrics metrics;
    struct lane lane;
    int32_t topic_id;
    struct arena *arena; /* of the batch */
    struct arena *scratch;
    struct batch batch;

    size_t record_bytes_max; /* of what can be published */

    int pauses; /* waits that kept the membership alive with paused partitions */
    int waits;  /* since lane_fixture_settle() was called */
    int mend_after;
    void (*mend)(struct lane_fixture *lane); /* called after that many waits; NULL: nothing helps */
    int stop_after;                          /* waits after which the lane stops; 0: never */
    char
        waited_for[sizeof(((struct holdup *)NULL)->code)]; /* the code that the metrics told last */

    struct source source;
    struct sink sink;
};

struct lane_fixture *lane_fixture_new(struct pg_fixture *pg, int64_t statement_timeout_ms);
void lane_fixture_free(struct lane_fixture *lane);

/* `count` users u00000 ..., one command each; `display_name_of` gives each its name. Ids of
 * commands are new with every call. */
void lane_fixture_users(struct lane_fixture *lane, size_t count,
                        const char *(*display_name_of)(size_t index));

/* The whole batch, in the test's thread. */
enum outcome lane_fixture_settle(struct lane_fixture *lane, struct err *err);

/* How many entries of the batch ended so. */
size_t lane_fixture_count(const struct lane_fixture *lane, enum entry_state state);

/* Transactions that were begun for the batch. */
uint64_t lane_fixture_transactions(const struct lane_fixture *lane);
