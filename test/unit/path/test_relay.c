/* Which relay, when another, and never one that refuses: costs, hysteresis, chains, and random nets
 * under random cuts. pathnet.h itself fails a test whose route visits a node twice. */
#include "pathnet.h"

static unsigned relay_of(const struct net *t, unsigned i, unsigned j)
{
	struct path_info f = info(t, i, j);

	assert_true(f.route.n > 0);
	return find_label(t, &f.route.label[0]);
}

static void set_delay(struct net *t, unsigned i, unsigned j, unsigned ms)
{
	t->delay_ms[i][j] = t->delay_ms[j][i] = ms;
}

/* The cheapest of those that relay is taken; those that refuse never carry a packet. */
static void test_cheapest(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net *t = net_new(6, seed);

		t->n[2].relay = false; /* it would be the fastest */
		set_delay(t, 0, 2, 1);
		set_delay(t, 1, 2, 1);
		set_delay(t, 0, 3, 20);
		set_delay(t, 1, 4, 40);
		set_delay(t, 0, 5, 30);
		net_start(t, 1500);
		join_all(t);
		struct flow *ab = flow(t, 0, 1, 0, 500);
		flow(t, 1, 0, 0, 500);
		run(t, 3000);
		cut_both(t, 0, 1, true);
		run(t, 5000);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_RELAYED);
		assert_int_equal(relay_of(t, 0, 1), 3);
		assert_int_equal(relay_of(t, 1, 0), 3);
		assert_int_equal(t->refused, 0);
		assert_true(ab->rx > 0);
		net_free(t);
	}
}

/* A relay that stops to relay is left at once, and not asked again. */
static void test_refusing(void **state)
{
	struct net *t = net_new(4, 1);
	struct path_node quiet = {false, &t->n[2].ep, 1};

	(void)state;
	set_delay(t, 0, 3, 30);
	net_start(t, 1500);
	join_all(t);
	struct flow *ab = flow(t, 0, 1, 0, 500);
	flow(t, 1, 0, 0, 500);
	run(t, 2000);
	cut_both(t, 0, 1, true);
	run(t, 3000);
	assert_int_equal(relay_of(t, 0, 1), 2);
	/* It says so in its record ... */
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(path_node_set(t->n[i].p, &t->n[2].key, &quiet, t->now), 0);
	run(t, 1000);
	assert_int_equal(relay_of(t, 0, 1), 3);
	/* ... and one that merely does it is found by the probes that it eats. */
	set_delay(t, 0, 3, 5);
	mark(t, ab);
	t->n[3].relay = false;
	run(t, 5000);
	assert_int_equal(info(t, 0, 1).state, PATH_ST_LOST);
	net_free(t);
}

/* Costs that differ little or swing change nothing; a clearly cheaper relay is taken, once. */
/* The other side leaves the dead way so late that our relay seems dead too: it answers by the dead one.
 * When it has left that as well, the relay is as good as any, also for the next time. */
static void test_slow_to_leave(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net *t = net_new(3, seed);

		t->n[1].gap_ms = 500;
		net_start(t, 1500);
		join_all(t);
		struct flow *ab = flow(t, 0, 1, 0, 500);
		flow(t, 1, 0, 0, 500);
		run(t, 2000);
		cut_both(t, 0, 1, true);
		run(t, 4000);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_RELAYED);
		assert_int_equal(info(t, 1, 0).state, PATH_ST_RELAYED);
		assert_true(stats(t, 0).deaths >= 2); /* the relay's was the second */
		cut_both(t, 0, 1, false);
		run(t, 8000);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_DIRECT);
		assert_int_equal(info(t, 1, 0).state, PATH_ST_DIRECT);
		mark(t, ab);
		cut_both(t, 0, 1, true);
		run(t, 4000);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_RELAYED);
		assert_int_equal(info(t, 1, 0).state, PATH_ST_RELAYED);
		net_free(t);
	}
}

/* The relay of a way without data is reached by another relay itself, from now on: the way through it is void,
 * and another one is found, though nothing was sent that could be missed. */
