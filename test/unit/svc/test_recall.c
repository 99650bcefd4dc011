/* The nodes that an earlier run knew: whom recall.c calls, how often, and when it gives up.
 * wrap: loop_now gossip_node_get paths_want dial_alone state_load_peers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "weft/err.h"
#include "daemon_int.h"
#include "fault.h"

ts_t __wrap_loop_now(void);
int __wrap_gossip_node_get(
	const struct gossip *g, const struct node_key *key, struct gossip_node_info *out);
void __wrap_paths_want(
	struct daemon *dd, const struct node_key *key, const struct ep *eps, size_t n);
bool __wrap_dial_alone(const struct daemon *dd);
void __wrap_state_load_peers(struct daemon *dd,
	void (*fn)(struct daemon *dd, const struct node_key *k, const struct ep *ep));

static struct daemon *d;
static ts_t now;
static bool alone;
static unsigned saved;       /* entries in the file */
static unsigned calls[1000]; /* of node k */
static unsigned ncalls;
static bool heard_of[1000]; /* gossip knows node k */

static unsigned number(const struct node_key *key)
{
	return (unsigned)key->b[0] << 8 | key->b[1];
}

ts_t __wrap_loop_now(void)
{
	return now;
}

int __wrap_gossip_node_get(
	const struct gossip *g, const struct node_key *key, struct gossip_node_info *out)
{
	(void)g;
	(void)out;
	return heard_of[number(key)] ? 0 : ERR_NOT_FOUND;
}

void __wrap_paths_want(
	struct daemon *dd, const struct node_key *key, const struct ep *eps, size_t n)
{
	assert_ptr_equal(dd, d);
	assert_int_equal(n, 1);
	assert_int_equal(eps->port, number(key) + 1);
	calls[number(key)]++;
	ncalls++;
}

bool __wrap_dial_alone(const struct daemon *dd)
{
	(void)dd;
	return alone;
}

void __wrap_state_load_peers(struct daemon *dd,
	void (*fn)(struct daemon *dd, const struct node_key *k, const struct ep *ep))
{
	for (unsigned k = 0; k < saved; k++) {
		struct node_key key = {.b = {(uint8_t)(k >> 8), (uint8_t)k}};
		struct ep ep = {.ip = {.family = IP_V4}, .port = (uint16_t)(k + 1)};

		fn(dd, &key, &ep);
	}
}

static int setup(void **state)
{
	(void)state;
	d = calloc(1, sizeof(*d));
	assert_non_null(d);
	now = ts_add(TS_ZERO, DUR_SEC(1000));
	memset(calls, 0, sizeof(calls));
	memset(heard_of, 0, sizeof(heard_of));
	ncalls = 0;
	alone = true;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	recall_free(d->recall);
	free(d);
	return 0;
}

static void start(unsigned entries)
{
	saved = entries;
	assert_int_equal(recall_new(d, &d->recall), 0);
	assert_int_equal(ncalls, 0);
}

static void run(unsigned secs)
{
	for (ts_t end = ts_add(now, DUR_SEC(secs)); ts_before(now, end);
		now = ts_add(now, DUR_MS(100)))
		if (ts_due(recall_deadline(d), now))
			recall_tick(d, now);
}

static unsigned listed(void)
{
	struct node_key key;
	struct ep ep;
	size_t it = 0;
	unsigned n = 0;

	while (recall_next(d, &it, &key, &ep))
		n++;
	return n;
}

static void test_nobody_known(void **state)
{
	(void)state;
	assert_int_equal(recall_deadline(d).ns, TS_NEVER.ns);
	start(0);
	assert_int_equal(recall_deadline(d).ns, TS_NEVER.ns);
	recall_tick(d, now);
	assert_int_equal(ncalls, 0);
}

static void test_alone_calls_all_for_ever(void **state)
{
	(void)state;
	start(200);
	recall_tick(d, now);
	assert_int_equal(ncalls, 16); /* the first of the file first, and not all at once */
	for (unsigned k = 0; k < 200; k++)
		assert_int_equal(calls[k], k < 16);
	run(3 * 13);
	for (unsigned k = 0; k < 200; k++)
		assert_in_range(calls[k], 1, 2);
	run(3 * 3600);
	ncalls = 0;
	run(300);
	assert_in_range(ncalls, 1500, 1700);
	assert_int_equal(listed(), 200);
}

static void test_more_than_fit(void **state)
{
	(void)state;
	start(900);
	assert_int_equal(listed(), SAVED_PEERS_MAX);
	run(60);
	for (unsigned k = 0; k < SAVED_PEERS_MAX; k++)
		assert_true(calls[k] > 0);
	assert_int_equal(calls[SAVED_PEERS_MAX], 0);
}

/* Whom gossip tells of is its to call; whom it doesn't is called slowly, and given up after an hour. */
static void test_in_a_mesh(void **state)
{
	(void)state;
	start(40);
	run(1);
	alone = false;
	for (unsigned k = 0; k < 40; k++)
		heard_of[k] = k % 4 != 0;
	memset(calls, 0, sizeof(calls));
	run(120);
	assert_int_equal(listed(), 10);
	for (unsigned k = 0; k < 40; k++)
		assert_in_range(calls[k], k % 4 == 0 ? 1 : 0, k % 4 == 0 ? 5 : 0);
	run(3500);
	assert_int_equal(listed(), 0);
	assert_int_equal(recall_deadline(d).ns, TS_NEVER.ns);
}

/* Alone again: the rest is called at the quick pace. */
static void test_alone_again(void **state)
{
	(void)state;
	start(40);
	alone = false;
	run(60);
	ncalls = 0;
	alone = true;
	run(10 + 3);
	assert_in_range(ncalls, 16, 80);
}

static void test_without_memory(void **state)
{
	(void)state;
	saved = 3;
	fault_arm(1);
	assert_int_equal(recall_new(d, &d->recall), ERR_NOMEM);
	assert_true(fault_disarm());
	assert_null(d->recall);
	assert_int_equal(recall_deadline(d).ns, TS_NEVER.ns);
	assert_int_equal(listed(), 0);
	recall_tick(d, now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nobody_known, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alone_calls_all_for_ever, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_than_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_a_mesh, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alone_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
