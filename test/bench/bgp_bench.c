/* Routes from one peer through decision to another peer's Adj-RIB-Out, in one process and thread:
 * nanoseconds of CPU time and bytes of memory per route. The generator makes its UPDATEs before the clock starts:
 * a distinct attribute set for each 5 to 8 prefixes, AS paths of 3 to 6. Then a sixth of them is withdrawn, as
 * many to a message as a router packs, in one go or (LOOPS) withdrawn and announced again so often.
 * Usage: bgp_bench [ROUTES] [LOOPS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bgp_feed.h"

#define CHUNK 16384 /* as the daemon reads */

static struct bgp *b;
static uint64_t out_bytes, out_routes, told;
static const ts_t now = {1};

static double rss_mb(void)
{
	unsigned long size, rss = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%lu %lu", &size, &rss) != 2)
		rss = 0;
	if (f)
		fclose(f);
	return (double)rss * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* Count the prefixes announced in what goes out. */
static void count(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 23 <= len; i += (size_t)(p[i + 16] << 8 | p[i + 17])) {
		size_t size = (size_t)(p[i + 16] << 8 | p[i + 17]);
		size_t attrs = (size_t)(p[i + 21] << 8 | p[i + 22]);

		if (p[i + 18] == MSG_UPDATE && attrs)
			out_routes += (size - 23 - attrs) / 4;
	}
}

static void drain(uint32_t *dialled)
{
	struct bgp_act a;

	while (bgp_next(b, &a)) {
		if (a.type == BGP_CONNECT)
			*dialled = a.conn;
		told += a.type == BGP_ROUTE;
		if (a.type != BGP_SEND)
			continue;
		out_bytes += a.len;
		count(a.buf, a.len);
		bgp_written(b, a.conn, a.len, now);
	}
}

static enum bgp_verdict accept_all(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	return BGP_ACCEPT;
}
static const struct bgp_policy_ops ops = {accept_all};

static uint32_t session(uint32_t addr, uint32_t as)
{
	struct bgp_peer_cfg pc = {.vni = 1,
		.remote_as = as,
		.families = 1,
		.import = {&ops, NULL},
		.export = {&ops, NULL}};
	struct bgp_caps caps = {.families = 1, .as4 = true, .as = as};
	struct bgp_open o = {.as = as, .hold_secs = 90, .id = addr};
	struct ip local = ip_v4(0x0a000001);
	uint32_t peer, conn = 0;
	uint8_t buf[256], cb[32];
	struct wr w, cw;

	pc.remote.ip = ip_v4(addr);
	if (bgp_peer_add(b, &pc, now, &peer) < 0)
		abort();
	drain(&conn);
	bgp_connected(b, conn, &local, now);
	wr_init(&w, buf, sizeof(buf));
	wr_init(&cw, cb, sizeof(cb));
	bgp_caps_encode(&cw, &caps);
	bgp_open_encode(&w, &o, cb, wr_len(&cw));
	bgp_keepalive_encode(&w);
	bgp_recv(b, conn, buf, wr_len(&w), now);
	drain(&conn);
	return conn;
}

/* What was generated, from @conn, and all that follows from it. */
static double feed(uint32_t conn)
{
	uint32_t unused = 0;
	double t = cpu_secs();

	for (size_t i = 0; i < gen_len; i += CHUNK) {
		bgp_recv(b, conn, gen + i, gen_len - i < CHUNK ? gen_len - i : CHUNK, now);
		drain(&unused);
	}
	return cpu_secs() - t;
}

int main(int argc, char **argv)
{
	unsigned routes = argc > 1 ? (unsigned)atoi(argv[1]) : 500000, some = routes / 6;
	unsigned loops = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
	struct bgp_cfg cfg = {.local_as = 65001, .router_id = 1, .seed = 1};
	uint32_t from, unused = 0;
	struct bgp_stats st;
	double t, before, gone = 0;
	bool whole;

	if (routes < 6)
		abort();
	feed_new(routes);
	feed_routes(routes);
	b = bgp_new(&cfg, now);
	if (!b)
		abort();
	from = session(0x0a000002, 65002);
	session(0x0a000003, 65003);
	before = rss_mb();
	out_bytes = 0;
	t = feed(from);
	bgp_stats(b, &st);
	printf("routes %u in %.3f s, %.0f ns per route; announced %llu in %llu bytes, told %llu\n",
		routes, t, t / routes * 1e9, (unsigned long long)out_routes,
		(unsigned long long)out_bytes, (unsigned long long)told);
	printf("tables %.1f MB, %.0f bytes per route; RSS grew by %.1f MB; %llu attribute sets\n",
		(double)st.bytes / 1e6, (double)st.bytes / routes, rss_mb() - before,
		(unsigned long long)st.attr_sets);
	whole = out_routes == routes;
	for (unsigned i = 0; i < loops; i++) {
		if (i > 0) {
			feed_routes(some);
			feed(from);
		}
		feed_withdrawals(some);
		gone += feed(from);
	}
	printf("withdrawn %u: %.0f ns per route\n", some, gone / loops / some * 1e9);
	t = cpu_secs();
	bgp_closed(b, from, now);
	drain(&unused);
	t = cpu_secs() - t;
	printf("the other %u with the session in %.3f s, %.0f ns per route\n", routes - some, t,
		t / (routes - some) * 1e9);
	bgp_free(b);
	free(gen);
	return whole ? 0 : 1;
}
