/* Routes to other clusters: who may speak for them, and what a gateway forwards (DESIGN 4.2, 8). Side 1
 * is looked at; side 0 is its neighbour, OTHER a second one that it never hears of here. */
#include "dprig.h"

#define OTHER 9

static uint8_t pkt[2048], got[65600], body[2048], dgram[2048];
static uint64_t counter = 1000;

static struct mk packet(uint8_t src_net, uint8_t dst_net)
{
	struct mk m = rig_packet(0, 4, false);

	m.src[2] = src_net;
	m.dst[2] = dst_net;
	m.payload = 100;
	return m;
}

/* Networks 10.0.N.0/24 of the rig: 0 is side 0's, 1 our own. Here besides: */
enum { LINKED = 20, LINKED_TOO = 21, ELSEWHERE = 22, UNTOLD = 23, MEMBER = 30, EXIT = 31 };
enum { MINE = 1, NEIGHBOUR = 0 };

/* Bits of links. */
enum { L1 = 2, L2 = 4 };

static void route(struct rig *r, uint8_t net, enum dp_route_kind kind, uint32_t peer, uint8_t from,
	uint8_t to)
{
	char text[32];
	struct pfx p;

	snprintf(text, sizeof(text), "10.0.%u.0/24", net);
	p = rig_pfx(text);
	assert_int_equal(dp_route_cross(r->dp[1], RIG_VNI, &p, kind, peer, from, to), 0);
}

/* Side 0 sends from @src_net to @dst_net: @why it is dropped; DP_DROP_COUNT: it arrives. */
static void expect(struct rig *r, uint8_t src_net, uint8_t dst_net, enum dp_drop why)
{
	struct mk m = packet(src_net, dst_net);
	struct virtio_net_hdr vh;
	int fd = rig_stranger();
	uint64_t before = why < DP_DROP_COUNT ? rig_drops(r, 1, why) : 0;
	size_t n = mk_build(&m, pkt), len = rig_seal(dgram, 0, WIRE_F_SIDE_PORT, 1, counter++, body,
					      rig_body(body, RIG_VNI, 0, &m));

	rig_shoot(r, fd, 1, dgram, len);
	if (why < DP_DROP_COUNT) {
		RIG_UNTIL(r, rig_drops(r, 1, why) == before + 1);
		assert_int_equal(rig_tun_read(r, 1, &vh, got, 0), 0);
	} else {
		assert_int_equal(rig_tun_read(r, 1, &vh, got, RIG_WAIT), n);
		assert_memory_equal(got, pkt, n);
	}
	close(fd);
}

/* LINKED was accepted from link 1, where side 0 is the gateway; LINKED_TOO from our own gateways, OTHER
 * among them; ELSEWHERE from link 2 and our own gateways. */
static struct rig *start(void)
{
	struct dp_cfg c = rig_cfg(1);
	struct rig *r = rig_new(&c, NULL);

	assert_int_equal(dp_peer_add(r->dp[1], OTHER), 0);
	route(r, LINKED, DP_ROUTE_LINK, RIG_PEER, L1, L2);
	route(r, LINKED_TOO, DP_ROUTE_LINK, OTHER, DP_LINK_OURS, L1);
	route(r, ELSEWHERE, DP_ROUTE_LINK, OTHER, L2 | DP_LINK_OURS, L1);
	route(r, UNTOLD, DP_ROUTE_LINK, OTHER, L2, 0);
	route(r, MEMBER, DP_ROUTE_PEER, OTHER, 0, DP_LINKS_OWN);
	return r;
}

/* A member: its own pods are reached from another cluster, by each gateway of its own. */
static void member(void **state)
{
	struct rig *r = start();
	struct pfx p = rig_pfx("10.0.20.0/24");

	/* Not by a node that is no gateway, though BGP leads there. */
	expect(r, LINKED, MINE, DP_DROP_BAD_SOURCE);
	assert_int_equal(dp_peer_links(r->dp[1], RIG_PEER, DP_LINKS_OWN), 0);
	expect(r, LINKED, MINE, DP_DROP_COUNT);
	expect(r, LINKED_TOO, MINE, DP_DROP_COUNT);
	/* A gateway speaks for links, not for the members of its own cluster. */
	expect(r, MEMBER, MINE, DP_DROP_BAD_SOURCE);
	/* And a member forwards nothing. */
	expect(r, LINKED, MEMBER, DP_DROP_BAD_DESTINATION);
	expect(r, NEIGHBOUR, ELSEWHERE, DP_DROP_BAD_DESTINATION);
	assert_int_equal(dp_peer_links(r->dp[1], 77, 1), ERR_NOT_FOUND);
	assert_int_equal(dp_route_set(r->dp[1], RIG_VNI, &p, DP_ROUTE_LINK, RIG_PEER), ERR_RANGE);
	rig_free(r);
}

