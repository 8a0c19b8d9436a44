/* The reference is the recursive definition of RFC 6962, sections 2.1 and 2.1.1, written here
 * apart from the code under test; the root of two leaves is that of the format's test vector. */
#include "tests/unit/base/cmocka_all.h"
#include "worker/seal/merkle.h"

enum { LEAVES_MAX = 300, PATH_MAX_HASHES = 64 };

static struct sha256 leaves[LEAVES_MAX];

static int leaves_make(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEAVES_MAX; i++) {
        const uint8_t entry[2] = {(uint8_t)(i >> 8), (uint8_t)i};
        leaves[i] = merkle_leaf((struct slice){entry, sizeof(entry)});
    }
    return 0;
}

static size_t split(size_t count)
{
    size_t left = 1;

    while (left * 2 < count)
        left *= 2;
    return left;
}

static struct sha256 reference_root(const struct sha256 *first, size_t count)
{
    if (count == 0)
        return sha256_of(NULL, 0);
    if (count == 1)
        return *first;
    size_t left_count = split(count);
    struct sha256 left = reference_root(first, left_count);
    struct sha256 right = reference_root(first + left_count, count - left_count);
    return merkle_node(&left, &right);
}

static size_t reference_path(const struct sha256 *first, size_t count, size_t index,
                             struct sha256 *ret_path)
{
    if (count == 1)
        return 0;
    size_t left_count = split(count);
    bool is_left = index < left_count;
    size_t length = is_left ? reference_path(first, left_count, index, ret_path)
                            : reference_path(first + left_count, count - left_count,
                                             index - left_count, ret_path);
    ret_path[length] = is_left ? reference_root(first + left_count, count - left_count)
                               : reference_root(first, left_count);
    return length + 1;
}

static void assert_same(struct sha256 actual, struct sha256 expected)
{
    assert_memory_equal(actual.bytes, expected.bytes, SHA256_BYTES);
}

static void test_merkle_leaf__genesis_of_the_vector(void **state)
{
    (void)state;
    static const char genesis[] = "\x97\x00\xb0"
                                  "catalyst-audit/1"
                                  "\xba"
                                  "audit.example.com/catalyst"
                                  "\xb5"
                                  "catalyst.audit.events"
                                  "\xb6"
                                  "5L6g3nShT-eMCtK--X86sw"
                                  "\xce\x69\x2c\xda\x80\xc0";
    static const uint8_t event_leaf[SHA256_BYTES] = {
        0x91, 0x31, 0xb3, 0xc4, 0x14, 0x53, 0x98, 0xdf, 0xcc, 0x77, 0x08,
        0x39, 0x6d, 0xa6, 0xe8, 0x8a, 0xa9, 0xc4, 0xf8, 0xfa, 0xbd, 0xb5,
        0x2a, 0xb4, 0x1c, 0x73, 0x15, 0x1d, 0x10, 0x23, 0x77, 0xd5};
    static const uint8_t expected_root[SHA256_BYTES] = {
        0xfd, 0x2d, 0x12, 0x2e, 0x24, 0xa4, 0x54, 0x53, 0xa3, 0xbf, 0x4d,
        0xdc, 0x3b, 0x3a, 0x4e, 0xaf, 0x0b, 0x9d, 0x76, 0x63, 0x8d, 0x42,
        0x30, 0x5a, 0x40, 0xfd, 0x44, 0x6f, 0x5e, 0x31, 0x5a, 0xd8};
    struct merkle_edge edge = {0};
    struct sha256 event;
    memcpy(event.bytes, event_leaf, sizeof(event_leaf));

    struct sha256 leaf = merkle_leaf((struct slice){(const uint8_t *)genesis, sizeof(genesis) - 1});
    merkle_edge_append(&edge, &leaf);
    merkle_edge_append(&edge, &event);

    assert_memory_equal(merkle_edge_root(&edge).bytes, expected_root, SHA256_BYTES);
}

static void test_merkle_edge_root__every_size(void **state)
{
    (void)state;
    struct merkle_edge edge = {0};

    for (size_t size = 0; size < LEAVES_MAX; size++) {
        assert_int_equal(edge.size, size);
        assert_same(merkle_edge_root(&edge), reference_root(leaves, size));
        merkle_edge_append(&edge, &leaves[size]);
    }
}

static void test_merkle_path_root__every_leaf_of_every_size(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 70; size++) {
        for (size_t index = 0; index < size; index++) {
            struct sha256 path[PATH_MAX_HASHES];
            struct sha256 root;
            size_t count = reference_path(leaves, size, index, path);

            assert_true(merkle_path_root(&leaves[index], index, size, path, count, &root));

            assert_same(root, reference_root(leaves, size));
        }
    }
}

static void test_merkle_path_root__other_lengths_are_refused(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 70; size++) {
        for (size_t index = 0; index < size; index++) {
            struct sha256 path[PATH_MAX_HASHES] = {0};
            struct sha256 root;
            size_t count = reference_path(leaves, size, index, path);

            assert_false(merkle_path_root(&leaves[index], index, size, path, count + 1, &root));
            if (count > 0)
                assert_false(merkle_path_root(&leaves[index], index, size, path, count - 1, &root));
        }
    }
}

static void test_merkle_path_root__index_behind_the_tree_is_refused(void **state)
{
    (void)state;
    struct sha256 root;

    assert_false(merkle_path_root(&leaves[0], 0, 0, NULL, 0, &root));
    assert_false(merkle_path_root(&leaves[0], 1, 1, NULL, 0, &root));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merkle_leaf__genesis_of_the_vector),
        cmocka_unit_test(test_merkle_edge_root__every_size),
        cmocka_unit_test(test_merkle_path_root__every_leaf_of_every_size),
        cmocka_unit_test(test_merkle_path_root__other_lengths_are_refused),
        cmocka_unit_test(test_merkle_path_root__index_behind_the_tree_is_refused),
    };
    return cmocka_run_group_tests(tests, leaves_make, NULL);
}
