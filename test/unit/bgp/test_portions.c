/* What is done to a whole table is done in portions: the routes of a peer that is gone, the export to a
 * group of new peers. In between the core answers, and whatever changes meanwhile ends up right. */
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
		net_add(&s, i, &c);
		s.n[3].deaf = true;
		c = to(i, 65000 + (uint32_t)i, i == 3);
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

int main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		NET(test_gone), NET(test_back), NET(test_new_peer), NET(test_returns)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
