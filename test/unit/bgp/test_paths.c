/* Several paths to a prefix (RFC 7911), IPv4 by IPv6 next hops (8950), long messages (8654). */
#include "bgpnet.h"
#include "fault.h"

static struct net_sim s;

static int setup(void **state)
{
	net_init(&s, 31);
	for (int i = 0; i < NET_NODES; i++)
		s.n[i].addr = ip_v4(0x0a000000u + (uint32_t)i + 1);
	return 0;
}

static int teardown(void **state)
{
	net_free(&s);
	return 0;
}

struct seen {
	unsigned n;
	uint32_t ids[16];
	char paths[16][64];
};

static bool see(void *ctx, const struct bgp_entry *e)
{
	struct seen *x = ctx;

	assert_true(x->n < 16);
	x->ids[x->n] = e->nlri->path_id;
	bgp_attrs_path_fmt(e->attrs, x->paths[x->n], sizeof(x->paths[0]));
	x->n++;
	return true;
}

/* All paths that @i has to @text. */
static struct seen seen_at(int i, const char *text)
{
	struct bgp_nlri n = nlri4(text);
	struct seen x = {0};

	(void)bgp_lookup(s.n[i].b, 1, &n, see, &x);
	return x;
}

static bool saw(const struct seen *x, const char *path)
{
	for (unsigned i = 0; i < x->n; i++)
		if (strcmp(x->paths[i], path) == 0)
			return true;
	return false;
}

/* 1, 2, 3 tell 0 the same prefix; 0 tells 4 all of them. */
static void star(bool rx, uint8_t tx)
{
	net_node(&s, 0, 65000, 100);
	net_node(&s, 4, 65004, 5);
	for (int i = 1; i < 4; i++) {
		net_node(&s, i, 65000 + (uint32_t)i, (uint32_t)i + 1);
		net_join(&s, 0, 65000, i, 65000 + (uint32_t)i);
		originate(&s, i, "192.0.2.0/24");
	}
	{
		struct bgp_peer_cfg c04 = net_peer_cfg(&s, 4, 65004);
		struct bgp_peer_cfg c40 = net_peer_cfg(&s, 0, 65000);

		c04.add_path_tx = tx;
		c40.add_path_rx = rx;
		net_add(&s, 0, &c04);
		net_add(&s, 4, &c40);
	}
	net_run(&s, 10);
}

static void test_add_path(void **state)
{
	struct bgp_nlri n = nlri4("192.0.2.0/24");
	struct seen x;

	star(true, 8);
	x = seen_at(4, "192.0.2.0/24");
	assert_int_equal(x.n, 3);
	assert_true(saw(&x, "65000 65001") && saw(&x, "65000 65002") && saw(&x, "65000 65003"));
	assert_true(x.ids[0] != x.ids[1] && x.ids[1] != x.ids[2] && x.ids[0] != x.ids[2]);
	assert_int_equal(net_info(&s, 4, 0).prefixes_received, 3);
	assert_int_equal(net_info(&s, 0, 4).prefixes_announced, 3);
	assert_int_equal(net_info(&s, 0, 4).paths_out, BGP_FAM(BGP_IPV4));
	assert_int_equal(net_info(&s, 4, 0).paths_in, BGP_FAM(BGP_IPV4));
	/* One goes, that one alone is withdrawn; it comes back; one changes. */
	bgp_withdraw(s.n[2].b, 1, &n, s.now);
	net_settle(&s);
	x = seen_at(4, "192.0.2.0/24");
	assert_int_equal(x.n, 2);
	assert_false(saw(&x, "65000 65002"));
	originate(&s, 2, "192.0.2.0/24");
	net_settle(&s);
	assert_int_equal(seen_at(4, "192.0.2.0/24").n, 3);
	/* All go with their peers. */
	for (int i = 1; i < 4; i++) {
		net_break(&s, 0, i);
		s.n[i].deaf = true;
		net_settle(&s);
		assert_int_equal(seen_at(4, "192.0.2.0/24").n, 3 - i);
	}
	assert_int_equal(net_info(&s, 4, 0).prefixes_received, 0);
}

