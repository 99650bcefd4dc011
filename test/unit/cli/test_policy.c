/* Route policy for a person: golden text of both views, data that is not as it should be, and command
 * lines that are refused before anybody is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "weft/err.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void expect_text(struct ctl_w *w, cli_render_fn fn, const char *want)
{
	struct ctl_reply reply;
	const uint8_t *data;
	size_t len, out_len, n;
	uint8_t *buf;
	char *text = NULL;
	FILE *f = open_memstream(&text, &n);
	struct out *o = out_new(f, false);

	assert_int_equal(ctl_w_finish(w, &data, &len), 0);
	assert_int_equal(ctl_reply_encode(true, NULL, NULL, data, len, &buf, &out_len), 0);
	assert_int_equal(ctl_reply_decode(buf + CTL_HEADER, out_len - CTL_HEADER, &reply), 0);
	fn(o, reply.data);
	assert_int_equal(out_end(o), 0);
	fclose(f);
	if (strcmp(text, want) != 0)
		fail_msg("got:\n%s\nwant:\n%s", text, want);
	free(text);
	ctl_reply_free(&reply);
	free(buf);
	ctl_w_free(w);
}

static void put_rule(struct ctl_w *w, const char *rule, const char *match, const char *except,
	const char *set, const char *then, unsigned in)
{
	ctl_w_map(w, NULL);
	ctl_w_str(w, "rule", rule);
	ctl_w_str(w, "match", match);
	ctl_w_str(w, "except", except);
	ctl_w_str(w, "set", set);
	ctl_w_str(w, "then", then);
	ctl_w_u64(w, "hits_in", in);
	ctl_w_u64(w, "hits_out", 0);
	ctl_w_end(w);
}

static void policies(void **state)
{
	struct ctl_w *w = ctl_w_new();

	(void)state;
	ctl_w_map(w, NULL);
	ctl_w_array(w, "policies");
	ctl_w_map(w, NULL);
	ctl_w_str(w, "policy", "from-rack");
	ctl_w_array(w, "rules");
	put_rule(w, "bogus", "prefix bogus", "", "", "reject", 3);
	put_rule(w, "2", "", "learned own", "med 1", "next", 4);
	ctl_w_end(w);
	ctl_w_u64(w, "unmatched_in", 5);
	ctl_w_u64(w, "unmatched_out", 0);
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_end(w);
	expect_text(w, render_bgp_policy,
		"POLICY     RULE   MATCH                   SET    THEN    IN  OUT\n"
		"from-rack  bogus  prefix bogus            -      reject   3    0\n"
		"from-rack  2      all except learned own  med 1  next     4    0\n"
		"from-rack  (end)  -                       -      reject   5    0\n");
}

static void put_attrs(struct ctl_w *w, const char *key, bool pref)
{
	ctl_w_map(w, key);
	ctl_w_str(w, "next_hop", "192.0.2.9");
	ctl_w_str(w, "as_path", "64999 1");
	ctl_w_str(w, "origin", "igp");
	if (pref)
		ctl_w_u64(w, "local_pref", 200);
	ctl_w_str(w, "communities", pref ? "1:1 no-export" : "");
	ctl_w_end(w);
}

static void tested(void **state)
{
	struct ctl_w *w = ctl_w_new();

	(void)state;
	ctl_w_map(w, NULL);
	ctl_w_str(w, "prefix", "203.0.113.0/24");
	ctl_w_str(w, "neighbour", "192.0.2.9");
	ctl_w_str(w, "direction", "in");
	ctl_w_str(w, "policy", "from-rack");
	ctl_w_str(w, "route", "received");
	ctl_w_str(w, "validity", "valid");
	put_attrs(w, "before", false);
	ctl_w_array(w, "steps");
	ctl_w_map(w, NULL);
	ctl_w_str(w, "rule", "bogus");
	ctl_w_bool(w, "holds", false);
	ctl_w_str(w, "lacks", "prefix");
	ctl_w_end(w);
	ctl_w_map(w, NULL);
	ctl_w_str(w, "rule", "2");
	ctl_w_bool(w, "holds", false);
	ctl_w_str(w, "excepted", "community");
	ctl_w_end(w);
	ctl_w_map(w, NULL);
	ctl_w_str(w, "rule", "last");
	ctl_w_bool(w, "holds", true);
	ctl_w_str(w, "set", "local-preference 200");
	ctl_w_str(w, "then", "accept");
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_str(w, "verdict", "accept");
	put_attrs(w, "after", true);
	ctl_w_end(w);
	expect_text(w, render_policy_test,
		"    Prefix: 203.0.113.0/24\n"
		"    Policy: from-rack (in)\n"
		" Neighbour: 192.0.2.9\n"
		"     Route: received\n"
		"  Validity: valid\n"
		"    Before: next hop 192.0.2.9, path 64999 1, origin igp, communities none\n"
		"Rule bogus: does not hold: prefix does not match\n"
		"    Rule 2: does not hold: community is excepted\n"
		" Rule last: holds: set local-preference 200; then accept\n"
		"   Verdict: accept\n"
		"     After: next hop 192.0.2.9, path 64999 1, origin igp, local preference 200, "
		"communities 1:1 no-export\n");
}

static void bare(void **state)
{
	struct ctl_w *w = ctl_w_new();

	(void)state;
	ctl_w_map(w, NULL);
	ctl_w_str(w, "steps", "none");
	ctl_w_end(w);
	expect_text(w, render_policy_test,
		"   Prefix: ?\n   Policy: ? (?)\nNeighbour: none\n    Route: ?\n"
		" Validity: ?\n  Verdict: ?\n");
}

static void refused(void **state)
{
	static const char *const lines[][8] = {
		{"weft", "bgp", "policy", "test"},
		{"weft", "bgp", "policy", "test", "--in"},
		{"weft", "bgp", "policy", "test", "10.0.0.0/8", "11.0.0.0/8"},
		{"weft", "bgp", "policy", "test", "10.0.0.0/8", "--in", "--out"},
		{"weft", "bgp", "policy", "test", "10.0.0.0/8", "--med"},
		{"weft", "bgp", "policy", "test", "10.0.0.0/8", "--colour", "red"},
		{"weft", "status", "bgp", "policy", "p"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		char *argv[9], *words[8], *text = NULL; /* argv is changed */
		int argc = 0;
		size_t n;
		FILE *f = open_memstream(&text, &n);

		for (; argc < 8 && lines[i][argc]; argc++)
			argv[argc] = words[argc] = strdup(lines[i][argc]);
		argv[argc] = NULL;
		assert_int_equal(cli_main(argc, argv, f, f), CLI_USAGE);
		fclose(f);
		assert_non_null(strstr(text, "policy"));
		while (argc-- > 0)
			free(words[argc]);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies),
		cmocka_unit_test(tested),
		cmocka_unit_test(bare),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
