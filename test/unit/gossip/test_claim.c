/* Overlapping claims: named cases, then random ones against a judge that compares all with all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "claim.h"
#include "fault.h"
#include "prng.h"
#include "weft/err.h"

#define SELF 9 /* the node that is ourselves */

static struct claims set;

static struct claim *make(uint8_t node, const char *text, uint8_t right, uint64_t at, bool exit)
{
	struct gossip_prefix p = {.vni = 1, .right = right, .claimed_at_secs = at, .exit = exit};
	struct node_key key = {{node}};
	struct claim *c;

	assert_int_equal(pfx_parse(text, &p.pfx), 0);
	c = claim_new(&set, &key, node == SELF, &p);
	assert_non_null(c);
	claim_place(&set, c);
	return c;
}

/* Drain; afterwards c->routed is what holds. */
static void drain(void)
{
	struct claim *c;

	while ((c = claim_next_del(&set)) != NULL)
		claim_told(&set, c);
	while ((c = claim_next_add(&set)) != NULL)
		claim_told(&set, c);
	while (claim_next_notice(&set))
		;
}

static int setup(void **state)
{
	claims_init(&set);
	return 0;
}

static int teardown(void **state)
{
	drain();
	assert_int_equal(set.reserved, 0);
	claims_fini(&set);
	return 0;
}

static void test_order(void **state)
{
	/* Each row loses to the one above it. */
	struct claim *c[] = {
		make(5, "10.0.0.0/24", RIGHT_ORCHESTRATOR, 900, false),
		make(4, "10.0.0.0/24", RIGHT_CONFIG, 700, false),
		make(3, "10.0.0.0/24", RIGHT_CLAIM, 500, false),
		make(2, "10.0.0.0/24", RIGHT_CLAIM, 600, false),
		make(6, "10.0.0.0/24", RIGHT_CLAIM, 600, false),
		make(1, "10.0.0.0/24", RIGHT_CLAIM, 0, false),
		make(7, "10.0.0.0/24", 200, 1, false),
	};
	size_t n = sizeof(c) / sizeof(c[0]);

	for (size_t i = 0; i < n; i++) {
		drain();
		for (size_t j = i; j < n; j++) {
			assert_int_equal(c[j]->routed, j == i);
			assert_int_equal(c[j]->conflict, j != i);
			if (j != i)
				assert_true(node_key_eq(&c[j]->winner, &c[i]->node));
		}
		assert_int_equal(set.nconflicts, n - 1 - i);
		claim_drop(&set, c[i]);
	}
}

static void test_containment(void **state)
{
	struct claim *a = make(1, "10.0.0.0/24", RIGHT_CONFIG, 0, false);
	struct claim *b = make(2, "10.0.0.0/16", RIGHT_CONFIG, 0, false);
	struct claim *c = make(3, "10.0.1.0/24", RIGHT_CONFIG, 0, false);
	struct claim *d = make(2, "10.1.0.0/16", RIGHT_CONFIG, 0, false);

	drain();
	/* b loses to a, so it can't beat c. d overlaps with nobody. */
	assert_true(a->routed && !b->routed && c->routed && d->routed);
	claim_lift(&set, a);
	drain();
	assert_true(!a->routed && b->routed && !c->routed);
	claim_drop(&set, b);
	claim_place(&set, a);
	drain();
	assert_true(a->routed && c->routed);
	claim_drop(&set, a);
	claim_drop(&set, c);
	claim_drop(&set, d);
}

static void range_add(uint32_t vni, const char *text)
{
	struct pfx p;

	assert_int_equal(pfx_parse(text, &p), 0);
	assert_int_equal(claims_range_add(&set, vni, &p), 0);
}