static void test_relay_is_relayed(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net *t = net_new(4, seed);

		set_delay(t, 0, 3, 30);
		net_start(t, 1500);
		join_all(t);
		struct flow *ab = flow(t, 0, 1, 0, 500), *ba = flow(t, 1, 0, 0, 500);
		run(t, 2000);
		cut_both(t, 0, 1, true);
		run(t, 3000);
		assert_int_equal(relay_of(t, 0, 1), 2);
		ab->on = ba->on = false;
		run(t, 5000);
		flow(t, 0, 2, 0, 500);
		flow(t, 2, 0, 0, 500);
		run(t, 1000);
		cut_both(t, 0, 2, true);
		run(t, 4000);
		assert_int_equal(info(t, 0, 2).state, PATH_ST_RELAYED);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_RELAYED);
		assert_int_equal(relay_of(t, 0, 1), 3);
		net_free(t);
	}
}

/* A relay that reaches who asks by others itself can't pass on what comes back: it promises nothing, though it
 * would be the cheapest. */
static void test_one_sided(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net *t = net_new(5, seed);

		set_delay(t, 0, 1, 50);
		set_delay(t, 0, 3, 30);
		set_delay(t, 1, 4, 100);
		net_start(t, 1500);
		join_all(t);
		flow(t, 0, 2, 0, 500);
		flow(t, 2, 0, 0, 500);
		t->cut[2][0] = true;
		run(t, 30000);
		assert_int_equal(info(t, 0, 2).state, PATH_ST_DIRECT);
		assert_int_equal(relay_of(t, 2, 0), 4);
		flow(t, 0, 1, 0, 500);
		flow(t, 1, 0, 0, 500);
		run(t, 1000);
		cut_both(t, 0, 1, true);
		run(t, 5000);
		assert_int_equal(relay_of(t, 0, 1), 3);
		net_free(t);
	}
}

static void test_hysteresis(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net *t = net_new(5, seed);

		for (unsigned r = 2; r < 5; r++) {
			set_delay(t, 0, r, 20 + r);
			set_delay(t, 1, r, 20);
		}
		t->jitter_pct = 15;
		net_start(t, 1500);
		join_all(t);
		struct flow *ab = flow(t, 0, 1, 0, 500);
		flow(t, 1, 0, 0, 500);
		run(t, 2000);
		cut_both(t, 0, 1, true);
		run(t, 2000);
		unsigned was = relay_of(t, 0, 1);
		run(t, 300000);
		if (info(t, 0, 1).switches != 2 || relay_of(t, 0, 1) != was)
			fail_msg("seed %llu: %u switches", (unsigned long long)seed,
				info(t, 0, 1).switches);
		unsigned better = was == 2 ? 3 : 2;
		mark(t, ab);
		set_delay(t, 0, better, 3);
		set_delay(t, 1, better, 3);
		run(t, 60000);
		assert_int_equal(relay_of(t, 0, 1), better);
		assert_int_equal(info(t, 0, 1).switches, 3);
		assert_in_range(gap(t, ab), 0, 100);
		net_free(t);
	}
}

/* The relay in use dies: another within a second. */
static void test_relay_dies(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net *t = net_new(6, seed);

		net_start(t, 1500);
		join_all(t);
		struct flow *ab = flow(t, 0, 1, 0, 500), *ba = flow(t, 1, 0, 0, 500);
		run(t, 2000);
		cut_both(t, 0, 1, true);
		run(t, 3000);
		unsigned r = relay_of(t, 0, 1);
		mark(t, ab);
		mark(t, ba);
		for (unsigned i = 0; i < t->count; i++)
			cut_both(t, i, r, true);
		run(t, 10000);
		if (gap(t, ab) >= 1000 || gap(t, ba) >= 1000)
			fail_msg("seed %llu: %lld and %lld ms without data",
				(unsigned long long)seed, (long long)gap(t, ab),
				(long long)gap(t, ba));
		assert_int_not_equal(relay_of(t, 0, 1), r);
		/* Its session ends: who goes through it changes without waiting for probes. */
		r = relay_of(t, 0, 1);
		mark(t, ab);
		path_link_down(t->n[0].p, &t->n[r].key, t->now);
		t->n[0].link[r].up = false;
		run(t, 2000);
		assert_int_not_equal(relay_of(t, 0, 1), r);
		assert_in_range(gap(t, ab), 0, 200);
		net_free(t);
	}
}

