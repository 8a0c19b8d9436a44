#pragma once

#include <stdbool.h>
#include <stdint.h>

/* One line on a terminal that tells how far a long work is. Nothing where stderr is no terminal,
 * and nothing within the first second. */
struct progress_line {
    int64_t started_us;
    int64_t next_us;
    bool terminal;
    bool shown;
};

void progress_line_begin(struct progress_line *line);

/* Rewrites the line, a few times a second at most: "12345 <what>, 8200/s". */
void progress_line_update(struct progress_line *line, uint64_t count, const char *what);

/* Takes it away, so that what comes next stands on a line of its own. */
void progress_line_end(struct progress_line *line);
