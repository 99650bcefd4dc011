/* rx.c - the way in: socket -> cut -> open in place -> checks -> coalesce -> TUN queue.
 *
 * In: messages of up to 64 KiB, cut by the segment size that came with them. Each datagram passes, in
 * this order, what is cheapest first: header, receiver index, lane, replay window (without marking),
 * tag, replay window (marking), shim, inner parse, and promise 4.2: the inner source belongs to the
 * peer whose key opened it, the destination is ours. What is not data of a known lane goes to the
 * control thread through a bounded queue, unopened.
 * Out: super-packets, written from the receive buffers to the TUN queue that the flow is read from.
 *
 * State: none per datagram; a window per key and lane (dpkey.h), and the last two lookups.
 * Failure: every drop is counted by reason, for the thread and, once the key is known, for the peer.
 * Nothing of a datagram is believed before its tag is right, and it changes nothing but counters. */
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "dp_int.h"
#include "ecn.h"
#include "flow.h"
#include "gso.h"
#include "pkt.h"

struct data_hdr {
	uint8_t flags, lane;
	uint32_t index;
	uint64_t counter;
};

void rx_drop(struct rx *rx, struct dppeer *p, enum dp_drop why, uint64_t n)
{
	stat_add(&rx->c->drops[why], n);
	if (p)
		stat_add(&dppeer_slots(p)[rx->slot].c.drops[why], n);
}

/* ---- towards the control thread ---- */

static void pass_to_control(struct rx *rx, const struct udp_in *in, uint8_t *buf, size_t len)
{
	struct udp_in one = *in;
	size_t most = WIRE_TYPE_OF(buf[0]) == WIRE_DATA ? CTL_RX_BUF : WIRE_CONTROL_MAX;

	/* Only sealed control messages may be longer: they probe the path. */
	if (len > most) {
		rx_drop(rx, NULL, DP_DROP_MALFORMED, 1);
		return;
	}
	if (rx->ops && !rx->back) {
		rx->ops->datagram(rx->ops_ctx, &in->from, &in->local, buf, len);
		return;
	}
	if (rx->ops && rx->ops->relayed) {
		rx->ops->relayed(rx->ops_ctx, rx->back, buf, len);
		return;
	}
	one.buf = buf;
	one.len = len;
	if (!dp_tell_datagram(rx->dp, &one, rx->back))
		rx_drop(rx, NULL, DP_DROP_CONTROL_QUEUE, 1);
}

static void tell(struct rx *rx, struct dpkey *k, uint32_t bit, enum note_kind kind)
{
	if (dpkey_tell(k, bit) && !dp_tell(rx->dp, kind, k->local_index, NULL))
		dpkey_untell(k, bit);
}

