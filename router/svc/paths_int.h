/* paths_int.h - what paths.c and paths_show.c share. */
#ifndef WEFT_PATHS_INT_H
#define WEFT_PATHS_INT_H

#include "weft/bounds.h"
#include "loop.h"
#include "map.h"
#include "path_back.h"
#include "paths.h"

#define LOCALS_MAX 64

/* What the driver keeps per node, beside the core's own. */
struct node {
	struct node_key key;
	uint64_t seen; /* the round in which gossip last knew it */
	bool wanted;   /* a session, until */
	ts_t want_until;
	bool dialling; /* PATH_CONNECT: dial_ep, or through dial_route */
	struct ep dial_ep;
	struct path_route dial_route;
	uint64_t side_off;  /* bit n: the core turned off worker n's own source port */
	struct ep observed; /* how it sees us, as the core was told; */
	dur_t rtt;          /* the same for the round trip */
};

struct paths {
	struct path *core;
	struct map *nodes; /* label to struct node, owned */
	struct path_backs *backs;
	struct loop_timer *links; /* runs while links are in use */
	bool watching;
	struct ip locals[LOCALS_MAX]; /* addresses of this host as they were looked at last */
	int nlocals;
	uint64_t round;
	uint64_t unreachable; /* rounds in which no way to a node was found */
	uint64_t no_way;      /* datagrams through relays that there was no way for any more */
	uint8_t tx[UINT16_MAX];
};

/* NULL: not known. */
struct node *paths_find(const struct paths *x, const struct node_key *key);

#endif
