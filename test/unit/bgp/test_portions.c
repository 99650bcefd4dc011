/* What is done to a whole table is done in portions: the routes of a peer that is gone, or restarts, the
 * export to new peers, another policy, next hops. In between the core answers, and whatever changes
 * meanwhile ends up right. */
#include "bgpnet.h"

#define ROUTES 20000u

static struct net_sim s;
static unsigned idle; /* calls that had nothing to tell yet */
static int other_policy;

static struct bgp_nlri nth(unsigned i)
{
	return (struct bgp_nlri){
		.family = BGP_IPV4, .pfx = {.ip = ip_v4(0x0b000000u + (i << 8)), .len = 24}};
}

static void announce(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct bgp_nlri n = nth(i);

		assert_int_equal(bgp_originate(s.n[1].b, 1, &n, NULL, s.now), 0);
	}
}

static void withdraw(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct bgp_nlri n = nth(i);

		assert_int_equal(bgp_withdraw(s.n[1].b, 1, &n, s.now), 0);
	}
}

static void on_act(void *ctx, int node, const struct bgp_act *a)
{
	idle += a->type == BGP_NONE;
}

static struct bgp_peer_cfg to(int node, uint32_t as, bool restart)
{
	struct bgp_peer_cfg c = net_peer_cfg(&s, node, as);

	c.restart = restart ? BGP_RESTART_HELPER : BGP_RESTART_NONE;
	return c;
}

/* Node 0 between 1, which has the routes, and 2; 3 comes later and has a group of its own. */
static int setup(void **state)
{
	struct bgp_peer_cfg c;

	net_init(&s, 99);
	s.cut = false;
	for (int i = 0; i < 4; i++)
		net_node(&s, i, 65000 + (uint32_t)i, 10u + (uint32_t)i);
	for (int i = 1; i < 4; i++) {
		c = to(0, 65000, i == 3);
		if (i == 1 && *state)
			c.restart = BGP_RESTART_FULL;
		net_add(&s, i, &c);
		s.n[3].deaf = true;
		c = to(i, 65000 + (uint32_t)i, i == 3 || (i == 1 && *state));
		if (i == 3)
			c.export.ctx = &other_policy;
		net_add(&s, 0, &c);
	}
	announce(0, ROUTES);
	net_run(&s, 10);
	assert_int_equal(ROUTES, net_info(&s, 2, 0).prefixes_received);
	s.n[0].on_act = on_act;
	idle = 0;
	return 0;
}

static int teardown(void **state)
{
	net_free(&s);
	memset(&s, 0, sizeof(s));
	return 0;
}

static void test_gone(void **state)
{
	struct bgp_stats st;

	net_break(&s, 0, 1);
	s.n[1].deaf = true;
	assert_int_equal(ROUTES, net_info(&s, 0, 1).prefixes_received);
	net_settle(&s);
	assert_int_equal(0, net_info(&s, 0, 1).prefixes_received);
	assert_int_equal(0, net_info(&s, 2, 0).prefixes_received);
	bgp_stats(s.n[0].b, &st);
	assert_int_equal(0, st.nets + st.paths + st.out_entries);
}

/* Take @n actions of node 0. */
static void some(unsigned n)
{
	struct bgp_act a;

	while (n-- > 0 && bgp_next(s.n[0].b, &a))
		net_act(&s, 0, &a);
}

/* Gone, and back or forgotten before all of its routes went. */
static void test_back(void **state)
{
	unsigned left;

	net_break(&s, 0, 1);
	some(2000);
	left = net_info(&s, 0, 1).prefixes_received;
	assert_in_range(left, 1, ROUTES - 1);
	net_run(&s, 30);
	assert_int_equal(BGP_ESTABLISHED, net_info(&s, 0, 1).state);
	assert_int_equal(ROUTES, net_info(&s, 0, 1).prefixes_received);
	assert_int_equal(ROUTES, net_info(&s, 2, 0).prefixes_received);
	net_break(&s, 0, 1);
	some(2000);
	assert_int_equal(0, bgp_peer_del(s.n[0].b, net_info(&s, 0, 1).peer, s.now));
	net_settle(&s);
	assert_int_equal(0, net_info(&s, 2, 0).prefixes_received);
}

