/* Clusters joined by links: what must hold holds after each fault, and each invariant finds the bug
 * that it is there for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "bgpsim.h"
#include "weft/err.h"

static struct bgpsim_result r;

static void run(const struct bgpsim_cfg *c)
{
	assert_int_equal(bgpsim_run(c, &r), 0);
	if (!r.ok)
		fail_msg("seed %llu, %s: %s", (unsigned long long)c->seed,
			bgpsim_shape_str(c->shape), r.why);
}

static void small(struct bgpsim_cfg *c)
{
	bgpsim_default(c);
	c->clusters = 4;
	c->nodes = 3;
}

/* The issue's own: 20 clusters of 5 nodes, 2 gateways each. */
static void twenty_clusters(void **state)
{
	struct bgpsim_cfg c;

	bgpsim_default(&c);
	c.every = 4;
	run(&c);
	for (unsigned i = 0; i < BGPSIM_KINDS; i++)
		assert_true(r.kinds[i].count >= 5);
}

static void twenty_with_transit(void **state)
{
	struct bgpsim_cfg c;

	for (unsigned shape = BGPSIM_RING; shape < BGPSIM_SHAPES; shape++) {
		bgpsim_default(&c);
		c.shape = (enum bgpsim_shape)shape;
		c.transit = shape == BGPSIM_RING ? BGPSIM_ALL : BGPSIM_SOME;
		c.every = 20;
		run(&c);
	}
}

/* A link that fails as a whole is left for a detour by its liveness, long before BGP's hold time; one that
 * comes and goes makes hardly more news than one that fails once. */
static void links_fail(void **state)
{
	struct bgpsim_cfg c;

	for (unsigned shape = BGPSIM_RING; shape < BGPSIM_SHAPES; shape++) {
		bgpsim_default(&c);
		c.shape = (enum bgpsim_shape)shape;
		c.transit = BGPSIM_ALL;
		c.faults = BGPSIM_F_LINK | BGPSIM_F_FLAP;
		c.every = 5;
		run(&c);
		assert_true(r.kinds[3].count >= 3 && r.kinds[6].count == r.kinds[3].count);
		assert_in_range(dur_ms(r.kinds[3].fail_max), 0, 2000);
		assert_in_range(r.kinds[6].updates_sum, 1, 2 * r.kinds[3].updates_sum);
	}
}

static void all_faults_of_few(void **state)
{
	struct bgpsim_cfg c;

	for (unsigned i = 0; i < 12; i++) {
		small(&c);
		c.seed = i + 1;
		c.shape = (enum bgpsim_shape)(i % BGPSIM_SHAPES);
		c.transit = (enum bgpsim_transit)(i % 3);
		c.split = i / 6;
		c.every = 2;
		run(&c);
	}
}

static void replays(void **state)
{
	struct bgpsim_cfg c;
	uint64_t first;

	small(&c);
	c.transit = BGPSIM_ALL;
	c.every = 5;
	run(&c);
	first = r.digest;
	run(&c);
	assert_true(r.digest == first);
	c.seed++;
	run(&c);
	assert_true(r.digest != first);
}

static void bounds_are_refused(void **state)
{
	struct bgpsim_cfg c;

	bgpsim_default(&c);
	c.clusters = BGPSIM_CLUSTERS_MAX + 1;
	assert_int_equal(bgpsim_run(&c, &r), ERR_CONFIG);
	small(&c);
	c.gateways = c.nodes + 1;
	assert_int_equal(bgpsim_run(&c, &r), ERR_CONFIG);
}

#define BUT(c) (1u << (c))
static const struct bug {
	enum bgpsim_plant plant;
	enum bgpsim_check found_by;
	unsigned faults;
	enum bgpsim_transit transit;
	unsigned off; /* checks that would see it too, and first */
} bugs[] = {
	{BGPSIM_PLANT_LOST, BGPSIM_GHOST, BGPSIM_F_LINK, BGPSIM_NO_TRANSIT, BUT(BGPSIM_REACH)},
	{BGPSIM_PLANT_MUTE, BGPSIM_REACH, 0, BGPSIM_ALL, 0},
	{BGPSIM_PLANT_CIRCLE, BGPSIM_LOOP, 0, BGPSIM_NO_TRANSIT, 0},
	{BGPSIM_PLANT_CLAIM, BGPSIM_OWNER, 0, BGPSIM_ALL, BUT(BGPSIM_LEAK)},
	{BGPSIM_PLANT_CLAIM, BGPSIM_LEAK, 0, BGPSIM_NO_TRANSIT, BUT(BGPSIM_OWNER)},
	{BGPSIM_PLANT_LEAK, BGPSIM_LEAK, 0, BGPSIM_NO_TRANSIT, 0},
	{BGPSIM_PLANT_DEAF, BGPSIM_SESSION, BGPSIM_F_NODE, BGPSIM_NO_TRANSIT, BUT(BGPSIM_REACH)},
	{BGPSIM_PLANT_CHATTER, BGPSIM_COUNT, BGPSIM_F_NODE, BGPSIM_NO_TRANSIT, 0},
	{BGPSIM_PLANT_SPIN, BGPSIM_SPIN, 0, BGPSIM_NO_TRANSIT, 0},
};

static void planted_bugs_are_found(void **state)
{
	for (size_t i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++) {
		const struct bug *b = &bugs[i];
		struct bgpsim_cfg c;

		small(&c);
		c.plant = b->plant;
		c.faults = b->faults;
		c.transit = b->transit;
		c.off = b->off;
		assert_int_equal(bgpsim_run(&c, &r), 0);
		if (r.ok || r.failed != b->found_by)
			fail_msg("bug %u: %s", b->plant, r.ok ? "not found" : r.why);
		c.plant = BGPSIM_SOUND;
		run(&c);
	}
}

/* Every invariant has its bug in the table. */
static void each_invariant_can_fail(void **state)
{
	unsigned seen = 0;

	for (size_t i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++)
		seen |= 1u << bugs[i].found_by;
	assert_int_equal(seen, (1u << BGPSIM_CHECKS) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(twenty_clusters),
		cmocka_unit_test(twenty_with_transit),
		cmocka_unit_test(links_fail),
		cmocka_unit_test(all_faults_of_few),
		cmocka_unit_test(replays),
		cmocka_unit_test(bounds_are_refused),
		cmocka_unit_test(planted_bugs_are_found),
		cmocka_unit_test(each_invariant_can_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
