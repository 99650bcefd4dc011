/* member_node.c - the nodes that are known, their states, and the overlay that follows from them.
 *
 * Nodes stand in one array and are named by their number, so that the rings, suspicions and lists
 * hold four bytes for each. Two kinds of sorted arrays find them: the index holds all, the rings
 * those that live. Room in all of them is made when a node is added, so that no later change of
 * state can fail. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "member_int.h"

static const struct node_key *key_of(const void *ctx, uint32_t n)
{
	const struct members *m = ctx;

	return &m->nodes[n].key;
}

uint32_t now_secs(const struct members *m)
{
	return (uint32_t)(m->now.ns / 1000000000u);
}

static int grow(struct members *m)
{
	uint32_t cap = m->cap + m->cap / 4 + 16;
	struct member_node *nodes;
	uint32_t *dead;
	int err = overlay_reserve(&m->index, cap);

	for (int i = 0; i < MEMBER_RINGS && !err; i++)
		err = overlay_reserve(&m->ring[i], cap);
	if (err)
		return err;
	dead = realloc(m->dead, cap * sizeof(*dead));
	if (!dead)
		return ERR_NOMEM;
	m->dead = dead;
	nodes = realloc(m->nodes, cap * sizeof(*nodes));
	if (!nodes)
		return ERR_NOMEM;
	m->nodes = nodes;
	m->cap = cap;
	return 0;
}

int mnode_init(struct members *m)
{
	uint8_t salt[16];

	/* A ring's salt is the same on all nodes of a cluster, and another one in each cluster. */
	for (uint8_t i = 0; i <= MEMBER_RINGS; i++) {
		memcpy(salt, m->cfg.cluster.b, sizeof(salt));
		salt[0] ^= (uint8_t)(i + 1);
		overlay_init(i < MEMBER_RINGS ? &m->ring[i] : &m->index, salt, key_of, m);
	}
	for (unsigned i = 0; i < LIM_MEMBER_NEIGHBOURS; i++)
		m->step_at[i] = TS_NEVER;
	m->free = m->dirty_head = m->dirty_tail = NO_NODE;
	if (grow(m) < 0)
		return ERR_NOMEM;
	m->nodes[SELF] = (struct member_node){
		.key = m->cfg.id->pub,
		.state = MEMBER_OK,
		.told = MEMBER_OK,
		.slot = NO_SLOT,
		.heard = TS_NEVER,
	};
	m->nnodes = m->known = 1;
	overlay_put(&m->index, SELF);
	for (int i = 0; i < MEMBER_RINGS; i++)
		overlay_put(&m->ring[i], SELF);
	return 0;
}

void mnode_fini(struct members *m)
{
	for (uint32_t i = 0; i < m->nnodes; i++) {
		free(m->nodes[i].proof);
		free(m->nodes[i].doubt);
	}
	free(m->nodes);
	free(m->dead);
	overlay_fini(&m->index);
	for (int i = 0; i < MEMBER_RINGS; i++)
		overlay_fini(&m->ring[i]);
}

uint32_t mnode_find(const struct members *m, const struct node_key *key)
{
	return overlay_find(&m->index, key);
}

uint32_t mnode_find_near(struct members *m, const struct node_key *key)
{
	uint32_t *near = &m->near[key->b[0] % NEAR_NODES];

	/* SELF is the first to stand there, by zeros. */
	if (m->nodes[*near].state == MEMBER_UNKNOWN || !node_key_eq(&m->nodes[*near].key, key)) {
		uint32_t n = mnode_find(m, key);

		if (n == NO_NODE)
			return n;
		*near = n;
	}
	return *near;
}

bool mnode_lives(const struct member_node *d)
{
	return d->state == MEMBER_OK || d->state == MEMBER_DOUBTED;
}

