/* The Noise interpreter against public vectors of five patterns, and against itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>
#include "noise.h"
#include "vectors.h"
#include "weft/err.h"

#define E   NOISE_E
#define S   NOISE_S
#define EE  NOISE_EE
#define ES  NOISE_ES
#define SE  NOISE_SE
#define SS  NOISE_SS
#define PSK NOISE_PSK
#define END NOISE_END

struct pattern {
	const char *name;
	bool knows_rs; /* pre-message: <- s */
	unsigned messages;
	enum noise_token tokens[3][6];
};

static const struct pattern patterns[] = {
	{"Noise_IK_25519_ChaChaPoly_BLAKE2b", true, 2, {{E, ES, S, SS, END}, {E, EE, SE, END}}},
	{"Noise_XX_25519_ChaChaPoly_BLAKE2b", false, 3,
		{{E, END}, {E, EE, S, ES, END}, {S, SE, END}}},
	{"Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b", false, 2, {{PSK, E, END}, {E, EE, END}}},
	{"Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b", false, 3,
		{{E, END}, {E, EE, S, ES, END}, {S, SE, PSK, END}}},
	{"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b", true, 2,
		{{E, ES, S, SS, END}, {E, EE, SE, PSK, END}}},
};

/* One end of a vector: "init" or "resp". */
static void load_end(
	json_t *v, const char *who, bool initiator, const struct pattern *p, struct noise *n)
{
	uint8_t prologue[64], s_sk[32], s_pub[32], psk[32];
	char key[32];
	size_t prologue_len;
	json_t *psks;
	bool has_s, has_psk = false;

	snprintf(key, sizeof(key), "%s_prologue", who);
	prologue_len = vectors_hex(v, key, prologue, sizeof(prologue));
	snprintf(key, sizeof(key), "%s_static", who);
	has_s = json_object_get(v, key) != NULL;
	if (has_s) {
		vectors_hex(v, key, s_sk, sizeof(s_sk));
		crypto_scalarmult_base(s_pub, s_sk);
	}
	snprintf(key, sizeof(key), "%s_psks", who);
	psks = json_object_get(v, key);
	if (psks != NULL) {
		json_t *one = json_pack("{s:O}", "psk", json_array_get(psks, 0));

		vectors_hex(one, "psk", psk, sizeof(psk));
		json_decref(one);
		has_psk = true;
	}
	noise_init(n, p->name, initiator, prologue, prologue_len, has_s ? s_sk : NULL,
		has_s ? s_pub : NULL, has_psk ? psk : NULL);
	snprintf(key, sizeof(key), "%s_ephemeral", who);
	vectors_hex(v, key, n->e_sk, sizeof(n->e_sk));
	n->fixed_e = true;
	if (p->knows_rs) {
		if (initiator)
			vectors_hex(v, "init_remote_static", n->rs, sizeof(n->rs));
		noise_mix_hash(&n->sym, initiator ? n->rs : n->s_pub, 32);
	}
}

static void run_vector(json_t *v, const struct pattern *p)
{
	json_t *messages = json_object_get(v, "messages");
	struct noise ends[2];
	uint8_t want_h[64], payload[256], ct[512], out[512], got[256];
	uint8_t k[2][32], k2[2][32];
	uint64_t nonces[2] = {0, 0};

	load_end(v, "init", true, p, &ends[0]);
	load_end(v, "resp", false, p, &ends[1]);
	for (unsigned i = 0; i < json_array_size(messages); i++) {
		json_t *m = json_array_get(messages, i);
		size_t len = vectors_hex(m, "payload", payload, sizeof(payload));
		size_t ct_len = vectors_hex(m, "ciphertext", ct, sizeof(ct)), got_len;
		struct noise *from = &ends[i % 2], *to = &ends[1 - i % 2];

		if (i < p->messages) {
			struct wr w;
			struct rd r;

			wr_init(&w, out, sizeof(out));
			assert_int_equal(noise_write(from, p->tokens[i], payload, len, &w), 0);
			assert_int_equal(wr_len(&w), ct_len);
			assert_memory_equal(out, ct, ct_len);
			rd_init(&r, ct, ct_len);
			assert_int_equal(
				noise_read(to, p->tokens[i], &r, got, sizeof(got), &got_len), 0);
			assert_int_equal(got_len, len);
			assert_memory_equal(got, payload, len);
			continue;
		}
		if (i == p->messages) {
			noise_split(&ends[0].sym, k[0], k[1]);
			noise_split(&ends[1].sym, k2[0], k2[1]);
			assert_memory_equal(k, k2, sizeof(k));
		}
		/* Transport: who sends is still i % 2, under that side's key, counters from 0. */
		uint8_t nonce[12] = {0};
		unsigned dir = i % 2;

		nonce[4] = (uint8_t)nonces[dir]++;
		crypto_aead_chacha20poly1305_ietf_encrypt(
			out, NULL, payload, len, NULL, 0, NULL, nonce, k[dir]);
		assert_int_equal(ct_len, len + 16);
		assert_memory_equal(out, ct, ct_len);
	}
	vectors_hex(v, "handshake_hash", want_h, sizeof(want_h));
	assert_memory_equal(ends[0].sym.h, want_h, 64);
	assert_memory_equal(ends[1].sym.h, want_h, 64);
}

