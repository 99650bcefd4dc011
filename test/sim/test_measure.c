/* Measurements: several in one life, and what ghosts stand for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "invariants.h"
#include "sim.h"
#include "sim_measure.h"

static struct sim *cluster(unsigned nodes, unsigned ghosts, bool sealed)
{
	struct sim_cfg cfg;
	struct sim *s;

	sim_cfg_default(&cfg);
	cfg.nodes = nodes;
	cfg.ghosts = ghosts;
	cfg.no_crypto = !sealed;
	cfg.no_claims = true;
	s = sim_new(&cfg);
	assert_non_null(s);
	return s;
}

static double median_of(struct figures *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->f[i].name, name) == 0)
			return figure_median(&f->f[i]);
	fail_msg("no figure: %s", name);
	return 0;
}

/* One life joins once, and each measurement leaves the cluster as it found it. */
static void one_after_another(void **state)
{
	/* Idle last but one: many new sessions look for their MTU at once when halves have met again. */
	static const char *const names[] = {"join", "spread", "death", "loss", "idle", "partition"};
	struct sim *s = cluster(16, 0, false);
	struct figures f = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!measure_run(s, names[i], DUR_SEC(30), &f)) {
			sim_report(s);
			fail();
		}
	assert_true(median_of(&f, "all joined and agree, from the first start") < 30);
	assert_true(median_of(&f, "a changed record known by all") < 5);
	assert_true(median_of(&f, "a silent node declared dead, at each other node") < 15);
	assert_true(median_of(&f, "healthy nodes declared dead, 5 % loss") == 0);
	assert_true(median_of(&f, "agreement after the halves meet again") < 10);
	assert_true(median_of(&f, "sent per idle node, mean") < 3000);
	figures_free(&f);
	sim_free(s);
}

static double idle_bytes(unsigned nodes, unsigned ghosts, bool sealed, dur_t length)
{
	struct sim *s = cluster(nodes, ghosts, sealed);
	struct figures f = {0};
	double mean;

	if (!measure_run(s, "idle", length, &f)) {
		sim_report(s);
		fail();
	}
	mean = median_of(&f, "sent per idle node, mean");
	figures_free(&f);
	sim_free(s);
	return mean;
}

/* Among ghosts a node sends what it sends among whole nodes. */
static void ghosts_stand_for_nodes(void **state)
{
	double whole = idle_bytes(40, 0, false, DUR_SEC(300));
	double among_ghosts = idle_bytes(10, 30, false, DUR_SEC(300));

	(void)state;
	print_message("%.0f bytes/s among nodes, %.0f among ghosts\n", whole, among_ghosts);
	assert_true(among_ghosts > whole * 0.9 && among_ghosts < whole * 1.1);
}

/* What stands for sealed datagrams is as much: in a time in which no keys are made anew, in one in which each
 * session's are once, and in one in which they are twice. */
static void no_ciphers_cost_no_bytes(void **state)
{
	static const int64_t secs[] = {60, 150, 300};

	(void)state;
	for (size_t i = 0; i < sizeof(secs) / sizeof(secs[0]); i++) {
		double sealed = idle_bytes(12, 0, true, DUR_SEC(secs[i]));
		double plain = idle_bytes(12, 0, false, DUR_SEC(secs[i]));

		print_message("%lld s: %.0f bytes/s sealed, %.0f without ciphers\n",
			(long long)secs[i], sealed, plain);
		assert_true(plain > sealed * 0.98 && plain < sealed * 1.02);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_after_another),
		cmocka_unit_test(ghosts_stand_for_nodes),
		cmocka_unit_test(no_ciphers_cost_no_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
