/* Two data planes over loopback: everything passes that should, whole and in order, with each path and
 * each fall-back; and everything else is dropped and counted by its reason. */
#include "dp_int.h"
#include "dprig.h"

#include "fault.h"
#include "gso.h"

static uint8_t pkt[65600], got[65600], body[65600], dgram[65600];

static const struct virtio_net_hdr plain;

/* Send one packet and get the same bytes on the other side. */
static void pass(struct rig *r, int from, const struct mk *m)
{
	struct virtio_net_hdr vh;
	size_t len = mk_build(m, pkt);

	rig_tun_write(r, from, 0, &plain, pkt, len);
	assert_int_equal(rig_tun_read(r, !from, &vh, got, RIG_WAIT), len);
	assert_memory_equal(got, pkt, len);
	assert_int_equal(vh.gso_type, VIRTIO_NET_HDR_GSO_NONE);
}

static void pass_sizes(struct rig *r, unsigned step)
{
	for (int family = 4; family <= 6; family += 2) {
		for (int from = 0; from < 2; from++) {
			struct mk m = rig_packet(from, family, false);
			unsigned max = RIG_MTU - (unsigned)mk_hdr_len(&m);

			for (m.payload = 0; m.payload <= max; m.payload += step) {
				m.fill = m.payload;
				pass(r, from, &m);
			}
		}
	}
}

/* A super-packet arrives as one or several, with the same bytes behind the headers in order. Returns
 * the length of the longest. */
static size_t pass_super(struct rig *r, int from, int family, bool tcp)
{
	struct mk m = rig_packet(from, family, tcp);
	struct virtio_net_hdr vh = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM};
	size_t hdr = mk_hdr_len(&m), len, have = 0, n, longest = 0;
	uint8_t *stream = malloc(65600);

	m.sum = MK_PARTIAL;
	m.payload = tcp ? 60000 : 40 * 1000;
	len = mk_build(&m, pkt);
	vh.gso_type = !tcp          ? VIRTIO_NET_HDR_GSO_UDP_L4
		      : family == 4 ? VIRTIO_NET_HDR_GSO_TCPV4
				    : VIRTIO_NET_HDR_GSO_TCPV6;
	vh.gso_size = tcp ? 1300 : 1000;
	vh.hdr_len = (uint16_t)hdr;
	vh.csum_start = (uint16_t)mk_l4_off(&m);
	vh.csum_offset = (uint16_t)(mk_sum_off(&m) - mk_l4_off(&m));
	rig_tun_write(r, from, 0, &vh, pkt, len);
	while (have < m.payload) {
		n = rig_tun_read(r, !from, &vh, got, RIG_WAIT);
		if (n <= hdr)
			rig_show(r);
		assert_true(n > hdr);
		assert_true(have + n - hdr <= m.payload);
		memcpy(stream + have, got + hdr, n - hdr);
		have += n - hdr;
		longest = n > longest ? n : longest;
	}
	assert_memory_equal(stream, pkt + hdr, m.payload);
	free(stream);
	return longest;
}

static void pass_supers(struct rig *r)
{
	for (int i = 0; i < 8; i++)
		(void)pass_super(r, i & 1, i & 2 ? 6 : 4, i & 4);
}

static void every_size(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);

	pass_sizes(r, 1);
	pass_supers(r);
	rig_no_drops(r);
	/* A packet is counted just after it was written. */
	RIG_UNTIL(r, rig_counters(r, 0).tx_bytes == rig_counters(r, 1).rx_bytes);
	RIG_UNTIL(r, rig_counters(r, 1).tx_bytes == rig_counters(r, 0).rx_bytes);
	assert_int_equal(rig_counters(r, 0).tx_packets, rig_counters(r, 1).rx_packets);
	/* In both directions the first packet confirmed the key, once. */
	RIG_UNTIL(r, r->confirmed[0] == 1 && r->confirmed[1] == 1);
	assert_int_equal(r->roamed[0] + r->roamed[1], 0);
	rig_free(r);
}

/* DESIGN 5.6: what goes on through a tunnel device of the host's arrives in single packets, as its
 * offloads can't be known; the rest of the same mesh does not pay for it. */
static void behind_a_tunnel(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	const char *own[2] = {"10.0.1.0/24", "fd00:0:0:1::/64"};

	for (int i = 0; i < 4; i++)
		assert_true(pass_super(r, 0, i & 1 ? 6 : 4, i & 2) > RIG_MTU);
	for (int f = 0; f < 2; f++) {
		struct pfx p = rig_pfx(own[f]);

		assert_int_equal(dp_route_set(r->dp[1], RIG_VNI, &p, DP_ROUTE_LOCAL_TUNNEL, 0), 0);
	}
	for (int i = 0; i < 4; i++) {
		assert_true(pass_super(r, 0, i & 1 ? 6 : 4, i & 2) <= RIG_MTU);
		assert_true(pass_super(r, 1, i & 1 ? 6 : 4, i & 2) > RIG_MTU);
	}
	rig_no_drops(r);
	rig_free(r);
}

