/* http_req.h - reads the head of an HTTP request (RFC 9112). Pure: bytes in, verdict out. */
#ifndef WEFT_HTTP_REQ_H
#define WEFT_HTTP_REQ_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_MAX 8192 /* request line and fields: more is answered 431 */
#define HTTP_PATH_MAX 255  /* longer: 414 */

struct http_req {
	bool head;                    /* HEAD: no body in the answer */
	char path[HTTP_PATH_MAX + 1]; /* starts with '/', without the query */
	int status;                   /* 0: serve it; else the code to refuse it with */
};

/* Judge the @len bytes received so far. False: incomplete, come again with more (never for
 * HTTP_HEAD_MAX bytes). True: *@out is filled. */
bool http_req_parse(const char *buf, size_t len, struct http_req *out);

#endif
