/* handshake.h - weft's handshake: three messages of Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b
 * (DESIGN 6.1 to 6.6), and the MAC1 that guards them.
 *
 * Offsets in bytes, integers in network order, reserved fields zero when written and ignored when
 * read. [x] is Noise's encryption of x: as long as x, and a 16-byte tag. Every payload may be
 * followed by bytes that this version does not know: they are authenticated, and ignored or given
 * out.
 *
 * INIT, initiator to responder: -> e
 *   0 type/version 8, reserved 24
 *   4 sender index 32, which the initiator will be addressed by
 *   8 e 32 bytes
 *  40 [unix time in seconds 64, suites 8, lanes 8, reserved 16, zero padding]
 *     MAC1 16 bytes, over all before it
 *     MAC2 16 bytes, over all before it; zero without a cookie (cookie.h)
 *   HS_INIT_MIN to WIRE_CONTROL_MAX bytes: padded so that it is at least as long as the RESP that
 *   it asks for. Its payload is sealed under a key that anybody can compute (psk patterns mix e
 *   into the key): no secrecy, and none is needed.
 *
 * RESP, responder to initiator: <- e, ee, s, es
 *   0 type/version 8, reserved 24
 *   4 sender index 32, which the responder will be addressed by
 *   8 receiver index 32: INIT's sender index
 *  12 e 32 bytes
 *  44 [s 32 bytes]
 *  92 [Ed25519 key 32 bytes, suite 8, lanes 8, flags 16, reset token 16 bytes, trailing bytes]
 *     sealed state HS_STATE_LEN, which means nothing to the initiator, who sends it back
 *     MAC1 16 bytes
 *
 * FINAL, initiator to responder: -> s, se, psk
 *   0 type/version 8, reserved 24
 *   4 receiver index 32: RESP's sender index
 *   8 sealed state HS_STATE_LEN
 *     [s 32 bytes]
 *     [Ed25519 key 32 bytes, suite 8, lanes 8, flags 16, reset token 16 bytes, trailing bytes]
 *     MAC1 16 bytes
 *
 * What stands before the Noise part of a message is mixed into Noise's hash first (INIT's header is
 * the prologue, behind a label), FINAL's sealed state included. So every byte that either side
 * acted on is bound into the session's keys. The sealed state is 24 bytes of nonce, the first 16 of
 * which name the state, and XChaCha20-Poly1305 of ck 64, h 64, k 32, the responder's e secret 32,
 * initiator's index 4, responder's index 4, suite 1, number of the secret 1, reserved 2, creation
 * time 8. The initiator's e and lanes need no place in it: e is bound by h and used up, lanes come
 * again in FINAL.
 *
 * Order of use. Everybody: handshake_check_mac1() on each message, before anything else.
 *
 *   Initiator: init_write, resp_read, (is it whom we dialled?), final_write; the last as often as
 *   FINAL must be repeated: it gives the same bytes each time.
 *
 *   Responder: init_read (no DH: judge time, cookie, rate now), resp_write, keep nothing;
 *   final_peek (was this state consumed? then no more), final_check, judge the rate, final_read,
 *   remember the state as consumed, and only then use the keys. */
#ifndef WEFT_HANDSHAKE_H
#define WEFT_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/bounds.h"
#include "weft/id.h"
#include "weft/ts.h"
#include "weft/wire.h"
#include "key.h"
#include "noise.h"

#define HS_MAC       16
#define HS_TOKEN     16
#define HS_STATE_ID  16
#define HS_STATE_LEN (24 + 212 + 16)
#define HS_IDENT_LEN 52  /* the payload of RESP and FINAL without trailing bytes */
#define HS_EXT_MAX   512 /* trailing bytes of RESP and FINAL: room for a certificate */
#define HS_RESP_MIN  (12 + 32 + 48 + HS_IDENT_LEN + 16 + HS_STATE_LEN + HS_MAC)
#define HS_RESP_MAX  (HS_RESP_MIN + HS_EXT_MAX)
#define HS_FINAL_MIN (8 + HS_STATE_LEN + 48 + HS_IDENT_LEN + 16 + HS_MAC)
#define HS_FINAL_MAX (HS_FINAL_MIN + HS_EXT_MAX)
#define HS_INIT_MIN  HS_RESP_MIN

