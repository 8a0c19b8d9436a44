#include "events/command_types.h"

#include <string.h>

#define RECORD(record_, use_) .record = &record_##_spec, .use = (use_)
#define EVENT(category_, applied_, created_, ...)                                                  \
    .category = (category_), .applied_action = (applied_), .created_action = (created_), __VA_ARGS__
#define SUBJECT(type_, field_) .subject_type = (type_), .subject_field = (field_)
#define SUBJECT_KIND(kind_, field_) .subject_type_field = (kind_), .subject_field = (field_)
#define SUBJECT_REF(field_) .subject_field = (field_)
#define METADATA(...) .metadata = {__VA_ARGS__}
#define AS_GIVEN .as_given = true
#define REFUSES_SECRETS .refuses_secrets = true
#define MAKES_ID .makes_id = true
#define REJECTED(answer_, code_, message_, field_) {code_, message_, field_},
#define REJECTIONS(...) .rejections = {__VA_ARGS__}
#define NOT_REJECTED .rejections = {{NULL, NULL, NULL}}
#define COMMAND(kind_, name_, record_, event_, apply_, rejections_)                                \
    [kind_] = {.kind = (kind_), .name = (name_), record_, event_, rejections_},

const struct command_type command_types[COMMAND_KIND_COUNT] = {
#include "events/commands.def"
};

const struct command_type *command_type_find(struct text name)
{
    for (size_t i = 0; i < COMMAND_KIND_COUNT; i++) {
        if (text_is(name, command_types[i].name))
            return &command_types[i];
    }
    return NULL;
}

static const struct field_spec *field_given(const struct command_type *type, struct text key)
{
    for (size_t i = 0; i < type->record->field_count; i++) {
        const struct field_spec *field = &type->record->fields[i];
        if (field->use[type->use] != FIELD_NOT_GIVEN && text_is(key, field_wire_name(field)))
            return field;
    }
    return NULL;
}

const char *command_field_name(const struct command_type *type, struct text key)
{
    const struct field_spec *field = field_given(type, key);
    return field != NULL ? field_wire_name(field) : NULL;
}

const char *command_secret_name(struct text key)
{
    static const char *const names[] = {"secret", "token", "plaintext"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (text_is(key, names[i]))
            return names[i];
    }
    return NULL;
}

/* --- the check of the table --------------------------------------------------------------------
 */

static bool declares(const struct record_spec *record, const char *wire_name)
{
    for (size_t i = 0; i < record->field_count; i++) {
        if (strcmp(field_wire_name(&record->fields[i]), wire_name) == 0)
            return true;
    }
    return false;
}

static enum outcome wrong(const struct command_type *type, const char *what, struct err *err)
{
    return err_set(err, OUTCOME_FATAL, "", "command %s: %s",
                   type->name != NULL ? type->name : "without a name", what);
}

static enum outcome check_names(const struct command_type *type, struct err *err)
{
    const char *const fields[] = {type->subject_type_field, type->subject_field};

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (fields[i] != NULL && !declares(type->record, fields[i]))
            return wrong(type, "its record does not declare a field of the subject", err);
    }
    for (size_t i = 0; i < COMMAND_METADATA_MAX && type->metadata[i] != NULL; i++) {
        if (!declares(type->record, type->metadata[i]))
            return wrong(type, "its record does not declare a field of the metadata", err);
    }
    return OUTCOME_OK;
}

static enum outcome check_rejections(const struct command_type *type, struct err *err)
{
    for (size_t i = 0; i < COMMAND_REJECTIONS_MAX && type->rejections[i].code != NULL; i++) {
        const struct rejection *rejection = &type->rejections[i];
        if (rejection->message == NULL || rejection->field == NULL)
            return wrong(type, "a rejection has no message or no field", err);
        if (!declares(type->record, rejection->field))
            return wrong(type, "its record does not declare the field of a rejection", err);
    }
    return OUTCOME_OK;
}

enum outcome command_type_check(const struct command_type *type, struct err *err)
{
    if (type->name == NULL || type->record == NULL || type->category == NULL)
        return wrong(type, "its row lacks a name, a record or a category", err);
    if (type->use >= RECORD_COMMANDS_MAX)
        return wrong(type, "its use is out of range", err);
    if (type->as_given)
        return check_rejections(type, err);
    if (type->applied_action == NULL)
        return wrong(type, "its row lacks an action", err);
    const struct field_spec *id = field_given(type, TEXT("id"));
    if (id == NULL || id->kind != FIELD_ID)
        return wrong(type, "it does not give the id of its record", err);
    if (id->use[type->use] != FIELD_REQUIRED && !type->makes_id)
        return wrong(type, "its id may be absent, and none is made", err);
    enum outcome outcome = check_names(type, err);
    return outcome == OUTCOME_OK ? check_rejections(type, err) : outcome;
}

enum outcome commands_check(struct err *err)
{
    enum outcome outcome = OUTCOME_OK;

    for (size_t i = 0; i < COMMAND_KIND_COUNT && outcome == OUTCOME_OK; i++) {
        outcome = command_type_check(&command_types[i], err);
        if (outcome == OUTCOME_OK &&
            command_type_find(text_of(command_types[i].name)) != &command_types[i])
            outcome = wrong(&command_types[i], "another row has the same name", err);
    }
    return outcome;
}
