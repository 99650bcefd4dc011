/* Sessions that stand: new keys under traffic, limits, silence, resets, roaming, side ports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sessnet.h"
#include "fault.h"

static struct net *linked(uint64_t seed)
{
	struct net *net = net_new(2, true, seed);

	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
	return net;
}

static void restart_with(struct net *net, void (*change)(struct sess_cfg *cfg))
{
	for (unsigned i = 0; i < net->count; i++) {
		change(&net->n[i].cfg);
		net_start_node(net, i);
	}
}

/* Drops all handshake messages. */
static void no_handshakes(struct net *net, struct net_msg *m)
{
	uint8_t type = WIRE_TYPE_OF(m->buf[0]);

	if (type >= WIRE_INIT && type <= WIRE_COOKIE)
		m->len = 0;
}

static void nothing(struct net *net, struct net_msg *m)
{
	m->len = 0;
}

/* --- new keys --- */

static void fast_rekeys(struct sess_cfg *cfg)
{
	cfg->tune.rekey_initiator = DUR_SEC(2);
	cfg->tune.rekey_responder = DUR_MS(2100); /* so that they cross often */
}

static void rekey_each_two_seconds_loses_nothing(void **state)
{
	const unsigned count = 60 * 100;
	struct net *net = net_make(2, true, 30);

	restart_with(net, fast_rekeys);
	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	net->delay = DUR_MS(20);
	net->jitter = DUR_MS(60);
	net->strict = true;
	for (unsigned i = 0; i < count; i++) {
		assert_true(net_send(net, 0, 1, (uint16_t)i) && net_send(net, 1, 0, (uint16_t)i));
		assert_true(net_dp_send(net, &net->n[0], &net->n[1], (uint16_t)i));
		assert_true(net_dp_send(net, &net->n[1], &net->n[0], (uint16_t)i));
		net_run(net, DUR_MS(10));
	}
	net_run(net, DUR_SEC(1));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(net_sum(net->n[i].seen, count), count);
		assert_int_equal(net_sum(net->n[i].seen_data, count), count);
		assert_in_range(net->n[i].key_adds, 25, 70);
		assert_int_equal(net_stat(net, (unsigned)i, SESS_ST_RESETS_TX), 0);
	}
	assert_true(net_agree(net, 0, 1));
	net_free(net);
}

static void tiny_blocks(struct sess_cfg *cfg)
{
	cfg->tune.soft_blocks[WIRE_SUITE_CHACHA20_POLY1305] = 300;
	cfg->tune.hard_blocks[WIRE_SUITE_CHACHA20_POLY1305] = 1200;
}

/* Lane 0 alone reaches the soft limit again and again, on both sides at once. */
static void soft_limit_of_lane_0_loses_nothing(void **state)
{
	const unsigned count = 30 * 100;
	struct net *net = net_make(2, false, 31);

	restart_with(net, tiny_blocks);
	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	net->delay = DUR_MS(20);
	net->jitter = DUR_MS(40);
	net->strict = true;
	for (unsigned i = 0; i < count; i++) {
		assert_true(net_send(net, 0, 1, (uint16_t)i) && net_send(net, 1, 0, (uint16_t)i));
		net_run(net, DUR_MS(10));
	}
	net_run(net, DUR_SEC(1));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(net_sum(net->n[i].seen, count), count);
		assert_true(net->n[i].key_adds > 10);
	}
	net_free(net);
}

/* At the hard limit nothing goes out on that key, and while there is no other, nothing at all. */
static void hard_limit_of_lane_0(void **state)
{
	struct net *net = net_make(2, true, 32);
	struct net_node *n = &net->n[0];
	unsigned sent = 0;

	restart_with(net, tiny_blocks);
	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	net->tap = no_handshakes;
	while (net_send(net, 0, 1, 0))
		sent++;
	assert_in_range(sent, 500, 600); /* two blocks each */
	assert_int_equal(
		sess_send(n->s, net_handle(net, 0, 1), NET_TYPE, "ab", 2, net->now), ERR_STATE);
	net_free(net);
}

static void the_initiator_rekeys_first(void **state)
{
	struct net *net = linked(33);

	net->strict = true;
	net_run(net, DUR_SEC(107));
	assert_int_equal(net->n[0].key_adds, 1);
	net_run(net, DUR_SEC(27));
	assert_int_equal(net->n[0].key_adds, 2);
	assert_int_equal(net_stat(net, 0, SESS_ST_HS_INIT_RX), 0);
	net_run(net, DUR_SEC(3600));
	assert_in_range(net->n[0].key_adds, 28, 35);
	assert_true(net_agree(net, 0, 1));
	/* The replaced ones are gone after a while. */
	assert_in_range(net->n[0].nkeys, 1, 2);
	net_free(net);
}

