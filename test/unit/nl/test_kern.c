/* The wanted state as the kernel shows it: what stands, what routing decides, what comes back. */
#include "nl_test.h"
#include "weft/bounds.h"

static const char *whole(void)
{
	return sh("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all;"
		  "ip -o addr show dev weft0; ip -o link show weft0;"
		  "nft list table inet weft; nft list table arp weft");
}

static void stands_and_stays(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	const char *second;
	static char first[256 * 1024];
	struct kern_stats st;

	NEED_ROOT;
	k = node(&c);
	sync_ok(k);
	strcpy(first, whole());
	assert_has(first, "6790:\tfrom all fwmark 0x10000000/0x10000000 goto 6799 proto 157");
	assert_has(first, "6795:\tfrom all lookup 679301 proto 157");
	assert_has(first, "6799:\tfrom all nop proto 157");
	assert_has(first, "unreachable 10.0.0.0/8 table 679301 proto 157 metric 4278198272");
	assert_has(first, "unreachable 10.1.0.0/16 table 679301 proto 157 metric 512");
	assert_has(first, "10.2.0.0/16 dev weft0 table 679301 proto 157");
	assert_has(first, "src 10.1.0.1 metric 1024 mtu 1300");
	assert_has(first, "fd00:a:2::/48 dev weft0 table 679301 proto 157 src fd00:a:1::1 metric "
			  "1024 mtu 1300");
	assert_has(first, "inet 10.1.0.1/32");
	assert_has(first, "inet6 fd00:a:1::1/128");
	assert_has(first, "mtu 1400");
	assert_has(first, "table inet weft");
	assert_has(first, "notrack");
	assert_hasnt(first, "fe80");
	st = stats(k);
	assert_int_equal(st.routes, 6);
	assert_int_equal(st.rules, 6);
	assert_true(st.notrack);
	assert_int_equal(st.errors, 0);
	/* Again, by the dirty lists, by a whole audit, and after our own events came back. */
	sync_ok(k);
	k->audit = k->rules_dirty = k->segs[0].dirty = k->nft_dirty = true;
	sync_ok(k);
	settle(k, 100);
	second = whole();
	assert_string_equal(first, second);
	assert_int_equal(stats(k).repaired, 0);
	assert_int_equal(stats(k).errors, 0);
	assert_true(ts_is_never(kern_deadline(k)));
	/* The state outlives us, and the next process adopts it. */
	kern_close(k);
	assert_string_equal(first, whole());
	k = node(&c);
	sync_ok(k);
	assert_int_equal(stats(k).repaired, 0);
	assert_string_equal(first, whole());
	kern_close(k);
}

