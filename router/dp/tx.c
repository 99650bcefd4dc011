/* tx.c - the way out: TUN queue -> split -> seal -> batches -> socket.
 *
 * In: one packet or super-packet per TUN read. It is parsed, checked against the mesh's own tunnel
 * (4.3), routed, split straight into the send buffer of its peer's batch, and sealed in place there.
 * Out: at the end of the round all batches leave, as few system calls as there can be.
 *
 * Order: packets of a peer are put only behind the latest batch of that peer, batches leave in the
 * order in which they were begun, and nothing overtakes a backlog. So the order of a flow is kept
 * (4.7) as long as a flow stays with one worker, which steering sees to (5.10).
 *
 * A peer without a key: its packets wait (hold.h), the control thread is told that a session is wanted,
 * and the first key that is used wakes the workers, which send what waits before anything newer.
 *
 * A way through a relay: the datagram, sealed for its end as always, gets a relay header in front, tagged
 * under the session with the first relay. What others send through us takes the same batches.
 *
 * Failure: a packet that can't go is dropped and counted by reason. What becomes of batches: txq.c. */
#include <assert.h>
#include <string.h>
#include "weft/be.h"
#include "weft/err.h"
#include "dp_int.h"
#include "ecn.h"
#include "gso.h"
#include "pkt.h"
#include "toobig.h"

void tx_drop(struct worker *w, struct dppeer *p, enum dp_drop why, uint64_t n)
{
	stat_add(&w->c.drops[why], n);
	if (p)
		stat_add(&dppeer_slots(p)[w->number].c.drops[why], n);
}

/* The session with a relay, under which a datagram's relay header stands. */
struct hop {
	struct dppeer *peer;
	struct dpkey *key;
	uint8_t lane;
};

/* Everything that packets of one batch have in common. */
struct flight {
	struct dppeer *peer;
	const struct peer_path *path; /* the peer's way */
	const struct peer_path *out;  /* the way of the first hop: the same, unless relayed */
	struct dpkey *key;
	uint8_t lane, tos, flags;
	enum peer_via via;
	bool side;
	uint16_t wrap; /* bytes of the relay header; 0: none */
	uint32_t room; /* the largest inner packet */
	struct hop hop;
};

/* The batch that a datagram of @bytes goes into, with @room for it. */
static struct batch *stage_for(struct worker *w, const struct flight *f, size_t bytes, size_t room)
{
	struct stage *s;
	struct batch *b;

	for (unsigned i = w->stages; i-- > 0;) {
		s = &w->stage[i];
		if (s->peer != f->peer)
			continue;
		if (s->path == f->path && s->out == f->out && s->lane == f->lane &&
			s->b->tos == f->tos && s->b->side == f->side &&
			batch_fits(s->b, bytes, room))
			return s->b;
		break; /* only the latest: nothing may overtake it */
	}
	b = txq_batch(w);
	b->peer = f->peer->handle;
	b->peer_uid = f->peer->uid;
	b->dest = f->out->dest;
	b->tos = f->tos;
	b->side = f->side;
	b->seg = (uint16_t)bytes;
	w->stage[w->stages++] = (struct stage){b, f->peer, f->path, f->out, f->lane};
	return b;
}

/* Header, shim and seal around the @len bytes that stand behind them already. */
static void seal(const struct flight *f, uint8_t *p, uint32_t vni, uint8_t inner_flags, size_t len,
	uint64_t counter)
{
	uint8_t nonce[12];

	p[0] = WIRE_TYPE_BYTE(WIRE_DATA);
	p[WIRE_OFF_FLAGS] = f->flags;
	p[WIRE_OFF_LANE] = f->lane;
	p[WIRE_OFF_RESERVED] = 0;
	be32_put(p + WIRE_OFF_INDEX, f->key->remote_index);
	be32_put(p + WIRE_OFF_COUNTER, (uint32_t)(counter >> 32));
	be32_put(p + WIRE_OFF_COUNTER + 4, (uint32_t)counter);
	be32_put(p + WIRE_DATA_HDR, vni << 8 | inner_flags);
	aead_data_nonce(nonce, f->lane, counter);
	len += WIRE_SHIM;
	aead_seal(f->key->tx, nonce, p, WIRE_DATA_HDR, p + WIRE_DATA_HDR, len, p + WIRE_DATA_HDR,
		p + WIRE_DATA_HDR + len);
}

