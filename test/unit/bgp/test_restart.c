/* Graceful restart, both sides: RFC 4724, 8538; BFD's part in it (RFC 5882). */
#include "bgpnet.h"

static struct net_sim s;

static int setup(void **state)
{
	net_init(&s, 11);
	return 0;
}

static int teardown(void **state)
{
	net_free(&s);
	return 0;
}

static struct bgp_peer_cfg cfg_to(int to, enum bgp_restart restart)
{
	struct bgp_peer_cfg c = net_peer_cfg(&s, to, to == 0 ? 65001 : to == 1 ? 65002 : 65003);

	c.remote.ip = ip_v4(0x0a000000u + (uint32_t)to + 1); /* also before net_node() */
	c.restart = restart;
	return c;
}

/* 0 and 1 joined; 1 originates a prefix. Returns 0's number of the peer. */
static uint32_t pair(enum bgp_restart r0, enum bgp_restart r1)
{
	struct bgp_peer_cfg c0 = cfg_to(1, r0), c1 = cfg_to(0, r1);
	uint32_t peer;

	net_node(&s, 0, 65001, 0x01010101);
	net_node(&s, 1, 65002, 0x02020202);
	peer = net_add(&s, 0, &c0);
	net_add(&s, 1, &c1);
	originate(&s, 1, "192.0.2.0/24");
	originate(&s, 1, "198.51.100.0/24");
	net_run(&s, 70); /* long enough to count as stable */
	assert_true(has_route(&s, 0, "192.0.2.0/24", NULL));
	return peer;
}

/* The process of @i ends and another one starts, without the old one's last word if @silent. */
static void restart(int i, enum bgp_restart r, bool forwarding)
{
	struct bgp_cfg cfg = {.local_as = 65001 + (uint32_t)i,
		.router_id = 0x01010101u * (uint32_t)(i + 1),
		.seed = 99,
		.restarting = forwarding};
	struct bgp_peer_cfg c = cfg_to(!i, r);

	s.n[i].deaf = true;
	bgp_free(s.n[i].b);
	s.n[i].b = NULL;
	for (int k = 0; k < NET_PIPES; k++) {
		struct pipe_conn *p = &s.p[k];

		for (int j = 0; j < 2 && p->used; j++)
			if (p->s[j].node == i) {
				p->s[j].node = -1;
				p->s[j].out_len = 0;
				p->s[!j].peer_gone = true;
			}
	}
	net_settle(&s);
	s.n[i].b = bgp_new(&cfg, s.now);
	assert_non_null(s.n[i].b);
	net_add(&s, i, &c);
}

static void test_helper(void **state)
{
	pair(BGP_RESTART_HELPER, BGP_RESTART_FULL);
	s.n[0].withdrawals = 0;
	restart(1, BGP_RESTART_FULL, true);
	assert_true(net_info(&s, 0, 1).state < BGP_ESTABLISHED);
	assert_true(net_info(&s, 0, 1).restarting);
	assert_int_equal(net_info(&s, 0, 1).prefixes_received, 2);
	assert_true(has_route(&s, 0, "192.0.2.0/24", NULL));
	originate(&s, 1, "192.0.2.0/24"); /* the other prefix is not told again */
	s.n[1].deaf = false;
	net_run(&s, 10);
	assert_int_equal(net_info(&s, 0, 1).state, BGP_ESTABLISHED);
	assert_true(has_route(&s, 0, "192.0.2.0/24", NULL));
	assert_false(has_route(&s, 0, "198.51.100.0/24", NULL));
	assert_int_equal(net_info(&s, 0, 1).stale_families, 0);
	assert_int_equal(s.n[0].withdrawals, 1);
}

/* A group that hears several paths has the whole table decided first, and nothing is left for the export
 * that End-of-RIB waits for: it goes out all the same. */
