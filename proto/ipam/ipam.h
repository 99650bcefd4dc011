/* ipam.h - a node's pod addresses: which of its prefixes' addresses are given out, to whom.
 *
 * A library below the CNI plugin (and, later, the daemon): no I/O, no clock, one thread. Truth are the
 * attachments, each keyed (container id, interface name) and holding its addresses; the pools, one per
 * prefix, are an index over them. The whole state is one blob that carries the boot id: after a reboot
 * no pod of it lives, so another boot id voids it.
 *
 * Never given out: a prefix's network address, its mesh address (the first, DESIGN 1) and IPv4
 * broadcast. A freed address rests for IPAM_HOLD, so that what others still remember of the old pod
 * (connections, neighbour entries, DNS) doesn't reach a new one; when nothing else is left, those that
 * rested longest go first, but none before IPAM_HOLD_MIN. Who asks for an address by name gets it even
 * while it rests. */
#ifndef WEFT_IPAM_H
#define WEFT_IPAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/bounds.h"
#include "weft/ts.h"

#define IPAM_POOL_MAX  65536 /* addresses of a prefix that are given out unasked: the first ones */
#define IPAM_ADDRS_MAX 8     /* of one attachment */
#define IPAM_BOOT_ID   16    /* bytes */
#define IPAM_HOLD      DUR_SEC(60)
#define IPAM_HOLD_MIN  DUR_SEC(5)

#define IPAM_ID_MAX      128 /* characters of a container id */
#define IPAM_IFNAME_MAX  15
#define IPAM_NETWORK_MAX 96
#define IPAM_POD_NS_MAX  63
#define IPAM_POD_MAX     253
#define IPAM_UID_MAX     63

struct ipam;

struct ipam_prefix {
	uint32_t vni;
	struct pfx pfx;
};

/* An attachment. The texts are the caller's, stored as they are; empty where there is none. */
struct ipam_att {
	char id[IPAM_ID_MAX + 1];           /* container; not empty */
	char ifname[IPAM_IFNAME_MAX + 1];   /* not empty */
	char network[IPAM_NETWORK_MAX + 1]; /* name of the CNI network */
	char pod_ns[IPAM_POD_NS_MAX + 1], pod[IPAM_POD_MAX + 1], pod_uid[IPAM_UID_MAX + 1];
	uint32_t vni;
	uint8_t mac[6];
	ts_t since; /* of the clock that the caller uses for now */
	struct ip addrs[IPAM_ADDRS_MAX];
	size_t naddrs;
};

/* An empty state. Returns owned; NULL: no memory. */
struct ipam *ipam_new(const uint8_t boot_id[IPAM_BOOT_ID]);
void ipam_free(struct ipam *m); /* NULL is fine */

/* State these to be the node's prefixes (borrowed). Attachments with addresses outside them keep those
 * until they are detached. Overlapping prefixes are fine: an address is given out once. ERR_FULL
 * (LIM_POD_PREFIXES), ERR_RANGE (bits past the length, no family), ERR_NOMEM: unchanged. */
int ipam_prefixes_set(struct ipam *m, const struct ipam_prefix *p, size_t n);
/* The @i-th prefix in force; false past the end. */
bool ipam_prefix_at(const struct ipam *m, size_t i, struct ipam_prefix *out);

/* Give @want (borrowed; @want->addrs are those asked for by name) one address of each family in
 * @families (bits 1: IPv4, 2: IPv6) that has a prefix in the segment @want->vni, unless one of that
 * family was asked for by name. *@out is what is stored, borrowed until the next change.
 *
 * ERR_EXISTS: this attachment is there; ERR_FULL: a family has no address left, ERR_LIMIT: nor has the
 * table (LIM_PODS); ERR_NOT_FOUND: no prefix of any such family, so there would be no address;
 * ERR_RANGE: an asked one is outside the prefixes; ERR_REFUSED: it is reserved; ERR_CONFLICT: it is
 * another's (or asked twice); ERR_NOMEM. *@bad (may be NULL) is then the address meant, or one of the
 * family meant with all bytes zero. Nothing is changed. */
int ipam_attach(struct ipam *m, const struct ipam_att *want, unsigned families, ts_t now,
	const struct ipam_att **out, struct ip *bad);
/* Enter an attachment with exactly these addresses, as found in the kernel, in whatever prefix or none.
 * ERR_EXISTS, ERR_CONFLICT, ERR_LIMIT, ERR_RANGE (texts, counts), ERR_NOMEM. */
int ipam_adopt(struct ipam *m, const struct ipam_att *att);
/* Forget it; its addresses rest from @now. ERR_NOT_FOUND. */
int ipam_detach(struct ipam *m, const char *id, const char *ifname, ts_t now);
/* Borrowed until the next change; NULL: none. */
const struct ipam_att *ipam_find(const struct ipam *m, const char *id, const char *ifname);
/* Walk in no order: start with *@it = 0. Between calls only the one just returned may be detached. */
bool ipam_next(const struct ipam *m, size_t *it, const struct ipam_att **out);
/* Who holds @ip? NULL: nobody. */
const struct ipam_att *ipam_holder(const struct ipam *m, uint32_t vni, const struct ip *ip);

struct ipam_stats {
	size_t attachments;
	uint64_t size, used, held,
		free;   /* addresses of all pools of the family that was asked for */
	bool exhausted; /* there are prefixes, and none has an address to give at @now */
};
void ipam_stats(const struct ipam *m, uint32_t vni, enum ip_family family, ts_t now,
	struct ipam_stats *out);

/* The state as bytes; returns owned in *@buf. ERR_NOMEM. */
int ipam_encode(const struct ipam *m, uint8_t **buf, size_t *len);
/* Back again; returns owned in *@out. ERR_STALE: of another boot; ERR_TRUNCATED, ERR_MALFORMED: not a
 * state; ERR_VERSION; ERR_CONFLICT: an address or attachment is there twice; ERR_NOMEM. */
int ipam_decode(
	const uint8_t *buf, size_t len, const uint8_t boot_id[IPAM_BOOT_ID], struct ipam **out);

#endif
