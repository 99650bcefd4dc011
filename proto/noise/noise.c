/* The Noise framework (revision 34) as far as weft needs it.
 *
 * Parts: HKDF over HMAC-BLAKE2b; the symmetric state (chaining key ck, transcript hash h, cipher
 * key k with its counter n); and an interpreter that runs one line of a message pattern, token by
 * token, for writing or for reading. handshake.c says what goes into weft's messages; the tests run
 * public vectors of other patterns through the same interpreter.
 *
 * Data in: own keys, the peer's messages through a bounded reader. Data out: messages through a
 * bounded writer, payloads, and two transport keys from noise_split().
 *
 * States: a struct noise has gone through so many messages; the caller knows how many and names the
 * tokens of the next. After an error a struct noise is of no use any more, so a caller who must
 * survive forged messages reads into a copy. noise_sym functions change nothing when they fail.
 *
 * Bounds: no allocation; payloads are as long as the caller's buffers. Failure: a message that does
 * not fit or does not verify. DH results of zero, which small-order keys give, are refused even
 * though Noise leaves that open: weft's contributory checks then don't depend on the payload. */
#include "noise.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>
#include "weft/err.h"

const enum noise_token noise_xxpsk3[3][5] = {
	{NOISE_E, NOISE_END},                              /* -> e */
	{NOISE_E, NOISE_EE, NOISE_S, NOISE_ES, NOISE_END}, /* <- e, ee, s, es */
	{NOISE_S, NOISE_SE, NOISE_PSK, NOISE_END},         /* -> s, se, psk */
};

/* HMAC (RFC 2104) with BLAKE2b as a plain hash of 64 bytes and blocks of 128; BLAKE2b's own keyed
 * mode is not what Noise 4.3 asks for. @key is never longer than a block here. */
static void hmac(const uint8_t key[NOISE_HASHLEN], const void *a, size_t a_len, const void *b,
	size_t b_len, uint8_t out[NOISE_HASHLEN])
{
	crypto_generichash_state st;
	uint8_t pad[NOISE_BLOCKLEN], inner[NOISE_HASHLEN];

	memset(pad, 0x36, sizeof(pad));
	for (size_t i = 0; i < NOISE_HASHLEN; i++)
		pad[i] ^= key[i];
	crypto_generichash_init(&st, NULL, 0, NOISE_HASHLEN);
	crypto_generichash_update(&st, pad, sizeof(pad));
	if (a_len > 0)
		crypto_generichash_update(&st, a, a_len);
	if (b_len > 0)
		crypto_generichash_update(&st, b, b_len);
	crypto_generichash_final(&st, inner, sizeof(inner));

	for (size_t i = 0; i < NOISE_BLOCKLEN; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	crypto_generichash_init(&st, NULL, 0, NOISE_HASHLEN);
	crypto_generichash_update(&st, pad, sizeof(pad));
	crypto_generichash_update(&st, inner, sizeof(inner));
	crypto_generichash_final(&st, out, NOISE_HASHLEN);

	sodium_memzero(&st, sizeof(st));
	sodium_memzero(pad, sizeof(pad));
	sodium_memzero(inner, sizeof(inner));
}

void noise_hkdf(const uint8_t ck[NOISE_HASHLEN], const void *ikm, size_t len,
	uint8_t out1[NOISE_HASHLEN], uint8_t out2[NOISE_HASHLEN], uint8_t out3[NOISE_HASHLEN])
{
	uint8_t temp[NOISE_HASHLEN];

	/* @ck may be @out1: it is not read after this line. */
	hmac(ck, ikm, len, NULL, 0, temp);
	hmac(temp, "\x01", 1, NULL, 0, out1);
	hmac(temp, out1, NOISE_HASHLEN, "\x02", 1, out2);
	if (out3 != NULL)
		hmac(temp, out2, NOISE_HASHLEN, "\x03", 1, out3);
	sodium_memzero(temp, sizeof(temp));
}

static void sym_set_key(struct noise_sym *s, const uint8_t k[NOISE_HASHLEN])
{
	memcpy(s->k, k, sizeof(s->k)); /* HASHLEN is 64: truncated to 32 (Noise 5.2) */
	s->n = 0;
	s->has_key = true;
}

void noise_sym_init(struct noise_sym *s, const char *name)
{
	size_t len = strlen(name);

	memset(s, 0, sizeof(*s));
	if (len <= NOISE_HASHLEN)
		memcpy(s->h, name, len);
	else
		crypto_generichash(s->h, NOISE_HASHLEN, (const uint8_t *)name, len, NULL, 0);
	memcpy(s->ck, s->h, NOISE_HASHLEN);
}

void noise_mix_hash(struct noise_sym *s, const void *data, size_t len)
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, NOISE_HASHLEN);
	crypto_generichash_update(&st, s->h, NOISE_HASHLEN);
	if (len > 0)
		crypto_generichash_update(&st, data, len);
	crypto_generichash_final(&st, s->h, NOISE_HASHLEN);
}

