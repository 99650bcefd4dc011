/* cni_look.h - what stands in the kernel. */
#ifndef WEFT_CNI_LOOK_H
#define WEFT_CNI_LOOK_H

#include "cni_link.h"

/* A host end of ours. */
struct cni_seen {
	struct nl_veth link;
	bool named; /* the alias tells the rest; if not, ADD was killed right after making it */
	struct ipam_att att; /* network, id, ifname, and the addresses routed to it */
};
/* Every host end of ours. @fn may delete the one it is given. Returns its first error, or -errno. */
int cni_look_scan(struct cni_link *l, int (*fn)(void *ctx, const struct cni_seen *s), void *ctx);
/* Text that names an attachment, for the host end's alias. */
void cni_look_alias(const struct ipam_att *att, char out[NL_ALIAS_MAX + 1]);
/* What cni_look_alias wrote: network, id and ifname of @out. */
bool cni_look_parse_alias(const char *alias, struct ipam_att *out);
bool cni_look_is_ours(const struct nl_veth *v);
/* Compare what stands with what ADD made; each difference is a detail of error 102. */
void cni_look_check(struct cni_link *l, const struct ipam_att *att, const char *name,
	uint32_t table, bool pin, const uint8_t pod_mac[NL_MAC_BYTES], struct cni_error *e);

#endif
