/* rtab.c - prefixes learned from the mesh, on their way to the FIB and the kernel.
 *
 * In: GOSSIP_ROUTE_ADD/DEL (the owner lives), path-MTU changes. Out: dp_route_*, kern_route_*. A route
 * stands whether there is a session with the owner or not (peers.h).
 * A prefix is used only inside a range of its segment, or inside --accept; one that overlaps an own
 * prefix isn't. What is refused stays in the table with the reason, for `weft status routes`
 * (promise 4.3), and is harmless: neither FIB nor kernel hear of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "daemon_int.h"
#include "link_svc.h"
#include "map.h"

/* Prefixes of other clusters stand under no node: the gateway to them changes. */
static const struct node_key no_node;

#define KEY_BYTES 54 /* vni, family, address, length, node: packed, no padding in the hash */

struct rtab {
	struct map *map; /* packed key to struct rtab_entry, owned */
	size_t used, refused;
	size_t exits;                         /* that nodes declared and that are in use */
	struct pfx linked[LIM_LINKED_RANGES]; /* other clusters' ranges */
	size_t nlinked;
};

static void pack(
	const struct node_key *node, uint32_t vni, const struct pfx *p, uint8_t out[KEY_BYTES])
{
	memcpy(out, &vni, 4);
	out[4] = p->ip.family;
	memcpy(out + 5, p->ip.b, 16);
	out[21] = p->len;
	memcpy(out + 22, node->b, 32);
}

int rtab_new(struct daemon *d, struct rtab **out)
{
	uint8_t seed[16];
	struct rtab *t = calloc(1, sizeof(*t));

	for (int i = 0; i < 16; i++)
		seed[i] = (uint8_t)prng_next(&d->prng);
	if (!t)
		return ERR_NOMEM;
	t->map = map_new(KEY_BYTES, LIM_NODES * 16, seed);
	if (!t->map) {
		free(t);
		return ERR_NOMEM;
	}
	*out = t;
	return 0;
}

void rtab_free(struct rtab *t)
{
	const void *key;
	void *value;
	size_t it = 0;

	if (!t)
		return;
	while (map_next(t->map, &it, &key, &value))
		free(value);
	map_free(t->map);
	free(t);
}

/* Why @p of another node isn't used, "" if it may be. */
static void judge(struct daemon *d, const struct gossip_prefix *p, char *why, size_t len)
{
	const struct segment *s = segment_find(d, p->vni);
	char text[PFX_STRLEN];

	why[0] = '\0';
	if (!s || p->vni == VNI_CONTROL) {
		snprintf(why, len, "segment %u isn't configured on this node", p->vni);
		return;
	}
	for (size_t i = 0; i < s->nprefixes; i++)
		if (pfx_contains(&s->prefixes[i].pfx, &p->pfx)) {
			snprintf(why, len, "inside this node's own prefix %s",
				pfx_fmt(&s->prefixes[i].pfx, text));
			return;
		}
	for (size_t i = 0; p->vni == VNI_DEFAULT && i < d->conf->nexits; i++)
		if (pfx_eq(&d->conf->exits[i], &p->pfx)) {
			snprintf(why, len, "this node's own exit");
			return;
		}
	for (size_t i = 0; i < s->nranges; i++)
		if (pfx_contains(&s->ranges[i], &p->pfx))
			return;
	for (size_t i = 0; p->vni == VNI_DEFAULT && i < d->conf->naccept; i++)
		if (pfx_contains(&d->conf->accept[i], &p->pfx))
			return;
	snprintf(why, len, "outside the ranges; allow it with --accept %s", pfx_fmt(&p->pfx, text));
}

/* Out of the FIB. A prefix that is as large as a range had taken the place of the range's own entry,
 * which says that nobody owns its addresses: without it an exit would take them. */
static void uninstall_fib(struct daemon *d, uint32_t vni, const struct pfx *p)
{
	const struct segment *s = segment_find(d, vni);

	for (size_t i = 0; s && i < s->nranges; i++)
		if (pfx_eq(&s->ranges[i], p)) {
			(void)dp_route_set(d->dp, vni, p, DP_ROUTE_DROP, 0);
			return;
		}
	(void)dp_route_del(d->dp, vni, p);
}

