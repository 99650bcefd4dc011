/* The kernel as judge (DESIGN 5.5, 5.6), in a network namespace of its own: a run that coalesce made is
 * written to one TUN and forwarded by the kernel to two others. One takes no offload, so that
 * the kernel itself splits the super-packet and completes the sums: what comes out must be the packets
 * that were joined. The other takes super-packets: what comes out must be split by gso the same.
 * Skipped, with a word, where this user may not make namespaces or TUNs. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <cmocka.h>
#include "coalesce.h"
#include "flow.h"
#include "gso.h"
#include "mkpkt.h"
#include "weft/wire.h"

#define RUN        12
#define VNET       10
#define TUN_USO4   0x20 /* TUN_F_USO4 and 6: Linux 6.2 */
#define TUN_USO6   0x40
#define ROUTER_TTL 1 /* what forwarding takes off */

static int tun_in = -1, tun_split = -1, tun_super = -1;
static bool uso;
static uint8_t buf[70000];

static int open_tun(const char *name, unsigned offload)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) != 0 || ioctl(fd, TUNSETOFFLOAD, offload) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int setup(void **state)
{
	unsigned tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

	if (unshare(CLONE_NEWNET) != 0)
		return 0;
	tun_in = open_tun("in", 0);
	tun_split = open_tun("split", 0);
	tun_super = open_tun("super", tso | TUN_USO4 | TUN_USO6);
	uso = tun_super >= 0;
	if (!uso)
		tun_super = open_tun("super", tso);
	if (tun_in < 0 || tun_split < 0 || tun_super < 0)
		return 0;
	if (system("set -e; for d in in split super; do ip link set $d addrgenmode none;"
		   " ip link set $d up mtu 1500; done;"
		   "echo 1 > /proc/sys/net/ipv4/ip_forward;"
		   "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter;"
		   "echo 0 > /proc/sys/net/ipv4/conf/in/rp_filter;"
		   "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding;"
		   "ip route add 10.32.9.0/24 dev split; ip route add 10.32.10.0/24 dev super;"
		   "ip -6 route add fd00:1021::/32 dev split;"
		   "ip -6 route add fd00:1022::/32 dev super") != 0)
		return -1;
	return 0;
}

static int teardown(void **state)
{
	close(tun_in);
	close(tun_split);
	close(tun_super);
	return 0;
}

static void need_tuns(void)
{
	if (tun_in >= 0 && tun_split >= 0 && tun_super >= 0)
		return;
	print_message("SKIPPED: no network namespace or TUN for this user\n");
	skip();
}

/* Packets to write, and what was written to the TUN. */
struct line {
	struct mk m[RUN];
	unsigned n, writes;
};

static void write_run(void *ctx, const struct coal_out *o)
{
	struct line *l = ctx;

	if (writev(tun_in, o->iov, (int)o->niov) != (ssize_t)(o->bytes + VNET))
		fail_msg("the TUN refused a run: %s", strerror(errno));
	l->writes++;
}

/* Coalesce the line and write it. */
static void send_line(struct line *l)
{
	static struct coal coal;
	static uint8_t rx[RUN][1600];

	l->writes = 0;
	coal_init(&coal, write_run, l, 0);
	for (unsigned i = 0; i < l->n; i++) {
		struct pkt_info pi;
		size_t len = mk_build(&l->m[i], rx[i]);
		uint8_t inner = l->m[i].sum == MK_PARTIAL ? WIRE_IF_CSUM_PARTIAL : 0;

		assert_int_equal(pkt_parse(&pi, rx[i], len), 0);
		assert_int_equal(coal_add(&coal, 1, rx[i], &pi, flow_hash(&pi), inner), 0);
	}
	coal_flush(&coal);
}

/* The next TCP or UDP packet from a TUN; its vnet header too. */
static size_t receive(int fd, struct virtio_net_hdr *vh, struct pkt_info *pi)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		ssize_t n;

		if (poll(&p, 1, 10000) != 1)
			fail_msg("nothing came out of the kernel");
		n = read(fd, buf, sizeof(buf));
		assert_true(n > VNET);
		memcpy(vh, buf, VNET);
		assert_int_equal(pkt_parse(pi, buf + VNET, (size_t)n - VNET), 0);
		if (pi->proto == PKT_TCP || pi->proto == PKT_UDP)
			return (size_t)n - VNET;
	}
}

static void expect_packet(const struct mk *m, const uint8_t *got, size_t len)
{
	static uint8_t want[1600];
	struct mk w = *m;

	w.ttl -= ROUTER_TTL;
	if (w.sum == MK_PARTIAL)
		w.sum = MK_COMPLETE;
	assert_int_equal(len, mk_build(&w, want));
	assert_memory_equal(got, want, len);
}

