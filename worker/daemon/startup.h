#pragma once

#include "config/config.h"

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
 * RETRY  a dependency was away past the deadline, or pause() answered false
 * FATAL  something is missing or refused, and err->text says what to do; or no memory */
enum outcome startup_check(const struct startup *startup, int64_t *ret_record_bytes_max,
                           struct err *err);