/* The best ones first, and no more than asked for. */
static void test_add_path_some(void **state)
{
	struct bgp_nlri n = nlri4("192.0.2.0/24");
	struct seen x;

	star(true, 2);
	x = seen_at(4, "192.0.2.0/24");
	assert_int_equal(x.n, 2);
	assert_true(saw(&x, "65000 65001") && saw(&x, "65000 65002")); /* by router id */
	bgp_withdraw(s.n[1].b, 1, &n, s.now);
	net_settle(&s);
	x = seen_at(4, "192.0.2.0/24");
	assert_int_equal(x.n, 2);
	assert_true(saw(&x, "65000 65002") && saw(&x, "65000 65003"));
}

/* Without the other side's consent there is one path, without identifier. */
static void test_add_path_alone(void **state)
{
	star(false, 8);
	assert_int_equal(seen_at(4, "192.0.2.0/24").n, 1);
	assert_int_equal(net_info(&s, 0, 4).paths_out, 0);
	net_free(&s);
	setup(NULL);
	star(true, 0);
	assert_int_equal(seen_at(4, "192.0.2.0/24").n, 1);
	assert_int_equal(net_info(&s, 4, 0).paths_in, 0);
}

/* A peer that already hears the best alone is no reason to rank; one that comes later gets all. */
static void test_add_path_later(void **state)
{
	struct bgp_peer_cfg c05, c50;

	star(true, 0);
	net_node(&s, 5, 65005, 6);
	c05 = net_peer_cfg(&s, 5, 65005);
	c50 = net_peer_cfg(&s, 0, 65000);
	c05.add_path_tx = 3;
	c50.add_path_rx = true;
	net_add(&s, 0, &c05);
	net_add(&s, 5, &c50);
	net_run(&s, 5);
	assert_int_equal(seen_at(5, "192.0.2.0/24").n, 3);
	assert_int_equal(seen_at(4, "192.0.2.0/24").n, 1);
	/* Refresh and a new policy go over them too. */
	assert_int_equal(bgp_peer_refresh(s.n[5].b, 1, BGP_IPV4, s.now), 0);
	net_run(&s, 5);
	assert_int_equal(seen_at(5, "192.0.2.0/24").n, 3);
	assert_int_equal(bgp_peer_repolicy(s.n[5].b, 1, NULL, NULL, s.now), 0);
	assert_int_equal(bgp_peer_repolicy(s.n[0].b, 5, NULL, NULL, s.now), 0);
	net_run(&s, 5);
	assert_int_equal(seen_at(5, "192.0.2.0/24").n, 3);
}

/* Random changes: at the end what 4 has is what it would have heard at first. */
static void test_add_path_churn(void **state)
{
	for (unsigned turn = 0; turn < 6; turn++) {
		struct prng rnd;
		bool there[4] = {0};
		unsigned want = 0;

		net_free(&s);
		setup(NULL);
		prng_seed(&rnd, turn + 1);
		star(true, turn & 1 ? 2 : 8);
		there[1] = there[2] = there[3] = true;
		for (unsigned i = 0; i < 200; i++) {
			int k = 1 + (int)prng_below(&rnd, 3);
			struct bgp_attrs a = {.has = BGP_HAS_MED, .med = i};
			struct bgp_nlri n = nlri4("192.0.2.0/24");

			if (prng_below(&rnd, 3) == 0)
				there[k] = there[k] && bgp_withdraw(s.n[k].b, 1, &n, s.now) != 0;
			else
				there[k] = bgp_originate(s.n[k].b, 1, &n, &a, s.now) == 0;
			if (prng_below(&rnd, 9) == 0)
				net_break(&s, 0, 4);
			if (prng_below(&rnd, 4) == 0)
				net_run(&s, (unsigned)prng_below(&rnd, 4));
		}
		net_run(&s, 300);
		for (int k = 1; k < 4; k++)
			want += there[k];
		if (turn & 1 && want > 2)
			want = 2;
		assert_int_equal(seen_at(4, "192.0.2.0/24").n, want);
		assert_int_equal(net_info(&s, 0, 4).prefixes_announced, want);
	}
}

