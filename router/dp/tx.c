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
 * Failure: a packet that can't go is dropped and counted by reason. What becomes of batches: txq.c. */
#include <assert.h>
#include <string.h>
#include "weft/err.h"
#include "dp_int.h"
#include "ecn.h"
#include "gso.h"
#include "pkt.h"

void tx_drop(struct worker *w, struct dppeer *p, enum dp_drop why, uint64_t n)
{
	stat_add(&w->c.drops[why], n);
	if (p)
		stat_add(&p->w[w->number].c.drops[why], n);
}

/* Everything that packets of one batch have in common. */
struct flight {
	struct dppeer *peer;
	const struct peer_path *path;
	struct dpkey *key;
	uint8_t lane, tos, flags;
	bool side;
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
		if (s->path == f->path && s->lane == f->lane && s->b->tos == f->tos &&
			s->b->side == f->side && batch_fits(s->b, bytes, room))
			return s->b;
		break; /* only the latest: nothing may overtake it */
	}
	b = txq_batch(w);
	b->peer = f->peer->handle;
	b->peer_uid = f->peer->uid;
	b->dest = f->path->dest;
	b->tos = f->tos;
	b->side = f->side;
	b->seg = (uint16_t)bytes;
	w->stage[w->stages++] = (struct stage){b, f->peer, f->path, f->lane};
	return b;
}

static void put_u32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
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
	put_u32(p + WIRE_OFF_INDEX, f->key->remote_index);
	put_u32(p + WIRE_OFF_COUNTER, (uint32_t)(counter >> 32));
	put_u32(p + WIRE_OFF_COUNTER + 4, (uint32_t)counter);
	put_u32(p + WIRE_DATA_HDR, vni << 8 | inner_flags);
	aead_data_nonce(nonce, f->lane, counter);
	len += WIRE_SHIM;
	aead_seal(f->key->tx, nonce, p, WIRE_DATA_HDR, p + WIRE_DATA_HDR, len, p + WIRE_DATA_HDR,
		p + WIRE_DATA_HDR + len);
}

