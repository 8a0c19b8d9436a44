/* Runs a target without libFuzzer, with any compiler:
 *   fuzz_replay seeds DIR       writes the first inputs of every target to DIR/<target>/
 *   fuzz_replay TARGET FILE...  runs the target on the files
 *   fuzz_replay                 every target on its seeds, and on each seed cut and changed */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "events/commands.h"
#include "events/wire/json_to_msgpack.h"
#include "targets.h"

#define USER                                                                                       \
    "{\"id\":\"u\",\"authentikId\":\"a\",\"email\":\"e\",\"labels\":{\"a\":1.5},\"metadata\":{"    \
    "\"x\":[{}]}}"
#define ORG                                                                                        \
    "{\"id\":\"o\",\"slug\":\"s\",\"status\":\"active\",\"ownerUserId\":\"u\",\"profile\":{"       \
    "\"name\":\"n\",\"links\":{}}}"
#define GROUP "{\"id\":\"g\",\"orgId\":\"o\",\"slug\":\"s\",\"name\":\"n\",\"parentGroupId\":\"p\"}"
#define MEMBERSHIP                                                                                 \
    "{\"id\":\"m\",\"userId\":\"u\",\"orgId\":\"o\",\"role\":\"r\",\"groupIds\":[\"a\"],"          \
    "\"createdAt\":\"2020-01-01T00:00:00Z\"}"
#define ENTITLEMENT                                                                                \
    "{\"id\":\"e\",\"subjectKind\":\"user\",\"subjectId\":\"u\",\"entitlement\":\"x\"}"
#define KEY                                                                                        \
    "{\"hash\":\"h\",\"owner\":{\"kind\":\"user\",\"id\":\"u\"},\"scopes\":[\"b\",\"a\",\"b\"],"   \
    "\"expiresAt\":\"2030-01-01T00:00:00Z\"}"
#define SECRET "{\"secret\":\"s\",\"\\u0074oken\":[1,{}],\"plaintext\":null}"
#define REVOKE "{\"id\":\"k\",\"revokedBy\":{\"kind\":\"org\",\"id\":\"o\"},\"reason\":\"r\"}"
#define AUDIT                                                                                      \
    "{\"category\":\"c\",\"action\":\"a\",\"actor\":{\"type\":\"t\",\"id\":\"i\"},\"resource\":{"  \
    "\"type\":\"t\"},\"metadata\":{\"n\":-1e-7}}"

static const struct {
    enum command_kind kind;
    const char *json;
} bodies[] = {
    {USER_UPSERT, USER},
    {ORG_UPSERT, ORG},
    {GROUP_UPSERT, GROUP},
    {GROUP_DELETE, "{\"id\":\"g\"}"},
    {MEMBERSHIP_UPSERT, MEMBERSHIP},
    {MEMBERSHIP_REMOVE, "{\"id\":\"m\"}"},
    {ENTITLEMENT_UPSERT, ENTITLEMENT},
    {ENTITLEMENT_REMOVE, "{\"id\":\"e\"}"},
    {KEY_ISSUE_COMMAND, KEY},
    {KEY_ISSUE_COMMAND, SECRET},
    {KEY_RECORD_USAGE_COMMAND, "{\"id\":\"k\",\"usedAt\":\"2020-01-01T00:00:00.5+01:00\"}"},
    {KEY_REVOKE_COMMAND, REVOKE},
    {AUDIT_APPEND_COMMAND, AUDIT},
};
enum { BODY_COUNT = sizeof(bodies) / sizeof(bodies[0]) };

static void die(const char *what)
{
    fprintf(stderr, "fuzz_replay: %s\n", what);
    abort();
}

static void append_header(struct buffer *seed, const char *name, const char *value)
{
    buffer_append_byte(seed, (uint8_t)strlen(name));
    buffer_append_literal(seed, name);
    buffer_append_byte(seed, (uint8_t)strlen(value));
    buffer_append_literal(seed, value);
}

static void append_headers(struct buffer *seed, const char *type)
{
    append_header(seed, "ce_specversion", "1.0");
    append_header(seed, "ce_id", "c");
    append_header(seed, "ce_source", "s");
    append_header(seed, "ce_type", type);
    append_header(seed, "ce_time", "2020-01-01T00:00:00Z");
    append_header(seed, "content-type", "application/vnd.msgpack");
    buffer_append_byte(seed, 255);
}

static void append_letter_headers(struct buffer *seed, size_t number)
{
    static const char *const counts[] = {"1", "0", "-", "99999999999999999999"};

    append_header(seed, "ce_id", "c");
    append_header(seed, "__connect.errors.topic", "t");
    append_header(seed, "__connect.errors.partition", "1");
    append_header(seed, "__connect.errors.offset", "5");
    append_header(seed, "__connect.errors.stage", number % 2 == 0 ? "TASK_PUT" : "VALUE_CONVERTER");
    append_header(seed, "__connect.errors.class.name", "sqlstate");
    append_header(seed, "__connect.errors.exception.message", "email: \"23514\"");
    append_header(seed, "kafka_dlt-original-timestamp", "12345678");
    if (number % 3 == 1)
        append_header(seed, "catalyst-redrive-count", counts[number / 3 % 4]);
    if (number % 3 == 2)
        append_header(seed, "catalyst-dlq-redriven", "6");
    if (number % 5 == 4)
        append_header(seed, "catalyst-dlq-truncated", "9");
    buffer_append_byte(seed, 255);
}