/* A direct path that loses most of what it gets is not gone back to; nor is one that works only now
 * and then, more often than its back-off allows. */
static void test_bad_direct(void **state)
{
	struct net *t = net_new(4, 9);

	(void)state;
	net_start(t, 1500);
	join_all(t);
	struct flow *ab = flow(t, 0, 1, 0, 500);
	flow(t, 1, 0, 0, 500);
	run(t, 2000);
	for (unsigned k = 0; k < 300; k++) { /* works for a second of each five */
		cut_both(t, 0, 1, k % 5 != 0);
		run(t, 1000);
	}
	if (info(t, 0, 1).switches > 10)
		fail_msg("%u switches in 300 s", info(t, 0, 1).switches);
	assert_true(ab->rx * 100 > ab->tx * 95);
	net_free(t);
}

/* A direct way that drops seven of ten packets answers now and then, but not three rounds in a row often
 * enough to be worth leaving a relay that works. */
static void test_lossy_direct(void **state)
{
	struct net *t = net_new(4, 13);

	(void)state;
	net_start(t, 1500);
	join_all(t);
	struct flow *ab = flow(t, 0, 1, 0, 500);
	flow(t, 1, 0, 0, 500);
	run(t, 2000);
	cut_both(t, 0, 1, true);
	run(t, 3000);
	assert_int_equal(info(t, 0, 1).state, PATH_ST_RELAYED);
	uint64_t tx = ab->tx, rx = ab->rx;
	for (unsigned k = 0; k < 10000; k++) {
		cut_both(t, 0, 1, prng_below(&t->prng, 10) < 7);
		run(t, 20);
	}
	if ((ab->rx - rx) * 100 < (ab->tx - tx) * 97)
		fail_msg("%llu of %llu arrived", (unsigned long long)(ab->rx - rx),
			(unsigned long long)(ab->tx - tx));
	net_free(t);
}

/* The only relay dies while the direct way answers now and then: never so often in a row as it takes to
 * leave a relay that works, but it is all there is. */
static void test_nothing_better(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net *t = net_new(3, seed);

		net_start(t, 1500);
		join_all(t);
		struct flow *ab = flow(t, 0, 1, 0, 500);
		flow(t, 1, 0, 0, 500);
		run(t, 2000);
		cut_both(t, 0, 1, true);
		run(t, 3000);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_RELAYED);
		mark(t, ab);
		cut_both(t, 2, 1, true);
		for (unsigned k = 0; k < 20; k++) {
			cut_both(t, 0, 1, k % 2 == 0);
			run(t, 300);
		}
		if (gap(t, ab) >= 2500)
			fail_msg("seed %llu: %lld ms without data", (unsigned long long)seed,
				(long long)gap(t, ab));
		net_free(t);
	}
}

/* Is an ask for a way by further relays under way from @i to @j? */
static bool asks_deeper(const struct net *t, unsigned i, unsigned j)
{
	struct path_ask ask;
	struct rd r;

	for (const struct frame *f = t->flying; f; f = f->next) {
		if (f->kind != FRAME_PATH || f->origin != i || f->dst != j ||
			f->buf[0] != PATH_MSG_ASK)
			continue;
		rd_init(&r, f->buf + 1, f->len - 1);
		assert_int_equal(path_ask_decode(&r, &ask), 0);
		if (ask.depth > 0)
			return true;
	}
	return false;
}

/* The relay in use loses the target. While others are asked, something late of the target makes the way look
 * alive, so that what they offer is passed over. Once that is seen to be wrong, they are asked at once. */
