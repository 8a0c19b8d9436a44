#include "worker/cli/progress_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum { FIRST_US = 1000000, EVERY_US = 200000 };

/* Back to the first column, and erase to the end of the line. */
static const char CLEAR[] = "\r\033[K";

void progress_line_begin(struct progress_line *line)
{
    int64_t now_us = clock_monotonic_us();
    *line = (struct progress_line){
        .started_us = now_us, .next_us = now_us + FIRST_US, .terminal = isatty(STDERR_FILENO) == 1};
}

void progress_line_update(struct progress_line *line, uint64_t count, const char *what)
{
    if (!line->terminal)
        return;
    int64_t now_us = clock_monotonic_us();
    if (now_us < line->next_us)
        return;
    line->next_us = now_us + EVERY_US;
    line->shown = true;
    double seconds = (double)(now_us - line->started_us) / 1e6;
    fprintf(stderr, "%s%" PRIu64 " %s, %.0f/s", CLEAR, count, what, (double)count / seconds);
    fflush(stderr);
}

void progress_line_end(struct progress_line *line)
{
    if (line->shown)
        fputs(CLEAR, stderr);
    line->shown = false;
}