/* The relay header @h, tagged, in front of the datagram that stands behind its place. */
static void wrap(const struct hop *hop, struct relay_hdr *h, uint8_t *p, uint64_t counter)
{
	size_t aad = relay_tag_off(h->n);
	uint8_t nonce[12];

	h->lane = hop->lane;
	h->index = hop->key->remote_index;
	h->counter = counter;
	relay_write(h, p);
	aead_data_nonce(nonce, h->lane, counter);
	aead_seal(hop->key->tx, nonce, p, aad, p + aad, 0, p + aad, p + aad);
}

/* As the origin of a relayed datagram. */
static void wrap_first(const struct flight *f, uint8_t *p, uint64_t counter)
{
	struct relay_hdr h = {.n = f->path->n, .left = f->path->n};

	memcpy(h.label, f->path->label, sizeof(h.label));
	wrap(&f->hop, &h, p, counter);
}

/* Put @bytes that stand at the batch's end into it. */
static void staged(struct batch *b, size_t bytes)
{
	b->len += bytes;
	b->segs++;
	b->closed = bytes < b->seg;
}

/* Split, seal and stage; the counters are reserved. */
static void stage_segments(struct worker *w, const struct flight *f, struct gso_iter *it,
	const struct pkt_info *pi, uint32_t vni, uint64_t counter)
{
	const size_t around = f->wrap + WIRE_DATA_OVERHEAD,
		     head = f->wrap + WIRE_DATA_HDR + WIRE_SHIM;
	uint32_t segs = it->segs, last = pi->len - (segs - 1) * it->payload;
	uint64_t hop_counter = f->wrap ? dpkey_counters(f->hop.key, f->hop.lane, segs) : 0;

	for (uint32_t i = 0; i < segs; i++) {
		size_t len = segs == 1 ? pi->len : i + 1 < segs ? it->seg_bytes : last, got;
		struct batch *b = stage_for(w, f, len + around, it->seg_bytes + around);
		uint8_t *p = b->buf + b->len, inner_flags;

		/* What gso_init announced is what must come out. */
		if (gso_next(it, p + head, BATCH_BYTES - b->len - head, &got, &inner_flags) <= 0 ||
			got != len) {
			tx_drop(w, f->peer, DP_DROP_BAD_PACKET, segs - i);
			return;
		}
		seal(f, p + f->wrap, vni, inner_flags, len, counter + i);
		if (f->wrap)
			wrap_first(f, p, hop_counter + i);
		staged(b, len + around);
	}
}

/* Half @number of the @len bytes in w->cut. */
static void stage_half(struct worker *w, const struct flight *f, unsigned number, size_t len,
	uint8_t inner_flags, uint32_t vni, uint64_t counter, uint64_t hop_counter)
{
	size_t first = (len + 1) / 2, n = number ? len - first : first;
	size_t bytes = f->wrap + WIRE_DATA_OVERHEAD + WIRE_HALF_HDR + n;
	struct batch *b = stage_for(w, f, bytes, bytes);
	uint8_t *p = b->buf + b->len, *body = p + f->wrap + WIRE_DATA_HDR + WIRE_SHIM;

	body[0] = (uint8_t)number;
	memcpy(body + WIRE_HALF_HDR, w->cut + (number ? first : 0), n);
	seal(f, p + f->wrap, vni, inner_flags | WIRE_IF_HALF, WIRE_HALF_HDR + n, counter);
	if (f->wrap)
		wrap_first(f, p, hop_counter);
	staged(b, bytes);
}

