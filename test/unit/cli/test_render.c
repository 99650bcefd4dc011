/* What the daemon's data looks like: golden text, units, JSON; and data that is not as it should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "fault.h"
#include "json_out.h"
#include "weft/err.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* An answer that was encoded and decoded, as it comes over the socket. */
struct answer {
	uint8_t *buf;
	struct ctl_reply reply;
};

static struct answer answer_of(struct ctl_w *w)
{
	struct answer a;
	const uint8_t *data;
	size_t len, out_len;

	assert_int_equal(ctl_w_finish(w, &data, &len), 0);
	assert_int_equal(ctl_reply_encode(true, NULL, NULL, data, len, &a.buf, &out_len), 0);
	ctl_w_free(w);
	assert_int_equal(ctl_reply_decode(a.buf + CTL_HEADER, out_len - CTL_HEADER, &a.reply), 0);
	return a;
}

static void answer_free(struct answer *a)
{
	ctl_reply_free(&a->reply);
	free(a->buf);
}

static void expect_text(struct ctl_w *w, cli_render_fn fn, bool colour, const char *want)
{
	struct answer a = answer_of(w);
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	struct out *o = out_new(f, colour);

	fn(o, a.reply.data);
	assert_int_equal(out_end(o), 0);
	fclose(f);
	if (strcmp(text, want) != 0)
		fail_msg("got:\n%s\nwant:\n%s", text, want);
	free(text);
	answer_free(&a);
}

static void strings(struct ctl_w *w, const char *key, const char *const *items, size_t n)
{
	ctl_w_array(w, key);
	for (size_t i = 0; i < n; i++)
		ctl_w_str(w, NULL, items[i]);
	ctl_w_end(w);
}
#define STRINGS(w, key, ...)                                                                       \
	strings(w, key, (const char *const[]){__VA_ARGS__},                                        \
		COUNT(((const char *const[]){__VA_ARGS__})))

static void put_prefixes(struct ctl_w *w)
{
	ctl_w_map(w, "prefixes");
	ctl_w_array(w, "own");
	ctl_w_map(w, NULL);
	ctl_w_u64(w, "vni", 1);
	ctl_w_str(w, "prefix", "10.32.1.0/24");
	ctl_w_str(w, "device", "br0");
	ctl_w_str(w, "kind", "local");
	ctl_w_end(w);
	ctl_w_map(w, NULL);
	ctl_w_u64(w, "vni", 5);
	ctl_w_str(w, "prefix", "0.0.0.0/0");
	ctl_w_str(w, "device", "");
	ctl_w_str(w, "kind", "exit");
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_array(w, "ranges");
	ctl_w_map(w, NULL);
	ctl_w_u64(w, "vni", 1);
	ctl_w_str(w, "prefix", "10.32.0.0/16");
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_u64(w, "remote", 2);
	ctl_w_array(w, "refused");
	ctl_w_map(w, NULL);
	ctl_w_str(w, "prefix", "192.0.2.0/24");
	ctl_w_str(w, "node", "host3");
	ctl_w_str(w, "why", "outside the ranges");
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_end(w);
}

static void put_offloads_kernel_traffic(struct ctl_w *w)
{
	ctl_w_map(w, "offloads");
	STRINGS(w, "on", "tun_tso", "udp_gso");
	ctl_w_array(w, "off");
	ctl_w_map(w, NULL);
	ctl_w_str(w, "name", "tun_uso");
	ctl_w_str(w, "why", "the kernel has none");
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_u64(w, "workers", 2);
	ctl_w_u64(w, "side_ports", 0);
	ctl_w_u64(w, "mtu", 1420);
	ctl_w_end(w);
	ctl_w_map(w, "pod_mtu");
	ctl_w_u64(w, "mesh", 1420);
	ctl_w_u64(w, "smaller", 2);
	ctl_w_array(w, "devices");
	ctl_w_map(w, NULL);
	ctl_w_str(w, "device", "wpod6tdhnoefjw6");
	ctl_w_u64(w, "mtu", 1400);
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_map(w, "kernel");
	ctl_w_u64(w, "routes", 6);
	ctl_w_u64(w, "rules", 4);
	ctl_w_u64(w, "repaired", 1);
	ctl_w_u64(w, "errors", 0);
	ctl_w_bool(w, "notrack", false);
	ctl_w_str(w, "notrack_why", "no nf_tables");
	ctl_w_bool(w, "masquerade", true);
	ctl_w_u64(w, "accepts", 1);
	ctl_w_str(w, "accepts_why", "chain x: its owner");
	ctl_w_end(w);
	ctl_w_map(w, "traffic");
	ctl_w_u64(w, "tx_packets", 12);
	ctl_w_u64(w, "tx_bytes", 1234567);
	ctl_w_u64(w, "rx_packets", 0);
	ctl_w_u64(w, "rx_bytes", 1023);
	ctl_w_map(w, "drops");
	ctl_w_u64(w, "no_route", 3);
	ctl_w_u64(w, "replay", 0);
	ctl_w_u64(w, "bad_source", 1);
	ctl_w_end(w);
	ctl_w_end(w);
}

