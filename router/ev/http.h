/* http.h - the small HTTP server of /healthz, /readyz, /metrics, over libevent's buffers. GET and HEAD
 * only (405), bodies refused (413), one request a connection, ten seconds for it, at most LIM_HTTP_CLIENTS
 * connections (the one open longest is closed for a new one). */
#ifndef WEFT_HTTP_H
#define WEFT_HTTP_H

#include <stddef.h>
#include "loop.h"
#include "weft/addr.h"

struct http;
struct http_reply; /* grows; 200 and text/plain until told otherwise */

/* Append to the body. If memory runs out, the client gets 500 instead. */
void http_printf(struct http_reply *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void http_status(struct http_reply *r, int code); /* 200..599 */
/* Borrowed until the reply is sent: a literal. */
void http_type(struct http_reply *r, const char *content_type);

/* Serve on @at (port 0: the kernel picks one, http_addr tells). @fn is called in the loop's thread, fills
 * the reply for @path (as it was sent, without the query) and returns false for 404. Returns owned in
 * *@out; -errno (-EADDRINUSE, ...), ERR_NOMEM. */
int http_new(struct loop *l, const struct ep *at,
	bool (*fn)(void *ctx, const char *path, struct http_reply *r), void *ctx,
	struct http **out);
/* The address that is served. */
void http_addr(const struct http *h, struct ep *out);
/* Give each new connection @d instead of ten seconds (tests). */
void http_patience(struct http *h, dur_t d);
void http_free(struct http *h); /* cuts its connections; NULL is fine */

#endif
