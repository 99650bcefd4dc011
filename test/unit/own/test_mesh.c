/* Ownership in virtual time: several cores that exchange by a model of gossip, which delivers what is
 * published after a delay and judges conflicts by the order of DESIGN 7.5. */
#include "ownrig.h"

#define NET_MAX  24
#define NET_ROWS 64
#define STEP     DUR_MS(50)
#define DELAY    DUR_MS(150)

/* --- the model --- */

struct host {
	struct owner *o;
	struct node_key key;
	bool up, seen_up; /* was ever up */
	int side;         /* of a partition */
	struct owner_prefix pub[NET_ROWS], old[NET_ROWS];
	size_t npub, nold;
	ts_t published;
	struct owner_prefix used[NET_ROWS];
	size_t nused;
	bool declared_dead[NET_MAX];
	uint8_t *disk; /* owned */
	size_t disk_len;
	unsigned exhausted;
};

struct net {
	struct host h[NET_MAX];
	size_t n;
	ts_t now;
	uint64_t seed;
	struct owner_tune tune;
	const char *range;
	unsigned len;
	dur_t both; /* longest time that one address was in use on two connected hosts */
	ts_t both_since;
};

static uint64_t unix_at(const struct net *n)
{
	return UNIX_BASE + n->now.ns / 1000000000;
}

static void host_start(struct net *n, size_t i)
{
	struct host *h = &n->h[i];
	struct pfx range = pfx_of(n->range);
	struct owner_cfg cfg = {.self = h->key,
		.seed = n->seed * 1000 + i + n->now.ns,
		.unix_secs = unix_at(n),
		.seeds = n->n > 1,
		.tune = n->tune};

	h->o = owner_new(&cfg, n->now);
	assert_non_null(h->o);
	assert_int_equal(owner_range_add(h->o, 1, &range), 0);
	assert_int_equal(owner_want(h->o, 1, range.ip.family, n->len, 7, n->now), 0);
	if (h->disk)
		assert_int_equal(owner_restore(h->o, h->disk, h->disk_len, n->now), 0);
	h->up = h->seen_up = true;
	h->npub = h->nold = h->nused = 0;
	memset(h->declared_dead, 0, sizeof(h->declared_dead));
}

/* As kill -9: the disk stays as it is. */
static void host_kill(struct net *n, size_t i)
{
	owner_free(n->h[i].o);
	n->h[i].o = NULL;
	n->h[i].up = false;
	n->h[i].nused = 0;
}

static void net_init(struct net *n, size_t count, const char *range, unsigned len, uint64_t seed)
{
	memset(n, 0, sizeof(*n));
	n->n = count;
	n->seed = seed;
	n->now = at_ms(0);
	n->range = range;
	n->len = len;
	owner_tune_default(&n->tune);
	for (size_t i = 0; i < count; i++)
		memset(n->h[i].key.b, (int)i + 1, sizeof(n->h[i].key.b));
}

static void net_fini(struct net *n)
{
	for (size_t i = 0; i < n->n; i++) {
		owner_free(n->h[i].o);
		free(n->h[i].disk);
	}
}

static bool linked(const struct net *n, size_t a, size_t b)
{
	return n->h[a].up && n->h[b].up && n->h[a].side == n->h[b].side;
}

static void drain(struct net *n, size_t i)
{
	struct host *h = &n->h[i];
	struct owner_act a;
	bool saved = false;

	while (owner_next(h->o, &a)) {
		size_t it = 0, k;

		switch (a.type) {
		case OWNER_SAVE:
			free(h->disk);
			assert_int_equal(owner_encode(h->o, n->now, &h->disk, &h->disk_len), 0);
			saved = true;
			break;
		case OWNER_PUBLISH:
			(void)saved;
			memcpy(h->old, h->pub, sizeof(h->old));
			h->nold = h->npub;
			h->npub = 0;
			while (h->npub < NET_ROWS && owner_published(h->o, &it, &h->pub[h->npub]))
				h->npub++;
			h->published = n->now;
			break;
		case OWNER_USE:
			assert_true(h->nused < NET_ROWS);
			h->used[h->nused++] = a.own.p;
			break;
		case OWNER_UNUSE:
			for (k = 0; k < h->nused; k++)
				if (pfx_eq(&h->used[k].pfx, &a.own.p.pfx))
					break;
			assert_true(k < h->nused);
			h->used[k] = h->used[--h->nused];
			break;
		case OWNER_EXHAUSTED:
			h->exhausted++;
			break;
		default:
			break;
		}
	}
}

