/* gso: splitting and checksums, rule by rule of DESIGN 5.5, judged by packets that mkpkt builds one
 * by one; then the way back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "gso.h"
#include "mkpkt.h"
#include "prng.h"
#include "weft/err.h"
#include "weft/wire.h"

#define SEED 0x650

static uint8_t super[65600], seg[65600], want[65600];

static struct virtio_net_hdr vnet_for(const struct mk *m, unsigned gso_size)
{
	struct virtio_net_hdr vh = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
		.hdr_len = (uint16_t)mk_hdr_len(m),
		.gso_size = (uint16_t)gso_size,
		.csum_start = (uint16_t)mk_l4_off(m),
		.csum_offset = (uint16_t)(mk_sum_off(m) - mk_l4_off(m))};

	if (m->proto == 6)
		vh.gso_type = m->family == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	if (gso_size == 0)
		vh.gso_type = VIRTIO_NET_HDR_GSO_NONE;
	if (m->sum == MK_COMPLETE || m->sum == MK_ZERO || m->sum == MK_WRONG)
		vh.flags = 0;
	return vh;
}

/* The @i-th segment as its own sender would have built it. */
static struct mk segment_of(const struct mk *m, unsigned gso_size, unsigned i)
{
	struct mk s = *m;
	unsigned at = i * gso_size;
	bool last = at + gso_size >= m->payload;

	s.payload = last ? m->payload - at : gso_size;
	s.fill = m->fill + at;
	s.id = (uint16_t)(m->id + i);
	s.seq = m->seq + at;
	if (!last)
		s.flags &= (uint8_t)~0x09;
	if (i > 0)
		s.flags &= (uint8_t)~0x80;
	return s;
}

/* Split the super-packet @m and compare each segment with segment_of. @segment_sum: what its sum
 * must be. */
static void check_split(
	const struct mk *m, unsigned gso_size, unsigned flags, enum mk_sum segment_sum)
{
	struct virtio_net_hdr vh = vnet_for(m, gso_size);
	size_t len = mk_build(m, super), n;
	unsigned count = (m->payload + gso_size - 1) / gso_size, i;
	struct gso_iter it;
	struct pkt_info pi;
	uint8_t inner;

	assert_int_equal(pkt_parse(&pi, super, len), 0);
	assert_int_equal(gso_init(&it, &vh, &pi, flags), count);
	assert_int_equal(it.segs, count);
	for (i = 0; gso_next(&it, seg, it.seg_bytes, &n, &inner) > 0; i++) {
		struct mk s = segment_of(m, gso_size, i);

		s.sum = segment_sum;
		assert_int_equal(n, mk_build(&s, want));
		assert_true(n <= it.seg_bytes);
		assert_int_equal(inner, segment_sum == MK_PARTIAL ? WIRE_IF_CSUM_PARTIAL : 0);
		if (segment_sum == MK_PARTIAL) {
			/* A seed may be written in two ways; the completed bytes tell. */
			mk_complete(&s, want, n);
			mk_complete(&s, seg, n);
		}
		assert_memory_equal(seg, want, n);
		assert_true(mk_ip_sum_right(seg));
		if (segment_sum != MK_ZERO)
			assert_true(mk_l4_sum_right(&s, seg, n));
	}
	assert_int_equal(i, count);
	assert_int_equal(gso_next(&it, seg, sizeof(seg), &n, &inner), 0);
}

/* All shapes of super-packets, both modes. */
static void rule_5_5_partial_sums_are_redone_per_segment(void **state)
{
	static const unsigned payloads[] = {1, 99, 100, 101, 200, 1999, 2000, 2001, 65000};

	for (int family = 4; family <= 6; family += 2) {
		for (int proto = 6; proto <= 17; proto += 11) {
			for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
				struct mk m = proto == 6 ? mk_tcp(family) : mk_udp(family);

				m.payload = payloads[i];
				m.sum = MK_PARTIAL;
				m.flags = 0x10 | 0x08 | 0x01;
				check_split(&m, 100, GSO_PARTIAL_OK, MK_PARTIAL);
				check_split(&m, 1400, GSO_PARTIAL_OK, MK_PARTIAL);
				check_split(&m, 100, 0, MK_COMPLETE);
				check_split(&m, 1400, 0, MK_COMPLETE);
			}
		}
	}
}

