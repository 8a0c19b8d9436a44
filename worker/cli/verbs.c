#include "worker/cli/verbs.h"

const struct verb *const verbs[] = {
    &verb_run,  &verb_check,   &verb_migrate,   &verb_publish, &verb_tail,
    &verb_show, &verb_dlq,     &verb_skip,      &verb_recover, &verb_retention,
    &verb_seed, &verb_version, &verb_help_verb,
};
const size_t verb_count = sizeof(verbs) / sizeof(verbs[0]);
