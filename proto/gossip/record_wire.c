/* record_wire.c - bodies of records in msgpack.
 *
 * In: body bytes of a record whose signature held, but whose author may still be hostile. Out:
 * plain structs. mp_scan() first walks the bytes in fixed memory; what msgpack-c then allocates is at
 * most some 24 bytes for each byte of the body. */
#include "record.h"
#include <assert.h>
#include <string.h>
#include <msgpack.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "weft/wire.h"
#include "mp.h"

#define DEPTH_MAX 8

/* Keys of the body maps. */
enum { NODE_NAME = 0, NODE_VERSION = 1, NODE_FEATURES = 2, NODE_LEFT = 3 };
enum { LIST = 0 };
#define PREFIX_F_EXIT 0x01

/* Is @buf exactly one msgpack object, all there, not too deep? */
static int check(const uint8_t *buf, size_t len)
{
	int err = mp_scan(buf, len, DEPTH_MAX, len);

	return err == ERR_LIMIT ? ERR_MALFORMED : err;
}

/* Unpack a body, which must be a map. On 0 the caller destroys @u. */
static int unpack(msgpack_unpacked *u, const uint8_t *body, size_t len)
{
	size_t off = 0;
	int err = check(body, len);

	if (err < 0)
		return err;
	msgpack_unpacked_init(u);
	switch (msgpack_unpack_next(u, (const char *)body, len, &off)) {
	case MSGPACK_UNPACK_SUCCESS:
		err = off == len && u->data.type == MSGPACK_OBJECT_MAP ? 0 : ERR_MALFORMED;
		break;
	case MSGPACK_UNPACK_NOMEM_ERROR:
		err = ERR_NOMEM;
		break;
	default:
		err = ERR_MALFORMED;
	}
	if (err < 0)
		msgpack_unpacked_destroy(u);
	return err;
}

/* The value under @key of a map, the first if it stands there twice; NULL: none. */
static const msgpack_object *field(const msgpack_object *map, uint64_t key)
{
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object_kv *kv = &map->via.map.ptr[i];

		if (kv->key.type == MSGPACK_OBJECT_POSITIVE_INTEGER && kv->key.via.u64 == key)
			return &kv->val;
	}
	return NULL;
}

static bool get_uint(const msgpack_object *o, uint64_t max, uint64_t *out)
{
	if (!o || o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > max)
		return false;
	*out = o->via.u64;
	return true;
}

/* A string of 1 to @cap - 1 printable ASCII characters: it will stand in logs and on terminals. */
static bool get_text(const msgpack_object *o, char *out, size_t cap)
{
	if (!o || o->type != MSGPACK_OBJECT_STR || o->via.str.size == 0 || o->via.str.size >= cap)
		return false;
	for (uint32_t i = 0; i < o->via.str.size; i++) {
		char c = o->via.str.ptr[i];

		if (c < 0x20 || c > 0x7e)
			return false;
		out[i] = c;
	}
	out[o->via.str.size] = '\0';
	return true;
}

static bool get_ip(const msgpack_object *o, struct ip *out)
{
	if (o->type != MSGPACK_OBJECT_BIN)
		return false;
	if (o->via.bin.size == 4)
		*out = ip_v4_bytes((const uint8_t *)o->via.bin.ptr);
	else if (o->via.bin.size == 16)
		*out = ip_v6_bytes((const uint8_t *)o->via.bin.ptr);
	else
		return false;
	return true;
}

/* The array under LIST, whose elements must be arrays of at least @width; NULL: it is none. */
static const msgpack_object_array *get_rows(const msgpack_object *map, uint32_t width)
{
	const msgpack_object *o = field(map, LIST);

	if (!o || o->type != MSGPACK_OBJECT_ARRAY)
		return NULL;
	for (uint32_t i = 0; i < o->via.array.size; i++) {
		const msgpack_object *row = &o->via.array.ptr[i];

		if (row->type != MSGPACK_OBJECT_ARRAY || row->via.array.size < width)
			return NULL;
	}
	return &o->via.array;
}

/* msgpack_packer's sink: a bounded writer. */
static int put(void *data, const char *buf, size_t len)
{
	struct wr *w = data;

	wr_copy(w, buf, len);
	return wr_bad(w) ? -1 : 0;
}

static void pack_start(msgpack_packer *pk, struct wr *w, uint8_t *out)
{
	wr_init(w, out, RECORD_BODY_MAX);
	msgpack_packer_init(pk, w, put);
}

