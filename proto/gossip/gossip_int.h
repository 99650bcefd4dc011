/* gossip_int.h - what the files of the gossip core share; nobody else includes it.
 *
 *	gossip.c	the public face: calls in, actions out, the clock
 *	gossip_node.c	members: who is known, linked, dialled, named; what a record changes
 *	gossip_life.c	what membership says of members; members that are gone for long
 *	gossip_forget.c	nodes that were forgotten by a person's word
 *	gossip_own.c	what we publish, our epoch, clones of our key
 *	gossip_link.c	links: queues, pacing, push of news, who already has what
 *	gossip_sync.c	anti-entropy: roots, sums, keys, wants */
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
#include "member.h"
#include "prng.h"
#include "record.h"
#include "store.h"
#include "timerq.h"

/* Times; the jittered ones by a quarter. */
#define FRESH          DUR_SEC(4)  /* so long a record is on its way: not in the sums yet */
#define ROOT_SOON      DUR_SEC(6)  /* after we published something, once that has settled */
#define ROOT_IDLE      DUR_SEC(10) /* else */
#define ROOT_NEAR      DUR_SEC(5) /* roots that agree put the next comparison off when it is nearer */
#define ROOT_AGAIN     DUR_SEC(1)  /* roots differed: the first look again, doubling */
#define ROOT_REPLY_MIN DUR_MS(500) /* between two answers to a root that differs */
#define DESCEND_MIN    DUR_SEC(1)  /* between two descents on a link */
#define OFFER_DELAY    DUR_MS(300) /* news is offered to who had no copy from us or for us */
#define ASK_PATIENCE   DUR_SEC(1)  /* what was asked for and hasn't come is lost */
#define ASK_AGAIN      DUR_MS(500) /* what one link was asked for isn't asked of another */
#define PACE_WINDOW    DUR_MS(50)
#define PACE_DATAGRAMS 32          /* per link and window */
#define PACE_FILL      128         /* of bulk, all links together */
#define NEWS_REFILL    DUR_MS(250) /* a node may say something new so often, and in bursts of */
#define NEWS_BURST     (2 * LIM_RECORDS_PER_NODE)
#define FORGED_MAX                                                                                 \
	8 /* records with a false signature; no others of a run that sent so many are looked at */
#define FORGED_LOOK     DUR_SEC(1) /* but for the first of its next run, one in this time */
#define DIAL_FIRST      DUR_SEC(1)
#define DIAL_MAX        DUR_SEC(30)
#define DIAL_SPREAD     DUR_MS(150) /* the higher key waits, so that mostly one of two dials */
#define PROBATION       DUR_SEC(5)  /* a forgotten node that calls has to publish something newer */
#define NAME_REPEAT     DUR_SEC(60)
#define LIE_REPEAT      DUR_SEC(60)  /* between two words on the same lie of a node */
#define RESTLESS_IN     DUR_SEC(600) /* so many starts or jumps of a node in this time are told */
#define RESTLESS        5
#define JUMP_MIN        DUR_SEC(1)  /* between two jumps of our epoch */
#define JUMP_MIN_CLONE  DUR_SEC(60) /* the same once a clone is suspected */
#define JUMP_RETRY      DUR_SEC(10) /* the epoch was not stored: ask again */
#define CLONE_JUMPS     3
#define CLONE_WINDOW    DUR_SEC(600)
#define REPUBLISH       DUR_SEC(1)  /* after want of memory */
#define LINK_STEADY     DUR_SEC(10) /* a link that lived shorter doesn't reset the back-off */
#define STARTUP_CHECK   DUR_SEC(1)  /* is a link of our start still needed? */
#define STARTUP_LINKS   2           /* so many are kept until there are as many neighbours */
#define USED_FOR        DUR_SEC(20) /* a peer that compares roots with us uses the link */
#define DEMAND_FOR      DUR_SEC(10) /* a link on demand is dialled */
#define HEARD_MIN       DUR_MS(500) /* between two words to membership that a peer was heard */
#define GONE_AFTER      DUR_SEC(60) /* then its records are no news but history */
#define RESTART_PAUSE   DUR_SEC(10) /* routes to a node that stopped stand so long: it may be back */
#define NODE_EXPIRE     DUR_SEC(48 * 3600) /* gone for so long: its records are dropped here */
#define NODE_RETELL     DUR_SEC(24 * 3600) /* from then on also when a peer has dropped them */
#define EXPIRE_RETRY    DUR_SEC(3600)      /* too many are gone: not now */
#define GRAVE_KEEP      DUR_SEC(14 * 24 * 3600)
#define IDLE_CHECK      DUR_SEC(3600)
#define FORGET_YOUNG    DUR_SEC(60) /* so long after we met a node, nobody vouches that it lives */
#define RENEW_BURST     4 /* our node record is renewed for others' sake so often at once, and then */
#define RENEW_MIN       DUR_SEC(10) /* each */
#define FORGET_SELF_MIN DUR_SEC(60) /* between two times that our driver is told that we were */

