/* toobig.c - see toobig.h. */
#include "toobig.h"

#include <string.h>
#include "csum.h"
#include "weft/buf.h"
#include "weft/wire.h"

#define V4_MAX         576
#define ICMP_HDR       8
#define TTL            64
#define UNREACHABLE    3 /* ICMP types and codes, RFC 792, 4443 */
#define FRAG_NEEDED    4
#define PACKET_TOO_BIG 2
#define V6_MIN_MTU     1280
#define V6_REDIRECT    137 /* RFC 4861, not to be answered either */

/* ICMP types that report an error (RFC 1122 3.2.2): answering them could go on for ever. */
static bool is_error(const struct pkt_info *pi)
{
	uint8_t type;

	if (pi->proto != PKT_ICMP && pi->proto != PKT_ICMP6)
		return false;
	if (pi->len <= pi->l4_off)
		return true; /* can't be told */
	type = pi->pkt[pi->l4_off];
	if (pi->proto == PKT_ICMP6)
		return type < 128 || type == V6_REDIRECT;
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static size_t make_v4(const struct pkt_info *pi, uint32_t mtu, uint8_t *out)
{
	uint32_t quote = pi->len < V4_MAX - WIRE_IPV4_HDR - ICMP_HDR
				 ? pi->len
				 : V4_MAX - WIRE_IPV4_HDR - ICMP_HDR;
	uint16_t frag = (uint16_t)(pi->pkt[6] << 8 | pi->pkt[7]);
	struct wr w;

	/* Without DF the kernel fragments by its route; of fragments only the first says whose it is.
	 * A source in 0/8, 127/8 or above 224/4 is nobody to answer. */
	if (!(frag & 0x4000) || (frag & 0x1fff) || pi->src[0] == 0 || pi->src[0] == 127 ||
		pi->src[0] >= 224)
		return 0;
	wr_init(&w, out, TOOBIG_MAX);
	wr_u16(&w, 0x45c0); /* no options, precedence "internetwork control" (RFC 1812 4.3.2.5) */
	wr_u16(&w, (uint16_t)(WIRE_IPV4_HDR + ICMP_HDR + quote));
	wr_u32(&w, 0x4000); /* id 0, DF */
	wr_u8(&w, TTL);
	wr_u8(&w, PKT_ICMP);
	wr_u16(&w, 0);
	wr_copy(&w, pi->dst, 4);
	wr_copy(&w, pi->src, 4);
	wr_u8(&w, UNREACHABLE);
	wr_u8(&w, FRAG_NEEDED);
	wr_u32(&w, 0); /* sum, unused */
	wr_u16(&w, mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)mtu);
	wr_copy(&w, pi->pkt, quote);
	csum_store(out + 10, csum_finish(csum_add(0, out, WIRE_IPV4_HDR)));
	csum_store(out + WIRE_IPV4_HDR + 2,
		csum_finish(csum_add(0, out + WIRE_IPV4_HDR, ICMP_HDR + quote)));
	return wr_len(&w);
}

static size_t make_v6(const struct pkt_info *pi, uint32_t mtu, uint8_t *out)
{
	uint32_t most = TOOBIG_MAX - WIRE_IPV6_HDR - ICMP_HDR;
	uint32_t quote = pi->len < most ? pi->len : most;
	static const uint8_t unspecified[16];
	uint64_t sum;
	struct wr w;

	if (pi->src[0] == 0xff || memcmp(pi->src, unspecified, 16) == 0)
		return 0;
	wr_init(&w, out, TOOBIG_MAX);
	wr_u32(&w, 0x60000000);
	wr_u16(&w, (uint16_t)(ICMP_HDR + quote));
	wr_u8(&w, PKT_ICMP6);
	wr_u8(&w, TTL);
	wr_copy(&w, pi->dst, 16);
	wr_copy(&w, pi->src, 16);
	wr_u8(&w, PACKET_TOO_BIG);
	wr_u8(&w, 0);
	wr_u16(&w, 0);
	/* Less than that is not believed (RFC 8201 4), and not needed: such packets go as halves. */
	wr_u32(&w, mtu < V6_MIN_MTU ? V6_MIN_MTU : mtu);
	wr_copy(&w, pi->pkt, quote);
	sum = csum_pseudo6(pi->dst, pi->src, PKT_ICMP6) + csum_word((uint16_t)(ICMP_HDR + quote));
	csum_store(out + WIRE_IPV6_HDR + 2,
		csum_finish(csum_add(sum, out + WIRE_IPV6_HDR, ICMP_HDR + quote)));
	return wr_len(&w);
}

size_t toobig_make(const struct pkt_info *pi, uint32_t mtu, uint8_t *out)
{
	if (is_error(pi))
		return 0;
	return pi->family == IP_V4 ? make_v4(pi, mtu, out) : make_v6(pi, mtu, out);
}
