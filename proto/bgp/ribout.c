/* ribout.c - Adj-RIB-Out by groups.
 *
 * A group is the peers of a segment and family that are to hear the same: same kind, next hop and
 * export policy. Export runs once for the group and not for each peer.
 *
 * Its log is a list of the entries, one for each net announced, in the order of their last change;
 * each member has a marker in it, and what stands behind the marker is due to that member. A change
 * moves the entry to the end, where every member will come past it once more and find the newest
 * state: a slow peer costs no memory and holds nobody up. A new member's marker goes to the head,
 * which is the initial dump; so it does for a refresh. A withdrawn entry stays until its count
 * of pending markers is zero. Who is in which group, and what is done to a whole log, stands in
 * ribout_group.c.
 *
 * Packing: members write entries of one attribute set that stand together as one UPDATE. So a changed
 * entry goes not to the very end but behind the last one of its set, if no marker has come past that.
 *
 * A member is not told routes that came from itself. Whether it has to be told that such a route took
 * the place of another's is known by OUT_MIXED; when in doubt a withdrawal too many is sent. */
#include "ribout_int.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"

struct out *out_at(const struct bgp *b, uint32_t ref)
{
	if (!ref)
		return NULL;
	return bgp_pool_at(ref & REF_SECOND ? &b->wide_outs : &b->outs, ref & REF_NUMBER);
}

/* A new element, alone in its ring; *@ref is its number. NULL: no memory. */
struct out *out_make(struct bgp *b, bool wide, uint32_t *ref)
{
	struct out *o = bgp_pool_get(wide ? &b->wide_outs : &b->outs, ref);

	if (!o)
		return NULL;
	*ref |= wide ? REF_SECOND : 0;
	*o = (struct out){.flags = wide ? OUT_WIDE : 0, .prev = *ref, .next = *ref};
	return o;
}

void out_unlink(const struct bgp *b, struct out *o, uint32_t ref)
{
	out_at(b, o->prev)->next = o->next;
	out_at(b, o->next)->prev = o->prev;
	o->prev = o->next = ref;
}

void out_link_after(const struct bgp *b, uint32_t where, uint32_t ref)
{
	struct out *before = out_at(b, where), *o = out_at(b, ref);

	o->prev = where;
	o->next = before->next;
	out_at(b, before->next)->prev = ref;
	before->next = ref;
}

void out_free(struct bgp *b, uint32_t ref)
{
	out_unlink(b, out_at(b, ref), ref);
	bgp_pool_put(ref & REF_SECOND ? &b->wide_outs : &b->outs, ref & REF_NUMBER);
}

/* The number of the entry, 0: there is none. */
uint32_t out_find(const struct bgp *b, const struct net *n, const struct bgp_group *g, uint32_t id)
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

void out_free_entry(struct bgp *b, struct bgp_group *g, uint32_t ref)
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
uint32_t out_make_entry(
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

void ribout_wake(struct bgp_group *g)
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
void out_place(struct bgp *b, struct bgp_group *g, struct out *o, uint32_t ref)
{
	uint32_t near = o->attr && o->attr->last_out != ref ? o->attr->last_out : 0;
	const struct out *n = out_at(b, near);

	out_unlink(b, o, ref);
	if (n && n->group == g->id && n->pending == g->npeers)
		out_link_after(b, near, ref);
	else
		out_link_after(b, out_at(b, g->log)->prev, ref);
	if (o->attr)
		o->attr->last_out = ref;
	o->pending = g->npeers;
}

/* Bring one entry of @g up to date with @best (NULL: none), the path with identifier @id. ERR_NOMEM:
 * unchanged. */
static int update_one(struct bgp *b, struct bgp_group *g, struct net *n,
	const struct bgp_nlri *nlri, const struct path *best, uint32_t id, bool label_changed)
{
	uint32_t ref = out_find(b, n, g, id);
	struct out *o = out_at(b, ref);
	struct attr_set *attr = NULL;
	int err = best ? bgp_export(b, g, nlri, best, &attr) : 0;

	if (err < 0)
		return err;
	if (!o && !attr)
		return 0;
	if (!o) {
		ref = out_make_entry(b, g, n, id, best->peer);
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
	out_place(b, g, o, ref);
	ribout_wake(g);
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
		o = out_at(b, out_find(b, n, g, path_tx_id(p)));
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
int ribout_update_net(struct bgp *b, struct bgp_group *g, struct net *n, bool label_changed)
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

		if (g && g->rib == r && g->key.family == n->family && ribout_is_used(g))
			g->failed = ribout_update_net(b, g, n, label_changed) < 0;
	}
}

/* A marker came past @o. */
void out_passed(struct bgp *b, struct bgp_group *g, uint32_t ref)
{
	struct out *o = out_at(b, ref);

	assert(o->pending > 0);
	if (--o->pending == 0 && !o->attr)
		out_free_entry(b, g, ref);
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

	out_unlink(b, marker, po->marker);
	out_link_after(b, ref, po->marker);
	out_passed(b, po->group, ref);
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

/* Entries that a call passes without a word: a peer may be the source of a whole table. */
#define PASS_MAX 4096

/* Put NLRI of entries that want the same as the first into @w, and step past them. */
static unsigned put_run(
	struct bgp *b, struct peer_out *po, struct wr *w, enum due due, struct attr_set *attr)
{
	bool barred = is_barred(po, attr);
	unsigned n = 0, passed = 0;
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
		} else if (++passed > PASS_MAX) {
			break;
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
	unsigned msgs = 0, passed = 0;
	uint32_t ref;
	struct out *o;

	po->paused = false;
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
			po->paused = ++passed > PASS_MAX;
			if (po->paused)
				return msgs;
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

void ribout_warm(const struct bgp *b, const struct net *n)
{
	if (n->outs)
		__builtin_prefetch(out_at(b, n->outs));
}

void ribout_warm_more(const struct bgp *b, const struct net *n)
{
	if (n->outs)
		__builtin_prefetch(out_at(b, n->outs)->attr);
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
