/* A core with an external peer, an internal one and one that comes later, driven by the input: what they
 * are configured with, connections that come and go, messages with true headers, what the operator does,
 * time. The first bytes are the configuration; then steps: a byte of kind and peer, one of length, then so
 * many bytes. A session is brought up, with the capabilities that the input picks, where the kind says so,
 * since a fuzzer seldom finds that. Checked besides what sanitizers see: bytes offered stay within their
 * bound and frame as messages; counts of prefixes agree with the tables; a peer that is stopped keeps
 * nothing. */
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "bgp.h"
#include "bgp_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS 3
static const struct ip addr[PEERS] = {
	{{10, 0, 0, 2}, IP_V4}, {{10, 0, 0, 3}, IP_V4}, {{0xfe, 0x80, [15] = 4}, IP_V6}};
static const uint32_t as_of[PEERS] = {65002, 65001, 65003};
static const struct ip local[2] = {{{10, 0, 0, 1}, IP_V4}, {{0xfe, 0x80, [15] = 1}, IP_V6}};

static struct bgp *b;
static ts_t now;
static uint32_t conn[PEERS], number[PEERS];
static bool stingy; /* the kernel takes little at a time */

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* The bytes on offer begin with a message unless some of it was taken already. */
static void drain(void)
{
	struct bgp_act a;

	while (bgp_next(b, &a)) {
		for (int k = 0; k < PEERS && a.type == BGP_CONNECT; k++)
			if (number[k] == a.peer)
				conn[k] = a.conn;
		if (a.type != BGP_SEND)
			continue;
		check(a.len > 0 && a.len <= LIM_BGP_OUT_BYTES + BGP_MSG_EXT_MAX);
		bgp_written(b, a.conn, stingy ? 1 + a.len / 2 : a.len, now);
	}
}

static enum bgp_verdict apply(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	bgp_edit_prepend(e, 65009, r->nlri->pfx.len % 4);
	return r->nlri->pfx.len == 7 ? BGP_REJECT : BGP_ACCEPT;
}
static const struct bgp_policy_ops ops = {apply};

static void message(int k, unsigned type, const uint8_t *body, size_t n)
{
	uint8_t msg[BGP_HDR_LEN + 512];
	struct wr w;
	uint8_t *at;

	wr_init(&w, msg, sizeof(msg));
	at = bgp_msg_begin(&w, type);
	wr_copy(&w, body, n);
	bgp_msg_end(&w, at);
	bgp_recv(b, conn[k], msg, wr_len(&w), now);
	drain();
}

static void add(int k, struct rd *r)
{
	uint8_t what = rd_u8(r), more = rd_u8(r), rest = rd_u8(r);
	struct bgp_peer_cfg pc = {.vni = 1,
		.remote = {.ip = addr[k]},
		.families = 15,
		.remote_as = as_of[k],
		.rr_client = true,
		.max_prefixes = 100,
		.warn_prefixes = 20,
		.restart = what % 3,
		.no_first_as = (what & 0x08) != 0,
		.add_path_rx = (what & 0x10) != 0,
		.add_path_tx = what & 0x20 ? 3 : 0,
		.v4_over_v6 = (what & 0x40) != 0,
		.no_ext_message = (what & 0x80) != 0,
		.role = more % 6,
		.role_strict = (more & 0x08) != 0,
		.as_override = (more & 0x10) != 0,
		.remove_private = (more & 0x20) != 0,
		.mrai_secs = more & 0x40 ? 5 : 0,
		.local_as = more & 0x80 ? 65077 : 0,
		.no_prepend = (rest & 1) != 0,
		.replace_as = (rest & 2) != 0,
		.allow_own_as = rest >> 2 & 3,
		.passive = (rest & 0x10) != 0,
		.max_restart_secs = rest & 0x20 ? 30 : 0,
		.import = {&ops, NULL},
		.export = {rest & 0x40 ? &ops : NULL, NULL}};

	if (bgp_peer_add(b, &pc, now, &number[k]) < 0)
		number[k] = 0;
	drain();
}

