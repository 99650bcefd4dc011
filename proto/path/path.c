/* path.c - the path core: its public face, actions, timers and status.
 *
 * Parts (path_int.h lists the files). Per node there is one struct peer: what records say of it, its
 * link, the way in use (direct, or a source route through relays), and per way a liveness, a cost
 * and a path MTU search.
 *
 * Data in: links and endpoints (sessions), nodes (records), when data went and came (data plane),
 * messages of other cores of this kind. Data out: messages to send, and which way to use, which side
 * ports, which MTU, whom to dial.
 *
 * States of a peer: IDLE -> CONNECTING (wanted) -> DIRECT or RELAYED (a session stands) -> LOST when
 * the way in use is dead and no other is known yet, and back. DIRECT -> RELAYED when the direct way
 * dies and a candidate answers; RELAYED -> DIRECT after DIRECT_GOOD rounds of answered probes, LOST ->
 * DIRECT after one.
 *
 * Timers run only while something is asked: a search for the MTU, a dial, or data that had no
 * answer. A link without data has none (but the keepalive behind a NAT).
 *
 * Bounds: nodes by LIM_NODES; messages waiting, probes, asks, searches, punches by LIM_PATH_*. Out of
 * memory: a search or a side port's watch is left out and tried again; nothing else allocates after
 * path_node_set(). */
#include "path_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* For timers that wait for nothing: they stay queued, so that setting them never fails. */
#define FAR      ((ts_t){UINT64_MAX - 1})
/* No timer comes sooner: whatever goes wrong, a loop of ticks stays slow. */
#define TICK_MIN DUR_MS(1)

const struct path_route path_direct;

void path_tune_default(struct path_tune *t)
{
	*t = (struct path_tune){
		.quiet = DUR_MS(300),
		.probe_gap = DUR_MS(100),
		.probe_wait_max = DUR_SEC(1),
		.direct_retry_min = DUR_SEC(1),
		.direct_retry_max = DUR_SEC(60),
		.steady = DUR_SEC(60),
		.side_retry_min = DUR_SEC(30),
		.side_retry_max = DUR_SEC(600),
		.relay_refresh = DUR_SEC(10),
		.relay_bad = DUR_SEC(30),
		.connect_each = DUR_SEC(1),
		.connect_retry_max = DUR_SEC(60),
		.keepalive = DUR_SEC(20),
		.mtu_wait_min = DUR_MS(200),
	};
}

/* --- peers --- */

struct peer *peer_get(const struct path *p, const struct node_key *key)
{
	return map_get(p->by_key, key->b);
}

/* The same for one that has traffic. */
static struct peer *peer_get_near(struct path *p, const struct node_key *key)
{
	struct peer **near = &p->near[key->b[0] % NEAR_PEERS];

	if (!*near || !node_key_eq(&(*near)->key, key))
		*near = peer_get(p, key);
	return *near;
}

struct peer *peer_by_label(const struct path *p, const struct path_label *l)
{
	return map_get(p->by_label, l->b);
}

bool peer_in_use(const struct peer *pr, ts_t now)
{
	return pr->data_at.ns && ts_before(now, ts_add(pr->data_at, IN_USE));
}

void peer_touch(struct path *p, struct peer *pr)
{
	if (list_empty(&pr->touches))
		list_add_tail(&p->touched, &pr->touches);
}

void peer_dirty(struct path *p, struct peer *pr, unsigned what)
{
	pr->dirty |= what;
	if (list_empty(&pr->dirties))
		list_add_tail(&p->dirty, &pr->dirties);
}

void peer_side_dirty(struct path *p, struct peer *pr, uint8_t via)
{
	pr->sides_dirty |= UINT64_C(1) << (via - 1);
	peer_dirty(p, pr, 0);
}

