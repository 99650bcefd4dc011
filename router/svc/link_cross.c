/* link_cross.c - what crosses this node beyond the two clusters' own ranges: from link to link, and between
 * links and the neighbours of the section `bgp:`, as that section says (docs/clusters.md).
 *
 *	links:	bgp.clusters gives each link its policies; rules may name links, whose AS numbers come from
 *		greetings
 *	out:	announce: {clusters: yes}: the best routes of links stand in the neighbours' speaker, with
 *		their path, for its export policies
 *	in:	outside: yes of a cluster, and nodes: {export}: the best routes of neighbours stand in the links'
 *		speaker, with their path, for the export policies of links, and that of this cluster's nodes;
 *		aggregates of them, and the exits that they make of this node: link_exit.c
 *
 * Two cores that may not be called from one another's callbacks: prefixes are noted, and carried over when
 * the daemon's cores are drained. Bound: those of the cores; a note that finds no memory makes all be
 * looked at. */
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_svc.h"
#include "link_svc.h"

struct notes {
	struct pfx *v; /* owned */
	size_t n, cap;
	bool all;
};

struct cross {
	struct notes in, out;
};

static void take_note(struct notes *t, const struct pfx *p)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		struct pfx *v = realloc(t->v, cap * sizeof(*v));

		if (!v) {
			t->all = true;
			return;
		}
		t->v = v;
		t->cap = cap;
	}
	t->v[t->n++] = *p;
}

int link_cross_open(struct daemon *d)
{
	d->link->cross = calloc(1, sizeof(*d->link->cross));
	return d->link->cross ? 0 : ERR_NOMEM;
}

void link_cross_close(struct daemon *d)
{
	struct cross *c = d->link->cross;

	if (!c)
		return;
	free(c->in.v);
	free(c->out.v);
	free(c);
	d->link->cross = NULL;
}

/* --- policies --- */

static bool is_called(const struct link_entry *e, const char *name)
{
	char id[CLUSTER_ID_STRLEN];

	return strcmp(e->name, name) == 0 ||
	       (e->remote.asn && (strcmp(e->remote.name, name) == 0 ||
					 strcmp(cluster_id_fmt(&e->remote.id, id), name) == 0));
}

const struct conf_bgp_cluster *link_cross_conf(struct daemon *d, const struct link_entry *e)
{
	const struct conf_bgp *c = d->bgp ? bgp_svc_conf(d->bgp) : NULL;

	for (size_t i = 0; c && i < c->nclusters; i++)
		if (is_called(e, c->clusters[i].name))
			return &c->clusters[i];
	return NULL;
}

/* Rules speak of links by name. */
static void name_clusters(struct daemon *d)
{
	struct policy_book *b = d->bgp->book;
	const char *name;

	for (size_t i = 0; (name = policy_book_cluster(b, i)) != NULL; i++) {
		uint32_t asn = 0;

		for (size_t k = 0; k < LIM_LINKS && !asn; k++) {
			const struct link_entry *e = &d->link->entries[k];

			if (e->number && is_called(e, name))
				asn = e->remote.asn;
		}
		if (policy_book_cluster_is(b, i, asn))
			bgp_svc_judge(d);
	}
}

void link_cross_policies(struct daemon *d)
{
	static const struct bgp_policy none = {NULL, NULL};
	struct link_svc *s = d->link;
	struct bgp_policy to_nodes;
	struct policy *nodes;

	if (!d->bgp) /* not there yet, or not configured */
		return;
	name_clusters(d);
	for (size_t i = 0; i < LIM_LINKS; i++) {
		struct link_entry *e = &s->entries[i];
		const struct conf_bgp_cluster *c = e->number ? link_cross_conf(d, e) : NULL;

		e->bgp.import =
			c && c->import.policy ? policy_hook(c->import.policy, POLICY_IN) : none;
		e->bgp.export =
			c && c->export.policy ? policy_hook(c->export.policy, POLICY_OUT) : none;
		e->bgp.outside = c && c->outside;
	}
	nodes = bgp_svc_conf(d->bgp)->nodes.export.policy;
	to_nodes = nodes ? policy_hook(nodes, POLICY_OUT) : none;
	lbgp_nodes(s->lbgp, &to_nodes);
	link_exit_aggregates(d);
	link_bgp_judge(d);
	s->offer_all = true; /* `outside` may be another */
}

/* --- from links to neighbours --- */

void link_cross_route(struct daemon *d, const struct lbgp_route *r)
{
	if (d->bgp && d->bgp->conf->announce.clusters)
		take_note(&d->link->cross->out, &r->pfx);
}

/* Our own ranges and what neighbours of ours told, here or at another gateway, are not carried back, nor is a
 * last resort told. */
static void carry_out(struct daemon *d, const struct pfx *p)
{
	struct bgp_attrs a;

	if (lbgp_best(d->link->lbgp, p, &a) && a.as_path.len && !lbgp_is_last(&a) &&
		!lbgp_is_exit(&a) && rtab_link_leads(d, VNI_DEFAULT, p))
		bgp_svc_linked(d, p, &a);
	else
		bgp_svc_linked(d, p, NULL);
}

static void carry_all_out(struct daemon *d)
{
	const struct rtab_entry *e;
	size_t it = 0;

	while (rtab_next(d->rtab, &it, &e))
		if (e->link && e->vni == VNI_DEFAULT)
			carry_out(d, &e->pfx);
}

