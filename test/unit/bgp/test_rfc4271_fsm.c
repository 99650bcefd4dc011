/* RFC 4271 section 8: each event in each state, what is sent, what is closed, what is dialled, and when; the
 * timers and the counter; what is left of a peer in Idle. The connection is the dialled one unless a row
 * says else; the neighbour's messages are the test's. docs/bgp.md maps the section to these. */
#include "bgpone.h"

enum event {
	MANUAL_START,
	MANUAL_STOP,
	AUTO_STOP, /* event 8, as an operator's clear is one */
	RETRY_TIMER,
	HOLD_TIMER,
	KEEPALIVE_TIMER,
	TCP_IN, /* the peer connects: 16 of another connection */
	TCP_UP,
	TCP_FAILS,
	OPEN,
	HEADER_ERR,
	OPEN_ERR,
	NOTIF_VERSION,
	NOTIF,
	KEEPALIVE,
	UPDATE,
	UPDATE_ERR,
};

static const struct ip ours = {.family = IP_V4, .b = {10, 0, 0, 1}};
static uint32_t conn; /* the one that the row is about */
static ts_t dialled_at;

/* Bring a fresh peer into @in. */
static void reach(enum bgp_state in)
{
	start(1, false); /* our identifier is the lower one: an incoming connection wins */
	conn = dialled;
	dialled_at = now;
	if (in == BGP_IDLE) {
		bgp_peer_stop(b, peer, NULL, now);
	} else if (in == BGP_ACTIVE) {
		bgp_closed(b, conn, now);
	} else if (in > BGP_CONNECTING) {
		assert_int_equal(bgp_connected(b, conn, &ours, now), 0);
		drain();
		if (in > BGP_OPENSENT)
			give(conn, MSG_OPEN, 2);
		if (in > BGP_OPENCONFIRM)
			give(conn, MSG_KEEPALIVE, 2);
	}
	drain();
	assert_int_equal(state_now(), in);
	sent_len = nclosed = 0;
	dialled = 0;
}

/* Bytes behind a marker of ones and the length. */
static void give_bytes(const uint8_t *body, size_t n)
{
	uint8_t m[64];

	memset(m, 0xff, 16);
	m[16] = 0;
	m[17] = (uint8_t)(18 + n);
	memcpy(m + 18, body, n);
	bgp_recv(b, conn, m, 18 + n, now);
	drain();
}

/* What is due next by the clock. */
static void wait_next(void)
{
	now = bgp_deadline(b);
	bgp_tick(b, now);
	drain();
}

static void pass(unsigned secs)
{
	ts_t end = ts_add(now, DUR_SEC(secs));

	while (ts_due(bgp_deadline(b), end))
		wait_next();
	now = end;
}

static void happen(enum event e)
{
	static const uint8_t version[] = {MSG_NOTIFICATION, NOTIFY_OPEN, OPEN_BAD_VERSION};
	static const uint8_t bad_open[] = {MSG_OPEN, 4, 0xfd, 0xea, 0, 1, 0, 0, 0, 2, 0};
	static const uint8_t bad_update[] = {MSG_UPDATE, 0, 9, 0, 0};
	uint32_t c;

	switch (e) {
	case MANUAL_START:
		bgp_peer_start(b, peer, now);
		break;
	case MANUAL_STOP:
		bgp_peer_stop(b, peer, NULL, now);
		break;
	case AUTO_STOP:
		bgp_peer_reset(b, peer, NULL, now);
		break;
	case RETRY_TIMER:
		now = ts_add(now, DUR_SEC(40)); /* longer than it ever is */
		bgp_tick(b, now);
		break;
	case HOLD_TIMER:
		now = ts_add(now, DUR_SEC(241));
		bgp_tick(b, now);
		break;
	case KEEPALIVE_TIMER:
		now = ts_add(now, DUR_SEC(31));
		bgp_tick(b, now);
		break;
	case TCP_IN:
		(void)bgp_accepted(b, 1, &remote, &ours, now, &c);
		break;
	case TCP_UP:
		(void)bgp_connected(b, conn, &ours, now);
		break;
	case TCP_FAILS:
		(void)bgp_closed(b, conn, now);
		break;
	case OPEN:
		give(conn, MSG_OPEN, 2);
		break;
	case HEADER_ERR:
		give_bytes((const uint8_t[]){9}, 1);
		break;
	case OPEN_ERR:
		give_bytes(bad_open, sizeof(bad_open));
		break;
	case NOTIF_VERSION:
		give_bytes(version, sizeof(version));
		break;
	case NOTIF:
		give(conn, MSG_NOTIFICATION, 2);
		break;
	case KEEPALIVE:
		give(conn, MSG_KEEPALIVE, 2);
		break;
	case UPDATE:
		give(conn, MSG_UPDATE, 2);
		break;
	default:
		give_bytes(bad_update, sizeof(bad_update));
	}
	drain();
}