/* Which states may follow which is asserted here, in one place. */
void peer_state(struct path *p, struct peer *pr, enum path_state state)
{
	assert(pr->linked || state == PATH_ST_IDLE || state == PATH_ST_CONNECTING);
	assert(!pr->linked || state >= PATH_ST_DIRECT);
	assert(state != PATH_ST_DIRECT || pr->route.n == 0);
	assert(state != PATH_ST_RELAYED || pr->route.n > 0);
	if (pr->state == state)
		return;
	p->stats.relayed += (state == PATH_ST_RELAYED) - (pr->state == PATH_ST_RELAYED);
	p->stats.lost += (state == PATH_ST_LOST) - (pr->state == PATH_ST_LOST);
	pr->state = state;
	peer_dirty(p, pr, DIRTY_STATE);
}

static ts_t peer_deadline(const struct path *p, const struct peer *pr)
{
	ts_t t = live_deadline(p, pr, p->now);

	t = ts_min(t, route_deadline(p, pr, p->now));
	t = ts_min(t, ep_deadline(p, pr, p->now));
	return pr->search ? ts_min(t, pr->search->until) : t;
}

static void doubt_look(struct path *p, struct peer *pr)
{
	const struct live *l = &pr->live[peer_way(pr)];
	bool doubt = pr->linked && l->suspect && l->tries > 1;

	if (doubt != pr->doubt)
		peer_dirty(p, pr, DIRTY_DOUBT);
	pr->doubt = doubt;
}

/* After every call: set the timers of the peers that it touched. */
void path_settle(struct path *p)
{
	struct list *n, *t;

	list_each(&p->touched, n, t)
	{
		struct peer *pr = list_entry(n, struct peer, touches);
		ts_t when = peer_deadline(p, pr), soonest = ts_add(p->now, TICK_MIN);

		list_del(n);
		doubt_look(p, pr);
		if (ts_before(when, soonest))
			when = soonest;
		if (ts_before(FAR, when))
			when = FAR;
		int err = tq_set(&p->timers, &pr->timer, when);
		assert(err == 0); /* it is queued: nothing grows */
		(void)err;
	}
}

static void peer_free(struct path *p, struct peer *pr)
{
	struct peer **near = &p->near[pr->key.b[0] % NEAR_PEERS];

	if (*near == pr)
		*near = NULL;
	tq_cancel(&p->timers, &pr->timer);
	ask_stop(p, pr);
	list_del(&pr->dirties);
	list_del(&pr->touches);
	list_del(&pr->links);
	free(pr->sides);
	free(pr->cand);
	free(pr);
}

static struct peer *peer_new(struct path *p, const struct node_key *node, int *err)
{
	struct peer *pr = calloc(1, sizeof(*pr));

	*err = ERR_NOMEM;
	if (!pr)
		return NULL;
	pr->key = *node;
	pr->label = path_label_of(node);
	list_init(&pr->dirties);
	list_init(&pr->touches);
	list_init(&pr->links);
	for (unsigned way = 0; way < 2; way++) {
		live_init(&pr->live[way]);
		plpmtu_stop(&pr->mtu[way]);
	}
	pr->direct_at = pr->search_at = pr->connect_at = pr->open_at = pr->alive_at = TS_NEVER;
	pr->direct_backoff = p->cfg.tune.direct_retry_min;
	*err = map_put(p->by_key, node->b, pr);
	if (*err < 0)
		goto fail;
	*err = map_put(p->by_label, pr->label.b, pr);
	if (*err == ERR_EXISTS)
		*err = ERR_CONFLICT;
	if (*err < 0)
		goto fail_label;
	*err = tq_set(&p->timers, &pr->timer, FAR);
	if (*err < 0)
		goto fail_timer;
	p->stats.nodes++;
	return pr;
fail_timer:
	map_del(p->by_label, pr->label.b);
fail_label:
	map_del(p->by_key, node->b);
fail:
	peer_free(p, pr);
	return NULL;
}

/* --- making and driving the core --- */

struct path *path_new(const struct path_cfg *cfg, ts_t now)
{
	struct path *p = calloc(1, sizeof(*p));
	uint8_t seed[16] = {0};

