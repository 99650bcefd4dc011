/* Whole meshes of gossip cores in virtual time. A link comes to be when a core asks to dial and the
 * network lets it; datagrams are lost, reordered, doubled; the network is cut and mended; nodes crash and
 * return with or without their disk. At the end everybody must know everybody, and each node's routes
 * must be the ones that a judge with full knowledge expects. */
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
	unsigned dials, clones, name_conflicts, prefix_conflicts, epochs, hangups, releases;
	size_t neps_told; /* of the last clone or name notice */
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
static int find(unsigned i, const struct node_key *key)
{
	for (unsigned j = 0; j < sim.count; j++)
		if (sim.link[i][j] && node_key_eq(&sim.n[j].id.pub, key))
			return (int)j;
	return -1;
}

static void pump(unsigned i);

static void set_link(unsigned a, unsigned b, bool on)
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

static bool may_link(unsigned a, unsigned b)
{
	return a != b && sim.n[a].running && sim.n[b].running && sim.group[a] == sim.group[b] &&
	       !node_key_eq(&sim.n[a].id.pub, &sim.n[b].id.pub);
}

static void net_add(unsigned from, unsigned to, const uint8_t *buf, size_t len)
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

static void act_send(unsigned i, const struct gossip_act *a)
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

static void act_dial(unsigned i, const struct gossip_act *a)
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

static void act_route(unsigned i, const struct gossip_act *a)
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

static void act_told(struct sim_node *n, const struct gossip_act *a)
{
	n->neps_told = a->neps;
	if (a->neps)
		memcpy(n->eps_told, a->eps, a->neps * sizeof(a->eps[0]));
}

static void pump(unsigned i)
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
		case GOSSIP_NONE:
			check(false);
		}
	}
}

static void start(unsigned i)
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
static void crash(unsigned i)
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

static ts_t next_event(void)
{
	ts_t t = sim.net ? sim.net->at : TS_NEVER;

	for (unsigned i = 0; i < sim.count; i++)
		if (sim.n[i].running)
			t = ts_min(t, gossip_deadline(sim.n[i].g));
	return t;
}

static void deliver(void)
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
static void tick(unsigned i)
{
	struct sim_node *n = &sim.n[i];

	for (int k = 0; n->running && ts_due(gossip_deadline(n->g), sim.now); k++) {
		check(k < 4);
		gossip_tick(n->g, sim.now);
		pump(i);
	}
}

static void run(dur_t d)
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

static struct gossip_prefix prefix(const char *text, uint8_t right)
{
	struct gossip_prefix p = {.vni = 1, .right = right};

	assert_int_equal(pfx_parse(text, &p.pfx), 0);
	return p;
}

static void sim_init(unsigned count, uint64_t seed)
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

static void sim_fini(void)
{
	while (sim.net) {
		struct dgram *d = sim.net;

		sim.net = d->next;
		free(d);
	}
	for (unsigned i = 0; i < sim.count; i++)
		gossip_free(sim.n[i].g);
}

static void start_all(void)
{
	for (unsigned i = 0; i < sim.count; i++)
		start(i);
}

/* What --peer does: node @a's driver dials @b until it has it. */
static void join(unsigned a, unsigned b)
{
	if (may_link(a, b))
		set_link(a, b, true);
}

static bool has_route(const struct sim_node *n, const struct sim_node *owner, const struct pfx *p)
{
	for (size_t r = 0; r < n->nroutes; r++)
		if (node_key_eq(&n->routes[r].node, &owner->id.pub) &&
			pfx_eq(&n->routes[r].p.pfx, p))
			return true;
	return false;
}

static bool agrees(const struct gossip_node_info *info, const struct sim_node *n)
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
static bool converged(void)
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

static void settle(unsigned secs)
{
	for (unsigned i = 0; i < secs * 4 && !converged(); i++)
		run(DUR_MS(250));
	check(converged());
}

static void test_one_seed(void **state)
{
	static const unsigned sizes[] = {2, 3, 8, 30};

	for (size_t s = 0; s < 4; s++) {
		sim_init(sizes[s], 100 + s);
		start_all();
		for (unsigned i = 1; i < sim.count; i++)
			join(i, 0);
		settle(5);
		sim_fini();
	}
}

