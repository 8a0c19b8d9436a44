#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "events/message.h"

/* Takes the secrets out of a key.issue before it is sent on as a dead letter.
 *
 * The values of secret, token and plaintext at the top of its data become the text "[redacted]";
 * every other byte stays. Binary mode with MessagePack or JSON, whatever its content type says, and
 * structured mode with data or data_base64. A body that cannot be parsed stays as it is.
 *
 * ret_value     the message's own value, or the redacted one in the arena
 * ret_redacted  whether anything was replaced
 *
 * FULL   the arena is full */
enum outcome redact_secrets(const struct message *message, struct arena *arena,
                            struct slice *ret_value, bool *ret_redacted, struct err *err);
