/* bgp.c - BGP in the daemon.
 *
 * Data in: the section `bgp:`, the mesh's prefixes (own ones that no other node has the better claim
 * to, and those of rtab that are in use), changes of the host's links and routes. Data out: sessions
 * (router/bgp), and the best paths as routes of a kernel table of their own (kfib.h), which is asked
 * behind the mesh's tables.
 *
 * Announcements follow the mesh within PREFIX_DELAY: changes come in bursts, and a whole pass over
 * the prefixes is one round of announce.h. An aggregate leaves an unreachable route behind, so that
 * addresses of it that nobody has are not sent back to where the traffic came from.
 *
 * What is learned never wins over the mesh: the ranges' own table is asked first, and prefixes inside
 * a range are refused at import. Routes of the process before this one stay until the peers are back
 * and had time to tell theirs (SWEEP_AFTER), at the latest SWEEP_LATEST after the start.
 *
 * Bounds: those of the core, the driver and kfib.h. Failure: a route that the kernel refuses is told
 * and tried again; everything else goes on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/wire.h"
#include "bgp_svc.h"
#include "link_svc.h"

#define PREFIX_DELAY DUR_MS(20)
#define HOST_PERIOD  DUR_MS(300)
#define SYNC_BUDGET  1024 /* one batch: what waits for the loop meanwhile has milliseconds */
#define SWEEP_AFTER  DUR_SEC(10)
#define SWEEP_LATEST DUR_SEC(120)
#define RANGE_LIMIT  64
#define BFD_LEAD_MS  500 /* by so much BFD is ahead of BGP after a restart (bgp_bfd.c) */

/* --- best routes to the kernel --- */

/* A link-local next hop is on the link of the peer that told it. */
static int to_kernel(struct bgp_svc *s, const struct bgp_act *a)
{
	struct kfib_path paths[KFIB_PATHS] = {{.oif = 0}};
	unsigned n = 0;

	_Static_assert(BGP_HOPS_MAX <= KFIB_PATHS, "all that the core tells has room");
	for (unsigned k = 0; k < a->nhops; k++) {
		struct bgp_peer_info i;

		paths[n].nh = a->hops[k].next_hop;
		if (!ip_is_link_local(&paths[n].nh)) {
			n++;
		} else if (bgp_peer_get(bgpd_core(s->bgpd), a->hops[k].peer, &i) == 0) {
			paths[n++].oif = (int)i.remote.scope;
		}
	}
	return kfib_set_paths(s->kfib, &a->nlri.pfx, paths, n);
}

static void on_route(void *ctx, const struct bgp_act *a)
{
	struct bgp_svc *s = ctx;
	int err = 0;

	if (a->vni != VNI_DEFAULT || a->nlri.family > BGP_IPV6)
		return;
	link_cross_outside(s->d, &a->nlri.pfx);
	if (a->attrs && a->peer != BGP_LOCAL && s->conf->kernel)
		err = to_kernel(s, a);
	else if (a->attrs && (a->attrs->has & BGP_HAS_AGGREGATOR))
		err = kfib_set_unreachable(s->kfib, &a->nlri.pfx);
	else
		(void)kfib_del(s->kfib, &a->nlri.pfx); /* ours: the mesh's own tables lead there */
	if (err) {
		char text[PFX_STRLEN];

		daemon_warn(s->d, "BGP: no room in the kernel's table for %s: %s",
			pfx_fmt(&a->nlri.pfx, text), err_str(err));
	}
}

static void sync_kernel(struct bgp_svc *s)
{
	char why[sizeof(s->kernel_why)];
	int err = kfib_sync(s->kfib, SYNC_BUDGET, why, sizeof(why));

	if (err < 0) {
		snprintf(s->kernel_why, sizeof(s->kernel_why), "%s", why);
		daemon_warn(s->d, "BGP: %s", why);
	} else if (err == 0 && s->kernel_why[0]) {
		struct kfib_stats st;

		kfib_stats(s->kfib, &st);
		if (st.waiting == 0)
			s->kernel_why[0] = '\0';
	}
	if (err != 0)
		loop_timer_set(
			s->sync_timer, err > 0 ? loop_now() : ts_add(loop_now(), HOST_PERIOD));
}

static void on_sync_timer(void *ctx)
{
	sync_kernel(ctx);
}

