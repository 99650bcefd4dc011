/* Layout of stanzas and tables. Both are a grid of cells: a stanza line is a row of two, the key
 * right-aligned; a table row has a cell for each title. out_end() computes the widths and writes. */
#include "out.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "weft/err.h"

#define COLS_MAX 16

struct cell {
	char *text; /* NULL in the first cell of a row: a blank line, or the row is @whole */
	enum out_tone tone;
};

struct out {
	FILE *f;
	bool colour, stanzas;
	int err; /* sticky */
	size_t ncols;
	bool right[COLS_MAX];
	struct cell *cells;
	size_t n, cap;
};

static const char *const escapes[] = {[OUT_PLAIN] = "",
	[OUT_GOOD] = "\033[32m",
	[OUT_WARN] = "\033[33m",
	[OUT_BAD] = "\033[31m",
	[OUT_DIM] = "\033[2m"};

struct out *out_new(FILE *f, bool colour)
{
	struct out *o = calloc(1, sizeof(*o));

	if (o) {
		o->f = f;
		o->colour = colour;
	}
	return o;
}

bool out_colour_wanted(FILE *f)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(f)) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

static void tame(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || (unsigned char)*s > '~')
			*s = '?';
}

static void push(struct out *o, enum out_tone tone, char *text)
{
	if (o->n == o->cap) {
		size_t cap = o->cap ? 2 * o->cap : 64;
		struct cell *p = realloc(o->cells, cap * sizeof(*p));
		if (!p) {
			o->err = ERR_NOMEM;
			free(text);
			return;
		}
		o->cells = p;
		o->cap = cap;
	}
	o->cells[o->n++] = (struct cell){text, tone};
}

static char *vformat(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
static char *vformat(const char *fmt, va_list ap)
{
	va_list again;

	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	assert(n >= 0);
	char *s = malloc((size_t)n + 1);
	if (s) {
		(void)vsnprintf(s, (size_t)n + 1, fmt, again);
		tame(s);
	}
	va_end(again);
	return s;
}

static void vpush(struct out *o, enum out_tone tone, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));
static void vpush(struct out *o, enum out_tone tone, const char *fmt, va_list ap)
{
	if (o->err)
		return;
	char *s = vformat(fmt, ap);
	if (!s)
		o->err = ERR_NOMEM;
	else
		push(o, tone, s);
}

static void pushf(struct out *o, enum out_tone tone, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void pushf(struct out *o, enum out_tone tone, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vpush(o, tone, fmt, ap);
	va_end(ap);
}

static void begin_stanzas(struct out *o)
{
	assert(o->ncols == 0 || o->stanzas);
	o->ncols = 2;
	o->stanzas = true;
	o->right[0] = true;
}

void out_kv(struct out *o, enum out_tone tone, const char *key, const char *fmt, ...)
{
	va_list ap;

	begin_stanzas(o);
	pushf(o, OUT_PLAIN, "%s%s", key, key[0] ? ":" : "");
	va_start(ap, fmt);
	vpush(o, tone, fmt, ap);
	va_end(ap);
}

void out_gap(struct out *o)
{
	begin_stanzas(o);
	if (o->err)
		return;
	push(o, OUT_PLAIN, NULL);
	if (!o->err)
		push(o, OUT_PLAIN, NULL);
}

void out_table(struct out *o, const char *const *titles, size_t n)
{
	assert(o->ncols == 0 && n > 0 && n <= COLS_MAX);
	o->ncols = n;
	for (size_t i = 0; i < n; i++) {
		o->right[i] = titles[i][0] == '>';
		pushf(o, OUT_PLAIN, "%s", titles[i] + 1);
	}
}

void out_cell(struct out *o, enum out_tone tone, const char *fmt, ...)
{
	va_list ap;
	size_t before = o->n;

	assert(o->ncols > 0 && !o->stanzas);
	va_start(ap, fmt);
	vpush(o, tone, fmt, ap);
	va_end(ap);
	if (o->n > before && o->cells[before].text[0] == '\0') {
		free(o->cells[before].text);
		o->n = before;
		pushf(o, OUT_DIM, "-");
	}
}

void out_text(struct out *o, const char *fmt, ...)
{
	va_list ap;

	assert(o->ncols <= 1);
	o->ncols = 1;
	va_start(ap, fmt);
	vpush(o, OUT_PLAIN, fmt, ap);
	va_end(ap);
}

static void write_cell(struct out *o, const struct cell *c, size_t pad, bool right, bool last)
{
	bool tint = o->colour && c->tone != OUT_PLAIN;

	(void)fprintf(o->f, "%*s%s%s%s", right ? (int)pad : 0, "", tint ? escapes[c->tone] : "",
		c->text, tint ? "\033[0m" : "");
	if (!last)
		(void)fprintf(o->f, "%*s", (right ? 0 : (int)pad) + (o->stanzas ? 1 : 2), "");
}

static void write_grid(struct out *o)
{
	size_t width[COLS_MAX] = {0};

	assert(o->n % o->ncols == 0);
	for (size_t i = 0; i < o->n; i++) {
		size_t len = o->cells[i].text ? strlen(o->cells[i].text) : 0;
		if (len > width[i % o->ncols])
			width[i % o->ncols] = len;
	}
	for (size_t row = 0; row < o->n; row += o->ncols) {
		if (o->cells[row].text)
			for (size_t i = 0; i < o->ncols; i++) {
				const struct cell *c = &o->cells[row + i];
				write_cell(o, c, width[i] - strlen(c->text), o->right[i],
					i + 1 == o->ncols);
			}
		(void)fputc('\n', o->f);
	}
}

int out_end(struct out *o)
{
	if (!o)
		return ERR_NOMEM;
	if (!o->err && o->n > 0) {
		write_grid(o);
		if (fflush(o->f) != 0 || ferror(o->f))
			o->err = -EIO;
	}
	int err = o->err;
	for (size_t i = 0; i < o->n; i++)
		free(o->cells[i].text);
	free(o->cells);
	free(o);
	return err;
}

char *out_bytes(uint64_t bytes, char buf[OUT_UNIT])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	size_t u = 0;

	if (bytes < 1024) {
		(void)snprintf(buf, OUT_UNIT, "%" PRIu64 " B", bytes);
		return buf;
	}
	/* 1023.95 and more would print as 1024.0 */
	for (v /= 1024; v >= 1023.95 && u + 1 < sizeof(units) / sizeof(units[0]); u++)
		v /= 1024;
	(void)snprintf(buf, OUT_UNIT, "%.1f %s", v, units[u]);
	return buf;
}

char *out_duration(uint64_t ms, char buf[OUT_UNIT])
{
	uint64_t s = ms / 1000;

	if (ms < 1000)
		(void)snprintf(buf, OUT_UNIT, "%" PRIu64 "ms", ms);
	else if (s < 60)
		(void)snprintf(buf, OUT_UNIT, "%" PRIu64 "s", s);
	else if (s < 3600)
		(void)snprintf(buf, OUT_UNIT, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		(void)snprintf(buf, OUT_UNIT, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		(void)snprintf(
			buf, OUT_UNIT, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
	return buf;
}

char *out_rtt(double ms, char buf[OUT_UNIT])
{
	if (!isfinite(ms) || ms < 0 || ms > 1e9)
		(void)snprintf(buf, OUT_UNIT, "?");
	else
		(void)snprintf(buf, OUT_UNIT,
			ms < 1     ? "%.2f ms"
			: ms < 100 ? "%.1f ms"
				   : "%.0f ms",
			ms);
	return buf;
}
