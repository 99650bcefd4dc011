/* sim_data.h - data packets between simulated nodes, sealed and opened as workers do it (DESIGN 5.1). */
#ifndef WEFT_SIM_DATA_H
#define WEFT_SIM_DATA_H

#include "sim_node.h"

#define SIM_DATA_BODY 64
#define SIM_DATA_LEN  (WIRE_DATA_HDR + WIRE_SHIM + SIM_DATA_BODY + WIRE_TAG) /* bytes */

struct sim_data {
	uint32_t index; /* the receiver's */
	uint64_t counter;
	bool side; /* from a worker's own source port */
};

/* A packet of lane 1 under @k, whose counter goes up. */
void sim_data_seal(struct sim_key *k, bool side, uint8_t out[SIM_DATA_LEN]);
/* False: no data packet of lane 1. */
bool sim_data_parse(const uint8_t *buf, size_t len, struct sim_data *out);
/* Opens what was parsed in place. False: forged, or seen before. */
bool sim_data_open(struct sim_key *k, const struct sim_data *d, uint8_t *buf, size_t len);

#endif