/* Who claims a whole range takes it from nobody who has a prefix in it, by whatever right. */
static void test_range(void **state)
{
	struct claim *wide, *half, *in, *other, *same;

	range_add(1, "10.64.0.0/16");
	range_add(1, "10.32.0.0/16");
	range_add(2, "10.96.0.0/16");
	wide = make(1, "10.32.0.0/16", RIGHT_ORCHESTRATOR, 1, false);
	drain();
	assert_true(wide->wide && wide->routed && !claim_is_moot(&set, wide)); /* alone */
	in = make(2, "10.32.7.0/24", RIGHT_CLAIM, 0, false);
	drain();
	assert_true(wide->conflict && !wide->routed && in->routed && claim_is_moot(&set, wide));
	claim_lift(&set, wide); /* it died, but is known: that says nothing for it */
	assert_true(claim_is_moot(&set, wide));
	claim_place(&set, wide);
	claim_lift(&set, in);
	drain();
	assert_true(wide->routed && !claim_is_moot(&set, wide));
	claim_place(&set, in);
	/* Half of it is no more than a claim; several ranges at once are. */
	half = make(3, "10.32.0.0/17", RIGHT_CONFIG, 0, false);
	other = make(5, "10.0.0.0/8", RIGHT_ORCHESTRATOR, 1, false);
	drain();
	assert_true(half->routed && !half->wide && !in->routed);
	assert_true(other->wide && !other->routed && other->conflict);
	/* Among those who claim it all, the usual order; in another segment it is no range. */
	claim_drop(&set, in);
	claim_drop(&set, half);
	claim_drop(&set, other);
	same = make(4, "10.32.0.0/16", RIGHT_CONFIG, 0, false);
	drain();
	assert_true(wide->routed && same->wide && same->conflict && !claim_is_moot(&set, same));
	claim_drop(&set, same);
	claim_drop(&set, wide);
	wide = make(1, "10.96.0.0/16", RIGHT_CONFIG, 0, false);
	drain();
	assert_false(wide->wide);
	claim_drop(&set, wide);
	/* Its own narrower prefixes are no reason; an exit claims nothing. */
	wide = make(1, "10.64.0.0/16", RIGHT_CONFIG, 0, false);
	in = make(1, "10.64.3.0/24", RIGHT_CLAIM, 0, false);
	other = make(2, "0.0.0.0/0", RIGHT_CONFIG, 0, true);
	drain();
	assert_true(!claim_is_moot(&set, wide) && wide->routed && in->routed);
	assert_true(!other->wide && other->routed);
	claim_drop(&set, wide);
	claim_drop(&set, in);
	claim_drop(&set, other);
}

static void test_exits(void **state)
{
	struct claim *any = make(5, "0.0.0.0/0", RIGHT_CONFIG, 0, true);
	struct claim *any2 = make(4, "0.0.0.0/0", RIGHT_CONFIG, 0, true);
	struct claim *own = make(6, "10.0.0.0/16", RIGHT_CLAIM, 0, false);
	struct claim *thief = make(1, "10.0.3.0/24", RIGHT_ORCHESTRATOR, 0, true);
	struct claim *inner = make(6, "10.0.4.0/24", RIGHT_CLAIM, 0, true);

	drain();
	/* Of equal exits one; beside narrower prefixes; but none inside another's. */
	assert_true(any2->routed && !any->routed && !any->conflict);
	assert_true(own->routed && !own->conflict);
	assert_true(!thief->routed && thief->conflict);
	assert_true(inner->routed);
	claim_drop(&set, own);
	claim_drop(&set, any2);
	drain();
	assert_true(any->routed && thief->routed && !thief->conflict);
	claim_drop(&set, any);
	claim_drop(&set, thief);
	claim_drop(&set, inner);
}

