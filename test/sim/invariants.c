/* invariants.c - see the header for what is checked.
 *
 * In: each action of a node's cores, the end of each of its turns, a tick of its own per second. Out:
 * sim_fail(). State: all tx keys ever seen, per observer what it believed last, per pair since when
 * its keys don't match. With up to EVERY_TURN nodes a node's views and routes are checked after each
 * turn that could change them, with more now and then, so that the cost stays linear. */
#include "invariants.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "aead.h"
#include "map.h"
#include "record.h"
#include "route_model.h"
#include "sim.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_sess.h"
#include "truth.h"

#define EVERY_TURN   32
#define PAIRWISE_MAX 128 /* nodes up to which each pair is looked at each second */
#define OWNED_MAX    (PAIRWISE_MAX * SIM_PREFIXES)
#define OWNERS_GRACE 10 /* seconds that a pair may differ about an owner */
#define KEYS_GRACE   5  /* the same about keys */
#define DOWN_MARGIN  DUR_SEC(5)
#define TICKS_MAX    5000

/* What a node routes and owns. */
struct owns {
	struct sim_route v[OWNED_MAX];
	size_t count;
	uint64_t sum;
};

struct checks {
	struct sim *s;
	struct sim_event each_second;
	struct map *tx_keys;
	bool quiet;
	uint8_t *mismatch, *dispute; /* per pair, seconds in a row */
	struct owns *owns;           /* per node */
	struct model_claim *claims;  /* working space */
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

	if (a->index != k->k.local_index || sim_node_key(n, a->index))
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
	const struct sim_key *k = sim_node_key(n, a->index);

	if (!k || k->peer != a->peer)
		sim_fail(n->s, CHECK_KEYS, "n%u: key %u is to be used, but isn't there", n->index,
			a->index);
}

void check_key_del(struct sim_node *n, const struct sess_act *a)
{
	const struct sim_key *k = sim_node_key(n, a->index);

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
	dur_t calm;

	if (!o)
		return;
	calm = ts_sub(n->s->now, sim_net_calm_since(n->s->net, n->index, o->index));
	if (calm.ns > n->s->cfg.tune.peer_timeout.ns + DOWN_MARGIN.ns)
		sim_fail(n->s, CHECK_FALSE_DOWN,
			"n%u lost n%u (reason %d), though nothing happened to them for %.1f s",
			n->index, o->index, a->reason, (double)calm.ns / 1e9);
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
	if (map_count(n->routes))
		sim_fail(n->s, CHECK_ROUTES, "n%u has ended all sessions and has %zu routes left",
			n->index, map_count(n->routes));
}

/* The key that a datagram of ours to @remote_index was sealed with. */
static struct sim_key *sealing_key(struct sim_node *n, uint32_t peer, uint32_t remote_index)
{
	struct sim_key *k = NULL;
	const void *key;
	void *value;
	size_t it = 0;

	if (peer < n->nslots && n->slots[peer].use)
		k = sim_node_key(n, n->slots[peer].use);
	if (k && k->k.remote_index == remote_index)
		return k;
	while (map_next(n->keys, &it, &key, &value)) {
		k = value;
		if (k->peer == peer && k->k.remote_index == remote_index)
			return k;
	}
	return NULL;
}

void check_sealed(struct sim_node *n, const struct sess_act *a)
{
	struct sim_key *k;
	uint64_t counter;
	uint32_t index;
	struct rd r;

	if (n->s->cfg.no_crypto)
		return;
	rd_init(&r, a->buf, a->len);
	if (WIRE_TYPE_OF(rd_u8(&r)) != WIRE_DATA)
		return;
	rd_u8(&r);
	if (rd_u8(&r) != WIRE_LANE_CONTROL)
		sim_fail(n->s, CHECK_COUNTER, "n%u: the session core used another lane than 0",
			n->index);
	rd_u8(&r);
	index = rd_u32(&r);
	counter = rd_u64(&r);
	k = sealing_key(n, a->peer, index);
	/* A CLOSE may come out behind the KEY_DEL of the key that sealed it. */
	if (!k)
		return;
	if (counter < k->sealed0)
		sim_fail(n->s, CHECK_COUNTER, "n%u sealed twice with counter %llu of key %u",
			n->index, (unsigned long long)counter, k->k.local_index);
	k->sealed0 = counter + 1;
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

static const struct sim_route *route_of(const struct sim_node *n, const struct model_claim *c)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(n->routes, &it, &key, &value)) {
		const struct sim_route *r = value;

		if (r->p.vni == c->p.vni && r->p.exit == c->p.exit &&
			pfx_eq(&r->p.pfx, &c->p.pfx) && node_key_eq(&r->node, &c->node))
			return r;
	}
	return NULL;
}

