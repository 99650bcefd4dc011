/* sim_data.h - data packets between simulated nodes, sealed and opened as workers do it (DESIGN 5.1); in the
 * plain variant of sessions with the same header and length, and the mark of sim_sess.h for index, counter
 * and tag. */
#ifndef WEFT_SIM_DATA_H
#define WEFT_SIM_DATA_H

#include "sim_node.h"
#include "sim_sess.h"

#define SIM_DATA_BODY 64
#define SIM_DATA_OFF  (WIRE_DATA_HDR + WIRE_SHIM)
#define SIM_DATA_LEN  (WIRE_DATA_HDR + WIRE_SHIM + SIM_DATA_BODY + WIRE_TAG) /* bytes */

/* The key's ciphers, made when they are first asked for. */
struct aead *sim_data_tx(struct sim_key *k);
struct aead *sim_data_rx(struct sim_key *k);
/* Is there a session with the node of @p that data can be sent under? */
bool sim_data_ready(const struct sim_node *n, const struct sim_slot *p);
/* Send @body to the node of @p, which is up, by the way in use; no-op unless ready. */
void sim_data_send(struct sim_node *n, struct sim_slot *p, const uint8_t body[SIM_DATA_BODY]);
/* Each second: tell the cores of traffic, send something to somebody. */
void sim_data_second(struct sim_node *n, ts_t now);
/* What the data plane does with a data packet of a lane of its own; @from NULL: it came through relays.
 * False: it is not for it. */
bool sim_data_recv(struct sim_node *n, const struct ep *from, const struct ip *local, uint8_t *buf,
	size_t len);
/* Something was opened with @k: the session core is told the first time. Sessions may come and go. */
void sim_data_key_used(struct sim_node *n, struct sim_key *k);
/* The plain variant's: whose packet that is, if it is for a session that stands or stands by it now, and is
 * new; NULL: it is dropped. *@known: there is such a session. Sessions may come and go. */
struct sim_slot *sim_data_marked(
	struct sim_node *n, const struct sim_sess_mark *m, const struct ep *from, bool *known);

#endif