/* As stage_segments, each segment in two halves; two counters for each are reserved. */
static void stage_halves(struct worker *w, const struct flight *f, struct gso_iter *it,
	uint32_t vni, uint64_t counter)
{
	uint64_t hop = f->wrap ? dpkey_counters(f->hop.key, f->hop.lane, 2 * it->segs) : 0;
	uint8_t inner_flags;
	size_t len;

	for (uint32_t i = 0; i < it->segs; i++, counter += 2, hop += 2) {
		if (gso_next(it, w->cut, sizeof(w->cut), &len, &inner_flags) <= 0) {
			tx_drop(w, f->peer, DP_DROP_BAD_PACKET, it->segs - i);
			return;
		}
		stage_half(w, f, 0, len, inner_flags, vni, counter, hop);
		stage_half(w, f, 1, len, inner_flags, vni, counter + 1, hop + 1);
		stat_add(&w->c.tx_halves, 1);
		stat_add(&dppeer_slots(f->peer)[w->number].c.tx_halves, 1);
	}
}

/* DESIGN 4.3: a packet that is our own tunnel's, come back through the mesh. */
static bool is_loop(const struct dp *dp, const struct pkt_info *pi)
{
	uint32_t bits;

	if (pi->proto != PKT_UDP || !pi->ports)
		return false;
	bits = __atomic_load_n(&dp->ports[pi->dport / 32], __ATOMIC_RELAXED);
	if (!(bits >> (pi->dport % 32) & 1))
		return false;
	return (pi->family == IP_V4 ? lpm_lookup4(dp->endpoints, pi->dst)
				    : lpm_lookup6(dp->endpoints, pi->dst)) != NULL;
}

static bool is_multicast(const struct pkt_info *pi)
{
	return pi->family == IP_V4 ? (pi->dst[0] & 0xf0) == 0xe0 : pi->dst[0] == 0xff;
}

enum way {
	WAY_NONE, /* dropped, counted */
	WAY_WAIT, /* f->hop.peer (itself, or its relay) has no session yet */
	WAY_OPEN,
};

/* A key of @p's to send under, and where to; the latter NULL: none. False: not now. */
static bool find_hop(
	const struct worker *w, struct dppeer *p, struct hop *hop, const struct peer_path **out)
{
	*hop = (struct hop){.peer = p, .key = rcu_get(&p->key)};
	*out = rcu_get(&p->path);
	if (!hop->key || !*out || (*out)->n)
		return false;
	hop->lane = dpkey_lane(hop->key, w->number);
	return hop->lane != 0;
}

/* The rest of find_flight for a way through a relay. */
static enum way through_relay(struct worker *w, struct flight *f)
{
	struct dppeer *relay = dp_peer_of(w->dp, f->path->relay, f->path->relay_uid);

	if (!relay) {
		tx_drop(w, f->peer, DP_DROP_NO_SESSION, 1);
		return WAY_NONE;
	}
	if (!find_hop(w, relay, &f->hop, &f->out))
		return WAY_WAIT;
	f->wrap = (uint16_t)WIRE_RELAY_OVERHEAD(f->path->n);
	f->side = w->sock[TXQ_SIDE].fd >= 0 && peer_side(relay, w->number);
	f->via = PEER_RELAY;
	f->flags = 0;
	return WAY_OPEN;
}

/* Find the way of a packet. */
static enum way find_flight(
	struct worker *w, const struct segment *s, const struct pkt_info *pi, struct flight *f)
{
	struct dp *dp = w->dp;
	struct fib_route r = rx_route(dp, &w->route, s, pi->family, pi->dst);

	if (is_loop(dp, pi)) {
		tx_drop(w, NULL, DP_DROP_LOOP, 1);
		return WAY_NONE;
	}
	if (!fib_has_peer(r.kind)) {
		tx_drop(w, NULL,
			r.kind == DP_ROUTE_DROP ? DP_DROP_UNOWNED
			: is_multicast(pi)      ? DP_DROP_MULTICAST
						: DP_DROP_NO_ROUTE,
			1);
		return WAY_NONE;
	}
	f->peer = rcu_get(&dp->peer[r.peer]);
	f->path = f->peer ? rcu_get(&f->peer->path) : NULL;
	f->key = f->path ? rcu_get(&f->peer->key) : NULL;
	f->lane = f->key ? dpkey_lane(f->key, w->number) : 0;
	if (f->lane == 0) {
		f->hop.peer = f->peer;
		if (f->peer && !f->key)
			return WAY_WAIT;
		tx_drop(w, f->peer, DP_DROP_NO_SESSION, 1);
		return WAY_NONE;
	}
	f->tos = ecn_outer_tos(pi->tos, dp->cfg.dscp);
	if (f->path->n)
		return through_relay(w, f);
	f->out = f->path;
	f->wrap = 0;
	f->side = w->sock[TXQ_SIDE].fd >= 0 && peer_side(f->peer, w->number);
	f->via = f->side ? PEER_SIDE : PEER_MAIN;
	f->flags = f->side ? WIRE_F_SIDE_PORT : 0;
	return WAY_OPEN;
}

