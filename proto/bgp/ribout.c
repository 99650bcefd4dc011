/* ribout.c - Adj-RIB-Out by groups.
 *
 * A group is the peers of a segment and family that are to hear the same: same kind, next hop and
 * export policy. Export runs once for the group and not for each peer.
 *
 * Its log is a list of the entries, one for each net announced, in the order of their last change;
 * each member has a marker in it, and what stands behind the marker is due to that member. A change
 * moves the entry to the end, where every member will come past it once more and find the newest
 * state: a slow peer costs no memory and holds nobody up. A new member's marker starts at the head,
 * which is the initial dump; a refresh moves it there again. A withdrawn entry stays until its count
 * of pending markers is zero.
 *
 * Packing: members write entries of one attribute set that stand together as one UPDATE. So a changed
 * entry goes not to the very end but behind the last one of its set, if no marker has come past that.
 *
 * A member is not told routes that came from itself. Whether it has to be told that such a route took
 * the place of another's is known by OUT_MIXED; when in doubt a withdrawal too many is sent. */
#include "ribout.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_int.h"

#define node_of(link) list_entry(link, struct log_node, l)

static struct out *entry_of(struct log_node *n)
{
	assert(n->kind == LOG_ENTRY);
	return (struct out *)(void *)n;
}

static void list_add_after(struct list *at, struct list *n)
{
	n->prev = at;
	n->next = at->next;
	at->next->prev = n;
	at->next = n;
}

static bool key_eq(const struct group_key *a, const struct group_key *b)
{
	return a->vni == b->vni && a->family == b->family && a->ebgp == b->ebgp &&
	       a->rr_client == b->rr_client && a->next_hop_self == b->next_hop_self &&
	       a->gshut == b->gshut && a->replace_as == b->replace_as &&
	       a->remove_private == b->remove_private && a->as_override == b->as_override &&
	       a->role == b->role && a->add_path == b->add_path && a->v4_over_v6 == b->v4_over_v6 &&
	       a->local_as == b->local_as && a->remote_as == b->remote_as &&
	       ip_eq(&a->next_hop, &b->next_hop) && a->export.ops == b->export.ops &&
	       a->export.ctx == b->export.ctx;
}

static struct out *find_out(const struct net *n, const struct bgp_group *g, uint32_t id)
{
	struct out *o = n->outs;

	while (o && (o->group != g->id || o->node.id != id))
		o = o->nnext;
	return o;
}

static void set_attr(struct bgp *b, struct bgp_group *g, struct out *o, struct attr_set *attr)
{
	if (o->attr) {
		if (o->attr->last_out == o)
			o->attr->last_out = NULL;
		g->live--;
		g->live_from[o->from]--;
		attr_put(&b->attrs, o->attr);
	}
	o->attr = attr;
}

static void free_out(struct bgp *b, struct bgp_group *g, struct out *o)
{
	struct net *n = o->net;
	struct out **at = &n->outs;

	set_attr(b, g, o, NULL);
	while (*at != o)
		at = &(*at)->nnext;
	*at = o->nnext;
	list_del(&o->node.l);
	bgp_pool_put(&b->outs, o);
	rib_release(g->rib, n);
}

static void wake(struct bgp_group *g)
{
	struct list *l, *t;

	if (g->awake)
		return;
	g->awake = true;
	list_each(&g->members, l, t)
	{
		struct peer_out *po = list_entry(l, struct peer_out, in_group);

		po->at_end = false;
		bgp_peer_wake(po->peer);
	}
}

/* Give @o its place as changed just now. Its set's last entry is a good neighbour only while every
 * marker is in front of it. */
static void place(struct bgp_group *g, struct out *o)
{
	struct out *near = o->attr ? o->attr->last_out : NULL;

	if (near == o)
		near = NULL;
	list_del(&o->node.l);
	if (near && near->group == g->id && near->pending == g->npeers)
		list_add_after(&near->node.l, &o->node.l);
	else
		list_add_tail(&g->log, &o->node.l);
	if (o->attr)
		o->attr->last_out = o;
	o->pending = g->npeers;
}

/* Bring one entry of @g up to date with @best (NULL: none), the path with identifier @id. ERR_NOMEM:
 * unchanged. */
