#include "base/uuid.h"

#include <assert.h>

#include "base/digest.h"

/* Random once, fixed for ever: changing one changes every id derived from it. */
static const struct uuid AUDIT_NAMESPACE = {{0x8d, 0x2f, 0x6c, 0x1a, 0x41, 0x7b, 0x4e, 0x0d, 0x9b,
                                             0x53, 0x6e, 0xa2, 0x17, 0xc9, 0x30, 0xf4}};
static const struct uuid CONFLICT_NAMESPACE = {{0x1c, 0x95, 0xe0, 0x7f, 0x0a, 0x66, 0x4b, 0x3c,
                                                0x8e, 0x21, 0xd5, 0x48, 0xb9, 0x04, 0x7a, 0x62}};
static const struct uuid KEY_NAMESPACE = {{0xf3, 0x70, 0x28, 0xbd, 0x92, 0x1e, 0x4a, 0x57, 0xa4,
                                           0xc8, 0x3b, 0x0f, 0x65, 0xde, 0x81, 0x19}};
static const struct uuid LEGACY_NAMESPACE = {{0x52, 0xa8, 0x4d, 0xe6, 0x7c, 0x03, 0x4f, 0x91, 0xb0,
                                              0x1d, 0xe9, 0x76, 0x2a, 0xcf, 0x58, 0x3b}};

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

bool uuid_parse(struct text text, struct uuid *ret_uuid)
{
    struct uuid uuid;
    size_t byte = 0;

    if (text.length != UUID_TEXT_LENGTH)
        return false;
    for (size_t i = 0; i < UUID_TEXT_LENGTH;) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text.data[i] != '-')
                return false;
            i++;
            continue;
        }
        int high = hex_value(text.data[i]);
        int low = hex_value(text.data[i + 1]);
        if (high < 0 || low < 0)
            return false;
        uuid.bytes[byte++] = (uint8_t)(high << 4 | low);
        i += 2;
    }
    *ret_uuid = uuid;
    return true;
}

static char *put_hex(char *at, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < count; i++) {
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 0x0F];
    }
    return at;
}

void uuid_format(const struct uuid *uuid, char ret_text[UUID_TEXT_LENGTH + 1])
{
    static const size_t groups[] = {4, 2, 2, 2, 6};
    const uint8_t *from = uuid->bytes;
    char *at = ret_text;

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (i > 0)
            *at++ = '-';
        at = put_hex(at, from, groups[i]);
        from += groups[i];
    }
    *at = '\0';
}

bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

int uuid_compare(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static void hash_parts(enum digest_algorithm algorithm, struct slice prefix,
                       const struct text *parts, size_t part_count, bool with_lengths,
                       uint8_t ret_hash[EVP_MAX_MD_SIZE])
{
    EVP_MD_CTX *context = digest_begin(algorithm);
    int done = EVP_DigestUpdate(context, prefix.data, prefix.length);
    for (size_t i = 0; i < part_count; i++) {
        const uint8_t length[4] = {(uint8_t)(parts[i].length >> 24),
                                   (uint8_t)(parts[i].length >> 16),
                                   (uint8_t)(parts[i].length >> 8), (uint8_t)parts[i].length};
        if (with_lengths)
            done &= EVP_DigestUpdate(context, length, sizeof(length));
        done &= EVP_DigestUpdate(context, parts[i].data, parts[i].length);
    }
    done &= EVP_DigestFinal_ex(context, ret_hash, NULL);
    assert(done == 1);
}

static void set_version(struct uuid *uuid, uint8_t version)
{
    uuid->bytes[6] = (uint8_t)((uuid->bytes[6] & 0x0F) | (uint8_t)(version << 4));
    uuid->bytes[8] = (uint8_t)((uuid->bytes[8] & 0x3F) | 0x80);
}

static struct uuid v5(const struct uuid *name_space, const struct text *parts, size_t part_count,
                      bool with_lengths)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    struct uuid uuid;

    hash_parts(DIGEST_SHA1, (struct slice){name_space->bytes, sizeof(name_space->bytes)}, parts,
               part_count, with_lengths, hash);
    memcpy(uuid.bytes, hash, sizeof(uuid.bytes));
    set_version(&uuid, 5);
    return uuid;
}

struct uuid uuid_v5(const struct uuid *name_space, const struct text *parts, size_t part_count)
{
    return v5(name_space, parts, part_count, true);
}

struct uuid uuid_v5_plain(const struct uuid *name_space, struct text name)
{
    return v5(name_space, &name, 1, false);
}

struct uuid digest_of(const struct text *parts, size_t part_count)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    struct uuid digest;

    hash_parts(DIGEST_SHA256, (struct slice){NULL, 0}, parts, part_count, true, hash);
    memcpy(digest.bytes, hash, sizeof(digest.bytes));
    return digest;
}

void sha256_hex(struct slice bytes, char ret_text[65])
{
    uint8_t hash[EVP_MAX_MD_SIZE];

    hash_parts(DIGEST_SHA256, bytes, NULL, 0, false, hash);
    *put_hex(ret_text, hash, 32) = '\0';
}

/* Crockford's base 32, as ULIDs are written; -1: not a digit. */
static int crockford_value(char digit)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    char upper = digit >= 'a' && digit <= 'z' ? (char)(digit - 'a' + 'A') : digit;
    const char *found = upper != '\0' ? strchr(digits, upper) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

static bool ulid_milliseconds(struct text id, uint64_t *ret_ms)
{
    uint64_t ms = 0;

    if (id.length != 26)
        return false;
    for (size_t i = 0; i < id.length; i++) {
        int value = crockford_value(id.data[i]);
        if (value < 0 || (i == 0 && value > 7))
            return false; /* 128 bits: the first digit holds three of them */
        if (i < 10)
            ms = ms << 5 | (uint64_t)value;
    }
    *ret_ms = ms;
    return true;
}

/* The Unix milliseconds that the id itself carries. */
static bool id_milliseconds(struct text id, uint64_t *ret_ms)
{
    struct uuid uuid;

    if (uuid_parse(id, &uuid)) {
        if (uuid.bytes[6] >> 4 != 7 || uuid.bytes[8] >> 6 != 2)
            return false;
        uint64_t ms = 0;
        for (size_t i = 0; i < 6; i++)
            ms = ms << 8 | uuid.bytes[i];
        *ret_ms = ms;
        return true;
    }
    return ulid_milliseconds(id, ret_ms);
}

static struct uuid time_ordered(struct text id, struct uuid hashed)
{
    uint64_t ms;

    if (!id_milliseconds(id, &ms))
        return hashed;
    for (size_t i = 0; i < 6; i++)
        hashed.bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    set_version(&hashed, 8);
    return hashed;
}

struct uuid audit_id_of(struct text source, struct text id)
{
    const struct text parts[] = {source, id};
    return time_ordered(id, uuid_v5(&AUDIT_NAMESPACE, parts, 2));
}

struct uuid conflict_id_of(struct text source, struct text id, const struct uuid *digest)
{
    const struct text parts[] = {source, id, {(const char *)digest->bytes, sizeof(digest->bytes)}};
    return time_ordered(id, uuid_v5(&CONFLICT_NAMESPACE, parts, 3));
}

struct uuid key_id_of(struct text source, struct text id)
{
    const struct text parts[] = {source, id};
    return uuid_v5(&KEY_NAMESPACE, parts, 2);
}

struct uuid entity_id_of(struct text id)
{
    return uuid_v5_plain(&AUDIT_NAMESPACE, id);
}

struct uuid legacy_audit_id_of(struct text id)
{
    return uuid_v5_plain(&LEGACY_NAMESPACE, id);
}
