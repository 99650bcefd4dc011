/* The overlay at work: links to neighbours only, news along them, halves that grew apart, sessions on
 * demand, and what becomes of nodes that are gone for long. */
#include "meshnet.h"

static unsigned links_of(unsigned i)
{
	unsigned n = 0;

	for (unsigned j = 0; j < sim.count; j++)
		n += sim.link[i][j];
	return n;
}

/* Does everybody that runs know that node @who publishes @p in place of its first prefix? */
static unsigned knowing(unsigned who, const struct gossip_prefix *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sim.count; i++)
		n += sim.n[i].running && i != who && has_route(&sim.n[i], &sim.n[who], &p->pfx);
	return n;
}

/* Links to neighbours only: all join through one, know each other, hold few links, say little; a
 * change is soon everywhere. */
static void test_overlay(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct gossip_prefix changed = prefix("10.201.0.0/16", RIGHT_CONFIG);
		unsigned few = 0;
		uint64_t before;

		sim_init(NODES_MAX, seed);
		sim.overlay = true;
		sim.loss_pct = seed == 1 ? 0 : 5;
		start_all();
		for (unsigned i = 1; i < sim.count; i++)
			join(i, 0);
		settle(30);
		run(DUR_SEC(60));
		check(converged());
		for (unsigned i = 0; i < sim.count; i++) {
			check(links_of(i) <= 2 * MEMBER_RINGS);
			few += links_of(i) < sim.count - 1;
		}
		check(few == sim.count);
		before = sim.bytes;
		run(DUR_SEC(30));
		check((sim.bytes - before) / 30 / sim.count < 3000);
		sim.n[7].prefixes[0] = changed;
		check(gossip_set_prefixes(sim.n[7].g, sim.n[7].prefixes, 2, sim.now) == 0);
		pump(7);
		for (int i = 0; i < 50 && knowing(7, &changed) < sim.count - 1; i++)
			run(DUR_MS(100));
		check(knowing(7, &changed) == sim.count - 1);
		sim_fini();
	}
}

/* Does node @i know that @who publishes @p, routed to or not? */
static bool shows_prefix(unsigned i, unsigned who, const struct pfx *p)
{
	struct gossip_node_info info;
	bool there = false;

	if (gossip_node_get(sim.n[i].g, &sim.n[who].id.pub, &info) != 0)
		return false;
	for (size_t k = 0; k < info.nprefixes; k++)
		there |= pfx_eq(&info.prefixes[k].pfx, p);
	return there;
}

/* A change that is on its way reaches who becomes a neighbour meanwhile, though the sums don't tell of it yet:
 * node 2 is linked with 1 alone, half a second after 0 said something. */
static void test_new_neighbour(void **state)
{
	struct gossip_prefix changed = prefix("10.201.0.0/16", RIGHT_CONFIG);

	for (uint64_t seed = 1; seed <= 5; seed++) {
		sim_init(3, seed);
		start_all();
		join(1, 0);
		join(2, 0);
		settle(10);
		run(DUR_SEC(20));
		sim.group[0] = 1;
		sim.group[2] = 2;
		set_link(0, 2, false);
		set_link(1, 2, false);
		sim.n[0].prefixes[0] = changed;
		check(gossip_set_prefixes(sim.n[0].g, sim.n[0].prefixes, 2, sim.now) == 0);
		pump(0);
		run(DUR_MS(500));
		check(has_route(&sim.n[1], &sim.n[0], &changed.pfx));
		sim.group[2] = 0;
		join(2, 1);
		run(DUR_MS(1000));
		check(shows_prefix(2, 0, &changed.pfx));
		sim_fini();
	}
}

/* Two halves that lived apart, each with its changes and one death: they find together by
 * themselves. */
static void test_overlay_heals(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		sim_init(20, seed);
		sim.overlay = true;
		start_all();
		for (unsigned i = 1; i < sim.count; i++)
			join(i, 0);
		settle(30);
		for (unsigned i = 0; i < sim.count; i++)
			sim.group[i] = i & 1;
		for (unsigned i = 0; i < sim.count; i++)
			for (unsigned j = 0; j < i; j++)
				if (sim.group[i] != sim.group[j])
					set_link(i, j, false);
		run(DUR_SEC(60));
		for (unsigned i = 0; i < sim.count; i++)
			check(sim.n[i].nup == sim.count / 2 - 1);
		for (unsigned i = 2; i < 12; i++) {
			char text[32];

			snprintf(text, sizeof(text), "10.20%u.0.0/16", i % 10);
			sim.n[i].prefixes[1] = prefix(text, RIGHT_CONFIG);
			check(gossip_set_prefixes(sim.n[i].g, sim.n[i].prefixes, 2, sim.now) == 0);
			pump(i);
		}
		crash(13);
		run(DUR_SEC(20));
		memset(sim.group, 0, sizeof(sim.group));
		settle(90);
		sim_fini();
	}
}