static void decides(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();

	NEED_ROOT;
	run("ip link add eth0 type veth peer name eth1; ip addr add 192.0.2.1/24 dev eth0;"
	    "ip link set eth0 up; ip link set eth1 up; ip route add default via 192.0.2.254;"
	    "ip -6 addr add 2001:db8::1/64 dev eth0 nodad; ip -6 route add default via "
	    "2001:db8::fe");
	k = node(&c);
	sync_ok(k);
	assert_has(sh("ip route get 10.2.3.4"), "dev weft0 table 679301 src 10.1.0.1");
	assert_has(sh("ip route get 10.2.3.4"), "mtu 1300");
	assert_has(sh("ip -6 route get fd00:a:2::5"), "dev weft0 table 679301");
	assert_has(sh("ip -6 route get fd00:a:2::5"), "src fd00:a:1::1");
	assert_has(sh("ip route get 10.1.0.1"), "local 10.1.0.1");
	assert_has(sh("ip route get 10.9.9.9 2>&1"), "No route to host");
	assert_has(sh("ip route get 10.1.77.7 2>&1"), "No route to host");
	assert_has(sh("ip -6 route get fd00:a:9::1 2>&1"), "No route to host");
	assert_has(sh("ip route get 198.51.100.1"), "via 192.0.2.254 dev eth0");
	/* The mark of outer sockets passes by our tables. */
	assert_has(sh("ip route get 10.2.3.4 mark 0x10000000"), "via 192.0.2.254 dev eth0");
	assert_has(sh("ip route get 10.2.3.4 mark 0x1000ffff"), "via 192.0.2.254 dev eth0");
	assert_has(sh("ip route get 10.2.3.4 mark 0xffff"), "dev weft0");
	assert_has(sh("ip -6 route get fd00:a:2::5 mark 0x10000000"), "via 2001:db8::fe");
	/* Changing, then removing, a remote prefix. */
	assert_int_equal(kern_route_add(k, 1, &(struct pfx){A("10.2.0.0"), 16}, 1200, NULL), 0);
	sync_ok(k);
	assert_has(sh("ip route get 10.2.3.4"), "mtu 1200");
	assert_int_equal(kern_route_del(k, 1, &(struct pfx){A("10.2.0.0"), 16}), 0);
	assert_int_equal(kern_route_del(k, 1, &(struct pfx){A("10.2.0.0"), 16}), ERR_NOT_FOUND);
	sync_ok(k);
	assert_has(sh("ip route get 10.2.3.4 2>&1"), "No route to host");
	assert_int_equal(stats(k).routes, 5);
	assert_int_equal(stats(k).repaired, 0);
	kern_close(k);
}

/* A linked range is unreachable when nothing leads there, and stays so when weft is gone. */
static void linked(void **state)
{
	struct pfx p = {A("172.16.0.0"), 12}, own = {A("10.0.0.0"), 8};
	struct kern_cfg c = cfg();
	struct kern *k;
	unsigned n = 0;

	NEED_ROOT;
	run("ip link add eth0 type veth peer name eth1; ip addr add 192.0.2.1/24 dev eth0;"
	    "ip link set eth0 up; ip link set eth1 up; ip route add default via 192.0.2.254");
	k = node(&c);
	assert_int_equal(kern_linked_add(k, 77, &p), ERR_NOT_FOUND);
	assert_int_equal(kern_linked_add(k, 1, &own), ERR_EXISTS);
	assert_int_equal(kern_linked_add(k, 1, &p), 0);
	assert_int_equal(kern_linked_add(k, 1, &p), 0);
	assert_int_equal(kern_route_add(k, 1, &p, 1200, NULL), 0);
	sync_ok(k);
	assert_has(sh("ip route get 172.16.5.5"), "dev weft0");
	assert_int_equal(kern_route_del(k, 1, &p), 0);
	sync_ok(k);
	assert_has(sh("ip route get 172.16.5.5 2>&1"), "No route to host");
	kern_close(k);
	assert_has(sh("ip route get 172.16.5.5 2>&1"), "No route to host");
	/* The next one wants it, or not. */
	k = node(&c);
	assert_int_equal(kern_linked_add(k, 1, &p), 0);
	sync_ok(k);
	assert_has(sh("ip route get 172.16.5.5 2>&1"), "No route to host");
	assert_int_equal(kern_linked_del(k, 1, &p), 0);
	assert_int_equal(kern_linked_del(k, 1, &p), ERR_NOT_FOUND);
	assert_int_equal(kern_linked_del(k, 1, &own), ERR_NOT_FOUND);
	sync_ok(k);
	assert_has(sh("ip route get 172.16.5.5"), "via 192.0.2.254");
	for (; n <= LIM_LINKED_RANGES; n++) {
		struct pfx more = {ip_v4(0xac100000 + (n << 8)), 24};

		if (kern_linked_add(k, 1, &more) != 0)
			break;
	}
	assert_int_equal(n, LIM_LINKED_RANGES);
	kern_close(k);
}

/* A masquerade rule of the host's own doesn't reach what stays inside the ranges; without one, there is no
 * chain that would turn connection tracking on. */
