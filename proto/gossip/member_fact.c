/* member_fact.c - telling on: suspicions, refutations, goodbyes, notices.
 *
 * A fact that is news is pushed at once to every linked neighbour but the one it came from, and
 * rides once more on the next probe or answer, unless the neighbour said it first; so each hop says
 * it twice at most, and on an expander a few hops reach everybody. Facts arriving close together
 * leave in one datagram (PUSH_DELAY), a link gets one datagram per PUSH_GAP.
 *
 * What is signed is checked before it has any effect or is told on: whoever passes a false
 * signature on is a forger, and no signed fact from it is looked at again. What costs everybody
 * something is bounded at its source: a suspicion counts once per watcher and incarnation, a node's
 * own word is told on once in RELAY_IDLE_SECS unless somebody doubts it, notices have an allowance
 * per link. The queue is bounded by LIM_MEMBER_FACTS; a fact that was lost for good is mended by
 * the dead lists (member_doubt.c). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "member_int.h"

static_assert(LIM_MEMBER_NEIGHBOURS <= 32, "a slot is a bit");

void fact_init(struct members *m)
{
	list_init(&m->facts);
	list_init(&m->fresh_facts);
	for (unsigned i = 0; i < FACT_BUCKETS; i++)
		list_init(&m->fact_bucket[i]);
}

/* By what is random in keys. Who grinds keys makes us look through all, which is bounded. */
static struct list *bucket(struct members *m, const struct member_fact *f)
{
	unsigned h = f->subject.b[0] ^ f->origin.b[1];

	return &m->fact_bucket[h & (FACT_BUCKETS - 1)];
}

static void fact_free(struct members *m, struct fact *f)
{
	list_del(&f->all);
	list_del(&f->fresh);
	list_del(&f->same);
	m->nfacts--;
	free(f);
}

void fact_fini(struct members *m)
{
	struct list *n, *t;

	list_each(&m->facts, n, t) fact_free(m, list_entry(n, struct fact, all));
}

static int version_cmp(uint64_t epoch, uint64_t inc, uint64_t epoch2, uint64_t inc2)
{
	if (epoch != epoch2)
		return epoch < epoch2 ? -1 : 1;
	return inc < inc2 ? -1 : inc > inc2;
}

/* Slots that @f is to be told to: those linked, but not to who said it or whom it says nothing. */
static uint32_t targets(const struct members *m, const struct member_fact *f, uint32_t except)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < LIM_MEMBER_NEIGHBOURS; i++) {
		const struct slot *s = &m->slot[i];
		bool own_word = f->type == MEMBER_FACT_ALIVE || f->type == MEMBER_FACT_LEAVE;

		if (slot_linked(m, s) && s->node != except && !node_key_eq(&s->key, &f->origin) &&
			!(own_word && node_key_eq(&s->key, &f->subject)))
			mask |= 1u << i;
	}
	return mask;
}

/* The subject's own word makes older facts about it pointless. */
static void supersede(struct members *m, const struct member_fact *f)
{
	struct list *n, *t;

	list_each(&m->facts, n, t)
	{
		struct fact *old = list_entry(n, struct fact, all);

		if (node_key_eq(&old->f.subject, &f->subject) &&
			version_cmp(old->f.epoch, old->f.inc, f->epoch, f->inc) < 0)
			fact_free(m, old);
	}
}

static void schedule(struct members *m, uint32_t mask)
{
	ts_t soon = ts_add(m->now, PUSH_DELAY);

	for (unsigned i = 0; i < LIM_MEMBER_NEIGHBOURS; i++)
		/* What is queued already sets the time. */
		if ((mask & 1u << i) && !(m->push & 1u << i) && ts_before(m->slot[i].push_at, soon))
			m->slot[i].push_at = soon;
	m->push |= mask;
}

static void queue(struct members *m, const struct member_fact *f, uint32_t mask)
{
	struct fact *q;

	if (mask == 0)
		return;
	if (m->nfacts == LIM_MEMBER_FACTS) {
		m->stats.facts_dropped++;
		fact_free(m, list_entry(m->facts.next, struct fact, all));
	}
	q = malloc(sizeof(*q));
	if (!q) {
		m->stats.facts_dropped++;
		return;
	}
	*q = (struct fact){.f = *f, .push = mask, .again = mask, .made = m->now};
	list_add_tail(&m->facts, &q->all);
	list_add_tail(&m->fresh_facts, &q->fresh);
	list_add_tail(bucket(m, f), &q->same);
	m->nfacts++;
	schedule(m, mask);
}

void fact_spread(struct members *m, const struct member_fact *f, uint32_t except)
{
	if (f->type == MEMBER_FACT_ALIVE || f->type == MEMBER_FACT_LEAVE)
		supersede(m, f);
	queue(m, f, targets(m, f, except));
}

