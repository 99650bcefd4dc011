/* coalesce: the rules of DESIGN 5.6 one by one, then as a property: splitting what came out gives what
 * went in, over random streams; and the other way, joining what was split gives the super-packet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "coalesce.h"
#include "flow.h"
#include "gso.h"
#include "mkpkt.h"
#include "prng.h"
#include "weft/err.h"
#include "weft/wire.h"

#define SEED    0xc0a1
#define PACKETS 200
#define ROOM    2200
#define RUNS    (2 * PACKETS)

/* A packet that went in, and its bytes with the sum completed: what has to come out. */
struct in {
	struct mk m;
	uint32_t vni, hash;
	uint8_t buf[ROOM], want[ROOM];
	size_t len;
	bool seen;
};

/* A run that came out, gathered. */
struct out {
	struct virtio_net_hdr vnet;
	uint8_t *bytes;
	size_t len;
	unsigned packets;
	uint32_t vni;
};

static struct in in[PACKETS];
static unsigned n_in;
static struct out out[RUNS];
static unsigned n_out;
static struct coal coal;
static uint8_t seg[65600];

static void gather(void *ctx, const struct coal_out *o)
{
	struct out *g = &out[n_out++];
	size_t total = 0;

	assert_true(n_out <= RUNS);
	assert_in_range(o->packets, 1, COAL_SEGS);
	assert_in_range(o->niov, 2, COAL_SEGS + 1);
	assert_ptr_equal(o->iov[0].iov_base, &o->vnet);
	assert_int_equal(o->iov[0].iov_len, 10);
	for (unsigned i = 1; i < o->niov; i++)
		total += o->iov[i].iov_len;
	assert_int_equal(total, o->bytes);
	assert_true(total <= 65535);
	g->vnet = o->vnet;
	g->bytes = malloc(total);
	g->len = 0;
	g->packets = o->packets;
	g->vni = o->vni;
	for (unsigned i = 1; i < o->niov; i++) {
		memcpy(g->bytes + g->len, o->iov[i].iov_base, o->iov[i].iov_len);
		g->len += o->iov[i].iov_len;
	}
}

static void begin(unsigned flags)
{
	for (unsigned i = 0; i < n_out; i++)
		free(out[i].bytes);
	n_in = n_out = 0;
	coal_init(&coal, gather, NULL, flags);
}

static bool partial(const struct mk *m)
{
	return m->sum == MK_PARTIAL || m->sum == MK_PARTIAL_WRONG;
}

/* Feed what stands built in the next input's buffer. */
static int add_built(const struct mk *m, uint32_t vni)
{
	struct in *p = &in[n_in++];
	struct pkt_info pi;

	p->m = *m;
	p->vni = vni;
	p->seen = false;
	assert_true(p->len <= ROOM);
	memcpy(p->want, p->buf, p->len);
	if (partial(m))
		mk_complete(m, p->want, p->len);
	assert_int_equal(pkt_parse(&pi, p->buf, p->len), 0);
	p->hash = flow_hash(&pi);
	return coal_add(&coal, vni, p->buf, &pi, p->hash, partial(m) ? WIRE_IF_CSUM_PARTIAL : 0);
}

/* Feed one packet. */
static int add_vni(const struct mk *m, uint32_t vni)
{
	assert_true(n_in < PACKETS);
	in[n_in].len = mk_build(m, in[n_in].buf);
	return add_built(m, vni);
}

static void add(const struct mk *m)
{
	assert_int_equal(add_vni(m, 1), 0);
}

/* A packet came out: it is one that went in, the first of its flow that was not seen yet. */
static void came_out(const uint8_t *p, size_t len, uint32_t vni)
{
	unsigned i;

	for (i = 0; i < n_in; i++)
		if (!in[i].seen && in[i].vni == vni && in[i].len == len &&
			memcmp(in[i].want, p, len) == 0)
			break;
	if (i == n_in)
		fail_msg("a packet of %zu bytes came out that did not go in", len);
	in[i].seen = true;
	/* Order within the flow (4.7): nothing earlier of it is still missing. */
	for (unsigned k = 0; k < i; k++)
		if (!in[k].seen && in[k].vni == vni && in[k].hash == in[i].hash &&
			in[k].m.family == in[i].m.family && in[k].m.sport == in[i].m.sport &&
			in[k].m.dport == in[i].m.dport && in[k].m.proto == in[i].m.proto)
			fail_msg("packet %u came out before %u of the same flow", i, k);
}

