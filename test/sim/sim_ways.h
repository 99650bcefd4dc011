/* sim_ways.h - what the underlay and the nodes allow, as the simulation knows it and no node does: who
 * can reach whom, directly or through others; and what becomes of a way that is in use. */
#ifndef WEFT_SIM_WAYS_H
#define WEFT_SIM_WAYS_H

#include <stdbool.h>
#include "weft/ts.h"

struct sim;
struct sim_node;
struct sim_slot;

/* Does it run, hear, speak, and has it met anybody yet? */
bool sim_way_well(const struct sim_node *n);
/* Does it run, is it not stalled, and has it had time to find the others? Who knows nobody yet, and
 * whose seed is cut off, can't. */
bool sim_way_awake(const struct sim_node *n);
/* A session of @n ended. */
void sim_way_parted(struct sim_node *n);
/* Since when has there been a way between two hosts, directly or through one node that relays? Now: there
 * is none. Unlike sim_net_calm_since() one of two hosts may stand behind a translator or firewall. */
ts_t sim_way_since(const struct sim *s, unsigned a, unsigned b);
/* Since when has nothing but the links' own faults hit the way that @n uses to @p? */
ts_t sim_way_calm_since(const struct sim_node *n, const struct sim_slot *p);

#endif
