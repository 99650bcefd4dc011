/* csum against mkpkt's slow one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "csum.h"
#include "mkpkt.h"
#include "prng.h"

#define SEED 0xc5

/* Folded sum as a number, for comparison with the big-endian one of mkpkt. */
static uint16_t host(uint16_t memory_order)
{
	return ntohs(memory_order);
}

static void rfc1071_example(void **state)
{
	static const uint8_t b[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	assert_int_equal(host(csum_fold(csum_add(0, b, sizeof(b)))), 0xddf2);
	assert_int_equal(host(csum_finish(csum_add(0, b, sizeof(b)))), 0x220d);
}

static void every_length_and_alignment(void **state)
{
	struct prng r;
	uint8_t *buf = malloc(4096);

	print_message("seed 0x%x\n", SEED);
	prng_seed(&r, SEED);
	for (size_t i = 0; i < 4096; i++)
		buf[i] = (uint8_t)prng_next(&r);
	for (size_t len = 0; len <= 300; len++) {
		for (size_t at = 0; at < 9; at++) {
			/* A block of exactly this size: reading over its end would be seen. */
			uint8_t *exact = malloc(at + len + (at + len == 0));

			memcpy(exact, buf, at + len);
			assert_int_equal(host(csum_fold(csum_add(0, exact + at, len))),
				mk_csum(0, buf + at, len));
			free(exact);
		}
	}
	free(buf);
}

static void all_ones_carry(void **state)
{
	uint8_t *buf = malloc(65536);

	memset(buf, 0xff, 65536);
	for (size_t len = 0; len <= 65535; len += 257)
		assert_int_equal(host(csum_fold(csum_add(0, buf, len))), mk_csum(0, buf, len));
	/* A sum that has been added to many times still folds. */
	uint64_t sum = 0;
	uint32_t slow = 0;

	for (int i = 0; i < 1000; i++) {
		sum = csum_add(sum, buf, 65534);
		slow = mk_csum(slow, buf, 65534);
	}
	assert_true(csum_same(csum_fold(sum), (uint16_t)slow));
	free(buf);
}

static void chained_pieces(void **state)
{
	struct prng r;
	uint8_t buf[2000];

	print_message("seed 0x%x\n", SEED);
	prng_seed(&r, SEED);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)prng_next(&r);
	for (int round = 0; round < 2000; round++) {
		size_t a = prng_below(&r, 500) * 2, b = prng_below(&r, 1000);
		uint64_t sum = csum_add(csum_add(0, buf, a), buf + a, b);

		assert_int_equal(csum_fold(sum), csum_fold(csum_add(0, buf, a + b)));
	}
}

static void pseudo_headers(void **state)
{
	for (int family = 4; family <= 6; family += 2) {
		struct mk m = mk_tcp(family);
		uint64_t sum =
			family == 4 ? csum_pseudo4(m.src, m.dst, 6) : csum_pseudo6(m.src, m.dst, 6);

		for (unsigned len = 0; len < 65536; len += 255)
			assert_int_equal(host(csum_fold(sum + csum_word((uint16_t)len))),
				mk_pseudo(&m, len));
		memset(m.src, 0xff, 16);
		memset(m.dst, 0xff, 16);
		sum = family == 4 ? csum_pseudo4(m.src, m.dst, 17) : csum_pseudo6(m.src, m.dst, 17);
		m.proto = 17;
		assert_int_equal(host(csum_fold(sum + csum_word(9))), mk_pseudo(&m, 9));
	}
}

static void the_two_zeros(void **state)
{
	assert_true(csum_same(0, 0xffff));
	assert_true(csum_same(0xffff, 0));
	assert_true(csum_same(0, 0));
	assert_true(csum_same(7, 7));
	assert_false(csum_same(0, 1));
	assert_false(csum_same(0xffff, 1));
	assert_false(csum_same(0xfffe, 0xffff));
	assert_int_equal(csum_finish(0xffff), 0);
	assert_int_equal(csum_finish_udp(0xffff), 0xffff);
	assert_int_equal(csum_finish_udp(0x1234), (uint16_t)~0x1234);
	/* Zero only from nothing but zeros: a sum of all ones stays that. */
	assert_int_equal(csum_fold(0), 0);
	assert_int_equal(csum_fold(0xffff), 0xffff);
	assert_int_equal(csum_fold(0x1fffe), 0xffff);
	assert_int_equal(csum_fold(UINT64_MAX), 0xffff);
}

/* RFC 1624: as if summed anew, and a wrong field stays wrong. */
static void update_word(void **state)
{
	struct prng r;
	uint8_t h[20];

	print_message("seed 0x%x\n", SEED);
	prng_seed(&r, SEED);
	for (int round = 0; round < 20000; round++) {
		size_t at = prng_below(&r, 5) * 2;
		uint16_t from, to = (uint16_t)prng_next(&r), check;

		for (size_t i = 0; i < sizeof(h); i++)
			h[i] = (uint8_t)prng_next(&r);
		h[0] = 0x45;
		memset(h + 10, 0, 2);
		csum_store(h + 10, csum_finish(csum_add(0, h, 20)));
		if (at == 0)
			to = csum_load(h); /* the first word of a header is never all zero */
		from = csum_load(h + at);
		check = csum_update(csum_load(h + 10), from, to);
		csum_store(h + at, to);
		csum_store(h + 10, check);
		assert_int_equal(mk_csum(0, h, 20), 0xffff);
		csum_store(h + 10, csum_update((uint16_t)(check ^ 0x0100), to, from));
		csum_store(h + at, from);
		assert_int_not_equal(mk_csum(0, h, 20), 0xffff);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc1071_example),
		cmocka_unit_test(every_length_and_alignment),
		cmocka_unit_test(all_ones_carry),
		cmocka_unit_test(chained_pieces),
		cmocka_unit_test(pseudo_headers),
		cmocka_unit_test(the_two_zeros),
		cmocka_unit_test(update_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
