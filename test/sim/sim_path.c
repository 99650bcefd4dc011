/* sim_path.c - drives the path core of one node, as router/svc/paths.c does; what changes there changes
 * here. Out of memory ends the simulation.
 *
 * State: per node that gossip knows or that is dialled one struct known, by label; the ways by which
 * relayed datagrams came (path_back.h). */
#include "sim_path.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/buf.h"
#include "map.h"
#include "path_back.h"
#include "invariants.h"
#include "sim.h"
#include "sim_data.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_plant.h"
#include "sim_sess.h"

#define WANT_KEEP    DUR_SEC(90)
#define DIAL_KEEP    DUR_SEC(5)
#define LINKS_PERIOD DUR_MS(75)
#define LINK_IDLE    DUR_SEC(1) /* PEER_IDLE_NS of router/dp */
#define PROBE_MAX    9216

struct known {
	struct node_key key;
	uint64_t seen;
	bool wanted;
	ts_t want_until;
	bool dialling;
	struct ep dial_ep;
	struct path_route dial_route;
	struct ep observed;
	dur_t rtt;
};

struct sim_path {
	struct sim_node *n;
	struct path *core;
	struct map *nodes; /* label: struct known, owned */
	struct path_backs *backs;
	ts_t links_at; /* TS_NEVER: no link is in use */
	unsigned mtu;
	uint64_t round;
	uint8_t tx[UINT16_MAX];
};

static struct known *known_at(const struct sim_path *x, uint64_t label)
{
	return map_get(x->nodes, &label);
}

static struct known *find(const struct sim_path *x, const struct node_key *key)
{
	return known_at(x, sim_label(key));
}

static ts_t now_of(const struct sim_path *x)
{
	return sim_node_now(x->n);
}

/* The entry of @key, known to the core with what gossip knows of it. NULL: it is ourselves. */
static struct known *need(struct sim_path *x, const struct node_key *key)
{
	const uint64_t label = sim_label(key);
	struct gossip_node_info info = {.neps = 0};
	struct known *k = find(x, key);
	bool fresh = !k;

	if (fresh) {
		k = calloc(1, sizeof(*k));
		if (!k || map_put(x->nodes, &label, k) != 0)
			abort();
		k->key = *key;
		k->rtt = DUR_NS(-1);
	}
	(void)gossip_node_get(x->n->gossip, key, &info);
	if (path_node_set(x->core, key,
		    &(struct path_node){.relay = !(info.features & GOSSIP_F_NO_RELAY),
			    .eps = info.eps,
			    .neps = info.neps},
		    now_of(x)) != 0 &&
		fresh) {
		(void)map_del(x->nodes, &label);
		free(k);
		return NULL;
	}
	return k;
}

/* --- ways --- */

static bool way_of(
	const struct sim_path *x, const struct path_route *r, uint64_t label, struct sim_way *out)
{
	const struct sim_slot *first = r->n ? sim_node_slot(x->n, &r->first) : NULL;

	if (!first || !first->up)
		return false;
	*out = (struct sim_way){.first = r->first, .n = r->n};
	path_route_labels(r, label, out->label);
	/* As a core or a driver would that does not look. */
	if (sim_planted(x->n, PLANT_ROUTE_TWICE)) {
		out->n = 2;
		out->label[0] = out->label[1] = label;
	}
	return true;
}

static bool way_to(struct sim_path *x, uint64_t label, bool sealed, struct sim_way *out)
{
	const struct known *k = known_at(x, label);
	const struct path_route *back = path_backs_get(x->backs, label, now_of(x));
	struct path_info info;
	bool routed = k && path_get(x->core, &k->key, &info) == 0 && info.route.n > 0;

	if (sealed && routed && way_of(x, &info.route, label, out))
		return true;
	if (!sealed && k && k->dialling && k->dial_route.n > 0 &&
		way_of(x, &k->dial_route, label, out))
		return true;
	if (back && way_of(x, back, label, out))
		return true;
	return routed && way_of(x, &info.route, label, out);
}

void sim_path_send(struct sim_path *x, const struct sess_act *a, size_t wire_len)
{
	struct sim_way way;
	uint64_t label;

	if (x && sess_relayed_label(&a->to, &label) && way_to(x, label, a->peer != 0, &way))
		(void)sim_relay_send(x->n, &way, a->buf, a->len, wire_len, false);
}

