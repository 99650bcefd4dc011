/* Route policy in the configuration: a whole one as it is understood, what is refused with file, line,
 * key and what is allowed, each shorter text, memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "conf.h"
#include "conf_bgp.h"
#include "fault.h"
#include "weft/err.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MIN      "bgp:\n  asn: 64512\n"
#define RULE     MIN "  policies:\n    p:\n    - then: accept\n"

/* The peer names a policy that stands below it, and the policy sets that stand below that. */
static const char whole[] =
	"bgp:\n"
	"  asn: 64512\n"
	"  roa-file: /etc/weft/roas.json\n"
	"  peers:\n"
	"  - address: 192.0.2.9\n"
	"    asn: 64999\n"
	"    import: from-rack\n"
	"    export: to_rack\n"
	"  policies:\n"
	"    from-rack:\n"
	"    - rule: bogus\n"
	"      match: {prefix: [bogus, 0.0.0.0/0], validity: invalid}\n"
	"      then: reject\n"
	"    - rule: customers\n"
	"      match:\n"
	"        as-path: [\"^64999+ [1-9]* $\", short]\n"
	"        cluster: east\n"
	"        neighbour-asn: [64999, 65000-65010]\n"
	"        learned: ebgp\n"
	"      except:\n"
	"        community: [no-export, marks]\n"
	"        all-communities: [1:1, 1:2]\n"
	"      set:\n"
	"        local-preference: 200\n"
	"        med: none\n"
	"        origin: igp\n"
	"        next-hop: [192.0.2.1, \"2001:db8::1\"]\n"
	"        prepend: 64512 x 3\n"
	"        communities: []\n"
	"        add-communities: [\"64512:1\", \"rt:64512:1\", \"64512:1:1\"]\n"
	"        delete-communities: [\"64999:*\", marks]\n"
	"      then: next\n"
	"    - then: accept\n"
	"    to_rack:\n"
	"    - {match: {learned: [own, ibgp]}, set: {prepend: 1}, then: accept}\n"
	"  sets:\n"
	"    prefixes:\n"
	"      bogus: [10.0.0.0/8 ge 8, 192.168.0.0/16 le 24, \"fd00::/8 le 48\"]\n"
	"      more: bogus\n"
	"    communities: {marks: [\"65535:*\", blackhole]}\n"
	"    as-paths: {short: \"^.{0,2}$\"}\n"
	"    asns: {east: [4200000001, own]}\n";

static int load(const char *text, struct conf *c, char *err)
{
	return conf_parse_yaml("f", text, strlen(text), c, err, 2000);
}

static void check_rule(const struct policy *p, size_t nth, const struct policy_rule_info *want)
{
	struct policy_rule_info got;
	size_t it = nth;

	assert_true(policy_rule_next(p, &it, &got));
	assert_string_equal(got.name, want->name);
	assert_string_equal(got.match, want->match);
	assert_string_equal(got.except, want->except);
	assert_string_equal(got.change, want->change);
	assert_string_equal(got.verdict, want->verdict);
}

static void whole_section(void **state)
{
	static const struct policy_rule_info rules[] = {
		{"bogus", "prefix bogus, 0.0.0.0/0; validity invalid", "", "", "reject", {0}},
		{"customers",
			"as-path ^64999+ [1-9]* $, short; cluster east; neighbour-asn 64999, "
			"65000-65010; learned ebgp",
			"community no-export, marks; all-communities 1:1, 1:2",
			"local-preference 200; med none; origin igp; next-hop 192.0.2.1, "
			"2001:db8::1; prepend 64512 x 3; communities none; add-communities "
			"64512:1, rt:64512:1, 64512:1:1; delete-communities 64999:*, marks",
			"next", {0}},
		{"3", "", "", "", "accept", {0}},
	};
	char err[2000];
	struct conf c;

	(void)state;
	if (load(whole, &c, err) != 0)
		fail_msg("%s", err);
	const struct conf_bgp *b = c.bgp;
	assert_string_equal(b->roa_file, "/etc/weft/roas.json");
	assert_ptr_equal(b->peers[0].import.policy, policy_find(b->policies, "from-rack"));
	assert_ptr_equal(b->peers[0].export.policy, policy_find(b->policies, "to_rack"));
	assert_null(b->peers[0].import.node);
	assert_true(policy_book_wants_origins(b->policies));
	assert_int_equal(policy_book_close(b->policies, b->asn), 0);
	for (size_t i = 0; i < COUNT(rules); i++)
		check_rule(b->peers[0].import.policy, i, &rules[i]);
	conf_free(&c);
}

