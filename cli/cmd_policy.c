/* Route policy for a person: the policies with their counters, and a test rule by rule. */
#include "cli.h"

#include <inttypes.h>
#include <string.h>

#define TEXT 512

static const char *text_at(
	const msgpack_object *o, const char *key, char out[TEXT], const char *if_empty)
{
	ctl_get_str(o, key, out, TEXT);
	return out[0] ? out : if_empty;
}

static void policy_row(struct out *o, const char *name, const msgpack_object *r)
{
	char match[TEXT], except[TEXT], set[TEXT], then[TEXT], rule[TEXT];

	out_cell(o, OUT_PLAIN, "%s", name);
	out_cell(o, OUT_PLAIN, "%s", text_at(r, "rule", rule, ""));
	text_at(r, "except", except, "");
	out_cell(o, OUT_PLAIN, "%s%s%s", text_at(r, "match", match, except[0] ? "all" : ""),
		except[0] ? " except " : "", except);
	out_cell(o, OUT_PLAIN, "%s", text_at(r, "set", set, ""));
	out_cell(o, OUT_PLAIN, "%s", text_at(r, "then", then, ""));
	cli_number(o, r, "hits_in");
	cli_number(o, r, "hits_out");
}

/* What no rule decided. */
static void end_row(struct out *o, const char *name, const msgpack_object *p)
{
	static const char *const cells[] = {"(end)", "", "", "reject"};

	out_cell(o, OUT_PLAIN, "%s", name);
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
		out_cell(o, OUT_PLAIN, "%s", cells[i]);
	cli_number(o, p, "unmatched_in");
	cli_number(o, p, "unmatched_out");
}

void render_bgp_policy(struct out *o, const msgpack_object *data)
{
	static const char *const titles[] = {
		"<POLICY", "<RULE", "<MATCH", "<SET", "<THEN", ">IN", ">OUT"};
	const msgpack_object *p, *r;

	out_table(o, titles, sizeof(titles) / sizeof(titles[0]));
	for (size_t i = 0; (p = cli_item(data, "policies", i)) != NULL; i++) {
		char name[TEXT];

		text_at(p, "policy", name, "");
		for (size_t k = 0; (r = cli_item(p, "rules", k)) != NULL; k++)
			policy_row(o, name, r);
		end_row(o, name, p);
	}
}

/* --- a test --- */

static void attrs_line(
	struct out *o, const char *title, const msgpack_object *data, const char *key)
{
	const msgpack_object *a = ctl_get(data, key);
	char nh[TEXT], path[TEXT], origin[TEXT], comms[TEXT], pref[40] = "", med[40] = "";

	if (!a)
		return;
	if (ctl_get(a, "local_pref"))
		(void)snprintf(pref, sizeof(pref), ", local preference %" PRIu64,
			ctl_get_u64(a, "local_pref"));
	if (ctl_get(a, "med"))
		(void)snprintf(med, sizeof(med), ", MED %" PRIu64, ctl_get_u64(a, "med"));
	out_kv(o, OUT_PLAIN, title, "next hop %s, path %s, origin %s%s%s, communities %s",
		text_at(a, "next_hop", nh, "(self)"), text_at(a, "as_path", path, "(empty)"),
		text_at(a, "origin", origin, "-"), pref, med,
		text_at(a, "communities", comms, "none"));
}

static void step_line(struct out *o, const msgpack_object *s)
{
	char rule[TEXT], key[TEXT + 8], what[TEXT], then[TEXT];

	(void)snprintf(key, sizeof(key), "Rule %s", text_at(s, "rule", rule, "?"));
	if (ctl_get_bool(s, "holds")) {
		text_at(s, "set", what, "");
		out_kv(o, OUT_PLAIN, key, "holds: %s%s%s%s", what[0] ? "set " : "", what,
			what[0] ? "; then " : "", text_at(s, "then", then, "?"));
	} else if (ctl_get(s, "excepted")) {
		out_kv(o, OUT_DIM, key, "does not hold: %s is excepted",
			text_at(s, "excepted", what, "?"));
	} else {
		out_kv(o, OUT_DIM, key, "does not hold: %s does not match",
			text_at(s, "lacks", what, "?"));
	}
}

void render_policy_test(struct out *o, const msgpack_object *data)
{
	char text[TEXT], more[TEXT];
	const msgpack_object *s;
	const char *verdict;
	bool accepted;

	out_kv(o, OUT_PLAIN, "Prefix", "%s", text_at(data, "prefix", text, "?"));
	out_kv(o, OUT_PLAIN, "Policy", "%s (%s)", text_at(data, "policy", text, "?"),
		text_at(data, "direction", more, "?"));
	out_kv(o, OUT_PLAIN, "Neighbour", "%s", text_at(data, "neighbour", text, "none"));
	out_kv(o, OUT_PLAIN, "Route", "%s", text_at(data, "route", text, "?"));
	out_kv(o, OUT_PLAIN, "Validity", "%s", text_at(data, "validity", text, "?"));
	attrs_line(o, "Before", data, "before");
	for (size_t i = 0; (s = cli_item(data, "steps", i)) != NULL; i++)
		step_line(o, s);
	verdict = text_at(data, "verdict", text, "?");
	accepted = strcmp(verdict, "accept") == 0;
	out_kv(o, accepted ? OUT_GOOD : OUT_WARN, "Verdict", "%s", verdict);
	if (accepted)
		attrs_line(o, "After", data, "after");
}

/* Communities may be given several times: one argument of words. */
static bool add_community(char all[TEXT], const char *value)
{
	size_t n = strlen(all), len = strlen(value);

	if (n + len + 2 > TEXT)
		return false;
	(void)snprintf(all + n, TEXT - n, "%s%s", n ? " " : "", value);
	return true;
}

static bool take_option(
	struct ctl_request *req, const char *name, const char *value, char comms[TEXT])
{
	static const struct {
		const char *option, *key;
	} options[] = {{"neighbour", "neighbour"}, {"policy", "policy"}, {"as-path", "as_path"},
		{"med", "med"}, {"local-preference", "local_pref"}, {"next-hop", "next_hop"}};

	if (strcmp(name, "community") == 0)
		return add_community(comms, value);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strcmp(name, options[i].option) == 0)
			return ctl_request_add(req, options[i].key, value) == 0;
	return false;
}

int cmd_policy_test(struct cli *c, int argc, char **argv)
{
	const struct cli_verb *v = cli_verb_find("bgp policy test");
	struct ctl_request req = {.cmd = "bgp policy test"};
	char comms[TEXT] = "";
	bool fine = true, prefix = false, direction = false;

	for (int i = 0; i < argc && fine; i++) {
		const char *word = argv[i];

		if (strncmp(word, "--", 2) != 0) {
			fine = !prefix && ctl_request_add(&req, "prefix", word) == 0;
			prefix = true;
		} else if (strcmp(word, "--in") == 0 || strcmp(word, "--out") == 0) {
			fine = !direction && ctl_request_add(&req, "direction", word + 2) == 0;
			direction = true;
		} else {
			fine = i + 1 < argc && take_option(&req, word + 2, argv[i + 1], comms);
			i++;
		}
	}
	if (fine && comms[0])
		fine = ctl_request_add(&req, "communities", comms) == 0;
	if (!fine || !prefix)
		return cli_usage(c, v);
	return cli_ask(c, v, &req);
}