static void on_flush(void *ctx)
{
	struct bgp_svc *s = ctx;

	sync_kernel(s);
	if (link_cross_pending(s->d))
		mesh_drain(s->d);
}

static bool resolve(void *ctx, uint32_t vni, const struct ip *nh, uint32_t *cost)
{
	const struct bgp_svc *s = ctx;

	*cost = 0; /* a link-local one is as near as can be; whether it answers, its session tells */
	return vni == VNI_DEFAULT && (ip_is_link_local(nh) || kfib_resolve(s->kfib, nh, cost));
}

static const struct bgp_nexthop_ops nexthop_ops = {resolve};

/* --- changes of the host, and leftovers --- */

static bool all_established(const struct bgp_svc *s, ts_t *latest)
{
	struct bgp_peer_info i;
	size_t it = 0;

	*latest = s->started;
	while (bgp_peer_next(bgpd_core(s->bgpd), &it, &i)) {
		if (i.state != BGP_ESTABLISHED)
			return false;
		if (ts_before(*latest, i.since))
			*latest = i.since;
	}
	return true;
}

static void sweep(struct bgp_svc *s, ts_t now)
{
	struct bgp_stats st;
	ts_t latest;

	bgp_stats(bgpd_core(s->bgpd), &st);
	if (st.deferred) /* what is left over is in use until then */
		return;
	if (!(all_established(s, &latest) && ts_due(ts_add(latest, SWEEP_AFTER), now)) &&
		!ts_due(ts_add(s->started, SWEEP_LATEST), now))
		return;
	kfib_sweep(s->kfib);
	s->swept = true;
	sync_kernel(s);
}

static void on_host_timer(void *ctx)
{
	struct bgp_svc *s = ctx;
	ts_t now = loop_now();

	if (s->underlay_seen != s->d->underlay_seen || ts_due(kfib_deadline(s->kfib), now)) {
		s->underlay_seen = s->d->underlay_seen;
		if (kfib_recheck(s->kfib, now))
			bgp_nexthops_changed(bgpd_core(s->bgpd), VNI_DEFAULT, now);
		bgpd_kick(s->bgpd);
	}
	if (!s->swept)
		sweep(s, now);
	loop_timer_set(s->host_timer, ts_add(now, HOST_PERIOD));
}

/* --- announcements --- */

static struct bgp_nlri nlri_of(const struct pfx *p)
{
	return (struct bgp_nlri){.family = p->ip.family == IP_V6 ? BGP_IPV6 : BGP_IPV4, .pfx = *p};
}

static int announce_add(void *ctx, const struct pfx *p, bool aggregate)
{
	struct bgp_svc *s = ctx;
	struct bgp_nlri n = nlri_of(p);
	struct bgp_attrs attrs = {.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH};
	int err;

	if (aggregate) {
		attrs.has |= BGP_HAS_AGGREGATOR;
		attrs.aggregator_as = s->conf->asn;
		attrs.aggregator_id = s->router_id;
	}
	err = bgp_originate(bgpd_core(s->bgpd), VNI_DEFAULT, &n, &attrs, loop_now());
	s->announced_failed += err != 0;
	return err;
}

static void announce_del(void *ctx, const struct pfx *p, bool aggregate)
{
	struct bgp_svc *s = ctx;
	struct bgp_nlri n = nlri_of(p);

	(void)aggregate;
	(void)bgp_withdraw(bgpd_core(s->bgpd), VNI_DEFAULT, &n, loop_now());
}

static const struct announce_ops announce_ops = {announce_add, announce_del};

/* Own prefixes that another node has the better claim to are routed to that node. */
static bool is_lost(const struct gossip_node_info *self, const struct pfx *p)
{
	for (size_t i = 0; i < self->nprefixes; i++)
		if (self->prefixes[i].vni == VNI_DEFAULT && pfx_eq(&self->prefixes[i].pfx, p))
			return self->prefixes[i].lost;
	return false;
}

static void see_prefixes(struct bgp_svc *s)
{
	struct daemon *d = s->d;
	const struct segment *seg = segment_find(d, VNI_DEFAULT);
	struct gossip_node_info self = {.nprefixes = 0};
	const struct rtab_entry *e;
	size_t it = 0;

	(void)gossip_node_get(d->gossip, &d->id.pub, &self);
	announce_begin(s->announce);
	for (size_t i = 0; seg && i < seg->nprefixes; i++)
		if (!is_lost(&self, &seg->prefixes[i].pfx))
			(void)announce_seen(s->announce, &seg->prefixes[i].pfx, true);
	while (rtab_next(d->rtab, &it, &e))
		if (e->vni == VNI_DEFAULT && e->peer && !e->exit && !e->link)
			(void)announce_seen(s->announce, &e->pfx, false);
	if (announce_end(s->announce) > 0)
		daemon_warn(d, "BGP: not everything could be announced: no room in the table");
	bgpd_kick(s->bgpd);
}