#define FORGET_SUBS 4 /* FORGET records that a node publishes */
#define FORGETS_OWN (FORGET_SUBS * RECORD_FORGETS_MAX)

/* Who gets news: so many links a copy at once, so many an offer a little later. */
#define FANOUT       3
#define FANOUT_OWN   8 /* of what we publish ourselves */
#define FANOUT_OFFER 16
#define OFFER_FRESH  64 /* of what is on its way, to a new neighbour: the newest */

/* Bounds of a link's queues; what doesn't fit is mended by the next descent. */
#define LINK_QUEUE_MAX  4096
#define LINK_WANT_MAX   4096
#define LINK_OFFER_MAX  512
#define LINK_RANGES_MAX 256
#define LINK_DEDUP      64  /* so many of the last queued are compared with a new one */
#define WANT_WINDOW     128 /* records asked for on a link and not come yet */
#define ASKED_SLOTS     512 /* a power of two */
#define NOTICES_MAX     64  /* conflicts not yet taken by the driver: the newest is dropped */
#define NEAR_NODES      64  /* a power of two: nodes that speak often are found without hashing */
#define NAME_BUCKETS    512 /* LIM_NODES in them: chains stay short */
#define NAME_TELLS_MAX  16  /* name conflicts told in one go */

/* A queue of record keys, growing up to a bound. */
struct keyq {
	uint64_t *v;
	size_t head, count, cap;
};

/* Something about a range of keys to be sent: our index of it, or the sums below a node of the
 * tree. */
enum range_kind { RANGE_SUMS, RANGE_KEYS, RANGE_ANSWER };
struct range {
	enum range_kind kind;
	unsigned level, index; /* RANGE_SUMS */
	uint64_t from, to;     /* the others */
};
struct rangeq {
	struct range *v; /* LINK_RANGES_MAX; NULL while empty */
	size_t head, count;
};

/* A node's link. */
struct link {
	struct list overlay; /* in gossip.overlay: records spread along it */
	struct list sending; /* in gossip.senders: has something to send and may */
	struct node *m;
	struct keyq news;   /* records to send, as news */
	struct keyq fill;   /* records to send that the peer lacks, with time */
	struct keyq offers; /* news to offer at offer_at */
	struct keyq wants;  /* keys to ask for */
	struct keyq buried; /* keys that the peer sent and we had dropped */
	struct keyq acks;   /* records of the peer's own that it sent: told that they are here */
	struct rangeq ranges;
	unsigned asked;   /* records asked for that have not come, since asked_at */
	uint64_t has_own; /* those of our records that the peer has: gossip_own.c's bits */
	bool startup;     /* from a time when we had no neighbours */
	ts_t used_until;  /* the peer uses it for records */
	ts_t check_at;    /* startup, used: is it so still? */
	ts_t heard_at;
	bool root_due;
	bool descend; /* roots differ and it is for us to begin, at descend_at */
	ts_t offer_at, asked_at, root_at, reply_at, descend_at;
	dur_t again;      /* the pause before roots that differ are compared again, */
	ts_t quiet_until; /* from the last time that they differed to this */
	ts_t window;      /* start of the pacing window */
	unsigned sent;    /* in that */
	ts_t blocked_to;  /* output waits for a window; TS_NEVER: it doesn't */
};

