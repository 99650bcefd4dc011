/* bfd_wire.h - the control packet of BFD (RFC 5880 4.1): layout, numbers, codec. */
#ifndef WEFT_BFD_WIRE_H
#define WEFT_BFD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bfd.h"

#define BFD_VERSION         1
#define BFD_MIN_LEN         24 /* without authentication section */
#define BFD_AUTH_LEN        26 /* the least with one */
#define BFD_FLAG_POLL       0x20u
#define BFD_FLAG_FINAL      0x10u
#define BFD_FLAG_CPI        0x08u /* control plane independent */
#define BFD_FLAG_AUTH       0x04u
#define BFD_FLAG_DEMAND     0x02u
#define BFD_FLAG_MULTIPOINT 0x01u

struct bfd_pkt {
	uint8_t diag;  /* enum bfd_diag, or a number that this build doesn't know */
	uint8_t state; /* enum bfd_state */
	uint8_t flags; /* BFD_FLAG_ */
	uint8_t mult;
	uint32_t my_discr, your_discr;
	uint32_t min_tx_us, min_rx_us, min_echo_us;
};

/* Take a packet apart and make the checks of RFC 5880 6.8.6 that need no session: BFD_OK, or why it is
 * to be dropped; *@out is then zeroed but for what came before the fault. What stands behind the
 * length that the packet names is not looked at. */
enum bfd_drop bfd_pkt_decode(const uint8_t *buf, size_t len, struct bfd_pkt *out);
/* BFD_MIN_LEN bytes, without authentication section. */
void bfd_pkt_encode(const struct bfd_pkt *p, uint8_t out[BFD_MIN_LEN]);

#endif
