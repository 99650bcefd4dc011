/* path_ask.c - relays: asking candidates for a way to a target, and answering those who ask us.
 *
 * Asking: a few of the nodes that we have a working direct link with and that relay, in turn, from a
 * random one on; first those that have a way already (depth 0), and when all links were asked in
 * vain, again with one and then two further relays allowed, which makes candidates look for a way
 * themselves ("later"). A route has at most PATH_RELAYS_MAX relays.
 *
 * Answering: never from belief. A cost that was not measured just now is measured first, while the
 * ask waits in a bounded table; so nobody is sent to a relay that lost the target as well.
 *
 * The one that answers is bound by its word only as far as the own probes through it: a relay that
 * lies about its cost is found by liveness, one that lies about a route by the relays' own checks. */
#include "path_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Was its way measured just now? */
static bool fresh(const struct peer *t, ts_t now)
{
	const struct cost *c = &t->cost[peer_way(t)];

	return c->known && !t->live[peer_way(t)].suspect &&
	       ts_before(now, ts_add(c->at, COST_FRESH));
}

/* A link that was left relayed or lost when its data ended stays so, however long ago that was. Now
 * its direct way would be of use to somebody: it is tried, as with data, but not all the time. */
void ask_wake(struct path *p, struct peer *x, ts_t now)
{
	if (ts_before(now, ts_add(x->woken, WAKE_MIN)))
		return;
	x->woken = x->data_at = now;
	if (x->route.n == 0) {
		live_check(p, x, 0, now);
		live_tick(p, x, now);
	} else {
		x->direct_at = ts_min(x->direct_at, now);
	}
	peer_touch(p, x);
}

/* --- asking --- */

static bool may_ask(const struct peer *target, const struct peer *x, ts_t now)
{
	return x != target && x->linked && x->relays && x->state == PATH_ST_DIRECT &&
	       x->live[0].tries < 2 && !route_relay_is_bad(target, &x->label, now);
}

static void ask_one(struct path *p, const struct peer *target, struct asked *a, ts_t now)
{
	struct path_ask m = {
		.id = target->search->id, .depth = target->search->depth, .target = target->key};
	struct peer *relay = peer_get(p, &a->relay);
	uint8_t buf[PATH_MSG_MAX];
	struct wr w;

	if (!relay || !may_ask(target, relay, now)) {
		a->state = ASKED_NO;
		return;
	}
	a->state = ASKED_WAITING;
	wr_init(&w, buf, sizeof(buf));
	path_ask_encode(&w, &m);
	peer_send(p, relay, NULL, NULL, 0, &w, 0);
	p->stats.asks_tx++;
	/* Our leg is a part of the cost. */
	if (!fresh(relay, now)) {
		live_check(p, relay, 0, now);
		live_tick(p, relay, now);
	}
}

static void add_candidate(struct search *s, const struct peer *x)
{
	for (unsigned i = 0; i < s->n; i++) {
		if (node_key_eq(&s->v[i].relay, &x->key))
			return;
	}
	if (s->n < LIM_PATH_CANDIDATES)
		s->v[s->n++] = (struct asked){.relay = x->key};
}

/* The next few links in turn. */
static void pick(struct path *p, struct peer *pr, struct search *s, ts_t now)
{
	const unsigned links = (unsigned)p->stats.links;
	struct list *n = p->links.next;

	if (pr->ask_done == 0 && links)
		pr->ask_from = (unsigned)prng_below(&p->prng, links);
	if (pr->ask_done >= links) {
		pr->ask_done = 0;
		return;
	}
	for (unsigned i = (pr->ask_from + pr->ask_done) % links; i > 0; i--)
		n = n->next;
	while (pr->ask_done < links && s->n < LIM_PATH_CANDIDATES) {
		struct peer *x = list_entry(n, struct peer, links);

		if (may_ask(pr, x, now))
			add_candidate(s, x);
		else if (x != pr && x->relays)
			ask_wake(p, x, now);
		pr->ask_done++;
		n = n->next == &p->links ? p->links.next : n->next;
	}
	if (pr->ask_done == links)
		pr->ask_done = 0; /* that was the last of the turn */
}

