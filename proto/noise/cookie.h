/* cookie.h - cookies against floods and wrong clocks (DESIGN 6.4), and resets (DESIGN 6.9).
 *
 * COOKIE, answer to an INIT						 COOKIE_LEN
 *	 0 type/version 8 | reserved 24
 *	 4 receiver index 32		   INIT's sender index
 *	 8 nonce 24 bytes
 *	32 XChaCha20-Poly1305 of the cookie, 16 bytes and tag, under secret_keys.cookie; associated
 *	   data: INIT's MAC1. So only who saw the INIT can make one, and only holders of the secret.
 *	64 MAC1 16 bytes		   (checked by handshake_check_mac1)
 *   The cookie is a MAC of the source address and port under a key that changes each COOKIE life.
 *   INIT's MAC2 is keyed with it.
 *
 * RESET, answer to a data packet with an unknown receiver index	 RESET_LEN
 *	 0 type/version 8 | reserved 24
 *	 4 index 32			   the receiver index that is unknown
 *	 8 token 16 bytes		   was given to the peer inside the handshake
 *   Indexes are random, so that a token known from an old session fits no new one; for an index
 *   that a session of this run may have, now or soon, no RESET is made (session.c). */
#ifndef WEFT_COOKIE_H
#define WEFT_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/ts.h"
#include "key.h"

#define COOKIE_SIZE 16
#define COOKIE_LEN  80
#define RESET_LEN   24
#define RESET_TOKEN 16

/* The responder's two newest cookie keys. Random, in memory only. */
struct cookie_jar {
	uint8_t key[2][32]; /* [0] makes and checks, [1] the one before: checks */
	dur_t life;
	ts_t made;    /* when key[0] came */
	bool has_old; /* key[1] is set */
};

/* @life: how long one key makes cookies (120 s); a cookie holds for one to two lives. */
void cookie_jar_init(struct cookie_jar *j, dur_t life, ts_t now);
void cookie_jar_wipe(struct cookie_jar *j);

/* Answer the INIT of @len bytes at @init, whose MAC1 verified under @keys, from @from. Returns
 * COOKIE_LEN; ERR_FULL: @cap; ERR_TRUNCATED: not an INIT's length. */
int cookie_write(struct cookie_jar *j, const struct secret_keys *keys, const struct ep *from,
	const uint8_t *init, size_t init_len, ts_t now, uint8_t *buf, size_t cap);
/* Read a COOKIE (MAC1 verified under @keys) that answers the INIT with sender index @index and
 * @init_mac1 (struct handshake has it). ERR_TRUNCATED, ERR_MALFORMED (length); ERR_NOT_FOUND:
 * another index; ERR_AUTH: not for that INIT. @cookie is untouched on error. */
int cookie_read(const struct secret_keys *keys, uint32_t index, const uint8_t init_mac1[16],
	const uint8_t *buf, size_t len, uint8_t cookie[COOKIE_SIZE]);
/* The receiver index of a COOKIE, to find the dial it belongs to. ERR_TRUNCATED. */
int cookie_index(const uint8_t *buf, size_t len, uint32_t *index);
/* Fill in MAC2 of an INIT of ours. */
void cookie_mac2_add(const uint8_t cookie[COOKIE_SIZE], uint8_t *init, size_t len);
/* Does the INIT from @from carry a MAC2 made with a cookie of ours that still holds? */
bool cookie_mac2_check(
	struct cookie_jar *j, const struct ep *from, const uint8_t *init, size_t len, ts_t now);

/* The reset token of our receiver index @index (identity.reset_key survives restarts). */
void reset_token(const uint8_t reset_key[32], uint32_t index, uint8_t token[RESET_TOKEN]);
/* Write a RESET for @index. RESET_LEN; ERR_FULL. */
int reset_write(const uint8_t reset_key[32], uint32_t index, uint8_t *buf, size_t cap);
/* Read a RESET. 0; ERR_TRUNCATED, ERR_MALFORMED (longer), ERR_VERSION, ERR_UNSUPPORTED (another
 * type). */
int reset_read(const uint8_t *buf, size_t len, uint32_t *index, uint8_t token[RESET_TOKEN]);
/* Constant time. */
bool reset_token_eq(const uint8_t a[RESET_TOKEN], const uint8_t b[RESET_TOKEN]);

#endif