/* Side 0 is a gateway of link 1's cluster. */
static void gateway(void **state)
{
	struct rig *r = start();

	dp_gateway(r->dp[1], true);
	expect(r, LINKED, MINE, DP_DROP_BAD_SOURCE); /* its greeting is not accepted yet */
	assert_int_equal(dp_peer_links(r->dp[1], RIG_PEER, L1), 0);
	expect(r, LINKED, MINE, DP_DROP_COUNT);
	expect(r, LINKED, MEMBER, DP_DROP_COUNT); /* from the link into the mesh, */
	/* and from link to link, where that was told. */
	expect(r, LINKED, ELSEWHERE, DP_DROP_COUNT);
	expect(r, LINKED, UNTOLD, DP_DROP_BAD_DESTINATION);
	/* What was accepted from our own gateways, or another link, is not its to speak for. */
	expect(r, LINKED_TOO, MEMBER, DP_DROP_BAD_SOURCE);
	expect(r, ELSEWHERE, MEMBER, DP_DROP_BAD_SOURCE);
	expect(r, MEMBER, ELSEWHERE, DP_DROP_BAD_SOURCE);
	dp_gateway(r->dp[1], false);
	expect(r, LINKED, MEMBER, DP_DROP_BAD_DESTINATION);
	rig_free(r);
}

/* Side 0 is a member of the gateway's cluster, or another gateway there. */
static void inside(void **state)
{
	struct rig *r = start();

	dp_gateway(r->dp[1], true);
	expect(r, NEIGHBOUR, ELSEWHERE, DP_DROP_COUNT); /* from the mesh to the link */
	expect(r, NEIGHBOUR, UNTOLD, DP_DROP_COUNT);
	/* Members reach each other directly, and nothing goes back where it came from. */
	expect(r, NEIGHBOUR, MEMBER, DP_DROP_BAD_DESTINATION);
	expect(r, NEIGHBOUR, LINKED, DP_DROP_BAD_DESTINATION);
	assert_int_equal(dp_peer_links(r->dp[1], RIG_PEER, DP_LINKS_OWN), 0);
	expect(r, ELSEWHERE, MEMBER, DP_DROP_COUNT); /* came in by the other gateway */
	expect(r, LINKED_TOO, UNTOLD, DP_DROP_COUNT);
	rig_free(r);
}

/* Exits are for the cluster's own nodes, unless the link was told of them. */
static void exits(void **state)
{
	struct rig *r = start();

	dp_gateway(r->dp[1], true);
	route(r, EXIT, DP_ROUTE_EXIT, 0, 0, 0);
	expect(r, NEIGHBOUR, EXIT, DP_DROP_COUNT);
	assert_int_equal(dp_peer_links(r->dp[1], RIG_PEER, L1), 0);
	expect(r, LINKED, EXIT, DP_DROP_BAD_DESTINATION);
	route(r, EXIT, DP_ROUTE_EXIT, 0, 0, L2);
	expect(r, LINKED, EXIT, DP_DROP_BAD_DESTINATION);
	route(r, EXIT, DP_ROUTE_EXIT, 0, 0, L1);
	expect(r, LINKED, EXIT, DP_DROP_COUNT);
	/* What comes from outside may come by another node that has the exit, too; by no other. */
	expect(r, EXIT, MINE, DP_DROP_BAD_SOURCE);
	assert_int_equal(dp_peer_links(r->dp[1], RIG_PEER, DP_LINKS_OWN), 0);
	expect(r, EXIT, MINE, DP_DROP_BAD_SOURCE);
	route(r, EXIT, DP_ROUTE_EXIT, 0, DP_LINK_OURS, L1);
	expect(r, EXIT, MINE, DP_DROP_COUNT);
	assert_int_equal(dp_peer_links(r->dp[1], RIG_PEER, L1), 0);
	expect(r, EXIT, MINE, DP_DROP_BAD_SOURCE);
	route(r, EXIT, DP_ROUTE_PEER, OTHER, 0, 0);
	expect(r, LINKED, EXIT, DP_DROP_BAD_DESTINATION);
	rig_free(r);
}

/* What goes to a link is sealed to its gateway; without a session it waits and asks. */
static void to_the_link(void **state)
{
	struct rig *r = start();
	struct mk m = rig_packet(1, 4, false);
	static const struct virtio_net_hdr plain;
	struct virtio_net_hdr vh;
	struct pfx p = rig_pfx("10.0.20.0/24");
	size_t len;

	assert_int_equal(dp_route_set(r->dp[0], RIG_VNI, &p, DP_ROUTE_LOCAL, 0), 0);
	m.dst[2] = LINKED;
	m.payload = 64;
	len = mk_build(&m, pkt);
	rig_tun_write(r, 1, 0, &plain, pkt, len);
	assert_int_equal(rig_tun_read(r, 0, &vh, got, RIG_WAIT), len);
	/* The gateway goes: its routes go with it, and nothing leaves in clear. */
	dp_peer_del(r->dp[1], RIG_PEER);
	rig_tun_write(r, 1, 0, &plain, pkt, len);
	RIG_UNTIL(r, rig_drops(r, 1, DP_DROP_UNOWNED) == 1);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(member),
		cmocka_unit_test(gateway),
		cmocka_unit_test(inside),
		cmocka_unit_test(exits),
		cmocka_unit_test(to_the_link),
	};

	return cmocka_run_group_tests_name("dp/gateway", tests, NULL, NULL);
}
