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

struct reader {
    const struct ini_visitor *visitor;
    int line;
    bool no_memory;
    char *section;

    /* the entry that may still grow */
    char *key;
    char *value;
    int value_line;
};

static void entry_release(struct reader *reader)
{
    free(reader->key);
    free(reader->value);
    reader->key = NULL;
    reader->value = NULL;
}

static void entry_done(struct reader *reader)
{
    const struct ini_visitor *visitor = reader->visitor;

    if (reader->key != NULL && reader->value != NULL)
        visitor->entry(visitor->context, reader->section != NULL ? reader->section : "",
                       reader->key, reader->value, reader->value_line);
    entry_release(reader);
}

static void broken(struct reader *reader, const char *rule)
{
    reader->visitor->broken(reader->visitor->context, reader->line, rule);
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

static void take_section(struct reader *reader, char *line)
{
    char *end = strchr(line, ']');

    entry_done(reader);
    if (end == NULL) {
        broken(reader, "neither [section] nor key = value nor a comment");
        return;
    }
    *end = '\0';
    if (!is_section(line + 1))
        broken(reader, NO_NAME);
    free(reader->section);
    reader->section = text_copy(line + 1, strlen(line + 1));
    reader->no_memory |= reader->section == NULL;
}

static void take_entry(struct reader *reader, char *line)
{
    without_comment(line);
    size_t key_length = strcspn(line, "=:");

    entry_done(reader);
    if (line[key_length] == '\0') {
        broken(reader, "neither [section] nor key = value nor a comment");
        return;
    }
    line[key_length] = '\0';
    if (!is_name(trim_end(line)) || (reader->section != NULL && !is_section(reader->section))) {
        broken(reader, NO_NAME);
        return;
    }
    const char *value = line + key_length + 1;
    value += strspn(value, " \t");
    reader->key = text_copy(line, strlen(line));
    reader->value = text_copy(value, strlen(value));
    reader->value_line = reader->line;
    if (reader->key == NULL || reader->value == NULL) {
        reader->no_memory = true;
        entry_release(reader);
    }
}

static void continue_value(struct reader *reader, char *line)
{
    const char *had = reader->value;

    without_comment(line);
    char *grown = text_printf("%s%s%s", had, *had != '\0' ? " " : "", line);
    if (grown == NULL) {
        reader->no_memory = true;
        return;
    }
    free(reader->value);
    reader->value = grown;
}

static void take_line(struct reader *reader, char *line)
{
    bool indented = *line == ' ' || *line == '\t';

    if (reader->line == 1 && strncmp(line, "\xEF\xBB\xBF", 3) == 0)
        line += 3;
    line += strspn(line, " \t\r\n");
    trim_end(line);
    if (*line == '\0' || *line == ';' || *line == '#')
        return;
    if (indented && reader->key != NULL)
        continue_value(reader, line);
    else if (*line == '[')
        take_section(reader, line);
    else
        take_entry(reader, line);
}

static void take_lines(struct reader *reader, FILE *file)
{
    CLEANUP(textp) char *line = NULL;
    size_t size = 0;
    ssize_t length;

    while ((length = getline(&line, &size, file)) >= 0) {
        reader->line++;
        if (length > LINE_MAX_BYTES) {
            entry_done(reader);
            broken(reader, "the line is too long: it has more than 64 KiB");
        } else if (memchr(line, '\0', (size_t)length) != NULL) {
            entry_done(reader);
            broken(reader, "the line holds a NUL byte");
        } else {
            take_line(reader, line);
        }
    }
    entry_done(reader);
}

bool ini_file_read(const char *path, const struct ini_visitor *visitor)
{
    CLEANUP(file_closep) FILE *file = fopen(path, "re");
    struct reader reader = {.visitor = visitor};

    if (file == NULL)
        return false;
    take_lines(&reader, file);
    free(reader.section);
    if (reader.no_memory)
        errno = ENOMEM;
    else if (ferror(file))
        errno = errno != 0 ? errno : EIO;
    return !reader.no_memory && !ferror(file);
}
