/* link_wire.c - codec of link_wire.h.
 *
 * Invitation: "weftlink1-" and base32 of
 *	version 8 | cluster | expires 64 | count 8 of endpoints | endpoints | secret 256 | check 32
 * Greeting:
 *	kind 8 | flags 8 (1: ask, 2: accept; others are skipped) | serial 32 | seen 32 | cluster | count 8 of gateways | (key 256 | count 8 | endpoints)
 * with cluster
 *	id 128 | AS number 32 | length 8 and bytes of the name | count 8 of ranges | (family 8, length 8,
 *	address)
 * and an endpoint
 *	family 8 | address | port 16 */
#include "link_wire.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "weft/err.h"

#define PREFIX         "weftlink1-"
#define INVITE_VERSION 1
#define INVITE_MAX     600
#define CHECK_BYTES    4
#define HELLO_F_ASK    1u
#define HELLO_F_ACCEPT 2u
#define ASN_FIRST      4200000000u
#define ASN_COUNT      94967295u

_Static_assert(LINK_INVITE_STRLEN > sizeof(PREFIX) + (INVITE_MAX * 8 + 4) / 5, "text fits");
_Static_assert(1 + 16 + 4 + 1 + NODE_NAME_MAX + 1 + LINK_RANGES_MAX * 18 + 8 + 1 +
			       LINK_EPS_MAX * 19 + 32 + CHECK_BYTES <=
		       INVITE_MAX,
	"every invitation fits");
_Static_assert(2 + 8 + 16 + 4 + 1 + NODE_NAME_MAX + 1 + LINK_RANGES_MAX * 18 + 1 +
			       LINK_GATEWAYS_MAX * (33 + LINK_GW_EPS_MAX * 19) <=
		       LINK_BODY_MAX,
	"every greeting fits");

/* --- pieces --- */

static int get_ip(struct rd *r, struct ip *ip)
{
	memset(ip, 0, sizeof(*ip));
	ip->family = rd_u8(r);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	if (ip->family != IP_V4 && ip->family != IP_V6)
		return ERR_MALFORMED;
	return 0;
}

static int get_ep(struct rd *r, struct ep *e)
{
	int err;

	memset(e, 0, sizeof(*e));
	err = get_ip(r, &e->ip);
	if (err)
		return err;
	rd_copy(r, e->ip.b, ip_bits(&e->ip) / 8);
	e->port = rd_u16(r);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	if (e->port == 0 || ip_is_unspecified(&e->ip) || ip_is_multicast(&e->ip) ||
		ip_is_link_local(&e->ip))
		return ERR_MALFORMED;
	return 0;
}

static void put_ep(struct wr *w, const struct ep *e)
{
	wr_u8(w, e->ip.family);
	wr_copy(w, e->ip.b, ip_bits(&e->ip) / 8);
	wr_u16(w, e->port);
}

static int get_eps(struct rd *r, struct ep *eps, size_t max, size_t *n)
{
	size_t count = rd_u8(r);
	int err = 0;

	if (count > max)
		return ERR_MALFORMED;
	for (*n = 0; *n < count && !err; (*n)++)
		err = get_ep(r, &eps[*n]);
	return err;
}

static void put_eps(struct wr *w, const struct ep *eps, size_t n)
{
	wr_u8(w, (uint8_t)n);
	for (size_t i = 0; i < n; i++)
		put_ep(w, &eps[i]);
}

static int get_range(struct rd *r, struct pfx *p)
{
	struct ip ip;
	unsigned len;
	int err = get_ip(r, &ip);

	if (err)
		return err;
	len = rd_u8(r);
	rd_copy(r, ip.b, ip_bits(&ip) / 8);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	if (pfx_make(&ip, len, p) || !ip_eq(&p->ip, &ip))
		return ERR_MALFORMED;
	return 0;
}

/* Names go to logs and tables: no other characters than a name's. */
static int get_name(struct rd *r, char name[NODE_NAME_MAX + 1])
{
	size_t len = rd_u8(r);

	if (len > NODE_NAME_MAX)
		return ERR_MALFORMED;
	rd_copy(r, name, len);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	name[len] = '\0';
	return strlen(name) != len || (len && !node_name_ok(name)) ? ERR_MALFORMED : 0;
}

