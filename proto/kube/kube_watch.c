/* kube_watch.c - the state machine of list and watch.
 *
 * States: STOPPED -> WAITING (until a time) -> LISTING -> WATCHING; from the last two back to WAITING on
 * any failure, and from WATCHING to WATCHING when the server ends a watch as announced. What to do after
 * WAITING is remembered: list from the start, the next part of a list, or watch from a version.
 *
 * The first list takes what the server's cache has (resourceVersion=0), which costs the cluster's store
 * nothing when thousands of nodes start at once. After 410 Gone, and after watches that keep failing, the
 * list asks for the newest state, since the cache of another server may be older than what we know: time
 * never runs back. A list that expires between two parts is begun again without parts.
 *
 * Back-off: 0.8 s doubling to 30 s, half of it jitter; a server's Retry-After counts if it is longer. It
 * starts over when a list is whole or a watch brought an event. Bounds: LIM_KUBE_OBJECT_BYTES for each object,
 * KUBE_CONTINUE_MAX for a token; one request at a time. Failure: told in stats, tried again for ever. */
#include "kube_watch.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kube_split.h"
#include "prng.h"
#include "weft/bounds.h"
#include "weft/err.h"

#define NODES "/api/v1/nodes"

enum state { STOPPED, WAITING, LISTING, WATCHING };

/* LIST_PARTS_OFF: begun again because a part had expired. */
enum list_kind { LIST_CACHED, LIST_NEWEST, LIST_PARTS_OFF };

struct kube_watch {
	enum state state;
	enum list_kind kind;
	bool listed;     /* rv is a version to watch from */
	bool head_ok;    /* the answer at hand is a 200 */
	bool list_whole; /* nothing of the list at hand was skipped */
	bool part_done;  /* the part's object came to its end */
	bool fruitful;   /* the watch at hand brought something */
	char rv[KUBE_RV_MAX + 1];
	char *more; /* continue token of the list at hand, owned */
	ts_t wait_until, silence_at, give_up_at;
	bool act_begin, act_end, act_request, act_cancel;
	char *path; /* of act_request, owned */
	struct kube_split *split;
	struct prng prng;
	struct kube_node node; /* of a list */
	struct kube_event event;
	struct kube_watch_stats stats;
};

struct kube_watch *kube_watch_new(uint64_t seed)
{
	struct kube_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->split = kube_split_new(LIM_KUBE_OBJECT_BYTES);
	if (!w->split) {
		free(w);
		return NULL;
	}
	prng_seed(&w->prng, seed);
	w->wait_until = w->silence_at = w->give_up_at = TS_NEVER;
	return w;
}

void kube_watch_free(struct kube_watch *w)
{
	if (!w)
		return;
	free(w->path);
	free(w->more);
	kube_split_free(w->split);
	free(w);
}

static void set_more(struct kube_watch *w, char *more)
{
	free(w->more);
	w->more = more;
}

static void wait_for(struct kube_watch *w, ts_t until)
{
	w->state = WAITING;
	w->wait_until = until;
	w->silence_at = w->give_up_at = TS_NEVER;
	w->head_ok = false;
	w->stats.watching = false;
}

void kube_watch_start(struct kube_watch *w, ts_t now)
{
	if (w->state == STOPPED)
		wait_for(w, now);
}

bool kube_watch_busy(const struct kube_watch *w)
{
	return w->state == LISTING || w->state == WATCHING;
}

void kube_watch_relist(struct kube_watch *w, ts_t now)
{
	if (w->state == STOPPED)
		return;
	w->act_cancel |= kube_watch_busy(w);
	w->act_request = w->act_end = false;
	set_more(w, NULL);
	w->listed = false;
	w->kind = LIST_NEWEST;
	wait_for(w, now);
}

/* What the failures so far ask for, with jitter; @least if that is longer. */
static dur_t backoff(struct kube_watch *w, dur_t least)
{
	unsigned n = w->stats.failures < 6 ? w->stats.failures : 6;
	int64_t ms = (int64_t)KUBE_WATCH_BACKOFF_MS << (n > 0 ? n - 1 : 0);

	if (ms > KUBE_WATCH_BACKOFF_MAX_MS)
		ms = KUBE_WATCH_BACKOFF_MAX_MS;
	dur_t d = prng_jitter(&w->prng, DUR_MS(ms), 50);
	return d.ns < least.ns ? prng_jitter(&w->prng, DUR_NS(least.ns + least.ns / 10), 9) : d;
}