static void test_search_anew(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net *t = net_new(5, seed);
		struct flow *ab, *ba;

		/* 0 to 1 by 2; without 2, by 3 and 4. */
		net_start(t, 1500);
		set_delay(t, 0, 3, 100);
		join_all(t);
		cut_both(t, 3, 1, true);
		cut_both(t, 0, 4, true);
		cut_both(t, 2, 3, true);
		ab = flow(t, 0, 1, 0, 500);
		ba = flow(t, 1, 0, 0, 500);
		ba->on = false;
		run(t, 3000);
		t->cut[0][1] = true;
		flow(t, 3, 1, 0, 500);
		flow(t, 1, 3, 0, 500);
		run(t, 4000);
		assert_int_equal(relay_of(t, 0, 1), 2);
		assert_int_equal(relay_of(t, 3, 1), 4);
		t->cut[2][1] = true;
		for (unsigned i = 0; i < 5000 && !asks_deeper(t, 0, 3); i++)
			run(t, 1);
		assert_true(asks_deeper(t, 0, 3));
		assert_int_equal(info(t, 0, 1).state, PATH_ST_LOST);
		ba->on = true;
		run(t, 20);
		ba->on = false;
		mark(t, ab);
		run(t, 15000);
		if (gap(t, ab) >= 2000)
			fail_msg("seed %llu: %lld ms without data", (unsigned long long)seed,
				(long long)gap(t, ab));
		net_free(t);
	}
}

/* The id of the ask that @p has queued; everything else is dropped. *@route: told by PATH_USE. */
static bool take_ask(struct path *p, uint32_t *id, uint8_t *route)
{
	struct path_act a;
	struct path_ask ask;
	bool found = false;
	struct rd r;

	while (path_next(p, &a)) {
		if (a.type == PATH_USE)
			*route = a.route.n;
		if (a.type != PATH_SEND || a.buf[0] != PATH_MSG_ASK)
			continue;
		rd_init(&r, a.buf + 1, a.len - 1);
		assert_int_equal(path_ask_decode(&r, &ask), 0);
		*id = ask.id;
		found = true;
	}
	return found;
}

/* A candidate that promises a way which visits a node twice is not believed; the same with other nodes
 * is used. */
static void test_lying_answer(void **state)
{
	const struct node_key us = {{1}}, target = {{2}}, relay = {{3}}, other = {{4}},
			      third = {{5}};
	const struct node_key *const rest[][2] = {
		{&us, &other},
		{&other, &us},
		{&relay, &other},
		{&target, &other},
		{&other, &other},
		{&other, &third},
	};
	const unsigned cases = sizeof(rest) / sizeof(rest[0]);

	(void)state;
	for (unsigned k = 0; k < cases; k++) {
		struct path_cfg cfg = {.self = us, .relay = true, .has_v4 = true, .mtu = 1500};
		const struct ep ep = {ip_v4(0x0a000001), PORT, 0};
		const struct path_node of = {true, &ep, 1};
		const struct path_from from = {.node = relay, .ep = ep};
		struct path_answer m = {.target = path_label_of(&target),
			.verdict = PATH_ANSWER_OK,
			.cost_us = 100,
			.n = 2};
		ts_t now = {DUR_SEC(1).ns}, sent = now;
		uint8_t buf[PATH_MSG_MAX], used = 0;
		unsigned answered = 0;
		struct wr w;

		path_tune_default(&cfg.tune);
		struct path *p = path_new(&cfg, now);
		assert_non_null(p);
		assert_int_equal(path_node_set(p, &target, &of, now), 0);
		assert_int_equal(path_node_set(p, &relay, &of, now), 0);
		assert_int_equal(path_link_up(p, &target, &ep, NULL, now), 0);
		assert_int_equal(path_link_up(p, &relay, &ep, NULL, now), 0);
		for (unsigned i = 0; i < 2; i++)
			m.rest[i] = path_label_of(rest[k][i]);
		for (unsigned ms = 0; ms < 3000 && used == 0; ms += 10) {
			now = ts_add(now, DUR_MS(10));
			path_tick(p, now);
			assert_int_equal(path_traffic(p, &target, 0, now, sent, now), 0);
			if (!take_ask(p, &m.id, &used))
				continue;
			wr_init(&w, buf, sizeof(buf));
			path_answer_encode(&w, &m);
			assert_int_equal(path_recv(p, &from, buf, wr_len(&w), now), 0);
			answered++;
		}
		assert_true(answered > 0);
		assert_int_equal(used, k == cases - 1 ? 3 : 0);
		path_free(p);
	}
}

