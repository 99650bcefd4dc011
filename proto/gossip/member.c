/* member.c - membership: the public face. docs/membership.md tells it at more length.
 *
 * Parts	table of nodes and overlay (member_node.c, overlay.c), probes (member_probe.c),
 *		suspicion and death (member_doubt.c), telling on (member_fact.c), codec
 *		(member_wire.c)
 * In		nodes known and gone, links up and down, datagrams from linked nodes, traffic seen,
 *		time
 * Out		datagrams, which sessions to hold, which nodes are suspected, dead, alive again
 * States	of a node: OK -> DOUBTED -> GONE -> OK, and AWAY after a goodbye. Those that are OK
 *		or DOUBTED stand on the rings; the others don't, so the overlay closes over the
 *		dead. member_node.c mnode_set_state() holds the table
 * Versions	(epoch, incarnation): the epoch is the run's, from the records; a node raises its
 *		incarnation to refute, and signs it
 * Bounds	LIM_NODES, LIM_MEMBER_*; each message costs O(K log N) and at most its facts'
 *		signatures, which are checked only where they would change something
 * Failure	want of memory drops what would have been remembered: a suspicion, a fact, a proof;
 *		others' copies and the dead lists mend it
 *
 * Ordinary traffic is one PROBE and one ACK per second and neighbour, so 2K datagrams of about 80
 * bytes a second at any size of the cluster. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "member_int.h"

static ts_t next_deadline(const struct members *m)
{
	ts_t t = fact_deadline(m);

	if (m->left)
		return t;
	t = ts_min(t, slot_deadline(m));
	t = ts_min(t, probe_deadline(m));
	t = ts_min(t, doubt_deadline(m));
	return ts_min(t, hold_deadline(m));
}

/* Each call begins here. Whoever is called long after the time he asked for was stalled, or the
 * machine was: what others sent meanwhile may still lie unread, so nobody is judged by silence. */
static void enter(struct members *m, ts_t now)
{
	if (ts_before(now, m->now))
		now = m->now;
	if (!ts_is_never(m->armed) && ts_before(ts_add(m->armed, LATE), now)) {
		m->grace = ts_add(now, LATE_GRACE);
		m->stats.stalls++;
		m->now = now;
		health_worse(m);
	}
	m->now = now;
	m->armed = TS_NEVER;
}

struct members *members_new(const struct members_cfg *cfg, ts_t now)
{
	struct members *m = calloc(1, sizeof(*m));

	assert(cfg->epoch > 0);
	if (!m)
		return NULL;
	m->cfg = *cfg;
	m->epoch = cfg->epoch;
	m->now = now;
	m->armed = TS_NEVER;
	m->extra_from = NO_NODE;
	m->try_at = ts_add(now, TRY_EVERY);
	m->bridge_at = TS_NEVER;
	prng_seed(&m->prng, cfg->seed);
	tq_init(&m->doubts);
	fact_init(m);
	if (mnode_init(m) < 0) {
		members_free(m);
		return NULL;
	}
	return m;
}

void members_free(struct members *m)
{
	if (!m)
		return;
	fact_fini(m);
	mnode_fini(m);
	tq_fini(&m->doubts);
	free(m);
}

int members_node_add(struct members *m, const struct node_key *key, uint64_t epoch, ts_t now)
{
	struct member_node *d;
	struct slot *s;
	uint32_t n;
	int err;

	enter(m, now);
	err = mnode_make(m, key, &n);
	if (err < 0)
		return err;
	d = &m->nodes[n];
	if (epoch <= d->epoch)
		return 0;
	if (d->state != MEMBER_OK) {
		mnode_set_state(m, n, MEMBER_OK);
		if ((s = slot_of(m, n)) != NULL)
			probe_start(m, s);
	}
	mnode_set_version(m, n, epoch, 0, NULL);
	d->flags &= (uint8_t)~NODE_FORGER;
	return 0;
}

void members_node_del(struct members *m, const struct node_key *key, ts_t now)
{
	uint32_t n;

	enter(m, now);
	n = mnode_find(m, key);
	if (n != NO_NODE && n != SELF)
		mnode_del(m, n);
}

