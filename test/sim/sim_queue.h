/* sim_queue.h - what is to happen, in the order of time and then of age.
 *
 * Most events lie within the next second: they stand in a wheel of short lists, one for each 16 us (or
 * 262 us), and a list is sorted when its time comes; so queueing and taking out touch no other event but one or two.
 * What lies farther ahead waits in a heap; what comes first of the two is taken, and nothing ever moves
 * from one to the other. */
#ifndef WEFT_SIM_QUEUE_H
#define WEFT_SIM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/ts.h"

struct sim;
struct sim_far;

/* Something that happens later. Embedded in what it concerns; zero-initialised it is not queued. */
struct sim_event {
	ts_t when;
	uint64_t order;
	struct sim_event *prev, *next; /* in the wheel */
	size_t pos;                    /* 0: not queued; QUEUE_IN_WHEEL; else place in the heap */
	void (*fire)(struct sim *s, struct sim_event *e);
};

#define QUEUE_SLOT_BITS 16
#define QUEUE_SLOTS     (1u << QUEUE_SLOT_BITS)
#define QUEUE_IN_WHEEL  SIZE_MAX

struct sim_queue {
	struct sim_event *first[QUEUE_SLOTS]; /* of each list */
	uint64_t used[QUEUE_SLOTS / 64];      /* lists that are not empty */
	bool coarse; /* few events: fewer and longer lists, which stay in the cache; set before any comes */
	size_t nwheel;
	uint64_t sorted; /* the number of the list that is sorted and the first; 0: none is */
	struct sim_far *heap;
	size_t nheap, cap;
	uint64_t order;
};

/* Zeroed memory is an empty queue. Frees what the queue took, not the events. */
void sim_queue_fini(struct sim_queue *q);
/* Queue or move; @when is not before @now, the time of the event that is being handled. */
void sim_queue_put(struct sim_queue *q, struct sim_event *e, ts_t when, ts_t now);
/* Take out; harmless for one that is not queued. */
void sim_queue_take(struct sim_queue *q, struct sim_event *e);
/* The first event; NULL: none. */
struct sim_event *sim_queue_first(struct sim_queue *q, ts_t now);

#endif
