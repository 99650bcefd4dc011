/* key.c - long-lived keys: the cluster secret, a node's identity, and what is derived from them.
 *
 * Every derivation is BLAKE2b keyed with the parent key over a label of its own ("weft 1 ..."), so
 * no two outputs are related and none leads back to its parent (what is public anyway is hashed
 * without a key). Labels are part of the wire format: changing one makes the mesh fall apart into
 * two.
 *
 *	secret (32 random bytes) --> psk, mac1, cookie keys; cluster id
 *	seed (32 random bytes)   --> Ed25519 pair --> X25519 pair; reset key
 *	cluster id, node key     --> address in the control segment
 *
 * A node is named by its Ed25519 key, but Noise authenticates the X25519 one. The map from the
 * first to the second is not one to one (a point and its negative, encodings that are not
 * canonical), so key_x25519_of() refuses every key that is not the only encoding of a point of the
 * prime-order group; who compares identities for revocation uses the X25519 form (DESIGN 6.1).
 *
 * No state, no allocation. Secrets on the stack are wiped. */
#include <assert.h>
#include <sodium.h>
#include <string.h>
#include "key.h"
#include "weft/buf.h"
#include "weft/err.h"

#define SECRET_PREFIX "weft1-"
#define CHECK_BYTES   4

/* Put out @len bytes of BLAKE2b over the label, its NUL, and @data; keyed with 32 bytes at @key
 * unless that is NULL. */
static void derive(uint8_t *out, size_t len, const uint8_t *key, const char *label,
	const uint8_t *data, size_t data_len)
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, key, key ? 32 : 0, len);
	crypto_generichash_update(&st, (const uint8_t *)label, strlen(label) + 1);
	if (data_len)
		crypto_generichash_update(&st, data, data_len);
	crypto_generichash_final(&st, out, len);
	sodium_memzero(&st, sizeof(st));
}

int key_init(void)
{
	return sodium_init() < 0 ? ERR_UNSUPPORTED : 0;
}

void secret_generate(struct secret *out)
{
	randombytes_buf(out->b, sizeof(out->b));
}

static void secret_check(const struct secret *s, uint8_t out[CHECK_BYTES])
{
	uint8_t hash[crypto_generichash_BYTES];

	derive(hash, sizeof(hash), s->b, "weft 1 secret check", NULL, 0);
	memcpy(out, hash, CHECK_BYTES);
	sodium_memzero(hash, sizeof(hash));
}

