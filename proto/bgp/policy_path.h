/* policy_path.h - patterns of AS paths, for route policy.
 *
 * A path is a row of AS numbers; a pattern says how it may look. Numbers stand for themselves and are
 * never cut in two, so that a space or "_" only separates.
 *
 *	pattern = ["^"] choice ["$"]            without "^" or "$" anything may stand before, behind
 *	choice  = row {"|" row}
 *	row     = one {one}
 *	one     = atom ["*" | "+" | "?" | "{" N "}" | "{" N "," [M] "}"]        M from 1 to 64
 *	atom    = NUMBER | "." | "[" ["^"] range {range} "]" | "(" choice ")"
 *	range   = NUMBER ["-" NUMBER]
 *
 * "." is any number; "^$" is the empty path, and the only pattern without a row. An AS_SET is one
 * place of the path and fits where one of its members does.
 *
 * The pattern becomes Glushkov's automaton, a set of at most 64 places in one word: matching is
 * linear in the path's length, whatever the pattern, and allocates nothing. */
#ifndef WEFT_POLICY_PATH_H
#define WEFT_POLICY_PATH_H

#include <stdbool.h>
#include "bgp.h"

#define POLICY_WHY         160 /* bytes for a text that says why something was refused */
#define POLICY_PATH_PLACES 64  /* numbers and sets of a pattern, repetitions written out */
#define POLICY_PATH_DEPTH  16  /* of parentheses */
#define POLICY_PATH_RANGES 512 /* in all sets, repetitions written out */

struct policy_path;

/* ERR_MALFORMED or ERR_FULL (a bound above): @why (POLICY_WHY bytes) goes on after the quoted text.
 * ERR_NOMEM. Returns owned. */
int policy_path_new(const char *text, struct policy_path **out, char *why);
void policy_path_free(struct policy_path *p); /* NULL is fine */
/* Does the AS path of @a fit? Its segments must be well formed, as those of the core are. */
bool policy_path_match(const struct policy_path *p, const struct bgp_attrs *a);

#endif
