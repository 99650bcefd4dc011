/* The kernel state under traffic and beside other people's state: rp_filter, walls between segments, the
 * control segment, overlaps, the underlay, removal of everything. Peers and pods are sockets in network
 * namespaces of their own. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include "nl_test.h"
#include "weft/wire.h"

/* A UDP socket inside namespace @ns (NULL: here), bound to @ip:@port; waits 400 ms at most. */
static int udp(const char *ns, const char *ip, uint16_t port, uint32_t mark)
{
	struct timeval limit = {.tv_usec = 400000};
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	bool six = strchr(ip, ':') != NULL;
	char path[64];
	int home = open("/proc/self/ns/net", O_RDONLY), there, fd;

	if (ns) {
		snprintf(path, sizeof(path), "/run/netns/%s", ns);
		there = open(path, O_RDONLY);
		assert_true(there >= 0);
		assert_int_equal(setns(there, CLONE_NEWNET), 0);
		close(there);
	}
	fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
	assert_true(fd >= 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (mark != 0)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)), 0);
	if (six) {
		assert_int_equal(inet_pton(AF_INET6, ip, &a6.sin6_addr), 1);
		assert_int_equal(bind(fd, (struct sockaddr *)&a6, sizeof(a6)), 0);
	} else {
		assert_int_equal(inet_pton(AF_INET, ip, &a4.sin_addr), 1);
		assert_int_equal(bind(fd, (struct sockaddr *)&a4, sizeof(a4)), 0);
	}
	return fd;
}

/* Does a datagram from @from to @ip:@port arrive at @to? Tried up to three times: the first may wait
 * for address resolution. */
static bool passes(int from, int to, const char *ip, uint16_t port)
{
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	bool six = strchr(ip, ':') != NULL;
	char buf[16];

	inet_pton(six ? AF_INET6 : AF_INET, ip, six ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr);
	for (int i = 0; i < 3; i++) {
		ssize_t n = six ? sendto(from, "weft", 4, 0, (struct sockaddr *)&a6, sizeof(a6))
				: sendto(from, "weft", 4, 0, (struct sockaddr *)&a4, sizeof(a4));

		if (n == 4 && recv(to, buf, sizeof(buf), 0) == 4)
			return true;
	}
	return false;
}

/* Promise 4.3: with everything learned as a mesh route, and strict reverse path checks, the tunnel's
 * own packets still come and go. */
static void outer_under_rp_filter(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	struct ip addr = A("10.1.0.1");
	int here, peer;

	NEED_ROOT;
	run("ip netns add peer; ip link add eth0 type veth peer name eth0 netns peer;"
	    "ip addr add 192.0.2.1/24 dev eth0; ip link set eth0 up;"
	    "ip -n peer addr add 192.0.2.2/24 dev eth0; ip -n peer link set eth0 up;"
	    "ip route add default via 192.0.2.2;"
	    "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter;"
	    "echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter");
	k = node(&c);
	assert_int_equal(kern_route_add(k, 1, &(struct pfx){ip_v4(0), 0}, 0, &addr), 0);
	assert_int_equal(kern_route_add(k, 1, &(struct pfx){A("192.0.2.0"), 24}, 0, &addr), 0);
	sync_ok(k);
	settle(k, 50);
	assert_has(sh("ip route get 192.0.2.2"), "dev weft0");
	assert_has(sh("ip route get 192.0.2.2 mark 0x10000000"), "dev eth0");
	here = udp(NULL, "192.0.2.1", 6793, MARK);
	peer = udp("peer", "192.0.2.2", 6793, 0);
	for (int rp = 0; rp <= 2; rp++) {
		run("echo %d > /proc/sys/net/ipv4/conf/all/rp_filter", rp);
		run("ip neigh flush dev eth0; ip -n peer neigh flush dev eth0");
		assert_true(passes(peer, here, "192.0.2.1", 6793));
		run("ip neigh flush dev eth0; ip -n peer neigh flush dev eth0");
		assert_true(passes(here, peer, "192.0.2.2", 6793));
	}
	/* The test bites: without the marks the kernel drops the peer's packets, or its ARP requests. */
	run("echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter; nft delete table inet weft");
	assert_false(passes(peer, here, "192.0.2.1", 6793));
	settle(k, 50);
	assert_true(passes(peer, here, "192.0.2.1", 6793));
	run("nft delete table arp weft; ip neigh flush dev eth0; ip -n peer neigh flush dev eth0");
	assert_false(passes(peer, here, "192.0.2.1", 6793));
	settle(k, 50);
	assert_true(passes(peer, here, "192.0.2.1", 6793));
	close(here);
	close(peer);
	kern_close(k);
}

