/* The table of halves: the input is a list of them, four bytes of numbers and a length each. Whatever
 * is given out must be made of two that were put in, and no longer than a packet may be. */
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "half.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct half_table t;
	uint64_t now = 1;
	struct rd r;

	if (half_init(&t) < 0)
		abort();
	rd_init(&r, data, len);
	while (rd_left(&r) >= 6) {
		uint8_t which = rd_u8(&r), *packet = NULL, tos;
		struct half_in h = {.index = which & 0x1f, .lane = which >> 5, .vni = 1};
		int got;

		h.counter = rd_u8(&r);
		h.number = rd_u8(&r) & 3;
		h.inner_flags = rd_u8(&r) & 1;
		h.len = rd_u16(&r) % (WIRE_HALF_MAX + 2);
		now += (uint64_t)h.inner_flags * HALF_NS / 4;
		if (h.len > rd_left(&r))
			h.len = rd_left(&r);
		h.bytes = rd_take(&r, h.len);
		got = half_add(&t, &h, now, &packet, &tos);
		if (got > WIRE_HALF_MAX || (got > 0 && (size_t)got <= h.len))
			abort();
		/* The half that came last stands in it, at its end of the packet. */
		if (got > 0 && memcmp(h.number ? packet + got - h.len : packet, h.bytes, h.len))
			abort();
	}
	half_fini(&t);
	return 0;
}
