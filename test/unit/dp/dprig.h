/* dprig.h - two data planes in one process, wired over loopback UDP. Each TUN queue is a socket pair:
 * what the test writes is what the kernel would hand out, what it reads is what the kernel would get.
 * Needs no root. Include in one test program only. */
#ifndef WEFT_TEST_DPRIG_H
#define WEFT_TEST_DPRIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <linux/virtio_net.h>
#include "dp.h"
#include "mkpkt.h"
#include "tun.h"
#include "udp.h"
#include "weft/err.h"
#include "weft/log.h"

#define RIG_PEER 5
#define RIG_VNI  1
#define RIG_MTU  1400
#define RIG_WAIT 20000 /* ms until something that must happen counts as failed */

struct rig {
	struct dp *dp[2];
	unsigned workers;
	int tun[2][LIM_WORKERS]; /* the kernel's end */
	/* Events, by side */
	unsigned datagrams[2], confirmed[2], soft[2], hard[2], roamed[2], wanted[2], active[2];
	uint8_t last[2][9216];
	size_t last_len[2];
	struct ep roamed_to[2];
	uint32_t wanted_peer[2];
	unsigned relayed[2]; /* datagrams that came through relays, and the way back of the last */
	struct dp_way back[2];
};

/* Keys: side s seals with 0x10 + s, opens with 0x11 - s; it is addressed by index 1000 + s. */
static const uint8_t rig_key[2][32] = {{0x10}, {0x11}};

static inline uint32_t rig_index(int side)
{
	return 1000u + (uint32_t)side;
}

static inline struct dp_key rig_dp_key(int side, unsigned workers)
{
	return (struct dp_key){
		.suite = WIRE_SUITE_CHACHA20_POLY1305,
		.local_index = rig_index(side),
		.remote_index = rig_index(!side),
		.tx_lanes = (uint8_t)(workers + 1),
		.rx_lanes = (uint8_t)(workers + 1),
		.tx = rig_key[side],
		.rx = rig_key[!side],
		.soft_blocks = UINT64_C(1) << 34,
		.hard_blocks = UINT64_C(1) << 35,
		.max_failed_opens = UINT64_C(1) << 36,
	};
}

static inline struct pfx rig_pfx(const char *text)
{
	struct pfx p;

	assert_int_equal(pfx_parse(text, &p), 0);
	return p;
}

static int rig_ioctl(int fd, unsigned long request, void *arg)
{
	return 0; /* a device that takes everything */
}

static inline void rig_routes(struct rig *r, int s, uint32_t vni)
{
	const char *net[2][2] = {{"10.0.0.0/24", "fd00::/64"}, {"10.0.1.0/24", "fd00:0:0:1::/64"}};
	const char *range[2] = {"10.0.0.0/16", "fd00::/48"};

	for (int f = 0; f < 2; f++) {
		struct pfx own = rig_pfx(net[s][f]), other = rig_pfx(net[!s][f]),
			   all = rig_pfx(range[f]);

		assert_int_equal(dp_route_set(r->dp[s], vni, &all, DP_ROUTE_DROP, 0), 0);
		assert_int_equal(dp_route_set(r->dp[s], vni, &own, DP_ROUTE_LOCAL, 0), 0);
		assert_int_equal(dp_route_set(r->dp[s], vni, &other, DP_ROUTE_PEER, RIG_PEER), 0);
	}
}

