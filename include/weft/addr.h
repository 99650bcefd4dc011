/* addr.h - IP addresses, prefixes and UDP endpoints, both families, without sockets. */
#ifndef WEFT_ADDR_H
#define WEFT_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

/* An address. b holds network order; for IP_V4 the first 4 bytes, the rest zero, so that two
 * addresses can be compared and hashed as bytes. */
struct ip {
	uint8_t b[16];
	uint8_t family; /* enum ip_family */
};

/* A CIDR. Bits past len are zero in every struct pfx that this module made. */
struct pfx {
	struct ip ip;
	uint8_t len; /* 0..32 or 0..128 */
};

/* A UDP or TCP endpoint. scope is the interface index of a link-local IPv6 address, else 0. */
struct ep {
	struct ip ip;
	uint16_t port; /* host order */
	uint32_t scope;
};

/* Long enough for every ip_fmt/pfx_fmt/ep_fmt, the NUL included. */
#define IP_STRLEN  48
#define PFX_STRLEN 52
#define EP_STRLEN  72

/* Bits of the family: 32 or 128. */
unsigned ip_bits(const struct ip *ip);
struct ip ip_v4(uint32_t host_order);
struct ip ip_v4_bytes(const uint8_t b[4]);
struct ip ip_v6_bytes(const uint8_t b[16]);
bool ip_eq(const struct ip *a, const struct ip *b);
/* Order by family, then bytes: <0, 0, >0. */
int ip_cmp(const struct ip *a, const struct ip *b);
bool ip_is_unspecified(const struct ip *ip);
bool ip_is_loopback(const struct ip *ip);
bool ip_is_multicast(const struct ip *ip);
bool ip_is_link_local(const struct ip *ip);
/* Parse dotted quad or RFC 4291 text, no zone, nothing around it. 0 or ERR_MALFORMED. */
int ip_parse(const char *text, struct ip *out);
/* RFC 5952 text into @out (IP_STRLEN); returns @out. */
char *ip_fmt(const struct ip *ip, char *out);

/* Make a prefix; bits past @len are cleared. ERR_RANGE if @len exceeds the family. */
int pfx_make(const struct ip *ip, unsigned len, struct pfx *out);
/* "10.0.0.0/8", "fd00::/64"; a bare address is a host prefix. ERR_MALFORMED; ERR_RANGE for a length
 * out of range or host bits that are set (the caller names the network meant with pfx_fmt(@out),
 * which is filled with the cleared prefix in that case). */
int pfx_parse(const char *text, struct pfx *out);
char *pfx_fmt(const struct pfx *p, char *out);
bool pfx_eq(const struct pfx *a, const struct pfx *b);
/* The prefix as the key of a map: family, length and address, without the struct's padding. */
#define PFX_KEY 18
void pfx_key(const struct pfx *p, uint8_t key[PFX_KEY]);
/* Order by family, bytes, then length. */
int pfx_cmp(const struct pfx *a, const struct pfx *b);
bool pfx_has_ip(const struct pfx *p, const struct ip *ip);
/* Does @outer contain @inner (or equal it)? */
bool pfx_contains(const struct pfx *outer, const struct pfx *inner);
bool pfx_overlaps(const struct pfx *a, const struct pfx *b);
/* The @n-th address of the prefix (0 is the network address); ERR_RANGE past its end. */
int pfx_nth(const struct pfx *p, uint64_t n, struct ip *out);

/* "192.0.2.1:6793", "[2001:db8::1]:6793", "[fe80::1%2]:6793" (numeric scope). Without a port,
 * @default_port is used (0: a port is required). Port 0 is refused, a scope where the address is
 * not link-local too, and an IPv6 address without brackets, since "fd00::1:6793" could mean two
 * things. Host names are not resolved here. 0 or ERR_MALFORMED. */
int ep_parse(const char *text, uint16_t default_port, struct ep *out);
char *ep_fmt(const struct ep *e, char *out);
bool ep_eq(const struct ep *a, const struct ep *b);
int ep_cmp(const struct ep *a, const struct ep *b);
/* ::ffff:a.b.c.d becomes a.b.c.d; anything else stays. */
void ip_unmap(struct ip *ip);

#endif