static void compare_routes(struct sim_node *n, const struct model_claim *v, size_t count)
{
	char text[PFX_STRLEN], who[NODE_KEY_SHORT + 1];
	size_t wanted = 0;

	for (size_t i = 0; i < count; i++) {
		bool have = route_of(n, &v[i]) != NULL;

		wanted += v[i].routed;
		if (have != v[i].routed)
			sim_fail(n->s, CHECK_ROUTES, "n%u %s %s of %s", n->index,
				have ? "routes, but should not," : "should route, but doesn't,",
				pfx_fmt(&v[i].p.pfx, text), node_key_fmt_short(&v[i].node, who));
	}
	if (map_count(n->routes) != wanted)
		sim_fail(n->s, CHECK_ROUTES, "n%u has %zu routes, %zu should be there", n->index,
			map_count(n->routes), wanted);
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
		if (i.left || (!i.self && (!i.linked || i.name[0] == '\0')))
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

void check_after(struct sim_node *n)
{
	struct gossip_stats st;
	uint64_t mark;
	dur_t pause = DUR_SEC((int64_t)n->s->cfg.nodes * n->s->cfg.nodes / 2048);

	if (n->s->failed)
		return;
	if (n->s->cfg.nodes > EVERY_TURN && !ts_due(n->views_at, n->s->now))
		return;
	n->views_at = ts_add(n->s->now, prng_jitter(&n->prng, pause, 50));
	/* What could change beliefs counts up one of these. */
	gossip_stats(n->gossip, &st);
	mark = st.rx + st.rx_new + n->downs + map_count(n->routes) * 3 + st.nodes * 5 +
	       n->disk.epoch;
	if (mark == n->views_seen)
		return;
	n->views_seen = mark;
	check_beliefs(n);
}

/* --- pairs, while it is quiet --- */

/* What @a seals for @b: can @b open it? */
static bool opens(struct sim_node *a, struct sim_node *b)
{
	static const uint8_t nonce[12];
	struct sim_slot *p = sim_node_slot(a, &b->id.pub);
	struct sim_key *ka = p && p->use ? sim_node_key(a, p->use) : NULL;
	struct sim_key *kb = ka ? sim_node_key(b, ka->k.remote_index) : NULL;
	uint8_t text[16] = "does it open?", sealed[16], opened[16], tag[16];
	struct aead *tx, *rx;
	bool ok = false;

	if (!kb || kb->k.remote_index != ka->k.local_index || kb->k.suite != ka->k.suite ||
		kb->k.rx_lanes != ka->k.tx_lanes)
		return false;
	/* Keys of their own: these nonces belong to nobody. */
	tx = aead_new(ka->k.suite, AEAD_SODIUM, ka->k.tx);
	rx = aead_new(kb->k.suite, AEAD_SODIUM, kb->k.rx);
	if (tx && rx) {
		aead_seal(tx, nonce, NULL, 0, text, sizeof(text), sealed, tag);
		ok = aead_open(rx, nonce, NULL, 0, sealed, sizeof(sealed), tag, opened) == 0 &&
		     memcmp(opened, text, sizeof(text)) == 0;
	}
	aead_free(tx);
	aead_free(rx);
	return ok;
}

static bool connected(const struct sim_node *a, const struct sim_node *b)
{
	const struct sim_slot *ab = sim_node_slot(a, &b->id.pub),
			      *ba = sim_node_slot(b, &a->id.pub);

	return ab && ba && ab->up && ba->up;
}

static void check_pair_keys(struct checks *c, struct sim_node *a, struct sim_node *b)
{
	uint8_t *bad = &c->mismatch[a->index * c->s->cfg.nodes + b->index];

	if (!connected(a, b) || (opens(a, b) && opens(b, a))) {
		*bad = 0;
		return;
	}
	if (++*bad > KEYS_GRACE)
		sim_fail(c->s, CHECK_KEY_MATCH,
			"n%u and n%u are connected, but don't open what the "
			"other seals",
			a->index, b->index);
}

static void own(struct owns *o, const struct node_key *node, const struct gossip_prefix *p)
{
	if (p->exit || o->count == OWNED_MAX)
		return;
	o->v[o->count++] = (struct sim_route){*node, *p};
	o->sum += truth_of_prefixes(p, 1) ^ map_siphash(node->b, node->b + 16, 16);
}

/* Prefixes that a node takes part in as owned: its routes, and its own unless it knows that they
 * lost. Most nodes have the same most of the time: the sum tells. */
static void owned(const struct sim_node *n, struct owns *o)
{
	struct gossip_node_info me;
	const void *key;
	void *value;
	size_t it = 0;

	o->count = 0;
	o->sum = 0;
	while (map_next(n->routes, &it, &key, &value)) {
		const struct sim_route *r = value;

		own(o, &r->node, &r->p);
	}
	if (gossip_node_get(n->gossip, &n->id.pub, &me) == 0)
		for (size_t i = 0; i < me.nprefixes; i++)
			if (!me.prefixes[i].lost)
				own(o, &me.key, &me.prefixes[i]);
}

/* Can @n know what @owner claims: is it that one, or linked with it? Who has no link to the owner
 * doesn't route to it. */
static bool knows(const struct sim_node *n, const struct node_key *owner)
{
	struct gossip_node_info i;

	return gossip_node_get(n->gossip, owner, &i) == 0 && (i.self || i.linked);
}

static void check_pair_owners(struct checks *c, struct sim_node *a, struct sim_node *b)
{
	const struct owns *x = &c->owns[a->index], *y = &c->owns[b->index];
	uint8_t *bad = &c->dispute[a->index * c->s->cfg.nodes + b->index];
	const struct gossip_prefix *differ = NULL;
	char text[PFX_STRLEN];

	for (size_t i = 0; x->sum != y->sum && i < x->count; i++)
		for (size_t j = 0; j < y->count; j++)
			if (x->v[i].p.vni == y->v[j].p.vni &&
				!node_key_eq(&x->v[i].node, &y->v[j].node) &&
				pfx_overlaps(&x->v[i].p.pfx, &y->v[j].p.pfx) &&
				knows(a, &y->v[j].node) && knows(b, &x->v[i].node))
				differ = &y->v[j].p;
	*bad = differ ? *bad + 1 : 0;
	if (*bad > OWNERS_GRACE)
		sim_fail(c->s, CHECK_OWNERS,
			"n%u and n%u are connected and have different owners for %s for %u s",
			a->index, b->index, pfx_fmt(&differ->pfx, text), *bad);
}

static void on_second(struct sim *s, struct sim_event *e)
{
	struct checks *c = s->checks;

	sim_at(s, e, ts_add(s->now, DUR_SEC(1)));
	if (!c->quiet || s->cfg.nodes > PAIRWISE_MAX)
		return;
	for (unsigned i = 0; i < s->cfg.nodes; i++)
		if (s->nodes[i]->running)
			owned(s->nodes[i], &c->owns[i]);
	for (unsigned i = 0; i < s->cfg.nodes; i++)
		for (unsigned j = i + 1; j < s->cfg.nodes; j++) {
			struct sim_node *a = s->nodes[i], *b = s->nodes[j];

			if (!a->running || !b->running || !connected(a, b))
				continue;
			if (!s->cfg.no_crypto)
				check_pair_keys(c, a, b);
			check_pair_owners(c, a, b);
		}
}

/* --- agreement --- */

/* One number for all that a node knows of everybody; how many it is linked with. */
static uint64_t knowledge(struct sim_node *n, unsigned *links, unsigned *subjects)
{
	struct gossip_node_info i;
	uint64_t sum = 0;
	size_t it = 0;

	*links = *subjects = 0;
	while (gossip_node_next(n->gossip, &it, &i)) {
		uint64_t h[5];

		memcpy(&h[0], i.key.b, 8);
		h[1] = i.epoch;
		h[2] = truth_of_node(i.name, i.version, i.left);
		h[3] = truth_of_endpoints(i.eps, i.neps);
		h[4] = truth_of_prefixes(i.prefixes, i.nprefixes);
		sum += map_siphash((const uint8_t *)"knowledge is sum", h, sizeof(h));
		*links += i.linked && !i.self && i.name[0];
		++*subjects;
	}
	return sum;
}

bool checks_agree(struct sim *s, char *why, size_t len)
{
	struct sim_node *first = NULL;
	uint64_t want = 0;
	unsigned alive = 0;

	for (unsigned i = 0; i < s->cfg.nodes; i++)
		alive += s->nodes[i]->running;
	for (unsigned i = 0; i < s->cfg.nodes; i++) {
		struct sim_node *n = s->nodes[i];
		unsigned links, subjects;
		uint64_t have;

		if (!n->running)
			continue;
		have = knowledge(n, &links, &subjects);
		if (links != alive - 1) {
			snprintf(why, len, "n%u has %u links, %u nodes run", i, links, alive);
			return false;
		}
		if (!first) {
			first = n;
			want = have;
		} else if (have != want) {
			snprintf(why, len, "n%u and n%u know different things (n%u of %u nodes)",
				first->index, i, i, subjects);
			return false;
		}
	}
	return true;
}

/* --- life --- */

struct checks *checks_new(struct sim *s)
{
	static const uint8_t seed[16];
	struct checks *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->s = s;
	c->tx_keys = map_new(8, SIZE_MAX / 2, seed);
	if (s->cfg.nodes <= PAIRWISE_MAX) {
		c->mismatch = calloc(2 * (size_t)s->cfg.nodes * s->cfg.nodes, 1);
		c->owns = calloc(s->cfg.nodes, sizeof(*c->owns));
		c->dispute = c->mismatch ? c->mismatch + (size_t)s->cfg.nodes * s->cfg.nodes : NULL;
	}
	if (!c->tx_keys || (s->cfg.nodes <= PAIRWISE_MAX && (!c->mismatch || !c->owns))) {
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
	free(c->mismatch);
	free(c->owns);
	free(c->claims);
	free(c);
}

void checks_quiet(struct sim *s, bool quiet)
{
	sim_trace(s, -1, -1, quiet ? "quiet" : "faults", 0);
	if (quiet && s->checks->mismatch)
		memset(s->checks->mismatch, 0, 2 * (size_t)s->cfg.nodes * s->cfg.nodes);
	s->checks->quiet = quiet;
}
