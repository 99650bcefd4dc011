/* bgpone.h - one core and one neighbour that the test plays, message by message: the core is 10.0.0.1, AS
 * 65001, the neighbour 10.0.0.2, AS 65002. */
#ifndef WEFT_TEST_BGPONE_H
#define WEFT_TEST_BGPONE_H

#include "bgpnet.h"

static struct bgp *b;
static ts_t now;
static uint32_t peer;
static uint8_t sent[LIM_BGP_OUT_BYTES];
static size_t sent_len;
static uint32_t dialled, closed[8];
static unsigned nclosed;

static inline void drain(void)
{
	struct bgp_act a;

	while (bgp_next(b, &a)) {
		if (a.type == BGP_CONNECT)
			dialled = a.conn;
		if (a.type == BGP_CLOSE && nclosed < 8)
			closed[nclosed++] = a.conn;
		if (a.type != BGP_SEND)
			continue;
		memcpy(sent, a.buf, a.len); /* the last write */
		sent_len = a.len;
		bgp_written(b, a.conn, a.len, now);
	}
}

static struct ip remote;
static inline void start(uint32_t our_id, bool passive)
{
	struct bgp_cfg cfg = {.local_as = 65001, .router_id = our_id, .seed = 1};
	struct bgp_peer_cfg pc = {.vni = 1,
		.remote_as = 65002,
		.families = 1,
		.passive = passive,
		.import = {&accept_ops, NULL},
		.export = {&accept_ops, NULL}};

	now = (ts_t){1000000000};
	remote = ip_v4(0x0a000002);
	pc.remote.ip = remote;
	b = bgp_new(&cfg, now);
	assert_non_null(b);
	dialled = nclosed = 0;
	assert_int_equal(bgp_peer_add(b, &pc, now, &peer), 0);
	drain();
}

static inline uint32_t take_in(void)
{
	struct ip local = ip_v4(0x0a000001);
	uint32_t c = 0;

	assert_int_equal(bgp_accepted(b, 1, &remote, &local, now, &c), 0);
	drain();
	return c;
}

static inline size_t make(uint8_t *m, unsigned type, uint32_t id)
{
	struct bgp_caps caps = {.families = 1, .refresh = true, .as4 = true, .as = 65002};
	struct bgp_open o = {.as = 65002, .hold_secs = 90, .id = id};
	struct bgp_error e;
	uint8_t cb[32];
	struct wr w, cw;

	wr_init(&w, m, BGP_MSG_MAX);
	wr_init(&cw, cb, sizeof(cb));
	bgp_caps_encode(&cw, &caps);
	bgp_error_set(&e, NOTIFY_CEASE, CEASE_RESET, NULL, 0);
	if (type == MSG_OPEN)
		bgp_open_encode(&w, &o, cb, wr_len(&cw));
	else if (type == MSG_NOTIFICATION)
		bgp_notification_encode(&w, &e);
	else if (type == MSG_KEEPALIVE)
		bgp_keepalive_encode(&w);
	else if (type == MSG_REFRESH)
		bgp_refresh_encode(&w, BGP_IPV4, 0);
	else {
		uint8_t *at = bgp_msg_begin(&w, MSG_UPDATE);

		wr_u32(&w, 0);
		bgp_msg_end(&w, at);
	}
	return wr_len(&w);
}

static inline void give(uint32_t c, unsigned type, uint32_t id)
{
	uint8_t m[BGP_MSG_MAX];
	size_t n = make(m, type, id);

	bgp_recv(b, c, m, n, now);
	drain();
}

static inline enum bgp_state state_now(void)
{
	struct bgp_peer_info i;

	assert_int_equal(bgp_peer_get(b, peer, &i), 0);
	return i.state;
}

#endif
