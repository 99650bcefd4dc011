/* pathnet.h - path cores over a model of sessions and underlay, in virtual time steps of 1 ms: loss,
 * one-way cuts, path MTUs, NATs, firewalls on source ports, relays that refuse. Traffic flows by the
 * ways that the cores chose, and what arrives is what is judged. For the tests of this folder. */
#ifndef WEFT_TEST_PATHNET_H
#define WEFT_TEST_PATHNET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "path.h"
#include "plpmtu.h"
#include "prng.h"

#define NODES_MAX  10
#define FLOWS_MAX  40
#define PORT       6793
#define SIDE_PORTS 3
#define MAPS_MAX   64
#define REPORT_MS  50
#define REDIAL_MS  500

/* What a node does that lies about ways: it says that it has a splendid one to everybody. */
enum crook { CROOK_NOT, CROOK_SLOW, CROOK_SWALLOWS, CROOK_CIRCLES };

enum nat { NAT_OPEN, NAT_FIREWALL, NAT_CONE, NAT_SYMMETRIC };

/* What an address translator, or a firewall that remembers, in front of a node holds. */
struct mapping {
	struct ep to;
	uint16_t port; /* outside */
	ts_t used;
};

struct link {
	bool up;
	struct ep ep; /* where we send, directly */
	struct path_route route;
	unsigned mtu;
	uint64_t sides; /* may carry data */
	ts_t last_tx[SIDE_PORTS + 1], last_rx;
	bool tx_new[SIDE_PORTS + 1], rx_new;
};

struct node {
	struct path *p;
	struct node_key key;
	struct ep ep; /* inside */
	bool relay;
	enum crook crook;
	unsigned gap_ms; /* between probes; 0: as shipped */
	enum nat nat;
	struct mapping maps[MAPS_MAX];
	unsigned nmaps;
	struct link link[NODES_MAX];
	/* The dial that the core asked for */
	struct dial {
		bool on;
		struct path_route route;
		struct ep ep;
		ts_t next;
	} dial[NODES_MAX];
	unsigned sends, states[NODES_MAX], bad_relays[NODES_MAX], doubts[NODES_MAX];
	bool unreachable[NODES_MAX];
};

enum kind { FRAME_PATH, FRAME_DATA, FRAME_HELLO, FRAME_WELCOME, FRAME_EMPTY };

struct frame {
	struct frame *next;
	ts_t at;
	enum kind kind;
	unsigned origin, dst;  /* end to end */
	unsigned hop, hop_dst; /* this leg; hop_dst NODES_MAX: to ep, whoever that is */
	struct ep ep, from;
	uint8_t via;
	size_t size;     /* of the outer packet */
	uint8_t n, left; /* as in the relay header */
	struct path_label label[PATH_RELAYS_MAX];
	size_t len;
	uint8_t buf[PATH_MSG_MAX];
};

struct flow {
	bool on;
	unsigned from, to;
	uint8_t via;
	unsigned every_ms, size;
	uint64_t tx, rx;
	ts_t last_rx, started;
	int64_t gap_ms; /* the longest since flow_mark() */
	bool direct;    /* the last one came directly */
};

struct net {
	struct node n[NODES_MAX];
	unsigned count;
	uint64_t seed;
	struct prng prng;
	ts_t now;
	struct frame *flying;
	bool cut[NODES_MAX][NODES_MAX]; /* this direction */
	bool side_cut[NODES_MAX][NODES_MAX];
	unsigned loss_pct, mtu[NODES_MAX][NODES_MAX], delay_ms[NODES_MAX][NODES_MAX], jitter_pct;
	dur_t nat_life;
	struct flow flow[FLOWS_MAX];
	unsigned nflows;
	uint64_t relayed, refused, swallowed;
};

static const struct path_route direct;

static struct path_label label(const struct net *t, unsigned i)
{
	return path_label_of(&t->n[i].key);
}

static unsigned find_label(const struct net *t, const struct path_label *l)
{
	for (unsigned i = 0; i < t->count; i++) {
		if (memcmp(t->n[i].key.b, l->b, sizeof(l->b)) == 0)
			return i;
	}
	return NODES_MAX;
}

