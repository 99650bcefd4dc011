/* member_probe.c - is a neighbour there? A round is one PROBE, repeated while it is not answered;
 * midway some neighbours are asked to try for us (SWIM 3.1), since perhaps only our own path is
 * broken. On a link one side's rounds do for both: who was just probed leaves the next one to the
 * other side too.
 *
 * Sessions exist between overlay neighbours only, so a helper that has none with the target passes
 * the request on, HELP_TTL times at most, to one of its neighbours that stands nearer to it. Each
 * helper remembers the request until an answer is due (LIM_MEMBER_HELPS), and answers NACK when
 * none came: then the asker knows that at least its own network works (Lifeguard 3.1). A helper may
 * lie: one that is alone in reaching a target is believed HELPED_MAX rounds in a row. */
#include <assert.h>
#include <string.h>
#include "weft/err.h"
#include "member_int.h"

static dur_t stretched(const struct members *m, dur_t d)
{
	return DUR_NS(d.ns * (1 + (int64_t)m->health));
}

void health_worse(struct members *m)
{
	if (m->health < HEALTH_MAX)
		m->health++;
	m->health_at = m->now;
}

/* Answers come many a second: a step of recovery takes a second all the same. */
void health_better(struct members *m)
{
	if (m->health == 0 || !ts_due(ts_add(m->health_at, DUR_SEC(1)), m->now))
		return;
	m->health--;
	m->health_at = m->now;
}

static uint16_t next_seq(struct members *m)
{
	return ++m->seq;
}

static void answer_put(struct members *m, const struct answer *a)
{
	unsigned at = (m->answer_head + m->nanswers) % LIM_MEMBER_ANSWERS;

	m->answer[at] = *a;
	if (m->nanswers < LIM_MEMBER_ANSWERS)
		m->nanswers++;
	else
		m->answer_head = (m->answer_head + 1) % LIM_MEMBER_ANSWERS;
}

static void answer_short(struct members *m, uint32_t to, enum member_msg kind, uint16_t seq)
{
	answer_put(m, &(struct answer){.node = to, .kind = (uint8_t)kind, .seq = seq});
}

void probe_start(struct members *m, struct slot *s)
{
	uint64_t spread = (uint64_t)PROBE_EVERY.ns;
	ts_t *at = slot_step_at(m, s);

	s->tries = 0;
	if (!mnode_lives(&m->nodes[s->node]))
		*at = TS_NEVER; /* until a link comes up and brings it back */
	else if (slot_linked(m, s))
		*at = ts_add(m->now, DUR_NS(prng_below(&m->prng, spread)));
	else
		*at = ts_add(m->now, LINK_WAIT);
}

void probe_link(struct members *m, struct slot *s, bool up)
{
	if (up) {
		s->linked_anew = true;
		slot_bridged(m, s);
		probe_start(m, s);
	} else if (s->tries == 0 && mnode_lives(&m->nodes[s->node])) {
		*slot_step_at(m, s) = ts_min(*slot_step_at(m, s), ts_add(m->now, PROBE_EVERY));
	}
}

/* --- helpers --- */

static bool meet(const uint32_t *a, unsigned na, const uint32_t *b, unsigned nb)
{
	for (unsigned i = 0; i < na; i++)
		for (unsigned j = 0; j < nb; j++)
			if (a[i] == b[j])
				return true;
	return false;
}

/* Up to @max of our neighbours that may reach @target, best first, into @out; how many. */
static unsigned pick_helpers(
	struct members *m, uint32_t target, uint32_t except, uint32_t *out, unsigned max)
{
	uint32_t near[2 * MEMBER_RINGS], theirs[2 * MEMBER_RINGS];
	unsigned nnear = mnode_neighbours(m, target, near), count = 0;
	uint64_t score[HELPERS];

