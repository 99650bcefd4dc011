/* bgp_pool.h - things of one size, in chunks that grow, so that a table of a million entries costs
 * no allocator headers. Freed things are used again; chunks go back when none is left in use. */
#ifndef WEFT_BGP_POOL_H
#define WEFT_BGP_POOL_H

#include <stddef.h>

struct pool_chunk;
struct bgp_pool {
	size_t size;   /* bytes of one, a multiple of 8 */
	size_t in_use; /* things handed out */
	size_t bytes;  /* of all chunks */
	size_t next_items;
	void *free; /* list through the first word */
	char *fresh, *fresh_end;
	struct pool_chunk *chunks;
};

/* @size is rounded up to a multiple of 8. Allocates nothing. */
void bgp_pool_init(struct bgp_pool *p, size_t size);
void bgp_pool_fini(struct bgp_pool *p); /* whatever is in use is gone */
void *bgp_pool_get(struct bgp_pool *p); /* not zeroed; NULL: no memory */
void bgp_pool_put(struct bgp_pool *p, void *thing);

#endif