/* Outer packets, and only those to this host, are not tracked; other traffic is. */
static void untracked(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	int here, peer, other;

	NEED_ROOT;
	c.side_port_lo = 7000;
	c.side_port_hi = 7010;
	run("ip netns add peer; ip link add eth0 type veth peer name eth0 netns peer;"
	    "ip addr add 192.0.2.1/24 dev eth0; ip link set eth0 up;"
	    "ip -n peer addr add 192.0.2.2/24 dev eth0; ip -n peer link set eth0 up;"
	    "nft 'table inet t { chain i { type filter hook input priority 0; ct state untracked "
	    "udp dport"
	    " { 6793, 7005, 5555 } counter; udp dport 5555 ct state new counter; }; }'");
	k = node(&c);
	sync_ok(k);
	peer = udp("peer", "192.0.2.2", 6793, 0);
	here = udp(NULL, "192.0.2.1", 6793, 0);
	assert_true(passes(peer, here, "192.0.2.1", 6793));
	close(here);
	here = udp(NULL, "192.0.2.1", 7005, 0);
	assert_true(passes(peer, here, "192.0.2.1", 7005));
	other = udp(NULL, "192.0.2.1", 5555, 0);
	assert_true(passes(peer, other, "192.0.2.1", 5555));
	assert_has(sh("nft list table inet t"),
		"ct state untracked udp dport { 5555, 6793, 7005 } counter packets 2");
	assert_has(sh("nft list table inet t"), "ct state new counter packets 1");
	close(here);
	close(peer);
	close(other);
	kern_close(k);
}

static void pod(const char *ns, const char *br, const char *gw4, const char *ip4)
{
	run("ip netns add %s; ip link add %s type veth peer name eth0 netns %s; ip addr add %s dev "
	    "%s;"
	    "ip link set %s up; ip -n %s addr add %s dev eth0; ip -n %s link set eth0 up; ip -n %s "
	    "link set lo up",
		ns, br, ns, gw4, br, br, ns, ip4, ns, ns);
}