static void public_vectors(void **state)
{
	json_t *root = vectors_load("noise_25519_chachapoly_blake2b.json"), *v;
	unsigned done = 0;
	size_t i;

	(void)state;
	if (root == NULL)
		skip();
	json_array_foreach(json_object_get(root, "vectors"), i, v)
	{
		const char *name = vectors_str(v, "protocol_name");

		for (size_t p = 0; p < sizeof(patterns) / sizeof(patterns[0]); p++) {
			if (strcmp(name, patterns[p].name) == 0) {
				run_vector(v, &patterns[p]);
				done++;
			}
		}
	}
	json_decref(root);
	assert_int_equal(done, sizeof(patterns) / sizeof(patterns[0]));
}

/* What weft uses is the pattern that the vectors checked. */
static void weft_pattern_is_xxpsk3(void **state)
{
	(void)state;
	assert_string_equal(NOISE_NAME_WEFT, patterns[3].name);
	for (unsigned m = 0; m < 3; m++) {
		for (unsigned t = 0;; t++) {
			assert_int_equal(noise_xxpsk3[m][t], patterns[3].tokens[m][t]);
			if (noise_xxpsk3[m][t] == NOISE_END)
				break;
		}
	}
}

/* A name of up to 64 bytes is padded, a longer one hashed (Noise 5.2). */
static void protocol_names(void **state)
{
	char name[66];
	struct noise_sym s;
	uint8_t want[64];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[64] = 0;
	noise_sym_init(&s, name);
	assert_memory_equal(s.h, name, 64);
	name[64] = 'n';
	name[65] = 0;
	noise_sym_init(&s, name);
	crypto_generichash(want, 64, (const uint8_t *)name, 65, NULL, 0);
	assert_memory_equal(s.h, want, 64);
	assert_memory_equal(s.ck, want, 64);
	assert_false(s.has_key);
}

static void fresh_pair(struct noise *i, struct noise *r)
{
	uint8_t sk[2][32], pub[2][32], psk[32];

	randombytes_buf(sk, sizeof(sk));
	randombytes_buf(psk, sizeof(psk));
	crypto_scalarmult_base(pub[0], sk[0]);
	crypto_scalarmult_base(pub[1], sk[1]);
	noise_init(i, NOISE_NAME_WEFT, true, "p", 1, sk[0], pub[0], psk);
	noise_init(r, NOISE_NAME_WEFT, false, "p", 1, sk[1], pub[1], psk);
}

