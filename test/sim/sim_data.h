/* sim_data.h - data packets between simulated nodes, sealed and opened as workers do it (DESIGN 5.1). */
#ifndef WEFT_SIM_DATA_H
#define WEFT_SIM_DATA_H

#include "sim_node.h"

#define SIM_DATA_BODY 64
#define SIM_DATA_OFF  (WIRE_DATA_HDR + WIRE_SHIM)
#define SIM_DATA_LEN  (WIRE_DATA_HDR + WIRE_SHIM + SIM_DATA_BODY + WIRE_TAG) /* bytes */

struct sim_data {
	uint32_t index; /* the receiver's */
	uint64_t counter;
	bool side; /* from a worker's own source port */
};

/* The key's ciphers, made when they are first asked for. */
struct aead *sim_data_tx(struct sim_key *k);
struct aead *sim_data_rx(struct sim_key *k);
/* A packet of lane 1 under @k, whose counter goes up. */
void sim_data_seal(
	struct sim_key *k, bool side, const uint8_t body[SIM_DATA_BODY], uint8_t out[SIM_DATA_LEN]);
/* False: no data packet of lane 1. */
bool sim_data_parse(const uint8_t *buf, size_t len, struct sim_data *out);
/* Opens what was parsed in place; the body stands at SIM_DATA_OFF then. False: forged, or seen before. */
bool sim_data_open(struct sim_key *k, const struct sim_data *d, uint8_t *buf, size_t len);

/* Send @body to the node of @p, which is up and has a key, by the way in use. */
void sim_data_send(struct sim_node *n, struct sim_slot *p, const uint8_t body[SIM_DATA_BODY]);
/* Each second: tell the cores of traffic, send something to somebody. */
void sim_data_second(struct sim_node *n, ts_t now);
/* What the data plane does with a data packet of a lane of its own; @from NULL: it came through relays.
 * False: it is not for it. */
bool sim_data_recv(struct sim_node *n, const struct ep *from, const struct ip *local, uint8_t *buf,
	size_t len);
/* Something was opened with @k: the session core is told the first time. Sessions may come and go. */
void sim_data_key_used(struct sim_node *n, struct sim_key *k);

#endif
