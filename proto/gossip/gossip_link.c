/* gossip_link.c - links: what is queued for each, pacing, and how news spreads.
 *
 * A record that is news goes at once to FANOUT links chosen at random (what we publish ourselves to
 * more), and is offered to others by its key a moment later, if they have not shown by then that
 * they have it: a copy or an offer of theirs takes it out of the queues for them. Whoever is offered
 * what it lacks asks one of those who offer. So a record costs about FANOUT copies per node at any
 * size of the cluster, and a lost copy costs a few hundred milliseconds. What got lost beyond that
 * is mended by gossip_sync.c.
 *
 * What a peer was found to lack and what a joiner asks for (FILL) goes out last, within a budget
 * of all links together; the asker has at most WANT_WINDOW records under way, and takes up where it
 * stood when the link, or another one, comes again, since it asks only for what it lacks.
 *
 * A record that comes from the node which it speaks of is acknowledged at once, by a HAVE: so a node
 * knows who can route to it. A lost one is made up for by roots that agree.
 *
 * Of all links only those of the overlay carry this: to neighbours (membership wants them), those of
 * our own start, and those on which the peer compares roots with us, be it as our neighbour in its
 * view or as a joiner. Other links are for data.
 *
 * In: records and requests from peers, news from node_commit(). Out: link_produce(), one datagram a
 * call, links in turn. Bounds: the queues (gossip_int.h: what doesn't fit is mended later),
 * PACE_DATAGRAMS per link and PACE_WINDOW, PACE_FILL, and news per origin (node_may_say): a node
 * that says more is not heard for a while. Want of memory drops likewise. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/log.h"
#include "gossip_int.h"

static bool keyq_put(struct keyq *q, uint64_t key, size_t max)
{
	size_t back = q->count < LINK_DEDUP ? q->count : LINK_DEDUP;

	for (size_t i = q->count - back; i < q->count; i++)
		if (q->v[(q->head + i) % q->cap] == key)
			return true;
	if (q->count == max)
		return false;
	if (q->count == q->cap) {
		size_t cap = q->cap ? 2 * q->cap : 16;
		uint64_t *v = malloc(cap * sizeof(*v));

		if (!v)
			return false;
		for (size_t i = 0; i < q->count; i++)
			v[i] = q->v[(q->head + i) % q->cap];
		free(q->v);
		q->v = v;
		q->cap = cap;
		q->head = 0;
	}
	q->v[(q->head + q->count++) % q->cap] = key;
	return true;
}

static uint64_t keyq_peek(const struct keyq *q)
{
	assert(q->count > 0);
	return q->v[q->head];
}

/* A queue that has become empty gives its memory back: a joiner's transfer was the rare case. */
static void keyq_drained(struct keyq *q)
{
	if (q->count == 0) {
		free(q->v);
		memset(q, 0, sizeof(*q));
	}
}

static void keyq_pop(struct keyq *q)
{
	q->head = (q->head + 1) % q->cap;
	q->count--;
	keyq_drained(q);
}

/* Take out @key if it is among the last LINK_DEDUP. */
static void keyq_remove(struct keyq *q, uint64_t key)
{
	size_t i = q->count > LINK_DEDUP ? q->count - LINK_DEDUP : 0;

	while (i < q->count && q->v[(q->head + i) % q->cap] != key)
		i++;
	if (i == q->count)
		return;
	for (; i + 1 < q->count; i++)
		q->v[(q->head + i) % q->cap] = q->v[(q->head + i + 1) % q->cap];
	q->count--;
	keyq_drained(q);
}

static bool may_ask(const struct link *l)
{
	return l->wants.count > 0 && l->asked < WANT_WINDOW;
}

static bool may_offer(const struct link *l, ts_t now)
{
	return l->offers.count > 0 && ts_due(l->offer_at, now);
}

static bool may_fill(struct gossip *g)
{
	if (ts_due(ts_add(g->fill_window, PACE_WINDOW), g->now)) {
		g->fill_window = g->now;
		g->fill_sent = 0;
	}
	return g->fill_sent < PACE_FILL;
}

static bool may_send(struct link *l, ts_t now)
{
	if (ts_due(ts_add(l->window, PACE_WINDOW), now)) {
		l->window = now;
		l->sent = 0;
	}
	return l->sent < PACE_DATAGRAMS;
}