int mnode_make(struct members *m, const struct node_key *key, uint32_t *out)
{
	uint32_t n = mnode_find(m, key);

	*out = n;
	if (n == SELF)
		return ERR_CONFLICT;
	if (n != NO_NODE)
		return 0;
	if (m->known >= LIM_NODES)
		return ERR_FULL;
	if (m->free != NO_NODE) {
		n = m->free;
		m->free = m->nodes[n].next;
	} else {
		if (m->nnodes == m->cap && grow(m) < 0)
			return ERR_NOMEM;
		n = m->nnodes++;
	}
	m->nodes[n] = (struct member_node){
		.key = *key,
		.next = NO_NODE,
		.slot = NO_SLOT,
		.heard = TS_NEVER,
		.relay_secs = now_secs(m) - RELAY_IDLE_SECS,
		.notice_secs = now_secs(m) - NOTICE_SECS,
		.lies_secs = now_secs(m),
		.allowance_secs = now_secs(m),
	};
	m->known++;
	overlay_put(&m->index, n);
	mnode_set_state(m, n, MEMBER_OK);
	*out = n;
	return 0;
}

static void give_back(struct members *m, uint32_t n)
{
	m->nodes[n].next = m->free;
	m->free = n;
}

static void node_to_rings(struct members *m, uint32_t n, bool put)
{
	for (int i = 0; i < MEMBER_RINGS; i++)
		put ? overlay_put(&m->ring[i], n) : overlay_take(&m->ring[i], n);
	m->refresh = true;
}

/* What a dead node adds to the digest of the dead list. */
static uint32_t dead_mark(const struct members *m, const struct member_node *d)
{
	uint8_t b[40];
	struct wr w;

	wr_init(&w, b, sizeof(b));
	wr_copy(&w, d->key.b, sizeof(d->key.b));
	wr_u64(&w, d->epoch);
	return (uint32_t)map_siphash(m->ring[0].salt, b, sizeof(b));
}

static void node_to_dead(struct members *m, uint32_t n, bool put)
{
	struct member_node *d = &m->nodes[n];

	if (put) {
		d->dead_pos = m->ndead;
		m->dead[m->ndead++] = n;
	} else {
		uint32_t last = m->dead[--m->ndead];

		m->dead[d->dead_pos] = last;
		m->nodes[last].dead_pos = d->dead_pos;
	}
	m->dead_digest ^= dead_mark(m, d);
	m->dead_changed = m->now;
}

/* Many suspected at once: a partition, a network in trouble, or we ourselves. It is left well below
 * where it is entered, so that one storm counts once. */
static void note_storm(struct members *m)
{
	size_t alive = m->ring[0].count;

	if (!m->storm && m->ndoubted >= 4 && 4 * (size_t)m->ndoubted > alive) {
		m->storm = true;
		m->stats.storms++;
	} else if (m->storm && 8 * (size_t)m->ndoubted <= alive) {
		m->storm = false;
	}
}

static void make_dirty(struct members *m, uint32_t n)
{
	struct member_node *d = &m->nodes[n];

	if (d->flags & NODE_DIRTY)
		return;
	d->flags |= NODE_DIRTY;
	d->next = NO_NODE;
	if (m->dirty_head == NO_NODE)
		m->dirty_head = n;
	else
		m->nodes[m->dirty_tail].next = n;
	m->dirty_tail = n;
}

void mnode_set_state(struct members *m, uint32_t n, enum member_state state)
{
	static const uint8_t legal[] = {
		[MEMBER_UNKNOWN] = 1 << MEMBER_OK,
		[MEMBER_OK] = 1 << MEMBER_DOUBTED | 1 << MEMBER_GONE | 1 << MEMBER_AWAY |
			      1 << MEMBER_UNKNOWN,
		[MEMBER_DOUBTED] =
			1 << MEMBER_OK | 1 << MEMBER_GONE | 1 << MEMBER_AWAY | 1 << MEMBER_UNKNOWN,
		[MEMBER_GONE] = 1 << MEMBER_OK | 1 << MEMBER_AWAY | 1 << MEMBER_UNKNOWN,
		[MEMBER_AWAY] = 1 << MEMBER_OK | 1 << MEMBER_GONE | 1 << MEMBER_UNKNOWN,
	};
	struct member_node *d = &m->nodes[n];
	enum member_state old = d->state;
	bool lived = mnode_lives(d);

	assert(n != SELF && (legal[old] & 1 << state));
	assert((state == MEMBER_DOUBTED) == (old != MEMBER_DOUBTED && d->doubt != NULL));
	if (old == MEMBER_DOUBTED) {
		tq_cancel(&m->doubts, &d->doubt->timer);
		free(d->doubt);
		d->doubt = NULL;
		m->ndoubted--;
	}
	if (old == MEMBER_GONE)
		node_to_dead(m, n, false);
	m->nleft -= old == MEMBER_AWAY;
	d->state = (uint8_t)state;
	if (mnode_lives(d) != lived)
		node_to_rings(m, n, !lived);
	if (state == MEMBER_GONE) {
		node_to_dead(m, n, true);
		m->stats.deaths++;
	}
	if (state == MEMBER_DOUBTED) {
		m->ndoubted++;
		m->stats.suspicions++;
	}
	m->nleft += state == MEMBER_AWAY;
	note_storm(m);
	make_dirty(m, n);
}

