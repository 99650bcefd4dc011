/* The handshake as a whole: agreement, strangers, liars, old states. Its bytes are the matter of
 * test_handshake_bytes.c. */
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

static void both_agree(void **state)
{
	uint8_t token[HS_TOKEN], zero[32] = {0};

	(void)state;
	do_all();
	assert_int_equal(fx.init_len, HS_INIT_MIN);
	assert_int_equal(fx.resp_len, HS_RESP_MIN);
	assert_int_equal(fx.final_len, HS_FINAL_MIN);
	assert_true(node_key_eq(&fx.hs.peer.key, &fx.id_r.pub));
	assert_true(node_key_eq(&fx.out.peer.key, &fx.id_i.pub));
	assert_memory_equal(fx.hs.peer.x25519, fx.id_r.x_pub, 32);
	assert_memory_equal(fx.out.peer.x25519, fx.id_i.x_pub, 32);
	assert_int_equal(fx.hs.peer.index, INDEX_R);
	assert_int_equal(fx.out.peer.index, INDEX_I);
	assert_int_equal(fx.out.local_index, INDEX_R);
	assert_int_equal(fx.hs.peer.lanes, 5);
	assert_int_equal(fx.out.peer.lanes, 3);
	assert_int_equal(fx.hs.peer.flags, 0x0304);
	assert_int_equal(fx.out.peer.flags, 0x0102);
	assert_int_equal(fx.out.created.ns, T0.ns);
	assert_int_equal(fx.out.secret, 0);
	assert_int_equal(fx.hs.suite, WIRE_SUITE_AES_256_GCM);
	assert_int_equal(fx.keys_i.suite, WIRE_SUITE_AES_256_GCM);
	assert_int_equal(fx.out.keys.suite, WIRE_SUITE_AES_256_GCM);
	assert_memory_equal(fx.keys_i.tx, fx.out.keys.rx, 32);
	assert_memory_equal(fx.keys_i.rx, fx.out.keys.tx, 32);
	assert_memory_not_equal(fx.keys_i.tx, fx.keys_i.rx, 32);
	assert_memory_not_equal(fx.keys_i.tx, zero, 32);
	reset_token(fx.id_r.reset_key, INDEX_R, token);
	assert_true(reset_token_eq(token, fx.hs.peer.reset_token));
	reset_token(fx.id_i.reset_key, INDEX_I, token);
	assert_true(reset_token_eq(token, fx.out.peer.reset_token));
}

static void what_init_says(void **state)
{
	struct hs_init in;

	(void)state;
	do_init(0);
	assert_int_equal(handshake_init_read(&fx.r, 0, fx.init, fx.init_len, &in), 0);
	assert_int_equal(in.index, INDEX_I);
	assert_int_equal(in.unix_secs, SECS);
	assert_int_equal(in.suites, GCM | CHACHA);
	assert_int_equal(in.lanes, 3);
	assert_int_equal(in.len, fx.init_len);
	assert_memory_equal(fx.hs.init_mac1, fx.init + fx.init_len - 2 * HS_MAC, HS_MAC);
	/* It says that it holds no secret. */
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(in.noise.s_sk[i] | in.noise.psk[i] | in.noise.e_sk[i], 0);
}

static void suites_are_agreed(void **state)
{
	static const struct {
		unsigned i, r, want;
	} rows[] = {
		{GCM | CHACHA, GCM | CHACHA, WIRE_SUITE_AES_256_GCM},
		{CHACHA, GCM | CHACHA, WIRE_SUITE_CHACHA20_POLY1305},
		{GCM | CHACHA, CHACHA, WIRE_SUITE_CHACHA20_POLY1305},
		{CHACHA, CHACHA, WIRE_SUITE_CHACHA20_POLY1305},
		{GCM, GCM, WIRE_SUITE_AES_256_GCM},
		{0xff, CHACHA | 0x40, WIRE_SUITE_CHACHA20_POLY1305}, /* bits of the future */
		{GCM, CHACHA, 0},
		{0x40, 0x40, 0},
	};

	for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		fresh(state);
		fx.i.suites = rows[n].i;
		fx.r.suites = rows[n].r;
		if (rows[n].want == 0) {
			do_init(0);
			assert_int_equal(answer(fx.init, fx.init_len), ERR_UNSUPPORTED);
			continue;
		}
		do_all();
		assert_int_equal(fx.keys_i.suite, rows[n].want);
		assert_int_equal(fx.out.keys.suite, rows[n].want);
		assert_memory_equal(fx.keys_i.tx, fx.out.keys.rx, 32);
	}
}

