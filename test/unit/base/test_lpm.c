/* lpm against a slow, obvious model: an unordered array of prefixes, searched whole. */
#include <setjmp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fault.h"
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

static struct pfx pfx(const char *text)
{
	struct pfx p;

	assert_int_equal(0, pfx_parse(text, &p));
	return p;
}

static struct ip ip(const char *text)
{
	struct ip a;

	assert_int_equal(0, ip_parse(text, &a));
	return a;
}

static unsigned name_of(const char *text)
{
	unsigned h = 0;

	while (*text)
		h = h * 31 + (unsigned char)*text++;
	return h & 0xffff;
}

/* A value that can be told from others and is never NULL. */
static void *tag(const char *text)
{
	return (void *)(uintptr_t)(0x10000 + name_of(text));
}

static void test_edges(void **state)
{
	static const struct {
		const char *addr, *match; /* NULL: none */
	} rows[] = {
		{"0.0.0.0", "0.0.0.0/0"},
		{"255.255.255.255", "255.255.255.255/32"},
		{"255.255.255.254", "128.0.0.0/1"},
		{"10.0.0.1", "10.0.0.1/32"},
		{"10.0.0.0", "10.0.0.0/31"},
		{"10.255.0.0", "10.0.0.0/8"},
		{"128.0.0.0", "128.0.0.0/1"},
		{"::", "::/128"},
		{"::1", "::1/128"},
		{"::2", NULL},
		{"9000::", "8000::/1"},
		{"fd00::ffff:ffff:ffff:ffff", "fd00:0:0:0:8000::/65"},
		{"fd00::7fff:ffff:ffff:ffff", "fd00::/64"},
		{"fd00:0:0:1::", "fd00::/63"},
		{"fd00::8000:0:0:0", "fd00:0:0:0:8000::/65"},
	};
	static const char *const all[] = {"0.0.0.0/0", "128.0.0.0/1", "255.255.255.255/32",
		"10.0.0.0/8", "10.0.0.0/31", "10.0.0.1/32", "::/128", "::1/128", "8000::/1",
		"fd00::/63", "fd00::/64", "fd00:0:0:0:8000::/65"};
	size_t n = sizeof(all) / sizeof(all[0]);
	struct lpm *t = lpm_new(NULL, NULL);

	for (size_t i = 0; i < n; i++) {
		struct pfx p = pfx(all[i]);
		assert_int_equal(0, lpm_set(t, &p, tag(all[i]), NULL));
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip a = ip(rows[i].addr);
		const char *want = rows[i].match;
		struct pfx m;
		void *got = lpm_lookup(t, &a, &m);
		assert_ptr_equal(got, want ? tag(want) : NULL);
		if (got) {
			struct pfx w = pfx(want);
			assert_true(pfx_eq(&m, &w));
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct pfx p = pfx(all[i]);
		assert_ptr_equal(lpm_del(t, &p), tag(all[i]));
		assert_null(lpm_del(t, &p));
	}
	assert_int_equal(lpm_count(t), 0);
	lpm_free(t);
	lpm_free(NULL);
}

static void test_no_family(void **state)
{
	struct lpm *t = lpm_new(NULL, NULL);
	struct pfx all = pfx("::/0"), none = {0};
	struct ip a = {0};

	assert_int_equal(0, lpm_set(t, &all, t, NULL));
	assert_null(lpm_lookup(t, &a, NULL));
	assert_null(lpm_covering(t, &none, NULL));
	assert_null(lpm_get(t, &none));
	assert_null(lpm_del(t, &none));
	assert_int_equal(lpm_count(t), 1);
	lpm_free(t);
}

struct walked {
	struct entry e[MODEL_MAX];
	size_t n, stop;
};

static bool collect(void *ctx, const struct pfx *p, void *value)
{
	struct walked *w = ctx;

	w->e[w->n++] = (struct entry){*p, (uintptr_t)value};
	return w->n != w->stop;
}

static int by_pfx(const void *a, const void *b)
{
	return pfx_cmp(&((const struct entry *)a)->p, &((const struct entry *)b)->p);
}

static void test_walk(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	struct walked *w = calloc(1, sizeof(*w));
	struct lpm *t = lpm_new(NULL, NULL);
	struct prng r;

	prng_seed(&r, SEED + 1);
	while (m->n < 300) {
		struct pfx p = random_pfx(&r);
		if (model_find(m, &p))
			continue;
		m->e[m->n++] = (struct entry){p, m->n};
		assert_int_equal(0, lpm_set(t, &p, (void *)m->n, NULL));
	}
	/* Chains, so that the walk's stack is deepest. */
	for (unsigned len = 0; len <= 128; len++) {
		struct ip ones = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
		struct pfx p;
		pfx_make(&ones, len, &p);
		if (model_find(m, &p))
			continue;
		m->e[m->n++] = (struct entry){p, m->n};
		assert_int_equal(0, lpm_set(t, &p, (void *)m->n, NULL));
	}
	qsort(m->e, m->n, sizeof(m->e[0]), by_pfx);
	lpm_walk(t, NULL, collect, w);
	assert_int_equal(w->n, m->n);
	for (size_t i = 0; i < m->n; i++) {
		assert_true(pfx_eq(&w->e[i].p, &m->e[i].p));
		assert_int_equal(w->e[i].value, m->e[i].value);
	}
	for (int round = 0; round < 2000; round++) {
		struct pfx in = round % 2 ? m->e[prng_below(&r, m->n)].p : random_pfx(&r);
		size_t j = 0;
		w->n = 0;
		lpm_walk(t, &in, collect, w);
		for (size_t i = 0; i < m->n; i++)
			if (pfx_contains(&in, &m->e[i].p))
				assert_true(j < w->n && pfx_eq(&w->e[j++].p, &m->e[i].p));
		assert_int_equal(j, w->n);
	}
	w->n = 0;
	w->stop = 7;
	lpm_walk(t, NULL, collect, w);
	assert_int_equal(w->n, 7);
	lpm_free(t);
	free(m);
	free(w);
}

/* A failed lpm_set changes nothing, a deletion never allocates. */
static void test_alloc_faults(void **state)
{
	static const char *const add[] = {"10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "0.0.0.0/0",
		"10.0.0.0/15", "fd00::/64", "fd00:0:0:1::/64"};

	FAULT_EACH(n)
	{
		struct lpm *t = lpm_new(NULL, NULL);
		size_t have = 0;
		for (size_t i = 0; t && i < sizeof(add) / sizeof(add[0]); i++) {
			struct pfx p = pfx(add[i]);
			int err = lpm_set(t, &p, tag(add[i]), NULL);
			assert_true(err == 0 || err == ERR_NOMEM);
			have += err == 0;
			assert_int_equal(lpm_count(t), have);
			assert_ptr_equal(lpm_get(t, &p), err ? NULL : tag(add[i]));
		}
		lpm_free(t);
	}
}

static void test_delete_never_allocates(void **state)
{
	struct lpm *t = lpm_new(NULL, NULL);
	struct prng r;
	size_t n = 0;

	prng_seed(&r, SEED + 3);
	for (int i = 0; i < 200; i++) {
		struct pfx p = random_pfx(&r);
		assert_int_equal(0, lpm_set(t, &p, t, NULL));
	}
	prng_seed(&r, SEED + 3);
	fault_arm(1);
	for (int i = 0; i < 200; i++) {
		struct pfx p = random_pfx(&r);
		n += lpm_del(t, &p) != NULL;
	}
	assert_false(fault_disarm());
	assert_true(n > 100);
	assert_int_equal(lpm_count(t), 0);
	lpm_free(t);
}

/* Concurrent readers. Every step of the writer has a number; the model says beforehand what each
 * probe address must give after it. A reader notes the last step that was finished before its
 * lookup and the last that was begun after it, and must have got one of the answers in between.
 * Retired nodes are overwritten and freed as soon as each reader has passed a quiescent point. */
#define STEPS   40000
#define PROBES  8
#define READERS 2

static struct {
	struct lpm *t;
	struct ip probe[PROBES];
	uint32_t want[STEPS + 1][PROBES];
	struct {
		struct pfx p;
		bool add;
	} step[STEPS + 1];
	_Atomic uint32_t begun, finished;
	_Atomic uint64_t quiescent[READERS];
	_Atomic bool stop;
	struct {
		void *mem;
		uint64_t seen[READERS];
	} limbo[4096];
	size_t limbo_n;
	_Atomic uint64_t lookups, wrong;
} par;

static void reclaim(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < par.limbo_n; i++) {
		bool free_it = true;
		for (int k = 0; k < READERS; k++)
			free_it &= atomic_load(&par.stop) ||
				   atomic_load(&par.quiescent[k]) != par.limbo[i].seen[k];
		if (free_it) {
			memset(par.limbo[i].mem, 0xa5, 64);
			free(par.limbo[i].mem);
		} else {
			par.limbo[kept++] = par.limbo[i];
		}
	}
	par.limbo_n = kept;
}

