/* claim.h - who owns a prefix when several nodes say they do (DESIGN 7.5).
 *
 * Holds the claims that compete now. Two claims of different nodes in one VNI are in conflict if
 * one contains the other. Claims are ranked by right, then age, then node key; going down the rank,
 * each wins unless it is in conflict with one that won before it. So A over B over C, with A and C
 * not overlapping, leaves A and C.
 *
 * A claim that takes a whole range of the cluster ranks behind all that don't, whatever its right: it
 * is the one's who is alone. So a slip of the keyboard (--prefix with the range) or a lie takes no range
 * from those who have their prefixes in it.
 *
 * Exits are no property: a wide exit beside narrower prefixes is what longest match is for. Of
 * equal exits one is chosen by rank, without that being a conflict; an exit equal to or inside a
 * prefix that another node owns loses to it. */
#ifndef WEFT_CLAIM_H
#define WEFT_CLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include "gossip.h"
#include "list.h"

struct claim {
	struct list in_node; /* the owner's list; the caller's */
	struct list change;  /* in claims.adds or claims.dels */
	struct list notice;  /* in claims.notices: newly lost, not yet told */
	struct gossip_prefix p;
	struct node_key node;
	uint16_t sub;  /* of the record that it stands in; the caller's */
	size_t slot;   /* the caller's */
	bool self;     /* ours: never routed to, and shields what is inside it */
	bool placed;   /* competes */
	bool won;      /* meaningful while placed */
	bool conflict; /* placed, and lost to winner by a conflict */
	bool wide;     /* takes a whole range */
	struct node_key winner;
	bool routed; /* ROUTE_ADD was told last */
	bool doomed; /* to be freed once its ROUTE_DEL was told */
};

struct claim_range {
	uint32_t vni;
	struct pfx pfx;
};

struct claim_row {
	struct claim **v; /* sorted by VNI, prefix, rank */
	size_t count;
};

struct claims {
	struct claim_row owned, exits;
	size_t cap;      /* of each row and of nest and order */
	size_t reserved; /* claims that exist: each has room in every array */
	size_t nconflicts;
	struct claim_range *ranges; /* owned, in order */
	size_t nranges;
	struct list adds, dels, notices;
	struct claim_nest *nest;   /* working space to judge a region */
	struct claim_order *order; /* the same, by rank */
};

void claims_init(struct claims *s);
void claims_fini(struct claims *s); /* claims are the caller's */
/* @range is one of the cluster's: before any claim is made. ERR_NOMEM. */
int claims_range_add(struct claims *s, uint32_t vni, const struct pfx *range);
/* Make a claim, and room for it, so that placing can't fail. @p is copied. Returns owned, NULL: no
 * memory. */
struct claim *claim_new(
	struct claims *s, const struct node_key *node, bool self, const struct gossip_prefix *p);
/* Let @c compete, or no longer. Both judge anew what it overlaps with, and queue routes that came
 * or went on adds and dels. Harmless when it is so already. */
void claim_place(struct claims *s, struct claim *c);
void claim_lift(struct claims *s, struct claim *c);
/* Does @c, placed or not, take a range in which another node has a prefix that competes? Then it has no
 * force, and takes no room. */
bool claim_is_moot(const struct claims *s, const struct claim *c);
/* Lift @c and free it, at once or when its ROUTE_DEL was taken from dels. It leaves in_node. */
void claim_drop(struct claims *s, struct claim *c);
/* Take the next route that went (or came). The caller tells it; with claim_told() after that a
 * dropped claim is freed. NULL: none. */
struct claim *claim_next_del(struct claims *s);
struct claim *claim_next_add(struct claims *s);
void claim_told(struct claims *s, struct claim *c);
/* Take the next claim that lost by a conflict. NULL: none. */
struct claim *claim_next_notice(struct claims *s);

#endif
