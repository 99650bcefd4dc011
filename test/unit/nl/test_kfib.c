/* The table of learned routes as the kernel shows it: next hops on the link and behind a gateway, moves, a
 * device that goes and comes, adoption after a crash, what others remove, memory that runs out. */
#include "nl_test.h"
#include "kfib.h"
#include "weft/bounds.h"

static const uint8_t seed[16];

static void underlay(void)
{
	run("ip link add eth0 type veth peer name eth1; ip addr add 192.0.2.1/24 dev eth0;"
	    "ip link set eth0 up; ip link set eth1 up;"
	    "ip -6 addr add 2001:db8::1/64 dev eth0 nodad;"
	    "ip route add 198.51.100.0/24 via 192.0.2.254");
}

static struct kfib *open_kfib(void)
{
	struct kfib *f = NULL;

	assert_int_equal(kfib_open(1, MARK, true, seed, &f), 0);
	return f;
}

/* Until the kernel agrees; how many portions that took. */
static unsigned sync_kfib(struct kfib *f)
{
	char why[200];
	unsigned n = 0;
	int err;

	do {
		err = kfib_sync(f, 1000000, why, sizeof(why));
		n++;
	} while (err > 0);
	if (err != 0)
		print_message("kfib_sync: %s\n", why);
	assert_int_equal(err, 0);
	return n;
}

static void set(struct kfib *f, const char *prefix, const char *nh)
{
	struct pfx p = P(prefix);
	struct ip ip = A(nh);

	assert_int_equal(kfib_set(f, &p, &ip), 0);
}

static int del(struct kfib *f, const char *prefix)
{
	struct pfx p = P(prefix);

	return kfib_del(f, &p);
}

static const char *table(void)
{
	return sh("ip route show table 689301; ip -6 route show table 689301");
}

static struct kfib_stats kstats(const struct kfib *f)
{
	struct kfib_stats st;

	kfib_stats(f, &st);
	return st;
}

/* An audit is due at once only when the one before was cheap and long ago. */
static bool recheck(struct kfib *f)
{
	return kfib_recheck(f, ts_add(now_ts(), DUR_SEC(60)));
}

static void resolves(void **state)
{
	struct kfib *f;
	uint32_t cost;
	struct ip ip;

	NEED_ROOT;
	underlay();
	f = open_kfib();
	ip = A("192.0.2.9");
	assert_true(kfib_resolve(f, &ip, &cost));
	assert_int_equal(cost, 0);
	ip = A("198.51.100.7");
	assert_true(kfib_resolve(f, &ip, &cost));
	assert_int_equal(cost, 1);
	ip = A("192.0.2.1"); /* our own */
	assert_false(kfib_resolve(f, &ip, &cost));
	ip = A("203.0.113.1");
	assert_false(kfib_resolve(f, &ip, &cost));
	ip = A("2001:db8::9");
	assert_true(kfib_resolve(f, &ip, &cost));
	ip = A("2001:db8:1::9");
	assert_false(kfib_resolve(f, &ip, &cost));
	kfib_close(f);
}

