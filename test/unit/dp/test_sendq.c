/* What happens when the socket says no: full sockets (backlog, in order, peers in turns, bounded),
 * segmented sends that fail (that peer falls back, no other), and errors that cost one datagram. The
 * system calls are replaced through udp_sys. */
#include "dprig.h"

static uint8_t pkt[65600], got[65600];
static const struct virtio_net_hdr plain;

/* Sends answer with this -errno this many times, from the worker threads on. */
static int fail_errno;     /* atomic */
static int fail_times;     /* atomic; -1: always */
static int fail_only_gso;  /* atomic: only messages with more than one segment */
static uint16_t fail_port; /* atomic: only to this port (host order); 0: all */
static unsigned gso_sends; /* atomic: segmented messages that went to the kernel */

static bool is_gso(const struct msghdr *m)
{
	struct msghdr copy = *m;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c; c = CMSG_NXTHDR(&copy, c)) {
		if (c->cmsg_level == IPPROTO_UDP)
			return true;
	}
	return false;
}

static bool is_data(const struct msghdr *m)
{
	return *(const uint8_t *)m->msg_iov[0].iov_base == WIRE_TYPE_BYTE(WIRE_DATA);
}

static bool fails(const struct msghdr *m)
{
	uint16_t port = ntohs(((const struct sockaddr_in6 *)m->msg_name)->sin6_port);
	uint16_t only = __atomic_load_n(&fail_port, __ATOMIC_RELAXED);
	int left = __atomic_load_n(&fail_times, __ATOMIC_RELAXED);

	if (!is_data(m) || left == 0 || (only && only != port) ||
		(__atomic_load_n(&fail_only_gso, __ATOMIC_RELAXED) && !is_gso(m)))
		return false;
	if (left > 0)
		__atomic_fetch_sub(&fail_times, 1, __ATOMIC_RELAXED);
	errno = __atomic_load_n(&fail_errno, __ATOMIC_RELAXED);
	return true;
}

static ssize_t one(int fd, const struct msghdr *m, int flags)
{
	if (fails(m))
		return -1;
	if (is_gso(m))
		__atomic_fetch_add(&gso_sends, 1, __ATOMIC_RELAXED);
	return sendmsg(fd, m, flags);
}

static int many(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	for (unsigned i = 0; i < n; i++) {
		if (one(fd, &m[i].msg_hdr, flags) < 0)
			return i ? (int)i : -1;
	}
	return (int)n;
}

static int setup(void **state)
{
	udp_sys.sendmsg = one;
	udp_sys.sendmmsg = many;
	fail_times = 0;
	fail_only_gso = 0;
	fail_port = 0;
	gso_sends = 0;
	return 0;
}

static void fail_with(int err, int times, bool only_gso)
{
	__atomic_store_n(&fail_errno, err, __ATOMIC_RELAXED);
	__atomic_store_n(&fail_only_gso, only_gso, __ATOMIC_RELAXED);
	__atomic_store_n(&fail_times, times, __ATOMIC_RELAXED);
}

/* Packet number @n, of a size that differs from its neighbours'. */
static size_t numbered(unsigned n)
{
	struct mk m = rig_packet(0, 4, false);

	m.payload = 200 + n % 7;
	m.id = (uint16_t)n;
	m.fill = n;
	return mk_build(&m, pkt);
}

static void put(struct rig *r, unsigned n)
{
	size_t len = numbered(n);

	rig_tun_write(r, 0, 0, &plain, pkt, len);
}

static void expect(struct rig *r, unsigned n)
{
	struct virtio_net_hdr vh;
	size_t len = numbered(n);

	assert_int_equal(rig_tun_read(r, 1, &vh, got, RIG_WAIT), len);
	assert_memory_equal(got, pkt, len);
}

/* A super-packet of side 0; its payload must come out on side 1. */
static void super(struct rig *r)
{
	struct mk m = rig_packet(0, 4, true);
	struct virtio_net_hdr vh = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = 1000};
	size_t hdr = mk_hdr_len(&m), have = 0, len;
	static uint8_t stream[65600];

	m.sum = MK_PARTIAL;
	m.payload = 30500;
	vh.hdr_len = (uint16_t)hdr;
	vh.csum_start = (uint16_t)mk_l4_off(&m);
	vh.csum_offset = 16;
	len = mk_build(&m, pkt);
	rig_tun_write(r, 0, 0, &vh, pkt, len);
	while (have < m.payload) {
		size_t n = rig_tun_read(r, 1, &vh, got, RIG_WAIT);

		assert_true(n > hdr && have + n - hdr <= m.payload);
		memcpy(stream + have, got + hdr, n - hdr);
		have += n - hdr;
	}
	assert_memory_equal(stream, pkt + hdr, m.payload);
}

static void full_socket(void **state)
{
	const int errs[] = {EAGAIN, ENOBUFS, ENOMEM};

	for (unsigned e = 0; e < 3; e++) {
		struct dp_cfg c = rig_cfg(1);
		struct rig *r;

		c.force.no_coalesce = true; /* packets come one by one, easier to name */
		r = rig_new(&c, NULL);
		fail_with(errs[e], 40, false);
		for (unsigned n = 0; n < 30; n++)
			put(r, n);
		for (unsigned n = 0; n < 30; n++)
			expect(r, n);
		assert_int_equal(rig_drops(r, 0, DP_DROP_BACKLOG), 0);
		assert_int_equal(rig_drops(r, 0, DP_DROP_SEND_ERROR), 0);
		rig_free(r);
	}
}