	if (!p)
		return NULL;
	assert(cfg->side_ports < 64 && cfg->mtu >= PLPMTU_MIN && cfg->mtu <= PLPMTU_MAX);
	p->cfg = *cfg;
	p->now = now;
	p->label = path_label_of(&cfg->self);
	p->pending_at = TS_NEVER;
	prng_seed(&p->prng, cfg->seed);
	for (unsigned i = 0; i < sizeof(seed); i++)
		seed[i] = (uint8_t)prng_next(&p->prng);
	tq_init(&p->timers);
	list_init(&p->dirty);
	list_init(&p->links);
	list_init(&p->touched);
	p->by_key = map_new(sizeof(struct node_key), LIM_NODES, seed);
	p->by_label = map_new(sizeof(struct path_label), LIM_NODES, seed);
	if (!p->by_key || !p->by_label) {
		path_free(p);
		return NULL;
	}
	return p;
}

void path_free(struct path *p)
{
	const void *key;
	void *value;
	size_t it = 0;

	if (!p)
		return;
	while (p->by_key && map_next(p->by_key, &it, &key, &value))
		peer_free(p, value);
	map_free(p->by_label);
	map_free(p->by_key);
	tq_fini(&p->timers);
	free(p);
}

int path_node_set(
	struct path *p, const struct node_key *node, const struct path_node *info, ts_t now)
{
	struct peer *pr = peer_get_near(p, node);
	int err = 0;

	p->now = now;
	if (node_key_eq(node, &p->cfg.self))
		return ERR_REFUSED;
	struct path_label label = path_label_of(node);
	if (path_label_eq(&label, &p->label))
		return ERR_CONFLICT;
	if (!pr)
		pr = peer_new(p, node, &err);
	if (!pr)
		return err;
	err = ep_set(pr, info);
	if (pr->relays && !info->relay)
		route_relay_gone(p, pr, now);
	pr->relays = info->relay;
	peer_touch(p, pr);
	path_settle(p);
	return err;
}

void path_node_del(struct path *p, const struct node_key *node, ts_t now)
{
	struct peer *pr = peer_get(p, node);

	p->now = now;
	if (!pr)
		return;
	path_link_down(p, node, now);
	ask_forget(p, pr);
	map_del(p->by_label, pr->label.b);
	map_del(p->by_key, node->b);
	p->stats.nodes--;
	peer_free(p, pr);
	path_settle(p);
}

int path_endpoint_add(
	struct path *p, const struct node_key *node, const struct ep *ep, bool configured, ts_t now)
{
	struct peer *pr = peer_get(p, node);

	p->now = now;
	if (!pr)
		return ERR_NOT_FOUND;
	return ep_add(pr, ep, configured ? CAND_CONFIGURED : CAND_SEEN);
}

void path_set_mtu(struct path *p, unsigned mtu, ts_t now)
{
	struct list *n, *t;

	p->now = now;
	p->cfg.mtu = mtu < PLPMTU_MIN ? PLPMTU_MIN : mtu > PLPMTU_MAX ? PLPMTU_MAX : mtu;
	list_each(&p->links, n, t)
	{
		struct peer *pr = list_entry(n, struct peer, links);

		for (unsigned way = 0; way < 2; way++)
			plpmtu_ceiling(&pr->mtu[way], p->cfg.mtu, now);
		live_tick(p, pr, now);
		peer_touch(p, pr);
	}
	path_settle(p);
}

static void link_reset(struct path *p, struct peer *pr)
{
	for (unsigned way = 0; way < 2; way++) {
		live_init(&pr->live[way]);
		plpmtu_stop(&pr->mtu[way]);
		pr->cost[way] = (struct cost){0};
	}
	free(pr->sides);
	pr->sides = NULL;
	pr->sides_dirty = 0;
	pr->dirty &= DIRTY_STATE | DIRTY_RELAY_BAD;
	pr->mtu_told = 0;
	pr->direct_at = pr->search_at = pr->alive_at = TS_NEVER;
	pr->data_at = TS_ZERO;
	pr->direct_tries = 0;
	ask_stop(p, pr);
}

