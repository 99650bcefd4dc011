/* member_doubt.c - suspicion: how it is confirmed, refuted, and becomes a death.
 *
 * Everybody judges for himself. A suspicion is a fact signed by the node that could not reach the
 * subject, and counts only if that node is one of those that watch the subject on the rings; each
 * counts once. A death needs
 *
 *	- QUORUM watchers (fewer where fewer are themselves beyond doubt), standing for DOUBT_MIN, in
 *	  which the subject hears of it and refutes; or
 *	- our own failed probes alone, for DOUBT_MAX, less the more others confirm (Lifeguard 3.3); or
 *	- HOLDERS of our own neighbours that hold it dead, each on its own word, for HOLD_WAIT: how
 *	  those learn of a death who were not there. The subject is told first, as above.
 *
 * and never befalls a node that we heard in the last seconds. The subject refutes by raising its
 * incarnation, which ends all suspicions below. So a liar can suspect the few nodes that it watches
 * and finds no second; what it said is held against it when it is refuted, and LIM_MEMBER_LIES of
 * these silence it until time forgives. QUORUM watchers of one node that collude can have it
 * declared dead where it is not heard, until its refutation arrives: for two seconds, then over and
 * over while they are not silenced. Certified membership is what helps against these.
 *
 * The dead list: each probe carries a digest of it. Where two neighbours differ, each tells the
 * other which nodes it holds dead (HOLD); a node that knows better answers with the subject's own
 * word, and one that does not passes a NOTICE on to the subject, which then refutes. So both sides
 * of a partition agree after it heals. Notices are unsigned and cost a refutation each, hence an
 * allowance per link. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/log.h"
#include "member_int.h"

static bool beyond_doubt(const struct members *m, uint32_t n)
{
	const struct member_node *d = &m->nodes[n];

	return d->state == MEMBER_OK ||
	       (d->state == MEMBER_DOUBTED && d->doubt->n < 2 && !d->doubt->own);
}

/* So many watchers make a death. */
static unsigned quorum(const struct members *m, uint32_t n)
{
	uint32_t near[2 * MEMBER_RINGS];
	unsigned count = mnode_neighbours(m, n, near), good = 0;

	for (unsigned i = 0; i < count && good < QUORUM; i++)
		good += beyond_doubt(m, near[i]);
	return good > 1 ? good : 1;
}

/* Neighbours whose word on a dead node we could have. */
static unsigned holders_needed(const struct members *m)
{
	unsigned linked = 0;

	for (unsigned i = 0; i < LIM_MEMBER_NEIGHBOURS && linked < HOLDERS; i++)
		linked += m->slot[i].wanted && slot_linked(m, &m->slot[i]);
	return linked > 1 ? linked : 1;
}

/* How long our own suspicion stands with @n suspectors out of @q: Lifeguard's logarithm, in parts
 * of a thousand of the way from DOUBT_MAX to DOUBT_MIN. */
static dur_t own_time(const struct members *m, unsigned n, unsigned q)
{
	static const int64_t way[QUORUM + 1] = {0, 0, 631, 1000};
	int64_t max = DOUBT_MAX.ns * (2 + (int64_t)m->health) / 2;

	assert(n < q && q <= QUORUM);
	return DUR_NS(max - (max - DOUBT_MIN.ns) / 1000 * way[n]);
}

/* It refuted us before, and still we can't reach it: our silence says nothing. */
static bool path_broken(const struct members *m, uint32_t n)
{
	uint8_t i = m->nodes[n].slot;

	return i != NO_SLOT && m->slot[i].backoff.ns > 0;
}

/* When the subject is to be declared dead; TS_NEVER: this alone does not do it. */
static ts_t verdict_at(const struct members *m, const struct doubt *x)
{
	unsigned q = quorum(m, x->node);
	ts_t t = TS_NEVER;

	if (x->n >= q)
		t = ts_add(x->since, DUR_NS(DOUBT_MIN.ns * (m->storm ? 2 : 1)));
	else if (x->own && !path_broken(m, x->node))
		t = ts_add(x->since, own_time(m, x->n, q));
	if (x->nholders >= holders_needed(m))
		t = ts_min(t, ts_add(x->held_since, HOLD_WAIT));
	return t;
}

