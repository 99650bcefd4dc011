/* path_route.c - which way is used: leaving a dead one, returning to the direct one, changing from
 * relay to relay (DESIGN 7.7).
 *
 * Direct, if it works; else the cheapest of what candidates answered. What keeps it from flapping:
 * the direct way must answer DIRECT_GOOD rounds in a row (one, while nothing else works), and is tried
 * again with a back-off that doubles each time it fails, also when it fails soon after it was taken
 * back; a working relay is left for another only if that is clearly cheaper, not within ROUTE_HOLD, and
 * not on its word: a probe through the other way must have come back, as soon as was promised; one that
 * failed is passed over for a while.
 *
 * All of it, dead ways included, happens only while there is data: an idle link stays as it is. */
#include "path_int.h"

#include <assert.h>
#include <string.h>

/* A relay's own work and the risk of one more node. */
#define HOP_US       500
#define DIRECT_TRIES 3 /* rounds without an answer: the attempt has failed */

bool route_ok(const struct path *p, const struct path_route *r, const struct path_label *dst)
{
	if (r->n > PATH_RELAYS_MAX)
		return false;
	for (unsigned i = 0; i < r->n; i++) {
		if (path_label_eq(&r->label[i], &p->label) || path_label_eq(&r->label[i], dst))
			return false;
		for (unsigned k = 0; k < i; k++) {
			if (path_label_eq(&r->label[i], &r->label[k]))
				return false;
		}
	}
	return true;
}

static bool route_eq(const struct path_route *a, const struct path_route *b)
{
	return a->n == b->n && memcmp(a->label, b->label, a->n * sizeof(a->label[0])) == 0;
}

void route_use(struct path *p, struct peer *pr, const struct path_route *route, ts_t now)
{
	const unsigned way = route->n ? 1 : 0;

	assert(route_ok(p, route, &pr->label));
	pr->route = *route;
	pr->route_void = false;
	pr->since = now;
	pr->switches++;
	live_forget(p, pr, way);
	if (way)
		pr->cost[1] = (struct cost){0};
	plpmtu_stop(&pr->mtu[!way]);
	plpmtu_start(&pr->mtu[way], p->cfg.mtu, now);
	peer_dirty(p, pr, DIRTY_USE);
	peer_state(p, pr, way ? PATH_ST_RELAYED : PATH_ST_DIRECT);
	peer_touch(p, pr);
	/* Only who is reached directly can be a relay of ours. */
	if (way)
		route_relay_gone(p, pr, now);
}

bool route_of(struct path *p, const struct peer *pr, const struct asked *a, struct path_route *out)
{
	const struct peer *relay = peer_get(p, &a->relay);

	if (a->state != ASKED_OK || !relay || !relay->linked || relay->route.n > 0)
		return false;
	memset(out, 0, sizeof(*out));
	out->n = (uint8_t)(1 + a->n);
	out->first = relay->key;
	out->label[0] = relay->label;
	for (unsigned i = 0; i < a->n; i++)
		out->label[1 + i] = a->rest[i];
	return route_ok(p, out, &pr->label);
}

/* us: our leg, what the relay answered, and something per relay. */
static uint32_t asked_cost(const struct path *p, const struct asked *a)
{
	const struct peer *relay = peer_get(p, &a->relay);
	uint32_t leg = relay && relay->cost[0].known ? cost_us(&relay->cost[0]) : a->leg_us;

	return leg + a->cost_us + HOP_US * (1u + a->n);
}

/* The cheapest answer; NULL: none. *@current: that of the route in use, if it answered. */
static const struct asked *cheapest(struct path *p, struct peer *pr, const struct asked **current)
{
	const struct asked *best = NULL;
	struct path_route r;

	*current = NULL;
	for (unsigned i = 0; i < pr->search->n; i++) {
		const struct asked *a = &pr->search->v[i];

		if (!route_of(p, pr, a, &r))
			continue;
		if (pr->route.n > 0 && route_eq(&r, &pr->route))
			*current = a;
		if (!best || asked_cost(p, a) < asked_cost(p, best))
			best = a;
	}
	return best;
}

static bool clearly_less(uint64_t cost, uint64_t than)
{
	return cost * 100 < than * ROUTE_BETTER_PCT && cost + ROUTE_BETTER_US < than;
}

/* Is @best worth leaving a relay that works? What that one costs we have measured, whatever it says. */
static bool worth(const struct path *p, const struct peer *pr, const struct asked *best,
	const struct asked *current, ts_t now)
{
	if (ts_before(now, ts_add(pr->since, ROUTE_HOLD)) || best == current)
		return false;
	if (pr->cost[1].known)
		return clearly_less(asked_cost(p, best), cost_us(&pr->cost[1]));
	return current && clearly_less(asked_cost(p, best), asked_cost(p, current));
}

