/* bgp_status.c - what the operator sees: peers, tables, figures. Reads, never changes. */
#include <string.h>
#include "weft/err.h"
#include "bgp_int.h"

const char *bgp_state_str(enum bgp_state s)
{
	static const char *const names[] = {
		[BGP_IDLE] = "Idle",
		[BGP_CONNECTING] = "Connect",
		[BGP_ACTIVE] = "Active",
		[BGP_OPENSENT] = "OpenSent",
		[BGP_OPENCONFIRM] = "OpenConfirm",
		[BGP_ESTABLISHED] = "Established",
	};

	return s < sizeof(names) / sizeof(names[0]) ? names[s] : "?";
}

static void fill_info(const struct bgp_peer *p, struct bgp_peer_info *out)
{
	*out = p->n;
	out->peer = p->idx;
	out->vni = p->cfg.vni;
	out->remote_as = p->cfg.remote_as;
	out->remote_id = p->up ? p->remote_id : 0;
	out->remote = p->cfg.remote;
	out->state = p->state;
	out->stopped = p->stopped;
	out->ebgp = p->ebgp;
	out->rr_client = p->cfg.rr_client;
	out->graceful_shutdown = p->gshut;
	out->since = p->since;
	out->last_error = p->last_error;
	out->last_fault = p->last_fault;
	out->families = p->families;
	out->as4 = p->up && p->as4;
	out->refresh = p->up && p->refresh;
	out->ext_message = p->up && p->msg_max > BGP_MSG_MAX;
	out->v4_over_v6 = p->up && p->v4_over_v6;
	out->paths_in = p->up ? p->paths_in : 0;
	out->paths_out = p->up ? p->paths_out : 0;
	out->enhanced_refresh = p->up && p->enhanced;
	out->restart = p->up && p->caps.restart;
	out->stale_families = p->stale_families;
	out->restarting = p->kept || (p->eor_families & p->stale_families);
	out->remote_role = p->up ? p->caps.role : BGP_ROLE_NONE;
	out->hold_secs = p->up ? p->hold_secs : 0;
	out->prefixes_received = p->received;
	out->prefixes_accepted = p->accepted;
	for (unsigned f = 0; f < BGP_FAMILIES; f++)
		out->prefixes_announced += ribout_announced(&p->out[f]);
	if (p->up)
		out->queued_bytes = p->up->out_tail - p->up->out_head;
}

bool bgp_peer_next(const struct bgp *b, size_t *it, struct bgp_peer_info *out)
{
	while (*it < LIM_BGP_PEERS) {
		const struct bgp_peer *p = b->peers[++*it];

		if (p) {
			fill_info(p, out);
			return true;
		}
	}
	return false;
}

int bgp_peer_get(const struct bgp *b, uint32_t peer, struct bgp_peer_info *out)
{
	if (peer < 1 || peer > LIM_BGP_PEERS || !b->peers[peer])
		return ERR_NOT_FOUND;
	fill_info(b->peers[peer], out);
	return 0;
}

static const struct rib *rib_of(const struct bgp *b, uint32_t vni)
{
	for (unsigned i = 0; i < b->nribs; i++)
		if (b->ribs[i]->vni == vni)
			return b->ribs[i];
	return NULL;
}

/* The best path as told stands first, unless the net waits for its decision. */
static bool is_best(const struct rib *r, const struct net *n, const struct path *p)
{
	return n->best && p == net_first(r, n) && path_attr(p) == n->best &&
	       p->peer == n->best_peer;
}

static bool show_path(const struct rib *r, const struct net *n, const struct path *p,
	const struct attr_set *set, const char *lost, bgp_walk_fn fn, void *ctx)
{
	struct bgp_attrs a;
	struct bgp_nlri nlri;
	struct bgp_entry e = {.nlri = &nlri,
		.attrs = &a,
		.peer = p->peer,
		.best = is_best(r, n, p),
		.accepted = path_attr(p) != NULL,
		.lost = lost};

	attr_view(set, &a);
	net_nlri(n, &nlri);
	nlri.label = path_label(p);
	nlri.path_id = path_id(p);
	if (e.best)
		e.step = decide_step_str(n->step);
	return fn(ctx, &e);
}

static bool show_best(const struct net *n, bgp_walk_fn fn, void *ctx)
{
	struct bgp_attrs a;
	struct bgp_nlri nlri;
	struct bgp_entry e = {.nlri = &nlri,
		.attrs = &a,
		.peer = n->best_peer,
		.best = true,
		.accepted = true,
		.step = decide_step_str(n->step)};

	attr_view(n->best, &a);
	net_nlri(n, &nlri);
	return fn(ctx, &e);
}

