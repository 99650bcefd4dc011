/* link_bgp.c - BGP over the control segment (DESIGN 8.1, 8.2): with the gateways of linked clusters as
 * eBGP, and between this cluster's gateways and its nodes as iBGP, the gateways reflecting. VPN families
 * alone, so that segments stay apart; the route target says which.
 *
 *	a cluster's ranges --eBGP--> gateways of the others --iBGP--> their nodes
 *	best route by peer X --> FIB and kernel: to X, who is a gateway or the other cluster's
 *
 * What may pass is decided here, not by configuration: from a link, what lies in the ranges that its
 * greeting told; to a link, our own ranges; to nodes, what came from links. So nothing crosses by
 * default but the two clusters' own ranges, and nothing goes on from link to link.
 *
 * A speaker of its own beside that of the section `bgp:`. It exists while there is somebody to speak
 * with. Failure to open it is told and tried again each 10 s. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "link_svc.h"

#define AGAIN          DUR_SEC(10)
/* An IPv4 next hop that is nobody's (RFC 7600): what counts is who said it. */
#define DUMMY_NEXT_HOP 0xc0000008u
#define HOLD_SECS      9

/* --- policy --- */

static enum bgp_verdict from_link(void *ctx, const struct bgp_route *r, struct bgp_edit *edit)
{
	const struct link_entry *e = ctx;

	(void)edit;
	for (size_t i = 0; i < e->remote.nranges; i++)
		if (pfx_contains(&e->remote.ranges[i], &r->nlri->pfx))
			return BGP_ACCEPT;
	return BGP_REJECT;
}

static enum bgp_verdict to_link(void *ctx, const struct bgp_route *r, struct bgp_edit *edit)
{
	(void)ctx;
	(void)edit;
	return r->peer == BGP_LOCAL ? BGP_ACCEPT : BGP_REJECT;
}

static enum bgp_verdict to_node(void *ctx, const struct bgp_route *r, struct bgp_edit *edit)
{
	(void)ctx;
	(void)edit;
	return r->ebgp ? BGP_ACCEPT : BGP_REJECT;
}

static const struct bgp_policy_ops from_link_ops = {from_link}, to_link_ops = {to_link},
				   to_node_ops = {to_node};

/* --- routes --- */

/* Route distinguisher and target: AS number and VNI, 4-octet AS form (RFC 4364 4.2, 5668). */
static void as_vni(uint8_t out[8], uint16_t type, uint32_t asn, uint32_t vni)
{
	const uint8_t v[8] = {(uint8_t)(type >> 8), (uint8_t)type, (uint8_t)(asn >> 24),
		(uint8_t)(asn >> 16), (uint8_t)(asn >> 8), (uint8_t)asn, (uint8_t)(vni >> 8),
		(uint8_t)vni};

	memcpy(out, v, sizeof(v));
}

#define RD_TYPE 0x0002 /* 4-octet AS number */
#define RT_TYPE 0x0202 /* the same, route target */

static bool is_default_segment(const struct bgp_attrs *a)
{
	for (size_t i = 0; i + 8 <= a->ext_communities.len; i += 8) {
		const uint8_t *v = a->ext_communities.p + i;

		if (v[0] == RT_TYPE >> 8 && v[1] == (RT_TYPE & 0xff) &&
			(v[6] << 8 | v[7]) == VNI_DEFAULT)
			return true;
	}
	return false;
}

static const struct link_speaker *speaker_at(const struct link_svc *s, uint32_t id)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(s->speakers, &it, &key, &value))
		if (((struct link_speaker *)value)->id == id)
			return value;
	return NULL;
}

static void on_route(void *ctx, const struct bgp_act *a)
{
	struct link_svc *s = ctx;
	const struct link_speaker *x;

	if (a->nlri.family != BGP_VPNV4 && a->nlri.family != BGP_VPNV6)
		return;
	x = a->attrs && a->peer != BGP_LOCAL && is_default_segment(a->attrs)
		    ? speaker_at(s, a->peer)
		    : NULL;
	if (a->attrs && a->peer == BGP_LOCAL)
		return;
	rtab_link_set(s->d, VNI_DEFAULT, &a->nlri.pfx, x ? &x->key : NULL);
}

static void on_flush(void *ctx)
{
	struct link_svc *s = ctx;

	mesh_drain(s->d);
}

