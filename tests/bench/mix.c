#include "tests/bench/mix.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/timestamp.h"
#include "events/command_message.h"
#include "events/wire/msgpack_writer.h"

static const double ZIPF_EXPONENT = 0.99;

struct mix {
    struct mix_options options;
    /* Of the Zipf distribution, after Gray and others, "Quickly Generating Billion-Record Synthetic
     * Databases" (SIGMOD 1994), as YCSB draws it. */
    double zeta_n;
    double eta;
};

static void prepare_zipf(struct mix *mix)
{
    uint32_t keys = mix->options.keys;

    for (uint32_t i = 1; i <= keys; i++)
        mix->zeta_n += 1.0 / pow(i, ZIPF_EXPONENT);
    double zeta_2 = 1.0 + 1.0 / pow(2, ZIPF_EXPONENT);
    mix->eta = (1.0 - pow(2.0 / keys, 1.0 - ZIPF_EXPONENT)) / (1.0 - zeta_2 / mix->zeta_n);
}

struct mix *mix_new(const struct mix_options *options)
{
    struct mix *mix = calloc(1, sizeof(*mix));
    if (mix == NULL)
        return NULL;

    mix->options = *options;
    if (options->keys == 0)
        mix->options.keys = MIX_KEYS;
    if (options->kind == MIX_USAGE_ZIPF || options->kind == MIX_ALL)
        prepare_zipf(mix);
    return mix;
}

void mix_free(struct mix *mix)
{
    free(mix);
}

int64_t mix_time_us(const struct mix *mix, uint64_t index)
{
    return mix->options.first_us + (int64_t)index * mix->options.interval_us;
}

/* --- chance ------------------------------------------------------------------------------ */

/* SplitMix64: any seed is a good one, so each command has a generator of its own. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static uint32_t below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)((draw(state) >> 32) * bound >> 32);
}

static uint32_t zipf(const struct mix *mix, uint64_t *state)
{
    double u = (double)(draw(state) >> 11) / 9007199254740992.0;
    double uz = u * mix->zeta_n;

    if (uz < 1.0)
        return 0;
    if (uz < 1.0 + pow(0.5, ZIPF_EXPONENT))
        return 1;
    uint32_t keys = mix->options.keys;
    double rank = keys * pow(mix->eta * u - mix->eta + 1.0, 1.0 / (1.0 - ZIPF_EXPONENT));
    uint32_t key = (uint32_t)rank;
    return key < keys ? key : keys - 1;
}

/* --- bodies ------------------------------------------------------------------------------ */

struct making {
    const struct mix *mix;
    uint64_t index;
    uint64_t random;
    struct arena *arena;
    struct buffer body;
    const char *type;
};

static struct text hex(struct making *making, size_t digits)
{
    static const char digit[] = "0123456789abcdef";
    char *text = arena_alloc(making->arena, digits);
    uint64_t bits = 0;

    if (text == NULL) {
        making->body.full = true;
        return TEXT_ABSENT;
    }
    for (size_t i = 0; i < digits; i++) {
        if (i % 16 == 0)
            bits = draw(&making->random);
        text[i] = digit[bits & 15];
        bits >>= 4;
    }
    return (struct text){text, digits};
}

static struct text numbered(struct making *making, const char *prefix, uint32_t number)
{
    const char *text = arena_printf(making->arena, "%s-%07u", prefix, number);
    if (text == NULL)
        making->body.full = true;
    return text_of(text);
}

/* `ms` in 12 digits, and 20 of `tail`. */
static struct text ordered(struct making *making, int64_t ms, const char *tail)
{
    const char *text = arena_printf(making->arena, "%012" PRIx64 "%.20s", (uint64_t)ms, tail);
    if (text == NULL)
        making->body.full = true;
    return text_of(text);
}

/* Of a key that is there before the run: a function of its number that SQL can compute too. */
static struct text key_there(struct making *making, uint32_t number)
{
    char digits[65];
    char decimal[16];

