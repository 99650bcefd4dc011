/* bgpsim_node.c - one node: the cores of links and BGP, lbgp between them, and what router/svc/link.c
 * and link_bgp.c do around them. Whoever changes those changes this. */
#include <stdlib.h>
#include <string.h>
#include "bgpsim_int.h"
#include "key.h"
#include "weft/err.h"

struct bs_node *bs_node_by_key(struct bgpsim *s, const struct node_key *key)
{
	for (unsigned i = 0; i < s->nnodes; i++)
		if (node_key_eq(&s->nodes[i].key, key))
			return &s->nodes[i];
	return NULL;
}

/* --- what lbgp asks for --- */

static int open_speaker(void *ctx, const struct bgp_cfg *core, bool listens, struct bgp **out)
{
	struct bs_node *n = ctx;
	struct bgp_cfg cfg = *core;

	cfg.seed = prng_next(&n->rnd);
	n->bgp = bgp_new(&cfg, n->s->now);
	if (!n->bgp)
		return ERR_NOMEM;
	n->listens = listens;
	*out = n->bgp;
	return 0;
}

static void drain_bgp(struct bs_node *n, bool routes)
{
	struct bgp_act a;

	while (n->bgp && bgp_next(n->bgp, &a)) { /* BGP_NONE: there is more to do */
		if (a.type == BGP_ROUTE && routes)
			lbgp_route(n->lbgp, &a);
		else if (a.type == BGP_STATE)
			bs_trace(n->s, "node %u: peer %u is %s%s%s", n->idx, a.peer,
				bgp_state_str(a.state), a.text[0] ? ": " : "", a.text);
		else if (a.type == BGP_LOG)
			bs_trace(n->s, "node %u: peer %u: %s", n->idx, a.peer, a.text);
		else if (n->alive)
			bs_stream_act(n, &a);
	}
	if (routes)
		lbgp_flush(n->lbgp);
}

/* Says Cease to every peer, as bgpd_free() does; a crash says nothing. */
static void close_speaker(void *ctx)
{
	struct bs_node *n = ctx;
	struct bgp_peer_info i;
	size_t it = 0;

	while (n->alive && bgp_peer_next(n->bgp, &it, &i))
		(void)bgp_peer_stop(n->bgp, i.peer, NULL, n->s->now);
	if (n->alive)
		drain_bgp(n, false);
	bgp_free(n->bgp);
	n->bgp = NULL;
	n->listens = false;
}

/* The operators' policy where there is transit: what may not pass whatever it says, lbgp knows. */
static enum bgp_verdict accept_all(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	(void)ctx;
	(void)r;
	(void)e;
	return BGP_ACCEPT;
}

static const struct bgp_policy_ops accept_ops = {accept_all};

static int peer_add(void *ctx, const struct bgp_peer_cfg *core, uint32_t *peer)
{
	struct bs_node *n = ctx;
	const struct bgpsim *s = n->s;
	struct bgp_peer_cfg cfg = *core;
	bool theirs = cfg.remote_as != s->self[n->cluster].asn;

	if (s->cfg.plant == BGPSIM_PLANT_LEAK && n->cluster == 1 && theirs)
		cfg.export.ops = &accept_ops;
	if (s->cfg.plant == BGPSIM_PLANT_CLAIM && theirs)
		cfg.import.ops = &accept_ops;
	if (s->cfg.plant == BGPSIM_PLANT_DEAF && n->idx == s->cfg.nodes - 1 && n->life > 1)
		cfg.passive = true;
	return bgp_peer_add(n->bgp, &cfg, s->now, peer);
}

static void peer_del(void *ctx, uint32_t peer)
{
	struct bs_node *n = ctx;

	(void)bgp_peer_del(n->bgp, peer, n->s->now);
	drain_bgp(n, true);
}

static enum lbgp_way way(void *ctx, const struct node_key *key)
{
	struct bs_node *n = ctx, *to = bs_node_by_key(n->s, key);

	return n->s->doubt[n->idx][to->idx] ? LBGP_FAILS : LBGP_WORKS;
}

static void route(void *ctx, const struct lbgp_route *r)
{
	struct bs_node *n = ctx, *to = r->gateway ? bs_node_by_key(n->s, r->gateway) : NULL;
	struct bs_route now = {.gateway = to ? (int)to->idx : -1, .from = r->from, .to = r->to},
			*at;
	unsigned family;
	int c = bs_cluster_of(n->s, &r->pfx, &family);

	bs_check_route(n, &r->pfx, now.gateway);
	if (c < 0 || (n->s->cfg.plant == BGPSIM_PLANT_LOST && !to && n->idx == 0))
		return;
	at = &n->rt[family][c];
	if (at->gateway == now.gateway && at->from == now.from && at->to == now.to)
		return;
	bs_trace(n->s, "node %u: cluster %d is behind %d", n->idx, c, now.gateway);
	*at = now;
	n->s->version++;
}

/* --- life --- */

