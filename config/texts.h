#pragma once

#include <stdarg.h>
#include <stddef.h>

/* Texts on the heap. NULL: no memory. Private to config/. */

char *text_copy(const char *text, size_t length);
char *text_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *text_vprintf(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

/* For CLEANUP(). */
void textp(char **slot);