static struct ctl_w *status_data(bool ready)
{
	struct ctl_w *w = ctl_w_new();

	ctl_w_map(w, NULL);
	ctl_w_str(w, "version", "0.1.0");
	ctl_w_bool(w, "ready", ready);
	ctl_w_array(w, "not_ready");
	if (!ready)
		ctl_w_str(w, NULL, "no peer answers");
	ctl_w_end(w);
	ctl_w_u64(w, "uptime_ms", 133000);
	ctl_w_map(w, "node");
	ctl_w_str(w, "name", "host1");
	ctl_w_str(w, "key", "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst");
	ctl_w_str(w, "short", "abcdefghij");
	ctl_w_u64(w, "epoch", 3);
	STRINGS(w, "mesh_addresses", "10.32.1.1", "fd32:0:0:1::1");
	ctl_w_str(w, "control_address", "fd8a::1");
	ctl_w_end(w);
	ctl_w_map(w, "cluster");
	ctl_w_str(w, "id", "qqqqqqqqqqqqqqqqqqqqqqqqqq");
	ctl_w_u64(w, "nodes", 3);
	ctl_w_u64(w, "up", 2);
	ctl_w_end(w);
	ctl_w_map(w, "membership");
	ctl_w_u64(w, "alive", 2);
	ctl_w_u64(w, "suspected", 1);
	ctl_w_u64(w, "dead", 1);
	ctl_w_u64(w, "neighbours", 2);
	ctl_w_u64(w, "neighbours_linked", 1);
	ctl_w_bool(w, "storm", !ready);
	ctl_w_u64(w, "storms", 4);
	ctl_w_end(w);
	ctl_w_map(w, "encryption");
	ctl_w_str(w, "mode", "secret");
	STRINGS(w, "suites", "aes-256-gcm", "chacha20-poly1305");
	ctl_w_str(w, "provider", "ipsec-mb");
	ctl_w_u64(w, "sessions", 1);
	ctl_w_end(w);
	ctl_w_map(w, "peers");
	ctl_w_u64(w, "known", 2);
	ctl_w_u64(w, "up", 1);
	ctl_w_u64(w, "dialling", 1);
	ctl_w_end(w);
	put_prefixes(w);
	put_offloads_kernel_traffic(w);
	STRINGS(w, "warnings", "two nodes are named host2: 192.0.2.2:6793 and 192.0.2.9:6793");
	STRINGS(w, "tune", "rekey_ms=2000");
	ctl_w_str(w, "of_a_later_version", "skipped");
	ctl_w_end(w);
	return w;
}

#define STATUS_NODE                                                                                \
	"\n"                                                                                       \
	"           Node: host1\n"                                                                 \
	"            Key: abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst\n"                  \
	"          Epoch: 3\n"                                                                     \
	"   Mesh address: 10.32.1.1, fd32:0:0:1::1\n"                                              \
	"Control address: fd8a::1\n"                                                               \
	"\n"                                                                                       \
	"        Cluster: qqqqqqqqqqqqqqqqqqqqqqqqqq\n"                                            \
	"          Nodes: 3 known, 2 up\n"                                                         \
	"     Membership: 2 alive, 1 suspected, 1 dead, 0 left\n"                                  \
	"     Neighbours: 2, 1 of them linked\n"

