/* ribout_group.c - which peer hears what others hear, and what is done to a whole log of ribout.c.
 *
 * In: peers that come, go, ask for all again, or whose export policy or shutdown sign is another. Out: a
 * portion at a time (ribout_work), between decisions and bytes, so that a full table holds up nothing:
 *
 *	fill	the table is exported to a new group, or again; End-of-RIB waits for the end
 *	move	a member goes to another group: that one's table is complete first, then what was told in
 *		the old one and has no entry in the new one becomes a withdrawal there
 *	rewind	a marker goes to the head of its log, and what it comes past is pending once more
 *	leave	the marker of a member that is gone comes past the rest of the log
 *	bury	the entries of a group without members go
 *
 * A member that moves is told nothing meanwhile. Its marker in the old log stays where it is, so that of
 * all that was told there is still an entry in that log, in front of the marker or pending behind it; a
 * second marker, its place in the new log, holds what changes there. Then the new marker goes to the head.
 * A group that nobody but leavers is in hears of no changes: their old policy is not asked any more.
 *
 * Failure: a group without memory is marked as failed, and its members are closed (ribout_failed). */
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include "weft/err.h"
#include "ribout_int.h"

#define PORTION     1024  /* entries that a call passes at once: small tables need no more */
#define MARKERS_MAX 32768 /* in one log, so that struct out can count them */

bool ribout_is_used(const struct bgp_group *g)
{
	return !g->failed && g->active + g->coming > 0;
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

/* --- markers --- */

static struct out *marker_make(struct bgp *b, uint32_t *ref)
{
	struct out *o = out_make(b, false, ref);

	if (!o)
		return NULL;
	o->flags |= OUT_MARKER;
	b->markers++;
	return o;
}

static void marker_free(struct bgp *b, uint32_t ref)
{
	b->markers--;
	out_free(b, ref);
}

static void marker_to(struct bgp *b, uint32_t marker, uint32_t where)
{
	if (where == marker)
		return;
	out_unlink(b, out_at(b, marker), marker);
	out_link_after(b, where, marker);
}

static uint32_t log_last(const struct bgp *b, const struct bgp_group *g)
{
	return out_at(b, g->log)->prev;
}

/* --- rewind --- */

static void rewind_end(struct bgp *b, struct peer_out *po)
{
	b->rewinding -= po->rewinding;
	po->rewinding = false;
}

static void rewind_some(struct bgp *b, struct peer_out *po, unsigned entries)
{
	uint32_t head = po->group->log, ref = out_at(b, po->marker)->prev;

	for (; ref != head && entries > 0; ref = out_at(b, ref)->prev, entries--)
		if (is_entry(out_at(b, ref)))
			out_at(b, ref)->pending++;
	if (ref != out_at(b, po->marker)->prev)
		marker_to(b, po->marker, ref);
	if (ref != head)
		return;
	rewind_end(b, po);
	bgp_peer_wake(po->peer);
}

static void rewind_begin(struct bgp *b, struct peer_out *po)
{
	po->rewound = true;
	po->at_end = false;
	b->rewinding += !po->rewinding;
	po->rewinding = true;
	rewind_some(b, po, PORTION);
}

void ribout_rewind(struct bgp *b, struct peer_out *po)
{
	if (!po->rewound && !po->next)
		rewind_begin(b, po);
}

/* --- groups --- */

static void fill_end(struct bgp *b, struct bgp_group *g)
{
	struct list *l, *t;

	b->filling -= g->filling;
	g->filling = false;
	/* End-of-RIB waited for it, and may be all that there is to say. */
	list_each(&g->members, l, t)
	{
		bgp_peer_wake(list_entry(l, struct peer_out, in_group)->peer);
	}
}

/* Some entries of a group without members go, with the last one the group. */
static void bury(struct bgp *b, struct bgp_group *g, unsigned entries)
{
	while (entries-- > 0 && out_at(b, g->log)->next != g->log)
		out_free_entry(b, g, out_at(b, g->log)->next);
	if (out_at(b, g->log)->next != g->log)
		return;
	marker_free(b, g->log);
	b->groups[g->id] = NULL;
	b->dying--;
	while (b->ngroups && !b->groups[b->ngroups - 1])
		b->ngroups--;
	free(g);
}

/* The last one has gone. */
static void group_end(struct bgp *b, struct bgp_group *g)
{
	if (!list_empty(&g->members) || g->coming)
		return;
	assert(g->active == 0 && !g->dying);
	g->dying = true;
	b->dying++;
	fill_end(b, g);
	attr_put(&b->attrs, g->cache_in);
	attr_put(&b->attrs, g->cache_out);
	g->cache_in = g->cache_out = NULL;
	b->add_path_groups -= g->key.add_path != 0;
	while (g->leavers) {
		uint32_t marker = g->leavers;

		g->leavers = out_at(b, marker)->nnext;
		b->leaving--;
		marker_free(b, marker);
	}
	bury(b, g, PORTION);
}

static struct bgp_group *group_find(struct bgp *b, const struct group_key *key)
{
	for (unsigned i = 0; i < b->ngroups; i++)
		if (b->groups[i] && ribout_is_used(b->groups[i]) && key_eq(&b->groups[i]->key, key))
			return b->groups[i];
	return NULL;
}

static unsigned free_slot(struct bgp *b)
{
	const unsigned max = sizeof(b->groups) / sizeof(b->groups[0]);
	unsigned i = 0;

	for (unsigned k = 0; b->ngroups == max && k < max; k++)
		if (b->groups[k] && b->groups[k]->dying)
			bury(b, b->groups[k], UINT_MAX);
	while (i < b->ngroups && b->groups[i])
		i++;
	assert(i < max);
	return i;
}

static struct bgp_group *group_make(struct bgp *b, const struct group_key *key)
{
	struct bgp_group *g = calloc(1, sizeof(*g));
	unsigned i = free_slot(b);

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
		bgp_table_mark(
			b, g->rib); /* paths are ranked only while somebody hears of several */
	if (i == b->ngroups)
		b->ngroups++;
	g->filling = true;
	b->filling++;
	return g;
}

/* The policy may answer differently now: export everything again. */
static void reexport(struct bgp *b, struct bgp_group *g)
{
	attr_put(&b->attrs, g->cache_in);
	attr_put(&b->attrs, g->cache_out);
	g->cache_in = g->cache_out = NULL;
	b->filling += !g->filling;
	g->filling = true;
	g->fill_at = 0;
}

/* --- fill --- */

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
	return ribout_update_net(b, g, n, false);
}

