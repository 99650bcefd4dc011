/* dppeer.c - see dppeer.h. */
#include "dppeer.h"

#include <stdlib.h>
#include <string.h>

struct peer_worker *dppeer_slots_new(unsigned n)
{
	struct peer_worker *w = aligned_alloc(_Alignof(struct peer_worker), n * sizeof(*w));

	if (w)
		memset(w, 0, n * sizeof(*w));
	return w;
}

struct dppeer *dppeer_new(
	uint32_t handle, uint64_t uid, unsigned workers, struct peer_worker *nobody)
{
	const size_t line = 64, size = (sizeof(struct dppeer) + line - 1) & ~(line - 1);
	struct dppeer *p = aligned_alloc(line, size);

	if (!p)
		return NULL;
	memset(p, 0, size);
	p->handle = handle;
	p->uid = uid;
	p->workers = workers;
	p->w = nobody;
	p->pmtu = PEER_PMTU_DEFAULT;
	list_init(&p->keys);
	list_init(&p->by_active);
	return p;
}

void dppeer_free(struct dppeer *p)
{
	if (!p)
		return;
	if (p->counts)
		free(p->w);
	free(p->path);
	free(p);
}

void dppeer_release(void *p)
{
	dppeer_free(p);
}
