/* aead.h - the seam between weft and its two cipher providers (DESIGN 5.4): libsodium always,
 * libipsec-mb where built in (WEFT_HAVE_IPSECMB). Both give the same bytes; nonces are 12 bytes,
 * keys 32, tags 16. An expanded key may be used by any number of threads at once. */
#ifndef WEFT_AEAD_H
#define WEFT_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/wire.h"

enum aead_provider { AEAD_AUTO, AEAD_SODIUM, AEAD_IPSECMB };

struct aead; /* an expanded key */

/* Once per process, before threads start: initialises libsodium and probes the CPU.
 * ERR_UNSUPPORTED if libsodium can't start. Safe to call again. */
int aead_init(void);
/* Can this machine do @suite with @provider at all? (AES-256-GCM in libsodium needs AES-NI.) */
bool aead_available(enum wire_suite suite, enum aead_provider provider);
/* Suites to offer, as WIRE_SUITE_BIT()s: ChaCha20-Poly1305 always, AES-256-GCM if fast here. */
unsigned aead_fast_suites(void);
/* "chacha20-poly1305", "aes-256-gcm"; "none" for others. */
const char *aead_suite_name(enum wire_suite suite);
const char *aead_provider_name(enum aead_provider provider); /* of the one AUTO picks, if AUTO */

/* Expand a key. Returns owned (aead_free), 64-byte aligned; NULL: no memory or not available. */
struct aead *aead_new(enum wire_suite suite, enum aead_provider provider, const uint8_t key[32]);
void aead_free(struct aead *a); /* wipes; NULL is fine */

/* Seal @len bytes at @src to @dst (the same place, or not overlapping), tag to @tag. */
void aead_seal(const struct aead *a, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
	const uint8_t *src, size_t len, uint8_t *dst, uint8_t tag[16]);
/* Open; ERR_AUTH leaves @dst undefined but never lets the caller use it by accident: it is zeroed
 * when the provider has written to it. */
int aead_open(const struct aead *a, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
	const uint8_t *src, size_t len, const uint8_t tag[16], uint8_t *dst);

/* The nonce of a data packet: lane, three zero bytes, counter. */
static inline void aead_data_nonce(uint8_t nonce[12], uint8_t lane, uint64_t counter)
{
	nonce[0] = lane;
	nonce[1] = nonce[2] = nonce[3] = 0;
	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(counter >> (56 - 8 * i));
}

#endif