/* --- sessions --- */

static unsigned underlay(const struct sim_path *x)
{
	unsigned mtu = sim_net_mtu_of(x->n->s->net, x->n->index);

	return mtu > PROBE_MAX ? PROBE_MAX : mtu;
}

bool sim_path_up(struct sim_path *x, struct sim_slot *p, const struct sess_act *a)
{
	const struct path_route *route;
	struct known *k;
	uint64_t label;
	int e;

	if (!x)
		return true;
	k = need(x, &a->key);
	if (!k)
		return false;
	if (!sess_relayed_label(&a->ep, &label)) {
		p->ep = a->ep;
		p->way.n = 0;
		e = path_link_up(x->core, &a->key, &a->ep, NULL, now_of(x));
	} else {
		route = path_backs_get(x->backs, label, now_of(x));
		if (k->dialling && k->dial_route.n > 0)
			route = &k->dial_route;
		if (!route)
			return false;
		e = path_link_up(x->core, &a->key, NULL, route, now_of(x));
	}
	if (e)
		return false;
	k->dialling = false;
	p->side_off = false;
	p->way_since = x->n->s->now;
	k->wanted = false;
	path_unwant(x->core, &a->key, now_of(x));
	return true;
}

void sim_path_down(struct sim_path *x, const struct node_key *key)
{
	if (x)
		path_link_down(x->core, key, now_of(x));
}

void sim_path_endpoint(struct sim_path *x, struct sim_slot *p, const struct sess_act *a)
{
	bool moved = !ep_eq(&p->ep, &a->ep);

	if (x && sess_relayed_label(&a->ep, NULL))
		return; /* PATH_USE tells the way */
	p->ep = a->ep;
	p->way.n = 0;
	if (x && moved && p->up)
		(void)path_link_up(x->core, &a->key, &a->ep, NULL, now_of(x));
}

static void say(struct sim_node *n, const struct node_key *to, const uint8_t *buf, size_t len)
{
	uint32_t peer = sim_sess_find(n->sess, to);

	if (peer)
		(void)sim_sess_send(n->sess, peer, WIRE_CTL_PATH, buf, len, sim_node_now(n));
}

/* What a liar says to whoever looks for a way: there is a splendid one. */
static bool lies(struct sim_node *n, const struct node_key *to, const uint8_t *buf, size_t len)
{
	struct path_answer m = {.verdict = PATH_ANSWER_OK, .cost_us = 1};
	struct path_ask ask;
	uint8_t out[PATH_MSG_MAX];
	struct rd r;
	struct wr w;

	rd_init(&r, buf, len);
	if (n->way_lie == PATH_LIE_NONE || rd_u8(&r) != PATH_MSG_ASK ||
		path_ask_decode(&r, &ask) != 0)
		return false;
	m.id = ask.id;
	m.target = path_label_of(&ask.target);
	/* Back through the one that asks, or twice through the target. */
	if (n->way_lie == PATH_LIE_ROUTE) {
		m.n = 2;
		m.rest[0] = ask.id & 1 ? path_label_of(to) : m.target;
		m.rest[1] = m.target;
	}
	wr_init(&w, out, sizeof(out));
	path_answer_encode(&w, &m);
	say(n, to, out, wr_len(&w));
	return true;
}

void sim_path_recv(struct sim_node *n, const struct sess_act *a)
{
	struct path_from from = {.node = a->key, .relayed = sess_relayed_label(&a->ep, NULL)};
	struct sim_path *x = n->path;

	if (lies(n, &a->key, a->buf + 1, a->len - 1) || !x)
		return;
	/* For all nodes: where one doesn't find a way, the other one does. */
	if (x->n->s->cfg.plant == PLANT_NO_ANSWER && a->len > 1 && a->buf[1] == PATH_MSG_ANSWER)
		return;
	if (!from.relayed)
		from.ep = a->ep;
	(void)path_recv(x->core, &from, a->buf + 1, a->len - 1, now_of(x));
}

