/* Cores back to back: sessions, routes, refresh, timers, reflection, policy. */
#include "bgpnet.h"

static struct net_sim s;

static int setup(void **state)
{
	net_init(&s, 7);
	return 0;
}

static int teardown(void **state)
{
	net_free(&s);
	return 0;
}

static void pair(uint32_t as0, uint32_t as1)
{
	net_node(&s, 0, as0, 0x01010101);
	net_node(&s, 1, as1, 0x02020202);
	net_join(&s, 0, as0, 1, as1);
}

static void up(int i, int k)
{
	assert_int_equal(net_info(&s, i, k).state, BGP_ESTABLISHED);
	assert_int_equal(net_info(&s, k, i).state, BGP_ESTABLISHED);
}

static void test_ebgp(void **state)
{
	struct found f;
	struct bgp_nlri n = nlri4("192.0.2.0/24");

	pair(65001, 4200000000u);
	originate(&s, 0, "192.0.2.0/24");
	net_run(&s, 5);
	up(0, 1);
	assert_true(net_info(&s, 1, 0).as4);
	assert_true(has_route(&s, 1, "192.0.2.0/24", &f));
	assert_string_equal(f.path, "65001");
	assert_true(ip_eq(&f.a.next_hop, &s.n[0].addr)); /* next-hop self */
	assert_false(f.a.has & BGP_HAS_LOCAL_PREF);      /* RFC 4271 5.1.5 */
	assert_int_equal(net_info(&s, 1, 0).prefixes_received, 1);
	assert_int_equal(net_info(&s, 0, 1).prefixes_announced, 1);
	assert_int_equal(s.n[1].routes, 1);
	/* What came from a peer doesn't go back to it. */
	assert_int_equal(net_info(&s, 1, 0).prefixes_announced, 0);
	assert_int_equal(net_info(&s, 0, 1).rx_updates, 0);
	assert_int_equal(bgp_withdraw(s.n[0].b, 1, &n, s.now), 0);
	net_settle(&s);
	assert_false(has_route(&s, 1, "192.0.2.0/24", NULL));
	assert_int_equal(s.n[1].withdrawals, 1);
}

static void test_down_and_up(void **state)
{
	pair(65001, 65002);
	originate(&s, 0, "192.0.2.0/24");
	originate(&s, 0, "198.51.100.0/24");
	net_run(&s, 5);
	assert_true(has_route(&s, 1, "192.0.2.0/24", NULL));
	net_break(&s, 0, 1);
	net_settle(&s);
	assert_false(has_route(&s, 1, "192.0.2.0/24", NULL));
	assert_int_equal(net_info(&s, 1, 0).prefixes_received, 0);
	assert_string_equal(net_info(&s, 1, 0).last_error, "connection closed by the peer");
	net_run(&s, 60);
	up(0, 1);
	assert_true(has_route(&s, 1, "192.0.2.0/24", NULL));
	assert_int_equal(net_info(&s, 1, 0).flaps, 1);
}

static void test_shutdown_text(void **state)
{
	pair(65001, 65002);
	net_run(&s, 5);
	bgp_peer_stop(s.n[0].b, 1, "maintenance 17:00", s.now);
	net_settle(&s);
	assert_string_equal(net_info(&s, 1, 0).last_error,
		"received cease: administrative shutdown (6/2): \"maintenance 17:00\"");
	net_run(&s, 300);
	assert_int_equal(net_info(&s, 0, 1).state, BGP_IDLE);
	assert_true(net_info(&s, 1, 0).state < BGP_OPENSENT);
	bgp_peer_start(s.n[0].b, 1, s.now);
	net_run(&s, 200);
	up(0, 1);
	bgp_peer_reset(s.n[0].b, 1, NULL, s.now);
	net_settle(&s);
	assert_string_equal(
		net_info(&s, 1, 0).last_error, "received cease: administrative reset (6/4)");
	net_run(&s, 200);
	up(0, 1);
	bgp_peer_del(s.n[0].b, 1, s.now);
	net_settle(&s);
	assert_string_equal(
		net_info(&s, 1, 0).last_error, "received cease: peer de-configured (6/3)");
}

