/* Token buckets: rate, burst, prefixes, the bucket for all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>
#include "prng.h"
#include "ratelimit.h"

#define T0 ((ts_t){UINT64_C(7777777777)})

static struct ratelimit rl;

static struct ip v6(uint64_t net, uint64_t host)
{
	uint8_t b[16];

	for (int i = 0; i < 8; i++) {
		b[i] = (uint8_t)(net >> (56 - 8 * i));
		b[8 + i] = (uint8_t)(host >> (56 - 8 * i));
	}
	return ip_v6_bytes(b);
}

static void burst_then_rate(void **state)
{
	struct rl_bucket b = {0};
	unsigned n = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		n += rl_take(&b, 20, T0);
	assert_int_equal(n, 20);
	/* One comes back each 50 ms, not earlier. */
	assert_false(rl_take(&b, 20, ts_add(T0, DUR_NS(49999999))));
	assert_true(rl_take(&b, 20, ts_add(T0, DUR_MS(50))));
	assert_false(rl_take(&b, 20, ts_add(T0, DUR_MS(50))));
	/* A long rest fills it to the brim and no further. */
	n = 0;
	for (int i = 0; i < 100; i++)
		n += rl_take(&b, 20, ts_add(T0, DUR_SEC(1000)));
	assert_int_equal(n, 20);
}

/* Over any stretch of time no more than burst + rate * time pass, and the rate is really given. */
static void long_run(void **state)
{
	static const uint32_t rates[] = {1, 3, 7, 20, 50, 2000, 1000000, 1000000000};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		const uint32_t rate = rates[i] > 2000 ? 2000 : rates[i];
		struct rl_bucket b = {0};
		struct prng p;
		uint64_t passed = 0, t = T0.ns;
		bool one = rl_take(&(struct rl_bucket){0}, rates[i], T0);

		assert_true(one);
		prng_seed(&p, rates[i]);
		while (t < T0.ns + UINT64_C(10000000000)) {
			passed += rl_take(&b, rate, (ts_t){t});
			t += prng_below(&p, 1000000000 / rate / 4 + 1);
		}
		assert_true(passed <= rate + 10ull * rate + 1);
		assert_true(passed >= 10ull * rate);
	}
}

static void per_source(void **state)
{
	struct ip a = ip_v4(0x0a000001);
	unsigned ok = 0;

	(void)state;
	ratelimit_init(&rl, 20, 2000);
	for (int i = 0; i < 50; i++)
		ok += ratelimit_take(&rl, &a, T0) == RL_OK;
	assert_int_equal(ok, 20);
	assert_int_equal(ratelimit_take(&rl, &a, T0), RL_SOURCE);
	assert_int_equal(ratelimit_take(&rl, &a, ts_add(T0, DUR_MS(50))), RL_OK);
}

/* All hosts of a /64 are one source; every IPv4 address is one of its own. */
static void prefixes(void **state)
{
	unsigned ok = 0, ok4 = 0;

	(void)state;
	ratelimit_init(&rl, 20, 1000000);
	for (uint64_t i = 0; i < 100; i++) {
		struct ip a = v6(UINT64_C(0x20010db800000001), i * i * 7919);

		ok += ratelimit_take(&rl, &a, T0) == RL_OK;
	}
	assert_int_equal(ok, 20);
	for (uint32_t i = 0; i < 100; i++) {
		struct ip a = ip_v4(0x0a000000 + i);

		ok4 += ratelimit_take(&rl, &a, T0) == RL_OK;
	}
	assert_true(ok4 > 70); /* some may share a bucket, but never 20 */
}

static void all_together(void **state)
{
	unsigned ok = 0, all = 0;

	(void)state;
	ratelimit_init(&rl, 20, 100);
	for (uint32_t i = 0; i < 3000; i++) {
		struct ip a = ip_v4(0x0a000000 + i);
		enum rl_verdict v = ratelimit_take(&rl, &a, T0);

		ok += v == RL_OK;
		all += v == RL_ALL;
	}
	assert_int_equal(ok, 100);
	assert_true(all > 2000);
}

/* A source that is over its own rate takes nothing from the others. */
static void a_flood_stays_alone(void **state)
{
	struct ip bad = ip_v4(0x0a000001);
	unsigned ok = 0;

	(void)state;
	ratelimit_init(&rl, 20, 100);
	for (int i = 0; i < 100000; i++)
		ok += ratelimit_take(&rl, &bad, T0) == RL_OK;
	assert_int_equal(ok, 20);
	ok = 0;
	for (uint32_t i = 0; i < 60; i++) {
		struct ip a = ip_v4(0x0b000000 + i);

		ok += ratelimit_take(&rl, &a, T0) == RL_OK;
	}
	assert_true(ok >= 55); /* those not in bad's bucket */
}

/* Where sources land differs from start to start. */
static void keyed(void **state)
{
	static struct ratelimit other;
	unsigned same = 0;

	(void)state;
	ratelimit_init(&rl, 1, 1000000);
	ratelimit_init(&other, 1, 1000000);
	for (uint32_t i = 0; i < 1000; i++) {
		struct ip a = ip_v4(i * 2654435761u);

		ratelimit_take(&rl, &a, T0);
		ratelimit_take(&other, &a, T0);
	}
	for (unsigned i = 0; i < LIM_HS_SOURCES; i++)
		same += (rl.sources[i].full_at.ns != 0) == (other.sources[i].full_at.ns != 0);
	assert_true(same < LIM_HS_SOURCES * 9 / 10);
}

static int setup(void **state)
{
	(void)state;
	return sodium_init() < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(burst_then_rate),
		cmocka_unit_test(long_run),
		cmocka_unit_test(per_source),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(all_together),
		cmocka_unit_test(a_flood_stays_alone),
		cmocka_unit_test(keyed),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
