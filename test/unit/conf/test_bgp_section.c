/* The section `bgp:`: a whole one, what is refused and with which words, memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "conf.h"
#include "conf_bgp.h"
#include "fault.h"
#include "weft/err.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MIN      "bgp:\n  asn: 64512\n  listen: 192.0.2.1\n"
#define PEER     MIN "  peers:\n  - address: 192.0.2.9\n    asn: 1\n"
#define RANGE    MIN "  peers:\n  - {range: 192.0.2.0/24, asn: 2, password: x}\n"

static const char whole[] = "bgp:\n"
			    "  asn: 4200000001\n"
			    "  router-id: 192.0.2.1\n"
			    "  listen: [192.0.2.1, \"[2001:db8::1]:1179\"]\n"
			    "  announce:\n"
			    "    pods: all\n"
			    "    ranges: yes\n"
			    "    services: [10.96.0.0/12]\n"
			    "    aggregates: [10.0.0.0/8, \"fd00::/8\"]\n"
			    "  peers:\n"
			    "  - address: 192.0.2.254\n"
			    "    asn: 64999\n"
			    "    port: 1790\n"
			    "    source: 192.0.2.1\n"
			    "    password: \"a b:c\"\n"
			    "    ttl-security: yes\n"
			    "    multihop: 2\n"
			    "    passive: yes\n"
			    "    families: [ipv4, ipv6]\n"
			    "    next-hop: [192.0.2.1, \"2001:db8::1\"]\n"
			    "    hold: 30\n"
			    "    max-prefixes: 1000\n"
			    "    import:\n"
			    "    - 10.0.0.0/8 le 24\n"
			    "    - 192.0.2.0/24 ge 25\n"
			    "    - 172.16.0.0/12 ge 16 le 20\n"
			    "    - 198.51.100.0/24\n"
			    "    export: accept\n"
			    "    graceful-restart: yes\n"
			    "    restart-time: 30\n"
			    "    stale-time: 60\n"
			    "    mrai: 5\n"
			    "    max-prefix-warning: 800\n"
			    "    max-prefix-restart: 300\n"
			    "    local-as: 65077\n"
			    "    local-as-no-prepend: yes\n"
			    "    local-as-replace: yes\n"
			    "    as-override: yes\n"
			    "    remove-private: yes\n"
			    "    allow-own-as: 2\n"
			    "    add-path-receive: yes\n"
			    "    add-path-send: 4\n"
			    "    extended-next-hop: yes\n"
			    "    extended-messages: no\n"
			    "    role: rs-client\n"
			    "    role-strict: yes\n"
			    "  - address: 2001:db8::9\n"
			    "    asn: 4200000001\n"
			    "    next-hop-self: yes\n"
			    "    hold: 0\n"
			    "    import: reject\n";

static int load(const char *text, struct conf *c, char *err)
{
	return conf_parse_yaml("f", text, strlen(text), c, err, 2000);
}

/* Does the policy take @prefix? */
static bool takes(struct policy *p, const char *prefix)
{
	struct bgp_policy hook = policy_hook(p, POLICY_IN);
	struct bgp_nlri n = {.family = BGP_IPV4};
	struct bgp_attrs a = {.has = 0};

	assert_int_equal(pfx_parse(prefix, &n.pfx), 0);
	return hook.ops->apply(hook.ctx, &(struct bgp_route){.nlri = &n, .attrs = &a}, NULL) ==
	       BGP_ACCEPT;
}

static void check_matches(const struct conf_bgp *b, struct policy *p)
{
	assert_int_equal(policy_book_close(b->policies, b->asn), 0);
	assert_true(takes(p, "10.1.0.0/24") && takes(p, "192.0.2.0/32") &&
		    takes(p, "172.16.0.0/20") && takes(p, "198.51.100.0/24"));
	assert_false(takes(p, "10.1.0.0/25") || takes(p, "192.0.2.0/24") ||
		     takes(p, "172.16.0.0/21") || takes(p, "172.16.0.0/15") ||
		     takes(p, "198.51.100.0/25") || takes(p, "11.0.0.0/8"));
}

