/* gossip_own.c - what this node publishes, its epoch, and clones of its key.
 *
 * own_publish() compares what should be published with what stands in the store, record by record,
 * and signs only what differs; so every setter changes the wish and calls it. Sequence numbers
 * count all records of an epoch. A prefix stays in the record in which it first stood.
 *
 * A record of our own that comes from elsewhere: an older one is answered with ours. One from an
 * earlier life under a key that we don't publish any more is withdrawn by a tombstone. One that is
 * ahead of us (our disk was lost or rolled back, or somebody has our key) makes us jump: the driver
 * stores a higher epoch, then all is published again. CLONE_JUMPS within CLONE_WINDOW is a clone;
 * from then on we jump once in JUMP_MIN_CLONE, or two clones would drive each other for ever. Above
 * LIM_EPOCH nobody believes anything; who has our key and publishes there has taken it from us: told.
 *
 * Who has what we say: each link has a bit for our node record and for each of our PREFIXES records.
 * It is set when the peer says that it has the very record that we publish, or when its store is the
 * same as ours; all links lose it when the record changes, and a link loses all when it ends. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/log.h"
#include "gossip_int.h"

#define SUB_NONE UINT16_MAX
#define SUBS_MAX ((LIM_PREFIXES_PER_NODE + RECORD_PREFIXES_SAFE - 1) / RECORD_PREFIXES_SAFE)
_Static_assert(SUBS_MAX + FORGET_SUBS + 2 <= LIM_RECORDS_PER_NODE,
	"all that a node says must fit its records");
_Static_assert(SUBS_MAX < 64, "a bit for the node record and each PREFIXES record");

/* The bit of a record of ours that others need to route to us; 0: they don't need it. */
static uint64_t needed_bit(uint8_t type, uint16_t sub)
{
	if (type == RECORD_NODE)
		return 1;
	return type == RECORD_PREFIXES && sub < SUBS_MAX ? UINT64_C(2) << sub : 0;
}

void own_known(struct gossip *g, struct link *l, const struct store_entry *e)
{
	if (node_key_eq(&e->r.node, &g->id->pub))
		l->has_own |= needed_bit(e->r.type, e->r.sub);
}

void own_known_summed(struct gossip *g, struct link *l)
{
	const struct store_entry *e;

	if (own_is_known(g, l))
		return;
	for (uint8_t type = RECORD_NODE; type <= RECORD_PREFIXES; type++)
		for (uint16_t sub = 0; sub < (type == RECORD_PREFIXES ? g->own.nsubs : 1); sub++) {
			e = store_find(g->store, &g->id->pub, type, sub);
			if (e && e->summed == e->digest)
				own_known(g, l, e);
		}
}

bool own_is_known(const struct gossip *g, const struct link *l)
{
	return ts_is_never(g->own.republish_at) && (g->own.needed & ~l->has_own) == 0;
}

/* The record with this bit is about to change: nobody has it as it will be. */
static void nobody_has(struct gossip *g, uint64_t bit)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (bit && map_next(g->nodes, &it, &key, &value)) {
		struct node *m = value;

		if (m->link)
			m->link->has_own &= ~bit;
	}
}

int own_init(struct gossip *g, uint64_t epoch, ts_t now)
{
	struct own *o = &g->own;

	assert(epoch > 0);
	o->epoch = epoch;
	o->jump_at = o->republish_at = o->clone_told = o->renew_at = TS_NEVER;
	o->forgotten_next = now;
	for (size_t i = 0; i < CLONE_JUMPS; i++)
		o->jumps[i] = TS_NEVER;
	own_publish(g, now);
	/* A node that can't even hold its own node record is none. */
	return ts_is_never(o->republish_at) ? 0 : ERR_NOMEM;
}

void own_fini(struct gossip *g)
{
	free(g->own.prefixes);
}

