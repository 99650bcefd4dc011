/* The `weft` program: a table of verbs, and the way from a command line to an answer.
 *
 * Parts: this file (table, options, errors), client.c (the socket), cmd_status.c and cmd_list.c (what
 * the daemon's data looks like to a person), cmd_bgp.c (BGP), cmd_key.c (answered without a daemon), out.c (layout),
 * json_out.c (the data as it came).
 *
 * Data in: argv, and the daemon's reply, which is decoded within the bounds of proto/ctl and may lack
 * any field. Data out: text or JSON on the output stream, errors on the error stream, the exit code.
 *
 * Each verb of the daemon is a row: what is asked, the argument's name, how the data is shown. There is
 * no state and nothing is retried; the whole call ends after CLIENT_TIMEOUT_MS. */
#include "cli.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include "client.h"
#include "json_out.h"
#include "weft/err.h"

#define VERB_WORDS 3 /* of the longest name */

const struct cli_verb cli_verbs[] = {
	{"status", "", "how this node fares", "status", NULL, render_status, "ready", NULL},
	{"status peers", "", "the nodes that are known", "status peers", NULL, render_peers, NULL,
		NULL},
	{"status connections", "", "every connection, with its traffic", "status connections", NULL,
		render_connections, NULL, NULL},
	{"status routes", "", "where each prefix leads", "status routes", NULL, render_routes, NULL,
		NULL},
	{"status targets", "", "what was given by --peer and connect", "status targets", NULL,
		render_targets, NULL, NULL},
	{"status ipam", "", "who owns which prefix, and what is free", "status ipam", NULL,
		render_ipam, NULL, NULL},
	{"status bgp", "", "BGP neighbours and what is announced", "status bgp", NULL, render_bgp,
		NULL, NULL},
	{"status bgp routes",
		"[PREFIX|ADDRESS] [--neighbour ADDRESS [--received|--advertised]] [--best] [--why]",
		"BGP's routes: the best ones, or all to one prefix", NULL, NULL, render_bgp_routes,
		NULL, cmd_bgp_routes},
	{"status bgp policy", "", "route policies, and how often each rule held",
		"status bgp policy", NULL, render_bgp_policy, NULL, NULL},
	{"status policy", "", "(not in this version) network policy", "status policy", NULL, NULL,
		NULL, NULL},
	{"status segments", "", "(not in this version) segments", "status segments", NULL, NULL,
		NULL, NULL},
	{"status clusters", "", "links to other clusters, and what is behind them",
		"status clusters", NULL, render_clusters, NULL, NULL},
	{"connect", "HOST[:PORT]", "dial a node, and again whenever it is lost", "connect",
		"target", render_message, NULL, NULL},
	{"forget", "NODE|HOST[:PORT]", "forget a node, or stop dialling a target", "forget", "what",
		render_message, NULL, NULL},
	{"bgp refresh", "NEIGHBOUR", "have a neighbour send all its routes again", "bgp refresh",
		"neighbour", render_message, NULL, NULL},
	{"bgp shutdown", "NEIGHBOUR [--message TEXT]", "end a session until bgp start", NULL, NULL,
		render_message, NULL, cmd_bgp_shutdown},
	{"bgp start", "NEIGHBOUR", "let a session come up again", "bgp start", "neighbour",
		render_message, NULL, NULL},
	{"bgp drain", "NEIGHBOUR", "announce all with GRACEFUL_SHUTDOWN until bgp undrain",
		"bgp drain", "neighbour", render_message, NULL, NULL},
	{"bgp undrain", "NEIGHBOUR", "announce as usual again", "bgp undrain", "neighbour",
		render_message, NULL, NULL},
	{"bgp reload", "", "take policies and passwords from the configuration file again",
		"bgp reload", NULL, render_message, NULL, NULL},
	{"bgp dump", "FILE|-", "write BGP's table to a file, as MRT", NULL, NULL, NULL, NULL,
		cmd_bgp_dump},
	{"bgp record", "FILE|- [--neighbour ADDRESS] [--for SECONDS]",
		"write BGP's messages to a file, as MRT, until stopped", NULL, NULL, NULL, NULL,
		cmd_bgp_record},
	{"bgp policy test",
		"PREFIX [--neighbour ADDRESS] [--policy NAME] [--in|--out] [--as-path ASNS] "
		"[--community VALUE]... [--med N] [--local-preference N] [--next-hop ADDRESS]",
		"what a policy does with a route, rule by rule", NULL, NULL, render_policy_test,
		NULL, cmd_policy_test},
	{"bgp clear", "NEIGHBOUR", "end a session and begin it anew", "bgp clear", "neighbour",
		render_message, NULL, NULL},
	{"cluster link", "[--name NAME] [--expires TIME]",
		"make a link: prints an invitation, which is a secret", NULL, NULL,
		render_invitation, NULL, cmd_cluster_link},
	{"cluster accept", "INVITATION|- [--name NAME]",
		"take an invitation up, as the other cluster's or as one more gateway", NULL, NULL,
		render_message, NULL, cmd_cluster_accept},
	{"cluster unlink", "LINK|RANGE", "leave a link, or open a closed range", "cluster unlink",
		"link", render_message, NULL, NULL},
	{"down", "", "end weftd and remove all that it installed", "down", NULL, render_message,
		NULL, NULL},
	{"report", "", "everything a bug report needs, as JSON", "report", NULL, NULL, NULL, NULL},
	{"key new", "[--out FILE]", "make a cluster secret", NULL, NULL, NULL, NULL, cmd_key_new},
	{"key show", "FILE", "print the cluster id of a secret", NULL, NULL, NULL, NULL,
		cmd_key_show},
	{"install kubernetes",
		"[--image NAME] [--namespace NAME] [--cluster-range CIDRS] [--claim LENGTHS] "
		"[--cni-version VERSION] [--max-surge 0|1]",
		"print the manifests of a DaemonSet", NULL, NULL, NULL, NULL,
		cmd_install_kubernetes},
	{"install cni", "DIR [FILE]", "put the CNI plugin into DIR", NULL, NULL, NULL, NULL,
		cmd_install_cni},
	{"install removal", "[--image NAME]", "print the manifests that take weft off all nodes",
		NULL, NULL, NULL, NULL, cmd_install_removal},
	{"install undo", "[ROOT] [--wait|--stay]", "remove weft's files from this machine", NULL,
		NULL, NULL, NULL, cmd_install_undo},
	{"help", "[VERB]", "this text", NULL, NULL, NULL, NULL, cmd_help},
	{"version", "", "the version of this program", NULL, NULL, NULL, NULL, cmd_version},
};
const size_t cli_nverbs = sizeof(cli_verbs) / sizeof(cli_verbs[0]);