/* ---- packets that wait for a session ---- */

/* The control thread hears that something waits for @p, at most once per period. */
static void want_session(struct worker *w, struct dppeer *p)
{
	uint64_t last = __atomic_load_n(&p->want_ns, __ATOMIC_RELAXED), now = w->rx.now_ns;

	if (last && now - last < PEER_WANT_PERIOD_NS)
		return;
	if (__atomic_compare_exchange_n(
		    &p->want_ns, &last, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) &&
		!dp_tell(w->dp, NOTE_WANT, p->handle, NULL))
		__atomic_store_n(&p->want_ns, 0, __ATOMIC_RELAXED);
}

static void hold_packet(struct worker *w, const struct segment *s, const struct flight *f,
	const uint8_t *buf, size_t len)
{
	struct dppeer *p = f->peer;

	if (!hold_put(&w->hold, p->handle, p->uid, s->vni, buf, len, w->rx.now_ns))
		tx_drop(w, p, DP_DROP_NO_SESSION, 1);
	want_session(w, f->hop.peer);
}

void tx_held_dropped(void *ctx, uint32_t peer, uint64_t uid, unsigned n)
{
	struct worker *w = ctx;

	tx_drop(w, dp_peer_of(w->dp, peer, uid), DP_DROP_NO_SESSION, n);
}

static void tx_packet(struct worker *w, const struct segment *s, uint8_t *buf, size_t len);

static bool is_open(const struct worker *w, struct dppeer *p)
{
	const struct peer_path *path = rcu_get(&p->path);
	struct dppeer *relay;
	struct hop hop;

	if (!path || !rcu_get(&p->key))
		return false;
	if (!path->n)
		return true;
	relay = dp_peer_of(w->dp, path->relay, path->relay_uid);
	return relay && find_hop(w, relay, &hop, &path);
}

/* Send what waits for a peer, in order, until it is all gone or the peer has no key again. A packet
 * takes the whole way anew: its route may have changed. */
static void release(struct worker *w, struct hold_queue *q)
{
	bool gone = false;

	q->busy = true;
	while (!gone) {
		struct dppeer *p = dp_peer_of(w->dp, q->peer, q->peer_uid);
		struct segment *s = idx_get(&w->dp->segments, hold_oldest(q)->vni);

		if (p && !is_open(w, p))
			break;
		if (!p || !s)
			tx_drop(w, p, p ? DP_DROP_NO_ROUTE : DP_DROP_NO_SESSION, 1);
		else
			tx_packet(w, s, hold_bytes(q), hold_oldest(q)->len);
		gone = hold_pop(&w->hold, q);
	}
	if (!gone)
		q->busy = false;
}

/* Nothing may overtake what waits for @p. False: some still waits, as the key went meanwhile. */
static bool release_first(struct worker *w, const struct dppeer *p)
{
	struct hold_queue *q = hold_find(&w->hold, p->handle, p->uid);

	if (!q || w->releasing)
		return true;
	w->releasing = true;
	release(w, q);
	w->releasing = false;
	return !hold_find(&w->hold, p->handle, p->uid);
}

void tx_release(struct worker *w)
{
	w->releasing = true;
	/* From the end: a queue that is done is replaced by the last one. */
	for (unsigned i = w->hold.count; i-- > 0;)
		release(w, w->hold.queue[i]);
	w->releasing = false;
}

/* ---- one packet ---- */

/* Pay for @blocks under @k, of @segs datagrams for @p; tells the control thread when a limit is near or
 * reached. */
