/* member_int.h - what the files of membership share; nobody else includes it.
 *
 *	member.c	the public face: calls in, actions out, the clock
 *	member_node.c	the table of nodes, their states, the overlay, whom to hold sessions with
 *	member_probe.c	probes of neighbours, for others, and their answers
 *	member_doubt.c	suspicion, its confirmation and end; dead lists; our own refutation
 *	member_fact.c	telling on: facts in, facts out */
#ifndef WEFT_MEMBER_INT_H
#define WEFT_MEMBER_INT_H

#include <stdbool.h>
#include "weft/bounds.h"
#include "list.h"
#include "map.h"
#include "member.h"
#include "member_wire.h"
#include "overlay.h"
#include "prng.h"
#include "timerq.h"

/* Probes; the first two are stretched by local health. */
#define PROBE_RETRY  DUR_MS(400)
#define PROBE_EVERY  DUR_MS(1000) /* per neighbour, whichever side begins */
#define PROBE_TRIES  5            /* so many unanswered: suspect, after 2 s */
#define PROBE_ASK    3            /* at this try helpers are asked */
#define PROBE_JITTER 10           /* percent */
#define PROBE_YIELD  DUR_MS(1300) /* after the other side's probe: leave the next to it too */
#define LINK_WAIT    DUR_SEC(5)   /* a new neighbour gets so long to be linked */
#define HELPERS      3
#define HELP_TTL     2           /* a request passes so many helpers on its way */
#define HELP_WAIT    DUR_MS(350) /* a helper's answer, per helper that is left */
#define HELPED_MAX   10          /* rounds that one helper alone may vouch for a node */
#define HEALTH_MAX   4
#define LATE         DUR_MS(200) /* called so much later than asked for: we were stalled */
#define LATE_GRACE   DUR_MS(400) /* then nobody is judged for so long */
#define BACKOFF_MIN  DUR_SEC(10) /* after a refuted suspicion of ours, doubling */
#define BACKOFF_MAX  DUR_SEC(320)

/* Suspicion. */
#define QUORUM        3
#define DOUBT_MIN     DUR_MS(1800) /* with a quorum: time to refute */
#define DOUBT_MAX     DUR_SEC(10)  /* our own, unconfirmed */
#define DOUBT_EXPIRE  DUR_SEC(30)  /* never confirmed: dropped */
#define HOLDERS       2            /* neighbours that hold a node dead, where there are so many */
#define HOLD_WAIT     DUR_SEC(4)
#define WATCH_RANGE   2 /* a watcher's place on a ring may be off by one in another's view */
#define WATCH_STEPS   8 /* suspected nodes stepped over when looking for it */
#define REFUTE_EVERY  DUR_MS(500)
#define NOTICE_BURST  4 /* refutations of notices at once, and one more in each NOTICE_REST */
#define NOTICE_REST   DUR_SEC(10)
#define REPEAT_EVERY  DUR_SEC(2) /* our word is said again to who missed it, if noticed only */
#define LIE_DECAY     30         /* seconds that forgive a refuted suspicion */
#define INC_AHEAD_MAX ((uint64_t)1 << 32) /* no honest suspicion is that far ahead of the subject */

/* Telling on. */
#define PUSH_DELAY       DUR_MS(10) /* facts that arrive together leave together */
#define PUSH_GAP         DUR_MS(20) /* between two PUSH to one neighbour */
#define FACT_LIFE        DUR_SEC(10)
#define FACT_BUCKETS     256 /* a power of two */
#define RELAY_IDLE_SECS  5   /* goodbyes and ALIVE of a node that nobody doubts: one in this time */
#define NOTICE_SECS      2   /* per subject */
#define NOTICE_FILL_SECS 10
#define HOLD_GAP         DUR_MS(50)
#define HOLD_SETTLED     DUR_SEC(2) /* our dead list stands still for so long */
#define HOLD_AGAIN       DUR_SEC(2) /* the same difference once more, at growing pauses */
#define HOLD_AGAIN_MAX   DUR_SEC(30)

/* The overlay. */
#define REFRESH_GAP  DUR_MS(500)
#define TRY_EVERY    DUR_SEC(5) /* a dead node is tried about so often, by all of us together */
#define TRY_TIME     DUR_SEC(8)
#define RETURN_TIME  DUR_SEC(30) /* a link with a node that came back is used for facts so long */
/* Where so many neighbours don't answer that fewer than BRIDGES do, other nodes are called. */
#define BRIDGES      3
#define BRIDGE_CALLS 4
#define BRIDGE_LOOKS 32 /* at so many of the living, those that we hear first */
#define BRIDGE_EVERY DUR_MS(1500)
#define BRIDGE_TIME  DUR_SEC(4) /* one that is not linked by then is given up */