struct row {
	enum bgp_state in;
	enum event e;
	enum bgp_state then;
	uint8_t says;       /* type of the last message sent; 0: nothing */
	uint8_t code, sub;  /* of a NOTIFICATION */
	bool closes, dials; /* the connection; another one, at once */
};

#define NOTE(c, s) MSG_NOTIFICATION, c, s
static const struct row rows[] = {
	/* Idle: refuses, and only a start leads out of it; the rest changes nothing. */
	{BGP_IDLE, MANUAL_START, BGP_CONNECTING, 0, 0, 0, false, true},
	{BGP_IDLE, MANUAL_STOP, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_IDLE, AUTO_STOP, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_IDLE, RETRY_TIMER, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_IDLE, HOLD_TIMER, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_IDLE, TCP_IN, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_IDLE, TCP_UP, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_IDLE, TCP_FAILS, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_IDLE, OPEN, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_IDLE, HEADER_ERR, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_IDLE, NOTIF, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_IDLE, UPDATE, BGP_IDLE, 0, 0, 0, false, false},
	/* Connect: dials anew when ConnectRetryTimer ends, listens meanwhile. Nothing is said before OPEN. */
	{BGP_CONNECTING, MANUAL_START, BGP_CONNECTING, 0, 0, 0, false, false},
	{BGP_CONNECTING, MANUAL_STOP, BGP_IDLE, 0, 0, 0, true, false},
	{BGP_CONNECTING, AUTO_STOP, BGP_IDLE, 0, 0, 0, true, false},
	{BGP_CONNECTING, RETRY_TIMER, BGP_CONNECTING, 0, 0, 0, true, true},
	{BGP_CONNECTING, TCP_IN, BGP_OPENSENT, MSG_OPEN, 0, 0, false, false},
	{BGP_CONNECTING, TCP_UP, BGP_OPENSENT, MSG_OPEN, 0, 0, false, false},
	{BGP_CONNECTING, TCP_FAILS, BGP_ACTIVE, 0, 0, 0, false, false},
	/* Active: listens, and dials when ConnectRetryTimer ends. */
	{BGP_ACTIVE, MANUAL_START, BGP_ACTIVE, 0, 0, 0, false, false},
	{BGP_ACTIVE, MANUAL_STOP, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_ACTIVE, AUTO_STOP, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_ACTIVE, RETRY_TIMER, BGP_CONNECTING, 0, 0, 0, false, true},
	{BGP_ACTIVE, TCP_IN, BGP_OPENSENT, MSG_OPEN, 0, 0, false, false},
	{BGP_ACTIVE, TCP_FAILS, BGP_ACTIVE, 0, 0, 0, false, false},
	/* OpenSent. */
	{BGP_OPENSENT, MANUAL_START, BGP_OPENSENT, 0, 0, 0, false, false},
	{BGP_OPENSENT, MANUAL_STOP, BGP_IDLE, NOTE(NOTIFY_CEASE, CEASE_SHUTDOWN), true, false},
	{BGP_OPENSENT, AUTO_STOP, BGP_IDLE, NOTE(NOTIFY_CEASE, CEASE_RESET), true, false},
	{BGP_OPENSENT, RETRY_TIMER, BGP_OPENSENT, 0, 0, 0, false, false}, /* it is stopped */
	{BGP_OPENSENT, HOLD_TIMER, BGP_IDLE, NOTE(NOTIFY_HOLD, 0), true, false},
	{BGP_OPENSENT, TCP_IN, BGP_OPENSENT, MSG_OPEN, 0, 0, false, false},
	{BGP_OPENSENT, TCP_FAILS, BGP_ACTIVE, 0, 0, 0, false, false},
	{BGP_OPENSENT, OPEN, BGP_OPENCONFIRM, MSG_KEEPALIVE, 0, 0, false, false},
	{BGP_OPENSENT, HEADER_ERR, BGP_IDLE, NOTE(NOTIFY_HEADER, 3), true, false},
	{BGP_OPENSENT, OPEN_ERR, BGP_IDLE, NOTE(NOTIFY_OPEN, OPEN_BAD_HOLD), true, false},
	{BGP_OPENSENT, NOTIF_VERSION, BGP_IDLE, 0, 0, 0, true, false},
	{BGP_OPENSENT, NOTIF, BGP_IDLE, 0, 0, 0, true, false},
	{BGP_OPENSENT, KEEPALIVE, BGP_IDLE, NOTE(NOTIFY_FSM, FSM_OPENSENT), true, false},
	{BGP_OPENSENT, UPDATE, BGP_IDLE, NOTE(NOTIFY_FSM, FSM_OPENSENT), true, false},
	{BGP_OPENSENT, UPDATE_ERR, BGP_IDLE, NOTE(NOTIFY_FSM, FSM_OPENSENT), true, false},
	/* OpenConfirm. */
	{BGP_OPENCONFIRM, MANUAL_START, BGP_OPENCONFIRM, 0, 0, 0, false, false},
	{BGP_OPENCONFIRM, MANUAL_STOP, BGP_IDLE, NOTE(NOTIFY_CEASE, CEASE_SHUTDOWN), true, false},
	{BGP_OPENCONFIRM, AUTO_STOP, BGP_IDLE, NOTE(NOTIFY_CEASE, CEASE_RESET), true, false},
	{BGP_OPENCONFIRM, HOLD_TIMER, BGP_IDLE, NOTE(NOTIFY_HOLD, 0), true, false},
	{BGP_OPENCONFIRM, KEEPALIVE_TIMER, BGP_OPENCONFIRM, MSG_KEEPALIVE, 0, 0, false, false},
	{BGP_OPENCONFIRM, TCP_IN, BGP_OPENCONFIRM, MSG_OPEN, 0, 0, false, false},
	{BGP_OPENCONFIRM, TCP_FAILS, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_OPENCONFIRM, OPEN, BGP_IDLE, NOTE(NOTIFY_FSM, FSM_OPENCONFIRM), true, false},
	{BGP_OPENCONFIRM, HEADER_ERR, BGP_IDLE, NOTE(NOTIFY_HEADER, 3), true, false},
	{BGP_OPENCONFIRM, NOTIF_VERSION, BGP_IDLE, 0, 0, 0, true, false},
	{BGP_OPENCONFIRM, NOTIF, BGP_IDLE, 0, 0, 0, true, false},
	{BGP_OPENCONFIRM, KEEPALIVE, BGP_ESTABLISHED, MSG_UPDATE, 0, 0, false, false},
	{BGP_OPENCONFIRM, UPDATE, BGP_IDLE, NOTE(NOTIFY_FSM, FSM_OPENCONFIRM), true, false},
	{BGP_OPENCONFIRM, UPDATE_ERR, BGP_IDLE, NOTE(NOTIFY_FSM, FSM_OPENCONFIRM), true, false},
	/* Established. */
	{BGP_ESTABLISHED, MANUAL_START, BGP_ESTABLISHED, 0, 0, 0, false, false},
	{BGP_ESTABLISHED, MANUAL_STOP, BGP_IDLE, NOTE(NOTIFY_CEASE, CEASE_SHUTDOWN), true, false},
	{BGP_ESTABLISHED, AUTO_STOP, BGP_IDLE, NOTE(NOTIFY_CEASE, CEASE_RESET), true, false},
	{BGP_ESTABLISHED, HOLD_TIMER, BGP_IDLE, NOTE(NOTIFY_HOLD, 0), true, false},
	{BGP_ESTABLISHED, KEEPALIVE_TIMER, BGP_ESTABLISHED, MSG_KEEPALIVE, 0, 0, false, false},
	{BGP_ESTABLISHED, TCP_IN, BGP_ESTABLISHED, MSG_OPEN, 0, 0, false, false},
	{BGP_ESTABLISHED, TCP_FAILS, BGP_IDLE, 0, 0, 0, false, false},
	{BGP_ESTABLISHED, OPEN, BGP_IDLE, NOTE(NOTIFY_FSM, FSM_ESTABLISHED), true, false},
	{BGP_ESTABLISHED, HEADER_ERR, BGP_IDLE, NOTE(NOTIFY_HEADER, 3), true, false},
	{BGP_ESTABLISHED, NOTIF_VERSION, BGP_IDLE, 0, 0, 0, true, false},
	{BGP_ESTABLISHED, NOTIF, BGP_IDLE, 0, 0, 0, true, false},
	{BGP_ESTABLISHED, KEEPALIVE, BGP_ESTABLISHED, 0, 0, 0, false, false},
	{BGP_ESTABLISHED, UPDATE, BGP_ESTABLISHED, 0, 0, 0, false, false},
	{BGP_ESTABLISHED, UPDATE_ERR, BGP_IDLE, NOTE(NOTIFY_UPDATE, UPD_ATTR_LIST), true, false},
};

