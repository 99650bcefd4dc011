/* map: against an array, growth and graves, walks that delete, SipHash vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <stdio.h>
#include "fault.h"
#include "map.h"
#include "prng.h"
#include "weft/err.h"

#define SEED 42

static const uint8_t seed16[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* vectors.h of the reference implementation: key 00..0f, message 00.. of each length. */
static void test_siphash(void **state)
{
	static const uint8_t want[16][8] = {
		{0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72},
		{0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74},
		{0x5a, 0x4f, 0xa9, 0xd9, 0x09, 0x80, 0x6c, 0x0d},
		{0x2d, 0x7e, 0xfb, 0xd7, 0x96, 0x66, 0x67, 0x85},
		{0xb7, 0x87, 0x71, 0x27, 0xe0, 0x94, 0x27, 0xcf},
		{0x8d, 0xa6, 0x99, 0xcd, 0x64, 0x55, 0x76, 0x18},
		{0xce, 0xe3, 0xfe, 0x58, 0x6e, 0x46, 0xc9, 0xcb},
		{0x37, 0xd1, 0x01, 0x8b, 0xf5, 0x00, 0x02, 0xab},
		{0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93},
		{0xb0, 0xe4, 0xa9, 0x0b, 0xdf, 0x82, 0x00, 0x9e},
		{0xf3, 0xb9, 0xdd, 0x94, 0xc5, 0xbb, 0x5d, 0x7a},
		{0xa7, 0xad, 0x6b, 0x22, 0x46, 0x2f, 0xb3, 0xf4},
		{0xfb, 0xe5, 0x0e, 0x86, 0xbc, 0x8f, 0x1e, 0x75},
		{0x90, 0x3d, 0x84, 0xc0, 0x27, 0x56, 0xea, 0x14},
		{0xee, 0xf2, 0x7a, 0x8e, 0x90, 0xca, 0x23, 0xf7},
		{0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1},
	};

	for (size_t n = 0; n < 16; n++) {
		uint64_t h = map_siphash(seed16, seed16, n);
		for (int i = 0; i < 8; i++)
			assert_int_equal((uint8_t)(h >> (8 * i)), want[n][i]);
	}
}

static void test_basics(void **state)
{
	struct map *m = map_new(3, 2, seed16);
	int a, b;

	assert_null(map_get(m, "abc"));
	assert_null(map_del(m, "abc"));
	assert_int_equal(0, map_put(m, "abc", &a));
	assert_int_equal(ERR_EXISTS, map_put(m, "abc", &b));
	assert_ptr_equal(&a, map_get(m, "abc"));
	assert_int_equal(0, map_put(m, "abd", &b));
	assert_int_equal(ERR_FULL, map_put(m, "abe", &b));
	assert_int_equal(ERR_EXISTS, map_put(m, "abd", &b));
	assert_int_equal(2, map_count(m));
	assert_ptr_equal(&a, map_del(m, "abc"));
	assert_null(map_get(m, "abc"));
	assert_ptr_equal(&b, map_get(m, "abd"));
	assert_int_equal(0, map_put(m, "abe", &a));
	map_free(m);
	map_free(NULL);
}

/* Random puts and deletions in a small universe of keys, in phases that grow and shrink. */
static void test_model(void **state)
{
	enum { KEYS = 3000 };
	uintptr_t *model = calloc(KEYS, sizeof(*model));
	struct map *m = map_new(sizeof(uint32_t), KEYS, seed16);
	size_t live = 0;
	struct prng r;

	prng_seed(&r, SEED);
	for (uintptr_t step = 1; step <= 200000; step++) {
		uint32_t k = (uint32_t)prng_below(&r, KEYS);
		bool add = prng_below(&r, 10) < (step / 20000 % 2 ? 2u : 7u);
		if (add) {
			int want = model[k] ? ERR_EXISTS : 0;
			if (map_put(m, &k, (void *)step) != want)
				fail_msg("put, seed %d step %lu", SEED, step);
			if (!want) {
				model[k] = step;
				live++;
			}
		} else {
			if (map_del(m, &k) != (void *)model[k])
				fail_msg("del, seed %d step %lu", SEED, step);
			live -= model[k] != 0;
			model[k] = 0;
		}
		k = (uint32_t)prng_below(&r, KEYS);
		if (map_get(m, &k) != (void *)model[k] || map_count(m) != live)
			fail_msg("get, seed %d step %lu", SEED, step);
	}
	map_free(m);
	free(model);
}

/* A walk sees each entry once, also when it deletes what it sees. */
static void test_walk(void **state)
{
	enum { N = 1000 };
	struct map *m = map_new(sizeof(uint32_t), N, seed16);
	uint8_t seen[N] = {0};
	const void *key;
	void *value;
	size_t it = 0, n = 0;

	assert_false(map_next(m, &it, &key, &value));
	for (uint32_t k = 0; k < N; k++)
		assert_int_equal(0, map_put(m, &k, &seen[k]));
	for (it = 0; map_next(m, &it, &key, &value); n++) {
		uint32_t k;
		memcpy(&k, key, sizeof(k));
		assert_ptr_equal(value, &seen[k]);
		assert_int_equal(0, seen[k]++);
		if (k % 3)
			assert_ptr_equal(value, map_del(m, &k));
	}
	assert_int_equal(n, N);
	for (it = 0, n = 0; map_next(m, &it, &key, NULL); n++) {
		uint32_t k;
		memcpy(&k, key, sizeof(k));
		assert_int_equal(0, k % 3);
	}
	assert_int_equal(n, map_count(m));
	map_free(m);
}

/* A queue's use: what is put is deleted soon. Graves must not make the table grow without end or
 * fill it up. */
static void test_churn(void **state)
{
	struct map *m = map_new(sizeof(uint32_t), 4, seed16);

	for (uint32_t k = 0; k < 100000; k++) {
		uint32_t old = k - 4;
		if (k >= 4)
			assert_non_null(map_del(m, &old));
		assert_int_equal(0, map_put(m, &k, m));
	}
	assert_int_equal(4, map_count(m));
	map_free(m);
}

static void test_key_sizes(void **state)
{
	for (size_t size = 1; size <= 64; size++) {
		struct map *m = map_new(size, 100, seed16);
		uint8_t key[64] = {0};
		for (uint8_t i = 0; i < 100; i++) {
			key[size - 1] = i;
			assert_int_equal(0, map_put(m, key, m));
		}
		assert_int_equal(ERR_EXISTS, map_put(m, key, m));
		map_free(m);
	}
}

static void test_alloc_faults(void **state)
{
	FAULT_EACH(n)
	{
		struct map *m = map_new(sizeof(uint32_t), 100, seed16);
		size_t have = 0;
		for (uint32_t k = 0; m && k < 100; k++) {
			int err = map_put(m, &k, m);
			assert_true(err == 0 || err == ERR_NOMEM);
			have += err == 0;
			assert_int_equal(have, map_count(m));
			assert_ptr_equal(map_get(m, &k), err ? NULL : m);
		}
		map_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_basics),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_key_sizes),
		cmocka_unit_test(test_alloc_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