#define SELF    0u
#define NO_NODE OVERLAY_NONE
#define NO_SLOT 0xff

#define NEAR_NODES 64 /* a power of two: nodes that spoke lately are found without a search */

#define NODE_LINKED  0x01 /* a session stands */
#define NODE_DIRTY   0x02 /* queued to be told */
#define NODE_FREED   0x04 /* deleted while queued */
#define NODE_GOODBYE 0x10 /* the proof is of a LEAVE */
#define NODE_FORGER  0x08 /* passed a false signature on: its suspicions are not looked at */

struct member_node {
	struct node_key key;
	uint64_t epoch, inc; /* the newest that the node itself is known to have said */
	ts_t heard;          /* TS_NEVER: never */
	uint8_t *proof;      /* signature of its ALIVE, or LEAVE, at (epoch, inc); NULL: inc is 0 */
	struct doubt *doubt; /* exactly while DOUBTED */
	uint32_t dead_pos;   /* in members.dead while GONE */
	uint32_t next;       /* in the dirty queue, or the free list */
	uint32_t relay_secs, notice_secs, lies_secs, allowance_secs;
	uint16_t allowance; /* notices used up by its link */
	uint8_t state, told, flags, slot, lies;
};

struct suspector {
	uint32_t node;
	uint64_t inc; /* of the subject, as it knew it */
};

/* Why a node is suspected. */
struct doubt {
	struct tq_node timer;
	uint32_t node;
	ts_t since;
	bool own; /* we are one of the suspectors */
	uint8_t n, nholders;
	struct suspector by[LIM_MEMBER_SUSPECTORS];
	uint32_t holders[HOLDERS];
	ts_t held_since;
};

/* A neighbour, or another node that is watched for a while. */
struct slot {
	struct node_key key;
	uint32_t node; /* NO_NODE: deleted, only UNWATCH is left to tell */
	bool used, wanted, told;
	ts_t until; /* watched at least so long though it is no neighbour */
	/* Probing: a round is under way while tries > 0; the next step is due at members.step_at. */
	ts_t round_at;
	uint16_t seq;
	uint8_t tries, asked, answered, helped;
	uint32_t helpers[HELPERS]; /* asked of them */
	uint32_t voucher;          /* who last reached it for us */
	bool silent;               /* the last round failed */
	dur_t backoff;
	ts_t backoff_until;
	/* Telling on. */
	ts_t push_at;
	/* A run of HOLD: under way while its bit in members.holds is set. */
	bool linked_anew;
	uint32_t hold_at; /* the next one in members.dead */
	ts_t hold_next, hold_done;
	uint64_t hold_pair; /* the two digests that the last run was for */
	dur_t hold_rest;    /* until a run for the same two */
};

/* Somebody's REQ. */
struct help {
	bool used;
	uint32_t from, target;
	uint32_t via; /* whom we asked: the target itself, or the next helper */
	uint16_t from_seq, seq;
	ts_t until;
};

struct answer {
	uint32_t node, target;
	uint16_t seq;
	uint8_t kind, ttl;
};

struct fact {
	struct list all;
	struct list fresh; /* of those with bits in push, in the same order */
	struct list same;  /* of those with the same hash */
	struct member_fact f;
	uint32_t push, again; /* bits of slots */
	ts_t made;
};

struct members {
	struct members_cfg cfg;
	struct prng prng;
	ts_t now;
	ts_t armed; /* the deadline last given; TS_NEVER: something happened since */
	ts_t grace; /* no judgement before */
	uint64_t epoch, inc;
	bool left;
	unsigned health;
	ts_t health_at; /* its last change */

	struct member_node *nodes; /* [SELF] is us */
	uint32_t nnodes, cap;      /* slots of the array ever used, and there */
	uint32_t free, known;
	struct overlay_ring index;              /* all known nodes */
	struct overlay_ring ring[MEMBER_RINGS]; /* those that live */
	uint32_t *dead;
	uint32_t ndead, ndoubted, nleft;
	uint32_t dead_digest;
	ts_t dead_changed;
	uint32_t dirty_head, dirty_tail;

