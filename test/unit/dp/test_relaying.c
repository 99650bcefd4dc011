/* Three data planes: what two ends send each other goes through a relay, which can't read it; and each
 * thing that a relay, or an end, must not take. */
#include "dprig.h"

#include "relay.h"

#define RELAY          6 /* the relay's handle at the ends */
/* The ends' handles at the relay */
#define AT_RELAY(side) (1u + (unsigned)(side))

#define LABEL_END(side) (100u + (uint64_t)(side))
#define LABEL_RELAY     200u

static uint8_t pkt[65600], got[65600], body[2048], dgram[4096];

static const struct virtio_net_hdr plain;

struct net {
	struct rig *r;
	struct dp *relay;
	unsigned events; /* control datagrams that reached the relay */
};

/* The key between end @s and the relay, as the end (or the relay) has it. */
static struct dp_key hop_key(int s, bool at_end, unsigned workers)
{
	static const uint8_t up[2][32] = {{0x30}, {0x31}}, down[2][32] = {{0x40}, {0x41}};
	struct dp_key k = rig_dp_key(0, workers);

	k.local_index = (at_end ? 5000u : 6000u) + (unsigned)s;
	k.remote_index = (at_end ? 6000u : 5000u) + (unsigned)s;
	k.tx = at_end ? up[s] : down[s];
	k.rx = at_end ? down[s] : up[s];
	return k;
}

static void join(
	struct dp *dp, uint32_t peer, const struct ep *at, uint64_t label, const struct dp_key *k)
{
	assert_int_equal(dp_peer_add(dp, peer), 0);
	assert_int_equal(dp_peer_label(dp, peer, label), 0);
	assert_int_equal(dp_peer_endpoint(dp, peer, at, NULL), 0);
	assert_int_equal(dp_key_add(dp, peer, k), 0);
	dp_key_use(dp, peer, k->local_index);
}

static struct dp_way way_to(int side)
{
	return (struct dp_way){.first = RELAY, .n = 1, .label = {LABEL_END(side)}};
}

static void net_new(struct net *n, unsigned workers, bool relays, uint64_t rate)
{
	struct dp_cfg c = rig_cfg(workers);

	memset(n, 0, sizeof(*n));
	c.label = LABEL_END(0);
	n->r = rig_new(&c, NULL);
	c.label = LABEL_RELAY;
	c.relay = relays;
	c.relay_rate = rate;
	assert_int_equal(dp_new(&c, &n->relay), 0);
	for (int s = 0; s < 2; s++) {
		struct ep end = rig_ep(n->r, s),
			  relay = {.ip = ip_v4(INADDR_LOOPBACK), .port = dp_port(n->relay)};
		struct dp_key end_key = hop_key(s, true, workers),
			      relay_key = hop_key(s, false, workers);
		struct dp_way way = way_to(!s);

		join(n->relay, AT_RELAY(s), &end, LABEL_END(s), &relay_key);
		join(n->r->dp[s], RELAY, &relay, LABEL_RELAY, &end_key);
		assert_int_equal(dp_peer_label(n->r->dp[s], RIG_PEER, LABEL_END(!s)), 0);
		assert_int_equal(dp_peer_route(n->r->dp[s], RIG_PEER, &way), 0);
	}
	assert_int_equal(dp_start(n->relay), 0);
}

static void net_free(struct net *n)
{
	dp_free(n->relay);
	rig_free(n->r);
}

static struct dp_counters relay_counters(const struct net *n)
{
	struct dp_counters c;

	dp_counters(n->relay, &c);
	return c;
}

static uint64_t relay_drops(const struct net *n, enum dp_drop why)
{
	return relay_counters(n).drops[why];
}

static void pass(struct net *n, int from, const struct mk *m)
{
	struct virtio_net_hdr vh;
	size_t len = mk_build(m, pkt);

	rig_tun_write(n->r, from, 0, &plain, pkt, len);
	if (rig_tun_read(n->r, !from, &vh, got, RIG_WAIT) != len) {
		struct dp_counters c = relay_counters(n);

		rig_show(n->r);
		for (int i = 0; i < DP_DROP_COUNT; i++) {
			if (c.drops[i])
				print_error("relay: %s %lu\n", dp_drop_names[i],
					(unsigned long)c.drops[i]);
		}
		fail_msg("%zu bytes from side %d did not come", len, from);
	}
	assert_memory_equal(got, pkt, len);
}

