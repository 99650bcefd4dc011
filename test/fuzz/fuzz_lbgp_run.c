/* A gateway between two linked clusters, driven by the input: sessions that come and go, routes made of a
 * few prefixes, paths and marks, raw UPDATEs, policies and links that change, routes that are offered,
 * to links or nodes, aggregates, time.
 * A step is a byte of kind and peer, and what that kind reads. Checked besides what sanitizers see: nobody
 * is believed about our ranges, a default route or the underlay, nor about another linked cluster's range
 * unless he passes it on as it is; whoever leads somewhere may speak for it; nothing is told back to the
 * cluster that it came through. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "weft/wire.h"
#include "bgp_cap.h"
#include "bgp_msg.h"
#include "key.h"
#include "lbgp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EAST, WEST, NODE, PEERS, MID = 2 };

static uint32_t asns[] = {200, 300, 0};     /* nodes' is made of the cluster's id */
static const uint8_t nets[] = {32, 48, 16}; /* 10.N.0.0/16 */

static struct lbgp *l;
static struct bgp *core;
static struct lbgp_link links[2];
static struct link_cluster clusters[3]; /* ours is the last */
static struct node_key keys[4];         /* so is ours */
static struct ip addr[PEERS], own;
static uint32_t conn[PEERS];
static bool linked[2], everything[2][2], to_nodes;
static enum lbgp_way ways[PEERS];
static ts_t now;

#define check(ok) check_at(ok, __LINE__)
static void check_at(bool ok, int line)
{
	if (ok)
		return;
	fprintf(stderr, "line %d does not hold\n", line);
	abort();
}

/* --- the driver --- */

/* What was told last, of each prefix. */
static struct told {
	struct pfx pfx;
	int from;
	bool exit, offered, last;
	uint8_t to, through; /* links */
} told[1056];
static size_t ntold;

static int open_core(void *ctx, const struct bgp_cfg *cfg, bool listens, struct bgp **out)
{
	(void)ctx;
	(void)listens;
	*out = core = bgp_new(cfg, now);
	return core ? 0 : ERR_NOMEM;
}

static void close_core(void *ctx)
{
	(void)ctx;
	bgp_free(core);
	core = NULL;
	for (size_t i = 0; i < ntold; i++)
		if (told[i].offered)
			told[i].to =
				0; /* an exit of the speaker's ends with it, in the driver, too */
}

static int peer_add(void *ctx, const struct bgp_peer_cfg *cfg, uint32_t *peer)
{
	(void)ctx;
	return bgp_peer_add(core, cfg, now, peer);
}

/* As the driver does: parting with somebody is heard of before the speaker goes. */
static void run_core(void)
{
	struct bgp_act a;

	while (core && bgp_next(core, &a)) {
		if (a.type == BGP_SEND)
			bgp_written(core, a.conn, a.len, now);
		else if (a.type == BGP_ROUTE)
			lbgp_route(l, &a);
	}
}

static void peer_del(void *ctx, uint32_t peer)
{
	(void)ctx;
	(void)bgp_peer_del(core, peer, now);
	run_core();
}

static bool underlay(void *ctx, const struct pfx *p)
{
	struct ip here = ip_v4(0xc0000201);

	(void)ctx;
	return pfx_has_ip(p, &here);
}

static enum lbgp_way way(void *ctx, const struct node_key *key)
{
	(void)ctx;
	for (int i = 0; i < PEERS; i++)
		if (node_key_eq(key, &keys[i]))
			return ways[i];
	return LBGP_WORKS;
}

static void keep(const struct lbgp_route *r, int from)
{
	size_t i = 0;

	while (i < ntold && !pfx_eq(&told[i].pfx, &r->pfx))
		i++;
	if (i == sizeof(told) / sizeof(told[0]))
		return;
	ntold += i == ntold;
	told[i] = (struct told){.pfx = r->pfx,
		.from = from,
		.exit = r->exit,
		.offered = r->offered,
		.last = r->attrs && lbgp_is_last(r->attrs),
		.to = r->to};
	for (int k = 0; r->attrs && k < 2; k++)
		told[i].through |= bgp_attrs_path_has(r->attrs, asns[k]) ? links[k].bit : 0;
}

