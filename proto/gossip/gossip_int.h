/* gossip_int.h - what the files of the gossip core share; nobody else includes it.
 *
 *	gossip.c	the public face: calls in, actions out, the clock
 *	gossip_node.c	members: who is known, linked, dialled, named; what a record changes
 *	gossip_own.c	what we publish, our epoch, clones of our key
 *	gossip_link.c	spreading: queues, digests, keys, wants, pacing */
#ifndef WEFT_GOSSIP_INT_H
#define WEFT_GOSSIP_INT_H

#include <stdbool.h>
#include "weft/bounds.h"
#include "weft/wire.h"
#include "claim.h"
#include "gossip.h"
#include "gossip_wire.h"
#include "list.h"
#include "map.h"
#include "prng.h"
#include "record.h"
#include "store.h"
#include "timerq.h"

/* Times; the jittered ones by a quarter. */
#define DIGEST_SOON      DUR_SEC(2)  /* after a change of the store */
#define DIGEST_IDLE      DUR_SEC(10) /* else */
#define DIGEST_REPLY_MIN DUR_MS(500) /* between two answers to a digest that differs */
#define KEYS_MIN         DUR_SEC(1)  /* between two runs of KEYS on a link */
#define PACE_WINDOW      DUR_MS(50)
#define PACE_DATAGRAMS   32 /* per link and window */
#define DIAL_FIRST       DUR_SEC(1)
#define DIAL_MAX         DUR_SEC(30)
#define DIAL_SPREAD      DUR_MS(150) /* the higher key waits, so that mostly one of two dials */
#define PROBATION        DUR_SEC(5) /* a forgotten node that calls has to publish something newer */
#define NAME_REPEAT      DUR_SEC(60)
#define JUMP_MIN         DUR_SEC(1)  /* between two jumps of our epoch */
#define JUMP_MIN_CLONE   DUR_SEC(60) /* the same once a clone is suspected */
#define JUMP_RETRY       DUR_SEC(10) /* the epoch was not stored: ask again */
#define CLONE_JUMPS      3
#define CLONE_WINDOW     DUR_SEC(600)
#define REPUBLISH        DUR_SEC(1)  /* after want of memory */
#define LINK_STEADY      DUR_SEC(10) /* a link that lived shorter doesn't reset the back-off */
#define IDLE_CHECK       DUR_SEC(3600)

/* Bounds of a link's queues; what doesn't fit is mended by the next digest. */
#define LINK_QUEUE_MAX 4096
#define LINK_WANT_MAX  4096
#define LINK_DEDUP     32 /* so many of the last queued are compared with a new one */
#define NOTICES_MAX    64 /* conflicts not yet taken by the driver: the newest is dropped */
#define NAME_TELLS_MAX 16 /* name conflicts told in one go */

/* A queue of record keys, growing up to a bound. */
struct keyq {
	uint64_t *v;
	size_t head, count, cap;
};

/* A member's link. */
struct link {
	struct list all;     /* in gossip.links */
	struct list sending; /* in gossip.senders: has something to send and may */
	struct member *m;
	struct keyq queue; /* records to send */
	struct keyq wants; /* keys to ask for */
	bool digest_due;
	bool keys_active; /* a run of KEYS is at keys_from */
	bool keys_wanted; /* start one at keys_at */
	uint64_t keys_from;
	ts_t digest_at, reply_at, keys_at;
	ts_t window; /* start of the pacing window */
	unsigned sent;
};

struct member {
	struct node_key key;
	bool self;
	bool known; /* a node record is there */
	bool left, forgotten;
	bool was_up;  /* at the last member_refresh() */
	bool up_told; /* to the driver */
	bool same_name;
	char name[NODE_NAME_MAX + 1], version[32];
	uint64_t features, epoch;
	struct ep eps[LIM_ENDPOINTS_PER_NODE];
	size_t neps;
	struct ep seen; /* where its last link came from; family IP_NONE: never */
	struct list claims;
	struct gossip_prefix *prefixes; /* as of claims */
	size_t nprefixes;
	ts_t since;
	struct link *link;
	ts_t dial_at; /* TS_NEVER: not to be dialled */
	dur_t backoff;
	ts_t probation;                    /* TS_NEVER: none */
	uint64_t newest_epoch, newest_seq; /* the highest version among its records */
	struct tq_node timer;              /* always queued */
	struct list updown, dials, hangups;
};

/* One of the prefixes that we publish, and the record it stands in. */
struct own_prefix {
	struct gossip_prefix p;
	uint16_t sub;
};

