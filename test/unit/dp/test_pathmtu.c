/* A path whose MTU shrinks under traffic, and probes of it. */
#include "dprig.h"

static uint8_t pkt[65600], got[65600];

/* The path takes less from one moment to the next: what is on its way is dropped and its sender told,
 * as often as is good for it; then smaller segments pass, segmented as before. */
static void path_shrinks(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	struct mk m = rig_packet(0, 4, true);
	struct virtio_net_hdr vh = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				      .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				      .gso_size = 1300},
			      was;
	unsigned inner = 1000;
	uint64_t calls, segs, began = rig_ms();
	struct dp_offloads o;
	size_t len;

	m.frag = MK_DF;
	m.sum = MK_PARTIAL;
	m.payload = 40000;
	vh.csum_start = (uint16_t)mk_l4_off(&m);
	vh.csum_offset = (uint16_t)(mk_sum_off(&m) - mk_l4_off(&m));
	dp_peer_pmtu(r->dp[0], RIG_PEER, inner + WIRE_OVERHEAD_V4);
	len = mk_build(&m, pkt);
	rig_tun_write(r, 0, 0, &vh, pkt, len);
	segs = (m.payload + 1299) / 1300;
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_TOO_BIG) == segs);
	assert_true(rig_tun_read(r, 0, &was, got, RIG_WAIT) > 28);
	assert_int_equal(got[20], 3);
	assert_int_equal(got[21], 4);
	assert_int_equal(got[26] << 8 | got[27], inner);
	assert_memory_equal(got + 28, pkt, 40);
	RIG_UNTIL(r, rig_counters(r, 0).toobig_told == 1);
	/* Not more than the rate, whatever comes: a burst, and what the time of the test allows. */
	for (unsigned i = 2; i <= 301; i++) {
		rig_tun_write(r, 0, 0, &vh, pkt, len);
		if (i % 20 == 1) /* as many as the queue takes */
			RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_TOO_BIG) == i * segs);
	}
	assert_true(rig_counters(r, 0).toobig_told <=
		    2 + LIM_TOOBIG_RATE / 10 + LIM_TOOBIG_RATE * (rig_ms() - began + 1) / 1000);
	while (rig_tun_read(r, 0, &was, got, 10)) {
	}
	calls = rig_counters(r, 0).tx_calls;
	vh.gso_size = (uint16_t)(inner - mk_hdr_len(&m));
	rig_tun_write(r, 0, 0, &vh, pkt, len);
	for (size_t have = 0; have < m.payload;) {
		size_t n = rig_tun_read(r, 1, &was, got, RIG_WAIT);

		assert_true(n > mk_hdr_len(&m));
		have += n - mk_hdr_len(&m);
	}
	RIG_UNTIL(r, rig_counters(r, 0).tx_packets == (m.payload + vh.gso_size - 1) / vh.gso_size);
	/* One call, where the kernel segments. */
	dp_offloads(r->dp[0], &o);
	RIG_UNTIL(r, rig_counters(r, 0).tx_calls > calls);
	if (o.udp_gso)
		assert_int_equal(rig_counters(r, 0).tx_calls, calls + 1);
	rig_free(r);
}

static ssize_t refuse_large(int fd, const struct msghdr *m, int flags)
{
	if (m->msg_iov[0].iov_len > 1000) {
		errno = EMSGSIZE;
		return -1;
	}
	return sendmsg(fd, m, flags);
}

/* A probe that the interface refuses is an answer, not a drop; one that it takes arrives whole, also
 * where a worker gets it. */
static void probes(void **state)
{
	for (unsigned steered = 0; steered < 2; steered++) {
		struct dp_cfg c = rig_cfg(2);
		uint8_t probe[8972] = {WIRE_TYPE_BYTE(WIRE_DATA), 0, WIRE_LANE_CONTROL};
		struct rig *r;
		struct ep to;

		c.force.no_udp_steering = !steered;
		r = rig_new(&c, NULL);
		to = rig_ep(r, 1);
		udp_sys.sendmsg = refuse_large;
		assert_int_equal(dp_send_probe(r->dp[0], &to, NULL, 0, probe, 1400), -EMSGSIZE);
		assert_int_equal(rig_drops(r, 0, DP_DROP_TOO_BIG), 0);
		assert_int_equal(dp_send(r->dp[0], &to, NULL, 0, probe, 1400), -EMSGSIZE);
		assert_int_equal(rig_drops(r, 0, DP_DROP_TOO_BIG), 1);
		assert_int_equal(rig_counters(r, 0).tx_datagrams, 0);
		udp_sys.sendmsg = sendmsg;
		for (size_t len = WIRE_CONTROL_MAX; len <= sizeof(probe); len += 860) {
			unsigned before = r->datagrams[1];

			probe[len - 1] = 7;
			assert_int_equal(dp_send_probe(r->dp[0], &to, NULL, 0, probe, len), 0);
			RIG_UNTIL(r, r->datagrams[1] == before + 1);
			assert_int_equal(r->last_len[1], len);
			assert_memory_equal(r->last[1], probe, len);
			probe[len - 1] = 0;
		}
		rig_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_shrinks),
		cmocka_unit_test(probes),
	};

	return cmocka_run_group_tests_name("dp/pathmtu", tests, NULL, NULL);
}
