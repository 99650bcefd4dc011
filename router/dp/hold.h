/* hold.h - a worker's packets for peers that have no session yet, as they were read from the TUN.
 *
 * A session on demand takes a round trip or more to come; what waits for it is kept here, per peer in
 * the order in which it was read, and sent when the peer's first key is used. Bounds (bounds.h):
 * LIM_HOLD_PEERS peers, LIM_HOLD_PACKETS packets and LIM_HOLD_BYTES bytes of each, and a time. At a
 * bound the oldest are dropped: of the peer, or the peer whose oldest packet waits longest.
 *
 * All of this belongs to one worker. A packet outlives the turn in which it was read, so its peer is
 * known by handle and uid, never by pointer. */
#ifndef WEFT_HOLD_H
#define WEFT_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/bounds.h"

struct hold_item {
	uint64_t at_ns; /* when it was read */
	uint32_t vni;
	uint32_t off, len; /* bytes in data[] */
};

/* The packets of one peer: a ring of items over a ring of bytes, in which each lies in one piece. */
struct hold_queue {
	uint32_t peer;
	uint64_t peer_uid;
	bool busy; /* being sent: nothing may be put in or taken away */
	unsigned first, count;
	uint32_t tail; /* where the next one's bytes go */
	struct hold_item item[LIM_HOLD_PACKETS];
	uint8_t data[LIM_HOLD_BYTES];
};

/* @n packets of a peer are dropped. */
typedef void (*hold_drop)(void *ctx, uint32_t peer, uint64_t peer_uid, unsigned n);

struct hold {
	unsigned count;                           /* peers that something waits for */
	struct hold_queue *queue[LIM_HOLD_PEERS]; /* the first count are in use */
	uint8_t *mem;
	hold_drop drop;
	void *ctx;
};

/* Memory is only touched by use. @drop is told of each packet that is given up. ERR_NOMEM. */
int hold_init(struct hold *h, hold_drop drop, void *ctx);
/* What is left is forgotten, uncounted. A zeroed one is fine. */
void hold_fini(struct hold *h);
/* The queue of a peer, or NULL: nothing waits for it. */
struct hold_queue *hold_find(const struct hold *h, uint32_t peer, uint64_t peer_uid);
/* Keep a copy of the @len (> 0) bytes at @buf, read from the device of @vni. False: it is being sent
 * to at this moment, or @len is more than LIM_HOLD_BYTES; nothing was kept, nothing counted. */
bool hold_put(struct hold *h, uint32_t peer, uint64_t peer_uid, uint32_t vni, const uint8_t *buf,
	size_t len, uint64_t now_ns);
/* The oldest of @q (never empty), and its bytes. */
static inline const struct hold_item *hold_oldest(const struct hold_queue *q)
{
	return &q->item[q->first];
}
static inline uint8_t *hold_bytes(struct hold_queue *q)
{
	return q->data + q->item[q->first].off;
}
/* Take the oldest out. True: it was the last one, @q is gone. */
bool hold_pop(struct hold *h, struct hold_queue *q);
/* Drop what was read before @before_ns. */
void hold_expire(struct hold *h, uint64_t before_ns);
/* When the packet that waits longest was read; UINT64_MAX: none waits. */
uint64_t hold_since(const struct hold *h);

#endif