/* The newest packet of a main port came from elsewhere than where we send to (DESIGN 5.9). */
static void hint_roaming(struct rx *rx, struct dppeer *p, const struct udp_in *in)
{
	const struct peer_path *path = rcu_get(&p->path);
	uint64_t last = __atomic_load_n(&p->hint_ns, __ATOMIC_RELAXED);

	if (path && ep_eq(&path->ep, &in->from))
		return;
	if (last && rx->now_ns - last < PEER_HINT_PERIOD_NS)
		return;
	if (__atomic_compare_exchange_n(
		    &p->hint_ns, &last, rx->now_ns, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		(void)dp_tell(rx->dp, NOTE_ROAM, p->handle, in);
}

/* ---- towards the TUN ---- */

static void write_out(struct rx *rx, const struct coal_out *out)
{
	const struct segment *s = idx_get(&rx->dp->segments, out->vni);
	int err = ERR_NOT_FOUND;

	/* Without the steering program the kernel reads a flow from the queue that its other
	 * direction was last written to. Chosen by the hash here too, that queue stays the same;
	 * chosen by who happens to write, it would move with each change of the peer's queue, and
	 * that with each of ours. */
	if (s) {
		err = tun_write(s->fd[flow_queue(out->hash, s->queues)], out->iov, out->niov);
		stat_add(&rx->c->tun_writes, 1);
	}
	if (err < 0)
		rx_drop(rx, NULL, DP_DROP_TUN_WRITE, out->packets);
}

static void emit(void *ctx, const struct coal_out *out)
{
	write_out(ctx, out);
}

/* A packet that the device takes no super-packets of. */
static int write_alone(struct rx *rx, const struct segment *s, uint8_t *pkt,
	const struct pkt_info *pi, uint32_t hash, uint8_t inner_flags)
{
	struct coal_out out = {
		.niov = 2, .packets = 1, .bytes = pi->len, .vni = s->vni, .hash = hash};
	int err = gso_rx_header(&out.vnet, pi, inner_flags);

	if (err < 0)
		return err;
	out.iov[0] = (struct iovec){&out.vnet, sizeof(out.vnet)};
	out.iov[1] = (struct iovec){pkt, pi->len};
	write_out(rx, &out);
	return 0;
}

static int deliver(struct rx *rx, const struct segment *s, uint8_t *pkt, struct pkt_info *pi,
	uint8_t inner_flags, bool alone)
{
	uint32_t hash = flow_hash(pi);
	int err;

	if (rx->dp->cfg.force.no_csum_partial) {
		err = gso_rx_complete(pkt, pi, inner_flags);
		if (err < 0)
			return err;
		inner_flags &= (uint8_t)~WIRE_IF_CSUM_PARTIAL;
	}
	if (alone || (pi->proto == PKT_UDP && !s->offload.uso))
		return write_alone(rx, s, pkt, pi, hash, inner_flags);
	return coal_add(&rx->coal, s->vni, pkt, pi, hash, inner_flags);
}

/* ---- one datagram ---- */

struct fib_route rx_route(const struct dp *dp, struct route_cache *c, const struct segment *s,
	uint8_t family, const uint8_t *addr)
{
	/* Read before the table: a change in between makes this entry old, never wrong for long. */
	uint64_t now = __atomic_load_n(&dp->fib_generation, __ATOMIC_ACQUIRE);
	size_t len = family == IP_V4 ? 4 : 16;

	if (c->generation == now && c->vni == s->vni && c->family == family &&
		memcmp(c->addr, addr, len) == 0)
		return c->route;
	c->generation = now;
	c->vni = s->vni;
	c->family = family;
	memcpy(c->addr, addr, len);
	c->route = fib_lookup(s->fib, family, addr);
	return c->route;
}

/* May @p send in the name of what @src leads to (promise 4.2)? */
static bool speaks_for(const struct dppeer *p, struct fib_route src, uint8_t links)
{
	if (src.kind == DP_ROUTE_LINK || src.kind == DP_ROUTE_EXIT)
		return (src.from & links) != 0;
	return src.kind == DP_ROUTE_PEER && src.peer == p->handle;
}

/* May this node forward from @src, which came from @p, to @dst? Never back where it came from. */
static bool may_forward(
	const struct dp *dp, const struct dppeer *p, struct fib_route src, struct fib_route dst)
{
	if (!__atomic_load_n(&dp->gateway, __ATOMIC_RELAXED) || !fib_has_peer(dst.kind))
		return false;
	return (src.kind == DP_ROUTE_LINK || dst.kind == DP_ROUTE_LINK) && dst.peer != p->handle;
}

/* May what comes from a peer of these links go to @dst? Another cluster's gateway uses what it was told
 * of, and nothing else. */
static bool was_told(uint8_t links, struct fib_route dst)
{
	return links == 0 || (links & DP_LINK_OURS) || (links & dst.to) != 0;
}

/* Promise 4.2. @alone: may not be coalesced. */
static bool may_enter(struct rx *rx, struct dppeer *p, const struct segment *s,
	const struct pkt_info *pi, bool *alone)
{
	struct fib_route src = rx_route(rx->dp, &rx->src, s, pi->family, pi->src), dst;
	uint8_t links = __atomic_load_n(&p->links, __ATOMIC_RELAXED);

	if (!speaks_for(p, src, links)) {
		rx_drop(rx, p, DP_DROP_BAD_SOURCE, 1);
		return false;
	}
	dst = rx_route(rx->dp, &rx->dst, s, pi->family, pi->dst);
	*alone = dst.kind == DP_ROUTE_LOCAL_TUNNEL;
	if ((dst.kind != DP_ROUTE_LOCAL && dst.kind != DP_ROUTE_EXIT && !*alone &&
		    !may_forward(rx->dp, p, src, dst)) ||
		!was_told(links, dst)) {
		rx_drop(rx, p, DP_DROP_BAD_DESTINATION, 1);
		return false;
	}
	return true;
}

/* The inner packet of @p, which came with the outer TOS @tos. */
static bool rx_packet(struct rx *rx, struct dppeer *p, const struct segment *s, uint8_t *packet,
	size_t len, uint8_t inner_flags, uint8_t tos)
{
	struct peer_worker *pw;
	struct pkt_info pi;
	bool alone;

	if (pkt_parse(&pi, packet, len) < 0) {
		rx_drop(rx, p, DP_DROP_BAD_PACKET, 1);
		return false;
	}
	if (!may_enter(rx, p, s, &pi, &alone))
		return false;
	if (ecn_decap(packet, &pi, tos) < 0) {
		rx_drop(rx, p, DP_DROP_ECN, 1);
		return false;
	}
	if (deliver(rx, s, packet, &pi, inner_flags, alone) < 0) {
		rx_drop(rx, p, DP_DROP_BAD_PACKET, 1);
		return false;
	}
	stat_add(&rx->c->rx_packets, 1);
	stat_add(&rx->c->rx_bytes, pi.len);
	pw = &dppeer_slots(p)[rx->slot];
	stat_add(&pw->c.rx_packets, 1);
	stat_add(&pw->c.rx_bytes, pi.len);
	return true;
}

/* Half of an inner packet, @len bytes behind the shim; when the other half is there, the packet. */
static void rx_half(struct rx *rx, const struct dpkey *k, const struct segment *s,
	const struct data_hdr *hdr, uint8_t inner_flags, uint8_t tos, const uint8_t *body,
	size_t len)
{
	struct half_in h = {
		.index = hdr->index,
		.vni = s->vni,
		.counter = hdr->counter,
		.lane = hdr->lane,
		.inner_flags = inner_flags,
		.tos = tos,
	};
	uint64_t lost = rx->halves.lost;
	struct dppeer *p = k->peer;
	uint8_t *packet;
	struct rd r;
	int got;

	rd_init(&r, body, len);
	h.number = rd_u8(&r);
	h.len = rd_left(&r);
	h.bytes = rd_take(&r, h.len);
	got = rd_bad(&r) ? ERR_MALFORMED : half_add(&rx->halves, &h, rx->now_ns, &packet, &tos);
	if (rx->halves.lost != lost)
		rx_drop(rx, NULL, DP_DROP_HALF_LOST, rx->halves.lost - lost);
	/* Only IPv6 packets are cut, and nothing may stand behind them. */
	if (got > 0 && (got < WIRE_IPV6_HDR || packet[0] >> 4 != 6 ||
			       (unsigned)got != WIRE_IPV6_HDR + (packet[4] * 256u + packet[5])))
		got = ERR_MALFORMED;
	if (got < 0)
		rx_drop(rx, p, DP_DROP_MALFORMED, 1);
	if (got <= 0 || !rx_packet(rx, p, s, packet, (size_t)got, inner_flags, tos))
		return;
	/* The next half may want the place of this packet. */
	coal_flush(&rx->coal);
	stat_add(&rx->c->rx_halves, 1);
	stat_add(&dppeer_slots(p)[rx->slot].c.rx_halves, 1);
}

/* An opened body: shim and inner packet. */
static void rx_body(struct rx *rx, const struct dpkey *k, const struct data_hdr *h,
	const struct udp_in *in, uint8_t *body, size_t len)
{
	const struct segment *s;
	uint8_t inner_flags;
	struct rd r;
	uint32_t vni;

	rd_init(&r, body, len);
	vni = rd_u24(&r);
	inner_flags = rd_u8(&r);
	/* Control messages travel on lane 0 only. */
	if (rd_bad(&r) || (inner_flags & ~(WIRE_IF_CSUM_PARTIAL | WIRE_IF_HALF))) {
		rx_drop(rx, k->peer, DP_DROP_MALFORMED, 1);
		return;
	}
	s = idx_get(&rx->dp->segments, vni);
	if (!s)
		rx_drop(rx, k->peer, DP_DROP_BAD_VNI, 1);
	else if (inner_flags & WIRE_IF_HALF)
		rx_half(rx, k, s, h, inner_flags & (uint8_t)~WIRE_IF_HALF, in->tos,
			body + WIRE_SHIM, len - WIRE_SHIM);
	else
		(void)rx_packet(
			rx, k->peer, s, body + WIRE_SHIM, len - WIRE_SHIM, inner_flags, in->tos);
}

bool rx_open(struct rx *rx, struct dpkey *k, uint8_t lane, uint64_t counter, uint8_t *buf,
	size_t aad, size_t len, bool *newest)
{
	struct dppeer *p = k->peer;
	uint8_t nonce[12];
	int err;

	if (!dpkey_may_open(k)) {
		rx_drop(rx, p, DP_DROP_KEY_LIMIT, 1);
		tell(rx, k, DPKEY_HARD, NOTE_HARD);
		return false;
	}
	if (!dpkey_check(k, lane, counter)) {
		rx_drop(rx, p, DP_DROP_REPLAY, 1);
		return false;
	}
	aead_data_nonce(nonce, lane, counter);
	if (aead_open(k->rx, nonce, buf, aad, buf + aad, len, buf + aad + len, buf + aad) < 0) {
		rx_drop(rx, p, DP_DROP_BAD_TAG, 1);
		if (dpkey_failed(k))
			tell(rx, k, DPKEY_HARD, NOTE_HARD);
		return false;
	}
	err = dpkey_accept(k, lane, counter, &rx->dp->windows, newest);
	if (__atomic_load_n(&rx->dp->windows.left, __ATOMIC_RELAXED) < WINPOOL_SLOTS / 2)
		dp_wake(rx->dp);
	if (err < 0) {
		rx_drop(rx, p, err == ERR_FULL ? DP_DROP_NO_WINDOW : DP_DROP_REPLAY, 1);
		return false;
	}
	tell(rx, k, DPKEY_CONFIRMED, NOTE_CONFIRMED);
	return true;
}

/* Something of the peer's came: when, and from which of its ports. */
static void seen(struct rx *rx, struct dpkey *k, const struct data_hdr *h)
{
	struct peer_worker *pw = &dppeer_slots(k->peer)[rx->slot];

	if (rx->back) {
		stat_set(&pw->rx_ns[PEER_RELAY], rx->now_ns);
	} else if (h->flags & WIRE_F_SIDE_PORT) {
		stat_set(&k->rx_lane[h->lane].side_ns, rx->now_ns);
		stat_set(&pw->rx_ns[PEER_SIDE], rx->now_ns);
	} else {
		stat_set(&pw->rx_ns[PEER_MAIN], rx->now_ns);
	}
	if (!peer_is_active(k->peer))
		dp_tell_active(rx->dp, k->peer);
}

static void rx_data(struct rx *rx, const struct udp_in *in, uint8_t *buf, size_t len)
{
	struct data_hdr h;
	struct dpkey *k;
	struct rd r;
	uint8_t reserved;
	bool newest;

	rd_init(&r, buf, len);
	(void)rd_u8(&r); /* type and version: looked at already */
	h.flags = rd_u8(&r);
	h.lane = rd_u8(&r);
	reserved = rd_u8(&r);
	h.index = rd_u32(&r);
	h.counter = rd_u64(&r);
	if (len < WIRE_DATA_OVERHEAD || (h.flags & ~WIRE_F_SIDE_PORT) || reserved) {
		rx_drop(rx, NULL, DP_DROP_MALFORMED, 1);
		return;
	}
	if (h.lane == WIRE_LANE_CONTROL) {
		pass_to_control(rx, in, buf, len);
		return;
	}
	k = idx_get(&rx->dp->keys, h.index);
	if (!k) {
		/* The session core may answer with a reset; it needs the header only (6.9). */
		rx_drop(rx, NULL, DP_DROP_UNKNOWN_INDEX, 1);
		pass_to_control(rx, in, buf, len < WIRE_CONTROL_MAX ? len : WIRE_CONTROL_MAX);
		return;
	}
	if (h.lane >= k->rx_lanes) {
		rx_drop(rx, k->peer, DP_DROP_BAD_LANE, 1);
		return;
	}
	if (!rx_open(rx, k, h.lane, h.counter, buf, WIRE_DATA_HDR, len - WIRE_DATA_HDR - WIRE_TAG,
		    &newest))
		return;
	if (newest && !(h.flags & WIRE_F_SIDE_PORT) && !rx->back)
		hint_roaming(rx, k->peer, in);
	seen(rx, k, &h);
	stat_add(&dppeer_slots(k->peer)[rx->slot].c.rx_datagrams, 1);
	rx_body(rx, k, &h, in, buf + WIRE_DATA_HDR, len - WIRE_DATA_HDR - WIRE_TAG);
}

void rx_datagram(struct rx *rx, const struct udp_in *in, uint8_t *buf, size_t len)
{
	if (len == 0) {
		rx_drop(rx, NULL, DP_DROP_MALFORMED, 1);
	} else if (WIRE_VERSION_OF(buf[0]) != WIRE_VERSION) {
		rx_drop(rx, NULL, DP_DROP_BAD_VERSION, 1);
	} else if (WIRE_TYPE_OF(buf[0]) == WIRE_DATA) {
		rx_data(rx, in, buf, len);
	} else if (WIRE_TYPE_OF(buf[0]) == WIRE_RELAY) {
		rx_relay(rx, in, buf, len);
	} else if (WIRE_TYPE_OF(buf[0]) >= WIRE_INIT && WIRE_TYPE_OF(buf[0]) < WIRE_RELAY) {
		pass_to_control(rx, in, buf, len);
	} else {
		rx_drop(rx, NULL, DP_DROP_MALFORMED, 1);
	}
}

void rx_message(struct rx *rx, const struct udp_in *in)
{
	size_t seg = in->seg ? in->seg : in->len, off = 0;

	if (in->truncated) {
		rx_drop(rx, NULL, DP_DROP_MALFORMED, 1);
		return;
	}
	do {
		size_t left = in->len - off, len = left < seg ? left : seg;

		stat_add(&rx->c->rx_datagrams, 1);
		rx_datagram(rx, in, in->buf + off, len);
		off += len;
	} while (off < in->len);
}

unsigned rx_turn(struct rx *rx, struct udp_sock *s, unsigned max_messages)
{
	unsigned total = 0;
	size_t bytes = 0;

	while (total < max_messages && bytes < TURN_BYTES) {
		struct udp_in in[UDP_RECV_BURST];
		unsigned want = max_messages - total < rx->burst ? max_messages - total : rx->burst;
		uint64_t lost = 0;
		int n = udp_recv(s, rx->mem, rx->buf_bytes, want, rx->dp->mmsg, in, &lost);

		stat_add(&rx->c->rx_calls, 1);
		if (lost)
			rx_drop(rx, NULL, DP_DROP_KERNEL_RX, lost);
		if (n <= 0)
			break;
		for (int i = 0; i < n; i++) {
			rx_message(rx, &in[i]);
			bytes += in[i].len;
		}
		/* The buffers are used again. */
		coal_flush(&rx->coal);
		total += (unsigned)n;
		/* Fewer than asked for: the socket was empty; if it filled again, epoll says so. */
		if ((unsigned)n < want && rx->dp->mmsg)
			break;
	}
	return total;
}

int rx_init(struct rx *rx, struct dp *dp, unsigned slot, struct dp_counters *c, size_t buf_bytes,
	unsigned burst)
{
	int err;

	rx->dp = dp;
	rx->slot = slot;
	rx->c = c;
	rx->buf_bytes = buf_bytes;
	rx->burst = burst;
	/* Pages that no packet reaches are never touched. */
	rx->mem = mmap(NULL, buf_bytes * burst, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (rx->mem == MAP_FAILED) {
		rx->mem = NULL;
		return ERR_NOMEM;
	}
	err = half_init(&rx->halves);
	if (err < 0)
		return err;
	coal_init(&rx->coal, emit, rx, !dp->offloads.coalesce);
	return 0;
}

void rx_fini(struct rx *rx)
{
	if (rx->mem)
		munmap(rx->mem, rx->buf_bytes * rx->burst);
	rx->mem = NULL;
	half_fini(&rx->halves);
}