static void walls(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	struct pfx ten = P("10.0.0.0/8"), own1 = P("10.1.0.0/16"), own2 = P("172.16.1.0/24"),
		   far = P("10.2.0.0/16");
	int a, b;

	NEED_ROOT;
	pod("a", "br1", "10.1.0.254/16", "10.1.0.5/16");
	pod("b", "br2", "172.16.1.254/24", "172.16.1.5/24");
	run("ip -n a route add default via 10.1.0.254; ip -n b route add default via 172.16.1.254");
	k = open_kern(&c);
	tun("weft0");
	tun("weft2");
	assert_int_equal(kern_segment_add(k, 1, "weft0", 1400, NULL, 0), 0);
	assert_int_equal(kern_segment_add(k, 2, "weft2", 1400, NULL, 0), 0);
	assert_int_equal(kern_range_add(k, 1, &ten), 0);
	assert_int_equal(kern_range_add(k, 2, &ten), 0);
	assert_int_equal(kern_range_add(k, 2, &own2), 0);
	assert_int_equal(kern_local_add(k, 1, &own1, "br1"), 0);
	assert_int_equal(kern_local_add(k, 2, &own2, "br2"), 0);
	assert_int_equal(kern_local_add(k, 1, &far, "br2"), ERR_CONFLICT);
	assert_int_equal(kern_route_add(k, 1, &far, 0, NULL), 0);
	assert_int_equal(kern_route_add(k, 2, &far, 0, NULL), 0);
	sync_ok(k);
	settle(k, 50);
	/* One address, two segments. */
	assert_has(sh("ip route get 10.2.0.9 from 10.1.0.5 iif br1"), "dev weft0");
	assert_has(sh("ip route get 10.2.0.9 from 172.16.1.5 iif br2"), "dev weft2");
	assert_has(sh("ip route get 10.9.0.9 from 172.16.1.5 iif br2 2>&1"), "No route to host");
	assert_has(sh("ip route get 10.1.0.5 from 172.16.1.5 iif br2 2>&1"), "No route to host");
	assert_has(sh("ip route get 172.16.1.5 from 10.9.0.1 iif weft2"), "dev br2");
	/* What main would carry across, the wall stops. */
	a = udp("a", "10.1.0.5", 4000, 0);
	b = udp("b", "172.16.1.5", 4000, 0);
	assert_false(passes(a, b, "172.16.1.5", 4000));
	run("nft delete table inet weft");
	assert_true(passes(a, b, "172.16.1.5", 4000)); /* the test bites */
	settle(k, 50);
	assert_false(passes(a, b, "172.16.1.5", 4000));
	/* Without the second segment its rules, routes and walls are gone. */
	assert_int_equal(kern_segment_del(k, 2), 0);
	sync_ok(k);
	settle(k, 50);
	assert_hasnt(sh("ip rule; nft list ruleset"), "weft2");
	assert_hasnt(sh("ip rule"), "679302");
	assert_has(sh("ip route get 10.2.0.9 from 172.16.1.5 iif br2"), "dev weft0");
	close(a);
	close(b);
	kern_close(k);
}

static void control_segment(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	struct pfx ula = P("fd77:1:2::/48"), peer = P("fd77:1:2::2/128");
	struct ip mine = A("fd77:1:2::1");
	int pod_fd, here;

	NEED_ROOT;
	run("ip netns add a; ip link add pod0 type veth peer name eth0 netns a;"
	    "ip -6 addr add fd00:a:1::ffff/64 dev pod0 nodad; ip link set pod0 up;"
	    "ip -n a -6 addr add fd00:a:1::5/64 dev eth0 nodad; ip -n a -6 addr add "
	    "fd77:1:2::9/128 dev eth0 nodad;"
	    "ip -n a link set eth0 up; ip -n a -6 route add default via fd00:a:1::ffff");
	k = node(&c);
	tun("weftctl");
	assert_int_equal(kern_segment_add(k, VNI_CONTROL, "weftctl", 1280, &mine, 1), 0);
	assert_int_equal(kern_range_add(k, VNI_CONTROL, &ula), 0);
	assert_int_equal(kern_route_add(k, VNI_CONTROL, &peer, 0, &mine), 0);
	sync_ok(k);
	settle(k, 50);
	assert_has(sh("ip -6 route get fd77:1:2::2"), "dev weftctl table 679300");
	assert_has(sh("ip -6 route get fd77:1:2::2"), "src fd77:1:2::1");
	assert_has(sh("ip -6 route get fd77:1:2::3 2>&1"), "No route to host");
	assert_has(sh("ip -6 route get fd77:1:2::2 from fd00:a:1::5 iif pod0 2>&1"),
		"Network is unreachable");
	/* This node's own address is in the local table, which no rule of ours precedes: the wall. */
	here = udp(NULL, "fd77:1:2::1", 4000, 0);
	pod_fd = udp("a", "fd00:a:1::5", 4000, 0);
	assert_false(passes(pod_fd, here, "fd77:1:2::1", 4000));
	run("nft delete table inet weft");
	assert_true(passes(pod_fd, here, "fd77:1:2::1", 4000)); /* the test bites */
	settle(k, 50);
	assert_false(passes(pod_fd, here, "fd77:1:2::1", 4000));
	close(pod_fd);
	close(here);
	/* Nor does a pod speak with an address of the control segment. */
	here = udp(NULL, "fd00:a:1::ffff", 4000, 0);
	pod_fd = udp("a", "fd77:1:2::9", 4000, 0);
	assert_false(passes(pod_fd, here, "fd00:a:1::ffff", 4000));
	run("nft delete table inet weft");
	assert_true(passes(pod_fd, here, "fd00:a:1::ffff", 4000));
	settle(k, 50);
	close(pod_fd);
	/* The host itself does. */
	close(here);
	here = udp(NULL, "fd77:1:2::1", 4000, 0);
	assert_true(passes(here, here, "fd77:1:2::1", 4000));
	close(here);
	kern_close(k);
}