void route_relay_bad(struct path *p, struct peer *pr, const struct path_label *relay, ts_t now)
{
	unsigned i = 0;

	while (i < BADS_MAX - 1 && !path_label_eq(&pr->bad[i].relay, relay))
		i++;
	memmove(&pr->bad[1], &pr->bad[0], i * sizeof(pr->bad[0]));
	pr->bad[0] = (struct bad_relay){*relay, true, ts_add(now, p->cfg.tune.relay_bad)};
	p->stats.relays_bad++;
	peer_dirty(p, pr, DIRTY_RELAY_BAD);
}

bool route_relay_is_bad(const struct peer *pr, const struct path_label *relay, ts_t now)
{
	for (unsigned i = 0; i < BADS_MAX; i++) {
		if (!ts_due(pr->bad[i].until, now) && path_label_eq(&pr->bad[i].relay, relay))
			return true;
	}
	return false;
}

static void relay_forgive(struct peer *pr, const struct path_label *relay)
{
	for (unsigned i = 0; i < BADS_MAX; i++) {
		if (path_label_eq(&pr->bad[i].relay, relay))
			pr->bad[i].until = TS_ZERO;
	}
}

bool route_usable(struct path *p, const struct peer *pr, const struct path_route *r)
{
	struct peer *first = r->n ? peer_get(p, &r->first) : NULL;

	return r->n == 0 ||
	       (route_ok(p, r, &pr->label) && first && first->linked && first->route.n == 0 &&
		       path_label_eq(&first->label, &r->label[0]));
}

/* The search is over, and the relay in use stays. */
static void keep_relay(struct path *p, struct peer *pr, ts_t now)
{
	ask_stop(p, pr);
	pr->search_at = ts_add(now, p->cfg.tune.relay_refresh);
}

/* --- a better way is offered --- */

/* Send a probe by it, before anything else goes there. */
static void offer_try(struct path *p, struct peer *pr, ts_t now)
{
	struct search *s = pr->search;
	uint64_t token = probe_token(p, PROBE_OFFER, 0, 0, &s->offer_probe.id);

	s->offer_probe.at = now;
	s->offer_tries++;
	/* No longer than what is in use takes: slower is none that we want. */
	s->until = ts_add(now, live_wait(p, &pr->cost[1]));
	(void)probe_send(p, pr, &s->offer, NULL, 0, token, 0, now);
	peer_touch(p, pr);
}

static void offer_take(struct path *p, struct peer *pr, int64_t us, ts_t now)
{
	const struct path_route r = pr->search->offer;

	ask_stop(p, pr);
	pr->search_backoff = DUR_NS(0);
	pr->search_depth = 0;
	pr->search_at = ts_add(now, prng_jitter(&p->prng, p->cfg.tune.relay_refresh, 20));
	p->stats.reroutes++;
	route_use(p, pr, &r, now);
	cost_rtt(&pr->cost[1], DUR_US(us), now);
}

bool route_offer_good(struct path *p, struct peer *pr, uint32_t id, ts_t now)
{
	struct search *s = pr->search;
	int64_t us;

	if (!s || s->offer.n == 0 || s->offer_probe.id != id)
		return false;
	us = ts_sub(now, s->offer_probe.at).ns / 1000;
	s->offer_probe.id = 0;
	/* Whatever it costs, if what was in use has died meanwhile. */
	if (pr->route.n > 0 && route_usable(p, pr, &s->offer) &&
		(pr->state == PATH_ST_LOST || clearly_less((uint64_t)us, cost_us(&pr->cost[1])))) {
		offer_take(p, pr, us, now);
		return true;
	}
	if (us > 2 * (int64_t)s->offer_us + ROUTE_BETTER_US)
		route_relay_bad(p, pr, &s->offer.label[0], now);
	keep_relay(p, pr, now);
	return true;
}

/* No answer in time. False: there is no more to be done about this offer, nor was there one. */
static bool offer_failed(struct path *p, struct peer *pr, ts_t now)
{
	struct search *s = pr->search;

	if (s->offer.n == 0)
		return false;
	if (s->offer_tries < LIVE_TRIES && pr->state == PATH_ST_RELAYED) {
		offer_try(p, pr, now);
		return true;
	}
	for (unsigned i = 0; i < s->n; i++) {
		if (node_key_eq(&s->v[i].relay, &s->offer.first))
			s->v[i].state = ASKED_NO;
	}
	if (s->offer_tries == LIVE_TRIES)
		route_relay_bad(p, pr, &s->offer.label[0], now);
	s->offer.n = 0;
	if (pr->state != PATH_ST_RELAYED || pr->live[1].suspect)
		return false;
	keep_relay(p, pr, now);
	return true;
}

