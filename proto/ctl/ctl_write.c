/* The writer of a reply's data: nested maps and arrays whose counts are filled in when they end.
 *
 * Every map and array is written in its 32-bit form with a count of zero, which ctl_w_end()
 * overwrites; four bytes more than the short form, and no counting beforehand. */
#include "ctl.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/err.h"

/* What a reply needs around its data: version, ok, two texts, the map. */
#define ENVELOPE_BYTES   (2 * CTL_ERROR_TEXT + 64)
/* The reply's own map and its four keys and values. */
#define ENVELOPE_OBJECTS 16

struct level {
	size_t count_at; /* where the 32-bit count stands */
	uint32_t count;
	bool map;
};

struct ctl_w {
	uint8_t *buf;
	size_t len, cap;
	int err;        /* sticky */
	size_t objects; /* written, keys included */
	msgpack_packer pk;
	struct level level[CTL_DEPTH_MAX - 1];
	size_t depth;
	bool started; /* the top value stands */
};

/* msgpack's write callback. Grows by doubling; at an error nothing is written any more. */
static int append(void *ctx, const char *data, size_t len)
{
	struct ctl_w *w = ctx;

	if (w->err)
		return -1;
	if (len > LIM_CTL_REPLY_BYTES - ENVELOPE_BYTES - w->len) {
		w->err = ERR_LIMIT;
		return -1;
	}
	if (len > w->cap - w->len) {
		size_t cap = w->cap ? w->cap : 512;
		while (cap < w->len + len)
			cap *= 2;
		uint8_t *p = realloc(w->buf, cap);
		if (!p) {
			w->err = ERR_NOMEM;
			return -1;
		}
		w->buf = p;
		w->cap = cap;
	}
	memcpy(w->buf + w->len, data, len);
	w->len += len;
	return 0;
}

struct ctl_w *ctl_w_new(void)
{
	struct ctl_w *w = calloc(1, sizeof(*w));

	if (w)
		msgpack_packer_init(&w->pk, w, append);
	return w;
}

void ctl_w_free(struct ctl_w *w)
{
	if (!w)
		return;
	free(w->buf);
	free(w);
}

static void put_str(struct ctl_w *w, const char *s)
{
	size_t len = strlen(s);

	if (len > LIM_CTL_REPLY_BYTES) {
		w->err = ERR_LIMIT;
		return;
	}
	msgpack_pack_str(&w->pk, len);
	msgpack_pack_str_body(&w->pk, s, len);
}

static void count_object(struct ctl_w *w)
{
	if (++w->objects > LIM_CTL_OBJECTS - ENVELOPE_OBJECTS && !w->err)
		w->err = ERR_LIMIT;
}

/* Before each value: its key where one belongs, and the parent's count. */
static void begin_value(struct ctl_w *w, const char *key)
{
	if (w->depth == 0) {
		assert(!w->started && !key);
		w->started = true;
	} else {
		struct level *l = &w->level[w->depth - 1];

		assert(l->map == (key != NULL));
		l->count++;
		if (key) {
			put_str(w, key);
			count_object(w);
		}
	}
	count_object(w);
}

static void open_level(struct ctl_w *w, const char *key, bool map)
{
	static const char head[2][5] = {{(char)0xdd}, {(char)0xdf}}; /* array 32, map 32 */

	begin_value(w, key);
	assert(w->depth < CTL_DEPTH_MAX - 1);
	w->level[w->depth++] = (struct level){.count_at = w->len + 1, .map = map};
	(void)append(w, head[map], sizeof(head[map]));
}

void ctl_w_map(struct ctl_w *w, const char *key)
{
	open_level(w, key, true);
}

void ctl_w_array(struct ctl_w *w, const char *key)
{
	open_level(w, key, false);
}

void ctl_w_end(struct ctl_w *w)
{
	assert(w->depth > 0);
	const struct level *l = &w->level[--w->depth];

	if (w->err)
		return;
	for (unsigned i = 0; i < 4; i++)
		w->buf[l->count_at + i] = (uint8_t)(l->count >> (24 - 8 * i));
}

void ctl_w_nil(struct ctl_w *w, const char *key)
{
	begin_value(w, key);
	msgpack_pack_nil(&w->pk);
}

void ctl_w_str(struct ctl_w *w, const char *key, const char *v)
{
	begin_value(w, key);
	if (v)
		put_str(w, v);
	else
		msgpack_pack_nil(&w->pk);
}

void ctl_w_strf(struct ctl_w *w, const char *key, const char *fmt, ...)
{
	char text[1024], *big = NULL;
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	assert(n >= 0);
	if ((size_t)n >= sizeof(text)) {
		big = malloc((size_t)n + 1);
		if (big)
			(void)vsnprintf(big, (size_t)n + 1, fmt, again);
		else if (!w->err)
			w->err = ERR_NOMEM;
	}
	ctl_w_str(w, key, big ? big : text);
	free(big);
	va_end(again);
	va_end(ap);
}

void ctl_w_bin(struct ctl_w *w, const char *key, const void *v, size_t len)
{
	begin_value(w, key);
	if (len > LIM_CTL_REPLY_BYTES) {
		w->err = ERR_LIMIT;
		return;
	}
	msgpack_pack_bin(&w->pk, len);
	msgpack_pack_bin_body(&w->pk, v, len);
}

void ctl_w_u64(struct ctl_w *w, const char *key, uint64_t v)
{
	begin_value(w, key);
	msgpack_pack_uint64(&w->pk, v);
}

void ctl_w_i64(struct ctl_w *w, const char *key, int64_t v)
{
	begin_value(w, key);
	msgpack_pack_int64(&w->pk, v);
}

void ctl_w_f64(struct ctl_w *w, const char *key, double v)
{
	begin_value(w, key);
	msgpack_pack_double(&w->pk, v);
}

void ctl_w_bool(struct ctl_w *w, const char *key, bool v)
{
	begin_value(w, key);
	if (v)
		msgpack_pack_true(&w->pk);
	else
		msgpack_pack_false(&w->pk);
}

int ctl_w_finish(struct ctl_w *w, const uint8_t **buf, size_t *len)
{
	assert(w->depth == 0 && w->started);
	if (w->err)
		return w->err;
	*buf = w->buf;
	*len = w->len;
	return 0;
}
