/* cni_add.c - ADD: an address, an interface, a result. Data in: a call; weftd's word. Data out: the
 * result. Order: the namespace is looked at before anything is taken (so error 3 and 8 need no DEL), the
 * address stands in the file before its interface is made, and is given back when that fails. */
#include <string.h>
#include "cni_link.h"
#include "cni_look.h"
#include "cni_mesh.h"
#include "cni_pool.h"
#include "cni_result.h"
#include "weft/err.h"

#define IPV6_MTU_MIN  1280 /* RFC 8200 5 */
#define FAMILY_V4_BIT 1u
#define FAMILY_V6_BIT 2u

struct adding {
	const struct cni_call *c;
	struct cni_mesh mesh;
	struct cni_link link;
	struct cni_pool pool;
	struct ipam_att att;
	char name[IFNAMSIZ];
	unsigned mtu;
	int64_t deadline_ms;
	bool used_up[2]; /* IPv4, IPv6: this ADD took the last address */
};

static bool kernel_has_ipv6(void)
{
	FILE *f = fopen("/proc/net/if_inet6", "re");

	if (f)
		fclose(f);
	return f != NULL;
}

/* @why: on ERR_FULL, why there is no other prefix. */
static int attach_error(
	const struct adding *a, int err, const struct ip *bad, const char *why, struct cni_error *e)
{
	char ip[IP_STRLEN];

	if (bad->family != IP_NONE)
		ip_fmt(bad, ip);
	switch (err) {
	case ERR_FULL:
		(void)cni_fail(e, CNI_E_LATER, "all pod addresses are in use (IPv%d)", bad->family);
		cni_detail(e, "%s; freed ones rest for a while", why);
		return ERR_REFUSED;
	case ERR_LIMIT:
		return cni_fail(e, CNI_E_LATER, "this node has %d attachments, and takes no more",
			LIM_PODS);
	case ERR_CONFLICT:
		return cni_fail(e, CNI_E_LATER, "the address %s is in use", ip);
	case ERR_RANGE:
		return cni_fail(
			e, CNI_E_CONFIG, "the address %s is in none of this node's prefixes", ip);
	case ERR_REFUSED:
		return cni_fail(e, CNI_E_CONFIG, "the address %s is reserved in its prefix", ip);
	case ERR_NOT_FOUND:
		return cni_fail(
			e, CNI_E_LATER, "this node has no prefix to give pods addresses from");
	case ERR_EXISTS:
		return cni_fail(
			e, CNI_E_EXISTS, "%s of this container is attached already", a->c->ifname);
	default:
		return cni_fail(e, CNI_E_INTERNAL, "%s", err_str(err));
	}
}

/* An attachment of that name is there: left over from an ADD that died, or alive? */
static int replace_leftover(struct adding *a, struct cni_error *e)
{
	const struct ipam_att *old = ipam_find(a->pool.m, a->c->id, a->c->ifname);
	struct ip none = {.family = IP_NONE};
	struct nl_veth v;
	int err;

	err = nl_veth_get(&a->link.host, a->name, &v);
	if (err == 0)
		return attach_error(a, ERR_EXISTS, &none, "", e);
	if (err != -ENODEV)
		return cni_fail(e, CNI_E_KERNEL, "can't look for %s: %s", a->name, err_str(err));
	if (old)
		(void)ipam_detach(a->pool.m, a->c->id, a->c->ifname, a->pool.now);
	return 0;
}

/* Enter the attachment into the file, which is then open; *@made is borrowed from it. An error of
 * ipam_attach, with *@bad; or ERR_REFUSED, with @e filled and *@bad of no family. */
static int reserve(
	struct adding *a, const struct ipam_att **made, struct ip *bad, struct cni_error *e)
{
	unsigned families = FAMILY_V4_BIT | (kernel_has_ipv6() ? FAMILY_V6_BIT : 0);
	int err;

	*bad = (struct ip){.family = IP_NONE};
	if (cni_pool_open(a->c, &a->link, &a->pool, e) != 0 || replace_leftover(a, e) != 0)
		return ERR_REFUSED;
	err = ipam_prefixes_set(a->pool.m, a->mesh.prefixes, a->mesh.nprefixes);
	if (err)
		return cni_fail(e, CNI_E_INTERNAL, "prefixes: %s", err_str(err));
	err = ipam_attach(a->pool.m, &a->att, families, a->pool.now, made, bad);
	if (err == ERR_FULL || err == ERR_LIMIT) {
		cni_pool_reclaim(&a->pool, &a->link);
		err = ipam_attach(a->pool.m, &a->att, families, a->pool.now, made, bad);
	}
	return err;
}

