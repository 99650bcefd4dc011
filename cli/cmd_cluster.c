/* Links to other clusters: `weft status clusters`, `weft cluster link|accept|unlink`. */
#include "cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TEXT        512
#define HALF        500 /* characters of an argument (proto/ctl) */
#define INVITE_ROOM 1024
#define EXPIRES_MAX (UINT64_C(366) * 86400)

static enum out_tone tone_of(const char *state)
{
	if (strcmp(state, "up") == 0 || strcmp(state, "Established") == 0)
		return OUT_GOOD;
	if (strncmp(state, "refuse", 6) == 0 || strcmp(state, "down") == 0)
		return OUT_BAD;
	return OUT_WARN;
}

/* The ranges of @m, with a blank between. */
static void ranges_text(const msgpack_object *m, char *out, size_t cap)
{
	const msgpack_object *list = ctl_get(m, "ranges");
	size_t n = 0;

	out[0] = '\0';
	for (uint32_t i = 0; list && list->type == MSGPACK_OBJECT_ARRAY && i < list->via.array.size;
		i++) {
		const msgpack_object *r = &list->via.array.ptr[i];

		if (r->type == MSGPACK_OBJECT_STR && n < cap - 1)
			n += (size_t)snprintf(out + n, cap - n, "%s%.*s", n ? " " : "",
				(int)(r->via.str.size < 64 ? r->via.str.size : 64), r->via.str.ptr);
	}
}

/* What is to be said of a gateway that others go before. */
static const char *last_resort(const msgpack_object *g)
{
	return ctl_get_bool(g, "last_resort") ? ", a last resort: its way fails or failed" : "";
}

static void gateway_line(struct out *o, const msgpack_object *g)
{
	char key[TEXT], ep[TEXT], state[TEXT], bgp[TEXT], why[TEXT], unit[OUT_UNIT];
	bool up;

	ctl_get_str(g, "short", key, sizeof(key));
	ctl_get_str(g, "endpoint", ep, sizeof(ep));
	ctl_get_str(g, "state", state, sizeof(state));
	ctl_get_str(g, "bgp", bgp, sizeof(bgp));
	ctl_get_str(g, "why", why, sizeof(why));
	up = strcmp(state, "up") == 0;
	out_kv(o, tone_of(state), "its gateway", "%s%s%s: %s%s%s%s%s%s%s%s", key,
		ep[0] ? " at " : "", ep, state, up ? " for " : "",
		up ? out_duration(ctl_get_u64(g, "since_ms"), unit) : "", bgp[0] ? ", BGP " : "",
		bgp, last_resort(g), why[0] ? ": " : "", why);
}

/* The link's policies, and what they and the rules before them kept out. */
static void crossing_lines(struct out *o, const msgpack_object *l)
{
	static const char *const reasons[] = {
		"own-range", "other-range", "default", "underlay", "segment", "policy"};
	const msgpack_object *refused = ctl_get(l, "refused");
	char in[TEXT], out[TEXT], text[TEXT], why[TEXT];
	size_t n = 0;

	ctl_get_str(l, "import", in, sizeof(in));
	ctl_get_str(l, "export", out, sizeof(out));
	if (in[0] || out[0])
		out_kv(o, OUT_PLAIN, "policies", "import %s, export %s%s",
			in[0] ? in : "its ranges alone", out[0] ? out : "our ranges alone",
			ctl_get_bool(l, "outside") ? ", outside routes too" : "");
	text[0] = '\0';
	for (size_t i = 0; refused && i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		uint64_t count = ctl_get_u64(refused, reasons[i]);

		if (count && n < sizeof(text) - 1)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%" PRIu64 " %s",
				n ? ", " : "", count, reasons[i]);
	}
	if (!n)
		return;
	ctl_get_str(l, "last_refused", in, sizeof(in));
	ctl_get_str(l, "last_why", why, sizeof(why));
	out_kv(o, OUT_WARN, "refused", "routes: %s; last %s (%s)", text, in, why);
}