static void test_loss(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		sim_init(8, seed);
		sim.loss_pct = 30;
		sim.dup_pct = 20;
		sim.delay_max = DUR_MS(400);
		start_all();
		for (unsigned i = 1; i < sim.count; i++)
			join(i, 0);
		settle(60);
		/* A change under loss. */
		sim.n[3].prefixes[1] = prefix("10.200.0.0/16", RIGHT_CONFIG);
		check(gossip_set_prefixes(sim.n[3].g, sim.n[3].prefixes, 2, sim.now) == 0);
		pump(3);
		settle(60);
		sim_fini();
	}
}

static void random_event(void)
{
	unsigned i = (unsigned)prng_below(&sim.rng, sim.count), j;

	switch (prng_below(&sim.rng, 6)) {
	case 0:
		for (j = 0; j < sim.count; j++)
			sim.group[j] = (unsigned)prng_below(&sim.rng, 2);
		for (j = 0; j < sim.count; j++)
			for (unsigned k = 0; k < j; k++)
				if (sim.group[j] != sim.group[k])
					set_link(j, k, false);
		break;
	case 1:
		memset(sim.group, 0, sizeof(sim.group));
		break;
	case 2:
		crash(i);
		break;
	case 3:
		crash(i);
		if (prng_below(&sim.rng, 2))
			sim.n[i].disk_epoch = prng_below(&sim.rng, sim.n[i].disk_epoch + 1);
		start(i);
		break;
	case 4:
		j = (unsigned)prng_below(&sim.rng, sim.count);
		set_link(i, j, false);
		break;
	case 5:
		sim.n[i].nprefixes = prng_below(&sim.rng, 3);
		if (sim.n[i].running) {
			check(gossip_set_prefixes(sim.n[i].g, sim.n[i].prefixes, sim.n[i].nprefixes,
				      sim.now) == 0);
			pump(i);
		}
		break;
	}
}

/* Everything at once; then quiet; then agreement. WEFT_SEEDS=N runs N seeds. */
static void test_faults(void **state)
{
	const char *env = getenv("WEFT_SEEDS");
	uint64_t seeds = env ? strtoull(env, NULL, 10) : 12;

	for (uint64_t seed = 1; seed <= seeds; seed++) {
		sim_init(3 + (unsigned)(seed % 8), seed * 7919);
		sim.loss_pct = 10;
		sim.dup_pct = 5;
		sim.delay_max = DUR_MS(100);
		start_all();
		for (int step = 0; step < 60; step++) {
			random_event();
			for (unsigned i = 1; i < sim.count; i++)
				if (prng_below(&sim.rng, 4) == 0)
					join(i, 0);
			run(DUR_MS(1 + prng_below(&sim.rng, 3000)));
		}
		memset(sim.group, 0, sizeof(sim.group));
		for (unsigned i = 0; i < sim.count; i++)
			if (!sim.n[i].running)
				start(i);
		for (unsigned i = 1; i < sim.count; i++)
			join(i, 0);
		settle(120);
		sim_fini();
	}
}

/* The disk is lost but for the key: the node's old records are ahead of it. One jump mends it. */
static void test_rollback(void **state)
{
	sim_init(4, 5);
	sim.n[2].disk_epoch = 40;
	start_all();
	for (unsigned i = 1; i < 4; i++)
		join(i, 0);
	settle(5);
	crash(2);
	sim.n[2].disk_epoch = 0;
	sim.n[2].nprefixes = 1;
	start(2);
	join(2, 0);
	settle(10);
	assert_int_equal(sim.n[2].epochs, 1);
	assert_true(sim.n[2].disk_epoch == 42);
	assert_int_equal(sim.n[2].clones, 0);
	sim_fini();
}

/* A node that comes back with fewer records than it published before: the old ones are withdrawn. */
static void test_fewer(void **state)
{
	struct gossip_prefix many[60];
	struct sim_node *n = &sim.n[1];

	sim_init(3, 6);
	start_all();
	for (unsigned i = 0; i < 60; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.99.%u.0/24", i);
		many[i] = prefix(text, RIGHT_CLAIM);
	}
	check(gossip_set_prefixes(n->g, many, 60, sim.now) == 0);
	join(1, 0);
	join(2, 0);
	run(DUR_SEC(5));
	assert_int_equal(sim.n[2].nroutes, 62);
	/* One prefix more touches one record only, and no other route. */
	struct gossip_stats before, after;
	gossip_stats(sim.n[2].g, &before);
	many[59] = prefix("10.98.0.0/24", RIGHT_CLAIM);
	check(gossip_set_prefixes(n->g, many, 60, sim.now) == 0);
	pump(1);
	run(DUR_SEC(5));
	gossip_stats(sim.n[2].g, &after);
	assert_int_equal(after.rx_new - before.rx_new, 1);
	assert_int_equal(sim.n[2].nroutes, 62);
	check(gossip_set_prefixes(n->g, many, 60, sim.now) == 0);
	run(DUR_SEC(5));
	gossip_stats(sim.n[2].g, &before);
	assert_true(before.rx_new == after.rx_new); /* nothing is said twice */
	crash(1);
	start(1);
	join(1, 0);
	settle(10);
	assert_int_equal(sim.n[2].nroutes, 4);
	assert_int_equal(n->epochs, 0);
	sim_fini();
}