static int get_cluster(struct rd *r, struct link_cluster *c)
{
	size_t n;
	int err;

	rd_copy(r, c->id.b, sizeof(c->id.b));
	c->asn = rd_u32(r);
	err = get_name(r, c->name);
	if (err)
		return err;
	n = rd_u8(r);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	if (c->asn == 0 || n > LINK_RANGES_MAX)
		return ERR_MALFORMED;
	for (c->nranges = 0; c->nranges < n && !err; c->nranges++)
		err = get_range(r, &c->ranges[c->nranges]);
	return err;
}

static void put_cluster(struct wr *w, const struct link_cluster *c)
{
	size_t len = strlen(c->name);

	assert(len <= NODE_NAME_MAX && c->nranges <= LINK_RANGES_MAX && c->asn != 0);
	wr_copy(w, c->id.b, sizeof(c->id.b));
	wr_u32(w, c->asn);
	wr_u8(w, (uint8_t)len);
	wr_copy(w, c->name, len);
	wr_u8(w, (uint8_t)c->nranges);
	for (size_t i = 0; i < c->nranges; i++) {
		const struct pfx *p = &c->ranges[i];

		wr_u8(w, p->ip.family);
		wr_u8(w, p->len);
		wr_copy(w, p->ip.b, ip_bits(&p->ip) / 8);
	}
}

/* --- invitation --- */

void link_invite_wipe(struct link_invite *v)
{
	sodium_memzero(v, sizeof(*v));
}

static void check_bytes(const uint8_t *buf, size_t len, uint8_t out[CHECK_BYTES])
{
	uint8_t h[crypto_generichash_BYTES_MIN];

	crypto_generichash(h, sizeof(h), buf, len, NULL, 0);
	memcpy(out, h, CHECK_BYTES);
}

char *link_invite_fmt(const struct link_invite *v, char *out)
{
	uint8_t buf[INVITE_MAX], check[CHECK_BYTES];
	struct wr w;

	assert(v->neps <= LINK_EPS_MAX);
	wr_init(&w, buf, sizeof(buf));
	wr_u8(&w, INVITE_VERSION);
	put_cluster(&w, &v->from);
	wr_u64(&w, v->expires_unix);
	put_eps(&w, v->eps, v->neps);
	wr_copy(&w, v->secret.b, sizeof(v->secret.b));
	check_bytes(buf, wr_len(&w), check);
	wr_copy(&w, check, sizeof(check));
	assert(!wr_bad(&w));
	memcpy(out, PREFIX, strlen(PREFIX));
	b32_fmt(buf, wr_len(&w), out + strlen(PREFIX));
	sodium_memzero(buf, sizeof(buf));
	return out;
}

static int invite_decode(const uint8_t *buf, size_t len, struct link_invite *v)
{
	struct rd r;
	int err;

	rd_init(&r, buf, len - CHECK_BYTES);
	if (rd_u8(&r) != INVITE_VERSION)
		return ERR_VERSION;
	err = get_cluster(&r, &v->from);
	if (err)
		return err;
	v->expires_unix = rd_u64(&r);
	err = get_eps(&r, v->eps, LINK_EPS_MAX, &v->neps);
	if (err)
		return err;
	rd_copy(&r, v->secret.b, sizeof(v->secret.b));
	return rd_done(&r) ? 0 : ERR_MALFORMED;
}

/* The text without blanks, into @out of LINK_INVITE_STRLEN. False: too long. */
static bool squeeze(const char *text, char *out)
{
	size_t n = 0;

	for (; *text; text++) {
		if (strchr(" \t\r\n", *text))
			continue;
		if (n == LINK_INVITE_STRLEN - 1)
			return false;
		out[n++] = *text;
	}
	out[n] = '\0';
	return true;
}

int link_invite_parse(const char *text, struct link_invite *out)
{
	char line[LINK_INVITE_STRLEN];
	uint8_t buf[INVITE_MAX + CHECK_BYTES], check[CHECK_BYTES];
	const char *code = line + strlen(PREFIX);
	int err = ERR_MALFORMED;
	size_t len;

	memset(out, 0, sizeof(*out));
	if (!squeeze(text, line) || strncmp(line, PREFIX, strlen(PREFIX)) != 0)
		goto out;
	len = strlen(code) * 5 / 8;
	if (len <= CHECK_BYTES || len > sizeof(buf))
		goto out;
	err = ERR_CORRUPT;
	if (b32_parse(code, buf, len))
		goto out;
	check_bytes(buf, len - CHECK_BYTES, check);
	if (sodium_memcmp(check, buf + len - CHECK_BYTES, CHECK_BYTES) != 0)
		goto out;
	err = invite_decode(buf, len, out);
	if (err == ERR_TRUNCATED)
		err = ERR_MALFORMED;
out:
	if (err)
		link_invite_wipe(out);
	sodium_memzero(line, sizeof(line));
	sodium_memzero(buf, sizeof(buf));
	return err;
}