static void link_lines(struct out *o, const msgpack_object *l)
{
	char name[TEXT], cluster[TEXT], id[TEXT], state[TEXT], ranges[TEXT];
	const msgpack_object *g;

	ctl_get_str(l, "link", name, sizeof(name));
	ctl_get_str(l, "cluster", cluster, sizeof(cluster));
	ctl_get_str(l, "cluster_id", id, sizeof(id));
	ctl_get_str(l, "state", state, sizeof(state));
	ranges_text(l, ranges, sizeof(ranges));
	out_gap(o);
	out_kv(o, tone_of(state), "link", "%s is %s", name, state);
	if (!id[0]) {
		out_kv(o, OUT_WARN, "to", "nobody has taken its invitation up yet");
		return;
	}
	out_kv(o, OUT_PLAIN, "to", "cluster %s, AS %" PRIu64, cluster[0] ? cluster : id,
		ctl_get_u64(l, "asn"));
	out_kv(o, OUT_PLAIN, "ranges", "%s", ranges);
	crossing_lines(o, l);
	for (size_t i = 0; (g = cli_item(l, "gateways", i)) != NULL; i++)
		gateway_line(o, g);
}

/* Each gateway of this cluster, and each prefix behind one. */
static void own_lines(struct out *o, const msgpack_object *data)
{
	const msgpack_object *x;
	char name[TEXT], key[TEXT], state[TEXT], path[TEXT];

	for (size_t i = 0; (x = cli_item(data, "gateways", i)) != NULL; i++) {
		ctl_get_str(x, "node", name, sizeof(name));
		ctl_get_str(x, "bgp", state, sizeof(state));
		if (ctl_get_bool(x, "self"))
			out_kv(o, OUT_PLAIN, "gateway", "%s (this node)", name);
		else if (state[0])
			out_kv(o, tone_of(state), "gateway", "%s (BGP %s, %" PRIu64 " prefixes%s)",
				name, state, ctl_get_u64(x, "prefixes"), last_resort(x));
		else
			out_kv(o, OUT_WARN, "gateway", "%s (no BGP yet)", name);
	}
	for (size_t i = 0; (x = cli_item(data, "prefixes", i)) != NULL; i++) {
		ctl_get_str(x, "prefix", name, sizeof(name));
		ctl_get_str(x, "gateway", key, sizeof(key));
		ctl_get_str(x, "why", state, sizeof(state));
		ctl_get_str(x, "path", path, sizeof(path));
		if (key[0])
			out_kv(o, OUT_GOOD, ctl_get_bool(x, "exit") ? "exit" : "prefix",
				"%s behind %s%s%s", name, key, path[0] ? ", path " : "", path);
		else
			out_kv(o, OUT_BAD, ctl_get_bool(x, "exit") ? "exit" : "prefix", "%s: %s",
				name, state);
	}
}

void render_clusters(struct out *o, const msgpack_object *data)
{
	const msgpack_object *self = ctl_get(data, "self"), *x;
	char text[TEXT];

	ctl_get_str(self, "cluster", text, sizeof(text));
	out_kv(o, OUT_PLAIN, "cluster", "%s", text[0] ? text : "(without a name)");
	out_kv(o, OUT_PLAIN, "cluster id", "%s",
		ctl_get_str(self, "cluster_id", text, sizeof(text)));
	out_kv(o, OUT_PLAIN, "as number", "%" PRIu64, ctl_get_u64(self, "asn"));
	if (ctl_get_str(self, "bgp_error", text, sizeof(text))[0])
		out_kv(o, OUT_BAD, "bgp", "%s", text);
	own_lines(o, data);
	for (size_t i = 0; (x = cli_item(data, "links", i)) != NULL; i++)
		link_lines(o, x);
}

