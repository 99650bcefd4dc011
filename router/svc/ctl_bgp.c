/* ctl_bgp.c - `weft status bgp`, `weft bgp` and the metrics of BGP; shapes in docs/json.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/wire.h"
#include "bgp_svc.h"

#define ROWS_MAX  10000 /* of one answer; what is beyond is counted */
#define TEXT      160
#define LIST_TEXT 400

/* Is there BGP? Refuses otherwise. */
struct bgp_svc *ctl_bgp_svc(struct daemon *d, struct ctl_answer *a)
{
	if (!d->bgp)
		ctl_refuse(a, "give it the section bgp: in its --config file",
			"this node speaks no BGP");
	return d->bgp;
}

static uint64_t age_ms(ts_t since)
{
	int64_t ms = dur_ms(ts_sub(loop_now(), since));

	return ms > 0 ? (uint64_t)ms : 0;
}

static const char *quad(uint32_t id, char out[IP_STRLEN])
{
	struct ip ip = ip_v4(id);

	return ip_fmt(&ip, out);
}

static const char *neighbour_text(const struct bgp_svc *s, uint32_t peer, char out[IP_STRLEN])
{
	const struct bgp_neighbour *n = bgp_svc_peer(s, peer);

	out[0] = '\0';
	return n ? bgp_svc_name(n, out) : out;
}

/* --- status bgp --- */

static const char *role_text(unsigned role)
{
	static const char *const names[] = {
		"", "provider", "rs-server", "rs-client", "customer", "peer"};

	return role < sizeof(names) / sizeof(names[0]) ? names[role] : "?";
}

static void write_neighbour(const struct bgp_svc *s, struct ctl_w *w, const struct bgp_neighbour *n,
	const struct bgp_peer_info *i)
{
	char text[IP_STRLEN];

	ctl_w_map(w, NULL);
	ctl_w_str(w, "address", ip_bits(&i->remote.ip) ? ip_fmt(&i->remote.ip, text) : "");
	ctl_w_str(w, "interface", n->conf->interface);
	ctl_w_bool(w, "of_range", n->of_range.family != IP_NONE);
	ctl_w_u64(w, "asn", i->remote_as);
	ctl_w_str(w, "kind", i->ebgp ? "ebgp" : "ibgp");
	ctl_w_str(w, "state", i->stopped ? "Shutdown" : bgp_state_str(i->state));
	ctl_w_u64(w, "since_ms", age_ms(i->since));
	ctl_w_u64(w, "received", i->prefixes_received);
	ctl_w_u64(w, "accepted", i->prefixes_accepted);
	ctl_w_u64(w, "announced", i->prefixes_announced);
	ctl_w_str(w, "last_error", i->last_error);
	ctl_w_bool(w, "draining", i->graceful_shutdown);
	ctl_w_str(w, "router_id", i->remote_id ? quad(i->remote_id, text) : "");
	ctl_w_u64(w, "hold_secs", i->hold_secs);
	ctl_w_array(w, "families");
	for (unsigned f = 0; f < BGP_FAMILIES; f++)
		if (i->families & BGP_FAM(f))
			ctl_w_str(w, NULL, bgp_family_str(f));
	ctl_w_end(w);
	ctl_w_str(w, "graceful_restart", !i->restart ? "" : i->restarting ? "restarting" : "ready");
	ctl_w_bool(w, "stale", i->stale_families != 0);
	ctl_w_bool(w, "add_path_receive", i->paths_in != 0);
	ctl_w_bool(w, "add_path_send", i->paths_out != 0);
	ctl_w_bool(w, "extended_next_hop", i->v4_over_v6);
	ctl_w_bool(w, "extended_messages", i->ext_message);
	ctl_w_str(w, "role", role_text(n->conf->role));
	ctl_w_str(w, "peer_role", role_text(i->remote_role));
	ctl_w_u64(w, "leaks", i->leaks);
	ctl_w_bool(w, "md5", bgp_svc_conf_peer(s, n->conf)->password[0] != '\0');
	ctl_w_bool(w, "ttl_security", n->conf->ttl_security);
	bgp_bfd_write(s, n, w);
	ctl_w_u64(w, "rx_updates", i->rx_updates);
	ctl_w_u64(w, "tx_updates", i->tx_updates);
	ctl_w_u64(w, "rx_messages", i->rx_msgs);
	ctl_w_u64(w, "tx_messages", i->tx_msgs);
	ctl_w_u64(w, "treated_as_withdraw", i->treated_as_withdraw);
	ctl_w_u64(w, "attributes_discarded", i->attrs_discarded);
	ctl_w_u64(w, "loops", i->loops);
	ctl_w_u64(w, "martians", i->martians);
	ctl_w_u64(w, "malformed_resets", i->malformed_resets);
	ctl_w_u64(w, "max_prefix_ends", i->max_prefix_ends);
	ctl_w_u64(w, "own_next_hops", i->own_next_hops);
	ctl_w_str(w, "last_fault", i->last_fault ? i->last_fault : "");
	ctl_w_u64(w, "flaps", i->flaps);
	ctl_w_end(w);
}