/* Whichever allocation fails while three paths come, go and are handed on: at the end all is told. */
static void test_add_path_nomem(void **state)
{
	for (unsigned nth = 1; nth < 90; nth++) {
		struct bgp_nlri n = nlri4("192.0.2.0/24");
		bool hit;

		net_free(&s);
		setup(NULL);
		star(true, 8);
		fault_arm(nth);
		for (int i = 1; i < 4; i++) {
			struct bgp_attrs a = {.has = BGP_HAS_MED, .med = nth};

			for (unsigned k = 0; k < 20; k++) {
				char text[32];

				snprintf(text, sizeof(text), "10.%d.%u.0/24", i, k);
				n = nlri4(text);
				if (bgp_originate(s.n[i].b, 1, &n, &a, s.now) == ERR_NOMEM)
					assert_int_equal(
						bgp_originate(s.n[i].b, 1, &n, &a, s.now), 0);
			}
			net_run(&s, 1);
		}
		net_break(&s, 0, 4);
		net_run(&s, 5);
		hit = fault_disarm();
		net_run(&s, 300);
		assert_int_equal(net_info(&s, 4, 0).prefixes_received, 3 + 60);
		assert_int_equal(seen_at(4, "192.0.2.0/24").n, 3);
		if (!hit)
			return;
	}
}

/* RFC 8950: sessions over IPv6 alone, and IPv4 prefixes. */
static void test_v4_over_v6(void **state)
{
	for (int how = 0; how < 3; how++) {
		struct bgp_peer_cfg c0, c1;
		struct found f;

		net_free(&s);
		setup(NULL);
		for (int i = 0; i < 2; i++)
			assert_int_equal(ip_parse(i ? "fe80::2" : "fe80::1", &s.n[i].addr), 0);
		net_node(&s, 0, 65001, 1);
		net_node(&s, 1, 65002, 2);
		c0 = net_peer_cfg(&s, 1, 65002);
		c1 = net_peer_cfg(&s, 0, 65001);
		c0.families = c1.families = BGP_FAM(BGP_IPV4) | BGP_FAM(BGP_IPV6);
		c0.v4_over_v6 = how != 1;
		c1.v4_over_v6 = how != 2;
		net_add(&s, 0, &c0);
		net_add(&s, 1, &c1);
		originate(&s, 0, "192.0.2.0/24");
		originate(&s, 0, "2001:db8::/32");
		net_run(&s, 5);
		assert_int_equal(net_info(&s, 1, 0).state, BGP_ESTABLISHED);
		assert_int_equal(net_info(&s, 1, 0).v4_over_v6, how == 0);
		assert_true(has_route(&s, 1, "2001:db8::/32", NULL));
		assert_int_equal(has_route(&s, 1, "192.0.2.0/24", &f), how == 0);
		if (how == 0)
			assert_true(ip_eq(&f.a.next_hop, &s.n[0].addr));
	}
}

/* RFC 8654: a set of 9,000 bytes passes where both can, and only there. */
static void test_ext_message(void **state)
{
	static uint8_t comm[8000];

	for (unsigned i = 0; i < sizeof(comm); i++)
		comm[i] = (uint8_t)(i / 4 >> (i % 4 == 2 ? 8 : 0));
	for (int how = 0; how < 3; how++) {
		struct bgp_attrs a = {.communities = {comm, sizeof(comm)}};
		struct bgp_nlri n = nlri4("192.0.2.0/24");
		struct bgp_peer_cfg c0, c1;

		net_free(&s);
		setup(NULL);
		net_node(&s, 0, 65001, 1);
		net_node(&s, 1, 65002, 2);
		c0 = net_peer_cfg(&s, 1, 65002);
		c1 = net_peer_cfg(&s, 0, 65001);
		c0.no_ext_message = how == 1;
		c1.no_ext_message = how == 2;
		net_add(&s, 0, &c0);
		net_add(&s, 1, &c1);
		assert_int_equal(bgp_originate(s.n[0].b, 1, &n, &a, s.now), 0);
		for (unsigned i = 0; i < 200; i++) {
			char text[32];

			snprintf(text, sizeof(text), "10.%u.0.0/16", i);
			originate(&s, 0, text);
		}
		net_run(&s, 5);
		assert_int_equal(net_info(&s, 1, 0).ext_message, how == 0);
		assert_int_equal(seen_at(1, "192.0.2.0/24").n, how == 0);
		assert_int_equal(seen_at(1, "10.77.0.0/16").n, 1);
		assert_int_equal(net_info(&s, 1, 0).prefixes_received, how == 0 ? 201 : 200);
		/* And it goes by a short one. */
		assert_int_equal(bgp_withdraw(s.n[0].b, 1, &n, s.now), 0);
		net_run(&s, 5);
		assert_int_equal(net_info(&s, 1, 0).prefixes_received, 200);
	}
}

