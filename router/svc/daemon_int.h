/* daemon_int.h - what the files of router/svc share: the daemon's parts and who drives what.
 *
 * Everything here belongs to the control thread. Data flow:
 *
 *	UDP socket, workers --dp_poll--> sess_recv --SESS_RECV--> gossip_recv
 *	     ^                              |                        |
 *	     +--------dp_send---- SESS_SEND-+<------ GOSSIP_SEND ----+
 *	dp_key_*, dp_peer_* <---- SESS_KEY_*, SESS_ENDPOINT ...      |
 *	rtab (FIB and kernel routes) <------ GOSSIP_ROUTE_ADD/DEL ---+
 *	dp: a packet for a node without session --want_session--> gossip_demand --GOSSIP_DIAL--> dial
 *
 * Sessions are held to the neighbours in the overlay, and to others while data goes to or comes from
 * them (DESIGN 7.1); which nodes live, and so what is routed, membership says, not the sessions.
 * After every event mesh_drain() carries out all actions of both cores, lets kern_sync() flush, and
 * arms the one timer for the earliest deadline. */
#ifndef WEFT_DAEMON_INT_H
#define WEFT_DAEMON_INT_H

#include <limits.h>
#include "conf.h"
#include "ctl.h"
#include "dp.h"
#include "gossip.h"
#include "http.h"
#include "kern.h"
#include "key.h"
#include "list.h"
#include "loop.h"
#include "map.h"
#include "paths.h"
#include "peers.h"
#include "prng.h"
#include "session.h"
#include "tune.h"
#include "underlay.h"
#include "writer.h"

#define MAX_SEGMENTS (CONF_LIST_MAX + 2)
#define MAX_OWN      LIM_PREFIXES_PER_NODE
#define MAX_WARNINGS 16
#define WARNING_KEEP DUR_SEC(600)

/* One address space on this node. */
struct segment {
	uint32_t vni;
	char tun[16];
	struct pfx *ranges; /* owned */
	size_t nranges;
	struct conf_prefix *prefixes; /* owned */
	size_t nprefixes;
	struct ip mesh_addrs[2]; /* IPv4, IPv6; family IP_NONE: none */
	unsigned mtu;            /* 0: the segment is off */
	unsigned ifindex;        /* of the device that the data plane reads; 0: none */
};

/* A warning for status and report: kept for a while, the same text only once. */
struct warning {
	char text[256];
	const char *kind; /* the format that made it */
	ts_t last;
};

/* A key of a session that we ended since nothing used it: datagrams may be under way. */
struct closing_key {
	uint32_t index;
	ts_t until;
};
#define MAX_CLOSING 256 /* beyond, what is under way is lost */

struct rtab;
struct dialer;
struct recall;
struct ctl_srv;

struct daemon {
	struct conf *conf;
	struct tune tune;
	struct loop *loop;
	struct loop_io *dp_io, *kern_io;
	struct loop_timer *core_timer, *second_timer, *housekeeping_timer;
	struct loop_signal *sigterm, *sigint;

	struct identity id;
	struct cluster_id cluster;
	uint64_t epoch, epoch_saving; /* on the disk; on its way there */
	struct writer *writer;        /* NULL: files are written at once */
	struct secret_keys secrets[LIM_SECRETS];
	size_t nsecrets;
	int lock_fd;
	uint8_t *saved_peers; /* what the file `peers` holds since this start; owned */
	size_t saved_peers_len;
	struct ip control_addr;
	struct pfx control_prefix;

	struct segment segments[MAX_SEGMENTS]; /* [0] is the control segment */
	size_t nsegments;
	struct underlay underlay;
	struct kern *kern;
	struct dp *dp;
	struct sess *sess;
	struct gossip *gossip;
	uint64_t features; /* GOSSIP_F_* that we publish */
	struct rtab *rtab;
	struct dialer *dialer;
	struct recall *recall;
	struct bgp_svc *bgp; /* bgp_svc.h; NULL: not configured */
	struct own_svc *own;
	struct link_svc *link;
	struct ctl_srv *ctl;
	struct http *http;
	struct peers *peers;
	struct closing_key closing[MAX_CLOSING];
	size_t nclosing;
	struct paths *paths;
	unsigned workers;
	bool has_ipv6;

