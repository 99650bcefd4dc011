/* world.h - a gateway of cluster "mid" (node 0, AS 100) with links to east (node 1, AS 200) and west (node 2, AS
 * 300), whose gateways say what a test likes, and a node of its own (node 3), for the tests of this folder. */
#ifndef WEFT_TEST_LBGP_WORLD_H
#define WEFT_TEST_LBGP_WORLD_H

#include "../bgp/bgpnet.h"
#include "fault.h"
#include "key.h"
#include "lbgp.h"
#include "weft/wire.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ROUTES   64
#define HOLD     (unsigned)(dur_ms(LBGP_HOLD_MIN) / 1000)

enum { MID, EAST, WEST, NODE, NODES };
enum { EAST_BIT = 2, WEST_BIT = 4 };

/* That of the node is configured on it alone: it counts towards its own neighbours. */
static const uint32_t asns[] = {100, 200, 300, 150};
static const char *const ranges[] = {"10.16.0.0/16", "10.32.0.0/16", "10.48.0.0/16"};

struct seen {
	struct pfx pfx;
	int gateway; /* node; -1: none */
	bool offered, outside, exit;
	uint8_t from, to;
};

struct world {
	struct net_sim s;
	struct lbgp *l;
	struct link_cluster c[3];
	struct node_key key[NODES];
	struct lbgp_link link[3]; /* [0]: none */
	bool gateway;             /* node 3 says that it is one */
	struct seen seen[ROUTES];
	size_t nseen;
	bool short_of_memory;
	enum lbgp_way way[NODES];
};

static inline struct pfx P(const char *text) {
	struct pfx p;

	assert_int_equal(pfx_parse(text, &p), 0);
	return p;
}

/* --- the driver --- */

static inline int
open_core(void *ctx, const struct bgp_cfg *cfg, bool listens, struct bgp **core)
{
	struct world *w = ctx;

	(void)listens;
	*core = w->s.n[MID].b = bgp_new(cfg, w->s.now);
	return *core ? 0 : ERR_NOMEM;
}

static inline void close_core(void *ctx)
{
	struct world *w = ctx;

	bgp_free(w->s.n[MID].b);
	w->s.n[MID].b = NULL;
}

static inline int peer_add(void *ctx, const struct bgp_peer_cfg *cfg, uint32_t *peer)
{
	struct world *w = ctx;

	return bgp_peer_add(w->s.n[MID].b, cfg, w->s.now, peer);
}

static inline void peer_del(void *ctx, uint32_t peer)
{
	struct world *w = ctx;

	(void)bgp_peer_del(w->s.n[MID].b, peer, w->s.now);
}

static inline struct seen *seen(struct world *w, const struct pfx *p)
{
	for (size_t i = 0; i < w->nseen; i++)
		if (pfx_eq(&w->seen[i].pfx, p))
			return &w->seen[i];
	assert_true(w->nseen < ROUTES);
	w->seen[w->nseen] = (struct seen){.pfx = *p, .gateway = -1};
	return &w->seen[w->nseen++];
}

static inline void on_route(void *ctx, const struct lbgp_route *r)
{
	struct world *w = ctx;
	struct seen *x = seen(w, &r->pfx);

	x->gateway = -1;
	for (int i = 0; r->gateway && i < NODES; i++)
		if (node_key_eq(&w->key[i], r->gateway))
			x->gateway = i;
	assert_true((r->gateway != NULL) == (x->gateway >= 0));
	assert_false(r->gateway && r->offered);
	x->offered = r->offered;
	x->outside = r->outside;
	x->exit = r->exit;
	x->from = r->from;
	x->to = r->to;
}

static inline bool underlay(void *ctx, const struct pfx *p)
{
	struct ip here = ip_v4(0xc0000201);

	(void)ctx;
	return pfx_has_ip(p, &here);
}

