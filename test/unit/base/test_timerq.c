/* timerq: against an array searched whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fault.h"
#include "prng.h"
#include "timerq.h"
#include "weft/err.h"

#define SEED 7
#define N    200

static ts_t at(uint64_t ns)
{
	return (ts_t){ns};
}

static void test_basics(void **state)
{
	struct tq_node a = {0}, b = {0}, c = {0};
	struct timerq q;

	tq_init(&q);
	assert_true(ts_is_never(tq_deadline(&q)));
	assert_null(tq_pop(&q, at(UINT64_MAX)));
	tq_cancel(&q, &a);
	assert_int_equal(0, tq_set(&q, &a, TS_NEVER));
	assert_int_equal(0, tq_set(&q, &a, at(30)));
	assert_int_equal(0, tq_set(&q, &b, at(10)));
	assert_int_equal(0, tq_set(&q, &c, at(20)));
	assert_int_equal(10, tq_deadline(&q).ns);
	assert_null(tq_pop(&q, at(9)));
	assert_ptr_equal(&b, tq_pop(&q, at(10)));
	assert_int_equal(0, b.pos);
	assert_int_equal(0, tq_set(&q, &a, at(5)));
	assert_ptr_equal(&a, tq_pop(&q, at(100)));
	assert_int_equal(0, tq_set(&q, &c, TS_NEVER));
	assert_null(tq_pop(&q, at(100)));
	tq_fini(&q);
}

static void test_model(void **state)
{
	struct tq_node node[N] = {0};
	uint64_t when[N] = {0}; /* 0: not queued */
	struct timerq q;
	struct prng r;

	tq_init(&q);
	prng_seed(&r, SEED);
	for (int step = 0; step < 100000; step++) {
		size_t i = prng_below(&r, N);
		uint64_t first = UINT64_MAX;
		struct tq_node *n;

		switch (prng_below(&r, 4)) {
		case 0:
		case 1:
			when[i] = 1 + prng_below(&r, 1000);
			assert_int_equal(0, tq_set(&q, &node[i], at(when[i])));
			break;
		case 2:
			when[i] = 0;
			tq_cancel(&q, &node[i]);
			break;
		default:
			n = tq_pop(&q, at(500));
			if (n) {
				/* Only one that is earliest may come. */
				i = (size_t)(n - node);
				for (size_t k = 0; k < N; k++)
					if (when[k] && when[k] < when[i])
						fail_msg("order, seed %d step %d", SEED, step);
				if (when[i] == 0 || when[i] > 500)
					fail_msg("not due, seed %d step %d", SEED, step);
				when[i] = 0;
			}
		}
		for (size_t k = 0; k < N; k++)
			if (when[k] && when[k] < first)
				first = when[k];
		if (tq_deadline(&q).ns != first)
			fail_msg("deadline, seed %d step %d", SEED, step);
	}
	tq_fini(&q);
}

static void test_alloc_faults(void **state)
{
	FAULT_EACH(n)
	{
		struct tq_node node[40] = {0};
		struct timerq q;
		size_t have = 0;
		tq_init(&q);
		for (uint64_t i = 0; i < 40; i++) {
			int err = tq_set(&q, &node[i], at(100 - i));
			assert_true(err == 0 || err == ERR_NOMEM);
			assert_int_equal(err == 0, node[i].pos != 0);
			have += err == 0;
			assert_int_equal(have, q.count);
		}
		tq_fini(&q);
	}
}

/* Once there is room, queueing can't fail. */
static void test_reserve(void **state)
{
	FAULT_EACH(n)
	{
		struct tq_node node[40] = {0};
		struct timerq q;
		int err;

		tq_init(&q);
		err = tq_reserve(&q, 40);
		assert_true(err == 0 || (err == ERR_NOMEM && q.cap == 0));
		for (uint64_t i = 0; err == 0 && i < 40; i++)
			assert_int_equal(tq_set(&q, &node[i], at(100 - i)), 0);
		tq_fini(&q);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basics),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_alloc_faults),
		cmocka_unit_test(test_reserve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
