/* The list-watch machine in virtual time: what it asks for, in which order, after each kind of answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fault.h"
#include "kube_watch.h"
#include "prng.h"
#include "weft/bounds.h"
#include "weft/err.h"

#define LIST0 "/api/v1/nodes?limit=500&resourceVersion=0"
#define LISTN "/api/v1/nodes?limit=500"
#define LISTA "/api/v1/nodes"

struct bench {
	struct kube_watch *w;
	ts_t now;
	char path[600]; /* of the last request */
	unsigned requests, cancels, begins, ends, wholes;
	char changes[512]; /* "+name " and "-name " */
};

static void drain(struct bench *b)
{
	struct kube_watch_act a;

	while (kube_watch_next(b->w, &a)) {
		b->cancels += a.type == KUBE_WATCH_CANCEL;
		b->begins += a.type == KUBE_WATCH_LIST_BEGIN;
		b->ends += a.type == KUBE_WATCH_LIST_END;
		b->wholes += a.type == KUBE_WATCH_LIST_END && a.whole;
		if (a.type == KUBE_WATCH_REQUEST) {
			b->requests++;
			(void)snprintf(b->path, sizeof(b->path), "%s", a.path);
		}
	}
}

/* Let time pass, in steps of the deadline, up to @secs; stops at a request. True: one came. */
static bool pass(struct bench *b, double secs)
{
	ts_t end = ts_add(b->now, DUR_MS((int64_t)(secs * 1000)));
	unsigned before = b->requests;

	for (;;) {
		drain(b);
		if (b->requests != before)
			return true;
		ts_t d = kube_watch_deadline(b->w);
		if (ts_before(end, d)) {
			b->now = end;
			return false;
		}
		if (ts_before(b->now, d))
			b->now = d;
		kube_watch_tick(b->w, b->now);
	}
}

static void begin(struct bench *b)
{
	*b = (struct bench){.w = kube_watch_new(7), .now = {1000000000}};
	assert_non_null(b->w);
	drain(b);
	assert_true(ts_is_never(kube_watch_deadline(b->w)));
	kube_watch_start(b->w, b->now);
	assert_true(pass(b, 0));
	assert_string_equal(b->path, LIST0);
	assert_int_equal(b->begins, 1);
}

static void say(struct bench *b, const char *text)
{
	size_t len = strlen(text), n = strlen(b->changes);
	struct kube_watch_change c;

	while (kube_watch_feed(b->w, &text, &len, b->now, &c)) {
		n += (size_t)snprintf(b->changes + n, sizeof(b->changes) - n, "%c%s ",
			c.gone ? '-' : '+', c.node->name);
		assert_true(n < sizeof(b->changes));
	}
	assert_int_equal(len, 0);
	drain(b);
}

static void ok(struct bench *b, const char *text)
{
	kube_watch_head(b->w, 200, 0, b->now);
	say(b, text);
}

static void closed(struct bench *b, const char *why)
{
	kube_watch_closed(b->w, why, b->now);
	drain(b);
}

#define NODE(name) "{\"metadata\":{\"name\":\"" name "\",\"uid\":\"u\",\"resourceVersion\":\"7\"}}"
#define LIST(rv, more, items)                                                                      \
	"{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"" rv "\",\"continue\":\"" more \
	"\"},\"items\":[" items "]}"
#define EVENT(type, name, rv)                                                                      \
	"{\"type\":\"" type "\",\"object\":{\"kind\":\"Node\",\"metadata\":{\"name\":\"" name      \
	"\",\"uid\":\"u\",\"resourceVersion\":\"" rv "\"}}}\n"
#define BOOKMARK(rv)                                                                               \
	"{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Node\",\"metadata\":{\"resourceVersion\":"  \
	"\"" rv "\"}}}\n"

static struct kube_watch_stats stats(const struct bench *b)
{
	struct kube_watch_stats s;

	kube_watch_stats(b->w, &s);
	return s;
}

/* Up to a watch from version 10. */
static void to_watch(struct bench *b)
{
	begin(b);
	ok(b, LIST("10", "", NODE("a") "," NODE("b")));
	closed(b, NULL);
	assert_int_equal(b->ends, 1);
	assert_true(pass(b, 0));
	assert_non_null(strstr(b->path, "watch=1&allowWatchBookmarks=true&timeoutSeconds="));
	assert_non_null(strstr(b->path, "&resourceVersion=10"));
}