static void heard(struct members *m, uint32_t n)
{
	m->nodes[n].heard = m->now;
	doubt_heard(m, n);
}

int members_link(struct members *m, const struct node_key *key, bool up, ts_t now)
{
	struct member_node *d;
	struct slot *s;
	uint32_t n;
	int err;

	enter(m, now);
	if (!up && mnode_find(m, key) == NO_NODE)
		return 0;
	err = mnode_make(m, key, &n);
	if (err < 0)
		return err;
	d = &m->nodes[n];
	if (up == ((d->flags & NODE_LINKED) != 0))
		return 0;
	d->flags ^= NODE_LINKED;
	if (up)
		heard(m, n);
	s = slot_of(m, n);
	if (!s)
		return 0;
	probe_link(m, s, up);
	if (up)
		fact_fill_slot(m, d->slot);
	else
		fact_clear_slot(m, d->slot);
	return 0;
}

void members_heard(struct members *m, const struct node_key *key, ts_t now)
{
	uint32_t n;

	enter(m, now);
	n = mnode_find_near(m, key);
	if (n != NO_NODE && n != SELF && !m->left)
		heard(m, n);
}

static int recv_push(struct members *m, uint32_t from, struct rd *r)
{
	return fact_recv(m, from, r);
}

int members_recv(
	struct members *m, const struct node_key *from, const uint8_t *buf, size_t len, ts_t now)
{
	static int (*const handlers[])(struct members *, uint32_t, struct rd *) = {
		[MEMBER_MSG_PROBE] = probe_recv_probe,
		[MEMBER_MSG_ACK] = probe_recv_ack,
		[MEMBER_MSG_REQ] = probe_recv_req,
		[MEMBER_MSG_REACHED] = probe_recv_reached,
		[MEMBER_MSG_NACK] = probe_recv_nack,
		[MEMBER_MSG_PUSH] = recv_push,
		[MEMBER_MSG_HOLD] = doubt_recv_hold,
	};
	struct rd r;
	uint8_t kind;
	uint32_t n;

	enter(m, now);
	n = mnode_find_near(m, from);
	if (n == NO_NODE || n == SELF)
		return ERR_NOT_FOUND;
	if (m->left)
		return 0;
	heard(m, n);
	rd_init(&r, buf, len);
	kind = rd_u8(&r);
	if (rd_bad(&r)) {
		m->stats.rx_bad++;
		return ERR_TRUNCATED;
	}
	/* A later version may say more: not an error. */
	if (kind >= sizeof(handlers) / sizeof(handlers[0]) || !handlers[kind])
		return 0;
	return handlers[kind](m, n, &r);
}

void members_tick(struct members *m, ts_t now)
{
	enter(m, now);
	fact_tick(m);
	if (m->left)
		return;
	probe_tick(m);
	doubt_tick(m);
	slot_tick(m); /* last: a death changes the rings */
}

ts_t members_deadline(const struct members *m)
{
	return ts_is_never(m->armed) ? next_deadline(m) : m->armed;
}

static bool next_state(struct members *m, struct member_act *out)
{
	static const enum member_act_type told[] = {
		[MEMBER_OK] = MEMBER_ALIVE,
		[MEMBER_DOUBTED] = MEMBER_SUSPECT,
		[MEMBER_GONE] = MEMBER_DEAD,
		[MEMBER_AWAY] = MEMBER_LEFT,
	};
	uint32_t n;

	if (!mnode_next_dirty(m, &n))
		return false;
	out->type = told[m->nodes[n].state];
	out->node = m->nodes[n].key;
	return true;
}

static bool next_event(struct members *m, struct member_act *out)
{
	if (m->refute_told) {
		m->refute_told = false;
		out->type = MEMBER_REFUTE;
		out->incarnation = m->inc;
		return true;
	}
	if (m->liar_told) {
		m->liar_told = false;
		out->type = MEMBER_LIAR;
		out->node = m->liar;
		return true;
	}
	if (m->extra_from == NO_NODE)
		return false;
	out->type = MEMBER_EXTRA;
	out->node = m->nodes[m->extra_from].key;
	out->buf = m->extra;
	out->len = m->extra_len;
	m->extra_from = NO_NODE;
	return true;
}