static bool hears(int k)
{
	uint32_t peer = lbgp_peer(l, &keys[k]);
	struct bgp_peer_info i;

	return peer && bgp_peer_get(core, peer, &i) == 0 && i.state == BGP_ESTABLISHED;
}

/* What holds once all is judged, which the core does in portions. */
static void check_told(void)
{
	for (size_t i = 0; i < ntold; i++) {
		const struct told *t = &told[i];

		check(t->from < 0 || !lbgp_held(l, &keys[t->from]) || t->last);
		for (int k = 0; k < 2; k++) {
			if (!(t->to & links[k].bit) || !hears(k))
				continue; /* it is told anew with its session */
			check(t->from < 0 || !(t->through & links[k].bit));
			check(!t->exit || (t->offered && links[k].outside && t->pfx.len > 0));
		}
	}
}

static void on_route(void *ctx, const struct lbgp_route *r)
{
	int from = -1;

	(void)ctx;
	for (int i = 0; r->gateway && i < PEERS; i++)
		if (node_key_eq(r->gateway, &keys[i]))
			from = i;
	check(!r->gateway || (from >= 0 && r->attrs && !r->offered));
	check(!r->offered || (r->exit && !pfx_contains(&clusters[MID].ranges[0], &r->pfx)));
	keep(r, from);
	if (from < 0)
		return;
	check(!(r->to & LBGP_OURS));
	if (r->exit) {
		check(from == NODE && !pfx_contains(&clusters[MID].ranges[0], &r->pfx));
	} else {
		check(r->pfx.len > 0 && !underlay(NULL, &r->pfx));
		check(!pfx_overlaps(&r->pfx, &clusters[MID].ranges[0]));
	}
	check(r->from & (from == NODE ? LBGP_OURS : links[from].bit));
	for (int i = 0; from < 2 && i < 2; i++)
		if (linked[i] && pfx_overlaps(&r->pfx, &clusters[i].ranges[0])) {
			check(bgp_attrs_origin_as(r->attrs) == asns[i] && !r->outside);
			check(i == from || pfx_eq(&r->pfx, &clusters[i].ranges[0]));
		}
}

static void drain(void)
{
	run_core();
	lbgp_flush(l);
	check_told();
}

static void round_of(unsigned what)
{
	lbgp_round(l);
	for (int i = 0; i < 2; i++)
		if (linked[i])
			lbgp_want(l, &keys[i], &links[i], false);
	lbgp_want(l, &keys[NODE], NULL, what & 1);
	(void)lbgp_sync(l, &clusters[MID], what & 2 || !(what & 4), true, now);
	drain();
}

/* --- what peers say --- */

static void message(int k, unsigned type, const uint8_t *body, size_t n)
{
	uint8_t msg[BGP_HDR_LEN + 512];
	struct wr w;
	uint8_t *at;

	wr_init(&w, msg, sizeof(msg));
	at = bgp_msg_begin(&w, type);
	wr_copy(&w, body, n);
	bgp_msg_end(&w, at);
	if (core)
		bgp_recv(core, conn[k], msg, wr_len(&w), now);
	drain();
}

static void establish(int k)
{
	struct bgp_caps c = {
		.families = BGP_FAM(BGP_VPNV4) | BGP_FAM(BGP_VPNV6), .as4 = true, .as = asns[k]};
	struct bgp_open o = {.as = asns[k], .hold_secs = 90, .id = 0x0a000002u + (uint32_t)k};
	uint8_t caps[256], msg[512];
	struct wr w, cw;

	if (!core || bgp_accepted(core, VNI_CONTROL, &addr[k], &own, now, &conn[k]) != 0)
		return;
	wr_init(&cw, caps, sizeof(caps));
	bgp_caps_encode(&cw, &c);
	wr_init(&w, msg, sizeof(msg));
	bgp_open_encode(&w, &o, caps, wr_len(&cw));
	bgp_recv(core, conn[k], msg, wr_len(&w), now);
	drain();
	message(k, 4, NULL, 0); /* KEEPALIVE */
}

