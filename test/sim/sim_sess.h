/* sim_sess.h - a node's sessions: the session core itself, or its authenticated result.
 *
 * The plain variant has the core's calls, actions and times (handshake of three messages and a
 * confirmation, retries, pings, silence, resets, close, rekeys as traffic) and no cryptography:
 * datagrams carry their sender's key and are believed. It gives no SESS_KEY_ actions. Replays and
 * corruption are the network's business there: what would not authenticate is dropped by it. */
#ifndef WEFT_SIM_SESS_H
#define WEFT_SIM_SESS_H

#include "session.h"

struct sim_sess;

/* As sess_new; @plain chooses the variant. */
struct sim_sess *sim_sess_new(const struct sess_cfg *cfg, bool plain, ts_t now);
void sim_sess_free(struct sim_sess *x); /* NULL is fine */
/* The core, or NULL in the plain variant. */
struct sess *sim_sess_core(struct sim_sess *x);

/* As sess_connect and so on in session.h. */
int sim_sess_connect(struct sim_sess *x, const struct ep *to, const struct node_key *expect,
	ts_t give_up, ts_t now);
void sim_sess_disconnect(struct sim_sess *x, const struct node_key *key, ts_t now);
void sim_sess_release(struct sim_sess *x, const struct node_key *key, ts_t now);
int sim_sess_recv(struct sim_sess *x, const struct ep *from, const struct ip *local, uint8_t *buf,
	size_t len, ts_t now);
int sim_sess_send(
	struct sim_sess *x, uint32_t peer, uint8_t type, const void *body, size_t len, ts_t now);
void sim_sess_tick(struct sim_sess *x, ts_t now);
ts_t sim_sess_deadline(const struct sim_sess *x);
bool sim_sess_next(struct sim_sess *x, struct sess_act *out);
uint32_t sim_sess_find(const struct sim_sess *x, const struct node_key *key);

/* The length on the wire of a datagram of this node's. */
size_t sim_sess_wire_len(const struct sim_sess *x, const uint8_t *buf, size_t len);

#endif
