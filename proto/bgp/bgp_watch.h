/* bgp_watch.h - looking on at a speaker (bgp.h): its messages as they stand on the wire, and which
 * prefixes its tables hold. */
#ifndef WEFT_BGP_WATCH_H
#define WEFT_BGP_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bgp.h"

/* A whole message of @peer, header included: one that came, before it is acted on, or (@sent) one that
 * was put into the connection's output. @local is our address of that connection. Borrowed; the core
 * may not be called, but for reading. */
typedef void (*bgp_tap_fn)(void *ctx, uint32_t peer, const struct ip *local, bool sent,
	const uint8_t *msg, size_t len);
/* Tell @fn of each message from now on; NULL: of none. Costs nothing while there is none. */
void bgp_tap(struct bgp *b, bgp_tap_fn fn, void *ctx);

/* Call @fn for each prefix that there is any path to in @vni, in no order, until it returns false. */
typedef bool (*bgp_net_fn)(void *ctx, const struct bgp_nlri *n);
void bgp_each_net(const struct bgp *b, uint32_t vni, bgp_net_fn fn, void *ctx);

#endif
