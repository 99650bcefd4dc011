/* gossip_link.c - how records spread: flood on change, digests to mend.
 *
 * A record that is news goes at once to every link but the one it came from. What got lost is
 * mended: each side of a link sends the root of its store now and then; if they differ, the side
 * with the lower key sends KEYS, its whole index in several datagrams (the other answers a digest
 * with a digest, so that one exchange runs, not two). The receiver of KEYS compares range by range:
 * it sends what it has newer, and asks with WANT for what it has not. A joiner gets everything this
 * way.
 *
 * Bounds: queues per link (LINK_QUEUE_MAX, LINK_WANT_MAX: what doesn't fit is dropped and mended
 * later), PACE_DATAGRAMS per link and PACE_WINDOW, KEYS_MIN between runs. Want of memory drops
 * likewise. Everything here costs O(store) per difference and link; it will be replaced. */
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
static void keyq_pop(struct keyq *q)
{
	q->head = (q->head + 1) % q->cap;
	if (--q->count == 0) {
		free(q->v);
		memset(q, 0, sizeof(*q));
	}
}

static bool has_output(const struct link *l)
{
	return l->digest_due || l->queue.count || l->wants.count || l->keys_active;
}

static bool may_send(struct link *l, ts_t now)
{
	if (ts_due(ts_add(l->window, PACE_WINDOW), now)) {
		l->window = now;
		l->sent = 0;
	}
	return l->sent < PACE_DATAGRAMS;
}

/* To be called after anything was given to a link to send. */
static void stir(struct gossip *g, struct member *m)
{
	struct link *l = m->link;

	list_del(&l->sending);
	if (has_output(l) && may_send(l, g->now))
		list_add_tail(&g->senders, &l->sending);
	member_arm(g, m);
}

struct link *link_new(struct gossip *g, struct member *m, ts_t now)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->m = m;
	list_init(&l->sending);
	list_add_tail(&g->links, &l->all);
	l->digest_due = true;
	l->digest_at = ts_add(now, prng_jitter(&g->prng, DIGEST_SOON, 25));
	l->reply_at = l->keys_at = now;
	l->window = now;
	return l;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	list_del(&l->all);
	list_del(&l->sending);
	free(l->queue.v);
	free(l->wants.v);
	free(l);
}

void link_queue(struct gossip *g, struct member *m, uint64_t key)
{
	if (!keyq_put(&m->link->queue, key, LINK_QUEUE_MAX))
		g->stats.dropped++;
	stir(g, m);
}

void link_flood(struct gossip *g, const struct store_entry *e, const struct member *from)
{
	struct list *n, *t;

	list_each(&g->links, n, t)
	{
		struct member *m = list_entry(n, struct link, all)->m;

		/* Its own record a node has; if it lacks it after a restart, digests show it. */
		if (m != from && !node_key_eq(&m->key, &e->r.node))
			link_queue(g, m, e->key);
	}
}

void link_changed(struct gossip *g, ts_t now)
{
	ts_t limit = ts_add(now, DIGEST_SOON);
	struct list *n, *t;

	list_each(&g->links, n, t)
	{
		struct link *l = list_entry(n, struct link, all);

		if (!ts_before(limit, l->digest_at))
			continue;
		l->digest_at = ts_add(now, prng_jitter(&g->prng, DIGEST_SOON, 25));
		member_arm(g, l->m);
	}
}

static void want(struct gossip *g, struct member *m, uint64_t key)
{
	if (!keyq_put(&m->link->wants, key, LINK_WANT_MAX))
		g->stats.dropped++;
}

static void note(int *first, int err)
{
	if (err < 0 && *first == 0)
		*first = err;
}