static void arm(struct members *m, struct doubt *x)
{
	ts_t expire = ts_add(x->since, DOUBT_EXPIRE), t = verdict_at(m, x);
	int err;

	if (mnode_heard_lately(m, x->node)) {
		ts_t free = ts_add(m->nodes[x->node].heard, DUR_SEC(LIM_MEMBER_HEARD_SECS));

		t = ts_before(t, free) ? free : t;
	}
	t = ts_min(t, expire);
	if (ts_before(t, m->grace))
		t = m->grace;
	err = tq_set(&m->doubts, &x->timer, t);
	assert(err == 0); /* it is queued already, and moving takes no memory */
	(void)err;
}

/* The doubt of a living node, made if there is none. NULL: no memory. */
static struct doubt *doubt_make(struct members *m, uint32_t n)
{
	struct member_node *d = &m->nodes[n];
	struct doubt *x = d->doubt;

	assert(mnode_lives(d));
	if (x)
		return x;
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	x->node = n;
	x->since = m->now;
	if (tq_set(&m->doubts, &x->timer, ts_add(m->now, DOUBT_EXPIRE)) < 0) {
		free(x);
		return NULL;
	}
	d->doubt = x;
	mnode_set_state(m, n, MEMBER_DOUBTED);
	return x;
}

/* --- liars --- */

static unsigned lies_now(const struct members *m, const struct member_node *d)
{
	uint32_t forgiven = (now_secs(m) - d->lies_secs) / LIE_DECAY;

	return d->lies > forgiven ? d->lies - forgiven : 0;
}

bool node_is_liar(const struct members *m, uint32_t n)
{
	return lies_now(m, &m->nodes[n]) >= LIM_MEMBER_LIES;
}

static void count_lie(struct members *m, uint32_t n)
{
	struct member_node *d = &m->nodes[n];
	unsigned lies = lies_now(m, d);

	/* Seconds on the way to the next forgiveness are kept, unless there is nothing to forgive. */
	d->lies_secs =
		lies == 0 ? now_secs(m) : now_secs(m) - (now_secs(m) - d->lies_secs) % LIE_DECAY;
	d->lies = (uint8_t)(lies < UINT8_MAX ? lies + 1 : lies);
	if (lies + 1 == LIM_MEMBER_LIES && n != SELF) {
		m->liar = d->key;
		m->liar_told = true;
	}
}

/* --- suspicion --- */

int doubt_add(struct members *m, uint32_t n, uint32_t by, uint64_t inc)
{
	struct doubt *x = doubt_make(m, n);
	unsigned i = 0;

	if (!x)
		return ERR_NOMEM;
	while (i < x->n && x->by[i].node != by)
		i++;
	if (i == LIM_MEMBER_SUSPECTORS)
		return ERR_FULL;
	if (i == x->n)
		x->by[x->n++] = (struct suspector){.node = by, .inc = inc};
	else if (x->by[i].inc < inc)
		x->by[i].inc = inc;
	x->own |= by == SELF;
	arm(m, x);
	return 0;
}

void doubt_own(struct members *m, uint32_t n)
{
	const struct member_node *d = &m->nodes[n];
	uint64_t inc = d->inc;

	if (d->doubt && d->doubt->own)
		return;
	/* Others may have heard a newer word of it than we. */
	for (unsigned i = 0; d->doubt && i < d->doubt->n; i++)
		if (inc < d->doubt->by[i].inc)
			inc = d->doubt->by[i].inc;
	if (doubt_add(m, n, SELF, inc) < 0)
		return;
	m->stats.own_suspicions++;
	fact_say(m, MEMBER_FACT_SUSPECT, n, inc);
	/* Too often wrong of late, we are not listened to; but the subject is to have its say. */
	if (node_is_liar(m, SELF))
		fact_say(m, MEMBER_FACT_NOTICE, n, inc);
}

void doubt_end(struct members *m, uint32_t n)
{
	if (m->nodes[n].state == MEMBER_DOUBTED)
		mnode_set_state(m, n, MEMBER_OK);
}