#define STATUS_REST                                                                                \
	"\n"                                                                                       \
	"     Encryption: on (secret mode)\n"                                                      \
	"         Suites: aes-256-gcm, chacha20-poly1305 (ipsec-mb)\n"                             \
	"       Sessions: 1\n"                                                                     \
	"\n"                                                                                       \
	"          Peers: 2 known, 1 up, 1 dialling\n"                                             \
	"\n"                                                                                       \
	"       Prefixes: 2 own, 2 remote\n"                                                       \
	"            Own: 10.32.1.0/24 on br0\n"                                                   \
	"           Exit: 0.0.0.0/0 in VNI 5\n"                                                    \
	"          Range: 10.32.0.0/16\n"                                                          \
	"        Refused: 192.0.2.0/24 of host3: outside the ranges\n"                             \
	"\n"                                                                                       \
	"       Offloads: tun_tso, udp_gso\n"                                                      \
	"            Off: tun_uso (the kernel has none)\n"                                         \
	"        Workers: 2, source ports 0\n"                                                     \
	"            MTU: 1420\n"                                                                  \
	"        Pod MTU: 2 interfaces have less than the mesh's 1420, which new pods get\n"       \
	"                 wpod6tdhnoefjw6 1400\n"                                                  \
	"                 and 1 more\n"                                                            \
	"\n"                                                                                       \
	"         Kernel: 6 routes, 4 rules, 1 repaired, 0 errors\n"                               \
	"        NOTRACK: off (no nf_tables)\n"                                                    \
	"        Outside: reached as this host, in clear; so are nodes' own addresses\n"           \
	"       Firewall: drops pods' packets: chain x: its owner\n"                               \
	"\n"                                                                                       \
	"           Sent: 12 packets, 1.2 MiB\n"                                                   \
	"       Received: 0 packets, 1023 B\n"                                                     \
	"        Dropped: no_route 3, bad_source 1\n"                                              \
	"\n"                                                                                       \
	"        Warning: two nodes are named host2: 192.0.2.2:6793 and 192.0.2.9:6793\n"          \
	"\n"                                                                                       \
	"           Tune: rekey_ms=2000\n"

static void status(void **state)
{
	expect_text(status_data(true), render_status, false,
		"        Version: 0.1.0, up 2m13s\n"
		"         Status: ready\n" STATUS_NODE
		"          Storm: over; 4 since the start\n" STATUS_REST);
	expect_text(status_data(false), render_status, false,
		"        Version: 0.1.0, up 2m13s\n"
		"         Status: not ready\n"
		"      Not ready: no peer answers\n" STATUS_NODE
		"          Storm: many nodes are suspected at once\n" STATUS_REST);
}

/* A daemon of another version: nothing that we look for is there. */
static void status_of_nothing(void **state)
{
	struct ctl_w *w = ctl_w_new();

	ctl_w_map(w, NULL);
	ctl_w_end(w);
	expect_text(w, render_status, false,
		"   Version: , up 0ms\n"
		"    Status: not ready\n"
		"\n"
		"      Node: \n"
		"       Key: \n"
		"     Epoch: 0\n"
		"\n"
		"   Cluster: \n"
		"     Nodes: 0 known, 0 up\n"
		"\n"
		"Encryption: on ( mode)\n"
		"    Suites:  ()\n"
		"  Sessions: 0\n"
		"\n"
		"     Peers: 0 known, 0 up, 0 dialling\n"
		"\n"
		"  Prefixes: 0 own, 0 remote\n"
		"\n"
		"  Offloads: none\n"
		"   Workers: 0, source ports 0\n"
		"       MTU: 0\n"
		"\n"
		"    Kernel: 0 routes, 0 rules, 0 repaired, 0 errors\n"
		"   NOTRACK: off ()\n"
		"\n"
		"      Sent: 0 packets, 0 B\n"
		"  Received: 0 packets, 0 B\n"
		"   Dropped: none\n");
}

static void peer(struct ctl_w *w, const char *name, bool self, bool up, bool left)
{
	ctl_w_map(w, NULL);
	ctl_w_str(w, "name", name);
	ctl_w_str(w, "short", "abcdefghij");
	ctl_w_bool(w, "self", self);
	ctl_w_bool(w, "up", up);
	ctl_w_bool(w, "left", left);
	ctl_w_str(w, "link", up && !self ? "neighbour" : "");
	ctl_w_str(w, "version", "0.1.0");
	ctl_w_u64(w, "since_ms", up ? 90061000 : 950);
	STRINGS(w, "endpoints", "192.0.2.2:6793", "[2001:db8::2]:6793");
	ctl_w_array(w, "prefixes");
	for (unsigned vni = 1; vni <= 2; vni++) {
		ctl_w_map(w, NULL);
		ctl_w_u64(w, "vni", vni);
		ctl_w_str(w, "prefix", "10.32.2.0/24");
		ctl_w_bool(w, "exit", vni == 2);
		ctl_w_end(w);
	}
	ctl_w_end(w);
	ctl_w_end(w);
}