static bool pay(struct worker *w, struct dpkey *k, struct dppeer *p, uint32_t segs, uint64_t blocks)
{
	bool paid = dpkey_pay(k, w->number, blocks);

	if (!paid) {
		tx_drop(w, p, DP_DROP_KEY_LIMIT, segs);
		if (dpkey_tell(k, DPKEY_HARD) && !dp_tell(w->dp, NOTE_HARD, k->local_index, NULL))
			dpkey_untell(k, DPKEY_HARD);
	} else if (dpkey_past_soft(k) && dpkey_tell(k, DPKEY_SOFT) &&
		   !dp_tell(w->dp, NOTE_SOFT, k->local_index, NULL)) {
		dpkey_untell(k, DPKEY_SOFT);
	}
	return paid;
}

/* For @segs datagrams with bodies of up to @body bytes. */
static bool pay_all(struct worker *w, const struct flight *f, uint32_t segs, uint32_t body)
{
	if (!pay(w, f->key, f->peer, segs, segs * dpkey_blocks(body)))
		return false;
	return !f->wrap ||
	       pay(w, f->hop.key, f->peer, segs, segs * dpkey_blocks(relay_tag_off(f->path->n)));
}

/* The largest inner packet that the path takes. */
static uint32_t room_for(const struct flight *f)
{
	uint32_t pmtu = __atomic_load_n(&f->peer->pmtu, __ATOMIC_RELAXED);
	uint32_t around = f->out->overhead + f->wrap;
	uint32_t most = BATCH_BYTES - WIRE_DATA_OVERHEAD - f->wrap;

	if (pmtu <= around)
		return 0;
	return pmtu - around < most ? pmtu - around : most;
}

/* A packet that is too large for the path: may it go as two halves (5.14)? IPv6 may rely on 1280 bytes;
 * for all else the kernel answers too-big by the peer's route, and this is what slips through. */
static bool may_halve(const struct flight *f, const struct pkt_info *pi, const struct gso_iter *it)
{
	return pi->family == IP_V6 && it->seg_bytes <= WIRE_HALF_MAX &&
	       (it->seg_bytes + 1) / 2 + WIRE_HALF_HDR <= f->room;
}

/* Tell the sender: the kernel let the packet pass by an older route, or has none for this path. Kept out
 * of the way of packets that fit. */
static __attribute__((noinline)) void answer_too_big(struct worker *w, const struct segment *s,
	const struct flight *f, const struct pkt_info *pi)
{
	const uint64_t each = UINT64_C(1000000000) / LIM_TOOBIG_RATE, now = w->rx.now_ns;
	struct virtio_net_hdr vh = {.gso_type = VIRTIO_NET_HDR_GSO_NONE};
	uint64_t at = w->toobig_at_ns > now ? w->toobig_at_ns : now;
	uint8_t answer[TOOBIG_MAX];
	struct iovec iov[2] = {{&vh, sizeof(vh)}, {answer, 0}};

	/* A burst of a tenth of a second. */
	if (at - now > 100 * 1000 * 1000)
		return;
	iov[1].iov_len = toobig_make(pi, f->room, answer);
	if (iov[1].iov_len == 0)
		return;
	w->toobig_at_ns = at + each;
	if (tun_write(s->fd[w->number], iov, 2) == 0)
		stat_add(&w->c.toobig_told, 1);
}

static void count_packets(struct worker *w, const struct flight *f, const struct pkt_info *pi,
	const struct gso_iter *it)
{
	struct peer_worker *pw = &dppeer_slots(f->peer)[w->number];
	uint64_t bytes = pi->len + (uint64_t)(it->segs - 1) * it->hdr_len;

	stat_set(&pw->tx_ns[f->via], w->rx.now_ns);
	if (!peer_is_active(f->peer))
		dp_tell_active(w->dp, f->peer);
	stat_add(&pw->c.tx_packets, it->segs);
	stat_add(&pw->c.tx_bytes, bytes);
	stat_add(&w->c.tx_packets, it->segs);
	stat_add(&w->c.tx_bytes, bytes);
}