/* Full in the middle of a batch that goes out as single datagrams: the rest follows, nothing twice. */
static void full_while_split(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r;

	c.force.no_udp_gso = true;
	r = rig_new(&c, NULL);
	fail_with(EAGAIN, 3, false);
	super(r);
	super(r);
	assert_int_equal(rig_drops(r, 1, DP_DROP_REPLAY), 0);
	assert_int_equal(rig_counters(r, 0).tx_datagrams, rig_counters(r, 1).rx_datagrams);
	rig_free(r);
}

/* The backlog is bounded; what is dropped is the oldest, and every packet is accounted for. */
static void bounded(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	const unsigned total = 20000;
	struct virtio_net_hdr vh;
	unsigned came = 0;
	struct rig *r;

	c.force.no_coalesce = true;
	r = rig_new(&c, NULL);
	fail_with(ENOBUFS, -1, false);
	for (unsigned n = 0; n < total; n++) {
		size_t len = numbered(n);
		uint8_t buf[2048] = {0};

		memcpy(buf + TUN_VNET_HDR, pkt, len);
		while (write(r->tun[0][0], buf, TUN_VNET_HDR + len) < 0)
			poll(NULL, 0, 1);
	}
	RIG_UNTIL(r, rig_counters(r, 0).tx_packets == total);
	assert_true(rig_drops(r, 0, DP_DROP_BACKLOG) > 0);
	fail_with(0, 0, false);
	while (rig_tun_read(r, 1, &vh, got, 300) > 0)
		came++;
	RIG_UNTIL(r, rig_counters(r, 0).tx_datagrams + rig_drops(r, 0, DP_DROP_BACKLOG) == total);
	/* The last one, the newest, is among those that came. */
	numbered(total - 1);
	assert_memory_equal(got, pkt, 20);
	assert_true(came > 0);
	rig_free(r);
}

static void gso_fall_back(void **state)
{
	const int errs[] = {EIO, EINVAL, EMSGSIZE};

	for (unsigned e = 0; e < 3; e++) {
		struct dp_cfg c = rig_cfg(1);
		struct rig *r = rig_new(&c, NULL);
		struct ep to = rig_ep(r, 1);
		struct dp_counters pc;
		unsigned before;

		super(r);
		before = gso_sends;
		assert_true(before > 0);
		fail_with(errs[e], 1, true);
		super(r);
		super(r);
		assert_int_equal(rig_counters(r, 0).gso_fallbacks, 1);
		assert_int_equal(dp_peer_counters(r->dp[0], RIG_PEER, &pc), 0);
		assert_int_equal(pc.gso_fallbacks, 1);
		assert_int_equal(gso_sends, before);
		for (int i = 0; i < DP_DROP_COUNT; i++)
			assert_int_equal(rig_drops(r, 0, (enum dp_drop)i), 0);
		/* The other side is not concerned; another path is another chance. */
		assert_int_equal(rig_counters(r, 1).gso_fallbacks, 0);
		assert_int_equal(dp_peer_endpoint(r->dp[0], RIG_PEER, &to, NULL), 0);
		super(r);
		assert_true(gso_sends > before);
		rig_free(r);
	}
}

/* The same error out of the backlog. */
static void gso_fall_back_late(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);
	struct mk m = rig_packet(0, 4, true);

	fail_with(EAGAIN, 1, true);
	super(r);
	assert_int_equal(rig_counters(r, 0).gso_fallbacks, 0);
	fail_with(ENOBUFS, -1, true);
	m.payload = 3000;
	m.sum = MK_PARTIAL;
	{
		struct virtio_net_hdr vh = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.gso_size = 1000,
			.csum_start = 20,
			.csum_offset = 16};
		uint64_t before = rig_counters(r, 0).tx_packets;
		size_t len = mk_build(&m, pkt), have = 0;

		rig_tun_write(r, 0, 0, &vh, pkt, len);
		RIG_UNTIL(r, rig_counters(r, 0).tx_packets == before + 3);
		fail_with(EIO, 1, true);
		while (have < m.payload)
			have += rig_tun_read(r, 1, &vh, got, RIG_WAIT) - mk_hdr_len(&m);
	}
	assert_int_equal(rig_counters(r, 0).gso_fallbacks, 1);
	rig_free(r);
}

static void lost_for_good(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);

	fail_with(EMSGSIZE, 1, false);
	put(r, 1);
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_TOO_BIG) == 1);
	fail_with(EPERM, 1, false);
	put(r, 2);
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_SEND_ERROR) == 1);
	put(r, 3);
	expect(r, 3);
	rig_free(r);
}

/* A peer that goes while its packets wait takes them along. */
static void peer_goes(void **state)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);

	fail_with(ENOBUFS, -1, false);
	for (unsigned n = 0; n < 5; n++)
		put(r, n);
	RIG_UNTIL(r, rig_counters(r, 0).tx_packets == 5);
	dp_peer_del(r->dp[0], RIG_PEER);
	assert_int_equal(dp_peer_add(r->dp[0], RIG_PEER), 0); /* the handle is used again */
	fail_with(0, 0, false);
	RIG_UNTIL(r, rig_drops(r, 0, DP_DROP_NO_SESSION) == 5);
	assert_int_equal(rig_counters(r, 1).rx_packets, 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(full_socket, setup),
		cmocka_unit_test_setup(full_while_split, setup),
		cmocka_unit_test_setup(bounded, setup),
		cmocka_unit_test_setup(gso_fall_back, setup),
		cmocka_unit_test_setup(gso_fall_back_late, setup),
		cmocka_unit_test_setup(lost_for_good, setup),
		cmocka_unit_test_setup(peer_goes, setup),
	};

	return cmocka_run_group_tests_name("dp/sendq", tests, NULL, NULL);
}
