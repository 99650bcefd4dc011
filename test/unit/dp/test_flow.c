/* flow: the hash is symmetric and spreads; the eBPF program, run by the kernel, computes the same; the
 * classic program, run by a small interpreter here and by the kernel, picks the same socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <cmocka.h>
#include "flow.h"
#include "flow_bpf.h"
#include "mkpkt.h"
#include "prng.h"
#include "weft/wire.h"

#define SEED    0xf10
#define ETH_LEN 14 /* test runs of a socket filter begin behind an Ethernet header */

static uint8_t buf[65600];

static uint32_t hash_of(const uint8_t *p, size_t len)
{
	struct pkt_info pi;

	assert_int_equal(pkt_parse(&pi, p, len), 0);
	return flow_hash(&pi);
}

static struct mk reverse(const struct mk *m)
{
	struct mk r = *m;

	memcpy(r.src, m->dst, 16);
	memcpy(r.dst, m->src, 16);
	r.sport = m->dport;
	r.dport = m->sport;
	return r;
}

/* Any packet that the parser takes. */
static struct mk random_mk(struct prng *r)
{
	static const uint8_t protos[] = {6, 17, 132, 1, 58, 47, 6, 17};
	static const uint8_t exts[] = {0, 60, 43, 44, 51, 0xff, 0xff, 0xff};
	struct mk m = mk_tcp(prng_below(r, 2) ? 4 : 6);

	m.proto = protos[prng_below(r, sizeof(protos))];
	for (unsigned i = 0; i < 16; i++) {
		m.src[i] = (uint8_t)prng_next(r);
		m.dst[i] = (uint8_t)prng_next(r);
	}
	m.sport = (uint16_t)prng_next(r);
	m.dport = (uint16_t)prng_next(r);
	m.ext[0] = exts[prng_below(r, sizeof(exts))];
	m.ip_opts = (unsigned)prng_below(r, 11) * 4 * (prng_below(r, 2) != 0);
	m.ip_opt_fill = 1;
	m.frag = prng_below(r, 4) ? MK_DF : (uint16_t)prng_next(r);
	m.tcp_opts = 0;
	m.payload = (unsigned)prng_below(r, 60);
	return m;
}

static void rule_5_10_both_directions_hash_alike(void **state)
{
	struct prng r;

	print_message("seed 0x%x\n", SEED);
	prng_seed(&r, SEED);
	for (int i = 0; i < 20000; i++) {
		struct mk m = random_mk(&r), back = reverse(&m);
		uint32_t h = hash_of(buf, mk_build(&m, buf));

		assert_int_equal(h, hash_of(buf, mk_build(&back, buf)));
	}
}

static void fragments_and_extension_headers_hash_addresses_only(void **state)
{
	struct mk a = mk_udp(4), b = a;

	a.frag = MK_MF;
	b.frag = 100;
	b.sport ^= 0x55;
	assert_int_equal(hash_of(buf, mk_build(&a, buf)), hash_of(buf, mk_build(&b, buf)));
	a = b = mk_udp(6);
	a.ext[0] = b.ext[0] = 60;
	b.sport ^= 0x55;
	assert_int_equal(hash_of(buf, mk_build(&a, buf)), hash_of(buf, mk_build(&b, buf)));
	a.ext[0] = b.ext[0] = 0xff;
	assert_int_not_equal(hash_of(buf, mk_build(&a, buf)), hash_of(buf, mk_build(&b, buf)));
}

/* Neighbouring addresses and ports, as pods have: no queue gets more than 1.3 times its share. */
static void flows_spread_over_queues(void **state)
{
	for (int family = 4; family <= 6; family += 2) {
		for (unsigned queues = 2; queues <= 16; queues++) {
			unsigned count[16] = {0}, n = 0, at = family == 4 ? 3 : 15;
			struct mk m = mk_tcp(family);

			m.payload = 0;
			for (unsigned i = 0; i < 64; i++) {
				for (unsigned k = 0; k < 64; k++, n++) {
					m.src[at] = (uint8_t)i;
					m.sport = (uint16_t)(32768 + 2 * k);
					count[flow_queue(
						hash_of(buf, mk_build(&m, buf)), queues)]++;
				}
			}
			for (unsigned q = 0; q < queues; q++)
				assert_in_range(
					count[q], n / queues * 7 / 10, n / queues * 13 / 10);
		}
	}
}

static int bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

/* Load the program for @queues; -1 and skipped if this user may not. */
static int load(unsigned queues)
{
	static char log[65536];
	struct bpf_insn insns[FLOW_BPF_TUN_MAX];
	size_t n = flow_bpf_tun(insns, queues);
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = (uint32_t)n;
	attr.license = (uintptr_t) "Apache-2.0";
	attr.log_buf = (uintptr_t)log;
	attr.log_size = sizeof(log);
	attr.log_level = 1;
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0 && (errno == EPERM || errno == ENOSYS)) {
		print_message("SKIPPED: bpf(2) is not permitted here: %s\n", strerror(errno));
		skip();
	}
	if (fd < 0)
		fail_msg("BPF_PROG_LOAD: %s\n%s", strerror(errno), log);
	return fd;
}