static void overlaps(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	struct pfx p = P("10.7.0.0/16"), p6 = P("fd00:b::/32"), def = P("0.0.0.0/0"),
		   mp = P("10.8.0.0/16");
	const char *const own[] = {"eth0", "eth1"};
	char why[120] = "";

	NEED_ROOT;
	run("ip link add eth0 type veth peer name eth1; ip link set eth0 up; ip link set eth1 up;"
	    "ip addr add 192.0.2.1/24 dev eth0; ip route add default via 192.0.2.254");
	k = node(&c);
	sync_ok(k);
	assert_false(kern_overlaps(k, &p, NULL, 0, why, sizeof(why)));
	assert_false(kern_overlaps(
		k, &(struct pfx){A("10.0.0.0"), 8}, NULL, 0, why, sizeof(why))); /* ours */
	run("ip route add 10.7.3.0/24 dev eth1");
	assert_true(kern_overlaps(k, &p, NULL, 0, why, sizeof(why)));
	assert_string_equal(why, "route 10.7.3.0/24 of eth1");
	assert_false(kern_overlaps(k, &p, own + 1, 1, why, sizeof(why)));
	assert_true(kern_overlaps(k, &p, own, 1, why, sizeof(why)));
	assert_false(kern_overlaps(k, &p, own, 2, why, sizeof(why)));
	run("ip route del 10.7.3.0/24 dev eth1; ip route add unreachable 10.0.0.0/9 table 77");
	assert_true(kern_overlaps(k, &p, NULL, 0, why, sizeof(why)));
	assert_string_equal(why, "route 10.0.0.0/9");
	run("ip route del unreachable 10.0.0.0/9 table 77; ip addr add 10.7.9.9/32 dev eth1");
	assert_true(kern_overlaps(k, &p, NULL, 0, why, sizeof(why)));
	assert_string_equal(why, "address 10.7.9.9 of eth1");
	assert_false(kern_overlaps(k, &p6, NULL, 0, why, sizeof(why)));
	run("ip -6 route add fd00:b:1::/48 dev eth0");
	assert_true(kern_overlaps(k, &p6, NULL, 0, why, sizeof(why)));
	assert_string_equal(why, "route fd00:b:1::/48 of eth0");
	run("ip route add 10.8.1.0/24 nexthop dev eth0 nexthop dev eth1");
	assert_true(kern_overlaps(k, &mp, NULL, 0, why, sizeof(why)));
	assert_has(why, "10.8.1.0/24 of eth0");
	assert_true(kern_overlaps(k, &def, NULL, 0, why, sizeof(why)));
	kern_close(k);
}

