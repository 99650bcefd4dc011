/* member.h - membership: who of the known nodes is alive (DESIGN 7.1; docs/membership.md).
 *
 * SWIM (Das, Gupta, Motivala, DSN 2002) with Lifeguard's local health (Dadgar, Phillips, Currey,
 * 2018) over a bounded overlay (the rings of Rapid, Suresh et al., ATC 2018). Which nodes exist the
 * caller says; which are alive, and which sessions to hold for that, this core says.
 *
 * An internal module of the gossip core, itself a core: sans-I/O, one thread. Call anything, drain
 * members_next(), re-arm members_deadline(). It sits on authenticated links that the caller
 * reports. Times never go back. Work per call is O(K log N), memory O(N). */
#ifndef WEFT_MEMBER_H
#define WEFT_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/id.h"
#include "weft/ts.h"
#include "weft/wire.h"
#include "key.h"

struct members;

#define MEMBER_RINGS     5                       /* K of DESIGN 7.1 */
#define MEMBER_MSG_MAX   (WIRE_CTL_BODY_MAX - 1) /* bytes; the caller puts a type byte before it */
#define MEMBER_EXTRA_MAX 32                      /* bytes, see members_attach */

/* Checks a signature as key_verify() does; for a simulator that shares what was verified. */
typedef int (*member_verify_fn)(void *ctx, const struct node_key *k, const char *label,
	const uint8_t *msg, size_t len, const uint8_t sig[64]);

struct members_cfg {
	const struct identity *id; /* kept */
	struct cluster_id
		cluster;         /* part of what is signed, and of where a node stands on a ring */
	uint64_t epoch;          /* of this run, above 0 */
	uint64_t seed;           /* jitter and choice of helpers */
	member_verify_fn verify; /* NULL: key_verify() */
	void *verify_ctx;        /* kept */
};

enum member_state {
	MEMBER_UNKNOWN, /* no such node */
	MEMBER_OK,      /* alive, as far as anybody says */
	MEMBER_DOUBTED, /* suspected: still routed to */
	MEMBER_GONE,    /* declared dead, until it is heard or heard of again */
	MEMBER_AWAY,    /* left in good order, until it comes back with a higher epoch */
};

enum member_act_type {
	MEMBER_NONE,
	MEMBER_SEND, /* node, buf, len: send to a linked node; lost datagrams are expected */
	/* node: hold a session with it, dial it if there is none. It is a neighbour in the
	 * overlay, or a dead node that is tried again. The caller keeps trying until UNWATCH */
	MEMBER_WATCH,
	MEMBER_UNWATCH, /* node: as far as membership goes its session may end */
	MEMBER_ALIVE,   /* node: new, or no longer suspected, dead or away */
	MEMBER_SUSPECT, /* node */
	MEMBER_DEAD,    /* node: declared dead; withdraw its routes */
	MEMBER_LEFT,    /* node: it said goodbye; withdraw its routes */
	MEMBER_REFUTE,  /* incarnation: others doubted us, and were told that we live */
	MEMBER_EXTRA,   /* node, buf, len: what it attached to its newest probe or answer */
	MEMBER_LIAR, /* node: its suspicions were refuted too often; they count no more for now */
};

struct member_act {
	enum member_act_type type;
	struct node_key node;
	uint64_t incarnation;
	const uint8_t *buf; /* borrowed until the next call of any members_ function */
	size_t len;         /* at most MEMBER_MSG_MAX */
};

/* A core that knows only itself. @cfg is borrowed but for what it says is kept. Returns owned;
 * NULL: no memory. */
struct members *members_new(const struct members_cfg *cfg, ts_t now);
void members_free(struct members *m); /* NULL is fine; says nothing to anybody */

/* @key is a node of this cluster, in its run @epoch as its newest record says (0: not known yet).
 * A new node counts as alive. A higher epoch than known brings a dead, suspected or left one back;
 * an equal or lower one changes nothing. ERR_FULL (LIM_NODES), ERR_NOMEM: unchanged. ERR_CONFLICT:
 * our own key. */
int members_node_add(struct members *m, const struct node_key *key, uint64_t epoch, ts_t now);
/* @key is no node any more (its lease ended, it was forgotten, its record says that it left). If
 * it was watched, MEMBER_UNWATCH follows; no other action. Unknown: nothing happens. */
void members_node_del(struct members *m, const struct node_key *key, ts_t now);
/* A session with @key stands, or ended. Adds a node that is not known, with epoch 0. A link that
 * comes up counts as hearing the node. Errors as members_node_add. */