void sim_path_side_port(struct sim_path *x, const struct sim_slot *p, uint8_t via, bool on)
{
	if (x)
		path_side_port(x->core, &p->key, via, on, now_of(x));
}

void sim_path_dial_failed(struct sim_path *x, const struct node_key *key, const struct ep *ep)
{
	struct known *k = x ? find(x, key) : NULL;

	if (!k || !k->dialling || !ep_eq(&k->dial_ep, ep))
		return;
	k->dialling = false;
	path_connect_failed(x->core, key, now_of(x));
}

void sim_path_want(
	struct sim_path *x, const struct node_key *key, const struct ep *eps, size_t neps)
{
	struct known *k = x ? need(x, key) : NULL;

	if (!k || sim_sess_find(x->n->sess, key))
		return;
	for (size_t i = 0; i < neps; i++)
		(void)path_endpoint_add(x->core, key, &eps[i], false, now_of(x));
	if (path_want(x->core, key, now_of(x)) != 0)
		return;
	k->wanted = true;
	k->want_until = ts_add(now_of(x), WANT_KEEP);
}

void sim_path_node(struct sim_path *x, const struct node_key *key)
{
	if (x)
		(void)need(x, key);
	sim_path_hasten(x, key);
}

void sim_path_ask(struct sim_path *x, const struct node_key *key)
{
	const ts_t now = x ? now_of(x) : TS_ZERO;

	if (x)
		(void)path_traffic(x->core, key, 0, now, TS_ZERO, now);
}

void sim_path_hasten(struct sim_path *x, const struct node_key *key)
{
	if (x)
		path_hasten(x->core, key, now_of(x));
}

/* --- the data plane --- */

void sim_path_relayed(struct sim_path *x, const struct sim_way *back, uint8_t *buf, size_t len)
{
	const uint64_t label = back->label[back->n - 1];
	const struct ep from = sess_relayed_ep(label);
	const struct ip local = {.family = IP_NONE};
	struct path_route route;

	if (sim_data_recv(x->n, NULL, NULL, buf, len))
		return;
	path_route_from(&route, &back->first, back->n, back->label);
	if (path_backs_put(x->backs, label, &route, now_of(x)) != 0)
		abort();
	(void)sim_sess_recv(x->n->sess, &from, &local, buf, len, now_of(x));
}

void sim_path_active(struct sim_path *x)
{
	if (x && ts_is_never(x->links_at))
		x->links_at = ts_add(now_of(x), LINKS_PERIOD);
}

static bool recent(ts_t at, ts_t now)
{
	return at.ns && ts_before(now, ts_add(at, LINK_IDLE));
}

/* What dp_links() tells of links in use. */
static void look_at_links(struct sim_path *x, ts_t now)
{
	bool any = false;

	for (uint32_t i = 1; i < x->n->nslots; i++) {
		const struct sim_slot *p = &x->n->slots[i];
		bool rx = recent(p->any_rx, now);

		if (!p->up)
			continue;
		for (unsigned v = 0; v < SIM_VIAS; v++) {
			if (!rx && !recent(p->tx_at[v], now))
				continue;
			any = true;
			(void)path_traffic(
				x->core, &p->key, v == SIM_VIA_SIDE, p->tx_at[v], p->any_rx, now);
		}
	}
	x->links_at = any ? ts_add(now, LINKS_PERIOD) : TS_NEVER;
}

/* --- actions --- */

static size_t outer_headers(unsigned relays)
{
	return SIM_OUTER_BYTES + (relays ? WIRE_RELAY_OVERHEAD(relays) : 0);
}

