/* Whole meshes of gossip cores, each node linked with every other. At the end everybody must know
 * everybody, and each node's routes must be the ones that a judge with full knowledge expects. */
#include "meshnet.h"

static void test_one_seed(void **state)
{
	static const unsigned sizes[] = {2, 3, 8, 30};

	for (size_t s = 0; s < 4; s++) {
		sim_init(sizes[s], 100 + s);
		start_all();
		for (unsigned i = 1; i < sim.count; i++)
			join(i, 0);
		settle(5);
		sim_fini();
	}
}

static void test_loss(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		sim_init(8, seed);
		sim.loss_pct = 30;
		sim.dup_pct = 20;
		sim.delay_max = DUR_MS(400);
		start_all();
		for (unsigned i = 1; i < sim.count; i++)
			join(i, 0);
		settle(60);
		/* A change under loss. */
		sim.n[3].prefixes[1] = prefix("10.200.0.0/16", RIGHT_CONFIG);
		check(gossip_set_prefixes(sim.n[3].g, sim.n[3].prefixes, 2, sim.now) == 0);
		pump(3);
		settle(60);
		sim_fini();
	}
}

static void random_event(void)
{
	unsigned i = (unsigned)prng_below(&sim.rng, sim.count), j;

	switch (prng_below(&sim.rng, 6)) {
	case 0:
		for (j = 0; j < sim.count; j++)
			sim.group[j] = (unsigned)prng_below(&sim.rng, 2);
		for (j = 0; j < sim.count; j++)
			for (unsigned k = 0; k < j; k++)
				if (sim.group[j] != sim.group[k])
					set_link(j, k, false);
		break;
	case 1:
		memset(sim.group, 0, sizeof(sim.group));
		break;
	case 2:
		crash(i);
		break;
	case 3:
		crash(i);
		if (prng_below(&sim.rng, 2))
			sim.n[i].disk_epoch = prng_below(&sim.rng, sim.n[i].disk_epoch + 1);
		start(i);
		break;
	case 4:
		j = (unsigned)prng_below(&sim.rng, sim.count);
		set_link(i, j, false);
		break;
	case 5:
		sim.n[i].nprefixes = prng_below(&sim.rng, 3);
		if (sim.n[i].running) {
			check(gossip_set_prefixes(sim.n[i].g, sim.n[i].prefixes, sim.n[i].nprefixes,
				      sim.now) == 0);
			pump(i);
		}
		break;
	}
}

/* Everything at once; then quiet; then agreement. WEFT_SEEDS=N runs N seeds. */
static void test_faults(void **state)
{
	const char *env = getenv("WEFT_SEEDS");
	uint64_t seeds = env ? strtoull(env, NULL, 10) : 12;

	for (uint64_t seed = 1; seed <= seeds; seed++) {
		sim_init(3 + (unsigned)(seed % 8), seed * 7919);
		sim.loss_pct = 10;
		sim.dup_pct = 5;
		sim.delay_max = DUR_MS(100);
		start_all();
		for (int step = 0; step < 60; step++) {
			random_event();
			for (unsigned i = 1; i < sim.count; i++)
				if (prng_below(&sim.rng, 4) == 0)
					join(i, 0);
			run(DUR_MS(1 + prng_below(&sim.rng, 3000)));
		}
		memset(sim.group, 0, sizeof(sim.group));
		for (unsigned i = 0; i < sim.count; i++)
			if (!sim.n[i].running)
				start(i);
		for (unsigned i = 1; i < sim.count; i++)
			join(i, 0);
		settle(120);
		sim_fini();
	}
}

/* The disk is lost but for the key: the node's old records are ahead of it. One jump mends it. */
static void test_rollback(void **state)
{
	sim_init(4, 5);
	sim.n[2].disk_epoch = 40;
	start_all();
	for (unsigned i = 1; i < 4; i++)
		join(i, 0);
	settle(5);
	crash(2);
	sim.n[2].disk_epoch = 0;
	sim.n[2].nprefixes = 1;
	start(2);
	join(2, 0);
	settle(10);
	assert_int_equal(sim.n[2].epochs, 1);
	assert_true(sim.n[2].disk_epoch == 42);
	assert_int_equal(sim.n[2].clones, 0);
	sim_fini();
}