	struct slot slot[LIM_MEMBER_NEIGHBOURS];
	unsigned nslots; /* those from here on are free */
	/* What every event looks at stands apart from the slots; bits are of slots. */
	ts_t step_at[LIM_MEMBER_NEIGHBOURS]; /* TS_NEVER: no probing */
	uint32_t holds;                      /* runs of HOLD under way */
	uint32_t lent;                       /* watched for a while only */
	bool slots_stir;                     /* WATCH or UNWATCH may have to be told */
	uint32_t near[NEAR_NODES];           /* by a byte of the key: who spoke last */
	bool refresh;
	ts_t refresh_at, try_at;
	ts_t bridge_at; /* look whether enough neighbours answer; TS_NEVER: nothing says the contrary */
	uint16_t seq;
	struct help help[LIM_MEMBER_HELPS];
	unsigned nhelps;
	struct answer answer[LIM_MEMBER_ANSWERS];
	unsigned answer_head, nanswers;

	struct timerq doubts;
	bool refute, refute_noticed; /* wanted; only since somebody told a notice */
	uint64_t refute_above;       /* the highest incarnation of ours that is doubted */
	ts_t refute_at;              /* not before */
	ts_t notice_at, repeat_at; /* not before, if only noticed: a new word, the last one again */
	bool refute_told, liar_told; /* to be told */
	struct node_key liar;
	bool storm;

	struct list facts, fresh_facts;
	struct list fact_bucket[FACT_BUCKETS];
	unsigned nfacts;
	uint32_t push; /* slots with something to push, perhaps */

	uint8_t attach[MEMBER_EXTRA_MAX], extra[MEMBER_EXTRA_MAX];
	uint8_t attach_len, extra_len;
	uint32_t extra_from; /* NO_NODE: nothing to tell */
	struct members_stats stats;
	uint8_t tx[MEMBER_MSG_MAX];
};

/* member_node.c */
int mnode_init(struct members *m);
void mnode_fini(struct members *m);
uint32_t mnode_find(const struct members *m, const struct node_key *key);
/* The same for one that speaks often. */
uint32_t mnode_find_near(struct members *m, const struct node_key *key);
/* Find or add. 0 and *@out, or ERR_FULL, ERR_NOMEM, ERR_CONFLICT (ourselves). */
int mnode_make(struct members *m, const struct node_key *key, uint32_t *out);
void mnode_del(struct members *m, uint32_t n);
/* The one place where a state changes: rings, dead list, counters, and what is to be told. */
void mnode_set_state(struct members *m, uint32_t n, enum member_state state);
/* The subject has said (epoch, inc) with @proof (64 bytes, or NULL for incarnation 0). */
void mnode_set_version(
	struct members *m, uint32_t n, uint64_t epoch, uint64_t inc, const uint8_t *proof);
/* Does it stand on the rings? */
bool mnode_lives(const struct member_node *d);
/* The next node whose state is to be told; false: none. */
bool mnode_next_dirty(struct members *m, uint32_t *out);
/* The neighbours of @n on all rings into @out (room for 2 * MEMBER_RINGS); how many. */
unsigned mnode_neighbours(const struct members *m, uint32_t n, uint32_t *out);
/* Is @who one of those that watch @n, or near enough to be one in its own view? */
bool mnode_watches(const struct members *m, uint32_t who, uint32_t n);
/* Give @n a slot for at least @time though it is no neighbour; nothing if none is free. */
void slot_borrow(struct members *m, uint32_t n, dur_t time);
/* A neighbour doesn't answer: see whether enough others do. */
void slot_trouble(struct members *m);
/* @s, no neighbour's, was linked: it is kept for a while. */
void slot_bridged(struct members *m, struct slot *s);
/* The slot of @n, or NULL. */
struct slot *slot_of(struct members *m, uint32_t n);
bool slot_linked(const struct members *m, const struct slot *s);
static inline uint32_t slot_bit(const struct members *m, const struct slot *s)
{
	return 1u << (s - m->slot);
}
static inline ts_t *slot_step_at(struct members *m, const struct slot *s)
{
	return &m->step_at[s - m->slot];
}
void slot_tick(struct members *m);
ts_t slot_deadline(const struct members *m);
/* The next WATCH or UNWATCH; false: none. */
bool slot_next(struct members *m, struct member_act *out);
bool mnode_heard_lately(const struct members *m, uint32_t n);
uint32_t now_secs(const struct members *m);

