/* pkt: what is parsed, what is refused, and that nothing is read beyond the packet (each input is
 * copied to a block of its own size, so that the address sanitizer sees one byte too far). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "mkpkt.h"
#include "pkt.h"
#include "prng.h"
#include "weft/err.h"

#define SEED 0x9a7

static uint8_t big[65600];

/* Parse a copy of exactly @len bytes and check what must hold for any input at all. The copy lives
 * until the next call. */
static int parse_exact(struct pkt_info *pi, const uint8_t *p, size_t len)
{
	static uint8_t *copy;
	int err;

	free(copy);
	copy = malloc(len ? len : 1);
	memcpy(copy, p, len);
	err = pkt_parse(pi, copy, len);
	if (!err) {
		assert_true(pi->family == IP_V4 || pi->family == IP_V6);
		assert_true(pi->len <= len);
		assert_in_range(pi->l4_off, pi->family == IP_V4 ? 20 : 40, pi->len);
		assert_in_range(pi->payload_off, pi->l4_off, pi->len);
		assert_true(
			pi->src >= copy && pi->dst + (pi->family == IP_V4 ? 4 : 16) <= copy + len);
		assert_false(pi->l4_ok && (pi->fragment || pi->ext_unknown || !pi->ports));
		if (pkt_may_partial(pi))
			assert_in_range(pkt_csum_off(pi) + 2, pi->l4_off, pi->payload_off);
		assert_true(pi->ports || (pi->sport == 0 && pi->dport == 0));
	} else {
		assert_int_equal(err, ERR_MALFORMED);
	}
	return err;
}

static void fields(void **state)
{
	for (int family = 4; family <= 6; family += 2) {
		for (int proto = 6; proto <= 17; proto += 11) {
			struct mk m = proto == 6 ? mk_tcp(family) : mk_udp(family);
			struct pkt_info pi;
			struct ip ip;
			size_t len;

			m.tos = 0xb9;
			len = mk_build(&m, big);
			assert_int_equal(parse_exact(&pi, big, len), 0);
			assert_int_equal(pi.family, family);
			assert_int_equal(pi.len, len);
			assert_int_equal(pi.l4_off, mk_l4_off(&m));
			assert_int_equal(pi.payload_off, mk_hdr_len(&m));
			assert_int_equal(pi.proto, proto);
			assert_int_equal(pi.tos, 0xb9);
			assert_int_equal(pi.ttl, 63);
			assert_int_equal(pi.sport, 43210);
			assert_int_equal(pi.dport, 5201);
			assert_true(pi.l4_ok && pi.ports && pkt_may_partial(&pi));
			assert_false(pi.fragment || pi.ext || pi.ext_unknown);
			assert_int_equal(pkt_csum_off(&pi), mk_sum_off(&m));
			assert_int_equal(pkt_parse(&pi, big, len), 0);
			ip = pkt_src(&pi);
			assert_memory_equal(ip.b, m.src, family == 4 ? 4 : 16);
			assert_int_equal(ip.family, family);
			ip = pkt_dst(&pi);
			assert_memory_equal(ip.b, m.dst, family == 4 ? 4 : 16);
		}
	}
}

static void trailing_bytes_are_cut_and_missing_ones_refused(void **state)
{
	for (int family = 4; family <= 6; family += 2) {
		struct mk m = mk_udp(family);
		size_t len = mk_build(&m, big);
		struct pkt_info pi;

		memset(big + len, 0xee, 100);
		assert_int_equal(parse_exact(&pi, big, len + 100), 0);
		assert_int_equal(pi.len, len);
		for (size_t n = 0; n < len; n++)
			assert_int_equal(parse_exact(&pi, big, n), ERR_MALFORMED);
	}
}

static void not_ip(void **state)
{
	struct mk m = mk_tcp(4);
	size_t len = mk_build(&m, big);
	struct pkt_info pi;

	for (unsigned version = 0; version < 16; version++) {
		big[0] = (uint8_t)(version << 4 | 5);
		/* (As IPv6 its length field would be past the end.) */
		assert_int_equal(parse_exact(&pi, big, len) == 0, version == 4);
	}
	for (unsigned ihl = 0; ihl < 5; ihl++) {
		big[0] = (uint8_t)(0x40 | ihl);
		assert_int_equal(parse_exact(&pi, big, len), ERR_MALFORMED);
	}
	/* A total length shorter than the header. */
	big[0] = 0x46;
	big[2] = 0;
	big[3] = 23;
	assert_int_equal(parse_exact(&pi, big, len), ERR_MALFORMED);
	assert_int_equal(parse_exact(&pi, big, 0), ERR_MALFORMED);
}

