/* bgpsim_check.c - what must hold (bgpsim.h). The model behind it knows clusters and links alone:
 * whom policy lets one reach, and whom the links that work at present let one reach. */
#include <stdio.h>
#include <string.h>
#include "bgpsim_int.h"
#include "weft/err.h"

#define HOPS_MAX   64
/* Circles last no longer; each fault is over in that time (measured, docs/simulator.md). */
#define LOOP_BOUND DUR_SEC(3)

/* --- the model --- */

static bool is_allowed(const struct bgpsim *s, unsigned from, unsigned to)
{
	return s->allowed[from] >> to & 1;
}

/* Clusters that @from reaches over the links that @works says work: next to it, or behind clusters that
 * let it pass. */
static uint32_t reach(
	const struct bgpsim *s, unsigned from, bool (*works)(const struct bgpsim *, unsigned))
{
	uint32_t seen = 1u << from, open = 1u << from;

	while (open) {
		uint32_t next = 0;

		for (unsigned i = 0; i < s->nlinks; i++) {
			unsigned a = s->links[i].a, b = s->links[i].b;

			if (!works(s, i))
				continue;
			if (open >> a & 1 && (a == from || s->transit[a]))
				next |= 1u << b;
			if (open >> b & 1 && (b == from || s->transit[b]))
				next |= 1u << a;
		}
		open = next & ~seen;
		seen |= next;
	}
	return seen & ~(1u << from);
}

static bool always(const struct bgpsim *s, unsigned link)
{
	(void)s;
	(void)link;
	return true;
}

static bool link_works(const struct bgpsim *s, unsigned link)
{
	for (unsigned i = 0; i < s->nsess; i++)
		if (s->sess[i].link == link && bs_path(s, s->sess[i].a, s->sess[i].b))
			return true;
	return false;
}

void bs_policy_plan(struct bgpsim *s)
{
	for (unsigned c = 0; c < s->cfg.clusters; c++)
		s->allowed[c] = reach(s, c, always);
}

int bs_cluster_of(const struct bgpsim *s, const struct pfx *p, unsigned *family)
{
	for (unsigned c = 0; c < s->cfg.clusters; c++)
		for (unsigned f = 0; f < 2; f++)
			if (pfx_eq(&s->self[c].ranges[f], p)) {
				*family = f;
				return (int)c;
			}
	return -1;
}

/* --- leaks --- */

void bs_check_route(struct bs_node *n, const struct pfx *p, int gateway)
{
	char text[PFX_STRLEN];
	unsigned family;
	int c = bs_cluster_of(n->s, p, &family);

	if (gateway < 0 || (c >= 0 && is_allowed(n->s, n->cluster, (unsigned)c)))
		return;
	bs_fail(n->s, BGPSIM_LEAK, "node %u of cluster %u uses %s of cluster %d", n->idx,
		n->cluster, pfx_fmt(p, text), c);
}

static void check_nlri(struct bgpsim *s, unsigned from, unsigned to, const struct bgp_nlri *n)
{
	const struct bs_node *a = &s->nodes[from], *b = &s->nodes[to];
	char text[PFX_STRLEN];
	unsigned family;
	int c = bs_cluster_of(s, &n->pfx, &family);
	bool fine = c >= 0 && (is_allowed(s, a->cluster, (unsigned)c) || c == (int)a->cluster);

	if (fine && a->cluster != b->cluster && c != (int)a->cluster)
		fine = s->transit[a->cluster];
	if (!fine)
		bs_fail(s, BGPSIM_LEAK, "node %u of cluster %u tells node %u of %u of %s", from,
			a->cluster, to, b->cluster, pfx_fmt(&n->pfx, text));
}

