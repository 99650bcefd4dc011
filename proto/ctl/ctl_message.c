/* Requests and replies: the two maps that travel over the control socket. */
#include "ctl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/buf.h"
#include "weft/err.h"

/* --- encoding --- */

/* msgpack's write callback over the bounded writer; what does not fit leaves wr_bad(). */
static int to_wr(void *ctx, const char *data, size_t len)
{
	struct wr *w = ctx;

	wr_copy(w, data, len);
	return wr_bad(w) ? -1 : 0;
}

static void pack_text(msgpack_packer *pk, const char *s, size_t len)
{
	msgpack_pack_str(pk, len);
	msgpack_pack_str_body(pk, s, len);
}

static void pack_cstr(msgpack_packer *pk, const char *s)
{
	pack_text(pk, s, strlen(s));
}

/* Write the length in front of what stands behind it. */
static void fill_length(uint8_t *buf, size_t total)
{
	struct wr w;

	wr_init(&w, buf, CTL_HEADER);
	wr_u32(&w, (uint32_t)(total - CTL_HEADER));
}

int ctl_request_encode(const struct ctl_request *r, uint8_t *buf, size_t cap)
{
	msgpack_packer pk;
	struct wr w;

	assert(r->nargs <= CTL_ARGS_MAX);
	if (cap > LIM_CTL_REQUEST_BYTES + CTL_HEADER)
		cap = LIM_CTL_REQUEST_BYTES + CTL_HEADER;
	wr_init(&w, buf, cap);
	(void)wr_skip(&w, CTL_HEADER);
	msgpack_packer_init(&pk, &w, to_wr);
	msgpack_pack_map(&pk, 3);
	pack_cstr(&pk, "v");
	msgpack_pack_int(&pk, CTL_VERSION);
	pack_cstr(&pk, "cmd");
	pack_cstr(&pk, r->cmd);
	pack_cstr(&pk, "args");
	msgpack_pack_map(&pk, r->nargs);
	for (size_t i = 0; i < r->nargs; i++) {
		pack_cstr(&pk, r->args[i].key);
		pack_cstr(&pk, r->args[i].value);
	}
	if (wr_bad(&w))
		return ERR_LIMIT;
	fill_length(buf, wr_len(&w));
	return (int)wr_len(&w);
}

int ctl_request_add(struct ctl_request *r, const char *key, const char *value)
{
	struct ctl_arg *a = &r->args[r->nargs];

	if (r->nargs == CTL_ARGS_MAX || strlen(key) >= sizeof(a->key) ||
		strlen(value) >= sizeof(a->value))
		return ERR_LIMIT;
	(void)snprintf(a->key, sizeof(a->key), "%s", key);
	(void)snprintf(a->value, sizeof(a->value), "%s", value);
	r->nargs++;
	return 0;
}

static void pack_cut(msgpack_packer *pk, const char *s)
{
	size_t n = strlen(s);

	pack_text(pk, s, n < CTL_ERROR_TEXT ? n : CTL_ERROR_TEXT - 1);
}

int ctl_reply_encode(bool ok, const char *error, const char *hint, const uint8_t *data,
	size_t data_len, uint8_t **out, size_t *out_len)
{
	/* keys, heads and integers are well below 64 bytes */
	size_t cap = CTL_HEADER + 64 + 2 * CTL_ERROR_TEXT;
	msgpack_packer pk;
	struct wr w;

	if (data_len > LIM_CTL_REPLY_BYTES - cap)
		return ERR_LIMIT;
	cap += data_len;
	uint8_t *buf = malloc(cap);
	if (!buf)
		return ERR_NOMEM;
	wr_init(&w, buf, cap);
	(void)wr_skip(&w, CTL_HEADER);
	msgpack_packer_init(&pk, &w, to_wr);
	msgpack_pack_map(&pk, 3u + (error != NULL) + (hint != NULL));
	pack_cstr(&pk, "v");
	msgpack_pack_int(&pk, CTL_VERSION);
	pack_cstr(&pk, "ok");
	if (ok)
		msgpack_pack_true(&pk);
	else
		msgpack_pack_false(&pk);
	if (error) {
		pack_cstr(&pk, "error");
		pack_cut(&pk, error);
	}
	if (hint) {
		pack_cstr(&pk, "hint");
		pack_cut(&pk, hint);
	}
	pack_cstr(&pk, "data");
	if (data)
		wr_copy(&w, data, data_len);
	else
		msgpack_pack_nil(&pk);
	assert(!wr_bad(&w));
	fill_length(buf, wr_len(&w));
	*out = buf;
	*out_len = wr_len(&w);
	return 0;
}

/* --- decoding --- */

/* Unpack @buf into @raw after the walk that bounds it. */
static int unpack(const uint8_t *buf, size_t len, msgpack_unpacked *raw)
{
	int err = ctl_scan(buf, len);

	if (err)
		return err;
	size_t off = 0;
	switch (msgpack_unpack_next(raw, (const char *)buf, len, &off)) {
	case MSGPACK_UNPACK_SUCCESS:
		return raw->data.type == MSGPACK_OBJECT_MAP ? 0 : ERR_MALFORMED;
	case MSGPACK_UNPACK_NOMEM_ERROR:
		return ERR_NOMEM;
	default:
		return ERR_MALFORMED;
	}
}

