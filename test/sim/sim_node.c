/* sim_node.c - a node: drives the cores as router/svc/mesh.c does in the daemon.
 *
 * In: datagrams, its own deadline, faults. Out: datagrams, entries of the tables, words to the
 * invariants at each action. After every event all actions of both cores are carried out, then one
 * event is queued for the earliest deadline. Its dials: sim_dial.c. Times that a core is given are
 * the node's own, which run ahead of the simulation's by a random span per start. */
#include "sim_node.h"
#include "sim_ways.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "gossip_wire.h"
#include "map.h"
#include "invariants.h"
#include "sim_data.h"
#include "sim_dial.h"
#include "sim_keys.h"
#include "sim_net.h"
#include "sim_path.h"
#include "sim_plant.h"
#include "sim_sess.h"

#define DATAGRAM_BUDGET 256
#define SECOND          DUR_SEC(1)
#define HOUSEKEEPING    DUR_SEC(10)
#define SOCKET_BYTES    212992 /* the kernel's default */
#define NO_RELAY_EACH   5      /* one of so many doesn't relay */
#define TAKES_BACK      DUR_SEC(70)

struct waiting {
	struct list link;
	struct ep from;
	struct ip local;
	size_t len;
	uint8_t buf[];
};

static void arm(struct sim_node *n);

ts_t sim_node_now(const struct sim_node *n)
{
	return (ts_t){n->s->now.ns + n->mono};
}

bool sim_node_running(const struct sim_node *n)
{
	return n->running;
}

struct sim_slot *sim_node_slot(const struct sim_node *n, const struct node_key *key)
{
	uint32_t peer = sim_sess_find(n->sess, key);

	return peer && peer < n->nslots ? &n->slots[peer] : NULL;
}

struct sim_node *sim_node_of(const struct sim *s, const struct node_key *key)
{
	return map_get(s->by_key, key);
}

bool sim_node_counts(const struct gossip_node_info *i)
{
	return !i->left && (i->self || (i->up && i->name[0] != '\0'));
}

int sim_node_index(const struct sim_node *n, const struct node_key *key)
{
	const struct sim_node *o = sim_node_of(n->s, key);

	return o ? (int)o->index : -1;
}

/* --- actions of the sessions --- */

struct sim_slot *sim_node_peer(struct sim_node *n, uint32_t peer)
{
	if (peer >= n->nslots) {
		uint32_t count = peer + 1 > 2 * n->nslots ? peer + 1 : 2 * n->nslots;

		n->slots = realloc(n->slots, count * sizeof(*n->slots));
		if (!n->slots)
			abort();
		memset(n->slots + n->nslots, 0, (count - n->nslots) * sizeof(*n->slots));
		n->nslots = count;
	}
	return &n->slots[peer];
}

uint16_t sim_node_port(uint8_t via)
{
	return via ? SIM_SIDE_PORT + via - 1 : WIRE_DEFAULT_PORT;
}

static void on_send(struct sim_node *n, const struct sess_act *a)
{
	size_t wire_len = sim_net_is_outside(n->s->net, &a->to)
				  ? a->len
				  : sim_sess_wire_len(n->sess, a->buf, a->len);

	check_sealed(n, a->peer, a->buf, a->len);
	if (sim_planted(n, PLANT_COUNTER) && sim_net_type(a->buf, a->len)[0] == 'D')
		check_sealed(n, a->peer, a->buf, a->len);
	if (sess_relayed_label(&a->to, NULL)) {
		sim_path_send(n->path, a, wire_len);
		return;
	}
	check_size(n, sim_planted(n, PLANT_BIG) ? wire_len + WIRE_CONTROL_MAX : wire_len);
	sim_net_send(n->s->net, n->index, sim_node_port(a->via), &a->to, a->buf, a->len, wire_len);
}

