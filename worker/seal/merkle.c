#include "worker/seal/merkle.h"

#include <assert.h>

struct sha256 merkle_leaf(struct slice entry)
{
    static const uint8_t prefix = 0x00;
    const struct slice parts[] = {{&prefix, 1}, entry};

    return sha256_of(parts, 2);
}

struct sha256 merkle_node(const struct sha256 *left, const struct sha256 *right)
{
    static const uint8_t prefix = 0x01;
    const struct slice parts[] = {
        {&prefix, 1}, {left->bytes, SHA256_BYTES}, {right->bytes, SHA256_BYTES}};

    return sha256_of(parts, 3);
}

void merkle_edge_append(struct merkle_edge *edge, const struct sha256 *leaf)
{
    struct sha256 hash = *leaf;

    assert(edge->size < UINT64_MAX);
    /* As a carry runs through the 1 bits at the low end of size, equal subtrees become one. */
    for (uint64_t bits = edge->size; (bits & 1) != 0; bits >>= 1)
        hash = merkle_node(&edge->hashes[--edge->count], &hash);
    edge->hashes[edge->count++] = hash;
    edge->size++;
}

struct sha256 merkle_edge_root(const struct merkle_edge *edge)
{
    if (edge->count == 0)
        return sha256_of(NULL, 0);

    struct sha256 root = edge->hashes[edge->count - 1];
    for (size_t i = edge->count - 1; i > 0; i--)
        root = merkle_node(&edge->hashes[i - 1], &root);
    return root;
}

/* The algorithm of RFC 9162, section 2.1.3.2. */
bool merkle_path_root(const struct sha256 *leaf, uint64_t index, uint64_t size,
                      const struct sha256 *path, size_t path_count, struct sha256 *ret_root)
{
    if (index >= size)
        return false;

    uint64_t node = index;
    uint64_t last = size - 1;
    struct sha256 root = *leaf;
    for (size_t i = 0; i < path_count; i++) {
        if (last == 0)
            return false;
        if ((node & 1) != 0 || node == last) {
            root = merkle_node(&path[i], &root);
            /* The last node of a level without a right sibling goes up as it is. */
            while ((node & 1) == 0 && node != 0) {
                node >>= 1;
                last >>= 1;
            }
        } else {
            root = merkle_node(&root, &path[i]);
        }
        node >>= 1;
        last >>= 1;
    }
    if (last != 0)
        return false;
    *ret_root = root;
    return true;
}