    if (making->mix->options.key_ids == MIX_KEY_IDS_NUMBERED)
        return numbered(making, "key", number);
    int length = snprintf(decimal, sizeof(decimal), "%" PRIu32, number);
    sha256_hex((struct slice){(const uint8_t *)decimal, (size_t)length}, digits);
    if (making->mix->options.key_ids == MIX_KEY_IDS_ORDERED)
        return ordered(making, MIX_KEY_EPOCH_MS + number, digits);
    const char *text = arena_printf(making->arena, "%.32s", digits);
    if (text == NULL)
        making->body.full = true;
    return text_of(text);
}

static struct text new_key(struct making *making)
{
    if (making->mix->options.key_ids != MIX_KEY_IDS_ORDERED)
        return hex(making, 32);
    struct text tail = hex(making, 20);
    return text_present(tail)
               ? ordered(making, mix_time_us(making->mix, making->index) / 1000, tail.data)
               : tail;
}

static void begin_map(struct making *making, uint32_t count)
{
    msgpack_write_map(&making->body, count);
}

static void name(struct making *making, const char *field)
{
    msgpack_write_text(&making->body, text_of(field));
}

static void pair(struct making *making, const char *field, struct text value)
{
    name(making, field);
    msgpack_write_text(&making->body, value);
}

static void time_pair(struct making *making, const char *field, int64_t us)
{
    name(making, field);
    msgpack_write_time(&making->body, us);
}

static void ref_pair(struct making *making, const char *field, const char *kind, struct text id)
{
    name(making, field);
    begin_map(making, 2);
    pair(making, "kind", text_of(kind));
    pair(making, "id", id);
}

static void labels_pair(struct making *making, const char *field)
{
    static const char *const teams[] = {"payments", "search", "identity", "mobile"};

    name(making, field);
    begin_map(making, 2);
    pair(making, "environment", TEXT("production"));
    pair(making, "team", text_of(teams[below(&making->random, 4)]));
}

static struct text user_there(struct making *making)
{
    return numbered(making, "user", below(&making->random, MIX_USERS_THERE));
}

static void issue(struct making *making)
{
    int64_t now_us = mix_time_us(making->mix, making->index);

    making->type = command_types[KEY_ISSUE_COMMAND].name;
    begin_map(making, 9);
    pair(making, "id", new_key(making));
    pair(making, "hash", hex(making, 64));
    ref_pair(making, "owner", "user", user_there(making));
    pair(making, "name", TEXT("deployment pipeline"));
    ref_pair(making, "createdBy", "service", TEXT("console"));
    name(making, "scopes");
    msgpack_write_array(&making->body, 3);
    msgpack_write_text(&making->body, TEXT("deployments:read"));
    msgpack_write_text(&making->body, TEXT("deployments:write"));
    msgpack_write_text(&making->body, TEXT("artifacts:read"));
    labels_pair(making, "labels");
    time_pair(making, "createdAt", now_us);
    time_pair(making, "expiresAt", now_us + (int64_t)365 * 86400 * 1000000);
}

static void use(struct making *making, struct text id)
{
    making->type = command_types[KEY_RECORD_USAGE_COMMAND].name;
    begin_map(making, 2);
    pair(making, "id", id);
    time_pair(making, "usedAt", mix_time_us(making->mix, making->index));
}

static void use_number(struct making *making, uint32_t key)
{
    use(making, key_there(making, key));
}

static void revoke(struct making *making)
{
    uint32_t nth = (uint32_t)(making->index / 100 % MIX_REVOCABLE_KEYS);

    making->type = command_types[KEY_REVOKE_COMMAND].name;
    begin_map(making, 3);
    pair(making, "id", key_there(making, MIX_KEYS + nth));
    ref_pair(making, "revokedBy", "user", user_there(making));
    pair(making, "reason", TEXT("rotated"));
}

static void upsert_user(struct making *making, bool is_there)
{
    struct text id = is_there ? user_there(making) : hex(making, 32);
    const char *email = arena_printf(making->arena, "%.*s@example.org", TEXT_ARG(id));

    making->type = command_types[USER_UPSERT].name;
    begin_map(making, 6);
    pair(making, "id", id);
    pair(making, "authentikId", hex(making, 32));
    pair(making, "email", text_of(email != NULL ? email : ""));
    pair(making, "primaryOrgId", numbered(making, "org", below(&making->random, 1000)));
    pair(making, "displayName", TEXT("Ada Lovelace"));
    labels_pair(making, "labels");
}