static unsigned find_key(const struct net *t, const struct node_key *k)
{
	for (unsigned i = 0; i < t->count; i++) {
		if (node_key_eq(&t->n[i].key, k))
			return i;
	}
	fail_msg("seed %llu: a node that nobody made", (unsigned long long)t->seed);
	return 0;
}

/* --- the underlay --- */

static struct ip outside(const struct net *t, unsigned i)
{
	return t->n[i].nat >= NAT_CONE ? ip_v4(0xc6336401u + i) : t->n[i].ep.ip;
}

/* The source that others see when @i sends to @to; opens the way back. */
static struct ep nat_out(struct net *t, unsigned i, const struct ep *to, uint8_t via)
{
	struct node *x = &t->n[i];
	struct ep out = {outside(t, i), (uint16_t)(PORT + via), 0};
	struct mapping *m = NULL;

	if (x->nat == NAT_OPEN || via > 0)
		return out;
	for (unsigned k = 0; k < x->nmaps; k++) {
		if (ep_eq(&x->maps[k].to, to))
			m = &x->maps[k];
	}
	if (!m) {
		assert_true(x->nmaps < MAPS_MAX);
		m = &x->maps[x->nmaps++];
		m->to = *to;
		m->port = x->nat == NAT_FIREWALL ? PORT
			  : x->nat == NAT_CONE   ? (uint16_t)(40000 + i)
						 : (uint16_t)(50000 + i * 100 + x->nmaps);
	}
	m->used = t->now;
	out.port = m->port;
	return out;
}

/* Who gets what was sent from @from to @to; NODES_MAX: nobody. */
static unsigned nat_in(const struct net *t, const struct ep *from, const struct ep *to)
{
	for (unsigned i = 0; i < t->count; i++) {
		const struct node *x = &t->n[i];
		struct ip ip = outside(t, i);

		if (!ip_eq(&ip, &to->ip))
			continue;
		if (x->nat == NAT_OPEN)
			return to->port == PORT ? i : NODES_MAX;
		for (unsigned k = 0; k < x->nmaps; k++) {
			if (x->maps[k].port == to->port && ep_eq(&x->maps[k].to, from) &&
				ts_before(t->now, ts_add(x->maps[k].used, t->nat_life)))
				return i;
		}
	}
	return NODES_MAX;
}

static void put_flying(struct net *t, struct frame *f)
{
	struct frame **at = &t->flying;

	while (*at && !ts_before(f->at, (*at)->at))
		at = &(*at)->next;
	f->next = *at;
	*at = f;
}

/* Put @f (copied) on the wire from node @f->hop to @f->ep. */
static void emit(struct net *t, struct frame f)
{
	f.from = nat_out(t, f.hop, &f.ep, f.via);
	unsigned to = nat_in(t, &f.from, &f.ep);

	/* A filter is asked again when it arrives: who opens it meanwhile lets it in. */
	unsigned geo = to;
	for (unsigned i = 0; geo == NODES_MAX && i < t->count; i++) {
		struct ip ip = outside(t, i);

		if (ip_eq(&ip, &f.ep.ip))
			geo = i;
	}
	if (geo == NODES_MAX || t->cut[f.hop][geo] || f.size > t->mtu[f.hop][geo] ||
		(f.via && t->side_cut[f.hop][geo]) || prng_below(&t->prng, 100) < t->loss_pct)
		return;
	dur_t delay = DUR_MS(t->delay_ms[f.hop][geo]);
	if (t->jitter_pct)
		delay = prng_jitter(&t->prng, delay, t->jitter_pct);
	struct frame *c = malloc(sizeof(*c));
	assert_non_null(c);
	*c = f;
	c->at = ts_add(t->now, delay);
	put_flying(t, c);
}

/* --- sessions, relays --- */

static unsigned overhead(const struct path_route *r)
{
	return WIRE_OVERHEAD_V4 + (r->n ? WIRE_RELAY_OVERHEAD(r->n) : 0);
}