/* What @b publishes as the others see it: with a delay. */
static const struct owner_prefix *heard(const struct net *n, size_t b, size_t *count)
{
	const struct host *h = &n->h[b];
	bool late = ts_sub(n->now, h->published).ns < DELAY.ns;

	*count = late ? h->nold : h->npub;
	return late ? h->old : h->pub;
}

/* Does the claim @x of @a beat @y of @b? */
static bool stronger(const struct net *n, const struct owner_prefix *x, size_t a,
	const struct owner_prefix *y, size_t b)
{
	if (x->right != y->right)
		return x->right < y->right;
	if (x->since_secs != y->since_secs)
		return x->since_secs < y->since_secs;
	return node_key_cmp(&n->h[a].key, &n->h[b].key) < 0;
}

/* Tell @i what it hears of the others, and the objections to what it publishes. */
static void exchange(struct net *n, size_t i)
{
	struct owner_prefix mine[NET_ROWS];
	size_t nmine = n->h[i].npub;

	memcpy(mine, n->h[i].pub, sizeof(mine));
	for (size_t k = 0; k < n->n; k++) {
		const struct owner_prefix *v;
		size_t count;

		if (k == i || !n->h[k].seen_up)
			continue;
		if (!linked(n, i, k)) {
			/* its records stay as they were last heard */
			if (!n->h[i].declared_dead[k]) {
				n->h[i].declared_dead[k] = true;
				assert_int_equal(owner_node_set(n->h[i].o, &n->h[k].key, OWNER_DEAD,
							 n->h[k].pub, n->h[k].npub, n->now),
					0);
			}
			continue;
		}
		n->h[i].declared_dead[k] = false;
		v = heard(n, k, &count);
		assert_int_equal(
			owner_node_set(n->h[i].o, &n->h[k].key, OWNER_ALIVE, v, count, n->now), 0);
		for (size_t a = 0; a < nmine; a++)
			for (size_t b = 0; b < count; b++)
				if (pfx_overlaps(&mine[a].pfx, &v[b].pfx) &&
					stronger(n, &v[b], k, &mine[a], i))
					(void)owner_objection(
						n->h[i].o, 1, &mine[a].pfx, &n->h[k].key, n->now);
	}
}

static bool double_use(const struct net *n)
{
	for (size_t i = 0; i < n->n; i++)
		for (size_t k = i + 1; k < n->n; k++)
			for (size_t a = 0; linked(n, i, k) && a < n->h[i].nused; a++)
				for (size_t b = 0; b < n->h[k].nused; b++)
					if (pfx_overlaps(
						    &n->h[i].used[a].pfx, &n->h[k].used[b].pfx))
						return true;
	return false;
}

static void net_step(struct net *n)
{
	n->now = ts_add(n->now, STEP);
	for (size_t i = 0; i < n->n; i++) {
		if (!n->h[i].up)
			continue;
		exchange(n, i);
		if (ts_due(owner_deadline(n->h[i].o), n->now))
			owner_tick(n->h[i].o, n->now);
		drain(n, i);
	}
	if (!double_use(n)) {
		n->both_since = TS_NEVER;
		return;
	}
	if (ts_is_never(n->both_since))
		n->both_since = n->now;
	if (ts_sub(n->now, n->both_since).ns > n->both.ns)
		n->both = ts_sub(n->now, n->both_since);
}

static void net_run(struct net *n, int64_t ms)
{
	ts_t end = ts_add(n->now, DUR_MS(ms));

	while (ts_before(n->now, end))
		net_step(n);
}

