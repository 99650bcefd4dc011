/* bgp_route.c - routes on their way: import, the table, the decision, export.
 *
 * In: routes of one UPDATE, by session; routes of our own. Each becomes a path of its prefix, with
 * the attributes as received and as the import policy left them; the prefix is marked. Out: when
 * actions are drained, marked prefixes are decided one by one; where the best path changed, the
 * groups are brought up to date and the driver is told.
 *
 * Bounds: LIM_BGP_ROUTES paths; of one peer cfg.max_prefixes, which the session checks. */
#include <assert.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_int.h"

#define DECISIONS 64 /* in one call that change nothing for anybody */

/* RFC 9234 5, ingress: false: a leak. What may only go to customers is marked so. */
static bool import_otc(const struct bgp_peer *p, const struct bgp_nlri *n, struct bgp_edit *e)
{
	enum bgp_role role = n->family <= BGP_IPV6 ? p->cfg.role : BGP_ROLE_NONE;
	bool has = e->a.has & BGP_HAS_OTC;

	switch (role) {
	case BGP_ROLE_PROVIDER:
	case BGP_ROLE_RS:
		return !has;
	case BGP_ROLE_PEER:
		if (has && e->a.otc != p->cfg.remote_as)
			return false;
		break;
	case BGP_ROLE_CUSTOMER:
	case BGP_ROLE_RS_CLIENT:
		break;
	default:
		return true;
	}
	if (!has)
		bgp_edit_otc(e, p->cfg.remote_as);
	return true;
}

/* What is done to routes of an external peer before the policy; false: not for use. */
static bool import_rules(struct bgp *b, struct bgp_peer *p, const struct bgp_nlri *n,
	const struct attr_set *in, struct bgp_edit *e)
{
	/* RFC 8326 5.1: the routes of a link that is going down are the last choice. */
	if (in->flags & SET_GSHUT)
		bgp_edit_local_pref(e, 0);
	if (p->local_as != b->cfg.local_as && !p->cfg.no_prepend) /* RFC 7705 3.2 */
		bgp_edit_prepend(e, p->local_as, 1);
	if (import_otc(p, n, e))
		return true;
	p->n.leaks++;
	return false;
}

int bgp_import(struct bgp *b, struct bgp_peer *p, const struct bgp_nlri *n, struct attr_set *in,
	struct attr_set **out)
{
	const struct bgp_policy *policy = &p->cfg.import;
	struct bgp_edit *e = &b->edit;
	struct bgp_route r = {.vni = p->cfg.vni,
		.peer = p->idx,
		.peer_as = p->cfg.remote_as,
		.ebgp = p->ebgp,
		.nlri = n};

	*out = NULL;
	if (!policy->ops && p->ebgp) /* RFC 8212 3 */
		return 0;
	if (!policy->ops) {
		*out = attr_hold(in);
		return 0;
	}
	attr_view(in, &b->view);
	bgp_edit_init(e, &b->view);
	if (p->ebgp && !import_rules(b, p, n, in, e))
		return 0;
	r.attrs = &e->a;
	b->st.policy_calls++;
	if (policy->ops->apply(policy->ctx, &r, e) != BGP_ACCEPT || e->overflow)
		return 0;
	if (!e->changed) {
		*out = attr_hold(in);
		return 0;
	}
	return attr_intern(&b->attrs, &e->a, out);
}

/* Give @path the set @in, and @attr, whose reference is taken. Returns the path, which may be another
 * now; NULL: no memory, unchanged. */
static struct path *put_sets(struct bgp *b, struct rib *r, struct bgp_peer *p, struct net *net,
	struct path *path, uint32_t label, struct attr_set *in, struct attr_set *attr)
{
	struct attr_set *old_in = path->in, *old_attr = path_attr(path);

	if (old_in == in && old_attr == attr && path_label(path) == label) {
		attr_put(&b->attrs, attr);
		return path;
	}
	path = net_put_sets(r, net, path, in, attr);
	if (!path) {
		attr_put(&b->attrs, attr);
		return NULL;
	}
	path_put_label(path, label);
	if (p)
		p->accepted += (attr != NULL) - (uint32_t)(old_attr != NULL);
	/* First: a change of policy passes the path's own, whose only reference it may be. */
	attr_hold(in);
	attr_put(&b->attrs, old_in);
	attr_put(&b->attrs, old_attr);
	rib_mark(r, net);
	return path;
}

