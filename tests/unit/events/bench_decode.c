/* Does the reader earn its place? Command bodies through it and through msgpack_unpack_next() of
 * msgpack-c, on the same bytes, in turn.
 *
 * usage: bench_decode [ROUNDS]
 *
 * Whatever reads the fields, a body is checked first (msgpack_check(): UTF-8, keys, depth, lengths,
 * which msgpack-c does not check). So the sides are: the reader over every item of the checked
 * bytes, against msgpack-c building its object tree and a walk over that. `check` and `decode`
 * (check and the product's whole decoder: field rules, JSON of the documents, defaults) stand
 * beside them, and `encode`: the reader and the writer, which is msgpack-c's packer. */
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "events/commands.h"
#include "events/wire/json_to_msgpack.h"
#include "events/wire/msgpack_bounds.h"
#include "events/wire/msgpack_reader.h"
#include "events/wire/msgpack_writer.h"

enum { REPEATS = 20000, ROUNDS_MAX = 101 };

static const struct {
    enum command_kind kind;
    const char *json;
} bodies[] = {
    {KEY_RECORD_USAGE_COMMAND,
     "{\"id\":\"key_01HZX3V8Q4\",\"usedAt\":\"2026-01-02T03:04:05.678Z\"}"},
    {MEMBERSHIP_UPSERT,
     "{\"id\":\"mem_01HZX3V8Q4\",\"userId\":\"usr_01HZX3V8Q4\",\"orgId\":\"org_01HZX3V8Q4\","
     "\"role\":\"admin\",\"groupIds\":[\"grp_1\",\"grp_2\",\"grp_3\"],\"labelsDelta\":{\"tier\":"
     "\"gold\"}}"},
    {USER_UPSERT,
     "{\"id\":\"usr_01HZX3V8Q4\",\"authentikId\":\"ak-839201\",\"email\":\"someone@example.org\","
     "\"primaryOrgId\":\"org_01HZX3V8Q4\",\"displayName\":\"Some One\",\"labels\":{\"tier\":"
     "\"gold\",\"beta\":true,\"seats\":12},\"metadata\":{\"source\":\"import\",\"ranks\":[1,2,3,4],"
     "\"nested\":{\"a\":1.5,\"b\":null}}}"},
};
enum { BODY_COUNT = sizeof(bodies) / sizeof(bodies[0]) };

static volatile uint64_t seen; /* keeps the compiler from leaving the walks out */

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void walk_reader(struct slice body)
{
    struct msgpack_item item;
    struct msgpack_reader reader = msgpack_reader_of(body);

    while (reader.at != reader.end)
        seen += msgpack_next(&reader, &item);
}

static void check(struct slice body)
{
    struct msgpack_fault fault;

    if (msgpack_check(body, &fault) != OUTCOME_OK)
        abort();
}

static void walk_object(const msgpack_object *object)
{
    seen += object->type;
    if (object->type == MSGPACK_OBJECT_ARRAY) {
        for (uint32_t i = 0; i < object->via.array.size; i++)
            walk_object(&object->via.array.ptr[i]);
    } else if (object->type == MSGPACK_OBJECT_MAP) {
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            walk_object(&object->via.map.ptr[i].key);
            walk_object(&object->via.map.ptr[i].val);
        }
    }
}

static void walk_msgpack_c(struct slice body)
{
    msgpack_unpacked result;

    msgpack_unpacked_init(&result);
    if (msgpack_unpack_next(&result, (const char *)body.data, body.length, NULL) !=
        MSGPACK_UNPACK_SUCCESS)
        abort();
    walk_object(&result.data);
    msgpack_unpacked_destroy(&result);
}

static double time_of(void (*side)(struct slice), struct slice body)
{
    double begun = now_ns();
    for (int i = 0; i < REPEATS; i++)
        side(body);
    return (now_ns() - begun) / REPEATS;
}

static double time_decode(const struct command_type *type, struct slice body, struct arena *arena)
{
    const struct envelope envelope = {.id = TEXT("c-1"), .source = TEXT("/bench")};
    struct msgpack_fault fault;
    struct err err = {.text = ""};
    void *record;

    double begun = now_ns();
    for (int i = 0; i < REPEATS; i++) {
        if (msgpack_check(body, &fault) != OUTCOME_OK ||
            command_decode_data(type, &envelope, body, arena, &record, &err) != OUTCOME_OK)
            abort();
        if (i % 500 == 0)
            arena_reset(arena);
    }
    return (now_ns() - begun) / REPEATS;
}

/* The canonical form of the body, item by item through the writer, as documents of events have it.
 */
static double time_encode(struct slice body, struct arena *arena)
{
    double begun = now_ns();
    for (int i = 0; i < REPEATS; i++) {
        struct buffer buffer;
        buffer_init(&buffer, arena);
        msgpack_write_canonical(&buffer, body);
        seen += buffer.length;
        if (i % 500 == 0)
            arena_reset(arena);
    }
    return (now_ns() - begun) / REPEATS;
}

static int compare_doubles(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return values[count / 2];
}

static void bench(size_t body_number, size_t rounds, struct arena *arena)
{
    const struct command_type *type = &command_types[bodies[body_number].kind];
    double reader[ROUNDS_MAX];
    double msgpack_c[ROUNDS_MAX];
    double checked[ROUNDS_MAX];
    double decode[ROUNDS_MAX];
    double encode[ROUNDS_MAX];
    CLEANUP(arena_freep) struct arena *kept = arena_new(100000);
    struct slice body;
    struct err err = {.text = ""};

    if (kept == NULL ||
        json_to_msgpack(text_of(bodies[body_number].json), kept, &body, &err) != OUTCOME_OK)
        abort();
    for (size_t i = 0; i < rounds; i++) {
        reader[i] = time_of(walk_reader, body);
        msgpack_c[i] = time_of(walk_msgpack_c, body);
        checked[i] = time_of(check, body);
        decode[i] = time_decode(type, body, arena);
        encode[i] = time_encode(body, arena);
    }
    double ours = median(reader, rounds);
    double theirs = median(msgpack_c, rounds);
    printf("%-46s %4zu bytes: reader %5.0f ns, msgpack-c %5.0f ns, ratio %.1f; check %5.0f ns,"
           " decode %5.0f ns, encode %5.0f ns\n",
           type->name, body.length, ours, theirs, theirs / ours, median(checked, rounds),
           median(decode, rounds), median(encode, rounds));
}

int main(int argc, char **argv)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new((size_t)64 * 1024 * 1024);
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 11;

    if (arena == NULL || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_decode [ROUNDS], 1 to %d\n", ROUNDS_MAX);
        return 64;
    }
    for (size_t i = 0; i < BODY_COUNT; i++)
        bench(i, (size_t)rounds, arena);
    return 0;
}
