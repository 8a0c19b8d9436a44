#include "config/ini_file.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* inih as distributions build it tells its handler no line numbers and reports only the first
 * broken line. Its reader is ours, so lines are counted and judged there. A value is handed on when
 * the next line shows that it is complete. */

static int file_close(FILE *file)
{
    return fclose(file);
}
DEFINE_CLEANUP(FILE *, file_close)

enum { SECTION_MAX = 64, KEY_MAX = 128 };

struct reading {
    FILE *file;
    const struct ini_visitor *visitor;
    int line;
    bool wants_handler; /* the line holds an entry: the handler must see it */
    bool indented;
    bool no_memory;

    /* the entry that may still grow */
    char section[SECTION_MAX];
    char key[KEY_MAX];
    char *value;
    int value_line;
};

static void entry_done(struct reading *reading)
{
    if (reading->value == NULL)
        return;
    const struct ini_visitor *visitor = reading->visitor;
    visitor->entry(visitor->context, reading->section, reading->key, reading->value,
                   reading->value_line);
    free(reading->value);
    reading->value = NULL;
}

static void line_done(struct reading *reading)
{
    if (reading->wants_handler)
        reading->visitor->broken(reading->visitor->context, reading->line,
                                 "neither [section] nor key = value nor a comment");
    reading->wants_handler = false;
}

static void line_judge(struct reading *reading, const char *line)
{
    const char *first = line + strspn(line, " \t\r\n");

    if (reading->line == 1 && strncmp(first, "\xEF\xBB\xBF", 3) == 0)
        first += 3;
    reading->indented = first > line && (*line == ' ' || *line == '\t');
    bool section = *first == '[' && !(reading->indented && reading->value != NULL);
    if (section)
        entry_done(reading);
    bool closed = section && strchr(first, ']') != NULL;
    reading->wants_handler = *first != '\0' && strchr(";#", *first) == NULL && !closed;
}

/* fgets, as inih calls it. */
static char *next_line(char *line, int size, void *stream)
{
    struct reading *reading = stream;

    line_done(reading);
    if (fgets(line, size, reading->file) == NULL)
        return NULL;
    reading->line++;
    size_t length = strlen(line);
    if (length + 1 == (size_t)size && line[length - 1] != '\n') {
        int c;
        do
            c = fgetc(reading->file);
        while (c != EOF && c != '\n');
        reading->visitor->broken(reading->visitor->context, reading->line,
                                 "the line is too long; a value goes on in the next line when "
                                 "that begins with a blank");
        line[0] = '\0';
        entry_done(reading);
    }
    line_judge(reading, line);
    return line;
}

static void value_begin(struct reading *reading, const char *section, const char *key,
                        const char *value)
{
    entry_done(reading);
    snprintf(reading->section, sizeof(reading->section), "%s", section);
    snprintf(reading->key, sizeof(reading->key), "%s", key);
    reading->value = strdup(value);
    reading->value_line = reading->line;
    reading->no_memory |= reading->value == NULL;
}

static void value_continue(struct reading *reading, const char *more)
{
    size_t had = strlen(reading->value), adds = strlen(more);
    char *grown = realloc(reading->value, had + adds + 1);

    if (grown == NULL) {
        reading->no_memory = true;
        return;
    }
    memcpy(grown + had, more, adds + 1);
    reading->value = grown;
}

static int take(void *user, const char *section, const char *key, const char *value)
{
    struct reading *reading = user;

    reading->wants_handler = false;
    if (reading->indented && reading->value != NULL)
        value_continue(reading, value);
    else
        value_begin(reading, section, key, value);
    return 1;
}

/* inih hands one pointer to the reader and one to the handler; both are the reading. */
bool ini_file_read(const char *path, const struct ini_visitor *visitor)
{
    CLEANUP(file_closep) FILE *file = fopen(path, "re");
    struct reading reading = {.file = file, .visitor = visitor};

    if (file == NULL)
        return false;
    ini_parse_stream(next_line, &reading, take, &reading);
    line_done(&reading);
    entry_done(&reading);
    if (reading.no_memory)
        errno = ENOMEM;
    else if (ferror(file))
        errno = errno != 0 ? errno : EIO;
    return !reading.no_memory && !ferror(file);
}
