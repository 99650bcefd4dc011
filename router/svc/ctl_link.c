/* ctl_link.c - `weft status clusters`, `weft cluster link|accept|unlink`, and the metrics of links;
 * shapes in docs/json.md. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "conf_bgp.h"
#include "ctl_status.h"
#include "link_svc.h"

#define PATH_TEXT 200 /* an AS path beyond is cut */

/* --- status clusters --- */

static void cluster_fields(struct ctl_w *w, const struct link_cluster *c)
{
	char id[CLUSTER_ID_STRLEN], text[PFX_STRLEN];

	ctl_w_str(w, "cluster", c->name);
	ctl_w_str(w, "cluster_id", c->asn ? cluster_id_fmt(&c->id, id) : "");
	ctl_w_u64(w, "asn", c->asn);
	ctl_w_array(w, "ranges");
	for (size_t i = 0; i < c->nranges; i++)
		ctl_w_str(w, NULL, pfx_fmt(&c->ranges[i], text));
	ctl_w_end(w);
}

/* What every gateway has; the map stays open. */
static void gateway_head(struct daemon *d, struct ctl_w *w, const struct node_key *key)
{
	char full[NODE_KEY_STRLEN], abbrev[NODE_KEY_SHORT + 1], ep[EP_STRLEN];
	const struct peer *p = peers_find(d, key);
	uint32_t prefixes;

	ctl_w_map(w, NULL);
	ctl_w_str(w, "key", node_key_fmt(key, full));
	ctl_w_str(w, "short", node_key_fmt_short(key, abbrev));
	ctl_w_str(w, "endpoint", p && p->ep.ip.family != IP_NONE ? ep_fmt(&p->ep, ep) : "");
	ctl_w_str(w, "bgp", link_bgp_state(d->link, key, &prefixes));
	ctl_w_u64(w, "prefixes", prefixes);
	ctl_w_bool(w, "last_resort", lbgp_held(d->link->lbgp, key));
}

static const char *gateway_state(const struct link_peer_info *p)
{
	return p->up           ? "up"
	       : !p->session   ? "dialling"
	       : p->refused[0] ? "refused"
	       : p->refusal[0] ? "refuses"
			       : "greeting";
}

static const char *policy_of(const struct conf_bgp_filter *f)
{
	return f->policy ? policy_name(f->policy) : "";
}

/* What may cross, and what was refused. */
static void crossing_fields(struct daemon *d, struct ctl_w *w, const struct link_entry *e)
{
	const struct conf_bgp_cluster *c = link_cross_conf(d, e);
	const struct lbgp_link *b = &e->bgp;
	char text[PFX_STRLEN];

	ctl_w_str(w, "import", c ? policy_of(&c->import) : "");
	ctl_w_str(w, "export", c ? policy_of(&c->export) : "");
	ctl_w_bool(w, "outside", c && c->outside);
	ctl_w_map(w, "refused");
	for (unsigned i = 0; i < LBGP_REASONS; i++)
		ctl_w_u64(w, lbgp_reason_str((enum lbgp_reason)i), b->refused[i]);
	ctl_w_end(w);
	ctl_w_str(w, "last_refused",
		b->last_refused.ip.family != IP_NONE ? pfx_fmt(&b->last_refused, text) : "");
	ctl_w_str(w, "last_why",
		b->last_refused.ip.family != IP_NONE ? lbgp_reason_str(b->last_why) : "");
}

static void one_link(struct daemon *d, struct ctl_w *w, const struct link_entry *e)
{
	struct link_peer_info p;
	unsigned up = 0, known = 0;
	size_t it = 0;

	ctl_w_map(w, NULL);
	ctl_w_str(w, "link", e->name);
	ctl_w_bool(w, "invited", !e->theirs);
	ctl_w_u64(w, "expires_unix_secs", e->invite.expires_unix);
	cluster_fields(w, &e->remote);
	crossing_fields(d, w, e);
	ctl_w_array(w, "gateways");
	while (d->link->core && links_peer_each(d->link->core, e->number, &it, &p)) {
		gateway_head(d, w, &p.key);
		ctl_w_str(w, "state", gateway_state(&p));
		ctl_w_str(w, "why", p.refused[0] ? p.refused : p.refusal);
		ctl_w_u64(w, "since_ms", p.up ? (uint64_t)dur_ms(ts_sub(loop_now(), p.since)) : 0);
		ctl_w_end(w);
		up += p.up;
		known++;
	}
	ctl_w_end(w);
	ctl_w_str(w, "state", up ? "up" : known ? "down" : e->remote.asn ? "dialling" : "waiting");
	ctl_w_end(w);
}