static void fall_backs(void **state)
{
	for (unsigned bit = 0; bit <= 9; bit++) {
		struct dp_cfg c = rig_cfg(bit == 9 ? 3 : 2);
		struct dp_offloads o;
		bool all = bit == 9;
		struct rig *r;

		c.force = (struct dp_force){
			.no_tun_offload = all || bit == 0,
			.no_uso = all || bit == 1,
			.no_udp_gso = all || bit == 2,
			.no_udp_gro = all || bit == 3,
			.no_coalesce = all || bit == 4,
			.no_tun_steering = all || bit == 5,
			.no_udp_steering = all || bit == 6,
			.no_mmsg = all || bit == 7,
			.no_csum_partial = all || bit == 8,
		};
		r = rig_new(&c, NULL);
		dp_offloads(r->dp[0], &o);
		assert_non_null(strstr(o.why, "forced off"));
		pass_sizes(r, 97);
		pass_supers(r);
		rig_no_drops(r);
		rig_free(r);
	}
}

static void aes(void **state)
{
	struct dp_cfg c = rig_cfg(2);
	struct dp_key k = rig_dp_key(0, 2);
	struct rig *r;

	if (!aead_available(WIRE_SUITE_AES_256_GCM, AEAD_AUTO))
		skip();
	k.suite = WIRE_SUITE_AES_256_GCM;
	r = rig_new(&c, &k);
	pass_sizes(r, 61);
	pass_supers(r);
	rig_no_drops(r);
	rig_free(r);
}

/* ---- IPv6 halves ---- */

/* A path that takes less than 1280 inside: every IPv6 packet up to that passes, by halves if it must;
 * what is larger, and IPv4, does not. */
static void halves(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	struct mk m = rig_packet(0, 6, false);
	unsigned hdr = (unsigned)mk_hdr_len(&m), room = 1000;
	uint64_t whole, cut;

	for (int s = 0; s < 2; s++)
		dp_peer_pmtu(r->dp[s], RIG_PEER, room + WIRE_OVERHEAD_V4);
	for (m.payload = room - hdr - 2; m.payload <= room - hdr; m.payload++)
		pass(r, 0, &m);
	assert_int_equal(rig_counters(r, 0).tx_halves, 0);
	whole = rig_counters(r, 0).tx_packets;
	for (m.payload = room - hdr + 1; m.payload <= WIRE_HALF_MAX - hdr; m.payload++) {
		m.fill = m.payload;
		pass(r, 0, &m);
	}
	cut = WIRE_HALF_MAX - room;
	RIG_UNTIL(r, rig_counters(r, 1).rx_halves == cut);
	assert_int_equal(rig_counters(r, 0).tx_halves, cut);
	RIG_UNTIL(r, rig_counters(r, 0).tx_datagrams == whole + 2 * cut);
	assert_int_equal(rig_counters(r, 1).rx_packets, rig_counters(r, 0).tx_packets);
	rig_no_drops(r);
	m.payload = WIRE_HALF_MAX - hdr + 1;
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_TOO_BIG) == 1);
	m = rig_packet(0, 4, false);
	m.payload = room;
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_TOO_BIG) == 2);
	/* A path with no room for a half. */
	dp_peer_pmtu(r->dp[0], RIG_PEER, WIRE_OVERHEAD_V4 + 600);
	m = rig_packet(0, 6, false);
	m.payload = WIRE_HALF_MAX - hdr;
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_TOO_BIG) == 3);
	rig_free(r);
}

/* Super-packets of segments that don't fit: each segment goes as two halves, sums as they were. */
static void halves_of_segments(void **state)
{
	struct dp_cfg c = rig_cfg(2);
	struct rig *r = rig_new(&c, NULL);
	struct mk m = rig_packet(0, 6, true);
	struct virtio_net_hdr vh = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV6};
	size_t hdr = mk_hdr_len(&m), have = 0, n;

	dp_peer_pmtu(r->dp[0], RIG_PEER, 1280);
	m.sum = MK_PARTIAL;
	m.payload = 30001;
	vh.gso_size = (uint16_t)(WIRE_HALF_MAX - hdr);
	vh.csum_start = (uint16_t)mk_l4_off(&m);
	vh.csum_offset = (uint16_t)(mk_sum_off(&m) - mk_l4_off(&m));
	rig_tun_write(r, 0, 0, &vh, pkt, mk_build(&m, pkt));
	while (have < m.payload) {
		n = rig_tun_read(r, 1, &vh, got, RIG_WAIT);
		assert_true(n > hdr && have + n - hdr <= m.payload);
		assert_int_equal(vh.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_memory_equal(got + hdr, pkt + hdr + have, n - hdr);
		have += n - hdr;
	}
	rig_no_drops(r);
	rig_free(r);
}

