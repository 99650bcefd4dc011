/* How long work on a whole table holds up the loop: a table of ROUTES from one peer, told to three others,
 * and everything that concerns all of it. For each: the CPU time until it is done, and that of the longest
 * single call of the core, between two of which the driver can do other things.
 * Usage: bgp_stall_bench [ROUTES] */
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include "bgp_feed.h"

#define CHUNK 16384 /* what the driver reads in one turn */

static struct bgp *b;
static ts_t now = {1000000000};
static double longest;
static uint32_t dialled, stuck; /* stuck: a connection that takes nothing */

/* One call, and what it took. */
#define CALL(x)                                                                                    \
	do {                                                                                       \
		double t_ = cpu_secs();                                                            \
		(void)(x);                                                                         \
		t_ = cpu_secs() - t_;                                                              \
		longest = t_ > longest ? t_ : longest;                                             \
	} while (0)

static void drain(void)
{
	struct bgp_act a;
	bool more = true;

	while (more) {
		CALL(more = bgp_next(b, &a));
		if (a.type == BGP_CONNECT)
			dialled = a.conn;
		if (a.type == BGP_SEND && a.conn != stuck)
			CALL(bgp_written(b, a.conn, a.len, now));
	}
}

static enum bgp_verdict accept_all(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	return BGP_ACCEPT;
}
static const struct bgp_policy_ops ops = {accept_all};

static uint32_t add(unsigned n)
{
	struct bgp_peer_cfg pc = {.vni = 1,
		.remote_as = 65002 + n,
		.families = 1,
		.connect_retry_secs = 1,
		.restart = BGP_RESTART_HELPER,
		.import = {&ops, NULL},
		.export = {&ops, NULL}};
	uint32_t peer;

	pc.remote.ip = ip_v4(0x0a000002u + n);
	if (bgp_peer_add(b, &pc, now, &peer) < 0)
		abort();
	return peer;
}

static uint32_t up(unsigned n)
{
	struct bgp_caps caps = {.families = 1,
		.as4 = true,
		.as = 65002 + n,
		.refresh = true,
		.restart = true,
		.restart_secs = 120,
		.restart_families = 1,
		.forward_families = 1};
	struct bgp_open o = {.as = 65002 + n, .hold_secs = 90, .id = 0x0a000002u + n};
	struct ip local = ip_v4(0x0a000001), remote = ip_v4(0x0a000002u + n);
	uint32_t conn = 0;
	uint8_t buf[256], cb[64];
	struct wr w, cw;

	if (bgp_accepted(b, 1, &remote, &local, now, &conn) < 0)
		abort();
	wr_init(&w, buf, sizeof(buf));
	wr_init(&cw, cb, sizeof(cb));
	bgp_caps_encode(&cw, &caps);
	bgp_open_encode(&w, &o, cb, wr_len(&cw));
	bgp_keepalive_encode(&w);
	CALL(bgp_recv(b, conn, buf, wr_len(&w), now));
	return conn;
}

static void feed(uint32_t conn)
{
	for (size_t i = 0; i < gen_len; i += CHUNK) {
		CALL(bgp_recv(b, conn, gen + i, gen_len - i < CHUNK ? gen_len - i : CHUNK, now));
		drain();
	}
}

static void send(uint32_t conn, bool refresh)
{
	uint8_t buf[64];
	struct wr w;

	wr_init(&w, buf, sizeof(buf));
	if (refresh)
		bgp_refresh_encode(&w, BGP_IPV4, REFRESH_NORMAL);
	else
		bgp_eor_encode(&w, BGP_IPV4);
	CALL(bgp_recv(b, conn, buf, wr_len(&w), now));
}

static double began;

static void begin(void)
{
	longest = 0;
	began = cpu_secs();
}

static void done(const char *what)
{
	drain();
	printf("%-48s %8.1f ms, longest call %6.2f ms\n", what, (cpu_secs() - began) * 1e3,
		longest * 1e3);
}

int main(int argc, char **argv)
{
	unsigned routes = argc > 1 ? (unsigned)atoi(argv[1]) : 600000;
	struct bgp_cfg cfg = {.local_as = 65001, .router_id = 1, .seed = 1};
	uint32_t peer[4], conn[4];
	struct bgp_stats st;

	mallopt(M_MXFAST, 0); /* as router/bgp/bgpd.c does */
	feed_new(routes);
	feed_routes(routes);
	b = bgp_new(&cfg, now);
	if (!b)
		abort();
	for (unsigned i = 0; i < 4; i++) {
		peer[i] = add(i);
		drain();
	}
	for (unsigned i = 0; i < 3; i++)
		conn[i] = up(i);
	drain();
	begin();
	feed(conn[0]);
	done("all routes come");
	begin();
	conn[3] = up(3);
	done("a third peer hears all");
	begin();
	CALL(bgp_peer_repolicy(b, peer[0], &(struct bgp_policy){&ops, NULL}, NULL, now));
	done("import policy, the same verdicts");
	begin();
	CALL(bgp_peer_repolicy(b, peer[0], &(struct bgp_policy){NULL, NULL}, NULL, now));
	done("import policy, all rejected");
	begin();
	CALL(bgp_peer_repolicy(b, peer[0], &(struct bgp_policy){&ops, NULL}, NULL, now));
	done("import policy, all accepted again");
	begin();
	CALL(bgp_peer_repolicy(b, peer[1], NULL, &(struct bgp_policy){&ops, NULL}, now));
	done("export policy, the same");
	begin();
	CALL(bgp_nexthops_changed(b, 1, now));
	done("next hops changed");
	begin();
	CALL(bgp_peer_graceful_shutdown(b, peer[1], true, now));
	done("one of three drained");
	begin();
	send(conn[2], true);
	done("a refresh");
	begin();
	stuck = conn[3];
	send(conn[3], true);
	drain();
	CALL(bgp_closed(b, conn[3], now));
	done("a peer goes that takes nothing of all");
	begin();
	CALL(bgp_closed(b, conn[0], now));
	done("the source restarts (kept)");
	begin();
	conn[0] = up(0);
	feed(conn[0]);
	send(conn[0], false);
	done("it is back and has told all again");
	begin();
	CALL(bgp_closed(b, conn[0], now));
	conn[0] = up(0);
	send(conn[0], false);
	done("it restarts and tells nothing");
	begin();
	feed(conn[0]);
	done("all routes come again");
	begin();
	CALL(bgp_closed(b, conn[1], now));
	CALL(bgp_closed(b, conn[2], now));
	done("nobody hears any more");
	begin();
	CALL(bgp_peer_stop(b, peer[0], NULL, now));
	done("the source is shut down");
	bgp_stats(b, &st);
	bgp_free(b);
	free(gen);
	return st.nets + st.paths + st.out_entries ? 1 : 0;
}
