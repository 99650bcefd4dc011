/* The state machine: each message in each state, collision detection both ways, random churn with an
 * oracle, and allocations that fail. */
#include "bgpone.h"
#include "fault.h"

/* Rows: in which state, what comes, what follows; RFC 6608's subcode where it is an error. */
static void test_matrix(void **state)
{
	static const struct {
		enum bgp_state in;
		unsigned msg;
		enum bgp_state then;
		uint8_t code, subcode;
	} rows[] = {
		{BGP_OPENSENT, MSG_OPEN, BGP_OPENCONFIRM, 0, 0},
		{BGP_OPENSENT, MSG_UPDATE, BGP_IDLE, NOTIFY_FSM, FSM_OPENSENT},
		{BGP_OPENSENT, MSG_KEEPALIVE, BGP_IDLE, NOTIFY_FSM, FSM_OPENSENT},
		{BGP_OPENSENT, MSG_REFRESH, BGP_IDLE, NOTIFY_FSM, FSM_OPENSENT},
		{BGP_OPENSENT, MSG_NOTIFICATION, BGP_IDLE, 0, 0},
		{BGP_OPENCONFIRM, MSG_OPEN, BGP_IDLE, NOTIFY_FSM, FSM_OPENCONFIRM},
		{BGP_OPENCONFIRM, MSG_UPDATE, BGP_IDLE, NOTIFY_FSM, FSM_OPENCONFIRM},
		{BGP_OPENCONFIRM, MSG_KEEPALIVE, BGP_ESTABLISHED, 0, 0},
		{BGP_OPENCONFIRM, MSG_REFRESH, BGP_IDLE, NOTIFY_FSM, FSM_OPENCONFIRM},
		{BGP_OPENCONFIRM, MSG_NOTIFICATION, BGP_IDLE, 0, 0},
		{BGP_ESTABLISHED, MSG_OPEN, BGP_IDLE, NOTIFY_FSM, FSM_ESTABLISHED},
		{BGP_ESTABLISHED, MSG_UPDATE, BGP_ESTABLISHED, 0, 0},
		{BGP_ESTABLISHED, MSG_KEEPALIVE, BGP_ESTABLISHED, 0, 0},
		{BGP_ESTABLISHED, MSG_REFRESH, BGP_ESTABLISHED, 0, 0},
		{BGP_ESTABLISHED, MSG_NOTIFICATION, BGP_IDLE, 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t c;

		start(1, true);
		c = take_in();
		if (rows[i].in >= BGP_OPENCONFIRM)
			give(c, MSG_OPEN, 2);
		if (rows[i].in == BGP_ESTABLISHED)
			give(c, MSG_KEEPALIVE, 2);
		assert_int_equal(state_now(), rows[i].in);
		sent_len = 0;
		give(c, rows[i].msg, 2);
		assert_int_equal(state_now(), rows[i].then);
		if (rows[i].code) {
			assert_true(sent_len >= 21);
			assert_int_equal(sent[18], MSG_NOTIFICATION);
			assert_int_equal(sent[19], rows[i].code);
			assert_int_equal(sent[20], rows[i].subcode);
		} else if (rows[i].msg == MSG_NOTIFICATION) {
			assert_int_equal(sent_len, 0); /* never answered */
		}
		assert_int_equal(nclosed, rows[i].then == BGP_IDLE);
		if (rows[i].then == BGP_IDLE) { /* Idle refuses; then it listens again */
			struct ip local = ip_v4(0x0a000001);
			uint32_t c2;

			assert_int_equal(
				bgp_accepted(b, 1, &remote, &local, now, &c2), ERR_REFUSED);
			now = ts_add(now, DUR_SEC(200));
			bgp_tick(b, now);
			assert_int_equal(state_now(), BGP_ACTIVE);
		}
		bgp_free(b);
	}
}

/* Connect and Active: a dial that fails, ConnectRetryTimer, OpenSent that is closed early. */
static void test_dial(void **state)
{
	struct ip local = ip_v4(0x0a000001);
	uint32_t first;

	start(1, false);
	assert_int_equal(state_now(), BGP_CONNECTING);
	first = dialled;
	assert_int_equal(bgp_closed(b, first, now), 0);
	assert_int_equal(state_now(), BGP_ACTIVE);
	assert_int_equal(bgp_connected(b, first, &local, now), ERR_NOT_FOUND);
	now = bgp_deadline(b);
	bgp_tick(b, now);
	drain();
	assert_true(dialled != first);
	assert_int_equal(state_now(), BGP_CONNECTING);
	/* No answer at all: closed and dialled anew. */
	first = dialled;
	now = bgp_deadline(b);
	bgp_tick(b, now);
	drain();
	assert_int_equal(nclosed, 1);
	assert_int_equal(closed[0], first);
	assert_int_equal(bgp_connected(b, dialled, &local, now), 0);
	drain();
	assert_int_equal(state_now(), BGP_OPENSENT);
	assert_int_equal(sent[18], MSG_OPEN);
	bgp_closed(b, dialled, now);
	drain();
	assert_int_equal(state_now(), BGP_ACTIVE);
	bgp_free(b);
}

/* RFC 4271 6.8: with both connections in OpenConfirm, the one of the higher identifier stays. */
static void test_collision(void **state)
{
	for (int turn = 0; turn < 4; turn++) {
		struct ip local = ip_v4(0x0a000001);
		uint32_t us = turn & 1 ? 9 : 1, them = 5, in, first, second, winner;

		start(us, false);
		assert_int_equal(bgp_connected(b, dialled, &local, now), 0);
		in = take_in();
		first = turn & 2 ? in : dialled;
		second = turn & 2 ? dialled : in;
		winner = us > them ? dialled : in;
		give(first, MSG_OPEN, them);
		assert_int_equal(nclosed, 0);
		give(second, MSG_OPEN, them);
		assert_int_equal(nclosed, 1);
		assert_int_equal(closed[0], winner == in ? dialled : in);
		give(winner, MSG_KEEPALIVE, them);
		assert_int_equal(state_now(), BGP_ESTABLISHED);
		bgp_free(b);
	}
}

/* A session that stands isn't replaced: the new connection gets Cease/7. */
static void test_collision_established(void **state)
{
	struct ip local = ip_v4(0x0a000001);
	uint32_t in;

	start(1, false);
	bgp_connected(b, dialled, &local, now);
	give(dialled, MSG_OPEN, 5);
	give(dialled, MSG_KEEPALIVE, 5);
	in = take_in();
	sent_len = 0;
	give(in, MSG_OPEN, 5);
	assert_int_equal(state_now(), BGP_ESTABLISHED);
	assert_int_equal(nclosed, 1);
	assert_int_equal(closed[0], in);
	assert_int_equal(sent[sent_len - 2], NOTIFY_CEASE);
	assert_int_equal(sent[sent_len - 1], CEASE_COLLISION);
	bgp_free(b);
}

/* RFC 5492 3: a peer that knows no optional parameters is called without. */
static void test_no_capabilities(void **state)
{
	uint8_t m[64];
	struct bgp_error e;
	struct wr w;
	uint32_t c;

	start(1, true);
	c = take_in();
	assert_true(sent[28] > 0);
	bgp_error_set(&e, NOTIFY_OPEN, OPEN_BAD_PARAM, NULL, 0);
	wr_init(&w, m, sizeof(m));
	bgp_notification_encode(&w, &e);
	bgp_recv(b, c, m, wr_len(&w), now);
	drain();
	now = ts_add(now, DUR_SEC(10));
	bgp_tick(b, now);
	take_in();
	assert_int_equal(sent_len, 29);
	assert_int_equal(sent[28], 0);
	bgp_free(b);
}

/* Random churn over a line of three and a mesh link, streams cut anywhere: in the end each table is
 * what the topology says. All paths are eBGP; 0 - 1 - 2 - 3 with 0 - 2. */
#define PREFIXES 40
static bool churn(struct net_sim *s, uint64_t seed)
{
	static const int links[4][2] = {{0, 1}, {1, 2}, {2, 3}, {0, 2}};
	/* AS hops from the origin to each node */
	static const int dist[4][4] = {{0, 1, 1, 2}, {1, 0, 1, 2}, {1, 1, 0, 1}, {2, 2, 1, 0}};
	bool own[4][PREFIXES] = {{0}};
	bool ok = true;

	net_init(s, seed);
	for (int i = 0; i < 4; i++)
		net_node(s, i, 65001 + (uint32_t)i, (uint32_t)i + 1);
	for (int i = 0; i < 4; i++)
		net_join(s, links[i][0], 65001 + (uint32_t)links[i][0], links[i][1],
			65001 + (uint32_t)links[i][1]);
	net_run(s, 3);
	for (int step = 0; step < 300; step++) {
		int i = (int)prng_below(&s->rnd, 4), k = (int)prng_below(&s->rnd, PREFIXES);
		struct bgp_nlri n = {.family = BGP_IPV4};
		struct bgp_attrs a = {.has = BGP_HAS_MED, .med = (uint32_t)prng_below(&s->rnd, 3)};

		n.pfx = (struct pfx){.ip = ip_v4(0x0a000000u | (uint32_t)k << 8), .len = 24};
		if (prng_below(&s->rnd, 3) && bgp_originate(s->n[i].b, 1, &n, &a, s->now) == 0)
			own[i][k] = true;
		else if (own[i][k] && bgp_withdraw(s->n[i].b, 1, &n, s->now) == 0)
			own[i][k] = false;
		if (prng_below(&s->rnd, 40) == 0) {
			int l = (int)prng_below(&s->rnd, 4);

			net_break(s, links[l][0], links[l][1]);
		}
		if (prng_below(&s->rnd, 30) == 0)
			bgp_peer_refresh(s->n[i].b, 1, BGP_IPV4, s->now);
		if (prng_below(&s->rnd, 30) == 0)
			bgp_peer_graceful_shutdown(
				s->n[i].b, 1, (bool)prng_below(&s->rnd, 2), s->now);
		if (prng_below(&s->rnd, 4) == 0)
			net_settle(s);
		if (prng_below(&s->rnd, 8) == 0)
			net_run(s, 1 + (unsigned)prng_below(&s->rnd, 5));
	}
	for (int i = 0; i < 4; i++)
		bgp_peer_graceful_shutdown(s->n[i].b, 1, false, s->now);
	net_run(s, 400);
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < PREFIXES; k++) {
			struct bgp_nlri n = {.family = BGP_IPV4};
			struct found f;
			int best = -1;
			bool hit;

			n.pfx = (struct pfx){
				.ip = ip_v4(0x0a000000u | (uint32_t)k << 8), .len = 24};
			for (int o = 0; o < 4; o++)
				if (own[o][k] && (best < 0 || dist[i][o] < best))
					best = dist[i][o];
			hit = net_find(s, i, BGP_LOC_RIB, 0, &n, &f);
			ok = ok && hit == (best >= 0) &&
			     (!hit || (int)bgp_attrs_path_len(&f.a) == best);
		}
	/* What one says it announced, the other has received. */
	for (int l = 0; l < 4; l++)
		for (int d = 0; d < 2; d++) {
			int from = links[l][d], to = links[l][!d];
			struct bgp_peer_info out = net_info(s, from, to),
					     in = net_info(s, to, from);

			/* looped paths are sent and not kept */
			ok = ok && out.state == BGP_ESTABLISHED &&
			     in.prefixes_received <= out.prefixes_announced;
		}
	net_free(s);
	return ok;
}

