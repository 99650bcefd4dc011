/* Cookies, MAC2, resets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>
#include "cookie.h"
#include "handshake.h"
#include "weft/err.h"

#define T0    ((ts_t){UINT64_C(1000000000)})
#define LIFE  DUR_SEC(120)
#define AT(s) ts_add(T0, DUR_SEC(s))

static struct identity id;
static struct secret_keys keys;
static struct cookie_jar jar;
static struct handshake hs;
static uint8_t init[WIRE_CONTROL_MAX], reply[COOKIE_LEN], cookie[COOKIE_SIZE];
static size_t init_len;
static struct ep from;

static int fresh(void **state)
{
	struct hs_cfg cfg = {&id, &keys, 1, 3, 2, 0, NULL, 0};
	struct secret secret = {{5}};
	uint8_t seed[32] = {6};
	int len;

	(void)state;
	identity_from_seed(seed, &id);
	secret_derive(&secret, &keys);
	cookie_jar_init(&jar, LIFE, T0);
	len = handshake_init_write(&hs, &cfg, 0, 0xcafe0001, 17, init, sizeof(init));
	assert_true(len > 0);
	init_len = (size_t)len;
	from = (struct ep){ip_v4(0xc0000201), 6793, 0};
	return 0;
}

static void ask(ts_t now)
{
	assert_int_equal(
		cookie_write(&jar, &keys, &from, init, init_len, now, reply, sizeof(reply)),
		COOKIE_LEN);
}

static int take(void)
{
	return cookie_read(&keys, hs.local_index, hs.init_mac1, reply, COOKIE_LEN, cookie);
}

static void round_trip(void **state)
{
	uint32_t index = 0;

	(void)state;
	assert_false(cookie_mac2_check(&jar, &from, init, init_len, T0));
	ask(T0);
	assert_int_equal(handshake_check_mac1(&keys, 1, reply, COOKIE_LEN), 0);
	assert_int_equal(cookie_index(reply, COOKIE_LEN, &index), 0);
	assert_int_equal(index, 0xcafe0001);
	assert_int_equal(take(), 0);
	cookie_mac2_add(cookie, init, init_len);
	assert_true(cookie_mac2_check(&jar, &from, init, init_len, T0));
	/* MAC1 is where it was: MAC2 covers it, not the other way round. */
	assert_int_equal(handshake_check_mac1(&keys, 1, init, init_len), 0);
	/* Asked again, the same cookie comes sealed otherwise. */
	uint8_t first[COOKIE_LEN], old[COOKIE_SIZE];

	memcpy(first, reply, sizeof(first));
	memcpy(old, cookie, sizeof(old));
	ask(AT(1));
	assert_memory_not_equal(first, reply, COOKIE_LEN);
	assert_int_equal(take(), 0);
	assert_memory_equal(old, cookie, sizeof(old));
}

static void bound_to_the_address(void **state)
{
	const struct ep other[] = {
		{ip_v4(0xc0000202), 6793, 0},
		{ip_v4(0xc0000201), 6794, 0},
		{ip_v6_bytes((const uint8_t[16]){0xc0, 0, 2, 1}), 6793, 0},
		{ip_v4(0xc0000201), 6793, 2},
	};

	(void)state;
	ask(T0);
	assert_int_equal(take(), 0);
	cookie_mac2_add(cookie, init, init_len);
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		assert_false(cookie_mac2_check(&jar, &other[i], init, init_len, T0));
	assert_true(cookie_mac2_check(&jar, &from, init, init_len, T0));
}