/* ---- what must not pass ---- */

/* Shoot a body sealed with the right key at side 1; it is dropped for @why. */
static void refused(struct rig *r, int fd, uint64_t counter, size_t body_len, enum dp_drop why)
{
	uint64_t before = rig_drops(r, 1, why), rx = rig_counters(r, 1).rx_packets;
	struct virtio_net_hdr vh;
	size_t len = rig_seal(dgram, 0, WIRE_F_SIDE_PORT, 1, counter, body, body_len);

	rig_shoot(r, fd, 1, dgram, len);
	RIG_UNTIL(r, rig_drops(r, 1, why) == before + 1);
	assert_int_equal(rig_counters(r, 1).rx_packets, rx);
	assert_int_equal(rig_tun_read(r, 1, &vh, got, 0), 0);
}

static void inner_checks(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	int fd = rig_stranger();
	uint64_t n = 1000;
	struct mk m = rig_packet(0, 4, false), x;
	size_t len;

	m.payload = 100;
	/* 4.2: a source of ours, of nobody, outside everything; then the same for IPv6. */
	x = m;
	x.src[2] = 1;
	refused(r, fd, n++, rig_body(body, RIG_VNI, 0, &x), DP_DROP_BAD_SOURCE);
	x.src[2] = 99;
	refused(r, fd, n++, rig_body(body, RIG_VNI, 0, &x), DP_DROP_BAD_SOURCE);
	x.src[0] = 172;
	refused(r, fd, n++, rig_body(body, RIG_VNI, 0, &x), DP_DROP_BAD_SOURCE);
	x = rig_packet(0, 6, false);
	x.src[7] = 1;
	refused(r, fd, n++, rig_body(body, RIG_VNI, 0, &x), DP_DROP_BAD_SOURCE);
	/* A destination at the peer itself, of nobody, outside. */
	x = m;
	x.dst[2] = 0;
	refused(r, fd, n++, rig_body(body, RIG_VNI, 0, &x), DP_DROP_BAD_DESTINATION);
	x.dst[2] = 99;
	refused(r, fd, n++, rig_body(body, RIG_VNI, 0, &x), DP_DROP_BAD_DESTINATION);
	x.dst[0] = 172;
	refused(r, fd, n++, rig_body(body, RIG_VNI, 0, &x), DP_DROP_BAD_DESTINATION);
	refused(r, fd, n++, rig_body(body, RIG_VNI + 1, 0, &m), DP_DROP_BAD_VNI);
	refused(r, fd, n++, rig_body(body, 0, WIRE_IF_CONTROL, &m), DP_DROP_MALFORMED);
	refused(r, fd, n++, rig_body(body, RIG_VNI, WIRE_IF_HALF, &m), DP_DROP_MALFORMED);
	refused(r, fd, n++, rig_body(body, RIG_VNI, 0x40, &m), DP_DROP_MALFORMED);
	/* Each shorter prefix of an inner packet that announces more. */
	len = rig_body(body, RIG_VNI, 0, &m);
	for (size_t cut = WIRE_SHIM; cut < len; cut++)
		refused(r, fd, n++, cut, DP_DROP_BAD_PACKET);
	/* A partial sum where none may be: a fragment. */
	x = m;
	x.frag = MK_MF;
	refused(r, fd, n++, rig_body(body, RIG_VNI, WIRE_IF_CSUM_PARTIAL, &x), DP_DROP_BAD_PACKET);
	pass(r, 0, &m);
	close(fd);
	rig_free(r);
}

static void exits(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	struct mk m = rig_packet(0, 4, false);
	struct pfx p = rig_pfx("192.0.2.0/24");

	m.payload = 10;
	memcpy(m.dst, (uint8_t[]){192, 0, 2, 1}, 4);
	assert_int_equal(dp_route_set(r->dp[0], RIG_VNI, &p, DP_ROUTE_PEER, RIG_PEER), 0);
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(r, rig_drops(r, 1, DP_DROP_BAD_DESTINATION) == 1);
	assert_int_equal(dp_route_set(r->dp[1], RIG_VNI, &p, DP_ROUTE_EXIT, 0), 0);
	pass(r, 0, &m);
	assert_int_equal(dp_route_del(r->dp[1], RIG_VNI, &p), 0);
	assert_int_equal(dp_route_del(r->dp[1], RIG_VNI, &p), ERR_NOT_FOUND);
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(r, rig_drops(r, 1, DP_DROP_BAD_DESTINATION) == 2);
	rig_free(r);
}

