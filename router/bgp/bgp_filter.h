/* bgp_filter.h - prefix lists as a policy of the core: all, nothing, or what a list takes, and never
 * what is inside the guarded prefixes (a neighbour does not get to speak for our own ranges). */
#ifndef WEFT_BGP_FILTER_H
#define WEFT_BGP_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include "bgp.h"

/* Prefixes inside @pfx with a length of @ge to @le. */
struct bgp_filter_match {
	struct pfx pfx;
	uint8_t ge, le;
};

/* The arrays are borrowed for as long as the filter is used. */
struct bgp_filter {
	bool all; /* the list does not count */
	const struct bgp_filter_match *list;
	size_t n;
	const struct pfx *guard; /* rejected whatever else is said */
	size_t nguard;
};

/* Policy with a struct bgp_filter as ctx. */
extern const struct bgp_policy_ops bgp_filter_ops;
/* The same, asked directly. */
bool bgp_filter_takes(const struct bgp_filter *f, const struct pfx *p);

#endif