static void test_end_with_paths(void **state)
{
	struct bgp_peer_cfg c0 = cfg_to(1, BGP_RESTART_FULL), c1 = cfg_to(0, BGP_RESTART_FULL);

	c0.add_path_rx = true;
	c1.add_path_tx = 4;
	net_node(&s, 0, 65001, 1);
	net_node(&s, 1, 65002, 2);
	originate(&s, 1, "192.0.2.0/24");
	net_run(&s, 1);
	net_add(&s, 0, &c0);
	net_add(&s, 1, &c1);
	net_run(&s, 5);
	assert_int_equal(net_info(&s, 0, 1).prefixes_received, 1);
	net_break(&s, 0, 1);
	net_run(&s, 20);
	assert_int_equal(net_info(&s, 0, 1).state, BGP_ESTABLISHED);
	assert_int_equal(net_info(&s, 0, 1).stale_families, 0);
}

static void test_too_late(void **state)
{
	pair(BGP_RESTART_HELPER, BGP_RESTART_FULL);
	restart(1, BGP_RESTART_FULL, true); /* and stays deaf */
	net_run(&s, 119);
	assert_true(has_route(&s, 0, "192.0.2.0/24", NULL));
	net_run(&s, 2);
	assert_false(has_route(&s, 0, "192.0.2.0/24", NULL));
	assert_int_equal(net_info(&s, 0, 1).prefixes_received, 0);
	assert_false(net_info(&s, 0, 1).restarting);
}

/* RFC 4724 4.2: the new OPEN has no forwarding bit, or no capability at all. */
static void test_not_preserved(void **state)
{
	for (int with = 0; with < 2; with++) {
		net_free(&s);
		net_init(&s, 5);
		pair(BGP_RESTART_HELPER, BGP_RESTART_FULL);
		restart(1, with ? BGP_RESTART_FULL : BGP_RESTART_NONE, false);
		assert_true(has_route(&s, 0, "192.0.2.0/24", NULL));
		s.n[1].deaf = false;
		net_run(&s, 5);
		assert_int_equal(net_info(&s, 0, 1).state, BGP_ESTABLISHED);
		assert_int_equal(net_info(&s, 0, 1).prefixes_received, 0);
	}
}

/* Who is no helper, or whose peer restarts without the capability, keeps nothing. */
static void test_not_negotiated(void **state)
{
	static const enum bgp_restart r[][2] = {{BGP_RESTART_NONE, BGP_RESTART_FULL},
		{BGP_RESTART_HELPER, BGP_RESTART_NONE}, {BGP_RESTART_FULL, BGP_RESTART_HELPER}};

	for (size_t i = 0; i < 3; i++) {
		net_free(&s);
		net_init(&s, 5);
		pair(r[i][0], r[i][1]);
		net_break(&s, 0, 1);
		net_settle(&s);
		assert_false(has_route(&s, 0, "192.0.2.0/24", NULL));
	}
}

/* A broken connection alone: nothing is withdrawn, nothing is lost. */
static void test_break(void **state)
{
	pair(BGP_RESTART_FULL, BGP_RESTART_FULL);
	s.n[0].withdrawals = s.n[0].routes = 0;
	net_break(&s, 0, 1);
	net_run(&s, 20);
	assert_int_equal(net_info(&s, 0, 1).state, BGP_ESTABLISHED);
	assert_int_equal(net_info(&s, 0, 1).prefixes_received, 2);
	assert_int_equal(net_info(&s, 0, 1).stale_families, 0);
	assert_int_equal(s.n[0].withdrawals + s.n[0].routes, 0);
}

/* RFC 4724 4.2: what was stale at the second loss goes. */
static void test_twice(void **state)
{
	pair(BGP_RESTART_HELPER, BGP_RESTART_FULL);
	restart(1, BGP_RESTART_FULL, true);
	s.n[1].deaf = false;
	/* It defers until our End-of-RIB; the second loss comes before it has told anything. */
	for (unsigned i = 0; i < 500 && net_info(&s, 0, 1).state != BGP_ESTABLISHED; i++) {
		s.now = ts_add(s.now, DUR_MS(20));
		bgp_tick(s.n[0].b, s.now);
		bgp_tick(s.n[1].b, s.now);
		for (int k = 0; k < 3; k++) {
			net_drain(&s, 0);
			net_drain(&s, 1);
			for (int p = 0; p < NET_PIPES; p++)
				for (int j = 0; j < 2; j++)
					if (s.p[p].used &&
						net_info(&s, 0, 1).state != BGP_ESTABLISHED)
						net_deliver(&s, &s.p[p], j);
		}
	}
	assert_int_equal(net_info(&s, 0, 1).state, BGP_ESTABLISHED);
	assert_int_equal(net_info(&s, 0, 1).prefixes_received, 2);
	net_break(&s, 0, 1);
	net_settle(&s);
	assert_int_equal(net_info(&s, 0, 1).prefixes_received, 0);
}