static void write_neighbours(struct bgp_svc *s, struct ctl_w *w)
{
	ctl_w_array(w, "neighbours");
	for (size_t k = 0; k < s->nneighbours; k++) {
		const struct bgp_neighbour *n = &s->neighbours[k];
		/* Nobody was found on the interface yet. */
		struct bgp_peer_info i = {.remote_as = n->conf->asn,
			.ebgp = n->conf->asn != s->conf->asn,
			.since = s->started,
			.last_error = "no router on the link"};

		if (!n->peer || bgp_peer_get(bgpd_core(s->bgpd), n->peer, &i) == 0)
			write_neighbour(s, w, n, &i);
	}
	ctl_w_end(w);
}

static void write_announced(struct bgp_svc *s, struct ctl_w *w)
{
	struct announce_info i;
	char text[PFX_STRLEN];
	size_t it = 0;

	ctl_w_array(w, "announced");
	while (announce_next(s->announce, &it, &i)) {
		ctl_w_map(w, NULL);
		ctl_w_str(w, "prefix", pfx_fmt(&i.pfx, text));
		ctl_w_str(w, "kind", i.kind);
		ctl_w_end(w);
	}
	ctl_w_end(w);
}

static void write_tables(struct bgp_svc *s, struct ctl_w *w)
{
	struct kfib_stats k;
	struct bgp_stats b;
	struct bgpd_stats c;

	kfib_stats(s->kfib, &k);
	bgp_stats(bgpd_core(s->bgpd), &b);
	bgpd_stats(s->bgpd, &c);
	ctl_w_map(w, "table");
	ctl_w_u64(w, "prefixes", b.nets);
	ctl_w_u64(w, "paths", b.paths);
	ctl_w_u64(w, "attribute_sets", b.attr_sets);
	ctl_w_u64(w, "memory_bytes", b.bytes);
	ctl_w_end(w);
	ctl_w_map(w, "kernel");
	ctl_w_u64(w, "table", kfib_table(VNI_DEFAULT));
	ctl_w_u64(w, "routes", k.routes);
	ctl_w_u64(w, "leftover", k.leftover);
	ctl_w_u64(w, "waiting", k.waiting);
	ctl_w_u64(w, "next_hops", k.nexthops);
	ctl_w_u64(w, "repaired", k.repaired);
	ctl_w_u64(w, "errors", k.errors);
	ctl_w_str(w, "error", s->kernel_why);
	ctl_w_end(w);
	ctl_w_map(w, "connections");
	ctl_w_u64(w, "open", c.connections);
	ctl_w_u64(w, "accepted", c.accepted);
	ctl_w_u64(w, "refused", c.refused);
	ctl_w_u64(w, "socket_errors", c.socket_errors);
	ctl_w_u64(w, "ttl_unfiltered", c.ttl_unfiltered);
	ctl_w_end(w);
}