int path_link_up(struct path *p, const struct node_key *node, const struct ep *ep,
	const struct path_route *route, ts_t now)
{
	struct peer *pr = peer_get(p, node);

	p->now = now;
	if (!pr)
		return ERR_NOT_FOUND;
	if (!ep && !route)
		route = &pr->route; /* that of the dial */
	if (!ep && (route->n == 0 || !route_usable(p, pr, route)))
		return ERR_RANGE;
	if (ep) {
		pr->ep = *ep;
		(void)ep_add(pr, ep, CAND_SEEN);
	}
	if (!pr->linked) {
		const struct path_route r = ep ? path_direct : *route;

		link_reset(p, pr);
		ep_connect_stop(pr);
		/* Whoever it was made for: how many relays an asker allows is looked at when it is
		 * answered. */
		pr->depth_max = PATH_REST_MAX;
		pr->linked = true;
		pr->switches = 0;
		pr->direct_backoff = p->cfg.tune.direct_retry_min;
		list_add_tail(&p->links, &pr->links);
		p->stats.links++;
		route_use(p, pr, &r, now);
		pr->direct_left = now;
		pr->direct_at = r.n ? ts_add(now, pr->direct_backoff) : TS_NEVER;
		ep_keepalive(p, pr, now);
	} else if (ep && pr->route.n == 0) {
		/* Moved: another path, whatever was measured. */
		live_forget(p, pr, 0);
		plpmtu_start(&pr->mtu[0], p->cfg.mtu, now);
	}
	live_tick(p, pr, now);
	peer_touch(p, pr);
	path_settle(p);
	return 0;
}

void path_link_down(struct path *p, const struct node_key *node, ts_t now)
{
	struct peer *pr = peer_get(p, node);

	p->now = now;
	if (!pr || !pr->linked)
		return;
	link_reset(p, pr);
	pr->linked = false;
	list_del(&pr->links);
	p->stats.links--;
	pr->route = path_direct;
	peer_state(p, pr, PATH_ST_IDLE);
	route_relay_gone(p, pr, now);
	if (pr->wanted)
		ep_connect(p, pr, now);
	peer_touch(p, pr);
	path_settle(p);
}

int path_want(struct path *p, const struct node_key *node, ts_t now)
{
	struct peer *pr = peer_get(p, node);

	p->now = now;
	if (!pr)
		return ERR_NOT_FOUND;
	if (!pr->wanted && !pr->linked && pr->state == PATH_ST_IDLE) {
		ep_connect(p, pr, now);
	} else if (pr->state == PATH_ST_CONNECTING && pr->depth_max < PATH_REST_MAX) {
		/* So far for somebody who allows fewer relays. */
		pr->depth_max = PATH_REST_MAX;
		ep_connect_deeper(p, pr, now);
	}
	pr->wanted = true;
	peer_touch(p, pr);
	path_settle(p);
	return 0;
}

void path_hasten(struct path *p, const struct node_key *node, ts_t now)
{
	struct peer *pr = peer_get(p, node);

	p->now = now;
	if (!pr || !pr->wanted || pr->linked)
		return;
	ep_connect_hasten(p, pr, now);
	path_settle(p);
}

void path_unwant(struct path *p, const struct node_key *node, ts_t now)
{
	struct peer *pr = peer_get(p, node);

	p->now = now;
	if (!pr)
		return;
	pr->wanted = false;
	if (!pr->linked && ts_due(pr->asked_until, now)) {
		ep_connect_stop(pr);
		ask_stop(p, pr);
		pr->route = path_direct;
		peer_state(p, pr, PATH_ST_IDLE);
	}
	peer_touch(p, pr);
	path_settle(p);
}

void path_connect_failed(struct path *p, const struct node_key *node, ts_t now)
{
	struct peer *pr = peer_get(p, node);

	p->now = now;
	if (!pr || pr->state != PATH_ST_CONNECTING || ts_is_never(pr->connect_at))
		return;
	pr->connect_at = now;
	peer_touch(p, pr);
	path_settle(p);
}