/* What the kernel's run of the program returns for a packet. */
static unsigned run(int fd, const uint8_t *pkt, size_t len)
{
	static uint8_t frame[ETH_LEN + 65600];
	union bpf_attr attr;

	memset(frame, 0, ETH_LEN);
	frame[12] = len && pkt[0] >> 4 == 6 ? 0x86 : 0x08;
	frame[13] = len && pkt[0] >> 4 == 6 ? 0xdd : 0x00;
	memcpy(frame + ETH_LEN, pkt, len);
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (uint32_t)fd;
	attr.test.data_in = (uintptr_t)frame;
	attr.test.data_size_in = (uint32_t)(ETH_LEN + len);
	if (bpf(BPF_PROG_TEST_RUN, &attr) != 0)
		fail_msg("BPF_PROG_TEST_RUN of %zu bytes: %s", len, strerror(errno));
	return attr.test.retval;
}

static void rule_5_10_the_ebpf_program_computes_flow_hash(void **state)
{
	static const unsigned queues[] = {1, 2, 3, 7, 64};
	struct prng r;

	print_message("seed 0x%x\n", SEED);
	prng_seed(&r, SEED);
	for (size_t q = 0; q < sizeof(queues) / sizeof(queues[0]); q++) {
		int fd = load(queues[q]);

		for (int i = 0; i < 1500; i++) {
			struct mk m = random_mk(&r);
			size_t len = mk_build(&m, buf);
			unsigned want = flow_queue(hash_of(buf, len), queues[q]);

			if (run(fd, buf, len) != want)
				fail_msg("family %d proto %u ext %u frag %x opts %u: not queue %u",
					m.family, m.proto, m.ext[0], m.frag, m.ip_opts, want);
		}
		close(fd);
	}
}

/* All 32 bits of the hash, not only what is left of them: with as many queues as there can be. */
static void rule_5_10_the_ebpf_program_computes_every_bit(void **state)
{
	int fd = load(INT32_MAX);
	struct prng r;

	print_message("seed 0x%x\n", SEED);
	prng_seed(&r, SEED);
	for (int i = 0; i < 2000; i++) {
		struct mk m = random_mk(&r);
		size_t len = mk_build(&m, buf);

		assert_int_equal(run(fd, buf, len), hash_of(buf, len) % INT32_MAX);
	}
	close(fd);
}

static void rule_5_10_the_ebpf_program_survives_short_packets(void **state)
{
	int fd = load(5);

	for (int family = 4; family <= 6; family += 2) {
		struct mk m = mk_tcp(family);
		size_t len;

		m.payload = 8;
		len = mk_build(&m, buf);
		/* The kernel takes no test frame shorter than its network header. */
		for (size_t n = family == 4 ? 20 : 40; n <= len; n++) {
			/* With ports as soon as they are there, as flow_hash would of a whole packet;
			 * without, addresses only. */
			struct pkt_info pi;
			uint8_t short_pkt[200];

			memcpy(short_pkt, buf, n);
			short_pkt[family == 4 ? 2 : 4] = 0;
			short_pkt[family == 4 ? 3 : 5] = (uint8_t)(family == 4 ? n : n - 40);
			assert_int_equal(pkt_parse(&pi, short_pkt, n), 0);
			assert_int_equal(run(fd, short_pkt, n), flow_queue(flow_hash(&pi), 5));
		}
	}
	/* Not IP: queue 0. */
	memset(buf, 0x11, 100);
	assert_int_equal(run(fd, buf, 100), 0);
	close(fd);
}

/* Enough of classic BPF for the reuseport program. */
static unsigned interpret(const struct sock_filter *f, size_t n, const uint8_t *p, size_t len)
{
	uint32_t a = 0, x = 0, mem[16] = {0};

	for (size_t pc = 0; pc < n; pc++) {
		switch (f[pc].code) {
		case BPF_LD | BPF_B | BPF_ABS:
			if (f[pc].k >= len)
				return 0;
			a = p[f[pc].k];
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == f[pc].k ? f[pc].jt : f[pc].jf;
			break;
		case BPF_ST:
			mem[f[pc].k] = a;
			break;
		case BPF_LDX | BPF_MEM:
			x = mem[f[pc].k];
			break;
		case BPF_ALU | BPF_SUB | BPF_K:
			a -= f[pc].k;
			break;
		case BPF_ALU | BPF_ADD | BPF_X:
			a += x;
			break;
		case BPF_ALU | BPF_MOD | BPF_K:
			a %= f[pc].k;
			break;
		case BPF_RET | BPF_A:
			return a;
		case BPF_RET | BPF_K:
			return f[pc].k;
		default:
			fail_msg("instruction %zu: code %x", pc, f[pc].code);
		}
	}
	fail_msg("ran off the end");
	return 0;
}

