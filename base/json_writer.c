#include "base/json_writer.h"

#include "base/timestamp.h"

struct buffer *json_member(struct json_writer *writer, struct text name)
{
    if (writer->follows)
        buffer_append_byte(writer->out, ',');
    writer->follows = true;
    json_append_string(writer->out, name);
    buffer_append_byte(writer->out, ':');
    return writer->out;
}

struct buffer *json_value(struct json_writer *writer, const char *name)
{
    if (name != NULL)
        return json_member(writer, text_of(name));
    if (writer->follows)
        buffer_append_byte(writer->out, ',');
    writer->follows = true;
    return writer->out;
}

static void begin(struct json_writer *writer, const char *name, uint8_t bracket)
{
    buffer_append_byte(json_value(writer, name), bracket);
    writer->follows = false;
}

static void end(struct json_writer *writer, uint8_t bracket)
{
    buffer_append_byte(writer->out, bracket);
    writer->follows = true;
}

void json_begin_object(struct json_writer *writer, const char *name)
{
    begin(writer, name, '{');
}

void json_end_object(struct json_writer *writer)
{
    end(writer, '}');
}

void json_begin_array(struct json_writer *writer, const char *name)
{
    begin(writer, name, '[');
}

void json_end_array(struct json_writer *writer)
{
    end(writer, ']');
}

void json_text(struct json_writer *writer, const char *name, struct text value)
{
    if (text_present(value))
        json_append_string(json_value(writer, name), value);
}

void json_time(struct json_writer *writer, const char *name, int64_t us)
{
    if (us != TIMESTAMP_ABSENT)
        json_append_time(json_value(writer, name), us);
}

void json_document(struct json_writer *writer, const char *name, struct text value)
{
    if (text_present(value))
        buffer_append_text(json_value(writer, name), value);
}

void json_int(struct json_writer *writer, const char *name, int64_t value)
{
    json_append_int(json_value(writer, name), value);
}

void json_bool(struct json_writer *writer, const char *name, bool value)
{
    buffer_append_literal(json_value(writer, name), value ? "true" : "false");
}