	struct prng prng;
	uint64_t underlay_seen; /* kern_stats.underlay_changes that were looked at */
	ts_t started, next_housekeeping;
	bool kernel_ok;  /* the last kern_sync said so */
	bool kern_dirty; /* something was stated since: mesh_drain() syncs */
	char kernel_why[256];
	bool was_ready;
	bool leaving, remove_all; /* `weft down` */
	bool draining;
	struct warning warnings[MAX_WARNINGS];
	size_t nwarnings;
};

/* state.c: the state directory. Each logs what is wrong and how to mend it; they return the error. */
int state_open(struct daemon *d); /* makes directories, takes the lock */
int state_load_secrets(struct daemon *d);
int state_load_identity(struct daemon *d);
int state_load_cluster(struct daemon *d);
int state_next_epoch(struct daemon *d); /* at the start: increments, fsyncs */
/* To @at_least, or one more; d->epoch and gossip get it once it is on the disk. ERR_RANGE: above LIM_EPOCH;
 * ERR_BUSY: one is on its way to the disk. */
int state_jump_epoch(struct daemon *d, uint64_t at_least);
/* Between these two calls epoch, claims and peers are written by a thread. ERR_NOMEM or -errno. */
int state_writer_start(struct daemon *d);
/* When all is written, or (logged) after some seconds in which it was not: ERR_BUSY. Then a thread may still stand
 * in a system call, so the lock is not to be given up before the process ends. */
int state_writer_stop(struct daemon *d);
/* Known nodes, to find the mesh again when every seed is down: those that we have a session with that goes
 * straight to them, the other members (one that left by `weft down` is none), those of an earlier run that
 * recall.c still calls; the first SAVED_PEERS_MAX, in this order. */
#define SAVED_PEERS_MAX 256
int state_save_peers(struct daemon *d);
/* Put @path out of the way and say so: @what is wrong with it ("is damaged (why)"), and what that costs. */
void state_set_aside(struct daemon *d, const char *path, const char *what, const char *cost);
void state_load_peers(struct daemon *d,
	void (*fn)(struct daemon *d, const struct node_key *k, const struct ep *ep));

/* segment.c: devices, ranges and own prefixes. */
int segments_build(struct daemon *d); /* from configuration */
int segments_check(struct daemon *d); /* against the host: ranges, overlaps */
int segments_up(struct daemon *d);    /* TUNs, kernel objects, data plane */
int segments_publish(struct daemon *d);
/* Make devices again that somebody deleted, with all that their FIB held. */
void segments_repair(struct daemon *d);
struct segment *segment_find(struct daemon *d, uint32_t vni);
/* The underlay's MTU is known anew: the devices', and that of the routes through them. */
void segments_mtu(struct daemon *d);
/* Look at the underlay again: endpoints that we publish, its MTU, the peers' paths. */
void underlay_refresh(struct daemon *d);

/* mesh.c: drives the cores. */
int mesh_start(struct daemon *d);
void mesh_stop(struct daemon *d);
void mesh_drain(struct daemon *d);

