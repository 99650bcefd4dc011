/* sim_sess.h - a node's sessions: the session core itself, or its authenticated result.
 *
 * The plain variant has the core's calls, actions and times (handshake of three messages and a
 * confirmation, retries, pings, silence, resets, close, rekeys as traffic) and no cryptography:
 * datagrams carry their sender's key and are believed. It gives no SESS_KEY_ actions, and no side ports.
 * Replays and corruption are the network's business there: what would not authenticate is dropped by it.
 * Data and relayed datagrams have the headers, sizes and checks of sealed ones (struct sim_sess_mark).
 *
 * A node may have both: the core for whom is_real() knows by address, plain ones with all others. Handles
 * then are odd for the core's peers. */
#ifndef WEFT_SIM_SESS_H
#define WEFT_SIM_SESS_H

#include "session.h"
#include "weft/wire.h"

struct sim_sess;

/* As sess_new; @plain chooses the variant. */
struct sim_sess *sim_sess_new(const struct sess_cfg *cfg, bool plain, ts_t now);
void sim_sess_free(struct sim_sess *x); /* NULL is fine */
/* Besides the plain ones: the core, as sess_new, for peers at addresses that @is_real knows. 0 or
 * ERR_NOMEM. To be called before anything else. */
int sim_sess_add_core(struct sim_sess *x, const struct sess_cfg *cfg,
	bool (*is_real)(void *ctx, const struct ep *ep), void *ctx, ts_t now);
/* The core, or NULL in the plain variant. */
struct sess *sim_sess_core(struct sim_sess *x);
/* The core's own handle of a peer; 0: not one of its. */
uint32_t sim_sess_core_peer(const struct sim_sess *x, uint32_t peer);

/* A node that is played without a state: it takes part in plain handshakes, answers pings, and the
 * control messages that @ctl knows (type byte first; the answer's into @out, its length returned;
 * 0: none). */
struct sim_stub {
	struct node_key self;
	uint64_t said; /* datagrams */
};
#define SIM_STUB_MAX 1400 /* bytes of an answer */
/* The answer to a datagram, into @out; its length, 0: none. */
size_t sim_stub_answer(struct sim_stub *x, const uint8_t *buf, size_t len,
	size_t (*ctl)(const uint8_t *msg, size_t len, uint8_t out[SIM_STUB_MAX]),
	uint8_t out[SIM_STUB_MAX]);

/* As sess_connect and so on in session.h. */
int sim_sess_connect(struct sim_sess *x, const struct ep *to, const struct node_key *expect,
	ts_t give_up, ts_t now);
int sim_sess_redial(struct sim_sess *x, const struct ep *to, const struct node_key *expect,
	ts_t give_up, ts_t now);
void sim_sess_disconnect(struct sim_sess *x, const struct node_key *key, ts_t now);
void sim_sess_release(struct sim_sess *x, const struct node_key *key, ts_t now);
int sim_sess_recv(struct sim_sess *x, const struct ep *from, const struct ip *local, uint8_t *buf,
	size_t len, ts_t now);
int sim_sess_send(
	struct sim_sess *x, uint32_t peer, uint8_t type, const void *body, size_t len, ts_t now);
int sim_sess_seal(struct sim_sess *x, const struct sess_msg *m, uint8_t *out, size_t cap, ts_t now);
void sim_sess_used(struct sim_sess *x, uint32_t peer, ts_t when, ts_t now);
void sim_sess_traffic(struct sim_sess *x, uint32_t peer, ts_t last_rx, ts_t now);
void sim_sess_roam_hint(
	struct sim_sess *x, uint32_t peer, const struct ep *from, const struct ip *local, ts_t now);
void sim_sess_move(struct sim_sess *x, const struct node_key *key, const struct ep *to, ts_t now);
void sim_sess_tick(struct sim_sess *x, ts_t now);
ts_t sim_sess_deadline(const struct sim_sess *x);
bool sim_sess_next(struct sim_sess *x, struct sess_act *out);
uint32_t sim_sess_find(const struct sim_sess *x, const struct node_key *key);

/* What the path driver wants to know of each. Walk: *@it = 0 first. */
struct sim_sess_info {
	struct node_key key;
	bool up;
	dur_t rtt;          /* < 0: not measured */
	struct ep observed; /* how the peer sees us; family IP_NONE: unknown */
};
bool sim_sess_info_next(
	const struct sim_sess *x, uint32_t *it, struct sim_sess_info *out, ts_t now);

/* What a packet of lane 1 has in the plain variant where index, counter and tag of a sealed one stand:
 * enough to tell for whom and from whom it is, and whether it is new. */
struct sim_sess_mark {
	uint32_t index;
	uint64_t counter;
	uint8_t tag[WIRE_TAG];
};
/* The mark of the next packet to @peer. False: no plain session with it. */
bool sim_sess_mark(struct sim_sess *x, uint32_t peer, struct sim_sess_mark *out);
/* The peer whose packet has that mark. 0: nobody's, as with an index that isn't known; ERR_REPLAY: it was
 * seen before, or is too old. As the first sign of the session it makes that stand; @from is where it
 * came from then, NULL: through relays. */
int64_t sim_sess_marked(
	struct sim_sess *x, const struct sim_sess_mark *m, const struct ep *from, ts_t now);

/* May that be a packet of lane 1? False for other datagrams of the plain variant. */
bool sim_sess_is_packet(const struct sim_sess *x, const uint8_t *buf, size_t len);

/* The length on the wire of an end-to-end datagram, this node's or of its kind. */
size_t sim_sess_wire_len(const struct sim_sess *x, const uint8_t *buf, size_t len);

#endif
