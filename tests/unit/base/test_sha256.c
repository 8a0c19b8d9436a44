/* Vectors: the examples of FIPS 180-4, and lines of the test vector of the audit log's format. */
#include <stdio.h>

#include "base/sha256.h"
#include "cmocka_all.h"

static struct slice bytes_of(const char *text)
{
    return slice_of_text(text_of(text));
}

static void assert_hex(struct sha256 hash, const char *expected)
{
    char text[2 * SHA256_BYTES + 1];

    for (size_t i = 0; i < SHA256_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", hash.bytes[i]);
    assert_string_equal(text, expected);
}

static struct sha256 key_of(uint8_t byte)
{
    struct sha256 key;

    memset(key.bytes, byte, sizeof(key.bytes));
    return key;
}

static void test_sha256_of__no_parts_is_the_hash_of_nothing(void **state)
{
    (void)state;
    const struct slice absent = {NULL, 0};

    assert_hex(sha256_of(NULL, 0),
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_hex(sha256_of(&absent, 1),
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_sha256_of__parts_are_hashed_one_behind_the_other(void **state)
{
    (void)state;
    const struct slice whole[] = {bytes_of("abc")};
    const struct slice parts[] = {bytes_of("a"), bytes_of(""), bytes_of("bc")};

    assert_hex(sha256_of(whole, 1),
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_hex(sha256_of(parts, 3),
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_sha256_hmac__path_of_the_audit_vector(void **state)
{
    (void)state;
    const struct sha256 path_key = key_of(8);
    const struct slice label[] = {bytes_of("\x92\xa4user"), bytes_of("\xa7"
                                                                     "admin_1")};

    struct sha256 code = sha256_hmac(&path_key, label, 2);

    static const uint8_t path[] = {0x98, 0x03, 0x40, 0xe9, 0x63, 0x68, 0x93, 0xc7,
                                   0x71, 0x75, 0x9f, 0xbe, 0x73, 0xf6, 0x60, 0xca};
    assert_memory_equal(code.bytes, path, sizeof(path));
}

static void test_sha256_hmac__actor_commitment_of_the_audit_vector(void **state)
{
    (void)state;
    static const struct sha256 actor_key = {{0x7d, 0x41, 0x66, 0x2e, 0x1b, 0x0c, 0xd2, 0xa3,
                                             0x56, 0x07, 0xb0, 0x92, 0x46, 0x7b, 0x88, 0xcc,
                                             0x20, 0x0c, 0x78, 0x44, 0x27, 0xd6, 0xbf, 0x7c,
                                             0x21, 0x25, 0x4a, 0x6b, 0xa7, 0x90, 0x06, 0xf3}};
    const struct slice parts[] = {
        bytes_of("catalyst-audit/1 actor\n"),
        bytes_of("\xa5"
                 "actor\x82\xa4type\xa4user\xa2id\xa7"
                 "admin_1"),
    };

    assert_hex(sha256_hmac(&actor_key, parts, 2),
               "2f5aec1b1ce32f613b519a30e6367a84602b9e08b697e5f807797ad91fa84e65");
}

static void test_sha256_hmac__another_key_gives_another_code(void **state)
{
    (void)state;
    const struct sha256 one = key_of(8);
    struct sha256 other = key_of(8);
    other.bytes[SHA256_BYTES - 1] ^= 1;
    const struct slice part = bytes_of("abc");

    struct sha256 code_of_one = sha256_hmac(&one, &part, 1);
    struct sha256 code_of_other = sha256_hmac(&other, &part, 1);

    assert_memory_not_equal(code_of_one.bytes, code_of_other.bytes, SHA256_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_of__no_parts_is_the_hash_of_nothing),
        cmocka_unit_test(test_sha256_of__parts_are_hashed_one_behind_the_other),
        cmocka_unit_test(test_sha256_hmac__path_of_the_audit_vector),
        cmocka_unit_test(test_sha256_hmac__actor_commitment_of_the_audit_vector),
        cmocka_unit_test(test_sha256_hmac__another_key_gives_another_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