static void largest_packets(void **state)
{
	struct pkt_info pi;
	struct mk m = mk_tcp(4);
	size_t len;

	m.payload = 65535 - 52;
	len = mk_build(&m, big);
	assert_int_equal(parse_exact(&pi, big, len), 0);
	assert_int_equal(pi.len, 65535);
	m = mk_tcp(6);
	m.payload = 65535 - 72;
	len = mk_build(&m, big);
	assert_int_equal(parse_exact(&pi, big, len), 0);
	/* One more is a legal IPv6 packet, but not one that we carry. */
	m.payload++;
	len = mk_build(&m, big);
	assert_int_equal(parse_exact(&pi, big, len), ERR_MALFORMED);
}

static void ipv4_options_and_fragments(void **state)
{
	static const struct {
		uint16_t frag;
		bool fragment;
	} t[] = {{0, false}, {MK_DF, false}, {0x8000, false}, {MK_MF, true}, {1, true},
		{0x1fff, true}, {MK_MF | 185, true}};
	struct pkt_info pi;

	for (unsigned opts = 0; opts <= 40; opts += 4) {
		for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
			struct mk m = mk_tcp(4);
			size_t len;

			m.ip_opts = opts;
			m.ip_opt_fill = 1;
			m.frag = t[i].frag;
			len = mk_build(&m, big);
			assert_int_equal(parse_exact(&pi, big, len), 0);
			assert_int_equal(pi.ext, opts > 0);
			assert_int_equal(pi.fragment, t[i].fragment);
			assert_int_equal(pi.l4_ok, !t[i].fragment);
			assert_int_equal(pi.ports, !t[i].fragment);
			assert_int_equal(pi.l4_off, 20 + opts);
		}
	}
}

static void ipv6_extension_headers(void **state)
{
	static const struct {
		uint8_t ext[4];
		bool known, fragment;
	} t[] = {
		{{0, 0xff}, true, false},
		{{60, 0xff}, true, false},
		{{0, 60, 60, 0xff}, true, false},
		{{43, 0xff}, false, false},
		{{0, 43, 0xff}, false, false},
		{{51, 0xff}, false, false},
		{{135, 0xff}, false, false},
		{{139, 0xff}, false, false},
		{{140, 0xff}, false, false},
		{{44, 0xff}, true, true},
		{{60, 44, 0xff}, true, true},
	};
	struct pkt_info pi;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct mk m = mk_udp(6);
		size_t len;

		memcpy(m.ext, t[i].ext, 4);
		len = mk_build(&m, big);
		assert_int_equal(parse_exact(&pi, big, len), 0);
		assert_true(pi.ext);
		assert_int_equal(pi.ext_unknown, !t[i].known);
		assert_int_equal(pi.fragment, t[i].fragment);
		assert_int_equal(pi.l4_ok, t[i].known && !t[i].fragment);
		assert_int_equal(pkt_may_partial(&pi), pi.l4_ok);
		if (pi.l4_ok) {
			assert_int_equal(pi.proto, 17);
			assert_int_equal(pi.l4_off, mk_l4_off(&m));
		}
	}
}

static void ipv6_extension_chains_are_bounded(void **state)
{
	struct pkt_info pi;

	for (unsigned n = 1; n < 1000; n += n < 12 ? 1 : 100) {
		struct mk m = mk_udp(6);
		size_t len = 40;

		mk_build(&m, big);
		memset(big + 40, 0, 8 * n + 8);
		big[6] = 60;
		for (unsigned i = 0; i < n; i++, len += 8)
			big[len] = i + 1 < n ? 60 : 17;
		big[len + 5] = 8; /* UDP length */
		len += 8;
		big[4] = (uint8_t)((len - 40) >> 8);
		big[5] = (uint8_t)(len - 40);
		assert_int_equal(parse_exact(&pi, big, len), 0);
		assert_int_equal(pi.ext_unknown, n > 8);
		assert_int_equal(pi.l4_ok, n <= 8);
	}
	/* An extension header that runs past the end is not understood, and not followed. */
	struct mk m = mk_udp(6);
	size_t len;

	m.ext[0] = 60;
	len = mk_build(&m, big);
	big[41] = 255;
	assert_int_equal(parse_exact(&pi, big, len), 0);
	assert_true(pi.ext_unknown);
}

