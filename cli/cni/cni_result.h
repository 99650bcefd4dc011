/* cni_result.h - what the plugin prints, as JSON. */
#ifndef WEFT_CNI_RESULT_H
#define WEFT_CNI_RESULT_H

#include "cni.h"

struct cni_made {
	const struct ipam_att *att;
	const char *host_name;
	const uint8_t *host_mac;
	unsigned mtu;
};

/* The result of ADD in the call's version: what prevResult holds, if there is one, and ours behind it.
 * Returns owned; NULL: no memory. */
json_t *cni_result_add(const struct cni_call *c, const struct cni_made *made);
json_t *cni_result_error(const struct cni_call *c, const struct cni_error *e);
json_t *cni_result_versions(const char *version);
/* The addresses that @prev gives the interface @ifname inside a sandbox, at most @max; returns how many.
 * *@mac gets that interface's address, zero if it has none. -1: no such interface. */
int cni_result_ips(
	const json_t *prev, const char *ifname, struct pfx *out, size_t max, uint8_t mac[6]);

#endif
