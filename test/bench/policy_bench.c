/* Route policy, rule by rule kind: nanoseconds for one route, and as a multiple of the policy "accept".
 * Paths of 5 numbers, 8 communities; sets of 1000 values; each policy has 20 rules of its kind that do
 * not hold, then accepts. Usage: policy_bench [ROUTES] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "bgp_attr.h"
#include "policy.h"
#include "prng.h"
#include "roa.h"

#define RULES  20
#define VALUES 1000
#define ROUNDS 5

static struct policy_book *b;
static struct prng rnd;
static struct bgp_edit edit;

static void die(const char *what)
{
	fprintf(stderr, "policy_bench: %s\n", what);
	exit(1);
}

static double secs(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sets(void)
{
	struct policy_set *p, *c;
	char why[POLICY_WHY], text[64];

	if (policy_set_new(b, POLICY_PREFIXES, "nets", &p, why) ||
		policy_set_new(b, POLICY_COMMUNITIES, "marks", &c, why))
		die(why);
	for (unsigned i = 0; i < VALUES; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.0/24 le 28", i / 250, i % 250);
		if (policy_set_add(b, p, text, why))
			die(why);
		snprintf(text, sizeof(text), "7:%u", i);
		if (policy_set_add(b, c, text, why))
			die(why);
	}
}

static void make(const char *name, const char *key, const char *value)
{
	struct policy *p;
	struct policy_rule *r;
	char why[POLICY_WHY];

	if (policy_new(b, name, &p, why))
		die(why);
	for (unsigned i = 0; i < RULES; i++)
		if (policy_rule_new(p, NULL, &r, why) ||
			policy_rule_take(b, r, POLICY_MATCH, policy_key_find(POLICY_MATCH, key),
				value, why) ||
			policy_rule_verdict(r, "reject", why))
			die(why);
	if (policy_rule_new(p, NULL, &r, why) || policy_rule_verdict(r, "accept", why))
		die(why);
}

static double measure(const char *name, const struct pfx *v, size_t n)
{
	static const uint8_t path[] = {
		2, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5};
	static const uint8_t comms[32] = {0, 1, 0, 1, 0, 2, 0, 2, 0, 3, 0, 3, 0, 4, 0, 4, 0, 5, 0,
		5, 0, 6, 0, 6, 0, 8, 0, 7, 0, 9, 0, 8};
	const struct bgp_attrs a = {.has = BGP_HAS_AS_PATH,
		.as_path = {path, sizeof(path)},
		.communities = {comms, sizeof(comms)}};
	struct bgp_policy hook = policy_hook(policy_find(b, name), POLICY_IN);
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double t = secs();

		for (size_t i = 0; i < n; i++) {
			struct bgp_nlri nlri = {.pfx = v[i]};
			struct bgp_route r = {.peer = 1, .nlri = &nlri, .attrs = &edit.a};

			bgp_edit_init(&edit, &a);
			if (hook.ops->apply(hook.ctx, &r, &edit) != BGP_ACCEPT)
				die("a route was not accepted");
		}
		t = (secs() - t) / (double)n * 1e9;
		if (t < best)
			best = t;
	}
	return best;
}

int main(int argc, char **argv)
{
	static const char *const names[] = {
		"accept", "prefixes", "paths", "communities", "pattern", "origins"};
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
	struct pfx *v = calloc(n, sizeof(*v));
	struct roa_entry *e = calloc(VALUES * 100, sizeof(*e));
	struct roa *roas;
	double base = 0;

	b = policy_book_new();
	if (!b || !v || !e)
		die("no memory");
	prng_seed(&rnd, 1);
	sets();
	make("prefixes", "prefix", "nets");
	make("paths", "as-path", "^1 [2-9]+ (3|4) .* 7$");
	make("communities", "community", "marks");
	make("pattern", "community", "7:*");
	make("origins", "validity", "invalid");
	if (policy_book_close(b, 64512))
		die("no memory");
	for (size_t i = 0; i < n; i++) {
		struct ip ip = ip_v4((uint32_t)prng_next(&rnd) | 0x80000000u);

		(void)pfx_make(&ip, 16 + (unsigned)prng_below(&rnd, 9), &v[i]);
	}
	for (size_t i = 0; i < VALUES * 100; i++) {
		struct ip ip = ip_v4((uint32_t)prng_next(&rnd));

		(void)pfx_make(&ip, 16 + (unsigned)prng_below(&rnd, 9), &e[i].pfx);
		e[i].max_len = 24;
		e[i].as = 5;
	}
	if (roa_new(e, VALUES * 100, &roas))
		die("no memory");
	policy_book_origins(b, roas);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		double ns = measure(names[i], v, n);

		base = i ? base : ns;
		printf("%-12s %8.0f ns/route  %6.1f x accept\n", names[i], ns, ns / base);
	}
	policy_book_free(b);
	roa_free(roas);
	free(e);
	free(v);
	return 0;
}
