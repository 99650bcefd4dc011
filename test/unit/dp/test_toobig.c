/* ICMP "too big": right to the byte, for those who may be told, never about an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "csum.h"
#include "mkpkt.h"
#include "toobig.h"

static uint8_t pkt[65600], out[TOOBIG_MAX];

static size_t answer(const struct mk *m, uint32_t mtu)
{
	struct pkt_info pi;

	assert_int_equal(pkt_parse(&pi, pkt, mk_build(m, pkt)), 0);
	return toobig_make(&pi, mtu, out);
}

static void v4(void **state)
{
	struct mk m = mk_udp(4);

	m.frag = MK_DF;
	for (m.payload = 0; m.payload < 3000; m.payload += 7) {
		size_t len = answer(&m, 1234), whole = mk_hdr_len(&m) + m.payload,
		       quote = whole < 548 ? whole : 548;
		struct pkt_info pi;

		assert_int_equal(len, 28 + quote);
		assert_int_equal(pkt_parse(&pi, out, len), 0);
		assert_int_equal(pi.len, len);
		assert_int_equal(pi.proto, PKT_ICMP);
		assert_memory_equal(pi.src, m.dst, 4);
		assert_memory_equal(pi.dst, m.src, 4);
		assert_int_equal(csum_fold(csum_add(0, out, 20)), 0xffff);
		assert_int_equal(csum_fold(csum_add(0, out + 20, len - 20)), 0xffff);
		assert_memory_equal(out + 20, ((uint8_t[]){3, 4}), 2);
		assert_int_equal(out[26] << 8 | out[27], 1234);
		assert_memory_equal(out + 28, pkt, quote);
	}
}

static void v6(void **state)
{
	struct mk m = mk_tcp(6);

	for (m.payload = 0; m.payload < 3000; m.payload += 7) {
		size_t len = answer(&m, 1400), whole = mk_hdr_len(&m) + m.payload,
		       quote = whole < 1232 ? whole : 1232;
		struct pkt_info pi;
		uint64_t sum;

		assert_int_equal(len, 48 + quote);
		assert_int_equal(pkt_parse(&pi, out, len), 0);
		assert_int_equal(pi.proto, PKT_ICMP6);
		assert_memory_equal(pi.src, m.dst, 16);
		assert_memory_equal(pi.dst, m.src, 16);
		sum = pkt_pseudo(&pi) + csum_word((uint16_t)(len - 40));
		assert_int_equal(csum_fold(csum_add(sum, out + 40, len - 40)), 0xffff);
		assert_memory_equal(out + 40, ((uint8_t[]){2, 0}), 2);
		assert_memory_equal(out + 44, ((uint8_t[]){0, 0, 1400 >> 8, 1400 & 0xff}), 4);
		assert_memory_equal(out + 48, pkt, quote);
	}
	/* Less than what IPv6 may count on is never asked for. */
	assert_true(answer(&m, 900) > 0);
	assert_memory_equal(out + 44, ((uint8_t[]){0, 0, 1280 >> 8, 1280 & 0xff}), 4);
}

static void nobody_to_tell(void **state)
{
	const uint8_t no_host[] = {0, 127, 224, 239, 255};
	struct mk m = mk_udp(4), x;

	m.payload = 1500;
	m.frag = 0;
	assert_int_equal(answer(&m, 1000), 0); /* may be fragmented */
	m.frag = MK_DF;
	assert_true(answer(&m, 1000) > 0);
	x = m;
	x.frag = MK_DF | 100;
	assert_int_equal(answer(&x, 1000), 0);
	for (size_t i = 0; i < sizeof(no_host); i++) {
		x = m;
		x.src[0] = no_host[i];
		assert_int_equal(answer(&x, 1000), 0);
	}
	x = mk_udp(6);
	x.payload = 1500;
	x.src[0] = 0xff;
	assert_int_equal(answer(&x, 1300), 0);
	memset(x.src, 0, sizeof(x.src));
	assert_int_equal(answer(&x, 1300), 0);
}

/* By hand, for no builder makes ICMP: every type, in both families. */
static void no_errors_about_errors(void **state)
{
	for (unsigned type = 0; type < 256; type++) {
		uint8_t p4[100] = {0x45, 0, 0, 100, 0, 0, 0x40, 0, 64, PKT_ICMP, 0, 0, 10, 0, 0, 1,
			10, 0, 1, 1, (uint8_t)type};
		uint8_t p6[100] = {0x60, 0, 0, 0, 0, 60, PKT_ICMP6, 64, 0xfd};
		bool error4 = type == 3 || type == 4 || type == 5 || type == 11 || type == 12,
		     error6 = type < 128 || type == 137;
		struct pkt_info pi;

		p6[24] = 0xfd;
		p6[40] = (uint8_t)type;
		assert_int_equal(pkt_parse(&pi, p4, sizeof(p4)), 0);
		assert_int_equal(toobig_make(&pi, 90, out) == 0, error4);
		assert_int_equal(pkt_parse(&pi, p6, sizeof(p6)), 0);
		assert_int_equal(toobig_make(&pi, 90, out) == 0, error6);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v4),
		cmocka_unit_test(v6),
		cmocka_unit_test(nobody_to_tell),
		cmocka_unit_test(no_errors_about_errors),
	};

	return cmocka_run_group_tests_name("dp/toobig", tests, NULL, NULL);
}