/* --- searches end --- */

/* Nothing was found: again later, more slowly once all links were asked at every depth. */
static void search_failed(struct path *p, struct peer *pr, ts_t now)
{
	const bool round = pr->ask_done == 0; /* every link was asked */

	ask_stop(p, pr);
	if (!round) {
		pr->search_at = now;
	} else if (pr->search_depth < pr->depth_max) {
		pr->search_depth++;
		pr->search_at = now;
	} else {
		/* Nobody else has a way: those that failed are asked again. */
		for (unsigned i = 0; i < BADS_MAX; i++)
			pr->bad[i].until = TS_ZERO;
		if (pr->search_backoff.ns == 0)
			pr->search_backoff = SEARCH_RETRY;
		pr->search_at = ts_add(now, prng_jitter(&p->prng, pr->search_backoff, 20));
		pr->search_backoff.ns *= 2;
		if (pr->search_backoff.ns > SEARCH_RETRY_MAX.ns)
			pr->search_backoff = SEARCH_RETRY_MAX;
	}
}

void route_found(struct path *p, struct peer *pr, ts_t now)
{
	const unsigned way = peer_way(pr);
	const struct asked *current, *best;
	struct path_route r;

	if (offer_failed(p, pr, now))
		return;
	best = cheapest(p, pr, &current);
	if (!best) {
		if (pr->state == PATH_ST_RELAYED && !pr->live[1].suspect)
			keep_relay(p, pr, now);
		else
			search_failed(p, pr, now);
		return;
	}
	if (pr->linked && pr->state != PATH_ST_LOST && pr->live[way].suspect) {
		pr->search->until = TS_NEVER; /* kept for the verdict */
		return;
	}
	if (pr->state == PATH_ST_DIRECT ||
		(pr->state == PATH_ST_RELAYED && !worth(p, pr, best, current, now))) {
		ask_stop(p, pr);
		pr->search_at = pr->route.n ? ts_add(now, p->cfg.tune.relay_refresh) : TS_NEVER;
		return;
	}
	if (!route_of(p, pr, best, &r))
		assert(!"cheapest() looked at it");
	if (pr->state == PATH_ST_RELAYED) {
		pr->search->offer = r;
		pr->search->offer_us = asked_cost(p, best);
		pr->search->offer_tries = 0;
		offer_try(p, pr, now);
		return;
	}
	p->stats.reroutes += pr->route.n > 0;
	ask_stop(p, pr);
	pr->search_backoff = DUR_NS(0);
	pr->search_depth = 0;
	pr->search_at = ts_add(now, prng_jitter(&p->prng, p->cfg.tune.relay_refresh, 20));
	if (pr->linked) {
		route_use(p, pr, &r, now);
	} else {
		pr->route = r;
		ep_connect_relayed(p, pr, now);
	}
}

void route_prepare(struct path *p, struct peer *pr, ts_t now)
{
	if (!pr->search && ts_is_never(pr->search_at)) {
		pr->search_depth = 0;
		ask_start(p, pr, 0, now);
	}
}

void route_alive(struct path *p, struct peer *pr, unsigned way)
{
	if (way != peer_way(pr) || !pr->linked || pr->route_void)
		return;
	/* Given up too soon: the other side had not left its dead way yet, and so did not answer. */
	if (way == 1)
		relay_forgive(pr, &pr->route.label[0]);
	if (pr->state == PATH_ST_LOST)
		peer_state(p, pr, way ? PATH_ST_RELAYED : PATH_ST_DIRECT);
	if (way == 0 || (pr->search && ts_is_never(pr->search->until))) {
		ask_stop(p, pr);
		pr->search_at = way ? ts_add(p->now, p->cfg.tune.relay_refresh) : TS_NEVER;
		pr->search_depth = 0;
		pr->search_backoff = DUR_NS(0);
	}
}

void route_dead(struct path *p, struct peer *pr, ts_t now)
{
	const struct path_tune *t = &p->cfg.tune;
	const bool worked = pr->state != PATH_ST_LOST;

	p->stats.deaths += worked;
	peer_state(p, pr, PATH_ST_LOST);
	ask_measured(p, pr, now);
	if (pr->route.n > 0) {
		route_relay_bad(p, pr, &pr->route.label[0], now);
		pr->direct_at = ts_min(pr->direct_at, now);
	} else {
		if (!ts_before(now, ts_add(pr->since, t->steady)))
			pr->direct_backoff = t->direct_retry_min;
		else if (pr->direct_left.ns)
			pr->direct_backoff.ns *= 2;
		if (pr->direct_backoff.ns > t->direct_retry_max.ns)
			pr->direct_backoff = t->direct_retry_max;
		pr->direct_left = now;
		pr->direct_tries = 0;
		pr->direct_at = ts_add(now, prng_jitter(&p->prng, pr->direct_backoff, 10));
	}
	if (pr->search) {
		/* Begun at the second lost probe: perhaps it is done. */
		if (ts_is_never(pr->search->until))
			route_found(p, pr, now);
	} else if (worked || ts_is_never(pr->search_at) || pr->search_depth == 0) {
		/* What is set was set for a way that worked, or for the pauses between searches in vain
		 * before it did. */
		pr->search_depth = 0;
		ask_start(p, pr, 0, now);
	}
	peer_touch(p, pr);
}

