/* policy_path.c - see policy_path.h.
 *
 * The parser is a descent whose results are parts of the automaton: the places where a part can begin
 * and end, and whether it can be empty. A repetition with numbers is parsed anew for each of its
 * copies; each adds a place at least, so the bound on places bounds the work too. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_wire.h"
#include "policy_path.h"

struct range {
	uint32_t lo, hi;
};

struct place {
	uint64_t follow; /* places that may come next */
	uint16_t range, nranges;
	bool inverted; /* fits what is in none of the ranges */
};

struct policy_path {
	uint64_t first, last;
	bool nullable, from_start, to_end;
	uint8_t nplaces;
	struct place places[POLICY_PATH_PLACES];
	uint16_t nranges;
	struct range ranges[];
};

struct part {
	uint64_t first, last;
	bool nullable;
};

struct parse {
	const char *text, *p;
	char *why;
	int err;
	unsigned depth, nplaces, nranges;
	struct place places[POLICY_PATH_PLACES];
	struct range ranges[POLICY_PATH_RANGES];
};

static void fail(struct parse *s, int err, const char *what)
{
	if (!s->err)
		(void)snprintf(s->why, POLICY_WHY, "%s at character %zu", what,
			(size_t)(s->p - s->text) + 1);
	s->err = s->err ? s->err : err;
}

