/* path.h - which way packets to a node take, whether that way works, and how large they may be
 * (DESIGN 5.2, 5.14, 7.2, 7.7, 7.8). docs/paths.md says what its driver calls when.
 *
 * Sans-I/O, one thread, the usual core shape: call anything, drain path_next() to PATH_NONE, re-arm
 * the timer to path_deadline(). It sits on sessions that the driver reports and knows nodes by key;
 * its messages travel inside sessions as WIRE_CTL_PATH. */
#ifndef WEFT_PATH_H
#define WEFT_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/id.h"
#include "weft/ts.h"
#include "path_wire.h"

struct path;

#define PATH_RELAYS_MAX WIRE_RELAY_LABELS_MAX

/* A way to a node: directly, or through @n relays. */
struct path_route {
	uint8_t n;             /* 0: direct */
	struct node_key first; /* n > 0: the first relay; we have a session with it */
	/* All relays in order, the first too. On the wire stand label[1..n-1] and the node itself */
	struct path_label label[PATH_RELAYS_MAX];
};

/* Times; path_tune_default() gives DESIGN's values. */
struct path_tune {
	dur_t quiet;     /* 300 ms: data sent and nothing back for so long starts probes */
	dur_t probe_gap; /* 100 ms between probes, and the least that an answer is waited for */
	dur_t probe_wait_max;   /* 1 s: the most */
	dur_t direct_retry_min; /* 1 s: first try of the direct path after it was left */
	dur_t direct_retry_max; /* 60 s */
	dur_t steady;           /* 60 s: a path that held so long has its back-off forgotten */
	dur_t side_retry_min;   /* 30 s */
	dur_t side_retry_max;   /* 600 s */
	dur_t relay_refresh; /* 10 s between looks for a cheaper relay, while relayed and in use */
	dur_t relay_bad;     /* 30 s: a relay that failed for a target is not asked for it */
	dur_t connect_each;  /* 1 s per endpoint that is dialled */
	dur_t connect_retry_max; /* 60 s between rounds, from 5 s on */
	dur_t keepalive;         /* 20 s, behind a NAT */
	dur_t mtu_wait_min; /* 200 ms: the least that an answer to a padded probe is waited for */
};
void path_tune_default(struct path_tune *t);

struct path_cfg {
	struct node_key self;
	bool relay;          /* we forward for others */
	bool has_v4, has_v6; /* families that we can send over */
	uint8_t side_ports;  /* own source ports, `via` 1..side_ports */
	unsigned mtu;        /* of the underlay interface, bytes; PLPMTU_MIN..65535 */
	uint64_t seed;       /* choice of candidates, jitter, tokens */
	struct path_tune tune;
};

enum path_state {
	PATH_ST_IDLE,       /* no session, none wanted */
	PATH_ST_CONNECTING, /* wanted: endpoints are tried, then a punch, then relays */
	PATH_ST_DIRECT,
	PATH_ST_RELAYED,
	PATH_ST_LOST, /* a session, but no way that works at present: the last one stays in use */
};

enum path_act_type {
	PATH_NONE,
	/* node, route, ep, via, buf, len, pad_to: send buf as WIRE_CTL_PATH under the session with
	 * node. route.n 0: directly, to ep unless its family is IP_NONE (then to the session's
	 * endpoint), from source port via. pad_to > 0: zeros behind buf, so that the outer IP
	 * packet that leaves here has exactly so many bytes, relay header included; sent with DF.
	 * If the interface refuses the size: path_refused() */
	PATH_SEND,
	/* node, route, ep: data and control to node go this way from now on. Direct: ep is where an
	 * answer came from, if it is not the session's endpoint; else its family is IP_NONE */
	PATH_USE,
	/* node, via, on: own source port via may (or may no longer) carry data to node */
	PATH_SIDE_PORT,
	/* node, mtu, halves: the largest outer packet to node on the path in use, bytes; halves:
	 * IPv6 packets of 1280 don't fit inside and travel in two (DESIGN 5.14) */
	PATH_MTU,
	/* node, route, ep: dial node at ep (route.n 0), or through route; replaces the dial towards
	 * node that was asked for before */
	PATH_CONNECT,
	/* ep: send one empty datagram there from the main port, so that a NAT or firewall in
	 * front of us lets answers in */
	PATH_OPEN,
	/* node: wanted, and nothing has worked in this round; goes on with a back-off */
	PATH_UNREACHABLE,
	/* node, route (the relay alone): that relay was to carry what goes to node, as it said it would,
	 * and nothing arrived, or much later than it said. It is not asked for node for a while */
	PATH_RELAY_BAD,
	/* node, state, route: for status and the log */
	PATH_STATE,
	/* node, on: a probe by the way in use was lost, so that it may be dead; or it is known by now
	 * whether it is. Who can do without that way may leave it at once */
	PATH_DOUBT,
};

