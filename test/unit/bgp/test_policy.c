/* Route policy: communities as text, each key of a rule, what is refused, the order of rules; memory
 * that runs out. The comparison with a naive evaluator is test_policy_model.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "bgp_attr.h"
#include "fault.h"
#include "policy.h"
#include "policy_comm.h"
#include "roa.h"
#include "weft/err.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define OWN_AS   64512

/* --- communities --- */

static void comm_text(void **state)
{
	static const struct {
		const char *text, *wire; /* hexadecimal */
		enum bgp_list list;
	} t[] = {
		{"64512:1", "fc000001", BGP_LIST_COMMUNITY},
		{"0:65535", "0000ffff", BGP_LIST_COMMUNITY},
		{"no-export", "ffffff01", BGP_LIST_COMMUNITY},
		{"graceful-shutdown", "ffff0000", BGP_LIST_COMMUNITY},
		{"blackhole", "ffff029a", BGP_LIST_COMMUNITY},
		{"4294967295:0:7", "ffffffff0000000000000007", BGP_LIST_LARGE},
		{"rt:64512:65536", "0002fc0000010000", BGP_LIST_EXT},
		{"ro:4200000000:9", "0203fa56ea000009", BGP_LIST_EXT},
		{"rt:192.0.2.1:9", "0102c00002010009", BGP_LIST_EXT},
		{"ext:0x800600000a0b0c0d", "800600000a0b0c0d", BGP_LIST_EXT},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		char why[POLICY_WHY], text[POLICY_COMM_TEXT], hex[25] = "";
		struct policy_comm c;
		uint8_t wire[12];

		if (policy_comm_parse(t[i].text, &c, why) != 0)
			fail_msg("%s %s", t[i].text, why);
		assert_int_equal(c.list, t[i].list);
		assert_true(policy_comm_is_value(&c));
		policy_comm_value(&c, wire);
		for (unsigned k = 0; k < policy_comm_width(t[i].list); k++)
			sprintf(hex + 2 * k, "%02x", wire[k]);
		assert_string_equal(hex, t[i].wire);
		assert_string_equal(policy_comm_fmt(t[i].list, wire, text), t[i].text);
		assert_true(policy_comm_fits(&c, wire));
		for (unsigned k = 0; k < 8 * policy_comm_width(t[i].list); k++) {
			wire[k / 8] ^= (uint8_t)(1u << k % 8);
			assert_false(policy_comm_fits(&c, wire));
			wire[k / 8] ^= (uint8_t)(1u << k % 8);
		}
	}
}

static void comm_patterns(void **state)
{
	static const struct {
		const char *pattern, *value;
		bool fits;
	} t[] = {
		{"64512:*", "64512:0", true},
		{"64512:*", "64512:65535", true},
		{"64512:*", "64513:1", false},
		{"*:666", "1:666", true},
		{"*:666", "1:667", false},
		{"1-3:5-6", "3:5", true},
		{"1-3:5-6", "4:5", false},
		{"1-3:5-6", "3:7", false},
		{"*:*:1", "9:9:1", true},
		{"*:*:1", "9:9:2", false},
		{"*:*", "65535:65281", true},
		{"rt:*:5", "rt:64512:5", true},
		{"rt:*:5", "rt:4200000000:5", true},
		{"rt:*:5", "rt:1.2.3.4:5", true},
		{"rt:*:5", "ro:64512:5", false},
		{"rt:64512:5", "ext:0x02020000fc000005", true},
		{"rt:1-9:*", "ext:0x0102000000050001", false},
		{"rt:0.0.0.5:*", "ext:0x0102000000050001", true},
		{"rt:*:*", "ext:0x4002000000050001", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		struct policy_comm p, v;
		char why[POLICY_WHY];
		uint8_t wire[12];

		assert_int_equal(policy_comm_parse(t[i].pattern, &p, why), 0);
		assert_int_equal(policy_comm_parse(t[i].value, &v, why), 0);
		assert_int_equal(p.list, v.list);
		policy_comm_value(&v, wire);
		if (policy_comm_fits(&p, wire) != t[i].fits)
			fail_msg("%s %s", t[i].pattern, t[i].value);
	}
}

static void comm_refused(void **state)
{
	static const char *const t[] = {"", ":", "1", "1:", ":1", "1:2:", "1:2:3:4", "65536:1",
		"1:65536", "1-:2", "3-2:1", "1:2 ", " 1:2", "x:1", "rt:1", "rt::1",
		"rt:1:", "rt:x:1", "rt:65536:65536", "rt:1.2.3.4:65536", "rt:1.2.3:1", "ext:0x12",
		"ext:0x12345678901234567", "ext:0x123456789012345g", "no-exports", "4294967296:1:1",
		"1:1:4294967296"};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		char why[POLICY_WHY] = "";
		struct policy_comm c;

		if (policy_comm_parse(t[i], &c, why) != ERR_MALFORMED || !why[0])
			fail_msg("'%s' is taken", t[i]);
	}
}

