/* bgpnet.h - several BGP cores joined by streams in virtual time, for tests: TCP that cuts anywhere,
 * delays a little, can stop reading and can break. */
#ifndef WEFT_TEST_BGPNET_H
#define WEFT_TEST_BGPNET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "weft/err.h"
#include "prng.h"
#include "bgp.h"
#include "bgp_msg.h"

#define NET_NODES 8
#define NET_PIPES 64
#define PIPE_MAX  (1024 * 1024)

struct net_sim;
/* One direction of a connection. */
struct side {
	int node;
	uint32_t conn;
	uint8_t *buf; /* bytes on their way to this side */
	size_t len;
	bool stuck;         /* reads nothing: the other side's writes fill up the pipe */
	bool peer_gone;     /* the other end closed; told after the bytes */
	const uint8_t *out; /* what bgp offered and the pipe had no room for */
	size_t out_len;
};
struct pipe_conn {
	bool used;
	struct side s[2];
};
struct node {
	struct bgp *b;
	struct ip addr;
	bool deaf; /* refuses connections, dials nowhere */
	uint64_t routes, withdrawals, states, logs;
	char last_text[352];
	void (*on_act)(void *ctx, int node, const struct bgp_act *a);
	void *ctx;
};
struct net_sim {
	struct node n[NET_NODES];
	struct pipe_conn p[NET_PIPES];
	struct prng rnd;
	ts_t now;
	size_t pipe_max; /* bytes in flight in one direction */
	bool cut;        /* deliver in random pieces */
};

static inline void net_init(struct net_sim *s, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	prng_seed(&s->rnd, seed);
	s->now = (ts_t){1000000000};
	s->pipe_max = PIPE_MAX;
	s->cut = true;
}

static inline void net_node(struct net_sim *s, int i, uint32_t as, uint32_t id)
{
	struct bgp_cfg cfg = {.local_as = as, .router_id = id, .seed = (uint64_t)i + 1};

	if (s->n[i].addr.family == IP_NONE)
		s->n[i].addr = ip_v4(0x0a000000u + (uint32_t)i + 1);
	s->n[i].b = bgp_new(&cfg, s->now);
	assert_non_null(s->n[i].b);
}

static inline void net_free(struct net_sim *s)
{
	for (int i = 0; i < NET_NODES; i++)
		bgp_free(s->n[i].b);
	for (int i = 0; i < NET_PIPES; i++) {
		free(s->p[i].s[0].buf);
		free(s->p[i].s[1].buf);
	}
}

static inline int node_by_addr(struct net_sim *s, const struct ip *ip)
{
	for (int i = 0; i < NET_NODES; i++)
		if (s->n[i].b && ip_eq(&s->n[i].addr, ip))
			return i;
	return -1;
}

static inline struct side *side_of(struct net_sim *s, int node, uint32_t conn, struct side **other)
{
	for (int i = 0; i < NET_PIPES; i++)
		for (int k = 0; k < 2 && s->p[i].used; k++)
			if (s->p[i].s[k].node == node && s->p[i].s[k].conn == conn) {
				*other = &s->p[i].s[!k];
				return &s->p[i].s[k];
			}
	return NULL;
}

static inline void pipe_free(struct pipe_conn *p)
{
	free(p->s[0].buf);
	free(p->s[1].buf);
	memset(p, 0, sizeof(*p));
}

/* Memory of the test itself: an armed fault fails once, and is not meant for this. */
static inline uint8_t *pipe_buf(void)
{
	uint8_t *p = malloc(PIPE_MAX);

	return p ? p : malloc(PIPE_MAX);
}

static inline void net_dial(struct net_sim *s, int node, const struct bgp_act *a)
{
	int to = node_by_addr(s, &a->remote.ip);
	uint32_t conn;

	if (to < 0 || s->n[to].deaf || s->n[node].deaf ||
		bgp_accepted(s->n[to].b, a->vni, &s->n[node].addr, &s->n[to].addr, s->now, &conn) <
			0) {
		bgp_closed(s->n[node].b, a->conn, s->now);
		return;
	}
	for (int i = 0; i < NET_PIPES; i++) {
		if (s->p[i].used)
			continue;
		memset(&s->p[i], 0, sizeof(s->p[i]));
		s->p[i].used = true;
		s->p[i].s[0] = (struct side){.node = node, .conn = a->conn, .buf = pipe_buf()};
		s->p[i].s[1] = (struct side){.node = to, .conn = conn, .buf = pipe_buf()};
		bgp_connected(s->n[node].b, a->conn, &s->n[node].addr, s->now);
		return;
	}
	fail_msg("out of pipes");
}