static bool ended;

/* One UPDATE of node 0: End-of-RIB, or what it announces, a /24 in 4 bytes. */
static void look_at(const uint8_t *m, size_t len)
{
	size_t gone = (size_t)(m[19] << 8 | m[20]),
	       attrs = (size_t)(m[21 + gone] << 8 | m[22 + gone]);

	for (size_t i = 23 + gone + attrs; i < len; i += 4) {
		unsigned net = (unsigned)(m[i + 1] << 16 | m[i + 2] << 8 | m[i + 3]) - 0x0b0000u;

		assert_false(ended && net < ROUTES);
	}
	ended |= len == 23;
}

/* What was there before the peer came is told before End-of-RIB. */
static void look(void *ctx, int node, const struct bgp_act *a)
{
	uint32_t *peer = ctx;
	size_t len;

	on_act(NULL, node, a);
	if (a->type != BGP_SEND || a->peer != *peer)
		return;
	for (size_t i = 0; i < a->len; i += len) {
		len = (size_t)(a->buf[i + 16] << 8 | a->buf[i + 17]);
		if (a->buf[i + 18] == MSG_UPDATE)
			look_at(a->buf + i, len);
	}
}

/* A peer comes, and before it has heard all, the table changes under it and doubles. */
static void test_new_peer(void **state)
{
	uint32_t peer = net_info(&s, 0, 3).peer;
	struct bgp_stats st;

	s.n[0].on_act = look;
	s.n[0].ctx = &peer;
	ended = false;
	s.n[3].deaf = false;
	for (unsigned i = 0; i < 100000 && net_info(&s, 0, 3).prefixes_announced == 0; i++) {
		s.now = ts_add(s.now, DUR_MS(100));
		bgp_tick(s.n[3].b, s.now);
		bgp_tick(s.n[0].b, s.now);
		net_drain(&s, 3);
		some(1);
		for (int p = 0; p < NET_PIPES; p++)
			for (int k = 0; k < 2; k++)
				if (s.p[p].used)
					(void)net_deliver(&s, &s.p[p], k);
	}
	assert_in_range(net_info(&s, 0, 3).prefixes_announced, 1, ROUTES - 1);
	withdraw(0, ROUTES / 2);
	announce(ROUTES, 4 * ROUTES);
	net_settle(&s);
	assert_true(ended);
	assert_int_equal(4 * ROUTES - ROUTES / 2, net_info(&s, 2, 0).prefixes_received);
	assert_int_equal(4 * ROUTES - ROUTES / 2, net_info(&s, 3, 0).prefixes_received);
	assert_int_equal(4 * ROUTES - ROUTES / 2, net_info(&s, 0, 3).prefixes_announced);
	bgp_stats(s.n[0].b, &st);
	assert_int_equal(4 * ROUTES - ROUTES / 2, st.nets);
}

/* With nobody to hear it, a call that passes a whole table returns in between. */
static void test_returns(void **state)
{
	struct bgp_act a;
	unsigned calls = 0;

	assert_int_equal(0, bgp_peer_del(s.n[0].b, net_info(&s, 0, 2).peer, s.now));
	net_settle(&s);
	s.n[1].deaf = true;
	/* Routes that no policy takes: nothing is told of them, and their end is work alone. */
	assert_int_equal(0, bgp_peer_repolicy(s.n[0].b, net_info(&s, 0, 1).peer,
				    &(struct bgp_policy){NULL, NULL}, NULL, s.now));
	net_settle(&s);
	idle = 0;
	net_break(&s, 0, 1);
	while (bgp_next(s.n[0].b, &a)) {
		net_act(&s, 0, &a);
		calls++;
	}
	assert_in_range(idle, 2, calls);
	assert_int_equal(0, net_info(&s, 0, 1).prefixes_received);
}

/* The policy of the test: every second prefix, the even ones or the odd ones, or all. */
static int taken = -1;
static enum bgp_verdict halves(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	return taken < 0 || (r->nlri->pfx.ip.b[2] & 1) == taken ? BGP_ACCEPT : BGP_REJECT;
}
static const struct bgp_policy_ops halves_ops = {halves};
static const struct bgp_policy halves_policy = {&halves_ops, NULL};

