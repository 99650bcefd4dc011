/* ipam_pool.h - one prefix's addresses as two bitmaps; inside proto/ipam only. */
#ifndef WEFT_IPAM_POOL_H
#define WEFT_IPAM_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/ts.h"

struct ipam_rest {
	uint32_t offset;
	ts_t since;
};

struct ipam_pool {
	uint32_t vni;
	struct pfx pfx;
	uint32_t size;   /* offsets 0..size-1 are managed */
	uint32_t cursor; /* where the next search starts */
	uint32_t taken;  /* bits set in used, reserved and resting ones included */
	uint32_t reserved;
	uint64_t *used;         /* a bit per offset; those past size are set */
	uint64_t *full;         /* a bit per word of used: all its bits are set */
	uint64_t *held;         /* a bit per offset: resting */
	struct ipam_rest *rest; /* ring in order of time */
	size_t rest_head, rest_count, rest_cap;
};

/* Returns owned; NULL: no memory. */
struct ipam_pool *ipam_pool_new(uint32_t vni, const struct pfx *p);
void ipam_pool_free(struct ipam_pool *p); /* NULL is fine */
/* Offset of @ip; false: outside the prefix, or beyond what is managed. */
bool ipam_pool_offset(const struct ipam_pool *p, const struct ip *ip, uint32_t *out);
/* Is @ip one that is never given out? */
bool ipam_pool_reserved(const struct ipam_pool *p, const struct ip *ip);
/* The next free offset after the cursor, which moves there; constant time. Marks nothing. false: none.
 * With @pressed, the one that rests longest, if that is long enough. */
bool ipam_pool_pick(struct ipam_pool *p, ts_t now, bool pressed, uint32_t *out);
/* Has ipam_pool_pick anything to give at @now, pressed included? */
bool ipam_pool_can(const struct ipam_pool *p, ts_t now);
/* Mark as given out; a resting one is woken. */
void ipam_pool_mark(struct ipam_pool *p, uint32_t offset);
/* A given out one rests from @now. Without memory for that it is free at once. */
void ipam_pool_rest(struct ipam_pool *p, uint32_t offset, ts_t now);

#endif