static int take_address(struct adding *a, struct cni_error *e)
{
	const struct ipam_att *made;
	struct ipam_stats st;
	char why[256] = "";
	struct ip bad;
	int err;

	while ((err = reserve(a, &made, &bad, e)) == ERR_FULL) {
		cni_pool_close(&a->pool); /* others go on while this one waits */
		if (!cni_mesh_grow(a->c->socket, a->deadline_ms, (enum ip_family)bad.family,
			    &a->mesh, why, sizeof(why)))
			break;
	}
	if (err)
		return e->code ? ERR_REFUSED : attach_error(a, err, &bad, why, e);
	a->att = *made;
	for (int i = 0; i < 2; i++) {
		ipam_stats(a->pool.m, CNI_VNI, i == 0 ? IP_V4 : IP_V6, a->pool.now, &st);
		a->used_up[i] = st.exhausted;
	}
	if ((!a->c->pin || cni_link_pin(e) == 0) && cni_pool_save(&a->pool, e) == 0)
		return 0;
	(void)ipam_detach(a->pool.m, a->att.id, a->att.ifname, a->pool.now);
	cni_pool_idle(&a->pool);
	return ERR_REFUSED;
}

/* Ahead of need; where nothing is claimed the answer is no, and that is fine. */
static void ask_ahead(const struct adding *a)
{
	char why[256];

	for (int i = 0; i < 2; i++)
		if (a->used_up[i])
			(void)cni_mesh_more(a->c->socket, i == 0 ? IP_V4 : IP_V6, why, sizeof(why));
}

static void give_back(struct adding *a)
{
	struct cni_error spare = {0};

	if (cni_pool_open(a->c, &a->link, &a->pool, &spare) == 0 &&
		ipam_detach(a->pool.m, a->att.id, a->att.ifname, a->pool.now) == 0 &&
		cni_pool_save(&a->pool, &spare) == 0)
		cni_pool_idle(&a->pool);
	cni_pool_close(&a->pool);
}

static int choose_mtu(struct adding *a, struct cni_error *e)
{
	a->mtu = a->mesh.mtu;
	if (a->c->mtu == 0)
		return 0;
	if (a->c->mtu > a->mesh.mtu)
		return cni_fail(
			e, CNI_E_CONFIG, "mtu %u is above the mesh's, %u", a->c->mtu, a->mesh.mtu);
	for (size_t i = 0; i < a->mesh.nprefixes; i++)
		if (a->mesh.prefixes[i].pfx.ip.family == IP_V6 && a->c->mtu < IPV6_MTU_MIN)
			return cni_fail(e, CNI_E_CONFIG, "mtu %u is below %d, which IPv6 needs",
				a->c->mtu, IPV6_MTU_MIN);
	a->mtu = a->c->mtu;
	return 0;
}

static void describe(struct adding *a)
{
	const struct cni_call *c = a->c;
	struct ipam_att *att = &a->att;

	*att = (struct ipam_att){.vni = CNI_VNI, .naddrs = c->nips};
	strcpy(att->id, c->id);
	strcpy(att->ifname, c->ifname);
	strcpy(att->network, c->network);
	strcpy(att->pod_ns, c->pod_ns);
	strcpy(att->pod, c->pod);
	strcpy(att->pod_uid, c->pod_uid);
	memcpy(att->addrs, c->ips, c->nips * sizeof(c->ips[0]));
	if (c->has_mac)
		memcpy(att->mac, c->mac, sizeof(att->mac));
	else
		cni_link_pod_mac(c->id, c->ifname, att->mac);
	cni_link_name(c->id, c->ifname, a->name);
}

static int run(struct adding *a, json_t **out, struct cni_error *e)
{
	struct cni_made made = {.att = &a->att, .host_name = a->name, .host_mac = cni_link_mac};

	describe(a);
	if (cni_link_open(&a->link, a->c->netns, e) != 0)
		return ERR_REFUSED;
	a->deadline_ms = cni_mesh_now_ms() + a->c->wait_ms;
	if (cni_mesh_wait(a->c->socket, a->deadline_ms, &a->mesh, e) != 0 || choose_mtu(a, e) != 0)
		return ERR_REFUSED;
	if (take_address(a, e) != 0)
		return ERR_REFUSED;
	cni_pool_close(&a->pool);
	ask_ahead(a);
	if (cni_link_add(&a->link, &a->att, a->name, a->mtu, a->mesh.table, e) != 0) {
		give_back(a);
		return ERR_REFUSED;
	}
	made.mtu = a->mtu;
	*out = cni_result_add(a->c, &made);
	if (*out)
		return 0;
	(void)cni_link_del(&a->link, a->name, e);
	give_back(a);
	return cni_fail(e, CNI_E_INTERNAL, "no memory");
}

int cni_add(const struct cni_call *c, json_t **out, struct cni_error *e)
{
	struct adding a = {.c = c, .link = {.home = -1, .ns = -1}, .pool = {.lock = -1}};
	int err = run(&a, out, e);

	cni_pool_close(&a.pool);
	cni_link_close(&a.link);
	return err;
}
