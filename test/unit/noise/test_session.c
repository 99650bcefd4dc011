/* Handshakes of the session core over a network that drops, doubles, delays, replays and lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sessnet.h"
#include "fault.h"
#include "session_int.h"

static const struct ip no_local = {.family = IP_NONE};

/* --- faults on each message --- */

enum scene { ONE_DIALS, BOTH_DIAL, ONE_REKEYS, BOTH_REKEY, SCENES };

static void data_both_ways(struct net *net, uint16_t seq, unsigned *sent)
{
	if (net_dp_send(net, &net->n[0], &net->n[1], seq))
		sent[0]++;
	if (net_dp_send(net, &net->n[1], &net->n[0], seq))
		sent[1]++;
}

static unsigned received(const struct net_node *n)
{
	unsigned c = 0;

	for (int i = 0; i < NET_SEQS; i++)
		c += n->seen_data[i] > 0;
	return c;
}

/* Ends with sessions up both ways, once; on a rekey not one data packet is lost. */
static void play(enum scene scene, bool rising, const unsigned n[2], const enum net_fault what[2])
{
	struct net *net = net_new(2, rising, 7);
	unsigned sent[2] = {0, 0};
	uint16_t seq = 0;

	if (scene >= ONE_REKEYS) {
		net_connect(net, 0, 1, true);
		net_run(net, DUR_SEC(2));
		assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
	}
	net->sent = 0;
	for (int i = 0; i < 2; i++) {
		net->faults[i].n = n[i];
		net->faults[i].what = what[i];
	}
	net->strict = true;
	if (scene == ONE_DIALS || scene == BOTH_DIAL)
		net_connect(net, 0, 1, true);
	if (scene == BOTH_DIAL)
		net_connect(net, 1, 0, false);
	if (scene >= ONE_REKEYS)
		net_soft(net, 0, 1);
	if (scene == BOTH_REKEY)
		net_soft(net, 1, 0);
	for (int i = 0; i < 600; i++) {
		data_both_ways(net, seq++, sent);
		net_run(net, DUR_MS(i < 400 ? 5 : 50));
	}
	net_run(net, DUR_SEC(2));
	if (!net_is_up(net, 0, 1) || !net_is_up(net, 1, 0) || !net_agree(net, 0, 1))
		print_error("scene %d rising %d: fault %u at %u, %u at %u\n", scene, rising,
			what[0], n[0], what[1], n[1]);
	assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
	assert_true(net_agree(net, 0, 1));
	assert_int_equal(net->n[0].ups, 1);
	assert_int_equal(net->n[1].ups, 1);
	assert_int_equal(received(&net->n[1]), sent[0]);
	assert_int_equal(received(&net->n[0]), sent[1]);
	if (scene >= ONE_REKEYS)
		assert_int_equal(sent[0] + sent[1], 1200);
	assert_true(net_send(net, 0, 1, 1) && net_send(net, 1, 0, 2));
	net_run(net, DUR_MS(100));
	assert_int_equal(net->n[1].seen[1], 1);
	assert_int_equal(net->n[0].seen[2], 1);
	net_free(net);
}

static void sweep(enum scene scene, bool rising, unsigned messages)
{
	static const enum net_fault kinds[] = {NET_DROP, NET_DUP, NET_LATE, NET_VERY_LATE};

	play(scene, rising, (unsigned[2]){0, 0}, (enum net_fault[2]){NET_DROP, NET_DROP});
	for (unsigned a = 1; a <= messages; a++)
		for (unsigned b = a; b <= messages; b++)
			for (unsigned i = 0; i < 4; i++)
				for (unsigned j = 0; j < (a == b ? 1 : 4); j++)
					play(scene, rising, (unsigned[2]){a, b},
						(enum net_fault[2]){kinds[i], kinds[j]});
}

static void faults_on_a_first_handshake(void **state)
{
	sweep(ONE_DIALS, true, 6);
}

static void faults_on_crossing_dials(void **state)
{
	sweep(BOTH_DIAL, true, 8);
	sweep(BOTH_DIAL, false, 6);
}

static void faults_on_a_rekey(void **state)
{
	sweep(ONE_REKEYS, true, 5);
	sweep(ONE_REKEYS, false, 5);
}

static void faults_on_crossing_rekeys(void **state)
{
	sweep(BOTH_REKEY, true, 8);
	sweep(BOTH_REKEY, false, 6);
}

/* --- replay --- */

struct recorder {
	struct net_msg kept[16];
	unsigned count;
	uint8_t type;
};

