/* The table of peers: handles that outlive sessions, in the data plane too; its bound; want of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "weft/err.h"
#include "daemon_int.h"
#include "fault.h"

static struct daemon *d;

static struct node_key key_of(unsigned n)
{
	struct node_key k = {{0}};

	memcpy(k.b, &n, sizeof(n));
	return k;
}

static bool in_dp(uint32_t handle)
{
	struct dp_counters c;

	return dp_peer_counters(d->dp, handle, &c) == 0;
}

static int setup(void **state)
{
	struct dp_cfg cfg = {.workers = 1};

	(void)state;
	log_set_level(LOG_LVL_ERROR);
	d = calloc(1, sizeof(*d));
	assert_non_null(d);
	assert_int_equal(ip_parse("127.0.0.1", &cfg.listen.ip), 0);
	assert_int_equal(dp_new(&cfg, &d->dp), 0);
	prng_seed(&d->prng, 1);
	assert_int_equal(peers_new(d, &d->peers), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	peers_free(d->peers);
	dp_free(d->dp);
	free(d);
	return 0;
}

/* Routes, the control address and sessions each keep a handle; the last one that goes takes it along. */
static void lives_while_needed(void **state)
{
	struct node_key k = key_of(1), other = key_of(2);
	struct peer *p = peers_need(d, &k);
	uint32_t h;

	assert_non_null(p);
	h = p->handle;
	assert_true(h > 0 && in_dp(h));
	assert_ptr_equal(peers_need(d, &k), p);
	assert_ptr_equal(peers_find(d, &k), p);
	assert_ptr_equal(peers_at(d, h), p);
	assert_null(peers_find(d, &other));
	assert_null(peers_at(d, h + 1));
	assert_null(peers_at(d, LIM_PEERS));
	assert_null(peers_session(d, 7));

	peers_bind(d, p, 7);
	p->routes = 2;
	p->control = true;
	assert_ptr_equal(peers_session(d, 7), p);
	peers_bind(d, p, 0);
	assert_null(peers_session(d, 7));
	peers_settle(d, p);
	p->routes = 0;
	peers_settle(d, p);
	assert_ptr_equal(peers_at(d, h), p);
	peers_bind(d, p, 9);
	p->control = false;
	peers_settle(d, p);
	assert_ptr_equal(peers_session(d, 9), p);
	peers_bind(d, p, 0);
	peers_settle(d, p);
	assert_null(peers_find(d, &k));
	assert_null(peers_at(d, h));
	assert_false(in_dp(h));

	/* It comes again under another handle: events about the former may be under way. */
	p = peers_need(d, &k);
	assert_int_not_equal(p->handle, h);
	assert_int_equal(p->routes + p->keys + p->up + p->control, 0);
	peers_settle(d, p);
}

/* All handles are given out, each once; then the table is full, and says so; then one is free. */
static void bound(void **state)
{
	struct peer *p;
	struct node_key k;
	uint32_t it = 0, freed = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < LIM_PEERS - 1; i++) {
		k = key_of(i + 10);
		p = peers_need(d, &k);
		assert_non_null(p);
		p->routes = 1;
	}
	k = key_of(5);
	assert_null(peers_need(d, &k));
	assert_int_equal(d->nwarnings, 1);
	while (peers_next(d, &it, &p)) {
		n++;
		assert_true(p->handle == it && in_dp(it));
		if (n == 4000) {
			freed = it;
			p->routes = 0;
			peers_settle(d, p); /* the one just returned may go */
		}
	}
	assert_int_equal(n, LIM_PEERS - 1);
	p = peers_need(d, &k);
	assert_non_null(p);
	assert_int_equal(p->handle, freed);
	it = 0;
	while (peers_next(d, &it, &p)) {
		p->routes = 0;
		peers_settle(d, p);
	}
	it = 0;
	assert_false(peers_next(d, &it, &p));
}

static void no_memory(void **state)
{
	struct node_key k = key_of(77);
	unsigned failures = 0;

	FAULT_EACH(n)
	{
		struct peers *t = NULL;
		int e = peers_new(d, &t);

		assert_true(e == 0 ? t != NULL : e == ERR_NOMEM && !t);
		peers_free(t);
	}
	FAULT_EACH(n)
	{
		struct peer *p = peers_need(d, &k);

		if (p) {
			peers_settle(d, p);
			continue;
		}
		failures++;
		assert_null(peers_find(d, &k));
		for (uint32_t h = 1; h < 100; h++)
			assert_false(in_dp(h));
	}
	assert_true(failures >= 2);
}

/* Random use against the obvious model. */
static void random_use(void **state)
{
	enum { NODES = 40, SESSIONS = 100 };
	unsigned routes[NODES] = {0}, sess[NODES] = {0}, owner[SESSIONS] = {0};
	uint64_t seed = (uint64_t)time(NULL);
	struct prng r;

	print_message("seed %llu\n", (unsigned long long)seed);
	prng_seed(&r, seed);
	for (unsigned step = 0; step < 50000; step++) {
		unsigned i = (unsigned)prng_below(&r, NODES);
		struct node_key k = key_of(1000 + i);
		struct peer *p = peers_find(d, &k);

		assert_int_equal(p != NULL, routes[i] > 0 || sess[i] > 0);
		assert_true(!p || (p->routes == routes[i] && p->sess == sess[i] &&
					  node_key_eq(&p->key, &k) && in_dp(p->handle) &&
					  peers_at(d, p->handle) == p));
		assert_true(!sess[i] || peers_session(d, sess[i]) == p);
		switch (prng_below(&r, 4)) {
		case 0:
			p = peers_need(d, &k);
			p->routes = ++routes[i];
			break;
		case 1: {
			unsigned s = 1 + (unsigned)prng_below(&r, SESSIONS - 1);

			if (sess[i] || owner[s])
				break;
			p = peers_need(d, &k);
			peers_bind(d, p, s);
			sess[i] = s;
			owner[s] = i + 1;
			break;
		}
		case 2:
			if (!routes[i])
				break;
			p->routes = --routes[i];
			peers_settle(d, p);
			break;
		default:
			if (!sess[i])
				break;
			owner[sess[i]] = 0;
			sess[i] = 0;
			peers_bind(d, p, 0);
			peers_settle(d, p);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lives_while_needed, setup, teardown),
		cmocka_unit_test_setup_teardown(bound, setup, teardown),
		cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(random_use, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
