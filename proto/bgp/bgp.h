/* bgp.h - a BGP-4 speaker without I/O (DESIGN 8).
 *
 * One thread, the usual core shape, adapted to streams: the driver owns TCP. Call any function that
 * takes @now, then drain bgp_next(), then re-arm bgp_deadline(). Connections are named by numbers
 * that this core gives out; a call for a connection that is gone is harmless (ERR_NOT_FOUND), so
 * events that cross on their way need no care.
 *
 *	BGP_CONNECT c   dial; then bgp_connected(c) or bgp_closed(c)
 *	listener        bgp_accepted(): an error means close the socket, else the number names it
 *	BGP_SEND c      write buf; then bgp_written(c, n) for what the kernel took
 *	bytes read      bgp_recv(c)
 *	BGP_CLOSE c     close the socket; the number is gone
 *	end or error    bgp_closed(c); no BGP_CLOSE follows
 *
 * Implemented: RFC 4271, 1997, 2918, 4360, 4364 and 4659 (codec and table), 4456, 4486, 4760, 5492,
 * 4724, 6286, 6608, 6793, 7313, 7606, 7607, 7705, 8092, 8212, 8326 (receiving and sending), 8538,
 * 9003, 9072, 9234, 9384, 9687, 9774.
 * docs/bgp.md maps their demands to tests. */
#ifndef WEFT_BGP_H
#define WEFT_BGP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/bounds.h"
#include "weft/ts.h"

struct bgp;
struct bgp_edit;

/* Address families (RFC 4760 AFI and SAFI as one small number). */
enum bgp_family { BGP_IPV4, BGP_IPV6, BGP_VPNV4, BGP_VPNV6, BGP_FAMILIES };
#define BGP_FAM(f) (1u << (f)) /* bit in a set of families */

/* Peer states of RFC 4271 8.2.2. */
enum bgp_state {
	BGP_IDLE,
	BGP_CONNECTING, /* the RFC's Connect */
	BGP_ACTIVE,
	BGP_OPENSENT,
	BGP_OPENCONFIRM,
	BGP_ESTABLISHED,
};

/* What a route is a route to. rd and label are zero in the unicast families. */
struct bgp_nlri {
	uint8_t family; /* enum bgp_family */
	uint8_t rd[8];  /* route distinguisher, wire form (RFC 4364 4.2) */
	uint32_t label; /* 20 bits (RFC 3107); not part of the identity */
	struct pfx pfx;
	uint32_t path_id; /* RFC 7911, as received; 0 without. Names one of a peer's paths */
};

enum bgp_origin { BGP_ORIGIN_IGP, BGP_ORIGIN_EGP, BGP_ORIGIN_INCOMPLETE };

/* Bits of bgp_attrs.has, for what has no empty form. */
#define BGP_HAS_MED            0x01u
#define BGP_HAS_LOCAL_PREF     0x02u
#define BGP_HAS_ATOMIC         0x04u
#define BGP_HAS_AGGREGATOR     0x08u
#define BGP_HAS_ORIGINATOR     0x10u
#define BGP_HAS_ORIGIN         0x20u
#define BGP_HAS_AS_PATH        0x40u /* an empty path is a path too */
#define BGP_HAS_OTC            0x80u
/* The Partial bit of that attribute was set by somebody on the way, and stays (RFC 4271 5). */
#define BGP_PARTIAL_AGGREGATOR 0x0100u
#define BGP_PARTIAL_COMM       0x0200u
#define BGP_PARTIAL_EXT        0x0400u
#define BGP_PARTIAL_LARGE      0x0800u
#define BGP_PARTIAL_OTC        0x1000u

/* A run of bytes, borrowed. */
struct bgp_span {
	const uint8_t *p;
	uint16_t len;
};

/* The path attributes of a route. Spans are in network order, without attribute header: as_path
 * holds segments (type, count, 4-octet AS numbers), communities 4 bytes each, ext_communities 8,
 * large_communities 12, cluster_list 4; unknown holds whole attributes, header included. */
struct bgp_attrs {
	uint32_t has;
	uint8_t origin;
	struct ip next_hop;    /* family IP_NONE: none yet */
	struct ip next_hop_ll; /* RFC 2545 link-local companion, else IP_NONE */
	uint32_t med, local_pref;
	uint32_t aggregator_as, aggregator_id; /* host order */
	uint32_t originator_id;                /* host order */
	uint32_t otc;                          /* RFC 9234 5: Only to Customer */
	struct bgp_span as_path, communities, cluster_list, ext_communities, large_communities;
	struct bgp_span unknown;
};

