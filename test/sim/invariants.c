/* invariants.c - see the header for what is checked.
 *
 * In: each action of a node's cores, the end of each of its turns, a tick of its own per second. Out:
 * sim_fail(). State: all tx keys ever seen, per observer what it believed last, per pair since when
 * its keys don't match. A record that a node takes is judged at the end of that turn. With up to EVERY_TURN
 * nodes all of a node's views and routes are checked after each turn that could change them, with more now
 * and then, so that the cost stays linear. */
#include "invariants.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "map.h"
#include "record.h"
#include "relay.h"
#include "route_model.h"
#include "sim.h"
#include "sim_flow.h"
#include "sim_keys.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_pairs.h"
#include "sim_route.h"
#include "sim_sess.h"
#include "sim_ways.h"
#include "truth.h"

#define EVERY_TURN   32
#define OBSERVERS    64 /* of more nodes than that only so many have their views checked */
#define AGREE_SAMPLE 8  /* so many are compared before all are */
#define DOWN_MARGIN  DUR_SEC(5)
#define DEATH_CALM   DUR_SEC(20) /* who was left alone for so long is not declared dead by such */
#define TICKS_MAX    5000

struct checks {
	struct sim *s;
	struct sim_event each_second;
	struct map *tx_keys;
	struct pairs *pairs;
	bool joined;                /* all have agreed once: from then on pairs are looked at */
	struct model_claim *claims; /* working space */
	size_t cap_claims;
};

/* What an observer believes of one subject: the hashes it saw last, the versions they prove. */
struct view {
	uint64_t content[3];
	struct truth_version least[3];
	bool seen[3];
	uint64_t epoch;
};

static const char *const names[CHECK_COUNT] = {
	[CHECK_KEYS] = "keys",
	[CHECK_KEY_REUSE] = "key-reuse",
	[CHECK_COUNTER] = "counter",
	[CHECK_ROUTES] = "routes",
	[CHECK_RECORDS] = "records",
	[CHECK_AGREE] = "agreement",
	[CHECK_OWNERS] = "owners",
	[CHECK_KEY_MATCH] = "key-match",
	[CHECK_FALSE_DOWN] = "false-down",
	[CHECK_SPIN] = "spin",
	[CHECK_ROUTABLE] = "routable",
	[CHECK_FALSE_DEATH] = "false-death",
	[CHECK_SIZE] = "size",
	[CHECK_COUNTED] = "counted",
	[CHECK_CLAIMS] = "claims",
	[CHECK_REACHABLE] = "reachable",
	[CHECK_RELAY] = "relay",
};

const char *check_name(unsigned check)
{
	return check < CHECK_COUNT ? names[check] : "?";
}

/* --- keys --- */

void check_key_add(struct sim_node *n, const struct sess_act *a, const struct sim_key *k)
{
	static const uint8_t seed[16] = "tx keys";
	uint64_t id = map_siphash(seed, k->k.tx, sizeof(k->k.tx));

	if (a->index != k->k.local_index || sim_keys_get(n, a->index))
		sim_fail(
			n->s, CHECK_KEYS, "n%u: key %u is added, but is there", n->index, a->index);
	if (map_get(n->s->checks->tx_keys, &id))
		sim_fail(n->s, CHECK_KEY_REUSE, "n%u gets a tx key that was given out before",
			n->index);
	else if (map_put(n->s->checks->tx_keys, &id, n->s) != 0)
		abort();
}

void check_key_use(struct sim_node *n, const struct sess_act *a)
{
	const struct sim_key *k = sim_keys_get(n, a->index);

	if (!k || k->peer != a->peer)
		sim_fail(n->s, CHECK_KEYS, "n%u: key %u is to be used, but isn't there", n->index,
			a->index);
}

void check_key_del(struct sim_node *n, const struct sess_act *a)
{
	const struct sim_key *k = sim_keys_get(n, a->index);

	if (!k || k->peer != a->peer)
		sim_fail(n->s, CHECK_KEYS, "n%u: key %u is removed, but isn't there", n->index,
			a->index);
}

