/* lpm against a slow, obvious model: an unordered array of prefixes, searched whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lpm.h"
#include "prng.h"
#include "weft/err.h"

#define MODEL_MAX 512
#define SEED      0x5eed

struct entry {
	struct pfx p;
	uintptr_t value;
};

struct model {
	struct entry e[MODEL_MAX];
	size_t n;
};

static struct entry *model_find(struct model *m, const struct pfx *p)
{
	for (size_t i = 0; i < m->n; i++)
		if (pfx_eq(&m->e[i].p, p))
			return &m->e[i];
	return NULL;
}

static struct entry *model_covering(struct model *m, const struct pfx *p)
{
	struct entry *best = NULL;

	for (size_t i = 0; i < m->n; i++)
		if (pfx_contains(&m->e[i].p, p) && (!best || m->e[i].p.len > best->p.len))
			best = &m->e[i];
	return best;
}

/* A small universe, so that prefixes nest, neighbour and repeat often: a few bytes vary, the rest
 * is fixed; lengths fall on every value. */
static struct ip random_ip(struct prng *r)
{
	struct ip ip = {.family = prng_below(r, 2) ? IP_V4 : IP_V6};
	unsigned bytes = ip_bits(&ip) / 8;

	for (unsigned i = 0; i < bytes; i++)
		ip.b[i] = prng_below(r, 3) ? 0x0a : (uint8_t)(prng_below(r, 4) << prng_below(r, 8));
	return ip;
}

static struct pfx random_pfx(struct prng *r)
{
	struct ip ip = random_ip(r);
	struct pfx p;

	assert_int_equal(0, pfx_make(&ip, (unsigned)prng_below(r, ip_bits(&ip) + 1), &p));
	return p;
}

static void check_lookups(struct lpm *t, struct model *m, struct prng *r, uint64_t step)
{
	for (int i = 0; i < 4; i++) {
		struct ip ip = random_ip(r);
		struct pfx p = random_pfx(r), host, matched;
		struct entry *want;
		void *got;

		pfx_make(&ip, ip_bits(&ip), &host);
		want = model_covering(m, &host);
		got = lpm_lookup(t, &ip, &matched);
		if (got != (want ? (void *)want->value : NULL) ||
			(got && !pfx_eq(&matched, &want->p)))
			fail_msg("lookup differs, seed %d step %lu", SEED, step);
		if (got != (ip.family == IP_V4 ? lpm_lookup4(t, ip.b) : lpm_lookup6(t, ip.b)))
			fail_msg("lookup4/6 differs, seed %d step %lu", SEED, step);
		want = model_covering(m, &p);
		got = lpm_covering(t, &p, &matched);
		if (got != (want ? (void *)want->value : NULL) ||
			(got && !pfx_eq(&matched, &want->p)))
			fail_msg("covering differs, seed %d step %lu", SEED, step);
		want = model_find(m, &p);
		if (lpm_get(t, &p) != (want ? (void *)want->value : NULL))
			fail_msg("get differs, seed %d step %lu", SEED, step);
	}
}

static void test_model(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	struct lpm *t = lpm_new(NULL, NULL);
	struct prng r;

	prng_seed(&r, SEED);
	for (uint64_t step = 1; step <= 20000; step++) {
		struct pfx p = random_pfx(&r);
		struct entry *e = model_find(m, &p);
		/* Phases of growth and of decay, so that the table also empties. */
		bool add = prng_below(&r, 10) < (step / 2000 % 2 ? 2u : 8u);

		if (add && (e || m->n < MODEL_MAX)) {
			void *old = (void *)1;
			assert_int_equal(0, lpm_set(t, &p, (void *)(uintptr_t)step, &old));
			assert_ptr_equal(old, e ? (void *)e->value : NULL);
			if (!e)
				e = &m->e[m->n++];
			*e = (struct entry){p, step};
		} else {
			/* Half the deletions aim at something that is there. */
			if (m->n && prng_below(&r, 2)) {
				e = &m->e[prng_below(&r, m->n)];
				p = e->p;
			}
			assert_ptr_equal(lpm_del(t, &p), e ? (void *)e->value : NULL);
			if (e)
				*e = m->e[--m->n];
		}
		assert_int_equal(lpm_count(t), m->n);
		check_lookups(t, m, &r, step);
	}
	lpm_free(t);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