static void masquerade(void **state)
{
	const char *src = "ip saddr 10.0.0.0/8 snat ip prefix to ip saddr map { 10.0.0.0/8 : "
			  "10.0.0.0/8 }";
	struct pfx linked = {A("10.250.0.0"), 16}; /* overlaps no own range in earnest */
	struct kern *k;
	struct kern_cfg c = cfg();

	NEED_ROOT;
	k = node(&c);
	sync_ok(k);
	assert_hasnt(sh("nft list table inet weft"), "type nat");
	assert_false(stats(k).nat);
	run("nft add table ip theirs; nft add chain ip theirs post { type nat hook postrouting "
	    "priority "
	    "100 \\; }; nft add rule ip theirs post ip saddr 10.0.0.0/8 masquerade");
	(void)settle(k, 300);
	assert_has(sh("nft list table inet weft"), "type nat hook postrouting");
	assert_true(stats(k).nat);
	assert_has(sh("nft list chain inet weft keep"),
		"ct status ! dnat ip daddr 10.0.0.0/8 jump keep-1-ip\n");
	assert_has(sh("nft list chain inet weft keep-1-ip"), src);
	/* Those of linked clusters as well, both ways. */
	assert_int_equal(kern_linked_add(k, 1, &linked), 0);
	sync_ok(k);
	assert_has(sh("nft list chain inet weft keep"), "ip daddr 10.250.0.0/16 jump keep-1-ip");
	assert_has(sh("nft list chain inet weft keep-1-ip"), "ip saddr 10.250.0.0/16 snat");
	assert_has(sh("nft list chain inet weft-out outside"), "ip daddr 10.250.0.0/16 return");
	assert_int_equal(kern_linked_del(k, 1, &linked), 0);
	sync_ok(k);
	assert_hasnt(sh("nft list table inet weft"), "10.250.0.0/16");
	run("nft delete table ip theirs");
	(void)settle(k, 300);
	assert_hasnt(sh("nft list table inet weft"), "type nat");
	/* The older iptables tells nobody. */
	if (strcmp(sh("iptables-legacy -t nat -A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE 2>&1"),
		    "") == 0) {
		assert_true(kern_nat_look(k));
		assert_false(kern_nat_look(k));
		sync_ok(k);
		assert_has(sh("nft list table inet weft"), "type nat hook postrouting");
	}
	kern_close(k);
}

/* With nobody reading the TUN, its packets are answered unreachable, never forwarded to the default
 * route: promise 4.1. */
static void reader_gone(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();

	NEED_ROOT;
	run("ip link add eth0 type veth peer name eth1; ip addr add 192.0.2.1/24 dev eth0;"
	    "ip link set eth0 up; ip link set eth1 up; ip route add default via 192.0.2.254;"
	    "ip -6 addr add 2001:db8::1/64 dev eth0 nodad; ip -6 route add default via "
	    "2001:db8::fe");
	k = node(&c);
	sync_ok(k);
	kern_close(k);
	tidy(NULL);
	for (int i = 0; i < 200 && !strstr(sh("ip link show weft0"), "NO-CARRIER"); i++)
		usleep(10000);
	assert_has(sh("ip route show table 679301"), "linkdown");
	assert_has(sh("ip route get 10.2.3.4 2>&1"), "No route to host");
	assert_has(sh("ip -6 route get fd00:a:2::5 2>&1"), "No route to host");
	assert_has(sh("ip route get 10.2.3.4 from 192.0.2.9 iif eth0 2>&1"), "No route to host");
	/* The next process takes it up. */
	k = node(&c);
	sync_ok(k);
	for (int i = 0; i < 200 && strstr(sh("ip link show weft0"), "NO-CARRIER"); i++)
		usleep(10000);
	assert_has(sh("ip route get 10.2.3.4"), "dev weft0");
	assert_has(sh("ip -6 route get fd00:a:2::5"), "dev weft0");
	kern_close(k);
}

