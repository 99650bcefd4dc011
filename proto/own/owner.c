/* owner.c - this node's own prefixes: claims, their life, and what is told to the driver.
 *
 * Parts: this file; owner_node.c (other nodes and their leases); owner_space.c (which blocks of a range
 * are free); owner_state.c (the blob on the disk).
 *
 * Data in: wanted blocks, configured and handed-in prefixes, what others publish, objections. Data out:
 * actions; owner_published(). A want goes through these states, a claim being the block that it has:
 *
 *	no block --claim time, a free one chosen--> waiting --objection time--> in use
 *	   ^  ^                                        |                          |
 *	   |  +------- objection, host can't use it ---+--------------------------+
 *	   +-- no block is free: exhausted; again when room comes up, and each retry time
 *
 * Claim time: at once without seeds; else when another member is up and nothing new was heard for the
 * settle time, at the latest mesh_wait after it was; and mesh_wait after the start if nobody answers,
 * so that a first or cut-off node comes up. Blocks are chosen at random, so that nodes that start
 * together seldom meet; when they do, one objection moves one of them.
 *
 * An older claim beats a younger one, so a node must not bring an age back from a time in which its
 * lease may have ended: claims are dated anew after an absence as long as a lease (owner_restore), after
 * as long a time in which nearly all others were missing (owner_node.c), and when others were told to
 * forget us.
 *
 * Bounds: LIM_OWN_*, LIM_PREFIXES_PER_NODE, LIM_NODES. Failure: out of memory, a call changes nothing;
 * a choice is tried again. */
#include "owner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "owner_int.h"
#include "weft/err.h"
#include "weft/wire.h"

#define USE_AGAIN    DUR_SEC(10) /* an orchestrator's prefix that this host could not use */
#define AGAIN_MS_MAX 200 /* after an objection, so that two losers don't choose at one instant */

void owner_tune_default(struct owner_tune *t)
{
	*t = (struct owner_tune){
		.objection = DUR_SEC(2),
		.mesh_wait = DUR_SEC(8),
		.settle = DUR_SEC(1),
		.retry = DUR_SEC(30),
		.lease = DUR_SEC(24 * 3600),
		.save_every = DUR_SEC(3600),
	};
}

struct owner *owner_new(const struct owner_cfg *cfg, ts_t now)
{
	struct owner *o = calloc(1, sizeof(*o));
	uint8_t seed[16];

	if (!o)
		return NULL;
	o->self = cfg->self;
	o->tune = cfg->tune;
	list_init(&o->own);
	tq_init(&o->leases);
	prng_seed(&o->prng, cfg->seed);
	for (size_t i = 0; i < sizeof(seed); i++)
		seed[i] = (uint8_t)prng_next(&o->prng);
	o->nodes = map_new(sizeof(struct node_key), LIM_NODES, seed);
	if (!o->nodes) {
		free(o);
		return NULL;
	}
	o->lease_seen = now;
	o->cut_since = TS_NEVER;
	o->claim_at = cfg->seeds ? ts_add(now, o->tune.mesh_wait) : now;
	o->save_at = ts_add(now, o->tune.save_every);
	owner_set_wall(o, cfg->unix_secs, now);
	owner_arm(o);
	return o;
}

void owner_free(struct owner *o)
{
	struct list *l, *t;

	if (!o)
		return;
	list_each(&o->own, l, t) free(list_entry(l, struct own, in_own));
	owner_nodes_free(o);
	tq_fini(&o->leases);
	free(o->ranges);
	free(o);
}

void owner_set_wall(struct owner *o, uint64_t unix_secs, ts_t now)
{
	o->unix_secs = unix_secs;
	o->unix_at = now;
}

uint64_t owner_unix(const struct owner *o, ts_t now)
{
	int64_t ns = ts_sub(now, o->unix_at).ns;
	uint64_t secs = o->unix_secs + (ns > 0 ? (uint64_t)ns / 1000000000 : 0);

	return secs ? secs : 1; /* 0 means that it isn't known */
}