/* The keys really carry a packet, in both directions, with the agreed suite. */
static void keys_carry_packets(void **state)
{
	uint8_t nonce[12], text[100] = "inner packet", buf[100], tag[16];
	struct aead *tx, *rx;

	(void)state;
	do_all();
	tx = aead_new(fx.out.keys.suite, AEAD_AUTO, fx.out.keys.tx);
	rx = aead_new(fx.keys_i.suite, AEAD_AUTO, fx.keys_i.rx);
	assert_non_null(tx);
	assert_non_null(rx);
	aead_data_nonce(nonce, 0, 0);
	aead_seal(tx, nonce, NULL, 0, text, sizeof(text), buf, tag);
	assert_int_equal(aead_open(rx, nonce, NULL, 0, buf, sizeof(buf), tag, buf), 0);
	assert_memory_equal(buf, text, sizeof(text));
	aead_free(tx);
	aead_free(rx);
}

static void trailing_bytes(void **state)
{
	uint8_t ext_i[HS_EXT_MAX], ext_r[HS_EXT_MAX];

	(void)state;
	memset(ext_i, 0x1c, sizeof(ext_i));
	memset(ext_r, 0x2c, sizeof(ext_r));
	fx.i.ext = ext_i;
	fx.i.ext_len = sizeof(ext_i);
	fx.r.ext = ext_r;
	fx.r.ext_len = 400;
	do_all();
	assert_true(fx.init_len <= WIRE_CONTROL_MAX && fx.final_len <= WIRE_CONTROL_MAX);
	assert_int_equal(fx.final_len, HS_FINAL_MAX);
	assert_int_equal(fx.resp_len, HS_RESP_MIN + 400);
	assert_int_equal(fx.hs.peer.ext_len, 400);
	assert_memory_equal(fx.hs.peer.ext, ext_r, 400);
	assert_int_equal(fx.out.peer.ext_len, HS_EXT_MAX);
	assert_memory_equal(fx.out.peer.ext, ext_i, HS_EXT_MAX);
}

/* A RESP that would be longer than the INIT it answers is not sent. */
static void never_amplifies(void **state)
{
	uint8_t ext[HS_EXT_MAX] = {0};

	(void)state;
	do_init(0);
	fx.r.ext = ext;
	fx.r.ext_len = 1;
	assert_int_equal(answer(fx.init, fx.init_len), ERR_FULL);
	fx.i.ext = ext;
	fx.i.ext_len = 1; /* now our INIT is padded for it */
	do_init(0);
	assert_int_equal(answer(fx.init, fx.init_len), fx.init_len);
}

static void buffers_too_small(void **state)
{
	struct hs_init in;

	(void)state;
	assert_int_equal(
		handshake_init_write(&fx.hs, &fx.i, 0, 1, 1, fx.init, HS_INIT_MIN - 1), ERR_FULL);
	do_init(0);
	assert_int_equal(handshake_init_read(&fx.r, 0, fx.init, fx.init_len, &in), 0);
	assert_int_equal(
		handshake_resp_write(&fx.r, &in, &fx.seal, 1, T0, fx.resp, HS_RESP_MIN - 1),
		ERR_FULL);
	assert_int_equal(
		handshake_final_write(&fx.hs, &fx.i, fx.final, sizeof(fx.final), &fx.keys_i),
		ERR_STATE);
	do_resp();
	do_final();
	assert_int_equal(
		handshake_final_write(&fx.hs, &fx.i, fx.final, HS_FINAL_MIN - 1, &fx.keys_i),
		ERR_FULL);
}

static void wrong_secret(void **state)
{
	struct secret_keys other;

	(void)state;
	make_secret(&other, 9);
	do_init(0);
	fx.r.secrets = &other;
	assert_int_equal(answer(fx.init, fx.init_len), ERR_AUTH);
}

/* The same MAC1 key, another psk: message 3 is where it shows, and no keys come of it. */
static void wrong_psk(void **state)
{
	struct secret_keys other = fx.secrets[0];

	(void)state;
	other.psk[31] ^= 1;
	fx.r.secrets = &other;
	do_init(0);
	do_resp();
	do_final();
	assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), ERR_AUTH);
}

