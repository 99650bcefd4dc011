/* bgpsim_int.h - what the files of the simulator of clusters share. */
#ifndef WEFT_BGPSIM_INT_H
#define WEFT_BGPSIM_INT_H

#include "bgp.h"
#include "bgp_update.h"
#include "bgpsim.h"
#include "lbgp.h"
#include "link.h"
#include "prng.h"
#include "timerq.h"

#define LATENCY_MIN DUR_MS(1)
#define LATENCY_MAX DUR_MS(40)
/* What the parts of the daemon that are not simulated take, in its own figures: a way fails under
 * traffic (docs/paths.md), a session is silent (session.h), a member is declared dead, is known
 * (docs/simulator.md). */
#define WAY_FAILS   DUR_MS(600)
#define WAY_MENDS   DUR_SEC(1)
#define SESS_SILENT DUR_SEC(10)
#define DEATH_KNOWN DUR_SEC(4)
#define BIRTH_KNOWN DUR_MS(300)

#define STREAM_ROOM 65536 /* bytes under way in one direction */
#define STREAMS_MAX 4096
#define SAMPLE      DUR_MS(100)

enum ev_kind {
	EV_NODE,   /* a node's cores are due */
	EV_SECOND, /* its driver's second */
	EV_RX,     /* bytes arrive at a side of a stream */
	EV_SYN,    /* a connection is asked for */
	EV_DGRAM,  /* a message of a link arrives */
	EV_SESS,   /* a session of two gateways comes up, or is looked at */
	EV_KNOWN,  /* a node hears what became of another of its cluster */
	EV_WAY,    /* a way is taken for failed, or for good again */
	EV_SAMPLE, /* all routes are looked at */
};
struct ev {
	struct tq_node n;
	enum ev_kind kind;
};

struct bgpsim;

struct bs_route {
	int gateway;      /* -1: nowhere */
	uint8_t from, to; /* links that may send in its name, and to it */
};

struct bs_node {
	struct ev timer, second;
	struct bgpsim *s;
	unsigned idx, cluster;
	bool gateway, alive;
	unsigned life; /* counts starts; what belongs to an earlier one is dead */
	struct node_key key;
	struct ip control;
	struct ep ep;
	struct prng rnd;
	/* the cores, while alive */
	struct links *links; /* NULL: no link here */
	struct lbgp *lbgp;
	struct bgp *bgp; /* NULL: no speaker */
	bool listens, sync;
	struct bs_side *sides; /* its ends of streams */
	/* by number of the link, from 1 */
	struct lbgp_link bgplink[LIM_LINKS + 1];
	struct link_cluster remote[LIM_LINKS + 1];
	uint8_t link_of
		[BGPSIM_NODES_MAX];   /* a gateway that link core says is up: the link's number */
	bool known[BGPSIM_NODES_MAX]; /* of the own cluster: lives, as far as it knows */
	/* by family: where a cluster's range leads, as lbgp_route has it */
	struct bs_route rt[2][BGPSIM_CLUSTERS_MAX];
};

/* A session of two gateways of different clusters: the session core's part of it. */
struct bs_sess {
	struct ev ev;
	unsigned a, b; /* nodes */
	unsigned link;
	unsigned life[2];
	bool up, dialling;
	ts_t silent_since; /* TS_NEVER: it is not */
};

struct bs_link {
	unsigned a, b; /* clusters, a < b; a invited */
	uint8_t number[2];
};

struct bs_dgram {
	struct ev ev;
	struct bs_sess *via;
	unsigned to, life, from_life;
	size_t len;
	uint8_t buf[LINK_BODY_MAX];
};

struct bs_syn {
	struct ev ev;
	unsigned from, life, to;
	uint32_t conn;
};

struct bs_news {
	struct ev ev;
	unsigned at, about, life; /* life of at */
	bool way;
};

/* One end of a stream: what comes to it, and what its owner offered and found no room for. */
struct bs_side {
	struct ev rx;
	struct bs_stream *st;
	struct bs_side *next; /* of its node's */
	unsigned node, life;
	uint32_t conn;
	bool gone;     /* closed by its owner, or told that it is */
	bool fin, rst; /* to be told, after the bytes or at once */
	uint8_t *q;
	size_t len;
	const uint8_t *out;
	size_t out_len;
	unsigned backoff;
	/* what its owner writes, cut into messages */
	uint8_t *msg;
	size_t msg_len;
};
struct bs_stream {
	bool used;
	struct bs_side s[2];
};

