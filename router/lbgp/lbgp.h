/* lbgp.h - BGP between clusters and inside one, without I/O (DESIGN 8.1, 8.2): with whom a node
 * speaks over the control segment, as what, and what may pass (docs/clusters.md).
 *
 * It joins two cores, those of BGP and of links, so it stands in router/; but it has no socket and no
 * clock, so that the simulator runs the same code as the daemon. VPN families alone (RFC 4364, 4659),
 * so that segments stay apart; the route target says which. What may pass is decided here
 * (lbgp_rules.c): nothing crosses by default but the two clusters' own ranges; a link's policies let
 * more pass, each way, but never what speaks for somebody else. To nodes goes what came from links, and
 * of what a gateway's neighbours outside told (lbgp_offer) what its policy for nodes lets pass: exits.
 *
 * The speaker is a BGP core of the driver's, there while there is somebody to speak with. A round is
 * lbgp_round(), lbgp_want() for each who is to be spoken with, lbgp_sync().
 *
 * One thread. */
#ifndef WEFT_LBGP_H
#define WEFT_LBGP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/id.h"
#include "weft/ts.h"
#include "bgp.h"
#include "link_wire.h"

struct lbgp;

/* Why a route of a link is refused. */
enum lbgp_reason {
	LBGP_SEGMENT,  /* of no segment that is linked */
	LBGP_OWN,      /* overlaps a range of ours */
	LBGP_DEFAULT,  /* a default route */
	LBGP_UNDERLAY, /* holds an address that carries the mesh */
	LBGP_OTHER,    /* speaks for the range of another linked cluster */
	LBGP_POLICY,   /* the link's policy, or there is none that lets it pass */
	LBGP_REASONS,
};
const char *lbgp_reason_str(enum lbgp_reason why); /* a word with hyphens; "?" */

/* A link, as far as its BGP goes; the driver's, who fills in the first part, kept from lbgp_link_add() to
 * lbgp_link_del(). After changes of remote or the policies lbgp_judge(), or lbgp_learned(). */
struct lbgp_link {
	const struct link_cluster *remote; /* as its last greeting told; asn 0: not known yet */
	uint8_t bit;                       /* that stands for it in lbgp_route: 0x02 to 0x80 */
	struct bgp_policy import, export;  /* ops NULL: the two clusters' own ranges */
	bool outside;                      /* @export is asked of what lbgp_offer() offers, too */
	/* lbgp's */
	struct lbgp *in;
	uint64_t refused[LBGP_REASONS]; /* how often; each change of a policy counts all again */
	struct pfx last_refused;        /* family IP_NONE: none yet */
	enum lbgp_reason last_why;
};

/* Way to somebody. One that fails or failed lately is a last resort: what it leads to is reached by any other
 * that there is, and other clusters are told nothing of it. Its session stays, and so do its routes while
 * there are no others, so that nothing is lost by a short failure. When it is back, it stays a last resort
 * for LBGP_HOLD_MIN, twice as long for each failure within LBGP_STEADY, up to LBGP_HOLD_MAX: a way that
 * comes and goes makes no news. */
enum lbgp_way {
	LBGP_WORKS,
	LBGP_DOUBTFUL, /* through relays, or perhaps failing: a last resort while another of its kind works */
	LBGP_FAILS,
};
#define LBGP_HOLD_MIN DUR_SEC(2)
#define LBGP_HOLD_MAX DUR_SEC(64)
#define LBGP_STEADY   DUR_SEC(60)

/* The bit of our own gateways, where links have bits. */
#define LBGP_OURS 0x01u

/* Where a prefix of the default segment leads. */
struct lbgp_route {
	struct pfx pfx;
	const struct node_key *gateway; /* NULL: nowhere */
	bool offered;                   /* by us (lbgp_offer), so that there is no gateway */
	bool outside;                   /* of all clusters' ranges */
	bool exit; /* a neighbour of that gateway, or of ours if it is offered, told it: to be taken by --accept
		    * alone. It may be a default route, and may hold an address of the underlay */
	/* Whom it was accepted from, whom it is announced to: bits of links; LBGP_OURS in to: nodes may use this
	 * one as their exit */
	uint8_t from, to;
	const struct bgp_attrs *attrs; /* of the best path; NULL: none. Borrowed for the call */
};

struct lbgp_ops {
	/* Begin a speaker with @cfg (its seed is the driver's to set) that listens on our control address
	 * if @listens; *@core is borrowed until close(), after which nothing is heard of it. Errors are
	 * the driver's. */
	int (*open)(void *ctx, const struct bgp_cfg *cfg, bool listens, struct bgp **core);
	void (*close)(void *ctx);
	/* Take a peer into it, or out again with its routes. Errors of bgp_peer_add. */
	int (*peer_add)(void *ctx, const struct bgp_peer_cfg *cfg, uint32_t *peer);
	void (*peer_del)(void *ctx, uint32_t peer);
	/* How the way to @key fares, as liveness has it (docs/paths.md). NULL: it works. */
	enum lbgp_way (*way)(void *ctx, const struct node_key *key);
	/* So it is from now on; perhaps it was so before. */
	void (*route)(void *ctx, const struct lbgp_route *r);
	/* Does @p hold an address that carries the mesh? NULL: never. */
	bool (*underlay)(void *ctx, const struct pfx *p);
};