/* What both sides bring along. Borrowed by each call. */
struct hs_cfg {
	const struct identity *id;
	const struct secret_keys *secrets;
	size_t nsecrets;    /* 1..LIM_SECRETS */
	unsigned suites;    /* WIRE_SUITE_BIT()s that we can do */
	uint8_t lanes;      /* lanes we send on, control included (1..LIM_LANES) */
	uint16_t flags;     /* shown to the peer; none are defined yet */
	const uint8_t *ext; /* trailing bytes of our RESP and FINAL; NULL: none */
	size_t ext_len;     /* up to HS_EXT_MAX */
};

/* What a handshake tells about the peer; authenticated. */
struct hs_peer {
	struct node_key key;
	uint8_t x25519[32]; /* its X25519 form: for revocation and duplicate checks (DESIGN 6.1) */
	uint32_t index;     /* goes into the header of what we send */
	uint8_t lanes;      /* lanes the peer sends on (1..LIM_LANES) */
	uint16_t flags;
	uint8_t reset_token[HS_TOKEN]; /* a RESET for .index must carry it (cookie.h) */
	uint16_t ext_len;
	uint8_t ext[HS_EXT_MAX]; /* trailing bytes; opaque here */
};

/* Transport keys, one per direction, never used with another suite. Wipe. */
struct hs_keys {
	enum wire_suite suite;
	uint8_t tx[32], rx[32];
};

/* The initiator's side of one handshake. Plain memory, may be moved; handshake_wipe() it. */
struct handshake {
	struct noise noise; /* after INIT, then after RESP */
	unsigned secret;    /* number of the secret in use */
	uint32_t local_index;
	unsigned suites; /* as offered */
	bool have_resp;
	struct hs_peer peer; /* from here on: set when have_resp */
	enum wire_suite suite;
	uint8_t init_mac1[HS_MAC]; /* of the INIT: a COOKIE answers to it (always set) */
	uint8_t state[HS_STATE_LEN];
};

/* The responder's key for sealed states: made at start, in memory only, so that a state never
 * outlives the process that knows which ones were consumed. Wipe at the end. */
struct hs_seal {
	uint8_t key[32];
};

/* An INIT as read: costs no DH. Contains nothing secret. */
struct hs_init {
	struct noise noise; /* after INIT */
	unsigned secret;
	size_t len;     /* of the datagram: RESP may not be longer */
	uint32_t index; /* the initiator's */
	uint64_t unix_secs;
	unsigned suites;
	uint8_t lanes;
};

/* The result of a FINAL. Wipe .keys. */
struct hs_final {
	struct hs_peer peer;
	struct hs_keys keys;
	unsigned secret; /* number of the secret that both used */
	uint32_t local_index;
	ts_t created;                  /* when RESP was made: the state's age counts from here */
	uint8_t state_id[HS_STATE_ID]; /* unique per RESP: accept each once (DESIGN 6.5) */
};

/* Check the length of an INIT, RESP, FINAL or COOKIE, and its MAC1 against @n secrets (constant
 * time each). The number (>= 0) of the secret that verified; ERR_TRUNCATED; ERR_MALFORMED: longer
 * than such a message can be; ERR_VERSION; ERR_UNSUPPORTED: a type without MAC1; ERR_AUTH. */
int handshake_check_mac1(
	const struct secret_keys *secrets, size_t n, const uint8_t *buf, size_t len);

/* Begin: write an INIT under secret number @secret to @buf, with a fresh ephemeral key. Overwrites
 * @hs. @local_index: a random index of ours. @unix_secs: coarse wall clock. MAC2 is zero; with a
 * cookie, call cookie_mac2_add() on the result. Returns the length (HS_INIT_MIN + cfg->ext_len);
 * ERR_FULL: @cap is smaller. */