	assert(max <= HELPERS);
	for (unsigned i = 0; i < LIM_MEMBER_NEIGHBOURS; i++) {
		const struct slot *s = &m->slot[i];
		uint64_t mine;
		unsigned at;

		if (!slot_linked(m, s) || s->node == target || s->node == except || s->silent ||
			m->nodes[s->node].state != MEMBER_OK)
			continue;
		/* Linked to it by the rings; or to one that is; else anybody. */
		mine = prng_next(&m->prng) >> 2;
		if (meet(&s->node, 1, near, nnear))
			mine |= (uint64_t)1 << 63;
		else if (meet(theirs, mnode_neighbours(m, s->node, theirs), near, nnear))
			mine |= (uint64_t)1 << 62;
		for (at = count; at > 0 && score[at - 1] < mine; at--)
			if (at < max) {
				score[at] = score[at - 1];
				out[at] = out[at - 1];
			}
		if (at < max) {
			score[at] = mine;
			out[at] = s->node;
			count += count < max;
		}
	}
	return count;
}

static void ask_helpers(struct members *m, struct slot *s)
{
	s->asked = (uint8_t)pick_helpers(m, s->node, SELF, s->helpers, HELPERS);
	for (unsigned i = 0; i < s->asked; i++)
		answer_put(m, &(struct answer){.node = s->helpers[i],
				      .kind = MEMBER_MSG_REQ,
				      .seq = s->seq,
				      .target = s->node,
				      .ttl = HELP_TTL});
	m->stats.indirect += s->asked;
}

/* --- rounds --- */

static void round_over(struct members *m, struct slot *s, dur_t next)
{
	s->tries = 0;
	s->silent = false;
	*slot_step_at(m, s) = ts_add(m->now, prng_jitter(&m->prng, next, PROBE_JITTER));
}

static void heard_directly(struct slot *s)
{
	s->helped = 0;
	s->backoff = DUR_NS(0);
	s->backoff_until = TS_ZERO;
}

static void round_failed(struct members *m, struct slot *s)
{
	round_over(m, s, PROBE_EVERY);
	s->silent = true;
	if (s->asked > 0 && s->answered == 0)
		health_worse(m);
	if (ts_due(s->backoff_until, m->now))
		doubt_own(m, s->node);
}

static void round_step(struct members *m, struct slot *s)
{
	const struct member_node *d = &m->nodes[s->node];

	if (!mnode_lives(d)) {
		s->tries = 0;
		*slot_step_at(m, s) = TS_NEVER;
		return;
	}
	if (ts_before(m->now, m->grace)) {
		*slot_step_at(m, s) = m->grace;
		return;
	}
	if (s->tries > 0 && !ts_is_never(d->heard) && !ts_before(d->heard, s->round_at)) {
		round_over(m, s, PROBE_EVERY); /* not answered, but heard: data, say */
		heard_directly(s);
		return;
	}
	if (s->tries == PROBE_TRIES) {
		round_failed(m, s);
		return;
	}
	if (s->tries++ == 0) {
		s->seq = next_seq(m);
		s->round_at = m->now;
		s->asked = s->answered = 0;
	}
	if (slot_linked(m, s))
		answer_short(m, s->node, MEMBER_MSG_PROBE, s->seq);
	if (s->tries == PROBE_ASK) {
		ask_helpers(m, s);
		slot_trouble(m);
	}
	*slot_step_at(m, s) = ts_add(m->now, stretched(m, PROBE_RETRY));
}

static void help_free(struct members *m, struct help *h)
{
	m->nhelps--;
	memset(h, 0, sizeof(*h));
}

void probe_tick(struct members *m)
{
	for (unsigned i = 0; i < m->nslots; i++)
		if (ts_due(m->step_at[i], m->now))
			round_step(m, &m->slot[i]);
	for (unsigned i = 0; m->nhelps > 0 && i < LIM_MEMBER_HELPS; i++) {
		struct help *h = &m->help[i];

		if (h->used && ts_due(h->until, m->now)) {
			answer_short(m, h->from, MEMBER_MSG_NACK, h->from_seq);
			help_free(m, h);
		}
	}
}

ts_t probe_deadline(const struct members *m)
{
	ts_t t = TS_NEVER;

	for (unsigned i = 0; i < m->nslots; i++)
		t = ts_min(t, m->step_at[i]);
	for (unsigned i = 0; m->nhelps > 0 && i < LIM_MEMBER_HELPS; i++)
		if (m->help[i].used)
			t = ts_min(t, m->help[i].until);
	return t;
}

