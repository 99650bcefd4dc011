/* policy_rule.c - what the keys of a rule mean: their texts into conditions and changes. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "policy_int.h"
#include "roa.h"

#define PREPEND_MAX 32 /* bgp_edit_prepend */
#define VALUES_MAX  256

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Keys of a change. */
enum {
	CHANGE_LOCAL_PREF,
	CHANGE_MED,
	CHANGE_ORIGIN,
	CHANGE_NEXT_HOP,
	CHANGE_PREPEND,
	CHANGE_COMMUNITIES,
	CHANGE_ADD,
	CHANGE_DELETE,
};

static const struct policy_key tests[] = {
	{"prefix", "CIDRs, each perhaps with \"ge LENGTH\" and \"le LENGTH\", and names of sets",
		true, COND_PREFIX},
	{"community", "patterns like 64512:1, 64512:*, 64512:1:2, rt:64512:1, and names of sets",
		true, COND_COMMUNITY},
	{"all-communities", "patterns like 64512:1, 64512:*, rt:64512:1, and names of sets", true,
		COND_ALL_COMMUNITIES},
	{"as-path", "patterns like \"^64512 .* $\", and names of sets", true, COND_PATH},
	{"cluster", "AS numbers or ranges of them, own, link:NAME, and names of sets", true,
		COND_CLUSTER},
	{"neighbour-asn", "AS numbers or ranges of them, own, link:NAME, and names of sets", true,
		COND_NEIGHBOUR},
	{"validity", "valid, invalid, unknown", true, COND_VALIDITY},
	{"learned", "own, ibgp, ebgp, crossed", true, COND_LEARNED},
};

static const struct policy_key changes[] = {
	{"local-preference", "0 to 4294967295", false, CHANGE_LOCAL_PREF},
	{"med", "0 to 4294967295, or none", false, CHANGE_MED},
	{"origin", "igp, egp or incomplete", false, CHANGE_ORIGIN},
	{"next-hop", "an address of each family at most", true, CHANGE_NEXT_HOP},
	{"prepend", "how often, 1 to 32, or ASN x TIMES", false, CHANGE_PREPEND},
	{"communities", "communities like 64512:1, 64512:1:2, rt:64512:1", true,
		CHANGE_COMMUNITIES},
	{"add-communities", "communities like 64512:1, 64512:1:2, rt:64512:1", true, CHANGE_ADD},
	{"delete-communities", "patterns like 64512:1, 64512:*, rt:64512:1, and names of sets",
		true, CHANGE_DELETE},
};

const struct policy_key *policy_key_find(enum policy_part part, const char *name)
{
	const struct policy_key *t = part == POLICY_CHANGE ? changes : tests;
	size_t n = part == POLICY_CHANGE ? COUNT(changes) : COUNT(tests);

	for (size_t i = 0; i < n; i++)
		if (strcmp(t[i].name, name) == 0)
			return &t[i];
	return NULL;
}

const char *policy_key_names(enum policy_part part)
{
	return part == POLICY_CHANGE
		       ? "local-preference, med, origin, next-hop, prepend, communities, "
			 "add-communities, delete-communities"
		       : "prefix, community, all-communities, as-path, cluster, neighbour-asn, "
			 "validity, learned";
}

const char *policy_cond_name(unsigned cond)
{
	for (size_t i = 0; i < COUNT(tests); i++)
		if (tests[i].id == (int)cond)
			return tests[i].name;
	return "";
}

/* Put a value behind what the rule says already; @first of its key. */
static void say(char text[POLICY_TEXT], const char *key, bool first, const char *value)
{
	size_t n = strlen(text), len;

	if (n + 4 >= POLICY_TEXT)
		return;
	len = (size_t)(first ? snprintf(text + n, POLICY_TEXT - n, "%s%s %s", n ? "; " : "", key,
				       value)
			     : snprintf(text + n, POLICY_TEXT - n, ", %s", value));
	if (n + len >= POLICY_TEXT)
		memcpy(text + POLICY_TEXT - 4, "...", 4);
}

static int word(const char *text, const char *const *words, size_t n, char *why)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0)
			return (int)i;
	return policy_bad(why, "is none of them");
}

static int whole_number(const char *text, uint32_t max, uint32_t *out)
{
	uint64_t v = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9' && v <= max; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	if (p == text || *p || v > max)
		return ERR_MALFORMED;
	*out = (uint32_t)v;
	return 0;
}

/* --- conditions --- */

