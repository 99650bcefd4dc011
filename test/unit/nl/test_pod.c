/* Messages of pod interfaces: made in fresh namespaces, judged by ip and nft; parsers fed cut and flipped
 * messages. */
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/netfilter.h>
#include <linux/rtnetlink.h>
#include "nl_pod.h"
#include "nl_test.h"

static const uint8_t mac_a[NL_MAC_BYTES] = {2, 0, 0, 0, 0, 1},
		     mac_b[NL_MAC_BYTES] = {2, 0, 0, 0, 0, 2};

static struct nlx route_socket(void)
{
	struct nlx x;

	assert_int_equal(nlx_open(&x, NETLINK_ROUTE), 0);
	return x;
}

static void pair_into_namespace(void **state)
{
	struct nlx x;
	struct nl_veth_spec spec = {.name = "host0", .peer = "eth0", .mtu = 1400};
	struct nl_veth v;
	char long_alias[NL_ALIAS_MAX + 2];

	NEED_ROOT;
	run("ip netns add pod");
	spec.peer_ns = open("/run/netns/pod", O_RDONLY);
	assert_true(spec.peer_ns >= 0);
	memcpy(spec.mac, mac_a, sizeof(mac_a));
	memcpy(spec.peer_mac, mac_b, sizeof(mac_b));
	x = route_socket();
	assert_int_equal(nl_veth_get(&x, "host0", &v), -ENODEV);
	assert_int_equal(nl_veth_add(&x, &spec), 0);
	assert_int_equal(nl_veth_add(&x, &spec), -EEXIST);
	assert_has(sh("ip -n pod link show eth0"), "02:00:00:00:00:02");
	assert_has(sh("ip -n pod link show eth0"), "mtu 1400");
	assert_int_equal(nl_veth_get(&x, "host0", &v), 0);
	assert_true(v.is_veth && v.peer_ifindex > 0 && !(v.flags & IFF_UP));
	assert_memory_equal(v.mac, mac_a, sizeof(mac_a));
	assert_string_equal(v.alias, "");
	assert_int_equal(nl_link_alias(&x, v.ifindex, "whose it is"), 0);
	memset(long_alias, 'a', sizeof(long_alias));
	long_alias[sizeof(long_alias) - 1] = '\0';
	assert_int_equal(nl_link_alias(&x, v.ifindex, long_alias), ERR_RANGE);
	assert_int_equal(nl_veth_get(&x, "host0", &v), 0);
	assert_string_equal(v.alias, "whose it is");
	long_alias[NL_ALIAS_MAX] = '\0';
	assert_int_equal(nl_link_alias(&x, v.ifindex, long_alias), 0);
	assert_int_equal(nl_veth_get(&x, "host0", &v), 0);
	assert_string_equal(v.alias, long_alias);
	assert_int_equal(nl_veth_get(&x, "lo", &v), 0);
	assert_false(v.is_veth);
	close(spec.peer_ns);
	nlx_close(&x);
}

static int count_permanent(void *ctx, const struct nlmsghdr *nlh)
{
	unsigned *n = ctx;
	struct nl_neigh e;

	if (nl_neigh_parse(nlh, &e) == 0 && e.state == NUD_PERMANENT && e.has_mac &&
		memcmp(e.mac, mac_b, sizeof(mac_b)) == 0)
		(*n)++;
	return 0;
}

static void neighbours_and_routes(void **state)
{
	struct nl_route r = {.table = RT_TABLE_MAIN, .proto = RTPROT_STATIC, .type = RTN_UNICAST};
	struct ip gw[2];
	struct nl_veth v;
	struct nlx x;
	unsigned n = 0;

	NEED_ROOT;
	gw[0] = A("169.254.1.1");
	gw[1] = A("fe80::1");
	run("ip link add e0 type veth peer name e1; ip link set e0 up; ip link set e1 up");
	run("ip addr add 10.0.0.5/32 dev e0");
	x = route_socket();
	assert_int_equal(nl_veth_get(&x, "e0", &v), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(nl_neigh_put(&x, v.ifindex, &gw[i], mac_a), 0);
		assert_int_equal(nl_neigh_put(&x, v.ifindex, &gw[i], mac_b), 0); /* replaces */
		assert_int_equal(
			nl_neigh_dump(&x, v.ifindex, gw[i].family, count_permanent, &n), 0);
	}
	assert_int_equal(n, 2);
	r.oif = v.ifindex;
	r.scope = RT_SCOPE_LINK;
	r.dst = P("169.254.1.1/32");
	assert_int_equal(nl_route_via(&x, &r, false), 0);
	assert_int_equal(nl_route_via(&x, &r, false), -EEXIST);
	assert_int_equal(nl_route_via(&x, &r, true), 0);
	r.scope = RT_SCOPE_UNIVERSE;
	r.gateway = gw[0];
	r.dst = P("0.0.0.0/0");
	assert_int_equal(nl_route_via(&x, &r, false), 0);
	r.gateway = gw[1];
	r.dst = P("::/0");
	assert_int_equal(nl_route_via(&x, &r, false), 0);
	assert_has(sh("ip route get 192.0.2.1"), "via 169.254.1.1 dev e0");
	assert_has(sh("ip -6 route show default"), "via fe80::1 dev e0");
	nlx_close(&x);
}