static void check_row(const struct row *r, size_t i)
{
	const uint8_t *last = NULL;

	for (size_t at = 0; at < sent_len; at += (size_t)(sent[at + 16] << 8 | sent[at + 17]))
		last = sent + at;
	if (state_now() != r->then)
		fail_msg("row %zu: state %s", i, bgp_state_str(state_now()));
	if ((last ? last[18] : 0) != r->says)
		fail_msg("row %zu: says %u", i, last ? last[18] : 0);
	if (r->code && (last[19] != r->code || last[20] != r->sub))
		fail_msg("row %zu: %u/%u", i, last[19], last[20]);
	if (r->closes != (nclosed > 0))
		fail_msg("row %zu: %u closed", i, nclosed);
	if (r->closes && closed[0] != conn)
		fail_msg("row %zu: another connection was closed", i);
	if (r->dials != (dialled != 0))
		fail_msg("row %zu: %s", i, dialled ? "dials" : "does not dial");
}

/* 8.2.2, with RFC 6608's subcodes. */
static void test_events(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		reach(rows[i].in);
		if (rows[i].in == BGP_OPENCONFIRM && rows[i].e == KEEPALIVE) {
			struct bgp_nlri n = nlri4("192.0.2.0/24");

			assert_int_equal(bgp_originate(b, 1, &n, NULL, now), 0);
		}
		happen(rows[i].e);
		check_row(&rows[i], i);
		bgp_free(b);
	}
}

