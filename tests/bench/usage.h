#pragma once

#include <stdint.h>

/* What a benchmark reports about itself, one JSON object on standard output. */
struct stopwatch {
    int64_t wall_us;
    int64_t cpu_us; /* user and system, all threads of this process */
};

struct stopwatch stopwatch_start(void);
struct stopwatch stopwatch_since(struct stopwatch start);

/* Largest resident size so far, KiB. */
long peak_resident_kib(void);

/* {"program", "commands", "seconds", "cpu_us_per_command", "peak_kib"} and a line end. */
void report(const char *program, uint64_t commands, struct stopwatch elapsed);

/* Ends the program with a message on standard error. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* The number in `text`, at least `min`. Dies of anything else. */
uint64_t number_of(const char *option, const char *text, uint64_t min);
