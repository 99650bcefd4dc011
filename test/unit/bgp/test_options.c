/* What can be asked of a session: AS numbers (RFC 7705, 7938), roles (9234), bounds, MRAI. */
#include "bgpnet.h"

static struct net_sim s;

static int setup(void **state)
{
	net_init(&s, 21);
	return 0;
}

static int teardown(void **state)
{
	net_free(&s);
	return 0;
}

/* A row of nodes 0 - 1 - 2 ..., AS 65001 + i; cfg[i][0] is i's towards i - 1, cfg[i][1] to i + 1. */
static struct bgp_peer_cfg cfg[4][2];
static uint32_t as_of[4];

static void row(int n)
{
	for (int i = 0; i < n; i++) {
		as_of[i] = 65001 + (uint32_t)i;
		s.n[i].addr = ip_v4(0x0a000000u + (uint32_t)i + 1);
	}
	for (int i = 0; i < n; i++) {
		cfg[i][0] = net_peer_cfg(&s, i ? i - 1 : 0, as_of[i ? i - 1 : 0]);
		cfg[i][1] = net_peer_cfg(&s, i + 1 < n ? i + 1 : 0, as_of[i + 1 < n ? i + 1 : 0]);
	}
}

static void begin(int n)
{
	for (int i = 0; i < n; i++)
		net_node(&s, i, as_of[i], (uint32_t)i + 1);
	for (int i = 0; i < n; i++) {
		if (i > 0)
			net_add(&s, i, &cfg[i][0]);
		if (i + 1 < n)
			net_add(&s, i, &cfg[i][1]);
	}
	originate(&s, 0, "192.0.2.0/24");
	net_run(&s, 10);
}

static const char *path_at(int i)
{
	static struct found f;

	return has_route(&s, i, "192.0.2.0/24", &f) ? f.path : "none";
}

/* RFC 7938 5.2.3: the same AS at both ends. */
static void test_allow_own_as(void **state)
{
	for (uint8_t allow = 0; allow < 2; allow++) {
		net_free(&s);
		net_init(&s, 1);
		row(3);
		as_of[2] = as_of[0];
		cfg[1][1].remote_as = as_of[0];
		cfg[2][0].allow_own_as = allow;
		begin(3);
		assert_string_equal(path_at(2), allow ? "65002 65001" : "none");
		assert_int_equal(net_info(&s, 2, 1).loops, !allow);
	}
}

static void test_as_override(void **state)
{
	row(3);
	as_of[2] = as_of[0];
	cfg[1][1].remote_as = as_of[0];
	cfg[1][1].as_override = true;
	begin(3);
	assert_string_equal(path_at(2), "65002 65002");
}

static void test_remove_private(void **state)
{
	row(4);
	as_of[1] = 4200000001u; /* private */
	as_of[2] = 4999;
	as_of[3] = 65001; /* as 0: the peer's own number stays */
	cfg[0][1].remote_as = cfg[2][0].remote_as = as_of[1];
	cfg[1][1].remote_as = cfg[3][0].remote_as = as_of[2];
	cfg[2][1].remote_as = as_of[3];
	cfg[2][1].remove_private = true;
	cfg[3][0].allow_own_as = 1;
	begin(4);
	assert_string_equal(path_at(2), "4200000001 65001");
	assert_string_equal(path_at(3), "4999 65001");
}

/* RFC 7705 3: 1 is 65100 to 2, and 65200 to 0. */
static void test_local_as(void **state)
{
	static const struct {
		bool no_prepend, replace;
		const char *at1, *at2;
	} t[] = {
		{false, false, "65200 65001", "65100 65002 65200 65001"},
		{true, false, "65001", "65100 65002 65001"},
		{true, true, "65001", "65100 65001"},
	};

	for (size_t i = 0; i < 3; i++) {
		net_free(&s);
		net_init(&s, 1);
		row(3);
		cfg[0][1].remote_as = 65200;
		cfg[1][0].local_as = 65200;
		cfg[1][0].no_prepend = t[i].no_prepend;
		cfg[1][1].local_as = 65100;
		cfg[1][1].replace_as = t[i].replace;
		cfg[2][0].remote_as = 65100;
		begin(3);
		assert_string_equal(path_at(1), t[i].at1);
		assert_string_equal(path_at(2), t[i].at2);
	}
	/* A path that has it already is a loop. */
	net_free(&s);
	net_init(&s, 1);
	row(3);
	as_of[0] = 65100;
	cfg[1][0].remote_as = 65100;
	cfg[1][1].allow_own_as = 0;
	cfg[2][0].local_as = 65100;
	cfg[1][1].remote_as = 65100;
	begin(3);
	assert_string_equal(path_at(2), "none");
	assert_int_equal(net_info(&s, 2, 1).loops, 1);
}