int handshake_init_write(struct handshake *hs, const struct hs_cfg *cfg, unsigned secret,
	uint32_t local_index, uint64_t unix_secs, uint8_t *buf, size_t cap);
/* Read an INIT whose MAC1 verified under secret number @secret. 0; ERR_TRUNCATED; ERR_MALFORMED (no
 * lanes or too many, or too long); ERR_AUTH. @out is untouched on error. */
int handshake_init_read(const struct hs_cfg *cfg, unsigned secret, const uint8_t *buf, size_t len,
	struct hs_init *out);
/* Answer @in with a RESP in @buf. @local_index: a random index, free to be used when FINAL comes
 * back. @now goes into the sealed state. Returns the length; ERR_FULL: @cap, or the INIT was
 * shorter than this RESP (never amplify); ERR_UNSUPPORTED: no suite in common; ERR_AUTH: a
 * low-order e. */
int handshake_resp_write(const struct hs_cfg *cfg, const struct hs_init *in,
	const struct hs_seal *seal, uint32_t local_index, ts_t now, uint8_t *buf, size_t cap);
/* Read the RESP to @hs; MAC1 verified under secret number @secret. On success @hs->peer and
 * @hs->suite are set; the caller compares @hs->peer.key with the key it dialled before it goes on
 * (our own identity has not been sent yet). ERR_TRUNCATED; ERR_STATE: a RESP was read before;
 * ERR_NOT_FOUND: another receiver index; ERR_MALFORMED: lanes; ERR_UNSUPPORTED: a suite that we did
 * not offer; ERR_AUTH: another secret, a tag, or an Ed25519 key that is not canonical or does not
 * belong to Noise's static key. @hs is unchanged on error, and the true RESP may still come. */
int handshake_resp_read(struct handshake *hs, const struct hs_cfg *cfg, unsigned secret,
	const uint8_t *buf, size_t len);
/* Write FINAL to @buf and the session's keys to @keys. Deterministic; may be called again. Returns
 * the length; ERR_STATE: no RESP yet; ERR_FULL: @cap; ERR_AUTH: DH gave zero. */
int handshake_final_write(const struct handshake *hs, const struct hs_cfg *cfg, uint8_t *buf,
	size_t cap, struct hs_keys *keys);
/* Read a FINAL whose MAC1 verified under secret number @secret. @life: how old a sealed state may
 * be. 0; ERR_TRUNCATED; ERR_STALE: the state is too old; ERR_MALFORMED: lanes; ERR_AUTH: sealed by
 * somebody else or before our start, another secret or index than the state's, a tag, or the
 * Ed25519 key as in resp_read. @out is untouched on error. */
int handshake_final_read(const struct hs_cfg *cfg, const struct hs_seal *seal, ts_t now, dur_t life,
	unsigned secret, const uint8_t *buf, size_t len, struct hs_final *out);
/* The id of the sealed state in a FINAL (as in hs_final.state_id), not authenticated by more than
 * MAC1: lets the caller see a repeat before it pays for DH. ERR_TRUNCATED. */
int handshake_final_peek(const uint8_t *buf, size_t len, uint8_t id[HS_STATE_ID]);
/* The part of final_read that costs no DH: is the sealed state ours and still good? To be asked
 * before the FINAL is counted against a rate: a FINAL recorded anywhere in the cluster has a MAC1
 * that verifies here, for ever. 0, ERR_TRUNCATED, ERR_MALFORMED, ERR_STALE, ERR_AUTH as there. */
int handshake_final_check(const struct hs_seal *seal, ts_t now, dur_t life, unsigned secret,
	const uint8_t *buf, size_t len);

void handshake_seal_init(struct hs_seal *seal);
void handshake_wipe(struct handshake *hs);

#endif
