/* bgp_cap.h - capabilities (RFC 5492) and address families on the wire (RFC 4760). */
#ifndef WEFT_BGP_CAP_H
#define WEFT_BGP_CAP_H

#include <stdbool.h>
#include <stdint.h>
#include "weft/buf.h"

struct bgp_caps {
	bool any; /* there was a capabilities parameter at all */
	bool mp;  /* at least one multiprotocol capability: else IPv4 unicast is meant */
	uint32_t families;
	bool evpn, flowspec; /* offered, which is for bgp_caps_word alone */
	bool refresh, enhanced_refresh, as4;
	uint32_t as; /* with as4 */
	/* RFC 4724 3, 8538 2: R, N, seconds; the families that are kept, and those of them with F. */
	bool restart, restart_state, restart_notify;
	uint16_t restart_secs;
	uint32_t restart_families, forward_families;
	uint8_t role;      /* RFC 9234 4.1: one more than its value; 0: none */
	bool role_unequal; /* told twice, and not the same */
	bool ext_message;  /* RFC 8654 */
	bool v4_over_v6;   /* RFC 8950: IPv4 unicast with IPv6 next hops */
	uint32_t paths_in,
		paths_out; /* RFC 7911: families in which it receives, or sends, several */
};

/* Read the value of one capabilities parameter into @c, adding to what is there. Unknown ones are
 * skipped, the last of several wins (RFC 5492 4). ERR_MALFORMED. */
int bgp_caps_decode(struct rd *r, struct bgp_caps *c);
/* Why nobody can speak with who offers @c alone: what it offers that is not spoken, and the remedy. */
const char *bgp_caps_word(const struct bgp_caps *c);
/* Write the capabilities of @c. */
void bgp_caps_encode(struct wr *w, const struct bgp_caps *c);

/* AFI and SAFI of a family, and back: -1 for what we don't know. */
uint16_t bgp_family_afi(unsigned family);
uint8_t bgp_family_safi(unsigned family);
int bgp_family_of(uint16_t afi, uint8_t safi);
static inline bool bgp_family_vpn(unsigned family)
{
	return family >= 2;
}
/* Bits of an address of the family: 32 or 128. */
static inline unsigned bgp_family_bits(unsigned family)
{
	return family & 1 ? 128 : 32;
}

#endif
