/* Which ICMPv6 messages name a router, and how many links are watched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "radv.h"
#include "weft/err.h"

static const struct ip ll = {{0xfe, 0x80, [15] = 1}, IP_V6};
static const struct ip global = {{0x20, 0x01, [15] = 1}, IP_V6};
static const struct ip none = {{0}, IP_V6};

/* RFC 4861 6.1.1 and 6.1.2. */
static void judged(void **state)
{
	static const struct {
		uint8_t type, code;
		size_t len;
		const struct ip *from;
		int hop_limit;
		enum radv_kind want;
	} t[] = {
		{134, 0, 16, &ll, 255, RADV_ADVERT},
		{134, 0, 64, &ll, 255, RADV_ADVERT},
		{134, 0, 15, &ll, 255, RADV_OTHER},
		{134, 1, 16, &ll, 255, RADV_OTHER},
		{134, 0, 16, &ll, 254, RADV_OTHER}, /* from beyond the link */
		{134, 0, 16, &ll, -1, RADV_OTHER},
		{134, 0, 16, &global, 255, RADV_OTHER},
		{133, 0, 8, &ll, 255, RADV_SOLICIT},
		{133, 0, 8, &none, 255, RADV_SOLICIT},
		{133, 0, 7, &ll, 255, RADV_OTHER},
		{133, 0, 8, &ll, 64, RADV_OTHER},
		{135, 0, 24, &ll, 255, RADV_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint8_t buf[64] = {t[i].type, t[i].code};

		assert_int_equal(radv_judge(buf, t[i].len, t[i].from, t[i].hop_limit), t[i].want);
		for (size_t n = 0; n < t[i].len && t[i].len <= 16; n++)
			assert_int_equal(radv_judge(buf, n, t[i].from, t[i].hop_limit), RADV_OTHER);
		for (size_t bit = 0; bit < 16; bit++) {
			enum radv_kind k;

			buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
			k = radv_judge(buf, t[i].len, t[i].from, t[i].hop_limit);
			buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (bit / 8 == 1 && t[i].want != RADV_OTHER)
				assert_int_equal(k, RADV_OTHER);
		}
	}
}

static void found(void *ctx, const char *name, const struct ep *router)
{
	(void)ctx;
	(void)name;
	(void)router;
}

static void bounds(void **state)
{
	struct loop *loop = loop_new();
	struct radv *r = NULL;
	char name[RADV_NAME_MAX];

	(void)state;
	assert_non_null(loop);
	if (radv_open(loop, found, NULL, &r) != 0) { /* without the right to raw sockets */
		loop_free(loop);
		skip();
	}
	assert_int_equal(radv_watch(r, ""), ERR_RANGE);
	assert_int_equal(radv_watch(r, "0123456789abcdef"), ERR_RANGE);
	for (unsigned i = 0; i < RADV_LINKS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "nolink%u", i);
		assert_int_equal(radv_watch(r, name), 0);
	}
	assert_int_equal(radv_watch(r, "onemore"), ERR_FULL);
	radv_close(r);
	radv_close(NULL);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judged),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
