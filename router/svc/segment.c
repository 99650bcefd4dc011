/* segment.c - the address spaces of this node: devices with the MTU that underlay.c tells, ranges, own prefixes.
 *
 * Order at start (promise 4.1): the unreachable ranges stand before the device carries anything,
 * and before the data plane knows a peer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <net/if.h>
#include "weft/err.h"
#include "daemon_int.h"
#include "link_svc.h"
#include "own_svc.h"
#include "priv.h"

#define INNER_MTU_MIN 1280 /* of the device: an IPv6 link may not have less (RFC 8200 5) */

struct segment *segment_find(struct daemon *d, uint32_t vni)
{
	for (size_t i = 0; i < d->nsegments; i++)
		if (d->segments[i].vni == vni)
			return &d->segments[i];
	return NULL;
}

/* The mesh address: the first of the prefix, one per family (DESIGN 1). The network address of a prefix
 * that has more than one or two is not a host's. */
static void segment_addresses(struct segment *s)
{
	memset(s->mesh_addrs, 0, sizeof(s->mesh_addrs));
	for (size_t i = 0; i < s->nprefixes; i++) {
		const struct pfx *p = &s->prefixes[i].pfx;
		struct ip *slot = &s->mesh_addrs[p->ip.family == IP_V6];

		if (slot->family == IP_NONE)
			(void)pfx_nth(p, ip_bits(&p->ip) - p->len >= 2, slot);
	}
}

static int segment_init(struct segment *s, uint32_t vni, const char *tun, const struct pfx *ranges,
	size_t nranges, const struct conf_prefix *prefixes, size_t nprefixes)
{
	memset(s, 0, sizeof(*s));
	s->vni = vni;
	snprintf(s->tun, sizeof(s->tun), "%s", tun);
	s->ranges = calloc(nranges + 1, sizeof(*s->ranges));
	s->prefixes = calloc(nprefixes + 1, sizeof(*s->prefixes));
	if (!s->ranges || !s->prefixes)
		return ERR_NOMEM;
	if (nranges)
		memcpy(s->ranges, ranges, nranges * sizeof(*ranges));
	s->nranges = nranges;
	for (size_t i = 0; i < nprefixes; i++)
		if (!prefixes[i].claim) /* the others come when they are claimed (own.c) */
			s->prefixes[s->nprefixes++] = prefixes[i];
	segment_addresses(s);
	return 0;
}

int segments_build(struct daemon *d)
{
	const struct conf *c = d->conf;
	char control_tun[32];
	int e;

	key_control_addr(&d->cluster, &d->id.pub, &d->control_addr);
	key_control_prefix(&d->cluster, &d->control_prefix);
	snprintf(control_tun, sizeof(control_tun), "%.13s-c", c->tun);
	d->nsegments = 2;
	e = segment_init(&d->segments[0], VNI_CONTROL, control_tun, &d->control_prefix, 1, NULL, 0);
	if (e)
		return e;
	d->segments[0].mesh_addrs[1] = d->control_addr;
	e = segment_init(&d->segments[1], VNI_DEFAULT, c->tun, c->ranges, c->nranges, c->prefixes,
		c->nprefixes);
	for (size_t i = 0; !e && i < c->nsegments; i++) {
		const struct conf_segment *s = &c->segments[i];

		e = segment_init(&d->segments[d->nsegments++], s->vni, s->tun, s->ranges,
			s->nranges, s->prefixes, s->nprefixes);
	}
	return e;
}

/* Devices whose addresses @p of segment @s may share: its own, and all of other segments (each has
 * its own tables, so the same addresses there are no conflict). Returns how many. */
static size_t may_share(struct daemon *d, const struct segment *s, const struct conf_prefix *p,
	const char *out[CONF_LIST_MAX])
{
	size_t n = 0;

	if (p->device[0])
		out[n++] = p->device;
	for (size_t i = 1; i < d->nsegments; i++)
		for (size_t k = 0; &d->segments[i] != s && k < d->segments[i].nprefixes; k++)
			if (d->segments[i].prefixes[k].device[0] && n < CONF_LIST_MAX)
				out[n++] = d->segments[i].prefixes[k].device;
	return n;
}

