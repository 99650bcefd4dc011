/* mkpkt.h - builds IP packets for tests from a description, and checks them, byte by byte and
 * slowly: shares no code with router/dp, so that it can judge it. */
#ifndef WEFT_TEST_MKPKT_H
#define WEFT_TEST_MKPKT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mk_sum {
	MK_COMPLETE,
	MK_PARTIAL, /* the pseudo-header sum */
	MK_WRONG,
	MK_ZERO, /* UDP without a sum */
	MK_PARTIAL_WRONG,
};

#define MK_DF 0x4000
#define MK_MF 0x2000

struct mk {
	int family; /* 4 or 6 */
	uint8_t src[16], dst[16];
	uint8_t tos, ttl, proto;
	uint16_t id, frag; /* IPv4, as in the header */
	uint32_t label;    /* IPv6 flow label */
	unsigned ip_opts;  /* IPv4: bytes of options, a multiple of 4 */
	uint8_t ip_opt_fill;
	uint8_t ext[4]; /* IPv6: extension headers in order, 0xff ends; each is 8 bytes */
	uint8_t ext_fill;
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t flags;    /* TCP byte 13 */
	uint8_t reserved; /* low 4 bits of TCP byte 12 */
	uint16_t window, urgent;
	unsigned tcp_opts; /* bytes, a multiple of 4 */
	uint8_t tcp_opt_fill;
	unsigned payload;
	uint32_t fill; /* payload byte i is a function of fill + i, so a split payload can be
			  continued */
	enum mk_sum sum;
	bool bad_ip_sum;
};

/* TCP over IPv4 or IPv6 with usual values. */
struct mk mk_tcp(int family);
struct mk mk_udp(int family);

/* Write the packet to @out (room for 65,600 bytes); returns its length. */
size_t mk_build(const struct mk *m, uint8_t *out);
/* Where things are in the built packet. */
size_t mk_l4_off(const struct mk *m);
size_t mk_hdr_len(const struct mk *m); /* with the TCP or UDP header */
size_t mk_sum_off(const struct mk *m); /* of the L4 sum */

/* RFC 1071 sum, two bytes at a time, big-endian, folded, not complemented. */
uint16_t mk_csum(uint32_t start, const uint8_t *p, size_t len);
/* Pseudo-header sum with length, folded. */
uint16_t mk_pseudo(const struct mk *m, size_t l4_len);
/* Is the IPv4 header checksum of @p right? (IPv6: yes.) */
bool mk_ip_sum_right(const uint8_t *p);
/* Is the L4 sum of a packet built like @m right? */
bool mk_l4_sum_right(const struct mk *m, const uint8_t *p, size_t len);
/* Complete a partial sum in place; a computed zero is written as such for TCP. */
void mk_complete(const struct mk *m, uint8_t *p, size_t len);

#endif