/* RFC 4271 6.8: whatever the order of events, exactly one session comes up. Which connection is
 * closed is told in test_fsm.c. */
static void test_collision(void **state)
{
	for (unsigned turn = 0; turn < 40; turn++) {
		struct net_sim *n = &s;

		net_free(&s);
		net_init(&s, turn);
		net_node(n, 0, 65001, turn & 1 ? 9 : 1);
		net_node(n, 1, turn & 2 ? 65001 : 65002, turn & 1 ? 5 : 2);
		net_join(n, 0, 65001, 1, turn & 2 ? 65001 : 65002);
		net_run(n, 20);
		up(0, 1);
		/* One stream is left on both sides: there can be no second session. */
		int pipes = 0;

		for (int i = 0; i < NET_PIPES; i++)
			pipes += n->p[i].used;
		assert_int_equal(pipes, 1);
	}
}

static void test_hold_timer(void **state)
{
	pair(65001, 65002);
	net_run(&s, 5);
	assert_int_equal(net_info(&s, 0, 1).hold_secs, 90);
	net_run(&s, 1000);
	up(0, 1); /* keepalives keep it */
	s.n[1].deaf = true;
	for (int i = 0; i < NET_PIPES; i++)
		s.p[i].s[0].stuck = s.p[i].s[1].stuck = true;
	for (unsigned t = 0; t < 91 && net_info(&s, 0, 1).state == BGP_ESTABLISHED; t++)
		net_run(&s, 1);
	assert_string_equal(net_info(&s, 0, 1).last_error, "sent hold timer expired (4/0)");
	assert_true(net_info(&s, 0, 1).state < BGP_OPENSENT);
}

/* RFC 9687: the peer's kernel takes nothing while its keepalives come in. */
static void test_send_hold(void **state)
{
	s.pipe_max = 4096;
	pair(65001, 65002);
	net_run(&s, 5);
	up(0, 1);
	for (int i = 0; i < NET_PIPES; i++)
		for (int k = 0; k < 2; k++)
			s.p[i].s[k].stuck = s.p[i].used && s.p[i].s[k].node == 1;
	/* The peer's hold timer must not come first. */
	for (unsigned i = 0; i < 2000; i++) {
		struct bgp_nlri n = {.family = BGP_IPV4};
		struct bgp_attrs a = {.has = BGP_HAS_MED, .med = i};

		n.pfx = (struct pfx){.ip = ip_v4(0x0b000000 + (i << 8)), .len = 24};
		assert_int_equal(bgp_originate(s.n[0].b, 1, &n, &a, s.now), 0);
	}
	for (unsigned t = 0; t < 470; t++) {
		net_run(&s, 1);
		if (t % 20 == 0) /* by hand: the stuck peer would run into its hold timer */
			for (int i = 0; i < NET_PIPES; i++)
				for (int k = 0; k < 2; k++)
					if (s.p[i].used && s.p[i].s[k].node == 1) {
						uint8_t ka[19];
						struct wr w;

						wr_init(&w, ka, sizeof(ka));
						bgp_keepalive_encode(&w);
						bgp_recv(s.n[1].b, s.p[i].s[k].conn, ka, 19, s.now);
					}
		up(0, 1);
	}
	assert_true(net_info(&s, 0, 1).queued_bytes > 0);
	assert_true(net_info(&s, 0, 1).queued_bytes <= LIM_BGP_OUT_BYTES);
	for (unsigned t = 0; t < 20 && net_info(&s, 0, 1).state == BGP_ESTABLISHED; t++)
		net_run(&s, 1);
	assert_string_equal(net_info(&s, 0, 1).last_error, "sent send hold timer expired (8/0)");
}

