/* own.c - drives the ownership core: tells it what the mesh publishes, publishes what it says, puts
 * prefixes in service and takes them out, keeps its file.
 *
 * In: configuration, the file "claims", GOSSIP_PREFIX_CONFLICT, nodes going up and down, new records
 * (looked at when the store took something in, at most each LOOK_EVERY), control commands. Out:
 * gossip_set_prefixes by segments_publish(), segment_prefix_add/del, state_save_claims.
 *
 * Prefixes of the configuration stand in their segment from the start and stay there, also when another
 * node has the stronger claim: whoever wrote them wants them told, not taken away from running pods.
 * Bounds: those of the core. A full disk stops nothing: the file is tried again each SAVE_AGAIN. Nor does
 * a slow one: what the core says after "save" waits for the file, but for HOLD_MAX at most. */
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "ctl_status.h"
#include "own_svc.h"

#define LOOK_EVERY           DUR_MS(200)
#define SAVE_AGAIN           DUR_SEC(10)
#define HOLD_MAX             DUR_SEC(1)
#define FORGOTTEN_AHEAD_SECS 300 /* another one's wall clock, at most */

static uint64_t wall_secs(const struct daemon *d)
{
	return (uint64_t)((int64_t)(loop_unix_ns() / 1000000000) + d->tune.clock_offset_secs);
}

static void saved_peer(struct daemon *d, const struct node_key *k, const struct ep *ep)
{
	(void)k;
	(void)ep;
	d->own->saved_peers = true;
}

static int own_wants(struct daemon *d, uint32_t vni, const struct conf_prefix *v, size_t n)
{
	struct own_svc *s = d->own;

	for (size_t i = 0; i < n; i++) {
		int e;

		if (!v[i].claim)
			continue;
		e = owner_want(s->owner, vni, v[i].pfx.ip.family, v[i].pfx.len, (uint16_t)s->nwants,
			loop_now());
		if (e) {
			log_error("weftd", "prefix auto/%u: %s", v[i].pfx.len, err_str(e));
			return e;
		}
		s->wants[s->nwants++] = &v[i];
	}
	return 0;
}

static int own_configured(struct daemon *d)
{
	struct owner *o = d->own->owner;
	int e = 0;

	for (size_t i = 1; i < d->nsegments; i++) {
		const struct segment *s = &d->segments[i];

		for (size_t k = 0; !e && k < s->nranges; k++)
			e = owner_range_add(o, s->vni, &s->ranges[k]);
		for (size_t k = 0; !e && k < s->nprefixes; k++)
			e = owner_config_add(o, s->vni, &s->prefixes[k].pfx, loop_now());
	}
	if (!e)
		e = own_wants(d, VNI_DEFAULT, d->conf->prefixes, d->conf->nprefixes);
	for (size_t i = 0; !e && i < d->conf->nsegments; i++)
		e = own_wants(d, d->conf->segments[i].vni, d->conf->segments[i].prefixes,
			d->conf->segments[i].nprefixes);
	return e;
}

int own_svc_open(struct daemon *d)
{
	struct owner_cfg cfg = {.self = d->id.pub, .unix_secs = wall_secs(d)};
	int e;

	d->own = calloc(1, sizeof(*d->own));
	if (!d->own)
		return ERR_NOMEM;
	d->own->dirty = true;
	d->own->save_again = d->own->hold = d->own->hold_end = TS_NEVER;
	state_load_peers(d, saved_peer);
	cfg.seed = prng_next(&d->prng);
	cfg.seeds = d->own->saved_peers || d->conf->npeers > 0;
	owner_tune_default(&cfg.tune);
	d->own->owner = owner_new(&cfg, loop_now());
	if (!d->own->owner)
		return ERR_NOMEM;
	e = own_configured(d);
	if (!e)
		e = state_load_claims(d, d->own->owner);
	if (!e)
		(void)own_svc_drain(d);
	return e;
}

static void hold_no_more(struct daemon *d)
{
	d->own->hold = TS_NEVER;
	daemon_warn(d,
		"the disk takes long to write the claims: should this host crash before it "
		"has, this node may have other prefixes (see what else writes to %s)",
		d->conf->state_dir);
}