static int add_link(struct bs_node *n, const struct bs_link *k)
{
	struct bgpsim *s = n->s;
	bool theirs = n->cluster == k->b; /* we took the invitation of a */
	unsigned number = k->number[theirs], remote = theirs ? k->a : k->b;
	struct link_def def = {.number = number};
	char why[LINK_WHY_MAX];

	def.name[0] = 'l';
	def.name[1] = (char)('0' + number);
	if (theirs) {
		def.remote = s->self[remote];
		for (unsigned i = 0; i < s->cfg.gateways && def.neps < LINK_EPS_MAX; i++)
			if (!s->cfg.split || i == (unsigned)(k - s->links) % s->cfg.gateways)
				def.eps[def.neps++] = s->nodes[remote * s->cfg.nodes + i].ep;
	}
	n->remote[number] = def.remote;
	n->bgplink[number] =
		(struct lbgp_link){.remote = &n->remote[number], .bit = (uint8_t)(1u << number)};
	if (s->cfg.transit)
		n->bgplink[number].import.ops = &accept_ops;
	if (s->transit[n->cluster])
		n->bgplink[number].export.ops = &accept_ops;
	if (links_add(n->links, &def, why, s->now) != 0)
		return ERR_CONFLICT;
	return lbgp_link_add(n->lbgp, &n->bgplink[number], s->now);
}

static bool holds(const struct bs_node *n, const struct bs_link *k)
{
	unsigned which = (unsigned)(k - n->s->links) % n->s->cfg.gateways;

	return n->gateway && (n->cluster == k->a || n->cluster == k->b) &&
	       (!n->s->cfg.split || n->idx % n->s->cfg.nodes == which);
}

static void tell_birth(struct bs_node *n)
{
	struct bgpsim *s = n->s;
	unsigned first = n->cluster * s->cfg.nodes;

	memset(n->known, 0, sizeof(n->known));
	n->known[n->idx] = true;
	for (unsigned i = first; i < first + s->cfg.nodes; i++)
		for (int k = 0; k < 2 && i != n->idx; k++) {
			struct bs_news *w = bs_event(s, sizeof(*w), EV_KNOWN, BIRTH_KNOWN);

			w->at = k ? i : n->idx;
			w->about = k ? n->idx : i;
		}
}

int bs_node_start(struct bs_node *n)
{
	static const struct lbgp_ops ops = {
		open_speaker, close_speaker, peer_add, peer_del, way, route};
	struct bgpsim *s = n->s;
	struct lbgp_cfg cfg = {
		.ops = &ops, .ctx = n, .cluster = s->self[n->cluster].id, .key = n->key};
	int err = 0;

	n->alive = true;
	n->life++;
	n->sides = NULL;
	memset(n->rt, 0xff, sizeof(n->rt));
	memset(n->link_of, 0, sizeof(n->link_of));
	memset(s->doubt[n->idx], 0, sizeof(s->doubt[n->idx])); /* it knows of no way that failed */
	for (unsigned i = 0; i < s->nnodes; i++)
		if (i != n->idx)
			bs_path_changed(s, n->idx, i);
	n->lbgp = lbgp_new(&cfg);
	n->links = n->gateway ? links_new(&n->key, &s->self[n->cluster], s->now) : NULL;
	if (!n->lbgp || (n->gateway && !n->links))
		return ERR_NOMEM;
	for (unsigned i = 0; i < s->nlinks && !err; i++)
		if (holds(n, &s->links[i]))
			err = add_link(n, &s->links[i]);
	tell_birth(n);
	n->sync = true;
	bs_node_drain(n);
	bs_at(s, &n->second, ts_add(s->now, DUR_SEC(1)));
	return err;
}

void bs_node_stop(struct bs_node *n, bool clean)
{
	struct bgpsim *s = n->s;
	unsigned first = n->cluster * s->cfg.nodes;

	if (!clean)
		n->alive = false;
	lbgp_stop(n->lbgp);
	n->alive = false;
	lbgp_free(n->lbgp);
	links_free(n->links);
	n->lbgp = NULL;
	n->links = NULL;
	n->sides = NULL;
	tq_cancel(&s->q, &n->timer.n);
	tq_cancel(&s->q, &n->second.n);
	for (unsigned i = 0; i < s->nnodes; i++)
		if (i != n->idx)
			bs_path_changed(s, n->idx, i);
	for (unsigned i = first; i < first + s->cfg.nodes; i++) {
		struct bs_news *w;

		if (i == n->idx)
			continue;
		w = bs_event(s, sizeof(*w), EV_KNOWN, clean ? BIRTH_KNOWN : DEATH_KNOWN);
		w->at = i;
		w->about = n->idx;
	}
}

void bs_node_known(struct bgpsim *s, const struct bs_news *k)
{
	struct bs_node *n = &s->nodes[k->at];

	if (k->way) {
		s->doubt[k->at][k->about] = !bs_path(s, k->at, k->about);
		n->sync = true; /* link_svc_way_changed() */
	} else {
		n->known[k->about] = s->nodes[k->about].alive;
	}
	if (n->alive)
		bs_node_drain(n);
}

/* --- what the driver does --- */

