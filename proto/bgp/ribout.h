/* ribout.h - Adj-RIB-Out: what is announced to groups of peers that are to hear the same. */
#ifndef WEFT_RIBOUT_H
#define WEFT_RIBOUT_H

#include "list.h"
#include "rib.h"

struct bgp_peer;

#define OUT_SEEN   0x02u /* while the paths of a net are gone through */
#define OUT_MIXED  0x01u /* has had more than one source since it was made */
#define OUT_WIDE   0x04u /* it is a struct wide_out */
#define OUT_MARKER 0x08u /* no entry: a peer's marker, or the head of a group's log */

/* An element of a group's log, mostly the announcement of one net to that group: it stands at the place
 * of its last change. Linked by numbers of bgp.outs, or bgp.wide_outs (REF_SECOND). */
struct out {
	struct attr_set *attr; /* held; NULL: withdrawn */
	uint32_t prev, next;
	uint32_t net;
	uint32_t nnext;   /* next entry of the same net */
	uint16_t pending; /* markers that have not come past it yet */
	uint16_t from;    /* the source, which is not told its own route */
	uint16_t group;
	uint8_t flags;
};

/* In groups with add_path. */
struct wide_out {
	struct out o;
	uint32_t id; /* path_tx_id() */
};

/* Peers of one group hear the same, but for what they said themselves. */
struct group_key {
	uint32_t vni;
	uint8_t family;
	bool ebgp, rr_client, next_hop_self, gshut;
	bool v4_over_v6;  /* RFC 8950 */
	uint8_t add_path; /* so many paths, with identifiers (RFC 7911); 0: the best, without */
	bool replace_as, remove_private, as_override;
	uint8_t role;       /* enum bgp_role, ours */
	uint32_t local_as;  /* what we are to them */
	uint32_t remote_as; /* 0 unless the path depends on it */
	struct ip next_hop; /* self, of the family */
	struct bgp_policy export;
};

struct bgp_group {
	uint16_t id;
	struct group_key key;
	struct rib *rib;
	uint32_t log;        /* the head of a ring of struct out, oldest change first */
	struct list members; /* of peer_out.in_group */
	uint16_t npeers;     /* markers in the log, those of former members included */
	uint16_t active;     /* members that don't move to another group */
	uint16_t coming;     /* peers that move to this one */
	uint32_t leavers;    /* markers of former members on their way to the end, by nnext */
	bool awake;          /* all members are among the senders already */
	bool failed;
	bool dying;   /* nobody is left, and the entries go in portions */
	bool filling; /* the table from bucket fill_at on is still to be exported */
	size_t fill_at;
	uint32_t live;
	/* The last export that no policy changed: most routes of an UPDATE share it. */
	struct attr_set *cache_in, *cache_out;
	uint16_t cache_from;
	uint32_t live_from[LIM_BGP_PEERS + 1]; /* of live, by source */
};

/* A peer's place in one family's log. */
struct peer_out {
	uint32_t marker; /* in the log of its group */
	struct list in_group;
	struct bgp_group *group; /* NULL: the family is not negotiated */
	struct bgp_peer *peer;
	struct bgp_group *next; /* on the way to another one: nothing is sent meanwhile */
	uint32_t next_marker;   /* there */
	uint32_t carried; /* marker in the log of group: what is in front of it was carried over */
	bool rewinding;   /* the marker is on its way to the head: nothing is sent either */
	bool at_end;
	bool paused;     /* see ribout_emit() */
	bool rewound;    /* nothing was sent since the start or the last rewind */
	bool begin, end; /* BoRR, EoRR are due (RFC 7313 4) */
	bool eor;        /* End-of-RIB is due (RFC 4724 2) */
};

static inline uint32_t out_id(const struct out *o)
{
	return o->flags & OUT_WIDE ? ((const struct wide_out *)(const void *)o)->id : 0;
}

/* Let @po join the group of @key, made if need be: its whole table is due, as ribout_work() comes to
 * it. If it is in another group, it moves, and is told what is no longer announced; if it is in this one
 * already, that is exported again for all members. ERR_NOMEM: the peer must be closed. */
int ribout_join(struct bgp *b, struct peer_out *po, const struct group_key *key);
void ribout_leave(struct bgp *b, struct peer_out *po); /* harmless if in none */
/* Everything is due again, once the marker is at the head. */
void ribout_rewind(struct bgp *b, struct peer_out *po);
/* The best path of @n changed: bring all groups of its table up to date. A group for which there
 * was no memory is marked as failed: its members must be closed, since they were not told.
 * @label_changed: tell it again even if the attributes are the same. */
void ribout_update(struct bgp *b, struct rib *r, struct net *n, bool label_changed);
/* A portion of what is done to whole tables and logs, about @n prefixes or entries. False: there is
 * nothing to do. A group without memory is marked as failed, as in ribout_update(). */
bool ribout_work(struct bgp *b, unsigned n);
/* A peer that must be closed since the group of that number has failed; NULL: none. */
struct peer_out *ribout_failed(struct bgp *b, unsigned group);
/* Write UPDATEs that are due into @w, as many as fit whole, at most @max_msgs; returns their number. 0:
 * nothing is due (at_end), nothing fits, or so much was passed of what need not be told that it is
 * somebody else's turn (paused). */
unsigned ribout_emit(struct bgp *b, struct peer_out *po, struct wr *w, unsigned max_msgs);
/* What an update of @n will touch is on its way into the cache: its first entry; called once more, when
 * that has come, what that entry names. */
void ribout_warm(const struct bgp *b, const struct net *n);
void ribout_warm_more(const struct bgp *b, const struct net *n);
/* The entries of a net, of all groups. */
const struct out *ribout_first(const struct bgp *b, const struct net *n);
const struct out *ribout_next(const struct bgp *b, const struct out *o);
/* Entries that @po's peer has been or will be told. */
uint32_t ribout_announced(const struct peer_out *po);

#endif