/* RFC 7938 6.1: what is told when several are equally good. */
struct hops {
	unsigned n, times;
	struct ip nh[BGP_HOPS_MAX];
};

static void on_hops(void *ctx, int node, const struct bgp_act *a)
{
	struct hops *h = ctx;

	if (a->type != BGP_ROUTE)
		return;
	h->times++;
	h->n = a->nhops;
	for (unsigned i = 0; i < a->nhops; i++)
		h->nh[i] = a->hops[i].next_hop;
	if (a->attrs)
		assert_true(ip_eq(&a->attrs->next_hop, &a->hops[0].next_hop));
	else
		assert_int_equal(a->nhops, 0);
}

static void test_multipath(void **state)
{
	struct bgp_cfg cfg = {.local_as = 65000, .router_id = 100, .seed = 1, .multipath = 2};
	struct bgp_nlri n = nlri4("192.0.2.0/24");
	struct bgp_attrs longer = {.has = BGP_HAS_MED, .med = 1};
	struct hops h = {0};

	net_node(&s, 0, 65000, 100);
	bgp_free(s.n[0].b);
	s.n[0].b = bgp_new(&cfg, s.now);
	s.n[0].on_act = on_hops;
	s.n[0].ctx = &h;
	for (int i = 1; i < 4; i++) {
		net_node(&s, i, 65000 + (uint32_t)i, (uint32_t)i + 1);
		net_join(&s, 0, 65000, i, 65000 + (uint32_t)i);
		originate(&s, i, "192.0.2.0/24");
	}
	net_run(&s, 10);
	assert_int_equal(h.n, 2); /* of three */
	assert_true(ip_eq(&h.nh[0], &s.n[1].addr));
	/* One of the others goes: the best is the same, the hops are not. */
	bgp_withdraw(s.n[2].b, 1, &n, s.now);
	net_settle(&s);
	assert_int_equal(h.n, 2);
	assert_true(ip_eq(&h.nh[1], &s.n[3].addr));
	bgp_withdraw(s.n[3].b, 1, &n, s.now);
	net_settle(&s);
	assert_int_equal(h.n, 1);
	h.times = 0;
	bgp_withdraw(s.n[1].b, 1, &n, s.now);
	net_settle(&s);
	assert_int_equal(h.n, 0);
	assert_int_equal(h.times, 1);
	/* A longer path is not as good. */
	originate(&s, 1, "192.0.2.0/24");
	longer.as_path = (struct bgp_span){(const uint8_t *)"\2\1\0\0\0\7", 6};
	longer.has |= BGP_HAS_AS_PATH;
	assert_int_equal(bgp_originate(s.n[2].b, 1, &n, &longer, s.now), 0);
	net_settle(&s);
	assert_int_equal(h.n, 1);
	assert_true(ip_eq(&h.nh[0], &s.n[1].addr));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_add_path),
		T(test_add_path_some),
		T(test_add_path_alone),
		T(test_add_path_later),
		T(test_add_path_churn),
		T(test_add_path_nomem),
		T(test_multipath),
		T(test_v4_over_v6),
		T(test_ext_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
