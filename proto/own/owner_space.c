/* owner_space.c - the blocks of a range: which are held, which is chosen.
 *
 * A range is seen as a row of numbered blocks of one length. Each prefix that touches it is a span of
 * numbers; sorted and merged, the gaps between spans are the free blocks, and one is drawn among all of
 * them with equal chance. Numbers have 63 bits: of a range that holds more blocks, only the first 2^63
 * are looked at. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "owner_int.h"
#include "weft/err.h"

#define BITS_MAX 63

struct span {
	uint64_t first, last;
};

/* Whose prefixes count; each includes those before it. */
enum hold { HOLD_LIVING, HOLD_LEASED, HOLD_EVER };

static uint64_t blocks_in(const struct pfx *range, unsigned len)
{
	unsigned bits = len - range->len;

	return 1ull << (bits < BITS_MAX ? bits : BITS_MAX);
}

/* The number of the block that @ip lies in, 0 of the bits @from..@to-1; false: beyond what is looked at. */
static bool number_of(const struct ip *ip, unsigned from, unsigned to, uint64_t *out)
{
	uint64_t v = 0;

	for (unsigned b = from; b < to; b++) {
		if (v >> (BITS_MAX - 1))
			return false;
		v = v << 1 | (ip->b[b / 8] >> (7 - b % 8) & 1);
	}
	*out = v;
	return true;
}

static bool span_of(const struct pfx *range, unsigned len, const struct pfx *p, struct span *out)
{
	uint64_t count = blocks_in(range, len);

	if (!pfx_overlaps(range, p))
		return false;
	if (p->len <= range->len) {
		*out = (struct span){0, count - 1};
		return true;
	}
	if (!number_of(&p->ip, range->len, len, &out->first))
		return false;
	out->last = out->first;
	if (p->len < len) {
		unsigned bits = len - p->len;

		out->last = bits >= BITS_MAX ? count - 1 : out->first + ((1ull << bits) - 1);
	}
	if (out->last > count - 1)
		out->last = count - 1;
	return true;
}

static struct pfx block_at(const struct pfx *range, unsigned len, uint64_t n)
{
	struct pfx p = {.ip = range->ip, .len = (uint8_t)len};

	for (unsigned b = len; n && b > range->len; n >>= 1) {
		b--;
		if (n & 1)
			p.ip.b[b / 8] |= (uint8_t)(0x80 >> b % 8);
	}
	return p;
}

