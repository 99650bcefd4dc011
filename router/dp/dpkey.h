/* dpkey.h - the keys of one session as the workers use them: expanded ciphers, counters and block
 * budget for sealing, replay windows for opening.
 *
 * Who touches what:
 *   immutable after dpkey_new, until freed behind a grace period: all of struct dpkey but
 *     tx_slot[], rx_lane[] and the words marked shared;
 *   tx_slot[w].budget: worker w alone. tx_slot[l-1].counter: the workers that send on lane l, by an
 *     atomic addition per burst; with as many lanes as workers that is worker l-1 alone;
 *   rx_lane[l]: whoever holds its owner word;
 *   granted, failed, told: all workers, atomically, once per grant, forgery and event. */
#ifndef WEFT_DPKEY_H
#define WEFT_DPKEY_H

#include <stdbool.h>
#include <stdint.h>
#include "list.h"
#include "aead.h"
#include "replay.h"
#include "dp.h"
#include "rcu.h"
#include "stats.h"

struct dppeer;

struct dpkey_tx {
	uint64_t budget;  /* blocks granted to worker w (slot w) and not used yet */
	uint64_t counter; /* next counter of lane l (slot l-1) */
} DP_ALIGN;

struct dpkey_rx {
	uint32_t owner;     /* 1: somebody looks at win (DESIGN 5.7) */
	struct replay *win; /* NULL until the lane's first packet was opened */
	uint64_t side_ns;   /* when it last brought something from the sender's own port; 0: never.
			       Atomic, by whoever opened it: later wins, or nearly */
};

/* Bits of told: events that the control thread has been sent */
#define DPKEY_CONFIRMED 1u
#define DPKEY_SOFT      2u
#define DPKEY_HARD      4u

struct dpkey {
	uint32_t local_index, remote_index;
	struct dppeer *peer; /* lives longer than the key */
	struct aead *tx, *rx;
	uint8_t tx_lanes, rx_lanes; /* control included */
	uint64_t soft, hard, chunk, max_failed;
	struct dpkey_rx *rx_lane;
	struct list by_peer; /* control thread */

	uint64_t granted DP_ALIGN; /* shared: blocks given to workers */
	uint64_t failed;           /* shared */
	uint32_t told;             /* shared */

	struct dpkey_tx tx_slot[];
};

/* Expand @k for @workers senders. ERR_NOMEM; ERR_UNSUPPORTED: this machine lacks the suite;
 * ERR_RANGE: lanes or limits that cannot be. */
int dpkey_new(const struct dp_key *k, struct dppeer *peer, unsigned workers,
	enum aead_provider provider, struct dpkey **out);
/* Wipes and frees; no readers may be left. */
void dpkey_free(struct dpkey *k);

/* 16-byte blocks that sealing @body bytes (shim and packet) costs: the body, header and length. */
static inline uint64_t dpkey_blocks(uint64_t body)
{
	return (body + 15) / 16 + 2;
}

/* The lane that worker @w sends on; 0: the peer takes no data from us. */
static inline uint8_t dpkey_lane(const struct dpkey *k, unsigned w)
{
	return k->tx_lanes < 2 ? 0 : (uint8_t)(1 + w % (k->tx_lanes - 1u));
}

/* Worker @w: pay @blocks. False: the hard limit is reached, nothing may be sealed any more. */
bool dpkey_pay(struct dpkey *k, unsigned w, uint64_t blocks);
/* @n counters of @lane, the first one returned. */
static inline uint64_t dpkey_counters(struct dpkey *k, uint8_t lane, uint64_t n)
{
	return __atomic_fetch_add(&k->tx_slot[lane - 1].counter, n, __ATOMIC_RELAXED);
}
static inline bool dpkey_past_soft(const struct dpkey *k)
{
	return __atomic_load_n(&k->granted, __ATOMIC_RELAXED) >= k->soft;
}
/* Is event @bit still to be sent? Claims it; dpkey_untell() gives it back when the queue was full. */
static inline bool dpkey_tell(struct dpkey *k, uint32_t bit)
{
	if (__atomic_load_n(&k->told, __ATOMIC_RELAXED) & bit)
		return false;
	return !(__atomic_fetch_or(&k->told, bit, __ATOMIC_RELAXED) & bit);
}
static inline void dpkey_untell(struct dpkey *k, uint32_t bit)
{
	__atomic_fetch_and(&k->told, ~bit, __ATOMIC_RELAXED);
}
/* May packets still be opened (DESIGN 6.8: failed opens are limited too)? */
static inline bool dpkey_may_open(const struct dpkey *k)
{
	return __atomic_load_n(&k->failed, __ATOMIC_RELAXED) < k->max_failed;
}
/* A packet failed to open. True: that was the last one allowed. */
bool dpkey_failed(struct dpkey *k);

/* A stock of fresh replay windows: workers take, the control thread fills. */
#define WINPOOL_SLOTS 64
struct winpool {
	struct replay *slot[WINPOOL_SLOTS]; /* atomic */
	uint32_t left;                      /* atomic, a hint */
};
/* Control thread. Returns how many are in stock now. */
unsigned winpool_fill(struct winpool *p);
void winpool_fini(struct winpool *p);

/* Would @counter of @lane (below rx_lanes) be new? Asked before opening. */
bool dpkey_check(struct dpkey *k, uint8_t lane, uint64_t counter);
/* Take @counter, which was opened. *@newest: newer than all before it in its lane. 0, ERR_REPLAY, or
 * ERR_FULL: a first packet, and no window in stock. */
int dpkey_accept(struct dpkey *k, uint8_t lane, uint64_t counter, struct winpool *p, bool *newest);

#endif
