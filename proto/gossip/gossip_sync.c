/* gossip_sync.c - anti-entropy: finding out what two stores don't share, at a cost of that.
 *
 * Over the keys' first 12 bits stands a tree of sums (store.h). Each side of a link sends its root
 * now and then. If they differ, the side with the lower key begins a descent (the other answers a
 * root with a root, so that one descent runs, not two): it sends the sums below the root; whoever
 * gets sums sends, for each child that differs, the sums below that, or, where few records are left,
 * its KEYS there. The receiver of KEYS sends what the peer lacks and asks for what itself lacks; if
 * the peer lacks much, it answers with its own KEYS, and the peer asks, at its own pace. So every
 * step is a datagram or a few, and one changed record among thousands is found in four.
 *
 * States of a link: equal; differing (roots are looked at again after ROOT_AGAIN, doubling to
 * ROOT_IDLE while nothing comes of it); descending (ranges to be sent, records asked for), in which
 * no second descent begins. A record that was put within FRESH is not in the sums: it is on its way
 * to everybody, and each change would set off descents everywhere.
 *
 * Bounds: LINK_RANGES_MAX ranges per link (the rest is found by the next descent), DESCEND_MIN
 * between descents; a message makes us send at most what its ranges hold, within the link's pace.
 * Failure: a message that is wrong from some place on is used up to there. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "gossip_int.h"

#define KEYS_DIRECT  4  /* so few records below a node of the tree are named instead of summed */
#define RANGES_DEDUP 32 /* so many of the last queued are compared with a new one */
#define PUSH_MAX     8  /* so few that the peer lacks are sent unasked */

uint64_t sync_root(struct gossip *g)
{
	ts_t until = g->now;

	/* Before the first FRESH of the clock nothing has settled. */
	if (until.ns <= (uint64_t)FRESH.ns)
		return store_sum(g->store, 0, 0);
	until.ns -= (uint64_t)FRESH.ns;
	store_settle(g->store, until);
	return store_sum(g->store, 0, 0);
}

static struct range *ranges_at(struct rangeq *q, size_t i)
{
	return &q->v[(q->head + i) % LINK_RANGES_MAX];
}

static bool same_range(const struct range *a, const struct range *b)
{
	return a->kind == b->kind && a->level == b->level && a->index == b->index &&
	       a->from == b->from && a->to == b->to;
}

static void ranges_put(struct gossip *g, struct link *l, const struct range *r)
{
	struct rangeq *q = &l->ranges;

	for (size_t i = q->count > RANGES_DEDUP ? q->count - RANGES_DEDUP : 0; i < q->count; i++)
		if (same_range(ranges_at(q, i), r))
			return;
	if (!q->v)
		q->v = malloc(LINK_RANGES_MAX * sizeof(*q->v));
	if (!q->v || q->count == LINK_RANGES_MAX) {
		g->stats.dropped++;
		return;
	}
	*ranges_at(q, q->count) = *r;
	q->count++;
}

static void ranges_pop(struct rangeq *q)
{
	assert(q->count > 0);
	q->head = (q->head + 1) % LINK_RANGES_MAX;
	if (--q->count == 0) {
		free(q->v);
		memset(q, 0, sizeof(*q));
	}
}

static bool descending(const struct link *l)
{
	return l->ranges.count > 0 || l->wants.count > 0 || l->asked > 0;
}

void sync_progress(struct link *l)
{
	l->again = ROOT_AGAIN;
}

/* Roots differ: the side with the lower key begins, the other says its root, so that it does. */
static void differs(struct gossip *g, struct link *l, ts_t now)
{
	ts_t again = ts_add(now, prng_jitter(&g->prng, l->again, 25));

	if (ts_before(now, l->quiet_until))
		return;
	l->quiet_until = again;
	l->root_at = ts_min(l->root_at, again);
	l->again = DUR_NS(l->again.ns * 2 < ROOT_IDLE.ns ? l->again.ns * 2 : ROOT_IDLE.ns);
	if (node_key_cmp(&g->id->pub, &l->m->key) < 0) {
		l->descend = true;
		sync_tick(g, l, now);
	} else if (ts_due(l->reply_at, now)) {
		l->root_due = true;
		l->reply_at = ts_add(now, ROOT_REPLY_MIN);
	}
}