static void into_limbo(void *ctx, void *mem)
{
	while (par.limbo_n == sizeof(par.limbo) / sizeof(par.limbo[0])) {
		reclaim();
		sched_yield();
	}
	par.limbo[par.limbo_n].mem = mem;
	for (int k = 0; k < READERS; k++)
		par.limbo[par.limbo_n].seen[k] = atomic_load(&par.quiescent[k]);
	par.limbo_n++;
}

static bool answer_ok(uint32_t from, uint32_t to, int probe, void *got)
{
	for (uint32_t i = from; i <= to; i++)
		if (par.want[i][probe] == (uintptr_t)got)
			return true;
	return false;
}

static void *reader(void *arg)
{
	int self = (int)(uintptr_t)arg;
	uint64_t count = 0;

	while (!atomic_load(&par.stop)) {
		for (int i = 0; i < PROBES; i++, count++) {
			const struct ip *a = &par.probe[i];
			uint32_t from = atomic_load(&par.finished), to;
			void *got = a->family == IP_V4 ? lpm_lookup4(par.t, a->b)
						       : lpm_lookup6(par.t, a->b);
			to = atomic_load(&par.begun);
			if (!answer_ok(from, to, i, got))
				atomic_fetch_add(&par.wrong, 1);
		}
		atomic_fetch_add(&par.quiescent[self], 1);
	}
	atomic_fetch_add(&par.lookups, count);
	return NULL;
}