/* The MTU that the kernel route needs: 0 where the device's own will do. */
static unsigned route_mtu(struct daemon *d, const struct peer *p, uint32_t vni, uint8_t family)
{
	const struct segment *s = segment_find(d, vni);
	unsigned inner = p->inner_mtu;

	/* Smaller ones travel in two (DESIGN 5.14); the kernel allows no such route. */
	if (family == IP_V6 && inner && inner < WIRE_HALF_MAX)
		inner = WIRE_HALF_MAX;

	return s && inner && inner < s->mtu ? inner : 0;
}

/* Another cluster uses what it was told of: not what a node of ours declares to be an exit. */
static int to_fib(struct daemon *d, const struct rtab_entry *e, uint32_t peer)
{
	if (e->link)
		return dp_route_cross(d->dp, e->vni, &e->pfx, DP_ROUTE_LINK, peer, e->from, e->to);
	return dp_route_cross(
		d->dp, e->vni, &e->pfx, DP_ROUTE_PEER, peer, 0, e->exit ? 0 : DP_LINKS_OWN);
}

static int install(struct daemon *d, struct rtab_entry *e, struct peer *p)
{
	const struct segment *s = segment_find(d, e->vni);
	struct ip none = {.family = IP_NONE};
	const struct ip *src = s ? &s->mesh_addrs[e->pfx.ip.family == IP_V6] : &none;
	int err = to_fib(d, e, p->handle);

	if (err)
		return err;
	if (e->pfx.ip.family == IP_V4 || d->has_ipv6) {
		e->mtu = route_mtu(d, p, e->vni, e->pfx.ip.family);
		d->kern_dirty = true;
		err = kern_route_add(d->kern, e->vni, &e->pfx, e->mtu, src);
	}
	if (err) {
		uninstall_fib(d, e->vni, &e->pfx);
		return err;
	}
	e->peer = p->handle;
	p->routes++;
	d->rtab->exits += e->exit && !e->link;
	return 0;
}

bool rtab_exit_declared(const struct daemon *d, uint32_t vni, const struct pfx *p)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (d->rtab && d->rtab->exits && map_next(d->rtab->map, &it, &key, &value)) {
		const struct rtab_entry *e = value;

		if (e->exit && !e->link && e->peer && e->vni == vni && pfx_eq(&e->pfx, p))
			return true;
	}
	return false;
}

static struct rtab_entry *link_find(struct daemon *d, uint32_t vni, const struct pfx *p)
{
	uint8_t key[KEY_BYTES];

	pack(&no_node, vni, p, key);
	return map_get(d->rtab->map, key);
}

static void link_close(struct daemon *d, struct rtab_entry *e);

#define RETRY_MAX 64

/* Exits that gateways told and that were refused for @p: something that stood there is gone. */
static void retry_exits(struct daemon *d, const struct pfx *p)
{
	struct pfx again[RETRY_MAX];
	const void *key;
	void *value;
	size_t it = 0, n = 0;

	while (n < RETRY_MAX && map_next(d->rtab->map, &it, &key, &value)) {
		const struct rtab_entry *e = value;

		if (e->link && e->exit && !e->peer && pfx_contains(p, &e->pfx))
			again[n++] = e->pfx;
	}
	for (size_t i = 0; i < n; i++)
		lbgp_tell(d->link->lbgp, &again[i]);
}

/* A node declares the exit @e: no gateway's word for the same prefix stands beside that. */
static void displace(struct daemon *d, const struct rtab_entry *e)
{
	struct rtab_entry *old = e->exit ? link_find(d, e->vni, &e->pfx) : NULL;

	if (!old || !old->exit)
		return;
	link_close(d, old);
	snprintf(old->refused, sizeof(old->refused), "a node declares that exit itself");
}

/* Put @e to use, or say in it why not. */
static void use(struct daemon *d, struct rtab_entry *e, const struct gossip_prefix *gp)
{
	struct peer *p;
	int err;

	judge(d, gp, e->refused, sizeof(e->refused));
	if (e->refused[0])
		return;
	displace(d, e);
	p = peers_need(d, &e->node);
	err = p ? install(d, e, p) : ERR_NOMEM;
	if (!err)
		return;
	snprintf(e->refused, sizeof(e->refused), "not installed: %s", err_str(err));
	if (p)
		peers_settle(d, p);
}

