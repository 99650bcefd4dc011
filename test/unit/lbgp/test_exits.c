/* What neighbours of gateways told, for the nodes of their cluster (docs/clusters.md). */
#include "world.h"

static void offer(struct world *w, const char *prefix, bool on, bool links)
{
	static const uint8_t path[] = {2, 1, 0, 0, 0xfd, 0xe7};
	struct bgp_attrs a = {.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH | BGP_HAS_LOCAL_PREF,
		.local_pref = 70,
		.as_path = {path, sizeof(path)}};
	struct pfx p = P(prefix);

	assert_int_equal(lbgp_offer(w->l, &p, on ? &a : NULL, links, w->s.now), 0);
	run(w);
}

static void nodes_hear(struct world *w, const struct bgp_policy_ops *ops)
{
	lbgp_nodes(w->l, &(struct bgp_policy){.ops = ops});
	lbgp_judge(w->l, w->s.now);
	run(w);
}

/* What neighbours told, for nodes: by their own policy, a default route too, never what is the cluster's. */
static void exits_to_nodes(void **state)
{
	struct pfx out = P("198.51.100.0/24"), all = P("0.0.0.0/0"), own = P("10.16.7.0/24");
	struct world w;

	(void)state;
	begin(&w);
	allow(&w, EAST, false, true);
	w.link[EAST].outside = true;
	offer(&w, "198.51.100.0/24", true, true);
	offer(&w, "0.0.0.0/0", true, false);
	offer(&w, "10.16.7.0/24", true, false);
	heard(&w, NODE, "198.51.100.0/24", NULL);
	nodes_hear(&w, &wipe_ops);
	heard(&w, NODE, "198.51.100.0/24", "64999");
	heard(&w, NODE, "0.0.0.0/0", "64999");
	heard(&w, NODE, "10.16.7.0/24", NULL);
	heard(&w, EAST, "198.51.100.0/24", "100 64999");
	heard(&w, EAST, "0.0.0.0/0", NULL);
	leads(&w, "198.51.100.0/24", -1, 0, EAST_BIT | LBGP_OURS);
	leads(&w, "0.0.0.0/0", -1, 0, LBGP_OURS);
	assert_true(seen(&w, &out)->offered && seen(&w, &out)->exit && seen(&w, &all)->exit);
	assert_false(seen(&w, &own)->offered);
	nodes_hear(&w, NULL);
	heard(&w, NODE, "198.51.100.0/24", NULL);
	leads(&w, "198.51.100.0/24", -1, 0, EAST_BIT);
	leads(&w, "0.0.0.0/0", -1, 0, 0);
	nodes_hear(&w, &wipe_ops);
	offer(&w, "198.51.100.0/24", false, true);
	heard(&w, NODE, "198.51.100.0/24", NULL);
	heard(&w, NODE, "0.0.0.0/0", "64999");
	end(&w);
}

/* Aggregates are for nodes alone, whatever policies say, and whoever else tells of them may use them. */
static void aggregates(void **state)
{
	struct pfx p = P("198.51.0.0/16");
	struct world w;

	(void)state;
	begin(&w);
	w.link[EAST].outside = true;
	allow(&w, EAST, false, true);
	assert_int_equal(lbgp_offer_aggregate(w.l, &p, true, w.s.now), 0);
	run(&w);
	heard(&w, NODE, "198.51.0.0/16", "");
	heard(&w, EAST, "198.51.0.0/16", NULL);
	leads(&w, "198.51.0.0/16", -1, 0, LBGP_OURS);
	w.gateway = true;
	round_of(&w);
	assert_int_equal(lbgp_sync(w.l, &w.c[MID], true, true, w.s.now), 0);
	speak(&w, NODE, &(struct say){"198.51.0.0/16", .exit = true});
	leads(&w, "198.51.0.0/16", -1, LBGP_OURS, LBGP_OURS);
	assert_int_equal(lbgp_offer_aggregate(w.l, &p, false, w.s.now), 0);
	run(&w);
	leads(&w, "198.51.0.0/16", NODE, LBGP_OURS, 0);
	assert_true(seen(&w, &p)->exit && !seen(&w, &p)->offered);
	end(&w);
}

