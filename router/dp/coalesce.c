/* coalesce.c - see coalesce.h.
 *
 * Data in: opened inner packets of a batch, in order of arrival, in their receive buffers. Data
 * out: runs, each an iovec of the first packet whole and the payloads of those that followed, with
 * a virtio_net_hdr that makes the kernel split it again. Only the first packet's header is edited:
 * its lengths, its IPv4 header checksum, PSH and FIN of the last, and the checksum, which becomes
 * the pseudo header's.
 *
 * Lossless means: splitting again, as gso.c and the kernel do it, gives the packets that came in,
 * byte for byte, with partial sums completed (DESIGN 5.6). From that follow the conditions:
 *   - all header bytes equal, but for what the split makes: lengths, IPv4 id and header checksum,
 * TCP sequence, PSH and FIN, the L4 sum;
 *   - what the split makes is what stood there. IPv4 ids count up by one also with DF set, because
 * the kernel counts them up for every super-packet that comes by a virtio_net_hdr (the type with a
 *     fixed id can't be expressed there); header checksum right; sequence in line;
 *   - the sum is one that the split makes again. A partial one: its seed is the true pseudo header
 * sum. A complete one: verified over all bytes, and in the form that a sender computes (not the
 * other zero). Both kinds join each other, since a right sum and its seed become the same bytes,
 * and the receiver learns the same from both. A wrong sum is passed alone, and arrives wrong. The
 * first packet of a run is verified only when a second one comes.
 *
 * States: a slot is free, or holds an open run. A run that got a short packet, PSH or FIN, or is
 * full is written at once; a packet of its flow that can't join closes it first; all close in
 * coal_flush. So a flow has at most one open run, and its packets come out in order. Packets whose
 * flow can't be told (fragments, extension headers) close the runs between their addresses.
 *
 * Bounds: COAL_SLOTS runs (one more closes the oldest), COAL_SEGS packets and PKT_MAX bytes each.
 * Nothing is allocated; nothing fails but a partial sum where none is allowed. */
#include <string.h>
#include "coalesce.h"
#include "csum.h"
#include "gso.h"
#include "weft/be.h"
#include "weft/err.h"
#include "weft/wire.h"

#define TCP_NEVER (PKT_TCP_SYN | PKT_TCP_RST | PKT_TCP_URG | PKT_TCP_CWR)
#define TCP_ENDS  (PKT_TCP_PSH | PKT_TCP_FIN)

/* memcmp of a few bytes, so that it becomes one comparison. */
static inline bool same2(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, 2) == 0;
}

static inline bool same4(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, 4) == 0;
}

void coal_init(struct coal *c, coal_emit emit, void *ctx, unsigned flags)
{
	memset(c, 0, sizeof(*c));
	c->emit = emit;
	c->ctx = ctx;
	c->flags = flags;
	for (unsigned i = 0; i < COAL_SLOTS; i++)
		c->order[i] = (uint8_t)i;
}

static void out_start(struct coal_out *out, uint32_t vni, uint8_t *pkt, uint32_t len, uint32_t hash)
{
	out->iov[0] = (struct iovec){.iov_base = &out->vnet, .iov_len = sizeof(out->vnet)};
	out->iov[1] = (struct iovec){.iov_base = pkt, .iov_len = len};
	out->niov = 2;
	out->packets = 1;
	out->bytes = len;
	out->vni = vni;
	out->hash = hash;
}

static void pass_alone(struct coal *c, uint32_t vni, uint8_t *pkt, const struct pkt_info *pi,
	uint32_t hash, uint8_t inner_flags)
{
	gso_rx_header(&c->single.vnet, pi, inner_flags); /* coal_add has ruled out its failure */
	out_start(&c->single, vni, pkt, pi->len, hash);
	c->emit(c->ctx, &c->single);
}

/* Make the first packet's header that of the whole run. */
static void make_super(struct coal_run *r)
{
	struct coal_out *out = &r->out;
	const struct pkt_info *pi = &r->first;
	uint8_t *pkt = out->iov[1].iov_base, *l4 = pkt + pi->l4_off;
	uint32_t l4_len = out->bytes - pi->l4_off;

	if (pi->family == IP_V4) {
		be16_put(pkt + 2, out->bytes);
		csum_store(pkt + 10, 0);
		csum_store(pkt + 10, csum_finish(csum_add(0, pkt, pi->l4_off)));
	} else {
		be16_put(pkt + 4, out->bytes - 40);
	}
	if (pi->proto == PKT_UDP)
		be16_put(l4 + 4, l4_len);
	csum_store(pkt + pkt_csum_off(pi), csum_fold(r->pseudo + csum_word((uint16_t)l4_len)));

	out->vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.hdr_len = pi->payload_off,
		.gso_size = (uint16_t)r->gso_size,
		.csum_start = pi->l4_off,
		.csum_offset = (uint16_t)(pkt_csum_off(pi) - pi->l4_off),
	};
	if (pi->proto == PKT_UDP)
		out->vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	else
		out->vnet.gso_type =
			pi->family == IP_V4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
}

