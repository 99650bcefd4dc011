/* stats.h - counters with one writing thread and any number of reading ones: relaxed loads and
 * stores, no locked instruction. */
#ifndef WEFT_STATS_H
#define WEFT_STATS_H

#include <stdint.h>
#include "dp.h"

#define DP_ALIGN __attribute__((aligned(64))) /* a cache line of its own */

static inline void stat_add(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, __atomic_load_n(c, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline uint64_t stat_get(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

static inline void stat_set(uint64_t *c, uint64_t v)
{
	__atomic_store_n(c, v, __ATOMIC_RELAXED);
}

/* Add all counters of @from, which another thread may be writing, to @to. */
void stats_sum(struct dp_counters *to, const struct dp_counters *from);

#endif
