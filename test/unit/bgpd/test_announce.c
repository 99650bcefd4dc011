/* announce.c against a model: whatever is told in a round, what the ops were left with is what the
 * rules say. And the rules one by one; memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "announce.h"
#include "fault.h"
#include "prng.h"
#include "weft/err.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What stands outside. */
struct outside {
	struct {
		struct pfx pfx;
		bool aggregate;
	} v[128];
	size_t n;
	unsigned adds, dels;
	int refuse; /* the error that add answers; 0: none */
};

static struct pfx P(const char *text) {
	struct pfx p;

	assert_int_equal(pfx_parse(text, &p), 0);
	return p;
}

static int
out_find(const struct outside *o, const struct pfx *p)
{
	for (size_t i = 0; i < o->n; i++)
		if (pfx_eq(&o->v[i].pfx, p))
			return (int)i;
	return -1;
}

static int on_add(void *ctx, const struct pfx *p, bool aggregate)
{
	struct outside *o = ctx;

	o->adds++;
	if (o->refuse)
		return o->refuse;
	assert_int_equal(out_find(o, p), -1);
	assert_true(o->n < COUNT(o->v));
	o->v[o->n].pfx = *p;
	o->v[o->n++].aggregate = aggregate;
	return 0;
}

static void on_del(void *ctx, const struct pfx *p, bool aggregate)
{
	struct outside *o = ctx;
	int i = out_find(o, p);

	o->dels++;
	assert_true(i >= 0);
	assert_int_equal(o->v[i].aggregate, aggregate);
	o->v[i] = o->v[--o->n];
}

static const struct announce_ops ops = {on_add, on_del};

/* 1: out, 2: out as an aggregate with an unreachable route, 0: not there. */
static int shown(const struct outside *o, const char *text)
{
	struct pfx p = P(text);
	int i = out_find(o, &p);

	return i < 0 ? 0 : 1 + o->v[i].aggregate;
}

static void round_of(struct announce *a, const char *const *own, const char *const *remote)
{
	announce_begin(a);
	for (; *own; own++) {
		struct pfx p = P(*own);

		assert_int_equal(announce_seen(a, &p, true), 0);
	}
	for (; *remote; remote++) {
		struct pfx p = P(*remote);

		assert_int_equal(announce_seen(a, &p, false), 0);
	}
}
#define LIST(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static struct announce *make(enum announce_pods pods, struct outside *o)
{
	const struct pfx fixed[] = {P("10.96.0.0/12")},
			 aggregates[] = {P("10.32.0.0/16"), P("fd00::/8"), P("10.32.0.0/16")};
	const struct announce_cfg cfg = {
		.pods = pods,
		.fixed = fixed,
		.nfixed = 1,
		.aggregates = aggregates,
		.naggregates = 3,
		.ops = &ops,
		.ctx = o,
	};

	memset(o, 0, sizeof(*o));
	return announce_new(&cfg);
}

static void rules(void **state)
{
	struct outside o;
	struct announce *a = make(ANNOUNCE_ALL, &o);

	(void)state;
	round_of(a, LIST(), LIST());
	assert_int_equal(o.n, 0); /* not before the end of a round */
	assert_int_equal(announce_end(a), 0);
	assert_int_equal(shown(&o, "10.96.0.0/12"), 1);
	assert_int_equal(o.n, 1);

	round_of(a, LIST("10.32.1.0/24"), LIST("10.32.2.0/24", "192.0.2.0/24"));
	assert_int_equal(announce_end(a), 0);
	assert_int_equal(shown(&o, "10.32.1.0/24"), 1);
	assert_int_equal(shown(&o, "10.32.2.0/24"), 1);
	assert_int_equal(shown(&o, "192.0.2.0/24"), 1);
	assert_int_equal(shown(&o, "10.32.0.0/16"), 2);
	assert_int_equal(shown(&o, "fd00::/8"), 0);

	/* the same again says nothing */
	o.adds = o.dels = 0;
	round_of(a, LIST("10.32.1.0/24"), LIST("10.32.2.0/24", "192.0.2.0/24"));
	assert_int_equal(announce_end(a), 0);
	assert_int_equal(o.adds + o.dels, 0);

	/* the aggregate stays with one part, and goes with the last */
	round_of(a, LIST(), LIST("10.32.2.0/24"));
	assert_int_equal(announce_end(a), 0);
	assert_int_equal(shown(&o, "10.32.1.0/24"), 0);
	assert_int_equal(shown(&o, "10.32.0.0/16"), 2);
	round_of(a, LIST(), LIST());
	assert_int_equal(announce_end(a), 0);
	assert_int_equal(o.n, 1);

	/* who owns the whole of an aggregate leaves nothing unreachable */
	round_of(a, LIST("10.32.0.0/16"), LIST());
	assert_int_equal(announce_end(a), 0);
	assert_int_equal(shown(&o, "10.32.0.0/16"), 1);
	round_of(a, LIST("10.32.9.0/24"), LIST());
	assert_int_equal(announce_end(a), 0);
	assert_int_equal(shown(&o, "10.32.0.0/16"), 2);
	announce_free(a);
}

