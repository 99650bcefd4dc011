/* gossip.h - membership and records (DESIGN 7, first part).
 *
 * Sans-I/O, one thread, the usual core shape: call anything, drain gossip_next(), re-arm
 * gossip_deadline(). It sits on authenticated links that the driver reports; it knows no addresses
 * but those that records carry, and no sessions. Who is alive, and which links a node holds for
 * that, is membership's (member.h); records spread along those links. docs/gossip.md tells more. */
#ifndef WEFT_GOSSIP_H
#define WEFT_GOSSIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/id.h"
#include "weft/ts.h"
#include "key.h"

struct gossip;
struct members_stats; /* member.h */

struct gossip_cfg {
	const struct identity *id; /* kept */
	struct cluster_id cluster;
	char name[NODE_NAME_MAX + 1];
	char version[32];
	uint64_t epoch; /* already fsynced by the caller */
	uint64_t seed;
	/* Hold a link to every node, and take a node for alive while there is one. Else links are
	 * held to a few neighbours, and a node is alive as membership says. */
	bool full_mesh;
};

/* What a node says of a prefix. */
enum prefix_right { RIGHT_ORCHESTRATOR = 1, RIGHT_CONFIG = 2, RIGHT_CLAIM = 3 };
struct gossip_prefix {
	uint32_t vni;   /* 1..VNI_MAX */
	struct pfx pfx; /* no bits past its length */
	bool exit;      /* traffic leaves the mesh here, outside the ranges */
	uint8_t right;  /* enum prefix_right, the lower the stronger; others' may be above
			   RIGHT_CLAIM */
	bool lost;      /* told by gossip_node_info, ignored in gossip_set_prefixes: another node's
			   overlapping claim is stronger, so this one is not routed */
	bool moot; /* the same: it takes a whole range in which others have prefixes, so it has no
			   force, and takes no room from anybody */
	uint64_t claimed_at_secs; /* Unix time at which the claim was first published: among equal
				     rights the older wins. 0: not given, which counts as newest */
};

enum gossip_act_type {
	GOSSIP_NONE,
	GOSSIP_SEND,          /* node, buf, len: send as WIRE_CTL_GOSSIP to a linked node */
	GOSSIP_DIAL,          /* node, eps, neps: a link with it is wanted: connect to it */
	GOSSIP_HANGUP,        /* node: end its link (forgotten) */
	GOSSIP_RELEASE,       /* node: its link is not needed here: it may end when it is idle */
	GOSSIP_ROUTE_ADD,     /* node, prefix: owner is alive; route to it */
	GOSSIP_ROUTE_DEL,     /* node, prefix */
	GOSSIP_NODE_UP,       /* node, name: alive and its node record known */
	GOSSIP_NODE_DOWN,     /* node, name */
	GOSSIP_NAME_CONFLICT, /* node, name: it bears our name or another's (other); eps[0] its
				   address, eps[1] the other's; family IP_NONE where unknown. Told
				   again each minute while it lasts */
	/* Our own key publishes elsewhere: eps[0], if known. epoch: 0, or LIM_EPOCH: there is nothing above
	 * what it published, so that nobody believes us any more */
	GOSSIP_KEY_CLONE,
	GOSSIP_EPOCH,     /* epoch: store and fsync, then call gossip_epoch_stored */
	GOSSIP_FORGOTTEN, /* node, name: gone, and a person said somewhere that nobody waits for
				   it: its lease ends. Ourselves: others were told so of us, at
				   at_secs (Unix time), by other, after claims of ours were made */
	GOSSIP_PREFIX_CONFLICT, /* node, prefix: not routed, since other's overlapping claim is
				   stronger. node may be this node itself */
	GOSSIP_LIAR, /* node, lie; eps[0]: where its link came from, neps 0 if it has none. Told again each
			minute while it goes on */
};