/* rtab.c: learned prefixes to FIB and kernel. */
struct rtab_entry {
	uint32_t vni;
	struct pfx pfx;
	struct node_key node;
	uint32_t peer;     /* handle (peers.h); 0: not installed */
	unsigned mtu;      /* of the kernel route; 0: the device's */
	bool exit;         /* the node declared it; with link: a gateway's neighbour told it */
	bool link;         /* told by BGP: another cluster's; node is the gateway to it, */
	bool outside;      /* or beyond such a cluster, or an exit; */
	uint8_t from, to;  /* links that it came from and goes to (dp_route_cross) */
	char refused[160]; /* why it isn't used; empty: in use */
};
int rtab_new(struct daemon *d, struct rtab **out);
void rtab_free(struct rtab *t);
void rtab_add(struct daemon *d, const struct node_key *node, const struct gossip_prefix *p);
void rtab_del(struct daemon *d, const struct node_key *node, const struct gossip_prefix *p);
/* A prefix behind links, as it is from now on. */
struct rtab_link {
	struct pfx pfx;
	const struct node_key *gateway; /* NULL: behind none; a range stays closed */
	bool outside;                   /* no range of a cluster, but what lies beyond one, */
	bool exit;                      /* or beyond a gateway of ours: for --accept to say */
	uint8_t from, to;               /* dp_route_cross() */
};
void rtab_link_set(struct daemon *d, uint32_t vni, const struct rtab_link *r);
/* Does a node declare that exit, and is it in use here? */
bool rtab_exit_declared(const struct daemon *d, uint32_t vni, const struct pfx *p);
bool rtab_link_leads(struct daemon *d, uint32_t vni, const struct pfx *p); /* in use? */
/* A linked cluster has that range: closed until a gateway leads there. */
void rtab_link_range(struct daemon *d, uint32_t vni, const struct pfx *p);
/* Open it again. ERR_NOT_FOUND; ERR_BUSY: a gateway leads there. */
int rtab_link_forget(struct daemon *d, uint32_t vni, const struct pfx *p);
/* The path MTU of @p changed: its routes follow. */
void rtab_peer_mtu(struct daemon *d, struct peer *p);
void rtab_mtu(struct daemon *d); /* that of the devices did: all routes follow */
/* Control-segment route of a node that came up or went down. */
void rtab_control(struct daemon *d, const struct node_key *node, bool up);
/* The FIB of @vni is new: put every learned prefix into it. */
void rtab_reinstall(struct daemon *d, uint32_t vni);
bool rtab_next(const struct rtab *t, size_t *it, const struct rtab_entry **out);
void rtab_count(const struct rtab *t, size_t *used, size_t *refused);

/* dial.c: targets of --peer and `weft connect`. */
struct target_info {
	const char *text;
	struct ep ep;      /* family IP_NONE: not resolved yet */
	const char *state; /* "resolving", "dialling", "established", "known", "waiting", "self" */
	const char *error; /* "" */
	ts_t next;
};
int dial_new(struct daemon *d, struct dialer **out);
void dial_free(struct dialer *x);
int dial_add_target(struct daemon *d, const char *text, char *err, size_t err_len);
int dial_del_target(struct daemon *d, const char *text);
void dial_failed(struct daemon *d, const struct ep *to, const struct node_key *key, int reason);
void dial_answered(struct daemon *d, const struct ep *ep, const struct node_key *key);
void dial_self(struct daemon *d, const struct ep *ep); /* it is ourselves */
void dial_tick(struct daemon *d, ts_t now);
ts_t dial_deadline(const struct daemon *d);
bool dial_target_next(const struct daemon *d, size_t *it, struct target_info *out);
bool dial_alone(const struct daemon *d); /* there is no session at all */
bool dial_pending(
	const struct daemon *d); /* are there targets, none of them established or self? */

/* recall.c: nodes that an earlier run knew and this one has not heard of; they are called. */
int recall_new(struct daemon *d, struct recall **out); /* reads the file. ERR_NOMEM */
void recall_free(struct recall *r);
void recall_tick(struct daemon *d, ts_t now);
ts_t recall_deadline(const struct daemon *d);
/* Walk those that are still called: start with *@it = 0; false at the end. */
bool recall_next(const struct daemon *d, size_t *it, struct node_key *key, struct ep *ep);

/* ctl_srv.c, ctl_cmds.c */
int ctl_srv_new(struct daemon *d, struct ctl_srv **out);
void ctl_srv_free(struct ctl_srv *s);
struct ctl_answer {
	struct ctl_w *w; /* what the command writes */
	bool ok;
	char error[512], hint[512];
	bool stop_after; /* stop the daemon when the reply was sent */
};
/* The answer is no: why, and what to do about it. */
void ctl_refuse(struct ctl_answer *a, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void ctl_cmds_run(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);

/* metrics.c */
int metrics_start(struct daemon *d);
void metrics_stop(struct daemon *d);

/* daemon.c */
/* Is the node ready? Reasons are written as @fn calls. */
bool daemon_ready(struct daemon *d, void (*fn)(void *ctx, const char *why), void *ctx);
void daemon_warn(struct daemon *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, its lines in the log limited apart from all others'. @limit: static. */
void daemon_warn_limited(struct daemon *d, struct log_limit *limit, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void daemon_stop(struct daemon *d);

#endif
