/* The targets that the operator named: when each is called, given up, looked up and called again, with
 * everybody else played by the test and a clock that it turns.
 * wrap: loop_now sess_connect sess_cancel sess_peer_find gossip_node_get gossip_node_next peers_next
 * wrap: dp_has_ipv6 daemon_warn mesh_drain resolve_new resolve_start resolve_free */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "weft/err.h"
#include "daemon_int.h"
#include "fault.h"
#include "resolve.h"

#define CALLS_MAX 4096
#define STEP_MS   10
#define PATIENCE  4000 /* ms that dial.c gives a call */

ts_t __wrap_loop_now(void);
int __wrap_sess_connect(
	struct sess *s, const struct ep *to, const struct node_key *expect, ts_t give_up, ts_t t);
void __wrap_sess_cancel(struct sess *s, const struct ep *to, ts_t t);
uint32_t __wrap_sess_peer_find(const struct sess *s, const struct node_key *key);
int __wrap_gossip_node_get(
	const struct gossip *g, const struct node_key *key, struct gossip_node_info *out);
bool __wrap_gossip_node_next(const struct gossip *g, size_t *it, struct gossip_node_info *out);
bool __wrap_peers_next(const struct daemon *dd, uint32_t *it, struct peer **out);
bool __wrap_dp_has_ipv6(const struct dp *dp);
void __wrap_daemon_warn(struct daemon *dd, const char *fmt, ...);
void __wrap_mesh_drain(struct daemon *dd);
int __wrap_resolve_new(struct loop *l,
	void (*fn)(void *ctx, uint64_t tag, const struct ip *ips, size_t n, const char *error),
	void *ctx, struct resolver **out);
int __wrap_resolve_start(struct resolver *r, const char *host, uint64_t tag);
void __wrap_resolve_free(struct resolver *r);

static struct daemon *d;
static ts_t now;

/* What goes out: calls under way end unheard, PATIENCE after they began. */
static struct {
	struct ep to;
	int64_t at_ms;
	ts_t give_up;
} calls[CALLS_MAX];
static unsigned ncalls, nlookups, ncancelled, nwarned;
static struct ep in_flight; /* the one call that is under way; family IP_NONE: none */
static uint64_t lookup_tag;

/* What the rest of the daemon says. */
static struct peer other;            /* a session that stands, with another node; up: it does */
static struct gossip_node_info node; /* the one node that gossip knows; name NULL: none */
static uint32_t session;             /* with that node; 0: none */
static int connect_err, resolve_err;
static bool has_ipv6;
static bool busy; /* the driver ticks at each step, for others' deadlines */
static void (*resolved)(void *ctx, uint64_t tag, const struct ip *ips, size_t n, const char *error);

static int64_t ms(void)
{
	return (int64_t)(now.ns / 1000000);
}

/* --- in place of the clock and the rest of the daemon --- */

ts_t __wrap_loop_now(void)
{
	return now;
}

int __wrap_sess_connect(
	struct sess *s, const struct ep *to, const struct node_key *expect, ts_t give_up, ts_t t)
{
	(void)s;
	assert_null(expect);
	assert_true(t.ns == now.ns && ncalls < CALLS_MAX);
	calls[ncalls].to = *to;
	calls[ncalls].at_ms = ms();
	calls[ncalls++].give_up = give_up;
	if (connect_err == 0)
		in_flight = *to;
	return connect_err;
}

void __wrap_sess_cancel(struct sess *s, const struct ep *to, ts_t t)
{
	(void)s;
	(void)t;
	if (ep_eq(to, &in_flight))
		in_flight.ip.family = IP_NONE;
	ncancelled++;
}

uint32_t __wrap_sess_peer_find(const struct sess *s, const struct node_key *key)
{
	(void)s;
	return node.name && memcmp(key, &node.key, sizeof(*key)) == 0 ? session : 0;
}

int __wrap_gossip_node_get(
	const struct gossip *g, const struct node_key *key, struct gossip_node_info *out)
{
	(void)g;
	if (!node.name || memcmp(key, &node.key, sizeof(*key)) != 0)
		return ERR_NOT_FOUND;
	*out = node;
	return 0;
}

bool __wrap_gossip_node_next(const struct gossip *g, size_t *it, struct gossip_node_info *out)
{
	(void)g;
	if (!node.name || (*it)++ > 0)
		return false;
	*out = node;
	return true;
}

bool __wrap_peers_next(const struct daemon *dd, uint32_t *it, struct peer **out)
{
	(void)dd;
	if ((*it)++ > 0)
		return false;
	*out = &other;
	return true;
}

