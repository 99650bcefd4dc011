/* mp: every type byte against a table written from the specification, counts that lie, depth, number
 * of objects, each shorter prefix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "weft/err.h"
#include "mp.h"

/* Bytes of a whole object that begins with type byte @t, when all length bytes behind it are zero
 * but the last, which is 2; 0: no such type. Its elements are nil. */
static size_t size_of(unsigned t)
{
	static const uint8_t tail[] = {[0xc4 - 0xc0] = 1 + 2,
		2 + 2,     /* bin 8, 16 */
		4 + 2,     /* bin 32 */
		1 + 1 + 2, /* ext 8, 16, 32 */
		2 + 1 + 2,
		4 + 1 + 2,
		4,
		8, /* floats */
		1,
		2,
		4,
		8,
		1,
		2,
		4,
		8, /* unsigned, signed */
		1 + 1,
		1 + 2,
		1 + 4,
		1 + 8,
		1 + 16, /* fixext */
		1 + 2,
		2 + 2,
		4 + 2, /* str */
		2 + 2,
		4 + 2, /* array of 2 */
		2 + 4,
		4 + 4}; /* map of 2 */

	if (t <= 0x7f || t >= 0xe0)
		return 1;
	if (t <= 0x8f)
		return 1 + 2 * (t & 15);
	if (t <= 0x9f)
		return 1 + (t & 15);
	if (t <= 0xbf)
		return 1 + (t & 31);
	if (t == 0xc1)
		return 0;
	return 1u + tail[t - 0xc0];
}

/* Length bytes behind @t. */
static size_t length_bytes(unsigned t)
{
	switch (t) {
	case 0xc4:
	case 0xc7:
	case 0xd9:
		return 1;
	case 0xc5:
	case 0xc8:
	case 0xda:
	case 0xdc:
	case 0xde:
		return 2;
	case 0xc6:
	case 0xc9:
	case 0xdb:
	case 0xdd:
	case 0xdf:
		return 4;
	default:
		return 0;
	}
}

static void each_type(void **state)
{
	for (unsigned t = 0; t < 256; t++) {
		size_t len = size_of(t), heads = length_bytes(t);
		uint8_t b[64];

		memset(b, 0xc0, sizeof(b)); /* nil, as element or as payload */
		b[0] = (uint8_t)t;
		if (heads) {
			memset(b + 1, 0, heads);
			b[heads] = 2;
		}
		if (len == 0) {
			assert_int_equal(mp_scan(b, sizeof(b), 1, 100), ERR_MALFORMED);
			continue;
		}
		assert_int_equal(mp_scan(b, len, 1, 100), 0);
		assert_int_equal(mp_scan(b, len + 1, 1, 100), ERR_MALFORMED);
		for (size_t n = 0; n < len; n++)
			assert_int_equal(mp_scan(b, n, 1, 100), ERR_TRUNCATED);
	}
}

static void counts_that_lie(void **state)
{
	static const uint8_t lies[][6] = {
		{0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0},
		{0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0},
		{0xdb, 0xff, 0xff, 0xff, 0xff, 0xc0},
		{0xc6, 0x80, 0x00, 0x00, 0x00, 0xc0},
		{0xc9, 0xff, 0xff, 0xff, 0xff, 0xc0},
		{0xdc, 0x00, 0x04, 0xc0, 0xc0, 0xc0},
		{0x83, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0},
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		assert_int_equal(mp_scan(lies[i], 6, 4, 100), ERR_TRUNCATED);
	assert_int_equal(mp_scan(NULL, 0, 4, 100), ERR_TRUNCATED);
}

static void depth_and_number(void **state)
{
	uint8_t b[MP_DEPTH_MAX + 2];

	for (unsigned depth = 0; depth <= MP_DEPTH_MAX; depth++)
		for (unsigned deep = 0; deep <= MP_DEPTH_MAX; deep++) {
			memset(b, 0x91, deep);
			b[deep] = 0xc0;
			assert_int_equal(mp_scan(b, deep + 1, depth, UINT64_MAX),
				deep <= depth ? 0 : ERR_LIMIT);
			assert_int_equal(mp_scan(b, deep + 1, MP_DEPTH_MAX, depth),
				deep + 1 <= depth ? 0 : ERR_LIMIT);
			b[deep] = 0x80; /* an empty map is one too */
			assert_int_equal(mp_scan(b, deep + 1, depth, UINT64_MAX),
				deep + 1 <= depth ? 0 : ERR_LIMIT);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type),
		cmocka_unit_test(counts_that_lie),
		cmocka_unit_test(depth_and_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