void ctl_bgp_status(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	struct bgp_svc *s = ctl_bgp_svc(d, a);
	char text[EP_STRLEN];

	(void)rq;
	if (!s)
		return;
	ctl_w_map(a->w, NULL);
	ctl_w_u64(a->w, "asn", s->conf->asn);
	ctl_w_str(a->w, "router_id", quad(s->router_id, text));
	ctl_w_array(a->w, "listen");
	for (size_t i = 0; i < s->conf->nlisten; i++)
		ctl_w_str(a->w, NULL, ep_fmt(&s->conf->listen[i], text));
	ctl_w_end(a->w);
	write_neighbours(s, a->w);
	write_announced(s, a->w);
	write_tables(s, a->w);
	ctl_w_end(a->w);
}

/* --- status bgp routes --- */

/* A path as it is shown. Texts are cut; the prefix is kept for sorting. */
struct row {
	struct pfx pfx;
	uint32_t peer;
	uint32_t med, local_pref, has;
	char next_hop[IP_STRLEN], path[TEXT], communities[LIST_TEXT];
	const char *origin, *step, *lost;
	bool best, accepted;
};

struct rows {
	struct row *v;
	size_t n, cap;
	uint64_t total; /* those that found no room included */
	bool no_memory;
};

static const char *origin_text(const struct bgp_attrs *at)
{
	static const char *const names[] = {"igp", "egp", "incomplete"};

	return (at->has & BGP_HAS_ORIGIN) && at->origin < 3 ? names[at->origin] : "";
}

static bool add_row(void *ctx, const struct bgp_entry *e)
{
	struct rows *rows = ctx;
	const struct bgp_attrs *at = e->attrs;
	struct row *r;

	if (e->nlri->family > BGP_IPV6)
		return true;
	rows->total++;
	if (rows->n == ROWS_MAX)
		return true;
	if (rows->n == rows->cap) {
		size_t cap = rows->cap ? 2 * rows->cap : 64;

		r = realloc(rows->v, cap * sizeof(*r));
		if (!r) {
			rows->no_memory = true;
			return false;
		}
		rows->v = r;
		rows->cap = cap;
	}
	r = &rows->v[rows->n++];
	*r = (struct row){.pfx = e->nlri->pfx,
		.peer = e->peer,
		.med = at->med,
		.local_pref = at->local_pref,
		.has = at->has,
		.origin = origin_text(at),
		.step = e->step ? e->step : "",
		.lost = e->lost ? e->lost : "",
		.best = e->best,
		.accepted = e->accepted};
	if (at->next_hop.family != IP_NONE)
		ip_fmt(&at->next_hop, r->next_hop);
	bgp_attrs_path_fmt(at, r->path, sizeof(r->path));
	ctl_bgp_communities(at, r->communities, sizeof(r->communities));
	return true;
}

static int row_cmp(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int c = pfx_cmp(&x->pfx, &y->pfx);

	return c ? c : (int)y->best - (int)x->best;
}

static void write_row(const struct bgp_svc *s, struct ctl_w *w, const struct row *r)
{
	char text[PFX_STRLEN];

	ctl_w_map(w, NULL);
	ctl_w_str(w, "prefix", pfx_fmt(&r->pfx, text));
	ctl_w_str(w, "neighbour", neighbour_text(s, r->peer, text));
	ctl_w_bool(w, "own", r->peer == BGP_LOCAL);
	ctl_w_str(w, "next_hop", r->next_hop);
	ctl_w_str(w, "as_path", r->path);
	ctl_w_str(w, "origin", r->origin);
	if (r->has & BGP_HAS_LOCAL_PREF)
		ctl_w_u64(w, "local_pref", r->local_pref);
	if (r->has & BGP_HAS_MED)
		ctl_w_u64(w, "med", r->med);
	ctl_w_str(w, "communities", r->communities);
	ctl_w_bool(w, "best", r->best);
	ctl_w_bool(w, "accepted", r->accepted);
	ctl_w_str(w, "step", r->step);
	ctl_w_str(w, "lost", r->lost);
	ctl_w_end(w);
}