static void repairs(void **state)
{
	static const char *const harm[] = {
		"ip route del 10.2.0.0/16 table 679301",
		"ip -6 route del fd00:a:2::/48 table 679301",
		"ip route del unreachable 10.0.0.0/8 table 679301",
		"ip -6 route del unreachable fd00:a::/32 table 679301",
		"ip route replace 10.2.0.0/16 dev lo metric 1024 table 679301",
		"ip route change 10.2.0.0/16 dev weft0 metric 1024 table 679301 proto 157 mtu 900",
		"ip route flush table 679301",
		"ip -6 route flush table 679301",
		"ip rule del pref 6790",
		"ip rule del pref 6795",
		"ip -6 rule del pref 6799",
		"ip -6 rule del pref 6795",
		"ip addr del 10.1.0.1/32 dev weft0",
		"ip addr del fd00:a:1::1/128 dev weft0",
		"ip addr flush dev weft0",
		"ip link set weft0 down",
		"ip link set weft0 mtu 1280",
		"ip link set weft0 txqueuelen 100",
		"nft flush ruleset",
		"nft delete table inet weft",
		"nft flush chain inet weft prerouting",
		"nft add rule inet weft output drop",
		"nft delete table arp weft",
	};
	struct kern *k;
	struct kern_cfg c = cfg();
	static char before[256 * 1024];

	NEED_ROOT;
	k = node(&c);
	sync_ok(k);
	settle(k, 50);
	strcpy(before, whole());
	for (size_t i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
		uint64_t repaired = stats(k).repaired;

		assert_string_equal(sh("%s 2>&1", harm[i]), "");
		settle(k, 50);
		if (strcmp(before, whole()) != 0)
			print_message("after: %s\n", harm[i]);
		assert_string_equal(before, whole());
		if (stats(k).repaired == repaired)
			print_message("not counted: %s\n", harm[i]);
		assert_true(stats(k).repaired > repaired);
	}
	assert_int_equal(stats(k).errors, 0);
	kern_close(k);
}

/* What others put beside ours stays; what wears our number and nobody wants goes. */
static void strangers(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();

	NEED_ROOT;
	k = node(&c);
	sync_ok(k);
	run("ip route add 10.1.0.7/32 dev lo metric 100 table 679301 proto 157;"
	    "ip route add 10.3.0.0/16 dev lo metric 1024 table 679301 proto static;"
	    "ip route add 10.4.0.0/16 dev weft0 metric 1024 table 679301 proto 157;"
	    "ip rule add pref 6795 to 10.77.0.0/16 lookup main;"
	    "ip rule add pref 6795 to 10.78.0.0/16 lookup main protocol 157;"
	    "ip addr add 10.1.0.2/32 dev weft0");
	settle(k, 50);
	assert_has(
		sh("ip route show table 679301"), "10.1.0.7 dev lo"); /* another metric: a pod's */
	assert_has(sh("ip route show table 679301"), "10.3.0.0/16");
	assert_hasnt(sh("ip route show table 679301"), "10.4.0.0/16");
	assert_has(sh("ip rule"), "10.77.0.0/16");
	assert_hasnt(sh("ip rule"), "10.78.0.0/16");
	assert_hasnt(sh("ip addr show dev weft0"), "10.1.0.2");
	kern_close(k);
}

static void spaced(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	ts_t first, second;

	NEED_ROOT;
	k = node(&c);
	sync_ok(k);
	settle(k, 150);
	run("ip rule del pref 6795");
	first = now_ts();
	kern_event(k, first);
	assert_true(ts_due(kern_deadline(k), first)); /* the first at once */
	sync_ok(k);
	run("ip rule del pref 6795");
	second = now_ts();
	kern_event(k, second);
	assert_true(dur_ms(ts_sub(kern_deadline(k), first)) >= 100);
	assert_true(dur_ms(ts_sub(kern_deadline(k), second)) <= 100);
	settle(k, 50);
	assert_has(sh("ip rule"), "6795:");
	/* Half a second of fighting costs some five repairs, not fifty. */
	first = now_ts();
	for (unsigned i = 0, syncs = 0; ts_before(now_ts(), ts_add(first, DUR_MS(500))); i++) {
		run("ip rule del pref 6795 2>/dev/null");
		kern_event(k, now_ts());
		if (ts_due(kern_deadline(k), now_ts())) {
			sync_ok(k);
			syncs++;
		}
		assert_true(syncs <= 7);
	}
	kern_close(k);
}

