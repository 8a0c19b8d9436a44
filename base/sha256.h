#pragma once

#include "base/slice.h"

/* SHA-256 and HMAC-SHA-256 over parts that are hashed one behind the other, without lengths between
 * the parts. Safe on any thread: each thread has its own digest context.
 * Sources: FIPS 180-4, RFC 2104. */

enum { SHA256_BYTES = 32 };

struct sha256 {
    uint8_t bytes[SHA256_BYTES];
};

/* A part with length 0 may have data NULL. part_count 0 gives the hash of no bytes. */
struct sha256 sha256_of(const struct slice *parts, size_t part_count);

/* The key has 32 bytes, not fewer and not more: HMAC pads a shorter key with zeros, so that two
 * keys of different lengths can give one code. */
struct sha256 sha256_hmac(const struct sha256 *key, const struct slice *parts, size_t part_count);
