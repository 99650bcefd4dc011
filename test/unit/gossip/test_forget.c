/* Nodes that were forgotten by a person's word: it spreads, ends what is waited for, and does nothing
 * to who lives. */
#include "meshnet.h"

static bool shows(unsigned i, unsigned j)
{
	struct gossip_node_info info;

	return gossip_node_get(sim.n[i].g, &sim.n[j].id.pub, &info) == 0;
}

static unsigned showing(unsigned j)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sim.count; i++)
		n += sim.n[i].running && i != j && shows(i, j);
	return n;
}

static void mesh(unsigned count, uint64_t seed)
{
	sim_init(count, seed);
	sim.overlay = true;
	sim.loss_pct = 2;
	start_all();
	for (unsigned i = 1; i < sim.count; i++)
		join(i, 0);
	settle(30);
	run(DUR_SEC(10));
}

static void cut_off(unsigned i, bool off)
{
	sim.group[i] = off;
	for (unsigned j = 0; off && j < sim.count; j++)
		if (j != i)
			set_link(i, j, false);
}

static void forget(unsigned where, unsigned whom, uint64_t at_secs)
{
	check(gossip_forget(sim.n[where].g, sim.n[whom].name, at_secs, sim.now) == 0);
	pump(where);
}

/* One that died: all forget it, so does who comes later; and it may come back. */
static void test_spreads(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		mesh(12, seed);
		crash(7);
		run(DUR_SEC(30));
		check(showing(7) == 11);
		forget(3, 7, 1000);
		run(DUR_SEC(5));
		check(showing(7) == 0);
		for (unsigned i = 0; i < sim.count; i++)
			check(!sim.n[i].running || sim.n[i].forgotten == 1);
		crash(5);
		run(DUR_SEC(30));
		start(5);
		join(5, 0);
		run(DUR_SEC(30));
		check(!shows(5, 7)); /* and so does the record of its death that came with it */
		/* Who said it restarts, and who never heard it comes. */
		crash(3);
		run(DUR_SEC(30));
		start(3);
		join(3, 1);
		settle(30);
		crash(5);
		run(DUR_SEC(30));
		start(5);
		join(5, 1);
		run(DUR_SEC(30));
		check(showing(7) == 0);
		start(7);
		join(7, 2);
		settle(30);
		check(showing(7) == 11);
		/* What was said of its earlier life ends nothing when it dies again. */
		crash(7);
		run(DUR_SEC(30));
		check(showing(7) == 11);
		sim_fini();
	}
}

/* One that lived elsewhere all the time: it is told, says something newer, and is known again. What
 * it claimed before that counts anew, by its driver; what it claimed later, or did not claim, not. */
static void test_lives(void **state)
{
	struct members_stats before[10], after;

	for (uint64_t seed = 1; seed <= 3; seed++) {
		mesh(10, seed);
		for (unsigned i = 4; i < 7; i++) {
			sim.n[i].prefixes[0].right = i == 6 ? RIGHT_CONFIG : RIGHT_CLAIM;
			sim.n[i].prefixes[0].claimed_at_secs = i == 4 ? 900 : 1100;
			check(gossip_set_prefixes(sim.n[i].g, sim.n[i].prefixes, 2, sim.now) == 0);
			pump(i);
		}
		run(DUR_SEC(10));
		for (unsigned i = 4; i < 7; i++)
			cut_off(i, true);
		run(DUR_SEC(40));
		for (unsigned i = 4; i < 7; i++)
			forget(3, i, 1000);
		run(DUR_SEC(10));
		check(showing(5) <= 2); /* those that are cut off with it, at most */
		for (unsigned i = 4; i < 7; i++) {
			cut_off(i, false);
			join(i, 1);
		}
		settle(60);
		check(showing(4) == 9 && showing(5) == 9 && showing(6) == 9);
		/* And it is a member like any other: its probes are answered, and it answers. */
		for (unsigned i = 0; i < sim.count; i++)
			gossip_member_stats(sim.n[i].g, &before[i]);
		run(DUR_SEC(60));
		for (unsigned i = 0; i < sim.count; i++) {
			gossip_member_stats(sim.n[i].g, &after);
			check(after.own_suspicions == before[i].own_suspicions);
			check(sim.n[i].nup == 9);
		}
		check(sim.n[4].self_at == 1000 && sim.n[5].self_at == 0 && sim.n[6].self_at == 0);
		sim_fini();
	}
}