/* Two values under one key: whom to believe would depend on the reader. Only for small maps (it
 * compares each with each). */
static bool has_twice(const msgpack_object *map, const char *key)
{
	size_t len = strlen(key), n = 0;

	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object *k = &map->via.map.ptr[i].key;
		n += k->type == MSGPACK_OBJECT_STR && k->via.str.size == len &&
		     memcmp(k->via.str.ptr, key, len) == 0;
	}
	return n > 1;
}

static int check_version(const msgpack_object *map)
{
	const msgpack_object *v = ctl_get(map, "v");

	if (!v || v->type != MSGPACK_OBJECT_POSITIVE_INTEGER || has_twice(map, "v"))
		return ERR_MALFORMED;
	return v->via.u64 == CTL_VERSION ? 0 : ERR_VERSION;
}

/* Text without NUL bytes that fits. */
static int copy_text(const msgpack_object *o, char *out, size_t cap)
{
	if (o->type != MSGPACK_OBJECT_STR)
		return ERR_MALFORMED;
	if (o->via.str.size >= cap)
		return ERR_LIMIT;
	if (o->via.str.size > 0) {
		if (memchr(o->via.str.ptr, '\0', o->via.str.size))
			return ERR_MALFORMED;
		memcpy(out, o->via.str.ptr, o->via.str.size);
	}
	out[o->via.str.size] = '\0';
	return 0;
}

static int copy_value(const msgpack_object *o, char *out, size_t cap)
{
	switch (o->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		(void)snprintf(out, cap, "%s", o->via.boolean ? "true" : "false");
		return 0;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		(void)snprintf(out, cap, "%" PRIu64, o->via.u64);
		return 0;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		(void)snprintf(out, cap, "%" PRId64, o->via.i64);
		return 0;
	default:
		return copy_text(o, out, cap);
	}
}

static int copy_args(const msgpack_object *args, struct ctl_request *out)
{
	if (args->type == MSGPACK_OBJECT_NIL)
		return 0;
	if (args->type != MSGPACK_OBJECT_MAP)
		return ERR_MALFORMED;
	if (args->via.map.size > CTL_ARGS_MAX)
		return ERR_LIMIT;
	for (uint32_t i = 0; i < args->via.map.size; i++) {
		const msgpack_object_kv *kv = &args->via.map.ptr[i];
		struct ctl_arg *a = &out->args[i];

		int err = copy_text(&kv->key, a->key, sizeof(a->key));
		if (!err)
			err = copy_value(&kv->val, a->value, sizeof(a->value));
		if (!err && ctl_request_arg(out, a->key))
			err = ERR_MALFORMED;
		if (err)
			return err;
		out->nargs++;
	}
	return 0;
}

int ctl_request_decode(const uint8_t *buf, size_t len, struct ctl_request *out)
{
	msgpack_unpacked raw;

	*out = (struct ctl_request){0};
	if (len > LIM_CTL_REQUEST_BYTES)
		return ERR_LIMIT;
	msgpack_unpacked_init(&raw);
	int err = unpack(buf, len, &raw);
	if (!err)
		err = check_version(&raw.data);
	if (!err) {
		const msgpack_object *cmd = ctl_get(&raw.data, "cmd");
		const msgpack_object *args = ctl_get(&raw.data, "args");

		if (!cmd || has_twice(&raw.data, "cmd") || has_twice(&raw.data, "args"))
			err = ERR_MALFORMED;
		else
			err = copy_text(cmd, out->cmd, sizeof(out->cmd));
		if (!err && args)
			err = copy_args(args, out);
	}
	msgpack_unpacked_destroy(&raw);
	if (err)
		*out = (struct ctl_request){0};
	return err;
}

const char *ctl_request_arg(const struct ctl_request *r, const char *key)
{
	for (size_t i = 0; i < r->nargs; i++)
		if (strcmp(r->args[i].key, key) == 0)
			return r->args[i].value;
	return NULL;
}

int ctl_reply_decode(const uint8_t *buf, size_t len, struct ctl_reply *out)
{
	*out = (struct ctl_reply){0};
	if (len > LIM_CTL_REPLY_BYTES)
		return ERR_LIMIT;
	msgpack_unpacked_init(&out->raw);
	int err = unpack(buf, len, &out->raw);
	if (!err)
		err = check_version(&out->raw.data);
	if (!err) {
		const msgpack_object *ok = ctl_get(&out->raw.data, "ok");

		if (!ok || ok->type != MSGPACK_OBJECT_BOOLEAN || has_twice(&out->raw.data, "ok"))
			err = ERR_MALFORMED;
		else
			out->ok = ok->via.boolean;
	}
	if (err) {
		ctl_reply_free(out);
		return err;
	}
	ctl_get_str(&out->raw.data, "error", out->error, sizeof(out->error));
	ctl_get_str(&out->raw.data, "hint", out->hint, sizeof(out->hint));
	out->data = ctl_get(&out->raw.data, "data");
	if (out->data && out->data->type == MSGPACK_OBJECT_NIL)
		out->data = NULL;
	return 0;
}

void ctl_reply_free(struct ctl_reply *r)
{
	if (!r)
		return;
	msgpack_unpacked_destroy(&r->raw);
	*r = (struct ctl_reply){0};
}
