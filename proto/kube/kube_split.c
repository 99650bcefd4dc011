/* kube_split.c - see kube_split.h.
 *
 * One pass, one byte at a time, no look back: where() of the state is the bracket depth, the kind of
 * each open bracket (a bit), and whether we are in a string or behind a backslash. Two buffers: the
 * object at hand, and the list's envelope. In an envelope the items are left out, so that its text
 * stays a JSON object. Bounds: max_bytes for each buffer, KUBE_SPLIT_DEPTH. Buffers keep their size
 * between objects, up to KEEP_BYTES. */
#include "kube_split.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"

#define FIRST_BYTES 4096
#define KEEP_BYTES  (64 * 1024)

struct text {
	char *p;
	size_t len, cap;
	bool lost; /* larger than the bound: nothing is kept until it ends */
};

struct kube_split {
	size_t max_bytes;
	enum kube_split_form form;
	struct text object, envelope;
	uint64_t kinds; /* bit i: bracket i is '{' */
	unsigned depth;
	bool in_string, escaped, in_items, ended;
	/* A list's member name at hand: as much as tells "items" from others. */
	char name[8];
	size_t name_len;
	bool named;     /* the colon behind it came */
	unsigned stale; /* text that was given out: dropped at the next call */
};

enum { STALE_OBJECT = 1, STALE_ENVELOPE = 2 };

struct kube_split *kube_split_new(size_t max_bytes)
{
	struct kube_split *s = calloc(1, sizeof(*s));

	if (s)
		s->max_bytes = max_bytes;
	return s;
}

void kube_split_free(struct kube_split *s)
{
	if (!s)
		return;
	free(s->object.p);
	free(s->envelope.p);
	free(s);
}

static void text_clear(struct text *t)
{
	if (t->cap > KEEP_BYTES) {
		free(t->p);
		t->p = NULL;
		t->cap = 0;
	}
	t->len = 0;
	t->lost = false;
}

void kube_split_reset(struct kube_split *s, enum kube_split_form form)
{
	text_clear(&s->object);
	text_clear(&s->envelope);
	*s = (struct kube_split){.max_bytes = s->max_bytes,
		.form = form,
		.object = s->object,
		.envelope = s->envelope};
}