struct path_act {
	enum path_act_type type;
	struct node_key node;
	struct path_route route;
	struct ep ep;
	uint8_t via;
	bool on, halves;
	enum path_state state;
	unsigned mtu;
	uint16_t pad_to;
	const uint8_t *buf; /* borrowed until the next call of any path_ function */
	size_t len;
};

/* @cfg is copied. Returns owned; NULL: no memory. */
struct path *path_new(const struct path_cfg *cfg, ts_t now);
void path_free(struct path *p); /* NULL is fine */

/* What records say of a node. */
struct path_node {
	bool relay;           /* it forwards for others */
	const struct ep *eps; /* where it says that it can be reached, best first; borrowed */
	size_t neps;          /* what exceeds LIM_ENDPOINTS_PER_NODE is not used */
};
/* A node is known, or what is known of it changed. ERR_FULL (LIM_NODES), ERR_NOMEM: not known;
 * ERR_REFUSED: ourselves; ERR_CONFLICT: another node has the same label. */
int path_node_set(
	struct path *p, const struct node_key *node, const struct path_node *info, ts_t now);
/* The node is gone; its link, if there is one, too. */
void path_node_del(struct path *p, const struct node_key *node, ts_t now);
/* An endpoint of @node that was seen or configured, beside what it says itself; @configured ones
 * are dialled first. The oldest seen one gives way at the bound. ERR_NOT_FOUND, ERR_RANGE: not an
 * endpoint that can be dialled. */
int path_endpoint_add(struct path *p, const struct node_key *node, const struct ep *ep,
	bool configured, ts_t now);

/* Own endpoints: addresses of this host with our port. Copied, the first LIM_ENDPOINTS_PER_NODE. */
void path_local(struct path *p, const struct ep *eps, size_t n, ts_t now);
/* @reporter sees us at @ep: when that is none of path_local(), we are behind a NAT. */
void path_observed(struct path *p, const struct node_key *reporter, const struct ep *ep, ts_t now);
/* The underlay interface's MTU changed; bytes, brought into PLPMTU_MIN..65535. */
void path_set_mtu(struct path *p, unsigned mtu, ts_t now);

/* A session with @node stands. @ep: its endpoint, NULL if it came through relays; then @route is
 * the way back (NULL: the one that we dialled through). Again for a link that is up: its endpoint
 * moved. ERR_NOT_FOUND: path_node_set() first; ERR_RANGE: a route with a node twice, or through a
 * node that we have no direct link with. */
int path_link_up(struct path *p, const struct node_key *node, const struct ep *ep,
	const struct path_route *route, ts_t now);
void path_link_down(struct path *p, const struct node_key *node, ts_t now);
/* Traffic wants to reach @node, which has no session: find a way until path_unwant() or a link.
 * ERR_NOT_FOUND. */
int path_want(struct path *p, const struct node_key *node, ts_t now);
/* It is wanted, and now there is reason to hope, or hurry: it was heard of again, or data waits for it. A
 * round of attempts that waits for its time begins within two seconds. Else nothing happens. */