/* So many actions later there is still work, and a message of another peer was answered. */
static void amid(void)
{
	struct bgp_nlri n = nlri4("192.0.2.0/24");

	some(40);
	assert_int_equal(0, bgp_originate(s.n[0].b, 1, &n, NULL, s.now));
	some(40);
	assert_int_equal(0, bgp_withdraw(s.n[0].b, 1, &n, s.now));
}

/* Import policy: at once nothing is judged, in the end all; what is told meanwhile is judged once. */
static void test_import(void **state)
{
	uint32_t peer = net_info(&s, 0, 1).peer;

	taken = 0;
	assert_int_equal(0, bgp_peer_repolicy(s.n[0].b, peer, &halves_policy, NULL, s.now));
	assert_int_equal(ROUTES, net_info(&s, 0, 1).prefixes_accepted);
	amid();
	assert_in_range(net_info(&s, 0, 1).prefixes_accepted, ROUTES / 2 + 1, ROUTES - 1);
	announce(ROUTES, 2 * ROUTES);
	net_settle(&s);
	assert_int_equal(ROUTES, net_info(&s, 0, 1).prefixes_accepted);
	assert_int_equal(ROUTES, net_info(&s, 2, 0).prefixes_received);
	/* Once more before the first pass is over: what stands in front of it is not forgotten. */
	taken = 1;
	assert_int_equal(0, bgp_peer_repolicy(s.n[0].b, peer, NULL, NULL, s.now));
	some(20);
	taken = -1;
	assert_int_equal(0, bgp_peer_repolicy(s.n[0].b, peer, NULL, NULL, s.now));
	net_settle(&s);
	assert_int_equal(2 * ROUTES, net_info(&s, 0, 1).prefixes_accepted);
	assert_int_equal(2 * ROUTES, net_info(&s, 2, 0).prefixes_received);
	/* The peer goes while it is judged. */
	taken = 1;
	assert_int_equal(0, bgp_peer_repolicy(s.n[0].b, peer, NULL, NULL, s.now));
	some(20);
	net_break(&s, 0, 1);
	s.n[1].deaf = true;
	net_settle(&s);
	assert_int_equal(0, net_info(&s, 2, 0).prefixes_received);
	taken = -1;
}

/* Export policy: of one peer of a group that has two, while the table changes. It is told the differences
 * and every other prefix goes; the other peer hears nothing of it. */
static void test_move(void **state)
{
	uint32_t peer = net_info(&s, 0, 2).peer, mate;
	struct bgp_stats st;
	uint64_t rx;

	s.n[3].deaf = false; /* with a policy of its own, so it is put into the group of 2 */
	mate = net_info(&s, 0, 3).peer;
	assert_int_equal(0, bgp_peer_repolicy(s.n[0].b, mate, NULL,
				    &(struct bgp_policy){&accept_ops, NULL}, s.now));
	net_run(&s, 60);
	assert_int_equal(ROUTES, net_info(&s, 3, 0).prefixes_received);
	rx = net_info(&s, 3, 0).rx_updates;
	taken = 0;
	assert_int_equal(0, bgp_peer_repolicy(s.n[0].b, peer, NULL, &halves_policy, s.now));
	amid();
	withdraw(0, ROUTES / 2);
	announce(ROUTES, 2 * ROUTES);
	net_settle(&s);
	assert_int_equal(3 * ROUTES / 4, net_info(&s, 2, 0).prefixes_received);
	assert_int_equal(3 * ROUTES / 4, net_info(&s, 0, 2).prefixes_announced);
	assert_int_equal(3 * ROUTES / 2, net_info(&s, 3, 0).prefixes_received);
	/* Back, and before it is there, on to a third one; then it goes. */
	assert_int_equal(0, bgp_peer_repolicy(s.n[0].b, peer, NULL,
				    &(struct bgp_policy){&accept_ops, NULL}, s.now));
	some(8);
	assert_int_equal(0, bgp_peer_graceful_shutdown(s.n[0].b, peer, true, s.now));
	net_settle(&s);
	assert_int_equal(3 * ROUTES / 2, net_info(&s, 2, 0).prefixes_received);
	rx = net_info(&s, 3, 0).rx_updates;
	assert_int_equal(0, bgp_peer_graceful_shutdown(s.n[0].b, peer, false, s.now));
	some(8);
	net_break(&s, 0, 2);
	s.n[2].deaf = true;
	net_settle(&s);
	assert_int_equal(rx, net_info(&s, 3, 0).rx_updates);
	assert_int_equal(3 * ROUTES / 2, net_info(&s, 3, 0).prefixes_received);
	withdraw(ROUTES / 2, 2 * ROUTES);
	net_settle(&s);
	bgp_stats(s.n[0].b, &st);
	assert_int_equal(0, st.nets + st.paths + st.out_entries);
	taken = -1;
}

