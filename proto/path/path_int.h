/* path_int.h - what the files of the path core share; nobody else includes it.
 *
 *	path.c		the public face: calls in, actions out, the clock, status
 *	path_live.c	liveness of what is in use, side ports, probes and replies, path MTU
 *	path_route.c	which way: leaving a dead path, returning to the direct one, changing relays
 *	path_ask.c	asking candidates for relaying, and answering those who ask us
 *	path_ep.c	endpoints: what to dial in which order, NAT, keepalive, punching */
#ifndef WEFT_PATH_INT_H
#define WEFT_PATH_INT_H

#include <stdbool.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "list.h"
#include "map.h"
#include "path.h"
#include "plpmtu.h"
#include "prng.h"
#include "timerq.h"

#define NEAR_PEERS       64 /* a power of two: peers that are named often are found without hashing */
#define LIVE_TRIES       3 /* probes lost in a row: dead (DESIGN 7.2) */
#define DIRECT_GOOD      3 /* rounds in a row that the direct path must answer; LOST: one will do */
#define IN_USE           DUR_SEC(2)  /* since the last data */
#define COST_FRESH       DUR_SEC(1)  /* a measurement that may be told without a new one */
#define ASK_WAIT         DUR_MS(300) /* for the answers of candidates */
#define ASK_AGAIN        DUR_MS(500) /* after "later" */
#define ASK_LATER_MAX    10          /* so often */
#define ASK_WANTED       DUR_SEC(10) /* we keep looking for a target on behalf of who asked */
#define WAKE_MIN         DUR_SEC(5)
#define WAKE_WAIT        DUR_SEC(1)
#define ASK_CHECK        DUR_MS(200) /* a candidate waits so long for its own probe's answer */
#define SEARCH_RETRY     DUR_SEC(1)  /* doubled up to SEARCH_RETRY_MAX, while nothing is found */
#define SEARCH_RETRY_MAX DUR_SEC(30)
#define ROUTE_HOLD       DUR_SEC(10) /* between changes from one working relay to another */
#define ROUTE_BETTER_PCT 80          /* the new cost must be below so much of the old one, */
#define ROUTE_BETTER_US  2000        /* and so much lower */
#define CANDS_MAX        (LIM_ENDPOINTS_PER_NODE + LIM_PATH_SEEN)
#define BADS_MAX         3
#define CONNECT_RELAYS   3 /* tried in one round of connecting */
#define CANDS_PROBED     8 /* endpoints probed in one round */

/* Which question a probe asks; the highest byte of its token. */
enum probe_kind {
	PROBE_DIRECT = 1,
	PROBE_RELAY,
	PROBE_SIDE,
	PROBE_MTU_DIRECT,
	PROBE_MTU_RELAY,
	PROBE_CAND,
	PROBE_OFFER
};

/* A probe under way. */
struct sent {
	uint32_t id; /* 0: none, or answered */
	ts_t at;
};

/* Does what we send by one way arrive? Our direction only. */
struct live {
	ts_t last_tx;  /* newest data */
	ts_t proof;    /* what was sent until then has arrived */
	ts_t unproven; /* the first data known to be later; TS_NEVER: none */
	ts_t at;       /* next probe or verdict; TS_NEVER: nothing to ask */
	uint8_t tries; /* probes since the suspicion; LIVE_TRIES: waiting for the verdict */
	bool suspect;
	bool told;    /* by the other side, which hears nothing: that it is heard proves nothing */
	bool checked; /* asked for a measurement, not out of suspicion */
	struct sent sent[LIVE_TRIES];
};

struct cost {
	bool known;
	uint32_t srtt_us, var_us;
	uint32_t loss; /* of probes, in 1/65536, moving average */
	ts_t at;       /* of the last measurement */
};

/* One of our source ports towards a peer. */
struct side {
	struct live live;
	bool off;
	ts_t retry_at, on_since;
	dur_t backoff;
};

struct cand {
	struct ep ep;
	enum cand_source { CAND_CONFIGURED, CAND_SAID, CAND_SEEN } source;
	struct sent probe;
	uint8_t good; /* rounds answered in a row */
};

