/* The relay header's bytes, its turning at each hop, and what no hop may take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "relay.h"
#include "weft/err.h"

static const struct relay_hdr three = {.n = 3,
	.left = 2,
	.lane = 4,
	.index = 0x01020304,
	.counter = 0x1112131415161718,
	.label = {0xa1a2a3a4a5a6a7a8, 0xb1, 0xc1}};

static void same(const struct relay_hdr *a, const struct relay_hdr *b)
{
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->left, b->left);
	assert_int_equal(a->lane, b->lane);
	assert_int_equal(a->index, b->index);
	assert_true(a->counter == b->counter);
	assert_memory_equal(a->label, b->label, a->n * sizeof(a->label[0]));
}

/* A whole datagram: header, any tag, one byte of what is carried. */
static size_t whole(const struct relay_hdr *h, uint8_t *buf, uint8_t first)
{
	size_t off = relay_tag_off(h->n);

	relay_write(h, buf);
	memset(buf + off, 0xee, WIRE_TAG);
	buf[off + WIRE_TAG] = first;
	assert_int_equal(off + WIRE_TAG, WIRE_RELAY_OVERHEAD(h->n));
	return off + WIRE_TAG + 1;
}

static void bytes(void **state)
{
	static const uint8_t want[] = {0x17, 0x32, 4, 0, 1, 2, 3, 4, 0x11, 0x12, 0x13, 0x14, 0x15,
		0x16, 0x17, 0x18, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0, 0, 0, 0, 0, 0,
		0, 0xb1, 0, 0, 0, 0, 0, 0, 0, 0xc1};
	uint8_t buf[128];
	struct relay_hdr got;
	size_t len;

	for (uint8_t type = 0; type < 16; type++) {
		len = whole(&three, buf, WIRE_TYPE_BYTE(type));
		assert_memory_equal(buf, want, sizeof(want));
		/* Anything that weft sends may be carried, but a RELAY. */
		assert_int_equal(relay_parse(&got, buf, len),
			type >= WIRE_DATA && type < WIRE_RELAY ? 0 : ERR_MALFORMED);
	}
	len = whole(&three, buf, WIRE_TYPE_BYTE(WIRE_INIT));
	assert_int_equal(relay_parse(&got, buf, len), 0);
	same(&got, &three);
	buf[len - 1] = 2 << 4 | WIRE_DATA; /* another version */
	assert_int_equal(relay_parse(&got, buf, len), ERR_MALFORMED);
}

/* Each shorter prefix is refused; each flipped bit gives the same, other values, or a refusal, never
 * values that can't be. */
static void prefixes_and_flips(void **state)
{
	for (uint8_t n = 1; n <= WIRE_RELAY_LABELS_MAX; n++) {
		struct relay_hdr h = three, got;
		uint8_t buf[128];
		size_t len;

		h.n = n;
		h.left = n - 1;
		len = whole(&h, buf, WIRE_TYPE_BYTE(WIRE_DATA));
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(relay_parse(&got, buf, cut), ERR_TRUNCATED);
		for (size_t bit = 8; bit < 8 * len; bit++) {
			int err;

			buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
			err = relay_parse(&got, buf, len);
			buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (err < 0)
				continue;
			assert_true(got.n >= 1 && got.n <= WIRE_RELAY_LABELS_MAX);
			assert_true(got.left <= got.n && got.lane != 0);
		}
	}
}

static void numbers_that_cannot_be(void **state)
{
	const struct {
		size_t at;
		uint8_t value;
	} bad[] = {{1, 0x00}, {1, 0x33 + 0x01}, {1, 0x40}, {1, 0x44}, {1, 0xf0}, {1, 0x21 + 0x02},
		{2, 0}, {3, 1}, {3, 0x80}};
	struct relay_hdr got;
	uint8_t buf[256] = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t saved;

		(void)whole(&three, buf, WIRE_TYPE_BYTE(WIRE_DATA));
		saved = buf[bad[i].at];
		buf[bad[i].at] = bad[i].value;
		assert_int_equal(relay_parse(&got, buf, sizeof(buf)), ERR_MALFORMED);
		buf[bad[i].at] = saved;
		assert_int_equal(relay_parse(&got, buf, sizeof(buf)), 0);
	}
}

/* A route o -> a -> b -> c -> e, seen at each hop. */
static void turning(void **state)
{
	enum { O = 1, A, B, C, E };
	struct relay_hdr h = {.n = 3, .left = 3, .lane = 1, .label = {B, C, E}};

	assert_false(relay_loops(&h, A, O));
	assert_int_equal(relay_turn(&h, O), B);
	assert_false(relay_loops(&h, B, A));
	assert_int_equal(relay_turn(&h, A), C);
	assert_false(relay_loops(&h, C, B));
	assert_int_equal(relay_turn(&h, B), E);
	assert_false(relay_loops(&h, E, C));
	/* At the end: the labels from the last to the first, behind the sender, are the way back. */
	assert_int_equal(h.left, 0);
	assert_int_equal(h.label[2], B);
	assert_int_equal(h.label[1], A);
	assert_int_equal(h.label[0], O);
}

static void loops(void **state)
{
	struct relay_hdr h = {.n = 3, .left = 1, .lane = 1, .label = {10, 11, 12}};

	assert_false(relay_loops(&h, 1, 2));
	assert_true(relay_loops(&h, 1, 1));
	assert_true(relay_loops(&h, 0, 2)); /* without a label nothing is relayed */
	assert_true(relay_loops(&h, 1, 0));
	for (unsigned i = 0; i < 3; i++) {
		assert_true(relay_loops(&h, 10 + i, 2));
		assert_true(relay_loops(&h, 1, 10 + i));
		for (unsigned k = 0; k < 3; k++) {
			uint64_t saved = h.label[k];

			h.label[k] = h.label[i];
			assert_int_equal(relay_loops(&h, 1, 2), i != k);
			h.label[k] = 0;
			assert_true(relay_loops(&h, 1, 2));
			h.label[k] = saved;
		}
	}
	h.n = 2; /* what stands behind the last label is not looked at */
	assert_false(relay_loops(&h, 12, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes),
		cmocka_unit_test(prefixes_and_flips),
		cmocka_unit_test(numbers_that_cannot_be),
		cmocka_unit_test(turning),
		cmocka_unit_test(loops),
	};

	return cmocka_run_group_tests_name("dp/relay", tests, NULL, NULL);
}
