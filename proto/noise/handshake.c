/* The handshake's messages: layouts, MAC1, identities, and the responder's sealed state.
 *
 * Parts: handshake_check_mac1() in front of all; the three messages, each with one writer and one
 * reader, on top of noise.c; sealing and opening of the state that the responder does not keep;
 * transport keys. When a message is sent, repeated or believed too old is the session core's
 * matter.
 *
 * Data in: datagrams whose MAC1 verified, the configuration, a clock reading for the state's age.
 * Data out: datagrams; who the peer is; keys. States: the initiator's struct handshake is after
 * INIT or after RESP; the responder has none, everything it must know of the first two messages
 * comes back sealed in the third.
 *
 * Bounds: nothing is allocated or remembered here; lengths are fixed but for HS_EXT_MAX trailing
 * bytes. Failure: each reader works on copies and writes to its caller's memory only when every
 * check has passed, so that a forgery changes nothing and a true message may still come. */
#include "handshake.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "cookie.h"

#define INIT_HDR         8
#define RESP_HDR         12
#define FINAL_HDR        (8 + HS_STATE_LEN)
#define INIT_PAYLOAD_MAX (WIRE_CONTROL_MAX - INIT_HDR - NOISE_DHLEN - NOISE_TAGLEN - 2 * HS_MAC)
#define STATE_PLAIN      212

_Static_assert(HS_RESP_MAX <= WIRE_CONTROL_MAX, "RESP fits with its certificate");
_Static_assert(HS_FINAL_MAX <= WIRE_CONTROL_MAX, "FINAL fits with its certificate");
_Static_assert(HS_EXT_MAX >= 400, "room for a certificate");
_Static_assert(INIT_PAYLOAD_MAX >= HS_INIT_MIN + HS_EXT_MAX - (INIT_HDR + 80),
	"INIT can be padded to any RESP");
_Static_assert(HS_STATE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES + STATE_PLAIN +
				       crypto_aead_xchacha20poly1305_ietf_ABYTES,
	"layout of the sealed state");
_Static_assert(HS_TOKEN == RESET_TOKEN, "one token");

/* Mixed in ahead of INIT's header: a transcript of weft is none of another protocol, or version. */
static const char prologue_label[] = "weft wire 1";
static const char state_label[] = "weft responder state 1";
/* The label under which Split's keys become those of a suite: by number. */
static const char *const suite_labels[] = {
	[WIRE_SUITE_CHACHA20_POLY1305] = "weft transport chacha20-poly1305",
	[WIRE_SUITE_AES_256_GCM] = "weft transport aes-256-gcm",
};

/* --- MAC1 --- */

struct shape {
	size_t min, max;
	size_t behind; /* bytes after MAC1 */
};

static const struct shape shapes[] = {
	[WIRE_INIT] = {HS_INIT_MIN, WIRE_CONTROL_MAX, HS_MAC},
	[WIRE_RESP] = {HS_RESP_MIN, HS_RESP_MAX, 0},
	[WIRE_FINAL] = {HS_FINAL_MIN, HS_FINAL_MAX, 0},
	[WIRE_COOKIE] = {COOKIE_LEN, COOKIE_LEN, 0},
};

static void mac1(
	const struct secret_keys *keys, const uint8_t *buf, size_t len, uint8_t out[HS_MAC])
{
	crypto_generichash(out, HS_MAC, buf, len, keys->mac1, sizeof(keys->mac1));
}

int handshake_check_mac1(
	const struct secret_keys *secrets, size_t n, const uint8_t *buf, size_t len)
{
	const struct shape *shape;
	unsigned type;
	size_t covered;
	int found = ERR_AUTH;

	assert(n <= LIM_SECRETS);
	if (len < 1)
		return ERR_TRUNCATED;
	type = WIRE_TYPE_OF(buf[0]);
	if (WIRE_VERSION_OF(buf[0]) != WIRE_VERSION)
		return ERR_VERSION;
	if (type >= sizeof(shapes) / sizeof(shapes[0]) || shapes[type].min == 0)
		return ERR_UNSUPPORTED;
	shape = &shapes[type];
	if (len < shape->min)
		return ERR_TRUNCATED;
	if (len > shape->max)
		return ERR_MALFORMED;
	covered = len - shape->behind - HS_MAC;
	for (size_t i = 0; i < n && found < 0; i++) {
		uint8_t want[HS_MAC];

		mac1(&secrets[i], buf, covered, want);
		if (sodium_memcmp(want, buf + covered, HS_MAC) == 0)
			found = (int)i;
		sodium_memzero(want, sizeof(want));
	}
	return found;
}