static void usual(void **state)
{
	struct bench b;

	to_watch(&b);
	assert_string_equal(b.changes, "+a +b ");
	ok(&b, EVENT("ADDED", "c", "11") EVENT("MODIFIED", "a", "12"));
	say(&b, EVENT("DELETED", "b", "13") BOOKMARK("20") EVENT("LATER", "x", "21"));
	assert_string_equal(b.changes, "+a +b +c +a -b ");
	assert_true(stats(&b).watching);
	/* the server ends the watch as announced: go on from the last version, at once */
	closed(&b, NULL);
	assert_true(pass(&b, 0));
	assert_non_null(strstr(b.path, "watch=1"));
	assert_non_null(strstr(b.path, "&resourceVersion=21"));
	assert_int_equal(stats(&b).failed + stats(&b).malformed, 0);
	kube_watch_free(b.w);
}

static void parts(void **state)
{
	struct bench b;

	begin(&b);
	ok(&b, LIST("10", "to/ken=+&", NODE("a")));
	closed(&b, NULL);
	assert_int_equal(b.ends, 0);
	assert_true(pass(&b, 0));
	assert_string_equal(b.path, "/api/v1/nodes?limit=500&continue=to%2Fken%3D%2B%26");
	ok(&b, LIST("11", "", NODE("b")));
	assert_int_equal(b.ends, 0); /* not before the answer is whole */
	closed(&b, NULL);
	assert_int_equal(b.ends, 1);
	assert_int_equal(b.wholes, 1);
	assert_int_equal(b.begins, 1);
	assert_true(pass(&b, 0));
	assert_non_null(strstr(b.path, "&resourceVersion=11"));
	kube_watch_free(b.w);
}

/* A part that expired: all anew, in one piece. */
static void part_expired(void **state)
{
	struct bench b;

	begin(&b);
	ok(&b, LIST("10", "t", NODE("a")));
	closed(&b, NULL);
	assert_true(pass(&b, 0));
	kube_watch_head(b.w, 410, 0, b.now);
	drain(&b);
	assert_int_equal(b.cancels, 1);
	assert_true(pass(&b, 2));
	assert_string_equal(b.path, LISTA);
	assert_int_equal(b.begins, 2);
	ok(&b, LIST("12", "", NODE("a")));
	closed(&b, NULL);
	assert_int_equal(b.ends, 1);
	kube_watch_free(b.w);
}

/* 410 as a status and as an event; the list that follows asks for the newest state. */
static void gone(void **state)
{
	for (int event = 0; event < 2; event++) {
		struct bench b;

		to_watch(&b);
		if (event)
			ok(&b, "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}"
			       "}");
		else
			kube_watch_head(b.w, 410, 0, b.now);
		drain(&b);
		assert_int_equal(b.cancels, 1);
		assert_true(pass(&b, 2));
		assert_string_equal(b.path, LISTN);
		assert_int_equal(stats(&b).expired, 1);
		kube_watch_free(b.w);
	}
}

static void cut_list(void **state)
{
	static const char *const texts[] = {"", "{\"kind\":\"NodeList\",\"items\":[" NODE("a"),
		LIST("", "", NODE("a")), "{\"kind\":\"NodeList\"}", "<html>", "{\"items\":[7]}"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct bench b;

		begin(&b);
		ok(&b, texts[i]);
		closed(&b, i % 2 ? NULL : "cut");
		assert_int_equal(b.ends, 0);
		assert_false(pass(&b, 0.3));
		assert_true(pass(&b, 2));
		assert_string_equal(b.path, LIST0);
		assert_int_equal(stats(&b).failures, 1);
		kube_watch_free(b.w);
	}
}

/* What can't be read is passed over, and the list is not taken for whole. */
static void odd_items(void **state)
{
	struct bench b;
	char *big = malloc(LIM_KUBE_OBJECT_BYTES + 100);

	begin(&b);
	memset(big, 'x', LIM_KUBE_OBJECT_BYTES + 99);
	memcpy(big,
		"{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" NODE(
			"a") ",{\"a\":\"",
		strlen("{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"9\"},\"items\":"
		       "[" NODE("a") ",{\"a\":\""));
	big[LIM_KUBE_OBJECT_BYTES + 99] = '\0';
	ok(&b, big);
	say(&b, "\"},{\"metadata\":7}," NODE("z") "]}");
	closed(&b, NULL);
	assert_string_equal(b.changes, "+a +z ");
	assert_int_equal(b.ends, 1);
	assert_int_equal(b.wholes, 0);
	assert_int_equal(stats(&b).skipped, 2);
	free(big);
	kube_watch_free(b.w);
}

