/* metrics.c - /healthz, /readyz and /metrics (Prometheus text format 0.0.4). */
#include <stdio.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_svc.h"
#include "ctl_pods.h"
#include "ctl_status.h"
#include "link_svc.h"
#include "own_svc.h"

static void reason(void *ctx, const char *why)
{
	http_printf(ctx, "%s\n", why);
}

static void healthz(struct daemon *d, struct http_reply *r)
{
	(void)d;
	http_printf(r, "ok\n");
}

static void readyz(struct daemon *d, struct http_reply *r)
{
	if (daemon_ready(d, reason, r))
		http_printf(r, "ready\n");
	else
		http_status(r, 503);
}

static void head(struct http_reply *r, const char *name, const char *type, const char *help)
{
	http_printf(r, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void value(
	struct http_reply *r, const char *name, const char *type, const char *help, uint64_t v)
{
	head(r, name, type, help);
	http_printf(r, "%s %llu\n", name, (unsigned long long)v);
}

static void m_dataplane(struct daemon *d, struct http_reply *r)
{
	struct dp_counters c;

	dp_counters(d->dp, &c);
	head(r, "weft_packets_total", "counter", "Inner packets carried.");
	http_printf(
		r, "weft_packets_total{direction=\"tx\"} %llu\n", (unsigned long long)c.tx_packets);
	http_printf(
		r, "weft_packets_total{direction=\"rx\"} %llu\n", (unsigned long long)c.rx_packets);
	head(r, "weft_bytes_total", "counter", "Inner bytes carried.");
	http_printf(r, "weft_bytes_total{direction=\"tx\"} %llu\n", (unsigned long long)c.tx_bytes);
	http_printf(r, "weft_bytes_total{direction=\"rx\"} %llu\n", (unsigned long long)c.rx_bytes);
	head(r, "weft_drops_total", "counter", "Packets dropped by the data plane, by reason.");
	for (int i = 0; i < DP_DROP_COUNT; i++)
		http_printf(r, "weft_drops_total{reason=\"%s\"} %llu\n", dp_drop_names[i],
			(unsigned long long)c.drops[i]);
}

static void m_sessions(struct daemon *d, struct http_reply *r)
{
	uint64_t s[SESS_ST_COUNT];
	struct gossip_counter g[GOSSIP_COUNTERS_MAX];
	size_t n = status_gossip_counters(d, g);

	sess_stats(d->sess, s);
	head(r, "weft_session_events_total", "counter", "Events of the session core.");
	for (int i = 0; i < SESS_ST_COUNT; i++)
		http_printf(r, "weft_session_events_total{event=\"%s\"} %llu\n", sess_stat_names[i],
			(unsigned long long)s[i]);
	head(r, "weft_gossip", "gauge", "Counters and sizes of the gossip core.");
	for (size_t i = 0; i < n; i++)
		http_printf(r, "weft_gossip{what=\"%s\"} %llu\n", g[i].name,
			(unsigned long long)g[i].value);
	n = status_member_counters(d, g);
	head(r, "weft_membership", "gauge",
		"Nodes by state as this node sees them, and counters of membership.");
	for (size_t i = 0; i < n; i++)
		http_printf(r, "weft_membership{what=\"%s\"} %llu\n", g[i].name,
			(unsigned long long)g[i].value);
}

/* What a peer's families share. Names in labels are RFC 1123 names (record decoding refuses others), so
 * they need no escaping. */
struct peer_line {
	struct http_reply *r;
	char labels[NODE_NAME_MAX + NODE_KEY_SHORT + 32]; /* peer="...",key="..." */
	const struct sess_peer_info *p;
	const struct dp_counters *c;
};

static void peer_up(const struct peer_line *l)
{
	http_printf(l->r, "weft_peer_up{%s} %d\n", l->labels, l->p->up);
}

static void peer_rtt(const struct peer_line *l)
{
	if (l->p->rtt.ns >= 0)
		http_printf(l->r, "weft_peer_rtt_seconds{%s} %.6f\n", l->labels,
			(double)l->p->rtt.ns / 1e9);
}

static void peer_key_age(const struct peer_line *l)
{
	http_printf(l->r, "weft_peer_key_age_seconds{%s} %.3f\n", l->labels,
		(double)l->p->key_age.ns / 1e9);
}

static void peer_bytes(const struct peer_line *l)
{
	http_printf(l->r, "weft_peer_bytes_total{%s,direction=\"tx\"} %llu\n", l->labels,
		(unsigned long long)l->c->tx_bytes);
	http_printf(l->r, "weft_peer_bytes_total{%s,direction=\"rx\"} %llu\n", l->labels,
		(unsigned long long)l->c->rx_bytes);
}

/* The format wants a family's samples together, so the peers are walked once for each family. */
static void m_peers(struct daemon *d, struct http_reply *r)
{
	static const struct {
		const char *name, *type, *help;
		void (*fn)(const struct peer_line *l);
	} families[] = {
		{"weft_peer_up", "gauge", "1 while a session with the peer stands.", peer_up},
		{"weft_peer_rtt_seconds", "gauge", "Round-trip time as last measured.", peer_rtt},
		{"weft_peer_key_age_seconds", "gauge", "Age of the key in use.", peer_key_age},
		{"weft_peer_bytes_total", "counter", "Inner bytes carried to and from the peer.",
			peer_bytes},
	};

	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
		struct sess_peer_info p;
		uint32_t it = 0;

		head(r, families[f].name, families[f].type, families[f].help);
		while (sess_peer_next(d->sess, &it, &p, loop_now())) {
			struct gossip_node_info n;
			struct dp_counters c;
			struct peer_line l = {.r = r, .p = &p, .c = &c};
			char key[NODE_KEY_SHORT + 1];
			bool known = gossip_node_get(d->gossip, &p.key, &n) == 0 && n.name[0];

			status_peer_counters(d, peers_session(d, p.peer), &c);
			snprintf(l.labels, sizeof(l.labels), "peer=\"%s\",key=\"%s\"",
				known ? n.name : "unknown", node_key_fmt_short(&p.key, key));
			families[f].fn(&l);
		}
	}
}

static void metrics(struct daemon *d, struct http_reply *r)
{
	struct kern_stats k;
	size_t used, refused;

	http_type(r, "text/plain; version=0.0.4");
	kern_stats(d->kern, &k);
	rtab_count(d->rtab, &used, &refused);
	head(r, "weft_info", "gauge", "Version and name of this node.");
	http_printf(r, "weft_info{version=\"%s\",node=\"%s\"} 1\n", WEFT_VERSION, d->conf->name);
	value(r, "weft_ready", "gauge", "1 when /readyz says 200.", daemon_ready(d, NULL, NULL));
	value(r, "weft_prefixes_remote", "gauge", "Prefixes of peers in use.", used);
	value(r, "weft_prefixes_refused", "gauge", "Prefixes of peers that are refused.", refused);
	value(r, "weft_kernel_routes", "gauge", "Routes that weft keeps in the kernel.", k.routes);
	value(r, "weft_kernel_repaired_total", "counter",
		"Kernel objects that somebody removed and weft put back.", k.repaired);
	value(r, "weft_kernel_errors_total", "counter", "Requests that the kernel refused.",
		k.errors);
	value(r, "weft_masquerade", "gauge",
		"1 when packets may leave the mesh with an address of this host.", k.masquerade);
	value(r, "weft_firewall_accepts", "gauge",
		"Chains of other programs that let pods through by a rule of weft's.", k.accepts);
	value(r, "weft_notrack", "gauge", "1 when connection tracking is off for the mesh's port.",
		k.notrack);
	m_dataplane(d, r);
	m_sessions(d, r);
	m_peers(d, r);
	metrics_paths(d, r);
	metrics_own(d, r);
	metrics_link(d, r);
	metrics_pods(d, r);
	metrics_bgp(d, r);
}

static bool on_request(void *ctx, const char *path, struct http_reply *r)
{
	static const struct {
		const char *path;
		void (*fn)(struct daemon *d, struct http_reply *r);
	} pages[] = {{"/healthz", healthz}, {"/readyz", readyz}, {"/metrics", metrics}};

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (strcmp(path, pages[i].path) == 0) {
			pages[i].fn(ctx, r);
			return true;
		}
	return false;
}

int metrics_start(struct daemon *d)
{
	char text[EP_STRLEN];
	int e;

	if (!d->conf->metrics_on)
		return 0;
	e = http_new(d->loop, &d->conf->metrics, on_request, d, &d->http);
	if (e)
		log_error("weftd",
			"can't serve --metrics on %s: %s; choose another, or --metrics off",
			ep_fmt(&d->conf->metrics, text), err_str(e));
	return e;
}

void metrics_stop(struct daemon *d)
{
	http_free(d->http);
	d->http = NULL;
}