/* Send end to end from @i to @j by @route, directly to @ep. */
static void send_way(struct net *t, unsigned i, unsigned j, const struct path_route *route,
	const struct ep *ep, struct frame f)
{
	f.origin = i;
	f.dst = j;
	f.hop = i;
	f.ep = *ep;
	if (route->n > 0) {
		unsigned first = find_key(t, &route->first);

		if (!t->n[i].link[first].up)
			return;
		f.n = f.left = route->n;
		for (unsigned k = 1; k < route->n; k++)
			f.label[k - 1] = route->label[k];
		f.label[route->n - 1] = label(t, j);
		f.ep = t->n[i].link[first].ep;
		f.via = 0;
	}
	emit(t, f);
}

/* A relay's work, as weft/wire.h says. */
static void forward(struct net *t, unsigned self, struct frame f)
{
	struct path_label mine = label(t, self), next = f.label[f.n - f.left];

	for (unsigned k = 0; k < f.n; k++) {
		struct path_label from = label(t, f.hop);

		if (path_label_eq(&f.label[k], &mine) || path_label_eq(&f.label[k], &from))
			fail_msg("seed %llu: a route visits a node twice",
				(unsigned long long)t->seed);
	}
	if (!t->n[self].relay) {
		t->refused++;
		return;
	}
	if (t->n[self].crook == CROOK_SWALLOWS) {
		t->swallowed++;
		return;
	}
	unsigned to = find_label(t, &next);
	if (to == NODES_MAX || !t->n[self].link[to].up || t->n[self].link[to].route.n > 0)
		return;
	f.label[f.n - f.left] = label(t, f.hop);
	f.left--;
	f.hop = self;
	f.ep = t->n[self].link[to].ep;
	t->relayed++;
	emit(t, f);
}

/* The way back of what came by relays. */
static struct path_route back(const struct net *t, const struct frame *f)
{
	struct path_route r = {.n = f->n, .first = t->n[f->hop].key};

	if (f->n == 0)
		return direct;
	r.label[0] = label(t, f->hop);
	for (unsigned k = 1; k < f->n; k++)
		r.label[k] = f->label[f->n - k];
	return r;
}

static void link_up(struct net *t, unsigned i, unsigned j, const struct frame *f)
{
	struct link *l = &t->n[i].link[j];
	struct path_route r = back(t, f);

	if (l->up)
		return;
	l->up = true;
	l->route = r;
	l->mtu = 1500;
	l->sides = ~UINT64_C(0);
	l->ep = f->n ? (struct ep){0} : f->from;
	t->n[i].dial[j].on = false;
	int err = path_link_up(
		t->n[i].p, &t->n[j].key, f->n ? NULL : &f->from, f->n ? &r : NULL, t->now);
	if (err < 0)
		fail_msg("seed %llu: link_up %u-%u: %d", (unsigned long long)t->seed, i, j, err);
	path_observed(t->n[j].p, &t->n[i].key, f->n ? &(struct ep){0} : &f->from, t->now);
}

static struct flow *flow_of(struct net *t, const struct frame *f)
{
	for (unsigned i = 0; i < t->nflows; i++) {
		struct flow *w = &t->flow[i];

		if (w->from == f->origin && w->to == f->dst && w->via == f->via)
			return w;
	}
	return NULL;
}

static void on_data(struct net *t, const struct frame *f)
{
	struct link *l = &t->n[f->dst].link[f->origin];
	/* via of a relayed frame was cleared: main flows alone go by relay in these tests */
	struct flow *w = flow_of(t, f);

	l->last_rx = t->now;
	l->rx_new = true;
	if (!w)
		return;
	int64_t gap = dur_ms(ts_sub(t->now, w->last_rx));
	w->gap_ms = gap > w->gap_ms ? gap : w->gap_ms;
	w->last_rx = t->now;
	w->rx++;
	w->direct = f->n == 0;
}