static void on_up(struct sim_node *n, const struct sess_act *a)
{
	struct sim_slot *p = sim_node_peer(n, a->peer);

	check_up(n, a);
	p->up = true;
	p->key = a->key;
	if (!n->met.ns)
		n->met = n->s->now;
	if (n->s->cfg.outside && sim_net_is_outside(n->s->net, &a->ep)) {
		n->s->outside = a->key;
		n->s->has_outside = true;
	}
	sim_trace(n->s, (int)n->index, sim_node_index(n, &a->key), "session up", a->peer);
	if (!sim_path_up(n->path, p, a)) {
		sim_sess_disconnect(n->sess, &a->key, sim_node_now(n));
		return;
	}
	(void)gossip_link_up(n->gossip, &a->key, sess_relayed_label(&a->ep, NULL) ? NULL : &a->ep,
		sim_node_now(n));
}

static bool drain_gossip(struct sim_node *n);

static void on_down(struct sim_node *n, const struct sess_act *a)
{
	sim_trace(n->s, (int)n->index, sim_node_index(n, &a->key), "session down", a->reason);
	n->downs++;
	check_down(n, a);
	sim_node_peer(n, a->peer)->up = false;
	gossip_link_down(n->gossip, &a->key, sim_node_now(n));
	sim_path_down(n->path, &a->key);
	/* The handle may be given out again by the very next action: its routes go first. */
	(void)drain_gossip(n);
	memset(sim_node_peer(n, a->peer), 0, sizeof(struct sim_slot));
	sim_way_parted(n);
}

static void on_recv(struct sim_node *n, const struct sess_act *a)
{
	if (a->len >= 1 && a->buf[0] == WIRE_CTL_PATH)
		sim_path_recv(n, a);
	if (a->len >= 1 && a->buf[0] == WIRE_CTL_GOSSIP)
		(void)gossip_recv(n->gossip, &a->key, a->buf + 1, a->len - 1, sim_node_now(n));
}

static void on_endpoint(struct sim_node *n, const struct sess_act *a)
{
	sim_path_endpoint(n->path, sim_node_peer(n, a->peer), a);
}

static void on_side_port(struct sim_node *n, const struct sess_act *a)
{
	sim_node_peer(n, a->peer)->side = a->on;
	sim_path_side_port(n->path, sim_node_peer(n, a->peer), a->via, a->on);
	sim_trace(n->s, (int)n->index, sim_node_index(n, &a->key), "side port", a->on);
}

static void on_dial_failed(struct sim_node *n, const struct sess_act *a)
{
	sim_trace(n->s, (int)n->index, sim_node_index(n, &a->key), "dial failed", a->reason);
	sim_path_dial_failed(n->path, &a->key, &a->ep);
	sim_dial_failed(n, &a->ep, &a->key);
}

static void on_note(struct sim_node *n, const struct sess_act *a)
{
	sim_trace(n->s, (int)n->index, -1, "session note", a->reason);
	if (a->reason == SESS_NOTE_SELF)
		sim_dial_self(n, &a->ep);
	if (a->reason == SESS_NOTE_SILENT && !sim_planted(n, PLANT_DEAF))
		sim_path_ask(n->path, &a->key);
}

static void (*const sess_handlers[])(struct sim_node *n, const struct sess_act *a) = {
	[SESS_SEND] = on_send,
	[SESS_UP] = on_up,
	[SESS_DOWN] = on_down,
	[SESS_RECV] = on_recv,
	[SESS_KEY_ADD] = sim_keys_add,
	[SESS_KEY_USE] = sim_keys_use,
	[SESS_KEY_DEL] = sim_keys_del,
	[SESS_ENDPOINT] = on_endpoint,
	[SESS_SIDE_PORT] = on_side_port,
	[SESS_DIAL_FAILED] = on_dial_failed,
	[SESS_NOTE] = on_note,
};

/* --- actions of the gossip core --- */

