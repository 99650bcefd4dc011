/* lbgp_rules.c - what may cross between clusters. In: a route and who tells it, or is to hear it. Out: a
 * verdict, counted where a link's is refused; and which links were told of what, for the data plane.
 *
 * Before any policy, from a link:
 *	segment		not a route of a segment that is linked
 *	default		0.0.0.0/0 or ::/0
 *	own		overlaps a range of ours
 *	underlay	holds an address that carries the mesh (DESIGN 4.3)
 *	other		overlaps a range of a linked cluster, and is not that range as that cluster says it
 *			itself: from its own gateways what lies inside; passed on by others the range as it
 *			is, with that cluster at the path's far end
 * Then the link's policy; without one, what lies in the ranges of its greeting. What comes from whom the way
 * to fails (lbgp.h, last resort) gets LOCAL_PREF 0 and a mark, which our gateways tell each other. To a link:
 * nothing that went through its cluster, or has that mark, or was told by a neighbour of another node; then its
 * policy; without one, our own ranges (RFC 8212). To a node: what links told, aggregates of exits, and what the
 * policy for nodes says of other exits. From a gateway of ours: the first three and the fourth hold, but that an
 * exit may be a default route and hold the underlay: the node's --accept decides about it. */
#include <stdlib.h>
#include <string.h>
#include "weft/wire.h"
#include "lbgp_int.h"

/* --- the form of routes --- */

/* Route target: AS number and VNI, 4-octet AS form (RFC 4360 4, 5668). What lies outside: of the
 * experimental ones (RFC 7153 5.1), and so is a last resort. */
#define RT_TYPE      0x0202
#define OUTSIDE_TYPE 0x8f57
#define LAST_TYPE    0x8f58
#define EXIT_TYPE    0x8f59 /* of a neighbour of ours; inside this cluster alone */
#define RD_TYPE      0x0002 /* 4-octet AS number */

/* One distinguisher for all clusters and a segment: routes of several to one prefix are to be compared
 * (RFC 4364 4.1 leaves that open). */
void lbgp_nlri(const struct pfx *p, struct bgp_nlri *out)
{
	*out = (struct bgp_nlri){.family = p->ip.family == IP_V6 ? BGP_VPNV6 : BGP_VPNV4,
		.rd = {RD_TYPE >> 8, RD_TYPE & 0xff, 0, 0, 0, 0, VNI_DEFAULT >> 8,
			VNI_DEFAULT & 0xff},
		.label = 3,
		.pfx = *p};
}

static const uint8_t last_mark[8] = {LAST_TYPE >> 8, LAST_TYPE & 0xff};
static const uint8_t outside_mark[8] = {OUTSIDE_TYPE >> 8, OUTSIDE_TYPE & 0xff};
/* For everybody whose policy takes it, and for nodes alone. */
static const uint8_t exit_marks[2][8] = {
	{EXIT_TYPE >> 8, EXIT_TYPE & 0xff}, {EXIT_TYPE >> 8, EXIT_TYPE & 0xff, [7] = 1}};

size_t lbgp_communities(uint32_t asn, enum lbgp_kind kind, uint8_t out[24])
{
	const uint8_t rt[8] = {RT_TYPE >> 8, RT_TYPE & 0xff, (uint8_t)(asn >> 24),
		(uint8_t)(asn >> 16), (uint8_t)(asn >> 8), (uint8_t)asn, VNI_DEFAULT >> 8,
		VNI_DEFAULT & 0xff};

	memcpy(out, rt, 8);
	if (kind == LBGP_RANGE)
		return 8;
	memcpy(out + 8, outside_mark, 8);
	memcpy(out + 16, exit_marks[kind == LBGP_EXIT_NODES], 8);
	return 24;
}

static const uint8_t *community(const struct bgp_attrs *a, unsigned type)
{
	for (size_t i = 0; i + 8 <= a->ext_communities.len; i += 8)
		if ((a->ext_communities.p[i] << 8 | a->ext_communities.p[i + 1]) == (int)type)
			return a->ext_communities.p + i;
	return NULL;
}

