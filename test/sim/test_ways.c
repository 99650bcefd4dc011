/* Nodes that can't reach each other directly do so through others: cuts one way and both, translators,
 * crashes of relays, relays that carry nothing. The invariants say how soon; here, that it happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "path.h"
#include "sim.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_path.h"

struct seen {
	uint64_t calls, answers, relayed, bad, deaths, returns;
};

static void count(const struct sim *s, struct seen *to)
{
	for (unsigned i = 0; i < s->cfg.nodes; i++) {
		const struct sim_node *n = s->nodes[i];
		struct path_stats st = {0};

		path_stats(sim_path_core(n->path), &st);
		to->calls += n->flow.sent;
		to->answers += n->flow.back;
		to->relayed += n->relayed;
		to->bad += st.relays_bad;
		to->deaths += st.deaths;
		to->returns += st.returns;
		/* Who doesn't relay was asked by nobody that knew. */
		if (n->no_relay)
			assert_int_equal(n->relayed, 0);
	}
}

static void live(const char *profile, unsigned nodes, uint64_t seeds, struct seen *to)
{
	*to = (struct seen){0};
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct sim_cfg cfg;
		struct sim_result r;
		struct sim *s;
		bool ok;

		sim_cfg_default(&cfg);
		cfg.nodes = nodes;
		cfg.seed = seed;
		cfg.profile = profile;
		cfg.data = true;
		s = sim_new(&cfg);
		assert_non_null(s);
		ok = sim_live(s, DUR_SEC(220), &r);
		if (!ok)
			sim_report(s);
		assert_true(ok);
		count(s, to);
		sim_free(s);
	}
}

static void through_others(void **state)
{
	struct seen seen;

	(void)state;
	live("ways", 8, 4, &seen);
	assert_true(seen.relayed > 100 && seen.deaths > 0 && seen.returns > 0);
	assert_true(seen.answers > seen.calls / 2);
}

static void a_crook_among_the_relays(void **state)
{
	struct seen seen;

	(void)state;
	live("swallow", 8, 4, &seen);
	assert_true(seen.relayed > 100 && seen.bad > 0);
	assert_true(seen.answers > seen.calls / 2);
}

/* Two that never reach each other, for ever: all data goes through the one in the middle. */
static void a_row_of_three(void **state)
{
	struct sim_cfg cfg;
	struct sim *s;

	(void)state;
	sim_cfg_default(&cfg);
	cfg.nodes = 3;
	cfg.data = true;
	s = sim_new(&cfg);
	assert_non_null(s);
	sim_net_cut(s->net, 1, 2, true);
	sim_net_cut(s->net, 2, 1, true);
	assert_true(sim_join(s) >= 0);
	assert_true(sim_run(s, ts_add(s->now, DUR_SEC(120))));
	assert_true(s->nodes[0]->relayed > 50);
	assert_int_equal(s->nodes[1]->relayed + s->nodes[2]->relayed, 0);
	sim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_of_three),
		cmocka_unit_test(through_others),
		cmocka_unit_test(a_crook_among_the_relays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