static void on_gossip_send(struct sim_node *n, const struct gossip_act *a)
{
	uint32_t peer = sim_sess_find(n->sess, &a->node);

	if (sim_planted(n, PLANT_MUTE) ||
		(sim_planted_late(n, PLANT_LATE) && a->buf[0] != GOSSIP_MSG_MEMBER))
		return;
	if (peer)
		(void)sim_sess_send(
			n->sess, peer, WIRE_CTL_GOSSIP, a->buf, a->len, sim_node_now(n));
}

/* The path core dials, if there is one. */
static void dial_node(
	struct sim_node *n, const struct node_key *key, const struct ep *eps, size_t neps)
{
	if (n->path)
		sim_path_want(n->path, key, eps, neps);
	else
		sim_dial_node(n, key, eps, neps);
}

static void on_gossip_dial(struct sim_node *n, const struct gossip_act *a)
{
	dial_node(n, &a->node, a->eps, a->neps);
}

static void on_hangup(struct sim_node *n, const struct gossip_act *a)
{
	sim_sess_disconnect(n->sess, &a->node, sim_node_now(n));
}

static void on_release(struct sim_node *n, const struct gossip_act *a)
{
	sim_sess_release(n->sess, &a->node, sim_node_now(n));
}

static void on_route_add(struct sim_node *n, const struct gossip_act *a)
{
	const struct node_key *owner = &a->node;

	if (sim_planted(n, PLANT_ROUTE_LOST))
		return;
	if (n->s->cfg.plant == PLANT_ROUTE_SPLIT && n->index == 1)
		owner = &n->s->nodes[0]->id.pub;
	if (!route_set_add(&n->routes, route_name(n->s->routes, owner, &a->prefix)))
		sim_fail(n->s, CHECK_ROUTES, "n%u is told to add a route that it has", n->index);
}

static void on_route_del(struct sim_node *n, const struct gossip_act *a)
{
	if (sim_planted(n, PLANT_ROUTE_LEAK))
		return;
	if (!route_set_del(&n->routes, route_name(n->s->routes, &a->node, &a->prefix)))
		sim_fail(n->s, CHECK_ROUTES, "n%u is told to remove a route that it hasn't",
			n->index);
}

static void on_node_up(struct sim_node *n, const struct gossip_act *a)
{
	n->turned++;
	sim_own_changed(n->own);
	sim_path_node(n->path, &a->node);
	sim_trace(n->s, (int)n->index, sim_node_index(n, &a->node), "node up", 0);
}

static void on_node_down(struct sim_node *n, const struct gossip_act *a)
{
	n->turned++;
	sim_own_changed(n->own);
	sim_trace(n->s, (int)n->index, sim_node_index(n, &a->node), "node down", 0);
	check_node_down(n, &a->node);
}

static void on_conflict(struct sim_node *n, const struct gossip_act *a)
{
	if (a->type == GOSSIP_PREFIX_CONFLICT)
		sim_own_conflict(n->own, a);
	n->conflicts++;
	sim_trace(n->s, (int)n->index, sim_node_index(n, &a->node), "conflict", a->type);
}

static void on_forgotten(struct sim_node *n, const struct gossip_act *a)
{
	n->turned++;
	sim_own_forgotten(n->own, a);
	sim_trace(n->s, (int)n->index, sim_node_index(n, &a->node), "forgotten", 0);
}

static void on_clone(struct sim_node *n, const struct gossip_act *a)
{
	n->clones++;
	sim_trace(n->s, (int)n->index, -1, "key clone", 0);
}

static void on_epoch(struct sim_node *n, const struct gossip_act *a)
{
	n->disk.epoch = n->disk.epoch + 1 < a->epoch ? a->epoch : n->disk.epoch + 1;
	sim_trace(n->s, (int)n->index, -1, "epoch jump", (int64_t)n->disk.epoch);
	gossip_epoch_stored(n->gossip, n->disk.epoch, sim_node_now(n));
}

