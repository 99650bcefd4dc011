/* relay.h - the per-hop header around a relayed datagram: reading, checking, turning, writing. The
 * layout and what a hop does stand in weft/wire.h (RELAY). Pure transforms: the tag is made and
 * checked by who holds the key. */
#ifndef WEFT_RELAY_H
#define WEFT_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/wire.h"

/* Labels are numbers here: the first 8 bytes of a node's key, network order. 0 is nobody's. */
struct relay_hdr {
	uint8_t n, left; /* labels, hops left */
	uint8_t lane;
	uint32_t index;
	uint64_t counter;
	uint64_t label[WIRE_RELAY_LABELS_MAX];
};

/* Bytes under the tag, which stands behind them. */
static inline size_t relay_tag_off(unsigned n)
{
	return WIRE_RELAY_HDR + (size_t)WIRE_RELAY_LABEL * n;
}

/* Read the header at @buf, whose first byte says RELAY, and look at the first byte of what it carries.
 * ERR_TRUNCATED; ERR_MALFORMED: numbers that can't be, the control lane, or a RELAY inside. */
int relay_parse(struct relay_hdr *h, const uint8_t *buf, size_t len);
/* Is a node twice on the route, @self (who got it) and @sender (who sent it) included? True too if one
 * of them has no label. */
bool relay_loops(const struct relay_hdr *h, uint64_t self, uint64_t sender);
/* At a relay (h->left > 0): who comes next; *@h becomes what is sent there but for index, lane and
 * counter. */
uint64_t relay_turn(struct relay_hdr *h, uint64_t sender);
/* Write header and labels to @buf (relay_tag_off(h->n) bytes). */
void relay_write(const struct relay_hdr *h, uint8_t *buf);

#endif
