/* rib.h - the table of one segment: prefixes, the paths to each, and what was announced of them. */
#ifndef WEFT_RIB_H
#define WEFT_RIB_H

#include <stdbool.h>
#include "bgp.h"
#include "bgp_intern.h"
#include "bgp_pool.h"

#define PATH_USABLE 0x02u /* when it was decided last */
#define PATH_EQUAL  0x04u /* as good as the best, when it was decided last */
#define PATH_TAKEN  0x08u /* accepted as received, unless it is edited */
#define PATH_EDITED 0x10u /* it is a struct edited_path */
#define PATH_WIDE   0x20u /* it is a struct wide_path */

/* Things of the table name each other by 32-bit numbers of their pools; 0: none. The upper two bits
 * say which pool: of a net its family, of a path its kind. */
#define REF_BITS   30
#define REF_SECOND (1u << REF_BITS)
#define REF_NUMBER (REF_SECOND - 1)
enum path_kind { KIND_PLAIN, KIND_EDITED, KIND_WIDE, PATH_KINDS };

/* A route from one peer: the entry of its Adj-RIB-In. */
struct path {
	struct attr_set *in; /* as received */
	uint32_t next;
	uint16_t peer;
	uint8_t flags;
	uint8_t age; /* bgp_table.c */
};

/* One that the import policy made something else of, or once did. */
struct edited_path {
	struct path p;
	struct attr_set *attr; /* after policy; NULL: rejected */
};

/* One that came with a path identifier (RFC 7911), or of a VPN family. */
struct wide_path {
	struct edited_path e;
	uint32_t id;
	uint32_t label;
	uint16_t tx; /* from 1: names it among the peer's paths to that net, when it is announced */
};
/* That many with an identifier at most, for one net. */
#define NET_ID_PATHS 256

/* What the import policy left of it; NULL: rejected. */
static inline struct attr_set *path_attr(const struct path *p)
{
	if (p->flags & PATH_EDITED)
		return ((const struct edited_path *)(const void *)p)->attr;
	return p->flags & PATH_TAKEN ? p->in : NULL;
}
static inline const struct wide_path *path_wide(const struct path *p)
{
	return p->flags & PATH_WIDE ? (const void *)p : NULL;
}
static inline uint32_t path_id(const struct path *p)
{
	return p->flags & PATH_WIDE ? path_wide(p)->id : 0;
}
static inline uint32_t path_label(const struct path *p)
{
	return p->flags & PATH_WIDE ? path_wide(p)->label : 0;
}
static inline void path_put_label(struct path *p, uint32_t label)
{
	if (p->flags & PATH_WIDE)
		((struct wide_path *)(void *)p)->label = label;
}
/* The identifier under which we announce it: unique for the net, and the same while it lives. */
static inline uint32_t path_tx_id(const struct path *p)
{
	unsigned tx = p->flags & PATH_WIDE ? path_wide(p)->tx : 0;

	return ((uint32_t)p->peer << 16 | tx) + 1;
}

#define NET_QUEUED 0x01u /* in rib.dirty */
#define NET_TOLD   0x02u /* BGP_ROUTE said that there is a route */
#define NET_MULTI  0x08u /* told with more than one next hop */
#define NET_FORCED 0x04u /* queued, and a group made since then has not heard of it */

/* A prefix. The best path, once decided, stands first and is accepted. */
struct net {
	struct attr_set *best; /* told last, held; NULL: none */
	uint32_t hnext, qnext; /* nets */
	uint32_t self;
	uint32_t paths;
	uint32_t outs; /* ribout.h */
	uint16_t best_peer;
	uint8_t flags, step; /* enum decide_step */
	uint8_t family, len;
	uint8_t key[]; /* RD in VPN families, then the whole address; there the label of the best */
};

/* A walk of all buckets in portions (bgp_table.c). */
struct table_pass {
	size_t at;
	bool on, again; /* again: once more from the beginning */
};