void rtab_add(struct daemon *d, const struct node_key *node, const struct gossip_prefix *p)
{
	uint8_t key[KEY_BYTES];
	static struct log_limit used, refused;
	char text[PFX_STRLEN], name[NODE_KEY_SHORT + 1];
	struct rtab_entry *e;

	pack(node, p->vni, &p->pfx, key);
	if (map_get(d->rtab->map, key))
		return;
	e = calloc(1, sizeof(*e));
	if (!e || map_put(d->rtab->map, key, e) != 0) {
		free(e);
		daemon_warn(d, "no room for prefix %s", pfx_fmt(&p->pfx, text));
		return;
	}
	e->vni = p->vni;
	e->pfx = p->pfx;
	e->node = *node;
	e->exit = p->exit;
	use(d, e, p);
	if (e->peer) {
		d->rtab->used++;
		log_limited(&used, loop_now().ns, LOG_LVL_INFO, "routes", "%s is at %s",
			pfx_fmt(&e->pfx, text), node_key_fmt_short(node, name));
	} else {
		d->rtab->refused++;
		log_limited(&refused, loop_now().ns, LOG_LVL_WARN, "routes",
			"prefix %s of %s is refused: %s", pfx_fmt(&e->pfx, text),
			node_key_fmt_short(node, name), e->refused);
	}
}

void rtab_del(struct daemon *d, const struct node_key *node, const struct gossip_prefix *p)
{
	uint8_t key[KEY_BYTES];
	static struct log_limit limit;
	char text[PFX_STRLEN];
	struct rtab_entry *e;
	struct peer *owner;

	pack(node, p->vni, &p->pfx, key);
	e = map_del(d->rtab->map, key);
	if (!e)
		return;
	if (e->peer) {
		uninstall_fib(d, e->vni, &e->pfx);
		d->kern_dirty = true;
		(void)kern_route_del(d->kern, e->vni, &e->pfx);
		d->rtab->used--;
		d->rtab->exits -= e->exit;
		owner = peers_at(d, e->peer);
		owner->routes--;
		peers_settle(d, owner);
		log_limited(&limit, loop_now().ns, LOG_LVL_INFO, "routes", "%s is withdrawn",
			pfx_fmt(&e->pfx, text));
	} else {
		d->rtab->refused--;
	}
	if (e->exit && e->peer && d->link) {
		link_exit_freed(d, &e->pfx);
		retry_exits(d, &e->pfx);
	}
	free(e);
}

/* Why what a neighbour of a gateway of ours told can't be used, "" if it may be. Wider than a range of a cluster, or
 * than the underlay, it may be: those have entries and rules of their own. */
static void judge_exit(struct daemon *d, uint32_t vni, const struct pfx *p, char *why, size_t len)
{
	const struct segment *s = segment_find(d, vni);
	char text[PFX_STRLEN];

	why[0] = '\0';
	if (!s || vni == VNI_CONTROL)
		snprintf(why, len, "segment %u isn't configured on this node", vni);
	for (size_t i = 0; s && i < s->nranges && !why[0]; i++)
		if (pfx_contains(&s->ranges[i], p))
			snprintf(why, len, "inside this cluster's range %s",
				pfx_fmt(&s->ranges[i], text));
	for (size_t i = 0; i < d->rtab->nlinked && !why[0]; i++)
		if (pfx_contains(&d->rtab->linked[i], p))
			snprintf(why, len, "inside a linked cluster's range %s",
				pfx_fmt(&d->rtab->linked[i], text));
	for (size_t i = 0; i < d->conf->nexits && !why[0]; i++)
		if (pfx_eq(&d->conf->exits[i], p))
			snprintf(why, len, "this node's own exit");
	if (!why[0] && rtab_exit_declared(d, vni, p))
		snprintf(why, len, "a node declares that exit itself");
	for (size_t i = 0; i < d->conf->naccept; i++)
		if (pfx_contains(&d->conf->accept[i], p))
			return;
	if (!why[0])
		snprintf(why, len, "outside the ranges; allow it with --accept %s",
			pfx_fmt(p, text));
}