/* Sign and commit a record with type, flags, sub-key and body of @r. */
static int commit_own(struct gossip *g, struct record *r, ts_t now)
{
	struct record parsed;
	int len, check, err;

	r->cluster = g->cluster;
	r->epoch = g->own.epoch;
	r->seq = g->own.seq + 1;
	len = record_sign(g->id, r, g->record);
	assert(len > 0);
	check = record_parse(g->record, (size_t)len, &parsed);
	assert(check == len);
	(void)check;
	nobody_has(g, needed_bit(r->type, r->sub));
	err = node_commit(g, &parsed, NULL, true, now);
	if (err == 0)
		g->own.seq++;
	return err;
}

/* Publish one record, its body in g->body, if it differs from what stands in the store. */
static int publish(
	struct gossip *g, uint8_t type, uint16_t sub, uint16_t flags, int body_len, ts_t now)
{
	const struct store_entry *e = store_find(g->store, &g->id->pub, type, sub);
	struct record r = {.type = type, .flags = flags, .sub = sub, .body = g->body};

	assert(body_len >= 0); /* what we publish is bounded when it is set */
	r.body_len = (size_t)body_len;
	if (flags & RECORD_F_TOMBSTONE) {
		if (!e || e->r.flags & RECORD_F_TOMBSTONE)
			return 0;
	} else if (e && e->r.epoch == g->own.epoch && e->r.flags == flags &&
		   e->r.body_len == r.body_len && memcmp(e->r.body, g->body, r.body_len) == 0) {
		return 0;
	}
	return commit_own(g, &r, now);
}

static int publish_prefixes(struct gossip *g, uint16_t sub, ts_t now)
{
	struct own *o = &g->own;
	struct gossip_prefix rows[RECORD_PREFIXES_SAFE];
	size_t n = 0;

	for (size_t i = 0; i < o->nprefixes; i++)
		if (o->prefixes[i].sub == sub)
			rows[n++] = o->prefixes[i].p;
	if (n == 0)
		o->needed &= ~needed_bit(RECORD_PREFIXES, sub);
	else
		o->needed |= needed_bit(RECORD_PREFIXES, sub);
	if (n == 0)
		return publish(g, RECORD_PREFIXES, sub, RECORD_F_TOMBSTONE, 0, now);
	return publish(g, RECORD_PREFIXES, sub, 0, record_prefixes_encode(rows, n, g->body), now);
}

static int publish_forgets(struct gossip *g, uint16_t sub, ts_t now)
{
	const struct own *o = &g->own;
	size_t from = (size_t)sub * RECORD_FORGETS_MAX, n = 0;

	if (o->nforgets > from)
		n = o->nforgets - from < RECORD_FORGETS_MAX ? o->nforgets - from
							    : RECORD_FORGETS_MAX;
	if (n == 0)
		return publish(g, RECORD_FORGET, sub, RECORD_F_TOMBSTONE, 0, now);
	return publish(g, RECORD_FORGET, sub, 0,
		record_forgets_encode(o->forgets + from, n, g->body), now);
}

/* The node record, though it says nothing new, under a new version. */
static int renew(struct gossip *g, ts_t now)
{
	const struct store_entry *e = store_find(g->store, &g->id->pub, RECORD_NODE, 0);
	struct record r = {.type = RECORD_NODE, .body = g->body};

	if (!e)
		return 0;
	r.body_len = e->r.body_len;
	memcpy(g->body, e->r.body, e->r.body_len);
	return commit_own(g, &r, now);
}

