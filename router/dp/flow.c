/* flow.c - see flow.h. Any change here is a change of flow_bpf.c too; their test compares them. */
#include <string.h>
#include "flow.h"
#include "flow_mix.h"

static inline uint64_t word(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

/* An IPv6 address in 64 bits; an IPv4 address is its one word. */
static inline uint64_t fold6(const uint8_t *p)
{
	uint64_t h = word(p);

	h = h * FLOW_MUL_WORD + word(p + 4);
	h = h * FLOW_MUL_WORD + word(p + 8);
	return h * FLOW_MUL_WORD + word(p + 12);
}

uint32_t flow_hash(const struct pkt_info *pi)
{
	uint64_t a, b, h;

	if (pi->family == IP_V4) {
		a = word(pi->src);
		b = word(pi->dst);
	} else {
		a = fold6(pi->src);
		b = fold6(pi->dst);
	}
	/* Sum and difference mod 2 don't tell the ends apart, and together lose nothing else. */
	h = (a ^ b) * FLOW_MUL_XOR + (a + b) * FLOW_MUL_SUM;
	if (pi->ports && !(pi->family == IP_V6 && pi->ext)) {
		uint64_t s = pi->sport, d = pi->dport;

		h += ((s ^ d) << 32) + ((s + d) << 8) + pi->proto;
	}
	h ^= h >> 32;
	h *= FLOW_MUL_END;
	return (uint32_t)(h >> 32);
}