/* All paths to a prefix, or to the longest prefix that holds an address. */
static int lookup(struct bgp_svc *s, const struct pfx *p, bool longest, struct rows *rows)
{
	int err = ERR_NOT_FOUND;

	for (int len = p->len; len >= 0 && err == ERR_NOT_FOUND; len = longest ? len - 1 : -1) {
		struct bgp_nlri n = {.family = p->ip.family == IP_V6 ? BGP_IPV6 : BGP_IPV4};

		(void)pfx_make(&p->ip, (unsigned)len, &n.pfx);
		err = bgp_lookup(bgpd_core(s->bgpd), VNI_DEFAULT, &n, add_row, rows);
	}
	return err;
}

static int collect(struct bgp_svc *s, const struct ctl_request *rq, const struct bgp_neighbour *n,
	const struct pfx *p, struct rows *rows)
{
	const char *table = ctl_request_arg(rq, "table"), *prefix = ctl_request_arg(rq, "prefix");
	enum bgp_table which = !n                                          ? BGP_LOC_RIB
			       : table && strcmp(table, "advertised") == 0 ? BGP_ADJ_OUT
									   : BGP_ADJ_IN;
	uint32_t peer = n ? n->peer : BGP_LOCAL;

	if (!n && p)
		return lookup(s, p, !strchr(prefix, '/'), rows);
	if (p) {
		struct bgp_nlri nlri = {
			.family = p->ip.family == IP_V6 ? BGP_IPV6 : BGP_IPV4, .pfx = *p};

		return bgp_find(bgpd_core(s->bgpd), which, VNI_DEFAULT, peer, &nlri, add_row, rows);
	}
	return bgp_walk(bgpd_core(s->bgpd), which, VNI_DEFAULT, peer, add_row, rows);
}

void ctl_bgp_routes(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	struct bgp_svc *s = ctl_bgp_svc(d, a);
	const char *prefix = ctl_request_arg(rq, "prefix"),
		   *neighbour = ctl_request_arg(rq, "neighbour"),
		   *table = ctl_request_arg(rq, "table");
	const struct bgp_neighbour *n = s && neighbour ? bgp_svc_neighbour(s, neighbour) : NULL;
	struct rows rows = {.n = 0};
	struct pfx p;

	if (!s)
		return;
	if (neighbour && !n) {
		ctl_refuse(a, "weft status bgp names them", "no neighbour %.60s", neighbour);
		return;
	}
	if (table && !neighbour && strcmp(table, "best") != 0) {
		ctl_refuse(a, "add --neighbour ADDRESS", "%s by whom?", table);
		return;
	}
	if (prefix && pfx_parse(prefix, &p) != 0) {
		ctl_refuse(a,
			"weft status bgp routes 192.0.2.0/24 or 192.0.2.1: in a prefix, the bits "
			"behind its length are 0",
			"%.60s is no prefix or address", prefix);
		return;
	}
	(void)collect(s, rq, n, prefix ? &p : NULL, &rows); /* not found: an empty answer */
	if (rows.no_memory) {
		ctl_refuse(a, "ask for one prefix or neighbour", "no memory for the answer");
		free(rows.v);
		return;
	}
	if (rows.n > 0)
		qsort(rows.v, rows.n, sizeof(*rows.v), row_cmp);
	ctl_w_map(a->w, NULL);
	ctl_w_u64(a->w, "total", rows.total);
	ctl_w_bool(a->w, "truncated", rows.total > rows.n);
	ctl_w_array(a->w, "routes");
	for (size_t i = 0; i < rows.n; i++)
		write_row(s, a->w, &rows.v[i]);
	ctl_w_end(a->w);
	ctl_w_end(a->w);
	free(rows.v);
}

/* --- bgp refresh, shutdown, start, clear --- */

