/* What crosses between clusters: a gateway of cluster "mid" (node 0, AS 100) with links to east (node 1, AS
 * 200) and west (node 2, AS 300), whose gateways say what they like, and a node of its own (node 3). */
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

static const uint32_t asns[] = {100, 200, 300, 100};
static const char *const ranges[] = {"10.16.0.0/16", "10.32.0.0/16", "10.48.0.0/16"};

struct seen {
	struct pfx pfx;
	int gateway; /* node; -1: none */
	bool offered, outside;
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

static struct pfx P(const char *text) {
	struct pfx p;

	assert_int_equal(pfx_parse(text, &p), 0);
	return p;
}

/* --- the driver --- */

static int
open_core(void *ctx, const struct bgp_cfg *cfg, bool listens, struct bgp **core)
{
	struct world *w = ctx;

	(void)listens;
	*core = w->s.n[MID].b = bgp_new(cfg, w->s.now);
	return *core ? 0 : ERR_NOMEM;
}

static void close_core(void *ctx)
{
	struct world *w = ctx;

	bgp_free(w->s.n[MID].b);
	w->s.n[MID].b = NULL;
}

static int peer_add(void *ctx, const struct bgp_peer_cfg *cfg, uint32_t *peer)
{
	struct world *w = ctx;

	return bgp_peer_add(w->s.n[MID].b, cfg, w->s.now, peer);
}

static void peer_del(void *ctx, uint32_t peer)
{
	struct world *w = ctx;

	(void)bgp_peer_del(w->s.n[MID].b, peer, w->s.now);
}

static struct seen *seen(struct world *w, const struct pfx *p)
{
	for (size_t i = 0; i < w->nseen; i++)
		if (pfx_eq(&w->seen[i].pfx, p))
			return &w->seen[i];
	assert_true(w->nseen < ROUTES);
	w->seen[w->nseen] = (struct seen){.pfx = *p, .gateway = -1};
	return &w->seen[w->nseen++];
}

static void on_route(void *ctx, const struct lbgp_route *r)
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
	x->from = r->from;
	x->to = r->to;
}

static bool underlay(void *ctx, const struct pfx *p)
{
	struct ip here = ip_v4(0xc0000201);

	(void)ctx;
	return pfx_has_ip(p, &here);
}

static enum lbgp_way way(void *ctx, const struct node_key *key)
{
	const struct world *w = ctx;

	for (int i = 0; i < NODES; i++)
		if (node_key_eq(&w->key[i], key))
			return w->way[i];
	return LBGP_WORKS;
}

static void on_act(void *ctx, int node, const struct bgp_act *a)
{
	struct world *w = ctx;

	(void)node;
	if (a->type == BGP_ROUTE) {
		struct bgp_act copy = *a;

		lbgp_route(w->l, &copy);
	}
}

static void round_of(struct world *w)
{
	lbgp_round(w->l);
	lbgp_want(w->l, &w->key[EAST], &w->link[EAST], false);
	lbgp_want(w->l, &w->key[WEST], &w->link[WEST], false);
	lbgp_want(w->l, &w->key[NODE], NULL, w->gateway);
}

static void run(struct world *w)
{
	net_run(&w->s, 2);
	lbgp_flush(w->l);
	net_run(&w->s, 1);
	lbgp_flush(w->l);
}

static void begin(struct world *w)
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
		struct bgp_peer_cfg c = net_peer_cfg(&w->s, MID, asns[MID]);

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

static void end(struct world *w)
{
	lbgp_stop(w->l);
	lbgp_free(w->l);
	net_free(&w->s);
}

/* --- what the others say --- */

struct say {
	const char *prefix;
	uint32_t path[3]; /* behind the speaker's own, 0: end */
	bool outside, no_rt, bad_rd, last;
};

