/* The parts alone: number index, forwarding table, rings, batches and backlog, block budgets, replay
 * windows. Tables also with readers running, which is what the thread sanitizer looks at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>
#include "batch.h"
#include "dpkey.h"
#include "fault.h"
#include "fib.h"
#include "idx.h"
#include "prng.h"
#include "ring.h"
#include "weft/err.h"

#define SEED 20260

static struct rcu_bin bin;

static uint32_t below(struct prng *p, uint32_t n)
{
	return (uint32_t)prng_below(p, n);
}

/* ---- idx ---- */

#define NUMBERS 600

static char values[NUMBERS];

static void idx_model(void **state)
{
	bool in[NUMBERS] = {false};
	struct prng p;
	struct idx x;

	print_message("seed %d\n", SEED);
	prng_seed(&p, SEED);
	assert_int_equal(idx_init(&x, &bin, NUMBERS / 2), 0);
	for (unsigned step = 0; step < 40000; step++) {
		uint32_t n = below(&p, NUMBERS), key = n * 0x01000193u;

		if (in[n]) {
			assert_int_equal(idx_put(&x, key, &values[n]), ERR_EXISTS);
			assert_ptr_equal(idx_del(&x, key), &values[n]);
			in[n] = false;
		} else {
			int err = idx_put(&x, key, &values[n]);

			assert_int_equal(err, x.live == NUMBERS / 2 && err ? ERR_FULL : 0);
			in[n] = err == 0;
		}
		n = below(&p, NUMBERS);
		assert_ptr_equal(idx_get(&x, n * 0x01000193u), in[n] ? &values[n] : NULL);
	}
	assert_null(idx_del(&x, 0xdeadbeef));
	rcu_empty(&bin);
	idx_fini(&x);
}

static void idx_no_memory(void **state)
{
	FAULT_EACH(n)
	{
		struct idx x;
		int err = idx_init(&x, &bin, 1000);

		if (err < 0) {
			assert_int_equal(err, ERR_NOMEM);
			continue;
		}
		for (uint32_t k = 0; k < 200; k++) {
			err = idx_put(&x, k, &values[0]);
			if (err < 0) {
				assert_int_equal(err, ERR_NOMEM);
				assert_null(idx_get(&x, k));
				assert_int_equal(idx_put(&x, k, &values[0]), 0);
			}
		}
		for (uint32_t k = 0; k < 200; k++)
			assert_non_null(idx_get(&x, k));
		rcu_empty(&bin);
		idx_fini(&x);
	}
}

/* ---- tables with readers ---- */

struct shared {
	struct idx idx;
	struct fib *fib;
	uint64_t generation;
	uint32_t stop;  /* atomic */
	uint64_t wrong; /* atomic */
	uint64_t looks; /* atomic */
};

/* What stays in the tables must always be found, as what it is, however the rest changes. */
static void *look(void *arg)
{
	struct shared *s = arg;

	rcu_reader_begin();
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		const uint8_t fixed[4] = {10, 1, 2, 3}, moving[4] = {10, 200, 9, 9};
		struct fib_route r = fib_lookup(s->fib, IP_V4, fixed), m;
		uint64_t bad = 0;

		bad += r.kind != DP_ROUTE_PEER || r.peer != 7;
		m = fib_lookup(s->fib, IP_V4, moving);
		bad += m.kind != DP_ROUTE_DROP && (m.kind != DP_ROUTE_PEER || m.peer < 20);
		bad += idx_get(&s->idx, 42) != &values[42];
		if (bad)
			__atomic_fetch_add(&s->wrong, bad, __ATOMIC_RELAXED);
		__atomic_fetch_add(&s->looks, 1, __ATOMIC_RELAXED);
		rcu_quiescent();
		rcu_offline();
		rcu_online();
	}
	rcu_reader_end();
	return NULL;
}

static struct fib_route route(unsigned kind, uint32_t peer)
{
	return (struct fib_route){.kind = (uint8_t)kind, .peer = peer};
}

static void set(struct fib *f, const char *text, enum dp_route_kind kind, uint32_t peer)
{
	struct pfx p;

	assert_int_equal(pfx_parse(text, &p), 0);
	assert_int_equal(fib_set(f, &p, route(kind, peer)), 0);
}

