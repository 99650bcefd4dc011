/* rib.c - hash table of prefixes.
 *
 * Chained, keyed SipHash over family, length and key. It holds about as many nets as buckets, and
 * grows by splitting one run of buckets after the other (linear hashing), so that no route waits for a
 * whole table to be moved; without memory for that it goes on with longer chains. Nets and paths come from
 * pools, one size for each family, and name each other by numbers: an IPv4 prefix with one path costs
 * 40 + 16 bytes and its bucket. A net lives while it has a path, an announcement that peers have to be told of, a place in
 * the dirty queue, or was told to the driver. */
#include "rib.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "map.h"

#define CAP_MIN 64
#define FULL    1 /* nets to a bucket: fewer would cost memory and gain no time */

/* bytes of net.key */
static const uint8_t key_len[BGP_FAMILIES] = {4, 16, 12, 24};

static const size_t path_size[PATH_KINDS] = {
	sizeof(struct path), sizeof(struct edited_path), sizeof(struct wide_path)};

_Static_assert(BGP_FAMILIES <= 1u << (32 - REF_BITS), "a net's number has room for its family");
_Static_assert(BGP_POOL_MAX <= REF_SECOND, "numbers leave the bits for the pool alone");

struct rib *rib_new(uint32_t vni, const uint8_t seed[16])
{
	struct rib *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->vni = vni;
	r->cap = r->room = CAP_MIN;
	memcpy(r->seed, seed, sizeof(r->seed));
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		bgp_pool_init(&r->nets[f], offsetof(struct net, key) + key_len[f] +
						   (bgp_family_vpn(f) ? sizeof(uint32_t) : 0));
	}
	for (unsigned k = 0; k < PATH_KINDS; k++)
		bgp_pool_init(&r->paths[k], path_size[k]);
	r->buckets = calloc(r->room, sizeof(*r->buckets));
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
	assert(r->count == 0);
	for (unsigned f = 0; f < BGP_FAMILIES; f++)
		bgp_pool_fini(&r->nets[f]);
	for (unsigned k = 0; k < PATH_KINDS; k++) {
		assert(r->paths[k].in_use == 0);
		bgp_pool_fini(&r->paths[k]);
	}
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

static size_t bucket_of(const struct rib *r, uint64_t h)
{
	size_t i = h & (r->cap - 1);

	return i < r->split ? h & (2 * r->cap - 1) : i;
}

static struct net *find(const struct rib *r, uint32_t ref, const struct bgp_nlri *want,
	const uint8_t *key, size_t len)
{
	struct net *n;

	for (; (n = net_at(r, ref)) != NULL; ref = n->hnext)
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

	return find(r, r->buckets[bucket_of(r, h)], n, key, len);
}

void rib_find_many(const struct rib *r, const struct bgp_nlri *n, size_t count, struct net *out[])
{
	uint8_t keys[RIB_MANY][24];
	const uint32_t *at[RIB_MANY];
	size_t len = 0;

	assert(count <= RIB_MANY);
	for (size_t i = 0; i < count; i++) {
		len = make_key(&n[i], keys[i]);
		at[i] = &r->buckets[bucket_of(
			r, hash_key(r, n[i].family, n[i].pfx.len, keys[i], len))];
		__builtin_prefetch(at[i]);
	}
	for (size_t i = 0; i < count; i++)
		if (*at[i])
			__builtin_prefetch(net_at(r, *at[i]));
	for (size_t i = 0; i < count; i++) {
		out[i] = find(r, *at[i], &n[i], keys[i], key_len[n[i].family]);
		if (!out[i])
			continue;
		__builtin_prefetch(out[i]->best);
		if (out[i]->paths)
			__builtin_prefetch(net_first(r, out[i]));
	}
}

/* The chain that @n is in, or would be. */
static uint32_t *chain_of(const struct rib *r, const struct net *n)
{
	return &r->buckets[bucket_of(
		r, hash_key(r, n->family, n->len, n->key, key_len[n->family]))];
}