/* Well-known communities (RFC 1997, 8326). */
#define BGP_COMM_GRACEFUL_SHUTDOWN   0xffff0000u
#define BGP_COMM_NO_EXPORT           0xffffff01u
#define BGP_COMM_NO_ADVERTISE        0xffffff02u
#define BGP_COMM_NO_EXPORT_SUBCONFED 0xffffff03u

#define BGP_LOCAL 0u /* the "peer" of routes that we originate; peers count from 1 */

/* What a policy sees of a route. On import, peer is the one that sent it; on export, the one it was
 * learned from (BGP_LOCAL: ours). An export policy runs once for all peers that share it, their
 * kind and their next hop, so it is not told which peer the route goes to: give peers that differ
 * in policy a policy of their own (another ctx). */
struct bgp_route {
	uint32_t vni, peer, peer_as;
	bool ebgp;    /* learned over eBGP */
	bool to_ebgp; /* export: goes to eBGP peers */
	const struct bgp_nlri *nlri;
	const struct bgp_attrs *attrs;
};

enum bgp_verdict { BGP_REJECT, BGP_ACCEPT };

/* Policy: called for each route, in and out. It may change attributes through @e, and must answer
 * the same for the same input until bgp_peer_repolicy() is called. */
struct bgp_policy_ops {
	enum bgp_verdict (*apply)(void *ctx, const struct bgp_route *r, struct bgp_edit *e);
};
struct bgp_policy {
	const struct bgp_policy_ops *ops; /* NULL: none. iBGP then accepts all, eBGP nothing
					     (RFC 8212) */
	void *ctx;
};

/* Edits, for policies. Each returns 0, or ERR_FULL when the attributes would exceed what an UPDATE
 * can carry; the route is then rejected whatever the policy answers. */
int bgp_edit_origin(struct bgp_edit *e, enum bgp_origin origin);
int bgp_edit_local_pref(struct bgp_edit *e, uint32_t pref);
int bgp_edit_med(struct bgp_edit *e, uint32_t med);
int bgp_edit_no_med(struct bgp_edit *e);
int bgp_edit_next_hop(struct bgp_edit *e, const struct ip *nh); /* stands in for next-hop self */
/* Put @as in front of the path @n times (at most 32; ERR_RANGE). */
int bgp_edit_prepend(struct bgp_edit *e, uint32_t as, unsigned n);
/* Lists of values: RFC 1997 (4 bytes each), 4360 (8), 8092 (12). @value is in network order. Adding
 * what is there and deleting what is not change nothing. */
enum bgp_list { BGP_LIST_COMMUNITY, BGP_LIST_EXT, BGP_LIST_LARGE };
int bgp_edit_add(struct bgp_edit *e, enum bgp_list list, const uint8_t *value);
int bgp_edit_del(struct bgp_edit *e, enum bgp_list list, const uint8_t *value);
int bgp_edit_clear(struct bgp_edit *e, enum bgp_list list);
/* The same for many: delete what @drop says (NULL: nothing), then add the @n values at @add. The list
 * is copied once. */
typedef bool (*bgp_drop_fn)(void *ctx, const uint8_t *value);
int bgp_edit_list(struct bgp_edit *e, enum bgp_list list, bgp_drop_fn drop, void *ctx,
	const uint8_t *add, size_t n);

/* Readers of attributes, for policies and drivers. */
bool bgp_attrs_has(const struct bgp_attrs *a, enum bgp_list list, const uint8_t *value);
bool bgp_attrs_has_community(const struct bgp_attrs *a, uint32_t community);
/* Route targets (RFC 4360 4): does @a carry @rt, 8 bytes of wire form? */
bool bgp_attrs_has_rt(const struct bgp_attrs *a, const uint8_t rt[8]);
bool bgp_attrs_path_has(const struct bgp_attrs *a, uint32_t as);
unsigned bgp_attrs_path_count(const struct bgp_attrs *a, uint32_t as); /* how often */
/* Length as the decision process counts it: an AS_SET is 1 (RFC 4271 9.1.2.2 a). */
unsigned bgp_attrs_path_len(const struct bgp_attrs *a);
uint32_t bgp_attrs_first_as(const struct bgp_attrs *a);  /* 0: empty, or it starts with a set */
uint32_t bgp_attrs_origin_as(const struct bgp_attrs *a); /* 0: empty, or it ends with a set */
/* "64512 {64513 64514} 64515" into @out, cut with "..." if it doesn't fit; returns @out. */
char *bgp_attrs_path_fmt(const struct bgp_attrs *a, char *out, size_t cap);

