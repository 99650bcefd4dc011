/* sim_keys.h - a node's table of keys, as the data plane has it: what the session core says of keys is
 * carried out, and told to the invariants. */
#ifndef WEFT_SIM_KEYS_H
#define WEFT_SIM_KEYS_H

#include <stdint.h>
#include "sim_node.h"

/* SESS_KEY_ADD, SESS_KEY_USE, SESS_KEY_DEL. Out of memory ends the simulation. */
void sim_keys_add(struct sim_node *n, const struct sess_act *a);
void sim_keys_use(struct sim_node *n, const struct sess_act *a);
void sim_keys_del(struct sim_node *n, const struct sess_act *a);
/* All of them and the table go, wiped. */
void sim_keys_free(struct sim_node *n);
/* The key with that local index, or NULL. */
struct sim_key *sim_keys_get(const struct sim_node *n, uint32_t index);

#endif
