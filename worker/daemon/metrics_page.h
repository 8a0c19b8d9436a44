#pragma once

#include "base/buffer.h"
#include "worker/lane/metrics.h"

/* The Prometheus text format (version 0.0.4) of all lanes. */
void metrics_render(const struct lane_metrics *const *lanes, size_t lane_count, struct buffer *out);
