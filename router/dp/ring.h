/* ring.h - bounded queue from many worker threads to the control thread.
 *
 * Slots of one fixed size, each with a turn number (Vyukov's bounded queue): a producer claims a
 * slot by moving the tail, fills it, and hands it over by writing its turn. Nobody waits for anybody;
 * a full ring refuses. */
#ifndef WEFT_RING_H
#define WEFT_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring;

/* @slots: a power of two; @item bytes each. Returns owned; NULL: no memory. */
struct ring *ring_new(unsigned slots, size_t item);
void ring_free(struct ring *r); /* NULL is fine */
/* Any thread: claim a slot to be filled, then hand it over with ring_commit(). NULL: full. */
void *ring_claim(struct ring *r);
void ring_commit(struct ring *r, void *item);
/* Control thread: the oldest item, or NULL; then give the slot back. */
void *ring_peek(struct ring *r);
void ring_done(struct ring *r);

#endif
