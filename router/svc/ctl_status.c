/* ctl_status.c - fills the answers of `weft status ...` and `weft report` from the cores. */
#include <stdio.h>
#include <string.h>
#include "weft/err.h"
#include "ctl_pods.h"
#include "ctl_status.h"
#include "member.h"

#define IDLE_AFTER DUR_SEC(10) /* without data: a session that only data needs counts as idle */

static void key_short(struct ctl_w *w, const struct node_key *k)
{
	char text[NODE_KEY_STRLEN], abbrev[NODE_KEY_SHORT + 1];

	ctl_w_str(w, "key", node_key_fmt(k, text));
	ctl_w_str(w, "short", node_key_fmt_short(k, abbrev));
}

const char *status_node_name(
	struct daemon *d, const struct node_key *k, char out[NODE_NAME_MAX + 1])
{
	struct gossip_node_info n;

	if (gossip_node_get(d->gossip, k, &n) == 0 && n.name[0])
		snprintf(out, NODE_NAME_MAX + 1, "%s", n.name);
	else
		node_key_fmt_short(k, out);
	return out;
}

static uint64_t age_ms(ts_t since)
{
	int64_t ms = dur_ms(ts_sub(loop_now(), since));

	return ms > 0 ? (uint64_t)ms : 0;
}

static void drops(struct ctl_w *w, const struct dp_counters *c)
{
	ctl_w_map(w, "drops");
	for (int i = 0; i < DP_DROP_COUNT; i++)
		if (c->drops[i])
			ctl_w_u64(w, dp_drop_names[i], c->drops[i]);
	ctl_w_end(w);
}

static void volume(struct ctl_w *w, const struct dp_counters *c)
{
	ctl_w_u64(w, "tx_packets", c->tx_packets);
	ctl_w_u64(w, "tx_bytes", c->tx_bytes);
	ctl_w_u64(w, "rx_packets", c->rx_packets);
	ctl_w_u64(w, "rx_bytes", c->rx_bytes);
	ctl_w_map(w, "relay");
	ctl_w_u64(w, "forwarded", c->relay_forwarded);
	ctl_w_u64(w, "bytes", c->relay_bytes);
	ctl_w_end(w);
	drops(w, c);
}

/* --- overview --- */

static void reason(void *ctx, const char *why)
{
	ctl_w_str(ctx, NULL, why);
}

/* As this node publishes them. */
static void overview_endpoints(struct daemon *d, struct ctl_w *w)
{
	struct gossip_node_info self = {.neps = 0};
	char text[EP_STRLEN];

	(void)gossip_node_get(d->gossip, &d->id.pub, &self);
	ctl_w_array(w, "endpoints");
	for (size_t i = 0; i < self.neps; i++)
		ctl_w_str(w, NULL, ep_fmt(&self.eps[i], text));
	ctl_w_end(w);
}

static void overview_node(struct daemon *d, struct ctl_w *w)
{
	char text[IP_STRLEN];

	ctl_w_map(w, "node");
	ctl_w_str(w, "name", d->conf->name);
	key_short(w, &d->id.pub);
	ctl_w_u64(w, "epoch", d->epoch);
	ctl_w_array(w, "mesh_addresses");
	for (size_t i = 1; i < d->nsegments; i++)
		for (int f = 0; f < 2; f++)
			if (d->segments[i].mesh_addrs[f].family != IP_NONE)
				ctl_w_str(w, NULL, ip_fmt(&d->segments[i].mesh_addrs[f], text));
	ctl_w_end(w);
	ctl_w_str(w, "control_address", d->has_ipv6 ? ip_fmt(&d->control_addr, text) : "");
	overview_endpoints(d, w);
	ctl_w_end(w);
}

