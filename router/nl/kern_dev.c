/* kern_dev.c - devices: segments' TUNs with their addresses, devices that own prefixes stand on, and the
 * host's forwarding switches.
 *
 * A device is known by name and may come and go; routes refer to it by slot. A TUN is ours only with
 * kind and alias (priv_tun_open); any other device of that name is left alone and told. On our TUN all
 * addresses are ours: what nobody wants is removed, so an address of the configuration before does not
 * stay. Bounds: LIM_KERN_DEVICES, KERN_SEG_ADDRS. */
#include <ctype.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kern_int.h"
#include "priv.h"
#include "weft/bounds.h"
#include "weft/err.h"
#include "weft/log.h"
#include "weft/wire.h"

/* Names go into rules and nft text: only what needs no quoting there. */
static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= IFNAMSIZ || name[0] == '.')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("._-@", *name))
			return false;
	return true;
}

struct kdev *kern_dev_find(struct kern *k, const char *name, int ifindex)
{
	for (size_t i = 0; i < k->ndevs; i++) {
		struct kdev *d = &k->devs[i];

		if (d->refs > 0 && ((name && strcmp(d->name, name) == 0) ||
					   (ifindex > 0 && d->ifindex == ifindex)))
			return d;
	}
	return NULL;
}

int kern_dev_ref(struct kern *k, const char *name, uint32_t vni, uint16_t *out)
{
	struct kdev *d = kern_dev_find(k, name, 0), *more;
	size_t i;

	if (!name_ok(name))
		return ERR_RANGE;
	if (d) {
		if (d->vni != vni)
			return ERR_CONFLICT;
		d->refs++;
		*out = (uint16_t)(d - k->devs + 1);
		return 0;
	}
	for (i = 0; i < k->ndevs && k->devs[i].refs > 0; i++)
		;
	if (i == k->ndevs) {
		if (i == LIM_KERN_DEVICES)
			return ERR_FULL;
		more = realloc(k->devs, (i + 1) * sizeof(*more));
		if (!more)
			return ERR_NOMEM;
		k->devs = more;
		k->ndevs++;
	}
	d = &k->devs[i];
	memset(d, 0, sizeof(*d));
	strcpy(d->name, name);
	d->vni = vni;
	d->refs = 1;
	*out = (uint16_t)(i + 1);
	kern_dev_look(k, d);
	kern_nft_stale(k);
	k->rules_dirty = true;
	k->rules_agreed = false;
	return 0;
}

void kern_dev_unref(struct kern *k, uint16_t dev)
{
	if (--k->devs[dev - 1].refs > 0)
		return;
	kern_nft_stale(k);
	k->rules_dirty = true;
	k->rules_agreed = false;
}

void kern_dev_look(struct kern *k, struct kdev *d)
{
	struct nl_link l;

	if (nl_link_get(&k->x, d->name, 0, &l) != 0) {
		d->ifindex = 0;
		d->up = false;
		return;
	}
	d->ifindex = l.ifindex;
	d->up = (l.flags & IFF_UP) != 0;
}

/* ---- a segment's TUN ---- */

/* What a worker that is kept from its CPU for 5 ms finds in its queue at 250 small packets a
 * millisecond. The kernel's 500 lost some at half of the rate that passes (docs/bench.md). */
#define TUN_QUEUE_PACKETS 1250

/* One setting; what this kernel lacks is no fault. */
static void sysctl_set(struct kern *k, struct kern_err *e, const char *path, const char *value)
{
	int err = priv_sysctl(path, value);

	if (err != 0 && err != -ENOENT)
		kern_note(k, e, err, "", "setting %s to %s", path, value);
}

