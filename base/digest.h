#pragma once

#include <openssl/evp.h>

/* Digests of libcrypto, each looked up once for the process, and a context per thread: looking an
 * algorithm up, as a digest begun with EVP_sha1() does, takes locks that all threads share, and
 * costs more than hashing an id. libcrypto fails here only without memory, which the process cannot
 * survive anyway. */
enum digest_algorithm { DIGEST_SHA1, DIGEST_SHA256 };

/* The thread's context, with a digest begun; the next call begins another one. */
EVP_MD_CTX *digest_begin(enum digest_algorithm algorithm);