void probe_forget(struct members *m, uint32_t n)
{
	for (unsigned i = 0; i < LIM_MEMBER_HELPS; i++) {
		struct help *h = &m->help[i];

		if (h->used && (h->from == n || h->target == n || h->via == n))
			help_free(m, h);
	}
	/* An answer to NO_NODE is stepped over. */
	for (unsigned i = 0; i < LIM_MEMBER_ANSWERS; i++)
		if (m->answer[i].node == n || m->answer[i].target == n)
			m->answer[i].node = NO_NODE;
	for (unsigned i = 0; i < LIM_MEMBER_NEIGHBOURS; i++)
		for (unsigned j = 0; j < HELPERS; j++)
			if (m->slot[i].helpers[j] == n)
				m->slot[i].helpers[j] = NO_NODE;
}

/* --- messages --- */

/* What PROBE and ACK share: the head, what is attached, the dead list's digest. */
static int recv_head(struct members *m, uint32_t from, struct rd *r, struct member_probe *p)
{
	struct slot *s = slot_of(m, from);
	int err = member_probe_decode(r, p);

	if (err < 0) {
		m->stats.rx_bad++;
		return err;
	}
	if (p->extra_len > 0) {
		memcpy(m->extra, p->extra, p->extra_len);
		m->extra_len = p->extra_len;
		m->extra_from = from;
	}
	if (s)
		hold_compare(m, s, p->dead, p->digest);
	return 0;
}

int probe_recv_probe(struct members *m, uint32_t from, struct rd *r)
{
	struct slot *s = slot_of(m, from);
	struct member_probe p;
	int err = recv_head(m, from, r, &p);

	if (err < 0)
		return err;
	answer_short(m, from, MEMBER_MSG_ACK, p.seq);
	if (s) {
		round_over(m, s, PROBE_YIELD);
		heard_directly(s);
	}
	return fact_recv(m, from, r);
}

static struct help *help_find(struct members *m, uint32_t via, uint16_t seq)
{
	for (unsigned i = 0; i < LIM_MEMBER_HELPS; i++)
		if (m->help[i].used && m->help[i].via == via && m->help[i].seq == seq)
			return &m->help[i];
	return NULL;
}

int probe_recv_ack(struct members *m, uint32_t from, struct rd *r)
{
	struct slot *s = slot_of(m, from);
	struct member_probe p;
	struct help *h;
	int err = recv_head(m, from, r, &p);

	if (err < 0)
		return err;
	if (s && s->tries > 0 && s->seq == p.seq) {
		m->stats.acks++;
		round_over(m, s, PROBE_EVERY);
		heard_directly(s);
		health_better(m);
	} else if ((h = help_find(m, from, p.seq)) != NULL && h->target == from) {
		answer_short(m, h->from, MEMBER_MSG_REACHED, h->from_seq);
		help_free(m, h);
	}
	return fact_recv(m, from, r);
}

static struct help *help_new(struct members *m)
{
	for (unsigned i = 0; i < LIM_MEMBER_HELPS; i++)
		if (!m->help[i].used)
			return &m->help[i];
	return NULL;
}

/* Probe @target for @from, or pass the request on. Is anything to come of it? */
static bool help(struct members *m, uint32_t from, uint16_t seq, uint8_t ttl, uint32_t target)
{
	bool linked = m->nodes[target].flags & NODE_LINKED;
	struct help *h = help_new(m);
	uint32_t via = target;

	if (!h || (!linked && (ttl == 0 || pick_helpers(m, target, from, &via, 1) == 0)))
		return false;
	m->nhelps++;
	*h = (struct help){
		.used = true,
		.from = from,
		.from_seq = seq,
		.target = target,
		.via = via,
		.seq = next_seq(m),
		.until = ts_add(m->now, DUR_NS(HELP_WAIT.ns * (linked ? 1 : 1 + ttl))),
	};
	answer_put(m, &(struct answer){.node = via,
			      .kind = linked ? MEMBER_MSG_PROBE : MEMBER_MSG_REQ,
			      .seq = h->seq,
			      .target = target,
			      .ttl = (uint8_t)(linked ? 0 : ttl - 1)});
	return true;
}