static void refused(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{MIN "  sets: []", "f:3: bgp.sets: needs keys and values"},
		{MIN "  sets: {paths: {}}",
			"f:3: bgp.sets.paths: unknown key; allowed: prefixes, communities, "
			"as-paths, asns"},
		{MIN "  sets: {prefixes: []}", "f:3: bgp.sets.prefixes: needs keys and values"},
		{MIN "  sets:\n    asns: {a: 1}\n    asns: {b: 1}",
			"f:5: bgp.sets.asns: given twice, first on line 4"},
		{MIN "  sets:\n    prefixes:\n      a: [10.0.0.0/8,\n        10.0.0.1/8]",
			"f:6: bgp.sets.prefixes.a: '10.0.0.1/8' has no CIDR in front, or one with "
			"host bits set; allowed: CIDRs, each perhaps with"},
		{MIN "  sets: {prefixes: {a: later, later: 10.0.0.0/8}}",
			"bgp.sets.prefixes.a: 'later' has no CIDR"},
		{MIN "  sets: {prefixes: {a: [[]]}}", "prefixes.a: needs plain values"},
		{MIN "  sets: {prefixes: {1a: 10.0.0.0/8}}",
			"bgp.sets.prefixes.1a: '1a' is no name; allowed: a letter"},
		{MIN "  sets:\n    asns:\n      a: 1\n      a: 2",
			"f:6: bgp.sets.asns.a: 'a' is there already"},
		{MIN "  sets: {communities: {a: 1}}",
			"communities.a: '1' is no community; allowed: patterns like 64512:1"},
		{MIN "  sets: {communities: {blackhole: \"1:1\"}}",
			"'blackhole' has a meaning already"},
		{MIN "  sets: {as-paths: {a: \"^(1\"}}",
			"as-paths.a: '^(1' lacks a ) at character 4; allowed: patterns like"},
		{MIN "  sets: {asns: {a: 0}}", "asns.a: '0' is no range of AS numbers"},
		{MIN "  policies: x", "f:3: bgp.policies: needs keys and values"},
		{MIN "  policies: {p: x}", "f:3: bgp.policies.p: needs a list, each rule"},
		{MIN "  policies: {accept: []}", "bgp.policies.accept: 'accept' is there already"},
		{MIN "  policies:\n    p:\n    - x", "f:5: bgp.policies.p: needs keys and values"},
		{MIN "  policies:\n    p:\n    - rule: a",
			"f:5: bgp.policies.p.then: missing; allowed: accept, reject or next"},
		{RULE "      then: next", "f:6: bgp.policies.p.then: given twice, first on line 5"},
		{MIN "  policies:\n    p:\n    - then: maybe",
			"f:5: bgp.policies.p.then: 'maybe' is none of them; allowed: accept, "
			"reject "
			"or next"},
		{RULE "      rule: [a]", "bgp.policies.p.rule: needs one plain value"},
		{RULE "      rule: 1", "bgp.policies.p.rule: '1' is no name"},
		{RULE "      rule: a\n    - {rule: a, then: next}",
			"f:7: bgp.policies.p.rule: 'a' is"},
		{RULE "      when: a",
			"f:6: bgp.policies.p.when: unknown key; allowed: rule, match, except, set, "
			"then"},
		{RULE "      match: prefix", "f:6: bgp.policies.p.match: needs keys and values"},
		{RULE "      match: {med: 1}",
			"f:6: bgp.policies.p.match.med: unknown key; allowed: prefix, community,"},
		{RULE "      set: {prefix: 1}",
			"p.set.prefix: unknown key; allowed: local-preference, med, origin,"},
		{RULE "      match:\n        prefix: x\n        prefix: y",
			"f:8: bgp.policies.p.match.prefix: given twice, first on line 7"},
		{RULE "      match: {prefix: nosuch}",
			"p.match.prefix: 'nosuch' is neither a value nor the name of a set; "
			"allowed: CIDRs"},
		{RULE "      except: {prefix: []}",
			"p.except.prefix: an empty list matches nothing"},
		{RULE "      match: {prefix: {}}", "needs one plain value, or a list of them"},
		{RULE "      match: {validity: good}", "p.match.validity: 'good' is none of them; "
						       "allowed: valid, invalid, unknown"},
		{RULE "      match: {learned: 1}", "allowed: own, ibgp, ebgp, crossed"},
		{RULE "      match: {as-path: [a b]}",
			"'a b' has something unexpected at character 1"},
		{RULE "      set: {med: [1]}", "p.set.med: needs one plain value; allowed: 0 to"},
		{RULE "      set: {local-preference: high}",
			"p.set.local-preference: 'high' is no number; allowed: 0 to 4294967295"},
		{RULE "      set: {prepend: 64512 x 99}", "has no number of times from 1 to 32"},
		{RULE "      set: {next-hop: [1.1.1.1, 2.2.2.2]}",
			"'2.2.2.2' is the second of its"},
		{RULE "      set: {add-communities: [\"1:*\"]}",
			"'1:*' is a pattern, not a community"},
		{MIN "  peers:\n  - address: 192.0.2.9\n    asn: 1\n    export: p",
			"f:6: bgp.peers.export: no policy has the name 'p'; allowed: accept, "
			"reject,"},
	};
	char err[2000];
	struct conf c;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (load(rows[i].text, &c, err) != ERR_CONFIG)
			fail_msg("accepted: %s", rows[i].text);
		if (!strstr(err, rows[i].says))
			fail_msg("%s\nsays: %s\nnot:  %s", rows[i].text, err, rows[i].says);
		assert_null(c.bgp);
	}
}