/* Note step @s, and what each probe must give after it. */
static void plan_step(struct model *m, uint32_t s, struct pfx p, bool add)
{
	struct entry *e = model_find(m, &p);

	par.step[s].p = p;
	par.step[s].add = add;
	if (add) {
		if (!e)
			e = &m->e[m->n++];
		*e = (struct entry){p, s};
	} else {
		*e = m->e[--m->n];
	}
	for (int i = 0; i < PROBES; i++) {
		struct pfx host;
		pfx_make(&par.probe[i], ip_bits(&par.probe[i]), &host);
		e = model_covering(m, &host);
		par.want[s][i] = e ? (uint32_t)e->value : 0;
	}
}

/* Only prefixes around the probes: each step changes an answer as often as can be. */
static void plan_random(struct prng *r, struct model *m)
{
	for (int i = 0; i < PROBES; i++)
		par.probe[i] = random_ip(r);
	for (uint32_t s = 1; s <= STEPS; s++) {
		struct ip *near = &par.probe[prng_below(r, PROBES)];
		bool add = m->n < 6 || (prng_below(r, 2) && m->n < 40);
		struct pfx p;
		pfx_make(near, (unsigned)prng_below(r, ip_bits(near) + 1), &p);
		if (!add && !model_find(m, &p))
			p = m->e[prng_below(r, m->n)].p;
		plan_step(m, s, p, add);
	}
}

/* A long prefix is exchanged for a short one and back, always the new one first, with a long way between
 * the two. There is an answer at every instant; a lookup that read the upper node before and the lower one
 * after the exchange would find none. */
static void plan_exchange(struct prng *r, struct model *m)
{
	struct pfx upper = pfx("10.0.0.0/8"), lower = pfx("10.0.0.0/32"), side;
	uint32_t s = 1;

	for (int i = 0; i < PROBES; i++)
		par.probe[i] = lower.ip;
	for (unsigned len = 10; len <= 32; len++) {
		struct ip a = lower.ip;
		a.b[(len - 1) / 8] |= (uint8_t)(0x80 >> (len - 1) % 8);
		pfx_make(&a, len, &side);
		plan_step(m, s++, side, true);
	}
	plan_step(m, s++, lower, true);
	while (s + 4 <= STEPS + 1) {
		plan_step(m, s++, upper, true);
		plan_step(m, s++, lower, false);
		plan_step(m, s++, lower, true);
		plan_step(m, s++, upper, false);
	}
	while (s <= STEPS)
		plan_step(m, s++, upper, true);
}

static void run_concurrent(void (*plan)(struct prng *r, struct model *m))
{
	struct model *m = calloc(1, sizeof(*m));
	pthread_t th[READERS];
	struct prng r;

	memset(&par, 0, sizeof(par));
	prng_seed(&r, SEED + 2);
	plan(&r, m);
	par.t = lpm_new(into_limbo, NULL);
	for (uintptr_t k = 0; k < READERS; k++)
		assert_int_equal(0, pthread_create(&th[k], NULL, reader, (void *)k));
	while (atomic_load(&par.quiescent[0]) == 0 || atomic_load(&par.quiescent[1]) == 0)
		sched_yield();
	for (uint32_t s = 1; s <= STEPS; s++) {
		atomic_store(&par.begun, s);
		if (par.step[s].add)
			assert_int_equal(
				0, lpm_set(par.t, &par.step[s].p, (void *)(uintptr_t)s, NULL));
		else
			assert_non_null(lpm_del(par.t, &par.step[s].p));
		atomic_store(&par.finished, s);
		reclaim();
	}
	atomic_store(&par.stop, true);
	for (int k = 0; k < READERS; k++)
		pthread_join(th[k], NULL);
	reclaim();
	assert_int_equal(par.limbo_n, 0);
	if (par.wrong)
		fail_msg("%lu of %lu lookups gave what never was the answer (seed %d)", par.wrong,
			par.lookups, SEED + 2);
	assert_true(par.lookups > 0);
	lpm_free(par.t);
	free(m);
}

static void test_concurrent_random(void **state)
{
	run_concurrent(plan_random);
}

static void test_concurrent_exchange(void **state)
{
	run_concurrent(plan_exchange);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_no_family),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_alloc_faults),
		cmocka_unit_test(test_delete_never_allocates),
		cmocka_unit_test(test_concurrent_random),
		cmocka_unit_test(test_concurrent_exchange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