static void underlay(void **state)
{
	static const char *const devices[] = {"eth0"};
	struct kern_device_mtu lag[1];
	struct kern *k;
	struct kern_cfg c = cfg();
	struct ip out[8], to = A("192.0.2.9"), to6 = A("2001:db8::9"), mesh = A("10.2.0.5"),
			  none = {.family = IP_NONE};
	struct pfx r = P("192.0.0.0/16"), gw = P("198.51.100.0/24"), ten = P("10.0.0.0/8"),
		   own = P("10.1.0.0/16");
	struct ip first = A("10.1.0.1"), ips[8], gateway = A("198.51.100.1"),
		  first_ip = A("192.0.2.1"), second_ip = A("192.0.2.7"), mine6 = A("2001:db8::1"),
		  on_lo = A("192.0.2.99");
	const char *br0 = "br0";
	char name[16] = "", why[120] = "", text[IP_STRLEN];
	unsigned mtu = 0;
	uint64_t changes;

	NEED_ROOT;
	run("ip link add eth0 mtu 1450 type veth peer name eth1 ; ip link set eth0 up; ip link set "
	    "eth1 up;"
	    "ip link add br0 type bridge; ip addr add 10.1.0.254/16 dev br0; ip link set br0 up;"
	    "ip link add down0 type bridge; ip addr add 203.0.113.1/24 dev down0");
	k = open_kern(&c);
	tun("weft0");
	assert_int_equal(kern_segment_add(k, 1, "weft0", 1400, &first, 1), 0);
	assert_int_equal(kern_underlay(k, &none, &mtu, name), ERR_NOT_FOUND);
	assert_int_equal(kern_underlay(k, NULL, &mtu, name), ERR_NOT_FOUND);
	assert_int_equal(kern_underlay(k, &to, &mtu, name), ERR_NOT_FOUND);
	/* The only address is on a device that is left out. */
	assert_int_equal(kern_widest(k, &br0, 1, &mtu, name), ERR_NOT_FOUND);
	assert_int_equal(kern_interface_mtu(k, "down0", &mtu), ERR_NOT_FOUND);
	assert_int_equal(kern_interface_mtu(k, "none0", &mtu), ERR_NOT_FOUND);
	settle(k, 50);
	changes = stats(k).underlay_changes;
	run("ip addr add 192.0.2.1/24 dev eth0; ip addr add 192.0.2.7/24 dev eth0; ip -6 addr add "
	    "2001:db8::1/64 dev eth0 nodad");
	settle(k, 50);
	assert_true(stats(k).underlay_changes > changes);
	assert_int_equal(kern_underlay(k, &to, &mtu, name), 0);
	assert_string_equal(name, "eth0");
	assert_int_equal(mtu, 1450);
	assert_int_equal(kern_underlay(k, &to6, &mtu, name), 0);
	assert_string_equal(name, "eth0");
	/* Our own addresses: by the interface that has them, not the loopback. */
	mtu = 0;
	assert_int_equal(kern_underlay(k, &second_ip, &mtu, name), 0);
	assert_string_equal(name, "eth0");
	assert_int_equal(mtu, 1450);
	assert_int_equal(kern_underlay(k, &mine6, &mtu, name), 0);
	assert_string_equal(name, "eth0");
	run("ip addr add 192.0.2.99/32 dev lo");
	assert_int_equal(kern_underlay(k, &on_lo, &mtu, name), ERR_NOT_FOUND);
	run("ip addr del 192.0.2.99/32 dev lo");
	assert_int_equal(kern_interface_mtu(k, "eth0", &mtu), 0);
	assert_int_equal(mtu, 1450);
	/* The bridge has 1500, unless it is left out. */
	assert_int_equal(kern_widest(k, NULL, 0, &mtu, name), 0);
	assert_string_equal(name, "br0");
	assert_int_equal(kern_widest(k, &br0, 1, &mtu, name), 0);
	assert_string_equal(name, "eth0");
	assert_int_equal(mtu, 1450);
	assert_int_equal(kern_underlay(k, &none, &mtu, name), ERR_NOT_FOUND);
	/* Without a default route: all but our TUNs and own prefixes' devices. */
	assert_true(kern_range_hits_underlay(k, &ten, NULL, 0, why, sizeof(why)));
	assert_false(kern_range_hits_underlay(k, &ten, &br0, 1, why, sizeof(why)));
	assert_int_equal(kern_local_add(k, 1, &own, "br0"), 0);
	assert_false(kern_range_hits_underlay(k, &ten, NULL, 0, why, sizeof(why)));
	assert_true(kern_range_hits_underlay(k, &r, NULL, 0, why, sizeof(why)));
	assert_string_equal(why, "underlay address 192.0.2.1 of eth0");
	run("ip route add 198.51.100.1 dev eth0; ip route add default via 198.51.100.1");
	assert_true(kern_range_hits_underlay(k, &gw, NULL, 0, why, sizeof(why)));
	assert_string_equal(why, "default gateway 198.51.100.1 of eth0");
	/* The same as a list. */
	assert_int_equal(kern_underlay_ips(k, ips, 8), 4);
	assert_true(ip_eq(&ips[0], &gateway));
	assert_true(ip_eq(&ips[1], &first_ip));
	assert_true(ip_eq(&ips[2], &second_ip));
	assert_int_equal(ips[3].family, IP_V6);
	assert_int_equal(kern_underlay_ips(k, ips, 2), 2);
	assert_int_equal(kern_underlay(k, &none, &mtu, name), 0);
	assert_string_equal(name, "eth0");
	/* A peer's address inside the mesh's routes is still asked of the underlay. */
	assert_int_equal(kern_route_add(k, 1, &(struct pfx){A("10.2.0.0"), 16}, 0, NULL), 0);
	sync_ok(k);
	assert_int_equal(kern_underlay(k, &mesh, &mtu, name), 0);
	assert_string_equal(name, "eth0");
	assert_int_equal(kern_host_addrs(k, out, 8), 3);
	assert_string_equal(ip_fmt(&out[0], text), "192.0.2.1");
	assert_string_equal(ip_fmt(&out[1], text), "192.0.2.7");
	assert_string_equal(ip_fmt(&out[2], text), "2001:db8::1");
	assert_int_equal(kern_host_addrs(k, out, 1), 1);
	/* Named devices alone, and only what is smaller. */
	assert_int_equal(kern_smaller_devices(k, mtu, devices, 1, lag, 1), 0);
	assert_int_equal(kern_smaller_devices(k, mtu + 1, devices, 1, lag, 0), 1);
	assert_int_equal(kern_smaller_devices(k, mtu + 1, devices, 1, lag, 1), 1);
	assert_string_equal(lag[0].name, "eth0");
	assert_int_equal(lag[0].mtu, mtu);
	assert_int_equal(kern_smaller_devices(k, mtu + 1, NULL, 0, lag, 1), 0);
	kern_close(k);
}