bool __wrap_dp_has_ipv6(const struct dp *dp)
{
	(void)dp;
	return has_ipv6;
}

void __wrap_daemon_warn(struct daemon *dd, const char *fmt, ...)
{
	(void)dd;
	(void)fmt;
	nwarned++;
}

void __wrap_mesh_drain(struct daemon *dd)
{
	(void)dd;
}

int __wrap_resolve_new(struct loop *l,
	void (*fn)(void *ctx, uint64_t tag, const struct ip *ips, size_t n, const char *error),
	void *ctx, struct resolver **out)
{
	(void)l;
	assert_ptr_equal(ctx, d);
	resolved = fn;
	*out = NULL;
	return 0;
}

int __wrap_resolve_start(struct resolver *r, const char *host, uint64_t tag)
{
	(void)r;
	assert_string_equal(host, "seed.example");
	if (resolve_err)
		return resolve_err;
	nlookups++;
	lookup_tag = tag;
	return 0;
}

void __wrap_resolve_free(struct resolver *r)
{
	(void)r;
}

/* --- the test's own hands --- */

static int setup(void **state)
{
	(void)state;
	d = calloc(1, sizeof(*d));
	assert_non_null(d);
	now = ts_add(TS_ZERO, DUR_SEC(1000));
	ncalls = nlookups = ncancelled = nwarned = 0;
	memset(&in_flight, 0, sizeof(in_flight));
	memset(&other, 0, sizeof(other));
	memset(&node, 0, sizeof(node));
	session = 0;
	connect_err = resolve_err = 0;
	has_ipv6 = true;
	busy = false;
	prng_seed(&d->prng, 7);
	assert_int_equal(dial_new(d, &d->dialer), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dial_free(d->dialer);
	free(d);
	return 0;
}

static struct ep at(const char *text)
{
	struct ep ep;

	assert_int_equal(ep_parse(text, WIRE_DEFAULT_PORT, &ep), 0);
	return ep;
}

static void add(const char *text)
{
	char err[160];

	assert_int_equal(dial_add_target(d, text, err, sizeof(err)), 0);
}

/* As the driver: tick when it is due, and a call that nobody answers is told after its patience. */
static void run(int64_t for_ms)
{
	for (int64_t end = ms() + for_ms; ms() < end;) {
		now = ts_add(now, DUR_MS(STEP_MS));
		if (in_flight.ip.family != IP_NONE && ts_due(calls[ncalls - 1].give_up, now)) {
			struct ep to = in_flight;

			in_flight.ip.family = IP_NONE;
			dial_failed(d, &to, NULL, -ETIMEDOUT);
		}
		if (busy || ts_due(dial_deadline(d), now))
			dial_tick(d, now);
	}
}

static void state_is(const char *state)
{
	struct target_info t;
	size_t it = 0;

	assert_true(dial_target_next(d, &it, &t));
	assert_string_equal(t.state, state);
}

static void error_has(const char *text)
{
	struct target_info t;
	size_t it = 0;

	assert_true(dial_target_next(d, &it, &t));
	assert_non_null(strstr(t.error, text));
}

/* Between the end of call @i and the beginning of the next. */
static int64_t pause_ms(unsigned i)
{
	assert_true(i + 1 < ncalls);
	return calls[i + 1].at_ms - calls[i].at_ms - PATIENCE;
}

static void pause_is(unsigned i, int64_t want_ms)
{
	assert_in_range(pause_ms(i), want_ms * 3 / 4 - STEP_MS, want_ms * 5 / 4 + STEP_MS);
}

/* --- the tests --- */

/* A node that is alone tries its seed after 1 s for as long as it takes: a seed that comes up after
 * hours is found at once. One that has company leaves it at 30 s. */
static void alone_it_tries_often(void **state)
{
	(void)state;
	add("192.0.2.1");
	state_is("waiting");
	assert_true(dial_pending(d));
	run(3600 * 1000);
	assert_true(ncalls > 3600 / 6 && ncalls <= 3600 / 4);
	assert_true(ep_eq(&calls[0].to, &(struct ep){{{192, 0, 2, 1}, IP_V4}, 6793, 0}));
	for (unsigned i = 0; i + 1 < ncalls; i++)
		pause_is(i, 1000);
	error_has("no answer");
	assert_true(dial_pending(d));
}

static void in_company_it_backs_off(void **state)
{
	static const int64_t want_ms[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
	unsigned first;

	(void)state;
	other.up = true;
	add("192.0.2.1");
	run(300 * 1000);
	for (unsigned i = 0; i < sizeof(want_ms) / sizeof(want_ms[0]); i++)
		pause_is(i, want_ms[i]);
	assert_false(dial_pending(d));

	/* The company goes: from the next failure on it is often again. */
	other.up = false;
	first = ncalls;
	run(90 * 1000);
	for (unsigned i = first; i + 1 < ncalls; i++)
		pause_is(i, 1000);
	assert_true(ncalls > first + 5);

	/* It comes back: the back-off begins where it was left. */
	other.up = true;
	first = ncalls;
	run(120 * 1000);
	assert_true(pause_ms(ncalls - 2) > pause_ms(first));
	assert_true(ncalls - first < 8);
}

/* A session at its address, whoever made it, is what a target is for; it is called again when that is
 * gone, however long that lasted, and soon. */
static void a_session_is_enough(void **state)
{
	unsigned n;

	(void)state;
	other.ep = at("192.0.2.1");
	other.up = true;
	add("192.0.2.1");
	run(60 * 1000);
	state_is("established");
	error_has("");
	assert_int_equal(ncalls, 0);
	assert_false(dial_pending(d));
	other.up = false;
	run(6 * 1000);
	assert_in_range(ncalls, 1, 2);
	run(30 * 1000);
	n = ncalls;
	assert_true(n >= 4);
	other.up = true;
	run(10 * 1000);
	state_is("established");
	n = ncalls;
	run(60 * 1000);
	assert_int_equal(ncalls, n);
}

/* The node that answered there is remembered: alive it is "known" without a session, and not called. */
static void the_node_that_answered(void **state)
{
	const struct ep ep = at("192.0.2.1");
	unsigned n;

	(void)state;
	busy = true;
	add("192.0.2.1");
	run(100);
	assert_int_equal(ncalls, 1);
	state_is("dialling");
	node.name = "one";
	memset(&node.key, 1, sizeof(node.key));
	node.linked = node.up = true;
	session = 3;
	dial_answered(d, &ep, &node.key);
	in_flight.ip.family = IP_NONE;
	run(100);
	state_is("established");
	session = 0;
	node.linked = false;
	run(6000);
	state_is("known");
	assert_false(dial_pending(d));
	run(120 * 1000);
	assert_int_equal(ncalls, 1);
	/* It dies. That address is called again, and answers as a node that has a session by then. */
	node.up = false;
	run(6000);
	assert_int_equal(ncalls, 2);
	state_is("dialling");
	in_flight.ip.family = IP_NONE;
	session = 4;
	node.up = true;
	dial_failed(d, &ep, &node.key, ERR_EXISTS);
	state_is("established");
	/* What is told of another's call changes nothing. */
	n = ncalls;
	dial_failed(d, &(struct ep){{{192, 0, 2, 9}, IP_V4}, 6793, 0}, NULL, -ETIMEDOUT);
	run(20 * 1000);
	assert_int_equal(ncalls, n);
	state_is("established");
}

/* By what a node publishes: one whose endpoint that is. */
static void known_by_its_record(void **state)
{
	const struct ep eps[] = {at("192.0.2.7"), at("192.0.2.1")};

	(void)state;
	node.name = "one";
	memset(&node.key, 1, sizeof(node.key));
	node.up = true;
	node.eps = eps;
	node.neps = 2;
	add("192.0.2.1");
	run(20 * 1000);
	state_is("known");
	assert_int_equal(ncalls, 0);
	node.linked = true;
	run(6 * 1000);
	state_is("established");
	/* Our own record is no reason. */
	node.self = true;
	run(6 * 1000);
	assert_int_equal(ncalls, 1);
}

/* A name is looked up before each round of tries, its addresses are called in order, and those of a
 * family that this host has not are passed over with a word. */
static void names(void **state)
{
	const struct ip both[] = {at("[2001:db8::1]").ip, at("192.0.2.1").ip},
			moved[] = {at("192.0.2.5").ip};

	(void)state;
	add("seed.example:7000");
	run(100);
	state_is("resolving");
	assert_int_equal(nlookups, 1);
	resolved(d, lookup_tag + 1, both, 2, ""); /* of a target that is gone */
	state_is("resolving");
	resolved(d, lookup_tag, both, 2, "");
	state_is("dialling");
	run(9 * 1000);
	assert_int_equal(ncalls, 2);
	assert_int_equal(calls[0].to.ip.family, IP_V6);
	assert_int_equal(calls[0].to.port, 7000);
	assert_int_equal(calls[1].to.ip.family, IP_V4);
	run(2 * 1000);
	assert_int_equal(nlookups, 2);
	resolved(d, lookup_tag, moved, 1, "");
	assert_true(ip_eq(&calls[2].to.ip, &moved[0]));
	has_ipv6 = false;
	run(9 * 1000);
	assert_int_equal(nlookups, 3);
	resolved(d, lookup_tag, both, 1, "");
	assert_int_equal(ncalls, 3);
	error_has("no IPv6");
	run(6 * 1000);
	assert_int_equal(nlookups, 4);
	resolved(d, lookup_tag, NULL, 0, "no such name");
	error_has("no such name");
	run(6 * 1000);
	resolved(d, lookup_tag, NULL, 0, "");
	error_has("has no address");
	assert_int_equal(ncalls, 3);
	/* Too many look-ups at once: soon again. No memory: after the back-off. */
	resolve_err = ERR_BUSY;
	run(6 * 1000);
	state_is("waiting");
	resolve_err = ERR_NOMEM;
	run(1000);
	error_has("memory");
	resolve_err = 0;
	run(6 * 1000);
	state_is("resolving");
}

static void ourselves(void **state)
{
	struct ep ep = at("192.0.2.1");

	(void)state;
	add("192.0.2.1");
	run(100);
	dial_self(d, &ep);
	in_flight.ip.family = IP_NONE;
	state_is("self");
	error_has("own");
	assert_int_equal(nwarned, 1); /* it is none of ours, as far as we know: a copied disk */
	assert_false(dial_pending(d));
	run(59 * 1000);
	assert_int_equal(ncalls, 1);
	run(2 * 1000);
	assert_int_equal(ncalls, 2);
	node.name = "self";
	node.self = true;
	node.eps = &ep;
	node.neps = 1;
	dial_self(d, &ep);
	assert_int_equal(nwarned, 1);
}

/* The session core has no room: it is told, and tried again. */
static void no_room_to_call(void **state)
{
	(void)state;
	connect_err = ERR_FULL;
	add("192.0.2.1");
	run(20 * 1000);
	assert_true(ncalls >= 5);
	error_has(err_str(ERR_FULL));
	connect_err = 0;
	run(2 * 1000);
	state_is("dialling");
}

static void taken_back(void **state)
{
	(void)state;
	add("192.0.2.1");
	add("192.0.2.1");
	add("192.0.2.2");
	run(100);
	assert_int_equal(ncalls, 2);
	assert_int_equal(dial_del_target(d, "192.0.2.1"), 0);
	assert_int_equal(ncancelled, 1);
	assert_int_equal(dial_del_target(d, "192.0.2.1"), ERR_NOT_FOUND);
	assert_int_equal(dial_del_target(d, "192.0.2.2"), 0);
	assert_true(ts_is_never(dial_deadline(d)));
	run(60 * 1000);
	assert_int_equal(ncalls, 2);
}

static void what_may_be_a_target(void **state)
{
	static const char *const bad[] = {
		"", "host:0", "host:70000", "host:x", "[::1", "a b", "x/24", ":6793", "user@host"};
	char err[160], text[32];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err[0] = '\0';
		assert_int_equal(dial_add_target(d, bad[i], err, sizeof(err)), ERR_CONFIG);
		assert_non_null(strstr(err, "allowed"));
	}
	FAULT_EACH(n)
	{
		int e = dial_add_target(d, "192.0.2.200", err, sizeof(err));

		assert_true(e == 0 || e == ERR_NOMEM);
	}
	for (unsigned i = 0; i < CONF_LIST_MAX - 1; i++) {
		snprintf(text, sizeof(text), "198.51.100.%u:%u", i % 250 + 1, 1000 + i);
		add(text);
	}
	assert_int_equal(dial_add_target(d, "192.0.2.1", err, sizeof(err)), ERR_FULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(alone_it_tries_often, setup, teardown),
		cmocka_unit_test_setup_teardown(in_company_it_backs_off, setup, teardown),
		cmocka_unit_test_setup_teardown(a_session_is_enough, setup, teardown),
		cmocka_unit_test_setup_teardown(the_node_that_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(known_by_its_record, setup, teardown),
		cmocka_unit_test_setup_teardown(names, setup, teardown),
		cmocka_unit_test_setup_teardown(ourselves, setup, teardown),
		cmocka_unit_test_setup_teardown(no_room_to_call, setup, teardown),
		cmocka_unit_test_setup_teardown(taken_back, setup, teardown),
		cmocka_unit_test_setup_teardown(what_may_be_a_target, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
