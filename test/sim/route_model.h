/* route_model.h - which prefixes a node should route where, as DESIGN 7.5 says it, the slow way. */
#ifndef WEFT_ROUTE_MODEL_H
#define WEFT_ROUTE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include "gossip.h"

struct model_claim {
	struct gossip_prefix p;
	struct node_key node;
	bool self;
	bool won, routed; /* the answer */
};

/* Judge @n claims of everybody that counts, ourselves included. Sorts them. */
void route_model(struct model_claim *v, size_t n);

#endif