static void record(struct net *net, struct net_msg *m)
{
	struct recorder *r = net->ctx;

	if (!m->data && WIRE_TYPE_OF(m->buf[0]) == r->type && r->count < 16)
		r->kept[r->count++] = *m;
}

/* Throw @m at node @to from @from; how many datagrams came out of it. */
static unsigned throw_at(struct net *net, unsigned to, const struct net_msg *m, struct ep from)
{
	unsigned before = net->sent;
	struct net_msg copy = *m;

	(void)sess_recv(net->n[to].s, &from, &copy.dst.ip, copy.buf, copy.len, net->now);
	net_drain(net, &net->n[to]);
	return net->sent - before;
}

static void replayed_init_gets_nothing(void **state)
{
	struct recorder rec = {.type = WIRE_INIT};
	struct net *net = net_new(2, true, 8);
	struct ep other = {.ip = ip_v4(0xc0000201), .port = 999};

	net->tap = record;
	net->ctx = &rec;
	net_connect(net, 0, 1, true);
	net_run(net, DUR_MS(500));
	assert_int_equal(rec.count, 1);
	net->tap = NULL;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(throw_at(net, 1, &rec.kept[0], other), 0);
		assert_int_equal(throw_at(net, 1, &rec.kept[0], rec.kept[0].src), 0);
	}
	assert_int_equal(net_stat(net, 1, SESS_ST_REPLAYED_INIT), 10);
	/* Past the window it is too old to be answered with more than one cookie. */
	net_run(net, DUR_SEC(300));
	assert_int_equal(throw_at(net, 1, &rec.kept[0], other), 1);
	assert_int_equal(throw_at(net, 1, &rec.kept[0], other), 0);
	assert_int_equal(net_stat(net, 1, SESS_ST_COOKIES_TX), 1);
	net_free(net);
}

static void replayed_final_makes_no_keys(void **state)
{
	struct recorder rec = {.type = WIRE_FINAL};
	struct net *net = net_new(2, true, 9);
	struct ep other = {.ip = ip_v4(0xc0000201), .port = 999};
	unsigned keys;

	net->tap = record;
	net->ctx = &rec;
	net_connect(net, 0, 1, true);
	net_run(net, DUR_MS(35)); /* FINAL has come, nothing else was sent by the initiator */
	net->tap = NULL;
	assert_int_equal(rec.count, 1);
	assert_true(net_is_up(net, 1, 0));
	keys = net->n[1].key_adds;
	assert_int_equal(keys, 1);
	/* Before traffic: answered by a CONFIRM to the peer, whoever asks. */
	assert_int_equal(throw_at(net, 1, &rec.kept[0], other), 1);
	/* But not faster than the peer itself repeats. */
	assert_int_equal(throw_at(net, 1, &rec.kept[0], rec.kept[0].src), 0);
	net_run(net, DUR_SEC(1));
	for (uint16_t i = 0; i < 20; i++) {
		assert_true(net_send(net, 0, 1, i) && net_send(net, 1, 0, i));
		net_run(net, DUR_MS(5));
	}
	net_run(net, DUR_SEC(1));
	/* After traffic. */
	assert_int_equal(throw_at(net, 1, &rec.kept[0], rec.kept[0].src), 1);
	net_run(net, DUR_SEC(1));
	assert_int_equal(net_stat(net, 1, SESS_ST_REPLAYED_FINAL), 3);
	assert_int_equal(net->n[1].key_adds, keys);
	assert_int_equal(net->n[0].downs + net->n[1].downs, 0);
	/* After its state has expired, at the very edge and later. */
	for (int i = 0; i < 40; i++) {
		net_run(net, DUR_MS(500));
		(void)throw_at(net, 1, &rec.kept[0], rec.kept[0].src);
		assert_int_equal(net->n[1].key_adds, keys);
	}
	/* With the session gone. */
	sess_disconnect(net->n[1].s, &net->n[0].id.pub, net->now);
	net_drain(net, &net->n[1]);
	assert_int_equal(throw_at(net, 1, &rec.kept[0], rec.kept[0].src), 0);
	/* After a restart of the responder. */
	net_restart_node(net, 1);
	assert_int_equal(throw_at(net, 1, &rec.kept[0], rec.kept[0].src), 0);
	assert_int_equal(net->n[1].key_adds, keys);
	assert_int_equal(net_stat(net, 1, SESS_ST_BAD_HANDSHAKE), 1);
	net_free(net);
}

