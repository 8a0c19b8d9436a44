#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "worker/cli/cli.h"
#include "worker/cli/printed.h"

/* Tables are made from the JSON that programs get, so that both say the same. */

enum { COLUMNS_MAX = 64, CELL_BYTES_MAX = 60 };

struct columns {
    const char *names[COLUMNS_MAX];
    size_t widths[COLUMNS_MAX];
    size_t count;
};

/* Code points, near enough to columns on a terminal. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

/* The value as one line that a terminal may get, shortened; the caller frees it. */
static char *cell_text(const json_t *value, size_t bytes_max)
{
    if (value == NULL || json_is_null(value))
        return strdup("");
    char *dumped = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    char *text = printed_cell(
        json_is_string(value) ? (struct text){json_string_value(value), json_string_length(value)}
                              : text_of(dumped));
    free(dumped);
    if (text == NULL)
        return NULL;
    if (strlen(text) > bytes_max) {
        size_t cut = bytes_max - 3;
        while (cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80)
            cut--;
        memcpy(text + cut, "...", 4);
    }
    return text;
}

static size_t column_of(struct columns *columns, const char *name)
{
    for (size_t i = 0; i < columns->count; i++) {
        if (strcmp(columns->names[i], name) == 0)
            return i;
    }
    if (columns->count == COLUMNS_MAX)
        return SIZE_MAX;
    columns->names[columns->count] = name;
    columns->widths[columns->count] = width_of(name);
    return columns->count++;
}

static void columns_measure(struct columns *columns, json_t *array)
{
    size_t index;
    json_t *object, *value;
    const char *name;

    json_array_foreach(array, index, object)
    {
        json_object_foreach(object, name, value)
        {
            size_t column = column_of(columns, name);
            char *text = cell_text(value, CELL_BYTES_MAX);
            if (text != NULL && column != SIZE_MAX && width_of(text) > columns->widths[column])
                columns->widths[column] = width_of(text);
            free(text);
        }
    }
}

static void cell_print(const char *text, size_t width, bool last, FILE *stream)
{
    cli_print_text(stream, text_of(text));
    for (size_t w = width_of(text); !last && w < width + 2; w++)
        fputc(' ', stream);
}

static void rows_print(const struct columns *columns, json_t *array, FILE *stream)
{
    size_t index;
    json_t *object;

    for (size_t i = 0; i < columns->count; i++)
        cell_print(columns->names[i], columns->widths[i], i + 1 == columns->count, stream);
    fputc('\n', stream);
    json_array_foreach(array, index, object)
    {
        for (size_t i = 0; i < columns->count; i++) {
            bool last = i + 1 == columns->count; /* runs on as far as it must */
            char *text = cell_text(json_object_get(object, columns->names[i]),
                                   last ? SIZE_MAX : CELL_BYTES_MAX);
            cell_print(text != NULL ? text : "", columns->widths[i], last, stream);
            free(text);
        }
        fputc('\n', stream);
    }
}

static void object_print(json_t *object, FILE *stream)
{
    size_t width = 0;
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value) width =
        width_of(name) > width ? width_of(name) : width;
    json_object_foreach(object, name, value)
    {
        char *text = cell_text(value, SIZE_MAX);
        cell_print(name, width, false, stream);
        cli_print_text(stream, text_of(text != NULL ? text : ""));
        fputc('\n', stream);
        free(text);
    }
}

static void table_print(json_t *root, FILE *stream)
{
    struct columns columns = {0};

    if (json_is_object(root)) {
        object_print(root, stream);
        return;
    }
    columns_measure(&columns, root);
    if (columns.count > 0)
        rows_print(&columns, root, stream);
}

bool output_table(struct text json, FILE *stream)
{
    json_error_t error;
    json_t *root = json_loadb(json.data, json.length, 0, &error);

    if (root != NULL)
        table_print(root, stream);
    json_decref(root);
    return root != NULL;
}

enum exit_code output_json(const struct arguments *arguments, struct text json)
{
    if (arguments->output == OUTPUT_TABLE) {
        if (!output_table(json, stdout))
            return cli_fail(arguments, EXIT_BUG, "the result is not JSON");
        return EXIT_DONE;
    }
    cli_print_text(stdout, json);
    fputc('\n', stdout);
    return EXIT_DONE;
}

bool output_reader_is_gone(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO};
    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

enum exit_code output_finish(const char *verb, enum exit_code code)
{
    errno = 0;
    bool written = fflush(stdout) == 0 && !ferror(stdout);

    if (written || code != EXIT_DONE || output_reader_is_gone())
        return code;
    fprintf(stderr, "catalyst-worker %s: standard output: %s\n", verb,
            errno != 0 ? strerror(errno) : "a part could not be written");
    return EXIT_TRY_AGAIN;
}
