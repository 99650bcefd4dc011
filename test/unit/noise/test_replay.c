/* The replay window: numbered steps, and random counters against a slow model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "prng.h"
#include "replay.h"
#include "weft/err.h"

#define W UINT64_C(8192)
_Static_assert(W == LIM_REPLAY_WINDOW, "the tables below count on it");

struct step {
	int no;
	uint64_t counter;
	bool ok;
};

static void run(const struct step *steps, size_t n)
{
	struct replay r;

	replay_init(&r);
	for (size_t i = 0; i < n; i++) {
		bool newest = steps[i].counter >= r.top, check, ok;

		assert_int_equal(replay_is_newest(&r, steps[i].counter), newest);
		check = replay_check(&r, steps[i].counter);
		ok = replay_accept(&r, steps[i].counter) == 0;
		if (check != steps[i].ok || ok != steps[i].ok)
			fail_msg("step %d, counter %llu: check %d, accept %d", steps[i].no,
				(unsigned long long)steps[i].counter, check, ok);
		if (!ok)
			assert_int_equal(replay_accept(&r, steps[i].counter), ERR_REPLAY);
	}
}

#define RUN(steps) run(steps, sizeof(steps) / sizeof((steps)[0]))

static void from_zero(void **state)
{
	static const struct step steps[] = {
		{1, 0, true},
		{2, 0, false},
		{3, 1, true},
		{4, 1, false},
		{5, 9, true},
		{6, 8, true},
		{7, 7, true},
		{8, 7, false},
		{9, W, true}, /* 1..W are inside now */
		{10, W - 1, true},
		{11, W - 1, false},
		{12, 2, true},
		{13, 2, false},
		{14, 0, false}, /* seen, and outside */
		{15, W + 16, true},
		{16, 3, false}, /* outside: the window is 17..W+16 */
		{17, 16, false},
		{18, 17, true},
		{19, 17, false},
	};

	(void)state;
	RUN(steps);
}

static void edges(void **state)
{
	static const struct step steps[] = {
		{1, 4 * W, true}, /* the first counter may be any */
		{2, 4 * W - (W - 1), true},
		{3, 4 * W - W, false}, /* just outside */
		{4, 4 * W - 1, true},
		{5, 4 * W + W, true},
		{6, 4 * W + 1, true}, /* oldest inside */
		{7, 4 * W + 1, false},
		{8, 4 * W, false},
		{9, 40 * W, true}, /* far jump: all words cleared */
		{10, 40 * W - (W - 1), true},
		{11, 40 * W - 1, true},
		{12, 40 * W - 1, false},
		{13, 40 * W - 64, true},
		{14, 40 * W - 64, false},
		{15, 40 * W - W, false},
	};

	(void)state;
	RUN(steps);
}

static void top_end(void **state)
{
	static const struct step steps[] = {
		{1, UINT64_MAX, false}, /* has no successor */
		{2, UINT64_MAX - 1, true},
		{3, UINT64_MAX - 1, false},
		{4, UINT64_MAX, false},
		{5, UINT64_MAX - W, true},
		{6, UINT64_MAX - W, false},
		{7, UINT64_MAX - W - 1, false},
		{8, 0, false},
	};

	(void)state;
	RUN(steps);
}

static void descending(void **state)
{
	struct replay r;

	(void)state;
	replay_init(&r);
	for (uint64_t c = W + 1; c-- > 0;)
		assert_int_equal(replay_accept(&r, c) == 0, c >= 1);
	for (uint64_t c = 0; c <= W; c++)
		assert_int_equal(replay_accept(&r, c), ERR_REPLAY);
}

/* Each jump from each place in a block: what the ring clears is exactly what left the window. */
static void jumps(void **state)
{
	(void)state;
	for (uint64_t start = 0; start < 64; start += 7) {
		for (uint64_t jump = 1; jump < 3 * W; jump += jump < 200 ? 1 : 61) {
			struct replay r;
			uint64_t top = start + jump;

			replay_init(&r);
			for (uint64_t c = 0; c <= start; c++)
				assert_int_equal(replay_accept(&r, c), 0);
			assert_int_equal(replay_accept(&r, top), 0);
			for (uint64_t c = top >= W ? top - W + 1 : 0; c < top; c++)
				assert_int_equal(replay_check(&r, c), c > start);
		}
	}
}

/* The model: every counter ever accepted, in a plain array. */
#define MODEL_MAX 200000
static bool seen[MODEL_MAX];

static void random_vs_model(uint64_t seed)
{
	struct replay r;
	struct prng p;
	uint64_t top = 0, base = 0;

	memset(seen, 0, sizeof(seen));
	prng_seed(&p, seed);
	replay_init(&r);
	for (int i = 0; i < 150000; i++) {
		uint64_t c;
		bool want;

		switch (prng_below(&p, 20)) {
		case 0: /* far behind, or anywhere */
			c = prng_below(&p, base + W);
			break;
		case 1: /* a leap */
			c = base + prng_below(&p, W / 4);
			break;
		default: /* around the top */
			c = base + prng_below(&p, 60);
			c = c > 30 ? c - 30 : 0;
			break;
		}
		if (c >= MODEL_MAX)
			break;
		want = !seen[c] && (c >= top || top - c <= W);
		if ((replay_accept(&r, c) == 0) != want)
			fail_msg("seed %llu, step %d, counter %llu: want %d",
				(unsigned long long)seed, i, (unsigned long long)c, want);
		if (want) {
			seen[c] = true;
			if (c >= top)
				top = c + 1;
		}
		base = top;
	}
	assert_true(top > 2 * W);
}

static void against_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++)
		random_vs_model(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_zero),
		cmocka_unit_test(edges),
		cmocka_unit_test(top_end),
		cmocka_unit_test(descending),
		cmocka_unit_test(jumps),
		cmocka_unit_test(against_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
