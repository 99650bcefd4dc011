/* ring.c - see ring.h. */
#include "ring.h"

#include <assert.h>
#include <stdlib.h>
#include "stats.h"

struct slot {
	/* In lap n of the ring: 2n, it may be filled; 2n + 1, it may be read. Starts as zero, so
	 * that a slot's memory is not touched before it is used. */
	uint64_t turn;
	_Alignas(8) uint8_t item[];
};

struct ring {
	uint64_t mask;
	unsigned shift; /* log2 of the slots */
	size_t stride;
	uint8_t *mem;
	uint64_t tail DP_ALIGN; /* multi producer */
	uint64_t head DP_ALIGN; /* single consumer */
};

static struct slot *at(const struct ring *r, uint64_t pos)
{
	return (struct slot *)(void *)(r->mem + (pos & r->mask) * r->stride);
}

struct ring *ring_new(unsigned slots, size_t item)
{
	struct ring *r = aligned_alloc(64, sizeof(*r));

	assert(slots && (slots & (slots - 1)) == 0);
	if (!r)
		return NULL;
	*r = (struct ring){.mask = slots - 1,
		.shift = (unsigned)__builtin_ctz(slots),
		.stride = (sizeof(struct slot) + item + 7) & ~(size_t)7};
	r->mem = calloc(slots, r->stride);
	if (!r->mem) {
		free(r);
		return NULL;
	}
	return r;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	free(r->mem);
	free(r);
}

/* The turn at which @pos may be filled. */
static uint64_t empty_turn(const struct ring *r, uint64_t pos)
{
	return 2 * (pos >> r->shift);
}

void *ring_claim(struct ring *r)
{
	uint64_t pos = __atomic_load_n(&r->tail, __ATOMIC_RELAXED);

	for (;;) {
		struct slot *s = at(r, pos);
		uint64_t turn = __atomic_load_n(&s->turn, __ATOMIC_ACQUIRE);

		if (turn == empty_turn(r, pos)) {
			if (__atomic_compare_exchange_n(&r->tail, &pos, pos + 1, true,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
				return s->item;
		} else if (turn < empty_turn(r, pos)) {
			return NULL; /* not read yet: full */
		} else {
			pos = __atomic_load_n(&r->tail, __ATOMIC_RELAXED);
		}
	}
}

void ring_commit(struct ring *r, void *item)
{
	struct slot *s = (struct slot *)(void *)((uint8_t *)item - offsetof(struct slot, item));

	/* Claimed, and nobody else writes it until it was read. */
	__atomic_store_n(&s->turn, s->turn + 1, __ATOMIC_RELEASE);
}

void *ring_peek(struct ring *r)
{
	struct slot *s = at(r, r->head);

	return __atomic_load_n(&s->turn, __ATOMIC_ACQUIRE) == empty_turn(r, r->head) + 1 ? s->item
											 : NULL;
}

void ring_done(struct ring *r)
{
	struct slot *s = at(r, r->head);

	__atomic_store_n(&s->turn, empty_turn(r, r->head) + 2, __ATOMIC_RELEASE);
	r->head++;
}
