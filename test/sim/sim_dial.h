/* sim_dial.h - whom a node calls, as router/svc/dial.c decides it: the seed that the operator named,
 * and the addresses of nodes that gossip knows. Times are the node's. */
#ifndef WEFT_SIM_DIAL_H
#define WEFT_SIM_DIAL_H

#include <stddef.h>
#include "sim_node.h"

void sim_dial_start(struct sim_node *n, ts_t now);
void sim_dial_node(
	struct sim_node *n, const struct node_key *key, const struct ep *eps, size_t neps);
void sim_dial_failed(struct sim_node *n, const struct ep *to, const struct node_key *key);
void sim_dial_self(struct sim_node *n, const struct ep *ep);
void sim_dial_tick(struct sim_node *n, ts_t now);
ts_t sim_dial_deadline(const struct sim_node *n);

#endif