static void datagram(uint8_t *p, uint8_t first, uint8_t lane, uint32_t index)
{
	memset(p, 0, WIRE_DATA_OVERHEAD);
	p[0] = first;
	p[WIRE_OFF_LANE] = lane;
	for (int i = 0; i < 4; i++)
		p[WIRE_OFF_INDEX + i] = (uint8_t)(index >> (24 - 8 * i));
}

static void rule_5_8_lanes_reach_their_worker_all_else_control(void **state)
{
	struct sock_filter f[FLOW_BPF_REUSEPORT_MAX];
	uint8_t p[WIRE_DATA_OVERHEAD];

	for (unsigned workers = 1; workers <= 64; workers++) {
		size_t n = flow_bpf_reuseport(f, workers);

		assert_true(n <= FLOW_BPF_REUSEPORT_MAX);
		for (unsigned first = 0; first < 256; first++) {
			datagram(p, (uint8_t)first, 3, 0x01020304);
			assert_int_equal(interpret(f, n, p, sizeof(p)),
				first == WIRE_TYPE_BYTE(WIRE_DATA) ||
						first == WIRE_TYPE_BYTE(WIRE_RELAY)
					? flow_socket(3, workers)
					: workers);
		}
		for (unsigned lane = 0; lane < 256; lane++) {
			uint32_t index = lane * 0x9e3779b1u;

			datagram(p, WIRE_TYPE_BYTE(WIRE_DATA), (uint8_t)lane, index);
			assert_int_equal(
				interpret(f, n, p, sizeof(p)), flow_socket((uint8_t)lane, workers));
			assert_true(
				(flow_socket((uint8_t)lane, workers) == workers) == (lane == 0));
		}
		assert_int_equal(interpret(f, n, p, 0), 0);
		assert_int_equal(interpret(f, n, p, 2), 0);
	}
}

/* The same by a real group of sockets: worker sockets 0..2, control is 3. */
static void rule_5_8_the_kernel_steers_alike(void **state)
{
	enum { WORKERS = 3 };
	struct sock_filter f[FLOW_BPF_REUSEPORT_MAX];
	struct sock_fprog prog = {.filter = f};
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval wait = {.tv_sec = 10};
	socklen_t addrlen = sizeof(addr);
	int fds[WORKERS + 1], on = 1, tx = socket(AF_INET, SOCK_DGRAM, 0);
	uint8_t p[WIRE_DATA_OVERHEAD], got[sizeof(p)];

	assert_true(tx >= 0);
	for (int i = 0; i <= WORKERS; i++) {
		fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
		assert_true(fds[i] >= 0);
		assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
		setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
		assert_int_equal(bind(fds[i], (struct sockaddr *)&addr, sizeof(addr)), 0);
		assert_int_equal(getsockname(fds[i], (struct sockaddr *)&addr, &addrlen), 0);
	}
	prog.len = (unsigned short)flow_bpf_reuseport(f, WORKERS);
	assert_int_equal(
		setsockopt(fds[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog)), 0);
	for (unsigned i = 0; i < 60; i++) {
		uint8_t lane = (uint8_t)(i % 5);
		uint8_t first = WIRE_TYPE_BYTE(i % 7 ? WIRE_DATA : WIRE_INIT);
		unsigned want = i % 7 ? flow_socket(lane, WORKERS) : WORKERS;

		datagram(p, first, lane, i * 77);
		p[20] = (uint8_t)i;
		assert_int_equal(
			sendto(tx, p, sizeof(p), 0, (struct sockaddr *)&addr, sizeof(addr)),
			sizeof(p));
		assert_int_equal(recv(fds[want], got, sizeof(got), 0), sizeof(p));
		assert_memory_equal(got, p, sizeof(p));
	}
	for (int i = 0; i <= WORKERS; i++)
		close(fds[i]);
	close(tx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_5_10_both_directions_hash_alike),
		cmocka_unit_test(fragments_and_extension_headers_hash_addresses_only),
		cmocka_unit_test(flows_spread_over_queues),
		cmocka_unit_test(rule_5_10_the_ebpf_program_computes_flow_hash),
		cmocka_unit_test(rule_5_10_the_ebpf_program_computes_every_bit),
		cmocka_unit_test(rule_5_10_the_ebpf_program_survives_short_packets),
		cmocka_unit_test(rule_5_8_lanes_reach_their_worker_all_else_control),
		cmocka_unit_test(rule_5_8_the_kernel_steers_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
