/* csum.h - the Internet checksum (RFC 1071).
 *
 * A running sum is a uint64_t of 16-bit words as they lie in memory (RFC 1071 2(B): byte order does
 * not matter to the sum), so nothing is swapped: load and store checksum fields with csum_load and
 * csum_store, and add a number only after csum_word() has put it into memory order. A few billion
 * words may be added before a fold. */
#ifndef WEFT_CSUM_H
#define WEFT_CSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <arpa/inet.h>

/* Add @len bytes at @p (any alignment; an odd last byte counts as the first of a word) to @sum.
 * Pieces may be chained when all but the last have even length. */
uint64_t csum_add(uint64_t sum, const void *p, size_t len);

/* Fold to 16 bits, not complemented. Zero only if every word that was added was zero. */
static inline uint16_t csum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)((sum >> 16) + (sum & 0xffff));
}

/* What belongs into a checksum field whose place was zero (or a pseudo-header sum) in @sum. */
static inline uint16_t csum_finish(uint64_t sum)
{
	return (uint16_t)~csum_fold(sum);
}

/* The same for UDP, where a computed zero is sent as all ones (RFC 768, RFC 8200 8.1). */
static inline uint16_t csum_finish_udp(uint64_t sum)
{
	uint16_t c = csum_finish(sum);

	return c ? c : 0xffff;
}

/* Do two folded sums mean the same? (0x0000 and 0xffff are one number.) */
static inline int csum_same(uint16_t a, uint16_t b)
{
	return a == b || (uint16_t)(a + 1) + (uint16_t)(b + 1) == 1;
}

static inline uint16_t csum_load(const void *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

static inline void csum_store(void *p, uint16_t v)
{
	memcpy(p, &v, 2);
}

/* A 16-bit number (host order) as it would lie in memory. */
static inline uint16_t csum_word(uint16_t host)
{
	return htons(host);
}

/* Sum of the pseudo header but for the length (RFC 793 3.1, RFC 8200 8.1): addresses of 4 or 16
 * bytes and the protocol. Add csum_word(length): lengths here are below 65536. */
uint64_t csum_pseudo4(const uint8_t *src, const uint8_t *dst, uint8_t proto);
uint64_t csum_pseudo6(const uint8_t *src, const uint8_t *dst, uint8_t proto);

/* The field @check after a 16-bit word that it covers changed from @from to @to, all in memory
 * order (RFC 1624 equation 3). A field that was wrong stays wrong by the same amount. */
static inline uint16_t csum_update(uint16_t check, uint16_t from, uint16_t to)
{
	return csum_finish((uint64_t)(uint16_t)~check + (uint16_t)~from + to);
}

#endif
