/* claim.h - who owns a prefix when several nodes say they do (DESIGN 7.5).
 *
 * Holds the claims that compete now. Two claims of different nodes in one VNI are in conflict if
 * one contains the other. Claims are ranked by right, then age, then node key; going down the rank,
 * each wins unless it is in conflict with one that won before it. So A over B over C, with A and C
 * not overlapping, leaves A and C.
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
	struct node_key winner;
	bool routed; /* ROUTE_ADD was told last */
	bool doomed; /* to be freed once its ROUTE_DEL was told */
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
	struct list adds, dels, notices;
	struct claim_nest *nest;   /* working space to judge a region */
	struct claim_order *order; /* the same, by rank */
};

void claims_init(struct claims *s);
void claims_fini(struct claims *s); /* claims are the caller's */
/* Make a claim, and room for it, so that placing can't fail. @p is copied. Returns owned, NULL: no
 * memory. */
struct claim *claim_new(
	struct claims *s, const struct node_key *node, bool self, const struct gossip_prefix *p);
/* Let @c compete, or no longer. Both judge anew what it overlaps with, and queue routes that came
 * or went on adds and dels. Harmless when it is so already. */
void claim_place(struct claims *s, struct claim *c);
void claim_lift(struct claims *s, struct claim *c);
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
