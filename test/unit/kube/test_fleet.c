/* Decisions, against a model of weftd and of the API in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fault.h"
#include "kube_fleet.h"
#include "weft/bounds.h"
#include "weft/err.h"

struct bench {
	struct kube_fleet *f;
	ts_t now;
	struct kube_daemon d;
	bool daemon_up, old_daemon; /* old: knows neither prefix-set nor node-deleted */
	enum kube_fleet_result api; /* what patches get */
	bool dials_work;
	char log[8192]; /* "prefix-set TEXT\n" and so on */
	unsigned relists, asks, count[KUBE_FLEET_NACTS];
};

static void begin(struct bench *b)
{
	struct kube_fleet_conf c = {.node = "me",
		.port = 6793,
		.cni_conf = true,
		.seed = 3,
		.hash_key = "0123456789abcde"};

	memset(b, 0, sizeof(*b));
	b->f = kube_fleet_new(&c);
	assert_non_null(b->f);
	b->now = (ts_t){1000000000};
	b->daemon_up = true;
	b->dials_work = true;
	b->d.epoch = 1;
	b->d.pods_ready = true;
	strcpy(b->d.key, "mykey");
}

static void note(struct bench *b, const char *what, const char *text)
{
	size_t n = strlen(b->log);

	(void)snprintf(b->log + n, sizeof(b->log) - n, "%s%s%s\n", what, *text ? " " : "", text);
}

static enum kube_fleet_result connect_target(struct bench *b, const char *text, bool add)
{
	for (size_t i = 0; i < b->d.ntargets; i++)
		if (strcmp(b->d.targets[i].text, text) == 0) {
			if (add)
				return KUBE_FLEET_REFUSED;
			b->d.targets[i] = b->d.targets[--b->d.ntargets];
			return KUBE_FLEET_OK;
		}
	if (!add)
		return KUBE_FLEET_REFUSED;
	assert_true(b->d.ntargets < KUBE_DAEMON_TARGETS);
	(void)snprintf(b->d.targets[b->d.ntargets].text, EP_STRLEN, "%s", text);
	b->d.targets[b->d.ntargets++].established = b->dials_work;
	return KUBE_FLEET_OK;
}

static void act(struct bench *b, const struct kube_fleet_act *a)
{
	static const char *const names[] = {"ask", "prefix-set", "node-deleted", "node-added",
		"connect", "forget", "patch-node", "patch-status", "cni-conf"};
	enum kube_fleet_result r = KUBE_FLEET_OK;

	if (a->type == KUBE_FLEET_RELIST) {
		b->relists++;
		return;
	}
	b->count[a->type]++;
	if (a->type == KUBE_FLEET_ASK) {
		b->asks++;
		kube_fleet_daemon(b->f, b->daemon_up ? &b->d : NULL, b->now);
		r = b->daemon_up ? KUBE_FLEET_OK : KUBE_FLEET_FAILED;
	} else {
		note(b, names[a->type], a->text);
	}
	if (a->type == KUBE_FLEET_CONNECT || a->type == KUBE_FLEET_FORGET)
		r = connect_target(b, a->text, a->type == KUBE_FLEET_CONNECT);
	if (a->type == KUBE_FLEET_PATCH_NODE || a->type == KUBE_FLEET_PATCH_STATUS)
		r = b->api;
	if (b->old_daemon &&
		(a->type == KUBE_FLEET_PREFIX_SET || a->type == KUBE_FLEET_NODE_DELETED))
		r = KUBE_FLEET_UNKNOWN;
	kube_fleet_result(b->f, a->type, r, b->now);
}

static void pass(struct bench *b, unsigned secs)
{
	ts_t end = ts_add(b->now, DUR_SEC(secs));
	unsigned turns = 0;

	for (;;) {
		struct kube_fleet_act a;

		while (kube_fleet_next(b->f, &a)) {
			act(b, &a);
			assert_true(++turns < 20000); /* never in circles */
		}
		ts_t d = kube_fleet_deadline(b->f);
		if (ts_before(end, d)) {
			b->now = end;
			return;
		}
		assert_true(ts_before(b->now, d)); /* drained: nothing is due */
		b->now = d;
		kube_fleet_tick(b->f, b->now);
	}
}