/* Two crooks and an honest relay between two nodes that are cut. Whatever the crooks promise, traffic is
 * held up for a few seconds at most and then never again; each that carried nothing is named, and so is who
 * names a way in circles; one that carries, but slowly, is left for the honest one. */
static void test_crooks(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		const enum crook crook = (enum crook)(CROOK_SLOW + seed % 3);
		const bool slow = crook == CROOK_SLOW;
		struct net *t = net_new(5, seed);

		for (unsigned r = 3; r < 5; r++) {
			t->n[r].crook = crook;
			set_delay(t, 0, r, slow ? 150 : 1);
			set_delay(t, 1, r, slow ? 150 : 1);
		}
		set_delay(t, 0, 2, 20);
		set_delay(t, 1, 2, 20);
		net_start(t, 1500);
		join_all(t);
		struct flow *ab = flow(t, 0, 1, 0, 500);
		flow(t, 1, 0, 0, 500);
		run(t, 2000);
		mark(t, ab);
		cut_both(t, 0, 1, true);
		run(t, 40000);
		assert_in_range(gap(t, ab), 0, 6000);
		assert_int_equal(relay_of(t, 0, 1), 2);
		mark(t, ab);
		run(t, 300000);
		assert_in_range(gap(t, ab), 0, 200);
		assert_int_equal(relay_of(t, 0, 1), 2);
		assert_int_equal(t->n[0].bad_relays[2], 0);
		/* They were tried again now and then, not with data. */
		if (!slow)
			assert_true(t->n[0].bad_relays[3] > 0 && t->n[0].bad_relays[4] > 0);
		assert_true(slow || stats(t, 0).relays_bad < 60);
		net_free(t);
	}
}

/* A line of nodes, each linked to its neighbours alone: its ends find each other through two relays,
 * and five nodes of a line through three. */
static void test_chain(void **state)
{
	(void)state;
	for (unsigned n = 4; n <= 6; n++) {
		struct net *t = net_new(n, n);

		for (unsigned i = 0; i < n; i++) {
			for (unsigned j = 0; j < n; j++)
				t->cut[i][j] = i + 1 != j && j + 1 != i && i != j;
		}
		net_start(t, 1500);
		for (unsigned i = 1; i < n; i++)
			join(t, i - 1, i);
		struct flow *ab = flow(t, 0, n - 1, 0, 500);
		assert_int_equal(path_want(t->n[0].p, &t->n[n - 1].key, t->now), 0);
		run(t, n <= 5 ? 20000 : 60000);
		if (n <= 5) {
			assert_int_equal(info(t, 0, n - 1).state, PATH_ST_RELAYED);
			assert_int_equal(info(t, 0, n - 1).route.n, n - 2);
			assert_int_equal(info(t, n - 1, 0).route.n, n - 2);
			assert_true(ab->rx > 0);
		} else {
			/* Four relays are one too many. */
			assert_int_equal(ab->rx, 0);
			assert_true(t->n[0].unreachable[n - 1]);
		}
		net_free(t);
	}
}

/* A way is looked for on behalf of a neighbour that allows one relay less than it takes. Once the node itself has
 * data, all are allowed. */
