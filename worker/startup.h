#pragma once

#include "worker/cli.h"

/* The checks before the first lane runs. */
struct startup {
    const struct config *config;
    /* Called between two attempts. false: give up, the process is to stop. */
    bool (*pause)(void *context, int64_t pause_ms);
    void *context;
};

/* Waits until database and brokers answer, at most config->startup_deadline_ms, and checks that
 * schema and topics are there. Logs while it waits.
 *
 * ret_record_bytes_max  largest record that every topic takes; 0: not known
 * EXIT_DONE; EXIT_UNAVAILABLE past the deadline, or when pause() says so; EXIT_CONFIG when
 * something is missing or refused: err->text says what to do; EXIT_BUG */
enum exit_code startup_check(const struct startup *startup, int64_t *ret_record_bytes_max,
                             struct err *err);
