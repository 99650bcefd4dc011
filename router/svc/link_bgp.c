/* link_bgp.c - the speaker over the control segment: BGP between clusters (lbgp.h) on TCP.
 *
 * A speaker of its own beside that of the section `bgp:`. It exists while there is somebody to speak
 * with. Failure to open it is told and tried again (LBGP_AGAIN). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "link_svc.h"

/* --- what lbgp asks for --- */

static void on_route(void *ctx, const struct bgp_act *a)
{
	struct link_svc *s = ctx;

	lbgp_route(s->lbgp, a);
}

static void on_flush(void *ctx)
{
	struct link_svc *s = ctx;

	lbgp_flush(s->lbgp);
	mesh_drain(s->d);
}

static int open_speaker(void *ctx, const struct bgp_cfg *core, bool listens, struct bgp **out)
{
	static const struct bgpd_ops ops = {.route = on_route, .flush = on_flush};
	struct daemon *d = ctx;
	struct link_svc *s = d->link;
	struct bgpd_cfg cfg = {
		.loop = d->loop,
		.core = *core,
		.vni = VNI_CONTROL,
		.nlisten = listens ? 1 : 0,
		.ops = &ops,
		.ctx = s,
	};
	int err;

	cfg.core.seed = prng_next(&d->prng);
	cfg.listen[0] = (struct ep){.ip = d->control_addr, .port = LINK_BGP_PORT};
	err = bgpd_new(&cfg, &s->bgpd, s->bgp_why, sizeof(s->bgp_why));
	if (err)
		return err;
	s->bgp_why[0] = '\0';
	*out = bgpd_core(s->bgpd);
	s->offer_all = true;
	return 0;
}

static void close_speaker(void *ctx)
{
	struct link_svc *s = ((struct daemon *)ctx)->link;

	bgpd_free(s->bgpd);
	s->bgpd = NULL;
	link_exit_closed(s->d);
}

static int peer_add(void *ctx, const struct bgp_peer_cfg *core, uint32_t *peer)
{
	struct daemon *d = ctx;
	struct bgpd_peer_cfg cfg = {.core = *core, .unmarked = true};

	return bgpd_peer_add(d->link->bgpd, &cfg, peer);
}

static void peer_del(void *ctx, uint32_t peer)
{
	struct daemon *d = ctx;

	(void)bgpd_peer_del(d->link->bgpd, peer);
}

static enum lbgp_way way(void *ctx, const struct node_key *key)
{
	struct path_info info;

	if (!paths_get(ctx, key, &info))
		return LBGP_WORKS;
	return info.state == PATH_ST_LOST                    ? LBGP_FAILS
	       : info.doubt || info.state == PATH_ST_RELAYED ? LBGP_DOUBTFUL
							     : LBGP_WORKS;
}

static void route(void *ctx, const struct lbgp_route *r)
{
	const struct rtab_link to = {.pfx = r->pfx,
		.gateway = r->gateway, /* none for what is offered: the way out is here */
		.outside = r->outside,
		.exit = r->exit,
		.from = r->from,
		.to = r->to};

	_Static_assert(LBGP_OURS == DP_LINK_OURS, "one set of bits");
	rtab_link_set(ctx, VNI_DEFAULT, &to);
	link_exit_route(ctx, r);
	link_cross_route(ctx, r);
}

static bool underlay(void *ctx, const struct pfx *p)
{
	char text[IP_STRLEN];

	return link_bgp_underlay(ctx, p, text);
}

/* Asked of each route, so the host is asked only when it changed. */
static void look_at_underlay(struct daemon *d)
{
	struct link_svc *s = d->link;
	struct ip ips[LINK_UNDERLAY_MAX] = {{{0}, 0}};
	struct kern_stats st;
	int n;

	kern_stats(d->kern, &st);
	if (s->underlay_known && s->underlay_at == st.underlay_changes)
		return;
	n = kern_underlay_ips(d->kern, ips, LINK_UNDERLAY_MAX);
	s->underlay_at = st.underlay_changes;
	s->underlay_known = n >= 0;
	if (n < 0 || (n == s->nunderlay && memcmp(ips, s->underlay, (size_t)n * sizeof(*ips)) == 0))
		return;
	memcpy(s->underlay, ips, (size_t)n * sizeof(*ips));
	s->nunderlay = n;
	s->underlay_moved = true;
}

bool link_bgp_underlay(struct daemon *d, const struct pfx *p, char hit[IP_STRLEN])
{
	const struct link_svc *s = d->link;

	look_at_underlay(d);
	snprintf(hit, IP_STRLEN, "what is unknown");
	for (int i = 0; i < s->nunderlay; i++)
		if (pfx_has_ip(p, &s->underlay[i])) {
			ip_fmt(&s->underlay[i], hit);
			return true;
		}
	return !s->underlay_known;
}

