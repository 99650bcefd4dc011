/* What waits for a session: a queue per peer, bounded in packets, bytes, peers and time. Against a
 * slow model with random operations, and each bound by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "hold.h"
#include "prng.h"
#include "weft/err.h"

struct told {
	unsigned calls, packets;
	uint32_t peer;
	uint64_t uid;
};

static void on_drop(void *ctx, uint32_t peer, uint64_t uid, unsigned n)
{
	struct told *t = ctx;

	t->calls++;
	t->packets += n;
	t->peer = peer;
	t->uid = uid;
}

static uint8_t bytes[LIM_HOLD_BYTES + 1];

static void packets_bound(void **state)
{
	struct told t = {0};
	struct hold h;
	struct hold_queue *q;

	assert_int_equal(hold_init(&h, on_drop, &t), 0);
	assert_null(hold_find(&h, 7, 1));
	assert_true(hold_since(&h) == UINT64_MAX);
	for (unsigned i = 0; i < LIM_HOLD_PACKETS + 5; i++) {
		memset(bytes, (int)i, 100);
		assert_true(hold_put(&h, 7, 1, 3, bytes, 100, 1000 + i));
	}
	assert_int_equal(t.packets, 5);
	assert_int_equal(t.peer, 7);
	assert_int_equal(t.uid, 1);
	assert_true(hold_since(&h) == 1005);
	q = hold_find(&h, 7, 1);
	assert_non_null(q);
	assert_null(hold_find(&h, 7, 2)); /* the handle was given to another peer */
	for (unsigned i = 5; i < LIM_HOLD_PACKETS + 5; i++) {
		assert_int_equal(hold_oldest(q)->len, 100);
		assert_int_equal(hold_oldest(q)->vni, 3);
		memset(bytes, (int)i, 100);
		assert_memory_equal(hold_bytes(q), bytes, 100);
		assert_int_equal(hold_pop(&h, q), i == LIM_HOLD_PACKETS + 4);
	}
	assert_int_equal(h.count, 0);
	assert_int_equal(t.packets, 5);
	hold_fini(&h);
}

static void bytes_bound(void **state)
{
	struct told t = {0};
	struct hold h;

	assert_int_equal(hold_init(&h, on_drop, &t), 0);
	assert_false(hold_put(&h, 7, 1, 1, bytes, LIM_HOLD_BYTES + 1, 0));
	assert_int_equal(h.count, 0);
	assert_true(hold_put(&h, 7, 1, 1, bytes, LIM_HOLD_BYTES, 0));
	assert_int_equal(t.packets, 0);
	assert_true(hold_put(&h, 7, 1, 1, bytes, 1, 0));
	assert_int_equal(t.packets, 1);
	/* Two whole super-packets fit, a third takes the place of the first. */
	assert_true(hold_put(&h, 8, 2, 1, bytes, 65000, 0));
	assert_true(hold_put(&h, 8, 2, 1, bytes, 65000, 0));
	assert_int_equal(t.packets, 1);
	assert_true(hold_put(&h, 8, 2, 1, bytes, 65000, 0));
	assert_int_equal(t.packets, 2);
	assert_int_equal(hold_find(&h, 8, 2)->count, 2);
	hold_fini(&h);
}

static void peers_bound(void **state)
{
	struct told t = {0};
	struct hold h;

	assert_int_equal(hold_init(&h, on_drop, &t), 0);
	for (uint32_t p = 1; p <= LIM_HOLD_PEERS; p++) {
		/* Peer 9 waits longest. */
		assert_true(hold_put(&h, p, p, 1, bytes, 10, p == 9 ? 5 : 100));
		assert_true(hold_put(&h, p, p, 1, bytes, 10, 200));
	}
	assert_int_equal(t.packets, 0);
	assert_true(hold_put(&h, 100, 100, 1, bytes, 10, 300));
	assert_int_equal(t.packets, 2);
	assert_int_equal(t.peer, 9);
	assert_null(hold_find(&h, 9, 9));
	assert_non_null(hold_find(&h, 100, 100));
	assert_int_equal(h.count, LIM_HOLD_PEERS);
	hold_fini(&h);
}