/* Push what @me has on offer into the pipe to @other. */
static inline size_t push(struct net_sim *s, struct side *other, const uint8_t *buf, size_t len)
{
	size_t room = s->pipe_max - other->len;
	size_t n = len < room ? len : room;

	memcpy(other->buf + other->len, buf, n);
	other->len += n;
	return n;
}

static inline void net_act(struct net_sim *s, int node, const struct bgp_act *a)
{
	struct node *me = &s->n[node];
	struct side *mine, *other;
	size_t n;

	if (me->on_act)
		me->on_act(me->ctx, node, a);
	switch (a->type) {
	case BGP_CONNECT:
		net_dial(s, node, a);
		break;
	case BGP_SEND:
		mine = side_of(s, node, a->conn, &other);
		assert_true(a->len > 0);
		if (!mine)
			break;
		n = push(s, other, a->buf, a->len);
		mine->out = n ? NULL : a->buf;
		mine->out_len = n ? 0 : a->len;
		bgp_written(me->b, a->conn, n, s->now);
		break;
	case BGP_CLOSE:
		mine = side_of(s, node, a->conn, &other);
		if (mine) {
			mine->node = -1;
			mine->out_len = 0;
			other->peer_gone = true;
		}
		break;
	case BGP_ROUTE:
		me->routes += a->attrs != NULL;
		me->withdrawals += a->attrs == NULL;
		break;
	case BGP_STATE:
		me->states++;
		if (a->text[0])
			snprintf(me->last_text, sizeof(me->last_text), "%s", a->text);
		break;
	default:
		me->logs += a->type == BGP_LOG;
	}
}

static inline bool net_drain(struct net_sim *s, int node)
{
	struct bgp_act a;
	bool any = false;

	while (s->n[node].b && bgp_next(s->n[node].b, &a)) {
		any = true;
		net_act(s, node, &a);
	}
	return any;
}

static inline bool net_deliver(struct net_sim *s, struct pipe_conn *p, int k)
{
	struct side *me = &p->s[k];
	struct node *n = me->node >= 0 ? &s->n[me->node] : NULL;
	size_t take;

	if (me->stuck)
		return false;
	if (me->len) {
		take = s->cut ? 1 + prng_below(&s->rnd, me->len) : me->len;
		if (n)
			bgp_recv(n->b, me->conn, me->buf, take, s->now);
		memmove(me->buf, me->buf + take, me->len - take);
		me->len -= take;
		return true;
	}
	if (me->peer_gone) {
		if (n)
			bgp_closed(n->b, me->conn, s->now);
		pipe_free(p);
		return true;
	}
	return false;
}

/* Writes that had no room are tried again. */
static inline bool net_retry(struct net_sim *s, struct pipe_conn *p, int k)
{
	struct side *me = &p->s[k];
	size_t n;

	if (!me->out_len || me->node < 0)
		return false;
	n = push(s, &p->s[!k], me->out, me->out_len);
	if (!n)
		return false;
	me->out_len = 0;
	bgp_written(s->n[me->node].b, me->conn, n, s->now);
	return true;
}

/* Until nothing moves without time passing. */
static inline void net_settle(struct net_sim *s)
{
	bool moved = true;

	while (moved) {
		moved = false;
		for (int i = 0; i < NET_NODES; i++)
			moved |= net_drain(s, i);
		for (int i = 0; i < NET_PIPES; i++)
			for (int k = 0; k < 2; k++) {
				if (s->p[i].used)
					moved |= net_retry(s, &s->p[i], k);
				if (s->p[i].used)
					moved |= net_deliver(s, &s->p[i], k);
			}
	}
}

static inline void net_run(struct net_sim *s, unsigned secs)
{
	ts_t end = ts_add(s->now, DUR_SEC(secs));

	net_settle(s);
	for (;;) {
		ts_t next = end;

		for (int i = 0; i < NET_NODES; i++)
			if (s->n[i].b)
				next = ts_min(next, bgp_deadline(s->n[i].b));
		s->now = next.ns > s->now.ns ? next : s->now;
		for (int i = 0; i < NET_NODES; i++)
			if (s->n[i].b)
				bgp_tick(s->n[i].b, s->now);
		net_settle(s);
		if (ts_due(end, s->now))
			break;
	}
}