static int originate(struct link_svc *s)
{
	struct bgp_attrs attrs = {.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH};
	uint8_t rt[8];
	int err = 0;

	as_vni(rt, RT_TYPE, s->self.asn, VNI_DEFAULT);
	attrs.ext_communities = (struct bgp_span){rt, sizeof(rt)};
	for (size_t i = 0; i < s->self.nranges && !err; i++) {
		struct bgp_nlri n = {.pfx = s->self.ranges[i], .label = 3};

		n.family = n.pfx.ip.family == IP_V6 ? BGP_VPNV6 : BGP_VPNV4;
		as_vni(n.rd, RD_TYPE, s->self.asn, VNI_DEFAULT);
		err = bgp_originate(bgpd_core(s->bgpd), VNI_CONTROL, &n, &attrs, loop_now());
	}
	return err;
}

/* --- the speaker --- */

static int open_speaker(struct daemon *d, bool gateway)
{
	static const struct bgpd_ops ops = {.route = on_route, .flush = on_flush};
	struct link_svc *s = d->link;
	const uint8_t *k = d->id.pub.b;
	struct bgpd_cfg cfg = {
		.loop = d->loop,
		.core = {.local_as = s->self.asn,
			.router_id = (uint32_t)k[0] << 24 | (uint32_t)k[1] << 16 |
				     (uint32_t)k[2] << 8 | k[3] | 1,
			.seed = prng_next(&d->prng)},
		.vni = VNI_CONTROL,
		.nlisten = gateway ? 1 : 0,
		.ops = &ops,
		.ctx = s,
	};
	int err;

	cfg.listen[0] = (struct ep){.ip = d->control_addr, .port = LINK_BGP_PORT};
	err = bgpd_new(&cfg, &s->bgpd, s->bgp_why, sizeof(s->bgp_why));
	if (err)
		return err;
	s->bgp_why[0] = '\0';
	s->listening = gateway;
	return gateway ? originate(s) : 0;
}

void link_bgp_close(struct link_svc *s)
{
	const void *key;
	void *value;
	size_t it = 0;

	bgpd_free(s->bgpd);
	s->bgpd = NULL;
	s->listening = false;
	while (map_next(s->speakers, &it, &key, &value))
		((struct link_speaker *)value)->id = 0;
}

/* Close the speaker, and first take back what its peers told. */
static void begin_anew(struct link_svc *s)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(s->speakers, &it, &key, &value)) {
		struct link_speaker *x = value;

		if (x->id)
			(void)bgpd_peer_del(s->bgpd, x->id);
		x->id = 0;
	}
	link_bgp_close(s);
}

void link_bgp_learned(struct daemon *d, struct link_entry *e, uint32_t asn_before)
{
	struct link_svc *s = d->link;
	const struct bgp_policy import = {&from_link_ops, e}, export = {&to_link_ops, NULL};
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(s->speakers, &it, &key, &value)) {
		struct link_speaker *x = value;

		if (x->link != e || !x->id)
			continue;
		if (e->remote.asn == asn_before) {
			(void)bgp_peer_repolicy(
				bgpd_core(s->bgpd), x->id, &import, &export, loop_now());
			bgpd_kick(s->bgpd);
			continue;
		}
		(void)bgpd_peer_del(s->bgpd, x->id);
		x->id = 0; /* added again within a second */
	}
}

static int add_peer(struct daemon *d, struct link_speaker *x)
{
	struct link_svc *s = d->link;
	const struct cluster_id *cluster = x->link ? &x->link->remote.id : &d->cluster;
	struct bgpd_peer_cfg cfg = {
		.core = {.vni = VNI_CONTROL,
			.local = d->control_addr,
			.remote_as = x->link ? x->link->remote.asn : s->self.asn,
			.families = BGP_FAM(BGP_VPNV4) | BGP_FAM(BGP_VPNV6),
			.next_hop = {ip_v4(DUMMY_NEXT_HOP), d->control_addr},
			.next_hop_self = true,
			.rr_client = !x->link && s->listening,
			.hold_secs = HOLD_SECS,
			.connect_retry_secs = 3},
		.unmarked = true,
	};

	key_control_addr(cluster, &x->key, &cfg.core.remote.ip);
	cfg.core.remote.port = LINK_BGP_PORT;
	if (x->link) {
		cfg.core.import = (struct bgp_policy){&from_link_ops, x->link};
		cfg.core.export = (struct bgp_policy){&to_link_ops, NULL};
	} else {
		cfg.core.export = (struct bgp_policy){&to_node_ops, NULL};
	}
	return bgpd_peer_add(s->bgpd, &cfg, &x->id);
}