/* Let hours pass with nothing to hear: only deadlines are kept. */
static void net_skip(struct net *n, dur_t d)
{
	ts_t end = ts_add(n->now, d);

	for (;;) {
		ts_t next = end;

		for (size_t i = 0; i < n->n; i++)
			if (n->h[i].up)
				next = ts_min(next, owner_deadline(n->h[i].o));
		n->now = next;
		for (size_t i = 0; i < n->n; i++)
			if (n->h[i].up) {
				owner_tick(n->h[i].o, n->now);
				drain(n, i);
			}
		if (ts_due(end, n->now))
			return;
	}
}

/* Every host that is up uses exactly one block, none twice. */
static void check_settled(const struct net *n)
{
	for (size_t i = 0; i < n->n; i++) {
		if (!n->h[i].up)
			continue;
		if (n->h[i].nused != 1)
			fail_msg("seed %" PRIu64 ": host %zu uses %zu blocks", n->seed, i,
				n->h[i].nused);
		assert_int_equal(n->h[i].used[0].pfx.len, n->len);
	}
	if (double_use(n) || n->both.ns > DUR_SEC(10).ns)
		fail_msg("seed %" PRIu64 ": in use twice for %" PRId64 " ms", n->seed,
			dur_ms(n->both));
}

/* --- clusters --- */

static void twenty_start_at_once(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net n;

		/* 32 blocks for 20 nodes: they must meet */
		net_init(&n, 20, "10.32.0.0/19", 24, seed);
		for (size_t i = 0; i < n.n; i++)
			host_start(&n, i);
		net_run(&n, 30000);
		check_settled(&n);
		assert_true(n.both.ns == 0); /* the objection time is longer than the way */
		net_fini(&n);
	}
}

static void partition_and_heal(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct net n;
		struct pfx before[NET_MAX];

		net_init(&n, 16, "fd32::/59", 64, seed);
		for (size_t i = 0; i < n.n; i++)
			if (i % 4 != 3)
				host_start(&n, i);
		net_run(&n, 20000);
		check_settled(&n);
		for (size_t i = 0; i < n.n; i++)
			if (n.h[i].up)
				before[i] = n.h[i].used[0].pfx;
		/* two halves, and new nodes on both sides, which can't hear each other's claims */
		for (size_t i = 0; i < n.n; i++)
			n.h[i].side = i >= n.n / 2;
		for (size_t i = 3; i < n.n; i += 4)
			host_start(&n, i);
		net_run(&n, 30000);
		check_settled(&n);
		for (size_t i = 0; i < n.n; i++)
			n.h[i].side = 0;
		net_run(&n, 20000);
		check_settled(&n);
		for (size_t i = 0; i < n.n; i++)
			if (i % 4 != 3)
				assert_true(pfx_eq(&before[i], &n.h[i].used[0].pfx));
		net_fini(&n);
	}
}

static void first_node_comes_up(void **state)
{
	struct net n;

	(void)state;
	net_init(&n, 2, "10.32.0.0/16", 24, 1); /* has a seed, which is never there */
	host_start(&n, 0);
	net_run(&n, 7000);
	assert_int_equal(n.h[0].npub, 0); /* still waiting for the mesh */
	net_run(&n, 2000);
	assert_int_equal(n.h[0].npub, 1);
	assert_int_equal(n.h[0].nused, 0); /* and now for objections */
	net_run(&n, 2000);
	check_settled(&n);
	net_fini(&n);
}

static void restart_keeps_block_and_age(void **state)
{
	struct net n;
	struct owner_prefix was;

	(void)state;
	net_init(&n, 3, "10.32.0.0/16", 24, 5);
	for (size_t i = 0; i < n.n; i++)
		host_start(&n, i);
	net_run(&n, 20000);
	was = n.h[1].used[0];
	host_kill(&n, 1);
	net_run(&n, 60000);
	host_start(&n, 1);
	drain(&n, 1);
	assert_int_equal(n.h[1].nused, 1); /* at once: it stood before */
	assert_true(pfx_eq(&n.h[1].used[0].pfx, &was.pfx));
	assert_int_equal(n.h[1].used[0].since_secs, was.since_secs);
	net_run(&n, 5000);
	check_settled(&n);
	net_fini(&n);
}