/* A node that comes back with fewer records than it published before: the old ones are withdrawn. */
static void test_fewer(void **state)
{
	struct gossip_prefix many[60];
	struct sim_node *n = &sim.n[1];

	sim_init(3, 6);
	start_all();
	for (unsigned i = 0; i < 60; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.99.%u.0/24", i);
		many[i] = prefix(text, RIGHT_CLAIM);
	}
	check(gossip_set_prefixes(n->g, many, 60, sim.now) == 0);
	join(1, 0);
	join(2, 0);
	run(DUR_SEC(5));
	assert_int_equal(sim.n[2].nroutes, 62);
	/* One prefix more touches one record only, and no other route. */
	struct gossip_stats before, after;
	gossip_stats(sim.n[2].g, &before);
	many[59] = prefix("10.98.0.0/24", RIGHT_CLAIM);
	check(gossip_set_prefixes(n->g, many, 60, sim.now) == 0);
	pump(1);
	run(DUR_SEC(5));
	gossip_stats(sim.n[2].g, &after);
	assert_int_equal(after.rx_new - before.rx_new, 1);
	assert_int_equal(sim.n[2].nroutes, 62);
	check(gossip_set_prefixes(n->g, many, 60, sim.now) == 0);
	run(DUR_SEC(5));
	gossip_stats(sim.n[2].g, &before);
	assert_true(before.rx_new == after.rx_new); /* nothing is said twice */
	crash(1);
	start(1);
	join(1, 0);
	settle(10);
	assert_int_equal(sim.n[2].nroutes, 4);
	assert_int_equal(n->epochs, 0);
	sim_fini();
}

/* What a node is besides reaches all, and is withdrawn again. */
static void test_features(void **state)
{
	struct gossip_node_info n;

	sim_init(4, 21);
	start_all();
	for (unsigned i = 1; i < 4; i++)
		join(i, 0);
	settle(5);
	for (int on = 1; on >= 0; on--) {
		gossip_set_features(sim.n[1].g, on ? GOSSIP_F_GATEWAY : 0, sim.now);
		pump(1);
		run(DUR_SEC(1));
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(gossip_node_get(sim.n[i].g, &sim.n[1].id.pub, &n), 0);
			assert_int_equal(n.features, on ? GOSSIP_F_GATEWAY : 0);
		}
	}
	sim_fini();
}

static void test_leave(void **state)
{
	sim_init(5, 8);
	start_all();
	for (unsigned i = 1; i < 5; i++)
		join(i, 0);
	settle(5);
	gossip_leave(sim.n[3].g, sim.now);
	pump(3);
	run(DUR_MS(100));
	for (unsigned i = 0; i < 5; i++)
		if (i != 3)
			check(!has_route(&sim.n[i], &sim.n[3], &sim.n[3].prefixes[0].pfx));
	for (unsigned i = 0; i < 5; i++)
		sim.n[i].dials = 0;
	crash(3);
	run(DUR_SEC(120));
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(sim.n[i].dials, 0); /* nobody runs after it */
	check(converged());
	start(3); /* and it is welcome again */
	join(3, 1);
	settle(10);
	sim_fini();
}

static void test_forget(void **state)
{
	struct gossip_node_info info;
	char key[NODE_KEY_STRLEN];

	sim_init(3, 9);
	start_all();
	join(1, 0);
	join(2, 0);
	settle(5);
	assert_int_equal(gossip_forget(sim.n[0].g, "node-7", 0, sim.now), ERR_NOT_FOUND);
	assert_int_equal(gossip_forget(sim.n[0].g, "node-0", 0, sim.now), ERR_REFUSED);
	crash(2);
	sim.n[0].dials = sim.n[1].dials = 0;
	run(DUR_SEC(100));
	assert_in_range(sim.n[0].dials, 5, 20); /* backing off */
	assert_int_equal(gossip_forget(sim.n[0].g, "node-2", 0, sim.now), 0);
	node_key_fmt_short(&sim.n[2].id.pub, key);
	assert_int_equal(gossip_forget(sim.n[1].g, key, 0, sim.now), 0);
	assert_int_equal(gossip_forget(sim.n[1].g, key, 0, sim.now), ERR_NOT_FOUND);
	sim.n[0].dials = sim.n[1].dials = 0;
	run(DUR_SEC(100));
	assert_int_equal(sim.n[0].dials + sim.n[1].dials, 0);
	assert_int_equal(gossip_node_get(sim.n[0].g, &sim.n[2].id.pub, &info), ERR_NOT_FOUND);
	start(2);
	join(2, 0);
	settle(10);
	/* A live one: hung up; it calls again and has nothing new to say: hung up again. */
	node_key_fmt(&sim.n[2].id.pub, key);
	assert_int_equal(gossip_forget(sim.n[0].g, key, 0, sim.now), 0);
	pump(0);
	assert_int_equal(sim.n[0].hangups, 1);
	check(!has_route(&sim.n[0], &sim.n[2], &sim.n[2].prefixes[0].pfx));
	run(DUR_SEC(40));
	assert_true(sim.n[0].hangups > 1 && sim.n[2].dials > 1);
	check(!has_route(&sim.n[0], &sim.n[2], &sim.n[2].prefixes[0].pfx));
	crash(2);
	start(2);
	join(2, 1);
	settle(40);
	sim_fini();
}