static void readers(void **state)
{
	struct shared s = {.generation = 1};
	pthread_t t[2];
	struct prng p;

	prng_seed(&p, SEED);
	assert_int_equal(idx_init(&s.idx, &bin, 4096), 0);
	assert_int_equal(idx_put(&s.idx, 42, &values[42]), 0);
	s.fib = fib_new(&bin, &s.generation);
	assert_non_null(s.fib);
	set(s.fib, "10.0.0.0/8", DP_ROUTE_DROP, 0);
	set(s.fib, "10.1.2.0/24", DP_ROUTE_PEER, 7);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, look, &s), 0);
	for (unsigned step = 0; step < 20000 || __atomic_load_n(&s.looks, __ATOMIC_RELAXED) < 1000;
		step++) {
		struct ip ip = ip_v4(0x0ac80000 + below(&p, 1 << 16));
		struct pfx x;
		uint32_t n = 100 + below(&p, 400);

		assert_int_equal(pfx_make(&ip, 14 + below(&p, 19), &x), 0);
		if (fib_del(s.fib, &x) == ERR_NOT_FOUND)
			assert_int_equal(
				fib_set(s.fib, &x, route(DP_ROUTE_PEER, 20 + below(&p, 9))), 0);
		if (!idx_del(&s.idx, n))
			assert_int_equal(idx_put(&s.idx, n, &values[n]), 0);
		if (step % 1000 == 0)
			fib_drop_peer(s.fib, 20 + below(&p, 9));
	}
	__atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(s.wrong, 0);
	rcu_empty(&bin);
	fib_free(s.fib);
	idx_fini(&s.idx);
	rcu_empty(&bin);
}

/* ---- fib against a list ---- */

#define ROUTES 300

struct slow {
	struct pfx p;
	struct fib_route r; /* kind 0: free */
};

static struct fib_route slow_lookup(const struct slow *l, const struct ip *ip)
{
	struct fib_route best = {0};
	int len = -1;

	for (unsigned i = 0; i < ROUTES; i++) {
		if (l[i].r.kind && l[i].p.len > len && pfx_has_ip(&l[i].p, ip)) {
			best = l[i].r;
			len = l[i].p.len;
		}
	}
	return best;
}

/* Few distinct bits, so that prefixes nest and lookups hit. */
static struct ip some_ip(struct prng *p)
{
	uint8_t b[16] = {0};

	for (int i = 0; i < 16; i++)
		b[i] = (uint8_t)(prng_next(p) & 0x81);
	return below(p, 2) ? ip_v4_bytes(b) : ip_v6_bytes(b);
}

static void fib_model(void **state)
{
	static struct slow l[ROUTES];
	uint64_t generation = 1, before;
	struct fib *f = fib_new(&bin, &generation);
	size_t count = 0;
	struct prng p;

	prng_seed(&p, SEED);
	print_message("seed %d\n", SEED);
	assert_non_null(f);
	for (unsigned step = 0; step < 30000; step++) {
		struct slow *s = &l[below(&p, ROUTES)];
		struct fib_route got, want;
		struct ip ip;

		before = generation;
		if (s->r.kind) {
			assert_int_equal(fib_del(f, &s->p), 0);
			assert_int_equal(fib_del(f, &s->p), ERR_NOT_FOUND);
			s->r.kind = 0;
			count--;
		} else {
			struct slow x = {.r.kind = (uint8_t)(1 + below(&p, 4))};
			bool there = false;

			ip = some_ip(&p);
			x.r.peer = x.r.kind == DP_ROUTE_PEER ? 1 + below(&p, 5) : 0;
			x.r.from = (uint8_t)prng_next(&p);
			x.r.to = (uint8_t)prng_next(&p);
			assert_int_equal(pfx_make(&ip, below(&p, ip_bits(&ip) + 1), &x.p), 0);
			for (unsigned i = 0; i < ROUTES; i++)
				there |= l[i].r.kind && pfx_eq(&l[i].p, &x.p);
			if (there)
				continue;
			assert_int_equal(fib_set(f, &x.p, x.r), 0);
			*s = x;
			count++;
		}
		assert_true(generation > before);
		if (step % 5000 == 4999) {
			fib_drop_peer(f, 3);
			for (unsigned i = 0; i < ROUTES; i++) {
				if (l[i].r.kind == DP_ROUTE_PEER && l[i].r.peer == 3) {
					l[i].r.kind = 0;
					count--;
				}
			}
		}
		ip = some_ip(&p);
		got = fib_lookup(f, ip.family, ip.b);
		want = slow_lookup(l, &ip);
		assert_int_equal(got.kind, want.kind);
		assert_int_equal(got.peer, want.kind ? want.peer : 0);
		assert_int_equal(got.from, want.from);
		assert_int_equal(got.to, want.to);
		assert_int_equal(fib_count(f), count);
	}
	assert_int_equal(fib_set(f, &l[0].p, route(DP_ROUTE_PEER, 0)), ERR_RANGE);
	assert_int_equal(fib_set(f, &l[0].p, route(DP_ROUTE_PEER, LIM_PEERS)), ERR_RANGE);
	assert_int_equal(fib_set(f, &l[0].p, route(DP_ROUTE_LINK + 1, 0)), ERR_RANGE);
	rcu_empty(&bin);
	fib_free(f);
	rcu_empty(&bin);
}