static void tun_sysctls(struct kern *k, struct kern_err *e, const char *name)
{
	static const struct {
		enum ip_family family;
		const char *key, *value;
	} wanted[] = {
		/* The reverse path of a peer's packet is this device by our table anyway. */
		{IP_V4, "rp_filter", "0"},
		{IP_V4, "forwarding", "1"},
		/* With nobody reading the TUN its routes don't count: the range answers. */
		{IP_V4, "ignore_routes_with_linkdown", "1"},
		{IP_V4, "send_redirects", "0"},
		{IP_V4, "accept_redirects", "0"},
		{IP_V6, "disable_ipv6", "0"},
		{IP_V6, "addr_gen_mode", "1"}, /* no link-local address, so no chatter on the TUN */
		{IP_V6, "accept_ra", "0"},
		{IP_V6, "router_solicitations", "0"},
		{IP_V6, "accept_redirects", "0"},
		{IP_V6, "ignore_routes_with_linkdown", "1"},
		{IP_V6, "forwarding", "1"},
	};
	char path[128];

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (!kern_usable(k, wanted[i].family))
			continue;
		snprintf(path, sizeof(path), "net/ipv%d/conf/%s/%s", wanted[i].family, name,
			wanted[i].key);
		sysctl_set(k, e, path, wanted[i].value);
	}
}

struct addr_walk {
	int ifindex;
	const struct kseg *s;
	bool have[KERN_SEG_ADDRS];
	struct nl_addr extra[KERN_SEG_ADDRS];
	size_t nextra;
};

static int addr_seen(void *ctx, const struct nlmsghdr *nlh)
{
	struct addr_walk *w = ctx;
	struct nl_addr a;

	if (nl_addr_parse(nlh, &a) != 0 || a.ifindex != w->ifindex)
		return 0;
	for (size_t i = 0; i < w->s->naddrs; i++)
		if (ip_eq(&w->s->addrs[i], &a.ip) && a.len == ip_bits(&a.ip)) {
			w->have[i] = true;
			return 0;
		}
	if (a.scope == RT_SCOPE_UNIVERSE && w->nextra < KERN_SEG_ADDRS)
		w->extra[w->nextra++] = a; /* more than that: the next sync's */
	return 0;
}

/* Returns whether something had to be changed. */
static bool addrs_sync(struct kern *k, struct kseg *s, const struct kdev *d, struct kern_err *e)
{
	struct addr_walk w = {.ifindex = d->ifindex, .s = s};
	char text[IP_STRLEN];
	bool changed = false;
	int err = nl_addr_dump(&k->x, IP_NONE, addr_seen, &w);

	if (err != 0) {
		kern_note(k, e, err, k->x.said, "reading the addresses of %s", d->name);
		return false;
	}
	for (size_t i = 0; i < w.nextra; i++) {
		err = nl_addr_del(&k->x, &w.extra[i]);
		if (err != 0 && err != -EADDRNOTAVAIL)
			kern_note(k, e, err, k->x.said, "removing address %s from %s",
				ip_fmt(&w.extra[i].ip, text), d->name);
	}
	for (size_t i = 0; i < s->naddrs; i++) {
		if (w.have[i] || !kern_usable(k, s->addrs[i].family))
			continue;
		err = nl_addr_add(&k->x, d->ifindex, &s->addrs[i]);
		if (err != 0) {
			kern_note(k, e, err, k->x.said, "adding address %s to %s",
				ip_fmt(&s->addrs[i], text), d->name);
			continue;
		}
		k->st.repaired += s->agreed;
		changed = true;
	}
	return changed;
}

static void seg_sync(struct kern *k, struct kseg *s, struct kern_err *e)
{
	struct kdev *d = &k->devs[s->dev - 1];
	uint64_t errors = k->st.errors;
	bool changed;
	struct nl_link l;
	int err = nl_link_get(&k->x, d->name, 0, &l);

	if (err == 0 && (!l.is_tun || !l.is_ours))
		err = ERR_FOREIGN;
	if (err != 0) {
		d->ifindex = 0;
		d->up = false;
		snprintf(k->fault, sizeof(k->fault), "device %s of segment %u %s", d->name, s->vni,
			err == -ENODEV ? "is gone: open it again" : err_str(err));
		kern_note(k, e, err, "", "device %s", d->name);
		return;
	}
	changed = d->ifindex != l.ifindex || !d->up;
	d->ifindex = l.ifindex;
	tun_sysctls(k, e, d->name);
	/* A longer queue is somebody's choice. */
	if (!(l.flags & IFF_UP) || l.mtu != s->mtu || l.txqlen < TUN_QUEUE_PACKETS) {
		err = nl_link_up(&k->x, l.ifindex, s->mtu,
			l.txqlen < TUN_QUEUE_PACKETS ? TUN_QUEUE_PACKETS : 0);
		if (err != 0) {
			kern_note(
				k, e, err, k->x.said, "setting %s up with MTU %u", d->name, s->mtu);
			return;
		}
		k->st.repaired += s->agreed;
		changed = true;
	}
	d->up = true;
	changed |= addrs_sync(k, s, d, e);
	k->audit |= changed; /* the kernel drops routes with the device or their source address */
	if (k->st.errors == errors) {
		s->dirty = false;
		s->agreed = true;
	}
}

