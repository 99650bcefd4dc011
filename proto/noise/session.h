/* session.h - the session core: handshakes, key slots, rekey, liveness, endpoints (DESIGN 6).
 *
 * Sans-I/O: datagrams and times go in, actions come out. One thread. Call order: any of
 * sess_recv/tick/connect/send/..., then drain sess_next() until SESS_NONE, then re-arm the timer to
 * sess_deadline(). What an action points to is borrowed until the next call of any sess_ function
 * but sess_next, unless said otherwise.
 *
 * The core seals and opens lane 0 (control) itself. Data lanes are the data plane's: it gets each
 * key by SESS_KEY_ADD, seals on the one named by SESS_KEY_USE, and drops it at SESS_KEY_DEL. It
 * tells the core of first use, of limits reached, and of traffic (sess_key_confirmed,
 * sess_key_limit, sess_traffic), and hands over each datagram that is not a data packet of a lane
 * it knows. */
#ifndef WEFT_SESSION_H
#define WEFT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/id.h"
#include "weft/ts.h"
#include "weft/wire.h"
#include "key.h"

struct sess;

/* A way through relays, as an endpoint (DESIGN 5.2, 7.7). Whom a relayed datagram came from is told by
 * a label alone (weft/wire.h, RELAY), so the label stands where the address would: in 100::/64, which
 * no packet may ever come from or go to (RFC 6666, discard-only). What the core sends there is the
 * caller's to wrap. Such a peer has no side ports; no packet moves its endpoint, nor does a relayed one
 * move another's: sess_move() alone does. The caller drops what arrives on the underlay from 100::/64. */
struct ep sess_relayed_ep(uint64_t label);
/* Is it one? @label may be NULL. */
bool sess_relayed_label(const struct ep *ep, uint64_t *label);

/* Times and limits; sess_tune_default() gives DESIGN's values. */
struct sess_tune {
	dur_t rekey_initiator;     /* 120 s */
	dur_t rekey_responder;     /* 150 s */
	unsigned rekey_jitter_pct; /* 10 */
	dur_t key_lifetime;        /* 240 s: a key older than that neither seals nor opens */
	dur_t previous_keep;       /* 30 s: a replaced key still opens */
	dur_t hs_retry;            /* 1 s, doubled up to hs_retry_max, jittered */
	dur_t hs_retry_max;        /* 8 s */
	dur_t hs_state_life;       /* 20 s: how long a responder's sealed state may be used */
	dur_t time_window; /* 60 s: how far message 1's time may be off before a cookie is asked */
	dur_t cookie_life; /* 120 s */
	dur_t ping_interval; /* 3 s between pings of a peer */
	dur_t peer_timeout;  /* 10 s of silence: the peer is down */
	dur_t idle_expiry;   /* a session that we don't want (sess_release) ends 180 s after data */
	dur_t unused_expiry; /* and 20 s after control messages of other cores */
	dur_t side_probe_interval;    /* 15 s */
	uint64_t soft_blocks[3];      /* by enum wire_suite; [2]: 2^34 */
	uint64_t hard_blocks[3];      /* [2]: 2^35; chacha: 2^62 */
	uint64_t max_failed_opens[3]; /* 2^36 chacha, 2^52 GCM */
};
void sess_tune_default(struct sess_tune *t);

struct sess_cfg {
	const struct identity *id;         /* kept: must outlive the core */
	const struct secret_keys *secrets; /* copied; [0] is used when we call. Realm 0 */
	size_t nsecrets;                   /* 1..LIM_SECRETS */
	unsigned suites; /* WIRE_SUITE_BIT()s, in our order of preference: GCM when both have it */
	uint8_t lanes;   /* lanes we send on, control included (1..LIM_LANES) */
	uint8_t side_ports;     /* own source ports to be probed per peer (0..lanes-1) */
	bool underload_cookies; /* demand cookies always (tests) */
	uint64_t seed;          /* jitter only */
	uint64_t wall_unix_ns;  /* wall clock at @now of sess_new; see sess_set_wall */
	struct sess_tune tune;
};

/* Fresh keys of one session. tx/rx are per direction (DESIGN 6.8). Wipe copies. */
struct sess_keys {
	enum wire_suite suite;
	uint32_t local_index;       /* the receiver index we are addressed by */
	uint32_t remote_index;      /* the receiver index that we put into the header */
	uint8_t tx_lanes, rx_lanes; /* control included */
	uint8_t tx[32], rx[32];
};