/* ---- what passes ---- */

static void both_ways(void **state)
{
	for (unsigned workers = 1; workers <= 3; workers += 2) {
		struct net n;

		net_new(&n, workers, true, 0);
		for (int from = 0; from < 2; from++) {
			for (int family = 4; family <= 6; family += 2) {
				struct mk m = rig_packet(from, family, false);

				for (m.payload = 0; m.payload < 1300; m.payload += 37)
					pass(&n, from, &m);
			}
		}
		assert_int_equal(relay_counters(&n).relay_forwarded,
			rig_counters(n.r, 0).tx_packets + rig_counters(n.r, 1).tx_packets);
		/* Nothing was for the relay itself, and no end believes that the other has moved. */
		assert_int_equal(relay_counters(&n).rx_packets, 0);
		rig_poll(n.r);
		assert_int_equal(n.r->roamed[0] + n.r->roamed[1], 0);
		net_free(&n);
	}
}

static void super_packets(void **state)
{
	struct net n;
	struct mk m;
	struct virtio_net_hdr vh = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = 1240};
	size_t have = 0, len, hdr;

	net_new(&n, 1, true, 0);
	m = rig_packet(0, 4, true);
	m.sum = MK_PARTIAL;
	m.payload = 60000;
	hdr = mk_hdr_len(&m);
	vh.csum_start = (uint16_t)mk_l4_off(&m);
	vh.csum_offset = (uint16_t)(mk_sum_off(&m) - mk_l4_off(&m));
	len = mk_build(&m, pkt);
	rig_tun_write(n.r, 0, 0, &vh, pkt, len);
	while (have < m.payload) {
		size_t some = rig_tun_read(n.r, 1, &vh, got, RIG_WAIT);

		assert_true(some > hdr);
		assert_memory_equal(got + hdr, pkt + hdr + have, some - hdr);
		have += some - hdr;
	}
	net_free(&n);
}

