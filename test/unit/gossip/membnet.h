/* membnet.h - N membership cores in virtual time: links with delay and loss, nodes that stall,
 * crash and return, partitions, one-way cuts; sessions are made as the cores ask for them. All
 * chance comes from one seed. What each node says of each other is kept and judged. */
#ifndef WEFT_TEST_MEMBNET_H
#define WEFT_TEST_MEMBNET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include "weft/err.h"
#include "member.h"
#include "prng.h"

#define NET_MAX         1024
#define NET_HASH        4096
#define NET_DATAGRAM    66 /* bytes around a message: outer headers and two type bytes */
#define NET_STEP        DUR_SEC(1)
#define NET_PEER_SILENT DUR_SEC(10) /* a session without a sign of life ends */
#define NET_SESSION_TTL DUR_SEC(30) /* one that nobody wants any more */

enum net_what { NET_DELIVER, NET_WAKE, NET_LINKED, NET_SECOND };

struct net_event {
	ts_t when;
	uint64_t order;
	enum net_what what;
	int from, to;
	uint32_t life; /* of @to: an event for an earlier life is dropped */
	uint8_t *buf;
	size_t len;
};

struct net_node {
	struct members *m;
	struct identity id;
	uint64_t epoch;
	bool up;
	uint32_t life;
	int side; /* nodes on different sides don't hear each other */
	ts_t stalled, wake;
	uint64_t tx_bytes, tx;
	unsigned refutes;
};

struct net_pair {                          /* as @from sees @to */
	bool watch, linked, dialling, cut; /* cut: nothing gets through in this direction */
	enum member_state state;
	ts_t told;    /* when state was told */
	ts_t last_rx; /* of from, of what to sent */
	ts_t unwanted;
};

struct net {
	uint64_t seed;
	struct prng prng;
	ts_t now;
	int n;
	struct net_node node[NET_MAX];
	struct net_pair pair[NET_MAX][NET_MAX];
	int index[NET_HASH]; /* by the first bytes of the key: number + 1; open addressing */
	double loss;
	dur_t delay_min, delay_max;
	double stall_chance; /* per second, of each node below stall_nodes: 500 ms */
	int stall_nodes;
	struct net_event *heap;
	size_t count, cap;
	uint64_t order;
	/* Judged as it happens. */
	unsigned false_deaths; /* a node that is up and can be heard was declared dead */
	/* The false deaths that count are those of nodes from here on. */
	int judged_from;
	void (*on_send)(struct net *w, int from, int to, uint8_t *buf, size_t len);
};

static inline bool net_before(const struct net_event *a, const struct net_event *b)
{
	return a->when.ns != b->when.ns ? a->when.ns < b->when.ns : a->order < b->order;
}

