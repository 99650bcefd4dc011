/* The AEAD seam: two suites, two providers, one interface.
 *
 * Parts: this file chooses the provider, expands keys and calls libsodium; aead_ipsecmb.c calls
 * libipsec-mb. Whatever a provider has, callers see the same bytes.
 *
 * Data in: a key once; then packets, nonces and associated data. Data out: sealed or opened
 * packets, in place or elsewhere. An expanded key is read-only after aead_new(), so any number of
 * threads may use it at once. Bounds: one allocation per key (DESIGN 5.4: idle peers hold none),
 * none per packet.
 *
 * Failure: a suite the machine can't do gives no key. A packet that doesn't verify gives ERR_AUTH,
 * and nothing of its text stays in the output: libsodium verifies first; libipsec-mb decrypts in
 * one pass with the tag, so its output is zeroed here. */
#include "aead.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "aead_ipsecmb.h"

/* The expanded key follows the head at the next 64-byte boundary. */
struct aead {
	enum wire_suite suite;
	enum aead_provider provider; /* never AUTO */
	size_t size;                 /* of the whole allocation */
	_Alignas(64) uint8_t x[];
};

static bool have_ipsecmb;

int aead_init(void)
{
	if (sodium_init() < 0)
		return ERR_UNSUPPORTED;
	have_ipsecmb = ipsecmb_init() == 0;
	return 0;
}

static bool suite_known(enum wire_suite suite)
{
	return suite == WIRE_SUITE_CHACHA20_POLY1305 || suite == WIRE_SUITE_AES_256_GCM;
}

bool aead_available(enum wire_suite suite, enum aead_provider provider)
{
	if (!suite_known(suite))
		return false;
	switch (provider) {
	case AEAD_IPSECMB:
		return have_ipsecmb;
	case AEAD_SODIUM:
		return suite == WIRE_SUITE_CHACHA20_POLY1305 ||
		       crypto_aead_aes256gcm_is_available() == 1;
	case AEAD_AUTO:
		return aead_available(suite, AEAD_IPSECMB) || aead_available(suite, AEAD_SODIUM);
	}
	return false;
}

unsigned aead_fast_suites(void)
{
	unsigned suites = WIRE_SUITE_BIT(WIRE_SUITE_CHACHA20_POLY1305);

	/* Both providers do AES-256-GCM only with the CPU's AES and carry-less multiplication. */
	if (aead_available(WIRE_SUITE_AES_256_GCM, AEAD_AUTO))
		suites |= WIRE_SUITE_BIT(WIRE_SUITE_AES_256_GCM);
	return suites;
}

const char *aead_suite_name(enum wire_suite suite)
{
	switch (suite) {
	case WIRE_SUITE_CHACHA20_POLY1305:
		return "chacha20-poly1305";
	case WIRE_SUITE_AES_256_GCM:
		return "aes-256-gcm";
	}
	return "none";
}

static enum aead_provider resolve(enum aead_provider provider)
{
	if (provider == AEAD_AUTO)
		return have_ipsecmb ? AEAD_IPSECMB : AEAD_SODIUM;
	return provider;
}

const char *aead_provider_name(enum aead_provider provider)
{
	return resolve(provider) == AEAD_IPSECMB ? "libipsec-mb" : "libsodium";
}

static size_t key_size(enum wire_suite suite, enum aead_provider provider)
{
	if (provider == AEAD_IPSECMB)
		return ipsecmb_key_size(suite);
	return suite == WIRE_SUITE_AES_256_GCM ? sizeof(crypto_aead_aes256gcm_state) : 32;
}

struct aead *aead_new(enum wire_suite suite, enum aead_provider provider, const uint8_t key[32])
{
	struct aead *a;
	size_t size;

	provider = resolve(provider);
	if (!aead_available(suite, provider))
		return NULL;
	size = (sizeof(*a) + key_size(suite, provider) + 63) / 64 * 64;
	a = aligned_alloc(64, size);
	if (a == NULL)
		return NULL;
	a->suite = suite;
	a->provider = provider;
	a->size = size;
	if (provider == AEAD_IPSECMB)
		ipsecmb_expand(suite, a->x, key);
	else if (suite == WIRE_SUITE_AES_256_GCM)
		crypto_aead_aes256gcm_beforenm((crypto_aead_aes256gcm_state *)a->x, key);
	else
		memcpy(a->x, key, 32);
	return a;
}

void aead_free(struct aead *a)
{
	if (a == NULL)
		return;
	sodium_memzero(a, a->size);
	free(a);
}

void aead_seal(const struct aead *a, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
	const uint8_t *src, size_t len, uint8_t *dst, uint8_t tag[16])
{
	if (a->provider == AEAD_IPSECMB)
		ipsecmb_seal(a->suite, a->x, nonce, aad, aad_len, src, len, dst, tag);
	else if (a->suite == WIRE_SUITE_AES_256_GCM)
		crypto_aead_aes256gcm_encrypt_detached_afternm(dst, tag, NULL, src, len, aad,
			aad_len, NULL, nonce, (const crypto_aead_aes256gcm_state *)a->x);
	else
		crypto_aead_chacha20poly1305_ietf_encrypt_detached(
			dst, tag, NULL, src, len, aad, aad_len, NULL, nonce, a->x);
}

static int open_ipsecmb(const struct aead *a, const uint8_t nonce[12], const uint8_t *aad,
	size_t aad_len, const uint8_t *src, size_t len, const uint8_t tag[16], uint8_t *dst)
{
	uint8_t want[16];
	int err = 0;

	ipsecmb_open(a->suite, a->x, nonce, aad, aad_len, src, len, dst, want);
	if (crypto_verify_16(want, tag) != 0) {
		if (len > 0)
			sodium_memzero(dst, len);
		err = ERR_AUTH;
	}
	/* A forger must not learn the right tag of his text from our stack. */
	sodium_memzero(want, sizeof(want));
	return err;
}

int aead_open(const struct aead *a, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
	const uint8_t *src, size_t len, const uint8_t tag[16], uint8_t *dst)
{
	int bad;

	if (a->provider == AEAD_IPSECMB)
		return open_ipsecmb(a, nonce, aad, aad_len, src, len, tag, dst);
	if (a->suite == WIRE_SUITE_AES_256_GCM)
		bad = crypto_aead_aes256gcm_decrypt_detached_afternm(dst, NULL, src, len, tag, aad,
			aad_len, nonce, (const crypto_aead_aes256gcm_state *)a->x);
	else
		bad = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
			dst, NULL, src, len, tag, aad, aad_len, nonce, a->x);
	return bad == 0 ? 0 : ERR_AUTH;
}