bool owner_pfx_ok(uint32_t vni, const struct pfx *p)
{
	struct pfx clean;

	return vni > VNI_CONTROL && vni <= VNI_MAX &&
	       (p->ip.family == IP_V4 || p->ip.family == IP_V6) &&
	       pfx_make(&p->ip, p->len, &clean) == 0 && pfx_eq(&clean, p);
}

/* --- own prefixes --- */

struct own *owner_own_new(struct owner *o, const struct owner_prefix *p)
{
	struct own *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->is.p = *p;
	c->is.usable_at = TS_NEVER;
	list_add_tail(&o->own, &c->in_own);
	o->nown++;
	o->publish = o->changed = true;
	o->save |= p->right != OWNER_BY_CONFIG;
	return c;
}

void owner_own_drop(struct owner *o, struct own *c)
{
	assert(!c->doomed && o->nown > 0);
	o->nown--;
	o->publish = o->save = o->changed = true;
	if (o->tried == c)
		o->tried = NULL;
	c->doomed = true;
	if (c->used_told)
		return;
	list_del(&c->in_own);
	free(c);
}

struct want *owner_want_of(struct owner *o, const struct own *c)
{
	for (size_t i = 0; i < o->nwants; i++)
		if (o->wants[i].have == c)
			return &o->wants[i];
	return NULL;
}

static struct own *own_find(const struct owner *o, uint32_t vni, const struct pfx *p)
{
	struct list *l, *t;

	list_each(&o->own, l, t)
	{
		struct own *c = list_entry(l, struct own, in_own);

		if (!c->doomed && c->is.p.vni == vni && pfx_eq(&c->is.p.pfx, p))
			return c;
	}
	return NULL;
}

struct own *owner_overlapping(const struct owner *o, uint32_t vni, const struct pfx *p)
{
	struct list *l, *t;

	list_each(&o->own, l, t)
	{
		struct own *c = list_entry(l, struct own, in_own);

		if (!c->doomed && c->is.p.vni == vni && pfx_overlaps(&c->is.p.pfx, p))
			return c;
	}
	return NULL;
}

void owner_drop_claim(struct owner *o, struct own *c, ts_t now)
{
	struct want *w = owner_want_of(o, c);

	assert(w);
	w->have = NULL;
	w->prefer.ip.family = IP_NONE;
	w->try_at = ts_add(now, DUR_MS(prng_below(&o->prng, AGAIN_MS_MAX)));
	owner_own_drop(o, c);
}

void owner_redate(struct owner *o, ts_t now)
{
	struct list *l, *t;

	list_each(&o->own, l, t)
	{
		struct own *c = list_entry(l, struct own, in_own);

		if (c->doomed || c->is.p.right != OWNER_BY_CLAIM)
			continue;
		c->is.p.since_secs = owner_unix(o, now);
		o->publish = o->save = true;
	}
}

/* --- wants --- */