void check_up(struct sim_node *n, const struct sess_act *a)
{
	if (a->peer < n->nslots && n->slots[a->peer].up)
		sim_fail(n->s, CHECK_KEYS, "n%u: peer %u comes up twice", n->index, a->peer);
}

static void check_false_down(struct sim_node *n, const struct sess_act *a)
{
	const struct sim_node *o = sim_node_of(n->s, &a->key);
	const struct sim_slot *other;
	ts_t since;
	dur_t calm;

	/* Ends that somebody wanted are none of ours. */
	if (!o || a->reason == SESS_DOWN_CLOSED || a->reason == SESS_DOWN_FORGOTTEN ||
		a->reason == SESS_DOWN_EXPIRED || a->reason == SESS_DOWN_IDLE)
		return;
	/* The other side may have ended it, and its word that it did was lost. */
	other = sim_node_slot(o, &n->id.pub);
	if (!other || !other->up)
		return;
	since = sim_net_calm_since(n->s->net, n->index, o->index);
	for (int i = 0; i < 2 && a->peer < n->nslots; i++) {
		ts_t way = i ? sim_way_calm_since(o, other)
			     : sim_way_calm_since(n, &n->slots[a->peer]);

		since = ts_before(since, way) ? way : since;
	}
	calm = ts_sub(n->s->now, since);
	if (calm.ns > n->s->cfg.tune.peer_timeout.ns + DOWN_MARGIN.ns)
		sim_fail(n->s, CHECK_FALSE_DOWN,
			"n%u lost n%u (reason %d), though nothing happened to them for %.1f s",
			n->index, o->index, a->reason, (double)calm.ns / 1e9);
}

void check_node_down(struct sim_node *n, const struct node_key *key)
{
	const struct sim_node *o = sim_node_of(n->s, key);
	struct gossip_node_info i;
	ts_t calm, alone, well;

	if (!o || o == n || (gossip_node_get(n->gossip, key, &i) == 0 && i.left))
		return;
	sim_node_of(n->s, key)->taken_for_dead++;
	calm = sim_net_calm_since(n->s->net, n->index, o->index);
	alone = sim_net_alone_since(n->s->net, o->index);
	well = sim_net_alone_since(n->s->net, n->index);
	if (ts_before(calm, alone))
		calm = alone;
	if (ts_due(ts_add(calm, DEATH_CALM), n->s->now) &&
		ts_due(ts_add(well, DEATH_CALM), n->s->now))
		sim_fail(n->s, CHECK_FALSE_DEATH,
			"n%u takes n%u for dead, though nothing happened to that one for %.1f s",
			n->index, o->index, (double)ts_sub(n->s->now, calm).ns / 1e9);
}

void check_down(struct sim_node *n, const struct sess_act *a)
{
	const struct sim_slot *p = a->peer < n->nslots ? &n->slots[a->peer] : NULL;

	if (!p || !p->up)
		sim_fail(n->s, CHECK_KEYS, "n%u: peer %u goes down, but wasn't up", n->index,
			a->peer);
	else if (p->keys)
		sim_fail(n->s, CHECK_KEYS, "n%u: peer %u goes down and leaves %u keys", n->index,
			a->peer, p->keys);
	check_false_down(n, a);
}

/* Only keys of handshakes that never came up may be left; nobody ends those. */
void check_stopped(struct sim_node *n)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(n->keys, &it, &key, &value)) {
		const struct sim_slot *p = &n->slots[((struct sim_key *)value)->peer];

		if (p->up || p->keys == 0)
			sim_fail(n->s, CHECK_KEYS, "n%u has ended all sessions and has a key left",
				n->index);
	}
}

/* The key that a datagram of ours to @remote_index was sealed with. */
static struct sim_key *sealing_key(struct sim_node *n, uint32_t peer, uint32_t remote_index)
{
	struct sim_key *k = NULL;
	const void *key;
	void *value;
	size_t it = 0;

	if (peer < n->nslots && n->slots[peer].use)
		k = sim_keys_get(n, n->slots[peer].use);
	if (k && k->k.remote_index == remote_index)
		return k;
	while (map_next(n->keys, &it, &key, &value)) {
		k = value;
		if (k->peer == peer && k->k.remote_index == remote_index)
			return k;
	}
	return NULL;
}

