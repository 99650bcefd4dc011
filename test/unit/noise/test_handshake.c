/* The handshake's three messages: agreement, every flip and prefix, strangers, liars, old states.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>
#include "aead.h"
#include "cookie.h"
#include "handshake.h"
#include "weft/err.h"

#define GCM    WIRE_SUITE_BIT(WIRE_SUITE_AES_256_GCM)
#define CHACHA WIRE_SUITE_BIT(WIRE_SUITE_CHACHA20_POLY1305)
#define T0     ((ts_t){UINT64_C(5000000000)})
#define LIFE   DUR_SEC(20)

/* Two nodes of one cluster, and what passes between them. */
struct fx {
	struct identity id_i, id_r;
	struct secret_keys secrets[LIM_SECRETS];
	struct hs_cfg i, r;
	struct hs_seal seal;
	struct handshake hs;
	uint8_t init[WIRE_CONTROL_MAX], resp[WIRE_CONTROL_MAX], final[WIRE_CONTROL_MAX];
	size_t init_len, resp_len, final_len;
	struct hs_keys keys_i;
	struct hs_final out;
};

#define INDEX_I 0x11223344u
#define INDEX_R 0xa1b2c3d4u
#define SECS    UINT64_C(1760000000)

static struct fx fx;

static void make_identity(struct identity *id, uint8_t which)
{
	uint8_t seed[32];

	memset(seed, which, sizeof(seed));
	identity_from_seed(seed, id);
}

static void make_secret(struct secret_keys *keys, uint8_t which)
{
	struct secret s;

	memset(s.b, which, sizeof(s.b));
	secret_derive(&s, keys);
}

static int fresh(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	make_identity(&fx.id_i, 1);
	make_identity(&fx.id_r, 2);
	make_secret(&fx.secrets[0], 7);
	fx.i = (struct hs_cfg){&fx.id_i, fx.secrets, 1, GCM | CHACHA, 3, 0x0102, NULL, 0};
	fx.r = (struct hs_cfg){&fx.id_r, fx.secrets, 1, GCM | CHACHA, 5, 0x0304, NULL, 0};
	handshake_seal_init(&fx.seal);
	return 0;
}

static void do_init(unsigned secret)
{
	int len = handshake_init_write(
		&fx.hs, &fx.i, secret, INDEX_I, SECS, fx.init, sizeof(fx.init));

	assert_true(len > 0);
	fx.init_len = (size_t)len;
}

/* MAC1, INIT, RESP on the responder's side. The RESP's length or the first error. */
static int answer(const uint8_t *init, size_t len)
{
	struct hs_init in;
	int secret, err;

	secret = handshake_check_mac1(fx.r.secrets, fx.r.nsecrets, init, len);
	if (secret < 0)
		return secret;
	err = handshake_init_read(&fx.r, (unsigned)secret, init, len, &in);
	if (err != 0)
		return err;
	return handshake_resp_write(&fx.r, &in, &fx.seal, INDEX_R, T0, fx.resp, sizeof(fx.resp));
}

static void do_resp(void)
{
	int len = answer(fx.init, fx.init_len);

	assert_true(len > 0);
	fx.resp_len = (size_t)len;
}

static int read_resp(struct handshake *hs, const uint8_t *buf, size_t len)
{
	int secret = handshake_check_mac1(fx.i.secrets, fx.i.nsecrets, buf, len);

	return secret < 0 ? secret : handshake_resp_read(hs, &fx.i, (unsigned)secret, buf, len);
}

static void do_final(void)
{
	int len;

	assert_int_equal(read_resp(&fx.hs, fx.resp, fx.resp_len), 0);
	len = handshake_final_write(&fx.hs, &fx.i, fx.final, sizeof(fx.final), &fx.keys_i);
	assert_true(len > 0);
	fx.final_len = (size_t)len;
}

static int read_final_at(const uint8_t *buf, size_t len, ts_t now, struct hs_final *out)
{
	int secret = handshake_check_mac1(fx.r.secrets, fx.r.nsecrets, buf, len);

	if (secret < 0)
		return secret;
	return handshake_final_read(&fx.r, &fx.seal, now, LIFE, (unsigned)secret, buf, len, out);
}

static int read_final(const uint8_t *buf, size_t len, struct hs_final *out)
{
	return read_final_at(buf, len, ts_add(T0, DUR_MS(50)), out);
}

static void do_all(void)
{
	do_init(0);
	do_resp();
	do_final();
	assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), 0);
}

/* Put a right MAC1 on a message that was tampered with: what a member of the cluster could do. */
static void remac(uint8_t *buf, size_t len, size_t behind)
{
	size_t covered = len - behind - HS_MAC;

	crypto_generichash(buf + covered, HS_MAC, buf, covered, fx.secrets[0].mac1, 32);
}

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
		cmocka_unit_test_setup(both_agree, fresh),
		cmocka_unit_test_setup(what_init_says, fresh),
		cmocka_unit_test_setup(suites_are_agreed, fresh),
		cmocka_unit_test_setup(keys_carry_packets, fresh),
		cmocka_unit_test_setup(trailing_bytes, fresh),
		cmocka_unit_test_setup(never_amplifies, fresh),
		cmocka_unit_test_setup(buffers_too_small, fresh),
		cmocka_unit_test_setup(init_flips_and_prefixes, fresh),
		cmocka_unit_test_setup(init_flips_with_mac1, fresh),
		cmocka_unit_test_setup(resp_flips_and_prefixes, fresh),
		cmocka_unit_test_setup(resp_state_flips, fresh),
		cmocka_unit_test_setup(final_flips_and_prefixes, fresh),
		cmocka_unit_test_setup(mac1_shapes, fresh),
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
		cmocka_unit_test_setup(init_by_hand, fresh),
		cmocka_unit_test_setup(known_answer, fresh),
		cmocka_unit_test_setup(suite_games, fresh),
		cmocka_unit_test_setup(keys_differ_by_suite, fresh),
		cmocka_unit_test_setup(sealed_before_our_start, fresh),
		cmocka_unit_test_setup(state_age, fresh),
		cmocka_unit_test_setup(swapped_states, fresh),
		cmocka_unit_test_setup(repeats_and_ids, fresh),
		cmocka_unit_test_setup(identities_are_hidden, fresh),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
