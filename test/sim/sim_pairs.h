/* sim_pairs.h - what must hold between two nodes that can talk to each other, looked at once per
 * second: key-match, owners and routable of invariants.h. */
#ifndef WEFT_SIM_PAIRS_H
#define WEFT_SIM_PAIRS_H

#include <stdbool.h>

struct sim;
struct pairs;

struct pairs *pairs_new(struct sim *s); /* NULL: no memory */
void pairs_free(struct pairs *p);
void pairs_forgive(struct pairs *p); /* what was wrong until now counts no more */
/* @quiet: no faults are under way; else what is found by way of others may take them longer. */
void pairs_second(struct pairs *p, bool quiet);

#endif
