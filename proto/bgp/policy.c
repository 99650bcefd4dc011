/* policy.c - books of policies and their evaluation. See policy.h; sets are policy_set.c, the keys of
 * rules policy_rule.c.
 *
 * Evaluation walks the rules, and of each rule the conditions that are given, cheapest first in the
 * order of enum cond_id but for the masks, which cost nothing. It allocates nothing: changes go to
 * the bgp_edit, whose room is the core's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "policy_int.h"
#include "roa.h"

/* --- the book --- */

static int add_constant(struct policy_book *b, const char *name)
{
	struct policy_rule *r;
	char why[POLICY_WHY];
	struct policy *p;
	int err = policy_new_unnamed(b, name, &p);

	if (!err)
		err = policy_rule_new(p, NULL, &r, why);
	return err ? err : policy_rule_verdict(r, name, why);
}

struct policy_book *policy_book_new(void)
{
	struct policy_book *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	list_init(&b->sets);
	list_init(&b->policies);
	if (policy_set_make(b, POLICY_PREFIXES, &b->guard) || add_constant(b, "accept") ||
		add_constant(b, "reject")) {
		policy_book_free(b);
		return NULL;
	}
	return b;
}

static void policy_free(struct policy *p)
{
	while (!list_empty(&p->rules))
		policy_rule_free(list_entry(p->rules.next, struct policy_rule, in_policy));
	list_del(&p->in_book);
	free(p->use[0]);
	free(p->use[1]);
	free(p);
}

void policy_book_free(struct policy_book *b)
{
	if (!b)
		return;
	while (!list_empty(&b->policies))
		policy_free(list_entry(b->policies.next, struct policy, in_book));
	while (!list_empty(&b->sets))
		policy_set_free(list_entry(b->sets.next, struct policy_set, in_book));
	for (size_t i = 0; i < POLICY_CLUSTERS_MAX; i++)
		free(b->clusters[i]);
	free(b);
}