const struct cli_verb *cli_verb_find(const char *name)
{
	for (size_t i = 0; i < cli_nverbs; i++)
		if (strcmp(cli_verbs[i].name, name) == 0)
			return &cli_verbs[i];
	return NULL;
}

int cli_fail(struct cli *c, int code, const char *fmt, ...)
{
	char text[CTL_ERROR_TEXT + 256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* through struct out, since the text may hold the daemon's words */
	struct out *o = out_new(c->err, false);
	if (o)
		out_text(o, "weft: %s", text);
	(void)out_end(o);
	return code;
}

static void usage_line(struct out *o, const struct cli_verb *v)
{
	char call[256];

	(void)snprintf(call, sizeof(call), "%s%s%s", v->name, v->args[0] ? " " : "", v->args);
	out_text(o, "  %-24s %s", call, v->help);
}

/* Usage of the verbs whose name begins with the word @first (all if NULL) on @f. */
static void usage_on(FILE *f, const char *first)
{
	struct out *o = out_new(f, false);
	size_t len = first ? strlen(first) : 0;

	if (!o)
		return;
	out_text(o, "Usage: weft [--socket PATH] [-o text|json] VERB [ARGUMENT]...");
	out_text(o, "%s", "");
	for (size_t i = 0; i < cli_nverbs; i++) {
		const char *name = cli_verbs[i].name;
		if (!first ||
			(strncmp(name, first, len) == 0 && (name[len] == '\0' || name[len] == ' ')))
			usage_line(o, &cli_verbs[i]);
	}
	(void)out_end(o);
}

int cli_usage(struct cli *c, const struct cli_verb *verb)
{
	usage_on(c->err, verb ? verb->name : NULL);
	return CLI_USAGE;
}

static bool has_first_word(const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i < cli_nverbs; i++)
		if (strncmp(cli_verbs[i].name, word, len) == 0 &&
			(cli_verbs[i].name[len] == '\0' || cli_verbs[i].name[len] == ' '))
			return true;
	return false;
}

int cmd_help(struct cli *c, int argc, char **argv)
{
	if (argc > 0 && !has_first_word(argv[0])) {
		(void)cli_fail(c, CLI_USAGE, "no verb '%s'", argv[0]);
		return cli_usage(c, NULL);
	}
	usage_on(c->out, argc > 0 ? argv[0] : NULL);
	return CLI_FINE;
}

