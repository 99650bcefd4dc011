/* The filter of listening sockets (RFC 5082): programs are run on packets by an interpreter of the few
 * instructions that they use, against a model that walks the rules; what has no room; and the kernel takes
 * them. What it does with them over TCP is in test_driver_gtsm.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "gtsm.h"
#include "prng.h"

struct packet {
	bool v6;
	uint8_t ttl;
	struct ip from;
	uint32_t ifindex;
};

static struct sock_filter prog[GTSM_INSNS_MAX];

/* Byte @at of the packet's network header. */
static uint32_t byte_of(const struct packet *p, uint32_t at)
{
	uint32_t source = p->v6 ? 8 : 12;

	if (at == (p->v6 ? 7u : 8u))
		return p->ttl;
	assert_in_range(at, source, source + (p->v6 ? 15 : 3));
	return p->from.b[at - source];
}

static uint32_t load(const struct packet *p, const struct sock_filter *f)
{
	uint32_t at = f->k - (uint32_t)SKF_NET_OFF, v = 0;

	if (f->k == (uint32_t)(SKF_AD_OFF + SKF_AD_IFINDEX))
		return p->ifindex;
	for (unsigned i = 0; i < (BPF_SIZE(f->code) == BPF_B ? 1u : 4u); i++)
		v = v << 8 | byte_of(p, at + i);
	return v;
}

/* Does @p pass? */
static bool passes(size_t n, const struct packet *p)
{
	uint32_t a = 0, x = 0, m[BPF_MEMWORDS] = {0};

	for (size_t i = 0; i < n; i++) {
		const struct sock_filter *f = &prog[i];

		switch (f->code) {
		case BPF_LD | BPF_IMM:
			a = f->k;
			break;
		case BPF_LD | BPF_MEM:
			a = m[f->k];
			break;
		case BPF_LD | BPF_B | BPF_ABS:
		case BPF_LD | BPF_W | BPF_ABS:
			a = load(p, f);
			break;
		case BPF_ST:
			m[f->k] = a;
			break;
		case BPF_MISC | BPF_TAX:
			x = a;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= f->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			i += a == f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_X:
			i += a > x ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JA:
			i += f->k;
			break;
		case BPF_RET | BPF_K:
			return f->k != 0;
		default:
			fail_msg("instruction %zu: code %#x", i, f->code);
		}
	}
	fail_msg("it runs over its end");
	return false;
}

static bool model(const struct gtsm_rule *r, size_t n, const struct packet *p)
{
	for (size_t i = 0; i < n; i++)
		if (pfx_has_ip(&r[i].from, &p->from) && (!r[i].scope || r[i].scope == p->ifindex))
			return p->ttl >= r[i].min_ttl;
	return true;
}

static struct gtsm_rule rule(const char *from, uint32_t scope, uint8_t min_ttl)
{
	struct gtsm_rule r = {.scope = scope, .min_ttl = min_ttl};

	assert_int_equal(pfx_parse(from, &r.from), 0);
	return r;
}

static void test_rows(void **state)
{
	const struct gtsm_rule rules[] = {
		rule("192.0.2.9", 0, 255),
		rule("2001:db8::9", 0, 255),
		rule("192.0.2.200", 0, 0), /* a neighbour without, inside the range below */
		rule("fe80::1", 3, 255),
		rule("198.51.100.0/22", 0, 253),
		rule("192.0.2.128/25", 0, 254),
		rule("2001:db8:2::/47", 0, 250),
	};
	static const struct {
		const char *from;
		uint32_t ifindex;
		uint8_t ttl;
		bool pass;
	} rows[] = {
		{"192.0.2.9", 1, 255, true},
		{"192.0.2.9", 1, 254, false},
		{"192.0.2.9", 2, 1, false},
		{"192.0.2.9", 2, 0, false},
		{"192.0.2.8", 1, 1, true}, /* nobody we know */
		{"192.0.2.200", 1, 1, true},
		{"192.0.2.201", 1, 253, false},
		{"192.0.2.201", 1, 254, true},
		{"192.0.2.127", 1, 1, true},
		{"198.51.103.255", 1, 252, false},
		{"198.51.103.255", 1, 253, true},
		{"198.51.104.0", 1, 1, true},
		{"2001:db8::9", 1, 255, true},
		{"2001:db8::9", 1, 254, false},
		{"2001:db8::a", 1, 1, true},
		{"2001:db8:0:1::9", 1, 1, true}, /* other words differ */
		{"3001:db8::9", 1, 1, true},
		{"fe80::1", 3, 254, false},
		{"fe80::1", 3, 255, true},
		{"fe80::1", 4, 254, true}, /* another link's */
		{"2001:db8:1:ffff::1", 1, 1, true},
		{"2001:db8:2:ffff::1", 1, 249, false},
		{"2001:db8:3:ffff::1", 1, 249, false},
		{"2001:db8:3:ffff::1", 1, 250, true},
		{"2001:db8:4::1", 1, 1, true},
	};
	size_t n[2], told;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct packet p = {.ttl = rows[i].ttl, .ifindex = rows[i].ifindex};

		assert_int_equal(ip_parse(rows[i].from, &p.from), 0);
		p.v6 = p.from.family == IP_V6;
		n[p.v6] = gtsm_build(rules, sizeof(rules) / sizeof(rules[0]), p.v6, 7, prog,
			GTSM_INSNS_MAX, &told);
		assert_int_equal(told, sizeof(rules) / sizeof(rules[0]));
		assert_true(n[p.v6] > 0);
		assert_int_equal(gtsm_tag(prog, n[p.v6]), 7);
		if (passes(n[p.v6], &p) != rows[i].pass)
			fail_msg("%s with %u by %u", rows[i].from, rows[i].ttl, rows[i].ifindex);
	}
}