/* A demand makes a link to whom no neighbour is, and it is released. */
static void test_demand(void **state)
{
	struct node_key nobody = {{9}};
	unsigned j = 1;

	sim_init(NODES_MAX, 21);
	sim.overlay = true;
	start_all();
	for (unsigned i = 1; i < sim.count; i++)
		join(i, 0);
	settle(30);
	run(DUR_SEC(60));
	while (j < sim.count && sim.link[0][j])
		j++;
	check(j < sim.count);
	sim.n[0].releases = 0;
	check(gossip_demand(sim.n[0].g, &sim.n[j].id.pub, sim.now) == 0);
	check(gossip_demand(sim.n[0].g, &sim.n[0].id.pub, sim.now) == ERR_REFUSED);
	check(gossip_demand(sim.n[0].g, &nobody, sim.now) == ERR_NOT_FOUND);
	sim.n[0].dials = 0;
	pump(0);
	run(DUR_MS(400));
	check(sim.n[0].dials == 1 && sim.n[0].releases == 1);
	sim_fini();
}

static bool knows(unsigned i, unsigned j)
{
	struct gossip_node_info info;

	return gossip_node_get(sim.n[i].g, &sim.n[j].id.pub, &info) == 0;
}

/* Gone for two days: the records go too, and who was away doesn't bring them back; who was away and
 * lives does come back. Node 6 is cut off with 7, which dies there. */
static void test_expiry(void **state)
{
	sim_init(8, 22);
	start_all();
	for (unsigned i = 1; i < 8; i++)
		join(i, 0);
	settle(10);
	sim.group[6] = sim.group[7] = 1;
	for (unsigned i = 0; i < 6; i++) {
		set_link(i, 6, false);
		set_link(i, 7, false);
	}
	run(DUR_SEC(3600));
	crash(7);
	run(DUR_SEC(46 * 3600));
	for (unsigned i = 0; i < 6; i++)
		check(knows(i, 6) && knows(i, 7));
	run(DUR_SEC(3600 + 1800));
	for (unsigned i = 0; i < 6; i++)
		check(!knows(i, 6) && !knows(i, 7));
	check(knows(6, 0) && knows(6, 7)); /* who is cut off drops nobody */
	memset(sim.group, 0, sizeof(sim.group));
	join(6, 0);
	settle(60);
	run(DUR_SEC(120));
	for (unsigned i = 0; i < 7; i++) {
		check(!knows(i, 7));
		check(has_route(&sim.n[(i + 1) % 7], &sim.n[i], &sim.n[i].prefixes[0].pfx));
	}
	start(7);
	join(7, 3);
	settle(30);
	sim_fini();
}

static bool up_and_routed(unsigned i, unsigned who, bool up, bool routed)
{
	struct gossip_node_info info;

	return gossip_node_get(sim.n[i].g, &sim.n[who].id.pub, &info) == 0 && info.up == up &&
	       info.away == (!up && routed) &&
	       has_route(&sim.n[i], &sim.n[who], &sim.n[who].prefixes[0].pfx) == routed;
}

/* All that run but @who itself. */
static bool all_see(unsigned who, bool up, bool routed)
{
	for (unsigned i = 0; i < sim.count; i++)
		if (i != who && sim.n[i].running && !up_and_routed(i, who, up, routed))
			return false;
	return true;
}

static void stop_in_good_order(unsigned i)
{
	gossip_pause(sim.n[i].g, sim.now);
	pump(i);
	run(DUR_MS(500));
	crash(i);
}

/* Whoever stops is known to be down at once; its routes stand while a restart may take, and no longer. Who
 * was not there hears that it is dead. */
static void test_restart(void **state)
{
	sim_init(12, 31);
	sim.overlay = true;
	start_all();
	for (unsigned i = 1; i < sim.count; i++)
		join(i, 0);
	settle(30);
	run(DUR_SEC(30));
	/* It is back after 6 s: no route was touched. */
	stop_in_good_order(3);
	check(all_see(3, false, true));
	for (int t = 0; t < 60; t++) {
		run(DUR_MS(100));
		check(all_see(3, false, true));
	}
	start(3);
	join(3, 1);
	for (int t = 0; t < 50 && !all_see(3, true, true); t++) {
		for (unsigned i = 0; i < sim.count; i++)
			check(i == 3 || has_route(&sim.n[i], &sim.n[3], &sim.n[3].prefixes[0].pfx));
		run(DUR_MS(100));
	}
	check(all_see(3, true, true));
	settle(30);
	/* It does not come back; 11 was away when it stopped. */
	crash(11);
	run(DUR_SEC(30));
	stop_in_good_order(3);
	run(DUR_SEC(9));
	check(all_see(3, false, true));
	run(DUR_SEC(1));
	check(all_see(3, false, false));
	start(11);
	join(11, 0);
	run(DUR_SEC(60));
	check(all_see(3, false, false));
	start(3);
	join(3, 0);
	settle(30);
	sim_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlay),
		cmocka_unit_test(test_new_neighbour),
		cmocka_unit_test(test_overlay_heals),
		cmocka_unit_test(test_demand),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_expiry),
	};

	if (sodium_init() < 0)
		return 1;
	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