static void final_replayed_while_the_session_is_gone_makes_no_keys(void **state)
{
	struct recorder rec = {.type = WIRE_FINAL};
	struct net *net = net_new(2, true, 10);

	net->tap = record;
	net->ctx = &rec;
	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	net->tap = NULL;
	sess_disconnect(net->n[1].s, &net->n[0].id.pub, net->now);
	net_drain(net, &net->n[1]);
	assert_int_equal(net->n[1].last_down, SESS_DOWN_FORGOTTEN);
	assert_int_equal(throw_at(net, 1, &rec.kept[0], rec.kept[0].src), 0);
	assert_int_equal(net->n[1].key_adds, 1);
	assert_int_equal(net->n[1].nkeys, 0);
	net_run(net, DUR_SEC(1));
	assert_int_equal(net->n[0].last_down, SESS_DOWN_CLOSED);
	assert_int_equal(net->n[0].nkeys, 0);
	net_free(net);
}

/* A FINAL seen once anywhere in the cluster carries a MAC1 that verifies everywhere and for ever.
 * However often it is sent again, true ones are still read. */
static void old_finals_stop_nobody(void **state)
{
	struct recorder rec = {.type = WIRE_FINAL};
	struct net *net = net_new(3, true, 60);

	net->tap = record;
	net->ctx = &rec;
	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	net->tap = NULL;
	assert_int_equal(rec.count, 1);
	for (unsigned i = 0; i < 2 * LIM_HS_PER_SEC; i++)
		assert_int_equal(throw_at(net, 2, &rec.kept[0], rec.kept[0].src), 0);
	assert_int_equal(net_stat(net, 2, SESS_ST_RATE_LIMITED), 0);
	net_connect(net, 0, 2, true);
	net_run(net, DUR_MS(100));
	assert_true(net_is_up(net, 0, 2) && net_is_up(net, 2, 0));
	net_free(net);
}

/* Repeats of a FINAL with a forged source don't use up what that source may ask. */
static void repeated_finals_charge_nobody(void **state)
{
	struct recorder rec = {.type = WIRE_FINAL};
	struct net *net = net_new(3, true, 61);
	unsigned answers = 0;

	net->tap = record;
	net->ctx = &rec;
	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	net->tap = NULL;
	for (unsigned i = 0; i < 2 * LIM_HS_PER_SEC; i++)
		answers += throw_at(net, 1, &rec.kept[0], net->n[2].ep);
	assert_int_equal(answers, 1);
	net_connect(net, 2, 1, true);
	net_run(net, DUR_MS(100));
	assert_true(net_is_up(net, 2, 1) && net_is_up(net, 1, 2));
	assert_int_equal(net_stat(net, 1, SESS_ST_COOKIES_TX), 0);
	net_free(net);
}

/* --- many dials to one endpoint --- */

static void exchange(struct sess *to, const struct ep *from, struct sess_act *a, ts_t now)
{
	uint8_t buf[WIRE_CONTROL_MAX];

	memcpy(buf, a->buf, a->len);
	assert_int_equal(sess_recv(to, from, &no_local, buf, a->len, now), 0);
}

/* The next datagram of @s; whatever else it has to say is passed over. */
static void next_send(struct sess *s, struct sess_act *a)
{
	do
		assert_true(sess_next(s, a));
	while (a->type != SESS_SEND);
}

/* A member that plays many nodes behind one endpoint, and confirms no FINAL, can make many dials
 * wait there: cancelling them ends all their peers in one call. */
static void cancel_of_many_dials(void **state)
{
	const unsigned count = 4 * SESS_ACT_ROOM;
	const struct ep there = {.ip = ip_v4(0xc0000209), .port = 999};
	struct net *net = net_new(1, true, 62);
	struct sess *us = net->n[0].s;
	struct sess_act a;
	unsigned dels = 0;

	for (unsigned i = 0; i < count; i++) {
		struct identity id;
		struct sess_cfg cfg = net->n[0].cfg;
		struct sess_dial *d;
		struct sess *them;

		identity_generate(&id);
		cfg.id = &id;
		them = sess_new(&cfg, net->now);
		assert_non_null(them);
		assert_int_equal(sess_dial_new(us, 0, &there, &id.pub, TS_NEVER, net->now, &d), 0);
		sess_tick(us, net->now);
		next_send(us, &a);
		exchange(them, &net->n[0].ep, &a, net->now);
		next_send(them, &a);
		exchange(us, &there, &a, net->now);
		while (sess_next(us, &a))
			;
		sess_free(them);
		identity_wipe(&id);
	}
	sess_cancel(us, &there, net->now);
	while (sess_next(us, &a))
		dels += a.type == SESS_KEY_DEL;
	assert_int_equal(dels, count);
	net_free(net);
}