struct node {
	struct node_key key;
	bool self;
	bool known; /* a node record is there */
	bool left, forgotten;
	bool dismissed; /* forgotten while it was linked: it is not wanted, and not told so */
	bool alive;     /* as membership says */
	bool away; /* not alive: it said goodbye, perhaps for a moment; routed to until back_by */
	bool watched;  /* membership wants a link to it */
	bool listed;   /* membership knows it, in run listed_epoch */
	bool released; /* told so of its present link */
	bool was_up;   /* at the last node_refresh() */
	bool up_told;  /* to the driver */
	bool same_name;
	bool counted;   /* in gossip.nshown */
	uint8_t forged; /* records with false signatures that its run @epoch sent us, to FORGED_MAX */
	uint16_t lies_told; /* bits of enum gossip_lie, since lies_at */
	uint8_t rises;      /* of its epoch, since rises_at */
	/* Up to here and these: what every message looks at, so it stands together. */
	struct link *link;
	struct tq_node timer; /* always queued */
	ts_t dial_at;         /* TS_NEVER: not to be dialled */
	ts_t expire_at;       /* look whether its records are to be dropped */
	ts_t demand;          /* a link is wanted until then; TS_NEVER: not */
	ts_t retry_at;        /* want of memory; TS_NEVER: none */
	ts_t probation;       /* TS_NEVER: none */
	ts_t made;            /* when we met it */
	ts_t lies_at, rises_at;
	ts_t look_at;  /* a forger's next run is not looked for before */
	ts_t twice_at; /* nor whether it said two things under one version */
	char name[NODE_NAME_MAX + 1], version[32];
	uint64_t features, epoch, listed_epoch;
	struct ep *eps; /* NULL: none; few of the thousands that are known have many */
	size_t neps;
	struct ep seen; /* where its last link came from; family IP_NONE: never */
	struct list claims;
	struct gossip_prefix *prefixes; /* as of claims */
	size_t nprefixes;
	ts_t since;
	ts_t turned; /* when it came up, or went down */
	dur_t backoff;
	ts_t gone_since;                   /* not alive and no link; TS_NEVER: it isn't so */
	ts_t back_by;                      /* TS_NEVER: it is not away */
	uint64_t newest_epoch, newest_seq; /* the highest version among its records */
	unsigned news;                     /* pieces of news that it may still spread, */
	ts_t news_at;                      /* as of then */
	struct list updown, dials, hangups, releases, forgets;
	struct list by_name; /* in its bucket, while it is known */
};

/* One of the prefixes that we publish, and the record it stands in. */
struct own_prefix {
	struct gossip_prefix p;
	uint16_t sub;
};

struct own {
	uint64_t features;
	struct ep eps[LIM_ENDPOINTS_PER_NODE];
	size_t neps;
	struct own_prefix *prefixes;
	size_t nprefixes;
	uint16_t nsubs;  /* sub-keys of PREFIXES records ever used in this run */
	uint64_t needed; /* records that others need to route to us, a bit each */
	bool left;
	uint64_t epoch, seq;
	uint64_t want_epoch; /* 0: no jump under way */
	bool used_up;        /* our key published under the highest epoch */
	bool jump_asked;
	ts_t jump_at, republish_at;
	ts_t look_at;            /* a clone's address is not looked for before */
	ts_t jumps[CLONE_JUMPS]; /* when the last ones were, oldest first; TS_NEVER: not yet */
	ts_t clone_told;
	struct ep clone_ep;                        /* what a clone publishes as its address */
	struct record_forget forgets[FORGETS_OWN]; /* nodes that we were told to forget */
	size_t nforgets, forget_oldest;
	bool renew;                 /* publish the node record again: others forgot us */
	uint64_t forgotten_at_secs; /* so the driver is to be told; 0: not */
	struct node_key forgotten_by;
	ts_t forgotten_next; /* not again before */
	ts_t renew_at;       /* when to; TS_NEVER: not */
	ts_t renew_next;     /* the next time not before, but for the burst */
};

