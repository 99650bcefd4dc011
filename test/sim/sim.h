/* sim.h - whole clusters of the daemon's cores in one process, in virtual time, from one seed.
 *
 * A simulation is a clock, a queue of events ordered by time and then by age, a network
 * (sim_net.h), nodes (sim_node.h), what was ever published (truth.h), faults (sim_fault.h) and
 * invariants (invariants.h). Nothing in it reads a clock or the kernel's randomness: libsodium's
 * generator is replaced by a seeded one, so that keys replay too. For that reason a process runs one
 * simulation at a time. */
#ifndef WEFT_SIM_H
#define WEFT_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/ts.h"
#include "prng.h"
#include "session.h"
#include "sim_queue.h"

struct sim;
struct sim_net;
struct sim_node;
struct sim_faults;
struct sim_ghosts;
struct map;
struct route_names;
struct truth;
struct checks;

/* Bugs that a test plants, to see an invariant fail. Each stands for a fault in a core or in the
 * daemon's driver. */
enum sim_plant {
	PLANT_NONE,
	PLANT_KEY_LEAK,     /* a KEY_DEL gets lost */
	PLANT_KEY_TWICE,    /* a KEY_ADD brings the tx key of another session again */
	PLANT_KEY_WRONG,    /* a KEY_ADD brings a wrong tx key */
	PLANT_COUNTER,      /* a sealed datagram goes out a second time with other content */
	PLANT_ROUTE_LEAK,   /* a ROUTE_DEL gets lost */
	PLANT_ROUTE_SPLIT,  /* a ROUTE_ADD is carried out with another node as owner */
	PLANT_MUTE,         /* a node's gossip is not sent */
	PLANT_NO_SIGNATURE, /* signatures are not checked */
	PLANT_OLD_IS_NEW,   /* versions of records are compared the wrong way round */
	PLANT_DEAF, /* a node loses all datagrams of one peer, and tells nobody of that silence */
	PLANT_SPIN, /* a deadline that stays due */
	PLANT_ROUTE_LOST,  /* a ROUTE_ADD gets lost */
	PLANT_FALSE_DEATH, /* a node is told that a peer is dead which isn't */
	PLANT_CLAIM_TAKEN, /* a node takes into service what another one claimed */
	PLANT_UNTOLD, /* nobody's driver hears of a conflict: it has to see that there is one */
	PLANT_BIG,    /* a datagram grows past what every path carries */
	PLANT_ROUTE_TWICE, /* a way through relays leads to its end twice */
	PLANT_RELAY_BACK,  /* a relay sends back to where it came from */
	PLANT_NO_ANSWER,   /* what relays answer gets lost */
	PLANT_WAY_LOST,    /* a PATH_USE gets lost */
	PLANT_LATE, /* what a node says of records is not sent before quiet has lasted for PLANT_QUIET */
	PLANT_FLAP,        /* a node dates its claims anew all the time, until then */
	PLANT_OWNERS_TURN, /* a node routes what is others' to the first one; one beside it now and then */
	PLANT_COUNT
};

#define PLANT_QUIET DUR_SEC(12)

struct sim_cfg {
	unsigned nodes;
	unsigned ghosts; /* members besides that only answer (sim_ghost.h); with no_crypto only */
	uint64_t seed;
	bool no_crypto;      /* sessions are replaced by their authenticated result */
	bool own_signatures; /* each node verifies each signature itself; else a verified one counts
				 for all */
	bool full_mesh;      /* a session with everybody, as before there was an overlay */
	bool no_claims;      /* nodes claim no blocks; above SIM_CLAIMS_NODES none does */
	bool no_paths;       /* no path core; above SIM_PATHS_NODES there is none */
	bool data;           /* each node sends data packets, see sim_flow.h */
	bool outside;        /* with no_crypto: real sessions with whom is outside (sim_net.h) */
	const char *profile; /* of sim_fault.h; NULL: "none" */
	unsigned liars;      /* of a profile that has none of its own (sim_hostile.h) */
	dur_t converge;      /* how long agreement may take after quiet */
	dur_t routable;      /* how long a live, reachable prefix may have no route */
	dur_t join_spread;   /* nodes start within this time */
	struct sess_tune tune;
	enum sim_plant plant;
	unsigned checks;  /* bits of enum check, those not wanted; see invariants.h */
	bool print_trace; /* each line of the trace to stderr as it comes */
};
#define SIM_CLAIMS_NODES 128
#define SIM_PATHS_NODES  128
/* 5 nodes, seed 1, profile none, DESIGN's times. */
void sim_cfg_default(struct sim_cfg *c);