static void peers(void **state)
{
#define TAIL "192.0.2.2:6793, [2001:db8::2]:6793  10.32.2.0/24, 10.32.2.0/24 (exit) (VNI 2)\n"
	struct ctl_w *w = ctl_w_new();

	ctl_w_map(w, NULL);
	ctl_w_array(w, "peers");
	peer(w, "host1", true, true, false);
	peer(w, "a-long-name.example", false, true, false);
	peer(w, "", false, false, false);
	peer(w, "x", false, false, true);
	ctl_w_end(w);
	ctl_w_end(w);
	expect_text(w, render_peers, false,
		"NODE                 KEY         STATE  SINCE  LINK       VERSION  ENDPOINTS      "
		"                     PREFIXES\n"
		"host1                abcdefghij  self   1d01h  -          0.1.0    " TAIL
		"a-long-name.example  abcdefghij  up     1d01h  neighbour  0.1.0    " TAIL
		"-                    abcdefghij  down   950ms  -          0.1.0    " TAIL
		"x                    abcdefghij  left   950ms  -          0.1.0    " TAIL);
}

static struct ctl_w *connections_data(void)
{
	struct ctl_w *w = ctl_w_new();

	ctl_w_map(w, NULL);
	ctl_w_array(w, "connections");
	ctl_w_map(w, NULL);
	ctl_w_str(w, "direction", "->");
	ctl_w_str(w, "endpoint", "192.0.2.2:6793");
	ctl_w_str(w, "name", "host2");
	ctl_w_str(w, "short", "abcdefghij");
	ctl_w_str(w, "state", "established");
	ctl_w_str(w, "use", "demand");
	ctl_w_str(w, "suite", "aes-256-gcm");
	ctl_w_u64(w, "path_mtu", 1500);
	ctl_w_f64(w, "rtt_ms", 0.42);
	ctl_w_u64(w, "key_age_ms", 61000);
	ctl_w_u64(w, "tx_bytes", 3ull << 30);
	ctl_w_u64(w, "tx_packets", 2200000);
	ctl_w_u64(w, "rx_bytes", 900);
	ctl_w_u64(w, "rx_packets", 9);
	ctl_w_map(w, "drops");
	ctl_w_u64(w, "replay", 2);
	ctl_w_end(w);
	ctl_w_array(w, "side_ports");
	ctl_w_u64(w, NULL, 42001);
	ctl_w_u64(w, NULL, 42002);
	ctl_w_end(w);
	ctl_w_nil(w, "retry_ms");
	ctl_w_str(w, "error", "");
	ctl_w_end(w);
	ctl_w_map(w, NULL);
	ctl_w_str(w, "direction", "->");
	ctl_w_str(w, "endpoint", "[2001:db8::3]:6793");
	ctl_w_str(w, "state", "waiting");
	ctl_w_nil(w, "rtt_ms");
	ctl_w_u64(w, "attempts", 4);
	ctl_w_u64(w, "retry_ms", 8000);
	ctl_w_str(w, "error", "no answer");
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_end(w);
	return w;
}

static void connections(void **state)
{
	expect_text(connections_data(), render_connections, false,
		"    ENDPOINT            NODE   KEY         STATE        USE     SUITE         MTU "
		"     RTT  KEY AGE"
		"     SENT  PACKETS  RECEIVED  PACKETS  NOTES\n"
		"->  192.0.2.2:6793      host2  abcdefghij  established  demand  aes-256-gcm  1500 "
		" 0.42 ms    1m01s"
		"  3.0 GiB  2200000     900 B        9  dropped replay 2; source ports 42001, "
		"42002\n"
		"->  [2001:db8::3]:6793  -      -           waiting      -       -               - "
		"       -        -"
		"        -        -         -        -  no answer; attempt 4, again in 8s\n");
}

/* With colour the visible columns are the same. */
static void colour(void **state)
{
	struct answer a = answer_of(connections_data());
	char *text[2] = {NULL, NULL}, *plain;
	size_t len;

	for (int tint = 0; tint < 2; tint++) {
		FILE *f = open_memstream(&text[tint], &len);
		struct out *o = out_new(f, tint);
		render_connections(o, a.reply.data);
		assert_int_equal(out_end(o), 0);
		fclose(f);
	}
	assert_null(strchr(text[0], '\033'));
	assert_non_null(strstr(text[1], "\033[32mestablished\033[0m"));
	assert_non_null(strstr(text[1], "\033[33mwaiting\033[0m"));
	plain = text[1];
	size_t n = 0;
	for (const char *p = text[1]; *p; p++)
		if (*p == '\033')
			p += strcspn(p, "m");
		else
			plain[n++] = *p;
	plain[n] = '\0';
	assert_string_equal(plain, text[0]);
	free(text[0]);
	free(text[1]);
	answer_free(&a);
}

