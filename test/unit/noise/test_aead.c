/* The AEAD seam: public vectors, both providers against each other, tampering. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>
#include <sodium.h>
#include "aead.h"
#include "fault.h"
#include "prng.h"
#include "vectors.h"
#include "weft/err.h"

#define MAX_LEN 9000

static const enum wire_suite suites[] = {WIRE_SUITE_CHACHA20_POLY1305, WIRE_SUITE_AES_256_GCM};
static const enum aead_provider providers[] = {AEAD_SODIUM, AEAD_IPSECMB};

static uint8_t plain[MAX_LEN], sealed[2][MAX_LEN], opened[MAX_LEN];

static void fill(struct prng *p, uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)prng_next(p);
}

static bool all_zero(const uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (buf[i] != 0)
			return false;
	}
	return true;
}

struct vector {
	uint8_t key[32], iv[12], tag[16];
	uint8_t aad[1024], msg[1024], ct[1024];
	size_t aad_len, len;
	bool valid;
	int id;
};

static void check_vector(const struct vector *v, enum wire_suite suite, enum aead_provider provider)
{
	struct aead *a = aead_new(suite, provider, v->key);
	uint8_t out[1024], tag[16];
	int err;

	assert_non_null(a);
	if (v->valid) {
		aead_seal(a, v->iv, v->aad, v->aad_len, v->msg, v->len, out, tag);
		if (memcmp(out, v->ct, v->len) != 0 || memcmp(tag, v->tag, 16) != 0)
			fail_msg("%s, vector %d: sealed otherwise", aead_provider_name(provider),
				v->id);
	}
	memset(out, 0xa5, sizeof(out));
	err = aead_open(a, v->iv, v->aad, v->aad_len, v->ct, v->len, v->tag, out);
	if (v->valid && (err != 0 || memcmp(out, v->msg, v->len) != 0))
		fail_msg("%s, vector %d: refused", aead_provider_name(provider), v->id);
	if (!v->valid && err != ERR_AUTH)
		fail_msg("%s, vector %d: accepted", aead_provider_name(provider), v->id);
	aead_free(a);
}

static void run_wycheproof(const char *file, enum wire_suite suite, size_t at_least)
{
	json_t *root = vectors_load(file), *group, *test;
	size_t gi, ti, count = 0;

	if (root == NULL)
		skip();
	json_array_foreach(json_object_get(root, "testGroups"), gi, group)
	{
		if (json_integer_value(json_object_get(group, "keySize")) != 256 ||
			json_integer_value(json_object_get(group, "ivSize")) != 96 ||
			json_integer_value(json_object_get(group, "tagSize")) != 128)
			continue;
		json_array_foreach(json_object_get(group, "tests"), ti, test)
		{
			struct vector v;

			vectors_hex(test, "key", v.key, sizeof(v.key));
			vectors_hex(test, "iv", v.iv, sizeof(v.iv));
			vectors_hex(test, "tag", v.tag, sizeof(v.tag));
			v.aad_len = vectors_hex(test, "aad", v.aad, sizeof(v.aad));
			v.len = vectors_hex(test, "msg", v.msg, sizeof(v.msg));
			assert_int_equal(vectors_hex(test, "ct", v.ct, sizeof(v.ct)), v.len);
			v.valid = strcmp(vectors_str(test, "result"), "valid") == 0;
			v.id = (int)json_integer_value(json_object_get(test, "tcId"));
			for (size_t i = 0; i < 2; i++) {
				if (aead_available(suite, providers[i]))
					check_vector(&v, suite, providers[i]);
			}
			count++;
		}
	}
	json_decref(root);
	assert_true(count >= at_least);
}

static void wycheproof_chacha(void **state)
{
	(void)state;
	run_wycheproof("wycheproof_chacha20_poly1305.json", WIRE_SUITE_CHACHA20_POLY1305, 300);
}

static void wycheproof_gcm(void **state)
{
	(void)state;
	if (!aead_available(WIRE_SUITE_AES_256_GCM, AEAD_AUTO))
		skip();
	run_wycheproof("wycheproof_aes_gcm.json", WIRE_SUITE_AES_256_GCM, 60);
}

/* Whatever @provider does with @len bytes must be its own inverse, in place or not. Seals to @out. */
static void round_trip(enum wire_suite suite, enum aead_provider provider, const uint8_t key[32],
	const uint8_t nonce[12], const uint8_t *aad, size_t aad_len, size_t len, uint8_t *out,
	uint8_t tag[16])
{
	struct aead *a = aead_new(suite, provider, key);
	uint8_t tag2[16];

	assert_non_null(a);
	aead_seal(a, nonce, aad, aad_len, plain, len, out, tag);
	memcpy(opened, plain, len);
	aead_seal(a, nonce, aad, aad_len, opened, len, opened, tag2); /* in place */
	assert_memory_equal(opened, out, len);
	assert_memory_equal(tag, tag2, 16);
	assert_int_equal(aead_open(a, nonce, aad, aad_len, opened, len, tag, opened), 0);
	assert_memory_equal(opened, plain, len);
	memset(opened, 0x5a, len);
	assert_int_equal(aead_open(a, nonce, aad, aad_len, out, len, tag, opened), 0);
	assert_memory_equal(opened, plain, len);
	aead_free(a);
}

