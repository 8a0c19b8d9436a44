#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The schema of the tables, put into SQL texts. Statements name it by two placeholders, so that
 * they find their tables whatever the session's search path is:
 *
 * - {schema} as an identifier: FROM {schema}.auth_keys
 * - {schema_text} inside a text literal: to_regclass('{schema_text}.auth_keys') */
struct sql_schema {
    char *identifier; /* quoted: "my schema" */
    char *text;       /* the same with its single quotes doubled */
    char *buffer;
    size_t capacity;
};

/* false: no memory. */
bool sql_schema_init(struct sql_schema *schema, const char *name);
void sql_schema_release(struct sql_schema *schema);

/* `sql` with the schema in place of its placeholders: `sql` itself where it has none, else a text
 * that stays until the next call. NULL: no memory. */
const char *sql_schema_expand(struct sql_schema *schema, const char *sql);