/* --- time, cookies, secrets --- */

static void wrong_clock_joins_by_a_cookie(void **state)
{
	const uint64_t ten_years = UINT64_C(315360000) * 1000000000u;

	for (unsigned wrong = 0; wrong < 4; wrong++) {
		struct net *net = net_make(2, true, 11);

		if (wrong & 2)
			net->n[wrong & 1].cfg.wall_unix_ns += ten_years;
		else
			net->n[wrong & 1].cfg.wall_unix_ns -= ten_years;
		net_start_node(net, 0);
		net_start_node(net, 1);
		net_connect(net, 0, 1, true);
		net_run(net, DUR_MS(500));
		assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
		assert_int_equal(net_stat(net, 1, SESS_ST_COOKIES_TX), 1);
		assert_int_equal(net_stat(net, 1, SESS_ST_BAD_TIME), 1);
		/* And it stays, over rekeys by either side. */
		net->strict = true;
		net_run(net, DUR_SEC(600));
		assert_true(net->n[0].key_adds >= 4);
		net_free(net);
	}
}

static void cookie_demanded_always(void **state)
{
	struct net *net = net_make(2, true, 12);

	net->n[1].cfg.underload_cookies = true;
	net_start_node(net, 0);
	net_start_node(net, 1);
	net_connect(net, 0, 1, false);
	net_run(net, DUR_MS(500));
	assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
	assert_int_equal(net_stat(net, 1, SESS_ST_COOKIES_TX), 1);
	net_free(net);
}

static void suites_are_agreed(void **state)
{
	unsigned fast = aead_fast_suites();

	for (unsigned i = 0; i < 4; i++) {
		unsigned chacha = WIRE_SUITE_BIT(WIRE_SUITE_CHACHA20_POLY1305);
		struct net *net = net_make(2, true, 26);
		struct sess_peer_info a, b;

		net->n[0].cfg.suites = i & 1 ? fast : chacha;
		net->n[1].cfg.suites = i & 2 ? fast : chacha;
		net_start_node(net, 0);
		net_start_node(net, 1);
		net_connect(net, 0, 1, true);
		net_run(net, DUR_SEC(1));
		assert_int_equal(
			sess_peer_get(net->n[0].s, net_handle(net, 0, 1), &a, net->now), 0);
		assert_int_equal(
			sess_peer_get(net->n[1].s, net_handle(net, 1, 0), &b, net->now), 0);
		assert_int_equal(a.suite, b.suite);
		assert_int_equal(a.suite, i == 3 && fast != chacha ? WIRE_SUITE_AES_256_GCM
								   : WIRE_SUITE_CHACHA20_POLY1305);
		assert_true(a.initiator && !b.initiator);
		assert_int_equal(net_key(&net->n[0], a.local_index)->keys.rx_lanes, 5);
		assert_true(net_send(net, 0, 1, 1) && net_send(net, 1, 0, 1));
		net_run(net, DUR_MS(50));
		assert_int_equal(net->n[0].seen[1] + net->n[1].seen[1], 2);
		net_free(net);
	}
}

static void step_of_the_wall_clock(void **state)
{
	struct net *net = net_new(2, true, 13);

	sess_set_wall(net->n[1].s, NET_WALL + UINT64_C(3600000000000), net->now);
	net_connect(net, 0, 1, true);
	net_run(net, DUR_MS(500));
	assert_int_equal(net_stat(net, 1, SESS_ST_BAD_TIME), 1);
	assert_true(net_is_up(net, 0, 1));
	net_free(net);
}

static void wrong_secret_is_silence(void **state)
{
	struct secret other = {{9}};
	struct net *net = net_make(2, true, 14);

	secret_derive(&other, &net->n[0].secrets[0]);
	net_start_node(net, 0);
	net_start_node(net, 1);
	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(70));
	assert_int_equal(net->n[0].dial_failed, 1);
	assert_int_equal(net->n[0].last_fail, -ETIMEDOUT);
	assert_true(net_stat(net, 1, SESS_ST_BAD_MAC1) > 5);
	assert_int_equal(net_stat(net, 0, SESS_ST_HS_RESP_RX), 0);
	assert_int_equal(
		net->n[1].notes[SESS_NOTE_WRONG_SECRET], net_stat(net, 1, SESS_ST_BAD_MAC1));
	assert_int_equal(net->n[1].nkeys, 0);
	net_free(net);
}