static void drop_suspector(struct doubt *x, unsigned i)
{
	if (x->by[i].node == SELF)
		x->own = false;
	x->by[i] = x->by[--x->n];
}

/* Something was taken away from a doubt. */
static void end_or_arm(struct members *m, struct doubt *x)
{
	if (x->n == 0 && x->nholders == 0)
		doubt_end(m, x->node);
	else
		arm(m, x);
}

static void doubt_withdraw(struct members *m, struct doubt *x)
{
	for (unsigned i = x->n; i-- > 0;)
		if (x->by[i].node == SELF)
			drop_suspector(x, i);
	end_or_arm(m, x);
}

void doubt_unwatched(struct members *m, uint32_t n)
{
	struct doubt *x = m->nodes[n].doubt;

	if (x && x->own)
		doubt_withdraw(m, x);
}

void doubt_heard(struct members *m, uint32_t n)
{
	struct member_node *d = &m->nodes[n];
	struct slot *s;

	if (d->state == MEMBER_GONE) {
		/* Others hold it dead too: it must speak for itself, and hear that it has to. */
		mnode_set_state(m, n, MEMBER_OK);
		m->stats.false_alarms++;
		slot_borrow(m, n, RETURN_TIME);
		if ((s = slot_of(m, n)) != NULL)
			probe_start(m, s);
		fact_say(m, MEMBER_FACT_NOTICE, n, d->inc);
	} else if (d->state == MEMBER_DOUBTED) {
		doubt_withdraw(m, d->doubt);
	}
}

/* Our own suspicion was wrong, and yet we can't reach the node: only our path is broken. Don't
 * raise the alarm again at once. */
static void back_off(struct members *m, struct slot *s)
{
	if (!s->silent)
		return;
	s->backoff = DUR_NS(s->backoff.ns ? 2 * s->backoff.ns : BACKOFF_MIN.ns);
	if (s->backoff.ns > BACKOFF_MAX.ns)
		s->backoff = BACKOFF_MAX;
	s->backoff_until = ts_add(m->now, s->backoff);
}

void doubt_refuted(struct members *m, uint32_t n, uint64_t inc)
{
	struct doubt *x = m->nodes[n].doubt;
	struct slot *s = slot_of(m, n);

	if (!x)
		return;
	m->stats.refutations++;
	x->nholders = 0;
	x->since = m->now;
	for (unsigned i = x->n; i-- > 0;) {
		if (x->by[i].inc >= inc)
			continue;
		count_lie(m, x->by[i].node);
		if (x->by[i].node == SELF && s)
			back_off(m, s);
		drop_suspector(x, i);
	}
	end_or_arm(m, x);
}

void doubt_forget(struct members *m, uint32_t n)
{
	for (size_t at = m->doubts.count; at-- > 0;) {
		struct doubt *x = tq_entry(m->doubts.heap[at].node, struct doubt, timer);

		if (x->node == n)
			continue; /* goes with its state */
		for (unsigned i = x->n; i-- > 0;)
			if (x->by[i].node == n)
				drop_suspector(x, i);
		for (unsigned i = x->nholders; i-- > 0;)
			if (x->holders[i] == n)
				x->holders[i] = x->holders[--x->nholders];
	}
	/* A doubt that lost its last reason ends at its time: ending it here would move the heap
	 * under our feet. */
}

static void judge(struct members *m, struct doubt *x)
{
	uint32_t n = x->node;
	ts_t t = verdict_at(m, x);

	if (!ts_due(t, m->now)) {
		if (ts_due(ts_add(x->since, DOUBT_EXPIRE), m->now))
			doubt_end(m, n);
		else
			arm(m, x);
		return;
	}
	if (ts_before(m->now, m->grace)) {
		arm(m, x);
		return;
	}
	if (!mnode_heard_lately(m, n)) {
		mnode_set_state(m, n, MEMBER_GONE);
		return;
	}
	m->stats.held_by_heard++;
	if (ts_due(ts_add(x->since, DOUBT_EXPIRE), m->now))
		doubt_end(m, n);
	else
		arm(m, x);
}

/* --- ourselves --- */

