/* kfib.h - routes learned from outside, in a kernel table of weft's own: destinations to next hops,
 * or to nothing (what stands behind an aggregate).
 *
 * Next hops are resolved by the host's own routes (by the mark, so that no route of weft counts) and
 * followed when those change. What is stated is sent by kfib_sync(), in batches and in portions.
 * Routes stay when weftd ends, also when it crashes; the next one adopts them (kfib_sweep). They
 * carry KERN_RTPROT, so kern_down() finds them. One thread. */
#ifndef WEFT_KFIB_H
#define WEFT_KFIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/ts.h"

#define KFIB_TABLE_BASE 689300 /* + VNI: learned routes of a segment; VNI below 1024 only */
#define KFIB_METRIC     1024

struct kfib;

/* The table of learned routes of a segment. */
uint32_t kfib_table(uint32_t vni);

/* Opens a socket and reads what a weftd before this one left in the table of @vni; changes nothing.
 * @mark: of the sockets by whose view next hops are resolved. -errno, ERR_NOMEM, ERR_RANGE (@vni).
 * Returns owned. */
int kfib_open(uint32_t vni, uint32_t mark, bool ipv6, const uint8_t seed[16], struct kfib **out);
void kfib_close(struct kfib *f); /* leaves the routes; NULL is fine */

/* Of the socket that changes the table: for kern_ignore(). */
uint32_t kfib_portid(const struct kfib *f);

/* Can the host reach @nh, and at which cost: 0 on a link of its own, 1 by a gateway. */
bool kfib_resolve(struct kfib *f, const struct ip *nh, uint32_t *cost);

/* Each of these states what should be. ERR_NOMEM, ERR_FULL (LIM_KERN_ROUTES, LIM_BGP_NEXTHOPS):
 * unchanged, counted. */
int kfib_set(struct kfib *f, const struct pfx *p, const struct ip *nh);
/* The same by a link-local @nh on the device @oif, for a prefix of either family. */
int kfib_set_on(struct kfib *f, const struct pfx *p, const struct ip *nh, int oif);
/* By several next hops at once, between which the kernel shares flows. ERR_RANGE: @n is 0 or above
 * KFIB_PATHS. */
#define KFIB_PATHS 16
struct kfib_path {
	struct ip nh;
	int oif; /* a link-local one: its device; else 0 */
};
int kfib_set_paths(struct kfib *f, const struct pfx *p, const struct kfib_path *paths, unsigned n);
int kfib_set_unreachable(struct kfib *f, const struct pfx *p);
int kfib_del(struct kfib *f, const struct pfx *p); /* ERR_NOT_FOUND */

/* Send at most @budget changes, and do a portion of what concerns the whole table. 1: call again; 0: the
 * kernel agrees; negative: the first error, @why names the route. What failed is tried again after
 * kfib_recheck(). */
int kfib_sync(struct kfib *f, unsigned budget, char *why, size_t why_len);

/* The host's links or routes changed: resolve every next hop again, begin to compare the table with what
 * it should be, and try again what failed; kfib_sync() does the rest. True: the reachability or cost
 * of a next hop is another one, so that best paths may be too. The comparison is put off while it
 * would take more than a twentieth of the time; call again at kfib_deadline(). */
bool kfib_recheck(struct kfib *f, ts_t now);
ts_t kfib_deadline(const struct kfib *f);
/* Routes of the weftd before this one that nobody stated again are to go. */
void kfib_sweep(struct kfib *f);

struct kfib_stats {
	size_t routes, leftover, nexthops; /* routes: that stand */
	size_t waiting;                    /* to be sent, those that failed included */
	uint64_t repaired, errors, full;
};
void kfib_stats(const struct kfib *f, struct kfib_stats *out);

#endif