int owner_range_add(struct owner *o, uint32_t vni, const struct pfx *range)
{
	struct range *v;

	if (!owner_pfx_ok(vni, range))
		return ERR_RANGE;
	if (o->nranges == LIM_OWN_RANGES)
		return ERR_FULL;
	v = realloc(o->ranges, (o->nranges + 1) * sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	o->ranges = v;
	v[o->nranges++] = (struct range){vni, *range};
	return 0;
}

int owner_config_add(struct owner *o, uint32_t vni, const struct pfx *p, ts_t now)
{
	struct own *c;

	if (!owner_pfx_ok(vni, p))
		return ERR_RANGE;
	if (owner_overlapping(o, vni, p))
		return ERR_EXISTS;
	if (o->nown == LIM_PREFIXES_PER_NODE)
		return ERR_FULL;
	c = owner_own_new(
		o, &(struct owner_prefix){.vni = vni, .pfx = *p, .right = OWNER_BY_CONFIG});
	if (!c)
		return ERR_NOMEM;
	c->is.state = OWNER_IN_USE;
	owner_arm(o);
	return 0;
}

int owner_want_make(struct owner *o, const struct want *w)
{
	bool fits = false;

	for (size_t i = 0; i < o->nranges; i++)
		fits |= o->ranges[i].vni == w->vni && o->ranges[i].pfx.ip.family == w->family &&
			o->ranges[i].pfx.len <= w->len;
	if (!fits || w->len > (w->family == IP_V4 ? 32u : 128u))
		return ERR_NOT_FOUND;
	if (o->nwants == LIM_OWN_WANTS)
		return ERR_FULL;
	o->wants[o->nwants++] = *w;
	o->changed = true;
	return 0;
}

int owner_want(
	struct owner *o, uint32_t vni, enum ip_family family, unsigned len, uint16_t tag, ts_t now)
{
	int err = owner_want_make(
		o, &(struct want){
			   .vni = vni, .family = family, .len = len, .tag = tag, .try_at = now});

	owner_arm(o);
	return err;
}

int owner_want_more(struct owner *o, uint32_t vni, enum ip_family family, ts_t now)
{
	const struct want *first = NULL;
	size_t extra = 0;
	int err;

	for (size_t i = 0; i < o->nwants; i++) {
		const struct want *w = &o->wants[i];

		extra += w->extra;
		if (w->vni != vni || w->family != family)
			continue;
		if (!w->have || w->have->is.state == OWNER_WAITING)
			return ERR_BUSY;
		if (!first)
			first = w;
	}
	if (!first)
		return ERR_NOT_FOUND;
	if (extra >= LIM_OWN_EXTRA)
		return ERR_FULL;
	err = owner_want_make(o, &(struct want){.vni = vni,
					 .family = family,
					 .len = first->len,
					 .tag = first->tag,
					 .extra = true,
					 .try_at = now});
	owner_arm(o);
	return err;
}

void owner_room(struct owner *o, ts_t now)
{
	for (size_t i = 0; i < o->nwants; i++)
		if (o->wants[i].exhausted) {
			o->wants[i].exhausted = false;
			o->wants[i].try_at =
				ts_add(now, DUR_MS(prng_below(&o->prng, AGAIN_MS_MAX)));
		}
}

static void claim(struct owner *o, struct want *w, ts_t now)
{
	struct owner_prefix p = {.vni = w->vni, .right = OWNER_BY_CLAIM};
	struct own *c;
	int err = ERR_FULL;

	if (o->nown < LIM_PREFIXES_PER_NODE)
		err = owner_choose(o, w, &p.pfx);
	if (err) {
		w->exhausted = err != ERR_NOMEM;
		w->try_at = ts_add(now, prng_jitter(&o->prng, o->tune.retry, 20));
		o->changed = true;
		return;
	}
	p.since_secs = owner_unix(o, now);
	c = owner_own_new(o, &p);
	if (!c) {
		w->try_at = ts_add(now, prng_jitter(&o->prng, o->tune.retry, 20));
		return;
	}
	c->is.state = OWNER_WAITING;
	c->is.usable_at = ts_add(now, o->tune.objection);
	c->is.tag = w->tag;
	c->is.extra = w->extra;
	w->have = c;
	w->exhausted = w->exhausted_told = false;
	w->prefer.ip.family = IP_NONE;
	o->stats.claims++;
}

/* --- what others say of our prefixes --- */

int owner_objection(
	struct owner *o, uint32_t vni, const struct pfx *p, const struct node_key *by, ts_t now)
{
	struct own *c = own_find(o, vni, p);

	if (!c)
		return ERR_NOT_FOUND;
	if (c->is.p.right == OWNER_BY_CLAIM) {
		o->stats.objections++;
		owner_drop_claim(o, c, now);
	} else if (c->is.state != OWNER_REFUSED && (by || c->is.state != OWNER_LOST)) {
		c->is.state = OWNER_LOST;
		c->is.by = by ? *by : (struct node_key){.b = {0}};
		o->changed = true;
	}
	owner_arm(o);
	return 0;
}

int owner_undisputed(struct owner *o, uint32_t vni, const struct pfx *p, ts_t now)
{
	struct own *c = own_find(o, vni, p);

	(void)now;
	if (!c)
		return ERR_NOT_FOUND;
	if (c->is.state == OWNER_LOST) {
		c->is.state = OWNER_IN_USE;
		o->changed = true;
	}
	return 0;
}

/* One of the orchestrator's stays ours, since nobody else gets it; but who routes to us must find us. */
static void set_aside(struct owner *o, struct own *c, ts_t now)
{
	if (o->tried == c)
		o->tried = NULL;
	else
		o->publish = true;
	c->is.state = OWNER_REFUSED;
	c->is.usable_at = ts_add(now, USE_AGAIN);
	o->changed = true;
}

int owner_refuse(struct owner *o, uint32_t vni, const struct pfx *p, ts_t now)
{
	struct own *c = own_find(o, vni, p);

	if (!c || c->is.p.right == OWNER_BY_CONFIG)
		return ERR_NOT_FOUND;
	if (c->is.p.right == OWNER_BY_ORCHESTRATOR) {
		if (c->is.state != OWNER_REFUSED)
			set_aside(o, c, now);
		owner_arm(o);
		return 0;
	}
	o->avoid[o->avoid_next] = (struct range){vni, *p};
	o->avoid_next = (o->avoid_next + 1) % LIM_OWN_AVOID;
	if (o->navoid < LIM_OWN_AVOID)
		o->navoid++;
	o->stats.refused++;
	owner_drop_claim(o, c, now);
	owner_arm(o);
	return 0;
}

/* --- the orchestrator's list --- */

static bool listed(const struct owner_prefix *v, size_t n, const struct owner_prefix *p)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].vni == p->vni && pfx_eq(&v[i].pfx, &p->pfx))
			return true;
	return false;
}

