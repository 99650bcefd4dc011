/* http.h - the small HTTP server of /healthz, /readyz, /metrics (libevent's evhttp). GET and HEAD only,
 * at most LIM_HTTP_CLIENTS connections, bodies refused. */
#ifndef WEFT_HTTP_H
#define WEFT_HTTP_H

#include <stddef.h>
#include "loop.h"
#include "weft/addr.h"

struct http;
struct http_reply; /* grows */

void http_printf(struct http_reply *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void http_status(struct http_reply *r, int code);
void http_type(struct http_reply *r, const char *content_type);

/* Serve on @at. @fn fills the reply for @path and returns false for 404. Returns owned. */
int http_new(struct loop *l, const struct ep *at,
	bool (*fn)(void *ctx, const char *path, struct http_reply *r), void *ctx, struct http **out);
void http_free(struct http *h);

#endif