static void (*const gossip_handlers[])(struct sim_node *n, const struct gossip_act *a) = {
	[GOSSIP_SEND] = on_gossip_send,
	[GOSSIP_DIAL] = on_gossip_dial,
	[GOSSIP_HANGUP] = on_hangup,
	[GOSSIP_RELEASE] = on_release,
	[GOSSIP_ROUTE_ADD] = on_route_add,
	[GOSSIP_ROUTE_DEL] = on_route_del,
	[GOSSIP_NODE_UP] = on_node_up,
	[GOSSIP_NODE_DOWN] = on_node_down,
	[GOSSIP_FORGOTTEN] = on_forgotten,
	[GOSSIP_NAME_CONFLICT] = on_conflict,
	[GOSSIP_KEY_CLONE] = on_clone,
	[GOSSIP_EPOCH] = on_epoch,
	[GOSSIP_PREFIX_CONFLICT] = on_conflict,
};

/* --- the turn --- */

/* Was there anything? */
static bool drain_gossip(struct sim_node *n)
{
	struct gossip_act a;
	bool any = false;

	while (gossip_next(n->gossip, &a)) {
		any = true;
		if ((size_t)a.type < sizeof(gossip_handlers) / sizeof(gossip_handlers[0]) &&
			gossip_handlers[a.type])
			gossip_handlers[a.type](n, &a);
	}
	return any;
}

/* Was there anything that another core heard of? The gossip core hears nothing of datagrams sent. */
static bool drain_sess(struct sim_node *n)
{
	struct sess_act a;
	bool any = false;

	while (sim_sess_next(n->sess, &a)) {
		any |= a.type != SESS_SEND || n->path;
		if ((size_t)a.type < sizeof(sess_handlers) / sizeof(sess_handlers[0]) &&
			sess_handlers[a.type])
			sess_handlers[a.type](n, &a);
	}
	return any;
}

void sim_node_drain(struct sim_node *n)
{
	bool more;

	(void)drain_sess(n);
	do {
		bool told = drain_gossip(n), led = sim_path_drain(n->path);

		more = (told || led) && (drain_sess(n) || led);
	} while (more);
}

static void turn_ends(struct sim_node *n)
{
	do
		sim_node_drain(n);
	while (sim_own_turn(n->own, sim_node_now(n)));
	check_after(n);
	arm(n);
}

static void save_peers(struct sim_node *n)
{
	size_t count = 0;

	for (uint32_t i = 1; i < n->nslots && count < SIM_SAVED; i++)
		if (n->slots[i].up && n->slots[i].ep.ip.family != IP_NONE) {
			n->disk.peers[count].key = n->slots[i].key;
			n->disk.peers[count++].ep = n->slots[i].ep;
		}
	if (count)
		n->disk.npeers = count;
}

static uint64_t wall_now(const struct sim_node *n)
{
	return SIM_WALL_START + n->s->now.ns + (uint64_t)n->wall;
}

static void housekeeping(struct sim_node *n, ts_t now)
{
	struct ep ep = sim_net_inner_ep(n->s->net, n->index);

	if (sim_sess_core(n->sess))
		sess_set_wall(sim_sess_core(n->sess), wall_now(n), now);
	sim_own_wall(n->own, wall_now(n) / 1000000000, now);
	(void)gossip_set_endpoints(n->gossip, &ep, 1, now);
	sim_path_refresh(n->path, now);
	save_peers(n);
	n->house_at = ts_add(now, HOUSEKEEPING);
}

static void each_second(struct sim_node *n, ts_t now)
{
	sim_data_second(n, now);
	sim_path_second(n->path, now);
	sim_flow_second(n);
	sim_plant_second(n);
	n->second_at = ts_add(now, SECOND);
}

/* --- datagrams --- */

static bool deaf_to(const struct sim_node *n, const struct ep *from)
{
	struct ep ep = sim_net_ep(n->s->net, 0);

	return sim_planted(n, PLANT_DEAF) && ep_eq(from, &ep);
}