/* Append MAC1 over all that @w holds. */
static int put_mac1(struct wr *w, const struct secret_keys *keys)
{
	size_t covered = wr_len(w);
	uint8_t *out = wr_skip(w, HS_MAC);

	if (out == NULL)
		return ERR_FULL;
	mac1(keys, w->start, covered, out);
	return 0;
}

/* --- Pieces --- */

static void start_noise(struct noise *n, const struct hs_cfg *cfg, unsigned secret, bool initiator,
	const uint8_t hdr[INIT_HDR])
{
	uint8_t prologue[sizeof(prologue_label) - 1 + INIT_HDR];

	memcpy(prologue, prologue_label, sizeof(prologue_label) - 1);
	memcpy(prologue + sizeof(prologue_label) - 1, hdr, INIT_HDR);
	noise_init(n, NOISE_NAME_WEFT, initiator, prologue, sizeof(prologue), cfg->id->x_sk,
		cfg->id->x_pub, cfg->secrets[secret].psk);
}

static void put_header(struct wr *w, enum wire_type type, uint32_t index)
{
	wr_u8(w, WIRE_TYPE_BYTE(type));
	wr_zero(w, 3);
	wr_u32(w, index);
}

/* Our payload of RESP and FINAL to @out, HS_IDENT_LEN + HS_EXT_MAX bytes. Its length. */
static size_t put_ident(
	const struct hs_cfg *cfg, enum wire_suite suite, uint32_t local_index, uint8_t *out)
{
	uint8_t token[HS_TOKEN];
	struct wr w;

	assert(cfg->ext_len <= HS_EXT_MAX);
	reset_token(cfg->id->reset_key, local_index, token);
	wr_init(&w, out, HS_IDENT_LEN + HS_EXT_MAX);
	wr_copy(&w, cfg->id->pub.b, sizeof(cfg->id->pub.b));
	wr_u8(&w, (uint8_t)suite);
	wr_u8(&w, cfg->lanes);
	wr_u16(&w, cfg->flags);
	wr_copy(&w, token, sizeof(token));
	if (cfg->ext_len > 0)
		wr_copy(&w, cfg->ext, cfg->ext_len);
	assert(!wr_bad(&w));
	sodium_memzero(token, sizeof(token));
	return wr_len(&w);
}

/* Read the peer's payload. @rs is the static key that Noise authenticated: the Ed25519 key must be
 * canonical and give exactly it (DESIGN 6.1). */
static int get_ident(
	const uint8_t *buf, size_t len, const uint8_t rs[32], struct hs_peer *peer, unsigned *suite)
{
	struct rd r;
	int err;

	memset(peer, 0, sizeof(*peer));
	rd_init(&r, buf, len);
	rd_copy(&r, peer->key.b, sizeof(peer->key.b));
	*suite = rd_u8(&r);
	peer->lanes = rd_u8(&r);
	peer->flags = rd_u16(&r);
	rd_copy(&r, peer->reset_token, sizeof(peer->reset_token));
	if (rd_bad(&r))
		return ERR_TRUNCATED;
	if (rd_left(&r) > HS_EXT_MAX)
		return ERR_MALFORMED;
	peer->ext_len = (uint16_t)rd_left(&r);
	rd_copy(&r, peer->ext, peer->ext_len);
	err = key_x25519_of(&peer->key, peer->x25519);
	if (err != 0)
		return ERR_AUTH;
	if (sodium_memcmp(peer->x25519, rs, 32) != 0)
		return ERR_AUTH;
	if (peer->lanes < 1 || peer->lanes > LIM_LANES)
		return ERR_MALFORMED;
	return 0;
}

/* AES-256-GCM when both offer it, since only who is fast at it does; else ChaCha20-Poly1305. 0:
 * none. */
static unsigned agree_suite(unsigned a, unsigned b)
{
	if (a & b & WIRE_SUITE_BIT(WIRE_SUITE_AES_256_GCM))
		return WIRE_SUITE_AES_256_GCM;
	if (a & b & WIRE_SUITE_BIT(WIRE_SUITE_CHACHA20_POLY1305))
		return WIRE_SUITE_CHACHA20_POLY1305;
	return 0;
}