/* --- from neighbours to links and nodes --- */

/* For whom neighbours' routes are, by the configuration. */
struct wants {
	bool links, nodes, aggregates;
};

static struct wants what_is_wanted(struct daemon *d)
{
	const struct conf_bgp *c = bgp_svc_conf(d->bgp);
	struct wants w = {
		.nodes = c->nodes.export.policy != NULL, .aggregates = c->nodes.aggregates.n > 0};

	for (size_t i = 0; i < c->nclusters; i++)
		w.links |= c->clusters[i].outside;
	return w;
}

static bool wants_any(const struct wants *w)
{
	return w->links || w->nodes || w->aggregates;
}

void link_cross_outside(struct daemon *d, const struct pfx *p)
{
	struct wants w;

	if (!d->link || !d->link->cross || !d->link->bgpd)
		return;
	w = what_is_wanted(d);
	if (wants_any(&w))
		take_note(&d->link->cross->in, p);
}

struct best {
	const struct pfx *p;
	struct bgp_attrs attrs;
	bool found;
};

static bool see_best(void *ctx, const struct bgp_entry *e)
{
	struct best *b = ctx;

	if (e->best && e->peer != BGP_LOCAL) {
		b->attrs = *e->attrs;
		b->found = true;
	}
	return !e->best;
}

/* Ranges of ours and of other clusters, closed ones too: no neighbour's word for what overlaps those goes to
 * links, and for what lies inside to nobody, where it would stand before that of the clusters. */
struct homes {
	struct pfx v[LIM_LINKED_RANGES + CONF_LIST_MAX];
	size_t n;
};

static void find_homes(struct daemon *d, struct homes *h)
{
	const size_t max = sizeof(h->v) / sizeof(h->v[0]);
	const struct segment *s = segment_find(d, VNI_DEFAULT);
	const struct rtab_entry *e;
	size_t it = 0;

	h->n = 0;
	for (size_t i = 0; s && i < s->nranges && h->n < max; i++)
		h->v[h->n++] = s->ranges[i];
	while (h->n < max && rtab_next(d->rtab, &it, &e))
		if (e->link && !e->outside && e->vni == VNI_DEFAULT)
			h->v[h->n++] = e->pfx;
}

static bool overlaps_home(const struct homes *h, const struct pfx *p)
{
	for (size_t i = 0; i < h->n; i++)
		if (pfx_overlaps(&h->v[i], p))
			return true;
	return p->len == 0;
}

static bool is_inside_home(const struct homes *h, const struct pfx *p)
{
	for (size_t i = 0; i < h->n; i++)
		if (pfx_contains(&h->v[i], p))
			return true;
	return false;
}

/* Not wanted by anybody, it is taken back. An aggregate stands for the route to the same prefix. */
static void carry_in(
	struct daemon *d, const struct pfx *p, const struct wants *w, const struct homes *h)
{
	struct bgp_nlri n = {.family = p->ip.family == IP_V6 ? BGP_IPV6 : BGP_IPV4, .pfx = *p};
	struct best b = {.p = p};
	bool links = w->links && !overlaps_home(h, p);

	if (wants_any(w) && !is_inside_home(h, p))
		(void)bgp_lookup(bgpd_core(d->bgp->bgpd), VNI_DEFAULT, &n, see_best, &b);
	link_exit_part(d, p, b.found);
	if (link_exit_is_aggregate(d, p))
		return;
	if (lbgp_offer(d->link->lbgp, p, b.found && (links || w->nodes) ? &b.attrs : NULL, links,
		    loop_now()) != 0)
		daemon_warn(
			d, "not all that neighbours tell is offered to links and nodes: no room");
}

static bool see_all(void *ctx, const struct bgp_entry *e)
{
	struct notes *in = ctx;

	if (e->best && e->peer != BGP_LOCAL)
		take_note(in, &e->nlri->pfx);
	return true;
}

bool link_cross_pending(const struct daemon *d)
{
	const struct cross *c = d->link ? d->link->cross : NULL;

	return c && (c->in.n || c->out.n || c->in.all || c->out.all);
}

bool link_cross_drain(struct daemon *d)
{
	struct link_svc *s = d->link;
	struct cross *c = s->cross;
	struct notes in = c->in, out = c->out;
	struct homes homes = {.n = 0};
	struct wants wants;

	if (!d->bgp || !d->bgp->bgpd)
		return false;
	if ((s->offer_all || in.all) && s->bgpd) {
		s->offer_all = c->in.all = false;
		link_exit_offer(d);
		(void)bgp_walk(
			bgpd_core(d->bgp->bgpd), BGP_LOC_RIB, VNI_DEFAULT, 0, see_all, &c->in);
		in = c->in;
	}
	if (!in.n && !out.n && !out.all)
		return false;
	wants = what_is_wanted(d);
	if (in.n && wants_any(&wants))
		find_homes(d, &homes);
	memset(&c->in, 0, sizeof(c->in));
	memset(&c->out, 0, sizeof(c->out));
	for (size_t i = 0; i < in.n; i++)
		carry_in(d, &in.v[i], &wants, &homes);
	for (size_t i = 0; i < out.n && !out.all; i++)
		carry_out(d, &out.v[i]);
	if (out.all)
		carry_all_out(d);
	if (in.n && s->bgpd)
		bgpd_kick(s->bgpd);
	free(in.v);
	free(out.v);
	return true;
}
