/* bgp_update.h - UPDATE: NLRI and the message around the attributes (RFC 4271 4.3, 4760, 4364). */
#ifndef WEFT_BGP_UPDATE_H
#define WEFT_BGP_UPDATE_H

#include "bgp_attr.h"

/* Read one NLRI of @family; bits past the prefix length are cleared. ERR_MALFORMED. */
int bgp_nlri_read(struct rd *r, unsigned family, struct bgp_nlri *out);
/* Read the next one of @mp, with its path identifier where there are such. ERR_MALFORMED. */
int bgp_mp_read(struct rd *r, const struct bgp_mp *mp, struct bgp_nlri *out);
/* Write one; withdrawn ones carry no label that means anything. */
void bgp_nlri_write(struct wr *w, const struct bgp_nlri *n, bool withdrawn);
/* Can this be a route to anything (RFC 4271 6.3: multicast and the like are ignored)? */
bool bgp_nlri_martian(const struct bgp_nlri *n);

/* An UPDATE taken apart. The NLRI were all read once, so reading them again can't fail. */
struct bgp_update {
	struct bgp_mp withdrawn, announced; /* the IPv4 fields of the message */
	struct bgp_attr_in attrs;
	bool end_of_rib; /* RFC 4724 2 */
	int eor_family;
};
/* Read the body of an UPDATE. attrs.fix says what is to be done: with FIX_RESET nothing else of it
 * is to be used; with FIX_WITHDRAW all NLRI announced are withdrawn. */
void bgp_update_decode(
	const uint8_t *body, size_t len, const struct bgp_from *from, struct bgp_update *u);

/* End-of-RIB of @family (RFC 4724 2). */
void bgp_eor_encode(struct wr *w, unsigned family);
#define BGP_EOR_MAX 30 /* bytes of one */

#endif