/* A body {0: [@n rows]}; the rows follow. */
static void pack_list(msgpack_packer *pk, struct wr *w, uint8_t *out, size_t n)
{
	pack_start(pk, w, out);
	msgpack_pack_map(pk, 1);
	msgpack_pack_unsigned_int(pk, LIST);
	msgpack_pack_array(pk, n);
}

static int pack_end(const struct wr *w)
{
	return wr_bad(w) ? ERR_RANGE : (int)wr_len(w);
}

static void pack_text(msgpack_packer *pk, const char *s)
{
	msgpack_pack_str(pk, strlen(s));
	msgpack_pack_str_body(pk, s, strlen(s));
}

static void pack_ip(msgpack_packer *pk, const struct ip *ip)
{
	size_t n = ip->family == IP_V4 ? 4 : 16;

	msgpack_pack_bin(pk, n);
	msgpack_pack_bin_body(pk, ip->b, n);
}

int record_node_encode(const struct record_node *n, uint8_t *out)
{
	msgpack_packer pk;
	struct wr w;

	pack_start(&pk, &w, out);
	msgpack_pack_map(&pk, n->left ? 4 : 3);
	msgpack_pack_unsigned_int(&pk, NODE_NAME);
	pack_text(&pk, n->name);
	msgpack_pack_unsigned_int(&pk, NODE_VERSION);
	pack_text(&pk, n->version);
	msgpack_pack_unsigned_int(&pk, NODE_FEATURES);
	msgpack_pack_uint64(&pk, n->features);
	if (n->left) {
		msgpack_pack_unsigned_int(&pk, NODE_LEFT);
		msgpack_pack_true(&pk);
	}
	return pack_end(&w);
}

int record_node_decode(const uint8_t *body, size_t len, struct record_node *out)
{
	const msgpack_object *left;
	msgpack_unpacked u;
	int err;

	memset(out, 0, sizeof(*out));
	err = unpack(&u, body, len);
	if (err < 0)
		return err;
	err = ERR_MALFORMED;
	if (!get_text(field(&u.data, NODE_NAME), out->name, sizeof(out->name)) ||
		!node_name_ok(out->name))
		goto out;
	if (!get_text(field(&u.data, NODE_VERSION), out->version, sizeof(out->version)))
		goto out;
	if (!get_uint(field(&u.data, NODE_FEATURES), UINT64_MAX, &out->features))
		goto out;
	left = field(&u.data, NODE_LEFT);
	if (left && left->type != MSGPACK_OBJECT_BOOLEAN)
		goto out;
	out->left = left && left->via.boolean;
	err = 0;
out:
	msgpack_unpacked_destroy(&u);
	return err;
}

int record_endpoints_encode(const struct ep *eps, size_t n, uint8_t *out)
{
	msgpack_packer pk;
	struct wr w;

	pack_list(&pk, &w, out, n);
	for (size_t i = 0; i < n; i++) {
		msgpack_pack_array(&pk, 2);
		pack_ip(&pk, &eps[i].ip);
		msgpack_pack_uint16(&pk, eps[i].port);
	}
	return pack_end(&w);
}

/* What a row says: 0: *@out, zeroed before, is filled; 1: a kind that we don't know, skipped;
 * ERR_MALFORMED. */
typedef int (*row_fn)(const msgpack_object *row, void *out);

/* Rows of at least @width members from {0: [row, ...]} into @out, @cap of @size bytes each. */
static int unpack_list(const uint8_t *body, size_t len, uint32_t width, row_fn fn, void *out,
	size_t size, size_t cap, size_t *n)
{
	const msgpack_object_array *rows;
	msgpack_unpacked u;
	int err;

	*n = 0;
	err = unpack(&u, body, len);
	if (err < 0)
		return err;
	rows = get_rows(&u.data, width);
	err = rows ? 0 : ERR_MALFORMED;
	for (uint32_t i = 0; !err && i < rows->size; i++) {
		union {
			struct ep ep;
			struct gossip_prefix prefix;
			struct record_forget forget;
		} one;
		int kind;

		assert(size <= sizeof(one));
		memset(&one, 0, sizeof(one));
		kind = fn(rows->ptr[i].via.array.ptr, &one);
		if (kind < 0)
			err = kind;
		else if (kind == 0 && *n == cap)
			err = ERR_FULL;
		else if (kind == 0)
			memcpy((uint8_t *)out + (*n)++ * size, &one, size);
	}
	msgpack_unpacked_destroy(&u);
	return err;
}