static bool suite_valid(unsigned suite)
{
	return suite == WIRE_SUITE_CHACHA20_POLY1305 || suite == WIRE_SUITE_AES_256_GCM;
}

/* Split, then a key of the suite's own from each half. */
static void derive_keys(const struct noise *n, enum wire_suite suite, struct hs_keys *out)
{
	const char *label = suite_labels[suite];
	uint8_t k1[32], k2[32];

	noise_split(&n->sym, k1, k2);
	out->suite = suite;
	crypto_generichash(n->initiator ? out->tx : out->rx, 32, (const uint8_t *)label,
		strlen(label), k1, sizeof(k1));
	crypto_generichash(n->initiator ? out->rx : out->tx, 32, (const uint8_t *)label,
		strlen(label), k2, sizeof(k2));
	sodium_memzero(k1, sizeof(k1));
	sodium_memzero(k2, sizeof(k2));
}

/* --- The sealed state --- */

struct state {
	uint8_t ck[NOISE_HASHLEN], h[NOISE_HASHLEN], k[32], e_sk[32];
	uint32_t peer_index, local_index;
	unsigned suite, secret;
	ts_t created;
};

void handshake_seal_init(struct hs_seal *seal)
{
	randombytes_buf(seal->key, sizeof(seal->key));
}

static void seal_state(
	const struct hs_seal *seal, const struct state *st, uint8_t out[HS_STATE_LEN])
{
	uint8_t plain[STATE_PLAIN];
	struct wr w;

	wr_init(&w, plain, sizeof(plain));
	wr_copy(&w, st->ck, sizeof(st->ck));
	wr_copy(&w, st->h, sizeof(st->h));
	wr_copy(&w, st->k, sizeof(st->k));
	wr_copy(&w, st->e_sk, sizeof(st->e_sk));
	wr_u32(&w, st->peer_index);
	wr_u32(&w, st->local_index);
	wr_u8(&w, (uint8_t)st->suite);
	wr_u8(&w, (uint8_t)st->secret);
	wr_zero(&w, 2);
	wr_u64(&w, st->created.ns);
	assert(!wr_bad(&w) && wr_left(&w) == 0);

	randombytes_buf(out, 24);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out + 24, NULL, plain, sizeof(plain),
		(const uint8_t *)state_label, sizeof(state_label) - 1, NULL, out, seal->key);
	sodium_memzero(plain, sizeof(plain));
}

static int open_state(const struct hs_seal *seal, const uint8_t in[HS_STATE_LEN], struct state *st)
{
	uint8_t plain[STATE_PLAIN];
	struct rd r;

	if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, in + 24,
		    HS_STATE_LEN - 24, (const uint8_t *)state_label, sizeof(state_label) - 1, in,
		    seal->key) != 0)
		return ERR_AUTH;
	rd_init(&r, plain, sizeof(plain));
	rd_copy(&r, st->ck, sizeof(st->ck));
	rd_copy(&r, st->h, sizeof(st->h));
	rd_copy(&r, st->k, sizeof(st->k));
	rd_copy(&r, st->e_sk, sizeof(st->e_sk));
	st->peer_index = rd_u32(&r);
	st->local_index = rd_u32(&r);
	st->suite = rd_u8(&r);
	st->secret = rd_u8(&r);
	rd_u16(&r);
	st->created = (ts_t){rd_u64(&r)};
	assert(rd_done(&r)); /* the tag says that we wrote it */
	sodium_memzero(plain, sizeof(plain));
	return 0;
}

/* --- INIT: -> e --- */

