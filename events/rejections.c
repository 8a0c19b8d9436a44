#include "events/rejections.h"

#include <string.h>

#include "events/command_types.h"

static const struct rejection id_conflict = {
    REJECTION_ID_CONFLICT,
    "A command with this source and id was taken before, with another type or body.", "ce_id"};

static const struct rejection *find_in(const struct command_type *type, const char *code)
{
    for (size_t i = 0; i < COMMAND_REJECTIONS_MAX && type->rejections[i].code != NULL; i++) {
        if (strcmp(type->rejections[i].code, code) == 0)
            return &type->rejections[i];
    }
    return NULL;
}

const struct rejection *rejection_find(const char *code)
{
    const struct rejection *found = NULL;

    if (strcmp(code, REJECTION_ID_CONFLICT) == 0)
        return &id_conflict;
    for (size_t i = 0; i < COMMAND_KIND_COUNT && found == NULL; i++)
        found = find_in(&command_types[i], code);
    return found;
}