static void sign(const struct members *m, struct member_fact *f)
{
	uint8_t msg[MEMBER_SIGNED_LEN];

	member_fact_signed(f, &m->cfg.cluster, msg);
	key_sign(m->cfg.id, MEMBER_SIGN_LABEL, msg, sizeof(msg), f->sig);
}

void fact_say(struct members *m, enum member_fact_type type, uint32_t n, uint64_t inc)
{
	struct member_fact f = {
		.type = (uint8_t)type,
		.subject = m->nodes[n].key,
		.epoch = n == SELF ? m->epoch : m->nodes[n].epoch,
		.inc = inc,
	};

	assert((n == SELF) == (type == MEMBER_FACT_ALIVE || type == MEMBER_FACT_LEAVE));
	if (type == MEMBER_FACT_SUSPECT)
		f.origin = m->cfg.id->pub;
	if (type != MEMBER_FACT_NOTICE)
		sign(m, &f);
	fact_spread(m, &f, NO_NODE);
}

static struct fact *fact_find(struct members *m, const struct member_fact *f)
{
	struct list *l = bucket(m, f), *n, *t;

	list_each(l, n, t)
	{
		struct fact *q = list_entry(n, struct fact, same);

		if (q->f.type == f->type && q->f.inc == f->inc && q->f.epoch == f->epoch &&
			node_key_eq(&q->f.subject, &f->subject) &&
			node_key_eq(&q->f.origin, &f->origin))
			return q;
	}
	return NULL;
}

void fact_prove(struct members *m, uint32_t n, uint32_t to)
{
	const struct member_node *d = &m->nodes[n];
	uint8_t slot = m->nodes[to].slot;
	struct member_fact f = {
		.type = d->flags & NODE_GOODBYE ? MEMBER_FACT_LEAVE : MEMBER_FACT_ALIVE,
		.subject = d->key,
		.epoch = d->epoch,
		.inc = d->inc,
	};

	if (!d->proof || slot == NO_SLOT || !(m->nodes[to].flags & NODE_LINKED) || fact_find(m, &f))
		return;
	memcpy(f.sig, d->proof, sizeof(f.sig));
	queue(m, &f, 1u << slot);
}

static void fact_drop_bits(struct members *m, struct fact *q, uint32_t push, uint32_t again)
{
	q->push &= ~push;
	q->again &= ~again;
	if (q->push == 0)
		list_del(&q->fresh);
	if ((q->push | q->again) == 0)
		fact_free(m, q);
}

void fact_clear_slot(struct members *m, unsigned i)
{
	struct list *n, *t;

	list_each(&m->facts, n, t)
		fact_drop_bits(m, list_entry(n, struct fact, all), 1u << i, 1u << i);
	m->push &= ~(1u << i);
}

void fact_fill_slot(struct members *m, unsigned i)
{
	struct list *n, *t;

	list_each(&m->facts, n, t)
	{
		struct fact *q = list_entry(n, struct fact, all);
		uint32_t bit = targets(m, &q->f, NO_NODE) & 1u << i;

		q->push |= bit;
		q->again |= bit;
		/* Each anew, so that the order stays. */
		list_del(&q->fresh);
		if (q->push)
			list_add_tail(&m->fresh_facts, &q->fresh);
		schedule(m, bit);
	}
}

/* --- in --- */

static int verify(
	struct members *m, uint32_t from, const struct node_key *by, const struct member_fact *f)
{
	uint8_t msg[MEMBER_SIGNED_LEN];
	int err;

	if (m->nodes[from].flags & NODE_FORGER) {
		m->stats.rx_forged++;
		return ERR_AUTH;
	}
	member_fact_signed(f, &m->cfg.cluster, msg);
	if (m->cfg.verify)
		err = m->cfg.verify(
			m->cfg.verify_ctx, by, MEMBER_SIGN_LABEL, msg, sizeof(msg), f->sig);
	else
		err = key_verify(by, MEMBER_SIGN_LABEL, msg, sizeof(msg), f->sig);
	if (err < 0) {
		m->stats.rx_forged++;
		m->nodes[from].flags |= NODE_FORGER;
	}
	return err;
}

/* @by suspects us. A liar need not be answered: others don't believe it either. */
static int recv_suspect_self(
	struct members *m, uint32_t from, uint32_t by, const struct member_fact *f)
{
	int err;

	if (!self_meant(m, f->epoch, f->inc))
		return 0;
	if (node_is_liar(m, by)) {
		m->stats.rx_liar++;
		return 0;
	}
	err = verify(m, from, &f->origin, f);
	if (err == 0)
		self_doubted(m, f->epoch, f->inc, by);
	return err;
}