static void split_random_headers(void **state)
{
	struct prng r;

	print_message("seed 0x%x\n", SEED);
	prng_seed(&r, SEED);
	for (int round = 0; round < 3000; round++) {
		struct mk m = prng_below(&r, 2) ? mk_tcp(prng_below(&r, 2) ? 4 : 6)
						: mk_udp(prng_below(&r, 2) ? 4 : 6);

		m.tos = (uint8_t)prng_next(&r);
		m.ttl = (uint8_t)prng_next(&r);
		m.id = (uint16_t)(0xffff - prng_below(&r, 20)); /* ids wrap */
		m.seq = (uint32_t)prng_next(&r);                /* so do sequences */
		if (prng_below(&r, 2))
			m.seq = (uint32_t)(UINT32_MAX - prng_below(&r, 3000));
		m.ack = (uint32_t)prng_next(&r);
		m.flags = (uint8_t)prng_next(&r);
		m.reserved = (uint8_t)prng_below(&r, 16);
		m.frag = prng_below(&r, 2) ? MK_DF : 0;
		m.ip_opts = (unsigned)prng_below(&r, 11) * 4;
		m.ip_opt_fill = 1;
		if (prng_below(&r, 3) == 0)
			m.ext[0] = prng_below(&r, 2) ? 0 : 60;
		if (m.proto == 6)
			m.tcp_opts = (unsigned)prng_below(&r, 11) * 4;
		m.payload = 1 + (unsigned)prng_below(&r, 5000);
		m.fill = (uint32_t)prng_next(&r);
		m.sum = MK_PARTIAL;
		check_split(&m, 1 + (unsigned)prng_below(&r, 1500) + m.payload / 200,
			round & 1 ? GSO_PARTIAL_OK : 0, round & 1 ? MK_PARTIAL : MK_COMPLETE);
	}
}

static void cwr_stands_on_the_first_segment_only(void **state)
{
	struct mk m = mk_tcp(4);
	struct virtio_net_hdr vh;
	struct gso_iter it;
	struct pkt_info pi;
	size_t len, n;
	uint8_t inner;

	m.flags = 0x10 | 0x80 | 0x40;
	m.payload = 3000;
	m.sum = MK_PARTIAL;
	vh = vnet_for(&m, 1000);
	vh.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	len = mk_build(&m, super);
	assert_int_equal(pkt_parse(&pi, super, len), 0);
	assert_int_equal(gso_init(&it, &vh, &pi, GSO_PARTIAL_OK), 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(gso_next(&it, seg, sizeof(seg), &n, &inner), 1);
		assert_int_equal(seg[20 + 13], i == 0 ? 0xd0 : 0x50);
	}
}

/* A complete sum on a super-packet (nobody lawful sends it but a forwarder): never made partial. */
static void rule_5_5_complete_super_packets(void **state)
{
	for (int family = 4; family <= 6; family += 2) {
		struct mk m = mk_tcp(family);
		struct virtio_net_hdr vh;
		struct pkt_info pi;
		struct gso_iter it;
		size_t len;

		m.payload = 5000;
		check_split(&m, 1400, GSO_PARTIAL_OK, MK_COMPLETE);
		m.sum = MK_WRONG;
		len = mk_build(&m, super);
		vh = vnet_for(&m, 1400);
		assert_int_equal(pkt_parse(&pi, super, len), 0);
		assert_int_equal(gso_init(&it, &vh, &pi, GSO_PARTIAL_OK), ERR_MALFORMED);
	}
}