/* --- books --- */

struct line {
	enum policy_part part;
	const char *key, *value;
};

static void take(struct policy_book *b, struct policy_rule *r, const struct line *l)
{
	const struct policy_key *k = policy_key_find(l->part, l->key);
	char why[POLICY_WHY];

	assert_non_null(k);
	if (l->value && policy_rule_take(b, r, l->part, k, l->value, why) != 0)
		fail_msg("%s %s: %s", l->key, l->value, why);
	assert_int_equal(policy_rule_take_end(r, l->part, k, why), 0);
}

static struct policy_rule *rule(struct policy_book *b, struct policy *p, const struct line *lines,
	size_t n, const char *verdict)
{
	struct policy_rule *r;
	char why[POLICY_WHY];

	assert_int_equal(policy_rule_new(p, NULL, &r, why), 0);
	for (size_t i = 0; i < n && lines[i].key; i++)
		take(b, r, &lines[i]);
	assert_int_equal(policy_rule_verdict(r, verdict, why), 0);
	return r;
}

static struct policy_set *set(
	struct policy_book *b, enum policy_kind kind, const char *name, const char *const *v)
{
	struct policy_set *s;
	char why[POLICY_WHY];

	assert_int_equal(policy_set_new(b, kind, name, &s, why), 0);
	for (; *v; v++)
		if (policy_set_add(b, s, *v, why) != 0)
			fail_msg("%s %s", *v, why);
	return s;
}

/* A route 10.1.0.0/16 by AS 64999, path 64999 1 2, communities 1:1 1:2, rt:5:5, 7:7:7. */
static const uint8_t path3[] = {2, 3, 0, 0, 0xfd, 0xe7, 0, 0, 0, 1, 0, 0, 0, 2};
static const uint8_t comms[] = {0, 1, 0, 1, 0, 1, 0, 2};
static const uint8_t exts[] = {0, 2, 0, 5, 0, 0, 0, 5};
static const uint8_t larges[] = {0, 0, 0, 7, 0, 0, 0, 7, 0, 0, 0, 7};

static struct bgp_attrs route_attrs(void)
{
	return (struct bgp_attrs){.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH | BGP_HAS_MED,
		.med = 5,
		.next_hop = ip_v4(0xc0000201),
		.as_path = {path3, sizeof(path3)},
		.communities = {comms, sizeof(comms)},
		.ext_communities = {exts, sizeof(exts)},
		.large_communities = {larges, sizeof(larges)}};
}

static struct bgp_nlri nlri(const char *prefix)
{
	struct bgp_nlri n = {.family = strchr(prefix, ':') ? BGP_IPV6 : BGP_IPV4};

	assert_int_equal(pfx_parse(prefix, &n.pfx), 0);
	return n;
}

static enum bgp_verdict run(
	struct policy *p, enum policy_dir dir, const char *prefix, struct bgp_edit *e)
{
	struct bgp_policy hook = policy_hook(p, dir);
	struct bgp_attrs a = route_attrs();
	struct bgp_nlri n = nlri(prefix);
	struct bgp_route r = {.vni = 1, .peer = 1, .peer_as = 64999, .ebgp = true, .nlri = &n};

	bgp_edit_init(e, &a);
	r.attrs = &e->a;
	return hook.ops->apply(hook.ctx, &r, e);
}