static void own_gateways(struct daemon *d, struct ctl_w *w)
{
	struct gossip_node_info n;
	size_t it = 0;

	ctl_w_array(w, "gateways");
	while (gossip_node_next(d->gossip, &it, &n)) {
		if (!(n.features & GOSSIP_F_GATEWAY) || (!n.up && !n.self))
			continue;
		gateway_head(d, w, &n.key);
		ctl_w_str(w, "node", n.name);
		ctl_w_bool(w, "self", n.self);
		ctl_w_end(w);
	}
	ctl_w_end(w);
}

static void linked_prefixes(struct daemon *d, struct ctl_w *w)
{
	const struct rtab_entry *e;
	char text[PFX_STRLEN], abbrev[NODE_KEY_SHORT + 1], path[PATH_TEXT];
	struct bgp_attrs a;
	size_t it = 0;

	ctl_w_array(w, "prefixes");
	while (rtab_next(d->rtab, &it, &e)) {
		if (!e->link)
			continue;
		ctl_w_map(w, NULL);
		ctl_w_str(w, "prefix", pfx_fmt(&e->pfx, text));
		ctl_w_str(w, "gateway", e->peer ? node_key_fmt_short(&e->node, abbrev) : "");
		ctl_w_str(w, "path",
			lbgp_best(d->link->lbgp, &e->pfx, &a)
				? bgp_attrs_path_fmt(&a, path, sizeof(path))
				: "");
		ctl_w_bool(w, "outside", e->outside);
		ctl_w_bool(w, "exit", e->exit);
		ctl_w_str(w, "why", e->refused);
		ctl_w_end(w);
	}
	ctl_w_end(w);
}

void ctl_link_status(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	struct link_svc *s = d->link;

	(void)rq;
	ctl_w_map(a->w, NULL);
	ctl_w_map(a->w, "self");
	cluster_fields(a->w, &s->self);
	ctl_w_bool(a->w, "gateway", link_svc_is_gateway(d));
	ctl_w_str(a->w, "bgp_error", s->bgp_why);
	ctl_w_end(a->w);
	ctl_w_array(a->w, "links");
	for (size_t i = 0; i < LIM_LINKS; i++)
		if (s->entries[i].number)
			one_link(d, a->w, &s->entries[i]);
	ctl_w_end(a->w);
	own_gateways(d, a->w);
	linked_prefixes(d, a->w);
	ctl_w_end(a->w);
}

/* --- verbs --- */

static void told(struct ctl_answer *a, const char *before, const char *name, const char *behind)
{
	ctl_w_map(a->w, NULL);
	ctl_w_strf(a->w, "message", "%s%s%s", before, name, behind);
	ctl_w_end(a->w);
}

void ctl_link_invite(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	const char *name = ctl_request_arg(rq, "name"), *secs = ctl_request_arg(rq, "expires_secs");
	char text[LINK_INVITE_STRLEN], why[LINK_WHY_MAX];
	const struct link_entry *e;
	char *end = NULL;
	uint64_t until = secs ? strtoull(secs, &end, 10) : 0;

	if (secs && (end == secs || *end || secs[0] == '-' || until > UINT32_MAX)) {
		ctl_refuse(a, "", "expires_secs takes seconds, not '%s'", secs);
		return;
	}
	if (until)
		until += loop_unix_ns() / 1000000000u;
	if (link_svc_invite(d, name, until, &e, why) != 0) {
		ctl_refuse(a, "", "%s", why);
		return;
	}
	ctl_w_map(a->w, NULL);
	ctl_w_str(a->w, "link", e->name);
	ctl_w_str(a->w, "invitation", link_invite_fmt(&e->invite, text));
	ctl_w_end(a->w);
	explicit_bzero(text, sizeof(text));
}

