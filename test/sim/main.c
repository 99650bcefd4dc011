/* main.c - weft-sim: one life of a simulated cluster, or one per seed of a range. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "weft/bounds.h"
#include "sim.h"
#include "sim_fault.h"
#include "sim_net.h"
#include "truth.h"

static const char usage[] =
	"usage: weft-sim [options]\n"
	"  --nodes N           nodes of the cluster (5)\n"
	"  --seed S            everything random comes from it (1)\n"
	"  --for 90s|30m|2h    virtual time to run at least (5m)\n"
	"  --faults PROFILE    what goes wrong (none)\n"
	"  --converge TIME     how long agreement may take after quiet (60s)\n"
	"  --join TIME         nodes start within this time (2s)\n"
	"  --no-crypto         sessions are replaced by their authenticated result\n"
	"  --own-signatures    each node verifies each signature itself\n"
	"  --data              each node sends a data packet a second to somebody\n"
	"  --sweep A-B         one run per seed; stops at the first that fails\n"
	"  --trace             every event to standard error\n"
	"profiles:";

static int bad_usage(void)
{
	fputs(usage, stderr);
	for (unsigned i = 0; sim_faults_name(i); i++)
		fprintf(stderr, " %s", sim_faults_name(i));
	fputc('\n', stderr);
	return 2;
}

static bool parse_time(const char *text, dur_t *out)
{
	char *end;
	double v = strtod(text, &end);
	double unit = 1;

	if (end == text || v < 0)
		return false;
	if (strcmp(end, "ms") == 0)
		unit = 0.001;
	else if (strcmp(end, "m") == 0)
		unit = 60;
	else if (strcmp(end, "h") == 0)
		unit = 3600;
	else if (*end && strcmp(end, "s") != 0)
		return false;
	*out = DUR_NS(v * unit * 1e9);
	return true;
}

static bool parse_number(const char *text, uint64_t *out)
{
	char *end;

	*out = strtoull(text, &end, 10);
	return end != text && *end == '\0';
}

static bool parse_range(const char *text, uint64_t *from, uint64_t *to)
{
	char *end;

	*from = strtoull(text, &end, 10);
	return end != text && *end == '-' && parse_number(end + 1, to) && *from <= *to;
}

static double wall_secs(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void print_result(const struct sim *s, const struct sim_result *r, double wall)
{
	struct sim_net_stats n;
	double virt = (double)s->now.ns / 1e9;

	sim_net_stats(s->net, &n);
	printf("nodes %u, seed %llu, faults %s%s\n", s->cfg.nodes, (unsigned long long)s->cfg.seed,
		s->cfg.profile, s->cfg.no_crypto ? ", no crypto" : "");
	printf("time          %.0f s virtual, %.1f s wall (%.0f to 1), %llu events\n", virt, wall,
		virt / (wall > 0 ? wall : 1e-9), (unsigned long long)s->events);
	printf("join          %.1f s from the last start to agreement and full mesh\n", r->join);
	if (r->quiets)
		printf("agreement     %.1f s after quiet (median of %u), %.1f s at worst\n",
			r->converge_median, r->quiets, r->converge_worst);
	if (r->idle_secs > 0)
		printf("idle node     %.1f datagrams/s, %.0f bytes/s sent with outer headers "
		       "(busiest "
		       "%.0f)\n",
			r->idle_msgs, r->idle_bytes, r->idle_worst);
	printf("datagrams     %llu sent (%llu bytes), %llu of handshakes, %llu lost, %llu cut, "
	       "%llu to "
	       "nowhere,\n              %llu doubled, %llu corrupted, %llu replayed\n",
		(unsigned long long)n.sent, (unsigned long long)n.bytes,
		(unsigned long long)n.handshakes, (unsigned long long)n.lost,
		(unsigned long long)n.cut, (unsigned long long)n.nowhere,
		(unsigned long long)n.duplicated, (unsigned long long)n.corrupted,
		(unsigned long long)n.replayed);
	printf("signatures    %llu verified%s\n", (unsigned long long)truth_verified(s->truth),
		s->cfg.own_signatures ? " (each node on its own: not counted)" : "");
	printf("trace         %016llx\n", (unsigned long long)s->digest);
}

/* One life; 0, or 1 if an invariant failed. */
static int run(const struct sim_cfg *cfg, dur_t length, bool brief)
{
	struct sim *s = sim_new(cfg);
	struct sim_result r;
	double begin = wall_secs(), wall;
	bool ok;

	if (!s) {
		fprintf(stderr, "weft-sim: no memory\n");
		return 1;
	}
	ok = sim_live(s, length, &r);
	wall = wall_secs() - begin;
	if (!ok)
		sim_report(s);
	else if (brief)
		printf("seed %llu fine: join %.1f s, agreement %.1f s at worst, %.1f s wall, "
		       "%016llx\n",
			(unsigned long long)cfg->seed, r.join, r.converge_worst, wall,
			(unsigned long long)s->digest);
	else
		print_result(s, &r, wall);
	fflush(stdout);
	sim_free(s);
	return !ok;
}

static bool known_profile(const char *name)
{
	for (unsigned i = 0; sim_faults_name(i); i++)
		if (strcmp(name, sim_faults_name(i)) == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	enum { NODES, SEED, FOR, FAULTS, CONVERGE, JOIN, NO_CRYPTO, OWN, DATA, SWEEP, TRACE };
	static const struct option options[] = {{"nodes", 1, NULL, NODES}, {"seed", 1, NULL, SEED},
		{"for", 1, NULL, FOR}, {"faults", 1, NULL, FAULTS}, {"converge", 1, NULL, CONVERGE},
		{"join", 1, NULL, JOIN}, {"no-crypto", 0, NULL, NO_CRYPTO},
		{"own-signatures", 0, NULL, OWN}, {"data", 0, NULL, DATA},
		{"sweep", 1, NULL, SWEEP}, {"trace", 0, NULL, TRACE}, {NULL, 0, NULL, 0}};
	uint64_t from = 0, to = 0, v;
	dur_t length = DUR_SEC(300);
	struct sim_cfg cfg;
	bool ok = true, sweep = false;
	int opt;

	sim_cfg_default(&cfg);
	while (ok && (opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case NODES:
			ok = parse_number(optarg, &v) && v >= 1 && v <= LIM_NODES;
			cfg.nodes = (unsigned)v;
			break;
		case SEED:
			ok = parse_number(optarg, &cfg.seed);
			break;
		case FOR:
			ok = parse_time(optarg, &length);
			break;
		case FAULTS:
			cfg.profile = optarg;
			ok = known_profile(optarg);
			break;
		case CONVERGE:
			ok = parse_time(optarg, &cfg.converge);
			break;
		case JOIN:
			ok = parse_time(optarg, &cfg.join_spread);
			break;
		case NO_CRYPTO:
			cfg.no_crypto = true;
			break;
		case OWN:
			cfg.own_signatures = true;
			break;
		case DATA:
			cfg.data = true;
			break;
		case SWEEP:
			sweep = true;
			ok = parse_range(optarg, &from, &to);
			break;
		case TRACE:
			cfg.print_trace = true;
			break;
		default:
			ok = false;
		}
	}
	if (!ok || optind != argc)
		return bad_usage();
	if (!sweep)
		return run(&cfg, length, false);
	for (cfg.seed = from; cfg.seed <= to; cfg.seed++)
		if (run(&cfg, length, true))
			return 1;
	return 0;
}
