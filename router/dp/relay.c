/* relay.c - see relay.h. */
#include "relay.h"

#include <assert.h>
#include "weft/buf.h"
#include "weft/err.h"

/* May a datagram that begins with @first travel inside? */
static bool may_carry(uint8_t first)
{
	return WIRE_VERSION_OF(first) == WIRE_VERSION && WIRE_TYPE_OF(first) >= WIRE_DATA &&
	       WIRE_TYPE_OF(first) < WIRE_RELAY;
}

int relay_parse(struct relay_hdr *h, const uint8_t *buf, size_t len)
{
	uint8_t hops, reserved, first;
	struct rd r;

	rd_init(&r, buf, len);
	(void)rd_u8(&r); /* type and version: looked at already */
	hops = rd_u8(&r);
	h->lane = rd_u8(&r);
	reserved = rd_u8(&r);
	h->index = rd_u32(&r);
	h->counter = rd_u64(&r);
	h->n = WIRE_RELAY_LABELS(hops);
	h->left = WIRE_RELAY_LEFT(hops);
	if (rd_bad(&r))
		return ERR_TRUNCATED;
	if (h->n < 1 || h->n > WIRE_RELAY_LABELS_MAX || h->left > h->n || reserved ||
		h->lane == WIRE_LANE_CONTROL)
		return ERR_MALFORMED;
	for (unsigned i = 0; i < h->n; i++)
		h->label[i] = rd_u64(&r);
	(void)rd_take(&r, WIRE_TAG);
	first = rd_u8(&r);
	if (rd_bad(&r))
		return ERR_TRUNCATED;
	return may_carry(first) ? 0 : ERR_MALFORMED;
}

bool relay_loops(const struct relay_hdr *h, uint64_t self, uint64_t sender)
{
	if (!self || !sender || self == sender)
		return true;
	for (unsigned i = 0; i < h->n; i++) {
		if (!h->label[i] || h->label[i] == self || h->label[i] == sender)
			return true;
		for (unsigned k = 0; k < i; k++) {
			if (h->label[k] == h->label[i])
				return true;
		}
	}
	return false;
}

uint64_t relay_turn(struct relay_hdr *h, uint64_t sender)
{
	unsigned at = h->n - h->left;
	uint64_t next;

	assert(h->left > 0 && h->left <= h->n);
	next = h->label[at];
	h->label[at] = sender;
	h->left--;
	return next;
}

void relay_write(const struct relay_hdr *h, uint8_t *buf)
{
	struct wr w;

	wr_init(&w, buf, relay_tag_off(h->n));
	wr_u8(&w, WIRE_TYPE_BYTE(WIRE_RELAY));
	wr_u8(&w, WIRE_RELAY_HOPS(h->n, h->left));
	wr_u8(&w, h->lane);
	wr_u8(&w, 0);
	wr_u32(&w, h->index);
	wr_u64(&w, h->counter);
	for (unsigned i = 0; i < h->n; i++)
		wr_u64(&w, h->label[i]);
	assert(!wr_bad(&w));
}
