/* gso.c - see gso.h.
 *
 * Data in: a TUN read (virtio_net_hdr and up to 64 KiB of IP packet), parsed by pkt.c. Data out:
 * the segments, each written once, into the buffer it is sealed in; per segment the IP and TCP or
 * UDP header is copied from the super-packet and its lengths, IPv4 id and header checksum, TCP
 * sequence and flags are set as the kernel's own segmentation sets them (inet_gso_segment: the id
 * counts up by one per segment, with and without DF).
 *
 * What happens to the L4 sum is decided once, in gso_init, and is one of enum sum_mode. The seed of
 * a partial sum is never made anew from the addresses: the kernel's seed is taken, the old length
 * out and the new one in. So headers that change what the pseudo header means cost nothing, and a
 * sum that is wrong on the way in is wrong on the way out.
 *
 * Bounds: at most PKT_MAX segments of one payload byte. No state but the iterator; failure leaves
 * the packet untouched. */
#include <string.h>
#include "gso.h"
#include "csum.h"
#include "weft/be.h"
#include "weft/err.h"
#include "weft/wire.h"

enum sum_mode {
	SUM_LEAVE,    /* complete already, or UDP without one */
	SUM_PARTIAL,  /* the seed travels, flagged in the shim */
	SUM_COMPLETE, /* TCP or UDP at csum_start: completed here */
	SUM_FOREIGN,  /* some other header's sum at csum_start: completed here */
};

/* Complete the sum over @buf from @start to its end, in the field @off behind it, which holds the
 * seed. @tcp: a zero stays zero, in every other sum it is written as all ones, as the kernel
 * does. */
static void complete(uint8_t *buf, size_t len, size_t start, size_t off, bool tcp)
{
	uint64_t sum = csum_add(0, buf + start, len - start);

	csum_store(buf + start + off, tcp ? csum_finish(sum) : csum_finish_udp(sum));
}

/* A super-packet's own, complete sum: is it right? */
static bool sum_right(const struct pkt_info *pi)
{
	uint32_t l4_len = pi->len - pi->l4_off;
	uint64_t sum = pkt_pseudo(pi) + csum_word((uint16_t)l4_len);

	return csum_fold(csum_add(sum, pi->pkt + pi->l4_off, l4_len)) == 0xffff;
}

