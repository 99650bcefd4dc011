/* sim_route.h - the nodes' routing tables as sets of small numbers, so that a thousand of them fit.
 *
 * Every (owner, VNI, prefix, exit) that any node ever routed or owned gets a number in one registry
 * of the simulation; a node's table is one bit per number, and a sum by which two tables are
 * compared at a glance. */
#ifndef WEFT_SIM_ROUTE_H
#define WEFT_SIM_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gossip.h"

struct route_names;

struct sim_route {
	struct node_key node;
	struct gossip_prefix p; /* right and claimed_at_secs as of when it was first heard of */
};

struct route_set {
	uint64_t *bits;
	size_t words;
	size_t count;
	uint64_t sum;
};

struct route_names *route_names_new(void); /* NULL: no memory */
void route_names_free(struct route_names *r);
/* The number of a route; it is given one if it had none. */
uint32_t route_name(
	struct route_names *r, const struct node_key *node, const struct gossip_prefix *p);
const struct sim_route *route_named(const struct route_names *r, uint32_t number);

/* False: it was there already; it wasn't there. A zeroed set is empty. */
bool route_set_add(struct route_set *s, uint32_t number);
bool route_set_del(struct route_set *s, uint32_t number);
bool route_set_has(const struct route_set *s, uint32_t number);
/* Walk: *@it = 0 first; false at the end. */
bool route_set_next(const struct route_set *s, uint32_t *it, uint32_t *number);
/* The same for what is in @a and not in @b. */
bool route_set_next_but(
	const struct route_set *a, const struct route_set *b, uint32_t *it, uint32_t *number);
void route_set_copy(struct route_set *to, const struct route_set *from);
void route_set_clear(struct route_set *s); /* and give its memory back */

#endif
