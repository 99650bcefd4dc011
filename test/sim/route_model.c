/* route_model.c - the conflict order, written down a second time and without any cleverness: claims
 * by rank, each wins unless one of another node that it overlaps with has won before it. */
#include "route_model.h"

#include <stdlib.h>
#include "sim_own.h"

/* Who claims a whole range comes last. */
static bool takes_range(const struct model_claim *c)
{
	struct gossip_prefix range;

	for (unsigned i = 0; i < SIM_RANGES; i++) {
		sim_own_range(i, &range);
		if (!c->p.exit && c->p.vni == range.vni && pfx_contains(&c->p.pfx, &range.pfx))
			return true;
	}
	return false;
}

static int rank(const void *x, const void *y)
{
	const struct model_claim *a = x, *b = y;
	uint64_t since_a = a->p.claimed_at_secs ? a->p.claimed_at_secs : UINT64_MAX;
	uint64_t since_b = b->p.claimed_at_secs ? b->p.claimed_at_secs : UINT64_MAX;
	int cmp;

	if (takes_range(a) != takes_range(b))
		return takes_range(a) ? 1 : -1;
	if (a->p.right != b->p.right)
		return a->p.right < b->p.right ? -1 : 1;
	if (since_a != since_b)
		return since_a < since_b ? -1 : 1;
	cmp = node_key_cmp(&a->node, &b->node);
	return cmp ? cmp : pfx_cmp(&a->p.pfx, &b->p.pfx);
}

static bool overlap(const struct model_claim *a, const struct model_claim *b)
{
	return a->p.vni == b->p.vni && pfx_overlaps(&a->p.pfx, &b->p.pfx);
}

static bool within(const struct model_claim *outer, const struct model_claim *inner)
{
	return outer->p.vni == inner->p.vni && pfx_contains(&outer->p.pfx, &inner->p.pfx);
}

/* Is it equal to or inside a prefix of our own? Local destinations win (DESIGN 4.1). */
static bool local(const struct model_claim *v, size_t n, const struct model_claim *c)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].self && within(&v[i], c) &&
			(!v[i].p.exit || (c->p.exit && within(c, &v[i]))))
			return true;
	return false;
}

static bool exit_wins(const struct model_claim *v, size_t n, size_t i)
{
	for (size_t j = 0; j < n; j++) {
		bool same = node_key_eq(&v[j].node, &v[i].node);

		/* Among equal exits the first that may. */
		if (v[j].p.exit && v[j].won && j < i && within(&v[j], &v[i]) &&
			within(&v[i], &v[j]))
			return false;
		if (v[j].p.exit || !within(&v[j], &v[i]))
			continue;
		if (same ? within(&v[i], &v[j]) : v[j].won)
			return false;
	}
	return true;
}

void route_model(struct model_claim *v, size_t n)
{
	qsort(v, n, sizeof(*v), rank);
	for (size_t i = 0; i < n; i++) {
		v[i].won = !v[i].p.exit;
		for (size_t j = 0; v[i].won && j < i; j++)
			if (v[j].won && overlap(&v[j], &v[i]) &&
				!node_key_eq(&v[j].node, &v[i].node))
				v[i].won = false;
	}
	for (size_t i = 0; i < n; i++)
		if (v[i].p.exit)
			v[i].won = exit_wins(v, n, i);
	for (size_t i = 0; i < n; i++)
		v[i].routed = v[i].won && !v[i].self && !local(v, n, &v[i]);
}
