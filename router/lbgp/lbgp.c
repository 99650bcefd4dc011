/* lbgp.c - BGP between clusters and inside one, without I/O; see lbgp.h.
 *
 *	a cluster's ranges --eBGP--> gateways of the others --iBGP--> their nodes
 *	best route by peer X --> FIB and kernel: to X, who is a gateway or the other cluster's
 *
 * Between our gateways and our nodes it is iBGP, the gateways reflecting (RFC 4456). */
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/wire.h"
#include "key.h"
#include "lbgp_int.h"

/* An IPv4 next hop that is nobody's (RFC 7600): what counts is who said it. */
#define DUMMY_NEXT_HOP 0xc0000008u
#define HOLD_SECS      9
#define RETRY_SECS     3

/* --- routes --- */

static const struct speaker *speaker_at(const struct lbgp *l, uint32_t id)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(l->speakers, &it, &key, &value))
		if (((struct speaker *)value)->id == id)
			return value;
	return NULL;
}

/* What the paths to a prefix say together. */
struct look {
	const struct lbgp *l;
	uint8_t from;
	bool any;
	uint32_t
		range_of; /* a gateway of ours says that it is a range of the cluster with that number; 0: none does */
	uint32_t peer; /* of the best */
	struct bgp_attrs attrs;
};

static bool look_path(void *ctx, const struct bgp_entry *e)
{
	struct look *k = ctx;
	const struct speaker *x = e->peer != BGP_LOCAL ? speaker_at(k->l, e->peer) : NULL;

	if (e->accepted && x)
		k->from |= x->link ? x->link->bit : LBGP_OURS;
	if (e->accepted && x && !x->link && !lbgp_is_outside(e->attrs))
		k->range_of = bgp_attrs_origin_as(e->attrs);
	if (!e->best)
		return true;
	k->any = true;
	k->peer = e->peer;
	k->attrs = *e->attrs;
	return true;
}

/* Is the best path one of our own ranges'? */
static bool is_range(const struct look *k)
{
	return k->any && k->peer == BGP_LOCAL && !lbgp_is_outside(&k->attrs);
}

/* Ranges that other gateways of ours have links with: no other link's word for them is taken (lbgp_rules.c). One
 * that comes or goes makes all be judged again. */
static void note_range(struct lbgp *l, const struct pfx *p, uint32_t asn)
{
	size_t i = 0;

	while (i < l->nfar && !pfx_eq(&l->far[i].pfx, p))
		i++;
	if (asn && i < l->nfar && l->far[i].asn == asn)
		return;
	if (asn && i < LIM_LINKED_RANGES) {
		l->far[i] = (struct far){.pfx = *p, .asn = asn};
		l->nfar += i == l->nfar;
		l->rejudge = true;
	} else if (!asn && i < l->nfar) {
		l->far[i] = l->far[--l->nfar];
		l->rejudge = true;
	}
}

void lbgp_tell(struct lbgp *l, const struct pfx *p)
{
	struct look k = {.l = l};
	struct lbgp_route r = {.pfx = *p};
	const struct speaker *x = NULL;
	struct bgp_nlri n;
	struct told *t;

	lbgp_nlri(p, &n);
	if (l->core)
		(void)bgp_lookup(l->core, VNI_CONTROL, &n, look_path, &k);
	if (is_range(&k))
		return;
	note_range(l, p, k.range_of);
	if (k.any && k.peer != BGP_LOCAL)
		x = speaker_at(l, k.peer);
	t = lbgp_told(l, p, false);
	if (t && !k.any) {
		lbgp_told_drop(l, p);
		t = NULL;
	}
	/* BGP asks no policy about those. */
	if (t && bgp_attrs_has_community(&k.attrs, BGP_COMM_NO_ADVERTISE))
		t->to = 0;
	if (t && bgp_attrs_has_community(&k.attrs, BGP_COMM_NO_EXPORT))
		t->to &= LBGP_OURS;
	r.gateway = x ? &x->key : NULL;
	r.offered = k.any && k.peer == BGP_LOCAL;
	r.outside = k.any && lbgp_is_outside(&k.attrs);
	r.exit = k.any && lbgp_is_exit(&k.attrs);
	r.from = k.from;
	r.to = t ? t->to : 0;
	if (!r.offered)
		r.to &= (uint8_t)~LBGP_OURS;
	r.attrs = k.any ? &k.attrs : NULL;
	l->cfg.ops->route(l->cfg.ctx, &r);
}