static inline enum lbgp_way way(void *ctx, const struct node_key *key)
{
	const struct world *w = ctx;

	for (int i = 0; i < NODES; i++)
		if (node_key_eq(&w->key[i], key))
			return w->way[i];
	return LBGP_WORKS;
}

static inline void on_act(void *ctx, int node, const struct bgp_act *a)
{
	struct world *w = ctx;

	(void)node;
	if (a->type == BGP_ROUTE) {
		struct bgp_act copy = *a;

		lbgp_route(w->l, &copy);
	}
}

static inline void round_of(struct world *w)
{
	lbgp_round(w->l);
	lbgp_want(w->l, &w->key[EAST], &w->link[EAST], false);
	lbgp_want(w->l, &w->key[WEST], &w->link[WEST], false);
	lbgp_want(w->l, &w->key[NODE], NULL, w->gateway);
}

static inline void run(struct world *w)
{
	net_run(&w->s, 2);
	lbgp_flush(w->l);
	net_run(&w->s, 1);
	lbgp_flush(w->l);
}

static inline void begin(struct world *w)
{
	static const struct lbgp_ops ops = {
		open_core, close_core, peer_add, peer_del, way, on_route, underlay};
	struct lbgp_cfg cfg = {.ops = &ops, .ctx = w};

	memset(w, 0, sizeof(*w));
	net_init(&w->s, 1);
	for (int i = 0; i < 3; i++) {
		w->c[i].asn = asns[i];
		memset(w->c[i].id.b, i + 1, sizeof(w->c[i].id.b));
		w->c[i].ranges[w->c[i].nranges++] = P(ranges[i]);
	}
	for (int i = 0; i < NODES; i++) {
		memset(w->key[i].b, 0x10 + i, sizeof(w->key[i].b));
		key_control_addr(&w->c[i == NODE ? MID : i].id, &w->key[i], &w->s.n[i].addr);
		if (i != MID)
			net_node(&w->s, i, asns[i], 0x0a000000 + (uint32_t)i);
	}
	cfg.cluster = w->c[MID].id;
	cfg.key = w->key[MID];
	w->l = lbgp_new(&cfg);
	assert_non_null(w->l);
	w->s.n[MID].on_act = on_act;
	w->s.n[MID].ctx = w;
	for (int i = EAST; i <= WEST; i++) {
		w->link[i] = (struct lbgp_link){.remote = &w->c[i], .bit = (uint8_t)(1u << i)};
		assert_int_equal(lbgp_link_add(w->l, &w->link[i], w->s.now), 0);
	}
	for (int i = EAST; i < NODES; i++) {
		uint32_t inside = link_asn_of(&w->c[MID].id);
		struct bgp_peer_cfg c = net_peer_cfg(&w->s, MID, i == NODE ? inside : asns[MID]);

		c.internal = i == NODE;
		c.local_as = i == NODE ? inside : 0;
		c.vni = VNI_CONTROL;
		c.families = BGP_FAM(BGP_VPNV4) | BGP_FAM(BGP_VPNV6);
		c.next_hop[0] = ip_v4(0xc0000008);
		c.next_hop[1] = w->s.n[i].addr;
		c.next_hop_self = true;
		(void)net_add(&w->s, i, &c);
	}
	round_of(w);
	assert_int_equal(lbgp_sync(w->l, &w->c[MID], true, true, w->s.now), 0);
	run(w);
}

static inline void end(struct world *w)
{
	lbgp_stop(w->l);
	lbgp_free(w->l);
	net_free(&w->s);
}

/* --- what the others say --- */

struct say {
	const char *prefix;
	uint32_t path[3];                        /* behind the speaker's own, 0: end */
	bool outside, no_rt, bad_rd, last, exit; /* exit: outside, too */
};

