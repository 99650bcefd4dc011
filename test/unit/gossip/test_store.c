/* The record store: versions, equivocation, bounds that all nodes reach alike, order, want of memory. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>
#include "weft/err.h"
#include "fault.h"
#include "prng.h"
#include "store.h"

#define MAX      40
#define PER_NODE 6

static const uint8_t seed16[16] = "store test seed";
static ts_t put_at; /* puts are told this; TS_ZERO: they settle at once */

/* An unsigned record (the store verifies nothing) in @buf. */
static struct record rec(uint8_t *buf, uint8_t node, uint8_t type, uint16_t sub, uint64_t epoch,
	uint64_t seq, uint8_t body)
{
	struct identity id = {.pub = {{node}}};
	struct record r = {
		.type = type, .sub = sub, .epoch = epoch, .seq = seq, .body = &body, .body_len = 1};
	int len;

	for (size_t i = 0; i < sizeof(id.ed_sk); i++)
		id.ed_sk[i] = (uint8_t)i;
	len = record_sign(&id, &r, buf);
	assert_true(len > 0);
	assert_int_equal(record_parse(buf, (size_t)len, &r), len);
	return r;
}

static int put(struct store *s, uint8_t node, uint8_t type, uint16_t sub, uint64_t epoch,
	uint64_t seq, uint8_t body)
{
	uint8_t buf[LIM_RECORD_BYTES];
	struct record r = rec(buf, node, type, sub, epoch, seq, body);
	struct store_entry *e, *evicted;
	int check = store_check(s, &r), err = store_put(s, &r, put_at, &e, &evicted);

	if (err != ERR_NOMEM)
		assert_int_equal(check, err);
	if (err == 0) {
		assert_ptr_equal(store_find(s, &r.node, type, sub), e);
		assert_ptr_equal(store_get(s, e->r.key), e);
		assert_memory_equal(e->bytes, buf, r.len);
		assert_true(e->r.raw == e->bytes);
	}
	free(evicted);
	return err;
}

static void test_versions(void **state)
{
	struct store *s = store_new(MAX, PER_NODE, seed16);
	uint64_t root = store_sum(s, 0, 0);

	assert_int_equal(put(s, 1, 1, 0, 2, 5, 0), 0);
	assert_int_equal(put(s, 1, 1, 0, 2, 5, 0), ERR_EXISTS);
	assert_int_equal(put(s, 1, 1, 0, 2, 4, 0), ERR_STALE);
	assert_int_equal(put(s, 1, 1, 0, 1, 9, 0), ERR_STALE);
	assert_int_equal(put(s, 1, 1, 0, 2, 6, 0), 0);
	assert_int_equal(put(s, 1, 1, 0, 3, 0, 0), 0);
	assert_int_equal(store_count(s), 1);
	assert_true(store_sum(s, 0, 0) != root);
	store_free(s);
}

/* Two records under one version: whichever comes first, the same one stays. */
static void test_equivocation(void **state)
{
	for (uint8_t a = 0; a < 8; a++) {
		struct store *s = store_new(MAX, PER_NODE, seed16);
		struct store *t = store_new(MAX, PER_NODE, seed16);
		int one, two;

		assert_int_equal(put(s, 1, 1, 0, 1, 1, a), 0);
		one = put(s, 1, 1, 0, 1, 1, (uint8_t)(a + 1));
		assert_int_equal(put(t, 1, 1, 0, 1, 1, (uint8_t)(a + 1)), 0);
		two = put(t, 1, 1, 0, 1, 1, a);
		assert_true((one == 0 && two == ERR_STALE) || (one == ERR_STALE && two == 0));
		assert_true(store_sum(s, 0, 0) == store_sum(t, 0, 0));
		store_free(s);
		store_free(t);
	}
}

/* What a node publishes above its bound: all stores end with the same, in any order of arrival. */
static void test_per_node(void **state)
{
	struct store *s[20];
	uint64_t first = 0;
	struct prng rng;

	prng_seed(&rng, 1);
	for (size_t k = 0; k < 20; k++) {
		uint16_t order[16];

		s[k] = store_new(MAX, PER_NODE, seed16);
		for (uint16_t i = 0; i < 16; i++)
			order[i] = i;
		for (size_t i = 15; i > 0; i--) {
			size_t j = prng_below(&rng, i + 1);
			uint16_t t = order[i];

			order[i] = order[j];
			order[j] = t;
		}
		for (size_t i = 0; i < 16; i++) {
			int err = put(s[k], 1, (uint8_t)(1 + order[i] / 4), order[i] % 4, 1, 1, 0);
			assert_true(err == 0 || err == ERR_FULL);
		}
		assert_int_equal(store_count(s[k]), PER_NODE);
		assert_int_equal(put(s[k], 2, 99, 9, 1, 1, 0), 0); /* others are not concerned */
		if (k == 0)
			first = store_sum(s[k], 0, 0);
		assert_true(store_sum(s[k], 0, 0) == first);
	}
	for (size_t k = 0; k < 20; k++)
		store_free(s[k]);
}

