/* bgp_pool.h - things of one size, named by numbers of 32 bits: tables of a million entries link them
 * by these in half the room of pointers, and cost no allocator headers. A thing never moves. Freed
 * ones are used again; memory goes back when none is left in use. */
#ifndef WEFT_BGP_POOL_H
#define WEFT_BGP_POOL_H

#include <stddef.h>
#include <stdint.h>

#define BGP_POOL_CHUNK 1024u      /* things of a chunk, a power of two */
#define BGP_POOL_MAX   (1u << 30) /* numbers are below: users have two bits of their own */

struct bgp_pool {
	size_t size;               /* bytes of one, a multiple of 8 */
	size_t in_use;             /* things handed out */
	size_t bytes;              /* of all chunks and their table */
	uint32_t free;             /* list of freed ones through their first word; 0 at its end */
	uint32_t fresh, fresh_end; /* never handed out */
	uint32_t table_cap;        /* of chunks */
	char **chunks;
};

/* @size is rounded up to a multiple of 8. Allocates nothing. */
void bgp_pool_init(struct bgp_pool *p, size_t size);
void bgp_pool_fini(struct bgp_pool *p); /* whatever is in use is gone */
/* Not zeroed; *@n is its number, never 0. NULL: no memory, or BGP_POOL_MAX things. */
void *bgp_pool_get(struct bgp_pool *p, uint32_t *n);
void bgp_pool_put(struct bgp_pool *p, uint32_t n);

/* The thing of number @n, which is in use. */
static inline void *bgp_pool_at(const struct bgp_pool *p, uint32_t n)
{
	return p->chunks[n / BGP_POOL_CHUNK] + (size_t)(n % BGP_POOL_CHUNK) * p->size;
}

#endif
