/* Halves of IPv6 packets: any cut, either order; what does not fit together is refused, what does not
 * come is given up, and a flood throws out its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "half.h"
#include "weft/err.h"

static uint8_t whole[WIRE_HALF_MAX];

static struct half_in half_of(
	uint32_t index, uint64_t first, uint8_t number, size_t cut, size_t len)
{
	return (struct half_in){
		.index = index,
		.vni = 7,
		.counter = first + number,
		.lane = 2,
		.number = number,
		.bytes = number ? whole + cut : whole,
		.len = number ? len - cut : cut,
	};
}

static void table(struct half_table *t)
{
	for (size_t i = 0; i < sizeof(whole); i++)
		whole[i] = (uint8_t)(i * 31 + (i >> 8));
	assert_int_equal(half_init(t), 0);
}

static void any_cut_and_order(void **state)
{
	struct half_table t;
	uint64_t first = 0;
	uint8_t *p, tos;

	table(&t);
	for (size_t len = 2; len <= WIRE_HALF_MAX; len += len < 40 ? 1 : 31) {
		for (size_t cut = 1; cut < len; cut++) {
			for (int swap = 0; swap < 2; swap++, first += 2) {
				struct half_in a = half_of(5, first, (uint8_t)swap, cut, len),
					       b = half_of(5, first, (uint8_t)!swap, cut, len);

				assert_int_equal(half_add(&t, &a, 1, &p, &tos), 0);
				assert_int_equal(half_add(&t, &b, 1, &p, &tos), len);
				assert_memory_equal(p, whole, len);
			}
		}
	}
	assert_int_equal(t.lost, 0);
	half_fini(&t);
}

static void refused(void **state)
{
	struct half_in a = half_of(5, 100, 0, 600, 1200), b = half_of(5, 100, 1, 600, 1200), x;
	struct half_table t;
	uint8_t *p, tos;

	table(&t);
	x = a;
	x.number = 2;
	assert_int_equal(half_add(&t, &x, 1, &p, &tos), ERR_MALFORMED);
	x = a;
	x.len = 0;
	assert_int_equal(half_add(&t, &x, 1, &p, &tos), ERR_MALFORMED);
	x.len = WIRE_HALF_MAX;
	assert_int_equal(half_add(&t, &x, 1, &p, &tos), ERR_MALFORMED);
	x = b;
	x.counter = 0; /* the first half would stand before all counters */
	assert_int_equal(half_add(&t, &x, 1, &p, &tos), ERR_MALFORMED);
	/* Halves that don't belong together, but say so. */
	for (int i = 0; i < 3; i++) {
		x = b;
		if (i == 0)
			x.vni++;
		else if (i == 1)
			x.inner_flags = WIRE_IF_CSUM_PARTIAL;
		else
			x.len = WIRE_HALF_MAX - a.len + 1;
		x.bytes = whole;
		assert_int_equal(half_add(&t, &a, 1, &p, &tos), 0);
		assert_int_equal(half_add(&t, &x, 1, &p, &tos), ERR_MALFORMED);
	}
	/* Those of another key, lane or counter wait for their own. */
	assert_int_equal(half_add(&t, &a, 1, &p, &tos), 0);
	x = b;
	x.index += HALF_SETS;
	assert_int_equal(half_add(&t, &x, 1, &p, &tos), 0);
	x = b;
	x.lane++;
	assert_int_equal(half_add(&t, &x, 1, &p, &tos), 0);
	x = b;
	x.counter += 2;
	assert_int_equal(half_add(&t, &x, 1, &p, &tos), 0);
	assert_int_equal(half_add(&t, &b, 1, &p, &tos), 1200);
	assert_int_equal(t.lost, 0);
	half_fini(&t);
}

static void congestion_marks(void **state)
{
	struct half_table t;
	uint8_t *p, tos;

	table(&t);
	for (unsigned i = 0; i < 16; i++) {
		struct half_in a = half_of(5, 2 * i, 0, 600, 1200),
			       b = half_of(5, 2 * i, 1, 600, 1200);

		a.tos = (uint8_t)(0x40 | (i & 3));
		b.tos = (uint8_t)(0x40 | i >> 2);
		assert_int_equal(half_add(&t, &a, 1, &p, &tos), 0);
		assert_int_equal(half_add(&t, &b, 1, &p, &tos), 1200);
		assert_int_equal((tos & 3) == 3, (i & 3) == 3 || i >> 2 == 3);
	}
	half_fini(&t);
}

static void given_up(void **state)
{
	struct half_in a = half_of(5, 100, 0, 600, 1200), b = half_of(5, 100, 1, 600, 1200);
	struct half_table t;
	uint8_t *p, tos;

	table(&t);
	/* Too late: an index is given out again some day. */
	assert_int_equal(half_add(&t, &a, 1, &p, &tos), 0);
	assert_int_equal(half_add(&t, &b, 2 + (uint64_t)HALF_NS, &p, &tos), 0);
	assert_int_equal(t.lost, 1);
	/* A flood from key 5 with a half that never gets its other: keys of other sets don't notice. */
	for (uint32_t index = 6; index < 5 + HALF_SETS; index++) {
		struct half_in x = half_of(index, 100, 1, 600, 1200);

		assert_int_equal(half_add(&t, &x, 3 + (uint64_t)HALF_NS, &p, &tos), 0);
	}
	for (uint64_t i = 0; i < 1000; i++) {
		struct half_in x = half_of(5, 1000 + 2 * i, 0, 600, 1200);

		assert_int_equal(half_add(&t, &x, 4 + i + (uint64_t)HALF_NS, &p, &tos), 0);
	}
	assert_int_equal(t.lost, 1 + 1 + 1000 - HALF_WAYS);
	for (uint32_t index = 6; index < 5 + HALF_SETS; index++) {
		struct half_in x = half_of(index, 100, 0, 600, 1200);

		assert_int_equal(half_add(&t, &x, 2000 + (uint64_t)HALF_NS, &p, &tos), 1200);
		assert_memory_equal(p, whole, 1200);
	}
	half_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_cut_and_order),
		cmocka_unit_test(refused),
		cmocka_unit_test(congestion_marks),
		cmocka_unit_test(given_up),
	};

	return cmocka_run_group_tests_name("dp/half", tests, NULL, NULL);
}