static void overview_mesh(struct daemon *d, struct ctl_w *w)
{
	struct gossip_node_info n;
	struct sess_peer_info p;
	struct sess_dial_info dial;
	struct dp_offloads off;
	char text[CLUSTER_ID_STRLEN];
	uint64_t nodes = 0, up = 0, sessions = 0, dialling = 0;
	unsigned suites = d->conf->suites ? d->conf->suites : aead_fast_suites();
	uint32_t it = 0;
	size_t i = 0;

	while (gossip_node_next(d->gossip, &i, &n)) {
		if (n.left)
			continue;
		nodes++;
		up += n.self || n.up;
	}
	while (sess_peer_next(d->sess, &it, &p, loop_now()))
		sessions += p.up;
	it = 0;
	while (sess_dial_next(d->sess, &it, &dial))
		dialling++;
	dp_offloads(d->dp, &off);

	ctl_w_map(w, "cluster");
	ctl_w_str(w, "id", cluster_id_fmt(&d->cluster, text));
	ctl_w_u64(w, "nodes", nodes);
	ctl_w_u64(w, "up", up);
	ctl_w_end(w);
	ctl_w_map(w, "encryption");
	ctl_w_str(w, "mode", "secret");
	ctl_w_array(w, "suites");
	for (int s = WIRE_SUITE_AES_256_GCM; s >= WIRE_SUITE_CHACHA20_POLY1305; s--)
		if (suites & WIRE_SUITE_BIT(s))
			ctl_w_str(w, NULL, aead_suite_name((enum wire_suite)s));
	ctl_w_end(w);
	ctl_w_str(w, "provider", off.provider);
	ctl_w_u64(w, "sessions", sessions);
	ctl_w_end(w);
	ctl_w_map(w, "peers");
	ctl_w_u64(w, "known", nodes ? nodes - 1 : 0);
	ctl_w_u64(w, "up", up ? up - 1 : 0);
	ctl_w_u64(w, "dialling", dialling);
	ctl_w_end(w);
}

static void overview_membership(struct daemon *d, struct ctl_w *w)
{
	struct members_stats m;

	gossip_member_stats(d->gossip, &m);
	ctl_w_map(w, "membership");
	ctl_w_u64(w, "alive", m.alive);
	ctl_w_u64(w, "suspected", m.suspected);
	ctl_w_u64(w, "dead", m.dead);
	ctl_w_u64(w, "left", m.left);
	ctl_w_u64(w, "neighbours", m.neighbours);
	ctl_w_u64(w, "neighbours_linked", m.neighbours_linked);
	ctl_w_u64(w, "local_health", m.local_health);
	ctl_w_u64(w, "liars", m.liars);
	ctl_w_bool(w, "storm", m.storm);
	ctl_w_u64(w, "storms", m.storms);
	ctl_w_u64(w, "deaths", m.deaths);
	ctl_w_u64(w, "false_alarms", m.false_alarms);
	ctl_w_u64(w, "bridges", m.bridges);
	ctl_w_end(w);
}

static void own_prefix(
	struct ctl_w *w, uint32_t vni, const struct pfx *p, const char *device, const char *kind)
{
	char text[PFX_STRLEN];

	ctl_w_map(w, NULL);
	ctl_w_u64(w, "vni", vni);
	ctl_w_str(w, "prefix", pfx_fmt(p, text));
	ctl_w_str(w, "device", device);
	ctl_w_str(w, "kind", kind);
	ctl_w_end(w);
}

static void overview_prefixes(struct daemon *d, struct ctl_w *w)
{
	const struct rtab_entry *e;
	char text[PFX_STRLEN], name[NODE_NAME_MAX + 1];
	size_t used, refused, it = 0;

	rtab_count(d->rtab, &used, &refused);
	ctl_w_map(w, "prefixes");
	ctl_w_array(w, "own");
	for (size_t i = 1; i < d->nsegments; i++)
		for (size_t k = 0; k < d->segments[i].nprefixes; k++)
			own_prefix(w, d->segments[i].vni, &d->segments[i].prefixes[k].pfx,
				d->segments[i].prefixes[k].device, "local");
	for (size_t i = 0; i < d->conf->nexits; i++)
		own_prefix(w, VNI_DEFAULT, &d->conf->exits[i], "", "exit");
	ctl_w_end(w);
	ctl_w_array(w, "ranges");
	for (size_t i = 1; i < d->nsegments; i++)
		for (size_t k = 0; k < d->segments[i].nranges; k++) {
			ctl_w_map(w, NULL);
			ctl_w_u64(w, "vni", d->segments[i].vni);
			ctl_w_str(w, "prefix", pfx_fmt(&d->segments[i].ranges[k], text));
			ctl_w_end(w);
		}
	ctl_w_end(w);
	ctl_w_u64(w, "remote", used);
	ctl_w_array(w, "refused");
	while (refused && rtab_next(d->rtab, &it, &e)) {
		if (!e->refused[0])
			continue;
		ctl_w_map(w, NULL);
		ctl_w_str(w, "prefix", pfx_fmt(&e->pfx, text));
		ctl_w_str(w, "node", status_node_name(d, &e->node, name));
		ctl_w_str(w, "why", e->refused);
		ctl_w_end(w);
	}
	ctl_w_end(w);
	ctl_w_end(w);
}

