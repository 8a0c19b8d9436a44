#pragma once

#include <stdbool.h>

/* Walks through an INI file: [section], key = value, lines beginning with ; or #. A line that
 * begins with white space continues the value before it. Private to config/. */
struct ini_visitor {
    void *context;
    void (*entry)(void *context, const char *section, const char *key, const char *value, int line);
    void (*broken)(void *context, int line, const char *rule);
};

/* false: the file cannot be read, errno says why. */
bool ini_file_read(const char *path, const struct ini_visitor *visitor);