/* Seed `number` of the target. */
static struct slice seed_of(const char *target, size_t number, struct arena *arena)
{
    const char *type = command_types[bodies[number].kind].name;
    const struct text json = text_of(bodies[number].json);
    struct slice packed;
    struct buffer seed;
    struct err err = {.text = ""};

    if (json_to_msgpack(json, arena, &packed, &err) != OUTCOME_OK)
        die("a seed is not JSON");
    buffer_init(&seed, arena);
    if (strcmp(target, "value") == 0) {
        buffer_append(&seed, packed.data, packed.length);
    } else if (strcmp(target, "json") == 0) {
        buffer_append_text(&seed, json);
    } else if (strcmp(target, "msgpack") == 0 || strcmp(target, "body") == 0) {
        buffer_append_byte(&seed, (uint8_t)bodies[number].kind);
        if (strcmp(target, "body") == 0)
            buffer_append_text(&seed, json);
        else
            buffer_append(&seed, packed.data, packed.length);
    } else if (strcmp(target, "letter") == 0) {
        append_letter_headers(&seed, number);
        buffer_append(&seed, packed.data, packed.length);
    } else if (strcmp(target, "headers") == 0) {
        append_headers(&seed, type);
        buffer_append(&seed, packed.data, packed.length);
    } else {
        buffer_append_literal(&seed, strcmp(target, "structured") == 0
                                         ? "{\"specversion\":\"1.0\",\"type\":\""
                                         : "{\"type\":\"");
        buffer_append_literal(&seed, type);
        buffer_append_literal(&seed, "\",\"id\":\"c\",\"source\":\"s\",\"data\":");
        buffer_append_text(&seed, json);
        buffer_append_byte(&seed, '}');
    }
    if (seed.full)
        die("a seed does not fit");
    return buffer_slice(&seed);
}

static void write_file(const char *path, struct slice bytes)
{
    FILE *file = fopen(path, "wb");

    if (file == NULL || fwrite(bytes.data, 1, bytes.length, file) != bytes.length ||
        fclose(file) != 0)
        die("cannot write a seed");
}

static void write_seeds(const char *directory, struct arena *arena)
{
    char path[4096];

    for (size_t t = 0; t < target_count; t++) {
        snprintf(path, sizeof(path), "%s/%s", directory, targets[t].name);
        mkdir(path, 0777); /* there already: the write tells */
        for (size_t i = 0; i < BODY_COUNT; i++) {
            snprintf(path, sizeof(path), "%s/%s/seed-%02zu", directory, targets[t].name, i);
            write_file(path, seed_of(targets[t].name, i, arena));
        }
    }
}

/* A copy that ends where the heap block does, so that AddressSanitizer sees a step too far. */
static void run_exact(const struct target *target, struct slice bytes)
{
    uint8_t *copy = malloc(bytes.length > 0 ? bytes.length : 1);

    if (copy == NULL)
        die("no memory");
    if (bytes.length > 0)
        memcpy(copy, bytes.data, bytes.length);
    target->run(copy, bytes.length);
    free(copy);
}

/* Every cut, and every byte replaced by some that mean something. */
static void run_around(const struct target *target, struct slice seed, struct arena *arena)
{
    static const uint8_t telling[] = {0x00, 0x22, 0x7b, 0x80, 0x91, 0xa1, 0xc0, 0xc1, 0xc4,
                                      0xc7, 0xca, 0xcf, 0xd6, 0xdb, 0xdd, 0xdf, 0xff};
    uint8_t *changed = (uint8_t *)arena_copy(arena, seed.data, seed.length);

    if (changed == NULL)
        die("no memory");
    for (size_t length = 0; length <= seed.length; length++)
        run_exact(target, (struct slice){seed.data, length});
    for (size_t at = 0; at < seed.length; at++) {
        for (size_t i = 0; i < sizeof(telling); i++) {
            changed[at] = telling[i];
            run_exact(target, (struct slice){changed, seed.length});
        }
        changed[at] = seed.data[at];
    }
}

static void run_all(struct arena *arena)
{
    for (size_t t = 0; t < target_count; t++) {
        for (size_t i = 0; i < BODY_COUNT; i++) {
            arena_reset(arena);
            run_around(&targets[t], seed_of(targets[t].name, i, arena), arena);
        }
        printf("%s: %d seeds, every cut, every byte changed\n", targets[t].name, BODY_COUNT);
    }
}

static void run_file(const struct target *target, const char *path)
{
    enum { FILE_MAX_BYTES = 2 * 1024 * 1024 };
    uint8_t *bytes = malloc(FILE_MAX_BYTES);
    FILE *file = fopen(path, "rb");

    if (file == NULL || bytes == NULL)
        die("cannot read the file");
    size_t length = fread(bytes, 1, FILE_MAX_BYTES, file);
    fclose(file);
    run_exact(target, (struct slice){bytes, length});
    free(bytes);
    printf("%s: %s holds\n", target->name, path);
}

int main(int argc, char **argv)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new((size_t)16 * 1024 * 1024);

    if (arena == NULL)
        die("no memory");
    if (argc == 1) {
        run_all(arena);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "seeds") == 0) {
        write_seeds(argv[2], arena);
        return 0;
    }
    for (size_t t = 0; t < target_count; t++) {
        if (strcmp(targets[t].name, argv[1]) != 0)
            continue;
        for (int i = 2; i < argc; i++)
            run_file(&targets[t], argv[i]);
        return 0;
    }
    fprintf(stderr, "usage: fuzz_replay [seeds DIR | TARGET FILE...]\n");
    return 64;
}