/* RFC 8212: nothing without policy, either way. */
static void test_default_deny(void **state)
{
	struct bgp_peer_cfg a, c;
	struct bgp_policy all = {&accept_ops, NULL};

	net_node(&s, 0, 65001, 1);
	net_node(&s, 1, 65002, 2);
	a = net_peer_cfg(&s, 1, 65002);
	c = net_peer_cfg(&s, 0, 65001);
	a.export = c.import = (struct bgp_policy){0};
	net_add(&s, 0, &a);
	net_add(&s, 1, &c);
	originate(&s, 0, "192.0.2.0/24");
	net_run(&s, 5);
	up(0, 1);
	assert_int_equal(net_info(&s, 0, 1).prefixes_announced, 0);
	assert_int_equal(bgp_peer_repolicy(s.n[0].b, 1, NULL, &all, s.now), 0);
	net_settle(&s);
	assert_int_equal(net_info(&s, 1, 0).prefixes_received, 1);
	assert_int_equal(net_info(&s, 1, 0).prefixes_accepted, 0);
	assert_false(has_route(&s, 1, "192.0.2.0/24", NULL));
	assert_int_equal(bgp_peer_repolicy(s.n[1].b, 1, &all, NULL, s.now), 0);
	net_settle(&s);
	assert_true(has_route(&s, 1, "192.0.2.0/24", NULL));
	/* And back: export without policy withdraws what was announced. */
	all.ops = NULL;
	assert_int_equal(bgp_peer_repolicy(s.n[0].b, 1, NULL, &all, s.now), 0);
	net_settle(&s);
	assert_false(has_route(&s, 1, "192.0.2.0/24", NULL));
}

/* 0 - 1 - 2 and 3 in one AS; 1 reflects. Without client flag nothing is reflected. */
static void test_reflection(void **state)
{
	struct found f;

	for (int i = 0; i < 4; i++)
		net_node(&s, i, 65000, (uint32_t)i + 1);
	for (int i = 0; i < 4; i++) {
		struct bgp_peer_cfg c;

		if (i == 1)
			continue;
		c = net_peer_cfg(&s, i, 65000);
		c.rr_client = i == 0;
		net_add(&s, 1, &c);
		c = net_peer_cfg(&s, 1, 65000);
		net_add(&s, i, &c);
	}
	originate(&s, 0, "10.1.0.0/16"); /* of the client: goes to all */
	originate(&s, 2, "10.2.0.0/16"); /* of a non-client: goes to the client alone */
	net_run(&s, 5);
	assert_true(has_route(&s, 2, "10.1.0.0/16", &f));
	assert_int_equal(f.a.originator_id, 1);
	assert_int_equal(f.a.cluster_list.len, 4);
	assert_memory_equal(f.a.cluster_list.p, "\0\0\0\2", 4);
	assert_int_equal(f.a.local_pref, 100);
	assert_true(ip_eq(&f.a.next_hop, &s.n[0].addr)); /* unchanged by the reflector */
	assert_true(has_route(&s, 3, "10.1.0.0/16", NULL));
	assert_true(has_route(&s, 0, "10.2.0.0/16", NULL));
	assert_false(has_route(&s, 3, "10.2.0.0/16", NULL));
	assert_true(has_route(&s, 1, "10.2.0.0/16", &f));
	assert_int_equal(f.a.cluster_list.len, 0);
}

static unsigned refresh_marks;
static void see_refresh(void *ctx, int node, const struct bgp_act *a)
{
	if (a->type == BGP_SEND)
		for (size_t i = 0; i + 19 <= a->len;
			i += (size_t)(a->buf[i + 16] << 8 | a->buf[i + 17]))
			refresh_marks +=
				a->buf[i + 18] == MSG_REFRESH ? 1u << 8 * a->buf[i + 21] : 0;
}

static void test_refresh(void **state)
{
	uint64_t before;

	pair(65001, 65002);
	for (unsigned i = 0; i < 100; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.9.%u.0/24", i);
		originate(&s, 0, text);
	}
	net_run(&s, 5);
	before = net_info(&s, 1, 0).rx_updates;
	refresh_marks = 0;
	s.n[0].on_act = see_refresh;
	assert_int_equal(bgp_peer_refresh(s.n[1].b, 1, BGP_IPV6, s.now), ERR_STATE);
	assert_int_equal(bgp_peer_refresh(s.n[1].b, 1, BGP_IPV4, s.now), 0);
	net_settle(&s);
	assert_int_equal(net_info(&s, 1, 0).rx_updates, before + 1);
	assert_int_equal(refresh_marks, 1u << 8 | 1u << 16); /* one BoRR, one EoRR */
	assert_int_equal(net_info(&s, 1, 0).prefixes_received, 100);
}