static void whole_section(void **state)
{
	char err[2000], text[EP_STRLEN];
	struct conf c;

	(void)state;
	if (load(whole, &c, err) != 0)
		fail_msg("%s", err);
	const struct conf_bgp *b = c.bgp;
	assert_int_equal(b->asn, 4200000001u);
	assert_int_equal(b->router_id, 0xc0000201u);
	assert_int_equal(b->nlisten, 2);
	assert_string_equal(ep_fmt(&b->listen[0], text), "192.0.2.1:179");
	assert_string_equal(ep_fmt(&b->listen[1], text), "[2001:db8::1]:1179");
	assert_int_equal(b->announce.pods, CONF_BGP_PODS_ALL);
	assert_true(b->announce.ranges);
	assert_int_equal(b->announce.services.n, 1);
	assert_int_equal(b->announce.aggregates.n, 2);
	assert_int_equal(b->npeers, 2);
	const struct conf_bgp_peer *p = &b->peers[0], *q = &b->peers[1];
	assert_string_equal(ep_fmt(&p->remote, text), "192.0.2.254:1790");
	assert_string_equal(p->password, "a b:c");
	assert_true(p->ttl_security && p->passive && p->ipv4 && p->ipv6 && !p->next_hop_self);
	assert_int_equal(p->multihop, 2);
	assert_int_equal(p->next_hop[0].family, IP_V4);
	assert_int_equal(p->next_hop[1].family, IP_V6);
	assert_int_equal(p->hold_secs, 30);
	assert_int_equal(p->max_prefixes, 1000);
	assert_int_equal(p->restart, CONF_BGP_RESTART_YES);
	assert_int_equal(q->restart, CONF_BGP_RESTART_HELPER);
	assert_int_equal(p->restart_secs, 30);
	assert_int_equal(p->stale_secs, 60);
	assert_int_equal(p->mrai_secs, 5);
	assert_int_equal(p->warn_prefixes, 800);
	assert_int_equal(p->max_restart_secs, 300);
	assert_int_equal(p->local_as, 65077);
	assert_true(p->no_prepend && p->replace_as && p->as_override && p->remove_private);
	assert_int_equal(p->allow_own_as, 2);
	assert_int_equal(p->add_path_send, 4);
	assert_true(p->add_path_receive && p->v4_over_v6 && p->no_ext_message && p->role_strict);
	assert_false(q->no_ext_message || q->v4_over_v6);
	assert_int_equal(p->role, CONF_BGP_ROLE_RS_CLIENT);
	check_matches(b, p->import.policy);
	assert_ptr_equal(p->export.policy, policy_find(b->policies, "accept"));
	assert_string_equal(ep_fmt(&q->remote, text), "[2001:db8::9]:179");
	assert_true(q->no_hold && q->next_hop_self && q->ipv6 && !q->ipv4);
	assert_ptr_equal(q->import.policy, policy_find(b->policies, "reject"));
	assert_null(q->export.policy);
	conf_free(&c);
}

/* No asn is needed where nobody outside is spoken with. */
static void clusters(void **state)
{
	static const char text[] = "bgp:\n"
				   "  announce: {clusters: yes}\n"
				   "  clusters:\n"
				   "  - {cluster: west, import: p, export: accept, outside: yes}\n"
				   "  - cluster: north.example\n"
				   "    export: [10.0.0.0/8 le 24]\n"
				   "  nodes: {export: p, aggregates: [0.0.0.0/0, \"::/0\"]}\n"
				   "  policies:\n"
				   "    p:\n"
				   "    - match: {cluster: [own, 1-2, \"link:west\"]}\n"
				   "      then: accept\n";
	const struct conf_bgp_cluster *v;
	char err[2000];
	struct conf c;

	(void)state;
	if (load(text, &c, err) != 0)
		fail_msg("%s", err);
	v = c.bgp->clusters;
	assert_int_equal(c.bgp->asn, 0);
	assert_int_equal(c.bgp->nclusters, 2);
	assert_true(c.bgp->announce.clusters);
	assert_string_equal(v[0].name, "west");
	assert_true(v[0].outside && !v[1].outside);
	assert_ptr_equal(v[0].import.policy, policy_find(c.bgp->policies, "p"));
	assert_ptr_equal(v[0].export.policy, policy_find(c.bgp->policies, "accept"));
	assert_string_equal(policy_book_cluster(c.bgp->policies, 0), "west");
	assert_string_equal(v[1].name, "north.example");
	assert_null(v[1].import.policy);
	assert_string_equal(policy_name(v[1].export.policy), "(export to cluster north.example)");
	assert_ptr_equal(c.bgp->nodes.export.policy, policy_find(c.bgp->policies, "p"));
	assert_int_equal(c.bgp->nodes.aggregates.n, 2);
	assert_int_equal(c.bgp->nodes.line, 7);
	conf_free(&c);
}