/* Local destinations win here whoever owns them: nothing inside an own prefix is routed away. */
static void test_own(void **state)
{
	struct claim *own = make(SELF, "10.0.0.0/16", RIGHT_CLAIM, 0, false);
	struct claim *same = make(1, "10.0.0.0/16", RIGHT_CONFIG, 0, false);
	struct claim *in = make(1, "10.0.9.0/24", RIGHT_CONFIG, 0, false);
	struct claim *wide = make(2, "10.0.0.0/8", RIGHT_ORCHESTRATOR, 0, false);
	struct claim *exit = make(3, "10.0.7.0/24", RIGHT_CONFIG, 0, true);

	drain();
	assert_true(own->conflict && !own->routed);
	assert_true(!same->routed && !in->routed && !exit->routed && wide->routed);
	claim_drop(&set, wide);
	drain();
	assert_true(own->conflict && same->won && in->won && !same->routed && !in->routed);
	claim_drop(&set, own);
	drain();
	assert_true(same->routed && in->routed && exit->conflict);
	claim_drop(&set, same);
	claim_drop(&set, in);
	claim_drop(&set, exit);
}

/* A prefix said in two records of one node is one route. */
static void test_repeated(void **state)
{
	struct claim *a = make(1, "10.0.0.0/24", RIGHT_CONFIG, 0, false);
	struct claim *b = make(1, "10.0.0.0/24", RIGHT_CONFIG, 0, false);

	drain();
	assert_int_equal(a->routed + b->routed, 1);
	claim_drop(&set, a->routed ? a : b);
	drain();
	assert_true(set.owned.count == 1 && set.owned.v[0]->routed);
	claim_drop(&set, set.owned.v[0]);
}

/* What comes and goes between two drains is not told. */
static void test_quiet(void **state)
{
	struct claim *a = make(1, "10.0.0.0/24", RIGHT_CONFIG, 0, false);

	drain();
	claim_lift(&set, a);
	claim_place(&set, a);
	assert_null(claim_next_del(&set));
	assert_null(claim_next_add(&set));
	claim_drop(&set, a);
	assert_ptr_equal(claim_next_del(&set), a);
	claim_told(&set, a);
}

static bool takes_range(const struct claim *c)
{
	for (size_t i = 0; i < set.nranges; i++)
		if (set.ranges[i].vni == c->p.vni && !c->p.exit &&
			pfx_contains(&c->p.pfx, &set.ranges[i].pfx))
			return true;
	return false;
}

/* The slow model: rank all, compare each with all winners so far. */
static int stronger(const void *pa, const void *pb)
{
	const struct claim *a = *(struct claim *const *)pa, *b = *(struct claim *const *)pb;
	uint64_t ta = a->p.claimed_at_secs ? a->p.claimed_at_secs : UINT64_MAX;
	uint64_t tb = b->p.claimed_at_secs ? b->p.claimed_at_secs : UINT64_MAX;

	if (a->p.exit != b->p.exit)
		return a->p.exit ? 1 : -1;
	if (takes_range(a) != takes_range(b))
		return takes_range(a) ? 1 : -1;
	if (a->p.right != b->p.right)
		return a->p.right < b->p.right ? -1 : 1;
	if (ta != tb)
		return ta < tb ? -1 : 1;
	return node_key_cmp(&a->node, &b->node);
}

static bool clash(const struct claim *winner, const struct claim *c)
{
	if (winner->p.vni != c->p.vni || node_key_eq(&winner->node, &c->node))
		return false;
	if (!c->p.exit)
		return pfx_overlaps(&winner->p.pfx, &c->p.pfx);
	if (winner->p.exit)
		return pfx_eq(&winner->p.pfx, &c->p.pfx);
	return pfx_contains(&winner->p.pfx, &c->p.pfx);
}

static void check_model(struct claim **all, size_t n, uint64_t seed)
{
	struct claim *order[64];
	bool won[64];
	size_t placed = 0;

	for (size_t i = 0; i < n; i++)
		if (all[i]->placed)
			order[placed++] = all[i];
	qsort(order, placed, sizeof(order[0]), stronger);
	for (size_t i = 0; i < placed; i++) {
		bool want;

		won[i] = true;
		for (size_t j = 0; j < i; j++)
			if (won[j] && clash(order[j], order[i]))
				won[i] = false;
		want = won[i] && !order[i]->self;
		for (size_t j = 0; j < placed; j++)
			if (order[j]->self && order[j]->p.vni == order[i]->p.vni &&
				(order[j]->p.exit
						? order[i]->p.exit &&
							  pfx_eq(&order[j]->p.pfx, &order[i]->p.pfx)
						: pfx_contains(&order[j]->p.pfx, &order[i]->p.pfx)))
				want = false;
		if (order[i]->routed != want || order[i]->won != won[i])
			fail_msg(
				"seed %llu: claim %zu of %zu", (unsigned long long)seed, i, placed);
	}
	for (size_t i = 0; i < n; i++)
		if (!all[i]->placed && all[i]->routed)
			fail_msg("seed %llu: a lifted claim is routed", (unsigned long long)seed);
}