void kern_links_sync(struct kern *k, struct kern_err *e)
{
	k->fault[0] = '\0';
	for (size_t i = 0; i < k->nsegs; i++)
		if (k->segs[i].dirty)
			seg_sync(k, &k->segs[i], e);
}

/* ---- the host ---- */

/* Devices that live by router advertisements would stop to hear them once the host forwards. */
struct ra_walk {
	int ifindex[64];
	size_t n;
};

static void ra_add(struct ra_walk *w, int ifindex)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->ifindex[i] == ifindex)
			return;
	if (w->n < sizeof(w->ifindex) / sizeof(w->ifindex[0]))
		w->ifindex[w->n++] = ifindex;
}

static int ra_route(void *ctx, const struct nlmsghdr *nlh)
{
	struct nl_route r;

	if (nl_route_parse(nlh, &r) == 0 && r.proto == RTPROT_RA && r.oif > 0)
		ra_add(ctx, r.oif);
	return 0;
}

static int ra_addr(void *ctx, const struct nlmsghdr *nlh)
{
	struct nl_addr a;

	if (nl_addr_parse(nlh, &a) == 0 && a.scope == RT_SCOPE_UNIVERSE &&
		!(a.flags & IFA_F_PERMANENT))
		ra_add(ctx, a.ifindex);
	return 0;
}

static int sysctl_get(const char *path)
{
	char full[160];
	int v = -1;
	FILE *f;

	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	f = fopen(full, "re");
	if (!f)
		return -1;
	if (fscanf(f, "%d", &v) != 1)
		v = -1;
	fclose(f);
	return v;
}

static void keep_ra(struct kern *k, struct kern_err *e)
{
	struct ra_walk w = {.n = 0};
	struct nl_link l;
	char path[128];

	if (sysctl_get("net/ipv6/conf/all/forwarding") == 1)
		return;
	nl_route_dump(&k->x, IP_V6, RTPROT_RA, NULL, ra_route, &w);
	nl_addr_dump(&k->x, IP_V6, ra_addr, &w);
	for (size_t i = 0; i < w.n; i++) {
		if (nl_link_get(&k->x, NULL, w.ifindex[i], &l) != 0)
			continue;
		snprintf(path, sizeof(path), "net/ipv6/conf/%s/accept_ra", l.name);
		if (sysctl_get(path) != 1)
			continue;
		log_info(KERN_MOD, "%s lives by router advertisements: accept_ra is 2 from now on",
			l.name);
		sysctl_set(k, e, path, "2");
	}
}

void kern_host_sync(struct kern *k, struct kern_err *e)
{
	bool carries = false;
	uint64_t errors = k->st.errors;

	for (size_t i = 0; i < k->nsegs; i++)
		carries |= k->segs[i].vni != VNI_CONTROL;
	if (k->host_done || k->nsegs == 0)
		return;
	/* The check of the reverse path sees the mark that our nft table gives outer packets. */
	if (k->cfg.mark_mask != 0)
		sysctl_set(k, e, "net/ipv4/conf/all/src_valid_mark", "1");
	if (!carries)
		return;
	sysctl_set(k, e, "net/ipv4/ip_forward", "1");
	if (kern_usable(k, IP_V6)) {
		keep_ra(k, e);
		sysctl_set(k, e, "net/ipv6/conf/all/forwarding", "1");
	}
	k->host_done = k->st.errors == errors;
}
