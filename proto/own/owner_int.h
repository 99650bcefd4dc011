/* owner_int.h - what the files of proto/own share. */
#ifndef WEFT_OWNER_INT_H
#define WEFT_OWNER_INT_H

#include "list.h"
#include "map.h"
#include "owner.h"
#include "prng.h"
#include "timerq.h"

/* A wanted block. */
struct want {
	uint32_t vni;
	enum ip_family family;
	unsigned len;
	uint16_t tag;
	bool extra;
	struct own *have;  /* NULL: none yet */
	struct pfx prefer; /* family IP_NONE: none */
	ts_t try_at;       /* while it has none */
	bool exhausted, exhausted_told;
};

/* An own prefix. */
struct own {
	struct list in_own;
	struct owner_own is;
	bool used_told; /* OWNER_USE was told last */
	bool again;     /* refused, and to be tried again now */
	bool doomed;    /* ours no more: to be freed when OWNER_UNUSE was told */
};

/* Another node. */
struct node {
	struct node_key key;
	enum owner_node_state state;
	bool ended, end_told;
	bool deleted;           /* lives, and its lease ends when it goes the next time */
	struct tq_node lease;   /* in the time of the lease clock */
	struct owner_prefix *v; /* owned */
	size_t n;
};

struct range {
	uint32_t vni;
	struct pfx pfx;
};

struct owner {
	struct node_key self;
	struct owner_tune tune;
	struct prng prng;
	uint64_t unix_secs; /* at unix_at */
	ts_t unix_at;

	struct range *ranges; /* owned */
	size_t nranges;
	struct want wants[LIM_OWN_WANTS];
	size_t nwants;
	struct list own;                   /* struct own */
	size_t nown;                       /* not doomed */
	struct range avoid[LIM_OWN_AVOID]; /* a ring */
	size_t navoid, avoid_next;

	struct map *nodes;
	size_t alive, missing, running; /* running: leases */
	struct timerq leases;
	ts_t lease_clock; /* stands still while too many are missing */
	ts_t lease_seen;  /* when it was last brought up to date */
	bool paused;
	ts_t cut_since; /* TS_NEVER: we see enough of the others */

	bool met;      /* another member is, or was, alive */
	ts_t met_at;   /* when the first one was */
	ts_t claim_at; /* no block is chosen before */
	bool ready;    /* that time has come */
	ts_t save_at;
	bool save, publish, changed;
	/* It was refused before; to be published if OWNER_USE, just told, isn't refused. */
	struct own *tried;
	size_t ends; /* nodes with an OWNER_LEASE_END to tell */
	ts_t deadline;
	struct owner_stats stats;
};

/* owner.c */
uint64_t owner_unix(const struct owner *o, ts_t now);
/* Claims are dated anew: others may have given our blocks out. */
void owner_redate(struct owner *o, ts_t now);
/* Room came up in some range: wants that found none look again. */
void owner_room(struct owner *o, ts_t now);
/* Give a claim up and choose again. */
void owner_drop_claim(struct owner *o, struct own *c, ts_t now);
/* Make an own prefix. NULL: no memory. */
struct own *owner_own_new(struct owner *o, const struct owner_prefix *p);
void owner_own_drop(struct owner *o, struct own *c);
struct want *owner_want_of(struct owner *o, const struct own *c);
/* The own prefix that overlaps @p, or NULL. */
struct own *owner_overlapping(const struct owner *o, uint32_t vni, const struct pfx *p);
int owner_want_make(struct owner *o, const struct want *w);
/* Work out the deadline; each call that changed something ends with it. */
void owner_arm(struct owner *o);
bool owner_pfx_ok(uint32_t vni, const struct pfx *p);

/* owner_node.c */
void owner_lease_clock(struct owner *o, ts_t now);
void owner_lease_tick(struct owner *o, ts_t now);
ts_t owner_lease_deadline(const struct owner *o);
void owner_nodes_free(struct owner *o);
/* Does a node that lives, or whose lease runs, hold something that overlaps @p? */
bool owner_held(const struct owner *o, uint32_t vni, const struct pfx *p);

/* owner_space.c */
/* A free block for @w, chosen at random; unclaimed space before what dead nodes had. ERR_NOT_FOUND:
 * none; ERR_NOMEM. */
int owner_choose(struct owner *o, const struct want *w, struct pfx *out);

/* owner_state.c */
/* Is there anything that must outlive a restart? */
bool owner_keeps(const struct owner *o);

#endif