static void rule_5_5_udp_zero_stays_zero(void **state)
{
	for (int family = 4; family <= 6; family += 2) {
		struct mk m = mk_udp(family);
		struct virtio_net_hdr vh = {0};
		struct pkt_info pi;
		struct gso_iter it;
		size_t len, n;
		uint8_t inner;

		m.payload = 5000;
		m.sum = MK_ZERO;
		check_split(&m, 1400, GSO_PARTIAL_OK, MK_ZERO);
		check_split(&m, 1400, 0, MK_ZERO);
		for (unsigned flags = 0; flags <= GSO_PARTIAL_OK; flags++) {
			len = mk_build(&m, super);
			assert_int_equal(pkt_parse(&pi, super, len), 0);
			assert_int_equal(gso_init(&it, &vh, &pi, flags), 1);
			assert_int_equal(gso_next(&it, seg, sizeof(seg), &n, &inner), 1);
			assert_int_equal(inner, 0);
			assert_memory_equal(seg, super, len);
		}
	}
}

/* Payload bytes chosen so that the sum comes out zero: UDP sends all ones, TCP zero (RFC 768). */
static void rule_5_5_udp_computed_zero_is_all_ones(void **state)
{
	for (int proto = 6; proto <= 17; proto += 11) {
		struct mk m = proto == 6 ? mk_tcp(4) : mk_udp(4);
		struct virtio_net_hdr vh;
		struct pkt_info pi;
		struct gso_iter it;
		size_t len, n, at = mk_hdr_len(&m);
		uint16_t sum;
		uint8_t inner;

		m.sum = MK_PARTIAL;
		len = mk_build(&m, super);
		memset(super + at, 0, 2);
		sum = mk_csum(0, super + 20, len - 20);
		super[at] = (uint8_t)(~sum >> 8);
		super[at + 1] = (uint8_t)~sum;
		vh = vnet_for(&m, 0);
		assert_int_equal(pkt_parse(&pi, super, len), 0);
		assert_int_equal(gso_init(&it, &vh, &pi, 0), 1);
		assert_int_equal(gso_next(&it, seg, sizeof(seg), &n, &inner), 1);
		assert_int_equal(seg[mk_sum_off(&m)] << 8 | seg[mk_sum_off(&m) + 1],
			proto == 17 ? 0xffff : 0);
		assert_true(mk_l4_sum_right(&m, seg, n));
		memcpy(seg, super, len);
		assert_int_equal(pkt_parse(&pi, seg, len), 0);
		assert_int_equal(gso_rx_complete(seg, &pi, WIRE_IF_CSUM_PARTIAL), 0);
		assert_int_equal(seg[mk_sum_off(&m) + 1], proto == 17 ? 0xff : 0);
	}
}

/* One packet, not split: what leaves. Returns the inner flags; the bytes are in seg. */
static uint8_t pass(const struct virtio_net_hdr *vh, size_t len, unsigned flags, int expect)
{
	struct pkt_info pi;
	struct gso_iter it;
	uint8_t inner = 0;
	size_t n;

	assert_int_equal(pkt_parse(&pi, super, len), 0);
	assert_int_equal(gso_init(&it, vh, &pi, flags), expect);
	if (expect < 0)
		return 0;
	assert_int_equal(it.seg_bytes, pi.len);
	assert_int_equal(gso_next(&it, seg, len - 1, &n, &inner), ERR_RANGE);
	assert_int_equal(gso_next(&it, seg, len, &n, &inner), 1);
	assert_int_equal(n, pi.len);
	return inner;
}

static void rule_5_5_single_partial_packets(void **state)
{
	for (int family = 4; family <= 6; family += 2) {
		for (int proto = 6; proto <= 17; proto += 11) {
			struct mk m = proto == 6 ? mk_tcp(family) : mk_udp(family);
			struct virtio_net_hdr vh;
			size_t len;

			m.sum = MK_PARTIAL;
			vh = vnet_for(&m, 0);
			len = mk_build(&m, super);
			assert_int_equal(pass(&vh, len, GSO_PARTIAL_OK, 1), WIRE_IF_CSUM_PARTIAL);
			assert_memory_equal(seg, super, len);
			assert_int_equal(pass(&vh, len, 0, 1), 0);
			m.sum = MK_COMPLETE;
			mk_build(&m, want);
			assert_memory_equal(seg, want, len);
		}
	}
}

