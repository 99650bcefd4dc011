/* policy.h - route policy: named sets and policies, compiled once and then only read, without I/O.
 * docs/bgp.md says what it means to an operator; bgp.h takes a policy by its hook.
 *
 * A policy is a row of rules. A rule holds for a route when all that it matches does and nothing that
 * it excepts does; then it changes attributes and says accept, reject or next (go on). A route that
 * no rule decided is rejected. Later rules see what earlier ones changed.
 *
 * Order: a book; its sets, each before who names it; its policies, with rules and their values as
 * text, one by one; policy_book_close(). After that nothing changes but the counters and what
 * policy_book_origins() puts in. One thread.
 *
 * Texts that can fail take @why (POLICY_WHY bytes): what is wrong, in words that follow the quoted
 * value. Besides what each says they return ERR_MALFORMED (the text), ERR_FULL (a bound, LIM_POLICY_*
 * of bounds.h), ERR_NOMEM. */
#ifndef WEFT_POLICY_H
#define WEFT_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bgp.h"
#include "policy_path.h"

struct policy_book;
struct policy_set;
struct policy;
struct policy_rule;
struct roa;

#define POLICY_NAME_MAX 48  /* characters of a name: a letter, then letters, digits, "-" and "_" */
#define POLICY_TEXT     240 /* bytes of what a rule says, cut */

struct policy_book *policy_book_new(void);    /* NULL: no memory */
void policy_book_free(struct policy_book *b); /* with all that is in it; NULL is fine */

/* What a set is of. */
enum policy_kind {
	POLICY_PREFIXES,    /* "10.0.0.0/8", "10.0.0.0/8 ge 16 le 24" */
	POLICY_COMMUNITIES, /* policy_comm.h */
	POLICY_PATHS,       /* policy_path.h */
	POLICY_ASNS, /* "64512", "64512-64520"; of clusters too: "own" is this node's, "link:west"
			       that of the cluster that link leads to */
	POLICY_KINDS,
};
/* ERR_EXISTS: one of the kind has that name. *@out is the book's. */
int policy_set_new(struct policy_book *b, enum policy_kind kind, const char *name,
	struct policy_set **out, char *why);
/* Add what @text says: a value of the kind, or the name of a set that is there already, whose values
 * are copied. */
int policy_set_add(struct policy_book *b, struct policy_set *s, const char *text, char *why);

/* ERR_EXISTS. *@out is the book's. */
int policy_new(struct policy_book *b, const char *name, struct policy **out, char *why);
/* The same under a @label that no configuration can name, for what is written without a name. */
int policy_new_unnamed(struct policy_book *b, const char *label, struct policy **out);
/* A rule behind those there are; @name NULL: its number. ERR_EXISTS. */
int policy_rule_new(struct policy *p, const char *name, struct policy_rule **out, char *why);

/* The parts of a rule, and the keys in them. A key takes one text, or each text of a list. */
enum policy_part { POLICY_MATCH, POLICY_EXCEPT, POLICY_CHANGE };
struct policy_key {
	const char *name, *allowed;
	bool list;
	int id;
};
const struct policy_key *policy_key_find(enum policy_part part, const char *name); /* or NULL */
/* The names of the part's keys, for a message. */
const char *policy_key_names(enum policy_part part);
int policy_rule_take(struct policy_book *b, struct policy_rule *r, enum policy_part part,
	const struct policy_key *key, const char *text, char *why);
/* The key's list is complete. An empty one is refused (ERR_MALFORMED) where it could match nothing. */
int policy_rule_take_end(
	struct policy_rule *r, enum policy_part part, const struct policy_key *key, char *why);
/* "accept", "reject" or "next". */
int policy_rule_verdict(struct policy_rule *r, const char *text, char *why);

/* No import policy of this book takes a prefix inside @p, whatever it says. ERR_FULL, ERR_NOMEM. */
int policy_book_guard(struct policy_book *b, const struct pfx *p);
/* Compile; @local_as is this node's. */
int policy_book_close(struct policy_book *b, uint32_t local_as);
/* The table that origin validity comes from (kept, the caller's; NULL: all is unknown). Repolicy the
 * peers after it. */
void policy_book_origins(struct policy_book *b, const struct roa *r);
/* @b, closed, takes the place of @old: the hooks of policies with the same name in both are @b's from
 * now on, so that repolicying the peers sends no more than what differs. The others stay valid as
 * long as @old does. */
void policy_book_succeed(struct policy_book *b, struct policy_book *old);
/* The linked clusters that rules name ("link:west"): the @i-th, NULL behind the last. */
const char *policy_book_cluster(const struct policy_book *b, size_t i);
/* It has that AS number at present; 0: not known, so that nothing matches. True: it had another, and the
 * peers are to be repolicied. */
bool policy_book_cluster_is(struct policy_book *b, size_t i, uint32_t asn);
/* Does a rule of @p set a next hop? */
bool policy_sets_next_hop(const struct policy *p);
/* Does a rule of any policy ask for validity? */
bool policy_book_wants_origins(const struct policy_book *b);

enum policy_dir { POLICY_IN, POLICY_OUT };
/* The policy of that name; NULL: none. "accept" and "reject" are always there. */
struct policy *policy_find(struct policy_book *b, const char *name);
const char *policy_name(const struct policy *p);
/* For bgp.h. Equal arguments give equal hooks, so that peers share their work. */
struct bgp_policy policy_hook(struct policy *p, enum policy_dir dir);

/* One rule's part in an evaluation, told in their order. */
struct policy_step {
	const char *rule; /* its name or number; "" is the guard, NULL the end of the policy */
	bool holds;
	const char *failed; /* if not: the key that does not hold, or that is excepted */
	bool excepted;
	const char *change;  /* if it holds: what it changes, "" for nothing */
	const char *verdict; /* if it holds: "accept", "reject", "next" */
};
typedef void (*policy_step_fn)(void *ctx, const struct policy_step *s);
/* Evaluate without counting, telling @fn of each step. r->attrs must be those that @e edits. */
enum bgp_verdict policy_explain(struct policy *p, enum policy_dir dir, const struct bgp_route *r,
	struct bgp_edit *e, policy_step_fn fn, void *ctx);

/* For status. Walk with *@it = 0; false at the end. */
struct policy_info {
	const char *name;
	size_t rules;
	uint64_t unmatched[2]; /* routes that no rule decided, by enum policy_dir */
};
bool policy_next(
	const struct policy_book *b, size_t *it, struct policy_info *out, const struct policy **p);
struct policy_rule_info {
	const char *name, *match, *except, *change, *verdict;
	uint64_t hits[2]; /* how often it held */
};
bool policy_rule_next(const struct policy *p, size_t *it, struct policy_rule_info *out);

/* "10.0.0.0/8 ge 16 le 24" to a prefix and the lengths it stands for. */
int policy_prefix_parse(const char *text, struct pfx *p, uint8_t *ge, uint8_t *le, char *why);

#endif
