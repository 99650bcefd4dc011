/* Membership in virtual time: clusters whose network loses, whose nodes stall, crash, are cut off,
 * or lie. WEFT_SEED fixes the seed, WEFT_MINUTES the length of the quiet runs (2), WEFT_NODES
 * their size (60). */
#include "membnet.h"

#include "member_wire.h"

static uint64_t env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static struct net *cluster(int n)
{
	uint64_t seed = env("WEFT_SEED", 1);

	print_message("seed %llu, %d nodes\n", (unsigned long long)seed, n);
	return net_new(n, seed);
}

static int by_ns(const void *a, const void *b)
{
	int64_t x = ((const dur_t *)a)->ns, y = ((const dur_t *)b)->ns;

	return x < y ? -1 : x > y;
}

/* How long each node took to declare @victims dead since @at: sorted into @out; how many. */
static size_t took(const struct net *w, const int *victims, int nvictims, ts_t at, dur_t *out)
{
	size_t count = 0;

	for (int v = 0; v < nvictims; v++)
		for (int i = 0; i < w->n; i++) {
			const struct net_pair *p = &w->pair[i][victims[v]];

			if (i == victims[v] || !w->node[i].up)
				continue;
			if (p->state != MEMBER_GONE)
				fail_msg("seed %llu: node %d does not hold %d dead",
					(unsigned long long)w->seed, i, victims[v]);
			out[count++] = ts_sub(p->told, at);
		}
	qsort(out, count, sizeof(*out), by_ns);
	return count;
}

static void check_took(const char *what, const dur_t *t, size_t count)
{
	print_message("%s: median %.1f s, worst %.1f s of %zu\n", what,
		(double)t[count / 2].ns / 1e9, (double)t[count - 1].ns / 1e9, count);
	assert_true(t[count / 2].ns < DUR_SEC(5).ns);
	assert_true(t[count - 1].ns < DUR_SEC(15).ns);
}

static void test_death(void **state)
{
	static dur_t t[NET_MAX * 8];
	struct net *w = cluster((int)env("WEFT_NODES", 60));
	size_t count = 0;

	assert_true(net_agreed(w));
	for (int v = 0; v < 5; v++) {
		ts_t at;

		net_run(w, DUR_NS(DUR_SEC(1).ns + (int64_t)prng_below(&w->prng, 1000000000)));
		at = w->now;
		net_crash(w, v);
		net_run(w, DUR_SEC(20));
		count += took(w, &v, 1, at, t + count);
	}
	qsort(t, count, sizeof(*t), by_ns);
	check_took("one dies", t, count);
	assert_int_equal(w->false_deaths, 0);
	/* They come back as new runs of themselves. */
	for (int v = 0; v < 5; v++) {
		net_start(w, v, true);
		net_tell_record(w, v);
	}
	net_run(w, DUR_SEC(5));
	assert_true(net_agreed(w));
	net_free(w);
}

static void test_small(void **state)
{
	for (int n = 2; n <= 4; n++) {
		struct net *w = cluster(n);
		dur_t t[4];
		ts_t at = w->now;

		assert_true(net_agreed(w));
		net_crash(w, 0);
		net_run(w, DUR_SEC(20));
		check_took("in a small cluster", t, took(w, (int[]){0}, 1, at, t));
		net_free(w);
	}
}

static void test_many_die(void **state)
{
	static dur_t t[20 * NET_MAX];
	struct net *w = cluster(60);
	int victims[20];
	ts_t at = w->now;

	for (int v = 0; v < 20; v++)
		net_crash(w, victims[v] = v);
	net_run(w, DUR_SEC(40));
	print_message("a third dies: ");
	size_t count = took(w, victims, 20, at, t);
	print_message("median %.1f s, worst %.1f s\n", (double)t[count / 2].ns / 1e9,
		(double)t[count - 1].ns / 1e9);
	assert_true(t[count - 1].ns < DUR_SEC(25).ns);
	assert_int_equal(w->false_deaths, 0);
	net_free(w);
}

