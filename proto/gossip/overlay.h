/* overlay.h - who is whose neighbour: K pseudo-random rings over the living nodes (Rapid, ATC 2018,
 * section 4.1). On ring i nodes stand in the order of hash(i, key); a node's neighbours are the one
 * before and the one after it on each ring: at most 2K, the same from both sides, and together a
 * connected expander. Everybody computes the same rings from the same set of nodes.
 *
 * Nodes are numbers here; the caller keeps the keys and hands them in. A ring is a sorted array, so
 * finding costs O(log N) and a change one memmove. */
#ifndef WEFT_OVERLAY_H
#define WEFT_OVERLAY_H

#include <stddef.h>
#include <stdint.h>
#include "weft/id.h"

#define OVERLAY_NONE UINT32_MAX

/* The key of node @n, for ties between hashes. */
typedef const struct node_key *(*overlay_key_fn)(const void *ctx, uint32_t n);

struct overlay_entry {
	uint32_t hash, node;
};

/* A set of nodes in the order of a salted hash of their keys. */
struct overlay_ring {
	struct overlay_entry *v;
	size_t count, cap;
	uint8_t salt[16];
	overlay_key_fn key_of;
	const void *ctx;
};

/* @salt is copied, @ctx kept. No memory is taken yet. */
void overlay_init(
	struct overlay_ring *r, const uint8_t salt[16], overlay_key_fn key_of, const void *ctx);
void overlay_fini(struct overlay_ring *r);
/* Make room for @n nodes in all. ERR_NOMEM: unchanged. */
int overlay_reserve(struct overlay_ring *r, size_t n);
/* @node must not be in it, and room be reserved. */
void overlay_put(struct overlay_ring *r, uint32_t node);
/* @node must be in it. */
void overlay_take(struct overlay_ring *r, uint32_t node);
/* The node with @key, or OVERLAY_NONE. */
uint32_t overlay_find(const struct overlay_ring *r, const struct node_key *key);
/* Where @key stands, or would be put. */
size_t overlay_pos(const struct overlay_ring *r, const struct node_key *key);

#endif
