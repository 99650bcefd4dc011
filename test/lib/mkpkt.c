/* mkpkt.c - see mkpkt.h. */
#include <assert.h>
#include <string.h>
#include "mkpkt.h"

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

struct mk mk_tcp(int family)
{
	struct mk m = {.family = family,
		.src = {10, 32, 1, 2},
		.dst = {10, 32, 9, 77},
		.ttl = 63,
		.proto = 6,
		.id = 0x1234,
		.frag = MK_DF,
		.label = 0x12345,
		.ext = {0xff, 0xff, 0xff, 0xff},
		.sport = 43210,
		.dport = 5201,
		.seq = 1000000,
		.ack = 77,
		.flags = 0x10,
		.window = 502,
		.tcp_opts = 12,
		.tcp_opt_fill = 1,
		.payload = 1000};

	if (family == 6) {
		static const uint8_t src[16] = {0xfd, 0, 0x10, 0x20, [15] = 1};
		static const uint8_t dst[16] = {0xfd, 0, 0x10, 0x21, [14] = 7, [15] = 9};

		memcpy(m.src, src, 16);
		memcpy(m.dst, dst, 16);
	}
	return m;
}

struct mk mk_udp(int family)
{
	struct mk m = mk_tcp(family);

	m.proto = 17;
	m.tcp_opts = 0;
	return m;
}

size_t mk_l4_off(const struct mk *m)
{
	size_t n = 40;

	if (m->family == 4)
		return 20 + m->ip_opts;
	for (int i = 0; i < 4 && m->ext[i] != 0xff; i++)
		n += 8;
	return n;
}

size_t mk_hdr_len(const struct mk *m)
{
	size_t n = mk_l4_off(m);

	if (m->proto == 6)
		return n + 20 + m->tcp_opts;
	return n + (m->proto == 17 ? 8 : m->proto == 132 ? 12 : 0);
}

size_t mk_sum_off(const struct mk *m)
{
	return mk_l4_off(m) + (m->proto == 6 ? 16 : 6);
}

uint16_t mk_csum(uint32_t start, const uint8_t *p, size_t len)
{
	uint32_t sum = start;

	for (size_t i = 0; i < len; i += 2) {
		sum += (uint32_t)p[i] << 8 | (i + 1 < len ? p[i + 1] : 0);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

uint16_t mk_pseudo(const struct mk *m, size_t l4_len)
{
	uint8_t ph[40] = {0};
	size_t a = m->family == 4 ? 4 : 16;

	memcpy(ph, m->src, a);
	memcpy(ph + a, m->dst, a);
	put16(ph + 2 * a, (unsigned)l4_len);
	ph[2 * a + 3] = m->proto;
	return mk_csum(0, ph, 2 * a + 4);
}

bool mk_ip_sum_right(const uint8_t *p)
{
	return p[0] >> 4 == 6 || mk_csum(0, p, (p[0] & 15u) * 4) == 0xffff;
}

bool mk_l4_sum_right(const struct mk *m, const uint8_t *p, size_t len)
{
	size_t off = mk_l4_off(m);

	return mk_csum(mk_pseudo(m, len - off), p + off, len - off) == 0xffff;
}

void mk_complete(const struct mk *m, uint8_t *p, size_t len)
{
	size_t off = mk_l4_off(m);
	uint16_t c = (uint16_t)~mk_csum(0, p + off, len - off);

	put16(p + mk_sum_off(m), c == 0 && m->proto == 17 ? 0xffff : c);
}

static void build_ip(const struct mk *m, uint8_t *p, size_t len)
{
	if (m->family == 4) {
		p[0] = (uint8_t)(0x40 | (20 + m->ip_opts) / 4);
		p[1] = m->tos;
		put16(p + 2, (unsigned)len);
		put16(p + 4, m->id);
		put16(p + 6, m->frag);
		p[8] = m->ttl;
		p[9] = m->proto;
		memcpy(p + 12, m->src, 4);
		memcpy(p + 16, m->dst, 4);
		memset(p + 20, m->ip_opt_fill, m->ip_opts);
		put16(p + 10, (uint16_t)~mk_csum(0, p, 20 + m->ip_opts));
		if (m->bad_ip_sum)
			p[11] ^= 0x40;
		return;
	}
	put32(p, 6u << 28 | (uint32_t)m->tos << 20 | m->label);
	put16(p + 4, (unsigned)len - 40);
	p[7] = m->ttl;
	memcpy(p + 8, m->src, 16);
	memcpy(p + 24, m->dst, 16);
	p[6] = m->proto;
	for (int i = 0; i < 4 && m->ext[i] != 0xff; i++) {
		uint8_t *e = p + 40 + 8 * i;

		p[i == 0 ? 6 : 40 + 8 * (i - 1)] = m->ext[i];
		e[0] = m->proto;
		e[1] = 0;
		e[2] = 1; /* PadN of 6 bytes */
		e[3] = 4;
		memset(e + 4, m->ext_fill, 4);
	}
}

static void build_sum(const struct mk *m, uint8_t *p, size_t len)
{
	size_t off = mk_l4_off(m), at = mk_sum_off(m);

	if (m->proto != 6 && m->proto != 17)
		return;
	put16(p + at, 0);
	if (m->sum == MK_ZERO)
		return;
	put16(p + at, mk_pseudo(m, len - off));
	if (m->sum == MK_COMPLETE || m->sum == MK_WRONG)
		mk_complete(m, p, len);
	if (m->sum == MK_WRONG || m->sum == MK_PARTIAL_WRONG)
		p[at] ^= 0x20;
}

size_t mk_build(const struct mk *m, uint8_t *p)
{
	size_t off = mk_l4_off(m), hdr = mk_hdr_len(m), len = hdr + m->payload;
	uint8_t *l4 = p + off;

	assert(len <= 65600);
	memset(p, 0, hdr);
	build_ip(m, p, len);
	if (m->proto == 6 || m->proto == 17 || m->proto == 132) {
		put16(l4, m->sport);
		put16(l4 + 2, m->dport);
	}
	if (m->proto == 6) {
		put32(l4 + 4, m->seq);
		put32(l4 + 8, m->ack);
		l4[12] = (uint8_t)((20 + m->tcp_opts) / 4 << 4 | m->reserved);
		l4[13] = m->flags;
		put16(l4 + 14, m->window);
		put16(l4 + 18, m->urgent);
		memset(l4 + 20, m->tcp_opt_fill, m->tcp_opts);
	} else if (m->proto == 17) {
		put16(l4 + 4, (unsigned)(len - off));
	}
	for (unsigned i = 0; i < m->payload; i++)
		p[hdr + i] = (uint8_t)((m->fill + i) * 2654435761u >> 13);
	build_sum(m, p, len);
	return len;
}