/* One condition against the route above. */
static void conditions(void **state)
{
	static const struct {
		const char *key, *value;
		bool holds;
	} t[] = {
		{"prefix", "10.1.0.0/16", true},
		{"prefix", "10.0.0.0/8", false},
		{"prefix", "10.0.0.0/8 le 16", true},
		{"prefix", "10.0.0.0/8 le 15", false},
		{"prefix", "10.0.0.0/8 ge 16", true},
		{"prefix", "10.0.0.0/8 ge 17", false},
		{"prefix", "::/0 ge 0", false},
		{"prefix", "0.0.0.0/0 ge 0", true},
		{"prefix", "nets", true},
		{"community", "1:1", true},
		{"community", "1:3", false},
		{"community", "1:*", true},
		{"community", "7:7:7", true},
		{"community", "rt:5:5", true},
		{"community", "no-export", false},
		{"community", "marks", true},
		{"all-communities", "marks", true},
		{"all-communities", "2:2", false},
		{"as-path", "^64999 1 2$", true},
		{"as-path", "_1_", true},
		{"as-path", "^1", false},
		{"as-path", "paths", true},
		{"cluster", "2", true},
		{"cluster", "1-3", true},
		{"cluster", "1", false},
		{"cluster", "own", false},
		{"cluster", "east", true},
		{"neighbour-asn", "64999", true},
		{"neighbour-asn", "64512-65000", true},
		{"neighbour-asn", "own", false},
		{"validity", "unknown", true},
		{"validity", "valid", false},
		{"learned", "ebgp", true},
		{"learned", "ibgp", false},
		{"learned", "own", false},
		{"learned", "crossed", false},
		{"cluster", "link:east", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		struct policy_book *b = policy_book_new();
		struct bgp_edit e;
		struct policy *p, *q;
		char why[POLICY_WHY];

		set(b, POLICY_PREFIXES, "nets", (const char *const[]){"10.0.0.0/8 ge 9", NULL});
		set(b, POLICY_COMMUNITIES, "marks", (const char *const[]){"9:9", "1:2", NULL});
		set(b, POLICY_PATHS, "paths", (const char *const[]){"^1", "2$", NULL});
		set(b, POLICY_ASNS, "east", (const char *const[]){"2", "own", NULL});
		assert_int_equal(policy_new(b, "p", &p, why), 0);
		assert_int_equal(policy_new(b, "q", &q, why), 0);
		rule(b, p, &(struct line){POLICY_MATCH, t[i].key, t[i].value}, 1, "accept");
		rule(b, q, &(struct line){POLICY_EXCEPT, t[i].key, t[i].value}, 1, "accept");
		assert_int_equal(policy_book_close(b, OWN_AS), 0);
		if (run(p, POLICY_IN, "10.1.0.0/16", &e) != (t[i].holds ? BGP_ACCEPT : BGP_REJECT))
			fail_msg("match %s %s", t[i].key, t[i].value);
		if (run(q, POLICY_IN, "10.1.0.0/16", &e) != (t[i].holds ? BGP_REJECT : BGP_ACCEPT))
			fail_msg("except %s %s", t[i].key, t[i].value);
		policy_book_free(b);
	}
}

/* Linked clusters by name, as their AS numbers become known and change. */
static void linked_clusters(void **state)
{
	struct policy_book *b = policy_book_new();
	struct policy_rule *r;
	struct policy *p;
	struct bgp_edit e;
	char why[POLICY_WHY], name[32];
	int err = 0;

	(void)state;
	set(b, POLICY_ASNS, "all", (const char *const[]){"link:east", "link:west", NULL});
	assert_int_equal(policy_new(b, "p", &p, why), 0);
	r = rule(b, p, &(struct line){POLICY_MATCH, "cluster", "all"}, 1, "accept");
	take(b, r, &(struct line){POLICY_MATCH, "cluster", "link:west"});
	assert_int_equal(policy_book_close(b, OWN_AS), 0);
	assert_string_equal(policy_book_cluster(b, 0), "east");
	assert_string_equal(policy_book_cluster(b, 1), "west");
	assert_null(policy_book_cluster(b, 2));
	assert_int_equal(run(p, POLICY_IN, "10.1.0.0/16", &e), BGP_REJECT);
	assert_true(policy_book_cluster_is(b, 1, 2)); /* the route's last */
	assert_false(policy_book_cluster_is(b, 1, 2));
	assert_int_equal(run(p, POLICY_IN, "10.1.0.0/16", &e), BGP_ACCEPT);
	assert_true(policy_book_cluster_is(b, 1, 1));
	assert_true(policy_book_cluster_is(b, 0, 7));
	assert_int_equal(run(p, POLICY_IN, "10.1.0.0/16", &e), BGP_REJECT);
	for (unsigned i = 0; i < 100 && !err; i++) {
		const struct policy_key *k = policy_key_find(POLICY_MATCH, "cluster");

		snprintf(name, sizeof(name), "link:n%u", i);
		err = policy_rule_take(b, r, POLICY_MATCH, k, name, why);
	}
	assert_int_equal(err, ERR_MALFORMED);
	assert_non_null(strstr(why, "one linked cluster too many"));
	policy_book_free(b);
}

/* What the other speaker of this node handed over stands as ours, with a path; what a policy puts in
 * front of one of our own does not make it that. */
static void handed_over(void **state)
{
	static const char *const words[] = {"own", "crossed"};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct policy_book *b = policy_book_new();
		struct bgp_attrs a = route_attrs();
		struct bgp_nlri n = nlri("10.1.0.0/16");
		struct bgp_route r = {.vni = 1, .peer_as = OWN_AS, .to_ebgp = true, .nlri = &n};
		struct bgp_edit e;
		struct bgp_policy hook;
		struct policy *p;
		char why[POLICY_WHY];

		assert_int_equal(policy_new(b, "p", &p, why), 0);
		rule(b, p, &(struct line){POLICY_CHANGE, "prepend", "3"}, 1, "next");
		rule(b, p, &(struct line){POLICY_MATCH, "learned", words[i & 1]}, 1, "accept");
		assert_int_equal(policy_book_close(b, OWN_AS), 0);
		if (!(i & 2))
			a.as_path.len = 0;
		bgp_edit_init(&e, &a);
		r.attrs = &e.a;
		hook = policy_hook(p, POLICY_OUT);
		assert_int_equal(hook.ops->apply(hook.ctx, &r, &e),
			(i & 1) == (i >> 1) ? BGP_ACCEPT : BGP_REJECT);
		policy_book_free(b);
	}
}