/* Write the run at position @pos of the order and free its slot. */
static void close_run(struct coal *c, unsigned pos)
{
	uint8_t slot = c->order[pos];
	struct coal_run *r = &c->run[slot];

	c->open--;
	memmove(&c->order[pos], &c->order[pos + 1], c->open - pos);
	memmove(&c->keys[pos], &c->keys[pos + 1], (c->open - pos) * sizeof(c->keys[0]));
	c->order[c->open] = slot;
	if (r->out.packets == 1) {
		gso_rx_header(&r->out.vnet, &r->first, r->first_flags);
	} else {
		make_super(r);
		c->super_packets++;
		c->super_segments += r->out.packets;
	}
	c->emit(c->ctx, &r->out);
}

static bool same_addresses(const struct pkt_info *a, const struct pkt_info *b)
{
	if (a->family != b->family)
		return false;
	/* Source and destination stand side by side. */
	return memcmp(a->src, b->src, a->family == IP_V4 ? 8 : 32) == 0;
}

/* Position of the flow's open run, or c->open. */
static unsigned find_run(
	const struct coal *c, uint32_t vni, const struct pkt_info *pi, uint32_t hash)
{
	unsigned pos;

	for (pos = 0; pos < c->open; pos++) {
		const struct coal_run *r = &c->run[c->order[pos]];

		if (c->keys[pos] == hash && r->out.vni == vni && r->first.proto == pi->proto &&
			r->first.sport == pi->sport && r->first.dport == pi->dport &&
			same_addresses(&r->first, pi))
			break;
	}
	return pos;
}

/* Close every run that the packet could belong to, when its ports can't be told. */
static void close_between(struct coal *c, uint32_t vni, const struct pkt_info *pi)
{
	for (unsigned pos = 0; pos < c->open;) {
		const struct coal_run *r = &c->run[c->order[pos]];

		if (r->out.vni == vni && same_addresses(&r->first, pi))
			close_run(c, pos);
		else
			pos++;
	}
}

/* May the packet stand in a run at all, its own L4 sum left aside? */
static bool eligible(const struct coal *c, const struct pkt_info *pi, uint8_t inner_flags)
{
	const uint8_t *pkt = pi->pkt;

	if (!pkt_may_partial(pi) || pi->payload_off == pi->len)
		return false;
	if (pi->proto == PKT_UDP) {
		if (c->flags & COAL_NO_UDP)
			return false;
		/* No sum stays no sum. */
		if (!(inner_flags & WIRE_IF_CSUM_PARTIAL) && csum_load(pkt + pkt_csum_off(pi)) == 0)
			return false;
	} else if (pkt[pi->l4_off + 13] & TCP_NEVER) {
		return false;
	}
	if (pi->family == IP_V4) {
		uint64_t sum = csum_add(0, pkt, pi->l4_off);

		/* Right, and not the form of zero that the split would not write. */
		return csum_fold(sum) == 0xffff && csum_load(pkt + 10) != 0xffff;
	}
	return true;
}

/* Will splitting make this packet's L4 sum again? @pseudo: the flow's. */
static bool sum_right(const struct pkt_info *pi, uint64_t pseudo, uint8_t inner_flags)
{
	uint16_t field = csum_load(pi->pkt + pkt_csum_off(pi));
	uint32_t l4_len = pi->len - pi->l4_off;
	uint64_t sum = pseudo + csum_word((uint16_t)l4_len);

	if (inner_flags & WIRE_IF_CSUM_PARTIAL)
		return csum_same(field, csum_fold(sum));
	if (pi->proto == PKT_TCP && field == 0xffff)
		return false; /* the split would write zero */
	return csum_fold(csum_add(sum, pi->pkt + pi->l4_off, l4_len)) == 0xffff;
}

/* Are the header bytes equal that a split copies? */
static bool same_headers(const struct pkt_info *a, const struct pkt_info *b)
{
	const uint8_t *p = a->pkt, *q = b->pkt;
	uint32_t fixed = a->family == IP_V4 ? 20 : 40;

	if (a->l4_off != b->l4_off || a->payload_off != b->payload_off)
		return false;
	if (a->family == IP_V4) {
		/* Version, length and TOS; DF, TTL, protocol. */
		if (!same2(p, q) || !same4(p + 6, q + 6))
			return false;
	} else if (!same4(p, q) || !same2(p + 6, q + 6)) {
		/* Version, class, flow label; next header, hop limit. */
		return false;
	}
	if (a->l4_off > fixed && memcmp(p + fixed, q + fixed, a->l4_off - fixed) != 0)
		return false;
	if (a->proto == PKT_UDP)
		return true;

	p += a->l4_off;
	q += a->l4_off;
	/* ACK; offset and reserved bits; flags; window; urgent pointer; options. */
	return same4(p + 8, q + 8) && p[12] == q[12] && p[13] == (q[13] & ~TCP_ENDS) &&
	       same2(p + 14, q + 14) && same2(p + 18, q + 18) &&
	       memcmp(p + 20, q + 20, a->payload_off - a->l4_off - 20u) == 0;
}