static void handle(
	struct sim_node *n, const struct ep *from, const struct ip *local, uint8_t *buf, size_t len)
{
	if (deaf_to(n, from) || ts_before(n->s->now, n->deaf_until))
		return;
	if (n->path && len > 0 && WIRE_TYPE_OF(buf[0]) == WIRE_RELAY)
		sim_relay_recv(n, buf, len);
	else if (!sim_data_recv(n, from, local, buf, len))
		(void)sim_sess_recv(n->sess, from, local, buf, len, sim_node_now(n));
}

void sim_node_datagram(
	struct sim_node *n, const struct ep *from, const struct ip *local, uint8_t *buf, size_t len)
{
	struct waiting *w;

	if (ts_due(n->stalled_until, n->s->now)) {
		handle(n, from, local, buf, len);
		turn_ends(n);
		return;
	}
	if (n->inbox_bytes + len > SOCKET_BYTES)
		return;
	w = malloc(sizeof(*w) + len);
	if (!w)
		abort();
	w->from = *from;
	w->local = *local;
	w->len = len;
	memcpy(w->buf, buf, len);
	list_add_tail(&n->inbox, &w->link);
	n->inbox_bytes += len;
}

/* What waited in the socket, within one turn's budget. */
static void read_inbox(struct sim_node *n)
{
	for (int i = 0; i < DATAGRAM_BUDGET && !list_empty(&n->inbox); i++) {
		struct waiting *w = list_entry(n->inbox.next, struct waiting, link);

		list_del(&w->link);
		n->inbox_bytes -= w->len;
		handle(n, &w->from, &w->local, w->buf, w->len);
		sim_node_drain(n);
		free(w);
	}
}

/* --- time --- */

/* Plain sessions have nothing to do each second, but while somebody is dialled. */
static ts_t second_deadline(const struct sim_node *n)
{
	bool idle = !sim_sess_core(n->sess) && !n->path && !n->s->cfg.data &&
		    map_count(n->candidates) == 0;

	return idle ? TS_NEVER : n->second_at;
}

static void arm(struct sim_node *n)
{
	ts_t when = ts_min(sim_sess_deadline(n->sess), gossip_deadline(n->gossip));

	if (!n->running) {
		sim_at(n->s, &n->wake, TS_NEVER);
		return;
	}
	when = ts_min(when, ts_min(sim_dial_deadline(n), sim_own_deadline(n->own)));
	when = ts_min(when, sim_path_deadline(n->path));
	when = ts_min(when, ts_min(second_deadline(n), n->house_at));
	if (sim_planted(n, PLANT_SPIN) || !list_empty(&n->inbox))
		when = TS_ZERO;
	if (!ts_is_never(when))
		when.ns = when.ns > n->mono ? when.ns - n->mono : 0;
	if (ts_before(when, n->stalled_until))
		when = n->stalled_until;
	sim_at(n->s, &n->wake, when);
}

static void on_wake(struct sim *s, struct sim_event *e)
{
	struct sim_node *n = list_entry(e, struct sim_node, wake);
	ts_t now = sim_node_now(n);

	n->ticks = n->tick_at.ns == s->now.ns ? n->ticks + 1 : 0;
	n->tick_at = s->now;
	check_ticks(n);
	if (sim_planted(n, PLANT_FALSE_DEATH))
		check_node_down(n, &s->nodes[0]->id.pub);
	read_inbox(n);
	/* What is not due is not called: a thousand nodes wake up often. */
	if (ts_due(sim_sess_deadline(n->sess), now)) {
		sim_sess_tick(n->sess, now);
		sim_node_drain(n);
	}
	if (ts_due(gossip_deadline(n->gossip), now)) {
		gossip_tick(n->gossip, now);
		sim_node_drain(n);
	}
	if (ts_due(sim_dial_deadline(n), now))
		sim_dial_tick(n, now);
	if (ts_due(sim_path_deadline(n->path), now))
		sim_path_tick(n->path, now);
	if (ts_due(second_deadline(n), now))
		each_second(n, now);
	if (ts_due(n->house_at, now))
		housekeeping(n, now);
	turn_ends(n);
}

