/* fib.h - the forwarding table of one segment: longest prefix to peer, local, exit or nobody.
 *
 * The control thread writes; workers look up under QSBR (rcu.h). A route is a number that fits into
 * the table's value pointer, so nothing is allocated or freed per route and a change of owner is one
 * pointer store. All tables of a data plane share one generation counter, which goes up after each
 * change: a worker may reuse a result while it has not moved. */
#ifndef WEFT_FIB_H
#define WEFT_FIB_H

#include <stdint.h>
#include "weft/addr.h"
#include "dp.h"
#include "rcu.h"

struct fib;

struct fib_route {
	uint32_t peer; /* of DP_ROUTE_PEER and DP_ROUTE_LINK, else 0 */
	uint8_t kind;  /* enum dp_route_kind; 0: no route */
	uint8_t from;  /* links, as dp_route_cross() has them, */
	uint8_t to;    /* both ways */
};

static inline bool fib_has_peer(uint8_t kind)
{
	return kind == DP_ROUTE_PEER || kind == DP_ROUTE_LINK;
}

/* @bin and @generation are kept. NULL: no memory. */
struct fib *fib_new(struct rcu_bin *bin, uint64_t *generation);
/* No readers may be left. NULL is fine. */
void fib_free(struct fib *f);
/* Add or replace; @r.peer counts where fib_route has one. ERR_RANGE: unknown kind, or a peer that is
 * none; ERR_NOMEM: unchanged. */
int fib_set(struct fib *f, const struct pfx *p, struct fib_route r);
/* ERR_NOT_FOUND. */
int fib_del(struct fib *f, const struct pfx *p);
/* Remove every route of @peer. */
void fib_drop_peer(struct fib *f, uint32_t peer);
size_t fib_count(const struct fib *f);

/* Reader: @addr is 4 or 16 bytes by @family (IP_V4, IP_V6). */
struct fib_route fib_lookup(const struct fib *f, uint8_t family, const uint8_t *addr);

#endif
