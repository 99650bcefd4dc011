/* bgp_feed.h - UPDATEs for benchmarks of the BGP core, made before the clock starts: a distinct attribute set
 * for each 5 to 8 IPv4 prefixes, AS paths of 3 to 6 that begin with 65002. */
#ifndef WEFT_BENCH_BGP_FEED_H
#define WEFT_BENCH_BGP_FEED_H

#include <stdlib.h>
#include <time.h>
#include "prng.h"
#include "bgp.h"
#include "bgp_msg.h"
#include "bgp_update.h"

static uint8_t *gen;
static size_t gen_len;

/* CPU time of this thread: on a busy machine the clock tells of others. */
static inline double cpu_secs(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline size_t feed_room(unsigned routes)
{
	return (size_t)routes * 40 + 4096;
}

/* Room for up to @routes, to be freed by the caller. */
static inline void feed_new(unsigned routes)
{
	gen = malloc(feed_room(routes));
	if (!gen)
		abort();
}

/* Withdrawals of the first @routes, as many to a message as a router packs. */
static inline void feed_withdrawals(unsigned routes)
{
	struct wr w;

	wr_init(&w, gen, feed_room(routes));
	for (unsigned at = 0; at < routes;) {
		uint8_t *msg = bgp_msg_begin(&w, MSG_UPDATE);
		unsigned n = routes - at < 500 ? routes - at : 500;

		wr_u16(&w, (uint16_t)(4 * n));
		for (; n > 0; n--, at++) {
			wr_u8(&w, 24);
			wr_u24(&w, 0x010000 + at);
		}
		wr_u16(&w, 0);
		bgp_msg_end(&w, msg);
	}
	gen_len = wr_len(&w);
}

static inline void feed_routes(unsigned routes)
{
	struct prng r;
	struct wr w;
	unsigned made = 0;

	wr_init(&w, gen, feed_room(routes));
	prng_seed(&r, 42);
	while (made < routes) {
		uint8_t *at = bgp_msg_begin(&w, MSG_UPDATE), *len, *start;
		unsigned hops = 3 + (unsigned)prng_below(&r, 4),
			 n = 5 + (unsigned)prng_below(&r, 4);

		wr_u16(&w, 0);
		len = wr_skip(&w, 2);
		start = w.p;
		bgp_attr_header(&w, AF_TRANSITIVE, AT_ORIGIN, 1);
		wr_u8(&w, 0);
		bgp_attr_header(&w, AF_TRANSITIVE, AT_AS_PATH, 2 + 4 * hops);
		wr_u8(&w, SEG_SEQUENCE);
		wr_u8(&w, (uint8_t)hops);
		wr_u32(&w, 65002);
		for (unsigned i = 1; i < hops; i++)
			wr_u32(&w, 100000 + (uint32_t)prng_below(&r, 70000));
		bgp_attr_header(&w, AF_TRANSITIVE, AT_NEXT_HOP, 4);
		wr_u32(&w, 0x0a000002);
		len[0] = (uint8_t)((w.p - start) >> 8);
		len[1] = (uint8_t)(w.p - start);
		for (; n > 0 && made < routes; n--, made++) {
			wr_u8(&w, 24);
			wr_u24(&w, 0x010000 + made);
		}
		bgp_msg_end(&w, at);
	}
	gen_len = wr_len(&w);
}

#endif