/* A session, with the capabilities of @caps. */
static void establish(int k, struct rd *caps)
{
	uint8_t buf[256], what = rd_u8(caps), more = rd_u8(caps);
	struct bgp_caps c = {.families = 15,
		.refresh = true,
		.enhanced_refresh = true,
		.as4 = !(what & 1),
		.as = as_of[k],
		.restart = (what & 2) != 0,
		.restart_state = (what & 4) != 0,
		.restart_notify = (what & 8) != 0,
		.restart_secs = 60,
		.restart_families = more & 15,
		.forward_families = more >> 4 & more & 15,
		.ext_message = (what & 0x10) != 0,
		.v4_over_v6 = (what & 0x20) != 0,
		.paths_in = what & 0x40 ? 3 : 0,
		.paths_out = what & 0x80 ? 3 : 0,
		.role = rd_u8(caps) % 6};
	struct bgp_open o = {.as = as_of[k], .hold_secs = 90, .id = 0x0a000002u + (uint32_t)k};
	struct wr w, cw;

	wr_init(&cw, buf, sizeof(buf));
	bgp_caps_encode(&cw, &c);
	check(!wr_bad(&cw));
	if (bgp_connected(b, conn[k], &local[k == 2], now) < 0)
		bgp_accepted(b, 1, &addr[k], &local[k == 2], now, &conn[k]);
	{
		uint8_t msg[512];

		wr_init(&w, msg, sizeof(msg));
		bgp_open_encode(&w, &o, buf, wr_len(&cw));
		bgp_recv(b, conn[k], msg, wr_len(&w), now);
	}
	drain();
	message(k, MSG_KEEPALIVE, NULL, 0);
}

static bool count(void *ctx, const struct bgp_entry *e)
{
	++*(uint32_t *)ctx;
	return true;
}

static void check_counts(void)
{
	for (int k = 0; k < PEERS; k++) {
		struct bgp_peer_info i;
		uint32_t n = 0;

		if (!number[k] || bgp_peer_get(b, number[k], &i) < 0)
			continue;
		bgp_walk(b, BGP_ADJ_IN, 1, number[k], count, &n);
		check(n == i.prefixes_received && i.prefixes_accepted <= n);
		n = 0;
		bgp_walk(b, BGP_ADJ_OUT, 1, number[k], count, &n);
		check(n == i.prefixes_announced);
		check(!i.stopped || i.prefixes_received == 0);
		check(i.state == BGP_ESTABLISHED || i.prefixes_received == 0 || i.restarting);
	}
}

/* What somebody at the command line, or BFD, does. */
static void operate(int k, unsigned what)
{
	static const struct bgp_nlri own = {
		.family = BGP_IPV4, .pfx = {.ip = {{192, 0, 2}, IP_V4}, .len = 24}};

	switch (what % 12) {
	case 0:
		bgp_peer_stop(b, number[k], "text", now);
		break;
	case 1:
		bgp_peer_start(b, number[k], now);
		break;
	case 2:
		bgp_peer_reset(b, number[k], NULL, now);
		break;
	case 3:
		bgp_peer_bfd_down(b, number[k], what & 0x80, now);
		break;
	case 4:
		bgp_peer_leave(b, number[k], now);
		break;
	case 5:
		bgp_peer_del(b, number[k], now);
		number[k] = 0;
		break;
	case 6:
		bgp_peer_repolicy(b, number[k], NULL, NULL, now);
		break;
	case 7:
		bgp_peer_graceful_shutdown(b, number[k], what & 0x80, now);
		break;
	case 8:
		bgp_peer_refresh(b, number[k], what >> 6, now);
		break;
	case 9:
		bgp_originate(b, 1, &own, NULL, now);
		break;
	case 10:
		bgp_withdraw(b, 1, &own, now);
		break;
	default:
		bgp_nexthops_changed(b, 1, now);
	}
}

static void step(struct rd *r)
{
	uint8_t what = rd_u8(r), n = rd_u8(r);
	struct rd body = rd_sub(r, n < rd_left(r) ? n : rd_left(r));
	int k = what % PEERS;

	switch (what / PEERS % 12) {
	case 0:
		establish(k, &body);
		break;
	case 1:
	case 2:
	case 3:
	case 4:
	case 5:
		message(k, what / PEERS % 12, body.p, rd_left(&body));
		break;
	case 6:
		now = ts_add(now, DUR_SEC(n));
		bgp_tick(b, now);
		break;
	case 7:
		bgp_accepted(b, 1, &addr[k], &local[k == 2], now, &conn[k]);
		break;
	case 8:
		bgp_closed(b, conn[k], now);
		break;
	case 9:
		operate(k, n);
		break;
	case 10:
		if (!number[k])
			add(k, &body);
		break;
	default:
		bgp_recv(b, conn[k], body.p, rd_left(&body), now);
	}
	drain();
	check_counts();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bgp_cfg cfg = {.local_as = 65001, .router_id = 1, .seed = 1};
	struct rd r;
	uint8_t how;

	rd_init(&r, data, size);
	how = rd_u8(&r);
	cfg.restarting = how & 1;
	cfg.multipath = how & 4 ? 4 : 0;
	stingy = how & 2;
	now = (ts_t){1};
	memset(number, 0, sizeof(number));
	memset(conn, 0, sizeof(conn));
	b = bgp_new(&cfg, now);
	for (int k = 0; b && k < 2; k++)
		add(k, &r);
	while (b && rd_left(&r) >= 2)
		step(&r);
	bgp_free(b);
	return 0;
}
