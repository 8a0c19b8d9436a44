#include "events/wire/msgpack_bounds.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/utf8.h"
#include "events/wire/distinct.h"
#include "events/wire/msgpack_reader.h"

enum { KEYS_AT_HAND = 128 };

struct level {
    uint64_t items_left; /* keys and values counted each */
    bool is_map;
    size_t first_key; /* of this map, in walk.keys */
};

struct walk {
    struct msgpack_reader reader;
    struct level levels[MSGPACK_MAX_DEPTH];
    size_t depth;
    struct text *keys; /* of the maps that are open, outer ones first */
    size_t key_count;
    size_t key_capacity;
    struct text *grown; /* keys, once they do not fit into keys_at_hand */
    struct text keys_at_hand[KEYS_AT_HAND];
    struct msgpack_fault fault;
};

static void walk_release(struct walk *walk)
{
    free(walk->grown);
}

static enum outcome fail(struct walk *walk, const char *rule)
{
    walk->fault.rule = rule;
    return OUTCOME_REJECT;
}

static enum outcome keys_grow(struct walk *walk)
{
    size_t capacity = walk->key_capacity * 4;
    struct text *grown = realloc(walk->grown, capacity * sizeof(*grown));

    if (grown == NULL)
        return OUTCOME_FULL;
    if (walk->grown == NULL)
        memcpy(grown, walk->keys_at_hand, sizeof(walk->keys_at_hand));
    walk->grown = grown;
    walk->keys = grown;
    walk->key_capacity = capacity;
    return OUTCOME_OK;
}

static enum outcome check_key(struct walk *walk, const struct msgpack_item *item)
{
    if (item->kind != MSGPACK_TEXT)
        return fail(walk, "map keys must be text");
    if (walk->key_count == walk->key_capacity) {
        enum outcome outcome = keys_grow(walk);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    walk->keys[walk->key_count++] = msgpack_item_text(item);
    if (walk->depth == 1)
        walk->fault.field = msgpack_item_text(item);
    return OUTCOME_OK;
}

/* `field` names only what lies under it: behind the outermost map's last value there is none. */
static enum outcome close_levels(struct walk *walk)
{
    while (walk->depth > 0 && walk->levels[walk->depth - 1].items_left == 0) {
        struct level *level = &walk->levels[--walk->depth];
        if (!level->is_map)
            continue;
        if (walk->depth == 0)
            walk->fault.field = TEXT_ABSENT;
        if (!texts_distinct(walk->keys + level->first_key, walk->key_count - level->first_key))
            return fail(walk, "a map holds the same key twice");
        walk->key_count = level->first_key;
    }
    return OUTCOME_OK;
}

static enum outcome open_level(struct walk *walk, const struct msgpack_item *item)
{
    bool is_map = item->kind == MSGPACK_MAP;

    if (walk->depth == MSGPACK_MAX_DEPTH)
        return fail(walk, "nested deeper than 64");
    walk->levels[walk->depth++] = (struct level){
        .items_left = is_map ? (uint64_t)item->count * 2 : item->count,
        .is_map = is_map,
        .first_key = walk->key_count,
    };
    return OUTCOME_OK;
}

/* ASCII without U+0000, which nearly every text is, in one look at its bytes. */
static bool is_plain(struct slice bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t high = ones << 7;
    size_t at = 0;

    for (; bytes.length - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, bytes.data + at, sizeof(word));
        if (((word | (word - ones)) & high) != 0)
            return false;
    }
    for (; at < bytes.length; at++) {
        if (bytes.data[at] == 0 || bytes.data[at] >= 0x80)
            return false;
    }
    return true;
}

static enum outcome check_text(struct walk *walk, const struct msgpack_item *item)
{
    if (is_plain(item->bytes))
        return OUTCOME_OK;
    if (!utf8_valid(msgpack_item_text(item)))
        return fail(walk, "text must be valid UTF-8");
    if (utf8_has_nul(msgpack_item_text(item)))
        return fail(walk, "text must not contain U+0000");
    return OUTCOME_OK;
}

static enum outcome check_item(struct walk *walk)
{
    struct msgpack_item item;
    enum msgpack_kind kind = msgpack_next(&walk->reader, &item);

    if (kind == MSGPACK_CUT)
        return fail(walk, "not MessagePack: it ends before its lengths do");
    if (kind == MSGPACK_RESERVED)
        return fail(walk, "not MessagePack: byte 0xc1");
    if (kind == MSGPACK_TEXT && check_text(walk, &item) != OUTCOME_OK)
        return OUTCOME_REJECT;

    if (walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];
        bool is_key = level->is_map && level->items_left % 2 == 0;
        level->items_left--;
        if (is_key)
            return check_key(walk, &item);
    }
    if (kind == MSGPACK_ARRAY || kind == MSGPACK_MAP) {
        enum outcome outcome = open_level(walk, &item);
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    return close_levels(walk);
}

enum outcome msgpack_check(struct slice bytes, struct msgpack_fault *ret_fault)
{
    CLEANUP(walk_release)
    struct walk walk;
    walk.reader = msgpack_reader_of(bytes);
    walk.depth = 0;
    walk.keys = walk.keys_at_hand;
    walk.key_count = 0;
    walk.key_capacity = KEYS_AT_HAND;
    walk.grown = NULL;
    walk.fault = (struct msgpack_fault){NULL, TEXT_ABSENT};

    enum outcome outcome = OUTCOME_OK;
    if (bytes.length > MSGPACK_MAX_BYTES)
        outcome = fail(&walk, MSGPACK_TOO_LONG);
    else if (bytes.length == 0)
        outcome = fail(&walk, "empty");
    else
        outcome = check_item(&walk);
    while (outcome == OUTCOME_OK && walk.depth > 0)
        outcome = check_item(&walk);
    if (outcome == OUTCOME_OK && walk.reader.at != walk.reader.end)
        outcome = fail(&walk, "bytes behind the end of the value");
    *ret_fault = walk.fault;
    return outcome;
}