static struct kube_node node(const char *name, const char *uid, const char *cidr, const char *ip)
{
	struct kube_node n = {0};

	(void)snprintf(n.name, sizeof(n.name), "%s", name);
	(void)snprintf(n.uid, sizeof(n.uid), "%s", uid);
	if (cidr)
		assert_int_equal(pfx_parse(cidr, &n.cidrs[n.ncidrs++]), 0);
	if (ip)
		assert_int_equal(ip_parse(ip, &n.addrs[n.naddrs++]), 0);
	return n;
}

static void put(struct bench *b, struct kube_node n)
{
	assert_int_equal(kube_fleet_node(b->f, &n, b->now), 0);
}

/* "me" and nodes n0 .. n(count-1), but for those of [from, to), as one whole list. */
static void list(struct bench *b, unsigned count, unsigned from, unsigned to, bool own)
{
	char name[16], ip[24];

	kube_fleet_list_begin(b->f);
	if (own)
		put(b, node("me", "me-1", "10.1.0.0/24", "192.0.2.1"));
	for (unsigned i = 0; i < count; i++) {
		if (i >= from && i < to)
			continue;
		(void)snprintf(name, sizeof(name), "n%u", i);
		(void)snprintf(ip, sizeof(ip), "10.99.%u.%u", i / 250, i % 250 + 1);
		put(b, node(name, "u", NULL, ip));
	}
	kube_fleet_list_end(b->f, true, b->now);
}

static struct kube_fleet_stats stats(const struct bench *b)
{
	struct kube_fleet_stats s;

	kube_fleet_stats(b->f, &s);
	return s;
}

static unsigned times(const struct bench *b, const char *line)
{
	unsigned n = 0;

	for (const char *p = b->log; (p = strstr(p, line)); p++)
		n++;
	return n;
}

static void prefixes(void **state)
{
	struct bench b;
	struct kube_node me = node("me", "me-1", "10.1.0.0/24", "192.0.2.1");

	begin(&b);
	pass(&b, 20);
	assert_int_equal(times(&b, "prefix-set"), 0); /* nothing is known yet */
	assert_int_equal(pfx_parse("fd00:1::/64", &me.cidrs[me.ncidrs++]), 0);
	put(&b, me);
	pass(&b, 60);
	assert_int_equal(times(&b, "prefix-set 10.1.0.0/24,fd00:1::/64\n"), 1);
	assert_true(stats(&b).prefixes_set);
	/* weftd was restarted: told again */
	b.d.epoch = 2;
	pass(&b, 60);
	assert_int_equal(times(&b, "prefix-set 10.1.0.0/24,fd00:1::/64\n"), 2);
	/* made anew with another prefix */
	put(&b, node("me", "me-2", "10.2.0.0/24", NULL));
	pass(&b, 60);
	assert_int_equal(times(&b, "prefix-set 10.2.0.0/24\n"), 1);
	/* without: what was given stays, claims are weftd's */
	put(&b, node("me", "me-3", NULL, NULL));
	pass(&b, 60);
	assert_int_equal(times(&b, "prefix-set"), 3);
	/* deleted: the pods that run keep theirs */
	me = node("me", "me-3", NULL, NULL);
	kube_fleet_gone(b.f, &me, b.now);
	pass(&b, 60);
	assert_int_equal(times(&b, "node-deleted"), 0);
	kube_fleet_free(b.f);
}

static void no_pod_cidr(void **state)
{
	struct bench b;

	begin(&b);
	put(&b, node("me", "me-1", NULL, "192.0.2.1"));
	pass(&b, 300);
	assert_int_equal(times(&b, "prefix-set"), 0);
	assert_in_range(times(&b, "patch-node"), 9, 11); /* nobody echoes it: every ECHO_SECS */
	kube_fleet_free(b.f);
}

static void daemon_away(void **state)
{
	struct bench b;

	begin(&b);
	b.daemon_up = false;
	list(&b, 10, 0, 0, true);
	pass(&b, 60);
	assert_string_equal(b.log, "");
	assert_in_range(b.asks, 40, 90);
	b.daemon_up = true;
	pass(&b, 3);
	assert_int_equal(times(&b, "prefix-set"), 1);
	kube_fleet_free(b.f);
}

