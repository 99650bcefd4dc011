/* owner.h - which prefixes are this node's, and which blocks of the ranges are free (DESIGN 7.5, 7.6).
 *
 * Sans-I/O, one thread, the usual core shape: call anything, drain owner_next(), re-arm
 * owner_deadline(). It speaks to nobody: the driver tells it what the mesh publishes
 * (owner_node_set), and publishes what it says (OWNER_PUBLISH, owner_published). Who wins a conflict
 * is decided where the records are, by one order on every node; this core is told (owner_objection).
 *
 * A prefix is handed in by an orchestrator, stands in the configuration, or is claimed: a free block of
 * a range is chosen at random, published, and used when it stood so for the objection time. */
#ifndef WEFT_OWNER_H
#define WEFT_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/bounds.h"
#include "weft/id.h"
#include "weft/ts.h"

/* By which right a prefix is owned, the lower the stronger; the numbers of the records. */
enum owner_right { OWNER_BY_ORCHESTRATOR = 1, OWNER_BY_CONFIG = 2, OWNER_BY_CLAIM = 3 };

struct owner_prefix {
	uint32_t vni;
	struct pfx pfx;
	uint8_t right;       /* enum owner_right; others' may be any number */
	uint64_t since_secs; /* Unix time at which it was first published; 0: not known */
	bool moot;           /* another node's, without force (gossip.h): takes no room */
};

struct owner;

struct owner_tune {
	dur_t objection; /* a claim is used when it stood published for so long; 2 s */
	dur_t mesh_wait; /* how long a node that has seeds waits for the mesh before it claims; 8 s */
	dur_t settle;    /* nothing new was heard for so long: the records are here; 1 s */
	dur_t retry;     /* until an exhausted range is looked at again; 30 s */
	dur_t lease;     /* 24 h */
	dur_t save_every; /* how exactly the file says when this node was last alive; 1 h */
};
void owner_tune_default(struct owner_tune *t);

struct owner_cfg {
	struct node_key self;
	uint64_t seed;      /* of choices and jitter */
	uint64_t unix_secs; /* the wall clock at the time of owner_new */
	bool seeds;         /* there are nodes to find the mesh by: wait for them before claiming */
	struct owner_tune tune;
};

/* Returns owned; NULL: no memory. @cfg is borrowed. */
struct owner *owner_new(const struct owner_cfg *cfg, ts_t now);
void owner_free(struct owner *o); /* NULL is fine */
/* The wall clock was set: claims made from now on are dated by it. */
void owner_set_wall(struct owner *o, uint64_t unix_secs, ts_t now);

/* --- what this node wants; the first three before owner_restore --- */

/* A range that blocks are claimed from. ERR_RANGE (no family, bits past the length), ERR_FULL
 * (LIM_OWN_RANGES), ERR_NOMEM. */
int owner_range_add(struct owner *o, uint32_t vni, const struct pfx *range);
/* A prefix of the configuration. Used and published at once. ERR_RANGE; ERR_EXISTS: it overlaps another
 * own one; ERR_FULL (LIM_PREFIXES_PER_NODE); ERR_NOMEM. */
int owner_config_add(struct owner *o, uint32_t vni, const struct pfx *p, ts_t now);
/* Claim a block of @len bits. @tag is the driver's, told with the prefix. ERR_NOT_FOUND: no range of
 * that segment and family is that large; ERR_FULL (LIM_OWN_WANTS); ERR_NOMEM. */
int owner_want(
	struct owner *o, uint32_t vni, enum ip_family family, unsigned len, uint16_t tag, ts_t now);
/* The pods' addresses of @vni and @family are used up: claim another block, as large as the first one
 * that was wanted there. ERR_NOT_FOUND: none was wanted there; ERR_BUSY: one is on its way (or waits
 * for the range to have room); ERR_FULL: LIM_OWN_EXTRA; ERR_NOMEM. */
int owner_want_more(struct owner *o, uint32_t vni, enum ip_family family, ts_t now);
/* The orchestrator's list (borrowed) replaces what it gave before; those that are in both go on
 * undisturbed, since_secs and right are not looked at. A claim that one of them overlaps is given up.
 * ERR_RANGE; ERR_EXISTS: two of them overlap, or one overlaps a configured one (*@bad, if not NULL, is
 * its index); ERR_FULL (LIM_PREFIXES_PER_NODE); ERR_NOMEM: unchanged. */
int owner_orchestrator_set(
	struct owner *o, const struct owner_prefix *v, size_t n, size_t *bad, ts_t now);
/* This host can't use an own prefix (something else has its addresses). Of a claim another block is chosen,
 * and never that one. One of the orchestrator's is not published while it is so; OWNER_USE is told again after
 * 10 s, and if that isn't refused it is published. ERR_NOT_FOUND: neither of the two. */
int owner_refuse(struct owner *o, uint32_t vni, const struct pfx *p, ts_t now);

/* --- what the mesh says --- */

/* Another's stronger claim overlaps our published @p: a claim is given up and another block chosen;
 * any other prefix is lost until owner_undisputed. To be told when it happens, with whom, and whenever
 * the driver looks and it is so (@by NULL): what happened while the driver didn't listen counts too.
 * ERR_NOT_FOUND: no such prefix is ours. */
int owner_objection(
	struct owner *o, uint32_t vni, const struct pfx *p, const struct node_key *by, ts_t now);
/* Nobody disputes @p any more. ERR_NOT_FOUND. */
int owner_undisputed(struct owner *o, uint32_t vni, const struct pfx *p, ts_t now);