/* One relay that was asked for a target. */
struct asked {
	struct node_key relay;
	enum { ASKED_WAITING, ASKED_OK, ASKED_NO, ASKED_LATER } state;
	uint32_t cost_us; /* as it answered: from it to the target */
	uint32_t leg_us;  /* at most: from us to it, by the time of its answer */
	uint8_t n;
	struct path_label rest[PATH_REST_MAX];
};

struct search {
	uint32_t id;
	uint8_t depth, laters;
	ts_t asked_at;
	ts_t until; /* decide, or ask again */
	unsigned n;
	struct asked v[LIM_PATH_CANDIDATES];
	/* A better way than the one in use was offered: a probe through it tells whether that is true. */
	struct path_route offer; /* n 0: none is tried */
	struct sent offer_probe;
	uint32_t offer_us; /* its cost, as it was told */
	uint8_t offer_tries;
};

/* A relay that is passed over for a target. */
struct bad_relay {
	struct path_label relay;
	bool untold; /* to the driver */
	ts_t until;
};

struct peer {
	struct node_key key;
	struct path_label label;
	/* From records and elsewhere */
	bool relays;
	struct cand *cand; /* owned; by source, configured ones first */
	unsigned ncand;
	/* The link */
	bool linked;
	enum path_state state;
	struct path_route route; /* in use */
	bool route_void;         /* its relay is gone: whatever still comes by it */
	struct ep ep;            /* of the session's direct way; family IP_NONE: none known */
	ts_t heard, data_at;     /* anything came; data came or went */
	ts_t woken;              /* data_at was set for the sake of others' data */
	ts_t since;              /* the route is in use */
	uint32_t switches;
	/* [0] the direct way, [1] through the relays of route, or of the one before */
	struct live live[2];
	bool doubt; /* a probe by the way in use was lost, and the next may not be */
	struct cost cost[2];
	struct plpmtu mtu[2];
	struct side *sides; /* cfg.side_ports of them; NULL: no data went by one yet */
	/* Leaving and returning */
	ts_t direct_at; /* next round of probes to the direct way; TS_NEVER: none */
	dur_t direct_backoff;
	ts_t direct_left;
	uint8_t direct_tries; /* rounds of this attempt so far */
	bool obeyed;          /* the attempt is the other side's wish: it knows of it */
	struct search *search;
	ts_t search_at; /* the next one; TS_NEVER: none planned */
	dur_t search_backoff;
	uint8_t search_depth, depth_max; /* how many relays may follow the one that is asked */
	unsigned ask_from,
		ask_done; /* where the turn through all links began, how many were asked */
	struct bad_relay bad[BADS_MAX]; /* that failed for this peer, the newest first */
	uint8_t relay_fails;            /* in this round of connecting */
	/* Connecting */
	bool wanted;
	ts_t asked_until; /* wanted for others */
	ts_t connect_at;  /* TS_NEVER: nothing to do */
	unsigned connect_step;
	ts_t search_until, redial_at; /* while relays are looked for */
	uint8_t redials;
	bool punched; /* in this round */
	dur_t connect_backoff;
	struct ep connect_ep;
	struct ep open_ep; /* the likeliest, if */
	ts_t open_at;      /* a simultaneous open was arranged */
	ts_t alive_at;     /* next keepalive; TS_NEVER: not needed */
	/* What this node made us answer in this second */
	ts_t asks_since, replies_since;
	unsigned asks, replies;
	/* Told to the driver */
	unsigned dirty; /* DIRTY_* */
	uint64_t sides_dirty;
	unsigned mtu_told;
	struct list dirties; /* in path.dirty while dirty or sides_dirty */
	struct list touches; /* in path.touched: its timer is to be set again */
	struct list links;   /* in path.links while linked */
	struct tq_node timer;
};

#define DIRTY_USE         0x01u
#define DIRTY_MTU         0x02u
#define DIRTY_STATE       0x04u
#define DIRTY_CONNECT     0x08u
#define DIRTY_UNREACHABLE 0x10u
#define DIRTY_RELAY_BAD   0x20u
#define DIRTY_DOUBT       0x40u

