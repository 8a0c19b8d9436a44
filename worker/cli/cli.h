#pragma once

#include <stdio.h>

#include "base/buffer.h"
#include "config/config.h"

/* The command line: verbs, their flags, help, exit codes. A verb is one struct in its cmd_<verb>.c
 * and one line in verbs.c. */

/* What every verb exits with (sysexits.h has the same numbers). */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_USAGE = 64,       /* verb, flag or operand is wrong */
    EXIT_DATA = 65,        /* bad input data */
    EXIT_NOT_FOUND = 66,   /* what was asked for is not there */
    EXIT_UNAVAILABLE = 69, /* broker or database stayed away */
    EXIT_BUG = 70,         /* a defect of this program, or no memory */
    EXIT_TRY_AGAIN = 75,   /* the same call may succeed later */
    EXIT_CONFIG = 78,      /* configuration, schema, topics, permissions */
};

enum output { OUTPUT_JSON, OUTPUT_TABLE };

struct flag {
    const char *name;    /* "owner": typed as --owner */
    const char *operand; /* "KIND:ID"; NULL: a switch */
    const char *help;    /* one line */
};

struct arguments;

struct verb {
    const char *name;
    const char *operands; /* of the usage line: "[up | status]"; "" none */
    const char *summary;  /* half a line, for the list of verbs */
    const char *description;
    const struct flag *flags; /* besides --config, --set, --output and --help */
    size_t flag_count;
    /* Answers an exit code. */
    enum exit_code (*run)(const struct arguments *arguments);
};

enum { FLAGS_MAX = 24 };

/* One call, taken apart. */
struct arguments {
    const struct verb *verb;
    const char *config_file; /* NULL: none */
    const struct config_override *overrides;
    size_t override_count;
    enum output output;            /* as asked for; else a table on a terminal, JSON elsewhere */
    const char *values[FLAGS_MAX]; /* by position in verb->flags; NULL: not given; switches: "" */
    const char *const *operands;
    size_t operand_count;
};

/* Finds the verb, parses its flags, runs it. Answers the exit code of the process. */
enum exit_code cli_main(int argc, char **argv, const struct verb *const *verbs, size_t verb_count);

/* Value of a flag of the verb: NULL when it was not given, "" for a switch that was. The name must
 * be one of the verb's. */
const char *argument(const struct arguments *arguments, const char *flag);

/* A whole number given to a flag. *ret_number keeps its value when the flag was not given. false:
 * not a number of min..max; the usage error is printed. */
bool argument_number(const struct arguments *arguments, const char *flag, int64_t min, int64_t max,
                     int64_t *ret_number);

/* An RFC 3339 time given to a flag; otherwise as argument_number(). */
bool argument_time(const struct arguments *arguments, const char *flag, int64_t *ret_us);

/* Whether all flags that were given, from position `first` in verb->flags on, are among `allowed`:
 * names with a blank before and behind each. false: one is not; the usage error is printed, which
 * calls `action` by its name. */
bool argument_flags_among(const struct arguments *arguments, size_t first, const char *action,
                          const char *allowed);

/* Prints "catalyst-worker VERB: <format>" and where help is, to stderr. Answers EXIT_USAGE. */
enum exit_code cli_usage_error(const struct arguments *arguments, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints "catalyst-worker VERB: <format>" to stderr and answers `code`. */
enum exit_code cli_fail(const struct arguments *arguments, enum exit_code code, const char *format,
                        ...) __attribute__((format(printf, 3, 4)));

/* The same for a failed call: RETRY 69, REJECT 65, FATAL 78 where the database or the broker
 * refuses us, else 70. */
enum exit_code cli_fail_err(const struct arguments *arguments, const struct err *err);
enum exit_code exit_code_of(const struct err *err);

/* Reads file, environment and flags, and prints every problem to stderr. Otherwise EXIT_DONE, and
 * the caller releases the configuration. */
enum exit_code cli_config(const struct arguments *arguments, struct config *ret_config);

/* The same without printing: for `check`, which reports the problems with its own. FULL: no memory
 */
enum outcome cli_config_load(const struct arguments *arguments, struct config *ret_config,
                             struct config_problems *ret_problems, struct err *err);

/* Prints usage, description and flags. */
void verb_help(const struct verb *verb, FILE *stream);

/* Prints JSON to stdout: as it is and a line end, or as a table: an array of objects with a column
 * per field, an object with a line per field. Answers EXIT_DONE, or EXIT_BUG when it is not JSON or
 * cannot be written. */
enum exit_code output_json(const struct arguments *arguments, struct text json);
bool output_table(struct text json, FILE *stream);

/* Whoever read standard output has closed it (| head). Told also while nothing is to be written. */
bool output_reader_is_gone(void);

/* What could not be written was not done, whatever the verb says: EXIT_TRY_AGAIN and a message in
 * place of EXIT_DONE, unless the reader has gone and wants no more. Otherwise the code itself. */
enum exit_code output_finish(const char *verb, enum exit_code code);

/* The nearest of the names to what was typed, or NULL when none is near. */
const char *nearest_name(const char *typed, const char *const *names, size_t count);
