/* decide.c - which path is best.
 *
 * RFC 4271 9.1.2.2 breaks ties by taking candidates away, step by step, until one is left:
 *	   degree of preference (9.1.1; 5.1.5)                        local_pref
 *	a) not tied for the fewest AS numbers in the path             path_len
 *	b) not tied for the lowest origin                             origin
 *	c) less preferred MED among those of the same neighbour AS    med
 *	d) internal ones if there is an external one                  ebgp
 *	e) higher interior cost to the next hop                       igp_cost
 *	f) higher BGP identifier; ORIGINATOR_ID in its place (RFC 4456 9)
 *	   longer CLUSTER_LIST (RFC 4456 9)
 *	g) higher address of the peer
 *	   higher path identifier: one peer's paths (RFC 7911 leaves it open)
 * Ours: before all that, what we originate ourselves wins; the RFC leaves its degree of preference
 * to us. Candidates are unresolvable or looped ones no longer (9.1.2): the caller left them out.
 *
 * Elimination, not a chain of comparisons of two: by rule c, "better" between two paths is not
 * transitive, and only taking away from the whole set gives the same answer in any order. */
#include "decide.h"
#include <assert.h>

static uint64_t get_local(const struct decide_cand *c)
{
	return !c->local;
}

static uint64_t get_pref(const struct decide_cand *c)
{
	return UINT32_MAX - c->local_pref;
}

static uint64_t get_path_len(const struct decide_cand *c)
{
	return c->path_len;
}

static uint64_t get_origin(const struct decide_cand *c)
{
	return c->origin;
}

static uint64_t get_ebgp(const struct decide_cand *c)
{
	return !c->ebgp && !c->local;
}

static uint64_t get_cost(const struct decide_cand *c)
{
	return c->igp_cost;
}

static uint64_t get_id(const struct decide_cand *c)
{
	return c->router_id;
}

static uint64_t get_clusters(const struct decide_cand *c)
{
	return c->clusters;
}

static uint64_t get_path_id(const struct decide_cand *c)
{
	return c->path_id;
}

static size_t keep_lowest(
	struct decide_cand *c, size_t n, uint64_t (*get)(const struct decide_cand *))
{
	uint64_t lowest = UINT64_MAX;
	size_t left = 0;

	for (size_t i = 0; i < n; i++)
		if (!c[i].out && get(&c[i]) < lowest)
			lowest = get(&c[i]);
	for (size_t i = 0; i < n; i++) {
		c[i].out = c[i].out || get(&c[i]) != lowest;
		left += !c[i].out;
	}
	return left;
}

/* Step c: only among those of one neighbour AS. What was out by a lower MED stays a reason for
 * others of its AS to be out, so the comparison runs over those that entered the step; the lowest
 * of an AS is never taken away, so the outcome is the same. */
static size_t keep_med(struct decide_cand *c, size_t n)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n && !c[i].out; j++)
			if (!c[j].out && c[j].first_as == c[i].first_as && c[j].med < c[i].med)
				c[i].out = true;
		left += !c[i].out;
	}
	return left;
}

static size_t keep_addr(struct decide_cand *c, size_t n)
{
	const struct decide_cand *low = NULL;
	size_t left = 0;

	for (size_t i = 0; i < n; i++)
		if (!c[i].out && (!low || ip_cmp(&c[i].peer_addr, &low->peer_addr) < 0))
			low = &c[i];
	for (size_t i = 0; i < n; i++) {
		c[i].out = c[i].out || !ip_eq(&c[i].peer_addr, &low->peer_addr);
		left += !c[i].out;
	}
	return left;
}

static const struct {
	const char *name;
	uint64_t (*get)(const struct decide_cand *);
	size_t (*keep)(struct decide_cand *c, size_t n); /* instead of get */
} steps[DECIDE_STEPS] = {
	[DECIDE_ONLY] = {"only path", NULL, NULL},
	[DECIDE_LOCAL] = {"originated here", get_local, NULL},
	[DECIDE_LOCAL_PREF] = {"local preference", get_pref, NULL},
	[DECIDE_PATH_LEN] = {"AS path length", get_path_len, NULL},
	[DECIDE_ORIGIN] = {"origin", get_origin, NULL},
	[DECIDE_MED] = {"MED", NULL, keep_med},
	[DECIDE_EBGP] = {"external over internal", get_ebgp, NULL},
	[DECIDE_IGP_COST] = {"cost to next hop", get_cost, NULL},
	[DECIDE_ROUTER_ID] = {"router id", get_id, NULL},
	[DECIDE_CLUSTERS] = {"cluster list length", get_clusters, NULL},
	[DECIDE_PEER_ADDR] = {"peer address", NULL, keep_addr},
	[DECIDE_PATH_ID] = {"path identifier", get_path_id, NULL},
};

size_t decide_best(struct decide_cand *c, size_t n, enum decide_step *step)
{
	size_t left = n, i = 0;

	assert(n >= 1);
	for (i = 0; i < n; i++) {
		c[i].out = false;
		c[i].equal = true;
	}
	*step = DECIDE_ONLY;
	while (left > 1 && *step + 1 < DECIDE_STEPS) {
		++*step;
		left = steps[*step].keep ? steps[*step].keep(c, n)
					 : keep_lowest(c, n, steps[*step].get);
		if (*step <= DECIDE_IGP_COST)
			for (i = 0; i < n; i++)
				c[i].equal = !c[i].out;
	}
	for (i = 0; c[i].out; i++)
		assert(i + 1 < n);
	return i;
}

const char *decide_step_str(enum decide_step step)
{
	return step < DECIDE_STEPS ? steps[step].name : "?";
}
