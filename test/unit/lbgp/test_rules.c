/* What crosses between clusters. */
#include "world.h"

/* Without a word: each other's ranges, and nothing through. */
static void default_deny(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	heard(&w, EAST, ranges[MID], "100");
	heard(&w, WEST, ranges[MID], "100");
	heard(&w, NODE, ranges[MID], NULL); /* a node knows it by gossip */
	speak(&w, EAST, &(struct say){ranges[EAST]});
	speak(&w, EAST, &(struct say){"10.32.7.0/24"});
	speak(&w, EAST, &(struct say){"10.33.0.0/16"});
	speak(&w, EAST, &(struct say){"10.32.8.0/24", .outside = true});
	leads(&w, ranges[EAST], EAST, EAST_BIT, 0);
	leads(&w, "10.32.7.0/24", EAST, EAST_BIT, 0);
	leads(&w, "10.33.0.0/16", -1, 0, 0);
	leads(&w, "10.32.8.0/24", -1, 0, 0);
	heard(&w, NODE, ranges[EAST], "200");
	heard(&w, WEST, ranges[EAST], NULL);
	assert_int_equal(w.link[EAST].refused[LBGP_POLICY], 1);
	assert_int_equal(w.link[EAST].refused[LBGP_OTHER], 1);
	unsay(&w, EAST, ranges[EAST]);
	leads(&w, ranges[EAST], -1, 0, 0);
	heard(&w, NODE, ranges[EAST], NULL);
	end(&w);
}

/* A policy that takes all takes nothing that speaks for somebody else. */
static void refused(void **state)
{
	static const struct {
		struct say say;
		int why; /* LBGP_REASONS: it is taken */
	} t[] = {
		{{"10.16.0.0/16"}, LBGP_OWN},
		{{"10.16.5.0/24"}, LBGP_OWN},
		{{"10.0.0.0/8"}, LBGP_OWN},
		{{"10.16.0.0/16", {300}}, LBGP_OWN},
		{{"10.16.0.1/32", .outside = true}, LBGP_OWN},
		{{"0.0.0.0/0"}, LBGP_DEFAULT},
		{{"::/0"}, LBGP_DEFAULT},
		{{"192.0.2.0/24"}, LBGP_UNDERLAY},
		{{"192.0.2.1/32", .outside = true}, LBGP_UNDERLAY},
		{{"128.0.0.0/1"}, LBGP_UNDERLAY},
		{{"10.48.0.0/16"}, LBGP_OTHER},
		{{"10.48.9.0/24"}, LBGP_OTHER},
		{{"10.48.9.0/24", {300}}, LBGP_OTHER},
		{{"10.48.0.0/16", {300, 400}}, LBGP_OTHER},
		{{"10.48.0.0/15"}, LBGP_OTHER},
		{{"10.48.0.0/16", {300}, .outside = true}, LBGP_OTHER},
		{{"10.32.0.0/16", {400}}, LBGP_OTHER}, /* its own range by somebody else */
		{{"10.32.0.0/15"}, LBGP_OTHER},
		{{"10.64.0.0/16", .no_rt = true}, LBGP_SEGMENT},
		{{"10.64.0.0/16", .bad_rd = true}, LBGP_SEGMENT},
		{{"10.48.0.0/16", {300}}, LBGP_REASONS}, /* passed on */
		{{"10.64.0.0/16", {400}}, LBGP_REASONS},
		{{"198.51.100.0/24", {64999}, .outside = true}, LBGP_REASONS},
		{{"2001:db8::/32", {400}}, LBGP_REASONS},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		struct pfx p = P(t[i].say.prefix);
		struct world w;

		begin(&w);
		allow(&w, EAST, true, false);
		speak(&w, EAST, &t[i].say);
		for (int r = 0; r < LBGP_REASONS; r++)
			if (w.link[EAST].refused[r] != (r == t[i].why))
				fail_msg("%s: refused %d times as %s", t[i].say.prefix,
					(int)w.link[EAST].refused[r],
					lbgp_reason_str((enum lbgp_reason)r));
		leads(&w, t[i].say.prefix, t[i].why == LBGP_REASONS ? EAST : -1,
			t[i].why == LBGP_REASONS ? EAST_BIT : 0, 0);
		if (t[i].why != LBGP_REASONS) {
			assert_true(pfx_eq(&w.link[EAST].last_refused, &p));
			assert_int_equal((int)w.link[EAST].last_why, t[i].why);
			heard(&w, NODE, t[i].say.prefix, NULL);
		}
		end(&w);
	}
}