static int heard;

static void note(void *ctx, const char *what)
{
	assert_non_null(what);
	heard++;
}

static const char *everything(void)
{
	return sh("ip rule; ip -6 rule; ip route show table all | sort; ip -6 route show table all "
		  "| sort;"
		  "ip -o link | sed 's/state .*//'; ip -o addr; nft list ruleset");
}

static void down_takes_all(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();
	static char before[256 * 1024];
	struct pfx p = P("10.0.0.0/8");

	NEED_ROOT;
	run("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding;"
	    "ip link add eth0 type veth peer name eth1; ip addr add 192.0.2.1/24 dev eth0; ip link "
	    "set eth0 up;"
	    "ip link set eth1 up; ip rule add pref 6794 to 9.9.9.9 lookup main; ip rule add pref "
	    "100 fwmark 1 lookup 5;"
	    "ip route add 10.1.0.7/32 dev eth0 table 679301 proto static; ip route add default via "
	    "192.0.2.2;"
	    "nft add table inet weft2; nft add table ip weft; ip tuntap add mode tun name other0;"
	    "ip link add alias0 type bridge; ip link set alias0 alias weft; sleep 2.5");
	strcpy(before, everything());
	assert_int_equal(kern_down(note, NULL), 0);
	k = node(&c);
	tun("weft2");
	assert_int_equal(kern_segment_add(k, 70000, "weft2", 1400, NULL, 0), 0);
	assert_int_equal(kern_range_add(k, 70000, &p), 0);
	sync_ok(k);
	kern_close(k);
	heard = 0;
	assert_true(kern_down(note, NULL) >= 7 + 2 + 2 + 6);
	assert_true(heard >= 17);
	assert_string_equal(before, everything());
	assert_int_equal(kern_down(NULL, NULL), 0);
}

