/* timerq.h - deadlines in a binary heap. A node is embedded in what it times; all times are the
 * caller's. Setting and cancelling cost O(log n) and allocate only when the heap grows. The times
 * stand in the heap too: comparing touches no node. */
#ifndef WEFT_TIMERQ_H
#define WEFT_TIMERQ_H

#include <stddef.h>
#include <stdint.h>
#include "weft/ts.h"

struct tq_node {
	ts_t when;
	size_t pos; /* 1-based place in the heap; 0: not queued. Zero-initialise. */
};

struct tq_place {
	ts_t when;
	struct tq_node *node;
};

struct timerq {
	struct tq_place *heap;
	size_t count, cap;
};

void tq_init(struct timerq *q);
void tq_fini(struct timerq *q); /* frees the heap, not the nodes */
/* Make room for @n nodes in all, so that queueing as many can't fail. ERR_NOMEM: unchanged. */
int tq_reserve(struct timerq *q, size_t n);
/* Queue or move @n to @when; TS_NEVER cancels. ERR_NOMEM: unchanged. */
int tq_set(struct timerq *q, struct tq_node *n, ts_t when);
void tq_cancel(struct timerq *q, struct tq_node *n);
/* The earliest deadline, or TS_NEVER. */
ts_t tq_deadline(const struct timerq *q);
/* Take the earliest node that is due at @now, or NULL. */
struct tq_node *tq_pop(struct timerq *q, ts_t now);

#define tq_entry(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