/* A flood with a wrong secret gives a few notes, not one each. */
static void wrong_secret_notes_are_few(void **state)
{
	struct net *net = net_new(2, true, 15);
	uint8_t buf[HS_INIT_MIN] = {WIRE_TYPE_BYTE(WIRE_INIT)};

	for (int i = 0; i < 1000; i++) {
		buf[10] = (uint8_t)i;
		assert_int_equal(sess_recv(net->n[0].s, &net->n[1].ep, &net->n[0].ep.ip, buf,
					 sizeof(buf), net->now),
			ERR_AUTH);
		net_drain(net, &net->n[0]);
	}
	assert_int_equal(net_stat(net, 0, SESS_ST_BAD_MAC1), 1000);
	assert_in_range(net->n[0].notes[SESS_NOTE_WRONG_SECRET], 1, 5);
	net_free(net);
}

static void each_of_eight_secrets_is_answered(void **state)
{
	for (unsigned i = 0; i < LIM_SECRETS; i++) {
		struct net *net = net_make(2, true, 16);
		struct net_node *n = &net->n[1];

		for (unsigned k = 0; k < LIM_SECRETS; k++) {
			struct secret sec = {{(uint8_t)(100 + k)}};

			secret_derive(&sec, &n->secrets[k]);
		}
		n->cfg.nsecrets = LIM_SECRETS;
		net->n[0].secrets[0] = n->secrets[i];
		/* A wrong clock too, so that the cookie goes under the right secret. */
		net->n[0].cfg.wall_unix_ns += (i & 1) * UINT64_C(1000000000000);
		net_start_node(net, 0);
		net_start_node(net, 1);
		net_connect(net, 0, 1, true);
		net_run(net, DUR_SEC(1));
		assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
		net_free(net);
	}
}

/* --- whom we reach --- */

static void other_key_than_expected(void **state)
{
	struct net *net = net_new(3, true, 17);

	assert_int_equal(
		sess_connect(net->n[0].s, &net->n[1].ep, &net->n[2].id.pub, TS_NEVER, net->now), 0);
	net_run(net, DUR_SEC(1));
	assert_int_equal(net->n[0].notes[SESS_NOTE_OTHER_KEY], 1);
	assert_int_equal(net->n[0].dial_failed, 1);
	assert_int_equal(net->n[0].last_fail, ERR_FOREIGN);
	/* The one that answered never learnt who asked. */
	assert_int_equal(net->n[1].key_adds, 0);
	assert_int_equal(net_stat(net, 1, SESS_ST_HS_FINAL_RX), 0);
	net_free(net);
}

static void ourselves(void **state)
{
	struct net *net = net_new(2, true, 18);

	net_connect(net, 0, 0, false);
	net_run(net, DUR_SEC(1));
	assert_int_equal(net->n[0].notes[SESS_NOTE_SELF], 1);
	assert_int_equal(net->n[0].last_fail, ERR_CONFLICT);
	assert_int_equal(
		sess_connect(net->n[0].s, &net->n[1].ep, &net->n[0].id.pub, TS_NEVER, net->now),
		ERR_CONFLICT);
	/* A clone of us elsewhere. */
	sess_free(net->n[1].s);
	net->n[1].id = net->n[0].id;
	net_start_node(net, 1);
	net_connect(net, 0, 1, false);
	net_run(net, DUR_SEC(1));
	assert_int_equal(net->n[0].notes[SESS_NOTE_SELF], 2);
	assert_int_equal(net->n[0].key_adds + net->n[1].key_adds, 0);
	net_free(net);
}

static void one_peer_over_two_endpoints(void **state)
{
	struct net *net = net_new(2, true, 19);

	net_connect(net, 0, 1, false);
	net_run(net, DUR_SEC(1));
	assert_int_equal(sess_connect(net->n[0].s, &net->n[1].ep, NULL, TS_NEVER, net->now), 0);
	/* Another address leads to node 1 as well. */
	net->n[1].ep.ip = ip_v4(0x0a000063);
	net_connect(net, 0, 1, false);
	net_run(net, DUR_SEC(5));
	assert_int_equal(net->n[0].ups, 1);
	assert_int_equal(net->n[0].downs, 0);
	assert_int_equal(net->n[0].key_adds, 1);
	net_free(net);
}