static void replay_and_forgery(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	int fd = rig_stranger();
	struct mk m = rig_packet(0, 4, false);
	struct virtio_net_hdr vh;
	size_t len;

	len = rig_seal(dgram, 0, WIRE_F_SIDE_PORT, 1, 7, body, rig_body(body, RIG_VNI, 0, &m));
	/* Forgeries first: none may take the counter from the real one. */
	for (size_t bit = 0; bit < 8 * len; bit++) {
		dgram[bit / 8] ^= (uint8_t)(1 << bit % 8);
		rig_shoot(r, fd, 1, dgram, len);
		dgram[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (bit % 64 == 63)
			RIG_UNTIL(r, rig_counters(r, 1).rx_datagrams >= bit + 1);
	}
	for (size_t cut = 0; cut < len; cut++)
		rig_shoot(r, fd, 1, dgram, cut);
	RIG_UNTIL(
		r, rig_counters(r, 1).rx_datagrams + rig_drops(r, 1, DP_DROP_KERNEL_RX) >= 9 * len);
	assert_int_equal(rig_counters(r, 1).rx_packets, 0);
	assert_int_equal(r->confirmed[1], 0);
	rig_shoot(r, fd, 1, dgram, len);
	assert_int_equal(rig_tun_read(r, 1, &vh, got, RIG_WAIT), mk_build(&m, pkt));
	for (uint64_t i = 1; i <= 3; i++) {
		rig_shoot(r, fd, 1, dgram, len);
		RIG_UNTIL(r, rig_drops(r, 1, DP_DROP_REPLAY) == i);
	}
	assert_int_equal(rig_counters(r, 1).rx_packets, 1);
	RIG_UNTIL(r, r->confirmed[1] == 1);
	/* Sent from a worker's own port: it may come from anywhere. */
	assert_int_equal(r->roamed[1], 0);
	close(fd);
	rig_free(r);
}

static void header_checks(void **state)
{
	const struct {
		size_t at;
		uint8_t value;
		enum dp_drop why;
	} bad[] = {
		{0, 2 << 4 | WIRE_DATA, DP_DROP_BAD_VERSION},
		{0, WIRE_TYPE_BYTE(0), DP_DROP_MALFORMED},
		{0, WIRE_TYPE_BYTE(8), DP_DROP_MALFORMED},
		{0, WIRE_TYPE_BYTE(15), DP_DROP_MALFORMED},
		{WIRE_OFF_FLAGS, 0x02, DP_DROP_MALFORMED},
		{WIRE_OFF_FLAGS, 0x81, DP_DROP_MALFORMED},
		{WIRE_OFF_RESERVED, 1, DP_DROP_MALFORMED},
		{WIRE_OFF_LANE, 2, DP_DROP_BAD_LANE},
		{WIRE_OFF_LANE, 255, DP_DROP_BAD_LANE},
		{WIRE_OFF_INDEX, 0x77, DP_DROP_UNKNOWN_INDEX},
	};
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	int fd = rig_stranger();
	struct mk m = rig_packet(0, 4, false);
	size_t len = rig_seal(dgram, 0, 0, 1, 7, body, rig_body(body, RIG_VNI, 0, &m));

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t before = rig_drops(r, 1, bad[i].why);
		uint8_t saved = dgram[bad[i].at];

		dgram[bad[i].at] = bad[i].value;
		rig_shoot(r, fd, 1, dgram, len);
		dgram[bad[i].at] = saved;
		RIG_UNTIL(r, rig_drops(r, 1, bad[i].why) == before + 1);
	}
	/* The unknown index went on to control, which may answer it. */
	RIG_UNTIL(r, r->datagrams[1] == 1);
	/* So do lane 0 and every type but data, whole. */
	dgram[WIRE_OFF_LANE] = 0;
	rig_shoot(r, fd, 1, dgram, len);
	RIG_UNTIL(r, r->datagrams[1] == 2);
	assert_int_equal(r->last_len[1], len);
	assert_memory_equal(r->last[1], dgram, len);
	for (uint8_t t = WIRE_INIT; t < WIRE_RELAY; t++) {
		dgram[0] = WIRE_TYPE_BYTE(t);
		rig_shoot(r, fd, 1, dgram, WIRE_CONTROL_MAX);
		RIG_UNTIL(r, r->datagrams[1] == 1u + t);
		assert_int_equal(r->last_len[1], WIRE_CONTROL_MAX);
	}
	rig_shoot(r, fd, 1, dgram, WIRE_CONTROL_MAX + 1);
	RIG_UNTIL(r, rig_drops(r, 1, DP_DROP_MALFORMED) == 7);
	assert_int_equal(rig_counters(r, 1).rx_packets, 0);
	close(fd);
	rig_free(r);
}