void link_stir(struct gossip *g, struct node *m)
{
	struct link *l = m->link;
	bool now = l->root_due || l->buried.count || l->acks.count || l->news.count ||
		   l->ranges.count || may_ask(l) || may_offer(l, g->now);

	list_del(&l->sending);
	l->blocked_to = TS_NEVER;
	if (!now && !l->fill.count)
		;
	else if (!may_send(l, g->now))
		l->blocked_to = ts_add(l->window, PACE_WINDOW);
	else if (now || may_fill(g))
		list_add_tail(&g->senders, &l->sending);
	else
		l->blocked_to = ts_add(g->fill_window, PACE_WINDOW);
	node_arm(g, m);
}

bool link_needed(const struct gossip *g, const struct link *l)
{
	return !g->membership || l->m->watched || l->startup;
}

static unsigned neighbours_linked(const struct gossip *g)
{
	struct list *n, *t;
	unsigned count = 0;

	list_each(&g->overlay, n, t) count += list_entry(n, struct link, overlay)->m->watched;
	return count;
}

static bool in_overlay(const struct link *l)
{
	return !list_empty(&l->overlay);
}

static void keyq_clear(struct keyq *q)
{
	q->count = 0;
	keyq_drained(q);
}

static void link_offer(struct gossip *g, struct link *l, uint64_t key)
{
	if (l->offers.count == 0)
		l->offer_at = ts_add(g->now, prng_jitter(&g->prng, OFFER_DELAY, 33));
	if (!keyq_put(&l->offers, key, LINK_OFFER_MAX))
		g->stats.dropped++;
}

/* A new neighbour may have missed what is still on its way, and roots say nothing of that. */
static void offer_fresh(struct gossip *g, struct link *l)
{
	const struct store_entry *e = NULL;
	unsigned left = OFFER_FRESH;

	while (left-- > 0 && (e = store_fresh_next(g->store, e)) != NULL)
		if (!node_key_eq(&l->m->key, &e->r.node))
			link_offer(g, l, e->r.key);
}

void link_overlay(struct gossip *g, struct link *l)
{
	bool used = !ts_due(l->used_until, g->now), want = link_needed(g, l) || used;

	l->check_at = l->startup ? ts_add(g->now, STARTUP_CHECK) : used ? l->used_until : TS_NEVER;
	if (want == in_overlay(l))
		return;
	list_del(&l->overlay);
	if (want) {
		list_add_tail(&g->overlay, &l->overlay);
		l->root_due = true;
		offer_fresh(g, l);
	} else {
		keyq_clear(&l->news);
		keyq_clear(&l->offers);
		l->descend = false;
	}
}

struct link *link_new(struct gossip *g, struct node *m, ts_t now)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->m = m;
	list_init(&l->sending);
	list_init(&l->overlay);
	l->startup = g->membership && !m->watched && neighbours_linked(g) < STARTUP_LINKS;
	l->used_until = l->heard_at = now;
	l->root_at = ts_add(now, prng_jitter(&g->prng, ROOT_IDLE, 25));
	l->again = ROOT_AGAIN;
	l->reply_at = l->descend_at = l->window = now;
	l->offer_at = l->asked_at = l->blocked_to = TS_NEVER;
	link_overlay(g, l);
	return l;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	list_del(&l->overlay);
	list_del(&l->sending);
	free(l->news.v);
	free(l->fill.v);
	free(l->offers.v);
	free(l->wants.v);
	free(l->buried.v);
	free(l->acks.v);
	free(l->ranges.v);
	free(l);
}

void link_queue(struct gossip *g, struct node *m, uint64_t key)
{
	if (!keyq_put(&m->link->news, key, LINK_QUEUE_MAX))
		g->stats.dropped++;
	link_stir(g, m);
}

void link_fill(struct gossip *g, struct node *m, const struct store_entry *e)
{
	/* What is fresh is news, and the peer may pass it on as such. */
	struct keyq *q = list_empty(&e->fresh) ? &m->link->fill : &m->link->news;

	if (!keyq_put(q, e->r.key, LINK_QUEUE_MAX))
		g->stats.dropped++;
	link_stir(g, m);
}

void link_want(struct gossip *g, struct node *m, uint64_t key)
{
	if (!keyq_put(&m->link->wants, key, LINK_WANT_MAX))
		g->stats.dropped++;
	link_stir(g, m);
}

void link_has(struct link *l, uint64_t key)
{
	keyq_remove(&l->news, key);
	keyq_remove(&l->offers, key);
}

/* Does news about @e go to this link? A node has its own records; if it lacks one after a restart,
 * the roots show it. */