void lbgp_route(struct lbgp *l, const struct bgp_act *a)
{
	struct pfx p = a->nlri.pfx;

	if (a->nlri.family == BGP_VPNV4 || a->nlri.family == BGP_VPNV6)
		lbgp_tell(l, &p);
}

void lbgp_flush(struct lbgp *l)
{
	const void *key;
	void *value;
	size_t it = 0;

	if (l->all_stale) {
		while (map_next(l->told, &it, &key, &value)) {
			struct pfx p = ((struct told *)value)->pfx;

			((struct told *)value)->queued = false;
			lbgp_tell(l, &p);
		}
		l->all_stale = false;
		l->nstale = 0;
	}
	for (size_t i = 0; i < l->nstale; i++) {
		struct pfx p = l->stale[i];
		struct told *t = lbgp_told(l, &p, false);

		if (t)
			t->queued = false;
		lbgp_tell(l, &p);
	}
	l->nstale = 0;
}

static int originate(struct lbgp *l, const struct link_cluster *self, ts_t now)
{
	struct bgp_attrs attrs = {.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH};
	uint8_t ext[24];
	int err = 0;

	attrs.ext_communities =
		(struct bgp_span){ext, (uint16_t)lbgp_communities(self->asn, LBGP_RANGE, ext)};
	for (size_t i = 0; i < self->nranges && !err; i++) {
		struct bgp_nlri n;

		lbgp_nlri(&self->ranges[i], &n);
		err = bgp_originate(l->core, VNI_CONTROL, &n, &attrs, now);
	}
	return err;
}

/* @a has all but its extended communities. */
static int offer(struct lbgp *l, const struct bgp_nlri *n, struct bgp_attrs *a, enum lbgp_kind kind,
	ts_t now)
{
	uint8_t ext[24];

	a->ext_communities = (struct bgp_span){ext, (uint16_t)lbgp_communities(l->asn, kind, ext)};
	return bgp_originate(l->core, VNI_CONTROL, n, a, now);
}

int lbgp_offer(
	struct lbgp *l, const struct pfx *p, const struct bgp_attrs *attrs, bool links, ts_t now)
{
	struct bgp_attrs mine = {.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH};
	struct bgp_nlri n;

	if (!l->core || !l->gateway || lbgp_is_inside(l, p)) /* those stand by themselves */
		return 0;
	lbgp_nlri(p, &n);
	if (!attrs) {
		(void)bgp_withdraw(l->core, VNI_CONTROL, &n, now);
		return 0;
	}
	mine.has |= attrs->has & BGP_HAS_LOCAL_PREF; /* for nodes, who choose among gateways */
	mine.local_pref = attrs->local_pref;
	mine.origin = attrs->origin;
	mine.as_path = attrs->as_path;
	mine.communities = attrs->communities;
	mine.large_communities = attrs->large_communities;
	return offer(l, &n, &mine, links ? LBGP_EXIT : LBGP_EXIT_NODES, now);
}

int lbgp_offer_aggregate(struct lbgp *l, const struct pfx *p, bool on, ts_t now)
{
	struct bgp_attrs mine = {.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH | BGP_HAS_ATOMIC};
	struct bgp_nlri n;

	if (!l->core || !l->gateway || lbgp_is_inside(l, p))
		return 0;
	lbgp_nlri(p, &n);
	if (on)
		return offer(l, &n, &mine, LBGP_EXIT_NODES, now);
	(void)bgp_withdraw(l->core, VNI_CONTROL, &n, now);
	return 0;
}

void lbgp_nodes(struct lbgp *l, const struct bgp_policy *export)
{
	l->nodes = *export;
}

bool lbgp_best(const struct lbgp *l, const struct pfx *p, struct bgp_attrs *out)
{
	struct look k = {.l = l};
	struct bgp_nlri n;

	lbgp_nlri(p, &n);
	if (l->core)
		(void)bgp_lookup(l->core, VNI_CONTROL, &n, look_path, &k);
	*out = k.attrs;
	return k.any;
}

