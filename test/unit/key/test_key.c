/* key: text form and its typos, derivations pinned, conversion of hostile keys, signatures;
 * Wycheproof's Ed25519 and X25519 vectors against the primitives that this module stands on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>
#include <cmocka.h>
#include "key.h"
#include "vectors.h"
#include "weft/err.h"

static void counting(uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)i;
}

static void assert_hex(const char *want, const uint8_t *got, size_t n)
{
	char hex[129];

	sodium_bin2hex(hex, sizeof(hex), got, n);
	assert_string_equal(want, hex);
}

static void test_secret_text(void **state)
{
	struct secret s, back;
	char text[SECRET_STRLEN], padded[SECRET_STRLEN + 8], bad[SECRET_STRLEN + 2];

	counting(s.b, sizeof(s.b));
	secret_fmt(&s, text);
	assert_int_equal(SECRET_STRLEN - 1, strlen(text));
	assert_int_equal(0, secret_parse(text, &back));
	assert_memory_equal(&s, &back, sizeof(s));
	snprintf(padded, sizeof(padded), " \t%s \r\n", text);
	assert_int_equal(0, secret_parse(padded, &back));

	/* Each prefix, and anything behind. */
	for (size_t cut = 0; cut < SECRET_STRLEN - 1; cut++) {
		memcpy(bad, text, cut);
		bad[cut] = '\0';
		assert_int_equal(ERR_MALFORMED, secret_parse(bad, &back));
	}
	snprintf(bad, sizeof(bad), "%sa", text);
	assert_int_equal(ERR_MALFORMED, secret_parse(bad, &back));
	assert_int_equal(ERR_MALFORMED, secret_parse("password", &back));
	assert_int_equal(ERR_MALFORMED, secret_parse("", &back));

	/* Each single character replaced by each other digit: a typo, or no such text. */
	memset(&back, 0x55, sizeof(back));
	for (size_t i = 6; i < SECRET_STRLEN - 1; i++)
		for (const char *c = "abcdefghijklmnopqrstuvwxyz234567"; *c; c++) {
			int err;
			memcpy(bad, text, SECRET_STRLEN);
			if (bad[i] == *c)
				continue;
			bad[i] = *c;
			err = secret_parse(bad, &back);
			assert_true(err == ERR_CORRUPT ||
				    (err == ERR_MALFORMED && i == SECRET_STRLEN - 2));
		}
	for (size_t i = 0; i < sizeof(back.b); i++)
		assert_int_equal(0x55, back.b[i]); /* untouched by failures */
}

static void test_secret_generate(void **state)
{
	struct secret a, b;

	secret_generate(&a);
	secret_generate(&b);
	assert_memory_not_equal(&a, &b, sizeof(a));
}

/* Derivations are part of the wire: these values stand, or two versions no longer understand each
 * other. Computed once with the reference BLAKE2b of another language (Python's hashlib). */
static void test_derivations(void **state)
{
	struct secret s;
	struct secret_keys k;
	struct cluster_id c, d;
	struct identity id;
	struct ip ip;
	struct pfx net;
	uint8_t seed[32];
	char text[IP_STRLEN];

	counting(s.b, sizeof(s.b));
	secret_derive(&s, &k);
	assert_hex("cc371aeb8ff27c5d719546150d45a5c995294e822c4ba2c8137d5fb6ec81a4f0", k.psk, 32);
	assert_hex("6340e3891daa9e327093f417d4a0d298d9a880dbd74e40086c5d7fd3fa9a96ab", k.mac1, 32);
	assert_hex(
		"93eda118061fced928d76fed2377460d9eb81c993d3f5b255c13546d12d059af", k.cookie, 32);
	secret_cluster_id(&s, &c);
	assert_hex("a7896e61f2b9741a686b387a8de477ef", c.b, 16);
	key_cluster_of_name("prod", &d);
	assert_hex("30b16a0a0e8315b140f35d1488b99479", d.b, 16);
	counting(seed, sizeof(seed));
	identity_from_seed(seed, &id);
	/* RFC 8032's function of this seed, as other libraries give it */
	assert_hex(
		"03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8", id.pub.b, 32);
	assert_hex("89eedef37eaa07de8d1927ffc420c592f631bcca58d79341522628251ce56643", id.reset_key,
		32);
	key_control_addr(&c, &id.pub, &ip);
	assert_string_equal("fdf6:2933:5c82:ba69:bd2e:837f:22a9:ff34", ip_fmt(&ip, text));
	key_control_prefix(&c, &net);
	assert_int_equal(48, net.len);
	assert_int_equal(0xfd, net.ip.b[0]);
	assert_true(pfx_has_ip(&net, &ip));
}