/* The reason for @name in the data plane's "name: why; name: why" text. */
static const char *offload_why(const char *all, const char *name, char *out, size_t cap)
{
	size_t len = strlen(name);

	out[0] = '\0';
	while (*all) {
		size_t item = strcspn(all, ";");

		if (item > len + 2 && strncmp(all, name, len) == 0 && all[len] == ':') {
			snprintf(out, cap, "%.*s", (int)(item - len - 2), all + len + 2);
			break;
		}
		all += item;
		all += strspn(all, "; ");
	}
	return out;
}

static void overview_offloads(struct daemon *d, struct ctl_w *w)
{
	struct dp_offloads o;

	dp_offloads(d->dp, &o);
	const struct {
		const char *name;
		bool on;
	} list[] = {
		{"tun_tso", o.tun_tso},
		{"tun_uso", o.tun_uso},
		{"udp_gso", o.udp_gso},
		{"udp_gro", o.udp_gro},
		{"coalesce", o.coalesce},
		{"tun_steering", o.tun_steering},
		{"udp_steering", o.udp_steering},
		{"mmsg", o.mmsg},
		{"csum_partial", o.csum_partial},
	};
	const size_t n = sizeof(list) / sizeof(list[0]);
	char why[128];

	ctl_w_map(w, "offloads");
	ctl_w_array(w, "on");
	for (size_t i = 0; i < n; i++)
		if (list[i].on)
			ctl_w_str(w, NULL, list[i].name);
	ctl_w_end(w);
	ctl_w_array(w, "off");
	for (size_t i = 0; i < n; i++) {
		if (list[i].on)
			continue;
		ctl_w_map(w, NULL);
		ctl_w_str(w, "name", list[i].name);
		ctl_w_str(w, "why", offload_why(o.why, list[i].name, why, sizeof(why)));
		ctl_w_end(w);
	}
	ctl_w_end(w);
	ctl_w_u64(w, "workers", o.workers);
	ctl_w_u64(w, "side_ports", o.side_ports);
	ctl_w_u64(w, "mtu", d->nsegments > 1 ? d->segments[1].mtu : 0);
	ctl_w_end(w);
}

static void overview_kernel(struct daemon *d, struct ctl_w *w)
{
	struct kern_stats k;

	kern_stats(d->kern, &k);
	ctl_w_map(w, "kernel");
	ctl_w_u64(w, "routes", k.routes);
	ctl_w_u64(w, "rules", k.rules);
	ctl_w_u64(w, "repaired", k.repaired);
	ctl_w_u64(w, "errors", k.errors);
	ctl_w_bool(w, "notrack", k.notrack);
	ctl_w_str(w, "notrack_why", k.notrack_why);
	ctl_w_bool(w, "host_nat", k.nat);
	ctl_w_bool(w, "masquerade", k.masquerade);
	ctl_w_str(w, "masquerade_why", k.out_why);
	ctl_w_u64(w, "accepts", k.accepts);
	ctl_w_str(w, "accepts_why", k.accepts_why);
	ctl_w_end(w);
}

void status_overview(struct daemon *d, struct ctl_w *w, const char *key)
{
	struct dp_counters c;

	ctl_w_map(w, key);
	ctl_w_str(w, "version", WEFT_VERSION);
	ctl_w_bool(w, "ready", daemon_ready(d, NULL, NULL));
	ctl_w_array(w, "not_ready");
	(void)daemon_ready(d, reason, w);
	ctl_w_end(w);
	ctl_w_u64(w, "uptime_ms", age_ms(d->started));
	overview_node(d, w);
	overview_mesh(d, w);
	overview_membership(d, w);
	overview_prefixes(d, w);
	overview_offloads(d, w);
	pods_mtu(d, w);
	overview_kernel(d, w);
	dp_counters(d->dp, &c);
	ctl_w_map(w, "traffic");
	volume(w, &c);
	ctl_w_end(w);
	ctl_w_array(w, "warnings");
	for (size_t i = 0; i < d->nwarnings; i++)
		if (!ts_due(ts_add(d->warnings[i].last, WARNING_KEEP), loop_now()))
			ctl_w_str(w, NULL, d->warnings[i].text);
	ctl_w_end(w);
	ctl_w_array(w, "tune");
	for (size_t i = 0; i < d->conf->ntune; i++)
		ctl_w_str(w, NULL, d->conf->tune[i]);
	ctl_w_end(w);
	ctl_w_end(w);
}