static void tun_gone(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	char why[200];
	const char *before;
	static char keep[256 * 1024];

	NEED_ROOT;
	k = node(&c);
	sync_ok(k);
	before = strcpy(keep, sh("ip route show table 679301"));
	assert_string_equal(stats(k).fault, "");
	run("ip link del weft0");
	settle(k, 50);
	assert_has(stats(k).fault, "weft0");
	assert_has(stats(k).fault, "gone");
	assert_int_equal(kern_sync(k, why, sizeof(why)), -ENODEV);
	assert_has(why, "weft0");
	assert_false(ts_is_never(kern_deadline(k)));
	/* The ranges don't need it. */
	assert_has(sh("ip route get 10.2.3.4 2>&1"), "No route to host");
	tidy(NULL);
	tun("weft0");
	settle(k, 1200);
	assert_string_equal(stats(k).fault, "");
	assert_string_equal(before, sh("ip route show table 679301"));
	assert_has(sh("ip route get 10.2.3.4"), "dev weft0");
	/* A stranger under that name is left alone. */
	tidy(NULL);
	run("ip link del weft0; ip link add weft0 type veth peer name weft0p");
	settle(k, 50);
	assert_has(stats(k).fault, "weft0");
	assert_hasnt(sh("ip addr show dev weft0"), "10.1.0.1");
	kern_close(k);
}

static void device_comes_and_goes(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	struct pfx own = P("10.1.0.0/16"), own6 = P("fd00:a:1::/48");
	uint64_t repaired;

	NEED_ROOT;
	k = node(&c);
	assert_int_equal(kern_local_add(k, 1, &own, "br0"), ERR_EXISTS);
	assert_int_equal(kern_local_del(k, 1, &own), 0);
	assert_int_equal(kern_local_del(k, 1, &own6), 0);
	assert_int_equal(kern_local_del(k, 1, &own6), ERR_NOT_FOUND);
	assert_int_equal(kern_local_add(k, 1, &own, "br0"), 0);
	assert_int_equal(kern_local_add(k, 1, &own6, "br0"), 0);
	sync_ok(k);
	assert_has(sh("ip route get 10.1.2.3 2>&1"), "No route to host");
	run("ip link add br0 type bridge");
	settle(k, 50);
	assert_has(sh("ip route get 10.1.2.3 2>&1"), "No route to host"); /* there, but down */
	run("ip link set br0 up");
	settle(k, 50);
	assert_has(sh("ip route get 10.1.2.3"), "dev br0 table 679301");
	assert_has(sh("ip -6 route get fd00:a:1::77"), "dev br0 table 679301");
	assert_has(sh("ip route show table 679301"),
		"unreachable 10.1.0.0/16 proto 157 metric 4278198271");
	run("ip link set br0 down");
	assert_has(sh("ip route get 10.1.2.3 2>&1"), "No route to host"); /* before we hear of it */
	settle(k, 50);
	run("ip link set br0 up");
	settle(k, 50);
	assert_has(sh("ip route get 10.1.2.3"), "dev br0");
	run("ip link del br0; ip link add br0 type bridge; ip link set br0 up");
	settle(k, 50);
	assert_has(sh("ip route get 10.1.2.3"), "dev br0");
	run("ip link set br0 down; ip link set br0 name br1; ip link set br1 up");
	settle(k, 50);
	assert_has(sh("ip route get 10.1.2.3 2>&1"), "No route to host");
	run("ip link set br1 down; ip link set br1 name br0; ip link set br0 up");
	settle(k, 50);
	assert_has(sh("ip route get 10.1.2.3"), "dev br0");
	repaired = stats(k).repaired;
	run("ip route del 10.1.0.0/16 dev br0 table 679301");
	assert_has(sh("ip route get 10.1.2.3 2>&1"), "No route to host");
	settle(k, 50);
	assert_has(sh("ip route get 10.1.2.3"), "dev br0");
	assert_int_equal(stats(k).repaired, repaired + 1);
	assert_int_equal(stats(k).errors, 0);
	/* Back to no device. */
	assert_int_equal(kern_local_del(k, 1, &own), 0);
	assert_int_equal(kern_local_add(k, 1, &own, NULL), 0);
	sync_ok(k);
	assert_has(sh("ip route get 10.1.2.3 2>&1"), "No route to host");
	assert_hasnt(sh("ip route show table 679301"), "4278198271");
	kern_close(k);
}