int handshake_init_write(struct handshake *hs, const struct hs_cfg *cfg, unsigned secret,
	uint32_t local_index, uint64_t unix_secs, uint8_t *buf, size_t cap)
{
	size_t len = HS_INIT_MIN + cfg->ext_len;
	size_t payload_len = len - INIT_HDR - NOISE_DHLEN - NOISE_TAGLEN - 2 * HS_MAC;
	uint8_t payload[INIT_PAYLOAD_MAX] = {0};
	struct wr w, p;
	int err;

	assert(secret < cfg->nsecrets && cfg->ext_len <= HS_EXT_MAX);
	assert(cfg->lanes >= 1 && cfg->lanes <= LIM_LANES);
	if (cap < len)
		return ERR_FULL;
	memset(hs, 0, sizeof(*hs));
	hs->secret = secret;
	hs->local_index = local_index;
	hs->suites = cfg->suites;

	wr_init(&p, payload, payload_len);
	wr_u64(&p, unix_secs);
	wr_u8(&p, (uint8_t)cfg->suites);
	wr_u8(&p, cfg->lanes);
	wr_zero(&p, 2);

	wr_init(&w, buf, len);
	put_header(&w, WIRE_INIT, local_index);
	start_noise(&hs->noise, cfg, secret, true, buf);
	err = noise_write(&hs->noise, noise_xxpsk3[0], payload, payload_len, &w);
	assert(err == 0); /* it fits, and no DH is in it */
	err = put_mac1(&w, &cfg->secrets[secret]);
	assert(err == 0);
	memcpy(hs->init_mac1, buf + wr_len(&w) - HS_MAC, HS_MAC);
	wr_zero(&w, HS_MAC);
	assert(!wr_bad(&w) && wr_left(&w) == 0);
	return (int)len;
}

int handshake_init_read(const struct hs_cfg *cfg, unsigned secret, const uint8_t *buf, size_t len,
	struct hs_init *out)
{
	uint8_t payload[INIT_PAYLOAD_MAX];
	struct hs_init in = {.secret = secret, .len = len};
	size_t payload_len = 0;
	struct rd r, p;
	int err;

	assert(secret < cfg->nsecrets);
	if (len < HS_INIT_MIN)
		return ERR_TRUNCATED;
	if (len > WIRE_CONTROL_MAX)
		return ERR_MALFORMED;
	rd_init(&r, buf, len - 2 * HS_MAC);
	rd_u32(&r);
	in.index = rd_u32(&r);
	start_noise(&in.noise, cfg, secret, false, buf);
	err = noise_read(&in.noise, noise_xxpsk3[0], &r, payload, sizeof(payload), &payload_len);
	if (err != 0)
		goto out;
	rd_init(&p, payload, payload_len);
	in.unix_secs = rd_u64(&p);
	in.suites = rd_u8(&p);
	in.lanes = rd_u8(&p);
	assert(!rd_bad(&p)); /* HS_INIT_MIN holds it */
	if (in.lanes < 1 || in.lanes > LIM_LANES) {
		err = ERR_MALFORMED;
		goto out;
	}
	/* Own secrets don't belong into what says that it has none; resp_write puts them back. */
	memset(in.noise.s_sk, 0, sizeof(in.noise.s_sk));
	memset(in.noise.psk, 0, sizeof(in.noise.psk));
	*out = in;
out:
	noise_wipe(&in.noise);
	return err;
}

/* --- RESP: <- e, ee, s, es --- */

int handshake_resp_write(const struct hs_cfg *cfg, const struct hs_init *in,
	const struct hs_seal *seal, uint32_t local_index, ts_t now, uint8_t *buf, size_t cap)
{
	size_t len = HS_RESP_MIN + cfg->ext_len;
	uint8_t ident[HS_IDENT_LEN + HS_EXT_MAX];
	unsigned suite = agree_suite(in->suites, cfg->suites);
	struct noise n;
	struct state st;
	struct wr w;
	size_t ident_len;
	int err;

	assert(in->secret < cfg->nsecrets);
	if (suite == 0)
		return ERR_UNSUPPORTED;
	if (cap < len || in->len < len)
		return ERR_FULL;
	n = in->noise;
	memcpy(n.s_sk, cfg->id->x_sk, sizeof(n.s_sk));
	memcpy(n.psk, cfg->secrets[in->secret].psk, sizeof(n.psk));

	wr_init(&w, buf, len);
	put_header(&w, WIRE_RESP, local_index);
	wr_u32(&w, in->index);
	noise_mix_hash(&n.sym, buf, RESP_HDR);
	ident_len = put_ident(cfg, (enum wire_suite)suite, local_index, ident);
	err = noise_write(&n, noise_xxpsk3[1], ident, ident_len, &w);
	if (err != 0)
		goto out;

	memcpy(st.ck, n.sym.ck, sizeof(st.ck));
	memcpy(st.h, n.sym.h, sizeof(st.h));
	memcpy(st.k, n.sym.k, sizeof(st.k));
	memcpy(st.e_sk, n.e_sk, sizeof(st.e_sk));
	st.peer_index = in->index;
	st.local_index = local_index;
	st.suite = suite;
	st.secret = in->secret;
	st.created = now;
	assert(n.sym.n == 1); /* what open_state's user assumes */
	seal_state(seal, &st, wr_skip(&w, HS_STATE_LEN));
	sodium_memzero(&st, sizeof(st));
	err = put_mac1(&w, &cfg->secrets[in->secret]);
	assert(err == 0 && wr_left(&w) == 0);
	err = (int)len;
out:
	if (err < 0)
		sodium_memzero(buf, len);
	sodium_memzero(ident, sizeof(ident));
	noise_wipe(&n);
	return err;
}