static void dial_that_nobody_answers(void **state)
{
	struct net *net = net_new(1, true, 20);
	struct ep to = {.ip = ip_v4(0x0a0000ff), .port = 1};
	struct sess_dial_info info;
	uint32_t it = 0;

	assert_int_equal(
		sess_connect(net->n[0].s, &to, NULL, ts_add(net->now, DUR_SEC(30)), net->now), 0);
	assert_int_equal(sess_connect(net->n[0].s, &to, NULL, TS_NEVER, net->now), 0);
	net_run(net, DUR_SEC(20));
	assert_true(sess_dial_next(net->n[0].s, &it, &info));
	/* 1, 2, 4, 8 s, jittered by a fifth */
	assert_in_range(info.attempts, 4, 6);
	assert_true(ep_eq(&info.to, &to) && !info.has_key);
	assert_false(sess_dial_next(net->n[0].s, &it, &info));
	net_run(net, DUR_SEC(11));
	assert_int_equal(net->n[0].dial_failed, 1);
	assert_int_equal(net->n[0].last_fail, -ETIMEDOUT);
	it = 0;
	assert_false(sess_dial_next(net->n[0].s, &it, &info));
	assert_true(ts_is_never(sess_deadline(net->n[0].s)));
	/* Cancelled: not a word. */
	assert_int_equal(sess_connect(net->n[0].s, &to, NULL, TS_NEVER, net->now), 0);
	net_run(net, DUR_SEC(3));
	sess_cancel(net->n[0].s, &to, net->now);
	net_drain(net, &net->n[0]);
	assert_int_equal(net->n[0].dial_failed, 1);
	assert_true(ts_is_never(sess_deadline(net->n[0].s)));
	net_free(net);
}

/* --- bounds --- */

static void bounds_of_peers_and_dials(void **state)
{
	struct net *net = net_new(3, true, 21);
	struct ep to = {.ip = ip_v4(0x0a0000ff)};

	net->n[1].s->max_peers = 1;
	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	net_connect(net, 2, 1, true);
	net_run(net, DUR_SEC(5));
	assert_true(net_is_up(net, 0, 1) && !net_is_up(net, 2, 1));
	assert_true(net_stat(net, 1, SESS_ST_TABLE_FULL) > 0);
	assert_int_equal(net->n[1].nkeys, 1);
	/* Refused as the caller, too. */
	assert_int_equal(sess_connect(net->n[1].s, &net->n[2].ep, NULL, TS_NEVER, net->now), 0);
	net_run(net, DUR_SEC(1));
	assert_int_equal(net->n[1].last_fail, ERR_FULL);
	/* A place gets free: the dial that goes on finds it. */
	sess_disconnect(net->n[1].s, &net->n[0].id.pub, net->now);
	net_drain(net, &net->n[1]);
	net_run(net, DUR_SEC(30));
	assert_true(net_is_up(net, 2, 1) && net_is_up(net, 1, 2));
	for (uint16_t i = 0; i < LIM_HS_PENDING; i++) {
		to.port = (uint16_t)(i + 1);
		assert_int_equal(sess_connect(net->n[0].s, &to, NULL, TS_NEVER, net->now), 0);
	}
	to.port = 9999;
	assert_int_equal(sess_connect(net->n[0].s, &to, NULL, TS_NEVER, net->now), ERR_FULL);
	net_free(net);
}

/* More INITs per second than are answered: cookies are asked for, a source is cut off. */
static void load_of_inits(void **state)
{
	struct net *net = net_new(2, true, 22);
	struct handshake hs;
	uint8_t buf[WIRE_CONTROL_MAX];
	unsigned refused = 0;
	int len, err;

	for (unsigned i = 0; i < LIM_HS_PER_SEC + 200; i++) {
		struct ep from = {.ip = ip_v4(0x0b000000u + (i << 8)), .port = 7};

		len = handshake_init_write(
			&hs, &net->n[0].s->hs, 0, i + 1, NET_WALL / 1000000000u, buf, sizeof(buf));
		assert_true(len > 0);
		err = sess_recv(net->n[1].s, &from, &net->n[1].ep.ip, buf, (size_t)len, net->now);
		assert_true(err == 0 || err == ERR_LIMIT);
		net_drain(net, &net->n[1]);
	}
	assert_in_range(net_stat(net, 1, SESS_ST_COOKIES_TX), 100, 200);
	for (unsigned i = 0; i < 40; i++) {
		struct ep from = {.ip = ip_v4(0x0c000001u), .port = 7};

		len = handshake_init_write(
			&hs, &net->n[0].s->hs, 0, i + 1, NET_WALL / 1000000000u, buf, sizeof(buf));
		refused += sess_recv(net->n[1].s, &from, &net->n[1].ep.ip, buf, (size_t)len,
				   net->now) == ERR_LIMIT;
		net_drain(net, &net->n[1]);
	}
	assert_in_range(refused, 15, 40);
	assert_int_equal(net->n[1].nkeys, 0);
	handshake_wipe(&hs);
	net_free(net);
}

