/* Sessions on demand: a route to a peer without keys. What is sent waits within bounds, the session is asked
 * for, and its first key sends what waits before anything newer. */
#include "dprig.h"

static uint8_t pkt[65600], got[65600];

static const struct virtio_net_hdr plain;

/* Packets of one flow, told apart by their payload. */
static struct mk nth(int from, unsigned n)
{
	struct mk m = rig_packet(from, 4, false);

	m.payload = 50 + n;
	m.fill = n;
	return m;
}

static void send_nth(struct rig *r, unsigned from, unsigned to)
{
	for (unsigned n = from; n < to; n++) {
		struct mk m = nth(0, n);

		rig_tun_write(r, 0, 0, &plain, pkt, mk_build(&m, pkt));
	}
}

static void expect_nth(struct rig *r, unsigned from, unsigned to)
{
	for (unsigned n = from; n < to; n++) {
		struct mk m = nth(0, n);
		struct virtio_net_hdr vh;
		size_t len = mk_build(&m, pkt);

		assert_int_equal(rig_tun_read(r, 1, &vh, got, RIG_WAIT), len);
		assert_memory_equal(got, pkt, len);
	}
}

static void use_key(struct rig *r, uint32_t index)
{
	struct dp_key k = rig_dp_key(0, r->workers);

	k.local_index = index;
	assert_int_equal(dp_key_add(r->dp[0], RIG_PEER, &k), 0);
	dp_key_use(r->dp[0], RIG_PEER, index);
}

/* A peer without a key: packets wait, the session is asked for once, then all go out in order, and
 * what comes meanwhile stays behind them. */
static void on_demand(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);

	/* All of this counts on the counters of the first key being unused. */
	dp_key_del(r->dp[0], rig_index(0));
	send_nth(r, 0, 40);
	RIG_UNTIL(r, r->wanted[0] == 1);
	assert_int_equal(r->wanted_peer[0], RIG_PEER);
	RIG_UNTIL(r, rig_counters(r, 0).tun_reads == 40);
	assert_int_equal(rig_counters(r, 0).tx_packets, 0);
	use_key(r, 5000);
	send_nth(r, 40, 60);
	expect_nth(r, 0, 60);
	/* At the bound the oldest go, and are counted. */
	dp_key_del(r->dp[0], 5000);
	send_nth(r, 0, LIM_HOLD_PACKETS + 9);
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_NO_SESSION) == 9);
	dp_key_del(r->dp[1], rig_index(1)); /* a new session: its counters begin anew */
	{
		struct dp_key k = rig_dp_key(1, 1);

		assert_int_equal(dp_key_add(r->dp[1], RIG_PEER, &k), 0);
	}
	use_key(r, 5001);
	expect_nth(r, 9, LIM_HOLD_PACKETS + 9);
	rig_free(r);
}

/* A session that is closing: what is under way to us is taken, what goes out waits for the next one. */
static void closing(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	struct mk m = rig_packet(1, 4, false);
	struct virtio_net_hdr vh;
	size_t len;

	dp_key_idle(r->dp[0], RIG_PEER);
	dp_key_idle(r->dp[0], RIG_PEER + 1); /* no such peer */
	send_nth(r, 0, 3);
	RIG_UNTIL(r, r->wanted[0] == 1);
	len = mk_build(&m, pkt);
	rig_tun_write(r, 1, 0, &plain, pkt, len);
	assert_int_equal(rig_tun_read(r, 0, &vh, got, RIG_WAIT), len);
	assert_int_equal(rig_counters(r, 0).tx_packets, 0);
	dp_key_use(r->dp[0], RIG_PEER, rig_index(0));
	expect_nth(r, 0, 3);
	rig_no_drops(r);
	rig_free(r);
}

/* The endpoint may come after the key. */
static void endpoint_last(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	struct ep to = rig_ep(r, 1);
	struct pfx p = rig_pfx("10.0.1.0/24");

	dp_peer_del(r->dp[0], RIG_PEER);
	assert_int_equal(dp_peer_add(r->dp[0], RIG_PEER), 0);
	assert_int_equal(dp_route_set(r->dp[0], RIG_VNI, &p, DP_ROUTE_PEER, RIG_PEER), 0);
	send_nth(r, 0, 3);
	RIG_UNTIL(r, r->wanted[0] == 1);
	use_key(r, 5000);
	poll(NULL, 0, 20);
	assert_int_equal(rig_counters(r, 0).tx_packets, 0);
	assert_int_equal(dp_peer_endpoint(r->dp[0], RIG_PEER, &to, NULL), 0);
	expect_nth(r, 0, 3);
	rig_no_drops(r);
	rig_free(r);
}

/* No session comes: the packets go after a while, and the wish is told again each second only. */
static void never_comes(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r;
	uint64_t began, sent = 10;

	c.hold_ms = 300;
	r = rig_new(&c, NULL);
	dp_key_del(r->dp[0], rig_index(0));
	began = rig_ms();
	send_nth(r, 0, 5);
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_NO_SESSION) == 5);
	assert_true(rig_ms() - began >= 290);
	send_nth(r, 0, 5);
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_NO_SESSION) == 10);
	assert_int_equal(r->wanted[0], 1);
	for (began = rig_ms(); r->wanted[0] == 1 && rig_ms() - began < RIG_WAIT; sent++) {
		send_nth(r, 0, 1);
		poll(NULL, 0, 20);
		rig_poll(r);
	}
	assert_int_equal(r->wanted[0], 2);
	/* The peer goes while something waits for it; its handle comes back as somebody else. */
	dp_peer_del(r->dp[0], RIG_PEER);
	assert_int_equal(dp_peer_add(r->dp[0], RIG_PEER), 0);
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_NO_SESSION) == sent);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_demand),
		cmocka_unit_test(closing),
		cmocka_unit_test(endpoint_last),
		cmocka_unit_test(never_comes),
	};

	return cmocka_run_group_tests_name("dp/ondemand", tests, NULL, NULL);
}
