/* The handshake's bytes: every flip and prefix, forged and hand-made messages, a known answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "aead.h"
#include "cookie.h"
#include "hs_fixture.h"
#include "weft/err.h"

/* What a message reader did must be nothing at all. */
static void init_refused(const uint8_t *buf, size_t len)
{
	struct hs_init in, before;

	assert_true(handshake_check_mac1(fx.secrets, 1, buf, len) < 0);
	memset(&before, 0xcd, sizeof(before));
	in = before;
	if (handshake_init_read(&fx.r, 0, buf, len, &in) != 0)
		assert_memory_equal(&in, &before, sizeof(in));
}

static void init_flips_and_prefixes(void **state)
{
	(void)state;
	do_init(0);
	/* MAC2 is the cookie's matter (test_cookie); MAC1 covers all before it. */
	for (size_t bit = 0; bit < 8 * (fx.init_len - HS_MAC); bit++) {
		fx.init[bit / 8] ^= (uint8_t)(1 << bit % 8);
		init_refused(fx.init, fx.init_len);
		fx.init[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < fx.init_len; len++)
		init_refused(fx.init, len);
	assert_int_equal(handshake_check_mac1(fx.secrets, 1, fx.init, fx.init_len), 0);
}

/* The same by somebody who knows the MAC1 key: Noise's hash must refuse each flip by itself. */
static void init_flips_with_mac1(void **state)
{
	struct hs_init in;

	(void)state;
	do_init(0);
	for (size_t bit = 8; bit < 8 * (fx.init_len - 2 * HS_MAC); bit++) {
		fx.init[bit / 8] ^= (uint8_t)(1 << bit % 8);
		remac(fx.init, fx.init_len, HS_MAC);
		assert_int_equal(handshake_check_mac1(fx.secrets, 1, fx.init, fx.init_len), 0);
		assert_int_equal(
			handshake_init_read(&fx.r, 0, fx.init, fx.init_len, &in), ERR_AUTH);
		fx.init[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void resp_flips_and_prefixes(void **state)
{
	struct handshake before;
	size_t state_at;

	(void)state;
	do_init(0);
	do_resp();
	before = fx.hs;
	for (size_t bit = 0; bit < 8 * fx.resp_len; bit++) {
		fx.resp[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(read_resp(&fx.hs, fx.resp, fx.resp_len) < 0);
		fx.resp[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < fx.resp_len; len++) {
		assert_true(read_resp(&fx.hs, fx.resp, len) < 0);
		assert_true(handshake_resp_read(&fx.hs, &fx.i, 0, fx.resp, len) < 0);
	}
	/* With a right MAC1: all but the sealed state is bound into Noise's hash. */
	state_at = fx.resp_len - HS_MAC - HS_STATE_LEN;
	for (size_t bit = 8; bit < 8 * state_at; bit++) {
		fx.resp[bit / 8] ^= (uint8_t)(1 << bit % 8);
		remac(fx.resp, fx.resp_len, 0);
		assert_true(read_resp(&fx.hs, fx.resp, fx.resp_len) < 0);
		fx.resp[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_memory_equal(&before, &fx.hs, sizeof(before));
	/* After all these forgeries the true one still works. */
	remac(fx.resp, fx.resp_len, 0);
	do_final();
	assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), 0);
}

/* A member who changes the sealed state in RESP only makes the FINAL useless. */
static void resp_state_flips(void **state)
{
	struct handshake clean;

	(void)state;
	do_init(0);
	do_resp();
	clean = fx.hs;
	for (size_t i = 0; i < HS_STATE_LEN; i++) {
		size_t at = fx.resp_len - HS_MAC - HS_STATE_LEN + i;

		fx.hs = clean;
		fx.resp[at] ^= 0x10;
		remac(fx.resp, fx.resp_len, 0);
		do_final();
		assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), ERR_AUTH);
		fx.resp[at] ^= 0x10;
	}
}

static void final_flips_and_prefixes(void **state)
{
	struct hs_final before;

	(void)state;
	do_init(0);
	do_resp();
	do_final();
	memset(&fx.out, 0xcd, sizeof(fx.out));
	before = fx.out;
	for (size_t bit = 0; bit < 8 * fx.final_len; bit++) {
		fx.final[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(read_final(fx.final, fx.final_len, &fx.out) < 0);
		if (bit >= 8 && bit < 8 * (fx.final_len - HS_MAC)) {
			remac(fx.final, fx.final_len, 0);
			assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), ERR_AUTH);
		}
		fx.final[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (bit >= 8 && bit < 8 * (fx.final_len - HS_MAC))
			remac(fx.final, fx.final_len, 0);
	}
	for (size_t len = 0; len < fx.final_len; len++) {
		assert_true(read_final(fx.final, len, &fx.out) < 0);
		assert_true(handshake_final_read(
				    &fx.r, &fx.seal, T0, LIFE, 0, fx.final, len, &fx.out) < 0);
	}
	assert_memory_equal(&before, &fx.out, sizeof(before));
	assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), 0);
}

/* The MAC1 test knows lengths, types and versions before it hashes anything. */
static void mac1_shapes(void **state)
{
	uint8_t buf[WIRE_CONTROL_MAX + 1] = {0};
	static const struct {
		uint8_t first;
		size_t len;
		int want;
	} rows[] = {
		{WIRE_TYPE_BYTE(WIRE_INIT), 0, ERR_TRUNCATED},
		{WIRE_TYPE_BYTE(WIRE_INIT), HS_INIT_MIN - 1, ERR_TRUNCATED},
		{WIRE_TYPE_BYTE(WIRE_INIT), HS_INIT_MIN, ERR_AUTH},
		{WIRE_TYPE_BYTE(WIRE_INIT), WIRE_CONTROL_MAX, ERR_AUTH},
		{WIRE_TYPE_BYTE(WIRE_INIT), WIRE_CONTROL_MAX + 1, ERR_MALFORMED},
		{WIRE_TYPE_BYTE(WIRE_RESP), HS_RESP_MIN - 1, ERR_TRUNCATED},
		{WIRE_TYPE_BYTE(WIRE_RESP), HS_RESP_MAX, ERR_AUTH},
		{WIRE_TYPE_BYTE(WIRE_RESP), HS_RESP_MAX + 1, ERR_MALFORMED},
		{WIRE_TYPE_BYTE(WIRE_FINAL), HS_FINAL_MIN - 1, ERR_TRUNCATED},
		{WIRE_TYPE_BYTE(WIRE_FINAL), HS_FINAL_MAX, ERR_AUTH},
		{WIRE_TYPE_BYTE(WIRE_FINAL), HS_FINAL_MAX + 1, ERR_MALFORMED},
		{WIRE_TYPE_BYTE(WIRE_COOKIE), COOKIE_LEN - 1, ERR_TRUNCATED},
		{WIRE_TYPE_BYTE(WIRE_COOKIE), COOKIE_LEN, ERR_AUTH},
		{WIRE_TYPE_BYTE(WIRE_COOKIE), COOKIE_LEN + 1, ERR_MALFORMED},
		{WIRE_TYPE_BYTE(WIRE_DATA), 1000, ERR_UNSUPPORTED},
		{WIRE_TYPE_BYTE(WIRE_RESET), RESET_LEN, ERR_UNSUPPORTED},
		{WIRE_TYPE_BYTE(15), 1000, ERR_UNSUPPORTED},
		{WIRE_TYPE_BYTE(0), 1000, ERR_UNSUPPORTED},
		{0x20 | WIRE_INIT, 1000, ERR_VERSION},
		{WIRE_INIT, 1000, ERR_VERSION},
	};

	(void)state;
	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		buf[0] = rows[n].first;
		assert_int_equal(
			handshake_check_mac1(fx.secrets, 1, buf, rows[n].len), rows[n].want);
	}
	do_init(0);
	assert_int_equal(handshake_check_mac1(fx.secrets, 0, fx.init, fx.init_len), ERR_AUTH);
}

/* An INIT made by hand, from the layout in handshake.h: what a member of the cluster could send. */
static size_t forge_init(const uint8_t e[32], uint8_t suites, uint8_t lanes, size_t pad)
{
	uint8_t prologue[11 + 8] = "weft wire 1", payload[WIRE_CONTROL_MAX] = {0};
	struct noise_sym s;
	struct wr w;

	wr_init(&w, fx.init, sizeof(fx.init));
	wr_u8(&w, 0x12);
	wr_zero(&w, 3);
	wr_u32(&w, INDEX_I);
	memcpy(prologue + 11, fx.init, 8);
	noise_sym_init(&s, "Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b");
	noise_mix_hash(&s, prologue, sizeof(prologue));
	wr_copy(&w, e, 32);
	noise_mix_hash(&s, e, 32);
	noise_mix_key(&s, e, 32);
	payload[8] = suites;
	payload[9] = lanes;
	noise_encrypt_and_hash(&s, payload, 12 + pad, wr_skip(&w, 12 + pad + 16));
	wr_zero(&w, 2 * HS_MAC);
	assert_false(wr_bad(&w));
	remac(fx.init, wr_len(&w), HS_MAC);
	return wr_len(&w);
}

static void init_by_hand(void **state)
{
	uint8_t e[32], zero[32] = {0}, one[32] = {1};
	const size_t pad = HS_INIT_MIN - 100;
	struct hs_init in;
	size_t len;

	(void)state;
	randombytes_buf(e, sizeof(e));
	crypto_scalarmult_base(e, e);
	len = forge_init(e, CHACHA, LIM_LANES, pad);
	assert_int_equal(len, HS_INIT_MIN);
	assert_int_equal(handshake_init_read(&fx.r, 0, fx.init, len, &in), 0);
	assert_int_equal(in.lanes, LIM_LANES);
	assert_int_equal(in.unix_secs, 0);
	assert_int_equal(answer(fx.init, len), HS_RESP_MIN);
	len = forge_init(e, CHACHA, 1, WIRE_CONTROL_MAX - 100);
	assert_int_equal(len, WIRE_CONTROL_MAX);
	assert_int_equal(answer(fx.init, len), HS_RESP_MIN);
	assert_int_equal(answer(fx.init, forge_init(e, CHACHA, 0, pad)), ERR_MALFORMED);
	assert_int_equal(answer(fx.init, forge_init(e, CHACHA, LIM_LANES + 1, pad)), ERR_MALFORMED);
	assert_int_equal(answer(fx.init, forge_init(e, 0, 1, pad)), ERR_UNSUPPORTED);
	assert_int_equal(answer(fx.init, forge_init(zero, CHACHA, 1, pad)), ERR_AUTH);
	assert_int_equal(answer(fx.init, forge_init(one, CHACHA, 1, pad)), ERR_AUTH);
}

/* Known answer: with known random bytes the three messages and the keys are known too. Whoever
 * changes this hash has changed the wire, which no version may (DESIGN 4.8). */
static uint64_t known_count;

static const char *known_name(void)
{
	return "known";
}

static void known_buf(void *const buf, const size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)buf)[i] = (uint8_t)(known_count++ * 167 + 13);
}