/* 8.2.2: in Idle nothing of the peer is held, no timer runs after a ManualStop, connections are refused
 * and events of the one before are of nobody. */
static void test_released(void **state)
{
	for (enum bgp_state in = BGP_CONNECTING; in <= BGP_ESTABLISHED; in++) {
		struct bgp_stats st;
		uint32_t c;

		reach(in);
		if (in == BGP_ESTABLISHED) { /* 192.0.2.0/24 */
			static const uint8_t m[] = {MSG_UPDATE, 0, 0, 0, 20, 0x40, 1, 1, 0, 0x40, 2,
				6, 2, 1, 0, 0, 0xfd, 0xea, 0x40, 3, 4, 10, 0, 0, 2, 24, 192, 0, 2};

			give_bytes(m, sizeof(m));
			bgp_stats(b, &st);
			assert_int_equal(st.paths, 1);
		}
		happen(MANUAL_STOP);
		bgp_stats(b, &st);
		assert_int_equal(st.paths + st.nets + st.attr_sets + st.out_entries, 0);
		assert_int_equal(bgp_deadline(b).ns, TS_NEVER.ns);
		assert_int_equal(bgp_accepted(b, 1, &remote, &ours, now, &c), ERR_REFUSED);
		assert_int_equal(bgp_recv(b, conn, sent, 19, now), ERR_NOT_FOUND);
		assert_int_equal(bgp_connected(b, conn, &ours, now), ERR_NOT_FOUND);
		bgp_free(b);
	}
}