/* --- lists --- */

/* What a session with the node is for; "" if there is none. */
static const char *link_use(struct daemon *d, const struct gossip_node_info *n)
{
	const struct peer *p = peers_find(d, &n->key);

	if (!p || !p->up)
		return "";
	if (n->neighbour)
		return "neighbour";
	/* The data plane is looked at each second: what began just now is no idleness. */
	return ts_due(ts_add(p->last_data, IDLE_AFTER), loop_now()) &&
			       ts_due(ts_add(p->up_since, IDLE_AFTER), loop_now())
		       ? "idle"
		       : "demand";
}

void status_peers(struct daemon *d, struct ctl_w *w, const char *key)
{
	struct gossip_node_info n;
	char text[EP_STRLEN];
	size_t it = 0;

	ctl_w_array(w, key);
	while (gossip_node_next(d->gossip, &it, &n)) {
		ctl_w_map(w, NULL);
		ctl_w_str(w, "name", n.name);
		key_short(w, &n.key);
		ctl_w_bool(w, "self", n.self);
		ctl_w_bool(w, "up", n.self || n.up);
		ctl_w_bool(w, "left", n.left);
		ctl_w_bool(w, "away", n.away);
		ctl_w_str(w, "link", link_use(d, &n));
		ctl_w_str(w, "version", n.version);
		ctl_w_u64(w, "epoch", n.epoch);
		ctl_w_array(w, "endpoints");
		for (size_t i = 0; i < n.neps; i++)
			ctl_w_str(w, NULL, ep_fmt(&n.eps[i], text));
		ctl_w_end(w);
		ctl_w_array(w, "prefixes");
		for (size_t i = 0; i < n.nprefixes; i++) {
			ctl_w_map(w, NULL);
			ctl_w_u64(w, "vni", n.prefixes[i].vni);
			ctl_w_str(w, "prefix", pfx_fmt(&n.prefixes[i].pfx, text));
			ctl_w_bool(w, "exit", n.prefixes[i].exit);
			ctl_w_end(w);
		}
		ctl_w_end(w);
		ctl_w_u64(w, "since_ms", age_ms(n.turned));
		ctl_w_end(w);
	}
	ctl_w_end(w);
}

void status_peer_counters(struct daemon *d, const struct peer *p, struct dp_counters *out)
{
	if (!p || dp_peer_counters(d->dp, p->handle, out) != 0)
		memset(out, 0, sizeof(*out));
}

/* Through relays there is none: which ones. */
static const char *endpoint_text(struct daemon *d, const struct ep *ep, char out[PATHS_TEXT])
{
	return paths_ep_text(d, ep, out, PATHS_TEXT) ? out : ep_fmt(ep, out);
}

static void one_connection(struct daemon *d, struct ctl_w *w, const struct sess_peer_info *p)
{
	const struct peer *peer = peers_session(d, p->peer);
	struct gossip_node_info n;
	struct dp_counters c;
	char text[PATHS_TEXT], name[NODE_NAME_MAX + 1];
	uint64_t side = peer ? peer->side_ports : 0;

	status_peer_counters(d, peer, &c);
	ctl_w_map(w, NULL);
	ctl_w_str(w, "direction", p->initiator ? "->" : "<-");
	ctl_w_str(w, "endpoint", endpoint_text(d, &p->ep, text));
	ctl_w_str(w, "local", p->local.family != IP_NONE ? ip_fmt(&p->local, text) : "");
	ctl_w_str(w, "name", status_node_name(d, &p->key, name));
	key_short(w, &p->key);
	ctl_w_str(w, "state", p->up ? "established" : "dialling");
	ctl_w_str(w, "use", gossip_node_get(d->gossip, &p->key, &n) == 0 ? link_use(d, &n) : "");
	ctl_w_str(w, "suite", aead_suite_name(p->suite));
	ctl_w_u64(w, "path_mtu", peer ? peer->outer_mtu : 0);
	paths_connection(d, w, &p->key);
	if (p->rtt.ns >= 0)
		ctl_w_f64(w, "rtt_ms", (double)p->rtt.ns / 1e6);
	else
		ctl_w_nil(w, "rtt_ms");
	ctl_w_u64(w, "key_age_ms", p->key_age.ns > 0 ? (uint64_t)dur_ms(p->key_age) : 0);
	volume(w, &c);
	ctl_w_array(w, "side_ports");
	for (unsigned i = 0; i < d->workers && i < 64; i++)
		if (side >> i & 1)
			ctl_w_u64(w, NULL, d->conf->side_port_lo + i);
	ctl_w_end(w);
	ctl_w_u64(w, "attempts", 0);
	ctl_w_nil(w, "retry_ms");
	ctl_w_str(w, "error", "");
	ctl_w_end(w);
}