static int update_one(struct bgp *b, struct bgp_group *g, struct net *n,
	const struct bgp_nlri *nlri, const struct path *best, uint32_t id, bool label_changed)
{
	struct out *o = find_out(n, g, id);
	struct attr_set *attr = NULL;
	int err = best ? bgp_export(b, g, nlri, best, &attr) : 0;

	if (err < 0)
		return err;
	if (!o && !attr)
		return 0;
	if (!o) {
		o = bgp_pool_get(&b->outs);
		if (!o) {
			attr_put(&b->attrs, attr);
			return ERR_NOMEM;
		}
		*o = (struct out){.node.kind = LOG_ENTRY,
			.node.id = id,
			.group = g->id,
			.net = n,
			.from = best->peer,
			.nnext = n->outs};
		list_init(&o->node.l);
		n->outs = o;
	} else if (o->attr == attr && (!attr || (o->from == best->peer && !label_changed))) {
		attr_put(&b->attrs, attr);
		return 0;
	}
	set_attr(b, g, o, attr);
	if (attr) {
		if (o->from != best->peer)
			o->flags |= OUT_MIXED;
		o->from = best->peer;
		g->live++;
		g->live_from[o->from]++;
	}
	place(g, o);
	wake(g);
	return 0;
}

/* RFC 7911: the first paths in the order of the decision that the group may hear, each an entry. */
static int update_paths(
	struct bgp *b, struct bgp_group *g, struct net *n, const struct bgp_nlri *nlri)
{
	const struct path *p = n->best ? n->paths : NULL;
	struct out *o, *next;
	unsigned told = 0;
	int err = 0;

	for (; p && told < g->key.add_path && err == 0; p = p->next) {
		if (!(p->flags & PATH_USABLE))
			continue;
		err = update_one(b, g, n, nlri, p, path_tx_id(p), false);
		o = find_out(n, g, path_tx_id(p));
		if (o) {
			o->flags |= OUT_SEEN;
			told += o->attr != NULL;
		}
	}
	for (o = n->outs; o; o = next) {
		next = o->nnext;
		if (o->group != g->id)
			continue;
		if (!(o->flags & OUT_SEEN) && err == 0)
			err = update_one(b, g, n, nlri, NULL, o->node.id, false);
		o->flags &= (uint8_t)~OUT_SEEN;
	}
	return err;
}

/* Bring all that @g hears of @n up to date. ERR_NOMEM: the group has failed. */
static int update_net(struct bgp *b, struct bgp_group *g, struct net *n, bool label_changed)
{
	struct bgp_nlri nlri;

	net_nlri(n, &nlri);
	nlri.label = n->best_label;
	if (g->key.add_path)
		return update_paths(b, g, n, &nlri);
	return update_one(b, g, n, &nlri, n->best ? n->paths : NULL, 0, label_changed);
}

void ribout_update(struct bgp *b, struct rib *r, struct net *n, bool label_changed)
{
	for (unsigned i = 0; i < b->ngroups; i++) {
		struct bgp_group *g = b->groups[i];

		if (g && g->rib == r && g->key.family == n->family && !g->failed)
			g->failed = update_net(b, g, n, label_changed) < 0;
	}
}

/* Paths are ranked only while somebody hears more than the best one: decide again. */
static void mark_all(struct rib *r)
{
	struct net *n, *cursor = NULL;
	size_t at = 0;

	while ((n = rib_next(r, &at, &cursor)) != NULL)
		if (n->paths && n->paths->next)
			rib_mark(r, n);
}

static struct bgp_group *group_make(struct bgp *b, const struct group_key *key)
{
	struct bgp_group *g;
	struct net *n, *cursor = NULL;
	size_t at = 0;
	unsigned i = 0;

	while (i < b->ngroups && b->groups[i])
		i++;
	assert(i < sizeof(b->groups) / sizeof(b->groups[0]));
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->id = (uint16_t)i;
	g->key = *key;
	g->rib = bgp_rib(b, key->vni);
	list_init(&g->log);
	list_init(&g->members);
	b->groups[i] = g;
	if (key->add_path && b->add_path_groups++ == 0)
		mark_all(g->rib);
	if (i == b->ngroups)
		b->ngroups++;
	while ((n = rib_next(g->rib, &at, &cursor)) != NULL) {
		if (n->family != key->family || !n->best)
			continue;
		/* Its first path need not be the best any more; and if the decision changes
		 * nothing, the group must hear of it all the same. */
		if (n->flags & NET_QUEUED) {
			n->flags |= NET_FORCED;
			continue;
		}
		if (update_net(b, g, n, false) < 0) {
			g->failed = true;
			break;
		}
	}
	return g;
}