int bgp_path_set(struct bgp *b, struct rib *r, struct bgp_peer *p, const struct bgp_nlri *n,
	struct attr_set *in)
{
	uint16_t idx = p ? p->idx : BGP_LOCAL;
	struct attr_set *attr = NULL;
	struct net *net;
	struct path *path;
	bool is_new;
	int err = 0;

	if (p)
		err = bgp_import(b, p, n, in, &attr);
	else
		attr = attr_hold(in);
	if (err < 0)
		return err;
	net = rib_get(r, n);
	path = net ? net_path(r, net, idx, n->path_id) : NULL;
	if (!path && net) {
		if (b->npaths == LIM_BGP_ROUTES)
			bgp_table_sweep_all(b);
		err = ERR_FULL;
		if (b->npaths < LIM_BGP_ROUTES)
			path = net_add(r, net, idx, n->path_id, attr && attr != in);
		if (path) {
			b->npaths++;
			if (p)
				p->received++;
		} else if (b->npaths < LIM_BGP_ROUTES) {
			err = ERR_NOMEM;
		}
	}
	if (!path) {
		attr_put(&b->attrs, attr);
		if (net)
			rib_release(r, net);
		return net ? err : ERR_NOMEM;
	}
	is_new = !path->in;
	path = put_sets(b, r, p, net, path, n->label, in, attr);
	if (!path)
		return ERR_NOMEM;
	if (p)
		bgp_path_fresh(p, net, path, is_new);
	return 0;
}

int bgp_path_rejudge(struct bgp *b, struct bgp_peer *p, struct net *net, struct path *path)
{
	struct attr_set *attr;
	struct bgp_nlri nlri;
	int err;

	net_nlri(net, &nlri);
	nlri.label = path_label(path);
	nlri.path_id = path_id(path);
	err = bgp_import(b, p, &nlri, path->in, &attr);
	if (err < 0)
		return err;
	return put_sets(b, p->rib, p, net, path, nlri.label, path->in, attr) ? 0 : ERR_NOMEM;
}

void bgp_path_remove(
	struct bgp *b, struct rib *r, struct net *net, struct path *path, struct bgp_peer *p)
{
	if (p) {
		bgp_path_gone(p, net, path);
		p->received--;
		p->accepted -= path_attr(path) != NULL;
	}
	attr_put(&b->attrs, path_attr(path));
	attr_put(&b->attrs, path->in);
	net_drop(r, net, path);
	b->npaths--;
	rib_mark(r, net);
}

bool bgp_path_del(struct bgp *b, struct rib *r, struct bgp_peer *p, const struct bgp_nlri *n)
{
	struct net *net = rib_find(r, n);
	struct path *path = net ? net_path(r, net, p ? p->idx : BGP_LOCAL, n->path_id) : NULL;

	if (!path)
		return false;
	bgp_path_remove(b, r, net, path, p);
	return true;
}

bool bgp_path_cand(
	const struct bgp *b, const struct rib *r, const struct path *path, struct decide_cand *c)
{
	const struct attr_set *a = path_attr(path);
	const struct bgp_peer *p = b->peers[path->peer];
	struct ip nh;

	if (!a)
		return false;
	*c = (struct decide_cand){.local = path->peer == BGP_LOCAL,
		.ebgp = p && p->ebgp,
		.origin = a->origin,
		.clusters = a->clusters,
		.local_pref = a->local_pref,
		.path_len = a->path_len,
		.first_as = attr_first_as(a),
		.med = a->med,
		.router_id = a->flags & SET_ORIGINATOR ? attr_originator(a)
			     : p                       ? p->remote_id
						       : b->cfg.router_id};
	c->path_id = path_id(path);
	if (p)
		c->peer_addr = p->cfg.remote.ip;
	attr_next_hop(a, &nh);
	if (!b->cfg.nexthop || nh.family == IP_NONE)
		return true;
	return b->cfg.nexthop->resolve(b->cfg.nexthop_ctx, r->vni, &nh, &c->igp_cost);
}

