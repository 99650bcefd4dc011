/* kern_look.c - what the host says about its underlay: routes, addresses, MTU. Questions only; nothing
 * here changes anything. Data in: dumps, answered fresh each time. Our own routes are known by protocol
 * and table, our devices by alias and by what kern_local_add named. */
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kern_int.h"
#include "nl_nftput.h"
#include "weft/err.h"

#define LOOK_DEVS 4096 /* devices remembered by one question; a host with more: ERR_NOMEM */

/* Devices of a family of questions. */
struct devices {
	struct nl_link *v;
	size_t n, cap;
};

static int dev_seen(void *ctx, const struct nlmsghdr *nlh)
{
	struct devices *d = ctx;
	struct nl_link l;

	if (nl_link_parse(nlh, &l) != 0)
		return 0;
	if (d->n == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 32;
		struct nl_link *v = cap <= LOOK_DEVS ? realloc(d->v, cap * sizeof(*v)) : NULL;

		if (!v)
			return ERR_NOMEM;
		d->v = v;
		d->cap = cap;
	}
	d->v[d->n++] = l;
	return 0;
}

static const struct nl_link *dev_of(const struct devices *d, int ifindex)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].ifindex == ifindex)
			return &d->v[i];
	return NULL;
}

static const char *dev_name(const struct devices *d, int ifindex)
{
	const struct nl_link *l = dev_of(d, ifindex);

	return l ? l->name : "an unknown device";
}

/* A TUN of ours, or a device of an own prefix. */
static bool dev_is_mesh(struct kern *k, const struct nl_link *l)
{
	return (l->is_tun && l->is_ours) || kern_dev_find(k, l->name, 0) != NULL;
}

/* ---- MTU ---- */

struct best {
	struct nl_route route;
	bool found;
};

static bool ours(const struct nl_route *r)
{
	uint32_t vni;

	return r->proto == KERN_RTPROT || kern_table_vni(r->table, &vni);
}

static int default_seen(void *ctx, const struct nlmsghdr *nlh)
{
	struct best *b = ctx;
	struct nl_route r;

	if (nl_route_parse(nlh, &r) != 0 || r.dst.len != 0 || r.type != RTN_UNICAST || ours(&r) ||
		r.table != RT_TABLE_MAIN || (r.oif == 0 && r.nhops == 0))
		return 0;
	if (r.oif == 0)
		r.oif = r.hops[0];
	if (!b->found || r.metric < b->route.metric)
		b->route = r;
	b->found = true;
	return 0;
}

static int default_route(struct kern *k, struct nl_route *out)
{
	struct best b = {.found = false};
	/* Not all tables: what BGP learned may be a million routes. */
	int err = nl_route_dump_table(&k->x, IP_V4, RT_TABLE_MAIN, default_seen, &b);

	if (err == 0 && !b.found && kern_usable(k, IP_V6))
		err = nl_route_dump_table(&k->x, IP_V6, RT_TABLE_MAIN, default_seen, &b);
	if (err != 0)
		return err;
	*out = b.route;
	return b.found ? 0 : ERR_NOT_FOUND;
}

struct smaller {
	unsigned mtu;
	const char *const *devices;
	size_t ndevices, max;
	struct kern_device_mtu *out;
	int count;
};

static bool has_pods(const struct smaller *s, const struct nl_link *l)
{
	if (strncmp(l->name, NL_NFT_WEFT_PODS, strlen(NL_NFT_WEFT_PODS)) == 0)
		return true;
	for (size_t i = 0; i < s->ndevices; i++)
		if (strcmp(l->name, s->devices[i]) == 0)
			return true;
	return false;
}

static int smaller_seen(void *ctx, const struct nlmsghdr *nlh)
{
	struct smaller *s = ctx;
	struct nl_link l;

	if (nl_link_parse(nlh, &l) != 0 || l.mtu >= s->mtu || !has_pods(s, &l))
		return 0;
	if ((size_t)s->count < s->max) {
		struct kern_device_mtu *to = &s->out[s->count];

		memcpy(to->name, l.name, sizeof(to->name));
		to->mtu = l.mtu;
	}
	s->count++;
	return 0;
}

int kern_smaller_devices(struct kern *k, unsigned mtu, const char *const *devices, size_t n,
	struct kern_device_mtu *out, size_t max)
{
	struct smaller s = {mtu, devices, n, max, out, 0};
	int err = nl_link_dump(&k->x, smaller_seen, &s);

	return err != 0 ? err : s.count;
}