static bool spreads_to(const struct link *l, const struct store_entry *e, const struct node *from)
{
	return l->m != from && !node_key_eq(&l->m->key, &e->r.node);
}

/* Of @left that are still to come, is this one of the @need that are chosen? */
static bool choose(struct gossip *g, size_t need, size_t left)
{
	return need > 0 && prng_below(&g->prng, left) < need;
}

void link_spread(struct gossip *g, const struct store_entry *e, const struct node *from, bool news)
{
	size_t left = 0, copies, offers;
	struct list *n, *t;

	/* A joiner's first load is old news to all others. */
	if (!news && !g->synced)
		return;
	list_each(&g->overlay, n, t) left +=
		spreads_to(list_entry(n, struct link, overlay), e, from);
	copies = !from ? FANOUT_OWN : news ? FANOUT : 0;
	offers = FANOUT_OFFER;
	list_each(&g->overlay, n, t)
	{
		struct link *l = list_entry(n, struct link, overlay);

		if (!spreads_to(l, e, from))
			continue;
		if (choose(g, copies, left)) {
			copies--;
			link_queue(g, l->m, e->r.key);
		} else if (choose(g, offers, copies < left ? left - copies : 1)) {
			offers--;
			link_offer(g, l, e->r.key);
			node_arm(g, l->m);
		}
		left--;
	}
}

void link_changed(struct gossip *g, ts_t now)
{
	ts_t limit = ts_add(now, ROOT_SOON);
	struct list *n, *t;

	list_each(&g->overlay, n, t)
	{
		struct link *l = list_entry(n, struct link, overlay);

		if (!ts_before(limit, l->root_at))
			continue;
		l->root_at = ts_add(now, prng_jitter(&g->prng, ROOT_SOON, 25));
		node_arm(g, l->m);
	}
}

static void note(int *first, int err)
{
	if (err < 0 && *first == 0)
		*first = err;
}

/* The author of @r, which is its own, signed something else under the same version. */
static void equivocates(struct gossip *g, const struct record *r)
{
	struct node *origin = node_get(g, &r->node);

	g->stats.equivocations++;
	if (origin)
		node_lies(g, origin, GOSSIP_LIE_TWICE);
}

void link_forgotten(struct gossip *g, struct node *m)
{
	(void)keyq_put(&m->link->buried, record_key_hash(&m->key, RECORD_NODE, 0), LINK_WANT_MAX);
	link_stir(g, m);
}

/* How a record comes: as news; as what we lack; the same, of a node that the peer holds for gone. */
enum how { HOW_NEWS, HOW_FILL, HOW_GONE };

/* @m, who sent or offered @key, is to know that we have that version: it is its own. */
static void acknowledge(
	struct gossip *g, struct node *m, const struct node_key *origin, uint64_t key)
{
	if (node_key_eq(origin, &m->key) && !keyq_put(&m->link->acks, key, LIM_RECORDS_PER_NODE))
		g->stats.dropped++;
}

/* Is a signature that @m told to be checked? Of who forged so many, that of its own next run alone: perhaps
 * nobody else is there to tell us of that. */
static bool worth_a_look(struct node *m, const struct record *r, ts_t now)
{
	if (m->forged < FORGED_MAX)
		return true;
	if (r->type != RECORD_NODE || r->epoch <= m->epoch || !node_key_eq(&r->node, &m->key) ||
		!ts_due(m->look_at, now))
		return false;
	m->look_at = ts_add(now, FORGED_LOOK);
	return true;
}

int link_verify(struct gossip *g, struct node *m, const struct record *r, ts_t now)
{
	/* Whoever is honest checked it, too, before it told it on. */
	if (worth_a_look(m, r, now) && record_verify(r) == 0)
		return 0;
	g->stats.rx_forged++;
	m->forged += m->forged < FORGED_MAX;
	return ERR_AUTH;
}

/* The peer's copy of @r is older than ours, or loses to it. */
static int recv_stale(struct gossip *g, struct node *m, const struct record *r, ts_t now)
{
	const struct store_entry *e = store_find(g->store, &r->node, r->type, r->sub);
	struct node *origin = node_get(g, &r->node);
	int err;

	g->stats.rx_stale++;
	link_queue(g, m, e->r.key);
	if (record_version_cmp(r->epoch, r->seq, e->r.epoch, e->r.seq) != 0)
		return ERR_STALE;
	/* Said twice: that is looked at once in a while, whoever repeats it. */
	if (!origin || !ts_due(origin->twice_at, now))
		return ERR_STALE;
	err = link_verify(g, m, r, now);
	if (err < 0)
		return err;
	origin->twice_at = ts_add(now, FORGED_LOOK);
	equivocates(g, r);
	return ERR_STALE;
}