/* What the header says about the sum of a packet that is not split. */
static int init_single(struct gso_iter *it, const struct virtio_net_hdr *vh, unsigned flags)
{
	const struct pkt_info *pi = it->pi;
	uint32_t start = vh->csum_start, off = vh->csum_offset;
	bool own;

	it->segs = 1;
	it->seg_bytes = pi->len;
	if (!(vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
		it->csum = SUM_LEAVE;
		return 1;
	}
	/* Behind the IP header, and the field inside the packet. */
	if (start < (pi->family == IP_V4 ? 20u : 40u) || start + off + 2 > pi->len)
		return ERR_MALFORMED;
	/* SCTP has a CRC, which the kernel completes itself before a TUN. */
	if (start == pi->l4_off && pi->proto == PKT_SCTP)
		return ERR_MALFORMED;
	own = pkt_may_partial(pi) && start == pi->l4_off && start + off == pkt_csum_off(pi);
	it->csum_start = (uint16_t)start;
	it->csum_off = (uint16_t)off;
	if (!own)
		it->csum = SUM_FOREIGN;
	else
		it->csum = flags & GSO_PARTIAL_OK ? SUM_PARTIAL : SUM_COMPLETE;
	return 1;
}

/* The sum of a super-packet: its mode, and the seed without length. */
static int init_super_sum(struct gso_iter *it, const struct virtio_net_hdr *vh, unsigned flags)
{
	const struct pkt_info *pi = it->pi;
	uint16_t field = csum_load(pi->pkt + pkt_csum_off(pi));

	it->csum_start = pi->l4_off;
	it->csum_off = (uint16_t)(pkt_csum_off(pi) - pi->l4_off);
	if (vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (vh->csum_start != it->csum_start || vh->csum_offset != it->csum_off)
			return ERR_MALFORMED;
		it->csum = flags & GSO_PARTIAL_OK ? SUM_PARTIAL : SUM_COMPLETE;
		it->pseudo =
			(uint64_t)field + (uint16_t)~csum_word((uint16_t)(pi->len - pi->l4_off));
		return 0;
	}
	if (pi->proto == PKT_UDP && field == 0) {
		it->csum = SUM_LEAVE;
		return 0;
	}
	/* The segments' sums can't be told from the whole's; only a right one may be made anew. */
	if (!sum_right(pi))
		return ERR_MALFORMED;
	it->csum = SUM_COMPLETE;
	it->pseudo = pkt_pseudo(pi);
	return 0;
}

static int init_super(struct gso_iter *it, const struct virtio_net_hdr *vh, unsigned flags)
{
	const struct pkt_info *pi = it->pi;
	uint32_t payload;
	int err;

	if (!pkt_may_partial(pi) || vh->gso_size == 0)
		return ERR_MALFORMED;
	payload = pi->len - pi->payload_off;
	if (payload == 0)
		return ERR_MALFORMED;
	err = init_super_sum(it, vh, flags);
	if (err)
		return err;
	it->payload = vh->gso_size;
	it->hdr_len = pi->payload_off;
	it->off = pi->payload_off;
	it->segs = (payload + it->payload - 1) / it->payload;
	it->seg_bytes = it->hdr_len + (payload < it->payload ? payload : it->payload);
	if (pi->family == IP_V4) {
		/* All of the header but length, id and checksum, which differ. */
		it->ip_sum = (uint64_t)csum_load(pi->pkt) + csum_load(pi->pkt + 6) +
			     csum_load(pi->pkt + 8);
		it->ip_sum = csum_add(it->ip_sum, pi->pkt + 12, pi->l4_off - 12u);
	}
	return (int)it->segs;
}

int gso_init(struct gso_iter *it, const struct virtio_net_hdr *vh, const struct pkt_info *pi,
	unsigned flags)
{
	*it = (struct gso_iter){.pi = pi};
	switch (vh->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return init_single(it, vh, flags);
	case VIRTIO_NET_HDR_GSO_TCPV4:
		if (pi->family != IP_V4 || pi->proto != PKT_TCP)
			return ERR_MALFORMED;
		return init_super(it, vh, flags);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		if (pi->family != IP_V6 || pi->proto != PKT_TCP)
			return ERR_MALFORMED;
		return init_super(it, vh, flags);
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		if (pi->proto != PKT_UDP)
			return ERR_MALFORMED;
		return init_super(it, vh, flags);
	default:
		return ERR_UNSUPPORTED;
	}
}

/* The IP header of segment it->next, @len bytes long in all. */
static void segment_ip(const struct gso_iter *it, uint8_t *dst, uint32_t len)
{
	uint16_t id;

	if (it->pi->family == IP_V6) {
		be16_put(dst + 4, len - 40);
		return;
	}
	id = (uint16_t)(be16_get(dst + 4) + it->next);
	be16_put(dst + 2, len);
	be16_put(dst + 4, id);
	csum_store(dst + 10, csum_finish(it->ip_sum + csum_word((uint16_t)len) + csum_word(id)));
}

/* The TCP or UDP header of segment it->next at @l4. */
static void segment_l4(const struct gso_iter *it, uint8_t *l4, uint32_t l4_len, bool last)
{
	if (it->pi->proto == PKT_UDP) {
		be16_put(l4 + 4, l4_len);
		return;
	}
	be32_put(l4 + 4, be32_get(l4 + 4) + it->next * it->payload);
	if (!last)
		l4[13] &= (uint8_t) ~(PKT_TCP_FIN | PKT_TCP_PSH);
	/* CWR speaks of the first segment (RFC 3168 6.1.2); kernels that mean AccECN's use of the
	 * bit split such packets themselves. */
	if (it->next > 0)
		l4[13] &= (uint8_t)~PKT_TCP_CWR;
}

static void next_segment(struct gso_iter *it, uint8_t *dst, size_t *len)
{
	const struct pkt_info *pi = it->pi;
	uint32_t left = pi->len - it->off, n = left < it->payload ? left : it->payload;
	uint32_t total = it->hdr_len + n, l4_len = total - pi->l4_off;
	uint8_t *l4 = dst + pi->l4_off;

	memcpy(dst, pi->pkt, it->hdr_len);
	memcpy(dst + it->hdr_len, pi->pkt + it->off, n);
	segment_ip(it, dst, total);
	segment_l4(it, l4, l4_len, n == left);
	if (it->csum != SUM_LEAVE)
		csum_store(l4 + it->csum_off, csum_fold(it->pseudo + csum_word((uint16_t)l4_len)));
	if (it->csum == SUM_COMPLETE)
		complete(dst, total, pi->l4_off, it->csum_off, pi->proto == PKT_TCP);
	it->off += n;
	*len = total;
}

static void whole(struct gso_iter *it, uint8_t *dst, size_t *len)
{
	const struct pkt_info *pi = it->pi;

	memcpy(dst, pi->pkt, pi->len);
	if (it->csum == SUM_COMPLETE || it->csum == SUM_FOREIGN)
		complete(dst, pi->len, it->csum_start, it->csum_off,
			it->csum == SUM_COMPLETE && pi->proto == PKT_TCP);
	*len = pi->len;
}

int gso_next(struct gso_iter *it, uint8_t *dst, size_t cap, size_t *len, uint8_t *inner_flags)
{
	if (it->next == it->segs)
		return 0;
	if (it->seg_bytes > cap)
		return ERR_RANGE;
	if (it->payload)
		next_segment(it, dst, len);
	else
		whole(it, dst, len);
	it->next++;
	*inner_flags = it->csum == SUM_PARTIAL ? WIRE_IF_CSUM_PARTIAL : 0;
	return 1;
}

int gso_rx_header(struct virtio_net_hdr *vh, const struct pkt_info *pi, uint8_t inner_flags)
{
	*vh = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_NONE};
	if (!(inner_flags & WIRE_IF_CSUM_PARTIAL))
		return 0;
	if (!pkt_may_partial(pi))
		return ERR_MALFORMED;
	vh->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	vh->csum_start = pi->l4_off;
	vh->csum_offset = (uint16_t)(pkt_csum_off(pi) - pi->l4_off);
	return 0;
}

int gso_rx_complete(uint8_t *pkt, const struct pkt_info *pi, uint8_t inner_flags)
{
	if (!(inner_flags & WIRE_IF_CSUM_PARTIAL))
		return 0;
	if (!pkt_may_partial(pi))
		return ERR_MALFORMED;
	complete(pkt, pi->len, pi->l4_off, (size_t)(pkt_csum_off(pi) - pi->l4_off),
		pi->proto == PKT_TCP);
	return 0;
}
