/* roa_text.c - the files that a table of origins is read from. See roa.h.
 *
 * JSON is walked by a descent of bounded depth; of all values only the three of an entry are looked
 * at. Strings are compared as they stand (but "\/"), so that an escaped key is an unknown one. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "roa.h"

#define DEPTH_MAX 32
#define FIELD_MAX 80

struct in {
	const char *start, *p, *end;
	char *why;
	int err;
	struct roa_entry *v;
	size_t n, cap;
};

static void fail(struct in *s, const char *what)
{
	size_t line = 1;

	if (s->err)
		return;
	s->err = ERR_MALFORMED;
	for (const char *c = s->start; c < s->p; c++)
		line += *c == '\n';
	(void)snprintf(s->why, ROA_WHY, "line %zu: %s", line, what);
}

static int peek(const struct in *s)
{
	return s->p < s->end && !s->err ? (unsigned char)*s->p : -1;
}

/* --- entries --- */

static bool number(const char *text, uint32_t max, uint32_t *out)
{
	uint64_t v = 0;

	if (!text[0])
		return false;
	for (; *text >= '0' && *text <= '9' && v <= max; text++)
		v = v * 10 + (uint64_t)(*text - '0');
	*out = (uint32_t)v;
	return !*text && v <= max;
}

static bool grow(struct in *s)
{
	size_t cap = s->cap ? 2 * s->cap : 256;
	struct roa_entry *v;

	if (s->n == LIM_BGP_ROAS) {
		fail(s, "more entries than are taken");
		s->err = ERR_FULL;
		return false;
	}
	if (s->n < s->cap)
		return true;
	v = realloc(s->v, cap * sizeof(*v));
	if (!v) {
		s->err = ERR_NOMEM;
		return false;
	}
	s->v = v;
	s->cap = cap;
	return true;
}

/* @max_len "" is the prefix's own. */
static void add(struct in *s, const char *asn, const char *prefix, const char *max_len)
{
	bool has_as = (asn[0] | 0x20) == 'a' && (asn[1] | 0x20) == 's';
	struct roa_entry e;
	uint32_t len;

	if (!number(asn + (has_as ? 2 : 0), UINT32_MAX, &e.as)) {
		fail(s, "no AS number");
		return;
	}
	if (pfx_parse(prefix, &e.pfx) != 0) {
		fail(s, "no prefix, or one with host bits set");
		return;
	}
	len = e.pfx.len;
	if (max_len[0] && !number(max_len, ip_bits(&e.pfx.ip), &len)) {
		fail(s, "no length of that family");
		return;
	}
	if (len < e.pfx.len) {
		fail(s, "a length below the prefix's own");
		return;
	}
	e.max_len = (uint8_t)len;
	if (grow(s))
		s->v[s->n++] = e;
}

/* --- JSON --- */

static void space(struct in *s)
{
	while (s->p < s->end && strchr(" \t\r\n", *s->p) && *s->p)
		s->p++;
}

static void expect(struct in *s, char c)
{
	space(s);
	if (peek(s) != (unsigned char)c) {
		fail(s, "no JSON here");
		return;
	}
	s->p++;
	space(s);
}

/* A string, into @out (FIELD_MAX) as far as it fits; NULL: only past it. */
static void string(struct in *s, char *out)
{
	size_t n = 0;
	int c;

	space(s);
	if (peek(s) != '"') {
		fail(s, "no JSON here");
		return;
	}
	s->p++;
	while ((c = peek(s)) != '"') {
		if (c < 0x20) {
			fail(s, "a string that does not end");
			break;
		}
		if (c == '\\') {
			s->p++;
			if (peek(s) < 0x20) {
				fail(s, "a string that does not end");
				break;
			}
			if (out && peek(s) != '/' && n + 1 < FIELD_MAX)
				out[n++] = '\\';
		}
		if (out && n + 1 < FIELD_MAX)
			out[n++] = *s->p;
		s->p++;
	}
	if (out)
		out[n] = '\0';
	if (!s->err)
		s->p++;
}

/* A number or a word, into @out as a string. */
static void bare(struct in *s, char *out)
{
	size_t n = 0;
	int c;

	while ((c = peek(s)) >= 0 && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
					     c == '.' || c == '-' || c == '+' || c == 'E')) {
		if (out && n + 1 < FIELD_MAX)
			out[n] = (char)c;
		n++;
		s->p++;
	}
	if (n == 0)
		fail(s, "no JSON here");
	if (out)
		out[n < FIELD_MAX ? n : FIELD_MAX - 1] = '\0';
}

static void skip(struct in *s, unsigned depth);

/* The members of an object, each told by its name before its value is the present thing; @fn reads
 * that. */
