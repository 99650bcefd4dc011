/* paths.c - see paths.h. One table, from action of the path core to function.
 *
 * State: per node that gossip knows or that is dialled one struct node, by label: what was asked of the
 * core and of the session core for it; the ways by which relayed datagrams came (path_back.h).
 *
 * Failure: a node without memory for its entry is not dialled; its record brings it up again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "ctl_status.h"
#include "daemon_int.h"
#include "link_svc.h"
#include "paths.h"
#include "paths_int.h"

#define WANT_KEEP    DUR_SEC(90) /* gossip asks again, with a back-off, as long as it wants a link */
#define DIAL_KEEP    DUR_SEC(5)  /* the core gives up or changes a dial sooner than that */
#define LINKS_PERIOD DUR_MS(75)

static struct node *node_at(const struct paths *x, uint64_t label)
{
	return map_get(x->nodes, &label);
}

struct node *paths_find(const struct paths *x, const struct node_key *key)
{
	struct node *n = node_at(x, dp_label(key));

	return n && node_key_eq(&n->key, key) ? n : NULL;
}

/* The entry of @key, known to the core with what gossip knows of it. NULL: no memory, or its label is
 * another's. */
static struct node *node_need(struct daemon *d, const struct node_key *key)
{
	struct paths *x = d->paths;
	const uint64_t label = dp_label(key);
	struct gossip_node_info info = {.neps = 0};
	struct node *n = paths_find(x, key);
	const struct peer *p;
	bool fresh = !n;

	if (fresh) {
		n = calloc(1, sizeof(*n));
		if (!n)
			return NULL;
		n->key = *key;
		n->rtt = DUR_NS(-1);
		if (map_put(x->nodes, &label, n) != 0) {
			free(n);
			return NULL;
		}
	}
	(void)gossip_node_get(d->gossip, key, &info);
	p = peers_find(d, key);
	/* Other clusters' gateways are no relays of ours. */
	if (path_node_set(x->core, key,
		    &(struct path_node){
			    .relay = !(info.features & GOSSIP_F_NO_RELAY) && !(p && p->foreign),
			    .eps = info.eps,
			    .neps = info.neps,
		    },
		    loop_now()) != 0 &&
		fresh) {
		(void)map_del(x->nodes, &label);
		free(n);
		return NULL;
	}
	return n;
}

/* --- ways --- */

/* The data plane's words for @r to the node with @label. False: its first relay is not there. */
static bool way_of(
	const struct daemon *d, const struct path_route *r, uint64_t label, struct dp_way *out)
{
	const struct peer *first = peers_find(d, &r->first);

	if (!first || r->n == 0)
		return false;
	*out = (struct dp_way){.first = first->handle, .n = r->n};
	path_route_labels(r, label, out->label);
	return true;
}

/* The way of a datagram to the node with @label; @sealed: under the session with it. */
static bool way_to(struct daemon *d, uint64_t label, bool sealed, struct dp_way *out)
{
	const struct paths *x = d->paths;
	const struct node *n = node_at(x, label);
	const struct path_route *back = path_backs_get(x->backs, label, loop_now());
	struct path_info info;
	bool routed = n && path_get(x->core, &n->key, &info) == 0 && info.route.n > 0;

	if (sealed && routed && way_of(d, &info.route, label, out))
		return true;
	if (!sealed && n && n->dialling && n->dial_route.n > 0 &&
		way_of(d, &n->dial_route, label, out))
		return true;
	if (back && way_of(d, back, label, out))
		return true;
	return routed && way_of(d, &info.route, label, out);
}

void paths_send(struct daemon *d, const struct sess_act *a)
{
	struct dp_way way;
	uint64_t label;

	if (!sess_relayed_label(&a->to, &label))
		(void)dp_send(d->dp, &a->to, &a->local, a->via, a->buf, a->len);
	else if (way_to(d, label, a->peer != 0, &way))
		(void)dp_send_way(d->dp, &way, a->buf, a->len, false);
	else
		d->paths->no_way++;
}