static void rule_5_5_wrong_complete_sum_arrives_wrong(void **state)
{
	struct mk m = mk_udp(4);
	struct virtio_net_hdr vh = {0};
	size_t len;

	m.sum = MK_WRONG;
	len = mk_build(&m, super);
	assert_int_equal(pass(&vh, len, GSO_PARTIAL_OK, 1), 0);
	assert_memory_equal(seg, super, len);
}

/* A pod runs VXLAN: the inner TCP header's sum is asked for at 20 + 8 + 8 + 14 + 20 = 70. */
static void rule_5_5_vxlan_in_a_pod_is_completed_at_70(void **state)
{
	struct mk outer = mk_udp(4), inner = mk_tcp(4);
	struct virtio_net_hdr vh = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 70, .csum_offset = 16};
	size_t inner_len, len;

	inner.sum = MK_PARTIAL;
	outer.sum = MK_ZERO;
	outer.dport = 4789;
	outer.payload = (unsigned)(8 + 14 + mk_build(&inner, want));
	len = mk_build(&outer, super);
	inner_len = mk_build(&inner, super + 50);
	assert_int_equal(len, 50 + inner_len);
	assert_int_equal(pass(&vh, len, GSO_PARTIAL_OK, 1), 0);
	inner.sum = MK_COMPLETE;
	mk_build(&inner, super + 50);
	assert_memory_equal(seg, super, len);
}

static void rule_5_5_never_partial_elsewhere(void **state)
{
	struct virtio_net_hdr vh;
	struct mk m = mk_tcp(4);
	size_t len;

	/* The own start, another offset: completed there. */
	m.sum = MK_PARTIAL;
	len = mk_build(&m, super);
	vh = vnet_for(&m, 0);
	vh.csum_offset = 18;
	assert_int_equal(pass(&vh, len, GSO_PARTIAL_OK, 1), 0);
	assert_int_equal(mk_csum(0, seg + 20, len - 20), 0xffff);

	/* A fragment. */
	m.frag = MK_MF;
	len = mk_build(&m, super);
	vh = vnet_for(&m, 0);
	assert_int_equal(pass(&vh, len, GSO_PARTIAL_OK, 1), 0);
	assert_true(mk_l4_sum_right(&m, seg, len));

	/* SCTP: no Internet checksum at all. */
	m = mk_tcp(4);
	m.proto = 132;
	len = mk_build(&m, super);
	vh = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 20, .csum_offset = 8};
	pass(&vh, len, GSO_PARTIAL_OK, ERR_MALFORMED);

	/* An extension header not understood. */
	m = mk_tcp(6);
	m.sum = MK_PARTIAL;
	m.ext[0] = 43;
	len = mk_build(&m, super);
	vh = vnet_for(&m, 0);
	assert_int_equal(pass(&vh, len, GSO_PARTIAL_OK, 1), 0);
	assert_true(mk_l4_sum_right(&m, seg, len));

	/* UDP that ends before the IP packet does. */
	m = mk_udp(4);
	m.sum = MK_PARTIAL;
	len = mk_build(&m, super);
	super[25]--;
	vh = vnet_for(&m, 0);
	assert_int_equal(pass(&vh, len, GSO_PARTIAL_OK, 1), 0);
}