/* Communities that say where a route may go (RFC 1997), and GRACEFUL_SHUTDOWN (8326). */
static void test_well_known(void **state)
{
	static const struct {
		uint8_t comm[4];
		bool ebgp, ibgp;
	} rows[] = {
		{{0xff, 0xff, 0xff, 0x01}, false, true},
		{{0xff, 0xff, 0xff, 0x02}, false, false},
		{{0xff, 0xff, 0xff, 0x03}, false, true},
		{{0xff, 0xff, 0xff, 0x04}, true, true},
		{{0xfd, 0xe9, 0x00, 0x01}, true, true},
	};
	struct found f;

	net_node(&s, 0, 65001, 1);
	net_node(&s, 1, 65002, 2);
	net_node(&s, 2, 65001, 3);
	net_join(&s, 0, 65001, 1, 65002);
	net_join(&s, 0, 65001, 2, 65001);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bgp_attrs a = {.communities = {rows[i].comm, 4}};
		struct bgp_nlri n = {.family = BGP_IPV4};

		n.pfx = (struct pfx){.ip = ip_v4(0x0a640000 + (i << 8)), .len = 24};
		assert_int_equal(bgp_originate(s.n[0].b, 1, &n, &a, s.now), 0);
	}
	net_run(&s, 5);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.100.%u.0/24", i);
		assert_int_equal(has_route(&s, 1, text, &f), rows[i].ebgp);
		assert_int_equal(has_route(&s, 2, text, &f), rows[i].ibgp);
		if (rows[i].ibgp)
			assert_true(bgp_attrs_has(&f.a, BGP_LIST_COMMUNITY, rows[i].comm));
	}
	assert_int_equal(bgp_peer_graceful_shutdown(s.n[0].b, 1, true, s.now), 0);
	net_settle(&s);
	assert_true(has_route(&s, 1, "10.100.4.0/24", &f));
	assert_true(bgp_attrs_has_community(&f.a, BGP_COMM_GRACEFUL_SHUTDOWN));
	assert_int_equal(f.a.local_pref, 0);
	assert_true(f.a.has & BGP_HAS_LOCAL_PREF);
	bgp_peer_graceful_shutdown(s.n[0].b, 1, false, s.now);
	net_settle(&s);
	assert_true(has_route(&s, 1, "10.100.4.0/24", &f));
	assert_false(f.a.has & BGP_HAS_LOCAL_PREF);
}

/* All families over one session; VPN routes keep RD, label and route target. */
static void test_families(void **state)
{
	struct bgp_peer_cfg a, c;
	struct bgp_nlri v6 = nlri4("2001:db8:1::/48"), vpn = nlri4("10.0.0.0/9");
	struct bgp_nlri vpn6 = nlri4("2001:db8::/32");
	static const uint8_t rt[8] = {0, 2, 0xfd, 0xe9, 0, 0, 0, 42};
	struct bgp_attrs rts = {.ext_communities = {rt, 8}};
	struct found f;

	net_node(&s, 0, 65001, 1);
	net_node(&s, 1, 65002, 2);
	a = net_peer_cfg(&s, 1, 65002);
	c = net_peer_cfg(&s, 0, 65001);
	a.families = c.families = 15;
	assert_int_equal(ip_parse("2001:db8::1", &a.next_hop[1]), 0);
	net_add(&s, 0, &a);
	net_add(&s, 1, &c);
	vpn.family = BGP_VPNV4;
	vpn6.family = BGP_VPNV6;
	vpn.label = 0xabcde;
	memcpy(vpn.rd, "\0\2\0\0\xfd\xe9\0\7", 8);
	memcpy(vpn6.rd, vpn.rd, 8);
	originate(&s, 0, "10.0.0.0/9");
	assert_int_equal(bgp_originate(s.n[0].b, 1, &v6, NULL, s.now), 0);
	assert_int_equal(bgp_originate(s.n[0].b, 1, &vpn, &rts, s.now), 0);
	assert_int_equal(bgp_originate(s.n[0].b, 1, &vpn6, &rts, s.now), 0);
	net_run(&s, 5);
	assert_int_equal(net_info(&s, 1, 0).families, 15);
	assert_int_equal(net_info(&s, 1, 0).prefixes_received, 4);
	assert_true(net_find(&s, 1, BGP_LOC_RIB, 0, &v6, &f));
	assert_true(ip_eq(&f.a.next_hop, &a.next_hop[1]));
	assert_true(net_find(&s, 1, BGP_LOC_RIB, 0, &vpn, &f));
	assert_true(bgp_attrs_has_rt(&f.a, rt));
	assert_true(ip_eq(&f.a.next_hop, &s.n[0].addr));
	assert_true(net_find(&s, 1, BGP_LOC_RIB, 0, &vpn6, &f));
	vpn.label = 7; /* a label that changes is told again */
	assert_int_equal(bgp_originate(s.n[0].b, 1, &vpn, &rts, s.now), 0);
	s.n[1].routes = 0;
	net_settle(&s);
	assert_int_equal(s.n[1].routes, 1);
	assert_int_equal(bgp_withdraw(s.n[0].b, 1, &vpn, s.now), 0);
	assert_int_equal(bgp_withdraw(s.n[0].b, 1, &v6, s.now), 0);
	net_settle(&s);
	assert_int_equal(net_info(&s, 1, 0).prefixes_received, 2);
}

