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

static void put(struct timerq *q, size_t i, const struct tq_place *e)
{
	q->heap[i] = *e;
	e->node->pos = i + 1;
}

static void sift_up(struct timerq *q, size_t i, const struct tq_place *e)
{
	while (i > 0) {
		size_t up = (i - 1) / 2;
		if (!ts_before(e->when, q->heap[up].when))
			break;
		put(q, i, &q->heap[up]);
		i = up;
	}
	put(q, i, e);
}

static void sift_down(struct timerq *q, size_t i, const struct tq_place *e)
{
	for (;;) {
		size_t kid = 2 * i + 1;
		if (kid >= q->count)
			break;
		if (kid + 1 < q->count && ts_before(q->heap[kid + 1].when, q->heap[kid].when))
			kid++;
		if (!ts_before(q->heap[kid].when, e->when))
			break;
		put(q, i, &q->heap[kid]);
		i = kid;
	}
	put(q, i, e);
}

/* @e stands in for whatever was at @i, and may belong above or below. */
static void place(struct timerq *q, size_t i, const struct tq_place *e)
{
	if (i > 0 && ts_before(e->when, q->heap[(i - 1) / 2].when))
		sift_up(q, i, e);
	else
		sift_down(q, i, e);
}

int tq_reserve(struct timerq *q, size_t n)
{
	struct tq_place *heap;

	if (n <= q->cap)
		return 0;
	heap = realloc(q->heap, n * sizeof(*heap));
	if (!heap)
		return ERR_NOMEM;
	q->heap = heap;
	q->cap = n;
	return 0;
}

int tq_set(struct timerq *q, struct tq_node *n, ts_t when)
{
	struct tq_place e = {when, n};

	if (ts_is_never(when)) {
		tq_cancel(q, n);
		return 0;
	}
	if (n->pos) {
		assert(n->pos <= q->count && q->heap[n->pos - 1].node == n);
		if (n->when.ns == when.ns)
			return 0;
		n->when = when;
		place(q, n->pos - 1, &e);
		return 0;
	}
	if (q->count == q->cap && tq_reserve(q, q->cap ? 2 * q->cap : 16) < 0)
		return ERR_NOMEM;
	n->when = when;
	sift_up(q, q->count++, &e);
	return 0;
}

void tq_cancel(struct timerq *q, struct tq_node *n)
{
	struct tq_place last;
	size_t i;

	if (n->pos == 0)
		return;
	i = n->pos - 1;
	assert(i < q->count && q->heap[i].node == n);
	last = q->heap[--q->count];
	if (last.node != n)
		place(q, i, &last);
	n->pos = 0;
}

ts_t tq_deadline(const struct timerq *q)
{
	return q->count ? q->heap[0].when : TS_NEVER;
}

struct tq_node *tq_pop(struct timerq *q, ts_t now)
{
	struct tq_node *n;

	if (q->count == 0 || !ts_due(q->heap[0].when, now))
		return NULL;
	n = q->heap[0].node;
	tq_cancel(q, n);
	return n;
}