static void ecn(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	int fd = rig_stranger(), ce = 3;
	struct mk m = rig_packet(0, 4, false);
	struct virtio_net_hdr vh;
	size_t len;

	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_TOS, &ce, sizeof(ce)), 0);
	m.tos = 0;
	refused(r, fd, 1, rig_body(body, RIG_VNI, 0, &m), DP_DROP_ECN);
	m.tos = 2;
	len = rig_seal(dgram, 0, WIRE_F_SIDE_PORT, 1, 2, body, rig_body(body, RIG_VNI, 0, &m));
	rig_shoot(r, fd, 1, dgram, len);
	m.tos = 3;
	len = mk_build(&m, pkt);
	assert_int_equal(rig_tun_read(r, 1, &vh, got, RIG_WAIT), len);
	assert_memory_equal(got, pkt, len);
	close(fd);
	rig_free(r);
}

static void way_out(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	struct mk m = rig_packet(0, 4, false), x = m;
	struct ep peer = rig_ep(r, 1);

	m.payload = 1000;
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&m, pkt) - 1);
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_BAD_PACKET) == 1);
	x.dst[2] = 77;
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&x, pkt));
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_UNOWNED) == 1);
	x.dst[0] = 172;
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&x, pkt));
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_NO_ROUTE) == 1);
	x.dst[0] = 224;
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&x, pkt));
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_MULTICAST) == 1);
	/* 4.3: our own tunnel, sent into the mesh. Another port of that host is nobody's business. */
	memcpy(x.dst, peer.ip.b, 4);
	x.dport = peer.port;
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&x, pkt));
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_LOOP) == 1);
	x.dport = (uint16_t)(peer.port ^ 1);
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&x, pkt));
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_NO_ROUTE) == 2);
	/* Exactly the outer MTU passes, one byte less does not. */
	dp_peer_pmtu(r->dp[0], RIG_PEER, (unsigned)mk_hdr_len(&m) + m.payload + WIRE_OVERHEAD_V4);
	pass(r, 0, &m);
	m.payload++;
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_TOO_BIG) == 1);
	m.payload = 10;
	dp_peer_del(r->dp[0], RIG_PEER);
	rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_UNOWNED) == 2);
	rig_free(r);
}

static void limits(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct dp_key k = rig_dp_key(0, 1);
	struct mk m = rig_packet(0, 4, false);
	uint64_t sent, each;
	struct rig *r;
	int fd = rig_stranger();
	size_t len;

	m.payload = 100;
	k.soft_blocks = 100;
	k.hard_blocks = 200;
	k.max_failed_opens = 5;
	r = rig_new(&c, &k);
	for (sent = 0; rig_drops(r, 0, DP_DROP_KEY_LIMIT) == 0; sent++) {
		uint64_t before = rig_counters(r, 0).tx_packets;

		assert_true(sent < 200);
		rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&m, pkt));
		RIG_UNTIL(r, rig_counters(r, 0).tx_packets == before + 1 ||
				     rig_drops(r, 0, DP_DROP_KEY_LIMIT) == 1);
	}
	/* Never above the limit, and not far below: header, shim, body, length block. */
	each = (WIRE_SHIM + mk_hdr_len(&m) + m.payload + 15) / 16 + 2;
	assert_int_equal(sent - 1, 200 / each);
	RIG_UNTIL(r, r->soft[0] == 1 && r->hard[0] == 1);
	/* Forgeries: after the fifth nothing is opened, not even what is right. */
	len = rig_seal(dgram, 0, 0, 1, 5000, body, rig_body(body, RIG_VNI, 0, &m));
	dgram[len - 1] ^= 1;
	for (uint64_t i = 1; i <= 5; i++) {
		rig_shoot(r, fd, 1, dgram, len);
		RIG_UNTIL(r, rig_drops(r, 1, DP_DROP_BAD_TAG) == i);
	}
	dgram[len - 1] ^= 1;
	rig_shoot(r, fd, 1, dgram, len);
	RIG_UNTIL(r, rig_drops(r, 1, DP_DROP_KEY_LIMIT) == 1 && r->hard[1] == 1);
	close(fd);
	rig_free(r);
}

/* ---- roaming, ports, traffic, segments ---- */

static void roaming(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	int fd = rig_stranger();
	struct mk m = rig_packet(0, 4, false);
	size_t body_len = rig_body(body, RIG_VNI, 0, &m);
	struct sockaddr_in a;
	socklen_t a_len = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &a_len), 0);
	rig_shoot(r, fd, 1, dgram, rig_seal(dgram, 0, 0, 1, 100, body, body_len));
	RIG_UNTIL(r, r->roamed[1] == 1);
	assert_int_equal(r->roamed_to[1].port, ntohs(a.sin_port));
	/* An older counter says nothing about where the peer is now; neither does a repeat at once. */
	poll(NULL, 0, 250);
	rig_shoot(r, fd, 1, dgram, rig_seal(dgram, 0, 0, 1, 99, body, body_len));
	RIG_UNTIL(r, rig_counters(r, 1).rx_packets == 2);
	rig_poll(r);
	assert_int_equal(r->roamed[1], 1);
	rig_shoot(r, fd, 1, dgram, rig_seal(dgram, 0, 0, 1, 101, body, body_len));
	rig_shoot(r, fd, 1, dgram, rig_seal(dgram, 0, 0, 1, 102, body, body_len));
	RIG_UNTIL(r, rig_counters(r, 1).rx_packets == 4 && r->roamed[1] == 2);
	close(fd);
	rig_free(r);
}

