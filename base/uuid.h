#pragma once

#include <stdbool.h>

#include "base/slice.h"

/* UUIDs and digests: 16 bytes in network order, as PostgreSQL's uuid sends and receives them. */
struct uuid {
    uint8_t bytes[16];
};

enum { UUID_TEXT_LENGTH = 36 };

/* The 8-4-4-4-12 form, either case. false: not that. */
bool uuid_parse(struct text text, struct uuid *ret_uuid);

/* Writes 36 lower-case bytes and a NUL. */
void uuid_format(const struct uuid *uuid, char ret_text[UUID_TEXT_LENGTH + 1]);

bool uuid_equal(const struct uuid *a, const struct uuid *b);
int uuid_compare(const struct uuid *a, const struct uuid *b);

/* UUIDv5 (RFC 9562) of the parts under `namespace`. The parts are hashed as length and bytes, so
 * that ("ab", "c") and ("a", "bc") differ; with `part_count` 1 and PLAIN it is the ordinary UUIDv5
 * of one name. */
struct uuid uuid_v5(const struct uuid *name_space, const struct text *parts, size_t part_count);
struct uuid uuid_v5_plain(const struct uuid *name_space, struct text name);

/* The first 16 bytes of SHA-256 over the parts, each preceded by its length: identifies a command's
 * content. */
struct uuid digest_of(const struct text *parts, size_t part_count);

/* The lower-case hexadecimal SHA-256 of the bytes, 64 characters and a NUL: migration checksums. */
void sha256_hex(struct slice bytes, char ret_text[65]);

/* Id of the audit event of the command (source, id).
 *
 * When `id` is a UUIDv7 or a ULID its 48 bits of Unix milliseconds come first, then the hash, as a
 * UUIDv8: such ids insert at the right edge of the index. Otherwise the UUIDv5. */
struct uuid audit_id_of(struct text source, struct text id);

/* Id of the audit event that reports (source, id) coming again with another content. */
struct uuid conflict_id_of(struct text source, struct text id, const struct uuid *digest);

/* Id of a key issued without one: a function of the command alone. */
struct uuid key_id_of(struct text source, struct text id);

/* What stands for an entity whose id is too long for a record key: the UUIDv5 of the id's bytes. */
struct uuid entity_id_of(struct text id);

/* Id of an adopted audit event whose id was not a UUID: UUIDv5 of that text. */
struct uuid legacy_audit_id_of(struct text id);
