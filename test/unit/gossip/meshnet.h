/* meshnet.h - whole meshes of gossip cores in virtual time, for the tests of the mesh. A link comes to
 * be when a core asks to dial and the network lets it; datagrams are lost, reordered, doubled; the
 * network is cut and mended; nodes crash and return with or without their disk. Links that both ends
 * released end at once. One mesh per program at a time. */
#ifndef WEFT_MESHNET_H
#define WEFT_MESHNET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "weft/log.h"
#include "gossip.h"
#include "member.h"
#include "gossip_wire.h"
#include "prng.h"
#include "record.h"

/* Not every program uses all of them. */
#define MESHNET_FN static __attribute__((unused))

#define NODES_MAX  32
#define ROUTES_MAX 2048

struct route {
	struct node_key node;
	struct gossip_prefix p;
};

struct sim_node {
	struct gossip *g;
	struct identity id;
	char name[NODE_NAME_MAX + 1];
	struct ep ep;
	uint64_t disk_epoch;
	struct gossip_prefix prefixes[8];
	size_t nprefixes;
	bool running, left;
	struct route routes[ROUTES_MAX];
	size_t nroutes;
	size_t nup;
	unsigned forgotten; /* nodes that it was told are */
	uint64_t self_at;   /* the last time at which it was itself */
	unsigned dials, clones, name_conflicts, prefix_conflicts, epochs, hangups, releases;
	unsigned lies[GOSSIP_LIES]; /* told of others; */
	struct node_key liar;       /* the last of these */
	size_t neps_told;           /* of the last clone or name notice */
	struct ep eps_told[2];
};

struct dgram {
	struct dgram *next;
	ts_t at;
	unsigned from, to, from_life, to_life;
	size_t len;
	uint8_t buf[WIRE_CTL_BODY_MAX];
};

struct sim {
	struct sim_node n[NODES_MAX];
	unsigned count;
	bool link[NODES_MAX][NODES_MAX]; /* symmetric */
	bool released[NODES_MAX][NODES_MAX];
	unsigned life[NODES_MAX];  /* counts starts: datagrams of an earlier life are void */
	unsigned group[NODES_MAX]; /* partitions */
	struct dgram *net;         /* sorted by at */
	ts_t now;
	struct prng rng;
	uint64_t seed, datagrams, bytes;
	unsigned loss_pct, dup_pct;
	dur_t delay_max;
	bool overlay; /* links to neighbours only, as membership wants */
	struct cluster_id cluster;
};

static struct sim sim;

#define check(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			fail_msg("seed %llu, %.3f s: %s", (unsigned long long)sim.seed,            \
				(double)sim.now.ns / 1e9, #cond);                                  \
	} while (0)

/* The peer behind @i's link with @key; -1: there is none (any more). */
MESHNET_FN int find(unsigned i, const struct node_key *key)
{
	for (unsigned j = 0; j < sim.count; j++)
		if (sim.link[i][j] && node_key_eq(&sim.n[j].id.pub, key))
			return (int)j;
	return -1;
}

MESHNET_FN void pump(unsigned i);

MESHNET_FN void set_link(unsigned a, unsigned b, bool on)
{
	if (sim.link[a][b] == on)
		return;
	/* A peer has one session per key: of two nodes with one key the newer takes it over. */
	for (unsigned c = 0; on && c < sim.count; c++) {
		if (c != b && sim.link[a][c] && node_key_eq(&sim.n[c].id.pub, &sim.n[b].id.pub))
			set_link(a, c, false);
		if (c != a && sim.link[b][c] && node_key_eq(&sim.n[c].id.pub, &sim.n[a].id.pub))
			set_link(b, c, false);
	}
	sim.link[a][b] = sim.link[b][a] = on;
	sim.released[a][b] = sim.released[b][a] = false;
	for (int side = 0; side < 2; side++) {
		struct sim_node *us = &sim.n[side ? b : a], *them = &sim.n[side ? a : b];

		if (!us->running)
			continue;
		if (on)
			check(gossip_link_up(us->g, &them->id.pub, &them->ep, sim.now) == 0);
		else
			gossip_link_down(us->g, &them->id.pub, sim.now);
		pump(side ? b : a);
	}
}

