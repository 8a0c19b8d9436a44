/* Known vectors of the derived ids: changing one of them changes what replaying a topic gives. The
 * expected values were computed with Python's uuid and hashlib. */
#include <pthread.h>

#include "base/uuid.h"
#include "cmocka_all.h"

static void assert_uuid(struct uuid uuid, const char *expected)
{
    char text[UUID_TEXT_LENGTH + 1];

    uuid_format(&uuid, text);
    assert_string_equal(text, expected);
}

static struct uuid parse(const char *text)
{
    struct uuid uuid;

    assert_true(uuid_parse(text_of(text), &uuid));
    return uuid;
}

static void test_uuid_parse__either_case(void **state)
{
    (void)state;
    assert_uuid(parse("6BA7B810-9DAD-11d1-80b4-00C04FD430C8"),
                "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
}

static void test_uuid_parse__what_it_refuses(void **state)
{
    static const char *const wrong[] = {
        "",
        "6ba7b8109dad11d180b400c04fd430c8",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8x",
        "6ba7b810-9dad-11d1-80b4-00c04fd430cg",
        "6ba7b8109-dad-11d1-80b4-00c04fd430c8",
        "{6ba7b810-9dad-11d1-80b4-00c04fd430}",
        "6ba7b810-9dad-11d1-80b4-00c04fd43-c8",
        "------------------------------------",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct uuid uuid;
        assert_false(uuid_parse(text_of(wrong[i]), &uuid));
    }
}

static void test_uuid_compare__network_order(void **state)
{
    const struct uuid low = parse("00000000-0000-0000-0000-0000000000ff");
    const struct uuid high = parse("00000000-0000-0000-0000-000000000100");

    (void)state;
    assert_true(uuid_compare(&low, &high) < 0);
    assert_true(uuid_compare(&high, &low) > 0);
    assert_int_equal(uuid_compare(&low, &low), 0);
    assert_true(uuid_equal(&low, &low));
    assert_false(uuid_equal(&low, &high));
}

static void test_uuid_v5_plain__known_vectors(void **state)
{
    const struct uuid dns = parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    const struct uuid url = parse("6ba7b811-9dad-11d1-80b4-00c04fd430c8");

    (void)state;
    assert_uuid(uuid_v5_plain(&dns, TEXT("python.org")), "886313e1-3b8a-5372-9b90-0c9aee199e5d");
    assert_uuid(uuid_v5_plain(&url, TEXT("http://example.com/")),
                "0a300ee9-f9e4-5697-a51a-efc7fafaba67");
}

static void test_uuid_v5__parts_do_not_run_together(void **state)
{
    const struct uuid dns = parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    const struct text one[] = {TEXT("ab"), TEXT("c")};
    const struct text other[] = {TEXT("a"), TEXT("bc")};

    (void)state;
    struct uuid left = uuid_v5(&dns, one, 2);
    struct uuid right = uuid_v5(&dns, other, 2);
    assert_false(uuid_equal(&left, &right));
}

static void test_audit_id_of__any_id(void **state)
{
    (void)state;
    assert_uuid(audit_id_of(TEXT("/tests"), TEXT("c-1")), "b093659b-62b5-578d-8ed2-35d2c557cc5f");
}

static void test_audit_id_of__uuid_v7_begins_with_its_time(void **state)
{
    (void)state;
    assert_uuid(audit_id_of(TEXT("/tests"), TEXT("01890a5d-ac96-774b-bcce-b302099a8057")),
                "01890a5d-ac96-8a4f-9862-da19f15eaca6");
}

static void test_audit_id_of__ulid_begins_with_its_time(void **state)
{
    (void)state;
    assert_uuid(audit_id_of(TEXT("/tests"), TEXT("01ARZ3NDEKTSV4RRFFQ69G5FAV")),
                "01563e3a-b5d3-83b4-893a-d1c9518e9c00");
}

static void test_audit_id_of__what_is_no_time_is_hashed(void **state)
{
    static const char *const ids[] = {
        "6ba7b810-9dad-41d1-80b4-00c04fd430c8", /* version 4 */
        "01890a5d-ac96-774b-0cce-b302099a8057", /* version 7, another variant */
        "81ARZ3NDEKTSV4RRFFQ69G5FAV",           /* more than 128 bits */
        "01ARZ3NDEKTSV4RRFFQ69G5FAI",           /* I is no digit */
        "01ARZ3NDEKTSV4RRFFQ69G5FA",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct uuid id = audit_id_of(TEXT("/tests"), text_of(ids[i]));
        assert_int_equal(id.bytes[6] >> 4, 5);
        assert_int_equal(id.bytes[8] >> 6, 2);
    }
}

static void test_audit_id_of__lower_case_ulid_has_the_same_time(void **state)
{
    (void)state;
    struct uuid id = audit_id_of(TEXT("/tests"), TEXT("01arz3ndektsv4rrffq69g5fav"));

    assert_memory_equal(id.bytes, "\x01\x56\x3e\x3a\xb5\xd3", 6);
    assert_int_equal(id.bytes[6] >> 4, 8);
}

static void test_derived_ids__known_vectors(void **state)
{
    const struct text parts[] = {TEXT("t"), TEXT("v")};
    const struct uuid digest = digest_of(parts, 2);

    (void)state;
    assert_uuid(digest, "9f95c974-79b5-de7a-d012-721ce8ab6ee3");
    assert_uuid(conflict_id_of(TEXT("/tests"), TEXT("c-1"), &digest),
                "bc5787f6-9d88-59e4-a493-cd708dbdb47b");
    assert_uuid(key_id_of(TEXT("/tests"), TEXT("c-1")), "b66de8d8-c8f9-5940-a472-e59068cb0a83");
    assert_uuid(legacy_audit_id_of(TEXT("old-1")), "213a38a6-584b-51f1-b055-adb7444c9511");
}

static void test_sha256_hex__of_nothing_and_abc(void **state)
{
    char text[65];

    (void)state;
    sha256_hex((struct slice){NULL, 0}, text);
    assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_hex(slice_of_text(TEXT("abc")), text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

struct hasher {
    pthread_t thread;
    struct uuid digest;
    struct uuid audit_id;
};

static void *hash_often(void *context)
{
    struct hasher *hasher = context;
    const struct text parts[] = {TEXT("a"), TEXT("b")};

    for (int i = 0; i < 1000; i++) {
        hasher->digest = digest_of(parts, 2);
        hasher->audit_id = audit_id_of(parts[0], parts[1]);
    }
    return NULL;
}

static void test_derived_ids__the_same_in_every_thread(void **state)
{
    const struct text parts[] = {TEXT("a"), TEXT("b")};
    const struct uuid digest = digest_of(parts, 2);
    const struct uuid audit_id = audit_id_of(parts[0], parts[1]);
    struct hasher hashers[4];
    (void)state;

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&hashers[i].thread, NULL, hash_often, &hashers[i]), 0);

    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(hashers[i].thread, NULL), 0);
        assert_true(uuid_equal(&hashers[i].digest, &digest));
        assert_true(uuid_equal(&hashers[i].audit_id, &audit_id));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uuid_parse__either_case),
        cmocka_unit_test(test_uuid_parse__what_it_refuses),
        cmocka_unit_test(test_uuid_compare__network_order),
        cmocka_unit_test(test_uuid_v5_plain__known_vectors),
        cmocka_unit_test(test_uuid_v5__parts_do_not_run_together),
        cmocka_unit_test(test_audit_id_of__any_id),
        cmocka_unit_test(test_audit_id_of__uuid_v7_begins_with_its_time),
        cmocka_unit_test(test_audit_id_of__ulid_begins_with_its_time),
        cmocka_unit_test(test_audit_id_of__what_is_no_time_is_hashed),
        cmocka_unit_test(test_audit_id_of__lower_case_ulid_has_the_same_time),
        cmocka_unit_test(test_derived_ids__known_vectors),
        cmocka_unit_test(test_derived_ids__the_same_in_every_thread),
        cmocka_unit_test(test_sha256_hex__of_nothing_and_abc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
