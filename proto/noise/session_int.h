/* session_int.h - what the files of the session core share; nobody else includes it but tests.
 *
 *	session.c	life of the core, peers, the public calls, timers
 *	session_act.c	the queue of actions
 *	session_dial.c	handshakes we start
 *	session_hs.c	handshake messages that arrive
 *	session_key.c	the keys of a peer: slots, which one seals, rekey, limits, death
 *	session_ctl.c	lane 0: sealing, opening, liveness, roaming, side ports, resets
 *	session_memo.c	ids remembered for a while */
#ifndef WEFT_SESSION_INT_H
#define WEFT_SESSION_INT_H

#include "session.h"
#include "weft/err.h"
#include "aead.h"
#include "cookie.h"
#include "handshake.h"
#include "list.h"
#include "map.h"
#include "prng.h"
#include "ratelimit.h"
#include "replay.h"
#include "timerq.h"

#define REALM_NONE UINT32_MAX /* of a free place for a secret */
#define SESS_SLOTS 4          /* previous, current, next-mine, next-theirs (DESIGN 6.7) */
#define SESS_ACT_ROOM                                                                              \
	96 /* actions that one input can cause at most: a roam turns LIM_WORKERS off */
#define SESS_ACT_SENDS      8   /* of these, datagrams and messages */
#define SESS_TICK_MAX       512 /* a tick stops when so many actions wait; due again at once */
#define SESS_PROBES_PER_RUN 4   /* side ports probed in one go, within SESS_ACT_SENDS */

/* --- ids remembered for a while (session_memo.c) --- */

#define MEMO_ID 16

struct memo_ent {
	uint8_t id[MEMO_ID];
	ts_t expires;
	uint32_t value;
};

/* A ring in order of expiry, found by id through the map. Bounded by max. */
struct memo {
	struct map *map;
	struct memo_ent *ring;
	size_t max, head, count;
	dur_t life;
};

int memo_init(struct memo *m, size_t max, dur_t life, const uint8_t seed[16]); /* ERR_NOMEM */
void memo_fini(struct memo *m);
void memo_expire(struct memo *m, ts_t now);
bool memo_full(struct memo *m, ts_t now);
/* NULL: not remembered (any more). */
const struct memo_ent *memo_get(struct memo *m, const uint8_t id[MEMO_ID], ts_t now);
/* Remember until @now + life. ERR_FULL, ERR_NOMEM, ERR_EXISTS: unchanged. */
int memo_put(struct memo *m, const uint8_t id[MEMO_ID], uint32_t value, ts_t now);

/* --- objects --- */

struct sess_timer {
	struct tq_node node;
	void (*fire)(struct sess *s, struct sess_timer *t, ts_t now);
};

/* A receiver index of ours. Belongs to the dial that offered it, then to the key. */
struct sess_ix {
	uint32_t index;
	struct sess_dial *dial;
	struct sess_slot *slot;
};

/* One key of a peer. */
struct sess_slot {
	struct sess_ix *ix;
	struct sess_peer *peer;
	struct sess_keys keys;
	struct aead *tx, *rx;             /* for lane 0 */
	uint8_t reset_token[RESET_TOKEN]; /* that a reset of keys.remote_index must carry */
	bool mine;                        /* we were the initiator */
	bool confirmed;                   /* the peer has it for sure: it may seal, always */
	bool soft, hard;                  /* limits that were reached */
	bool gone;                        /* SESS_KEY_DEL went out: neither seals nor opens */
	ts_t began;                       /* mine: FINAL sent; theirs: their RESP made */
	ts_t settled;                     /* mine: confirmed, or TS_NEVER; theirs: FINAL accepted */
	ts_t born;                        /* the lifetime counts from here */
	ts_t open_until;                  /* TS_NEVER while it seals or waits to be confirmed */
	ts_t confirm_at;                  /* theirs: a repeated FINAL is not answered before */
	uint64_t tx_counter;              /* lane 0 */
	uint64_t tx_blocks, failed_opens; /* of lane 0 */
	struct replay window;             /* of lane 0 */
};

struct sess_side {
	bool on, waiting;
	uint8_t lost; /* probes in a row without an answer */
	uint64_t token;
	ts_t at; /* of the next probe, or when the one that waits counts as lost */
};