static void group_free(struct bgp *b, struct bgp_group *g)
{
	assert(g->npeers == 0);
	while (!list_empty(&g->log))
		free_out(b, g, entry_of(node_of(g->log.next)));
	attr_put(&b->attrs, g->cache_in);
	attr_put(&b->attrs, g->cache_out);
	b->groups[g->id] = NULL;
	b->add_path_groups -= g->key.add_path != 0;
	while (b->ngroups && !b->groups[b->ngroups - 1])
		b->ngroups--;
	free(g);
}

/* The marker came past @o. */
static void passed(struct bgp *b, struct bgp_group *g, struct out *o)
{
	assert(o->pending > 0);
	if (--o->pending == 0 && !o->attr)
		free_out(b, g, o);
}

void ribout_leave(struct bgp *b, struct peer_out *po)
{
	struct bgp_group *g = po->group;
	struct list *l, *next;

	if (!g)
		return;
	po->group = NULL;
	list_del(&po->in_group);
	if (--g->npeers == 0) {
		list_del(&po->marker.l);
		group_free(b, g);
		return;
	}
	for (l = po->marker.l.next; l != &g->log; l = next) {
		next = l->next;
		if (node_of(l)->kind == LOG_ENTRY)
			passed(b, g, entry_of(node_of(l)));
	}
	list_del(&po->marker.l);
}

static void join(struct bgp_group *g, struct peer_out *po)
{
	struct list *l, *t;

	list_each(&g->log, l, t)
	{
		if (node_of(l)->kind == LOG_ENTRY)
			entry_of(node_of(l))->pending++;
	}
	g->npeers++;
	po->group = g;
	po->marker.kind = LOG_MARKER;
	list_add_after(&g->log, &po->marker.l);
	list_add_tail(&g->members, &po->in_group);
	po->at_end = false;
	po->rewound = true;
}

/* A member moves from @old to @g: what @g has nothing about must be withdrawn from it. */
static int carry(struct bgp *b, const struct bgp_group *old, struct bgp_group *g)
{
	struct list *l, *t;

	list_each(&old->log, l, t)
	{
		struct net *n;
		struct out *o;
		uint32_t id;

		if (node_of(l)->kind != LOG_ENTRY)
			continue;
		n = entry_of(node_of(l))->net;
		id = entry_of(node_of(l))->node.id;
		o = find_out(n, g, id);
		if (o) {
			o->flags |= OUT_MIXED;
			continue;
		}
		o = bgp_pool_get(&b->outs);
		if (!o)
			return ERR_NOMEM;
		*o = (struct out){.node.kind = LOG_ENTRY,
			.node.id = id,
			.group = g->id,
			.net = n,
			.flags = OUT_MIXED,
			.nnext = n->outs};
		list_init(&o->node.l);
		n->outs = o;
		place(g, o);
		wake(g);
	}
	return 0;
}

/* The policy may answer differently now: export everything again. */
static int reexport(struct bgp *b, struct bgp_group *g)
{
	struct net *n, *cursor = NULL;
	size_t at = 0;

	attr_put(&b->attrs, g->cache_in);
	attr_put(&b->attrs, g->cache_out);
	g->cache_in = g->cache_out = NULL;
	while ((n = rib_next(g->rib, &at, &cursor)) != NULL) {
		if (n->family != g->key.family || !n->best)
			continue;
		if (n->flags & NET_QUEUED) {
			n->flags |= NET_FORCED;
			continue;
		}
		if (update_net(b, g, n, false) < 0) {
			g->failed = true;
			return ERR_NOMEM;
		}
	}
	return 0;
}