/* One record out of RECORDS, FILL or GONE. */
static int recv_record(struct gossip *g, struct node *m, const struct record *r, enum how how,
	bool asked, ts_t now)
{
	bool news = how == HOW_NEWS, counts;
	const struct store_entry *e;
	struct node *origin;
	int err;

	if (!cluster_id_eq(&r->cluster, &g->cluster)) {
		g->stats.rx_foreign++;
		return ERR_FOREIGN;
	}
	/* Before it is taken for our own: nobody could say anything newer. */
	if (r->epoch > LIM_EPOCH) {
		g->stats.rx_future++;
		return ERR_RANGE;
	}
	if (node_key_eq(&r->node, &g->id->pub))
		return own_seen(g, r, m, now);
	err = store_check(g->store, r);
	if (err == ERR_EXISTS) {
		g->stats.rx_stale++;
		link_has(m->link, r->key);
		acknowledge(g, m, &r->node, r->key);
		return 0;
	}
	if (err == ERR_STALE)
		return recv_stale(g, m, r, now);
	if (err < 0) {
		g->stats.rx_full++;
		return err;
	}
	origin = node_get(g, &r->node);
	if (!origin && !life_admit(g, r, how == HOW_GONE, now)) {
		g->stats.rx_buried++;
		(void)keyq_put(&m->link->buried, r->key, LINK_WANT_MAX);
		return ERR_STALE;
	}
	counts = (news || !asked) && origin;
	if (counts && !node_may_say(origin, now)) {
		g->stats.rx_limited++;
		node_lies(g, origin, GOSSIP_LIE_FLOOD);
		return ERR_LIMIT;
	}
	err = link_verify(g, m, r, now);
	if (err < 0)
		return err;
	if (counts)
		node_said(origin);
	e = store_find(g->store, &r->node, r->type, r->sub);
	if (e && record_version_cmp(r->epoch, r->seq, e->r.epoch, e->r.seq) == 0)
		equivocates(g, r);
	err = node_commit(g, r, m, news, now);
	if (err == 0) {
		link_has(m->link, r->key);
		acknowledge(g, m, &r->node, r->key);
	}
	return err;
}

/* What was asked for has come, or something else that counts as it. */
static void came(struct gossip *g, struct link *l, const struct record *r, ts_t now)
{
	if (l->asked == 0)
		return;
	l->asked--;
	l->asked_at = now;
	g->asked[r->key % ASKED_SLOTS].key = r->key;
	g->asked[r->key % ASKED_SLOTS].at = now;
}

static int recv_list(struct gossip *g, struct node *m, struct rd *r, enum how how, ts_t now)
{
	int first = 0;

	while (rd_left(r) > 0) {
		struct record rec;
		int len = record_parse(r->p, rd_left(r), &rec);
		bool asked = m->link->asked > 0;

		if (len < 0) {
			g->stats.rx_bad++;
			note(&first, len);
			break; /* where the next one starts is not known */
		}
		rd_take(r, (size_t)len);
		came(g, m->link, &rec, now);
		/* Old news is believed to be that only from who was asked. */
		if (how == HOW_FILL && !asked)
			how = HOW_NEWS;
		note(&first, recv_record(g, m, &rec, how, asked, now));
	}
	sync_progress(m->link);
	link_stir(g, m);
	return first;
}

static int recv_records(struct gossip *g, struct node *m, struct rd *r, ts_t now)
{
	return recv_list(g, m, r, HOW_NEWS, now);
}

static int recv_fill(struct gossip *g, struct node *m, struct rd *r, ts_t now)
{
	return recv_list(g, m, r, HOW_FILL, now);
}

static int recv_gone(struct gossip *g, struct node *m, struct rd *r, ts_t now)
{
	return recv_list(g, m, r, HOW_GONE, now);
}

static int recv_buried(struct gossip *g, struct node *m, struct rd *r, ts_t now)
{
	int err = gossip_want_decode(r, &g->want);

	(void)m;
	for (size_t i = 0; err == 0 && i < g->want.n; i++)
		life_buried(g, g->want.v[i], now);
	return err;
}