int handshake_resp_read(struct handshake *hs, const struct hs_cfg *cfg, unsigned secret,
	const uint8_t *buf, size_t len)
{
	uint8_t ident[HS_IDENT_LEN + HS_EXT_MAX];
	struct noise n;
	struct hs_peer peer;
	uint32_t peer_index, index;
	size_t ident_len = 0;
	unsigned suite;
	struct rd r, noise_part;
	int err;

	(void)cfg;
	if (len < HS_RESP_MIN)
		return ERR_TRUNCATED;
	if (len > HS_RESP_MAX)
		return ERR_MALFORMED;
	if (hs->have_resp)
		return ERR_STATE;
	if (secret != hs->secret)
		return ERR_AUTH;
	rd_init(&r, buf, len - HS_MAC);
	rd_u32(&r);
	peer_index = rd_u32(&r);
	index = rd_u32(&r);
	if (index != hs->local_index)
		return ERR_NOT_FOUND;

	n = hs->noise;
	noise_mix_hash(&n.sym, buf, RESP_HDR);
	noise_part = rd_sub(&r, rd_left(&r) - HS_STATE_LEN);
	err = noise_read(&n, noise_xxpsk3[1], &noise_part, ident, sizeof(ident), &ident_len);
	if (err != 0)
		goto out;
	err = get_ident(ident, ident_len, n.rs, &peer, &suite);
	if (err != 0)
		goto out;
	if (!suite_valid(suite) || !(hs->suites & WIRE_SUITE_BIT(suite))) {
		err = ERR_UNSUPPORTED;
		goto out;
	}
	peer.index = peer_index;
	hs->peer = peer;
	hs->suite = (enum wire_suite)suite;
	hs->noise = n;
	hs->have_resp = true;
	rd_copy(&r, hs->state, HS_STATE_LEN);
	assert(rd_done(&r));
out:
	sodium_memzero(ident, sizeof(ident));
	sodium_memzero(&peer, sizeof(peer));
	noise_wipe(&n);
	return err;
}

/* --- FINAL: -> s, se, psk --- */

int handshake_final_write(const struct handshake *hs, const struct hs_cfg *cfg, uint8_t *buf,
	size_t cap, struct hs_keys *keys)
{
	size_t len = HS_FINAL_MIN + cfg->ext_len;
	uint8_t ident[HS_IDENT_LEN + HS_EXT_MAX];
	size_t ident_len;
	struct noise n;
	struct wr w;
	int err;

	if (!hs->have_resp)
		return ERR_STATE;
	assert(hs->secret < cfg->nsecrets);
	if (cap < len)
		return ERR_FULL;
	n = hs->noise;
	wr_init(&w, buf, len);
	put_header(&w, WIRE_FINAL, hs->peer.index);
	wr_copy(&w, hs->state, HS_STATE_LEN);
	noise_mix_hash(&n.sym, buf, FINAL_HDR);
	ident_len = put_ident(cfg, hs->suite, hs->local_index, ident);
	err = noise_write(&n, noise_xxpsk3[2], ident, ident_len, &w);
	if (err != 0)
		goto out;
	err = put_mac1(&w, &cfg->secrets[hs->secret]);
	assert(err == 0 && wr_left(&w) == 0);
	derive_keys(&n, hs->suite, keys);
	err = (int)len;
out:
	if (err < 0)
		sodium_memzero(buf, len);
	sodium_memzero(ident, sizeof(ident));
	noise_wipe(&n);
	return err;
}

