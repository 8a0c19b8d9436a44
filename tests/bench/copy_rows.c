#include "tests/bench/copy_rows.h"

#include "base/timestamp.h"
#include "repo/pg/executor.h"

/* Microseconds from 1970-01-01 to 2000-01-01, where timestamptz begins. */
static const int64_t POSTGRES_EPOCH_US = 946684800000000;

enum { KEY_COLUMNS = 21, AUDIT_COLUMNS = 23 };

static void put(struct buffer *buffer, uint64_t value, size_t bytes)
{
    uint8_t *at = buffer_reserve(buffer, bytes);

    if (at == NULL)
        return;
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    buffer->length += bytes;
}

static void put_null(struct buffer *buffer)
{
    put(buffer, UINT32_MAX, 4);
}

static void put_bytes(struct buffer *buffer, const void *bytes, size_t length)
{
    put(buffer, length, 4);
    buffer_append(buffer, bytes, length);
}

static void put_number(struct buffer *buffer, uint64_t value, size_t bytes)
{
    put(buffer, bytes, 4);
    put(buffer, value, bytes);
}

static void put_text(struct buffer *buffer, struct text text)
{
    if (text_present(text))
        put_bytes(buffer, text.data, text.length);
    else
        put_null(buffer);
}

static void put_time(struct buffer *buffer, int64_t us)
{
    if (us == TIMESTAMP_ABSENT)
        put_null(buffer);
    else
        put_number(buffer, (uint64_t)(us - POSTGRES_EPOCH_US), 8);
}

static void put_list(struct buffer *buffer, struct text_list list)
{
    size_t length = 20;

    for (size_t i = 0; i < list.count; i++)
        length += 4 + list.items[i].length;
    put(buffer, length, 4);
    put(buffer, 1, 4); /* dimensions */
    put(buffer, 0, 4); /* no NULLs */
    put(buffer, PG_TEXT, 4);
    put(buffer, list.count, 4);
    put(buffer, 1, 4); /* lower bound */
    for (size_t i = 0; i < list.count; i++)
        put_text(buffer, list.items[i]);
}

void copy_begin(struct buffer *buffer)
{
    static const char signature[] = "PGCOPY\n\377\r\n";

    buffer_append(buffer, signature, sizeof(signature));
    put(buffer, 0, 4); /* flags */
    put(buffer, 0, 4); /* no header extension */
}

void copy_end(struct buffer *buffer)
{
    put(buffer, UINT16_MAX, 2);
}

void copy_key(struct buffer *buffer, const struct key *key)
{
    put(buffer, KEY_COLUMNS, 2);
    put_text(buffer, key->id);
    put_text(buffer, key->hash);
    put_text(buffer, key->owner.kind);
    put_text(buffer, key->owner.id);
    put_text(buffer, key->name);
    put_text(buffer, key->description);
    put_text(buffer, key->created_by.kind);
    put_text(buffer, key->created_by.id);
    put_time(buffer, key->created_at_us);
    put_time(buffer, key->updated_at_us);
    put_time(buffer, key->expires_at_us);
    put_time(buffer, TIMESTAMP_ABSENT);
    put_number(buffer, 0, 8);
    put_text(buffer, TEXT("active"));
    put_list(buffer, key->scopes);
    put_text(buffer, key->labels.json);
    put_text(buffer, key->metadata.json);
    put_time(buffer, TIMESTAMP_ABSENT);
    put_null(buffer);
    put_null(buffer);
    put_null(buffer);
}

void copy_audit_event(struct buffer *buffer, const struct audit_event *event)
{
    put(buffer, AUDIT_COLUMNS, 2);
    put_bytes(buffer, event->id.bytes, sizeof(event->id.bytes));
    put_time(buffer, event->occurred_at_us);
    put_text(buffer, event->category);
    put_text(buffer, event->action);
    put_text(buffer, event->outcome);
    put_text(buffer, event->actor.json);
    put_text(buffer, event->subject.json);
    put_text(buffer, event->resource.json);
    put_text(buffer, event->metadata.json);
    put_text(buffer, event->correlation_id);
    put_text(buffer, event->error.json);
    put_text(buffer, event->entity);
    put_text(buffer, event->command_source);
    put_text(buffer, event->command_id);
    put_text(buffer, event->command_type);
    put_bytes(buffer, event->command_digest.bytes, sizeof(event->command_digest.bytes));
    put_number(buffer, (uint64_t)event->topic_id, 2);
    put_number(buffer, (uint32_t)event->partition, 4);
    put_number(buffer, (uint64_t)event->offset, 8);
    put_text(buffer, event->traceparent);
    put_text(buffer, event->tracestate);
    put_text(buffer, event->carried_correlation_id);
    put_text(buffer, event->legacy_id);
}