static void test_leave(void **state)
{
	sim_init(5, 8);
	start_all();
	for (unsigned i = 1; i < 5; i++)
		join(i, 0);
	settle(5);
	gossip_leave(sim.n[3].g, sim.now);
	pump(3);
	run(DUR_MS(100));
	for (unsigned i = 0; i < 5; i++)
		if (i != 3)
			check(!has_route(&sim.n[i], &sim.n[3], &sim.n[3].prefixes[0].pfx));
	for (unsigned i = 0; i < 5; i++)
		sim.n[i].dials = 0;
	crash(3);
	run(DUR_SEC(120));
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(sim.n[i].dials, 0); /* nobody runs after it */
	check(converged());
	start(3); /* and it is welcome again */
	join(3, 1);
	settle(10);
	sim_fini();
}

static void test_forget(void **state)
{
	struct gossip_node_info info;
	char key[NODE_KEY_STRLEN];

	sim_init(3, 9);
	start_all();
	join(1, 0);
	join(2, 0);
	settle(5);
	assert_int_equal(gossip_forget(sim.n[0].g, "node-7", sim.now), ERR_NOT_FOUND);
	assert_int_equal(gossip_forget(sim.n[0].g, "node-0", sim.now), ERR_REFUSED);
	crash(2);
	sim.n[0].dials = sim.n[1].dials = 0;
	run(DUR_SEC(100));
	assert_in_range(sim.n[0].dials, 5, 20); /* backing off */
	assert_int_equal(gossip_forget(sim.n[0].g, "node-2", sim.now), 0);
	node_key_fmt_short(&sim.n[2].id.pub, key);
	assert_int_equal(gossip_forget(sim.n[1].g, key, sim.now), 0);
	assert_int_equal(gossip_forget(sim.n[1].g, key, sim.now), ERR_NOT_FOUND);
	sim.n[0].dials = sim.n[1].dials = 0;
	run(DUR_SEC(100));
	assert_int_equal(sim.n[0].dials + sim.n[1].dials, 0);
	assert_int_equal(gossip_node_get(sim.n[0].g, &sim.n[2].id.pub, &info), ERR_NOT_FOUND);
	start(2);
	join(2, 0);
	settle(10);
	/* A live one: hung up; it calls again and has nothing new to say: hung up again. */
	node_key_fmt(&sim.n[2].id.pub, key);
	assert_int_equal(gossip_forget(sim.n[0].g, key, sim.now), 0);
	pump(0);
	assert_int_equal(sim.n[0].hangups, 1);
	check(!has_route(&sim.n[0], &sim.n[2], &sim.n[2].prefixes[0].pfx));
	run(DUR_SEC(40));
	assert_true(sim.n[0].hangups > 1 && sim.n[2].dials > 1);
	check(!has_route(&sim.n[0], &sim.n[2], &sim.n[2].prefixes[0].pfx));
	crash(2);
	start(2);
	join(2, 1);
	settle(40);
	sim_fini();
}

static void test_prefix_conflict(void **state)
{
	unsigned lower;

	sim_init(4, 10);
	sim.n[1].prefixes[0] = sim.n[2].prefixes[0];
	start_all();
	for (unsigned i = 1; i < 4; i++)
		join(i, 0);
	run(DUR_SEC(10));
	lower = node_key_cmp(&sim.n[1].id.pub, &sim.n[2].id.pub) < 0 ? 1 : 2;
	for (unsigned i = 0; i < 4; i += 3) {
		struct gossip_stats st;

		check(has_route(&sim.n[i], &sim.n[lower], &sim.n[1].prefixes[0].pfx));
		check(!has_route(&sim.n[i], &sim.n[3 - lower], &sim.n[1].prefixes[0].pfx));
		check(has_route(&sim.n[i], &sim.n[3 - lower], &sim.n[3 - lower].prefixes[1].pfx));
		assert_int_equal(sim.n[i].prefix_conflicts, 1);
		gossip_stats(sim.n[i].g, &st);
		assert_int_equal(st.prefix_conflicts, 1);
	}
	/* Both keep what is theirs to themselves, and are told. */
	check(!has_route(&sim.n[1], &sim.n[2], &sim.n[1].prefixes[0].pfx));
	check(!has_route(&sim.n[2], &sim.n[1], &sim.n[1].prefixes[0].pfx));
	assert_int_equal(sim.n[1].prefix_conflicts, 1);
	assert_int_equal(sim.n[2].prefix_conflicts, 1);
	crash(lower);
	run(DUR_SEC(1));
	check(has_route(&sim.n[0], &sim.n[3 - lower], &sim.n[1].prefixes[0].pfx));
	sim_fini();
}

