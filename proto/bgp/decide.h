/* decide.h - the decision process of RFC 4271 9.1 over candidates for one prefix. Pure. */
#ifndef WEFT_DECIDE_H
#define WEFT_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"

struct decide_cand {
	bool local; /* originated here */
	bool ebgp;
	uint8_t origin;
	uint8_t clusters; /* in CLUSTER_LIST */
	bool out;         /* set by decide_best: eliminated */
	bool equal;       /* set by it: as good as the best up to igp_cost */
	uint32_t local_pref, path_len, first_as, med, igp_cost;
	uint32_t path_id;
	uint32_t router_id; /* ORIGINATOR_ID if present, else the peer's identifier */
	struct ip peer_addr;
};

enum decide_step {
	DECIDE_ONLY, /* no other candidate */
	DECIDE_LOCAL,
	DECIDE_LOCAL_PREF,
	DECIDE_PATH_LEN,
	DECIDE_ORIGIN,
	DECIDE_MED,
	DECIDE_EBGP,
	DECIDE_IGP_COST,
	DECIDE_ROUTER_ID,
	DECIDE_CLUSTERS,
	DECIDE_PEER_ADDR,
	DECIDE_PATH_ID,
	DECIDE_STEPS,
};

/* Index of the best of @n >= 1 candidates; *@step gets the step after which it stood alone. Doesn't
 * depend on their order, but for candidates that are equal in all: then the first. */
size_t decide_best(struct decide_cand *c, size_t n, enum decide_step *step);
const char *decide_step_str(enum decide_step step);

#endif
