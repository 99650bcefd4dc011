/* link_exit.c - exits that BGP makes of this node, and aggregates of them for the cluster's nodes.
 *
 *	told	while a neighbour's route is told to nodes or to a link, its packets may leave here: an exit in the
 *		data plane, for those who were told
 *	parts	bgp.nodes.aggregates: while a neighbour's route (a part) lies inside one, nodes are told of the
 *		aggregate, and each part is an exit. No more than that: what lies between the parts goes nowhere
 *		(`bad_destination`), so that it never meets the host's default route and comes back
 *
 * What another gateway of ours tells of the same prefix, or aggregate, may come from there (lbgp_route.from).
 * Bounds: LIM_BGP_PEER_PREFIXES exits, CONF_LIST_MAX aggregates. Failure: an exit that finds no memory is told. */
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_svc.h"
#include "link_svc.h"

struct exit {
	struct pfx pfx;
	uint8_t from, to; /* as lbgp_route has them */
	bool part;        /* of an aggregate */
	bool set;         /* the data plane has it */
};

struct aggregate {
	struct pfx pfx;
	size_t parts;
	uint8_t from; /* who tells of it, too */
};

struct exits {
	struct map *map; /* packed prefix to struct exit, owned */
	struct aggregate v[CONF_LIST_MAX];
	size_t n;
};

int link_exit_open(struct daemon *d)
{
	struct exits *x = calloc(1, sizeof(*x));
	uint8_t seed[16];

	if (!x)
		return ERR_NOMEM;
	for (size_t i = 0; i < sizeof(seed); i++)
		seed[i] = (uint8_t)prng_next(&d->prng);
	x->map = map_new(PFX_KEY, LIM_BGP_PEER_PREFIXES, seed);
	if (!x->map) {
		free(x);
		return ERR_NOMEM;
	}
	d->link->exits = x;
	return 0;
}

void link_exit_close(struct daemon *d)
{
	struct exits *x = d->link->exits;
	const void *key;
	void *value;
	size_t it = 0;

	if (!x)
		return;
	while (map_next(x->map, &it, &key, &value))
		free(value);
	map_free(x->map);
	free(x);
	d->link->exits = NULL;
}

/* What the configuration says is an exit of this node's own is none of ours, nor what leads to another's. */
static bool is_taken(const struct daemon *d, const struct pfx *p)
{
	for (size_t i = 0; i < d->conf->nexits; i++)
		if (pfx_eq(&d->conf->exits[i], p))
			return true;
	return rtab_exit_declared(d, VNI_DEFAULT, p);
}

static uint8_t aggregate_from(const struct exits *x, const struct pfx *p)
{
	uint8_t from = 0;

	for (size_t i = 0; i < x->n; i++)
		if (pfx_contains(&x->v[i].pfx, p))
			from |= x->v[i].from;
	return from;
}

/* The data plane hears of @e as it is now; it is gone if it is none any more. */
static void apply(struct daemon *d, struct exit *e)
{
	struct exits *x = d->link->exits;
	uint8_t to = e->to | (e->part ? LBGP_OURS : 0), key[PFX_KEY];
	uint8_t from = e->from | (e->part ? aggregate_from(x, &e->pfx) : 0);

	if (to && (e->set || !is_taken(d, &e->pfx))) {
		e->set = dp_route_cross(d->dp, VNI_DEFAULT, &e->pfx, DP_ROUTE_EXIT, 0, from, to) ==
			 0;
		if (!e->set)
			daemon_warn(d, "not all that neighbours told is an exit: no memory");
	} else if (!to && e->set) {
		(void)dp_route_del(d->dp, VNI_DEFAULT, &e->pfx);
		e->set = false;
	}
	if (to)
		return;
	pfx_key(&e->pfx, key);
	(void)map_del(x->map, key);
	free(e);
}

static struct exit *find(struct daemon *d, const struct pfx *p, bool make)
{
	struct exits *x = d->link->exits;
	uint8_t key[PFX_KEY];
	struct exit *e;

	pfx_key(p, key);
	e = map_get(x->map, key);
	if (e || !make)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e || map_put(x->map, key, e) != 0) {
		free(e);
		daemon_warn(d, "not all that neighbours told is an exit: no room");
		return NULL;
	}
	e->pfx = *p;
	return e;
}

