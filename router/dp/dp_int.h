/* dp_int.h - what the files of the data plane share. Nobody outside this folder includes it.
 *
 * Threads: one control thread (all of dp.h), cfg.workers worker threads. Each field below says who
 * touches it: [const] set before the workers start or before the struct is published, never changed;
 * [ctl] the control thread; [own] the thread that owns the struct; [rcu] published by the control
 * thread, read by all under QSBR; [atomic] any thread, by the __atomic builtins. */
#ifndef WEFT_DP_INT_H
#define WEFT_DP_INT_H

#include <net/if.h>
#include <pthread.h>
#include "batch.h"
#include "coalesce.h"
#include "dp.h"
#include "dpkey.h"
#include "dppeer.h"
#include "fib.h"
#include "half.h"
#include "hold.h"
#include "idx.h"
#include "relay.h"
#include "ring.h"
#include "stats.h"
#include "tun.h"
#include "udp.h"
#include "lpm.h"

/* ---- bounds of a turn: then the next ready descriptor has its go (DESIGN 5.11) ---- */
#define TURN_BYTES    (256 * 1024)
#define TURN_PACKETS  256
#define STAGES        4  /* batches filled before they are sent */
#define BACKLOG_BATCH 64 /* further batches of a worker, used when a socket is full */
#define RX_BUF        65536
#define CTL_RX_BUF    9216 /* the longest datagram that is control's: one jumbo frame */
#define EVENT_RING    256
#define HOLD_MS       5000 /* how long a packet waits for a session */

/* What a worker tells the control thread. */
enum note_kind { NOTE_CONFIRMED, NOTE_SOFT, NOTE_HARD, NOTE_ROAM, NOTE_WANT, NOTE_ACTIVE };

struct note_datagram {
	struct ep from;
	struct ip local;
	struct dp_way back; /* n > 0: it came through relays */
	uint16_t len;
	uint8_t buf[]; /* WIRE_CONTROL_MAX, or CTL_RX_BUF of a long one */
};

struct note_event {
	uint8_t kind;   /* enum note_kind */
	uint32_t which; /* local index, or peer */
	struct ep from;
	struct ip local;
};

struct segment {
	uint32_t vni;               /* [const] */
	unsigned slot;              /* [const] in dp.segment[] */
	char ifname[IFNAMSIZ];      /* [const] */
	struct tun_offload offload; /* [const] */
	uint32_t mtu;               /* [atomic] */
	uint64_t drops_before;      /* [ctl] the device's count when it was attached */
	struct fib *fib;            /* [const] pointer; the table is [rcu] */
	unsigned queues;            /* [const] */
	int fd[];                   /* [const] queue w is read by worker w, written by any */
};

/* The last lookup of a direction. */
struct route_cache {
	uint64_t generation;
	uint32_t vni;
	uint8_t family;
	uint8_t addr[16];
	struct fib_route route;
};

/* The receive side of a thread: each worker's, and control's for what strays to its socket. [own] */
struct rx {
	struct dp *dp;
	unsigned slot; /* index of peer.w[]: the worker, or dp->cfg.workers for control */
	struct dp_counters *c;
	uint64_t now_ns;
	struct route_cache src, dst;
	struct worker *worker; /* NULL: control */
	struct half_table halves;
	const struct dp_way *back; /* of what is being looked at; NULL: it came directly */
	uint8_t *mem;              /* burst buffers of buf_bytes */
	size_t buf_bytes;
	unsigned burst;
	/* Control only, while in dp_poll(): control datagrams go here directly. */
	const struct dp_ops *ops;
	void *ops_ctx;
	struct coal coal;
};

/* A batch being filled; pointers are good until the end of the turn. */
struct stage {
	struct batch *b;
	struct dppeer *peer;
	const struct peer_path *path, *out; /* the peer's way, and that of the first hop */
	uint8_t lane;
};

/* One of a worker's sockets and what waits for it. [own] */
struct txq {
	const struct udp_sock *sock;
	struct backlog backlog;
	bool want_out; /* registered for EPOLLOUT */
};

enum txq_which { TXQ_MAIN, TXQ_SIDE, TXQ_COUNT };