struct sess_peer {
	struct sess_timer timer;
	uint32_t handle, realm;
	struct node_key key;
	uint8_t x25519[32];
	struct ep ep;
	struct ip local;
	bool up, wanted;
	int doom; /* enum sess_down_reason: to be ended as soon as there is room for the actions */
	struct sess_slot *slots[SESS_SLOTS];
	struct sess_slot *seal; /* current: what goes out is sealed with it; NULL: hard limit */
	struct sess_slot *next; /* next-mine: not confirmed yet; its dial repeats FINAL */
	struct sess_dial *dial; /* handshake of ours that is under way with this peer */
	ts_t newest_theirs;     /* .began of the newest key that they made us accept */
	ts_t rekey_at;          /* when we start a handshake for a new key */
	ts_t rekey_hold;        /* but not before */
	ts_t keyless_until;     /* seal is NULL: down then */
	ts_t last_rx, last_data;
	ts_t last_use; /* by control messages of other cores */
	ts_t data_use; /* by data; TS_ZERO: never */
	ts_t ping_at, ping_sent;
	bool ping_waits;
	uint64_t ping_token;
	dur_t srtt; /* < 0: not measured */
	struct {
		bool on;
		struct ep ep;
		struct ip local;
		uint64_t token;
		ts_t sent;
	} challenge;
	ts_t moved_at; /* its endpoint was chosen then, by us or after a challenge */
	struct ep observed;
	uint64_t handshakes, ctl_rx, ctl_tx;
	struct sess_side side[]; /* cfg.side_ports of them */
};

enum dial_state { DIAL_INIT, DIAL_FINAL };

/* One handshake that we start, over all its attempts. */
struct sess_dial {
	struct sess_timer timer;
	struct list link; /* sess.dials */
	uint32_t realm;
	struct sess_ix *ix; /* NULL once the key has taken it over */
	struct ep to;
	struct ip local; /* where RESP came to */
	bool rekey;      /* ours alone: the caller hears nothing of it */
	bool has_expect;
	struct node_key expect;
	struct sess_peer *peer; /* rekey, or the peer that answered */
	enum dial_state state;
	unsigned attempts;
	ts_t give_up, final_end;
	bool has_cookie, cookie_used; /* one immediate retry per cookie and attempt */
	ts_t cookie_until;
	uint8_t cookie[COOKIE_SIZE];
	struct handshake hs;
	uint8_t final[HS_FINAL_MAX]; /* repeated as it is (DESIGN 6.6) */
	size_t final_len;
};

struct sess_act_ent {
	struct sess_act act;
	struct sess_keys keys;
	size_t off; /* of act.buf in bytes */
};

struct sess_queue {
	struct sess_act_ent *ents;
	size_t head, count, cap; /* ents[head..count) wait */
	uint8_t *bytes;
	size_t used, bytes_cap;
};

struct sess {
	const struct identity *id;
	/* Those of a realm that was removed are random: nothing verifies under them. */
	struct secret_keys secrets[LIM_SECRETS];
	uint32_t realms[LIM_SECRETS]; /* of each secret; REALM_NONE: free */
	struct hs_cfg hs;
	struct hs_seal hs_seal;
	struct cookie_jar jar;
	struct sess_tune tune;
	uint8_t side_ports;
	bool underload_cookies;
	uint64_t wall_ns; /* unix time at wall_at */
	ts_t wall_at;
	struct prng prng;
	struct timerq timers;
	ts_t tick_after; /* a tick that found no memory is not repeated before */
	struct map *by_index, *by_key, *by_x25519;
	uint8_t ix_seed[16];               /* marks the indexes of this run */
	ts_t resets_until;                 /* no key from before our start seals any more */
	uint32_t ended[LIM_ENDED_INDEXES]; /* a ring; 0: none */
	unsigned next_ended;
	struct sess_peer **peers; /* by handle, LIM_PEERS */
	uint32_t next_handle;
	size_t npeers, max_peers, ndials, max_dials; /* max_*: bounds.h; tests lower them */
	struct list dials;
	struct memo seen, consumed;
	struct ratelimit rate;
	struct rl_bucket final_rate, cookie_rate, reset_rate, reset_rx_rate, note_rate;
	struct sess_queue queue;
	uint64_t stats[SESS_ST_COUNT];
};