struct policy *policy_find(struct policy_book *b, const char *name)
{
	for (struct list *l = b->policies.next; l != &b->policies; l = l->next) {
		struct policy *p = list_entry(l, struct policy, in_book);

		if (strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

const char *policy_name(const struct policy *p)
{
	return p->name;
}

int policy_new_unnamed(struct policy_book *b, const char *label, struct policy **out)
{
	struct policy *p;

	*out = NULL;
	if (b->npolicies == LIM_POLICIES)
		return ERR_FULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	p->book = b;
	list_init(&p->rules);
	(void)snprintf(p->name, sizeof(p->name), "%s", label);
	list_init(&p->in_book);
	for (unsigned d = 0; d < 2; d++) {
		p->use[d] = malloc(sizeof(*p->use[d]));
		if (!p->use[d]) {
			policy_free(p);
			return ERR_NOMEM;
		}
		*p->use[d] = (struct policy_use){p, (enum policy_dir)d};
	}
	list_add_tail(&b->policies, &p->in_book);
	b->npolicies++;
	*out = p;
	return 0;
}

int policy_new(struct policy_book *b, const char *name, struct policy **out, char *why)
{
	int err;

	*out = NULL;
	if (!policy_name_ok(name))
		return policy_bad(why, "is no name");
	if (policy_find(b, name)) {
		policy_bad(why, "is there already");
		return ERR_EXISTS;
	}
	err = policy_new_unnamed(b, name, out);
	if (err == ERR_FULL)
		policy_bad(why, "is one policy too many");
	return err;
}

int policy_rule_new(struct policy *p, const char *name, struct policy_rule **out, char *why)
{
	struct policy_rule *r;

	*out = NULL;
	if (name && !policy_name_ok(name))
		return policy_bad(why, "is no name");
	for (struct list *l = p->rules.next; name && l != &p->rules; l = l->next)
		if (strcmp(list_entry(l, struct policy_rule, in_policy)->name, name) == 0) {
			policy_bad(why, "is there already");
			return ERR_EXISTS;
		}
	if (p->book->nrules == LIM_POLICY_RULES) {
		policy_bad(why, "is one rule too many");
		return ERR_FULL;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return ERR_NOMEM;
	r->policy = p;
	p->nrules++;
	p->book->nrules++;
	if (name)
		(void)snprintf(r->name, sizeof(r->name), "%s", name);
	else
		(void)snprintf(r->name, sizeof(r->name), "%zu", p->nrules);
	list_add_tail(&p->rules, &r->in_policy);
	*out = r;
	return 0;
}

int policy_book_guard(struct policy_book *b, const struct pfx *p)
{
	return policy_set_put_prefix(b->guard, p, p->len, ip_bits(&p->ip));
}

int policy_book_close(struct policy_book *b, uint32_t local_as)
{
	b->local_as = local_as;
	for (struct list *l = b->sets.next; l != &b->sets; l = l->next) {
		int err = policy_set_close(list_entry(l, struct policy_set, in_book));

		if (err)
			return err;
	}
	return 0;
}

void policy_book_succeed(struct policy_book *b, struct policy_book *old)
{
	for (struct list *l = b->policies.next; l != &b->policies; l = l->next) {
		struct policy *p = list_entry(l, struct policy, in_book);
		struct policy *was = policy_find(old, p->name);

		for (unsigned d = 0; was && d < 2; d++) {
			struct policy_use *use = was->use[d];

			was->use[d] = p->use[d];
			was->use[d]->policy = was;
			p->use[d] = use;
			use->policy = p;
		}
	}
}

void policy_book_origins(struct policy_book *b, const struct roa *r)
{
	b->origins = r;
}

const char *policy_book_cluster(const struct policy_book *b, size_t i)
{
	return i < POLICY_CLUSTERS_MAX && b->clusters[i] ? b->clusters[i]->name : NULL;
}

bool policy_book_cluster_is(struct policy_book *b, size_t i, uint32_t asn)
{
	uint32_t *at = &b->clusters[i]->asn, was = *at;

	*at = asn;
	return was != asn;
}

bool policy_sets_next_hop(const struct policy *p)
{
	for (const struct list *l = p->rules.next; l != &p->rules; l = l->next) {
		const struct policy_change *ch =
			&list_entry(l, struct policy_rule, in_policy)->change;

		if (ch->next_hop[0].family != IP_NONE || ch->next_hop[1].family != IP_NONE)
			return true;
	}
	return false;
}

bool policy_book_wants_origins(const struct policy_book *b)
{
	return b->wants_origins;
}

/* --- conditions --- */

/* Who the route is from at the far end: this node's AS for a path that nobody has made longer. */
static uint32_t origin_of(const struct policy_book *b, const struct bgp_route *r)
{
	return r->attrs->as_path.len ? bgp_attrs_origin_as(r->attrs) : b->local_as;
}

static bool set_holds(const struct policy_book *b, const struct policy_set *s, unsigned cond,
	const struct bgp_route *r)
{
	switch (cond) {
	case COND_PREFIX:
		return policy_set_has_prefix(s, &r->nlri->pfx);
	case COND_CLUSTER:
		return policy_set_has_asn(s, origin_of(b, r), b->local_as);
	case COND_NEIGHBOUR:
		return policy_set_has_asn(s, r->peer_as, b->local_as);
	default:
		return policy_set_in(s, r->attrs);
	}
}

static bool sets_hold(const struct policy_book *b, const struct policy_cond *c, unsigned cond,
	const struct bgp_route *r)
{
	bool all = cond == COND_ALL_COMMUNITIES;

	for (size_t i = 0; i < c->n; i++)
		if (set_holds(b, c->sets[i], cond, r) != all)
			return !all;
	return all;
}

/* A route that stands here as our own but has a path was handed over by the other speaker of this node:
 * from a link to the neighbours, or the reverse. */
static unsigned learned_as(const struct bgp_route *r)
{
	if (r->peer != BGP_LOCAL)
		return r->ebgp ? LEARNED_EBGP : LEARNED_IBGP;
	return r->attrs->as_path.len ? LEARNED_CROSSED : LEARNED_OWN;
}

static bool mask_holds(const struct policy_book *b, unsigned mask, unsigned cond,
	const struct bgp_route *r, unsigned learned)
{
	enum roa_state state = ROA_UNKNOWN;

	if (cond == COND_LEARNED)
		return mask & learned;
	if (b->origins)
		state = roa_validate(b->origins, &r->nlri->pfx, origin_of(b, r));
	return mask & 1u << state;
}

/* Is @cond of @t given? Then *@yes tells whether it holds. */
static bool ask(const struct policy_book *b, const struct policy_test *t, unsigned cond,
	const struct bgp_route *r, unsigned learned, bool *yes)
{
	if (cond >= COND_SETS) {
		unsigned mask = t->masks[cond - COND_SETS];

		*yes = mask && mask_holds(b, mask, cond, r, learned);
		return mask != 0;
	}
	*yes = t->conds[cond].given && sets_hold(b, &t->conds[cond], cond, r);
	return t->conds[cond].given;
}

/* Does the rule hold? If not, *@why_not is the condition to blame, and *@excepted its part. */
static bool rule_holds(const struct policy_rule *rule, const struct bgp_route *r, unsigned learned,
	unsigned *why_not, bool *excepted)
{
	const struct policy_book *b = rule->policy->book;
	bool yes;

	*excepted = false;
	for (unsigned c = 0; c < CONDS; c++)
		if (ask(b, &rule->match, c, r, learned, &yes) && !yes) {
			*why_not = c;
			return false;
		}
	*excepted = true;
	for (unsigned c = 0; c < CONDS; c++)
		if (ask(b, &rule->except, c, r, learned, &yes) && yes) {
			*why_not = c;
			return false;
		}
	return true;
}

/* --- changes --- */

struct drop {
	const struct policy_change *ch;
	enum bgp_list list;
};

static bool drops(void *ctx, const uint8_t *value)
{
	const struct drop *d = ctx;

	return d->ch->replace || (d->ch->del && policy_set_has_comm(d->ch->del, d->list, value));
}

/* Deletions come before additions. What does not fit makes the edit overflow, and the core rejects. */
static void change_lists(const struct policy_change *ch, struct bgp_edit *e)
{
	for (unsigned i = 0; i < POLICY_LISTS; i++) {
		struct drop d = {ch, (enum bgp_list)i};

		if (ch->replace || ch->del || ch->add[i].n)
			(void)bgp_edit_list(e, d.list, drops, &d, ch->add[i].v, ch->add[i].n);
	}
}

static void change(const struct policy_rule *rule, const struct bgp_route *r, struct bgp_edit *e)
{
	const struct policy_change *ch = &rule->change;
	const struct ip *nh = &ch->next_hop[r->nlri->pfx.ip.family == IP_V6];

	if (ch->local_pref)
		bgp_edit_local_pref(e, ch->local_pref_value);
	if (ch->med)
		bgp_edit_med(e, ch->med_value);
	if (ch->no_med)
		bgp_edit_no_med(e);
	if (ch->origin)
		bgp_edit_origin(e, (enum bgp_origin)ch->origin_value);
	if (nh->family != IP_NONE)
		bgp_edit_next_hop(e, nh);
	if (ch->prepend)
		(void)bgp_edit_prepend(e,
			ch->prepend_as ? ch->prepend_as : rule->policy->book->local_as,
			ch->prepend);
	change_lists(ch, e);
}

/* --- evaluation --- */

static const char *verdict_str(enum policy_verdict v)
{
	return v == VERDICT_ACCEPT ? "accept" : v == VERDICT_NEXT ? "next" : "reject";
}

static void tell_rule(const struct policy_rule *rule, bool holds, unsigned why_not, bool excepted,
	policy_step_fn fn, void *ctx)
{
	struct policy_step s = {.rule = rule->name, .holds = holds};

	if (holds) {
		s.change = rule->change.text;
		s.verdict = verdict_str(rule->verdict);
	} else {
		s.failed = policy_cond_name(why_not);
		s.excepted = excepted;
	}
	fn(ctx, &s);
}

/* @fn NULL: count instead of telling. */
static enum bgp_verdict run(struct policy *p, enum policy_dir dir, const struct bgp_route *r,
	struct bgp_edit *e, policy_step_fn fn, void *ctx)
{
	bool excepted,
		guarded = dir == POLICY_IN && policy_set_has_prefix(p->book->guard, &r->nlri->pfx);
	unsigned why_not = 0, learned = learned_as(r); /* whatever rules do to the path */

	if (guarded) {
		if (fn)
			fn(ctx, &(struct policy_step){.rule = "",
					.holds = true,
					.change = "",
					.verdict = "reject"});
		return BGP_REJECT;
	}
	for (struct list *l = p->rules.next; l != &p->rules; l = l->next) {
		struct policy_rule *rule = list_entry(l, struct policy_rule, in_policy);
		bool holds = rule_holds(rule, r, learned, &why_not, &excepted);

		if (fn)
			tell_rule(rule, holds, why_not, excepted, fn, ctx);
		if (!holds)
			continue;
		rule->hits[dir] += !fn;
		if (rule->verdict == VERDICT_ACCEPT || rule->verdict == VERDICT_NEXT)
			change(rule, r, e);
		if (rule->verdict != VERDICT_NEXT)
			return rule->verdict == VERDICT_ACCEPT ? BGP_ACCEPT : BGP_REJECT;
	}
	p->unmatched[dir] += !fn;
	if (fn)
		fn(ctx, &(struct policy_step){.holds = true, .change = "", .verdict = "reject"});
	return BGP_REJECT;
}

static enum bgp_verdict apply(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	const struct policy_use *u = ctx;

	return run(u->policy, u->dir, r, e, NULL, NULL);
}

static const struct bgp_policy_ops ops = {apply};

struct bgp_policy policy_hook(struct policy *p, enum policy_dir dir)
{
	return (struct bgp_policy){&ops, p->use[dir]};
}

enum bgp_verdict policy_explain(struct policy *p, enum policy_dir dir, const struct bgp_route *r,
	struct bgp_edit *e, policy_step_fn fn, void *ctx)
{
	return run(p, dir, r, e, fn, ctx);
}

/* --- status --- */

static const struct list *nth(const struct list *head, size_t n)
{
	const struct list *l = head->next;

	while (n-- > 0 && l != head)
		l = l->next;
	return l;
}

bool policy_next(
	const struct policy_book *b, size_t *it, struct policy_info *out, const struct policy **p)
{
	const struct list *l = nth(&b->policies, *it);

	if (l == &b->policies)
		return false;
	*p = list_entry(l, struct policy, in_book);
	*out = (struct policy_info){(*p)->name, (*p)->nrules, {0}};
	memcpy(out->unmatched, (*p)->unmatched, sizeof(out->unmatched));
	(*it)++;
	return true;
}

bool policy_rule_next(const struct policy *p, size_t *it, struct policy_rule_info *out)
{
	const struct list *l = nth(&p->rules, *it);
	const struct policy_rule *r;

	if (l == &p->rules)
		return false;
	r = list_entry(l, struct policy_rule, in_policy);
	*out = (struct policy_rule_info){.name = r->name,
		.match = r->match.text,
		.except = r->except.text,
		.change = r->change.text,
		.verdict = verdict_str(r->verdict)};
	memcpy(out->hits, r->hits, sizeof(out->hits));
	(*it)++;
	return true;
}