/* Split, seal and stage; the counters are reserved. */
static void stage_segments(struct worker *w, const struct flight *f, struct gso_iter *it,
	const struct pkt_info *pi, uint32_t vni, uint64_t counter)
{
	const size_t head = WIRE_DATA_HDR + WIRE_SHIM;
	uint32_t segs = it->segs, last = pi->len - (segs - 1) * it->payload;

	for (uint32_t i = 0; i < segs; i++) {
		size_t len = segs == 1 ? pi->len : i + 1 < segs ? it->seg_bytes : last, got;
		struct batch *b = stage_for(
			w, f, len + WIRE_DATA_OVERHEAD, it->seg_bytes + WIRE_DATA_OVERHEAD);
		uint8_t *p = b->buf + b->len, inner_flags;

		/* What gso_init announced is what must come out. */
		if (gso_next(it, p + head, BATCH_BYTES - b->len - head, &got, &inner_flags) <= 0 ||
			got != len) {
			tx_drop(w, f->peer, DP_DROP_BAD_PACKET, segs - i);
			return;
		}
		seal(f, p, vni, inner_flags, len, counter + i);
		b->len += len + WIRE_DATA_OVERHEAD;
		b->segs++;
		b->closed = len + WIRE_DATA_OVERHEAD < b->seg;
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

/* Find the way of a packet. False: dropped, counted. */
static bool find_flight(
	struct worker *w, const struct segment *s, const struct pkt_info *pi, struct flight *f)
{
	struct dp *dp = w->dp;
	struct fib_route r = rx_route(dp, &w->route, s, pi->family, pi->dst);

	if (is_loop(dp, pi)) {
		tx_drop(w, NULL, DP_DROP_LOOP, 1);
		return false;
	}
	if (r.kind != DP_ROUTE_PEER) {
		tx_drop(w, NULL,
			r.kind == DP_ROUTE_DROP ? DP_DROP_UNOWNED
			: is_multicast(pi)      ? DP_DROP_MULTICAST
						: DP_DROP_NO_ROUTE,
			1);
		return false;
	}
	f->peer = rcu_get(&dp->peer[r.peer]);
	f->path = f->peer ? rcu_get(&f->peer->path) : NULL;
	f->key = f->path ? rcu_get(&f->peer->key) : NULL;
	f->lane = f->key ? dpkey_lane(f->key, w->number) : 0;
	if (f->lane == 0) {
		tx_drop(w, f->peer, DP_DROP_NO_SESSION, 1);
		return false;
	}
	f->side = w->sock[TXQ_SIDE].fd >= 0 && peer_side(f->peer, w->number);
	f->flags = f->side ? WIRE_F_SIDE_PORT : 0;
	f->tos = ecn_outer_tos(pi->tos, dp->cfg.dscp);
	return true;
}

/* Pay for sealing; tells the control thread when a limit is near or reached. */
static bool pay(struct worker *w, const struct flight *f, uint32_t segs, uint32_t seg_bytes)
{
	struct dpkey *k = f->key;
	uint64_t blocks = segs * dpkey_blocks(WIRE_SHIM + (uint64_t)seg_bytes);
	bool paid = dpkey_pay(k, w->number, blocks);

	if (!paid) {
		tx_drop(w, f->peer, DP_DROP_KEY_LIMIT, segs);
		if (dpkey_tell(k, DPKEY_HARD) && !dp_tell(w->dp, NOTE_HARD, k->local_index, NULL))
			dpkey_untell(k, DPKEY_HARD);
	} else if (dpkey_past_soft(k) && dpkey_tell(k, DPKEY_SOFT) &&
		   !dp_tell(w->dp, NOTE_SOFT, k->local_index, NULL)) {
		dpkey_untell(k, DPKEY_SOFT);
	}
	return paid;
}

/* One packet or super-packet from the TUN, vnet header first. */
static void tx_packet(struct worker *w, const struct segment *s, uint8_t *buf, size_t len)
{
	struct virtio_net_hdr vh;
	struct pkt_info pi;
	struct gso_iter it;
	struct flight f;
	struct peer_worker *pw;
	uint64_t bytes;

	if (len < TUN_VNET_HDR || pkt_parse(&pi, buf + TUN_VNET_HDR, len - TUN_VNET_HDR) < 0) {
		tx_drop(w, NULL, DP_DROP_BAD_PACKET, 1);
		return;
	}
	if (!find_flight(w, s, &pi, &f))
		return;
	memcpy(&vh, buf, sizeof(vh));
	if (gso_init(&it, &vh, &pi, w->dp->cfg.force.no_csum_partial ? 0 : GSO_PARTIAL_OK) < 0) {
		tx_drop(w, f.peer, DP_DROP_BAD_SEGMENT, 1);
		return;
	}
	/* The kernel answers too-big by the peer's route (5.14); this is for what slips through. */
	if (it.seg_bytes + f.path->overhead > __atomic_load_n(&f.peer->pmtu, __ATOMIC_RELAXED) ||
		it.seg_bytes + WIRE_DATA_OVERHEAD > BATCH_BYTES) {
		tx_drop(w, f.peer, DP_DROP_TOO_BIG, it.segs);
		return;
	}
	if (!pay(w, &f, it.segs, it.seg_bytes))
		return;
	pw = &f.peer->w[w->number];
	bytes = pi.len + (uint64_t)(it.segs - 1) * it.hdr_len;
	stat_set(&pw->last_tx_ns, w->rx.now_ns);
	stat_add(&pw->c.tx_packets, it.segs);
	stat_add(&pw->c.tx_bytes, bytes);
	stat_add(&w->c.tx_packets, it.segs);
	stat_add(&w->c.tx_bytes, bytes);
	stage_segments(w, &f, &it, &pi, s->vni, dpkey_counters(f.key, f.lane, it.segs));
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
