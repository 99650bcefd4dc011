/* kube_ctl.h - requests to weftd over its control socket, on the loop: one at a time. */
#ifndef WEFT_KUBE_CTL_H
#define WEFT_KUBE_CTL_H

#include "ctl.h"
#include "loop.h"

struct kube_ctl;

#define KUBE_CTL_SECS 10 /* for the whole of a request and its reply */

/* @path is kept as a copy. 0, ERR_NOMEM, ERR_RANGE: too long for a socket's name. */
int kube_ctl_new(struct loop *l, const char *path, struct kube_ctl **out);
void kube_ctl_free(struct kube_ctl *k); /* a request under way ends unheard; NULL is fine */
/* Ask. @fn is called once, from the loop, never from inside this: @reply is borrowed, NULL if there is none,
 * and then @err says why (-errno of the socket, -ETIMEDOUT, ERR_NO_DAEMON, ERR_MALFORMED, ERR_LIMIT, ...). It
 * may ask again. ERR_BUSY: one is under way; ERR_LIMIT: the request is too large; ERR_NOMEM. */
int kube_ctl_ask(struct kube_ctl *k, const struct ctl_request *rq,
	void (*fn)(void *ctx, const struct ctl_reply *reply, int err), void *ctx);

#endif