bool lbgp_is_outside(const struct bgp_attrs *a)
{
	return community(a, OUTSIDE_TYPE) != NULL;
}

bool lbgp_is_exit(const struct bgp_attrs *a)
{
	return bgp_attrs_has(a, BGP_LIST_EXT, exit_marks[0]) ||
	       bgp_attrs_has(a, BGP_LIST_EXT, exit_marks[1]);
}

bool lbgp_is_last(const struct bgp_attrs *a)
{
	return bgp_attrs_has(a, BGP_LIST_EXT, last_mark);
}

/* A route of @x. What another cluster holds to be a last resort, or has neighbours for, says nothing of us. */
static enum bgp_verdict taken(const struct speaker *x, struct bgp_edit *edit)
{
	for (unsigned i = 0; i < 2 && x->link; i++)
		(void)bgp_edit_del(edit, BGP_LIST_EXT, exit_marks[i]);
	if (x->last) {
		(void)bgp_edit_local_pref(edit, 0);
		(void)bgp_edit_add(edit, BGP_LIST_EXT, last_mark);
	} else if (x->link) {
		(void)bgp_edit_del(edit, BGP_LIST_EXT, last_mark);
	}
	return BGP_ACCEPT;
}

static bool is_segment(const struct bgp_nlri *n, const struct bgp_attrs *a)
{
	const uint8_t *rt = community(a, RT_TYPE);
	struct bgp_nlri ours;

	lbgp_nlri(&n->pfx, &ours);
	return rt && (rt[6] << 8 | rt[7]) == VNI_DEFAULT &&
	       memcmp(n->rd, ours.rd, sizeof(n->rd)) == 0;
}

/* --- what was told to which link --- */

struct told *lbgp_told(struct lbgp *l, const struct pfx *p, bool make)
{
	uint8_t key[PFX_KEY];
	struct told *t;

	pfx_key(p, key);
	t = map_get(l->told, key);
	if (t || !make)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t || map_put(l->told, key, t) != 0) {
		free(t);
		return NULL;
	}
	t->pfx = *p;
	return t;
}

void lbgp_told_drop(struct lbgp *l, const struct pfx *p)
{
	uint8_t key[PFX_KEY];

	pfx_key(p, key);
	free(map_del(l->told, key));
}

static void queue(struct lbgp *l, struct told *t)
{
	if (t->queued)
		return;
	if (l->nstale == l->stale_cap) {
		size_t cap = l->stale_cap ? 2 * l->stale_cap : 16;
		struct pfx *more = realloc(l->stale, cap * sizeof(*more));

		if (!more) {
			l->all_stale = true;
			return;
		}
		l->stale = more;
		l->stale_cap = cap;
	}
	t->queued = true;
	l->stale[l->nstale++] = t->pfx;
}

/* Without memory for it the data plane goes on refusing the link what it was not told of. */
void lbgp_note(struct lbgp *l, const struct pfx *p, uint8_t bit, bool told)
{
	struct told *t = lbgp_told(l, p, told);

	if (!t || !!(t->to & bit) == told)
		return;
	t->to ^= bit;
	queue(l, t);
}

/* --- verdicts --- */

static bool in_ranges(const struct link_cluster *c, const struct pfx *p)
{
	for (size_t i = 0; i < c->nranges; i++)
		if (pfx_contains(&c->ranges[i], p))
			return true;
	return false;
}

bool lbgp_is_own(const struct lbgp *l, const struct pfx *p)
{
	for (size_t i = 0; i < l->self.nranges; i++)
		if (pfx_overlaps(&l->self.ranges[i], p))
			return true;
	return false;
}

bool lbgp_is_inside(const struct lbgp *l, const struct pfx *p)
{
	return in_ranges(&l->self, p);
}

