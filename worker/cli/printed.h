#pragma once

#include <stdarg.h>
#include <stdio.h>

#include "base/slice.h"

/* Everything that a verb prints goes through here: a terminal gets no character that it would act
 * upon (base/terminal.h), and error output no secret (base/secret_filter.h). */

/* Writes the text: as it is to a file or a pipe; to a terminal with "\u009b" in place of what is
 * unsafe, line ends and tabs excepted. In JSON that is the same text. */
void cli_print_text(FILE *stream, struct text text);

/* The same wherever it goes, on the heap, zero-terminated; line ends and tabs become blanks. NULL:
 * no memory. */
char *printed_cell(struct text text);

/* A message for people: secrets hidden, unsafe characters escaped, in one line, with a line end. */
void cli_print_message(FILE *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_print_message_list(FILE *stream, const char *format, va_list list)
    __attribute__((format(printf, 2, 0)));