static void own_and_none(void **state)
{
	struct outside o;
	struct announce *a = make(ANNOUNCE_OWN, &o);

	(void)state;
	round_of(a, LIST("10.32.1.0/24"), LIST("10.32.2.0/24", "10.32.1.0/24"));
	assert_int_equal(announce_end(a), 0);
	assert_int_equal(shown(&o, "10.32.1.0/24"), 1);
	assert_int_equal(shown(&o, "10.32.2.0/24"), 0);
	assert_int_equal(shown(&o, "10.32.0.0/16"), 2); /* parts of others count */
	round_of(a, LIST(), LIST("10.32.1.0/24"));
	assert_int_equal(announce_end(a), 0);
	assert_int_equal(shown(&o, "10.32.1.0/24"), 0); /* it moved to another node */
	announce_free(a);

	a = make(ANNOUNCE_NONE, &o);
	round_of(a, LIST("10.32.1.0/24"), LIST());
	assert_int_equal(announce_end(a), 0);
	assert_int_equal(shown(&o, "10.32.1.0/24"), 0);
	assert_int_equal(shown(&o, "10.32.0.0/16"), 2);
	announce_free(a);
}

/* What could not be announced is tried again at the next round. */
static void refused(void **state)
{
	struct outside o;
	struct announce *a = make(ANNOUNCE_ALL, &o);
	struct announce_info i;
	size_t it = 0;

	(void)state;
	o.refuse = ERR_FULL;
	round_of(a, LIST("10.32.1.0/24"), LIST());
	assert_int_equal(announce_end(a), 3);
	assert_false(announce_next(a, &it, &i));
	o.refuse = 0;
	round_of(a, LIST("10.32.1.0/24"), LIST());
	assert_int_equal(announce_end(a), 0);
	assert_int_equal(o.n, 3);
	for (it = 0; announce_next(a, &it, &i);)
		assert_string_equal(i.kind, i.pfx.len == 24   ? "pods"
					    : i.pfx.len == 16 ? "aggregate"
							      : "service");
	announce_free(a);
}

/* Random rounds over 16 prefixes below two aggregates, against the rules written down plainly. */
static void model(void **state)
{
	uint64_t seed = (uint64_t)time(NULL);
	struct outside o;
	struct announce *a = make(ANNOUNCE_ALL, &o);
	struct prng r;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	prng_seed(&r, seed);
	for (int round = 0; round < 2000; round++) {
		uint32_t set = (uint32_t)(prng_next(&r) & prng_next(&r)) & 0xffff;
		size_t want = 1 + (set != 0);
		char text[PFX_STRLEN];

		announce_begin(a);
		for (unsigned i = 0; i < 16; i++) {
			if (!(set & 1u << i))
				continue;
			snprintf(text, sizeof(text), "10.32.%u.0/24", i);
			struct pfx p = P(text);
			assert_int_equal(announce_seen(a, &p, false), 0);
			want++;
		}
		assert_int_equal(announce_end(a), 0);
		assert_int_equal(o.n, want);
		assert_int_equal(shown(&o, "10.32.0.0/16"), set ? 2 : 0);
		for (unsigned i = 0; i < 16; i++) {
			snprintf(text, sizeof(text), "10.32.%u.0/24", i);
			assert_int_equal(shown(&o, text), set >> i & 1);
		}
	}
	announce_free(a);
}

static void no_memory(void **state)
{
	(void)state;
	FAULT_EACH(n)
	{
		struct outside o;
		struct announce *a = make(ANNOUNCE_ALL, &o);
		struct pfx p = P("10.32.1.0/24");
		int e;

		if (!a)
			continue;
		announce_begin(a);
		e = announce_seen(a, &p, true);
		assert_true(e == 0 || e == ERR_NOMEM);
		assert_int_equal(announce_end(a), 0);
		assert_int_equal(shown(&o, "10.32.1.0/24"), e == 0);
		announce_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules),
		cmocka_unit_test(own_and_none),
		cmocka_unit_test(refused),
		cmocka_unit_test(model),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
