#include "tests/bench/usage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"

static int64_t microseconds(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

struct stopwatch stopwatch_start(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (struct stopwatch){clock_monotonic_us(),
                              microseconds(usage.ru_utime) + microseconds(usage.ru_stime)};
}

struct stopwatch stopwatch_since(struct stopwatch start)
{
    struct stopwatch now = stopwatch_start();
    return (struct stopwatch){now.wall_us - start.wall_us, now.cpu_us - start.cpu_us};
}

long peak_resident_kib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

void report(const char *program, uint64_t commands, struct stopwatch elapsed)
{
    printf("{\"program\": \"%s\", \"commands\": %" PRIu64
           ", \"seconds\": %.6f, \"cpu_us_per_command\": %.3f, \"peak_kib\": %ld}\n",
           program, commands, (double)elapsed.wall_us / 1e6,
           commands > 0 ? (double)elapsed.cpu_us / (double)commands : 0.0, peak_resident_kib());
}

void die(const char *format, ...)
{
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s\n", text);
    exit(EXIT_FAILURE);
}

uint64_t number_of(const char *option, const char *text, uint64_t min)
{
    char *end;

    errno = 0;
    uintmax_t number = strtoumax(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < min)
        die("--%s: not a number from %" PRIu64 " on", option, min);
    return number;
}
