/* Configuration: values, precedence, and the exact message of each thing that is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "conf.h"
#include "fault.h"
#include "weft/bounds.h"
#include "weft/err.h"
#include "weft/wire.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char full_yaml[] = "# a node\n"
				"name: node-1.example\n"
				"cluster: aaaaaaaaaaaaaaaaaaaaaaaaaa\n"
				"state-dir: /s\n"
				"run-dir: /r\n"
				"listen: \"[::1]:7000\"\n"
				"peer:\n"
				"  - host2\n"
				"  - host3:6000\n"
				"  - \"[2001:db8::3]:99\"\n"
				"  - 2001:db8::4\n"
				"advertise: [198.51.100.1, \"198.51.100.2:99\"]\n"
				"secret-file: /etc/weft/secret\n"
				"cluster-range: [10.32.0.0/16, \"fd32::/48\"]\n"
				"prefix:\n"
				"  - 10.32.1.0/24@br0\n"
				"  - fd32:0:0:1::/64\n"
				"  - 192.0.2.0/24\n"
				"accept: [0.0.0.0/0]\n"
				"exit: [192.0.2.0/24, 0.0.0.0/0]\n"
				"tun: mesh0\n"
				"metrics: off\n"
				"workers: 4\n"
				"suite: aes-256-gcm\n"
				"source-ports: 42000-42063\n"
				"relay: no\n"
				"masquerade: yes\n"
				"checksum: full\n"
				"dscp: copy\n"
				"mark: 0x20000000/0x30000000\n"
				"log-level: debug\n"
				"segments:\n"
				"  - vni: 5\n"
				"    tun: blue\n"
				"    ranges: [10.0.0.0/8]\n"
				"    prefixes: [10.1.0.0/16@eth9]\n"
				"  - {vni: 6, ranges: [10.0.0.0/8]}\n";

static void check_full(const struct conf *c)
{
	char buf[EP_STRLEN];

	assert_string_equal(c->name, "node-1.example");
	assert_true(c->has_cluster);
	assert_string_equal(c->cluster, "aaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_string_equal(c->state_dir, "/s");
	assert_string_equal(c->run_dir, "/r");
	assert_string_equal(ep_fmt(&c->listen, buf), "[::1]:7000");
	assert_int_equal(c->npeers, 4);
	assert_string_equal(c->peers[1].text, "host3:6000");
	assert_int_equal(c->nadvertise, 2);
	assert_string_equal(ep_fmt(&c->advertise[0], buf), "198.51.100.1:6793");
	assert_string_equal(ep_fmt(&c->advertise[1], buf), "198.51.100.2:99");
	assert_string_equal(c->secret_file, "/etc/weft/secret");
	assert_int_equal(c->nranges, 2);
	assert_string_equal(pfx_fmt(&c->ranges[1], buf), "fd32::/48");
	assert_int_equal(c->nprefixes, 3);
	assert_string_equal(pfx_fmt(&c->prefixes[0].pfx, buf), "10.32.1.0/24");
	assert_string_equal(c->prefixes[0].device, "br0");
	assert_string_equal(c->prefixes[1].device, "");
	assert_int_equal(c->naccept, 1);
	assert_int_equal(c->nexits, 2);
	assert_string_equal(c->tun, "mesh0");
	assert_false(c->metrics_on);
	assert_int_equal(c->workers, 4);
	assert_int_equal(c->suites, WIRE_SUITE_BIT(WIRE_SUITE_AES_256_GCM));
	assert_int_equal(c->side_port_lo, 42000);
	assert_int_equal(c->side_port_hi, 42063);
	assert_false(c->relay);
	assert_true(c->checksum_full);
	assert_int_equal(c->masquerade, CONF_MASQ_YES);
	assert_int_equal(c->dscp, -1);
	assert_int_equal(c->mark, 0x20000000);
	assert_int_equal(c->mark_mask, 0x30000000);
	assert_int_equal(c->log_level, LOG_LVL_DEBUG);
	assert_int_equal(c->nsegments, 2);
	assert_int_equal(c->segments[0].vni, 5);
	assert_string_equal(c->segments[0].tun, "blue");
	assert_int_equal(c->segments[0].nranges, 1);
	assert_int_equal(c->segments[0].nprefixes, 1);
	assert_string_equal(c->segments[0].prefixes[0].device, "eth9");
	assert_string_equal(c->segments[1].tun, "weft6");
}

static void yaml_full(void **state)
{
	struct conf c;
	char err[1024];

	if (conf_parse_yaml("f", full_yaml, strlen(full_yaml), &c, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	assert_string_equal(err, "");
	check_full(&c);
	conf_free(&c);
	conf_free(&c);
	conf_free(NULL);
}

struct row {
	const char *yaml, *err;
};

static void expect_yaml(const char *text, size_t len, const char *want)
{
	char err[1024];
	struct conf c;
	int got = conf_parse_yaml("f", text, len, &c, err, sizeof(err));

	if (got != ERR_CONFIG || strcmp(err, want) != 0)
		fail_msg("%.200s\nsays %d: %s\nnot: %s", text, got, err, want);
	assert_null(c.peers);
}

#define A_NAME   "1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first and last"
#define A_LISTEN "an address and a UDP port, IPv6 in brackets (quoted in YAML: \"[::]:6793\")"
#define A_CIDR   "an IPv4 or IPv6 CIDR, such as 10.32.0.0/16 or fd32::/48"
#define A_RANGE  A_CIDR ", not a /0, multicast, loopback or link-local"
#define A_EXIT   A_CIDR ", outside the ranges"
#define A_PREFIX                                                                                   \
	"a CIDR inside a cluster range (or equal to an exit), or auto/LEN, perhaps with @ and "    \
	"the device that "                                                                         \
	"its "                                                                                     \
	"addresses are on"
#define A_PEER "a host name or address, perhaps with a port (6793), IPv6 with a port in brackets"
#define A_MARK                                                                                     \
	"a 32-bit number not 0 and its mask (the same number if left out); the mask covers the "   \
	"mark "                                                                                    \
	"and none of 0xffff, which other programs use"
#define A_PORTS  "two ports, the lower one first and above 1023, or off"
#define A_DEVICE "1 to 15 characters, no space, '/' or ':'"
#define A_KEYS   "the keys of weftd.yaml(5)"
#define A_SEG    "a list of entries with the keys vni, tun, ranges, prefixes"
#define A_VNI    "2 to 16777215 (0 is the control segment, 1 the default one)"
#define A_ADV    "an address of this node as peers see it, perhaps with a port (6793)"

static void yaml_refused_values(void **state)
{
	static const struct row rows[] = {
		{"name: Node", "f:1: name: 'Node' is no node name; allowed: " A_NAME},
		{"name: -a", "f:1: name: '-a' is no node name; allowed: " A_NAME},
		{"name:", "f:1: name: no value; allowed: " A_NAME},
		{"cluster: Prod",
			"f:1: cluster: 'Prod' is no cluster id and no name; allowed: a cluster id "
			"as weft status shows it (26 of a-z and 2-7), or a name: " A_NAME},
		{"\n\nlisten: foo",
			"f:3: listen: 'foo' is no address and port; allowed: " A_LISTEN},
		{"listen: 1.2.3.4",
			"f:1: listen: '1.2.3.4' is no address and port; allowed: " A_LISTEN},
		{"listen: 1.2.3.4:0",
			"f:1: listen: '1.2.3.4:0' is no address and port; allowed: " A_LISTEN},
		{"listen: 224.0.0.1:9",
			"f:1: listen: '224.0.0.1:9' is a multicast address; allowed: " A_LISTEN},
		{"listen: [a, b]", "f:1: listen: needs one plain value; allowed: " A_LISTEN},
		{"peer: host", "f:1: peer: needs a list, each value on a line of its own behind '- "
			       "'; allowed: " A_PEER},
		{"peer:\n- ok\n- 'a b'",
			"f:3: peer: 'a b' has no valid host name or address; allowed: " A_PEER},
		{"peer: ['h:0']", "f:1: peer: 'h:0' has no valid port; allowed: " A_PEER},
		{"peer: ['h:65536']", "f:1: peer: 'h:65536' has no valid port; allowed: " A_PEER},
		{"peer: ['h:']", "f:1: peer: 'h:' has no valid port; allowed: " A_PEER},
		{"peer: [10.0.0.300]", "f:1: peer: '10.0.0.300' has no valid host name or address; "
				       "allowed: " A_PEER},
		{"peer: [a..b]",
			"f:1: peer: 'a..b' has no valid host name or address; allowed: " A_PEER},
		{"peer: ['[::1']", "f:1: peer: '[::1' is no IPv6 address; allowed: " A_PEER},
		{"peer: ['::']", "f:1: peer: '::' is no address of one host; allowed: " A_PEER},
		{"peer: [[a]]", "f:1: peer: a plain value is needed here (quote it if it has "
				"brackets); allowed: " A_PEER},
		{"peer: ['']", "f:1: peer: no value; allowed: " A_PEER},
		{"advertise: [0.0.0.0]",
			"f:1: advertise: '0.0.0.0' is no address of one host; allowed: " A_ADV},
		{"advertise: [host]", "f:1: advertise: 'host' is no address; allowed: " A_ADV},
		{"secret-file: weft1-abcdefgh",
			"f:1: secret-file: 'weft1-...' looks like a secret, not like a "
			"path; put it in a file of mode 0600; allowed: the path of a file that "
			"weft key new "
			"wrote, at most 255 bytes"},
		{"cluster-range: [10.0.0.1/8]",
			"f:1: cluster-range: '10.0.0.1/8' has host bits set "
			"(10.0.0.0/8 is the network); allowed: " A_RANGE},
		{"cluster-range: [10.0.0.0/33]",
			"f:1: cluster-range: '10.0.0.0/33' has a length that its "
			"family does not have; allowed: " A_RANGE},
		{"cluster-range: [0.0.0.0/0]",
			"f:1: cluster-range: '0.0.0.0/0' is everything, the underlay "
			"included; allowed: " A_RANGE},
		{"cluster-range: [fe80::/64]",
			"f:1: cluster-range: 'fe80::/64' is multicast, loopback or "
			"link-local; allowed: " A_RANGE},
		{"prefix: [10.0.0.0/8@a/b]",
			"f:1: prefix: '10.0.0.0/8@a/b' names no valid device behind the "
			"@; allowed: " A_PREFIX},
		{"prefix: [10.0.0.0/8@]",
			"f:1: prefix: '10.0.0.0/8@' names no valid device behind the @; "
			"allowed: " A_PREFIX},
		{"prefix: [x]", "f:1: prefix: 'x' is no CIDR; allowed: " A_PREFIX},
		{"prefix: [auto/7]",
			"f:1: prefix: 'auto/7' has no length from 8 to 126 behind auto/; "
			"allowed: " A_PREFIX},
		{"prefix: [auto/127@eth0]",
			"f:1: prefix: 'auto/127@eth0' has no length from 8 to 126 behind auto/; "
			"allowed: " A_PREFIX},
		{"prefix: [auto/24@]",
			"f:1: prefix: 'auto/24@' names no valid device behind the @; "
			"allowed: " A_PREFIX},
		{"tun: a123456789012345",
			"f:1: tun: 'a123456789012345' is no device name; allowed: " A_DEVICE},
		{"tun: ..", "f:1: tun: '..' is no device name; allowed: " A_DEVICE},
		{"metrics: on",
			"f:1: metrics: 'on' is no address and port; allowed: an address and a TCP "
			"port, or off"},
		{"workers: 0", "f:1: workers: '0' is not in that range; allowed: 1 to 64, or auto"},
		{"workers: 65",
			"f:1: workers: '65' is not in that range; allowed: 1 to 64, or auto"},
		{"workers: 0x4",
			"f:1: workers: '0x4' is not in that range; allowed: 1 to 64, or auto"},
		{"workers: -1",
			"f:1: workers: '-1' is not in that range; allowed: 1 to 64, or auto"},
		{"suite: null", "f:1: suite: 'null' is no cipher suite of weft; allowed: auto, "
				"chacha20-poly1305 or aes-256-gcm"},
		{"source-ports: 5-1",
			"f:1: source-ports: '5-1' has the higher port first; allowed: " A_PORTS},
		{"source-ports: 5-9",
			"f:1: source-ports: '5-9' begins below 1024; allowed: " A_PORTS},
		{"source-ports: 1-99999",
			"f:1: source-ports: '1-99999' is no range of ports; allowed: " A_PORTS},
		{"relay: true", "f:1: relay: 'true' is neither yes nor no; allowed: yes or no"},
		{"masquerade: on", "f:1: masquerade: 'on' is neither pods, yes nor no; allowed: "
				   "pods, yes or no"},
		{"checksum: x",
			"f:1: checksum: 'x' is neither full nor partial; allowed: full or partial"},
		{"dscp: 64", "f:1: dscp: '64' is no DSCP; allowed: copy, or 0 to 63"},
		{"mark: 0", "f:1: mark: '0' is no mark; allowed: " A_MARK},
		{"mark: 0x10000/0x100000", "f:1: mark: '0x10000/0x100000' has bits outside its "
					   "mask; allowed: " A_MARK},
		{"mark: 0x4000", "f:1: mark: '0x4000' uses bits of 0xffff; allowed: " A_MARK},
		{"mark: 0x100000000",
			"f:1: mark: '0x100000000' is no 32-bit number; allowed: " A_MARK},
		{"mark: 0x10000/y", "f:1: mark: '0x10000/y' has no 32-bit number behind the /; "
				    "allowed: " A_MARK},
		{"log-level: loud", "f:1: log-level: 'loud' is no log level; allowed: error, warn, "
				    "info or debug"},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		expect_yaml(rows[i].yaml, strlen(rows[i].yaml), rows[i].err);
}

static void yaml_refused_shape(void **state)
{
	static const struct row rows[] = {
		{"perr: [a]", "f:1: perr: unknown key, perhaps peer; allowed: " A_KEYS},
		{"secret_file: /a",
			"f:1: secret_file: unknown key, perhaps secret-file; allowed: " A_KEYS},
		{"tnu: a", "f:1: tnu: unknown key, perhaps tun; allowed: " A_KEYS},
		{"wombat: a", "f:1: wombat: unknown key; allowed: " A_KEYS},
		{"config: a", "f:1: config: unknown key; allowed: " A_KEYS},
		{"check: yes", "f:1: check: unknown key; allowed: " A_KEYS},
		{"tune: [a=b]", "f:1: tune: unknown key, perhaps tun; allowed: " A_KEYS},
		{"tun: a\ntun: b\ntun: c", "f:2: tun: given twice, first on line 1; allowed: once\n"
					   "f:3: tun: given twice, first on line 1; allowed: once"},
		{"bgp:\n  asn: 1\n  x: [{}, {a: b}]\nperr: 1",
			"f:3: bgp.x: unknown key; allowed: the keys of weftd.yaml(5)\n"
			"f:4: perr: unknown key, perhaps peer; allowed: " A_KEYS},
		{"policy: {}", "f:1: policy: this version of weft has no policy yet; allowed: "
			       "leave it out"},
		{"tun: &x b", "f:1: anchors (&NAME) are not supported"},
		{"peer: &x [b]", "f:1: anchors (&NAME) are not supported"},
		{"tun: *x", "f:1: aliases (*NAME) are not supported"},
		{"workers: !!int 4", "f:1: tags (!NAME) are not supported"},
		{"tun: a\n---\ntun: b", "f:2: a second document begins here; only one is allowed"},
		{"- a", "f:1: the file must be lines of KEY: VALUE"},
		{"hello", "f:1: the file must be lines of KEY: VALUE"},
		{"? [a]\n: b", "f:1: a key must be plain text"},
		{"a: [[[[[[[[[1]]]]]]]]]",
			"f:1: a: unknown key; allowed: " A_KEYS "\nf:1: nested too deep"},
		{"segments: {vni: 2}", "f:1: segments: needs a list; allowed: " A_SEG},
		{"segments: [2]", "f:1: segments: an entry has keys and values; allowed: " A_SEG},
		{"segments:\n- tun: a", "f:2: segments.vni: missing; allowed: " A_VNI},
		{"segments:\n- vni: 0",
			"f:2: segments.vni: '0' is the control segment; allowed: " A_VNI},
		{"segments:\n- vni: 1",
			"f:2: segments.vni: '1' is the default segment, which cluster-range, "
			"prefix and tun set up; allowed: " A_VNI},
		{"segments:\n- vni: 16777216",
			"f:2: segments.vni: '16777216' is no VNI; allowed: " A_VNI},
		{"segments:\n- vni: [3]",
			"f:2: segments.vni: needs one plain value; allowed: " A_VNI},
		{"segments:\n- vni: 3\n  vni: 4",
			"f:3: segments.vni: given twice, first on line 2; allowed: once"},
		{"segments:\n- vni: 3\n  range: [a]",
			"f:3: segments.range: unknown key, perhaps ranges; "
			"allowed: vni, tun, ranges, prefixes"},
		{"segments:\n- vni: 3\n  ranges:\n  - x",
			"f:4: segments.ranges: 'x' is no CIDR; allowed: a list "
			"of at most 16: " A_CIDR},
		{"segments:\n- vni: 3\n  ? [a]\n  : b", "f:3: a key must be plain text"},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		expect_yaml(rows[i].yaml, strlen(rows[i].yaml), rows[i].err);
}

/* Errors of libyaml carry its words, and the right line. */
static void yaml_syntax(void **state)
{
	static const struct row rows[] = {
		{"tun: a\nlisten: [::]:6793", "f:2: "},
		{"tun: a\n\tpeer: b", "f:2: "},
		{"peer: [a\nb: c", "f:"},
		{"a: \"x", "f:1: "},
		{"%YAML 9.9\n---\na: b", "f:1: "},
		{"tun: a\nb: \"\\q\"", "f:2: "},
		{"tun: \x01", "f:"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char err[512];
		struct conf c;

		assert_int_equal(conf_parse_yaml("f", rows[i].yaml, strlen(rows[i].yaml), &c, err,
					 sizeof(err)),
			ERR_CONFIG);
		if (strncmp(err, rows[i].err, strlen(rows[i].err)) != 0)
			fail_msg("%s: %s", rows[i].yaml, err);
	}
}

static void yaml_bytes(void **state)
{
	static const char nul[] = "tun: a\ntun\0: b";
	char *big = malloc(LIM_CONFIG_BYTES + 1);

	expect_yaml(nul, sizeof(nul) - 1, "f:2: a NUL byte; allowed: UTF-8 text");
	expect_yaml("a: b\nc: \xff", 9, "f:2: bytes that are no UTF-8; allowed: UTF-8 text");
	expect_yaml(
		"\xc0\xaf", 2, "f:1: bytes that are no UTF-8; allowed: UTF-8 text"); /* overlong */
	expect_yaml("\xed\xa0\x80", 3, "f:1: bytes that are no UTF-8; allowed: UTF-8 text");
	expect_yaml("\xf4\x90\x80\x80", 4, "f:1: bytes that are no UTF-8; allowed: UTF-8 text");
	expect_yaml("\xe2\x82", 2, "f:1: bytes that are no UTF-8; allowed: UTF-8 text");
	expect_yaml("t\xc3\xa9: a", 6, "f:1: t??: unknown key; allowed: " A_KEYS);
	memset(big, '#', LIM_CONFIG_BYTES + 1);
	expect_yaml(big, LIM_CONFIG_BYTES + 1, "f: too large; allowed: at most 1 MiB");
	/* deep flow nesting ends early */
	memset(big, '[', LIM_CONFIG_BYTES);
	memcpy(big, "peer: ", 6);
	big[LIM_CONFIG_BYTES] = '\0';
	expect_yaml(big, LIM_CONFIG_BYTES,
		"f:1: peer: a plain value is needed here (quote it if it has "
		"brackets); allowed: " A_PEER "\nf:1: nested too deep");
	free(big);
}

static void claims(void **state)
{
	static const char text[] = "name: n\ncluster-range: [0.0.0.0/1, fd00::/48]\n"
				   "prefix: [auto/24@br0, auto/30, 0.0.0.0/8, auto/31, auto/64]\n";
	char err[512];
	struct conf c;

	(void)state;
	assert_int_equal(conf_parse_yaml("f", text, sizeof(text) - 1, &c, err, sizeof(err)),
		ERR_CONFIG); /* 31 is IPv6, and larger than the range */
	assert_string_equal(
		err, "f:3: prefix: auto/31 needs an IPv6 cluster-range with room for it");
	static const char good[] = "name: n\ncluster-range: [0.0.0.0/1, fd00::/48]\n"
				   "prefix: [auto/24@br0, auto/30, 0.0.0.0/8, auto/64]\n";
	assert_int_equal(conf_parse_yaml("f", good, sizeof(good) - 1, &c, err, sizeof(err)), 0);
	assert_int_equal(c.nprefixes, 4);
	assert_true(c.prefixes[0].claim && c.prefixes[1].claim && c.prefixes[3].claim);
	assert_false(c.prefixes[2].claim);
	assert_string_equal(c.prefixes[0].device, "br0");
	assert_int_equal(c.prefixes[0].pfx.len, 24);
	assert_int_equal(c.prefixes[0].pfx.ip.family, IP_V4);
	assert_int_equal(c.prefixes[3].pfx.ip.family, IP_V6);
	conf_free(&c);
}

static void cross_checks(void **state)
{
	static const struct row rows[] = {
		{"prefix:\n- 10.0.0.0/8\n", "f:2: prefix: needs a cluster-range that it lies in"},
		{"cluster-range: [10.0.0.0/8]\nprefix:\n- 10.1.0.0/16\n- 11.0.0.0/16\n",
			"f:4: prefix: 11.0.0.0/16 is in no cluster-range"},
		{"cluster-range: [10.0.0.0/8]\nprefix:\n- fd00::/64\n",
			"f:3: prefix: fd00::/64 is in no cluster-range"},
		{"cluster-range: [10.1.0.0/16]\nprefix:\n- 10.0.0.0/8\n",
			"f:3: prefix: 10.0.0.0/8 is in no cluster-range"},
		{"cluster-range: [10.0.0.0/8]\nprefix:\n- 10.1.0.0/16\n- 10.1.2.0/24\n- "
		 "10.1.2.0/24\n",
			"f:4: prefix: 10.1.2.0/24 overlaps 10.1.0.0/16\n"
			"f:5: prefix: 10.1.2.0/24 overlaps 10.1.0.0/16\n"
			"f:5: prefix: 10.1.2.0/24 overlaps 10.1.2.0/24"},
		{"cluster-range: [10.0.0.0/16, fd00::/48]\nprefix: [auto/15, auto/47, "
		 "auto/24@weft0]\n",
			"f:2: prefix: auto/15 needs an IPv4 cluster-range with room for it\n"
			"f:2: prefix: auto/47 needs an IPv6 cluster-range with room for it\n"
			"f:2: prefix: weft0 is weft's own device; allowed: a device that the "
			"addresses are on"},
		{"cluster-range: [10.0.0.0/16]\nprefix: [auto/64]\n",
			"f:2: prefix: auto/64 needs an IPv6 cluster-range with room for it"},
		{"cluster-range:\n- 10.0.0.0/8\n- 10.1.0.0/16\n",
			"f:3: cluster-range: 10.1.0.0/16 overlaps 10.0.0.0/8"},
		{"cluster-range: [10.0.0.0/8]\nexit:\n- 10.1.0.0/16\n",
			"f:3: exit: 10.1.0.0/16 is inside a cluster-range; allowed: " A_EXIT},
		{"cluster-range: [10.0.0.0/8]\nprefix: [10.1.0.0/16@weft0]\n",
			"f:2: prefix: weft0 is weft's own device; allowed: a device that the "
			"addresses are on"},
		{"source-ports: 6790-6800\n", "f:1: source-ports: 6793, the port of listen, is "
					      "among them; allowed: " A_PORTS},
		{"segments:\n- vni: 7\n- vni: 7\n  tun: x\n",
			"f:3: segments.vni: 7 is used twice, first on line 2; allowed: each number "
			"once"},
		{"segments:\n- vni: 7\n- vni: 8\n  tun: weft7\n",
			"f:3: segments.tun: weft7 is used twice, first on line 2; allowed: each "
			"name once"},
		{"segments:\n- vni: 7\n  tun: weft0-c\n",
			"f:2: segments.tun: weft0-c is the control segment's device; allowed: each "
			"name once"},
		{"segments:\n- vni: 7\n  tun: weft0\n",
			"f:2: segments.tun: weft0 is the default segment's device; allowed: each "
			"name once"},
		{"segments:\n- vni: 7\n  prefixes: [10.0.0.0/8]\n",
			"f:3: segments.prefixes: needs a segments.ranges that it lies in"},
		{"segments:\n- vni: 7\n  ranges: [10.0.0.0/8]\n  prefixes:\n  - 11.0.0.0/8\n",
			"f:5: segments.prefixes: 11.0.0.0/8 is in no segments.ranges"},
	};
	char text[512];

	for (size_t i = 0; i < COUNT(rows); i++) {
		/* a name, so that the host's does not matter */
		int n = snprintf(text, sizeof(text), "%sname: n\n", rows[i].yaml);
		expect_yaml(text, (size_t)n, rows[i].err);
	}
}

/* Two segments may use the same addresses, and the default one too. */
static void segments_overlap(void **state)
{
	static const char text[] =
		"name: n\ncluster-range: [10.0.0.0/8]\nprefix: [10.1.0.0/16]\nsegments:\n"
		"- {vni: 7, ranges: [10.0.0.0/8], prefixes: [10.1.0.0/16]}\n"
		"- {vni: 8, ranges: [10.0.0.0/8], prefixes: [10.1.0.0/16]}\n";
	struct conf c;
	char err[256];

	assert_int_equal(conf_parse_yaml("f", text, strlen(text), &c, err, sizeof(err)), 0);
	assert_int_equal(c.nsegments, 2);
	conf_free(&c);
}

static void list_bounds(void **state)
{
	size_t cap = 64 * 1024, n;
	char *text = malloc(cap), err[512];
	struct conf c;

	n = (size_t)snprintf(text, cap, "name: n\npeer:\n");
	for (unsigned i = 0; i < CONF_LIST_MAX; i++)
		n += (size_t)snprintf(text + n, cap - n, "- host%u\n", i);
	assert_int_equal(conf_parse_yaml("f", text, n, &c, err, sizeof(err)), 0);
	assert_int_equal(c.npeers, CONF_LIST_MAX);
	conf_free(&c);
	n += (size_t)snprintf(text + n, cap - n, "- more\n");
	expect_yaml(text, n, "f:259: peer: more than 256 entries");

	n = (size_t)snprintf(text, cap, "name: n\nsegments:\n- vni: 9\n  ranges:\n");
	for (unsigned i = 0; i < 17; i++)
		n += (size_t)snprintf(text + n, cap - n, "  - 10.%u.0.0/16\n", i);
	expect_yaml(text, n, "f:21: segments.ranges: more than 16 entries");

	n = (size_t)snprintf(text, cap, "name: n\nsegments:\n");
	for (unsigned i = 0; i < LIM_SEGMENTS - 1; i++)
		n += (size_t)snprintf(text + n, cap - n, "- vni: %u\n", 2 + i);
	expect_yaml(text, n, "f:257: segments: more than 254 segments");
	free(text);
}

/* Every shorter text of a valid file, and every bit flip, ends in an answer. The copies have exact
 * sizes, for the address sanitizer. */
static void yaml_damage(void **state)
{
	size_t len = strlen(full_yaml);
	char err[256];
	struct conf c;

	for (size_t n = 0; n <= len; n++) {
		char *cut = malloc(n ? n : 1);

		memcpy(cut, full_yaml, n);
		int got = conf_parse_yaml("f", cut, n, &c, err, sizeof(err));
		assert_true(got == 0 || got == ERR_CONFIG);
		assert_true((got == 0) == (err[0] == '\0'));
		conf_free(&c);
		free(cut);
	}
	for (size_t bit = 0; bit < 8 * len; bit++) {
		char *bad = malloc(len);

		memcpy(bad, full_yaml, len);
		bad[bit / 8] = (char)(bad[bit / 8] ^ 1 << bit % 8);
		if (conf_parse_yaml("f", bad, len, &c, err, sizeof(err)) == 0)
			conf_free(&c);
		free(bad);
	}
}

static void small_error_buffers(void **state)
{
	static const char text[] = "a: 1\nb: 2\nc: 3\nd: 4\n";

	for (size_t cap = 0; cap < 200; cap++) {
		char *err = malloc(cap + 1);
		struct conf c;

		err[cap] = 0x55;
		assert_int_equal(
			conf_parse_yaml("f", text, strlen(text), &c, err, cap), ERR_CONFIG);
		assert_int_equal(err[cap], 0x55);
		if (cap > 0)
			assert_true(strlen(err) < cap);
		free(err);
	}
}

static void no_memory(void **state)
{
	unsigned failed = 0;

	FAULT_EACH(n)
	{
		struct conf c;
		char err[256];
		int got = conf_parse_yaml("f", full_yaml, strlen(full_yaml), &c, err, sizeof(err));

		if (got == 0) {
			check_full(&c);
			conf_free(&c);
		} else {
			assert_int_equal(got, ERR_NOMEM);
			failed++;
		}
	}
	assert_true(failed > 10);
}

/* --- flags --- */

static int load(struct conf *c, char *err, size_t cap, const char *const *flags)
{
	char *argv[32] = {(char *)(uintptr_t) "weftd"};
	int argc = 1;

	for (; *flags; flags++)
		argv[argc++] = (char *)(uintptr_t)*flags;
	return conf_load(argc, argv, c, err, cap);
}
#define FLAGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void flags_smallest_start(void **state)
{
	struct conf c;
	char err[512], buf[EP_STRLEN];

	assert_int_equal(
		load(&c, err, sizeof(err),
			FLAGS("--secret-file", "/f", "--cluster-range", "10.32.0.0/16",
				"--prefix=10.32.1.0/24@br0", "--peer", "h1", "--peer=h2:99",
				"--name=n", "--tune", "rekey_ms=2000", "--relay", "no")),
		0);
	assert_string_equal(c.secret_file, "/f");
	assert_string_equal(c.state_dir, "/var/lib/weft");
	assert_string_equal(c.run_dir, "/run/weft");
	assert_string_equal(ep_fmt(&c.listen, buf), "[::]:6793");
	assert_true(c.metrics_on);
	assert_string_equal(ep_fmt(&c.metrics, buf), "127.0.0.1:6794");
	assert_int_equal(c.workers, 0);
	assert_int_equal(c.suites, 0);
	assert_int_equal(c.mark, 0x10000000);
	assert_int_equal(c.dscp, 0);
	assert_false(c.relay);
	assert_int_equal(c.log_level, LOG_LVL_INFO);
	assert_int_equal(c.npeers, 2);
	assert_int_equal(c.ntune, 1);
	assert_string_equal(c.tune[0], "rekey_ms=2000");
	conf_free(&c);
}

/* An id is kept in lower case, a name as it is. */
static void cluster_id_or_name(void **state)
{
	static const struct row rows[] = {
		{"AAAAAAAAAAAAAAAAAAAAAAAAAA", "aaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{"prod.example", "prod.example"}};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct conf c;
		char err[256];

		assert_int_equal(load(&c, err, sizeof(err),
					 FLAGS("--check", "--name=n", "--cluster", rows[i].yaml)),
			0);
		assert_true(c.has_cluster);
		assert_string_equal(c.cluster, rows[i].err);
		conf_free(&c);
	}
}

static void flags_refused(void **state)
{
	static const struct {
		const char *flags[8], *err;
	} rows[] = {
		{{"--perr", "x"},
			"--perr: unknown flag, perhaps --peer; allowed: see weftd --help\n"
			"weftd: 'x' is no flag; allowed: flags, each with two dashes; see weftd "
			"--help"},
		{{"--wombat=1"}, "--wombat: unknown flag; allowed: see weftd --help"},
		{{"-v"}, "weftd: '-v' is no flag; allowed: flags, each with two dashes; see weftd "
			 "--help"},
		{{"--"}, "weftd: '--' is no flag; allowed: flags, each with two dashes; see weftd "
			 "--help"},
		{{"--segments=x"},
			"--segments: no flag; allowed: a section of the file that --config names"},
		{{"--peer"}, "--peer: no value; allowed: " A_PEER},
		{{"--peer="}, "--peer: no value; allowed: " A_PEER},
		{{"--check=yes"}, "--check: takes no value; allowed: no value"},
		{{"--tun", "a", "--tun", "b"}, "--tun: given twice; allowed: once"},
		{{"--workers", "many"},
			"--workers: 'many' is not in that range; allowed: 1 to 64, or auto"},
		{{"--tune", "x"}, "--tune: 'x' is not KEY=VALUE; allowed: KEY=VALUE of at most 63 "
				  "characters"},
		{{"--name", "n"}, "--secret-file: missing; make a secret with: weft key new --out "
				  "FILE; allowed: "
				  "the path of a file that weft key new wrote, at most 255 bytes"},
		{{"--check", "--name=n", "--prefix", "10.0.0.0/8"},
			"--prefix: needs a cluster-range that it lies in"},
		{{"--config", "/nonexistent/x"}, "/nonexistent/x: No such file or directory"},
		{{"--config"},
			"--config: no value; allowed: a readable YAML file of at most 1 MiB"},
		{{"--config", "/"}, "/: Is a directory"},
		{{"--config", "/dev/zero"}, "/dev/zero: too large; allowed: at most 1 MiB"},
		{{"--run-dir", "/012345678901234567890123456789012345678901234567890123456789012345"
			       "6789012345"
			       "678901234567890"},
			"--run-dir: "
			"'/0123456789012345678901234567890123456789012345678901234567890123456...' "
			"is longer than 90 bytes; allowed: a path of at most 90 bytes (a socket's "
			"name must "
			"fit)"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct conf c;
		char err[1024];
		int got = load(&c, err, sizeof(err), rows[i].flags);

		if (got != ERR_CONFIG || strcmp(err, rows[i].err) != 0)
			fail_msg("%s: %d: %s\nnot: %s", rows[i].flags[0], got, err, rows[i].err);
	}
}

static void flags_actions(void **state)
{
	struct conf c;
	char err[512];

	assert_int_equal(load(&c, err, sizeof(err), FLAGS("--wombat", "--help")), 0);
	assert_true(c.help);
	conf_free(&c);
	assert_int_equal(load(&c, err, sizeof(err), FLAGS("-h")), 0);
	assert_true(c.help);
	conf_free(&c);
	assert_int_equal(load(&c, err, sizeof(err), FLAGS("--version")), 0);
	assert_true(c.version);
	conf_free(&c);
	assert_int_equal(load(&c, err, sizeof(err), FLAGS("--down", "--name=n")), 0);
	assert_true(c.down);
	conf_free(&c);
}

/* A flag wins over the file, a list given by flags replaces the file's. */
static void flags_over_file(void **state)
{
	char path[] = "/tmp/weft-test-conf-XXXXXX", err[512];
	static const char text[] = "name: n\nsecret-file: /f\ntun: a\npeer: [h1, h2]\nworkers: 3\n"
				   "cluster-range: [10.0.0.0/8]\nprefix: [11.0.0.0/8]\n";
	int fd = mkstemp(path);
	struct conf c;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	int ok = load(&c, err, sizeof(err),
		FLAGS("--peer", "h3", "--config", path, "--tun=b", "--prefix", "10.1.0.0/16"));
	if (ok == 0) {
		assert_string_equal(c.tun, "b");
		assert_int_equal(c.npeers, 1);
		assert_string_equal(c.peers[0].text, "h3");
		assert_int_equal(c.workers, 3);
		assert_string_equal(c.config_path, path);
		conf_free(&c);
	}
	/* an error of the cross-check names the file, or the flag, that brought the value */
	char err2[512], want[128];
	int bad = load(&c, err2, sizeof(err2), FLAGS("--config", path));
	snprintf(want, sizeof(want), "%s:7: prefix: 11.0.0.0/8 is in no cluster-range", path);
	char err3[512];
	int bad3 = load(&c, err3, sizeof(err3), FLAGS("--config", path, "--prefix=12.0.0.0/8"));
	/* "--config" as another flag's value is not the flag */
	int bad4 = load(&c, err, sizeof(err), FLAGS("--name", "--config", "--tun", path));
	unlink(path);
	assert_int_equal(ok, 0);
	assert_int_equal(bad, ERR_CONFIG);
	assert_string_equal(err2, want);
	assert_int_equal(bad3, ERR_CONFIG);
	assert_string_equal(err3, "--prefix: 12.0.0.0/8 is in no cluster-range");
	assert_int_equal(bad4, ERR_CONFIG);
	assert_non_null(strstr(err, "--name: '--config' is no node name"));
}

static void flags_no_memory(void **state)
{
	FAULT_EACH(n)
	{
		struct conf c;
		char err[256];
		int got = load(&c, err, sizeof(err),
			FLAGS("--name=n", "--secret-file=/f", "--peer=a", "--peer=b",
				"--cluster-range=10.0.0.0/8", "--prefix=10.0.0.0/9"));

		assert_true(got == 0 || got == ERR_NOMEM);
		if (got == 0)
			conf_free(&c);
	}
}

/* The example that is installed is accepted. */
static void example_file(void **state)
{
	char path[1024], err[1024];
	struct conf c;

	snprintf(path, sizeof(path), "%.*s/deploy/weftd.yaml",
		(int)(strstr(__FILE__, "/test/unit/") - __FILE__), __FILE__);
	if (load(&c, err, sizeof(err), FLAGS("--check", "--name=n", "--config", path)) != 0)
		fail_msg("%s", err);
	assert_true(c.nprefixes > 0);
	conf_free(&c);
}

static char *text_from(void (*fn)(FILE *))
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	fn(f);
	fclose(f);
	return text;
}

static void help_lists_all(void **state)
{
	static const char *const names[] = {"config", "name", "cluster", "state-dir", "run-dir",
		"listen", "peer", "secret-file", "cluster-range", "prefix", "accept", "exit", "tun",
		"metrics", "workers", "suite", "source-ports", "relay", "masquerade", "log-level",
		"check", "down", "mark", "dscp", "checksum", "advertise", "help", "version"};
	char *text = text_from(conf_help), flag[40];

	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(flag, sizeof(flag), "\n  --%s", names[i]);
		if (!strstr(text, flag))
			fail_msg("%s is not in --help", flag);
	}
	assert_null(strstr(text, "tune"));
	assert_null(strstr(text, "bgp"));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strlen(line) > 88)
			fail_msg("too long: %s", line);
	free(text);
}

