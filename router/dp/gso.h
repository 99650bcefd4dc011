/* gso.h - what a TUN with IFF_VNET_HDR hands out and takes in: splitting a super-packet straight
 * into the send buffer, settling checksums (DESIGN 5.5), and the header for the way back.
 *
 * Call order for a TUN read of n bytes into buf:
 *	memcpy(&vnet, buf, sizeof(vnet));
 *	pkt_parse(&pi, buf + sizeof(vnet), n - sizeof(vnet));	look up the route by pi.dst, then
 *	gso_init(&it, &vnet, &pi, flags);			it.seg_bytes against the path MTU
 *	while (gso_next(&it, dst, cap, &len, &inner_flags) > 0)
 *		seal and send; */
#ifndef WEFT_GSO_H
#define WEFT_GSO_H

#include <stddef.h>
#include <stdint.h>
#include <linux/virtio_net.h>
#include "pkt.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* Flags of gso_init */
#define GSO_PARTIAL_OK                                                                             \
	0x01 /* sums may stay partial; without it, all are completed (`checksum: full`) */

/* A packet on its way out. Fields but the first three are private. */
struct gso_iter {
	uint32_t segs;      /* how many gso_next will give */
	uint32_t seg_bytes; /* the largest inner IP packet among them: what path MTU applies to */
	uint32_t payload;   /* payload bytes per segment; 0: not split */
	const struct pkt_info *pi;
	uint32_t next, off;            /* segment number and its payload's offset in the packet */
	uint32_t hdr_len;              /* IP and L4 header, repeated in front of each segment */
	uint64_t pseudo;               /* per-segment seed of the L4 sum, but for the length */
	uint64_t ip_sum;               /* IPv4 header but for length, id and checksum */
	uint16_t csum_start, csum_off; /* of the sum that has to be completed */
	uint8_t csum;                  /* what happens to the sum */
};

/* Prepare splitting. @vh comes with the packet and is checked like any foreign data (hdr_len is not
 * used: kernels put the linear size of their buffer there). @pi is kept until the last gso_next.
 * Returns the number of segments, 1 for what is not a super-packet; ERR_MALFORMED for a header that
 * does not fit the packet, or a super-packet with a complete but wrong sum; ERR_UNSUPPORTED for a
 * GSO type that was never asked for. */
int gso_init(struct gso_iter *it, const struct virtio_net_hdr *vh, const struct pkt_info *pi,
	unsigned flags);

/* Write the next segment to @dst (@cap bytes, must not overlap the packet), its length to @len and
 * its shim flags (0 or WIRE_IF_CSUM_PARTIAL) to @inner_flags. 1; 0 when all are out; ERR_RANGE if
 * it.seg_bytes is larger than @cap (nothing written, nothing consumed). */
int gso_next(struct gso_iter *it, uint8_t *dst, size_t cap, size_t *len, uint8_t *inner_flags);

/* The virtio_net_hdr that goes in front of a received inner packet which is written alone. The
 * packet's bytes stay as they are. @inner_flags: the shim's. 0; ERR_MALFORMED: a partial sum on a
 * packet where DESIGN 5.5 does not allow one. */
int gso_rx_header(struct virtio_net_hdr *vh, const struct pkt_info *pi, uint8_t inner_flags);

/* For a TUN without vnet header, or pods with `checksum: full`: complete a received partial sum in
 * place. @pkt is pi->pkt, writable. 0 (also if there was nothing to do), ERR_MALFORMED as above. */
int gso_rx_complete(uint8_t *pkt, const struct pkt_info *pi, uint8_t inner_flags);

#endif