MESHNET_FN bool may_link(unsigned a, unsigned b)
{
	return a != b && sim.n[a].running && sim.n[b].running && sim.group[a] == sim.group[b] &&
	       !node_key_eq(&sim.n[a].id.pub, &sim.n[b].id.pub);
}

MESHNET_FN void net_add(unsigned from, unsigned to, const uint8_t *buf, size_t len)
{
	struct dgram *d = calloc(1, sizeof(*d)), **p = &sim.net;

	assert_non_null(d);
	d->at = ts_add(sim.now, DUR_NS(1 + prng_below(&sim.rng, (uint64_t)sim.delay_max.ns)));
	d->from = from;
	d->to = to;
	d->from_life = sim.life[from];
	d->to_life = sim.life[to];
	d->len = len;
	memcpy(d->buf, buf, len);
	while (*p && !ts_before(d->at, (*p)->at))
		p = &(*p)->next;
	d->next = *p;
	*p = d;
}

MESHNET_FN void act_send(unsigned i, const struct gossip_act *a)
{
	int to = find(i, &a->node);

	check(a->len > 0 && a->len <= WIRE_CTL_BODY_MAX);
	sim.datagrams++;
	sim.bytes += a->len;
	if (to < 0)
		return; /* the link went while this was on its way out */
	if (prng_below(&sim.rng, 100) >= sim.loss_pct)
		net_add(i, (unsigned)to, a->buf, a->len);
	if (prng_below(&sim.rng, 100) < sim.dup_pct)
		net_add(i, (unsigned)to, a->buf, a->len);
}

MESHNET_FN void act_dial(unsigned i, const struct gossip_act *a)
{
	sim.n[i].dials++;
	check(a->neps > 0 && a->neps <= LIM_ENDPOINTS_PER_NODE + 1);
	for (unsigned j = 0; j < sim.count; j++)
		for (size_t k = 0; k < a->neps; k++)
			if (may_link(i, j) && ep_eq(&sim.n[j].ep, &a->eps[k]) &&
				node_key_eq(&sim.n[j].id.pub, &a->node)) {
				set_link(i, j, true);
				return;
			}
}

MESHNET_FN void act_route(unsigned i, const struct gossip_act *a)
{
	struct sim_node *n = &sim.n[i];
	size_t r = 0;

	while (r < n->nroutes && !(node_key_eq(&n->routes[r].node, &a->node) &&
					 n->routes[r].p.vni == a->prefix.vni &&
					 pfx_eq(&n->routes[r].p.pfx, &a->prefix.pfx)))
		r++;
	if (a->type == GOSSIP_ROUTE_DEL) {
		check(r < n->nroutes);
		n->routes[r] = n->routes[--n->nroutes];
		return;
	}
	check(r == n->nroutes && n->nroutes < ROUTES_MAX);
	/* One owner at a time, at every step. */
	for (r = 0; r < n->nroutes; r++)
		if (n->routes[r].p.vni == a->prefix.vni &&
			!node_key_eq(&n->routes[r].node, &a->node))
			check(!pfx_overlaps(&n->routes[r].p.pfx, &a->prefix.pfx));
	n->routes[n->nroutes].node = a->node;
	n->routes[n->nroutes++].p = a->prefix;
}

MESHNET_FN void act_told(struct sim_node *n, const struct gossip_act *a)
{
	n->neps_told = a->neps;
	if (a->neps)
		memcpy(n->eps_told, a->eps, a->neps * sizeof(a->eps[0]));
}

