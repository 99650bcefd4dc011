/* sim_pairs.c - checks between pairs of nodes.
 *
 * In: the nodes' tables, once per second. Out: sim_fail(). State: per pair, for how many seconds in a
 * row something was wrong; a second in which they could not talk starts the count anew, one in which
 * they talk another way than before doesn't. Up to
 * PAIRWISE_MAX nodes every pair is looked at, above that so many drawn at the start: the cost per
 * second stays linear. */
#include "sim_pairs.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "invariants.h"
#include "sim.h"
#include "sim_keys.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_route.h"
#include "sim_ways.h"
#include "truth.h"

#define PAIRWISE_MAX  128
#define PAIRS_SAMPLED 8192
#define KEYS_GRACE    5  /* seconds that a pair may not open what the other seals */
#define OWNERS_GRACE  10 /* that it may differ about an owner */
#define RELAY_GRACE                                                                                \
	10 /* more than these two and cfg.routable, where relays or translators are needed */

/* For how many seconds in a row something was wrong. */
struct wrong {
	unsigned all;    /* while they could talk, directly or not */
	unsigned direct; /* of those, the last ones, in which nothing stood between them */
};

struct pair {
	unsigned a, b;
	unsigned mismatch;
	struct wrong dispute, claims, lost[2]; /* lost: a to b, b to a */
	bool met; /* since they can talk, each has had the other's present prefixes */
};

struct pairs {
	struct sim *s;
	struct pair *v;
	size_t count;
	struct pairs_worst worst;
	struct route_set *mine; /* by node: its own prefixes that have not lost */
	struct route_set *owns; /* by node: those and its routes */
};

static void draw(struct pairs *p)
{
	unsigned n = p->s->cfg.nodes;

	for (size_t i = 0; i < p->count; i++) {
		p->v[i].a = (unsigned)prng_below(&p->s->prng, n);
		p->v[i].b = (p->v[i].a + 1 + (unsigned)prng_below(&p->s->prng, n - 1)) % n;
	}
}

static void all(struct pairs *p)
{
	size_t i = 0;

	for (unsigned a = 0; a < p->s->cfg.nodes; a++)
		for (unsigned b = a + 1; b < p->s->cfg.nodes; b++)
			p->v[i++] = (struct pair){.a = a, .b = b};
}

struct pairs *pairs_new(struct sim *s)
{
	struct pairs *p = calloc(1, sizeof(*p));
	size_t n = s->cfg.nodes;

	if (!p)
		return NULL;
	p->s = s;
	p->count = n <= PAIRWISE_MAX ? n * (n - 1) / 2 : PAIRS_SAMPLED;
	p->v = calloc(p->count + 1, sizeof(*p->v));
	p->mine = calloc(n, sizeof(*p->mine));
	p->owns = calloc(n, sizeof(*p->owns));
	if (!p->v || !p->mine || !p->owns) {
		pairs_free(p);
		return NULL;
	}
	if (n <= PAIRWISE_MAX)
		all(p);
	else
		draw(p);
	return p;
}

void pairs_free(struct pairs *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < p->s->cfg.nodes; i++) {
		if (p->mine)
			route_set_clear(&p->mine[i]);
		if (p->owns)
			route_set_clear(&p->owns[i]);
	}
	free(p->mine);
	free(p->owns);
	free(p->v);
	free(p);
}

void pairs_forgive(struct pairs *p)
{
	for (size_t i = 0; i < p->count; i++)
		p->v[i] = (struct pair){.a = p->v[i].a, .b = p->v[i].b};
}

const struct pairs_worst *pairs_worst(const struct pairs *p)
{
	return &p->worst;
}

/* A second has passed, in which it was @bad or not. True: that is too long now, where so many seconds are
 * allowed to who talks directly. */
