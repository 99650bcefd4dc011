/* peers_paper.h - nodes that are there on paper: others hold their records, and they answer what keeps
 * them alive in others' eyes, but have no cores. For weft-sim-peers, so that 5,000 nodes fit.
 *
 * Whoever the daemon speaks to becomes whole at once and for good: it starts as after a crash, with the
 * identity that it has on paper, and joins through host 0, which is whole from the start. So all that the
 * daemon ever hears comes from the cores themselves; what is left out is what those nodes that it never
 * spoke to would say to each other. */
#ifndef WEFT_PEERS_PAPER_H
#define WEFT_PEERS_PAPER_H

#include "sim.h"

struct paper;

/* Every node but the first is there on paper from now on, the first runs and has their records. Takes
 * some virtual time. NULL: no memory. */
struct paper *paper_new(struct sim *s);
void paper_free(struct paper *p);

#endif
