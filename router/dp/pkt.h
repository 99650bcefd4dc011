/* pkt.h - bounded parse of an inner IP packet. Reads nothing outside of it, changes nothing. */
#ifndef WEFT_PKT_H
#define WEFT_PKT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/err.h"

#define PKT_MAX 65535 /* the largest inner packet; jumbograms are not IP packets to us */

enum pkt_proto {
	PKT_ICMP = 1,
	PKT_TCP = 6,
	PKT_UDP = 17,
	PKT_ICMP6 = 58,
	PKT_SCTP = 132,
};

/* TCP flag bits of byte 13 of the header */
#define PKT_TCP_FIN 0x01
#define PKT_TCP_SYN 0x02
#define PKT_TCP_RST 0x04
#define PKT_TCP_PSH 0x08
#define PKT_TCP_ACK 0x10
#define PKT_TCP_URG 0x20
#define PKT_TCP_ECE 0x40
#define PKT_TCP_CWR 0x80

/* What pkt_parse found. Pointers go into the packet (borrowed: valid while it is). */
struct pkt_info {
	const uint8_t *pkt;
	const uint8_t *src, *dst; /* 4 or 16 bytes, network order */
	uint32_t len; /* the IP packet's own length, bytes; what stands behind is not part of it */
	uint16_t l4_off;       /* behind the IP header, options and known extension headers */
	uint16_t payload_off;  /* behind the TCP or UDP header when l4_ok, else l4_off */
	uint16_t sport, dport; /* host order; 0 unless ports */
	uint8_t family;        /* IP_V4 or IP_V6 */
	uint8_t proto;         /* upper protocol, or the first extension header not understood */
	uint8_t tos;           /* TOS or traffic class, ECN in the low two bits */
	uint8_t ttl;
	bool fragment;    /* any fragment, the first and the "atomic" one (RFC 6946) too */
	bool ext;         /* IPv4 options or IPv6 extension headers are there */
	bool ext_unknown; /* an extension header other than hop-by-hop and destination options: the
			     checksum's place, or its pseudo header, is not known to us (routing,
			     AH, mobility, broken ones) */
	bool l4_ok; /* whole TCP or UDP header, lengths consistent, no fragment, no unknown ext */
	bool ports; /* sport and dport are set: TCP, UDP, SCTP with four bytes there */
};

/* Parse @len bytes at @pkt (borrowed) into @pi. Bytes beyond the IP length are cut by pi->len.
 * 0, or ERR_MALFORMED: not IPv4 or IPv6, header or announced length longer than @len, bad header
 * length. @pi is undefined then. A broken upper layer is no error: it is only not l4_ok. */
int pkt_parse(struct pkt_info *pi, const uint8_t *pkt, size_t len);

/* May the checksum field of this packet travel as a bare pseudo-header sum (DESIGN 5.5)? TCP and
 * UDP that are l4_ok, with a UDP length that ends where the IP packet ends. */
bool pkt_may_partial(const struct pkt_info *pi);

/* Offset of the checksum field of an l4_ok packet in the packet. */
static inline uint16_t pkt_csum_off(const struct pkt_info *pi)
{
	return (uint16_t)(pi->l4_off + (pi->proto == PKT_TCP ? 16 : 6));
}

/* Sum of the pseudo header but for the length; see csum.h. */
uint64_t pkt_pseudo(const struct pkt_info *pi);

/* Copies of the addresses for tables that want struct ip. */
static inline struct ip pkt_src(const struct pkt_info *pi)
{
	return pi->family == IP_V4 ? ip_v4_bytes(pi->src) : ip_v6_bytes(pi->src);
}

static inline struct ip pkt_dst(const struct pkt_info *pi)
{
	return pi->family == IP_V4 ? ip_v4_bytes(pi->dst) : ip_v6_bytes(pi->dst);
}

#endif
