/* timerq.c - binary heap of deadlines. heap[0] is the earliest; a node knows its place (1-based),
 * so moving and cancelling need no search. The heap doubles when it grows and never shrinks: its
 * size is bounded by what its owner times, and those tables have bounds of their own. */
#include <assert.h>
#include <stdlib.h>
#include "timerq.h"
#include "weft/err.h"

void tq_init(struct timerq *q)
{
	*q = (struct timerq){0};
}

void tq_fini(struct timerq *q)
{
	free(q->heap);
	*q = (struct timerq){0};
}

static void put(struct timerq *q, size_t i, struct tq_node *n)
{
	q->heap[i] = n;
	n->pos = i + 1;
}

static void sift_up(struct timerq *q, size_t i, struct tq_node *n)
{
	while (i > 0) {
		size_t up = (i - 1) / 2;
		if (!ts_before(n->when, q->heap[up]->when))
			break;
		put(q, i, q->heap[up]);
		i = up;
	}
	put(q, i, n);
}

static void sift_down(struct timerq *q, size_t i, struct tq_node *n)
{
	for (;;) {
		size_t kid = 2 * i + 1;
		if (kid >= q->count)
			break;
		if (kid + 1 < q->count && ts_before(q->heap[kid + 1]->when, q->heap[kid]->when))
			kid++;
		if (!ts_before(q->heap[kid]->when, n->when))
			break;
		put(q, i, q->heap[kid]);
		i = kid;
	}
	put(q, i, n);
}

/* @n stands in for whatever was at @i, and may belong above or below. */
static void place(struct timerq *q, size_t i, struct tq_node *n)
{
	if (i > 0 && ts_before(n->when, q->heap[(i - 1) / 2]->when))
		sift_up(q, i, n);
	else
		sift_down(q, i, n);
}

int tq_set(struct timerq *q, struct tq_node *n, ts_t when)
{
	if (ts_is_never(when)) {
		tq_cancel(q, n);
		return 0;
	}
	if (n->pos) {
		assert(n->pos <= q->count && q->heap[n->pos - 1] == n);
		n->when = when;
		place(q, n->pos - 1, n);
		return 0;
	}
	if (q->count == q->cap) {
		size_t cap = q->cap ? 2 * q->cap : 16;
		struct tq_node **heap = realloc(q->heap, cap * sizeof(struct tq_node *));
		if (!heap)
			return ERR_NOMEM;
		q->heap = heap;
		q->cap = cap;
	}
	n->when = when;
	sift_up(q, q->count++, n);
	return 0;
}

void tq_cancel(struct timerq *q, struct tq_node *n)
{
	size_t i;
	struct tq_node *last;

	if (n->pos == 0)
		return;
	i = n->pos - 1;
	assert(i < q->count && q->heap[i] == n);
	last = q->heap[--q->count];
	if (last != n)
		place(q, i, last);
	n->pos = 0;
}

ts_t tq_deadline(const struct timerq *q)
{
	return q->count ? q->heap[0]->when : TS_NEVER;
}

struct tq_node *tq_pop(struct timerq *q, ts_t now)
{
	struct tq_node *n;

	if (q->count == 0 || !ts_due(q->heap[0]->when, now))
		return NULL;
	n = q->heap[0];
	tq_cancel(q, n);
	return n;
}