static void sum_stats(const struct net *w, struct members_stats *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (int i = 0; i < w->n; i++) {
		struct members_stats s;

		if (!w->node[i].up)
			continue;
		net_stats(w, i, &s);
		sum->own_suspicions += s.own_suspicions;
		sum->suspicions += s.suspicions;
		sum->deaths += s.deaths;
		sum->bridges += s.bridges;
		sum->false_alarms += s.false_alarms;
		sum->self_refutes += s.self_refutes;
		sum->rx_bad += s.rx_bad;
		sum->rx_forged += s.rx_forged;
		sum->rx_foreign += s.rx_foreign;
		sum->rx_limited += s.rx_limited;
		sum->rx_liar += s.rx_liar;
		sum->liars += s.liars;
		sum->stalls += s.stalls;
		sum->probes += s.probes;
		sum->facts_tx += s.facts_tx;
		sum->facts_dropped += s.facts_dropped;
	}
}

static void tell_sum(const struct net *w, const char *what)
{
	struct members_stats s;

	sum_stats(w, &s);
	print_message(
		"%s: %llu stalls, %llu own suspicions, %llu deaths, %llu refutations of self, "
		"%llu foreign, %llu forged, %llu limited, %llu of liars\n",
		what, (unsigned long long)s.stalls, (unsigned long long)s.own_suspicions,
		(unsigned long long)s.deaths, (unsigned long long)s.self_refutes,
		(unsigned long long)s.rx_foreign, (unsigned long long)s.rx_forged,
		(unsigned long long)s.rx_limited, (unsigned long long)s.rx_liar);
}

static void test_loss(void **state)
{
	struct net *w = cluster((int)env("WEFT_NODES", 60));
	struct members_stats s;

	w->loss = 0.05;
	net_run(w, DUR_SEC(60 * (int64_t)env("WEFT_MINUTES", 2)));
	tell_sum(w, "5 % loss");
	sum_stats(w, &s);
	assert_int_equal(w->false_deaths, 0);
	assert_int_equal(s.deaths, 0);
	assert_int_equal(s.rx_bad + s.rx_forged, 0);
	net_free(w);
}

static void test_stalls(void **state)
{
	struct net *w = cluster((int)env("WEFT_NODES", 60));
	struct members_stats s;

	w->loss = 0.01;
	w->stall_nodes = w->n / 10;
	w->stall_chance = 0.5;
	net_run(w, DUR_SEC(60 * (int64_t)env("WEFT_MINUTES", 2)));
	tell_sum(w, "a tenth stalls");
	sum_stats(w, &s);
	assert_true(s.stalls > 0);
	assert_int_equal(w->false_deaths, 0);
	assert_int_equal(s.deaths, 0);
	net_free(w);
}

/* A node that stood still for long declares nobody dead when it goes on, and comes back itself. */
static void test_long_stall(void **state)
{
	struct net *w = cluster(40);
	struct members_stats s;

	w->judged_from = 1;
	w->node[0].stalled = ts_add(w->now, DUR_SEC(30));
	net_run(w, DUR_SEC(29));
	assert_int_equal(net_count(w, 0, MEMBER_GONE), 39);
	net_run(w, DUR_SEC(11));
	net_stats(w, 0, &s);
	assert_int_equal(s.deaths, 0);
	assert_true(s.stalls > 0);
	assert_true(w->node[0].refutes > 0);
	assert_true(net_agreed(w));
	assert_int_equal(w->false_deaths, 0);
	net_free(w);
}

