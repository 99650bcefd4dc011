/* addr.c - IP addresses, prefixes and endpoints, and their texts (RFC 4291 2.2 in, RFC 5952 out).
 *
 * Parsers accept one spelling of each number (no leading zeros in IPv4, no signs, no blanks) and no
 * text around it: what a person mistypes is refused, not guessed at. */
#include <endian.h>
#include <stdio.h>
#include <string.h>
#include "weft/addr.h"
#include "weft/err.h"

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:0:0/96 */

unsigned ip_bits(const struct ip *ip)
{
	return ip->family == IP_V4 ? 32 : ip->family == IP_V6 ? 128 : 0;
}

struct ip ip_v4(uint32_t host_order)
{
	return (struct ip){.family = IP_V4,
		.b = {(uint8_t)(host_order >> 24), (uint8_t)(host_order >> 16),
			(uint8_t)(host_order >> 8), (uint8_t)host_order}};
}

struct ip ip_v4_bytes(const uint8_t b[4])
{
	return (struct ip){.family = IP_V4, .b = {b[0], b[1], b[2], b[3]}};
}

struct ip ip_v6_bytes(const uint8_t b[16])
{
	struct ip ip = {.family = IP_V6};

	memcpy(ip.b, b, 16);
	return ip;
}

bool ip_eq(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

int ip_cmp(const struct ip *a, const struct ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool ip_is_unspecified(const struct ip *ip)
{
	static const uint8_t zero[16];

	return ip->family != IP_NONE && memcmp(ip->b, zero, sizeof(zero)) == 0;
}

bool ip_is_loopback(const struct ip *ip)
{
	static const uint8_t one[16] = {[15] = 1};

	if (ip->family == IP_V4)
		return ip->b[0] == 127;
	return ip->family == IP_V6 && memcmp(ip->b, one, sizeof(one)) == 0;
}

bool ip_is_multicast(const struct ip *ip)
{
	if (ip->family == IP_V4)
		return ip->b[0] >> 4 == 0xe;
	return ip->family == IP_V6 && ip->b[0] == 0xff;
}

bool ip_is_link_local(const struct ip *ip)
{
	if (ip->family == IP_V4)
		return ip->b[0] == 169 && ip->b[1] == 254;
	return ip->family == IP_V6 && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
}

void ip_unmap(struct ip *ip)
{
	if (ip->family == IP_V6 && memcmp(ip->b, mapped, sizeof(mapped)) == 0)
		*ip = ip_v4_bytes(ip->b + 12);
}

/* A decimal number of at most @max without leading zeros in [@s, @end), or -1. */
static long decimal(const char *s, const char *end, long max)
{
	long v = 0;

	if (s == end || (*s == '0' && end - s > 1))
		return -1;
	for (; s < end; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		v = v * 10 + (*s - '0');
		if (v > max)
			return -1;
	}
	return v;
}

static bool parse_v4(const char *s, const char *end, uint8_t out[4])
{
	for (int i = 0; i < 4; i++) {
		const char *stop = i < 3 ? memchr(s, '.', (size_t)(end - s)) : end;
		long v = stop ? decimal(s, stop, 255) : -1;
		if (v < 0)
			return false;
		out[i] = (uint8_t)v;
		s = i < 3 ? stop + 1 : stop;
	}
	return true;
}

/* One to four hexadecimal digits in [@s, @end), or -1. */
static long hex16(const char *s, const char *end)
{
	long v = 0;

	if (s == end || end - s > 4)
		return -1;
	for (; s < end; s++) {
		char c = *s;
		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			v = v << 4 | (c - 'A' + 10);
		else
			return -1;
	}
	return v;
}

/* RFC 4291 2.2: groups, at most one "::" for one or more zero groups, the last two groups possibly
 * as a dotted quad. */
static bool parse_v6(const char *s, const char *end, uint8_t out[16])
{
	uint8_t b[16];
	size_t n = 0, gap = SIZE_MAX;

	if (end - s >= 2 && s[0] == ':' && s[1] == ':') {
		gap = 0;
		s += 2;
	}
	while (s < end) {
		const char *stop = memchr(s, ':', (size_t)(end - s));
		long v = hex16(s, stop ? stop : end);
		if (v < 0) {
			if (stop || n > 12 || !parse_v4(s, end, b + n))
				return false;
			n += 4;
			break;
		}
		if (n > 14)
			return false;
		b[n++] = (uint8_t)(v >> 8);
		b[n++] = (uint8_t)v;
		if (!stop)
			break;
		s = stop + 1;
		if (s == end)
			return false;
		if (*s == ':') {
			if (gap != SIZE_MAX)
				return false;
			gap = n;
			s++;
		}
	}
	if (gap == SIZE_MAX ? n != 16 : n > 14)
		return false;
	memset(out, 0, 16);
	if (gap == SIZE_MAX)
		gap = n;
	memcpy(out, b, gap);
	memcpy(out + 16 - (n - gap), b + gap, n - gap);
	return true;
}

static int parse_span(const char *s, const char *end, struct ip *out)
{
	struct ip ip = {0};

	if (memchr(s, ':', (size_t)(end - s))) {
		ip.family = IP_V6;
		if (!parse_v6(s, end, ip.b))
			return ERR_MALFORMED;
	} else {
		ip.family = IP_V4;
		if (!parse_v4(s, end, ip.b))
			return ERR_MALFORMED;
	}
	*out = ip;
	return 0;
}

int ip_parse(const char *text, struct ip *out)
{
	return parse_span(text, text + strlen(text), out);
}

/* RFC 5952 4.2: "::" stands for the longest run of two or more zero groups, the first of equals.
 * Sets *@from and *@to; equal if there is none. */
static void longest_gap(const uint8_t b[16], int *from, int *to)
{
	*from = *to = 0;
	for (int i = 0; i < 8;) {
		int j = i;
		while (j < 8 && b[2 * j] == 0 && b[2 * j + 1] == 0)
			j++;
		if (j - i >= 2 && j - i > *to - *from) {
			*from = i;
			*to = j;
		}
		i = j > i ? j : i + 1;
	}
}

char *ip_fmt(const struct ip *ip, char *out)
{
	const uint8_t *b = ip->b;
	int from, to;
	char *o = out;

	if (ip->family == IP_V4) {
		snprintf(out, IP_STRLEN, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
		return out;
	}
	if (ip->family != IP_V6)
		return strcpy(out, "none");
	/* RFC 5952 5: where the prefix says that an IPv4 address is inside, it is shown as one. */
	if (memcmp(b, mapped, sizeof(mapped)) == 0) {
		snprintf(out, IP_STRLEN, "::ffff:%u.%u.%u.%u", b[12], b[13], b[14], b[15]);
		return out;
	}
	longest_gap(b, &from, &to);
	for (int i = 0; i < 8; i++) {
		if (i == from && to > from) {
			*o++ = ':';
			*o++ = ':';
			i = to - 1;
			continue;
		}
		if (i > 0 && !(i == to && to > from))
			*o++ = ':';
		o += snprintf(o, 5, "%x", (unsigned)(b[2 * i] << 8 | b[2 * i + 1]));
	}
	*o = '\0';
	return out;
}

/* Clear all but the first @len bits. */
static void keep_bits(uint8_t b[16], unsigned len)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned left = len > 8 * i ? len - 8 * i : 0;
		if (left < 8)
			b[i] &= (uint8_t)(0xff00 >> left);
	}
}

static uint64_t load_be(const uint8_t b[8])
{
	uint64_t v;

	memcpy(&v, b, sizeof(v));
	return be64toh(v);
}

/* Do the first @len of 128 bits agree? */
static bool same_bits(const uint8_t a[16], const uint8_t b[16], unsigned len)
{
	uint64_t high = load_be(a) ^ load_be(b);

	if (len <= 64)
		return len == 0 || high >> (64 - len) == 0;
	return high == 0 && (load_be(a + 8) ^ load_be(b + 8)) >> (128 - len) == 0;
}

int pfx_make(const struct ip *ip, unsigned len, struct pfx *out)
{
	struct pfx p = {.ip = *ip, .len = (uint8_t)len};

	if (ip_bits(ip) == 0 || len > ip_bits(ip))
		return ERR_RANGE;
	keep_bits(p.ip.b, len);
	*out = p;
	return 0;
}

int pfx_parse(const char *text, struct pfx *out)
{
	const char *slash = strchr(text, '/'), *end = text + strlen(text);
	struct ip ip;
	long len;
	int err = parse_span(text, slash ? slash : end, &ip);

	if (err)
		return err;
	if (!slash)
		return pfx_make(&ip, ip_bits(&ip), out);
	/* A number of up to three digits that no family has is out of range, not malformed. */
	len = decimal(slash + 1, end, 999);
	if (len < 0)
		return ERR_MALFORMED;
	err = pfx_make(&ip, (unsigned)len, out);
	if (err)
		return err;
	return ip_eq(&ip, &out->ip) ? 0 : ERR_RANGE;
}

char *pfx_fmt(const struct pfx *p, char *out)
{
	char ip[IP_STRLEN];

	snprintf(out, PFX_STRLEN, "%s/%u", ip_fmt(&p->ip, ip), p->len);
	return out;
}

void pfx_key(const struct pfx *p, uint8_t key[PFX_KEY])
{
	key[0] = p->ip.family;
	key[1] = p->len;
	memcpy(key + 2, p->ip.b, 16);
}

bool pfx_eq(const struct pfx *a, const struct pfx *b)
{
	return a->len == b->len && ip_eq(&a->ip, &b->ip);
}

int pfx_cmp(const struct pfx *a, const struct pfx *b)
{
	int c = ip_cmp(&a->ip, &b->ip);

	return c ? c : (int)a->len - (int)b->len;
}

bool pfx_has_ip(const struct pfx *p, const struct ip *ip)
{
	return p->ip.family == ip->family && same_bits(p->ip.b, ip->b, p->len);
}

bool pfx_contains(const struct pfx *outer, const struct pfx *inner)
{
	return outer->len <= inner->len && pfx_has_ip(outer, &inner->ip);
}

bool pfx_overlaps(const struct pfx *a, const struct pfx *b)
{
	return a->len <= b->len ? pfx_contains(a, b) : pfx_contains(b, a);
}

int pfx_nth(const struct pfx *p, uint64_t n, struct ip *out)
{
	unsigned bits = ip_bits(&p->ip), host = bits - p->len;
	struct ip ip = p->ip;

	if (bits == 0 || (host < 64 && n >> host != 0))
		return ERR_RANGE;
	/* The host bits are zero and n fits in them: no carry. */
	for (unsigned i = bits / 8; i-- > 0 && n != 0; n >>= 8)
		ip.b[i] |= (uint8_t)n;
	*out = ip;
	return 0;
}

/* The number behind '%' of a link-local address (RFC 4007 11, numeric only): 1..2^32-1. */
static int parse_scope(const char *s, const char *end, struct ep *e)
{
	long v = decimal(s, end, UINT32_MAX);

	if (v <= 0 || e->ip.family != IP_V6 || !ip_is_link_local(&e->ip))
		return ERR_MALFORMED;
	e->scope = (uint32_t)v;
	return 0;
}

int ep_parse(const char *text, uint16_t default_port, struct ep *out)
{
	const char *end = text + strlen(text), *host = text, *host_end, *port;
	struct ep e = {.port = default_port};
	int err;

	if (*text == '[') {
		const char *pct;
		host_end = strchr(++host, ']');
		if (!host_end)
			return ERR_MALFORMED;
		port = host_end + 1;
		pct = memchr(host, '%', (size_t)(host_end - host));
		err = parse_span(host, pct ? pct : host_end, &e.ip);
		if (!err && pct)
			err = parse_scope(pct + 1, host_end, &e);
		/* RFC 3986 3.2.2: brackets are for IPv6 */
		if (!err && e.ip.family != IP_V6)
			err = ERR_MALFORMED;
	} else {
		host_end = strchr(host, ':');
		if (!host_end)
			host_end = end;
		port = host_end;
		err = parse_span(host, host_end, &e.ip);
	}
	if (err)
		return err;
	if (*port == ':') {
		long v = decimal(port + 1, end, 65535);
		if (v <= 0)
			return ERR_MALFORMED;
		e.port = (uint16_t)v;
	} else if (port != end || default_port == 0) {
		return ERR_MALFORMED;
	}
	*out = e;
	return 0;
}

char *ep_fmt(const struct ep *e, char *out)
{
	char ip[IP_STRLEN];

	ip_fmt(&e->ip, ip);
	if (e->ip.family != IP_V6)
		snprintf(out, EP_STRLEN, "%s:%u", ip, e->port);
	else if (e->scope)
		snprintf(out, EP_STRLEN, "[%s%%%u]:%u", ip, e->scope, e->port);
	else
		snprintf(out, EP_STRLEN, "[%s]:%u", ip, e->port);
	return out;
}

bool ep_eq(const struct ep *a, const struct ep *b)
{
	return a->port == b->port && a->scope == b->scope && ip_eq(&a->ip, &b->ip);
}

int ep_cmp(const struct ep *a, const struct ep *b)
{
	int c = ip_cmp(&a->ip, &b->ip);

	if (c)
		return c;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	if (a->scope != b->scope)
		return a->scope < b->scope ? -1 : 1;
	return 0;
}