static inline void rig_segment(struct rig *r, int s, uint32_t vni, int *ours)
{
	int theirs[LIM_WORKERS];

	for (unsigned i = 0; i < r->workers; i++) {
		int sv[2], size = 4 << 20;

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
		for (int k = 0; k < 2; k++) {
			(void)setsockopt(sv[k], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
			assert_int_equal(fcntl(sv[k], F_SETFL, O_NONBLOCK), 0);
		}
		ours[i] = sv[0];
		theirs[i] = sv[1];
	}
	assert_int_equal(dp_segment_add(r->dp[s], vni, "rig", theirs, RIG_MTU), 0);
	rig_routes(r, s, vni);
}

/* Where to reach side @s. */
static inline struct ep rig_ep(const struct rig *r, int s)
{
	return (struct ep){.ip = ip_v4(INADDR_LOOPBACK), .port = dp_port(r->dp[s])};
}

static inline struct rig *rig_new(const struct dp_cfg *cfg, const struct dp_key *key)
{
	struct rig *r = calloc(1, sizeof(*r));

	log_set_level(LOG_LVL_ERROR);
	tun_sys.ioctl = rig_ioctl;
	r->workers = cfg->workers;
	for (int s = 0; s < 2; s++) {
		struct dp_cfg c = *cfg;

		if (s && c.label)
			c.label++;
		if (s && c.side_port_lo) {
			c.side_port_lo = (uint16_t)(c.side_port_lo + 100);
			c.side_port_hi = (uint16_t)(c.side_port_hi + 100);
		}
		assert_int_equal(dp_new(&c, &r->dp[s]), 0);
		rig_segment(r, s, RIG_VNI, r->tun[s]);
	}
	for (int s = 0; s < 2; s++) {
		struct ep to = rig_ep(r, !s);
		struct dp_key k = rig_dp_key(s, cfg->workers);

		if (key) {
			struct dp_key over = *key;

			over.local_index = k.local_index;
			over.remote_index = k.remote_index;
			over.tx = k.tx;
			over.rx = k.rx;
			k = over;
		}
		assert_int_equal(dp_peer_add(r->dp[s], RIG_PEER), 0);
		assert_int_equal(dp_peer_endpoint(r->dp[s], RIG_PEER, &to, NULL), 0);
		assert_int_equal(dp_key_add(r->dp[s], RIG_PEER, &k), 0);
		dp_key_use(r->dp[s], RIG_PEER, k.local_index);
		assert_int_equal(dp_start(r->dp[s]), 0);
	}
	return r;
}

static inline struct dp_cfg rig_cfg(unsigned workers)
{
	return (struct dp_cfg){
		.workers = workers,
		.listen = {.ip = {.family = IP_V6}},
		.dscp = DP_DSCP_COPY,
		.provider = AEAD_AUTO,
		.queue_ms = 5,
	};
}

static inline void rig_free(struct rig *r)
{
	for (int s = 0; s < 2; s++) {
		dp_free(r->dp[s]);
		for (unsigned i = 0; i < r->workers; i++)
			close(r->tun[s][i]);
	}
	free(r);
}

/* ---- events ---- */

struct rig_side {
	struct rig *r;
	int s;
};

static void rig_on_datagram(
	void *ctx, const struct ep *from, const struct ip *local, uint8_t *buf, size_t len)
{
	struct rig_side *x = ctx;

	assert_true(len <= sizeof(x->r->last[0]));
	memcpy(x->r->last[x->s], buf, len);
	x->r->last_len[x->s] = len;
	x->r->datagrams[x->s]++;
}

static void rig_on_confirmed(void *ctx, uint32_t index)
{
	struct rig_side *x = ctx;

	/* Another index: of a peer that the test made itself. */
	if (index == rig_index(x->s))
		x->r->confirmed[x->s]++;
}

static void rig_on_limit(void *ctx, uint32_t index, bool hard)
{
	struct rig_side *x = ctx;

	assert_int_equal(index, rig_index(x->s));
	if (hard)
		x->r->hard[x->s]++;
	else
		x->r->soft[x->s]++;
}

static void rig_on_roam(void *ctx, uint32_t peer, const struct ep *from, const struct ip *local)
{
	struct rig_side *x = ctx;

	assert_int_equal(peer, RIG_PEER);
	x->r->roamed[x->s]++;
	x->r->roamed_to[x->s] = *from;
}

static void rig_on_want(void *ctx, uint32_t peer)
{
	struct rig_side *x = ctx;

	x->r->wanted[x->s]++;
	x->r->wanted_peer[x->s] = peer;
}

static void rig_on_active(void *ctx, uint32_t peer)
{
	struct rig_side *x = ctx;

	if (peer == RIG_PEER)
		x->r->active[x->s]++;
}

static const struct dp_ops rig_ops = {
	.datagram = rig_on_datagram,
	.key_confirmed = rig_on_confirmed,
	.key_limit = rig_on_limit,
	.roam_hint = rig_on_roam,
	.want_session = rig_on_want,
	.link_active = rig_on_active,
};

static inline void rig_poll(struct rig *r)
{
	for (int s = 0; s < 2; s++) {
		struct rig_side x = {r, s};
		struct pollfd p = {.fd = dp_event_fd(r->dp[s]), .events = POLLIN};

		if (poll(&p, 1, 0) == 1)
			dp_poll(r->dp[s], 64, &rig_ops, &x);
	}
}

static inline uint64_t rig_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Run the control side of both until @cond; fail after RIG_WAIT. */
#define RIG_UNTIL(r, cond)                                                                         \
	do {                                                                                       \
		uint64_t rig_end = rig_ms() + RIG_WAIT;                                            \
                                                                                                   \
		while (!(cond)) {                                                                  \
			if (rig_ms() > rig_end) {                                                  \
				rig_show(r);                                                       \
				fail_msg("never happened: %s", #cond);                             \
			}                                                                          \
			rig_poll(r);                                                               \
			poll(NULL, 0, 1);                                                          \
		}                                                                                  \
	} while (0)

static inline struct dp_counters rig_counters(const struct rig *r, int s)
{
	struct dp_counters c;

	dp_counters(r->dp[s], &c);
	return c;
}

static inline uint64_t rig_drops(const struct rig *r, int s, enum dp_drop why)
{
	return rig_counters(r, s).drops[why];
}

static inline void rig_show(const struct rig *r)
{
	for (int s = 0; s < 2; s++) {
		struct dp_counters c = rig_counters(r, s);

		fprintf(stderr, "side %d: tx %lu rx %lu datagrams %lu/%lu", s,
			(unsigned long)c.tx_packets, (unsigned long)c.rx_packets,
			(unsigned long)c.tx_datagrams, (unsigned long)c.rx_datagrams);
		for (int i = 0; i < DP_DROP_COUNT; i++) {
			if (c.drops[i])
				fprintf(stderr, " %s %lu", dp_drop_names[i],
					(unsigned long)c.drops[i]);
		}
		fprintf(stderr, "\n");
	}
}

/* ---- packets ---- */

static inline void rig_tun_write(const struct rig *r, int s, unsigned q,
	const struct virtio_net_hdr *vh, const uint8_t *pkt, size_t len)
{
	uint8_t buf[TUN_READ_MAX];

	memcpy(buf, vh, sizeof(*vh));
	memcpy(buf + sizeof(*vh), pkt, len);
	assert_int_equal(write(r->tun[s][q], buf, sizeof(*vh) + len), sizeof(*vh) + len);
}

/* The next thing written to any queue of side @s: its length behind the vnet header; 0: nothing came
 * within @ms. */
static inline size_t rig_tun_read(
	struct rig *r, int s, struct virtio_net_hdr *vh, uint8_t *pkt, int ms)
{
	uint8_t buf[TUN_READ_MAX];
	struct pollfd p[LIM_WORKERS];
	ssize_t n;

	for (unsigned i = 0; i < r->workers; i++)
		p[i] = (struct pollfd){.fd = r->tun[s][i], .events = POLLIN};
	if (poll(p, r->workers, ms) <= 0)
		return 0;
	for (unsigned i = 0; i < r->workers; i++) {
		if (!(p[i].revents & POLLIN))
			continue;
		n = read(p[i].fd, buf, sizeof(buf));
		assert_true(n > (ssize_t)sizeof(*vh));
		memcpy(vh, buf, sizeof(*vh));
		memcpy(pkt, buf + sizeof(*vh), (size_t)n - sizeof(*vh));
		return (size_t)n - sizeof(*vh);
	}
	return 0;
}

/* A packet from a host of side @from to one of the other. */
static inline struct mk rig_packet(int from, int family, bool tcp)
{
	struct mk m = tcp ? mk_tcp(family) : mk_udp(family);

	memset(m.src, 0, sizeof(m.src));
	memset(m.dst, 0, sizeof(m.dst));
	if (family == 4) {
		memcpy(m.src, (uint8_t[]){10, 0, (uint8_t)from, 7}, 4);
		memcpy(m.dst, (uint8_t[]){10, 0, (uint8_t)!from, 8}, 4);
	} else {
		m.src[0] = m.dst[0] = 0xfd;
		m.src[7] = (uint8_t)from;
		m.dst[7] = (uint8_t)!from;
		m.src[15] = 7;
		m.dst[15] = 8;
	}
	return m;
}

/* Seal @body (shim and packet) by hand, as side @from would; returns the datagram's length. */
static inline size_t rig_seal(uint8_t *out, int from, uint8_t flags, uint8_t lane, uint64_t counter,
	const void *body, size_t len)
{
	struct aead *a = aead_new(WIRE_SUITE_CHACHA20_POLY1305, AEAD_SODIUM, rig_key[from]);
	uint8_t nonce[12];
	uint32_t index = htonl(rig_index(!from));

	assert_non_null(a);
	out[0] = WIRE_TYPE_BYTE(WIRE_DATA);
	out[WIRE_OFF_FLAGS] = flags;
	out[WIRE_OFF_LANE] = lane;
	out[WIRE_OFF_RESERVED] = 0;
	memcpy(out + WIRE_OFF_INDEX, &index, 4);
	for (int i = 0; i < 8; i++)
		out[WIRE_OFF_COUNTER + i] = (uint8_t)(counter >> (56 - 8 * i));
	aead_data_nonce(nonce, lane, counter);
	aead_seal(a, nonce, out, WIRE_DATA_HDR, body, len, out + WIRE_DATA_HDR,
		out + WIRE_DATA_HDR + len);
	aead_free(a);
	return WIRE_DATA_HDR + len + WIRE_TAG;
}

/* Shim and packet @m into @out; returns the length. */
static inline size_t rig_body(uint8_t *out, uint32_t vni, uint8_t inner_flags, const struct mk *m)
{
	out[0] = (uint8_t)(vni >> 16);
	out[1] = (uint8_t)(vni >> 8);
	out[2] = (uint8_t)vni;
	out[3] = inner_flags;
	return WIRE_SHIM + mk_build(m, out + WIRE_SHIM);
}

/* Neither side counted a drop. */
static inline void rig_no_drops(const struct rig *r)
{
	for (int s = 0; s < 2; s++) {
		struct dp_counters c = rig_counters(r, s);

		for (int i = 0; i < DP_DROP_COUNT; i++) {
			if (c.drops[i])
				fail_msg("side %d: %s %lu", s, dp_drop_names[i],
					(unsigned long)c.drops[i]);
		}
	}
}

/* A socket on the underlay that belongs to nobody. */
static inline int rig_stranger(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static inline void rig_shoot(const struct rig *r, int fd, int to, const void *buf, size_t len)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons(dp_port(r->dp[to])),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	assert_int_equal(sendto(fd, buf, len, 0, (struct sockaddr *)&a, sizeof(a)), len);
}

#endif
