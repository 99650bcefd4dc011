/* `weft status` for a person: stanzas as weave's. Every field may be absent; what is not there is left
 * out or shown as zero. */
#include "cli.h"

#include <inttypes.h>
#include <string.h>

#define TEXT        1024
#define VALUE_WIDTH 76 /* columns of a value that is broken into lines */

static void stanza_node(struct out *o, const msgpack_object *d)
{
	const msgpack_object *node = ctl_get(d, "node");
	char text[TEXT];

	out_kv(o, OUT_PLAIN, "Node", "%s", ctl_get_str(node, "name", text, sizeof(text)));
	out_kv(o, OUT_PLAIN, "Key", "%s", ctl_get_str(node, "key", text, sizeof(text)));
	out_kv(o, OUT_PLAIN, "Epoch", "%" PRIu64, ctl_get_u64(node, "epoch"));
	if (cli_join(node, "mesh_addresses", text, sizeof(text))[0])
		out_kv(o, OUT_PLAIN, "Mesh address", "%s", text);
	if (ctl_get_str(node, "control_address", text, sizeof(text))[0])
		out_kv(o, OUT_PLAIN, "Control address", "%s", text);
}

static void stanza_membership(struct out *o, const msgpack_object *m)
{
	uint64_t storms = ctl_get_u64(m, "storms");

	if (!m)
		return;
	out_kv(o, OUT_PLAIN, "Membership",
		"%" PRIu64 " alive, %" PRIu64 " suspected, %" PRIu64 " dead, %" PRIu64 " left",
		ctl_get_u64(m, "alive"), ctl_get_u64(m, "suspected"), ctl_get_u64(m, "dead"),
		ctl_get_u64(m, "left"));
	out_kv(o, OUT_PLAIN, "Neighbours", "%" PRIu64 ", %" PRIu64 " of them linked",
		ctl_get_u64(m, "neighbours"), ctl_get_u64(m, "neighbours_linked"));
	if (ctl_get_bool(m, "storm"))
		out_kv(o, OUT_WARN, "Storm", "many nodes are suspected at once");
	else if (storms)
		out_kv(o, OUT_PLAIN, "Storm", "over; %" PRIu64 " since the start", storms);
}

static void stanza_cluster(struct out *o, const msgpack_object *d)
{
	const msgpack_object *cluster = ctl_get(d, "cluster"), *enc = ctl_get(d, "encryption"),
			     *peers = ctl_get(d, "peers");
	char text[TEXT], more[128];

	out_kv(o, OUT_PLAIN, "Cluster", "%s", ctl_get_str(cluster, "id", text, sizeof(text)));
	out_kv(o, OUT_PLAIN, "Nodes", "%" PRIu64 " known, %" PRIu64 " up",
		ctl_get_u64(cluster, "nodes"), ctl_get_u64(cluster, "up"));
	stanza_membership(o, ctl_get(d, "membership"));
	out_gap(o);
	out_kv(o, OUT_GOOD, "Encryption", "on (%s mode)",
		ctl_get_str(enc, "mode", text, sizeof(text)));
	out_kv(o, OUT_PLAIN, "Suites", "%s (%s)", cli_join(enc, "suites", text, sizeof(text)),
		ctl_get_str(enc, "provider", more, sizeof(more)));
	out_kv(o, OUT_PLAIN, "Sessions", "%" PRIu64, ctl_get_u64(enc, "sessions"));
	out_gap(o);
	out_kv(o, OUT_PLAIN, "Peers", "%" PRIu64 " known, %" PRIu64 " up, %" PRIu64 " dialling",
		ctl_get_u64(peers, "known"), ctl_get_u64(peers, "up"),
		ctl_get_u64(peers, "dialling"));
}

/* "10.32.1.0/24", and its VNI where that is not the default one. */
static const char *prefix_text(const msgpack_object *p, char *buf, size_t cap)
{
	char prefix[64];
	uint64_t vni = ctl_get_u64(p, "vni");

	ctl_get_str(p, "prefix", prefix, sizeof(prefix));
	if (vni > 1)
		(void)snprintf(buf, cap, "%s in VNI %" PRIu64, prefix, vni);
	else
		(void)snprintf(buf, cap, "%s", prefix);
	return buf;
}

