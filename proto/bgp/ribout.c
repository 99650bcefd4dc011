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
 * A new group's table is exported in portions, between decisions and bytes (ribout_fill), so that a full
 * table holds up nothing; End-of-RIB waits for the last portion.
 *
 * Packing: members write entries of one attribute set that stand together as one UPDATE. So a changed
 * entry goes not to the very end but behind the last one of its set, if no marker has come past that.
 *
 * A member is not told routes that came from itself. Whether it has to be told that such a route took
 * the place of another's is known by OUT_MIXED; when in doubt a withdrawal too many is sent. */
#include "ribout.h"
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_int.h"

static struct out *out_at(const struct bgp *b, uint32_t ref)
{
	if (!ref)
		return NULL;
	return bgp_pool_at(ref & REF_SECOND ? &b->wide_outs : &b->outs, ref & REF_NUMBER);
}

/* A new element, alone in its ring; *@ref is its number. NULL: no memory. */
static struct out *out_make(struct bgp *b, bool wide, uint32_t *ref)
{
	struct out *o = bgp_pool_get(wide ? &b->wide_outs : &b->outs, ref);

	if (!o)
		return NULL;
	*ref |= wide ? REF_SECOND : 0;
	*o = (struct out){.flags = wide ? OUT_WIDE : 0, .prev = *ref, .next = *ref};
	return o;
}

static void log_del(const struct bgp *b, struct out *o, uint32_t ref)
{
	out_at(b, o->prev)->next = o->next;
	out_at(b, o->next)->prev = o->prev;
	o->prev = o->next = ref;
}

static void log_add_after(const struct bgp *b, uint32_t where, uint32_t ref)
{
	struct out *before = out_at(b, where), *o = out_at(b, ref);

	o->prev = where;
	o->next = before->next;
	out_at(b, before->next)->prev = ref;
	before->next = ref;
}

static void out_free(struct bgp *b, uint32_t ref)
{
	log_del(b, out_at(b, ref), ref);
	bgp_pool_put(ref & REF_SECOND ? &b->wide_outs : &b->outs, ref & REF_NUMBER);
}