static void test_prefix_conflict(void **state)
{
	unsigned lower;

	sim_init(4, 10);
	sim.n[1].prefixes[0] = sim.n[2].prefixes[0];
	start_all();
	for (unsigned i = 1; i < 4; i++)
		join(i, 0);
	run(DUR_SEC(10));
	lower = node_key_cmp(&sim.n[1].id.pub, &sim.n[2].id.pub) < 0 ? 1 : 2;
	for (unsigned i = 0; i < 4; i += 3) {
		struct gossip_stats st;

		check(has_route(&sim.n[i], &sim.n[lower], &sim.n[1].prefixes[0].pfx));
		check(!has_route(&sim.n[i], &sim.n[3 - lower], &sim.n[1].prefixes[0].pfx));
		check(has_route(&sim.n[i], &sim.n[3 - lower], &sim.n[3 - lower].prefixes[1].pfx));
		assert_int_equal(sim.n[i].prefix_conflicts, 1);
		gossip_stats(sim.n[i].g, &st);
		assert_int_equal(st.prefix_conflicts, 1);
	}
	/* Both keep what is theirs to themselves, and are told. */
	check(!has_route(&sim.n[1], &sim.n[2], &sim.n[1].prefixes[0].pfx));
	check(!has_route(&sim.n[2], &sim.n[1], &sim.n[1].prefixes[0].pfx));
	assert_int_equal(sim.n[1].prefix_conflicts, 1);
	assert_int_equal(sim.n[2].prefix_conflicts, 1);
	crash(lower);
	run(DUR_SEC(1));
	check(has_route(&sim.n[0], &sim.n[3 - lower], &sim.n[1].prefixes[0].pfx));
	sim_fini();
}

static void test_name_conflict(void **state)
{
	sim_init(4, 11);
	memcpy(sim.n[1].name, sim.n[2].name, sizeof(sim.n[1].name));
	start_all();
	for (unsigned i = 1; i < 4; i++)
		join(i, 0);
	run(DUR_SEC(10));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(sim.n[i].name_conflicts, 1);
	for (unsigned i = 1; i <= 2; i++) { /* with both addresses */
		assert_int_equal(sim.n[i].neps_told, 2);
		check(ep_eq(&sim.n[i].eps_told[0], &sim.n[3 - i].ep));
		check(ep_eq(&sim.n[i].eps_told[1], &sim.n[i].ep));
	}
	assert_int_equal(gossip_forget(sim.n[0].g, sim.n[2].name, 0, sim.now), ERR_CONFLICT);
	run(DUR_SEC(60));
	assert_in_range(sim.n[1].name_conflicts, 2, 3);
	assert_in_range(sim.n[0].name_conflicts, 2, 3);
	crash(1);
	run(DUR_SEC(60));
	sim.n[0].name_conflicts = 0;
	run(DUR_SEC(200));
	assert_int_equal(sim.n[0].name_conflicts, 0);
	sim_fini();
}

/* A copied disk: both are told, and they don't drive each other's epoch up for ever. */
static void test_clone(void **state)
{
	sim_init(4, 12);
	sim.n[3].id = sim.n[2].id;
	start_all();
	for (unsigned k = 0; k < 60; k++) {
		join(1, 0);
		join(2 + k % 2, 0); /* the two take turns */
		run(DUR_SEC(5));
	}
	assert_true(sim.n[2].clones >= 1 && sim.n[3].clones >= 1);
	assert_int_equal(sim.n[2].neps_told, 1);
	check(ep_eq(&sim.n[2].eps_told[0], &sim.n[3].ep));
	check(ep_eq(&sim.n[3].eps_told[0], &sim.n[2].ep));
	assert_in_range(sim.n[2].epochs, 3, 10);
	assert_in_range(sim.n[3].epochs, 3, 10);
	/* A session under our own key says the same at once. */
	assert_int_equal(
		gossip_link_up(sim.n[0].g, &sim.n[0].id.pub, &sim.n[1].ep, sim.now), ERR_CONFLICT);
	pump(0);
	assert_int_equal(sim.n[0].clones, 1);
	sim_fini();
}

