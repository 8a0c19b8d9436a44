#include "base/record.h"

#include "base/timestamp.h"

struct field_bounds field_bounds(enum field_kind kind)
{
    switch (kind) {
    case FIELD_EMAIL:
        return (struct field_bounds){1, 320};
    case FIELD_NAME:
        return (struct field_bounds){1, 1024};
    case FIELD_TEXT:
        return (struct field_bounds){0, 4096};
    case FIELD_LONG_ID:
        return (struct field_bounds){1, 4096};
    case FIELD_ID:
    case FIELD_CHOICE:
    case FIELD_TIME:
    case FIELD_COUNT:
    case FIELD_ID_LIST:
    case FIELD_LABELS:
    case FIELD_MAP:
    case FIELD_OBJECT:
    case FIELD_REF:
    case FIELD_PARTY:
        break;
    }
    return (struct field_bounds){1, 256};
}

void record_clear(const struct record_spec *spec, void *record)
{
    memset(record, 0, spec->size);
    for (size_t i = 0; i < spec->field_count; i++) {
        if (spec->fields[i].kind == FIELD_TIME)
            *(int64_t *)field_of(&spec->fields[i], record) = TIMESTAMP_ABSENT;
    }
}

const struct field_spec *record_field(const struct record_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->field_count; i++) {
        if (strcmp(spec->fields[i].name, name) == 0)
            return &spec->fields[i];
    }
    return NULL;
}

bool field_takes_command_time(const struct field_spec *field, size_t use)
{
    bool given_by_some = false;

    if (field->absent != ABSENT_COMMAND_TIME)
        return false;
    for (size_t i = 0; i < RECORD_COMMANDS_MAX; i++)
        given_by_some = given_by_some || field->use[i] != FIELD_NOT_GIVEN;
    return field->use[use] != FIELD_NOT_GIVEN || !given_by_some;
}
