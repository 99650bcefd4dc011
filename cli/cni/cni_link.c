/* cni_link.c - the kernel side: make and remove a pod's interface.
 *
 *	pod's namespace                          host
 *	IFNAME  10.32.1.5/32                     wpodHASH, MAC 02:77:65:66:74:01, no address
 *	default via 169.254.1.1, which is that   10.32.1.5/32 dev wpodHASH in weft's table
 *	MAC by a permanent neighbour entry
 *
 * There is no bridge and no proxy ARP: the pod sends everything to its host end's MAC, and the host
 * routes. IPv6 likewise, by fe80::1, with addresses that skip duplicate detection.
 *
 * Data in: an attachment with addresses. Data out: the interface. Order: the pair is made down; its
 * sysctls stand before it is up; routes come last. Failure: the pair is deleted, and with it go its
 * addresses, routes and neighbours.
 *
 * The plugin has one thread, so it may enter the pod's namespace and come back; only two things need
 * that, opening a netlink socket there and writing sysctls. */
#include "cni_link.h"

#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cni_look.h"
#include "map.h"
#include "weft/err.h"

#define HOME_TRIES 3

const uint8_t cni_link_mac[NL_MAC_BYTES] = {0x02, 0x77, 0x65, 0x66, 0x74, 0x01};

struct ip cni_link_gateway(uint8_t family)
{
	static const uint8_t v6[16] = {0xfe, 0x80, [15] = 1};

	return family == IP_V4 ? ip_v4(0xa9fe0101) : ip_v6_bytes(v6);
}

static uint64_t hash_of(const char *purpose, const char *id, const char *ifname)
{
	uint8_t seed[16] = {0};
	char text[IPAM_ID_MAX + IPAM_IFNAME_MAX + 2];
	int n = snprintf(text, sizeof(text), "%s/%s", id, ifname);

	memcpy(seed, purpose, strnlen(purpose, sizeof(seed)));
	return map_siphash(seed, text, (size_t)n);
}

void cni_link_name(const char *id, const char *ifname, char out[IFNAMSIZ])
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint64_t h = hash_of("weft host end", id, ifname);
	size_t n = strlen(CNI_LINK_PREFIX);

	strcpy(out, CNI_LINK_PREFIX);
	for (; n < IFNAMSIZ - 1; h >>= 5)
		out[n++] = digits[h & 31];
	out[n] = '\0';
}

void cni_link_pod_mac(const char *id, const char *ifname, uint8_t out[NL_MAC_BYTES])
{
	uint64_t h = hash_of("weft pod mac", id, ifname);

	for (int i = 0; i < NL_MAC_BYTES; i++, h >>= 8)
		out[i] = (uint8_t)h;
	out[0] = (uint8_t)((out[0] & ~1) | 2); /* local, unicast */
}

/* ---- namespaces ---- */