/* A member that floods the others with as many records and prefixes as it can make harms itself only. */
static void test_liar(void **state)
{
	struct gossip_prefix p[70];
	uint8_t body[RECORD_BODY_MAX], msg[1 + LIM_RECORD_BYTES];
	struct gossip_stats st;

	sim_init(4, 13);
	start_all();
	for (unsigned i = 1; i < 4; i++)
		join(i, 0);
	settle(5);
	for (unsigned sub = 0; sub < 200; sub++) {
		struct record r = {.type = sub & 1 ? RECORD_PREFIXES : 200,
			.sub = (uint16_t)(1000 - sub),
			.epoch = sim.n[3].disk_epoch,
			.seq = 1000 + sub,
			.cluster = sim.cluster,
			.body = body};

		for (unsigned i = 0; i < 70; i++) {
			p[i] = prefix("10.250.0.0/32", RIGHT_ORCHESTRATOR);
			p[i].pfx.ip.b[2] = (uint8_t)sub;
			p[i].pfx.ip.b[3] = (uint8_t)i;
		}
		r.body_len = (size_t)record_prefixes_encode(p, 70, body);
		msg[0] = GOSSIP_MSG_RECORDS;
		int len = record_sign(&sim.n[3].id, &r, msg + 1);
		assert_true(len > 0);
		net_add(3, sub % 3, msg, 1 + (size_t)len);
	}
	run(DUR_SEC(30));
	for (unsigned i = 0; i < 3; i++) {
		size_t good = 0;

		gossip_stats(sim.n[i].g, &st);
		assert_true(st.records <= 3 * 3 + LIM_RECORDS_PER_NODE);
		assert_true(st.rx_full > 0);
		for (unsigned j = 0; j < 3; j++)
			for (size_t k = 0; j != i && k < 2; k++)
				good += has_route(&sim.n[i], &sim.n[j], &sim.n[j].prefixes[k].pfx);
		assert_int_equal(good, 4);
	}
	/* And the honest ones have agreed on what to keep: they are quiet. */
	uint64_t before = sim.datagrams;
	crash(3);
	run(DUR_SEC(30));
	assert_true(sim.datagrams - before < 60);
	sim_fini();
}

/* A node that tells one node this and another node that, under one version: the others end up with the
 * same, even if they talk to each other only later. */
static void test_equivocation(void **state)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct gossip_node_info a, b;

		sim_init(3, seed);
		start_all();
		set_link(2, 0, true);
		set_link(2, 1, true);
		sim.group[1] = 1; /* 0 and 1 can't see each other */
		run(DUR_SEC(1));
		for (unsigned to = 0; to < 2; to++) {
			struct record_node n = {.name = "two-faced", .version = "a"};
			uint8_t body[RECORD_BODY_MAX], msg[1 + LIM_RECORD_BYTES];
			struct record r = {.type = RECORD_NODE,
				.epoch = sim.n[2].disk_epoch,
				.seq = 99,
				.cluster = sim.cluster,
				.body = body};

			n.version[0] = to ? 'a' : 'b';
			r.body_len = (size_t)record_node_encode(&n, body);
			msg[0] = GOSSIP_MSG_RECORDS;
			int len = record_sign(&sim.n[2].id, &r, msg + 1);
			check(gossip_recv(sim.n[to].g, &sim.n[2].id.pub, msg, 1 + (size_t)len,
				      sim.now) == 0);
		}
		crash(2); /* before anybody can tell it what it said */
		check(gossip_node_get(sim.n[0].g, &sim.n[2].id.pub, &a) == 0);
		check(gossip_node_get(sim.n[1].g, &sim.n[2].id.pub, &b) == 0);
		check(strcmp(a.version, b.version) != 0);
		sim.group[1] = 0;
		join(0, 1);
		run(DUR_SEC(10));
		check(gossip_node_get(sim.n[0].g, &sim.n[2].id.pub, &a) == 0);
		check(gossip_node_get(sim.n[1].g, &sim.n[2].id.pub, &b) == 0);
		check(strcmp(a.version, b.version) == 0);
		sim_fini();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_seed),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_rollback),
		cmocka_unit_test(test_fewer),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_leave),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_prefix_conflict),
		cmocka_unit_test(test_name_conflict),
		cmocka_unit_test(test_clone),
		cmocka_unit_test(test_liar),
		cmocka_unit_test(test_equivocation),
	};

	if (sodium_init() < 0)
		return 1;
	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
