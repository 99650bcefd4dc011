/* txq.c - what was staged goes to the sockets (DESIGN 5.11, 5.13, 5.15).
 *
 * In: the round's batches (tx.c), and the turn of a socket that takes more again. Out: as few system
 * calls as there can be. A batch is one segmented send; towards a peer whose path refused that, its
 * datagrams go one by one.
 *
 * State: a backlog per socket (batch.h), and whether the socket is watched for output.
 * Failure: a full socket moves batches into the backlog, where the oldest of a peer go; what can't be
 * sent at all is dropped and counted. Nothing overtakes a backlog. */
#include <assert.h>
#include <errno.h>
#include "weft/err.h"
#include "dp_int.h"

/* The batch's peer, if it still is that one. */
static struct dppeer *peer_of(const struct worker *w, const struct batch *b)
{
	return dp_peer_of(w->dp, b->peer, b->peer_uid);
}

static void drop_batch(struct worker *w, struct batch *b, enum dp_drop why)
{
	tx_drop(w, peer_of(w, b), why, b->segs);
	batch_put(&w->pool, b);
}

/* The socket is full: @b joins the backlog, the oldest go. */
static void park(struct worker *w, struct txq *q, struct batch *b)
{
	struct batch *old;

	if (!backlog_add(&q->backlog, b)) {
		drop_batch(w, b, DP_DROP_BACKLOG);
		return;
	}
	while ((old = backlog_over(&q->backlog, b)) != NULL)
		drop_batch(w, old, DP_DROP_BACKLOG);
}

static bool is_full(int err)
{
	return err == -EAGAIN || err == -EWOULDBLOCK || err == -ENOBUFS || err == -ENOMEM;
}

/* When will the socket take more? A full buffer tells by EPOLLOUT; for want of memory there is no
 * such event. */
static void wait_for(struct worker *w, enum txq_which which, int err)
{
	if (err == -ENOBUFS || err == -ENOMEM) {
		w->retry = true;
	} else if (!w->txq[which].want_out) {
		w->txq[which].want_out = true;
		(void)worker_watch_sock(w, which, true);
	}
}

static void count_sent(struct worker *w, struct dppeer *p, uint64_t datagrams)
{
	stat_add(&w->c.tx_datagrams, datagrams);
	if (p)
		stat_add(&dppeer_slots(p)[w->number].c.tx_datagrams, datagrams);
}

static void count_calls(struct worker *w, uint64_t n)
{
	stat_add(&w->c.tx_calls, w->dp->mmsg ? 1 : n);
}

static bool must_split(const struct worker *w, const struct batch *b, const struct dppeer *p)
{
	return b->segs > 1 && (!w->dp->gso || !p || __atomic_load_n(&p->no_gso, __ATOMIC_RELAXED));
}

static struct udp_out out_of(const struct batch *b, size_t off, size_t len, uint16_t seg)
{
	return (struct udp_out){
		.dest = &b->dest, .buf = b->buf + off, .len = len, .seg = seg, .tos = b->tos};
}

/* Send the datagrams of @b one by one. 0: all went or were dropped; else the error of a full socket,
 * and @b holds the rest. */
static int send_split(struct worker *w, const struct txq *q, struct batch *b, struct dppeer *p)
{
	struct udp_out out[UDP_SEND_BURST];

	while (b->segs > 0) {
		unsigned n = 0;
		int sent;

		for (size_t off = b->off; off < b->len; n++) {
			size_t left = b->len - off, len = left < b->seg ? left : b->seg;

			assert(n < UDP_SEND_BURST);
			out[n] = out_of(b, off, len, 0);
			off += len;
		}
		sent = udp_send(q->sock, out, n, w->dp->mmsg);
		if (sent < 0 && is_full(sent))
			return sent;
		if (sent < 0) {
			tx_drop(w, p, sent == -EMSGSIZE ? DP_DROP_TOO_BIG : DP_DROP_SEND_ERROR, 1);
			sent = 1;
		} else {
			count_sent(w, p, (uint64_t)sent);
			count_calls(w, (uint64_t)sent);
		}
		for (int i = 0; i < sent; i++)
			b->off += out[i].len;
		b->segs -= (unsigned)sent;
	}
	return 0;
}

/* A send to @p failed for good: would single datagrams help? Then it sends those from now on, until it
 * gets another path (DESIGN 5.13). */
static bool gso_failed(struct worker *w, const struct batch *b, struct dppeer *p, int err)
{
	/* EIO: the device can't segment this way; EINVAL, EMSGSIZE: a segment is larger than it sends. */
	if (!p || b->segs < 2 || (err != -EIO && err != -EINVAL && err != -EMSGSIZE))
		return false;
	if (!__atomic_exchange_n(&p->no_gso, 1, __ATOMIC_RELAXED)) {
		stat_add(&w->c.gso_fallbacks, 1);
		stat_add(&dppeer_slots(p)[w->number].c.gso_fallbacks, 1);
	}
	return true;
}

static void drop_failed(struct worker *w, struct batch *b, int err)
{
	drop_batch(w, b, err == -EMSGSIZE ? DP_DROP_TOO_BIG : DP_DROP_SEND_ERROR);
}