/* How long the peer stays in Idle, to the millisecond. */
static int64_t idle_ms(void)
{
	ts_t from = now;

	assert_int_equal(state_now(), BGP_IDLE);
	while (state_now() == BGP_IDLE)
		wait_next();
	return dur_ms(ts_sub(now, from));
}

/* One failure: OpenSent, and something that is no OPEN. */
static void fail_once(void)
{
	conn = dialled;
	assert_int_equal(bgp_connected(b, conn, &ours, now), 0);
	drain();
	happen(UPDATE);
}

/* 8.1: ConnectRetryCounter makes the wait in Idle longer (DampPeerOscillations); a ManualStart, a
 * ManualStop and a session that lasted set it to zero. */
static void test_retry_counter(void **state)
{
	start(1, false);
	for (unsigned i = 0; i < 10; i++) {
		int64_t want = 2000 << (i < 6 ? i : 6);

		fail_once();
		assert_in_range(idle_ms(), want * 3 / 4, want * 5 / 4);
	}
	fail_once();
	happen(MANUAL_STOP);
	happen(MANUAL_START);
	fail_once();
	assert_in_range(idle_ms(), 1500, 2500);
	fail_once();
	assert_in_range(idle_ms(), 3000, 5000);
	/* Established for a minute. */
	conn = dialled;
	bgp_connected(b, conn, &ours, now);
	give(conn, MSG_OPEN, 2);
	give(conn, MSG_KEEPALIVE, 2);
	pass(61);
	assert_int_equal(state_now(), BGP_ESTABLISHED);
	happen(NOTIF);
	assert_in_range(idle_ms(), 1500, 2500);
	bgp_free(b);
}

/* 8.2.1: an FSM dials unless it is passive; 8.2.2: by ConnectRetryTimer, and no longer once it has a
 * connection, whoever opened that. */
static void test_connect_retry(void **state)
{
	uint32_t c;

	reach(BGP_ACTIVE);
	wait_next();
	assert_true(dialled != 0);
	assert_in_range(dur_ms(ts_sub(now, dialled_at)), 22500, 37500);
	bgp_free(b);

	reach(BGP_ACTIVE);
	assert_int_equal(bgp_accepted(b, 1, &remote, &ours, now, &c), 0);
	drain();
	pass(200);
	assert_int_equal(dialled, 0);
	assert_int_equal(state_now(), BGP_OPENSENT);
	bgp_free(b);

	start(1, true);
	assert_int_equal(state_now(), BGP_ACTIVE);
	assert_int_equal(bgp_deadline(b).ns, TS_NEVER.ns);
	assert_int_equal(dialled, 0);
	bgp_free(b);
}

/* 8.2.2: the hold time is large in OpenSent, what was agreed from OpenConfirm on, and KEEPALIVE and UPDATE
 * start it again, other messages too. */
static void test_hold(void **state)
{
	static const unsigned msgs[] = {MSG_KEEPALIVE, MSG_UPDATE, MSG_REFRESH};

	reach(BGP_OPENSENT);
	pass(239);
	assert_int_equal(state_now(), BGP_OPENSENT);
	pass(2);
	assert_int_equal(state_now(), BGP_IDLE);
	bgp_free(b);

	reach(BGP_OPENCONFIRM);
	pass(89);
	assert_int_equal(state_now(), BGP_OPENCONFIRM);
	pass(2);
	assert_int_equal(state_now(), BGP_IDLE);
	bgp_free(b);

	for (size_t i = 0; i < 3; i++) {
		reach(BGP_ESTABLISHED);
		pass(89);
		give(conn, msgs[i], 2);
		pass(89);
		assert_int_equal(state_now(), BGP_ESTABLISHED);
		pass(2);
		assert_int_equal(state_now(), BGP_IDLE);
		bgp_free(b);
	}
}

