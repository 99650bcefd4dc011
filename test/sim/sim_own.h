/* sim_own.h - a node's claims: the ownership core with the glue that router/svc/own.c is in the daemon.
 * Each node of a simulation with claims wants one block of a range that all share. */
#ifndef WEFT_SIM_OWN_H
#define WEFT_SIM_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/ts.h"
#include "gossip.h"
#include "owner.h"

struct sim_node;
struct sim_own;

#define SIM_CLAIMS       4    /* blocks that a node has in service, at most */
#define SIM_CLAIMS_BYTES 2048 /* on the disk */

#define SIM_RANGES 2
/* The @i-th of the cluster's ranges: that of prefixes by configuration, that of claims. */
void sim_own_range(unsigned i, struct gossip_prefix *out);

/* For a node that starts, @wall_secs by its clock; what its disk holds is taken back. NULL: no memory. */
struct sim_own *sim_own_new(struct sim_node *n, uint64_t wall_secs, ts_t now);
void sim_own_free(struct sim_own *o);
/* The wall clock, each housekeeping. */
void sim_own_wall(struct sim_own *o, uint64_t wall_secs, ts_t now);
void sim_own_conflict(struct sim_own *o, const struct gossip_act *a);
void sim_own_forgotten(struct sim_own *o, const struct gossip_act *a);
/* Nodes went up or down. */
void sim_own_changed(struct sim_own *o);
/* Look at what the mesh says, carry out what the core says. To be called at each turn's end; true: it
 * published, so gossip has something to say. */
bool sim_own_turn(struct sim_own *o, ts_t now);
ts_t sim_own_deadline(const struct sim_own *o);
/* The @i-th block in service; NULL past the end. */
const struct owner_prefix *sim_own_used(const struct sim_own *o, size_t i);

#endif