static void no_init_from_0(struct net *net, struct net_msg *m)
{
	if (WIRE_TYPE_OF(m->buf[0]) == WIRE_INIT && ep_eq(&m->src, &net->n[0].ep))
		m->len = 0;
}

static void the_responder_rekeys_if_the_initiator_does_not(void **state)
{
	struct net *net = linked(34);

	net->strict = true;
	net->tap = no_init_from_0;
	net_run(net, DUR_SEC(133));
	assert_int_equal(net->n[0].key_adds, 1);
	net_run(net, DUR_SEC(35));
	assert_int_equal(net->n[0].key_adds, 2);
	assert_true(net_agree(net, 0, 1));
	net_free(net);
}

static void a_key_ends_with_its_lifetime(void **state)
{
	struct net *net = linked(35);

	net->tap = no_handshakes;
	net_run(net, DUR_SEC(238));
	assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
	net_run(net, DUR_SEC(5));
	assert_int_equal(net->n[0].downs, 1);
	assert_int_equal(net->n[1].downs, 1);
	assert_true(net->n[0].last_down == SESS_DOWN_EXPIRED ||
		    net->n[1].last_down == SESS_DOWN_EXPIRED);
	assert_int_equal(net->n[0].nkeys + net->n[1].nkeys, 0);
	net_free(net);
}

static void hard_limit_from_the_data_plane(void **state)
{
	struct net *net = linked(36);
	struct net_node *n = &net->n[0];
	uint32_t old = n->use[net_handle(net, 0, 1)];

	net->strict = true;
	sess_key_limit(n->s, old, true, net->now);
	net_run(net, DUR_MS(1));
	assert_null(net_key(n, old));
	/* The other side still uses it: dropped without a reset, replaced within a round trip. */
	assert_true(net_send(net, 1, 0, 1));
	net_run(net, DUR_MS(100));
	assert_int_equal(net_stat(net, 0, SESS_ST_RESETS_TX), 0);
	assert_true(net_agree(net, 0, 1));
	assert_true(net_send(net, 1, 0, 2) && net_send(net, 0, 1, 3));
	net_run(net, DUR_MS(100));
	assert_int_equal(net->n[0].seen[2] + net->n[1].seen[3], 2);
	/* And if there is no new one in time, that is the end. */
	net->strict = false;
	net->tap = no_handshakes;
	sess_key_limit(n->s, n->use[net_handle(net, 0, 1)], true, net->now);
	net_run(net, DUR_SEC(5));
	/* The one before has not been used up, and goes on. */
	assert_true(net_is_up(net, 0, 1));
	if (n->use[net_handle(net, 0, 1)])
		sess_key_limit(n->s, n->use[net_handle(net, 0, 1)], true, net->now);
	net_run(net, DUR_SEC(12));
	assert_int_equal(n->downs, 1);
	assert_int_equal(n->last_down, SESS_DOWN_LIMIT);
	assert_int_equal(n->nkeys, 0);
	net_free(net);
}

/* --- silence --- */

static void silence_is_noticed(void **state)
{
	struct net *net = linked(37);

	net_run(net, DUR_SEC(300));
	assert_int_equal(net->n[0].downs + net->n[1].downs, 0);
	net->tap = nothing;
	net_run(net, DUR_SEC(6));
	assert_int_equal(net->n[0].downs, 0);
	net_run(net, DUR_SEC(5));
	assert_int_equal(net->n[0].downs, 1);
	assert_int_equal(net->n[0].last_down, SESS_DOWN_TIMEOUT);
	assert_int_equal(net->n[1].last_down, SESS_DOWN_TIMEOUT);
	net_free(net);
}

static void one_way_silence_is_told(struct net *net, struct net_msg *m)
{
	if (ep_eq(&m->src, &net->n[1].ep))
		m->len = 0;
}

static void silence_of_one_way_ends_both(void **state)
{
	struct net *net = linked(38);

	net->tap = one_way_silence_is_told;
	net_run(net, DUR_SEC(12));
	assert_int_equal(net->n[0].last_down, SESS_DOWN_TIMEOUT);
	assert_int_equal(net->n[1].last_down, SESS_DOWN_CLOSED);
	net_free(net);
}