static void routes_and_targets(void **state)
{
	struct ctl_w *w = ctl_w_new();

	ctl_w_map(w, NULL);
	ctl_w_array(w, "routes");
	ctl_w_map(w, NULL);
	ctl_w_u64(w, "vni", 1);
	ctl_w_str(w, "prefix", "10.32.2.0/24");
	ctl_w_str(w, "kind", "peer");
	ctl_w_str(w, "node", "host2");
	ctl_w_str(w, "via", "192.0.2.2:6793");
	ctl_w_str(w, "device", "weft0");
	ctl_w_u64(w, "mtu", 1420);
	ctl_w_str(w, "why", "");
	ctl_w_end(w);
	ctl_w_map(w, NULL);
	ctl_w_u64(w, "vni", 12);
	ctl_w_str(w, "prefix", "192.0.2.0/24");
	ctl_w_str(w, "kind", "refused");
	ctl_w_str(w, "why", "outside the ranges\033[2J\n\x80");
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_end(w);
	/* what a terminal would obey is not printed */
	expect_text(w, render_routes, false,
		"VNI  PREFIX        KIND     NODE   VIA             DEVICE   MTU  WHY\n"
		"  1  10.32.2.0/24  peer     host2  192.0.2.2:6793  weft0   1420  -\n"
		" 12  192.0.2.0/24  refused  -      -               -          -  outside the "
		"ranges?[2J??\n");
	w = ctl_w_new();
	ctl_w_map(w, NULL);
	ctl_w_array(w, "targets");
	ctl_w_map(w, NULL);
	ctl_w_str(w, "text", "host2:6793");
	ctl_w_str(w, "state", "failed");
	ctl_w_str(w, "error", "the name does not resolve");
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_end(w);
	expect_text(w, render_targets, false,
		"TARGET      STATE   ENDPOINT  ERROR\n"
		"host2:6793  failed  -         the name does not resolve\n");
}

static void ipam_prefix(struct ctl_w *w, const char *prefix, const char *node, const char *right,
	const char *state, const char *to, uint64_t left_ms)
{
	ctl_w_map(w, NULL);
	ctl_w_u64(w, "vni", 1);
	ctl_w_str(w, "prefix", prefix);
	ctl_w_str(w, "node", node);
	ctl_w_str(w, "right", right);
	ctl_w_str(w, "state", state);
	ctl_w_str(w, "to", to);
	ctl_w_u64(w, "left_ms", left_ms);
}

static void ipam(void **state)
{
	struct ctl_w *w = ctl_w_new();

	ctl_w_map(w, NULL);
	ctl_w_array(w, "ranges");
	ctl_w_map(w, NULL);
	ctl_w_u64(w, "vni", 1);
	ctl_w_str(w, "range", "10.32.0.0/16");
	ctl_w_u64(w, "block_length", 24);
	ctl_w_u64(w, "size", 256);
	ctl_w_u64(w, "owned", 3);
	ctl_w_u64(w, "leased", 1);
	ctl_w_u64(w, "expired", 2);
	ctl_w_u64(w, "free", 252);
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_array(w, "prefixes");
	ipam_prefix(w, "10.32.5.0/24", "host1", "claim", "in_use", "", 0);
	ctl_w_map(w, "pods");
	ctl_w_u64(w, "size", 253);
	ctl_w_u64(w, "used", 3);
	ctl_w_end(w);
	ctl_w_end(w);
	ipam_prefix(w, "10.32.6.0/24", "host1", "configuration", "lost", "host2", 0);
	ctl_w_end(w);
	ipam_prefix(w, "10.32.9.0/24", "host1", "orchestrator", "refused", "", 9000);
	ctl_w_end(w);
	ipam_prefix(w, "10.32.7.0/24", "host3", "claim", "leased", "", 3600000);
	ctl_w_end(w);
	ipam_prefix(w, "10.32.8.0/24", "host4", "other", "new word", "", 0);
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_array(w, "wanted");
	ctl_w_map(w, NULL);
	ctl_w_u64(w, "vni", 1);
	ctl_w_u64(w, "length", 64);
	ctl_w_str(w, "state", "exhausted");
	ctl_w_u64(w, "next_ms", 28000);
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_array(w, "pods");
	for (unsigned family = 4; family <= 6; family += 2) {
		ctl_w_map(w, NULL);
		ctl_w_u64(w, "family", family);
		ctl_w_u64(w, "size", 253);
		ctl_w_u64(w, "used", 250);
		ctl_w_u64(w, "resting", 3);
		ctl_w_bool(w, "exhausted", family == 4);
		ctl_w_end(w);
	}
	ctl_w_end(w);
	ctl_w_end(w);
	expect_text(w, render_ipam, false,
		"VNI  PREFIX        NODE   RIGHT          STATE         PODS  NOTES\n"
		"  1  10.32.0.0/16  -      range          free             -  256 of /24: 3 owned, "
		"1 leased, 252 free (2 had an owner once)\n"
		"  1  10.32.5.0/24  host1  claim          in use       3/253  -\n"
		"  1  10.32.6.0/24  host1  configuration  lost             -  to host2\n"
		"  1  10.32.9.0/24  host1  orchestrator   refused          -  can't be used here "
		"(weft status tells why); again in 9s\n"
		"  1  10.32.7.0/24  host3  claim          leased           -  its node is gone; "
		"1h00m left\n"
		"  1  10.32.8.0/24  host4  other          new word         -  -\n"
		"  1  auto/64       -      claim          exhausted        -  no range has room "
		"for it; again in 28s\n"
		"  -  IPv4          -      pods           exhausted  250/253  no address for "
		"another pod; 3 rest\n");
}