/* The other cluster's secret is the third of our eight, and the first of theirs. */
static void secret_two_of_eight(void **state)
{
	struct secret_keys theirs;

	(void)state;
	for (unsigned n = 0; n < LIM_SECRETS; n++)
		make_secret(&fx.secrets[n], (uint8_t)(20 + n));
	make_secret(&theirs, 22);
	fx.r.nsecrets = LIM_SECRETS;
	fx.i.secrets = &theirs;
	do_init(0);
	assert_int_equal(handshake_check_mac1(fx.secrets, LIM_SECRETS, fx.init, fx.init_len), 2);
	do_resp();
	do_final();
	assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), 0);
	assert_int_equal(fx.out.secret, 2);
	assert_memory_equal(fx.keys_i.tx, fx.out.keys.rx, 32);
	/* A FINAL or RESP under another secret than the handshake's is no part of it. */
	assert_int_equal(
		handshake_final_read(&fx.r, &fx.seal, T0, LIFE, 1, fx.final, fx.final_len, &fx.out),
		ERR_AUTH);
	do_init(0);
	do_resp();
	assert_int_equal(handshake_resp_read(&fx.hs, &fx.i, 1, fx.resp, fx.resp_len), ERR_AUTH);
}

/* Messages given to the reader of another message, and an initiator's own INIT sent back to it. */
static void wrong_role(void **state)
{
	uint8_t as[WIRE_CONTROL_MAX];
	struct hs_init in;

	(void)state;
	do_init(0);
	do_resp();
	memcpy(as, fx.init, fx.init_len);
	as[0] = WIRE_TYPE_BYTE(WIRE_RESP);
	remac(as, fx.init_len, 0);
	assert_true(read_resp(&fx.hs, as, fx.init_len) < 0);
	memcpy(as, fx.resp, fx.resp_len);
	as[0] = WIRE_TYPE_BYTE(WIRE_INIT);
	remac(as, fx.resp_len, HS_MAC);
	assert_int_equal(handshake_init_read(&fx.i, 0, as, fx.resp_len, &in), ERR_AUTH);
	do_final();
	memcpy(as, fx.final, fx.final_len);
	as[0] = WIRE_TYPE_BYTE(WIRE_RESP);
	assert_true(read_resp(&fx.hs, as, fx.final_len) < 0);
	/* A FINAL sent to the initiator: sealed by nobody it knows. */
	struct hs_seal own;

	handshake_seal_init(&own);
	assert_int_equal(
		handshake_final_read(&fx.i, &own, T0, LIFE, 0, fx.final, fx.final_len, &fx.out),
		ERR_AUTH);
}

static void wrong_index(void **state)
{
	(void)state;
	do_init(0);
	do_resp();
	fx.hs.local_index++;
	assert_int_equal(read_resp(&fx.hs, fx.resp, fx.resp_len), ERR_NOT_FOUND);
	fx.hs.local_index--;
	assert_int_equal(read_resp(&fx.hs, fx.resp, fx.resp_len), 0);
	assert_int_equal(read_resp(&fx.hs, fx.resp, fx.resp_len), ERR_STATE);
}

/* A RESP to another INIT of the same initiator. */
static void resp_of_another_init(void **state)
{
	uint8_t old[WIRE_CONTROL_MAX];
	size_t old_len;

	(void)state;
	do_init(0);
	do_resp();
	memcpy(old, fx.resp, fx.resp_len);
	old_len = fx.resp_len;
	do_init(0); /* the same index, a fresh ephemeral */
	assert_int_equal(read_resp(&fx.hs, old, old_len), ERR_AUTH);
	do_resp();
	do_final();
	assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), 0);
}

/* Somebody who knows the secret claims an Ed25519 key that isn't his. */
static void identity_mismatch(void **state)
{
	struct identity liar;

	(void)state;
	make_identity(&liar, 3);
	liar.pub = fx.id_r.pub;
	do_init(0);
	fx.r.id = &liar; /* X25519 keys of its own, another's Ed25519 key */
	do_resp();
	assert_int_equal(read_resp(&fx.hs, fx.resp, fx.resp_len), ERR_AUTH);

	fresh(state);
	make_identity(&liar, 3);
	liar.pub = fx.id_i.pub;
	fx.i.id = &liar;
	do_init(0);
	do_resp();
	do_final();
	assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), ERR_AUTH);
}