static void stands(void **state)
{
	struct kfib *f;
	struct pfx agg = {.len = 0};

	NEED_ROOT;
	underlay();
	f = open_kfib();
	agg = P("10.32.0.0/16");
	set(f, "172.16.0.0/12", "192.0.2.9");
	set(f, "172.16.5.0/24", "198.51.100.7");
	set(f, "2001:db8:c::/64", "2001:db8::9");
	assert_int_equal(kfib_set_unreachable(f, &agg), 0);
	assert_string_equal(table(), "");
	assert_int_equal(kfib_sync(f, 1, NULL, 0), 1); /* a portion */
	sync_kfib(f);
	assert_has(table(), "172.16.0.0/12 via 192.0.2.9 dev eth0 proto 157 metric 1024");
	assert_has(table(), "172.16.5.0/24 via 192.0.2.254 dev eth0 proto 157 metric 1024");
	assert_has(table(), "2001:db8:c::/64 via 2001:db8::9 dev eth0 proto 157 metric 1024");
	assert_has(table(), "unreachable 10.32.0.0/16 proto 157 metric 1024");
	assert_int_equal(kstats(f).routes, 4);
	assert_int_equal(kstats(f).nexthops, 3);
	/* to another next hop, and away */
	set(f, "172.16.0.0/12", "192.0.2.10");
	assert_int_equal(del(f, "172.16.5.0/24"), 0);
	assert_int_equal(del(f, "172.17.0.0/16"), ERR_NOT_FOUND);
	sync_kfib(f);
	assert_has(table(), "172.16.0.0/12 via 192.0.2.10 dev eth0");
	assert_hasnt(table(), "172.16.5.0");
	assert_hasnt(table(), "192.0.2.9 ");
	assert_int_equal(kstats(f).routes, 3);
	assert_int_equal(kstats(f).nexthops, 2);
	assert_int_equal(kstats(f).errors, 0);
	kfib_close(f);
}

static void follows_the_host(void **state)
{
	struct kfib *f;

	NEED_ROOT;
	underlay();
	f = open_kfib();
	set(f, "172.16.5.0/24", "198.51.100.7");
	set(f, "172.16.0.0/12", "192.0.2.9");
	sync_kfib(f);
	assert_false(recheck(f));
	/* another gateway: nobody has to state anything */
	run("ip route replace 198.51.100.0/24 via 192.0.2.253");
	assert_false(recheck(f));
	sync_kfib(f);
	assert_has(table(), "172.16.5.0/24 via 192.0.2.253 dev eth0");
	/* a device that goes and comes takes the routes silently */
	run("ip link set eth0 down; ip link set eth0 up");
	assert_string_equal(sh("ip route show table 689301"), "");
	(void)recheck(f);
	sync_kfib(f);
	assert_has(table(), "172.16.0.0/12 via 192.0.2.9 dev eth0");
	/* a next hop that is lost is told, and told again when it is back */
	run("ip link set eth0 down");
	assert_true(recheck(f));
	sync_kfib(f);
	assert_true(kstats(f).waiting > 0);
	run("ip link set eth0 up; ip route add 198.51.100.0/24 via 192.0.2.253");
	assert_true(recheck(f));
	sync_kfib(f);
	assert_has(table(), "172.16.5.0/24 via 192.0.2.253 dev eth0");
	assert_int_equal(kstats(f).waiting, 0);
	kfib_close(f);
}

static void repairs(void **state)
{
	struct kfib *f;

	NEED_ROOT;
	underlay();
	f = open_kfib();
	set(f, "172.16.0.0/12", "192.0.2.9");
	sync_kfib(f);
	run("ip route del 172.16.0.0/12 table 689301");
	assert_false(recheck(f));
	sync_kfib(f);
	assert_has(table(), "172.16.0.0/12 via 192.0.2.9");
	assert_int_equal(kstats(f).repaired, 1);
	/* changed by somebody */
	run("ip route replace 172.16.0.0/12 via 192.0.2.77 table 689301 proto 157 metric 1024");
	assert_false(recheck(f));
	sync_kfib(f);
	assert_has(table(), "172.16.0.0/12 via 192.0.2.9");
	assert_hasnt(table(), "192.0.2.77");
	kfib_close(f);
}