static void stanza_prefixes(struct out *o, const msgpack_object *d)
{
	const msgpack_object *p = ctl_get(d, "prefixes"), *item;
	char text[128], more[128], why[TEXT];
	size_t own = 0;

	while (cli_item(p, "own", own))
		own++;
	out_kv(o, OUT_PLAIN, "Prefixes", "%zu own, %" PRIu64 " remote", own,
		ctl_get_u64(p, "remote"));
	for (size_t i = 0; (item = cli_item(p, "own", i)) != NULL; i++) {
		bool is_exit = strcmp(ctl_get_str(item, "kind", more, sizeof(more)), "exit") == 0;

		ctl_get_str(item, "device", more, sizeof(more));
		out_kv(o, OUT_PLAIN, is_exit ? "Exit" : "Own", "%s%s%s",
			prefix_text(item, text, sizeof(text)), more[0] ? " on " : "", more);
	}
	for (size_t i = 0; (item = cli_item(p, "ranges", i)) != NULL; i++)
		out_kv(o, OUT_PLAIN, "Range", "%s", prefix_text(item, text, sizeof(text)));
	for (size_t i = 0; (item = cli_item(p, "refused", i)) != NULL; i++)
		out_kv(o, OUT_WARN, "Refused", "%s of %s: %s",
			prefix_text(item, text, sizeof(text)),
			ctl_get_str(item, "node", more, sizeof(more)),
			ctl_get_str(item, "why", why, sizeof(why)));
}

/* A list that may be long: broken at ", ", the rest under the first part. */
static void wrapped(struct out *o, const char *key, const char *list)
{
	if (!*list)
		out_kv(o, OUT_PLAIN, key, "none");
	while (*list) {
		size_t n = strlen(list);

		if (n > VALUE_WIDTH) {
			for (n = VALUE_WIDTH; n > 0 && list[n] != ' '; n--)
				;
			if (n == 0)
				n = strcspn(list, " "); /* one word that is longer */
		}
		out_kv(o, OUT_PLAIN, key, "%.*s", (int)n, list);
		list += n;
		list += strspn(list, " ");
		key = "";
	}
}

static void stanza_offloads(struct out *o, const msgpack_object *d)
{
	const msgpack_object *off = ctl_get(d, "offloads"), *item;
	char text[TEXT], why[TEXT];

	cli_join(off, "on", text, sizeof(text));
	wrapped(o, "Offloads", text);
	for (size_t i = 0; (item = cli_item(off, "off", i)) != NULL; i++) {
		bool told = ctl_get_str(item, "why", why, sizeof(why))[0] != '\0';

		out_kv(o, OUT_WARN, "Off", "%s%s%s%s",
			ctl_get_str(item, "name", text, sizeof(text)), told ? " (" : "", why,
			told ? ")" : "");
	}
	out_kv(o, OUT_PLAIN, "Workers", "%" PRIu64 ", source ports %" PRIu64,
		ctl_get_u64(off, "workers"), ctl_get_u64(off, "side_ports"));
	out_kv(o, OUT_PLAIN, "MTU", "%" PRIu64, ctl_get_u64(off, "mtu"));
}

/* The devices of pods that have less than the mesh carries by now. */
static void stanza_pod_mtu(struct out *o, const msgpack_object *p)
{
	uint64_t n = ctl_get_u64(p, "smaller"), listed = 0;
	const msgpack_object *item;
	char text[TEXT];

	if (n == 0)
		return;
	out_kv(o, OUT_WARN, "Pod MTU",
		"%" PRIu64 " interface%s less than the mesh's %" PRIu64 ", which new pods get", n,
		n == 1 ? " has" : "s have", ctl_get_u64(p, "mesh"));
	for (; (item = cli_item(p, "devices", (size_t)listed)) != NULL; listed++)
		out_kv(o, OUT_PLAIN, "", "%s %" PRIu64,
			ctl_get_str(item, "device", text, sizeof(text)), ctl_get_u64(item, "mtu"));
	if (listed < n)
		out_kv(o, OUT_PLAIN, "", "and %" PRIu64 " more", n - listed);
}