/* A long text comes in two arguments. */
static int take_invitation(const struct ctl_request *rq, struct link_invite *v)
{
	const char *one = ctl_request_arg(rq, "invitation"), *two;
	char text[2 * sizeof(rq->args[0].value)];
	int err;

	two = ctl_request_arg(rq, "invitation-2");
	snprintf(text, sizeof(text), "%s%s", one ? one : "", two ? two : "");
	err = link_invite_parse(text, v);
	explicit_bzero(text, sizeof(text));
	return err;
}

void ctl_link_accept(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	char why[LINK_WHY_MAX];
	const struct link_entry *e;
	struct link_invite v;
	int err = take_invitation(rq, &v);

	if (err) {
		ctl_refuse(a, "make one in the other cluster: weft cluster link", "%s",
			err == ERR_CORRUPT   ? "characters of the invitation are lost or changed"
			: err == ERR_VERSION ? "the invitation is of a later weft"
					     : "this is no invitation");
		return;
	}
	err = link_svc_accept(d, ctl_request_arg(rq, "name"), &v, &e, why);
	link_invite_wipe(&v);
	if (err)
		ctl_refuse(a, "", "%s", why);
	else
		told(a, e->theirs ? "taken up: link " : "this node is a gateway now of link ",
			e->name, e->theirs ? "; see weft status clusters" : "");
}

void ctl_link_remove(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	const char *name = ctl_request_arg(rq, "link");
	char why[LINK_WHY_MAX] = "";
	struct pfx range;
	int err = ERR_NOT_FOUND;

	if (name && pfx_parse(name, &range) == 0) {
		err = link_ranges_forget(d, &range, why);
		if (!err)
			told(a, "range ", name, " is no linked one any more here");
		else
			ctl_refuse(a, "weft status clusters names them", "%s",
				why[0] ? why : "there is no linked range of that prefix here");
		return;
	}
	if (name)
		err = link_svc_remove(d, name);
	if (err == ERR_NOT_FOUND)
		ctl_refuse(a, "weft status clusters names them", "there is no link %s here",
			name ? name : "");
	else if (err)
		ctl_refuse(a, "", "link %s can't be removed: %s", name, err_str(err));
	else
		told(a, "removed here: link ", name,
			"; its other gateways keep it until they are told");
}

/* --- metrics --- */

void metrics_link(struct daemon *d, struct http_reply *r)
{
	struct link_svc *s = d->link;
	struct link_stats st;
	unsigned up = 0;

	if (!s || !s->core)
		return;
	for (size_t i = 0; i < LIM_LINKS; i++) {
		struct link_peer_info p;
		size_t it = 0;

		while (s->entries[i].number &&
			links_peer_each(s->core, s->entries[i].number, &it, &p))
			up += p.up;
	}
	links_stats(s->core, &st);
	http_printf(r,
		"# HELP weft_links Links to other clusters that this node is a gateway of.\n"
		"# TYPE weft_links gauge\nweft_links %zu\n"
		"# HELP weft_link_gateways Gateways of other clusters that are up.\n"
		"# TYPE weft_link_gateways gauge\nweft_link_gateways %u\n"
		"# HELP weft_link_dropped_total Messages of other clusters' gateways that were "
		"dropped.\n"
		"# TYPE weft_link_dropped_total counter\n"
		"weft_link_dropped_total{reason=\"malformed\"} %" PRIu64 "\n"
		"weft_link_dropped_total{reason=\"limited\"} %" PRIu64 "\n"
		"weft_link_dropped_total{reason=\"full\"} %" PRIu64 "\n",
		s->count, up, st.malformed, st.limited, st.full);
	http_printf(r, "# HELP weft_link_routes_refused_total Routes of linked clusters that were "
		       "refused.\n# TYPE weft_link_routes_refused_total counter\n");
	for (size_t i = 0; i < LIM_LINKS; i++)
		for (unsigned n = 0; s->entries[i].number && n < LBGP_REASONS; n++)
			http_printf(r,
				"weft_link_routes_refused_total{link=\"%s\",reason=\"%s\"} %" PRIu64
				"\n",
				s->entries[i].name, lbgp_reason_str((enum lbgp_reason)n),
				s->entries[i].bgp.refused[n]);
}