/* The process before us crashed: what is stated again stays without a gap, the rest is swept. */
static void adopts(void **state)
{
	struct kfib *f;

	NEED_ROOT;
	underlay();
	f = open_kfib();
	set(f, "172.16.0.0/16", "192.0.2.9");
	set(f, "172.17.0.0/16", "192.0.2.9");
	set(f, "2001:db8:c::/64", "2001:db8::9");
	sync_kfib(f);
	kfib_close(f);
	f = open_kfib();
	assert_int_equal(kstats(f).leftover, 3);
	assert_int_equal(kstats(f).routes, 0);
	set(f, "172.16.0.0/16", "192.0.2.10");
	sync_kfib(f);
	assert_has(table(), "172.16.0.0/16 via 192.0.2.10");
	assert_has(table(), "172.17.0.0/16 via 192.0.2.9");
	assert_int_equal(kstats(f).leftover, 2);
	run("ip route add 172.30.0.0/16 via 192.0.2.1 table 689301 proto 99"); /* not ours */
	kfib_sweep(f);
	sync_kfib(f);
	assert_has(table(), "172.16.0.0/16 via 192.0.2.10");
	assert_hasnt(table(), "172.17.0.0");
	assert_hasnt(table(), "2001:db8:c::");
	assert_int_equal(kstats(f).leftover, 0);
	kfib_close(f);
	/* and down takes all */
	assert_true(kern_down(NULL, NULL) >= 1);
	assert_hasnt(table(), "172.16.0.0");
}

static void rule_on_demand(void **state)
{
	struct kern_cfg c = cfg();
	struct kern *k;

	NEED_ROOT;
	k = node(&c);
	sync_ok(k);
	assert_hasnt(sh("ip rule"), "689301");
	kern_close(k);
	(void)tidy(state);
	c.learned = true;
	k = node(&c);
	sync_ok(k);
	assert_has(sh("ip rule"), "6796:\tfrom all lookup 689301 proto 157");
	assert_has(sh("ip -6 rule"), "6796:\tfrom all lookup 689301 proto 157");
	kern_close(k);
}

/* A hundred thousand routes and their withdrawal, in portions. */
static void many(void **state)
{
	enum { N = 100000, HOPS = 50 };
	struct kfib *f;
	ts_t t0;
	int err;

	NEED_ROOT;
	underlay();
	f = open_kfib();
	for (unsigned i = 0; i < N; i++) {
		struct pfx p = {.ip = ip_v4(0x0b000000u + (i << 8)), .len = 24};
		struct ip nh = ip_v4(0xc0000202u + i % HOPS);

		assert_int_equal(kfib_set(f, &p, &nh), 0);
	}
	t0 = now_ts();
	while ((err = kfib_sync(f, 4096, NULL, 0)) > 0)
		;
	assert_int_equal(err, 0);
	print_message("%d routes in %lld ms\n", N, (long long)dur_ms(ts_sub(now_ts(), t0)));
	assert_int_equal(kstats(f).routes, N);
	assert_int_equal(kstats(f).nexthops, HOPS);
	assert_int_equal(atoi(sh("ip route show table 689301 | wc -l")), N);
	assert_false(recheck(f));
	assert_true(sync_kfib(f) > 20); /* the comparison is in portions too */
	assert_int_equal(kstats(f).repaired, 0);
	for (unsigned i = 0; i < N; i++) {
		struct pfx p = {.ip = ip_v4(0x0b000000u + (i << 8)), .len = 24};

		assert_int_equal(kfib_del(f, &p), 0);
	}
	sync_kfib(f);
	assert_int_equal(kstats(f).routes, 0);
	assert_string_equal(table(), "");
	kfib_close(f);
}

static struct pfx nth(unsigned i)
{
	return (struct pfx){.ip = ip_v4(0x0b000000u + (i << 8)), .len = 24};
}

/* While the table is compared, portion by portion: we state, change and remove routes before and behind the
 * place where the dump is, and somebody else removes some. */
