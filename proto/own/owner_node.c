/* owner_node.c - other nodes: what they own, and the leases of those that died or left.
 *
 * A lease is counted by a clock of its own, which stands still while more than a quarter of the members
 * are missing: then it is more likely that we are cut off than that they all died. So pausing and going
 * on cost nothing, however many leases run.
 *
 * Members are this node and all that did not leave and whose lease has not ended. That of a node which the
 * orchestrator deleted ends as soon as the node goes: nobody waits for it, so it isn't missing. Leases are not kept on
 * the disk: after a restart they begin again, on the safe side. */
#include "owner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "owner_int.h"
#include "weft/err.h"

void owner_nodes_free(struct owner *o)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(o->nodes, &it, &key, &value)) {
		struct node *n = value;

		free(n->v);
		free(n);
	}
	map_free(o->nodes);
}

void owner_lease_clock(struct owner *o, ts_t now)
{
	dur_t passed = ts_sub(now, o->lease_seen);

	if (passed.ns <= 0)
		return;
	if (!o->paused)
		o->lease_clock = ts_add(o->lease_clock, passed);
	o->lease_seen = now;
}

/* Count @n in (@by 1) or out (-1). */
static void count(struct owner *o, const struct node *n, int by)
{
	size_t d = (size_t)by; /* wraps as meant */

	if (n->state == OWNER_ALIVE)
		o->alive += d;
	else if (!n->ended)
		o->running += d;
	if (n->state == OWNER_DEAD && !n->ended)
		o->missing += d;
}

/* After every change of who is missing. */
static void judge(struct owner *o, ts_t now)
{
	size_t members = o->alive + o->missing + 1;

	o->paused = o->missing * 4 > members;
	/* Those that see three quarters of the members see too little of the rest to pause: our own
	 * lease may be running there. */
	if (o->missing * 4 >= members * 3) {
		if (ts_is_never(o->cut_since))
			o->cut_since = now;
	} else if (!ts_is_never(o->cut_since)) {
		if (ts_sub(now, o->cut_since).ns >= o->tune.lease.ns)
			owner_redate(o, now);
		o->cut_since = TS_NEVER;
	}
}

static void lease_end(struct owner *o, struct node *n)
{
	count(o, n, -1);
	n->ended = true;
	n->end_told = false;
	o->ends++;
	count(o, n, 1);
}

ts_t owner_lease_deadline(const struct owner *o)
{
	ts_t first = tq_deadline(&o->leases);

	if (o->paused || ts_is_never(first))
		return TS_NEVER;
	/* A lease that is due already comes out at once. */
	return ts_add(o->lease_seen, ts_sub(first, o->lease_clock));
}

void owner_lease_tick(struct owner *o, ts_t now)
{
	struct tq_node *t;

	owner_lease_clock(o, now);
	while ((t = tq_pop(&o->leases, o->lease_clock)) != NULL) {
		struct node *n = tq_entry(t, struct node, lease);

		lease_end(o, n);
		o->stats.leases_ended++;
		judge(o, now);
		owner_room(o, now);
	}
}

/* Something was heard while we still wait for the mesh. */
static void news(struct owner *o, bool alive, ts_t now)
{
	ts_t quiet, latest;

	if (alive && !o->met) {
		o->met = true;
		o->met_at = now;
	}
	if (o->ready || !o->met)
		return;
	quiet = ts_add(now, prng_jitter(&o->prng, o->tune.settle, 25));
	latest = ts_add(o->met_at, o->tune.mesh_wait);
	o->claim_at = ts_min(quiet, latest);
}

static bool same(const struct node *n, const struct owner_prefix *v, size_t count_v)
{
	if (n->n != count_v)
		return false;
	for (size_t i = 0; i < count_v; i++)
		if (n->v[i].vni != v[i].vni || !pfx_eq(&n->v[i].pfx, &v[i].pfx) ||
			n->v[i].right != v[i].right || n->v[i].since_secs != v[i].since_secs ||
			n->v[i].moot != v[i].moot)
			return false;
	return true;
}

static struct node *node_make(struct owner *o, const struct node_key *key, int *err)
{
	struct node *n = calloc(1, sizeof(*n));

	*err = n ? map_put(o->nodes, key, n) : ERR_NOMEM;
	if (*err) {
		free(n);
		return NULL;
	}
	n->key = *key;
	n->state = OWNER_LEFT; /* counts for nothing until it is set */
	n->ended = true;
	n->end_told = true;
	return n;
}

static void node_free(struct owner *o, struct node *n)
{
	count(o, n, -1);
	if (n->ended && !n->end_told)
		o->ends--;
	tq_cancel(&o->leases, &n->lease);
	(void)map_del(o->nodes, &n->key);
	free(n->v);
	free(n);
}

