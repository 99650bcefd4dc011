/* The schema: every flag and YAML key of weftd, once. */
#include "conf_schema.h"

#include <string.h>

#define FIELD(f) .off = offsetof(struct conf, f)
#define LISTOF(f, n, type)                                                                         \
	.off = offsetof(struct conf, f), .count_off = offsetof(struct conf, n), .size = sizeof(type)
#define BOTH (CONF_FLAG | CONF_YAML)

#define ALLOW_NAME   "1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first and last"
#define ALLOW_DEVICE "1 to 15 characters, no space, '/' or ':'"
#define ALLOW_CIDR   "an IPv4 or IPv6 CIDR, such as 10.32.0.0/16 or fd32::/48"

const struct conf_key conf_keys[CONF_NKEYS] = {
	[CK_CONFIG] = {"config", "FILE", NULL, "a readable YAML file of at most 1 MiB", NULL,
		"Read settings from this file (see weftd.yaml(5)). A flag wins over the file; a "
		"list given "
		"by flags replaces the file's list.",
		conf_parse_path, FIELD(config_path), .kind = CONF_SCALAR, .where = CONF_FLAG},
	[CK_NAME] = {"name", "NAME", NULL, ALLOW_NAME, "the host's name",
		"The name of this node, unique in the cluster.", conf_parse_name, FIELD(name),
		.kind = CONF_SCALAR, .where = BOTH},
	[CK_CLUSTER] = {"cluster", "ID|NAME", NULL,
		"a cluster id as weft status shows it (26 of a-z and 2-7), or a name: " ALLOW_NAME,
		"derived from the secret at the first start, then kept",
		"The cluster: its id, or a name that the id is made from, the same on all nodes. "
		"Needed only where nodes join after the secret was changed. A change with old "
		"state is refused.",
		conf_parse_cluster, .off = 0, .kind = CONF_SCALAR, .where = BOTH},
	[CK_STATE_DIR] = {"state-dir", "DIR", NULL, "a path of at most 255 bytes", "/var/lib/weft",
		"Where the node's identity and what it knows of the mesh are kept.",
		conf_parse_path, FIELD(state_dir), .kind = CONF_SCALAR, .where = BOTH},
	[CK_RUN_DIR] = {"run-dir", "DIR", NULL,
		"a path of at most 90 bytes (a socket's name must fit)", "/run/weft",
		"Where the control socket weft.sock is made.", conf_parse_run_dir, FIELD(run_dir),
		.kind = CONF_SCALAR, .where = BOTH},
	[CK_LISTEN] = {"listen", "ADDR:PORT", NULL,
		"an address and a UDP port, IPv6 in brackets (quoted in "
		"YAML: \"[::]:6793\")",
		"[::]:6793",
		"Where peers reach this node. One UDP port carries everything; [::] serves IPv4 "
		"too.",
		conf_parse_listen, FIELD(listen), .kind = CONF_SCALAR, .where = BOTH},
	[CK_PEER] = {"peer", "HOST[:PORT]", NULL,
		"a host name or address, perhaps with a port (6793), IPv6 "
		"with a port in brackets",
		"none",
		"Another node to begin with. One that is up is enough: the others are learned from "
		"it.",
		conf_parse_peer, LISTOF(peers, npeers, struct conf_peer), .kind = CONF_LIST,
		.where = BOTH},
	[CK_ADVERTISE] = {"advertise", "ADDR[:PORT]", NULL,
		"an address of this node as peers see it, perhaps "
		"with a port (6793)",
		"the host's own addresses",
		"An endpoint to publish besides the host's own addresses, such as "
		"one behind a port forwarding.",
		conf_parse_advertise, LISTOF(advertise, nadvertise, struct ep), .kind = CONF_LIST,
		.where = BOTH},
	[CK_SECRET_FILE] = {"secret-file", "FILE", NULL,
		"the path of a file that weft key new wrote, at most "
		"255 bytes",
		NULL, "The cluster's secret. All nodes of the cluster have the same. Required.",
		conf_parse_path, FIELD(secret_file), .kind = CONF_SCALAR, .where = BOTH},
	[CK_CLUSTER_RANGE] = {"cluster-range", "CIDR", NULL,
		ALLOW_CIDR ", not a /0, multicast, loopback or "
			   "link-local",
		NULL,
		"Where the cluster's prefixes come from. Addresses in it never leave this host in "
		"clear: "
		"they go through the mesh or nowhere. Required with a prefix.",
		conf_parse_range, LISTOF(ranges, nranges, struct pfx), .kind = CONF_LIST,
		.where = BOTH},
	[CK_PREFIX] = {"prefix", "CIDR[@DEVICE]", NULL,
		"a CIDR inside a cluster range (or equal to an exit), or auto/LEN, "
		"perhaps with @ and the device that its addresses are on",
		"none: the node relays and gossips only",
		"A prefix of this node. Its first address is the node's own address in the mesh. "
		"With auto/LEN the node claims a block of that length from a cluster range (8 to "
		"30: "
		"IPv4, 31 to 126: IPv6) and keeps it across restarts.",
		conf_parse_prefix, LISTOF(prefixes, nprefixes, struct conf_prefix),
		.kind = CONF_LIST, .where = BOTH},
	[CK_ACCEPT] = {"accept", "CIDR", NULL, ALLOW_CIDR, "none",
		"Accept prefixes of peers inside this CIDR although they are outside the ranges.",
		conf_parse_any_pfx, LISTOF(accept, naccept, struct pfx), .kind = CONF_LIST,
		.where = BOTH},
	[CK_EXIT] = {"exit", "CIDR", NULL, ALLOW_CIDR ", outside the ranges", "none",
		"Declare that this node forwards traffic to this CIDR out of the mesh.",
		conf_parse_any_pfx, LISTOF(exits, nexits, struct pfx), .kind = CONF_LIST,
		.where = BOTH},
	[CK_TUN] = {"tun", "NAME", NULL, ALLOW_DEVICE, "weft0",
		"Name of the mesh's TUN device. The control segment's is this name with -c (its "
		"first 13 characters).",
		conf_parse_device, FIELD(tun), .kind = CONF_SCALAR, .where = BOTH},
	[CK_METRICS] = {"metrics", "ADDR:PORT", NULL, "an address and a TCP port, or off",
		"127.0.0.1:6794", "Where /healthz, /readyz and /metrics are served.",
		conf_parse_metrics, .off = 0, .kind = CONF_SCALAR, .where = BOTH},
	[CK_WORKERS] = {"workers", "N", "threads", "1 to 64, or auto", "auto: one for each core",
		"Threads that carry packets.", conf_parse_workers, FIELD(workers),
		.kind = CONF_SCALAR, .where = BOTH},
	[CK_SUITE] = {"suite", "SUITE", NULL, "auto, chacha20-poly1305 or aes-256-gcm",
		"auto: AES-256-GCM where both ends are fast at it, else ChaCha20-Poly1305",
		"The only cipher suite to offer.", conf_parse_suite, FIELD(suites),
		.kind = CONF_SCALAR, .where = BOTH},
	[CK_SOURCE_PORTS] = {"source-ports", "A-B", "UDP ports",
		"two ports, the lower one first and above 1023, "
		"or off",
		"off",
		"Source ports that workers may use of their own, so that the underlay spreads the "
		"load. Used "
		"towards a peer only after a probe showed that they reach it.",
		conf_parse_ports, .off = 0, .kind = CONF_SCALAR, .where = BOTH},
	[CK_RELAY] = {"relay", "yes|no", NULL, "yes or no", "yes",
		"Carry sealed packets between peers that cannot reach each other.",
		conf_parse_relay, FIELD(relay), .kind = CONF_SCALAR, .where = BOTH},
	[CK_MASQUERADE] = {"masquerade", "pods|yes|no", NULL, "pods, yes or no", "pods",
		"Whose packets to somewhere outside of the ranges get an address of this host when "
		"they leave the mesh here: those of prefixes without a device (pods), of all of "
		"the "
		"ranges (yes), or nobody's (no). They go in clear, those to the nodes' own "
		"addresses "
		"too.",
		conf_parse_masquerade, FIELD(masquerade), .kind = CONF_SCALAR, .where = BOTH},
	[CK_CHECKSUM] = {"checksum", "full|partial", NULL, "full or partial", "partial",
		"With full, every packet is handed to the pods with its checksum complete, for "
		"pods with XDP or "
		"packet sockets.",
		conf_parse_checksum, FIELD(checksum_full), .kind = CONF_SCALAR, .where = BOTH},
	[CK_DSCP] = {"dscp", "copy|N", NULL, "copy, or 0 to 63", "0",
		"DSCP of outer data packets: the inner packet's, or a fixed value.",
		conf_parse_dscp, FIELD(dscp), .kind = CONF_SCALAR, .where = BOTH},
	[CK_MARK] = {"mark", "MARK[/MASK]", NULL,
		"a 32-bit number not 0 and its mask (the same number if left "
		"out); the mask covers the mark and none of 0xffff, which other programs use",
		"0x10000000/0x10000000",
		"Mark of weft's own outer packets, so that they are not routed into the "
		"mesh.",
		conf_parse_mark, .off = 0, .kind = CONF_SCALAR, .where = BOTH},
	[CK_LOG_LEVEL] = {"log-level", "LEVEL", NULL, "error, warn, info or debug", "info",
		"How much is logged.", conf_parse_log_level, FIELD(log_level), .kind = CONF_SCALAR,
		.where = BOTH},
	[CK_CHECK] = {"check", NULL, NULL, "no value", NULL, "Check the configuration and exit.",
		conf_parse_true, FIELD(check), .kind = CONF_ACTION, .where = CONF_FLAG},
	[CK_DOWN] = {"down", NULL, NULL, "no value", NULL,
		"Remove all that weft ever installed in this host's kernel and exit. Needs no "
		"state.",
		conf_parse_true, FIELD(down), .kind = CONF_ACTION, .where = CONF_FLAG},
	[CK_HELP] = {"help", NULL, NULL, "no value", NULL, "Print this help and exit.",
		conf_parse_true, FIELD(help), .kind = CONF_ACTION, .where = CONF_FLAG},
	[CK_VERSION] = {"version", NULL, NULL, "no value", NULL, "Print the version and exit.",
		conf_parse_true, FIELD(version), .kind = CONF_ACTION, .where = CONF_FLAG},
	[CK_TUNE] = {"tune", "KEY=VALUE", NULL, "KEY=VALUE of at most 63 characters", NULL,
		"For tests.", conf_parse_tune, LISTOF(tune, ntune, char[64]), .kind = CONF_LIST,
		.where = CONF_FLAG | CONF_HIDDEN},
	[CK_SEGMENTS] = {"segments", NULL, NULL,
		"a list of entries with the keys vni, tun, ranges, prefixes", "none",
		"More isolated address spaces beside the default one.", NULL,
		LISTOF(segments, nsegments, struct conf_segment), .kind = CONF_SECTION,
		.where = CONF_YAML},
	[CK_BGP] = {"bgp", NULL, NULL, "leave it out", NULL, "BGP", NULL, .kind = CONF_SECTION,
		.where = CONF_YAML | CONF_HIDDEN},
	[CK_POLICY] = {"policy", NULL, NULL, "leave it out", NULL, "policy", NULL,
		.kind = CONF_SECTION, .where = CONF_YAML | CONF_HIDDEN},
};