/* --- life --- */

static void on_start(struct sim *s, struct sim_event *e);

struct sim_node *sim_node_new(struct sim *s, unsigned index)
{
	struct sim_node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->s = s;
	n->index = index;
	n->wake.fire = on_wake;
	n->start.fire = on_start;
	list_init(&n->inbox);
	prng_seed(&n->prng, prng_next(&s->prng));
	snprintf(n->name, sizeof(n->name), "n%u", index);
	sim_node_own_prefix(index, &n->prefixes[n->nprefixes++]);
	n->no_relay = index % NO_RELAY_EACH == NO_RELAY_EACH - 1;
	n->target.is = s->cfg.nodes > 1;
	n->target.host = index == 0;
	return n;
}

static void free_values(struct map *m)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (m && map_next(m, &it, &key, &value))
		free(value);
	map_free(m);
}

static void forget(struct sim_node *n)
{
	struct list *at, *t;

	sim_sess_free(n->sess);
	gossip_free(n->gossip);
	sim_own_free(n->own);
	sim_path_free(n->path);
	n->own = NULL;
	n->path = NULL;
	n->flow.until = TS_ZERO;
	n->way_lie = 0;
	n->nclaims = 0;
	sim_keys_free(n);
	route_set_clear(&n->routes);
	if (n->running && map_get(n->s->by_key, &n->id.pub) == n)
		(void)map_del(n->s->by_key, &n->id.pub);
	free_values(n->candidates);
	free_values(n->views);
	list_each(&n->inbox, at, t) free(list_entry(at, struct waiting, link));
	list_init(&n->inbox);
	free(n->slots);
	n->inbox_bytes = 0;
	n->sess = NULL;
	n->gossip = NULL;
	n->candidates = n->views = NULL;
	n->slots = NULL;
	n->nslots = 0;
	n->running = false;
	sim_at(n->s, &n->wake, TS_NEVER);
	identity_wipe(&n->id);
}

void sim_node_free(struct sim_node *n)
{
	if (!n)
		return;
	sim_at(n->s, &n->start, TS_NEVER);
	forget(n);
	free(n);
}

static void load_disk(struct sim_node *n)
{
	n->before = n->disk;
	if (n->disk.used) {
		identity_from_seed(n->disk.seed, &n->id);
	} else {
		identity_generate(&n->id);
		memcpy(n->disk.seed, n->id.seed, sizeof(n->disk.seed));
		n->disk.used = true;
	}
	n->disk.epoch++;
}

const struct secret *sim_node_secret_of_all(void)
{
	static const struct secret secret = {{'w', 'e', 'f', 't'}};

	return &secret;
}

void sim_node_secret(struct secret_keys *keys, struct cluster_id *cluster)
{
	const struct secret *secret = sim_node_secret_of_all();

	secret_derive(secret, keys);
	secret_cluster_id(secret, cluster);
}

static bool is_outside(void *net, const struct ep *ep)
{
	return sim_net_is_outside(net, ep);
}

