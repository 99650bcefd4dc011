/* kube_api.h - HTTPS to the Kubernetes API: libcurl on our loop. The only user of libcurl.
 *
 * The server is checked against the CA file; the token is read anew for each request and never goes over
 * anything but TLS; no proxy, no redirect. Calls are made and ended outside the callbacks head and data;
 * done may make new ones. */
#ifndef WEFT_KUBE_API_H
#define WEFT_KUBE_API_H

#include <stddef.h>
#include "loop.h"

struct kube_api;
struct kube_api_call;

struct kube_api_fns {
	/* The status line and headers of the final answer came. NULL: not told. */
	void (*head)(void *ctx, int status, int retry_after_secs);
	void (*data)(void *ctx, const char *p,
		size_t len); /* of the body, decompressed. NULL: dropped */
	/* The end, once, after which the call is gone. @status 0: no answer; @why NULL: the answer came
	 * whole, else in words, borrowed. Not called after kube_api_end. */
	void (*done)(void *ctx, int status, const char *why);
};

/* @base (https://HOST:PORT) and the files' paths are kept as copies. 0, ERR_NOMEM. */
int kube_api_new(struct loop *l, const char *base, const char *token_file, const char *ca_file,
	struct kube_api **out);
void kube_api_free(struct kube_api *a); /* ends all calls; NULL is fine */
/* GET @path, for as long as it takes. -errno, ERR_*: the token can't be read, no memory; then no
 * callback comes. */
int kube_api_get(struct kube_api *a, const char *path, const struct kube_api_fns *fns, void *ctx,
	struct kube_api_call **out);
/* PATCH @path with @body (copied) of @content_type (a literal), KUBE_API_PATCH_SECS at most. As above. */
int kube_api_patch(struct kube_api *a, const char *path, const char *content_type, const char *body,
	const struct kube_api_fns *fns, void *ctx, struct kube_api_call **out);
void kube_api_end(struct kube_api *a, struct kube_api_call *c); /* at once, unheard; NULL is fine */

#define KUBE_API_CONNECT_SECS 10
#define KUBE_API_PATCH_SECS   20

#endif
