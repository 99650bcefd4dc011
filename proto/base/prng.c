/* prng.c - xoshiro256** (Blackman, Vigna 2018), seeded through splitmix64 as its authors advise. */
#include <assert.h>
#include "prng.h"

static uint64_t rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void prng_seed(struct prng *p, uint64_t seed)
{
	/* splitmix64 is a bijection of its counter: four in a row are never all zero, the one
	 * state that xoshiro could not leave. */
	for (int i = 0; i < 4; i++)
		p->s[i] = splitmix(&seed);
}

uint64_t prng_next(struct prng *p)
{
	uint64_t *s = p->s;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t prng_below(struct prng *p, uint64_t n)
{
	uint64_t floor, v;

	assert(n > 0);
	/* 2^64 mod n values at the bottom would make some remainders likelier: draw again. */
	floor = -n % n;
	do
		v = prng_next(p);
	while (v < floor);
	return v % n;
}

dur_t prng_jitter(struct prng *p, dur_t d, unsigned pct)
{
	__int128 span;

	assert(d.ns >= 0 && pct <= 100);
	span = (__int128)d.ns * pct / 100;
	/* 2 * span + 1 fits 64 bits, since span <= INT64_MAX; the sum may not fit the type. */
	span = d.ns - span + (__int128)prng_below(p, (uint64_t)(2 * span + 1));
	return DUR_NS(span > INT64_MAX ? INT64_MAX : (int64_t)span);
}