/* Another gateway's exits: here too, wide as they may be, but to no other cluster; a link's word makes none. */
static void exits_of_gateways(void **state)
{
	static const char *const taken[] = {
		"198.51.100.0/24", "0.0.0.0/0", "192.0.0.0/8", "10.0.0.0/8"};
	struct pfx p = P("203.0.113.0/24");
	struct world w;

	(void)state;
	begin(&w);
	w.gateway = true;
	round_of(&w);
	assert_int_equal(lbgp_sync(w.l, &w.c[MID], true, true, w.s.now), 0);
	w.link[EAST].outside = true;
	allow(&w, EAST, true, true);
	for (size_t i = 0; i < COUNT(taken); i++) {
		struct pfx x = P(taken[i]);

		speak(&w, NODE, &(struct say){taken[i], {64999}, .exit = true});
		leads(&w, taken[i], NODE, LBGP_OURS, 0);
		assert_true(seen(&w, &x)->exit);
		heard(&w, EAST, taken[i], NULL);
	}
	speak(&w, NODE, &(struct say){"10.16.7.0/24", {64999}, .exit = true});
	leads(&w, "10.16.7.0/24", -1, 0, 0);
	speak(&w, NODE, &(struct say){"10.0.0.0/10", {64999}});
	leads(&w, "10.0.0.0/10", -1, 0, 0); /* holds our range and is no exit */
	speak(&w, EAST, &(struct say){"203.0.113.0/24", {64999}, .exit = true});
	leads(&w, "203.0.113.0/24", EAST, EAST_BIT, 0);
	assert_true(seen(&w, &p)->outside && !seen(&w, &p)->exit);
	speak(&w, EAST, &(struct say){"0.0.0.0/0", {64999}, .exit = true});
	assert_int_equal(w.link[EAST].refused[LBGP_DEFAULT], 1);
	end(&w);
}

/* Whoever doesn't hear that something isn't for him any more may not use it either. */
static void policy_while_away(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.link[EAST].outside = true;
	allow(&w, EAST, false, true);
	nodes_hear(&w, &wipe_ops);
	offer(&w, "198.51.100.0/24", true, true);
	leads(&w, "198.51.100.0/24", -1, 0, EAST_BIT | LBGP_OURS);
	net_break(&w.s, MID, EAST);
	net_break(&w.s, MID, NODE);
	w.link[EAST].outside = false;
	lbgp_nodes(w.l, &(struct bgp_policy){NULL, NULL});
	lbgp_judge(w.l, w.s.now);
	lbgp_flush(w.l);
	leads(&w, "198.51.100.0/24", -1, 0, 0);
	/* The words are back before they are. */
	w.link[EAST].outside = true;
	lbgp_nodes(w.l, &(struct bgp_policy){.ops = &wipe_ops});
	lbgp_judge(w.l, w.s.now);
	net_run(&w.s, 30);
	lbgp_flush(w.l);
	heard(&w, EAST, "198.51.100.0/24", "100 64999");
	leads(&w, "198.51.100.0/24", -1, 0, EAST_BIT | LBGP_OURS);
	/* A link that is gone leaves nothing to the next one with its bit. */
	lbgp_link_del(w.l, &w.link[EAST], w.s.now);
	run(&w);
	leads(&w, "198.51.100.0/24", -1, 0, LBGP_OURS);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exits_to_nodes),
		cmocka_unit_test(aggregates),
		cmocka_unit_test(exits_of_gateways),
		cmocka_unit_test(policy_while_away),
	};

	return cmocka_run_group_tests_name("lbgp/exits", tests, NULL, NULL);
}