/* All blocks but one are held; the dead node's is not given out before its lease ended. */
static void lease_of_the_dead(void **state)
{
	struct net n;
	struct owner_stats st;
	struct pfx was;

	(void)state;
	net_init(&n, 9, "10.32.0.0/21", 24, 9); /* 8 blocks */
	for (size_t i = 0; i < 8; i++)
		host_start(&n, i);
	net_run(&n, 40000);
	check_settled(&n);
	was = n.h[2].used[0].pfx;
	host_kill(&n, 2);
	net_run(&n, 5000);
	host_start(&n, 8);
	net_run(&n, 20000);
	assert_int_equal(n.h[8].npub, 0);
	assert_int_equal(n.h[8].exhausted, 1);
	owner_stats(n.h[8].o, &st);
	assert_int_equal(st.exhausted, 1);
	assert_int_equal(st.leases, 1);
	net_skip(&n, DUR_SEC(23 * 3600));
	net_run(&n, 5000);
	assert_int_equal(n.h[8].npub, 0);
	net_skip(&n, DUR_SEC(3600 + 60));
	net_run(&n, 10000);
	assert_int_equal(n.h[8].nused, 1);
	assert_true(pfx_eq(&n.h[8].used[0].pfx, &was));
	owner_stats(n.h[8].o, &st);
	assert_int_equal(st.exhausted, 0);
	assert_int_equal(st.leases_ended, 1);

	/* It comes back with an age from before: it was away too long to insist. */
	host_start(&n, 2);
	net_run(&n, 20000);
	assert_true(pfx_eq(&n.h[8].used[0].pfx, &was));
	assert_int_equal(n.h[2].nused, 0);
	net_fini(&n);
}

static void forgotten_at_once(void **state)
{
	struct net n;
	struct pfx was;

	(void)state;
	net_init(&n, 5, "10.32.0.0/22", 24, 3); /* 4 blocks */
	for (size_t i = 0; i < 4; i++)
		host_start(&n, i);
	net_run(&n, 40000);
	check_settled(&n);
	was = n.h[0].used[0].pfx;
	host_kill(&n, 0);
	net_run(&n, 1000);
	host_start(&n, 4);
	net_run(&n, 15000);
	assert_int_equal(n.h[4].npub, 0);
	for (size_t i = 1; i < n.n; i++)
		assert_int_equal(owner_forgotten(n.h[i].o, &n.h[0].key, n.now), 0);
	assert_int_equal(owner_forgotten(n.h[1].o, &n.h[0].key, n.now), ERR_NOT_FOUND);
	net_run(&n, 5000);
	assert_int_equal(n.h[4].nused, 1);
	assert_true(pfx_eq(&n.h[4].used[0].pfx, &was));
	net_fini(&n);
}

/* One host's claims turn up on another with their age: one of the two moves. */
static void cloned_claims(void **state)
{
	struct net n;

	(void)state;
	net_init(&n, 3, "10.32.0.0/20", 24, 77);
	host_start(&n, 0);
	host_start(&n, 1);
	net_run(&n, 20000);
	check_settled(&n);
	n.h[2].disk = malloc(n.h[0].disk_len);
	assert_non_null(n.h[2].disk);
	memcpy(n.h[2].disk, n.h[0].disk, n.h[0].disk_len);
	n.h[2].disk_len = n.h[0].disk_len;
	memcpy(n.h[2].disk, n.h[2].key.b, sizeof(n.h[2].key.b)); /* as if forged to fit */
	host_start(&n, 2);
	drain(&n, 2);
	assert_true(pfx_eq(&n.h[2].used[0].pfx, &n.h[0].used[0].pfx));
	net_run(&n, 15000);
	check_settled(&n);
	net_fini(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(twenty_start_at_once),
		cmocka_unit_test(partition_and_heal),
		cmocka_unit_test(first_node_comes_up),
		cmocka_unit_test(restart_keeps_block_and_age),
		cmocka_unit_test(lease_of_the_dead),
		cmocka_unit_test(forgotten_at_once),
		cmocka_unit_test(cloned_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