/* How long all those asked may take. */
static dur_t answers_wait(const struct path *p, const struct search *s)
{
	dur_t longest = ASK_WAIT;

	for (unsigned i = 0; i < s->n; i++) {
		const struct peer *x = peer_get(p, &s->v[i].relay);
		dur_t w = x ? DUR_NS(live_wait(p, &x->cost[0]).ns + ASK_CHECK.ns) : ASK_WAIT;

		if (w.ns > longest.ns)
			longest = w;
	}
	return longest;
}

void ask_start(struct path *p, struct peer *pr, uint8_t depth, ts_t now)
{
	struct search *s;

	if (pr->search)
		return;
	if (p->searches == LIM_PATH_SEARCHES || !(s = calloc(1, sizeof(*s)))) {
		pr->search_at = ts_add(now, prng_jitter(&p->prng, SEARCH_RETRY, 20));
		return;
	}
	p->searches++;
	pr->search = s;
	pr->search_at = TS_NEVER;
	s->id = (uint32_t)prng_next(&p->prng);
	s->depth = depth;
	s->asked_at = now;
	if (pr->route.n > 0 && pr->linked) {
		const struct peer *current = peer_get(p, &pr->route.first);

		if (current && may_ask(pr, current, now))
			add_candidate(s, current);
	}
	pick(p, pr, s, now);
	for (unsigned i = 0; i < s->n; i++)
		ask_one(p, pr, &s->v[i], now);
	s->until = s->n ? ts_add(now, answers_wait(p, s)) : now;
	peer_touch(p, pr);
}

void ask_stop(struct path *p, struct peer *pr)
{
	if (!pr->search)
		return;
	free(pr->search);
	pr->search = NULL;
	p->searches--;
}

static unsigned count(const struct search *s, int state)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->n; i++)
		n += (int)s->v[i].state == state;
	return n;
}

void ask_tick(struct path *p, struct peer *pr, ts_t now)
{
	struct search *s = pr->search;

	if (!s || !ts_due(s->until, now))
		return;
	if (s->offer.n == 0 && count(s, ASKED_OK) == 0 && count(s, ASKED_LATER) > 0 &&
		s->laters < ASK_LATER_MAX) {
		s->laters++;
		for (unsigned i = 0; i < s->n; i++) {
			if (s->v[i].state == ASKED_LATER)
				ask_one(p, pr, &s->v[i], now);
		}
		s->asked_at = now;
		s->until = ts_add(now, ASK_AGAIN);
		return;
	}
	route_found(p, pr, now);
}

int ask_on_answer(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now)
{
	struct asked *a = NULL;
	struct path_route route;
	struct path_answer m;
	int err = path_answer_decode(r, &m);

	(void)from;
	if (err < 0)
		return err;
	struct peer *target = peer_by_label(p, &m.target);
	struct search *s = target ? target->search : NULL;
	if (!s || s->id != m.id)
		return ERR_STALE;
	for (unsigned i = 0; i < s->n; i++) {
		if (node_key_eq(&s->v[i].relay, &pr->key))
			a = &s->v[i];
	}
	if (!a || a->state != ASKED_WAITING || s->offer.n > 0)
		return ERR_STALE;
	p->stats.answers_rx++;
	a->state = m.verdict == PATH_ANSWER_OK      ? ASKED_OK
		   : m.verdict == PATH_ANSWER_LATER ? ASKED_LATER
						    : ASKED_NO;
	if (a->state == ASKED_OK) {
		int64_t us = ts_sub(now, s->asked_at).ns / 1000;

		a->cost_us = m.cost_us;
		a->leg_us = us > PATH_COST_MAX ? PATH_COST_MAX : (uint32_t)us;
		a->n = m.n;
		memcpy(a->rest, m.rest, sizeof(a->rest));
	}
	/* A way that leads in circles is none, and no reason to wait less for others. */
	if (a->state == ASKED_OK && !route_of(p, target, a, &route)) {
		a->state = ASKED_NO;
		route_relay_bad(p, target, &pr->label, now);
	} else if (a->state == ASKED_OK) {
		ts_t soon = ts_add(now, ts_sub(now, s->asked_at));

		/* Whoever takes twice as long is no better; and the traffic waits. */
		if (target->state != PATH_ST_RELAYED && !ts_is_never(s->until))
			s->until = ts_min(s->until, soon);
	}
	if (count(s, ASKED_WAITING) == 0 && count(s, ASKED_LATER) == 0 && !ts_is_never(s->until))
		route_found(p, target, now);
	peer_touch(p, target);
	return 0;
}