static void mtu_and_addresses(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	struct ip other[1] = {A("10.1.0.9")}, many[KERN_SEG_ADDRS + 1];

	NEED_ROOT;
	k = node(&c);
	sync_ok(k);
	assert_int_equal(kern_segment_mtu(k, 1, 8000), 0);
	assert_int_equal(kern_segment_mtu(k, 2, 8000), ERR_NOT_FOUND);
	sync_ok(k);
	assert_has(sh("ip link show weft0"), "mtu 8000");
	assert_has(sh("ip link show weft0"), "qlen 1250");
	assert_int_equal(kern_route_del(k, 1, &(struct pfx){A("10.2.0.0"), 16}), 0);
	assert_int_equal(kern_route_del(k, 1, &(struct pfx){P("fd00:a:2::/48").ip, 48}), 0);
	assert_int_equal(kern_segment_addrs(k, 1, other, 1), 0);
	assert_int_equal(kern_segment_addrs(k, 1, many, KERN_SEG_ADDRS + 1), ERR_RANGE);
	sync_ok(k);
	assert_has(sh("ip addr show dev weft0"), "10.1.0.9/32");
	assert_hasnt(sh("ip addr show dev weft0"), "10.1.0.1/32");
	assert_hasnt(sh("ip addr show dev weft0"), "fd00:a:1::1");
	assert_int_equal(stats(k).repaired, 0);
	kern_close(k);
}

/* What a process before us left and nobody wants now is removed; the rest stays without a gap. */
static void left_behind(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	struct ip addrs[1] = {A("10.1.0.1")};

	NEED_ROOT;
	k = node(&c);
	tun("weft2");
	assert_int_equal(kern_segment_add(k, 5000, "weft2", 1400, NULL, 0), 0);
	assert_int_equal(kern_range_add(k, 5000, &(struct pfx){A("10.0.0.0"), 8}), 0);
	sync_ok(k);
	assert_has(sh("ip route show table %u", KERN_TABLE_HIGH + 5000), "unreachable 10.0.0.0/8");
	kern_close(k);
	k = open_kern(&c);
	assert_int_equal(kern_segment_add(k, 1, "weft0", 1400, addrs, 1), 0);
	assert_int_equal(kern_range_add(k, 1, &(struct pfx){A("10.0.0.0"), 8}), 0);
	sync_ok(k);
	assert_string_equal(sh("ip route show table 679301"),
		"unreachable 10.0.0.0/8 proto 157 metric 4278198272 \n");
	assert_string_equal(sh("ip -6 route show table 679301 2>/dev/null"), "");
	assert_string_equal(sh("ip route show table %u 2>/dev/null", KERN_TABLE_HIGH + 5000), "");
	assert_hasnt(sh("ip rule"), "weft2");
	assert_int_equal(stats(k).routes, 1);
	kern_close(k);
}

