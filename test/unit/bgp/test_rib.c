/* rib: prefixes are found again whatever their lengths; neighbours never share a bucket; tables whose
 * prefixes all end in zeros, or are side by side, or have one bit each, make no longer chains than others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "rib.h"

#define N 8192

static const uint8_t seed[16] = {7, 7};
static struct net *nets[N];

static struct bgp_nlri v4(uint32_t addr, unsigned len)
{
	struct bgp_nlri n = {.family = BGP_IPV4};
	struct ip ip = ip_v4(addr);

	assert_int_equal(0, pfx_make(&ip, len, &n.pfx));
	return n;
}

static unsigned longest(const struct rib *r)
{
	unsigned most = 0;

	for (size_t i = 0; i < r->cap; i++) {
		unsigned n = 0;

		for (const struct net *e = r->buckets[i]; e; e = e->hnext)
			n++;
		most = n > most ? n : most;
	}
	return most;
}

/* Fill a table with @make(0..N-1), look each up, and give back its longest chain. */
static unsigned fill(struct bgp_nlri (*make)(unsigned i))
{
	struct rib *r = rib_new(1, seed);
	unsigned most;

	assert_non_null(r);
	for (unsigned i = 0; i < N; i++) {
		struct bgp_nlri n = make(i);

		nets[i] = rib_get(r, &n);
		assert_non_null(nets[i]);
	}
	assert_int_equal(N, r->count);
	for (unsigned i = 0; i < N; i++) {
		struct bgp_nlri n = make(i);

		assert_ptr_equal(nets[i], rib_find(r, &n));
	}
	most = longest(r);
	for (unsigned i = 0; i < N; i++)
		rib_release(r, nets[i]);
	assert_int_equal(0, r->count);
	rib_free(r);
	return most;
}

static struct bgp_nlri side_by_side(unsigned i)
{
	return v4(0x0a000000u + (i << 8), 24);
}
static struct bgp_nlri every_eighth(unsigned i)
{
	return v4(0x10000000u + (i << 11), 24);
}
static struct bgp_nlri hosts(unsigned i)
{
	return v4(0xc0000000u + 1024 * i, 32);
}
static struct bgp_nlri odd_lengths(unsigned i)
{
	return v4(0x20000000u + (i << 15), 17);
}
static struct bgp_nlri v6_ends_in_zeros(unsigned i)
{
	struct bgp_nlri n = {.family = BGP_IPV6};
	struct ip ip = {.b = {0x20, 1, (uint8_t)(i >> 8), (uint8_t)i}, .family = IP_V6};

	assert_int_equal(0, pfx_make(&ip, 48, &n.pfx));
	return n;
}
static struct bgp_nlri vpn(unsigned i)
{
	struct bgp_nlri n = v4(0x0a000000u + ((i & 7) << 8), 24);

	n.family = BGP_VPNV4;
	n.rd[6] = (uint8_t)(i >> 11);
	n.rd[7] = (uint8_t)(i >> 3);
	return n;
}

/* There are one to two prefixes for a bucket: with an even spread 14 on one are a rare
 * chance (below one in a thousand tables), with an eighth of the buckets they are the rule. */
static void test_spread(void **state)
{
	assert_in_range(fill(side_by_side), 1, 13);
	assert_in_range(fill(every_eighth), 1, 13);
	assert_in_range(fill(hosts), 1, 13);
	assert_in_range(fill(odd_lengths), 1, 13);
	assert_in_range(fill(v6_ends_in_zeros), 1, 13);
	assert_in_range(fill(vpn), 1, 13);
}

/* All prefixes of one address, from /0 to /32, are different ones. */
static void test_lengths(void **state)
{
	struct rib *r = rib_new(1, seed);

	assert_non_null(r);
	for (unsigned len = 0; len <= 32; len++) {
		struct bgp_nlri n = v4(0, len);

		nets[len] = rib_get(r, &n);
		assert_non_null(nets[len]);
		assert_int_equal(len + 1, r->count);
	}
	for (unsigned len = 0; len <= 32; len++) {
		struct bgp_nlri n = v4(0, len);

		assert_ptr_equal(nets[len], rib_find(r, &n));
	}
	for (unsigned len = 0; len <= 32; len++)
		rib_release(r, nets[len]);
	rib_free(r);
}

/* The point of it: an UPDATE's neighbours are within one run of eight buckets, each in its own. */
static void test_near(void **state)
{
	struct rib *r = rib_new(1, seed);
	unsigned seen = 0;
	size_t line = SIZE_MAX;

	assert_non_null(r);
	for (unsigned i = 0; i < 8; i++) {
		struct bgp_nlri n = side_by_side(i);

		nets[i] = rib_get(r, &n);
		assert_non_null(nets[i]);
	}
	for (size_t i = 0; i < r->cap; i++)
		if (r->buckets[i]) {
			assert_null(r->buckets[i]->hnext);
			assert_true(line == SIZE_MAX || line == i / 8);
			line = i / 8;
			seen++;
		}
	assert_int_equal(8, seen);
	for (unsigned i = 0; i < 8; i++)
		rib_release(r, nets[i]);
	rib_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