void own_publish(struct gossip *g, ts_t now)
{
	struct own *o = &g->own;
	struct record_node node = {.left = o->left, .features = o->features};
	int err;

	memcpy(node.name, g->name, sizeof(node.name));
	memcpy(node.version, g->version, sizeof(node.version));
	o->needed |= needed_bit(RECORD_NODE, 0);
	err = publish(g, RECORD_NODE, 0, 0, record_node_encode(&node, g->body), now);
	if (err == 0)
		err = publish(g, RECORD_ENDPOINTS, 0, 0,
			record_endpoints_encode(o->eps, o->neps, g->body), now);
	for (uint16_t sub = 0; err == 0 && sub < o->nsubs; sub++)
		err = publish_prefixes(g, sub, now);
	for (uint16_t sub = 0; err == 0 && sub < FORGET_SUBS; sub++)
		err = publish_forgets(g, sub, now);
	if (err == 0 && o->renew && (err = renew(g, now)) == 0)
		o->renew = false;
	if (err < 0)
		log_warn("gossip", "can't publish our records: %s; trying again", err_str(err));
	o->republish_at = err < 0 ? ts_add(now, REPUBLISH) : TS_NEVER;
}

/* Can another host reach us there? Loopback serves only several nodes on one host. */
static bool usable(const struct ep *e, bool loopback)
{
	return node_ep_ok(e) && ip_is_loopback(&e->ip) == loopback;
}

int gossip_set_endpoints(struct gossip *g, const struct ep *eps, size_t n, ts_t now)
{
	struct own *o = &g->own;
	struct ep kept[LIM_ENDPOINTS_PER_NODE];
	size_t nkept = 0;

	gossip_enter(g, now);
	if (n > LIM_ENDPOINTS_PER_NODE)
		return ERR_FULL;
	for (int loopback = 0; loopback <= 1 && nkept == 0; loopback++)
		for (size_t i = 0; i < n; i++)
			if (usable(&eps[i], loopback)) {
				kept[nkept] = eps[i];
				kept[nkept++].scope = 0; /* means nothing elsewhere */
			}
	o->neps = nkept;
	if (nkept)
		memcpy(o->eps, kept, nkept * sizeof(kept[0]));
	own_publish(g, now);
	return 0;
}

void gossip_set_features(struct gossip *g, uint64_t features, ts_t now)
{
	gossip_enter(g, now);
	if (g->own.features == features)
		return;
	g->own.features = features;
	own_publish(g, now);
}

static bool prefix_ok(const struct gossip_prefix *p)
{
	struct pfx cleared;

	return p->vni != VNI_CONTROL && p->vni <= VNI_MAX && p->right >= RIGHT_ORCHESTRATOR &&
	       p->right <= RIGHT_CLAIM && pfx_make(&p->pfx.ip, p->pfx.len, &cleared) == 0 &&
	       pfx_eq(&cleared, &p->pfx);
}

static const struct own_prefix *find_own(
	const struct own_prefix *v, size_t n, const struct gossip_prefix *p)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].p.vni == p->vni && pfx_eq(&v[i].p.pfx, &p->pfx))
			return &v[i];
	return NULL;
}

/* Give every prefix a record: the one it stands in, else the first with room. */
static void assign_subs(struct own *o, struct own_prefix *v, size_t n)
{
	size_t used[SUBS_MAX] = {0};

	for (size_t i = 0; i < n; i++) {
		const struct own_prefix *old = find_own(o->prefixes, o->nprefixes, &v[i].p);

		v[i].sub = old ? old->sub : SUB_NONE;
		if (old)
			used[old->sub]++;
	}
	for (size_t i = 0; i < n; i++) {
		uint16_t sub = 0;

		if (v[i].sub != SUB_NONE)
			continue;
		while (used[sub] == RECORD_PREFIXES_SAFE)
			sub++;
		assert(sub < SUBS_MAX);
		v[i].sub = sub;
		used[sub]++;
		if (sub >= o->nsubs)
			o->nsubs = (uint16_t)(sub + 1);
	}
}