static void the_pin(void **state)
{
	struct nlx x;

	NEED_ROOT;
	assert_int_equal(nlx_open(&x, NETLINK_NETFILTER), 0);
	assert_int_equal(nl_pin_check(&x, "pods"), ERR_NOT_FOUND);
	assert_int_equal(nl_pin_put(&x, "pods", "wpod"), 0);
	assert_int_equal(nl_pin_check(&x, "pods"), 0);
	assert_has(sh("nft list table inet pods"), "priority raw + 10; policy accept;");
	assert_has(sh("nft list table inet pods"),
		"iifname \"wpod*\" fib saddr . iif oif missing counter packets 0 bytes 0 drop");
	/* Whatever was done to it: found, and made whole again. */
	run("nft add rule inet pods pin accept");
	assert_int_equal(nl_pin_check(&x, "pods"), ERR_NOT_FOUND);
	assert_int_equal(nl_pin_put(&x, "pods", "wpod"), 0);
	assert_int_equal(nl_pin_check(&x, "pods"), 0);
	run("nft flush table inet pods");
	assert_int_equal(nl_pin_check(&x, "pods"), ERR_NOT_FOUND);
	assert_int_equal(nl_pin_put(&x, "pods", "wpod"), 0);
	assert_int_equal(nl_nft_del(&x, NFPROTO_INET, "pods"), 0);
	assert_string_equal(sh("nft list tables"), "");
	nlx_close(&x);
}

struct taken {
	char buf[8192];
	size_t len;
};

static int take(void *ctx, const struct nlmsghdr *nlh)
{
	struct taken *t = ctx;

	if (nlh->nlmsg_len <= sizeof(t->buf)) {
		memcpy(t->buf, nlh, nlh->nlmsg_len);
		t->len = nlh->nlmsg_len;
	}
	return 0;
}

static void mangle(const struct taken *t)
{
	struct nl_veth v;
	struct nl_neigh n;

	assert_true(t->len > 0);
	for (size_t cut = sizeof(struct nlmsghdr); cut < t->len; cut++) {
		struct nlmsghdr *m = malloc(t->len);

		memcpy(m, t->buf, cut);
		m->nlmsg_len = (uint32_t)cut;
		(void)nl_veth_parse(m, &v);
		(void)nl_neigh_parse(m, &n);
		free(m);
	}
	for (size_t bit = 8 * sizeof(struct nlmsghdr); bit < 8 * t->len; bit++) {
		struct nlmsghdr *m = malloc(t->len);

		memcpy(m, t->buf, t->len);
		((uint8_t *)m)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (nl_veth_parse(m, &v) == 0)
			assert_true(strlen(v.name) < IFNAMSIZ && strlen(v.alias) <= NL_ALIAS_MAX);
		if (nl_neigh_parse(m, &n) == 0)
			assert_true(n.ip.family == IP_V4 || n.ip.family == IP_V6);
		free(m);
	}
}

static void mangled(void **state)
{
	struct taken t = {.len = 0};
	struct nl_veth v;
	struct nlx x;

	NEED_ROOT;
	run("ip link add e0 type veth peer name e1; ip link set e0 alias whose up");
	run("ip neigh add 10.0.0.1 lladdr 02:00:00:00:00:02 dev e0 nud permanent");
	x = route_socket();
	assert_int_equal(nl_link_dump(&x, take, &t), 0); /* the last one */
	mangle(&t);
	t.len = 0;
	assert_int_equal(nl_veth_get(&x, "e0", &v), 0);
	assert_int_equal(nl_neigh_dump(&x, v.ifindex, IP_V4, take, &t), 0);
	mangle(&t);
	nlx_close(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pair_into_namespace, fresh, tidy),
		cmocka_unit_test_setup_teardown(neighbours_and_routes, fresh, tidy),
		cmocka_unit_test_setup_teardown(the_pin, fresh, tidy),
		cmocka_unit_test_setup_teardown(mangled, fresh, tidy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