/* AS number in front in an AS_SEQUENCE, and the marks of a route, as lbgp writes them. */
static void speak(struct world *w, int node, const struct say *x)
{
	uint8_t path[2 + 12] = {2}, ext[16] = {2, 2, 0, 0, 0, 9, 0, VNI_DEFAULT, 0x8f, 0x57};
	struct bgp_attrs a = {.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH};
	struct bgp_nlri n = {.pfx = P(x->prefix), .label = 3, .rd = {0, 2, 0, 0, 0, 0, 0, 1}};

	n.family = n.pfx.ip.family == IP_V6 ? BGP_VPNV6 : BGP_VPNV4;
	for (; x->path[path[1]]; path[1]++)
		path[2 + 4 * path[1] + 2] = (uint8_t)(x->path[path[1]] >> 8),
				       path[2 + 4 * path[1] + 3] = (uint8_t)x->path[path[1]];
	a.as_path = (struct bgp_span){path, (uint16_t)(path[1] ? 2 + 4 * path[1] : 0)};
	ext[9] = x->last ? 0x58 : 0x57;
	if (!x->no_rt)
		a.ext_communities = (struct bgp_span){ext, x->outside || x->last ? 16 : 8};
	n.rd[5] = x->bad_rd ? 9 : 0;
	if (bgp_originate(w->s.n[node].b, VNI_CONTROL, &n, &a, w->s.now) != 0)
		assert_true(w->short_of_memory);
	run(w);
}

static void unsay(struct world *w, int node, const char *prefix)
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

static bool find(void *ctx, const struct bgp_entry *e)
{
	struct find *f = ctx;

	if (!pfx_eq(&e->nlri->pfx, &f->p))
		return true;
	f->found = true;
	bgp_attrs_path_fmt(e->attrs, f->path, sizeof(f->path));
	return false;
}

/* The best route of @node to @prefix has that path; NULL: there is none. */
static void heard(struct world *w, int node, const char *prefix, const char *path)
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

static void leads(struct world *w, const char *prefix, int gateway, uint8_t from, uint8_t to)
{
	struct pfx p = P(prefix);
	const struct seen *x = seen(w, &p);

	if (x->gateway != gateway || x->from != from || x->to != to)
		fail_msg("%s leads to %d, from %x, to %x; not %d, %x, %x", prefix, x->gateway,
			x->from, x->to, gateway, from, to);
}

static void allow(struct world *w, int link, bool in, bool out)
{
	w->link[link].import.ops = in ? &accept_ops : NULL;
	w->link[link].export.ops = out ? &accept_ops : NULL;
	lbgp_judge(w->l, w->s.now);
	run(w);
}

/* --- tests --- */

/* Without a word: each other's ranges, and nothing through. */
static void default_deny(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	heard(&w, EAST, ranges[MID], "100");
	heard(&w, WEST, ranges[MID], "100");
	heard(&w, NODE, ranges[MID], NULL); /* a node knows it by gossip */
	speak(&w, EAST, &(struct say){ranges[EAST]});
	speak(&w, EAST, &(struct say){"10.32.7.0/24"});
	speak(&w, EAST, &(struct say){"10.33.0.0/16"});
	speak(&w, EAST, &(struct say){"10.32.8.0/24", .outside = true});
	leads(&w, ranges[EAST], EAST, EAST_BIT, 0);
	leads(&w, "10.32.7.0/24", EAST, EAST_BIT, 0);
	leads(&w, "10.33.0.0/16", -1, 0, 0);
	leads(&w, "10.32.8.0/24", -1, 0, 0);
	heard(&w, NODE, ranges[EAST], "200");
	heard(&w, WEST, ranges[EAST], NULL);
	assert_int_equal(w.link[EAST].refused[LBGP_POLICY], 1);
	assert_int_equal(w.link[EAST].refused[LBGP_OTHER], 1);
	unsay(&w, EAST, ranges[EAST]);
	leads(&w, ranges[EAST], -1, 0, 0);
	heard(&w, NODE, ranges[EAST], NULL);
	end(&w);
}