/* What an action is, and which of its fields are set. */
enum sess_act_type {
	SESS_NONE,
	/* to, local, via, buf, len; peer too if it is sealed */
	SESS_SEND,
	/* peer, key, ep: a first session stands, authenticated both ways */
	SESS_UP,
	/* peer, key, ep, reason: silent, closed or refused; the handle is free afterwards */
	SESS_DOWN,
	/* peer, key, ep (where it came from), buf, len: a control message (type byte first) that is
	 * not ours */
	SESS_RECV,
	/* peer, key, index (local), keys: open with this from now on. May come before SESS_UP: when
	 * we called, the peer may use the key before we know that it has it */
	SESS_KEY_ADD,
	/* peer, key, index (local): seal with this one from now on */
	SESS_KEY_USE,
	/* peer, index (local), reason (that of the SESS_DOWN which follows; 0: none does): forget it;
	 * after SESS_DOWN_IDLE what is still under way may be opened for a moment. Each key gets
	 * one, before SESS_DOWN; the last one of a peer that never came up is all that is heard of
	 * it, its handle is free then */
	SESS_KEY_DEL,
	/* peer, key, ep, local: data goes there from now on (follows SESS_UP, and roaming; ep the
	 * same: only local changed) */
	SESS_ENDPOINT,
	/* peer, key, via, on: the worker's own source port works towards this peer, or not */
	SESS_SIDE_PORT,
	/* key (that was expected, or that answered), ep, reason: gave up dialling; retried by who
	 * asked. reason: -ETIMEDOUT, ERR_FOREIGN (another key), ERR_CONFLICT (ourselves),
	 * ERR_EXISTS (key answered, and has a session with us), ERR_FULL, ERR_NOMEM */
	SESS_DIAL_FAILED,
	/* reason, ep, key: something for the log, see enum sess_note */
	SESS_NOTE,
};

enum sess_note {
	SESS_NOTE_WRONG_SECRET = 1, /* handshake from ep with no MAC1 that we know */
	SESS_NOTE_OTHER_KEY,        /* ep answered with key, not the one that was expected */
	SESS_NOTE_SELF, /* ep is ourselves (our own key, from our own process or a clone) */
	SESS_NOTE_ENDPOINT_MOVED, /* key moved to ep */
	SESS_NOTE_RESET,          /* key lost its session state (restarted) */
	/* Nothing has come from key for half as long again as between pings, data included, and it was pinged
	 * again; told with each ping until it is heard. The way may be dead in one direction alone. */
	SESS_NOTE_SILENT,
};

enum sess_down_reason {
	SESS_DOWN_TIMEOUT = 1,
	SESS_DOWN_CLOSED,    /* the peer said so */
	SESS_DOWN_FORGOTTEN, /* sess_disconnect */
	SESS_DOWN_RESET,
	SESS_DOWN_LIMIT,   /* hard limit of a key, and no new one in time */
	SESS_DOWN_EXPIRED, /* its key is too old */
	SESS_DOWN_IDLE,    /* it was released, and nothing used it */
};

struct sess_act {
	enum sess_act_type type;
	uint32_t realm; /* of the peer or dial: 0 for the cluster's own, see sess_realm_add() */
	uint32_t peer;  /* handle: 1..LIM_PEERS-1 */
	struct node_key key;
	struct ep to, ep;
	struct ip local; /* address of ours that was hit, or to send from; family IP_NONE: any */
	uint8_t via;     /* 0: main port; n: side port of worker n-1 */
	bool on;
	uint32_t index;
	int reason;
	const uint8_t *buf;
	size_t len;
	const struct sess_keys *keys;
};

/* Returns owned; NULL: no memory. Copies what @cfg says it copies. */
struct sess *sess_new(const struct sess_cfg *cfg, ts_t now);
void sess_free(struct sess *s); /* wipes; NULL is fine */
/* Tell the wall clock (unix nanoseconds at @now) after start and when it was stepped. */
void sess_set_wall(struct sess *s, uint64_t unix_ns, ts_t now);

/* Realms: nodes that share a secret, other than the cluster's own, have sessions with us under it, and
 * only under it: a link to another cluster (docs/clusters.md). Every action about such a peer names its
 * realm, and what it may do is for the caller to say. A node belongs to the realm of its first session:
 * a handshake of its under another secret is refused (ERR_FOREIGN, counted as bad_key) while that
 * stands. @realm is the caller's number, not 0; @keys are copied. ERR_EXISTS, ERR_FULL (LIM_SECRETS). */
