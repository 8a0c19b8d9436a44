#pragma once

#include <stdbool.h>

#include "base/slice.h"

/* Whether the action is one that the worker itself gives: the actions of the commands, and those of
 * an id conflict and of a rejected audit.append. An audit.append that says such an action would
 * look like the worker's own event. Compared without white space at its ends (utf8_trim()) and
 * without regard to the case of ASCII letters. */
bool action_reserved(struct text action);