/* --- answering --- */

static void answer(struct path *p, struct peer *asker, uint32_t id, const struct node_key *target,
	enum path_verdict verdict)
{
	struct path_answer m = {
		.id = id, .target = path_label_of(target), .verdict = (uint8_t)verdict};
	uint8_t buf[PATH_MSG_MAX];
	struct wr w;

	if (verdict == PATH_ANSWER_OK) {
		const struct peer *t = peer_get(p, target);

		assert(t->route.n <= PATH_REST_MAX);
		m.cost_us = cost_us(&t->cost[peer_way(t)]);
		m.n = t->route.n;
		for (unsigned i = 0; i < m.n; i++)
			m.rest[i] = t->route.label[i];
	}
	wr_init(&w, buf, sizeof(buf));
	path_answer_encode(&w, &m);
	peer_send(p, asker, NULL, NULL, 0, &w, 0);
	p->stats.answers_tx++;
}

/* May our way to @t be told to @asker, who allows @depth relays behind us? */
static bool may_tell(const struct peer *t, const struct peer *asker, uint8_t depth)
{
	if (!t->linked || t->state == PATH_ST_LOST || t->route.n > depth)
		return false;
	for (unsigned i = 0; i < t->route.n; i++) {
		if (path_label_eq(&t->route.label[i], &asker->label))
			return false;
	}
	return true;
}

/* When the first of those that wait is given up, anew; each change of the table ends with it. */
static void pending_rearm(struct path *p)
{
	p->pending_at = TS_NEVER;
	for (unsigned i = 0; p->npending && i < LIM_PATH_PENDING; i++) {
		if (p->pending[i].used)
			p->pending_at = ts_min(p->pending_at, p->pending[i].until);
	}
}

static bool pend(struct path *p, const struct peer *asker, const struct path_ask *m, ts_t now)
{
	for (unsigned i = 0; i < LIM_PATH_PENDING; i++) {
		struct pending *e = &p->pending[i];

		if (e->used)
			continue;
		*e = (struct pending){.used = true,
			.id = m->id,
			.depth = m->depth,
			.asker = asker->key,
			.target = m->target,
			.until = ts_add(now, ASK_CHECK)};
		p->npending++;
		p->pending_at = ts_min(p->pending_at, e->until);
		return true;
	}
	return false;
}

/* @x would have to be reached better for an OK: it is tried, and whoever asks may ask again soon. */
static void answer_waking(
	struct path *p, struct peer *asker, const struct path_ask *m, struct peer *x, ts_t now)
{
	ask_wake(p, x, now);
	answer(p, asker, m->id, &m->target,
		ts_before(now, ts_add(x->woken, WAKE_WAIT)) ? PATH_ANSWER_LATER : PATH_ANSWER_NONE);
}