static struct pfx prefix(struct rd *r)
{
	static const uint8_t firsts[][2] = {
		{10, 16}, {10, 32}, {10, 48}, {10, 64}, {192, 0}, {198, 51}, {0, 0}, {10, 0}};
	const uint8_t *f = firsts[rd_u8(r) % 8];
	uint8_t b[16] = {f[0], f[1], rd_u8(r) & 3};
	struct ip ip = ip_v4_bytes(b);
	struct pfx p;

	(void)pfx_make(&ip, rd_u8(r) % 33, &p);
	return p;
}

/* MP_REACH_NLRI (RFC 4760 3) of one VPN route, or MP_UNREACH_NLRI. */
static void update(int k, struct rd *r, bool gone)
{
	uint8_t what = rd_u8(r), body[256], ext[24] = {2, 2, 0, 0, 0, 9, 0, 1, 0x8f, 0x57};
	struct pfx p = prefix(r);
	uint8_t bytes = (uint8_t)((p.len + 7) / 8), hops = what & 3, ebgp = k != NODE;
	struct wr w, in;
	uint8_t nlri[64];

	wr_init(&in, nlri, sizeof(nlri));
	wr_u16(&in, 1);
	wr_u8(&in, 128);
	if (!gone) {
		wr_u8(&in, 12);
		wr_copy(&in, (const uint8_t[8]){0}, 8);
		wr_copy(&in, (const uint8_t[]){192, 0, 0, 8}, 4);
		wr_u8(&in, 0);
	}
	wr_u8(&in, (uint8_t)(88 + p.len));
	wr_copy(&in, (const uint8_t[]){0, 0, 0x31, 0, 2, 0, 0, 0, what & 4 ? 7 : 0, 0, 1}, 11);
	wr_copy(&in, p.ip.b, bytes);
	wr_init(&w, body, sizeof(body));
	wr_u16(&w, 0);
	wr_u16(&w, (uint16_t)(3 + wr_len(&in) +
			      (gone ? 0 : 4 + 3 + 2 + 4u * (hops + ebgp) + (ebgp ? 0 : 7) + 27)));
	wr_copy(&w, (const uint8_t[]){0x80, gone ? 15 : 14, (uint8_t)wr_len(&in)}, 3);
	wr_copy(&w, nlri, wr_len(&in));
	if (!gone) {
		wr_copy(&w, (const uint8_t[]){0x40, 1, 1, 0}, 4);
		wr_copy(&w,
			(const uint8_t[]){0x40, 2, (uint8_t)(2 + 4 * (hops + ebgp)), 2,
				(uint8_t)(hops + ebgp)},
			5);
		if (ebgp)
			wr_u32(&w, asns[k]);
		for (unsigned i = 0; i < hops; i++)
			wr_u32(&w, 100 * (1 + rd_u8(r) % 4u));
		if (!ebgp)
			wr_copy(&w, (const uint8_t[]){0x40, 5, 4, 0, 0, 0, 100}, 7);
		wr_copy(&w, (const uint8_t[]){0xc0, 16, 24}, 3);
		if (!(what & 8))
			memset(ext + 8, 0, 8);
		if (what & 16)
			ext[7] = 2; /* another segment's */
		if (what & 32) {
			ext[16] = 0x8f;
			ext[17] = 0x59;
			ext[23] = what >> 6 & 3;
		}
		wr_copy(&w, ext, 24);
	}
	message(k, 2, body, wr_len(&w));
}

static enum bgp_verdict take(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	(void)ctx;
	if (r->nlri->pfx.len % 2)
		(void)bgp_edit_clear(e, BGP_LIST_EXT);
	return BGP_ACCEPT;
}
static const struct bgp_policy_ops take_ops = {take};

/* --- steps --- */

static void relink(unsigned what)
{
	int i = what & 1;

	if (linked[i])
		lbgp_link_del(l, &links[i], now);
	else
		check(lbgp_link_add(l, &links[i], now) == 0);
	linked[i] = !linked[i];
	drain();
}