int gossip_set_prefixes(struct gossip *g, const struct gossip_prefix *p, size_t n, ts_t now)
{
	struct own *o = &g->own;
	struct own_prefix *v;
	size_t count = 0;

	gossip_enter(g, now);
	if (n > LIM_PREFIXES_PER_NODE)
		return ERR_FULL;
	for (size_t i = 0; i < n; i++)
		if (!prefix_ok(&p[i]))
			return ERR_RANGE;
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		if (find_own(v, count, &p[i]))
			continue; /* said twice */
		v[count].p = p[i];
		v[count++].p.lost = false;
	}
	assign_subs(o, v, count);
	free(o->prefixes);
	o->prefixes = v;
	o->nprefixes = count;
	own_publish(g, now);
	return 0;
}

void gossip_leave(struct gossip *g, ts_t now)
{
	const void *key;
	void *value;
	size_t it = 0;

	gossip_enter(g, now);
	g->own.left = true;
	own_publish(g, now);
	if (g->membership)
		members_leave(g->membership, now);
	while (map_next(g->nodes, &it, &key, &value))
		node_refresh(g, value, now); /* nobody is dialled any more */
}

void gossip_pause(struct gossip *g, ts_t now)
{
	gossip_enter(g, now);
	if (g->membership)
		members_leave(g->membership, now);
}

/* Were there so many jumps lately that another must hold our key? */
static bool suspected(const struct own *o, ts_t now)
{
	return !ts_is_never(o->jumps[0]) && ts_sub(now, o->jumps[0]).ns <= CLONE_WINDOW.ns;
}

void own_clone(struct gossip *g, const struct ep *ep, ts_t now)
{
	struct own *o = &g->own;
	struct notice n = {.type = GOSSIP_KEY_CLONE, .node = g->id->pub};

	if (ep && ep->ip.family != IP_NONE)
		o->clone_ep = *ep;
	if (!ts_is_never(o->clone_told) && ts_sub(now, o->clone_told).ns < NAME_REPEAT.ns)
		return;
	o->clone_told = now;
	memcpy(n.name, g->name, sizeof(n.name));
	n.eps[0] = o->clone_ep;
	n.neps = o->clone_ep.ip.family != IP_NONE;
	n.epoch = o->used_up ? LIM_EPOCH : 0;
	gossip_notice(g, &n);
}

/* A record of ours is out with @epoch, which is not ours to have been published. */
static void jump_above(struct gossip *g, uint64_t epoch, ts_t now)
{
	struct own *o = &g->own;
	ts_t last = o->jumps[CLONE_JUMPS - 1];

	assert(epoch <= LIM_EPOCH);
	if (epoch == LIM_EPOCH) {
		o->used_up = true; /* nothing is above that */
		own_clone(g, NULL, now);
		return;
	}
	if (epoch + 1 <= o->want_epoch)
		return;
	if (!o->want_epoch || o->jump_asked) {
		o->jump_at = now;
		if (!ts_is_never(last))
			o->jump_at.ns =
				ts_add(last, suspected(o, now) ? JUMP_MIN_CLONE : JUMP_MIN).ns;
		if (ts_before(o->jump_at, now))
			o->jump_at = now;
	}
	o->want_epoch = epoch + 1;
	o->jump_asked = false;
}

