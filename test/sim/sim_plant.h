/* sim_plant.h - whether a bug of enum sim_plant shows; what the bugs do that have no place in the code
 * which they stand for a fault of. */
#ifndef WEFT_SIM_PLANT_H
#define WEFT_SIM_PLANT_H

#include <stdbool.h>
#include "sim.h"

struct sim_node;

/* Is the bug planted here and now? Node 1 is the one that has it. */
bool sim_planted(const struct sim_node *n, enum sim_plant what);
/* The same, of bugs that show until quiet has lasted for PLANT_QUIET. */
bool sim_planted_late(const struct sim_node *n, enum sim_plant what);
/* Each second of a node's own. */
void sim_plant_second(struct sim_node *n);

#endif
