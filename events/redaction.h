#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "events/message.h"

/* Takes secrets out of a record before it is sent on as a dead letter: secrecy wins over the bytes
 * as received.
 *
 * Searched are the names secret, token and plaintext, letters of either case, wherever a name holds
 * one of them. What follows such a name becomes the text "[redacted]":
 *
 * Well-formed body: the values of these fields at any depth, but of a key.issue not below metadata
 * and labels. A body of another known type stays as it is.
 *
 * Damaged body: everything from the first of these names, in JSON or MessagePack, to the end.
 *
 * data_base64: the same inside. It is replaced whole when it cannot be decoded.
 *
 * Headers and key, where the body is searched: a header of such a name; a header or key that holds
 * such a name and, as a body would, a value behind it.
 *
 * A body is well-formed when it is one JSON object or one MessagePack map, whatever its content
 * type says.
 *
 * ret_message   what to send on: the message's own bytes, or redacted ones in the arena
 * ret_redacted  whether anything was replaced
 *
 * FULL   the arena is full */
enum outcome redact_secrets(const struct message *message, struct arena *arena,
                            struct message *ret_message, bool *ret_redacted, struct err *err);
