/* bgp_bfd.c - BFD in the daemon: a session for each BGP neighbour with the key `bfd`, and what its
 * failure means to the neighbour's session (docs/bfd.md).
 *
 * A failure ends an established session at once. Only a failure: a peer that takes BFD down on purpose
 * loses nothing (RFC 5882 3.2), and BGP comes up without waiting for BFD, so that one can be
 * configured before the other. And not a failure of the process before: a neighbour that restarted may
 * have a BGP session again before its former BFD session is missed. */
#include "bgp_svc.h"

#include <stdio.h>
#include <string.h>
#include "weft/err.h"

#define INTERVAL_MS 300
#define MULTIPLIER  3
#define TTL_MAX     255

static struct bgp_neighbour *by_session(struct bgp_svc *s, uint32_t id)
{
	for (size_t i = 0; i < s->nneighbours; i++)
		if (s->neighbours[i].bfd == id)
			return &s->neighbours[i];
	return NULL;
}

/* Was the neighbour heard by BGP, in an OPEN, since BFD heard it last? Then what failed is over already. */
static bool is_over(const struct bgp_svc *s, const struct bgp_neighbour *n, ts_t heard)
{
	struct bgp_peer_info i;

	return bgp_peer_get(bgpd_core(s->bgpd), n->peer, &i) == 0 && i.state == BGP_ESTABLISHED &&
	       ts_before(heard, i.since);
}

static void on_state(void *ctx, const struct bfd_act *a)
{
	struct bgp_svc *s = ctx;
	const struct bgp_neighbour *n = by_session(s, a->id);

	if (!a->failed || !n)
		return;
	if (is_over(s, n, a->heard)) {
		log_info("bfd", "the failure is older than the BGP session, which stays");
		return;
	}
	/* RFC 5882 4.3.2 asks for both C bits before a failure is held for one of forwarding. Ours is
	 * never set; but that we live is known here, so when it was us who heard nothing, the peer's
	 * bit alone decides. */
	(void)bgp_peer_bfd_down(bgpd_core(s->bgpd), n->peer,
		a->remote_cpi && a->diag == BFD_DIAG_EXPIRED, loop_now());
	bgpd_kick(s->bgpd);
}

/* The same at each start, so that a neighbour knows our discriminators again: it hears at once that its
 * session of before is over, mostly before BGP is back. Else that session would end by silence some
 * time later, and take BGP and the routes of a graceful restart with it. Signatures are
 * deterministic (RFC 8032), and this one is shown to nobody. */
static void bfd_seed(const struct daemon *d, uint8_t seed[16])
{
	static const uint8_t what[] = "discriminators";
	uint8_t sig[64];

	key_sign(&d->id, "weft bfd", what, sizeof(what), sig);
	memcpy(seed, sig, 16);
	explicit_bzero(sig, sizeof(sig));
}

static int open_driver(struct bgp_svc *s)
{
	static const struct bfdd_ops ops = {on_state};
	struct bfdd_cfg cfg = {.loop = s->d->loop, .mark = s->d->conf->mark, .ops = &ops, .ctx = s};

	bfd_seed(s->d, cfg.seed);
	s->bfdd = bfdd_new(&cfg);
	explicit_bzero(cfg.seed, sizeof(cfg.seed));
	return s->bfdd ? 0 : ERR_NOMEM;
}

int bgp_bfd_add(struct bgp_svc *s, struct bgp_neighbour *n)
{
	const struct conf_bgp_peer *c = n->conf;
	const struct conf_bgp_bfd *b = &c->bfd;
	bool far = c->asn == s->conf->asn || c->multihop > 1;
	struct bfd_session_cfg cfg = {.remote = c->remote.ip,
		.local = c->source,
		.scope = c->remote.scope,
		.multihop = b->hops_given ? b->multihop : far,
		.min_tx_us = 1000 * (b->min_tx_ms ? b->min_tx_ms : INTERVAL_MS),
		.min_rx_us = 1000 * (b->min_rx_ms ? b->min_rx_ms : INTERVAL_MS),
		.mult = b->mult ? b->mult : MULTIPLIER};
	char why[200], text[IP_STRLEN];
	int err = 0;

	if (!b->on)
		return 0;
	if (cfg.multihop && c->ttl_security)
		cfg.min_ttl = (uint8_t)(TTL_MAX + 1 - (c->multihop ? c->multihop : 1));
	if (!s->bfdd)
		err = open_driver(s);
	if (err)
		(void)snprintf(why, sizeof(why), "%s", err_str(err));
	else
		err = bfdd_add(s->bfdd, &cfg, &n->bfd, why, sizeof(why));
	if (err)
		log_error("bgp", "no BFD with the peer %s: %s", ip_fmt(&c->remote.ip, text), why);
	return err;
}