/* Room for twice as many; what is not used of it yet is not touched. */
static bool make_room(struct rib *r)
{
	uint32_t *b;

	if (r->room > r->cap)
		return true;
	b = calloc(2 * r->room, sizeof(*b));
	if (!b)
		return false;
	memcpy(b, r->buckets, r->cap * sizeof(*b));
	free(r->buckets);
	r->buckets = b;
	r->room *= 2;
	return true;
}

/* Split the next run of buckets: neighbours stay in one cache line. */
static void grow(struct rib *r)
{
	size_t first = r->split;

	if (!make_room(r))
		return;
	r->split += NEAR_MASK + 1;
	for (size_t i = first; i < r->split; i++) {
		uint32_t ref = r->buckets[i], next;

		r->buckets[i] = 0;
		for (; ref; ref = next) {
			struct net *n = net_at(r, ref);
			uint32_t *to = chain_of(r, n);

			next = n->hnext;
			n->hnext = *to;
			*to = ref;
		}
	}
	if (r->split == r->cap) {
		r->cap *= 2;
		r->split = 0;
	}
}

struct net *rib_get(struct rib *r, const struct bgp_nlri *want)
{
	uint8_t key[24];
	size_t len = make_key(want, key);
	uint64_t h = hash_key(r, want->family, want->pfx.len, key, len);
	struct net *n = find(r, r->buckets[bucket_of(r, h)], want, key, len);
	struct bgp_pool *pool = &r->nets[want->family];
	uint32_t number;

	if (n)
		return n;
	n = bgp_pool_get(pool, &number);
	if (!n)
		return NULL;
	memset(n, 0, pool->size);
	n->self = (uint32_t)want->family << REF_BITS | number;
	n->family = want->family;
	n->len = want->pfx.len;
	memcpy(n->key, key, len);
	if (r->count >= FULL * rib_buckets(r))
		grow(r);
	n->hnext = r->buckets[bucket_of(r, h)];
	r->buckets[bucket_of(r, h)] = n->self;
	r->count++;
	return n;
}

void rib_release(struct rib *r, struct net *n)
{
	uint32_t *at;

	if (n->paths || n->outs || n->best || n->flags)
		return;
	for (at = chain_of(r, n); *at != n->self; at = &net_at(r, *at)->hnext)
		assert(*at);
	*at = n->hnext;
	r->count--;
	bgp_pool_put(&r->nets[n->family], n->self & REF_NUMBER);
}

void rib_mark(struct rib *r, struct net *n)
{
	uint32_t *tail = &r->dirty_tail[n->family];

	if (n->flags & NET_QUEUED)
		return;
	n->flags |= NET_QUEUED;
	n->qnext = 0;
	if (*tail)
		net_at(r, *tail)->qnext = n->self;
	else
		r->dirty[n->family] = n->self;
	*tail = n->self;
}

struct net *rib_pop(struct rib *r, uint32_t families)
{
	struct net *n = NULL;
	unsigned f;

	for (f = 0; f < BGP_FAMILIES; f++) {
		n = families & BGP_FAM(f) ? net_at(r, r->dirty[f]) : NULL;
		if (n)
			break;
	}
	if (!n)
		return NULL;
	r->dirty[f] = n->qnext;
	if (!r->dirty[f])
		r->dirty_tail[f] = 0;
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
	out->label = net_label(n);
}

uint32_t net_label(const struct net *n)
{
	uint32_t label = 0;

	if (bgp_family_vpn(n->family))
		memcpy(&label, n->key + key_len[n->family], sizeof(label));
	return label;
}

void net_put_label(struct net *n, uint32_t label)
{
	if (bgp_family_vpn(n->family))
		memcpy(n->key + key_len[n->family], &label, sizeof(label));
}

struct path *net_path(const struct rib *r, const struct net *n, uint16_t peer, uint32_t id)
{
	struct path *p = net_first(r, n);

	while (p && (p->peer != peer || path_id(p) != id))
		p = path_next(r, p);
	return p;
}

