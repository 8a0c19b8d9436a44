#include "worker/cli/findings.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/json_writer.h"
#include "base/secret_filter.h"

static const char *const level_names[] = {
    [FINDING_INFO] = "info",
    [FINDING_WARNING] = "warning",
    [FINDING_AWAY] = "away",
    [FINDING_ERROR] = "error",
};

static bool grow(struct findings *findings)
{
    size_t capacity = findings->capacity * 2 + 16;
    struct finding *items = ARENA_ARRAY(findings->arena, struct finding, capacity);

    if (items == NULL)
        return false;
    if (findings->count > 0)
        memcpy(items, findings->items, findings->count * sizeof(*items));
    findings->items = items;
    findings->capacity = capacity;
    return true;
}

void finding_add(struct findings *findings, enum finding_level level, const char *where,
                 const char *format, ...)
{
    char what[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    secret_filter_hide(what);
    const char *kept_where = arena_copy(findings->arena, where, strlen(where));
    const char *kept_what = arena_copy(findings->arena, what, strlen(what));
    if (kept_where == NULL || kept_what == NULL ||
        (findings->count == findings->capacity && !grow(findings))) {
        findings->full = true;
        return;
    }
    findings->items[findings->count++] = (struct finding){level, kept_where, kept_what};
}

void finding_add_failure(struct findings *findings, const char *where, const struct err *err)
{
    finding_add(findings, err->outcome == OUTCOME_RETRY ? FINDING_AWAY : FINDING_ERROR, where,
                "%s [%s]", err->text, err->code);
}

size_t findings_of(const struct findings *findings, enum finding_level level)
{
    size_t count = 0;

    for (size_t i = 0; i < findings->count; i++)
        count += findings->items[i].level == level;
    return count;
}

void findings_json(const struct findings *findings, struct buffer *out)
{
    struct json_writer json = json_writer_of(out);

    json_begin_array(&json, NULL);
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];

        json_begin_object(&json, NULL);
        json_text(&json, "level", text_of(level_names[finding->level]));
        json_text(&json, "where", text_of(finding->where));
        json_text(&json, "what", text_of(finding->what));
        json_end_object(&json);
    }
    json_end_array(&json);
}