/* More routes of one peer than are taken out at once. */
static void fib_many(void **state)
{
	uint64_t generation = 1;
	struct fib *f = fib_new(&bin, &generation);

	for (uint32_t i = 0; i < 1000; i++) {
		struct ip ip = ip_v4(0x0a000000 + i);
		struct pfx p;

		assert_int_equal(pfx_make(&ip, 32, &p), 0);
		assert_int_equal(fib_set(f, &p, route(DP_ROUTE_PEER, 1 + i % 2)), 0);
	}
	fib_drop_peer(f, 1);
	assert_int_equal(fib_count(f), 500);
	rcu_empty(&bin);
	fib_free(f);
}

/* ---- ring ---- */

#define RING_ITEMS 20000

static void *produce(void *arg)
{
	struct ring *r = arg;

	for (uint32_t i = 0; i < RING_ITEMS;) {
		uint32_t *item = ring_claim(r);

		if (!item)
			continue;
		*item = i++;
		ring_commit(r, item);
	}
	return NULL;
}

static void ring_all(void **state)
{
	struct ring *r = ring_new(8, sizeof(uint32_t));
	pthread_t t[3];
	uint64_t sum = 0;
	uint32_t *item;

	assert_non_null(r);
	for (int lap = 0; lap < 3; lap++) {
		for (uint32_t i = 0; i < 8; i++) {
			item = ring_claim(r);
			assert_non_null(item);
			*item = i;
			ring_commit(r, item);
		}
		assert_null(ring_claim(r));
		for (uint32_t i = 0; i < 8; i++) {
			item = ring_peek(r);
			assert_int_equal(*item, i);
			ring_done(r);
		}
		assert_null(ring_peek(r));
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, produce, r), 0);
	for (uint32_t n = 0; n < 3 * RING_ITEMS;) {
		item = ring_peek(r);
		if (!item)
			continue;
		sum += *item;
		ring_done(r);
		n++;
	}
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(sum, 3ull * RING_ITEMS * (RING_ITEMS - 1) / 2);
	ring_free(r);
	ring_free(NULL);
}

/* ---- batches and backlog ---- */

static struct batch *filled(struct batch_pool *p, uint32_t peer, size_t len)
{
	struct batch *b = batch_get(p);

	assert_non_null(b);
	b->peer = peer;
	b->peer_uid = peer;
	b->len = len;
	b->segs = 1;
	return b;
}

static void backlog_turns(void **state)
{
	static struct backlog l;
	struct batch_pool p;
	struct batch *b;

	assert_int_equal(batch_pool_init(&p, 12), 0);
	backlog_init(&l, 2500);
	assert_true(backlog_empty(&l));
	assert_null(backlog_peek(&l));
	assert_null(backlog_steal(&l));
	/* Peer 1 has a lot, 2 and 3 little: they take turns, each in its own order. */
	for (size_t i = 0; i < 3; i++)
		assert_true(backlog_add(&l, filled(&p, 1, 800 + i)));
	assert_true(backlog_add(&l, filled(&p, 2, 20)));
	assert_true(backlog_add(&l, filled(&p, 3, 30)));
	{
		const uint32_t peer[] = {1, 2, 3, 1, 1};
		const size_t len[] = {800, 20, 30, 801, 802};

		for (int i = 0; i < 5; i++) {
			b = backlog_peek(&l);
			/* The queue that moved into an ended one's place may come earlier. */
			assert_non_null(b);
			assert_ptr_equal(backlog_pop(&l), b);
			if (i == 0 || i > 2) {
				assert_int_equal(b->peer, peer[i]);
				assert_int_equal(b->len, len[i]);
			} else {
				assert_true(b->peer == 2 || b->peer == 3);
			}
			batch_put(&p, b);
		}
	}
	assert_true(backlog_empty(&l));
	/* Over its bound the peer loses its oldest, others nothing. */
	assert_true(backlog_add(&l, filled(&p, 2, 60)));
	for (size_t i = 0; i < 3; i++) {
		b = filled(&p, 1, 1000 + i);
		assert_true(backlog_add(&l, b));
	}
	assert_int_equal(backlog_over(&l, b)->len, 1000);
	assert_null(backlog_over(&l, b));
	/* A single batch stays however large; the longest queue pays when the pool is empty. */
	b = filled(&p, 4, 60000);
	assert_true(backlog_add(&l, b));
	assert_null(backlog_over(&l, b));
	assert_ptr_equal(backlog_steal(&l), b);
	assert_int_equal(backlog_steal(&l)->len, 1001);
	batch_pool_fini(&p);
}