static void one_dial(struct daemon *d, struct ctl_w *w, const struct sess_dial_info *p)
{
	char text[PATHS_TEXT], name[NODE_NAME_MAX + 1] = "";
	int64_t wait = ts_is_never(p->next) ? 0 : dur_ms(ts_sub(p->next, loop_now()));

	ctl_w_map(w, NULL);
	ctl_w_str(w, "direction", "->");
	ctl_w_str(w, "endpoint", endpoint_text(d, &p->to, text));
	ctl_w_str(w, "local", "");
	ctl_w_str(w, "name", p->has_key ? status_node_name(d, &p->key, name) : "");
	if (p->has_key) {
		key_short(w, &p->key);
	} else {
		ctl_w_str(w, "key", "");
		ctl_w_str(w, "short", "");
	}
	ctl_w_str(w, "state", "dialling");
	ctl_w_u64(w, "attempts", p->attempts);
	ctl_w_u64(w, "retry_ms", wait > 0 ? (uint64_t)wait : 0);
	ctl_w_str(w, "error", p->attempts > 1 ? "no answer yet" : "");
	ctl_w_end(w);
}

static void waiting_target(struct ctl_w *w, const struct target_info *t)
{
	char text[EP_STRLEN];
	int64_t wait = ts_is_never(t->next) ? 0 : dur_ms(ts_sub(t->next, loop_now()));

	ctl_w_map(w, NULL);
	ctl_w_str(w, "direction", "->");
	ctl_w_str(w, "endpoint", t->ep.ip.family != IP_NONE ? ep_fmt(&t->ep, text) : t->text);
	ctl_w_str(w, "local", "");
	ctl_w_str(w, "name", "");
	ctl_w_str(w, "key", "");
	ctl_w_str(w, "short", "");
	ctl_w_str(w, "state", t->state);
	ctl_w_u64(w, "retry_ms", wait > 0 ? (uint64_t)wait : 0);
	ctl_w_str(w, "error", t->error);
	ctl_w_end(w);
}

void status_connections(struct daemon *d, struct ctl_w *w, const char *key)
{
	struct sess_peer_info p;
	struct sess_dial_info dial;
	struct target_info t;
	uint32_t it = 0;
	size_t i = 0;

	ctl_w_array(w, key);
	while (sess_peer_next(d->sess, &it, &p, loop_now()))
		one_connection(d, w, &p);
	it = 0;
	while (sess_dial_next(d->sess, &it, &dial))
		one_dial(d, w, &dial);
	while (dial_target_next(d, &i, &t))
		if (strcmp(t.state, "waiting") == 0 || strcmp(t.state, "resolving") == 0)
			waiting_target(w, &t);
	ctl_w_end(w);
}

static void one_route(struct ctl_w *w, uint32_t vni, const struct pfx *p, const char *kind,
	const char *node, const char *via, const char *device, unsigned mtu, const char *why)
{
	char text[PFX_STRLEN];

	ctl_w_map(w, NULL);
	ctl_w_u64(w, "vni", vni);
	ctl_w_str(w, "prefix", pfx_fmt(p, text));
	ctl_w_str(w, "kind", kind);
	ctl_w_str(w, "node", node);
	ctl_w_str(w, "via", via);
	ctl_w_str(w, "device", device);
	ctl_w_u64(w, "mtu", mtu);
	ctl_w_str(w, "why", why);
	ctl_w_end(w);
}

/* Where its datagrams go; "" before there was a session. */
static const char *route_via(struct daemon *d, const struct rtab_entry *e, char out[PATHS_TEXT])
{
	const struct peer *p = peers_at(d, e->peer);

	if (p->relays)
		return paths_text(d, &p->key, out, PATHS_TEXT);
	return p->ep.ip.family == IP_NONE ? "" : ep_fmt(&p->ep, out);
}

