/* sim_ways.c - see sim_ways.h. A way through others costs a look at every node, so the first one that
 * has been good for long is enough. */
#include "sim_ways.h"

#include "sim.h"
#include "sim_net.h"
#include "sim_node.h"

#define JOIN_GRACE DUR_SEC(20) /* who has just found one of the others has yet to find all */
#define LONG       DUR_SEC(25) /* longer than anything that is asked about a way */

static ts_t later(ts_t a, ts_t b)
{
	return ts_before(a, b) ? b : a;
}

bool sim_way_well(const struct sim_node *n)
{
	return n->running && ts_due(n->stalled_until, n->s->now) &&
	       ts_due(n->deaf_until, n->s->now) && n->met.ns;
}

bool sim_way_awake(const struct sim_node *n)
{
	return sim_way_well(n) && ts_due(ts_add(n->met, JOIN_GRACE), n->s->now);
}

/* Whom a cut parts from all that it met before it could meet others has met nobody: on its side no one
 * needs to have heard of it. */
void sim_way_parted(struct sim_node *n)
{
	bool any = false;

	for (uint32_t i = 1; i < n->nslots; i++)
		any |= n->slots[i].up;
	if (!any && !ts_due(ts_add(n->met, JOIN_GRACE), n->s->now))
		n->met = TS_ZERO;
}

static bool relays(const struct sim_node *n)
{
	return sim_way_awake(n) && !n->no_relay && !n->swallows;
}

ts_t sim_way_since(const struct sim *s, unsigned a, unsigned b)
{
	ts_t best = sim_net_open_since(s->net, a, b);

	for (unsigned r = 0; r < s->cfg.nodes; r++) {
		ts_t t;

		if (ts_due(ts_add(best, LONG), s->now))
			break;
		if (r == a || r == b || !relays(s->nodes[r]))
			continue;
		t = later(sim_net_open_since(s->net, a, r), sim_net_open_since(s->net, r, b));
		t = later(t, ts_add(s->nodes[r]->met, JOIN_GRACE));
		if (ts_before(t, best))
			best = t;
	}
	return best;
}

static const struct sim_node *of_label(const struct sim *s, uint64_t label)
{
	for (unsigned i = 0; i < s->cfg.nodes; i++)
		if (s->nodes[i]->running && sim_label(&s->nodes[i]->id.pub) == label)
			return s->nodes[i];
	return NULL;
}

ts_t sim_way_calm_since(const struct sim_node *n, const struct sim_slot *p)
{
	const struct sim_node *at = n, *next = sim_node_of(n->s, &p->way.first);
	ts_t t = p->way_since;

	if (p->way.n == 0)
		return t;
	for (unsigned i = 0; i <= p->way.n; i++) {
		if (!next)
			return n->s->now;
		t = later(t, sim_net_calm_since(n->s->net, at->index, next->index));
		at = next;
		next = i < p->way.n ? of_label(n->s, p->way.label[i]) : NULL;
	}
	return t;
}