/* A crook's answer to who asks it for a way. False: it was not asked. */
static bool crook_answers(struct net *t, unsigned self, const struct frame *f)
{
	struct path_answer m = {.verdict = PATH_ANSWER_OK, .cost_us = 1};
	struct link *l = &t->n[self].link[f->origin];
	struct frame answer = {.kind = FRAME_PATH};
	struct path_ask ask;
	struct rd r;
	struct wr w;

	rd_init(&r, f->buf, f->len);
	if (t->n[self].crook == CROOK_NOT || rd_u8(&r) != PATH_MSG_ASK)
		return false;
	assert_int_equal(path_ask_decode(&r, &ask), 0);
	m.id = ask.id;
	m.target = path_label_of(&ask.target);
	if (t->n[self].crook == CROOK_CIRCLES) {
		m.n = 2;
		m.rest[0] = label(t, f->origin);
		m.rest[1] = m.target;
	}
	wr_init(&w, answer.buf, sizeof(answer.buf));
	path_answer_encode(&w, &m);
	answer.len = wr_len(&w);
	answer.size = overhead(&l->route) + 1 + answer.len;
	send_way(t, self, f->origin, &l->route, &l->ep, answer);
	return true;
}

static void arrive(struct net *t, struct frame *f)
{
	unsigned self = nat_in(t, &f->from, &f->ep);
	struct path_route r;

	if (self == NODES_MAX || f->kind == FRAME_EMPTY)
		return;
	if (f->left > 0) {
		forward(t, self, *f);
		return;
	}
	if (self != f->dst)
		return; /* another node lives there now: no session, no answer */
	struct node *x = &t->n[self];
	struct path_from from = {.node = t->n[f->origin].key, .relayed = f->n > 0, .ep = f->from};

	switch (f->kind) {
	case FRAME_PATH:
		if (x->link[f->origin].up && !crook_answers(t, self, f))
			(void)path_recv(x->p, &from, f->buf, f->len, t->now);
		break;
	case FRAME_DATA:
		if (x->link[f->origin].up)
			on_data(t, f);
		break;
	case FRAME_HELLO:
		link_up(t, self, f->origin, f);
		r = back(t, f);
		send_way(t, self, f->origin, &r, &f->from,
			(struct frame){.kind = FRAME_WELCOME, .size = 400 + overhead(&r)});
		break;
	case FRAME_WELCOME:
		link_up(t, self, f->origin, f);
		break;
	case FRAME_EMPTY:
		break;
	}
}

/* --- the driver --- */

static void check_route(const struct net *t, unsigned i, unsigned j, const struct path_route *r)
{
	assert_true(r->n <= PATH_RELAYS_MAX);
	for (unsigned k = 0; k < r->n; k++) {
		unsigned x = find_label(t, &r->label[k]);

		if (x == i || x == j || x == NODES_MAX)
			fail_msg("seed %llu: bad route", (unsigned long long)t->seed);
		for (unsigned m = 0; m < k; m++)
			assert_false(path_label_eq(&r->label[k], &r->label[m]));
	}
	if (r->n)
		assert_memory_equal(r->first.b, r->label[0].b, sizeof(r->label[0].b));
}

static void on_send(struct net *t, unsigned i, const struct path_act *a)
{
	unsigned j = find_key(t, &a->node);
	struct link *l = &t->n[i].link[j];
	struct frame f = {.kind = FRAME_PATH, .via = a->via, .len = a->len};

	assert_true(a->len <= PATH_MSG_MAX && l->up);
	check_route(t, i, j, &a->route);
	memcpy(f.buf, a->buf, a->len);
	f.size = overhead(&a->route) + 1 + a->len;
	if (a->pad_to) {
		assert_true(a->pad_to >= f.size);
		f.size = a->pad_to;
	}
	t->n[i].sends++;
	send_way(t, i, j, &a->route, a->ep.ip.family ? &a->ep : &l->ep, f);
}