static void on_prefix_timer(void *ctx)
{
	struct bgp_svc *s = ctx;

	s->prefixes_due = false;
	if (s->d->gossip)
		see_prefixes(s);
}

void bgp_svc_prefixes(struct daemon *d)
{
	struct bgp_svc *s = d->bgp;

	if (!s || s->prefixes_due)
		return;
	s->prefixes_due = true;
	loop_timer_set(s->prefix_timer, ts_add(loop_now(), PREFIX_DELAY));
}

void bgp_svc_linked(struct daemon *d, const struct pfx *p, const struct bgp_attrs *attrs)
{
	struct bgp_svc *s = d->bgp;
	struct bgp_attrs mine = {.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH};
	struct bgp_nlri n = nlri_of(p);

	if (attrs) {
		mine.origin = attrs->origin;
		mine.as_path = attrs->as_path;
		mine.communities = attrs->communities;
		mine.large_communities = attrs->large_communities;
		s->announced_failed +=
			bgp_originate(bgpd_core(s->bgpd), VNI_DEFAULT, &n, &mine, loop_now()) != 0;
	} else {
		(void)bgp_withdraw(bgpd_core(s->bgpd), VNI_DEFAULT, &n, loop_now());
	}
	bgpd_kick(s->bgpd);
}

const struct conf_bgp *bgp_svc_conf(const struct bgp_svc *s)
{
	return s->reloaded ? s->reloaded : s->conf;
}

void bgp_svc_judge(struct daemon *d)
{
	struct bgp_svc *s = d->bgp;

	for (size_t i = 0; i < s->nneighbours; i++)
		if (s->neighbours[i].peer)
			(void)bgp_peer_repolicy(
				bgpd_core(s->bgpd), s->neighbours[i].peer, NULL, NULL, loop_now());
	bgpd_kick(s->bgpd);
}

/* --- start --- */

static uint32_t host_order(const struct ip *ip)
{
	return (uint32_t)ip->b[0] << 24 | (uint32_t)ip->b[1] << 16 | (uint32_t)ip->b[2] << 8 |
	       ip->b[3];
}

/* RFC 6286 2.1: unique within the AS, and not 0. An address of this host is, mostly; the key always. */
static uint32_t choose_router_id(struct daemon *d, const struct conf_bgp *c)
{
	struct ip addrs[16];
	int n;

	if (c->router_id)
		return c->router_id;
	n = kern_host_addrs(d->kern, addrs, sizeof(addrs) / sizeof(addrs[0]));
	for (int i = 0; i < n; i++)
		if (addrs[i].family == IP_V4)
			return host_order(&addrs[i]);
	return host_order(&(struct ip){
		.b = {d->id.pub.b[0] | 1, d->id.pub.b[1], d->id.pub.b[2], d->id.pub.b[3]}});
}

const struct conf_bgp_peer *bgp_svc_conf_peer(
	const struct bgp_svc *s, const struct conf_bgp_peer *c)
{
	for (size_t i = 0; s->reloaded && i < s->reloaded->npeers; i++)
		if (conf_bgp_same_peer(&s->reloaded->peers[i], c))
			return &s->reloaded->peers[i];
	return c;
}

/* RFC 4724 4.1: is this a restart with routes that forward on, and does a peer know to wait? */
static bool is_restart(const struct bgp_svc *s)
{
	struct kfib_stats st;

	kfib_stats(s->kfib, &st);
	for (size_t i = 0; i < s->conf->npeers && st.leftover; i++)
		if (s->conf->peers[i].restart == CONF_BGP_RESTART_YES)
			return true;
	return false;
}

static void on_state(void *ctx, const struct bgp_act *a)
{
	bgp_mrt_state(ctx, a);
}