/* Where next hops lead, asked by the decision process (RFC 4271 9.1.2.1). */
struct bgp_nexthop_ops {
	/* Is @nh reachable in @vni, and at which interior cost (lower is better)? */
	bool (*resolve)(void *ctx, uint32_t vni, const struct ip *nh, uint32_t *cost);
};

struct bgp_cfg {
	uint32_t local_as;                     /* not 0, not 23456 */
	uint32_t router_id;                    /* host order, not 0 (RFC 6286) */
	uint32_t cluster_id;                   /* RFC 4456; 0: router_id */
	uint64_t seed;                         /* of timer jitter and of the hashes' key */
	const struct bgp_nexthop_ops *nexthop; /* kept; NULL: all reachable at cost 0 */
	void *nexthop_ctx;
	/* RFC 4724 4.1: this is a restart, and the routes of the process before still forward. Nothing
	 * is decided, told or announced of a family before the peers have told all of theirs, or
	 * defer_secs have passed (0: 60). */
	bool restarting;
	uint16_t defer_secs;
	/* How many paths are told of a prefix at once, those that are as good as the best up to the cost
	 * of their next hops (RFC 4271 9.1.2.2 a to e), as RFC 7938 6.1 wants; at most BGP_HOPS_MAX; 0
	 * and 1: the best alone. What is announced is the best one. */
	uint8_t multipath;
	/* BGP_ROUTE also when another path of a prefix came, went or changed, or a policy: for drivers
	 * that ask who else tells of it (bgp_lookup). */
	bool tell_paths;
};
#define BGP_HOPS_MAX 16
/* A next hop, and the peer that told it (a link-local one is of its link). */
struct bgp_hop {
	struct ip next_hop;
	uint32_t peer;
};

/* RFC 4724: what is done about restarts. */
enum bgp_restart {
	BGP_RESTART_NONE,   /* the capability is not sent */
	BGP_RESTART_HELPER, /* the peer's routes are kept while it restarts; ours need not be */
	BGP_RESTART_FULL,   /* and we say that ours forward on while we restart */
};

/* Our role towards a peer (RFC 9234 3). */
enum bgp_role {
	BGP_ROLE_NONE,
	BGP_ROLE_PROVIDER,
	BGP_ROLE_RS, /* route server */
	BGP_ROLE_RS_CLIENT,
	BGP_ROLE_CUSTOMER,
	BGP_ROLE_PEER,
};

struct bgp_peer_cfg {
	uint32_t vni; /* segment whose table the peer's routes enter */
	struct ep remote;
	struct ip local;    /* source address to dial from; IP_NONE: the kernel's choice */
	uint32_t remote_as; /* equal to ours: iBGP */
	bool internal; /* iBGP whatever the numbers are: local_as is what we say in the OPEN, remote_as what
			  the peer is to say, and neither comes into a path */
	uint32_t families;     /* set of BGP_FAM() */
	struct ip next_hop[2]; /* next-hop self for IPv4 and IPv6; IP_NONE: the connection's local
				  address when it is of that family, else such routes are not
				  announced */
	bool passive;          /* never dial */
	bool rr_client;        /* iBGP: this peer is our client (RFC 4456) */
	bool next_hop_self;    /* iBGP: for routes that are ours or came over eBGP. eBGP: always */
	bool no_first_as;      /* eBGP: don't demand that the path starts with remote_as */
	uint16_t hold_secs;    /* 0: 90; else 3 or more */
	bool no_hold;          /* offer hold time 0: neither hold timer nor keepalives */
	uint16_t connect_retry_secs; /* 0: 30 */
	uint16_t send_hold_secs;     /* 0: max(480, 2 * hold time) as in RFC 9687 */
	uint32_t max_prefixes;       /* over all families; 0: LIM_BGP_PEER_PREFIXES */
	uint32_t warn_prefixes;      /* told once when there are more; 0: never */
	uint16_t max_restart_secs;   /* down so long after max_prefixes; 0: as after other errors */
	enum bgp_restart restart;
	uint16_t restart_secs;   /* what we ask for: at most 4095; 0: 120 */
	uint16_t stale_secs;     /* how long at most we keep what a restarting peer said; 0: 360 */
	uint16_t start_delay_ms; /* the peer is Idle so long at first: neither dialled nor let in */
	uint16_t mrai_secs; /* MinRouteAdvertisementIntervalTimer (RFC 4271 9.2.1.1); 0: none */
	/* eBGP, about AS numbers. */
	uint32_t local_as;    /* RFC 7705: we are that AS to this peer; 0: bgp_cfg.local_as */
	bool no_prepend;      /* with local_as: not put in front of paths that come in */
	bool replace_as;      /* with local_as: it stands alone in front of paths that go out */
	bool as_override;     /* the peer's AS in paths that go out becomes ours */
	bool remove_private;  /* RFC 6996 numbers go from paths that go out, but for the peer's */
	uint8_t allow_own_as; /* how often our AS may be in a path that comes in, iBGP too */
	enum bgp_role role;   /* ours */
	bool role_strict;     /* refuse a peer that doesn't tell its role */
	bool add_path_rx;     /* RFC 7911, unicast families: take several paths to a prefix */
	uint8_t add_path_tx;  /* announce so many of ours, the best first; 0: the best alone */
	bool v4_over_v6;      /* RFC 8950: IPv4 unicast with IPv6 next hops, both ways */
	bool no_ext_message;  /* don't offer RFC 8654 */
	struct bgp_policy import, export;
};