static int recv_suspect(struct members *m, uint32_t from, const struct member_fact *f)
{
	uint32_t n = mnode_find(m, &f->subject), by = mnode_find(m, &f->origin);
	struct member_node *d;
	struct slot *s;
	int err;

	if (n == NO_NODE || by == NO_NODE || by == SELF || by == n)
		return 0;
	if (n == SELF)
		return recv_suspect_self(m, from, by, f);
	d = &m->nodes[n];
	if (!mnode_lives(d) || !mnode_lives(&m->nodes[by]) || f->epoch > d->epoch)
		return 0;
	if (version_cmp(f->epoch, f->inc, d->epoch, d->inc) < 0) {
		fact_prove(m, n, from);
		return 0;
	}
	/* The subject would not answer it, and our own suspicion would take it over. Perhaps we missed a
	 * word of the subject: no lie of who passed it on. */
	if (f->epoch == d->epoch && f->inc - d->inc > INC_AHEAD_MAX) {
		m->stats.rx_future++;
		return 0;
	}
	for (unsigned i = 0; d->doubt && i < d->doubt->n; i++)
		if (d->doubt->by[i].node == by && d->doubt->by[i].inc >= f->inc)
			return 0;
	/* Enough for a quorum, even if some of them should be liars: not worth a signature. */
	if (d->doubt && d->doubt->n == LIM_MEMBER_SUSPECTORS)
		return 0;
	if (node_is_liar(m, by)) {
		m->stats.rx_liar++;
		return 0;
	}
	if (!mnode_watches(m, by, n)) {
		m->stats.rx_foreign++;
		return 0;
	}
	err = verify(m, from, &f->origin, f);
	if (err == 0)
		err = doubt_add(m, n, by, f->inc);
	if (err < 0)
		return err == ERR_FULL ? 0 : err;
	m->stats.facts_new++;
	fact_spread(m, f, from);
	/* Perhaps we watch it, and have no answer either. */
	s = slot_of(m, n);
	if (s && s->silent)
		doubt_own(m, n);
	return 0;
}

/* Does what a node says of itself have to be told on? */
static bool worth_relaying(struct members *m, struct member_node *d)
{
	if (d->state != MEMBER_OK || now_secs(m) - d->relay_secs >= RELAY_IDLE_SECS) {
		d->relay_secs = now_secs(m);
		return true;
	}
	m->stats.rx_limited++;
	return false;
}

static void revive(struct members *m, uint32_t n, bool same_run)
{
	struct slot *s = slot_of(m, n);

	mnode_set_state(m, n, MEMBER_OK);
	if (same_run) {
		m->stats.false_alarms++;
		m->stats.refutations++;
	}
	if (s)
		probe_start(m, s);
}

static int recv_alive(struct members *m, uint32_t from, const struct member_fact *f)
{
	uint32_t n = mnode_find(m, &f->subject);
	struct member_node *d;
	bool relay, same_run;
	int cmp, err;

	if (n == SELF || n == NO_NODE)
		return 0;
	d = &m->nodes[n];
	cmp = version_cmp(f->epoch, f->inc, d->epoch, d->inc);
	same_run = f->epoch == d->epoch;
	if (cmp < 0)
		fact_prove(m, n, from);
	/* Who left stays away until it comes back with a new epoch. */
	if (cmp <= 0 || (d->state == MEMBER_AWAY && same_run))
		return 0;
	err = verify(m, from, &f->subject, f);
	if (err < 0)
		return err;
	m->stats.facts_new++;
	relay = worth_relaying(m, d);
	if (d->state == MEMBER_GONE || d->state == MEMBER_AWAY)
		revive(m, n, same_run);
	else if (!same_run)
		doubt_end(m, n);
	mnode_set_version(m, n, f->epoch, f->inc, f->sig);
	doubt_refuted(m, n, f->inc);
	if (relay)
		fact_spread(m, f, from);
	return 0;
}

static int recv_leave(struct members *m, uint32_t from, const struct member_fact *f)
{
	uint32_t n = mnode_find(m, &f->subject);
	struct member_node *d;
	int err;

	if (n == SELF || n == NO_NODE)
		return 0;
	d = &m->nodes[n];
	if (version_cmp(f->epoch, f->inc, d->epoch, d->inc) <= 0 || d->state == MEMBER_AWAY)
		return 0;
	err = verify(m, from, &f->subject, f);
	if (err < 0)
		return err;
	m->stats.facts_new++;
	mnode_set_state(m, n, MEMBER_AWAY);
	mnode_set_version(m, n, f->epoch, f->inc, f->sig);
	m->nodes[n].flags |= NODE_GOODBYE;
	fact_spread(m, f, from);
	return 0;
}