static bool too_long(struct wrong *w, bool bad, bool direct, unsigned allowed, unsigned worst[2])
{
	if (!bad) {
		*w = (struct wrong){0};
		return false;
	}
	w->all++;
	w->direct = direct ? w->direct + 1 : 0;
	if (w->direct > worst[0])
		worst[0] = w->direct;
	if (w->all > w->direct && w->all > worst[1])
		worst[1] = w->all;
	return w->direct > allowed || w->all > allowed + RELAY_GRACE;
}

static const char *how(bool direct)
{
	return direct ? "" : " through others";
}

/* --- keys --- */

/* What @a seals for @b: can @b open it? Keys tell, without a cipher. */
static bool opens(struct sim_node *a, struct sim_node *b)
{
	struct sim_slot *p = sim_node_slot(a, &b->id.pub);
	struct sim_key *ka = p && p->use ? sim_keys_get(a, p->use) : NULL;
	struct sim_key *kb = ka ? sim_keys_get(b, ka->k.remote_index) : NULL;

	return kb && kb->k.remote_index == ka->k.local_index && kb->k.suite == ka->k.suite &&
	       kb->k.rx_lanes == ka->k.tx_lanes &&
	       memcmp(ka->k.tx, kb->k.rx, sizeof(ka->k.tx)) == 0;
}

static bool connected(const struct sim_node *a, const struct sim_node *b)
{
	const struct sim_slot *ab = sim_node_slot(a, &b->id.pub),
			      *ba = sim_node_slot(b, &a->id.pub);

	return ab && ba && ab->up && ba->up;
}

static void check_keys(struct pairs *p, struct pair *q, struct sim_node *a, struct sim_node *b)
{
	if (!connected(a, b) || (opens(a, b) && opens(b, a))) {
		q->mismatch = 0;
		return;
	}
	if (++q->mismatch > KEYS_GRACE)
		sim_fail(p->s, CHECK_KEY_MATCH,
			"n%u and n%u are connected, but don't open what the other seals", a->index,
			b->index);
}

/* --- owners --- */

/* What a node takes part in as owned: its own prefixes unless it knows that they lost, and its
 * routes; no exits, of which several may be in use at once. */
static void gather(struct pairs *p, const struct sim_node *n)
{
	struct route_set *mine = &p->mine[n->index], *owns = &p->owns[n->index];
	struct gossip_node_info me;
	uint32_t it = 0, id;

	route_set_clear(mine);
	route_set_copy(owns, &n->routes);
	if (gossip_node_get(n->gossip, &n->id.pub, &me) != 0)
		return;
	for (size_t i = 0; i < me.nprefixes; i++)
		if (!me.prefixes[i].lost && !me.prefixes[i].exit)
			(void)route_set_add(
				mine, route_name(p->s->routes, &me.key, &me.prefixes[i]));
	while (route_set_next(mine, &it, &id))
		(void)route_set_add(owns, id);
}

/* Can @n know what @owner claims: is it that one, or does it route to it? */
static bool knows(const struct sim_node *n, const struct node_key *owner)
{
	struct gossip_node_info i;

	return gossip_node_get(n->gossip, owner, &i) == 0 && sim_node_counts(&i);
}

static bool overlap(const struct sim_route *a, const struct sim_route *b)
{
	return !a->p.exit && !b->p.exit && a->p.vni == b->p.vni &&
	       pfx_overlaps(&a->p.pfx, &b->p.pfx);
}

/* Does somebody else, whom only one of @a and @b takes for alive, claim a part of @r or @o? Its claim may
 * beat one of theirs and not the other; such views differ for as long as a death takes to be known. */
static bool third_claims(const struct sim_node *a, const struct sim_node *b,
	const struct sim_route *r, const struct sim_route *o)
{
	struct gossip_node_info x, y;
	size_t it = 0;

	while (gossip_node_next(a->gossip, &it, &x)) {
		bool there = gossip_node_get(b->gossip, &x.key, &y) == 0 && sim_node_counts(&y);

		for (size_t i = 0; sim_node_counts(&x) != there && i < x.nprefixes; i++)
			if (x.prefixes[i].vni == r->p.vni &&
				(pfx_overlaps(&x.prefixes[i].pfx, &r->p.pfx) ||
					pfx_overlaps(&x.prefixes[i].pfx, &o->p.pfx)))
				return true;
	}
	return false;
}