/* --- sessions --- */

void paths_mtu(struct daemon *d)
{
	if (d->paths)
		path_set_mtu(d->paths->core, d->underlay.mtu, loop_now());
}

bool paths_up(struct daemon *d, struct peer *p, const struct sess_act *a)
{
	struct paths *x = d->paths;
	struct node *n = node_need(d, &a->key);
	const struct path_route *route;
	uint64_t label;
	int e;

	if (!n)
		return false;
	(void)dp_peer_label(d->dp, p->handle, dp_label(&a->key));
	if (!sess_relayed_label(&a->ep, &label)) {
		p->ep = a->ep;
		(void)dp_peer_endpoint(d->dp, p->handle, &a->ep, &a->local);
		p->relays = 0;
		/* Before the search begins: its own interface may take more than the others. */
		underlay_used(d, &a->ep);
		e = path_link_up(x->core, &a->key, &a->ep, NULL, loop_now());
	} else {
		route = path_backs_get(x->backs, label, loop_now());
		if (n->dialling && n->dial_route.n > 0)
			route = &n->dial_route;
		if (!route)
			return false;
		e = path_link_up(x->core, &a->key, NULL, route, loop_now());
	}
	if (e)
		return false;
	n->dialling = false;
	n->side_off = 0;
	n->wanted = false;
	path_unwant(x->core, &a->key, loop_now());
	return true;
}

void paths_down(struct daemon *d, const struct node_key *key)
{
	path_link_down(d->paths->core, key, loop_now());
}

void paths_endpoint(struct daemon *d, struct peer *p, const struct sess_act *a)
{
	bool moved = !ep_eq(&p->ep, &a->ep);

	if (sess_relayed_label(&a->ep, NULL))
		return; /* PATH_USE tells the way */
	p->ep = a->ep;
	p->relays = 0;
	(void)dp_peer_endpoint(d->dp, p->handle, &a->ep, &a->local);
	if (!moved || !p->up)
		return;
	underlay_used(d, &a->ep);
	(void)path_link_up(d->paths->core, &a->key, &a->ep, NULL, loop_now());
}

void paths_recv(struct daemon *d, const struct sess_act *a)
{
	struct path_from from = {.node = a->key, .relayed = sess_relayed_label(&a->ep, NULL)};

	if (!from.relayed)
		from.ep = a->ep;
	/* What is wrong with it is counted inside. */
	(void)path_recv(d->paths->core, &from, a->buf + 1, a->len - 1, loop_now());
}

static void side_apply(struct daemon *d, const struct peer *p, const struct node *n, uint8_t via)
{
	uint64_t on = p->side_ports & ~(n ? n->side_off : 0);

	dp_peer_side_port(d->dp, p->handle, via, on >> (via - 1) & 1);
}

void paths_side_port(struct daemon *d, struct peer *p, uint8_t via, bool on)
{
	path_side_port(d->paths->core, &p->key, via, on, loop_now());
	side_apply(d, p, paths_find(d->paths, &p->key), via);
}

void paths_dial_failed(struct daemon *d, const struct node_key *key, const struct ep *ep)
{
	struct node *n = paths_find(d->paths, key);

	if (!n || !n->dialling || !ep_eq(&n->dial_ep, ep))
		return;
	n->dialling = false;
	path_connect_failed(d->paths->core, key, loop_now());
}

void paths_want(struct daemon *d, const struct node_key *key, const struct ep *eps, size_t n)
{
	struct node *x = node_need(d, key);

	if (!x || sess_peer_find(d->sess, key))
		return;
	for (size_t i = 0; i < n; i++)
		(void)path_endpoint_add(d->paths->core, key, &eps[i], false, loop_now());
	if (path_want(d->paths->core, key, loop_now()) != 0)
		return;
	x->wanted = true;
	x->want_until = ts_add(loop_now(), WANT_KEEP);
}