/* --- greeting and refusal --- */

size_t link_hello_encode(const struct link_hello *h, uint8_t *buf)
{
	struct wr w;

	assert(h->ngateways <= LINK_GATEWAYS_MAX);
	wr_init(&w, buf, LINK_BODY_MAX);
	wr_u8(&w, LINK_HELLO);
	wr_u8(&w, (uint8_t)((h->ask ? HELLO_F_ASK : 0) | (h->accept ? HELLO_F_ACCEPT : 0)));
	wr_u32(&w, h->serial);
	wr_u32(&w, h->seen);
	put_cluster(&w, &h->who);
	wr_u8(&w, (uint8_t)h->ngateways);
	for (size_t i = 0; i < h->ngateways; i++) {
		const struct link_gateway *g = &h->gateways[i];

		assert(g->neps <= LINK_GW_EPS_MAX);
		wr_copy(&w, g->key.b, sizeof(g->key.b));
		put_eps(&w, g->eps, g->neps);
	}
	assert(!wr_bad(&w));
	return wr_len(&w);
}

int link_kind_of(const uint8_t *buf, size_t len)
{
	if (len < 1)
		return ERR_TRUNCATED;
	return buf[0] == LINK_HELLO || buf[0] == LINK_REFUSAL ? buf[0] : ERR_UNSUPPORTED;
}

int link_hello_decode(const uint8_t *buf, size_t len, struct link_hello *out)
{
	struct rd r;
	unsigned flags;
	size_t n;
	int err;

	memset(out, 0, sizeof(*out));
	rd_init(&r, buf, len);
	if (rd_u8(&r) != LINK_HELLO)
		return rd_bad(&r) ? ERR_TRUNCATED : ERR_MALFORMED;
	flags = rd_u8(&r);
	out->ask = flags & HELLO_F_ASK;
	out->accept = flags & HELLO_F_ACCEPT;
	out->serial = rd_u32(&r);
	out->seen = rd_u32(&r);
	err = get_cluster(&r, &out->who);
	if (err)
		return err;
	n = rd_u8(&r);
	if (rd_bad(&r))
		return ERR_TRUNCATED;
	if (out->serial == 0 || n > LINK_GATEWAYS_MAX)
		return ERR_MALFORMED;
	for (out->ngateways = 0; out->ngateways < n && !err; out->ngateways++) {
		struct link_gateway *g = &out->gateways[out->ngateways];

		rd_copy(&r, g->key.b, sizeof(g->key.b));
		err = get_eps(&r, g->eps, LINK_GW_EPS_MAX, &g->neps);
	}
	return err ? err : rd_bad(&r) ? ERR_TRUNCATED : 0;
}

size_t link_refusal_encode(uint32_t serial, const char *text, uint8_t *buf)
{
	size_t len = strnlen(text, LINK_TEXT_MAX);
	struct wr w;

	wr_init(&w, buf, LINK_BODY_MAX);
	wr_u8(&w, LINK_REFUSAL);
	wr_u32(&w, serial);
	wr_u8(&w, (uint8_t)len);
	wr_copy(&w, text, len);
	return wr_len(&w);
}

int link_refusal_decode(const uint8_t *buf, size_t len, uint32_t *serial, char *text)
{
	struct rd r;
	size_t n;

	rd_init(&r, buf, len);
	if (rd_u8(&r) != LINK_REFUSAL)
		return rd_bad(&r) ? ERR_TRUNCATED : ERR_MALFORMED;
	*serial = rd_u32(&r);
	n = rd_u8(&r);
	if (n > LINK_TEXT_MAX)
		return ERR_MALFORMED;
	rd_copy(&r, text, n);
	if (rd_bad(&r))
		return ERR_TRUNCATED;
	text[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	return 0;
}

uint32_t link_asn_of(const struct cluster_id *id)
{
	uint8_t h[crypto_generichash_BYTES_MIN];
	struct rd r;

	crypto_generichash(h, sizeof(h), id->b, sizeof(id->b), NULL, 0);
	rd_init(&r, h, sizeof(h));
	return ASN_FIRST + rd_u32(&r) % ASN_COUNT;
}
