/* Realms: sessions under other secrets than the cluster's own, as links between clusters use them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "fault.h"
#include "sessnet.h"

static struct secret_keys link_keys(uint8_t fill)
{
	struct secret sec = {{fill, 7}};
	struct secret_keys k;

	secret_derive(&sec, &k);
	return k;
}

/* Two clusters, with a secret each. */
static struct net *two_clusters(uint64_t seed)
{
	struct net *net = net_make(3, true, seed);
	struct secret other = {{9}};

	secret_derive(&other, &net->n[1].secrets[0]);
	for (unsigned i = 0; i < 3; i++)
		net_start_node(net, i);
	return net;
}

static uint32_t realm_of(const struct net *net, unsigned a, unsigned b)
{
	struct sess_peer_info info;
	uint32_t h = sess_peer_find(net->n[a].s, &net->n[b].id.pub);

	assert_int_equal(sess_peer_get(net->n[a].s, h, &info, net->now), 0);
	return info.realm;
}

static void dial(struct net *net, unsigned a, unsigned b, uint32_t realm, int want)
{
	assert_int_equal(sess_realm_connect(net->n[a].s, realm, &net->n[b].ep, NULL,
				 ts_add(net->now, DUR_SEC(60)), net->now),
		want);
}

/* Each side has a number of its own for the realm; the session belongs to it, its rekeys too, and data
 * goes both ways; the cluster's own sessions have realm 0. */
static void link_stands(void **state)
{
	struct net *net = two_clusters(1);
	struct secret_keys k = link_keys(1);

	dial(net, 0, 1, 5, ERR_NOT_FOUND);
	assert_int_equal(sess_realm_add(net->n[0].s, 5, &k), 0);
	assert_int_equal(sess_realm_add(net->n[0].s, 5, &k), ERR_EXISTS);
	assert_int_equal(sess_realm_add(net->n[1].s, 6, &k), 0);
	dial(net, 0, 1, 5, 0);
	net_connect(net, 0, 2, true);
	net_run(net, DUR_SEC(2));
	assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0) && net_is_up(net, 0, 2));
	assert_int_equal(realm_of(net, 0, 1), 5);
	assert_int_equal(realm_of(net, 1, 0), 6);
	assert_int_equal(realm_of(net, 0, 2), 0);
	net_run(net, DUR_SEC(1000));
	assert_true(net_stat(net, 0, SESS_ST_REKEYS) + net_stat(net, 1, SESS_ST_REKEYS) > 6);
	assert_int_equal(net->n[0].downs + net->n[1].downs, 0);
	assert_int_equal(realm_of(net, 0, 1), 5);
	net_free(net);
}

/* Removed: the session ends on both sides, a dial too, and the secret opens nothing any more. */
static void removed(void **state)
{
	struct net *net = two_clusters(2);
	struct secret_keys k = link_keys(1);

	assert_int_equal(sess_realm_del(net->n[0].s, 5, net->now), ERR_NOT_FOUND);
	assert_int_equal(sess_realm_del(net->n[0].s, 0, net->now), ERR_NOT_FOUND);
	assert_int_equal(sess_realm_add(net->n[0].s, 5, &k), 0);
	assert_int_equal(sess_realm_add(net->n[1].s, 5, &k), 0);
	dial(net, 0, 1, 5, 0);
	net_run(net, DUR_SEC(2));
	assert_true(net_is_up(net, 0, 1));
	dial(net, 0, 2, 5, 0); /* who has no such secret */
	net_run(net, DUR_MS(100));
	assert_int_equal(sess_realm_del(net->n[0].s, 5, net->now), 0);
	net_drain(net, &net->n[0]);
	net_run(net, DUR_SEC(1));
	assert_false(net_is_up(net, 0, 1));
	assert_false(net_is_up(net, 1, 0));
	assert_int_equal(net->n[0].nkeys, 0);
	net_run(net, DUR_SEC(100));
	assert_int_equal(net->n[0].dial_failed, 0); /* it went with its realm, unheard */
	dial(net, 1, 0, 5, 0);
	net_run(net, DUR_SEC(20));
	assert_false(net_is_up(net, 1, 0));
	assert_true(net_stat(net, 0, SESS_ST_BAD_MAC1) > 0);
	/* Its place is free again. */
	for (uint32_t r = 1; r < LIM_SECRETS; r++) {
		k = link_keys((uint8_t)r);
		assert_int_equal(sess_realm_add(net->n[0].s, r, &k), 0);
	}
	assert_int_equal(sess_realm_add(net->n[0].s, 99, &k), ERR_FULL);
	net_free(net);
}

/* A node of the cluster stays that when it calls under a link's secret, and the reverse: nobody gets
 * from the one to the other while the session stands. */
static void nobody_changes_realm(void **state)
{
	struct net *net = two_clusters(3);
	struct secret_keys k = link_keys(1);

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(sess_realm_add(net->n[i].s, 5, &k), 0);
	net_connect(net, 0, 2, true);
	net_run(net, DUR_SEC(2));
	assert_int_equal(realm_of(net, 0, 2), 0);
	/* One that has no session of its own with us: as after its restart. */
	net_restart_node(net, 2);
	assert_int_equal(sess_realm_add(net->n[2].s, 5, &k), 0);
	dial(net, 2, 0, 5, 0);
	net_run(net, DUR_SEC(3));
	assert_int_equal(realm_of(net, 0, 2), 0);
	assert_true(net_stat(net, 0, SESS_ST_BAD_KEY) > 0);
	net_free(net);
	/* We call somebody under the link's secret, who is of the cluster. */
	net = two_clusters(4);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(sess_realm_add(net->n[i].s, 5, &k), 0);
	net_connect(net, 0, 2, true);
	net_run(net, DUR_SEC(2));
	net->n[2].ep.port++;
	dial(net, 0, 2, 5, 0);
	net_run(net, DUR_SEC(3));
	assert_int_equal(realm_of(net, 0, 2), 0);
	assert_int_equal(net->n[0].dial_failed, 1);
	assert_int_equal(net->n[0].last_fail, ERR_FOREIGN);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(link_stands),
		cmocka_unit_test(removed),
		cmocka_unit_test(nobody_changes_realm),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
