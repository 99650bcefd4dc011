/* csum.c - see csum.h.
 *
 * The loop adds 64-bit words and counts the carries out apart, in four lanes that don't wait for
 * one another; since 2^64 = 1 modulo 2^16 - 1, a carry is worth one. */
#include "csum.h"

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

/* a + b with the carry added in again. */
static inline uint64_t add_carry(uint64_t a, uint64_t b)
{
	a += b;
	return a + (a < b);
}

/* Down to 34 bits, so that callers may add many of these. */
static inline uint64_t halve(uint64_t sum)
{
	return (sum >> 32) + (sum & 0xffffffff);
}

uint64_t csum_add(uint64_t sum, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	uint64_t a = 0, b = 0, c = 0, d = 0;

	for (; len >= 32; p += 32, len -= 32) {
		a = add_carry(a, load64(p));
		b = add_carry(b, load64(p + 8));
		c = add_carry(c, load64(p + 16));
		d = add_carry(d, load64(p + 24));
	}
	for (; len >= 8; p += 8, len -= 8)
		a = add_carry(a, load64(p));
	if (len) {
		uint64_t last = 0;

		memcpy(&last, p, len); /* zero behind the end: right in either byte order */
		b = add_carry(b, last);
	}
	return sum + halve(a) + halve(b) + halve(c) + halve(d);
}

uint64_t csum_pseudo4(const uint8_t *src, const uint8_t *dst, uint8_t proto)
{
	uint32_t s, d;

	memcpy(&s, src, 4);
	memcpy(&d, dst, 4);
	return (uint64_t)s + d + csum_word(proto);
}

uint64_t csum_pseudo6(const uint8_t *src, const uint8_t *dst, uint8_t proto)
{
	uint64_t sum = add_carry(load64(src), load64(src + 8));

	sum = add_carry(sum, load64(dst));
	sum = add_carry(sum, load64(dst + 8));
	return halve(sum) + csum_word(proto);
}