static void offer(struct rd *r)
{
	static const uint8_t path[] = {2, 1, 0, 0, 0xfd, 0xe7};
	struct bgp_attrs a = {.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH, .as_path = {path, 6}};
	uint8_t what = rd_u8(r);
	struct pfx p = prefix(r);

	if (what & 4)
		(void)lbgp_offer_aggregate(l, &p, what & 1, now);
	else
		(void)lbgp_offer(l, &p, what & 1 ? &a : NULL, what & 2 && p.len > 0, now);
	drain();
}

static void policy(unsigned what)
{
	int i = what & 1;

	everything[i][what >> 1 & 1] ^= true;
	links[i].import.ops = everything[i][0] ? &take_ops : NULL;
	links[i].export.ops = everything[i][1] ? &take_ops : NULL;
	links[i].outside = what & 4;
	to_nodes ^= what >> 3 & 1;
	lbgp_nodes(l, &(struct bgp_policy){.ops = to_nodes ? &take_ops : NULL});
	lbgp_judge(l, now);
	drain();
}

static void step(struct rd *r)
{
	uint8_t what = rd_u8(r);
	int k = (what >> 4) % PEERS;
	const uint8_t *raw;
	size_t n;

	switch (what & 15) {
	case 0:
		if (core)
			bgp_closed(core, conn[k], now);
		establish(k);
		break;
	case 1:
		policy(rd_u8(r));
		break;
	case 2:
		relink(rd_u8(r));
		break;
	case 3:
		offer(r);
		break;
	case 4:
		round_of(rd_u8(r));
		break;
	case 5:
		update(k, r, true);
		break;
	case 6:
		n = rd_u8(r);
		n = n < rd_left(r) ? n : rd_left(r);
		raw = rd_take(r, n);
		message(k, 2, raw, raw ? n : 0);
		break;
	case 7:
		now = ts_add(now, DUR_MS(100 * rd_u8(r)));
		if (core)
			bgp_tick(core, now);
		drain();
		break;
	case 8:
		ways[k] = (enum lbgp_way)(rd_u8(r) % 3);
		round_of(3);
		break;
	default:
		update(k, r, false);
	}
}

static void begin(void)
{
	static const struct lbgp_ops ops = {
		open_core, close_core, peer_add, peer_del, way, on_route, underlay};
	struct lbgp_cfg cfg = {.ops = &ops};

	now = (ts_t){1000000000};
	core = NULL;
	memset(clusters, 0, sizeof(clusters));
	memset(links, 0, sizeof(links));
	memset(everything, 0, sizeof(everything));
	to_nodes = false;
	ntold = 0;
	memset(conn, 0, sizeof(conn));
	memset(ways, 0, sizeof(ways));
	for (int i = 0; i < 3; i++) {
		struct ip net = ip_v4(0x0a000000u + ((uint32_t)nets[i] << 16));

		clusters[i].asn = i == MID ? 100 : asns[i];
		clusters[i].nranges = 1;
		(void)pfx_make(&net, 16, &clusters[i].ranges[0]);
		memset(clusters[i].id.b, i + 1, sizeof(clusters[i].id.b));
	}
	for (int i = 0; i < 4; i++) {
		memset(keys[i].b, 0x10 + i, sizeof(keys[i].b));
		key_control_addr(
			&clusters[i < 2 ? i : MID].id, &keys[i], i < PEERS ? &addr[i] : &own);
	}
	asns[NODE] = link_asn_of(&clusters[MID].id);
	cfg.cluster = clusters[MID].id;
	cfg.key = keys[PEERS];
	l = lbgp_new(&cfg);
	check(l != NULL);
	for (int i = 0; i < 2; i++) {
		links[i] = (struct lbgp_link){.remote = &clusters[i], .bit = (uint8_t)(2u << i)};
		linked[i] = false;
		relink((unsigned)i);
	}
	round_of(3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r;

	begin();
	for (int k = 0; k < PEERS; k++)
		establish(k);
	rd_init(&r, data, size);
	for (unsigned n = 0; rd_left(&r) > 0 && n < 300; n++)
		step(&r);
	lbgp_stop(l);
	lbgp_free(l);
	return 0;
}