/* What a node does that an honest one doesn't. */
enum gossip_lie {
	GOSSIP_LIE_FORGED,    /* tells on what has a false signature */
	GOSSIP_LIE_FOREIGN,   /* tells on records of another cluster */
	GOSSIP_LIE_SENSELESS, /* its messages make no sense */
	GOSSIP_LIE_FUTURE,    /* tells of epochs or incarnations that no node comes to */
	GOSSIP_LIE_FLOOD,     /* says more than is heard */
	GOSSIP_LIE_PREFIXES,  /* publishes more prefixes than are used */
	GOSSIP_LIE_SUSPECTS,  /* suspects nodes that live: it is not believed for now */
	GOSSIP_LIE_TWICE, /* begins anew again and again, or says two things under one version */
	GOSSIP_LIE_WIDE,  /* claims a whole range in which others have prefixes: it has no force */
	GOSSIP_LIES
};

struct gossip_act {
	enum gossip_act_type type;
	struct node_key node, other;
	char name[NODE_NAME_MAX + 1];
	struct gossip_prefix prefix;
	const struct ep *eps;
	size_t neps;
	const uint8_t *buf;
	size_t len;
	uint64_t epoch, at_secs;
	enum gossip_lie lie;
};

/* A core that publishes its node record at once. @cfg is borrowed, its id kept; name must satisfy
 * node_name_ok(), version be 1 to 31 printable ASCII characters, epoch above 0. Returns owned;
 * NULL: no memory. */
struct gossip *gossip_new(const struct gossip_cfg *cfg, ts_t now);
/* @range is one of the cluster's: who claims all of it is weaker than those who have prefixes in it. Right
 * after gossip_new. ERR_NOMEM. */
int gossip_range_add(struct gossip *g, uint32_t vni, const struct pfx *range);
void gossip_free(struct gossip *g); /* NULL is fine; says nothing to anybody */
/* Replace what we publish of ourselves (arrays borrowed); publishes only what changed. Endpoints
 * that no other host can use (unspecified, loopback unless alone, multicast, link-local) are left
 * out. ERR_FULL above LIM_ENDPOINTS_PER_NODE or LIM_PREFIXES_PER_NODE, ERR_RANGE for a prefix with
 * VNI 0 or above VNI_MAX, bits past its length or an unknown right, ERR_NOMEM: unchanged. */
int gossip_set_endpoints(struct gossip *g, const struct ep *eps, size_t n, ts_t now);
int gossip_set_prefixes(struct gossip *g, const struct gossip_prefix *p, size_t n, ts_t now);
/* What we are besides a node: bits, all 0 at first. */
#define GOSSIP_F_GATEWAY  1u /* has links to other clusters: speaks BGP with every node that asks */
#define GOSSIP_F_NO_RELAY 2u /* forwards nothing for others */
void gossip_set_features(struct gossip *g, uint64_t features, ts_t now);
/* A session with @node stands (seen at @ep, NULL if unknown) or ended. Again for a link that is up:
 * the endpoint moved. ERR_CONFLICT: @node is our own key (GOSSIP_KEY_CLONE is told); ERR_FULL
 * (LIM_NODES), ERR_NOMEM: no link, the driver closes the session. */
int gossip_link_up(struct gossip *g, const struct node_key *node, const struct ep *ep, ts_t now);
void gossip_link_down(struct gossip *g, const struct node_key *node, ts_t now);
/* A link with @node is wanted for a few seconds: there is data for it. If there is none GOSSIP_DIAL
 * is told; the link is released as soon as it stands. ERR_NOT_FOUND: no such node, or nothing is
 * known of where it is; ERR_REFUSED: it left or was forgotten, or it is ourselves. */
int gossip_demand(struct gossip *g, const struct node_key *node, ts_t now);
/* Data came from @node just now: it lives, whatever others say. At most once a second and node. */
void gossip_heard(struct gossip *g, const struct node_key *node, ts_t now);
/* Forget a node and don't dial it again until it publishes something newer. @name_or_key as the
 * user typed it: a name, a whole key or its short form. A name that several nodes bear means the
 * one that is not linked. Its records stay in the store (others would only send them again) but are
 * not looked at. If it calls us and publishes nothing newer within a few seconds, GOSSIP_HANGUP is
 * told again. If the node is gone, or not linked, everybody is told to forget it once it is gone, as of
 * @unix_secs by the caller's wall clock (GOSSIP_FORGOTTEN there, and here). ERR_NOT_FOUND; ERR_CONFLICT: the name is borne by
 * several nodes, say the key; ERR_REFUSED: ourselves. */
