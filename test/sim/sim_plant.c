/* sim_plant.c - planted bugs. In: the time, a node's tables. Out: whether, and wrong entries in them. */
#include "sim_plant.h"

#include "sim_node.h"
#include "sim_route.h"

#define PLANT_AFTER DUR_SEC(20) /* a planted bug shows from then on */
#define BAD_NODE    1
#define RELAY_NODE  2
#define TURN_NS     UINT64_C(8000000000) /* shorter than a direct pair may differ */

bool sim_planted(const struct sim_node *n, enum sim_plant what)
{
	return n->s->cfg.plant == what && n->index == BAD_NODE &&
	       n->s->now.ns > (uint64_t)PLANT_AFTER.ns;
}

bool sim_planted_late(const struct sim_node *n, enum sim_plant what)
{
	const struct sim *s = n->s;

	return sim_planted(n, what) &&
	       (!s->quiet.ns || ts_before(s->now, ts_add(s->quiet, PLANT_QUIET)));
}

/* Let @n route what is @o's to the first node, or as it should. */
static void give_away(struct sim_node *n, const struct sim_node *o, bool away)
{
	struct gossip_node_info i;

	if (gossip_node_get(n->gossip, &o->id.pub, &i) != 0 || !sim_node_counts(&i))
		return;
	for (size_t k = 0; k < i.nprefixes; k++) {
		uint32_t right = route_name(n->s->routes, &i.key, &i.prefixes[k]);
		uint32_t wrong = route_name(n->s->routes, &n->s->nodes[0]->id.pub, &i.prefixes[k]);

		(void)route_set_del(&n->routes, away ? right : wrong);
		(void)route_set_add(&n->routes, away ? wrong : right);
	}
}

void sim_plant_second(struct sim_node *n)
{
	const struct sim *s = n->s;
	bool turn = s->now.ns / TURN_NS % 2;

	if (s->cfg.plant != PLANT_OWNERS_TURN || !sim_planted(s->nodes[BAD_NODE], s->cfg.plant))
		return;
	for (unsigned i = RELAY_NODE + 1; i < s->cfg.nodes; i++)
		if (s->nodes[i]->running && (n->index == BAD_NODE || n->index == RELAY_NODE))
			give_away(n, s->nodes[i], n->index == BAD_NODE || turn);
}
