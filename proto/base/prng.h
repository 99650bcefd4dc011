/* prng.h - seedable xoshiro256** for jitter, probe order and tests. Never for keys. */
#ifndef WEFT_PRNG_H
#define WEFT_PRNG_H

#include <stdint.h>
#include "weft/ts.h"

struct prng {
	uint64_t s[4];
};

void prng_seed(struct prng *p, uint64_t seed); /* splitmix64 expands the seed */
uint64_t prng_next(struct prng *p);
/* Uniform in [0, n); n > 0; without modulo bias. */
uint64_t prng_below(struct prng *p, uint64_t n);
/* @d spread evenly over [d*(100-pct)/100, d*(100+pct)/100]. */
dur_t prng_jitter(struct prng *p, dur_t d, unsigned pct);

#endif
