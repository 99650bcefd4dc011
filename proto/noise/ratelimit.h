/* ratelimit.h - token buckets for what strangers can ask of us: one per source prefix (/32 of IPv4,
 * /64 of IPv6) in a fixed table, and one for all. A source that shares its bucket with another
 * shares its rate; where a source lands is keyed, so that nobody can choose a victim's bucket. */
#ifndef WEFT_RATELIMIT_H
#define WEFT_RATELIMIT_H

#include <stdbool.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/bounds.h"
#include "weft/ts.h"

/* A bucket: refilled at a rate, holds at most its burst. Zeroed memory is a full bucket. */
struct rl_bucket {
	ts_t full_at; /* when it will be full again */
};

struct ratelimit {
	uint8_t seed[16];
	uint32_t per_source, per_second; /* events per second; the burst is the same */
	struct rl_bucket all;
	struct rl_bucket sources[LIM_HS_SOURCES];
};

enum rl_verdict {
	RL_OK,     /* one event was taken from both buckets */
	RL_SOURCE, /* this source asks too often: nothing was taken */
	RL_ALL,    /* all together ask too often: the source's token was taken */
};

/* Take one event out of @b, which gets @rate per second and holds @rate. False: empty. */
bool rl_take(struct rl_bucket *b, uint32_t rate, ts_t now);
/* @per_source, @per_second: events per second, both > 0. Buckets start full. */
void ratelimit_init(struct ratelimit *r, uint32_t per_source, uint32_t per_second);
enum rl_verdict ratelimit_take(struct ratelimit *r, const struct ip *from, ts_t now);

#endif