static void test_chain_for_others(void **state)
{
	struct net *t = net_new(5, 1);
	const struct path_from from = {.node = t->n[1].key, .ep = t->n[1].ep};
	struct path_ask ask = {.id = 1, .depth = 1, .target = t->n[4].key};
	uint8_t buf[PATH_MSG_MAX];
	struct wr w;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		for (unsigned j = 0; j < 5; j++)
			t->cut[i][j] = i + 1 != j && j + 1 != i && i != j;
	}
	net_start(t, 1500);
	for (unsigned i = 1; i < 5; i++)
		join(t, i - 1, i);
	wr_init(&w, buf, sizeof(buf));
	path_ask_encode(&w, &ask);
	assert_int_equal(path_recv(t->n[0].p, &from, buf, wr_len(&w), t->now), 0);
	run(t, 100);
	assert_int_equal(info(t, 0, 4).state, PATH_ST_CONNECTING);
	assert_int_equal(path_want(t->n[0].p, &t->n[4].key, t->now), 0);
	run(t, 20000);
	assert_int_equal(info(t, 0, 4).state, PATH_ST_RELAYED);
	assert_int_equal(info(t, 0, 4).route.n, 3);
	net_free(t);
}

/* Is there a relay with both ways open to both? */
static bool one_relay(const struct net *t, unsigned i, unsigned j)
{
	for (unsigned r = 0; r < t->count; r++) {
		if (r != i && r != j && t->n[r].relay && !t->cut[i][r] && !t->cut[r][i] &&
			!t->cut[j][r] && !t->cut[r][j])
			return true;
	}
	return false;
}

/* Random cuts of random directions, some nodes refusing: whoever can be reached directly or through
 * one relay is reached within 20 s; when all is mended everybody is direct again. */
static void test_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct net *t = net_new(8, seed);

		for (unsigned i = 0; i < t->count; i++)
			t->n[i].relay = prng_below(&t->prng, 3) > 0;
		net_start(t, 1500);
		join_all(t);
		for (unsigned k = 0; k < 20; k++) {
			unsigned i = (unsigned)prng_below(&t->prng, t->count);
			unsigned j = (unsigned)prng_below(&t->prng, t->count);

			bool there = i == j;

			for (unsigned w = 0; w < t->nflows; w++)
				there |= t->flow[w].from == i && t->flow[w].to == j;
			if (!there)
				flow(t, i, j, 0, 200);
		}
		run(t, 2000);
		for (unsigned round = 0; round < 3; round++) {
			for (unsigned i = 0; i < t->count; i++) {
				for (unsigned j = 0; j < t->count; j++)
					t->cut[i][j] = i != j && prng_below(&t->prng, 4) == 0;
			}
			run(t, 20000);
			for (unsigned k = 0; k < t->nflows; k++)
				mark(t, &t->flow[k]);
			run(t, 3000);
			for (unsigned k = 0; k < t->nflows; k++) {
				struct flow *w = &t->flow[k];

				bool through = !t->cut[w->from][w->to] && !t->cut[w->to][w->from];

				if (!through && !one_relay(t, w->from, w->to))
					continue;
				if (gap(t, w) >= 3000)
					fail_msg("seed %llu round %u: %u-%u carries nothing",
						(unsigned long long)seed, round, w->from, w->to);
			}
		}
		memset(t->cut, 0, sizeof(t->cut));
		run(t, 150000);
		for (unsigned k = 0; k < t->nflows; k++) {
			if (info(t, t->flow[k].from, t->flow[k].to).state != PATH_ST_DIRECT)
				fail_msg("seed %llu: %u-%u is not direct again",
					(unsigned long long)seed, t->flow[k].from, t->flow[k].to);
		}
		net_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cheapest),
		cmocka_unit_test(test_refusing),
		cmocka_unit_test(test_hysteresis),
		cmocka_unit_test(test_slow_to_leave),
		cmocka_unit_test(test_relay_is_relayed),
		cmocka_unit_test(test_one_sided),
		cmocka_unit_test(test_relay_dies),
		cmocka_unit_test(test_bad_direct),
		cmocka_unit_test(test_lossy_direct),
		cmocka_unit_test(test_nothing_better),
		cmocka_unit_test(test_search_anew),
		cmocka_unit_test(test_lying_answer),
		cmocka_unit_test(test_crooks),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_chain_for_others),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