bool kern_is_tunnel(struct kern *k, const char *ifname)
{
	struct nl_link l;

	return nl_link_get(&k->x, ifname, 0, &l) == 0 && l.is_tunnel;
}

bool kern_name_taken(struct kern *k, const char *ifname)
{
	struct nl_link l;

	return nl_link_get(&k->x, ifname, 0, &l) == 0 && !l.is_ours;
}

struct owner_of {
	const struct ip *ip;
	int ifindex; /* 0: none but the loopback */
	int loopback;
};

static int owner_seen(void *ctx, const struct nlmsghdr *nlh)
{
	struct owner_of *o = ctx;
	struct nl_addr a;

	if (nl_addr_parse(nlh, &a) == 0 && ip_eq(&a.ip, o->ip) && a.ifindex != o->loopback)
		o->ifindex = a.ifindex;
	return 0;
}

/* The route to an address of our own leads to the loopback, @l: the interface that has it instead. */
static int link_with(struct kern *k, const struct ip *ip, struct nl_link *l)
{
	struct owner_of o = {.ip = ip, .loopback = l->ifindex};
	int err = nl_addr_dump(&k->x, ip->family, owner_seen, &o);

	if (err == 0)
		err = o.ifindex ? nl_link_get(&k->x, NULL, o.ifindex, l) : ERR_NOT_FOUND;
	return err;
}

int kern_interface_mtu(struct kern *k, const char *ifname, unsigned *mtu)
{
	struct nl_link l;
	int err = nl_link_get(&k->x, ifname, 0, &l);

	if (err == -ENODEV || (err == 0 && !(l.flags & IFF_UP)))
		return ERR_NOT_FOUND;
	if (err == 0)
		*mtu = l.mtu;
	return err;
}

int kern_underlay(struct kern *k, const struct ip *to, unsigned *mtu, char *ifname)
{
	struct nl_route r;
	struct nl_link l;
	int err;

	if (!to || to->family == IP_NONE) {
		err = default_route(k, &r);
	} else if (!kern_usable(k, to->family)) {
		err = ERR_NOT_FOUND;
	} else {
		/* With the mark: past our own tables, as the outer sockets go. */
		err = nl_route_get(&k->x, to, k->cfg.mark & k->cfg.mark_mask, &r);
		if (err == -ENETUNREACH || err == -EHOSTUNREACH || err == -EACCES || err == -EINVAL)
			err = ERR_NOT_FOUND;
	}
	if (err != 0)
		return err;
	if (r.oif == 0)
		return ERR_NOT_FOUND;
	err = nl_link_get(&k->x, NULL, r.oif, &l);
	if (err == 0 && (l.flags & IFF_LOOPBACK))
		err = to && to->family != IP_NONE ? link_with(k, to, &l) : ERR_NOT_FOUND;
	if (err != 0)
		return err == -ENODEV ? ERR_NOT_FOUND : err;
	*mtu = l.mtu;
	memcpy(ifname, l.name, IFNAMSIZ);
	return 0;
}

/* ---- addresses ---- */

struct addrs {
	struct kern *k;
	const struct devices *devs;
	struct ip *out;
	size_t n, max;
	const char *const *others; /* devices that are left out, */
	size_t nothers;
	const struct nl_link *widest; /* and of the rest */
};

/* The interface of an address that peers could reach, or NULL. */
static const struct nl_link *reachable(const struct addrs *w, const struct nl_addr *a)
{
	const uint32_t unfit = IFA_F_TENTATIVE | IFA_F_DEPRECATED | IFA_F_DADFAILED |
			       IFA_F_TEMPORARY | IFA_F_OPTIMISTIC;
	const struct nl_link *l = dev_of(w->devs, a->ifindex);

	if (a->scope != RT_SCOPE_UNIVERSE)
		return NULL;
	/* IPv4 calls a further address of a subnet "secondary", the bit of IPv6's "temporary". */
	if (a->flags & (a->ip.family == IP_V4 ? unfit & ~(uint32_t)IFA_F_TEMPORARY : unfit))
		return NULL;
	if (!l || !(l->flags & IFF_UP) || !(l->flags & IFF_RUNNING) || (l->flags & IFF_LOOPBACK) ||
		dev_is_mesh(w->k, l))
		return NULL;
	return l;
}

static int host_addr(void *ctx, const struct nlmsghdr *nlh)
{
	struct addrs *w = ctx;
	struct nl_addr a;

	if (nl_addr_parse(nlh, &a) == 0 && w->n < w->max && reachable(w, &a))
		w->out[w->n++] = a.ip;
	return 0;
}

