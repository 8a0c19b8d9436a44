#pragma once

#include "base/sha256.h"

/* The Merkle tree of RFC 6962, section 2.1: a leaf is SHA-256(0x00, entry), a node is
 * SHA-256(0x01, left, right). */

enum { MERKLE_EDGE_MAX = 64 };

/* Roots of the perfect subtrees of a tree, largest first: one for each bit of `size` that is 1.
 * The zero value is the tree without leaves. */
struct merkle_edge {
    uint64_t size; /* leaves */
    size_t count;  /* hashes: bits of size that are 1 */
    struct sha256 hashes[MERKLE_EDGE_MAX];
};

struct sha256 merkle_leaf(struct slice entry);

struct sha256 merkle_node(const struct sha256 *left, const struct sha256 *right);

/* Adds one leaf behind the others. size must be below UINT64_MAX. */
void merkle_edge_append(struct merkle_edge *edge, const struct sha256 *leaf);

/* Of a tree without leaves: the hash of no bytes. */
struct sha256 merkle_edge_root(const struct merkle_edge *edge);

/* Root that `leaf` at `index` and its path, lowest hash first, give for a tree of `size` leaves.
 * False, and *ret_root as it was: no tree of this size has a path of this length at this index.
 * The caller compares *ret_root with a root that it trusts. */
bool merkle_path_root(const struct sha256 *leaf, uint64_t index, uint64_t size,
                      const struct sha256 *path, size_t path_count, struct sha256 *ret_root);