int cmd_version(struct cli *c, int argc, char **argv)
{
	if (argc > 0)
		return cli_usage(c, NULL);
	if (c->json)
		return json_print(c->out, json_pack("{s:s, s:i}", "version", WEFT_VERSION, "schema",
						  CTL_VERSION))
			       ? CLI_BAD
			       : CLI_FINE;
	struct out *o = out_new(c->out, false);
	if (o)
		out_text(o, "weft %s", WEFT_VERSION);
	return out_end(o) ? CLI_BAD : CLI_FINE;
}

/* The longest verb that the words begin with: "status peers" before "status". */
static const struct cli_verb *find_verb(int argc, char **argv, int *words)
{
	char name[96] = "";
	const struct cli_verb *found = NULL;
	size_t len = 0;

	for (int n = 0; n < argc && n < VERB_WORDS && len < sizeof(name); n++) {
		len += (size_t)snprintf(
			name + len, sizeof(name) - len, "%s%s", n ? " " : "", argv[n]);
		for (size_t i = 0; i < cli_nverbs; i++)
			if (strcmp(cli_verbs[i].name, name) == 0) {
				*words = n + 1;
				found = &cli_verbs[i];
			}
	}
	return found;
}

/* Is @err the absence of a daemon (and not a bad answer)? */
static bool nobody_there(int err)
{
	return err == ERR_NO_DAEMON || (err > -1000 && err != ERR_NOMEM);
}

static int explain(struct cli *c, const struct cli_verb *v, int err)
{
	if (err == -ENAMETOOLONG)
		return cli_fail(c, CLI_USAGE, "%s is too long for a socket's name", c->socket);
	if (!nobody_there(err))
		return cli_fail(c, CLI_BAD, "the answer on %s is bad: %s", c->socket, err_str(err));
	if (err == -EACCES || err == -EPERM)
		(void)cli_fail(c, 0, "no right to use %s: it belongs to weftd's user", c->socket);
	else if (err == -ETIMEDOUT)
		(void)cli_fail(c, 0, "weftd does not answer on %s (waited %d ms)", c->socket,
			c->timeout_ms);
	else
		(void)cli_fail(c, 0, "weftd is not running on %s (%s)", c->socket,
			err == ERR_NO_DAEMON ? "it hung up" : err_str(err));
	if (strcmp(v->name, "down") == 0)
		(void)cli_fail(
			c, 0, "to remove what weft installed without a daemon: weftd --down");
	return CLI_NO_DAEMON;
}

static int show_refusal(struct cli *c, const struct ctl_reply *r)
{
	const char *error = r->error[0] ? r->error : "refused without a reason";

	if (c->json) {
		json_t *j = json_object();
		msgpack_object e = {
			.type = MSGPACK_OBJECT_STR, .via.str = {(uint32_t)strlen(error), error}};
		msgpack_object h = {.type = MSGPACK_OBJECT_STR,
			.via.str = {(uint32_t)strlen(r->hint), r->hint}};

		(void)json_object_set_new(j, "error", json_from_msgpack(&e));
		if (r->hint[0])
			(void)json_object_set_new(j, "hint", json_from_msgpack(&h));
		(void)json_print(c->out, j);
		return CLI_BAD;
	}
	(void)cli_fail(c, CLI_BAD, "%s", error);
	if (r->hint[0])
		(void)cli_fail(c, CLI_BAD, "%s", r->hint);
	return CLI_BAD;
}

static int show_data(struct cli *c, const struct cli_verb *v, const msgpack_object *data)
{
	int err;

	if (c->json || !v->render) {
		err = json_print(c->out, json_from_msgpack(data));
	} else {
		struct out *o = out_new(c->out, out_colour_wanted(c->out));
		if (o)
			v->render(o, data);
		err = out_end(o);
	}
	if (err)
		return cli_fail(c, CLI_BAD, "output: %s", err_str(err));
	return v->must && !ctl_get_bool(data, v->must) ? CLI_BAD : CLI_FINE;
}

int cli_fetch(struct cli *c, const struct cli_verb *v, const struct ctl_request *req,
	struct client_answer *out)
{
	int err = client_call(c->socket, req, c->timeout_ms, out), code;

	if (err)
		return explain(c, v, err);
	if (out->reply.ok)
		return CLI_FINE;
	code = show_refusal(c, &out->reply);
	client_answer_free(out);
	return code;
}

int cli_ask(struct cli *c, const struct cli_verb *v, const struct ctl_request *req)
{
	struct client_answer a;
	int code = cli_fetch(c, v, req, &a);

	if (code != CLI_FINE)
		return code;
	code = show_data(c, v, a.reply.data);
	client_answer_free(&a);
	return code;
}