int ask_on_ask(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now)
{
	struct path_ask m;
	int err = path_ask_decode(r, &m);

	(void)from;
	if (err < 0)
		return err;
	if (node_key_eq(&m.target, &p->cfg.self) || node_key_eq(&m.target, &pr->key))
		return ERR_MALFORMED;
	if (!second_take(&pr->asks_since, &pr->asks, LIM_PATH_ASKS_PER_SEC, now))
		return ERR_LIMIT;
	p->stats.asks_rx++;
	if (!p->cfg.relay) {
		answer(p, pr, m.id, &m.target, PATH_ANSWER_REFUSED);
		return ERR_REFUSED;
	}
	struct peer *t = peer_get(p, &m.target);
	if (pr->route.n > 0) {
		/* What comes back for who asks takes the same relays, and none passes anything to the next
		 * by others: it reaches us directly, but not we it. */
		answer_waking(p, pr, &m, pr, now);
	} else if (t && t->linked) {
		if (may_tell(t, pr, m.depth) && fresh(t, now)) {
			answer(p, pr, m.id, &m.target, PATH_ANSWER_OK);
		} else if (may_tell(t, pr, m.depth) && pend(p, pr, &m, now)) {
			live_check(p, t, peer_way(t), now);
			live_tick(p, t, now);
			peer_touch(p, t);
		} else if (t->state == PATH_ST_LOST || t->route.n > 0) {
			answer_waking(p, pr, &m, t, now);
		} else {
			answer(p, pr, m.id, &m.target, PATH_ANSWER_NONE);
		}
	} else if (t && m.depth > 0) {
		t->asked_until = ts_add(now, ASK_WANTED);
		if (t->state == PATH_ST_IDLE) {
			ep_connect(p, t, now);
			t->depth_max = (uint8_t)(m.depth - 1);
		} else if (t->depth_max < m.depth - 1) {
			t->depth_max = (uint8_t)(m.depth - 1);
			ep_connect_deeper(p, t, now);
		}
		peer_touch(p, t);
		answer(p, pr, m.id, &m.target,
			ep_exhausted(t) ? PATH_ANSWER_NONE : PATH_ANSWER_LATER);
	} else {
		answer(p, pr, m.id, &m.target, PATH_ANSWER_NONE);
	}
	return 0;
}

static void pending_end(struct path *p, struct pending *e, bool good)
{
	struct peer *asker = peer_get(p, &e->asker), *t = peer_get(p, &e->target);

	e->used = false;
	p->npending--;
	if (!asker || !asker->linked)
		return;
	good = good && t && asker->route.n == 0 && may_tell(t, asker, e->depth);
	answer(p, asker, e->id, &e->target, good ? PATH_ANSWER_OK : PATH_ANSWER_NONE);
}

void ask_measured(struct path *p, struct peer *target, ts_t now)
{
	if (p->npending == 0)
		return;
	for (unsigned i = 0; p->npending && i < LIM_PATH_PENDING; i++) {
		struct pending *e = &p->pending[i];

		if (e->used && node_key_eq(&e->target, &target->key))
			pending_end(p, e, fresh(target, now));
	}
	pending_rearm(p);
}

void ask_pending_tick(struct path *p, ts_t now)
{
	if (!ts_due(p->pending_at, now))
		return;
	for (unsigned i = 0; p->npending && i < LIM_PATH_PENDING; i++) {
		if (p->pending[i].used && ts_due(p->pending[i].until, now))
			pending_end(p, &p->pending[i], false);
	}
	pending_rearm(p);
}

ts_t ask_pending_deadline(const struct path *p)
{
	return p->pending_at;
}

void ask_forget(struct path *p, const struct peer *pr)
{
	for (unsigned i = 0; p->npending && i < LIM_PATH_PENDING; i++) {
		struct pending *e = &p->pending[i];

		if (!e->used)
			continue;
		if (node_key_eq(&e->asker, &pr->key) || node_key_eq(&e->target, &pr->key)) {
			e->used = false;
			p->npending--;
		}
	}
	pending_rearm(p);
}