int members_link(struct members *m, const struct node_key *key, bool up, ts_t now);
/* Something authentic came from @key: data or control. A node heard in the last
 * LIM_MEMBER_HEARD_SECS is never declared dead here; a dead one comes back at once. To be called
 * at most a few times a second and node; members_recv does it by itself. */
void members_heard(struct members *m, const struct node_key *key, ts_t now);
/* One message from a linked node. Borrows @buf. ERR_TRUNCATED, ERR_MALFORMED: what was read until
 * then was used; ERR_AUTH: a signature in it is false; ERR_NOT_FOUND: @from is not known;
 * ERR_LIMIT: @from said more than it may; ERR_RANGE: a fact in it has an epoch or incarnation that no node
 * comes to; ERR_NOMEM. All counted, none harms the core. */
int members_recv(
	struct members *m, const struct node_key *from, const uint8_t *buf, size_t len, ts_t now);
/* To be called when members_deadline() has come. If that was much too late, this node itself was
 * stalled: then it judges nobody until what waits in its sockets had time to be read. */
void members_tick(struct members *m, ts_t now);
/* When to call members_tick() next. Holds after members_next() was drained. */
ts_t members_deadline(const struct members *m);
/* Take the next action; false: none, *@out is zeroed. States are told as differences to what was
 * told before. */
bool members_next(struct members *m, struct member_act *out);
/* We go: neighbours are told, and tell it on. Drain and send before the sessions are closed. Every
 * later call is harmless; only sends follow. */
void members_leave(struct members *m, ts_t now);
/* @key said goodbye and has not come back: from now on it is dead like others, so that those hear of it who
 * were not there. Nothing, if it isn't away. */
void members_overdue(struct members *m, const struct node_key *key, ts_t now);
/* Our epoch was raised (DESIGN 7.3): the incarnation starts anew. Lower or equal: ignored. */
void members_set_epoch(struct members *m, uint64_t epoch, ts_t now);
/* @len <= MEMBER_EXTRA_MAX bytes at @buf (copied) travel on each probe and answer from now on, to
 * be told there as MEMBER_EXTRA. Meant for the root of a hash tree, say. 0: nothing. */
void members_attach(struct members *m, const uint8_t *buf, size_t len);

/* For status. MEMBER_UNKNOWN if there is no such node; ourselves: MEMBER_OK. */
enum member_state members_state(const struct members *m, const struct node_key *key);
/* Is @key a neighbour in the overlay? */
bool members_is_neighbour(const struct members *m, const struct node_key *key);
/* Walk the neighbours, linked or not: start with *@it = 0; NULL at the end. */
const struct node_key *members_neighbour_next(const struct members *m, size_t *it, bool *linked);

struct members_stats {
	/* now */
	uint64_t nodes;     /* known, we included */
	uint64_t alive;     /* of these: alive or suspected, we included */
	uint64_t suspected; /* of these: suspected */
	uint64_t dead, left;
	uint64_t neighbours, neighbours_linked;
	uint64_t local_health; /* 0: well; each step stretches our own time limits once more */
	uint64_t liars;        /* nodes whose suspicions do not count at present */
	bool storm;            /* a good part of the members is suspected at once */
	uint64_t incarnation;  /* our own */
	/* since start */
	uint64_t storms;
	uint64_t suspicions;     /* nodes that became suspected here */
	uint64_t own_suspicions; /* of these: by our own failed probes */
	uint64_t refutations;    /* suspicions or deaths taken back by the subject itself */
	uint64_t deaths;
	uint64_t false_alarms;  /* deaths taken back without a new epoch */
	uint64_t self_refutes;  /* how often we had to say that we live */
	uint64_t held_by_heard; /* deaths put off since we hear the node ourselves */
	uint64_t stalls;        /* times this node was called much too late */
	uint64_t bridges;       /* nodes called because too few neighbours answered */
	uint64_t probes, acks, indirect, facts_tx, facts_rx, facts_new;
	uint64_t rx_bad;        /* malformed */
	uint64_t rx_forged;     /* false signatures */
	uint64_t rx_future;     /* epochs and incarnations that no node comes to */
	uint64_t rx_foreign;    /* suspicions by nodes that do not watch the subject */
	uint64_t rx_limited;    /* notices beyond a link's allowance, goodbyes too often */
	uint64_t rx_liar;       /* suspicions that were ignored since a liar said them */
	uint64_t facts_dropped; /* LIM_MEMBER_FACTS */
};
void members_stats(const struct members *m, struct members_stats *out);

#endif
