/* addr: texts in and out by tables (RFC 4291, RFC 5952), prefix arithmetic, endpoints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include "prng.h"
#include "weft/addr.h"
#include "weft/err.h"

#define SEED 11

static struct ip ip(const char *text)
{
	struct ip a;

	if (ip_parse(text, &a) != 0)
		fail_msg("does not parse: %s", text);
	return a;
}

static struct pfx pfx(const char *text)
{
	struct pfx p;

	if (pfx_parse(text, &p) != 0)
		fail_msg("does not parse: %s", text);
	return p;
}

static void test_ip_texts(void **state)
{
	static const char *const rows[][2] = {
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
		{"10.1.2.3", "10.1.2.3"},
		{"::", "::"},
		{"::1", "::1"},
		{"1::", "1::"},
		/* RFC 5952 4.1, 4.3: no leading zeros, lower case */
		{"2001:0DB8::0001", "2001:db8::1"},
		{"2001:DB8:0:0:0:0:2:1", "2001:db8::2:1"},
		/* 4.2.2: one group is not shortened */
		{"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
		{"2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
		/* 4.2.3: the longest run; the first of equals */
		{"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
		{"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
		{"0:0:1:0:0:0:0:0", "0:0:1::"},
		{"0:1:0:0:0:0:0:0", "0:1::"},
		{"1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0"},
		{"1:2:3:4:5:6::", "1:2:3:4:5:6::"},
		{"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
		{"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
		{"0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		/* 5: an IPv4 address inside */
		{"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
		{"::FFFF:c000:201", "::ffff:192.0.2.1"},
		{"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
		{"::1.2.3.4", "::102:304"},
		{"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
	};
	char out[IP_STRLEN];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip a = ip(rows[i][0]), b;
		assert_string_equal(rows[i][1], ip_fmt(&a, out));
		b = ip(out);
		assert_true(ip_eq(&a, &b));
	}
	assert_string_equal("none", ip_fmt(&(struct ip){0}, out));
}

static void test_ip_refused(void **state)
{
	static const char *const rows[] = {"", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.4.",
		".1.2.3.4", "1..2.3", "256.1.1.1", "1.1.1.256", "01.2.3.4", "1.2.3.00", "1.2.3.4 ",
		" 1.2.3.4", "+1.2.3.4", "-1.2.3.4", "1.2.3.4a", "0x1.2.3.4",
		"1.2.3.99999999999999999999", ":", ":::", "::::", "1", "1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1::2::3", "1:::2",
		":1::", "1::2:", "1:2:3:4:5:6:7:", ":1:2:3:4:5:6:7", "12345::", "g::", "::1%1",
		"::1%eth0", "[::1]", "::1/64", "::1.2.3", "::1.2.3.4.5", "::1.2.3.256",
		"1.2.3.4::", "::1.2.3.4:1", "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:6:7:8:1.2.3.4",
		"fe80::-1", "::+1", ":: 1"};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip a;
		if (ip_parse(rows[i], &a) != ERR_MALFORMED)
			fail_msg("taken: \"%s\"", rows[i]);
	}
}

/* glibc agrees on random addresses, both ways. */
static void test_against_libc(void **state)
{
	struct prng r;

	prng_seed(&r, SEED);
	for (int i = 0; i < 20000; i++) {
		struct ip a = {.family = i % 2 ? IP_V4 : IP_V6}, b;
		int af = a.family == IP_V4 ? AF_INET : AF_INET6;
		char ours[IP_STRLEN], theirs[INET6_ADDRSTRLEN];
		uint8_t raw[16];

		for (unsigned k = 0; k < ip_bits(&a) / 8; k++)
			a.b[k] = prng_below(&r, 3) ? 0 : (uint8_t)prng_next(&r);
		ip_fmt(&a, ours);
		if (inet_pton(af, ours, raw) != 1 || memcmp(raw, a.b, ip_bits(&a) / 8) != 0)
			fail_msg("inet_pton reads %s otherwise, seed %d", ours, SEED);
		inet_ntop(af, a.b, theirs, sizeof(theirs));
		b = ip(theirs);
		if (!ip_eq(&a, &b))
			fail_msg("we read %s otherwise, seed %d", theirs, SEED);
		/* inet_ntop shows ::a.b.c.d in mixed notation, RFC 5952 does not ask for it. */
		if (!strchr(theirs, '.') || af == AF_INET)
			assert_string_equal(ours, theirs);
	}
}

static void test_kinds(void **state)
{
	static const struct {
		const char *text;
		bool unspec, loop, multi, local;
	} rows[] = {
		{"0.0.0.0", .unspec = true},
		{"::", .unspec = true},
		{"127.0.0.1", .loop = true},
		{"127.255.255.255", .loop = true},
		{"128.0.0.0"},
		{"::1", .loop = true},
		{"::2"},
		{"224.0.0.0", .multi = true},
		{"239.255.255.255", .multi = true},
		{"240.0.0.0"},
		{"223.255.255.255"},
		{"ff00::", .multi = true},
		{"feff::"},
		{"169.254.1.1", .local = true},
		{"169.255.0.0"},
		{"fe80::", .local = true},
		{"febf:ffff::1", .local = true},
		{"fec0::"},
		{"fe7f::"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip a = ip(rows[i].text);
		assert_int_equal(rows[i].unspec, ip_is_unspecified(&a));
		assert_int_equal(rows[i].loop, ip_is_loopback(&a));
		assert_int_equal(rows[i].multi, ip_is_multicast(&a));
		assert_int_equal(rows[i].local, ip_is_link_local(&a));
	}
	assert_false(ip_is_unspecified(&(struct ip){0}));
}

static void test_makers(void **state)
{
	struct ip a = ip_v4(0x0a010203), b = ip("10.1.2.3"), c;

	assert_true(ip_eq(&a, &b));
	a = ip_v4_bytes((const uint8_t[]){10, 1, 2, 3});
	assert_true(ip_eq(&a, &b));
	c = ip("fd00::1");
	a = ip_v6_bytes(c.b);
	assert_true(ip_eq(&a, &c));
	assert_true(ip_cmp(&b, &c) < 0 && ip_cmp(&c, &b) > 0 && ip_cmp(&c, &a) == 0);
	a = ip("::ffff:10.1.2.3");
	assert_false(ip_eq(&a, &b));
	ip_unmap(&a);
	assert_true(ip_eq(&a, &b));
	ip_unmap(&a);
	assert_true(ip_eq(&a, &b));
	ip_unmap(&c);
	assert_int_equal(IP_V6, c.family);
}

static void test_pfx_texts(void **state)
{
	static const struct {
		const char *in;
		int err;
		const char *out; /* NULL: nothing was put out */
	} rows[] = {
		{"10.0.0.0/8", 0, "10.0.0.0/8"},
		{"0.0.0.0/0", 0, "0.0.0.0/0"},
		{"::/0", 0, "::/0"},
		{"10.1.2.3", 0, "10.1.2.3/32"},
		{"FD00::/64", 0, "fd00::/64"},
		{"fd00::1", 0, "fd00::1/128"},
		{"fd00::1/128", 0, "fd00::1/128"},
		{"10.1.2.3/8", ERR_RANGE, "10.0.0.0/8"},
		{"10.128.0.0/8", ERR_RANGE, "10.0.0.0/8"},
		{"1.2.3.4/0", ERR_RANGE, "0.0.0.0/0"},
		{"fd00::1/127", ERR_RANGE, "fd00::/127"},
		{"10.0.0.0/33", ERR_RANGE, NULL},
		{"fd00::/129", ERR_RANGE, NULL},
		{"fd00::/256", ERR_RANGE, NULL},
		{"10.0.0.0/288", ERR_RANGE, NULL},
		{"10.0.0.0/", ERR_MALFORMED, NULL},
		{"10.0.0.0/08", ERR_MALFORMED, NULL},
		{"10.0.0.0/-1", ERR_MALFORMED, NULL},
		{"10.0.0.0/8 ", ERR_MALFORMED, NULL},
		{"10.0.0.0/8/8", ERR_MALFORMED, NULL},
		{"10.0.0.0/4294967304", ERR_MALFORMED, NULL},
		{"/8", ERR_MALFORMED, NULL},
		{"", ERR_MALFORMED, NULL},
		{"10.0.0/8", ERR_MALFORMED, NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pfx p = {0};
		char out[PFX_STRLEN];
		int err = pfx_parse(rows[i].in, &p);
		if (err != rows[i].err)
			fail_msg("\"%s\": %d, not %d", rows[i].in, err, rows[i].err);
		if (rows[i].out)
			assert_string_equal(rows[i].out, pfx_fmt(&p, out));
		else
			assert_int_equal(IP_NONE, p.ip.family);
	}
}

static void test_pfx_make(void **state)
{
	/* Each length against bits counted one by one. */
	struct ip ones = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	struct ip ones4 = ip("255.255.255.255");
	struct pfx p;

	for (unsigned len = 0; len <= 128; len++) {
		assert_int_equal(0, pfx_make(&ones, len, &p));
		for (unsigned i = 0; i < 128; i++)
			assert_int_equal(i < len, p.ip.b[i / 8] >> (7 - i % 8) & 1);
		assert_int_equal(len <= 32 ? 0 : ERR_RANGE, pfx_make(&ones4, len, &p));
		for (unsigned i = 0; len <= 32 && i < 128; i++)
			assert_int_equal(i < len, p.ip.b[i / 8] >> (7 - i % 8) & 1);
	}
	assert_int_equal(ERR_RANGE, pfx_make(&ones, 129, &p));
	assert_int_equal(ERR_RANGE, pfx_make(&ones, 256, &p));
	assert_int_equal(ERR_RANGE, pfx_make(&(struct ip){0}, 0, &p));
}

static void test_pfx_relations(void **state)
{
	static const struct {
		const char *a, *b;
		bool a_has_b, b_has_a;
	} rows[] = {
		{"10.0.0.0/8", "10.0.0.0/8", true, true},
		{"10.0.0.0/8", "10.1.0.0/16", true, false},
		{"10.0.0.0/8", "11.0.0.0/8", false, false},
		{"10.0.0.0/9", "10.128.0.0/9", false, false},
		{"0.0.0.0/0", "10.0.0.1/32", true, false},
		{"0.0.0.0/0", "::/0", false, false},
		{"0.0.0.0/0", "::/128", false, false},
		{"::/0", "fd00::/64", true, false},
		{"fd00::/63", "fd00:0:0:1::/64", true, false},
		{"fd00::/64", "fd00:0:0:1::/64", false, false},
		{"fd00::/127", "fd00::1/128", true, false},
		{"fd00::/128", "fd00::1/128", false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pfx a = pfx(rows[i].a), b = pfx(rows[i].b);
		assert_int_equal(rows[i].a_has_b, pfx_contains(&a, &b));
		assert_int_equal(rows[i].b_has_a, pfx_contains(&b, &a));
		assert_int_equal(rows[i].a_has_b || rows[i].b_has_a, pfx_overlaps(&a, &b));
		assert_int_equal(pfx_overlaps(&a, &b), pfx_overlaps(&b, &a));
		assert_int_equal(pfx_cmp(&a, &b) == 0, pfx_eq(&a, &b));
		assert_true((pfx_cmp(&a, &b) < 0) == (pfx_cmp(&b, &a) > 0));
		if (rows[i].a_has_b)
			assert_true(pfx_cmp(&a, &b) <= 0); /* the container stands first */
		assert_int_equal(rows[i].a_has_b || (pfx_contains(&b, &a) && a.len == b.len),
			pfx_has_ip(&a, &b.ip) && a.len <= b.len);
	}
}

static void test_nth(void **state)
{
	static const struct {
		const char *p;
		uint64_t n;
		const char *want; /* NULL: ERR_RANGE */
	} rows[] = {
		{"10.0.0.0/24", 0, "10.0.0.0"},
		{"10.0.0.0/24", 1, "10.0.0.1"},
		{"10.0.0.0/24", 255, "10.0.0.255"},
		{"10.0.0.0/24", 256, NULL},
		{"10.0.0.0/8", 0x010203, "10.1.2.3"},
		{"10.1.2.3/32", 0, "10.1.2.3"},
		{"10.1.2.3/32", 1, NULL},
		{"0.0.0.0/0", 0xffffffff, "255.255.255.255"},
		{"0.0.0.0/0", 0x100000000, NULL},
		{"fd00::/64", UINT64_MAX, "fd00::ffff:ffff:ffff:ffff"},
		{"fd00::/65", UINT64_MAX, NULL},
		{"fd00::/8", UINT64_MAX, "fd00::ffff:ffff:ffff:ffff"},
		{"::/0", 1, "::1"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pfx p = pfx(rows[i].p);
		struct ip a;
		char out[IP_STRLEN];
		assert_int_equal(rows[i].want ? 0 : ERR_RANGE, pfx_nth(&p, rows[i].n, &a));
		if (rows[i].want)
			assert_string_equal(rows[i].want, ip_fmt(&a, out));
	}
}

static void test_endpoints(void **state)
{
	static const struct {
		const char *in;
		uint16_t dflt;
		const char *out; /* NULL: ERR_MALFORMED */
	} rows[] = {
		{"192.0.2.1:6793", 0, "192.0.2.1:6793"},
		{"192.0.2.1", 6793, "192.0.2.1:6793"},
		{"192.0.2.1", 0, NULL},
		{"192.0.2.1:1", 6793, "192.0.2.1:1"},
		{"192.0.2.1:65535", 0, "192.0.2.1:65535"},
		{"192.0.2.1:65536", 0, NULL},
		{"192.0.2.1:0", 5, NULL},
		{"192.0.2.1:", 5, NULL},
		{"192.0.2.1:01", 5, NULL},
		{"192.0.2.1:-1", 5, NULL},
		{"192.0.2.1:1 ", 5, NULL},
		{"192.0.2.1:1:2", 5, NULL},
		{":6793", 0, NULL},
		{"", 5, NULL},
		{"[2001:DB8::1]:6793", 0, "[2001:db8::1]:6793"},
		{"[2001:db8::1]", 7, "[2001:db8::1]:7"},
		{"[::]:6793", 0, "[::]:6793"},
		{"[2001:db8::1]x", 7, NULL},
		{"[2001:db8::1]6793", 7, NULL},
		{"[2001:db8::1", 7, NULL},
		{"[]:1", 7, NULL},
		{"[192.0.2.1]:1", 7, NULL},
		{"[192.0.2.1%1]:1", 7, NULL},
		/* an address or an address with a port? */
		{"2001:db8::1", 7, NULL},
		{"2001:db8::1:6793", 7, NULL},
		{"[fe80::1%2]:6793", 0, "[fe80::1%2]:6793"},
		{"[fe80::1%4294967295]:6793", 0, "[fe80::1%4294967295]:6793"},
		{"[fe80::1%4294967296]:6793", 0, NULL},
		{"[fe80::1%0]:6793", 0, NULL},
		{"[fe80::1%]:6793", 0, NULL},
		{"[fe80::1%eth0]:6793", 0, NULL},
		{"[fd00::1%2]:6793", 0, NULL},
		{"node.example:6793", 0, NULL},
		{"localhost", 7, NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ep e, f;
		char out[EP_STRLEN];
		int err = ep_parse(rows[i].in, rows[i].dflt, &e);
		if (err != (rows[i].out ? 0 : ERR_MALFORMED))
			fail_msg("\"%s\": %d", rows[i].in, err);
		if (err)
			continue;
		assert_string_equal(rows[i].out, ep_fmt(&e, out));
		assert_int_equal(0, ep_parse(out, 0, &f));
		assert_true(ep_eq(&e, &f) && ep_cmp(&e, &f) == 0);
		f.port ^= 1;
		assert_false(ep_eq(&e, &f));
		assert_true((ep_cmp(&e, &f) < 0) == (ep_cmp(&f, &e) > 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ip_texts),
		cmocka_unit_test(test_ip_refused),
		cmocka_unit_test(test_against_libc),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_makers),
		cmocka_unit_test(test_pfx_texts),
		cmocka_unit_test(test_pfx_make),
		cmocka_unit_test(test_pfx_relations),
		cmocka_unit_test(test_nth),
		cmocka_unit_test(test_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