int segments_check(struct daemon *d)
{
	const char *own[CONF_LIST_MAX], *shared[CONF_LIST_MAX];
	char why[200], text[PFX_STRLEN];
	size_t nown = 0;
	int bad = 0;

	for (size_t i = 1; i < d->nsegments; i++)
		for (size_t n = 0; n < d->segments[i].nprefixes && nown < CONF_LIST_MAX; n++)
			if (d->segments[i].prefixes[n].device[0])
				own[nown++] = d->segments[i].prefixes[n].device;
	for (size_t i = 0; i < d->conf->nprefixes && nown < CONF_LIST_MAX; i++)
		if (d->conf->prefixes[i].claim && d->conf->prefixes[i].device[0])
			own[nown++] = d->conf->prefixes[i].device;
	for (size_t i = 0; i < d->nsegments; i++)
		if (kern_name_taken(d->kern, d->segments[i].tun)) {
			log_error("weftd",
				"there is a device %s that isn't weft's; choose another name with "
				"--tun",
				d->segments[i].tun);
			bad = ERR_CONFIG;
		}
	for (size_t i = 1; i < d->nsegments; i++) {
		const struct segment *s = &d->segments[i];

		for (size_t n = 0; n < s->nranges; n++)
			if (kern_range_hits_underlay(
				    d->kern, &s->ranges[n], own, nown, why, sizeof(why))) {
				log_error("weftd",
					"range %s can't be used: it holds %s; choose another range",
					pfx_fmt(&s->ranges[n], text), why);
				bad = ERR_CONFIG;
			}
		for (size_t n = 0; n < s->nprefixes; n++) {
			const struct conf_prefix *p = &s->prefixes[n];

			if (kern_overlaps(d->kern, &p->pfx, shared, may_share(d, s, p, shared), why,
				    sizeof(why))) {
				log_error("weftd",
					"prefix %s overlaps %s; choose another prefix, or bind "
					"this one to its "
					"device with --prefix CIDR@DEVICE",
					pfx_fmt(&p->pfx, text), why);
				bad = ERR_CONFIG;
			}
		}
	}
	return bad;
}

/* The devices' MTU: the largest inner packet that the underlay allows (DESIGN 5.14). IPv4's smaller
 * overhead counts; peers over IPv6 get the difference by their routes. */
static unsigned device_mtu(const struct daemon *d)
{
	const unsigned outer = d->underlay.mtu;

	return outer < INNER_MTU_MIN + WIRE_OVERHEAD_V4 ? INNER_MTU_MIN : outer - WIRE_OVERHEAD_V4;
}

void segments_mtu(struct daemon *d)
{
	const unsigned mtu = device_mtu(d);
	bool changed = false;

	for (size_t i = 0; i < d->nsegments; i++) {
		struct segment *s = &d->segments[i];

		if (s->mtu == 0 || s->mtu == mtu)
			continue;
		log_info("weftd", "device %s: MTU %u becomes %u, as %s has %u", s->tun, s->mtu, mtu,
			d->underlay.ifname[0] ? d->underlay.ifname : "the underlay",
			d->underlay.mtu);
		s->mtu = mtu;
		changed = true;
		(void)kern_segment_mtu(d->kern, s->vni, mtu);
		(void)dp_segment_mtu(d->dp, s->vni, mtu);
	}
	if (!changed)
		return;
	d->kern_dirty = true;
	/* What went by the device's MTU may have less by a path that did not change. */
	if (d->rtab)
		rtab_mtu(d);
}

