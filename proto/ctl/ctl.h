/* ctl.h - the control protocol between weft and weftd: msgpack over a Unix stream socket.
 *
 * Each message is a 4-byte length in network order and one msgpack map. Request: {"v": 1, "cmd": TEXT,
 * "args": {TEXT: TEXT|INT|BOOL}}. Reply: {"v": 1, "ok": BOOL, "error": TEXT (if not ok), "hint": TEXT
 * (perhaps), "data": any}. Unknown keys are skipped (DESIGN 4.8). The same code serves both ends; no
 * I/O. The data's shape per command is the JSON schema in docs/json.md: CLI `-o json` prints it as is.
 *
 * ctl_w_* build a reply without a schema of structs: a writer of nested maps and arrays that needs no
 * counts beforehand. */
#ifndef WEFT_CTL_H
#define WEFT_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <msgpack.h>

#define CTL_VERSION 1

/* --- writing --- */
struct ctl_w; /* opaque, growing */
struct ctl_w *ctl_w_new(void);
void ctl_w_free(struct ctl_w *w);
/* Inside a map each value is preceded by its key; @key NULL inside arrays. After an allocation failure
 * all calls do nothing and ctl_w_finish says ERR_NOMEM. Unbalanced calls are our own bug: asserted. */
void ctl_w_map(struct ctl_w *w, const char *key);
void ctl_w_array(struct ctl_w *w, const char *key);
void ctl_w_end(struct ctl_w *w);
void ctl_w_str(struct ctl_w *w, const char *key, const char *v); /* NULL writes nil */
void ctl_w_strf(struct ctl_w *w, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void ctl_w_u64(struct ctl_w *w, const char *key, uint64_t v);
void ctl_w_i64(struct ctl_w *w, const char *key, int64_t v);
void ctl_w_f64(struct ctl_w *w, const char *key, double v);
void ctl_w_bool(struct ctl_w *w, const char *key, bool v);
void ctl_w_nil(struct ctl_w *w, const char *key);
/* The msgpack bytes, borrowed until ctl_w_free. ERR_NOMEM, ERR_LIMIT (LIM_CTL_REPLY_BYTES). */
int ctl_w_finish(struct ctl_w *w, const uint8_t **buf, size_t *len);

/* --- requests --- */
#define CTL_ARGS_MAX 16
struct ctl_arg {
	char key[32];
	char value[512]; /* text form, whatever the type was */
};
struct ctl_request {
	char cmd[64];
	struct ctl_arg args[CTL_ARGS_MAX];
	size_t nargs;
};
/* Frame a request into @buf; returns bytes or ERR_LIMIT. */
int ctl_request_encode(const struct ctl_request *r, uint8_t *buf, size_t cap);
/* Decode a body (without the length). ERR_MALFORMED, ERR_VERSION, ERR_LIMIT. */
int ctl_request_decode(const uint8_t *buf, size_t len, struct ctl_request *out);
const char *ctl_request_arg(const struct ctl_request *r, const char *key); /* NULL: absent */

/* --- replies --- */
/* Frame a reply: @data is what ctl_w_finish gave (NULL: nil). Returns owned in *@out. */
int ctl_reply_encode(bool ok, const char *error, const char *hint, const uint8_t *data, size_t data_len,
	uint8_t **out, size_t *out_len);
struct ctl_reply {
	msgpack_unpacked raw;
	bool ok;
	char error[512], hint[512];
	const msgpack_object *data; /* points into raw; NULL: nil */
};
int ctl_reply_decode(const uint8_t *buf, size_t len, struct ctl_reply *out);
void ctl_reply_free(struct ctl_reply *r);
/* Member @key of map @o, or NULL. */
const msgpack_object *ctl_get(const msgpack_object *o, const char *key);
uint64_t ctl_get_u64(const msgpack_object *o, const char *key);
bool ctl_get_bool(const msgpack_object *o, const char *key);
/* Copy text; "" if absent. */
const char *ctl_get_str(const msgpack_object *o, const char *key, char *buf, size_t cap);

/* Length of the message that starts at @buf: 0 if more bytes are needed, ERR_LIMIT above @max. */
int64_t ctl_frame(const uint8_t *buf, size_t len, size_t max);

#endif