/* A policy that takes all takes nothing that speaks for somebody else. */
static void refused(void **state)
{
	static const struct {
		struct say say;
		int why; /* LBGP_REASONS: it is taken */
	} t[] = {
		{{"10.16.0.0/16"}, LBGP_OWN},
		{{"10.16.5.0/24"}, LBGP_OWN},
		{{"10.0.0.0/8"}, LBGP_OWN},
		{{"10.16.0.0/16", {300}}, LBGP_OWN},
		{{"10.16.0.1/32", .outside = true}, LBGP_OWN},
		{{"0.0.0.0/0"}, LBGP_DEFAULT},
		{{"::/0"}, LBGP_DEFAULT},
		{{"192.0.2.0/24"}, LBGP_UNDERLAY},
		{{"192.0.2.1/32", .outside = true}, LBGP_UNDERLAY},
		{{"128.0.0.0/1"}, LBGP_UNDERLAY},
		{{"10.48.0.0/16"}, LBGP_OTHER},
		{{"10.48.9.0/24"}, LBGP_OTHER},
		{{"10.48.9.0/24", {300}}, LBGP_OTHER},
		{{"10.48.0.0/16", {300, 400}}, LBGP_OTHER},
		{{"10.48.0.0/15"}, LBGP_OTHER},
		{{"10.48.0.0/16", {300}, .outside = true}, LBGP_OTHER},
		{{"10.32.0.0/16", {400}}, LBGP_OTHER}, /* its own range by somebody else */
		{{"10.32.0.0/15"}, LBGP_OTHER},
		{{"10.64.0.0/16", .no_rt = true}, LBGP_SEGMENT},
		{{"10.64.0.0/16", .bad_rd = true}, LBGP_SEGMENT},
		{{"10.48.0.0/16", {300}}, LBGP_REASONS}, /* passed on */
		{{"10.64.0.0/16", {400}}, LBGP_REASONS},
		{{"198.51.100.0/24", {64999}, .outside = true}, LBGP_REASONS},
		{{"2001:db8::/32", {400}}, LBGP_REASONS},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		struct pfx p = P(t[i].say.prefix);
		struct world w;

		begin(&w);
		allow(&w, EAST, true, false);
		speak(&w, EAST, &t[i].say);
		for (int r = 0; r < LBGP_REASONS; r++)
			if (w.link[EAST].refused[r] != (r == t[i].why))
				fail_msg("%s: refused %d times as %s", t[i].say.prefix,
					(int)w.link[EAST].refused[r],
					lbgp_reason_str((enum lbgp_reason)r));
		leads(&w, t[i].say.prefix, t[i].why == LBGP_REASONS ? EAST : -1,
			t[i].why == LBGP_REASONS ? EAST_BIT : 0, 0);
		if (t[i].why != LBGP_REASONS) {
			assert_true(pfx_eq(&w.link[EAST].last_refused, &p));
			assert_int_equal((int)w.link[EAST].last_why, t[i].why);
			heard(&w, NODE, t[i].say.prefix, NULL);
		}
		end(&w);
	}
}

static enum bgp_verdict keep(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	static const uint8_t no_export[] = {0xff, 0xff, 0xff, 0x01};

	(void)ctx;
	(void)r;
	return bgp_edit_add(e, BGP_LIST_COMMUNITY, no_export) == 0 ? BGP_ACCEPT : BGP_REJECT;
}
static const struct bgp_policy_ops keep_ops = {keep};

/* By policy to the third cluster, never back to the one that it went through; and taken back. */
static void transit(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	speak(&w, EAST, &(struct say){ranges[EAST]});
	allow(&w, WEST, false, true);
	heard(&w, WEST, ranges[EAST], "100 200");
	leads(&w, ranges[EAST], EAST, EAST_BIT, WEST_BIT);
	heard(&w, EAST, ranges[WEST], NULL);
	allow(&w, EAST, false, true);
	leads(&w, ranges[EAST], EAST, EAST_BIT, WEST_BIT);
	assert_int_equal(w.s.n[EAST].routes, 1 + 1); /* mid's range, and its own */
	allow(&w, WEST, false, false);
	heard(&w, WEST, ranges[EAST], NULL);
	leads(&w, ranges[EAST], EAST, EAST_BIT, 0);
	/* NO_EXPORT stays here, whatever the policy. */
	allow(&w, WEST, false, true);
	leads(&w, ranges[EAST], EAST, EAST_BIT, WEST_BIT);
	w.link[EAST].import.ops = &keep_ops;
	lbgp_judge(w.l, w.s.now);
	run(&w);
	heard(&w, WEST, ranges[EAST], NULL);
	leads(&w, ranges[EAST], EAST, EAST_BIT, 0);
	/* A loop: what went through us is nothing new. */
	speak(&w, WEST, &(struct say){"10.64.0.0/16", {100, 400}});
	leads(&w, "10.64.0.0/16", -1, 0, 0);
	end(&w);
}