static void test_partition(void **state)
{
	struct net *w = cluster((int)env("WEFT_NODES", 60));
	ts_t healed;

	for (int i = 0; i < w->n; i++)
		w->node[i].side = i % 2;
	net_run(w, DUR_SEC(60));
	for (int i = 0; i < w->n; i++)
		for (int j = 0; j < w->n; j++)
			if (i != j)
				assert_int_equal(w->pair[i][j].state,
					i % 2 == j % 2 ? MEMBER_OK : MEMBER_GONE);
	for (int i = 0; i < w->n; i++)
		w->node[i].side = 0;
	healed = w->now;
	while (!net_agreed(w) && ts_sub(w->now, healed).ns < DUR_SEC(30).ns)
		net_run(w, DUR_MS(100));
	print_message("healed in %.1f s\n", (double)ts_sub(w->now, healed).ns / 1e9);
	tell_sum(w, "partition");
	assert_true(ts_sub(w->now, healed).ns < DUR_SEC(10).ns);
	net_run(w, DUR_SEC(60));
	assert_true(net_agreed(w));
	assert_int_equal(w->false_deaths, 0);
	net_free(w);
}

/* Every node that is up counted @least to @most storms, and stands in none now. */
static void storms_are(const struct net *w, uint64_t least, uint64_t most)
{
	for (int i = 0; i < w->n; i++) {
		struct members_stats s;

		if (!w->node[i].up)
			continue;
		net_stats(w, i, &s);
		if (s.storms < least || s.storms > most || s.storm)
			fail_msg("seed %llu: node %d counts %llu storms (%d), not %llu to %llu",
				(unsigned long long)w->seed, i, (unsigned long long)s.storms,
				s.storm, (unsigned long long)least, (unsigned long long)most);
	}
}

/* Many that are suspected at once are a storm on every node, and it passes; one death is none. A partition's
 * suspicions may come in two waves, which some nodes count apart. */
static void test_storm(void **state)
{
	struct net *w = cluster(60);

	net_crash(w, 7);
	net_run(w, DUR_SEC(20));
	storms_are(w, 0, 0);
	for (uint64_t round = 1; round <= 2; round++) {
		bool seen[NET_MAX] = {false};
		struct members_stats s;

		for (int i = 0; i < w->n; i++)
			w->node[i].side = i % 2;
		for (int k = 0; k < 300; k++) {
			net_run(w, DUR_MS(100));
			for (int i = 0; i < w->n; i++) {
				if (!w->node[i].up)
					continue;
				net_stats(w, i, &s);
				seen[i] |= s.storm;
			}
		}
		for (int i = 0; i < w->n; i++)
			assert_true(seen[i] || !w->node[i].up);
		storms_are(w, round, 2 * round);
		for (int i = 0; i < w->n; i++)
			w->node[i].side = 0;
		net_run(w, DUR_SEC(30));
		assert_true(net_agreed(w));
		storms_are(w, round, 2 * round);
	}
	net_free(w);
}

/* One node alone on its side, then back. */
static void test_isolated(void **state)
{
	struct net *w = cluster(30);
	ts_t healed;

	w->node[0].side = 1;
	net_run(w, DUR_SEC(60));
	assert_int_equal(net_count(w, 0, MEMBER_GONE), 29);
	w->node[0].side = 0;
	healed = w->now;
	while (!net_agreed(w) && ts_sub(w->now, healed).ns < DUR_SEC(60).ns)
		net_run(w, DUR_MS(100));
	print_message("back in %.1f s\n", (double)ts_sub(w->now, healed).ns / 1e9);
	tell_sum(w, "one alone");
	assert_true(ts_sub(w->now, healed).ns < DUR_SEC(30).ns);
	net_run(w, DUR_SEC(30));
	assert_true(net_agreed(w));
	assert_int_equal(w->false_deaths, 0);
	net_free(w);
}

/* A partition that leaves node 0 on a side without any of its neighbours: it is linked with others of its side
 * well before the rest is dead, and so hears what they say. Others have neighbours left, and call nobody. */