/* What address does a clone of ours say it has? */
static void note_clone_ep(struct gossip *g, const struct record *r)
{
	struct ep eps[LIM_ENDPOINTS_PER_NODE];
	size_t n;

	if (r->type != RECORD_ENDPOINTS || !record_understood(r))
		return;
	if (record_endpoints_decode(r->body, r->body_len, eps, LIM_ENDPOINTS_PER_NODE, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		bool ours = false;

		for (size_t j = 0; j < g->own.neps; j++)
			ours |= ep_eq(&g->own.eps[j], &eps[i]);
		if (!ours) {
			g->own.clone_ep = eps[i];
			return;
		}
	}
}

/* Put a tombstone in place of @r, which we don't publish. */
static int withdraw(struct gossip *g, const struct record *r, ts_t now)
{
	struct record tomb = {.type = r->type, .flags = RECORD_F_TOMBSTONE, .sub = r->sub};

	return commit_own(g, &tomb, now);
}

/* While a jump above @r is under way, all that it can tell is where a clone is; when no jump is possible,
 * that there is one. Once in a while is enough: a clone, or who repeats what it says, costs no more. */
static bool worth_it(struct gossip *g, const struct record *r, ts_t now)
{
	struct own *o = &g->own;
	bool jumps = r->epoch >= o->epoch && r->epoch < o->want_epoch;
	bool last = o->used_up && r->epoch == LIM_EPOCH;

	if (!jumps && !last)
		return true;
	if ((jumps && r->type != RECORD_ENDPOINTS) || !ts_due(o->look_at, now))
		return false;
	o->look_at = ts_add(now, FORGED_LOOK);
	return true;
}

int own_seen(struct gossip *g, const struct record *r, struct node *from, ts_t now)
{
	const struct store_entry *e = store_find(g->store, &r->node, r->type, r->sub);
	int cmp = e ? record_version_cmp(r->epoch, r->seq, e->r.epoch, e->r.seq) : 1;
	int err;

	if (cmp == 0 && r->len == e->r.len && memcmp(r->raw, e->bytes, r->len) == 0) {
		own_known(g, from->link, e);
		return 0;
	}
	if (cmp < 0) {
		g->stats.rx_stale++;
		link_queue(g, from, e->r.key);
		return ERR_STALE;
	}
	if (!worth_it(g, r, now))
		return ERR_STALE;
	err = link_verify(g, from, r, now);
	if (err < 0)
		return err;
	if (r->epoch >= g->own.epoch) {
		note_clone_ep(g, r);
		jump_above(g, r->epoch, now);
		return 0;
	}
	/* From an earlier life, newer than what we know of that, and not published in this one:
	 * withdrawn, whatever it says. */
	if (r->flags & RECORD_F_TOMBSTONE)
		return node_commit(g, r, from, true, now);
	/* But for whom to forget: that goes on being said. */
	if (r->type == RECORD_FORGET && record_understood(r)) {
		forget_adopt(g, r, now);
		if (store_find(g->store, &r->node, r->type, r->sub))
			return 0;
	}
	return withdraw(g, r, now);
}

void gossip_epoch_stored(struct gossip *g, uint64_t epoch, ts_t now)
{
	struct own *o = &g->own;

	gossip_enter(g, now);
	if (epoch <= o->epoch)
		return;
	if (g->membership)
		members_set_epoch(g->membership, epoch, now);
	o->epoch = epoch;
	o->seq = 0;
	o->jump_asked = false;
	if (o->want_epoch <= epoch) {
		o->want_epoch = 0;
		o->jump_at = TS_NEVER;
	}
	g->stats.epoch_jumps++;
	memmove(&o->jumps[0], &o->jumps[1], sizeof(o->jumps[0]) * (CLONE_JUMPS - 1));
	o->jumps[CLONE_JUMPS - 1] = now;
	if (suspected(o, now))
		own_clone(g, NULL, now);
	own_publish(g, now);
}

void own_tick(struct gossip *g, ts_t now)
{
	struct own *o = &g->own;

	if (ts_due(o->renew_at, now)) {
		o->renew_at = TS_NEVER;
		o->renew = true;
		o->republish_at = now;
	}
	if (ts_due(o->republish_at, now))
		own_publish(g, now);
	if (o->want_epoch && o->jump_asked && ts_due(o->jump_at, now))
		o->jump_asked = false;
}

ts_t own_deadline(const struct gossip *g)
{
	return ts_min(ts_min(g->own.republish_at, g->own.renew_at),
		g->own.want_epoch ? g->own.jump_at : TS_NEVER);
}

bool own_next(struct gossip *g, uint64_t *epoch)
{
	struct own *o = &g->own;

	if (!o->want_epoch || o->jump_asked || !ts_due(o->jump_at, g->now))
		return false;
	o->jump_asked = true;
	o->jump_at = ts_add(g->now, JUMP_RETRY);
	*epoch = o->want_epoch;
	return true;
}
