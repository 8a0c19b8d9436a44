#include "tests/sim/sim_commands.h"

#include <assert.h>
#include <stdio.h>

#include "events/wire/msgpack_writer.h"

static const char *const types[] = {"dev.catalyst.identity.user.upsert.v1",
                                    "dev.catalyst.key.issue.v1",
                                    "dev.catalyst.key.record_usage.v1"};

static void put_pair(struct buffer *body, const char *name, const char *value)
{
    msgpack_write_text(body, text_of(name));
    msgpack_write_text(body, text_of(value));
}

/* Some users need more memory than a small batch arena has. */
enum { LARGE_EVERY = 8, LARGE_BYTES = 4000 };

static void put_label(struct buffer *body)
{
    static char text[LARGE_BYTES + 1];

    memset(text, 'x', LARGE_BYTES);
    msgpack_write_text(body, TEXT("labels"));
    msgpack_write_map(body, 1);
    put_pair(body, "note", text);
}

static void write_body(struct buffer *body, enum sim_command_type type, const char *entity,
                       int variant)
{
    char text[64];

    if (type == SIM_USER_UPSERT) {
        bool large = variant % LARGE_EVERY == 1;
        msgpack_write_map(body, large ? 4 : 3);
        if (large)
            put_label(body);
        put_pair(body, "id", entity);
        put_pair(body, "authentikId", "a");
        snprintf(text, sizeof(text), "v%d@example.com", variant);
        put_pair(body, "email", text);
    } else if (type == SIM_KEY_ISSUE) {
        msgpack_write_map(body, 4);
        put_pair(body, "id", entity);
        put_pair(body, "hash", entity);
        msgpack_write_text(body, TEXT("owner"));
        msgpack_write_map(body, 2);
        put_pair(body, "kind", "user");
        put_pair(body, "id", "u");
        msgpack_write_text(body, TEXT("scopes"));
        msgpack_write_array(body, 0);
    } else {
        msgpack_write_map(body, variant == 0 ? 1 : 2);
        put_pair(body, "id", entity);
        if (variant != 0) {
            snprintf(text, sizeof(text), "2026-01-01T00:00:%02dZ", variant % 60);
            put_pair(body, "usedAt", text);
        }
    }
}

static struct header *header_put(struct header *header, const char *name, const char *value)
{
    *header = (struct header){text_of(name), slice_of_text(text_of(value))};
    return header + 1;
}

struct message sim_command(struct arena *arena, enum sim_command_type type, const char *id,
                           const char *entity, int variant)
{
    struct header *headers = ARENA_ARRAY(arena, struct header, 6);
    struct buffer body;

    assert(headers != NULL);
    buffer_init(&body, arena);
    write_body(&body, type, entity, variant);
    const char *id_copy = arena_copy(arena, id, strlen(id));
    struct header *end = header_put(headers, "ce_specversion", "1.0");
    end = header_put(end, "ce_id", id_copy);
    end = header_put(end, "ce_source", "/sim");
    end = header_put(end, "ce_type", types[type]);
    end = header_put(end, "ce_time", "2026-01-01T00:00:00Z");
    end = header_put(end, "content-type", "application/vnd.msgpack");
    return (struct message){.topic = TEXT("commands"),
                            .timestamp_ms = 1,
                            .value = buffer_slice(&body),
                            .headers = headers,
                            .header_count = (size_t)(end - headers)};
}