MESHNET_FN void pump(unsigned i)
{
	struct sim_node *n = &sim.n[i];
	struct gossip_act a;

	while (n->running && gossip_next(n->g, &a)) {
		int peer = find(i, &a.node);

		switch (a.type) {
		case GOSSIP_SEND:
			act_send(i, &a);
			break;
		case GOSSIP_DIAL:
			act_dial(i, &a);
			break;
		case GOSSIP_HANGUP:
			n->hangups++;
			if (peer >= 0)
				set_link(i, (unsigned)peer, false);
			break;
		case GOSSIP_ROUTE_ADD:
		case GOSSIP_ROUTE_DEL:
			act_route(i, &a);
			break;
		case GOSSIP_NODE_UP:
			n->nup++;
			break;
		case GOSSIP_NODE_DOWN:
			check(n->nup > 0);
			n->nup--;
			break;
		case GOSSIP_NAME_CONFLICT:
			n->name_conflicts++;
			act_told(n, &a);
			break;
		case GOSSIP_KEY_CLONE:
			n->clones++;
			act_told(n, &a);
			break;
		case GOSSIP_PREFIX_CONFLICT:
			n->prefix_conflicts++;
			break;
		case GOSSIP_FORGOTTEN:
			if (node_key_eq(&a.node, &n->id.pub))
				n->self_at = a.at_secs;
			else
				n->forgotten++;
			break;
		case GOSSIP_EPOCH:
			n->epochs++;
			check(a.epoch > n->disk_epoch);
			n->disk_epoch = a.epoch;
			gossip_epoch_stored(n->g, a.epoch, sim.now);
			break;
		case GOSSIP_RELEASE:
			n->releases++;
			check(peer >= 0);
			sim.released[i][peer] = true;
			/* Needed by neither: it falls idle. */
			if (sim.released[peer][i])
				set_link(i, (unsigned)peer, false);
			break;
		case GOSSIP_LIAR:
			n->lies[a.lie]++;
			n->liar = a.node;
			break;
		case GOSSIP_NONE:
			check(false);
		}
	}
}

MESHNET_FN void start(unsigned i)
{
	struct sim_node *n = &sim.n[i];
	struct gossip_cfg cfg = {.id = &n->id,
		.full_mesh = !sim.overlay,
		.cluster = sim.cluster,
		.version = "1",
		.epoch = ++n->disk_epoch,
		.seed = prng_next(&sim.rng)};

	memcpy(cfg.name, n->name, sizeof(cfg.name));
	n->g = gossip_new(&cfg, sim.now);
	assert_non_null(n->g);
	n->running = true;
	n->left = false;
	n->nroutes = n->nup = 0;
	check(gossip_set_endpoints(n->g, &n->ep, 1, sim.now) == 0);
	check(gossip_set_prefixes(n->g, n->prefixes, n->nprefixes, sim.now) == 0);
	pump(i);
}

/* kill -9: peers notice when their session times out, here at once. */
MESHNET_FN void crash(unsigned i)
{
	if (!sim.n[i].running)
		return;
	sim.n[i].running = false;
	sim.life[i]++;
	for (unsigned j = 0; j < sim.count; j++)
		set_link(i, j, false);
	gossip_free(sim.n[i].g);
	sim.n[i].g = NULL;
}

MESHNET_FN ts_t next_event(void)
{
	ts_t t = sim.net ? sim.net->at : TS_NEVER;

	for (unsigned i = 0; i < sim.count; i++)
		if (sim.n[i].running)
			t = ts_min(t, gossip_deadline(sim.n[i].g));
	return t;
}

MESHNET_FN void deliver(void)
{
	struct dgram *d = sim.net;

	sim.net = d->next;
	if (sim.n[d->to].running && sim.link[d->from][d->to] && d->from_life == sim.life[d->from] &&
		d->to_life == sim.life[d->to]) {
		int err = gossip_recv(
			sim.n[d->to].g, &sim.n[d->from].id.pub, d->buf, d->len, sim.now);

		check(err == 0 || err == ERR_STALE || err == ERR_FULL || err == ERR_AUTH ||
			err == ERR_FOREIGN || err == ERR_MALFORMED || err == ERR_LIMIT);
		pump(d->to);
	}
	free(d);
}

/* What a tick brings about may be due at once, but not for ever. */
MESHNET_FN void tick(unsigned i)
{
	struct sim_node *n = &sim.n[i];

	for (int k = 0; n->running && ts_due(gossip_deadline(n->g), sim.now); k++) {
		check(k < 4);
		gossip_tick(n->g, sim.now);
		pump(i);
	}
}

MESHNET_FN void run(dur_t d)
{
	ts_t until = ts_add(sim.now, d);

	for (;;) {
		ts_t t = next_event();

		if (ts_before(until, t))
			break;
		check(!ts_before(t, sim.now));
		sim.now = t;
		while (sim.net && ts_due(sim.net->at, sim.now))
			deliver();
		for (unsigned i = 0; i < sim.count; i++)
			tick(i);
	}
	sim.now = until;
}

