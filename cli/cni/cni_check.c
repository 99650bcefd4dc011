/* cni_check.c - CHECK: is everything that ADD made still there, as it made it? Looked at are the
 * reservation, prevResult, both ends of the interface, addresses, routes, neighbour entries, sysctls,
 * the pin, and weftd. What plugins behind this one change and say in the result is fine. */
#include <string.h>
#include "cni_look.h"
#include "cni_mesh.h"
#include "cni_pool.h"
#include "cni_result.h"
#include "weft/err.h"

/* Every address of ours must be in prevResult; there may be more. */
static int compare_result(
	const struct cni_call *c, const struct ipam_att *att, uint8_t mac[6], struct cni_error *e)
{
	struct pfx said[4 * IPAM_ADDRS_MAX];
	char text[IP_STRLEN];
	int n = cni_result_ips(c->prev, c->ifname, said, sizeof(said) / sizeof(said[0]), mac);

	if (n < 0) {
		(void)cni_fail(e, CNI_E_DIFFERENT, "prevResult is not what ADD gave");
		cni_detail(e, "it has no interface %s in a sandbox", c->ifname);
		return ERR_REFUSED;
	}
	for (size_t i = 0; i < att->naddrs; i++) {
		bool there = false;

		for (int k = 0; k < n; k++)
			there |= ip_eq(&said[k].ip, &att->addrs[i]);
		if (!there) {
			(void)cni_fail(e, CNI_E_DIFFERENT, "prevResult is not what ADD gave");
			cni_detail(e, "it lacks %s", ip_fmt(&att->addrs[i], text));
		}
	}
	return e->code ? ERR_REFUSED : 0;
}

static int reservation(const struct cni_call *c, struct ipam_att *out, struct cni_error *e)
{
	const struct ipam_att *att;
	struct cni_pool p;
	int err = cni_pool_peek(c, &p, e);

	if (!err) {
		att = ipam_find(p.m, c->id, c->ifname);
		if (att)
			*out = *att;
		else
			err = cni_fail(e, CNI_E_DIFFERENT,
				"no address is reserved for %s of this "
				"container",
				c->ifname);
	}
	cni_pool_close(&p);
	return err;
}

int cni_check(const struct cni_call *c, struct cni_error *e)
{
	struct ipam_att att = {.naddrs = 0};
	struct cni_mesh mesh;
	struct cni_link l;
	char name[IFNAMSIZ];
	uint8_t mac[6];

	if (!c->prev)
		return cni_fail(e, CNI_E_CONFIG, "prevResult is missing: CHECK needs ADD's result");
	if (cni_link_open(&l, c->netns, e) == 0 && reservation(c, &att, e) == 0 &&
		compare_result(c, &att, mac, e) == 0 && cni_mesh_ask(c->socket, &mesh, e) == 0) {
		cni_link_name(c->id, c->ifname, name);
		cni_look_check(&l, &att, name, mesh.table, c->pin, mac, e);
	}
	cni_link_close(&l);
	return e->code ? ERR_REFUSED : 0;
}