struct own {
	struct ep eps[LIM_ENDPOINTS_PER_NODE];
	size_t neps;
	struct own_prefix *prefixes;
	size_t nprefixes;
	uint16_t nsubs; /* sub-keys of PREFIXES records ever used in this run */
	bool left;
	uint64_t epoch, seq;
	uint64_t want_epoch; /* 0: no jump under way */
	bool jump_asked;
	ts_t jump_at, republish_at;
	ts_t jumps[CLONE_JUMPS]; /* when the last ones were, oldest first; TS_NEVER: not yet */
	ts_t clone_told;
	struct ep clone_ep; /* what a clone publishes as its address */
};

struct notice {
	enum gossip_act_type type;
	struct node_key node, other;
	char name[NODE_NAME_MAX + 1];
	struct gossip_prefix prefix;
	struct ep eps[2];
	size_t neps;
};

struct gossip {
	const struct identity *id;
	struct cluster_id cluster;
	char name[NODE_NAME_MAX + 1], version[32];
	struct prng prng;
	ts_t now;
	struct map *members;
	struct member *self;
	struct store *store;
	struct claims claims;
	struct own own;
	struct timerq timers;
	struct list links, senders, updown, dials, hangups;
	ts_t dial_window; /* start of the second in which dials are counted */
	unsigned dialled;
	struct notice notices[NOTICES_MAX];
	size_t notice_head, notice_count;
	ts_t names_at; /* next time to tell lasting name conflicts; TS_NEVER: none lasts */
	ts_t changed;  /* last change of the store */
	struct gossip_stats stats;
	/* What gossip_next hands out, and working space too large for the stack. */
	struct notice told;
	struct ep dial_eps[LIM_ENDPOINTS_PER_NODE + 1];
	uint8_t tx[WIRE_CTL_BODY_MAX];
	uint8_t record[LIM_RECORD_BYTES], body[RECORD_BODY_MAX];
	struct gossip_prefix rows[RECORD_PREFIXES_MAX];
	struct gossip_keys keys;
	struct gossip_want want;
};

/* gossip.c */
void gossip_notice(struct gossip *g, const struct notice *n);

/* gossip_node.c */
struct member *member_get(const struct gossip *g, const struct node_key *key);
/* The member, made if unknown. NULL: *@err is ERR_FULL or ERR_NOMEM. */
struct member *member_make(struct gossip *g, const struct node_key *key, int *err);
void member_free(struct gossip *g, struct member *m);
/* Put a record whose signature was verified into the store and let it take effect; flood it to all
 * links but @from's (NULL: all). 0, ERR_MALFORMED (body), or the errors of store_put: unchanged. */
int member_commit(struct gossip *g, const struct record *r, const struct member *from, ts_t now);
int member_link_up(struct gossip *g, struct member *m, const struct ep *ep, ts_t now);
void member_link_down(struct gossip *g, struct member *m, ts_t now);
void member_forget(struct gossip *g, struct member *m, ts_t now);
void member_tick(struct gossip *g, struct member *m, ts_t now);
/* Set the member's timer to the earliest thing that it waits for. */
void member_arm(struct gossip *g, struct member *m);
/* Can a node be reached there from another host or, on loopback, from its own? */
bool member_ep_ok(const struct ep *e);
/* Is it a member that may be shown and routed to? */
bool member_visible(const struct member *m);
/* Tell name conflicts that last. */
void member_names_tick(struct gossip *g, ts_t now);
/* Bring routes, the up state and dialling of @m in line with what is known of it. */
void member_refresh(struct gossip *g, struct member *m, ts_t now);

/* gossip_own.c */
/* Publish what differs from what stands in the store. */
void own_publish(struct gossip *g, ts_t now);
int own_init(struct gossip *g, uint64_t epoch, ts_t now);
void own_fini(struct gossip *g);
/* A record of our own key from elsewhere, signature not yet verified. */
int own_seen(struct gossip *g, const struct record *r, struct member *from, ts_t now);
/* Somebody else holds our key: tell it, at @ep if that is known, once a minute. */
void own_clone(struct gossip *g, const struct ep *ep, ts_t now);
void own_tick(struct gossip *g, ts_t now);
ts_t own_deadline(const struct gossip *g);
/* Is a new epoch to be asked for? Then *@epoch is it. */
bool own_next(struct gossip *g, uint64_t *epoch);

/* gossip_link.c */
struct link *link_new(struct gossip *g, struct member *m, ts_t now);
void link_free(struct link *l);
void link_flood(struct gossip *g, const struct store_entry *e, const struct member *from);
/* Queue a record for one link. */
void link_queue(struct gossip *g, struct member *m, uint64_t key);
int link_recv(struct gossip *g, struct member *m, const uint8_t *buf, size_t len, ts_t now);
void link_tick(struct gossip *g, struct member *m, ts_t now);
ts_t link_deadline(const struct link *l);
/* Write the next datagram of the link to g->tx; 0: nothing to send, or not now. */
size_t link_produce(struct gossip *g, struct member *m);
/* The store changed: digests go out soon. */
void link_changed(struct gossip *g, ts_t now);

#endif