static void absent(void **state)
{
	char err[2000];
	struct conf c;

	(void)state;
	assert_int_equal(load("tun: a", &c, err), 0);
	assert_null(c.bgp);
	conf_free(&c);
}

struct refusal {
	const char *text, *says;
};

static void check_refused(const struct refusal *rows, size_t n)
{
	char err[2000];
	struct conf c;

	for (size_t i = 0; i < n; i++) {
		if (load(rows[i].text, &c, err) != ERR_CONFIG)
			fail_msg("accepted: %s", rows[i].text);
		if (!strstr(err, rows[i].says))
			fail_msg("%s\nsays: %s\nnot:  %s", rows[i].text, err, rows[i].says);
		assert_null(c.bgp);
	}
}

/* What other speakers do and weft does not is refused with a word of its own. */
static void unspoken(void **state)
{
	static const struct refusal rows[] = {
		{PEER "    bfd: {echo: yes}", "f:7: bgp.peers.bfd.echo: BFD's echo (RFC 5880 6.4) "
					      "is not spoken; allowed: "
					      "the asynchronous mode"},
		{PEER "    bfd: {demand: yes}", "bgp.peers.bfd.demand: BFD's demand mode (RFC"},
		{PEER "    bfd: {authentication: x}", "bfd.authentication: BFD's authentication"},
		{PEER "    bfd: {tcp-ao: x}", "bgp.peers.bfd.tcp-ao: unknown key"},
		{"bgp: {asn: 1, confederation: {id: 2}}", "f:1: bgp.confederation: confederations "
							  "(RFC 5065) are not spoken; allowed: "
							  "iBGP"},
		{"bgp: {asn: 1, confederation-id: 2}", "bgp.confederation-id: confederations"},
		{PEER "    confederation-member: yes", "confederation-member: confederations (RFC"},
		{"bgp: {asn: 1, evpn: yes}", "bgp.evpn: EVPN (RFC 7432) is not spoken"},
		{PEER "    families: [l2vpn-evpn]", "f:7: bgp.peers.families: EVPN (RFC 7432) is "
						    "not spoken; allowed: ipv4 and"},
		{PEER "    flowspec: yes", "bgp.peers.flowspec: flowspec (RFC 8955) is not spoken"},
		{PEER "    families: [ipv4, flow4]", "families: flowspec (RFC 8955) is not"},
		{PEER "    families: [vpnv4]", "families: VPN families are between linked"},
		{PEER "    tcp-ao: {key: 1}",
			"bgp.peers.tcp-ao: TCP-AO (RFC 5925) is not spoken; allowed: password"},
	};

	(void)state;
	check_refused(rows, COUNT(rows));
}