/* Why the other cluster's @p can't be used, "" if it may be. */
static void judge_link(struct daemon *d, uint32_t vni, const struct pfx *p, char *why, size_t len)
{
	const struct segment *s = segment_find(d, vni);
	char text[PFX_STRLEN], hit[IP_STRLEN];

	why[0] = '\0';
	if (!s || vni == VNI_CONTROL)
		snprintf(why, len, "segment %u isn't configured on this node", vni);
	for (size_t i = 0; s && i < s->nranges; i++)
		if (pfx_overlaps(&s->ranges[i], p))
			snprintf(why, len, "overlaps this cluster's range %s",
				pfx_fmt(&s->ranges[i], text));
	/* Whoever says it, it may not swallow what carries the mesh (promise 4.3). */
	if (!why[0] && link_bgp_underlay(d, p, hit))
		snprintf(why, len, "holds %s of the underlay", hit);
}

/* What of @p's inside was taken as an exit gives way to the cluster that has it. */
static void take_range(struct daemon *d, const struct pfx *p)
{
	const void *key;
	void *value;
	size_t it = 0;

	if (d->rtab->nlinked < LIM_LINKED_RANGES)
		d->rtab->linked[d->rtab->nlinked++] = *p;
	while (map_next(d->rtab->map, &it, &key, &value)) {
		struct rtab_entry *e = value;
		char text[PFX_STRLEN];

		if (!e->link || !e->exit || !pfx_contains(p, &e->pfx))
			continue;
		link_close(d, e);
		snprintf(e->refused, sizeof(e->refused), "inside a linked cluster's range %s",
			pfx_fmt(p, text));
	}
}

static void leave_range(struct daemon *d, const struct pfx *p)
{
	for (size_t i = 0; i < d->rtab->nlinked; i++)
		if (pfx_eq(&d->rtab->linked[i], p)) {
			d->rtab->linked[i] = d->rtab->linked[--d->rtab->nlinked];
			break;
		}
	retry_exits(d, p);
}

static struct rtab_entry *link_new(
	struct daemon *d, uint32_t vni, const struct pfx *p, bool outside, bool exit)
{
	uint8_t key[KEY_BYTES];
	struct rtab_entry *e = calloc(1, sizeof(*e));
	char text[PFX_STRLEN];

	pack(&no_node, vni, p, key);
	if (!e || map_put(d->rtab->map, key, e) != 0) {
		free(e);
		daemon_warn(d, "no room for prefix %s", pfx_fmt(p, text));
		return NULL;
	}
	e->vni = vni;
	e->pfx = *p;
	e->link = true;
	e->outside = outside;
	e->exit = exit;
	d->rtab->refused++;
	if (!outside)
		take_range(d, p);
	return e;
}

/* What holds the place of a range that nobody leads to: its packets are unreachable, or go into the mesh
 * and no further, and in particular not out in clear. */
static void link_floor(struct daemon *d, struct rtab_entry *e)
{
	char text[PFX_STRLEN];
	int err;

	snprintf(e->refused, sizeof(e->refused), "no gateway leads there at present");
	(void)dp_route_set(d->dp, e->vni, &e->pfx, DP_ROUTE_DROP, 0);
	if (e->pfx.ip.family == IP_V6 && !d->has_ipv6)
		return;
	err = kern_linked_add(d->kern, e->vni, &e->pfx);
	d->kern_dirty = true;
	link_svc_ranges_changed(d);
	if (err)
		daemon_warn(d, "linked range %s is not kept unreachable without a gateway: %s",
			pfx_fmt(&e->pfx, text),
			err == ERR_FULL ? "there are too many" : err_str(err));
}