static struct bgpd_peer_cfg peer_cfg(
	struct bgp_svc *s, const struct conf_bgp_peer *c, const struct ep *remote)
{
	struct bgpd_peer_cfg cfg = {
		.core = {.vni = VNI_DEFAULT,
			.remote = *remote,
			.local = c->source,
			.remote_as = c->asn,
			.families = (c->ipv4 ? BGP_FAM(BGP_IPV4) : 0) |
				    (c->ipv6 ? BGP_FAM(BGP_IPV6) : 0),
			.next_hop = {c->next_hop[0], c->next_hop[1]},
			.passive = c->passive,
			.next_hop_self = c->next_hop_self,
			.hold_secs = c->hold_secs,
			.no_hold = c->no_hold,
			.max_prefixes = c->max_prefixes,
			.warn_prefixes = c->warn_prefixes,
			.max_restart_secs = c->max_restart_secs,
			.restart = (enum bgp_restart)c->restart,
			.restart_secs = c->restart_secs,
			.start_delay_ms = c->bfd.on && is_restart(s) ? BFD_LEAD_MS : 0,
			.stale_secs = c->stale_secs,
			.mrai_secs = c->mrai_secs,
			.local_as = c->local_as,
			.no_prepend = c->no_prepend,
			.replace_as = c->replace_as,
			.as_override = c->as_override,
			.remove_private = c->remove_private,
			.allow_own_as = c->allow_own_as,
			.add_path_rx = c->add_path_receive,
			.add_path_tx = c->add_path_send,
			.v4_over_v6 = c->v4_over_v6,
			.no_ext_message = c->no_ext_message,
			.role = (enum bgp_role)c->role,
			.role_strict = c->role_strict},
		.hops = c->multihop,
		.ttl_security = c->ttl_security,
	};

	_Static_assert(sizeof(cfg.password) == sizeof(c->password), "one bound for passwords");
	memcpy(cfg.password, bgp_svc_conf_peer(s, c)->password, sizeof(cfg.password));
	bgp_policy_hooks(s, bgp_svc_conf_peer(s, c), &cfg.core.import, &cfg.core.export);
	return cfg;
}

/* Add the peer of @n, at @remote. Logs what is wrong. */
static int add_peer(struct bgp_svc *s, struct bgp_neighbour *n, const struct ep *remote)
{
	struct bgpd_peer_cfg cfg = peer_cfg(s, n->conf, remote);
	char text[IP_STRLEN];
	int err = bgpd_peer_add(s->bgpd, &cfg, &n->peer);

	explicit_bzero(cfg.password, sizeof(cfg.password));
	if (err)
		log_error("bgp", "can't add the peer %s: %s%s", bgp_svc_name(n, text), err_str(err),
			err == -ENOPROTOOPT ? "; this kernel has no TCP-MD5 for its password"
			: err == ERR_NOMEM
				? "; net.core.optmem_max bounds the passwords of a listener"
				: "");
	return err;
}

/* A router showed itself on a link. The first one is the neighbour, and another one only when that one
 * has no session. */
static void on_router(void *ctx, const char *link, const struct ep *router)
{
	struct bgp_svc *s = ctx;

	for (size_t k = 0; k < s->nneighbours; k++) {
		struct bgp_neighbour *n = &s->neighbours[k];
		struct ep remote = *router;
		struct bgp_peer_info i;
		char text[EP_STRLEN];

		if (strcmp(n->conf->interface, link) != 0)
			continue;
		remote.port = n->conf->remote.port;
		if (n->peer && bgp_peer_get(bgpd_core(s->bgpd), n->peer, &i) == 0) {
			if (i.state == BGP_ESTABLISHED ||
				(ip_eq(&i.remote.ip, &remote.ip) && i.remote.scope == remote.scope))
				continue;
			(void)bgpd_peer_del(s->bgpd, n->peer);
			n->peer = 0;
		}
		log_info("bgp", "%s: the neighbour is %s", link, ip_fmt(&remote.ip, text));
		(void)add_peer(s, n, &remote);
	}
}

static void on_peer_new(void *ctx, uint32_t tag, uint32_t peer, const struct ep *remote)
{
	struct bgp_svc *s = ctx;
	struct bgp_policy import, export;
	struct bgp_neighbour *n;
	char text[IP_STRLEN];

	log_info("bgp", "a neighbour of a range: %s", ip_fmt(&remote->ip, text));
	if (s->nneighbours == s->neighbours_cap)
		return; /* there is room for all ranges */
	n = &s->neighbours[s->nneighbours++];
	*n = (struct bgp_neighbour){
		.conf = &s->conf->peers[tag], .peer = peer, .of_range = remote->ip};
	if (!s->reloaded)
		return;
	bgp_policy_hooks(s, bgp_svc_conf_peer(s, n->conf), &import, &export);
	(void)bgp_peer_repolicy(bgpd_core(s->bgpd), peer, &import, &export, loop_now());
}