static void old_daemon(void **state)
{
	struct bench b;
	struct kube_node n0 = node("n0", "u", NULL, NULL);

	begin(&b);
	b.old_daemon = true;
	list(&b, 2, 0, 0, true);
	pass(&b, 10);
	kube_fleet_gone(b.f, &n0, b.now);
	pass(&b, 200);
	assert_int_equal(times(&b, "prefix-set"), 1);
	assert_int_equal(times(&b, "node-deleted"), 1);
	assert_true(stats(&b).unknown_command);
	assert_int_equal(stats(&b).pending, 1);
	/* the rest works all the same */
	assert_true(times(&b, "connect") > 0 && times(&b, "patch-node") > 0);
	b.old_daemon = false;
	b.d.epoch++;
	pass(&b, 10);
	assert_int_equal(times(&b, "prefix-set"), 2);
	assert_int_equal(times(&b, "node-deleted n0\n"), 2);
	assert_int_equal(stats(&b).pending, 0);
	assert_false(stats(&b).unknown_command);
	kube_fleet_free(b.f);
}

static void deletions(void **state)
{
	struct bench b;
	struct kube_node n3 = node("n3", "u", NULL, NULL);

	begin(&b);
	list(&b, 20, 0, 0, true);
	pass(&b, 10);
	assert_int_equal(stats(&b).nodes, 21);
	kube_fleet_gone(b.f, &n3, b.now);
	kube_fleet_gone(b.f, &n3, b.now); /* twice, and one that nobody knows */
	n3 = node("nobody", "u", NULL, NULL);
	kube_fleet_gone(b.f, &n3, b.now);
	pass(&b, 10);
	assert_int_equal(times(&b, "node-deleted"), 1);
	assert_int_equal(times(&b, "node-deleted n3\n"), 1);
	/* a few that a whole list lacks */
	list(&b, 20, 3, 6, true);
	pass(&b, 10);
	assert_int_equal(times(&b, "node-deleted n4\n"), 1);
	assert_int_equal(times(&b, "node-deleted n5\n"), 1);
	assert_int_equal(stats(&b).nodes, 18);
	/* another uid: it was deleted in between; it is there all the same */
	put(&b, node("n7", "other", NULL, "10.99.0.8"));
	pass(&b, 10);
	assert_int_equal(times(&b, "node-deleted n7\n"), 1);
	assert_int_equal(stats(&b).nodes, 18);
	put(&b, node("n7", "other", NULL, "10.99.0.8"));
	pass(&b, 10);
	assert_int_equal(times(&b, "node-deleted n7\n"), 1);
	kube_fleet_free(b.f);
}

/* What came last of a name is what weftd hears last. */
static void added(struct bench *b, const char *name)
{
	char line[32];
	const char *gone, *there;

	(void)snprintf(line, sizeof(line), "node-deleted %s\n", name);
	gone = strstr(b->log, line);
	(void)snprintf(line, sizeof(line), "node-added %s\n", name);
	there = strstr(b->log, line);
	assert_true(gone && there && gone < there);
	assert_int_equal(times(b, "node-deleted"), 1);
	assert_int_equal(times(b, "node-added"), 1);
	b->log[0] = '\0';
}

