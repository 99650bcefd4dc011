/* overlay.c - sorted arrays of (hash, node); overlay.h says what they are for.
 *
 * The hash is 32 bits of SipHash under a salt that all members share, since all must agree on the
 * order; so whoever makes keys can aim them at a place on a ring, or at one hash. The first is what
 * the quorum of a death is for (member_doubt.c). The second costs nothing: equal hashes are ordered
 * by key, and finding stays a binary search. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "map.h"
#include "overlay.h"

void overlay_init(
	struct overlay_ring *r, const uint8_t salt[16], overlay_key_fn key_of, const void *ctx)
{
	memset(r, 0, sizeof(*r));
	memcpy(r->salt, salt, sizeof(r->salt));
	r->key_of = key_of;
	r->ctx = ctx;
}

void overlay_fini(struct overlay_ring *r)
{
	free(r->v);
	r->v = NULL;
	r->count = r->cap = 0;
}

int overlay_reserve(struct overlay_ring *r, size_t n)
{
	struct overlay_entry *v;

	if (n <= r->cap)
		return 0;
	v = realloc(r->v, n * sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	r->v = v;
	r->cap = n;
	return 0;
}

static uint32_t hash_of(const struct overlay_ring *r, const struct node_key *key)
{
	return (uint32_t)(map_siphash(r->salt, key->b, sizeof(key->b)) >> 32);
}

static int compare(const struct overlay_ring *r, const struct overlay_entry *e, uint32_t hash,
	const struct node_key *key)
{
	if (e->hash != hash)
		return e->hash < hash ? -1 : 1;
	return node_key_cmp(r->key_of(r->ctx, e->node), key);
}

static size_t lower_bound(const struct overlay_ring *r, uint32_t hash, const struct node_key *key)
{
	size_t lo = 0, hi = r->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (compare(r, &r->v[mid], hash, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t overlay_pos(const struct overlay_ring *r, const struct node_key *key)
{
	return lower_bound(r, hash_of(r, key), key);
}

void overlay_put(struct overlay_ring *r, uint32_t node)
{
	const struct node_key *key = r->key_of(r->ctx, node);
	uint32_t hash = hash_of(r, key);
	size_t at = lower_bound(r, hash, key);

	assert(r->count < r->cap);
	assert(at == r->count || compare(r, &r->v[at], hash, key) != 0);
	memmove(&r->v[at + 1], &r->v[at], (r->count - at) * sizeof(r->v[0]));
	r->v[at] = (struct overlay_entry){.hash = hash, .node = node};
	r->count++;
}

void overlay_take(struct overlay_ring *r, uint32_t node)
{
	size_t at = overlay_pos(r, r->key_of(r->ctx, node));

	assert(at < r->count && r->v[at].node == node);
	r->count--;
	memmove(&r->v[at], &r->v[at + 1], (r->count - at) * sizeof(r->v[0]));
}

uint32_t overlay_find(const struct overlay_ring *r, const struct node_key *key)
{
	uint32_t hash = hash_of(r, key);
	size_t at = lower_bound(r, hash, key);

	if (at == r->count || compare(r, &r->v[at], hash, key) != 0)
		return OVERLAY_NONE;
	return r->v[at].node;
}