/* Several values of one key: any; all-communities: each. Several keys: each. */
static void several(void **state)
{
	struct policy_book *b = policy_book_new();
	static const struct line any[] = {{POLICY_MATCH, "community", "3:3"},
		{POLICY_MATCH, "community", "1:1"}, {POLICY_MATCH, "as-path", "2$"}};
	static const struct line all[] = {
		{POLICY_MATCH, "all-communities", "1:1"}, {POLICY_MATCH, "all-communities", "3:3"}};
	static const struct line both[] = {{POLICY_MATCH, "all-communities", "1:1"},
		{POLICY_MATCH, "all-communities", "1:2"}, {POLICY_EXCEPT, "community", "8:8"},
		{POLICY_EXCEPT, "community", "7:7:7"}};
	struct policy *p[3];
	struct bgp_edit e;
	char why[POLICY_WHY];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			policy_new(b, (const char *const[]){"a", "b", "c"}[i], &p[i], why), 0);
	rule(b, p[0], any, COUNT(any), "accept");
	rule(b, p[1], all, COUNT(all), "accept");
	rule(b, p[2], both, COUNT(both), "accept");
	assert_int_equal(policy_book_close(b, OWN_AS), 0);
	assert_int_equal(run(p[0], POLICY_OUT, "10.1.0.0/16", &e), BGP_ACCEPT);
	assert_int_equal(run(p[1], POLICY_OUT, "10.1.0.0/16", &e), BGP_REJECT);
	assert_int_equal(run(p[2], POLICY_OUT, "10.1.0.0/16", &e), BGP_REJECT);
	policy_book_free(b);
}

static void text_of(const struct bgp_attrs *a, enum bgp_list list, char *out)
{
	const struct bgp_span *s = policy_comm_span(a, list);
	unsigned width = policy_comm_width(list);

	out[0] = '\0';
	for (unsigned i = 0; i < s->len; i += width) {
		char one[POLICY_COMM_TEXT];

		sprintf(out + strlen(out), "%s%s", i ? " " : "",
			policy_comm_fmt(list, s->p + i, one));
	}
}

static void changes(void **state)
{
	static const struct line lines[] = {{POLICY_CHANGE, "local-preference", "200"},
		{POLICY_CHANGE, "med", "17"}, {POLICY_CHANGE, "origin", "egp"},
		{POLICY_CHANGE, "next-hop", "192.0.2.7"},
		{POLICY_CHANGE, "next-hop", "2001:db8::7"}, {POLICY_CHANGE, "prepend", "64511 x 2"},
		{POLICY_CHANGE, "add-communities", "1:1"},
		{POLICY_CHANGE, "add-communities", "5:5"},
		{POLICY_CHANGE, "add-communities", "rt:1:1"},
		{POLICY_CHANGE, "delete-communities", "*:2"},
		{POLICY_CHANGE, "delete-communities", "*:*:*"}};
	static const struct line next[] = {{POLICY_CHANGE, "med", "none"},
		{POLICY_CHANGE, "prepend", "1"}, {POLICY_CHANGE, "communities", "8:8"},
		{POLICY_CHANGE, "communities", "9:9:9"}};
	struct policy_book *b = policy_book_new();
	struct policy *p;
	struct bgp_edit e;
	char why[POLICY_WHY], text[200];

	(void)state;
	assert_int_equal(policy_new(b, "p", &p, why), 0);
	rule(b, p, lines, COUNT(lines), "next");
	rule(b, p,
		(const struct line[]){
			{POLICY_MATCH, "community", "5:5"}, {POLICY_MATCH, "prefix", "::/0 ge 0"}},
		2, "accept"); /* sees what the rule before it added */
	rule(b, p, next, COUNT(next), "accept");
	assert_int_equal(policy_book_close(b, OWN_AS), 0);

	assert_int_equal(run(p, POLICY_OUT, "fd00::/64", &e), BGP_ACCEPT);
	assert_int_equal(e.a.local_pref, 200);
	assert_int_equal(e.a.med, 17);
	assert_true(e.med_set && e.next_hop_set && e.changed);
	assert_int_equal(e.a.origin, BGP_ORIGIN_EGP);
	assert_string_equal(ip_fmt(&e.a.next_hop, text), "2001:db8::7");
	assert_string_equal(bgp_attrs_path_fmt(&e.a, text, sizeof(text)), "64511 64511 64999 1 2");
	text_of(&e.a, BGP_LIST_COMMUNITY, text);
	assert_string_equal(text, "1:1 5:5");
	text_of(&e.a, BGP_LIST_EXT, text);
	assert_string_equal(text, "rt:5:5 rt:1:1");
	assert_int_equal(e.a.large_communities.len, 0);

	assert_int_equal(run(p, POLICY_OUT, "10.1.0.0/16", &e), BGP_ACCEPT);
	assert_false(e.a.has & BGP_HAS_MED);
	assert_string_equal(ip_fmt(&e.a.next_hop, text), "192.0.2.7");
	assert_string_equal(
		bgp_attrs_path_fmt(&e.a, text, sizeof(text)), "64512 64511 64511 64999 1 2");
	text_of(&e.a, BGP_LIST_COMMUNITY, text);
	assert_string_equal(text, "8:8");
	text_of(&e.a, BGP_LIST_LARGE, text);
	assert_string_equal(text, "9:9:9");
	assert_int_equal(e.a.ext_communities.len, 0);
	policy_book_free(b);
}