/* Is @key not to be relied on, while another gateway of the same kind is? So a dead one is left when the
 * way to it fails, long before its session or membership says so. */
static bool outdone(struct daemon *d, const struct node_key *key, const struct link_entry *link)
{
	const struct link_svc *s = d->link;
	const void *k;
	void *value;
	size_t it = 0;

	if (!paths_in_doubt(d, key))
		return false;
	while (map_next(s->speakers, &it, &k, &value)) {
		const struct link_speaker *x = value;
		struct gossip_node_info n;

		if (x->link != link || node_key_eq(&x->key, key) || !x->id ||
			paths_in_doubt(d, &x->key))
			continue;
		if (link || (gossip_node_get(d->gossip, &x->key, &n) == 0 &&
				    n.features & GOSSIP_F_GATEWAY))
			return true;
	}
	return false;
}

/* @key is to be spoken with. */
static void want(struct daemon *d, const struct node_key *key, struct link_entry *link)
{
	struct link_svc *s = d->link;
	struct link_speaker *x = map_get(s->speakers, key);

	if (outdone(d, key, link))
		return;
	if (x && x->link != link) /* it changed sides */
		return;
	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x || map_put(s->speakers, key, x) != 0) {
			free(x);
			return;
		}
		x->key = *key;
		x->link = link;
	}
	x->seen = s->round;
}

static bool want_all(struct daemon *d)
{
	struct link_svc *s = d->link;
	bool gateway = s->count && !s->off, any = false;
	struct gossip_node_info info;
	struct link_peer_info p;
	size_t it = 0;

	s->round++;
	for (size_t i = 0; gateway && i < LIM_LINKS; i++) {
		struct link_entry *e = &s->entries[i];

		for (it = 0; e->number && links_peer_each(s->core, e->number, &it, &p);)
			if (p.up)
				want(d, &p.key, e);
	}
	it = 0;
	while (d->has_ipv6 && gossip_node_next(d->gossip, &it, &info)) {
		bool theirs = info.features & GOSSIP_F_GATEWAY;

		if (info.self || !info.up || (!gateway && !theirs))
			continue;
		want(d, &info.key, NULL);
		any = true;
	}
	return gateway || any;
}

/* Those that are not wanted any more. Their routes go by the way of the core. */
static void drop_unwanted(struct daemon *d)
{
	struct link_svc *s = d->link;
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(s->speakers, &it, &key, &value)) {
		struct link_speaker *x = value;

		if (x->seen == s->round)
			continue;
		if (x->id)
			(void)bgpd_peer_del(s->bgpd, x->id);
		(void)map_del(s->speakers, &x->key);
		free(x);
	}
}

void link_bgp_sync(struct daemon *d)
{
	struct link_svc *s = d->link;
	bool gateway = s->count && !s->off, needed = want_all(d);
	static struct log_limit limit;
	const void *key;
	void *value;
	size_t it = 0;
	int err = 0;

	drop_unwanted(d);
	if (s->bgpd && (!needed || s->listening != gateway))
		begin_anew(s);
	if (!needed || !ts_due(s->bgp_again, loop_now()))
		return;
	if (!s->bgpd)
		err = open_speaker(d, gateway);
	while (!err && map_next(s->speakers, &it, &key, &value)) {
		struct link_speaker *x = value;

		if (!x->id)
			err = add_peer(d, x);
	}
	if (!err)
		return;
	s->bgp_again = ts_add(loop_now(), AGAIN);
	log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "link",
		"can't speak BGP over the control segment: %s",
		s->bgp_why[0] ? s->bgp_why : err_str(err));
}

const char *link_bgp_state(const struct link_svc *s, const struct node_key *key, uint32_t *prefixes)
{
	const struct link_speaker *x = map_get(s->speakers, key);
	struct bgp_peer_info i;

	*prefixes = 0;
	if (!x || !x->id || !s->bgpd || bgp_peer_get(bgpd_core(s->bgpd), x->id, &i) != 0)
		return "";
	*prefixes = i.prefixes_accepted;
	return bgp_state_str(i.state);
}
