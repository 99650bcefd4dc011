/* The tables: peers, connections, routes, targets; and the one line that connect, forget and down
 * answer with. */
#include "cli.h"

#include <inttypes.h>
#include <string.h>

#define TEXT 1024

void cli_cell(struct out *o, const msgpack_object *item, const char *key)
{
	char text[TEXT];

	out_cell(o, OUT_PLAIN, "%s", ctl_get_str(item, key, text, sizeof(text)));
}

void cli_number(struct out *o, const msgpack_object *item, const char *key)
{
	const msgpack_object *v = ctl_get(item, key);

	if (v && v->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		out_cell(o, OUT_PLAIN, "%" PRIu64, v->via.u64);
	else
		out_cell(o, OUT_PLAIN, "%s", "");
}

static enum out_tone state_tone(const char *state)
{
	if (strcmp(state, "established") == 0 || strcmp(state, "known") == 0 ||
		strcmp(state, "up") == 0)
		return OUT_GOOD;
	if (strcmp(state, "failed") == 0 || strcmp(state, "down") == 0)
		return OUT_BAD;
	return strcmp(state, "self") == 0 ? OUT_PLAIN : OUT_WARN;
}

static void size(struct out *o, const msgpack_object *item, const char *key)
{
	const msgpack_object *v = ctl_get(item, key);
	char buf[OUT_UNIT];

	out_cell(o, OUT_PLAIN, "%s",
		v && v->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? out_bytes(v->via.u64, buf) : "");
}

static void duration(struct out *o, const msgpack_object *item, const char *key)
{
	const msgpack_object *v = ctl_get(item, key);
	char buf[OUT_UNIT];

	out_cell(o, OUT_PLAIN, "%s",
		v && v->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? out_duration(v->via.u64, buf)
								: "");
}

static void rtt(struct out *o, const msgpack_object *item, const char *key)
{
	const msgpack_object *v = ctl_get(item, key);
	char buf[OUT_UNIT] = "";

	if (v && (v->type == MSGPACK_OBJECT_FLOAT64 || v->type == MSGPACK_OBJECT_FLOAT32))
		out_rtt(v->via.f64, buf);
	else if (v && v->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		out_rtt((double)v->via.u64, buf);
	out_cell(o, OUT_PLAIN, "%s", buf);
}

/* "10.32.1.0/24, 0.0.0.0/0 (exit), 10.0.0.0/8 (VNI 5)" */
static void prefix_list(struct out *o, const msgpack_object *peer)
{
	const msgpack_object *p;
	char text[TEXT], prefix[64], vni[32];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; (p = cli_item(peer, "prefixes", i)) != NULL && n < sizeof(text); i++) {
		uint64_t id = ctl_get_u64(p, "vni");

		vni[0] = '\0';
		if (id > 1)
			(void)snprintf(vni, sizeof(vni), " (VNI %" PRIu64 ")", id);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s%s", n ? ", " : "",
			ctl_get_str(p, "prefix", prefix, sizeof(prefix)),
			ctl_get_bool(p, "exit") ? " (exit)" : "", vni);
	}
	out_cell(o, OUT_PLAIN, "%s", text);
}

void render_peers(struct out *o, const msgpack_object *data)
{
	static const char *const titles[] = {"<NODE", "<KEY", "<STATE", ">SINCE", "<LINK",
		"<VERSION", "<ENDPOINTS", "<PREFIXES"};
	const msgpack_object *p;
	char text[TEXT];

	out_table(o, titles, sizeof(titles) / sizeof(titles[0]));
	for (size_t i = 0; (p = cli_item(data, "peers", i)) != NULL; i++) {
		const char *state = ctl_get_bool(p, "self")   ? "self"
				    : ctl_get_bool(p, "up")   ? "up"
				    : ctl_get_bool(p, "left") ? "left"
				    : ctl_get_bool(p, "away") ? "away"
							      : "down";
		cli_cell(o, p, "name");
		cli_cell(o, p, "short");
		out_cell(o, state_tone(state), "%s", state);
		duration(o, p, "since_ms");
		cli_cell(o, p, "link");
		cli_cell(o, p, "version");
		out_cell(o, OUT_PLAIN, "%s", cli_join(p, "endpoints", text, sizeof(text)));
		prefix_list(o, p);
	}
}

