#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/err.h"
#include "events/message.h"

/* What the tests of events/ share. The bytes that go in are made by msgpack-c and jansson, which
 * the product does not use for them: an oracle of their own. */

/* An arena as *state. */
int arena_setup(void **state);
int arena_teardown(void **state);

/* JSON text as MessagePack, packed by msgpack-c. Single quotes stand for double ones. */
struct slice packed(struct arena *arena, const char *json);

/* The bytes that hexadecimal digits stand for; spaces are skipped. */
struct slice hex(struct arena *arena, const char *digits);

/* JSON with single quotes made double. */
struct text quoted(struct arena *arena, const char *json);

/* A record in binary mode with ce_specversion, ce_id "c-1", ce_source "/tests", content-type
 * application/vnd.msgpack and this type; timestamp 2026-01-02T03:04:05.678Z. */
struct message command_of(struct arena *arena, const char *type, struct slice value);

/* Sets, replaces or (value NULL) removes a header. */
void set_header(struct arena *arena, struct message *message, const char *name, const char *value);
/* Another one of that name. */
void add_header(struct arena *arena, struct message *message, const char *name, struct slice value);

struct text header_text(const struct outgoing_record *record, const char *name);
size_t header_times(const struct outgoing_record *record, const char *name);

/* A number that the same seed gives again. */
struct random {
    uint64_t state;
};
uint64_t random_next(struct random *random);
size_t random_below(struct random *random, size_t bound);

/* A random value that JSON can hold, in encodings that are not always the shortest. */
struct slice random_value(struct random *random, struct arena *arena, size_t max_depth);

/* The value in canonical form, by msgpack-c. */
struct slice oracle_canonical(struct arena *arena, struct slice value);

#define assert_text(text_, literal_)                                                               \
    do {                                                                                           \
        struct text text_seen = (text_);                                                           \
        assert_non_null(text_seen.data);                                                           \
        if (!text_is(text_seen, (literal_)))                                                       \
            fail_msg("\"%.*s\" is not \"%s\"", TEXT_ARG(text_seen), (literal_));                   \
    } while (0)
#define assert_absent(text_) assert_null((text_).data)
#define assert_slice(left_, right_)                                                                \
    do {                                                                                           \
        struct slice slice_left = (left_);                                                         \
        struct slice slice_right = (right_);                                                       \
        assert_int_equal(slice_left.length, slice_right.length);                                   \
        if (slice_left.length > 0)                                                                 \
            assert_memory_equal(slice_left.data, slice_right.data, slice_left.length);             \
    } while (0)