static int look_addrs(struct addrs *w, struct devices *devs, nlx_fn fn)
{
	struct kern *k = w->k;
	int err = nl_link_dump(&k->x, dev_seen, devs);

	w->devs = devs;
	return err != 0 ? err : nl_addr_dump(&k->x, k->cfg.ipv6 ? IP_NONE : IP_V4, fn, w);
}

int kern_host_addrs(struct kern *k, struct ip *out, size_t max)
{
	struct devices devs = {.n = 0};
	struct addrs w = {.k = k, .out = out, .max = max};
	int err = look_addrs(&w, &devs, host_addr);

	free(devs.v);
	return err != 0 ? err : (int)w.n;
}

static int widest_seen(void *ctx, const struct nlmsghdr *nlh)
{
	struct addrs *w = ctx;
	const struct nl_link *l;
	struct nl_addr a;

	if (nl_addr_parse(nlh, &a) != 0 || !(l = reachable(w, &a)) ||
		(w->widest && l->mtu <= w->widest->mtu))
		return 0;
	for (size_t i = 0; i < w->nothers; i++)
		if (strcmp(w->others[i], l->name) == 0)
			return 0;
	w->widest = l;
	return 0;
}

int kern_widest(struct kern *k, const char *const *others, size_t n, unsigned *mtu, char *ifname)
{
	struct devices devs = {.n = 0};
	struct addrs w = {.k = k, .others = others, .nothers = n};
	int err = look_addrs(&w, &devs, widest_seen);

	if (err == 0 && !w.widest)
		err = ERR_NOT_FOUND;
	if (err == 0) {
		*mtu = w.widest->mtu;
		memcpy(ifname, w.widest->name, IFNAMSIZ);
	}
	free(devs.v);
	return err;
}

/* ---- overlaps ---- */

struct overlap {
	struct kern *k;
	const struct devices *devs;
	const struct pfx *p;
	const char *const *own; /* names of devices that are left out */
	size_t nown;
	char *why;
	size_t why_len;
	bool found;
};

static bool is_own(const struct overlap *o, const struct nl_link *l)
{
	for (size_t i = 0; i < o->nown; i++)
		if (strcmp(o->own[i], l->name) == 0)
			return true;
	return false;
}

static bool passes(const struct overlap *o, int ifindex)
{
	const struct nl_link *l = dev_of(o->devs, ifindex);

	return l && (is_own(o, l) || (l->is_tun && l->is_ours));
}

/* The first thing found is the one that is named. */
static void tell(struct overlap *o, const char *what, const char *which, int ifindex)
{
	if (o->found)
		return;
	o->found = true;
	if (ifindex > 0)
		snprintf(
			o->why, o->why_len, "%s %s of %s", what, which, dev_name(o->devs, ifindex));
	else
		snprintf(o->why, o->why_len, "%s %s", what, which);
}

static int overlap_route(void *ctx, const struct nlmsghdr *nlh)
{
	struct overlap *o = ctx;
	struct nl_route r;
	char text[PFX_STRLEN];

	if (nl_route_parse(nlh, &r) != 0 || ours(&r) || r.dst.len == 0 ||
		r.table == RT_TABLE_LOCAL || (r.flags & RTM_F_CLONED) ||
		ip_is_multicast(&r.dst.ip) || ip_is_link_local(&r.dst.ip) ||
		!pfx_overlaps(o->p, &r.dst))
		return 0;
	if (r.nhops > 0 && r.oif == 0)
		r.oif = r.hops[0];
	if (r.oif > 0 && passes(o, r.oif))
		return 0;
	tell(o, "route", pfx_fmt(&r.dst, text), r.oif);
	return 0;
}

static int overlap_addr(void *ctx, const struct nlmsghdr *nlh)
{
	struct overlap *o = ctx;
	struct nl_addr a;
	char text[IP_STRLEN];

	if (nl_addr_parse(nlh, &a) != 0 || !pfx_has_ip(o->p, &a.ip) || ip_is_link_local(&a.ip) ||
		passes(o, a.ifindex))
		return 0;
	tell(o, "address", ip_fmt(&a.ip, text), a.ifindex);
	return 0;
}

bool kern_overlaps(struct kern *k, const struct pfx *p, const char *const *own_devices, size_t nown,
	char *why, size_t why_len)
{
	struct devices devs = {.n = 0};
	struct overlap o = {.k = k,
		.devs = &devs,
		.p = p,
		.own = own_devices,
		.nown = nown,
		.why = why,
		.why_len = why_len};
	enum ip_family f = p->ip.family;
	int err = nl_link_dump(&k->x, dev_seen, &devs);

	if (err == 0)
		err = nl_route_dump(&k->x, f, 0, NULL, overlap_route, &o);
	if (err == 0)
		err = nl_addr_dump(&k->x, f, overlap_addr, &o);
	free(devs.v);
	if (err == 0 || o.found)
		return o.found;
	snprintf(why, why_len, "routes that can't be read: %s", err_str(err));
	return true;
}