static void test_max_prefixes(void **state)
{
	struct bgp_peer_cfg a, c;

	net_node(&s, 0, 65001, 1);
	net_node(&s, 1, 65002, 2);
	a = net_peer_cfg(&s, 1, 65002);
	c = net_peer_cfg(&s, 0, 65001);
	c.max_prefixes = 3;
	net_add(&s, 0, &a);
	net_add(&s, 1, &c);
	originate(&s, 0, "10.1.0.0/16");
	originate(&s, 0, "10.2.0.0/16");
	originate(&s, 0, "10.3.0.0/16");
	net_run(&s, 5);
	up(0, 1);
	originate(&s, 0, "10.4.0.0/16");
	net_settle(&s);
	assert_string_equal(net_info(&s, 1, 0).last_error,
		"sent cease: maximum number of prefixes reached (6/1)");
	assert_int_equal(net_info(&s, 1, 0).prefixes_received, 0);
	assert_int_equal(net_info(&s, 1, 0).max_prefix_ends, 1);
}

/* Three reflectors in a ring, each the others' client: ORIGINATOR_ID and CLUSTER_LIST end the loop
 * (RFC 4456 8), and a withdrawal leaves nothing behind. */
static void test_reflection_loop(void **state)
{
	static const uint8_t mark[4] = {0, 0, 0, 2};
	struct bgp_nlri n = nlri4("10.1.0.0/16");

	for (int i = 0; i < 3; i++)
		net_node(&s, i, 65000, (uint32_t)i + 1);
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++) {
			struct bgp_peer_cfg c = net_peer_cfg(&s, k, 65000);

			c.rr_client = true;
			if (i != k)
				net_add(&s, i, &c);
		}
	originate(&s, 0, "10.1.0.0/16");
	net_run(&s, 30);
	assert_true(has_route(&s, 1, "10.1.0.0/16", NULL));
	assert_true(has_route(&s, 2, "10.1.0.0/16", NULL));
	assert_int_equal(net_info(&s, 0, 1).prefixes_received, 0);
	/* What bears node 1's mark is of no use to it, but to node 2. */
	for (int i = 0; i < 2; i++) {
		struct bgp_nlri m = nlri4(i ? "10.2.0.0/16" : "10.3.0.0/16");
		struct bgp_attrs a = {.originator_id = 2};

		a.has = i ? BGP_HAS_ORIGINATOR : 0;
		a.cluster_list = i ? (struct bgp_span){0} : (struct bgp_span){mark, 4};
		assert_int_equal(bgp_originate(s.n[0].b, 1, &m, &a, s.now), 0);
	}
	net_settle(&s);
	for (int i = 2; i < 4; i++) {
		assert_false(has_route(&s, 1, i == 2 ? "10.2.0.0/16" : "10.3.0.0/16", NULL));
		assert_true(has_route(&s, 2, i == 2 ? "10.2.0.0/16" : "10.3.0.0/16", NULL));
	}
	assert_true(net_info(&s, 1, 0).loops >= 2);
	assert_int_equal(bgp_withdraw(s.n[0].b, 1, &n, s.now), 0);
	net_settle(&s);
	assert_false(has_route(&s, 1, "10.1.0.0/16", NULL));
	assert_false(has_route(&s, 2, "10.1.0.0/16", NULL));
}