struct bgpsim {
	struct bgpsim_cfg cfg;
	struct bgpsim_result *r;
	ts_t now;
	struct timerq q;
	struct prng rnd;
	unsigned nnodes;
	struct bs_node *nodes;
	struct bs_link links[BGPSIM_CLUSTERS_MAX * LIM_LINKS];
	unsigned nlinks;
	bool transit[BGPSIM_CLUSTERS_MAX];
	uint32_t allowed
		[BGPSIM_CLUSTERS_MAX]; /* clusters that one may reach by policy, a bit each */
	struct link_cluster self[BGPSIM_CLUSTERS_MAX];
	struct bs_sess *sess;
	unsigned nsess;
	struct bs_stream *streams;
	struct ev sample;
	uint8_t cut[BGPSIM_NODES_MAX][BGPSIM_NODES_MAX];
	bool doubt[BGPSIM_NODES_MAX][BGPSIM_NODES_MAX];
	dur_t latency[BGPSIM_NODES_MAX][BGPSIM_NODES_MAX];
	uint64_t version; /* counts changes of routes, lives and paths */
	uint64_t seen;    /* of the last sample */
	bool is_wrong;
	uint32_t reach;    /* scratch of it */
	char what[128];    /* what was not right then */
	uint64_t updates;  /* written since it was set to 0 */
	ts_t since;        /* of the last fault or repair */
	ts_t wrong;        /* the last sample that was not right; TS_ZERO: none */
	ts_t circle;       /* since when there is a circle; TS_NEVER: there is none */
	const char *fault; /* what was done last */
	unsigned spins;
	bool failed;
	struct bgp_update update; /* scratch of the leak check */
};

/* Note that @c does not hold, once; "!" of it ends the run. */
void bs_fail(struct bgpsim *s, enum bgpsim_check c, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void bs_trace(struct bgpsim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Mix @v into the digest. */
void bs_digest(struct bgpsim *s, uint64_t v);
void bs_at(struct bgpsim *s, struct ev *e, ts_t when);
/* A new event of @size bytes that is freed when it was done. Ends the program when memory does. */
void *bs_event(struct bgpsim *s, size_t size, enum ev_kind kind, dur_t in);

/* bgpsim_net.c */
bool bs_path(const struct bgpsim *s, unsigned a, unsigned b); /* do packets pass, both alive? */
void bs_path_changed(struct bgpsim *s, unsigned a, unsigned b);
void bs_stream_act(struct bs_node *n, const struct bgp_act *a); /* CONNECT, SEND, CLOSE */
void bs_stream_rx(struct bgpsim *s, struct bs_side *me);
void bs_stream_syn(struct bgpsim *s, struct bs_syn *y);
void bs_stream_reset(struct bgpsim *s, struct bs_stream *st); /* both ends are told */
void bs_stream_reap(struct bgpsim *s);
void bs_sess_dial(struct bs_node *n, const struct link_act *a);
void bs_sess_send(struct bs_node *n, const struct link_act *a);
void bs_sess_event(struct bgpsim *s, struct bs_sess *x);
void bs_dgram(struct bgpsim *s, struct bs_dgram *d);
struct bs_sess *bs_sess_find(struct bgpsim *s, unsigned a, unsigned b);

/* bgpsim_node.c */
int bs_node_start(struct bs_node *n);
void bs_node_stop(struct bs_node *n, bool clean);
void bs_node_drain(struct bs_node *n); /* after any call of its cores */
void bs_node_tick(struct bs_node *n);
void bs_node_second(struct bs_node *n);
void bs_node_known(struct bgpsim *s, const struct bs_news *k);
struct bs_node *bs_node_by_key(struct bgpsim *s, const struct node_key *key);

/* bgpsim_check.c */
void bs_policy_plan(struct bgpsim *s);
void bs_check_sample(struct bgpsim *s); /* routes, when something changed */
void bs_check_quiet(struct bgpsim *s);
/* @msg, a whole message from @from, goes to @to. */
void bs_check_message(struct bgpsim *s, unsigned from, unsigned to, const uint8_t *msg, size_t len);
void bs_check_route(struct bs_node *n, const struct pfx *p, int gateway);
/* The cluster that @p is a range of, and its family; -1. */
int bs_cluster_of(const struct bgpsim *s, const struct pfx *p, unsigned *family);

#endif
