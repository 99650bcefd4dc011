/* cni_pool.h - the file of pod addresses, shared by all plugin processes of the node. */
#ifndef WEFT_CNI_POOL_H
#define WEFT_CNI_POOL_H

#include "cni_link.h"

#define CNI_POOL_LOCK_MS 20000 /* the wait for other plugin processes */

struct cni_pool {
	const struct cni_call *call;
	int lock; /* -1: not held */
	struct ipam *m;
	bool rebuilt; /* not from the file, and not empty: worth writing even if nothing changes */
	ts_t now;     /* since boot */
};

/* Take the lock and read the file. A file of another boot counts as none; a file that is missing or
 * damaged is made anew from the interfaces that stand (@l is asked for them), a damaged one set aside.
 * Errors 5 (also: a newer weft wrote it), 11 (the lock), 101, 103. cni_pool_close in each case. */
int cni_pool_open(
	const struct cni_call *c, struct cni_link *l, struct cni_pool *p, struct cni_error *e);
/* Read without the lock, to look. A missing or foreign file is an empty one. */
int cni_pool_peek(const struct cni_call *c, struct cni_pool *p, struct cni_error *e);
/* Give back what attachments hold whose interface is gone: their namespace ended and DEL never came.
 * Young ones stay. Nothing is written. */
void cni_pool_reclaim(struct cni_pool *p, struct cni_link *l);
/* Write it. Error 5: the file is as it was. */
int cni_pool_save(struct cni_pool *p, struct cni_error *e);
/* No attachment is left: the pin goes. Under the lock, so that no ADD is between its pin and its file. */
void cni_pool_idle(const struct cni_pool *p);
void cni_pool_close(struct cni_pool *p);

#endif