/* One side gave up, and the word of it got lost: the other hears so with its first packet. */
static void who_was_given_up_hears_so(void **state)
{
	struct net *net = linked(46);
	struct net_node *n = &net->n[1];

	net->tap = one_way_silence_is_told;
	net_run(net, DUR_SEC(8));
	net->tap = nothing;
	for (int i = 0; i < 40 && net->n[0].downs == 0; i++)
		net_run(net, DUR_MS(100));
	assert_int_equal(net->n[0].last_down, SESS_DOWN_TIMEOUT);
	assert_int_equal(n->downs, 0);
	net->tap = NULL;
	assert_true(net_dp_send(net, n, &net->n[0], 5));
	net_run(net, DUR_MS(100));
	assert_int_equal(n->last_down, SESS_DOWN_RESET);
	assert_int_equal(net_stat(net, 0, SESS_ST_RESETS_TX), 1);
	assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
	assert_true(net_agree(net, 0, 1));
	net_free(net);
}

/* The first FINAL goes into @ctx, and none arrives. */
static void keep_final(struct net *net, struct net_msg *m)
{
	struct net_msg *kept = net->ctx;

	if (WIRE_TYPE_OF(m->buf[0]) != WIRE_FINAL)
		return;
	if (kept->len == 0)
		*kept = *m;
	m->len = 0;
}

/* A FINAL arrives after its sender gave that dial up: the other has a session that nobody shares, and hears so. */
static void late_final_is_reset(void **state)
{
	struct net *net = net_new(2, true, 49);
	struct net_node *n = &net->n[1];
	struct net_msg kept = {0};

	net->ctx = &kept;
	net->tap = keep_final;
	net_connect(net, 0, 1, true);
	net_run(net, DUR_MS(200));
	assert_true(kept.len > 0);
	sess_cancel(net->n[0].s, &n->ep, net->now);
	net_drain(net, &net->n[0]);
	net->tap = NULL;
	assert_int_equal(sess_recv(n->s, &kept.src, &n->ep.ip, kept.buf, kept.len, net->now), 0);
	net_drain(net, n);
	net_run(net, DUR_MS(300));
	assert_int_equal(n->last_down, SESS_DOWN_RESET);
	assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
	assert_true(net_agree(net, 0, 1));
	net_free(net);
}

static void data_saves_pings_and_keeps_alive(void **state)
{
	struct net *net = linked(39);
	struct sess_peer_info a, b;
	uint32_t h = net_handle(net, 0, 1);

	assert_int_equal(sess_peer_get(net->n[0].s, h, &a, net->now), 0);
	assert_in_range(a.rtt.ns, 19 * 1000000, 21 * 1000000);
	assert_true(ep_eq(&a.observed, &net->n[0].ep));
	for (int i = 0; i < 300; i++) {
		assert_true(net_dp_send(net, &net->n[0], &net->n[1], 1) &&
			    net_dp_send(net, &net->n[1], &net->n[0], 1));
		net_run(net, DUR_MS(100));
	}
	assert_int_equal(sess_peer_get(net->n[0].s, h, &b, net->now), 0);
	/* Three pings of its own and as many answers, not ten. */
	assert_in_range(b.ctl_tx - a.ctl_tx, 2, 10);
	/* Lane 0 lost, data goes on: nobody is suspected; then data stops too. */
	net->tap = no_handshakes;
	for (int i = 0; i < 200; i++) {
		sess_traffic(net->n[0].s, h, net->now, net->now);
		net->faults[0].n = net->sent + 1;
		net->faults[0].what = NET_DROP;
		net_run(net, DUR_MS(100));
	}
	assert_int_equal(net->n[0].downs, 0);
	assert_int_equal(net->n[0].notes[SESS_NOTE_SILENT], 0);
	net->tap = nothing;
	/* It is told in time for somebody to look for another way, and again. */
	net_run(net, DUR_SEC(8));
	assert_in_range(net->n[0].notes[SESS_NOTE_SILENT], 1, 4);
	net_run(net, DUR_SEC(3));
	assert_in_range(net->n[0].notes[SESS_NOTE_SILENT], 2, 7);
	assert_int_equal(net->n[0].downs, 1);
	net_free(net);
}