void check_size(struct sim_node *n, size_t wire_len)
{
	if (wire_len > WIRE_CONTROL_MAX)
		sim_fail(n->s, CHECK_SIZE, "n%u sends a datagram of %zu bytes to its peers",
			n->index, wire_len);
}

void check_relay(struct sim_node *n, const struct relay_hdr *h, uint64_t other)
{
	uint64_t v[WIRE_RELAY_LABELS_MAX + 2] = {sim_label(&n->id.pub), other};

	memcpy(v + 2, h->label, h->n * sizeof(v[0]));
	for (unsigned i = 0; i < h->n + 2u; i++)
		for (unsigned k = 0; k < i; k++)
			if (v[i] == v[k])
				sim_fail(n->s, CHECK_RELAY,
					"n%u sends by a way of %u relays that visits a node twice",
					n->index, h->n);
}

void check_sealed(struct sim_node *n, uint32_t peer, const uint8_t *buf, size_t len)
{
	struct sim_key *k;
	uint64_t counter;
	uint32_t index;
	struct rd r;

	if (n->s->cfg.no_crypto)
		return;
	rd_init(&r, buf, len);
	if (WIRE_TYPE_OF(rd_u8(&r)) != WIRE_DATA)
		return;
	rd_u8(&r);
	if (rd_u8(&r) != WIRE_LANE_CONTROL)
		sim_fail(n->s, CHECK_COUNTER, "n%u: the session core used another lane than 0",
			n->index);
	rd_u8(&r);
	index = rd_u32(&r);
	counter = rd_u64(&r);
	k = sealing_key(n, peer, index);
	/* A CLOSE may come out behind the KEY_DEL of the key that sealed it. */
	if (!k)
		return;
	if (replay_accept(&k->sealed, counter) != 0)
		sim_fail(n->s, CHECK_COUNTER, "n%u sealed twice with counter %llu of key %u",
			n->index, (unsigned long long)counter, k->k.local_index);
}

void check_ticks(struct sim_node *n)
{
	if (n->ticks > TICKS_MAX)
		sim_fail(n->s, CHECK_SPIN, "n%u was called %u times at one instant", n->index,
			n->ticks);
}

/* --- what a node believes --- */

static void check_view(struct sim_node *n, const struct gossip_node_info *i)
{
	static const uint8_t types[3] = {RECORD_NODE, RECORD_ENDPOINTS, RECORD_PREFIXES};
	const uint64_t content[3] = {truth_of_node(i->name, i->version, i->left),
		truth_of_endpoints(i->eps, i->neps), truth_of_prefixes(i->prefixes, i->nprefixes)};
	const bool empty[3] = {i->name[0] == '\0', i->neps == 0, i->nprefixes == 0};
	struct view *v = map_get(n->views, &i->key);

	if (!v) {
		v = calloc(1, sizeof(*v));
		if (!v || map_put(n->views, &i->key, v) != 0)
			abort();
	}
	for (int t = 0; t < 3; t++) {
		enum truth_verdict verdict;

		if ((v->seen[t] && v->content[t] == content[t]) || (!v->seen[t] && empty[t]))
			continue;
		verdict = truth_judge(n->s->truth, &i->key, types[t], content[t], &v->least[t]);
		if (verdict != TRUTH_FINE)
			sim_fail(n->s, CHECK_RECORDS,
				"n%u believes of %s a record of type %u that %s", n->index, i->name,
				types[t],
				verdict == TRUTH_ROLLED_BACK ? "is older than one it had"
							     : "was never published");
		v->content[t] = content[t];
		v->seen[t] = true;
	}
	if (!i->self && i->epoch < v->epoch)
		sim_fail(n->s, CHECK_RECORDS, "n%u: the epoch of %s fell", n->index, i->name);
	v->epoch = i->epoch;
}

static struct model_claim *claim_room(struct checks *c, size_t count)
{
	if (count > c->cap_claims) {
		c->cap_claims = 2 * count;
		c->claims = realloc(c->claims, c->cap_claims * sizeof(*c->claims));
		if (!c->claims)
			abort();
	}
	return c->claims;
}