void status_routes(struct daemon *d, struct ctl_w *w, const char *key)
{
	const struct rtab_entry *e;
	char name[NODE_NAME_MAX + 1], via[PATHS_TEXT];
	size_t it = 0;

	ctl_w_array(w, key);
	for (size_t i = 1; i < d->nsegments; i++) {
		const struct segment *s = &d->segments[i];

		for (size_t k = 0; k < s->nprefixes; k++)
			one_route(w, s->vni, &s->prefixes[k].pfx, "local", d->conf->name, "",
				s->prefixes[k].device, 0, "");
		for (size_t k = 0; k < s->nranges; k++)
			one_route(w, s->vni, &s->ranges[k], "unreachable", "", "", "", 0,
				"the range: what no node owns");
	}
	for (size_t i = 0; i < d->conf->nexits; i++)
		one_route(w, VNI_DEFAULT, &d->conf->exits[i], "exit", d->conf->name, "", "", 0, "");
	while (rtab_next(d->rtab, &it, &e)) {
		const struct segment *s = segment_find(d, e->vni);

		if (e->peer)
			one_route(w, e->vni, &e->pfx, "peer", status_node_name(d, &e->node, name),
				route_via(d, e, via), s ? s->tun : "", e->mtu, "");
		else
			one_route(w, e->vni, &e->pfx, "refused",
				status_node_name(d, &e->node, name), "", "", 0, e->refused);
	}
	ctl_w_end(w);
}

void status_targets(struct daemon *d, struct ctl_w *w, const char *key)
{
	struct target_info t;
	char text[EP_STRLEN];
	size_t it = 0;

	ctl_w_array(w, key);
	while (dial_target_next(d, &it, &t)) {
		ctl_w_map(w, NULL);
		ctl_w_str(w, "text", t.text);
		ctl_w_str(w, "state", t.state);
		ctl_w_str(w, "endpoint", t.ep.ip.family != IP_NONE ? ep_fmt(&t.ep, text) : "");
		ctl_w_str(w, "error", t.error);
		ctl_w_end(w);
	}
	ctl_w_end(w);
}

/* --- counters and configuration --- */

size_t status_gossip_counters(struct daemon *d, struct gossip_counter out[GOSSIP_COUNTERS_MAX])
{
	struct gossip_stats g;

	gossip_stats(d->gossip, &g);
	const struct gossip_counter all[] = {
		{"records", g.records},
		{"nodes", g.nodes},
		{"rx", g.rx},
		{"tx", g.tx},
		{"rx_new", g.rx_new},
		{"rx_stale", g.rx_stale},
		{"rx_bad", g.rx_bad},
		{"rx_forged", g.rx_forged},
		{"rx_foreign", g.rx_foreign},
		{"rx_full", g.rx_full},
		{"epoch_jumps", g.epoch_jumps},
		{"name_conflicts", g.name_conflicts},
		{"prefix_conflicts", g.prefix_conflicts},
		{"equivocations", g.equivocations},
		{"restless", g.restless},
		{"rx_future", g.rx_future},
		{"rx_limited", g.rx_limited},
		{"descents", g.descents},
		{"expired", g.expired},
		{"rx_buried", g.rx_buried},
		{"dropped", g.dropped},
	};

	_Static_assert(sizeof(all) / sizeof(all[0]) <= GOSSIP_COUNTERS_MAX, "room for all");
	memcpy(out, all, sizeof(all));
	return sizeof(all) / sizeof(all[0]);
}