void noise_mix_key(struct noise_sym *s, const void *ikm, size_t len)
{
	uint8_t k[NOISE_HASHLEN];

	noise_hkdf(s->ck, ikm, len, s->ck, k, NULL);
	sym_set_key(s, k);
	sodium_memzero(k, sizeof(k));
}

void noise_mix_key_and_hash(struct noise_sym *s, const void *ikm, size_t len)
{
	uint8_t h[NOISE_HASHLEN], k[NOISE_HASHLEN];

	noise_hkdf(s->ck, ikm, len, s->ck, h, k);
	noise_mix_hash(s, h, sizeof(h));
	sym_set_key(s, k);
	sodium_memzero(h, sizeof(h));
	sodium_memzero(k, sizeof(k));
}

/* ChaChaPoly's nonce: 32 zero bits, then n in little-endian order (Noise 12.3). */
static void chacha_nonce(uint64_t n, uint8_t nonce[12])
{
	memset(nonce, 0, 4);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(n >> (8 * i));
}

void noise_encrypt_and_hash(struct noise_sym *s, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t nonce[12];

	if (s->has_key) {
		assert(s->n != UINT64_MAX);
		chacha_nonce(s->n++, nonce);
		crypto_aead_chacha20poly1305_ietf_encrypt(
			out, NULL, in, len, s->h, NOISE_HASHLEN, NULL, nonce, s->k);
		len += NOISE_TAGLEN;
	} else if (len > 0) {
		memcpy(out, in, len);
	}
	noise_mix_hash(s, out, len);
}

int noise_decrypt_and_hash(struct noise_sym *s, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t nonce[12];

	if (s->has_key) {
		if (len < NOISE_TAGLEN)
			return ERR_TRUNCATED;
		assert(s->n != UINT64_MAX);
		chacha_nonce(s->n, nonce);
		if (crypto_aead_chacha20poly1305_ietf_decrypt(
			    out, NULL, NULL, in, len, s->h, NOISE_HASHLEN, nonce, s->k) != 0)
			return ERR_AUTH;
		s->n++;
	} else if (len > 0) {
		memcpy(out, in, len);
	}
	noise_mix_hash(s, in, len);
	return 0;
}

void noise_split(const struct noise_sym *s, uint8_t k1[32], uint8_t k2[32])
{
	uint8_t a[NOISE_HASHLEN], b[NOISE_HASHLEN];

	noise_hkdf(s->ck, NULL, 0, a, b, NULL);
	memcpy(k1, a, 32);
	memcpy(k2, b, 32);
	sodium_memzero(a, sizeof(a));
	sodium_memzero(b, sizeof(b));
}

void noise_init(struct noise *n, const char *name, bool initiator, const void *prologue,
	size_t prologue_len, const uint8_t *s_sk, const uint8_t *s_pub, const uint8_t *psk)
{
	memset(n, 0, sizeof(*n));
	noise_sym_init(&n->sym, name);
	noise_mix_hash(&n->sym, prologue, prologue_len);
	n->initiator = initiator;
	if (s_sk != NULL) {
		memcpy(n->s_sk, s_sk, 32);
		memcpy(n->s_pub, s_pub, 32);
	}
	if (psk != NULL) {
		n->has_psk = true;
		memcpy(n->psk, psk, 32);
	}
}

