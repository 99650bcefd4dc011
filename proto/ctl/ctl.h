/* ctl.h - the control protocol between weft and weftd: msgpack over a Unix stream socket.
 *
 * Each message is a 4-byte length in network order (of what follows) and one msgpack map. Request:
 * {"v": 1, "cmd": TEXT, "args": {TEXT: TEXT|INT|BOOL}}. Reply: {"v": 1, "ok": BOOL, "error": TEXT
 * (if not ok), "hint": TEXT (perhaps), "data": any}. Unknown keys are skipped (DESIGN 4.8). One
 * request, one reply; a connection may carry several in turn. The same code serves both ends; no
 * I/O. The commands and the shape of their data are the JSON schema in docs/json.md: `weft -o json`
 * prints the data as it is.
 *
 * ctl_w_* build a reply without a schema of structs: a writer of nested maps and arrays that needs
 * no counts beforehand.
 *
 * Both decoders first walk the bytes with a bounded reader (ctl_scan): nesting up to CTL_DEPTH_MAX,
 * every count within what is left, at most LIM_CTL_OBJECTS objects. Only then memory is taken. */
#ifndef WEFT_CTL_H
#define WEFT_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <msgpack.h>

#define CTL_VERSION    1
#define CTL_HEADER     4  /* bytes of the length */
#define CTL_DEPTH_MAX  16 /* maps and arrays inside each other, the message's own map included */
#define CTL_ERROR_TEXT 512

/* --- writing --- */
struct ctl_w;                     /* opaque, growing */
struct ctl_w *ctl_w_new(void);    /* NULL: no memory */
void ctl_w_free(struct ctl_w *w); /* NULL is fine */
/* Inside a map each value is preceded by its key; @key NULL inside arrays. The first call writes
 * the top value, also with @key NULL. After an allocation failure or at LIM_CTL_REPLY_BYTES all
 * calls do nothing and ctl_w_finish tells. Unbalanced calls, a key where none belongs and nesting
 * deeper than CTL_DEPTH_MAX - 1 are our own bugs: asserted. */
void ctl_w_map(struct ctl_w *w, const char *key);
void ctl_w_array(struct ctl_w *w, const char *key);
void ctl_w_end(struct ctl_w *w);                                 /* of the innermost map or array */
void ctl_w_str(struct ctl_w *w, const char *key, const char *v); /* NULL writes nil */
void ctl_w_strf(struct ctl_w *w, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void ctl_w_bin(struct ctl_w *w, const char *key, const void *v, size_t len); /* bytes, no text */
void ctl_w_u64(struct ctl_w *w, const char *key, uint64_t v);
void ctl_w_i64(struct ctl_w *w, const char *key, int64_t v);
void ctl_w_f64(struct ctl_w *w, const char *key, double v);
void ctl_w_bool(struct ctl_w *w, const char *key, bool v);
void ctl_w_nil(struct ctl_w *w, const char *key);
/* The msgpack bytes, borrowed until ctl_w_free. Everything must have been ended. ERR_NOMEM,
 * ERR_LIMIT (LIM_CTL_REPLY_BYTES or LIM_CTL_OBJECTS). */
int ctl_w_finish(struct ctl_w *w, const uint8_t **buf, size_t *len);

/* --- requests --- */
#define CTL_ARGS_MAX 16
struct ctl_arg {
	char key[32];
	char value[512]; /* text form, whatever the type was: "12", "-3", "true" */
};
struct ctl_request {
	char cmd[64]; /* "status", "status peers", "connect", ... (docs/json.md) */
	struct ctl_arg args[CTL_ARGS_MAX];
	size_t nargs;
};
/* Frame a request into @buf, length included; returns bytes or ERR_LIMIT (does not fit). */
int ctl_request_encode(const struct ctl_request *r, uint8_t *buf, size_t cap);
/* Decode a body (without the length). ERR_MALFORMED (also a key given twice, NUL bytes inside text,
 * an argument that is neither text, integer nor bool), ERR_TRUNCATED, ERR_VERSION, ERR_LIMIT (too
 * many or too long arguments, too deep), ERR_NOMEM. On failure *@out is zeroed. */
int ctl_request_decode(const uint8_t *buf, size_t len, struct ctl_request *out);
const char *ctl_request_arg(const struct ctl_request *r, const char *key); /* NULL: absent */
/* Append an argument; ERR_LIMIT: no room, or too long. For the client's side. */
int ctl_request_add(struct ctl_request *r, const char *key, const char *value);

/* --- replies --- */
/* Frame a reply, length included: @data is what ctl_w_finish gave (NULL: nil). @error and @hint may
 * be NULL; longer than CTL_ERROR_TEXT - 1 bytes they are cut. Returns owned in *@out (free it).
 * ERR_NOMEM, ERR_LIMIT. */
int ctl_reply_encode(bool ok, const char *error, const char *hint, const uint8_t *data,
	size_t data_len, uint8_t **out, size_t *out_len);
struct ctl_reply {
	msgpack_unpacked raw;
	bool ok;
	char error[CTL_ERROR_TEXT], hint[CTL_ERROR_TEXT];
	const msgpack_object *data; /* points into raw and the decoded bytes; NULL: nil */
};
/* Decode a body (without the length). Keeps @buf: texts of the data point into it until
 * ctl_reply_free. Fails as ctl_request_decode does; on failure there is nothing to free (but
 * ctl_reply_free is harmless). Texts are cut at CTL_ERROR_TEXT - 1 bytes. */
int ctl_reply_decode(const uint8_t *buf, size_t len, struct ctl_reply *out);
void ctl_reply_free(struct ctl_reply *r);
/* Member @key of map @o, or NULL; also if @o is NULL or no map. */
const msgpack_object *ctl_get(const msgpack_object *o, const char *key);
uint64_t ctl_get_u64(
	const msgpack_object *o, const char *key); /* 0: absent, negative or no integer */
bool ctl_get_bool(const msgpack_object *o, const char *key);
/* Copy text, cut to @cap; "" if absent. Returns @buf. */
const char *ctl_get_str(const msgpack_object *o, const char *key, char *buf, size_t cap);

/* Length of the whole message that starts at @buf, the 4 bytes of its length included; 0 if more
 * bytes are needed; ERR_LIMIT as soon as the announced body is above @max. The body is
 * @buf + CTL_HEADER, result - CTL_HEADER bytes. */
int64_t ctl_frame(const uint8_t *buf, size_t len, size_t max);

/* Is @buf exactly one well-formed msgpack object within the bounds above? 0; ERR_TRUNCATED,
 * ERR_MALFORMED (a bad type byte, bytes behind the object), ERR_LIMIT (depth, objects). */
int ctl_scan(const uint8_t *buf, size_t len);

#endif
