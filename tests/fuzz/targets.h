#pragma once

#include <stddef.h>
#include <stdint.h>

/* One function per decoder: takes any bytes, and aborts when what must hold does not. */
struct target {
    const char *name;
    void (*run)(const uint8_t *data, size_t size);
};

extern const struct target targets[];
extern const size_t target_count;