/* member_probe.c */
void probe_start(struct members *m, struct slot *s);
void probe_link(struct members *m, struct slot *s, bool up);
void probe_tick(struct members *m);
ts_t probe_deadline(const struct members *m);
/* Forget @n, which is being deleted. */
void probe_forget(struct members *m, uint32_t n);
int probe_recv_probe(struct members *m, uint32_t from, struct rd *r);
int probe_recv_ack(struct members *m, uint32_t from, struct rd *r);
int probe_recv_req(struct members *m, uint32_t from, struct rd *r);
int probe_recv_reached(struct members *m, uint32_t from, struct rd *r);
int probe_recv_nack(struct members *m, uint32_t from, struct rd *r);
/* Write the next answer to m->tx: its length, and to whom; 0: none. */
size_t probe_produce(struct members *m, uint32_t *to);
/* Our judgement is to be trusted less, or more. */
void health_worse(struct members *m);
void health_better(struct members *m);

/* member_doubt.c */
/* @by suspects @n at incarnation @inc of it. ERR_NOMEM; ERR_FULL: enough do already. */
int doubt_add(struct members *m, uint32_t n, uint32_t by, uint64_t inc);
/* Our own probes of @n failed: suspect it, and tell. */
void doubt_own(struct members *m, uint32_t n);
/* We heard from @n. */
void doubt_heard(struct members *m, uint32_t n);
/* @n is not watched by us any more, so it is not ours to suspect: nobody would notice that it answers
 * again. */
void doubt_unwatched(struct members *m, uint32_t n);
/* @n itself spoke at incarnation @inc: suspicions below it are over, and were wrong. */
void doubt_refuted(struct members *m, uint32_t n, uint64_t inc);
/* No reason to suspect @n is left, or it is about to be something else than suspected. */
void doubt_end(struct members *m, uint32_t n);
/* Forget @n as a suspector and holder everywhere. */
void doubt_forget(struct members *m, uint32_t n);
void doubt_tick(struct members *m);
ts_t doubt_deadline(const struct members *m);
bool node_is_liar(const struct members *m, uint32_t n);
/* Somebody doubts us at (epoch, inc): @by, who signed it, or NO_NODE if it is a mere notice. */
void self_doubted(struct members *m, uint64_t epoch, uint64_t inc, uint32_t by);
/* Is that about us as we are? */
bool self_meant(const struct members *m, uint64_t epoch, uint64_t inc);
/* One HOLD of a linked node. */
int doubt_recv_hold(struct members *m, uint32_t from, struct rd *r);
/* A neighbour's dead list has this digest and length. */
void hold_compare(struct members *m, struct slot *s, uint16_t count, uint32_t digest);
/* Write the next HOLD to m->tx: its length, and to whom; 0: none now. */
size_t hold_produce(struct members *m, uint32_t *to);
ts_t hold_deadline(const struct members *m);
/* Take one notice out of the allowance of @from's link. */
bool notice_allowed(struct members *m, uint32_t from);

/* member_fact.c */
void fact_init(struct members *m);
void fact_fini(struct members *m);
/* Tell @f to every linked neighbour but @except (NO_NODE: all). */
void fact_spread(struct members *m, const struct member_fact *f, uint32_t except);
/* Tell a suspicion of @n, our own ALIVE or LEAVE (signed here), or a notice to @n. */
void fact_say(struct members *m, enum member_fact_type type, uint32_t n, uint64_t inc);
/* Tell the neighbour @to alone what @n last said of itself, if there is a proof. */
void fact_prove(struct members *m, uint32_t n, uint32_t to);
/* Read facts to the end of @r. */
int fact_recv(struct members *m, uint32_t from, struct rd *r);
/* Is that a version that no node comes to? Counted. */
bool fact_too_far(struct members *m, uint64_t epoch, uint64_t inc);
/* Append what fits to a probe or answer to slot @i. */
void fact_append(struct members *m, unsigned i, struct wr *w);
/* Slot @i is somebody else's, or its link ended. */
void fact_clear_slot(struct members *m, unsigned i);
/* A neighbour was linked: it hears what is still being told. */
void fact_fill_slot(struct members *m, unsigned i);
/* Write the next PUSH to m->tx: its length, and to whom; 0: none now. */
size_t fact_produce(struct members *m, uint32_t *to);
void fact_tick(struct members *m);
ts_t fact_deadline(const struct members *m);

#endif