/* An ask that waits until our own way to its target was measured. */
struct pending {
	bool used;
	uint32_t id;
	uint8_t depth;
	struct node_key asker, target;
	ts_t until;
};

struct send {
	struct path_act act;
	uint8_t buf[PATH_MSG_MAX];
};

struct path {
	struct path_cfg cfg;
	struct path_label label; /* our own */
	struct prng prng;
	ts_t now;
	struct map *by_key, *by_label;
	struct peer *near[NEAR_PEERS]; /* by a byte of the key: who was looked for last; or NULL */
	struct timerq timers;
	struct list dirty, links, touched;
	struct ep local[LIM_ENDPOINTS_PER_NODE];
	unsigned nlocal;
	struct observed {
		struct ep ep; /* family IP_NONE: not told */
		struct node_key by;
	} observed[2][2]; /* per family, what the last two reporters saw */
	unsigned searches;
	struct pending pending[LIM_PATH_PENDING];
	unsigned npending;
	ts_t pending_at; /* the earliest of their ends; TS_NEVER: none waits */
	ts_t probes_since, punches_since;
	unsigned probes, punches;
	struct send send[LIM_PATH_SENDS];
	unsigned send_head, send_count;
	struct path_stats stats;
	uint8_t tx[PATH_MSG_MAX]; /* of the action told last */
};

/* path.c */
struct peer *peer_get(const struct path *p, const struct node_key *key);
struct peer *peer_by_label(const struct path *p, const struct path_label *l);
/* Has @pr had data within IN_USE? */
bool peer_in_use(const struct peer *pr, ts_t now);
/* 0: the direct way, 1: through relays. */
static inline unsigned peer_way(const struct peer *pr)
{
	return pr->route.n ? 1 : 0;
}
void peer_dirty(struct path *p, struct peer *pr, unsigned what);
/* What @pr waits for changed. */
void peer_touch(struct path *p, struct peer *pr);
void peer_side_dirty(struct path *p, struct peer *pr, uint8_t via);
void peer_state(struct path *p, struct peer *pr, enum path_state state);
/* Queue message @w for @pr. @route NULL: the one in use. @ep may be NULL. */
void peer_send(struct path *p, struct peer *pr, const struct path_route *route, const struct ep *ep,
	uint8_t via, const struct wr *w, uint16_t pad_to);
void path_open_ep(struct path *p, const struct ep *ep);
/* At the end of every public call: set the timers of the peers that it touched. */
void path_settle(struct path *p);
/* Take one of the @limit events of this second, counted in *@since and *@n. */
bool second_take(ts_t *since, unsigned *n, unsigned limit, ts_t now);
extern const struct path_route path_direct;

/* path_live.c */
void live_init(struct live *l);
void live_forget(struct path *p, struct peer *pr, unsigned way);
/* How long an answer may take on a way with cost @c. */
dur_t live_wait(const struct path *p, const struct cost *c);
/* Something came from the peer at @rx that tells that our data until then arrived. */
void live_heard(struct path *p, struct peer *pr, ts_t rx);
void live_data(struct path *p, struct live *l, const struct cost *c, ts_t tx);
/* Ask at once whether @way works, as if data had gone unanswered. */
void live_check(struct path *p, struct peer *pr, unsigned way, ts_t now);
void live_tick(struct path *p, struct peer *pr, ts_t now);
ts_t live_deadline(const struct path *p, const struct peer *pr, ts_t now);
int live_on_probe(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now);
int live_on_reply(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now);
void cost_rtt(struct cost *c, dur_t rtt, ts_t now);
/* us, higher is worse; UINT32_MAX: not known. */
uint32_t cost_us(const struct cost *c);
/* A fresh token of @kind; *@id is its random part. */
uint64_t probe_token(
	struct path *p, enum probe_kind kind, uint8_t via, uint16_t size, uint32_t *id);
/* Send a probe; false: over the rate. */
bool probe_send(struct path *p, struct peer *pr, const struct path_route *route,
	const struct ep *ep, uint8_t via, uint64_t token, uint16_t pad_to, ts_t now);
