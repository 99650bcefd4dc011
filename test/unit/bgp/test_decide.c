/* The decision process: each row loses to the one before it for the reason named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "prng.h"
#include "decide.h"

static struct decide_cand base(void)
{
	return (struct decide_cand){.ebgp = true,
		.local_pref = 200,
		.path_len = 2,
		.first_as = 7,
		.med = 10,
		.igp_cost = 5,
		.router_id = 100,
		.peer_addr = ip_v4(1)};
}

/* Rows as changes that add up: row i is row i-1 made worse at one step. */
static void worsen(struct decide_cand *c, enum decide_step step)
{
	switch (step) {
	case DECIDE_LOCAL:
		c->local = false;
		break;
	case DECIDE_LOCAL_PREF:
		c->local_pref--;
		break;
	case DECIDE_PATH_LEN:
		c->path_len++;
		break;
	case DECIDE_ORIGIN:
		c->origin++;
		break;
	case DECIDE_MED:
		c->med++;
		break;
	case DECIDE_EBGP:
		c->ebgp = false;
		break;
	case DECIDE_IGP_COST:
		c->igp_cost++;
		break;
	case DECIDE_ROUTER_ID:
		c->router_id++;
		break;
	case DECIDE_CLUSTERS:
		c->clusters++;
		break;
	case DECIDE_PATH_ID:
		c->path_id++;
		break;
	default:
		c->peer_addr = ip_v4(2);
	}
}

/* The loser is better in all that comes later: only the order of steps makes it lose. */
static void improve_later(struct decide_cand *c, enum decide_step step)
{
	if (step < DECIDE_LOCAL_PREF)
		c->local_pref += 5;
	if (step < DECIDE_PATH_LEN)
		c->path_len = 0;
	if (step < DECIDE_MED)
		c->med = 0;
	if (step < DECIDE_IGP_COST)
		c->igp_cost = 0;
	if (step < DECIDE_ROUTER_ID)
		c->router_id = 1;
	if (step < DECIDE_PATH_ID)
		c->path_id = 0;
	if (step < DECIDE_PEER_ADDR)
		c->peer_addr = ip_v4(0);
}

static void test_rows(void **state)
{
	for (enum decide_step s = DECIDE_LOCAL; s < DECIDE_STEPS; s++) {
		struct decide_cand c[2] = {base(), base()}, t;
		enum decide_step step;

		c[0].local = c[1].local = s == DECIDE_LOCAL;
		worsen(&c[1], s);
		improve_later(&c[1], s);
		assert_int_equal(decide_best(c, 2, &step), 0);
		assert_int_equal(step, s);
		t = c[0];
		c[0] = c[1];
		c[1] = t;
		assert_int_equal(decide_best(c, 2, &step), 1);
		assert_int_equal(step, s);
		assert_string_not_equal(decide_step_str(s), "?");
	}
}

static void test_only(void **state)
{
	struct decide_cand c = base();
	enum decide_step step;

	assert_int_equal(decide_best(&c, 1, &step), 0);
	assert_int_equal(step, DECIDE_ONLY);
}

/* MED counts only among paths of one neighbour AS, and the answer must not depend on the order: the
 * classic triple in which comparing by twos goes round in a circle. */
static void test_med_circle(void **state)
{
	static const int orders[6][3] = {
		{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	for (int o = 0; o < 6; o++) {
		struct decide_cand all[3] = {base(), base(), base()}, c[3];
		enum decide_step step;
		size_t best;

		all[0].router_id = 1, all[0].med = 20; /* AS 7, beaten by all[2] */
		all[1].router_id = 2, all[1].first_as = 8;
		all[2].router_id = 3, all[2].med = 10;
		for (int i = 0; i < 3; i++)
			c[i] = all[orders[o][i]];
		best = decide_best(c, 3, &step);
		assert_int_equal(c[best].router_id, 2);
		assert_int_equal(step, DECIDE_ROUTER_ID);
	}
}

/* Any order gives the same winner. */
static void test_order(void **state)
{
	struct prng r;

	prng_seed(&r, 11);
	for (int round = 0; round < 5000; round++) {
		struct decide_cand c[6];
		enum decide_step step;
		uint32_t first, n = 2 + (uint32_t)prng_below(&r, 5);

		for (uint32_t i = 0; i < n; i++) {
			c[i] = base();
			c[i].local_pref += (uint32_t)prng_below(&r, 2);
			c[i].first_as = (uint32_t)prng_below(&r, 3);
			c[i].med = (uint32_t)prng_below(&r, 3);
			c[i].ebgp = prng_below(&r, 2);
			c[i].router_id = (uint32_t)prng_below(&r, 3);
			c[i].peer_addr = ip_v4(i + 1);
		}
		first = c[decide_best(c, n, &step)].peer_addr.b[3];
		for (uint32_t i = n - 1; i > 0; i--) {
			uint32_t k = (uint32_t)prng_below(&r, i + 1);
			struct decide_cand t = c[i];

			c[i] = c[k];
			c[k] = t;
		}
		assert_int_equal(c[decide_best(c, n, &step)].peer_addr.b[3], first);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_only),
		cmocka_unit_test(test_med_circle),
		cmocka_unit_test(test_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