static void test_name_conflict(void **state)
{
	sim_init(4, 11);
	memcpy(sim.n[1].name, sim.n[2].name, sizeof(sim.n[1].name));
	start_all();
	for (unsigned i = 1; i < 4; i++)
		join(i, 0);
	run(DUR_SEC(10));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(sim.n[i].name_conflicts, 1);
	for (unsigned i = 1; i <= 2; i++) { /* with both addresses */
		assert_int_equal(sim.n[i].neps_told, 2);
		check(ep_eq(&sim.n[i].eps_told[0], &sim.n[3 - i].ep));
		check(ep_eq(&sim.n[i].eps_told[1], &sim.n[i].ep));
	}
	assert_int_equal(gossip_forget(sim.n[0].g, sim.n[2].name, sim.now), ERR_CONFLICT);
	run(DUR_SEC(60));
	assert_in_range(sim.n[1].name_conflicts, 2, 3);
	assert_in_range(sim.n[0].name_conflicts, 2, 3);
	crash(1);
	run(DUR_SEC(60));
	sim.n[0].name_conflicts = 0;
	run(DUR_SEC(200));
	assert_int_equal(sim.n[0].name_conflicts, 0);
	sim_fini();
}

/* A copied disk: both are told, and they don't drive each other's epoch up for ever. */
static void test_clone(void **state)
{
	sim_init(4, 12);
	sim.n[3].id = sim.n[2].id;
	start_all();
	for (unsigned k = 0; k < 60; k++) {
		join(1, 0);
		join(2 + k % 2, 0); /* the two take turns */
		run(DUR_SEC(5));
	}
	assert_true(sim.n[2].clones >= 1 && sim.n[3].clones >= 1);
	assert_int_equal(sim.n[2].neps_told, 1);
	check(ep_eq(&sim.n[2].eps_told[0], &sim.n[3].ep));
	check(ep_eq(&sim.n[3].eps_told[0], &sim.n[2].ep));
	assert_in_range(sim.n[2].epochs, 3, 10);
	assert_in_range(sim.n[3].epochs, 3, 10);
	/* A session under our own key says the same at once. */
	assert_int_equal(
		gossip_link_up(sim.n[0].g, &sim.n[0].id.pub, &sim.n[1].ep, sim.now), ERR_CONFLICT);
	pump(0);
	assert_int_equal(sim.n[0].clones, 1);
	sim_fini();
}

/* A member that floods the others with as many records and prefixes as it can make harms itself only. */
static void test_liar(void **state)
{
	struct gossip_prefix p[70];
	uint8_t body[RECORD_BODY_MAX], msg[1 + LIM_RECORD_BYTES];
	struct gossip_stats st;

	sim_init(4, 13);
	start_all();
	for (unsigned i = 1; i < 4; i++)
		join(i, 0);
	settle(5);
	for (unsigned sub = 0; sub < 200; sub++) {
		struct record r = {.type = sub & 1 ? RECORD_PREFIXES : 200,
			.sub = (uint16_t)(1000 - sub),
			.epoch = sim.n[3].disk_epoch,
			.seq = 1000 + sub,
			.cluster = sim.cluster,
			.body = body};

		for (unsigned i = 0; i < 70; i++) {
			p[i] = prefix("10.250.0.0/32", RIGHT_ORCHESTRATOR);
			p[i].pfx.ip.b[2] = (uint8_t)sub;
			p[i].pfx.ip.b[3] = (uint8_t)i;
		}
		r.body_len = (size_t)record_prefixes_encode(p, 70, body);
		msg[0] = GOSSIP_MSG_RECORDS;
		int len = record_sign(&sim.n[3].id, &r, msg + 1);
		assert_true(len > 0);
		net_add(3, sub % 3, msg, 1 + (size_t)len);
	}
	run(DUR_SEC(30));
	for (unsigned i = 0; i < 3; i++) {
		size_t good = 0;

		gossip_stats(sim.n[i].g, &st);
		assert_true(st.records <= 3 * 3 + LIM_RECORDS_PER_NODE);
		assert_true(st.rx_full > 0);
		for (unsigned j = 0; j < 3; j++)
			for (size_t k = 0; j != i && k < 2; k++)
				good += has_route(&sim.n[i], &sim.n[j], &sim.n[j].prefixes[k].pfx);
		assert_int_equal(good, 4);
	}
	/* And the honest ones have agreed on what to keep: they are quiet. */
	uint64_t before = sim.datagrams;
	crash(3);
	run(DUR_SEC(30));
	assert_true(sim.datagrams - before < 60);
	sim_fini();
}

