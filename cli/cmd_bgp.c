/* BGP for a person: the neighbours, routes, and the verbs whose arguments have names. */
#include "cli.h"

#include <inttypes.h>
#include <string.h>

#define TEXT 512

void render_bgp(struct out *o, const msgpack_object *data)
{
	static const char *const titles[] = {"<NEIGHBOUR", ">AS", "<KIND", "<STATE", ">SINCE",
		"<BFD", ">RECEIVED", ">ACCEPTED", ">ANNOUNCED", "<LAST ERROR"};
	const msgpack_object *n, *bfd;
	char text[TEXT], unit[OUT_UNIT];

	out_table(o, titles, sizeof(titles) / sizeof(titles[0]));
	for (size_t i = 0; (n = cli_item(data, "neighbours", i)) != NULL; i++) {
		ctl_get_str(n, "interface", text, sizeof(text));
		cli_cell(o, n, text[0] ? "interface" : "address");
		cli_number(o, n, "asn");
		cli_cell(o, n, "kind");
		ctl_get_str(n, "state", text, sizeof(text));
		out_cell(o, strcmp(text, "Established") == 0 ? OUT_GOOD : OUT_WARN, "%s", text);
		out_cell(o, OUT_PLAIN, "%s", out_duration(ctl_get_u64(n, "since_ms"), unit));
		bfd = ctl_get(n, "bfd");
		ctl_get_str(bfd, "state", text, sizeof(text));
		out_cell(o, !bfd || strcmp(text, "Up") == 0 ? OUT_PLAIN : OUT_WARN, "%s",
			bfd ? text : "-");
		cli_number(o, n, "received");
		cli_number(o, n, "accepted");
		cli_number(o, n, "announced");
		cli_cell(o, n, "last_error");
	}
}

/* Why this path is the best, or is not. */
static void why_cell(struct out *o, const msgpack_object *r)
{
	char text[TEXT];

	ctl_get_str(r, "lost", text, sizeof(text));
	if (text[0])
		out_cell(o, OUT_PLAIN, "loses by %s", text);
	else
		cli_cell(o, r, "step");
}

void render_bgp_routes(struct out *o, const msgpack_object *data)
{
	static const char *const titles[] = {"<", "<PREFIX", "<NEXT HOP", "<NEIGHBOUR", ">PREF",
		">MED", "<AS PATH", "<ORIGIN", "<COMMUNITIES", "<WHY"};
	const msgpack_object *r;

	out_table(o, titles, sizeof(titles) / sizeof(titles[0]));
	for (size_t i = 0; (r = cli_item(data, "routes", i)) != NULL; i++) {
		out_cell(o, OUT_PLAIN, "%s",
			ctl_get_bool(r, "best")        ? "*"
			: !ctl_get_bool(r, "accepted") ? "refused"
						       : "");
		cli_cell(o, r, "prefix");
		cli_cell(o, r, "next_hop");
		if (ctl_get_bool(r, "own"))
			out_cell(o, OUT_PLAIN, "%s", "own");
		else
			cli_cell(o, r, "neighbour");
		cli_number(o, r, "local_pref");
		cli_number(o, r, "med");
		cli_cell(o, r, "as_path");
		cli_cell(o, r, "origin");
		cli_cell(o, r, "communities");
		why_cell(o, r);
	}
	if (ctl_get_bool(data, "truncated")) {
		out_cell(o, OUT_WARN, "%s", "...");
		out_cell(o, OUT_WARN, "%" PRIu64 " in all", ctl_get_u64(data, "total"));
		for (size_t i = 2; i < sizeof(titles) / sizeof(titles[0]); i++)
			out_cell(o, OUT_PLAIN, "%s", "");
	}
}

/* An argument of the words: "--name value" is @named, "--flag" one of @flags (their value is the
 * flag's word), the first other word is @plain. */
struct words {
	const char *plain, *named;
	const char *const *flags; /* NULL-terminated */
	const char *flag_key;
};

/* Put the words into @req; false: they don't fit. */
static bool take_words(const struct words *w, int argc, char **argv, struct ctl_request *req)
{
	bool plain = false;

	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];
		const char *const *f = w->flags;
		int err;

		if (strncmp(word, "--", 2) != 0) {
			err = plain || !word[0] ? -1 : ctl_request_add(req, w->plain, word);
			plain = true;
		} else if (strcmp(word + 2, w->named) == 0 && i + 1 < argc) {
			err = ctl_request_add(req, w->named, argv[++i]);
		} else {
			while (*f && strcmp(*f, word + 2) != 0)
				f++;
			err = *f ? ctl_request_add(req, w->flag_key, *f) : -1;
		}
		if (err)
			return false;
	}
	return true;
}

int cmd_bgp_routes(struct cli *c, int argc, char **argv)
{
	static const char *const flags[] = {"received", "advertised", "best", NULL};
	const struct words w = {"prefix", "neighbour", flags, "table"};
	const struct cli_verb *v = cli_verb_find("status bgp routes");
	struct ctl_request req = {.cmd = "status bgp routes"};
	const char *table;

	/* Why is the last column anyway. */
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "--why") == 0) {
			memmove(argv + i, argv + i + 1, (size_t)(argc - i - 1) * sizeof(*argv));
			argc--;
			break;
		}
	if (!take_words(&w, argc, argv, &req))
		return cli_usage(c, v);
	/* The best ones are what is shown anyway, unless a neighbour's table was asked for. */
	table = ctl_request_arg(&req, "table");
	if (table && strcmp(table, "best") == 0 && ctl_request_arg(&req, "neighbour"))
		return cli_usage(c, v);
	return cli_ask(c, v, &req);
}

int cmd_bgp_shutdown(struct cli *c, int argc, char **argv)
{
	static const char *const flags[] = {NULL};
	const struct words w = {"neighbour", "message", flags, ""};
	const struct cli_verb *v = cli_verb_find("bgp shutdown");
	struct ctl_request req = {.cmd = "bgp shutdown"};

	if (!take_words(&w, argc, argv, &req) || !ctl_request_arg(&req, "neighbour"))
		return cli_usage(c, v);
	return cli_ask(c, v, &req);
}