void mnode_set_version(
	struct members *m, uint32_t n, uint64_t epoch, uint64_t inc, const uint8_t *proof)
{
	struct member_node *d = &m->nodes[n];

	assert(d->state != MEMBER_GONE); /* the digest of the dead list covers the epoch */
	d->epoch = epoch;
	d->inc = inc;
	d->flags &= (uint8_t)~NODE_GOODBYE;
	if (proof && !d->proof)
		d->proof = malloc(64);
	/* Without memory for it we only can't prove to others what we know. */
	if (proof && d->proof)
		memcpy(d->proof, proof, 64);
	if (!proof) {
		free(d->proof);
		d->proof = NULL;
	}
}

void mnode_del(struct members *m, uint32_t n)
{
	struct member_node *d = &m->nodes[n];

	doubt_forget(m, n);
	probe_forget(m, n);
	mnode_set_state(m, n, MEMBER_UNKNOWN);
	overlay_take(&m->index, n);
	m->known--;
	free(d->proof);
	d->proof = NULL;
	if (d->slot != NO_SLOT) {
		fact_clear_slot(m, d->slot);
		m->slot[d->slot].node = NO_NODE;
		m->step_at[d->slot] = TS_NEVER;
		m->slots_stir = true;
		d->slot = NO_SLOT;
	}
	if (m->extra_from == n)
		m->extra_from = NO_NODE;
	/* It was just made dirty; its place is free when it has left that queue. */
	d->flags |= NODE_FREED;
}

bool mnode_next_dirty(struct members *m, uint32_t *out)
{
	while (m->dirty_head != NO_NODE) {
		uint32_t n = m->dirty_head;
		struct member_node *d = &m->nodes[n];

		m->dirty_head = d->next;
		d->flags &= (uint8_t)~NODE_DIRTY;
		if (d->flags & NODE_FREED) {
			give_back(m, n);
		} else if (d->told != d->state) {
			d->told = d->state;
			*out = n;
			return true;
		}
	}
	return false;
}

static bool among(const uint32_t *v, unsigned count, uint32_t n)
{
	for (unsigned i = 0; i < count; i++)
		if (v[i] == n)
			return true;
	return false;
}

unsigned mnode_neighbours(const struct members *m, uint32_t n, uint32_t *out)
{
	const struct member_node *d = &m->nodes[n];
	unsigned count = 0;

	for (int i = 0; i < MEMBER_RINGS; i++) {
		const struct overlay_ring *r = &m->ring[i];
		size_t at = overlay_pos(r, &d->key), after = mnode_lives(d) ? at + 1 : at;
		uint32_t near[2];

		if (r->count == 0)
			break;
		near[0] = r->v[after % r->count].node;
		near[1] = r->v[(at + r->count - 1) % r->count].node;
		for (int j = 0; j < 2; j++)
			if (near[j] != n && !among(out, count, near[j]))
				out[count++] = near[j];
	}
	return count;
}

/* Walk away from place @at of @r, forwards or backwards, and look for @who. */
static bool stands_near(const struct members *m, const struct overlay_ring *r, size_t at,
	bool forward, uint32_t who)
{
	size_t step = forward ? 1 : r->count - 1;
	unsigned seen = 0;

	for (unsigned i = 0; i < WATCH_RANGE + WATCH_STEPS && i + 1 < r->count; i++) {
		at = (at + step) % r->count;
		if (r->v[at].node == who)
			return true;
		/* The suspected are about to leave the ring, and have left it elsewhere. */
		if (m->nodes[r->v[at].node].state != MEMBER_DOUBTED && ++seen == WATCH_RANGE)
			break;
	}
	return false;
}