/* A node that tells one node this and another node that, under one version: the others end up with the
 * same, even if they talk to each other only later. */
static void test_equivocation(void **state)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct gossip_node_info a, b;

		sim_init(3, seed);
		start_all();
		set_link(2, 0, true);
		set_link(2, 1, true);
		sim.group[1] = 1; /* 0 and 1 can't see each other */
		run(DUR_SEC(1));
		for (unsigned to = 0; to < 2; to++) {
			struct record_node n = {.name = "two-faced", .version = "a"};
			uint8_t body[RECORD_BODY_MAX], msg[1 + LIM_RECORD_BYTES];
			struct record r = {.type = RECORD_NODE,
				.epoch = sim.n[2].disk_epoch,
				.seq = 99,
				.cluster = sim.cluster,
				.body = body};

			n.version[0] = to ? 'a' : 'b';
			r.body_len = (size_t)record_node_encode(&n, body);
			msg[0] = GOSSIP_MSG_RECORDS;
			int len = record_sign(&sim.n[2].id, &r, msg + 1);
			check(gossip_recv(sim.n[to].g, &sim.n[2].id.pub, msg, 1 + (size_t)len,
				      sim.now) == 0);
		}
		crash(2); /* before anybody can tell it what it said */
		check(gossip_node_get(sim.n[0].g, &sim.n[2].id.pub, &a) == 0);
		check(gossip_node_get(sim.n[1].g, &sim.n[2].id.pub, &b) == 0);
		check(strcmp(a.version, b.version) != 0);
		sim.group[1] = 0;
		join(0, 1);
		run(DUR_SEC(10));
		check(gossip_node_get(sim.n[0].g, &sim.n[2].id.pub, &a) == 0);
		check(gossip_node_get(sim.n[1].g, &sim.n[2].id.pub, &b) == 0);
		check(strcmp(a.version, b.version) == 0);
		sim_fini();
	}
}

static unsigned links_of(unsigned i)
{
	unsigned n = 0;

	for (unsigned j = 0; j < sim.count; j++)
		n += sim.link[i][j];
	return n;
}

/* Does everybody that runs know that node @who publishes @p in place of its first prefix? */
static unsigned knowing(unsigned who, const struct gossip_prefix *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sim.count; i++)
		n += sim.n[i].running && i != who && has_route(&sim.n[i], &sim.n[who], &p->pfx);
	return n;
}

/* Links to neighbours only: all join through one, know each other, hold few links, say little; a
 * change is soon everywhere. */
static void test_overlay(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct gossip_prefix changed = prefix("10.201.0.0/16", RIGHT_CONFIG);
		unsigned few = 0;
		uint64_t before;

		sim_init(NODES_MAX, seed);
		sim.overlay = true;
		sim.loss_pct = seed == 1 ? 0 : 5;
		start_all();
		for (unsigned i = 1; i < sim.count; i++)
			join(i, 0);
		settle(30);
		run(DUR_SEC(60));
		check(converged());
		for (unsigned i = 0; i < sim.count; i++) {
			check(links_of(i) <= 2 * MEMBER_RINGS);
			few += links_of(i) < sim.count - 1;
		}
		check(few == sim.count);
		before = sim.bytes;
		run(DUR_SEC(30));
		check((sim.bytes - before) / 30 / sim.count < 3000);
		sim.n[7].prefixes[0] = changed;
		check(gossip_set_prefixes(sim.n[7].g, sim.n[7].prefixes, 2, sim.now) == 0);
		pump(7);
		for (int i = 0; i < 50 && knowing(7, &changed) < sim.count - 1; i++)
			run(DUR_MS(100));
		check(knowing(7, &changed) == sim.count - 1);
		sim_fini();
	}
}