/* Without a neighbour that asks for it there is none. */
static void test_none(void **state)
{
	const struct gtsm_rule rules[] = {rule("192.0.2.9", 0, 0), rule("2001:db8::9", 0, 255)};
	size_t told = 9;

	assert_int_equal(gtsm_build(rules, 2, false, 1, prog, GTSM_INSNS_MAX, &told), 0);
	assert_int_equal(told, 2);
	assert_int_equal(gtsm_build(NULL, 0, true, 1, prog, GTSM_INSNS_MAX, &told), 0);
	assert_int_equal(told, 0);
	assert_true(gtsm_build(rules, 2, true, 1, prog, GTSM_INSNS_MAX, &told) > 0);
	assert_int_equal(gtsm_tag(NULL, 0), 0);
	prog[0] = (struct sock_filter){.code = BPF_RET | BPF_K, .k = 5};
	assert_int_equal(gtsm_tag(prog, 1), 0);
}

/* Few bits differ, so that rules meet. */
static struct ip some_ip(struct prng *g, bool v6)
{
	struct ip ip = {.family = v6 ? IP_V6 : IP_V4};

	for (unsigned i = 0; i < (v6 ? 4u : 1u); i++) {
		ip.b[4 * i] = prng_below(g, 2) ? 0xfe : 0x0a;
		ip.b[4 * i + 3] = (uint8_t)prng_below(g, 4);
	}
	return ip;
}

static void some_rules(struct prng *g, struct gtsm_rule *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct ip ip = some_ip(g, prng_below(g, 2));
		unsigned bits = ip_bits(&ip);

		r[i].scope = prng_below(g, 3) ? 0 : 1 + (uint32_t)prng_below(g, 3);
		r[i].min_ttl = prng_below(g, 3) ? (uint8_t)(250 + prng_below(g, 6)) : 0;
		assert_int_equal(
			pfx_make(&ip, prng_below(g, 2) ? bits : (unsigned)prng_below(g, bits + 1),
				&r[i].from),
			0);
	}
}

static void test_model(void **state)
{
	struct gtsm_rule r[12];
	struct prng g;

	prng_seed(&g, 5082);
	for (unsigned round = 0; round < 3000; round++) {
		size_t n = prng_below(&g, 13), told;
		bool v6 = prng_below(&g, 2);
		size_t cap = prng_below(&g, 2) ? GTSM_INSNS_MAX : prng_below(&g, 120), len;

		some_rules(&g, r, n);
		len = gtsm_build(r, n, v6, round, prog, cap, &told);
		assert_true(len <= cap && told <= n);
		for (unsigned k = 0; k < 40; k++) {
			struct packet p = {.v6 = v6,
				.ttl = (uint8_t)(248 + prng_below(&g, 8)),
				.from = some_ip(&g, v6),
				.ifindex = 1 + (uint32_t)prng_below(&g, 3)};

			if ((len == 0 || passes(len, &p)) != model(r, told, &p))
				fail_msg("round %u, packet %u", round, k);
		}
	}
}

/* As many as the kernel takes, and it does. */
static void test_full(void **state)
{
	static struct gtsm_rule r[1024];
	static const size_t least[2] = {800, 400};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct sock_fprog f = {.filter = prog};
		struct packet p = {.v6 = v6};
		size_t told, len;

		for (size_t i = 0; i < 1024; i++) {
			struct ip ip = {.family = v6 ? IP_V6 : IP_V4};

			memset(ip.b, 0xfd, v6 ? 16 : 4);
			ip.b[v6 ? 14 : 2] = (uint8_t)(i >> 8);
			ip.b[v6 ? 15 : 3] = (uint8_t)i;
			assert_int_equal(pfx_make(&ip, ip_bits(&ip), &r[i].from), 0);
			r[i].min_ttl = 255;
		}
		len = gtsm_build(r, 1024, v6, 1, prog, GTSM_INSNS_MAX, &told);
		assert_in_range(len, GTSM_INSNS_MAX - 20, GTSM_INSNS_MAX);
		assert_in_range(told, least[v6], 1023);
		p.from = r[told - 1].from.ip;
		assert_false(passes(len, &p));
		p.from = r[told].from.ip;
		assert_true(passes(len, &p));
		f.len = (unsigned short)len;
		/* ENOMEM: net.core.optmem_max of older kernels is less than that. */
		if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof(f)) != 0)
			assert_int_equal(errno, ENOMEM);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
