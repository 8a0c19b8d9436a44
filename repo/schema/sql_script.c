#include "repo/schema/sql_script.h"

#include <string.h>

static bool begins(struct text text, size_t at, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.length - at >= length && memcmp(text.data + at, prefix, length) == 0;
}

/* The position behind the next `end`, or of the end of the text. */
static size_t behind(struct text text, size_t at, struct text end)
{
    for (; at + end.length <= text.length; at++) {
        if (memcmp(text.data + at, end.data, end.length) == 0)
            return at + end.length;
    }
    return text.length;
}

/* The length of a dollar-quote's $tag$, or 0. */
static size_t dollar_tag(struct text text, size_t at)
{
    size_t end = at + 1;

    while (end < text.length &&
           (text.data[end] == '_' || (text.data[end] >= 'a' && text.data[end] <= 'z')))
        end++;
    return end < text.length && text.data[end] == '$' ? end + 1 - at : 0;
}

/* The position behind whatever begins at `at`: a comment, a quoted text, or one byte. */
static size_t step(struct text text, size_t at)
{
    switch (text.data[at]) {
    case '\'':
        return behind(text, at + 1, TEXT("'"));
    case '"':
        return behind(text, at + 1, TEXT("\""));
    case '-':
        return begins(text, at, "--") ? behind(text, at, TEXT("\n")) : at + 1;
    case '/':
        return begins(text, at, "/*") ? behind(text, at, TEXT("*/")) : at + 1;
    case '$': {
        size_t tag = dollar_tag(text, at);
        return tag == 0 ? at + 1 : behind(text, at + tag, (struct text){text.data + at, tag});
    }
    default:
        return at + 1;
    }
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

bool sql_script_next(struct text *script, struct text *ret_statement)
{
    struct text text = *script;
    size_t from = 0;

    while (from < text.length && !begins(text, from, "--!") &&
           (is_space(text.data[from]) || text.data[from] == ';' || begins(text, from, "--") ||
            begins(text, from, "/*")))
        from = step(text, from);
    if (from == text.length)
        return false;

    size_t to = from;
    if (begins(text, from, "--!")) {
        while (to < text.length && text.data[to] != '\n')
            to++;
    } else {
        while (to < text.length && text.data[to] != ';')
            to = step(text, to);
    }
    *ret_statement = (struct text){text.data + from, to - from};
    *script = (struct text){text.data + to, text.length - to};
    return true;
}
