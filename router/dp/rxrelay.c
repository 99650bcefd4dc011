/* rxrelay.c - relayed datagrams (DESIGN 5.2; the wire: weft/wire.h, RELAY).
 *
 * In: datagrams of type RELAY, from any socket. Each passes, cheapest first: header, receiver index,
 * lane, replay window, tag, replay window (marking), then the route: no node may be on it twice.
 * Out: with hops left, the datagram goes on to the next hop under the session with it, if we relay at
 * all and the sender is within its rate; with none left, what is inside is taken as if it had come in a
 * datagram of its own, but that it moves no endpoint and is answered the way it came.
 *
 * State: one word per sender, for its rate. Failure: each drop has a reason, counted for the sender too.
 * A relay can't read, change or make what is inside: that is sealed end to end. */
#include <string.h>
#include "weft/err.h"
#include "dp_int.h"

/* What a sender may be ahead of its rate: a burst of a tenth of a second. */
#define RELAY_BURST_NS (100 * 1000 * 1000)

/* May @bytes of @sender's be forwarded now? One word holds the time until which its rate is used up. */
static bool within_rate(const struct rx *rx, struct dppeer *sender, size_t bytes)
{
	uint64_t rate = rx->dp->cfg.relay_rate ? rx->dp->cfg.relay_rate : LIM_RELAY_RATE;
	uint64_t cost = bytes * UINT64_C(1000000000) / rate;
	uint64_t had = __atomic_load_n(&sender->relay_at_ns, __ATOMIC_RELAXED), at;

	do {
		at = had > rx->now_ns ? had : rx->now_ns;
		if (at - rx->now_ns > RELAY_BURST_NS)
			return false;
	} while (!__atomic_compare_exchange_n(
		&sender->relay_at_ns, &had, at + cost, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

static void forward(struct rx *rx, struct dppeer *sender, struct relay_hdr *h,
	const struct udp_in *in, const uint8_t *inner, size_t len)
{
	struct dp *dp = rx->dp;
	struct dppeer *next;
	bool sent;

	if (!dp->cfg.relay) {
		rx_drop(rx, sender, DP_DROP_RELAY_REFUSED, 1);
		return;
	}
	if (!within_rate(rx, sender, len)) {
		rx_drop(rx, sender, DP_DROP_RELAY_LIMITED, 1);
		return;
	}
	next = idx_get(&dp->labels, relay_turn(h, sender->label));
	if (!next) {
		rx_drop(rx, sender, DP_DROP_RELAY_NO_HOP, 1);
		return;
	}
	sent = rx->worker ? tx_relay(rx->worker, next, h, inner, len, in->tos)
			  : dpsend_relay(dp, next, h, inner, len, in->tos);
	if (!sent)
		return;
	stat_add(&rx->c->relay_forwarded, 1);
	stat_add(&rx->c->relay_bytes, len);
	stat_add(&dppeer_slots(sender)[rx->slot].c.relay_forwarded, 1);
	stat_add(&dppeer_slots(sender)[rx->slot].c.relay_bytes, len);
}

/* We are the end: look at what is inside. */
static void take_out(struct rx *rx, const struct dppeer *sender, const struct relay_hdr *h,
	const struct udp_in *in, uint8_t *inner, size_t len)
{
	struct dp_way back = {.first = sender->handle, .n = h->n};

	for (unsigned i = 0; i < h->n; i++)
		back.label[i] = h->label[h->n - 1 - i];
	rx->back = &back;
	rx_datagram(rx, in, inner, len);
	rx->back = NULL;
}

void rx_relay(struct rx *rx, const struct udp_in *in, uint8_t *buf, size_t len)
{
	struct relay_hdr h;
	struct dppeer *sender;
	struct dpkey *k;
	size_t head;
	bool newest;

	if (relay_parse(&h, buf, len) < 0) {
		rx_drop(rx, NULL, DP_DROP_MALFORMED, 1);
		return;
	}
	k = idx_get(&rx->dp->keys, h.index);
	if (!k || h.lane >= k->rx_lanes) {
		rx_drop(rx, k ? k->peer : NULL, k ? DP_DROP_BAD_LANE : DP_DROP_UNKNOWN_INDEX, 1);
		return;
	}
	sender = k->peer;
	if (!rx_open(rx, k, h.lane, h.counter, buf, relay_tag_off(h.n), 0, &newest))
		return;
	stat_set(&dppeer_slots(sender)[rx->slot].rx_ns[PEER_MAIN], rx->now_ns);
	stat_add(&dppeer_slots(sender)[rx->slot].c.rx_datagrams, 1);
	if (!peer_is_active(sender))
		dp_tell_active(rx->dp, sender);
	if (relay_loops(&h, rx->dp->cfg.label, __atomic_load_n(&sender->label, __ATOMIC_RELAXED))) {
		rx_drop(rx, sender, DP_DROP_RELAY_BAD, 1);
		return;
	}
	head = WIRE_RELAY_OVERHEAD(h.n);
	if (h.left > 0)
		forward(rx, sender, &h, in, buf + head, len - head);
	else
		take_out(rx, sender, &h, in, buf + head, len - head);
}