/* Lists of prefixes are policies with names that tell whose they are. */
static void names(void **state)
{
	static const char text[] = MIN "  listen: 192.0.2.1\n  peers:\n"
				       "  - {address: 192.0.2.9, asn: 1, import: [10.0.0.0/8]}\n"
				       "  - {interface: eth0, asn: 1, import: [10.0.0.0/8]}\n"
				       "  - {interface: eth1, asn: 1, export: []}\n"
				       "  - {range: 192.0.2.128/25, asn: 1, import: []}\n";
	static const char *const want[] = {"(import of 192.0.2.9)", "(import of eth0)",
		"(export to eth1)", "(import of 192.0.2.128/25)"};
	char err[2000];
	struct conf c;

	(void)state;
	if (load(text, &c, err) != 0)
		fail_msg("%s", err);
	for (size_t i = 0; i < COUNT(want); i++) {
		const struct conf_bgp_peer *p = &c.bgp->peers[i];
		struct policy *found = policy_find(c.bgp->policies, want[i]);

		assert_non_null(found);
		assert_ptr_equal(found, p->import.policy ? p->import.policy : p->export.policy);
	}
	conf_free(&c);
}

static void prefixes(void **state)
{
	char err[2000];
	struct conf c;

	(void)state;
	for (size_t n = 0; n < sizeof(whole); n++) {
		int e = conf_parse_yaml("f", whole, n, &c, err, sizeof(err));

		assert_true(e == 0 || (e == ERR_CONFIG && err[0]));
		conf_free(&c);
	}
}

static void no_memory(void **state)
{
	char err[2000];
	struct conf c;

	(void)state;
	FAULT_EACH(n)
	{
		int e = load(whole, &c, err);

		assert_true(e == 0 || e == ERR_NOMEM);
		assert_true((e == 0) == (c.bgp != NULL));
		conf_free(&c);
	}
}

/* The section alone, as a reload reads it. */
static void section_alone(void **state)
{
	char path[] = "/tmp/weft-test-XXXXXX", err[2000];
	struct conf_bgp *b;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, whole, strlen(whole)), strlen(whole));
	assert_int_equal(conf_load_bgp(path, &b, err, sizeof(err)), 0);
	assert_non_null(policy_find(b->policies, "from-rack"));
	conf_bgp_free(b);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(conf_load_bgp(path, &b, err, sizeof(err)), ERR_CONFIG);
	assert_null(b);
	assert_non_null(strstr(err, "bgp: the section is gone"));
	close(fd);
	unlink(path);
	assert_int_equal(conf_load_bgp(path, &b, err, sizeof(err)), ERR_CONFIG);
	assert_non_null(strstr(err, "No such file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_section),
		cmocka_unit_test(refused),
		cmocka_unit_test(names),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(section_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