static void silent(void **state)
{
	struct bench b;

	begin(&b);
	assert_false(pass(&b, KUBE_WATCH_SILENCE_SECS - 1));
	assert_true(pass(&b, 10));
	assert_int_equal(b.cancels, 1);
	/* a trickle holds it no longer than LIST_SECS */
	kube_watch_head(b.w, 200, 0, b.now);
	for (int i = 0; i < KUBE_WATCH_LIST_SECS / 10 - 1; i++) {
		say(&b, " ");
		assert_false(pass(&b, 10));
	}
	for (int i = 0; i < 2 && b.cancels == 1; i++) {
		say(&b, " ");
		(void)pass(&b, 10);
	}
	assert_int_equal(b.cancels, 2);
	kube_watch_free(b.w);
}

/* A watch without any event ends when the server said it would, or a little later by us; that is no
 * failure. One that ends at once is. */
static void quiet(void **state)
{
	struct bench b;
	int asked;

	to_watch(&b);
	assert_int_equal(sscanf(strstr(b.path, "timeoutSeconds="), "timeoutSeconds=%d", &asked), 1);
	assert_in_range(asked, KUBE_WATCH_MIN_SECS, 2 * KUBE_WATCH_MIN_SECS);
	kube_watch_head(b.w, 200, 0, b.now);
	assert_false(pass(&b, asked));
	closed(&b, NULL);
	assert_true(pass(&b, 0));
	assert_int_equal(stats(&b).failures, 0);
	kube_watch_head(b.w, 200, 0, b.now);
	assert_true(pass(&b, 2 * KUBE_WATCH_MIN_SECS + KUBE_WATCH_GRACE_SECS + 1));
	assert_int_equal(b.cancels, 1);
	assert_int_equal(stats(&b).failures, 0);
	kube_watch_head(b.w, 200, 0, b.now);
	closed(&b, NULL);
	assert_int_equal(stats(&b).failures, 1);
	assert_false(pass(&b, 0.3));
	kube_watch_free(b.w);
}

/* Watches that keep failing: the version we have may be of no use there. */
static void failing(void **state)
{
	struct bench b;
	ts_t before;
	int64_t waited = 0;

	to_watch(&b);
	for (unsigned i = 1; i < KUBE_WATCH_RELIST_AFTER; i++) {
		kube_watch_head(b.w, 500, 0, b.now);
		before = b.now;
		assert_true(pass(&b, 60));
		int64_t ms = dur_ms(ts_sub(b.now, before)), base = KUBE_WATCH_BACKOFF_MS << (i - 1);
		assert_in_range(ms, base / 2, base + base / 2);
		assert_non_null(strstr(b.path, "watch=1"));
		waited += ms;
	}
	assert_true(waited > 0);
	kube_watch_head(b.w, 504, 0, b.now);
	assert_true(pass(&b, 60));
	assert_string_equal(b.path, LISTN);
	for (int i = 0; i < 20; i++) {
		kube_watch_head(b.w, 403, 0, b.now);
		before = b.now;
		assert_true(pass(&b, 60));
		assert_true(dur_ms(ts_sub(b.now, before)) <= KUBE_WATCH_BACKOFF_MAX_MS * 3 / 2);
	}
	assert_int_equal(stats(&b).refused, 20);
	assert_string_equal(stats(&b).why, "the API answers 403 to a list");
	/* and all is forgotten once it works */
	ok(&b, LIST("10", "", ""));
	closed(&b, NULL);
	assert_int_equal(stats(&b).failures, 0);
	kube_watch_free(b.w);
}

static void retry_after(void **state)
{
	struct bench b;

	begin(&b);
	kube_watch_head(b.w, 429, 20, b.now);
	assert_false(pass(&b, 19.9));
	assert_true(pass(&b, 5));
	kube_watch_head(b.w, 503, 1 << 30, b.now); /* absurd: bounded */
	assert_true(pass(&b, LIM_KUBE_RETRY_SECS * 1.3));
	kube_watch_head(b.w, 503, -5, b.now);
	assert_true(pass(&b, LIM_KUBE_RETRY_SECS * 1.3));
	kube_watch_free(b.w);
}