static void start_cores(struct sim_node *n, ts_t now)
{
	struct secret_keys keys;
	struct sess_cfg c = {
		.id = &n->id,
		.secrets = &keys,
		.nsecrets = 1,
		.suites = WIRE_SUITE_BIT(WIRE_SUITE_CHACHA20_POLY1305),
		.lanes = 2,
		.side_ports = 1,
		.seed = prng_next(&n->prng),
		.wall_unix_ns = wall_now(n),
		.tune = n->s->cfg.tune,
	};
	struct gossip_cfg g = {.id = &n->id,
		.full_mesh = n->s->cfg.full_mesh,
		.epoch = n->disk.epoch,
		.seed = prng_next(&n->prng),
		.version = "sim"};

	sim_node_secret(&keys, &g.cluster);
	memcpy(g.name, n->name, sizeof(g.name));
	n->sess = sim_sess_new(&c, n->s->cfg.no_crypto, now);
	n->gossip = gossip_new(&g, now);
	if (!n->sess || !n->gossip)
		abort();
	for (unsigned i = 0; i < SIM_RANGES; i++) {
		struct gossip_prefix range;

		sim_own_range(i, &range);
		if (gossip_range_add(n->gossip, range.vni, &range.pfx) != 0)
			abort();
	}
	c.side_ports = 0;
	if (n->s->cfg.outside && sim_sess_add_core(n->sess, &c, is_outside, n->s->net, now) != 0)
		abort();
	if (n->no_relay)
		gossip_set_features(n->gossip, GOSSIP_F_NO_RELAY, now);
	if (!n->s->cfg.no_paths && n->s->cfg.nodes <= SIM_PATHS_NODES) {
		n->path = sim_path_new(n, now);
		if (!n->path)
			abort();
	}
	if (n->s->cfg.no_claims || n->s->cfg.nodes > SIM_CLAIMS_NODES)
		return;
	n->own = sim_own_new(n, wall_now(n) / 1000000000, now);
	if (!n->own)
		abort();
}

static void on_start(struct sim *s, struct sim_event *e)
{
	static const uint8_t seed[16];
	struct sim_node *n = list_entry(e, struct sim_node, start);
	ts_t now;

	if (n->running)
		return;
	n->mono = prng_below(&n->prng, UINT64_C(1) << 52);
	now = sim_node_now(n);
	load_disk(n);
	n->keys = map_new(4, SIZE_MAX / 2, seed);
	n->candidates = map_new(sizeof(struct node_key), LIM_NODES, seed);
	n->views = map_new(sizeof(struct node_key), SIZE_MAX / 2, seed);
	if (!n->keys || !n->candidates || !n->views)
		abort();
	start_cores(n, now);
	n->running = true;
	/* A clone runs under the key of another; that one keeps its place. */
	if (!map_get(s->by_key, &n->id.pub) && map_put(s->by_key, &n->id.pub, n) != 0)
		abort();
	n->boots++;
	n->started = s->now;
	n->met = TS_ZERO;
	n->claimed = false;
	n->stalled_until = TS_ZERO;
	sim_net_disturb(s->net, n->index, s->now);
	sim_trace(s, (int)n->index, -1, "start", (int64_t)n->disk.epoch);
	housekeeping(n, now);
	sim_node_publish(n);
	for (size_t i = 0; i < n->disk.npeers; i++)
		dial_node(n, &n->disk.peers[i].key, &n->disk.peers[i].ep, 1);
	sim_dial_start(n, now);
	n->second_at = ts_add(now, prng_jitter(&n->prng, SECOND, 50));
	turn_ends(n);
}

void sim_node_start_at(struct sim_node *n, ts_t when)
{
	sim_at(n->s, &n->start, when);
}

/* Whose key it was jumps over what was said in its name, at most once a minute. */
static void clone_ends(struct sim_node *n)
{
	struct sim *s = n->s;

	for (unsigned i = 0; n->clone && i < s->cfg.nodes; i++)
		if (sim_node_cloned(s->nodes[i]))
			sim_net_disturb(s->net, i, ts_add(s->now, TAKES_BACK));
}

void sim_node_crash(struct sim_node *n, enum sim_disk_fate fate)
{
	static const char *const names[] = {"crash", "crash, disk lost", "crash, disk old"};

	if (fate == DISK_LOST) {
		clone_ends(n);
		n->clone = false;
		memset(&n->disk, 0, sizeof(n->disk));
	}
	if (!n->running)
		return;
	if (fate == DISK_LOST)
		n->s->gone = n->s->now;
	if (fate == DISK_ROLLED_BACK && n->before.used)
		n->disk = n->before;
	forget(n);
	sim_net_disturb(n->s->net, n->index, n->s->now);
	sim_trace(n->s, (int)n->index, -1, names[fate], 0);
}

