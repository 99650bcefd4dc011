/* ecn.h - ECN through the tunnel (RFC 6040), both ways (DESIGN 5.12). */
#ifndef WEFT_ECN_H
#define WEFT_ECN_H

#include <stdint.h>
#include "pkt.h"

enum ecn {
	ECN_NOT_ECT = 0,
	ECN_ECT1 = 1,
	ECN_ECT0 = 2,
	ECN_CE = 3,
};
#define ECN_MASK 3

/* Result bits of ecn_combine. ECN_DROP: not ECN-capable inside, congestion outside: drop (RFC 6040 4.2).
 * ECN_ALARM: marked (!!!) or (!) in RFC 6040 figure 4: nobody uses it lawfully today. */
#define ECN_DROP  0x80
#define ECN_ALARM 0x40

/* TOS or traffic class of the outer header: ECN copied from @inner_tos (RFC 6040 4.1, normal mode);
 * DSCP copied too, or @dscp if that is 0..63 (dp_cfg.dscp; DP_DSCP_COPY is -1). */
uint8_t ecn_outer_tos(uint8_t inner_tos, int dscp);

/* RFC 6040 figure 4: the ECN field that leaves the tunnel (low two bits), with the bits above. */
uint8_t ecn_combine(uint8_t inner, uint8_t outer);

/* Apply it: rewrite the ECN field of the inner packet where needed, IPv4 header checksum kept as
 * right or as wrong as it was. @pkt is pi->pkt, writable; pi->tos follows. @outer_tos: the outer
 * header's. 0 unchanged, 1 changed, ERR_REFUSED: must be dropped (counted as "ecn"). */
int ecn_decap(uint8_t *pkt, struct pkt_info *pi, uint8_t outer_tos);

#endif
