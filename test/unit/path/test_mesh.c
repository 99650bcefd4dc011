/* Links in use: what is found dead, how soon, and what it costs while nothing happens. */
#include "pathnet.h"

/* --- liveness --- */

/* A link without data costs nothing: no message, no timer, for an hour. */
static void test_idle(void **state)
{
	struct net *t = net_new(4, 1);

	(void)state;
	net_start(t, 9000);
	join_all(t);
	run(t, 10000); /* the search for the MTU */
	unsigned before = sends(t);
	run(t, 3600000);
	assert_int_equal(sends(t), before);
	for (unsigned i = 0; i < t->count; i++)
		assert_true(ts_is_never(path_deadline(t->n[i].p)));
	net_free(t);
}

/* Data in both directions proves itself: no probes but those of the size in use. */
static void test_busy(void **state)
{
	struct net *t = net_new(2, 1);

	(void)state;
	net_start(t, 1500);
	join_all(t);
	run(t, 2000);
	flow(t, 0, 1, 0, 1500);
	flow(t, 1, 0, 0, 100);
	run(t, 1000);
	struct path_stats a = stats(t, 0);
	run(t, 30000);
	struct path_stats b = stats(t, 0);
	assert_int_equal(b.probes_tx - a.probes_tx, b.mtu_probes_tx - a.mtu_probes_tx);
	assert_in_range(b.mtu_probes_tx - a.mtu_probes_tx, 5, 11);
	/* In one direction, a probe now and then proves it. */
	t->flow[1].on = false;
	run(t, 1000);
	a = stats(t, 0);
	run(t, 10000);
	b = stats(t, 0);
	assert_in_range(b.probes_tx - a.probes_tx, 10, 45);
	assert_int_equal(b.deaths, 0);
	net_free(t);
}

/* Both directions are cut: within a second data flows through a relay; back when the cut is mended,
 * and no more changes than that. */
static void test_failover(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct net *t = net_new(5, seed);

		net_start(t, 1500);
		join_all(t);
		run(t, 2000);
		struct flow *ab = flow(t, 0, 1, 0, 1000), *ba = flow(t, 1, 0, 0, 1000);
		run(t, 3000 + (int64_t)seed * 17);
		assert_true(ab->direct && ba->direct);
		mark(t, ab);
		mark(t, ba);
		cut_both(t, 0, 1, true);
		run(t, 5000);
		if (gap(t, ab) >= 1000 || gap(t, ba) >= 1000)
			fail_msg("seed %llu: %lld and %lld ms without data",
				(unsigned long long)seed, (long long)gap(t, ab),
				(long long)gap(t, ba));
		assert_false(ab->direct || ba->direct);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_RELAYED);
		run(t, 120000); /* tries of the direct path in vain */
		assert_int_equal(info(t, 0, 1).switches, 2);
		mark(t, ab);
		cut_both(t, 0, 1, false);
		run(t, 70000);
		assert_true(ab->direct && ba->direct);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_DIRECT);
		assert_int_equal(info(t, 0, 1).switches, 3);
		assert_in_range(gap(t, ab), 0, 50);
		net_free(t);
	}
}

/* Only one direction is cut. Data of that direction takes a relay, the other's stays. */
static void test_one_way(void **state)
{
	(void)state;
	for (unsigned both = 0; both < 2; both++) {
		struct net *t = net_new(4, 7 + both);
		struct flow *ba = NULL;

		net_start(t, 1500);
		join_all(t);
		run(t, 2000);
		struct flow *ab = flow(t, 0, 1, 0, 1000);
		if (both)
			ba = flow(t, 1, 0, 0, 1000);
		run(t, 3000);
		mark(t, ab);
		t->cut[0][1] = true;
		run(t, 60000);
		if (gap(t, ab) >= 1000)
			fail_msg("both %u: %lld ms without data", both, (long long)gap(t, ab));
		assert_false(ab->direct);
		if (ba) {
			/* B heard nothing from A for a moment and may have gone by relay; it finds
			 * that its own direction works. */
			mark(t, ba);
			run(t, 30000);
			assert_true(ba->direct);
			assert_in_range(gap(t, ba), 0, 100);
		}
		assert_in_range(info(t, 0, 1).switches, 2, 2);
		net_free(t);
	}
}

/* An idle link stays with its relay, also when that has lost the other end. Once the other end is heard
 * directly, it returns: else nothing that this side says would ever arrive. */
static void test_idle_relayed(void **state)
{
	struct net *t = net_new(4, 5);
	unsigned relay;

	(void)state;
	net_start(t, 1500);
	join_all(t);
	struct flow *ab = flow(t, 0, 1, 0, 1000);
	run(t, 2000);
	t->cut[0][1] = true;
	run(t, 3000);
	assert_int_equal(info(t, 0, 1).route.n, 1);
	assert_int_equal(info(t, 1, 0).route.n, 0);
	relay = memcmp(info(t, 0, 1).route.label[0].b, t->n[2].key.b, 8) == 0 ? 2 : 3;
	ab->on = false;
	run(t, 10000);
	t->cut[0][1] = false;
	cut_both(t, 1, relay, true);
	run(t, 60000);
	assert_int_equal(info(t, 0, 1).route.n, 1); /* nobody has a use for it */
	/* The last of the four looks for a way to the first, and asks the second. */
	cut_both(t, 0, 5 - relay, true);
	cut_both(t, relay, 5 - relay, true);
	flow(t, 5 - relay, 0, 0, 1000);
	run(t, 10000);
	assert_int_equal(info(t, 0, 1).route.n, 0);
	assert_int_equal(info(t, 0, 1).state, PATH_ST_DIRECT);
	net_free(t);
}