static void released_sessions_end_when_idle(void **state)
{
	struct net *net = linked(40);
	uint32_t peer = sess_peer_find(net->n[0].s, &net->n[1].id.pub);

	/* Control messages of other cores keep it for a little while, */
	sess_release(net->n[0].s, &net->n[1].id.pub, net->now);
	net_run(net, DUR_SEC(15));
	assert_true(net_send(net, 1, 0, 1));
	net_run(net, DUR_SEC(15));
	assert_true(net_is_up(net, 0, 1));
	net_connect(net, 0, 1, true); /* wanted again */
	net_run(net, DUR_SEC(400));
	assert_true(net_is_up(net, 0, 1));
	/* data for longer. */
	sess_release(net->n[0].s, &net->n[1].id.pub, net->now);
	sess_used(net->n[0].s, peer, net->now, net->now);
	net_run(net, DUR_SEC(170));
	assert_true(net_is_up(net, 0, 1));
	net_run(net, DUR_SEC(15));
	assert_int_equal(net->n[0].last_down, SESS_DOWN_IDLE);
	assert_int_equal(net->n[0].last_del, SESS_DOWN_IDLE);
	assert_int_equal(net->n[1].last_down, SESS_DOWN_CLOSED);
	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(5));
	assert_true(net_is_up(net, 0, 1));
	sess_release(net->n[0].s, &net->n[1].id.pub, net->now);
	net_run(net, DUR_SEC(25));
	assert_true(!net_is_up(net, 0, 1));
	net_free(net);
}

/* --- resets --- */

/* An index of the run before passes for one of this run in 1 of 256 cases (its MAC is a byte long), gets no reset then,
 * and the session ends by silence. So another try is worth it. */
#define RESET_TRIES 3

static bool restart_is_found(unsigned who)
{
	struct net *net = linked(41);
	struct net_node *other = &net->n[!who];
	bool found;

	net_restart_node(net, who);
	assert_true(net_dp_send(net, other, &net->n[who], 5));
	net_run(net, DUR_MS(100));
	found = other->notes[SESS_NOTE_RESET] == 1;
	if (found) {
		assert_int_equal(other->last_down, SESS_DOWN_RESET);
		assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
		assert_true(net_agree(net, 0, 1));
	}
	net_free(net);
	return found;
}

static void restart_is_found_at_once(void **state)
{
	for (unsigned who = 0; who < 2; who++) {
		bool found = false;

		for (int i = 0; i < RESET_TRIES && !found; i++)
			found = restart_is_found(who);
		assert_true(found);
	}
}

static void idle_restart_is_found_by_a_ping(void **state)
{
	bool found = false;

	for (int i = 0; i < RESET_TRIES && !found; i++) {
		struct net *net = linked(42);

		net_run(net, DUR_SEC(20));
		net_restart_node(net, 1);
		net_run(net, DUR_SEC(4));
		found = net->n[0].last_down == SESS_DOWN_RESET;
		if (found)
			assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
		net_free(net);
	}
	assert_true(found);
}

static void forged_resets_do_nothing(void **state)
{
	struct net *net = linked(43);
	struct net_node *n = &net->n[0];
	uint32_t index = net_key(n, n->use[net_handle(net, 0, 1)])->keys.remote_index;
	uint8_t buf[RESET_LEN], key[32] = {1};

	net->strict = true;
	for (int i = 0; i < 128; i++) {
		key[1] = (uint8_t)i;
		assert_int_equal(reset_write(key, index, buf, sizeof(buf)), RESET_LEN);
		assert_int_equal(
			sess_recv(n->s, &net->n[1].ep, &n->ep.ip, buf, sizeof(buf), net->now),
			ERR_AUTH);
	}
	/* The right one for another index. */
	assert_int_equal(
		reset_write(net->n[1].id.reset_key, index + 1, buf, sizeof(buf)), RESET_LEN);
	assert_int_equal(
		sess_recv(n->s, &net->n[1].ep, &n->ep.ip, buf, sizeof(buf), net->now), ERR_AUTH);
	for (unsigned bit = 0; bit < RESET_LEN * 8; bit++) {
		(void)reset_write(net->n[1].id.reset_key, index, buf, sizeof(buf));
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (bit / 8 >= 1 && bit / 8 < 4)
			continue;                        /* reserved */
		net->now = ts_add(net->now, DUR_MS(10)); /* below the rate */
		assert_true(
			sess_recv(n->s, &net->n[1].ep, &n->ep.ip, buf, sizeof(buf), net->now) < 0);
	}
	net_drain(net, n);
	/* A look at one passes over all peers: a flood gets few. */
	for (int i = 0; i < 10 * LIM_RESETS_RX_PER_SEC; i++)
		(void)sess_recv(n->s, &net->n[1].ep, &n->ep.ip, buf, sizeof(buf), net->now);
	assert_in_range(net_stat(net, 0, SESS_ST_RATE_LIMITED), 9 * LIM_RESETS_RX_PER_SEC,
		10 * LIM_RESETS_RX_PER_SEC);
	net_drain(net, n);
	assert_int_equal(net_stat(net, 0, SESS_ST_RESETS_RX), 0);
	net_run(net, DUR_SEC(20));
	net_free(net);
}