struct worker {
	struct dp *dp;                   /* [const] */
	unsigned number;                 /* [const] */
	pthread_t thread;                /* [ctl] */
	int epfd, wakefd;                /* [const] */
	uint32_t stop;                   /* [atomic] */
	struct udp_sock sock[TXQ_COUNT]; /* [const] but kernel_drops [own] */
	bool retry; /* [own] the kernel was short of memory: try again in a millisecond */
	struct txq txq[TXQ_COUNT];
	struct batch_pool pool;
	struct stage stage[STAGES];
	unsigned stages;
	struct route_cache route;
	struct hold hold;
	bool releasing;             /* what waited is being sent */
	uint8_t *tunbuf;            /* TUN_READ_MAX */
	uint64_t toobig_at_ns;      /* until then the rate of answers is used up */
	uint8_t cut[WIRE_HALF_MAX]; /* an IPv6 packet that goes as two halves */
	struct rx rx;
	struct dp_counters c DP_ALIGN; /* written by [own], read by [ctl] */
};

struct dp {
	struct dp_cfg cfg;            /* [const] */
	uint16_t port;                /* [const] */
	bool gso, gro, mmsg, steered; /* [const] UDP segmentation, and so on: in use */
	bool started;                 /* [ctl] */
	struct dp_offloads offloads;  /* [ctl] */
	unsigned side_ports;          /* [const] */
	bool gateway;                 /* [atomic] written by [ctl] */

	struct idx keys;                       /* [rcu] local index -> struct dpkey */
	struct idx segments;                   /* [rcu] VNI -> struct segment */
	struct idx labels;                     /* [rcu] label -> struct dppeer */
	struct segment *segment[LIM_SEGMENTS]; /* [rcu] by slot */
	struct dppeer *peer[LIM_PEERS];        /* [rcu] by handle */
	unsigned peer_top;                     /* [ctl] above the highest handle in use */
	struct peer_worker *nobody; /* [const] slots of peers without a key; never read */
	uint64_t next_uid;          /* [ctl] */
	uint64_t fib_generation;    /* [atomic] written by [ctl] */
	struct lpm *endpoints;      /* [rcu] addresses of peers -> count (DESIGN 4.3) */
	uint32_t ports[65536 / 32]; /* [atomic] bit p: a peer's port, or ours; only set */
	struct rcu_bin bin;         /* [ctl] */
	struct list active;         /* [ctl] peers with traffic: dppeer.by_active */

	struct winpool windows;             /* [atomic] */
	struct ring *datagrams;             /* workers -> control, up to WIRE_CONTROL_MAX */
	struct ring *longs;                 /* the longer ones: probes of a path's MTU */
	struct ring *events;                /* workers -> control */
	uint32_t woken;                     /* [atomic] wakefd was written and not read yet */
	int wakefd, epfd;                   /* [const] */
	struct udp_sock control;            /* [ctl] fd -1: no socket of its own */
	struct rx rx;                       /* [ctl] */
	uint8_t wrapped[CTL_RX_BUF];        /* [ctl] a datagram with its relay header */
	struct dp_counters c DP_ALIGN;      /* [ctl] */
	unsigned worker_count;              /* [ctl] made so far */
	struct worker *worker[LIM_WORKERS]; /* [const] */
};

uint64_t dp_now_ns(void);

/* Control thread; NULL: there is none. */
static inline struct dppeer *dp_peer_get(const struct dp *dp, uint32_t peer)
{
	return peer < LIM_PEERS ? dp->peer[peer] : NULL;
}

/* The peer of that handle, if it still is that one: a handle is used again, a uid never. */
static inline struct dppeer *dp_peer_of(const struct dp *dp, uint32_t handle, uint64_t uid)
{
	struct dppeer *p = rcu_get(&dp->peer[handle]);

	return p && p->uid == uid ? p : NULL;
}

/* dp.c: make dp_event_fd() readable. Any thread. */
void dp_wake(struct dp *dp);
/* dp.c: hand something to the control thread. False: its queue is full. Any thread. */
bool dp_tell(struct dp *dp, enum note_kind kind, uint32_t which, const struct udp_in *in);
/* dp.c: hand a datagram to the control thread. @back: the way it came, NULL: directly. */
bool dp_tell_datagram(struct dp *dp, const struct udp_in *in, const struct dp_way *back);

