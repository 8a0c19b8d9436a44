#include "worker/apply/waves.h"

bool waves_init(struct waves *waves, struct arena *arena, size_t expected_commands)
{
    waves->count = 0;
    return map_init(&waves->last, arena, 2 * expected_commands);
}

/* First wave that a touch of this row may be in; `last` is the row's slot, 0: not touched yet. */
static size_t earliest(size_t last, bool merges)
{
    if (last == 0)
        return 0;
    size_t wave = (last - 1) / 2;
    bool last_merges = (last - 1) % 2 != 0;
    return merges && last_merges ? wave : wave + 1;
}

bool waves_place(struct waves *waves, const struct resource *touched, size_t count,
                 size_t *ret_wave)
{
    size_t wave = 0;
    bool is_new;

    for (size_t i = 0; i < count; i++) {
        const size_t *last = map_get(&waves->last, touched[i].kind, touched[i].name);
        size_t from = earliest(last != NULL ? *last : 0, touched[i].merges);
        if (from > wave)
            wave = from;
    }
    for (size_t i = 0; i < count; i++) {
        size_t *last = map_put(&waves->last, touched[i].kind, touched[i].name, &is_new);
        if (last == NULL)
            return false;
        *last = 1 + 2 * wave + (touched[i].merges ? 1 : 0);
    }
    if (wave + 1 > waves->count)
        waves->count = wave + 1;
    *ret_wave = wave;
    return true;
}