static bool hits_underlay(const struct lbgp *l, const struct pfx *p)
{
	return l->cfg.ops->underlay && l->cfg.ops->underlay(l->cfg.ctx, p);
}

/* The same for what other gateways of ours have links with. What @from says of its own cluster was judged before. */
static bool is_far(const struct lbgp *l, const struct lbgp_link *from, const struct bgp_route *r)
{
	uint32_t origin = bgp_attrs_origin_as(r->attrs);

	for (size_t i = 0; i < l->nfar; i++) {
		const struct far *f = &l->far[i];

		if (f->asn != from->remote->asn && pfx_overlaps(&f->pfx, &r->nlri->pfx) &&
			(origin != f->asn || lbgp_is_outside(r->attrs) ||
				!pfx_contains(&f->pfx, &r->nlri->pfx)))
			return true;
	}
	return false;
}

/* Does @from speak for another linked cluster's range otherwise than by passing it on? */
static bool is_others(const struct lbgp *l, const struct lbgp_link *from, const struct bgp_route *r)
{
	const struct pfx *p = &r->nlri->pfx;
	uint32_t origin = bgp_attrs_origin_as(r->attrs);

	for (size_t i = 0; i < LIM_LINKS; i++) {
		const struct lbgp_link *k = l->links[i];

		for (size_t n = 0; k && n < k->remote->nranges; n++) {
			const struct pfx *range = &k->remote->ranges[n];

			if (!pfx_overlaps(range, p))
				continue;
			if (origin != k->remote->asn || lbgp_is_outside(r->attrs) ||
				!(k == from ? pfx_contains(range, p) : pfx_eq(range, p)))
				return true;
		}
	}
	return is_far(l, from, r);
}

/* A policy that replaces all communities does not mean those that say what the route is. */
static enum bgp_verdict apply(
	const struct bgp_policy *policy, const struct bgp_route *r, struct bgp_edit *edit)
{
	static const unsigned types[] = {RT_TYPE, OUTSIDE_TYPE, EXIT_TYPE};
	uint8_t mark[3][8];
	bool has[3];
	enum bgp_verdict v;

	for (unsigned i = 0; i < 3; i++) {
		const uint8_t *c = community(r->attrs, types[i]);

		has[i] = c != NULL;
		if (c)
			memcpy(mark[i], c, sizeof(mark[i]));
	}
	v = policy->ops->apply(policy->ctx, r, edit);
	for (unsigned i = 0; i < 3 && v == BGP_ACCEPT; i++)
		if (has[i])
			(void)bgp_edit_add(edit, BGP_LIST_EXT, mark[i]);
	return v;
}

static enum bgp_verdict judge(
	const struct lbgp_link *k, const struct bgp_route *r, struct bgp_edit *edit, int *why)
{
	const struct lbgp *l = k->in;
	const struct pfx *p = &r->nlri->pfx;

	*why = !is_segment(r->nlri, r->attrs) ? LBGP_SEGMENT
	       : p->len == 0                  ? LBGP_DEFAULT
	       : lbgp_is_own(l, p)            ? LBGP_OWN
	       : hits_underlay(l, p)          ? LBGP_UNDERLAY
	       : is_others(l, k, r)           ? LBGP_OTHER
					      : LBGP_POLICY;
	if (*why != LBGP_POLICY)
		return BGP_REJECT;
	if (k->import.ops)
		return apply(&k->import, r, edit);
	return in_ranges(k->remote, p) ? BGP_ACCEPT : BGP_REJECT;
}

static enum bgp_verdict from_link(void *ctx, const struct bgp_route *r, struct bgp_edit *edit)
{
	const struct speaker *x = ctx;
	struct lbgp_link *k = x->link;
	int why;

	if (judge(k, r, edit, &why) == BGP_ACCEPT)
		return taken(x, edit);
	k->refused[why]++;
	k->last_refused = r->nlri->pfx;
	k->last_why = (enum lbgp_reason)why;
	return BGP_REJECT;
}