/* RFC 4271 5.1.4: MED reaches the neighbour and goes no further. */
static void test_med(void **state)
{
	struct bgp_nlri n = nlri4("10.1.0.0/16");
	struct bgp_attrs a = {.has = BGP_HAS_MED, .med = 5};
	struct found f;

	for (int i = 0; i < 3; i++)
		net_node(&s, i, 65001 + (uint32_t)i, (uint32_t)i + 1);
	net_join(&s, 0, 65001, 1, 65002);
	net_join(&s, 1, 65002, 2, 65003);
	assert_int_equal(bgp_originate(s.n[0].b, 1, &n, &a, s.now), 0);
	net_run(&s, 5);
	assert_true(has_route(&s, 1, "10.1.0.0/16", &f));
	assert_int_equal(f.a.med, 5);
	assert_true(has_route(&s, 2, "10.1.0.0/16", &f));
	assert_string_equal(f.path, "65002 65001");
	assert_false(f.a.has & BGP_HAS_MED);
}

/* RFC 4271 4.4: with hold time 0 nothing is sent and nothing expires. */
static void test_no_hold(void **state)
{
	struct bgp_peer_cfg a, c;
	uint64_t before;

	net_node(&s, 0, 65001, 1);
	net_node(&s, 1, 65002, 2);
	a = net_peer_cfg(&s, 1, 65002);
	c = net_peer_cfg(&s, 0, 65001);
	a.no_hold = true;
	net_add(&s, 0, &a);
	net_add(&s, 1, &c);
	net_run(&s, 5);
	up(0, 1);
	before = net_info(&s, 1, 0).rx_msgs + net_info(&s, 0, 1).rx_msgs;
	net_run(&s, 2000);
	up(0, 1);
	assert_int_equal(net_info(&s, 1, 0).hold_secs, 0);
	assert_int_equal(net_info(&s, 1, 0).rx_msgs + net_info(&s, 0, 1).rx_msgs, before);
}

/* RFC 7313 4: what is not announced again between BoRR and EoRR is removed. */
static void test_stale(void **state)
{
	uint8_t m[64];
	struct wr w;

	pair(65001, 65002);
	originate(&s, 0, "10.1.0.0/16");
	net_run(&s, 5);
	up(0, 1);
	for (int i = 0; i < NET_PIPES; i++)
		for (int k = 0; k < 2; k++) {
			if (!s.p[i].used || s.p[i].s[k].node != 1)
				continue;
			wr_init(&w, m, sizeof(m));
			bgp_refresh_encode(&w, BGP_IPV4, REFRESH_BEGIN);
			bgp_recv(s.n[1].b, s.p[i].s[k].conn, m, wr_len(&w), s.now);
			net_settle(&s);
			assert_true(has_route(&s, 1, "10.1.0.0/16", NULL));
			wr_init(&w, m, sizeof(m));
			bgp_refresh_encode(&w, BGP_IPV4, REFRESH_END);
			bgp_recv(s.n[1].b, s.p[i].s[k].conn, m, wr_len(&w), s.now);
			net_settle(&s);
		}
	assert_false(has_route(&s, 1, "10.1.0.0/16", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ebgp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_down_and_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shutdown_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_collision, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hold_timer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_default_deny, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reflection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refresh, setup, teardown),
		cmocka_unit_test_setup_teardown(test_well_known, setup, teardown),
		cmocka_unit_test_setup_teardown(test_families, setup, teardown),
		cmocka_unit_test_setup_teardown(test_max_prefixes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reflection_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_med, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