int handshake_final_peek(const uint8_t *buf, size_t len, uint8_t id[HS_STATE_ID])
{
	if (len < HS_FINAL_MIN)
		return ERR_TRUNCATED;
	memcpy(id, buf + FINAL_HDR - HS_STATE_LEN, HS_STATE_ID);
	return 0;
}

/* Make the Noise state that resp_write left off with. */
static void resume_noise(struct noise *n, const struct hs_cfg *cfg, const struct state *st)
{
	memset(n, 0, sizeof(*n));
	memcpy(n->sym.ck, st->ck, sizeof(st->ck));
	memcpy(n->sym.h, st->h, sizeof(st->h));
	memcpy(n->sym.k, st->k, sizeof(st->k));
	n->sym.has_key = true;
	n->sym.n = 1; /* RESP's payload was the first message under this k */
	memcpy(n->e_sk, st->e_sk, sizeof(st->e_sk));
	n->has_psk = true;
	memcpy(n->psk, cfg->secrets[st->secret].psk, sizeof(n->psk));
}

/* Is the state one that may be used now, with this message? */
static int judge_state(
	const struct state *st, ts_t now, dur_t life, unsigned secret, uint32_t index)
{
	if (st->secret != secret || st->local_index != index || !suite_valid(st->suite))
		return ERR_AUTH;
	if (ts_before(now, st->created) || ts_due(ts_add(st->created, life), now))
		return ERR_STALE;
	return 0;
}

/* All of a FINAL that can be judged without DH. Fills in @st; wipe it, also on error. */
static int read_state(const struct hs_seal *seal, ts_t now, dur_t life, unsigned secret,
	const uint8_t *buf, size_t len, struct state *st)
{
	uint32_t index;
	struct rd r;
	int err;

	if (len < HS_FINAL_MIN)
		return ERR_TRUNCATED;
	if (len > HS_FINAL_MAX)
		return ERR_MALFORMED;
	rd_init(&r, buf, FINAL_HDR);
	rd_u32(&r);
	index = rd_u32(&r);
	err = open_state(seal, rd_take(&r, HS_STATE_LEN), st);
	return err != 0 ? err : judge_state(st, now, life, secret, index);
}

int handshake_final_check(const struct hs_seal *seal, ts_t now, dur_t life, unsigned secret,
	const uint8_t *buf, size_t len)
{
	struct state st = {0};
	int err = read_state(seal, now, life, secret, buf, len, &st);

	sodium_memzero(&st, sizeof(st));
	return err;
}

int handshake_final_read(const struct hs_cfg *cfg, const struct hs_seal *seal, ts_t now, dur_t life,
	unsigned secret, const uint8_t *buf, size_t len, struct hs_final *out)
{
	uint8_t ident[HS_IDENT_LEN + HS_EXT_MAX];
	struct noise n = {0};
	struct state st = {0};
	struct hs_peer peer;
	size_t ident_len = 0;
	unsigned suite;
	struct rd r;
	int err;

	assert(secret < cfg->nsecrets);
	err = read_state(seal, now, life, secret, buf, len, &st);
	if (err != 0)
		goto out;
	rd_init(&r, buf, len - HS_MAC);
	rd_take(&r, FINAL_HDR);

	resume_noise(&n, cfg, &st);
	noise_mix_hash(&n.sym, buf, FINAL_HDR);
	err = noise_read(&n, noise_xxpsk3[2], &r, ident, sizeof(ident), &ident_len);
	if (err != 0)
		goto out;
	err = get_ident(ident, ident_len, n.rs, &peer, &suite);
	if (err != 0)
		goto out;
	if (suite != st.suite) {
		err = ERR_AUTH;
		goto out;
	}
	peer.index = st.peer_index;
	out->peer = peer;
	derive_keys(&n, (enum wire_suite)st.suite, &out->keys);
	out->secret = st.secret;
	out->local_index = st.local_index;
	out->created = st.created;
	memcpy(out->state_id, buf + FINAL_HDR - HS_STATE_LEN, HS_STATE_ID);
out:
	sodium_memzero(ident, sizeof(ident));
	sodium_memzero(&st, sizeof(st));
	sodium_memzero(&peer, sizeof(peer));
	noise_wipe(&n);
	return err;
}

void handshake_wipe(struct handshake *hs)
{
	sodium_memzero(hs, sizeof(*hs));
}