static void test_total(void **state)
{
	struct store *s = store_new(4, PER_NODE, seed16);

	for (uint8_t i = 0; i < 4; i++)
		assert_int_equal(put(s, i, 1, 0, 1, 1, 0), 0);
	assert_int_equal(put(s, 9, 1, 0, 1, 1, 0), ERR_FULL);
	assert_int_equal(put(s, 0, 2, 0, 1, 1, 0), ERR_FULL);
	assert_int_equal(put(s, 0, 1, 0, 1, 2, 0), 0); /* a newer one needs no room */
	store_free(s);
}

static void test_order(void **state)
{
	struct store *s = store_new(MAX, PER_NODE, seed16);
	const struct store_entry *e;
	uint64_t at = 0;
	size_t n = 0;

	for (uint8_t i = 0; i < MAX; i++)
		assert_int_equal(put(s, i, 1, 0, 1, 1, 0), 0);
	for (; (e = store_at(s, n)) != NULL; at = e->r.key + 1, n++) {
		assert_true(e->r.key >= at);
		assert_int_equal(store_from(s, at), n);
		assert_int_equal(store_from(s, e->r.key), n);
	}
	assert_int_equal(store_from(s, at), MAX);
	assert_int_equal(n, MAX);
	assert_null(store_at(s, MAX));
	store_free(s);
}

/* Every sum is that of what lies below it. */
static void check_sums(const struct store *s)
{
	for (unsigned level = 0; level <= STORE_LEVELS; level++)
		for (unsigned i = 0; i < 1u << 4 * level; i++) {
			size_t at = store_from(s, store_range_first(level, i)), n = 0;
			const struct store_entry *e;
			uint64_t sum = 0;

			while ((e = store_at(s, at + n)) != NULL &&
				e->r.key <= store_range_last(level, i)) {
				sum += e->summed;
				n++;
			}
			assert_true(store_sum(s, level, i) == sum);
			assert_int_equal(store_count_in(s, store_range_first(level, i),
						 store_range_last(level, i)),
				n);
		}
}

/* Sums through random puts, settling, evictions and nodes that go. */
static void test_sums(void **state)
{
	struct store *s = store_new(200, PER_NODE, seed16);
	struct node_key node;
	struct prng rng;

	prng_seed(&rng, 7);
	for (unsigned i = 0; i < 1200; i++) {
		put_at = (ts_t){1000 + i};
		(void)put(s, (uint8_t)prng_below(&rng, 20), 1, (uint16_t)prng_below(&rng, 9), 1,
			prng_below(&rng, 50), 0);
		if (prng_below(&rng, 3) == 0)
			store_settle(s, (ts_t){1000 + i - prng_below(&rng, 5)});
		if (prng_below(&rng, 40) == 0) {
			memset(&node, 0, sizeof(node));
			node.b[0] = (uint8_t)prng_below(&rng, 20);
			store_drop(s, &node);
			assert_null(store_find(s, &node, 1, 0));
		}
		if (i % 50 == 0)
			check_sums(s);
	}
	put_at = TS_ZERO;
	check_sums(s);
	for (unsigned i = 0; i < 20; i++) {
		memset(&node, 0, sizeof(node));
		node.b[0] = (uint8_t)i;
		store_drop(s, &node);
	}
	assert_int_equal(store_count(s), 0);
	check_sums(s);
	assert_true(store_sum(s, 0, 0) == 0);
	store_free(s);
}

/* A change shows in the sums when it has settled, not before; until then the old stands there. */
static void test_fresh(void **state)
{
	struct store *s = store_new(MAX, PER_NODE, seed16);
	uint64_t old, new;

	assert_int_equal(put(s, 1, 1, 0, 1, 1, 0), 0);
	old = store_sum(s, 0, 0);
	assert_true(old != 0);
	put_at = (ts_t){100};
	assert_int_equal(put(s, 1, 1, 0, 1, 2, 0), 0);
	put_at = (ts_t){110};
	assert_int_equal(put(s, 2, 1, 0, 1, 1, 0), 0);
	put_at = TS_ZERO;
	store_settle(s, (ts_t){99});
	assert_true(store_sum(s, 0, 0) == old);
	store_settle(s, (ts_t){100});
	new = store_sum(s, 0, 0);
	assert_true(new != old);
	store_settle(s, (ts_t){200});
	assert_true(store_sum(s, 0, 0) != new);
	store_free(s);
}

static void test_no_memory(void **state)
{
	FAULT_EACH(n)
	{
		struct store *s = store_new(MAX, PER_NODE, seed16);

		if (!s)
			continue;
		for (uint8_t i = 0; i < 20; i++) {
			uint64_t before = store_sum(s, 0, 0);
			size_t count = store_count(s);
			int err;

			err = put(s, i % 3, 1, i, 1, 1, 0);
			if (err == ERR_NOMEM) {
				assert_int_equal(store_count(s), count);
				assert_true(store_sum(s, 0, 0) == before);
			} else {
				assert_true(err == 0 || err == ERR_FULL);
			}
		}
		store_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_equivocation),
		cmocka_unit_test(test_per_node),
		cmocka_unit_test(test_total),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_no_memory),
	};
	assert(sodium_init() >= 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