/* Keys that no honest node has: not canonical, small order, not on the curve. */
static void bad_ed25519_keys(void **state)
{
	static const uint8_t bad[][32] = {
		{0}, /* y = 0: order 4 */
		{1}, /* the neutral element */
		/* y = p: 0, not canonical */
		{0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		/* y = p + 1 with the sign bit: the neutral element, not canonical twice over */
		{0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{2}, /* y = 2: not on the curve */
	};

	for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
		struct identity liar;

		fresh(state);
		liar = fx.id_i;
		memcpy(liar.pub.b, bad[n], 32);
		fx.i.id = &liar;
		do_init(0);
		do_resp();
		do_final();
		assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), ERR_AUTH);

		fresh(state);
		liar = fx.id_r;
		memcpy(liar.pub.b, bad[n], 32);
		fx.r.id = &liar;
		do_init(0);
		do_resp();
		assert_int_equal(read_resp(&fx.hs, fx.resp, fx.resp_len), ERR_AUTH);
	}
}

/* A static X25519 key that no Ed25519 key gives: u of small order as Noise's s. */
static void small_order_s(void **state)
{
	struct identity liar = fx.id_i;

	(void)state;
	memset(liar.x_pub, 0, sizeof(liar.x_pub));
	fx.i.id = &liar;
	do_init(0);
	do_resp();
	do_final();
	assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), ERR_AUTH);
}

static void bad_lane_counts(void **state)
{
	static const uint8_t bad[] = {0, LIM_LANES + 1, 255};

	for (size_t n = 0; n < sizeof(bad); n++) {
		fresh(state);
		do_init(0);
		fx.r.lanes = bad[n];
		do_resp();
		assert_int_equal(read_resp(&fx.hs, fx.resp, fx.resp_len), ERR_MALFORMED);

		fresh(state);
		do_init(0);
		do_resp();
		fx.i.lanes = bad[n];
		do_final();
		assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), ERR_MALFORMED);
	}
}

/* A responder that picks what was not offered, and an initiator that forgets what was picked. */
static void suite_games(void **state)
{
	(void)state;
	fx.i.suites = CHACHA;
	do_init(0);
	fx.hs.suites = GCM; /* as if we had offered only this */
	do_resp();
	assert_int_equal(read_resp(&fx.hs, fx.resp, fx.resp_len), ERR_UNSUPPORTED);

	fresh(state);
	do_init(0);
	do_resp();
	assert_int_equal(read_resp(&fx.hs, fx.resp, fx.resp_len), 0);
	fx.hs.suite = WIRE_SUITE_CHACHA20_POLY1305;
	fx.final_len = (size_t)handshake_final_write(
		&fx.hs, &fx.i, fx.final, sizeof(fx.final), &fx.keys_i);
	assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), ERR_AUTH);
}

/* One Split under two suites gives unrelated keys. */
static void keys_differ_by_suite(void **state)
{
	struct hs_keys gcm, chacha;

	(void)state;
	do_init(0);
	do_resp();
	assert_int_equal(read_resp(&fx.hs, fx.resp, fx.resp_len), 0);
	assert_true(handshake_final_write(&fx.hs, &fx.i, fx.final, sizeof(fx.final), &gcm) > 0);
	fx.hs.suite = WIRE_SUITE_CHACHA20_POLY1305;
	assert_true(handshake_final_write(&fx.hs, &fx.i, fx.final, sizeof(fx.final), &chacha) > 0);
	assert_memory_not_equal(gcm.tx, chacha.tx, 32);
	assert_memory_not_equal(gcm.rx, chacha.rx, 32);
}

static void sealed_before_our_start(void **state)
{
	(void)state;
	do_init(0);
	do_resp();
	do_final();
	handshake_seal_init(&fx.seal);
	assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), ERR_AUTH);
}