/* RFC 9774: an AS_SET is not announced, and what has one is withdrawn (decoder: test_msg.c). */
static void test_no_as_set(void **state)
{
	static const uint8_t path[] = {1, 1, 0, 0, 0xfd, 0xe8};
	struct bgp_attrs a = {.as_path = {path, sizeof(path)}};
	struct bgp_nlri n = nlri4("192.0.2.0/24");

	net_node(&s, 0, 65001, 1);
	assert_int_equal(bgp_originate(s.n[0].b, 1, &n, &a, s.now), ERR_RANGE);
}

/* RFC 9234 4.2. */
static void test_roles(void **state)
{
	static const struct {
		enum bgp_role ours, theirs;
		bool strict, up;
	} t[] = {
		{BGP_ROLE_PROVIDER, BGP_ROLE_CUSTOMER, false, true},
		{BGP_ROLE_RS, BGP_ROLE_RS_CLIENT, true, true},
		{BGP_ROLE_PEER, BGP_ROLE_PEER, false, true},
		{BGP_ROLE_PROVIDER, BGP_ROLE_PROVIDER, false, false},
		{BGP_ROLE_PEER, BGP_ROLE_CUSTOMER, false, false},
		{BGP_ROLE_RS_CLIENT, BGP_ROLE_CUSTOMER, false, false},
		{BGP_ROLE_PEER, BGP_ROLE_NONE, false, true},
		{BGP_ROLE_PEER, BGP_ROLE_NONE, true, false},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		net_free(&s);
		net_init(&s, 1);
		row(2);
		cfg[0][1].role = t[i].ours;
		cfg[0][1].role_strict = t[i].strict;
		cfg[1][0].role = t[i].theirs;
		begin(2);
		assert_int_equal(net_info(&s, 0, 1).state == BGP_ESTABLISHED, t[i].up);
		if (t[i].up)
			assert_int_equal(net_info(&s, 0, 1).remote_role, t[i].theirs);
		else
			assert_non_null(
				strstr(net_info(&s, 1, 0).last_error, "role mismatch (2/11)"));
	}
}

static uint32_t otc_at(int i)
{
	static struct found f;

	if (!has_route(&s, i, "192.0.2.0/24", &f))
		return 1;
	return f.a.has & BGP_HAS_OTC ? f.a.otc : 0;
}

#define U BGP_ROLE_CUSTOMER
#define D BGP_ROLE_PROVIDER
#define P BGP_ROLE_PEER
/* RFC 9234 5: 0 tells 1, and 1 tells 2; what 1 is to 0 and to 2. */
static void test_otc(void **state)
{
	static const struct {
		enum bgp_role to0, to2;
		uint32_t at1, at2; /* 1: no route */
	} t[] = {
		{D, U, 0, 0},         /* from a customer to a provider */
		{D, D, 0, 65002},     /* from a customer to another */
		{D, P, 0, 65002},     /* to a peer */
		{U, D, 65001, 65001}, /* from a provider to a customer */
		{U, U, 65001, 1},     /* valley */
		{P, P, 65001, 1},     /* valley */
		{P, D, 65001, 65001},
		{U, P, 65001, 1},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		net_free(&s);
		net_init(&s, 1);
		row(3);
		cfg[1][0].role = t[i].to0; /* the others don't take part */
		cfg[1][1].role = t[i].to2;
		begin(3);
		assert_int_equal(otc_at(1), t[i].at1);
		assert_int_equal(otc_at(2), t[i].at2);
	}
}

