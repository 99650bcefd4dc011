/* The queue of events: against an array searched whole. Random; the seed is printed on failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "prng.h"
#include "sim_queue.h"

#define EVENTS 300
#define STEPS  200000

struct world {
	struct sim_queue q;
	struct sim_event e[EVENTS];
	struct prng prng;
	ts_t now;
	uint64_t order, age[EVENTS]; /* age: 0 for what is not queued */
};

/* Near, far, at one instant with others, and just where the wheel ends. */
static ts_t some_time(struct world *w)
{
	static const int64_t spans[] = {1000000, 80000, 3000000000, 20000000000};
	uint64_t turn = (uint64_t)QUEUE_SLOTS << 14;

	switch (prng_below(&w->prng, 8)) {
	case 0:
		return w->now;
	case 1:
		return w->e[prng_below(&w->prng, EVENTS)].when;
	case 2:
		return (ts_t){w->now.ns + turn - 2 + prng_below(&w->prng, 4)};
	case 3:
		return (ts_t){(w->now.ns / turn + 1) * turn - 1 + prng_below(&w->prng, 3)};
	default:
		return ts_add(w->now,
			DUR_NS(prng_below(&w->prng, (uint64_t)spans[prng_below(&w->prng, 4)])));
	}
}

static struct sim_event *model_first(struct world *w)
{
	struct sim_event *best = NULL;

	for (size_t i = 0; i < EVENTS; i++) {
		struct sim_event *e = &w->e[i];

		if (w->age[i] &&
			(!best || e->when.ns < best->when.ns ||
				(e->when.ns == best->when.ns && w->age[i] < w->age[best - w->e])))
			best = e;
	}
	return best;
}

static void step(struct world *w)
{
	size_t i = prng_below(&w->prng, EVENTS);
	struct sim_event *first = model_first(w);
	ts_t when;

	assert_ptr_equal(sim_queue_first(&w->q, w->now), first);
	switch (prng_below(&w->prng, 5)) {
	case 0:
	case 1:
		if (!first)
			return;
		sim_queue_take(&w->q, first);
		w->now = first->when;
		w->age[first - w->e] = 0;
		return;
	case 2:
		sim_queue_take(&w->q, &w->e[i]);
		w->age[i] = 0;
		return;
	default:
		when = some_time(w);
		if (ts_before(when, w->now))
			when = w->now;
		sim_queue_put(&w->q, &w->e[i], when, w->now);
		w->age[i] = ++w->order;
	}
}

static void as_the_model(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	(void)state;
	assert_non_null(w);
	for (uint64_t seed = 1; seed <= 4; seed++) {
		print_message("seed %d\n", (int)seed);
		memset(w, 0, sizeof(*w));
		w->now = (ts_t){UINT64_C(1000000000)};
		w->q.coarse = seed % 2;
		prng_seed(&w->prng, seed);
		for (size_t n = 0; n < STEPS; n++)
			step(w);
		sim_queue_fini(&w->q);
	}
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