static void upsert_org(struct making *making)
{
    uint32_t org = below(&making->random, 1000);

    making->type = command_types[ORG_UPSERT].name;
    begin_map(making, 6);
    pair(making, "id", numbered(making, "org", org));
    pair(making, "slug", numbered(making, "slug", org));
    pair(making, "status", TEXT("active"));
    pair(making, "ownerUserId", user_there(making));
    name(making, "profile");
    begin_map(making, 2);
    pair(making, "name", TEXT("Analytical Engines"));
    pair(making, "description", TEXT("Machines that weave algebraic patterns"));
    labels_pair(making, "labels");
}

static void upsert_group(struct making *making)
{
    uint32_t group = below(&making->random, 10000);

    making->type = command_types[GROUP_UPSERT].name;
    begin_map(making, 5);
    pair(making, "id", numbered(making, "group", group));
    pair(making, "orgId", numbered(making, "org", group % 1000));
    pair(making, "slug", numbered(making, "team", group));
    pair(making, "name", TEXT("Engineering"));
    labels_pair(making, "labels");
}

static void upsert_membership(struct making *making)
{
    uint32_t membership = below(&making->random, MIX_USERS_THERE);

    making->type = command_types[MEMBERSHIP_UPSERT].name;
    begin_map(making, 5);
    pair(making, "id", numbered(making, "membership", membership));
    pair(making, "userId", numbered(making, "user", membership));
    pair(making, "orgId", numbered(making, "org", membership % 1000));
    pair(making, "role", TEXT("member"));
    name(making, "groupIds");
    msgpack_write_array(&making->body, 2);
    msgpack_write_text(&making->body, numbered(making, "group", membership % 10000));
    msgpack_write_text(&making->body, numbered(making, "group", (membership + 1) % 10000));
}

static void upsert_entitlement(struct making *making)
{
    uint32_t entitlement = below(&making->random, MIX_USERS_THERE);

    making->type = command_types[ENTITLEMENT_UPSERT].name;
    begin_map(making, 4);
    pair(making, "id", numbered(making, "entitlement", entitlement));
    pair(making, "subjectKind", TEXT("user"));
    pair(making, "subjectId", numbered(making, "user", entitlement));
    pair(making, "entitlement", TEXT("reports"));
}

static void append_audit(struct making *making)
{
    making->type = command_types[AUDIT_APPEND_COMMAND].name;
    begin_map(making, 4);
    pair(making, "category", TEXT("session"));
    pair(making, "action", TEXT("session.opened"));
    name(making, "actor");
    begin_map(making, 2);
    pair(making, "type", TEXT("user"));
    pair(making, "id", user_there(making));
    name(making, "resource");
    begin_map(making, 2);
    pair(making, "type", TEXT("session"));
    pair(making, "id", hex(making, 32));
}

/* Out of 1,000 commands of MIX_ALL. What is left is usage. */
enum {
    DUPLICATES = 10,
    REJECTIONS = 10,
    ISSUES = 60,
    REVOCATIONS = 10,
    USER_UPSERTS = 60,
    ORG_UPSERTS = 10,
    GROUP_UPSERTS = 20,
    MEMBERSHIP_UPSERTS = 40,
    ENTITLEMENT_UPSERTS = 20,
    APPENDS = 30,
};

static bool falls(uint32_t *lot, uint32_t share)
{
    if (*lot < share)
        return true;
    *lot -= share;
    return false;
}

static void any(struct making *making)
{
    uint32_t lot = below(&making->random, 1000 - DUPLICATES);

    if (falls(&lot, REJECTIONS))
        use(making, hex(making, 32));
    else if (falls(&lot, ISSUES))
        issue(making);
    else if (falls(&lot, REVOCATIONS))
        revoke(making);
    else if (falls(&lot, USER_UPSERTS))
        upsert_user(making, below(&making->random, 4) != 0);
    else if (falls(&lot, ORG_UPSERTS))
        upsert_org(making);
    else if (falls(&lot, GROUP_UPSERTS))
        upsert_group(making);
    else if (falls(&lot, MEMBERSHIP_UPSERTS))
        upsert_membership(making);
    else if (falls(&lot, ENTITLEMENT_UPSERTS))
        upsert_entitlement(making);
    else if (falls(&lot, APPENDS))
        append_audit(making);
    else
        use_number(making, zipf(making->mix, &making->random));
}