/* An empty list of communities takes them all away. */
static void no_communities(void **state)
{
	struct policy_book *b = policy_book_new();
	struct policy *p;
	struct bgp_edit e;
	char why[POLICY_WHY];

	(void)state;
	assert_int_equal(policy_new(b, "p", &p, why), 0);
	rule(b, p, &(struct line){POLICY_CHANGE, "communities", NULL}, 1, "accept");
	assert_int_equal(policy_book_close(b, OWN_AS), 0);
	assert_int_equal(run(p, POLICY_IN, "10.1.0.0/16", &e), BGP_ACCEPT);
	assert_int_equal(
		e.a.communities.len + e.a.ext_communities.len + e.a.large_communities.len, 0);
	policy_book_free(b);
}

/* The guard comes before all on import and not at all on export; the end rejects; counters count. */
static void guard_and_counters(void **state)
{
	struct policy_book *b = policy_book_new();
	struct policy_rule_info i;
	struct policy_info info;
	const struct policy *walked;
	struct policy *p;
	struct bgp_edit e;
	char why[POLICY_WHY];
	struct pfx range;
	size_t it = 0;

	(void)state;
	assert_int_equal(pfx_parse("10.32.0.0/16", &range), 0);
	assert_int_equal(policy_book_guard(b, &range), 0);
	assert_int_equal(policy_new(b, "p", &p, why), 0);
	rule(b, p, &(struct line){POLICY_MATCH, "prefix", "10.0.0.0/8 le 32"}, 1, "accept");
	assert_int_equal(policy_book_close(b, OWN_AS), 0);
	assert_int_equal(run(policy_find(b, "accept"), POLICY_IN, "10.32.1.0/24", &e), BGP_REJECT);
	assert_int_equal(run(policy_find(b, "accept"), POLICY_IN, "10.32.0.0/16", &e), BGP_REJECT);
	assert_int_equal(run(policy_find(b, "accept"), POLICY_IN, "10.32.0.0/15", &e), BGP_ACCEPT);
	assert_int_equal(run(policy_find(b, "accept"), POLICY_OUT, "10.32.1.0/24", &e), BGP_ACCEPT);
	assert_int_equal(run(policy_find(b, "reject"), POLICY_OUT, "10.32.1.0/24", &e), BGP_REJECT);
	assert_int_equal(run(p, POLICY_IN, "10.33.0.0/16", &e), BGP_ACCEPT);
	assert_int_equal(run(p, POLICY_IN, "11.0.0.0/8", &e), BGP_REJECT);
	assert_int_equal(run(p, POLICY_OUT, "10.32.0.0/16", &e), BGP_ACCEPT);
	assert_true(policy_rule_next(p, &it, &i));
	assert_string_equal(i.name, "1");
	assert_string_equal(i.match, "prefix 10.0.0.0/8 le 32");
	assert_string_equal(i.verdict, "accept");
	assert_int_equal(i.hits[POLICY_IN], 1);
	assert_int_equal(i.hits[POLICY_OUT], 1);
	assert_false(policy_rule_next(p, &it, &i));
	for (it = 0; policy_next(b, &it, &info, &walked) && walked != p;)
		;
	assert_string_equal(info.name, "p");
	assert_int_equal(info.unmatched[POLICY_IN], 1);
	assert_true(policy_hook(p, POLICY_IN).ctx == policy_hook(p, POLICY_IN).ctx);
	assert_true(policy_hook(p, POLICY_IN).ctx != policy_hook(p, POLICY_OUT).ctx);
	policy_book_free(b);
}