/* A leak comes in: 0 has it with OTC of a stranger. */
static void test_leak(void **state)
{
	static const enum bgp_role refuse[] = {BGP_ROLE_PROVIDER, BGP_ROLE_RS, BGP_ROLE_PEER};

	for (size_t i = 0; i < 4; i++) {
		struct bgp_attrs a = {.has = BGP_HAS_OTC, .otc = i == 3 ? 65001 : 64999};
		struct bgp_nlri n = nlri4("192.0.2.0/24");

		net_free(&s);
		net_init(&s, 1);
		row(2);
		cfg[1][0].role = i == 3 ? BGP_ROLE_PEER : refuse[i];
		net_node(&s, 0, as_of[0], 1);
		net_node(&s, 1, as_of[1], 2);
		net_add(&s, 0, &cfg[0][1]);
		net_add(&s, 1, &cfg[1][0]);
		assert_int_equal(bgp_originate(s.n[0].b, 1, &n, &a, s.now), 0);
		net_run(&s, 5);
		assert_int_equal(net_info(&s, 1, 0).prefixes_received, 1);
		assert_int_equal(net_info(&s, 1, 0).prefixes_accepted, i == 3);
		assert_int_equal(net_info(&s, 1, 0).leaks, i != 3);
	}
}

/* RFC 4271 6.7: first a warning, then the end, then another try after what was asked for. */
static void test_max_restart(void **state)
{
	row(2);
	cfg[1][0].warn_prefixes = 1;
	cfg[1][0].max_prefixes = 2;
	cfg[1][0].max_restart_secs = 300;
	begin(2);
	assert_int_equal(s.n[1].logs, 0);
	originate(&s, 0, "198.51.100.0/24");
	net_run(&s, 1);
	assert_int_equal(s.n[1].logs, 1);
	assert_int_equal(net_info(&s, 1, 0).state, BGP_ESTABLISHED);
	originate(&s, 0, "203.0.113.0/24");
	net_run(&s, 1);
	assert_int_equal(net_info(&s, 1, 0).state, BGP_IDLE);
	assert_int_equal(net_info(&s, 1, 0).prefixes_received, 0);
	{
		struct bgp_nlri n = nlri4("203.0.113.0/24");

		bgp_withdraw(s.n[0].b, 1, &n, s.now);
	}
	net_run(&s, 290);
	assert_int_equal(net_info(&s, 1, 0).state, BGP_IDLE);
	net_run(&s, 180);
	assert_int_equal(net_info(&s, 1, 0).state, BGP_ESTABLISHED);
	assert_int_equal(net_info(&s, 1, 0).prefixes_received, 2);
}

/* RFC 4271 9.2.1.1: many changes within the interval are one UPDATE. */
static void test_mrai(void **state)
{
	uint64_t before;
	struct bgp_nlri n = nlri4("192.0.2.0/24");

	row(2);
	cfg[0][1].mrai_secs = 10;
	begin(2);
	net_run(&s, 20);
	before = net_info(&s, 0, 1).tx_updates;
	for (unsigned i = 0; i < 70; i++) {
		struct bgp_attrs a = {.has = BGP_HAS_MED, .med = i};

		assert_int_equal(bgp_originate(s.n[0].b, 1, &n, &a, s.now), 0);
		net_run(&s, 1);
	}
	assert_true(net_info(&s, 0, 1).tx_updates - before >= 7);
	assert_true(net_info(&s, 0, 1).tx_updates - before <= 11); /* 70 s / 7.5 s, and the first */
	net_run(&s, 10);
	assert_string_equal(path_at(1), "65001");
	/* The session goes and comes: nothing waits for the old timer. */
	net_break(&s, 0, 1);
	net_run(&s, 10);
	assert_string_equal(path_at(1), "65001");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_allow_own_as),
		T(test_as_override),
		T(test_remove_private),
		T(test_local_as),
		T(test_no_as_set),
		T(test_roles),
		T(test_otc),
		T(test_leak),
		T(test_max_restart),
		T(test_mrai),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