/* The indexes that can be seen in a first handshake: node 0's in INIT, node 1's in RESP. */
struct prober {
	uint32_t index[2];
	unsigned n;
};

static void note_sender_index(struct net *net, struct net_msg *m)
{
	struct prober *p = net->ctx;
	uint8_t type = WIRE_TYPE_OF(m->buf[0]);
	struct rd r;

	if (m->data || (type != WIRE_INIT && type != WIRE_RESP))
		return;
	assert_true(p->n < 2 && type == (p->n ? WIRE_RESP : WIRE_INIT));
	rd_init(&r, m->buf, m->len);
	rd_u32(&r);
	p->index[p->n++] = rd_u32(&r);
}

static unsigned ask_token(struct net *net, unsigned who, uint32_t index)
{
	struct ep stranger = {.ip = ip_v4(0xc0000201), .port = 999};
	uint8_t buf[WIRE_DATA_OVERHEAD] = {WIRE_TYPE_BYTE(WIRE_DATA)};
	unsigned before = net->sent;

	for (int i = 0; i < 4; i++)
		buf[WIRE_OFF_INDEX + i] = (uint8_t)(index >> (24 - 8 * i));
	(void)sess_recv(net->n[who].s, &stranger, &net->n[who].ep.ip, buf, sizeof(buf), net->now);
	net_drain(net, &net->n[who]);
	return net->sent - before;
}

/* Between RESP and FINAL the responder doesn't know its own index yet; who has seen it in RESP must
 * not get its token all the same, or he could end the session that is being made. */
static void tokens_are_not_to_be_had_for_the_asking(void **state)
{
	struct prober p = {.n = 0};
	struct net *net = net_new(2, true, 46);

	net->tap = note_sender_index;
	net->ctx = &p;
	net_connect(net, 0, 1, true);
	for (int i = 0; i < 100; i++) {
		net_run(net, DUR_MS(1));
		for (unsigned who = 0; who < p.n; who++)
			assert_int_equal(ask_token(net, who, p.index[who]), 0);
	}
	assert_int_equal(p.n, 2);
	assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
	assert_int_equal(net_stat(net, 1, SESS_ST_RESETS_TX), 0);
	net->tap = NULL;
	/* Nor are those of runs to come: when all keys from before the start are dead, all is said. */
	net_run(net, DUR_SEC(240));
	for (uint32_t i = 1; i < 1000; i++)
		assert_int_equal(ask_token(net, 0, i), 0);
	net_free(net);
}

static void resets_are_limited_and_short(void **state)
{
	struct net *net = linked(44);
	uint8_t buf[WIRE_DATA_OVERHEAD] = {WIRE_TYPE_BYTE(WIRE_DATA)};
	unsigned before = net->sent;
	uint32_t mine = net->n[0].use[net_handle(net, 0, 1)];

	for (int i = 0; i < 1000; i++) {
		buf[WIRE_OFF_INDEX] = (uint8_t)i;
		buf[WIRE_OFF_INDEX + 1] = (uint8_t)(i >> 8);
		assert_int_equal(sess_recv(net->n[0].s, &net->n[1].ep, &net->n[0].ep.ip, buf,
					 sizeof(buf), net->now),
			ERR_NOT_FOUND);
		net_drain(net, &net->n[0]);
	}
	assert_int_equal(net->sent - before, LIM_RESETS_PER_SEC);
	assert_int_equal(net_stat(net, 0, SESS_ST_UNKNOWN_INDEX), 1000);
	/* A data lane of an index that we have: a race inside, not worth a reset. */
	net_run(net, DUR_SEC(2));
	before = net->sent;
	buf[WIRE_OFF_LANE] = 1;
	for (int i = 0; i < 4; i++)
		buf[WIRE_OFF_INDEX + i] = (uint8_t)(mine >> (24 - 8 * i));
	assert_int_equal(
		sess_recv(net->n[0].s, &net->n[1].ep, &net->n[0].ep.ip, buf, sizeof(buf), net->now),
		ERR_NOT_FOUND);
	net_drain(net, &net->n[0]);
	assert_int_equal(net->sent, before);
	/* Too short for a data packet: nothing. */
	assert_int_equal(sess_recv(net->n[0].s, &net->n[1].ep, &net->n[0].ep.ip, buf,
				 WIRE_DATA_OVERHEAD - 1, net->now),
		ERR_MALFORMED);
	net_free(net);
}