/* ---- the range and the underlay ---- */

struct swallow {
	struct overlap o;
	int via[64]; /* interfaces of default routes, in both families */
	size_t nvia;
	bool has_default;
	struct ip *all; /* what there is, instead of an answer about o.p; NULL: that */
	size_t n, max;
};

/* One of the underlay's. */
static void underlay_ip(struct swallow *s, const char *what, const struct ip *ip, int ifindex)
{
	char text[IP_STRLEN];

	if (!s->all) {
		if (pfx_has_ip(s->o.p, ip))
			tell(&s->o, what, ip_fmt(ip, text), ifindex);
		return;
	}
	for (size_t i = 0; i < s->n; i++)
		if (ip_eq(&s->all[i], ip))
			return;
	if (s->n < s->max)
		s->all[s->n++] = *ip;
}

static void via_add(struct swallow *s, int ifindex)
{
	for (size_t i = 0; i < s->nvia; i++)
		if (s->via[i] == ifindex)
			return;
	if (s->nvia < sizeof(s->via) / sizeof(s->via[0]))
		s->via[s->nvia++] = ifindex;
}

static int swallow_route(void *ctx, const struct nlmsghdr *nlh)
{
	struct swallow *s = ctx;
	struct nl_route r;

	if (nl_route_parse(nlh, &r) != 0 || ours(&r) || r.dst.len != 0 || r.type != RTN_UNICAST)
		return 0;
	s->has_default = true;
	if (r.oif > 0)
		via_add(s, r.oif);
	for (unsigned i = 0; i < r.nhops; i++)
		via_add(s, r.hops[i]);
	if (r.gateway.family != IP_NONE)
		underlay_ip(s, "default gateway", &r.gateway, r.oif);
	return 0;
}

static int swallow_addr(void *ctx, const struct nlmsghdr *nlh)
{
	struct swallow *s = ctx;
	const struct nl_link *l;
	struct nl_addr a;
	bool underlay;

	if (nl_addr_parse(nlh, &a) != 0 || ip_is_link_local(&a.ip))
		return 0;
	l = dev_of(s->o.devs, a.ifindex);
	if (!l || (l->flags & IFF_LOOPBACK) || dev_is_mesh(s->o.k, l) || is_own(&s->o, l))
		return 0;
	underlay = !s->has_default;
	for (size_t i = 0; i < s->nvia; i++)
		underlay |= s->via[i] == a.ifindex;
	if (underlay)
		underlay_ip(s, "underlay address", &a.ip, a.ifindex);
	return 0;
}

static int look_underlay(
	struct kern *k, struct swallow *s, const enum ip_family *families, size_t n)
{
	struct devices devs = {.n = 0};
	int err = nl_link_dump(&k->x, dev_seen, &devs);

	s->o.k = k;
	s->o.devs = &devs;
	if (err == 0)
		err = nl_route_dump(&k->x, IP_V4, 0, NULL, swallow_route, s);
	if (err == 0 && kern_usable(k, IP_V6))
		err = nl_route_dump(&k->x, IP_V6, 0, NULL, swallow_route, s);
	for (size_t i = 0; i < n && err == 0; i++)
		if (kern_usable(k, families[i]))
			err = nl_addr_dump(&k->x, families[i], swallow_addr, s);
	free(devs.v);
	return err;
}

bool kern_range_hits_underlay(struct kern *k, const struct pfx *range,
	const char *const *own_devices, size_t nown, char *why, size_t why_len)
{
	struct swallow s = {.o = {.p = range,
				    .own = own_devices,
				    .nown = nown,
				    .why = why,
				    .why_len = why_len}};
	const enum ip_family f = (enum ip_family)range->ip.family;
	int err = look_underlay(k, &s, &f, 1);

	if (err == 0 || s.o.found)
		return s.o.found;
	snprintf(why, why_len, "routes that can't be read: %s", err_str(err));
	return true;
}

int kern_underlay_ips(struct kern *k, struct ip *out, size_t max)
{
	static const enum ip_family both[] = {IP_V4, IP_V6};
	struct swallow s = {.all = out, .max = max};
	int err = look_underlay(k, &s, both, 2);

	return err == 0 ? (int)s.n : err;
}