static void refused(void **state)
{
	static const struct refusal rows[] = {
		{"bgp: yes", "f:1: bgp: an entry has keys and values"},
		{"bgp:\n  listen: 192.0.2.1", "f:2: bgp.asn: missing"},
		{"bgp: {asn: 0}", "f:1: bgp.asn: '0' is reserved"},
		{"bgp: {asn: 23456}", "f:1: bgp.asn: '23456' is reserved"},
		{"bgp: {asn: 4294967295}", "f:1: bgp.asn: '4294967295' is no autonomous system"},
		{"bgp: {asn: [1]}", "f:1: bgp.asn: needs one plain value"},
		{"bgp: {asn: 1, asn: 2}", "f:1: bgp.asn: given twice, first on line 1"},
		{"bgp: {asn: 1, as: 2}", "f:1: bgp.as: unknown key"},
		{"bgp: {asn: 1, router-id: \"fd00::1\"}", "bgp.router-id: 'fd00::1' is no IPv4"},
		{"bgp: {asn: 1, listen: here}", "bgp.listen: 'here' is no address and port"},
		{"bgp: {asn: 1, listen: [[]]}", "bgp.listen: needs one plain value"},
		{"bgp: {asn: 1, announce: [pods]}", "f:1: bgp.announce: an entry has keys"},
		{"bgp: {asn: 1, announce: {pods: yes}}", "bgp.announce.pods: 'yes' is none of"},
		{"bgp: {asn: 1, announce: {ranges: 1}}", "bgp.announce.ranges: '1' is neither"},
		{"bgp: {asn: 1, announce: {services: 10.0.0.0/8}}", "services: needs a list"},
		{"bgp: {asn: 1, announce: {aggregates: [10.0.0.1/8]}}", "aggregates: '10.0.0.1/8'"},
		{"bgp: {asn: 1, peers: {}}", "f:1: bgp.peers: needs a list"},
		{"bgp: {asn: 1, peers: [x]}", "f:1: bgp.peers: an entry has keys and values"},
		{MIN "  peers:\n  - asn: 1",
			"f:5: bgp.peers: an entry needs address, interface or range, and asn"},
		{PEER "  - address: 192.0.2.9\n    asn: 2",
			"f:7: bgp.peers.address: 192.0.2.9 is there twice, first on line 5"},
		{PEER "    port: 0", "f:7: bgp.peers.port: '0' is no port"},
		{PEER "    source: \"fd00::1\"", "bgp.peers.source: fd00::1 is of the other"},
		{PEER "    multihop: 256", "bgp.peers.multihop: '256' is no number of hops"},
		{PEER "    hold: 2", "bgp.peers.hold: '2' is no hold time"},
		{PEER "    interface: eth0", "an entry needs address, interface or range, and asn"},
		{MIN "  peers:\n  - interface: a/b\n    asn: 1",
			"interface: 'a/b' is no interface"},
		{MIN "  peers:\n  - interface: e\n    asn: 1\n  - interface: e\n    asn: 1",
			"is there twice"},
		{MIN "  peers:\n  - interface: e\n    asn: 1\n    multihop: 2",
			"are for neighbours with an address"},
		{PEER "    range: 10.0.0.0/8",
			"an entry needs address, interface or range, and asn"},
		{PEER "    range-limit: 5", "bgp.peers.range-limit: needs range"},
		{"bgp:\n  asn: 1\n  peers:\n  - range: 10.0.0.0/8\n    asn: 2",
			"nobody could connect"},
		{RANGE "  - {address: 192.0.2.9, asn: 2}",
			"f:6: bgp.peers.password: 192.0.2.9 has none, and the kernel asks for that "
			"of "
			"the range 192.0.2.0/24, line 5; allowed: one of its own"},
		{RANGE "  - {range: 192.0.2.128/25, asn: 2}",
			"192.0.2.128/25 has none, and the kernel asks for that of the range"},
		{MIN "  peers:\n  - {range: \"fe80::/16\", asn: 2, password: x}\n"
		     "  - {interface: eth0, asn: 2}",
			"f:6: bgp.peers.password: eth0 has none"},
		{"bgp: {asn: 1, multipath: 17}", "bgp.multipath: '17' is out of range"},
		{PEER "    role: boss", "bgp.peers.role: 'boss' is none of"},
		{PEER "    role-strict: yes", "bgp.peers.role-strict: needs role"},
		{PEER "    restart-time: 4096", "restart-time: '4096' is out of range"},
		{PEER "    graceful-restart: maybe", "graceful-restart: 'maybe' is none of"},
		{PEER "    mrai: 0", "bgp.peers.mrai: '0' is out of range"},
		{PEER "    allow-own-as: 11", "allow-own-as: '11' is out of range"},
		{PEER "    add-path-send: 1", "add-path-send: '1' is out of range"},
		{PEER "    extended-messages: 7", "extended-messages: '7' is neither yes nor no"},
		{PEER "    local-as: 64512", "bgp.peers.local-as: 64512 is one of them"},
		{PEER "    local-as-replace: yes", "local-as-replace need local-as"},
		{PEER "    max-prefixes: 5\n    max-prefix-warning: 5", "5 would come too late"},
		{MIN "  peers:\n  - address: 192.0.2.9\n    asn: 64512\n    as-override: yes",
			"role are for peers of another AS"},
		{PEER "    max-prefixes: 0", "bgp.peers.max-prefixes: '0' is out of range"},
		{PEER "    families: [ipv5]", "f:7: bgp.peers.families: no such family"},
		{PEER "    families: ipv4", "f:7: bgp.peers.families: needs a list"},
		{PEER "    next-hop: 224.0.0.1", "next-hop: '224.0.0.1' is no host's address"},
		{MIN "  clusters: west", "f:4: bgp.clusters: needs a list"},
		{MIN "  clusters: [west]", "bgp.clusters: an entry has keys and values"},
		{MIN "  clusters: [{outside: yes}]", "bgp.clusters.cluster: missing"},
		{MIN "  clusters: [{cluster: A_b}]", "bgp.clusters.cluster: 'A_b' is no name"},
		{MIN "  clusters: [{cluster: a, outside: 1}]",
			"outside: '1' is neither yes nor no"},
		{MIN "  clusters: [{cluster: a, export: x}]",
			"bgp.clusters.export: no policy has the name 'x'"},
		{MIN "  clusters:\n  - cluster: a\n  - cluster: a",
			"f:6: bgp.clusters.cluster: a is there twice, first on line 5"},
		{MIN "  policies: {p: [{set: {next-hop: 192.0.2.1}, then: accept}]}\n"
		     "  clusters: [{cluster: a, import: p}]",
			"f:5: bgp.clusters.import: inside the mesh the way leads to the gateway"},
		{MIN "  nodes: yes", "bgp.nodes: an entry has keys and values"},
		{MIN "  nodes: {import: accept}", "bgp.nodes.import: unknown key"},
		{MIN "  nodes: {export: x}", "bgp.nodes.export: no policy has the name 'x'"},
		{MIN "  nodes: {aggregates: 10.0.0.0/8}", "bgp.nodes.aggregates: needs a list"},
		{MIN "  nodes: {aggregates: [10.0.0.1/8]}", "bgp.nodes.aggregates: '10.0.0.1/8' "},
		{MIN "  policies: {p: [{set: {next-hop: 192.0.2.1}, then: accept}]}\n"
		     "  nodes: {export: p}",
			"f:5: bgp.nodes.export: inside the mesh the way leads to the gateway"},
		{MIN "  kernel: 2\n", "bgp.kernel: '2' is neither yes nor no"},
		{PEER "    bfd: maybe", "f:7: bgp.peers.bfd: 'maybe' is neither yes nor no"},
		{PEER "    bfd: {min-tx: 9}", "bgp.peers.bfd.min-tx: '9' is no interval"},
		{PEER "    bfd: {min-rx: 60001}", "bfd.min-rx: '60001' is no interval"},
		{PEER "    bfd: {multiplier: 0}", "bgp.peers.bfd.multiplier: '0'"},
		{PEER "    bfd: [yes]", "bgp.peers.bfd: an entry has keys and values"},
		{PEER "    import: maybe", "f:7: bgp.peers.import: no policy has the name 'maybe'"},
		{PEER "    import: {}", "import: neither a name nor a list"},
		{PEER "    import: [10.0.0.0/8 le]", "import: '10.0.0.0/8 le' has words that"},
		{PEER "    import: [10.0.0.0/8 le 33]", "le 33' has a length that the family"},
		{PEER "    import: [10.0.0.0/8 le 7]", "le 7' needs length <= ge <= le"},
		{PEER "    import: [10.0.0.0/8 ge 9 ge 9]", "has words that are neither ge nor le"},
		{PEER "    import: [10.0.0.0/8 ge 9x]", "ge 9x' has something behind the length"},
		{PEER "    import: [10.0.0.1/8]", "import: '10.0.0.1/8' has no CIDR in front"},
		{"bgp:\n  asn: 1\n  peers:\n  - address: 192.0.2.9\n    asn: 1\n    passive: yes",
			"f:4: bgp.peers.passive: nobody could connect"},
		{MIN "  peers:\n  - address: fe80::1\n    asn: 1", "fe80::1 is link-local"},
	};

	(void)state;
	check_refused(rows, COUNT(rows));
}