int ribout_join(struct bgp *b, struct peer_out *po, const struct group_key *key)
{
	struct bgp_group *g = NULL, *old = po->group;
	int err = 0;

	for (unsigned i = 0; i < b->ngroups && !g; i++)
		if (b->groups[i] && !b->groups[i]->failed && key_eq(&b->groups[i]->key, key))
			g = b->groups[i];
	if (g && g == old)
		return reexport(b, g);
	if (!g)
		g = group_make(b, key);
	if (!g)
		return ERR_NOMEM;
	if (g->failed)
		err = ERR_NOMEM;
	else if (old)
		err = carry(b, old, g);
	if (err < 0) {
		if (g->npeers == 0)
			group_free(b, g);
		return err;
	}
	ribout_leave(b, po);
	join(g, po);
	return 0;
}

void ribout_rewind(struct peer_out *po)
{
	struct list *l;

	if (po->rewound)
		return;
	for (l = po->marker.l.prev; l != &po->group->log; l = l->prev)
		if (node_of(l)->kind == LOG_ENTRY)
			entry_of(node_of(l))->pending++;
	list_del(&po->marker.l);
	list_add_after(&po->group->log, &po->marker.l);
	po->rewound = true;
	po->at_end = false;
}

enum due { DUE_NOTHING, DUE_WITHDRAW, DUE_ANNOUNCE };

/* What @po's peer is to be told of @o; @barred: its attributes can't be announced to that peer. */
static enum due due_of(const struct peer_out *po, const struct out *o, bool barred)
{
	bool own = o->from == po->peer->idx;

	if (o->attr && !own && !barred)
		return DUE_ANNOUNCE;
	return own && !(o->flags & OUT_MIXED) ? DUE_NOTHING : DUE_WITHDRAW;
}

/* The entry behind the marker, stepping over other markers; NULL at the end. */
static struct out *next_entry(struct peer_out *po)
{
	struct list *l = po->marker.l.next;

	while (l != &po->group->log && node_of(l)->kind == LOG_MARKER)
		l = l->next;
	return l == &po->group->log ? NULL : entry_of(node_of(l));
}

static void step_past(struct bgp *b, struct peer_out *po, struct out *o)
{
	list_del(&po->marker.l);
	list_add_after(&o->node.l, &po->marker.l);
	passed(b, po->group, o);
}

static void nlri_of(const struct out *o, struct bgp_nlri *n)
{
	net_nlri(o->net, n);
	n->label = o->net->best_label;
}

/* Longer sets are too long for such a speaker whatever its paths shrink to. */
#define NARROW_MAX (3 * BGP_MSG_MAX)

/* Attributes of @s for a speaker of 2-octet AS numbers (RFC 6793 4.2.2). */
static void put_narrow(struct wr *w, const struct attr_set *s, bool with_next_hop)
{
	uint8_t path[NARROW_MAX];
	struct bgp_attrs a, rest;
	bool exact;
	size_t n;

	attr_view(s, &a);
	n = bgp_path_narrow(a.as_path.p, a.as_path.len, path, &exact);
	bgp_attr_header(w, AF_TRANSITIVE, AT_ORIGIN, 1);
	wr_u8(w, a.origin);
	bgp_attr_header(w, AF_TRANSITIVE, AT_AS_PATH, n);
	wr_copy(w, path, n);
	if (with_next_hop) {
		bgp_attr_header(w, AF_TRANSITIVE, AT_NEXT_HOP, 4);
		wr_copy(w, s->data, 4);
	}
	rest = a;
	rest.has &= ~(BGP_HAS_ORIGIN | BGP_HAS_AS_PATH | BGP_HAS_AGGREGATOR);
	bgp_attrs_encode(w, &rest);
	if (a.has & BGP_HAS_AGGREGATOR) {
		bgp_attr_header(w, AF_OPTIONAL | AF_TRANSITIVE, AT_AGGREGATOR, 6);
		wr_u16(w, a.aggregator_as > UINT16_MAX ? BGP_AS_TRANS : (uint16_t)a.aggregator_as);
		wr_u32(w, a.aggregator_id);
		if (a.aggregator_as > UINT16_MAX) {
			bgp_attr_header(w, AF_OPTIONAL | AF_TRANSITIVE, AT_AS4_AGGREGATOR, 8);
			wr_u32(w, a.aggregator_as);
			wr_u32(w, a.aggregator_id);
		}
	}
	if (!exact) {
		bgp_attr_header(w, AF_OPTIONAL | AF_TRANSITIVE, AT_AS4_PATH, a.as_path.len);
		wr_copy(w, a.as_path.p, a.as_path.len);
	}
}