static void side_ports(void **state)
{
	struct dp_cfg c = rig_cfg(2);
	struct dp_offloads o;
	struct mk m = rig_packet(0, 4, false);
	uint8_t hello[] = {WIRE_TYPE_BYTE(WIRE_INIT), 1, 2, 3};
	struct rig *r;
	struct ep to;

	c.side_port_lo = 23000;
	c.side_port_hi = 23090;
	r = rig_new(&c, NULL);
	dp_offloads(r->dp[0], &o);
	assert_int_equal(o.side_ports, 2);
	pass(r, 0, &m);
	dp_peer_side_port(r->dp[0], RIG_PEER, 1, true);
	dp_peer_side_port(r->dp[0], RIG_PEER, 2, true);
	pass(r, 0, &m);
	dp_peer_side_port(r->dp[0], RIG_PEER, 1, false);
	pass(r, 0, &m);
	/* From another port, but marked as such: no hint. */
	RIG_UNTIL(r, r->confirmed[1] == 1);
	assert_int_equal(r->roamed[1], 0);
	/* Control can send from there too, and data sockets pass control on. */
	to = rig_ep(r, 1);
	assert_int_equal(dp_send(r->dp[0], &to, NULL, 2, hello, sizeof(hello)), 0);
	RIG_UNTIL(r, r->datagrams[1] == 1);
	assert_int_equal(dp_send(r->dp[0], &to, &to.ip, 0, hello, sizeof(hello)), 0);
	RIG_UNTIL(r, r->datagrams[1] == 2);
	to.port = c.side_port_lo + 100;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(dp_send(r->dp[0], &to, NULL, 0, hello, sizeof(hello)), 0);
		RIG_UNTIL(r, r->datagrams[1] == 3 + i);
	}
	assert_int_equal(dp_send(r->dp[0], &to, NULL, 3, hello, sizeof(hello)), ERR_RANGE);
	rig_free(r);
}

struct seen {
	unsigned calls;
	ts_t rx, tx;
};

static void on_traffic(void *ctx, uint32_t peer, ts_t last_rx, ts_t last_tx)
{
	struct seen *s = ctx;

	assert_int_equal(peer, RIG_PEER);
	s->calls++;
	s->rx = last_rx;
	s->tx = last_tx;
}

static void traffic(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	struct mk m = rig_packet(0, 4, false);
	struct seen s = {0};
	struct dp_counters pc;

	dp_traffic(r->dp[0], on_traffic, &s);
	assert_int_equal(s.calls, 0);
	pass(r, 0, &m);
	dp_traffic(r->dp[0], on_traffic, &s);
	assert_int_equal(s.calls, 1);
	assert_true(s.tx.ns > 0 && s.rx.ns == 0);
	dp_traffic(r->dp[0], on_traffic, &s);
	assert_int_equal(s.calls, 1);
	dp_traffic(r->dp[1], on_traffic, &s);
	assert_int_equal(s.calls, 2);
	assert_true(s.rx.ns > 0 && s.tx.ns == 0);
	assert_int_equal(dp_peer_counters(r->dp[0], RIG_PEER, &pc), 0);
	assert_int_equal(pc.tx_packets, 1);
	assert_int_equal(dp_peer_counters(r->dp[0], RIG_PEER + 1, &pc), ERR_NOT_FOUND);
	rig_free(r);
}

