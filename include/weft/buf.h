/* buf.h - bounded reader and writer: the only way weft touches bytes that somebody else wrote.
 *
 * The reader's error is sticky: after the first getter that runs past the end, every further getter
 * returns zero (or an empty span) and rd_bad() stays true, so a decoder reads all its fields and
 * asks once. Integers are in network order. A sub-reader cut with rd_sub() cannot see past its own
 * end, so a length that lies cannot escape its element. */
#ifndef WEFT_BUF_H
#define WEFT_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rd {
	const uint8_t *p, *end;
	bool bad;
};

struct wr {
	uint8_t *start, *p, *end;
	bool bad; /* something did not fit; nothing was written past end */
};

/* Start reading @len bytes at @buf (borrowed while the reader is used). */
void rd_init(struct rd *r, const void *buf, size_t len);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u24(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
/* Copy @len bytes to @dst; on failure @dst is zeroed. */
void rd_copy(struct rd *r, void *dst, size_t len);
/* Borrow @len bytes; NULL on failure (never NULL for success, even with @len 0). */
const uint8_t *rd_take(struct rd *r, size_t len);
/* Cut a reader over the next @len bytes and step past them; on failure the sub-reader is empty and
 * bad too. */
struct rd rd_sub(struct rd *r, size_t len);
/* Bytes left. */
size_t rd_left(const struct rd *r);
bool rd_bad(const struct rd *r);
/* All read and nothing failed? */
bool rd_done(const struct rd *r);

void wr_init(struct wr *w, void *buf, size_t cap);
void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u24(struct wr *w, uint32_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_u64(struct wr *w, uint64_t v);
void wr_copy(struct wr *w, const void *src, size_t len);
/* Write @len zero bytes. */
void wr_zero(struct wr *w, size_t len);
/* Step over @len bytes to be filled later; NULL if they don't fit. */
uint8_t *wr_skip(struct wr *w, size_t len);
/* Bytes written so far. */
size_t wr_len(const struct wr *w);
size_t wr_left(const struct wr *w);
bool wr_bad(const struct wr *w);

#endif
