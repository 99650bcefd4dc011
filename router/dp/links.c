/* links.c - what the control thread learns of traffic: when it came and went by which way, and counts.
 *
 * Workers stamp times and counters of their own, per peer (dppeer.h); this file reads them at the
 * control thread's pace. A peer enters dp->active when a worker finds it idle and tells so, and leaves
 * it here after a second without traffic, so that links in use can be looked at each 50 ms without a
 * look at the others. */
#include <string.h>
#include "weft/err.h"
#include "dp_int.h"

struct times {
	uint64_t rx, tx; /* ns; 0: never */
};

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static struct times times_of(const struct dppeer *p, enum peer_via v)
{
	struct times t = {0, 0};

	for (unsigned i = 0; p->counts && i < p->workers; i++) {
		t.rx = later(t.rx, stat_get(&p->w[i].rx_ns[v]));
		t.tx = later(t.tx, stat_get(&p->w[i].tx_ns[v]));
	}
	return t;
}

/* Of one pair of side ports: ours (worker via - 1 sent from it), and the peer's (lane via). */
static struct times times_of_side(const struct dppeer *p, unsigned via)
{
	struct times t = {0, 0};
	struct list *n, *next;

	if (p->counts && via < p->workers) /* the last slot is control's, which sends no data */
		t.tx = stat_get(&p->w[via - 1].tx_ns[PEER_SIDE]);
	list_each(&p->keys, n, next)
	{
		const struct dpkey *k = list_entry(n, struct dpkey, by_peer);

		if (via < k->rx_lanes)
			t.rx = later(t.rx, stat_get(&k->rx_lane[via].side_ns));
	}
	return t;
}

static uint64_t newest_of(const struct dppeer *p)
{
	uint64_t at = 0;

	for (enum peer_via v = PEER_MAIN; v < PEER_VIAS; v++) {
		struct times t = times_of(p, v);

		at = later(at, later(t.rx, t.tx));
	}
	return at;
}

struct teller {
	dp_link_fn fn;
	void *ctx;
	uint64_t since, any_rx;
};

static void tell(const struct teller *to, const struct dppeer *p, uint8_t via, struct times t)
{
	if (later(t.rx, t.tx) >= to->since)
		to->fn(to->ctx, &(struct dp_link){p->handle, via, {t.rx}, {t.tx}, {to->any_rx}});
}

/* The ways of @p that carried something lately. */
static void tell_links(struct teller *to, const struct dppeer *p)
{
	struct times main = times_of(p, PEER_MAIN), side = times_of(p, PEER_SIDE),
		     relay = times_of(p, PEER_RELAY);

	to->any_rx = later(main.rx, later(side.rx, relay.rx));
	tell(to, p, 0, main);
	tell(to, p, DP_VIA_RELAY, relay);
	/* Side ports are many, and mostly not in use. */
	if (later(side.rx, side.tx) < to->since)
		return;
	for (unsigned via = 1; via < LIM_LANES; via++)
		tell(to, p, (uint8_t)via, times_of_side(p, via));
}

unsigned dp_links(struct dp *dp, dp_link_fn fn, void *ctx)
{
	struct teller to = {.fn = fn, .ctx = ctx, .since = dp_now_ns() - PEER_IDLE_NS};
	unsigned count = 0;
	struct list *n, *next;

	list_each(&dp->active, n, next)
	{
		struct dppeer *p = list_entry(n, struct dppeer, by_active);

		if (newest_of(p) < to.since) {
			/* A worker that sends at this moment may see the flag still set: then the
			 * next packet says that the link is in use. */
			__atomic_store_n(&p->active, 0, __ATOMIC_SEQ_CST);
			list_del(&p->by_active);
			continue;
		}
		count++;
		tell_links(&to, p);
	}
	return count;
}

void dp_traffic(
	struct dp *dp, void (*fn)(void *ctx, uint32_t peer, ts_t last_rx, ts_t last_tx), void *ctx)
{
	for (unsigned h = 1; h < dp->peer_top; h++) {
		struct dppeer *p = dp->peer[h];
		uint64_t rx = 0, tx = 0;

		if (!p || !p->counts)
			continue;
		for (enum peer_via v = PEER_MAIN; v < PEER_VIAS; v++) {
			struct times t = times_of(p, v);

			rx = later(rx, t.rx);
			tx = later(tx, t.tx);
		}
		if (rx == p->told_rx_ns && tx == p->told_tx_ns)
			continue;
		p->told_rx_ns = rx;
		p->told_tx_ns = tx;
		fn(ctx, h, (ts_t){rx}, (ts_t){tx});
	}
}

/* ---- counters ---- */

void dp_counters(const struct dp *dp, struct dp_counters *out)
{
	memset(out, 0, sizeof(*out));
	stats_sum(out, &dp->c);
	for (unsigned i = 0; i < dp->worker_count; i++)
		stats_sum(out, &dp->worker[i]->c);
	for (unsigned i = 0; i < LIM_SEGMENTS; i++) {
		const struct segment *s = dp->segment[i];
		uint64_t now = s ? tun_kernel_drops(s->ifname) : 0;

		if (s && now > s->drops_before)
			out->drops[DP_DROP_KERNEL_TUN] += now - s->drops_before;
	}
}

int dp_peer_counters(const struct dp *dp, uint32_t peer, struct dp_counters *out)
{
	const struct dppeer *p = dp_peer_get(dp, peer);

	if (!p)
		return ERR_NOT_FOUND;
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; p->counts && i < p->workers; i++)
		stats_sum(out, &p->w[i].c);
	return 0;
}

void dp_offloads(const struct dp *dp, struct dp_offloads *out)
{
	*out = dp->offloads;
}