static void compared_meanwhile(void **state)
{
	enum { N = 20000 };
	struct ip a = A("192.0.2.9"), b = A("192.0.2.10");
	struct kfib *f;
	struct pfx p;

	NEED_ROOT;
	underlay();
	f = open_kfib();
	for (unsigned i = 0; i < N; i++) {
		p = nth(2 * i);
		assert_int_equal(kfib_set(f, &p, &a), 0);
	}
	sync_kfib(f);
	run("ip route del 11.0.0.0/24 table 689301; ip route del 11.156.0.0/24 table 689301");
	assert_false(recheck(f));
	for (unsigned k = 0; k < 10; k++) {
		/* near the beginning, in the middle, near the end */
		for (unsigned part = 0; part < 3; part++) {
			unsigned at = part * (N - 200) + 4 + 6 * k;

			p = nth(at);
			assert_int_equal(kfib_del(f, &p), 0);
			p = nth(at + 1);
			assert_int_equal(kfib_set(f, &p, &a), 0);
			p = nth(at + 2);
			assert_int_equal(kfib_set(f, &p, &b), 0);
			p = nth(at + 4); /* away and back */
			assert_int_equal(kfib_del(f, &p), 0);
			assert_int_equal(kfib_set(f, &p, &a), 0);
		}
		assert_int_equal(kfib_sync(f, 1000, NULL, 0), 1);
	}
	sync_kfib(f);
	assert_int_equal(kstats(f).repaired, 2);
	assert_int_equal(kstats(f).leftover, 0);
	assert_int_equal(kstats(f).waiting, 0);
	assert_int_equal(kstats(f).routes, N);
	assert_int_equal(atoi(sh("ip route show table 689301 | wc -l")), N);
	assert_int_equal(atoi(sh("ip route show table 689301 | grep -c 192.0.2.10")), 30);
	assert_has(sh("ip route show table 689301 11.0.0.0/24"), "via 192.0.2.9");
	/* and the next comparison finds nothing to mend */
	assert_false(recheck(f));
	sync_kfib(f);
	assert_int_equal(kstats(f).repaired, 2);
	assert_int_equal(kstats(f).leftover, 0);
	kfib_close(f);
}

/* What the dump showed before we removed it, and what it has read ahead, is no leftover. */
static void removed_meanwhile(void **state)
{
	enum { N = 20000 };
	struct ip a = A("192.0.2.9");
	struct kfib *f;
	struct pfx p;

	NEED_ROOT;
	underlay();
	f = open_kfib();
	for (unsigned i = 0; i < N; i++) {
		p = nth(i);
		assert_int_equal(kfib_set(f, &p, &a), 0);
	}
	sync_kfib(f);
	assert_false(recheck(f));
	for (unsigned k = 0; k < 3; k++)
		assert_int_equal(kfib_sync(f, 1000, NULL, 0), 1);
	for (unsigned i = 0; i < N; i++) {
		p = nth(i);
		assert_int_equal(kfib_del(f, &p), 0);
		assert_int_equal(kfib_del(f, &p), ERR_NOT_FOUND);
	}
	/* all of it before the next datagram of the dump */
	assert_int_equal(kfib_sync(f, N, NULL, 0), 1);
	p = nth(5); /* one that was removed comes back before the end */
	assert_int_equal(kfib_set(f, &p, &a), 0);
	sync_kfib(f);
	assert_int_equal(kstats(f).leftover, 0);
	assert_int_equal(kstats(f).routes, 1);
	assert_int_equal(atoi(sh("ip route show table 689301 | wc -l")), 1);
	assert_int_equal(kstats(f).repaired, 0);
	kfib_close(f);
}

/* A next hop moves in the midst of a comparison, which has to begin anew. */
static void moved_meanwhile(void **state)
{
	enum { N = 20000 };
	struct ip a = A("198.51.100.7");
	struct kfib *f;

	NEED_ROOT;
	underlay();
	f = open_kfib();
	for (unsigned i = 0; i < N; i++) {
		struct pfx p = nth(i);

		assert_int_equal(kfib_set(f, &p, &a), 0);
	}
	sync_kfib(f);
	run("ip route del 11.0.7.0/24 table 689301");
	assert_false(recheck(f));
	assert_int_equal(kfib_sync(f, 1000, NULL, 0), 1);
	run("ip route replace 198.51.100.0/24 via 192.0.2.253");
	assert_false(recheck(f));
	assert_true(sync_kfib(f) > N / 4096);
	assert_int_equal(atoi(sh("ip route show table 689301 | grep -c 192.0.2.253")), N);
	assert_int_equal(kstats(f).repaired, 0); /* it was written anew like the others */
	assert_true(kfib_deadline(f).ns != TS_NEVER.ns);
	run("ip route del 11.0.8.0/24 table 689301");
	assert_false(recheck(f));
	sync_kfib(f);
	assert_int_equal(kstats(f).repaired, 1);
	assert_int_equal(kstats(f).routes, N);
	kfib_close(f);
}

