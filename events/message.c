#include "events/message.h"

/* Of a record: lengths, attributes, differences of time and offset. Of a header: two lengths. All
 * are varints. */
enum { RECORD_FRAMING_BYTES = 40, HEADER_FRAMING_BYTES = 10 };

size_t outgoing_bytes(const struct outgoing_record *record)
{
    size_t bytes = RECORD_FRAMING_BYTES + record->key.length + record->value.length;

    for (size_t i = 0; i < record->header_count; i++)
        bytes +=
            HEADER_FRAMING_BYTES + record->headers[i].name.length + record->headers[i].value.length;
    return bytes;
}

size_t message_bytes(const struct message *message)
{
    size_t bytes = message->key.length + message->value.length;

    for (size_t i = 0; i < message->header_count; i++)
        bytes += message->headers[i].name.length + message->headers[i].value.length;
    return bytes;
}

const struct header *message_header(const struct message *message, const char *name)
{
    for (size_t i = message->header_count; i > 0; i--) {
        if (text_is(message->headers[i - 1].name, name))
            return &message->headers[i - 1];
    }
    return NULL;
}
