/* Sessions by ways that the caller knows: through relays, and datagrams that it sends itself (padded
 * probes). The network is sessnet.h's; what a relay would carry arrives from the sender's pseudo
 * endpoint instead of its address. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "weft/buf.h"
#include "fault.h"
#include "sessnet.h"

#define LONG_BODY 300

static uint64_t label_of(const struct net_node *n)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | n->id.pub.b[i];
	return v;
}

/* The relay: what is sent to a pseudo endpoint arrives at its node, from the sender's. */
static void relay(struct net *net, struct net_msg *m)
{
	uint64_t label;

	if (!sess_relayed_label(&m->dst, &label))
		return;
	for (unsigned i = 0; i < net->count; i++) {
		struct net_node *n = &net->n[i];

		if (ep_eq(&m->src, &n->ep))
			m->src = sess_relayed_ep(label_of(n));
		if (label_of(n) == label)
			m->dst = n->ep;
	}
}

static struct net *relayed(uint64_t seed)
{
	struct net *net = net_make(2, true, seed);
	struct ep to;

	for (unsigned i = 0; i < 2; i++) {
		net->n[i].cfg.side_ports = 2;
		net_start_node(net, i);
	}
	net->tap = relay;
	to = sess_relayed_ep(label_of(&net->n[1]));
	assert_int_equal(sess_connect(net->n[0].s, &to, &net->n[1].id.pub,
				 ts_add(net->now, DUR_SEC(30)), net->now),
		0);
	net_drain(net, &net->n[0]);
	net_run(net, DUR_SEC(2));
	assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
	return net;
}

static struct ep endpoint(struct net *net, unsigned at, unsigned of)
{
	struct sess_peer_info info;

	assert_int_equal(sess_peer_get(net->n[at].s, net_handle(net, at, of), &info, net->now), 0);
	return info.ep;
}

static void pseudo_endpoints(void **state)
{
	struct ep ep = sess_relayed_ep(UINT64_C(0x0123456789abcdef)),
		  v4 = {.ip = ip_v4(0x01000000)};
	char text[EP_STRLEN];
	uint64_t label = 0;

	assert_true(sess_relayed_label(&ep, &label));
	assert_true(label == UINT64_C(0x0123456789abcdef));
	assert_string_equal(ep_fmt(&ep, text), "[100::123:4567:89ab:cdef]:6793");
	assert_false(sess_relayed_label(&v4, &label));
	ep.ip.b[7] = 1;
	assert_false(sess_relayed_label(&ep, &label));
}

/* A session made, kept, given new keys and closed through relays alone. */
static void a_session_through_relays(void **state)
{
	struct net *net = relayed(1);
	struct ep there = sess_relayed_ep(label_of(&net->n[1])),
		  back = sess_relayed_ep(label_of(&net->n[0])), ep;

	net->strict = true;
	ep = endpoint(net, 0, 1);
	assert_true(ep_eq(&ep, &there));
	ep = endpoint(net, 1, 0);
	assert_true(ep_eq(&ep, &back));
	for (uint16_t i = 0; i < 100; i++) {
		assert_true(net_send(net, 0, 1, i) && net_send(net, 1, 0, i));
		net_run(net, DUR_SEC(6));
	}
	assert_int_equal(net_sum(net->n[1].seen, 100), 100);
	assert_int_equal(net_sum(net->n[0].seen, 100), 100);
	assert_true(net_stat(net, 1, SESS_ST_REKEYS) >= 4);
	assert_true(net_agree(net, 0, 1));
	/* No probe can say anything of side ports there. */
	assert_int_equal(net->n[0].side_on + net->n[1].side_on, 0);
	net->strict = false;
	sess_disconnect(net->n[0].s, &net->n[1].id.pub, net->now);
	net_drain(net, &net->n[0]);
	net_run(net, DUR_MS(100));
	assert_int_equal(net->n[1].last_down, SESS_DOWN_CLOSED);
	net_free(net);
}