static void state_age(void **state)
{
	(void)state;
	do_init(0);
	do_resp();
	do_final();
	assert_int_equal(
		read_final_at(fx.final, fx.final_len, ts_add(T0, LIFE), &fx.out), ERR_STALE);
	assert_int_equal(read_final_at(fx.final, fx.final_len, ts_add(T0, DUR_SEC(9000)), &fx.out),
		ERR_STALE);
	assert_int_equal(
		read_final_at(fx.final, fx.final_len, ts_add(T0, DUR_NS(-1)), &fx.out), ERR_STALE);
	assert_int_equal(
		read_final_at(fx.final, fx.final_len, ts_add(T0, DUR_NS(LIFE.ns - 1)), &fx.out), 0);
	assert_int_equal(read_final_at(fx.final, fx.final_len, T0, &fx.out), 0);
}

/* Two handshakes with one responder; the state of one with the rest of the other. */
static void swapped_states(void **state)
{
	uint8_t first[WIRE_CONTROL_MAX];

	(void)state;
	do_init(0);
	do_resp();
	do_final();
	memcpy(first, fx.final, fx.final_len);
	do_init(0);
	do_resp();
	do_final();
	memcpy(fx.final + 8, first + 8, HS_STATE_LEN);
	remac(fx.final, fx.final_len, 0);
	assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), ERR_AUTH);
	assert_int_equal(read_final(first, fx.final_len, &fx.out), 0);
}

/* FINAL is the same each time; each RESP has an id of its own, which FINAL shows before any DH. */
static void repeats_and_ids(void **state)
{
	uint8_t again[WIRE_CONTROL_MAX], id[HS_STATE_ID], first_id[HS_STATE_ID];
	struct hs_keys keys;
	struct hs_final out;

	(void)state;
	do_all();
	assert_int_equal(
		handshake_final_write(&fx.hs, &fx.i, again, sizeof(again), &keys), fx.final_len);
	assert_memory_equal(again, fx.final, fx.final_len);
	assert_memory_equal(keys.tx, fx.keys_i.tx, 32);
	/* Read twice it says the same twice: the id is how the caller tells. */
	assert_int_equal(read_final(again, fx.final_len, &out), 0);
	assert_memory_equal(out.state_id, fx.out.state_id, HS_STATE_ID);
	assert_int_equal(handshake_final_peek(fx.final, fx.final_len, id), 0);
	assert_memory_equal(id, fx.out.state_id, HS_STATE_ID);
	assert_int_equal(handshake_final_peek(fx.final, HS_FINAL_MIN - 1, id), ERR_TRUNCATED);
	memcpy(first_id, id, sizeof(id));
	/* The same INIT answered again: another state, another id, other keys. */
	do_resp();
	fx.hs.have_resp = false;
	do_init(0);
	do_resp();
	do_final();
	assert_int_equal(handshake_final_peek(fx.final, fx.final_len, id), 0);
	assert_memory_not_equal(id, first_id, HS_STATE_ID);
	assert_memory_not_equal(fx.keys_i.tx, keys.tx, 32);
}

static int setup(void **state)
{
	(void)state;
	return aead_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(both_agree, fresh),
		cmocka_unit_test_setup(what_init_says, fresh),
		cmocka_unit_test_setup(suites_are_agreed, fresh),
		cmocka_unit_test_setup(keys_carry_packets, fresh),
		cmocka_unit_test_setup(trailing_bytes, fresh),
		cmocka_unit_test_setup(never_amplifies, fresh),
		cmocka_unit_test_setup(buffers_too_small, fresh),
		cmocka_unit_test_setup(wrong_secret, fresh),
		cmocka_unit_test_setup(wrong_psk, fresh),
		cmocka_unit_test_setup(secret_two_of_eight, fresh),
		cmocka_unit_test_setup(wrong_role, fresh),
		cmocka_unit_test_setup(wrong_index, fresh),
		cmocka_unit_test_setup(resp_of_another_init, fresh),
		cmocka_unit_test_setup(identity_mismatch, fresh),
		cmocka_unit_test_setup(bad_ed25519_keys, fresh),
		cmocka_unit_test_setup(small_order_s, fresh),
		cmocka_unit_test_setup(bad_lane_counts, fresh),
		cmocka_unit_test_setup(suite_games, fresh),
		cmocka_unit_test_setup(keys_differ_by_suite, fresh),
		cmocka_unit_test_setup(sealed_before_our_start, fresh),
		cmocka_unit_test_setup(state_age, fresh),
		cmocka_unit_test_setup(swapped_states, fresh),
		cmocka_unit_test_setup(repeats_and_ids, fresh),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