/* May @r, which is no range of ours, go to @k, if its policy says so? Only the node that has a neighbour tells
 * other clusters of it, and aggregates are for nodes. */
static bool may_cross(const struct lbgp_link *k, const struct bgp_route *r)
{
	if (!lbgp_is_exit(r->attrs))
		return true;
	return k->outside && r->peer == BGP_LOCAL && r->attrs->as_path.len > 0 &&
	       bgp_attrs_has(r->attrs, BGP_LIST_EXT, exit_marks[0]);
}

static enum bgp_verdict to_link(void *ctx, const struct bgp_route *r, struct bgp_edit *edit)
{
	struct lbgp_link *k = ctx;
	bool own = r->peer == BGP_LOCAL && !lbgp_is_outside(r->attrs);
	enum bgp_verdict v = BGP_REJECT;

	if (!bgp_attrs_path_has(r->attrs, k->remote->asn) && !lbgp_is_last(r->attrs) &&
		may_cross(k, r)) {
		if (k->export.ops)
			v = apply(&k->export, r, edit);
		else
			v = own ? BGP_ACCEPT : BGP_REJECT;
	}
	if (!own)
		lbgp_note(k->in, &r->nlri->pfx, k->bit, v == BGP_ACCEPT);
	return v;
}

static enum bgp_verdict to_node(void *ctx, const struct bgp_route *r, struct bgp_edit *edit)
{
	struct lbgp *l = ctx;
	enum bgp_verdict v;

	if (r->ebgp)
		return BGP_ACCEPT;
	if (r->peer != BGP_LOCAL || !lbgp_is_exit(r->attrs))
		return BGP_REJECT;
	v = r->attrs->has & BGP_HAS_ATOMIC ? BGP_ACCEPT
	    : l->nodes.ops                 ? apply(&l->nodes, r, edit)
					   : BGP_REJECT;
	lbgp_note(l, &r->nlri->pfx, LBGP_OURS, v == BGP_ACCEPT);
	return v;
}

/* A gateway of ours is believed, but for what no link may say either. */
static enum bgp_verdict from_gateway(void *ctx, const struct bgp_route *r, struct bgp_edit *edit)
{
	const struct speaker *x = ctx;
	const struct lbgp *l = x->in;
	const struct pfx *p = &r->nlri->pfx;

	if (!is_segment(r->nlri, r->attrs) || lbgp_is_inside(l, p))
		return BGP_REJECT;
	if (!lbgp_is_exit(r->attrs) && (p->len == 0 || lbgp_is_own(l, p) || hits_underlay(l, p)))
		return BGP_REJECT;
	return taken(x, edit);
}

/* A node that doesn't say that it is a gateway has nothing to tell. */
static enum bgp_verdict from_node(void *ctx, const struct bgp_route *r, struct bgp_edit *edit)
{
	(void)ctx;
	(void)r;
	(void)edit;
	return BGP_REJECT;
}

static const struct bgp_policy_ops from_link_ops = {from_link}, to_link_ops = {to_link},
				   to_node_ops = {to_node}, from_gateway_ops = {from_gateway},
				   from_node_ops = {from_node};

void lbgp_policies(struct speaker *x, struct bgp_policy *import, struct bgp_policy *export)
{
	*import = (struct bgp_policy){x->link      ? &from_link_ops
				      : x->gateway ? &from_gateway_ops
						   : &from_node_ops,
		x};
	/* One for all nodes, so that the core tells them alike. */
	*export = x->link ? (struct bgp_policy){&to_link_ops, x->link}
			  : (struct bgp_policy){&to_node_ops, x->in};
}

const char *lbgp_reason_str(enum lbgp_reason why)
{
	static const char *const names[LBGP_REASONS] = {
		"segment", "own-range", "default", "underlay", "other-range", "policy"};

	return (unsigned)why < LBGP_REASONS ? names[why] : "?";
}