/* NULL: no memory, or @cfg outside what it allows. Borrows @cfg. */
struct bgp *bgp_new(const struct bgp_cfg *cfg, ts_t now);
void bgp_free(struct bgp *b); /* NULL is fine; says nothing to anybody */

/* Add a peer and start it (ManualStart); *@peer gets its number, which is not used again while
 * others remain free. ERR_CONFIG, ERR_EXISTS (vni and address), ERR_FULL (LIM_BGP_PEERS),
 * ERR_NOMEM: nothing was added. */
int bgp_peer_add(struct bgp *b, const struct bgp_peer_cfg *cfg, ts_t now, uint32_t *peer);
/* Say Cease/Peer De-configured, forget the peer and its routes. ERR_NOT_FOUND. */
int bgp_peer_del(struct bgp *b, uint32_t peer, ts_t now);
/* ManualStop with Cease/Administrative Shutdown and a text (RFC 9003; at most 255 bytes are used,
 * NULL: none), until bgp_peer_start(). ERR_NOT_FOUND. */
int bgp_peer_stop(struct bgp *b, uint32_t peer, const char *text, ts_t now);
int bgp_peer_start(struct bgp *b, uint32_t peer, ts_t now);
/* Administrative Reset: down with a Cease and a text, then up again by itself. ERR_NOT_FOUND. */
int bgp_peer_reset(struct bgp *b, uint32_t peer, const char *text, ts_t now);
/* Ask for everything of @family again (RFC 2918). ERR_NOT_FOUND, ERR_STATE (not established or not
 * negotiated), ERR_UNSUPPORTED (the peer can't), ERR_FULL (its output queue). */
int bgp_peer_refresh(struct bgp *b, uint32_t peer, enum bgp_family family, ts_t now);
/* The policy of @peer changed, here or behind its ctx: NULL keeps the pointers. Routes are judged
 * again both ways from what is stored, nothing is asked of the peer: in portions, while actions are
 * taken. The old policy is not called any more. ERR_NOT_FOUND, ERR_NOMEM (the session is closed with
 * Cease/Out of Resources, as it is when memory runs out later). */
int bgp_peer_repolicy(struct bgp *b, uint32_t peer, const struct bgp_policy *import,
	const struct bgp_policy *export, ts_t now);
/* RFC 8326: announce all routes with GRACEFUL_SHUTDOWN (and local preference 0 over iBGP), or stop
 * to. ERR_NOT_FOUND, ERR_NOMEM as above. */
int bgp_peer_graceful_shutdown(struct bgp *b, uint32_t peer, bool on, ts_t now);

/* The session's BFD neighbour went down. @c_bit: neither end's BFD shares fate with its control plane
 * (RFC 5882 4.3.2), so that it is forwarding that failed: Cease/BFD Down (RFC 9384), and nothing of
 * the peer is kept. Else it may be restarting: the connection is closed without a word, and routes
 * are kept as RFC 4724 says. ERR_NOT_FOUND, ERR_STATE (no session, nothing kept). */