static void ipv6_off(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();

	NEED_ROOT;
	assert_true(kern_has_ipv6());
	run("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > "
	    "/proc/sys/net/ipv6/conf/default/disable_ipv6");
	assert_false(kern_has_ipv6());
	c.ipv6 = false;
	k = node(&c);
	sync_ok(k);
	assert_has(sh("ip route get 10.2.3.4"), "dev weft0");
	assert_int_equal(stats(k).routes, 3);
	assert_int_equal(stats(k).errors, 0);
	assert_string_equal(sh("ip -6 addr show dev weft0"), "");
	run("ip rule del pref 6795");
	settle(k, 50);
	assert_has(sh("ip rule"), "6795:");
	assert_int_equal(kern_route_del(k, 1, &(struct pfx){P("fd00:a:2::/48").ip, 48}), 0);
	sync_ok(k);
	kern_close(k);
}

/* A kernel that says no names the object, and what failed is tried again. */
static void refused(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	struct pfx p = P("10.5.0.0/16");
	struct ip nobody = A("10.99.0.1"), one = A("10.1.0.1");
	char why[200];

	NEED_ROOT;
	k = node(&c);
	assert_int_equal(kern_route_add(k, 1, &p, 0, &nobody), 0); /* a source this host has not */
	assert_int_equal(kern_sync(k, why, sizeof(why)), -EINVAL);
	assert_has(why, "10.5.0.0/16 dev weft0");
	assert_has(why, "Invalid argument");
	assert_has(
		sh("ip route get 10.2.3.4"), "dev weft0"); /* its neighbours in the batch stand */
	assert_int_equal(stats(k).routes, 6);
	assert_false(ts_is_never(kern_deadline(k)));
	assert_true(dur_ms(ts_sub(kern_deadline(k), now_ts())) > 500);
	assert_int_equal(kern_route_add(k, 1, &p, 0, NULL), 0);
	sync_ok(k);
	assert_int_equal(stats(k).routes, 7);
	/* Calls that can't be. */
	assert_int_equal(kern_route_add(k, 7, &p, 0, NULL), ERR_NOT_FOUND);
	assert_int_equal(kern_range_add(k, 7, &p), ERR_NOT_FOUND);
	assert_int_equal(kern_local_add(k, 7, &p, NULL), ERR_NOT_FOUND);
	assert_int_equal(kern_segment_del(k, 7), ERR_NOT_FOUND);
	assert_int_equal(kern_segment_add(k, 1, "weft0", 1400, &one, 1), ERR_EXISTS);
	assert_int_equal(kern_segment_add(k, 2, "weft0", 1400, &one, 1), ERR_CONFLICT);
	assert_int_equal(kern_segment_add(k, 2, "nosuch", 1400, &one, 1), -ENODEV);
	assert_int_equal(kern_segment_add(k, 2, "lo", 1400, &one, 1), ERR_FOREIGN);
	assert_int_equal(kern_segment_add(k, 2, "a\"b", 1400, &one, 1), ERR_RANGE);
	assert_int_equal(kern_segment_add(k, 1u << 24, "weft9", 1400, &one, 1), ERR_RANGE);
	assert_string_equal(stats(k).fault, "");
	sync_ok(k);
	kern_close(k);
}

