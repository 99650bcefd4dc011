/* buf: every getter at every distance from the end, stickiness, sub-readers, writer's bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <stdint.h>
#include "weft/buf.h"

static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};

static void test_reads(void **state)
{
	struct rd r;

	rd_init(&r, bytes, sizeof(bytes));
	assert_int_equal(0x01, rd_u8(&r));
	assert_int_equal(0x0203, rd_u16(&r));
	assert_int_equal(0x040506, rd_u24(&r));
	assert_int_equal(0x0708090a, rd_u32(&r));
	assert_true(rd_u64(&r) == 0x0b0c0d0e0f101112);
	assert_true(rd_done(&r));
	assert_false(rd_bad(&r));
}

/* With the message cut anywhere the reader turns bad at the first field that is cut, and everything
 * from there on is zero. */
static void test_truncation(void **state)
{
	for (size_t cut = 0; cut < sizeof(bytes); cut++) {
		uint8_t *exact =
			malloc(cut ? cut : 1); /* so that the address sanitizer sees past it */
		struct rd r;
		memcpy(exact, bytes, cut);
		rd_init(&r, exact, cut);
		assert_int_equal(cut >= 1 ? 0x01 : 0, rd_u8(&r));
		assert_int_equal(cut >= 3 ? 0x0203 : 0, rd_u16(&r));
		assert_int_equal(cut >= 6 ? 0x040506 : 0, rd_u24(&r));
		assert_int_equal(cut >= 10 ? 0x0708090a : 0, rd_u32(&r));
		assert_true(rd_u64(&r) == 0);
		assert_true(rd_bad(&r));
		assert_false(rd_done(&r));
		assert_int_equal(0, rd_left(&r));
		/* Nothing revives it. */
		assert_null(rd_take(&r, 0));
		assert_int_equal(0, rd_u8(&r));
		free(exact);
	}
}

static void test_spans(void **state)
{
	uint8_t out[4] = {9, 9, 9, 9};
	struct rd r, sub;

	rd_init(&r, bytes, 8);
	sub = rd_sub(&r, 3);
	assert_int_equal(3, rd_left(&sub));
	assert_int_equal(5, rd_left(&r));
	assert_int_equal(0x0102, rd_u16(&sub));
	assert_int_equal(0, rd_u16(&sub)); /* one byte left: can't see past its end */
	assert_true(rd_bad(&sub));
	assert_false(rd_bad(&r));
	assert_int_equal(4, rd_u8(&r));
	rd_copy(&r, out, 4);
	assert_memory_equal(out, bytes + 4, 4);
	assert_true(rd_done(&r));
	assert_non_null(rd_take(&r, 0));
	rd_copy(&r, out, 1);
	assert_int_equal(0, out[0]);
	assert_true(rd_bad(&r));

	rd_init(&r, bytes, 8);
	sub = rd_sub(&r, 9);
	assert_true(rd_bad(&sub) && rd_bad(&r) && rd_left(&sub) == 0);
	rd_init(&r, bytes, 8);
	assert_null(rd_take(&r, SIZE_MAX));
	rd_init(&r, bytes, 2);
	rd_copy(&r, out, 4);
	assert_true(out[0] == 0 && out[1] == 0 && out[2] == 0 && out[3] == 0);

	rd_init(&r, NULL, 0);
	assert_true(rd_done(&r));
	assert_non_null(rd_take(&r, 0));
	assert_null(rd_take(&r, 1));
}

static void write_all(struct wr *w)
{
	uint8_t *hole;

	wr_u8(w, 1);
	wr_u16(w, 0x0203);
	wr_u24(w, 0x040506);
	wr_u32(w, 0x0708090a);
	wr_u64(w, 0x0b0c0d0e0f101112);
	wr_copy(w, bytes, 3);
	wr_zero(w, 2);
	hole = wr_skip(w, 2);
	if (hole)
		memcpy(hole, "ab", 2);
}

static void test_writes(void **state)
{
	static const uint8_t want[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17,
		18, 1, 2, 3, 0, 0, 'a', 'b'};
	static const size_t ends[] = {0, 1, 3, 6, 10, 18, 21, 23, 25};

	for (size_t cap = 0; cap <= sizeof(want); cap++) {
		uint8_t *out = malloc(cap ? cap : 1);
		size_t fits = 0;
		struct wr w;
		wr_init(&w, out, cap);
		write_all(&w);
		for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
			if (ends[i] <= cap)
				fits = ends[i];
		assert_int_equal(fits, wr_len(&w));
		assert_memory_equal(out, want, fits);
		assert_int_equal(wr_bad(&w), cap < sizeof(want));
		/* Sticky: a small thing after a large one that failed is not written either. */
		if (wr_bad(&w)) {
			wr_u8(&w, 7);
			assert_int_equal(fits, wr_len(&w));
			assert_int_equal(0, wr_left(&w));
		}
		free(out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
