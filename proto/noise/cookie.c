/* Cookies and resets: what weft answers when it will not, or can not, talk to a datagram's sender.
 *
 * A cookie proves that the sender of an INIT receives at the address it sends from. It is a MAC of
 * that address under one of two random keys (the jar), so nothing is remembered per sender. It
 * travels sealed under the cluster's cookie key with the INIT's MAC1 as associated data: outsiders
 * can neither read one, nor make one, nor give a recorded one to another INIT. The INIT that comes
 * back carries MAC2, keyed with the cookie.
 *
 * A reset token is a MAC of a receiver index under a key that lives as long as the identity. It is
 * given to the peer inside the handshake; a node that lost its sessions can make it again from the
 * index alone, and nobody else can.
 *
 * In: INITs whose MAC1 verified, addresses, time. Out: COOKIE, RESET, and yes or no. Bound: two
 * keys, whatever comes. Failure: false or an error, nothing changed. */
#include "cookie.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "weft/wire.h"
#include "handshake.h"

#define HDR       8
#define OFF_NONCE 8
#define OFF_SEAL  32
#define OFF_MAC1  64

_Static_assert(
	OFF_SEAL == OFF_NONCE + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES &&
		OFF_MAC1 == OFF_SEAL + COOKIE_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES &&
		COOKIE_LEN == OFF_MAC1 + HS_MAC,
	"layout of COOKIE");
_Static_assert(COOKIE_LEN < HS_INIT_MIN, "a cookie never amplifies");

void cookie_jar_init(struct cookie_jar *j, dur_t life, ts_t now)
{
	assert(life.ns > 0);
	memset(j, 0, sizeof(*j));
	randombytes_buf(j->key[0], sizeof(j->key[0]));
	j->life = life;
	j->made = now;
}

void cookie_jar_wipe(struct cookie_jar *j)
{
	sodium_memzero(j, sizeof(*j));
}

/* Bring the keys up to date. A key's time is counted from when it was due, not from when somebody
 * asked, so a cookie never holds longer than two lives. */
static void rotate(struct cookie_jar *j, ts_t now)
{
	int64_t age = ts_sub(now, j->made).ns;

	if (age < j->life.ns)
		return;
	if (age < 2 * j->life.ns) {
		memcpy(j->key[1], j->key[0], sizeof(j->key[1]));
		j->has_old = true;
		j->made = ts_add(j->made, j->life);
	} else {
		sodium_memzero(j->key[1], sizeof(j->key[1]));
		j->has_old = false;
		j->made = now;
	}
	randombytes_buf(j->key[0], sizeof(j->key[0]));
}

static void make_cookie(const uint8_t key[32], const struct ep *from, uint8_t out[COOKIE_SIZE])
{
	uint8_t addr[1 + 16 + 2 + 4];
	struct wr w;

	wr_init(&w, addr, sizeof(addr));
	wr_u8(&w, from->ip.family);
	wr_copy(&w, from->ip.b, sizeof(from->ip.b));
	wr_u16(&w, from->port);
	wr_u32(&w, from->scope);
	assert(wr_left(&w) == 0);
	crypto_generichash(out, COOKIE_SIZE, addr, sizeof(addr), key, 32);
}

static bool init_len_ok(size_t len)
{
	return len >= HS_INIT_MIN && len <= WIRE_CONTROL_MAX;
}

int cookie_write(struct cookie_jar *j, const struct secret_keys *keys, const struct ep *from,
	const uint8_t *init, size_t init_len, ts_t now, uint8_t *buf, size_t cap)
{
	uint8_t cookie[COOKIE_SIZE];
	uint8_t *nonce, *sealed, *mac1;
	struct rd r;
	struct wr w;

	if (!init_len_ok(init_len))
		return ERR_TRUNCATED;
	if (cap < COOKIE_LEN)
		return ERR_FULL;
	rotate(j, now);
	make_cookie(j->key[0], from, cookie);
	rd_init(&r, init, HDR);
	rd_u32(&r);

	wr_init(&w, buf, COOKIE_LEN);
	wr_u8(&w, WIRE_TYPE_BYTE(WIRE_COOKIE));
	wr_zero(&w, 3);
	wr_u32(&w, rd_u32(&r));
	nonce = wr_skip(&w, OFF_SEAL - OFF_NONCE);
	sealed = wr_skip(&w, OFF_MAC1 - OFF_SEAL);
	mac1 = wr_skip(&w, HS_MAC);
	assert(!wr_bad(&w) && wr_left(&w) == 0);
	randombytes_buf(nonce, OFF_SEAL - OFF_NONCE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, NULL, cookie, sizeof(cookie),
		init + init_len - 2 * HS_MAC, HS_MAC, NULL, nonce, keys->cookie);
	crypto_generichash(mac1, HS_MAC, buf, OFF_MAC1, keys->mac1, sizeof(keys->mac1));
	sodium_memzero(cookie, sizeof(cookie));
	return COOKIE_LEN;
}

