#include "worker/cli/printed.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/secret_filter.h"
#include "base/terminal.h"

/* Line ends and tabs stay, or become blanks. */
static char *escaped(struct text text, bool keep_layout, size_t *ret_length)
{
    char *safe = malloc(text.length * TERMINAL_ESCAPE_LENGTH + 1);
    size_t at = 0;
    size_t written = 0;

    if (safe == NULL)
        return NULL;
    while (at < text.length) {
        struct text rest = {text.data + at, text.length - at};
        size_t length = terminal_safe_length(rest);
        memcpy(safe + written, rest.data, length);
        written += length;
        at += length;
        if (at == text.length)
            break;
        unsigned code;
        rest = (struct text){text.data + at, text.length - at};
        at += terminal_unsafe(rest, &code);
        if (*rest.data == '\n' || *rest.data == '\t') {
            safe[written++] = ' ';
            if (keep_layout)
                safe[written - 1] = *rest.data;
            continue;
        }
        char escape[TERMINAL_ESCAPE_LENGTH + 1];
        terminal_escape(code, escape);
        memcpy(safe + written, escape, TERMINAL_ESCAPE_LENGTH);
        written += TERMINAL_ESCAPE_LENGTH;
    }
    safe[written] = '\0';
    *ret_length = written;
    return safe;
}

void cli_print_text(FILE *stream, struct text text)
{
    if (isatty(fileno(stream)) != 1) {
        fwrite(text.data, 1, text.length, stream);
        return;
    }
    size_t length = 0;
    char *safe = escaped(text, true, &length);
    if (safe != NULL)
        fwrite(safe, 1, length, stream);
    free(safe);
}

char *printed_cell(struct text text)
{
    size_t length;

    return escaped(text, false, &length);
}

void cli_print_message_list(FILE *stream, const char *format, va_list list)
{
    char message[2048];

    vsnprintf(message, sizeof(message), format, list);
    secret_filter_hide(message);
    char *line = printed_cell(text_of(message));
    fprintf(stream, "%s\n", line != NULL ? line : "no memory");
    free(line);
}

void cli_print_message(FILE *stream, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    cli_print_message_list(stream, format, list);
    va_end(list);
}