static void providers_agree(void **state)
{
	const uint64_t seed = 20260;
	uint8_t key[32], nonce[12], aad[64], tag[2][16];
	struct prng p;

	(void)state;
	prng_seed(&p, seed);
	fill(&p, plain, sizeof(plain));
	for (size_t s = 0; s < 2; s++) {
		for (size_t len = 0; len <= MAX_LEN; len++) {
			size_t aad_len = prng_below(&p, sizeof(aad) + 1);
			unsigned done = 0;

			fill(&p, key, sizeof(key));
			fill(&p, nonce, sizeof(nonce));
			fill(&p, aad, sizeof(aad));
			for (size_t i = 0; i < 2; i++) {
				if (!aead_available(suites[s], providers[i]))
					continue;
				round_trip(suites[s], providers[i], key, nonce, aad, aad_len, len,
					sealed[i], tag[i]);
				done++;
			}
			if (done == 2 && (memcmp(sealed[0], sealed[1], len) != 0 ||
						 memcmp(tag[0], tag[1], 16) != 0))
				fail_msg("%s, %zu bytes (seed %llu): providers differ",
					aead_suite_name(suites[s]), len, (unsigned long long)seed);
		}
	}
}

/* Each provider opens what the other sealed at odd addresses too: packets are not aligned. */
static void unaligned(void **state)
{
	uint8_t key[32] = {7}, nonce[12] = {9}, tag[16];

	(void)state;
	for (size_t s = 0; s < 2; s++) {
		for (size_t off = 0; off < 16; off++) {
			for (size_t i = 0; i < 2; i++) {
				struct aead *a, *b;

				if (!aead_available(suites[s], providers[i]) ||
					!aead_available(suites[s], providers[1 - i]))
					continue;
				a = aead_new(suites[s], providers[i], key);
				b = aead_new(suites[s], providers[1 - i], key);
				aead_seal(a, nonce, plain + off, 16, plain + off + 1, 1420,
					sealed[0] + off, tag);
				assert_int_equal(
					aead_open(b, nonce, plain + off, 16, sealed[0] + off, 1420,
						tag, opened + off + 3),
					0);
				assert_memory_equal(opened + off + 3, plain + off + 1, 1420);
				aead_free(a);
				aead_free(b);
			}
		}
	}
}

/* Open into a buffer full of rubbish; whatever fails must leave nothing of the text behind. */
static void must_refuse(const struct aead *a, const uint8_t *nonce, const uint8_t *aad,
	size_t aad_len, const uint8_t *ct, size_t len, const uint8_t *tag)
{
	memset(opened, 0xa5, len);
	assert_int_equal(aead_open(a, nonce, aad, aad_len, ct, len, tag, opened), ERR_AUTH);
	for (size_t i = 0; i + 8 <= len; i += 8)
		assert_memory_not_equal(opened + i, plain + i, 8);
}

