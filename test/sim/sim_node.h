/* sim_node.h - one node: the daemon's cores with the glue that its driver has (router/svc: mesh.c,
 * dial.c, state.c), a disk that can lose its mind, clocks that can be stepped, and a data plane
 * that is two tables. */
#ifndef WEFT_SIM_NODE_H
#define WEFT_SIM_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gossip.h"
#include "list.h"
#include "replay.h"
#include "session.h"
#include "sim.h"
#include "sim_flow.h"
#include "sim_own.h"
#include "sim_relay.h"
#include "sim_route.h"

struct aead;
struct map;
struct sim_path;
struct sim_sess;
struct view;

#define SIM_PREFIXES 8  /* that a node may have at once */
#define SIM_SAVED    64 /* last known peers on the disk */

/* What wall clocks show at the simulation's start, in ns since 1970. */
#define SIM_WALL_START UINT64_C(1790000000000000000)

struct sim_disk {
	bool used;
	uint8_t seed[32]; /* identity */
	uint64_t epoch;
	struct {
		struct node_key key;
		struct ep ep;
	} peers[SIM_SAVED];
	size_t npeers;
	uint8_t claims[SIM_CLAIMS_BYTES];
	size_t nclaims;
};

enum sim_disk_fate { DISK_KEPT, DISK_LOST, DISK_ROLLED_BACK };

/* The data plane's table of keys. */
struct sim_key {
	struct sess_keys k;
	uint32_t peer;
	bool confirmed;
	struct replay sealed; /* counters seen on lane 0 */
	uint64_t counter;     /* of lane 1 */
	struct aead *tx, *rx; /* made when first used */
	struct replay window; /* of lane 1 */
};

/* Ways that data leaves by. */
enum sim_via { SIM_VIA_MAIN, SIM_VIA_SIDE, SIM_VIA_RELAY, SIM_VIAS };

struct sim_slot {
	bool up;
	unsigned keys;
	uint32_t use; /* local index of the key that seals; 0: none */
	struct node_key key;
	struct ep ep;
	ts_t last_data;
	bool side; /* data may leave from the worker's own source port, as the session core says */
	bool side_off;        /* not so the path core */
	struct sim_way way;   /* n > 0: data takes that one */
	ts_t way_since;       /* simulation time */
	ts_t tx_at[SIM_VIAS]; /* data left so; ns 0: never */
	ts_t any_rx, told_rx; /* data came; as was told to gossip */
};

enum sim_target_state { TARGET_WAITING, TARGET_DIALLING, TARGET_REACHED, TARGET_SELF };
/* The operator's --peer. */
struct sim_target {
	bool is;
	unsigned host;
	enum sim_target_state state;
	struct ep ep;
	bool has_node; /* it was this one */
	struct node_key node;
	ts_t next;
	dur_t backoff;
};

struct sim_node {
	struct sim *s;
	unsigned index;
	char name[NODE_NAME_MAX + 1];
	bool running;
	bool clone;       /* it runs from a copy of another one's disk */
	bool no_relay;    /* --relay no */
	bool swallows;    /* it says that it relays, and doesn't */
	unsigned way_lie; /* enum sim_path_lie, in this life */
	unsigned boots;
	uint64_t mono; /* its monotonic clock is ahead of the simulation's by so much */
	int64_t wall;  /* its wall clock is off by so much, in ns */
	ts_t started;  /* of this life; simulation time, as all times here but target's and *_at */
	ts_t met;      /* the first session of this life; zero: none yet */
	bool claimed;  /* it has published claims in this life */
	ts_t stalled_until, deaf_until;
	struct sim_disk disk, before; /* before: as of the start before this one */
	struct identity id;
	struct gossip_prefix prefixes[SIM_PREFIXES];
	size_t nprefixes;
	struct gossip_prefix claims[SIM_CLAIMS]; /* published besides */
	size_t nclaims;

	struct sim_sess *sess;
	struct gossip *gossip;
	struct sim_own *own;    /* NULL: no claims */
	struct sim_path *path;  /* NULL: addresses alone */
	struct sim_slot *slots; /* by handle */
	uint32_t nslots;
	struct map *keys; /* local index: struct sim_key */
	struct route_set routes;
	struct map *candidates; /* node key: struct sim_candidate */
	struct sim_target target;
	ts_t second_at, house_at;
	struct prng prng;
	bool draining;