/* A name that is there again is no deleted node; those of the first list were never told of as such. */
static void additions(void **state)
{
	struct bench b;
	struct kube_node n3 = node("n3", "u", NULL, NULL);
	struct kube_fleet_act a;

	begin(&b);
	list(&b, 20, 0, 0, true);
	pass(&b, 10);
	assert_int_equal(times(&b, "node-added"), 0);
	/* with another uid, and as two events with time between them, or none */
	put(&b, node("n3", "other", NULL, "10.99.0.4"));
	pass(&b, 10);
	added(&b, "n3");
	kube_fleet_gone(b.f, &n3, b.now);
	pass(&b, 10);
	put(&b, node("n3", "third", NULL, "10.99.0.4"));
	pass(&b, 10);
	added(&b, "n3");
	b.daemon_up = false;
	pass(&b, 10);
	kube_fleet_gone(b.f, &n3, b.now);
	put(&b, node("n3", "third", NULL, "10.99.0.4"));
	pass(&b, 10);
	b.daemon_up = true;
	pass(&b, 10);
	added(&b, "n3");
	/* gone again before weftd heard that it was there: not told */
	b.daemon_up = false;
	pass(&b, 10);
	put(&b, node("n3", "fourth", NULL, "10.99.0.4"));
	kube_fleet_gone(b.f, &n3, b.now);
	b.daemon_up = true;
	pass(&b, 10);
	assert_int_equal(times(&b, "node-deleted n3\n"), 1);
	assert_int_equal(times(&b, "node-added"), 0);
	/* deleted and back while it is told: what is under way is out of date */
	put(&b, node("n3", "fifth", NULL, "10.99.0.4"));
	kube_fleet_tick(b.f, b.now);
	while (kube_fleet_next(b.f, &a) && a.type != KUBE_FLEET_NODE_ADDED)
		act(&b, &a);
	assert_int_equal(a.type, KUBE_FLEET_NODE_ADDED);
	put(&b, node("n3", "sixth", NULL, "10.99.0.4"));
	b.log[0] = '\0';
	kube_fleet_result(b.f, a.type, KUBE_FLEET_OK, b.now);
	pass(&b, 10);
	added(&b, "n3");
	/* weftd could not take the deletion: that first, and again */
	put(&b, node("n3", "seventh", NULL, "10.99.0.4"));
	kube_fleet_tick(b.f, b.now);
	while (kube_fleet_next(b.f, &a) && a.type != KUBE_FLEET_NODE_DELETED)
		act(&b, &a);
	assert_int_equal(a.type, KUBE_FLEET_NODE_DELETED);
	kube_fleet_result(b.f, a.type, KUBE_FLEET_FAILED, b.now);
	pass(&b, 10);
	added(&b, "n3");
	/* the own one is never told of */
	put(&b, node("me", "me-2", "10.1.0.0/24", "192.0.2.1"));
	pass(&b, 10);
	assert_int_equal(times(&b, "node-"), 0);
	kube_fleet_free(b.f);
}

static void list_with_gaps(void **state)
{
	struct bench b;

	begin(&b);
	list(&b, 20, 0, 0, true);
	kube_fleet_list_begin(b.f);
	put(&b, node("me", "me-1", NULL, NULL));
	kube_fleet_list_end(b.f, false, b.now); /* something of it could not be read */
	kube_fleet_list_begin(b.f);             /* and one that never ends */
	pass(&b, 200);
	assert_int_equal(times(&b, "node-deleted"), 0);
	assert_int_equal(b.relists, 0);
	kube_fleet_free(b.f);
}

/* Too many at once are believed by the second list only. */
static void mass_absence(void **state)
{
	struct bench b;

	begin(&b);
	list(&b, 20, 0, 0, true);
	list(&b, 20, 5, 15, true);
	pass(&b, KUBE_FLEET_HOLD_SECS - 1);
	assert_int_equal(times(&b, "node-deleted"), 0);
	assert_int_equal(stats(&b).held, 10);
	assert_int_equal(b.relists, 0);
	pass(&b, 2);
	assert_int_equal(b.relists, 1);
	list(&b, 20, 5, 10, true); /* half of them are there again */
	pass(&b, 10);
	assert_int_equal(times(&b, "node-deleted"), 5);
	assert_int_equal(stats(&b).held, 0);
	pass(&b, 300);
	assert_int_equal(b.relists, 1);
	kube_fleet_free(b.f);
}

/* A list without the own node is not of this cluster, or of a store that was emptied. */
static void list_without_own(void **state)
{
	struct bench b;

	begin(&b);
	list(&b, 20, 0, 0, true);
	for (unsigned i = 0; i < 300; i++) {
		list(&b, 2, 0, 0, false);
		pass(&b, KUBE_FLEET_HOLD_SECS + 1);
		assert_int_equal(b.relists, i + 1);
	}
	assert_int_equal(times(&b, "node-deleted"), 0);
	assert_int_equal(stats(&b).held, 19);
	kube_fleet_free(b.f);
}