void bs_check_message(struct bgpsim *s, unsigned from, unsigned to, const uint8_t *msg, size_t len)
{
	const struct bgp_from how = {.ebgp = s->nodes[from].cluster != s->nodes[to].cluster,
		.as4 = true,
		.families = BGP_FAM(BGP_VPNV4) | BGP_FAM(BGP_VPNV6)};
	struct bgp_nlri n;
	struct rd r;

	bgp_update_decode(msg + BGP_HDR_LEN, len - BGP_HDR_LEN, &how, &s->update);
	if (s->update.attrs.fix != FIX_NONE)
		bs_fail(s, BGPSIM_LEAK, "node %u writes an UPDATE that is wrong (%u)", from,
			s->update.attrs.err.subcode);
	if (!s->update.attrs.reach.present || s->update.attrs.fix != FIX_NONE)
		return;
	rd_init(&r, s->update.attrs.reach.nlri, s->update.attrs.reach.len);
	while (rd_left(&r) && bgp_mp_read(&r, &s->update.attrs.reach, &n) == 0)
		check_nlri(s, from, to, &n);
}

/* --- where packets go --- */

/* Where @n sends what is for cluster @to; -1: nowhere. */
static int next_hop(const struct bs_node *n, unsigned family, unsigned to)
{
	const struct bgpsim *s = n->s;
	unsigned first = n->cluster * s->cfg.nodes;

	if (s->cfg.plant == BGPSIM_PLANT_CIRCLE && n->cluster == 0 && n->gateway &&
		s->cfg.gateways > 1)
		return (int)(n->idx == first ? first + 1 : first);
	return n->rt[family][to].gateway;
}

/* By the tables alone: -1 it ends somewhere, 1 it turns in a circle, 0 it arrived at @where. */
static int follow(const struct bs_node *n, unsigned family, unsigned to, unsigned *where)
{
	const struct bgpsim *s = n->s;

	for (unsigned hops = 0; hops < HOPS_MAX; hops++) {
		int next;

		*where = n->idx;
		if (n->cluster == to ||
			(s->cfg.plant == BGPSIM_PLANT_CLAIM && n->idx == 0 && to == 2 && !family))
			return 0;
		next = next_hop(n, family, to);
		if (next < 0 || !bs_path(s, n->idx, (unsigned)next))
			return -1;
		n = &s->nodes[next];
	}
	return 1;
}

/* The links that @x may speak for, as @n sees it (dp_peer_links). */
static unsigned links_of(const struct bs_node *n, const struct bs_node *x)
{
	if (x->cluster == n->cluster)
		return x->gateway ? UINT8_MAX : 0;
	return n->link_of[x->idx] ? 1u << n->link_of[x->idx] : 0;
}

/* May @from send to @n in the name of @src (promise 4.2, speaks_for of the data plane)? */
static bool speaks_for(const struct bs_node *n, const struct bs_node *from,
	const struct bs_node *src, unsigned family)
{
	const struct bs_route *r = &n->rt[family][src->cluster];

	if (src->cluster == n->cluster)
		return from == src;
	return r->gateway >= 0 && (r->from & links_of(n, from));
}

/* And to @dst? Another cluster's gateway uses what it was told of (was_told of the data plane). */
static bool was_told(const struct bs_node *n, const struct bs_node *from, const struct bs_node *dst,
	unsigned family)
{
	if (from->cluster == n->cluster || dst->cluster == n->cluster)
		return true;
	return n->rt[family][dst->cluster].to & links_of(n, from);
}

/* As the data plane does it: sources are checked, gateways alone forward and never back. */
static bool delivered(const struct bs_node *src, const struct bs_node *dst, unsigned family)
{
	const struct bs_node *n = src, *prev = NULL;
	const struct bgpsim *s = src->s;

	for (unsigned hops = 0; hops < HOPS_MAX; hops++) {
		int at = n->cluster == dst->cluster ? (int)dst->idx
						    : next_hop(n, family, dst->cluster);
		const struct bs_node *next = at < 0 ? NULL : &s->nodes[at];

		if (n == dst)
			return true;
		if (!next || !bs_path(s, n->idx, next->idx) || next == prev ||
			(prev && !n->gateway))
			return false;
		if (next->cluster != n->cluster && (!n->link_of[at] || !next->link_of[n->idx]))
			return false;
		if (!speaks_for(next, n, src, family) || !was_told(next, n, dst, family))
			return false;
		prev = n;
		n = next;
	}
	return false;
}

/* --- samples --- */

/* Some node of @c that lives, the last first. */
static const struct bs_node *someone(const struct bgpsim *s, unsigned c)
{
	for (unsigned i = (c + 1) * s->cfg.nodes; i-- > c * s->cfg.nodes;)
		if (s->nodes[i].alive)
			return &s->nodes[i];
	return NULL;
}