/* A route of @a that @b doesn't have, and in whose place @b has one to another owner. */
static const struct sim_route *differ(
	const struct pairs *p, const struct sim_node *a, const struct sim_node *b)
{
	const struct route_set *x = &p->owns[a->index], *y = &p->owns[b->index];
	uint32_t i = 0, j, xi, yj;

	while (route_set_next_but(x, y, &i, &xi)) {
		const struct sim_route *r = route_named(p->s->routes, xi);

		for (j = 0; route_set_next(y, &j, &yj);) {
			const struct sim_route *o = route_named(p->s->routes, yj);

			if (overlap(r, o) && !node_key_eq(&r->node, &o->node) &&
				knows(a, &o->node) && knows(b, &r->node) &&
				!third_claims(a, b, r, o) && !third_claims(b, a, r, o))
				return r;
		}
	}
	return NULL;
}

/* Do both have the same owners in use? Then each routes to the other's prefixes, too. */
static bool same_owners(const struct pairs *p, const struct sim_node *a, const struct sim_node *b)
{
	const struct route_set *x = &p->owns[a->index], *y = &p->owns[b->index];

	return x->sum == y->sum && x->count == y->count;
}

static void check_owners(
	struct pairs *p, struct pair *q, bool direct, struct sim_node *a, struct sim_node *b)
{
	const struct sim_route *r = NULL;
	char text[PFX_STRLEN];

	if (!same_owners(p, a, b)) {
		r = differ(p, a, b);
		r = r ? r : differ(p, b, a);
	}
	if (too_long(&q->dispute, r, direct, OWNERS_GRACE, p->worst.owners))
		sim_fail(p->s, CHECK_OWNERS,
			"n%u and n%u can talk%s and have different owners for %s for %u s",
			a->index, b->index, how(direct), pfx_fmt(&r->p.pfx, text), q->dispute.all);
}

/* A block that both have in service, or one inside another's. */
static const struct owner_prefix *both_use(const struct sim_node *a, const struct sim_node *b)
{
	const struct owner_prefix *x, *y;

	for (size_t i = 0; (x = sim_own_used(a->own, i)) != NULL; i++)
		for (size_t j = 0; (y = sim_own_used(b->own, j)) != NULL; j++)
			if (x->vni == y->vni && pfx_overlaps(&x->pfx, &y->pfx))
				return x;
	return NULL;
}

static void check_claims(
	struct pairs *p, struct pair *q, bool direct, struct sim_node *a, struct sim_node *b)
{
	const struct owner_prefix *x = both_use(a, b);
	char text[PFX_STRLEN];

	if (x && !(knows(a, &b->id.pub) && knows(b, &a->id.pub)))
		x = NULL;
	if (too_long(&q->claims, x, direct, OWNERS_GRACE, p->worst.claims))
		sim_fail(p->s, CHECK_CLAIMS,
			"n%u and n%u can talk%s, know each other and both use %s for %u s",
			a->index, b->index, how(direct), pfx_fmt(&x->pfx, text), q->claims.all);
}

/* --- routes --- */

/* Does @n claim an overlapping prefix itself? Local destinations win there (DESIGN 4.1), even of a
 * claim that lost, until it is withdrawn. */
static bool local(const struct sim_node *n, const struct sim_route *r)
{
	struct gossip_node_info me;

	if (gossip_node_get(n->gossip, &n->id.pub, &me) != 0)
		return false;
	for (size_t i = 0; i < me.nprefixes; i++)
		if (overlap(r, &(struct sim_route){me.key, me.prefixes[i]}))
			return true;
	return false;
}