enum owner_node_state {
	OWNER_ALIVE,
	OWNER_DEAD, /* declared dead, or known by its records alone: its lease runs */
	OWNER_LEFT, /* said goodbye: its lease runs, but it is not missing */
};
/* What is known of another node, in place of what was known (@v borrowed). ERR_FULL (LIM_NODES,
 * LIM_PREFIXES_PER_NODE), ERR_RANGE (our own key), ERR_NOMEM: unchanged. */
int owner_node_set(struct owner *o, const struct node_key *key, enum owner_node_state state,
	const struct owner_prefix *v, size_t n, ts_t now);
/* The orchestrator says that a node was deleted (@deleted): its lease ends at once, or as soon as it goes; once,
 * so that one which comes back after that is a node like others. Or that it exists after all: not so any
 * more; what has ended stays so. ERR_NOT_FOUND: nobody, harmless. */
int owner_deleted(struct owner *o, const struct node_key *key, bool deleted, ts_t now);
/* Its records are gone, or it was forgotten: its lease ends at once. Our own key: others were told to forget
 * us, so what we claim counts as claimed now. ERR_NOT_FOUND: nobody, harmless. */
int owner_forgotten(struct owner *o, const struct node_key *key, ts_t now);

/* --- what it does --- */

enum owner_act_type {
	OWNER_NONE,
	OWNER_UNUSE,     /* own: take it out of service */
	OWNER_SAVE,      /* write owner_encode() to the disk, before what follows */
	OWNER_PUBLISH,   /* owner_published() changed */
	OWNER_USE,       /* own: put it in service */
	OWNER_EXHAUSTED, /* vni, family, len: no block is free; told once until one was */
	OWNER_LEASE_END, /* node: its prefixes may be given out */
};
/* An own prefix, for the driver and for status. */
struct owner_own {
	struct owner_prefix p;
	enum { OWNER_WAITING, OWNER_IN_USE, OWNER_LOST, OWNER_REFUSED } state;
	uint16_t tag;       /* of the want; claims only */
	bool extra;         /* taken by owner_want_more */
	ts_t usable_at;     /* of a waiting one; of a refused one: when it is tried again */
	struct node_key by; /* to whom it is lost */
};
struct owner_act {
	enum owner_act_type type;
	struct owner_own own;
	struct node_key node;
	uint32_t vni;
	enum ip_family family;
	unsigned len;
};

/* To be called when owner_deadline() has come; early or late is harmless. */
void owner_tick(struct owner *o, ts_t now);
ts_t owner_deadline(const struct owner *o);
/* Take the next action; false: none, *@out is zeroed. */
bool owner_next(struct owner *o, struct owner_act *out);
/* Walk what is to be published: start with *@it = 0; false at the end. */
bool owner_published(const struct owner *o, size_t *it, struct owner_prefix *out);

/* --- the disk --- */

/* What must outlive a restart: claims, their age, the orchestrator's list, when this node was last
 * alive. Returns owned in *@buf. ERR_NOMEM. */
int owner_encode(struct owner *o, ts_t now, uint8_t **buf, size_t *len);
/* Take it back, once, before the first tick. Claims that are still wanted go on at once, with their
 * age, if they had stood; if not, or if the node was away for as long as a lease, they are claimed anew,
 * the same block if it is free.
 * What the configuration has no place for is dropped. ERR_FOREIGN: another node's (a copied disk);
 * ERR_TRUNCATED, ERR_MALFORMED: nothing is taken; ERR_NOMEM: perhaps a part. */
int owner_restore(struct owner *o, const uint8_t *buf, size_t len, ts_t now);

/* --- status --- */

/* Own prefixes, wants that have no block yet not among them. */
bool owner_own_next(const struct owner *o, size_t *it, struct owner_own *out);
/* Wants without a block: why. */
struct owner_want_info {
	uint32_t vni;
	enum ip_family family;
	unsigned len;
	bool exhausted; /* else it waits for the mesh */
	ts_t next;      /* next try */
};
bool owner_want_next(const struct owner *o, size_t *it, struct owner_want_info *out);
struct owner_node_info {
	struct node_key key;
	enum owner_node_state state;
	bool ended;                          /* its lease ran out, or was ended */
	dur_t lease_left;                    /* if neither alive nor ended */
	const struct owner_prefix *prefixes; /* borrowed until the next change */
	size_t nprefixes;
};
bool owner_node_next(const struct owner *o, size_t *it, ts_t now, struct owner_node_info *out);
/* A range in blocks of @unit bits: each block is counted once, by the strongest hold on it. */
struct owner_range_info {
	uint32_t vni;
	struct pfx range;
	unsigned
		unit; /* the length that is claimed there, else 24 (IPv4) or 64, at least the range's */
	uint64_t size, owned, leased, ended, free; /* at most 2^63 blocks are looked at */
};
/* The @i-th range. ERR_NOT_FOUND past the end, ERR_NOMEM. */
int owner_range_at(const struct owner *o, size_t i, struct owner_range_info *out);

struct owner_stats {
	uint64_t claims;                      /* blocks chosen since the start */
	uint64_t objections;                  /* claims given up because another's was stronger */
	uint64_t refused;                     /* claimed blocks that this host could not use */
	uint64_t leases_ended;                /* that ran out */
	size_t own, waiting, lost, exhausted; /* now; exhausted: wants that no range has room for */
	size_t unusable;                      /* now: of the orchestrator's, refused by this host */
	size_t members, missing;              /* that count for the pause; this node included */
	size_t leases;                        /* that run */
	bool paused;                          /* leases stand still */
};
void owner_stats(const struct owner *o, struct owner_stats *out);

#endif