void sim_node_stop(struct sim_node *n)
{
	if (!n->running)
		return;
	save_peers(n);
	sim_net_disturb(n->s->net, n->index, n->s->now);
	sim_trace(n->s, (int)n->index, -1, "clean stop", 0);
	gossip_pause(n->gossip, sim_node_now(n));
	sim_node_drain(n);
	for (uint32_t i = 1; i < n->nslots; i++)
		if (n->slots[i].up)
			sim_sess_disconnect(n->sess, &n->slots[i].key, sim_node_now(n));
	sim_node_drain(n);
	check_stopped(n);
	forget(n);
}

void sim_node_stall(struct sim_node *n, ts_t until)
{
	if (!n->running)
		return;
	n->stalled_until = until;
	sim_net_disturb(n->s->net, n->index, until);
	sim_trace(n->s, (int)n->index, -1, "stalls, ms", dur_ms(ts_sub(until, n->s->now)));
	arm(n);
}

void sim_node_deafen(struct sim_node *n, ts_t until)
{
	if (ts_before(until, n->s->now) && ts_before(n->deaf_until, n->s->now))
		return;
	n->deaf_until = until;
	sim_net_disturb(n->s->net, n->index, ts_before(until, n->s->now) ? n->s->now : until);
	sim_trace(n->s, (int)n->index, -1, "deaf", 0);
}

bool sim_node_cloned(const struct sim_node *n)
{
	return n->s->clone && n->s->clone->clone && n->s->clone != n &&
	       memcmp(n->s->clone->disk.seed, n->disk.seed, sizeof(n->disk.seed)) == 0;
}

void sim_node_clone(struct sim_node *n, const struct sim_node *of)
{
	assert(!n->running);
	n->disk = of->disk;
	n->clone = true;
	n->s->clone = n;
	sim_trace(n->s, (int)n->index, (int)of->index, "clone of", 0);
}

void sim_node_moved(struct sim_node *n)
{
	if (!n->running)
		return;
	n->house_at = sim_node_now(n);
	arm(n);
}

void sim_node_step_clock(struct sim_node *n, int64_t ns)
{
	n->wall += ns;
	sim_trace(n->s, (int)n->index, -1, "clock step, s", ns / 1000000000);
}

void sim_node_set_prefixes(struct sim_node *n, const struct gossip_prefix *p, size_t count)
{
	assert(count <= SIM_PREFIXES);
	memcpy(n->prefixes, p, count * sizeof(*p));
	n->nprefixes = count;
	sim_trace(n->s, (int)n->index, -1, "prefixes", (int64_t)count);
	if (!n->running)
		return;
	sim_node_publish(n);
	turn_ends(n);
}

void sim_node_forget(struct sim_node *n, const struct sim_node *other)
{
	char key[NODE_KEY_STRLEN];
	struct identity id;

	if (!n->running || other->running || !other->disk.used || other->clone)
		return;
	identity_from_seed(other->disk.seed, &id);
	node_key_fmt(&id.pub, key);
	/* One that seems connected is left alone. */
	if (sim_sess_find(n->sess, &id.pub)) {
		identity_wipe(&id);
		return;
	}
	identity_wipe(&id);
	if (gossip_forget(n->gossip, key, wall_now(n) / 1000000000, sim_node_now(n)) == 0)
		sim_trace(n->s, (int)n->index, (int)other->index, "forgets", 0);
	turn_ends(n);
}

void sim_node_turn(struct sim_node *n)
{
	turn_ends(n);
}

void sim_node_say(struct sim_node *n, const struct node_key *to, const uint8_t *buf, size_t len)
{
	uint32_t peer = sim_sess_find(n->sess, to);

	if (peer)
		(void)sim_sess_send(n->sess, peer, WIRE_CTL_GOSSIP, buf, len, sim_node_now(n));
	turn_ends(n);
}