/* More next hops than there is room for: those routes stay out, and the others go on. */
static void too_many_hops(void **state)
{
	struct kfib *f;
	unsigned refused = 0;

	NEED_ROOT;
	underlay();
	f = open_kfib();
	for (unsigned i = 0; i < LIM_BGP_NEXTHOPS + 10; i++) {
		struct pfx p = {.ip = ip_v4(0x0b000000u + (i << 8)), .len = 24};
		struct ip nh = ip_v4(0xc6336400u + i);

		refused += kfib_set(f, &p, &nh) == ERR_FULL;
	}
	assert_int_equal(refused, 10);
	assert_int_equal(kstats(f).full, 10);
	assert_int_equal(kstats(f).nexthops, LIM_BGP_NEXTHOPS);
	kfib_close(f);
}

static void no_memory(void **state)
{
	NEED_ROOT;
	underlay();
	FAULT_EACH(n)
	{
		struct kfib *f = NULL;
		struct pfx p = {.ip = ip_v4(0x0b000000u), .len = 24};
		struct ip nh = ip_v4(0xc0000209u);
		int err = kfib_open(1, MARK, true, seed, &f);

		if (err == 0) {
			err = kfib_set(f, &p, &nh);
			assert_true(err == 0 || err == ERR_NOMEM || err == ERR_FULL);
			assert_int_equal(kfib_sync(f, 10, NULL, 0), 0);
			assert_int_equal(kstats(f).routes, err == 0);
		}
		kfib_close(f);
		run("ip route flush table 689301 2>/dev/null");
	}
}

/* The watcher takes neither what we do to the table for a change of the host, nor what others do for ours. */
static void watched(void **state)
{
	struct kern_cfg c = cfg();
	struct kern_stats before, st;
	struct kern *k;
	struct kfib *f;

	NEED_ROOT;
	underlay();
	k = open_kern(&c);
	f = open_kfib();
	kern_ignore(k, kfib_portid(f));
	kern_event(k, now_ts());
	kern_stats(k, &before);
	set(f, "172.16.0.0/12", "192.0.2.9");
	set(f, "2001:db8:c::/64", "2001:db8::9");
	sync_kfib(f);
	assert_int_equal(del(f, "2001:db8:c::/64"), 0);
	sync_kfib(f);
	kern_event(k, now_ts());
	kern_stats(k, &st);
	assert_int_equal(before.underlay_changes, st.underlay_changes);
	run("ip route del 172.16.0.0/12 table 689301");
	kern_event(k, now_ts());
	kern_stats(k, &st);
	assert_true(st.underlay_changes > before.underlay_changes);
	kfib_close(f);
	kern_close(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(resolves, fresh, tidy),
		cmocka_unit_test_setup_teardown(stands, fresh, tidy),
		cmocka_unit_test_setup_teardown(follows_the_host, fresh, tidy),
		cmocka_unit_test_setup_teardown(repairs, fresh, tidy),
		cmocka_unit_test_setup_teardown(watched, fresh, tidy),
		cmocka_unit_test_setup_teardown(adopts, fresh, tidy),
		cmocka_unit_test_setup_teardown(rule_on_demand, fresh, tidy),
		cmocka_unit_test_setup_teardown(many, fresh, tidy),
		cmocka_unit_test_setup_teardown(compared_meanwhile, fresh, tidy),
		cmocka_unit_test_setup_teardown(removed_meanwhile, fresh, tidy),
		cmocka_unit_test_setup_teardown(moved_meanwhile, fresh, tidy),
		cmocka_unit_test_setup_teardown(too_many_hops, fresh, tidy),
		cmocka_unit_test_setup_teardown(no_memory, fresh, tidy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
