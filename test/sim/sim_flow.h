/* sim_flow.h - data that must get through: each node calls another one for a while, once a second, and
 * that one answers. What is asked of a mesh in the end is that these come back (reachable of
 * invariants.h). There are none without sim_cfg.data, or without the path core. */
#ifndef WEFT_SIM_FLOW_H
#define WEFT_SIM_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/ts.h"

struct sim;
struct sim_node;
struct sim_slot;

/* Simulation time all. */
struct sim_flow {
	unsigned to;
	ts_t until; /* another partner then; zero: none yet */
	ts_t begun;
	ts_t called;   /* the first call that has had no answer; zero: all have */
	ts_t hindered; /* it was last known that no answer could come in time */
	uint64_t sent, back;
	dur_t worst[2]; /* longest silence that was nobody's fault but ours: directly, by others */
};

/* Once a second: call, asking for a session if there is none. */
void sim_flow_second(struct sim_node *n);
/* A data packet with @body came from the node of @p. */
void sim_flow_data(struct sim_node *n, struct sim_slot *p, const uint8_t *body);
void sim_flows_check(struct sim *s);   /* look at all of them; once a second */
void sim_flows_forgive(struct sim *s); /* what was wrong until now counts no more */

#endif