/* --- roaming --- */

static void a_peer_that_moves_is_followed(void **state)
{
	struct net *net = linked(45);
	struct net_node *n = &net->n[0];

	net->strict = true;
	n->ep.ip = ip_v4(0x0a0000aa);
	n->ep.port = 1234;
	assert_true(net_send(net, 0, 1, 1));
	net_run(net, DUR_MS(100));
	assert_int_equal(net->n[1].notes[SESS_NOTE_ENDPOINT_MOVED], 1);
	assert_true(ep_eq(&net->n[1].to[net_handle(net, 1, 0)], &n->ep));
	assert_true(net_send(net, 1, 0, 2));
	net_run(net, DUR_SEC(60));
	assert_int_equal(n->seen[2], 1);
	/* By the data plane's word, when only data flows. */
	n->ep.port = 1235;
	sess_roam_hint(net->n[1].s, net_handle(net, 1, 0), &n->ep, &net->n[1].ep.ip, net->now);
	net_drain(net, &net->n[1]);
	net_run(net, DUR_MS(100));
	assert_int_equal(net->n[1].notes[SESS_NOTE_ENDPOINT_MOVED], 2);
	net_free(net);
}

static const struct ep thief = {.ip = {.b = {192, 0, 2, 66}, .family = IP_V4}, .port = 666};

/* All from node 0 passes through somebody else's address, which answers nothing. */
static void through_thief(struct net *net, struct net_msg *m)
{
	if (ep_eq(&m->src, &net->n[0].ep))
		m->src = thief;
}

static void an_address_that_does_not_answer_gets_nothing(void **state)
{
	struct net *net = linked(46);
	uint32_t h = net_handle(net, 1, 0);
	struct ep before = net->n[1].to[h];

	net->strict = true;
	net->tap = through_thief;
	for (uint16_t i = 0; i < 200; i++) {
		assert_true(net_send(net, 0, 1, i));
		net_run(net, DUR_MS(20));
	}
	net->tap = NULL;
	assert_true(ep_eq(&net->n[1].to[h], &before));
	assert_int_equal(net->n[1].notes[SESS_NOTE_ENDPOINT_MOVED], 0);
	assert_int_equal(net_stat(net, 1, SESS_ST_ROAMS), 0);
	net_run(net, DUR_SEC(30));
	assert_true(net_is_up(net, 1, 0));
	net_free(net);
}

/* The thief passes the challenge on, but the answer comes from where the peer really is. */
static void one_through_thief(struct net *net, struct net_msg *m)
{
	if (ep_eq(&m->dst, &thief))
		m->dst = net->n[0].ep;
	else if (ep_eq(&m->src, &net->n[0].ep) && net->ctx)
		m->src = thief;
	net->ctx = NULL;
}

static void an_answer_from_elsewhere_does_not_move_a_peer(void **state)
{
	struct net *net = linked(52);
	uint32_t h = net_handle(net, 1, 0);
	unsigned before;

	net->tap = one_through_thief;
	net->ctx = net;
	before = net->sent;
	assert_true(net_send(net, 0, 1, 1));
	net_run(net, DUR_MS(100));
	assert_int_equal(net->sent - before, 3); /* message, challenge, answer */
	assert_true(ep_eq(&net->n[1].to[h], &net->n[0].ep));
	assert_int_equal(net_stat(net, 1, SESS_ST_ROAMS), 0);
	net_free(net);
}

/* The first packet of each kind from elsewhere, but old: kept back while newer ones arrive. */
static void an_old_packet_does_not_move_a_peer(void **state)
{
	struct net *net = linked(47);
	struct net_msg old;
	unsigned before;

	net->delay = DUR_SEC(1);
	assert_true(net_send(net, 0, 1, 1));
	assert_true(net->nmsgs == 1);
	old = net->msgs[0];
	net->nmsgs = 0;
	net->delay = DUR_MS(10);
	assert_true(net_send(net, 0, 1, 2));
	net_run(net, DUR_MS(50));
	before = net->sent;
	assert_int_equal(
		sess_recv(net->n[1].s, &thief, &net->n[1].ep.ip, old.buf, old.len, net->now), 0);
	net_drain(net, &net->n[1]);
	assert_int_equal(net->n[1].seen[1], 1);
	assert_int_equal(net->sent, before); /* no challenge */
	net_free(net);
}

