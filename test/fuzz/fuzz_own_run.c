/* The core by a sequence of events made of the input: its own prefixes never overlap, what is in service
 * is what it says, and time that passes does not stop it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "owner.h"
#include "weft/buf.h"
#include "weft/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct owner_prefix prefix(struct rd *r)
{
	struct owner_prefix p = {.vni = 1, .right = rd_u8(r) % 4, .since_secs = rd_u8(r)};
	struct ip ip = ip_v4(0x0a000000u | rd_u16(r)); /* ranges are 10.0.0.0/20 */

	(void)pfx_make(&ip, 18 + rd_u8(r) % 15, &p.pfx);
	return p;
}

static void drain(struct owner *o, size_t *used)
{
	struct owner_own a, b;
	struct owner_act act;
	size_t it = 0, n = 0;

	while (owner_next(o, &act)) {
		*used += act.type == OWNER_USE;
		*used -= act.type == OWNER_UNUSE;
	}
	while (owner_own_next(o, &it, &a)) {
		n += a.state == OWNER_IN_USE;
		for (size_t k = it; owner_own_next(o, &k, &b);)
			assert(!pfx_overlaps(&a.p.pfx, &b.p.pfx));
	}
	assert(n == *used);
}

static void event(struct owner *o, struct rd *r, ts_t *now)
{
	struct owner_prefix v[3];
	struct owner_own own;
	uint8_t what = rd_u8(r);
	struct node_key k = {{(uint8_t)(rd_u8(r) % 8)}}; /* 0: ourselves */
	size_t n = rd_u8(r) % 4, it = 0;

	for (size_t i = 0; i < n; i++)
		v[i] = prefix(r);
	*now = ts_add(*now, DUR_MS((int64_t)rd_u16(r) << (rd_u8(r) % 14)));
	what %= 18;
	if (what == 0)
		(void)owner_orchestrator_set(o, v, n, NULL, *now);
	else if (what == 1)
		(void)owner_forgotten(o, &k, *now);
	else if (what == 2)
		(void)owner_want_more(o, 1, IP_V4, *now);
	else if (what == 3)
		(void)owner_deleted(o, &k, n % 2, *now);
	else if (what < 9)
		(void)owner_node_set(o, &k, (enum owner_node_state)(what % 3), v, n, *now);
	else if (owner_own_next(o, &it, &own) && what < 14)
		(void)owner_objection(o, 1, &own.p.pfx, &k, *now);
	else if (it > 0 && owner_undisputed(o, 1, &own.p.pfx, *now) == 0)
		(void)owner_refuse(o, 1, &own.p.pfx, *now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct owner_cfg cfg = {.seed = size, .unix_secs = 1, .seeds = size & 1};
	struct owner_range_info info;
	struct owner *o;
	struct pfx range;
	ts_t now = {1};
	size_t used = 0;
	struct rd r;

	owner_tune_default(&cfg.tune);
	o = owner_new(&cfg, now);
	assert(o && pfx_parse("10.0.0.0/20", &range) == 0);
	assert(owner_range_add(o, 1, &range) == 0 && owner_want(o, 1, IP_V4, 24, 0, now) == 0);
	rd_init(&r, data, size);
	while (rd_left(&r) > 0) {
		event(o, &r, &now);
		owner_tick(o, now);
		drain(o, &used);
		assert(!ts_due(owner_deadline(o), now) || ts_is_never(owner_deadline(o)));
		assert(owner_range_at(o, 0, &info) == 0);
		assert(info.owned + info.leased + info.free == info.size &&
			info.ended <= info.free);
	}
	owner_free(o);
	return 0;
}