/* A cookie holds for one to two lives, however seldom somebody asks. */
static void rotation(void **state)
{
	static const struct {
		int made, used;
		bool holds;
	} rows[] = {
		{0, 0, true},
		{0, 119, true},
		{0, 120, true}, /* the key is the previous one now */
		{0, 239, true},
		{0, 240, false},
		{0, 1000, false},
		{119, 239, true},
		{119, 240, false},
		{121, 300, true}, /* made with the second key, due at 120 */
		{121, 359, true},
		{121, 360, false},
		{1000, 1119, true},
		{1000, 1239, true},
		{1000, 1240, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fresh(state);
		ask(AT(rows[i].made));
		assert_int_equal(take(), 0);
		cookie_mac2_add(cookie, init, init_len);
		if (cookie_mac2_check(&jar, &from, init, init_len, AT(rows[i].used)) !=
			rows[i].holds)
			fail_msg("made at %d, used at %d", rows[i].made, rows[i].used);
	}
}

/* With somebody asking each second, too. */
static void rotation_when_busy(void **state)
{
	ts_t made = AT(77);

	(void)state;
	ask(made);
	assert_int_equal(take(), 0);
	cookie_mac2_add(cookie, init, init_len);
	for (int s = 78; s < 1000; s++) {
		bool ok = cookie_mac2_check(&jar, &from, init, init_len, AT(s));

		assert_int_equal(ok, s < 240);
	}
}

static void mac2_flips(void **state)
{
	(void)state;
	ask(T0);
	assert_int_equal(take(), 0);
	cookie_mac2_add(cookie, init, init_len);
	for (size_t bit = 0; bit < 8 * init_len; bit++) {
		init[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(cookie_mac2_check(&jar, &from, init, init_len, T0));
		init[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < init_len; len++)
		assert_false(cookie_mac2_check(&jar, &from, init, len, T0));
	assert_false(cookie_mac2_check(&jar, &from, init, WIRE_CONTROL_MAX + 1, T0));
	assert_true(cookie_mac2_check(&jar, &from, init, init_len, T0));
}

static void reply_flips_and_prefixes(void **state)
{
	uint8_t before[COOKIE_SIZE];
	uint32_t index;

	(void)state;
	ask(T0);
	memset(cookie, 0xcd, sizeof(cookie));
	memcpy(before, cookie, sizeof(before));
	for (size_t bit = 0; bit < 8 * COOKIE_LEN; bit++) {
		bool sealed = bit >= 8 * 8 && bit < 8 * 64;
		bool is_index = bit >= 8 * 4 && bit < 8 * 8;

		reply[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(handshake_check_mac1(&keys, 1, reply, COOKIE_LEN) < 0);
		if (sealed)
			assert_int_equal(take(), ERR_AUTH);
		if (is_index)
			assert_int_equal(take(), ERR_NOT_FOUND);
		reply[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < COOKIE_LEN; len++) {
		assert_int_equal(
			cookie_read(&keys, hs.local_index, hs.init_mac1, reply, len, cookie),
			ERR_TRUNCATED);
		assert_int_equal(cookie_index(reply, len, &index), ERR_TRUNCATED);
	}
	assert_int_equal(
		cookie_read(&keys, hs.local_index, hs.init_mac1, reply, COOKIE_LEN + 1, cookie),
		ERR_MALFORMED);
	assert_memory_equal(before, cookie, sizeof(before));
	assert_int_equal(take(), 0);
}

/* For another INIT, under another secret, from another start: nothing. */
static void strangers(void **state)
{
	struct secret other_secret = {{8}};
	struct secret_keys other;
	struct cookie_jar jar2;
	uint8_t mac1[HS_MAC];

	(void)state;
	ask(T0);
	memcpy(mac1, hs.init_mac1, sizeof(mac1));
	mac1[3] ^= 1;
	assert_int_equal(
		cookie_read(&keys, hs.local_index, mac1, reply, COOKIE_LEN, cookie), ERR_AUTH);
	secret_derive(&other_secret, &other);
	assert_int_equal(
		cookie_read(&other, hs.local_index, hs.init_mac1, reply, COOKIE_LEN, cookie),
		ERR_AUTH);
	assert_int_equal(take(), 0);
	cookie_mac2_add(cookie, init, init_len);
	cookie_jar_init(&jar2, LIFE, T0);
	assert_false(cookie_mac2_check(&jar2, &from, init, init_len, T0));
	/* A jar without a previous key does not accept what an all-zero key would make. */
	struct cookie_jar zero = jar2;

	memset(zero.key[0], 0, sizeof(zero.key[0]));
	assert_int_equal(
		cookie_write(&zero, &keys, &from, init, init_len, T0, reply, sizeof(reply)),
		COOKIE_LEN);
	assert_int_equal(take(), 0);
	cookie_mac2_add(cookie, init, init_len);
	assert_false(cookie_mac2_check(&jar2, &from, init, init_len, T0));
	cookie_jar_wipe(&jar2);
}

static void write_bounds(void **state)
{
	(void)state;
	assert_int_equal(
		cookie_write(&jar, &keys, &from, init, init_len, T0, reply, COOKIE_LEN - 1),
		ERR_FULL);
	assert_int_equal(
		cookie_write(&jar, &keys, &from, init, HS_INIT_MIN - 1, T0, reply, sizeof(reply)),
		ERR_TRUNCATED);
	assert_int_equal(cookie_write(&jar, &keys, &from, init, WIRE_CONTROL_MAX + 1, T0, reply,
				 sizeof(reply)),
		ERR_TRUNCATED);
}

static void resets(void **state)
{
	uint8_t buf[RESET_LEN + 1] = {0}, token[RESET_TOKEN], want[RESET_TOKEN], got[RESET_TOKEN];
	uint8_t other_key[32] = {1};
	uint32_t index = 0;

	(void)state;
	reset_token(id.reset_key, 0x01020304, want);
	assert_int_equal(reset_write(id.reset_key, 0x01020304, buf, RESET_LEN - 1), ERR_FULL);
	assert_int_equal(reset_write(id.reset_key, 0x01020304, buf, RESET_LEN), RESET_LEN);
	assert_int_equal(reset_read(buf, RESET_LEN, &index, got), 0);
	assert_int_equal(index, 0x01020304);
	assert_true(reset_token_eq(got, want));
	/* Another index or key: another token. */
	reset_token(id.reset_key, 0x01020305, token);
	assert_false(reset_token_eq(token, want));
	reset_token(other_key, 0x01020304, token);
	assert_false(reset_token_eq(token, want));
	/* Every flip changes index or token, or the type. */
	for (size_t bit = 0; bit < 8 * RESET_LEN; bit++) {
		bool reserved = bit >= 8 && bit < 32;
		int err;

		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		err = reset_read(buf, RESET_LEN, &index, got);
		assert_int_equal(
			err != 0 || index != 0x01020304 || !reset_token_eq(got, want), !reserved);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < RESET_LEN; len++)
		assert_int_equal(reset_read(buf, len, &index, got), ERR_TRUNCATED);
	assert_int_equal(reset_read(buf, RESET_LEN + 1, &index, got), ERR_MALFORMED);
	buf[0] = 0x20 | WIRE_RESET;
	assert_int_equal(reset_read(buf, RESET_LEN, &index, got), ERR_VERSION);
	buf[0] = WIRE_TYPE_BYTE(WIRE_COOKIE);
	assert_int_equal(reset_read(buf, RESET_LEN, &index, got), ERR_UNSUPPORTED);
}

static int setup(void **state)
{
	(void)state;
	return sodium_init() < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(round_trip, fresh),
		cmocka_unit_test_setup(bound_to_the_address, fresh),
		cmocka_unit_test_setup(rotation, fresh),
		cmocka_unit_test_setup(rotation_when_busy, fresh),
		cmocka_unit_test_setup(mac2_flips, fresh),
		cmocka_unit_test_setup(reply_flips_and_prefixes, fresh),
		cmocka_unit_test_setup(strangers, fresh),
		cmocka_unit_test_setup(write_bounds, fresh),
		cmocka_unit_test_setup(resets, fresh),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