static void drain(struct net *t, unsigned i)
{
	struct node *x = &t->n[i];
	struct path_act a;

	while (path_next(x->p, &a)) {
		unsigned j = a.type == PATH_OPEN ? 0 : find_key(t, &a.node);

		switch (a.type) {
		case PATH_SEND:
			on_send(t, i, &a);
			break;
		case PATH_USE:
			check_route(t, i, j, &a.route);
			x->link[j].route = a.route;
			if (a.route.n == 0 && a.ep.ip.family)
				x->link[j].ep = a.ep;
			break;
		case PATH_SIDE_PORT:
			x->link[j].sides &= ~(UINT64_C(1) << a.via);
			x->link[j].sides |= (uint64_t)a.on << a.via;
			break;
		case PATH_MTU:
			x->link[j].mtu = a.mtu;
			assert_int_equal(a.halves,
				a.mtu < 1280 + overhead(&a.route) + (a.route.n ? 20u : 0u));
			break;
		case PATH_CONNECT:
			check_route(t, i, j, &a.route);
			x->dial[j] = (struct dial){true, a.route, a.ep, t->now};
			break;
		case PATH_OPEN:
			emit(t, (struct frame){
					.kind = FRAME_EMPTY, .hop = i, .ep = a.ep, .size = 28});
			break;
		case PATH_UNREACHABLE:
			x->unreachable[j] = true;
			break;
		case PATH_RELAY_BAD:
			assert_int_equal(a.route.n, 1);
			x->bad_relays[find_key(t, &a.route.first)]++;
			break;
		case PATH_STATE:
			x->states[j]++;
			break;
		case PATH_DOUBT:
			assert_true(a.on != (x->doubts[j] % 2 > 0));
			x->doubts[j]++;
			break;
		case PATH_NONE:
			fail();
			break;
		}
	}
}

static void dials(struct net *t, unsigned i)
{
	for (unsigned j = 0; j < t->count; j++) {
		struct dial *d = &t->n[i].dial[j];

		if (!d->on || !ts_due(d->next, t->now))
			continue;
		d->next = ts_add(t->now, DUR_MS(REDIAL_MS));
		send_way(t, i, j, &d->route, &d->ep,
			(struct frame){.kind = FRAME_HELLO, .size = 400 + overhead(&d->route)});
	}
}

static void report(struct net *t, unsigned i)
{
	for (unsigned j = 0; j < t->count; j++) {
		struct link *l = &t->n[i].link[j];

		for (uint8_t via = 0; via <= SIDE_PORTS; via++) {
			if (!l->tx_new[via] && !(via == 0 && l->rx_new))
				continue;
			assert_int_equal(path_traffic(t->n[i].p, &t->n[j].key, via, l->last_tx[via],
						 l->last_rx, t->now),
				0);
			l->tx_new[via] = false;
		}
		l->rx_new = false;
	}
}

static void flow_send(struct net *t, struct flow *w)
{
	struct link *l = &t->n[w->from].link[w->to];
	uint8_t via = l->route.n == 0 && (l->sides >> w->via & 1) ? w->via : 0;

	if (!l->up)
		return;
	w->tx++;
	l->last_tx[via] = t->now;
	l->tx_new[via] = true;
	send_way(t, w->from, w->to, &l->route, &l->ep,
		(struct frame){.kind = FRAME_DATA,
			.via = via,
			.size = w->size < l->mtu ? w->size : l->mtu});
}

static inline void run(struct net *t, int64_t ms)
{
	for (ts_t end = ts_add(t->now, DUR_MS(ms)); ts_before(t->now, end);) {
		t->now = ts_add(t->now, DUR_MS(1));
		uint64_t tick = t->now.ns / 1000000;

		while (t->flying && ts_due(t->flying->at, t->now)) {
			struct frame *f = t->flying;

			t->flying = f->next;
			arrive(t, f);
			free(f);
		}
		for (unsigned k = 0; k < t->nflows; k++) {
			struct flow *w = &t->flow[k];

			if (w->on && tick % w->every_ms == 0)
				flow_send(t, w);
		}
		for (unsigned i = 0; i < t->count; i++) {
			if (tick % REPORT_MS == i % REPORT_MS)
				report(t, i);
			if (ts_due(path_deadline(t->n[i].p), t->now)) {
				path_tick(t->n[i].p, t->now);
				assert_true(ts_before(t->now, path_deadline(t->n[i].p)));
			}
			drain(t, i);
			dials(t, i);
		}
	}
}

/* --- making nets --- */

