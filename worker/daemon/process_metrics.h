#pragma once

#include "base/buffer.h"

/* The process itself, in the Prometheus text format: build, start time, memory, CPU, files. Names
 * as Prometheus' client libraries have them. */
void process_metrics_render(int64_t started_wall_us, struct buffer *out);