/* --- the speaker --- */

struct lbgp *lbgp_new(const struct lbgp_cfg *cfg)
{
	struct lbgp *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->cfg = *cfg;
	key_control_addr(&cfg->cluster, &cfg->key, &l->control);
	l->speakers = map_new(sizeof(struct node_key), LIM_BGP_PEERS, cfg->seed);
	l->told = map_new(PFX_KEY, LIM_BGP_PEER_PREFIXES, cfg->seed);
	if (!l->speakers || !l->told) {
		lbgp_free(l);
		return NULL;
	}
	return l;
}

static void forget_told(struct lbgp *l)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (l->told && map_next(l->told, &it, &key, &value)) {
		struct pfx p = ((struct told *)value)->pfx;

		lbgp_told_drop(l, &p);
	}
	l->nstale = 0;
	l->all_stale = false;
}

void lbgp_free(struct lbgp *l)
{
	const void *key;
	void *value;
	size_t it = 0;

	if (!l)
		return;
	while (l->speakers && map_next(l->speakers, &it, &key, &value))
		free(value);
	map_free(l->speakers);
	forget_told(l);
	map_free(l->told);
	free(l->stale);
	free(l);
}

void lbgp_stop(struct lbgp *l)
{
	const void *key;
	void *value;
	size_t it = 0;

	if (!l->core)
		return;
	l->cfg.ops->close(l->cfg.ctx);
	l->core = NULL;
	l->nfar = 0;
	while (map_next(l->speakers, &it, &key, &value))
		((struct speaker *)value)->id = 0;
	forget_told(l);
}

static int open_speaker(struct lbgp *l, const struct link_cluster *self, bool gateway, ts_t now)
{
	const uint8_t *k = l->cfg.key.b;
	struct bgp_cfg cfg = {
		.local_as = self->asn,
		.router_id = (uint32_t)k[0] << 24 | (uint32_t)k[1] << 16 | (uint32_t)k[2] << 8 |
			     k[3] | 1,
		.tell_paths = true,
	};
	int err;

	l->self = *self; /* policies ask for it as soon as there is a core */
	err = l->cfg.ops->open(l->cfg.ctx, &cfg, gateway, &l->core);

	if (err) {
		l->core = NULL;
		return err;
	}
	l->gateway = gateway;
	l->asn = self->asn;
	return gateway ? originate(l, self, now) : 0;
}

static void part(struct lbgp *l, struct speaker *x)
{
	if (x->id)
		l->cfg.ops->peer_del(l->cfg.ctx, x->id);
	x->id = 0;
}

static void judge(struct lbgp *l, struct speaker *x, ts_t now)
{
	struct bgp_policy import, export;

	x->judge = false;
	if (!x->id)
		return;
	lbgp_policies(x, &import, &export);
	(void)bgp_peer_repolicy(l->core, x->id, &import, &export, now);
}

/* Whom a session stands with: bits of links, and LBGP_OURS. */
static uint8_t hearing(const struct lbgp *l)
{
	struct bgp_peer_info i;
	const void *key;
	void *value;
	size_t it = 0;
	uint8_t bits = 0;

	while (map_next(l->speakers, &it, &key, &value)) {
		const struct speaker *x = value;

		if (x->id && bgp_peer_get(l->core, x->id, &i) == 0 && i.state == BGP_ESTABLISHED)
			bits |= x->link ? x->link->bit : LBGP_OURS;
	}
	return bits;
}

/* No policy is asked for who hears nothing at present, and what he was told once may be for him no more: else whoever
 * stays away would keep what he had. With his next session he is told anew. */
static void forget_deaf(struct lbgp *l, uint8_t bits)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(l->told, &it, &key, &value)) {
		struct told *t = value;

		for (unsigned bit = 1; bit <= UINT8_MAX; bit <<= 1)
			if (t->to & bit & ~(unsigned)bits)
				lbgp_note(l, &t->pfx, (uint8_t)bit, false);
	}
}

