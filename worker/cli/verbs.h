#pragma once

#include "worker/cli/cli.h"

/* Every verb, in the order in which help lists them. */
extern const struct verb *const verbs[];
extern const size_t verb_count;

extern const struct verb verb_run;
extern const struct verb verb_check;
extern const struct verb verb_migrate;
extern const struct verb verb_publish;
extern const struct verb verb_tail;
extern const struct verb verb_show;
extern const struct verb verb_dlq;
extern const struct verb verb_retention;
extern const struct verb verb_recover;
extern const struct verb verb_seed;
extern const struct verb verb_skip;
extern const struct verb verb_version;
extern const struct verb verb_help_verb;
