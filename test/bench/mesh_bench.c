/* What a node keeps of each other one: a gossip core (with membership), an ownership core and a path
 * core are given N - 1 nodes of one prefix and two addresses each, as a peer would say them, until all
 * are up and routed to; then memory is read. The process holds nothing else per node, so what it grew
 * by is the control plane's share of a weftd's RSS. Sessions, the FIB and the kernel's routes are not
 * in it.
 * Usage: mesh_bench [NODES] */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/log.h"
#include "gossip.h"
#include "gossip_wire.h"
#include "owner.h"
#include "path.h"
#include "record.h"

static struct gossip *g;
static struct owner *o;
static struct path *p;
static struct cluster_id cluster = {{7}};
static ts_t now = {UINT64_C(1000000000000)};
static uint64_t routes, up;

static long rss_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];
	long kib = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static void must(int err)
{
	if (err >= 0)
		return;
	fprintf(stderr, "mesh_bench: error %d\n", err);
	exit(1);
}

static void drain(void)
{
	struct gossip_act a;
	struct owner_act oa;
	struct path_act pa;

	while (gossip_next(g, &a)) {
		routes += a.type == GOSSIP_ROUTE_ADD;
		up += a.type == GOSSIP_NODE_UP;
	}
	while (owner_next(o, &oa))
		;
	while (path_next(p, &pa))
		;
}

static void hear(const struct identity *id, const struct node_key *from, uint8_t type,
	const uint8_t *body, int len)
{
	static uint64_t seq;
	struct record r = {.type = type,
		.epoch = 1,
		.seq = ++seq,
		.cluster = cluster,
		.body = body,
		.body_len = (size_t)len};
	uint8_t msg[1 + LIM_RECORD_BYTES];

	must(len);
	msg[0] = GOSSIP_MSG_RECORDS;
	len = record_sign(id, &r, msg + 1);
	must(len);
	must(gossip_recv(g, from, msg, 1 + (size_t)len, now));
	drain();
}

/* Node @i tells all of itself, by way of @from. */
static void meet(unsigned i, const struct node_key *from)
{
	struct record_node node = {.version = "0.1.0"};
	struct gossip_prefix pfx = {.vni = VNI_DEFAULT, .right = RIGHT_CONFIG};
	struct ip ip = ip_v4(0x0a000000u + (i << 8));
	uint8_t seed[32] = {(uint8_t)i, (uint8_t)(i >> 8), 9}, body[RECORD_BODY_MAX];
	struct ep eps[2] = {{.ip = ip_v4(0xc0000000u + i), .port = 6793},
		{.ip = ip_v4(0xc6330000u + i), .port = 6793}};
	struct owner_prefix row = {.vni = VNI_DEFAULT, .right = OWNER_BY_CONFIG};
	struct identity id;

	identity_from_seed(seed, &id);
	must(pfx_make(&ip, 24, &pfx.pfx));
	row.pfx = pfx.pfx;
	snprintf(node.name, sizeof(node.name), "worker-%u.example", i);
	hear(&id, from, RECORD_NODE, body, record_node_encode(&node, body));
	hear(&id, from, RECORD_ENDPOINTS, body, record_endpoints_encode(eps, 2, body));
	hear(&id, from, RECORD_PREFIXES, body, record_prefixes_encode(&pfx, 1, body));
	must(owner_node_set(o, &id.pub, OWNER_ALIVE, &row, 1, now));
	must(path_node_set(
		p, &id.pub, &(struct path_node){.relay = true, .eps = eps, .neps = 2}, now));
	drain();
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
	struct gossip_cfg gc = {.name = "bench", .version = "0.1.0", .epoch = 1, .seed = 1};
	struct owner_cfg oc = {.seed = 1, .unix_secs = 1700000000};
	struct path_cfg pc = {.seed = 1, .relay = true, .has_v4 = true, .mtu = 1500};
	struct identity us, peer;
	long before;

	if (n < 2 || n > LIM_NODES || sodium_init() < 0)
		return 2;
	log_set_level(LOG_LVL_ERROR);
	identity_from_seed((const uint8_t[32]){1}, &us);
	identity_from_seed((const uint8_t[32]){2}, &peer);
	gc.id = &us;
	gc.cluster = cluster;
	oc.self = pc.self = us.pub;
	owner_tune_default(&oc.tune);
	path_tune_default(&pc.tune);
	g = gossip_new(&gc, now);
	o = owner_new(&oc, now);
	p = path_new(&pc, now);
	if (!g || !o || !p)
		return 1;
	must(gossip_link_up(g, &peer.pub, NULL, now));
	drain();
	before = rss_kib();
	for (unsigned i = 1; i < n; i++)
		meet(i, &peer.pub);
	if (up != n - 1 || routes != n - 1) {
		fprintf(stderr, "mesh_bench: %llu up and %llu routes of %u\n",
			(unsigned long long)up, (unsigned long long)routes, n - 1);
		return 1;
	}
	printf("%u nodes: RSS %ld KiB before, %ld KiB with all; %.2f KiB a node\n", n, before,
		rss_kib(), (double)(rss_kib() - before) / (n - 1));
	return 0;
}
