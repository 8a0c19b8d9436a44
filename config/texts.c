#include "config/texts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *text_copy(const char *text, size_t length)
{
    return strndup(text, length);
}

char *text_vprintf(const char *format, va_list arguments)
{
    va_list again;

    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (text != NULL)
        vsnprintf(text, (size_t)length + 1, format, arguments);
    return text;
}

char *text_printf(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *text = text_vprintf(format, arguments);
    va_end(arguments);
    return text;
}

void textp(char **slot)
{
    free(*slot);
}
