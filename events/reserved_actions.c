#include "events/reserved_actions.h"

#include <strings.h>

#include "base/utf8.h"
#include "events/command_types.h"
#include "events/commands.h"

static bool is(struct text action, const char *name)
{
    return name != NULL && action.length == strlen(name) &&
           strncasecmp(action.data, name, action.length) == 0;
}

bool action_reserved(struct text action)
{
    struct text trimmed = utf8_trim(action);

    for (size_t i = 0; i < COMMAND_KIND_COUNT; i++) {
        if (is(trimmed, command_types[i].applied_action) ||
            is(trimmed, command_types[i].created_action))
            return true;
    }
    return is(trimmed, ACTION_CONFLICTED);
}