static void want_all(struct bs_node *n, bool *needed)
{
	struct bgpsim *s = n->s;
	struct link_peer_info p;
	size_t it;

	*needed = n->gateway;
	lbgp_round(n->lbgp);
	for (unsigned number = 1; n->links && number <= LIM_LINKS; number++)
		for (it = 0; links_peer_each(n->links, number, &it, &p);)
			if (p.up)
				lbgp_want(n->lbgp, &p.key, &n->bgplink[number], false);
	for (unsigned i = n->cluster * s->cfg.nodes; i < (n->cluster + 1) * s->cfg.nodes; i++) {
		bool theirs = s->nodes[i].gateway;

		if (i == n->idx || !n->known[i] || (!n->gateway && !theirs))
			continue;
		lbgp_want(n->lbgp, &s->nodes[i].key, NULL, theirs);
		*needed = true;
	}
}

/* PLANT_CLAIM: the first gateway announces the range of the third cluster as well. */
static void claim(struct bs_node *n)
{
	struct link_cluster self = n->s->self[n->cluster];
	bool needed;

	want_all(n, &needed);
	self.ranges[self.nranges++] = n->s->self[2 % n->s->cfg.clusters].ranges[0];
	(void)lbgp_sync(n->lbgp, &self, needed, n->gateway, n->s->now);
}

static void sync_peers(struct bs_node *n)
{
	bool needed;

	n->sync = false;
	if (n->s->cfg.plant == BGPSIM_PLANT_CLAIM && n->idx == 0) {
		claim(n);
		return;
	}
	want_all(n, &needed);
	(void)lbgp_sync(n->lbgp, &n->s->self[n->cluster], needed, n->gateway, n->s->now);
}

static void on_link(struct bs_node *n, const struct link_act *a)
{
	struct bs_node *peer = bs_node_by_key(n->s, &a->key);
	uint32_t before;

	switch (a->type) {
	case LINK_SEND:
		bs_sess_send(n, a);
		break;
	case LINK_DIAL:
		bs_sess_dial(n, a);
		break;
	case LINK_UP:
		bs_trace(n->s, "node %u: link to %u is up", n->idx, peer->idx);
		n->link_of[peer->idx] = (uint8_t)a->link;
		n->s->version++;
		break; /* BGP begins within a second */
	case LINK_DOWN:
		bs_trace(n->s, "node %u: link to %u is down %s", n->idx, peer->idx, a->text);
		n->link_of[peer->idx] = 0;
		n->sync = true;
		n->s->version++;
		break;
	case LINK_LEARNED:
		before = n->remote[a->link].asn;
		n->remote[a->link] = *a->remote;
		lbgp_learned(n->lbgp, &n->bgplink[a->link], before, n->s->now);
		break;
	case LINK_REFUSED:
		bs_fail(n->s, BGPSIM_SESSION, "a link of node %u is refused: %s", n->idx, a->text);
		break;
	default:
		break;
	}
}

void bs_node_drain(struct bs_node *n)
{
	struct bgpsim *s = n->s;
	struct link_act l;
	ts_t when = TS_NEVER;

	if (!n->alive)
		return;
	do {
		while (n->links && links_next(n->links, &l))
			on_link(n, &l);
		if (n->sync)
			sync_peers(n);
		drain_bgp(n, true);
	} while (n->sync);
	if (n->bgp)
		when = bgp_deadline(n->bgp);
	if (n->links)
		when = ts_min(when, links_deadline(n->links));
	if (s->cfg.plant == BGPSIM_PLANT_SPIN && n->idx == 0)
		when = s->now;
	bs_at(s, &n->timer, ts_before(when, s->now) ? s->now : when);
}

void bs_node_tick(struct bs_node *n)
{
	if (n->bgp)
		bgp_tick(n->bgp, n->s->now);
	if (n->links)
		links_tick(n->links, n->s->now);
	bs_node_drain(n);
}

static void chatter(struct bs_node *n)
{
	struct bgp_peer_info i;
	size_t it = 0;

	while (n->bgp && bgp_peer_next(n->bgp, &it, &i))
		for (unsigned k = 0; k < 10; k++)
			(void)bgp_peer_refresh(n->bgp, i.peer, BGP_VPNV4, n->s->now);
}

/* link_svc_second() */
void bs_node_second(struct bs_node *n)
{
	struct bgpsim *s = n->s;
	struct link_gateway gateways[LINK_GATEWAYS_MAX];
	unsigned first = n->cluster * s->cfg.nodes;
	size_t count = 0;

	memset(gateways, 0, sizeof(gateways));
	for (unsigned i = first; i < first + s->cfg.nodes && count < LINK_GATEWAYS_MAX; i++)
		if (s->nodes[i].gateway && n->known[i]) {
			gateways[count].key = s->nodes[i].key;
			gateways[count].neps = 1;
			gateways[count++].eps[0] = s->nodes[i].ep;
		}
	if (n->links)
		links_self(n->links, &s->self[n->cluster], gateways, count, s->now);
	if (s->cfg.plant == BGPSIM_PLANT_CHATTER && n->idx == 0)
		chatter(n);
	n->sync = true;
	bs_node_drain(n);
	bs_at(s, &n->second, ts_add(s->now, DUR_SEC(1)));
}