int sess_realm_add(struct sess *s, uint32_t realm, const struct secret_keys *keys);
/* End its sessions and dials, and wipe its secret. ERR_NOT_FOUND. */
int sess_realm_del(struct sess *s, uint32_t realm, ts_t now);
/* sess_connect() in a realm. ERR_NOT_FOUND too. */
int sess_realm_connect(struct sess *s, uint32_t realm, const struct ep *to,
	const struct node_key *expect, ts_t give_up, ts_t now);

/* Open a session to @to. @expect: the key that must answer (else SESS_NOTE_OTHER_KEY and failure),
 * or NULL. A session or dial towards that key or endpoint that exists already makes this a no-op,
 * and an answer from a node that has a session with us by then ends the dial (ERR_EXISTS). ERR_FULL
 * (LIM_HS_PENDING), ERR_CONFLICT (our own key), ERR_NOMEM. Retries by itself until @give_up
 * (TS_NEVER: no end), then SESS_DIAL_FAILED. */
int sess_connect(
	struct sess *s, const struct ep *to, const struct node_key *expect, ts_t give_up, ts_t now);
/* The same with a key that is known, in place of every other dial that expects it: one whose answer has
 * come a moment ago goes on instead (0), for the peer may have its session by then. */
int sess_redial(
	struct sess *s, const struct ep *to, const struct node_key *expect, ts_t give_up, ts_t now);
/* End the session and every dial with @key; tells the peer (CLOSE) if a session stands. */
void sess_disconnect(struct sess *s, const struct node_key *key, ts_t now);
/* We don't want the session with @key any more: it ends (SESS_DOWN_IDLE) once no data
 * (sess_traffic, sess_used) has come by for tune.idle_expiry, and no control messages of other cores
 * for tune.unused_expiry.
 * sess_connect takes it back. */
void sess_release(struct sess *s, const struct node_key *key, ts_t now);
/* Stop dialling @to; nothing more is heard of the dial. */
void sess_cancel(struct sess *s, const struct ep *to, ts_t now);

/* Handle one datagram from @from that arrived at our address @local (family IP_NONE: not known).
 * Borrows @buf and may decrypt it in place. 0 if something useful came of it; else why not:
 * ERR_TRUNCATED, ERR_MALFORMED, ERR_VERSION, ERR_AUTH, ERR_REPLAY, ERR_STALE, ERR_STATE,
 * ERR_NOT_FOUND (unknown index; a reset may go out), ERR_LIMIT, ERR_FULL, ERR_UNSUPPORTED (unknown
 * type), ERR_FOREIGN (not the key that was expected), ERR_CONFLICT (our own key), ERR_NOMEM. What
 * is wrong is counted; a duplicate or a late answer is not. */
int sess_recv(struct sess *s, const struct ep *from, const struct ip *local, uint8_t *buf,
	size_t len, ts_t now);
/* Send control message @type with @len <= WIRE_CTL_BODY_MAX bytes to a peer, on lane 0.
 * ERR_NOT_FOUND: no session, ERR_RANGE: too long, ERR_STATE: the key is at its hard limit,
 * ERR_NOMEM. Unreliable, like any datagram. */
int sess_send(struct sess *s, uint32_t peer, uint8_t type, const void *body, size_t len, ts_t now);
/* A control message that the caller sends itself, by a way of its own. */
struct sess_msg {
	uint32_t peer;
	uint8_t type;
	bool side; /* from a worker's own source port */
	const void *body;
	size_t len; /* at most WIRE_CTL_BODY_MAX */
	/* Bytes of the datagram, for a probe of the path's MTU: zeros fill it up behind the body. 0: as
	 * long as it is. What exceeds WIRE_CONTROL_MAX is taken by the peer for WIRE_CTL_PATH alone */
	size_t size;
};
/* Seal it into @out. Returns the datagram's length; it counts as sent. ERR_NOT_FOUND, ERR_STATE as
 * sess_send; ERR_RANGE: too long, longer than .size, or than @cap. */