void paths_node(struct daemon *d, const struct node_key *key)
{
	(void)node_need(d, key);
	paths_hasten(d, key);
}

void paths_hasten(struct daemon *d, const struct node_key *key)
{
	path_hasten(d->paths->core, key, loop_now());
}

void paths_ask(struct daemon *d, const struct node_key *key)
{
	const ts_t now = loop_now();

	(void)path_traffic(d->paths->core, key, 0, now, TS_ZERO, now);
}

/* --- the data plane --- */

bool paths_forged(const struct ep *from)
{
	return sess_relayed_label(from, NULL);
}

void paths_relayed(struct daemon *d, const struct dp_way *back, uint8_t *buf, size_t len)
{
	const uint64_t label = back->label[back->n - 1];
	const struct ep from = sess_relayed_ep(label);
	const struct ip local = {.family = IP_NONE};
	const struct peer *first = peers_at(d, back->first);
	struct path_route route;

	if (first) {
		path_route_from(&route, &first->key, back->n, back->label);
		/* Without memory for it answers find no way, and the handshake is repeated. */
		(void)path_backs_put(d->paths->backs, label, &route, loop_now());
	}
	(void)sess_recv(d->sess, &from, &local, buf, len, loop_now());
}

static void on_link(void *ctx, const struct dp_link *l)
{
	struct daemon *d = ctx;
	const struct peer *p = peers_at(d, l->peer);
	ts_t now = loop_now();

	if (p && p->up)
		(void)path_traffic(d->paths->core, &p->key, l->via == DP_VIA_RELAY ? 0 : l->via,
			ts_min(l->last_tx, now), ts_min(l->any_rx, now), now);
}

static void on_links(void *ctx)
{
	struct daemon *d = ctx;

	d->paths->watching = dp_links(d->dp, on_link, d) > 0;
	if (d->paths->watching)
		loop_timer_set(d->paths->links, ts_add(loop_now(), LINKS_PERIOD));
	mesh_drain(d);
}

void paths_link_active(struct daemon *d)
{
	if (d->paths->watching)
		return;
	d->paths->watching = true;
	loop_timer_set(d->paths->links, ts_add(loop_now(), LINKS_PERIOD));
}

/* --- actions --- */

static uint8_t family_of_way(
	const struct daemon *d, const struct path_route *r, const struct ep *ep)
{
	const struct peer *first = r->n ? peers_find(d, &r->first) : NULL;

	return first ? first->ep.ip.family : ep->ip.family;
}

static size_t outer_headers(uint8_t family, unsigned relays)
{
	return WIRE_UDP_HDR + (family == IP_V4 ? WIRE_IPV4_HDR : WIRE_IPV6_HDR) +
	       (relays ? WIRE_RELAY_OVERHEAD(relays) : 0);
}

/* Where a direct message to @p goes: @ep, or where its session is. */
static struct ep direct_ep(
	struct daemon *d, const struct peer *p, const struct ep *ep, struct ip *local)
{
	struct sess_peer_info info;
	struct ep to = ep->ip.family != IP_NONE ? *ep : p->ep;

	*local = (struct ip){.family = IP_NONE};
	if (sess_peer_get(d->sess, p->sess, &info, loop_now()) == 0 && ep_eq(&info.ep, &to))
		*local = info.local;
	return to;
}

static int send_sealed(struct daemon *d, const struct path_act *a, const struct peer *p,
	const struct ep *to, const struct ip *local, size_t len)
{
	const uint8_t *buf = d->paths->tx;
	struct dp_way way;

	if (a->route.n == 0)
		return a->pad_to ? dp_send_probe(d->dp, to, local, a->via, buf, len)
				 : dp_send(d->dp, to, local, a->via, buf, len);
	if (!way_of(d, &a->route, dp_label(&p->key), &way))
		return ERR_NOT_FOUND;
	return dp_send_way(d->dp, &way, buf, len, a->pad_to > 0);
}