/* The outer packet that carries an inner one of 1280 on the way in use. */
bool peer_halves(const struct peer *pr);

/* path_route.c */
/* The way in use is dead. */
void route_dead(struct path *p, struct peer *pr, ts_t now);
/* The way in use may be dying: look for another. It lives after all: stop that. */
void route_prepare(struct path *p, struct peer *pr, ts_t now);
void route_alive(struct path *p, struct peer *pr, unsigned way);
void route_use(struct path *p, struct peer *pr, const struct path_route *route, ts_t now);
/* All candidates have answered, or time is up. */
void route_found(struct path *p, struct peer *pr, ts_t now);
/* The node is no relay any more, not linked, or reached by others itself: who went through it needs
 * another. */
void route_relay_gone(struct path *p, const struct peer *relay, ts_t now);
/* The first relay of the way in use, or of one that was tried, did not do what it promised. */
void route_relay_bad(struct path *p, struct peer *pr, const struct path_label *relay, ts_t now);
/* The way to @pr that @a offers; false: one that may not be used. */
bool route_of(struct path *p, const struct peer *pr, const struct asked *a, struct path_route *out);
bool route_relay_is_bad(const struct peer *pr, const struct path_label *relay, ts_t now);
/* Is it a way to @pr that we can send on? */
bool route_usable(struct path *p, const struct peer *pr, const struct path_route *r);
/* The probe through an offered way was answered. False: there is none under way with that id. */
bool route_offer_good(struct path *p, struct peer *pr, uint32_t id, ts_t now);
/* Endpoint @c of @pr answered a probe. */
void route_cand_good(struct path *p, struct peer *pr, struct cand *c, ts_t now);
/* Is every node of the way from us to @dst there once? */
bool route_ok(const struct path *p, const struct path_route *r, const struct path_label *dst);
void route_tick(struct path *p, struct peer *pr, ts_t now);
ts_t route_deadline(const struct path *p, const struct peer *pr, ts_t now);

/* path_ask.c */
/* Begin to ask candidates for a way to @pr; no-op while a search runs. */
void ask_start(struct path *p, struct peer *pr, uint8_t depth, ts_t now);
void ask_stop(struct path *p, struct peer *pr);
void ask_tick(struct path *p, struct peer *pr, ts_t now);
int ask_on_ask(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now);
int ask_on_answer(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now);
/* @target's way was measured, or is dead: answer those who wait for it. */
void ask_measured(struct path *p, struct peer *target, ts_t now);
void ask_pending_tick(struct path *p, ts_t now);
ts_t ask_pending_deadline(const struct path *p);
/* Look after an idle link that somebody has a use for, as if it had data. */
void ask_wake(struct path *p, struct peer *x, ts_t now);
/* @pr is gone: nothing may wait for it. */
void ask_forget(struct path *p, const struct peer *pr);

/* path_ep.c */
int ep_set(struct peer *pr, const struct path_node *info);
int ep_add(struct peer *pr, const struct ep *ep, enum cand_source source);
/* Begin to connect, from the first endpoint. */
void ep_connect(struct path *p, struct peer *pr, ts_t now);
/* A way through relays was found for a node that we are connecting to. */
void ep_connect_relayed(struct path *p, struct peer *pr, ts_t now);
void ep_connect_stop(struct peer *pr);
/* The next round soon, if we wait for it. */
void ep_connect_hasten(struct path *p, struct peer *pr, ts_t now);
/* More relays are allowed than when the search began. */
void ep_connect_deeper(struct path *p, struct peer *pr, ts_t now);
/* Has the round that is under way found nothing? */
bool ep_exhausted(const struct peer *pr);
void ep_tick(struct path *p, struct peer *pr, ts_t now);
ts_t ep_deadline(const struct path *p, const struct peer *pr, ts_t now);
/* Ask @pr over the session that there is to open towards us, and do the same. */
void ep_open_both(struct path *p, struct peer *pr, ts_t now);
void ep_keepalive(struct path *p, struct peer *pr, ts_t now);
int ep_on_punch(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now);
int ep_on_open(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now);
bool ep_usable(const struct path *p, const struct ep *ep);

#endif
