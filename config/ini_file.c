#include "config/ini_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/texts.h"
#include "config/topic_rules.h"

/* The parser is ours: the one that distributions ship cuts lines at 198 bytes and joins the lines
 * of a value without a blank, which made "sslmode=verify-fullpassword=..." of two lines. A value is
 * handed on when the next line shows that it is complete. */

static int file_close(FILE *file)
{
    return fclose(file);
}
DEFINE_CLEANUP(FILE *, file_close)

enum { LINE_MAX_BYTES = 64 * 1024 };

struct reading {
    const struct ini_visitor *visitor;
    int line;
    bool no_memory;
    char *section;

    /* the entry that may still grow */
    char *key;
    char *value;
    int value_line;
};

static void entry_release(struct reading *reading)
{
    free(reading->key);
    free(reading->value);
    reading->key = NULL;
    reading->value = NULL;
}

static void entry_done(struct reading *reading)
{
    const struct ini_visitor *visitor = reading->visitor;

    if (reading->key != NULL && reading->value != NULL)
        visitor->entry(visitor->context, reading->section != NULL ? reading->section : "",
                       reading->key, reading->value, reading->value_line);
    entry_release(reading);
}

static void broken(struct reading *reading, const char *rule)
{
    reading->visitor->broken(reading->visitor->context, reading->line, rule);
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static char *trim_end(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && is_blank(text[length - 1]))
        text[--length] = '\0';
    return text;
}

/* A comment inside a line begins with a semicolon behind a blank. */
static char *without_comment(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if (*at == ';' && at > text && is_blank(at[-1])) {
            *at = '\0';
            break;
        }
    }
    return trim_end(text);
}

/* A line that went astray, say the second one of a URL, must not be quoted as a name. */
static bool is_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    return strspn(name, letters) == strlen(name);
}

static bool is_section(const char *name)
{
    const char *topic = topic_section_name(name);

    return is_name(topic != NULL ? topic : name);
}

static const char NO_NAME[] = "a name of a setting or section holds only letters, digits and . _ -";

static void take_section(struct reading *reading, char *line)
{
    char *end = strchr(line, ']');

    entry_done(reading);
    if (end == NULL) {
        broken(reading, "neither [section] nor key = value nor a comment");
        return;
    }
    *end = '\0';
    if (!is_section(line + 1))
        broken(reading, NO_NAME);
    free(reading->section);
    reading->section = text_copy(line + 1, strlen(line + 1));
    reading->no_memory |= reading->section == NULL;
}

static void take_entry(struct reading *reading, char *line)
{
    without_comment(line);
    size_t key_length = strcspn(line, "=:");

    entry_done(reading);
    if (line[key_length] == '\0') {
        broken(reading, "neither [section] nor key = value nor a comment");
        return;
    }
    line[key_length] = '\0';
    if (!is_name(trim_end(line)) || (reading->section != NULL && !is_section(reading->section))) {
        broken(reading, NO_NAME);
        return;
    }
    const char *value = line + key_length + 1;
    value += strspn(value, " \t");
    reading->key = text_copy(line, strlen(line));
    reading->value = text_copy(value, strlen(value));
    reading->value_line = reading->line;
    if (reading->key == NULL || reading->value == NULL) {
        reading->no_memory = true;
        entry_release(reading);
    }
}

static void continue_value(struct reading *reading, char *line)
{
    const char *had = reading->value;

    without_comment(line);
    char *grown = text_printf("%s%s%s", had, *had != '\0' ? " " : "", line);
    if (grown == NULL) {
        reading->no_memory = true;
        return;
    }
    free(reading->value);
    reading->value = grown;
}

static void take_line(struct reading *reading, char *line)
{
    bool indented = *line == ' ' || *line == '\t';

    if (reading->line == 1 && strncmp(line, "\xEF\xBB\xBF", 3) == 0)
        line += 3;
    line += strspn(line, " \t\r\n");
    trim_end(line);
    if (*line == '\0' || *line == ';' || *line == '#')
        return;
    if (indented && reading->key != NULL)
        continue_value(reading, line);
    else if (*line == '[')
        take_section(reading, line);
    else
        take_entry(reading, line);
}

static void take_lines(struct reading *reading, FILE *file)
{
    CLEANUP(textp) char *line = NULL;
    size_t size = 0;
    ssize_t length;

    while ((length = getline(&line, &size, file)) >= 0) {
        reading->line++;
        if (length > LINE_MAX_BYTES) {
            entry_done(reading);
            broken(reading, "the line is too long: it has more than 64 KiB");
        } else if (memchr(line, '\0', (size_t)length) != NULL) {
            entry_done(reading);
            broken(reading, "the line holds a NUL byte");
        } else {
            take_line(reading, line);
        }
    }
    entry_done(reading);
}

bool ini_file_read(const char *path, const struct ini_visitor *visitor)
{
    CLEANUP(file_closep) FILE *file = fopen(path, "re");
    struct reading reading = {.visitor = visitor};

    if (file == NULL)
        return false;
    take_lines(&reading, file);
    free(reading.section);
    if (reading.no_memory)
        errno = ENOMEM;
    else if (ferror(file))
        errno = errno != 0 ? errno : EIO;
    return !reading.no_memory && !ferror(file);
}