/* A node whose records were dropped, and how far they had come. */
struct grave {
	struct list all; /* oldest first */
	struct node_key key;
	uint64_t epoch, seq;
	ts_t at;
};

struct notice {
	enum gossip_act_type type;
	struct node_key node, other;
	char name[NODE_NAME_MAX + 1];
	struct gossip_prefix prefix;
	struct ep eps[2];
	size_t neps;
	uint64_t epoch;
	enum gossip_lie lie;
};

struct gossip {
	const struct identity *id;
	struct cluster_id cluster;
	char name[NODE_NAME_MAX + 1], version[32];
	struct prng prng;
	ts_t now;
	bool drained; /* nothing was told since gossip_next() had nothing to say */
	struct map *nodes;
	struct node *near[NEAR_NODES]; /* by a byte of the key: who was looked for last; or NULL */
	struct node *self;
	struct store *store;
	struct members *membership; /* NULL: full mesh */
	uint64_t attached;          /* the root that travels with membership's probes */
	struct claims claims;
	struct own own;
	struct timerq timers;
	struct map *graves; /* by key: struct grave */
	struct list graves_by_age;
	struct map *forgotten; /* by key: gossip_forget.c's */
	struct list forgotten_by_age;
	struct list overlay, senders, updown, dials, hangups, releases, forgets;
	ts_t dial_window; /* start of the second in which dials are counted */
	unsigned dialled;
	struct notice notices[NOTICES_MAX];
	size_t notice_head, notice_count;
	size_t nshown; /* nodes that are shown */
	uint8_t names_seed[16];
	struct list names[NAME_BUCKETS];
	ts_t names_at; /* next time to tell lasting name conflicts; TS_NEVER: none lasts */
	bool synced;   /* our store was the same as a peer's once: we are no joiner any more */
	ts_t fill_window;
	unsigned fill_sent;
	struct {
		uint64_t key;
		ts_t at;
	} asked[ASKED_SLOTS]; /* by the key's low bits: what was asked for or has come lately */
	struct gossip_stats stats;
	/* What gossip_next hands out, and working space too large for the stack. */
	struct notice told;
	struct ep dial_eps[LIM_ENDPOINTS_PER_NODE + 1];
	uint8_t tx[WIRE_CTL_BODY_MAX];
	uint8_t record[LIM_RECORD_BYTES], body[RECORD_BODY_MAX];
	struct gossip_prefix rows[RECORD_PREFIXES_MAX];
	struct record_forget forget_rows[RECORD_FORGETS_MAX];
	struct gossip_section section;
	struct gossip_want want;
	struct gossip_have have;
};

/* gossip.c */
/* Every public call that may change something begins with it. */
static inline void gossip_enter(struct gossip *g, ts_t now)
{
	g->now = now;
	g->drained = false;
}
void gossip_notice(struct gossip *g, const struct notice *n);

/* gossip_node.c */
struct node *node_get(const struct gossip *g, const struct node_key *key);
/* The same for one that speaks often. */
struct node *node_get_near(struct gossip *g, const struct node_key *key);
/* The member, made if unknown. NULL: *@err is ERR_FULL or ERR_NOMEM. */
struct node *node_make(struct gossip *g, const struct node_key *key, int *err);
void node_free(struct gossip *g, struct node *m);
/* Put a record whose signature was verified into the store, let it take effect and spread it. It
 * came from @from (NULL: it is ours), as news or as what we were found to lack. 0, ERR_MALFORMED
 * (body), or the errors of store_put: unchanged. */