/* A new word costs everybody something, and a notice costs its sender nothing: so many at once, then
 * one in a while. Enough for a node that partition after partition is held dead by the other side, which
 * by notices alone hears of it. */
static void rest_after_notice(struct members *m)
{
	ts_t burst_ago = ts_add(m->now, DUR_NS(-(NOTICE_BURST - 1) * NOTICE_REST.ns));

	if (ts_before(m->notice_at, burst_ago))
		m->notice_at = burst_ago;
	m->notice_at = ts_add(m->notice_at, NOTICE_REST);
}

/* Who doubts us at an incarnation that is past did not hear our last word: it is said again. */
static void refute(struct members *m)
{
	m->refute = false;
	m->refute_at = ts_add(m->now, REFUTE_EVERY);
	m->repeat_at = ts_add(m->now, REPEAT_EVERY);
	if (m->refute_above >= m->inc) {
		if (m->refute_noticed)
			rest_after_notice(m);
		m->inc = m->refute_above + 1;
		m->stats.self_refutes++;
		m->refute_told = true;
		health_worse(m); /* perhaps it is us: Lifeguard 3.1 */
	}
	fact_say(m, MEMBER_FACT_ALIVE, SELF, m->inc);
}

/* When the refutation that is wanted may go out. */
static ts_t refute_due(const struct members *m)
{
	ts_t rest = m->refute_above < m->inc ? m->repeat_at : m->notice_at;

	return m->refute_noticed && ts_before(m->refute_at, rest) ? rest : m->refute_at;
}

bool self_meant(const struct members *m, uint64_t epoch, uint64_t inc)
{
	return epoch == m->epoch && (inc < m->inc || inc - m->inc <= INC_AHEAD_MAX);
}

void self_doubted(struct members *m, uint64_t epoch, uint64_t inc, uint32_t by)
{
	if (!self_meant(m, epoch, inc))
		return;
	if (by != NO_NODE && inc >= m->inc)
		count_lie(m, by);
	m->refute_noticed = by == NO_NODE && (!m->refute || m->refute_noticed);
	if (!m->refute || m->refute_above < inc)
		m->refute_above = inc;
	m->refute = true;
	if (ts_due(refute_due(m), m->now))
		refute(m);
}

void doubt_tick(struct members *m)
{
	struct tq_node *t;

	while ((t = tq_pop(&m->doubts, m->now)) != NULL) {
		struct doubt *x = tq_entry(t, struct doubt, timer);
		int err = tq_set(&m->doubts, t, m->now);

		/* Popping left room for it; judge() expects it queued. */
		assert(err == 0);
		(void)err;
		judge(m, x);
	}
	if (m->refute && ts_due(refute_due(m), m->now))
		refute(m);
}

ts_t doubt_deadline(const struct members *m)
{
	ts_t t = tq_deadline(&m->doubts);

	return m->refute ? ts_min(t, refute_due(m)) : t;
}

/* --- dead lists --- */

bool notice_allowed(struct members *m, uint32_t from)
{
	struct member_node *d = &m->nodes[from];
	uint32_t filled = (now_secs(m) - d->allowance_secs) / NOTICE_FILL_SECS;

	if (filled > 0) {
		d->allowance = (uint16_t)(d->allowance > filled ? d->allowance - filled : 0);
		d->allowance_secs += filled * NOTICE_FILL_SECS;
	}
	if (d->allowance >= LIM_MEMBER_NOTICES) {
		m->stats.rx_limited++;
		return false;
	}
	d->allowance++;
	return true;
}

/* A neighbour holds @n dead, we don't. */
static int held(struct members *m, uint32_t from, uint32_t n)
{
	struct member_node *d = &m->nodes[n];
	struct slot *s = slot_of(m, from);
	struct doubt *x = d->doubt;

	for (unsigned i = 0; x && i < x->nholders; i++)
		if (x->holders[i] == from)
			return 0;
	if (!notice_allowed(m, from))
		return ERR_LIMIT;
	if (now_secs(m) - d->notice_secs >= NOTICE_SECS) {
		d->notice_secs = now_secs(m);
		fact_say(m, MEMBER_FACT_NOTICE, n, d->inc);
	}
	/* Only neighbours count: a link that came about otherwise may be anybody's choice. */
	if (mnode_heard_lately(m, n) || !s || !s->wanted || (x && x->nholders == HOLDERS))
		return 0;
	x = doubt_make(m, n);
	if (!x)
		return ERR_NOMEM;
	if (x->nholders == 0)
		x->held_since = m->now;
	x->holders[x->nholders++] = from;
	arm(m, x);
	return 0;
}