/* RFC 7911 leaves open which paths are told: the best, the best without that one, and so on. The
 * first of the @n candidates' paths in that order come to the front. */
static void rank(struct bgp *b, const struct rib *r, struct net *net, size_t n)
{
	struct path *order[UINT8_MAX];
	enum decide_step step;
	size_t k = 0;

	while (n > 0 && k < UINT8_MAX) {
		size_t i = decide_best(b->cands, n, &step);

		order[k++] = b->cand_paths[i];
		b->cands[i] = b->cands[--n];
		b->cand_paths[i] = b->cand_paths[n];
	}
	while (k > 0)
		net_to_front(r, net, order[--k]);
}

/* Decide @net: the best path goes to the front. NULL: no usable one. */
static struct path *decide_net(struct bgp *b, struct rib *r, struct net *net)
{
	enum decide_step step;
	struct path *best;
	size_t n = 0;

	b->st.decisions++;
	for (struct path *p = net_first(r, net); p; p = path_next(r, p)) {
		assert(n < sizeof(b->cands) / sizeof(b->cands[0]));
		b->cand_paths[n] = p;
		p->flags &= (uint8_t) ~(PATH_USABLE | PATH_EQUAL);
		if (!bgp_path_cand(b, r, p, &b->cands[n]))
			continue;
		p->flags |= PATH_USABLE;
		n++;
	}
	if (n == 0)
		return NULL;
	best = b->cand_paths[decide_best(b->cands, n, &step)];
	net->step = (uint8_t)step;
	for (size_t i = 0; i < n; i++)
		b->cand_paths[i]->flags |= b->cands[i].equal ? PATH_EQUAL : 0;
	net_to_front(r, net, best);
	if (b->add_path_groups && n > 1)
		rank(b, r, net, n);
	return best;
}

void bgp_close_failed(struct bgp *b)
{
	for (unsigned i = 0; i < b->ngroups; i++) {
		struct peer_out *po;

		/* They were not told all. */
		while ((po = ribout_failed(b, i)) != NULL) {
			b->st.nomem++;
			bgp_peer_cease(po->peer, CEASE_RESOURCES, NULL);
		}
	}
}

static struct net *next_dirty(struct bgp *b, struct rib **r)
{
	struct net *n = NULL;

	for (unsigned i = 0; i < b->nribs && !n; i++) {
		*r = b->ribs[i];
		n = rib_pop(*r, ~b->deferred);
	}
	return n;
}

/* The next hops of @net into b->hops, that of @best first; their number. */
static unsigned collect_hops(
	struct bgp *b, const struct rib *r, const struct net *net, const struct path *best)
{
	unsigned max = b->cfg.multipath > 1 && best->peer != BGP_LOCAL ? b->cfg.multipath : 1;
	unsigned n = 0;

	for (const struct path *p = best; p && n < max && n < BGP_HOPS_MAX; p = path_next(r, p)) {
		struct bgp_hop *h = &b->hops[n];
		unsigned i = 0;

		if (!(p->flags & PATH_EQUAL) || path_label(p) != path_label(best))
			continue;
		attr_next_hop(path_attr(p), &h->next_hop);
		h->peer = p->peer;
		while (i < n &&
			!(ip_eq(&b->hops[i].next_hop, &h->next_hop) &&
				(b->hops[i].peer == h->peer || !ip_is_link_local(&h->next_hop))))
			i++;
		n += i == n;
	}
	assert(best == net_first(r, net) && n > 0);
	return n;
}

static void tell_route(struct bgp *b, struct rib *r, const struct net *n, const struct path *best,
	unsigned nhops, struct bgp_act *out)
{
	*out = (struct bgp_act){.type = BGP_ROUTE, .vni = r->vni};
	net_nlri(n, &out->nlri);
	if (!best)
		return;
	attr_view(path_attr(best), &b->view);
	out->attrs = &b->view;
	out->peer = best->peer;
	out->hops = b->hops;
	out->nhops = nhops;
	out->step = decide_step_str(n->step);
}