int bgp_peer_bfd_down(struct bgp *b, uint32_t peer, bool c_bit, ts_t now);
/* The process ends but its routes stay for the next one: close the connection of a peer with
 * BGP_RESTART_FULL that knows RFC 4724 without a word, so that it keeps ours; others get a
 * Cease/Administrative Shutdown. As after bgp_peer_stop(). ERR_NOT_FOUND. */
int bgp_peer_leave(struct bgp *b, uint32_t peer, ts_t now);

/* Announce a route of our own into @vni, or change it. @attrs (borrowed, NULL: origin IGP and
 * nothing else) may leave the next hop open: it is then self at each export. ERR_RANGE: a family,
 * prefix or label that cannot be; ERR_FULL: LIM_BGP_ROUTES, LIM_SEGMENTS or attributes too long;
 * ERR_NOMEM: unchanged. */
int bgp_originate(struct bgp *b, uint32_t vni, const struct bgp_nlri *nlri,
	const struct bgp_attrs *attrs, ts_t now);
/* ERR_NOT_FOUND. */
int bgp_withdraw(struct bgp *b, uint32_t vni, const struct bgp_nlri *nlri, ts_t now);
/* Reachability or cost of next hops changed: decide all of @vni again, in portions. */
void bgp_nexthops_changed(struct bgp *b, uint32_t vni, ts_t now);

/* Events of connections. @local is the address that the connection uses on our side. All return 0
 * or ERR_NOT_FOUND (harmless). */
int bgp_connected(struct bgp *b, uint32_t conn, const struct ip *local, ts_t now);
/* A listener of @vni accepted from @remote. 0 and *@conn, or the socket is to be closed:
 * ERR_NOT_FOUND (no such peer), ERR_REFUSED (stopped, or Idle after an error), ERR_EXISTS (another
 * one that the peer opened is under way), ERR_NOMEM. */
int bgp_accepted(struct bgp *b, uint32_t vni, const struct ip *remote, const struct ip *local,
	ts_t now, uint32_t *conn);
/* The same for a link-local @remote, which the link @scope (an interface's number) belongs to; a peer
 * is then known by both. @scope 0: any. */
int bgp_accepted_on(struct bgp *b, uint32_t vni, const struct ip *remote, uint32_t scope,
	const struct ip *local, ts_t now, uint32_t *conn);
/* Bytes as they came, cut anywhere. Borrows @buf. */
int bgp_recv(struct bgp *b, uint32_t conn, const uint8_t *buf, size_t len, ts_t now);
/* The kernel took @n bytes of the last BGP_SEND of @conn (0: it is full, nothing changes). What is
 * left over is offered in another BGP_SEND only after some were taken: keep the last one and try it
 * again when the socket is writable. ERR_RANGE: more than was offered. */
int bgp_written(struct bgp *b, uint32_t conn, size_t n, ts_t now);
/* The connection failed, or ended, or could not be made. */
int bgp_closed(struct bgp *b, uint32_t conn, ts_t now);
/* To be called when bgp_deadline() has come; early or late is harmless. */
void bgp_tick(struct bgp *b, ts_t now);
ts_t bgp_deadline(const struct bgp *b);

enum bgp_act_type {
	BGP_NONE,    /* nothing to carry out */
	BGP_CONNECT, /* conn, vni, peer, remote, local */
	BGP_SEND,    /* conn, buf, len: valid until bgp_written(n > 0), bgp_closed or BGP_CLOSE of
			that connection. If BGP_CLOSE comes next, it is a last word: try once */
	BGP_CLOSE,   /* conn */
	BGP_ROUTE,   /* vni, nlri; attrs and peer of the new best path, attrs NULL: none any more.
			step: which step of the decision process chose it */
	BGP_STATE,   /* peer, state, text: why it changed, "" if all is well */
	BGP_LOG,     /* peer, text: bad input that did not end the session */
};

struct bgp_act {
	enum bgp_act_type type;
	uint32_t conn, vni, peer;
	struct ep remote;
	struct ip local;
	const uint8_t *buf;
	size_t len;
	struct bgp_nlri nlri;
	const struct bgp_attrs *attrs; /* borrowed until the next call of any bgp_ function */
	const struct bgp_hop *hops; /* BGP_ROUTE with attrs: that of the best first, none twice */
	unsigned nhops;
	const char *step; /* static */
	enum bgp_state state;
	const char *text; /* borrowed until the next call */
};