/* One packet or super-packet from the TUN, vnet header first. */
static void tx_packet(struct worker *w, const struct segment *s, uint8_t *buf, size_t len)
{
	struct virtio_net_hdr vh;
	struct pkt_info pi;
	struct gso_iter it;
	struct flight f;
	uint64_t counter;
	uint32_t datagrams, body;
	enum way way;
	bool halves;

	if (len < TUN_VNET_HDR || pkt_parse(&pi, buf + TUN_VNET_HDR, len - TUN_VNET_HDR) < 0) {
		tx_drop(w, NULL, DP_DROP_BAD_PACKET, 1);
		return;
	}
	way = find_flight(w, s, &pi, &f);
	if (way == WAY_WAIT)
		hold_packet(w, s, &f, buf, len);
	if (way != WAY_OPEN)
		return;
	if (w->hold.count && !release_first(w, f.peer)) {
		if (!f.wrap)
			f.hop.peer = f.peer;
		hold_packet(w, s, &f, buf, len);
		return;
	}
	memcpy(&vh, buf, sizeof(vh));
	if (gso_init(&it, &vh, &pi, w->dp->cfg.force.no_csum_partial ? 0 : GSO_PARTIAL_OK) < 0) {
		tx_drop(w, f.peer, DP_DROP_BAD_SEGMENT, 1);
		return;
	}
	f.room = room_for(&f);
	halves = it.seg_bytes > f.room;
	if (halves && !may_halve(&f, &pi, &it)) {
		tx_drop(w, f.peer, DP_DROP_TOO_BIG, it.segs);
		answer_too_big(w, s, &f, &pi);
		return;
	}
	datagrams = halves ? 2 * it.segs : it.segs;
	body = WIRE_SHIM + (halves ? WIRE_HALF_HDR + (it.seg_bytes + 1) / 2 : it.seg_bytes);
	if (!pay_all(w, &f, datagrams, body))
		return;
	count_packets(w, &f, &pi, &it);
	counter = dpkey_counters(f.key, f.lane, datagrams);
	if (halves)
		stage_halves(w, &f, &it, s->vni, counter);
	else
		stage_segments(w, &f, &it, &pi, s->vni, counter);
}

bool tx_relay(struct worker *w, struct dppeer *next, struct relay_hdr *h, const uint8_t *inner,
	size_t len, uint8_t tos)
{
	struct flight f = {.peer = next, .via = PEER_MAIN, .tos = tos};
	size_t head = WIRE_RELAY_OVERHEAD(h->n), bytes = head + len;
	struct batch *b;

	if (!find_hop(w, next, &f.hop, &f.out)) {
		tx_drop(w, next, DP_DROP_RELAY_NO_HOP, 1);
		return false;
	}
	/* out->overhead counts the header of data, which is inside. */
	if (bytes + f.out->overhead - WIRE_DATA_OVERHEAD >
			__atomic_load_n(&next->pmtu, __ATOMIC_RELAXED) ||
		bytes > BATCH_BYTES) {
		tx_drop(w, next, DP_DROP_TOO_BIG, 1);
		return false;
	}
	if (!pay(w, f.hop.key, next, 1, dpkey_blocks(relay_tag_off(h->n))))
		return false;
	f.path = f.out;
	f.lane = f.hop.lane;
	f.side = w->sock[TXQ_SIDE].fd >= 0 && peer_side(next, w->number);
	b = stage_for(w, &f, bytes, bytes);
	memcpy(b->buf + b->len + head, inner, len);
	wrap(&f.hop, h, b->buf + b->len, dpkey_counters(f.hop.key, f.hop.lane, 1));
	staged(b, bytes);
	stat_set(
		&dppeer_slots(next)[w->number].tx_ns[f.side ? PEER_SIDE : PEER_MAIN], w->rx.now_ns);
	if (!peer_is_active(next))
		dp_tell_active(w->dp, next);
	return true;
}

bool tx_turn(struct worker *w, const struct segment *s)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < TURN_PACKETS && bytes < TURN_BYTES; i++) {
		ssize_t n = tun_read(s->fd[w->number], w->tunbuf, TUN_READ_MAX);

		if (n <= 0)
			return n == 0;
		stat_add(&w->c.tun_reads, 1);
		tx_packet(w, s, w->tunbuf, (size_t)n);
		bytes += (size_t)n;
	}
	return true;
}