/* A line of packets of each shape: family, protocol, sums, options. */
static struct line line_of(unsigned shape, bool to_super)
{
	int family = shape & 1 ? 6 : 4;
	struct mk m = shape & 2 ? mk_udp(family) : mk_tcp(family);
	struct line l = {.n = RUN};

	m.payload = 1000;
	m.sum = shape & 4 ? MK_COMPLETE : MK_PARTIAL;
	m.id = 0xfffa; /* wraps */
	m.seq = 0xfffff000;
	m.frag = shape & 8 ? MK_DF : 0;
	m.tos = shape & 8 ? 0x02 : 0x00;
	m.flags |= shape & 8 ? 0x40 : 0; /* ECE */
	if (shape & 16) {
		m.ip_opts = 4;
		m.ip_opt_fill = 1;
		m.ext[0] = 60;
	}
	if (to_super) {
		m.dst[2] = family == 4 ? 10 : m.dst[2];
		m.dst[3] = family == 6 ? 0x22 : m.dst[3];
	}
	for (unsigned i = 0; i < RUN; i++) {
		if (i == RUN - 1) {
			m.payload = 333;
			m.flags |= m.proto == 6 ? 0x09 : 0;
		}
		l.m[i] = m;
		m.seq += m.payload;
		m.fill += m.payload;
		m.id++;
	}
	return l;
}

static void rule_5_6_the_kernel_splits_a_run_into_what_was_joined(void **state)
{
	need_tuns();
	for (unsigned shape = 0; shape < 32; shape++) {
		struct line l = line_of(shape, false);

		if ((shape & 2) && !uso)
			continue; /* nor does this kernel take UDP super-packets */
		send_line(&l);
		assert_int_equal(l.writes, 1);
		for (unsigned i = 0; i < l.n; i++) {
			struct virtio_net_hdr vh;
			struct pkt_info pi;
			size_t len = receive(tun_split, &vh, &pi);

			assert_int_equal(vh.gso_type, VIRTIO_NET_HDR_GSO_NONE);
			assert_int_equal(vh.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
			expect_packet(&l.m[i], buf + VNET, len);
		}
	}
}

static void rule_5_5_super_packets_of_the_kernel_are_split_alike(void **state)
{
	static uint8_t seg[1600];

	need_tuns();
	for (unsigned shape = 0; shape < 32; shape++) {
		struct line l = line_of(shape, true);
		struct virtio_net_hdr vh;
		struct gso_iter it;
		struct pkt_info pi;
		uint8_t inner;
		size_t len;

		if ((shape & 2) && !uso)
			continue;
		send_line(&l);
		assert_int_equal(l.writes, 1);
		for (unsigned i = 0; i < l.n;) {
			/* With IPv6 extension headers the kernel may split by itself. */
			receive(tun_super, &vh, &pi);
			if (!(shape & 16))
				assert_int_not_equal(vh.gso_type, VIRTIO_NET_HDR_GSO_NONE);
			assert_true(gso_init(&it, &vh, &pi, shape & 8 ? GSO_PARTIAL_OK : 0) > 0);
			for (; gso_next(&it, seg, sizeof(seg), &len, &inner) > 0; i++) {
				assert_in_range(i, 0, l.n - 1);
				if (inner & WIRE_IF_CSUM_PARTIAL)
					mk_complete(&l.m[i], seg, len);
				expect_packet(&l.m[i], seg, len);
			}
		}
	}
}

/* Single packets: a partial sum completed by the kernel is the sum; a wrong one arrives wrong. */
static void rule_5_5_single_packets_through_the_kernel(void **state)
{
	static const enum mk_sum sums[] = {MK_PARTIAL, MK_COMPLETE, MK_WRONG, MK_ZERO};

	need_tuns();
	for (unsigned shape = 0; shape < 16; shape++) {
		struct line l = line_of(shape & 3, false);
		struct virtio_net_hdr vh;
		struct pkt_info pi;

		l.n = 1;
		l.m[0].sum = sums[shape >> 2];
		if (l.m[0].sum == MK_ZERO && l.m[0].proto == 6)
			continue;
		send_line(&l);
		expect_packet(&l.m[0], buf + VNET, receive(tun_split, &vh, &pi));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_5_6_the_kernel_splits_a_run_into_what_was_joined),
		cmocka_unit_test(rule_5_5_super_packets_of_the_kernel_are_split_alike),
		cmocka_unit_test(rule_5_5_single_packets_through_the_kernel),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