/* Leases that stand still are told as such: the time left is no longer a time to wait for. */
static void ipam_paused(void **state)
{
	struct ctl_w *w = ctl_w_new();

	ctl_w_map(w, NULL);
	ctl_w_array(w, "prefixes");
	ipam_prefix(w, "10.32.7.0/24", "host3", "claim", "leased", "", 3600000);
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_map(w, "leases");
	ctl_w_u64(w, "running", 1);
	ctl_w_bool(w, "paused", true);
	ctl_w_end(w);
	ctl_w_end(w);
	expect_text(w, render_ipam, false,
		"VNI  PREFIX        NODE   RIGHT  STATE   PODS  NOTES\n"
		"  1  10.32.7.0/24  host3  claim  leased     -  its node is gone; 1h00m left, "
		"standing still while so many are missing\n");
}

static void cluster(struct ctl_w *w, const char *name, const char *id, uint64_t asn)
{
	static const char *const ranges[] = {"10.33.0.0/16", "fd33::/32"};

	ctl_w_str(w, "cluster", name);
	ctl_w_str(w, "cluster_id", id);
	ctl_w_u64(w, "asn", asn);
	strings(w, "ranges", ranges, 2);
}

static void gateway(struct ctl_w *w, const char *key, const char *state, const char *why)
{
	ctl_w_map(w, NULL);
	ctl_w_str(w, "short", key);
	ctl_w_str(w, "endpoint", "192.0.2.3:6793");
	ctl_w_str(w, "bgp", *why ? "" : "Established");
	ctl_w_str(w, "state", state);
	ctl_w_str(w, "why", why);
	ctl_w_u64(w, "since_ms", 61000);
	ctl_w_str(w, "node", key);
	ctl_w_bool(w, "self", strcmp(key, "host1") == 0);
	ctl_w_bool(w, "last_resort", strchr("hp", key[0]) && strcmp(key, "host1") != 0);
	ctl_w_u64(w, "prefixes", 2);
	ctl_w_end(w);
}