/* End the batch, split all that came out, compare. */
static void finish(void)
{
	unsigned packets = 0;

	coal_flush(&coal);
	assert_int_equal(coal.open, 0);
	for (unsigned i = 0; i < n_out; i++) {
		struct gso_iter it;
		struct pkt_info pi;
		size_t len;
		uint8_t inner;

		packets += out[i].packets;
		assert_int_equal(pkt_parse(&pi, out[i].bytes, out[i].len), 0);
		assert_int_equal(pi.len, out[i].len);
		/* Partial sums are completed while splitting: bytes as on a wire. */
		assert_int_equal(gso_init(&it, &out[i].vnet, &pi, 0), out[i].packets);
		while (gso_next(&it, seg, sizeof(seg), &len, &inner) > 0)
			came_out(seg, len, out[i].vni);
	}
	assert_int_equal(packets, n_in);
	for (unsigned i = 0; i < n_in; i++)
		assert_true(in[i].seen);
}

/* The packet after @m in its flow. */
static struct mk next_of(const struct mk *m)
{
	struct mk n = *m;

	n.seq += m->payload;
	n.id++;
	n.fill += m->payload;
	return n;
}

/* Feed @n packets in line; returns what would follow. */
static struct mk feed_line(struct mk m, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		add(&m);
		m = next_of(&m);
	}
	return m;
}

