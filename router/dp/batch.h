/* batch.h - a worker's send buffers, and the backlog that forms when a socket is full (DESIGN 5.11).
 *
 * A batch is up to 64 KiB of sealed datagrams for one destination, all of one size but the last: what
 * one segmented send takes. It is filled by the transmit path, sent, and reused. When the socket is
 * full it moves into the backlog as it is, nothing is copied. A backlog keeps a queue per peer; the
 * peers take turns, each queue is bounded in bytes, and the oldest batch is dropped.
 *
 * All of this belongs to one worker. A batch outlives the turn in which it was made, so it refers to
 * its peer by handle and uid, never by pointer. */
#ifndef WEFT_BATCH_H
#define WEFT_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "udp.h"

#define BATCH_BYTES UDP_MAX_PAYLOAD

struct batch {
	struct batch *next;
	uint32_t peer;     /* handle */
	uint64_t peer_uid; /* a handle is used again, a uid never */
	struct udp_dest dest;
	uint8_t tos;
	bool side;     /* leaves from the worker's own port */
	bool closed;   /* nothing may follow: the last segment is short */
	uint16_t seg;  /* bytes of every datagram but the last */
	unsigned segs; /* datagrams not yet sent */
	size_t off;    /* sent already */
	size_t len;    /* bytes, off included */
	uint8_t *buf;  /* BATCH_BYTES */
};

struct batch_pool {
	struct batch *all, *free;
	uint8_t *mem;
	size_t mem_bytes;
	unsigned count, used;
};

/* @count batches. Their memory is only touched by use. ERR_NOMEM. */
int batch_pool_init(struct batch_pool *p, unsigned count);
void batch_pool_fini(struct batch_pool *p);
/* NULL: all are in use. */
struct batch *batch_get(struct batch_pool *p);
void batch_put(struct batch_pool *p, struct batch *b);
/* Give the memory of unused batches back to the system. */
void batch_pool_trim(struct batch_pool *p);

/* Bytes still to be sent. */
static inline size_t batch_left(const struct batch *b)
{
	return b->len - b->off;
}
/* May another datagram of @bytes be put behind the others? Its maker wants @room bytes to write to. */
static inline bool batch_fits(const struct batch *b, size_t bytes, size_t room)
{
	return !b->closed && bytes <= b->seg && b->segs < UDP_MAX_SEGS &&
	       b->len + room <= BATCH_BYTES;
}

#define BACKLOG_QUEUES 64 /* peers with a backlog at once; not more than batches */

struct backlog_queue {
	uint32_t peer; /* a handle: what waited for one that is gone goes before its successor's */
	size_t bytes;
	struct batch *head, *tail;
};

struct backlog {
	struct backlog_queue q[BACKLOG_QUEUES]; /* the first count are in use */
	unsigned count;
	unsigned turn;     /* whose turn it is, below count */
	size_t peer_bytes; /* bound of a queue */
};

void backlog_init(struct backlog *l, size_t peer_bytes);
static inline bool backlog_empty(const struct backlog *l)
{
	return l->count == 0;
}
/* Append @b (takes it). False: more peers have a backlog than there are queues; @b stays the
 * caller's, to be dropped. */
bool backlog_add(struct backlog *l, struct batch *b);
/* The oldest batch of a peer that is over its bound, taken out to be dropped; NULL: none is. Call
 * until NULL after each backlog_add. */
struct batch *backlog_over(struct backlog *l, const struct batch *added);
/* The oldest batch of the longest queue, taken out to be dropped when the pool is empty. NULL: none. */
struct batch *backlog_steal(struct backlog *l);
/* The batch whose turn it is, not taken out; NULL: none. */
struct batch *backlog_peek(const struct backlog *l);
/* @bytes of what backlog_peek() gave were sent (its off has moved on by as much). */
void backlog_sent(struct backlog *l, size_t bytes);
/* Take out what backlog_peek() gave, and go on to the next peer. */
struct batch *backlog_pop(struct backlog *l);

#endif