static void on_send(struct daemon *d, const struct path_act *a)
{
	const struct peer *p = peers_find(d, &a->node);
	struct sess_msg m = {
		.type = WIRE_CTL_PATH, .side = a->via > 0, .body = a->buf, .len = a->len};
	struct ip local;
	struct ep to;
	size_t headers;
	int len, e;

	if (!p || !p->sess)
		return;
	to = direct_ep(d, p, &a->ep, &local);
	headers = outer_headers(family_of_way(d, &a->route, &to), a->route.n);
	if (a->pad_to) {
		if (a->pad_to < headers + WIRE_DATA_OVERHEAD + 1 + a->len)
			return;
		m.size = a->pad_to - headers;
	}
	m.peer = p->sess;
	len = sess_seal(d->sess, &m, d->paths->tx, sizeof(d->paths->tx), loop_now());
	e = len < 0 ? len : send_sealed(d, a, p, &to, &local, (size_t)len);
	if (a->pad_to && (e == -EMSGSIZE || e == ERR_RANGE))
		path_refused(d->paths->core, &a->node, a->pad_to, loop_now());
}

static void use_direct(struct daemon *d, struct peer *p, const struct path_act *a)
{
	const struct ip none = {.family = IP_NONE};
	const struct ep ep = a->ep.ip.family != IP_NONE ? a->ep : p->ep;

	if (ep.ip.family == IP_NONE)
		return;
	(void)sess_move(d->sess, p->sess, &ep, loop_now());
	if (p->relays || !ep_eq(&p->ep, &ep)) {
		(void)dp_peer_endpoint(d->dp, p->handle, &ep, &none);
		underlay_used(d, &ep);
	}
	p->relays = 0;
	p->ep = ep;
}

static void on_use(struct daemon *d, const struct path_act *a)
{
	struct peer *p = peers_find(d, &a->node);
	const uint64_t label = dp_label(&a->node);
	const struct ep pseudo = sess_relayed_ep(label);
	struct dp_way way;

	if (!p || !p->up)
		return;
	if (a->route.n == 0) {
		use_direct(d, p, a);
		return;
	}
	if (!way_of(d, &a->route, label, &way) || dp_peer_route(d->dp, p->handle, &way) != 0)
		return; /* its own probes will find it dead */
	(void)sess_move(d->sess, p->sess, &pseudo, loop_now());
	p->relays = a->route.n;
}

static void on_side_port(struct daemon *d, const struct path_act *a)
{
	const uint64_t bit = UINT64_C(1) << ((a->via - 1) & 63);
	const struct peer *p = peers_find(d, &a->node);
	struct node *n = paths_find(d->paths, &a->node);

	if (!p || !n)
		return;
	n->side_off = a->on ? n->side_off & ~bit : n->side_off | bit;
	side_apply(d, p, n, a->via);
}

static void on_mtu(struct daemon *d, const struct path_act *a)
{
	struct peer *p = peers_find(d, &a->node);
	uint8_t family;
	size_t around;

	if (!p)
		return;
	family = family_of_way(d, &a->route, &p->ep);
	around = outer_headers(family, a->route.n) + WIRE_DATA_OVERHEAD;
	p->outer_mtu = a->mtu;
	p->inner_mtu = a->mtu > around ? (unsigned)(a->mtu - around) : 0;
	p->halves = a->halves;
	dp_peer_pmtu(d->dp, p->handle, a->mtu);
	rtab_peer_mtu(d, p);
}

static void on_connect(struct daemon *d, const struct path_act *a)
{
	struct node *n = paths_find(d->paths, &a->node);
	ts_t now = loop_now();

	if (!n)
		return;
	n->dialling = true;
	n->dial_route = a->route;
	n->dial_ep = a->route.n ? sess_relayed_ep(dp_label(&a->node)) : a->ep;
	if (sess_redial(d->sess, &n->dial_ep, &a->node, ts_add(now, DIAL_KEEP), now) == 0)
		return;
	n->dialling = false;
	path_connect_failed(d->paths->core, &a->node, now);
}