static void many_routes(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	ts_t begin;
	const unsigned n = 100000;

	NEED_ROOT;
	k = node(&c);
	sync_ok(k);
	settle(k, 50);
	begin = now_ts();
	for (unsigned i = 0; i < n; i++) {
		struct pfx p;
		struct ip ip = ip_v4(0x64000000u + (i << 6));

		assert_int_equal(pfx_make(&ip, 26, &p), 0);
		assert_int_equal(kern_route_add(k, 1, &p, 0, NULL), 0);
	}
	sync_ok(k);
	print_message("%u routes in %lld ms\n", n, (long long)dur_ms(ts_sub(now_ts(), begin)));
	assert_true(dur_ms(ts_sub(now_ts(), begin)) < 10000);
	assert_int_equal(stats(k).routes, n + 6);
	assert_int_equal(settle(k, 50), 0); /* our own events wake nobody */
	begin = now_ts();
	k->audit = true;
	sync_ok(k);
	print_message("audit in %lld ms\n", (long long)dur_ms(ts_sub(now_ts(), begin)));
	assert_int_equal(stats(k).repaired, 0);
	/* Somebody removes them all: more events than any socket holds. */
	run("ip route flush table 679301");
	settle(k, 100);
	assert_int_equal(atoi(sh("ip route show table 679301 | wc -l")), n + 3);
	assert_true(stats(k).repaired >= n);
	assert_int_equal(kern_segment_del(k, 1), 0);
	sync_ok(k);
	assert_string_equal(sh("ip route show table 679301"), "");
	assert_int_equal(stats(k).routes, 0);
	kern_close(k);
}

/* With any allocation failing, an error comes out, nothing leaks, and a later sync makes it whole. */
static void no_memory(void **state)
{
	struct kern_cfg c = cfg();
	struct pfx range = P("10.0.0.0/8"), own = P("10.1.0.0/16"), far = P("10.2.0.0/16");
	struct ip addr = A("10.1.0.1");

	NEED_ROOT;
	tun("weft0");
	run("ip link add br0 type bridge; ip link set br0 up");
	FAULT_EACH(n)
	{
		struct kern *k = NULL;
		struct ip out[8];
		char why[200];
		int e[7];

		e[0] = kern_open(&c, &k);
		assert_true(e[0] == 0 || e[0] == ERR_NOMEM);
		if (e[0] != 0)
			continue;
		e[1] = kern_segment_add(k, 1, "weft0", 1400, &addr, 1);
		assert_true(e[1] == 0 || e[1] == ERR_NOMEM);
		e[2] = kern_range_add(k, 1, &range);
		e[3] = kern_local_add(k, 1, &own, "br0");
		e[4] = kern_route_add(k, 1, &far, 0, NULL);
		e[5] = kern_sync(k, why, sizeof(why));
		e[6] = kern_host_addrs(k, out, 8);
		assert_true(e[5] == 0 || e[5] == ERR_NOMEM);
		assert_true(e[6] >= 0 || e[6] == ERR_NOMEM);
		(void)kern_overlaps(k, &far, NULL, 0, why, sizeof(why));
		if (e[1] == 0 && e[2] == 0 && e[3] == 0 && e[4] == 0) {
			sync_ok(k);
			assert_has(sh("ip route get 10.2.3.4"), "dev weft0");
			assert_has(sh("ip route get 10.1.3.4"), "dev br0");
		}
		kern_close(k);
	}
	kern_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(stands_and_stays, fresh, tidy),
		cmocka_unit_test_setup_teardown(decides, fresh, tidy),
		cmocka_unit_test_setup_teardown(reader_gone, fresh, tidy),
		cmocka_unit_test_setup_teardown(repairs, fresh, tidy),
		cmocka_unit_test_setup_teardown(linked, fresh, tidy),
		cmocka_unit_test_setup_teardown(masquerade, fresh, tidy),
		cmocka_unit_test_setup_teardown(strangers, fresh, tidy),
		cmocka_unit_test_setup_teardown(spaced, fresh, tidy),
		cmocka_unit_test_setup_teardown(tun_gone, fresh, tidy),
		cmocka_unit_test_setup_teardown(device_comes_and_goes, fresh, tidy),
		cmocka_unit_test_setup_teardown(mtu_and_addresses, fresh, tidy),
		cmocka_unit_test_setup_teardown(left_behind, fresh, tidy),
		cmocka_unit_test_setup_teardown(ipv6_off, fresh, tidy),
		cmocka_unit_test_setup_teardown(refused, fresh, tidy),
		cmocka_unit_test_setup_teardown(many_routes, fresh, tidy),
		cmocka_unit_test_setup_teardown(no_memory, fresh, tidy),
	};

	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