/* Of several passwords for an address the kernel takes the one of the longest range. */
static void passwords(void **state)
{
	static const char *const rows[] = {
		RANGE "  - {address: 192.0.2.9, asn: 2, password: y}",
		RANGE "  - {range: 192.0.2.128/25, asn: 2, password: y}",
		RANGE "  - {range: 192.0.0.0/16, asn: 2}",
		RANGE "  - {address: 192.0.3.9, asn: 2}\n  - {interface: eth0, asn: 2}",
		RANGE "  - {address: \"2001:db8::9\", asn: 2}",
		MIN "  peers:\n  - {range: 192.0.2.0/24, asn: 2}\n  - {address: 192.0.2.9, asn: 2, "
		    "password: x}",
	};
	char err[2000];
	struct conf c;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (load(rows[i], &c, err) != 0)
			fail_msg("row %zu: %s", i, err);
		conf_free(&c);
	}
}

/* A password that is refused is not repeated in the message. */
static void password_hidden(void **state)
{
	char text[400], err[2000];
	struct conf c;

	(void)state;
	(void)snprintf(text, sizeof(text), PEER "    password: %s%s\n",
		"hushhushhushhushhushhushhushhushhushhush",
		"hushhushhushhushhushhushhushhushhushhush2");
	assert_int_equal(load(text, &c, err), ERR_CONFIG);
	assert_non_null(strstr(err, "bgp.peers.password"));
	assert_null(strstr(err, "hush"));
}