static int recv_have(struct gossip *g, struct node *m, struct rd *r, ts_t now)
{
	int err = gossip_have_decode(r, &g->have);

	(void)now;
	for (size_t i = 0; err == 0 && i < g->have.n; i++) {
		const struct store_entry *e = store_get(g->store, g->have.v[i].key);

		if (e && e->digest == g->have.v[i].hash) {
			link_has(m->link, e->r.key);
			own_known(g, m->link, e);
			acknowledge(g, m, &e->r.node, e->r.key);
		} else {
			link_want(g, m, g->have.v[i].key);
		}
	}
	link_stir(g, m);
	return err;
}

static int recv_want(struct gossip *g, struct node *m, struct rd *r, ts_t now)
{
	int err = gossip_want_decode(r, &g->want);

	(void)now;
	for (size_t i = 0; err == 0 && i < g->want.n; i++) {
		const struct store_entry *e = store_get(g->store, g->want.v[i]);

		if (e)
			link_fill(g, m, e);
	}
	return err;
}

static int recv_member(struct gossip *g, struct node *m, struct rd *r, ts_t now)
{
	size_t len = rd_left(r);
	int err;

	m->link->heard_at = now; /* membership sees that by itself */
	/* Who was forgotten is no member until it publishes something newer. */
	if (!g->membership || m->forgotten)
		return 0;
	err = members_recv(g->membership, &m->key, rd_take(r, len), len, now);
	if (err == ERR_LIMIT)
		node_lies(g, m, GOSSIP_LIE_FLOOD);
	return err;
}

/* What is refused of @m's own doing: an honest node looks at what it tells on. */
static void blame(struct gossip *g, struct node *m, int err)
{
	switch (err) {
	case ERR_AUTH:
		node_lies(g, m, GOSSIP_LIE_FORGED);
		break;
	case ERR_FOREIGN:
		node_lies(g, m, GOSSIP_LIE_FOREIGN);
		break;
	case ERR_RANGE:
		node_lies(g, m, GOSSIP_LIE_FUTURE);
		break;
	case ERR_TRUNCATED:
	case ERR_MALFORMED:
		node_lies(g, m, GOSSIP_LIE_SENSELESS);
		break;
	}
}

int link_recv(struct gossip *g, struct node *m, const uint8_t *buf, size_t len, ts_t now)
{
	static const struct {
		int (*fn)(struct gossip *, struct node *, struct rd *, ts_t);
		bool counts; /* its own errors by itself */
	} handlers[] = {
		[GOSSIP_MSG_RECORDS] = {recv_records, true},
		[GOSSIP_MSG_FILL] = {recv_fill, true},
		[GOSSIP_MSG_GONE] = {recv_gone, true},
		[GOSSIP_MSG_BURIED] = {recv_buried, false},
		[GOSSIP_MSG_HAVE] = {recv_have, false},
		[GOSSIP_MSG_WANT] = {recv_want, false},
		[GOSSIP_MSG_ROOT] = {sync_recv_root, false},
		[GOSSIP_MSG_SUMS] = {sync_recv_sums, false},
		[GOSSIP_MSG_KEYS] = {sync_recv_keys, false},
		[GOSSIP_MSG_MEMBER] = {recv_member, true},
	};
	struct rd r;
	uint8_t type;
	int err;

	rd_init(&r, buf, len);
	type = rd_u8(&r);
	if (rd_bad(&r)) {
		g->stats.rx_bad++;
		blame(g, m, ERR_TRUNCATED);
		return ERR_TRUNCATED;
	}
	/* A later version may say more: not an error. */
	if (type >= sizeof(handlers) / sizeof(handlers[0]) || !handlers[type].fn)
		return 0;
	if (g->membership && ts_due(ts_add(m->link->heard_at, HEARD_MIN), now)) {
		m->link->heard_at = now;
		members_heard(g->membership, &m->key, now);
	}
	err = handlers[type].fn(g, m, &r, now);
	if (err < 0 && !handlers[type].counts)
		g->stats.rx_bad++;
	blame(g, m, err);
	return err;
}

void link_tick(struct gossip *g, struct node *m, ts_t now)
{
	struct link *l = m->link;

	if (l->asked > 0 && ts_due(ts_add(l->asked_at, ASK_PATIENCE), now))
		l->asked = 0;
	if (ts_due(l->check_at, now)) {
		if (l->startup && neighbours_linked(g) >= STARTUP_LINKS)
			l->startup = false;
		link_overlay(g, l);
		node_refresh(g, m, now);
	}
	sync_tick(g, l, now);
	link_stir(g, m);
}