/* Who may speak for a prefix: whoever it was accepted from, as long as that stands. */
static void accepted_from(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	speak(&w, EAST, &(struct say){ranges[EAST]});
	speak(&w, WEST, &(struct say){ranges[EAST], {200}});
	leads(&w, ranges[EAST], EAST, EAST_BIT, 0); /* not from west without a policy */
	allow(&w, WEST, true, false);
	leads(&w, ranges[EAST], EAST, EAST_BIT | WEST_BIT, 0);
	unsay(&w, EAST, ranges[EAST]);
	leads(&w, ranges[EAST], WEST, WEST_BIT, 0);
	speak(&w, EAST, &(struct say){ranges[EAST]});
	leads(&w, ranges[EAST], EAST, EAST_BIT | WEST_BIT, 0);
	unsay(&w, WEST, ranges[EAST]);
	leads(&w, ranges[EAST], EAST, EAST_BIT, 0);
	end(&w);
}

/* Routes of our own side: from gateways, not from nodes, and never for what is ours. */
static void own_nodes(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	speak(&w, NODE, &(struct say){"10.64.0.0/16", {400}});
	speak(&w, NODE, &(struct say){ranges[MID], {400}});
	leads(&w, "10.64.0.0/16", -1, 0, 0);
	for (int i = 0; i < 4; i++) {
		w.gateway = i % 2 == 0;
		round_of(&w);
		assert_int_equal(lbgp_sync(w.l, &w.c[MID], true, true, w.s.now), 0);
		run(&w);
		leads(&w, "10.64.0.0/16", w.gateway ? NODE : -1, w.gateway ? LBGP_OURS : 0, 0);
		leads(&w, ranges[MID], -1, 0, 0);
	}
	/* What another gateway of ours learned goes on, where policy says so. */
	w.gateway = true;
	round_of(&w);
	assert_int_equal(lbgp_sync(w.l, &w.c[MID], true, true, w.s.now), 0);
	run(&w);
	heard(&w, WEST, "10.64.0.0/16", NULL);
	allow(&w, WEST, false, true);
	heard(&w, WEST, "10.64.0.0/16", "100 400");
	leads(&w, "10.64.0.0/16", NODE, LBGP_OURS, WEST_BIT);
	end(&w);
}

/* Routes of another speaker of this node. */
static void offered(void **state)
{
	static const uint8_t path[] = {2, 1, 0, 0, 0xfd, 0xe7};
	struct bgp_attrs a = {
		.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH, .as_path = {path, sizeof(path)}};
	struct pfx p = P("198.51.100.0/24");
	struct world w;

	(void)state;
	begin(&w);
	assert_int_equal(lbgp_offer(w.l, &p, &a, w.s.now), 0);
	run(&w);
	heard(&w, EAST, "198.51.100.0/24", NULL);
	heard(&w, NODE, "198.51.100.0/24", NULL);
	leads(&w, "198.51.100.0/24", -1, 0, 0);
	allow(&w, EAST, false, true);
	heard(&w, EAST, "198.51.100.0/24", "100 64999");
	heard(&w, WEST, "198.51.100.0/24", NULL);
	leads(&w, "198.51.100.0/24", -1, 0, EAST_BIT);
	assert_true(seen(&w, &p)->offered && seen(&w, &p)->outside);
	/* Our own range is not the other speaker's to give or take. */
	for (int i = 0; i < 2; i++) {
		struct pfx own = P(ranges[MID]);

		assert_int_equal(lbgp_offer(w.l, &own, i ? &a : NULL, w.s.now), 0);
		run(&w);
		heard(&w, EAST, ranges[MID], "100");
	}
	/* Another session hears the same, whatever is there that it may not hear. */
	net_break(&w.s, MID, EAST);
	net_break(&w.s, MID, WEST);
	net_run(&w.s, 30);
	heard(&w, EAST, "198.51.100.0/24", "100 64999");
	heard(&w, EAST, ranges[MID], "100");
	heard(&w, WEST, "198.51.100.0/24", NULL);
	heard(&w, WEST, ranges[MID], "100");
	assert_int_equal(lbgp_offer(w.l, &p, NULL, w.s.now), 0);
	run(&w);
	heard(&w, EAST, "198.51.100.0/24", NULL);
	assert_false(seen(&w, &p)->offered);
	leads(&w, "198.51.100.0/24", -1, 0, 0);
	end(&w);
}

