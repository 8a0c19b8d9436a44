#pragma once

/* What went wrong, in two parts: what the worker does next (enum outcome, the return value)
 * and what a person reads (struct err, the last parameter). */

enum outcome {
    OUTCOME_OK = 0,
    OUTCOME_RETRY,  /* the same call may succeed later: connection lost, deadlock */
    OUTCOME_REJECT, /* this input never succeeds: bad payload, constraint violated */
    OUTCOME_FATAL,  /* this component cannot go on as it is: fenced, wrong schema */
    OUTCOME_FULL,   /* it did not fit into bounded memory: take less, or give up */
};

struct err {
    enum outcome outcome;
    char code[40];  /* SQLSTATE or librdkafka error name; "" when neither applies */
    char text[512]; /* one line, outermost action first; no rows, no secrets, no values */
};

/* Fills *err and returns `outcome`: a failing function ends `return err_set(...)`.
 * Callers read *err only after a non-OK return. */
enum outcome err_set(struct err *err, enum outcome outcome, const char *code, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));

/* Puts "<format>: " before err->text; outcome and code stay. Returns err->outcome. */
enum outcome err_prefix(struct err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The arena, or another bounded buffer, named by `what` is full: FULL, code ERR_NO_MEMORY,
 * "<what>: out of memory". */
#define ERR_NO_MEMORY "ENOMEM"
enum outcome err_no_memory(struct err *err, const char *what);

const char *outcome_name(enum outcome outcome);