/* A peer that was deleted and added again stands in the line that it stood in. */
static void backlog_successor(void **state)
{
	static struct backlog l;
	struct batch_pool p;
	struct batch *b;

	assert_int_equal(batch_pool_init(&p, 8), 0);
	backlog_init(&l, 2500);
	for (uint64_t uid = 1; uid <= 6; uid++) {
		b = filled(&p, 1, 10);
		b->peer_uid = 1 + uid / 4;
		b->off = (size_t)uid;
		assert_true(backlog_add(&l, b));
	}
	for (uint64_t uid = 1; uid <= 6; uid++) {
		assert_int_equal(backlog_peek(&l)->off, uid);
		batch_put(&p, backlog_pop(&l));
	}
	assert_true(backlog_empty(&l));
	batch_pool_fini(&p);
}

static void backlog_bounds(void **state)
{
	static struct backlog l;
	struct batch_pool p;
	struct batch *b;

	assert_int_equal(batch_pool_init(&p, BACKLOG_QUEUES + 1), 0);
	backlog_init(&l, 1000);
	for (uint32_t i = 0; i < BACKLOG_QUEUES; i++)
		assert_true(backlog_add(&l, filled(&p, i, 10)));
	b = filled(&p, 999, 10);
	assert_null(batch_get(&p));
	assert_false(backlog_add(&l, b));
	batch_put(&p, b);
	/* Part of a batch may go. */
	b = backlog_peek(&l);
	b->off = 4;
	backlog_sent(&l, 4);
	batch_put(&p, backlog_pop(&l));
	while ((b = backlog_steal(&l)) != NULL)
		batch_put(&p, b);
	assert_int_equal(p.used, 0);
	batch_pool_trim(&p);
	batch_pool_fini(&p);
	fault_arm(1);
	assert_int_equal(batch_pool_init(&p, 4), ERR_NOMEM);
	fault_disarm();
}

/* ---- keys ---- */

static struct dp_key key_of(uint64_t soft, uint64_t hard)
{
	static const uint8_t secret[32] = {1};

	return (struct dp_key){.suite = WIRE_SUITE_CHACHA20_POLY1305,
		.tx_lanes = 5,
		.rx_lanes = 3,
		.tx = secret,
		.rx = secret,
		.soft_blocks = soft,
		.hard_blocks = hard,
		.max_failed_opens = 3};
}

static void budgets(void **state)
{
	const uint64_t limit[][2] = {{0, 0}, {0, 1}, {1, 1}, {10, 20}, {100, 101}, {1000, 5000},
		{5000, 5000}, {UINT64_C(1) << 34, UINT64_C(1) << 35}};
	struct prng p;

	prng_seed(&p, SEED);
	for (size_t i = 0; i < sizeof(limit) / sizeof(limit[0]); i++) {
		struct dp_key in = key_of(limit[i][0], limit[i][1]);
		uint64_t paid = 0, idle = 0;
		struct dpkey *k;

		assert_int_equal(dpkey_new(&in, NULL, 4, AEAD_AUTO, &k), 0);
		for (unsigned n = 0; n < 20000; n++) {
			uint64_t want = 1 + below(&p, 90);
			unsigned w = below(&p, 4);

			if (dpkey_pay(k, w, want))
				paid += want;
			/* Never beyond hard; soft told no later than it is true. */
			assert_true(paid <= in.hard_blocks);
			assert_true(paid < in.soft_blocks || dpkey_past_soft(k));
		}
		for (unsigned w = 0; w < 4; w++)
			idle += k->tx_slot[w].budget;
		assert_int_equal(paid + idle, k->granted);
		if (in.hard_blocks < 10000) {
			/* At the end only scraps are unused. */
			assert_true(in.hard_blocks - paid <= 4 * 90);
			assert_false(dpkey_pay(k, 0, 91));
		} else {
			assert_false(dpkey_past_soft(k));
		}
		dpkey_free(k);
	}
	dpkey_free(NULL);
}

