/* ecn against the table of RFC 6040 figure 4, typed in once more from the RFC in its own order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "csum.h"
#include "ecn.h"
#include "mkpkt.h"
#include "weft/err.h"

#define DROP (-1)

/* Columns: outer Not-ECT, ECT(0), ECT(1), CE. */
static const struct {
	uint8_t inner;
	int out[4];
	bool alarm[4];
} figure4[] = {
	{ECN_NOT_ECT, {ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, DROP}, {false, true, true, true}},
	{ECN_ECT0, {ECN_ECT0, ECN_ECT0, ECN_ECT1, ECN_CE}, {false, false, false, false}},
	{ECN_ECT1, {ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE}, {false, true, false, false}},
	{ECN_CE, {ECN_CE, ECN_CE, ECN_CE, ECN_CE}, {false, false, true, false}},
};
static const uint8_t outer_order[4] = {ECN_NOT_ECT, ECN_ECT0, ECN_ECT1, ECN_CE};

static void rule_5_12_codepoints(void **state)
{
	/* RFC 3168 5: on the wire. */
	assert_int_equal(ECN_NOT_ECT, 0);
	assert_int_equal(ECN_ECT1, 1);
	assert_int_equal(ECN_ECT0, 2);
	assert_int_equal(ECN_CE, 3);
}

static void rule_5_12_decapsulation_table(void **state)
{
	for (size_t i = 0; i < 4; i++) {
		for (size_t o = 0; o < 4; o++) {
			uint8_t got = ecn_combine(figure4[i].inner, outer_order[o]);

			assert_int_equal(!!(got & ECN_DROP), figure4[i].out[o] == DROP);
			assert_int_equal(!!(got & ECN_ALARM), figure4[i].alarm[o]);
			if (figure4[i].out[o] != DROP)
				assert_int_equal(got & ECN_MASK, figure4[i].out[o]);
		}
	}
}

/* Every TOS byte inside, every TOS byte outside, both families: the packet is as if built with the
 * new TOS, sums included, and nothing else moved. */
static void rule_5_12_packets_are_rewritten(void **state)
{
	uint8_t pkt[200], want[200];

	for (int family = 4; family <= 6; family += 2) {
		for (unsigned inner = 0; inner < 256; inner++) {
			for (unsigned outer = 0; outer < 256; outer += 1) {
				struct mk m = mk_tcp(family);
				struct pkt_info pi;
				size_t len;
				uint8_t combined = ecn_combine((uint8_t)inner, (uint8_t)outer);
				int got;

				m.payload = 20;
				m.tos = (uint8_t)inner;
				len = mk_build(&m, pkt);
				assert_int_equal(pkt_parse(&pi, pkt, len), 0);
				got = ecn_decap(pkt, &pi, (uint8_t)outer);
				if (combined & ECN_DROP) {
					assert_int_equal(got, ERR_REFUSED);
					continue;
				}
				m.tos = (uint8_t)((inner & 0xfc) | (combined & ECN_MASK));
				mk_build(&m, want);
				assert_memory_equal(pkt, want, len);
				assert_int_equal(pi.tos, m.tos);
				assert_int_equal(got, m.tos != inner);
			}
		}
	}
}

static void rule_5_12_wrong_header_sum_stays_wrong(void **state)
{
	uint8_t pkt[200];
	struct mk m = mk_udp(4);
	struct pkt_info pi;
	size_t len;

	m.payload = 20;
	m.tos = ECN_ECT0;
	m.bad_ip_sum = true;
	len = mk_build(&m, pkt);
	assert_false(mk_ip_sum_right(pkt));
	assert_int_equal(pkt_parse(&pi, pkt, len), 0);
	assert_int_equal(ecn_decap(pkt, &pi, ECN_CE), 1);
	assert_false(mk_ip_sum_right(pkt));
}

static void rule_5_12_encapsulation(void **state)
{
	for (unsigned tos = 0; tos < 256; tos++) {
		assert_int_equal(ecn_outer_tos((uint8_t)tos, -1), tos);
		for (int dscp = 0; dscp < 64; dscp++)
			assert_int_equal(
				ecn_outer_tos((uint8_t)tos, dscp), dscp * 4 + (int)(tos & 3));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_5_12_codepoints),
		cmocka_unit_test(rule_5_12_decapsulation_table),
		cmocka_unit_test(rule_5_12_packets_are_rewritten),
		cmocka_unit_test(rule_5_12_wrong_header_sum_stays_wrong),
		cmocka_unit_test(rule_5_12_encapsulation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