/* Does the packet continue the run, its L4 sum left aside? */
static bool continues(const struct coal_run *r, const struct pkt_info *pi)
{
	uint32_t payload = pi->len - pi->payload_off;

	if (payload > r->gso_size || r->out.bytes + payload > PKT_MAX)
		return false;
	if (pi->family == IP_V4 && be16_get(pi->pkt + 4) != r->next_id)
		return false;
	if (pi->proto == PKT_TCP && be32_get(pi->pkt + pi->l4_off + 4) != r->next_seq)
		return false;
	return same_headers(&r->first, pi);
}

/* Add a packet that passed every test to the run at @pos; write it if nothing can follow. */
static void append(struct coal *c, unsigned pos, uint8_t *pkt, const struct pkt_info *pi)
{
	struct coal_run *r = &c->run[c->order[pos]];
	struct coal_out *out = &r->out;
	uint32_t payload = pi->len - pi->payload_off;
	uint8_t ends = 0;

	out->iov[out->niov++] =
		(struct iovec){.iov_base = pkt + pi->payload_off, .iov_len = payload};
	out->packets++;
	out->bytes += payload;
	r->next_seq += payload;
	r->next_id++;
	if (pi->proto == PKT_TCP) {
		uint8_t *first = out->iov[1].iov_base;

		ends = pkt[pi->l4_off + 13] & TCP_ENDS;
		first[pi->l4_off + 13] |= ends;
	}
	if (ends || payload < r->gso_size || out->packets == COAL_SEGS)
		close_run(c, pos);
}

static void start(struct coal *c, uint32_t vni, uint8_t *pkt, const struct pkt_info *pi,
	uint32_t hash, uint8_t inner_flags)
{
	struct coal_run *r;

	if (c->open == COAL_SLOTS)
		close_run(c, 0);
	r = &c->run[c->order[c->open]];
	c->keys[c->open++] = hash;
	out_start(&r->out, vni, pkt, pi->len, hash);
	r->first = *pi;
	r->pseudo = pkt_pseudo(pi);
	r->gso_size = pi->len - pi->payload_off;
	if (pi->proto == PKT_TCP)
		r->next_seq = be32_get(pkt + pi->l4_off + 4) + r->gso_size;
	if (pi->family == IP_V4)
		r->next_id = (uint16_t)(be16_get(pkt + 4) + 1);
	r->first_flags = inner_flags;
	r->first_checked = false;
}

/* A packet that may stand in a run: join the flow's at @pos, or close that and begin one. */
static void add_eligible(struct coal *c, unsigned pos, uint32_t vni, uint8_t *pkt,
	const struct pkt_info *pi, uint32_t hash, uint8_t inner_flags)
{
	if (pos < c->open) {
		struct coal_run *r = &c->run[c->order[pos]];

		if (continues(r, pi)) {
			bool right = sum_right(pi, r->pseudo, inner_flags);

			if (right && !r->first_checked)
				r->first_checked = sum_right(&r->first, r->pseudo, r->first_flags);
			if (right && r->first_checked) {
				append(c, pos, pkt, pi);
				return;
			}
			close_run(c, pos);
			if (!right) {
				pass_alone(c, vni, pkt, pi, hash, inner_flags);
				return;
			}
		} else {
			close_run(c, pos);
		}
	}
	if (pi->proto == PKT_TCP && (pkt[pi->l4_off + 13] & TCP_ENDS))
		pass_alone(c, vni, pkt, pi, hash, inner_flags); /* nothing could follow */
	else
		start(c, vni, pkt, pi, hash, inner_flags);
}

int coal_add(struct coal *c, uint32_t vni, uint8_t *pkt, const struct pkt_info *pi, uint32_t hash,
	uint8_t inner_flags)
{
	unsigned pos;

	if ((inner_flags & WIRE_IF_CSUM_PARTIAL) && !pkt_may_partial(pi))
		return ERR_MALFORMED;
	if (c->flags & COAL_OFF) {
		pass_alone(c, vni, pkt, pi, hash, inner_flags);
		return 0;
	}
	if (!pi->ports) {
		/* ICMP and others have no runs to overtake. */
		if (pi->fragment || pi->ext_unknown || pi->proto == PKT_TCP || pi->proto == PKT_UDP)
			close_between(c, vni, pi);
		pass_alone(c, vni, pkt, pi, hash, inner_flags);
		return 0;
	}
	pos = find_run(c, vni, pi, hash);
	if (eligible(c, pi, inner_flags)) {
		add_eligible(c, pos, vni, pkt, pi, hash, inner_flags);
		return 0;
	}
	if (pos < c->open)
		close_run(c, pos);
	pass_alone(c, vni, pkt, pi, hash, inner_flags);
	return 0;
}

void coal_flush(struct coal *c)
{
	while (c->open)
		close_run(c, 0);
}