static struct net *net_new(unsigned count, uint64_t seed)
{
	struct net *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->count = count;
	t->seed = seed;
	prng_seed(&t->prng, seed);
	t->now = (ts_t){DUR_SEC(100).ns};
	t->nat_life = DUR_SEC(30);
	for (unsigned i = 0; i < count; i++) {
		struct node *x = &t->n[i];

		x->relay = true;
		for (unsigned k = 0; k < sizeof(x->key.b); k++)
			x->key.b[k] = (uint8_t)prng_next(&t->prng);
		x->ep = (struct ep){ip_v4(0x0a000001u + i), PORT, 0};
		for (unsigned j = 0; j < count; j++) {
			t->delay_ms[i][j] = 5;
			t->mtu[i][j] = 1500;
		}
	}
	return t;
}

/* Start the cores; @mtu of the interfaces. */
static inline void net_start(struct net *t, unsigned mtu)
{
	for (unsigned i = 0; i < t->count; i++) {
		struct path_cfg cfg = {.self = t->n[i].key,
			.relay = t->n[i].relay,
			.has_v4 = true,
			.side_ports = SIDE_PORTS,
			.mtu = mtu,
			.seed = t->seed * 100 + i};

		path_tune_default(&cfg.tune);
		if (t->n[i].gap_ms)
			cfg.tune.probe_gap = DUR_MS(t->n[i].gap_ms);
		t->n[i].p = path_new(&cfg, t->now);
		assert_non_null(t->n[i].p);
		path_local(t->n[i].p, &t->n[i].ep, 1, t->now);
	}
	for (unsigned i = 0; i < t->count; i++) {
		for (unsigned j = 0; j < t->count; j++) {
			struct path_node info = {t->n[j].relay, &t->n[j].ep, 1};

			if (i != j)
				assert_int_equal(
					path_node_set(t->n[i].p, &t->n[j].key, &info, t->now), 0);
		}
	}
}

/* A session, made at once. */
static inline void join(struct net *t, unsigned i, unsigned j)
{
	struct frame f = {.hop = j, .from = {outside(t, j), PORT, 0}};

	link_up(t, i, j, &f);
	f = (struct frame){.hop = i, .from = {outside(t, i), PORT, 0}};
	link_up(t, j, i, &f);
}

static inline void join_all(struct net *t)
{
	for (unsigned i = 0; i < t->count; i++) {
		for (unsigned j = 0; j < i; j++)
			join(t, i, j);
	}
}

static inline void net_free(struct net *t)
{
	for (unsigned i = 0; i < t->count; i++)
		path_free(t->n[i].p);
	while (t->flying) {
		struct frame *f = t->flying;

		t->flying = f->next;
		free(f);
	}
	free(t);
}

static inline struct flow *flow(
	struct net *t, unsigned from, unsigned to, uint8_t via, unsigned size)
{
	struct flow *w = &t->flow[t->nflows++];

	assert_true(t->nflows <= FLOWS_MAX);
	*w = (struct flow){.on = true,
		.from = from,
		.to = to,
		.via = via,
		.every_ms = 10,
		.size = size,
		.last_rx = t->now};
	return w;
}

static inline void mark(const struct net *t, struct flow *w)
{
	w->gap_ms = 0;
	w->last_rx = t->now;
}

/* The longest silence since mark(), the present one included. */
static inline int64_t gap(const struct net *t, const struct flow *w)
{
	int64_t open = dur_ms(ts_sub(t->now, w->last_rx));

	return open > w->gap_ms ? open : w->gap_ms;
}

static inline void cut_both(struct net *t, unsigned i, unsigned j, bool on)
{
	t->cut[i][j] = t->cut[j][i] = on;
}

static inline struct path_info info(const struct net *t, unsigned i, unsigned j)
{
	struct path_info f;

	assert_int_equal(path_get(t->n[i].p, &t->n[j].key, &f), 0);
	return f;
}

static inline struct path_stats stats(const struct net *t, unsigned i)
{
	struct path_stats s;

	path_stats(t->n[i].p, &s);
	return s;
}

static inline unsigned sends(const struct net *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->count; i++)
		n += t->n[i].sends;
	return n;
}

#endif