size_t status_member_counters(struct daemon *d, struct gossip_counter out[GOSSIP_COUNTERS_MAX])
{
	struct members_stats m;

	gossip_member_stats(d->gossip, &m);
	const struct gossip_counter all[] = {
		{"nodes", m.nodes},
		{"alive", m.alive},
		{"suspected", m.suspected},
		{"dead", m.dead},
		{"left", m.left},
		{"neighbours", m.neighbours},
		{"neighbours_linked", m.neighbours_linked},
		{"local_health", m.local_health},
		{"liars", m.liars},
		{"storm", m.storm},
		{"incarnation", m.incarnation},
		{"storms", m.storms},
		{"suspicions", m.suspicions},
		{"own_suspicions", m.own_suspicions},
		{"refutations", m.refutations},
		{"deaths", m.deaths},
		{"false_alarms", m.false_alarms},
		{"self_refutes", m.self_refutes},
		{"held_by_heard", m.held_by_heard},
		{"stalls", m.stalls},
		{"bridges", m.bridges},
		{"probes", m.probes},
		{"acks", m.acks},
		{"indirect", m.indirect},
		{"facts_tx", m.facts_tx},
		{"facts_rx", m.facts_rx},
		{"facts_new", m.facts_new},
		{"rx_bad", m.rx_bad},
		{"rx_forged", m.rx_forged},
		{"rx_future", m.rx_future},
		{"rx_foreign", m.rx_foreign},
		{"rx_limited", m.rx_limited},
		{"rx_liar", m.rx_liar},
		{"facts_dropped", m.facts_dropped},
	};

	_Static_assert(sizeof(all) / sizeof(all[0]) <= GOSSIP_COUNTERS_MAX, "room for all");
	memcpy(out, all, sizeof(all));
	return sizeof(all) / sizeof(all[0]);
}

void status_counters(struct daemon *d, struct ctl_w *w, const char *key)
{
	uint64_t s[SESS_ST_COUNT];
	struct gossip_counter g[GOSSIP_COUNTERS_MAX];
	struct dp_counters c;
	size_t n = status_gossip_counters(d, g);

	sess_stats(d->sess, s);
	dp_counters(d->dp, &c);
	ctl_w_map(w, key);
	ctl_w_map(w, "session");
	for (int i = 0; i < SESS_ST_COUNT; i++)
		ctl_w_u64(w, sess_stat_names[i], s[i]);
	ctl_w_end(w);
	ctl_w_map(w, "gossip");
	for (size_t i = 0; i < n; i++)
		ctl_w_u64(w, g[i].name, g[i].value);
	ctl_w_end(w);
	paths_counters(d, w, "paths");
	n = status_member_counters(d, g);
	ctl_w_map(w, "membership");
	for (size_t i = 0; i < n; i++)
		ctl_w_u64(w, g[i].name, g[i].value);
	ctl_w_end(w);
	ctl_w_map(w, "dataplane");
	ctl_w_u64(w, "tx_datagrams", c.tx_datagrams);
	ctl_w_u64(w, "rx_datagrams", c.rx_datagrams);
	ctl_w_u64(w, "tx_calls", c.tx_calls);
	ctl_w_u64(w, "rx_calls", c.rx_calls);
	ctl_w_u64(w, "tun_reads", c.tun_reads);
	ctl_w_u64(w, "tun_writes", c.tun_writes);
	ctl_w_u64(w, "toobig_told", c.toobig_told);
	ctl_w_u64(w, "tx_halves", c.tx_halves);
	ctl_w_u64(w, "rx_halves", c.rx_halves);
	for (int i = 0; i < DP_DROP_COUNT; i++)
		ctl_w_u64(w, dp_drop_names[i], c.drops[i]);
	ctl_w_end(w);
	ctl_w_end(w);
}

void status_config(struct daemon *d, struct ctl_w *w, const char *key)
{
	const struct conf *c = d->conf;
	char text[EP_STRLEN];

	ctl_w_map(w, key);
	ctl_w_str(w, "config", c->config_path);
	ctl_w_str(w, "state_dir", c->state_dir);
	ctl_w_str(w, "run_dir", c->run_dir);
	ctl_w_str(w, "secret_file", c->secret_file);
	ctl_w_u64(w, "secrets", d->nsecrets);
	ctl_w_str(w, "listen", ep_fmt(&c->listen, text));
	ctl_w_u64(w, "port", dp_port(d->dp));
	ctl_w_str(w, "tun", c->tun);
	ctl_w_str(w, "metrics", c->metrics_on ? ep_fmt(&c->metrics, text) : "off");
	ctl_w_u64(w, "workers", d->workers);
	ctl_w_strf(w, "source_ports", "%u-%u", c->side_port_lo, c->side_port_hi);
	ctl_w_bool(w, "relay", c->relay);
	ctl_w_strf(w, "mark", "0x%x/0x%x", c->mark, c->mark_mask);
	ctl_w_i64(w, "dscp", c->dscp);
	ctl_w_bool(w, "checksum_full", c->checksum_full);
	ctl_w_array(w, "accept");
	for (size_t i = 0; i < c->naccept; i++)
		ctl_w_str(w, NULL, pfx_fmt(&c->accept[i], text));
	ctl_w_end(w);
	ctl_w_end(w);
}
