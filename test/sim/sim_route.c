/* sim_route.c - the registry of routes, and sets of their numbers. */
#include "sim_route.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "map.h"

#define ROUTE_KEY 55

struct route_names {
	struct map *by_key; /* packed route: its number, plus one */
	struct sim_route *v;
	uint32_t count, cap;
};

struct route_names *route_names_new(void)
{
	static const uint8_t seed[16] = "routes' names";
	struct route_names *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->by_key = map_new(ROUTE_KEY, SIZE_MAX / 2, seed);
	if (!r->by_key) {
		free(r);
		return NULL;
	}
	return r;
}

void route_names_free(struct route_names *r)
{
	if (!r)
		return;
	map_free(r->by_key);
	free(r->v);
	free(r);
}

static void pack(const struct node_key *node, const struct gossip_prefix *p, uint8_t key[ROUTE_KEY])
{
	struct wr w;

	wr_init(&w, key, ROUTE_KEY);
	wr_u32(&w, p->vni);
	wr_u8(&w, p->pfx.ip.family);
	wr_copy(&w, p->pfx.ip.b, 16);
	wr_u8(&w, p->pfx.len);
	wr_u8(&w, p->exit);
	wr_copy(&w, node->b, 32);
	assert(wr_len(&w) == ROUTE_KEY);
}

uint32_t route_name(
	struct route_names *r, const struct node_key *node, const struct gossip_prefix *p)
{
	uint8_t key[ROUTE_KEY];
	uintptr_t have;

	pack(node, p, key);
	have = (uintptr_t)map_get(r->by_key, key);
	if (have)
		return (uint32_t)(have - 1);
	if (r->count == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 256;
		r->v = realloc(r->v, r->cap * sizeof(*r->v));
		if (!r->v)
			abort();
	}
	r->v[r->count] = (struct sim_route){*node, *p};
	if (map_put(r->by_key, key, (void *)((uintptr_t)r->count + 1)) != 0)
		abort();
	return r->count++;
}

const struct sim_route *route_named(const struct route_names *r, uint32_t number)
{
	assert(number < r->count);
	return &r->v[number];
}

/* --- sets --- */

/* Sums of sets are sums of these: numbers next to each other must not cancel out. */
static uint64_t weight(uint32_t number)
{
	uint64_t x = (uint64_t)number + 1;

	x *= 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

bool route_set_has(const struct route_set *s, uint32_t number)
{
	return number / 64 < s->words && s->bits[number / 64] >> number % 64 & 1;
}

bool route_set_add(struct route_set *s, uint32_t number)
{
	if (route_set_has(s, number))
		return false;
	if (number / 64 >= s->words) {
		size_t words = number / 64 + 1 + s->words / 4;

		s->bits = realloc(s->bits, words * sizeof(*s->bits));
		if (!s->bits)
			abort();
		memset(s->bits + s->words, 0, (words - s->words) * sizeof(*s->bits));
		s->words = words;
	}
	s->bits[number / 64] |= UINT64_C(1) << number % 64;
	s->count++;
	s->sum += weight(number);
	return true;
}

bool route_set_del(struct route_set *s, uint32_t number)
{
	if (!route_set_has(s, number))
		return false;
	s->bits[number / 64] &= ~(UINT64_C(1) << number % 64);
	s->count--;
	s->sum -= weight(number);
	return true;
}

bool route_set_next_but(
	const struct route_set *a, const struct route_set *b, uint32_t *it, uint32_t *number)
{
	for (size_t w = *it / 64; w < a->words; w++) {
		uint64_t bits = a->bits[w] & ~(w < b->words ? b->bits[w] : 0);

		if (w == *it / 64)
			bits &= ~UINT64_C(0) << *it % 64;
		if (!bits)
			continue;
		*number = (uint32_t)(w * 64 + (size_t)__builtin_ctzll(bits));
		*it = *number + 1;
		return true;
	}
	return false;
}

bool route_set_next(const struct route_set *s, uint32_t *it, uint32_t *number)
{
	static const struct route_set nothing;

	return route_set_next_but(s, &nothing, it, number);
}

void route_set_copy(struct route_set *to, const struct route_set *from)
{
	if (to->words < from->words) {
		to->bits = realloc(to->bits, from->words * sizeof(*to->bits));
		if (!to->bits)
			abort();
		to->words = from->words;
	}
	if (from->words)
		memcpy(to->bits, from->bits, from->words * sizeof(*to->bits));
	if (to->words > from->words)
		memset(to->bits + from->words, 0, (to->words - from->words) * sizeof(*to->bits));
	to->count = from->count;
	to->sum = from->sum;
}

void route_set_clear(struct route_set *s)
{
	free(s->bits);
	*s = (struct route_set){0};
}
