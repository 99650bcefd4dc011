/* cni_look.c - looking at what stands in the kernel: whose interfaces there are, and whether one is as
 * ADD made it. Data in: dumps. Data out: attachments; differences in words. No state.
 *
 * A host end is ours if it is a veth with our MAC and a name that begins as ours do. Its alias is "weft-pod
 * NETWORK ID IFNAME"; none of the three holds a space. */
#include "cni_look.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"

#define ALIAS "weft-pod "

void cni_look_alias(const struct ipam_att *att, char out[NL_ALIAS_MAX + 1])
{
	snprintf(out, NL_ALIAS_MAX + 1, ALIAS "%s %s %s", att->network, att->id, att->ifname);
}

bool cni_look_is_ours(const struct nl_veth *v)
{
	return v->is_veth && memcmp(v->mac, cni_link_mac, sizeof(v->mac)) == 0 &&
	       strncmp(v->name, CNI_LINK_PREFIX, strlen(CNI_LINK_PREFIX)) == 0;
}

/* The next word of *@s into @out. */
static bool word(const char **s, char *out, size_t cap)
{
	size_t n = strcspn(*s, " ");

	if (n == 0 || n >= cap)
		return false;
	memcpy(out, *s, n);
	out[n] = '\0';
	*s += n + ((*s)[n] == ' ');
	return true;
}

bool cni_look_parse_alias(const char *alias, struct ipam_att *out)
{
	if (strncmp(alias, ALIAS, strlen(ALIAS)) != 0)
		return false;
	alias += strlen(ALIAS);
	return word(&alias, out->network, sizeof(out->network)) &&
	       word(&alias, out->id, sizeof(out->id)) &&
	       word(&alias, out->ifname, sizeof(out->ifname)) && *alias == '\0';
}

/* ---- all host ends ---- */

struct scan {
	struct cni_seen *v;
	size_t n, cap;
};

static int take_link(void *ctx, const struct nlmsghdr *nlh)
{
	struct scan *s = ctx;
	struct cni_seen seen = {.att = {.vni = CNI_VNI}};

	if (nl_veth_parse(nlh, &seen.link) != 0 || !cni_look_is_ours(&seen.link))
		return 0;
	seen.named = cni_look_parse_alias(seen.link.alias, &seen.att);
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 16;
		struct cni_seen *v = realloc(s->v, cap * sizeof(*v));

		if (!v)
			return ERR_NOMEM;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = seen;
	return 0;
}

static int by_ifindex(const void *a, const void *b)
{
	const struct cni_seen *x = a, *y = b;

	return x->link.ifindex < y->link.ifindex ? -1 : x->link.ifindex > y->link.ifindex;
}

static int take_route(void *ctx, const struct nlmsghdr *nlh)
{
	struct scan *s = ctx;
	struct cni_seen key = {0}, *seen;
	struct nl_route r;

	if (nl_route_parse(nlh, &r) != 0 || r.proto != CNI_LINK_RTPROT ||
		r.metric != CNI_LINK_METRIC || r.dst.len != ip_bits(&r.dst.ip))
		return 0;
	key.link.ifindex = r.oif;
	seen = s->n ? bsearch(&key, s->v, s->n, sizeof(key), by_ifindex) : NULL;
	if (seen && seen->att.naddrs < IPAM_ADDRS_MAX)
		seen->att.addrs[seen->att.naddrs++] = r.dst.ip;
	return 0;
}

static void forget_routes(void *ctx)
{
	struct scan *s = ctx;

	for (size_t i = 0; i < s->n; i++)
		s->v[i].att.naddrs = 0;
}