static void fail(struct kube_watch *w, ts_t now, int retry_secs, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The request at hand is of no use: begin again later. The caller says if it must be cancelled. */
static void fail(struct kube_watch *w, ts_t now, int retry_secs, const char *fmt, ...)
{
	bool list = w->state == LISTING;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(w->stats.why, sizeof(w->stats.why), fmt, ap);
	va_end(ap);
	w->stats.failures++;
	if (list) {
		set_more(w, NULL); /* a half list is worth nothing */
	} else if (w->stats.failures >= KUBE_WATCH_RELIST_AFTER) {
		w->listed = false;
		w->kind = LIST_NEWEST;
	}
	if (retry_secs < 0 || retry_secs > LIM_KUBE_RETRY_SECS)
		retry_secs = LIM_KUBE_RETRY_SECS;
	wait_for(w, ts_add(now, backoff(w, DUR_SEC(retry_secs))));
}

/* What we hold is too old for the server, or a list's part is. */
static void expired(struct kube_watch *w, ts_t now)
{
	enum list_kind kind = w->state == LISTING && w->more ? LIST_PARTS_OFF : LIST_NEWEST;

	w->stats.expired++;
	w->listed = false;
	w->kind = kind;
	fail(w, now, 0, "410: the version is too old, listing anew");
}

void kube_watch_head(struct kube_watch *w, int status, int retry_after_secs, ts_t now)
{
	if (!kube_watch_busy(w))
		return;
	if (status == 200) {
		w->head_ok = true;
		w->silence_at = w->state == LISTING ? ts_add(now, DUR_SEC(KUBE_WATCH_SILENCE_SECS))
						    : TS_NEVER;
		w->stats.watching = w->state == WATCHING;
		return;
	}
	w->act_cancel = true;
	if (status == 410) {
		expired(w, now);
		return;
	}
	if (status == 401 || status == 403)
		w->stats.refused++;
	else
		w->stats.failed++;
	fail(w, now, retry_after_secs, "the API answers %d to a %s", status,
		w->state == LISTING ? "list" : "watch");
}

static void bad_answer(struct kube_watch *w, ts_t now, const char *what, int err)
{
	w->stats.malformed++;
	w->act_cancel = true;
	fail(w, now, 0, "%s: %s", what, err_str(err));
}

/* A part of a list ended: its version and token. */
static void take_list_end(struct kube_watch *w, const char *text, size_t len, ts_t now)
{
	struct kube_list_meta m;
	int err = text ? kube_list_meta_read(text, len, &m) : ERR_LIMIT;

	if (err) {
		bad_answer(w, now, "a list without its end", err);
		return;
	}
	memcpy(w->rv, m.rv, sizeof(w->rv));
	set_more(w, (char *)m.more);
	w->part_done = true;
}

static void skip_object(struct kube_watch *w)
{
	w->stats.skipped++;
	w->list_whole = false;
}

/* 1: @out is filled. */
static int take_item(
	struct kube_watch *w, const char *text, size_t len, struct kube_watch_change *out)
{
	if (kube_node_read(text, len, &w->node) != 0) {
		skip_object(w);
		return 0;
	}
	w->stats.nodes++;
	w->stats.odd += w->node.odd;
	*out = (struct kube_watch_change){.gone = false, .node = &w->node};
	return 1;
}

static void take_error(struct kube_watch *w, ts_t now)
{
	w->act_cancel = true;
	if (w->event.code == 410) {
		expired(w, now);
		return;
	}
	w->stats.failed++;
	fail(w, now, w->event.retry_secs, "the watch ended with error %d", w->event.code);
}

/* 1: @out is filled. */
static int take_event(
	struct kube_watch *w, const char *text, size_t len, ts_t now, struct kube_watch_change *out)
{
	int err = kube_event_read(text, len, &w->event);

	if (err) {
		bad_answer(w, now, "an event", err);
		return 0;
	}
	if (w->event.type == KUBE_EVENT_ERROR) {
		take_error(w, now);
		return 0;
	}
	if (w->event.rv[0])
		memcpy(w->rv, w->event.rv, sizeof(w->rv));
	w->fruitful = true;
	w->stats.failures = 0;
	w->stats.why[0] = '\0';
	if (w->event.type == KUBE_EVENT_BOOKMARK)
		w->stats.bookmarks++;
	if (w->event.type == KUBE_EVENT_BOOKMARK || w->event.type == KUBE_EVENT_NONE)
		return 0;
	w->stats.events++;
	if (!w->event.has_node) {
		w->stats.skipped++;
		return 0;
	}
	w->stats.odd += w->event.node.odd;
	*out = (struct kube_watch_change){
		.gone = w->event.type == KUBE_EVENT_DELETED, .node = &w->event.node};
	return 1;
}

int kube_watch_feed(
	struct kube_watch *w, const char **p, size_t *len, ts_t now, struct kube_watch_change *out)
{
	const char *text;
	size_t text_len;

	if (w->state == LISTING && w->head_ok)
		w->silence_at = ts_add(now, DUR_SEC(KUBE_WATCH_SILENCE_SECS));
	while (kube_watch_busy(w) && w->head_ok && *len > 0) {
		int got = kube_split_feed(w->split, p, len, &text, &text_len), changed = 0;

		if (got < 0)
			bad_answer(w, now, w->state == LISTING ? "a list" : "a watch", got);
		else if (got == KUBE_SPLIT_SKIPPED)
			skip_object(w);
		else if (got == KUBE_SPLIT_LIST_END)
			take_list_end(w, text, text_len, now);
		else if (got == KUBE_SPLIT_OBJECT)
			changed = w->state == LISTING ? take_item(w, text, text_len, out)
						      : take_event(w, text, text_len, now, out);
		if (changed)
			return 1;
	}
	*p += *len;
	*len = 0;
	return 0;
}

static void list_closed(struct kube_watch *w, ts_t now)
{
	if (!w->head_ok || !w->part_done) {
		w->stats.failed++;
		fail(w, now, 0, "a list was cut");
		return;
	}
	if (!w->more) {
		w->stats.lists++;
		w->stats.failures = 0;
		w->stats.why[0] = '\0';
		w->listed = true;
		w->kind = LIST_NEWEST;
		w->act_end = true;
	}
	wait_for(w, now);
}

static void watch_closed(struct kube_watch *w, ts_t now)
{
	if (!kube_split_idle(w->split)) {
		w->stats.failed++;
		fail(w, now, 0, "a watch was cut in the middle of an event");
	} else if (!w->head_ok || !w->fruitful) {
		/* a quiet cluster's watch ends like this too: it lasted long, and that is no failure */
		if (w->head_ok &&
			ts_due(ts_add(w->wait_until, DUR_SEC(KUBE_WATCH_GRACE_SECS)), now)) {
			w->stats.failures = 0;
			wait_for(w, now);
			return;
		}
		w->stats.failed++;
		fail(w, now, 0, "a watch ended at once");
	} else {
		wait_for(w, now);
	}
}

void kube_watch_closed(struct kube_watch *w, const char *why, ts_t now)
{
	if (!kube_watch_busy(w))
		return;
	w->act_cancel = false;
	if (why) {
		w->stats.failed++;
		fail(w, now, 0, "%s", why);
	} else if (w->state == LISTING) {
		list_closed(w, now);
	} else {
		watch_closed(w, now);
	}
}

/* Append @text, percent-encoded (RFC 3986 2.3: all but the unreserved). */
static void add_encoded(char **p, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '-' || c == '.' || c == '_' || c == '~') {
			*(*p)++ = (char)c;
		} else {
			*(*p)++ = '%';
			*(*p)++ = hex[c >> 4];
			*(*p)++ = hex[c & 15];
		}
	}
	**p = '\0';
}