/* All nodes dial the same few; whoever stays silent is replaced, and what others configured is left. */
static void anchors(void **state)
{
	struct bench b;
	char first[3][EP_STRLEN];

	begin(&b);
	(void)snprintf(b.d.targets[0].text, EP_STRLEN, "198.51.100.7:6793");
	b.d.ntargets = 1;
	list(&b, 100, 0, 0, true);
	pass(&b, 60);
	assert_int_equal(times(&b, "connect"), KUBE_FLEET_ANCHORS);
	assert_int_equal(times(&b, "forget"), 0);
	assert_int_equal(b.d.ntargets, 1 + KUBE_FLEET_ANCHORS);
	for (size_t i = 0; i < 3; i++)
		memcpy(first[i], b.d.targets[1 + i].text, EP_STRLEN);
	kube_fleet_free(b.f);

	/* another node, that knows them in another order, chooses the same */
	struct bench c;
	begin(&c);
	kube_fleet_list_begin(c.f);
	for (unsigned i = 100; i-- > 0;) {
		char name[16], ip[24];
		(void)snprintf(name, sizeof(name), "n%u", i);
		(void)snprintf(ip, sizeof(ip), "10.99.%u.%u", i / 250, i % 250 + 1);
		put(&c, node(name, "u", NULL, ip));
	}
	pass(&c, 60);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(strcmp(c.d.targets[0].text, first[i]) == 0 ||
					 strcmp(c.d.targets[1].text, first[i]) == 0 ||
					 strcmp(c.d.targets[2].text, first[i]) == 0,
			1);
	/* one dies */
	for (unsigned s = 0; s < KUBE_FLEET_PATIENCE_SECS + 20; s++) {
		for (size_t i = 0; i < c.d.ntargets; i++)
			c.d.targets[i].established = strcmp(c.d.targets[i].text, first[1]) != 0;
		pass(&c, 1);
	}
	assert_int_equal(times(&c, "connect"), KUBE_FLEET_ANCHORS + 1);
	assert_int_equal(times(&c, "forget"), 1);
	assert_int_equal(c.d.ntargets, KUBE_FLEET_ANCHORS);
	kube_fleet_free(c.f);
}

/* Nobody answers: a bounded number of targets at any time, all nodes are tried in turn. */
static void nobody_answers(void **state)
{
	struct bench b;

	begin(&b);
	b.dials_work = false;
	list(&b, 30, 0, 0, true);
	for (unsigned i = 0; i < 600; i++) {
		pass(&b, 1);
		assert_true(b.d.ntargets <= 2 * KUBE_FLEET_ANCHORS);
	}
	assert_true(times(&b, "connect") > 30);
	assert_true(times(&b, "connect") < 150);
	kube_fleet_free(b.f);
}

/* Several addresses of one node are tried before it is given up. */
static void second_address(void **state)
{
	struct bench b;
	struct kube_node n = node("n", "u", NULL, NULL);

	begin(&b);
	b.dials_work = false;
	assert_int_equal(ep_parse("192.0.2.9:1", 0, &n.eps[n.neps++]), 0);
	assert_int_equal(ep_parse("[2001:db8::9]:2", 0, &n.eps[n.neps++]), 0);
	put(&b, n);
	pass(&b, 120);
	assert_int_equal(times(&b, "connect 192.0.2.9:1\n"), 1);
	assert_int_equal(times(&b, "connect [2001:db8::9]:2\n"), 1);
	assert_int_equal(b.d.ntargets, 0); /* shunned */
	pass(&b, KUBE_FLEET_SHUN_SECS);
	assert_int_equal(times(&b, "connect 192.0.2.9:1\n"), 2);
	assert_int_equal(stats(&b).hinted, 1);
	kube_fleet_free(b.f);
}