static enum bgp_verdict wipe(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	(void)ctx;
	(void)r;
	for (int i = 0; i < 3; i++)
		(void)bgp_edit_clear(e, (enum bgp_list)i);
	return BGP_ACCEPT;
}
static const struct bgp_policy_ops wipe_ops = {wipe};

/* A policy that takes all communities away leaves those that say what a route is. */
static void marks(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.link[EAST].import.ops = w.link[WEST].export.ops = &wipe_ops;
	lbgp_judge(w.l, w.s.now);
	speak(&w, EAST, &(struct say){"198.51.100.0/24", {64999}, .outside = true});
	leads(&w, "198.51.100.0/24", EAST, EAST_BIT, WEST_BIT);
	assert_true(seen(&w, &(struct pfx){ip_v4(0xc6336400), 24})->outside);
	heard(&w, WEST, "198.51.100.0/24", "100 200 64999");
	end(&w);
}

/* A link that goes takes its routes, its bit and its ranges with it. */
static void unlinked(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	allow(&w, WEST, true, true);
	allow(&w, EAST, true, false);
	speak(&w, EAST, &(struct say){ranges[EAST]});
	speak(&w, EAST, &(struct say){ranges[WEST]});
	leads(&w, ranges[EAST], EAST, EAST_BIT, WEST_BIT);
	leads(&w, ranges[WEST], -1, 0, 0);
	lbgp_link_del(w.l, &w.link[WEST], w.s.now);
	run(&w);
	leads(&w, ranges[WEST], EAST, EAST_BIT,
		0); /* nobody's that we know of, and policy takes it */
	assert_int_equal(lbgp_peer(w.l, &w.key[WEST]), 0);
	assert_int_equal(lbgp_link_add(w.l, &w.link[WEST], w.s.now), 0);
	run(&w);
	leads(&w, ranges[WEST], -1, 0, 0);
	for (int i = 0; i < LIM_LINKS - 2; i++)
		assert_int_equal(lbgp_link_add(w.l, &w.link[WEST], w.s.now), 0);
	assert_int_equal(lbgp_link_add(w.l, &w.link[WEST], w.s.now), ERR_FULL);
	end(&w);
}

static void ways_are(struct world *w, int node, enum lbgp_way is)
{
	w->way[node] = is;
	round_of(w);
	assert_int_equal(lbgp_sync(w->l, &w->c[MID], true, true, w->s.now), 0);
	lbgp_flush(w->l);
	net_run(&w->s, 0);
	lbgp_flush(w->l);
}

/* Whose way fails is a last resort: any other way goes before it, without one it stays in use, and other
 * clusters are told nothing of it; its session and its right to speak stand. */
static void last_resort(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	allow(&w, WEST, true, true);
	speak(&w, EAST, &(struct say){ranges[EAST]});
	leads(&w, ranges[EAST], EAST, EAST_BIT, WEST_BIT);
	heard(&w, WEST, ranges[EAST], "100 200");
	ways_are(&w, EAST, LBGP_FAILS);
	assert_true(lbgp_held(w.l, &w.key[EAST]));
	run(&w);
	leads(&w, ranges[EAST], EAST, EAST_BIT, 0);
	heard(&w, WEST, ranges[EAST], NULL);
	heard(&w, NODE, ranges[EAST], "200");
	heard(&w, EAST, ranges[MID], "100");
	/* Another cluster leads there too, by a longer path. */
	speak(&w, WEST, &(struct say){ranges[EAST], {200}});
	leads(&w, ranges[EAST], WEST, EAST_BIT | WEST_BIT, 0);
	heard(&w, NODE, ranges[EAST], "300 200");
	/* It works again, and is taken for good after a while. */
	ways_are(&w, EAST, LBGP_WORKS);
	leads(&w, ranges[EAST], WEST, EAST_BIT | WEST_BIT, 0);
	net_run(&w.s, HOLD);
	ways_are(&w, EAST, LBGP_WORKS);
	run(&w);
	leads(&w, ranges[EAST], EAST, EAST_BIT | WEST_BIT, WEST_BIT);
	unsay(&w, WEST, ranges[EAST]);
	heard(&w, WEST, ranges[EAST], "100 200");
	end(&w);
}