static void another_address_of_ours_is_answered_from(void **state)
{
	struct net *net = linked(48);
	struct ip other = ip_v4(0x0a00007f);
	uint32_t h = net_handle(net, 1, 0);
	struct sess_peer_info info;

	sess_roam_hint(net->n[1].s, h, &net->n[0].ep, &other, net->now);
	net_drain(net, &net->n[1]);
	assert_int_equal(sess_peer_get(net->n[1].s, h, &info, net->now), 0);
	assert_true(ip_eq(&info.local, &other));
	assert_int_equal(net->n[1].notes[SESS_NOTE_ENDPOINT_MOVED], 0);
	net_free(net);
}

/* --- side ports --- */

static void with_side_ports(struct sess_cfg *cfg)
{
	cfg->side_ports = 4;
}

static void side_ports_come_and_go(void **state)
{
	struct net *net = net_make(2, true, 49);

	restart_with(net, with_side_ports);
	net->strict = true;
	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(2));
	assert_int_equal(net->n[0].side_on, 4);
	assert_int_equal(net->n[1].side_on, 4);
	net_run(net, DUR_SEC(120));
	assert_int_equal(net->n[0].side_off, 0);
	/* They never moved anything. */
	assert_int_equal(net_stat(net, 1, SESS_ST_ROAMS) + net_stat(net, 0, SESS_ST_ROAMS), 0);
	net->n[0].side_blocked = true;
	net_run(net, DUR_SEC(10));
	net_run(net, DUR_SEC(20)); /* an interval, and three lost */
	assert_int_equal(net->n[0].side_off, 4);
	assert_int_equal(net->n[1].side_off, 0);
	net->n[0].side_blocked = false;
	net_run(net, DUR_SEC(20));
	assert_int_equal(net->n[0].side_on, 8);
	/* On a new way they are tried afresh. */
	net->n[1].ep.port = 4444;
	net_run(net, DUR_SEC(10));
	assert_int_equal(net->n[0].notes[SESS_NOTE_ENDPOINT_MOVED], 1);
	assert_int_equal(net->n[0].side_off, 8);
	assert_int_equal(net->n[0].side_on, 12);
	net_free(net);
}

/* --- the calls --- */

/* Node 0 gets a true lane 0 packet of @len bytes from node 1, longer than sess_send makes them. */
static int lane_0_of(struct net *net, size_t len)
{
	static uint8_t buf[65536];
	struct sess_slot *k = net->n[1].s->peers[net_handle(net, 1, 0)]->seal;
	uint8_t nonce[12];
	struct wr w;
	int err;

	memset(buf, 0, sizeof(buf));
	wr_init(&w, buf, sizeof(buf));
	wr_u32(&w, (uint32_t)WIRE_TYPE_BYTE(WIRE_DATA) << 24);
	wr_u32(&w, k->keys.remote_index);
	wr_u64(&w, k->tx_counter);
	wr_u24(&w, VNI_CONTROL);
	wr_u8(&w, WIRE_IF_CONTROL);
	wr_u8(&w, NET_TYPE);
	aead_data_nonce(nonce, WIRE_LANE_CONTROL, k->tx_counter++);
	aead_seal(k->tx, nonce, buf, WIRE_DATA_HDR, buf + WIRE_DATA_HDR,
		len - WIRE_DATA_HDR - WIRE_TAG, buf + WIRE_DATA_HDR, buf + len - WIRE_TAG);
	err = sess_recv(net->n[0].s, &net->n[1].ep, &net->n[0].ep.ip, buf, len, net->now);
	net_drain(net, &net->n[0]);
	return err;
}