static void validity(void **state)
{
	static const char roas[] = "AS2 10.1.0.0/16 24\nAS7 10.2.0.0/16\n64512 10.3.0.0/16\n";
	struct policy_book *b = policy_book_new();
	struct policy *p;
	struct bgp_edit e;
	struct roa *r;
	char why[POLICY_WHY];

	(void)state;
	assert_int_equal(roa_parse(roas, sizeof(roas) - 1, &r, why), 0);
	assert_int_equal(policy_new(b, "p", &p, why), 0);
	assert_false(policy_book_wants_origins(b));
	rule(b, p, &(struct line){POLICY_MATCH, "validity", "valid"}, 1, "accept");
	assert_true(policy_book_wants_origins(b));
	assert_int_equal(policy_book_close(b, OWN_AS), 0);
	assert_int_equal(run(p, POLICY_IN, "10.1.0.0/16", &e), BGP_REJECT); /* no table */
	policy_book_origins(b, r);
	assert_int_equal(run(p, POLICY_IN, "10.1.0.0/16", &e), BGP_ACCEPT);
	assert_int_equal(run(p, POLICY_IN, "10.1.5.0/24", &e), BGP_ACCEPT);
	assert_int_equal(run(p, POLICY_IN, "10.1.5.0/25", &e), BGP_REJECT);
	assert_int_equal(run(p, POLICY_IN, "10.2.0.0/16", &e), BGP_REJECT);
	assert_int_equal(run(p, POLICY_IN, "10.9.0.0/16", &e), BGP_REJECT);

	/* A path that nobody has made longer is this node's AS's. */
	struct bgp_policy hook = policy_hook(p, POLICY_OUT);
	struct bgp_nlri n = nlri("10.3.0.0/16");
	struct bgp_attrs none = {.has = BGP_HAS_AS_PATH};
	bgp_edit_init(&e, &none);
	struct bgp_route route = {.nlri = &n, .attrs = &e.a};
	assert_int_equal(hook.ops->apply(hook.ctx, &route, &e), BGP_ACCEPT);
	policy_book_free(b);
	roa_free(r);
}

/* Hooks of a policy with the same name follow it into the next book; the books can go in any order. */
static void succession(void **state)
{
	struct policy_book *b[2];
	struct bgp_policy hook[2];
	struct bgp_attrs a = route_attrs();
	struct bgp_nlri n = nlri("10.1.0.0/16");
	struct bgp_route r = {.nlri = &n, .attrs = &a};
	char why[POLICY_WHY];
	struct policy *p;
	struct bgp_edit e;

	(void)state;
	for (int order = 0; order < 2; order++) {
		for (int i = 0; i < 2; i++) {
			b[i] = policy_book_new();
			assert_int_equal(policy_new(b[i], i ? "other" : "gone", &p, why), 0);
			assert_int_equal(policy_new(b[i], "p", &p, why), 0);
			rule(b[i], p, NULL, 0, i ? "accept" : "reject");
			assert_int_equal(policy_book_close(b[i], OWN_AS), 0);
			hook[i] = policy_hook(p, POLICY_OUT);
		}
		assert_int_equal(hook[0].ops->apply(hook[0].ctx, &r, &e), BGP_REJECT);
		policy_book_succeed(b[1], b[0]);
		hook[1] = policy_hook(policy_find(b[1], "p"), POLICY_OUT);
		assert_ptr_equal(hook[0].ctx, hook[1].ctx);
		assert_int_equal(hook[0].ops->apply(hook[0].ctx, &r, &e), BGP_ACCEPT);
		hook[0] = policy_hook(policy_find(b[0], "p"), POLICY_OUT);
		assert_int_equal(hook[0].ops->apply(hook[0].ctx, &r, &e), BGP_REJECT);
		policy_book_free(b[order]);
		if (order == 0)
			assert_int_equal(hook[1].ops->apply(hook[1].ctx, &r, &e), BGP_ACCEPT);
		policy_book_free(b[1 - order]);
	}
}

struct told {
	char text[1000];
};

static void tell(void *ctx, const struct policy_step *s)
{
	struct told *t = ctx;
	size_t n = strlen(t->text);

	snprintf(t->text + n, sizeof(t->text) - n, "[%s %s %s]", s->rule ? s->rule : "end",
		s->holds      ? s->verdict
		: s->excepted ? "except"
			      : "lacks",
		s->holds ? s->change : s->failed);
}

static void explained(void **state)
{
	struct policy_book *b = policy_book_new();
	struct bgp_attrs a = route_attrs();
	struct bgp_nlri n = nlri("10.1.0.0/16");
	struct told told = {""};
	struct policy_rule_info i;
	struct policy *p;
	struct bgp_edit e;
	char why[POLICY_WHY];
	size_t it = 0;

	(void)state;
	assert_int_equal(policy_new(b, "p", &p, why), 0);
	rule(b, p, (const struct line[]){{POLICY_MATCH, "prefix", "11.0.0.0/8"}}, 1, "accept");
	rule(b, p, (const struct line[]){{POLICY_EXCEPT, "community", "1:*"}}, 1, "accept");
	rule(b, p,
		(const struct line[]){{POLICY_CHANGE, "med", "1"},
			{POLICY_CHANGE, "add-communities", "2:2"},
			{POLICY_CHANGE, "add-communities", "3:3"}, {POLICY_CHANGE, "prepend", "2"}},
		4, "next");
	assert_int_equal(policy_book_close(b, OWN_AS), 0);
	bgp_edit_init(&e, &a);
	struct bgp_route r = {.nlri = &n, .attrs = &e.a, .peer = 1};
	assert_int_equal(policy_explain(p, POLICY_IN, &r, &e, tell, &told), BGP_REJECT);
	assert_string_equal(told.text, "[1 lacks prefix][2 except community][3 next med 1; "
				       "add-communities 2:2, 3:3; prepend 2][end reject ]");
	while (policy_rule_next(p, &it, &i))
		assert_int_equal(i.hits[POLICY_IN], 0);
	policy_book_free(b);
}