/* Append, with room for the NUL. */
static int text_add(struct text *t, char c, size_t max)
{
	if (t->lost)
		return 0;
	if (t->len >= max) {
		text_clear(t);
		t->lost = true;
		return 0;
	}
	if (t->len + 1 >= t->cap) {
		size_t cap = t->cap ? 2 * t->cap : FIRST_BYTES;
		char *p = realloc(t->p, cap);

		if (!p)
			return ERR_NOMEM;
		t->p = p;
		t->cap = cap;
	}
	t->p[t->len++] = c;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The depth at which objects are handed out begins: 0 of a sequence, 2 inside a list's items. */
static unsigned base_depth(const struct kube_split *s)
{
	return s->in_items ? 2 : 0;
}

static int open_bracket(struct kube_split *s, char c)
{
	if (s->depth >= KUBE_SPLIT_DEPTH)
		return ERR_MALFORMED;
	if (c == '{')
		s->kinds |= UINT64_C(1) << s->depth;
	else
		s->kinds &= ~(UINT64_C(1) << s->depth);
	s->depth++;
	return 0;
}

static int close_bracket(struct kube_split *s, char c)
{
	if (s->depth == 0)
		return ERR_MALFORMED;
	bool brace = (s->kinds >> (s->depth - 1)) & 1;
	if (brace != (c == '}'))
		return ERR_MALFORMED;
	s->depth--;
	return 0;
}

/* Step the state over @c, which belongs to an object. */
static int step(struct kube_split *s, char c)
{
	if (s->in_string) {
		if (s->escaped)
			s->escaped = false;
		else if (c == '\\')
			s->escaped = true;
		else if (c == '"')
			s->in_string = false;
		return 0;
	}
	switch (c) {
	case '"':
		s->in_string = true;
		return 0;
	case '{':
	case '[':
		return open_bracket(s, c);
	case '}':
	case ']':
		return close_bracket(s, c);
	default:
		return 0;
	}
}

/* Follow the member names of a list's own object, depth 1: @was_string says if @c was read inside a
 * string. */
static void follow_name(struct kube_split *s, char c, bool was_string)
{
	if (s->depth != 1)
		return;
	if (was_string) {
		if (s->in_string && s->name_len < sizeof(s->name))
			s->name[s->name_len++] = c;
	} else if (c == '"') {
		s->name_len = 0;
		s->named = false;
	} else if (c == ':') {
		s->named = true;
	} else if (c == ',' || !is_blank(c)) {
		s->name_len = 0;
		s->named = false;
	}
}

/* One byte of an object of the sequence, or of an item. 1: it is whole. */
static int object_byte(struct kube_split *s, char c)
{
	int err = step(s, c);

	if (!err)
		err = text_add(&s->object, c, s->max_bytes);
	if (err)
		return err;
	return s->depth == base_depth(s) && !s->in_string;
}

/* One byte of a list's own object. 1: it is whole. */
static int envelope_byte(struct kube_split *s, char c)
{
	bool was_string = s->in_string;
	bool items = !was_string && c == '[' && s->depth == 1 && s->named && s->name_len == 5 &&
		     memcmp(s->name, "items", 5) == 0;
	int err = step(s, c);

	if (!err)
		err = text_add(&s->envelope, c, s->max_bytes);
	if (err)
		return err;
	if (s->envelope.lost)
		return ERR_LIMIT;
	follow_name(s, c, was_string);
	s->in_items = items;
	if (s->depth == 0)
		s->ended = true;
	return s->ended;
}

/* A byte between a list's items. */
static int between_items(struct kube_split *s, char c)
{
	if (is_blank(c) || c == ',')
		return 0;
	if (c == '{')
		return object_byte(s, c);
	if (c != ']')
		return ERR_MALFORMED;
	s->in_items = false;
	return envelope_byte(s, c);
}

static int give(struct kube_split *s, struct text *t, enum kube_split_got got, const char **text,
	size_t *text_len)
{
	s->stale |= t == &s->object ? STALE_OBJECT : STALE_ENVELOPE;
	*text = NULL;
	*text_len = 0;
	if (t->lost)
		return KUBE_SPLIT_SKIPPED;
	assert(t->len < t->cap);
	t->p[t->len] = '\0';
	*text = t->p;
	*text_len = t->len;
	return got;
}

/* 0, 1: an object is whole, or an error. */
static int eat(struct kube_split *s, char c)
{
	if (s->form == KUBE_SPLIT_SEQUENCE || s->in_items) {
		if (s->depth > base_depth(s))
			return object_byte(s, c);
		if (s->in_items)
			return between_items(s, c);
		if (is_blank(c))
			return 0;
		return c == '{' ? object_byte(s, c) : ERR_MALFORMED;
	}
	if (s->depth == 0) {
		if (is_blank(c))
			return 0;
		if (s->ended || c != '{')
			return ERR_MALFORMED;
	}
	return envelope_byte(s, c);
}

int kube_split_feed(
	struct kube_split *s, const char **p, size_t *len, const char **text, size_t *text_len)
{
	if (s->stale & STALE_OBJECT)
		text_clear(&s->object);
	if (s->stale & STALE_ENVELOPE)
		text_clear(&s->envelope);
	s->stale = 0;
	while (*len > 0) {
		int r = eat(s, **p);

		if (r < 0)
			return r;
		(*p)++;
		(*len)--;
		if (r > 0)
			return s->ended ? give(s, &s->envelope, KUBE_SPLIT_LIST_END, text, text_len)
					: give(s, &s->object, KUBE_SPLIT_OBJECT, text, text_len);
	}
	return KUBE_SPLIT_MORE;
}

bool kube_split_idle(const struct kube_split *s)
{
	return s->depth == 0 && (s->form == KUBE_SPLIT_SEQUENCE || s->ended);
}