/* No relay anywhere: the last way stays in use, and works again when it works again. */
static void test_lost(void **state)
{
	struct net *t = net_new(4, 3);

	(void)state;
	t->n[2].relay = t->n[3].relay = false;
	net_start(t, 1500);
	join_all(t);
	struct flow *ab = flow(t, 0, 1, 0, 1000), *ba = flow(t, 1, 0, 0, 1000);
	run(t, 3000);
	cut_both(t, 0, 1, true);
	run(t, 30000);
	assert_int_equal(info(t, 0, 1).state, PATH_ST_LOST);
	assert_int_equal(stats(t, 0).lost, 1);
	assert_int_equal(t->relayed + t->refused, 0);
	mark(t, ab);
	cut_both(t, 0, 1, false);
	run(t, 1000);
	assert_in_range(gap(t, ab), 0, 100);
	assert_int_equal(info(t, 0, 1).state, PATH_ST_DIRECT);
	assert_int_equal(stats(t, 0).lost, 0);
	assert_true(ba->rx > 0);
	net_free(t);
}

/* A firewall cuts the side ports: they are off within a second, the rest is untouched; they come back
 * some time after it is gone. */
static void test_side_port(void **state)
{
	struct net *t = net_new(3, 5);

	(void)state;
	net_start(t, 1500);
	join_all(t);
	run(t, 2000);
	struct flow *side = flow(t, 0, 1, 2, 1000), *main_flow = flow(t, 0, 1, 0, 1000),
		    *ba = flow(t, 1, 0, 0, 1000);
	run(t, 5000);
	assert_int_equal(stats(t, 0).side_off, 0);
	uint64_t rx = side->rx;
	assert_true(rx > 400);
	mark(t, side);
	mark(t, main_flow);
	t->side_cut[0][1] = true;
	ts_t cut_at = t->now;
	while (info(t, 0, 1).side_ports_off == 0 && dur_ms(ts_sub(t->now, cut_at)) < 5000)
		run(t, 1);
	assert_in_range(dur_ms(ts_sub(t->now, cut_at)), 1, 999);
	assert_int_equal(t->n[0].link[1].sides >> 2 & 1, 0);
	run(t, 20000);
	assert_in_range(gap(t, main_flow), 0, 50);
	assert_int_equal(info(t, 0, 1).state, PATH_ST_DIRECT);
	assert_int_equal(info(t, 0, 1).switches, 1);
	t->side_cut[0][1] = false;
	run(t, 60000);
	assert_int_equal(info(t, 0, 1).side_ports_off, 0);
	assert_int_equal(stats(t, 0).side_on, 1);
	mark(t, side);
	run(t, 5000);
	assert_in_range(gap(t, side), 0, 50);
	assert_true(ba->rx > 0);
	net_free(t);
}

/* The first probe that is lost is told, 0.4 s after data went in vain, and what became of it; a way that carries
 * is never doubted, and a short failure is over when it is. */
static void test_doubt(void **state)
{
	struct net *t = net_new(2, 3);
	unsigned ms = 0;

	(void)state;
	net_start(t, 1500);
	join_all(t);
	flow(t, 0, 1, 0, 1000);
	flow(t, 1, 0, 0, 1000);
	run(t, 30000);
	assert_int_equal(t->n[0].doubts[1] + t->n[1].doubts[0], 0);
	for (int dead = 0; dead < 2; dead++) {
		cut_both(t, 0, 1, true);
		for (ms = 0; !info(t, 0, 1).doubt; ms += 10)
			run(t, 10);
		assert_in_range(ms, 300, 500);
		assert_int_equal(t->n[0].doubts[1], 1 + 2 * dead);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_DIRECT);
		run(t, dead ? 250 : 50);
		assert_int_equal(info(t, 0, 1).state, dead ? PATH_ST_LOST : PATH_ST_DIRECT);
		cut_both(t, 0, 1, false);
		run(t, 1000);
		assert_false(info(t, 0, 1).doubt);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_DIRECT);
		assert_int_equal(t->n[0].doubts[1] % 2, 0);
	}
	net_free(t);
}

/* Heavy loss is no death: with a tenth of everything lost, ways change seldom and never for long. */
static void test_loss(void **state)
{
	struct net *t = net_new(5, 11);

	(void)state;
	t->loss_pct = 10;
	net_start(t, 1500);
	join_all(t);
	struct flow *ab = flow(t, 0, 1, 0, 1000), *ba = flow(t, 1, 0, 0, 100);
	run(t, 600000);
	assert_in_range(gap(t, ab), 0, 300);
	assert_in_range(gap(t, ba), 0, 300);
	assert_in_range(info(t, 0, 1).switches, 1, 1);
	assert_int_equal(info(t, 0, 1).mtu, 1500);
	net_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_failover),
		cmocka_unit_test(test_one_way),
		cmocka_unit_test(test_idle_relayed),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_side_port),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_doubt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