/* An interface that lives by router advertisements goes on to hear them when the host forwards. */
static void keeps_ra(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();

	NEED_ROOT;
	run("ip link add eth0 type veth peer name eth1; ip link set eth0 up; ip link set eth1 up;"
	    "ip link add eth2 type veth peer name eth3; ip link set eth2 up; ip link set eth3 up;"
	    "ip -6 route add default dev eth0 proto ra metric 1024 expires 600");
	k = node(&c);
	sync_ok(k);
	assert_string_equal(sh("cat /proc/sys/net/ipv6/conf/eth0/accept_ra"), "2\n");
	assert_string_equal(sh("cat /proc/sys/net/ipv6/conf/eth2/accept_ra"), "1\n");
	assert_string_equal(
		sh("cat /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv4/ip_forward"
		   " /proc/sys/net/ipv4/conf/all/src_valid_mark"),
		"1\n1\n1\n");
	assert_string_equal(
		sh("cd /proc/sys/net/ipv4/conf/weft0; cat rp_filter ignore_routes_with_linkdown"
		   " send_redirects accept_redirects forwarding"),
		"0\n1\n0\n0\n1\n");
	assert_string_equal(
		sh("cd /proc/sys/net/ipv6/conf/weft0; cat accept_ra ignore_routes_with_linkdown"
		   " accept_redirects forwarding addr_gen_mode"),
		"0\n1\n0\n1\n1\n");
	kern_close(k);
}

/* No nft program: the reason stands in the stats, everything else goes on. Last: hides it for good. */
static void nft_absent(void **state)
{
	static const char *const at[] = {"/usr/local/sbin", "/usr/local/bin"};
	struct kern *k;
	struct kern_cfg c = cfg();

	NEED_ROOT;
	run("mount --bind /dev/null $(command -v nft)");
	for (size_t i = 0; i < 2; i++)
		(void)!mount("none", at[i], "tmpfs", 0, NULL);
	k = node(&c);
	sync_ok(k);
	assert_false(stats(k).notrack);
	assert_string_equal(stats(k).notrack_why, "no nft program");
	assert_has(sh("ip route get 10.2.3.4"), "dev weft0");
	assert_int_equal(stats(k).routes, 6);
	assert_true(dur_ms(ts_sub(kern_deadline(k), now_ts())) > 30000); /* later, not at once */
	kern_close(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(outer_under_rp_filter, fresh, tidy),
		cmocka_unit_test_setup_teardown(untracked, fresh, tidy),
		cmocka_unit_test_setup_teardown(walls, fresh, tidy),
		cmocka_unit_test_setup_teardown(control_segment, fresh, tidy),
		cmocka_unit_test_setup_teardown(overlaps, fresh, tidy),
		cmocka_unit_test_setup_teardown(underlay, fresh, tidy),
		cmocka_unit_test_setup_teardown(down_takes_all, fresh, tidy),
		cmocka_unit_test_setup_teardown(keeps_ra, fresh, tidy),
		cmocka_unit_test_setup_teardown(nft_absent, fresh, tidy),
	};

	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
