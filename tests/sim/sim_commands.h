#pragma once

#include "events/message.h"

#include "base/arena.h"

/* Commands of three types, enough for every way in which a command can be answered. */

enum sim_command_type { SIM_USER_UPSERT, SIM_KEY_ISSUE, SIM_KEY_RECORD_USAGE };

/* A record on the topic "commands" at partition 0 and offset 0, in `arena`.
 *
 * id       of (source, id); the source is always the same
 * entity   the user or the key
 * variant  another one makes another body; of SIM_KEY_ISSUE there is one body only */
struct message sim_command(struct arena *arena, enum sim_command_type type, const char *id,
                           const char *entity, int variant);
