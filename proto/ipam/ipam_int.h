/* ipam_int.h - what the files of proto/ipam share. */
#ifndef WEFT_IPAM_INT_H
#define WEFT_IPAM_INT_H

#include "ipam.h"
#include "ipam_pool.h"
#include "map.h"

struct ipam {
	uint8_t boot_id[IPAM_BOOT_ID];
	struct ipam_pool *pools[LIM_POD_PREFIXES]; /* in the order that was stated */
	size_t npools;
	struct map *atts;    /* hash of (id, ifname) -> struct ipam_att */
	struct map *holders; /* struct ipam_addr_key -> struct ipam_att */
};

/* No padding: used as a key by its bytes. */
struct ipam_addr_key {
	uint32_t vni;
	uint8_t family, b[16], zero[3];
};

#endif