static void on_peer_gone(void *ctx, uint32_t peer)
{
	struct bgp_svc *s = ctx;

	for (size_t i = 0; i < s->nneighbours; i++)
		if (s->neighbours[i].peer == peer && s->neighbours[i].of_range.family != IP_NONE) {
			s->neighbours[i] = s->neighbours[--s->nneighbours];
			return;
		}
}

static int add_range(struct bgp_svc *s, const struct conf_bgp_peer *c)
{
	struct bgpd_range_cfg r = {.range = c->range,
		.limit = c->range_limit ? c->range_limit : RANGE_LIMIT,
		.tag = (uint32_t)(c - s->conf->peers),
		.peer = peer_cfg(s, c, &c->remote)};
	char text[PFX_STRLEN];
	int err = bgpd_range_add(s->bgpd, &r);

	explicit_bzero(r.peer.password, sizeof(r.peer.password));
	if (err)
		log_error("bgp", "can't take neighbours of %s: %s", pfx_fmt(&c->range, text),
			err_str(err));
	return err;
}

/* How many neighbours there may be, those of ranges included. */
static size_t count_neighbours(const struct conf_bgp *c)
{
	size_t n = c->npeers + 1;

	for (size_t i = 0; i < c->npeers; i++)
		if (c->peers[i].range.ip.family != IP_NONE)
			n += c->peers[i].range_limit ? c->peers[i].range_limit : RANGE_LIMIT;
	return n;
}

static int add_neighbour(struct bgp_svc *s, const struct conf_bgp_peer *c)
{
	struct bgp_neighbour *n;
	int err;

	if (c->range.ip.family != IP_NONE)
		return add_range(s, c);
	n = &s->neighbours[s->nneighbours++];
	n->conf = c;
	if (c->interface[0]) {
		err = s->radv ? 0 : radv_open(s->d->loop, on_router, s, &s->radv);
		if (!err)
			err = radv_watch(s->radv, c->interface);
		if (err)
			log_error("bgp", "can't look for the neighbour on %s: %s", c->interface,
				err_str(err));
		return err;
	}
	err = add_peer(s, n, &c->remote);
	return err ? err : bgp_bfd_add(s, n);
}

static int open_announce(struct bgp_svc *s)
{
	const struct conf_bgp_announce *c = &s->conf->announce;
	const struct segment *seg = segment_find(s->d, VNI_DEFAULT);
	size_t n = c->aggregates.n, ranges = c->ranges && seg ? seg->nranges : 0;
	struct pfx *aggregates = calloc(n + ranges + 1, sizeof(*aggregates));
	struct announce_cfg cfg = {
		.pods = c->pods == CONF_BGP_PODS_ALL   ? ANNOUNCE_ALL
			: c->pods == CONF_BGP_PODS_OWN ? ANNOUNCE_OWN
						       : ANNOUNCE_NONE,
		.fixed = c->services.v,
		.nfixed = c->services.n,
		.aggregates = aggregates,
		.naggregates = n + ranges,
		.ops = &announce_ops,
		.ctx = s,
	};

	if (!aggregates)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		aggregates[i] = c->aggregates.v[i];
	for (size_t i = 0; i < ranges; i++)
		aggregates[n + i] = seg->ranges[i];
	for (size_t i = 0; i < sizeof(cfg.seed); i++)
		cfg.seed[i] = (uint8_t)prng_next(&s->d->prng);
	s->announce = announce_new(&cfg);
	free(aggregates);
	return s->announce ? 0 : ERR_NOMEM;
}

