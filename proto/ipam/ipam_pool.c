/* ipam_pool.c - one prefix's addresses.
 *
 * Data in: offsets to mark, to rest, and the question for a free one. Data out: an offset. Each offset
 * is free, used, or resting (used and held). The search goes on where the last one ended (next fit), so
 * that an address comes again as late as possible; a second bitmap of full words makes it a look at no
 * more than IPAM_POOL_MAX / 4096 + 2 words, whatever is taken.
 *
 * Bounds: IPAM_POOL_MAX offsets; the ring of resting ones can't hold more than those. Failure: want of
 * memory when an address is to rest makes it free at once, never lost. */
#include "ipam_pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "ipam.h"

#define WORD(o) ((o) / 64)
#define BIT(o)  (UINT64_C(1) << ((o) % 64))

static uint32_t words(uint32_t bits)
{
	return (bits + 63) / 64;
}

static void set(struct ipam_pool *p, uint32_t o)
{
	uint32_t w = WORD(o);

	if (p->used[w] & BIT(o))
		return;
	p->used[w] |= BIT(o);
	p->taken++;
	if (p->used[w] == UINT64_MAX)
		p->full[WORD(w)] |= BIT(w);
}

static void clear(struct ipam_pool *p, uint32_t o)
{
	uint32_t w = WORD(o);

	assert(p->used[w] & BIT(o));
	p->used[w] &= ~BIT(o);
	p->taken--;
	p->full[WORD(w)] &= ~BIT(w);
}

/* The mesh address is the first address; the network address before it and IPv4 broadcast exist only
 * where the prefix has more than two. */
static bool reserved_offset(const struct pfx *p, uint64_t o, uint64_t last)
{
	unsigned host_bits = ip_bits(&p->ip) - p->len;

	if (host_bits < 2)
		return o == 0;
	return o < 2 || (p->ip.family == IP_V4 && o == last);
}

struct ipam_pool *ipam_pool_new(uint32_t vni, const struct pfx *pfx)
{
	unsigned host_bits = ip_bits(&pfx->ip) - pfx->len;
	struct ipam_pool *p = calloc(1, sizeof(*p));
	uint32_t nwords, last;

	if (!p)
		return NULL;
	p->vni = vni;
	p->pfx = *pfx;
	p->size = host_bits >= 16 ? IPAM_POOL_MAX : UINT32_C(1) << host_bits;
	last = host_bits < 32 ? (uint32_t)((UINT64_C(1) << host_bits) - 1) : UINT32_MAX;
	nwords = words(p->size);
	p->used = calloc(nwords, sizeof(*p->used));
	p->held = calloc(nwords, sizeof(*p->held));
	p->full = calloc(words(nwords), sizeof(*p->full));
	if (!p->used || !p->held || !p->full) {
		ipam_pool_free(p);
		return NULL;
	}
	if (p->size % 64)
		p->used[nwords - 1] = ~(BIT(p->size) - 1);
	if (nwords % 64)
		p->full[words(nwords) - 1] = ~(BIT(nwords) - 1);
	for (uint32_t o = 0; o < p->size && o < 2; o++)
		if (reserved_offset(pfx, o, last))
			set(p, o);
	if (last < p->size && reserved_offset(pfx, last, last))
		set(p, last);
	p->reserved = p->taken;
	return p;
}

void ipam_pool_free(struct ipam_pool *p)
{
	if (!p)
		return;
	free(p->used);
	free(p->held);
	free(p->full);
	free(p->rest);
	free(p);
}

bool ipam_pool_offset(const struct ipam_pool *p, const struct ip *ip, uint32_t *out)
{
	unsigned n = ip_bits(&p->pfx.ip) / 8;
	uint32_t o = 0;

	if (!pfx_has_ip(&p->pfx, ip))
		return false;
	for (unsigned i = 0; i < n; i++) {
		uint8_t host = ip->b[i] ^ p->pfx.ip.b[i];

		if (i + 4 < n && host)
			return false;
		o = o << 8 | host;
	}
	*out = o;
	return o < p->size;
}

bool ipam_pool_reserved(const struct ipam_pool *p, const struct ip *ip)
{
	struct ip other;
	unsigned host_bits = ip_bits(&p->pfx.ip) - p->pfx.len;
	uint32_t o;

	if (ipam_pool_offset(p, ip, &o) && reserved_offset(&p->pfx, o, UINT64_MAX))
		return true;
	if (host_bits < 2 || p->pfx.ip.family != IP_V4)
		return false;
	return pfx_nth(&p->pfx, (UINT64_C(1) << host_bits) - 1, &other) == 0 && ip_eq(&other, ip);
}