/* Next hops: decided a portion at a time, with what is new in between. */
static void test_next_hops(void **state)
{
	struct bgp_stats before, st;

	bgp_stats(s.n[0].b, &before);
	bgp_nexthops_changed(s.n[0].b, 1, s.now);
	some(10);
	bgp_stats(s.n[0].b, &st);
	assert_in_range(st.decisions - before.decisions, 1, ROUTES / 2);
	bgp_nexthops_changed(s.n[0].b, 1, s.now); /* once more, from the beginning */
	net_settle(&s);
	bgp_stats(s.n[0].b, &st);
	assert_in_range(st.decisions - before.decisions, ROUTES + 1, 2 * ROUTES);
}

/* A restart, with node 1 as one that has its routes kept: nothing of it walks the table at once, what is
 * told again before the old goes stays, and ages come round. */
static void test_restart(void **state)
{
	s.n[0].withdrawals = 0;
	for (unsigned i = 0; i < 3; i++) {
		net_break(&s, 0, 1);
		some(1);
		assert_int_equal(ROUTES, net_info(&s, 0, 1).prefixes_received);
		net_run(&s, 200);
		assert_int_equal(BGP_ESTABLISHED, net_info(&s, 0, 1).state);
		assert_int_equal(ROUTES, net_info(&s, 0, 1).prefixes_received);
		assert_int_equal(0, net_info(&s, 0, 1).stale_families);
	}
	assert_int_equal(0, s.n[0].withdrawals);
	net_break(&s, 0, 1);
	withdraw(0, ROUTES / 2); /* it has these no more */
	net_run(&s, 200);
	assert_int_equal(ROUTES / 2, net_info(&s, 0, 1).prefixes_received);
	assert_int_equal(ROUTES / 2, net_info(&s, 2, 0).prefixes_received);
}

/* More refreshes than there are ages, each begun and only the last one ended. */
static void test_many_refreshes(void **state)
{
	struct side *side = NULL;
	uint8_t m[64];
	struct wr w;

	for (int i = 0; i < NET_PIPES && !side; i++)
		for (int k = 0; k < 2; k++)
			if (s.p[i].used && s.p[i].s[k].node == 0 && s.p[i].s[!k].node == 1)
				side = &s.p[i].s[k];
	assert_non_null(side);
	for (unsigned i = 0; i < 600; i++) {
		wr_init(&w, m, sizeof(m));
		bgp_refresh_encode(&w, BGP_IPV4, REFRESH_BEGIN);
		if (i % 3 == 2)
			bgp_refresh_encode(&w, BGP_IPV4, REFRESH_END);
		if (i < 300 && i % 3 == 2) { /* and all is told again in between */
			bgp_peer_refresh(s.n[0].b, net_info(&s, 0, 1).peer, BGP_IPV4, s.now);
			net_settle(&s);
			assert_int_equal(ROUTES, net_info(&s, 0, 1).prefixes_received);
			continue;
		}
		bgp_recv(s.n[0].b, side->conn, m, wr_len(&w), s.now);
	}
	net_settle(&s);
	assert_int_equal(0, net_info(&s, 0, 1).prefixes_received);
	assert_int_equal(0, net_info(&s, 2, 0).prefixes_received);
}

static bool yes = true;

int main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {NET(test_gone), NET(test_back), NET(test_new_peer),
		NET(test_returns), NET(test_import), NET(test_move), NET(test_next_hops),
		NET(test_many_refreshes),
		cmocka_unit_test_prestate_setup_teardown(test_restart, setup, teardown, &yes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