static void broken_upper_layers_are_carried_but_not_trusted(void **state)
{
	struct pkt_info pi;
	struct mk m = mk_tcp(4);
	size_t len = mk_build(&m, big);

	big[20 + 12] = 0x40; /* data offset 16 */
	assert_int_equal(parse_exact(&pi, big, len), 0);
	assert_true(pi.ports && !pi.l4_ok);
	m.payload = 0;
	len = mk_build(&m, big);
	big[20 + 12] = 0xf0; /* data offset past the end */
	assert_int_equal(parse_exact(&pi, big, len), 0);
	assert_true(pi.ports && !pi.l4_ok);

	m = mk_udp(6);
	len = mk_build(&m, big);
	big[40 + 4] = 0xff; /* UDP length past the end */
	assert_int_equal(parse_exact(&pi, big, len), 0);
	assert_false(pi.l4_ok);
	big[40 + 4] = 0;
	big[40 + 5] = 7;
	assert_int_equal(parse_exact(&pi, big, len), 0);
	assert_false(pi.l4_ok);
	big[40 + 5] = 9; /* inside: a UDP packet, but its sum can't be partial */
	assert_int_equal(parse_exact(&pi, big, len), 0);
	assert_true(pi.l4_ok);
	assert_false(pkt_may_partial(&pi));

	m = mk_tcp(4);
	m.proto = 132;
	len = mk_build(&m, big);
	assert_int_equal(parse_exact(&pi, big, len), 0);
	assert_true(pi.ports);
	assert_false(pi.l4_ok || pkt_may_partial(&pi));
	m.proto = 4; /* IPIP */
	len = mk_build(&m, big);
	assert_int_equal(parse_exact(&pi, big, len), 0);
	assert_false(pi.ports || pi.l4_ok);
}

/* Inner lengths shortened step by step, the buffer with them: never out of bounds, never l4_ok with
 * half a header. */
static void every_announced_length(void **state)
{
	struct pkt_info pi;

	for (int family = 4; family <= 6; family += 2) {
		for (int proto = 6; proto <= 17; proto += 11) {
			struct mk m = proto == 6 ? mk_tcp(family) : mk_udp(family);
			size_t len;

			m.payload = 4;
			if (family == 4)
				m.ip_opts = 8;
			else
				m.ext[0] = 60;
			len = mk_build(&m, big);
			for (size_t n = family == 4 ? 28 : 40; n <= len; n++) {
				size_t v = family == 4 ? n : n - 40;
				size_t at = family == 4 ? 2 : 4;

				big[at] = (uint8_t)(v >> 8);
				big[at + 1] = (uint8_t)v;
				assert_int_equal(parse_exact(&pi, big, n), 0);
				if (pi.l4_ok)
					assert_true(n >= mk_hdr_len(&m));
				else
					assert_true(n < len);
			}
		}
	}
}

static void every_bit_flip(void **state)
{
	struct pkt_info pi;

	for (int family = 4; family <= 6; family += 2) {
		for (int shape = 0; shape < 4; shape++) {
			struct mk m = shape & 1 ? mk_tcp(family) : mk_udp(family);
			size_t len;

			m.payload = 16;
			if (shape & 2) {
				m.ip_opts = 12;
				m.ext[0] = 0;
				m.ext[1] = 60;
			}
			len = mk_build(&m, big);
			for (size_t bit = 0; bit < len * 8; bit++) {
				big[bit / 8] ^= (uint8_t)(1 << bit % 8);
				parse_exact(&pi, big, len);
				big[bit / 8] ^= (uint8_t)(1 << bit % 8);
			}
		}
	}
}

static void noise(void **state)
{
	struct prng r;
	struct pkt_info pi;
	unsigned ok = 0;

	print_message("seed 0x%x\n", SEED);
	prng_seed(&r, SEED);
	for (int i = 0; i < 100000; i++) {
		size_t len = prng_below(&r, 120);

		for (size_t k = 0; k < len; k++)
			big[k] = (uint8_t)prng_next(&r);
		big[0] = prng_below(&r, 2) ? 0x45 : 0x60;
		big[big[0] >> 4 == 4 ? 2 : 4] = 0; /* a short length is often inside */
		ok += parse_exact(&pi, big, len) == 0;
	}
	assert_true(ok > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(trailing_bytes_are_cut_and_missing_ones_refused),
		cmocka_unit_test(not_ip),
		cmocka_unit_test(largest_packets),
		cmocka_unit_test(ipv4_options_and_fragments),
		cmocka_unit_test(ipv6_extension_headers),
		cmocka_unit_test(ipv6_extension_chains_are_bounded),
		cmocka_unit_test(broken_upper_layers_are_carried_but_not_trusted),
		cmocka_unit_test(every_announced_length),
		cmocka_unit_test(every_bit_flip),
		cmocka_unit_test(noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