/* Take the next action; false: none, *@out is zeroed. True and BGP_NONE: nothing yet, but there is more
 * work on a whole table (a peer that is gone or new); call again, now or in the next turn. Routes are
 * told as differences to what was told before; what came and went between two drains is not told. Here
 * the decision process runs and UPDATEs are made, a bounded amount for each call. */
bool bgp_next(struct bgp *b, struct bgp_act *out);

/* For status. Pointers are borrowed until the next call. */
struct bgp_peer_info {
	uint32_t peer, vni, remote_as, remote_id;
	struct ep remote;
	enum bgp_state state;
	bool stopped, ebgp, rr_client, graceful_shutdown;
	ts_t since;             /* of the state */
	const char *last_error; /* "" if there was none yet */
	const char *last_fault; /* bad input that did not end the session; "": none */
	uint32_t families;      /* negotiated; 0 unless established */
	bool as4, refresh, enhanced_refresh, ext_message, v4_over_v6;
	uint32_t paths_in, paths_out; /* families with several paths, from and to the peer */
	bool restart;                 /* the peer knows RFC 4724 */
	bool restarting;         /* its routes are kept while it is away, or until its End-of-RIB */
	uint32_t stale_families; /* of which */
	enum bgp_role remote_role;
	uint16_t hold_secs; /* negotiated */
	uint32_t prefixes_received, prefixes_accepted, prefixes_announced;
	uint64_t rx_msgs, tx_msgs, rx_updates, tx_updates, rx_bytes, tx_bytes;
	uint64_t treated_as_withdraw, attrs_discarded, loops, flaps;
	uint64_t leaks;    /* routes refused by RFC 9234 */
	uint64_t martians; /* prefixes that can't be routed */
	/* Sessions ended by an UPDATE that RFC 7606 has no gentler answer to, and by more prefixes than
	 * allowed; UPDATEs with our own address as next hop. */
	uint64_t malformed_resets, max_prefix_ends, own_next_hops;
	size_t queued_bytes;
};
/* Walk the peers: start with *@it = 0; false at the end. */
bool bgp_peer_next(const struct bgp *b, size_t *it, struct bgp_peer_info *out);
int bgp_peer_get(const struct bgp *b, uint32_t peer, struct bgp_peer_info *out);

/* Tables, for status: calls @fn for each route, in no order, until it returns false. @fn may not
 * call this core. */
enum bgp_table { BGP_ADJ_IN, BGP_LOC_RIB, BGP_ADJ_OUT };
struct bgp_entry {
	const struct bgp_nlri *nlri;
	const struct bgp_attrs *attrs; /* ADJ_IN: as received; else after policy */
	uint32_t peer;                 /* whom it is from */
	bool best, accepted;           /* accepted: by the import policy and without loop */
	const char *step;              /* LOC_RIB: what decided */
	const char *lost;              /* bgp_lookup: what an accepted path lost by, else NULL */
};
typedef bool (*bgp_walk_fn)(void *ctx, const struct bgp_entry *e);
/* @peer is ignored for BGP_LOC_RIB. ERR_NOT_FOUND: no such peer (a segment without routes is
 * empty). */
int bgp_walk(const struct bgp *b, enum bgp_table table, uint32_t vni, uint32_t peer, bgp_walk_fn fn,
	void *ctx);
/* The same of one prefix. */
int bgp_find(const struct bgp *b, enum bgp_table table, uint32_t vni, uint32_t peer,
	const struct bgp_nlri *nlri, bgp_walk_fn fn, void *ctx);
/* All paths to @nlri, the best first. ERR_NOT_FOUND. */
int bgp_lookup(
	const struct bgp *b, uint32_t vni, const struct bgp_nlri *nlri, bgp_walk_fn fn, void *ctx);

struct bgp_stats {
	uint64_t nets, paths, attr_sets, out_entries;
	uint64_t bytes; /* held in tables, about */
	uint64_t decisions, policy_calls, out_encoded, nomem, full;
	uint32_t deferred; /* families that wait for the peers after a restart */
};
void bgp_stats(const struct bgp *b, struct bgp_stats *out);

/* "ipv4", "ipv6", "vpnv4", "vpnv6"; "?" otherwise. */
const char *bgp_family_str(unsigned family);
const char *bgp_state_str(enum bgp_state s);

#endif