static int open_bgpd(struct bgp_svc *s)
{
	static const struct bgpd_ops ops = {.route = on_route,
		.state = on_state,
		.flush = on_flush,
		.peer_new = on_peer_new,
		.peer_gone = on_peer_gone};
	struct daemon *d = s->d;
	struct bgpd_cfg cfg = {
		.loop = d->loop,
		.core = {.local_as = s->conf->asn,
			.router_id = s->router_id,
			.seed = prng_next(&d->prng),
			.nexthop = &nexthop_ops,
			.nexthop_ctx = s,
			.multipath = s->conf->multipath,
			.restarting = is_restart(s)},
		.vni = VNI_DEFAULT,
		.nlisten = s->conf->nlisten,
		.mark = d->conf->mark,
		.ops = &ops,
		.ctx = s,
	};
	char why[200];
	int err;

	for (size_t i = 0; i < cfg.nlisten; i++)
		cfg.listen[i] = s->conf->listen[i];
	err = bgpd_new(&cfg, &s->bgpd, why, sizeof(why));
	if (err)
		log_error("bgp", "%s", why);
	return err;
}

static int open_kernel(struct bgp_svc *s)
{
	uint8_t seed[16];
	int err;

	for (size_t i = 0; i < sizeof(seed); i++)
		seed[i] = (uint8_t)prng_next(&s->d->prng);
	err = kfib_open(VNI_DEFAULT, s->d->conf->mark, s->d->has_ipv6, seed, &s->kfib);
	if (err)
		log_error("bgp", "can't read the table of learned routes: %s", err_str(err));
	else
		kern_ignore(s->d->kern, kfib_portid(s->kfib));
	return err;
}

int bgp_svc_start(struct daemon *d)
{
	const struct conf_bgp *c = d->conf->bgp;
	struct bgp_svc *s;
	int err;

	if (!c)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	d->bgp = s; /* from here on bgp_svc_stop() cleans up */
	s->d = d;
	s->conf = c;
	s->started = loop_now();
	s->router_id = choose_router_id(d, c);
	s->neighbours_cap = count_neighbours(c);
	s->neighbours = calloc(s->neighbours_cap, sizeof(*s->neighbours));
	s->prefix_timer = loop_timer_new(d->loop, on_prefix_timer, s);
	s->host_timer = loop_timer_new(d->loop, on_host_timer, s);
	s->sync_timer = loop_timer_new(d->loop, on_sync_timer, s);
	if (!s->neighbours || !s->prefix_timer || !s->host_timer || !s->sync_timer)
		return ERR_NOMEM;
	if ((err = bgp_policy_open(s)) || (err = open_kernel(s)) || (err = open_bgpd(s)) ||
		(err = open_announce(s)))
		return err;
	for (size_t i = 0; i < c->npeers && !err; i++)
		err = add_neighbour(s, &c->peers[i]);
	if (err)
		return err;
	bgp_svc_prefixes(d);
	on_host_timer(s);
	link_cross_policies(d);
	return 0;
}

void bgp_svc_stop(struct daemon *d)
{
	struct bgp_svc *s = d->bgp;

	if (!s)
		return;
	radv_close(s->radv);
	bgp_bfd_stop(s);
	bgp_mrt_close(s);
	if (s->bgpd && !d->remove_all)
		bgpd_leave(s->bgpd);
	bgpd_free(s->bgpd);
	announce_free(s->announce);
	kfib_close(s->kfib);
	loop_timer_free(s->prefix_timer);
	loop_timer_free(s->host_timer);
	loop_timer_free(s->sync_timer);
	bgp_policy_close(s);
	free(s->neighbours);
	free(s);
	d->bgp = NULL;
}

const struct bgp_neighbour *bgp_svc_peer(const struct bgp_svc *s, uint32_t peer)
{
	for (size_t i = 0; i < s->nneighbours; i++)
		if (peer != BGP_LOCAL && s->neighbours[i].peer == peer)
			return &s->neighbours[i];
	return NULL;
}

const struct bgp_neighbour *bgp_svc_neighbour(const struct bgp_svc *s, const char *address)
{
	struct ip ip;

	if (ip_parse(address, &ip) != 0)
		ip.family = IP_NONE;
	for (size_t i = 0; i < s->nneighbours; i++) {
		const struct conf_bgp_peer *c = s->neighbours[i].conf;

		const struct ip *of = &s->neighbours[i].of_range;

		if (c->interface[0] ? strcmp(c->interface, address) == 0
				    : ip_eq(of->family != IP_NONE ? of : &c->remote.ip, &ip))
			return &s->neighbours[i];
	}
	return NULL;
}

const char *bgp_svc_name(const struct bgp_neighbour *n, char out[IP_STRLEN])
{
	if (n->conf->interface[0])
		return n->conf->interface;
	return ip_fmt(n->of_range.family != IP_NONE ? &n->of_range : &n->conf->remote.ip, out);
}