/* "@before@value", encoded. NULL: no memory. */
static char *make_path(const char *before, const char *value)
{
	size_t n = strlen(before);
	char *path = malloc(n + 3 * strlen(value) + 1), *p = path;

	if (!path)
		return NULL;
	memcpy(path, before, n);
	p += n;
	add_encoded(&p, value);
	return path;
}

static char *list_path(const struct kube_watch *w)
{
	char before[96];

	if (w->more) {
		(void)snprintf(
			before, sizeof(before), NODES "?limit=%d&continue=", KUBE_WATCH_CHUNK);
		return make_path(before, w->more);
	}
	if (w->kind == LIST_PARTS_OFF)
		return make_path(NODES, "");
	(void)snprintf(before, sizeof(before), NODES "?limit=%d%s", KUBE_WATCH_CHUNK,
		w->kind == LIST_CACHED ? "&resourceVersion=0" : "");
	return make_path(before, "");
}

static char *watch_path(const struct kube_watch *w, unsigned secs)
{
	char before[160];

	(void)snprintf(before, sizeof(before),
		NODES "?watch=1&allowWatchBookmarks=true&timeoutSeconds=%u&resourceVersion=", secs);
	return make_path(before, w->rv);
}

/* Send the next request. */
static void begin(struct kube_watch *w, ts_t now)
{
	unsigned secs = KUBE_WATCH_MIN_SECS + (unsigned)prng_below(&w->prng, KUBE_WATCH_MIN_SECS);
	char *path = w->listed ? watch_path(w, secs) : list_path(w);

	if (!path) {
		w->stats.failures++;
		wait_for(w, ts_add(now, backoff(w, DUR_SEC(1))));
		return;
	}
	free(w->path);
	w->path = path;
	w->act_request = true;
	w->wait_until = now; /* when it began */
	w->head_ok = w->part_done = w->fruitful = false;
	w->silence_at = ts_add(now, DUR_SEC(KUBE_WATCH_SILENCE_SECS));
	if (w->listed) {
		w->state = WATCHING;
		w->stats.watches++;
		w->give_up_at = ts_add(now, DUR_SEC(secs + KUBE_WATCH_GRACE_SECS));
		kube_split_reset(w->split, KUBE_SPLIT_SEQUENCE);
		return;
	}
	w->state = LISTING;
	w->give_up_at = ts_add(now, DUR_SEC(KUBE_WATCH_LIST_SECS));
	kube_split_reset(w->split, KUBE_SPLIT_LIST);
	if (!w->more) {
		w->list_whole = true;
		w->act_begin = true;
	}
}

