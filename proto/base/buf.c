/* buf.c - bounded reader and writer. Both keep one error flag that sticks; the pointer of a failed
 * reader or writer moves to its end, so that loops over "bytes left" stop too. */
#include <assert.h>
#include <string.h>
#include "weft/buf.h"

/* What an empty reader points at, so that a successful take of 0 bytes is never NULL. */
static const uint8_t nothing[1];

void rd_init(struct rd *r, const void *buf, size_t len)
{
	assert(buf || len == 0);
	r->p = buf ? buf : nothing;
	r->end = r->p + len;
	r->bad = false;
}

const uint8_t *rd_take(struct rd *r, size_t len)
{
	const uint8_t *at = r->p;

	if (r->bad || len > (size_t)(r->end - r->p)) {
		r->bad = true;
		r->p = r->end;
		return NULL;
	}
	r->p += len;
	return at;
}

uint8_t rd_u8(struct rd *r)
{
	const uint8_t *b = rd_take(r, 1);

	return b ? b[0] : 0;
}

uint16_t rd_u16(struct rd *r)
{
	const uint8_t *b = rd_take(r, 2);

	return b ? (uint16_t)(b[0] << 8 | b[1]) : 0;
}

uint32_t rd_u24(struct rd *r)
{
	const uint8_t *b = rd_take(r, 3);

	return b ? (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2] : 0;
}

uint32_t rd_u32(struct rd *r)
{
	const uint8_t *b = rd_take(r, 4);

	return b ? (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3] : 0;
}

uint64_t rd_u64(struct rd *r)
{
	const uint8_t *b = rd_take(r, 8);
	uint64_t v = 0;

	for (int i = 0; b && i < 8; i++)
		v = v << 8 | b[i];
	return v;
}

void rd_copy(struct rd *r, void *dst, size_t len)
{
	const uint8_t *b = rd_take(r, len);

	if (len == 0)
		return;
	if (b)
		memcpy(dst, b, len);
	else
		memset(dst, 0, len);
}

struct rd rd_sub(struct rd *r, size_t len)
{
	const uint8_t *b = rd_take(r, len);
	struct rd sub;

	if (b)
		sub = (struct rd){.p = b, .end = b + len};
	else
		sub = (struct rd){.p = nothing, .end = nothing, .bad = true};
	return sub;
}

size_t rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->p);
}

bool rd_bad(const struct rd *r)
{
	return r->bad;
}

bool rd_done(const struct rd *r)
{
	return !r->bad && r->p == r->end;
}

void wr_init(struct wr *w, void *buf, size_t cap)
{
	static uint8_t nowhere[1];

	assert(buf || cap == 0);
	w->start = w->p = buf ? buf : nowhere;
	w->end = w->p + cap;
	w->bad = false;
}

uint8_t *wr_skip(struct wr *w, size_t len)
{
	uint8_t *at = w->p;

	if (w->bad || len > (size_t)(w->end - w->p)) {
		w->bad = true;
		return NULL;
	}
	w->p += len;
	return at;
}

/* The low @n bytes of @v, highest first. */
static void put(struct wr *w, uint64_t v, unsigned n)
{
	uint8_t *b = wr_skip(w, n);

	if (!b)
		return;
	for (unsigned i = 0; i < n; i++)
		b[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

void wr_u8(struct wr *w, uint8_t v)
{
	put(w, v, 1);
}

void wr_u16(struct wr *w, uint16_t v)
{
	put(w, v, 2);
}

void wr_u24(struct wr *w, uint32_t v)
{
	assert(v <= 0xffffff);
	put(w, v, 3);
}

void wr_u32(struct wr *w, uint32_t v)
{
	put(w, v, 4);
}

void wr_u64(struct wr *w, uint64_t v)
{
	put(w, v, 8);
}

void wr_copy(struct wr *w, const void *src, size_t len)
{
	uint8_t *b = wr_skip(w, len);

	if (b && len)
		memcpy(b, src, len);
}

void wr_zero(struct wr *w, size_t len)
{
	uint8_t *b = wr_skip(w, len);

	if (b && len)
		memset(b, 0, len);
}

size_t wr_len(const struct wr *w)
{
	return (size_t)(w->p - w->start);
}

size_t wr_left(const struct wr *w)
{
	return w->bad ? 0 : (size_t)(w->end - w->p);
}

bool wr_bad(const struct wr *w)
{
	return w->bad;
}