static void test_identity(void **state)
{
	struct identity a, b;
	uint8_t x[32], sh1[32], sh2[32];

	for (int i = 0; i < 50; i++) {
		identity_generate(&a);
		identity_from_seed(a.seed, &b);
		assert_memory_equal(&a, &b, sizeof(a));
		/* Both ways to the X25519 key meet. */
		assert_int_equal(0, key_x25519_of(&a.pub, x));
		assert_memory_equal(x, a.x_pub, 32);
	}
	identity_generate(&b);
	assert_int_equal(0, crypto_scalarmult_curve25519(sh1, a.x_sk, b.x_pub));
	assert_int_equal(0, crypto_scalarmult_curve25519(sh2, b.x_sk, a.x_pub));
	assert_memory_equal(sh1, sh2, 32);
	identity_wipe(&a);
	assert_true(sodium_is_zero((uint8_t *)&a, sizeof(a)));
}

static void test_hostile_keys(void **state)
{
	/* The eight points of small order, their other encodings, and y of p and above. */
	static const char *const rows[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		/* no point of the curve has y = 2 */
		"0200000000000000000000000000000000000000000000000000000000000000",
	};
	struct identity id;
	struct node_key k, order2, mixed;
	uint8_t x[32] = {0x77};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		sodium_hex2bin(k.b, 32, rows[i], 64, NULL, NULL, NULL);
		if (key_x25519_of(&k, x) != ERR_AUTH)
			fail_msg("taken: %s", rows[i]);
		assert_int_equal(0x77, x[0]);
	}
	/* A good key with a point of order 2 added: outside the prime-order group. */
	identity_generate(&id);
	sodium_hex2bin(order2.b, 32, rows[8], 64, NULL, NULL, NULL);
	assert_int_equal(0, crypto_core_ed25519_add(mixed.b, id.pub.b, order2.b));
	assert_memory_not_equal(mixed.b, id.pub.b, 32);
	assert_int_equal(ERR_AUTH, key_x25519_of(&mixed, x));
	/* The negative of a key is a good key, and has the same X25519 form (DESIGN 6.1). */
	k = id.pub;
	k.b[31] ^= 0x80;
	assert_int_equal(0, key_x25519_of(&k, x));
	assert_memory_equal(x, id.x_pub, 32);
}