static int segment_dp(struct daemon *d, struct segment *s)
{
	int fds[LIM_WORKERS];
	bool created = false;
	int e = priv_tun_open(s->tun, d->workers, fds, &created);

	if (e) {
		log_error("weftd", "can't open device %s: %s%s", s->tun, err_str(e),
			e == ERR_FOREIGN ? "; a device of that name exists and isn't weft's: "
					   "choose another --tun"
			: e == -EBUSY || e == ERR_BUSY ? "; another program holds it"
			: e == -ENOENT || e == -ENODEV ? "; is /dev/net/tun there (modprobe tun)?"
			: e == -EPERM || e == -EACCES  ? "; weftd needs CAP_NET_ADMIN"
						       : "");
		return e;
	}
	s->ifindex = 0;
	e = dp_segment_add(d->dp, s->vni, s->tun, fds, s->mtu);
	if (!e)
		s->ifindex = if_nametoindex(s->tun);
	if (e)
		log_error("weftd", "can't attach device %s: %s", s->tun, err_str(e));
	return e;
}

/* Super-packets are not written towards a tunnel device: not each splits them right (DESIGN 5.6). */
static enum dp_route_kind local_kind(struct daemon *d, const struct conf_prefix *p)
{
	return p->device[0] && kern_is_tunnel(d->kern, p->device) ? DP_ROUTE_LOCAL_TUNNEL
								  : DP_ROUTE_LOCAL;
}

/* What this node is and owns in @s, to the FIB. */
static int segment_fib(struct daemon *d, const struct segment *s)
{
	struct pfx own;
	int e = 0;

	for (size_t i = 0; !e && i < s->nranges; i++)
		e = dp_route_set(d->dp, s->vni, &s->ranges[i], DP_ROUTE_DROP, 0);
	for (size_t i = 0; !e && i < s->nprefixes; i++)
		e = dp_route_set(
			d->dp, s->vni, &s->prefixes[i].pfx, local_kind(d, &s->prefixes[i]), 0);
	if (!e && s->vni == VNI_CONTROL) {
		(void)pfx_make(&d->control_addr, 128, &own);
		e = dp_route_set(d->dp, s->vni, &own, DP_ROUTE_LOCAL, 0);
	}
	for (size_t i = 0; !e && s->vni == VNI_DEFAULT && i < d->conf->nexits; i++)
		e = dp_route_set(d->dp, s->vni, &d->conf->exits[i], DP_ROUTE_EXIT, 0);
	return e;
}

/* The same to the kernel. */
static int segment_routes(struct daemon *d, const struct segment *s)
{
	int e = 0;

	for (size_t i = 0; !e && i < s->nranges; i++)
		e = kern_range_add(d->kern, s->vni, &s->ranges[i]);
	for (size_t i = 0; !e && i < s->nprefixes; i++) {
		const struct conf_prefix *p = &s->prefixes[i];

		e = kern_local_add(d->kern, s->vni, &p->pfx, p->device[0] ? p->device : NULL);
	}
	return e;
}

static int segment_kernel(struct daemon *d, struct segment *s)
{
	struct ip addrs[2];
	size_t n = 0;

	for (int f = 0; f < 2; f++)
		if (s->mesh_addrs[f].family != IP_NONE && (f == 0 || d->has_ipv6))
			addrs[n++] = s->mesh_addrs[f];
	return kern_segment_add(d->kern, s->vni, s->tun, s->mtu, addrs, n);
}

int segments_up(struct daemon *d)
{
	char why[256] = "";
	unsigned mtu;
	int e;

	underlay_look(d);
	mtu = device_mtu(d);
	for (size_t i = 0; i < d->nsegments; i++) {
		struct segment *s = &d->segments[i];

		if (s->vni == VNI_CONTROL && !d->has_ipv6) {
			daemon_warn(d, "this host has no IPv6: the control segment is off");
			continue;
		}
		s->mtu = mtu;
		e = segment_dp(d, s);
		if (!e)
			e = segment_kernel(d, s);
		if (!e)
			e = segment_fib(d, s);
		if (!e)
			e = segment_routes(d, s);
		if (e) {
			log_error("weftd", "segment %u (%s): %s", s->vni, s->tun, err_str(e));
			return e;
		}
	}
	link_ranges_floor(d);
	e = kern_sync(d->kern, why, sizeof(why));
	if (e)
		log_error("weftd", "kernel routes: %s", why[0] ? why : err_str(e));
	d->kernel_ok = e == 0;
	return e;
}

