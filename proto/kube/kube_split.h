/* kube_split.h - cuts the API's byte stream into JSON objects of bounded size, so that a list of
 * thousands of nodes or a watch that never ends is held one object at a time.
 *
 * The cut is by brackets and strings alone; whether the text is JSON is for the parser that gets
 * it. Two forms: a sequence of objects with blanks between (a watch), and a list object, whose
 * "items" come one by one and whose other members come last, as one object with an empty "items".
 * Call kube_split_feed until it returns 0; no I/O, one thread. */
#ifndef WEFT_KUBE_SPLIT_H
#define WEFT_KUBE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kube_split_form { KUBE_SPLIT_SEQUENCE, KUBE_SPLIT_LIST };
enum kube_split_got {
	KUBE_SPLIT_MORE = 0, /* all input is used up */
	KUBE_SPLIT_OBJECT,   /* an object of the sequence, or one of the list's items */
	KUBE_SPLIT_SKIPPED,  /* the same, but larger than the bound: its text is lost */
	KUBE_SPLIT_LIST_END, /* the list object is whole: its members besides the items */
};

struct kube_split; /* opaque */

/* @max_bytes bounds each object; what a list holds besides its items too. NULL: no memory. */
struct kube_split *kube_split_new(size_t max_bytes);
void kube_split_free(struct kube_split *s); /* NULL is fine */
/* Forget everything and expect @form. */
void kube_split_reset(struct kube_split *s, enum kube_split_form form);
/* Eat from *@p, stepping it and *@len on, up to the end of the next object; *@text (borrowed until
 * the next call, NUL-terminated) and *@text_len get it, except when it was skipped. Returns an
 * enum kube_split_got; ERR_MALFORMED: brackets that don't match, nesting deeper than
 * KUBE_SPLIT_DEPTH, no object where one belongs, bytes behind a list; ERR_LIMIT: a list's other
 * members are too large; ERR_NOMEM. After an error, only a reset helps. */
int kube_split_feed(
	struct kube_split *s, const char **p, size_t *len, const char **text, size_t *text_len);
/* Is nothing begun and unfinished? For a list: did it end? */
bool kube_split_idle(const struct kube_split *s);

#define KUBE_SPLIT_DEPTH 64

#endif
