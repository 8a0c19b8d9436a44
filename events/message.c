#include "events/message.h"

const struct header *message_header(const struct message *message, const char *name)
{
    for (size_t i = message->header_count; i > 0; i--) {
        if (text_is(message->headers[i - 1].name, name))
            return &message->headers[i - 1];
    }
    return NULL;
}