/* --- what is refused --- */

static void refused(void **state)
{
	static const struct line t[] = {
		{POLICY_MATCH, "prefix", "10.0.0.1/8"},
		{POLICY_MATCH, "prefix", "10.0.0.0/8 ge 33"},
		{POLICY_MATCH, "prefix", "10.0.0.0/8 ge 7"},
		{POLICY_MATCH, "prefix", "10.0.0.0/8 le 9 ge 10"},
		{POLICY_MATCH, "prefix", "nosuch"},
		{POLICY_MATCH, "community", "nosuch"},
		{POLICY_MATCH, "community", "1"},
		{POLICY_MATCH, "as-path", "nosuch"},
		{POLICY_MATCH, "as-path", "("},
		{POLICY_MATCH, "cluster", "0"},
		{POLICY_MATCH, "cluster", "5-4"},
		{POLICY_MATCH, "cluster", "4294967296"},
		{POLICY_EXCEPT, "neighbour-asn", "1x"},
		{POLICY_EXCEPT, "validity", "maybe"},
		{POLICY_EXCEPT, "learned", "static"},
		{POLICY_CHANGE, "local-preference", "-1"},
		{POLICY_CHANGE, "local-preference", "4294967296"},
		{POLICY_CHANGE, "med", ""},
		{POLICY_CHANGE, "origin", "IGP"},
		{POLICY_CHANGE, "next-hop", "0.0.0.0"},
		{POLICY_CHANGE, "next-hop", "fe80::1"},
		{POLICY_CHANGE, "next-hop", "x"},
		{POLICY_CHANGE, "prepend", "0"},
		{POLICY_CHANGE, "prepend", "33"},
		{POLICY_CHANGE, "prepend", "0 x 3"},
		{POLICY_CHANGE, "prepend", "64512 x"},
		{POLICY_CHANGE, "prepend", "123456789012 x 1"},
		{POLICY_CHANGE, "communities", "1:*"},
		{POLICY_CHANGE, "add-communities", "rt:*:1"},
		{POLICY_CHANGE, "delete-communities", "nosuch"},
	};
	struct policy_book *b = policy_book_new();
	struct policy_rule *r;
	struct policy_set *s;
	struct policy *p;
	char why[POLICY_WHY];

	(void)state;
	assert_int_equal(policy_new(b, "p", &p, why), 0);
	assert_int_equal(policy_rule_new(p, "r", &r, why), 0);
	for (size_t i = 0; i < COUNT(t); i++) {
		const struct policy_key *k = policy_key_find(t[i].part, t[i].key);

		assert_non_null(k);
		if (policy_rule_take(b, r, t[i].part, k, t[i].value, why) != ERR_MALFORMED ||
			!why[0])
			fail_msg("%s %s is taken", t[i].key, t[i].value);
		assert_non_null(strstr(policy_key_names(t[i].part), k->name));
	}
	assert_int_equal(
		policy_rule_take_end(r, POLICY_MATCH, policy_key_find(POLICY_MATCH, "prefix"), why),
		ERR_MALFORMED);
	assert_int_equal(policy_rule_verdict(r, "maybe", why), ERR_MALFORMED);
	assert_null(policy_key_find(POLICY_MATCH, "med"));
	assert_int_equal(policy_new(b, "p", &p, why), ERR_EXISTS);
	assert_int_equal(policy_new(b, "accept", &p, why), ERR_EXISTS);
	assert_int_equal(policy_new(b, "1p", &p, why), ERR_MALFORMED);
	assert_int_equal(policy_new(b, "", &p, why), ERR_MALFORMED);
	assert_int_equal(policy_new(b, "a b", &p, why), ERR_MALFORMED);
	assert_int_equal(
		policy_set_new(b, POLICY_COMMUNITIES, "no-export", &s, why), ERR_MALFORMED);
	assert_int_equal(policy_set_new(b, POLICY_ASNS, "own", &s, why), ERR_MALFORMED);
	assert_int_equal(policy_set_new(b, POLICY_PREFIXES, "own", &s, why), 0);
	assert_int_equal(policy_set_add(b, s, "own", why), ERR_MALFORMED); /* itself */
	assert_int_equal(policy_set_new(b, POLICY_PREFIXES, "own", &s, why), ERR_EXISTS);
	policy_book_free(b);
}