static void rule_5_6_packets_in_line_join(void **state)
{
	static const enum mk_sum sums[] = {MK_PARTIAL, MK_COMPLETE};

	for (int family = 4; family <= 6; family += 2) {
		for (int proto = 6; proto <= 17; proto += 11) {
			for (int s = 0; s < 2; s++) {
				struct mk m = proto == 6 ? mk_tcp(family) : mk_udp(family);

				m.sum = sums[s];
				m.payload = 1200;
				begin(0);
				m = feed_line(m, 20);
				m.payload = 7; /* the last may be shorter */
				m.flags |= 0x08;
				add(&m);
				assert_int_equal(n_out, 1); /* and ended the run */
				finish();
				assert_int_equal(n_out, 1);
				assert_int_equal(out[0].packets, 21);
				assert_int_equal(out[0].vnet.gso_size, 1200);
				assert_int_equal(out[0].vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
				assert_int_equal(out[0].vnet.hdr_len, mk_hdr_len(&m));
				assert_int_equal(coal.super_packets, 1);
				assert_int_equal(coal.super_segments, 21);
			}
		}
	}
}

/* One difference each between the second packet and what would continue the first. */
typedef void (*change)(struct mk *m);
static void c_tos(struct mk *m)
{
	m->tos ^= 0x20;
}
static void c_ecn(struct mk *m)
{
	m->tos ^= 0x03;
}
static void c_ttl(struct mk *m)
{
	m->ttl--;
}
static void c_df(struct mk *m)
{
	m->frag ^= MK_DF;
}
static void c_evil(struct mk *m)
{
	m->frag ^= 0x8000;
}
static void c_id(struct mk *m)
{
	m->id++;
}
static void c_id_same(struct mk *m)
{
	m->id--;
}
static void c_label(struct mk *m)
{
	m->label ^= 1;
}
static void c_ip_opt(struct mk *m)
{
	m->ip_opt_fill = 0;
}
static void c_ip_opts(struct mk *m)
{
	m->ip_opts += 4;
}
static void c_ext(struct mk *m)
{
	m->ext_fill ^= 1;
}
static void c_ext_type(struct mk *m)
{
	m->ext[0] = 60;
}
static void c_ext_none(struct mk *m)
{
	m->ext[0] = 0xff;
}
static void c_src(struct mk *m)
{
	m->src[3] ^= 1;
}
static void c_dst(struct mk *m)
{
	m->dst[3] ^= 1;
}
static void c_sport(struct mk *m)
{
	m->sport ^= 1;
}
static void c_dport(struct mk *m)
{
	m->dport ^= 1;
}
static void c_seq(struct mk *m)
{
	m->seq++;
}
static void c_seq_back(struct mk *m)
{
	m->seq--;
}
static void c_ack(struct mk *m)
{
	m->ack++;
}
static void c_window(struct mk *m)
{
	m->window++;
}
static void c_urgent(struct mk *m)
{
	m->urgent = 1;
}
static void c_reserved(struct mk *m)
{
	m->reserved ^= 1;
}
static void c_tcp_opt(struct mk *m)
{
	m->tcp_opt_fill = 0;
}
static void c_tcp_opts(struct mk *m)
{
	m->tcp_opts -= 4;
}
static void c_ece(struct mk *m)
{
	m->flags ^= 0x40;
}
static void c_cwr(struct mk *m)
{
	m->flags |= 0x80;
}
static void c_urg(struct mk *m)
{
	m->flags |= 0x20;
}
static void c_syn(struct mk *m)
{
	m->flags |= 0x02;
}
static void c_rst(struct mk *m)
{
	m->flags |= 0x04;
}
static void c_longer(struct mk *m)
{
	m->payload++;
}
static void c_empty(struct mk *m)
{
	m->payload = 0;
}
static void c_wrong(struct mk *m)
{
	m->sum = MK_WRONG;
}
static void c_wrong_seed(struct mk *m)
{
	m->sum = MK_PARTIAL_WRONG;
}
static void c_ip_sum(struct mk *m)
{
	m->bad_ip_sum = true;
}
static void c_fragment(struct mk *m)
{
	m->frag |= MK_MF;
	m->sum = MK_COMPLETE;
}
static void c_zero(struct mk *m)
{
	m->sum = MK_ZERO;
}
static void c_proto(struct mk *m)
{
	m->proto = 6;
	m->tcp_opts = 0;
}

#define V4  1
#define V6  2
#define TCP 4
#define UDP 8
#define ALL (V4 | V6 | TCP | UDP)

static const struct {
	const char *rule;
	change change;
	unsigned where;
} differences[] = {
	{"same TOS", c_tos, ALL},
	{"same ECN field", c_ecn, ALL},
	{"same TTL", c_ttl, ALL},
	{"same DF", c_df, V4 | TCP | UDP},
	{"same reserved bit", c_evil, V4 | TCP | UDP},
	{"consecutive IP id", c_id, V4 | TCP | UDP},
	{"consecutive IP id, not the same with DF", c_id_same, V4 | TCP | UDP},
	{"same flow label", c_label, V6 | TCP | UDP},
	{"same IP options", c_ip_opt, V4 | TCP | UDP},
	{"as many IP options", c_ip_opts, V4 | TCP | UDP},
	{"same extension headers", c_ext, V6 | TCP | UDP},
	{"same kind of extension header", c_ext_type, V6 | TCP | UDP},
	{"extension header gone", c_ext_none, V6 | TCP | UDP},
	{"same 5-tuple: source", c_src, ALL},
	{"same 5-tuple: destination", c_dst, ALL},
	{"same 5-tuple: source port", c_sport, ALL},
	{"same 5-tuple: destination port", c_dport, ALL},
	{"same 5-tuple: protocol", c_proto, V4 | V6 | UDP},
	{"consecutive sequence: gap", c_seq, V4 | V6 | TCP},
	{"consecutive sequence: overlap", c_seq_back, V4 | V6 | TCP},
	{"same ACK", c_ack, V4 | V6 | TCP},
	{"same window", c_window, V4 | V6 | TCP},
	{"same urgent pointer", c_urgent, V4 | V6 | TCP},
	{"same reserved TCP bits", c_reserved, V4 | V6 | TCP},
	{"same TCP options", c_tcp_opt, V4 | V6 | TCP},
	{"as many TCP options", c_tcp_opts, V4 | V6 | TCP},
	{"same ECE", c_ece, V4 | V6 | TCP},
	{"CWR never joins", c_cwr, V4 | V6 | TCP},
	{"URG never joins", c_urg, V4 | V6 | TCP},
	{"SYN never joins", c_syn, V4 | V6 | TCP},
	{"RST never joins", c_rst, V4 | V6 | TCP},
	{"same length but the last", c_longer, ALL},
	{"no payload", c_empty, ALL},
	{"wrong sum passes alone", c_wrong, ALL},
	{"wrong seed passes alone", c_wrong_seed, ALL},
	{"wrong IP header sum passes alone", c_ip_sum, V4 | TCP | UDP},
	{"no fragments", c_fragment, V4 | TCP | UDP},
	{"UDP zero stays zero", c_zero, V4 | V6 | UDP},
};

static struct mk plain(unsigned shape)
{
	int family = shape & 1 ? 6 : 4;
	struct mk m = shape & 2 ? mk_udp(family) : mk_tcp(family);

	m.ip_opts = 8;
	m.ip_opt_fill = 1;
	m.ext[0] = 0;
	m.sum = shape & 4 ? MK_COMPLETE : MK_PARTIAL;
	return m;
}

static bool applies(unsigned where, unsigned shape)
{
	return (where & (shape & 1 ? V6 : V4)) && (where & (shape & 2 ? UDP : TCP));
}

/* a, then b with the difference, then c that continues b: a and b never share a run, nothing is lost,
 * order holds. With the difference in the first packet, the same. */
static void rule_5_6_differences_never_join(void **state)
{
	for (size_t d = 0; d < sizeof(differences) / sizeof(differences[0]); d++) {
		for (unsigned shape = 0; shape < 8; shape++) {
			struct mk a = plain(shape), b = next_of(&a), first = a;

			if (!applies(differences[d].where, shape))
				continue;
			differences[d].change(&b);
			begin(0);
			add(&a);
			add(&b);
			b = next_of(&b);
			add(&b);
			finish();
			if (out[0].packets != 1)
				fail_msg("second: %s (shape %u)", differences[d].rule, shape);
			if (differences[d].change == c_longer)
				continue; /* a longer first, then a shorter: that is a run */
			differences[d].change(&first);
			begin(0);
			add(&first);
			b = next_of(&a);
			add(&b);
			finish();
			if (out[0].packets != 1 || n_out != 2)
				fail_msg("first: %s (shape %u)", differences[d].rule, shape);
			/* And nothing joins but for the difference. */
			begin(0);
			feed_line(a, 2);
			finish();
			assert_int_equal(n_out, 1);
		}
	}
}

static void rule_5_6_segments_never_join(void **state)
{
	struct mk m = mk_tcp(4);

	begin(0);
	assert_int_equal(add_vni(&m, 1), 0);
	m = next_of(&m);
	assert_int_equal(add_vni(&m, 2), 0);
	finish();
	assert_int_equal(n_out, 2);
}

static void rule_5_6_psh_and_fin_end_a_run(void **state)
{
	static const uint8_t ends[] = {0x08, 0x01, 0x09};

	for (size_t i = 0; i < sizeof(ends); i++) {
		struct mk m = mk_tcp(i & 1 ? 6 : 4);

		m.sum = MK_PARTIAL;
		begin(0);
		m = feed_line(m, 3);
		m.flags |= ends[i];
		add(&m);
		assert_int_equal(n_out, 1);
		m = next_of(&m);
		m.flags &= (uint8_t)~ends[i];
		feed_line(m, 2);
		finish();
		assert_int_equal(n_out, 2);
		assert_int_equal(out[0].packets, 4);
		assert_int_equal(out[1].packets, 2);
	}
}

static void rule_5_6_a_short_packet_ends_a_run(void **state)
{
	struct mk m = mk_udp(6);

	begin(0);
	m = feed_line(m, 3);
	m.payload = 10;
	add(&m);
	m = next_of(&m);
	add(&m);
	finish();
	assert_int_equal(n_out, 2);
	assert_int_equal(out[0].packets, 4);
}

static void rule_5_6_partial_and_verified_complete_sums_join(void **state)
{
	for (int proto = 6; proto <= 17; proto += 11) {
		struct mk m = proto == 6 ? mk_tcp(4) : mk_udp(4);

		begin(0);
		for (int i = 0; i < 10; i++) {
			m.sum = i % 3 ? MK_PARTIAL : MK_COMPLETE;
			add(&m);
			m = next_of(&m);
		}
		finish();
		assert_int_equal(n_out, 1);
	}
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Two packets in line; the second's L4 sum comes out as zero, and @field stands in its place. Do they
 * join? */
static bool joins_with_zero_sum(struct mk m, unsigned field)
{
	struct mk b;
	uint8_t *p, *word;

	begin(0);
	add(&m);
	b = next_of(&m);
	p = in[n_in].buf;
	in[n_in].len = mk_build(&b, p);
	word = p + mk_hdr_len(&b); /* payload that levels the sum */
	put16(word, 0);
	put16(p + mk_sum_off(&b), 0);
	put16(word, (uint16_t)~mk_csum(mk_pseudo(&b, in[n_in].len - mk_l4_off(&b)),
			    p + mk_l4_off(&b), in[n_in].len - mk_l4_off(&b)));
	put16(p + mk_sum_off(&b), field);
	assert_int_equal(add_built(&b, 1), 0);
	finish();
	return n_out == 1;
}

/* 0x0000 and 0xffff verify alike, but only one of them is what a split writes. */
static void rule_5_6_the_other_zero_never_joins(void **state)
{
	struct mk m = mk_tcp(4), b;

	for (int family = 4; family <= 6; family += 2) {
		assert_true(joins_with_zero_sum(mk_tcp(family), 0));
		assert_false(joins_with_zero_sum(mk_tcp(family), 0xffff));
		assert_true(joins_with_zero_sum(mk_udp(family), 0xffff));
		assert_false(joins_with_zero_sum(mk_udp(family), 0));
	}
	/* The same in the IPv4 header: a source address that makes the second's sum zero. */
	for (unsigned field = 0; field <= 0xffff; field += 0xffff) {
		b = next_of(&m);
		in[0].len = mk_build(&b, in[0].buf);
		put16(in[0].buf + 10, 0);
		put16(in[0].buf + 12, 0);
		put16(m.src, (uint16_t)~mk_csum(0, in[0].buf, 20));
		begin(0);
		add(&m);
		b = next_of(&m);
		in[1].len = mk_build(&b, in[1].buf);
		assert_int_equal(in[1].buf[10] << 8 | in[1].buf[11], 0);
		put16(in[1].buf + 10, field);
		assert_int_equal(add_built(&b, 1), 0);
		finish();
		assert_int_equal(n_out, field == 0 ? 1 : 2);
	}
}

static void limits_of_a_run(void **state)
{
	struct mk m = mk_tcp(4);

	m.payload = 100;
	begin(0);
	feed_line(m, 150);
	finish();
	assert_int_equal(n_out, 3);
	assert_int_equal(out[0].packets, COAL_SEGS);
	for (int family = 4; family <= 6; family += 2) {
		m = mk_udp(family);
		m.payload = 2000;
		begin(0);
		feed_line(m, 40);
		finish();
		assert_int_equal(n_out, 2);
		assert_int_equal(out[0].packets, 32);
	}
}

static void more_flows_than_slots(void **state)
{
	struct mk m[3 * COAL_SLOTS];

	begin(0);
	for (unsigned i = 0; i < 3 * COAL_SLOTS; i++) {
		m[i] = mk_tcp(i & 1 ? 4 : 6);
		m[i].sport = (uint16_t)i;
	}
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 3 * COAL_SLOTS; i++) {
			add(&m[i]);
			m[i] = next_of(&m[i]);
		}
	}
	finish();
	begin(0);
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned i = 0; i < COAL_SLOTS; i++) {
			add(&m[i]);
			m[i] = next_of(&m[i]);
		}
	}
	finish();
	assert_int_equal(n_out, COAL_SLOTS);
}

