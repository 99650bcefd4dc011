/* Patterns of AS paths: a table of what fits, what is refused and where, and random patterns against
 * an evaluator that follows the grammar itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fault.h"
#include "policy_path.h"
#include "prng.h"
#include "weft/err.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* "1 2 {3 4}" to attributes over @room. */
static struct bgp_attrs path_of(const char *text, uint8_t *room)
{
	uint8_t *w = room, *seg = NULL;
	bool set = false;

	while (*text) {
		if (*text == '{') {
			set = true;
			seg = NULL;
			text++;
		} else if (*text == '}') {
			set = false;
			seg = NULL;
			text++;
		} else if (*text == ' ') {
			text++;
		} else {
			char *end;
			uint32_t as = (uint32_t)strtoul(text, &end, 10);

			assert_true(end > text);
			text = end;
			if (!seg) {
				seg = w;
				*w++ = set ? 1 : 2;
				*w++ = 0;
			}
			seg[1]++;
			for (int i = 24; i >= 0; i -= 8)
				*w++ = (uint8_t)(as >> i);
		}
	}
	return (struct bgp_attrs){
		.has = BGP_HAS_AS_PATH, .as_path = {.p = room, .len = (uint16_t)(w - room)}};
}

static bool fits(const char *pattern, const char *path)
{
	char why[POLICY_WHY] = "";
	struct policy_path *p;
	uint8_t room[1024];
	struct bgp_attrs a = path_of(path, room);
	bool yes;

	if (policy_path_new(pattern, &p, why) != 0)
		fail_msg("%s %s", pattern, why);
	yes = policy_path_match(p, &a);
	policy_path_free(p);
	return yes;
}