static enum policy_kind kind_of(int cond)
{
	static const enum policy_kind kinds[COND_SETS] = {POLICY_PREFIXES, POLICY_COMMUNITIES,
		POLICY_COMMUNITIES, POLICY_PATHS, POLICY_ASNS, POLICY_ASNS};

	return kinds[cond];
}

static int cond_put(struct policy_cond *c, struct policy_set *s)
{
	struct policy_set **sets = realloc(c->sets, (c->n + 1) * sizeof(struct policy_set *));

	if (!sets)
		return ERR_NOMEM;
	c->sets = sets;
	c->sets[c->n++] = s;
	return 0;
}

static int cond_take(
	struct policy_book *b, struct policy_cond *c, int cond, const char *text, char *why)
{
	struct policy_set *s;
	int err;

	if (policy_name_ok(text) && (s = policy_set_find(b, kind_of(cond), text)) != NULL) {
		if (c->n == VALUES_MAX)
			return policy_bad(why, "is one set too many for a rule");
		return cond_put(c, s);
	}
	if (!c->own || cond == COND_ALL_COMMUNITIES) {
		if (c->n == VALUES_MAX)
			return policy_bad(why, "is one value too many for a rule");
		err = policy_set_make(b, kind_of(cond), &s);
		if (!err)
			err = cond_put(c, s); /* the book owns it, whatever comes */
		if (err)
			return err;
		c->own = s;
	}
	err = policy_set_value(b, c->own, text, why);
	if (err == ERR_MALFORMED && policy_name_ok(text))
		policy_bad(why, "is neither a value nor the name of a set");
	return err;
}

static int mask_take(struct policy_book *b, unsigned *mask, int cond, const char *text, char *why)
{
	static const char *const learned[] = {"own", "ibgp", "ebgp", "crossed"};
	static const char *const states[] = {"unknown", "valid", "invalid"}; /* enum roa_state */
	int i = cond == COND_LEARNED ? word(text, learned, COUNT(learned), why)
				     : word(text, states, COUNT(states), why);

	if (i < 0)
		return i;
	b->wants_origins |= cond == COND_VALIDITY;
	*mask |= 1u << i;
	return 0;
}

static int test_take(struct policy_book *b, struct policy_test *t, const struct policy_key *key,
	const char *text, char *why)
{
	struct policy_cond *c = key->id < COND_SETS ? &t->conds[key->id] : NULL;
	unsigned *mask = c ? NULL : &t->masks[key->id - COND_SETS];
	bool first = c ? !c->given : *mask == 0;
	int err = c ? cond_take(b, c, key->id, text, why) : mask_take(b, mask, key->id, text, why);

	if (err)
		return err;
	if (c)
		c->given = true;
	say(t->text, key->name, first, text);
	return 0;
}

/* --- changes --- */

static int values_add(struct policy_change *ch, const char *text, char *why)
{
	uint8_t wire[12], *v;
	struct policy_values *list;
	struct policy_comm c;
	unsigned width;
	int err = policy_comm_parse(text, &c, why);

	if (err)
		return err;
	if (!policy_comm_is_value(&c))
		return policy_bad(why, "is a pattern, not a community");
	policy_comm_value(&c, wire);
	list = &ch->add[c.list];
	width = policy_comm_width(c.list);
	if (list->n == VALUES_MAX)
		return policy_bad(why, "is one community too many for a rule");
	v = realloc(list->v, (list->n + 1) * width);
	if (!v)
		return ERR_NOMEM;
	memcpy(v + list->n * width, wire, width);
	list->v = v;
	list->n++;
	return 0;
}

static int delete_take(struct policy_book *b, struct policy_change *ch, const char *text, char *why)
{
	int err = ch->del ? 0 : policy_set_make(b, POLICY_COMMUNITIES, &ch->del);

	return err ? err : policy_set_add(b, ch->del, text, why);
}

static int med_take(struct policy_change *ch, const char *text, char *why)
{
	ch->no_med = strcmp(text, "none") == 0;
	ch->med = !ch->no_med;
	if (ch->med && whole_number(text, UINT32_MAX, &ch->med_value) != 0)
		return policy_bad(why, "is no number");
	return 0;
}

