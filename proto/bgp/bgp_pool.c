/* bgp_pool.c - see bgp_pool.h. Number 0 is not given out, so that it can stand for none. */
#include "bgp_pool.h"
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_MIN 16

void bgp_pool_init(struct bgp_pool *p, size_t size)
{
	assert(size >= sizeof(uint32_t));
	*p = (struct bgp_pool){.size = (size + 7) & ~(size_t)7};
}

void bgp_pool_fini(struct bgp_pool *p)
{
	for (uint32_t i = 0; i < p->fresh_end / BGP_POOL_CHUNK; i++)
		free(p->chunks[i]);
	free(p->chunks);
	bgp_pool_init(p, p->size);
}

/* One more chunk; false: no memory. */
static bool grow(struct bgp_pool *p)
{
	uint32_t n = p->fresh_end / BGP_POOL_CHUNK;
	size_t bytes = BGP_POOL_CHUNK * p->size;

	if (p->fresh_end == BGP_POOL_MAX)
		return false;
	if (n == p->table_cap) {
		uint32_t cap = n ? 2 * n : TABLE_MIN;
		char **table = realloc(p->chunks, cap * sizeof(*table));

		if (!table)
			return false;
		p->bytes += (cap - n) * sizeof(*table);
		p->chunks = table;
		p->table_cap = cap;
	}
	p->chunks[n] = malloc(bytes);
	if (!p->chunks[n])
		return false;
	p->bytes += bytes;
	if (p->fresh_end == 0)
		p->fresh = 1;
	p->fresh_end += BGP_POOL_CHUNK;
	return true;
}

void *bgp_pool_get(struct bgp_pool *p, uint32_t *n)
{
	if (p->free) {
		void *thing = bgp_pool_at(p, p->free);

		*n = p->free;
		memcpy(&p->free, thing, sizeof(p->free));
		p->in_use++;
		return thing;
	}
	if (p->fresh == p->fresh_end && !grow(p))
		return NULL;
	*n = p->fresh++;
	p->in_use++;
	return bgp_pool_at(p, *n);
}

void bgp_pool_put(struct bgp_pool *p, uint32_t n)
{
	assert(p->in_use > 0);
	if (--p->in_use == 0) {
		bgp_pool_fini(p);
		return;
	}
	memcpy(bgp_pool_at(p, n), &p->free, sizeof(p->free));
	p->free = n;
}