static int ask(struct cli *c, const struct cli_verb *v, int argc, char **argv)
{
	struct ctl_request req = {0};

	if (argc != (v->arg ? 1 : 0) || (argc > 0 && (argv[0][0] == '-' || argv[0][0] == '\0')))
		return cli_usage(c, v);
	(void)snprintf(req.cmd, sizeof(req.cmd), "%s", v->cmd);
	if (v->arg && ctl_request_add(&req, v->arg, argv[0]) != 0)
		return cli_fail(c, CLI_USAGE, "the argument is too long");
	return cli_ask(c, v, &req);
}

/* Take weft's own options out of argv, wherever they stand before "--"; the rest moves to the front.
 * Returns how many words remain, or -1: an option without its value, or a bad one. */
static int take_options(struct cli *c, int argc, char **argv)
{
	int n = 0, i = 1;

	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const char *value = NULL;
		bool socket = strncmp(argv[i], "--socket", 8) == 0 &&
			      (argv[i][8] == '\0' || argv[i][8] == '=');
		bool form = strncmp(argv[i], "-o", 2) == 0;

		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			static char help[] = "help";
			argv[1] = argv[0]; /* the verb, if one came before */
			argv[0] = help;
			return n > 0 ? 2 : 1;
		}
		if (!socket && !form) {
			argv[n++] = argv[i];
			continue;
		}
		size_t skip = socket ? 8 : 2;
		if (argv[i][skip] == '=')
			value = argv[i] + skip + 1;
		else if (argv[i][skip] != '\0')
			value = argv[i] + skip; /* -ojson */
		else if (i + 1 < argc)
			value = argv[++i];
		if (!value || (form && strcmp(value, "json") != 0 && strcmp(value, "text") != 0))
			return -1;
		if (socket)
			c->socket = value;
		else
			c->json = strcmp(value, "json") == 0;
	}
	for (i++; i < argc; i++)
		argv[n++] = argv[i];
	return n;
}

int cli_run(struct cli *c, int argc, char **argv)
{
	int words = 0;

	argc = take_options(c, argc, argv);
	if (argc <= 0)
		return cli_usage(c, NULL);
	const struct cli_verb *v = find_verb(argc, argv, &words);
	if (!v) {
		if (!has_first_word(argv[0])) {
			(void)cli_fail(c, 0, "no verb '%s'", argv[0]);
			return cli_usage(c, NULL);
		}
		usage_on(c->err, argv[0]); /* "key" alone */
		return CLI_USAGE;
	}
	return v->cmd ? ask(c, v, argc - words, argv + words)
		      : v->local(c, argc - words, argv + words);
}

int cli_main(int argc, char **argv, FILE *out, FILE *err)
{
	struct cli c = {
		.out = out, .err = err, .socket = CLI_SOCKET, .timeout_ms = CLIENT_TIMEOUT_MS};

	return cli_run(&c, argc, argv);
}

const msgpack_object *cli_item(const msgpack_object *o, const char *key, size_t i)
{
	const msgpack_object *a = ctl_get(o, key);

	return a && a->type == MSGPACK_OBJECT_ARRAY && i < a->via.array.size ? &a->via.array.ptr[i]
									     : NULL;
}

const char *cli_join(const msgpack_object *o, const char *key, char *buf, size_t cap)
{
	const msgpack_object *item;
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; (item = cli_item(o, key, i)) != NULL && n < cap; i++) {
		if (item->type == MSGPACK_OBJECT_STR)
			n += (size_t)snprintf(buf + n, cap - n, "%s%.*s", n ? ", " : "",
				(int)(item->via.str.size < cap ? item->via.str.size : cap),
				item->via.str.ptr);
		else if (item->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
			n += (size_t)snprintf(
				buf + n, cap - n, "%s%" PRIu64, n ? ", " : "", item->via.u64);
	}
	return buf;
}

const char *cli_counts(const msgpack_object *o, const char *key, char *buf, size_t cap)
{
	const msgpack_object *m = ctl_get(o, key);
	size_t n = 0;

	buf[0] = '\0';
	if (!m || m->type != MSGPACK_OBJECT_MAP)
		return buf;
	for (uint32_t i = 0; i < m->via.map.size && n < cap; i++) {
		const msgpack_object_kv *kv = &m->via.map.ptr[i];

		if (kv->key.type == MSGPACK_OBJECT_STR &&
			kv->val.type == MSGPACK_OBJECT_POSITIVE_INTEGER && kv->val.via.u64 > 0)
			n += (size_t)snprintf(buf + n, cap - n, "%s%.*s %" PRIu64, n ? ", " : "",
				(int)(kv->key.via.str.size < cap ? kv->key.via.str.size : cap),
				kv->key.via.str.ptr, kv->val.via.u64);
	}
	return buf;
}
