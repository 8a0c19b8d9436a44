#pragma once

#include "base/slice.h"

/* The migrations in the program, by number; made at build time by embed.cmake. */
struct migration {
    int number;
    const char *name; /* the file's, without .sql */
    struct text sql;
};

extern const struct migration migrations[];
extern const size_t migration_count;