/* --- session_act.c --- */

/* Before an input is handled: drop what was drained, make room for all that one input can cause.
 * ERR_NOMEM: nothing changed. */
int sess_act_reserve(struct sess *s);
/* The same, and @bytes more for one message that is larger than WIRE_CONTROL_MAX. */
int sess_act_reserve_bytes(struct sess *s, size_t bytes);
void sess_act_fini(struct sess *s); /* wipes */
/* These need the room that sess_act_reserve made. */
struct sess_act *sess_act_push(struct sess *s, enum sess_act_type type);
/* A SESS_SEND or SESS_RECV with @len bytes to be written to *@buf. */
struct sess_act *sess_act_push_buf(
	struct sess *s, enum sess_act_type type, size_t len, uint8_t **buf);
/* One about @p: peer, key and realm are set. */
struct sess_act *sess_act_peer(struct sess *s, enum sess_act_type type, const struct sess_peer *p);
void sess_act_send(
	struct sess *s, const struct ep *to, const struct ip *local, const void *buf, size_t len);
void sess_act_note(
	struct sess *s, enum sess_note note, const struct ep *ep, const struct node_key *key);

/* --- session.c --- */

static inline void sess_count(struct sess *s, enum sess_stat st)
{
	s->stats[st]++;
}

uint64_t sess_wall_secs(const struct sess *s, ts_t now);
/* A random receiver index, not 0, marked as made by this run; perhaps in use. */
uint32_t sess_ix_random(const struct sess *s);
/* Can @index have been made by this run? Always so if it was; else once in 256. */
bool sess_ix_marked(const struct sess *s, uint32_t index);
/* A new random receiver index, in the table. NULL: no memory. */
struct sess_ix *sess_ix_new(struct sess *s);
/* The same for an index that was chosen before. ERR_EXISTS, ERR_NOMEM. */
int sess_ix_take(struct sess *s, uint32_t index, struct sess_ix **out);
void sess_ix_free(struct sess *s, struct sess_ix *ix);
struct sess_ix *sess_ix_find(const struct sess *s, uint32_t index);
/* A peer without keys; none with its key or X25519 form is there. ERR_FULL, ERR_NOMEM. */
int sess_peer_new(struct sess *s, uint32_t realm, const struct hs_peer *who, const struct ep *ep,
	const struct ip *local, ts_t now, struct sess_peer **out);
/* The number of the secret that we call under in @realm; ERR_NOT_FOUND. */
int sess_realm_secret(const struct sess *s, uint32_t realm);
struct sess_peer *sess_peer_by_key(const struct sess *s, const struct node_key *key);
/* Forget a peer with its keys and its dial; SESS_DOWN if it was up. @p is gone afterwards. */
void sess_peer_end(struct sess *s, struct sess_peer *p, int reason);
/* The peer's session is gone on its side: end it, and dial where it was. @p is gone afterwards. */
void sess_peer_lost(struct sess *s, struct sess_peer *p, ts_t now);
/* The peer's session stands for sure. */
void sess_peer_up(struct sess *s, struct sess_peer *p, ts_t now);
/* Do all that is due and arm the timer. Needs room for actions. @p may be gone afterwards. */
void sess_peer_run(struct sess *s, struct sess_peer *p, ts_t now);
void sess_timer_arm(struct sess *s, struct sess_timer *t, ts_t when);

/* --- session_dial.c --- */

/* A dial; the first INIT goes out by its timer, at once. ERR_NOMEM. */
int sess_dial_new(struct sess *s, uint32_t realm, const struct ep *to,
	const struct node_key *expect, ts_t give_up, ts_t now, struct sess_dial **out);
void sess_dial_free(struct sess *s, struct sess_dial *d);
/* Free @d and tell the caller, unless it is a rekey. */
void sess_dial_fail(struct sess *s, struct sess_dial *d, const struct node_key *key, int reason);
void sess_dial_send_init(struct sess *s, struct sess_dial *d, ts_t now);
void sess_dial_send_final(struct sess *s, struct sess_dial *d, ts_t now);
/* Drop the user's dials that expect @key: its session stands. */
void sess_dial_settle(struct sess *s, const struct node_key *key);