static void clusters(void **state)
{
	struct ctl_w *w = ctl_w_new();

	ctl_w_map(w, NULL);
	ctl_w_map(w, "self");
	cluster(w, "east", "5n7mppnvcw", 4233535026u);
	ctl_w_end(w);
	ctl_w_array(w, "links");
	ctl_w_map(w, NULL);
	ctl_w_str(w, "link", "west");
	ctl_w_str(w, "state", "up");
	cluster(w, "west", "d5su7smns6", 4268475449u);
	ctl_w_array(w, "gateways");
	gateway(w, "psuiniiioy", "up", "");
	gateway(w, "dffefottu3", "refused", "clusters east and west have the same AS number 1");
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_map(w, NULL);
	ctl_w_str(w, "link", "link1");
	ctl_w_str(w, "state", "waiting");
	cluster(w, "", "", 0);
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_array(w, "gateways");
	gateway(w, "host1", "", "");
	gateway(w, "host2", "", "");
	gateway(w, "host3", "", "x");
	ctl_w_end(w);
	ctl_w_array(w, "prefixes");
	for (int i = 0; i < 2; i++) {
		ctl_w_map(w, NULL);
		ctl_w_str(w, "prefix", i ? "fd33::/32" : "10.33.0.0/16");
		ctl_w_str(w, "gateway", i ? "" : "psuiniiioy");
		ctl_w_str(w, "why", i ? "no gateway leads there at present" : "");
		ctl_w_end(w);
	}
	ctl_w_end(w);
	ctl_w_end(w);
	expect_text(w, render_clusters, false,
		"    cluster: east\n"
		" cluster id: 5n7mppnvcw\n"
		"  as number: 4233535026\n"
		"    gateway: host1 (this node)\n"
		"    gateway: host2 (BGP Established, 2 prefixes, a last resort: its way fails or "
		"failed)\n"
		"    gateway: host3 (no BGP yet)\n"
		"     prefix: 10.33.0.0/16 behind psuiniiioy\n"
		"     prefix: fd33::/32: no gateway leads there at present\n"
		"\n"
		"       link: west is up\n"
		"         to: cluster west, AS 4268475449\n"
		"     ranges: 10.33.0.0/16 fd33::/32\n"
		"its gateway: psuiniiioy at 192.0.2.3:6793: up for 1m01s, BGP Established, a last "
		"resort: its "
		"way fails or failed\n"
		"its gateway: dffefottu3 at 192.0.2.3:6793: refused: clusters east and west have "
		"the "
		"same AS number 1\n"
		"\n"
		"       link: link1 is waiting\n"
		"         to: nobody has taken its invitation up yet\n");
}

static void message(void **state)
{
	struct ctl_w *w = ctl_w_new();

	ctl_w_map(w, NULL);
	ctl_w_str(w, "message", "dialling host2");
	ctl_w_end(w);
	expect_text(w, render_message, true, "dialling host2\n");
	w = ctl_w_new();
	ctl_w_nil(w, NULL);
	expect_text(w, render_message, false, "done\n");
}

/* Each renderer on data of wrong types: an answer, not a crash. */
static void wrong_types(void **state)
{
	static const cli_render_fn fns[] = {render_status, render_peers, render_connections,
		render_routes, render_targets, render_message, render_ipam, render_clusters,
		render_invitation};
	static const char *const keys[] = {"version", "ready", "not_ready", "node", "cluster",
		"prefixes", "offloads", "kernel", "traffic", "warnings", "peers", "connections",
		"routes", "targets", "message", "own", "drops", "ranges", "wanted", "self", "links",
		"gateways", "invitation"};

	for (unsigned type = 0; type < 6; type++)
		for (size_t i = 0; i < COUNT(fns); i++) {
			struct ctl_w *w = ctl_w_new();
			char *text = NULL;
			size_t len;

			ctl_w_map(w, NULL);
			for (size_t k = 0; k < COUNT(keys); k++) {
				if (type == 0)
					ctl_w_u64(w, keys[k], 7);
				else if (type == 1)
					ctl_w_nil(w, keys[k]);
				else if (type == 2)
					ctl_w_str(w, keys[k], "text");
				else if (type == 3)
					ctl_w_f64(w, keys[k], NAN);
				else if (type == 4)
					ctl_w_map(w, keys[k]);
				else
					ctl_w_array(w, keys[k]);
				if (type == 5)
					for (unsigned n = 0; n < 3; n++)
						ctl_w_i64(w, NULL, -1);
				if (type >= 4)
					ctl_w_end(w);
			}
			ctl_w_end(w);
			struct answer a = answer_of(w);
			FILE *f = open_memstream(&text, &len);
			struct out *o = out_new(f, false);
			fns[i](o, a.reply.data);
			assert_int_equal(out_end(o), 0);
			fclose(f);
			assert_true(len > 0);
			free(text);
			answer_free(&a);
		}
}

static void units(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} bytes[] = {{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {1536, "1.5 KiB"},
		{1048575, "1.0 MiB"}, {1048524, "1023.9 KiB"}, {1u << 31, "2.0 GiB"},
		{UINT64_MAX, "16.0 EiB"}},
	  durations[] = {{0, "0ms"}, {999, "999ms"}, {1000, "1s"}, {59999, "59s"}, {60000, "1m00s"},
		  {133000, "2m13s"}, {3600000, "1h00m"}, {86399999, "23h59m"}, {86400000, "1d00h"},
		  {UINT64_MAX, "213503982334d14h"}};
	static const struct {
		double ms;
		const char *text;
	} rtts[] = {{0.034, "0.03 ms"}, {0.42, "0.42 ms"}, {3.44, "3.4 ms"}, {123.4, "123 ms"},
		{NAN, "?"}, {-1, "?"}, {INFINITY, "?"}};
	char buf[OUT_UNIT];

	for (size_t i = 0; i < COUNT(bytes); i++)
		assert_string_equal(out_bytes(bytes[i].n, buf), bytes[i].text);
	for (size_t i = 0; i < COUNT(durations); i++)
		assert_string_equal(out_duration(durations[i].n, buf), durations[i].text);
	for (size_t i = 0; i < COUNT(rtts); i++)
		assert_string_equal(out_rtt(rtts[i].ms, buf), rtts[i].text);
}

