/* The file of claims: what is taken is whole, and encodes to something that is taken again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "owner.h"
#include "weft/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct owner *fresh(const uint8_t *data, size_t size)
{
	struct owner_cfg cfg = {.seed = 1, .unix_secs = 1700000000};
	struct pfx four, six;
	struct owner *o;

	if (size >= sizeof(cfg.self.b))
		memcpy(cfg.self.b, data, sizeof(cfg.self.b)); /* it is this node's */
	owner_tune_default(&cfg.tune);
	o = owner_new(&cfg, TS_ZERO);
	assert(o);
	assert(pfx_parse("10.0.0.0/16", &four) == 0 && pfx_parse("fd00::/48", &six) == 0);
	assert(owner_range_add(o, 1, &four) == 0 && owner_range_add(o, 1, &six) == 0);
	assert(owner_want(o, 1, IP_V4, 24, 0, TS_ZERO) == 0);
	assert(owner_want(o, 1, IP_V6, 64, 0, TS_ZERO) == 0);
	return o;
}

static size_t own_count(const struct owner *o)
{
	struct owner_own own, other;
	size_t it = 0, n = 0;

	while (owner_own_next(o, &it, &own)) {
		n++;
		for (size_t k = it; owner_own_next(o, &k, &other);)
			assert(own.p.vni != other.p.vni || !pfx_overlaps(&own.p.pfx, &other.p.pfx));
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct owner *o = fresh(data, size), *back;
	int err = owner_restore(o, data, size, TS_ZERO);
	uint8_t *buf;
	size_t len;

	if (err) {
		assert(own_count(o) == 0);
	} else {
		assert(owner_encode(o, TS_ZERO, &buf, &len) == 0);
		back = fresh(buf, len);
		assert(owner_restore(back, buf, len, TS_ZERO) == 0);
		assert(own_count(back) == own_count(o));
		owner_free(back);
		free(buf);
		owner_tick(o, (ts_t){UINT64_C(3600000000000)});
		(void)own_count(o);
	}
	owner_free(o);
	return 0;
}
