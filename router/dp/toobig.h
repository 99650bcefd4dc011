/* toobig.h - "too big" for the sender of an inner packet: ICMP destination unreachable, fragmentation
 * needed (RFC 792, 1191), or ICMPv6 packet too big (RFC 4443 3.2). Pure; changes nothing. */
#ifndef WEFT_TOOBIG_H
#define WEFT_TOOBIG_H

#include <stddef.h>
#include <stdint.h>
#include "pkt.h"

#define TOOBIG_MAX 1280 /* no longer: RFC 4443 2.4 c; for IPv4 576, RFC 1812 4.3.2.3 */

/* Write the answer to @pi, which is larger than @mtu, to @out (TOOBIG_MAX bytes). It comes from the
 * address that the packet went to: that is routed the way it comes from, and the only one known to
 * belong there. Returns its length; 0: there must be none: IPv4 that may be fragmented, a fragment but
 * the first, an ICMP error, a source that is not one host. */
size_t toobig_make(const struct pkt_info *pi, uint32_t mtu, uint8_t *out);

#endif