#define SIM_TRACE_TEXT 88
struct sim_line {
	ts_t at;
	int from, to; /* nodes; -1: none */
	const char *what;
	int64_t value;
	char text[SIM_TRACE_TEXT];
};
#define SIM_TRACE_LINES 256

struct sim {
	struct sim_cfg cfg;
	ts_t now;
	struct prng prng; /* of network and faults */
	struct sim_queue queue;
	uint64_t events;
	struct sim_net *net;
	struct sim_node **nodes; /* cfg.nodes */
	struct sim_ghosts *ghosts;
	bool joined;        /* sim_join() came to its end */
	struct map *by_key; /* key of a running node: struct sim_node */
	struct route_names *routes;
	ts_t quiet;              /* since when nothing goes wrong; zero: it does */
	ts_t gone;               /* a node lost its disk, and with it its key; zero: none has */
	ts_t claimed;            /* a node published claims for the first time in its life */
	struct sim_node *clone;  /* the last that got another one's disk */
	ts_t cloned;             /* since when it runs so */
	uint64_t clones_told;    /* by the two of them, until then */
	unsigned liars;          /* who do all the lying: sim_hostile.h; 0: nobody alone */
	struct node_key outside; /* a real daemon, once a node has a session with it */
	bool has_outside;
	struct truth *truth;
	struct sim_faults *faults;
	struct checks *checks;
	struct sim_line trace[SIM_TRACE_LINES];
	uint64_t ntrace;
	uint64_t digest; /* of the whole trace: two runs of one seed have the same */
	bool failed;
	unsigned failed_check; /* enum check */
	char failure[256];
	dur_t length;        /* of sim_live(); 0: none is asked for. For sim_command() */
	const char *measure; /* instead of it; NULL: none */
};

/* Nodes are made but not started. Returns owned; NULL: no memory, or no such profile. */
struct sim *sim_new(const struct sim_cfg *cfg);
void sim_free(struct sim *s);
/* Handle events up to @until, or to the first failure. False: failed. */
bool sim_run(struct sim *s, ts_t until);

/* When the next event comes; TS_NEVER: none. */
ts_t sim_next(struct sim *s);

void sim_at(struct sim *s, struct sim_event *e, ts_t when); /* queue or move; TS_NEVER cancels */

/* A line of the trace. @what has static storage. */
void sim_trace(struct sim *s, int from, int to, const char *what, int64_t value);
/* The same for what happens all the time: not kept for the report. */
void sim_trace_often(struct sim *s, int from, int to, const char *what, int64_t value);
/* Free text, for people: not part of the digest, since what the cores log depends on static state. */
void sim_trace_text(struct sim *s, int from, int to, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* An invariant does not hold: the first one is kept and ends the run. */
void sim_fail(struct sim *s, unsigned check, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The weft-sim that repeats a run: everything that decides it, but for cfg.tune, cfg.liars and cfg.outside,
 * which no option changes. @length 0: as weft-sim has it; @measure may be NULL. SIM_COMMAND bytes are enough. */
#define SIM_COMMAND 1024
void sim_command(
	const struct sim_cfg *c, dur_t length, const char *measure, char *out, size_t size);
void sim_print_line(const struct sim_line *l); /* to stderr */
/* The last events, the failure, and the command, to stderr. */
void sim_report(const struct sim *s);

/* Start all nodes within cfg.join_spread, await agreement. Returns the seconds from the last start to
 * it; < 0: failed. */
double sim_join(struct sim *s);
/* Run until all agree, but no longer than cfg.converge, which fails. The seconds; < 0: failed. */
double sim_await_agreement(struct sim *s);

/* Sent per node and second, outer headers included. */
struct sim_traffic {
	double secs; /* how long it was counted; 0: not */
	double msgs, bytes;
	double worst; /* bytes of the busiest node */
};
/* Run for @length and count. False: an invariant failed. */
bool sim_traffic(struct sim *s, dur_t length, struct sim_traffic *out);

/* What one life of a cluster looked like; times in seconds of virtual time. */
struct sim_result {
	double join;     /* last start to agreement and full mesh; < 0: not reached */
	unsigned quiets; /* times that agreement was awaited after faults */
	double converge_median, converge_worst; /* quiet to agreement */
	struct sim_traffic idle;
};
/* Start all nodes, await agreement, alternate faults and quiet until @length is over, end with quiet
 * and an idle stretch. False: an invariant failed. */
bool sim_live(struct sim *s, dur_t length, struct sim_result *out);

#endif