/* The memory of message 1 is full: a cookie is demanded, and who has it is served. */
static void full_memory_of_inits(void **state)
{
	struct net *net = net_new(3, true, 27);

	net->n[1].s->seen.max = 1;
	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	assert_int_equal(net_stat(net, 1, SESS_ST_COOKIES_TX), 0);
	net_connect(net, 2, 1, true);
	net_run(net, DUR_SEC(1));
	assert_int_equal(net_stat(net, 1, SESS_ST_COOKIES_TX), 1);
	assert_true(net_is_up(net, 2, 1) && net_is_up(net, 1, 2));
	net_free(net);
}

/* The memory of message 3 is full: nothing is accepted that could not be remembered. */
static void full_memory_of_finals(void **state)
{
	struct net *net = net_new(3, true, 28);

	net->n[1].s->consumed.max = 1;
	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	assert_true(net_is_up(net, 1, 0));
	net_connect(net, 2, 1, true);
	net_run(net, DUR_SEC(10));
	assert_false(net_is_up(net, 1, 2));
	assert_int_equal(net_stat(net, 1, SESS_ST_COOKIES_TX), 1);
	assert_true(net_stat(net, 1, SESS_ST_TABLE_FULL) > 1);
	assert_int_equal(net->n[1].key_adds, 1);
	/* Once the first one's state has expired there is room. */
	net_run(net, DUR_SEC(20));
	assert_true(net_is_up(net, 1, 2) && net_is_up(net, 2, 1));
	net_free(net);
}

static void memo_table(void **state)
{
	const uint8_t seed[16] = {1};
	uint8_t id[MEMO_ID] = {0};
	struct memo m;
	ts_t now = {1000};

	assert_int_equal(memo_init(&m, 3, DUR_NS(10), seed), 0);
	for (uint8_t i = 0; i < 3; i++) {
		id[0] = i;
		assert_int_equal(memo_put(&m, id, i, (ts_t){now.ns + i}), 0);
	}
	assert_int_equal(memo_put(&m, id, 9, now), ERR_FULL);
	id[0] = 0;
	assert_non_null(memo_get(&m, id, (ts_t){1009}));
	assert_null(memo_get(&m, id, (ts_t){1010}));
	assert_int_equal(memo_put(&m, id, 7, (ts_t){1010}), 0);
	assert_int_equal(memo_put(&m, id, 7, (ts_t){1010}), ERR_FULL);
	assert_int_equal(memo_put(&m, id, 7, (ts_t){1011}), ERR_EXISTS);
	assert_int_equal(memo_get(&m, id, (ts_t){1019})->value, 7);
	memo_fini(&m);
}

/* --- malformed input --- */

static void prefixes_and_bit_flips(void **state)
{
	struct recorder rec = {0};
	static const uint8_t types[] = {WIRE_INIT, WIRE_RESP, WIRE_FINAL, WIRE_DATA};

	for (unsigned t = 0; t < sizeof(types); t++) {
		struct net *net = net_new(2, true, 23);
		const struct net_msg *m = &rec.kept[0];
		struct net_node *n;
		unsigned adds;

		rec.count = 0;
		rec.type = types[t];
		net->tap = record;
		net->ctx = &rec;
		net_connect(net, 0, 1, true);
		net_run(net, DUR_SEC(1));
		net->tap = NULL;
		net->strict = true;
		n = net_by_ep(net, &m->dst);
		adds = n->key_adds;
		for (size_t len = 0; len < m->len; len++) {
			struct net_msg cut = *m;

			assert_true(
				sess_recv(n->s, &m->src, &m->dst.ip, cut.buf, len, net->now) < 0);
			net_drain(net, n);
		}
		for (size_t bit = 0; bit < m->len * 8; bit++) {
			struct net_msg bad = *m;

			bad.buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
			/* MAC2 is not under MAC1, and without need it is not looked at. */
			if (types[t] == WIRE_INIT && bit / 8 >= m->len - HS_MAC)
				continue;
			assert_true(sess_recv(n->s, &m->src, &m->dst.ip, bad.buf, bad.len,
					    net->now) < 0);
			net_drain(net, n);
		}
		assert_int_equal(n->key_adds, adds);
		net_run(net, DUR_SEC(30));
		assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
		net_free(net);
	}
}