void path_hasten(struct path *p, const struct node_key *node, ts_t now);
void path_unwant(struct path *p, const struct node_key *node, ts_t now);
/* The dial asked for by PATH_CONNECT failed before its time: the next endpoint is tried. */
void path_connect_failed(struct path *p, const struct node_key *node, ts_t now);

/* Data flows: @last_tx is when data last left for @node from source port @via (0: main port, or by
 * relay), @last_rx when anything last came from it by any port; TS_ZERO: never. Call it each 50 to
 * 100 ms for those that have something new. ERR_NOT_FOUND, ERR_RANGE (via), ERR_NOMEM (the port is
 * not watched this time). */
int path_traffic(struct path *p, const struct node_key *node, uint8_t via, ts_t last_tx,
	ts_t last_rx, ts_t now);
/* The session core turned a side port on (its own probe was answered) or off. */
void path_side_port(struct path *p, const struct node_key *node, uint8_t via, bool on, ts_t now);
/* A round trip of @node's session was measured elsewhere (PING), on the path in use. */
void path_rtt(struct path *p, const struct node_key *node, dur_t rtt, ts_t now);
/* The interface refused a PATH_SEND with pad_to @size (EMSGSIZE). */
void path_refused(struct path *p, const struct node_key *node, uint16_t size, ts_t now);

/* Where a message came from. */
struct path_from {
	struct node_key node; /* its session opened it */
	bool relayed;
	struct ep ep; /* where the datagram came from, unless relayed */
};
/* One WIRE_CTL_PATH body. ERR_TRUNCATED, ERR_MALFORMED, ERR_UNSUPPORTED (message type),
 * ERR_NOT_FOUND (no link with that node), ERR_STALE (answers nothing), ERR_LIMIT (over a rate),
 * ERR_REFUSED (we don't relay; it is told so), ERR_FULL: counted, harmless. Borrows @buf. */
int path_recv(
	struct path *p, const struct path_from *from, const uint8_t *buf, size_t len, ts_t now);
void path_tick(struct path *p, ts_t now);
/* When to call path_tick() next. Holds after path_next() was drained. */
ts_t path_deadline(const struct path *p);
/* Take the next action; false (and PATH_NONE): none. USE, SIDE_PORT, MTU, STATE, DOUBT tell the newest
 * state of a node, not each step to it. */
bool path_next(struct path *p, struct path_act *out);

/* For status. */
enum path_nat { PATH_NAT_UNKNOWN, PATH_NAT_NONE, PATH_NAT_STEADY, PATH_NAT_VARYING };
struct path_info {
	enum path_state state;
	struct path_route route;
	struct ep ep; /* of the direct path, as far as known */
	dur_t rtt;    /* of the path in use; < 0: not measured */
	unsigned loss_permille;
	unsigned mtu;
	bool doubt; /* as PATH_DOUBT told */
	bool mtu_searching, halves;
	unsigned side_ports_off; /* own source ports turned off for want of answers */
	uint32_t black_holes;
	uint32_t switches; /* between paths, since the link came up */
};
/* 0 or ERR_NOT_FOUND. */
int path_get(const struct path *p, const struct node_key *node, struct path_info *out);
/* VARYING: the mapping depends on whom we send to, so that a punch seldom works. */
enum path_nat path_nat(const struct path *p);

struct path_stats {
	uint64_t nodes, links, relayed, lost; /* at present */
	uint64_t probes_tx, replies_rx, mtu_probes_tx, asks_tx, asks_rx, answers_tx, answers_rx;
	uint64_t deaths;     /* paths in use found dead */
	uint64_t returns;    /* to the direct path */
	uint64_t reroutes;   /* from relay to relay */
	uint64_t relays_bad; /* ways through relays that were not what the relay had said */
	uint64_t side_off, side_on;
	uint64_t punches_asked, punches_arranged, punches_opened;
	uint64_t rx_bad, rx_stale, rx_limited, rx_refused;
	uint64_t dropped; /* messages not sent: LIM_PATH_SENDS, LIM_PATH_PROBES_PER_SEC */
};
void path_stats(const struct path *p, struct path_stats *out);

#endif