/* One record out of a RECORDS message. */
static int recv_record(struct gossip *g, struct member *m, const struct record *r, ts_t now)
{
	int err;

	if (!cluster_id_eq(&r->cluster, &g->cluster)) {
		g->stats.rx_foreign++;
		return ERR_FOREIGN;
	}
	if (node_key_eq(&r->node, &g->id->pub))
		return own_seen(g, r, m, now);
	err = store_check(g->store, r);
	if (err == ERR_EXISTS) {
		g->stats.rx_stale++;
		return 0;
	}
	if (err == ERR_STALE) {
		const struct store_entry *e = store_find(g->store, &r->node, r->type, r->sub);

		g->stats.rx_stale++;
		link_queue(g, m, e->key); /* the peer lacks the newer one */
		if (record_version_cmp(r->epoch, r->seq, e->r.epoch, e->r.seq) == 0 &&
			record_verify(r) == 0)
			g->stats.equivocations++;
		return err;
	}
	if (err < 0) {
		g->stats.rx_full++;
		return err;
	}
	if (record_verify(r) < 0) {
		g->stats.rx_forged++;
		return ERR_AUTH;
	}
	return member_commit(g, r, m, now);
}

static int recv_records(struct gossip *g, struct member *m, struct rd *r, ts_t now)
{
	int first = 0;

	while (rd_left(r) > 0) {
		struct record rec;
		int len = record_parse(r->p, rd_left(r), &rec);

		if (len < 0) {
			g->stats.rx_bad++;
			note(&first, len);
			break; /* where the next one starts is not known */
		}
		rd_take(r, (size_t)len);
		note(&first, recv_record(g, m, &rec, now));
	}
	return first;
}

static int recv_digest(struct gossip *g, struct member *m, struct rd *r, ts_t now)
{
	struct link *l = m->link;
	struct gossip_digest d;
	uint8_t root[16];
	int err = gossip_digest_decode(r, &d);

	if (err < 0) {
		g->stats.rx_bad++;
		return err;
	}
	store_root(g->store, root);
	if (memcmp(root, d.root, sizeof(root)) == 0 && d.count == store_count(g->store)) {
		l->digest_at = ts_add(now, prng_jitter(&g->prng, DIGEST_IDLE, 25));
		l->keys_wanted = false;
	} else if (node_key_cmp(&g->id->pub, &m->key) < 0) {
		l->keys_wanted = true;
		link_tick(g, m, now);
	} else if (ts_due(l->reply_at, now)) {
		l->digest_due = true;
		l->reply_at = ts_add(now, DIGEST_REPLY_MIN);
	}
	stir(g, m);
	return 0;
}

/* The peer has a key with another version than we: @e ours. */
static void compare(struct gossip *g, struct member *m, const struct store_entry *e,
	const struct gossip_key_entry *k)
{
	int cmp = record_version_cmp(e->r.epoch, e->r.seq, k->epoch, k->seq);

	/* Of one version the lower hash stays (store.h). */
	if (cmp == 0 && e->digest != k->hash)
		cmp = e->digest < k->hash ? 1 : -1;
	if (cmp > 0)
		link_queue(g, m, e->key);
	else if (cmp < 0)
		want(g, m, e->key);
}

static int recv_keys(struct gossip *g, struct member *m, struct rd *r, ts_t now)
{
	const struct store_entry *e;
	struct gossip_keys *k = &g->keys;
	uint64_t at;
	size_t i = 0;
	int err = gossip_keys_decode(r, k);

	if (err < 0) {
		g->stats.rx_bad++;
		return err;
	}
	at = k->from;
	for (e = store_from(g->store, at); e && e->key <= k->to; e = store_from(g->store, at)) {
		for (; i < k->n && k->v[i].key < e->key; i++)
			want(g, m, k->v[i].key);
		if (i < k->n && k->v[i].key == e->key)
			compare(g, m, e, &k->v[i++]);
		else
			link_queue(g, m, e->key);
		if (e->key == UINT64_MAX)
			break;
		at = e->key + 1;
	}
	for (; i < k->n; i++)
		want(g, m, k->v[i].key);
	stir(g, m);
	return 0;
}

static int recv_want(struct gossip *g, struct member *m, struct rd *r, ts_t now)
{
	int err = gossip_want_decode(r, &g->want);

	if (err < 0) {
		g->stats.rx_bad++;
		return err;
	}
	for (size_t i = 0; i < g->want.n; i++)
		if (store_get(g->store, g->want.v[i]))
			link_queue(g, m, g->want.v[i]);
	return 0;
}

