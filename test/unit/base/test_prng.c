/* prng: published outputs, and the range and evenness of what is made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "prng.h"

static void test_vectors(void **state)
{
	/* xoshiro256** from the state 1, 2, 3, 4 (the vectors of the rand_xoshiro library, made
	 * with the authors' C code) */
	static const uint64_t want[] = {11520, 0, 1509978240, 1215971899390074240,
		1216172134540287360, 607988272756665600, 16172922978634559625u, 8476171486693032832,
		10595114339597558777u, 2904607092377533576};
	/* splitmix64 from 1234567 */
	static const uint64_t split[] = {6457827717110365317, 3203168211198807973,
		9817491932198370423u, 4593380528125082431};
	struct prng p = {{1, 2, 3, 4}};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_true(prng_next(&p) == want[i]);
	prng_seed(&p, 1234567);
	for (int i = 0; i < 4; i++)
		assert_true(p.s[i] == split[i]);
}

static void test_below(void **state)
{
	struct prng p;
	unsigned count[7] = {0};

	prng_seed(&p, 1);
	for (int i = 0; i < 70000; i++)
		count[prng_below(&p, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(count[i], 9500, 10500);
	assert_int_equal(0, prng_below(&p, 1));
	/* With this n, plain remainders would fall into the lower half twice as often. */
	unsigned low = 0;
	for (int i = 0; i < 10000; i++) {
		uint64_t v = prng_below(&p, (uint64_t)3 << 62);
		assert_true(v < (uint64_t)3 << 62);
		low += v < (uint64_t)1 << 62;
	}
	assert_in_range(low, 3100, 3570);
}

static void test_jitter(void **state)
{
	struct prng p;
	int64_t lo = INT64_MAX, hi = 0;

	prng_seed(&p, 2);
	for (int i = 0; i < 10000; i++) {
		int64_t v = prng_jitter(&p, DUR_SEC(1), 10).ns;
		assert_true(v >= 900000000 && v <= 1100000000);
		lo = v < lo ? v : lo;
		hi = v > hi ? v : hi;
	}
	assert_true(lo < 901000000 && hi > 1099000000);
	assert_int_equal(5, prng_jitter(&p, DUR_NS(5), 0).ns);
	assert_int_equal(0, prng_jitter(&p, DUR_NS(0), 100).ns);
	for (int i = 0; i < 1000; i++)
		assert_true(prng_jitter(&p, DUR_NS(INT64_MAX), 100).ns >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_jitter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