static void unknown_kinds_are_counted(void **state)
{
	struct net *net = net_new(1, true, 24);
	uint8_t buf[64] = {0};
	struct ep from = {.ip = ip_v4(1), .port = 1};

	buf[0] = 2 << 4 | WIRE_DATA;
	assert_int_equal(sess_recv(net->n[0].s, &from, &from.ip, buf, 64, net->now), ERR_VERSION);
	buf[0] = WIRE_TYPE_BYTE(12);
	assert_int_equal(
		sess_recv(net->n[0].s, &from, &from.ip, buf, 64, net->now), ERR_UNSUPPORTED);
	buf[0] = WIRE_TYPE_BYTE(WIRE_RELAY);
	assert_int_equal(
		sess_recv(net->n[0].s, &from, &from.ip, buf, 64, net->now), ERR_UNSUPPORTED);
	assert_int_equal(sess_recv(net->n[0].s, &from, &from.ip, buf, 0, net->now), ERR_MALFORMED);
	assert_int_equal(net_stat(net, 0, SESS_ST_BAD_VERSION), 1);
	assert_int_equal(net_stat(net, 0, SESS_ST_BAD_TYPE), 2);
	assert_int_equal(net_stat(net, 0, SESS_ST_MALFORMED), 1);
	for (int i = 0; i < SESS_ST_COUNT; i++)
		assert_non_null(sess_stat_names[i]);
	net_free(net);
}

/* --- no memory --- */

/* A handshake, a rekey from both sides and an end, with the nth allocation failing. */
static void nth_allocation_fails(void **state)
{
	unsigned runs = 0;

	for (unsigned n = 1;; n++) {
		struct net *net = net_make(2, true, 25);
		bool hit;

		fault_arm(n);
		for (unsigned i = 0; i < 2; i++) {
			struct net_node *x = &net->n[i];

			x->cfg.id = &x->id;
			x->cfg.secrets = x->secrets;
			x->s = sess_new(&x->cfg, net->now);
			if (!x->s) /* that one was it: try again */
				net_start_node(net, i);
		}
		while (sess_connect(net->n[0].s, &net->n[1].ep, &net->n[1].id.pub,
			       ts_add(net->now, DUR_SEC(60)), net->now) == ERR_NOMEM)
			;
		net_run(net, DUR_SEC(5));
		assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
		net_soft(net, 0, 1);
		net_soft(net, 1, 0);
		net_run(net, DUR_SEC(5));
		assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
		sess_disconnect(net->n[0].s, &net->n[1].id.pub, net->now);
		net_drain(net, &net->n[0]);
		net_run(net, DUR_SEC(12));
		hit = fault_disarm();
		assert_int_equal(net->n[0].nkeys + net->n[1].nkeys, 0);
		assert_int_equal(net->n[0].downs, net->n[0].ups);
		net_free(net);
		if (!hit)
			break;
		runs++;
	}
	assert_true(runs > 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_on_a_first_handshake),
		cmocka_unit_test(faults_on_crossing_dials),
		cmocka_unit_test(faults_on_a_rekey),
		cmocka_unit_test(faults_on_crossing_rekeys),
		cmocka_unit_test(replayed_init_gets_nothing),
		cmocka_unit_test(replayed_final_makes_no_keys),
		cmocka_unit_test(final_replayed_while_the_session_is_gone_makes_no_keys),
		cmocka_unit_test(old_finals_stop_nobody),
		cmocka_unit_test(repeated_finals_charge_nobody),
		cmocka_unit_test(cancel_of_many_dials),
		cmocka_unit_test(wrong_clock_joins_by_a_cookie),
		cmocka_unit_test(cookie_demanded_always),
		cmocka_unit_test(suites_are_agreed),
		cmocka_unit_test(step_of_the_wall_clock),
		cmocka_unit_test(wrong_secret_is_silence),
		cmocka_unit_test(wrong_secret_notes_are_few),
		cmocka_unit_test(each_of_eight_secrets_is_answered),
		cmocka_unit_test(other_key_than_expected),
		cmocka_unit_test(ourselves),
		cmocka_unit_test(one_peer_over_two_endpoints),
		cmocka_unit_test(dial_that_nobody_answers),
		cmocka_unit_test(bounds_of_peers_and_dials),
		cmocka_unit_test(load_of_inits),
		cmocka_unit_test(full_memory_of_inits),
		cmocka_unit_test(full_memory_of_finals),
		cmocka_unit_test(memo_table),
		cmocka_unit_test(prefixes_and_bit_flips),
		cmocka_unit_test(unknown_kinds_are_counted),
		cmocka_unit_test(nth_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
