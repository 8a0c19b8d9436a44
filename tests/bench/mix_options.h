#pragma once

#include <getopt.h>

#include "tests/bench/mix.h"

/* The options that choose a mix, the same in every program that makes commands. */
enum mix_option {
    MIX_OPTION_KIND = 256, /* beyond the characters that a program uses itself */
    MIX_OPTION_RANDOM_IDS,
    MIX_OPTION_KEY_IDS,
    MIX_OPTION_KEYS,
    MIX_OPTION_SEED,
};

/* Rows for getopt_long(). */
#define MIX_LONG_OPTIONS                                                                           \
    {"mix", required_argument, NULL, MIX_OPTION_KIND},                                             \
        {"random-ids", no_argument, NULL, MIX_OPTION_RANDOM_IDS},                                  \
        {"key-ids", required_argument, NULL, MIX_OPTION_KEY_IDS},                                  \
        {"keys", required_argument, NULL, MIX_OPTION_KEYS},                                        \
    {                                                                                              \
        "seed", required_argument, NULL, MIX_OPTION_SEED                                           \
    }

/* Takes one that getopt_long() gave; dies of a bad value. false: it is none of these. */
bool mix_option_take(int option, const char *value, struct mix_options *options);
