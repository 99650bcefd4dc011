/* The control protocol: framing, the walk that stands before every decode, requests and replies.
 *
 * Parts: this file (frames, scan, getters), ctl_message.c (requests and replies), ctl_write.c (the
 * writer of a reply's data).
 *
 * Data in: bytes that came over the control socket. They are not trusted on either side: the socket
 * is 0600, but a client may be buggy or of another version, and the daemon must not fall for it.
 * Data out: a struct ctl_request, or a msgpack object tree.
 *
 * Bounds: ctl_frame() refuses a length above the caller's maximum before anything is read for it.
 * ctl_scan() walks a body once, without memory: each element needs at least one byte, so a count
 * that exceeds what is left is a lie and refused, while msgpack's own unpacker would first allocate
 * for it. Depth is CTL_DEPTH_MAX, below the unpacker's own fixed stack of 32; objects are
 * LIM_CTL_OBJECTS.
 *
 * Failure: every error leaves the output zeroed; nothing is kept. */
#include "ctl.h"

#include <string.h>
#include "weft/bounds.h"
#include "weft/buf.h"
#include "weft/err.h"

int64_t ctl_frame(const uint8_t *buf, size_t len, size_t max)
{
	struct rd r;

	rd_init(&r, buf, len);
	uint32_t body = rd_u32(&r);
	if (rd_bad(&r))
		return 0;
	if (body > max)
		return ERR_LIMIT;
	if (rd_left(&r) < body)
		return 0;
	return (int64_t)body + CTL_HEADER;
}

/* What a type byte announces: bytes of the length field, then payload bytes, or children. */
struct head {
	uint64_t skip;     /* payload bytes behind the head */
	uint64_t children; /* objects inside: elements, or keys and values */
	bool nests;
};

static uint64_t rd_uint(struct rd *r, unsigned bytes)
{
	switch (bytes) {
	case 1:
		return rd_u8(r);
	case 2:
		return rd_u16(r);
	default:
		return rd_u32(r);
	}
}

/* The msgpack specification's table of formats. */
static bool read_head(struct rd *r, struct head *h)
{
	uint8_t t = rd_u8(r);

	*h = (struct head){0};
	if (t <= 0x7f || t >= 0xe0) /* fixint */
		return true;
	if (t <= 0x8f) { /* fixmap */
		*h = (struct head){.children = 2u * (t & 0x0f), .nests = true};
		return true;
	}
	if (t <= 0x9f) { /* fixarray */
		*h = (struct head){.children = t & 0x0f, .nests = true};
		return true;
	}
	if (t <= 0xbf) { /* fixstr */
		h->skip = t & 0x1f;
		return true;
	}
	switch (t) {
	case 0xc0: /* nil, false, true */
	case 0xc2:
	case 0xc3:
		return true;
	case 0xc4: /* bin 8, 16, 32 */
	case 0xc5:
	case 0xc6:
		h->skip = rd_uint(r, 1u << (t - 0xc4));
		return true;
	case 0xc7: /* ext 8, 16, 32: a type byte more */
	case 0xc8:
	case 0xc9:
		h->skip = rd_uint(r, 1u << (t - 0xc7)) + 1;
		return true;
	case 0xca: /* float 32, 64 */
	case 0xcb:
		h->skip = t == 0xca ? 4 : 8;
		return true;
	case 0xcc: /* uint 8 to 64, int 8 to 64 */
	case 0xcd:
	case 0xce:
	case 0xcf:
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
		h->skip = 1u << ((t - 0xcc) & 3);
		return true;
	case 0xd4: /* fixext 1 to 16 */
	case 0xd5:
	case 0xd6:
	case 0xd7:
	case 0xd8:
		h->skip = (1u << (t - 0xd4)) + 1;
		return true;
	case 0xd9: /* str 8, 16, 32 */
	case 0xda:
	case 0xdb:
		h->skip = rd_uint(r, 1u << (t - 0xd9));
		return true;
	case 0xdc: /* array 16, 32 */
	case 0xdd:
		*h = (struct head){.children = rd_uint(r, t == 0xdc ? 2 : 4), .nests = true};
		return true;
	case 0xde: /* map 16, 32 */
	case 0xdf:
		*h = (struct head){.children = 2 * rd_uint(r, t == 0xde ? 2 : 4), .nests = true};
		return true;
	default: /* 0xc1 is never used */
		return false;
	}
}

int ctl_scan(const uint8_t *buf, size_t len)
{
	uint64_t left[CTL_DEPTH_MAX]; /* objects still to come in each open map or array */
	size_t depth = 0, objects = 0;
	struct rd r;

	rd_init(&r, buf, len);
	do {
		struct head h;

		if (!read_head(&r, &h) && !rd_bad(&r))
			return ERR_MALFORMED;
		if (rd_bad(&r))
			return ERR_TRUNCATED;
		if (++objects > LIM_CTL_OBJECTS)
			return ERR_LIMIT;
		if (h.skip > rd_left(&r) || h.children > rd_left(&r))
			return ERR_TRUNCATED;
		(void)rd_take(&r, h.skip);
		if (depth > 0)
			left[depth - 1]--;
		if (h.nests) {
			if (depth == CTL_DEPTH_MAX)
				return ERR_LIMIT;
			left[depth++] = h.children;
		}
		while (depth > 0 && left[depth - 1] == 0)
			depth--;
	} while (depth > 0);
	return rd_done(&r) ? 0 : ERR_MALFORMED;
}

const msgpack_object *ctl_get(const msgpack_object *o, const char *key)
{
	size_t len = strlen(key);

	if (!o || o->type != MSGPACK_OBJECT_MAP)
		return NULL;
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		const msgpack_object_kv *kv = &o->via.map.ptr[i];
		if (kv->key.type == MSGPACK_OBJECT_STR && kv->key.via.str.size == len &&
			memcmp(kv->key.via.str.ptr, key, len) == 0)
			return &kv->val;
	}
	return NULL;
}

uint64_t ctl_get_u64(const msgpack_object *o, const char *key)
{
	const msgpack_object *v = ctl_get(o, key);

	return v && v->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? v->via.u64 : 0;
}

bool ctl_get_bool(const msgpack_object *o, const char *key)
{
	const msgpack_object *v = ctl_get(o, key);

	return v && v->type == MSGPACK_OBJECT_BOOLEAN && v->via.boolean;
}

const char *ctl_get_str(const msgpack_object *o, const char *key, char *buf, size_t cap)
{
	const msgpack_object *v = ctl_get(o, key);
	size_t n = 0;

	if (v && v->type == MSGPACK_OBJECT_STR) {
		n = v->via.str.size < cap - 1 ? v->via.str.size : cap - 1;
		if (n > 0)
			memcpy(buf, v->via.str.ptr, n);
	}
	buf[n] = '\0';
	return buf;
}