static void publishing(void **state)
{
	struct bench b;
	struct kube_node me = node("me", "me-1", "10.1.0.0/24", "192.0.2.1");

	begin(&b);
	me.network_unavailable = KUBE_TRUE;
	b.d.pods_ready = false;
	put(&b, me);
	pass(&b, 20);
	assert_int_equal(
		times(&b, "patch-node {\"metadata\":{\"annotations\":{\"weft.mesh/key\":\"mykey\","
			  "\"weft.mesh/endpoints\":\"192.0.2.1:6793\"}}}\n"),
		1);
	assert_int_equal(
		times(&b, "patch-status"), 0); /* not before weftd says that pods may come */
	assert_int_equal(times(&b, "cni-conf"), 0);
	b.d.pods_ready = true;
	assert_int_equal(ep_parse("203.0.113.5:7000", 0, &b.d.eps[b.d.neps++]), 0);
	assert_int_equal(ep_parse("127.0.0.1:7000", 0, &b.d.eps[b.d.neps++]), 0);
	pass(&b, 20);
	assert_int_equal(times(&b, "patch-status"), 1);
	assert_int_equal(times(&b, "cni-conf"), 1);
	pass(&b, KUBE_FLEET_ECHO_SECS);
	assert_in_range(times(&b, "\"weft.mesh/endpoints\":\"203.0.113.5:7000\""), 1, 2);
	/* the watch shows what was patched: all is well */
	me.network_unavailable = KUBE_FALSE;
	strcpy(me.key, "mykey");
	strcpy(me.endpoints, "203.0.113.5:7000");
	put(&b, me);
	unsigned before = b.count[KUBE_FLEET_PATCH_NODE] + b.count[KUBE_FLEET_PATCH_STATUS];
	pass(&b, 3600);
	assert_int_equal(b.count[KUBE_FLEET_PATCH_NODE] + b.count[KUBE_FLEET_PATCH_STATUS], before);
	assert_true(stats(&b).published && stats(&b).network_set && stats(&b).cni_conf_set);
	/* somebody else writes our annotation: put back, but not in a race */
	for (unsigned i = 0; i < 60; i++) {
		strcpy(me.key, "stranger");
		put(&b, me);
		pass(&b, 1);
	}
	assert_in_range(b.count[KUBE_FLEET_PATCH_NODE], 3, 6);
	kube_fleet_free(b.f);
}

/* The API says no: asked ever more rarely, and nothing else suffers. */
static void refused(void **state)
{
	struct bench b;

	begin(&b);
	b.api = KUBE_FLEET_REFUSED;
	list(&b, 3, 0, 0, true);
	pass(&b, 3600);
	assert_in_range(b.count[KUBE_FLEET_PATCH_NODE], 8, 30);
	assert_int_equal(times(&b, "prefix-set"), 1);
	assert_true(stats(&b).refused[KUBE_FLEET_PATCH_NODE] > 0);
	assert_false(stats(&b).published);
	kube_fleet_free(b.f);
}

static void bounds(void **state)
{
	struct bench b;
	struct kube_node n = node("n", "u", NULL, "10.0.0.1");
	unsigned full = 0;

	begin(&b);
	for (unsigned i = 0; i < LIM_NODES + 10; i++) {
		(void)snprintf(n.name, sizeof(n.name), "n%u", i);
		int err = kube_fleet_node(b.f, &n, b.now);
		assert_true(err == 0 || err == ERR_FULL);
		full += err == ERR_FULL;
	}
	assert_int_equal(full, 10);
	assert_int_equal(stats(&b).passed_over, 10);
	assert_int_equal(stats(&b).nodes, LIM_NODES);
	pass(&b, 60);
	kube_fleet_free(b.f);
}

static void memory(void **state)
{
	FAULT_EACH(n)
	{
		struct kube_fleet_conf c = {.node = "me", .port = 6793};
		struct kube_fleet *f = kube_fleet_new(&c);
		struct kube_node one = node("n", "u", NULL, NULL);

		if (!f)
			continue;
		int err = kube_fleet_node(f, &one, (ts_t){1});
		assert_true(err == 0 || err == ERR_NOMEM);
		kube_fleet_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes),
		cmocka_unit_test(no_pod_cidr),
		cmocka_unit_test(daemon_away),
		cmocka_unit_test(old_daemon),
		cmocka_unit_test(deletions),
		cmocka_unit_test(additions),
		cmocka_unit_test(list_with_gaps),
		cmocka_unit_test(mass_absence),
		cmocka_unit_test(list_without_own),
		cmocka_unit_test(anchors),
		cmocka_unit_test(nobody_answers),
		cmocka_unit_test(second_address),
		cmocka_unit_test(publishing),
		cmocka_unit_test(refused),
		cmocka_unit_test(bounds),
		cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
