/* rib.c - hash table of prefixes.
 *
 * Chained, keyed SipHash over family, length and key; doubles when it holds twice as many nets as
 * buckets, and goes on with longer chains when there is no memory for that. Nets and paths come from
 * pools, one size for each family: an IPv4 prefix with one path costs about 64 + 32 bytes and its
 * bucket. A net lives while it has a path, an announcement that peers have to be told of, a place in
 * the dirty queue, or was told to the driver. */
#include "rib.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "map.h"

#define CAP_MIN 64
#define FULL    2 /* nets to a bucket before the table grows: fewer cost memory and gain no time */

/* bytes of net.key */
static const uint8_t key_len[BGP_FAMILIES] = {4, 16, 12, 24};

struct rib *rib_new(uint32_t vni, const uint8_t seed[16])
{
	struct rib *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->vni = vni;
	r->cap = CAP_MIN;
	memcpy(r->seed, seed, sizeof(r->seed));
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		r->dirty_tail[f] = &r->dirty[f];
		bgp_pool_init(&r->nets[f], offsetof(struct net, key) + key_len[f]);
	}
	bgp_pool_init(&r->paths, sizeof(struct path));
	bgp_pool_init(&r->id_paths, sizeof(struct id_path));
	r->buckets = calloc(r->cap, sizeof(struct net *));
	if (!r->buckets) {
		free(r);
		return NULL;
	}
	return r;
}

void rib_free(struct rib *r)
{
	if (!r)
		return;
	assert(r->count == 0 && r->paths.in_use == 0 && r->id_paths.in_use == 0);
	for (unsigned f = 0; f < BGP_FAMILIES; f++)
		bgp_pool_fini(&r->nets[f]);
	bgp_pool_fini(&r->paths);
	bgp_pool_fini(&r->id_paths);
	free(r->buckets);
	free(r);
}

/* Key bytes of @n into @out (24); returns their number. */
static size_t make_key(const struct bgp_nlri *n, uint8_t *out)
{
	unsigned rd = bgp_family_vpn(n->family) ? 8 : 0;

	memcpy(out, n->rd, rd);
	memcpy(out + rd, n->pfx.ip.b, bgp_family_bits(n->family) / 8);
	return key_len[n->family];
}

/* Neighbours come together: an UPDATE mostly tells of prefixes side by side. So the last bits of a
 * prefix choose among the NEAR buckets of one cache line that the hash of the rest chose, in an order
 * that also depends on that hash: prefixes whose last bits are all 0 are spread as evenly. The key is
 * secret still; whoever aims at a bucket gains nothing, since neighbours never share one. */
#define NEAR_BITS 3
#define NEAR_MASK ((1u << NEAR_BITS) - 1)

static uint64_t hash_key(
	const struct rib *r, uint8_t family, uint8_t len, const uint8_t *key, size_t n)
{
	uint8_t buf[32], low = 0;
	uint64_t h;

	memcpy(buf, key, n);
	buf[n] = family;
	buf[n + 1] = len;
	if (len > 0) {
		uint8_t *last = &buf[n - bgp_family_bits(family) / 8 + (len - 1u) / 8];
		unsigned shift = 7 - (len - 1u) % 8;

		/* Fewer where a byte ends: nothing is asked of them but to differ. */
		low = (uint8_t)(*last >> shift & NEAR_MASK);
		*last &= (uint8_t) ~(NEAR_MASK << shift);
	}
	h = map_siphash(r->seed, buf, n + 2);
	return (h & ~(uint64_t)NEAR_MASK) | ((h >> 61 ^ low) & NEAR_MASK);
}

static struct net *find(struct net *n, const struct bgp_nlri *want, const uint8_t *key, size_t len)
{
	for (; n; n = n->hnext)
		if (n->family == want->family && n->len == want->pfx.len &&
			memcmp(n->key, key, len) == 0)
			return n;
	return NULL;
}

struct net *rib_find(const struct rib *r, const struct bgp_nlri *n)
{
	uint8_t key[24];
	size_t len = make_key(n, key);
	uint64_t h = hash_key(r, n->family, n->pfx.len, key, len);

	return find(r->buckets[h & (r->cap - 1)], n, key, len);
}

static void grow(struct rib *r)
{
	size_t cap = r->cap * 2;
	struct net **b = calloc(cap, sizeof(*b)), *n, *next;

	if (!b)
		return;
	for (size_t i = 0; i < r->cap; i++)
		for (n = r->buckets[i]; n; n = next) {
			struct net **at =
				&b[hash_key(r, n->family, n->len, n->key, key_len[n->family]) &
					(cap - 1)];

			next = n->hnext;
			n->hnext = *at;
			*at = n;
		}
	free(r->buckets);
	r->buckets = b;
	r->cap = cap;
}

struct net *rib_get(struct rib *r, const struct bgp_nlri *want)
{
	uint8_t key[24];
	size_t len = make_key(want, key);
	uint64_t h = hash_key(r, want->family, want->pfx.len, key, len);
	struct net *n = find(r->buckets[h & (r->cap - 1)], want, key, len);

