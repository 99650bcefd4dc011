/* rcu.h - the one wrapper around liburcu's QSBR flavour, with what the thread sanitizer must be told.
 *
 * Readers are the workers: registered, online while they handle packets, offline while they sleep.
 * A pointer got with rcu_get() is good until the reader's next rcu_quiescent() or rcu_offline().
 * The one writer is the control thread, which is not registered: it publishes with rcu_set() and
 * gives what it took out to an rcu_bin, which frees it behind a grace period. */
#ifndef WEFT_RCU_H
#define WEFT_RCU_H

#include <stddef.h>

/* Read or publish a pointer (any pointer type). */
#define rcu_get(pp)    __atomic_load_n((pp), __ATOMIC_ACQUIRE)
#define rcu_set(pp, v) __atomic_store_n((pp), (v), __ATOMIC_RELEASE)

/* A reader thread begins (online) and ends. */
void rcu_reader_begin(void);
void rcu_reader_end(void);
/* Between two packets or turns: nothing got before is used any more. */
void rcu_quiescent(void);
/* Around a system call that may sleep. */
void rcu_offline(void);
void rcu_online(void);

/* Wait until every reader has passed a quiescent state. Writer only, never from a reader. */
void rcu_wait(void);

#define RCU_BIN_ITEMS 512

/* What waits for a grace period. Zero-initialised; writer's thread only. */
struct rcu_bin {
	struct {
		void (*release)(void *mem);
		void *mem;
	} item[RCU_BIN_ITEMS];
	unsigned count;
};

/* Let @release(@mem) run after a grace period (takes @mem). A full bin is emptied first, which waits.
 * @release may not defer anything itself. */
void rcu_defer(struct rcu_bin *bin, void (*release)(void *mem), void *mem);
/* One grace period for all that is in the bin; nothing to do when it is empty. */
void rcu_empty(struct rcu_bin *bin);

#endif