/* No node says one prefix twice here: that is test_repeated(). */
static bool taken(
	struct claim **all, size_t n, const struct node_key *key, const struct gossip_prefix *p)
{
	for (size_t i = 0; i < n; i++)
		if (node_key_eq(&all[i]->node, key) && all[i]->p.vni == p->vni &&
			pfx_eq(&all[i]->p.pfx, &p->pfx))
			return true;
	return false;
}

static void one_random(uint64_t seed)
{
	struct claim *all[64];
	struct prng rng;
	size_t n = 0;

	prng_seed(&rng, seed);
	/* Of some widths that are drawn below. */
	for (unsigned k = 0; set.nranges == 0 && k < 4; k++)
		range_add(1 + k % 2, k < 2 ? "10.64.0.0/10" : "fd00::/9");
	while (n < 40) {
		struct node_key key = {{(uint8_t)(4 + prng_below(&rng, 8))}};
		struct gossip_prefix p = {.vni = 1 + (uint32_t)prng_below(&rng, 2)};
		struct ip ip = ip_v4(0x0a000000 | (uint32_t)prng_below(&rng, 64) << 18);
		unsigned len = 8 + (unsigned)prng_below(&rng, 7);

		if (prng_below(&rng, 4) == 0) {
			memset(&ip, 0, sizeof(ip));
			ip.family = IP_V6;
			ip.b[0] = 0xfd;
			ip.b[1] = (uint8_t)prng_below(&rng, 8) << 5;
		}
		pfx_make(&ip, len, &p.pfx);
		p.right = (uint8_t)(1 + prng_below(&rng, 3));
		p.claimed_at_secs = prng_below(&rng, 3);
		p.exit = prng_below(&rng, 5) == 0;
		if (taken(all, n, &key, &p))
			continue;
		all[n] = claim_new(&set, &key, key.b[0] == SELF, &p);
		assert_non_null(all[n++]);
	}
	for (int step = 0; step < 200; step++) {
		struct claim *c = all[prng_below(&rng, n)];

		if (c->placed)
			claim_lift(&set, c);
		else
			claim_place(&set, c);
		if (prng_below(&rng, 3) == 0)
			continue; /* several changes between two drains */
		drain();
		check_model(all, n, seed);
	}
	while (n > 0)
		claim_drop(&set, all[--n]);
	drain();
}

static void test_random(void **state)
{
	for (uint64_t seed = 1; seed <= 200; seed++)
		one_random(seed);
}

static void test_no_memory(void **state)
{
	struct gossip_prefix p = {.vni = 1, .right = 1};
	struct node_key key = {{1}};

	assert_int_equal(pfx_parse("10.0.0.0/8", &p.pfx), 0);
	FAULT_EACH(n)
	{
		size_t had = set.nranges;
		int e = claims_range_add(&set, 1, &p.pfx);

		assert_int_equal(e, set.nranges == had ? ERR_NOMEM : 0);
	}
	FAULT_EACH(n)
	{
		struct claim *c = claim_new(&set, &key, false, &p);

		if (!c) {
			assert_int_equal(set.reserved, 0);
			continue;
		}
		claim_place(&set, c); /* needs none */
		claim_drop(&set, c);
		drain();
	}
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_order),
		CASE(test_containment),
		CASE(test_range),
		CASE(test_exits),
		CASE(test_own),
		CASE(test_repeated),
		CASE(test_quiet),
		CASE(test_random),
		CASE(test_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