static struct side *side_get(struct path *p, struct peer *pr, uint8_t via)
{
	if (!pr->sides) {
		pr->sides = calloc(p->cfg.side_ports, sizeof(*pr->sides));
		for (unsigned i = 0; pr->sides && i < p->cfg.side_ports; i++) {
			live_init(&pr->sides[i].live);
			pr->sides[i].retry_at = TS_NEVER;
			pr->sides[i].backoff = p->cfg.tune.side_retry_min;
		}
	}
	return pr->sides ? &pr->sides[via - 1] : NULL;
}

int path_traffic(struct path *p, const struct node_key *node, uint8_t via, ts_t last_tx,
	ts_t last_rx, ts_t now)
{
	struct peer *pr = peer_get_near(p, node);
	ts_t newest = ts_before(last_tx, last_rx) ? last_rx : last_tx;
	struct side *sd = NULL;

	p->now = now;
	if (!pr || !pr->linked)
		return ERR_NOT_FOUND;
	if (via > p->cfg.side_ports)
		return ERR_RANGE;
	if (via && !(sd = side_get(p, pr, via)))
		return ERR_NOMEM;
	if (ts_before(now, newest))
		return ERR_RANGE;
	if (ts_before(pr->data_at, newest))
		pr->data_at = newest;
	if (ts_before(pr->heard, last_rx))
		pr->heard = last_rx;
	live_heard(p, pr, last_rx);
	if (!sd)
		live_data(p, &pr->live[peer_way(pr)], &pr->cost[peer_way(pr)], last_tx);
	else if (!sd->off)
		live_data(p, &sd->live, &pr->cost[0], last_tx);
	peer_touch(p, pr);
	path_settle(p);
	return 0;
}

void path_side_port(struct path *p, const struct node_key *node, uint8_t via, bool on, ts_t now)
{
	struct peer *pr = peer_get(p, node);
	struct side *sd;

	p->now = now;
	if (!pr || !pr->linked || via == 0 || via > p->cfg.side_ports ||
		!(sd = side_get(p, pr, via)))
		return;
	/* One that we turned off stays so until our own probes say otherwise. */
	if (!sd->off)
		live_init(&sd->live);
	(void)on;
	peer_touch(p, pr);
	path_settle(p);
}

void path_rtt(struct path *p, const struct node_key *node, dur_t rtt, ts_t now)
{
	struct peer *pr = peer_get_near(p, node);

	p->now = now;
	if (pr && pr->linked && rtt.ns >= 0)
		cost_rtt(&pr->cost[peer_way(pr)], rtt, now);
}

void path_refused(struct path *p, const struct node_key *node, uint16_t size, ts_t now)
{
	struct peer *pr = peer_get_near(p, node);

	p->now = now;
	if (!pr || !pr->linked)
		return;
	plpmtu_refused(&pr->mtu[peer_way(pr)], size, now);
	live_tick(p, pr, now);
	peer_touch(p, pr);
	path_settle(p);
}

static int on_alive(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now)
{
	return rd_left(r) ? ERR_MALFORMED : 0;
}

int path_recv(
	struct path *p, const struct path_from *from, const uint8_t *buf, size_t len, ts_t now)
{
	static int (*const handlers[])(struct path * p, struct peer * pr,
		const struct path_from *from, struct rd *r, ts_t now) = {
		[PATH_MSG_PROBE] = live_on_probe,
		[PATH_MSG_REPLY] = live_on_reply,
		[PATH_MSG_ASK] = ask_on_ask,
		[PATH_MSG_ANSWER] = ask_on_answer,
		[PATH_MSG_PUNCH] = ep_on_punch,
		[PATH_MSG_OPEN] = ep_on_open,
		[PATH_MSG_ALIVE] = on_alive,
	};
	struct peer *pr = peer_get_near(p, &from->node);
	struct rd r;
	int err;

