/* rib: prefixes are found again whatever their lengths; neighbours never share a bucket; tables whose
 * prefixes all end in zeros, or are side by side, or have one bit each, make no longer chains than others.
 * bgp_intern: attribute sets that nobody holds. */
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

	for (size_t i = 0; i < rib_buckets(r); i++) {
		unsigned n = 0;

		for (const struct net *e = net_at(r, r->buckets[i]); e; e = net_at(r, e->hnext))
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

/* There is one prefix for a bucket: with an even spread 14 on one are a very rare
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

/* A walk in portions while the table grows passes all that was there before it, and the number of
 * buckets follows that of prefixes without a jump. */
static void test_grows(void **state)
{
	struct rib *r = rib_new(1, seed);
	uint8_t seen[N] = {0};
	size_t at = 0, before;

	assert_non_null(r);
	for (unsigned i = 0; i < N; i++) {
		struct bgp_nlri n = hosts(i);

		before = rib_buckets(r);
		nets[i] = rib_get(r, &n);
		assert_in_range(rib_buckets(r), before, before + 8);
		assert_in_range(r->count, 1, rib_buckets(r));
		if (i < N / 4 || at == rib_buckets(r))
			continue;
		for (struct net *e = net_at(r, r->buckets[at]); e; e = net_at(r, e->hnext))
			for (unsigned k = 0; k < N / 4; k++)
				seen[k] |= e == nets[k];
		at++;
	}
	for (; at < rib_buckets(r); at++)
		for (struct net *e = net_at(r, r->buckets[at]); e; e = net_at(r, e->hnext))
			for (unsigned k = 0; k < N / 4; k++)
				seen[k] |= e == nets[k];
	for (unsigned k = 0; k < N / 4; k++)
		assert_true(seen[k]);
	for (unsigned i = 0; i < N; i++)
		rib_release(r, nets[i]);
	rib_free(r);
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
	for (size_t i = 0; i < rib_buckets(r); i++)
		if (r->buckets[i]) {
			assert_int_equal(0, net_at(r, r->buckets[i])->hnext);
			assert_true(line == SIZE_MAX || line == i / 8);
			line = i / 8;
			seen++;
		}
	assert_int_equal(8, seen);
	for (unsigned i = 0; i < 8; i++)
		rib_release(r, nets[i]);
	rib_free(r);
}

/* A path grows when a policy gives it a set of its own: the others stay where they were, in the same order. */
static void test_kinds(void **state)
{
	struct rib *r = rib_new(1, seed);
	struct bgp_nlri n = v4(0x0a000000u, 24), vpn_nlri = vpn(1);
	struct attr_set sets[2];
	struct path *p[3];
	struct net *net, *vpn_net;

	assert_non_null(r);
	net = rib_get(r, &n);
	vpn_net = rib_get(r, &vpn_nlri);
	assert_ptr_equal(net, net_at(r, net->self));
	assert_ptr_equal(vpn_net, net_at(r, vpn_net->self));
	for (uint16_t i = 0; i < 3; i++) {
		p[i] = net_add(r, net, (uint16_t)(i + 1), i == 2 ? 7 : 0, false);
		assert_ptr_equal(p[i], net_put_sets(r, net, p[i], &sets[0], i ? &sets[0] : NULL));
	}
	assert_null(path_attr(p[0]));
	assert_ptr_equal(&sets[0], path_attr(p[1]));
	assert_int_equal(7, path_id(p[2]));
	path_put_label(p[0], 5); /* has none */
	assert_int_equal(0, path_label(p[0]));
	p[1] = net_put_sets(r, net, p[1], &sets[0], &sets[1]);
	assert_ptr_equal(&sets[1], path_attr(p[1]));
	assert_ptr_equal(&sets[0], p[1]->in);
	assert_ptr_equal(p[1], net_put_sets(r, net, p[1], &sets[0], NULL));
	assert_null(path_attr(p[1]));
	assert_ptr_equal(p[0], net_first(r, net));
	for (uint16_t i = 0; i < 3; i++)
		assert_ptr_equal(p[i], net_path(r, net, (uint16_t)(i + 1), i == 2 ? 7 : 0));
	net_to_front(r, net, p[2]);
	assert_ptr_equal(p[2], net_first(r, net));
	assert_ptr_equal(p[0], path_next(r, p[2]));
	assert_ptr_equal(p[1], path_next(r, p[0]));
	assert_null(path_next(r, p[1]));
	for (unsigned i = 0; i < 3; i++)
		net_drop(r, net, p[i]);
	p[0] = net_add(r, vpn_net, 1, 0, false);
	path_put_label(p[0], 0xfffff);
	assert_int_equal(0xfffff, path_label(p[0]));
	net_put_label(vpn_net, 77);
	assert_int_equal(77, net_label(vpn_net));
	net_put_label(net, 77);
	assert_int_equal(0, net_label(net));
	net_drop(r, vpn_net, p[0]);
	rib_release(r, net);
	rib_release(r, vpn_net);
	rib_free(r);
}

/* Numbers are used again, and a thing stays where it is while others come and go. */
static void test_pool(void **state)
{
	struct bgp_pool p;
	uint32_t n[5000], again;
	uint64_t *at[5000];

	bgp_pool_init(&p, 12);
	for (unsigned i = 0; i < 5000; i++) {
		at[i] = bgp_pool_get(&p, &n[i]);
		assert_non_null(at[i]);
		assert_true(n[i] > 0 && n[i] < BGP_POOL_MAX);
		*at[i] = i;
	}
	for (unsigned i = 0; i < 5000; i++) {
		assert_ptr_equal(at[i], bgp_pool_at(&p, n[i]));
		assert_int_equal(i, *at[i]);
	}
	bgp_pool_put(&p, n[17]);
	bgp_pool_put(&p, n[4711]);
	assert_ptr_equal(at[4711], bgp_pool_get(&p, &again));
	assert_int_equal(n[4711], again);
	assert_ptr_equal(at[17], bgp_pool_get(&p, &again));
	assert_int_equal(5000, p.in_use);
	for (unsigned i = 0; i < 5000; i++)
		bgp_pool_put(&p, n[i]);
	assert_int_equal(0, p.in_use + p.bytes);
	bgp_pool_fini(&p);
}

/* Many at once are found like one by one, those that are not there neither. */
static void test_many(void **state)
{
	struct bgp_nlri want[RIB_MANY];
	struct net *got[RIB_MANY];
	struct rib *r = rib_new(1, seed);

	assert_non_null(r);
	for (unsigned i = 0; i < N; i++) {
		struct bgp_nlri n = v4(0x0a000000 + (i << 9), 24);

		nets[i] = rib_get(r, &n);
		assert_non_null(nets[i]);
	}
	for (unsigned at = 0; at < 2 * N; at += RIB_MANY) {
		size_t count = at % (3 * RIB_MANY) ? RIB_MANY : 7;

		for (size_t i = 0; i < count; i++)
			want[i] = v4(0x0a000000 + (uint32_t)((at + i) << 8), 24);
		rib_find_many(r, want, count, got);
		for (size_t i = 0; i < count; i++) {
			assert_ptr_equal(got[i], rib_find(r, &want[i]));
			assert_ptr_equal(got[i], (at + i) % 2 ? NULL : nets[(at + i) / 2]);
		}
	}
	rib_find_many(r, want, 0, got);
	for (unsigned i = 0; i < N; i++)
		rib_release(r, nets[i]);
	rib_free(r);
}

static struct attr_set *set_of(struct attr_table *t, uint32_t med)
{
	struct bgp_attrs a = {.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH | BGP_HAS_MED, .med = med};
	struct attr_set *s = NULL;

	assert_int_equal(0, attr_intern(t, &a, &s));
	return s;
}

/* Sets that nobody holds count for nothing, are used again as long as they are there, and go. */
static void test_dead_sets(void **state)
{
	struct attr_table t;
	struct attr_set *a, *b;
	size_t bytes;

	assert_int_equal(0, attr_table_init(&t, seed));
	a = set_of(&t, 1);
	bytes = t.bytes;
	attr_put(&t, a);
	assert_int_equal(0, t.count + t.bytes);
	assert_ptr_equal(a, set_of(&t, 1)); /* back */
	assert_int_equal(1, t.count);
	assert_int_equal(bytes, t.bytes);
	attr_put(&t, a); /* and gone again, while it still waits for the first time */
	assert_ptr_equal(a, set_of(&t, 1));
	for (uint32_t i = 0; i < 100; i++) { /* others die around it */
		b = set_of(&t, 1000 + i);
		assert_int_equal(2, t.count);
		attr_put(&t, b);
	}
	assert_ptr_equal(a, set_of(&t, 1));
	assert_int_equal(2, a->refs);
	attr_put(&t, a);
	attr_put(&t, a);
	for (uint32_t i = 0; i < 5000; i++) /* the table grows while some wait */
		nets[i % N] = (void *)set_of(&t, i);
	assert_int_equal(5000, t.count);
	for (uint32_t i = 0; i < 5000; i++)
		attr_put(&t, (void *)nets[i]);
	assert_int_equal(0, t.count + t.bytes);
	attr_table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_near),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_dead_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