/* Between the direct way and relays only the caller moves a session, whatever arrives from where. */
static void only_the_caller_moves(void **state)
{
	struct net *net = relayed(2);
	struct ep direct = net->n[1].ep, pseudo = endpoint(net, 0, 1), ep;
	unsigned moved = net->n[0].moved;

	net->strict = true;
	/* Its packets come directly: that alone says nothing of our direction. */
	assert_int_equal(sess_move(net->n[1].s, net_handle(net, 1, 0), &net->n[0].ep, net->now), 0);
	net_drain(net, &net->n[1]);
	net_run(net, DUR_SEC(10));
	ep = endpoint(net, 0, 1);
	assert_true(ep_eq(&ep, &pseudo));
	sess_roam_hint(net->n[0].s, net_handle(net, 0, 1), &direct, &net->n[0].ep.ip, net->now);
	net_drain(net, &net->n[0]);
	net_run(net, DUR_SEC(3));
	ep = endpoint(net, 0, 1);
	assert_true(ep_eq(&ep, &pseudo));

	assert_int_equal(sess_move(net->n[0].s, net_handle(net, 0, 1), &direct, net->now), 0);
	net_drain(net, &net->n[0]);
	net_run(net, DUR_SEC(10));
	ep = endpoint(net, 0, 1);
	assert_true(ep_eq(&ep, &direct));
	assert_int_equal(net->n[0].side_on, 2); /* proven now */
	/* Relayed again, at its end alone: nothing moves here. */
	ep = sess_relayed_ep(label_of(&net->n[0]));
	assert_int_equal(sess_move(net->n[1].s, net_handle(net, 1, 0), &ep, net->now), 0);
	net_drain(net, &net->n[1]);
	net_run(net, DUR_SEC(20));
	ep = endpoint(net, 0, 1);
	assert_true(ep_eq(&ep, &direct));
	assert_true(net->n[1].side_off >= 2 || net->n[1].side_on == 0);
	assert_int_equal(net->n[0].moved, moved);
	assert_int_equal(net_stat(net, 0, SESS_ST_ROAMS) + net_stat(net, 1, SESS_ST_ROAMS), 0);
	assert_int_equal(sess_move(net->n[0].s, 4711, &direct, net->now), ERR_NOT_FOUND);
	net_free(net);
}

static int deliver(struct net *net, unsigned to, unsigned from, const uint8_t *buf, size_t len)
{
	uint8_t copy[UINT16_MAX];
	int err;

	memcpy(copy, buf, len);
	err = sess_recv(net->n[to].s, &net->n[from].ep, &net->n[to].ep.ip, copy, len, net->now);
	return err;
}

/* Datagrams of every size, which the caller sends: the other side gets the message, zeros behind it. */
static void padded_messages(void **state)
{
	static const size_t sizes[] = {0, 38, 600, 1231, 1232, 1233, 1472, 8972, 9100, 65535};
	struct net *net = net_new(2, true, 3);
	static uint8_t out[UINT16_MAX];
	const uint8_t body[] = {7};
	struct sess_msg m = {.type = WIRE_CTL_PATH, .body = body, .len = sizeof(body)};
	struct sess_act a;

	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	m.peer = net_handle(net, 0, 1);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t want = sizes[i] ? sizes[i] : WIRE_DATA_OVERHEAD + 2;

		m.size = sizes[i];
		m.side = i & 1;
		assert_int_equal(sess_seal(net->n[0].s, &m, out, sizeof(out), net->now), want);
		assert_int_equal(out[WIRE_OFF_FLAGS], m.side ? WIRE_F_SIDE_PORT : 0);
		assert_int_equal(deliver(net, 1, 0, out, want), 0);
		assert_true(sess_next(net->n[1].s, &a) && a.type == SESS_RECV);
		assert_int_equal(a.len, want - WIRE_DATA_OVERHEAD);
		assert_true(a.buf[0] == WIRE_CTL_PATH && a.buf[1] == 7);
		assert_true(sodium_is_zero(a.buf + 2, a.len - 2));
		net_drain(net, &net->n[1]);
		assert_int_equal(deliver(net, 1, 0, out, want), ERR_REPLAY);
		net_drain(net, &net->n[1]);
	}
	net_free(net);
}