/* Dumps of both families go into one list: a repeat of the second may not forget the first. */
static int scan_routes(struct nlx *x, struct scan *s)
{
	struct scan six = {.v = calloc(s->n + 1, sizeof(*s->v)), .n = s->n};
	int err;

	if (!six.v)
		return ERR_NOMEM;
	memcpy(six.v, s->v, s->n * sizeof(*s->v));
	err = nl_route_dump(x, IP_V4, CNI_LINK_RTPROT, forget_routes, take_route, s);
	if (!err)
		err = nl_route_dump(x, IP_V6, CNI_LINK_RTPROT, forget_routes, take_route, &six);
	for (size_t i = 0; !err && i < s->n; i++)
		for (size_t k = 0; k < six.v[i].att.naddrs; k++) {
			struct ipam_att *att = &s->v[i].att;

			if (att->naddrs < IPAM_ADDRS_MAX)
				att->addrs[att->naddrs++] = six.v[i].att.addrs[k];
		}
	free(six.v);
	return err;
}

int cni_look_scan(struct cni_link *l, int (*fn)(void *ctx, const struct cni_seen *s), void *ctx)
{
	struct scan s = {0};
	int err = nl_link_dump(&l->host, take_link, &s);

	/* A dump that was repeated gave some twice. */
	if (!err && s.n > 0) {
		size_t kept = 1;

		qsort(s.v, s.n, sizeof(*s.v), by_ifindex);
		for (size_t i = 1; i < s.n; i++)
			if (s.v[i].link.ifindex != s.v[kept - 1].link.ifindex)
				s.v[kept++] = s.v[i];
		s.n = kept;
		err = scan_routes(&l->host, &s);
	}
	for (size_t i = 0; !err && i < s.n; i++)
		err = fn(ctx, &s.v[i]);
	free(s.v);
	return err;
}

/* ---- one interface ---- */

struct found {
	const struct ipam_att *att;
	int ifindex;
	uint32_t table;
	bool addr[IPAM_ADDRS_MAX], route[IPAM_ADDRS_MAX];
	bool gateway[2], neigh[2]; /* IPv4, IPv6 */
};

static int see_addr(void *ctx, const struct nlmsghdr *nlh)
{
	struct found *f = ctx;
	struct nl_addr a;

	if (nl_addr_parse(nlh, &a) != 0 || a.ifindex != f->ifindex)
		return 0;
	for (size_t i = 0; i < f->att->naddrs; i++)
		f->addr[i] |= ip_eq(&a.ip, &f->att->addrs[i]);
	return 0;
}

static int see_gateway(void *ctx, const struct nlmsghdr *nlh)
{
	struct found *f = ctx;
	struct ip gateway;
	struct nl_route r;

	if (nl_route_parse(nlh, &r) != 0 || r.oif != f->ifindex || r.dst.len != 0)
		return 0;
	gateway = cni_link_gateway(r.dst.ip.family);
	f->gateway[r.dst.ip.family == IP_V6] |= ip_eq(&r.gateway, &gateway);
	return 0;
}

static int see_neigh(void *ctx, const struct nlmsghdr *nlh)
{
	struct found *f = ctx;
	struct ip gateway;
	struct nl_neigh n;

	if (nl_neigh_parse(nlh, &n) != 0 || n.ifindex != f->ifindex)
		return 0;
	gateway = cni_link_gateway(n.ip.family);
	f->neigh[n.ip.family == IP_V6] |= ip_eq(&n.ip, &gateway) && (n.state & NUD_PERMANENT) &&
					  n.has_mac &&
					  memcmp(n.mac, cni_link_mac, sizeof(n.mac)) == 0;
	return 0;
}

static int see_host_route(void *ctx, const struct nlmsghdr *nlh)
{
	struct found *f = ctx;
	struct nl_route r;

	if (nl_route_parse(nlh, &r) != 0 || r.oif != f->ifindex || r.table != f->table ||
		r.dst.len != ip_bits(&r.dst.ip))
		return 0;
	for (size_t i = 0; i < f->att->naddrs; i++)
		f->route[i] |= ip_eq(&r.dst.ip, &f->att->addrs[i]);
	return 0;
}

static void differs(struct cni_error *e, const char *what, const char *of)
{
	(void)cni_fail(e, CNI_E_DIFFERENT, "the pod's network is not as it was made");
	cni_detail(e, "%s %s", what, of);
}