/* The first word of used from @w on that is not full; nwords: none. */
static uint32_t next_word(const struct ipam_pool *p, uint32_t w)
{
	uint32_t nwords = words(p->size), s = WORD(w);
	uint64_t open;

	if (w >= nwords)
		return nwords;
	open = ~p->full[s] & ~(BIT(w) - 1);
	while (!open && ++s < words(nwords))
		open = ~p->full[s];
	return open ? s * 64 + (uint32_t)__builtin_ctzll(open) : nwords;
}

static bool find(const struct ipam_pool *p, uint32_t from, uint32_t *out)
{
	uint32_t nwords = words(p->size), w = WORD(from);
	uint64_t open = ~p->used[w] & ~(BIT(from) - 1);

	if (!open) {
		w = next_word(p, w + 1);
		if (w == nwords)
			w = next_word(p, 0);
		if (w == nwords)
			return false;
		open = ~p->used[w];
	}
	*out = w * 64 + (uint32_t)__builtin_ctzll(open);
	return true;
}

static void wake_oldest(struct ipam_pool *p)
{
	uint32_t o = p->rest[p->rest_head].offset;

	p->rest_head = (p->rest_head + 1) % p->rest_cap;
	p->rest_count--;
	p->held[WORD(o)] &= ~BIT(o);
	clear(p, o);
}

static bool oldest_rested(const struct ipam_pool *p, dur_t how_long, ts_t now)
{
	return p->rest_count > 0 && ts_due(ts_add(p->rest[p->rest_head].since, how_long), now);
}

bool ipam_pool_pick(struct ipam_pool *p, ts_t now, bool pressed, uint32_t *out)
{
	while (oldest_rested(p, IPAM_HOLD, now))
		wake_oldest(p);
	if (!find(p, p->cursor, out)) {
		if (!pressed || !oldest_rested(p, IPAM_HOLD_MIN, now))
			return false;
		*out = p->rest[p->rest_head].offset;
		wake_oldest(p);
	}
	p->cursor = *out + 1 < p->size ? *out + 1 : 0;
	return true;
}

bool ipam_pool_can(const struct ipam_pool *p, ts_t now)
{
	return p->taken < p->size || oldest_rested(p, IPAM_HOLD_MIN, now);
}

void ipam_pool_mark(struct ipam_pool *p, uint32_t o)
{
	if (p->held[WORD(o)] & BIT(o)) {
		size_t i = 0;

		while (p->rest[(p->rest_head + i) % p->rest_cap].offset != o)
			i++;
		for (p->rest_count--; i < p->rest_count; i++)
			p->rest[(p->rest_head + i) % p->rest_cap] =
				p->rest[(p->rest_head + i + 1) % p->rest_cap];
		p->held[WORD(o)] &= ~BIT(o);
	}
	set(p, o);
}

static bool rest_grow(struct ipam_pool *p)
{
	size_t cap = p->rest_cap ? 2 * p->rest_cap : 16;
	struct ipam_rest *v = malloc(cap * sizeof(*v));

	if (!v)
		return false;
	for (size_t i = 0; i < p->rest_count; i++)
		v[i] = p->rest[(p->rest_head + i) % p->rest_cap];
	free(p->rest);
	p->rest = v;
	p->rest_head = 0;
	p->rest_cap = cap;
	return true;
}

void ipam_pool_rest(struct ipam_pool *p, uint32_t o, ts_t now)
{
	assert((p->used[WORD(o)] & BIT(o)) && !(p->held[WORD(o)] & BIT(o)));
	if (p->rest_count == p->rest_cap && !rest_grow(p)) {
		clear(p, o);
		return;
	}
	if (p->rest_count >
		0) { /* the ring stays in order, whatever clock the file's writers had */
		ts_t last = p->rest[(p->rest_head + p->rest_count - 1) % p->rest_cap].since;

		if (ts_before(now, last))
			now = last;
	}
	p->rest[(p->rest_head + p->rest_count++) % p->rest_cap] = (struct ipam_rest){o, now};
	p->held[WORD(o)] |= BIT(o);
}