static void test_sign(void **state)
{
	struct identity id, other;
	uint8_t msg[KEY_SIGN_MAX + 1], sig[64];

	identity_generate(&id);
	identity_generate(&other);
	counting(msg, sizeof(msg));
	key_sign(&id, "record", msg, 100, sig);
	assert_int_equal(0, key_verify(&id.pub, "record", msg, 100, sig));
	assert_int_equal(ERR_AUTH, key_verify(&other.pub, "record", msg, 100, sig));
	assert_int_equal(ERR_AUTH, key_verify(&id.pub, "recore", msg, 100, sig));
	assert_int_equal(ERR_AUTH, key_verify(&id.pub, "recor", msg, 100, sig));
	assert_int_equal(ERR_AUTH, key_verify(&id.pub, "record", msg, 99, sig));
	assert_int_equal(ERR_AUTH, key_verify(&id.pub, "record", msg, 101, sig));
	assert_int_equal(ERR_AUTH, key_verify(&id.pub, "record", msg, sizeof(msg), sig));
	for (unsigned bit = 0; bit < 64 * 8; bit++) {
		sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(ERR_AUTH, key_verify(&id.pub, "record", msg, 100, sig));
		sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (unsigned bit = 0; bit < 100 * 8; bit++) {
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(ERR_AUTH, key_verify(&id.pub, "record", msg, 100, sig));
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	key_sign(&id, "x", msg, 0, sig);
	assert_int_equal(0, key_verify(&id.pub, "x", NULL, 0, sig));
	key_sign(&id, "sixteen-long-lbl", msg, KEY_SIGN_MAX, sig);
	assert_int_equal(0, key_verify(&id.pub, "sixteen-long-lbl", msg, KEY_SIGN_MAX, sig));
}

/* The primitive under key_verify: what it takes is what Wycheproof calls valid. */
static void test_wycheproof_ed25519(void **state)
{
	json_t *root = vectors_load("wycheproof_ed25519.json"), *group, *test;
	size_t i, j, n = 0;

	if (!root)
		skip();
	json_array_foreach(json_object_get(root, "testGroups"), i, group)
	{
		uint8_t pk[32];
		size_t pk_len =
			vectors_hex(json_object_get(group, "publicKey"), "pk", pk, sizeof(pk));
		assert_int_equal(32, pk_len);
		json_array_foreach(json_object_get(group, "tests"), j, test)
		{
			uint8_t msg[2048], sig[512];
			size_t len = vectors_hex(test, "msg", msg, sizeof(msg));
			size_t sig_len = vectors_hex(test, "sig", sig, sizeof(sig));
			bool want = strcmp(vectors_str(test, "result"), "valid") == 0, got;
			/* Our signatures have a fixed size by type. */
			got = sig_len == 64 &&
			      crypto_sign_ed25519_verify_detached(sig, msg, len, pk) == 0;
			n++;
			if (got != want)
				fail_msg("tcId %lld: %s",
					json_integer_value(json_object_get(test, "tcId")),
					vectors_str(test, "comment"));
		}
	}
	assert_int_equal(n, json_integer_value(json_object_get(root, "numberOfTests")));
	json_decref(root);
}

/* The primitive under the handshake: right output, and all-zero results refused. */
static void test_wycheproof_x25519(void **state)
{
	json_t *root = vectors_load("wycheproof_x25519.json"), *group, *test;
	size_t i, j, n = 0;

	if (!root)
		skip();
	json_array_foreach(json_object_get(root, "testGroups"), i, group)
	{
		json_array_foreach(json_object_get(group, "tests"), j, test)
		{
			uint8_t pub[32], priv[32], want[32], got[32];
			int err;
			assert_int_equal(32, vectors_hex(test, "public", pub, 32));
			assert_int_equal(32, vectors_hex(test, "private", priv, 32));
			assert_int_equal(32, vectors_hex(test, "shared", want, 32));
			err = crypto_scalarmult_curve25519(got, priv, pub);
			n++;
			if (sodium_is_zero(want, 32) ? err == 0
						     : err != 0 || memcmp(got, want, 32) != 0)
				fail_msg("tcId %lld: %s",
					json_integer_value(json_object_get(test, "tcId")),
					vectors_str(test, "comment"));
		}
	}
	assert_int_equal(n, json_integer_value(json_object_get(root, "numberOfTests")));
	json_decref(root);
}

static int setup(void **state)
{
	return sodium_init() < 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret_text),
		cmocka_unit_test(test_secret_generate),
		cmocka_unit_test(test_derivations),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_hostile_keys),
		cmocka_unit_test(test_sign),
		cmocka_unit_test(test_wycheproof_ed25519),
		cmocka_unit_test(test_wycheproof_x25519),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