/* What else there is to say of a connection: drops, why it failed, when it is tried again. */
static void notes(struct out *o, const msgpack_object *c)
{
	char text[TEXT], part[TEXT / 2], unit[OUT_UNIT];
	const msgpack_object *retry = ctl_get(c, "retry_ms");
	size_t n = 0;

	text[0] = '\0';
	if (cli_counts(c, "drops", part, sizeof(part))[0])
		n += (size_t)snprintf(text, sizeof(text), "dropped %s", part);
	if (n < sizeof(text) && cli_join(c, "side_ports", part, sizeof(part))[0])
		n += (size_t)snprintf(
			text + n, sizeof(text) - n, "%ssource ports %s", n ? "; " : "", part);
	if (n < sizeof(text) && ctl_get_str(c, "error", part, sizeof(part))[0])
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? "; " : "", part);
	if (n < sizeof(text) && retry && retry->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		(void)snprintf(text + n, sizeof(text) - n, "%sattempt %" PRIu64 ", again in %s",
			n ? "; " : "", ctl_get_u64(c, "attempts"),
			out_duration(retry->via.u64, unit));
	out_cell(o, OUT_PLAIN, "%s", text);
}

void render_connections(struct out *o, const msgpack_object *data)
{
	static const char *const titles[] = {"<", "<ENDPOINT", "<NODE", "<KEY", "<STATE", "<USE",
		"<SUITE", ">MTU", ">RTT", ">KEY AGE", ">SENT", ">PACKETS", ">RECEIVED", ">PACKETS",
		"<NOTES"};
	const msgpack_object *c;
	char text[64];

	out_table(o, titles, sizeof(titles) / sizeof(titles[0]));
	for (size_t i = 0; (c = cli_item(data, "connections", i)) != NULL; i++) {
		cli_cell(o, c, "direction");
		cli_cell(o, c, "endpoint");
		cli_cell(o, c, "name");
		cli_cell(o, c, "short");
		ctl_get_str(c, "state", text, sizeof(text));
		out_cell(o, state_tone(text), "%s", text);
		cli_cell(o, c, "use");
		cli_cell(o, c, "suite");
		cli_number(o, c, "path_mtu");
		rtt(o, c, "rtt_ms");
		duration(o, c, "key_age_ms");
		size(o, c, "tx_bytes");
		cli_number(o, c, "tx_packets");
		size(o, c, "rx_bytes");
		cli_number(o, c, "rx_packets");
		notes(o, c);
	}
}

void render_routes(struct out *o, const msgpack_object *data)
{
	static const char *const titles[] = {
		">VNI", "<PREFIX", "<KIND", "<NODE", "<VIA", "<DEVICE", ">MTU", "<WHY"};
	const msgpack_object *r;
	char text[64];

	out_table(o, titles, sizeof(titles) / sizeof(titles[0]));
	for (size_t i = 0; (r = cli_item(data, "routes", i)) != NULL; i++) {
		uint64_t mtu = ctl_get_u64(r, "mtu");

		cli_number(o, r, "vni");
		cli_cell(o, r, "prefix");
		ctl_get_str(r, "kind", text, sizeof(text));
		out_cell(o, strcmp(text, "refused") == 0 ? OUT_WARN : OUT_PLAIN, "%s", text);
		cli_cell(o, r, "node");
		cli_cell(o, r, "via");
		cli_cell(o, r, "device");
		if (mtu)
			out_cell(o, OUT_PLAIN, "%" PRIu64, mtu);
		else
			out_cell(o, OUT_PLAIN, "%s", "");
		cli_cell(o, r, "why");
	}
}

void render_targets(struct out *o, const msgpack_object *data)
{
	static const char *const titles[] = {"<TARGET", "<STATE", "<ENDPOINT", "<ERROR"};
	const msgpack_object *t;
	char text[64];

	out_table(o, titles, sizeof(titles) / sizeof(titles[0]));
	for (size_t i = 0; (t = cli_item(data, "targets", i)) != NULL; i++) {
		cli_cell(o, t, "text");
		ctl_get_str(t, "state", text, sizeof(text));
		out_cell(o, state_tone(text), "%s", text);
		cli_cell(o, t, "endpoint");
		cli_cell(o, t, "error");
	}
}

void render_message(struct out *o, const msgpack_object *data)
{
	char text[TEXT];

	ctl_get_str(data, "message", text, sizeof(text));
	out_text(o, "%s", text[0] ? text : "done");
}