static void on_open(struct daemon *d, const struct path_act *a)
{
	const struct ip none = {.family = IP_NONE};

	(void)dp_send(d->dp, &a->ep, &none, 0, "", 0);
}

static void on_unreachable(struct daemon *d, const struct path_act *a)
{
	static struct log_limit limit;
	char name[NODE_NAME_MAX + 1];

	d->paths->unreachable++;
	log_limited(&limit, loop_now().ns, LOG_LVL_INFO, "paths",
		"no way to %s yet: neither directly nor through another node",
		status_node_name(d, &a->node, name));
}

static void on_relay_bad(struct daemon *d, const struct path_act *a)
{
	static struct log_limit limit;
	char name[NODE_NAME_MAX + 1], relay[NODE_NAME_MAX + 1];

	log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "paths",
		"%s as relay to %s carried nothing, or later than it had said: not asked for a "
		"while. If that goes on, see what drops packets there, or give it relay: no",
		status_node_name(d, &a->route.first, relay), status_node_name(d, &a->node, name));
}

static void on_state(struct daemon *d, const struct path_act *a)
{
	static struct log_limit limit;
	char name[NODE_NAME_MAX + 1], way[PATHS_TEXT];

	if (a->state < PATH_ST_DIRECT)
		return;
	link_svc_way_changed(d);
	log_limited(&limit, loop_now().ns, LOG_LVL_INFO, "paths", "%s: %s",
		status_node_name(d, &a->node, name), paths_text(d, &a->node, way, sizeof(way)));
}

static void on_doubt(struct daemon *d, const struct path_act *a)
{
	(void)a;
	link_svc_way_changed(d);
}

static void (*const handlers[])(struct daemon *d, const struct path_act *a) = {
	[PATH_SEND] = on_send,
	[PATH_USE] = on_use,
	[PATH_SIDE_PORT] = on_side_port,
	[PATH_MTU] = on_mtu,
	[PATH_CONNECT] = on_connect,
	[PATH_OPEN] = on_open,
	[PATH_UNREACHABLE] = on_unreachable,
	[PATH_RELAY_BAD] = on_relay_bad,
	[PATH_STATE] = on_state,
	[PATH_DOUBT] = on_doubt,
};

bool paths_drain(struct daemon *d)
{
	struct path_act a;
	bool any = false;

	while (path_next(d->paths->core, &a)) {
		any = true;
		handlers[a.type](d, &a);
	}
	return any;
}

void paths_tick(struct daemon *d, ts_t now)
{
	path_tick(d->paths->core, now);
}

ts_t paths_deadline(const struct daemon *d)
{
	return path_deadline(d->paths->core);
}

/* --- now and then --- */

/* What gossip forgot goes, unless it is dialled, or linked. */
static void forget_gone(struct daemon *d)
{
	struct paths *x = d->paths;
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(x->nodes, &it, &key, &value)) {
		struct node *n = value;

		if (n->seen == x->round || n->wanted || sess_peer_find(d->sess, &n->key))
			continue;
		path_node_del(x->core, &n->key, loop_now());
		(void)map_del(x->nodes, key);
		free(n);
	}
}

/* An address of ours is gone: what left from it leaves by the kernel's choice, without a silence first. */
static void refresh_locals(struct daemon *d)
{
	struct paths *x = d->paths;
	struct ip ips[LOCALS_MAX] = {{.family = IP_NONE}};
	int n = kern_host_addrs(d->kern, ips, LOCALS_MAX);
	struct sess_peer_info p;
	uint32_t it = 0;

	if (n < 0 || n == LOCALS_MAX ||
		(n == x->nlocals && memcmp(ips, x->locals, (size_t)n * sizeof(*ips)) == 0))
		return;
	memcpy(x->locals, ips, sizeof(ips));
	x->nlocals = n;
	while (sess_peer_next(d->sess, &it, &p, loop_now())) {
		bool ours = p.local.family == IP_NONE;

		for (int i = 0; i < n; i++)
			ours |= ip_eq(&ips[i], &p.local);
		if (!ours)
			sess_local_gone(d->sess, p.peer, loop_now());
	}
}