static uint32_t known_random(void)
{
	uint32_t v;

	known_buf(&v, sizeof(v));
	return v;
}

static void known_answer(void **state)
{
	static struct randombytes_implementation known = {
		.implementation_name = known_name,
		.random = known_random,
		.buf = known_buf,
	};
	static const uint8_t want[16] = {0xa6, 0x17, 0x4a, 0xef, 0xe8, 0x56, 0x44, 0xc1, 0x75, 0x20,
		0x72, 0xd6, 0x6e, 0x7b, 0xca, 0x10};
	crypto_generichash_state st;
	uint8_t got[16];

	(void)state;
	memset(fx.secrets, 0x42, sizeof(fx.secrets[0]));
	fx.secrets[0].mac1[0] = 0x43;
	memset(fx.id_i.reset_key, 0x44, 32);
	memset(fx.id_r.reset_key, 0x45, 32);
	randombytes_set_implementation(&known);
	known_count = 0;
	handshake_seal_init(&fx.seal);
	do_all();
	randombytes_set_implementation(&randombytes_sysrandom_implementation);

	crypto_generichash_init(&st, NULL, 0, sizeof(got));
	crypto_generichash_update(&st, fx.init, fx.init_len);
	crypto_generichash_update(&st, fx.resp, fx.resp_len);
	crypto_generichash_update(&st, fx.final, fx.final_len);
	crypto_generichash_update(&st, fx.keys_i.tx, 32);
	crypto_generichash_update(&st, fx.keys_i.rx, 32);
	crypto_generichash_final(&st, got, sizeof(got));
	assert_memory_equal(got, want, sizeof(want));
}