	if (n)
		return n;
	n = bgp_pool_get(&r->nets[want->family]);
	if (!n)
		return NULL;
	memset(n, 0, sizeof(*n));
	n->family = want->family;
	n->len = want->pfx.len;
	memcpy(n->key, key, len);
	if (r->count >= FULL * r->cap)
		grow(r);
	n->hnext = r->buckets[h & (r->cap - 1)];
	r->buckets[h & (r->cap - 1)] = n;
	r->count++;
	return n;
}

void rib_release(struct rib *r, struct net *n)
{
	struct net **at;

	if (n->paths || n->outs || n->best || n->flags)
		return;
	at = &r->buckets[hash_key(r, n->family, n->len, n->key, key_len[n->family]) & (r->cap - 1)];
	for (; *at != n; at = &(*at)->hnext)
		assert(*at);
	*at = n->hnext;
	r->count--;
	bgp_pool_put(&r->nets[n->family], n);
}

void rib_mark(struct rib *r, struct net *n)
{
	if (n->flags & NET_QUEUED)
		return;
	n->flags |= NET_QUEUED;
	n->qnext = NULL;
	*r->dirty_tail[n->family] = n;
	r->dirty_tail[n->family] = &n->qnext;
}

struct net *rib_pop(struct rib *r, uint32_t families)
{
	struct net *n = NULL;
	unsigned f;

	for (f = 0; f < BGP_FAMILIES; f++) {
		n = families & BGP_FAM(f) ? r->dirty[f] : NULL;
		if (n)
			break;
	}
	if (!n)
		return NULL;
	r->dirty[f] = n->qnext;
	if (!r->dirty[f])
		r->dirty_tail[f] = &r->dirty[f];
	n->flags &= (uint8_t)~NET_QUEUED;
	return n;
}

void net_nlri(const struct net *n, struct bgp_nlri *out)
{
	unsigned rd = bgp_family_vpn(n->family) ? 8 : 0, bits = bgp_family_bits(n->family);

	memset(out, 0, sizeof(*out));
	out->family = n->family;
	memcpy(out->rd, n->key, rd);
	memcpy(out->pfx.ip.b, n->key + rd, bits / 8);
	out->pfx.ip.family = bits == 32 ? IP_V4 : IP_V6;
	out->pfx.len = n->len;
}

struct path *net_path(const struct net *n, uint16_t peer, uint32_t id)
{
	struct path *p = n->paths;

	while (p && (p->peer != peer || path_id(p) != id))
		p = p->next;
	return p;
}

struct path *net_path_next(const struct net *n, uint16_t peer, const struct path *p)
{
	struct path *next = p ? p->next : n->paths;

	while (next && next->peer != peer)
		next = next->next;
	return next;
}

/* The lowest number that no other of the peer's paths has. */
static uint16_t free_tx(const struct net *n, uint16_t peer)
{
	uint8_t taken[NET_ID_PATHS + 1] = {0};
	uint16_t tx = 1;

	for (struct path *p = NULL; (p = net_path_next(n, peer, p)) != NULL;)
		if (p->flags & PATH_ID)
			taken[((struct id_path *)(void *)p)->tx] = 1;
	while (taken[tx])
		tx++;
	return tx;
}

static struct path *path_make(struct rib *r, struct net *n, uint16_t peer, uint32_t id)
{
	struct id_path *p;

	if (!id) {
		struct path *plain = bgp_pool_get(&r->paths);

		if (plain)
			memset(plain, 0, sizeof(*plain));
		return plain;
	}
	p = bgp_pool_get(&r->id_paths);
	if (!p)
		return NULL;
	memset(p, 0, sizeof(*p));
	p->id = id;
	p->tx = free_tx(n, peer);
	p->p.flags = PATH_ID;
	return &p->p;
}

struct path *net_add(struct rib *r, struct net *n, uint16_t peer, uint32_t id)
{
	struct path *p, **at;
	unsigned ids = 0;

	for (at = &n->paths; *at; at = &(*at)->next)
		ids += ((*at)->flags & PATH_ID) != 0;
	if (id && ids == NET_ID_PATHS)
		return NULL;
	p = path_make(r, n, peer, id);
	if (!p)
		return NULL;
	p->peer = peer;
	*at = p;
	return p;
}

void net_drop(struct rib *r, struct net *n, struct path *p)
{
	struct path **at = &n->paths;

	for (; *at != p; at = &(*at)->next)
		assert(*at);
	*at = p->next;
	bgp_pool_put(p->flags & PATH_ID ? &r->id_paths : &r->paths, p);
}

struct net *rib_next(const struct rib *r, size_t *i, struct net **cursor)
{
	struct net *n = *cursor;

	while (!n && *i < r->cap)
		n = r->buckets[(*i)++];
	*cursor = n ? n->hnext : NULL;
	return n;
}