static int by_first(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

struct row {
	struct span *v; /* owned */
	size_t n;
	uint64_t size, covered;
};

static size_t most(const struct owner *o)
{
	const void *key;
	void *value;
	size_t it = 0, n = o->nown + o->navoid;

	while (map_next(o->nodes, &it, &key, &value))
		n += ((const struct node *)value)->n;
	return n;
}

static void add(struct row *r, const struct pfx *range, unsigned len, const struct pfx *p)
{
	if (span_of(range, len, p, &r->v[r->n]))
		r->n++;
}

static void merge(struct row *r)
{
	size_t n = 0;

	if (r->n > 1)
		qsort(r->v, r->n, sizeof(r->v[0]), by_first);
	for (size_t i = 0; i < r->n; i++) {
		if (n > 0 && r->v[i].first <= r->v[n - 1].last) {
			if (r->v[i].last > r->v[n - 1].last)
				r->v[n - 1].last = r->v[i].last;
			continue;
		}
		r->v[n++] = r->v[i];
	}
	r->n = n;
	for (size_t i = 0; i < n; i++)
		r->covered += r->v[i].last - r->v[i].first + 1;
}

/* The blocks of @range that are held, by @hold. With @avoid, also those that this host can't use.
 * ERR_NOMEM; else free @out->v. */
static int row_make(const struct owner *o, uint32_t vni, const struct pfx *range, unsigned len,
	enum hold hold, bool avoid, struct row *out)
{
	const void *key;
	struct list *l, *t;
	void *value;
	size_t it = 0;

	*out = (struct row){.size = blocks_in(range, len)};
	out->v = malloc((most(o) + 1) * sizeof(out->v[0]));
	if (!out->v)
		return ERR_NOMEM;
	list_each(&o->own, l, t)
	{
		const struct own *c = list_entry(l, struct own, in_own);

		if (!c->doomed && c->is.p.vni == vni)
			add(out, range, len, &c->is.p.pfx);
	}
	for (size_t i = 0; avoid && i < o->navoid; i++)
		if (o->avoid[i].vni == vni)
			add(out, range, len, &o->avoid[i].pfx);
	while (map_next(o->nodes, &it, &key, &value)) {
		const struct node *n = value;
		enum hold its = n->ended                  ? HOLD_EVER
				: n->state == OWNER_ALIVE ? HOLD_LIVING
							  : HOLD_LEASED;

		for (size_t i = 0; its <= hold && i < n->n; i++)
			if (n->v[i].vni == vni && !n->v[i].moot)
				add(out, range, len, &n->v[i].pfx);
	}
	merge(out);
	return 0;
}

/* The @k-th number that no span covers. */
static uint64_t free_at(const struct row *r, uint64_t k)
{
	uint64_t at = 0;

	for (size_t i = 0; i < r->n; i++) {
		if (k < r->v[i].first - at)
			break;
		k -= r->v[i].first - at;
		at = r->v[i].last + 1;
	}
	assert(at + k < r->size);
	return at + k;
}

/* Is the block that @w had before still there to be had? */
static bool prefer_ok(const struct owner *o, const struct want *w)
{
	bool inside = false;

	if (w->prefer.ip.family == IP_NONE || owner_overlapping(o, w->vni, &w->prefer) ||
		owner_held(o, w->vni, &w->prefer))
		return false;
	for (size_t i = 0; i < o->navoid; i++)
		if (o->avoid[i].vni == w->vni && pfx_overlaps(&o->avoid[i].pfx, &w->prefer))
			return false;
	for (size_t i = 0; i < o->nranges; i++)
		inside |= o->ranges[i].vni == w->vni && pfx_contains(&o->ranges[i].pfx, &w->prefer);
	return inside;
}

static int choose_in(struct owner *o, const struct want *w, const struct pfx *range, enum hold hold,
	struct pfx *out)
{
	struct row r;
	int err = row_make(o, w->vni, range, w->len, hold, true, &r);

	if (err)
		return err;
	if (r.covered >= r.size)
		err = ERR_NOT_FOUND;
	else
		*out = block_at(
			range, w->len, free_at(&r, prng_below(&o->prng, r.size - r.covered)));
	free(r.v);
	return err;
}

int owner_choose(struct owner *o, const struct want *w, struct pfx *out)
{
	static const enum hold passes[] = {HOLD_EVER, HOLD_LEASED};
	int err;

	if (prefer_ok(o, w)) {
		*out = w->prefer;
		return 0;
	}
	for (size_t pass = 0; pass < sizeof(passes) / sizeof(passes[0]); pass++)
		for (size_t i = 0; i < o->nranges; i++) {
			const struct range *g = &o->ranges[i];

			if (g->vni != w->vni || g->pfx.ip.family != w->family ||
				g->pfx.len > w->len)
				continue;
			err = choose_in(o, w, &g->pfx, passes[pass], out);
			if (err != ERR_NOT_FOUND)
				return err;
		}
	return ERR_NOT_FOUND;
}

int owner_range_at(const struct owner *o, size_t i, struct owner_range_info *out)
{
	uint64_t covered[3];
	const struct range *g;
	unsigned unit;

	if (i >= o->nranges)
		return ERR_NOT_FOUND;
	g = &o->ranges[i];
	unit = g->pfx.ip.family == IP_V4 ? 24 : 64;
	for (size_t k = 0; k < o->nwants; k++)
		if (o->wants[k].vni == g->vni && o->wants[k].family == g->pfx.ip.family) {
			unit = o->wants[k].len;
			break;
		}
	if (unit < g->pfx.len)
		unit = g->pfx.len;
	for (int hold = HOLD_LIVING; hold <= HOLD_EVER; hold++) {
		struct row r;
		int err = row_make(o, g->vni, &g->pfx, unit, (enum hold)hold, false, &r);

		if (err)
			return err;
		covered[hold] = r.covered;
		free(r.v);
	}
	*out = (struct owner_range_info){
		.vni = g->vni,
		.range = g->pfx,
		.unit = unit,
		.size = blocks_in(&g->pfx, unit),
		.owned = covered[HOLD_LIVING],
		.leased = covered[HOLD_LEASED] - covered[HOLD_LIVING],
		.ended = covered[HOLD_EVER] - covered[HOLD_LEASED],
	};
	out->free = out->size - covered[HOLD_LEASED];
	return 0;
}