/* A prefix of @to's for which @from has no route at all. Where two claim the same, a route to
 * either will do: the check of owners looks at those. */
static const struct sim_route *unroutable(
	const struct pairs *p, const struct sim_node *from, const struct sim_node *to)
{
	uint32_t it = 0, id;

	while (route_set_next_but(&p->mine[to->index], &from->routes, &it, &id)) {
		const struct sim_route *r = route_named(p->s->routes, id);
		bool covered = local(from, r);
		uint32_t j = 0, other;

		while (!covered && route_set_next(&p->owns[from->index], &j, &other))
			covered = overlap(r, route_named(p->s->routes, other));
		if (!covered)
			return r;
	}
	return NULL;
}

static void check_routable(struct pairs *p, struct wrong *lost, bool direct,
	const struct sim_node *from, const struct sim_node *to)
{
	const struct sim_route *r = same_owners(p, from, to) ? NULL : unroutable(p, from, to);
	char text[PFX_STRLEN];

	if (too_long(lost, r, direct, (unsigned)(p->s->cfg.routable.ns / DUR_SEC(1).ns),
		    p->worst.unroutable))
		sim_fail(p->s, CHECK_ROUTABLE,
			"n%u can reach n%u%s and has no route to its %s for %u s", from->index,
			to->index, how(direct), pfx_fmt(&r->p.pfx, text), lost->all);
}

/* --- each second --- */

/* Has nothing been in their way for the last second? */
static bool open_to(const struct sim *s, const struct sim_node *a, const struct sim_node *b)
{
	return ts_due(ts_add(sim_net_calm_since(s->net, a->index, b->index), DUR_SEC(1)), s->now);
}

/* The same by way of others. */
static bool open_by_others(const struct sim *s, const struct sim_node *a, const struct sim_node *b)
{
	return a->path && b->path &&
	       ts_due(ts_add(sim_way_since(s, a->index, b->index), DUR_SEC(1)), s->now);
}

/* Has @a what @b says in this life of its prefixes? */
static bool has_prefixes(const struct sim_node *a, const struct sim_node *b)
{
	struct gossip_node_info i, own;

	return gossip_node_get(b->gossip, &b->id.pub, &own) == 0 &&
	       gossip_node_get(a->gossip, &b->id.pub, &i) == 0 && sim_node_counts(&i) &&
	       i.epoch == own.epoch &&
	       truth_of_prefixes(i.prefixes, i.nprefixes) ==
		       truth_of_prefixes(own.prefixes, own.nprefixes);
}

static void look(
	struct pairs *p, struct pair *q, bool direct, struct sim_node *a, struct sim_node *b)
{
	/* Who has just started has yet to find the others; but what it has heard of one, it knows. */
	bool found = sim_way_awake(a) && sim_way_awake(b);

	q->met = q->met || found || (has_prefixes(a, b) && has_prefixes(b, a));
	if (q->met) {
		check_owners(p, q, direct, a, b);
		check_claims(p, q, direct, a, b);
		check_routable(p, &q->lost[0], direct, a, b);
		check_routable(p, &q->lost[1], direct, b, a);
	}
	if (!direct)
		q->mismatch = 0;
	else if (found && !p->s->cfg.no_crypto)
		check_keys(p, q, a, b);
}

void pairs_second(struct pairs *p)
{
	struct sim *s = p->s;

	for (unsigned i = 0; i < s->cfg.nodes; i++)
		if (s->nodes[i]->running)
			gather(p, s->nodes[i]);
	for (size_t i = 0; i < p->count && !s->failed; i++) {
		struct pair *q = &p->v[i];
		struct sim_node *a = s->nodes[q->a], *b = s->nodes[q->b];
		bool well = sim_way_well(a) && sim_way_well(b), direct = well && open_to(s, a, b);

		if (direct || (well && open_by_others(s, a, b)))
			look(p, q, direct, a, b);
		else
			*q = (struct pair){.a = q->a, .b = q->b};
	}
}
