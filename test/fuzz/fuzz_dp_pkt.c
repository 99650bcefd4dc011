/* A TUN read (virtio_net_hdr, then a packet) through parse, split and checksums; the first input byte
 * holds the flags. Then each segment as if received. What comes out must be IP packets of the promised
 * sizes, and partial sums only where they may be. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "ecn.h"
#include "flow.h"
#include "gso.h"
#include "weft/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A segment at the other end. */
static void receive(uint8_t *seg, size_t len, uint8_t inner, uint8_t outer_tos)
{
	struct virtio_net_hdr vh;
	struct pkt_info pi;
	int err = pkt_parse(&pi, seg, len);

	assert(err == 0 && pi.len == len);
	err = gso_rx_header(&vh, &pi, inner);
	assert(err == 0);
	err = gso_rx_complete(seg, &pi, inner);
	assert(err == 0);
	ecn_decap(seg, &pi, outer_tos);
	flow_hash(&pi);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t seg[PKT_MAX + 1];
	struct virtio_net_hdr vh;
	struct gso_iter it;
	struct pkt_info pi;
	uint8_t *pkt, inner, flags;
	size_t len, left;
	int segs, n = 0;

	if (size < 1 + sizeof(vh))
		return 0;
	flags = data[0];
	memcpy(&vh, data + 1, sizeof(vh));
	left = size - 1 - sizeof(vh);
	pkt = malloc(left + !left); /* its own block: a byte too far is seen */
	memcpy(pkt, data + 1 + sizeof(vh), left);
	if (pkt_parse(&pi, pkt, left) != 0)
		goto out;
	gso_rx_header(&vh, &pi, flags >> 1 & WIRE_IF_CSUM_PARTIAL);
	memcpy(&vh, data + 1, sizeof(vh));
	segs = gso_init(&it, &vh, &pi, flags & GSO_PARTIAL_OK);
	if (segs < 0)
		goto out;
	assert(it.seg_bytes <= PKT_MAX);
	for (; gso_next(&it, seg, it.seg_bytes, &len, &inner) > 0; n++) {
		assert(len <= it.seg_bytes);
		assert(inner == 0 || ((flags & GSO_PARTIAL_OK) && inner == WIRE_IF_CSUM_PARTIAL));
		/* A sum completed at a foreign place may lie anywhere behind the IP header, also on
		 * an extension header: that is no IP packet of ours to judge. */
		if (it.payload)
			receive(seg, len, inner, flags >> 4);
	}
	assert(n == segs);
out:
	free(pkt);
	return 0;
}