static void refusals(void **state)
{
	struct net *net = net_new(2, true, 4);
	static uint8_t out[UINT16_MAX + 8], big[LONG_BODY + WIRE_CTL_BODY_MAX];
	struct sess_msg m = {.type = WIRE_CTL_PATH, .body = big, .len = LONG_BODY};
	struct sess_act a;
	int len;

	net_connect(net, 0, 1, true);
	assert_int_equal(sess_seal(net->n[0].s, &m, out, sizeof(out), net->now), ERR_NOT_FOUND);
	net_run(net, DUR_SEC(1));
	m.peer = net_handle(net, 0, 1);
	m.size = WIRE_DATA_OVERHEAD + LONG_BODY; /* the type byte finds no room */
	assert_int_equal(sess_seal(net->n[0].s, &m, out, sizeof(out), net->now), ERR_RANGE);
	m.size = UINT16_MAX + 1;
	assert_int_equal(sess_seal(net->n[0].s, &m, out, sizeof(out), net->now), ERR_RANGE);
	m.size = 1400;
	assert_int_equal(sess_seal(net->n[0].s, &m, out, 1399, net->now), ERR_RANGE);
	m.len = WIRE_CTL_BODY_MAX + 1;
	m.size = 0;
	assert_int_equal(sess_seal(net->n[0].s, &m, out, sizeof(out), net->now), ERR_RANGE);

	/* Padding is for probes of the path alone. */
	m = (struct sess_msg){.peer = m.peer, .type = NET_TYPE, .size = WIRE_CONTROL_MAX + 1};
	len = sess_seal(net->n[0].s, &m, out, sizeof(out), net->now);
	assert_int_equal(len, WIRE_CONTROL_MAX + 1);
	assert_int_equal(deliver(net, 1, 0, out, (size_t)len), ERR_MALFORMED);
	net_drain(net, &net->n[1]);

	/* Where there is no memory for it nothing happened: it may come again. */
	m.type = WIRE_CTL_PATH;
	m.size = UINT16_MAX;
	len = sess_seal(net->n[0].s, &m, out, sizeof(out), net->now);
	fault_arm(1);
	assert_int_equal(deliver(net, 1, 0, out, (size_t)len), ERR_NOMEM);
	fault_disarm();
	assert_int_equal(deliver(net, 1, 0, out, (size_t)len), 0);
	assert_true(sess_next(net->n[1].s, &a) && a.type == SESS_RECV);
	net_drain(net, &net->n[1]);
	net_free(net);
}

/* A dial by another way takes the place of the one before, but not of one that has been answered. */
static void redial(void **state)
{
	struct net *net = net_new(2, true, 5);
	struct ep nowhere = {.ip = ip_v4(0x0a0000ff), .port = 1};
	struct net_node *n = &net->n[0];
	struct sess_dial_info info;
	uint32_t it = 0;

	assert_int_equal(sess_redial(n->s, &nowhere, &net->n[1].id.pub, TS_NEVER, net->now), 0);
	net_run(net, DUR_SEC(1));
	assert_int_equal(
		sess_redial(n->s, &net->n[1].ep, &net->n[1].id.pub, TS_NEVER, net->now), 0);
	net_drain(net, n);
	assert_true(sess_dial_next(n->s, &it, &info) && ep_eq(&info.to, &net->n[1].ep));
	assert_false(sess_dial_next(n->s, &it, &info));
	net_run(net, DUR_MS(25)); /* RESP is here, FINAL on its way */
	assert_int_equal(sess_redial(n->s, &nowhere, &net->n[1].id.pub, TS_NEVER, net->now), 0);
	net_run(net, DUR_MS(100));
	assert_true(net_is_up(net, 0, 1) && net_is_up(net, 1, 0));
	it = 0;
	assert_false(sess_dial_next(n->s, &it, &info));
	assert_int_equal(sess_redial(n->s, &nowhere, &net->n[1].id.pub, TS_NEVER, net->now), 0);
	assert_false(sess_dial_next(n->s, &it, &info));
	assert_int_equal(sess_redial(n->s, &nowhere, &n->id.pub, TS_NEVER, net->now), ERR_CONFLICT);
	assert_int_equal(n->dial_failed, 0);
	net_free(net);
}