void bgp_bfd_stop(struct bgp_svc *s)
{
	bfdd_free(s->bfdd);
	s->bfdd = NULL;
}

void bgp_bfd_write(const struct bgp_svc *s, const struct bgp_neighbour *n, struct ctl_w *w)
{
	struct bfd_info i;
	int64_t age;

	if (!n->bfd || bfdd_get(s->bfdd, n->bfd, &i) != 0)
		return;
	age = dur_ms(ts_sub(loop_now(), i.since));
	ctl_w_map(w, "bfd");
	ctl_w_str(w, "state", bfd_state_str(i.state));
	ctl_w_u64(w, "since_ms", age > 0 ? (uint64_t)age : 0);
	ctl_w_str(w, "diagnostic", bfd_diag_str(i.diag));
	ctl_w_str(w, "peer_state", i.remote_id ? bfd_state_str(i.remote_state) : "");
	ctl_w_str(w, "peer_diagnostic", i.remote_id ? bfd_diag_str(i.remote_diag) : "");
	ctl_w_bool(w, "multihop", i.cfg->multihop);
	ctl_w_u64(w, "interval_us", i.tx_us);
	ctl_w_u64(w, "detection_us", i.remote_id ? i.detect_us : 0);
	ctl_w_u64(w, "multiplier", i.cfg->mult);
	ctl_w_u64(w, "peer_multiplier", i.remote_mult);
	ctl_w_bool(w, "peer_control_independent", i.remote_cpi);
	ctl_w_u64(w, "failures", i.failures);
	ctl_w_u64(w, "rx_packets", i.rx);
	ctl_w_u64(w, "tx_packets", i.tx);
	ctl_w_str(w, "refused", i.refused);
	ctl_w_end(w);
}

static void session_metric(const struct bgp_svc *s, struct http_reply *r, const char *name,
	const char *type, const char *help, bool up)
{
	struct bfd_info i;
	char text[IP_STRLEN];

	http_printf(r, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
	for (size_t k = 0; k < s->nneighbours; k++)
		if (s->neighbours[k].bfd && bfdd_get(s->bfdd, s->neighbours[k].bfd, &i) == 0)
			http_printf(r, "%s{neighbour=\"%s\"} %llu\n", name,
				ip_fmt(&i.cfg->remote, text),
				(unsigned long long)(up ? i.state == BFD_UP : i.failures));
}

void bgp_bfd_metrics(const struct bgp_svc *s, struct http_reply *r)
{
	struct bfd_stats st;
	struct bfdd_stats d;

	if (!s->bfdd)
		return;
	session_metric(s, r, "weft_bfd_up", "gauge", "1 while the BFD session is up.", true);
	session_metric(s, r, "weft_bfd_failures_total", "counter",
		"Times that the neighbour was lost to BFD.", false);
	bfdd_stats(s->bfdd, &d);
	http_printf(r,
		"# HELP weft_bfd_late_seconds_max By how much packets were late at the worst.\n"
		"# TYPE weft_bfd_late_seconds_max gauge\nweft_bfd_late_seconds_max %.6f\n",
		(double)d.late_max_us / 1e6);
	bfdd_core_stats(s->bfdd, &st);
	http_printf(r, "# HELP weft_bfd_dropped_total Packets dropped, by reason.\n"
		       "# TYPE weft_bfd_dropped_total counter\n");
	for (unsigned i = BFD_OK + 1; i < BFD_DROPS; i++)
		http_printf(r, "weft_bfd_dropped_total{reason=\"%s\"} %llu\n",
			bfd_drop_str((enum bfd_drop)i), (unsigned long long)st.dropped[i]);
}