int doubt_recv_hold(struct members *m, uint32_t from, struct rd *r)
{
	int first = 0;

	while (rd_left(r) > 0) {
		struct member_node *d;
		struct member_hold h;
		uint32_t n;
		int err = member_hold_decode(r, &h);

		if (err < 0) {
			m->stats.rx_bad++;
			return err;
		}
		if (fact_too_far(m, h.epoch, h.inc)) {
			first = ERR_RANGE;
			continue;
		}
		n = mnode_find(m, &h.key);
		if (n == SELF) {
			self_doubted(m, h.epoch, h.inc, NO_NODE);
			continue;
		}
		if (n == NO_NODE || n == from)
			continue;
		d = &m->nodes[n];
		if (!mnode_lives(d) || h.epoch > d->epoch)
			continue;
		if (h.epoch < d->epoch || h.inc < d->inc)
			fact_prove(m, n, from);
		else if ((err = held(m, from, n)) < 0)
			return err;
	}
	return first;
}

void hold_compare(struct members *m, struct slot *s, uint16_t count, uint32_t digest)
{
	uint64_t pair = (uint64_t)m->dead_digest << 32 | digest;
	bool settled = s->linked_anew || ts_due(ts_add(m->dead_changed, HOLD_SETTLED), m->now);

	if (count == m->ndead && digest == m->dead_digest) {
		m->holds &= ~slot_bit(m, s);
		s->linked_anew = false;
		return;
	}
	/* Deaths under way are left alone, and a difference that one run did not mend, for longer
	 * and longer: perhaps one of us only knows fewer nodes, or doesn't know them yet. */
	if (m->ndead == 0 || (m->holds & slot_bit(m, s)) || !settled ||
		(pair == s->hold_pair && ts_before(m->now, ts_add(s->hold_done, s->hold_rest))))
		return;
	s->hold_rest = pair == s->hold_pair ? DUR_NS(2 * s->hold_rest.ns) : HOLD_AGAIN;
	if (s->hold_rest.ns > HOLD_AGAIN_MAX.ns)
		s->hold_rest = HOLD_AGAIN_MAX;
	s->linked_anew = false;
	m->holds |= slot_bit(m, s);
	s->hold_at = 0;
	s->hold_next = m->now;
	s->hold_pair = pair;
}

size_t hold_produce(struct members *m, uint32_t *to)
{
	for (unsigned i = 0; m->holds && i < m->nslots; i++) {
		struct slot *s = &m->slot[i];
		struct wr w;

		if (!(m->holds & 1u << i) || !slot_linked(m, s) || !ts_due(s->hold_next, m->now))
			continue;
		wr_init(&w, m->tx, sizeof(m->tx));
		wr_u8(&w, MEMBER_MSG_HOLD);
		for (; s->hold_at < m->ndead && wr_left(&w) >= MEMBER_HOLD_LEN; s->hold_at++) {
			const struct member_node *d = &m->nodes[m->dead[s->hold_at]];

			member_hold_encode(&w, &(struct member_hold){d->key, d->epoch, d->inc});
		}
		s->hold_next = ts_add(m->now, HOLD_GAP);
		if (s->hold_at >= m->ndead) {
			m->holds &= ~(1u << i);
			s->hold_done = m->now;
		}
		if (wr_len(&w) == 1)
			continue; /* they came back meanwhile */
		*to = s->node;
		return wr_len(&w);
	}
	return 0;
}

ts_t hold_deadline(const struct members *m)
{
	ts_t t = TS_NEVER;

	for (unsigned i = 0; m->holds && i < m->nslots; i++)
		if ((m->holds & 1u << i) && slot_linked(m, &m->slot[i]))
			t = ts_min(t, m->slot[i].hold_next);
	return t;
}