static int list_check(const struct owner *o, const struct owner_prefix *v, size_t n, size_t *bad)
{
	size_t at;

	if (!bad)
		bad = &at;
	for (*bad = 0; *bad < n; (*bad)++) {
		const struct owner_prefix *p = &v[*bad];
		struct list *l, *t;

		if (!owner_pfx_ok(p->vni, &p->pfx))
			return ERR_RANGE;
		for (size_t k = 0; k < *bad; k++)
			if (v[k].vni == p->vni && pfx_overlaps(&v[k].pfx, &p->pfx))
				return ERR_EXISTS;
		list_each(&o->own, l, t)
		{
			const struct own *c = list_entry(l, struct own, in_own);

			if (!c->doomed && c->is.p.right == OWNER_BY_CONFIG &&
				c->is.p.vni == p->vni && pfx_overlaps(&c->is.p.pfx, &p->pfx))
				return ERR_EXISTS;
		}
	}
	return 0;
}

/* Those of our prefixes that an orchestrator's list @v takes the place of. */
static void list_supersede(struct owner *o, const struct owner_prefix *v, size_t n, ts_t now)
{
	struct list *l, *t;

	list_each(&o->own, l, t)
	{
		struct own *c = list_entry(l, struct own, in_own);
		bool hit = false;

		if (c->doomed)
			continue;
		if (c->is.p.right == OWNER_BY_ORCHESTRATOR) {
			if (!listed(v, n, &c->is.p))
				owner_own_drop(o, c);
			continue;
		}
		for (size_t i = 0; !hit && i < n; i++)
			hit = v[i].vni == c->is.p.vni && pfx_overlaps(&v[i].pfx, &c->is.p.pfx);
		if (hit && c->is.p.right == OWNER_BY_CLAIM)
			owner_drop_claim(o, c, now);
	}
}

int owner_orchestrator_set(
	struct owner *o, const struct owner_prefix *v, size_t n, size_t *bad, ts_t now)
{
	struct own **fresh;
	size_t nfresh = 0;
	int err;