static bool show_out(const struct bgp *b, const struct net *n, const struct bgp_peer *p,
	bgp_walk_fn fn, void *ctx)
{
	const struct bgp_group *g = p->out[n->family].group;
	struct bgp_attrs a;
	struct bgp_nlri nlri;
	struct bgp_entry e = {.nlri = &nlri, .attrs = &a, .accepted = true};

	bool go_on = true;

	for (const struct out *o = ribout_first(b, n); g && o && go_on; o = ribout_next(b, o)) {
		if (o->group != g->id || !o->attr || o->from == p->idx)
			continue;
		attr_view(o->attr, &a);
		net_nlri(n, &nlri);
		nlri.path_id = out_id(o);
		e.peer = o->from;
		go_on = fn(ctx, &e);
	}
	return go_on;
}

/* What @table has of @n; false: enough. */
static bool show_net(const struct bgp *b, const struct rib *r, const struct net *n,
	enum bgp_table table, uint32_t peer, bgp_walk_fn fn, void *ctx)
{
	const struct path *path = NULL;

	if (table == BGP_LOC_RIB)
		return !n->best || show_best(n, fn, ctx);
	if (table == BGP_ADJ_OUT)
		return show_out(b, n, b->peers[peer], fn, ctx);
	while ((path = net_path_next(r, n, (uint16_t)peer, path)) != NULL)
		if (!show_path(r, n, path, path->in, NULL, fn, ctx))
			return false;
	return true;
}

static bool has_table(const struct bgp *b, enum bgp_table table, uint32_t peer)
{
	if (table == BGP_LOC_RIB || (table == BGP_ADJ_IN && peer == BGP_LOCAL))
		return true;
	return peer >= 1 && peer <= LIM_BGP_PEERS && b->peers[peer];
}

int bgp_walk(const struct bgp *b, enum bgp_table table, uint32_t vni, uint32_t peer, bgp_walk_fn fn,
	void *ctx)
{
	const struct rib *r = rib_of(b, vni);
	struct net *n, *cursor = NULL;
	size_t at = 0;

	if (!has_table(b, table, peer))
		return ERR_NOT_FOUND;
	while (r && (n = rib_next(r, &at, &cursor)) != NULL)
		if (!show_net(b, r, n, table, peer, fn, ctx))
			break;
	return 0;
}

int bgp_find(const struct bgp *b, enum bgp_table table, uint32_t vni, uint32_t peer,
	const struct bgp_nlri *nlri, bgp_walk_fn fn, void *ctx)
{
	const struct rib *r = rib_of(b, vni);
	const struct net *n;

	if (!has_table(b, table, peer))
		return ERR_NOT_FOUND;
	n = r && nlri->family < BGP_FAMILIES ? rib_find(r, nlri) : NULL;
	if (n)
		(void)show_net(b, r, n, table, peer, fn, ctx);
	return 0;
}

/* Which step puts @p behind the best path. MED alone can, on behalf of a third path, put one out that
 * is better than the best (RFC 4271 9.1.2.2 c). */
static const char *lost_by(
	const struct bgp *b, const struct rib *r, const struct net *n, const struct path *p)
{
	struct decide_cand c[2];
	enum decide_step step;

	if (!path_attr(p) || is_best(r, n, p) || !n->best || !is_best(r, n, net_first(r, n)))
		return NULL;
	if (!bgp_path_cand(b, r, p, &c[1]))
		return "next hop not reachable";
	if (!bgp_path_cand(b, r, net_first(r, n), &c[0]))
		return NULL;
	return decide_step_str(decide_best(c, 2, &step) == 0 ? step : DECIDE_MED);
}

int bgp_lookup(
	const struct bgp *b, uint32_t vni, const struct bgp_nlri *nlri, bgp_walk_fn fn, void *ctx)
{
	const struct rib *r = rib_of(b, vni);
	struct net *n = r && nlri->family < BGP_FAMILIES ? rib_find(r, nlri) : NULL;

	if (!n || !n->paths)
		return ERR_NOT_FOUND;
	for (const struct path *p = net_first(r, n); p; p = path_next(r, p))
		if (!show_path(r, n, p, path_attr(p) ? path_attr(p) : p->in, lost_by(b, r, n, p),
			    fn, ctx))
			break;
	return 0;
}

void bgp_stats(const struct bgp *b, struct bgp_stats *out)
{
	*out = b->st;
	out->paths = b->npaths;
	out->attr_sets = b->attrs.count;
	out->out_entries = b->outs.in_use + b->wide_outs.in_use;
	out->out_entries -= b->markers;
	out->deferred = b->deferred;
	out->bytes = sizeof(*b) + b->attrs.bytes + b->attrs.room * sizeof(void *) + b->outs.bytes +
		     b->wide_outs.bytes;
	for (unsigned i = 0; i < b->nribs; i++) {
		const struct rib *r = b->ribs[i];

		out->nets += r->count;
		out->bytes += r->room * sizeof(*r->buckets);
		for (unsigned k = 0; k < PATH_KINDS; k++)
			out->bytes += r->paths[k].bytes;
		for (unsigned f = 0; f < BGP_FAMILIES; f++)
			out->bytes += r->nets[f].bytes;
	}
}
