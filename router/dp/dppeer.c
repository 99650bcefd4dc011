/* dppeer.c - see dppeer.h. */
#include "dppeer.h"

#include <stdlib.h>
#include <string.h>

struct dppeer *dppeer_new(uint32_t handle, uint64_t uid, unsigned workers)
{
	struct dppeer *p = NULL;
	size_t size = sizeof(*p) + workers * sizeof(p->w[0]);

	size = (size + 63) & ~(size_t)63;
	p = aligned_alloc(64, size);
	if (!p)
		return NULL;
	memset(p, 0, size);
	p->handle = handle;
	p->uid = uid;
	p->workers = workers;
	p->pmtu = PEER_PMTU_DEFAULT;
	list_init(&p->keys);
	list_init(&p->by_active);
	return p;
}

void dppeer_free(struct dppeer *p)
{
	if (!p)
		return;
	free(p->path);
	free(p);
}

void dppeer_release(void *p)
{
	dppeer_free(p);
}