/* What is being sent is left alone, even by who needs its place. */
static void busy(void **state)
{
	struct told t = {0};
	struct hold h;

	assert_int_equal(hold_init(&h, on_drop, &t), 0);
	for (uint32_t p = 1; p <= LIM_HOLD_PEERS; p++)
		assert_true(hold_put(&h, p, p, 1, bytes, 10, p));
	hold_find(&h, 1, 1)->busy = true;
	assert_false(hold_put(&h, 1, 1, 1, bytes, 10, 50));
	assert_true(hold_put(&h, 100, 100, 1, bytes, 10, 50));
	assert_int_equal(t.peer, 2);
	hold_expire(&h, 1000);
	assert_int_equal(h.count, 1);
	assert_non_null(hold_find(&h, 1, 1));
	hold_fini(&h);
}

static void time_bound(void **state)
{
	struct told t = {0};
	struct hold h;

	assert_int_equal(hold_init(&h, on_drop, &t), 0);
	for (uint32_t p = 1; p <= 4; p++) {
		for (unsigned i = 0; i < 10; i++)
			assert_true(hold_put(&h, p, p, 1, bytes, 10, 10 * i + p));
	}
	assert_true(hold_since(&h) == 1);
	hold_expire(&h, 1);
	assert_int_equal(t.packets, 0);
	hold_expire(&h, 53); /* five of each, a sixth of peers 1 and 2 */
	assert_int_equal(t.packets, 22);
	assert_true(hold_since(&h) == 53);
	hold_expire(&h, 1000);
	assert_int_equal(t.packets, 40);
	assert_int_equal(h.count, 0);
	assert_true(hold_since(&h) == UINT64_MAX);
	hold_fini(&h);
}

/* ---- against a model that keeps each packet by itself ---- */

#define M_PEERS 6
#define M_MAX   4096

struct m_packet {
	uint32_t stamp, len;
	uint64_t at;
};

struct model {
	struct m_packet p[M_MAX];
	unsigned from, to;
	unsigned told;
};

static struct model model[M_PEERS];

static void m_drop(void *ctx, uint32_t peer, uint64_t uid, unsigned n)
{
	model[peer].told += n;
	assert_int_equal(uid, 1000 + peer);
}

static void fill(uint32_t stamp, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(stamp * 7 + i);
}

/* The oldest of @q is the oldest that the model has left after what was told as dropped. */
static void m_check(struct hold_queue *q, uint32_t peer)
{
	struct model *m = &model[peer];

	m->from += m->told;
	m->told = 0;
	assert_int_equal(q ? q->count : 0, m->to - m->from);
	if (!q)
		return;
	assert_int_equal(hold_oldest(q)->len, m->p[m->from].len);
	assert_true(hold_oldest(q)->at_ns == m->p[m->from].at);
	fill(m->p[m->from].stamp, m->p[m->from].len);
	assert_memory_equal(hold_bytes(q), bytes, m->p[m->from].len);
}

static void random_operations(void **state)
{
	const uint64_t seed = 20261;
	struct prng p;
	struct hold h;
	uint64_t now = 1;

	print_message("seed %lu\n", (unsigned long)seed);
	prng_seed(&p, seed);
	memset(model, 0, sizeof(model));
	assert_int_equal(hold_init(&h, m_drop, NULL), 0);
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t peer = (uint32_t)prng_below(&p, M_PEERS);
		struct model *m = &model[peer];
		struct hold_queue *q = hold_find(&h, peer, 1000 + peer);

		now += prng_below(&p, 5);
		if (prng_below(&p, 3) > 0 && m->to < M_MAX) {
			uint32_t len =
				(uint32_t)prng_below(&p, prng_below(&p, 8) ? 3000 : 66000) + 1;

			fill(i, len);
			assert_true(hold_put(&h, peer, 1000 + peer, 1, bytes, len, now));
			m->p[m->to++] = (struct m_packet){i, len, now};
		} else if (q && prng_below(&p, 2)) {
			hold_pop(&h, q);
			m->from++;
		} else if (prng_below(&p, 16) == 0) {
			hold_expire(&h, now - 60);
		}
		for (uint32_t k = 0; k < M_PEERS; k++)
			m_check(hold_find(&h, k, 1000 + k), k);
	}
	hold_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_bound),
		cmocka_unit_test(bytes_bound),
		cmocka_unit_test(peers_bound),
		cmocka_unit_test(busy),
		cmocka_unit_test(time_bound),
		cmocka_unit_test(random_operations),
	};

	return cmocka_run_group_tests_name("dp/hold", tests, NULL, NULL);
}
