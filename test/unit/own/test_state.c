/* What outlives a restart: there and back, too late, torn, another node's. */
#include "ownrig.h"

static struct owner *rich_core(ts_t *now)
{
	struct owner *o = core_new("10.0.0.0/16", 24, false);
	struct pfx six = pfx_of("fd00::/48");
	struct owner_prefix v[2] = {{.vni = 1, .pfx = pfx_of("10.0.1.0/24")},
		{.vni = 1, .pfx = pfx_of("fd00:0:0:1::/64")}};

	assert_int_equal(owner_range_add(o, 1, &six), 0);
	assert_int_equal(owner_want(o, 1, IP_V6, 64, 3, *now), 0);
	assert_int_equal(owner_orchestrator_set(o, v, 2, NULL, *now), 0);
	settle(o, now);
	assert_int_equal(owner_want_more(o, 1, IP_V4, *now), 0);
	settle(o, now);
	return o;
}

static struct owner *empty_like_rich(uint64_t unix_secs, unsigned self)
{
	struct owner_cfg cfg = {.seed = 2, .unix_secs = unix_secs, .seeds = true};
	struct pfx four = pfx_of("10.0.0.0/16"), six = pfx_of("fd00::/48");
	struct owner *o;

	if (self)
		cfg.self = key_of(self);
	owner_tune_default(&cfg.tune);
	o = owner_new(&cfg, at_ms(0));
	assert_non_null(o);
	assert_int_equal(owner_range_add(o, 1, &four), 0);
	assert_int_equal(owner_range_add(o, 1, &six), 0);
	assert_int_equal(owner_want(o, 1, IP_V4, 24, 5, at_ms(0)), 0);
	assert_int_equal(owner_want(o, 1, IP_V6, 64, 6, at_ms(0)), 0);
	return o;
}

static void state_round_trip(void **state)
{
	ts_t now = at_ms(0);
	struct owner *o = rich_core(&now), *back = empty_like_rich(UNIX_BASE + 100, 0);
	struct owner_own a, b;
	size_t it = 0, same = 0, len;
	struct pfx last;
	uint8_t *buf;

	(void)state;
	assert_int_equal(owner_encode(o, now, &buf, &len), 0);
	assert_int_equal(owner_restore(back, buf, len, at_ms(0)), 0);
	assert_int_equal(used_by(back, &last), 5);
	while (owner_own_next(o, &it, &a))
		for (size_t k = 0; owner_own_next(back, &k, &b);)
			same += pfx_eq(&a.p.pfx, &b.p.pfx) && a.p.right == b.p.right &&
				a.p.since_secs == b.p.since_secs && a.extra == b.extra &&
				b.tag == (b.p.right != OWNER_BY_CLAIM         ? 0
						 : b.p.pfx.ip.family == IP_V4 ? 5
									      : 6);
	assert_int_equal(same, 5);
	owner_free(back);

	/* as long away as a lease: the same blocks, claimed anew */
	back = empty_like_rich(UNIX_BASE + 24 * 3600, 0);
	assert_int_equal(owner_restore(back, buf, len, at_ms(0)), 0);
	assert_int_equal(used_by(back, &last), 2); /* the orchestrator's */
	now = at_ms(0);
	settle(back, &now);
	settle(back, &now);
	assert_int_equal(used_by(back, &last), 5);
	for (it = 0; owner_own_next(back, &it, &b);) {
		bool was = false;

		for (size_t k = 0; owner_own_next(o, &k, &a);)
			was |= pfx_eq(&a.p.pfx, &b.p.pfx);
		assert_true(was);
		if (b.p.right == OWNER_BY_CLAIM)
			assert_true(b.p.since_secs >= UNIX_BASE + 24 * 3600);
	}
	owner_free(back);

	/* a clock that went back proves no absence */
	back = empty_like_rich(1, 0);
	assert_int_equal(owner_restore(back, buf, len, at_ms(0)), 0);
	assert_int_equal(used_by(back, &last), 5);
	owner_free(back);

	/* a copied disk under another identity */
	back = empty_like_rich(UNIX_BASE, 3);
	assert_int_equal(owner_restore(back, buf, len, at_ms(0)), ERR_FOREIGN);
	assert_int_equal(used_by(back, &last), 0);
	owner_free(back);

	/* a configuration that has no place for the claims */
	back = core_new("192.168.0.0/16", 24, true);
	assert_int_equal(owner_restore(back, buf, len, at_ms(0)), 0);
	for (it = 0; owner_own_next(back, &it, &b);)
		assert_int_equal(b.p.right, OWNER_BY_ORCHESTRATOR);
	owner_free(back);
	free(buf);
	owner_free(o);
}

/* Killed before the objection time was over: it must stand anew. */
static void waiting_is_not_standing(void **state)
{
	struct owner *o = core_new("10.0.0.0/16", 24, false), *back;
	struct owner_own own;
	struct pfx last;
	ts_t now = at_ms(0);
	size_t len, it = 0;
	uint8_t *buf;

	(void)state;
	owner_tick(o, now);
	assert_true(owner_own_next(o, &it, &own));
	assert_int_equal(owner_encode(o, now, &buf, &len), 0);
	back = core_new("10.0.0.0/16", 24, false);
	assert_int_equal(owner_restore(back, buf, len, now), 0);
	assert_int_equal(used_by(back, &last), 0);
	settle(back, &now);
	assert_int_equal(used_by(back, &last), 1);
	assert_true(pfx_eq(&last, &own.p.pfx));
	free(buf);
	owner_free(back);
	owner_free(o);
}

static void state_torn(void **state)
{
	ts_t now = at_ms(0);
	struct owner *o = rich_core(&now);
	size_t len;
	uint8_t *buf, *copy;
	struct pfx last;

	(void)state;
	assert_int_equal(owner_encode(o, now, &buf, &len), 0);
	for (size_t n = 0; n < len; n++) {
		struct owner *back = empty_like_rich(UNIX_BASE, 0);

		copy = malloc(n + 1); /* at its true size, for the address sanitizer */
		assert_non_null(copy);
		memcpy(copy, buf, n);
		assert_int_equal(owner_restore(back, copy, n, at_ms(0)), ERR_TRUNCATED);
		assert_int_equal(used_by(back, &last), 0);
		free(copy);
		owner_free(back);
	}
	for (size_t bit = 0; bit < len * 8; bit++) {
		struct owner *back = empty_like_rich(UNIX_BASE, 0);
		int err;

		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		err = owner_restore(back, buf, len, at_ms(0));
		assert_true(err == 0 || err == ERR_TRUNCATED || err == ERR_MALFORMED ||
			    err == ERR_FOREIGN);
		if (bit < 256)
			assert_int_equal(err, ERR_FOREIGN);
		if (err)
			assert_int_equal(used_by(back, &last), 0);
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		owner_free(back);
	}
	free(buf);
	owner_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_round_trip),
		cmocka_unit_test(waiting_is_not_standing),
		cmocka_unit_test(state_torn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