void segments_repair(struct daemon *d)
{
	for (size_t i = 0; i < d->nsegments; i++) {
		struct segment *s = &d->segments[i];

		if (s->mtu == 0 || (s->ifindex && if_nametoindex(s->tun) == s->ifindex))
			continue;
		daemon_warn(d, "device %s was taken away by somebody; it is made again", s->tun);
		(void)dp_segment_del(d->dp, s->vni);
		if (segment_dp(d, s) == 0 && segment_fib(d, s) == 0) {
			rtab_reinstall(d, s->vni);
			if (s->vni == VNI_DEFAULT)
				link_exit_again(d);
		}
		d->kern_dirty = true;
	}
}

int segments_publish(struct daemon *d)
{
	static struct gossip_prefix list[MAX_OWN];
	size_t n = own_svc_list(d, list, MAX_OWN);

	for (size_t i = 0; i < d->conf->nexits && n < MAX_OWN; i++)
		list[n++] = (struct gossip_prefix){.vni = VNI_DEFAULT,
			.pfx = d->conf->exits[i],
			.exit = true,
			.right = RIGHT_CONFIG};
	return gossip_set_prefixes(d->gossip, list, n, loop_now());
}

/* --- prefixes that come and go at run time --- */

#define RETRY_MAX                                                                                  \
	32 /* others' prefixes inside one of ours that goes: its winner's, and what was wrong */

bool segment_prefix_overlaps(
	struct daemon *d, uint32_t vni, const struct conf_prefix *p, char *why, size_t why_len)
{
	const char *shared[CONF_LIST_MAX];
	const struct segment *s = segment_find(d, vni);

	return kern_overlaps(d->kern, &p->pfx, shared, may_share(d, s, p, shared), why, why_len);
}

/* The segment's own prefixes changed: so may the addresses that stand on its device and as the source of
 * its routes. */
static void readdress(struct daemon *d, struct segment *s)
{
	struct ip old[2], addrs[2];
	const struct rtab_entry *e;
	size_t n = 0, it = 0;

	memcpy(old, s->mesh_addrs, sizeof(old));
	segment_addresses(s);
	if (s->mtu == 0 || memcmp(old, s->mesh_addrs, sizeof(old)) == 0)
		return;
	for (int f = 0; f < 2; f++)
		if (s->mesh_addrs[f].family != IP_NONE && (f == 0 || d->has_ipv6))
			addrs[n++] = s->mesh_addrs[f];
	if (kern_segment_addrs(d->kern, s->vni, addrs, n) != 0)
		daemon_warn(d, "can't set the addresses of %s", s->tun);
	while (d->rtab && rtab_next(d->rtab, &it, &e))
		if (e->vni == s->vni && e->peer && (e->pfx.ip.family == IP_V4 || d->has_ipv6))
			(void)kern_route_add(d->kern, s->vni, &e->pfx, e->mtu,
				&s->mesh_addrs[e->pfx.ip.family == IP_V6]);
}

/* What others publish inside a prefix that was ours until now was refused for that: try again. */
static void retry_refused(struct daemon *d, uint32_t vni, const struct pfx *p)
{
	struct {
		struct node_key node;
		struct gossip_prefix p;
	} again[RETRY_MAX];
	const struct rtab_entry *e;
	size_t it = 0, n = 0;

	while (d->rtab && n < RETRY_MAX && rtab_next(d->rtab, &it, &e))
		if (e->vni == vni && !e->link && e->refused[0] && pfx_contains(p, &e->pfx)) {
			again[n].node = e->node;
			again[n++].p = (struct gossip_prefix){
				.vni = e->vni, .pfx = e->pfx, .exit = e->exit};
		}
	for (size_t i = 0; i < n; i++) {
		rtab_del(d, &again[i].node, &again[i].p);
		rtab_add(d, &again[i].node, &again[i].p);
	}
}

