/* ownrig.h - what the tests of proto/own share: one core, its time, other nodes as it hears of them. */
#ifndef WEFT_OWNRIG_H
#define WEFT_OWNRIG_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "owner.h"
#include "weft/err.h"

#define UNIX_BASE 1700000000u

static inline ts_t at_ms(uint64_t ms)
{
	return (ts_t){1000000000 + ms * 1000000};
}

static inline struct pfx pfx_of(const char *text)
{
	struct pfx p;

	assert_int_equal(pfx_parse(text, &p), 0);
	return p;
}

static inline struct owner *core_new(const char *range, unsigned len, bool seeds)
{
	struct owner_cfg cfg = {.seed = 1, .unix_secs = UNIX_BASE, .seeds = seeds};
	struct pfx p = pfx_of(range);
	struct owner *o;

	owner_tune_default(&cfg.tune);
	o = owner_new(&cfg, at_ms(0));
	assert_non_null(o);
	assert_int_equal(owner_range_add(o, 1, &p), 0);
	if (len)
		assert_int_equal(owner_want(o, 1, p.ip.family, len, 0, at_ms(0)), 0);
	return o;
}

static inline struct node_key key_of(unsigned i)
{
	struct node_key k = {{0}};

	k.b[0] = (uint8_t)(i + 1);
	k.b[1] = (uint8_t)(i >> 8);
	k.b[31] = 1;
	return k;
}

static inline void set_node(
	struct owner *o, unsigned i, enum owner_node_state s, const char *pfx, ts_t now)
{
	struct node_key k = key_of(i);
	struct owner_prefix p = {.vni = 1, .right = OWNER_BY_CLAIM, .since_secs = UNIX_BASE};

	if (pfx)
		p.pfx = pfx_of(pfx);
	assert_int_equal(owner_node_set(o, &k, s, &p, pfx != NULL, now), 0);
}

static inline size_t ends(struct owner *o)
{
	struct owner_act a;
	size_t n = 0;

	while (owner_next(o, &a))
		n += a.type == OWNER_LEASE_END;
	return n;
}

static inline size_t used_by(struct owner *o, struct pfx *last)
{
	struct owner_own own;
	size_t it = 0, n = 0;

	while (owner_own_next(o, &it, &own))
		if (own.state == OWNER_IN_USE) {
			*last = own.p.pfx;
			n++;
		}
	return n;
}

static inline void settle(struct owner *o, ts_t *now)
{
	struct owner_act a;

	for (int i = 0; i < 100; i++) {
		*now = ts_add(*now, DUR_MS(100));
		owner_tick(o, *now);
		while (owner_next(o, &a))
			;
	}
}

#endif