/* The End-of-RIB never comes: stale_secs. */
static void test_stale_cap(void **state)
{
	struct bgp_peer_cfg c0 = cfg_to(1, BGP_RESTART_HELPER), c1 = cfg_to(0, BGP_RESTART_FULL);

	c0.stale_secs = 40;
	c1.restart_secs = 100;
	net_node(&s, 0, 65001, 1);
	net_node(&s, 1, 65002, 2);
	net_add(&s, 0, &c0);
	net_add(&s, 1, &c1);
	originate(&s, 1, "192.0.2.0/24");
	net_run(&s, 70);
	restart(1, BGP_RESTART_FULL, true);
	net_run(&s, 39);
	assert_true(has_route(&s, 0, "192.0.2.0/24", NULL));
	net_run(&s, 2); /* sooner than the 100 s that it asked for */
	assert_false(has_route(&s, 0, "192.0.2.0/24", NULL));
}

/* RFC 8538: a NOTIFICATION keeps the routes, a Hard Reset and what we call one doesn't. */
static void test_notification(void **state)
{
	uint32_t peer = pair(BGP_RESTART_FULL, BGP_RESTART_FULL);
	struct side *other, *side = NULL;
	uint8_t junk[19] = {0};

	for (int i = 0; i < NET_PIPES && !side; i++)
		if (s.p[i].used)
			side = &s.p[i].s[s.p[i].s[0].node != 1];
	assert_non_null(side);
	(void)other;
	bgp_recv(s.n[1].b, side->conn, junk, sizeof(junk), s.now); /* not synchronized: 1/1 */
	net_settle(&s);
	assert_string_equal(net_info(&s, 0, 1).last_error,
		"received header: connection not synchronized (1/1)");
	assert_true(has_route(&s, 0, "192.0.2.0/24", NULL));
	net_run(&s, 90);
	assert_int_equal(net_info(&s, 0, 1).state, BGP_ESTABLISHED);
	bgp_peer_reset(s.n[1].b, 1, NULL, s.now);
	net_settle(&s);
	assert_string_equal(net_info(&s, 0, 1).last_error,
		"received cease: hard reset (6/9): cease: administrative reset (6/4)");
	assert_false(has_route(&s, 0, "192.0.2.0/24", NULL));
	net_run(&s, 90);
	assert_true(has_route(&s, 0, "192.0.2.0/24", NULL));
	bgp_peer_stop(s.n[0].b, peer, "gone", s.now);
	net_settle(&s);
	assert_false(has_route(&s, 0, "192.0.2.0/24", NULL));
	assert_string_equal(net_info(&s, 1, 0).last_error,
		"received cease: hard reset (6/9): cease: administrative shutdown (6/2): \"gone\"");
}

/* bgp_peer_leave: no word, so the peer keeps; where it knows no RFC 4724, a Cease. */
static void test_leave(void **state)
{
	pair(BGP_RESTART_HELPER, BGP_RESTART_FULL);
	assert_int_equal(bgp_peer_leave(s.n[1].b, 1, s.now), 0);
	net_settle(&s);
	assert_string_equal(net_info(&s, 0, 1).last_error, "connection closed by the peer");
	assert_true(has_route(&s, 0, "192.0.2.0/24", NULL));
	net_free(&s);
	net_init(&s, 3);
	pair(BGP_RESTART_NONE, BGP_RESTART_FULL);
	assert_int_equal(bgp_peer_leave(s.n[1].b, 1, s.now), 0);
	net_settle(&s);
	assert_false(has_route(&s, 0, "192.0.2.0/24", NULL));
	assert_string_equal(
		net_info(&s, 0, 1).last_error, "received cease: administrative shutdown (6/2)");
}