static enum bgp_verdict keep(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	static const uint8_t no_export[] = {0xff, 0xff, 0xff, 0x01};

	(void)ctx;
	(void)r;
	return bgp_edit_add(e, BGP_LIST_COMMUNITY, no_export) == 0 ? BGP_ACCEPT : BGP_REJECT;
}
static const struct bgp_policy_ops keep_ops = {keep};

/* By policy to the third cluster, never back to the one that it went through; and taken back. */
static void transit(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	speak(&w, EAST, &(struct say){ranges[EAST]});
	allow(&w, WEST, false, true);
	heard(&w, WEST, ranges[EAST], "100 200");
	leads(&w, ranges[EAST], EAST, EAST_BIT, WEST_BIT);
	heard(&w, EAST, ranges[WEST], NULL);
	allow(&w, EAST, false, true);
	leads(&w, ranges[EAST], EAST, EAST_BIT, WEST_BIT);
	assert_int_equal(w.s.n[EAST].routes, 1 + 1); /* mid's range, and its own */
	allow(&w, WEST, false, false);
	heard(&w, WEST, ranges[EAST], NULL);
	leads(&w, ranges[EAST], EAST, EAST_BIT, 0);
	/* NO_EXPORT stays here, whatever the policy. */
	allow(&w, WEST, false, true);
	leads(&w, ranges[EAST], EAST, EAST_BIT, WEST_BIT);
	w.link[EAST].import.ops = &keep_ops;
	lbgp_judge(w.l, w.s.now);
	run(&w);
	heard(&w, WEST, ranges[EAST], NULL);
	leads(&w, ranges[EAST], EAST, EAST_BIT, 0);
	/* A loop: what went through us is nothing new. */
	speak(&w, WEST, &(struct say){"10.64.0.0/16", {100, 400}});
	leads(&w, "10.64.0.0/16", -1, 0, 0);
	end(&w);
}

/* Who may speak for a prefix: whoever it was accepted from, as long as that stands. */
static void accepted_from(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	speak(&w, EAST, &(struct say){ranges[EAST]});
	speak(&w, WEST, &(struct say){ranges[EAST], {200}});
	leads(&w, ranges[EAST], EAST, EAST_BIT, 0); /* not from west without a policy */
	allow(&w, WEST, true, false);
	leads(&w, ranges[EAST], EAST, EAST_BIT | WEST_BIT, 0);
	unsay(&w, EAST, ranges[EAST]);
	leads(&w, ranges[EAST], WEST, WEST_BIT, 0);
	speak(&w, EAST, &(struct say){ranges[EAST]});
	leads(&w, ranges[EAST], EAST, EAST_BIT | WEST_BIT, 0);
	unsay(&w, WEST, ranges[EAST]);
	leads(&w, ranges[EAST], EAST, EAST_BIT, 0);
	end(&w);
}

/* Routes of our own side: from gateways, not from nodes, and never for what is ours. */
static void own_nodes(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	speak(&w, NODE, &(struct say){"10.64.0.0/16", {400}});
	speak(&w, NODE, &(struct say){ranges[MID], {400}});
	leads(&w, "10.64.0.0/16", -1, 0, 0);
	for (int i = 0; i < 4; i++) {
		w.gateway = i % 2 == 0;
		round_of(&w);
		assert_int_equal(lbgp_sync(w.l, &w.c[MID], true, true, w.s.now), 0);
		run(&w);
		leads(&w, "10.64.0.0/16", w.gateway ? NODE : -1, w.gateway ? LBGP_OURS : 0, 0);
		leads(&w, ranges[MID], -1, 0, 0);
	}
	/* What another gateway of ours learned goes on, where policy says so. */
	w.gateway = true;
	round_of(&w);
	assert_int_equal(lbgp_sync(w.l, &w.c[MID], true, true, w.s.now), 0);
	run(&w);
	heard(&w, WEST, "10.64.0.0/16", NULL);
	allow(&w, WEST, false, true);
	heard(&w, WEST, "10.64.0.0/16", "100 400");
	leads(&w, "10.64.0.0/16", NODE, LBGP_OURS, WEST_BIT);
	end(&w);
}

