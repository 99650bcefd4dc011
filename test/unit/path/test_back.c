/* Ways back: remembered as they came, the newest of an origin, for as long as a handshake may take, at most
 * LIM_PATH_WAYS; and routes in numbers, there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "fault.h"
#include "path_back.h"

static const uint8_t seed[16] = {1};

static struct node_key key(uint8_t fill)
{
	struct node_key k;

	memset(k.b, fill, sizeof(k.b));
	return k;
}

static struct path_route route(uint8_t fill, unsigned n)
{
	const uint64_t labels[PATH_RELAYS_MAX] = {11, 22, 33};
	const struct node_key first = key(fill);
	struct path_route r;

	path_route_from(&r, &first, n, labels);
	return r;
}

static void numbers_there_and_back(void **state)
{
	const uint64_t labels[PATH_RELAYS_MAX] = {
		UINT64_C(0x0102030405060708), UINT64_C(0xfffefdfcfbfaf9f8), 77};
	const struct node_key first = {.b = {9, 8, 7, 6, 5, 4, 3, 2, 1}};

	(void)state;
	for (unsigned n = 1; n <= PATH_RELAYS_MAX; n++) {
		uint64_t out[PATH_RELAYS_MAX] = {0};
		struct path_route r;

		path_route_from(&r, &first, n, labels);
		assert_int_equal(r.n, n);
		assert_true(node_key_eq(&r.first, &first));
		assert_int_equal(path_label_num(&r.label[0]), UINT64_C(0x0908070605040302));
		if (n > 1)
			assert_int_equal(r.label[1].b[0], 1);
		path_route_labels(&r, labels[n - 1], out);
		assert_memory_equal(out, labels, n * sizeof(out[0]));
	}
}

static void the_newest_while_it_is_young(void **state)
{
	struct path_backs *b = path_backs_new(seed);
	struct path_route one = route(1, 1), two = route(2, 3);
	ts_t now = ts_add(TS_ZERO, DUR_SEC(1000));

	(void)state;
	assert_non_null(b);
	assert_null(path_backs_get(b, 42, now));
	assert_int_equal(path_backs_put(b, 42, &one, now), 0);
	assert_int_equal(path_backs_put(b, 0, &two, now), 0); /* a label like any other */
	now = ts_add(now, DUR_SEC(20));
	assert_memory_equal(path_backs_get(b, 42, now), &one, sizeof(one));
	assert_memory_equal(path_backs_get(b, 0, now), &two, sizeof(two));
	assert_int_equal(path_backs_put(b, 42, &two, now), 0);
	assert_int_equal(path_backs_count(b), 2);
	now = ts_add(now, DUR_SEC(20));
	assert_memory_equal(path_backs_get(b, 42, now), &two, sizeof(two));
	assert_null(path_backs_get(b, 0, now));
	assert_null(path_backs_get(b, 42, ts_add(now, DUR_SEC(20))));
	path_backs_free(b);
}

static void the_oldest_gives_way(void **state)
{
	struct path_backs *b = path_backs_new(seed);
	struct path_route r = route(3, 2);
	ts_t now = ts_add(TS_ZERO, DUR_SEC(1000));

	(void)state;
	assert_non_null(b);
	for (uint64_t i = 0; i < 3 * LIM_PATH_WAYS; i++) {
		assert_int_equal(path_backs_put(b, i, &r, now), 0);
		assert_non_null(path_backs_get(b, i, now));
		if (i >= LIM_PATH_WAYS)
			assert_null(path_backs_get(b, i - LIM_PATH_WAYS, now));
	}
	assert_int_equal(path_backs_count(b), LIM_PATH_WAYS);
	for (uint64_t i = 2 * LIM_PATH_WAYS; i < 3 * LIM_PATH_WAYS; i++)
		assert_non_null(path_backs_get(b, i, now));
	path_backs_free(b);
}

static void memory_fails(void **state)
{
	ts_t now = ts_add(TS_ZERO, DUR_SEC(1000));
	struct path_route r = route(3, 2);
	bool whole = false;

	(void)state;
	FAULT_EACH(n)
	{
		struct path_backs *b = path_backs_new(seed);

		whole = b != NULL;
		for (uint64_t i = 0; b && i < 2 * LIM_PATH_WAYS; i++) {
			int err = path_backs_put(b, i, &r, now);

			assert_true(err == 0 || err == ERR_NOMEM);
			assert_int_equal(path_backs_get(b, i, now) != NULL, err == 0);
			whole &= err == 0;
		}
		path_backs_free(b);
	}
	assert_true(whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_there_and_back),
		cmocka_unit_test(the_newest_while_it_is_young),
		cmocka_unit_test(the_oldest_gives_way),
		cmocka_unit_test(memory_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
