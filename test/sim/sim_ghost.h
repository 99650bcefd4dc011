/* sim_ghost.h - members of whom only the outside is there: they have a key, an address, signed records
 * and plain sessions, answer whoever probes them, agree with everything and know nothing.
 *
 * What a node keeps of all others bounds how many whole ones fit into memory. What a node sends in a
 * large cluster can be counted all the same: some whole nodes, for which the others are ghosts. Ghosts
 * tell nothing on, so whole nodes join among themselves first; then the first ghost calls each and
 * hands it the records of all. */
#ifndef WEFT_SIM_GHOST_H
#define WEFT_SIM_GHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"

struct sim;
struct sim_ghosts;

/* Their hosts follow those of the nodes. Returns owned; NULL: no memory. */
struct sim_ghosts *sim_ghosts_new(struct sim *s, unsigned count);
void sim_ghosts_free(struct sim_ghosts *g); /* NULL is fine */
/* Tell every node of all ghosts, from now on. */
void sim_ghosts_introduce(struct sim_ghosts *g);
/* Do all nodes hold all nodes and ghosts for alive? */
bool sim_ghosts_known(const struct sim_ghosts *g);
/* The underlay delivers to @host; borrows @buf. */
void sim_ghost_datagram(struct sim_ghosts *g, unsigned host, const struct ep *from,
	const struct ip *local, uint8_t *buf, size_t len);

#endif