static void test_without_neighbours(void **state)
{
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net *w = net_new(60, seed);
		unsigned links = 0, calls = 0;
		struct members_stats s;
		ts_t cut = w->now;

		for (int j = 1; j < w->n; j++)
			w->node[j].side = w->pair[0][j].watch || j % 2;
		while (links == 0 && ts_sub(w->now, cut).ns < DUR_SEC(4).ns) {
			net_run(w, DUR_MS(100));
			for (int j = 1; j < w->n; j++)
				links += w->pair[0][j].linked && w->pair[j][0].linked &&
					 w->node[j].side == 0;
		}
		if (links == 0)
			fail_msg("seed %llu: nobody was called", (unsigned long long)seed);
		assert_int_equal(net_count(w, 0, MEMBER_GONE), 0);
		for (int i = 1; i < w->n; i++) {
			net_stats(w, i, &s);
			calls += s.bridges > 0;
		}
		assert_true(calls < 20);
		net_run(w, DUR_SEC(60));
		assert_int_equal(w->false_deaths, 0);
		for (int j = 1; j < w->n; j++)
			assert_int_equal(
				w->pair[0][j].state, w->node[j].side ? MEMBER_GONE : MEMBER_OK);
		for (int j = 1; j < w->n; j++)
			w->node[j].side = 0;
		net_run(w, DUR_SEC(30));
		assert_true(net_agreed(w));
		net_stats(w, 0, &s);
		assert_true(s.bridges > 0 && s.bridges < 60);
		net_free(w);
	}
}

/* Paths between single pairs are broken, in one direction or both: nobody dies of it. */
static void test_cuts(void **state)
{
	struct net *w = cluster(60);
	struct members_stats s;

	for (int i = 0; i < w->n; i++)
		for (int j = 0; j < w->n; j++)
			w->pair[i][j].cut = i != j && net_chance(w, 0.05);
	net_run(w, DUR_SEC(180));
	tell_sum(w, "5 % of the paths cut");
	sum_stats(w, &s);
	assert_int_equal(w->false_deaths, 0);
	assert_int_equal(s.deaths, 0);
	net_free(w);
}

static void deafen(struct net *w, int i, bool deaf)
{
	for (int j = 0; j < w->n; j++)
		w->pair[j][i].cut = deaf && i != j;
}

/* Nodes that heard nobody for a while suspected everybody. When they are well again for as long as
 * it takes to hear of it, nothing of that is left to kill anybody: not even where they don't watch
 * a suspect any more, and missed its word. */
static void test_deaf(void **state)
{
	struct net *w = cluster(12);

	for (int trial = 0; trial < 60; trial++) {
		int a = (int)prng_below(&w->prng, 12), b = (a + 1) % 12;

		deafen(w, a, true);
		net_run(w, DUR_MS((int64_t)prng_below(&w->prng, 20000)));
		deafen(w, b, true);
		net_run(w, DUR_MS(3000 + (int64_t)prng_below(&w->prng, 4000)));
		deafen(w, a, false);
		deafen(w, b, false);
		net_run(w, DUR_SEC(15));
		w->false_deaths = 0;
		net_run(w, DUR_SEC(40));
		if (w->false_deaths > 0 || !net_agreed(w))
			fail_msg("seed %llu, trial %d: a well node took another for dead",
				(unsigned long long)w->seed, trial);
	}
	tell_sum(w, "nodes went deaf");
	net_free(w);
}

static void test_leave(void **state)
{
	struct net *w = cluster(40);
	struct members_stats s;

	members_leave(w->node[3].m, w->now);
	net_drain(w, 3);
	assert_true(ts_is_never(members_deadline(w->node[3].m)) ||
		    !ts_due(members_deadline(w->node[3].m), w->now));
	net_run(w, DUR_MS(200));
	net_crash(w, 3);
	net_run(w, DUR_SEC(2));
	assert_int_equal(net_count(w, 3, MEMBER_AWAY), 39);
	net_run(w, DUR_SEC(30));
	assert_int_equal(net_count(w, 3, MEMBER_AWAY), 39);
	sum_stats(w, &s);
	assert_int_equal(s.deaths, 0);
	net_start(w, 3, true);
	net_tell_record(w, 3);
	net_run(w, DUR_SEC(5));
	assert_true(net_agreed(w));
	net_free(w);
}