/* Send @n batches that leave by the same socket; all are taken. */
static void send_batches(struct worker *w, enum txq_which which, struct batch **b, unsigned n)
{
	struct txq *q = &w->txq[which];
	unsigned i = 0;

	while (i < n) {
		struct udp_out out[STAGES];
		struct dppeer *peer[STAGES];
		unsigned m = 0;
		int sent;

		if (!backlog_empty(&q->backlog)) {
			park(w, q, b[i++]);
			continue;
		}
		for (; i + m < n; m++) {
			peer[m] = peer_of(w, b[i + m]);
			if (must_split(w, b[i + m], peer[m]))
				break;
			out[m] = out_of(b[i + m], b[i + m]->off, batch_left(b[i + m]),
				b[i + m]->segs > 1 ? b[i + m]->seg : 0);
		}
		if (m == 0) {
			sent = send_split(w, q, b[i], peer[0]);
			if (sent == 0)
				batch_put(&w->pool, b[i++]);
		} else {
			sent = udp_send(q->sock, out, m, w->dp->mmsg);
		}
		if (sent > 0)
			count_calls(w, (uint64_t)sent);
		for (int k = 0; k < sent; k++, i++) {
			count_sent(w, peer[k], b[i]->segs);
			batch_put(&w->pool, b[i]);
		}
		if (sent < 0 && is_full(sent)) {
			wait_for(w, which, sent);
			park(w, q, b[i++]);
		} else if (sent < 0 && !gso_failed(w, b[i], peer[0], sent)) {
			drop_failed(w, b[i++], sent);
		}
	}
}

void txq_flush(struct worker *w)
{
	struct batch *run[STAGES];
	unsigned n = w->stages, m;

	w->stages = 0;
	for (unsigned i = 0; i < n;) {
		bool side = w->stage[i].b->side;

		for (m = 0; i < n && w->stage[i].b->side == side; i++) {
			if (w->stage[i].b->segs > 0)
				run[m++] = w->stage[i].b;
			else /* begun for a packet that could not be split after all */
				batch_put(&w->pool, w->stage[i].b);
		}
		send_batches(w, side ? TXQ_SIDE : TXQ_MAIN, run, m);
	}
}

/* Send the batch whose turn it is. 0 (it is gone), or the error of a full socket. */
static int drain_one(struct worker *w, struct txq *q, struct batch *b)
{
	struct dppeer *p = peer_of(w, b);
	size_t before = batch_left(b);
	bool split = must_split(w, b, p);
	struct udp_out out = out_of(b, b->off, before, b->segs > 1 ? b->seg : 0);
	int err;

	if (!p) {
		drop_batch(w, backlog_pop(&q->backlog), DP_DROP_NO_SESSION);
		return 0;
	}
	err = split ? send_split(w, q, b, p) : udp_send(q->sock, &out, 1, w->dp->mmsg);
	if (split)
		backlog_sent(&q->backlog, before - batch_left(b));
	if (err < 0 && is_full(err))
		return err;
	if (err < 0 && gso_failed(w, b, p, err))
		return 0; /* stays, and is split when its turn comes again */
	b = backlog_pop(&q->backlog);
	if (err < 0) {
		drop_failed(w, b, err);
		return 0;
	}
	if (err > 0) {
		count_sent(w, p, b->segs);
		count_calls(w, 1);
	}
	batch_put(&w->pool, b);
	return 0;
}

void txq_drain(struct worker *w, enum txq_which which)
{
	struct txq *q = &w->txq[which];
	size_t budget = 4 * TURN_BYTES;
	struct batch *b;

	while ((b = backlog_peek(&q->backlog)) != NULL && budget > 0) {
		size_t bytes = batch_left(b);
		int err = drain_one(w, q, b);

		if (err < 0) {
			wait_for(w, which, err);
			return;
		}
		budget -= bytes < budget ? bytes : budget;
	}
	if (b) {
		wait_for(w, which, -EAGAIN);
		return;
	}
	if (q->want_out) {
		q->want_out = false;
		(void)worker_watch_sock(w, which, false);
	}
	if (w->stages == 0 && w->pool.used == 0)
		batch_pool_trim(&w->pool);
}

void txq_fini(struct worker *w)
{
	for (unsigned i = 0; i < TXQ_COUNT; i++) {
		struct batch *b;

		while ((b = backlog_steal(&w->txq[i].backlog)) != NULL)
			batch_put(&w->pool, b);
	}
}

struct batch *txq_batch(struct worker *w)
{
	struct batch *b;

	if (w->stages == STAGES)
		txq_flush(w);
	b = batch_get(&w->pool);
	if (b)
		return b;
	for (unsigned i = 0; i < TXQ_COUNT && !b; i++) {
		b = backlog_steal(&w->txq[i].backlog);
		if (b)
			drop_batch(w, b, DP_DROP_BACKLOG);
	}
	/* There are more batches than stages, so those that were not free were in a backlog. */
	b = batch_get(&w->pool);
	assert(b);
	return b;
}