/* Take over the outcome of a decision; false: nothing changed for whoever is told of @n. */
static bool take_best(struct bgp *b, struct rib *r, struct net *n, const struct path *best)
{
	bool told = n->flags & NET_TOLD, forced = n->flags & NET_FORCED;
	uint32_t old_label = net_label(n), label = best ? path_label(best) : 0;

	n->flags &= (uint8_t)~NET_FORCED;
	if (best ? n->best == path_attr(best) && n->best_peer == best->peer && old_label == label
		 : !n->best) {
		if ((forced && best) || b->add_path_groups)
			ribout_update(b, r, n, false);
		return false;
	}
	attr_put(&b->attrs, n->best);
	n->best = best ? attr_hold(path_attr(best)) : NULL;
	n->best_peer = best ? best->peer : BGP_LOCAL;
	net_put_label(n, label);
	n->flags |= NET_TOLD; /* keeps it alive meanwhile */
	ribout_update(b, r, n, label != old_label);
	if (!best)
		n->flags &= (uint8_t)~NET_TOLD;
	return best || told;
}

bool bgp_decide_next(struct bgp *b, struct bgp_act *out)
{
	struct rib *r;
	struct net *n;

	for (unsigned i = 0; (n = next_dirty(b, &r)) != NULL; i++) {
		struct path *best = decide_net(b, r, n);
		bool tell = take_best(b, r, n, best), multi = n->flags & NET_MULTI;
		unsigned nhops = best ? collect_hops(b, r, n, best) : 0;

		/* Which others are as good is not remembered: told again, to be compared. */
		if (best && (nhops > 1 || multi || b->cfg.tell_paths))
			tell = true;
		n->flags &= (uint8_t)~NET_MULTI;
		n->flags |= nhops > 1 ? NET_MULTI : 0;
		if (tell)
			tell_route(b, r, n, best, nhops, out);
		rib_release(r, n);
		bgp_close_failed(b);
		if (tell || i == DECISIONS)
			return true;
	}
	return false;
}

/* May a route of this origin go to this group at all? RFC 4271 9.2, 4456 6. */
static bool may_reflect(const struct bgp_group *g, const struct bgp_peer *src)
{
	return g->key.ebgp || !src || src->ebgp || src->cfg.rr_client || g->key.rr_client;
}

static void export_ebgp(
	struct bgp *b, struct bgp_group *g, const struct bgp_peer *src, struct bgp_edit *e)
{
	/* RFC 4271 5.1.5, 4456 8: not for outsiders. */
	e->a.has &= ~(BGP_HAS_LOCAL_PREF | BGP_HAS_ORIGINATOR);
	e->a.cluster_list = (struct bgp_span){0};
	/* RFC 4271 5.1.4: what one neighbour said is not for another. */
	if (src && !e->med_set)
		e->a.has &= ~BGP_HAS_MED;
	if (g->key.remove_private)
		bgp_edit_path(e, true, g->key.remote_as, 0);
	if (g->key.as_override)
		bgp_edit_path(e, false, g->key.remote_as, g->key.local_as);
	if (!g->key.replace_as || g->key.local_as == b->cfg.local_as)
		bgp_edit_prepend(e, b->cfg.local_as, 1); /* 5.1.2 b */
	if (g->key.local_as != b->cfg.local_as)          /* RFC 7705 3.3 */
		bgp_edit_prepend(e, g->key.local_as, 1);
	if (!e->next_hop_set)
		e->a.next_hop = g->key.next_hop;
}

/* Does the group take such next hops? */
static bool next_hop_fits(const struct bgp_group *g, const struct ip *nh)
{
	return ip_bits(nh) == bgp_family_bits(g->key.family) ||
	       (g->key.v4_over_v6 && nh->family == IP_V6);
}