static bool is_entry(const struct out *o)
{
	return !(o->flags & OUT_MARKER);
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

/* The number of the entry, 0: there is none. */
static uint32_t find_out(
	const struct bgp *b, const struct net *n, const struct bgp_group *g, uint32_t id)
{
	const struct out *o;
	uint32_t ref = n->outs;

	while ((o = out_at(b, ref)) != NULL && (o->group != g->id || out_id(o) != id))
		ref = o->nnext;
	return ref;
}

static void set_attr(
	struct bgp *b, struct bgp_group *g, struct out *o, uint32_t ref, struct attr_set *attr)
{
	if (o->attr) {
		if (o->attr->last_out == ref)
			o->attr->last_out = 0;
		g->live--;
		g->live_from[o->from]--;
		attr_put(&b->attrs, o->attr);
	}
	o->attr = attr;
}

static void free_entry(struct bgp *b, struct bgp_group *g, uint32_t ref)
{
	struct out *o = out_at(b, ref);
	struct net *n = net_at(g->rib, o->net);
	uint32_t *place = &n->outs;

	set_attr(b, g, o, ref, NULL);
	while (*place != ref)
		place = &out_at(b, *place)->nnext;
	*place = o->nnext;
	out_free(b, ref);
	rib_release(g->rib, n);
}

/* A new entry of @n, not in the log yet; 0: no memory. */
static uint32_t make_entry(
	struct bgp *b, const struct bgp_group *g, struct net *n, uint32_t id, uint16_t from)
{
	uint32_t ref;
	struct out *o = out_make(b, g->key.add_path != 0, &ref);

	if (!o)
		return 0;
	if (g->key.add_path)
		((struct wide_out *)(void *)o)->id = id;
	o->group = g->id;
	o->net = n->self;
	o->from = from;
	o->nnext = n->outs;
	n->outs = ref;
	return ref;
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
static void place(struct bgp *b, struct bgp_group *g, struct out *o, uint32_t ref)
{
	uint32_t near = o->attr && o->attr->last_out != ref ? o->attr->last_out : 0;
	const struct out *n = out_at(b, near);

	log_del(b, o, ref);
	if (n && n->group == g->id && n->pending == g->npeers)
		log_add_after(b, near, ref);
	else
		log_add_after(b, out_at(b, g->log)->prev, ref);
	if (o->attr)
		o->attr->last_out = ref;
	o->pending = g->npeers;
}

/* Bring one entry of @g up to date with @best (NULL: none), the path with identifier @id. ERR_NOMEM:
 * unchanged. */
static int update_one(struct bgp *b, struct bgp_group *g, struct net *n,
	const struct bgp_nlri *nlri, const struct path *best, uint32_t id, bool label_changed)
{
	uint32_t ref = find_out(b, n, g, id);
	struct out *o = out_at(b, ref);
	struct attr_set *attr = NULL;
	int err = best ? bgp_export(b, g, nlri, best, &attr) : 0;

	if (err < 0)
		return err;
	if (!o && !attr)
		return 0;
	if (!o) {
		ref = make_entry(b, g, n, id, best->peer);
		o = out_at(b, ref);
		if (!o) {
			attr_put(&b->attrs, attr);
			return ERR_NOMEM;
		}
	} else if (o->attr == attr && (!attr || (o->from == best->peer && !label_changed))) {
		attr_put(&b->attrs, attr);
		return 0;
	}
	set_attr(b, g, o, ref, attr);
	if (attr) {
		if (o->from != best->peer)
			o->flags |= OUT_MIXED;
		o->from = best->peer;
		g->live++;
		g->live_from[o->from]++;
	}
	place(b, g, o, ref);
	wake(g);
	return 0;
}

/* RFC 7911: the first paths in the order of the decision that the group may hear, each an entry. */
static int update_paths(
	struct bgp *b, struct bgp_group *g, struct net *n, const struct bgp_nlri *nlri)
{
	const struct path *p = n->best ? net_first(g->rib, n) : NULL;
	uint32_t next;
	struct out *o;
	unsigned told = 0;
	int err = 0;

	for (; p && told < g->key.add_path && err == 0; p = path_next(g->rib, p)) {
		if (!(p->flags & PATH_USABLE))
			continue;
		err = update_one(b, g, n, nlri, p, path_tx_id(p), false);
		o = out_at(b, find_out(b, n, g, path_tx_id(p)));
		if (o) {
			o->flags |= OUT_SEEN;
			told += o->attr != NULL;
		}
	}
	for (next = n->outs; (o = out_at(b, next)) != NULL;) {
		next = o->nnext;
		if (o->group != g->id)
			continue;
		if (!(o->flags & OUT_SEEN) && err == 0)
			err = update_one(b, g, n, nlri, NULL, out_id(o), false);
		o->flags &= (uint8_t)~OUT_SEEN;
	}
	return err;
}

/* Bring all that @g hears of @n up to date. ERR_NOMEM: the group has failed. */
static int update_net(struct bgp *b, struct bgp_group *g, struct net *n, bool label_changed)
{
	struct bgp_nlri nlri;

	net_nlri(n, &nlri);
	if (g->key.add_path)
		return update_paths(b, g, n, &nlri);
	return update_one(b, g, n, &nlri, n->best ? net_first(g->rib, n) : NULL, 0, label_changed);
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
		if (n->paths && net_first(r, n)->next)
			rib_mark(r, n);
}

static void fill_end(struct bgp *b, struct bgp_group *g)
{
	b->filling -= g->filling;
	g->filling = false;
}

/* Export @n to @g anew. Its first path need not be the best any more while it waits for its decision;
 * and if that changes nothing, the group must hear of it all the same. */
static int export_net(struct bgp *b, struct bgp_group *g, struct net *n)
{
	if (n->family != g->key.family || !n->best)
		return 0;
	if (n->flags & NET_QUEUED) {
		n->flags |= NET_FORCED;
		return 0;
	}
	return update_net(b, g, n, false);
}

/* The table may grow meanwhile (rib_buckets). What changes meanwhile, all groups hear of anyway. */
static void fill(struct bgp *b, struct bgp_group *g, unsigned nets)
{
	struct net *n;

	while (nets > 0 && !g->failed && g->fill_at < rib_buckets(g->rib)) {
		for (n = net_at(g->rib, g->rib->buckets[g->fill_at++]); n && !g->failed;
			n = net_at(g->rib, n->hnext)) {
			g->failed = export_net(b, g, n) < 0;
			nets -= nets > 0;
		}
		nets -= nets > 0; /* empty ones take time too */
	}
	if (g->failed || g->fill_at >= rib_buckets(g->rib))
		fill_end(b, g);
}

bool ribout_fill(struct bgp *b, unsigned nets)
{
	for (unsigned i = 0; b->filling && i < b->ngroups; i++)
		if (b->groups[i] && b->groups[i]->filling) {
			fill(b, b->groups[i], nets);
			return true;
		}
	return false;
}

static bool marker_make(struct bgp *b, uint32_t *ref)
{
	struct out *o = out_make(b, false, ref);

	if (o)
		o->flags |= OUT_MARKER;
	return o != NULL;
}

static struct bgp_group *group_make(struct bgp *b, const struct group_key *key)
{
	struct bgp_group *g;
	unsigned i = 0;

	while (i < b->ngroups && b->groups[i])
		i++;
	assert(i < sizeof(b->groups) / sizeof(b->groups[0]));
	g = calloc(1, sizeof(*g));
	if (!g || !marker_make(b, &g->log)) {
		free(g);
		return NULL;
	}
	g->id = (uint16_t)i;
	g->key = *key;
	g->rib = bgp_rib(b, key->vni);
	list_init(&g->members);
	b->groups[i] = g;
	if (key->add_path && b->add_path_groups++ == 0)
		mark_all(g->rib);
	if (i == b->ngroups)
		b->ngroups++;
	g->filling = true;
	b->filling++;
	return g;
}

static void group_free(struct bgp *b, struct bgp_group *g)
{
	assert(g->npeers == 0);
	while (out_at(b, g->log)->next != g->log)
		free_entry(b, g, out_at(b, g->log)->next);
	out_free(b, g->log);
	fill_end(b, g);
	attr_put(&b->attrs, g->cache_in);
	attr_put(&b->attrs, g->cache_out);
	b->groups[g->id] = NULL;
	b->add_path_groups -= g->key.add_path != 0;
	while (b->ngroups && !b->groups[b->ngroups - 1])
		b->ngroups--;
	free(g);
}

/* The marker came past @o. */
static void passed(struct bgp *b, struct bgp_group *g, uint32_t ref)
{
	struct out *o = out_at(b, ref);

	assert(o->pending > 0);
	if (--o->pending == 0 && !o->attr)
		free_entry(b, g, ref);
}

void ribout_leave(struct bgp *b, struct peer_out *po)
{
	struct bgp_group *g = po->group;
	uint32_t ref, next;

	if (!g)
		return;
	po->group = NULL;
	list_del(&po->in_group);
	if (--g->npeers == 0) {
		out_free(b, po->marker);
		group_free(b, g);
		return;
	}
	for (ref = out_at(b, po->marker)->next; ref != g->log; ref = next) {
		next = out_at(b, ref)->next;
		if (is_entry(out_at(b, ref)))
			passed(b, g, ref);
	}
	out_free(b, po->marker);
}

static void join(struct bgp *b, struct bgp_group *g, struct peer_out *po, uint32_t marker)
{
	for (uint32_t ref = out_at(b, g->log)->next; ref != g->log; ref = out_at(b, ref)->next)
		if (is_entry(out_at(b, ref)))
			out_at(b, ref)->pending++;
	g->npeers++;
	po->group = g;
	po->marker = marker;
	log_add_after(b, g->log, marker);
	list_add_tail(&g->members, &po->in_group);
	po->at_end = false;
	po->rewound = true;
}

/* A member moves from @old to @g: what @g has nothing about must be withdrawn from it. */
static int carry(struct bgp *b, const struct bgp_group *old, struct bgp_group *g)
{
	const struct out *from;

	for (uint32_t was = out_at(b, old->log)->next; was != old->log; was = from->next) {
		struct net *n;
		uint32_t id, ref;

		from = out_at(b, was);
		if (!is_entry(from))
			continue;
		n = net_at(g->rib, from->net);
		id = out_id(from);
		ref = find_out(b, n, g, id);
		if (ref) {
			out_at(b, ref)->flags |= OUT_MIXED;
			continue;
		}
		ref = make_entry(b, g, n, id, BGP_LOCAL);
		if (!ref)
			return ERR_NOMEM;
		out_at(b, ref)->flags |= OUT_MIXED;
		place(b, g, out_at(b, ref), ref);
		wake(g);
	}
	return 0;
}

/* The policy may answer differently now: export everything again. */
static void reexport(struct bgp *b, struct bgp_group *g)
{
	attr_put(&b->attrs, g->cache_in);
	attr_put(&b->attrs, g->cache_out);
	g->cache_in = g->cache_out = NULL;
	if (!g->filling)
		b->filling++;
	g->filling = true;
	g->fill_at = 0;
}

int ribout_join(struct bgp *b, struct peer_out *po, const struct group_key *key)
{
	struct bgp_group *g = NULL, *old = po->group;
	uint32_t marker;
	int err = 0;

	for (unsigned i = 0; i < b->ngroups && !g; i++)
		if (b->groups[i] && !b->groups[i]->failed && key_eq(&b->groups[i]->key, key))
			g = b->groups[i];
	if (g && g == old) {
		reexport(b, g);
		return 0;
	}
	if (!g)
		g = group_make(b, key);
	if (!g)
		return ERR_NOMEM;
	if (old && g->filling)
		fill(b, g, UINT_MAX);
	if (g->failed)
		err = ERR_NOMEM;
	else if (old)
		err = carry(b, old, g);
	if (err == 0 && !marker_make(b, &marker))
		err = ERR_NOMEM;
	if (err < 0) {
		if (g->npeers == 0)
			group_free(b, g);
		return err;
	}
	ribout_leave(b, po);
	join(b, g, po, marker);
	return 0;
}

void ribout_rewind(struct bgp *b, struct peer_out *po)
{
	uint32_t head = po->group->log;

	if (po->rewound)
		return;
	for (uint32_t ref = out_at(b, po->marker)->prev; ref != head; ref = out_at(b, ref)->prev)
		if (is_entry(out_at(b, ref)))
			out_at(b, ref)->pending++;
	log_del(b, out_at(b, po->marker), po->marker);
	log_add_after(b, head, po->marker);
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
static struct out *next_entry(const struct bgp *b, const struct peer_out *po, uint32_t *ref)
{
	struct out *o;

	for (*ref = out_at(b, po->marker)->next; *ref != po->group->log; *ref = o->next) {
		o = out_at(b, *ref);
		if (is_entry(o))
			return o;
	}
	return NULL;
}

static void step_past(struct bgp *b, struct peer_out *po, uint32_t ref)
{
	struct out *marker = out_at(b, po->marker);

	log_del(b, marker, po->marker);
	log_add_after(b, ref, po->marker);
	passed(b, po->group, ref);
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
		bgp_attr_header(w,
			AF_OPTIONAL | AF_TRANSITIVE |
				(a.has & BGP_PARTIAL_AGGREGATOR ? AF_PARTIAL : 0),
			AT_AGGREGATOR, 6);
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
	uint32_t ref;
	struct out *o;

	while ((o = next_entry(b, po, &ref)) != NULL) {
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
			net_nlri(net_at(po->group->rib, o->net), &nlri);
			if (po->group->key.add_path)
				wr_u32(w, out_id(o));
			bgp_nlri_write(w, &nlri, due == DUE_WITHDRAW);
			n++;
		}
		step_past(b, po, ref);
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
	uint32_t ref;
	struct out *o;

	while (msgs < max_msgs && (o = next_entry(b, po, &ref)) != NULL) {
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
			step_past(b, po, ref);
			continue;
		}
		if (due == DUE_ANNOUNCE)
			put_announces(b, po, &msg, o);
		else
			put_withdraws(b, po, &msg, o);
		w->p = msg.p;
		msgs++;
	}
	if (!next_entry(b, po, &ref)) {
		po->at_end = true;
		po->group->awake = false;
	}
	return msgs;
}

const struct out *ribout_first(const struct bgp *b, const struct net *n)
{
	return out_at(b, n->outs);
}

const struct out *ribout_next(const struct bgp *b, const struct out *o)
{
	return out_at(b, o->nnext);
}

uint32_t ribout_announced(const struct peer_out *po)
{
	return po->group ? po->group->live - po->group->live_from[po->peer->idx] : 0;
}