static int open_ns(struct cni_link *l, const char *netns, struct cni_error *e)
{
	struct stat a, b;

	l->ns = open(netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (l->ns < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ESRCH))
		return cni_fail(e, CNI_E_UNKNOWN, "the namespace %.180s is not there", netns);
	if (l->ns < 0)
		return cni_fail(e, CNI_E_IO, "can't open %.140s: %s", netns, err_str(-errno));
	if (ioctl(l->ns, NS_GET_NSTYPE) != CLONE_NEWNET)
		return cni_fail(e, CNI_E_ENV, "CNI_NETNS %.180s is no network namespace", netns);
	if (fstat(l->ns, &a) != 0 || fstat(l->home, &b) != 0)
		return cni_fail(e, CNI_E_IO, "can't look at %.180s", netns);
	if (a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return cni_fail(e, CNI_E_HOST_NETNS,
			"CNI_NETNS %.180s is the namespace of the host itself", netns);
	return 0;
}

/* Back to the host's namespace. Nothing may go on in the pod's, least of all the cleaning up of a failure:
 * DEL finds what a process that ends here leaves. */
static void go_home(const struct cni_link *l)
{
	for (int tries = 0; setns(l->home, CLONE_NEWNET) != 0; tries++)
		if (tries == HOME_TRIES)
			abort();
}

int cni_link_open(struct cni_link *l, const char *netns, struct cni_error *e)
{
	int err;

	memset(l, 0, sizeof(*l));
	l->ns = -1;
	l->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (l->home < 0)
		return cni_fail(e, CNI_E_IO, "can't open /proc/self/ns/net: %s", err_str(-errno));
	if (netns && open_ns(l, netns, e) != 0)
		return ERR_REFUSED;
	err = nlx_open(&l->host, NETLINK_ROUTE);
	if (err)
		return cni_fail(e, CNI_E_KERNEL, "can't open a netlink socket: %s", err_str(err));
	if (!netns)
		return 0;
	if (setns(l->ns, CLONE_NEWNET) != 0)
		return cni_fail(e, CNI_E_KERNEL, "can't enter %.140s: %s", netns, err_str(-errno));
	err = nlx_open(&l->pod, NETLINK_ROUTE);
	go_home(l);
	if (err)
		return cni_fail(e, CNI_E_KERNEL, "can't open a netlink socket in %.140s: %s", netns,
			err_str(err));
	return 0;
}

void cni_link_close(struct cni_link *l)
{
	nlx_close(&l->pod);
	nlx_close(&l->host);
	if (l->ns >= 0)
		close(l->ns);
	if (l->home > 0)
		close(l->home);
	l->home = l->ns = -1;
}

/* ---- sysctls ---- */

static int write_sysctl(const char *path, const char *value)
{
	char full[160], now[32];
	ssize_t n;
	int err = 0, fd;

	if (snprintf(full, sizeof(full), "/proc/sys/%s", path) >= (int)sizeof(full))
		return ERR_RANGE;
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, now, sizeof(now) - 1);
	close(fd);
	if (n > 0) {
		now[n] = '\0';
		now[strcspn(now, "\n")] = '\0';
		if (strcmp(now, value) == 0)
			return 0; /* where /proc/sys is read-only, that is good enough */
	}
	fd = open(full, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		err = -errno;
	close(fd);
	return err;
}

int cni_link_sysctl(struct cni_link *l, bool pod, const char *path, const char *value)
{
	int err;

	if (!pod)
		return write_sysctl(path, value);
	if (setns(l->ns, CLONE_NEWNET) != 0)
		return -errno;
	err = write_sysctl(path, value);
	go_home(l);
	return err;
}

struct sysctl {
	const char *family, *dev, *name, *value; /* dev NULL: the interface */
};

/* rp_filter counts as the larger of this and "all", accept_redirects of a router as both, the rest per
 * device. Whether "all" weakens rp_filter to 2 is no matter: the pin does more. */
static const struct sysctl host_sysctls[] = {
	{"ipv4", NULL, "forwarding", "1"},
	{"ipv4", NULL, "rp_filter", "1"},
	{"ipv4", NULL, "proxy_arp", "0"},
	{"ipv4", NULL, "accept_redirects", "0"},
	{"ipv4", NULL, "send_redirects", "0"},
	{"ipv6", NULL, "disable_ipv6", "0"},
	{"ipv6", NULL, "forwarding", "1"},
	{"ipv6", NULL, "accept_ra", "0"},
	{"ipv6", NULL, "accept_redirects", "0"},
	{"ipv6", NULL, "accept_dad", "0"},
};

/* A host takes redirects if either "all" or the device says so; the pod's namespace is ours to set. */
static const struct sysctl pod_sysctls[] = {
	{"ipv4", "all", "accept_redirects", "0"},
	{"ipv4", NULL, "accept_redirects", "0"},
	{"ipv6", NULL, "disable_ipv6", "0"},
	{"ipv6", NULL, "accept_ra", "0"},
	{"ipv6", NULL, "accept_redirects", "0"},
	{"ipv6", NULL, "accept_dad", "0"},
};

static int each_sysctl(const struct sysctl *v, size_t n, const char *name, bool ipv6,
	int (*fn)(void *ctx, const char *path, const char *value), void *ctx)
{
	char path[128];
	int err = 0;

	for (size_t i = 0; !err && i < n; i++) {
		if (!ipv6 && strcmp(v[i].family, "ipv6") == 0)
			continue;
		snprintf(path, sizeof(path), "net/%s/conf/%s/%s", v[i].family,
			v[i].dev ? v[i].dev : name, v[i].name);
		err = fn(ctx, path, v[i].value);
	}
	return err;
}

int cni_link_host_sysctls(const char *name, bool ipv6,
	int (*fn)(void *ctx, const char *path, const char *value), void *ctx)
{
	return each_sysctl(
		host_sysctls, sizeof(host_sysctls) / sizeof(host_sysctls[0]), name, ipv6, fn, ctx);
}

struct setting {
	struct cni_link *l;
	bool pod;
	struct cni_error *e;
};

static int set_one(void *ctx, const char *path, const char *value)
{
	struct setting *s = ctx;
	int err = cni_link_sysctl(s->l, s->pod, path, value);

	return err ? cni_fail(s->e, CNI_E_KERNEL, "can't write %s to %s%s: %s", value, path,
			     s->pod ? " of the pod" : "", err_str(err))
		   : 0;
}

/* ---- making ---- */

static int kernel_error(
	const struct nlx *x, const char *what, const char *of, int err, struct cni_error *e)
{
	(void)cni_fail(e, CNI_E_KERNEL, "can't %s %.60s: %s", what, of, err_str(err));
	if (x->said[0])
		cni_detail(e, "%s", x->said);
	return ERR_REFUSED;
}

static bool has_family(const struct ipam_att *att, uint8_t family)
{
	for (size_t i = 0; i < att->naddrs; i++)
		if (att->addrs[i].family == family)
			return true;
	return false;
}

/* Neighbour and default route of one family inside the pod. */
static int pod_gateway(struct cni_link *l, int ifindex, uint8_t family, struct cni_error *e)
{
	struct ip gateway = cni_link_gateway(family), any = {.family = family};
	struct nl_route r = {.table = RT_TABLE_MAIN,
		.proto = RTPROT_STATIC,
		.type = RTN_UNICAST,
		.scope = RT_SCOPE_LINK,
		.oif = ifindex};
	int err = nl_neigh_put(&l->pod, ifindex, &gateway, cni_link_mac);

	if (err)
		return kernel_error(&l->pod, "set", "the gateway's neighbour entry", err, e);
	if (family == IP_V4) { /* fe80::1 is on every link already */
		(void)pfx_make(&gateway, 32, &r.dst);
		err = nl_route_via(&l->pod, &r, true);
	}
	r.scope = RT_SCOPE_UNIVERSE;
	r.gateway = gateway;
	(void)pfx_make(&any, 0, &r.dst);
	if (!err)
		err = nl_route_via(&l->pod, &r, false);
	if (err == -EEXIST)
		return cni_fail(e, CNI_E_EXISTS,
			"the pod has a default route already (IPv%d); weft-cni must be the one "
			"plugin that sets it",
			family);
	return err ? kernel_error(&l->pod, "add", "the pod's default route", err, e) : 0;
}

static int pod_side(struct cni_link *l, const struct ipam_att *att, struct cni_error *e)
{
	struct setting s = {l, true, e};
	bool ipv6 = has_family(att, IP_V6);
	struct nl_veth v;
	int err = nl_veth_get(&l->pod, att->ifname, &v);

	if (err)
		return kernel_error(&l->pod, "find", att->ifname, err, e);
	if (each_sysctl(pod_sysctls, sizeof(pod_sysctls) / sizeof(pod_sysctls[0]), att->ifname,
		    ipv6, set_one, &s) != 0)
		return ERR_REFUSED;
	err = nl_link_up(&l->pod, v.ifindex, 0, 0);
	if (err)
		return kernel_error(&l->pod, "set up", att->ifname, err, e);
	for (size_t i = 0; i < att->naddrs; i++) {
		err = nl_addr_add(&l->pod, v.ifindex, &att->addrs[i]);
		if (err)
			return kernel_error(&l->pod, "give an address to", att->ifname, err, e);
	}
	if (has_family(att, IP_V4) && pod_gateway(l, v.ifindex, IP_V4, e) != 0)
		return ERR_REFUSED;
	return ipv6 ? pod_gateway(l, v.ifindex, IP_V6, e) : 0;
}

int cni_link_routes(struct cni_link *l, const struct ipam_att *att, int ifindex, uint32_t table)
{
	int err = 0;

	for (size_t i = 0; !err && i < att->naddrs; i++) {
		struct nl_route r = {.table = table,
			.metric = CNI_LINK_METRIC,
			.proto = CNI_LINK_RTPROT,
			.type = RTN_UNICAST,
			.scope = RT_SCOPE_LINK,
			.oif = ifindex};

		(void)pfx_make(&att->addrs[i], ip_bits(&att->addrs[i]), &r.dst);
		err = nl_route_via(&l->host, &r, true);
	}
	return err;
}

/* Everything once the pair is there. */
static int dress(struct cni_link *l, const struct ipam_att *att, const char *name, uint32_t table,
	struct cni_error *e)
{
	struct setting s = {l, false, e};
	char alias[NL_ALIAS_MAX + 1];
	struct nl_veth v;
	int err = nl_veth_get(&l->host, name, &v);

	if (err)
		return kernel_error(&l->host, "find", name, err, e);
	cni_look_alias(att, alias);
	err = nl_link_alias(&l->host, v.ifindex, alias);
	if (err)
		return kernel_error(&l->host, "name", name, err, e);
	if (cni_link_host_sysctls(name, has_family(att, IP_V6), set_one, &s) != 0)
		return ERR_REFUSED;
	err = nl_link_up(&l->host, v.ifindex, 0, 0);
	if (err)
		return kernel_error(&l->host, "set up", name, err, e);
	if (pod_side(l, att, e) != 0)
		return ERR_REFUSED;
	err = cni_link_routes(l, att, v.ifindex, table);
	return err ? kernel_error(&l->host, "add the pod's routes to", name, err, e) : 0;
}

int cni_link_add(struct cni_link *l, const struct ipam_att *att, const char *name, unsigned mtu,
	uint32_t table, struct cni_error *e)
{
	struct nl_veth_spec spec = {
		.name = name, .peer = att->ifname, .mtu = mtu, .peer_ns = l->ns};
	struct cni_error spare = {0};
	struct nl_veth v;
	int err;

	memcpy(spec.mac, cni_link_mac, sizeof(spec.mac));
	memcpy(spec.peer_mac, att->mac, sizeof(spec.peer_mac));
	if (nl_veth_get(&l->pod, att->ifname, &v) == 0)
		return cni_fail(
			e, CNI_E_EXISTS, "the pod has an interface %s already", att->ifname);
	err = nl_veth_add(&l->host, &spec);
	if (err == -EEXIST)
		return cni_fail(e, CNI_E_EXISTS, "the interface %s or %s is there already", name,
			att->ifname);
	if (err)
		return kernel_error(&l->host, "make", name, err, e);
	if (dress(l, att, name, table, e) == 0)
		return 0;
	(void)cni_link_del(l, name, &spare);
	return ERR_REFUSED;
}

int cni_link_del(struct cni_link *l, const char *name, struct cni_error *e)
{
	struct nl_veth v;
	int err = nl_veth_get(&l->host, name, &v);

	if (err == -ENODEV || (!err && !cni_look_is_ours(&v)))
		return 0;
	if (!err)
		err = nl_link_del(&l->host, v.ifindex);
	if (err && err != -ENODEV)
		return kernel_error(&l->host, "delete", name, err, e);
	return 0;
}

/* ---- the pin ---- */

int cni_link_pin(struct cni_error *e)
{
	struct nlx x;
	int err = nlx_open(&x, NETLINK_NETFILTER);

	if (!err && nl_pin_check(&x, CNI_LINK_TABLE) != 0)
		err = nl_pin_put(&x, CNI_LINK_TABLE, CNI_LINK_PREFIX);
	nlx_close(&x);
	if (!err)
		return 0;
	(void)cni_fail(
		e, CNI_E_KERNEL, "can't pin pods to their addresses: nf_tables: %s", err_str(err));
	cni_detail(e, "the kernel needs nf_tables with the fib expression, or say \"pin\": false");
	return ERR_REFUSED;
}

void cni_link_unpin(void)
{
	struct nlx x;

	if (nlx_open(&x, NETLINK_NETFILTER) == 0)
		(void)nl_nft_del(&x, NFPROTO_INET, CNI_LINK_TABLE);
	nlx_close(&x);
}