/* Peers count for themselves while they have a key; those that have none share slots that nobody reads. */
static void counts_with_keys(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	struct mk m = rig_packet(0, 4, false);
	struct dp_key k = rig_dp_key(0, 1);
	struct dppeer *other;
	struct seen s = {0};
	struct dp_counters pc;
	unsigned nth = 0;

	pass(r, 0, &m);
	assert_int_equal(dp_peer_counters(r->dp[0], RIG_PEER, &pc), 0);
	assert_int_equal(pc.tx_packets, 1);
	dp_key_del(r->dp[0], k.local_index);
	assert_int_equal(dp_peer_counters(r->dp[0], RIG_PEER, &pc), 0);
	assert_int_equal(pc.tx_packets, 0);
	dp_traffic(r->dp[0], on_traffic, &s);
	assert_int_equal(s.calls, 0);
	/* What a worker that was late still writes is nobody's. */
	assert_int_equal(dp_peer_add(r->dp[0], RIG_PEER + 1), 0);
	other = dp_peer_get(r->dp[0], RIG_PEER + 1);
	assert_ptr_equal(dppeer_slots(other), dppeer_slots(dp_peer_get(r->dp[0], RIG_PEER)));
	stat_add(&dppeer_slots(other)[0].c.tx_packets, 1);
	stat_set(&dppeer_slots(other)[0].tx_ns[PEER_MAIN], 1);
	dp_traffic(r->dp[0], on_traffic, &s);
	assert_int_equal(s.calls, 0);
	assert_int_equal(dp_peer_counters(r->dp[0], RIG_PEER, &pc), 0);
	assert_int_equal(pc.tx_packets, 0);
	/* Back with a key, whichever allocation failed before. */
	do
		fault_arm(++nth);
	while (dp_key_add(r->dp[0], RIG_PEER, &k) == ERR_NOMEM && fault_disarm());
	(void)fault_disarm();
	assert_true(nth > 2);
	dp_key_use(r->dp[0], RIG_PEER, k.local_index);
	assert_int_equal(dp_peer_counters(r->dp[0], RIG_PEER, &pc), 0);
	assert_int_equal(pc.tx_packets, 0);
	assert_ptr_not_equal(dppeer_slots(other), dppeer_slots(dp_peer_get(r->dp[0], RIG_PEER)));
	rig_free(r);
}

/* What dp_links() told last, per way. */
struct ways {
	unsigned calls[256];
	ts_t rx[256], tx[256], any_rx;
};

static void on_link(void *ctx, const struct dp_link *l)
{
	struct ways *w = ctx;

	assert_int_equal(l->peer, RIG_PEER);
	w->calls[l->via]++;
	w->rx[l->via] = l->last_rx;
	w->tx[l->via] = l->last_tx;
	w->any_rx = l->any_rx;
}

/* Links in use are told with each way by itself, idle ones not at all; the first packet after a pause
 * wakes who wants to look. */