MESHNET_FN struct gossip_prefix prefix(const char *text, uint8_t right)
{
	struct gossip_prefix p = {.vni = 1, .right = right};

	assert_int_equal(pfx_parse(text, &p.pfx), 0);
	return p;
}

MESHNET_FN void sim_init(unsigned count, uint64_t seed)
{
	memset(&sim, 0, sizeof(sim));
	sim.count = count;
	sim.seed = seed;
	sim.now = ts_add(TS_ZERO, DUR_SEC(1000));
	sim.delay_max = DUR_MS(20);
	prng_seed(&sim.rng, seed);
	memset(&sim.cluster, 0x5a, sizeof(sim.cluster));
	for (unsigned i = 0; i < count; i++) {
		struct sim_node *n = &sim.n[i];
		uint8_t id_seed[32] = {(uint8_t)i, 1};
		char text[64];

		memcpy(id_seed + 8, &seed, sizeof(seed));
		identity_from_seed(id_seed, &n->id);
		snprintf(n->name, sizeof(n->name), "node-%u", i);
		snprintf(text, sizeof(text), "192.0.2.%u:6793", i + 1);
		assert_int_equal(ep_parse(text, 0, &n->ep), 0);
		snprintf(text, sizeof(text), "10.%u.0.0/16", i);
		n->prefixes[0] = prefix(text, RIGHT_CONFIG);
		snprintf(text, sizeof(text), "fd00:0:0:%u::/64", i);
		n->prefixes[1] = prefix(text, RIGHT_CONFIG);
		n->nprefixes = 2;
	}
}

MESHNET_FN void sim_fini(void)
{
	while (sim.net) {
		struct dgram *d = sim.net;

		sim.net = d->next;
		free(d);
	}
	for (unsigned i = 0; i < sim.count; i++)
		gossip_free(sim.n[i].g);
}

MESHNET_FN void start_all(void)
{
	for (unsigned i = 0; i < sim.count; i++)
		start(i);
}

/* What --peer does: node @a's driver dials @b until it has it. */
MESHNET_FN void join(unsigned a, unsigned b)
{
	if (may_link(a, b))
		set_link(a, b, true);
}

MESHNET_FN bool has_route(
	const struct sim_node *n, const struct sim_node *owner, const struct pfx *p)
{
	for (size_t r = 0; r < n->nroutes; r++)
		if (node_key_eq(&n->routes[r].node, &owner->id.pub) &&
			pfx_eq(&n->routes[r].p.pfx, p))
			return true;
	return false;
}

MESHNET_FN bool agrees(const struct gossip_node_info *info, const struct sim_node *n)
{
	if (strcmp(info->name, n->name) != 0 || info->epoch != n->disk_epoch || info->left ||
		info->nprefixes != n->nprefixes || info->neps != 1 || !ep_eq(&info->eps[0], &n->ep))
		return false;
	for (size_t k = 0; k < n->nprefixes; k++) {
		size_t l = 0;

		while (l < info->nprefixes && !pfx_eq(&info->prefixes[l].pfx, &n->prefixes[k].pfx))
			l++;
		if (l == info->nprefixes)
			return false;
	}
	return true;
}

/* Does everybody that runs know everybody, with a link and with just the right routes? For meshes
 * without overlapping prefixes. */
MESHNET_FN bool converged(void)
{
	for (unsigned i = 0; i < sim.count; i++) {
		struct sim_node *n = &sim.n[i];
		size_t want = 0, up = 0;

		if (!n->running)
			continue;
		for (unsigned j = 0; j < sim.count; j++) {
			struct sim_node *m = &sim.n[j];
			struct gossip_node_info info;

			if (i == j || !m->running)
				continue;
			if ((!sim.overlay && !sim.link[i][j]) ||
				gossip_node_get(n->g, &m->id.pub, &info) < 0 || !agrees(&info, m))
				return false;
			for (size_t k = 0; k < m->nprefixes; k++)
				if (!has_route(n, m, &m->prefixes[k].pfx))
					return false;
			want += m->nprefixes;
			up++;
		}
		if (n->nroutes != want || n->nup != up)
			return false;
	}
	return true;
}

MESHNET_FN void settle(unsigned secs)
{
	for (unsigned i = 0; i < secs * 4 && !converged(); i++)
		run(DUR_MS(250));
	check(converged());
}

#endif