int sess_seal(struct sess *s, const struct sess_msg *m, uint8_t *out, size_t cap, ts_t now);
/* The peer is at @to from now on: the caller has an answer to a probe of its own from there, or has
 * changed between the direct way and relays. The same as before: no-op. No SESS_ENDPOINT comes of it;
 * side ports are off until they are proven anew (told). ERR_NOT_FOUND, ERR_NOMEM. */
int sess_move(struct sess *s, uint32_t peer, const struct ep *to, ts_t now);
/* The address of ours that the peer's datagrams leave from is gone: the kernel chooses one, and the peer
 * is pinged at once, so that it learns of it. SESS_ENDPOINT follows. */
void sess_local_gone(struct sess *s, uint32_t peer, ts_t now);

void sess_tick(struct sess *s, ts_t now);
ts_t sess_deadline(const struct sess *s);
bool sess_next(struct sess *s, struct sess_act *out); /* false (and SESS_NONE): drained */

/* From the data plane: the first packet under local key @index was opened. */
void sess_key_confirmed(struct sess *s, uint32_t index, ts_t now);
/* From the data plane: local key @index has sealed its soft (or hard) number of blocks, or failed
 * to open too often. */
void sess_key_limit(struct sess *s, uint32_t index, bool hard, ts_t now);
/* From the data plane, about each second and peer with traffic: when something last came. Saves
 * pings. */
void sess_traffic(struct sess *s, uint32_t peer, ts_t last_rx, ts_t now);
/* From the data plane, at the same pace: data came or went at @when, so a session that we don't want
 * for ourselves (sess_release) is not idle. */
void sess_used(struct sess *s, uint32_t peer, ts_t when, ts_t now);
/* From the data plane: an authenticated main-port packet with the newest counter came from another
 * endpoint; the core challenges it (RFC 9000 section 9). */
void sess_roam_hint(
	struct sess *s, uint32_t peer, const struct ep *from, const struct ip *local, ts_t now);

/* For status. */
struct sess_peer_info {
	uint32_t peer, realm;
	struct node_key key;
	struct ep ep;
	struct ip local;
	bool initiator; /* we called (for the key in use) */
	bool up;
	enum wire_suite suite;
	dur_t key_age, rtt; /* rtt.ns < 0: not measured yet */
	uint64_t handshakes, ctl_rx, ctl_tx;
	uint32_t local_index;
	struct ep observed; /* how the peer sees us; family IP_NONE: unknown */
};
/* Walk: *@it = 0 first. */
bool sess_peer_next(const struct sess *s, uint32_t *it, struct sess_peer_info *out, ts_t now);
int sess_peer_get(const struct sess *s, uint32_t peer, struct sess_peer_info *out, ts_t now);
/* Handle of @key, or 0. */
uint32_t sess_peer_find(const struct sess *s, const struct node_key *key);
struct sess_dial_info {
	struct ep to;
	bool has_key;
	struct node_key key;
	unsigned attempts;
	ts_t next;
};
bool sess_dial_next(const struct sess *s, uint32_t *it, struct sess_dial_info *out);

/* Counters, in the order of sess_stat_names[]. */
enum sess_stat {
	SESS_ST_HS_INIT_RX,
	SESS_ST_HS_RESP_RX,
	SESS_ST_HS_FINAL_RX,
	SESS_ST_HS_DONE,
	SESS_ST_BAD_MAC1,
	SESS_ST_BAD_TIME,
	SESS_ST_BAD_COOKIE,
	SESS_ST_BAD_HANDSHAKE,
	SESS_ST_BAD_KEY,
	SESS_ST_REPLAYED_INIT,
	SESS_ST_REPLAYED_FINAL,
	SESS_ST_COOKIES_TX,
	SESS_ST_RESETS_TX,
	SESS_ST_RESETS_RX,
	SESS_ST_BAD_RESET,
	SESS_ST_UNKNOWN_INDEX,
	SESS_ST_MALFORMED,
	SESS_ST_BAD_VERSION,
	SESS_ST_BAD_TAG,
	SESS_ST_REPLAY,
	SESS_ST_RATE_LIMITED,
	SESS_ST_TABLE_FULL,
	SESS_ST_UNKNOWN_CTL,
	SESS_ST_REKEYS,
	SESS_ST_ROAMS,
	SESS_ST_BAD_TYPE,
	SESS_ST_COUNT
};
extern const char *const sess_stat_names[SESS_ST_COUNT];
void sess_stats(const struct sess *s, uint64_t out[SESS_ST_COUNT]);

#endif