/* RFC 5882 4.3.2: with the C bit it is forwarding that failed. */
static void test_bfd(void **state)
{
	uint32_t peer = pair(BGP_RESTART_FULL, BGP_RESTART_FULL);

	assert_int_equal(bgp_peer_bfd_down(s.n[0].b, peer, false, s.now), 0);
	net_settle(&s);
	assert_true(net_info(&s, 0, 1).restarting);
	assert_true(has_route(&s, 0, "192.0.2.0/24", NULL));
	assert_string_equal(net_info(&s, 0, 1).last_error, "BFD: down");
	/* The BFD session comes back independent of the control plane, and fails once more. */
	assert_int_equal(bgp_peer_bfd_down(s.n[0].b, peer, true, s.now), 0);
	net_settle(&s);
	assert_false(has_route(&s, 0, "192.0.2.0/24", NULL));
	assert_int_equal(bgp_peer_bfd_down(s.n[0].b, peer, true, s.now), ERR_STATE);
	net_run(&s, 90);
	assert_true(has_route(&s, 0, "192.0.2.0/24", NULL));
	assert_int_equal(bgp_peer_bfd_down(s.n[0].b, peer, true, s.now), 0);
	net_settle(&s);
	assert_false(has_route(&s, 0, "192.0.2.0/24", NULL));
	assert_string_equal(net_info(&s, 1, 0).last_error,
		"received cease: hard reset (6/9): cease: BFD down (6/10)");
}

/* We restart between two peers: nothing is decided before both have told all. */
static void test_deferral(void **state)
{
	struct bgp_cfg cfg = {
		.local_as = 65001, .router_id = 1, .seed = 4, .restarting = true, .defer_secs = 50};
	struct bgp_peer_cfg c01 = cfg_to(1, BGP_RESTART_FULL), c02 = cfg_to(2, BGP_RESTART_FULL);
	struct bgp_peer_cfg c10 = cfg_to(0, BGP_RESTART_HELPER), c20 = c10;
	struct bgp_stats st;

	net_node(&s, 1, 65002, 2);
	net_node(&s, 2, 65003, 3);
	originate(&s, 1, "192.0.2.0/24");
	originate(&s, 2, "192.0.2.0/24");
	net_node(&s, 0, 65001, 1);
	bgp_free(s.n[0].b);
	s.n[0].b = bgp_new(&cfg, s.now);
	originate(&s, 0, "203.0.113.0/24");
	net_add(&s, 0, &c01);
	net_add(&s, 0, &c02);
	net_add(&s, 1, &c10);
	net_run(&s, 5);
	assert_int_equal(net_info(&s, 0, 1).state, BGP_ESTABLISHED);
	assert_int_equal(net_info(&s, 0, 1).prefixes_received, 1);
	assert_int_equal(s.n[0].routes, 0);
	assert_int_equal(net_info(&s, 0, 1).prefixes_announced, 0);
	net_add(&s, 2, &c20);
	net_run(&s, 40);
	assert_int_equal(net_info(&s, 0, 2).state, BGP_ESTABLISHED);
	assert_int_equal(s.n[0].routes, 2);
	assert_true(has_route(&s, 1, "203.0.113.0/24", NULL));
	bgp_stats(s.n[0].b, &st);
	assert_int_equal(st.deferred, 0);
}

/* One of them never comes: Selection_Deferral_Timer. One that restarts too is not waited for. */
static void test_deferral_ends(void **state)
{
	struct bgp_cfg cfg = {
		.local_as = 65001, .router_id = 1, .seed = 4, .restarting = true, .defer_secs = 50};
	struct bgp_peer_cfg c01 = cfg_to(1, BGP_RESTART_FULL), c02 = cfg_to(2, BGP_RESTART_FULL);
	struct bgp_peer_cfg c10 = cfg_to(0, BGP_RESTART_FULL);

	for (int both = 0; both < 2; both++) {
		net_free(&s);
		net_init(&s, 8);
		net_node(&s, 0, 65001, 1);
		net_node(&s, 1, 65002, 2);
		net_node(&s, 2, 65003, 3);
		bgp_free(s.n[0].b);
		s.n[0].b = bgp_new(&cfg, s.now);
		if (both) {
			struct bgp_cfg cfg1 = cfg;

			cfg1.local_as = 65002;
			cfg1.router_id = 2;
			bgp_free(s.n[1].b);
			s.n[1].b = bgp_new(&cfg1, s.now);
		}
		originate(&s, 1, "192.0.2.0/24");
		net_add(&s, 0, &c01);
		if (!both)
			net_add(&s, 0, &c02);
		net_add(&s, 1, &c10);
		net_run(&s, 49);
		assert_int_equal(s.n[0].routes, both ? 1 : 0);
		net_run(&s, 2);
		assert_int_equal(s.n[0].routes, 1);
		assert_int_equal(net_info(&s, 1, 0).stale_families, 0);
	}
}