/* Sets that copy each other grow to the bound, not beyond. */
static void too_large(void **state)
{
	struct policy_book *b = policy_book_new();
	char why[POLICY_WHY], name[20], last[20];
	struct policy_set *s;
	int err = 0;

	(void)state;
	for (int i = 0; i < 40 && !err; i++) {
		sprintf(name, "s%d", i);
		assert_int_equal(policy_set_new(b, POLICY_PREFIXES, name, &s, why), 0);
		if (i == 0)
			assert_int_equal(policy_set_add(b, s, "10.0.0.0/8", why), 0);
		for (int k = 0; k < 2 && i > 0 && !err; k++)
			err = policy_set_add(b, s, last, why);
		sprintf(last, "s%d", i);
	}
	assert_int_equal(err, ERR_FULL);
	assert_non_null(strstr(why, "too many"));
	assert_int_equal(policy_book_close(b, OWN_AS), 0);
	policy_book_free(b);
}

/* Deleting many and adding many copies the list once each; what no UPDATE can carry is rejected. */
static void overflow(void **state)
{
	struct policy_book *b = policy_book_new();
	static uint8_t many[4 * 1000];
	struct bgp_attrs a = {.communities = {many, sizeof(many)}};
	struct bgp_nlri n = nlri("10.0.0.0/8");
	struct policy_rule *r;
	struct policy *p;
	struct bgp_edit e;
	char why[POLICY_WHY], text[20];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		many[4 * i + 1] = 9;
		many[4 * i + 2] = (uint8_t)(i >> 8);
		many[4 * i + 3] = (uint8_t)i;
	}
	assert_int_equal(policy_new(b, "p", &p, why), 0);
	r = rule(b, p, NULL, 0, "accept");
	for (unsigned i = 0; i < 200; i++) {
		sprintf(text, "8:%u", i);
		take(b, r, &(struct line){POLICY_CHANGE, "add-communities", text});
	}
	assert_int_equal(policy_book_close(b, OWN_AS), 0);
	bgp_edit_init(&e, &a);
	struct bgp_route route = {.nlri = &n, .attrs = &e.a};
	struct bgp_policy hook = policy_hook(p, POLICY_IN);
	(void)hook.ops->apply(hook.ctx, &route, &e);
	assert_true(e.overflow); /* 4800 bytes */
	a.communities.len = 4 * 700;
	bgp_edit_init(&e, &a);
	assert_int_equal(hook.ops->apply(hook.ctx, &route, &e), BGP_ACCEPT);
	assert_false(e.overflow);
	assert_int_equal(e.a.communities.len, 4 * 900);
	policy_book_free(b);
}

static int build(struct policy_book **out)
{
	static const struct line lines[] = {{POLICY_MATCH, "prefix", "nets"},
		{POLICY_MATCH, "prefix", "fd00::/8 le 64"}, {POLICY_MATCH, "as-path", "^1 2$"},
		{POLICY_EXCEPT, "all-communities", "1:1"}, {POLICY_CHANGE, "communities", "2:2"},
		{POLICY_CHANGE, "delete-communities", "marks"}, {POLICY_CHANGE, "med", "1"}};
	struct policy_book *b = policy_book_new();
	struct policy_rule *r;
	struct policy_set *s;
	struct policy *p;
	char why[POLICY_WHY];
	int err = b ? 0 : ERR_NOMEM;

	*out = b;
	if (err || (err = policy_set_new(b, POLICY_PREFIXES, "nets", &s, why)) ||
		(err = policy_set_add(b, s, "10.0.0.0/8 le 24", why)) ||
		(err = policy_set_new(b, POLICY_PREFIXES, "more", &s, why)) ||
		(err = policy_set_add(b, s, "nets", why)) ||
		(err = policy_set_new(b, POLICY_COMMUNITIES, "marks", &s, why)) ||
		(err = policy_set_add(b, s, "1:*", why)) || (err = policy_new(b, "p", &p, why)) ||
		(err = policy_rule_new(p, "r", &r, why)))
		return err;
	for (size_t i = 0; i < COUNT(lines) && !err; i++)
		err = policy_rule_take(b, r, lines[i].part,
			policy_key_find(lines[i].part, lines[i].key), lines[i].value, why);
	return err ? err : policy_book_close(b, OWN_AS);
}

static void no_memory(void **state)
{
	unsigned faults = 0;

	(void)state;
	FAULT_EACH(n)
	{
		struct policy_book *b;
		int err = build(&b);

		assert_true(err == 0 || err == ERR_NOMEM);
		faults += err != 0;
		policy_book_free(b);
	}
	assert_true(faults > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comm_text),
		cmocka_unit_test(comm_patterns),
		cmocka_unit_test(comm_refused),
		cmocka_unit_test(conditions),
		cmocka_unit_test(linked_clusters),
		cmocka_unit_test(handed_over),
		cmocka_unit_test(several),
		cmocka_unit_test(changes),
		cmocka_unit_test(no_communities),
		cmocka_unit_test(guard_and_counters),
		cmocka_unit_test(validity),
		cmocka_unit_test(succession),
		cmocka_unit_test(explained),
		cmocka_unit_test(refused),
		cmocka_unit_test(too_large),
		cmocka_unit_test(overflow),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