static void compare_routes(struct sim_node *n, const struct model_claim *v, size_t count)
{
	char text[PFX_STRLEN], who[NODE_KEY_SHORT + 1];
	size_t wanted = 0;

	for (size_t i = 0; i < count; i++) {
		bool have =
			route_set_has(&n->routes, route_name(n->s->routes, &v[i].node, &v[i].p));

		wanted += v[i].routed;
		if (have != v[i].routed)
			sim_fail(n->s, CHECK_ROUTES, "n%u %s %s of %s", n->index,
				have ? "routes, but should not," : "should route, but doesn't,",
				pfx_fmt(&v[i].p.pfx, text), node_key_fmt_short(&v[i].node, who));
	}
	if (n->routes.count != wanted)
		sim_fail(n->s, CHECK_ROUTES, "n%u has %zu routes, %zu should be there", n->index,
			n->routes.count, wanted);
}

/* Views and routes of one node. */
static void check_beliefs(struct sim_node *n)
{
	struct checks *c = n->s->checks;
	struct gossip_node_info i;
	size_t it = 0, count = 0;

	while (gossip_node_next(n->gossip, &it, &i)) {
		struct model_claim *v = claim_room(c, count + i.nprefixes + 1);

		check_view(n, &i);
		if (!sim_node_counts(&i) && !i.away)
			continue;
		for (size_t p = 0; p < i.nprefixes; p++)
			v[count++] = (struct model_claim){
				.p = i.prefixes[p], .node = i.key, .self = i.self};
	}
	if (n->s->cfg.checks & 1u << CHECK_ROUTES)
		return;
	route_model(c->claims, count);
	compare_routes(n, c->claims, count);
}

/* Every record that it has just taken, whether or not it is time to look at all; of who isn't watched none. */
static void check_stored(struct sim_node *n, bool watched)
{
	const struct node_key *key;
	struct gossip_node_info i;

	while ((key = truth_stored(n->s->truth)) != NULL)
		if (watched && gossip_node_get(n->gossip, key, &i) == 0)
			check_view(n, &i);
}

void check_after(struct sim_node *n)
{
	struct gossip_stats st;
	uint64_t mark;
	unsigned known = n->s->cfg.nodes + n->s->cfg.ghosts;
	dur_t pause = DUR_SEC((int64_t)known * known / 2048);
	unsigned stride = n->s->cfg.nodes / OBSERVERS;

	bool watched = !n->s->failed && (stride <= 1 || n->index % stride == 0);

	check_stored(n, watched);
	if (!watched)
		return;
	if (known > EVERY_TURN && !ts_due(n->views_at, n->s->now))
		return;
	n->views_at = ts_add(n->s->now, prng_jitter(&n->prng, pause, 50));
	/* What could change beliefs counts up one of these; in small clusters each message counts. */
	gossip_stats(n->gossip, &st);
	mark = st.rx_new + n->downs + n->turned + n->published + n->conflicts + n->disk.epoch;
	if (known <= EVERY_TURN)
		mark += st.rx;
	mark = (mark << 24) + n->routes.count * 3 + st.nodes * 5 + st.records * 7;
	if (mark == n->views_seen)
		return;
	n->views_seen = mark;
	check_beliefs(n);
}

/* --- agreement --- */

/* What a node knows of everybody, as one number, and whom it holds for alive. */
struct knowledge {
	uint64_t sum;
	unsigned subjects, alive, gone; /* alive, gone: of those, who runs or doesn't */
};

static struct knowledge knowledge(struct sim_node *n)
{
	struct knowledge k = {0};
	struct gossip_node_info i;
	size_t it = 0;

	while (gossip_node_next(n->gossip, &it, &i)) {
		uint64_t h[5];

		memcpy(&h[0], i.key.b, 8);
		h[1] = i.epoch;
		h[2] = truth_of_node(i.name, i.version, i.left);
		h[3] = truth_of_endpoints(i.eps, i.neps);
		h[4] = truth_of_prefixes(i.prefixes, i.nprefixes);
		k.sum += map_siphash((const uint8_t *)"knowledge is sum", h, sizeof(h));
		k.subjects++;
		if (i.self || !sim_node_counts(&i))
			continue;
		if (sim_node_of(n->s, &i.key))
			k.alive++;
		else
			k.gone++;
	}
	return k;
}