/* RFC 4724 5: the peer is back before TCP told us that the old connection is dead. */
static void test_half_open(void **state)
{
	pair(BGP_RESTART_HELPER, BGP_RESTART_FULL);
	s.n[0].withdrawals = 0;
	for (int i = 0; i < NET_PIPES; i++)
		for (int k = 0; k < 2; k++)
			if (s.p[i].used && s.p[i].s[k].node == 1) {
				s.p[i].s[k].node = -1; /* no FIN ever arrives */
				s.p[i].s[k].out_len = 0;
			}
	bgp_free(s.n[1].b);
	{
		struct bgp_cfg cfg = {
			.local_as = 65002, .router_id = 2, .seed = 6, .restarting = true};
		struct bgp_peer_cfg c = cfg_to(0, BGP_RESTART_FULL);

		s.n[1].b = bgp_new(&cfg, s.now);
		originate(&s, 1, "192.0.2.0/24");
		originate(&s, 1, "198.51.100.0/24");
		net_add(&s, 1, &c);
	}
	net_run(&s, 20);
	assert_int_equal(net_info(&s, 0, 1).state, BGP_ESTABLISHED);
	assert_int_equal(net_info(&s, 0, 1).flaps, 1);
	assert_int_equal(net_info(&s, 0, 1).prefixes_received, 2);
	assert_int_equal(net_info(&s, 0, 1).stale_families, 0);
	assert_int_equal(s.n[0].withdrawals, 0);
}

/* A peer that is stopped or deleted while its routes are kept takes them with it. */
static void test_gone_for_good(void **state)
{
	uint32_t peer = pair(BGP_RESTART_HELPER, BGP_RESTART_FULL);

	restart(1, BGP_RESTART_FULL, true);
	assert_true(has_route(&s, 0, "192.0.2.0/24", NULL));
	bgp_peer_stop(s.n[0].b, peer, NULL, s.now);
	net_settle(&s);
	assert_false(has_route(&s, 0, "192.0.2.0/24", NULL));
	net_free(&s);
	net_init(&s, 5);
	peer = pair(BGP_RESTART_HELPER, BGP_RESTART_FULL);
	restart(1, BGP_RESTART_FULL, true);
	bgp_peer_del(s.n[0].b, peer, s.now);
	net_settle(&s);
	assert_false(has_route(&s, 0, "192.0.2.0/24", NULL));
}

/* A peer that starts late is Idle until then, whoever dials; and it is awaited like others. */
static void test_start_delay(void **state)
{
	struct bgp_peer_cfg c0, c1;

	net_node(&s, 0, 65000, 1);
	net_node(&s, 1, 65001, 2);
	c0 = net_peer_cfg(&s, 1, 65001);
	c1 = net_peer_cfg(&s, 0, 65000);
	c0.start_delay_ms = 500;
	net_add(&s, 0, &c0);
	net_add(&s, 1, &c1);
	net_settle(&s);
	s.now = ts_add(s.now, DUR_MS(499));
	bgp_tick(s.n[0].b, s.now);
	net_settle(&s);
	assert_int_equal(BGP_IDLE, net_info(&s, 0, 1).state);
	assert_true(net_info(&s, 1, 0).state < BGP_OPENSENT);
	s.now = ts_add(s.now, DUR_MS(1));
	bgp_tick(s.n[0].b, s.now);
	net_settle(&s);
	assert_int_equal(BGP_ESTABLISHED, net_info(&s, 0, 1).state);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_helper),
		T(test_end_with_paths),
		T(test_too_late),
		T(test_not_preserved),
		T(test_not_negotiated),
		T(test_break),
		T(test_twice),
		T(test_stale_cap),
		T(test_notification),
		T(test_leave),
		T(test_bfd),
		T(test_deferral),
		T(test_deferral_ends),
		T(test_half_open),
		T(test_gone_for_good),
		T(test_start_delay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