static int mix_dh(struct noise *n, const uint8_t sk[32], const uint8_t pub[32])
{
	uint8_t dh[NOISE_DHLEN];
	int err = 0;

	if (crypto_scalarmult(dh, sk, pub) != 0)
		err = ERR_AUTH;
	else
		noise_mix_key(&n->sym, dh, sizeof(dh));
	sodium_memzero(dh, sizeof(dh));
	return err;
}

/* The tokens that are the same for writing and reading. In "es", e is the initiator's and s the
 * responder's, whoever we are; "se" the other way round (Noise 5.3). */
static int mix_token(struct noise *n, enum noise_token t)
{
	switch (t) {
	case NOISE_EE:
		return mix_dh(n, n->e_sk, n->re);
	case NOISE_ES:
		return n->initiator ? mix_dh(n, n->e_sk, n->rs) : mix_dh(n, n->s_sk, n->re);
	case NOISE_SE:
		return n->initiator ? mix_dh(n, n->s_sk, n->re) : mix_dh(n, n->e_sk, n->rs);
	case NOISE_SS:
		return mix_dh(n, n->s_sk, n->rs);
	case NOISE_PSK:
		assert(n->has_psk);
		noise_mix_key_and_hash(&n->sym, n->psk, sizeof(n->psk));
		return 0;
	default:
		break;
	}
	assert(!"token that reads or writes bytes");
	return ERR_STATE;
}

static void mix_e(struct noise *n, const uint8_t e[32])
{
	noise_mix_hash(&n->sym, e, 32);
	if (n->has_psk)
		noise_mix_key(&n->sym, e, 32); /* Noise 9.2 */
}

static size_t tag_len(const struct noise_sym *s)
{
	return s->has_key ? NOISE_TAGLEN : 0;
}

static int write_sealed(struct noise *n, const uint8_t *data, size_t len, struct wr *w)
{
	uint8_t *out = wr_skip(w, len + tag_len(&n->sym));

	if (out == NULL)
		return ERR_FULL;
	noise_encrypt_and_hash(&n->sym, data, len, out);
	return 0;
}

int noise_write(struct noise *n, const enum noise_token *tokens, const uint8_t *payload, size_t len,
	struct wr *w)
{
	for (; *tokens != NOISE_END; tokens++) {
		int err = 0;

		switch (*tokens) {
		case NOISE_E:
			if (!n->fixed_e)
				randombytes_buf(n->e_sk, sizeof(n->e_sk));
			crypto_scalarmult_base(n->e_pub, n->e_sk);
			wr_copy(w, n->e_pub, sizeof(n->e_pub));
			if (wr_bad(w))
				return ERR_FULL;
			mix_e(n, n->e_pub);
			break;
		case NOISE_S:
			err = write_sealed(n, n->s_pub, sizeof(n->s_pub), w);
			break;
		default:
			err = mix_token(n, *tokens);
			break;
		}
		if (err != 0)
			return err;
	}
	return write_sealed(n, payload, len, w);
}

static int read_s(struct noise *n, struct rd *r)
{
	size_t len = NOISE_DHLEN + tag_len(&n->sym);
	const uint8_t *in = rd_take(r, len);

	if (in == NULL)
		return ERR_TRUNCATED;
	return noise_decrypt_and_hash(&n->sym, in, len, n->rs);
}

int noise_read(struct noise *n, const enum noise_token *tokens, struct rd *r, uint8_t *payload,
	size_t cap, size_t *len)
{
	const uint8_t *in;
	size_t left;

	for (; *tokens != NOISE_END; tokens++) {
		int err = 0;

		switch (*tokens) {
		case NOISE_E:
			rd_copy(r, n->re, sizeof(n->re));
			if (rd_bad(r))
				return ERR_TRUNCATED;
			mix_e(n, n->re);
			break;
		case NOISE_S:
			err = read_s(n, r);
			break;
		default:
			err = mix_token(n, *tokens);
			break;
		}
		if (err != 0)
			return err;
	}
	left = rd_left(r);
	if (left < tag_len(&n->sym))
		return ERR_TRUNCATED;
	*len = left - tag_len(&n->sym);
	if (*len > cap)
		return ERR_RANGE;
	in = rd_take(r, left);
	return noise_decrypt_and_hash(&n->sym, in, left, payload);
}

void noise_wipe(struct noise *n)
{
	sodium_memzero(n, sizeof(*n));
}