static int recv_notice(struct members *m, uint32_t from, const struct member_fact *f)
{
	uint32_t n = mnode_find(m, &f->subject);
	struct member_node *d;

	if (n == SELF) {
		self_doubted(m, f->epoch, f->inc, NO_NODE);
		return 0;
	}
	if (n == NO_NODE || n == from)
		return 0;
	d = &m->nodes[n];
	if (!mnode_lives(d) || f->epoch > d->epoch)
		return 0;
	if (version_cmp(f->epoch, f->inc, d->epoch, d->inc) < 0) {
		fact_prove(m, n, from);
		return 0;
	}
	if (now_secs(m) - d->notice_secs < NOTICE_SECS)
		return 0;
	if (!notice_allowed(m, from))
		return ERR_LIMIT;
	d->notice_secs = now_secs(m);
	m->stats.facts_new++;
	fact_spread(m, f, from);
	return 0;
}

bool fact_too_far(struct members *m, uint64_t epoch, uint64_t inc)
{
	bool far = epoch > LIM_EPOCH || inc > LIM_INCARNATION;

	m->stats.rx_future += far;
	return far;
}

int fact_recv(struct members *m, uint32_t from, struct rd *r)
{
	static int (*const handlers[])(struct members *, uint32_t, const struct member_fact *) = {
		[MEMBER_FACT_SUSPECT] = recv_suspect,
		[MEMBER_FACT_ALIVE] = recv_alive,
		[MEMBER_FACT_LEAVE] = recv_leave,
		[MEMBER_FACT_NOTICE] = recv_notice,
	};
	int first = 0;

	while (rd_left(r) > 0) {
		uint8_t slot = m->nodes[from].slot;
		struct member_fact f;
		struct fact *q;
		int err = member_fact_decode(r, &f);

		if (err == ERR_NOT_FOUND)
			continue; /* of a later version */
		if (err < 0) {
			m->stats.rx_bad++;
			return first ? first : err;
		}
		m->stats.facts_rx++;
		if (fact_too_far(m, f.epoch, f.inc)) {
			first = first ? first : ERR_RANGE;
			continue;
		}
		/* What a neighbour says it need not be told. */
		q = slot == NO_SLOT ? NULL : fact_find(m, &f);
		if (q)
			fact_drop_bits(m, q, 1u << slot, 1u << slot);
		err = handlers[f.type](m, from, &f);
		if (err < 0 && first == 0)
			first = err;
	}
	return first;
}

/* --- out --- */

/* Write @q for slot @i if it fits. */
static bool put(struct members *m, struct fact *q, unsigned i, struct wr *w)
{
	uint32_t bit = 1u << i;

	if (wr_left(w) < member_fact_len(q->f.type))
		return false;
	member_fact_encode(w, &q->f);
	m->stats.facts_tx++;
	if (q->push & bit)
		fact_drop_bits(m, q, bit, 0);
	else
		fact_drop_bits(m, q, 0, bit);
	return true;
}

void fact_append(struct members *m, unsigned i, struct wr *w)
{
	struct list *n, *t;

	list_each(&m->facts, n, t)
	{
		struct fact *q = list_entry(n, struct fact, all);

		if (((q->push | q->again) & 1u << i) && !put(m, q, i, w))
			return;
	}
}

/* A PUSH for slot @i into @w. */
static void fill(struct members *m, unsigned i, struct wr *w)
{
	struct list *n, *t;

	wr_u8(w, MEMBER_MSG_PUSH);
	list_each(&m->fresh_facts, n, t)
	{
		struct fact *q = list_entry(n, struct fact, fresh);

		if ((q->push & 1u << i) && !put(m, q, i, w))
			return;
	}
	m->push &= ~(1u << i);
}

size_t fact_produce(struct members *m, uint32_t *to)
{
	for (unsigned i = 0; i < m->nslots && m->push; i++) {
		struct slot *s = &m->slot[i];
		struct wr w;

		if (!(m->push & 1u << i) || !ts_due(s->push_at, m->now))
			continue;
		assert(slot_linked(m, s));
		wr_init(&w, m->tx, sizeof(m->tx));
		fill(m, i, &w);
		s->push_at = ts_add(m->now, PUSH_GAP);
		if (wr_len(&w) == 1)
			continue; /* a probe took it along */
		*to = s->node;
		return wr_len(&w);
	}
	return 0;
}

void fact_tick(struct members *m)
{
	while (!list_empty(&m->facts)) {
		struct fact *q = list_entry(m->facts.next, struct fact, all);

		if (!ts_due(ts_add(q->made, FACT_LIFE), m->now))
			return;
		fact_free(m, q);
	}
}

ts_t fact_deadline(const struct members *m)
{
	ts_t t = TS_NEVER;

	for (unsigned i = 0; m->push && i < m->nslots; i++)
		if (m->push & 1u << i)
			t = ts_min(t, m->slot[i].push_at);
	if (!list_empty(&m->facts))
		t = ts_min(t, ts_add(list_entry(m->facts.next, struct fact, all)->made, FACT_LIFE));
	return t;
}