/* Roots agree: the next comparison has time, but what is fresh on either side has not been compared. It
 * is moved only where it has to be: a timer costs more than a root. */
static void put_off(struct gossip *g, struct link *l, ts_t now)
{
	dur_t time = store_unsettled(g->store) ? ROOT_SOON : ROOT_IDLE;

	if (ts_before(l->root_at, ts_add(now, ROOT_NEAR)) ||
		ts_before(ts_add(now, DUR_NS(time.ns / 4 * 5)), l->root_at))
		l->root_at = ts_add(now, prng_jitter(&g->prng, time, 25));
}

void sync_heard_root(struct gossip *g, struct node *m, uint64_t root, ts_t now)
{
	struct link *l = m->link;

	if (root == sync_root(g)) {
		g->synced = true;
		own_known_summed(g, l);
		l->descend = false;
		l->again = ROOT_AGAIN;
		l->quiet_until = now;
		put_off(g, l, now);
	} else {
		differs(g, l, now);
	}
	link_stir(g, m);
}

int sync_recv_root(struct gossip *g, struct node *m, struct rd *r, ts_t now)
{
	uint64_t root;
	int err = gossip_root_decode(r, &root);

	if (err < 0)
		return err;
	/* Whoever needs the link says its root now and then, unless probes carry it. */
	m->link->used_until = ts_add(now, USED_FOR);
	link_overlay(g, m->link);
	sync_heard_root(g, m, root, now);
	return 0;
}

/* Where the peer's sums differ from ours: look closer. */
static void compare_group(struct gossip *g, struct link *l, const struct gossip_group *grp)
{
	struct range r = {.level = grp->level + 1};

	for (unsigned i = 0; i < STORE_CHILDREN; i++) {
		r.index = grp->index * STORE_CHILDREN + i;
		if (store_sum(g->store, r.level, r.index) == grp->sum[i])
			continue;
		r.from = store_range_first(r.level, r.index);
		r.to = store_range_last(r.level, r.index);
		r.kind = RANGE_SUMS;
		if (r.level == STORE_LEVELS ||
			store_count_in(g->store, r.from, r.to) <= KEYS_DIRECT)
			r.kind = RANGE_KEYS;
		ranges_put(g, l, &r);
	}
}

int sync_recv_sums(struct gossip *g, struct node *m, struct rd *r, ts_t now)
{
	struct gossip_group grp;
	int err = 0;

	(void)now;
	(void)sync_root(g);
	while (err == 0 && rd_left(r) > 0) {
		err = gossip_group_decode(r, &grp);
		if (err == 0)
			compare_group(g, m->link, &grp);
	}
	link_stir(g, m);
	return err;
}

/* What the peer lacks in a range, as far as it may be sent unasked. */
struct lacking {
	size_t n;
	const struct store_entry *v[PUSH_MAX];
};

static void lacks(struct lacking *k, const struct store_entry *e)
{
	if (k->n < PUSH_MAX)
		k->v[k->n] = e;
	k->n++;
}

/* The peer has a key with another version than we: @e ours. */
static void compare_key(struct gossip *g, struct node *m, const struct store_entry *e,
	const struct gossip_key_entry *k, struct lacking *lack)
{
	int cmp = record_version_cmp(e->r.epoch, e->r.seq, k->epoch, k->seq);

	/* Of one version the lower hash stays (store.h). */
	if (cmp == 0 && e->digest != k->hash)
		cmp = e->digest < k->hash ? 1 : -1;
	if (cmp > 0)
		lacks(lack, e);
	else if (cmp < 0)
		link_want(g, m, e->r.key);
}

static void compare_section(struct gossip *g, struct node *m, bool answer)
{
	const struct gossip_section *s = &g->section;
	struct range r = {.kind = RANGE_ANSWER, .from = s->from, .to = s->to};
	struct lacking lack = {.n = 0};
	const struct store_entry *e;
	size_t at = store_from(g->store, s->from), i = 0;

	for (; (e = store_at(g->store, at)) != NULL && e->r.key <= s->to; at++) {
		for (; i < s->n && s->v[i].key < e->r.key; i++)
			link_want(g, m, s->v[i].key);
		if (i < s->n && s->v[i].key == e->r.key)
			compare_key(g, m, e, &s->v[i++], &lack);
		else
			lacks(&lack, e);
	}
	for (; i < s->n; i++)
		link_want(g, m, s->v[i].key);
	if (lack.n > 0)
		sync_progress(m->link);
	/* Who answers has asked us already for what it lacks. */
	if (answer)
		return;
	if (lack.n > PUSH_MAX)
		ranges_put(g, m->link, &r);
	else
		for (i = 0; i < lack.n; i++)
			link_fill(g, m, lack.v[i]);
}