static int act_refresh(struct bgp *b, uint32_t peer, const char *text, const char **said)
{
	int done = 0, err = ERR_STATE;

	(void)text;
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		int e = bgp_peer_refresh(b, peer, (enum bgp_family)f, loop_now());

		done += e == 0;
		if (e != ERR_STATE)
			err = e;
	}
	*said = err == ERR_UNSUPPORTED ? "the neighbour can't send its routes again"
		: err == ERR_STATE     ? "the session is not established"
				       : "asked for all routes again";
	return done > 0 ? 0 : err;
}

static int act_shutdown(struct bgp *b, uint32_t peer, const char *text, const char **said)
{
	*said = "the session is shut down; weft bgp start ends that";
	return bgp_peer_stop(b, peer, text, loop_now());
}

static int act_start(struct bgp *b, uint32_t peer, const char *text, const char **said)
{
	(void)text;
	*said = "the session may come up";
	return bgp_peer_start(b, peer, loop_now());
}

/* RFC 8326: the neighbour hears that all we announce is about to go. */
static int act_drain(struct bgp *b, uint32_t peer, const char *text, const char **said)
{
	(void)text;
	*said = "all is announced with GRACEFUL_SHUTDOWN; weft bgp undrain ends that";
	return bgp_peer_graceful_shutdown(b, peer, true, loop_now());
}

static int act_undrain(struct bgp *b, uint32_t peer, const char *text, const char **said)
{
	(void)text;
	*said = "all is announced as usual";
	return bgp_peer_graceful_shutdown(b, peer, false, loop_now());
}

static int act_clear(struct bgp *b, uint32_t peer, const char *text, const char **said)
{
	*said = "the session begins anew";
	return bgp_peer_reset(b, peer, text, loop_now());
}

void ctl_bgp_act(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	static const struct {
		const char *cmd;
		int (*fn)(struct bgp *b, uint32_t peer, const char *text, const char **said);
	} acts[] = {{"bgp refresh", act_refresh}, {"bgp shutdown", act_shutdown},
		{"bgp start", act_start}, {"bgp clear", act_clear}, {"bgp drain", act_drain},
		{"bgp undrain", act_undrain}};
	struct bgp_svc *s = ctl_bgp_svc(d, a);
	const char *neighbour = ctl_request_arg(rq, "neighbour"), *said = "";
	const struct bgp_neighbour *n = s && neighbour ? bgp_svc_neighbour(s, neighbour) : NULL;
	int err = ERR_NOT_FOUND;

	if (!s)
		return;
	if (!n) {
		ctl_refuse(a, "weft status bgp names them by address", "%s",
			neighbour ? "no such neighbour" : "which neighbour?");
		return;
	}
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		if (strcmp(rq->cmd, acts[i].cmd) == 0)
			err = acts[i].fn(
				bgpd_core(s->bgpd), n->peer, ctl_request_arg(rq, "message"), &said);
	bgpd_kick(s->bgpd);
	if (err) {
		ctl_refuse(a, "", "%s",
			err == ERR_STATE || err == ERR_UNSUPPORTED ? said : err_str(err));
		return;
	}
	ctl_w_map(a->w, NULL);
	ctl_w_strf(a->w, "message", "%s: %s", neighbour, said);
	ctl_w_end(a->w);
}

/* --- metrics --- */