/* dp.c: traffic with @p begins after a time without. Any thread. */
void dp_tell_active(struct dp *dp, struct dppeer *p);

/* worker.c */
int worker_new(struct dp *dp, unsigned number, struct worker **out);
void worker_free(struct worker *w);
int worker_start(struct worker *w);
void worker_stop(struct worker *w); /* and join */
/* A peer may have become reachable: what waits is looked at. Any thread. */
void worker_kick(struct worker *w);
/* Let the worker read its queue of @s. Any time. */
int worker_watch(struct worker *w, const struct segment *s);
void worker_unwatch(struct worker *w, const struct segment *s);
/* Register a socket for input, and for output if @out. */
int worker_watch_sock(struct worker *w, enum txq_which which, bool out);

/* tx.c */
/* A turn of the TUN queue: packets are staged, sealed. False: the queue is gone for good. */
bool tx_turn(struct worker *w, const struct segment *s);
/* Send what waits for peers that have a session by now. */
void tx_release(struct worker *w);
/* hold_drop of the worker @ctx. */
void tx_held_dropped(void *ctx, uint32_t peer, uint64_t uid, unsigned n);
/* Forward @len bytes of @inner behind @h, which is turned already, under the session with @next. False:
 * no way there, or too large; counted. */
bool tx_relay(struct worker *w, struct dppeer *next, struct relay_hdr *h, const uint8_t *inner,
	size_t len, uint8_t tos);
/* Count @n packets that were dropped for @why; @p (NULL: unknown) is who they were for. */
void tx_drop(struct worker *w, struct dppeer *p, enum dp_drop why, uint64_t n);

/* txq.c */
/* Send what is staged. At the end of each round, before the worker's quiescent state. */
void txq_flush(struct worker *w);
/* The socket may take more: send from its backlog, peers in turns. */
void txq_drain(struct worker *w, enum txq_which which);
/* Drop the backlog: the worker ends. */
void txq_fini(struct worker *w);
/* A free batch and room for a stage: the pool's, else one that was staged, else the oldest of the
 * longest backlog. */
struct batch *txq_batch(struct worker *w);

/* rx.c */
int rx_init(struct rx *rx, struct dp *dp, unsigned slot, struct dp_counters *c, size_t buf_bytes,
	unsigned burst);
void rx_fini(struct rx *rx);
/* A turn of a socket. Returns messages received. */
unsigned rx_turn(struct rx *rx, struct udp_sock *s, unsigned max_messages);
/* One message of the socket, cut into datagrams. rx_turn does this; so does the fuzzer. */
void rx_message(struct rx *rx, const struct udp_in *in);
/* One datagram of a message. */
void rx_datagram(struct rx *rx, const struct udp_in *in, uint8_t *buf, size_t len);
/* Count @n datagrams or packets that were dropped for @why; @p (NULL: unknown) sent them. */
void rx_drop(struct rx *rx, struct dppeer *p, enum dp_drop why, uint64_t n);
/* Open in place what is sealed (or only tagged, @len 0) behind @aad bytes at @buf under @k, and take
 * its counter; *@newest: of its lane. False: dropped, counted. */
bool rx_open(struct rx *rx, struct dpkey *k, uint8_t lane, uint64_t counter, uint8_t *buf,
	size_t aad, size_t len, bool *newest);

/* rxrelay.c */
/* A RELAY: forward it, or take out what it carries. */
void rx_relay(struct rx *rx, const struct udp_in *in, uint8_t *buf, size_t len);

/* dpsend.c */
/* tx_relay() for the control thread, sent at once. */
bool dpsend_relay(struct dp *dp, struct dppeer *next, struct relay_hdr *h, const uint8_t *inner,
	size_t len, uint8_t tos);

/* Route by the cache, or look it up. */
struct fib_route rx_route(const struct dp *dp, struct route_cache *c, const struct segment *s,
	uint8_t family, const uint8_t *addr);

/* offload.c: fill dp->offloads and the flags in dp; called by dp_new. */
void offload_probe(struct dp *dp);
/* The same for a segment's device; called before it is published. */
int offload_segment(struct dp *dp, struct segment *s);
/* Note that @what is off and why. */
void offload_off(struct dp *dp, const char *what, const char *why);

#endif