/* The table may grow meanwhile (rib_buckets). What changes meanwhile, all groups hear of anyway. */
static void fill(struct bgp *b, struct bgp_group *g, unsigned nets)
{
	struct net *n;

	while (nets > 0 && ribout_is_used(g) && g->fill_at < rib_buckets(g->rib)) {
		for (n = net_at(g->rib, g->rib->buckets[g->fill_at++]); n && !g->failed;
			n = net_at(g->rib, n->hnext)) {
			g->failed = export_net(b, g, n) < 0;
			nets -= nets > 0;
		}
		nets -= nets > 0; /* empty ones take time too */
	}
	if (!ribout_is_used(g) || g->fill_at >= rib_buckets(g->rib))
		fill_end(b, g);
}

/* --- leave --- */

/* Take the marker of a former member past some of the rest of the log. */
static void leave_some(struct bgp *b, struct bgp_group *g, unsigned entries)
{
	uint32_t marker = g->leavers, ref = out_at(b, marker)->next, next;

	for (; ref != g->log && entries > 0; ref = next, entries--) {
		next = out_at(b, ref)->next;
		if (is_entry(out_at(b, ref)))
			out_passed(b, g, ref);
	}
	if (ref != g->log) {
		marker_to(b, marker, out_at(b, ref)->prev);
		return;
	}
	g->leavers = out_at(b, marker)->nnext;
	b->leaving--;
	g->npeers--;
	marker_free(b, marker);
}

static void leave_log(struct bgp *b, struct bgp_group *g, uint32_t marker)
{
	out_at(b, marker)->nnext = g->leavers;
	g->leavers = marker;
	b->leaving++;
	leave_some(b, g, g->npeers > MARKERS_MAX ? UINT_MAX : PORTION);
}

/* --- move --- */

/* @po goes from its group to @g, where @marker is to be its place. ERR_NOMEM: unchanged. */
static int move_begin(struct bgp *b, struct peer_out *po, struct bgp_group *g, uint32_t marker)
{
	if (!marker_make(b, &po->carried))
		return ERR_NOMEM;
	out_link_after(b, po->group->log, po->carried);
	out_link_after(b, log_last(b, g), marker);
	g->npeers++;
	g->coming++;
	po->group->active--;
	po->next = g;
	po->next_marker = marker;
	b->moving++;
	rewind_end(b, po);
	return 0;
}

static void move_over(struct bgp *b, struct peer_out *po)
{
	marker_free(b, po->carried);
	po->next->coming--;
	po->next = NULL;
	b->moving--;
}

static void move_end(struct bgp *b, struct peer_out *po)
{
	struct bgp_group *old = po->group, *g = po->next;

	list_del(&po->in_group);
	leave_log(b, old, po->marker);
	po->group = g;
	po->marker = po->next_marker;
	g->active++;
	list_add_tail(&g->members, &po->in_group);
	move_over(b, po);
	group_end(b, old);
	rewind_begin(b, po);
}