/* 8.2.2, Established: each KEEPALIVE and UPDATE that is sent starts KeepaliveTimer again. */
static void test_keepalive_timer(void **state)
{
	struct bgp_peer_info before, after;

	reach(BGP_ESTABLISHED);
	give(conn, MSG_KEEPALIVE, 2);
	assert_int_equal(bgp_peer_get(b, peer, &before), 0);
	for (uint32_t i = 0; i < 8; i++) {
		struct bgp_nlri n = {.family = BGP_IPV4};

		n.pfx = (struct pfx){.ip = ip_v4(0xc0000200u + i), .len = 32};
		assert_int_equal(bgp_originate(b, 1, &n, NULL, now), 0);
		drain();
		pass(20); /* the timer is 22.5 s at the least */
		give(conn, MSG_KEEPALIVE, 2);
	}
	assert_int_equal(bgp_peer_get(b, peer, &after), 0);
	assert_int_equal(after.tx_updates - before.tx_updates, 8);
	assert_int_equal(after.tx_msgs - before.tx_msgs, 8); /* no KEEPALIVE */
	sent_len = 0;
	pass(31);
	assert_int_equal(sent[18], MSG_KEEPALIVE);
	bgp_free(b);
}

/* 8.2.1.2: of two connections one is left, and the other's machine is gone with it; until then each has a
 * state of its own, and the failure of one does not end the other. */
static void test_two_connections(void **state)
{
	uint32_t in = 0;

	reach(BGP_OPENSENT);
	assert_int_equal(bgp_accepted(b, 1, &remote, &ours, now, &in), 0);
	drain();
	give(in, MSG_OPEN, 2);
	assert_int_equal(state_now(), BGP_OPENCONFIRM);
	happen(TCP_FAILS); /* of the dialled one */
	assert_int_equal(state_now(), BGP_OPENCONFIRM);
	give(in, MSG_KEEPALIVE, 2);
	assert_int_equal(state_now(), BGP_ESTABLISHED);
	bgp_free(b);

	reach(BGP_OPENSENT);
	assert_int_equal(bgp_accepted(b, 1, &remote, &ours, now, &in), 0);
	drain();
	happen(UPDATE);
	assert_int_equal(sent[19], NOTIFY_FSM);
	assert_int_equal(state_now(), BGP_OPENSENT);
	give(in, MSG_OPEN, 2);
	give(in, MSG_KEEPALIVE, 2);
	assert_int_equal(state_now(), BGP_ESTABLISHED);
	assert_int_equal(bgp_recv(b, conn, sent, 19, now), ERR_NOT_FOUND);
	bgp_free(b);
}

/* 8.2.1: each peer has its own; who is not configured gets none. */
static void test_peers(void **state)
{
	struct ip other = ip_v4(0x0a000003), nobody = ip_v4(0x0a000004);
	struct bgp_peer_cfg pc = {.vni = 1, .remote_as = 65003, .families = 1, .passive = true};
	struct bgp_peer_info i;
	uint32_t second, c;

	reach(BGP_ESTABLISHED);
	pc.remote.ip = other;
	assert_int_equal(bgp_peer_add(b, &pc, now, &second), 0);
	assert_int_equal(bgp_accepted(b, 1, &other, &ours, now, &c), 0);
	drain();
	give(c, MSG_UPDATE, 3);
	assert_int_equal(bgp_peer_get(b, second, &i), 0);
	assert_int_equal(i.state, BGP_IDLE);
	assert_int_equal(state_now(), BGP_ESTABLISHED);
	assert_int_equal(bgp_accepted(b, 1, &nobody, &ours, now, &c), ERR_NOT_FOUND);
	bgp_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_released),
		cmocka_unit_test(test_retry_counter),
		cmocka_unit_test(test_connect_retry),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_keepalive_timer),
		cmocka_unit_test(test_two_connections),
		cmocka_unit_test(test_peers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