/* A joiner that learns of a node that has been dead for long hears so from its neighbours. */
static void test_joiner_learns_deaths(void **state)
{
	struct net *w = cluster(40);

	for (int v = 1; v <= 10; v++)
		net_crash(w, v);
	net_crash(w, 0);
	net_run(w, DUR_SEC(60));
	net_start(w, 0, true);
	net_tell_record(w, 0);
	net_run(w, DUR_SEC(20));
	for (int v = 1; v <= 10; v++)
		assert_int_equal(w->pair[0][v].state, MEMBER_GONE);
	for (int v = 11; v < 40; v++)
		assert_int_equal(w->pair[0][v].state, MEMBER_OK);
	assert_int_equal(w->false_deaths, 0);
	net_free(w);
}

static void learn(struct net *w, int i, int from, int to)
{
	for (int j = from; j <= to; j++)
		assert_int_equal(members_node_add(w->node[i].m, &w->node[j].id.pub,
					 w->node[j].epoch, w->now),
			0);
	net_drain(w, i);
}

/* The same where the records of the dead come after the first word about them: it is said again. */
static void test_late_record_of_the_dead(void **state)
{
	struct net *w = cluster(40);

	for (int v = 0; v <= 10; v++)
		net_crash(w, v);
	net_run(w, DUR_SEC(60));
	net_start(w, 0, false);
	learn(w, 0, 11, 39);
	net_tell_record(w, 0);
	net_run(w, DUR_SEC(3));
	learn(w, 0, 1, 10);
	net_run(w, DUR_SEC(9));
	for (int v = 1; v <= 10; v++)
		assert_int_equal(w->pair[0][v].state, MEMBER_GONE);
	assert_int_equal(w->false_deaths, 0);
	net_free(w);
}

/* --- liars --- */

static void say_suspect(const struct net *w, int liar, int subject, int origin, struct wr *out)
{
	struct member_fact f = {
		.type = MEMBER_FACT_SUSPECT,
		.subject = w->node[subject].id.pub,
		.origin = w->node[origin].id.pub,
		.epoch = w->node[subject].epoch,
		.inc = w->node[subject].refutes,
	};
	const struct cluster_id cluster = {{7}};
	uint8_t msg[MEMBER_SIGNED_LEN];

	member_fact_signed(&f, &cluster, msg);
	key_sign(&w->node[liar].id, MEMBER_SIGN_LABEL, msg, sizeof(msg), f.sig);
	member_fact_encode(out, &f);
}

/* To all with whom @liar has a session. */
static void shout(struct net *w, int liar, const uint8_t *buf, size_t len)
{
	for (int j = 0; j < w->n; j++)
		if (w->pair[liar][j].linked)
			net_send(w, liar, j, buf, len);
}

/* Node 0 suspects everyone, over and over, with its own signature. */
static void test_suspects_everyone(void **state)
{
	struct net *w = cluster(60);
	struct members_stats s;
	uint8_t buf[MEMBER_MSG_MAX];

	w->judged_from = 1;
	for (int round = 0; round < 600; round++) {
		for (int j = 1; j < w->n;) {
			struct wr out;

			wr_init(&out, buf, sizeof(buf));
			wr_u8(&out, MEMBER_MSG_PUSH);
			for (; j < w->n && wr_left(&out) >= member_fact_len(MEMBER_FACT_SUSPECT);
				j++)
				say_suspect(w, 0, j, 0, &out);
			shout(w, 0, buf, wr_len(&out));
		}
		net_run(w, DUR_MS(100));
		assert_int_equal(w->false_deaths, 0);
	}
	tell_sum(w, "one suspects everyone");
	sum_stats(w, &s);
	assert_int_equal(s.deaths, 0);
	assert_true(s.rx_foreign > 0); /* those that it does not watch */
	assert_true(s.rx_liar > 0);    /* those that it does, once it had lied often enough */
	assert_true(s.liars > 30);
	/* A refutation costs all something: the liar bought few. */
	assert_true(s.self_refutes < 200);
	net_free(w);
}