void route_relay_gone(struct path *p, const struct peer *relay, ts_t now)
{
	struct list *n, *t;

	list_each(&p->links, n, t)
	{
		struct peer *pr = list_entry(n, struct peer, links);

		if (pr->route.n > 0 && path_label_eq(&pr->route.label[0], &relay->label)) {
			pr->route_void = true;
			/* As if it had data, once: an idle link would wait for some to lose. */
			pr->data_at = now;
			route_dead(p, pr, now);
		}
	}
}

/* --- back to the direct way --- */

void route_cand_good(struct path *p, struct peer *pr, struct cand *c, ts_t now)
{
	if (c->good < DIRECT_GOOD)
		c->good++;
	/* A way that works now and then is better than none. */
	if (pr->route.n == 0 || (pr->state != PATH_ST_LOST && c->good < DIRECT_GOOD))
		return;
	for (unsigned i = 0; i < pr->ncand; i++)
		pr->cand[i].good = 0;
	pr->ep = c->ep;
	pr->direct_at = TS_NEVER;
	pr->direct_tries = 0;
	ask_stop(p, pr);
	pr->search_at = TS_NEVER;
	p->stats.returns++;
	route_use(p, pr, &path_direct, now);
}

/* One round: a probe to each endpoint that the peer may have. */
static void direct_round(struct path *p, struct peer *pr, ts_t now)
{
	dur_t wait = live_wait(p, &pr->cost[1]);
	unsigned probed = 0;
	bool good = false;

	for (unsigned i = 0; i < pr->ncand; i++) {
		struct cand *c = &pr->cand[i];

		if (c->probe.id)
			c->good = 0; /* the last round's was not answered */
		good |= c->good > 0;
	}
	if (!good && pr->direct_tries == DIRECT_TRIES) {
		pr->direct_backoff.ns *= 2;
		if (pr->direct_backoff.ns > p->cfg.tune.direct_retry_max.ns)
			pr->direct_backoff = p->cfg.tune.direct_retry_max;
		pr->direct_at = ts_add(now, prng_jitter(&p->prng, pr->direct_backoff, 10));
		pr->direct_tries = 0;
		pr->obeyed = false;
		return;
	}
	/* A NAT or firewall in front of it may let us in once it has sent here itself. */
	if (pr->direct_tries == 0 && !pr->obeyed)
		ep_open_both(p, pr, now);
	pr->direct_tries = good ? 1 : (uint8_t)(pr->direct_tries + 1);
	for (unsigned i = 0; i < pr->ncand && probed < CANDS_PROBED; i++) {
		struct cand *c = &pr->cand[i];

		if (!ep_usable(p, &c->ep))
			continue;
		uint64_t token = probe_token(p, PROBE_CAND, (uint8_t)i, 0, &c->probe.id);
		c->probe.at = now;
		probed++;
		if (!probe_send(p, pr, &path_direct, &c->ep, 0, token, 0, now))
			break;
	}
	pr->direct_at = ts_add(now, wait.ns < DUR_MS(200).ns ? DUR_MS(200) : wait);
}

void route_tick(struct path *p, struct peer *pr, ts_t now)
{
	if (pr->linked && pr->route.n > 0 && ts_due(pr->direct_at, now) && peer_in_use(pr, now))
		direct_round(p, pr, now);
	if (!ts_due(pr->search_at, now) || pr->search)
		return;
	if (!peer_in_use(pr, now) && pr->state != PATH_ST_CONNECTING)
		return;
	pr->search_at = TS_NEVER;
	ask_start(p, pr, pr->search_depth, now);
}

ts_t route_deadline(const struct path *p, const struct peer *pr, ts_t now)
{
	ts_t t = TS_NEVER;

	if (peer_in_use(pr, now) && pr->linked && pr->route.n > 0)
		t = pr->direct_at;
	if (!pr->search && (peer_in_use(pr, now) || pr->state == PATH_ST_CONNECTING))
		t = ts_min(t, pr->search_at);
	return t;
}