static void headers_that_do_not_fit_the_packet(void **state)
{
	struct mk m = mk_tcp(4), u = mk_udp(6);
	struct virtio_net_hdr good, bad;
	size_t len;

	m.sum = u.sum = MK_PARTIAL;
	m.payload = u.payload = 3000;
	len = mk_build(&m, super);
	good = vnet_for(&m, 1000);
	bad = good;
	bad.gso_size = 0;
	pass(&bad, len, GSO_PARTIAL_OK, ERR_MALFORMED);
	bad = good;
	bad.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	pass(&bad, len, GSO_PARTIAL_OK, ERR_MALFORMED);
	bad.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	pass(&bad, len, GSO_PARTIAL_OK, ERR_MALFORMED);
	bad.gso_type = VIRTIO_NET_HDR_GSO_UDP; /* UFO */
	pass(&bad, len, GSO_PARTIAL_OK, ERR_UNSUPPORTED);
	bad.gso_type = 0x7f;
	pass(&bad, len, GSO_PARTIAL_OK, ERR_UNSUPPORTED);
	bad = good;
	bad.csum_start = 40;
	pass(&bad, len, GSO_PARTIAL_OK, ERR_MALFORMED);
	bad = good;
	bad.csum_offset = 6;
	pass(&bad, len, GSO_PARTIAL_OK, ERR_MALFORMED);
	bad = good;
	bad.gso_type = VIRTIO_NET_HDR_GSO_NONE;
	bad.csum_start = 19;
	pass(&bad, len, GSO_PARTIAL_OK, ERR_MALFORMED);
	bad.csum_start = 0xffff;
	pass(&bad, len, GSO_PARTIAL_OK, ERR_MALFORMED);
	bad.csum_start = 20;
	bad.csum_offset = (uint16_t)(len - 21);
	pass(&bad, len, GSO_PARTIAL_OK, ERR_MALFORMED);
	bad.csum_offset = (uint16_t)(len - 22); /* the last that fits */
	pass(&bad, len, GSO_PARTIAL_OK, 1);

	/* Super-packets that are fragments, have no payload, or an unknown header. */
	m.frag = MK_MF;
	len = mk_build(&m, super);
	pass(&good, len, GSO_PARTIAL_OK, ERR_MALFORMED);
	m.frag = 0;
	m.payload = 0;
	len = mk_build(&m, super);
	pass(&good, len, GSO_PARTIAL_OK, ERR_MALFORMED);
	u.ext[0] = 43;
	len = mk_build(&u, super);
	good = vnet_for(&u, 1000);
	pass(&good, len, GSO_PARTIAL_OK, ERR_MALFORMED);
}

/* Each byte of the vnet header, each value: refused, or segments that are IP packets of the
 * promised size. Then each bit of the packet. */
static void every_vnet_byte_and_bit_flip(void **state)
{
	struct mk m = mk_tcp(6);
	struct virtio_net_hdr good, vh;
	struct gso_iter it;
	struct pkt_info pi, si;
	size_t len, n;
	uint8_t inner, *exact;

	m.payload = 150;
	m.sum = MK_PARTIAL;
	good = vnet_for(&m, 40);
	len = mk_build(&m, super);
	exact = malloc(len);
	for (size_t at = 0; at < sizeof(vh) + len; at++) {
		for (unsigned v = 0; v < (at < sizeof(vh) ? 256u : 8u); v++) {
			int segs, i = 0;

			memcpy(exact, super, len);
			vh = good;
			if (at < sizeof(vh))
				((uint8_t *)&vh)[at] = (uint8_t)v;
			else
				exact[at - sizeof(vh)] ^= (uint8_t)(1 << v);
			if (pkt_parse(&pi, exact, len) != 0)
				continue;
			segs = gso_init(&it, &vh, &pi, v & GSO_PARTIAL_OK);
			if (segs < 0)
				continue;
			assert_in_range(it.seg_bytes, 1, sizeof(seg));
			while (gso_next(&it, seg, it.seg_bytes, &n, &inner) > 0) {
				assert_int_equal(pkt_parse(&si, seg, n), 0);
				assert_int_equal(si.len, n);
				assert_true(inner == 0 || pkt_may_partial(&si));
				i++;
			}
			assert_int_equal(i, segs);
		}
	}
	free(exact);
}

static void rule_5_14_a_super_packet_is_judged_by_its_segment(void **state)
{
	struct mk m = mk_tcp(4);
	struct virtio_net_hdr vh;
	struct pkt_info pi;
	struct gso_iter it;
	size_t len;

	m.payload = 60000;
	m.sum = MK_PARTIAL;
	vh = vnet_for(&m, 1368);
	len = mk_build(&m, super);
	assert_int_equal(pkt_parse(&pi, super, len), 0);
	assert_int_equal(gso_init(&it, &vh, &pi, GSO_PARTIAL_OK), 44);
	assert_int_equal(it.seg_bytes, 1420);
}