ts_t link_deadline(const struct link *l)
{
	ts_t t = ts_min(ts_min(sync_deadline(l), l->blocked_to), l->check_at);

	if (l->asked > 0)
		t = ts_min(t, ts_add(l->asked_at, ASK_PATIENCE));
	if (l->offers.count > 0 && list_empty(&l->sending) && ts_is_never(l->blocked_to))
		t = ts_min(t, l->offer_at);
	return t;
}

static void produce_records(struct gossip *g, struct keyq *q, enum gossip_msg type, struct wr *w)
{
	enum gossip_msg first = type;

	while (q->count > 0) {
		const struct store_entry *e = store_get(g->store, keyq_peek(q));

		if (e) {
			const struct node *m = node_get(g, &e->r.node);
			enum gossip_msg as = m && life_gone(m, g->now) ? GOSSIP_MSG_GONE : type;

			if (wr_len(w) == 0)
				wr_u8(w, (uint8_t)(first = as));
			if (as != first || wr_left(w) < e->r.len)
				return;
			wr_copy(w, e->bytes, e->r.len);
		}
		keyq_pop(q);
	}
}

static void produce_wants(struct gossip *g, struct link *l, struct wr *w)
{
	struct gossip_want *k = &g->want;

	k->n = 0;
	while (k->n < GOSSIP_WANT_MAX && may_ask(l)) {
		uint64_t key = keyq_peek(&l->wants);

		keyq_pop(&l->wants);
		if (g->asked[key % ASKED_SLOTS].key == key &&
			!ts_due(ts_add(g->asked[key % ASKED_SLOTS].at, ASK_AGAIN), g->now))
			continue;
		g->asked[key % ASKED_SLOTS].key = key;
		g->asked[key % ASKED_SLOTS].at = g->now;
		k->v[k->n++] = key;
		l->asked++;
	}
	l->asked_at = g->now;
	if (k->n > 0)
		gossip_want_encode(w, GOSSIP_MSG_WANT, k);
}

static void produce_buried(struct gossip *g, struct link *l, struct wr *w)
{
	struct gossip_want *k = &g->want;

	for (k->n = 0; k->n < GOSSIP_WANT_MAX && l->buried.count > 0; keyq_pop(&l->buried))
		k->v[k->n++] = keyq_peek(&l->buried);
	gossip_want_encode(w, GOSSIP_MSG_BURIED, k);
}

/* Offers, and acknowledgements. */
static void produce_have(struct gossip *g, struct keyq *q, struct wr *w)
{
	struct gossip_have *k = &g->have;

	for (k->n = 0; k->n < GOSSIP_HAVE_MAX && q->count > 0; keyq_pop(q)) {
		const struct store_entry *e = store_get(g->store, keyq_peek(q));

		if (!e)
			continue;
		k->v[k->n].key = e->r.key;
		k->v[k->n++].hash = e->digest;
	}
	if (k->n > 0)
		gossip_have_encode(w, k);
}

size_t link_produce(struct gossip *g, struct node *m)
{
	struct link *l = m->link;
	struct wr w;

	wr_init(&w, g->tx, sizeof(g->tx));
	if (!may_send(l, g->now)) {
		link_stir(g, m);
		return 0;
	}
	if (l->root_due) {
		l->root_due = false;
		gossip_root_encode(&w, sync_root(g));
	}
	if (wr_len(&w) == 0)
		produce_records(g, &l->news, GOSSIP_MSG_RECORDS, &w);
	if (wr_len(&w) == 0 && l->acks.count > 0)
		produce_have(g, &l->acks, &w);
	if (wr_len(&w) == 0 && l->buried.count > 0)
		produce_buried(g, l, &w);
	if (wr_len(&w) == 0 && may_ask(l))
		produce_wants(g, l, &w);
	if (wr_len(&w) == 0 && may_offer(l, g->now))
		produce_have(g, &l->offers, &w);
	if (wr_len(&w) == 0 && l->ranges.count > 0)
		sync_produce(g, l, &w);
	if (wr_len(&w) == 0 && l->fill.count > 0 && may_fill(g)) {
		produce_records(g, &l->fill, GOSSIP_MSG_FILL, &w);
		g->fill_sent += wr_len(&w) > 0;
	}
	if (wr_len(&w) > 0) {
		l->sent++;
		g->stats.tx++;
	}
	link_stir(g, m); /* last among the senders now: links take turns */
	return wr_len(&w);
}