/* Does @n know what @want is the sum of, and hold all @alive for alive, and nobody else? Sets *@want if it
 * is 0. */
static enum agreement agrees(
	struct sim_node *n, unsigned alive, uint64_t *want, char *why, size_t len)
{
	struct knowledge k = knowledge(n);

	if (*want == 0)
		*want = k.sum;
	if (k.alive == alive - 1 && k.sum == *want && k.gone == 0)
		return AGREE;
	if (k.alive == alive - 1 && k.sum != *want)
		snprintf(why, len, "n%u knows other things than the first (of %u nodes)", n->index,
			k.subjects);
	else
		snprintf(why, len, "n%u holds %u others for alive, %u run", n->index,
			k.alive + k.gone, alive - 1);
	return k.alive == alive - 1 && k.sum == *want ? AGREE_BUT_GONE : AGREE_NOT;
}

/* Whole comparisons cost O(N^2): what a glance tells goes first. */
static bool same_counts(struct sim *s, char *why, size_t len)
{
	struct gossip_stats first = {0}, st;
	bool have = false;

	for (unsigned i = 0; i < s->cfg.nodes; i++) {
		if (!s->nodes[i]->running)
			continue;
		gossip_stats(s->nodes[i]->gossip, &st);
		if (!have)
			first = st;
		have = true;
		if (st.nodes == first.nodes && st.records == first.records)
			continue;
		snprintf(why, len, "n%u knows %llu nodes and %llu records, the first %llu and %llu",
			i, (unsigned long long)st.nodes, (unsigned long long)st.records,
			(unsigned long long)first.nodes, (unsigned long long)first.records);
		return false;
	}
	return true;
}

enum agreement checks_agree(struct sim *s, char *why, size_t len)
{
	unsigned alive = 0, stride = s->cfg.nodes / AGREE_SAMPLE;
	enum agreement all = AGREE;
	uint64_t want = 0;

	for (unsigned i = 0; i < s->cfg.nodes; i++)
		alive += s->nodes[i]->running;
	if (!same_counts(s, why, len))
		return AGREE_NOT;
	for (unsigned i = 0; stride > 1 && i < s->cfg.nodes; i += stride)
		if (s->nodes[i]->running &&
			agrees(s->nodes[i], alive, &want, why, len) == AGREE_NOT)
			return AGREE_NOT;
	for (unsigned i = 0; i < s->cfg.nodes && all != AGREE_NOT; i++)
		if (s->nodes[i]->running) {
			enum agreement one = agrees(s->nodes[i], alive, &want, why, len);

			all = one == AGREE ? all : one;
		}
	s->checks->joined |= all == AGREE;
	return all;
}

/* --- life --- */

static void on_second(struct sim *s, struct sim_event *e)
{
	sim_at(s, e, ts_add(s->now, DUR_SEC(1)));
	if (s->checks->joined) {
		pairs_second(s->checks->pairs);
		sim_flows_check(s);
	}
}

struct checks *checks_new(struct sim *s)
{
	static const uint8_t seed[16];
	struct checks *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->s = s;
	c->tx_keys = map_new(8, SIZE_MAX / 2, seed);
	c->pairs = pairs_new(s);
	if (!c->tx_keys || !c->pairs) {
		checks_free(c);
		return NULL;
	}
	c->each_second.fire = on_second;
	sim_at(s, &c->each_second, ts_add(s->now, DUR_SEC(1)));
	return c;
}

void checks_free(struct checks *c)
{
	if (!c)
		return;
	map_free(c->tx_keys);
	pairs_free(c->pairs);
	free(c->claims);
	free(c);
}

const struct pairs_worst *checks_worst(const struct sim *s)
{
	return pairs_worst(s->checks->pairs);
}

void checks_quiet(struct sim *s, bool quiet)
{
	sim_trace(s, -1, -1, quiet ? "quiet" : "faults", 0);
	s->quiet = quiet ? s->now : TS_ZERO;
	if (!quiet)
		return;
	pairs_forgive(s->checks->pairs);
	sim_flows_forgive(s);
}