static int endpoint_row(const msgpack_object *row, void *out)
{
	struct ep *e = out;
	uint64_t port;

	if (!get_ip(&row[0], &e->ip) || !get_uint(&row[1], UINT16_MAX, &port) || port == 0)
		return ERR_MALFORMED;
	e->port = (uint16_t)port;
	return 0;
}

int record_endpoints_decode(const uint8_t *body, size_t len, struct ep *out, size_t cap, size_t *n)
{
	return unpack_list(body, len, 2, endpoint_row, out, sizeof(*out), cap, n);
}

int record_prefixes_encode(const struct gossip_prefix *p, size_t n, uint8_t *out)
{
	msgpack_packer pk;
	struct wr w;

	pack_list(&pk, &w, out, n);
	for (size_t i = 0; i < n; i++) {
		msgpack_pack_array(&pk, 6);
		msgpack_pack_uint32(&pk, p[i].vni);
		pack_ip(&pk, &p[i].pfx.ip);
		msgpack_pack_uint8(&pk, p[i].pfx.len);
		msgpack_pack_uint8(&pk, p[i].right);
		msgpack_pack_uint8(&pk, p[i].exit ? PREFIX_F_EXIT : 0);
		msgpack_pack_uint64(&pk, p[i].claimed_at_secs);
	}
	return pack_end(&w);
}

static int prefix_row(const msgpack_object *row, void *prefix)
{
	struct gossip_prefix *out = prefix;
	uint64_t vni, plen, right, flags, at;
	struct ip ip;

	if (!get_uint(&row[0], VNI_MAX, &vni) || vni == VNI_CONTROL || !get_ip(&row[1], &ip) ||
		!get_uint(&row[2], ip_bits(&ip), &plen) || !get_uint(&row[3], UINT8_MAX, &right) ||
		right == 0 || !get_uint(&row[4], UINT64_MAX, &flags) ||
		!get_uint(&row[5], UINT64_MAX, &at))
		return ERR_MALFORMED;
	out->vni = (uint32_t)vni;
	out->right = (uint8_t)right;
	out->exit = flags & PREFIX_F_EXIT;
	out->claimed_at_secs = at;
	if (pfx_make(&ip, (unsigned)plen, &out->pfx) < 0 || !ip_eq(&ip, &out->pfx.ip))
		return ERR_MALFORMED;
	return flags & ~(uint64_t)PREFIX_F_EXIT ? 1 : 0;
}

int record_prefixes_decode(
	const uint8_t *body, size_t len, struct gossip_prefix *out, size_t cap, size_t *n)
{
	return unpack_list(body, len, 6, prefix_row, out, sizeof(*out), cap, n);
}

int record_forgets_encode(const struct record_forget *f, size_t n, uint8_t *out)
{
	msgpack_packer pk;
	struct wr w;

	pack_list(&pk, &w, out, n);
	for (size_t i = 0; i < n; i++) {
		msgpack_pack_array(&pk, 4);
		msgpack_pack_bin(&pk, sizeof(f[i].node.b));
		msgpack_pack_bin_body(&pk, f[i].node.b, sizeof(f[i].node.b));
		msgpack_pack_uint64(&pk, f[i].epoch);
		msgpack_pack_uint64(&pk, f[i].seq);
		msgpack_pack_uint64(&pk, f[i].at_secs);
	}
	return pack_end(&w);
}

static int forget_row(const msgpack_object *row, void *forget)
{
	struct record_forget *out = forget;

	if (row[0].type != MSGPACK_OBJECT_BIN || row[0].via.bin.size != sizeof(out->node.b))
		return ERR_MALFORMED;
	memcpy(out->node.b, row[0].via.bin.ptr, sizeof(out->node.b));
	return get_uint(&row[1], UINT64_MAX, &out->epoch) &&
			       get_uint(&row[2], UINT64_MAX, &out->seq) &&
			       get_uint(&row[3], UINT64_MAX, &out->at_secs)
		       ? 0
		       : ERR_MALFORMED;
}

int record_forgets_decode(
	const uint8_t *body, size_t len, struct record_forget *out, size_t cap, size_t *n)
{
	return unpack_list(body, len, 4, forget_row, out, sizeof(*out), cap, n);
}