	p->now = now;
	if (!pr || !pr->linked)
		return ERR_NOT_FOUND;
	rd_init(&r, buf, len);
	uint8_t type = rd_u8(&r);
	if (rd_bad(&r))
		err = ERR_TRUNCATED;
	else if (type >= sizeof(handlers) / sizeof(handlers[0]) || !handlers[type])
		err = ERR_UNSUPPORTED;
	else
		err = handlers[type](p, pr, from, &r, now);
	if (err == ERR_TRUNCATED || err == ERR_MALFORMED || err == ERR_UNSUPPORTED)
		p->stats.rx_bad++;
	else if (err == ERR_STALE)
		p->stats.rx_stale++;
	else if (err == ERR_LIMIT || err == ERR_FULL)
		p->stats.rx_limited++;
	else if (err == ERR_REFUSED)
		p->stats.rx_refused++;
	if (err == 0)
		pr->heard = now;
	peer_touch(p, pr);
	path_settle(p);
	return err;
}

void path_tick(struct path *p, ts_t now)
{
	struct tq_node *n;

	p->now = now;
	ask_pending_tick(p, now);
	/* Each peer once: what is due again comes by the next deadline; so does what would not find
	 * room for its messages. */
	while (p->send_count < LIM_PATH_SENDS / 2 && (n = tq_pop(&p->timers, now))) {
		struct peer *pr = tq_entry(n, struct peer, timer);

		(void)tq_set(&p->timers, n, FAR); /* its place is still there */
		live_tick(p, pr, now);
		route_tick(p, pr, now);
		ask_tick(p, pr, now);
		ep_tick(p, pr, now);
		peer_touch(p, pr);
	}
	path_settle(p);
}

ts_t path_deadline(const struct path *p)
{
	ts_t t = ts_min(tq_deadline(&p->timers), ask_pending_deadline(p));

	return ts_before(t, FAR) ? t : TS_NEVER;
}

/* --- actions --- */

bool second_take(ts_t *since, unsigned *n, unsigned limit, ts_t now)
{
	if (!since->ns || !ts_before(now, ts_add(*since, DUR_SEC(1)))) {
		*since = now;
		*n = 0;
	}
	if (*n >= limit)
		return false;
	++*n;
	return true;
}

static struct send *send_new(struct path *p, enum path_act_type type)
{
	struct send *s;

	if (p->send_count == LIM_PATH_SENDS) {
		p->stats.dropped++;
		return NULL;
	}
	s = &p->send[(p->send_head + p->send_count++) % LIM_PATH_SENDS];
	s->act = (struct path_act){.type = type};
	return s;
}

void peer_send(struct path *p, struct peer *pr, const struct path_route *route, const struct ep *ep,
	uint8_t via, const struct wr *w, uint16_t pad_to)
{
	struct send *s = send_new(p, PATH_SEND);

	assert(!wr_bad(w) && pr->linked);
	if (!s)
		return;
	s->act.node = pr->key;
	s->act.route = route ? *route : pr->route;
	if (ep)
		s->act.ep = *ep;
	s->act.via = via;
	s->act.pad_to = pad_to;
	s->act.len = wr_len(w);
	memcpy(s->buf, w->start, s->act.len);
}

void path_open_ep(struct path *p, const struct ep *ep)
{
	struct send *s = send_new(p, PATH_OPEN);

	if (!s)
		return;
	s->act.ep = *ep;
	p->stats.punches_opened++;
}

static bool take_dirty(struct path *p, struct peer *pr, struct path_act *out);

/* One of the relays that failed for @pr; when all were told, whatever else is new. */
static bool take_bad_relay(struct path *p, struct peer *pr, struct path_act *out)
{
	for (unsigned i = 0; i < BADS_MAX; i++) {
		const struct peer *relay = peer_by_label(p, &pr->bad[i].relay);
		const bool tell = pr->bad[i].untold && relay;

		pr->bad[i].untold = false;
		if (!tell)
			continue;
		out->type = PATH_RELAY_BAD;
		out->route =
			(struct path_route){.n = 1, .first = relay->key, .label = {relay->label}};
		return true;
	}
	pr->dirty &= ~DIRTY_RELAY_BAD;
	return take_dirty(p, pr, out);
}

