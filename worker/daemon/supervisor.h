#pragma once

#include "config/config.h"
#include "worker/lane/metrics.h"

/* The lanes of a process: each with a database connection, a consumer, a producer and a thread of
 * its own, built from the configuration.
 *
 * A lane that cannot go on is logged and built anew after a pause that doubles, from 1 s to 30 s:
 * a consumer that is broken, a topic or a permission that is gone may be mended meanwhile. After
 * SUPERVISOR_ATTEMPTS in a row without one finished batch the supervisor gives up; then the process
 * had better be started anew. */
struct supervisor;

enum { SUPERVISOR_ATTEMPTS = 5, SUPERVISOR_PAUSE_MIN_MS = 1000, SUPERVISOR_PAUSE_MAX_MS = 30000 };

/* Nothing runs yet. `config` is borrowed for as long as the supervisor lives. FULL: no memory. */
enum outcome supervisor_new(const struct config *config, struct supervisor **ret_supervisor,
                            struct err *err);

/* Stops what runs and waits for it. */
void supervisor_free(struct supervisor *supervisor);
DEFINE_CLEANUP(struct supervisor *, supervisor_free)

/* One per lane; live as long as the supervisor. */
const struct lane_metrics *const *supervisor_metrics(const struct supervisor *supervisor);
size_t supervisor_lane_count(const struct supervisor *supervisor);

/* Starts the threads. Whenever one ends, the process gets SIGUSR1.
 * record_bytes_max  largest record that the topics take; 0: not known
 * pause_min_ms      the first pause; SUPERVISOR_PAUSE_MIN_MS outside tests
 * FATAL  no thread can be made */
enum outcome supervisor_start(struct supervisor *supervisor, int64_t record_bytes_max,
                              int64_t pause_min_ms, struct err *err);

/* Asks every lane to finish its batch and to end. */
void supervisor_stop(struct supervisor *supervisor);

/* Threads that have not ended. */
size_t supervisor_running(struct supervisor *supervisor);

/* Whether a lane ended because building it anew did not help. */
bool supervisor_gave_up(struct supervisor *supervisor);
