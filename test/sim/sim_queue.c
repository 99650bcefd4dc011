/* sim_queue.c - see sim_queue.h. A simulator that has no memory for an event ends. */
#include "sim_queue.h"

#include <stdlib.h>

#define SLOT_NS_BITS  14 /* a list of the wheel holds the events of 16,384 ns, or of 262,144 */
#define COARSE_BITS   4
#define HEAP_BRANCHES 4

/* An entry of the heap holds what is compared. */
struct sim_far {
	ts_t when;
	uint64_t order;
	struct sim_event *ev;
};

/* --- the wheel --- */

static uint64_t slot_no(const struct sim_queue *q, ts_t when)
{
	return when.ns >> (q->coarse ? SLOT_NS_BITS + COARSE_BITS : SLOT_NS_BITS);
}

/* How many lists are in use: one turn of the wheel is as long either way. */
static size_t slots(const struct sim_queue *q)
{
	return q->coarse ? QUEUE_SLOTS >> COARSE_BITS : QUEUE_SLOTS;
}

static bool later(const struct sim_event *a, const struct sim_event *b)
{
	return a->when.ns != b->when.ns ? a->when.ns > b->when.ns : a->order > b->order;
}

static void wheel_put(struct sim_queue *q, struct sim_event *e)
{
	uint64_t no = slot_no(q, e->when);
	size_t slot = no & (slots(q) - 1);
	struct sim_event *before = NULL, *after = q->first[slot];

	if (no < q->sorted)
		q->sorted = 0;
	while (no == q->sorted && after && later(e, after)) {
		before = after;
		after = after->next;
	}
	e->prev = before;
	e->next = after;
	if (after)
		after->prev = e;
	if (before)
		before->next = e;
	else
		q->first[slot] = e;
	q->used[slot / 64] |= UINT64_C(1) << slot % 64;
	q->nwheel++;
	e->pos = QUEUE_IN_WHEEL;
}

static void wheel_take(struct sim_queue *q, struct sim_event *e)
{
	size_t slot = slot_no(q, e->when) & (slots(q) - 1);

	if (e->next)
		e->next->prev = e->prev;
	if (e->prev)
		e->prev->next = e->next;
	else
		q->first[slot] = e->next;
	if (!q->first[slot]) {
		q->used[slot / 64] &= ~(UINT64_C(1) << slot % 64);
		if (slot_no(q, e->when) == q->sorted)
			q->sorted = 0;
	}
	q->nwheel--;
	e->pos = 0;
}

/* The first list from @slot on, once around. There is one. */
static size_t first_used(const struct sim_queue *q, size_t slot)
{
	size_t word = slot / 64;
	uint64_t bits = q->used[word] & ~UINT64_C(0) << slot % 64;

	while (!bits) {
		word = (word + 1) & (slots(q) / 64 - 1);
		bits = q->used[word];
	}
	return word * 64 + (size_t)__builtin_ctzll(bits);
}

static struct sim_event *merge(struct sim_event *a, struct sim_event *b)
{
	struct sim_event *first = NULL, **end = &first;

	while (a && b) {
		struct sim_event **least = later(a, b) ? &b : &a;

		*end = *least;
		end = &(*least)->next;
		*least = *end;
	}
	*end = a ? a : b;
	return first;
}

/* Merge sort: part[i] is a sorted list of 2^i events, or none. */
static struct sim_event *sort(struct sim_event *list)
{
	struct sim_event *part[32] = {NULL}, *all = NULL;

	while (list) {
		struct sim_event *e = list;
		size_t i = 0;

		list = list->next;
		e->next = NULL;
		for (; part[i]; i++) {
			e = merge(part[i], e);
			part[i] = NULL;
		}
		part[i] = e;
	}
	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++)
		all = merge(part[i], all);
	return all;
}

static void sort_slot(struct sim_queue *q, size_t slot)
{
	struct sim_event *prev = NULL;

	if (q->first[slot]->next)
		q->first[slot] = sort(q->first[slot]);
	for (struct sim_event *e = q->first[slot]; e; e = e->next) {
		e->prev = prev;
		prev = e;
	}
	q->sorted = slot_no(q, q->first[slot]->when);
}

static struct sim_event *wheel_first(struct sim_queue *q, ts_t now)
{
	size_t slot = q->sorted & (slots(q) - 1);

	if (q->nwheel == 0)
		return NULL;
	if (!q->sorted) {
		slot = first_used(q, slot_no(q, now) & (slots(q) - 1));
		sort_slot(q, slot);
	}
	return q->first[slot];
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
	if (slot_no(q, when) - slot_no(q, now) < slots(q))
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