static void object(struct in *s, unsigned depth,
	void (*fn)(struct in *s, const char *name, unsigned depth, void *ctx), void *ctx)
{
	char name[FIELD_MAX];

	expect(s, '{');
	while (peek(s) >= 0 && peek(s) != '}') {
		string(s, name);
		expect(s, ':');
		fn(s, name, depth, ctx);
		space(s);
		if (peek(s) != ',')
			break;
		expect(s, ',');
		if (peek(s) == '}')
			fail(s, "a comma too many");
	}
	expect(s, '}');
}

static void array(struct in *s, unsigned depth, void (*fn)(struct in *s, unsigned depth))
{
	expect(s, '[');
	while (peek(s) >= 0 && peek(s) != ']') {
		fn(s, depth);
		space(s);
		if (peek(s) != ',')
			break;
		expect(s, ',');
		if (peek(s) == ']')
			fail(s, "a comma too many");
	}
	expect(s, ']');
}

static void skip_member(struct in *s, const char *name, unsigned depth, void *ctx)
{
	(void)name;
	(void)ctx;
	skip(s, depth);
}

static void skip(struct in *s, unsigned depth)
{
	if (depth == DEPTH_MAX) {
		fail(s, "nested too deep");
		return;
	}
	switch (peek(s)) {
	case '{':
		object(s, depth + 1, skip_member, NULL);
		break;
	case '[':
		array(s, depth + 1, skip);
		break;
	case '"':
		string(s, NULL);
		break;
	default:
		bare(s, NULL);
	}
}

struct fields {
	char asn[FIELD_MAX], prefix[FIELD_MAX], max_len[FIELD_MAX];
};

static void entry_member(struct in *s, const char *name, unsigned depth, void *ctx)
{
	struct fields *f = ctx;
	char *to = strcmp(name, "asn") == 0         ? f->asn
		   : strcmp(name, "prefix") == 0    ? f->prefix
		   : strcmp(name, "maxLength") == 0 ? f->max_len
						    : NULL;

	if (!to || peek(s) == '{' || peek(s) == '[')
		skip(s, depth);
	else if (peek(s) == '"')
		string(s, to);
	else
		bare(s, to);
}

static void entry(struct in *s, unsigned depth)
{
	struct fields f = {"", "", ""};

	object(s, depth, entry_member, &f);
	if (!s->err)
		add(s, f.asn, f.prefix, f.max_len);
}

static void top_member(struct in *s, const char *name, unsigned depth, void *ctx)
{
	bool *seen = ctx;

	if (strcmp(name, "roas") != 0) {
		skip(s, depth);
		return;
	}
	*seen = true;
	array(s, depth + 1, entry);
}

static void read_json(struct in *s)
{
	bool seen = false;

	object(s, 1, top_member, &seen);
	if (!s->err && s->p < s->end)
		fail(s, "something behind the end");
	if (!s->err && !seen)
		fail(s, "no list \"roas\"");
}

/* --- lines --- */

/* The next field of the line that ends at @eol. */
static void field(struct in *s, const char *eol, char out[FIELD_MAX])
{
	size_t n = 0;

	while (s->p < eol && (*s->p == ' ' || *s->p == '\t'))
		s->p++;
	for (; s->p < eol && !strchr(" \t,\r", *s->p) && *s->p; s->p++)
		if (n + 1 < FIELD_MAX)
			out[n++] = *s->p;
	out[n] = '\0';
	while (s->p < eol && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r'))
		s->p++;
	if (s->p < eol && *s->p == ',')
		s->p++;
}

static void read_line(struct in *s, const char *eol, bool first)
{
	const char *hash = memchr(s->p, '#', (size_t)(eol - s->p));
	struct fields f;

	if (hash)
		eol = hash;
	field(s, eol, f.asn);
	if (!f.asn[0] && s->p == eol)
		return;
	if (first && strcmp(f.asn, "ASN") == 0) /* titles */
		return;
	field(s, eol, f.prefix);
	field(s, eol, f.max_len); /* what is behind (trust anchor, expiry) is not asked for */
	add(s, f.asn, f.prefix, f.max_len);
}

static void read_lines(struct in *s)
{
	bool first = true;

	while (s->p < s->end && !s->err) {
		const char *eol = memchr(s->p, '\n', (size_t)(s->end - s->p));

		if (!eol)
			eol = s->end;
		read_line(s, eol, first);
		first = false;
		if (!s->err)
			s->p = eol < s->end ? eol + 1 : eol;
	}
}

int roa_parse(const char *text, size_t len, struct roa **out, char *why)
{
	struct in s = {.start = text, .p = text, .end = text + len, .why = why};
	int err;

	*out = NULL;
	why[0] = '\0';
	space(&s);
	if (peek(&s) == '{')
		read_json(&s);
	else
		read_lines(&s);
	err = s.err;
	if (!err)
		err = roa_new(s.v, s.n, out);
	free(s.v);
	return err;
}