void lbgp_judge(struct lbgp *l, ts_t now)
{
	const void *key;
	void *value;
	size_t it = 0;

	forget_deaf(l, l->core ? hearing(l) : 0);
	while (map_next(l->speakers, &it, &key, &value))
		judge(l, value, now);
}

/* What is true of the ranges of one link is asked of the routes of each. */
void lbgp_learned(struct lbgp *l, struct lbgp_link *link, uint32_t asn_before, ts_t now)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (link->remote->asn != asn_before && map_next(l->speakers, &it, &key, &value)) {
		struct speaker *x = value;

		if (x->link == link)
			part(l, x);
	}
	lbgp_judge(l, now);
}

int lbgp_link_add(struct lbgp *l, struct lbgp_link *link, ts_t now)
{
	for (size_t i = 0; i < LIM_LINKS; i++) {
		if (l->links[i])
			continue;
		l->links[i] = link;
		link->in = l;
		lbgp_judge(l, now);
		return 0;
	}
	return ERR_FULL;
}

void lbgp_link_del(struct lbgp *l, struct lbgp_link *link, ts_t now)
{
	const void *key;
	void *value;
	size_t it = 0;

	if (link->in != l)
		return;
	while (map_next(l->speakers, &it, &key, &value)) {
		struct speaker *x = value;

		if (x->link != link)
			continue;
		part(l, x);
		(void)map_del(l->speakers, &x->key);
		free(x);
	}
	for (it = 0; map_next(l->told, &it, &key, &value);)
		lbgp_note(l, &((struct told *)value)->pfx, link->bit, false);
	for (size_t i = 0; i < LIM_LINKS; i++)
		if (l->links[i] == link)
			l->links[i] = NULL;
	link->in = NULL;
	lbgp_judge(l, now);
}

static int add_peer(struct lbgp *l, struct speaker *x)
{
	const struct cluster_id *cluster = x->link ? &x->link->remote->id : &l->cfg.cluster;
	/* A gateway's number may be configured, and its nodes, and other gateways, need not know. */
	uint32_t inside = link_asn_of(&l->cfg.cluster);
	struct bgp_peer_cfg cfg = {
		.vni = VNI_CONTROL,
		.local = l->control,
		.remote_as = x->link ? x->link->remote->asn : inside,
		.internal = !x->link,
		.local_as = x->link ? 0 : inside,
		.families = BGP_FAM(BGP_VPNV4) | BGP_FAM(BGP_VPNV6),
		.next_hop = {ip_v4(DUMMY_NEXT_HOP), l->control},
		.next_hop_self = true,
		.rr_client = !x->link && l->gateway,
		.hold_secs = HOLD_SECS,
		.connect_retry_secs = RETRY_SECS,
	};

	key_control_addr(cluster, &x->key, &cfg.remote.ip);
	cfg.remote.port = LINK_BGP_PORT;
	lbgp_policies(x, &cfg.import, &cfg.export);
	return l->cfg.ops->peer_add(l->cfg.ctx, &cfg, &x->id);
}

static int add_peers(struct lbgp *l)
{
	const void *key;
	void *value;
	size_t it = 0;
	int err = 0;

	while (!err && map_next(l->speakers, &it, &key, &value)) {
		struct speaker *x = value;

		if (!x->id)
			err = add_peer(l, x);
	}
	return err;
}

/* --- who is spoken with --- */

void lbgp_round(struct lbgp *l)
{
	l->round++;
}

void lbgp_want(struct lbgp *l, const struct node_key *key, struct lbgp_link *link, bool gateway)
{
	struct speaker *x = map_get(l->speakers, key);

	if (x && x->link != link) /* it changed sides */
		return;
	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x || map_put(l->speakers, key, x) != 0) {
			free(x);
			return;
		}
		x->key = *key;
		x->link = link;
		x->in = l;
	}
	x->judge |= x->gateway != gateway;
	x->gateway = gateway;
	x->seen = l->round;
}

/* Those that were not wanted in this round, or @all; these stay wanted. */
static void drop(struct lbgp *l, bool all)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(l->speakers, &it, &key, &value)) {
		struct speaker *x = value;

		if (x->seen == l->round && !all)
			continue;
		part(l, x);
		if (x->seen == l->round)
			continue;
		(void)map_del(l->speakers, &x->key);
		free(x);
	}
}

