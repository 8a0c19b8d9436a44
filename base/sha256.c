#include "base/sha256.h"

#include <assert.h>
#include <openssl/crypto.h>

#include "base/digest.h"

enum { BLOCK_BYTES = 64, INNER_PAD = 0x36, OUTER_PAD = 0x5c };

/* `first` is hashed before the parts; its length may be 0. */
static struct sha256 hash(struct slice first, const struct slice *parts, size_t part_count)
{
    EVP_MD_CTX *context = digest_begin(DIGEST_SHA256);
    struct sha256 digest;

    int done = EVP_DigestUpdate(context, first.data, first.length);
    for (size_t i = 0; i < part_count; i++)
        done &= EVP_DigestUpdate(context, parts[i].data, parts[i].length);
    done &= EVP_DigestFinal_ex(context, digest.bytes, NULL);
    assert(done == 1);
    return digest;
}

struct sha256 sha256_of(const struct slice *parts, size_t part_count)
{
    return hash((struct slice){NULL, 0}, parts, part_count);
}

static void pad_key(const struct sha256 *key, uint8_t pad, uint8_t ret_block[BLOCK_BYTES])
{
    memset(ret_block, pad, BLOCK_BYTES);
    for (size_t i = 0; i < SHA256_BYTES; i++)
        ret_block[i] ^= key->bytes[i];
}

/* Two digests: EVP_MAC costs the same, and HMAC() almost three times as much. */
struct sha256 sha256_hmac(const struct sha256 *key, const struct slice *parts, size_t part_count)
{
    uint8_t block[BLOCK_BYTES];

    pad_key(key, INNER_PAD, block);
    struct sha256 inner = hash((struct slice){block, BLOCK_BYTES}, parts, part_count);
    pad_key(key, OUTER_PAD, block);
    const struct slice inner_part = {inner.bytes, SHA256_BYTES};
    struct sha256 code = hash((struct slice){block, BLOCK_BYTES}, &inner_part, 1);
    OPENSSL_cleanse(block, sizeof(block));
    return code;
}