int sync_recv_keys(struct gossip *g, struct node *m, struct rd *r, ts_t now)
{
	uint8_t flags = rd_u8(r);
	int err = rd_bad(r) ? ERR_TRUNCATED : 0;

	(void)now;
	while (err == 0 && rd_left(r) > 0) {
		err = gossip_section_decode(r, &g->section);
		if (err == 0)
			compare_section(g, m, flags & GOSSIP_KEYS_F_ANSWER);
	}
	link_stir(g, m);
	return err;
}

void sync_tick(struct gossip *g, struct link *l, ts_t now)
{
	static const struct range top = {.kind = RANGE_SUMS};

	if (ts_due(l->root_at, now)) {
		l->root_due |= link_needed(g, l);
		l->root_at = ts_add(now, prng_jitter(&g->prng, ROOT_IDLE, 25));
	}
	if (!l->descend || !ts_due(l->descend_at, now))
		return;
	l->descend_at = ts_add(now, DESCEND_MIN);
	if (descending(l))
		return;
	l->descend = false;
	g->stats.descents++;
	ranges_put(g, l, &top);
}

ts_t sync_deadline(const struct link *l)
{
	return l->descend ? ts_min(l->root_at, l->descend_at) : l->root_at;
}

static void produce_sums(struct gossip *g, struct link *l, struct wr *w)
{
	struct rangeq *q = &l->ranges;

	(void)sync_root(g);
	wr_u8(w, GOSSIP_MSG_SUMS);
	while (q->count > 0 && ranges_at(q, 0)->kind == RANGE_SUMS &&
		wr_left(w) >= GOSSIP_GROUP_BYTES) {
		const struct range *r = ranges_at(q, 0);
		struct gossip_group grp = {.level = r->level, .index = r->index};

		for (unsigned i = 0; i < STORE_CHILDREN; i++)
			grp.sum[i] =
				store_sum(g->store, r->level + 1, r->index * STORE_CHILDREN + i);
		gossip_group_encode(w, &grp);
		ranges_pop(q);
	}
}

/* Our index of the range, or of as much of it as fits. True: all of it. */
static bool produce_section(struct gossip *g, struct range *r, struct wr *w)
{
	size_t room = (wr_left(w) - GOSSIP_SECTION_HDR) / GOSSIP_KEY_ENTRY;
	struct gossip_section *s = &g->section;
	const struct store_entry *e;
	bool whole = true;

	s->from = r->from;
	s->to = r->to;
	s->n = 0;
	for (size_t at = store_from(g->store, r->from);
		(e = store_at(g->store, at)) != NULL && e->r.key <= r->to; at++) {
		if (s->n == room) {
			/* The rest goes into the next datagram. */
			s->to = e->r.key - 1;
			r->from = e->r.key;
			whole = false;
			break;
		}
		s->v[s->n++] = (struct gossip_key_entry){e->r.key, e->r.epoch, e->r.seq, e->digest};
	}
	gossip_section_encode(w, s);
	return whole;
}

static void produce_keys(struct gossip *g, struct link *l, struct wr *w)
{
	enum range_kind kind = ranges_at(&l->ranges, 0)->kind;
	struct rangeq *q = &l->ranges;

	wr_u8(w, GOSSIP_MSG_KEYS);
	wr_u8(w, kind == RANGE_ANSWER ? GOSSIP_KEYS_F_ANSWER : 0);
	while (q->count > 0 && ranges_at(q, 0)->kind == kind &&
		wr_left(w) >= GOSSIP_SECTION_HDR + GOSSIP_KEY_ENTRY) {
		if (!produce_section(g, ranges_at(q, 0), w))
			return;
		ranges_pop(q);
	}
}

void sync_produce(struct gossip *g, struct link *l, struct wr *w)
{
	if (ranges_at(&l->ranges, 0)->kind == RANGE_SUMS)
		produce_sums(g, l, w);
	else
		produce_keys(g, l, w);
}
