/* weft-bgpsim: clusters joined by links, in virtual time (docs/simulator.md). */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bgpsim.h"

static int usage(FILE *f)
{
	fputs("usage: weft-bgpsim [OPTION]...\n"
	      "  --clusters N  --nodes N  --gateways N    20, 5 in each, 2 of these\n"
	      "  --shape line|ring|tree|mesh              ring\n"
	      "  --transit none|some|all                  none\n"
	      "  --split             each link is held by one gateway of each side\n"
	      "  --faults LIST       of node gateway stop link path reset flap, or all, or none "
	      "(all)\n"
	      "  --every N           each N-th fault of a kind\n"
	      "  --seed A[-B]        1\n"
	      "  --plant N           a bug (enum bgpsim_plant)\n"
	      "  --trace             print each event\n"
	      "Exit status: 1 when something does not hold.\n",
		f);
	return f == stderr ? 2 : 0;
}

static void trace(const char *line)
{
	puts(line);
}

static int index_of(const char *const *names, unsigned n, const char *text)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(names[i], text) == 0)
			return (int)i;
	fprintf(stderr, "weft-bgpsim: what is %s?\n", text);
	exit(2);
}

static unsigned faults_of(char *list)
{
	static const char *const names[] = {
		"node", "gateway", "stop", "link", "path", "reset", "flap", "all", "none"};
	unsigned set = 0;
	char *one;

	while ((one = strsep(&list, ","))) {
		int i = index_of(names, 9, one);

		set |= i == 7 ? BGPSIM_F_ALL : i == 8 ? 0 : 1u << i;
	}
	return set;
}

static double secs(dur_t d)
{
	return (double)d.ns / 1e9;
}

static void print(const struct bgpsim_cfg *c, const struct bgpsim_result *r)
{
	printf("seed %" PRIu64 ": %s, %u clusters of %u nodes, %u gateways each, %u links, %u "
	       "sessions, transit %s%s\n",
		c->seed, bgpsim_shape_str(c->shape), c->clusters, c->nodes, c->gateways, r->links,
		r->sessions, (const char *const[]){"none", "some", "all"}[c->transit],
		c->split ? ", split" : "");
	printf("  start: right after %.1f s, %" PRIu64 " UPDATEs\n", secs(r->start),
		r->start_updates);
	for (unsigned i = 0; i < BGPSIM_KINDS; i++) {
		const struct bgpsim_kind *k = &r->kinds[i];

		if (k->count)
			printf("  %-24s %4u: right after %.1f s (worst %.1f), repaired %.1f "
			       "(%.1f); "
			       "UPDATEs %.0f (worst %" PRIu64 ")\n",
				k->name, k->count, secs(k->fail_median), secs(k->fail_max),
				secs(k->repair_median), secs(k->repair_max),
				(double)k->updates_sum / k->count, k->updates_max);
	}
	printf("  messages: %" PRIu64 " (OPEN %" PRIu64 ", UPDATE %" PRIu64
	       ", NOTIFICATION %" PRIu64 ", KEEPALIVE %" PRIu64
	       "); longest circle %.1f s; %.0f s of virtual time, %" PRIu64
	       " events, digest %016" PRIx64 "\n",
		r->messages[0], r->messages[1], r->messages[2], r->messages[3], r->messages[4],
		secs(r->loop_max), (double)r->end.ns / 1e9, r->events, r->digest);
	if (!r->ok)
		printf("  FAILED %s\n", r->why);
}

int main(int argc, char **argv)
{
	static const char *const shapes[] = {"line", "ring", "tree", "mesh"}, *const transits[] = {
										      "none",
										      "some",
										      "all"};
	static const struct option options[] = {{"clusters", 1, NULL, 'c'}, {"nodes", 1, NULL, 'n'},
		{"gateways", 1, NULL, 'g'}, {"shape", 1, NULL, 's'}, {"transit", 1, NULL, 't'},
		{"split", 0, NULL, 'S'}, {"faults", 1, NULL, 'f'}, {"every", 1, NULL, 'e'},
		{"seed", 1, NULL, 'r'}, {"plant", 1, NULL, 'p'}, {"trace", 0, NULL, 'v'},
		{"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct bgpsim_result r;
	struct bgpsim_cfg c;
	uint64_t last = 1;
	char *end;
	bool bad = false;
	int o;

	bgpsim_default(&c);
	while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (o == 'c')
			c.clusters = (unsigned)atoi(optarg);
		else if (o == 'n')
			c.nodes = (unsigned)atoi(optarg);
		else if (o == 'g')
			c.gateways = (unsigned)atoi(optarg);
		else if (o == 's')
			c.shape = (enum bgpsim_shape)index_of(shapes, 4, optarg);
		else if (o == 't')
			c.transit = (enum bgpsim_transit)index_of(transits, 3, optarg);
		else if (o == 'S')
			c.split = true;
		else if (o == 'f')
			c.faults = faults_of(optarg);
		else if (o == 'e')
			c.every = (unsigned)atoi(optarg);
		else if (o == 'p')
			c.plant = (enum bgpsim_plant)atoi(optarg);
		else if (o == 'v')
			c.trace = trace;
		else if (o == 'r') {
			c.seed = strtoull(optarg, &end, 10);
			last = *end == '-' ? strtoull(end + 1, NULL, 10) : c.seed;
		} else
			return usage(o == 'h' ? stdout : stderr);
	}
	for (; c.seed <= last; c.seed++) {
		if (bgpsim_run(&c, &r) != 0) {
			fputs("weft-bgpsim: no such clusters, or no memory\n", stderr);
			return 2;
		}
		print(&c, &r);
		bad |= !r.ok;
	}
	return bad;
}