	if (n > LIM_PREFIXES_PER_NODE)
		return ERR_FULL;
	err = list_check(o, v, n, bad);
	if (err)
		return err;
	fresh = calloc(n + 1, sizeof(*fresh));
	if (!fresh)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct own *have = own_find(o, v[i].vni, &v[i].pfx);

		if (have && have->is.p.right == OWNER_BY_ORCHESTRATOR)
			continue;
		fresh[nfresh] = calloc(1, sizeof(**fresh));
		if (!fresh[nfresh]) {
			err = ERR_NOMEM;
			goto out;
		}
		fresh[nfresh++]->is = (struct owner_own){
			.p = {v[i].vni, v[i].pfx, OWNER_BY_ORCHESTRATOR, owner_unix(o, now)},
			.state = OWNER_IN_USE,
			.usable_at = TS_NEVER,
		};
	}
	/* Nothing can fail any more but for room, which is counted before anything changes: what stays
	 * of the old list is in the new one. */
	size_t others = 0;
	struct list *l, *t;
	list_each(&o->own, l, t)
	{
		const struct own *c = list_entry(l, struct own, in_own);

		others += !c->doomed && c->is.p.right != OWNER_BY_ORCHESTRATOR;
	}
	if (others + n > LIM_PREFIXES_PER_NODE) {
		err = ERR_FULL;
		goto out;
	}
	list_supersede(o, v, n, now);
	for (size_t i = 0; i < nfresh; i++) {
		list_add_tail(&o->own, &fresh[i]->in_own);
		o->nown++;
	}
	nfresh = 0;
	o->publish = o->save = o->changed = true;
	owner_room(o, now);
	owner_arm(o);
out:
	while (nfresh > 0)
		free(fresh[--nfresh]);
	free(fresh);
	return err;
}

/* --- time --- */

void owner_tick(struct owner *o, ts_t now)
{
	struct list *l, *t;

	owner_lease_tick(o, now);
	o->ready |= ts_due(o->claim_at, now);
	for (size_t i = 0; o->ready && i < o->nwants; i++)
		if (!o->wants[i].have && ts_due(o->wants[i].try_at, now))
			claim(o, &o->wants[i], now);
	list_each(&o->own, l, t)
	{
		struct own *c = list_entry(l, struct own, in_own);

		if (c->doomed || !ts_due(c->is.usable_at, now))
			continue;
		c->is.usable_at = TS_NEVER;
		o->changed = true;
		if (c->is.state == OWNER_REFUSED) {
			c->again = true;
			continue;
		}
		assert(c->is.state == OWNER_WAITING);
		c->is.state = OWNER_IN_USE;
		o->save = true;
	}
	if (ts_due(o->save_at, now)) {
		o->save |= owner_keeps(o);
		o->save_at = ts_add(now, o->tune.save_every);
	}
	owner_arm(o);
}

void owner_arm(struct owner *o)
{
	ts_t d = ts_min(owner_lease_deadline(o), o->save_at);
	struct list *l, *t;

	for (size_t i = 0; i < o->nwants; i++) {
		const struct want *w = &o->wants[i];

		if (w->have)
			continue;
		d = ts_min(
			d, o->ready || ts_before(o->claim_at, w->try_at) ? w->try_at : o->claim_at);
	}
	list_each(&o->own, l, t)
	{
		const struct own *c = list_entry(l, struct own, in_own);

		if (!c->doomed)
			d = ts_min(d, c->is.usable_at);
	}
	o->deadline = d;
}

ts_t owner_deadline(const struct owner *o)
{
	return o->deadline;
}

/* --- actions --- */

/* The next prefix that goes out of service, or (@use) into it. */
static bool next_service(struct owner *o, bool use, struct owner_act *out)
{
	struct list *l, *t;

	list_each(&o->own, l, t)
	{
		struct own *c = list_entry(l, struct own, in_own);
		bool wanted = !c->doomed && (c->is.state == OWNER_IN_USE || c->again);

		if (wanted == c->used_told || wanted != use)
			continue;
		c->used_told = wanted;
		if (c->again) {
			c->again = false;
			c->is.state = OWNER_IN_USE;
			o->tried = c;
		}
		out->type = use ? OWNER_USE : OWNER_UNUSE;
		out->own = c->is;
		if (c->doomed) {
			list_del(&c->in_own);
			free(c);
		}
		return true;
	}
	return false;
}