/* Go over to @state. The lease's place in the queue was made sure of. */
static void node_state(struct owner *o, struct node *n, enum owner_node_state state, bool fresh)
{
	bool was_away = n->state != OWNER_ALIVE && !fresh;

	count(o, n, -1);
	if (state == OWNER_ALIVE) {
		tq_cancel(&o->leases, &n->lease);
	}
	/* From dead to left and back the lease goes on, and one that ended does not begin again. */
	if (state == OWNER_ALIVE || !was_away) {
		if (n->ended && !n->end_told)
			o->ends--;
		n->ended = false;
		n->end_told = true;
	}
	n->state = state;
	count(o, n, 1);
	if (state != OWNER_ALIVE && n->deleted) {
		n->deleted = false; /* once: it may be back for good */
		lease_end(o, n);
	}
}

/* A block that we wait to use turns out to be another's, who is not there to object. */
static void give_way(struct owner *o, const struct node *n, ts_t now)
{
	struct list *l, *t;

	if (n->state == OWNER_ALIVE || n->ended)
		return;
	list_each(&o->own, l, t)
	{
		struct own *c = list_entry(l, struct own, in_own);

		if (c->doomed || c->is.state != OWNER_WAITING)
			continue;
		for (size_t i = 0; i < n->n; i++)
			if (n->v[i].vni == c->is.p.vni && !n->v[i].moot &&
				pfx_overlaps(&n->v[i].pfx, &c->is.p.pfx)) {
				owner_drop_claim(o, c, now);
				break;
			}
	}
}

int owner_node_set(struct owner *o, const struct node_key *key, enum owner_node_state state,
	const struct owner_prefix *v, size_t n, ts_t now)
{
	struct node *node = map_get(o->nodes, key);
	struct owner_prefix *copy = NULL;
	bool fresh = !node, changed;
	int err;

	owner_lease_clock(o, now);
	if (node_key_eq(key, &o->self))
		return ERR_RANGE;
	if (n > LIM_PREFIXES_PER_NODE)
		return ERR_FULL;
	changed = fresh || !same(node, v, n);
	if (!changed && node->state == state)
		return 0;
	if (changed && n) {
		copy = malloc(n * sizeof(*copy));
		if (!copy)
			return ERR_NOMEM;
		memcpy(copy, v, n * sizeof(*copy));
	}
	if (fresh) {
		node = node_make(o, key, &err);
		if (!node)
			goto fail;
	}
	/* What can fail goes before what can't be taken back. */
	if (state != OWNER_ALIVE && (fresh || (node->state == OWNER_ALIVE && !node->deleted))) {
		err = tq_set(&o->leases, &node->lease, ts_add(o->lease_clock, o->tune.lease));
		if (err) {
			if (fresh)
				node_free(o, node);
			goto fail;
		}
	}
	if (changed) {
		free(node->v);
		node->v = copy;
		node->n = n;
	}
	if (fresh || node->state != state)
		node_state(o, node, state, fresh);
	judge(o, now);
	give_way(o, node, now);
	news(o, state == OWNER_ALIVE, now);
	if ((changed && !fresh) || node->ended)
		owner_room(o, now);
	owner_arm(o);
	return 0;
fail:
	free(copy);
	return err;
}

int owner_forgotten(struct owner *o, const struct node_key *key, ts_t now)
{
	struct node *n = map_get(o->nodes, key);

	owner_lease_clock(o, now);
	if (node_key_eq(key, &o->self)) {
		owner_redate(o, now);
		owner_arm(o);
		return 0;
	}
	if (!n)
		return ERR_NOT_FOUND;
	node_free(o, n);
	judge(o, now);
	owner_room(o, now);
	owner_arm(o);
	return 0;
}

int owner_deleted(struct owner *o, const struct node_key *key, bool deleted, ts_t now)
{
	struct node *n = map_get(o->nodes, key);

	owner_lease_clock(o, now);
	if (!n)
		return ERR_NOT_FOUND;
	if (n->state == OWNER_ALIVE) {
		n->deleted = deleted;
	} else if (deleted && !n->ended) {
		tq_cancel(&o->leases, &n->lease);
		lease_end(o, n);
		judge(o, now);
		owner_room(o, now);
		owner_arm(o);
	}
	return 0;
}

bool owner_held(const struct owner *o, uint32_t vni, const struct pfx *p)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(o->nodes, &it, &key, &value)) {
		const struct node *n = value;

		for (size_t i = 0; !n->ended && i < n->n; i++)
			if (n->v[i].vni == vni && !n->v[i].moot && pfx_overlaps(&n->v[i].pfx, p))
				return true;
	}
	return false;
}

bool owner_node_next(const struct owner *o, size_t *it, ts_t now, struct owner_node_info *out)
{
	const void *key;
	const struct node *n;
	void *value;
	dur_t left;

	if (!map_next(o->nodes, it, &key, &value))
		return false;
	n = value;
	*out = (struct owner_node_info){
		.key = n->key,
		.state = n->state,
		.ended = n->ended,
		.prefixes = n->v,
		.nprefixes = n->n,
	};
	if (n->state != OWNER_ALIVE && !n->ended) {
		left = ts_sub(n->lease.when, o->lease_clock);
		if (!o->paused)
			left.ns -= ts_sub(now, o->lease_seen).ns;
		out->lease_left = left.ns > 0 ? left : DUR_NS(0);
	}
	return true;
}
