/* Token buckets for strangers.
 *
 * A bucket is one time: when it will be full again. Taking an event moves that time on by 1/rate;
 * the bucket is empty when it lies further ahead than a whole burst takes (the virtual scheduling
 * form of GCRA, ITU-T I.371). So a bucket needs no refilling, and untouched memory is a full one.
 *
 * In: a source address and the time. Out: a verdict. Bound: a fixed table, hashed with a random
 * key; sources that collide share. Failure: none. */
#include "ratelimit.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>
#include "map.h"

bool rl_take(struct rl_bucket *b, uint32_t rate, ts_t now)
{
	uint64_t step, burst, at;

	assert(rate > 0 && rate <= 1000000000);
	step = 1000000000 / rate;
	burst = step * rate;
	at = b->full_at.ns > now.ns ? b->full_at.ns : now.ns;
	if (at + step - now.ns > burst)
		return false;
	b->full_at.ns = at + step;
	return true;
}

void ratelimit_init(struct ratelimit *r, uint32_t per_source, uint32_t per_second)
{
	assert(per_source > 0 && per_second > 0);
	memset(r, 0, sizeof(*r));
	randombytes_buf(r->seed, sizeof(r->seed));
	r->per_source = per_source;
	r->per_second = per_second;
}

/* All of an IPv6 /64 is one source: that is what one host can choose from (RFC 4291 2.5.1). */
static struct rl_bucket *bucket_of(struct ratelimit *r, const struct ip *from)
{
	uint8_t key[9] = {from->family};

	memcpy(key + 1, from->b, from->family == IP_V6 ? 8 : 4);
	return &r->sources[map_siphash(r->seed, key, sizeof(key)) % LIM_HS_SOURCES];
}

enum rl_verdict ratelimit_take(struct ratelimit *r, const struct ip *from, ts_t now)
{
	if (!rl_take(bucket_of(r, from), r->per_source, now))
		return RL_SOURCE;
	if (!rl_take(&r->all, r->per_second, now))
		return RL_ALL;
	return RL_OK;
}
