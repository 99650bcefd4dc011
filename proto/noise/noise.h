/* noise.h - the Noise protocol framework, revision 34, as far as weft needs it: the symmetric state
 * with 25519, ChaChaPoly and BLAKE2b, and an interpreter of message patterns. handshake.h puts
 * weft's three messages on top.
 *
 * Nothing here allocates. A struct noise holds secrets: noise_wipe() it when done. */
#ifndef WEFT_NOISE_H
#define WEFT_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/buf.h"

#define NOISE_HASHLEN   64 /* BLAKE2b */
#define NOISE_BLOCKLEN  128
#define NOISE_DHLEN     32
#define NOISE_TAGLEN    16
#define NOISE_NAME_WEFT "Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b"

/* SymmetricState with its CipherState (Noise 5.1, 5.2). */
struct noise_sym {
	uint8_t ck[NOISE_HASHLEN];
	uint8_t h[NOISE_HASHLEN];
	uint8_t k[32]; /* used when has_key */
	uint64_t n;
	bool has_key;
};

/* InitializeSymmetric(name): the hash of @name, or @name itself padded when it fits (Noise 5.2). */
void noise_sym_init(struct noise_sym *s, const char *name);
void noise_mix_hash(struct noise_sym *s, const void *data, size_t len);
void noise_mix_key(struct noise_sym *s, const void *ikm, size_t len);
void noise_mix_key_and_hash(struct noise_sym *s, const void *ikm, size_t len);
/* EncryptAndHash: writes @len bytes, and the tag if there is a key, to @out (not over @in). */
void noise_encrypt_and_hash(struct noise_sym *s, const uint8_t *in, size_t len, uint8_t *out);
/* DecryptAndHash: @len counts the tag. Writes the plain text to @out (not overlapping @in).
 * ERR_TRUNCATED: no room for a tag; ERR_AUTH: the tag is wrong. The state is unchanged then,
 * and @out holds nothing of the plain text. */
int noise_decrypt_and_hash(struct noise_sym *s, const uint8_t *in, size_t len, uint8_t *out);
/* Split: the initiator's sending key to @k1, the responder's to @k2. */
void noise_split(const struct noise_sym *s, uint8_t k1[32], uint8_t k2[32]);
/* HKDF with HMAC-BLAKE2b (Noise 4.3); @out3 may be NULL. */
void noise_hkdf(const uint8_t ck[NOISE_HASHLEN], const void *ikm, size_t len,
	uint8_t out1[NOISE_HASHLEN], uint8_t out2[NOISE_HASHLEN], uint8_t out3[NOISE_HASHLEN]);

/* Tokens of a message pattern (Noise 5.3, 9.3). */
enum noise_token {
	NOISE_END,
	NOISE_E,
	NOISE_S,
	NOISE_EE,
	NOISE_ES,
	NOISE_SE,
	NOISE_SS,
	NOISE_PSK,
};

/* HandshakeState without the list of messages left, which the caller knows. */
struct noise {
	struct noise_sym sym;
	bool initiator;
	bool has_psk; /* a PSK pattern: e tokens are mixed into the key too (Noise 9.2) */
	bool fixed_e; /* e_sk was set beforehand (test vectors): an e token makes no new one */
	uint8_t s_sk[32], s_pub[32];
	uint8_t e_sk[32], e_pub[32];
	uint8_t rs[32], re[32];
	uint8_t psk[32];
};

/* XXpsk3, whose messages are { NOISE_E }, { E EE S ES }, { S SE PSK }; each ends in NOISE_END. */
extern const enum noise_token noise_xxpsk3[3][5];

/* Start a handshake of the protocol @name. @s_sk, @s_pub: own static key pair, NULL where the
 * pattern has none; @psk: NULL for a pattern without. Copies all. Pre-messages are the caller's to
 * mix. */
void noise_init(struct noise *n, const char *name, bool initiator, const void *prologue,
	size_t prologue_len, const uint8_t *s_sk, const uint8_t *s_pub, const uint8_t *psk);
/* Write one message: @tokens, then @len bytes of @payload, to @w. ERR_FULL: @w has no room;
 * ERR_AUTH: a DH gave zero (a small-order key of the peer). @n is undefined after an error. */
int noise_write(struct noise *n, const enum noise_token *tokens, const uint8_t *payload, size_t len,
	struct wr *w);
/* Read one message, which is all that @r has left; the payload goes to @payload (@cap bytes), its
 * length to @len. ERR_TRUNCATED; ERR_RANGE: payload longer than @cap; ERR_AUTH: a tag is wrong or a
 * DH gave zero. @n is undefined after an error: work on a copy. */
int noise_read(struct noise *n, const enum noise_token *tokens, struct rd *r, uint8_t *payload,
	size_t cap, size_t *len);
void noise_wipe(struct noise *n);

#endif