struct path *net_path_next(
	const struct rib *r, const struct net *n, uint16_t peer, const struct path *p)
{
	struct path *next = p ? path_next(r, p) : net_first(r, n);

	while (next && next->peer != peer)
		next = path_next(r, next);
	return next;
}

/* The place that holds the number of @p. */
static uint32_t *path_place(const struct rib *r, struct net *n, const struct path *p)
{
	uint32_t *at = &n->paths;

	while (path_at(r, *at) != p) {
		assert(*at);
		at = &path_at(r, *at)->next;
	}
	return at;
}

void net_to_front(const struct rib *r, struct net *n, struct path *p)
{
	uint32_t *at = path_place(r, n, p), ref = *at;

	if (at == &n->paths)
		return;
	*at = p->next;
	p->next = n->paths;
	n->paths = ref;
}

/* The lowest number that no other of the peer's paths has. */
static uint16_t free_tx(const struct rib *r, const struct net *n, uint16_t peer)
{
	uint8_t taken[NET_ID_PATHS + 1] = {0};
	uint16_t tx = 1;

	for (struct path *p = NULL; (p = net_path_next(r, n, peer, p)) != NULL;)
		if (p->flags & PATH_WIDE)
			taken[path_wide(p)->tx] = 1;
	while (taken[tx])
		tx++;
	return tx;
}

static struct path *path_make(struct rib *r, enum path_kind kind, uint32_t *ref)
{
	struct path *p = bgp_pool_get(&r->paths[kind], ref);

	if (!p)
		return NULL;
	*ref |= (uint32_t)kind << REF_BITS;
	memset(p, 0, path_size[kind]);
	p->flags = (kind >= KIND_EDITED ? PATH_EDITED : 0) | (kind == KIND_WIDE ? PATH_WIDE : 0);
	return p;
}

static void path_free(struct rib *r, uint32_t ref)
{
	bgp_pool_put(&r->paths[ref >> REF_BITS], ref & REF_NUMBER);
}

struct path *net_add(struct rib *r, struct net *n, uint16_t peer, uint32_t id, bool edited)
{
	bool wide = id || bgp_family_vpn(n->family);
	struct path *p;
	unsigned ids = 0;
	uint32_t *at, ref;

	for (at = &n->paths; (p = path_at(r, *at)) != NULL; at = &p->next)
		ids += path_id(p) != 0;
	if (id && ids == NET_ID_PATHS)
		return NULL;
	p = path_make(r, wide ? KIND_WIDE : edited ? KIND_EDITED : KIND_PLAIN, &ref);
	if (!p)
		return NULL;
	if (wide) {
		struct wide_path *w = (void *)p;

		w->id = id;
		w->tx = id ? free_tx(r, n, peer) : 0;
	}
	p->peer = peer;
	*at = ref;
	return p;
}

struct path *net_put_sets(
	struct rib *r, struct net *n, struct path *p, struct attr_set *in, struct attr_set *attr)
{
	if (!(p->flags & PATH_EDITED) && attr && attr != in) {
		uint32_t *at = path_place(r, n, p), ref, old = *at;
		struct path *edited = path_make(r, KIND_EDITED, &ref);

		if (!edited)
			return NULL;
		*edited = *p;
		edited->flags |= PATH_EDITED;
		*at = ref;
		path_free(r, old);
		p = edited;
	}
	p->in = in;
	p->flags &= (uint8_t)~PATH_TAKEN;
	if (p->flags & PATH_EDITED)
		((struct edited_path *)(void *)p)->attr = attr;
	else if (attr)
		p->flags |= PATH_TAKEN;
	return p;
}

void net_drop(struct rib *r, struct net *n, struct path *p)
{
	uint32_t *at = path_place(r, n, p), ref = *at;

	*at = p->next;
	path_free(r, ref);
}

struct net *rib_next(const struct rib *r, size_t *i, struct net **cursor)
{
	struct net *n = *cursor;

	while (!n && *i < rib_buckets(r))
		n = net_at(r, r->buckets[(*i)++]);
	*cursor = n ? net_at(r, n->hnext) : NULL;
	return n;
}
