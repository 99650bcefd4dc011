/* hs_fixture.h - two nodes of one cluster and the steps of a handshake between them; for the two
 * handshake tests, behind cmocka.h. */
#ifndef WEFT_TEST_HS_FIXTURE_H
#define WEFT_TEST_HS_FIXTURE_H

#include <string.h>
#include <sodium.h>
#include "handshake.h"

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

static inline void make_identity(struct identity *id, uint8_t which)
{
	uint8_t seed[32];

	memset(seed, which, sizeof(seed));
	identity_from_seed(seed, id);
}

static inline void make_secret(struct secret_keys *keys, uint8_t which)
{
	struct secret s;

	memset(s.b, which, sizeof(s.b));
	secret_derive(&s, keys);
}

static inline int fresh(void **state)
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

static inline void do_init(unsigned secret)
{
	int len = handshake_init_write(
		&fx.hs, &fx.i, secret, INDEX_I, SECS, fx.init, sizeof(fx.init));

	assert_true(len > 0);
	fx.init_len = (size_t)len;
}

/* MAC1, INIT, RESP on the responder's side. The RESP's length or the first error. */
static inline int answer(const uint8_t *init, size_t len)
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

static inline void do_resp(void)
{
	int len = answer(fx.init, fx.init_len);

	assert_true(len > 0);
	fx.resp_len = (size_t)len;
}

static inline int read_resp(struct handshake *hs, const uint8_t *buf, size_t len)
{
	int secret = handshake_check_mac1(fx.i.secrets, fx.i.nsecrets, buf, len);

	return secret < 0 ? secret : handshake_resp_read(hs, &fx.i, (unsigned)secret, buf, len);
}

static inline void do_final(void)
{
	int len;

	assert_int_equal(read_resp(&fx.hs, fx.resp, fx.resp_len), 0);
	len = handshake_final_write(&fx.hs, &fx.i, fx.final, sizeof(fx.final), &fx.keys_i);
	assert_true(len > 0);
	fx.final_len = (size_t)len;
}

static inline int read_final_at(const uint8_t *buf, size_t len, ts_t now, struct hs_final *out)
{
	int secret = handshake_check_mac1(fx.r.secrets, fx.r.nsecrets, buf, len);

	if (secret < 0)
		return secret;
	return handshake_final_read(&fx.r, &fx.seal, now, LIFE, (unsigned)secret, buf, len, out);
}

static inline int read_final(const uint8_t *buf, size_t len, struct hs_final *out)
{
	return read_final_at(buf, len, ts_add(T0, DUR_MS(50)), out);
}

static inline void do_all(void)
{
	do_init(0);
	do_resp();
	do_final();
	assert_int_equal(read_final(fx.final, fx.final_len, &fx.out), 0);
}

/* Put a right MAC1 on a message that was tampered with: what a member of the cluster could do. */
static inline void remac(uint8_t *buf, size_t len, size_t behind)
{
	size_t covered = len - behind - HS_MAC;

	crypto_generichash(buf + covered, HS_MAC, buf, covered, fx.secrets[0].mac1, 32);
}

#endif