/* What leaves the mesh here, and the host's own firewalls. */
static void stanza_outside(struct out *o, const msgpack_object *k)
{
	uint64_t accepts = ctl_get_u64(k, "accepts");
	char text[TEXT];

	if (ctl_get_str(k, "masquerade_why", text, sizeof(text))[0])
		out_kv(o, OUT_WARN, "Outside", "not reached: %s", text);
	else if (ctl_get_bool(k, "masquerade"))
		out_kv(o, OUT_PLAIN, "Outside",
			"reached as this host, in clear; so are nodes' own addresses");
	if (ctl_get_str(k, "accepts_why", text, sizeof(text))[0])
		out_kv(o, OUT_WARN, "Firewall", "drops pods' packets: %s", text);
	else if (accepts > 0)
		out_kv(o, OUT_PLAIN, "Firewall", "passed by a rule in %" PRIu64 " place%s", accepts,
			accepts == 1 ? "" : "s");
}

static void stanza_kernel(struct out *o, const msgpack_object *d)
{
	const msgpack_object *k = ctl_get(d, "kernel"), *t = ctl_get(d, "traffic");
	uint64_t errors = ctl_get_u64(k, "errors");
	char text[TEXT], tx[OUT_UNIT], rx[OUT_UNIT];

	out_kv(o, errors ? OUT_WARN : OUT_PLAIN, "Kernel",
		"%" PRIu64 " routes, %" PRIu64 " rules, %" PRIu64 " repaired, %" PRIu64 " errors",
		ctl_get_u64(k, "routes"), ctl_get_u64(k, "rules"), ctl_get_u64(k, "repaired"),
		errors);
	if (ctl_get_bool(k, "notrack"))
		out_kv(o, OUT_PLAIN, "NOTRACK", "in force");
	else
		out_kv(o, OUT_WARN, "NOTRACK", "off (%s)",
			ctl_get_str(k, "notrack_why", text, sizeof(text)));
	if (ctl_get_bool(k, "host_nat"))
		out_kv(o, OUT_PLAIN, "Masquerade", "kept off the ranges");
	stanza_outside(o, k);
	out_gap(o);
	out_kv(o, OUT_PLAIN, "Sent", "%" PRIu64 " packets, %s", ctl_get_u64(t, "tx_packets"),
		out_bytes(ctl_get_u64(t, "tx_bytes"), tx));
	out_kv(o, OUT_PLAIN, "Received", "%" PRIu64 " packets, %s", ctl_get_u64(t, "rx_packets"),
		out_bytes(ctl_get_u64(t, "rx_bytes"), rx));
	cli_counts(t, "drops", text, sizeof(text));
	out_kv(o, OUT_PLAIN, "Dropped", "%s", text[0] ? text : "none");
}

/* One line for each text of the array @name. */
static void texts(struct out *o, const msgpack_object *d, const char *name, const char *key)
{
	const msgpack_object *item;
	bool first = true;

	for (size_t i = 0; (item = cli_item(d, name, i)) != NULL; i++) {
		if (item->type != MSGPACK_OBJECT_STR)
			continue;
		if (first)
			out_gap(o);
		first = false;
		out_kv(o, OUT_WARN, key, "%.*s",
			(int)(item->via.str.size < TEXT ? item->via.str.size : TEXT),
			item->via.str.ptr);
	}
}

void render_status(struct out *o, const msgpack_object *d)
{
	char text[TEXT], up[OUT_UNIT];
	const msgpack_object *why;
	bool ready = ctl_get_bool(d, "ready");

	out_kv(o, OUT_PLAIN, "Version", "%s, up %s", ctl_get_str(d, "version", text, sizeof(text)),
		out_duration(ctl_get_u64(d, "uptime_ms"), up));
	out_kv(o, ready ? OUT_GOOD : OUT_BAD, "Status", "%s", ready ? "ready" : "not ready");
	for (size_t i = 0; (why = cli_item(d, "not_ready", i)) != NULL; i++)
		if (why->type == MSGPACK_OBJECT_STR)
			out_kv(o, OUT_BAD, "Not ready", "%.*s",
				(int)(why->via.str.size < TEXT ? why->via.str.size : TEXT),
				why->via.str.ptr);
	out_gap(o);
	stanza_node(o, d);
	out_gap(o);
	stanza_cluster(o, d);
	out_gap(o);
	stanza_prefixes(o, d);
	out_gap(o);
	stanza_offloads(o, d);
	stanza_pod_mtu(o, ctl_get(d, "pod_mtu"));
	out_gap(o);
	stanza_kernel(o, d);
	texts(o, d, "warnings", "Warning");
	texts(o, d, "tune", "Tune");
}