/* It leads nowhere any more. A range keeps its place, and so does the kernel's route into the mesh. */
static void link_close(struct daemon *d, struct rtab_entry *e)
{
	struct peer *old = e->peer ? peers_at(d, e->peer) : NULL;

	if (!old)
		return;
	if (e->outside) {
		uninstall_fib(d, e->vni, &e->pfx);
		d->kern_dirty = true;
		(void)kern_route_del(d->kern, e->vni, &e->pfx);
	} else {
		(void)dp_route_set(d->dp, e->vni, &e->pfx, DP_ROUTE_DROP, 0);
	}
	e->peer = 0;
	old->routes--;
	peers_settle(d, old);
	d->rtab->used--;
	d->rtab->refused++;
	snprintf(e->refused, sizeof(e->refused), "no gateway leads there at present");
}

static void link_drop(struct daemon *d, struct rtab_entry *e)
{
	uint8_t key[KEY_BYTES];

	link_close(d, e);
	if (!e->outside) {
		uninstall_fib(d, e->vni, &e->pfx);
		d->kern_dirty = true;
		(void)kern_route_del(d->kern, e->vni, &e->pfx);
		(void)kern_linked_del(d->kern, e->vni, &e->pfx);
		link_svc_ranges_changed(d);
	}
	pack(&no_node, e->vni, &e->pfx, key);
	(void)map_del(d->rtab->map, key);
	d->rtab->refused--;
	if (!e->outside)
		leave_range(d, &e->pfx);
	free(e);
}

void rtab_link_range(struct daemon *d, uint32_t vni, const struct pfx *p)
{
	char why[160];
	struct rtab_entry *e;

	judge_link(d, vni, p, why, sizeof(why));
	if (why[0] || link_find(d, vni, p))
		return;
	e = link_new(d, vni, p, false, false);
	if (e)
		link_floor(d, e);
}

int rtab_link_forget(struct daemon *d, uint32_t vni, const struct pfx *p)
{
	struct rtab_entry *e = link_find(d, vni, p);

	if (!e)
		return ERR_NOT_FOUND;
	if (e->peer)
		return ERR_BUSY;
	link_drop(d, e);
	return 0;
}

bool rtab_link_leads(struct daemon *d, uint32_t vni, const struct pfx *p)
{
	const struct rtab_entry *e = link_find(d, vni, p);

	return e && e->peer;
}

/* Another gateway than before, or the first. */
static void link_move(struct daemon *d, struct rtab_entry *e, const struct node_key *gateway)
{
	char text[PFX_STRLEN], name[NODE_KEY_SHORT + 1];
	struct peer *to = peers_need(d, gateway), *old;
	int err;

	if (!to)
		return;
	if (e->peer == to->handle) {
		(void)to_fib(d, e, e->peer);
		return;
	}
	old = e->peer ? peers_at(d, e->peer) : NULL;
	err = install(d, e, to); /* in place of the old one: there is no gap */
	if (err) {
		link_close(d, e);
		snprintf(e->refused, sizeof(e->refused), "not installed: %s", err_str(err));
		peers_settle(d, to);
		return;
	}
	e->node = *gateway;
	if (old) {
		old->routes--;
		peers_settle(d, old);
	} else {
		d->rtab->used++;
		d->rtab->refused--;
	}
	log_info("routes", "%s is behind gateway %s", pfx_fmt(&e->pfx, text),
		node_key_fmt_short(gateway, name));
}

void rtab_link_set(struct daemon *d, uint32_t vni, const struct rtab_link *r)
{
	struct rtab_entry *e = link_find(d, vni, &r->pfx);
	bool fresh = !e;

	if (!e && !r->gateway)
		return;
	if (e && r->gateway && (e->outside != r->outside || e->exit != r->exit)) {
		link_drop(d, e);
		e = NULL;
	}
	if (!e)
		e = link_new(d, vni, &r->pfx, r->outside, r->exit);
	if (!e)
		return;
	e->from = r->from;
	e->to = r->to;
	(r->exit ? judge_exit : judge_link)(d, vni, &r->pfx, e->refused, sizeof(e->refused));
	if (r->gateway && !e->refused[0]) {
		if (fresh && !e->outside) {
			link_floor(d, e);
			e->refused[0] = '\0';
		}
		link_move(d, e, r->gateway);
	} else if (!r->gateway && e->outside) {
		link_drop(d, e);
	} else {
		char why[sizeof(e->refused)];

		memcpy(why, e->refused, sizeof(why)); /* closing it has another reason to tell */
		link_close(d, e);
		if (why[0])
			memcpy(e->refused, why, sizeof(why));
		else
			snprintf(e->refused, sizeof(e->refused),
				"no gateway leads there at present");
		if (r->gateway)
			e->node = *r->gateway; /* who said it */
	}
}

