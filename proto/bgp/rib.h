/* rib.h - the table of one segment: prefixes, the paths to each, and what was announced of them. */
#ifndef WEFT_RIB_H
#define WEFT_RIB_H

#include "bgp.h"
#include "bgp_intern.h"
#include "bgp_pool.h"

#define PATH_STALE  0x01u /* since BoRR, not announced again yet (RFC 7313 4) */
#define PATH_USABLE 0x02u /* when it was decided last */
#define PATH_ID     0x04u /* it is a struct id_path */
#define PATH_EQUAL  0x08u /* as good as the best, when it was decided last */

/* A route from one peer: the entry of its Adj-RIB-In, before and after policy. */
struct path {
	struct path *next;
	struct attr_set *in;   /* as received */
	struct attr_set *attr; /* after policy; NULL: rejected */
	uint16_t peer;
	uint8_t flags;
	uint32_t label;
};

/* One that came with a path identifier (RFC 7911). */
struct id_path {
	struct path p;
	uint32_t id;
	uint16_t tx; /* from 1: names it among the peer's paths to that net, when it is announced */
};
/* That many of them at most, for one net. */
#define NET_ID_PATHS 256

static inline uint32_t path_id(const struct path *p)
{
	return p->flags & PATH_ID ? ((const struct id_path *)(const void *)p)->id : 0;
}
/* The identifier under which we announce it: unique for the net, and the same while it lives. */
static inline uint32_t path_tx_id(const struct path *p)
{
	unsigned tx = p->flags & PATH_ID ? ((const struct id_path *)(const void *)p)->tx : 0;

	return ((uint32_t)p->peer << 16 | tx) + 1;
}

#define NET_QUEUED 0x01u /* in rib.dirty */
#define NET_TOLD   0x02u /* BGP_ROUTE said that there is a route */
#define NET_MULTI  0x08u /* told with more than one next hop */
#define NET_FORCED 0x04u /* queued, and a group made since then has not heard of it */

/* A prefix. The best path, once decided, stands first and is accepted. */
struct net {
	struct net *hnext, *qnext;
	struct path *paths;
	struct out *outs;      /* ribout.h */
	struct attr_set *best; /* told last, held; NULL: none */
	uint32_t best_label;
	uint16_t best_peer;
	uint8_t flags, step; /* enum decide_step */
	uint8_t family, len;
	uint8_t key[]; /* RD in VPN families, then the whole address */
};

struct rib {
	uint32_t vni;
	struct net **buckets;
	size_t cap, count;
	struct net *dirty[BGP_FAMILIES]; /* to be decided, oldest first */
	struct net **dirty_tail[BGP_FAMILIES];
	struct bgp_pool nets[BGP_FAMILIES], paths, id_paths;
	uint8_t seed[16];
};

struct rib *rib_new(uint32_t vni, const uint8_t seed[16]); /* NULL: no memory */
void rib_free(struct rib *r);                              /* must be empty */
struct net *rib_find(const struct rib *r, const struct bgp_nlri *n);
/* Find or make; NULL: no memory. One that stays without path and announcement is to be given to
 * rib_release(). */
struct net *rib_get(struct rib *r, const struct bgp_nlri *n);
/* Free the net if nothing depends on it any more. */
void rib_release(struct rib *r, struct net *n);
void rib_mark(struct rib *r, struct net *n); /* to be decided */
/* Take the oldest one of a family in @families that is to be decided, or NULL. */
struct net *rib_pop(struct rib *r, uint32_t families);
void net_nlri(const struct net *n, struct bgp_nlri *out); /* label 0 */
struct path *net_path(const struct net *n, uint16_t peer, uint32_t id);
/* The next path of @peer behind @p (NULL: the first), or NULL. */
struct path *net_path_next(const struct net *n, uint16_t peer, const struct path *p);
/* Put a new path to the end; NULL: no memory, or NET_ID_PATHS. */
struct path *net_add(struct rib *r, struct net *n, uint16_t peer, uint32_t id);
/* Take @p out and free it; its attribute sets were put already. */
void net_drop(struct rib *r, struct net *n, struct path *p);
/* Walk: start with *@i = 0 and NULL. Only the net just returned may be released between calls, and
 * none made. */
struct net *rib_next(const struct rib *r, size_t *i, struct net **cursor);

#endif