/* One of what is new of @pr into @out; false: nothing is. */
static bool take_dirty(struct path *p, struct peer *pr, struct path_act *out)
{
	out->node = pr->key;
	out->route = pr->route;
	out->state = pr->state;
	if (pr->dirty & DIRTY_USE) {
		pr->dirty &= ~DIRTY_USE;
		out->type = PATH_USE;
		if (pr->route.n == 0)
			out->ep = pr->ep;
	} else if (pr->dirty & DIRTY_CONNECT) {
		pr->dirty &= ~DIRTY_CONNECT;
		out->type = PATH_CONNECT;
		out->ep = pr->connect_ep;
	} else if (pr->dirty & DIRTY_MTU) {
		pr->dirty &= ~DIRTY_MTU;
		out->type = PATH_MTU;
		out->mtu = pr->mtu_told;
		out->halves = peer_halves(pr);
	} else if (pr->sides_dirty) {
		unsigned i = (unsigned)__builtin_ctzll(pr->sides_dirty);

		pr->sides_dirty &= pr->sides_dirty - 1;
		out->type = PATH_SIDE_PORT;
		out->via = (uint8_t)(i + 1);
		out->on = !pr->sides[i].off;
	} else if (pr->dirty & DIRTY_STATE) {
		pr->dirty &= ~DIRTY_STATE;
		out->type = PATH_STATE;
	} else if (pr->dirty & DIRTY_DOUBT) {
		pr->dirty &= ~DIRTY_DOUBT;
		out->type = PATH_DOUBT;
		out->on = pr->doubt;
	} else if (pr->dirty & DIRTY_RELAY_BAD) {
		return take_bad_relay(p, pr, out);
	} else if (pr->dirty & DIRTY_UNREACHABLE) {
		pr->dirty &= ~DIRTY_UNREACHABLE;
		out->type = PATH_UNREACHABLE;
	} else {
		return false;
	}
	return true;
}

bool path_next(struct path *p, struct path_act *out)
{
	memset(out, 0, sizeof(*out));
	while (!list_empty(&p->dirty)) {
		struct peer *pr = list_entry(p->dirty.next, struct peer, dirties);

		if (take_dirty(p, pr, out))
			return true;
		list_del(&pr->dirties);
		memset(out, 0, sizeof(*out));
	}
	while (p->send_count > 0) {
		const struct send *s = &p->send[p->send_head];

		p->send_head = (p->send_head + 1) % LIM_PATH_SENDS;
		p->send_count--;
		*out = s->act;
		memcpy(p->tx, s->buf, s->act.len);
		out->buf = p->tx;
		/* The session may have ended since. */
		const struct peer *pr = peer_get_near(p, &out->node);
		if (out->type != PATH_SEND || (pr && pr->linked))
			return true;
		memset(out, 0, sizeof(*out));
	}
	return false;
}

/* --- status --- */

int path_get(const struct path *p, const struct node_key *node, struct path_info *out)
{
	const struct peer *pr = peer_get(p, node);

	memset(out, 0, sizeof(*out));
	if (!pr)
		return ERR_NOT_FOUND;
	const unsigned way = peer_way(pr);
	const struct cost *c = &pr->cost[way];

	out->state = pr->state;
	out->route = pr->route;
	out->ep = pr->ep;
	out->rtt = c->known ? DUR_US(c->srtt_us) : DUR_NS(-1);
	out->loss_permille = c->loss * 1000 / 65536;
	out->mtu = pr->mtu[way].on ? pr->mtu[way].cur : 0;
	out->mtu_searching = pr->mtu[way].searching;
	out->doubt = pr->doubt;
	out->halves = pr->linked && peer_halves(pr);
	for (unsigned i = 0; pr->sides && i < p->cfg.side_ports; i++)
		out->side_ports_off += pr->sides[i].off;
	out->black_holes = pr->mtu[0].black_holes + pr->mtu[1].black_holes;
	out->switches = pr->switches;
	return 0;
}

void path_stats(const struct path *p, struct path_stats *out)
{
	*out = p->stats;
}
