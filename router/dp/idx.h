/* idx.h - number to pointer, read without locks: receiver index to key, VNI to segment, label to peer.
 *
 * One writer, readers under QSBR (rcu.h). Open addressing; a slot's number never changes while its
 * table lives, so a reader that sees a value sees the number that belongs to it. Deleting leaves a
 * mark; a table with too many marks is replaced by a copy. */
#ifndef WEFT_IDX_H
#define WEFT_IDX_H

#include <stddef.h>
#include <stdint.h>
#include "rcu.h"

struct idx_table;

struct idx {
	struct idx_table *table; /* published */
	struct rcu_bin *bin;     /* writer */
	size_t live, used, max;  /* writer: values; values and marks; bound */
};

/* @bin (kept) takes replaced tables; at most @max values. ERR_NOMEM. */
int idx_init(struct idx *x, struct rcu_bin *bin, size_t max);
/* No readers may be left; values are the caller's. */
void idx_fini(struct idx *x);
/* @value not NULL. ERR_EXISTS, ERR_FULL (@max), ERR_NOMEM: unchanged. Writer only. */
int idx_put(struct idx *x, uint64_t number, void *value);
/* Takes it out; returns it or NULL. Readers may use it until a grace period has passed. */
void *idx_del(struct idx *x, uint64_t number);
/* NULL: absent. Any reader, and the writer. */
void *idx_get(const struct idx *x, uint64_t number);

#endif