/* Forgotten before its death was known: all forget it when they know. Then it comes back from a disk that is
 * as old as its last start, and says word for word what it said before. Who forgot it lets it know. */
static void test_early(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		mesh(6, seed);
		crash(4);
		for (unsigned j = 0; j < sim.count; j++)
			set_link(4, j, false);
		check(showing(4) == 5);
		forget(3, 4, 1000);
		check(!shows(3, 4));
		run(DUR_SEC(60));
		check(showing(4) == 0);
		sim.n[4].disk_epoch--;
		start(4);
		join(4, 3);
		settle(60);
		check(showing(4) == 5);
		sim_fini();
	}
}

/* Forgotten by mistake by who has no link with it: it says that it lives, and is back at once. */
static void test_mistake(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		unsigned j = 4;

		mesh(24, seed);
		run(DUR_SEC(60));
		while (j < sim.count && sim.link[3][j])
			j++;
		check(j < sim.count);
		forget(3, j, 1000);
		check(!shows(3, j));
		for (int t = 0; t < 50 && !shows(3, j); t++) {
			run(DUR_MS(100));
			check(showing(j) >= 22);
		}
		settle(1);
		sim_fini();
	}
}

/* A liar says that everybody is to be forgotten, in every version: nobody who is known for a minute and
 * lives is. */
static void test_lie(void **state)
{
	struct record_forget lies[RECORD_FORGETS_MAX];
	struct record r = {.type = RECORD_FORGET, .epoch = 50, .cluster = {{0}}};
	uint8_t body[RECORD_BODY_MAX], msg[1 + LIM_RECORD_BYTES];

	mesh(10, 4);
	run(DUR_SEC(60));
	for (unsigned i = 0; i < 10; i++)
		lies[i] = (struct record_forget){
			sim.n[i].id.pub, i & 1 ? 1 : UINT64_MAX, UINT64_MAX, UINT64_MAX};
	r.cluster = sim.cluster;
	r.body = body;
	r.body_len = (size_t)record_forgets_encode(lies, 10, body);
	crash(9);
	run(DUR_SEC(30));
	for (int turn = 0; turn < 20; turn++) {
		int len;

		r.seq++;
		r.sub = (uint16_t)(turn & 1);
		len = record_sign(&sim.n[9].id, &r, msg + 1);
		check(len > 0);
		msg[0] = GOSSIP_MSG_RECORDS;
		for (unsigned i = 0; i < 9; i++) {
			unsigned from = (i + 1) % 9;

			if (!sim.link[i][from])
				continue;
			(void)gossip_recv(
				sim.n[i].g, &sim.n[from].id.pub, msg, 1 + (size_t)len, sim.now);
			pump(i);
		}
		run(DUR_SEC(1));
		for (unsigned i = 0; i < 9; i++)
			check(showing(i) == 8);
	}
	check(sim.n[2].nup == 8 && sim.n[2].nroutes == 16);
	sim_fini();
}

/* Many are forgotten at one place: more than its records hold, and yet each is, everywhere. */
static void test_many(void **state)
{
	mesh(24, 5);
	for (unsigned i = 4; i < 24; i++)
		crash(i);
	run(DUR_SEC(90));
	for (int round = 0; round < 4; round++)
		for (unsigned i = 4; i < 24; i++) {
			/* Those that are forgotten already are not found by their names. */
			if (gossip_forget(sim.n[0].g, sim.n[i].name, 1, sim.now) == 0)
				pump(0);
			run(DUR_MS(50));
		}
	run(DUR_SEC(10));
	for (unsigned i = 4; i < 24; i++)
		check(showing(i) == 0);
	sim_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spreads),
		cmocka_unit_test(test_lives),
		cmocka_unit_test(test_early),
		cmocka_unit_test(test_mistake),
		cmocka_unit_test(test_lie),
		cmocka_unit_test(test_many),
	};

	if (sodium_init() < 0)
		return 1;
	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