static void links(void **state)
{
	struct dp_cfg c = rig_cfg(2);
	struct mk m = rig_packet(0, 4, false);
	struct ways w = {0}, first;
	struct rig *r;

	c.side_port_lo = 23200;
	c.side_port_hi = 23290;
	r = rig_new(&c, NULL);
	rig_poll(r);
	assert_int_equal(dp_links(r->dp[0], on_link, &w), 0);
	pass(r, 0, &m);
	RIG_UNTIL(r, r->active[0] == 1 && r->active[1] == 1);
	assert_int_equal(dp_links(r->dp[0], on_link, &w), 1);
	assert_int_equal(w.calls[0], 1);
	assert_true(w.tx[0].ns > 0 && w.rx[0].ns == 0);
	assert_int_equal(w.calls[1] + w.calls[2] + w.calls[DP_VIA_RELAY], 0);
	first = w;
	/* From the own port of worker 1 (via 2), to the main port of the other side. */
	dp_peer_side_port(r->dp[0], RIG_PEER, 2, true);
	rig_tun_write(r, 0, 1, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(r, rig_counters(r, 1).rx_packets == 2);
	assert_int_equal(dp_links(r->dp[0], on_link, &w), 1);
	assert_true(w.calls[2] == 1 && w.tx[2].ns >= first.tx[0].ns && w.rx[2].ns == 0);
	assert_true(w.calls[1] == 0 && w.tx[0].ns == first.tx[0].ns);
	memset(&w, 0, sizeof(w));
	assert_int_equal(dp_links(r->dp[1], on_link, &w), 1);
	assert_true(w.rx[2].ns > 0 && w.tx[2].ns == 0 && w.rx[0].ns > 0 && w.calls[1] == 0);
	assert_true(w.any_rx.ns == w.rx[2].ns && w.any_rx.ns >= w.rx[0].ns);
	/* Idle for a second: nothing is told, and then it begins anew. */
	memset(&w, 0, sizeof(w));
	RIG_UNTIL(r, dp_links(r->dp[0], on_link, &w) == 0);
	memset(&w, 0, sizeof(w));
	assert_int_equal(dp_links(r->dp[0], on_link, &w), 0);
	assert_int_equal(r->active[0], 1);
	pass(r, 0, &m);
	RIG_UNTIL(r, r->active[0] == 2);
	assert_int_equal(dp_links(r->dp[0], on_link, &w), 1);
	assert_int_equal(w.calls[0], 1);
	rig_free(r);
}

/* Two segments with the same addresses don't see each other; one that goes takes its queue along. */
static void segments(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	struct mk m = rig_packet(0, 4, false);
	int other[2][1], fds[2];
	size_t len;
	struct pollfd p;

	for (int s = 0; s < 2; s++)
		rig_segment(r, s, 9, other[s]);
	pass(r, 0, &m);
	len = mk_build(&m, pkt);
	memcpy(body, &plain, sizeof(plain));
	memcpy(body + sizeof(plain), pkt, len);
	assert_int_equal(write(other[0][0], body, sizeof(plain) + len), sizeof(plain) + len);
	p = (struct pollfd){.fd = other[1][0], .events = POLLIN};
	assert_int_equal(poll(&p, 1, RIG_WAIT), 1);
	assert_int_equal(read(other[1][0], got, sizeof(got)), sizeof(plain) + len);
	assert_memory_equal(got + sizeof(plain), pkt, len);
	assert_int_equal(poll(&(struct pollfd){.fd = r->tun[1][0], .events = POLLIN}, 1, 0), 0);
	assert_int_equal(dp_segment_mtu(r->dp[1], 9, 1300), 0);
	assert_int_equal(dp_segment_del(r->dp[1], 9), 0);
	assert_int_equal(read(other[1][0], got, sizeof(got)), 0); /* closed */
	assert_int_equal(dp_segment_del(r->dp[1], 9), ERR_NOT_FOUND);
	assert_int_equal(dp_segment_mtu(r->dp[1], 9, 1300), ERR_NOT_FOUND);
	assert_int_equal(write(other[0][0], body, sizeof(plain) + len), sizeof(plain) + len);
	RIG_UNTIL(r, rig_drops(r, 1, DP_DROP_BAD_VNI) == 1);
	/* One VNI, one segment. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	assert_int_equal(dp_segment_add(r->dp[0], 9, "rig", fds, 1400), ERR_EXISTS);
	close(fds[1]);
	pass(r, 0, &m);
	close(other[0][0]);
	close(other[1][0]);
	rig_free(r);
}

static void quiet(void *ctx, enum log_level level, const char *module, const char *text)
{
}

static void port_is_taken(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	struct dp *second;

	c.listen.port = dp_port(r->dp[0]);
	log_set_sink(quiet, NULL);
	assert_int_equal(dp_new(&c, &second), -EADDRINUSE);
	log_set_sink(NULL, NULL);
	rig_free(r);
}

/* Each allocation fails once: an error comes back, nothing leaks (the address sanitizer looks), and
 * what stood before works. */
static void no_memory(void **state)
{
	struct dp_cfg c = rig_cfg(2);
	struct dp_key k = rig_dp_key(0, 2);
	struct mk m = rig_packet(0, 4, false);
	struct rig *r;

	log_set_sink(quiet, NULL);
	FAULT_EACH(n)
	{
		struct dp *dp;
		int err = dp_new(&c, &dp);

		if (err == 0)
			dp_free(dp);
		else
			assert_int_equal(err, ERR_NOMEM);
	}
	log_set_sink(NULL, NULL);
	r = rig_new(&c, NULL);
	k.local_index = 77;
	FAULT_EACH(n)
	{
		struct ep to = rig_ep(r, 1);
		struct pfx p = rig_pfx("10.0.77.0/24");
		int err = dp_peer_add(r->dp[0], 9);

		if (err == 0)
			err = dp_peer_endpoint(r->dp[0], 9, &to, NULL);
		if (err == 0)
			err = dp_key_add(r->dp[0], 9, &k);
		if (err == 0)
			err = dp_route_set(r->dp[0], RIG_VNI, &p, DP_ROUTE_PEER, 9);
		if (err < 0)
			assert_int_equal(err, ERR_NOMEM);
		dp_peer_del(r->dp[0], 9);
	}
	FAULT_EACH(n)
	{
		int sv[2][2], fds[2], err;

		for (int i = 0; i < 2; i++) {
			assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv[i]), 0);
			fds[i] = sv[i][1];
		}
		err = dp_segment_add(r->dp[0], 50, "rig", fds, RIG_MTU);
		if (err < 0)
			assert_int_equal(err, ERR_NOMEM);
		else
			assert_int_equal(dp_segment_del(r->dp[0], 50), 0);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(
				read(sv[i][0], got, 1), 0); /* taken and closed, either way */
			close(sv[i][0]);
		}
	}
	pass(r, 0, &m);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size),
		cmocka_unit_test(behind_a_tunnel),
		cmocka_unit_test(fall_backs),
		cmocka_unit_test(aes),
		cmocka_unit_test(halves),
		cmocka_unit_test(halves_of_segments),
		cmocka_unit_test(inner_checks),
		cmocka_unit_test(exits),
		cmocka_unit_test(replay_and_forgery),
		cmocka_unit_test(header_checks),
		cmocka_unit_test(ecn),
		cmocka_unit_test(way_out),
		cmocka_unit_test(limits),
		cmocka_unit_test(roaming),
		cmocka_unit_test(side_ports),
		cmocka_unit_test(traffic),
		cmocka_unit_test(counts_with_keys),
		cmocka_unit_test(links),
		cmocka_unit_test(segments),
		cmocka_unit_test(port_is_taken),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests_name("dp/pair", tests, NULL, NULL);
}