bool mnode_watches(const struct members *m, uint32_t who, uint32_t n)
{
	assert(mnode_lives(&m->nodes[n]));
	for (int i = 0; i < MEMBER_RINGS; i++) {
		const struct overlay_ring *r = &m->ring[i];
		size_t at = overlay_pos(r, &m->nodes[n].key);

		if (stands_near(m, r, at, true, who) || stands_near(m, r, at, false, who))
			return true;
	}
	return false;
}

bool mnode_heard_lately(const struct members *m, uint32_t n)
{
	ts_t heard = m->nodes[n].heard;

	return !ts_is_never(heard) &&
	       ts_before(m->now, ts_add(heard, DUR_SEC(LIM_MEMBER_HEARD_SECS)));
}

/* --- slots --- */

struct slot *slot_of(struct members *m, uint32_t n)
{
	uint8_t i = m->nodes[n].slot;

	return i == NO_SLOT ? NULL : &m->slot[i];
}

bool slot_linked(const struct members *m, const struct slot *s)
{
	return s->used && s->node != NO_NODE && (m->nodes[s->node].flags & NODE_LINKED);
}

static struct slot *slot_make(struct members *m, uint32_t n)
{
	for (uint8_t i = 0; i < LIM_MEMBER_NEIGHBOURS; i++) {
		struct slot *s = &m->slot[i];

		if (s->used)
			continue;
		*s = (struct slot){
			.key = m->nodes[n].key,
			.node = n,
			.used = true,
			.hold_next = TS_NEVER,
		};
		m->nodes[n].slot = i;
		m->slots_stir = true;
		if (m->nslots <= i)
			m->nslots = i + 1u;
		probe_start(m, s);
		if (slot_linked(m, s))
			fact_fill_slot(m, i);
		return s;
	}
	return NULL;
}

void slot_borrow(struct members *m, uint32_t n, dur_t time)
{
	struct slot *s = slot_of(m, n);
	unsigned borrowed = 0;

	for (unsigned i = 0; i < LIM_MEMBER_NEIGHBOURS; i++)
		borrowed += m->slot[i].used && !m->slot[i].wanted;
	/* The neighbours' places stay free. */
	if (!s && borrowed < LIM_MEMBER_NEIGHBOURS - 2 * MEMBER_RINGS)
		s = slot_make(m, n);
	if (s && ts_before(s->until, ts_add(m->now, time)))
		s->until = ts_add(m->now, time);
}

/* Neighbours follow the rings. */
static void slot_refresh(struct members *m)
{
	uint32_t near[2 * MEMBER_RINGS];
	unsigned count = mnode_neighbours(m, SELF, near);

	m->refresh = false;
	m->slots_stir = true;
	m->refresh_at = ts_add(m->now, REFRESH_GAP);
	for (unsigned i = 0; i < LIM_MEMBER_NEIGHBOURS; i++)
		m->slot[i].wanted = false;
	for (unsigned i = 0; i < count; i++) {
		struct slot *s = slot_of(m, near[i]);

		if (!s)
			s = slot_make(m, near[i]);
		if (s)
			s->wanted = true;
		else
			m->refresh = true; /* slots are free once UNWATCH was taken */
	}
}

/* Try a dead one again. The chance is such that all of us together try each about once per
 * TRY_EVERY, however many are dead: a lone one is not called by a thousand, and after a partition
 * everybody calls. */
static void try_dead(struct members *m)
{
	uint32_t n;

	m->try_at = ts_add(m->now, prng_jitter(&m->prng, TRY_EVERY, 25));
	if (m->ndead == 0 || prng_below(&m->prng, m->ring[0].count) >= m->ndead)
		return;
	n = m->dead[prng_below(&m->prng, m->ndead)];
	slot_borrow(m, n, TRY_TIME);
}

/* --- bridges --- */

void slot_trouble(struct members *m)
{
	if (ts_is_never(m->bridge_at))
		m->bridge_at = m->now;
}

void slot_bridged(struct members *m, struct slot *s)
{
	if (!s->wanted && mnode_lives(&m->nodes[s->node]))
		slot_borrow(m, s->node, RETURN_TIME);
}

/* Do so few of those that we watch answer that we may hear of nothing? Who is new is not counted: it
 * has had no time to answer. */