/* Routes of another speaker of this node. */
static void offered(void **state)
{
	static const uint8_t path[] = {2, 1, 0, 0, 0xfd, 0xe7};
	struct bgp_attrs a = {
		.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH, .as_path = {path, sizeof(path)}};
	struct pfx p = P("198.51.100.0/24");
	struct world w;

	(void)state;
	begin(&w);
	assert_int_equal(lbgp_offer(w.l, &p, &a, true, w.s.now), 0);
	run(&w);
	heard(&w, EAST, "198.51.100.0/24", NULL);
	heard(&w, NODE, "198.51.100.0/24", NULL);
	leads(&w, "198.51.100.0/24", -1, 0, 0);
	allow(&w, EAST, false, true);
	heard(&w, EAST, "198.51.100.0/24", NULL); /* its policy is not asked of what lies outside */
	w.link[EAST].outside = true;
	allow(&w, EAST, false, true);
	heard(&w, EAST, "198.51.100.0/24", "100 64999");
	heard(&w, WEST, "198.51.100.0/24", NULL);
	leads(&w, "198.51.100.0/24", -1, 0, EAST_BIT);
	assert_true(seen(&w, &p)->offered && seen(&w, &p)->outside);
	/* Our own range is not the other speaker's to give or take. */
	for (int i = 0; i < 2; i++) {
		struct pfx own = P(ranges[MID]);

		assert_int_equal(lbgp_offer(w.l, &own, i ? &a : NULL, true, w.s.now), 0);
		run(&w);
		heard(&w, EAST, ranges[MID], "100");
	}
	/* Another session hears the same, whatever is there that it may not hear. */
	net_break(&w.s, MID, EAST);
	net_break(&w.s, MID, WEST);
	net_run(&w.s, 30);
	heard(&w, EAST, "198.51.100.0/24", "100 64999");
	heard(&w, EAST, ranges[MID], "100");
	heard(&w, WEST, "198.51.100.0/24", NULL);
	heard(&w, WEST, ranges[MID], "100");
	/* Taken away from links, and given back. */
	assert_int_equal(lbgp_offer(w.l, &p, &a, false, w.s.now), 0);
	run(&w);
	heard(&w, EAST, "198.51.100.0/24", NULL);
	assert_int_equal(lbgp_offer(w.l, &p, &a, true, w.s.now), 0);
	run(&w);
	heard(&w, EAST, "198.51.100.0/24", "100 64999");
	assert_int_equal(lbgp_offer(w.l, &p, NULL, true, w.s.now), 0);
	run(&w);
	heard(&w, EAST, "198.51.100.0/24", NULL);
	assert_false(seen(&w, &p)->offered);
	leads(&w, "198.51.100.0/24", -1, 0, 0);
	end(&w);
}

/* A range that another gateway of ours has a link with: no link here speaks for a part of it, but one may pass it on. */
static void range_of_another_gateway(void **state)
{
	struct world w;

	(void)state;
	for (int first = 0; first < 2; first++) {
		begin(&w);
		w.gateway = true;
		allow(&w, EAST, true, false);
		if (first)
			speak(&w, NODE, &(struct say){"10.64.0.0/16", {400}});
		speak(&w, EAST, &(struct say){"10.64.7.0/24", {500}});
		speak(&w, EAST, &(struct say){"10.64.0.0/12", {500}});
		speak(&w, EAST, &(struct say){"10.80.0.0/16", {500}});
		speak(&w, EAST, &(struct say){"10.64.0.0/16", {400}});
		if (!first) {
			leads(&w, "10.64.7.0/24", EAST, EAST_BIT, 0);
			speak(&w, NODE, &(struct say){"10.64.0.0/16", {400}});
		}
		for (int i = 0; i < 2; i++) {
			round_of(&w);
			assert_int_equal(lbgp_sync(w.l, &w.c[MID], true, true, w.s.now), 0);
			run(&w);
		}
		leads(&w, "10.64.0.0/16", NODE, LBGP_OURS | EAST_BIT, 0);
		leads(&w, "10.64.7.0/24", -1, 0, 0);
		leads(&w, "10.64.0.0/12", -1, 0, 0);
		leads(&w, "10.80.0.0/16", EAST, EAST_BIT, 0);
		assert_true(w.link[EAST].refused[LBGP_OTHER] >= 2);
		unsay(&w, NODE, "10.64.0.0/16");
		round_of(&w);
		assert_int_equal(lbgp_sync(w.l, &w.c[MID], true, true, w.s.now), 0);
		run(&w);
		leads(&w, "10.64.7.0/24", EAST, EAST_BIT, 0);
		end(&w);
	}
}

