/* sim_plain.h - the plain variant of sim_sess.h: what sim_sess.c alone calls. Functions are those of
 * session.h with the same names. */
#ifndef WEFT_SIM_PLAIN_H
#define WEFT_SIM_PLAIN_H

#include "sim_sess.h"

struct plain;

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
void plain_move(struct plain *p, const struct node_key *key, const struct ep *to);
uint32_t plain_find(const struct plain *p, const struct node_key *key);
void plain_tick(struct plain *p, ts_t now);
ts_t plain_deadline(const struct plain *p);
bool plain_next(struct plain *p, struct sess_act *out);
bool plain_info_next(const struct plain *p, uint32_t *it, struct sim_sess_info *out);
size_t plain_wire_len(const uint8_t *buf, size_t len);

#endif