static void on_send(struct sim_path *x, const struct path_act *a)
{
	struct sim_slot *p = sim_node_slot(x->n, &a->node);
	struct sess_msg m = {
		.type = WIRE_CTL_PATH, .side = a->via > 0, .body = a->buf, .len = a->len};
	const struct ep *to = a->ep.ip.family != IP_NONE ? &a->ep : p ? &p->ep : NULL;
	size_t headers = outer_headers(a->route.n), wire_len;
	struct sim_way way;
	int len;

	if (!p || !p->up)
		return;
	if (a->pad_to) {
		if (a->pad_to < headers + WIRE_DATA_OVERHEAD + 1 + a->len)
			return;
		if (a->pad_to > sim_net_mtu_of(x->n->s->net, x->n->index)) {
			path_refused(x->core, &a->node, a->pad_to, now_of(x));
			return;
		}
		m.size = a->pad_to - headers;
	}
	m.peer = sim_sess_find(x->n->sess, &a->node);
	len = sim_sess_seal(x->n->sess, &m, x->tx, sizeof(x->tx), now_of(x));
	if (len < 0)
		return;
	check_sealed(x->n, m.peer, x->tx, (size_t)len);
	wire_len = sim_sess_wire_len(x->n->sess, x->tx, (size_t)len);
	if (a->route.n > 0) {
		if (way_of(x, &a->route, sim_label(&a->node), &way))
			(void)sim_relay_send(
				x->n, &way, x->tx, (size_t)len, wire_len, a->pad_to > 0);
		return;
	}
	if (!a->pad_to)
		check_size(x->n, wire_len);
	sim_net_send(
		x->n->s->net, x->n->index, sim_node_port(a->via), to, x->tx, (size_t)len, wire_len);
}

static void on_use(struct sim_path *x, const struct path_act *a)
{
	struct sim_slot *p = sim_node_slot(x->n, &a->node);
	const uint64_t label = sim_label(&a->node);
	struct ep ep;

	if (!p || !p->up)
		return;
	p->way_since = x->n->s->now;
	sim_trace(x->n->s, (int)x->n->index, sim_node_index(x->n, &a->node), "way, relays",
		a->route.n);
	if (a->route.n == 0) {
		ep = a->ep.ip.family != IP_NONE ? a->ep : p->ep;
		if (ep.ip.family == IP_NONE)
			return;
		sim_sess_move(x->n->sess, &a->node, &ep, now_of(x));
		p->ep = ep;
		p->way.n = 0;
		return;
	}
	if (x->n->s->cfg.plant == PLANT_WAY_LOST || !way_of(x, &a->route, label, &p->way))
		return; /* its own probes will find it dead */
	ep = sess_relayed_ep(label);
	sim_sess_move(x->n->sess, &a->node, &ep, now_of(x));
}

static void on_side_port(struct sim_path *x, const struct path_act *a)
{
	struct sim_slot *p = sim_node_slot(x->n, &a->node);

	if (p)
		p->side_off = !a->on;
}

static void on_connect(struct sim_path *x, const struct path_act *a)
{
	struct known *k = find(x, &a->node);
	ts_t now = now_of(x);

	if (!k)
		return;
	k->dialling = true;
	k->dial_route = a->route;
	k->dial_ep = a->route.n ? sess_relayed_ep(sim_label(&a->node)) : a->ep;
	if (sim_sess_redial(x->n->sess, &k->dial_ep, &a->node, ts_add(now, DIAL_KEEP), now) == 0)
		return;
	k->dialling = false;
	path_connect_failed(x->core, &a->node, now);
}

static void on_open(struct sim_path *x, const struct path_act *a)
{
	sim_net_send(x->n->s->net, x->n->index, WIRE_DEFAULT_PORT, &a->ep, x->tx, 0, 0);
}

static void on_unreachable(struct sim_path *x, const struct path_act *a)
{
	sim_trace(x->n->s, (int)x->n->index, sim_node_index(x->n, &a->node), "no way yet", 0);
}

static void on_state(struct sim_path *x, const struct path_act *a)
{
	sim_trace(x->n->s, (int)x->n->index, sim_node_index(x->n, &a->node), "path state",
		(int64_t)a->state);
}

static void (*const handlers[])(struct sim_path *x, const struct path_act *a) = {
	[PATH_SEND] = on_send,
	[PATH_USE] = on_use,
	[PATH_SIDE_PORT] = on_side_port,
	[PATH_CONNECT] = on_connect,
	[PATH_OPEN] = on_open,
	[PATH_UNREACHABLE] = on_unreachable,
	[PATH_STATE] = on_state,
};

bool sim_path_drain(struct sim_path *x)
{
	struct path_act a;
	bool any = false;

	while (x && path_next(x->core, &a)) {
		any = true;
		if ((size_t)a.type < sizeof(handlers) / sizeof(handlers[0]) && handlers[a.type])
			handlers[a.type](x, &a);
	}
	return any;
}