static void table(void **state)
{
	static const struct {
		const char *pattern, *yes[5], *no[5];
	} t[] = {
		{"^$", {""}, {"1", "{1 2}"}},
		{"1", {"1", "2 1", "1 2", "3 1 2"}, {"", "2", "11"}},
		{"_1_", {"1", "2 1", "3 1 2"}, {"2", "12", "21"}},
		{"^1", {"1", "1 2"}, {"2 1", ""}},
		{"1$", {"1", "2 1"}, {"1 2", ""}},
		{"^1$", {"1"}, {"1 1", "1 2", ""}},
		{"^1 2$", {"1 2"}, {"12", "1", "1 3", "1 2 3"}},
		{"^1_2$", {"1 2"}, {"12"}},
		{"^.$", {"1", "4294967295", "{1 2}"}, {"", "1 2"}},
		{"^.{2,3}$", {"1 2", "1 2 3"}, {"1", "1 2 3 4"}},
		{"^.{2}$", {"1 2"}, {"1", "1 2 3"}},
		{"^.{2,}$", {"1 2", "1 2 3 4"}, {"1", ""}},
		{"^.{0,1}$", {"", "1"}, {"1 2"}},
		{"^1+ 2*$", {"1", "1 1 2 2", "1 2"}, {"2", "1 2 1", ""}},
		{"^1? 2$", {"2", "1 2"}, {"1 1 2"}},
		{"^(1|2 3)+$", {"1", "2 3", "1 2 3 1"}, {"2", "3", "", "1 2"}},
		{"^(1 2){2}$", {"1 2 1 2"}, {"1 2", "1 2 1 2 1 2"}},
		{"^((1|2) 3?){2,3}$", {"1 2", "1 3 2 3 1"}, {"1 3", "3", "1 2 1 2"}},
		{"^[64512-65534 4200000000-4294967294]+$", {"64512", "65534 4200000001"},
			{"64511", "65535", "64512 1"}},
		{"^[^1 5-7]$", {"2", "8", "4"}, {"1", "6", ""}},
		{"^[ ^ 1 - 3 ]$", {"4"}, {"2"}},
		{"3 4", {"1 2 {3 9} 4", "3 {4 5}"}, {"{3 4}", "4 3"}},
		{"^ 1 .* 9 $", {"1 9", "1 2 3 9"}, {"1", "9 1", "1 9 2"}},
		{".*", {"", "1 2"}, {NULL}},
		{"(1|.?)", {"", "2"}, {NULL}},
		{"^1*", {"", "2"}, {NULL}},
		{"^1*$", {"", "1 1"}, {"2", "1 2"}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		for (size_t k = 0; k < 5 && t[i].yes[k]; k++)
			if (!fits(t[i].pattern, t[i].yes[k]))
				fail_msg("'%s' lacks '%s'", t[i].pattern, t[i].yes[k]);
		for (size_t k = 0; k < 5 && t[i].no[k]; k++)
			if (fits(t[i].pattern, t[i].no[k]))
				fail_msg("'%s' takes '%s'", t[i].pattern, t[i].no[k]);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *pattern, *why;
		int err;
	} t[] = {
		{"", "lacks something at character 1", ERR_MALFORMED},
		{"^", "lacks something at character 2", ERR_MALFORMED},
		{"$", "unexpected at character 1", ERR_MALFORMED},
		{"a", "unexpected at character 1", ERR_MALFORMED},
		{"1 x", "unexpected at character 3", ERR_MALFORMED},
		{"*", "unexpected at character 1", ERR_MALFORMED},
		{"1**", "unexpected at character 3", ERR_MALFORMED},
		{"()", "unexpected at character 2", ERR_MALFORMED},
		{"(1", "lacks a ) at character 3", ERR_MALFORMED},
		{"1)", "unexpected at character 2", ERR_MALFORMED},
		{"1|", "lacks something at character 3", ERR_MALFORMED},
		{"|1", "unexpected at character 1", ERR_MALFORMED},
		{"[", "needs a number at character 2", ERR_MALFORMED},
		{"[]", "needs a number at character 2", ERR_MALFORMED},
		{"[1", "needs a number at character 3", ERR_MALFORMED},
		{"[2-1]", "ends before it begins", ERR_MALFORMED},
		{"[1-]", "needs a number at character 4", ERR_MALFORMED},
		{"4294967296", "too large", ERR_MALFORMED},
		{"1{", "needs a number at character 3", ERR_MALFORMED},
		{"1{2", "lacks a } at character 4", ERR_MALFORMED},
		{"1{0}", "repeats nothing", ERR_MALFORMED},
		{"1{0,0}", "repeats nothing", ERR_MALFORMED},
		{"1{3,2}", "fewer times", ERR_MALFORMED},
		{"1{65}", "too large", ERR_MALFORMED},
		{"1$2", "unexpected at character 3", ERR_MALFORMED},
		{"1^2", "unexpected at character 2", ERR_MALFORMED},
		{"(1{64}){2}", "too long", ERR_FULL},
		{"((((((((((((((((((1))))))))))))))))))", "too deep", ERR_FULL},
		{"(((((.{64}){64}){64}){64}){64})", "too long", ERR_FULL},
		{"[1 2 3 4 5 6 7 8 9 10]{64}", "too many ranges", ERR_FULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		char why[POLICY_WHY] = "";
		struct policy_path *p;
		int err = policy_path_new(t[i].pattern, &p, why);

		assert_null(p);
		if (err != t[i].err || !strstr(why, t[i].why))
			fail_msg("'%s': %d %s", t[i].pattern, err, why);
	}
}

/* --- random patterns --- */

#define PATH_MAX_LEN 10
enum kind { NUM, ANY, SET, NSET, ROW, CHOICE, REP };
struct node {
	enum kind kind;
	uint32_t lo, hi;
	unsigned min, max; /* of REP; max 0: no end */
	struct node *a, *b;
};
struct gen {
	struct prng rnd;
	struct node pool[64];
	unsigned used, places;
};

static struct node *gen(struct gen *g, unsigned depth)
{
	struct node *n = &g->pool[g->used++];
	unsigned what = (unsigned)prng_below(&g->rnd, depth ? 7 : 4);

	*n = (struct node){.kind = (enum kind)what};
	n->lo = (uint32_t)prng_below(&g->rnd, 4);
	n->hi = n->lo + (uint32_t)prng_below(&g->rnd, 3);
	if (n->kind == ROW || n->kind == CHOICE) {
		n->a = gen(g, depth - 1);
		n->b = gen(g, depth - 1);
	} else if (n->kind == REP) {
		n->a = gen(g, depth - 1);
		n->min = (unsigned)prng_below(&g->rnd, 3);
		n->max = (unsigned)prng_below(&g->rnd, 2) ? n->min + 1 : 0;
	}
	return n;
}

static unsigned places(const struct node *n)
{
	switch (n->kind) {
	case ROW:
	case CHOICE:
		return places(n->a) + places(n->b);
	case REP:
		return places(n->a) * (n->max ? n->max : n->min ? n->min : 1);
	default:
		return 1;
	}
}

static size_t print(const struct node *n, char *out)
{
	size_t len = 0;

	switch (n->kind) {
	case NUM:
		return (size_t)sprintf(out, "%u", n->lo);
	case ANY:
		return (size_t)sprintf(out, ".");
	case SET:
	case NSET:
		return (size_t)sprintf(
			out, "[%s%u-%u 9]", n->kind == NSET ? "^" : "", n->lo, n->hi);
	case ROW:
	case CHOICE:
		len += (size_t)sprintf(out + len, "(");
		len += print(n->a, out + len);
		len += (size_t)sprintf(out + len, "%s", n->kind == ROW ? " " : "|");
		len += print(n->b, out + len);
		return len + (size_t)sprintf(out + len, ")");
	case REP:
		len += (size_t)sprintf(out + len, "(");
		len += print(n->a, out + len);
		len += (size_t)sprintf(out + len, ")");
		if (n->max)
			len += (size_t)sprintf(out + len, "{%u,%u}", n->min, n->max);
		else if (n->min == 0)
			len += (size_t)sprintf(out + len, "*");
		else if (n->min == 1)
			len += (size_t)sprintf(out + len, "+");
		else
			len += (size_t)sprintf(out + len, "{%u,}", n->min);
		return len;
	}
	return 0;
}

/* Where in the path of @n numbers a part can end that begins at one of the places @at. */
static uint32_t ends(const struct node *x, const uint32_t *path, unsigned n, uint32_t at)
{
	uint32_t out = 0, cur = at;

	switch (x->kind) {
	case ROW:
		return ends(x->b, path, n, ends(x->a, path, n, at));
	case CHOICE:
		return ends(x->a, path, n, at) | ends(x->b, path, n, at);
	case REP:
		for (unsigned i = 0; i <= (x->max ? x->max : x->min + n + 1); i++) {
			if (i >= x->min)
				out |= cur;
			cur = ends(x->a, path, n, cur);
		}
		return out;
	default:
		for (unsigned i = 0; i < n; i++) {
			bool in = (path[i] >= x->lo && path[i] <= x->hi) || path[i] == 9;
			bool yes = x->kind == ANY    ? true
				   : x->kind == NUM  ? path[i] == x->lo
				   : x->kind == NSET ? !in
						     : in;

			if (at >> i & 1 && yes)
				out |= 1u << (i + 1);
		}
		return out;
	}
}

static void one_pattern(struct gen *g, uint64_t seed, unsigned *matched)
{
	struct node *root;
	bool from = prng_below(&g->rnd, 2), to = prng_below(&g->rnd, 2);
	char text[4096], why[POLICY_WHY] = "";
	struct policy_path *p;
	size_t len = 0;

	g->used = 0;
	root = gen(g, 4);
	len += (size_t)sprintf(text, "%s", from ? "^" : "");
	len += print(root, text + len);
	sprintf(text + len, "%s", to ? "$" : "");
	int err = policy_path_new(text, &p, why);
	if (places(root) > POLICY_PATH_PLACES) {
		assert_int_equal(err, ERR_FULL);
		return;
	}
	if (err)
		fail_msg("seed %llu: %s %s", (unsigned long long)seed, text, why);
	for (int k = 0; k < 20; k++) {
		uint32_t path[PATH_MAX_LEN];
		unsigned n = (unsigned)prng_below(&g->rnd, PATH_MAX_LEN + 1);
		uint8_t room[2 + 4 * PATH_MAX_LEN] = {2, (uint8_t)n};
		struct bgp_attrs a = {.as_path = {.p = room, .len = (uint16_t)(n ? 2 + 4 * n : 0)}};
		uint32_t got;

		for (unsigned i = 0; i < n; i++) {
			path[i] = (uint32_t)prng_below(&g->rnd, 10);
			room[2 + 4 * i + 3] = (uint8_t)path[i];
		}
		got = ends(root, path, n, from ? 1 : (1u << (n + 1)) - 1);
		bool want = to ? got >> n & 1 : got != 0;
		*matched += want;
		if (policy_path_match(p, &a) != want)
			fail_msg("seed %llu: %s", (unsigned long long)seed, text);
	}
	policy_path_free(p);
}

static void against_grammar(void **state)
{
	struct gen *g = malloc(sizeof(*g));
	unsigned matched = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 20000; seed++) {
		prng_seed(&g->rnd, seed);
		one_pattern(g, seed, &matched);
	}
	free(g);
	assert_in_range(matched, 40000, 360000); /* both answers are common */
}

static void no_memory(void **state)
{
	(void)state;
	FAULT_EACH(n)
	{
		char why[POLICY_WHY];
		struct policy_path *p;
		int err = policy_path_new("^(1|[2-3]) .*$", &p, why);

		assert_true(n > 2 ? err == 0 : err == ERR_NOMEM);
		policy_path_free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(refused),
		cmocka_unit_test(against_grammar),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