static void test_churn(void **state)
{
	static struct net_sim s;

	for (uint64_t seed = 1; seed <= 12; seed++)
		if (!churn(&s, seed))
			fail_msg("seed %llu", (unsigned long long)seed);
}

/* Whatever allocation fails, nothing breaks, and the two agree in the end. */
static void test_nomem(void **state)
{
	static struct net_sim s;

	for (unsigned nth = 1; nth < 60; nth++) {
		struct bgp_nlri n;
		bool hit;

		net_init(&s, nth);
		net_node(&s, 0, 65001, 1);
		net_node(&s, 1, 65002, 2);
		net_join(&s, 0, 65001, 1, 65002);
		fault_arm(nth);
		for (unsigned i = 0; i < 200; i++) {
			struct bgp_attrs a = {.has = BGP_HAS_MED, .med = i / 5};

			n = (struct bgp_nlri){.family = BGP_IPV4};
			n.pfx = (struct pfx){.ip = ip_v4(0x0a000000u | i << 8), .len = 24};
			if (bgp_originate(s.n[0].b, 1, &n, &a, s.now) == ERR_NOMEM)
				assert_int_equal(bgp_originate(s.n[0].b, 1, &n, &a, s.now), 0);
			if (i == 100)
				net_run(&s, 3);
		}
		net_run(&s, 3);
		hit = fault_disarm();
		net_run(&s, 200);
		assert_int_equal(net_info(&s, 1, 0).prefixes_received, 200);
		net_free(&s);
		if (!hit)
			return;
	}
}

static void test_new_nomem(void **state)
{
	FAULT_EACH(n)
	{
		struct bgp_cfg cfg = {.local_as = 1, .router_id = 1};
		struct bgp_peer_cfg pc = {.vni = 1, .remote_as = 2, .families = 1};
		struct bgp *x = bgp_new(&cfg, TS_ZERO);
		uint32_t p;

		pc.remote.ip = ip_v4(1);
		if (x)
			bgp_peer_add(x, &pc, TS_ZERO, &p);
		bgp_free(x);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_dial),
		cmocka_unit_test(test_collision),
		cmocka_unit_test(test_collision_established),
		cmocka_unit_test(test_no_capabilities),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_nomem),
		cmocka_unit_test(test_new_nomem),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
