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
 * ctl_scan() walks a body once, without memory (mp.h), before msgpack's unpacker would allocate for
 * what it announces: at most CTL_DEPTH_MAX deep, LIM_CTL_OBJECTS objects.
 *
 * Failure: every error leaves the output zeroed; nothing is kept. */
#include "ctl.h"

#include <string.h>
#include "weft/bounds.h"
#include "weft/buf.h"
#include "weft/err.h"
#include "mp.h"

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

int ctl_scan(const uint8_t *buf, size_t len)
{
	return mp_scan(buf, len, CTL_DEPTH_MAX, LIM_CTL_OBJECTS);
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