/* Neither identity, nor names of anything, stand readable in what passes. */
static bool contains(const uint8_t *hay, size_t len, const uint8_t needle[32])
{
	return memmem(hay, len, needle, 32) != NULL;
}

static void identities_are_hidden(void **state)
{
	const uint8_t *keys[] = {fx.id_i.pub.b, fx.id_i.x_pub, fx.id_r.pub.b, fx.id_r.x_pub};

	(void)state;
	do_all();
	for (size_t i = 0; i < 4; i++) {
		assert_false(contains(fx.init, fx.init_len, keys[i]));
		assert_false(contains(fx.resp, fx.resp_len, keys[i]));
		assert_false(contains(fx.final, fx.final_len, keys[i]));
	}
}

static int setup(void **state)
{
	(void)state;
	return aead_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(init_flips_and_prefixes, fresh),
		cmocka_unit_test_setup(init_flips_with_mac1, fresh),
		cmocka_unit_test_setup(resp_flips_and_prefixes, fresh),
		cmocka_unit_test_setup(resp_state_flips, fresh),
		cmocka_unit_test_setup(final_flips_and_prefixes, fresh),
		cmocka_unit_test_setup(mac1_shapes, fresh),
		cmocka_unit_test_setup(init_by_hand, fresh),
		cmocka_unit_test_setup(known_answer, fresh),
		cmocka_unit_test_setup(identities_are_hidden, fresh),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