int cookie_index(const uint8_t *buf, size_t len, uint32_t *index)
{
	struct rd r;

	if (len < COOKIE_LEN)
		return ERR_TRUNCATED;
	rd_init(&r, buf, len);
	rd_u32(&r);
	*index = rd_u32(&r);
	return 0;
}

int cookie_read(const struct secret_keys *keys, uint32_t index, const uint8_t init_mac1[16],
	const uint8_t *buf, size_t len, uint8_t cookie[COOKIE_SIZE])
{
	uint8_t plain[COOKIE_SIZE];
	const uint8_t *nonce, *sealed;
	struct rd r;

	if (len < COOKIE_LEN)
		return ERR_TRUNCATED;
	if (len > COOKIE_LEN)
		return ERR_MALFORMED;
	rd_init(&r, buf, len);
	rd_u32(&r);
	if (rd_u32(&r) != index)
		return ERR_NOT_FOUND;
	nonce = rd_take(&r, OFF_SEAL - OFF_NONCE);
	sealed = rd_take(&r, OFF_MAC1 - OFF_SEAL);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, sealed,
		    OFF_MAC1 - OFF_SEAL, init_mac1, HS_MAC, nonce, keys->cookie) != 0)
		return ERR_AUTH;
	memcpy(cookie, plain, sizeof(plain));
	sodium_memzero(plain, sizeof(plain));
	return 0;
}

static void mac2(
	const uint8_t cookie[COOKIE_SIZE], const uint8_t *init, size_t len, uint8_t out[HS_MAC])
{
	crypto_generichash(out, HS_MAC, init, len - HS_MAC, cookie, COOKIE_SIZE);
}

void cookie_mac2_add(const uint8_t cookie[COOKIE_SIZE], uint8_t *init, size_t len)
{
	assert(init_len_ok(len));
	mac2(cookie, init, len, init + len - HS_MAC);
}

bool cookie_mac2_check(
	struct cookie_jar *j, const struct ep *from, const uint8_t *init, size_t len, ts_t now)
{
	bool ok = false;

	if (!init_len_ok(len))
		return false;
	rotate(j, now);
	for (int i = 0; i < (j->has_old ? 2 : 1) && !ok; i++) {
		uint8_t cookie[COOKIE_SIZE], want[HS_MAC];

		make_cookie(j->key[i], from, cookie);
		mac2(cookie, init, len, want);
		ok = sodium_memcmp(want, init + len - HS_MAC, HS_MAC) == 0;
		sodium_memzero(cookie, sizeof(cookie));
		sodium_memzero(want, sizeof(want));
	}
	return ok;
}

void reset_token(const uint8_t reset_key[32], uint32_t index, uint8_t token[RESET_TOKEN])
{
	static const char label[] = "weft reset token";
	uint8_t in[sizeof(label) - 1 + 4];
	struct wr w;

	wr_init(&w, in, sizeof(in));
	wr_copy(&w, label, sizeof(label) - 1);
	wr_u32(&w, index);
	crypto_generichash(token, RESET_TOKEN, in, sizeof(in), reset_key, 32);
}

int reset_write(const uint8_t reset_key[32], uint32_t index, uint8_t *buf, size_t cap)
{
	uint8_t token[RESET_TOKEN];
	struct wr w;

	if (cap < RESET_LEN)
		return ERR_FULL;
	reset_token(reset_key, index, token);
	wr_init(&w, buf, RESET_LEN);
	wr_u8(&w, WIRE_TYPE_BYTE(WIRE_RESET));
	wr_zero(&w, 3);
	wr_u32(&w, index);
	wr_copy(&w, token, sizeof(token));
	assert(!wr_bad(&w) && wr_left(&w) == 0);
	return RESET_LEN;
}

int reset_read(const uint8_t *buf, size_t len, uint32_t *index, uint8_t token[RESET_TOKEN])
{
	struct rd r;
	uint8_t head;

	if (len < RESET_LEN)
		return ERR_TRUNCATED;
	if (len > RESET_LEN)
		return ERR_MALFORMED;
	rd_init(&r, buf, len);
	head = rd_u8(&r);
	if (WIRE_VERSION_OF(head) != WIRE_VERSION)
		return ERR_VERSION;
	if (WIRE_TYPE_OF(head) != WIRE_RESET)
		return ERR_UNSUPPORTED;
	rd_u24(&r);
	*index = rd_u32(&r);
	rd_copy(&r, token, RESET_TOKEN);
	return 0;
}

bool reset_token_eq(const uint8_t a[RESET_TOKEN], const uint8_t b[RESET_TOKEN])
{
	return sodium_memcmp(a, b, RESET_TOKEN) == 0;
}
