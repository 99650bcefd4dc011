/* kube_watch.h - follows the cluster's Nodes: list, then watch, for ever. No I/O, no clock.
 *
 * Call order: any of the inputs (start, head, feed until it returns 0, closed, tick), then drain
 * kube_watch_next() to KUBE_WATCH_NONE, then re-arm kube_watch_deadline(). One request at a time;
 * what comes in for a request that was cancelled must not be fed (kube_watch_busy tells).
 *
 * Source: Kubernetes API concepts, "Efficient detection of changes", "Retrieving large results sets in
 * chunks", "Resource versions"; the same words in every version since 1.20. */
#ifndef WEFT_KUBE_WATCH_H
#define WEFT_KUBE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kube_node.h"
#include "weft/ts.h"

struct kube_watch; /* opaque */

enum kube_watch_act_type {
	KUBE_WATCH_NONE,
	KUBE_WATCH_LIST_BEGIN, /* from here on nodes come that belong to one list */
	KUBE_WATCH_LIST_END,   /* the list came whole: whoever was not in it is gone, see whole */
	KUBE_WATCH_REQUEST,    /* GET path */
	KUBE_WATCH_CANCEL,     /* end the request at hand; don't call kube_watch_closed for it */
};

struct kube_watch_act {
	enum kube_watch_act_type type;
	const char *path; /* REQUEST: borrowed until the next call */
	/* LIST_END: every node of the list could be read, so absence means deletion. */
	bool whole;
};

/* A change that kube_watch_feed found. Texts are borrowed until its next call. */
struct kube_watch_change {
	bool gone; /* the node was deleted; else it is as said here */
	const struct kube_node *node;
};

struct kube_watch_stats {
	uint64_t lists, watches, nodes, events, bookmarks;
	uint64_t expired;   /* 410: listed anew */
	uint64_t refused;   /* 401, 403 */
	uint64_t failed;    /* other answers, cuts, silence */
	uint64_t malformed; /* what could not be read: events, lists */
	uint64_t skipped;   /* objects that are too large, or no Nodes */
	uint64_t odd;       /* fields that were passed over */
	bool watching;      /* listed, and events come */
	unsigned failures;  /* in a row */
	char why[128];      /* the last failure, "" if all is well */
};

/* Nothing happens before kube_watch_start. @seed feeds the jitter. NULL: no memory. */
struct kube_watch *kube_watch_new(uint64_t seed);
void kube_watch_free(struct kube_watch *w); /* NULL is fine */
void kube_watch_start(struct kube_watch *w, ts_t now);
/* List anew, the newest state, ending what is under way. */
void kube_watch_relist(struct kube_watch *w, ts_t now);
/* The answer's status line came; @retry_after_secs as the header says, 0 if it doesn't. */
void kube_watch_head(struct kube_watch *w, int status, int retry_after_secs, ts_t now);
/* Eat from *@p up to the next change. 1: @out tells it, call again; 0: all is eaten (or thrown away: the
 * answer was bad, and a CANCEL is coming). */
int kube_watch_feed(
	struct kube_watch *w, const char **p, size_t *len, ts_t now, struct kube_watch_change *out);
/* The request ended. @why NULL: as it should; else cut, refused, unreachable, in words. */
void kube_watch_closed(struct kube_watch *w, const char *why, ts_t now);
/* A request is under way. */
bool kube_watch_busy(const struct kube_watch *w);
void kube_watch_tick(struct kube_watch *w, ts_t now);
ts_t kube_watch_deadline(const struct kube_watch *w);
bool kube_watch_next(struct kube_watch *w, struct kube_watch_act *out); /* false: NONE */
void kube_watch_stats(const struct kube_watch *w, struct kube_watch_stats *out);

/* What the timers are, for tests. */
#define KUBE_WATCH_BACKOFF_MS     800 /* doubles, with 50 % jitter, as the reference client's */
#define KUBE_WATCH_BACKOFF_MAX_MS 30000
#define KUBE_WATCH_SILENCE_SECS   30  /* of a list: cut */
#define KUBE_WATCH_LIST_SECS      300 /* for one part of a list: cut, however it trickles */
#define KUBE_WATCH_MIN_SECS       240 /* a watch: the server ends it after MIN to 2 * MIN */
#define KUBE_WATCH_GRACE_SECS     15  /* behind that, we do */
#define KUBE_WATCH_RELIST_AFTER   5   /* watches that failed in a row */
#define KUBE_WATCH_CHUNK          500 /* nodes of a list's part */

#endif