static inline void net_put(struct net *w, struct net_event e)
{
	size_t i;

	if (w->count == w->cap) {
		w->cap = w->cap ? 2 * w->cap : 1024;
		w->heap = realloc(w->heap, w->cap * sizeof(*w->heap));
		assert_non_null(w->heap);
	}
	e.order = w->order++;
	for (i = w->count++; i > 0 && net_before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = e;
}

static inline struct net_event net_take(struct net *w)
{
	struct net_event top = w->heap[0], last = w->heap[--w->count];
	size_t i = 0, c;

	while ((c = 2 * i + 1) < w->count) {
		if (c + 1 < w->count && net_before(&w->heap[c + 1], &w->heap[c]))
			c++;
		if (!net_before(&w->heap[c], &last))
			break;
		w->heap[i] = w->heap[c];
		i = c;
	}
	w->heap[i] = last;
	return top;
}

static inline bool net_chance(struct net *w, double p)
{
	return (double)prng_below(&w->prng, 1000000) < p * 1e6;
}

static inline bool net_path(const struct net *w, int a, int b)
{
	return w->node[b].up && w->node[a].side == w->node[b].side && !w->pair[a][b].cut;
}

static inline dur_t net_delay(struct net *w)
{
	uint64_t span = (uint64_t)(w->delay_max.ns - w->delay_min.ns) + 1;

	return DUR_NS(w->delay_min.ns + (int64_t)prng_below(&w->prng, span));
}

static inline unsigned net_hash(const struct node_key *k)
{
	return (k->b[0] | (unsigned)k->b[1] << 8) % NET_HASH;
}

static inline int net_index(const struct net *w, const struct node_key *k)
{
	for (unsigned h = net_hash(k); w->index[h]; h = (h + 1) % NET_HASH)
		if (node_key_eq(&w->node[w->index[h] - 1].id.pub, k))
			return w->index[h] - 1;
	fail_msg("seed %llu: an action names a node that nobody is", (unsigned long long)w->seed);
	return -1;
}

static inline void net_send(struct net *w, int from, int to, const uint8_t *buf, size_t len)
{
	struct net_event e = {.what = NET_DELIVER, .from = from, .to = to, .len = len};

	w->node[from].tx_bytes += len + NET_DATAGRAM;
	w->node[from].tx++;
	if (!net_path(w, from, to) || net_chance(w, w->loss))
		return;
	e.when = ts_add(w->now, net_delay(w));
	e.life = w->node[to].life;
	e.buf = malloc(len);
	assert_non_null(e.buf);
	memcpy(e.buf, buf, len);
	if (w->on_send)
		w->on_send(w, from, to, e.buf, len);
	net_put(w, e);
}

static inline void net_dial(struct net *w, int i, int j)
{
	struct net_event e = {.what = NET_LINKED, .from = i, .to = j};

	if (w->pair[i][j].linked || w->pair[i][j].dialling)
		return;
	w->pair[i][j].dialling = true;
	/* A round trip and a half; a lost datagram costs a second. */
	e.when = ts_add(w->now, DUR_NS(net_delay(w).ns * 3));
	if (net_chance(w, 3 * w->loss))
		e.when = ts_add(e.when, DUR_SEC(1));
	e.life = w->node[j].life;
	net_put(w, e);
}

static inline void net_told(struct net *w, int i, int j, enum member_state state)
{
	struct net_pair *p = &w->pair[i][j];

	p->state = state;
	p->told = w->now;
	if (state == MEMBER_GONE && w->node[j].up && w->node[i].side == w->node[j].side &&
		i >= w->judged_from && j >= w->judged_from)
		w->false_deaths++;
}

static inline void net_wake_at(struct net *w, int i)
{
	ts_t t = members_deadline(w->node[i].m);

	if (ts_before(t, w->now))
		t = w->now;
	if (ts_before(t, w->node[i].stalled))
		t = w->node[i].stalled;
	if (ts_is_never(t) || t.ns == w->node[i].wake.ns)
		return;
	w->node[i].wake = t;
	net_put(w,
		(struct net_event){.what = NET_WAKE, .when = t, .to = i, .life = w->node[i].life});
}

static inline void net_drain(struct net *w, int i)
{
	struct member_act a;

	while (members_next(w->node[i].m, &a)) {
		int j = a.type == MEMBER_REFUTE ? i : net_index(w, &a.node);

		switch (a.type) {
		case MEMBER_SEND:
			assert_true(a.len > 0 && a.len <= MEMBER_MSG_MAX);
			assert_true(w->pair[i][j].linked);
			net_send(w, i, j, a.buf, a.len);
			break;
		case MEMBER_WATCH:
			assert_false(w->pair[i][j].watch);
			w->pair[i][j].watch = true;
			net_dial(w, i, j);
			break;
		case MEMBER_UNWATCH:
			assert_true(w->pair[i][j].watch);
			w->pair[i][j].watch = false;
			w->pair[i][j].unwanted = w->now;
			break;
		case MEMBER_ALIVE:
			net_told(w, i, j, MEMBER_OK);
			break;
		case MEMBER_SUSPECT:
			net_told(w, i, j, MEMBER_DOUBTED);
			break;
		case MEMBER_DEAD:
			net_told(w, i, j, MEMBER_GONE);
			break;
		case MEMBER_LEFT:
			net_told(w, i, j, MEMBER_AWAY);
			break;
		case MEMBER_REFUTE:
			w->node[i].refutes++;
			break;
		default:
			break;
		}
	}
	net_wake_at(w, i);
}

static inline void net_link(struct net *w, int i, int j, bool up)
{
	if (w->pair[i][j].linked == up || !w->node[i].up)
		return;
	w->pair[i][j].linked = up;
	w->pair[i][j].last_rx = w->now;
	assert_int_equal(members_link(w->node[i].m, &w->node[j].id.pub, up, w->now), 0);
	net_drain(w, i);
}

static inline void net_linked(struct net *w, const struct net_event *e)
{
	int i = e->from, j = e->to;

	w->pair[i][j].dialling = false;
	if (!w->node[i].up || w->node[j].life != e->life || !net_path(w, i, j) ||
		!net_path(w, j, i) || ts_before(w->now, w->node[i].stalled) ||
		ts_before(w->now, w->node[j].stalled))
		return; /* dialled again within a second */
	net_link(w, i, j, true);
	net_link(w, j, i, true);
}

/* What sessions do by themselves, each second. */
static inline void net_second(struct net *w)
{
	for (int i = 0; i < w->n; i++) {
		if (!w->node[i].up)
			continue;
		if (i < w->stall_nodes && net_chance(w, w->stall_chance))
			w->node[i].stalled = ts_add(w->now, DUR_MS(500));
		if (ts_before(w->now, w->node[i].stalled))
			continue;
		for (int j = 0; j < w->n; j++) {
			struct net_pair *p = &w->pair[i][j];

			if (p->watch)
				net_dial(w, i, j);
			if (!p->linked)
				continue;
			if (ts_due(ts_add(p->last_rx, NET_PEER_SILENT), w->now))
				net_link(w, i, j, false);
			else if (!p->watch && !w->pair[j][i].watch &&
				 ts_due(ts_add(p->unwanted, NET_SESSION_TTL), w->now)) {
				net_link(w, i, j, false);
				net_link(w, j, i, false);
			}
		}
	}
	net_put(w, (struct net_event){.what = NET_SECOND, .when = ts_add(w->now, NET_STEP)});
}

static inline void net_event(struct net *w, struct net_event *e)
{
	struct net_node *d = &w->node[e->to];

	if (e->what == NET_SECOND) {
		net_second(w);
		return;
	}
	if (e->what == NET_LINKED) {
		net_linked(w, e);
		return;
	}
	if (!d->up || d->life != e->life)
		return;
	if (ts_before(w->now, d->stalled)) {
		/* It lies in the socket until the node runs again; what came first is read first. */
		e->when = d->stalled;
		if (e->what == NET_WAKE)
			d->wake = e->when;
		net_put(w, *e);
		e->buf = NULL;
		return;
	}
	if (e->what == NET_WAKE) {
		if (e->when.ns != d->wake.ns)
			return;
		d->wake = TS_NEVER;
		members_tick(d->m, w->now);
	} else {
		struct net_pair *p = &w->pair[e->to][e->from];

		p->last_rx = w->now;
		if (p->linked)
			(void)members_recv(d->m, &w->node[e->from].id.pub, e->buf, e->len, w->now);
		else /* a reset: the sender's session is unknown here */
			net_link(w, e->from, e->to, false);
	}
	net_drain(w, e->to);
}

static inline void net_run(struct net *w, dur_t time)
{
	ts_t end = ts_add(w->now, time);

	while (w->count > 0 && !ts_before(end, w->heap[0].when)) {
		struct net_event e = net_take(w);

		w->now = e.when;
		net_event(w, &e);
		free(e.buf);
	}
	w->now = end;
}

static inline void net_start(struct net *w, int i, bool knows)
{
	struct net_node *d = &w->node[i];
	struct members_cfg cfg = {
		.id = &d->id,
		.cluster = {{7}},
		.epoch = ++d->epoch,
		.seed = prng_next(&w->prng),
	};

	d->m = members_new(&cfg, w->now);
	assert_non_null(d->m);
	d->up = true;
	d->life++;
	d->wake = TS_NEVER;
	d->stalled = TS_ZERO;
	for (int j = 0; j < w->n; j++) {
		struct net_pair *p = &w->pair[i][j];

		*p = (struct net_pair){.cut = p->cut};
		/* Its peers find out by their sessions' reset. */
		if (j != i)
			net_link(w, j, i, false);
		if (j != i && knows)
			assert_int_equal(members_node_add(d->m, &w->node[j].id.pub,
						 w->node[j].epoch, w->now),
				0);
	}
	net_drain(w, i);
}

static inline void net_crash(struct net *w, int i)
{
	w->node[i].up = false;
	members_free(w->node[i].m);
	w->node[i].m = NULL;
}

/* Everybody learns of everybody's record. */
static inline void net_tell_record(struct net *w, int j)
{
	for (int i = 0; i < w->n; i++)
		if (i != j && w->node[i].up) {
			assert_int_equal(members_node_add(w->node[i].m, &w->node[j].id.pub,
						 w->node[j].epoch, w->now),
				0);
			net_drain(w, i);
		}
}

/* A cluster of @n nodes that know each other, after it has settled. */
static inline struct net *net_new(int n, uint64_t seed)
{
	struct net *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_true(n <= NET_MAX);
	w->seed = seed;
	w->n = n;
	w->now = ts_add(TS_ZERO, DUR_SEC(1000));
	w->delay_min = DUR_MS(1);
	w->delay_max = DUR_MS(30);
	prng_seed(&w->prng, seed);
	for (int i = 0; i < n; i++) {
		uint8_t b[32] = {(uint8_t)i, (uint8_t)(i >> 8), 1};

		memcpy(b + 8, &seed, sizeof(seed));
		identity_from_seed(b, &w->node[i].id);
		unsigned h = net_hash(&w->node[i].id.pub);
		while (w->index[h])
			h = (h + 1) % NET_HASH;
		w->index[h] = i + 1;
	}
	for (int i = 0; i < n; i++)
		net_start(w, i, false);
	for (int i = 0; i < n; i++)
		net_tell_record(w, i);
	net_put(w, (struct net_event){.what = NET_SECOND, .when = ts_add(w->now, NET_STEP)});
	net_run(w, DUR_SEC(20));
	return w;
}

static inline void net_free(struct net *w)
{
	while (w->count > 0)
		free(net_take(w).buf);
	for (int i = 0; i < w->n; i++)
		members_free(w->node[i].m);
	free(w->heap);
	free(w);
}

/* How many pairs of nodes that are up and not @except: i holds j in @state? */
static inline unsigned net_count(const struct net *w, int j, enum member_state state)
{
	unsigned count = 0;

	for (int i = 0; i < w->n; i++)
		count += i != j && w->node[i].up && w->pair[i][j].state == state;
	return count;
}

/* All that are up hold all that are up alive? */
static inline bool net_agreed(const struct net *w)
{
	for (int i = 0; i < w->n; i++)
		for (int j = 0; j < w->n; j++)
			if (i != j && w->node[i].up && w->node[j].up &&
				w->pair[i][j].state != MEMBER_OK)
				return false;
	return true;
}

static inline void net_stats(const struct net *w, int i, struct members_stats *out)
{
	members_stats(w->node[i].m, out);
}

#endif
