/* A batch of received packets (flags 8, length 16, bytes; again) through coalescing; what comes out is
 * split again and must be what went in: nothing lost, doubled or changed. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "coalesce.h"
#include "flow.h"
#include "gso.h"
#include "weft/wire.h"

#define BATCH 128

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t went_in, came_out;

/* The packets of either side are compared by the sum of this over them. */
static uint64_t hash(const uint8_t *p, size_t len)
{
	uint64_t h = 1;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h;
}

static void emit(void *ctx, const struct coal_out *o)
{
	static uint8_t super[PKT_MAX], seg[PKT_MAX];
	struct gso_iter it;
	struct pkt_info pi;
	size_t n = 0, len;
	uint8_t inner;

	for (unsigned i = 1; i < o->niov; n += o->iov[i++].iov_len)
		memcpy(super + n, o->iov[i].iov_base, o->iov[i].iov_len);
	assert(pkt_parse(&pi, super, n) == 0 && pi.len == n && n == o->bytes);
	assert(gso_init(&it, &o->vnet, &pi, 0) == (int)o->packets);
	while (gso_next(&it, seg, sizeof(seg), &len, &inner) > 0)
		came_out += hash(seg, len);
}

/* One packet of the batch; returns its block, to be freed after the flush. */
static uint8_t *feed(struct coal *c, const uint8_t *data, size_t len, uint8_t flags)
{
	static uint8_t whole[PKT_MAX];
	uint8_t *pkt = malloc(len + !len);
	struct pkt_info pi;

	memcpy(pkt, data, len);
	if (pkt_parse(&pi, pkt, len) == 0) {
		memcpy(whole, pkt, pi.len);
		gso_rx_complete(whole, &pi, flags);
		if (coal_add(c, 1, pkt, &pi, flow_hash(&pi), flags) == 0)
			went_in += hash(whole, pi.len);
	}
	return pkt;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct coal c;
	uint8_t *held[BATCH];
	unsigned n = 0;

	came_out = went_in = 0;
	coal_init(&c, emit, NULL, size ? data[0] & COAL_NO_UDP : 0);
	for (size_t at = 1; at + 3 <= size && n < BATCH; n++) {
		size_t len = (size_t)(data[at + 1] << 8 | data[at + 2]), left = size - at - 3;

		len = len < left ? len : left;
		held[n] = feed(&c, data + at + 3, len, data[at] & WIRE_IF_CSUM_PARTIAL);
		at += 3 + len;
	}
	coal_flush(&c);
	assert(came_out == went_in);
	while (n)
		free(held[--n]);
	return 0;
}