void link_exit_again(struct daemon *d)
{
	struct exits *x = d->link ? d->link->exits : NULL;
	const void *key;
	void *value;
	size_t it = 0;

	while (x && map_next(x->map, &it, &key, &value))
		apply(d, value);
}

void link_exit_freed(struct daemon *d, const struct pfx *p)
{
	struct exit *e = d->link && d->link->exits ? find(d, p, false) : NULL;

	if (!e)
		return;
	e->set = false; /* whatever the data plane has there is another's */
	apply(d, e);
}

void link_exit_route(struct daemon *d, const struct lbgp_route *r)
{
	struct exits *x = d->link->exits;
	uint8_t to = r->offered ? r->to : 0;
	struct exit *e;

	for (size_t i = 0; i < x->n; i++) {
		uint8_t from = r->offered ? r->from : 0;

		if (!pfx_eq(&x->v[i].pfx, &r->pfx))
			continue;
		if (x->v[i].from != from) {
			x->v[i].from = from;
			link_exit_again(d);
		}
		return; /* the parts are exits, the whole is none */
	}
	e = find(d, &r->pfx, to != 0);
	if (!e)
		return;
	e->to = to;
	e->from = r->offered ? r->from : 0;
	apply(d, e);
}

/* --- aggregates --- */

bool link_exit_is_aggregate(const struct daemon *d, const struct pfx *p)
{
	const struct exits *x = d->link->exits;

	for (size_t i = 0; i < x->n; i++)
		if (pfx_eq(&x->v[i].pfx, p))
			return true;
	return false;
}

static void offer(struct daemon *d, const struct aggregate *a, bool on)
{
	if (lbgp_offer_aggregate(d->link->lbgp, &a->pfx, on, loop_now()) != 0)
		daemon_warn(d, "not all aggregates are told to nodes: no room");
}

void link_exit_part(struct daemon *d, const struct pfx *p, bool on)
{
	struct exits *x = d->link->exits;
	struct exit *e;
	bool in = false;

	for (size_t i = 0; i < x->n && !in; i++)
		in = pfx_contains(&x->v[i].pfx, p);
	e = find(d, p, on && in);
	if (!e || e->part == (on && in))
		return;
	e->part = on && in;
	for (size_t i = 0; i < x->n; i++) {
		struct aggregate *a = &x->v[i];

		if (!pfx_contains(&a->pfx, p))
			continue;
		a->parts += e->part ? 1 : (size_t)-1;
		if (a->parts == (e->part ? 1 : 0))
			offer(d, a, e->part);
	}
	apply(d, e);
}

void link_exit_offer(struct daemon *d)
{
	const struct exits *x = d->link->exits;

	for (size_t i = 0; i < x->n; i++)
		offer(d, &x->v[i], x->v[i].parts > 0);
}

static bool same_aggregates(const struct exits *x, const struct conf_bgp_prefixes *c)
{
	if (x->n != c->n)
		return false;
	for (size_t i = 0; i < c->n; i++)
		if (!pfx_eq(&x->v[i].pfx, &c->v[i]))
			return false;
	return true;
}

void link_exit_aggregates(struct daemon *d)
{
	const struct conf_bgp_prefixes *c = &bgp_svc_conf(d->bgp)->nodes.aggregates;
	struct exits *x = d->link->exits;
	const void *key;
	void *value;
	size_t it = 0;

	if (same_aggregates(x, c))
		return;
	while (map_next(x->map, &it, &key, &value)) {
		struct exit *e = value;

		e->part = false; /* found again when all routes are looked at */
		apply(d, e);
	}
	for (size_t i = 0; i < x->n; i++)
		offer(d, &x->v[i], false);
	x->n = 0;
	for (size_t i = 0; i < c->n && i < CONF_LIST_MAX; i++)
		x->v[x->n++] = (struct aggregate){.pfx = c->v[i]};
}

void link_exit_closed(struct daemon *d)
{
	struct exits *x = d->link->exits;
	const void *key;
	void *value;
	size_t it = 0;

	for (size_t i = 0; x && i < x->n; i++)
		x->v[i].from = 0;
	while (x && map_next(x->map, &it, &key, &value)) {
		struct exit *e = value;

		e->to = e->from = 0;
		apply(d, e);
	}
}
