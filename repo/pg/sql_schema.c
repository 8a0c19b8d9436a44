#include "repo/pg/sql_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char IDENTIFIER[] = "{schema}";
static const char IN_TEXT[] = "{schema_text}";

/* A copy in which every `quote` is doubled. NULL: no memory. */
static char *doubled(const char *text, char quote)
{
    char *copy = malloc(2 * strlen(text) + 1);
    char *to = copy;

    if (copy == NULL)
        return NULL;
    for (const char *from = text; *from != '\0'; from++) {
        if (*from == quote)
            *to++ = quote;
        *to++ = *from;
    }
    *to = '\0';
    return copy;
}

static char *quoted(const char *name)
{
    char *inner = doubled(name, '"');
    size_t size = inner != NULL ? strlen(inner) + 3 : 0;
    char *identifier = inner != NULL ? malloc(size) : NULL;

    if (identifier != NULL)
        snprintf(identifier, size, "\"%s\"", inner);
    free(inner);
    return identifier;
}

bool sql_schema_init(struct sql_schema *schema, const char *name)
{
    *schema = (struct sql_schema){.identifier = quoted(name)};
    if (schema->identifier != NULL)
        schema->text = doubled(schema->identifier, '\'');
    return schema->text != NULL;
}

void sql_schema_release(struct sql_schema *schema)
{
    free(schema->identifier);
    free(schema->text);
    free(schema->buffer);
    *schema = (struct sql_schema){0};
}

static bool append(struct sql_schema *schema, size_t *length, const char *text, size_t count)
{
    if (*length + count + 1 > schema->capacity) {
        size_t capacity = 2 * (*length + count + 1);
        char *buffer = realloc(schema->buffer, capacity);
        if (buffer == NULL)
            return false;
        schema->buffer = buffer;
        schema->capacity = capacity;
    }
    memcpy(schema->buffer + *length, text, count);
    *length += count;
    schema->buffer[*length] = '\0';
    return true;
}

/* What stands for the placeholder that `at` begins with; NULL: none does. */
static const char *value_of(const struct sql_schema *schema, const char *at, size_t *ret_length)
{
    if (strncmp(at, IDENTIFIER, sizeof(IDENTIFIER) - 1) == 0) {
        *ret_length = sizeof(IDENTIFIER) - 1;
        return schema->identifier;
    }
    if (strncmp(at, IN_TEXT, sizeof(IN_TEXT) - 1) == 0) {
        *ret_length = sizeof(IN_TEXT) - 1;
        return schema->text;
    }
    return NULL;
}

const char *sql_schema_expand(struct sql_schema *schema, const char *sql)
{
    const char *at = strstr(sql, "{schema");
    const char *rest = sql;
    size_t length = 0;

    if (at == NULL)
        return sql;
    for (; at != NULL; at = strstr(at, "{schema")) {
        size_t skipped = 0;
        const char *value = value_of(schema, at, &skipped);
        if (value == NULL) {
            at++;
            continue;
        }
        if (!append(schema, &length, rest, (size_t)(at - rest)) ||
            !append(schema, &length, value, strlen(value)))
            return NULL;
        at += skipped;
        rest = at;
    }
    return append(schema, &length, rest, strlen(rest)) ? schema->buffer : NULL;
}