static bool lonely(const struct members *m)
{
	unsigned answer = 0, fail = 0;

	for (unsigned i = 0; i < m->nslots; i++) {
		const struct slot *s = &m->slot[i];

		if (!s->used || s->node == NO_NODE || !mnode_lives(&m->nodes[s->node]))
			continue;
		if (s->silent || s->tries >= PROBE_ASK || m->nodes[s->node].state == MEMBER_DOUBTED)
			fail += s->wanted;
		else
			answer += slot_linked(m, s);
	}
	return fail > 0 && answer < BRIDGES;
}

/* One of the living that has no slot, and is not suspected; or NO_NODE. */
static uint32_t any_other(struct members *m)
{
	const struct overlay_ring *r = &m->ring[0];
	uint32_t n = r->v[prng_below(&m->prng, r->count)].node;

	return n == SELF || slot_of(m, n) || m->nodes[n].state != MEMBER_OK ? NO_NODE : n;
}

/* A partition leaves some nodes without a neighbour on their side. Until the others are dead and the
 * rings are closed over them it takes ten seconds and more, in which such a node would hear no news
 * and no suspicion. So it calls others at random, those first of whom it hears by way of data. */
static void bridge(struct members *m)
{
	unsigned calls = 0;

	m->bridge_at = ts_before(m->now, m->grace) ? m->grace : TS_NEVER;
	if (!ts_is_never(m->bridge_at) || !lonely(m))
		return;
	m->bridge_at = ts_add(m->now, prng_jitter(&m->prng, BRIDGE_EVERY, 25));
	for (unsigned i = 0; i < 2 * BRIDGE_LOOKS && calls < BRIDGE_CALLS; i++) {
		uint32_t n = any_other(m);

		if (n == NO_NODE || (i < BRIDGE_LOOKS && !mnode_heard_lately(m, n)))
			continue;
		slot_borrow(m, n, m->nodes[n].flags & NODE_LINKED ? RETURN_TIME : BRIDGE_TIME);
		calls++;
	}
	m->stats.bridges += calls;
}

/* When the first of the lent slots is given back. */
static ts_t lent_until(const struct members *m)
{
	ts_t t = TS_NEVER;

	for (unsigned i = 0; m->lent && i < m->nslots; i++)
		if (m->lent & 1u << i)
			t = ts_min(t, m->slot[i].until);
	return t;
}

void slot_tick(struct members *m)
{
	m->slots_stir |= ts_due(lent_until(m), m->now);
	if (m->refresh && ts_due(m->refresh_at, m->now))
		slot_refresh(m);
	if (ts_due(m->try_at, m->now))
		try_dead(m);
	if (ts_due(m->bridge_at, m->now))
		bridge(m);
}

static bool slot_stays(const struct members *m, const struct slot *s)
{
	return s->node != NO_NODE && (s->wanted || ts_before(m->now, s->until));
}

ts_t slot_deadline(const struct members *m)
{
	ts_t t = m->refresh ? m->refresh_at : TS_NEVER;

	if (m->ndead)
		t = ts_min(t, m->try_at);
	return ts_min(ts_min(t, m->bridge_at), lent_until(m));
}

bool slot_next(struct members *m, struct member_act *out)
{
	if (!m->slots_stir)
		return false;
	for (unsigned i = 0; i < m->nslots; i++) {
		struct slot *s = &m->slot[i];
		bool stays = slot_stays(m, s);

		if (!s->used || (stays && s->told))
			continue;
		out->node = s->key;
		if (stays) {
			s->told = true;
			out->type = MEMBER_WATCH;
			return true;
		}
		out->type = MEMBER_UNWATCH;
		if (s->node != NO_NODE) {
			fact_clear_slot(m, i);
			m->nodes[s->node].slot = NO_SLOT;
			doubt_unwatched(m, s->node);
		}
		s->used = false;
		m->step_at[i] = TS_NEVER;
		m->holds &= ~(1u << i);
		while (m->nslots > 0 && !m->slot[m->nslots - 1].used)
			m->nslots--;
		if (s->told)
			return true;
	}
	out->type = MEMBER_NONE;
	m->slots_stir = false;
	m->lent = 0;
	for (unsigned i = 0; i < m->nslots; i++)
		if (m->slot[i].used && !m->slot[i].wanted)
			m->lent |= 1u << i;
	return false;
}