int link_recv(struct gossip *g, struct member *m, const uint8_t *buf, size_t len, ts_t now)
{
	static int (*const handlers[])(struct gossip *, struct member *, struct rd *, ts_t) = {
		[GOSSIP_MSG_RECORDS] = recv_records,
		[GOSSIP_MSG_DIGEST] = recv_digest,
		[GOSSIP_MSG_KEYS] = recv_keys,
		[GOSSIP_MSG_WANT] = recv_want,
	};
	struct rd r;
	uint8_t type;

	rd_init(&r, buf, len);
	type = rd_u8(&r);
	if (rd_bad(&r)) {
		g->stats.rx_bad++;
		return ERR_TRUNCATED;
	}
	/* A later version may say more: not an error. */
	if (type >= sizeof(handlers) / sizeof(handlers[0]) || !handlers[type])
		return 0;
	return handlers[type](g, m, &r, now);
}

void link_tick(struct gossip *g, struct member *m, ts_t now)
{
	struct link *l = m->link;

	if (ts_due(l->digest_at, now)) {
		l->digest_due = true;
		l->digest_at = ts_add(now, prng_jitter(&g->prng, DIGEST_IDLE, 25));
	}
	if (l->keys_wanted && !l->keys_active && ts_due(l->keys_at, now)) {
		l->keys_wanted = false;
		l->keys_active = true;
		l->keys_from = 0;
		l->keys_at = ts_add(now, KEYS_MIN);
	}
	stir(g, m);
}

ts_t link_deadline(const struct link *l)
{
	ts_t t = l->digest_at;

	if (l->keys_wanted && !l->keys_active)
		t = ts_min(t, l->keys_at);
	/* Output that waits for the next window. */
	if (has_output(l) && list_empty(&l->sending))
		t = ts_min(t, ts_add(l->window, PACE_WINDOW));
	return t;
}

static void produce_records(struct gossip *g, struct link *l, struct wr *w)
{
	while (l->queue.count > 0) {
		const struct store_entry *e = store_get(g->store, keyq_peek(&l->queue));

		if (e) {
			if (wr_len(w) == 0)
				wr_u8(w, GOSSIP_MSG_RECORDS);
			if (wr_left(w) < e->r.len)
				return;
			wr_copy(w, e->bytes, e->r.len);
		}
		keyq_pop(&l->queue);
	}
}

static void produce_wants(struct gossip *g, struct link *l, struct wr *w)
{
	struct gossip_want *k = &g->want;

	for (k->n = 0; k->n < GOSSIP_WANT_MAX && l->wants.count > 0; keyq_pop(&l->wants))
		k->v[k->n++] = keyq_peek(&l->wants);
	gossip_want_encode(w, k);
}

static void produce_keys(struct gossip *g, struct link *l, struct wr *w)
{
	const struct store_entry *e;
	struct gossip_keys *k = &g->keys;
	uint64_t at = l->keys_from;

	k->from = at;
	k->to = UINT64_MAX;
	k->n = 0;
	l->keys_active = false;
	while ((e = store_from(g->store, at)) != NULL) {
		if (k->n == GOSSIP_KEYS_MAX) {
			/* The rest goes into the next datagram. */
			k->to = e->key - 1;
			l->keys_from = e->key;
			l->keys_active = true;
			break;
		}
		k->v[k->n++] = (struct gossip_key_entry){e->key, e->r.epoch, e->r.seq, e->digest};
		if (e->key == UINT64_MAX)
			break;
		at = e->key + 1;
	}
	gossip_keys_encode(w, k);
}

size_t link_produce(struct gossip *g, struct member *m)
{
	struct link *l = m->link;
	struct wr w;

	if (!may_send(l, g->now)) {
		stir(g, m);
		return 0;
	}
	wr_init(&w, g->tx, sizeof(g->tx));
	if (l->digest_due) {
		struct gossip_digest d = {.count = (uint32_t)store_count(g->store)};

		store_root(g->store, d.root);
		l->digest_due = false;
		gossip_digest_encode(&w, &d);
	} else {
		produce_records(g, l, &w);
	}
	if (wr_len(&w) == 0 && l->wants.count > 0)
		produce_wants(g, l, &w);
	if (wr_len(&w) == 0 && l->keys_active)
		produce_keys(g, l, &w);
	if (wr_len(&w) > 0) {
		l->sent++;
		g->stats.tx++;
	}
	stir(g, m); /* last among the senders now: links take turns */
	return wr_len(&w);
}