static void look_at(struct bgpsim *s, const struct bs_node *n, unsigned c, unsigned family,
	bool wanted, bool *wrong, bool *circle)
{
	const struct bs_node *dst = someone(s, c);
	unsigned where = 0;
	int end = follow(n, family, c, &where);

	*circle |= end > 0;
	if (end == 0 && s->nodes[where].cluster != c)
		bs_fail(s, BGPSIM_OWNER, "a packet of node %u for cluster %u ends at node %u of %u",
			n->idx, c, where, s->nodes[where].cluster);
	if (!dst || delivered(n, dst, family) == wanted)
		return;
	if (!*wrong)
		snprintf(s->what, sizeof(s->what), "IPv%u from node %u to node %u %s",
			family ? 6 : 4, n->idx, dst->idx,
			wanted ? "does not arrive" : "should not arrive");
	*wrong = true;
}

static void look_at_all(struct bgpsim *s, bool *wrong, bool *circle)
{
	for (unsigned i = 0; i < s->nnodes; i++) {
		const struct bs_node *n = &s->nodes[i];

		if (i % s->cfg.nodes == 0)
			s->reach = reach(s, n->cluster, link_works);
		for (unsigned c = 0; c < s->cfg.clusters && n->alive; c++)
			for (unsigned f = 0; f < 2 && c != n->cluster; f++)
				look_at(s, n, c, f, s->reach >> c & 1, wrong, circle);
	}
}

void bs_check_sample(struct bgpsim *s)
{
	bool wrong = false, circle = false;

	if (s->seen != s->version) {
		look_at_all(s, &wrong, &circle);
		s->seen = s->version;
		s->is_wrong = wrong;
		if (!circle)
			s->circle = TS_NEVER;
		else if (ts_is_never(s->circle))
			s->circle = s->now;
	}
	if (s->is_wrong)
		s->wrong = s->now;
	if (ts_is_never(s->circle))
		return;
	if (ts_sub(s->now, s->circle).ns > s->r->loop_max.ns)
		s->r->loop_max = ts_sub(s->now, s->circle);
	if (ts_sub(s->now, s->circle).ns > LOOP_BOUND.ns)
		bs_fail(s, BGPSIM_LOOP, "packets turn in a circle for longer than %lld ms",
			(long long)dur_ms(LOOP_BOUND));
}

/* --- quiet --- */

static bool speaks(const struct bs_node *n, const struct bs_node *with)
{
	uint32_t peer = lbgp_peer(n->lbgp, &with->key);
	struct bgp_peer_info i;

	return peer && n->bgp && bgp_peer_get(n->bgp, peer, &i) == 0 && i.state == BGP_ESTABLISHED;
}

/* Gateways with all of their cluster, and with those of the other side of a link. */
static bool should_speak(struct bgpsim *s, const struct bs_node *a, const struct bs_node *b)
{
	if (a == b || !bs_path(s, a->idx, b->idx))
		return false;
	if (a->cluster == b->cluster)
		return a->gateway || b->gateway;
	return bs_sess_find(s, a->idx, b->idx) != NULL;
}

void bs_check_quiet(struct bgpsim *s)
{
	for (unsigned i = 0; i < s->nnodes; i++) {
		const struct bs_node *n = &s->nodes[i];
		uint32_t now = reach(s, n->cluster, link_works);

		if (!n->alive)
			continue;
		for (unsigned k = 0; k < s->nnodes; k++)
			if (should_speak(s, n, &s->nodes[k]) && !speaks(n, &s->nodes[k]))
				bs_fail(s, BGPSIM_SESSION, "node %u has no session with node %u", i,
					k);
		for (unsigned c = 0; c < s->cfg.clusters; c++)
			for (unsigned f = 0; f < 2; f++)
				if (c != n->cluster && !(now >> c & 1) && n->rt[f][c].gateway >= 0)
					bs_fail(s, BGPSIM_GHOST,
						"node %u has a route to cluster %u, by %d", i, c,
						n->rt[f][c].gateway);
	}
}
