/* dppeer.h - a peer as the workers see it: where its datagrams go and which key seals them.
 *
 * Who touches what:
 *   immutable: handle, uid, workers;
 *   published by the control thread, read by workers under QSBR: path, key, w;
 *   atomic words written by the control thread: pmtu, side;
 *   atomic words written by any worker: no_gso, hint_ns, want_ns, active (cleared by control);
 *   w[i]: written by worker i alone (the last one by the control thread), read by the control thread;
 *   the rest: control thread. */
#ifndef WEFT_DPPEER_H
#define WEFT_DPPEER_H

#include <stdbool.h>
#include <stdint.h>
#include "list.h"
#include "dpkey.h"
#include "rcu.h"
#include "stats.h"
#include "udp.h"

/* Immutable; replaced as a whole. */
struct peer_path {
	struct ep ep;
	struct udp_dest dest;
	uint16_t overhead; /* outer IP and UDP headers and weft's own, bytes; relayed: 0 */
	/* Through a relay: then ep and dest are empty, and the relay's own path counts. */
	uint8_t n; /* labels; 0: direct */
	uint32_t relay;
	uint64_t relay_uid;
	uint64_t label[WIRE_RELAY_LABELS_MAX];
};

/* How a datagram travels: by the main ports, from the sending worker's own port, by a relay. */
enum peer_via { PEER_MAIN, PEER_SIDE, PEER_RELAY, PEER_VIAS };

struct peer_worker {
	struct dp_counters c;
	/* When data last came or went; 0: never. What came from a peer's own ports is also told
	 * apart by lane (dpkey_rx.side_ns). */
	uint64_t rx_ns[PEER_VIAS], tx_ns[PEER_VIAS];
} DP_ALIGN;

struct dppeer {
	uint32_t handle;
	unsigned workers; /* slots of w[], control's included */
	uint64_t uid;
	struct peer_path *path; /* NULL: not known yet */
	struct dpkey *key;      /* sealing; NULL: none */
	uint32_t pmtu;          /* largest outer IP packet */
	uint64_t side;          /* bit w: worker w may use its own source port */
	uint8_t links;          /* dp_peer_links(). Atomic, set by control */
	uint8_t no_gso;         /* segmented sends towards it failed */
	uint8_t active;         /* in dp.active, or on the way there */
	uint64_t label;         /* in routes; 0: not known. Atomic, set once by control */
	uint64_t relay_at_ns;   /* until then its rate of relaying is used up. Atomic, any worker */
	uint64_t hint_ns;       /* when a roam hint was last given */
	uint64_t want_ns;       /* when it was last told that a session is wanted */

	struct list keys;                /* dpkey.by_peer */
	struct list by_active;           /* dp.active; alone: not in it */
	uint64_t told_rx_ns, told_tx_ns; /* dp_traffic() */

	/* dppeer_slots(). Thousands of peers never have a session: those without a key share one
	 * array that nobody reads. */
	struct peer_worker *w;
	bool counts; /* w is its own. Control thread */
};

#define PEER_PMTU_DEFAULT   1500
#define PEER_IDLE_NS        (1000 * 1000 * 1000) /* no traffic for so long: idle */
#define PEER_HINT_PERIOD_NS (200 * 1000 * 1000)
#define PEER_WANT_PERIOD_NS (1000 * 1000 * 1000)

/* @nobody: @workers slots for those that have none of their own, kept. NULL: no memory. */
struct dppeer *dppeer_new(
	uint32_t handle, uint64_t uid, unsigned workers, struct peer_worker *nobody);
void dppeer_free(struct dppeer *p); /* its keys are gone; no readers may be left */
/* @n slots, zeroed; for free(). NULL: no memory. */
struct peer_worker *dppeer_slots_new(unsigned n);
/* Counters and times: slot i is worker i's, the last one control's. */
static inline struct peer_worker *dppeer_slots(const struct dppeer *p)
{
	return rcu_get(&p->w);
}
/* For rcu_defer. */
void dppeer_release(void *p);

/* Has nothing gone or come for a while? The worker that finds so tells control (NOTE_ACTIVE). */
static inline bool peer_is_active(const struct dppeer *p)
{
	return __atomic_load_n(&p->active, __ATOMIC_RELAXED);
}

static inline bool peer_side(const struct dppeer *p, unsigned w)
{
	return (__atomic_load_n(&p->side, __ATOMIC_RELAXED) >> w) & 1;
}

#endif
