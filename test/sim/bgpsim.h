/* bgpsim.h - clusters joined by links, in virtual time: the cores of BGP and of links and the glue of
 * router/lbgp, all the daemon's own, over simulated ordered streams (docs/simulator.md).
 *
 * A run starts all clusters at once, lets them converge, then does each fault of a list in turn: what
 * fails, a time of quiet, its repair, a time of quiet. Same configuration, same digest. */
#ifndef WEFT_BGPSIM_H
#define WEFT_BGPSIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/ts.h"

#define BGPSIM_CLUSTERS_MAX 32
#define BGPSIM_NODES_MAX    256

/* How clusters are linked; each has at most LIM_LINKS links. */
enum bgpsim_shape {
	BGPSIM_LINE,
	BGPSIM_RING,
	BGPSIM_TREE, /* drawn: each to an earlier one */
	BGPSIM_MESH, /* a ring and as many links again, drawn */
	BGPSIM_SHAPES,
};

enum bgpsim_transit {
	BGPSIM_NO_TRANSIT,
	BGPSIM_SOME, /* clusters drawn let others pass, at least one */
	BGPSIM_ALL,
};

/* Invariants. "Quiet" is the end of the time that follows a fault or a repair. */
enum bgpsim_check {
	/* What policy and the links that work allow is reached within the bound after a fault, from
	 * each node, in both families, with its source checked at each hop. */
	BGPSIM_REACH,
	BGPSIM_LOOP,    /* no packet turns in a circle for longer than LOOP_BOUND */
	BGPSIM_OWNER,   /* a packet that arrives arrives at a node of the cluster it is for */
	BGPSIM_LEAK,    /* no route is told over a link, or used, that policy forbids; at no time */
	BGPSIM_GHOST,   /* when quiet, no route leads to what can't be reached */
	BGPSIM_SESSION, /* when quiet, whoever should speak with another does */
	BGPSIM_COUNT,   /* a fault and its repair cost no more UPDATEs than the bound */
	BGPSIM_SPIN,    /* time goes on */
	BGPSIM_CHECKS,
};

/* Bugs that a test plants, in one node or all. */
enum bgpsim_plant {
	BGPSIM_SOUND,
	BGPSIM_PLANT_LOST,    /* withdrawals don't reach a node's table */
	BGPSIM_PLANT_MUTE,    /* an UPDATE in three is swallowed on its way */
	BGPSIM_PLANT_CIRCLE,  /* a gateway sends what is for others to its colleague */
	BGPSIM_PLANT_CLAIM,   /* a cluster announces another's range, and nobody filters */
	BGPSIM_PLANT_LEAK,    /* a gateway tells all it knows over its links */
	BGPSIM_PLANT_DEAF,    /* a node never dials again */
	BGPSIM_PLANT_CHATTER, /* a gateway asks for all routes ten times a second */
	BGPSIM_PLANT_SPIN,    /* a node is always due */
};

/* Kinds of faults. */
#define BGPSIM_F_NODE    0x01u /* each node that is no gateway crashes and comes back */
#define BGPSIM_F_GATEWAY 0x02u /* each gateway does */
#define BGPSIM_F_STOP    0x04u /* each gateway stops cleanly and starts */
#define BGPSIM_F_LINK    0x08u /* each link between two clusters is cut as a whole */
#define BGPSIM_F_PATH    0x10u /* each path between two gateways of a link is cut */
#define BGPSIM_F_RESET   0x20u /* each BGP connection is reset */
#define BGPSIM_F_FLAP    0x40u /* each link fails and works again, FLAPS times */
#define BGPSIM_F_ALL     0x7fu

struct bgpsim_cfg {
	unsigned clusters, nodes, gateways; /* nodes of each cluster, gateways among them */
	enum bgpsim_shape shape;
	enum bgpsim_transit transit;
	bool split; /* each link is held by one gateway of each side; else by all */
	uint64_t seed;
	unsigned faults; /* set of BGPSIM_F_* */
	unsigned every;  /* do each so many-th fault of a kind; 0: all */
	enum bgpsim_plant plant;
	unsigned off;                    /* set of checks not made, a bit each */
	void (*trace)(const char *line); /* each event as text; NULL: none */
};
/* 20 clusters of 5 nodes with 2 gateways each, a ring, no transit, all faults, seed 1. */
void bgpsim_default(struct bgpsim_cfg *cfg);

/* Of one kind of fault. Times run from the fault, and from its repair, until all is right again for
 * good; UPDATEs are those written by all nodes from the fault until quiet after the repair. */
struct bgpsim_kind {
	const char *name;
	unsigned count;
	dur_t fail_max, repair_max; /* longest */
	dur_t fail_median, repair_median;
	uint64_t updates_max, updates_sum;
};
#define BGPSIM_KINDS 7

struct bgpsim_result {
	bool ok;
	enum bgpsim_check failed; /* if not */
	char why[256];            /* the first thing that was wrong */
	uint64_t digest, events;
	dur_t start; /* until all was right after the start */
	uint64_t start_updates;
	uint64_t messages[8]; /* of the whole run, by BGP type; [0]: all */
	dur_t loop_max;       /* how long a circle lasted */
	unsigned sessions, links;
	struct bgpsim_kind kinds[BGPSIM_KINDS];
	ts_t end;
};

/* 0; ERR_CONFIG (more than the bounds, or than links allow), ERR_NOMEM. */
int bgpsim_run(const struct bgpsim_cfg *cfg, struct bgpsim_result *out);

const char *bgpsim_check_str(enum bgpsim_check c);
const char *bgpsim_shape_str(enum bgpsim_shape s);

#endif
