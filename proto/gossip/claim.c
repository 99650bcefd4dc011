/* claim.c - judging overlapping claims.
 *
 * Data: two arrays sorted by (VNI, prefix, rank), one for owned prefixes, one for exits. CIDRs nest
 * or are disjoint, so in this order what a prefix contains stands right behind it. A change
 * concerns only the region under the widest claim that contains it; a region is judged anew as a
 * whole: with n claims nested at most d deep that costs O(n (log n + d)), and a region is one claim
 * when nothing overlaps.
 *
 * In: claims placed and lifted. Out: the lists adds, dels, notices; a claim is on adds or dels
 * exactly while what was told last differs from what holds. Bounds: the caller's (claims it makes).
 * Failure: only claim_new, which makes room for everything that comes later. */
#include "claim.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"

#define NONE SIZE_MAX

/* Working space to judge a region; the i-th speaks of the i-th claim in it. */
struct claim_nest {
	size_t parent;    /* the next wider claim in the region, or NONE */
	size_t end;       /* one past the last claim inside this one */
	size_t beaten_by; /* a winner in conflict with it, or NONE */
};

/* The claims of a region, to be sorted by rank. */
struct claim_order {
	const struct claim *c;
	size_t i;
};

void claims_init(struct claims *s)
{
	memset(s, 0, sizeof(*s));
	list_init(&s->adds);
	list_init(&s->dels);
	list_init(&s->notices);
}

void claims_fini(struct claims *s)
{
	free(s->owned.v);
	free(s->exits.v);
	free(s->ranges);
	free(s->nest);
	free(s->order);
	memset(s, 0, sizeof(*s));
}

/* <0: @a is stronger. Total over different nodes; within a node the prefix decides. */
static int rank_cmp(const struct claim *a, const struct claim *b)
{
	/* 0 becomes the largest: who doesn't say since when is the newest. */
	uint64_t at_a = a->p.claimed_at_secs - 1, at_b = b->p.claimed_at_secs - 1;
	int cmp;

	if (a->wide != b->wide)
		return a->wide ? 1 : -1;
	if (a->p.right != b->p.right)
		return a->p.right < b->p.right ? -1 : 1;
	if (at_a != at_b)
		return at_a < at_b ? -1 : 1;
	cmp = node_key_cmp(&a->node, &b->node);
	return cmp ? cmp : pfx_cmp(&a->p.pfx, &b->p.pfx);
}

static int order_cmp(const void *a, const void *b)
{
	return rank_cmp(((const struct claim_order *)a)->c, ((const struct claim_order *)b)->c);
}

static int at_cmp(uint32_t vni_a, const struct pfx *pfx_a, uint32_t vni_b, const struct pfx *pfx_b)
{
	if (vni_a != vni_b)
		return vni_a < vni_b ? -1 : 1;
	return pfx_cmp(pfx_a, pfx_b);
}

static int place_cmp(const struct claim *c, uint32_t vni, const struct pfx *p)
{
	return at_cmp(c->p.vni, &c->p.pfx, vni, p);
}