static void calls_with_nothing_behind_them(void **state)
{
	struct net *net = linked(50);
	struct sess *s = net->n[0].s;
	uint8_t big[WIRE_CTL_BODY_MAX + 1] = {0};
	struct sess_peer_info info;
	uint32_t it = 0;

	assert_int_equal(sess_send(s, 0, NET_TYPE, big, 1, net->now), ERR_NOT_FOUND);
	assert_int_equal(sess_send(s, 4711, NET_TYPE, big, 1, net->now), ERR_NOT_FOUND);
	assert_int_equal(sess_send(s, UINT32_MAX, NET_TYPE, big, 1, net->now), ERR_NOT_FOUND);
	assert_int_equal(sess_send(s, net_handle(net, 0, 1), NET_TYPE, big, sizeof(big), net->now),
		ERR_RANGE);
	assert_int_equal(
		sess_send(s, net_handle(net, 0, 1), NET_TYPE, big, sizeof(big) - 1, net->now), 0);
	net_drain(net, &net->n[0]);
	net_run(net, DUR_MS(20));
	assert_int_equal(net->n[1].got, 1);
	/* A whole datagram of lane 0 is the most that is taken. */
	assert_int_equal(lane_0_of(net, WIRE_CONTROL_MAX), 0);
	assert_int_equal(lane_0_of(net, WIRE_CONTROL_MAX + 1), ERR_MALFORMED);
	assert_int_equal(lane_0_of(net, 60000), ERR_MALFORMED);
	sess_key_confirmed(s, 99, net->now);
	sess_key_limit(s, 99, true, net->now);
	sess_traffic(s, 99, net->now, net->now);
	sess_roam_hint(s, 99, &net->n[1].ep, &net->n[1].ep.ip, net->now);
	sess_cancel(s, &net->n[1].ep, net->now);
	sess_disconnect(s, &net->n[0].id.pub, net->now);
	sess_release(s, &net->n[0].id.pub, net->now);
	net_drain(net, &net->n[0]);
	assert_true(sess_peer_next(s, &it, &info, net->now));
	assert_true(info.up && info.initiator && node_key_eq(&info.key, &net->n[1].id.pub));
	assert_false(sess_peer_next(s, &it, &info, net->now));
	assert_int_equal(sess_peer_get(s, 99, &info, net->now), ERR_NOT_FOUND);
	sess_free(NULL);
	net_free(net);
}

/* Ends and limits that come when there is no memory for their actions are done later. */
static void ends_without_memory_are_done_later(void **state)
{
	struct net *net = linked(51);
	struct net_node *n = &net->n[0];

	/* Fill the queue until it must grow, without draining. */
	while (n->s->queue.cap - n->s->queue.count >= SESS_ACT_ROOM)
		assert_int_equal(
			sess_send(n->s, net_handle(net, 0, 1), NET_TYPE, "ab", 2, net->now), 0);
	fault_arm(1);
	sess_disconnect(n->s, &net->n[1].id.pub, net->now);
	assert_true(fault_disarm());
	assert_int_equal(
		sess_send(n->s, net_handle(net, 0, 1), NET_TYPE, "ab", 2, net->now), ERR_NOT_FOUND);
	net_drain(net, n);
	assert_int_equal(n->downs, 0);
	net_run(net, DUR_MS(200));
	assert_int_equal(n->last_down, SESS_DOWN_FORGOTTEN);
	assert_int_equal(n->nkeys, 0);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rekey_each_two_seconds_loses_nothing),
		cmocka_unit_test(soft_limit_of_lane_0_loses_nothing),
		cmocka_unit_test(hard_limit_of_lane_0),
		cmocka_unit_test(the_initiator_rekeys_first),
		cmocka_unit_test(the_responder_rekeys_if_the_initiator_does_not),
		cmocka_unit_test(a_key_ends_with_its_lifetime),
		cmocka_unit_test(hard_limit_from_the_data_plane),
		cmocka_unit_test(silence_is_noticed),
		cmocka_unit_test(silence_of_one_way_ends_both),
		cmocka_unit_test(who_was_given_up_hears_so),
		cmocka_unit_test(late_final_is_reset),
		cmocka_unit_test(data_saves_pings_and_keeps_alive),
		cmocka_unit_test(released_sessions_end_when_idle),
		cmocka_unit_test(restart_is_found_at_once),
		cmocka_unit_test(idle_restart_is_found_by_a_ping),
		cmocka_unit_test(forged_resets_do_nothing),
		cmocka_unit_test(resets_are_limited_and_short),
		cmocka_unit_test(tokens_are_not_to_be_had_for_the_asking),
		cmocka_unit_test(a_peer_that_moves_is_followed),
		cmocka_unit_test(an_address_that_does_not_answer_gets_nothing),
		cmocka_unit_test(an_answer_from_elsewhere_does_not_move_a_peer),
		cmocka_unit_test(an_old_packet_does_not_move_a_peer),
		cmocka_unit_test(another_address_of_ours_is_answered_from),
		cmocka_unit_test(side_ports_come_and_go),
		cmocka_unit_test(calls_with_nothing_behind_them),
		cmocka_unit_test(ends_without_memory_are_done_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