static void export_ibgp(
	struct bgp *b, struct bgp_group *g, const struct bgp_peer *src, struct bgp_edit *e)
{
	if (!(e->a.has & BGP_HAS_LOCAL_PREF))
		bgp_edit_local_pref(e, 100); /* RFC 4271 5.1.5 */
	if (src && !src->ebgp)
		bgp_edit_reflect(e, src->remote_id, b->cfg.cluster_id);
	else if (!e->next_hop_set && (g->key.next_hop_self || e->a.next_hop.family == IP_NONE ||
					     ip_is_link_local(&e->a.next_hop)))
		e->a.next_hop = g->key.next_hop;
	if (g->key.gshut)
		bgp_edit_local_pref(e, 0); /* RFC 8326 4.2 */
}

/* RFC 9234 5, egress: false: it may not go there. */
static bool export_otc(const struct bgp_group *g, struct bgp_edit *e)
{
	enum bgp_role role = g->key.family <= BGP_IPV6 ? g->key.role : BGP_ROLE_NONE;
	bool has = e->a.has & BGP_HAS_OTC;

	if (has &&
		(role == BGP_ROLE_CUSTOMER || role == BGP_ROLE_PEER || role == BGP_ROLE_RS_CLIENT))
		return false;
	if (!has && (role == BGP_ROLE_PROVIDER || role == BGP_ROLE_PEER || role == BGP_ROLE_RS))
		bgp_edit_otc(e, g->key.local_as);
	return true;
}

/* The rules after the policy, into an interned set; *@out stays NULL when the route has no next hop
 * of its family or no longer fits. */
static int finish(
	struct bgp *b, struct bgp_group *g, const struct bgp_peer *src, struct attr_set **out)
{
	static const uint8_t gshut[4] = {0xff, 0xff, 0, 0};
	struct bgp_edit *e = &b->edit;

	if (g->key.ebgp && !export_otc(g, e))
		return 0;
	(g->key.ebgp ? export_ebgp : export_ibgp)(b, g, src, e);
	if (g->key.gshut)
		bgp_edit_add(e, BGP_LIST_COMMUNITY, gshut);
	e->a.next_hop_ll = (struct ip){0}; /* RFC 2545 3: only on the link it is of */
	e->a.has |= BGP_HAS_AS_PATH;
	if (e->overflow || !next_hop_fits(g, &e->a.next_hop))
		return 0;
	return attr_intern(&b->attrs, &e->a, out);
}

int bgp_export(struct bgp *b, struct bgp_group *g, const struct bgp_nlri *n,
	const struct path *best, struct attr_set **out)
{
	const struct bgp_peer *src = b->peers[best->peer];
	const struct bgp_policy *policy = &g->key.export;
	struct attr_set *in = path_attr(best);
	struct bgp_edit *e = &b->edit;
	int err;

	*out = NULL;
	if (in->flags & SET_NO_ADVERTISE || (in->flags & SET_NO_EXPORT && g->key.ebgp))
		return 0; /* RFC 1997 */
	if (!may_reflect(g, src) || (!policy->ops && g->key.ebgp))
		return 0; /* RFC 8212 3 */
	if (!policy->ops && g->cache_in == in && g->cache_from == best->peer)
		goto cached;
	attr_view(in, &b->view);
	bgp_edit_init(e, &b->view);
	if (policy->ops) {
		struct bgp_route r = {.vni = g->key.vni,
			.peer = best->peer,
			.peer_as = src ? src->cfg.remote_as : b->cfg.local_as,
			.ebgp = src && src->ebgp,
			.to_ebgp = g->key.ebgp,
			.nlri = n,
			.attrs = &e->a};

		b->st.policy_calls++;
		if (policy->ops->apply(policy->ctx, &r, e) != BGP_ACCEPT || e->overflow)
			return 0;
		if (e->changed || e->next_hop_set)
			return finish(b, g, src, out);
		if (g->cache_in == in && g->cache_from == best->peer)
			goto cached;
	}
	err = finish(b, g, src, out);
	if (err < 0)
		return err;
	attr_put(&b->attrs, g->cache_in);
	attr_put(&b->attrs, g->cache_out);
	g->cache_in = attr_hold(in);
	g->cache_out = *out ? attr_hold(*out) : NULL;
	g->cache_from = best->peer;
	return 0;
cached:
	*out = g->cache_out ? attr_hold(g->cache_out) : NULL;
	return 0;
}