static void rule_5_5_receive_header(void **state)
{
	struct virtio_net_hdr vh;
	struct pkt_info pi;
	size_t len;

	for (int family = 4; family <= 6; family += 2) {
		for (int proto = 6; proto <= 17; proto += 11) {
			struct mk m = proto == 6 ? mk_tcp(family) : mk_udp(family);

			m.sum = MK_PARTIAL;
			len = mk_build(&m, seg);
			assert_int_equal(pkt_parse(&pi, seg, len), 0);
			assert_int_equal(gso_rx_header(&vh, &pi, WIRE_IF_CSUM_PARTIAL), 0);
			assert_int_equal(vh.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
			assert_int_equal(vh.gso_type, VIRTIO_NET_HDR_GSO_NONE);
			assert_int_equal(vh.csum_start, mk_l4_off(&m));
			assert_int_equal(vh.csum_start + vh.csum_offset, mk_sum_off(&m));
			assert_int_equal(gso_rx_header(&vh, &pi, 0), 0);
			assert_int_equal(vh.flags, 0);
			assert_int_equal(gso_rx_complete(seg, &pi, 0), 0);
			assert_false(mk_l4_sum_right(&m, seg, len));
			assert_int_equal(gso_rx_complete(seg, &pi, WIRE_IF_CSUM_PARTIAL), 0);
			m.sum = MK_COMPLETE;
			mk_build(&m, want);
			assert_memory_equal(seg, want, len);
		}
	}
}

static void rule_5_5_receive_refuses_partial_where_it_cannot_be(void **state)
{
	struct mk t[6] = {mk_tcp(4), mk_tcp(4), mk_tcp(6), mk_udp(4), mk_tcp(6), mk_udp(4)};

	t[0].proto = 132;
	t[1].frag = MK_MF;
	t[2].ext[0] = 43;
	t[3].proto = 1;
	t[4].ext[0] = 44;
	t[5].frag = 100;
	for (size_t i = 0; i < 6; i++) {
		size_t len = mk_build(&t[i], seg);
		struct virtio_net_hdr vh;
		struct pkt_info pi;

		assert_int_equal(pkt_parse(&pi, seg, len), 0);
		memcpy(want, seg, len);
		assert_int_equal(gso_rx_header(&vh, &pi, WIRE_IF_CSUM_PARTIAL), ERR_MALFORMED);
		assert_int_equal(gso_rx_complete(seg, &pi, WIRE_IF_CSUM_PARTIAL), ERR_MALFORMED);
		assert_memory_equal(seg, want, len);
		assert_int_equal(gso_rx_header(&vh, &pi, 0), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_5_5_partial_sums_are_redone_per_segment),
		cmocka_unit_test(split_random_headers),
		cmocka_unit_test(cwr_stands_on_the_first_segment_only),
		cmocka_unit_test(rule_5_5_complete_super_packets),
		cmocka_unit_test(rule_5_5_udp_zero_stays_zero),
		cmocka_unit_test(rule_5_5_udp_computed_zero_is_all_ones),
		cmocka_unit_test(rule_5_5_single_partial_packets),
		cmocka_unit_test(rule_5_5_wrong_complete_sum_arrives_wrong),
		cmocka_unit_test(rule_5_5_vxlan_in_a_pod_is_completed_at_70),
		cmocka_unit_test(rule_5_5_never_partial_elsewhere),
		cmocka_unit_test(headers_that_do_not_fit_the_packet),
		cmocka_unit_test(every_vnet_byte_and_bit_flip),
		cmocka_unit_test(rule_5_14_a_super_packet_is_judged_by_its_segment),
		cmocka_unit_test(rule_5_5_receive_header),
		cmocka_unit_test(rule_5_5_receive_refuses_partial_where_it_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
