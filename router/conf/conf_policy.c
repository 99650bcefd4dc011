/* Route policy in the configuration. In: the trees of `sets` and `policies`. Out: a book (policy.h),
 * and errors with their line and full key.
 *
 * The keys of rules and what they allow are policy.h's own table; here is the shape around them:
 *	sets: {KIND: {NAME: [value, ...]}}
 *	policies: {NAME: [{rule: NAME, match: {...}, except: {...}, set: {...}, then: VERDICT}, ...]}
 * Sets come first wherever they stand. Bounds: LIM_POLICY_*, and those of the file. */
#include "conf_policy.h"

#include <stdio.h>
#include <string.h>
#include "weft/err.h"

#define KEY_BYTES     200
#define ALLOW_VERDICT "accept, reject or next"
#define ALLOW_NAME    "a letter, then letters, digits, - and _, 48 at most"
#define ALLOW_FILTER                                                                               \
	"accept, reject, the name of a policy, or a list of prefixes, each perhaps with \"ge "     \
	"LENGTH\" and \"le LENGTH\""

static const struct {
	const char *name, *allowed;
	enum policy_kind kind;
} kinds[] = {
	{"prefixes", "CIDRs, each perhaps with \"ge LENGTH\" and \"le LENGTH\"", POLICY_PREFIXES},
	{"communities", "patterns like 64512:1, 64512:*, 64512:1:2, rt:64512:1",
		POLICY_COMMUNITIES},
	{"as-paths", "patterns like \"^64512 .* $\"", POLICY_PATHS},
	{"asns", "AS numbers or ranges of them, own", POLICY_ASNS},
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

struct key {
	char text[KEY_BYTES];
};

static const char *join(struct key *k, const char *path, const char *name)
{
	char shown[CONF_SHOWN];

	(void)snprintf(k->text, sizeof(k->text), "%.120s.%.70s", path, conf_show(name, shown));
	return k->text;
}

/* Tell of @err, which @text met; @why goes on after it. */
static void tell(struct conf_load *l, unsigned line, const char *path, const char *allowed,
	const char *text, int err, const char *why)
{
	char shown[CONF_SHOWN];

	if (err == ERR_NOMEM)
		l->no_memory = true;
	else
		conf_error(l, line, path, allowed, "'%s' %s", conf_show(text, shown), why);
}

/* A key that stands in the map before @m, too? Told. */
static bool is_twice(struct conf_load *l, const char *path, const struct conf_node *map,
	const struct conf_node *m)
{
	struct key k;

	for (const struct conf_node *o = map->sub; o != m; o = o->next)
		if (strcmp(o->key, m->key) == 0) {
			conf_error(l, m->line, join(&k, path, m->key), "once",
				"given twice, first on line %u", o->line);
			return true;
		}
	return false;
}

static bool is_map(struct conf_load *l, const char *path, const struct conf_node *n)
{
	if (n->kind == CONF_NODE_MAP)
		return true;
	conf_error(l, n->line, path, NULL, "needs keys and values");
	return false;
}

/* --- sets --- */

static void read_set(struct conf_load *l, struct policy_book *b, const char *path, size_t kind,
	const struct conf_node *n)
{
	const struct conf_node *i = n->kind == CONF_NODE_LIST ? n->sub : n;
	char why[POLICY_WHY] = "";
	struct policy_set *s;
	int err = policy_set_new(b, kinds[kind].kind, n->key, &s, why);

	if (err) {
		tell(l, n->line, path, ALLOW_NAME ", each once", n->key, err, why);
		return;
	}
	for (; i && !l->no_memory; i = n->kind == CONF_NODE_LIST ? i->next : NULL) {
		if (i->kind != CONF_NODE_TEXT) {
			conf_error(l, i->line, path, kinds[kind].allowed, "needs plain values");
			continue;
		}
		err = policy_set_add(b, s, i->text, why);
		if (err)
			tell(l, i->line, path, kinds[kind].allowed, i->text, err, why);
		if (err == ERR_FULL)
			return;
	}
}

static void read_sets(struct conf_load *l, const struct conf_node *n, struct policy_book *b)
{
	struct key k, k2;

	if (!is_map(l, "bgp.sets", n))
		return;
	for (const struct conf_node *m = n->sub; m; m = m->next) {
		size_t i = 0;

		while (i < NKINDS && strcmp(kinds[i].name, m->key) != 0)
			i++;
		join(&k, "bgp.sets", m->key);
		if (i == NKINDS) {
			conf_error(l, m->line, k.text, "prefixes, communities, as-paths, asns",
				"unknown key");
			continue;
		}
		if (is_twice(l, "bgp.sets", n, m) || !is_map(l, k.text, m))
			continue;
		for (const struct conf_node *s = m->sub; s && !l->no_memory; s = s->next)
			read_set(l, b, join(&k2, k.text, s->key), i, s);
	}
}

/* --- policies --- */

static void read_values(struct conf_load *l, struct policy_book *b, struct policy_rule *r,
	const char *path, enum policy_part part, const struct policy_key *key,
	const struct conf_node *n)
{
	const struct conf_node *i = n->kind == CONF_NODE_LIST ? n->sub : n;
	char why[POLICY_WHY] = "";
	int err;

	if (n->kind == CONF_NODE_MAP || (n->kind == CONF_NODE_LIST && !key->list)) {
		conf_error(l, n->line, path, key->allowed, "needs one plain value%s",
			key->list ? ", or a list of them" : "");
		return;
	}
	for (; i; i = n->kind == CONF_NODE_LIST ? i->next : NULL) {
		if (i->kind != CONF_NODE_TEXT) {
			conf_error(l, i->line, path, key->allowed, "needs plain values");
			return;
		}
		err = policy_rule_take(b, r, part, key, i->text, why);
		if (err)
			tell(l, i->line, path, key->allowed, i->text, err, why);
		if (err)
			return;
	}
	err = policy_rule_take_end(r, part, key, why);
	if (err == ERR_NOMEM)
		l->no_memory = true;
	else if (err)
		conf_error(l, n->line, path, key->allowed, "%s", why);
}

static void read_part(struct conf_load *l, struct policy_book *b, struct policy_rule *r,
	const char *path, enum policy_part part, const struct conf_node *n)
{
	struct key k;

	if (!is_map(l, path, n))
		return;
	for (const struct conf_node *m = n->sub; m && !l->no_memory; m = m->next) {
		const struct policy_key *key = policy_key_find(part, m->key);

		join(&k, path, m->key);
		if (!key)
			conf_error(l, m->line, k.text, policy_key_names(part), "unknown key");
		else if (!is_twice(l, path, n, m))
			read_values(l, b, r, k.text, part, key, m);
	}
}

static const struct conf_node *member(const struct conf_node *map, const char *key)
{
	const struct conf_node *m = map->sub;

	while (m && strcmp(m->key, key) != 0)
		m = m->next;
	return m;
}

static void read_verdict(
	struct conf_load *l, struct policy_rule *r, const char *path, const struct conf_node *n)
{
	char why[POLICY_WHY] = "";

	if (n->kind != CONF_NODE_TEXT)
		conf_error(l, n->line, path, ALLOW_VERDICT, "needs one plain value");
	else if (policy_rule_verdict(r, n->text, why) != 0)
		tell(l, n->line, path, ALLOW_VERDICT, n->text, ERR_MALFORMED, why);
}

static void read_rule(struct conf_load *l, struct policy_book *b, struct policy *p,
	const char *path, const struct conf_node *n)
{
	const struct conf_node *name = n->kind == CONF_NODE_MAP ? member(n, "rule") : NULL;
	char why[POLICY_WHY] = "";
	struct policy_rule *r;
	struct key k;
	int err;

	if (!is_map(l, path, n))
		return;
	if (name && name->kind != CONF_NODE_TEXT) {
		conf_error(
			l, name->line, join(&k, path, "rule"), ALLOW_NAME, "needs one plain value");
		return;
	}
	err = policy_rule_new(p, name ? name->text : NULL, &r, why);
	if (err) {
		tell(l, n->line, join(&k, path, "rule"), ALLOW_NAME ", each once",
			name ? name->text : "rule", err, why);
		return;
	}
	for (const struct conf_node *m = n->sub; m && !l->no_memory; m = m->next) {
		join(&k, path, m->key);
		if (is_twice(l, path, n, m))
			continue;
		if (strcmp(m->key, "match") == 0)
			read_part(l, b, r, k.text, POLICY_MATCH, m);
		else if (strcmp(m->key, "except") == 0)
			read_part(l, b, r, k.text, POLICY_EXCEPT, m);
		else if (strcmp(m->key, "set") == 0)
			read_part(l, b, r, k.text, POLICY_CHANGE, m);
		else if (strcmp(m->key, "then") == 0)
			read_verdict(l, r, k.text, m);
		else if (m != name)
			conf_error(l, m->line, k.text, "rule, match, except, set, then",
				"unknown key");
	}
	if (!member(n, "then"))
		conf_error(l, n->line, join(&k, path, "then"), ALLOW_VERDICT, "missing");
}

static void read_policies(struct conf_load *l, const struct conf_node *n, struct policy_book *b)
{
	struct key k;

	if (!is_map(l, "bgp.policies", n))
		return;
	for (const struct conf_node *m = n->sub; m && !l->no_memory; m = m->next) {
		char why[POLICY_WHY] = "";
		struct policy *p;
		int err = policy_new(b, m->key, &p, why);

		join(&k, "bgp.policies", m->key);
		if (err) {
			tell(l, m->line, k.text, ALLOW_NAME ", each once", m->key, err, why);
			continue;
		}
		if (m->kind != CONF_NODE_LIST) {
			conf_error(l, m->line, k.text, "a list of rules",
				"needs a list, each rule behind '- '");
			continue;
		}
		for (const struct conf_node *r = m->sub; r && !l->no_memory; r = r->next)
			read_rule(l, b, p, k.text, r);
	}
}

void conf_policy_read(struct conf_load *l, const struct conf_node *bgp, struct policy_book *b)
{
	const struct conf_node *n;

	if (bgp->kind != CONF_NODE_MAP)
		return;
	n = member(bgp, "sets");
	if (n)
		read_sets(l, n, b);
	n = member(bgp, "policies");
	if (n)
		read_policies(l, n, b);
}

/* --- a peer's import and export --- */

static void list_filter(struct conf_load *l, const char *path, struct policy_book *b,
	const char *label, struct conf_bgp_filter *f)
{
	const struct policy_key *key = policy_key_find(POLICY_MATCH, "prefix");
	char why[POLICY_WHY] = "";
	struct policy_rule *r;
	int err = policy_new_unnamed(b, label, &f->policy);

	if (!f->node->sub && !err) /* takes nothing: the end of a policy rejects */
		return;
	if (!err)
		err = policy_rule_new(f->policy, NULL, &r, why);
	for (const struct conf_node *i = f->node->sub; i && !err; i = i->next) {
		if (i->kind != CONF_NODE_TEXT) {
			conf_error(l, i->line, path, ALLOW_FILTER, "needs plain values");
			return;
		}
		err = policy_rule_take(b, r, POLICY_MATCH, key, i->text, why);
		if (err) {
			tell(l, i->line, path, ALLOW_FILTER, i->text, err, why);
			return;
		}
	}
	if (!err)
		err = policy_rule_verdict(r, "accept", why);
	if (err == ERR_NOMEM)
		l->no_memory = true;
	else if (err)
		conf_error(l, f->node->line, path, NULL, "too many policies");
}

void conf_policy_filter(struct conf_load *l, const char *path, struct policy_book *b,
	const char *label, struct conf_bgp_filter *f)
{
	const struct conf_node *n = f->node;
	char shown[CONF_SHOWN];

	if (!n)
		return;
	if (n->kind == CONF_NODE_LIST) {
		list_filter(l, path, b, label, f);
	} else if (n->kind == CONF_NODE_TEXT) {
		f->policy = policy_find(b, n->text);
		if (!f->policy)
			conf_error(l, n->line, path, ALLOW_FILTER, "no policy has the name '%s'",
				conf_show(n->text, shown));
	} else {
		conf_error(l, n->line, path, ALLOW_FILTER, "neither a name nor a list");
	}
	f->node = NULL;
}