void kube_watch_tick(struct kube_watch *w, ts_t now)
{
	if (w->state == WAITING && ts_due(w->wait_until, now) && !w->act_end) {
		begin(w, now);
		return;
	}
	if (!kube_watch_busy(w))
		return;
	if (w->state == WATCHING && ts_due(w->give_up_at, now) && w->head_ok &&
		kube_split_idle(w->split)) {
		/* The server forgot to end it. Not its fault that nothing happened. */
		w->act_cancel = true;
		wait_for(w, now);
	} else if (ts_due(w->silence_at, now) || ts_due(w->give_up_at, now)) {
		w->act_cancel = true;
		w->stats.failed++;
		fail(w, now, 0, "no answer in time to a %s",
			w->state == LISTING ? "list" : "watch");
	}
}

ts_t kube_watch_deadline(const struct kube_watch *w)
{
	switch (w->state) {
	case WAITING:
		return w->wait_until;
	case LISTING:
	case WATCHING:
		return ts_min(w->silence_at, w->give_up_at);
	default:
		return TS_NEVER;
	}
}

bool kube_watch_next(struct kube_watch *w, struct kube_watch_act *out)
{
	*out = (struct kube_watch_act){.type = KUBE_WATCH_NONE};
	if (w->act_cancel) {
		w->act_cancel = false;
		out->type = KUBE_WATCH_CANCEL;
	} else if (w->act_end) {
		w->act_end = false;
		out->type = KUBE_WATCH_LIST_END;
		out->whole = w->list_whole;
	} else if (w->act_begin) {
		w->act_begin = false;
		out->type = KUBE_WATCH_LIST_BEGIN;
	} else if (w->act_request) {
		w->act_request = false;
		out->type = KUBE_WATCH_REQUEST;
		out->path = w->path;
	}
	return out->type != KUBE_WATCH_NONE;
}

void kube_watch_stats(const struct kube_watch *w, struct kube_watch_stats *out)
{
	*out = w->stats;
}