struct lbgp_cfg {
	const struct lbgp_ops *ops; /* kept */
	void *ctx;
	struct cluster_id cluster; /* ours */
	struct node_key key;
	uint8_t seed[16]; /* of a hash */
};

struct lbgp *lbgp_new(const struct lbgp_cfg *cfg); /* NULL: no memory */
void lbgp_free(struct lbgp *l);                    /* NULL is fine; after lbgp_stop() */

/* A link that routes may cross, whether anybody of it is spoken with or not: its ranges are its own.
 * ERR_FULL (LIM_LINKS). */
int lbgp_link_add(struct lbgp *l, struct lbgp_link *link, ts_t now);
/* Nobody of it is spoken with any more. Unknown: nothing happens. */
void lbgp_link_del(struct lbgp *l, struct lbgp_link *link, ts_t now);
/* Policies, links or the underlay are others than before: all routes are judged again. */
void lbgp_judge(struct lbgp *l, ts_t now);

void lbgp_round(struct lbgp *l);
/* @key is to be spoken with: a gateway of the cluster that @link leads to, or (NULL) a node of ours,
 * @gateway saying whether it is one. */
void lbgp_want(struct lbgp *l, const struct node_key *key, struct lbgp_link *link, bool gateway);
/* Part with those that were not wanted in this round, whose routes go by the way of the core, and look at
 * the ways to the others. If there is
 * anybody to speak with (@needed; a gateway listens for those to come), open the speaker, as a gateway's
 * (whom everybody dials, and who announces @self's ranges) or a node's, and add who is missing; else close
 * it. 0, or errors of ops->open, bgp_originate and ops->peer_add: what is missing is tried again in the
 * first round after LBGP_AGAIN. */
int lbgp_sync(struct lbgp *l, const struct link_cluster *self, bool needed, bool gateway, ts_t now);
#define LBGP_AGAIN DUR_SEC(10)
/* Close the speaker at the end: its routes stay as they are. */
void lbgp_stop(struct lbgp *l);

/* The cluster that @link leads to is another than before, whose AS number was @asn_before: its
 * sessions are judged anew, or begun anew with the next round. */
void lbgp_learned(struct lbgp *l, struct lbgp_link *link, uint32_t asn_before, ts_t now);
/* A BGP_ROUTE of the speaker: ops->route hears of it. @a->attrs are not valid after it. */
void lbgp_route(struct lbgp *l, const struct bgp_act *a);
/* After a run of the speaker's actions: what changed without such a one. */
void lbgp_flush(struct lbgp *l);

/* A gateway: a route of another speaker of this node to what lies outside of our ranges, for nodes, and (@links:
 * it overlaps no cluster's range) for links whose policy lets it pass; @attrs NULL: it is gone. Nothing
 * happens to what lies inside our own ranges. Forgotten with the speaker, so all are to be
 * told again when ops->open() was called. 0: also without a speaker; ERR_NOMEM, errors of bgp_originate. */
int lbgp_offer(
	struct lbgp *l, const struct pfx *p, const struct bgp_attrs *attrs, bool links, ts_t now);
/* The same of a prefix that stands for such routes inside it, for nodes alone, whatever the policy. */
int lbgp_offer_aggregate(struct lbgp *l, const struct pfx *p, bool on, ts_t now);
/* What of the offered routes nodes are told; ops NULL, at first: aggregates alone. Takes effect with the next
 * lbgp_judge(). */
void lbgp_nodes(struct lbgp *l, const struct bgp_policy *export);
/* Tell ops->route of @p as it is now. */
void lbgp_tell(struct lbgp *l, const struct pfx *p);
/* The attributes of the best route to @p; false: there is none. Their spans are borrowed until the core
 * of the speaker is called. */
bool lbgp_best(const struct lbgp *l, const struct pfx *p, struct bgp_attrs *out);

/* Is what has @a a last resort? */
bool lbgp_is_last(const struct bgp_attrs *a);
/* Is the way to @key held to be one? */
bool lbgp_held(const struct lbgp *l, const struct node_key *key);
/* Did a neighbour of one of our gateways tell what has @a? */
bool lbgp_is_exit(const struct bgp_attrs *a);

/* The speaker's peer that @key is; 0: none. */
uint32_t lbgp_peer(const struct lbgp *l, const struct node_key *key);
size_t lbgp_count(const struct lbgp *l); /* of those wanted */

#endif
