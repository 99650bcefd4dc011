/* Translators and firewalls behave as RFC 4787 names them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim_nat.h"

#define INNER 6793

static const ts_t start = {UINT64_C(1000000000)};

static struct ep ep(uint32_t addr, uint16_t port)
{
	return (struct ep){.ip = ip_v4(addr), .port = port};
}

/* Sent to @to; what gets in from it, from another port of it, from elsewhere. */
struct row {
	enum sim_nat_kind kind;
	bool same, other_port, elsewhere;
	bool one_outer; /* a second destination sees the same outer port */
	bool translates;
};

static const struct row rows[] = {
	{NAT_NONE, true, true, true, true, false},
	{NAT_FULL_CONE, true, true, true, true, true},
	{NAT_ADDRESS, true, true, false, true, true},
	{NAT_PORT, true, false, false, true, true},
	{NAT_SYMMETRIC, true, false, false, false, true},
	{NAT_FIREWALL, true, false, false, true, false},
};

static void check(const struct row *r)
{
	struct ep a = ep(1, 1000), a2 = ep(1, 1001), b = ep(2, 1000);
	struct sim_nat *t = sim_nat_new(r->kind);
	uint16_t outer;

	assert_int_equal(sim_nat_translates(t), r->translates);
	if (r->kind != NAT_NONE)
		assert_int_equal(sim_nat_in(t, INNER, &a, start), 0);
	outer = sim_nat_out(t, INNER, &a, start);
	assert_int_equal(outer != INNER, r->translates);
	assert_int_equal(sim_nat_in(t, outer, &a, start), r->same ? INNER : 0);
	assert_int_equal(sim_nat_in(t, outer, &a2, start), r->other_port ? INNER : 0);
	assert_int_equal(sim_nat_in(t, outer, &b, start), r->elsewhere ? INNER : 0);
	if (r->kind != NAT_NONE)
		assert_int_equal(sim_nat_in(t, outer + 1, &a, start), 0);
	assert_int_equal(sim_nat_out(t, INNER, &b, start) == outer, r->one_outer);
	assert_int_equal(sim_nat_in(t, sim_nat_out(t, INNER, &b, start), &b, start), INNER);
	/* Another inner port has another one outside. */
	assert_int_not_equal(sim_nat_out(t, INNER + 1, &a, start), outer);
	sim_nat_free(t);
}

static void each_kind(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i]);
}

static void flows_are_forgotten(void **state)
{
	struct sim_nat *t = sim_nat_new(NAT_PORT);
	struct ep a = ep(1, 1000);
	ts_t now = start;
	uint16_t outer = sim_nat_out(t, INNER, &a, now);

	now = ts_add(now, DUR_NS(SIM_NAT_LIFE.ns - 1));
	assert_int_equal(sim_nat_in(t, outer, &a, now), INNER);
	/* What comes in keeps nothing alive, what goes out does. */
	assert_int_equal(sim_nat_in(t, outer, &a, ts_add(now, DUR_NS(1))), 0);
	assert_int_equal(sim_nat_out(t, INNER, &a, now), outer);
	now = ts_add(now, DUR_NS(SIM_NAT_LIFE.ns - 1));
	assert_int_equal(sim_nat_in(t, outer, &a, now), INNER);
	sim_nat_free(t);
}

static void flows_are_bounded(void **state)
{
	struct sim_nat *t = sim_nat_new(NAT_FIREWALL);
	struct ep first = ep(1, 1), last = ep(1, SIM_NAT_FLOWS + 1);

	for (uint16_t i = 0; i <= SIM_NAT_FLOWS; i++) {
		struct ep to = ep(1, i + 1);

		(void)sim_nat_out(t, INNER, &to, ts_add(start, DUR_MS(i)));
	}
	assert_int_equal(sim_nat_in(t, INNER, &first, ts_add(start, DUR_SEC(2))), 0);
	assert_int_equal(sim_nat_in(t, INNER, &last, ts_add(start, DUR_SEC(2))), INNER);
	sim_nat_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind),
		cmocka_unit_test(flows_are_forgotten),
		cmocka_unit_test(flows_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