/* A policy that takes all communities away leaves those that say what a route is. */
static void marks(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	w.link[EAST].import.ops = w.link[WEST].export.ops = &wipe_ops;
	lbgp_judge(w.l, w.s.now);
	speak(&w, EAST, &(struct say){"198.51.100.0/24", {64999}, .outside = true});
	leads(&w, "198.51.100.0/24", EAST, EAST_BIT, WEST_BIT);
	assert_true(seen(&w, &(struct pfx){ip_v4(0xc6336400), 24})->outside);
	heard(&w, WEST, "198.51.100.0/24", "100 200 64999");
	end(&w);
}

/* A link that goes takes its routes, its bit and its ranges with it. */
static void unlinked(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	allow(&w, WEST, true, true);
	allow(&w, EAST, true, false);
	speak(&w, EAST, &(struct say){ranges[EAST]});
	speak(&w, EAST, &(struct say){ranges[WEST]});
	leads(&w, ranges[EAST], EAST, EAST_BIT, WEST_BIT);
	leads(&w, ranges[WEST], -1, 0, 0);
	lbgp_link_del(w.l, &w.link[WEST], w.s.now);
	run(&w);
	leads(&w, ranges[WEST], EAST, EAST_BIT,
		0); /* nobody's that we know of, and policy takes it */
	assert_int_equal(lbgp_peer(w.l, &w.key[WEST]), 0);
	assert_int_equal(lbgp_link_add(w.l, &w.link[WEST], w.s.now), 0);
	run(&w);
	leads(&w, ranges[WEST], -1, 0, 0);
	for (int i = 0; i < LIM_LINKS - 2; i++)
		assert_int_equal(lbgp_link_add(w.l, &w.link[WEST], w.s.now), 0);
	assert_int_equal(lbgp_link_add(w.l, &w.link[WEST], w.s.now), ERR_FULL);
	end(&w);
}

static void ways_are(struct world *w, int node, enum lbgp_way is)
{
	w->way[node] = is;
	round_of(w);
	assert_int_equal(lbgp_sync(w->l, &w->c[MID], true, true, w->s.now), 0);
	lbgp_flush(w->l);
	net_run(&w->s, 0);
	lbgp_flush(w->l);
}

/* Whose way fails is a last resort: any other way goes before it, without one it stays in use, and other
 * clusters are told nothing of it; its session and its right to speak stand. */
static void last_resort(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	allow(&w, WEST, true, true);
	speak(&w, EAST, &(struct say){ranges[EAST]});
	leads(&w, ranges[EAST], EAST, EAST_BIT, WEST_BIT);
	heard(&w, WEST, ranges[EAST], "100 200");
	ways_are(&w, EAST, LBGP_FAILS);
	assert_true(lbgp_held(w.l, &w.key[EAST]));
	run(&w);
	leads(&w, ranges[EAST], EAST, EAST_BIT, 0);
	heard(&w, WEST, ranges[EAST], NULL);
	heard(&w, NODE, ranges[EAST], "200");
	heard(&w, EAST, ranges[MID], "100");
	/* Another cluster leads there too, by a longer path. */
	speak(&w, WEST, &(struct say){ranges[EAST], {200}});
	leads(&w, ranges[EAST], WEST, EAST_BIT | WEST_BIT, 0);
	heard(&w, NODE, ranges[EAST], "300 200");
	/* It works again, and is taken for good after a while. */
	ways_are(&w, EAST, LBGP_WORKS);
	leads(&w, ranges[EAST], WEST, EAST_BIT | WEST_BIT, 0);
	net_run(&w.s, HOLD);
	ways_are(&w, EAST, LBGP_WORKS);
	run(&w);
	leads(&w, ranges[EAST], EAST, EAST_BIT | WEST_BIT, WEST_BIT);
	unsay(&w, WEST, ranges[EAST]);
	heard(&w, WEST, ranges[EAST], "100 200");
	end(&w);
}

