/* bfd_wire.c - codec of the control packet. A peer's numbers are only bounded here, never judged. */
#include "bfd_wire.h"

#include <string.h>
#include "weft/buf.h"

enum bfd_drop bfd_pkt_decode(const uint8_t *buf, size_t len, struct bfd_pkt *out)
{
	struct rd r;
	uint8_t first, second, length;

	memset(out, 0, sizeof(*out));
	rd_init(&r, buf, len);
	first = rd_u8(&r);
	second = rd_u8(&r);
	out->mult = rd_u8(&r);
	length = rd_u8(&r);
	out->my_discr = rd_u32(&r);
	out->your_discr = rd_u32(&r);
	out->min_tx_us = rd_u32(&r);
	out->min_rx_us = rd_u32(&r);
	out->min_echo_us = rd_u32(&r);
	if (rd_bad(&r))
		return BFD_DROP_LENGTH;
	out->diag = first & 0x1f;
	out->state = second >> 6;
	out->flags = second & 0x3f;
	/* In the order of RFC 5880 6.8.6. */
	if (first >> 5 != BFD_VERSION)
		return BFD_DROP_VERSION;
	if (length < (out->flags & BFD_FLAG_AUTH ? BFD_AUTH_LEN : BFD_MIN_LEN) || length > len)
		return BFD_DROP_LENGTH;
	if (out->mult == 0 || (out->flags & BFD_FLAG_MULTIPOINT) || out->my_discr == 0)
		return BFD_DROP_MALFORMED;
	if (out->your_discr == 0 && out->state != BFD_DOWN && out->state != BFD_ADMIN_DOWN)
		return BFD_DROP_MALFORMED;
	return BFD_OK;
}

void bfd_pkt_encode(const struct bfd_pkt *p, uint8_t out[BFD_MIN_LEN])
{
	struct wr w;

	wr_init(&w, out, BFD_MIN_LEN);
	wr_u8(&w, (uint8_t)(BFD_VERSION << 5 | (p->diag & 0x1f)));
	wr_u8(&w, (uint8_t)(p->state << 6 | (p->flags & 0x3f)));
	wr_u8(&w, p->mult);
	wr_u8(&w, BFD_MIN_LEN);
	wr_u32(&w, p->my_discr);
	wr_u32(&w, p->your_discr);
	wr_u32(&w, p->min_tx_us);
	wr_u32(&w, p->min_rx_us);
	wr_u32(&w, p->min_echo_us);
}