/* Each node has a second address, by which its packets leave if they are for one. */
#define SECOND 0x0100u

static struct ep second_of(const struct net_node *n)
{
	struct ep ep = n->ep;

	ep.ip.b[2] ^= SECOND >> 8;
	return ep;
}

static void two_addresses(struct net *net, struct net_msg *m)
{
	for (unsigned i = 0; i < net->count; i++) {
		struct ep dst = second_of(&net->n[i]);

		if (!ep_eq(&m->dst, &dst))
			continue;
		m->dst = net->n[i].ep;
		for (unsigned k = 0; k < net->count; k++)
			if (ep_eq(&m->src, &net->n[k].ep)) {
				m->src = second_of(&net->n[k]);
				break;
			}
	}
}

/* Both leave their relays at the same time, for different addresses of each other: they settle on one
 * pair, soon, instead of following each other for ever. */
static void two_choices_at_a_time(void **state)
{
	for (unsigned who = 0; who < 2; who++) {
		struct net *net = net_new(2, true, 6 + who);
		struct ep a, b, second = second_of(&net->n[!who]);
		uint64_t roams;

		net->tap = two_addresses;
		net->strict = true;
		net_connect(net, 0, 1, true);
		net_run(net, DUR_SEC(10));
		assert_int_equal(
			sess_move(net->n[who].s, net_handle(net, who, !who), &second, net->now), 0);
		net_drain(net, &net->n[who]);
		second = net->n[who].ep; /* it keeps the first, newly chosen */
		net->n[!who].s->peers[net_handle(net, !who, who)]->moved_at = net->now;
		net_run(net, DUR_SEC(20));
		roams = net_stat(net, 0, SESS_ST_ROAMS) + net_stat(net, 1, SESS_ST_ROAMS);
		assert_true(roams >= 1 && roams <= 2);
		a = endpoint(net, 0, 1);
		b = endpoint(net, 1, 0);
		assert_int_equal(a.ip.b[2], b.ip.b[2]);
		net_free(net);
	}
}

static void a_local_address_goes(void **state)
{
	struct net *net = net_new(2, true, 9);
	struct sess_peer_info info;
	struct sess *s = net->n[0].s;
	struct sess_act a;
	uint64_t pings;
	uint32_t h;

	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	h = net_handle(net, 0, 1);
	assert_int_equal(sess_peer_get(s, h, &info, net->now), 0);
	assert_int_equal(info.local.family, IP_V4);
	pings = info.ctl_tx;
	sess_local_gone(s, h, net->now);
	assert_true(sess_next(s, &a) && a.type == SESS_ENDPOINT);
	assert_true(ep_eq(&a.ep, &net->n[1].ep) && a.local.family == IP_NONE);
	sess_local_gone(s, h, net->now); /* known already */
	assert_false(sess_next(s, &a));
	sess_tick(s, net->now);
	assert_true(sess_next(s, &a) && a.type == SESS_SEND && a.local.family == IP_NONE);
	net_drain(net, &net->n[0]);
	assert_int_equal(sess_peer_get(s, h, &info, net->now), 0);
	assert_true(info.ctl_tx > pings);
	sess_local_gone(s, 4711, net->now);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pseudo_endpoints),
		cmocka_unit_test(a_session_through_relays),
		cmocka_unit_test(only_the_caller_moves),
		cmocka_unit_test(padded_messages),
		cmocka_unit_test(refusals),
		cmocka_unit_test(redial),
		cmocka_unit_test(two_choices_at_a_time),
		cmocka_unit_test(a_local_address_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