/* Changes that come faster than the disk takes them don't begin the wait anew. */
static void hold(struct daemon *d)
{
	struct own_svc *s = d->own;

	if (!d->writer)
		return;
	if (ts_is_never(s->hold_end))
		s->hold_end = ts_add(loop_now(), HOLD_MAX);
	if (ts_due(s->hold_end, loop_now()))
		hold_no_more(d);
	else
		s->hold = s->hold_end;
}

static void save(struct daemon *d)
{
	struct own_svc *s = d->own;
	uint8_t *buf = NULL;
	size_t len = 0;
	int e = owner_encode(s->owner, loop_now(), &buf, &len);

	s->save_again = TS_NEVER;
	hold(d);
	if (e)
		own_svc_saved(d, e);
	else
		(void)state_save_claims(d, buf, len);
	free(buf);
}

void own_svc_saved(struct daemon *d, int err)
{
	d->own->hold = TS_NEVER;
	if (!err)
		return;
	d->own->save_again = ts_add(loop_now(), SAVE_AGAIN);
	daemon_warn(d,
		"the claims can't be written (%s): after a restart this node may have other "
		"prefixes",
		err_str(err));
}

void own_svc_close(struct daemon *d)
{
	struct owner_own own;
	bool keeps = false;
	size_t it = 0;

	if (!d->own)
		return;
	while (d->own->owner && owner_own_next(d->own->owner, &it, &own))
		keeps |= own.p.right != OWNER_BY_CONFIG;
	if (keeps)
		save(d); /* when it was last alive */
	owner_free(d->own->owner);
	free(d->own);
	d->own = NULL;
}

/* --- actions of the core --- */

static const char *right_words(uint8_t right)
{
	return right == OWNER_BY_CLAIM ? "claimed" : "from the orchestrator";
}

/* What becomes of a prefix that this host can't use. */
static const char *then_words(uint8_t right)
{
	return right == OWNER_BY_CLAIM ? "another is claimed"
				       : "nobody routes to it until it can; tried each 10 s";
}

static void on_use(struct daemon *d, const struct owner_act *a)
{
	const struct owner_own *own = &a->own;
	struct conf_prefix p = {.pfx = own->p.pfx};
	char text[PFX_STRLEN], why[200];
	int e;

	if (own->p.right == OWNER_BY_CONFIG)
		return;
	if (own->p.right == OWNER_BY_CLAIM && own->tag < d->own->nwants)
		memcpy(p.device, d->own->wants[own->tag]->device, sizeof(p.device));
	pfx_fmt(&p.pfx, text);
	if (segment_prefix_overlaps(d, own->p.vni, &p, why, sizeof(why))) {
		daemon_warn(d, "prefix %s can't be used here: it overlaps %s; %s", text, why,
			then_words(own->p.right));
		(void)owner_refuse(d->own->owner, own->p.vni, &p.pfx, loop_now());
		return;
	}
	e = segment_prefix_add(d, own->p.vni, &p);
	if (e) {
		daemon_warn(d, "prefix %s can't be put in service: %s; %s", text, err_str(e),
			then_words(own->p.right));
		(void)owner_refuse(d->own->owner, own->p.vni, &p.pfx, loop_now());
		return;
	}
	log_info("own", "prefix %s is in use (%s)", text, right_words(own->p.right));
}

static void on_unuse(struct daemon *d, const struct owner_act *a)
{
	char text[PFX_STRLEN];

	if (a->own.p.right == OWNER_BY_CONFIG)
		return;
	if (segment_prefix_del(d, a->own.p.vni, &a->own.p.pfx) == 0)
		log_info("own", "prefix %s is not this node's any more",
			pfx_fmt(&a->own.p.pfx, text));
}

static void on_save(struct daemon *d, const struct owner_act *a)
{
	(void)a;
	save(d);
}

static void on_publish(struct daemon *d, const struct owner_act *a)
{
	(void)a;
	if (d->gossip && segments_publish(d) != 0)
		daemon_warn(d, "can't publish this node's prefixes");
	d->own->dirty = true; /* is it disputed at once? */
}