/* Index of the first range at (@vni, @p) or behind it. */
static size_t range_at(const struct claims *s, uint32_t vni, const struct pfx *p)
{
	size_t i = 0, n = s->nranges;

	while (n > 0) {
		size_t half = n / 2;

		if (at_cmp(s->ranges[i + half].vni, &s->ranges[i + half].pfx, vni, p) < 0) {
			i += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return i;
}

int claims_range_add(struct claims *s, uint32_t vni, const struct pfx *range)
{
	size_t i = range_at(s, vni, range);
	struct claim_range *v;

	assert(s->reserved == 0);
	v = realloc(s->ranges, (s->nranges + 1) * sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	s->ranges = v;
	memmove(&v[i + 1], &v[i], (s->nranges - i) * sizeof(*v));
	v[i] = (struct claim_range){.vni = vni, .pfx = *range};
	s->nranges++;
	return 0;
}

/* What a prefix contains stands at it or right behind it. */
static bool takes_range(const struct claims *s, const struct gossip_prefix *p)
{
	size_t i = range_at(s, p->vni, &p->pfx);

	return !p->exit && i < s->nranges && s->ranges[i].vni == p->vni &&
	       pfx_contains(&p->pfx, &s->ranges[i].pfx);
}

/* Index of the first claim at (@vni, @p) or behind it. */
static size_t lower_bound(const struct claim_row *row, uint32_t vni, const struct pfx *p)
{
	size_t lo = 0, hi = row->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (place_cmp(row->v[mid], vni, p) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool inside(const struct claim *c, uint32_t vni, const struct pfx *region)
{
	return c->p.vni == vni && pfx_contains(region, &c->p.pfx);
}

/* Put @c where it belongs among what was told and what holds. */
static void settle(struct claims *s, struct claim *c, bool want)
{
	list_del(&c->change);
	if (want != c->routed)
		list_add_tail(want ? &s->adds : &s->dels, &c->change);
}

/* Store a judgement. @winner: the claim that @c lost to by a conflict, or NULL. @covered: an own
 * prefix stands over it, and local destinations win whoever owns them (DESIGN 4.1). */
static void judge(
	struct claims *s, struct claim *c, bool won, const struct claim *winner, bool covered)
{
	bool told = c->conflict && winner && node_key_eq(&c->winner, &winner->node);

	s->nconflicts -= c->conflict;
	c->won = won;
	c->conflict = winner != NULL;
	s->nconflicts += c->conflict;
	if (winner)
		c->winner = winner->node;
	if (!told) {
		list_del(&c->notice);
		if (winner)
			list_add_tail(&s->notices, &c->notice);
	}
	settle(s, c, won && !c->self && !covered);
}

/* The nesting of @n claims at @v. */
static void nest(struct claims *s, struct claim **v, size_t n)
{
	struct claim_nest *t = s->nest;
	size_t top = NONE;

	for (size_t i = 0; i < n; i++) {
		while (top != NONE && !pfx_contains(&v[top]->p.pfx, &v[i]->p.pfx)) {
			t[top].end = i;
			top = t[top].parent;
		}
		t[i].parent = top;
		t[i].beaten_by = NONE;
		s->order[i].c = v[i];
		s->order[i].i = i;
		top = i;
	}
	for (; top != NONE; top = t[top].parent)
		t[top].end = n;
}

static void beat(struct claims *s, struct claim **v, size_t winner, size_t loser)
{
	if (s->nest[loser].beaten_by == NONE && !node_key_eq(&v[winner]->node, &v[loser]->node))
		s->nest[loser].beaten_by = winner;
}

/* Is the @i-th claim equal to or inside a prefix of our own? */
static bool shielded(const struct claims *s, struct claim **v, size_t n, size_t i)
{
	for (size_t up = s->nest[i].parent; up != NONE; up = s->nest[up].parent)
		if (v[up]->self)
			return true;
	for (size_t j = i + 1; j < n && pfx_eq(&v[j]->p.pfx, &v[i]->p.pfx); j++)
		if (v[j]->self)
			return true;
	return false;
}

/* Does a node say the same twice, in two records? Only the first counts. */
static bool repeated(struct claim **v, size_t i)
{
	for (size_t j = i;
		j-- > 0 && v[j]->p.vni == v[i]->p.vni && pfx_eq(&v[j]->p.pfx, &v[i]->p.pfx);)
		if (node_key_eq(&v[j]->node, &v[i]->node))
			return true;
	return false;
}

/* Judge @n owned claims at @v, of one VNI and complete: nothing else overlaps with one of them. */
static void judge_owned(struct claims *s, struct claim **v, size_t n)
{
	if (n == 1) {
		judge(s, v[0], true, NULL, false);
		return;
	}
	nest(s, v, n);
	qsort(s->order, n, sizeof(*s->order), order_cmp);
	for (size_t k = 0; k < n; k++) {
		size_t i = s->order[k].i;

		if (s->nest[i].beaten_by != NONE)
			continue;
		for (size_t up = s->nest[i].parent; up != NONE; up = s->nest[up].parent)
			beat(s, v, i, up);
		for (size_t j = i + 1; j < s->nest[i].end; j++)
			beat(s, v, i, j);
	}
	for (size_t i = 0; i < n; i++) {
		size_t by = s->nest[i].beaten_by;

		judge(s, v[i], by == NONE && !repeated(v, i), by == NONE ? NULL : v[by],
			shielded(s, v, n, i));
	}
}

/* The owned claims that contain @e's exit: *@winner is one of another node that won, *@shield
 * whether the exit is equal to or inside a prefix of our own, *@same whether its own node owns just
 * that. */
static void exit_containers(const struct claims *s, const struct claim *e,
	const struct claim **winner, bool *shield, bool *same)
{
	*winner = NULL;
	*shield = *same = false;
	for (unsigned len = 0; len <= e->p.pfx.len; len++) {
		struct pfx p;

		if (pfx_make(&e->p.pfx.ip, len, &p) < 0)
			continue;
		for (size_t i = lower_bound(&s->owned, e->p.vni, &p);
			i < s->owned.count && place_cmp(s->owned.v[i], e->p.vni, &p) == 0; i++) {
			const struct claim *c = s->owned.v[i];
			bool same_node = node_key_eq(&c->node, &e->node);

			if (c->won && !same_node)
				*winner = c;
			*shield |= c->self;
			*same |= same_node && len == e->p.pfx.len;
		}
	}
}

/* Judge the exits inside @region. */
static void judge_exits(struct claims *s, uint32_t vni, const struct pfx *region)
{
	struct claim_row *row = &s->exits;
	size_t end;

	for (size_t i = lower_bound(row, vni, region);
		i < row->count && inside(row->v[i], vni, region); i = end) {
		bool chosen = false, own = false;

		for (end = i; end < row->count && pfx_eq(&row->v[end]->p.pfx, &row->v[i]->p.pfx) &&
			      row->v[end]->p.vni == vni;
			end++)
			own |= row->v[end]->self;
		/* Equal ones stand by rank: the first that nothing beats is chosen. */
		for (size_t j = i; j < end; j++) {
			const struct claim *winner;
			bool shield, same;

			exit_containers(s, row->v[j], &winner, &shield, &same);
			bool won = !winner && !same && !chosen;

			judge(s, row->v[j], won, winner, shield || own);
			chosen |= won;
		}
	}
}

/* Judge what a change at (@vni, @p) concerns. */
static void judge_region(struct claims *s, uint32_t vni, const struct pfx *p, bool exit)
{
	struct pfx region = *p;
	size_t from, to;

	if (exit) {
		judge_exits(s, vni, p);
		return;
	}
	for (unsigned len = 0; len < p->len; len++) {
		struct pfx wider;

		if (pfx_make(&p->ip, len, &wider) < 0)
			continue;
		from = lower_bound(&s->owned, vni, &wider);
		if (from < s->owned.count && place_cmp(s->owned.v[from], vni, &wider) == 0) {
			region = wider;
			break;
		}
	}
	from = to = lower_bound(&s->owned, vni, &region);
	while (to < s->owned.count && inside(s->owned.v[to], vni, &region))
		to++;
	if (to > from)
		judge_owned(s, &s->owned.v[from], to - from);
	judge_exits(s, vni, &region);
}

static int grow(void *array, size_t width, size_t cap)
{
	void *old, *grown;

	memcpy(&old, array, sizeof(old));
	grown = realloc(old, cap * width);
	if (!grown)
		return -1;
	memcpy(array, &grown, sizeof(grown));
	return 0;
}

struct claim *claim_new(
	struct claims *s, const struct node_key *node, bool self, const struct gossip_prefix *p)
{
	struct claim *c;

	if (s->reserved == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 16;

		if (grow(&s->owned.v, sizeof(*s->owned.v), cap) < 0 ||
			grow(&s->exits.v, sizeof(*s->exits.v), cap) < 0 ||
			grow(&s->nest, sizeof(*s->nest), cap) < 0 ||
			grow(&s->order, sizeof(*s->order), cap) < 0)
			return NULL;
		s->cap = cap;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	s->reserved++;
	c->p = *p;
	c->node = *node;
	c->self = self;
	c->wide = takes_range(s, p);
	list_init(&c->in_node);
	list_init(&c->change);
	list_init(&c->notice);
	return c;
}

static struct claim_row *row_of(struct claims *s, const struct claim *c)
{
	return c->p.exit ? &s->exits : &s->owned;
}

void claim_place(struct claims *s, struct claim *c)
{
	struct claim_row *row = row_of(s, c);
	size_t i;

	if (c->placed)
		return;
	assert(row->count < s->cap && !c->doomed);
	i = lower_bound(row, c->p.vni, &c->p.pfx);
	while (i < row->count && place_cmp(row->v[i], c->p.vni, &c->p.pfx) == 0 &&
		rank_cmp(row->v[i], c) <= 0)
		i++;
	memmove(&row->v[i + 1], &row->v[i], (row->count - i) * sizeof(*row->v));
	row->v[i] = c;
	row->count++;
	c->placed = true;
	judge_region(s, c->p.vni, &c->p.pfx, c->p.exit);
}

void claim_lift(struct claims *s, struct claim *c)
{
	struct claim_row *row = row_of(s, c);
	size_t i;

	if (!c->placed)
		return;
	for (i = lower_bound(row, c->p.vni, &c->p.pfx); row->v[i] != c; i++)
		assert(i + 1 < row->count);
	row->count--;
	memmove(&row->v[i], &row->v[i + 1], (row->count - i) * sizeof(*row->v));
	c->placed = false;
	judge(s, c, false, NULL, false);
	judge_region(s, c->p.vni, &c->p.pfx, c->p.exit);
}

bool claim_is_moot(const struct claims *s, const struct claim *c)
{
	if (!c->wide)
		return false;
	for (size_t i = lower_bound(&s->owned, c->p.vni, &c->p.pfx);
		i < s->owned.count && inside(s->owned.v[i], c->p.vni, &c->p.pfx); i++)
		if (!s->owned.v[i]->wide && !node_key_eq(&s->owned.v[i]->node, &c->node))
			return true;
	return false;
}

static void claim_free(struct claims *s, struct claim *c)
{
	list_del(&c->change);
	list_del(&c->notice);
	list_del(&c->in_node);
	s->reserved--;
	free(c);
}

void claim_drop(struct claims *s, struct claim *c)
{
	claim_lift(s, c);
	list_del(&c->in_node);
	if (c->routed)
		c->doomed = true; /* it is on dels */
	else
		claim_free(s, c);
}

struct claim *claim_next_del(struct claims *s)
{
	struct claim *c;

	if (list_empty(&s->dels))
		return NULL;
	c = list_entry(s->dels.next, struct claim, change);
	list_del(&c->change);
	c->routed = false;
	return c;
}

struct claim *claim_next_add(struct claims *s)
{
	struct claim *c;

	if (list_empty(&s->adds))
		return NULL;
	c = list_entry(s->adds.next, struct claim, change);
	list_del(&c->change);
	c->routed = true;
	return c;
}

void claim_told(struct claims *s, struct claim *c)
{
	if (c->doomed && !c->routed)
		claim_free(s, c);
}

struct claim *claim_next_notice(struct claims *s)
{
	struct claim *c;

	if (list_empty(&s->notices))
		return NULL;
	c = list_entry(s->notices.next, struct claim, notice);
	list_del(&c->notice);
	return c;
}
