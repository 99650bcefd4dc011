/* sim_queue.c - see sim_queue.h. A simulator that has no memory for an event ends. */
#include "sim_queue.h"

#include <stdlib.h>

#define SLOT_NS_BITS  14 /* a list of the wheel holds the events of 16,384 ns */
#define HEAP_BRANCHES 4

/* An entry of the heap holds what is compared. */
struct sim_far {
	ts_t when;
	uint64_t order;
	struct sim_event *ev;
};

/* --- the wheel --- */

static uint64_t slot_no(ts_t when)
{
	return when.ns >> SLOT_NS_BITS;
}

static bool later(const struct sim_event *a, const struct sim_event *b)
{
	return a->when.ns != b->when.ns ? a->when.ns > b->when.ns : a->order > b->order;
}

static void wheel_put(struct sim_queue *q, struct sim_event *e)
{
	size_t slot = slot_no(e->when) % QUEUE_SLOTS;
	struct sim_event *before = q->last[slot], *after = NULL;

	/* Mostly it is the last. */
	while (before && later(before, e)) {
		after = before;
		before = before->prev;
	}
	e->prev = before;
	e->next = after;
	if (before)
		before->next = e;
	if (after)
		after->prev = e;
	else
		q->last[slot] = e;
	q->used[slot / 64] |= UINT64_C(1) << slot % 64;
	q->nwheel++;
	e->pos = QUEUE_IN_WHEEL;
	if (q->head && later(q->head, e))
		q->head = e;
}

static void wheel_take(struct sim_queue *q, struct sim_event *e)
{
	size_t slot = slot_no(e->when) % QUEUE_SLOTS;

	if (q->head == e)
		q->head = e->next; /* of the same list, or unknown */
	if (e->prev)
		e->prev->next = e->next;
	if (e->next)
		e->next->prev = e->prev;
	else
		q->last[slot] = e->prev;
	if (!q->last[slot])
		q->used[slot / 64] &= ~(UINT64_C(1) << slot % 64);
	q->nwheel--;
	e->pos = 0;
}

/* The first list from @slot on, once around. There is one. */
static size_t first_used(const struct sim_queue *q, size_t slot)
{
	size_t word = slot / 64;
	uint64_t bits = q->used[word] & ~UINT64_C(0) << slot % 64;

	while (!bits) {
		word = (word + 1) % (QUEUE_SLOTS / 64);
		bits = q->used[word];
	}
	return word * 64 + (size_t)__builtin_ctzll(bits);
}

static struct sim_event *wheel_first(struct sim_queue *q, ts_t now)
{
	if (q->nwheel == 0)
		return NULL;
	if (!q->head) {
		struct sim_event *e = q->last[first_used(q, slot_no(now) % QUEUE_SLOTS)];

		while (e->prev)
			e = e->prev;
		q->head = e;
	}
	return q->head;
}

/* --- the heap, of four branches --- */

static bool earlier(const struct sim_far *a, const struct sim_far *b)
{
	return a->when.ns != b->when.ns ? a->when.ns < b->when.ns : a->order < b->order;
}

/* Positions count from 1 in events, from 0 in the heap. */
static void place(struct sim_queue *q, size_t at, const struct sim_far *f)
{
	q->heap[at] = *f;
	f->ev->pos = at + 1;
}

static void sift_up(struct sim_queue *q, size_t at)
{
	struct sim_far f = q->heap[at];

	while (at > 0 && earlier(&f, &q->heap[(at - 1) / HEAP_BRANCHES])) {
		place(q, at, &q->heap[(at - 1) / HEAP_BRANCHES]);
		at = (at - 1) / HEAP_BRANCHES;
	}
	place(q, at, &f);
}

static void sift_down(struct sim_queue *q, size_t at)
{
	struct sim_far f = q->heap[at];

	for (;;) {
		size_t first = HEAP_BRANCHES * at + 1, least = first;

		if (first >= q->nheap)
			break;
		for (size_t c = first + 1; c < first + HEAP_BRANCHES && c < q->nheap; c++)
			if (earlier(&q->heap[c], &q->heap[least]))
				least = c;
		if (earlier(&f, &q->heap[least]))
			break;
		place(q, at, &q->heap[least]);
		at = least;
	}
	place(q, at, &f);
}

static void heap_put(struct sim_queue *q, struct sim_event *e)
{
	if (q->nheap == q->cap) {
		q->cap = q->cap ? 2 * q->cap : 1024;
		q->heap = realloc(q->heap, q->cap * sizeof(*q->heap));
		if (!q->heap)
			abort();
	}
	q->heap[q->nheap] = (struct sim_far){e->when, e->order, e};
	sift_up(q, q->nheap++);
}

static void heap_take(struct sim_queue *q, struct sim_event *e)
{
	size_t at = e->pos - 1;

	if (at != --q->nheap) {
		place(q, at, &q->heap[q->nheap]);
		if (at > 0 && earlier(&q->heap[at], &q->heap[(at - 1) / HEAP_BRANCHES]))
			sift_up(q, at);
		else
			sift_down(q, at);
	}
	e->pos = 0;
}

/* --- both --- */

void sim_queue_fini(struct sim_queue *q)
{
	free(q->heap);
}

void sim_queue_take(struct sim_queue *q, struct sim_event *e)
{
	if (e->pos == QUEUE_IN_WHEEL)
		wheel_take(q, e);
	else if (e->pos)
		heap_take(q, e);
}

void sim_queue_put(struct sim_queue *q, struct sim_event *e, ts_t when, ts_t now)
{
	sim_queue_take(q, e);
	e->when = when;
	e->order = ++q->order;
	/* A list holds one turn of the wheel only. */
	if (slot_no(when) - slot_no(now) < QUEUE_SLOTS)
		wheel_put(q, e);
	else
		heap_put(q, e);
}

struct sim_event *sim_queue_first(struct sim_queue *q, ts_t now)
{
	struct sim_event *near = wheel_first(q, now), *far = q->nheap ? q->heap[0].ev : NULL;

	if (!near || !far)
		return near ? near : far;
	return later(near, far) ? far : near;
}