/* What @g has nothing about must be withdrawn from whoever was told @from. ERR_NOMEM. */
static int carry_one(struct bgp *b, const struct out *from, struct bgp_group *g)
{
	struct net *n = net_at(g->rib, from->net);
	uint32_t id = out_id(from), ref = out_find(b, n, g, id);

	if (ref) {
		out_at(b, ref)->flags |= OUT_MIXED;
		return 0;
	}
	ref = out_make_entry(b, g, n, id, BGP_LOCAL);
	if (!ref)
		return ERR_NOMEM;
	out_at(b, ref)->flags |= OUT_MIXED;
	out_place(b, g, out_at(b, ref), ref);
	ribout_wake(g);
	return 0;
}

/* ERR_NOMEM: the group that @po moves to has failed. */
static int move_some(struct bgp *b, struct peer_out *po, unsigned entries)
{
	uint32_t head = po->group->log, ref = out_at(b, po->carried)->next;

	for (; ref != head && entries > 0; ref = out_at(b, ref)->next, entries--)
		if (is_entry(out_at(b, ref)) && carry_one(b, out_at(b, ref), po->next) < 0) {
			po->next->failed = true;
			return ERR_NOMEM;
		}
	marker_to(b, po->carried, out_at(b, ref)->prev);
	if (ref == head)
		move_end(b, po);
	return 0;
}

/* The whole rest of it. ERR_NOMEM. */
static int move_finish(struct bgp *b, struct peer_out *po)
{
	if (po->next->filling)
		fill(b, po->next, UINT_MAX);
	return po->next->failed ? ERR_NOMEM : move_some(b, po, UINT_MAX);
}

/* --- for others --- */

void ribout_leave(struct bgp *b, struct peer_out *po)
{
	struct bgp_group *g = po->group, *next = po->next;

	if (!g)
		return;
	rewind_end(b, po);
	if (next) {
		leave_log(b, next, po->next_marker);
		move_over(b, po);
		group_end(b, next);
	} else {
		g->active--;
	}
	po->group = NULL;
	list_del(&po->in_group);
	leave_log(b, g, po->marker);
	group_end(b, g);
}

int ribout_join(struct bgp *b, struct peer_out *po, const struct group_key *key)
{
	struct bgp_group *g;
	uint32_t marker = 0;
	int err = po->next ? move_finish(b, po) : 0;

	if (err < 0)
		return err;
	g = group_find(b, key);
	if (g && g == po->group) {
		reexport(b, g);
		return 0;
	}
	if (!g)
		g = group_make(b, key);
	if (!g)
		return ERR_NOMEM;
	if (!marker_make(b, &marker) || (po->group && move_begin(b, po, g, marker) < 0)) {
		if (marker)
			marker_free(b, marker);
		group_end(b, g);
		return ERR_NOMEM;
	}
	if (po->next)
		return 0;
	out_link_after(b, log_last(b, g), marker);
	g->npeers++;
	g->active++;
	po->group = g;
	po->marker = marker;
	list_add_tail(&g->members, &po->in_group);
	rewind_begin(b, po);
	return 0;
}

struct peer_out *ribout_failed(struct bgp *b, unsigned group)
{
	struct bgp_group *g = b->groups[group];

	if (!g || !g->failed || g->dying)
		return NULL;
	if (!list_empty(&g->members))
		return list_entry(g->members.next, struct peer_out, in_group);
	for (unsigned i = 1; i <= LIM_BGP_PEERS; i++)
		if (b->peers[i] && b->peers[i]->out[g->key.family].next == g)
			return &b->peers[i]->out[g->key.family];
	return NULL;
}

/* The first of the peers' places for which @want holds. */
static struct peer_out *some_out(struct bgp *b, bool (*want)(const struct peer_out *po))
{
	for (unsigned i = 1; i <= LIM_BGP_PEERS; i++)
		for (unsigned f = 0; b->peers[i] && f < BGP_FAMILIES; f++)
			if (want(&b->peers[i]->out[f]))
				return &b->peers[i]->out[f];
	return NULL;
}

static bool can_move(const struct peer_out *po)
{
	return po->next && !po->next->filling;
}

static bool does_rewind(const struct peer_out *po)
{
	return po->rewinding;
}

static bool fill_work(struct bgp *b, unsigned nets)
{
	for (unsigned i = 0; b->filling && i < b->ngroups; i++)
		if (b->groups[i] && b->groups[i]->filling) {
			fill(b, b->groups[i], nets);
			return true;
		}
	return false;
}

bool ribout_work(struct bgp *b, unsigned n)
{
	struct peer_out *po;

	if (fill_work(b, n))
		return true;
	if (b->moving && (po = some_out(b, can_move)) != NULL) {
		(void)move_some(b, po, n); /* a failure is marked */
		return true;
	}
	if (b->rewinding && (po = some_out(b, does_rewind)) != NULL) {
		rewind_some(b, po, n);
		return true;
	}
	for (unsigned i = 0; (b->leaving || b->dying) && i < b->ngroups; i++) {
		struct bgp_group *g = b->groups[i];

		if (!g || !(g->leavers || g->dying))
			continue;
		if (g->dying)
			bury(b, g, n);
		else
			leave_some(b, g, n);
		return true;
	}
	return false;
}