static void lanes_and_events(void **state)
{
	struct dp_key in = key_of(100, 200);
	struct dpkey *k;

	assert_int_equal(dpkey_new(&in, NULL, 8, AEAD_AUTO, &k), 0);
	/* Eight workers on four data lanes: shared, never lane 0, no counter twice. */
	for (unsigned w = 0; w < 8; w++) {
		uint8_t lane = dpkey_lane(k, w);

		assert_true(lane >= 1 && lane < 5);
		assert_int_equal(dpkey_counters(k, lane, 10), w < 4 ? 0 : 10);
	}
	assert_true(dpkey_tell(k, DPKEY_SOFT));
	assert_false(dpkey_tell(k, DPKEY_SOFT));
	dpkey_untell(k, DPKEY_SOFT);
	assert_true(dpkey_tell(k, DPKEY_SOFT));
	assert_true(dpkey_tell(k, DPKEY_HARD));
	assert_false(dpkey_failed(k));
	assert_true(dpkey_may_open(k));
	assert_false(dpkey_failed(k));
	assert_true(dpkey_failed(k));
	assert_false(dpkey_may_open(k));
	dpkey_free(k);
	in.tx_lanes = 1;
	assert_int_equal(dpkey_new(&in, NULL, 2, AEAD_AUTO, &k), 0);
	assert_int_equal(dpkey_lane(k, 1), 0);
	dpkey_free(k);
	in.tx_lanes = LIM_LANES + 1;
	assert_int_equal(dpkey_new(&in, NULL, 2, AEAD_AUTO, &k), ERR_RANGE);
	in = key_of(3, 2);
	assert_int_equal(dpkey_new(&in, NULL, 2, AEAD_AUTO, &k), ERR_RANGE);
	in = key_of(3, 4);
	in.suite = (enum wire_suite)9;
	assert_int_equal(dpkey_new(&in, NULL, 2, AEAD_AUTO, &k), ERR_UNSUPPORTED);
	in = key_of(3, 4);
	FAULT_EACH(n)
	{
		int err = dpkey_new(&in, NULL, 2, AEAD_AUTO, &k);

		if (err == 0)
			dpkey_free(k);
		else
			assert_int_equal(err, ERR_NOMEM);
	}
}

static void windows(void **state)
{
	struct dp_key in = key_of(100, 200);
	static struct winpool pool;
	struct dpkey *k[40];
	bool newest;

	assert_int_equal(winpool_fill(&pool), WINPOOL_SLOTS);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(dpkey_new(&in, NULL, 1, AEAD_AUTO, &k[i]), 0);
	/* Asking takes no window; the first opened packet does. */
	assert_true(dpkey_check(k[0], 1, 5));
	assert_int_equal(pool.left, WINPOOL_SLOTS);
	assert_int_equal(dpkey_accept(k[0], 1, 5, &pool, &newest), 0);
	assert_true(newest);
	assert_int_equal(pool.left, WINPOOL_SLOTS - 1);
	assert_false(dpkey_check(k[0], 1, 5));
	assert_int_equal(dpkey_accept(k[0], 1, 5, &pool, &newest), ERR_REPLAY);
	assert_int_equal(dpkey_accept(k[0], 1, 4, &pool, &newest), 0);
	assert_false(newest);
	/* Lanes have windows of their own. */
	assert_int_equal(dpkey_accept(k[0], 2, 5, &pool, &newest), 0);
	for (unsigned i = 1; i < 32; i++) {
		assert_int_equal(dpkey_accept(k[i], 1, 0, &pool, &newest), 0);
		assert_int_equal(dpkey_accept(k[i], 2, 0, &pool, &newest), 0);
	}
	assert_int_equal(pool.left, 0);
	assert_int_equal(dpkey_accept(k[39], 1, 0, &pool, &newest), ERR_FULL);
	assert_int_equal(winpool_fill(&pool), WINPOOL_SLOTS);
	assert_int_equal(dpkey_accept(k[39], 1, 0, &pool, &newest), 0);
	for (unsigned i = 0; i < 40; i++)
		dpkey_free(k[i]);
	winpool_fini(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idx_model),
		cmocka_unit_test(idx_no_memory),
		cmocka_unit_test(readers),
		cmocka_unit_test(fib_model),
		cmocka_unit_test(fib_many),
		cmocka_unit_test(ring_all),
		cmocka_unit_test(backlog_turns),
		cmocka_unit_test(backlog_successor),
		cmocka_unit_test(backlog_bounds),
		cmocka_unit_test(budgets),
		cmocka_unit_test(lanes_and_events),
		cmocka_unit_test(windows),
	};

	if (aead_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("dp/tables", tests, NULL, NULL);
}