static void peer_metric(struct daemon *d, struct http_reply *r, const char *name, const char *type,
	const char *help, uint64_t (*get)(const struct bgp_peer_info *i))
{
	struct bgp_svc *s = d->bgp;
	struct bgp_peer_info i;
	char text[IP_STRLEN];

	http_printf(r, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
	for (size_t k = 0; k < s->nneighbours; k++)
		if (bgp_peer_get(bgpd_core(s->bgpd), s->neighbours[k].peer, &i) == 0)
			http_printf(r, "%s{neighbour=\"%s\",asn=\"%u\"} %llu\n", name,
				bgp_svc_name(&s->neighbours[k], text), i.remote_as,
				(unsigned long long)get(&i));
}

static uint64_t get_up(const struct bgp_peer_info *i)
{
	return i->state == BGP_ESTABLISHED;
}
static uint64_t get_received(const struct bgp_peer_info *i)
{
	return i->prefixes_received;
}
static uint64_t get_accepted(const struct bgp_peer_info *i)
{
	return i->prefixes_accepted;
}
static uint64_t get_announced(const struct bgp_peer_info *i)
{
	return i->prefixes_announced;
}
static uint64_t get_flaps(const struct bgp_peer_info *i)
{
	return i->flaps;
}
static uint64_t get_treated_as_withdraw(const struct bgp_peer_info *i)
{
	return i->treated_as_withdraw;
}
static uint64_t get_attributes_discarded(const struct bgp_peer_info *i)
{
	return i->attrs_discarded;
}
static uint64_t get_malformed_resets(const struct bgp_peer_info *i)
{
	return i->malformed_resets;
}
static uint64_t get_max_prefix_ends(const struct bgp_peer_info *i)
{
	return i->max_prefix_ends;
}
static uint64_t get_loops(const struct bgp_peer_info *i)
{
	return i->loops;
}
static uint64_t get_martians(const struct bgp_peer_info *i)
{
	return i->martians;
}
static uint64_t get_own_next_hops(const struct bgp_peer_info *i)
{
	return i->own_next_hops;
}
static uint64_t get_leaks(const struct bgp_peer_info *i)
{
	return i->leaks;
}

void metrics_bgp(struct daemon *d, struct http_reply *r)
{
	static const struct {
		const char *name, *type, *help;
		uint64_t (*get)(const struct bgp_peer_info *i);
	} peers[] = {
		{"weft_bgp_up", "gauge", "1 while the session is established.", get_up},
		{"weft_bgp_received", "gauge", "Prefixes that the neighbour sent.", get_received},
		{"weft_bgp_accepted", "gauge", "Of these, accepted.", get_accepted},
		{"weft_bgp_announced", "gauge", "Prefixes announced to it.", get_announced},
		{"weft_bgp_flaps_total", "counter", "Times that the session ended.", get_flaps},
		{"weft_bgp_treated_as_withdraw_total", "counter",
			"UPDATEs that were taken as withdrawals (RFC 7606).",
			get_treated_as_withdraw},
		{"weft_bgp_attributes_discarded_total", "counter",
			"Attributes that were discarded (RFC 7606).", get_attributes_discarded},
		{"weft_bgp_malformed_resets_total", "counter",
			"Sessions that a malformed UPDATE ended.", get_malformed_resets},
		{"weft_bgp_max_prefix_ends_total", "counter",
			"Sessions that more prefixes than allowed ended.", get_max_prefix_ends},
		{"weft_bgp_loops_total", "counter",
			"UPDATEs refused with our AS number, router id or cluster in them.",
			get_loops},
		{"weft_bgp_martians_total", "counter", "Prefixes that can not be routed.",
			get_martians},
		{"weft_bgp_own_next_hops_total", "counter",
			"UPDATEs with our own address as next hop.", get_own_next_hops},
		{"weft_bgp_leaks_total", "counter", "Routes refused by roles (RFC 9234).",
			get_leaks},
	};
	struct kfib_stats k;

	if (!d->bgp)
		return;
	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
		peer_metric(d, r, peers[i].name, peers[i].type, peers[i].help, peers[i].get);
	kfib_stats(d->bgp->kfib, &k);
	http_printf(r,
		"# HELP weft_bgp_kernel_routes Learned routes in the kernel.\n"
		"# TYPE weft_bgp_kernel_routes gauge\nweft_bgp_kernel_routes %zu\n"
		"# HELP weft_bgp_kernel_errors_total Learned routes that the kernel refused.\n"
		"# TYPE weft_bgp_kernel_errors_total counter\nweft_bgp_kernel_errors_total %llu\n",
		k.routes, (unsigned long long)k.errors);
	bgp_bfd_metrics(d->bgp, r);
	bgp_policy_metrics(d->bgp, r);
}
