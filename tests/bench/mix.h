#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "events/commands.h"

/* Streams of commands as the benchmarks use them. A command is a function of (options, index), so
 * that producers, in-memory benchmarks and repeated runs all mean the same ones. */

enum mix_kind {
    MIX_ISSUE,         /* A: issue keys, all new */
    MIX_USAGE_UNIFORM, /* B: record usage, every key alike */
    MIX_USAGE_ZIPF,    /* B: Zipf with exponent 0.99 */
    MIX_USAGE_TEN,     /* B: ten keys only */
    MIX_USERS,         /* C: user upserts, half of them of users that exist */
    MIX_ALL,           /* D: all types, mostly usage, 1 % duplicates, 1 % rejections */
};

/* Rows that are there before a run: key-0000000 ..., user-0000000 ... (see stack.py). The keys
 * behind MIX_KEYS are there to be revoked. */
enum { MIX_KEYS = 100000, MIX_REVOCABLE_KEYS = 20000, MIX_USERS_THERE = 50000 };

/* What the ids of keys look like. Digits are hexadecimal, as in a UUID without its hyphens. */
enum mix_key_ids {
    MIX_KEY_IDS_NUMBERED, /* key-0000000 ...; issued ones are 32 random digits */
    MIX_KEY_IDS_ORDERED,  /* 12 digits of Unix milliseconds, then 20 random ones, as in a UUIDv7 */
    MIX_KEY_IDS_RANDOM,   /* 32 random digits */
};

/* Ordered ids of the keys that are there: number n carries this time + n (see load.py). */
#define MIX_KEY_EPOCH_MS INT64_C(1700000000000)

struct mix_options {
    enum mix_kind kind;
    bool random_ids; /* UUIDv4 event ids; otherwise UUIDv7, which carry their time */
    enum mix_key_ids key_ids;
    uint32_t keys; /* usage is of keys 0 to keys - 1; 0: MIX_KEYS */
    uint64_t seed;
    int64_t first_us;    /* time of command 0 ... */
    int64_t interval_us; /* ... and between two of them */
};

struct mix;

/* NULL: no memory. */
struct mix *mix_new(const struct mix_options *options);
void mix_free(struct mix *mix);
DEFINE_CLEANUP(struct mix *, mix_free)

/* The scheduled time of a command, which is its ce_time too. */
int64_t mix_time_us(const struct mix *mix, uint64_t index);

/* Command number `index` as a record to publish; its topic is absent.
 * FATAL: the arena is full */
enum outcome mix_command(const struct mix *mix, uint64_t index, struct arena *arena,
                         struct outgoing_record *ret_record, struct err *err);

/* The same as if received from `partition` at offset `index`, decoded. The message lives in the
 * arena. */
enum outcome mix_received(const struct mix *mix, uint64_t index, int32_t partition,
                          struct arena *arena, struct message *ret_message, struct err *err);