/* A gateway of ours is one too; what it says, or another cluster, of last resorts counts inside alone. */
static void last_resort_of_ours(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	allow(&w, WEST, false, true);
	w.gateway = true;
	ways_are(&w, NODE, LBGP_WORKS);
	speak(&w, NODE, &(struct say){"10.64.0.0/16", {400}});
	heard(&w, WEST, "10.64.0.0/16", "100 400");
	ways_are(&w, NODE, LBGP_FAILS);
	run(&w);
	leads(&w, "10.64.0.0/16", NODE, LBGP_OURS, 0);
	heard(&w, WEST, "10.64.0.0/16", NULL);
	speak(&w, EAST, &(struct say){ranges[EAST], .last = true});
	leads(&w, ranges[EAST], EAST, EAST_BIT, WEST_BIT);
	end(&w);
}

/* Each failure while the last one is not long ago doubles the time of distrust. */
static void a_way_that_flaps(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned n = 0, want = HOLD; n < 10; n++, want = want < 64 ? 2 * want : 64) {
		unsigned secs = 0;

		ways_are(&w, EAST, LBGP_FAILS);
		net_run(&w.s, 100); /* however long that takes */
		for (ways_are(&w, EAST, LBGP_WORKS); lbgp_held(w.l, &w.key[EAST]); secs++) {
			net_run(&w.s, 1);
			ways_are(&w, EAST, LBGP_WORKS);
		}
		/* Beyond LBGP_STEADY it is forgotten: 64 s is the most that can be. */
		assert_int_equal(secs, want);
		if (want == 64)
			break;
	}
	ways_are(&w, EAST, LBGP_FAILS);
	ways_are(&w, EAST, LBGP_WORKS);
	net_run(&w.s, HOLD);
	ways_are(&w, EAST, LBGP_WORKS);
	assert_false(lbgp_held(w.l, &w.key[EAST]));
	end(&w);
}

/* Through relays is well enough, but for another gateway of the same link that is reached directly. */
static void roundabout(void **state)
{
	const struct node_key second = {{9}};
	struct world w;

	(void)state;
	begin(&w);
	ways_are(&w, EAST, LBGP_DOUBTFUL);
	assert_false(lbgp_held(w.l, &w.key[EAST]));
	for (int i = 0; i < 2; i++) { /* it is a peer after the first round */
		round_of(&w);
		lbgp_want(w.l, &second, &w.link[EAST], false);
		assert_int_equal(lbgp_sync(w.l, &w.c[MID], true, true, w.s.now), 0);
	}
	assert_true(lbgp_held(w.l, &w.key[EAST]));
	assert_false(lbgp_held(w.l, &w.key[WEST]));
	ways_are(&w, EAST, LBGP_DOUBTFUL); /* the second is not wanted */
	assert_false(lbgp_held(w.l, &w.key[EAST]));
	end(&w);
}

/* Memory that runs out somewhere refuses or delays; nothing leaks, and nothing crosses that should not. */
static void no_memory(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 400; n++) {
		struct world w;

		begin(&w);
		allow(&w, WEST, false, true);
		w.short_of_memory = true;
		fault_arm(n);
		speak(&w, EAST, &(struct say){ranges[EAST]});
		speak(&w, EAST, &(struct say){ranges[WEST]});
		if (!fault_disarm()) {
			end(&w);
			break;
		}
		net_run(&w.s, 60);
		lbgp_flush(w.l);
		leads(&w, ranges[WEST], -1, 0, 0);
		end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_deny),
		cmocka_unit_test(refused),
		cmocka_unit_test(transit),
		cmocka_unit_test(accepted_from),
		cmocka_unit_test(own_nodes),
		cmocka_unit_test(offered),
		cmocka_unit_test(range_of_another_gateway),
		cmocka_unit_test(marks),
		cmocka_unit_test(unlinked),
		cmocka_unit_test(last_resort),
		cmocka_unit_test(last_resort_of_ours),
		cmocka_unit_test(a_way_that_flaps),
		cmocka_unit_test(roundabout),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests_name("lbgp/rules", tests, NULL, NULL);
}