static void json(void **state)
{
	struct ctl_w *w = ctl_w_new();
	char *text = NULL;
	size_t len;

	ctl_w_map(w, NULL);
	ctl_w_str(w, "z", "first stays first");
	ctl_w_u64(w, "n", INT64_MAX);
	ctl_w_i64(w, "neg", -7);
	ctl_w_f64(w, "rtt_ms", 0.42);
	ctl_w_f64(w, "nan", NAN);
	ctl_w_nil(w, "nil");
	ctl_w_bool(w, "yes", true);
	ctl_w_str(w, "utf8", "h\xc3\xa9");
	ctl_w_str(w, "bad", "h\xff!");
	ctl_w_array(w, "list");
	ctl_w_map(w, NULL);
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_end(w);
	struct answer a = answer_of(w);
	FILE *f = open_memstream(&text, &len);
	assert_int_equal(json_print(f, json_from_msgpack(a.reply.data)), 0);
	fclose(f);
	assert_string_equal(text,
		"{\n  \"z\": \"first stays first\",\n  \"n\": 9223372036854775807,\n"
		"  \"neg\": -7,\n  \"rtt_ms\": 0.42,\n  \"nan\": null,\n  \"nil\": null,\n  "
		"\"yes\": true,\n"
		"  \"utf8\": \"h\xc3\xa9\",\n  \"bad\": \"h?!\",\n  \"list\": [\n    {}\n  ]\n}\n");
	free(text);
	answer_free(&a);

	/* what a daemon of ours does not send, but msgpack has */
	static const char odd[] = "\x84\xa1"
				  "b\xc4\x02\x01\xff\xa1"
				  "e\xd4\x05\x01\x07\xa1x\xa1u\xcf"
				  "\xff\xff\xff\xff\xff\xff\xff\xff";
	msgpack_unpacked raw;
	size_t off = 0;
	msgpack_unpacked_init(&raw);
	assert_int_equal(
		msgpack_unpack_next(&raw, odd, sizeof(odd) - 1, &off), MSGPACK_UNPACK_SUCCESS);
	json_t *j = json_from_msgpack(&raw.data);
	text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(3));
	json_decref(j);
	assert_string_equal(text, "{\"b\":\"01ff\",\"e\":null,\"u\":1.84e19}");
	free(text);
	msgpack_unpacked_destroy(&raw);
	assert_int_equal(json_print(stderr, NULL), ERR_NOMEM);
}

static void no_memory(void **state)
{
	struct answer a = answer_of(status_data(true));
	unsigned failed = 0;

	FAULT_EACH(n)
	{
		char buf[8192] = "";
		FILE *f = fmemopen(buf, sizeof(buf), "w");
		struct out *o = out_new(f, false);
		if (o)
			render_status(o, a.reply.data);
		int err = out_end(o);
		assert_true(err == 0 || err == ERR_NOMEM);
		if (err)
			failed++;
		fclose(f);
		if (err)
			assert_int_equal(buf[0], '\0');
	}
	assert_true(failed > 20);
	answer_free(&a);
}

/* A full disk is an error, not silence. */
static void output_error(void **state)
{
	FILE *f = fopen("/dev/full", "w");
	struct out *o = out_new(f, false);

	assert_non_null(f);
	out_text(o, "text");
	assert_int_equal(out_end(o), -EIO);
	assert_int_equal(json_print(f, json_null()), -EIO);
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status),
		cmocka_unit_test(status_of_nothing),
		cmocka_unit_test(peers),
		cmocka_unit_test(connections),
		cmocka_unit_test(colour),
		cmocka_unit_test(routes_and_targets),
		cmocka_unit_test(ipam),
		cmocka_unit_test(ipam_paused),
		cmocka_unit_test(clusters),
		cmocka_unit_test(message),
		cmocka_unit_test(wrong_types),
		cmocka_unit_test(units),
		cmocka_unit_test(json),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(output_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
