#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum outcome err_set(struct err *err, enum outcome outcome, const char *code, const char *format,
                     ...)
{
    va_list args;

    err->outcome = outcome;
    snprintf(err->code, sizeof(err->code), "%s", code);
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    return outcome;
}

enum outcome err_prefix(struct err *err, const char *format, ...)
{
    char before[sizeof(err->text)];
    char whole[2 * sizeof(err->text) + 3];
    va_list args;

    va_start(args, format);
    vsnprintf(before, sizeof(before), format, args);
    va_end(args);
    snprintf(whole, sizeof(whole), "%s: %s", before, err->text);
    whole[sizeof(err->text) - 1] = '\0';
    memcpy(err->text, whole, sizeof(err->text));
    return err->outcome;
}

enum outcome err_no_memory(struct err *err, const char *what)
{
    return err_set(err, OUTCOME_FULL, ERR_NO_MEMORY, "%s: out of memory", what);
}

const char *outcome_name(enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_OK:
        return "ok";
    case OUTCOME_RETRY:
        return "retry";
    case OUTCOME_REJECT:
        return "reject";
    case OUTCOME_FATAL:
        return "fatal";
    case OUTCOME_FULL:
        return "full";
    }
    return "unknown";
}
