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

static struct figure *figure_of(struct figures *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->f[i].name, name) == 0)
			return &f->f[i];
	fail_msg("no figure: %s", name);
	return NULL;
}

/* What fifty nodes show, with some room: all well below what is asked of 1,000 (docs/simulator.md). */
static const struct {
	const char *name;
	double median, worst; /* at most */
} reaches[] = {
	{"all joined and agree, from the first start", 10, 10},
	{"a changed record known by 99 %", 0.5, 1},
	{"a changed record known by all", 0.5, 1},
	{"a silent node declared dead, at each other node", 5, 7},
	{"healthy nodes declared dead, 5 % loss", 0, 0},
	{"and how often, by whomever", 0, 0},
	{"fast nodes declared dead, a tenth of the others slow", 0, 0},
	{"fast ones, how often", 0, 0},
	{"sent per idle node, mean", 1500, 1500},
	{"sent per idle node, the busiest", 1700, 1700},
	{"agreement after the halves meet again", 3, 3},
};

/* One life joins once, and each measurement leaves the cluster as it found it. */
static void one_after_another(void **state)
{
	/* Idle last but one: many new sessions look for their MTU at once when halves have met again. */
	static const struct {
		const char *name;
		int64_t secs;
	} measures[] = {{"join", 0}, {"spread", 0}, {"death", 0}, {"loss", 600}, {"slow", 600},
		{"idle", 60}, {"partition", 60}};
	struct sim *s = cluster(50, 0, false);
	struct figures f = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(measures) / sizeof(measures[0]); i++)
		if (!measure_run(s, measures[i].name, DUR_SEC(measures[i].secs), &f)) {
			sim_report(s);
			fail();
		}
	for (size_t i = 0; i < sizeof(reaches) / sizeof(reaches[0]); i++) {
		struct figure *x = figure_of(&f, reaches[i].name);
		double median = figure_median(x), worst = figure_worst(x);

		print_message(
			"%s: %.2f, %.2f %s, of %zu\n", x->name, median, worst, x->unit, x->count);
		assert_true(x->count > 0);
		assert_true(median <= reaches[i].median && worst <= reaches[i].worst);
	}
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
	mean = figure_median(figure_of(&f, "sent per idle node, mean"));
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

/* What a node sends hardly grows with the cluster. */
static void many_cost_no_more(void **state)
{
	double few = idle_bytes(5, 95, false, DUR_SEC(120));
	double many = idle_bytes(5, 4995, false, DUR_SEC(120));

	(void)state;
	print_message("%.0f bytes/s of 100 nodes, %.0f of 5,000\n", few, many);
	assert_true(many < 3000 && many <= few * 1.2);
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
		cmocka_unit_test(many_cost_no_more),
		cmocka_unit_test(no_ciphers_cost_no_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