int probe_recv_req(struct members *m, uint32_t from, struct rd *r)
{
	uint16_t seq = rd_u16(r);
	uint8_t ttl = rd_u8(r);
	struct node_key key;
	uint32_t target;

	rd_copy(r, key.b, sizeof(key.b));
	if (!rd_done(r)) {
		m->stats.rx_bad++;
		return rd_bad(r) ? ERR_TRUNCATED : ERR_MALFORMED;
	}
	if (ttl > HELP_TTL)
		ttl = HELP_TTL;
	target = mnode_find(m, &key);
	if (target == SELF)
		answer_short(m, from, MEMBER_MSG_REACHED, seq);
	else if (target == NO_NODE || target == from || !mnode_lives(&m->nodes[target]) ||
		 !help(m, from, seq, ttl, target))
		answer_short(m, from, MEMBER_MSG_NACK, seq);
	return 0;
}

/* The round in which we asked @from for help under @seq; or NULL. */
static struct slot *asked_of(struct members *m, uint32_t from, uint16_t seq)
{
	for (unsigned i = 0; i < LIM_MEMBER_NEIGHBOURS; i++) {
		struct slot *s = &m->slot[i];

		if (!s->used || s->node == NO_NODE || s->tries == 0 || s->seq != seq)
			continue;
		for (unsigned j = 0; j < s->asked; j++)
			if (s->helpers[j] == from)
				return s;
	}
	return NULL;
}

static int recv_seq(struct members *m, struct rd *r, uint16_t *seq)
{
	*seq = rd_u16(r);
	if (rd_done(r))
		return 0;
	m->stats.rx_bad++;
	return rd_bad(r) ? ERR_TRUNCATED : ERR_MALFORMED;
}

int probe_recv_reached(struct members *m, uint32_t from, struct rd *r)
{
	struct slot *s;
	struct help *h;
	uint16_t seq;
	int err = recv_seq(m, r, &seq);

	if (err < 0)
		return err;
	if ((s = asked_of(m, from, seq)) != NULL) {
		s->answered++;
		if (s->voucher != from)
			s->helped = 0;
		s->voucher = from;
		if (s->helped < HELPED_MAX) {
			s->helped++;
			round_over(m, s, PROBE_EVERY);
		}
	} else if ((h = help_find(m, from, seq)) != NULL) {
		answer_short(m, h->from, MEMBER_MSG_REACHED, h->from_seq);
		help_free(m, h);
	}
	return 0;
}

int probe_recv_nack(struct members *m, uint32_t from, struct rd *r)
{
	struct slot *s;
	struct help *h;
	uint16_t seq;
	int err = recv_seq(m, r, &seq);

	if (err < 0)
		return err;
	if ((s = asked_of(m, from, seq)) != NULL) {
		s->answered++;
	} else if ((h = help_find(m, from, seq)) != NULL) {
		answer_short(m, h->from, MEMBER_MSG_NACK, h->from_seq);
		help_free(m, h);
	}
	return 0;
}

static void encode(struct members *m, const struct answer *a, struct wr *w)
{
	struct member_probe p = {
		.seq = a->seq,
		.dead = (uint16_t)(m->ndead < UINT16_MAX ? m->ndead : UINT16_MAX),
		.digest = m->dead_digest,
		.extra = m->attach,
		.extra_len = m->attach_len,
	};

	m->stats.probes += a->kind == MEMBER_MSG_PROBE;
	switch (a->kind) {
	case MEMBER_MSG_PROBE:
	case MEMBER_MSG_ACK:
		member_probe_encode(w, a->kind, &p);
		if (m->nodes[a->node].slot != NO_SLOT)
			fact_append(m, m->nodes[a->node].slot, w);
		break;
	case MEMBER_MSG_REQ:
		member_req_encode(w, a->seq, a->ttl, &m->nodes[a->target].key);
		break;
	default:
		member_short_encode(w, a->kind, a->seq);
	}
	assert(!wr_bad(w));
}

size_t probe_produce(struct members *m, uint32_t *to)
{
	while (m->nanswers > 0) {
		const struct answer *a = &m->answer[m->answer_head];
		struct wr w;

		m->answer_head = (m->answer_head + 1) % LIM_MEMBER_ANSWERS;
		m->nanswers--;
		if (a->node == NO_NODE || !(m->nodes[a->node].flags & NODE_LINKED))
			continue;
		*to = a->node;
		wr_init(&w, m->tx, sizeof(m->tx));
		encode(m, a, &w);
		return wr_len(&w);
	}
	return 0;
}