static void gap(struct parse *s)
{
	s->p += strspn(s->p, " _");
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static uint32_t number(struct parse *s, uint32_t max)
{
	uint64_t v = 0;

	if (!is_digit(*s->p))
		fail(s, ERR_MALFORMED, "needs a number");
	while (is_digit(*s->p) && v <= max)
		v = v * 10 + (uint64_t)(*s->p++ - '0');
	if (v > max) {
		fail(s, ERR_MALFORMED, "has a number that is too large");
		return 0;
	}
	return (uint32_t)v;
}

static void add_range(struct parse *s, struct place *at, uint32_t lo, uint32_t hi)
{
	if (s->nranges == POLICY_PATH_RANGES) {
		fail(s, ERR_FULL, "has too many ranges");
		return;
	}
	s->ranges[s->nranges++] = (struct range){lo, hi};
	at->nranges++;
}

static void set_members(struct parse *s, struct place *at)
{
	gap(s);
	if (*s->p == '^') {
		at->inverted = true;
		s->p++;
	}
	do {
		uint32_t lo, hi;

		gap(s);
		lo = hi = number(s, UINT32_MAX);
		gap(s);
		if (*s->p == '-') {
			s->p++;
			gap(s);
			hi = number(s, UINT32_MAX);
			gap(s);
		}
		if (hi < lo)
			fail(s, ERR_MALFORMED, "has a range that ends before it begins");
		add_range(s, at, lo, hi);
	} while (!s->err && *s->p != ']');
	if (!s->err)
		s->p++;
}

static struct part choice(struct parse *s);

static struct part atom(struct parse *s)
{
	struct part part = {0};
	struct place *at;

	if (*s->p == '(') {
		if (++s->depth > POLICY_PATH_DEPTH) {
			fail(s, ERR_FULL, "has parentheses nested too deep");
			return part;
		}
		s->p++;
		part = choice(s);
		s->depth--;
		if (!s->err && *s->p != ')')
			fail(s, ERR_MALFORMED, "lacks a )");
		if (!s->err)
			s->p++;
		return part;
	}
	if (*s->p != '.' && *s->p != '[' && !is_digit(*s->p)) {
		fail(s, ERR_MALFORMED, *s->p ? "has something unexpected" : "lacks something");
		return part;
	}
	if (s->nplaces == POLICY_PATH_PLACES) {
		fail(s, ERR_FULL, "is too long, repetitions written out,");
		return part;
	}
	at = &s->places[s->nplaces];
	*at = (struct place){.range = (uint16_t)s->nranges};
	part.first = part.last = 1ull << s->nplaces++;
	if (*s->p == '[') {
		s->p++;
		set_members(s, at);
	} else if (*s->p == '.') {
		s->p++;
		at->inverted = true; /* in none of no ranges */
	} else {
		uint32_t as = number(s, UINT32_MAX);

		add_range(s, at, as, as);
	}
	return part;
}

/* After each place of @from, those of @to may come. */
static void link_places(struct parse *s, uint64_t from, uint64_t to)
{
	for (; from; from &= from - 1)
		s->places[__builtin_ctzll(from)].follow |= to;
}

static struct part join(struct parse *s, struct part a, struct part b)
{
	link_places(s, a.last, b.first);
	return (struct part){.first = a.first | (a.nullable ? b.first : 0),
		.last = b.last | (b.nullable ? a.last : 0),
		.nullable = a.nullable && b.nullable};
}

/* "{N}", "{N,}" or "{N,M}" at the present character; *@max 0: no end. */
static void counts(struct parse *s, unsigned *min, unsigned *max)
{
	s->p++;
	gap(s);
	*min = *max = number(s, POLICY_PATH_PLACES);
	gap(s);
	if (*s->p == ',') {
		s->p++;
		gap(s);
		*max = 0;
		if (*s->p != '}') {
			*max = number(s, POLICY_PATH_PLACES);
			if (*max == 0)
				fail(s, ERR_MALFORMED, "repeats nothing");
		}
		gap(s);
	} else if (*min == 0) {
		fail(s, ERR_MALFORMED, "repeats nothing");
	}
	if (!s->err && *s->p != '}')
		fail(s, ERR_MALFORMED, "lacks a }");
	if (!s->err && *max && *max < *min)
		fail(s, ERR_MALFORMED, "repeats fewer times at most than at least");
	if (!s->err)
		s->p++;
}

/* @one was parsed from @at: the copies that @min and @max ask for. */
static struct part repeat(
	struct parse *s, struct part one, const char *at, unsigned min, unsigned max)
{
	const char *end = s->p;
	unsigned copies = max ? max : min ? min : 1;
	struct part all = one;

	if (min < 1)
		all.nullable = true;
	for (unsigned i = 1; i < copies && !s->err; i++) {
		s->p = at;
		one = atom(s);
		if (i >= min)
			one.nullable = true;
		all = join(s, all, one);
	}
	if (max == 0) /* the last copy over and over */
		link_places(s, one.last, one.first);
	if (!s->err)
		s->p = end;
	return all;
}

static struct part one(struct parse *s)
{
	const char *at = s->p;
	struct part part = atom(s);
	unsigned min = 1, max = 1;

	gap(s);
	if (s->err)
		return part;
	switch (*s->p) {
	case '*':
		min = max = 0;
		s->p++;
		break;
	case '+':
		max = 0;
		s->p++;
		break;
	case '?':
		min = 0;
		s->p++;
		break;
	case '{':
		counts(s, &min, &max);
		break;
	default:
		return part;
	}
	if (!s->err)
		part = repeat(s, part, at, min, max);
	gap(s);
	return part;
}

static struct part row(struct parse *s)
{
	struct part part;

	gap(s);
	part = one(s);
	while (!s->err && *s->p && !strchr("|)$", *s->p))
		part = join(s, part, one(s));
	return part;
}

static struct part choice(struct parse *s)
{
	struct part part = row(s);

	while (!s->err && *s->p == '|') {
		struct part other;

		s->p++;
		other = row(s);
		part.first |= other.first;
		part.last |= other.last;
		part.nullable |= other.nullable;
	}
	return part;
}

int policy_path_new(const char *text, struct policy_path **out, char *why)
{
	struct parse *s = malloc(sizeof(*s));
	bool from_start, to_end;
	struct part part = {.nullable = true};
	struct policy_path *p;
	int err;

	*out = NULL;
	if (!s)
		return ERR_NOMEM;
	s->text = s->p = text;
	s->why = why;
	s->err = 0;
	s->depth = s->nplaces = s->nranges = 0;
	gap(s);
	from_start = *s->p == '^';
	s->p += from_start;
	gap(s);
	if (!from_start || *s->p != '$') /* "^$" */
		part = choice(s);
	to_end = *s->p == '$';
	s->p += to_end;
	gap(s);
	if (!s->err && *s->p)
		fail(s, ERR_MALFORMED, "has something unexpected");
	err = s->err;
	if (err)
		goto out;
	err = ERR_NOMEM;
	p = malloc(sizeof(*p) + s->nranges * sizeof(p->ranges[0]));
	if (!p)
		goto out;
	*p = (struct policy_path){.first = part.first,
		.last = part.last,
		.nullable = part.nullable,
		.from_start = from_start,
		.to_end = to_end,
		.nplaces = (uint8_t)s->nplaces,
		.nranges = (uint16_t)s->nranges};
	memcpy(p->places, s->places, s->nplaces * sizeof(p->places[0]));
	memcpy(p->ranges, s->ranges, s->nranges * sizeof(p->ranges[0]));
	*out = p;
	err = 0;
out:
	free(s);
	return err;
}

void policy_path_free(struct policy_path *p)
{
	free(p);
}

static bool fits(const struct policy_path *p, const struct place *at, uint32_t as)
{
	for (unsigned i = 0; i < at->nranges; i++) {
		const struct range *r = &p->ranges[at->range + i];

		if (as >= r->lo && as <= r->hi)
			return !at->inverted;
	}
	return at->inverted;
}

static uint32_t be32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Of the places @cand, those that one of the @n numbers at @b fits. */
static uint64_t step(const struct policy_path *p, uint64_t cand, const uint8_t *b, unsigned n)
{
	uint64_t out = 0;

	for (; cand; cand &= cand - 1) {
		unsigned i = (unsigned)__builtin_ctzll(cand);

		for (unsigned k = 0; k < n; k++)
			if (fits(p, &p->places[i], be32(b + 4 * k))) {
				out |= 1ull << i;
				break;
			}
	}
	return out;
}

bool policy_path_match(const struct policy_path *p, const struct bgp_attrs *a)
{
	const uint8_t *seg;
	uint64_t now = 0;
	bool begun = false;

	if (p->nullable && !(p->from_start && p->to_end))
		return true;
	for (unsigned i = 0; i < a->as_path.len; i += 2 + 4u * seg[1]) {
		bool set;

		seg = a->as_path.p + i;
		set = seg[0] == SEG_SET;
		for (unsigned k = 0; k < (set ? 1u : seg[1]); k++) {
			uint64_t cand = begun && p->from_start ? 0 : p->first;

			for (; now; now &= now - 1)
				cand |= p->places[__builtin_ctzll(now)].follow;
			now = step(p, cand, seg + 2 + 4 * k, set ? seg[1] : 1);
			begun = true;
			if (!p->to_end && now & p->last)
				return true;
			if (!now && p->from_start)
				return false;
		}
	}
	return now & p->last || (p->nullable && !begun);
}