static void tampering(enum wire_suite suite, enum aead_provider provider, size_t len)
{
	uint8_t key[32], nonce[12], aad[16], tag[16];
	struct aead *a;
	struct prng p;

	prng_seed(&p, len);
	fill(&p, key, sizeof(key));
	fill(&p, nonce, sizeof(nonce));
	fill(&p, aad, sizeof(aad));
	fill(&p, plain, len);
	a = aead_new(suite, provider, key);
	assert_non_null(a);
	aead_seal(a, nonce, aad, sizeof(aad), plain, len, sealed[0], tag);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		sealed[0][bit / 8] ^= (uint8_t)(1 << bit % 8);
		must_refuse(a, nonce, aad, sizeof(aad), sealed[0], len, tag);
		sealed[0][bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t bit = 0; bit < 128; bit++) {
		tag[bit / 8] ^= (uint8_t)(1 << bit % 8);
		must_refuse(a, nonce, aad, sizeof(aad), sealed[0], len, tag);
		tag[bit / 8] ^= (uint8_t)(1 << bit % 8);
		aad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		must_refuse(a, nonce, aad, sizeof(aad), sealed[0], len, tag);
		aad[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t bit = 0; bit < 96; bit++) {
		nonce[bit / 8] ^= (uint8_t)(1 << bit % 8);
		must_refuse(a, nonce, aad, sizeof(aad), sealed[0], len, tag);
		nonce[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	must_refuse(a, nonce, aad, sizeof(aad) - 1, sealed[0], len, tag);
	if (len > 0)
		must_refuse(a, nonce, aad, sizeof(aad), sealed[0], len - 1, tag);
	assert_int_equal(aead_open(a, nonce, aad, sizeof(aad), sealed[0], len, tag, opened), 0);
	aead_free(a);
}

static void tampering_fails(void **state)
{
	static const size_t lens[] = {0, 1, 15, 16, 17, 64, 100, 255};

	(void)state;
	for (size_t s = 0; s < 2; s++) {
		for (size_t i = 0; i < 2; i++) {
			if (!aead_available(suites[s], providers[i]))
				continue;
			for (size_t n = 0; n < sizeof(lens) / sizeof(lens[0]); n++)
				tampering(suites[s], providers[i], lens[n]);
		}
	}
}

/* A forged packet opened in place is zeroed, not half decrypted. */
static void forged_in_place(void **state)
{
	uint8_t key[32] = {1}, nonce[12] = {2}, tag[16] = {3}, buf[300];

	(void)state;
	for (size_t s = 0; s < 2; s++) {
		for (size_t i = 0; i < 2; i++) {
			struct aead *a;

			if (!aead_available(suites[s], providers[i]))
				continue;
			a = aead_new(suites[s], providers[i], key);
			memset(buf, 0x77, sizeof(buf));
			assert_int_equal(
				aead_open(a, nonce, NULL, 0, buf, sizeof(buf), tag, buf), ERR_AUTH);
			assert_true(all_zero(buf, sizeof(buf)));
			aead_free(a);
		}
	}
}

/* One expanded key, many threads (aead.h promises it). */
struct job {
	const struct aead *a;
	uint8_t id;
	unsigned bad;
};

static void *seal_and_open(void *arg)
{
	struct job *j = arg;
	uint8_t text[1420], buf[1420], nonce[12], tag[16];

	memset(text, j->id, sizeof(text));
	for (uint64_t n = 0; n < 3000; n++) {
		size_t len = 1 + n % sizeof(text);

		aead_data_nonce(nonce, j->id, n);
		aead_seal(j->a, nonce, nonce, 12, text, len, buf, tag);
		if (aead_open(j->a, nonce, nonce, 12, buf, len, tag, buf) != 0 ||
			memcmp(buf, text, len) != 0)
			j->bad++;
	}
	return NULL;
}

static void one_key_many_threads(void **state)
{
	uint8_t key[32] = {11};

	(void)state;
	for (size_t s = 0; s < 2; s++) {
		for (size_t i = 0; i < 2; i++) {
			struct job jobs[4];
			pthread_t threads[4];
			struct aead *a;

			if (!aead_available(suites[s], providers[i]))
				continue;
			a = aead_new(suites[s], providers[i], key);
			for (uint8_t t = 0; t < 4; t++) {
				jobs[t] = (struct job){a, t, 0};
				assert_int_equal(
					pthread_create(&threads[t], NULL, seal_and_open, &jobs[t]),
					0);
			}
			for (int t = 0; t < 4; t++) {
				pthread_join(threads[t], NULL);
				assert_int_equal(jobs[t].bad, 0);
			}
			aead_free(a);
		}
	}
}

static void names_and_offers(void **state)
{
	(void)state;
	assert_string_equal(aead_suite_name(WIRE_SUITE_AES_256_GCM), "aes-256-gcm");
	assert_string_equal(aead_suite_name(WIRE_SUITE_CHACHA20_POLY1305), "chacha20-poly1305");
	assert_string_equal(aead_suite_name((enum wire_suite)0), "none");
	assert_string_equal(aead_provider_name(AEAD_SODIUM), "libsodium");
	assert_string_equal(aead_provider_name(AEAD_IPSECMB), "libipsec-mb");
	assert_true(aead_fast_suites() & WIRE_SUITE_BIT(WIRE_SUITE_CHACHA20_POLY1305));
	assert_int_equal(!!(aead_fast_suites() & WIRE_SUITE_BIT(WIRE_SUITE_AES_256_GCM)),
		aead_available(WIRE_SUITE_AES_256_GCM, AEAD_AUTO));
	assert_false(aead_available((enum wire_suite)3, AEAD_AUTO));
	assert_null(aead_new((enum wire_suite)3, AEAD_AUTO, plain));
	assert_int_equal(aead_init(), 0);
	aead_free(NULL);
}

static void no_memory(void **state)
{
	uint8_t key[32] = {0};

	(void)state;
	FAULT_EACH(n)
	{
		struct aead *a = aead_new(WIRE_SUITE_CHACHA20_POLY1305, AEAD_AUTO, key);

		assert_int_equal(a == NULL, n == 1);
		aead_free(a);
	}
}

static void data_nonce(void **state)
{
	static const uint8_t want[12] = {5, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t nonce[12];

	(void)state;
	aead_data_nonce(nonce, 5, UINT64_C(0x0102030405060708));
	assert_memory_equal(nonce, want, 12);
}

static int setup(void **state)
{
	(void)state;
	return aead_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wycheproof_chacha),
		cmocka_unit_test(wycheproof_gcm),
		cmocka_unit_test(providers_agree),
		cmocka_unit_test(unaligned),
		cmocka_unit_test(tampering_fails),
		cmocka_unit_test(forged_in_place),
		cmocka_unit_test(one_key_many_threads),
		cmocka_unit_test(names_and_offers),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(data_nonce),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
