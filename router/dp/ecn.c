/* ecn.c - see ecn.h. */
#include "ecn.h"
#include "csum.h"

/* RFC 6040 figure 4, [inner][outer]: columns Not-ECT, ECT(1), ECT(0), CE. */
static const uint8_t combine[4][4] = {
	[ECN_NOT_ECT] = {ECN_NOT_ECT, ECN_NOT_ECT | ECN_ALARM, ECN_NOT_ECT | ECN_ALARM,
		ECN_NOT_ECT | ECN_DROP | ECN_ALARM},
	[ECN_ECT1] = {ECN_ECT1, ECN_ECT1, ECN_ECT1 | ECN_ALARM, ECN_CE},
	[ECN_ECT0] = {ECN_ECT0, ECN_ECT1, ECN_ECT0, ECN_CE},
	[ECN_CE] = {ECN_CE, ECN_CE | ECN_ALARM, ECN_CE, ECN_CE},
};

uint8_t ecn_outer_tos(uint8_t inner_tos, int dscp)
{
	if (dscp < 0)
		return inner_tos;
	return (uint8_t)((dscp & 0x3f) << 2 | (inner_tos & ECN_MASK));
}

uint8_t ecn_combine(uint8_t inner, uint8_t outer)
{
	return combine[inner & ECN_MASK][outer & ECN_MASK];
}

int ecn_decap(uint8_t *pkt, struct pkt_info *pi, uint8_t outer_tos)
{
	uint8_t result = ecn_combine(pi->tos, outer_tos), tos;
	uint16_t from;

	if (result & ECN_DROP)
		return ERR_REFUSED;
	tos = (uint8_t)((pi->tos & ~ECN_MASK) | (result & ECN_MASK));
	if (tos == pi->tos)
		return 0;
	pi->tos = tos;
	if (pi->family == IP_V6) {
		/* The class lies across two bytes; no checksum covers it. */
		pkt[1] = (uint8_t)((pkt[1] & 0x0f) | tos << 4);
		return 1;
	}
	from = csum_load(pkt);
	pkt[1] = tos;
	csum_store(pkt + 10, csum_update(csum_load(pkt + 10), from, csum_load(pkt)));
	return 1;
}