/* The canonical bytes begin with ORIGIN (4 bytes) and AS_PATH; NEXT_HOP goes behind these. */
static void put_wide(struct wr *w, const struct attr_set *s, bool with_next_hop)
{
	const uint8_t *wire = attr_wire(s), *path = wire + 4;
	size_t lead = 4;

	lead += path[0] & AF_EXTENDED ? 4u + (unsigned)(path[2] << 8 | path[3]) : 3u + path[2];
	wr_copy(w, wire, lead);
	if (with_next_hop) {
		bgp_attr_header(w, AF_TRANSITIVE, AT_NEXT_HOP, 4);
		wr_copy(w, s->data, 4);
	}
	wr_copy(w, wire + lead, s->wire_len - lead);
}

/* Bytes of the attributes of @attr in an UPDATE, next hop aside. */
static size_t attrs_size(const struct peer_out *po, const struct attr_set *attr)
{
	uint8_t room[NARROW_MAX];
	struct wr w;

	if (po->peer->as4 || attr->wire_len > NARROW_MAX)
		return attr->wire_len;
	wr_init(&w, room, sizeof(room));
	put_narrow(&w, attr, false);
	return wr_bad(&w) ? sizeof(room) : wr_len(&w);
}

/* Room that an announcement needs besides its attributes: headers, next hop, one NLRI. */
#define ANNOUNCE_ROOM (BGP_HDR_LEN + 4 + 4 + 5 + 24 + 7 + 36)

/* May @a not be announced to @po's peer? RFC 4271 5.1.3: a next hop that is the peer itself; 9.2:
 * attributes that leave no room for a prefix. */
static bool is_barred(const struct peer_out *po, const struct attr_set *a)
{
	struct ip nh;

	if (!a)
		return false;
	if (attrs_size(po, a) + ANNOUNCE_ROOM > po->peer->msg_max)
		return true;
	attr_next_hop(a, &nh);
	return !po->group->key.ebgp && ip_eq(&nh, &po->peer->cfg.remote.ip);
}

/* Put NLRI of entries that want the same as the first into @w, and step past them. */
static unsigned put_run(
	struct bgp *b, struct peer_out *po, struct wr *w, enum due due, struct attr_set *attr)
{
	bool barred = is_barred(po, attr);
	unsigned n = 0;
	struct out *o;

	while ((o = next_entry(po)) != NULL) {
		enum due want;
		struct bgp_nlri nlri;

		if (due == DUE_ANNOUNCE && o->attr && o->attr != attr)
			break;
		if (due == DUE_WITHDRAW && o->attr != attr)
			barred = is_barred(po, attr = o->attr);
		want = due_of(po, o, barred);
		if (want != DUE_NOTHING) {
			if (want != due || wr_left(w) < 32)
				break;
			nlri_of(o, &nlri);
			if (po->group->key.add_path)
				wr_u32(w, o->node.id);
			bgp_nlri_write(w, &nlri, due == DUE_WITHDRAW);
			n++;
		}
		step_past(b, po, o);
	}
	return n;
}

static void put_withdraws(struct bgp *b, struct peer_out *po, struct wr *w, struct out *first)
{
	unsigned f = po->group->key.family;
	uint8_t *at = bgp_msg_begin(w, MSG_UPDATE), *len, *mp_len = NULL;
	size_t n;

	len = wr_skip(w, 2);
	if (f != BGP_IPV4) { /* RFC 4760 4 */
		len = wr_skip(w, 2);
		wr_u8(w, AF_OPTIONAL | AF_EXTENDED);
		wr_u8(w, AT_MP_UNREACH);
		mp_len = wr_skip(w, 2);
		wr_u16(w, bgp_family_afi(f));
		wr_u8(w, bgp_family_safi(f));
		memset(len - 2, 0, 2);
	}
	put_run(b, po, w, DUE_WITHDRAW, first->attr);
	n = (size_t)(w->p - (len + 2));
	len[0] = (uint8_t)(n >> 8);
	len[1] = (uint8_t)n;
	if (mp_len) {
		n = (size_t)(w->p - (mp_len + 2));
		mp_len[0] = (uint8_t)(n >> 8);
		mp_len[1] = (uint8_t)n;
	} else {
		wr_u16(w, 0);
	}
	bgp_msg_end(w, at);
}