/* --- session_hs.c --- */

int sess_hs_recv(struct sess *s, const struct ep *from, const struct ip *local, const uint8_t *buf,
	size_t len, ts_t now);

/* --- session_key.c --- */

struct sess_slot_new {
	const struct hs_peer *who;
	const struct hs_keys *keys;
	struct sess_ix *ix; /* taken over on success */
	bool mine;
	ts_t began;
};
/* Allocate a key, not yet in any peer. NULL: no memory. */
struct sess_slot *sess_slot_make(struct sess *s, const struct sess_slot_new *n, ts_t now);
/* Wipe and free one that is in no peer; its index goes too. */
void sess_slot_free(struct sess *s, struct sess_slot *k);
/* Into the peer: SESS_KEY_ADD; the oldest retired key makes place. */
void sess_slot_install(struct sess *s, struct sess_peer *p, struct sess_slot *k);
/* Out of the peer: SESS_KEY_DEL, freed. */
void sess_slot_drop(struct sess *s, struct sess_slot *k);
/* A FINAL of theirs made @k (installed): settle what seals. */
void sess_slot_accepted(struct sess *s, struct sess_slot *k, ts_t now);
/* Something arrived under @k. */
void sess_slot_heard(struct sess *s, struct sess_slot *k, ts_t now);
/* Next-mine was installed: on a first session it seals at once. */
void sess_slot_offered(struct sess *s, struct sess_slot *k, ts_t now);
/* Next-mine will not be confirmed: its dial starts over or ended. Drops it. */
void sess_slot_withdraw(struct sess *s, struct sess_peer *p);
void sess_slot_limit(struct sess *s, struct sess_slot *k, bool hard);
/* Ends keys that are due, starts a rekey. 0, or the reason why the peer is down. */
int sess_slot_run(struct sess *s, struct sess_peer *p, ts_t now);
ts_t sess_slot_deadline(const struct sess *s, const struct sess_peer *p);

/* --- session_ctl.c --- */

struct sess_path { /* where a message goes */
	const struct ep *to;
	const struct ip *local;
	uint8_t via;
};
/* Seal a control message with @k. ERR_STATE: the key may not seal any more. */
int sess_ctl_seal(struct sess *s, struct sess_slot *k, const struct sess_path *path, uint8_t type,
	const void *body, size_t len);
/* The same with the current key to the peer's endpoint. */
int sess_ctl_send(struct sess *s, struct sess_peer *p, uint8_t type, const void *body, size_t len);
/* Seal @m with @k into @out, which has room for @size bytes: exactly so many are written. ERR_STATE. */
int sess_ctl_write(struct sess_slot *k, const struct sess_tune *t, const struct sess_msg *m,
	uint8_t *out, size_t size);
/* Another way: nothing is known of side ports, and what was challenged is out of date. */
void sess_act_endpoint(struct sess *s, struct sess_peer *p); /* SESS_ENDPOINT as it is now */
void sess_ctl_moved(struct sess *s, struct sess_peer *p, ts_t now);
void sess_ctl_close(struct sess *s, struct sess_peer *p);
int sess_ctl_recv_data(struct sess *s, const struct ep *from, const struct ip *local, uint8_t *buf,
	size_t len, ts_t now);
/* A session with this index of ours ended, and perhaps not for the other end: who goes on to use it
 * is sent a reset. */
void sess_ended_put(struct sess *s, uint32_t index);
bool sess_ended_has(const struct sess *s, uint32_t index);
int sess_ctl_recv_reset(struct sess *s, const uint8_t *buf, size_t len, ts_t now);
/* An authenticated main-port packet with the newest counter came from @from to @local. */
void sess_ctl_roam(struct sess *s, struct sess_peer *p, const struct ep *from,
	const struct ip *local, ts_t now);
/* Pings and probes that are due. 0, or the reason why the peer is down. */
int sess_ctl_run(struct sess *s, struct sess_peer *p, ts_t now);
ts_t sess_ctl_deadline(const struct sess *s, const struct sess_peer *p);
void sess_ctl_start(struct sess *s, struct sess_peer *p, ts_t now); /* the peer came up */

#endif