/* Every bit and every shorter prefix of every message. */
static void every_flip_and_prefix(void **state)
{
	struct noise ends[2];
	uint8_t msg[256], out[256];
	size_t out_len;

	(void)state;
	fresh_pair(&ends[0], &ends[1]);
	for (unsigned m = 0; m < 3; m++) {
		struct noise *from = &ends[m % 2], *to = &ends[1 - m % 2], copy;
		struct wr w;
		struct rd r;

		wr_init(&w, msg, sizeof(msg));
		assert_int_equal(
			noise_write(from, noise_xxpsk3[m], (const uint8_t *)"hello", 5, &w), 0);
		for (size_t bit = 0; bit < 8 * wr_len(&w); bit++) {
			copy = *to;
			msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
			rd_init(&r, msg, wr_len(&w));
			assert_int_equal(
				noise_read(&copy, noise_xxpsk3[m], &r, out, sizeof(out), &out_len),
				ERR_AUTH);
			msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (size_t len = 0; len < wr_len(&w); len++) {
			copy = *to;
			rd_init(&r, msg, len);
			assert_true(noise_read(&copy, noise_xxpsk3[m], &r, out, sizeof(out),
					    &out_len) < 0);
		}
		copy = *to;
		rd_init(&r, msg, wr_len(&w));
		assert_int_equal(
			noise_read(&copy, noise_xxpsk3[m], &r, out, 4, &out_len), ERR_RANGE);
		rd_init(&r, msg, wr_len(&w));
		assert_int_equal(
			noise_read(to, noise_xxpsk3[m], &r, out, sizeof(out), &out_len), 0);
		assert_int_equal(out_len, 5);
		assert_memory_equal(out, "hello", 5);
	}
}

/* A writer without room fails and writes nothing past its end. */
static void no_room(void **state)
{
	struct noise i, r;
	uint8_t buf[64], guard[64];

	(void)state;
	for (size_t cap = 0; cap < 32 + 5 + 16; cap++) {
		struct wr w;

		fresh_pair(&i, &r);
		memset(buf, 0xee, sizeof(buf));
		memset(guard, 0xee, sizeof(guard));
		wr_init(&w, buf, cap);
		assert_int_equal(noise_write(&i, noise_xxpsk3[0], (const uint8_t *)"hello", 5, &w),
			ERR_FULL);
		assert_memory_equal(buf + cap, guard, sizeof(buf) - cap);
	}
}

/* An ephemeral key of small order gives a zero DH, whatever our key: refused. */
static void small_order_e(void **state)
{
	struct noise i, r;
	uint8_t msg[32 + 16], out[256];
	size_t out_len;
	struct rd rd;
	struct wr w;

	(void)state;
	for (int one = 0; one < 2; one++) {
		fresh_pair(&i, &r);
		/* Build the INIT that somebody with the point 0 (or 1) as e would send. */
		memset(msg, 0, sizeof(msg));
		msg[0] = (uint8_t)one;
		noise_mix_hash(&i.sym, msg, 32);
		noise_mix_key(&i.sym, msg, 32);
		noise_encrypt_and_hash(&i.sym, NULL, 0, msg + 32);
		rd_init(&rd, msg, sizeof(msg));
		assert_int_equal(
			noise_read(&r, noise_xxpsk3[0], &rd, out, sizeof(out), &out_len), 0);
		wr_init(&w, out, sizeof(out));
		assert_int_equal(noise_write(&r, noise_xxpsk3[1], NULL, 0, &w), ERR_AUTH);
	}
}

/* Different psk, prologue or static key: message 3, 1, 2 fail, or the keys differ. */
static void disagreement(void **state)
{
	struct noise ends[2];
	uint8_t msg[256], out[256];
	size_t out_len;

	(void)state;
	fresh_pair(&ends[0], &ends[1]);
	ends[1].psk[0] ^= 1;
	for (unsigned m = 0; m < 3; m++) {
		struct wr w;
		struct rd r;

		wr_init(&w, msg, sizeof(msg));
		assert_int_equal(noise_write(&ends[m % 2], noise_xxpsk3[m], NULL, 0, &w), 0);
		rd_init(&r, msg, wr_len(&w));
		assert_int_equal(noise_read(&ends[1 - m % 2], noise_xxpsk3[m], &r, out, sizeof(out),
					 &out_len),
			m < 2 ? 0 : ERR_AUTH);
	}
}

static int setup(void **state)
{
	(void)state;
	return sodium_init() < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(public_vectors),
		cmocka_unit_test(weft_pattern_is_xxpsk3),
		cmocka_unit_test(protocol_names),
		cmocka_unit_test(every_flip_and_prefix),
		cmocka_unit_test(no_room),
		cmocka_unit_test(small_order_e),
		cmocka_unit_test(disagreement),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