static void put_mp_reach(
	struct bgp *b, struct peer_out *po, struct wr *w, struct attr_set *attr, unsigned *n)
{
	unsigned f = po->group->key.family, vpn = bgp_family_vpn(f) ? 8 : 0;
	uint8_t *len;
	size_t size, nh_len;

	/* RFC 7606 5.1: first of the attributes. Its length is known when the NLRI are in, so they
	 * are put before the other attributes, with room left for these. */
	wr_u8(w, AF_OPTIONAL | AF_EXTENDED);
	wr_u8(w, AT_MP_REACH);
	len = wr_skip(w, 2);
	wr_u16(w, bgp_family_afi(f));
	wr_u8(w, bgp_family_safi(f));
	nh_len = attr->nh_len > 16 ? 16 : attr->nh_len; /* of its own family, or RFC 8950 */
	wr_u8(w, (uint8_t)(vpn + nh_len));
	wr_zero(w, vpn);
	wr_copy(w, attr->data, nh_len);
	wr_u8(w, 0);
	*n = put_run(b, po, w, DUE_ANNOUNCE, attr);
	size = (size_t)(w->p - (len + 2));
	len[0] = (uint8_t)(size >> 8);
	len[1] = (uint8_t)size;
}

static void put_announces(struct bgp *b, struct peer_out *po, struct wr *w, struct out *first)
{
	void (*put)(struct wr *, const struct attr_set *, bool) =
		po->peer->as4 ? put_wide : put_narrow;
	struct attr_set *attr = attr_hold(first->attr);
	bool v4 = po->group->key.family == BGP_IPV4 && attr->nh_len == 4;
	uint8_t *at = bgp_msg_begin(w, MSG_UPDATE), *len;
	unsigned n;
	size_t attrs;

	wr_u16(w, 0);
	len = wr_skip(w, 2);
	if (v4) {
		put(w, attr, true);
	} else {
		struct wr mp = *w;

		mp.end -= attrs_size(po, attr); /* room for the others behind */
		put_mp_reach(b, po, &mp, attr, &n);
		w->p = mp.p;
		w->bad = w->bad || mp.bad;
		put(w, attr, false);
	}
	attrs = (size_t)(w->p - (len + 2));
	len[0] = (uint8_t)(attrs >> 8);
	len[1] = (uint8_t)attrs;
	if (v4)
		put_run(b, po, w, DUE_ANNOUNCE, attr);
	bgp_msg_end(w, at);
	assert(!wr_bad(w));
	attr_put(&b->attrs, attr);
}

unsigned ribout_emit(struct bgp *b, struct peer_out *po, struct wr *w, unsigned max_msgs)
{
	unsigned msgs = 0;
	struct out *o;

	while (msgs < max_msgs && (o = next_entry(po)) != NULL) {
		bool barred = is_barred(po, o->attr);
		enum due due = due_of(po, o, barred);
		struct wr msg;
		size_t max;

		/* A long message (RFC 8654) only where a short one doesn't do. */
		max = due == DUE_ANNOUNCE && attrs_size(po, o->attr) + ANNOUNCE_ROOM > BGP_MSG_MAX
			      ? po->peer->msg_max
			      : BGP_MSG_MAX;
		if (wr_left(w) < max)
			return msgs;
		wr_init(&msg, w->p, max);
		po->rewound = false;
		if (due == DUE_NOTHING) {
			step_past(b, po, o);
			continue;
		}
		if (due == DUE_ANNOUNCE)
			put_announces(b, po, &msg, o);
		else
			put_withdraws(b, po, &msg, o);
		w->p = msg.p;
		msgs++;
	}
	if (!next_entry(po)) {
		po->at_end = true;
		po->group->awake = false;
	}
	return msgs;
}

uint32_t ribout_announced(const struct peer_out *po)
{
	return po->group ? po->group->live - po->group->live_from[po->peer->idx] : 0;
}