/* A fragment has no ports: it may belong to any flow between its addresses. */
static void rule_4_7_fragments_do_not_overtake(void **state)
{
	struct mk m = mk_udp(4), f = m;

	f.frag = 100;
	begin(0);
	feed_line(m, 3);
	add(&f);
	assert_int_equal(n_out, 2);
	assert_int_equal(out[0].packets, 3);
	finish();
	f.src[3] ^= 1;
	begin(0);
	feed_line(m, 3);
	add(&f);
	assert_int_equal(n_out, 1); /* other addresses: the run stays open */
	finish();
}

static void single_runs_are_written_as_they_came(void **state)
{
	struct mk m = mk_tcp(4);

	for (int s = 0; s < 2; s++) {
		m.sum = s ? MK_PARTIAL : MK_COMPLETE;
		begin(0);
		add(&m);
		memcpy(seg, in[0].buf, in[0].len);
		finish();
		assert_int_equal(out[0].vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		assert_int_equal(out[0].vnet.flags, s ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0);
		mk_build(&m, seg);
		assert_memory_equal(out[0].bytes, seg, out[0].len);
	}
}

static void switched_off(void **state)
{
	struct mk m = mk_tcp(4), u = mk_udp(4);

	begin(COAL_OFF);
	m.sum = MK_PARTIAL;
	feed_line(m, 5);
	assert_int_equal(n_out, 5);
	finish();
	begin(COAL_NO_UDP);
	feed_line(m, 5);
	feed_line(u, 5);
	finish();
	assert_int_equal(n_out, 6);
}

static void rule_5_5_partial_where_it_cannot_be_is_refused(void **state)
{
	struct mk m = mk_tcp(4);

	for (unsigned flags = 0; flags <= COAL_OFF; flags++) {
		begin(flags);
		m.frag = MK_MF;
		m.sum = MK_PARTIAL;
		assert_int_equal(add_vni(&m, 1), ERR_MALFORMED);
		assert_int_equal(n_out, 0);
		assert_int_equal(coal.open, 0);
	}
}

/* One more packet of a random stream: mostly in line, sometimes not. */
static void disturb(struct prng *r, struct mk *m)
{
	size_t n = sizeof(differences) / sizeof(differences[0]);
	change c;

	switch (prng_below(r, 8)) {
	case 0:
		c = differences[prng_below(r, n)].change;
		if (c == c_proto || (c == c_tcp_opts && m->tcp_opts == 0) ||
			(m->proto == 6 && c == c_zero) ||
			(m->family == 6 && (c == c_fragment || c == c_ip_opts)) || m->ip_opts > 32)
			return;
		c(m);
		break;
	case 1:
		if (m->proto == 6)
			m->flags |= prng_below(r, 2) ? 0x08 : 0x01;
		break;
	case 2:
		m->payload = (unsigned)prng_below(r, m->payload + 1);
		break;
	default:
		break;
	}
}

static void rule_5_6_split_of_coalesced_is_the_same(void **state)
{
	struct prng r;
	unsigned joined = 0;

	print_message("seed 0x%x\n", SEED);
	prng_seed(&r, SEED);
	for (unsigned round = 0; round < 400; round++) {
		struct mk flow[6];
		unsigned flows = 1 + (unsigned)prng_below(&r, 6);

		begin(0);
		for (unsigned f = 0; f < flows; f++) {
			flow[f] = plain((unsigned)prng_below(&r, 8));
			if (prng_below(&r, 2)) {
				flow[f].ip_opts = 0;
				flow[f].ext[0] = 0xff;
			}
			flow[f].sport = (uint16_t)prng_below(&r, 3);
			flow[f].id = (uint16_t)prng_next(&r);
			flow[f].seq = (uint32_t)prng_next(&r);
			flow[f].payload = 1 + (unsigned)prng_below(&r, 1400);
			flow[f].fill = (uint32_t)prng_next(&r);
		}
		for (unsigned i = 0; i < PACKETS; i++) {
			struct mk *m = &flow[prng_below(&r, flows)], now = *m;

			if (prng_below(&r, 4) == 0 && now.sum <= MK_PARTIAL)
				now.sum = prng_below(&r, 2) ? MK_PARTIAL : MK_COMPLETE;
			disturb(&r, &now);
			assert_int_equal(add_vni(&now, 1 + (unsigned)(prng_below(&r, 30) == 0)), 0);
			*m = next_of(m);
			m->seq = now.seq + now.payload;
			if (prng_below(&r, 60) == 0)
				coal_flush(&coal);
		}
		finish();
		joined += n_in - n_out;
	}
	/* The test tests something: a good part was joined. */
	assert_true(joined > 400 * PACKETS / 4);
}

/* The other way: what gso splits, and the wire carries, comes out as one super-packet again. */
static void coalesced_split_is_the_super_packet(void **state)
{
	static uint8_t super[65600];
	struct prng r;

	print_message("seed 0x%x\n", SEED);
	prng_seed(&r, SEED);
	for (unsigned round = 0; round < 300; round++) {
		struct mk m = plain((unsigned)(round & 3)); /* partial sums */
		static uint8_t rx[COAL_SEGS][ROOM];
		struct virtio_net_hdr vh = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM};
		unsigned size = 1 + (unsigned)prng_below(&r, 1400), i = 0;
		unsigned mode = prng_below(&r, 2) ? GSO_PARTIAL_OK : 0;
		struct gso_iter it;
		struct pkt_info pi;
		uint8_t inner;
		size_t len;

		m.payload = size + 1 + (unsigned)prng_below(&r, 46 * size);
		if (m.payload > 65000)
			m.payload = 65000;
		if (m.payload > size * COAL_SEGS)
			m.payload = size * COAL_SEGS;
		m.flags |= prng_below(&r, 2) ? 0x08 : 0;
		len = mk_build(&m, super);
		vh.gso_type = m.proto == 17   ? VIRTIO_NET_HDR_GSO_UDP_L4
			      : m.family == 4 ? VIRTIO_NET_HDR_GSO_TCPV4
					      : VIRTIO_NET_HDR_GSO_TCPV6;
		vh.gso_size = (uint16_t)size;
		vh.hdr_len = (uint16_t)mk_hdr_len(&m);
		vh.csum_start = (uint16_t)mk_l4_off(&m);
		vh.csum_offset = (uint16_t)(mk_sum_off(&m) - mk_l4_off(&m));
		assert_int_equal(pkt_parse(&pi, super, len), 0);
		assert_true(gso_init(&it, &vh, &pi, mode) > 1);
		begin(0);
		for (; gso_next(&it, rx[i], ROOM, &len, &inner) > 0; i++) {
			struct pkt_info si;

			assert_int_equal(pkt_parse(&si, rx[i], len), 0);
			assert_int_equal(coal_add(&coal, 1, rx[i], &si, flow_hash(&si), inner), 0);
		}
		coal_flush(&coal);
		assert_int_equal(n_out, 1);
		assert_int_equal(out[0].packets, i);
		assert_int_equal(out[0].len, pi.len);
		assert_memory_equal(&out[0].vnet, &vh, sizeof(vh));
		assert_memory_equal(out[0].bytes, super, pi.len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_5_6_packets_in_line_join),
		cmocka_unit_test(rule_5_6_differences_never_join),
		cmocka_unit_test(rule_5_6_segments_never_join),
		cmocka_unit_test(rule_5_6_psh_and_fin_end_a_run),
		cmocka_unit_test(rule_5_6_a_short_packet_ends_a_run),
		cmocka_unit_test(rule_5_6_partial_and_verified_complete_sums_join),
		cmocka_unit_test(rule_5_6_the_other_zero_never_joins),
		cmocka_unit_test(limits_of_a_run),
		cmocka_unit_test(more_flows_than_slots),
		cmocka_unit_test(rule_4_7_fragments_do_not_overtake),
		cmocka_unit_test(single_runs_are_written_as_they_came),
		cmocka_unit_test(switched_off),
		cmocka_unit_test(rule_5_5_partial_where_it_cannot_be_is_refused),
		cmocka_unit_test(rule_5_6_split_of_coalesced_is_the_same),
		cmocka_unit_test(coalesced_split_is_the_super_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