static void write_body(struct making *making)
{
    switch (making->mix->options.kind) {
    case MIX_ISSUE:
        issue(making);
        return;
    case MIX_USAGE_UNIFORM:
        use_number(making, below(&making->random, making->mix->options.keys));
        return;
    case MIX_USAGE_ZIPF:
        use_number(making, zipf(making->mix, &making->random));
        return;
    case MIX_USAGE_TEN:
        use_number(making, below(&making->random, 10));
        return;
    case MIX_USERS:
        upsert_user(making, below(&making->random, 2) == 0);
        return;
    case MIX_ALL:
        any(making);
        return;
    }
}

/* --- commands ---------------------------------------------------------------------------- */

/* UUIDv7 of the command's time, or UUIDv4. */
static struct text event_id(struct making *making)
{
    struct uuid id;
    uint64_t ms = (uint64_t)(mix_time_us(making->mix, making->index) / 1000);
    char *text = arena_alloc(making->arena, UUID_TEXT_LENGTH + 1);

    if (text == NULL)
        return TEXT_ABSENT;
    for (size_t i = 0; i < sizeof(id.bytes); i++)
        id.bytes[i] = (uint8_t)draw(&making->random);
    if (!making->mix->options.random_ids) {
        for (size_t i = 0; i < 6; i++)
            id.bytes[i] = (uint8_t)(ms >> (8 * (5 - i)));
    }
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | (making->mix->options.random_ids ? 0x40 : 0x70));
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    uuid_format(&id, text);
    return (struct text){text, UUID_TEXT_LENGTH};
}

static uint64_t random_of(const struct mix *mix, uint64_t index)
{
    return (mix->options.seed + 1) * 0xd1342543de82ef95U ^ (index + 1) * 0x2545f4914f6cdd1dU;
}

/* A duplicate is an earlier command over again. */
static uint64_t original_of(const struct mix *mix, uint64_t index)
{
    uint64_t random = ~random_of(mix, index);

    if (mix->options.kind != MIX_ALL || index == 0 || below(&random, 1000) >= DUPLICATES)
        return index;
    uint32_t reach = index < 1000 ? (uint32_t)index : 1000;
    return index - 1 - below(&random, reach);
}

enum outcome mix_command(const struct mix *mix, uint64_t index, struct arena *arena,
                         struct outgoing_record *ret_record, struct err *err)
{
    uint64_t original = original_of(mix, index);
    struct making making = {
        .mix = mix, .index = original, .random = random_of(mix, original), .arena = arena};
    char *time = arena_alloc(arena, TIMESTAMP_TEXT_LENGTH + 1);
    struct text id = event_id(&making);

    if (time == NULL || !text_present(id))
        return err_no_memory(err, "mix");
    timestamp_format(mix_time_us(mix, original), time);
    buffer_init(&making.body, arena);
    write_body(&making);
    if (making.body.full)
        return err_no_memory(err, "mix");

    const struct command_parts parts = {
        .type = text_of(making.type),
        .id = id,
        .source = TEXT("/bench/upstream"),
        .time = {time, TIMESTAMP_TEXT_LENGTH},
        .data = buffer_slice(&making.body),
    };
    return command_message_encode(&parts, TEXT_ABSENT, 0, arena, ret_record, NULL, err);
}

enum outcome mix_received(const struct mix *mix, uint64_t index, int32_t partition,
                          struct arena *arena, struct message *ret_message, struct err *err)
{
    struct outgoing_record record;
    enum outcome outcome = mix_command(mix, index, arena, &record, err);

    if (outcome != OUTCOME_OK)
        return outcome;
    *ret_message = (struct message){.topic = TEXT("bench"),
                                    .partition = partition,
                                    .offset = (int64_t)index,
                                    .timestamp_ms = mix_time_us(mix, index) / 1000,
                                    .key = record.key,
                                    .value = record.value,
                                    .headers = record.headers,
                                    .header_count = record.header_count};
    return OUTCOME_OK;
}