/* What failed and was left carries nothing that would find out that it works again. */
static void ask_held(struct daemon *d)
{
	struct path_info info;
	uint32_t it = 0;
	struct peer *p;

	while (lbgp_count(d->link->lbgp) && peers_next(d, &it, &p))
		if (p->up && lbgp_held(d->link->lbgp, &p->key) && paths_get(d, &p->key, &info) &&
			info.state == PATH_ST_LOST)
			paths_ask(d, &p->key);
}

void link_bgp_look(struct daemon *d)
{
	look_at_underlay(d);
	if (d->link->underlay_moved)
		link_bgp_judge(d);
	d->link->underlay_moved = false;
	ask_held(d);
}

int link_bgp_new(struct daemon *d)
{
	static const struct lbgp_ops ops = {
		open_speaker, close_speaker, peer_add, peer_del, way, route, underlay};
	struct lbgp_cfg cfg = {.ops = &ops, .ctx = d, .cluster = d->cluster, .key = d->id.pub};

	for (size_t i = 0; i < sizeof(cfg.seed); i++)
		cfg.seed[i] = (uint8_t)prng_next(&d->prng);
	d->link->lbgp = lbgp_new(&cfg);
	return d->link->lbgp ? 0 : ERR_NOMEM;
}

/* --- what the daemon tells --- */

void link_bgp_close(struct link_svc *s)
{
	if (s->lbgp)
		lbgp_stop(s->lbgp);
}

void link_bgp_learned(struct daemon *d, struct link_entry *e, uint32_t asn_before)
{
	struct link_svc *s = d->link;

	s->syncing = true;
	lbgp_learned(s->lbgp, &e->bgp, asn_before, loop_now());
	s->syncing = false;
	if (s->bgpd)
		bgpd_kick(s->bgpd);
}

void link_bgp_add(struct daemon *d, struct link_entry *e)
{
	e->bgp = (struct lbgp_link){.remote = &e->remote, .bit = (uint8_t)(1u << e->number)};
	_Static_assert(LIM_LINKS < 8, "a bit for each");
	(void)lbgp_link_add(d->link->lbgp, &e->bgp, loop_now()); /* there is room for all entries */
}

void link_bgp_del(struct daemon *d, struct link_entry *e)
{
	struct link_svc *s = d->link;

	s->syncing = true;
	lbgp_link_del(s->lbgp, &e->bgp, loop_now());
	s->syncing = false;
}

void link_bgp_judge(struct daemon *d)
{
	struct link_svc *s = d->link;

	lbgp_judge(s->lbgp, loop_now());
	if (s->bgpd)
		bgpd_kick(s->bgpd);
}

static bool want_all(struct daemon *d)
{
	struct link_svc *s = d->link;
	bool gateway = link_svc_is_gateway(d), any = false;
	struct gossip_node_info info;
	struct link_peer_info p;
	size_t it = 0;

	lbgp_round(s->lbgp);
	for (size_t i = 0; gateway && i < LIM_LINKS; i++) {
		struct link_entry *e = &s->entries[i];

		for (it = 0; e->number && links_peer_each(s->core, e->number, &it, &p);)
			if (p.up)
				lbgp_want(s->lbgp, &p.key, &e->bgp, false);
	}
	it = 0;
	while (d->has_ipv6 && gossip_node_next(d->gossip, &it, &info)) {
		bool theirs = info.features & GOSSIP_F_GATEWAY;

		if (info.self || !info.up || (!gateway && !theirs))
			continue;
		lbgp_want(s->lbgp, &info.key, NULL, theirs);
		any = true;
	}
	return gateway || any;
}

void link_bgp_sync(struct daemon *d)
{
	struct link_svc *s = d->link;
	static struct log_limit limit;
	int err;

	if (s->syncing) /* parting with somebody drains the other cores, and they may call */
		return;
	s->syncing = true;
	err = lbgp_sync(s->lbgp, &s->self, want_all(d), link_svc_is_gateway(d), loop_now());
	s->syncing = false;
	if (s->bgpd)
		bgpd_kick(s->bgpd);
	if (err)
		log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "link",
			"can't speak BGP over the control segment: %s",
			s->bgp_why[0] ? s->bgp_why : err_str(err));
}

const char *link_bgp_state(const struct link_svc *s, const struct node_key *key, uint32_t *prefixes)
{
	uint32_t peer = lbgp_peer(s->lbgp, key);
	struct bgp_peer_info i;

	*prefixes = 0;
	if (!peer || !s->bgpd || bgp_peer_get(bgpd_core(s->bgpd), peer, &i) != 0)
		return "";
	*prefixes = i.prefixes_accepted;
	return bgp_state_str(i.state);
}
