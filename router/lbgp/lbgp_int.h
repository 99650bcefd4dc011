/* lbgp_int.h - what the files of router/lbgp share. */
#ifndef WEFT_LBGP_INT_H
#define WEFT_LBGP_INT_H

#include "lbgp.h"
#include "map.h"

/* Somebody that BGP is spoken with. */
struct speaker {
	uint32_t id; /* of the BGP core; 0: not there yet */
	struct node_key key;
	struct lbgp_link *link; /* NULL: a node of this cluster */
	bool gateway;           /* of this cluster */
	bool judge;             /* its policies are others than the core has */
	uint64_t seen;          /* lbgp.round that it was last wanted in */
	struct lbgp *in;
	/* its way */
	enum lbgp_way way;
	bool last;  /* it is a last resort */
	dur_t hold; /* after it works again; 0: it never failed */
	ts_t good;  /* since when it doesn't fail */
};

/* Where a prefix of others goes. */
struct told {
	struct pfx pfx;
	uint8_t to;  /* links that it is announced to */
	bool queued; /* in lbgp.stale */
};

/* A range of a cluster that another gateway of ours has a link with. */
struct far {
	struct pfx pfx;
	uint32_t asn;
};

struct lbgp {
	struct lbgp_cfg cfg;
	struct ip control; /* our address in the control segment */
	struct bgp *core;  /* NULL: closed */
	bool gateway;      /* the speaker is a gateway's */
	uint32_t asn;
	struct link_cluster self;           /* as the speaker was opened with */
	struct map *speakers;               /* node key to struct speaker, owned */
	struct lbgp_link *links[LIM_LINKS]; /* the driver's, NULL: free */
	struct bgp_policy nodes;            /* ops NULL: they hear of aggregates alone */
	struct far far[LIM_LINKED_RANGES];
	size_t nfar;
	uint8_t heard; /* whom a session stood with in the last round: bits of links, LBGP_OURS */
	bool rejudge;  /* those are others than when links' routes were judged */
	struct map *told;  /* packed prefix to struct told, owned */
	struct pfx *stale; /* owned: told again at the next flush */
	size_t nstale, stale_cap;
	bool all_stale; /* no memory for that list */
	uint64_t round;
	ts_t again; /* not tried before, after a failure */
};

/* lbgp_rules.c */
/* The policies of @x, who is kept while it is a peer. */
void lbgp_policies(struct speaker *x, struct bgp_policy *import, struct bgp_policy *export);
void lbgp_nlri(const struct pfx *p, struct bgp_nlri *out); /* our VPN route to @p */
/* The communities of one that we originate: that of the segment; and of an exit, that of what lies outside of all
 * clusters' ranges, and that of what a neighbour of ours told, which says for whom it is. Returns their bytes. */
enum lbgp_kind { LBGP_RANGE, LBGP_EXIT, LBGP_EXIT_NODES };
size_t lbgp_communities(uint32_t asn, enum lbgp_kind kind, uint8_t out[24]);
bool lbgp_is_outside(const struct bgp_attrs *a);
bool lbgp_is_own(const struct lbgp *l, const struct pfx *p);    /* overlaps a range of ours */
bool lbgp_is_inside(const struct lbgp *l, const struct pfx *p); /* lies inside one */
/* The entry of @p, made if there is none; NULL: no memory. */
struct told *lbgp_told(struct lbgp *l, const struct pfx *p, bool make);
/* Who has @bit was told of @p, or is so no more: ops->route hears of it with the next flush. */
void lbgp_note(struct lbgp *l, const struct pfx *p, uint8_t bit, bool told);
void lbgp_told_drop(struct lbgp *l, const struct pfx *p);

#endif
