/* out.h - text for people: stanzas ("key: value", keys right-aligned) and tables, both laid out when
 * all is known, so that columns line up. No command prints by itself.
 *
 * Everything that comes from the daemon passes through here and is printed as plain ASCII: control
 * characters (a terminal would obey them) and bytes above 126 become '?'. */
#ifndef WEFT_OUT_H
#define WEFT_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct out; /* opaque */

enum out_tone { OUT_PLAIN, OUT_GOOD, OUT_WARN, OUT_BAD, OUT_DIM };

/* Writes to @f (borrowed) in the end. NULL: no memory. */
struct out *out_new(FILE *f, bool colour);
/* Lay out and write everything, then free. 0; ERR_NOMEM (then nothing is written), -EIO: @f refused. */
int out_end(struct out *o);
/* Is colour wanted on @f: a terminal, NO_COLOR unset or empty, TERM not "dumb". */
bool out_colour_wanted(FILE *f);

/* A line of a stanza. An empty key goes on with the value above. */
void out_kv(struct out *o, enum out_tone tone, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* A blank line between stanzas. */
void out_gap(struct out *o);

/* A table: titles first (each "<title" is left-aligned, ">title" right-aligned), then cells row by row.
 * An empty cell shows "-". One stanza block or one table for each struct out. */
void out_table(struct out *o, const char *const *titles, size_t n);
void out_cell(struct out *o, enum out_tone tone, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A line by itself. */
void out_text(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Units for people; each returns @buf (OUT_UNIT bytes). */
#define OUT_UNIT 32
char *out_bytes(uint64_t bytes, char buf[OUT_UNIT]); /* "1.2 GiB" */
char *out_duration(uint64_t ms, char buf[OUT_UNIT]); /* "340ms", "2m13s", "4d02h" */
char *out_rtt(double ms, char buf[OUT_UNIT]);        /* "0.34 ms" */

#endif