/* Two halves that lived apart, each with its changes and one death: they find together by
 * themselves. */
static void test_overlay_heals(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		sim_init(20, seed);
		sim.overlay = true;
		start_all();
		for (unsigned i = 1; i < sim.count; i++)
			join(i, 0);
		settle(30);
		for (unsigned i = 0; i < sim.count; i++)
			sim.group[i] = i & 1;
		for (unsigned i = 0; i < sim.count; i++)
			for (unsigned j = 0; j < i; j++)
				if (sim.group[i] != sim.group[j])
					set_link(i, j, false);
		run(DUR_SEC(60));
		for (unsigned i = 0; i < sim.count; i++)
			check(sim.n[i].nup == sim.count / 2 - 1);
		for (unsigned i = 2; i < 12; i++) {
			char text[32];

			snprintf(text, sizeof(text), "10.20%u.0.0/16", i % 10);
			sim.n[i].prefixes[1] = prefix(text, RIGHT_CONFIG);
			check(gossip_set_prefixes(sim.n[i].g, sim.n[i].prefixes, 2, sim.now) == 0);
			pump(i);
		}
		crash(13);
		run(DUR_SEC(20));
		memset(sim.group, 0, sizeof(sim.group));
		settle(90);
		sim_fini();
	}
}

/* A demand makes a link to whom no neighbour is, and it is released. */
static void test_demand(void **state)
{
	struct node_key nobody = {{9}};
	unsigned j = 1;

	sim_init(NODES_MAX, 21);
	sim.overlay = true;
	start_all();
	for (unsigned i = 1; i < sim.count; i++)
		join(i, 0);
	settle(30);
	run(DUR_SEC(60));
	while (j < sim.count && sim.link[0][j])
		j++;
	check(j < sim.count);
	sim.n[0].releases = 0;
	check(gossip_demand(sim.n[0].g, &sim.n[j].id.pub, sim.now) == 0);
	check(gossip_demand(sim.n[0].g, &sim.n[0].id.pub, sim.now) == ERR_REFUSED);
	check(gossip_demand(sim.n[0].g, &nobody, sim.now) == ERR_NOT_FOUND);
	sim.n[0].dials = 0;
	pump(0);
	run(DUR_MS(400));
	check(sim.n[0].dials == 1 && sim.n[0].releases == 1);
	sim_fini();
}

static bool knows(unsigned i, unsigned j)
{
	struct gossip_node_info info;

	return gossip_node_get(sim.n[i].g, &sim.n[j].id.pub, &info) == 0;
}

/* Gone for two days: the records go too, and who was away doesn't bring them back; who was away and
 * lives does come back. Node 6 is cut off with 7, which dies there. */
static void test_expiry(void **state)
{
	sim_init(8, 22);
	start_all();
	for (unsigned i = 1; i < 8; i++)
		join(i, 0);
	settle(10);
	sim.group[6] = sim.group[7] = 1;
	for (unsigned i = 0; i < 6; i++) {
		set_link(i, 6, false);
		set_link(i, 7, false);
	}
	run(DUR_SEC(3600));
	crash(7);
	run(DUR_SEC(46 * 3600));
	for (unsigned i = 0; i < 6; i++)
		check(knows(i, 6) && knows(i, 7));
	run(DUR_SEC(3600 + 1800));
	for (unsigned i = 0; i < 6; i++)
		check(!knows(i, 6) && !knows(i, 7));
	check(knows(6, 0) && knows(6, 7)); /* who is cut off drops nobody */
	memset(sim.group, 0, sizeof(sim.group));
	join(6, 0);
	settle(60);
	run(DUR_SEC(120));
	for (unsigned i = 0; i < 7; i++) {
		check(!knows(i, 7));
		check(has_route(&sim.n[(i + 1) % 7], &sim.n[i], &sim.n[i].prefixes[0].pfx));
	}
	start(7);
	join(7, 3);
	settle(30);
	sim_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_seed),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_rollback),
		cmocka_unit_test(test_fewer),
		cmocka_unit_test(test_leave),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_prefix_conflict),
		cmocka_unit_test(test_name_conflict),
		cmocka_unit_test(test_clone),
		cmocka_unit_test(test_liar),
		cmocka_unit_test(test_equivocation),
		cmocka_unit_test(test_overlay),
		cmocka_unit_test(test_overlay_heals),
		cmocka_unit_test(test_demand),
		cmocka_unit_test(test_expiry),
	};

	if (sodium_init() < 0)
		return 1;
	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
