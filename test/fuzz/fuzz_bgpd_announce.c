/* The set of announcements: whatever is told and refused, outside stands exactly what the set says. */
#include <assert.h>
#include <string.h>
#include "announce.h"
#include "weft/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS 256 /* 10.0.n.0/24 by n, and the two aggregates */
static struct {
	uint8_t out[SLOTS + 2];
	unsigned n, refuse;
} outside;

static unsigned slot(const struct pfx *p)
{
	return p->len == 16 ? SLOTS : p->len == 8 ? SLOTS + 1 : p->ip.b[2];
}

static int on_add(void *ctx, const struct pfx *p, bool aggregate)
{
	if (outside.refuse > 0) {
		outside.refuse--;
		return ERR_FULL;
	}
	assert(!outside.out[slot(p)]);
	outside.out[slot(p)] = (uint8_t)(1 + aggregate);
	outside.n++;
	return 0;
}

static void on_del(void *ctx, const struct pfx *p, bool aggregate)
{
	assert(outside.out[slot(p)] == 1 + aggregate);
	outside.out[slot(p)] = 0;
	outside.n--;
}

static struct pfx prefix(uint8_t third, uint8_t len)
{
	return (struct pfx){ip_v4(10u << 24 | (len > 16 ? (uint32_t)third << 8 : 0)), len};
}

static void step(struct announce *a, uint8_t what, uint8_t arg)
{
	struct pfx p = prefix(arg, what & 8 ? 16 : 24);

	if ((what & 3) == 0) {
		(void)announce_end(a);
		announce_begin(a);
	} else if ((what & 3) == 1) {
		outside.refuse = arg & 7;
	} else {
		(void)announce_seen(a, &p, what & 4);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct announce_ops ops = {on_add, on_del};
	const struct pfx aggregates[2] = {prefix(0, 16), prefix(0, 8)};
	struct announce_cfg cfg = {.aggregates = aggregates, .naggregates = 2, .ops = &ops};
	struct announce_info info;
	struct announce *a;
	size_t it = 0, shown = 0;

	memset(&outside, 0, sizeof(outside));
	cfg.pods = size > 0 ? (enum announce_pods)(data[0] % 3) : ANNOUNCE_NONE;
	a = announce_new(&cfg);
	announce_begin(a);
	for (size_t i = 1; i + 1 < size; i += 2)
		step(a, data[i], data[i + 1]);
	(void)announce_end(a);
	for (; announce_next(a, &it, &info); shown++)
		assert(outside.out[slot(&info.pfx)]);
	assert(shown == outside.n);
	announce_free(a);
	return 0;
}
