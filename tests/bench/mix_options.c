#include "tests/bench/mix_options.h"

#include "tests/bench/usage.h"

struct name {
    const char *name;
    int value;
};

static const struct name kinds[] = {{"a", MIX_ISSUE},           {"b-uniform", MIX_USAGE_UNIFORM},
                                    {"b-zipf", MIX_USAGE_ZIPF}, {"b-ten", MIX_USAGE_TEN},
                                    {"c", MIX_USERS},           {"d", MIX_ALL}};
static const struct name key_ids[] = {{"numbered", MIX_KEY_IDS_NUMBERED},
                                      {"ordered", MIX_KEY_IDS_ORDERED},
                                      {"random", MIX_KEY_IDS_RANDOM}};

static int value_of(const struct name *names, size_t count, const char *name, const char *rule)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i].name) == 0)
            return names[i].value;
    }
    die("%s", rule);
}

bool mix_option_take(int option, const char *value, struct mix_options *options)
{
    switch (option) {
    case MIX_OPTION_KIND:
        options->kind = (enum mix_kind)value_of(kinds, sizeof(kinds) / sizeof(kinds[0]), value,
                                                "--mix: a, b-uniform, b-zipf, b-ten, c or d");
        return true;
    case MIX_OPTION_RANDOM_IDS:
        options->random_ids = true;
        return true;
    case MIX_OPTION_KEY_IDS:
        options->key_ids =
            (enum mix_key_ids)value_of(key_ids, sizeof(key_ids) / sizeof(key_ids[0]), value,
                                       "--key-ids: numbered, ordered or random");
        return true;
    case MIX_OPTION_KEYS:
        options->keys = (uint32_t)number_of("keys", value, 1);
        return true;
    case MIX_OPTION_SEED:
        options->seed = number_of("seed", value, 0);
        return true;
    default:
        return false;
    }
}