/* Break all streams between two nodes; both ends are told. */
static inline void net_break(struct net_sim *s, int a, int c)
{
	for (int i = 0; i < NET_PIPES; i++) {
		struct pipe_conn *p = &s->p[i], old = *p;

		if (!p->used || !((old.s[0].node == a && old.s[1].node == c) ||
					(old.s[0].node == c && old.s[1].node == a)))
			continue;
		pipe_free(p);
		for (int k = 0; k < 2; k++)
			bgp_closed(s->n[old.s[k].node].b, old.s[k].conn, s->now);
	}
}

static inline enum bgp_verdict accept_all(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	return BGP_ACCEPT;
}
static const struct bgp_policy_ops accept_ops = {accept_all};

static inline struct bgp_peer_cfg net_peer_cfg(struct net_sim *s, int to, uint32_t as)
{
	return (struct bgp_peer_cfg){.vni = 1,
		.remote = {.ip = s->n[to].addr, .port = 179},
		.remote_as = as,
		.families = BGP_FAM(BGP_IPV4),
		.import = {&accept_ops, NULL},
		.export = {&accept_ops, NULL}};
}

/* Join two nodes with the given configuration of each; peer numbers may be NULL. */
static inline uint32_t net_add(struct net_sim *s, int i, const struct bgp_peer_cfg *c)
{
	uint32_t peer = 0;

	assert_int_equal(bgp_peer_add(s->n[i].b, c, s->now, &peer), 0);
	return peer;
}

static inline void net_join(struct net_sim *s, int i, uint32_t as_i, int k, uint32_t as_k)
{
	struct bgp_peer_cfg ci = net_peer_cfg(s, k, as_k), ck = net_peer_cfg(s, i, as_i);

	net_add(s, i, &ci);
	net_add(s, k, &ck);
}

static inline struct bgp_peer_info net_info(struct net_sim *s, int i, int to)
{
	struct bgp_peer_info info;
	size_t it = 0;

	while (bgp_peer_next(s->n[i].b, &it, &info))
		if (ip_eq(&info.remote.ip, &s->n[to].addr))
			return info;
	fail_msg("no such peer");
	return info;
}

static inline struct bgp_nlri nlri4(const char *text)
{
	struct bgp_nlri n = {.family = BGP_IPV4};

	assert_int_equal(pfx_parse(text, &n.pfx), 0);
	if (n.pfx.ip.family == IP_V6)
		n.family = BGP_IPV6;
	return n;
}

static inline void originate(struct net_sim *s, int i, const char *text)
{
	struct bgp_nlri n = nlri4(text);

	assert_int_equal(bgp_originate(s->n[i].b, 1, &n, NULL, s->now), 0);
}

struct found {
	const struct bgp_nlri *want;
	bool hit;
	uint32_t peer;
	char path[128], step[32];
	struct bgp_attrs a; /* spans in room */
	uint8_t room[512];
	unsigned count;
};

static inline bool found_fn(void *ctx, const struct bgp_entry *e)
{
	struct found *f = ctx;
	struct bgp_span *spans[] = {&f->a.as_path, &f->a.communities, &f->a.cluster_list,
		&f->a.ext_communities, &f->a.large_communities, &f->a.unknown};
	size_t used = 0;

	f->count++;
	if (!f->want || !pfx_eq(&e->nlri->pfx, &f->want->pfx) ||
		memcmp(e->nlri->rd, f->want->rd, 8) != 0)
		return true;
	f->hit = true;
	f->peer = e->peer;
	f->a = *e->attrs;
	for (size_t i = 0; i < 6; i++) {
		assert_true(used + spans[i]->len <= sizeof(f->room));
		if (spans[i]->len)
			memcpy(f->room + used, spans[i]->p, spans[i]->len);
		spans[i]->p = f->room + used;
		used += spans[i]->len;
	}
	snprintf(f->step, sizeof(f->step), "%s", e->step ? e->step : "");
	bgp_attrs_path_fmt(e->attrs, f->path, sizeof(f->path));
	return true;
}

/* Is @text in the table? @f tells more. */
static inline bool net_find(struct net_sim *s, int i, enum bgp_table t, uint32_t peer,
	const struct bgp_nlri *want, struct found *f)
{
	memset(f, 0, sizeof(*f));
	f->want = want;
	assert_int_equal(bgp_walk(s->n[i].b, t, 1, peer, found_fn, f), 0);
	return f->hit;
}

static inline bool has_route(struct net_sim *s, int i, const char *text, struct found *f)
{
	struct bgp_nlri n = nlri4(text);
	struct found scratch;

	return net_find(s, i, BGP_LOC_RIB, 0, &n, f ? f : &scratch);
}

#endif
