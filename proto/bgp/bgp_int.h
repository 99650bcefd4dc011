/* bgp_int.h - what the files of the core share. */
#ifndef WEFT_BGP_INT_H
#define WEFT_BGP_INT_H

#include "list.h"
#include "prng.h"
#include "timerq.h"
#include "bgp.h"
#include "bgp_msg.h"
#include "bgp_update.h"
#include "bgp_watch.h"
#include "decide.h"
#include "rib.h"
#include "ribout.h"

struct bgp_peer;

enum timer_kind {
	TIMER_IDLE_HOLD, /* peer: IdleHoldTimer, RFC 4271 8.1.1 */
	TIMER_RETRY,     /* peer: ConnectRetryTimer */
	TIMER_STALE,     /* peer: a refresh that doesn't end (RFC 7313 4), a restart (4724 4.2) */
	TIMER_MRAI,      /* peer: RFC 4271 9.2.1.1 */
	TIMER_DEFER,     /* core: Selection_Deferral_Timer, RFC 4724 4.1 */
	TIMER_HOLD,      /* connection */
	TIMER_KEEPALIVE, /* connection */
	TIMER_SEND_HOLD, /* connection: RFC 9687 */
	TIMERS,
};
struct bgp_timer {
	struct tq_node n;
	enum timer_kind kind;
	void *owner;
};
#define TIMERS_PER_PEER 10 /* its own four and those of two connections */

enum conn_slot { SLOT_DIAL, SLOT_ACCEPT, SLOTS };

/* States of one connection: RFC 4271 8.2.2 without Idle and Active, in which there is none. */
enum conn_state { CONN_CONNECT, CONN_OPENSENT, CONN_OPENCONFIRM, CONN_ESTABLISHED, CONN_STATES };

struct bgp_conn {
	uint32_t id;
	enum conn_slot slot;
	enum conn_state state;
	struct bgp_peer *peer; /* NULL once it is closing */
	struct list link;      /* bgp.senders or bgp.closing */
	struct ip local;
	bool tell_connect;    /* BGP_CONNECT is to be told */
	struct bgp_open open; /* theirs, from OpenConfirm on */
	struct bgp_timer hold, keepalive, send_hold;
	size_t in_len;
	size_t out_head, out_tail,
		offered; /* out[out_head..out_tail) is unsent, offered of it told */
	uint8_t *in;     /* in_cap bytes, as the next; NULL in Connect */
	uint8_t *out;    /* out_cap bytes */
	size_t out_cap; /* LIM_BGP_OUT_BYTES, and one extended message more where these are offered */
};

struct bgp_peer {
	struct bgp *b;
	uint16_t idx;
	struct bgp_peer_cfg cfg;
	bool ebgp, stopped, gshut;
	bool idle;            /* RFC 4271 8.2.2: Idle */
	bool no_caps;         /* the peer refused optional parameters: RFC 5492 3 */
	enum bgp_state state; /* told, or in the queue to be told */
	ts_t since;
	char last_error[352];
	char last_fault[160];
	struct list state_link; /* bgp.states: BGP_STATE is due */
	bool tell_error;        /* with the text */
	struct bgp_conn *conn[SLOTS];
	struct bgp_conn *up; /* the one that is Established */
	struct bgp_timer idle_hold, retry, stale, mrai;
	unsigned backoff; /* doublings of the idle hold time */
	uint16_t gen;     /* of connection numbers */
	struct rib *rib;
	/* negotiated, while up */
	uint32_t families;
	bool as4, refresh, enhanced, v4_over_v6;
	uint32_t msg_max; /* RFC 8654 */
	uint32_t paths_in, paths_out;
	uint16_t hold_secs;
	uint32_t remote_id;
	uint32_t stale_families; /* have routes that were not told again yet; also while away */
	uint32_t eor_families;   /* whose End-of-RIB has not come */
	bool was_up;             /* there was a session since the start */
	bool kept;               /* away, and stale_families are kept (RFC 4724 4.2) */
	bool notify;             /* both know RFC 8538 */
	bool warned;             /* of warn_prefixes */
	bool max_hit;            /* went down by max_prefixes */
	/* bgp_table.c: what of the peer's paths is over goes; all are judged by another policy. */
	struct table_pass sweep, judge;
	uint8_t age[BGP_FAMILIES], keep_age[BGP_FAMILIES], deepest[BGP_FAMILIES];
	uint32_t fresh[BGP_FAMILIES]; /* paths of the newest age */
	uint32_t local_as;            /* what we are to this peer */
	struct bgp_caps caps;         /* theirs */
	struct peer_out out[BGP_FAMILIES];
	uint32_t received, accepted; /* paths in the table */
	struct bgp_peer_info n;      /* counters alone are used */
};

struct log_line {
	uint16_t peer;
	char text[160];
};