/* Every shorter prefix of a valid file ends in values or in words, never in neither. */
static void prefixes(void **state)
{
	char err[2000];
	struct conf c;

	(void)state;
	for (size_t n = 0; n < sizeof(whole); n++) {
		int e = conf_parse_yaml("f", whole, n, &c, err, sizeof(err));

		assert_true(e == 0 || (e == ERR_CONFIG && err[0]));
		conf_free(&c);
	}
}

static void no_memory(void **state)
{
	char err[2000];
	struct conf c;

	(void)state;
	FAULT_EACH(n)
	{
		int e = load(whole, &c, err);

		assert_true(e == 0 || e == ERR_NOMEM);
		assert_true((e == 0) == (c.bgp != NULL));
		conf_free(&c);
	}
}

static void bfd(void **state)
{
	char err[2000];
	struct conf c;

	(void)state;
	if (load(PEER "    bfd: {min-tx: 50, min-rx: 300, multiplier: 5, multihop: no}\n"
		      "  - address: 192.0.2.8\n    asn: 1\n    bfd: yes\n"
		      "  - address: 192.0.2.7\n    asn: 1\n    bfd: no\n"
		      "  - address: 192.0.2.6\n    asn: 1\n",
		    &c, err) != 0)
		fail_msg("%s", err);
	const struct conf_bgp_peer *p = c.bgp->peers;
	assert_true(c.bgp->kernel);
	assert_true(p[0].bfd.on && p[1].bfd.on);
	assert_false(p[2].bfd.on || p[3].bfd.on);
	assert_int_equal(p[0].bfd.min_tx_ms, 50);
	assert_int_equal(p[0].bfd.min_rx_ms, 300);
	assert_int_equal(p[0].bfd.mult, 5);
	assert_true(p[0].bfd.hops_given && !p[0].bfd.multihop);
	assert_false(p[1].bfd.hops_given || p[1].bfd.min_tx_ms || p[1].bfd.mult);
	conf_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_section),
		cmocka_unit_test(clusters),
		cmocka_unit_test(absent),
		cmocka_unit_test(refused),
		cmocka_unit_test(unspoken),
		cmocka_unit_test(passwords),
		cmocka_unit_test(password_hidden),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(bfd),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