char *secret_fmt(const struct secret *s, char *out)
{
	uint8_t raw[sizeof(s->b) + CHECK_BYTES];

	memcpy(raw, s->b, sizeof(s->b));
	secret_check(s, raw + sizeof(s->b));
	memcpy(out, SECRET_PREFIX, strlen(SECRET_PREFIX));
	b32_fmt(raw, sizeof(raw), out + strlen(SECRET_PREFIX));
	sodium_memzero(raw, sizeof(raw));
	return out;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int secret_parse(const char *text, struct secret *out)
{
	char line[SECRET_STRLEN];
	uint8_t raw[sizeof(out->b) + CHECK_BYTES], check[CHECK_BYTES];
	struct secret s;
	size_t len;
	int err = ERR_MALFORMED;

	while (blank(*text))
		text++;
	len = strlen(text);
	while (len && blank(text[len - 1]))
		len--;
	if (len != SECRET_STRLEN - 1 || strncmp(text, SECRET_PREFIX, strlen(SECRET_PREFIX)) != 0)
		return ERR_MALFORMED;
	memcpy(line, text, len);
	line[len] = '\0';
	if (b32_parse(line + strlen(SECRET_PREFIX), raw, sizeof(raw)) != 0)
		goto out;
	memcpy(s.b, raw, sizeof(s.b));
	secret_check(&s, check);
	if (sodium_memcmp(check, raw + sizeof(s.b), CHECK_BYTES) != 0) {
		err = ERR_CORRUPT;
		goto out;
	}
	*out = s;
	err = 0;
out:
	sodium_memzero(line, sizeof(line));
	sodium_memzero(raw, sizeof(raw));
	sodium_memzero(&s, sizeof(s));
	return err;
}

void secret_derive(const struct secret *s, struct secret_keys *out)
{
	derive(out->psk, sizeof(out->psk), s->b, "weft 1 psk", NULL, 0);
	derive(out->mac1, sizeof(out->mac1), s->b, "weft 1 mac1", NULL, 0);
	derive(out->cookie, sizeof(out->cookie), s->b, "weft 1 cookie", NULL, 0);
}

void secret_cluster_id(const struct secret *s, struct cluster_id *out)
{
	derive(out->b, sizeof(out->b), s->b, "weft 1 cluster id", NULL, 0);
}

void identity_from_seed(const uint8_t seed[32], struct identity *out)
{
	memmove(out->seed, seed, sizeof(out->seed));
	crypto_sign_ed25519_seed_keypair(out->pub.b, out->ed_sk, out->seed);
	crypto_sign_ed25519_sk_to_curve25519(out->x_sk, out->ed_sk);
	crypto_scalarmult_curve25519_base(out->x_pub, out->x_sk);
	derive(out->reset_key, sizeof(out->reset_key), out->seed, "weft 1 reset", NULL, 0);
}

void key_cluster_of_name(const char *name, struct cluster_id *out)
{
	derive(out->b, sizeof(out->b), NULL, "weft 1 cluster name", (const uint8_t *)name,
		strlen(name));
}

void identity_generate(struct identity *out)
{
	uint8_t seed[32];

	randombytes_buf(seed, sizeof(seed));
	identity_from_seed(seed, out);
	sodium_memzero(seed, sizeof(seed));
}

void identity_wipe(struct identity *id)
{
	sodium_memzero(id, sizeof(*id));
}

int key_x25519_of(const struct node_key *k, uint8_t out[32])
{
	uint8_t x[32];

	/* Canonical (y below p, and no negative zero), on the curve, and in the group of prime
	 * order: that leaves one encoding of each point and no point of small order, alone or
	 * mixed in. */
	if (!crypto_core_ed25519_is_valid_point(k->b))
		return ERR_AUTH;
	if (crypto_sign_ed25519_pk_to_curve25519(x, k->b) != 0)
		return ERR_AUTH;
	memcpy(out, x, sizeof(x));
	return 0;
}

/* What is signed: label, zero byte, message. Returns its length. The zero ends the label, so no
 * label is the beginning of another's message. */
static size_t labelled(uint8_t *buf, size_t cap, const char *label, const uint8_t *msg, size_t len)
{
	struct wr w;

	assert(*label && strlen(label) <= KEY_LABEL_MAX);
	wr_init(&w, buf, cap);
	wr_copy(&w, label, strlen(label) + 1);
	wr_copy(&w, msg, len);
	assert(!wr_bad(&w));
	return wr_len(&w);
}

void key_sign(const struct identity *id, const char *label, const uint8_t *msg, size_t len,
	uint8_t sig[64])
{
	uint8_t buf[KEY_LABEL_MAX + 1 + KEY_SIGN_MAX];

	assert(len <= KEY_SIGN_MAX);
	crypto_sign_ed25519_detached(
		sig, NULL, buf, labelled(buf, sizeof(buf), label, msg, len), id->ed_sk);
}

int key_verify(const struct node_key *k, const char *label, const uint8_t *msg, size_t len,
	const uint8_t sig[64])
{
	uint8_t buf[KEY_LABEL_MAX + 1 + KEY_SIGN_MAX];

	if (len > KEY_SIGN_MAX)
		return ERR_AUTH;
	/* libsodium refuses keys that are not canonical or of small order, and an S that is not
	 * reduced (RFC 8032 5.1.7). */
	return crypto_sign_ed25519_verify_detached(
		       sig, buf, labelled(buf, sizeof(buf), label, msg, len), k->b) == 0
		       ? 0
		       : ERR_AUTH;
}

void key_control_prefix(const struct cluster_id *c, struct pfx *out)
{
	/* RFC 4193 3.1: fd00::/8, then 40 bits of global id that nobody else is likely to have */
	struct ip ip = {.family = IP_V6, .b = {0xfd}};
	uint8_t hash[crypto_generichash_BYTES];
	int err;

	derive(hash, sizeof(hash), NULL, "weft 1 control net", c->b, sizeof(c->b));
	memcpy(ip.b + 1, hash, 5);
	err = pfx_make(&ip, 48, out);
	assert(err == 0);
}

void key_control_addr(const struct cluster_id *c, const struct node_key *k, struct ip *out)
{
	uint8_t hash[crypto_generichash_BYTES];
	struct pfx net;

	key_control_prefix(c, &net);
	derive(hash, sizeof(hash), NULL, "weft 1 control node", k->b, sizeof(k->b));
	*out = net.ip;
	memcpy(out->b + 6, hash, 10);
}