struct bgp {
	struct bgp_cfg cfg;
	ts_t now;
	uint32_t deferred; /* families that are not decided yet (bgp_restart.c) */
	struct bgp_timer defer;
	struct prng prng;
	uint8_t seed[16];
	struct timerq timers;
	struct bgp_peer *peers[LIM_BGP_PEERS + 1]; /* [0] stays empty: BGP_LOCAL */
	unsigned npeers, last_peer;
	struct rib *ribs[LIM_SEGMENTS];
	unsigned nribs;
	struct attr_table attrs;
	struct bgp_pool outs, wide_outs;
	size_t npaths;
	struct bgp_group
		*groups[2 * BGP_FAMILIES * LIM_BGP_PEERS]; /* a peer is in two while it moves */
	unsigned ngroups;                                  /* slots in use are below this */
	struct list states, closing, senders;
	unsigned connects; /* connections with tell_connect */
	struct log_line lines[LIM_BGP_LOG_LINES];
	unsigned line_head, line_count;
	struct bgp_stats st;
	unsigned add_path_groups;            /* that hear several paths */
	unsigned filling;                    /* groups whose table is not exported yet */
	unsigned sweeping, judging, marking; /* passes of bgp_table.c on their way */
	unsigned rewinding, moving, leaving; /* markers in groups (ribout_group.c) */
	unsigned dying;                      /* groups */
	size_t markers;                      /* elements of outs that are no entries */
	struct decide_cand cands[LIM_BGP_PEERS + 1 + NET_ID_PATHS];
	struct path *cand_paths[LIM_BGP_PEERS + 1 + NET_ID_PATHS];
	bgp_tap_fn tap; /* NULL: nobody looks on */
	void *tap_ctx;
	/* one UPDATE, one edit, one view at a time */
	struct bgp_update update;
	struct bgp_edit edit;
	struct bgp_attrs view;
	struct bgp_hop hops[BGP_HOPS_MAX]; /* of the BGP_ROUTE told last */
	char text[352];                    /* of the action told last */
};

