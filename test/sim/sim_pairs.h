/* sim_pairs.h - what must hold between two nodes that can talk to each other, looked at once per
 * second: key-match, owners, claims and routable of invariants.h. */
#ifndef WEFT_SIM_PAIRS_H
#define WEFT_SIM_PAIRS_H

#include <stdbool.h>

struct sim;
struct pairs;

struct pairs *pairs_new(struct sim *s); /* NULL: no memory */
void pairs_free(struct pairs *p);
void pairs_forgive(struct pairs *p); /* what was wrong until now counts no more */
void pairs_second(struct pairs *p);

/* The longest that each was wrong, in seconds: what the bounds are held against. */
struct pairs_worst {
	unsigned owners[2], claims[2], unroutable[2]; /* directly, by others */
};
const struct pairs_worst *pairs_worst(const struct pairs *p);

#endif
