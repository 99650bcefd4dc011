/* peers.h - the nodes that the data plane knows, by a handle of the daemon's own (dp.h).
 *
 * A handle stands for a node key for as long as something needs it: a route to a prefix of the node,
 * its control address, a session with it or keys of one that is being made. So handle and routes
 * outlive sessions, and a packet for a node without one waits under its handle until there is one.
 *
 * The session core has handles of its own, which end with each session: peers_session() leads from
 * those to here, peer.sess back. Nobody but mesh.c should have to do with them. Everything belongs to
 * the control thread. Bound: LIM_PEERS handles. */
#ifndef WEFT_PEERS_H
#define WEFT_PEERS_H

#include <stdbool.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/id.h"
#include "weft/ts.h"

struct daemon;
struct peers;

struct peer {
	struct node_key key;
	uint32_t handle;           /* 1..LIM_PEERS-1 */
	uint32_t sess;             /* handle of the session core; 0: neither session nor keys */
	bool up;                   /* a session stands, */
	ts_t up_since;             /* since then */
	bool control;              /* its control address is routed */
	bool foreign;              /* a gateway of another cluster, */
	struct cluster_id cluster; /* that one (link_svc.h) */
	unsigned keys;             /* of its session, in the data plane */
	uint32_t first_key;  /* index of the one that seals once the session is up; 0: none waits */
	unsigned routes;     /* entries of rtab that are installed */
	unsigned outer_mtu;  /* of the way in use, as probes found; 0: unknown; */
	unsigned inner_mtu;  /* what is left of it inside */
	bool halves;         /* IPv6 packets of 1280 don't fit, and travel in two */
	uint8_t relays;      /* on the way in use; 0: direct */
	uint64_t side_ports; /* bit n: worker n's own source port works */
	struct ep ep;        /* where its session is, or was last; family IP_NONE: there was none */
	ts_t last_rx;        /* data came, ns 0: never; */
	ts_t last_data;      /* or went: as the last look each second found */
};

/* Returns owned in *@out. ERR_NOMEM. */
int peers_new(struct daemon *d, struct peers **out);
void peers_free(struct peers *t); /* NULL is fine; the data plane's peers are its own to free */
/* NULL: not in the table. */
struct peer *peers_find(const struct daemon *d, const struct node_key *key);
struct peer *peers_at(const struct daemon *d, uint32_t handle);
struct peer *peers_session(const struct daemon *d, uint32_t sess);
/* The one with @key, made if there is none, in the data plane too. NULL: no memory or LIM_PEERS, told
 * to the operator. What it is needed for is to be noted in it before the next peers_settle(). */
struct peer *peers_need(struct daemon *d, const struct node_key *key);
/* @p has the session (or the beginnings of it) @sess; 0: none any more. */
void peers_bind(struct daemon *d, struct peer *p, uint32_t sess);
/* Something that needed @p is gone. If it was the last, @p is freed, in the data plane too. */
void peers_settle(struct daemon *d, struct peer *p);
/* Walk in the order of handles: *@it = 0 first; false at the end. The one just returned may be
 * settled. */
bool peers_next(const struct daemon *d, uint32_t *it, struct peer **out);

#endif