static void on_exhausted(struct daemon *d, const struct owner_act *a)
{
	daemon_warn(d,
		"no /%u is free in the %s ranges of segment %u: all are owned, or leased to nodes "
		"that are "
		"gone (weft status ipam shows them, weft forget NODE ends a lease)",
		a->len, a->family == IP_V4 ? "IPv4" : "IPv6", a->vni);
}

static void on_lease_end(struct daemon *d, const struct owner_act *a)
{
	char name[NODE_KEY_SHORT + 1];

	(void)d;
	log_info("own", "the lease of node %s has ended: its prefixes may be claimed",
		node_key_fmt_short(&a->node, name));
}

static void (*const handlers[])(struct daemon *d, const struct owner_act *a) = {
	[OWNER_UNUSE] = on_unuse,
	[OWNER_SAVE] = on_save,
	[OWNER_PUBLISH] = on_publish,
	[OWNER_USE] = on_use,
	[OWNER_EXHAUSTED] = on_exhausted,
	[OWNER_LEASE_END] = on_lease_end,
};

/* --- what the mesh says --- */

static void look_at(struct daemon *d, const struct gossip_node_info *n)
{
	struct own_svc *s = d->own;
	enum owner_node_state state = n->left ? OWNER_LEFT : n->up ? OWNER_ALIVE : OWNER_DEAD;
	size_t count = 0;
	int e;

	for (size_t i = 0; i < n->nprefixes && count < LIM_PREFIXES_PER_NODE; i++)
		if (!n->prefixes[i].exit)
			s->rows[count++] = (struct owner_prefix){
				.vni = n->prefixes[i].vni,
				.pfx = n->prefixes[i].pfx,
				.right = n->prefixes[i].right,
				.since_secs = n->prefixes[i].claimed_at_secs,
				.moot = n->prefixes[i].moot,
			};
	e = owner_node_set(s->owner, &n->key, state, s->rows, count, loop_now());
	if (e)
		daemon_warn(d, "no room to keep what a node owns: %s", err_str(e));
}

/* What is said of our prefixes now: lost though we were not told, or lost to somebody who has withdrawn. */
static void look_at_self(struct daemon *d, const struct gossip_node_info *n)
{
	for (size_t i = 0; i < n->nprefixes; i++) {
		const struct gossip_prefix *p = &n->prefixes[i];

		if (p->exit)
			continue;
		if (p->lost)
			(void)owner_objection(d->own->owner, p->vni, &p->pfx, NULL, loop_now());
		else
			(void)owner_undisputed(d->own->owner, p->vni, &p->pfx, loop_now());
	}
}

/* Those that gossip knows no more: their records expired, or they were forgotten. */
static void sweep(struct daemon *d)
{
	struct gossip_node_info g;
	struct owner_node_info n;
	bool again;

	do {
		size_t it = 0;

		again = false;
		while (owner_node_next(d->own->owner, &it, loop_now(), &n))
			if (gossip_node_get(d->gossip, &n.key, &g) != 0) {
				(void)owner_forgotten(d->own->owner, &n.key, loop_now());
				again = true; /* the walk is void */
				break;
			}
	} while (again);
}

static bool look(struct daemon *d)
{
	struct own_svc *s = d->own;
	struct gossip_stats st;
	struct gossip_node_info n;
	uint64_t news;
	size_t it = 0;

	gossip_stats(d->gossip, &st);
	news = st.rx_new + st.nodes + st.records;
	s->dirty |= news != s->news;
	if (!s->dirty || !ts_due(ts_add(s->looked, LOOK_EVERY), loop_now()))
		return false;
	s->dirty = false;
	s->news = news;
	s->looked = loop_now();
	while (gossip_node_next(d->gossip, &it, &n)) {
		if (n.self)
			look_at_self(d, &n);
		else if (n.name[0])
			look_at(d, &n);
	}
	sweep(d);
	return true;
}

void own_svc_changed(struct daemon *d)
{
	d->own->dirty = true;
}