	struct sim_event wake, start;
	struct list inbox; /* while it is stalled */
	size_t inbox_bytes;
	ts_t tick_at; /* so many ticks at one instant */
	unsigned ticks;
	uint64_t turned;     /* nodes that came up, went down or were forgotten, as it was told */
	uint64_t published;  /* by itself, perhaps the same again */
	uint64_t views_seen; /* invariants.c's */
	struct map *views;
	ts_t views_at;

	struct sim_flow flow;
	uint64_t data_sent, data_got, downs, conflicts, clones;
	uint64_t relayed, relay_refused, relay_bad, swallowed;
	uint64_t taken_for_dead; /* by other nodes, while it ran */
};

struct sim_node *sim_node_new(struct sim *s, unsigned index); /* not started; NULL: no memory */
void sim_node_free(struct sim_node *n);
void sim_node_start_at(struct sim_node *n, ts_t when);
/* Stop at once, as power fails. One that doesn't run can lose its disk. */
void sim_node_crash(struct sim_node *n, enum sim_disk_fate fate);
/* Stop as weftd does on a signal. */
void sim_node_stop(struct sim_node *n);
bool sim_node_running(const struct sim_node *n);
/* Do nothing until @until; what comes waits in a socket buffer. */
void sim_node_stall(struct sim_node *n, ts_t until);
/* Its host's address changed: it hears so, as a daemon does by netlink, and says where it is now. */
void sim_node_moved(struct sim_node *n);
void sim_node_step_clock(struct sim_node *n, int64_t ns);
/* Publish @n prefixes from now on. */
void sim_node_set_prefixes(struct sim_node *n, const struct gossip_prefix *p, size_t count);
/* The prefix that belongs to the node by configuration: 10.a.b.0/24. */
void sim_node_own_prefix(unsigned index, struct gossip_prefix *out);
/* The underlay delivers; borrows @buf and may change it. */
void sim_node_datagram(struct sim_node *n, const struct ep *from, const struct ip *local,
	uint8_t *buf, size_t len);
/* Send a gossip message of the caller's making to a peer, as a member that lies would. */
void sim_node_say(struct sim_node *n, const struct node_key *to, const uint8_t *buf, size_t len);

/* Carry out what the cores say. */
void sim_node_drain(struct sim_node *n);
/* 0: the main port; else the own source port of worker @via - 1. */
uint16_t sim_node_port(uint8_t via);
/* The number of the running node with that key; -1: none. */
int sim_node_index(const struct sim_node *n, const struct node_key *key);

/* Hear nothing until @until, and go on speaking. */
void sim_node_deafen(struct sim_node *n, ts_t until);
/* A stopped node gets a copy of another one's disk, as of now. */
void sim_node_clone(struct sim_node *n, const struct sim_node *of);
/* Does another node run from a copy of this one's disk? */
bool sim_node_cloned(const struct sim_node *n);
const struct secret *sim_node_secret_of_all(void);
/* What is derived from it. */
void sim_node_secret(struct secret_keys *keys, struct cluster_id *cluster);

/* Its cores were called by somebody else: do what they say. */
void sim_node_turn(struct sim_node *n);
/* Tell gossip anew what it publishes: prefixes and claims. */
void sim_node_publish(struct sim_node *n);
/* A person tells it to forget another one, which is down. */
void sim_node_forget(struct sim_node *n, const struct sim_node *other);
/* Its clock now. */
ts_t sim_node_now(const struct sim_node *n);
/* The slot of the session core's peer @peer, made if there is none; valid until the next one is made. */
struct sim_slot *sim_node_peer(struct sim_node *n, uint32_t peer);
/* Its slot of the session with @key, or NULL. */
struct sim_slot *sim_node_slot(const struct sim_node *n, const struct node_key *key);
/* Is what @i says of a node alive to this one's routing: itself, or a node that it routes to? */
bool sim_node_counts(const struct gossip_node_info *i);
/* The running node with that key, or NULL. */
struct sim_node *sim_node_of(const struct sim *s, const struct node_key *key);

#endif