/* bgp.c */
struct rib *bgp_rib(struct bgp *b, uint32_t vni);                /* find; NULL */
struct rib *bgp_rib_make(struct bgp *b, uint32_t vni, int *err); /* find or make */
void bgp_say(struct bgp *b, uint16_t peer, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Never fails: room was made when the peer was added. */
void bgp_timer_set(struct bgp *b, struct bgp_timer *t, ts_t when);
/* RFC 4271 10: @d, made shorter at random by up to a quarter. */
dur_t bgp_jitter(struct bgp *b, dur_t d);

/* bgp_fsm.c: connections and peers */
int bgp_fsm_recv(struct bgp_conn *c, const uint8_t *buf, size_t len);
void bgp_fsm_closed(struct bgp_conn *c);
int bgp_fsm_accept(struct bgp_peer *p, const struct ip *local, uint32_t *id);
void bgp_fsm_connected(struct bgp_conn *c, const struct ip *local);
void bgp_peer_begin(struct bgp_peer *p); /* Idle: dial, or listen */
/* End all connections of @p with @e (NULL: say nothing) and go to Idle; again after a while unless
 * the peer is stopped. @by_them: @e came from the peer. */
void bgp_peer_down(struct bgp_peer *p, const struct bgp_error *e, bool by_them, const char *why);
void bgp_peer_cease(struct bgp_peer *p, unsigned subcode, const char *text);
void bgp_keepalive_restart(struct bgp_conn *c);
struct bgp_conn *bgp_conn_find(struct bgp *b, uint32_t id);
void bgp_conn_timer(struct bgp_conn *c, enum timer_kind kind);
void bgp_peer_timer(struct bgp_peer *p, enum timer_kind kind);
void bgp_conn_free(struct bgp_conn *c);

/* bgp_conn.c: bytes of a connection */
/* Start to write messages that are no UPDATEs; what doesn't fit is dropped by bgp_conn_end(). */
void bgp_conn_begin(struct bgp_conn *c, struct wr *w);
/* 0 or ERR_FULL. */
int bgp_conn_end(struct bgp_conn *c, struct wr *w, unsigned msgs);
/* UPDATEs and refresh marks that are due; false: there is more, in another turn. */
bool bgp_conn_fill(struct bgp_conn *c);
void bgp_conn_wake(struct bgp_conn *c); /* it may have something to send */
void bgp_peer_wake(struct bgp_peer *p);

/* bgp_watch.c: whole messages that came or go, one behind the other; only while there is a tap */
void bgp_tap_tell(struct bgp_conn *c, bool sent, const uint8_t *msgs, size_t len);

/* bgp_session.c: an Established peer */
int bgp_session_up(struct bgp_peer *p, struct bgp_conn *c); /* ERR_NOMEM */
/* @keep: families whose routes become stale instead of going. */
void bgp_session_down(struct bgp_peer *p, uint32_t keep);
/* Bodies of messages. Negative: @e is to be sent and the session is over. */
int bgp_session_update(struct bgp_peer *p, const uint8_t *body, size_t len, struct bgp_error *e);
int bgp_session_refresh(struct bgp_peer *p, const uint8_t *msg, size_t len, struct bgp_error *e);
/* All routes that @p has told go, in portions. */
void bgp_session_forget(struct bgp_peer *p);
void bgp_session_stale_end(struct bgp_peer *p, uint32_t families);
int bgp_session_regroup(struct bgp_peer *p); /* export again; ERR_NOMEM */

/* bgp_restart.c: RFC 4724 and 8538 */
void bgp_restart_init(struct bgp *b);
void bgp_restart_offer(struct bgp_peer *p, struct bgp_caps *caps);
/* Does @e end more than the connection (RFC 8538 3)? */
bool bgp_restart_is_hard(const struct bgp_error *e);
/* Wrap @e as a Hard Reset where the peer expects that. */
void bgp_restart_harden(const struct bgp_peer *p, struct bgp_error *e);
/* Families to keep when the session ends with @e (NULL: without NOTIFICATION). */
uint32_t bgp_restart_keep(const struct bgp_peer *p, const struct bgp_error *e);
/* The routes of @families are stale now, and the peer is away. */
void bgp_restart_away(struct bgp_peer *p, uint32_t families);
void bgp_restart_up(struct bgp_peer *p);
void bgp_restart_eor(struct bgp_peer *p, unsigned family);
void bgp_restart_expire(struct bgp_peer *p); /* the stale timer */
void bgp_restart_check(struct bgp *b);       /* what is awaited may be less by now */
void bgp_restart_timer(struct bgp *b);
bool bgp_restart_waits(const struct bgp *b, unsigned family);

/* bgp_table.c: what concerns a whole table */
/* A portion of the work there is. False: there is none. */
bool bgp_table_work(struct bgp *b);
/* The paths of @p and family @f are one step older by now, and those at most @keep steps old are kept:
 * 0: none of them. The others are over once bgp_table_expire() was called. */
void bgp_table_age(struct bgp_peer *p, unsigned f, unsigned keep);
void bgp_table_expire(struct bgp_peer *p);
/* Go on with that, about @nets prefixes of the table further. */
void bgp_table_sweep(struct bgp_peer *p, size_t nets);
void bgp_table_sweep_all(struct bgp *b); /* at once, where room is short */
/* @path of @n was told (for the first time), or is about to go. */
void bgp_path_fresh(struct bgp_peer *p, const struct net *n, struct path *path, bool is_new);
void bgp_path_gone(struct bgp_peer *p, const struct net *n, const struct path *path);
void bgp_table_judge(struct bgp_peer *p);          /* the import policy is another */
void bgp_table_stop(struct bgp_peer *p);           /* none is to be judged any more */
void bgp_table_mark(struct bgp *b, struct rib *r); /* decide all again */

/* bgp_route.c: paths into the table, best ones out of it */
/* Judge @in by the import rules and policy of @p; 0 and *@out (held, or NULL: rejected). */
int bgp_import(struct bgp *b, struct bgp_peer *p, const struct bgp_nlri *n, struct attr_set *in,
	struct attr_set **out);
int bgp_path_set(struct bgp *b, struct rib *r, struct bgp_peer *p, const struct bgp_nlri *n,
	struct attr_set *in);
bool bgp_path_del(struct bgp *b, struct rib *r, struct bgp_peer *p, const struct bgp_nlri *n);
void bgp_path_remove(
	struct bgp *b, struct rib *r, struct net *net, struct path *path, struct bgp_peer *p);
/* Decide one dirty net; true: *@out tells of it. */
bool bgp_decide_next(struct bgp *b, struct bgp_act *out);
/* Judge @path, one of @net's and of @p's, by the import policy as it is now. The path may be another
 * afterwards, in the same place. ERR_NOMEM: unchanged. */
int bgp_path_rejudge(struct bgp *b, struct bgp_peer *p, struct net *net, struct path *path);
void bgp_close_failed(struct bgp *b); /* peers of groups whose memory ran out */
/* Put what a group is to hear of the path @best into *@out (held; NULL: nothing). ERR_NOMEM. */
int bgp_export(struct bgp *b, struct bgp_group *g, const struct bgp_nlri *n,
	const struct path *best, struct attr_set **out);
/* Fill in a candidate for the decision; false: the path may not be used (RFC 4271 9.1.2). */
bool bgp_path_cand(
	const struct bgp *b, const struct rib *r, const struct path *path, struct decide_cand *c);

#endif