int segment_prefix_add(struct daemon *d, uint32_t vni, const struct conf_prefix *p)
{
	struct segment *s = segment_find(d, vni);
	struct conf_prefix *v;
	int e = 0;

	if (!s)
		return ERR_NOT_FOUND;
	for (size_t i = 0; i < s->nprefixes; i++)
		if (pfx_eq(&s->prefixes[i].pfx, &p->pfx))
			return ERR_EXISTS;
	v = realloc(s->prefixes, (s->nprefixes + 1) * sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	s->prefixes = v;
	if (s->mtu != 0) { /* the segment stands already */
		e = dp_route_set(d->dp, vni, &p->pfx, local_kind(d, p), 0);
		if (!e)
			e = kern_local_add(d->kern, vni, &p->pfx, p->device[0] ? p->device : NULL);
		d->kern_dirty = true;
	}
	if (e) {
		(void)dp_route_del(d->dp, vni, &p->pfx);
		return e;
	}
	v[s->nprefixes++] = *p;
	readdress(d, s);
	return 0;
}

int segment_prefix_del(struct daemon *d, uint32_t vni, const struct pfx *p)
{
	struct segment *s = segment_find(d, vni);
	bool is_range = false;
	size_t i = 0;

	while (s && i < s->nprefixes && !pfx_eq(&s->prefixes[i].pfx, p))
		i++;
	if (!s || i == s->nprefixes)
		return ERR_NOT_FOUND;
	memmove(&s->prefixes[i], &s->prefixes[i + 1],
		(s->nprefixes - i - 1) * sizeof(s->prefixes[0]));
	s->nprefixes--;
	if (s->mtu != 0) {
		for (size_t k = 0; k < s->nranges; k++)
			is_range |= pfx_eq(&s->ranges[k], p);
		/* The range's own entry says that nobody owns its addresses. */
		if (is_range)
			(void)dp_route_set(d->dp, vni, p, DP_ROUTE_DROP, 0);
		else
			(void)dp_route_del(d->dp, vni, p);
		(void)kern_local_del(d->kern, vni, p);
		d->kern_dirty = true;
	}
	readdress(d, s);
	retry_refused(d, vni, p);
	return 0;
}

static void publish_endpoints(struct daemon *d)
{
	struct ep eps[LIM_ENDPOINTS_PER_NODE];
	struct ip ips[LIM_ENDPOINTS_PER_NODE];
	uint16_t port = dp_port(d->dp);
	size_t n = 0, found;

	for (size_t i = 0; i < d->conf->nadvertise && n < LIM_ENDPOINTS_PER_NODE; i++)
		eps[n++] = d->conf->advertise[i];
	if (ip_is_unspecified(&d->conf->listen.ip)) {
		found = kern_host_addrs(d->kern, ips, LIM_ENDPOINTS_PER_NODE);
		for (size_t i = 0; i < found && n < LIM_ENDPOINTS_PER_NODE; i++) {
			bool inside = false;

			/* Pod and mesh addresses are no underlay. */
			for (size_t s = 0; s < d->nsegments; s++)
				for (size_t r = 0; r < d->segments[s].nranges; r++)
					inside |= pfx_has_ip(&d->segments[s].ranges[r], &ips[i]);
			if (inside || (ips[i].family == IP_V6 && !dp_has_ipv6(d->dp)))
				continue;
			eps[n++] = (struct ep){.ip = ips[i], .port = port};
		}
	} else if (n < LIM_ENDPOINTS_PER_NODE) {
		eps[n++] = (struct ep){.ip = d->conf->listen.ip, .port = port};
	}
	if (gossip_set_endpoints(d->gossip, eps, n, loop_now()) != 0)
		daemon_warn(d, "can't publish this node's endpoints");
}

void underlay_refresh(struct daemon *d)
{
	publish_endpoints(d);
	for (size_t i = 0; i < d->nsegments; i++) {
		struct segment *s = &d->segments[i];

		/* A device may have come, or come back as another kind. */
		for (size_t n = 0; s->mtu != 0 && n < s->nprefixes; n++)
			if (s->prefixes[n].device[0])
				(void)dp_route_set(d->dp, s->vni, &s->prefixes[n].pfx,
					local_kind(d, &s->prefixes[n]), 0);
	}
	underlay_look(d);
	paths_refresh(d);
}