struct rib {
	uint32_t vni;
	uint32_t *buckets; /* nets; rib_buckets() of them are in use */
	size_t room;       /* of buckets, a power of two */
	size_t cap,
		split; /* the first split ones of cap (a power of two) have a second one, cap further on */
	size_t count;
	uint32_t dirty[BGP_FAMILIES]; /* to be decided, oldest first */
	uint32_t dirty_tail[BGP_FAMILIES];
	struct bgp_pool nets[BGP_FAMILIES], paths[PATH_KINDS];
	struct table_pass mark; /* all are to be decided again */
	uint8_t seed[16];
};

/* The table grows by a few buckets at a time: what was in a bucket is then in that one or in one that
 * came behind all others. So whoever walks the buckets upwards in portions passes all that stays. */
static inline size_t rib_buckets(const struct rib *r)
{
	return r->cap + r->split;
}
static inline struct net *net_at(const struct rib *r, uint32_t ref)
{
	return ref ? bgp_pool_at(&r->nets[ref >> REF_BITS], ref & REF_NUMBER) : NULL;
}
static inline struct path *path_at(const struct rib *r, uint32_t ref)
{
	return ref ? bgp_pool_at(&r->paths[ref >> REF_BITS], ref & REF_NUMBER) : NULL;
}
static inline struct path *net_first(const struct rib *r, const struct net *n)
{
	return path_at(r, n->paths);
}
static inline struct path *path_next(const struct rib *r, const struct path *p)
{
	return path_at(r, p->next);
}

struct rib *rib_new(uint32_t vni, const uint8_t seed[16]); /* NULL: no memory */
void rib_free(struct rib *r);                              /* must be empty */
struct net *rib_find(const struct rib *r, const struct bgp_nlri *n);
/* The same for @count of them at once, at most RIB_MANY, into @out: their waits for memory overlap, and what
 * is asked of each next (its first path and best set) is on its way into the cache. */
#define RIB_MANY 32
void rib_find_many(const struct rib *r, const struct bgp_nlri *n, size_t count, struct net *out[]);
/* Find or make; NULL: no memory. One that stays without path and announcement is to be given to
 * rib_release(). */
struct net *rib_get(struct rib *r, const struct bgp_nlri *n);
/* Free the net if nothing depends on it any more. */
void rib_release(struct rib *r, struct net *n);
void rib_mark(struct rib *r, struct net *n); /* to be decided */
/* Take the oldest one of a family in @families that is to be decided, or NULL. */
struct net *rib_pop(struct rib *r, uint32_t families);
void net_nlri(const struct net *n, struct bgp_nlri *out); /* with the label of the best path */
/* Labels are of VPN families; elsewhere 0, whatever was put. */
uint32_t net_label(const struct net *n);
void net_put_label(struct net *n, uint32_t label);
struct path *net_path(const struct rib *r, const struct net *n, uint16_t peer, uint32_t id);
/* The next path of @peer behind @p (NULL: the first), or NULL. */
struct path *net_path_next(
	const struct rib *r, const struct net *n, uint16_t peer, const struct path *p);
/* Make @p, one of @n's, the first. */
void net_to_front(const struct rib *r, struct net *n, struct path *p);
/* Put a new path to the end, without attribute sets; NULL: no memory, or NET_ID_PATHS. @edited: with
 * room for a set of its own after policy. */
struct path *net_add(struct rib *r, struct net *n, uint16_t peer, uint32_t id, bool edited);
/* Give @p, one of @n's, the sets @in and @attr (NULL: rejected), each with a reference of its own;
 * those that it had are the caller's. Returns the path, which may be another now, in the same place;
 * NULL: no memory, unchanged. */
struct path *net_put_sets(
	struct rib *r, struct net *n, struct path *p, struct attr_set *in, struct attr_set *attr);
/* Take @p out and free it; its attribute sets were put already. */
void net_drop(struct rib *r, struct net *n, struct path *p);
/* Walk: start with *@i = 0 and NULL. Only the net just returned may be released between calls, and
 * none made. */
struct net *rib_next(const struct rib *r, size_t *i, struct net **cursor);

#endif