void own_svc_forgotten(struct daemon *d, const struct gossip_act *a)
{
	char name[NODE_NAME_MAX + 1];

	d->own->dirty = true;
	if (!node_key_eq(&a->node, &d->id.pub)) {
		(void)owner_forgotten(d->own->owner, &a->node, loop_now());
		return;
	}
	/* Who is so far ahead has a wrong clock, or lies. */
	if (a->at_secs > wall_secs(d) + FORGOTTEN_AHEAD_SECS) {
		daemon_warn(d,
			"%s says that this node was forgotten at a time that is to come: ignored. "
			"Set "
			"the clock there, or here",
			status_node_name(d, &a->other, name));
		return;
	}
	log_info("own",
		"others were told to forget this node: what it claims counts as claimed now");
	(void)owner_forgotten(d->own->owner, &a->node, loop_now());
}

bool own_svc_conflict(struct daemon *d, const struct gossip_act *a)
{
	char text[PFX_STRLEN], other[NODE_KEY_SHORT + 1];
	struct owner_own own;
	bool claim = false;
	size_t it = 0;

	if (!node_key_eq(&a->node, &d->id.pub))
		return false;
	while (owner_own_next(d->own->owner, &it, &own))
		if (own.p.vni == a->prefix.vni && pfx_eq(&own.p.pfx, &a->prefix.pfx))
			claim = own.p.right == OWNER_BY_CLAIM;
	if (a->prefix.exit)
		return false;
	if (owner_objection(d->own->owner, a->prefix.vni, &a->prefix.pfx, &a->other, loop_now()))
		return true; /* it was given up already */
	if (!claim)
		return false;
	log_info("own", "%s is node %s's by the better claim: another is chosen",
		pfx_fmt(&a->prefix.pfx, text), node_key_fmt_short(&a->other, other));
	return true;
}

size_t own_svc_deleted(struct daemon *d, const char *name, bool deleted)
{
	struct gossip_node_info n;
	size_t it = 0, found = 0;

	while (gossip_node_next(d->gossip, &it, &n)) {
		if (n.self || strcmp(n.name, name) != 0)
			continue;
		look_at(d, &n); /* the core may not have heard of it yet */
		found += owner_deleted(d->own->owner, &n.key, deleted, loop_now()) == 0;
	}
	return found;
}

/* --- the turn --- */

bool own_svc_drain(struct daemon *d)
{
	struct owner_act a;
	bool any = d->gossip && look(d);

	while (ts_is_never(d->own->hold) && owner_next(d->own->owner, &a)) {
		any = true;
		handlers[a.type](d, &a);
	}
	if (ts_is_never(d->own->hold))
		d->own->hold_end = TS_NEVER; /* all is said */
	return any;
}

void own_svc_tick(struct daemon *d, ts_t now)
{
	owner_set_wall(d->own->owner, wall_secs(d), now);
	owner_tick(d->own->owner, now);
	if (ts_due(d->own->save_again, now))
		save(d);
	if (ts_due(d->own->hold, now))
		hold_no_more(d);
}

ts_t own_svc_deadline(const struct daemon *d)
{
	ts_t when = ts_min(owner_deadline(d->own->owner), d->own->save_again);

	when = ts_min(when, d->own->hold);
	if (d->own->dirty)
		when = ts_min(when, ts_add(d->own->looked, LOOK_EVERY));
	return when;
}

bool own_svc_waits(const struct daemon *d)
{
	struct owner_want_info want;
	struct owner_stats st;
	size_t it = 0;

	owner_stats(d->own->owner, &st);
	return st.waiting > 0 || owner_want_next(d->own->owner, &it, &want);
}

size_t own_svc_list(struct daemon *d, struct gossip_prefix *out, size_t cap)
{
	struct owner_prefix p;
	size_t it = 0, n = 0;

	while (n < cap && owner_published(d->own->owner, &it, &p))
		out[n++] = (struct gossip_prefix){.vni = p.vni,
			.pfx = p.pfx,
			.right = p.right,
			.claimed_at_secs = p.since_secs};
	return n;
}