/* AS number in front in an AS_SEQUENCE, and the marks of a route, as lbgp writes them. */
static inline void speak(struct world *w, int node, const struct say *x)
{
	uint8_t path[2 + 12] = {2}, ext[24] = {2, 2, 0, 0, 0, 9, 0, VNI_DEFAULT, 0x8f, 0x57, 0, 0,
					    0, 0, 0, 0, 0x8f, 0x59};
	struct bgp_attrs a = {.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH};
	struct bgp_nlri n = {.pfx = P(x->prefix), .label = 3, .rd = {0, 2, 0, 0, 0, 0, 0, 1}};

	n.family = n.pfx.ip.family == IP_V6 ? BGP_VPNV6 : BGP_VPNV4;
	for (; x->path[path[1]]; path[1]++)
		path[2 + 4 * path[1] + 2] = (uint8_t)(x->path[path[1]] >> 8),
				       path[2 + 4 * path[1] + 3] = (uint8_t)x->path[path[1]];
	a.as_path = (struct bgp_span){path, (uint16_t)(path[1] ? 2 + 4 * path[1] : 0)};
	ext[9] = x->last ? 0x58 : 0x57;
	if (!x->no_rt)
		a.ext_communities = (struct bgp_span){ext, x->exit                 ? 24
							   : x->outside || x->last ? 16
										   : 8};
	n.rd[5] = x->bad_rd ? 9 : 0;
	if (bgp_originate(w->s.n[node].b, VNI_CONTROL, &n, &a, w->s.now) != 0)
		assert_true(w->short_of_memory);
	run(w);
}

static inline void unsay(struct world *w, int node, const char *prefix)
{
	struct bgp_nlri n = {.pfx = P(prefix), .rd = {0, 2, 0, 0, 0, 0, 0, 1}};

	n.family = n.pfx.ip.family == IP_V6 ? BGP_VPNV6 : BGP_VPNV4;
	assert_int_equal(bgp_withdraw(w->s.n[node].b, VNI_CONTROL, &n, w->s.now), 0);
	run(w);
}

struct find {
	struct pfx p;
	char path[64];
	bool found;
};

static inline bool find(void *ctx, const struct bgp_entry *e)
{
	struct find *f = ctx;

	if (!pfx_eq(&e->nlri->pfx, &f->p))
		return true;
	f->found = true;
	bgp_attrs_path_fmt(e->attrs, f->path, sizeof(f->path));
	return false;
}

/* The best route of @node to @prefix has that path; NULL: there is none. */
static inline void heard(struct world *w, int node, const char *prefix, const char *path)
{
	struct find f = {.p = P(prefix)};

	(void)bgp_walk(w->s.n[node].b, BGP_LOC_RIB, VNI_CONTROL, 0, find, &f);
	if (!path && f.found)
		fail_msg("node %d heard of %s, path %s", node, prefix, f.path);
	if (path && !f.found)
		fail_msg("node %d did not hear of %s", node, prefix);
	if (path)
		assert_string_equal(f.path, path);
}

static inline void leads(struct world *w, const char *prefix, int gateway, uint8_t from, uint8_t to)
{
	struct pfx p = P(prefix);
	const struct seen *x = seen(w, &p);

	if (x->gateway != gateway || x->from != from || x->to != to)
		fail_msg("%s leads to %d, from %x, to %x; not %d, %x, %x", prefix, x->gateway,
			x->from, x->to, gateway, from, to);
}

static inline void allow(struct world *w, int link, bool in, bool out)
{
	w->link[link].import.ops = in ? &accept_ops : NULL;
	w->link[link].export.ops = out ? &accept_ops : NULL;
	lbgp_judge(w->l, w->s.now);
	run(w);
}

/* A policy that takes all communities away. */
static inline enum bgp_verdict wipe(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	(void)ctx;
	(void)r;
	for (int i = 0; i < 3; i++)
		(void)bgp_edit_clear(e, (enum bgp_list)i);
	return BGP_ACCEPT;
}
static const struct bgp_policy_ops wipe_ops = {wipe};

#endif