/* Node 0 makes suspicions up in the name of others, and holds everybody dead. */
static void test_forger(void **state)
{
	struct net *w = cluster(60);
	struct members_stats s;
	uint8_t buf[MEMBER_MSG_MAX];

	w->judged_from = 1;
	for (int round = 0; round < 300; round++) {
		int subject = 1 + round % 59;
		struct wr out;

		wr_init(&out, buf, sizeof(buf));
		wr_u8(&out, MEMBER_MSG_PUSH);
		for (int j = 1; j < w->n; j++)
			if (wr_left(&out) >= member_fact_len(MEMBER_FACT_SUSPECT))
				say_suspect(w, 0, subject, j, &out);
		shout(w, 0, buf, wr_len(&out));
		wr_init(&out, buf, sizeof(buf));
		wr_u8(&out, MEMBER_MSG_HOLD);
		for (int j = 1; j < w->n && wr_left(&out) >= MEMBER_HOLD_LEN; j++) {
			int n = 1 + (round * 20 + j) % 59;
			const struct net_node *d = &w->node[n];

			member_hold_encode(
				&out, &(struct member_hold){d->id.pub, d->epoch, d->refutes});
		}
		shout(w, 0, buf, wr_len(&out));
		net_run(w, DUR_MS(200));
		assert_int_equal(w->false_deaths, 0);
	}
	tell_sum(w, "one forges");
	sum_stats(w, &s);
	assert_int_equal(s.deaths, 0);
	assert_true(s.rx_forged > 0);
	assert_true(s.rx_limited > 0);
	net_free(w);
}

/* Idle traffic does not grow with the cluster. */
static void test_idle_traffic(void **state)
{
	static const int sizes[] = {10, 50, 200};
	double rate[3];

	for (int k = 0; k < 3; k++) {
		struct net *w = cluster(sizes[k]);
		uint64_t bytes = 0;

		for (int i = 0; i < w->n; i++)
			w->node[i].tx_bytes = 0;
		net_run(w, DUR_SEC(30));
		for (int i = 0; i < w->n; i++)
			bytes += w->node[i].tx_bytes;
		rate[k] = (double)bytes / 30 / w->n;
		print_message("%d nodes: %.0f bytes per second and node\n", w->n, rate[k]);
		assert_true(rate[k] < 1200);
		net_free(w);
	}
	assert_true(rate[2] < 1.5 * rate[1]);
}

/* Same seed, same run. */
static void test_replays(void **state)
{
	uint64_t bytes[2] = {0, 0};

	for (int k = 0; k < 2; k++) {
		struct net *w = net_new(20, 42);

		w->loss = 0.1;
		net_crash(w, 1);
		net_run(w, DUR_SEC(20));
		for (int i = 0; i < w->n; i++)
			bytes[k] = bytes[k] * 31 + w->node[i].tx_bytes;
		net_free(w);
	}
	assert_int_equal(bytes[0], bytes[1]);
}

/* An argument is a pattern of the tests to run. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_death),
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_many_die),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_stalls),
		cmocka_unit_test(test_long_stall),
		cmocka_unit_test(test_partition),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_isolated),
		cmocka_unit_test(test_without_neighbours),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_deaf),
		cmocka_unit_test(test_leave),
		cmocka_unit_test(test_joiner_learns_deaths),
		cmocka_unit_test(test_late_record_of_the_dead),
		cmocka_unit_test(test_suspects_everyone),
		cmocka_unit_test(test_forger),
		cmocka_unit_test(test_idle_traffic),
		cmocka_unit_test(test_replays),
	};

	if (key_init() < 0)
		return 1;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
