/* bgp_pool.c - see bgp_pool.h. Chunks double from FIRST to LAST things. */
#include "bgp_pool.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ITEMS 16
#define LAST_ITEMS  4096

struct pool_chunk {
	struct pool_chunk *next;
};

void bgp_pool_init(struct bgp_pool *p, size_t size)
{
	assert(size >= sizeof(void *));
	*p = (struct bgp_pool){.size = (size + 7) & ~(size_t)7, .next_items = FIRST_ITEMS};
}

void bgp_pool_fini(struct bgp_pool *p)
{
	struct pool_chunk *c = p->chunks, *next;

	for (; c; c = next) {
		next = c->next;
		free(c);
	}
	bgp_pool_init(p, p->size);
}

void *bgp_pool_get(struct bgp_pool *p)
{
	void *thing = p->free;
	struct pool_chunk *c;

	if (thing) {
		memcpy(&p->free, thing, sizeof(p->free));
		p->in_use++;
		return thing;
	}
	if (p->fresh == p->fresh_end) {
		size_t bytes = sizeof(*c) + p->next_items * p->size;

		c = malloc(bytes);
		if (!c)
			return NULL;
		c->next = p->chunks;
		p->chunks = c;
		p->fresh = (char *)(c + 1);
		p->fresh_end = p->fresh + p->next_items * p->size;
		p->bytes += bytes;
		if (p->next_items < LAST_ITEMS)
			p->next_items *= 2;
	}
	thing = p->fresh;
	p->fresh += p->size;
	p->in_use++;
	return thing;
}

void bgp_pool_put(struct bgp_pool *p, void *thing)
{
	assert(p->in_use > 0);
	if (--p->in_use == 0) {
		bgp_pool_fini(p);
		return;
	}
	memcpy(thing, &p->free, sizeof(p->free));
	p->free = thing;
}