const struct conf_seg_key conf_seg_keys[CONF_NSEG] = {
	[CS_VNI] = {"vni", "2 to 16777215 (0 is the control segment, 1 the default one)",
		"The segment's number, the same on all nodes. Required.", conf_parse_vni},
	[CS_TUN] = {"tun", ALLOW_DEVICE, "Name of its TUN device; weft and the VNI by default.",
		conf_parse_device},
	[CS_RANGES] = {"ranges", "a list of at most 16: " ALLOW_CIDR, "As cluster-range.",
		conf_parse_range},
	[CS_PREFIXES] = {"prefixes",
		"a list of at most 16 CIDR[@DEVICE] inside the segment's ranges, or auto/LEN",
		"As prefix.", conf_parse_prefix},
};

enum conf_id conf_find(const char *name, unsigned where)
{
	for (unsigned i = 0; i < CONF_NKEYS; i++)
		if ((conf_keys[i].where & where) && strcmp(conf_keys[i].name, name) == 0)
			return (enum conf_id)i;
	return CONF_NONE;
}

/* Changes, insertions, deletions and swaps of neighbours that make @a from @b (optimal string
 * alignment); more than @NEAR_LEN characters count as far away. */
#define NEAR_LEN 24
static unsigned distance(const char *a, const char *b)
{
	unsigned d[3][NEAR_LEN + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > NEAR_LEN || lb > NEAR_LEN)
		return NEAR_LEN;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned v = up[j - 1] + (a[i - 1] != b[j - 1]);
			if (up[j] + 1 < v)
				v = up[j] + 1;
			if (row[j - 1] + 1 < v)
				v = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				up2[j - 2] + 1 < v)
				v = up2[j - 2] + 1;
			row[j] = v;
		}
	}
	return d[la % 3][lb];
}

/* A name is near when a third of its letters, and at least one, would have to change. */
static void take_nearer(
	const char *name, const char *candidate, const char **best, unsigned *best_d)
{
	unsigned d = distance(name, candidate), most = (unsigned)strlen(candidate) / 3;

	if (d <= (most > 0 ? most : 1) && d < *best_d) {
		*best = candidate;
		*best_d = d;
	}
}

const char *conf_nearest(const char *name, unsigned where)
{
	const char *best = NULL;
	unsigned best_d = NEAR_LEN;

	for (unsigned i = 0; i < CONF_NKEYS; i++)
		if ((conf_keys[i].where & where) && !(conf_keys[i].where & CONF_HIDDEN))
			take_nearer(name, conf_keys[i].name, &best, &best_d);
	return best;
}

const char *conf_seg_nearest(const char *name)
{
	const char *best = NULL;
	unsigned best_d = NEAR_LEN;

	for (unsigned i = 0; i < CONF_NSEG; i++)
		take_nearer(name, conf_seg_keys[i].name, &best, &best_d);
	return best;
}