int node_commit(
	struct gossip *g, const struct record *r, const struct node *from, bool news, ts_t now);
/* @m does what no honest node does: the driver is told, if it wasn't in the last minute. */
void node_lies(struct gossip *g, struct node *m, enum gossip_lie lie);
/* May @m spread one more piece of news now? node_said() once it has: what others forge in its name
 * takes nothing from it. */
bool node_may_say(struct node *m, ts_t now);
void node_said(struct node *m);
int node_link_up(struct gossip *g, struct node *m, const struct ep *ep, ts_t now);
void node_link_down(struct gossip *g, struct node *m, ts_t now);
/* Is it known, not gone, and alive? */
bool node_up(const struct node *m);
/* Not up, but said to be back soon: its prefixes stand. */
bool node_away(const struct node *m);
void node_forget(struct gossip *g, struct node *m, ts_t now);
void node_tick(struct gossip *g, struct node *m, ts_t now);
/* Set the member's timer to the earliest thing that it waits for. */
void node_arm(struct gossip *g, struct node *m);
/* Can a node be reached there from another host or, on loopback, from its own? */
bool node_ep_ok(const struct ep *e);
/* Is it a member that may be routed to? */
bool node_visible(const struct node *m);
/* Is it one that status shows? */
bool node_shown(const struct node *m);
/* Tell name conflicts that last. */
void node_names_tick(struct gossip *g, ts_t now);
/* Bring routes, the up state and dialling of @m in line with what is known of it. */
void node_refresh(struct gossip *g, struct node *m, ts_t now);

/* gossip_life.c */
int life_init(struct gossip *g, const struct gossip_cfg *cfg, const uint8_t seed[16], ts_t now);
void life_fini(struct gossip *g);
/* A link with @m is wanted for data. */
void life_demand(struct gossip *g, struct node *m, ts_t now);
/* Take what membership has to say. True: *@out is a datagram for a link. */
bool life_next(struct gossip *g, struct gossip_act *out);
/* Since when is @m gone? */
void life_refresh(struct node *m, ts_t now);
/* @m stopped and has not come back in time. */
void life_overdue(struct gossip *g, struct node *m, ts_t now);
/* It is gone for so long that its records may go too: true if they did, and @m with them. */
bool life_expire(struct gossip *g, struct node *m, ts_t now);
/* Is @m gone, for so long that what is said of it is history? */
bool life_gone(const struct node *m, ts_t now);
/* May this record of a node that we don't know come in? False: its node's records were dropped here,
 * and the peer that sends it holds the node for gone too (@gone). */
bool life_admit(struct gossip *g, const struct record *r, bool gone, ts_t now);
/* A peer has dropped the record with this key. */
void life_buried(struct gossip *g, uint64_t key, ts_t now);

/* gossip_forget.c */
int forget_init(struct gossip *g, const uint8_t seed[16]);
void forget_fini(struct gossip *g);
/* Is @m to be forgotten, now that it is as it is? */
void forget_refresh(struct gossip *g, struct node *m);
/* A FORGET record says this. */
void forget_heard(struct gossip *g, const struct node_key *by, const struct record_forget *v,
	size_t n, ts_t now);
/* A peer lets us know that it has forgotten us. */
void forget_told(struct gossip *g, ts_t now);
/* Tell everybody that @m, which is gone, was forgotten at that Unix time. */
void forget_say(struct gossip *g, const struct node *m, uint64_t unix_secs, ts_t now);
/* Our own FORGET record of an earlier life: go on saying it. */
void forget_adopt(struct gossip *g, const struct record *r, ts_t now);
bool forget_next(struct gossip *g, struct gossip_act *out);