static bool next_send(struct members *m, struct member_act *out)
{
	uint32_t to;

	out->len = probe_produce(m, &to);
	if (out->len == 0)
		out->len = hold_produce(m, &to);
	if (out->len == 0)
		out->len = fact_produce(m, &to);
	if (out->len == 0)
		return false;
	out->type = MEMBER_SEND;
	out->node = m->nodes[to].key;
	out->buf = m->tx;
	return true;
}

bool members_next(struct members *m, struct member_act *out)
{
	memset(out, 0, sizeof(*out));
	if (next_state(m, out) || next_event(m, out))
		return true;
	if (!m->left && slot_next(m, out))
		return true;
	if (next_send(m, out))
		return true;
	/* What became due long ago, such as a refresh, was only asked for now. */
	m->armed = next_deadline(m);
	if (ts_before(m->armed, m->now))
		m->armed = m->now;
	return false;
}

void members_leave(struct members *m, ts_t now)
{
	enter(m, now);
	if (m->left)
		return;
	fact_say(m, MEMBER_FACT_LEAVE, SELF, ++m->inc);
	m->left = true;
	m->nanswers = 0;
	/* The sessions are about to be closed: now, not soon. */
	for (unsigned i = 0; i < LIM_MEMBER_NEIGHBOURS; i++)
		m->slot[i].push_at = m->now;
	m->holds = 0;
}

void members_overdue(struct members *m, const struct node_key *key, ts_t now)
{
	uint32_t n;

	enter(m, now);
	n = mnode_find(m, key);
	if (n != NO_NODE && n != SELF && m->nodes[n].state == MEMBER_AWAY)
		mnode_set_state(m, n, MEMBER_GONE);
}

void members_set_epoch(struct members *m, uint64_t epoch, ts_t now)
{
	enter(m, now);
	if (epoch <= m->epoch)
		return;
	m->epoch = epoch;
	m->inc = 0;
	m->refute = false;
}

void members_attach(struct members *m, const uint8_t *buf, size_t len)
{
	assert(len <= MEMBER_EXTRA_MAX);
	if (len > 0)
		memcpy(m->attach, buf, len);
	m->attach_len = (uint8_t)len;
}

enum member_state members_state(const struct members *m, const struct node_key *key)
{
	uint32_t n = mnode_find(m, key);

	return n == NO_NODE ? MEMBER_UNKNOWN : m->nodes[n].state;
}

bool members_is_neighbour(const struct members *m, const struct node_key *key)
{
	uint32_t n = mnode_find(m, key);

	return n != NO_NODE && m->nodes[n].slot != NO_SLOT && m->slot[m->nodes[n].slot].wanted;
}

const struct node_key *members_neighbour_next(const struct members *m, size_t *it, bool *linked)
{
	while (*it < LIM_MEMBER_NEIGHBOURS) {
		const struct slot *s = &m->slot[(*it)++];

		if (!s->used || !s->wanted || s->node == NO_NODE)
			continue;
		*linked = slot_linked(m, s);
		return &s->key;
	}
	return NULL;
}

void members_stats(const struct members *m, struct members_stats *out)
{
	*out = m->stats;
	out->nodes = m->known;
	out->alive = m->ring[0].count;
	out->suspected = m->ndoubted;
	out->dead = m->ndead;
	out->left = m->nleft;
	out->local_health = m->health;
	out->storm = m->storm;
	out->incarnation = m->inc;
	for (unsigned i = 0; i < LIM_MEMBER_NEIGHBOURS; i++)
		if (m->slot[i].used && m->slot[i].wanted) {
			out->neighbours++;
			out->neighbours_linked += slot_linked(m, &m->slot[i]);
		}
	for (uint32_t n = 1; n < m->nnodes; n++)
		out->liars += m->nodes[n].state != MEMBER_UNKNOWN && node_is_liar(m, n);
}