static void torn_event(void **state)
{
	struct bench b;

	to_watch(&b);
	ok(&b, EVENT("ADDED", "c", "11") "{\"type\":\"MODI");
	closed(&b, NULL); /* as HTTP/2 or a close may look: whole, but it isn't */
	assert_int_equal(stats(&b).failures, 1);
	assert_true(pass(&b, 3));
	assert_non_null(strstr(b.path, "&resourceVersion=11"));
	/* garbage between events: what came before it counts */
	ok(&b, EVENT("ADDED", "d", "12") "garbage" EVENT("ADDED", "e", "13"));
	assert_int_equal(b.cancels, 1);
	assert_string_equal(b.changes, "+a +b +c +d ");
	say(&b, EVENT("ADDED", "f", "14")); /* still in the pipe: not for us any more */
	assert_string_equal(b.changes, "+a +b +c +d ");
	kube_watch_free(b.w);
}

static void relist(void **state)
{
	struct bench b;

	to_watch(&b);
	ok(&b, EVENT("ADDED", "c", "11"));
	kube_watch_relist(b.w, b.now);
	assert_true(pass(&b, 0));
	assert_int_equal(b.cancels, 1);
	assert_string_equal(b.path, LISTN);
	kube_watch_free(b.w);
}

/* Any sequence of inputs: one request at a time, begins before ends, never stuck. */
static void random_walk(void **state)
{
	static const char *const texts[] = {LIST("10", "", NODE("a")), LIST("10", "t", NODE("b")),
		EVENT("ADDED", "c", "11"), BOOKMARK("12"), "{", "}", "x",
		"{\"type\":\"ERROR\",\"object\":{}}", EVENT("DELETED", "a", "13")};
	static const int codes[] = {200, 200, 200, 401, 403, 410, 429, 500};
	uint64_t seed = 20261124;

	for (unsigned run = 0; run < 200; run++, seed++) {
		struct bench b = {.w = kube_watch_new(seed), .now = {1}};
		struct prng p;
		bool open = false;

		prng_seed(&p, seed);
		kube_watch_start(b.w, b.now);
		for (unsigned step = 0; step < 300; step++) {
			unsigned requests = b.requests, cancels = b.cancels;

			switch (prng_below(&p, 5)) {
			case 0:
				if (open)
					kube_watch_head(b.w, codes[prng_below(&p, 8)], 0, b.now);
				break;
			case 1:
			case 2:
				if (open)
					say(&b, texts[prng_below(&p, 9)]);
				break;
			case 3:
				if (open) {
					kube_watch_closed(
						b.w, prng_below(&p, 2) ? NULL : "cut", b.now);
					open = false;
				}
				break;
			default:
				(void)pass(&b, (double)prng_below(&p, 20));
			}
			drain(&b);
			if (b.cancels != cancels || b.requests != requests)
				open = b.requests != requests;
			b.changes[0] = '\0';
			if (open != kube_watch_busy(b.w) || b.ends > b.begins)
				fail_msg("seed %llu, step %u", (unsigned long long)seed, step);
			if (!open && !pass(&b, LIM_KUBE_RETRY_SECS * 2))
				fail_msg("seed %llu, step %u: stuck", (unsigned long long)seed,
					step);
			open = true;
		}
		kube_watch_free(b.w);
	}
}

static void memory(void **state)
{
	FAULT_EACH(n)
	{
		struct bench b = {.w = kube_watch_new(7), .now = {1}};

		if (!b.w)
			continue;
		kube_watch_start(b.w, b.now);
		if (!pass(&b, 0))
			assert_true(pass(&b, 5));
		ok(&b, LIST("10", "abc", NODE("a")));
		if (kube_watch_busy(b.w))
			closed(&b, NULL);
		assert_true(pass(&b, 5) || kube_watch_busy(b.w));
		kube_watch_free(b.w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usual),
		cmocka_unit_test(parts),
		cmocka_unit_test(part_expired),
		cmocka_unit_test(gone),
		cmocka_unit_test(cut_list),
		cmocka_unit_test(odd_items),
		cmocka_unit_test(silent),
		cmocka_unit_test(quiet),
		cmocka_unit_test(failing),
		cmocka_unit_test(retry_after),
		cmocka_unit_test(torn_event),
		cmocka_unit_test(relist),
		cmocka_unit_test(random_walk),
		cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