/* The part of @file between its two marker lines must be what @fn writes (`ninja man`). */
static void check_man(const char *file, void (*fn)(FILE *))
{
	static const char begin[] = ".\\\" BEGIN GENERATED\n", end[] = ".\\\" END GENERATED\n";
	char path[1024], *page = calloc(1, 256 * 1024), *want = text_from(fn);

	snprintf(path, sizeof(path), "%.*s/docs/man/%s",
		(int)(strstr(__FILE__, "/test/unit/") - __FILE__), __FILE__, file);
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("%s: cannot be opened", path);
	assert_true(fread(page, 1, 256 * 1024 - 1, f) > 0);
	fclose(f);
	char *at = strstr(page, begin), *stop = strstr(page, end);
	if (!at || !stop)
		fail_msg("%s: no markers", file);
	at += strlen(begin);
	*stop = '\0';
	if (strcmp(at, want) != 0)
		fail_msg("%s is not current: run ninja man", file);
	free(page);
	free(want);
}

static void man_is_current(void **state)
{
	check_man("weftd.8", conf_man_options);
	check_man("weftd.yaml.5", conf_man_keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(yaml_full),
		cmocka_unit_test(yaml_refused_values),
		cmocka_unit_test(yaml_refused_shape),
		cmocka_unit_test(yaml_syntax),
		cmocka_unit_test(yaml_bytes),
		cmocka_unit_test(cross_checks),
		cmocka_unit_test(claims),
		cmocka_unit_test(segments_overlap),
		cmocka_unit_test(list_bounds),
		cmocka_unit_test(yaml_damage),
		cmocka_unit_test(small_error_buffers),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(flags_smallest_start),
		cmocka_unit_test(flags_refused),
		cmocka_unit_test(cluster_id_or_name),
		cmocka_unit_test(example_file),
		cmocka_unit_test(flags_actions),
		cmocka_unit_test(flags_over_file),
		cmocka_unit_test(flags_no_memory),
		cmocka_unit_test(help_lists_all),
		cmocka_unit_test(man_is_current),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
