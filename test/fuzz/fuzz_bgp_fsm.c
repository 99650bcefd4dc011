/* A core with an external and an internal peer, driven by the input: connections come and go, messages
 * with true headers arrive, time passes. Each step: a byte of kind and peer, one of length, then so many
 * bytes. A session is brought up first where the kind says so, since a fuzzer seldom finds that. */
#include <stdlib.h>
#include "weft/buf.h"
#include "bgp.h"
#include "bgp_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ip addr[2] = {{{10, 0, 0, 2}, IP_V4}, {{10, 0, 0, 3}, IP_V4}};
static uint32_t conn[2];

static void drain(struct bgp *b, ts_t now)
{
	struct bgp_act a;

	while (bgp_next(b, &a)) {
		if (a.type == BGP_CONNECT)
			conn[a.peer - 1] = a.conn;
		if (a.type == BGP_SEND && (a.len == 0 || a.len > LIM_BGP_OUT_BYTES))
			abort();
		if (a.type == BGP_SEND)
			bgp_written(b, a.conn, 1 + a.len / 2, now);
	}
}

static enum bgp_verdict apply(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	bgp_edit_prepend(e, 65009, r->nlri->pfx.len % 4);
	return r->nlri->pfx.len == 7 ? BGP_REJECT : BGP_ACCEPT;
}
static const struct bgp_policy_ops ops = {apply};

static void message(struct bgp *b, int k, unsigned type, const uint8_t *body, size_t n, ts_t now)
{
	uint8_t msg[BGP_HDR_LEN + 256];
	struct wr w;
	uint8_t *at;

	wr_init(&w, msg, sizeof(msg));
	at = bgp_msg_begin(&w, type);
	wr_copy(&w, body, n);
	bgp_msg_end(&w, at);
	bgp_recv(b, conn[k], msg, wr_len(&w), now);
	drain(b, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t open[2][26] = {{4, 0xfd, 0xea, 0, 90, 10, 0, 0, 2, 16, 2, 14, 1, 4, 0,
						    1, 0, 1, 2, 0, 70, 0, 1, 4, 0, 2},
		{4, 0xfd, 0xe9, 0, 90, 10, 0, 0, 3, 12, 2, 10, 1, 4, 0, 1, 0, 128, 2, 0, 70, 0}};
	struct bgp_cfg cfg = {.local_as = 65001, .router_id = 1, .seed = 1};
	ts_t now = {1};
	struct bgp *b = bgp_new(&cfg, now);
	struct ip local = {{10, 0, 0, 1}, IP_V4};
	struct rd r;

	for (int k = 0; b && k < 2; k++) {
		struct bgp_peer_cfg pc = {.vni = 1,
			.remote = {.ip = addr[k]},
			.families = 15,
			.remote_as = k ? 65001 : 65002,
			.rr_client = true,
			.max_prefixes = 100,
			.import = {&ops, NULL},
			.export = {&ops, NULL}};
		uint32_t peer;

		bgp_peer_add(b, &pc, now, &peer);
		drain(b, now);
	}
	rd_init(&r, data, size);
	while (b && rd_left(&r) >= 2) {
		uint8_t what = rd_u8(&r), n = rd_u8(&r);
		struct rd body = rd_sub(&r, n < rd_left(&r) ? n : rd_left(&r));
		int k = what & 1;

		if (what >> 1 == 0) {
			bgp_connected(b, conn[k], &local, now);
			message(b, k, MSG_OPEN, open[k], k ? 22 : 26, now);
			message(b, k, MSG_KEEPALIVE, NULL, 0, now);
		} else if (what >> 1 <= 5)
			message(b, k, what >> 1, body.p, rd_left(&body), now);
		else if (what >> 1 == 6)
			bgp_tick(b, now = ts_add(now, DUR_SEC(n)));
		else if (what >> 1 == 7)
			bgp_accepted(b, 1, &addr[k], &local, now, &conn[k]);
		else if (what >> 1 == 8)
			bgp_closed(b, conn[k], now);
		else
			bgp_recv(b, conn[k], body.p, rd_left(&body), now);
		drain(b, now);
	}
	bgp_free(b);
	return 0;
}