static int next_hop_take(struct policy_change *ch, const char *text, char *why)
{
	struct ip ip;

	if (ip_parse(text, &ip) != 0 || ip_is_unspecified(&ip) || ip_is_multicast(&ip) ||
		ip_is_link_local(&ip))
		return policy_bad(why, "is no address that could be a next hop");
	if (ch->next_hop[ip.family == IP_V6].family != IP_NONE)
		return policy_bad(why, "is the second of its family");
	ch->next_hop[ip.family == IP_V6] = ip;
	return 0;
}

/* "3", "64512 x 3". */
static int prepend_take(struct policy_change *ch, const char *text, char *why)
{
	const char *times = strstr(text, " x ");
	uint32_t n;

	ch->prepend_as = 0;
	if (times) {
		char as[12] = "";

		if ((size_t)(times - text) < sizeof(as))
			memcpy(as, text, (size_t)(times - text));
		if (whole_number(as, UINT32_MAX - 1, &ch->prepend_as) != 0 || ch->prepend_as == 0)
			return policy_bad(why, "has no AS number in front of the x");
		text = times + 3;
	}
	if (whole_number(text, PREPEND_MAX, &n) != 0 || n == 0)
		return policy_bad(why, "has no number of times from 1 to 32");
	ch->prepend = n;
	return 0;
}

static int change_value(struct policy_book *b, struct policy_change *ch,
	const struct policy_key *key, const char *text, char *why)
{
	static const char *const origins[] = {"igp", "egp", "incomplete"};
	int i;

	switch (key->id) {
	case CHANGE_LOCAL_PREF:
		if (whole_number(text, UINT32_MAX, &ch->local_pref_value) != 0)
			return policy_bad(why, "is no number");
		ch->local_pref = true;
		return 0;
	case CHANGE_MED:
		return med_take(ch, text, why);
	case CHANGE_ORIGIN:
		i = word(text, origins, COUNT(origins), why);
		if (i < 0)
			return i;
		ch->origin = true;
		ch->origin_value = (uint8_t)i;
		return 0;
	case CHANGE_NEXT_HOP:
		return next_hop_take(ch, text, why);
	case CHANGE_PREPEND:
		return prepend_take(ch, text, why);
	case CHANGE_DELETE:
		return delete_take(b, ch, text, why);
	default:
		return values_add(ch, text, why);
	}
}

static int change_take(struct policy_book *b, struct policy_change *ch,
	const struct policy_key *key, const char *text, char *why)
{
	size_t n = strlen(ch->text), len = strlen(key->name);
	const char *last = ch->text;
	int err = change_value(b, ch, key, text, why);

	for (const char *p = ch->text; (p = strstr(p, "; ")) != NULL;)
		last = p += 2;
	if (!err)
		say(ch->text, key->name,
			n == 0 || strncmp(last, key->name, len) != 0 || last[len] != ' ', text);
	return err;
}

int policy_rule_take(struct policy_book *b, struct policy_rule *r, enum policy_part part,
	const struct policy_key *key, const char *text, char *why)
{
	int err;

	why[0] = '\0';
	if (part == POLICY_CHANGE)
		err = change_take(b, &r->change, key, text, why);
	else
		err = test_take(b, part == POLICY_MATCH ? &r->match : &r->except, key, text, why);
	if (err == ERR_FULL && !why[0])
		policy_bad(why, "is one value too many");
	return err;
}

int policy_rule_take_end(
	struct policy_rule *r, enum policy_part part, const struct policy_key *key, char *why)
{
	const struct policy_test *t = part == POLICY_MATCH ? &r->match : &r->except;

	if (part == POLICY_CHANGE) {
		if (key->id != CHANGE_COMMUNITIES)
			return 0;
		r->change.replace = true;
		if (!strstr(r->change.text, key->name))
			say(r->change.text, key->name, true, "none");
		return 0;
	}
	if (key->id < COND_SETS ? t->conds[key->id].given : t->masks[key->id - COND_SETS] != 0)
		return 0;
	return policy_bad(why, "an empty list matches nothing");
}

int policy_rule_verdict(struct policy_rule *r, const char *text, char *why)
{
	static const char *const words[] = {"accept", "reject", "next"};
	int i = word(text, words, COUNT(words), why);

	if (i < 0)
		return i;
	r->verdict = VERDICT_ACCEPT + (unsigned)i;
	return 0;
}

void policy_rule_free(struct policy_rule *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < COND_SETS; i++) {
		free(r->match.conds[i].sets);
		free(r->except.conds[i].sets);
	}
	for (unsigned i = 0; i < POLICY_LISTS; i++)
		free(r->change.add[i].v);
	list_del(&r->in_policy);
	free(r);
}
