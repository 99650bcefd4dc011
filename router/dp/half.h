/* half.h - IPv6 packets that came as two sealed halves, put together again (DESIGN 5.14; the layout:
 * weft/wire.h, HALF).
 *
 * A receiving thread keeps the half that came first until the other is there. A fixed table: places are
 * chosen by key, so that a peer that floods with halves throws out its own and those of the few that
 * share its set. What is thrown out, or has waited for HALF_NS when its place is wanted, is counted. */
#ifndef WEFT_HALF_H
#define WEFT_HALF_H

#include <stddef.h>
#include <stdint.h>
#include "weft/wire.h"

#define HALF_SETS 16
#define HALF_WAYS 4
#define HALF_NS   (500 * 1000 * 1000)

/* A half, as its datagram was opened. */
struct half_in {
	uint32_t index; /* of the key that opened it */
	uint32_t vni;
	uint64_t counter;
	uint8_t lane, number; /* 0: the first half, 1: the second */
	uint8_t inner_flags;
	uint8_t tos; /* outer */
	const uint8_t *bytes;
	size_t len;
};

struct half_slot {
	uint64_t at_ns; /* 0: free */
	uint64_t first; /* counter of the first half */
	uint32_t index, vni;
	uint8_t lane, number, inner_flags, tos;
	uint16_t len;
	uint8_t data[WIRE_HALF_MAX]; /* the first half from the start, the second up to the end */
};

struct half_table {
	struct half_slot *slot; /* HALF_SETS * HALF_WAYS */
	uint64_t lost;          /* halves given up */
};

/* The memory is touched by use only. ERR_NOMEM. */
int half_init(struct half_table *t);
void half_fini(struct half_table *t);
/* Take a half; @h->bytes is borrowed. > 0: the packet is whole, that many bytes at *@packet (writable,
 * until the next call) and with the outer TOS *@tos of both; 0: the other half is not there yet;
 * ERR_MALFORMED: numbers or lengths that can't be, or halves that don't fit each other. */
int half_add(struct half_table *t, const struct half_in *h, uint64_t now_ns, uint8_t **packet,
	uint8_t *tos);

#endif
