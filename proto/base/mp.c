/* mp.c - a bounded walk over msgpack.
 *
 * In: bytes that anybody may have written. Out: yes or an error. Each element takes at least one
 * byte, so a count above what is left is a lie and refused at once; the walk is linear in the bytes.
 * State: how many elements are still to come, per open map or array, in fixed memory. */
#include "mp.h"
#include <assert.h>
#include <stdbool.h>
#include "weft/buf.h"
#include "weft/err.h"

/* What a type byte announces. */
struct head {
	uint64_t skip;  /* payload bytes behind the head */
	uint64_t items; /* objects inside: elements, or keys and values */
	bool nests;     /* a map or array, perhaps empty */
};

static uint64_t rd_uint(struct rd *r, unsigned bytes)
{
	return bytes == 1 ? rd_u8(r) : bytes == 2 ? rd_u16(r) : rd_u32(r);
}

/* The specification's table of formats. False: there is no such type. */
static bool read_head(struct rd *r, struct head *h)
{
	static const uint8_t fixed[] = {
		/* 0xca */ 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, /* floats, unsigned, signed */
		/* 0xd4 */ 2, 3, 5, 9, 17,               /* fixext: type and data */
	};
	uint8_t t = rd_u8(r);

	*h = (struct head){.nests = (t >= 0x80 && t <= 0x9f) || (t >= 0xdc && t <= 0xdf)};
	if (t <= 0x7f || t >= 0xe0 || t == 0xc0 || t == 0xc2 || t == 0xc3)
		return true; /* fixint, nil, false, true */
	if (t <= 0x8f)
		h->items = 2u * (t & 0x0f);
	else if (t <= 0x9f)
		h->items = t & 0x0f;
	else if (t <= 0xbf)
		h->skip = t & 0x1f; /* fixstr */
	else if (t >= 0xc4 && t <= 0xc6)
		h->skip = rd_uint(r, 1u << (t - 0xc4)); /* bin */
	else if (t >= 0xc7 && t <= 0xc9)
		h->skip = rd_uint(r, 1u << (t - 0xc7)) + 1; /* ext: type and data */
	else if (t >= 0xca && t <= 0xd8)
		h->skip = fixed[t - 0xca];
	else if (t >= 0xd9 && t <= 0xdb)
		h->skip = rd_uint(r, 1u << (t - 0xd9)); /* str */
	else if (t == 0xdc || t == 0xdd)
		h->items = rd_uint(r, 2u << (t - 0xdc)); /* array */
	else if (t == 0xde || t == 0xdf)
		h->items = 2 * rd_uint(r, 2u << (t - 0xde)); /* map */
	else
		return false; /* 0xc1 is never used */
	return true;
}

int mp_scan(const uint8_t *buf, size_t len, unsigned depth, uint64_t objects)
{
	uint64_t left[MP_DEPTH_MAX]; /* objects still to come in each open map or array */
	unsigned open = 0;
	struct rd r;

	assert(depth <= MP_DEPTH_MAX);
	rd_init(&r, buf, len);
	do {
		struct head h;

		if (!read_head(&r, &h))
			return ERR_MALFORMED;
		if (rd_bad(&r))
			return ERR_TRUNCATED;
		if (objects-- == 0)
			return ERR_LIMIT;
		if (h.skip > rd_left(&r) || h.items > rd_left(&r))
			return ERR_TRUNCATED;
		(void)rd_take(&r, (size_t)h.skip);
		if (open > 0)
			left[open - 1]--;
		if (h.nests) {
			if (open == depth)
				return ERR_LIMIT;
			left[open++] = h.items;
		}
		while (open > 0 && left[open - 1] == 0)
			open--;
	} while (open > 0);
	return rd_done(&r) ? 0 : ERR_MALFORMED;
}