/* The header takes its bytes out of the path's MTU, exactly. */
static void mtu(void **state)
{
	struct net n;
	struct mk m;

	net_new(&n, 1, true, 0);
	m = rig_packet(0, 4, false);
	m.payload = 1000;
	dp_peer_pmtu(n.r->dp[0], RIG_PEER,
		(unsigned)mk_hdr_len(&m) + m.payload + WIRE_OVERHEAD_V4 + WIRE_RELAY_OVERHEAD(1));
	pass(&n, 0, &m);
	m.payload++;
	rig_tun_write(n.r, 0, 0, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(n.r, rig_drops(n.r, 0, DP_DROP_TOO_BIG) == 1);
	/* The relay's next hop takes less. */
	dp_peer_pmtu(n.relay, AT_RELAY(0), 500);
	m = rig_packet(1, 4, false);
	m.payload = 1000;
	rig_tun_write(n.r, 1, 0, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(n.r, relay_drops(&n, DP_DROP_TOO_BIG) == 1);
	net_free(&n);
}

/* From relay to direct and back, while the ends keep their session. */
static void changes(void **state)
{
	struct net n;
	struct mk m;
	struct dp_way way = way_to(1);
	uint64_t before;
	struct ep direct;

	net_new(&n, 1, true, 0);
	direct = rig_ep(n.r, 1);
	m = rig_packet(0, 4, false);
	pass(&n, 0, &m);
	assert_int_equal(relay_counters(&n).relay_forwarded, 1);
	assert_int_equal(dp_peer_endpoint(n.r->dp[0], RIG_PEER, &direct, NULL), 0);
	pass(&n, 0, &m);
	before = relay_counters(&n).relay_forwarded;
	assert_int_equal(before, 1);
	assert_int_equal(dp_peer_route(n.r->dp[0], RIG_PEER, &way), 0);
	pass(&n, 0, &m);
	assert_int_equal(relay_counters(&n).relay_forwarded, 2);
	/* Packets wait while there is no session with the relay, and it is the one that is wanted. */
	dp_key_del(n.r->dp[0], hop_key(0, true, 1).local_index);
	rig_tun_write(n.r, 0, 0, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(n.r, n.r->wanted[0] == 1);
	assert_int_equal(n.r->wanted_peer[0], RELAY);
	{
		struct dp_key again[2] = {hop_key(0, true, 1), hop_key(0, false, 1)};
		struct virtio_net_hdr vh;

		again[0].local_index = again[1].remote_index = 7000;
		again[0].remote_index = again[1].local_index = 7001;
		assert_int_equal(dp_key_add(n.relay, AT_RELAY(0), &again[1]), 0);
		assert_int_equal(dp_key_add(n.r->dp[0], RELAY, &again[0]), 0);
		dp_key_use(n.r->dp[0], RELAY, 7000);
		assert_int_equal(rig_tun_read(n.r, 1, &vh, got, RIG_WAIT), mk_build(&m, pkt));
	}
	/* The relay is forgotten: nowhere to go. */
	dp_peer_del(n.r->dp[0], RELAY);
	rig_tun_write(n.r, 0, 0, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(n.r, rig_drops(n.r, 0, DP_DROP_NO_SESSION) == 1);
	net_free(&n);
}

static void on_relayed(void *ctx, const struct dp_way *back, uint8_t *buf, size_t len)
{
	struct rig_side *x = ctx;

	assert_true(len <= sizeof(x->r->last[0]));
	memcpy(x->r->last[x->s], buf, len);
	x->r->last_len[x->s] = len;
	x->r->relayed[x->s]++;
	x->r->back[x->s] = *back;
}

static void poll_relayed(struct rig *r, int s)
{
	struct dp_ops ops = rig_ops;
	struct rig_side x = {r, s};

	ops.relayed = on_relayed;
	dp_poll(r->dp[s], 64, &ops, &x);
}

/* Handshakes and control messages: they come with the way that an answer takes. */
static void control(void **state)
{
	uint8_t hello[400] = {WIRE_TYPE_BYTE(WIRE_INIT), 1, 2, 3};
	struct dp_way way = way_to(1), bad;
	struct net n;

	net_new(&n, 2, true, 0);
	hello[399] = 9;
	for (unsigned i = 1; i <= 20; i++) {
		assert_int_equal(dp_send_way(n.r->dp[0], &way, hello, sizeof(hello), false), 0);
		for (uint64_t end = rig_ms() + RIG_WAIT; n.r->relayed[1] < i && rig_ms() < end;
			poll(NULL, 0, 1))
			poll_relayed(n.r, 1);
		assert_int_equal(n.r->relayed[1], i);
	}
	assert_int_equal(n.r->datagrams[1], 0);
	assert_int_equal(n.r->last_len[1], sizeof(hello));
	assert_memory_equal(n.r->last[1], hello, sizeof(hello));
	assert_int_equal(n.r->back[1].first, RELAY);
	assert_int_equal(n.r->back[1].n, 1);
	assert_true(n.r->back[1].label[0] == LABEL_END(0));
	hello[0] = WIRE_TYPE_BYTE(WIRE_RESP);
	assert_int_equal(dp_send_way(n.r->dp[1], &n.r->back[1], hello, sizeof(hello), false), 0);
	for (uint64_t end = rig_ms() + RIG_WAIT; !n.r->relayed[0] && rig_ms() < end;
		poll(NULL, 0, 1))
		poll_relayed(n.r, 0);
	assert_int_equal(n.r->relayed[0], 1);
	assert_memory_equal(n.r->last[0], hello, sizeof(hello));
	/* Ways that can't be. */
	bad = way;
	bad.n = 0;
	assert_int_equal(dp_send_way(n.r->dp[0], &bad, hello, 1, false), ERR_RANGE);
	bad.n = 4;
	assert_int_equal(dp_send_way(n.r->dp[0], &bad, hello, 1, false), ERR_RANGE);
	bad = way;
	bad.label[0] = LABEL_RELAY;
	assert_int_equal(dp_send_way(n.r->dp[0], &bad, hello, 1, false), ERR_RANGE);
	assert_int_equal(dp_peer_route(n.r->dp[0], RIG_PEER, &bad), ERR_RANGE);
	bad.label[0] = LABEL_END(0); /* ourselves */
	assert_int_equal(dp_peer_route(n.r->dp[0], RIG_PEER, &bad), ERR_RANGE);
	bad = way;
	bad.first = 77;
	assert_int_equal(dp_send_way(n.r->dp[0], &bad, hello, 1, false), ERR_NOT_FOUND);
	assert_int_equal(dp_peer_route(n.r->dp[0], RIG_PEER, &bad), ERR_NOT_FOUND);
	assert_int_equal(dp_peer_route(n.r->dp[0], RELAY, &way), ERR_RANGE);
	net_free(&n);
}

/* ---- what does not ---- */

static void refused(void **state)
{
	struct net n;
	struct mk m;

	net_new(&n, 1, false, 0);
	m = rig_packet(0, 4, false);
	rig_tun_write(n.r, 0, 0, &plain, pkt, mk_build(&m, pkt));
	RIG_UNTIL(n.r, relay_drops(&n, DP_DROP_RELAY_REFUSED) == 1);
	assert_int_equal(relay_counters(&n).relay_forwarded, 0);
	net_free(&n);
}

static void limited(void **state)
{
	struct net n;
	struct mk m;
	struct dp_counters c;
	uint64_t sent = 0;

	net_new(&n, 1, true, 100 * 1000);
	m = rig_packet(0, 4, false);
	m.payload = 1000;
	while (relay_drops(&n, DP_DROP_RELAY_LIMITED) < 10) {
		assert_true(sent++ < 1000);
		rig_tun_write(n.r, 0, 0, &plain, pkt, mk_build(&m, pkt));
		RIG_UNTIL(n.r, relay_counters(&n).rx_datagrams == sent);
	}
	/* A tenth of a second of its rate, and what that took to send. */
	assert_true(relay_counters(&n).relay_forwarded >= 9);
	/* Counted for who sent, and the other end has a rate of its own. */
	assert_int_equal(dp_peer_counters(n.relay, AT_RELAY(0), &c), 0);
	assert_true(c.drops[DP_DROP_RELAY_LIMITED] >= 10);
	m = rig_packet(1, 4, false);
	RIG_UNTIL(n.r, rig_counters(n.r, 1).rx_packets == relay_counters(&n).relay_forwarded);
	while (rig_tun_read(n.r, 1, &(struct virtio_net_hdr){0}, got, 10)) {
	}
	pass(&n, 1, &m);
	net_free(&n);
}

/* A relay datagram from end 0, made by hand with the right key. */
static size_t seal_relay(const struct relay_hdr *h, const uint8_t *inner, size_t len)
{
	struct dp_key k = hop_key(0, true, 1);
	struct aead *a = aead_new(k.suite, AEAD_SODIUM, k.tx);
	size_t off = relay_tag_off(h->n);
	uint8_t nonce[12];

	assert_non_null(a);
	relay_write(h, dgram);
	aead_data_nonce(nonce, h->lane, h->counter);
	aead_seal(a, nonce, dgram, off, dgram + off, 0, dgram + off, dgram + off);
	aead_free(a);
	memcpy(dgram + off + WIRE_TAG, inner, len);
	return off + WIRE_TAG + len;
}

static void shoot(const struct net *n, int fd, size_t len)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons(dp_port(n->relay)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	assert_int_equal(sendto(fd, dgram, len, 0, (struct sockaddr *)&a, sizeof(a)), len);
}

/* Drops at the relay of datagrams that begin with type RELAY, whatever for. */
static uint64_t all_drops(const struct net *n)
{
	struct dp_counters c = relay_counters(n);
	uint64_t sum = 0;

	for (int i = 0; i < DP_DROP_COUNT; i++)
		sum += c.drops[i];
	return sum;
}

static void bad_routes(void **state)
{
	const uint64_t e0 = LABEL_END(0), e1 = LABEL_END(1), me = LABEL_RELAY;
	const struct {
		uint8_t n, left;
		uint64_t label[3];
		enum dp_drop why;
	} row[] = {
		{1, 1, {e0}, DP_DROP_RELAY_BAD}, /* back to who sent it */
		{1, 1, {me}, DP_DROP_RELAY_BAD},
		{2, 2, {e1, e0}, DP_DROP_RELAY_BAD},
		{2, 2, {e1, e1}, DP_DROP_RELAY_BAD},
		{3, 2, {7, e1, 7}, DP_DROP_RELAY_BAD},
		{3, 1, {7, me, e1}, DP_DROP_RELAY_BAD},
		{2, 1, {0, e1}, DP_DROP_RELAY_BAD},
		{1, 1, {55}, DP_DROP_RELAY_NO_HOP}, /* nobody we know */
		{2, 2, {55, e1}, DP_DROP_RELAY_NO_HOP},
	};
	uint8_t inner[64] = {WIRE_TYPE_BYTE(WIRE_INIT)};
	int fd = rig_stranger();
	struct net n;
	uint64_t counter = 500;

	net_new(&n, 1, true, 0);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct relay_hdr h = {.n = row[i].n,
			.left = row[i].left,
			.lane = 1,
			.index = hop_key(0, false, 1).local_index,
			.counter = counter++};
		uint64_t before = relay_drops(&n, row[i].why);

		memcpy(h.label, row[i].label, sizeof(h.label));
		shoot(&n, fd, seal_relay(&h, inner, sizeof(inner)));
		RIG_UNTIL(n.r, relay_drops(&n, row[i].why) == before + 1);
	}
	assert_int_equal(relay_counters(&n).relay_forwarded, 0);
	/* The next hop is known, but has no key. */
	dp_key_del(n.relay, hop_key(1, false, 1).local_index);
	{
		struct relay_hdr h = {.n = 1,
			.left = 1,
			.lane = 1,
			.label = {e1},
			.index = hop_key(0, false, 1).local_index,
			.counter = counter++};
		uint64_t before = relay_drops(&n, DP_DROP_RELAY_NO_HOP);

		shoot(&n, fd, seal_relay(&h, inner, sizeof(inner)));
		RIG_UNTIL(n.r, relay_drops(&n, DP_DROP_RELAY_NO_HOP) == before + 1);
	}
	close(fd);
	net_free(&n);
}

/* Each bit of header and tag counts, each prefix is refused, and a datagram is taken once. */
static void forged(void **state)
{
	struct relay_hdr h = {.n = 2,
		.left = 1,
		.lane = 1,
		.label = {9, LABEL_END(1)},
		.index = hop_key(0, false, 1).local_index,
		.counter = 1000};
	uint8_t inner[64] = {WIRE_TYPE_BYTE(WIRE_INIT)};
	size_t len, head = WIRE_RELAY_OVERHEAD(2);
	int fd = rig_stranger();
	struct net n;

	net_new(&n, 1, true, 0);
	len = seal_relay(&h, inner, sizeof(inner));
	for (size_t bit = 8; bit < 8 * head; bit++) {
		uint64_t before = all_drops(&n);

		dgram[bit / 8] ^= (uint8_t)(1 << bit % 8);
		shoot(&n, fd, len);
		dgram[bit / 8] ^= (uint8_t)(1 << bit % 8);
		/* Lane 0 is control's, which finds that it can't be one. */
		for (uint64_t end = rig_ms() + RIG_WAIT; all_drops(&n) == before && rig_ms() < end;)
			dp_poll(n.relay, 16, &rig_ops, &(struct rig_side){n.r, 0});
		assert_int_equal(all_drops(&n), before + 1);
	}
	for (size_t cut = 1; cut <= head; cut++) {
		uint64_t before = relay_drops(&n, DP_DROP_MALFORMED);

		shoot(&n, fd, cut);
		RIG_UNTIL(n.r, relay_drops(&n, DP_DROP_MALFORMED) == before + 1);
	}
	assert_int_equal(relay_counters(&n).relay_forwarded, 0);
	shoot(&n, fd, len);
	RIG_UNTIL(n.r, relay_counters(&n).relay_forwarded == 1);
	for (uint64_t i = 1; i <= 3; i++) {
		shoot(&n, fd, len);
		RIG_UNTIL(n.r, relay_drops(&n, DP_DROP_REPLAY) == i);
	}
	assert_int_equal(relay_counters(&n).relay_forwarded, 1);
	close(fd);
	net_free(&n);
}

/* What is inside is sealed end to end: with the relay's keys nothing can be said in the other's name. */
static void relay_speaks(void **state)
{
	struct dp_key k = hop_key(1, false, 1); /* the relay's, towards end 1 */
	struct relay_hdr h = {.n = 1,
		.left = 0,
		.lane = 1,
		.label = {LABEL_END(0)},
		.index = k.remote_index,
		.counter = 900};
	struct net n;
	struct mk m;
	struct aead *a;
	uint8_t nonce[12];
	size_t off = relay_tag_off(1), len;
	int fd = rig_stranger();

	net_new(&n, 1, true, 0);
	m = rig_packet(0, 4, false);
	a = aead_new(k.suite, AEAD_SODIUM, k.tx);
	assert_non_null(a);
	relay_write(&h, dgram);
	aead_data_nonce(nonce, 1, h.counter);
	aead_seal(a, nonce, dgram, off, dgram + off, 0, dgram + off, dgram + off);
	/* The inner datagram under the relay's own session, with a source of end 0's. */
	len = rig_body(body, RIG_VNI, 0, &m);
	{
		uint8_t *p = dgram + off + WIRE_TAG;
		uint32_t index = htonl(k.remote_index);

		memset(p, 0, WIRE_DATA_HDR);
		p[0] = WIRE_TYPE_BYTE(WIRE_DATA);
		p[WIRE_OFF_LANE] = 1;
		memcpy(p + WIRE_OFF_INDEX, &index, 4);
		p[WIRE_OFF_COUNTER + 6] = 0x0f;
		aead_data_nonce(nonce, 1, 0x0f00);
		aead_seal(a, nonce, p, WIRE_DATA_HDR, body, len, p + WIRE_DATA_HDR,
			p + WIRE_DATA_HDR + len);
		len += WIRE_DATA_HDR + WIRE_TAG;
	}
	aead_free(a);
	rig_shoot(n.r, fd, 1, dgram, off + WIRE_TAG + len);
	RIG_UNTIL(n.r, rig_drops(n.r, 1, DP_DROP_BAD_SOURCE) == 1);
	close(fd);
	net_free(&n);
}

static void labels(void **state)
{
	struct net n;

	net_new(&n, 1, true, 0);
	assert_int_equal(dp_peer_label(n.relay, AT_RELAY(0), LABEL_END(0)), 0);
	assert_int_equal(dp_peer_label(n.relay, AT_RELAY(0), 9), ERR_EXISTS);
	assert_int_equal(dp_peer_label(n.relay, AT_RELAY(0), 0), ERR_RANGE);
	assert_int_equal(dp_peer_label(n.relay, 77, 9), ERR_NOT_FOUND);
	assert_int_equal(dp_peer_add(n.relay, 77), 0);
	assert_int_equal(dp_peer_label(n.relay, 77, LABEL_END(0)), ERR_EXISTS);
	dp_peer_del(n.relay, AT_RELAY(0));
	assert_int_equal(dp_peer_label(n.relay, 77, LABEL_END(0)), 0);
	net_free(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),
		cmocka_unit_test(super_packets),
		cmocka_unit_test(mtu),
		cmocka_unit_test(changes),
		cmocka_unit_test(control),
		cmocka_unit_test(refused),
		cmocka_unit_test(limited),
		cmocka_unit_test(bad_routes),
		cmocka_unit_test(forged),
		cmocka_unit_test(relay_speaks),
		cmocka_unit_test(labels),
	};

	return cmocka_run_group_tests_name("dp/relaying", tests, NULL, NULL);
}