void paths_refresh(struct daemon *d)
{
	struct paths *x = d->paths;
	struct gossip_node_info n;
	size_t it = 0;

	x->round++;
	while (gossip_node_next(d->gossip, &it, &n)) {
		struct node *e;

		if (n.self) {
			path_local(x->core, n.eps, n.neps, loop_now());
			continue;
		}
		e = node_need(d, &n.key);
		if (e)
			e->seen = x->round;
	}
	forget_gone(d);
	refresh_locals(d);
}

static void look_at_session(struct daemon *d, const struct sess_peer_info *p)
{
	struct paths *x = d->paths;
	struct node *n = paths_find(x, &p->key);

	if (!n || !p->up)
		return;
	if (p->rtt.ns >= 0 && p->rtt.ns != n->rtt.ns) {
		n->rtt = p->rtt;
		path_rtt(x->core, &p->key, p->rtt, loop_now());
	}
	if (p->observed.ip.family != IP_NONE && !sess_relayed_label(&p->observed, NULL) &&
		!ep_eq(&p->observed, &n->observed)) {
		n->observed = p->observed;
		path_observed(x->core, &p->key, &p->observed, loop_now());
	}
}

void paths_second(struct daemon *d)
{
	struct paths *x = d->paths;
	struct sess_peer_info p;
	const void *key;
	void *value;
	uint32_t it = 0;
	size_t i = 0;

	while (sess_peer_next(d->sess, &it, &p, loop_now()))
		look_at_session(d, &p);
	while (map_next(x->nodes, &i, &key, &value)) {
		struct node *n = value;

		if (!n->wanted || !ts_due(n->want_until, loop_now()))
			continue;
		n->wanted = false;
		path_unwant(x->core, &n->key, loop_now());
	}
}

/* --- life --- */

static int make_core(struct daemon *d, struct paths *x)
{
	struct path_cfg cfg = {
		.self = d->id.pub,
		.relay = d->conf->relay,
		.has_v4 = true,
		.has_v6 = dp_has_ipv6(d->dp),
		.side_ports = d->conf->side_port_lo ? (uint8_t)d->workers : 0,
		.mtu = d->underlay.mtu,
		.seed = prng_next(&d->prng),
	};

	path_tune_default(&cfg.tune);
	x->core = path_new(&cfg, loop_now());
	return x->core ? 0 : ERR_NOMEM;
}

int paths_new(struct daemon *d, struct paths **out)
{
	struct paths *x = calloc(1, sizeof(*x));
	uint8_t seed[2][16];
	int e = ERR_NOMEM;

	if (!x)
		return e;
	for (int i = 0; i < 32; i++)
		seed[i / 16][i % 16] = (uint8_t)prng_next(&d->prng);
	x->nodes = map_new(sizeof(uint64_t), LIM_NODES, seed[0]);
	x->backs = path_backs_new(seed[1]);
	x->links = loop_timer_new(d->loop, on_links, d);
	if (x->nodes && x->backs && x->links)
		e = make_core(d, x);
	if (e) {
		paths_free(x);
		return e;
	}
	*out = x;
	return 0;
}

void paths_free(struct paths *x)
{
	const void *key;
	void *value;
	size_t it = 0;

	if (!x)
		return;
	while (x->nodes && map_next(x->nodes, &it, &key, &value))
		free(value);
	map_free(x->nodes);
	path_backs_free(x->backs);
	loop_timer_free(x->links);
	path_free(x->core);
	free(x);
}