/* --- ways --- */

/* Does the session with @x wait for a connection? */
static bool is_waiting(const struct lbgp *l, const struct speaker *x)
{
	struct bgp_peer_info i;

	return x->id && bgp_peer_get(l->core, x->id, &i) == 0 && i.state < BGP_OPENSENT;
}

/* Look at the way to @x. */
static void look_at_way(struct lbgp *l, struct speaker *x, ts_t now)
{
	bool failed = x->way == LBGP_FAILS;

	x->way = l->cfg.ops->way ? l->cfg.ops->way(l->cfg.ctx, &x->key) : LBGP_WORKS;
	if (failed == (x->way == LBGP_FAILS))
		return;
	if (failed) {
		x->good = now;
		if (is_waiting(l, x))
			part(l, x); /* and begun anew, without the core's waits between tries */
	} else if (x->hold.ns == 0 || ts_due(ts_add(x->good, LBGP_STEADY), now)) {
		x->hold = LBGP_HOLD_MIN;
	} else {
		x->hold.ns *= 2;
		if (x->hold.ns > LBGP_HOLD_MAX.ns)
			x->hold = LBGP_HOLD_MAX;
	}
}

/* Is @x one whose routes are taken? Nodes that are no gateways may be many. */
static bool tells(const struct speaker *x)
{
	return x->link || x->gateway;
}

static bool distrusted(const struct speaker *x, ts_t now)
{
	return x->way == LBGP_FAILS || (x->hold.ns && !ts_due(ts_add(x->good, x->hold), now));
}

/* Is there another of the kind of @x whose direct way works? */
static bool outdone(const struct lbgp *l, const struct speaker *x, ts_t now)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(l->speakers, &it, &key, &value)) {
		const struct speaker *k = value;

		if (k != x && k->link == x->link && tells(k) && k->id && k->way == LBGP_WORKS &&
			!distrusted(k, now))
			return true;
	}
	return false;
}

/* Whose way works, or no more: it is judged again. */
static void look_at_ways(struct lbgp *l, ts_t now)
{
	const void *key;
	void *value;

	for (size_t it = 0; map_next(l->speakers, &it, &key, &value);)
		if (tells(value))
			look_at_way(l, value, now);
	for (size_t it = 0; map_next(l->speakers, &it, &key, &value);) {
		struct speaker *x = value;
		bool last = tells(x) &&
			    (distrusted(x, now) || (x->way == LBGP_DOUBTFUL && outdone(l, x, now)));

		x->judge |= last != x->last;
		x->last = last;
	}
}

bool lbgp_held(const struct lbgp *l, const struct node_key *key)
{
	const struct speaker *x = map_get(l->speakers, key);

	return x && x->last;
}

int lbgp_sync(struct lbgp *l, const struct link_cluster *self, bool needed, bool gateway, ts_t now)
{
	bool anew = l->core && (!needed || l->gateway != gateway);
	const void *key;
	void *value;
	uint8_t bits;
	int err = 0;

	drop(l, anew); /* what they told is taken back first */
	if (anew)
		lbgp_stop(l);
	look_at_ways(l, now);
	bits = l->core ? hearing(l) : 0;
	if (l->heard & ~bits)
		forget_deaf(l, bits);
	l->heard = bits;
	for (size_t it = 0; map_next(l->speakers, &it, &key, &value);)
		if (((struct speaker *)value)->judge ||
			(l->rejudge && ((struct speaker *)value)->link))
			judge(l, value, now);
	l->rejudge = false;
	if (!needed || !ts_due(l->again, now))
		return 0;
	if (!l->core)
		err = open_speaker(l, self, gateway, now);
	if (!err)
		err = add_peers(l);
	if (err)
		l->again = ts_add(now, LBGP_AGAIN);
	return err;
}

uint32_t lbgp_peer(const struct lbgp *l, const struct node_key *key)
{
	const struct speaker *x = map_get(l->speakers, key);

	return x ? x->id : 0;
}

size_t lbgp_count(const struct lbgp *l)
{
	return map_count(l->speakers);
}