static void control_prefix(struct daemon *d, const struct peer *p, struct pfx *out)
{
	struct ip addr;

	key_control_addr(p->foreign ? &p->cluster : &d->cluster, &p->key, &addr);
	(void)pfx_make(&addr, 128, out);
}

static void control_add(struct daemon *d, struct peer *p)
{
	struct pfx host;

	control_prefix(d, p, &host);
	if (dp_route_set(d->dp, VNI_CONTROL, &host, DP_ROUTE_PEER, p->handle) != 0)
		return;
	p->control = true;
	d->kern_dirty = true;
	(void)kern_route_add(
		d->kern, VNI_CONTROL, &host, route_mtu(d, p, VNI_CONTROL, IP_V6), &d->control_addr);
}

static void control_del(struct daemon *d, struct peer *p)
{
	struct pfx host;

	control_prefix(d, p, &host);
	p->control = false;
	d->kern_dirty = true;
	(void)dp_route_del(d->dp, VNI_CONTROL, &host);
	(void)kern_route_del(d->kern, VNI_CONTROL, &host);
}

static void entry_mtu(struct daemon *d, struct rtab_entry *e, const struct peer *p)
{
	const struct segment *s = segment_find(d, e->vni);
	unsigned mtu;

	if (!s)
		return;
	mtu = route_mtu(d, p, e->vni, e->pfx.ip.family);
	if (mtu == e->mtu)
		return;
	e->mtu = mtu;
	d->kern_dirty = true;
	(void)kern_route_add(
		d->kern, e->vni, &e->pfx, mtu, &s->mesh_addrs[e->pfx.ip.family == IP_V6]);
}

void rtab_peer_mtu(struct daemon *d, struct peer *p)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(d->rtab->map, &it, &key, &value)) {
		struct rtab_entry *e = value;

		if (e->peer == p->handle)
			entry_mtu(d, e, p);
	}
	if (p->control)
		control_add(d, p);
}

void rtab_mtu(struct daemon *d)
{
	const void *key;
	void *value;
	struct peer *p;
	uint32_t handle = 0;
	size_t it = 0;

	while (map_next(d->rtab->map, &it, &key, &value)) {
		struct rtab_entry *e = value;

		p = e->peer ? peers_at(d, e->peer) : NULL;
		if (p)
			entry_mtu(d, e, p);
	}
	while (peers_next(d, &handle, &p))
		if (p->control)
			control_add(d, p);
}

void rtab_control(struct daemon *d, const struct node_key *node, bool up)
{
	struct peer *p = up && d->has_ipv6 ? peers_need(d, node) : peers_find(d, node);

	if (!p || !d->has_ipv6)
		return;
	if (up)
		control_add(d, p);
	else if (p->control)
		control_del(d, p);
	peers_settle(d, p);
}

void rtab_reinstall(struct daemon *d, uint32_t vni)
{
	const void *key;
	void *value;
	struct peer *p;
	uint32_t handle = 0;
	size_t it = 0;

	while (map_next(d->rtab->map, &it, &key, &value)) {
		const struct rtab_entry *e = value;

		if (e->vni == vni && e->peer)
			(void)to_fib(d, e, e->peer);
		else if (e->vni == vni && e->link)
			(void)dp_route_set(d->dp, vni, &e->pfx, DP_ROUTE_DROP, 0);
	}
	while (vni == VNI_CONTROL && peers_next(d, &handle, &p))
		if (p->control)
			control_add(d, p);
}

bool rtab_next(const struct rtab *t, size_t *it, const struct rtab_entry **out)
{
	const void *key;
	void *value;

	if (!map_next(t->map, it, &key, &value))
		return false;
	*out = value;
	return true;
}

void rtab_count(const struct rtab *t, size_t *used, size_t *refused)
{
	*used = t->used;
	*refused = t->refused;
}