static bool next_end(struct owner *o, struct owner_act *out)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (o->ends > 0 && map_next(o->nodes, &it, &key, &value)) {
		struct node *n = value;

		if (!n->ended || n->end_told)
			continue;
		n->end_told = true;
		o->ends--;
		out->type = OWNER_LEASE_END;
		out->node = n->key;
		return true;
	}
	return false;
}

static bool next_exhausted(struct owner *o, struct owner_act *out)
{
	for (size_t i = 0; i < o->nwants; i++) {
		struct want *w = &o->wants[i];

		if (!w->exhausted || w->exhausted_told)
			continue;
		w->exhausted_told = true;
		out->type = OWNER_EXHAUSTED;
		out->vni = w->vni;
		out->family = w->family;
		out->len = w->len;
		return true;
	}
	return false;
}

bool owner_next(struct owner *o, struct owner_act *out)
{
	memset(out, 0, sizeof(*out));
	if (o->tried) {
		o->tried = NULL;
		o->publish = true;
	}
	if (o->changed && next_service(o, false, out))
		return true;
	if (o->save) {
		o->save = false;
		out->type = OWNER_SAVE;
		return true;
	}
	if (o->publish) {
		o->publish = false;
		out->type = OWNER_PUBLISH;
		return true;
	}
	if (o->changed && (next_service(o, true, out) || next_exhausted(o, out)))
		return true;
	o->changed = false;
	return next_end(o, out);
}

/* Walk the list by position: it may not change in between. */
static const struct own *own_at(const struct owner *o, size_t *it)
{
	struct list *l, *t;
	size_t i = 0;

	list_each(&o->own, l, t)
	{
		const struct own *c = list_entry(l, struct own, in_own);

		if (c->doomed || i++ < *it)
			continue;
		*it = i;
		return c;
	}
	return NULL;
}

bool owner_published(const struct owner *o, size_t *it, struct owner_prefix *out)
{
	const struct own *c;

	while ((c = own_at(o, it)) != NULL && c->is.state == OWNER_REFUSED)
		;
	if (c)
		*out = c->is.p;
	return c != NULL;
}

bool owner_own_next(const struct owner *o, size_t *it, struct owner_own *out)
{
	const struct own *c = own_at(o, it);

	if (c)
		*out = c->is;
	return c != NULL;
}

bool owner_want_next(const struct owner *o, size_t *it, struct owner_want_info *out)
{
	while (*it < o->nwants) {
		const struct want *w = &o->wants[(*it)++];

		if (w->have)
			continue;
		*out = (struct owner_want_info){
			.vni = w->vni,
			.family = w->family,
			.len = w->len,
			.exhausted = w->exhausted,
			.next = !o->ready && ts_before(w->try_at, o->claim_at) ? o->claim_at
									       : w->try_at,
		};
		return true;
	}
	return false;
}

void owner_stats(const struct owner *o, struct owner_stats *out)
{
	struct list *l, *t;

	*out = o->stats;
	out->own = o->nown;
	list_each(&o->own, l, t)
	{
		const struct own *c = list_entry(l, struct own, in_own);

		out->waiting += !c->doomed && c->is.state == OWNER_WAITING;
		out->lost += !c->doomed && c->is.state == OWNER_LOST;
		out->unusable += !c->doomed && c->is.state == OWNER_REFUSED;
	}
	for (size_t i = 0; i < o->nwants; i++)
		out->exhausted += o->wants[i].exhausted;
	out->members = o->alive + o->missing + 1;
	out->missing = o->missing;
	out->leases = o->running;
	out->paused = o->paused;
}