void sim_path_tick(struct sim_path *x, ts_t now)
{
	if (!x)
		return;
	if (ts_due(x->links_at, now))
		look_at_links(x, now);
	if (ts_due(path_deadline(x->core), now))
		path_tick(x->core, now);
}

ts_t sim_path_deadline(const struct sim_path *x)
{
	return x ? ts_min(path_deadline(x->core), x->links_at) : TS_NEVER;
}

/* --- now and then --- */

static void forget_gone(struct sim_path *x)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(x->nodes, &it, &key, &value)) {
		struct known *k = value;

		if (k->seen == x->round || k->wanted || sim_sess_find(x->n->sess, &k->key))
			continue;
		path_node_del(x->core, &k->key, now_of(x));
		(void)map_del(x->nodes, key);
		free(k);
	}
}

void sim_path_refresh(struct sim_path *x, ts_t now)
{
	struct gossip_node_info i;
	struct ep ep;
	size_t it = 0;

	if (!x)
		return;
	ep = sim_net_inner_ep(x->n->s->net, x->n->index);
	path_local(x->core, &ep, 1, now);
	x->round++;
	while (gossip_node_next(x->n->gossip, &it, &i)) {
		struct known *k = i.self ? NULL : need(x, &i.key);

		if (k)
			k->seen = x->round;
	}
	forget_gone(x);
	if (underlay(x) == x->mtu)
		return;
	x->mtu = underlay(x);
	path_set_mtu(x->core, x->mtu, now);
}

static void look_at_session(struct sim_path *x, const struct sim_sess_info *p, ts_t now)
{
	struct known *k = find(x, &p->key);

	if (!k || !p->up)
		return;
	if (p->rtt.ns >= 0 && p->rtt.ns != k->rtt.ns) {
		k->rtt = p->rtt;
		path_rtt(x->core, &p->key, p->rtt, now);
	}
	if (p->observed.ip.family != IP_NONE && !sess_relayed_label(&p->observed, NULL) &&
		!ep_eq(&p->observed, &k->observed)) {
		k->observed = p->observed;
		path_observed(x->core, &p->key, &p->observed, now);
	}
}

void sim_path_second(struct sim_path *x, ts_t now)
{
	struct sim_sess_info p;
	const void *key;
	void *value;
	uint32_t it = 0;
	size_t i = 0;

	if (!x)
		return;
	while (sim_sess_info_next(x->n->sess, &it, &p, now))
		look_at_session(x, &p, now);
	while (map_next(x->nodes, &i, &key, &value)) {
		struct known *k = value;

		if (!k->wanted || !ts_due(k->want_until, now))
			continue;
		k->wanted = false;
		path_unwant(x->core, &k->key, now);
	}
}

/* --- for checks and liars --- */

struct path *sim_path_core(struct sim_path *x)
{
	return x ? x->core : NULL;
}

/* --- life --- */

struct sim_path *sim_path_new(struct sim_node *n, ts_t now)
{
	static const uint8_t seed[16];
	struct sim_path *x = calloc(1, sizeof(*x));
	struct path_cfg cfg = {
		.self = n->id.pub,
		.relay = !n->no_relay,
		.has_v4 = true,
		.side_ports = 1,
		.seed = prng_next(&n->prng),
	};

	if (!x)
		return NULL;
	x->n = n;
	x->links_at = TS_NEVER;
	x->mtu = cfg.mtu = underlay(x);
	path_tune_default(&cfg.tune);
	x->nodes = map_new(sizeof(uint64_t), LIM_NODES, seed);
	x->backs = path_backs_new(seed);
	x->core = path_new(&cfg, now);
	if (!x->nodes || !x->backs || !x->core) {
		sim_path_free(x);
		return NULL;
	}
	return x;
}

void sim_path_free(struct sim_path *x)
{
	const void *key;
	void *value;
	size_t it = 0;

	if (!x)
		return;
	while (x->nodes && map_next(x->nodes, &it, &key, &value))
		free(value);
	map_free(x->nodes);
	path_backs_free(x->backs);
	path_free(x->core);
	free(x);
}