/* gossip_own.c */
/* Publish what differs from what stands in the store. */
void own_publish(struct gossip *g, ts_t now);
int own_init(struct gossip *g, uint64_t epoch, ts_t now);
void own_fini(struct gossip *g);
/* A record of our own key from elsewhere, signature not yet verified. */
int own_seen(struct gossip *g, const struct record *r, struct node *from, ts_t now);
/* The peer of @l has record @e, which may be one of ours. */
void own_known(struct gossip *g, struct link *l, const struct store_entry *e);
/* The peer of @l has all that is in our sums. */
void own_known_summed(struct gossip *g, struct link *l);
/* Has the peer of @l what it needs to route to us, as we say it now? */
bool own_is_known(const struct gossip *g, const struct link *l);
/* Somebody else holds our key: tell it, at @ep if that is known, once a minute. */
void own_clone(struct gossip *g, const struct ep *ep, ts_t now);
void own_tick(struct gossip *g, ts_t now);
ts_t own_deadline(const struct gossip *g);
/* Is a new epoch to be asked for? Then *@epoch is it. */
bool own_next(struct gossip *g, uint64_t *epoch);

/* gossip_link.c */
struct link *link_new(struct gossip *g, struct node *m, ts_t now);
void link_free(struct link *l);
/* Is the link needed by us? */
bool link_needed(const struct gossip *g, const struct link *l);
/* Whether records spread along the link may have changed. */
void link_overlay(struct gossip *g, struct link *l);
/* Pass on a record that came from @from as link_recv() was told (NULL: it is ours). */
void link_spread(struct gossip *g, const struct store_entry *e, const struct node *from, bool news);
/* Is @r, which @m sent, signed by its node? Who told us of too many that weren't isn't listened to. Counts.
 * ERR_AUTH. */
int link_verify(struct gossip *g, struct node *m, const struct record *r, ts_t now);
/* Queue a record for one link: at once, or when there is time. */
void link_queue(struct gossip *g, struct node *m, uint64_t key);
/* Queue a record that the peer was found to lack. */
void link_fill(struct gossip *g, struct node *m, const struct store_entry *e);
/* Queue a key to be asked for. */
void link_want(struct gossip *g, struct node *m, uint64_t key);
/* The peer has this version of @key: no need to send or offer it. */
void link_has(struct link *l, uint64_t key);
int link_recv(struct gossip *g, struct node *m, const uint8_t *buf, size_t len, ts_t now);
void link_tick(struct gossip *g, struct node *m, ts_t now);
ts_t link_deadline(const struct link *l);
/* Write the next datagram of the link to g->tx; 0: nothing to send, or not now. */
size_t link_produce(struct gossip *g, struct node *m);
/* To be called after anything was given to a link to send. */
void link_stir(struct gossip *g, struct node *m);
/* The peer is one that we forgot: it is told so, and publishes something newer if it lives. */
void link_forgotten(struct gossip *g, struct node *m);
/* We published something: compare roots when it has settled. */
void link_changed(struct gossip *g, ts_t now);

/* gossip_sync.c; the receivers read what is behind the type byte, and return 0 or why the message
 * is bad */
int sync_recv_root(struct gossip *g, struct node *m, struct rd *r, ts_t now);
int sync_recv_sums(struct gossip *g, struct node *m, struct rd *r, ts_t now);
int sync_recv_keys(struct gossip *g, struct node *m, struct rd *r, ts_t now);
void sync_heard_root(struct gossip *g, struct node *m, uint64_t root, ts_t now);
void sync_tick(struct gossip *g, struct link *l, ts_t now);
ts_t sync_deadline(const struct link *l);
/* Write what l->ranges asks for, as much as one message holds. */
void sync_produce(struct gossip *g, struct link *l, struct wr *w);
/* The root of our tree, as of now. */
uint64_t sync_root(struct gossip *g);
/* Something came of comparing: look again soon. */
void sync_progress(struct link *l);

#endif