/* The text alone on its line, so that it can be piped. */
void render_invitation(struct out *o, const msgpack_object *data)
{
	char text[INVITE_ROOM];

	out_text(o, "%s", ctl_get_str(data, "invitation", text, sizeof(text)));
}

static const struct cli_verb *verb(const char *name)
{
	for (size_t i = 0; i < cli_nverbs; i++)
		if (strcmp(cli_verbs[i].name, name) == 0)
			return &cli_verbs[i];
	return NULL;
}

/* "90m", "36h", "7d" or seconds; 0: not that. */
static uint64_t seconds_of(const char *text)
{
	static const struct {
		const char *unit;
		uint64_t secs;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (end == text || text[0] == '-' || n > EXPIRES_MAX)
		return 0;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].unit) == 0)
			return n * units[i].secs > EXPIRES_MAX ? 0 : n * units[i].secs;
	return 0;
}

/* "--NAME VALUE" at argv[*i]: its value, *@i moved on. NULL: not that. */
static const char *option(const char *name, int argc, char **argv, int *i)
{
	if (strcmp(argv[*i], name) != 0 || *i + 1 >= argc)
		return NULL;
	return argv[++*i];
}

int cmd_cluster_link(struct cli *c, int argc, char **argv)
{
	const struct cli_verb *v = verb("cluster link");
	struct ctl_request req = {.cmd = "cluster link"};
	char secs[32];

	for (int i = 0; i < argc; i++) {
		const char *name = option("--name", argc, argv, &i);
		const char *expires = name ? NULL : option("--expires", argc, argv, &i);

		if (name && ctl_request_add(&req, "name", name) == 0)
			continue;
		if (!expires)
			return cli_usage(c, v);
		if (!seconds_of(expires))
			return cli_fail(c, CLI_USAGE,
				"--expires takes a time like 90m, 36h or 7d, at most 366d; not "
				"'%s'",
				expires);
		(void)snprintf(secs, sizeof(secs), "%" PRIu64, seconds_of(expires));
		if (ctl_request_add(&req, "expires_secs", secs) != 0)
			return cli_usage(c, v);
	}
	return cli_ask(c, v, &req);
}

/* The whole of standard input, without blanks. */
static bool read_invitation(char out[INVITE_ROOM])
{
	size_t n = 0;
	int ch;

	while ((ch = getchar()) != EOF) {
		if (strchr(" \t\r\n", ch))
			continue;
		if (n == INVITE_ROOM - 1)
			return false;
		out[n++] = (char)ch;
	}
	out[n] = '\0';
	return n > 0;
}

int cmd_cluster_accept(struct cli *c, int argc, char **argv)
{
	const struct cli_verb *v = verb("cluster accept");
	struct ctl_request req = {.cmd = "cluster accept"};
	char text[INVITE_ROOM] = "", half[HALF + 1];
	bool given = false;
	int code;

	for (int i = 0; i < argc; i++) {
		const char *name = option("--name", argc, argv, &i);

		if (name && ctl_request_add(&req, "name", name) == 0)
			continue;
		if (name || given || (argv[i][0] == '-' && argv[i][1]))
			return cli_usage(c, v);
		given = true;
		if (strcmp(argv[i], "-") != 0 && strlen(argv[i]) < sizeof(text))
			(void)snprintf(text, sizeof(text), "%s", argv[i]);
		else if (strcmp(argv[i], "-") != 0 || !read_invitation(text))
			return cli_fail(
				c, CLI_USAGE, "that is no invitation: too long, or nothing");
	}
	if (!given)
		return cli_usage(c, v);
	(void)snprintf(half, sizeof(half), "%.*s", HALF, text);
	(void)ctl_request_add(&req, "invitation", half);
	if (strlen(text) > HALF)
		(void)ctl_request_add(&req, "invitation-2", text + HALF);
	code = cli_ask(c, v, &req);
	explicit_bzero(text, sizeof(text));
	explicit_bzero(half, sizeof(half));
	explicit_bzero(&req, sizeof(req));
	return code;
}
