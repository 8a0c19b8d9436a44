#include "worker/verbs.h"

const struct verb *const verbs[] = {
    &verb_version,
    &verb_help_verb,
};
const size_t verb_count = sizeof(verbs) / sizeof(verbs[0]);
