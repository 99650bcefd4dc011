/* Each fault profile, fixed seeds: no invariant fails, and the same seed gives the same run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sim.h"
#include "sim_fault.h"

static uint64_t live(const struct sim_cfg *cfg, dur_t length)
{
	struct sim *s;
	struct sim_result r;
	uint64_t digest;
	bool ok;

	s = sim_new(cfg);
	assert_non_null(s);
	ok = sim_live(s, length, &r);
	if (!ok)
		sim_report(s);
	assert_true(ok);
	assert_true(r.join >= 0 && r.idle.bytes > 0);
	if (sim_faults_any(s->faults))
		assert_true(r.quiets > 0);
	digest = s->digest;
	sim_free(s);
	return digest;
}

/* Where some do all the lying, or a tenth of the links is bad, others have to be there. */
static unsigned nodes_of(const char *profile, unsigned nodes)
{
	static const char *const many[] = {"lies", "band", "badlinks"};

	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
		if (strcmp(profile, many[i]) == 0)
			return 15;
	return nodes;
}

static void each_profile(bool no_crypto, unsigned nodes, uint64_t seeds)
{
	for (unsigned i = 0; sim_faults_name(i); i++)
		for (uint64_t seed = 1; seed <= seeds; seed++) {
			struct sim_cfg cfg;

			sim_cfg_default(&cfg);
			cfg.nodes = nodes_of(sim_faults_name(i), nodes);
			cfg.seed = seed;
			cfg.profile = sim_faults_name(i);
			cfg.no_crypto = no_crypto;
			cfg.data = true;
			(void)live(&cfg, DUR_SEC(220));
		}
}

static void each_profile_with_sessions(void **state)
{
	each_profile(false, 6, 2);
}

static void each_profile_without_crypto(void **state)
{
	each_profile(true, 6, 2);
}

/* What a driver was not told of, it sees when it looks: no block stays in use on two nodes. */
static void claims_without_notices(void **state)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct sim_cfg cfg;

		sim_cfg_default(&cfg);
		cfg.nodes = 8;
		cfg.seed = seed;
		cfg.profile = "claims";
		cfg.no_crypto = true;
		cfg.plant = PLANT_UNTOLD;
		(void)live(&cfg, DUR_SEC(220));
	}
}

static void thirty_nodes_join(void **state)
{
	struct sim_cfg cfg;

	sim_cfg_default(&cfg);
	cfg.nodes = 30;
	cfg.converge = DUR_SEC(10);
	(void)live(&cfg, DUR_SEC(30));
}

static void one_node_alone(void **state)
{
	struct sim_cfg cfg;
	struct sim_result r;
	struct sim *s;

	sim_cfg_default(&cfg);
	cfg.nodes = 1;
	s = sim_new(&cfg);
	assert_non_null(s);
	assert_true(sim_live(s, DUR_SEC(60), &r));
	assert_true(r.idle.bytes == 0);
	sim_free(s);
}

static void a_seed_replays(void **state)
{
	struct sim_cfg cfg;
	uint64_t first;

	sim_cfg_default(&cfg);
	cfg.nodes = 5;
	cfg.seed = 42;
	cfg.profile = "all";
	cfg.data = true;
	first = live(&cfg, DUR_SEC(130));
	assert_int_equal(live(&cfg, DUR_SEC(130)), first);
	cfg.seed = 43;
	assert_int_not_equal(live(&cfg, DUR_SEC(130)), first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_profile_with_sessions),
		cmocka_unit_test(each_profile_without_crypto),
		cmocka_unit_test(claims_without_notices),
		cmocka_unit_test(thirty_nodes_join),
		cmocka_unit_test(one_node_alone),
		cmocka_unit_test(a_seed_replays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