/* A gateway of ours is one too; what it says, or another cluster, of last resorts counts inside alone. */
static void last_resort_of_ours(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	allow(&w, WEST, false, true);
	w.gateway = true;
	ways_are(&w, NODE, LBGP_WORKS);
	speak(&w, NODE, &(struct say){"10.64.0.0/16", {400}});
	heard(&w, WEST, "10.64.0.0/16", "100 400");
	ways_are(&w, NODE, LBGP_FAILS);
	run(&w);
	leads(&w, "10.64.0.0/16", NODE, LBGP_OURS, 0);
	heard(&w, WEST, "10.64.0.0/16", NULL);
	speak(&w, EAST, &(struct say){ranges[EAST], .last = true});
	leads(&w, ranges[EAST], EAST, EAST_BIT, WEST_BIT);
	end(&w);
}

/* Each failure while the last one is not long ago doubles the time of distrust. */
static void a_way_that_flaps(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned n = 0, want = HOLD; n < 10; n++, want = want < 64 ? 2 * want : 64) {
		unsigned secs = 0;

		ways_are(&w, EAST, LBGP_FAILS);
		net_run(&w.s, 100); /* however long that takes */
		for (ways_are(&w, EAST, LBGP_WORKS); lbgp_held(w.l, &w.key[EAST]); secs++) {
			net_run(&w.s, 1);
			ways_are(&w, EAST, LBGP_WORKS);
		}
		/* Beyond LBGP_STEADY it is forgotten: 64 s is the most that can be. */
		assert_int_equal(secs, want);
		if (want == 64)
			break;
	}
	ways_are(&w, EAST, LBGP_FAILS);
	ways_are(&w, EAST, LBGP_WORKS);
	net_run(&w.s, HOLD);
	ways_are(&w, EAST, LBGP_WORKS);
	assert_false(lbgp_held(w.l, &w.key[EAST]));
	end(&w);
}

/* Through relays is well enough, but for another gateway of the same link that is reached directly. */
static void roundabout(void **state)
{
	const struct node_key second = {{9}};
	struct world w;

	(void)state;
	begin(&w);
	ways_are(&w, EAST, LBGP_DOUBTFUL);
	assert_false(lbgp_held(w.l, &w.key[EAST]));
	for (int i = 0; i < 2; i++) { /* it is a peer after the first round */
		round_of(&w);
		lbgp_want(w.l, &second, &w.link[EAST], false);
		assert_int_equal(lbgp_sync(w.l, &w.c[MID], true, true, w.s.now), 0);
	}
	assert_true(lbgp_held(w.l, &w.key[EAST]));
	assert_false(lbgp_held(w.l, &w.key[WEST]));
	ways_are(&w, EAST, LBGP_DOUBTFUL); /* the second is not wanted */
	assert_false(lbgp_held(w.l, &w.key[EAST]));
	end(&w);
}

/* Memory that runs out somewhere refuses or delays; nothing leaks, and nothing crosses that should not. */
static void no_memory(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 400; n++) {
		struct world w;

		begin(&w);
		allow(&w, WEST, false, true);
		w.short_of_memory = true;
		fault_arm(n);
		speak(&w, EAST, &(struct say){ranges[EAST]});
		speak(&w, EAST, &(struct say){ranges[WEST]});
		if (!fault_disarm()) {
			end(&w);
			break;
		}
		net_run(&w.s, 60);
		lbgp_flush(w.l);
		leads(&w, ranges[WEST], -1, 0, 0);
		end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_deny),
		cmocka_unit_test(refused),
		cmocka_unit_test(transit),
		cmocka_unit_test(accepted_from),
		cmocka_unit_test(own_nodes),
		cmocka_unit_test(offered),
		cmocka_unit_test(marks),
		cmocka_unit_test(unlinked),
		cmocka_unit_test(last_resort),
		cmocka_unit_test(last_resort_of_ours),
		cmocka_unit_test(a_way_that_flaps),
		cmocka_unit_test(roundabout),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests_name("lbgp/rules", tests, NULL, NULL);
}