int gossip_forget(struct gossip *g, const char *name_or_key, uint64_t unix_secs, ts_t now);
/* We go: publish it, so that others withdraw our prefixes at once. */
void gossip_leave(struct gossip *g, ts_t now);
/* We stop, and may be back in a moment: others know at once, and go on routing to us for some seconds
 * (docs/membership.md). Drain and send before the links end. */
void gossip_pause(struct gossip *g, ts_t now);
/* GOSSIP_EPOCH was carried out: @epoch (at least the one asked for) is on the disk. Until this is
 * called the action comes again every few seconds, and others go on believing our older records. */
void gossip_epoch_stored(struct gossip *g, uint64_t epoch, ts_t now);
/* One WIRE_CTL_GOSSIP body from a linked node. ERR_MALFORMED, ERR_AUTH, ERR_FOREIGN (cluster),
 * ERR_STALE, ERR_FULL, ERR_LIMIT (more news of one node than is heard), ERR_RANGE (an epoch above
 * LIM_EPOCH, an incarnation above LIM_INCARNATION), ERR_VERSION, ERR_NOMEM,
 * ERR_STATE (no link with @from): counted, harmless.
 * The rest of a message that holds one bad record is used. */
int gossip_recv(
	struct gossip *g, const struct node_key *from, const uint8_t *buf, size_t len, ts_t now);
/* To be called when gossip_deadline() has come; early or late is harmless. */
void gossip_tick(struct gossip *g, ts_t now);
/* When to call gossip_tick() next. Holds after gossip_next() was drained. */
ts_t gossip_deadline(const struct gossip *g);
/* Take the next action; false: none, *@out is zeroed. Pointers in it are borrowed until the next
 * call of any gossip function but gossip_node_* and gossip_stats. Routes and up states are told as
 * differences to what was told before: what came and went between two drains is not told. */
bool gossip_next(struct gossip *g, struct gossip_act *out);

/* For status; pointers borrowed until the next call. */
struct gossip_node_info {
	struct node_key key;
	const char *name, *version; /* "" while only the key is known */
	uint64_t epoch;
	uint64_t features; /* GOSSIP_F_*, and what later versions say */
	bool self, linked, left;
	bool away;      /* stopped a moment ago, and may be back: not up, but routed to */
	bool up;        /* alive and its node record known */
	bool neighbour; /* a link is held to it for membership and records */
	bool has_ours;  /* linked, and has told that it has our node record and our prefixes as they
			  are now: it routes to us as soon as it holds us for alive */
	const struct ep *eps; /* those that may be dialled */
	size_t neps;
	const struct gossip_prefix *prefixes;
	size_t nprefixes;
	ts_t since;  /* of the present link state */
	ts_t turned; /* when it came up, or went down */
};
/* Walk all nodes, ourselves included, forgotten ones not: start with *@it = 0; false at the end. No
 * other call in between. */
bool gossip_node_next(const struct gossip *g, size_t *it, struct gossip_node_info *out);
/* 0 or ERR_NOT_FOUND. */
int gossip_node_get(
	const struct gossip *g, const struct node_key *key, struct gossip_node_info *out);

struct gossip_stats {
	uint64_t records, nodes, rx, tx, rx_new, rx_stale, rx_bad, rx_forged, rx_foreign, rx_full;
	uint64_t epoch_jumps, name_conflicts;
	uint64_t prefix_conflicts; /* prefixes that lose to another's at present */
	uint64_t equivocations;    /* two records under one version */
	uint64_t restless;         /* nodes that began anew again and again */
	uint64_t rx_future;        /* records of epochs that no node comes to, words about such */
	uint64_t rx_limited;       /* news of nodes that say too much: not heard for a while */
	uint64_t descents;         /* into the tree of sums, begun by us */
	uint64_t expired;          /* nodes that were gone for long: their records were dropped */
	uint64_t rx_buried;        /* records of such that came again and were not taken */
	uint64_t dropped; /* queued records and notices dropped at a bound; mended by descents */
};
void gossip_stats(const struct gossip *g, struct gossip_stats *out);
/* Membership's own counts; all 0 in a full mesh. */
void gossip_member_stats(const struct gossip *g, struct members_stats *out);

#endif
