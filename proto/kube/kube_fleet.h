/* kube_fleet.h - the cluster's nodes as Kubernetes has them, beside what weftd says of itself, and what is
 * to be done about the difference. No I/O, no clock.
 *
 * Call order: any input, then drain kube_fleet_next() until it returns false, then re-arm
 * kube_fleet_deadline(). Each action but RELIST is answered once by kube_fleet_result(); at most one is
 * under way for weftd, one for the API and one for the file. Everything is wanted until it is so: an
 * action that failed comes again, with back-off, and one that became needless does not. */
#ifndef WEFT_KUBE_FLEET_H
#define WEFT_KUBE_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kube_node.h"
#include "weft/ts.h"

struct kube_fleet; /* opaque */

enum kube_fleet_act_type {
	KUBE_FLEET_ASK,          /* weftd: how does it fare? kube_fleet_daemon, then the result */
	KUBE_FLEET_PREFIX_SET,   /* weftd: these are the node's prefixes */
	KUBE_FLEET_NODE_DELETED, /* weftd: this node's leases end */
	KUBE_FLEET_NODE_ADDED, /* weftd: there is such a node, whatever was said of that name before */
	KUBE_FLEET_CONNECT,    /* weftd: dial */
	KUBE_FLEET_FORGET,     /* weftd: stop dialling */
	KUBE_FLEET_PATCH_NODE,   /* API: merge patch of the own Node */
	KUBE_FLEET_PATCH_STATUS, /* API: strategic merge patch of its status */
	KUBE_FLEET_CNI_CONF,     /* file: the CNI configuration is to stand */
	KUBE_FLEET_NACTS,
	KUBE_FLEET_RELIST = KUBE_FLEET_NACTS, /* list all nodes anew; no result */
};

struct kube_fleet_act {
	enum kube_fleet_act_type type;
	/* Borrowed until the next call. PREFIX_SET: CIDRs separated by commas; NODE_DELETED,
	 * NODE_ADDED: its name;
	 * CONNECT, FORGET: HOST:PORT; PATCH_NODE: the body. */
	const char *text;
};

enum kube_fleet_result {
	KUBE_FLEET_OK,
	KUBE_FLEET_FAILED,  /* not reached, or busy: again soon */
	KUBE_FLEET_REFUSED, /* heard, and no */
	KUBE_FLEET_UNKNOWN, /* weftd has no such command: another version; again after its restart */
};

#define KUBE_DAEMON_EPS     16
#define KUBE_DAEMON_TARGETS 64
/* What weftd says. */
struct kube_daemon {
	uint64_t epoch; /* another one: it was restarted */
	char key[KUBE_KEY_MAX + 1];
	struct ep eps
		[KUBE_DAEMON_EPS]; /* its own endpoints; none: InternalIP and the port are taken */
	size_t neps;
	bool pods_ready; /* CNI STATUS would say 0 */
	struct {
		char text[EP_STRLEN];
		bool established;
	} targets[KUBE_DAEMON_TARGETS];
	size_t ntargets;
};

struct kube_fleet_conf {
	const char *node; /* the own Node's name; kept as a copy */
	uint16_t port;    /* weft's, where no annotation says more */
	bool cni_conf;    /* CNI_CONF is wanted */
	uint64_t seed;    /* of jitter */
	uint8_t hash_key[16];
};

struct kube_fleet_stats {
	uint64_t nodes, hinted; /* known; with endpoints annotated */
	uint64_t passed_over;   /* above LIM_NODES */
	uint64_t deletions;     /* told by the API */
	uint64_t pending;       /* deletions that weftd has not heard of yet */
	uint64_t held;          /* missing from a list, but too many at once to believe it */
	uint64_t done[KUBE_FLEET_NACTS], failed[KUBE_FLEET_NACTS], refused[KUBE_FLEET_NACTS];
	bool own_known, daemon_up, prefixes_set, published, network_set, cni_conf_set;
	bool unknown_command; /* weftd is too old for PREFIX_SET, NODE_DELETED or NODE_ADDED */
};

/* NULL: no memory. */
struct kube_fleet *kube_fleet_new(const struct kube_fleet_conf *c);
void kube_fleet_free(struct kube_fleet *f); /* NULL is fine */

/* A list begins; its nodes follow. A list that never ends changes nothing but what its nodes say. */
void kube_fleet_list_begin(struct kube_fleet *f);
/* It ended; @whole: nothing of it was passed over, so who was not in it is gone. */
void kube_fleet_list_end(struct kube_fleet *f, bool whole, ts_t now);
/* A node is as @n (borrowed) says. 0; ERR_FULL: LIM_NODES, passed over; ERR_NOMEM. */
int kube_fleet_node(struct kube_fleet *f, const struct kube_node *n, ts_t now);
/* A node was deleted. */
void kube_fleet_gone(struct kube_fleet *f, const struct kube_node *n, ts_t now);
/* What weftd said (borrowed); NULL: it does not answer. */
void kube_fleet_daemon(struct kube_fleet *f, const struct kube_daemon *d, ts_t now);
void kube_fleet_result(
	struct kube_fleet *f, enum kube_fleet_act_type type, enum kube_fleet_result r, ts_t now);
void kube_fleet_tick(struct kube_fleet *f, ts_t now);
ts_t kube_fleet_deadline(const struct kube_fleet *f);
/* False: nothing to do now. */
bool kube_fleet_next(struct kube_fleet *f, struct kube_fleet_act *out);
void kube_fleet_stats(const struct kube_fleet *f, struct kube_fleet_stats *out);

/* What the timers and numbers are, for tests. */
#define KUBE_FLEET_ASK_SECS      5
#define KUBE_FLEET_ECHO_SECS     30  /* for the watch to show what a patch did */
#define KUBE_FLEET_UNKNOWN_SECS  300 /* before an unknown command is tried again */
#define KUBE_FLEET_HOLD_SECS     60  /* before a list that lacks many is made again */
#define KUBE_FLEET_HOLD_MIN      3 /* so many missing are always believed; else a quarter at most */
#define KUBE_FLEET_ANCHORS       3 /* nodes that each node keeps dialling */
#define KUBE_FLEET_PATIENCE_SECS 20  /* for one address of an anchor */
#define KUBE_FLEET_SHUN_SECS     300 /* for an anchor that did not answer at all */

#endif
