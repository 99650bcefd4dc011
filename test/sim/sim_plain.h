/* sim_plain.h - the plain variant of sim_sess.h: what sim_sess.c alone calls. Functions are those of
 * session.h with the same names. */
#ifndef WEFT_SIM_PLAIN_H
#define WEFT_SIM_PLAIN_H

#include "sim_sess.h"

struct plain;

#define PLAIN_HDR (1 + 32 + 8 + 8 + 8)

/* A datagram's head. */
struct plain_msg {
	uint8_t type;
	struct node_key key;
	uint64_t life, my_life, counter;
};
struct wr;
struct rd;
void plain_head(struct wr *w, uint8_t type, const struct node_key *self, uint64_t life,
	uint64_t to_life, uint64_t counter);
/* Is it a data packet, as on the wire? Its tag ends in its index; by chance no other datagram is so. */
bool plain_is_packet(const uint8_t *buf, size_t len);
/* Read the head; what follows is left in @r. False: cut short. */
bool plain_read(struct rd *r, const uint8_t *buf, size_t len, struct plain_msg *m);

struct plain *plain_new(const struct sess_cfg *cfg); /* NULL: no memory */
void plain_free(struct plain *p);
int plain_connect(struct plain *p, const struct ep *to, const struct node_key *expect, ts_t give_up,
	ts_t now);
int plain_redial(struct plain *p, const struct ep *to, const struct node_key *expect, ts_t give_up,
	ts_t now);
int plain_recv(struct plain *p, const struct ep *from, const uint8_t *buf, size_t len, ts_t now);
int plain_seal(struct plain *p, const struct sess_msg *m, uint8_t *out, size_t cap);
int plain_send(
	struct plain *p, uint32_t handle, uint8_t type, const void *body, size_t len, ts_t now);
void plain_disconnect(struct plain *p, const struct node_key *key);
void plain_release(struct plain *p, const struct node_key *key);
void plain_used(struct plain *p, uint32_t handle, ts_t when);
void plain_traffic(struct plain *p, uint32_t handle, ts_t last_rx);
void plain_roam_hint(struct plain *p, uint32_t handle, const struct ep *from, ts_t now);
bool plain_mark(struct plain *p, uint32_t handle, struct sim_sess_mark *out);
int64_t plain_marked(
	struct plain *p, const struct sim_sess_mark *m, const struct ep *from, ts_t now);
void plain_move(struct plain *p, const struct node_key *key, const struct ep *to, ts_t now);
uint32_t plain_find(struct plain *p, const struct node_key *key);
void plain_tick(struct plain *p, ts_t now);
ts_t plain_deadline(const struct plain *p);
bool plain_next(struct plain *p, struct sess_act *out);
bool plain_info_next(const struct plain *p, uint32_t *it, struct sim_sess_info *out);
size_t plain_wire_len(const uint8_t *buf, size_t len);

#endif
