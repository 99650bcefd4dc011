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

static inline double secs(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void generate(unsigned routes)
{
	struct prng r;
	struct wr w;
	unsigned made = 0;

	gen = malloc((size_t)routes * 40 + 4096);
	if (!gen)
		abort();
	wr_init(&w, gen, (size_t)routes * 40 + 4096);
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