static void check_pod(struct cni_link *l, struct found *f, int host_ifindex,
	const uint8_t mac[NL_MAC_BYTES], struct cni_error *e)
{
	static const uint8_t zero[NL_MAC_BYTES];
	const struct ipam_att *att = f->att;
	char text[IP_STRLEN];
	struct nl_veth v;
	int err = nl_veth_get(&l->pod, att->ifname, &v);

	if (err) {
		differs(e, "the pod has no interface", att->ifname);
		return;
	}
	if (!v.is_veth || (host_ifindex > 0 && v.peer_ifindex != host_ifindex))
		differs(e, "it is another interface:", att->ifname);
	if (!(v.flags & IFF_UP))
		differs(e, "it is down:", att->ifname);
	/* A plugin behind us may have changed it, and then says so in the result. */
	if (memcmp(mac, zero, sizeof(zero)) != 0 && memcmp(mac, v.mac, sizeof(v.mac)) != 0)
		differs(e, "it has another MAC:", att->ifname);
	f->ifindex = v.ifindex;
	if (nl_addr_dump(&l->pod, IP_NONE, see_addr, f) != 0)
		differs(e, "can't list addresses of", att->ifname);
	for (size_t i = 0; i < att->naddrs; i++) {
		bool six = att->addrs[i].family == IP_V6;

		if (nl_route_dump(&l->pod, att->addrs[i].family, 0, NULL, see_gateway, f) != 0 ||
			nl_neigh_dump(&l->pod, v.ifindex, att->addrs[i].family, see_neigh, f) != 0)
			differs(e, "can't list routes of", att->ifname);
		if (!f->addr[i])
			differs(e, "the pod lacks its address", ip_fmt(&att->addrs[i], text));
		if (!f->gateway[six])
			differs(e, "the pod lacks its default route,", six ? "IPv6" : "IPv4");
		if (!f->neigh[six])
			differs(e, "the pod lacks the gateway's neighbour entry,",
				six ? "IPv6" : "IPv4");
	}
}

static int check_sysctl(void *ctx, const char *path, const char *value)
{
	char full[160], now[32] = "";
	FILE *f;

	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	f = fopen(full, "re");
	if (f && !fgets(now, sizeof(now), f))
		now[0] = '\0';
	if (f)
		fclose(f);
	now[strcspn(now, "\n")] = '\0';
	if (strcmp(now, value) != 0)
		differs(ctx, "another value has", path);
	return 0;
}

static void check_host(
	struct cni_link *l, struct found *f, const struct nl_veth *v, struct cni_error *e)
{
	char text[IP_STRLEN];
	bool ipv6 = false;

	if (!cni_look_is_ours(v))
		differs(e, "it is another interface:", v->name);
	if (!(v->flags & IFF_UP))
		differs(e, "it is down:", v->name);
	f->ifindex = v->ifindex;
	for (size_t i = 0; i < f->att->naddrs; i++) {
		ipv6 |= f->att->addrs[i].family == IP_V6;
		if (nl_route_dump(&l->host, f->att->addrs[i].family, CNI_LINK_RTPROT, NULL,
			    see_host_route, f) != 0)
			differs(e, "can't list routes of", v->name);
		if (!f->route[i])
			differs(e, "the host lacks the route to", ip_fmt(&f->att->addrs[i], text));
	}
	(void)cni_link_host_sysctls(v->name, ipv6, check_sysctl, e);
}

void cni_look_check(struct cni_link *l, const struct ipam_att *att, const char *name,
	uint32_t table, bool pin, const uint8_t pod_mac[NL_MAC_BYTES], struct cni_error *e)
{
	struct found f = {.att = att, .table = table};
	struct nl_veth v;
	struct nlx x;
	int err = nl_veth_get(&l->host, name, &v);

	if (err)
		differs(e, "the host has no interface", name);
	else
		check_host(l, &f, &v, e);
	check_pod(l, &f, err ? 0 : v.ifindex, pod_mac, e);
	if (!pin)
		return;
	err = nlx_open(&x, NETLINK_NETFILTER);
	if (err || nl_pin_check(&x, CNI_LINK_TABLE) != 0)
		differs(e, "pods are not pinned to their addresses: nf_tables lacks inet",
			CNI_LINK_TABLE);
	nlx_close(&x);
}
