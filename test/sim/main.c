/* main.c - weft-sim: one life of a simulated cluster, one per seed of a range, or a measurement. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "invariants.h"
#include "sim.h"
#include "sim_fault.h"
#include "sim_measure.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_pairs.h"
#include "sim_sweep.h"
#include "truth.h"

static const char usage[] =
	"usage: weft-sim [options]\n"
	"  --nodes N           nodes of the cluster (5)\n"
	"  --ghosts N          members besides that only answer; for --measure idle --no-crypto "
	"(0)\n"
	"  --seed S            everything random comes from it (1)\n"
	"  --for 90s|30m|2h    virtual time to run at least (5m)\n"
	"  --faults PROFILE    what goes wrong (none)\n"
	"  --converge TIME     how long agreement may take after quiet (60s)\n"
	"  --routable TIME     how long a live, reachable prefix may have no route (10s)\n"
	"  --join TIME         nodes start within this time (2s)\n"
	"  --no-crypto         sessions are replaced by their authenticated result\n"
	"  --own-signatures    each node verifies each signature itself\n"
	"  --full-mesh         each node holds a session with every other\n"
	"  --no-claims         nodes claim no blocks of a range\n"
	"  --no-paths          no relays: nodes reach each other at their addresses alone\n"
	"  --data              each node sends a data packet a second to somebody\n"
	"  --trace             every event to standard error\n"
	"  --sweep A-B         one run per seed; tells which failed\n"
	"  --jobs N            runs at a time of a sweep (processors)\n"
	"  --journal FILE      a sweep notes there what is done, and goes on from it\n"
	"  --measure WHAT,...  figures instead of faults, one after another in one life; with "
	"--sweep\n"
	"                      over several seeds\n"
	"  --rows              figures as rows of a Markdown table\n"
	"  --ignore NAME,...   invariants that may fail\n"
	"  --plant N           a bug for tests: a number of enum sim_plant\n";

#define NAME_BYTES 16

struct options {
	struct sim_cfg cfg;
	dur_t length;
	bool has_length, sweep, rows;
	uint64_t from, to, jobs;
	const char *journal, *measure;
};

static int bad_usage(void)
{
	fputs(usage, stderr);
	fputs("profiles:", stderr);
	for (unsigned i = 0; sim_faults_name(i); i++)
		fprintf(stderr, " %s", sim_faults_name(i));
	fputs("\nmeasurements:", stderr);
	for (unsigned i = 0; measure_name(i); i++)
		fprintf(stderr, " %s", measure_name(i));
	fputs("\ninvariants:", stderr);
	for (unsigned i = 0; i < CHECK_COUNT; i++)
		fprintf(stderr, " %s", check_name(i));
	fputc('\n', stderr);
	return 2;
}

/* --- options --- */

static bool parse_time(const char *text, dur_t *out)
{
	char *end;
	double v = strtod(text, &end);
	double unit = 1;

	if (end == text || !(v >= 0))
		return false;
	if (strcmp(end, "ms") == 0)
		unit = 0.001;
	else if (strcmp(end, "m") == 0)
		unit = 60;
	else if (strcmp(end, "h") == 0)
		unit = 3600;
	else if (*end && strcmp(end, "s") != 0)
		return false;
	v *= unit * 1e9;
	if (!(v < 9e18))
		return false;
	*out = DUR_NS(v + 0.5);
	return true;
}

static bool parse_number(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static bool opt_nodes(struct options *o, const char *arg)
{
	uint64_t v;
	bool ok = parse_number(arg, &v) && v >= 1 && v <= LIM_NODES;

	o->cfg.nodes = (unsigned)v;
	return ok;
}

static bool opt_ghosts(struct options *o, const char *arg)
{
	uint64_t v;
	bool ok = parse_number(arg, &v) && v <= LIM_NODES;

	o->cfg.ghosts = (unsigned)v;
	return ok;
}

static bool opt_seed(struct options *o, const char *arg)
{
	return parse_number(arg, &o->cfg.seed);
}

static bool opt_for(struct options *o, const char *arg)
{
	o->has_length = true;
	return parse_time(arg, &o->length);
}

static bool opt_faults(struct options *o, const char *arg)
{
	o->cfg.profile = arg;
	for (unsigned i = 0; sim_faults_name(i); i++)
		if (strcmp(arg, sim_faults_name(i)) == 0)
			return true;
	return false;
}

static bool opt_converge(struct options *o, const char *arg)
{
	return parse_time(arg, &o->cfg.converge);
}

static bool opt_routable(struct options *o, const char *arg)
{
	return parse_time(arg, &o->cfg.routable);
}

static bool opt_join(struct options *o, const char *arg)
{
	return parse_time(arg, &o->cfg.join_spread);
}

static bool opt_no_claims(struct options *o, const char *arg)
{
	o->cfg.no_claims = true;
	return true;
}

static bool opt_no_paths(struct options *o, const char *arg)
{
	o->cfg.no_paths = true;
	return true;
}

static bool opt_no_crypto(struct options *o, const char *arg)
{
	o->cfg.no_crypto = true;
	return true;
}

static bool opt_own(struct options *o, const char *arg)
{
	o->cfg.own_signatures = true;
	return true;
}

static bool opt_full_mesh(struct options *o, const char *arg)
{
	o->cfg.full_mesh = true;
	return true;
}

static bool opt_data(struct options *o, const char *arg)
{
	o->cfg.data = true;
	return true;
}

static bool opt_trace(struct options *o, const char *arg)
{
	o->cfg.print_trace = true;
	return true;
}

static bool opt_sweep(struct options *o, const char *arg)
{
	char *end;

	o->sweep = true;
	o->from = strtoull(arg, &end, 10);
	return *arg >= '0' && *arg <= '9' && *end == '-' && parse_number(end + 1, &o->to) &&
	       o->from <= o->to && o->to - o->from < UINT32_MAX;
}

static bool opt_jobs(struct options *o, const char *arg)
{
	return parse_number(arg, &o->jobs) && o->jobs >= 1;
}

static bool opt_journal(struct options *o, const char *arg)
{
	o->journal = arg;
	return true;
}

/* The next of a list, without its comma. False: none is left, or it is too long. */
static bool next_name(const char **list, char *name, size_t size)
{
	size_t len = strcspn(*list, ",");

	if (len == 0 || len >= size)
		return false;
	memcpy(name, *list, len);
	name[len] = '\0';
	*list += len + ((*list)[len] == ',');
	return true;
}

static bool opt_measure(struct options *o, const char *arg)
{
	char name[NAME_BYTES];

	o->measure = arg;
	while (next_name(&arg, name, sizeof(name)))
		if (!measure_known(name))
			return false;
	return *arg == '\0' && *o->measure;
}

static bool opt_rows(struct options *o, const char *arg)
{
	o->rows = true;
	return true;
}

static bool ignore_one(struct options *o, const char *name)
{
	for (unsigned i = 0; i < CHECK_COUNT; i++)
		if (strcmp(name, check_name(i)) == 0) {
			o->cfg.checks |= 1u << i;
			return true;
		}
	return false;
}

static bool opt_ignore(struct options *o, const char *arg)
{
	char name[NAME_BYTES];
	bool any = false;

	while (next_name(&arg, name, sizeof(name))) {
		if (!ignore_one(o, name))
			return false;
		any = true;
	}
	return any && *arg == '\0';
}

static bool opt_plant(struct options *o, const char *arg)
{
	uint64_t v;
	bool ok = parse_number(arg, &v) && v < PLANT_COUNT;

	o->cfg.plant = ok ? (enum sim_plant)v : PLANT_NONE;
	return ok;
}

static const struct {
	const char *name;
	bool has_arg;
	bool (*take)(struct options *o, const char *arg);
} option_table[] = {
	{"nodes", true, opt_nodes},
	{"ghosts", true, opt_ghosts},
	{"seed", true, opt_seed},
	{"for", true, opt_for},
	{"faults", true, opt_faults},
	{"converge", true, opt_converge},
	{"routable", true, opt_routable},
	{"join", true, opt_join},
	{"no-crypto", false, opt_no_crypto},
	{"no-claims", false, opt_no_claims},
	{"no-paths", false, opt_no_paths},
	{"own-signatures", false, opt_own},
	{"full-mesh", false, opt_full_mesh},
	{"data", false, opt_data},
	{"trace", false, opt_trace},
	{"sweep", true, opt_sweep},
	{"jobs", true, opt_jobs},
	{"journal", true, opt_journal},
	{"measure", true, opt_measure},
	{"rows", false, opt_rows},
	{"ignore", true, opt_ignore},
	{"plant", true, opt_plant},
};
#define OPTIONS (sizeof(option_table) / sizeof(option_table[0]))

static bool parse_options(struct options *o, int argc, char **argv)
{
	struct option longs[OPTIONS + 1] = {{0}};
	int opt;

	for (size_t i = 0; i < OPTIONS; i++)
		longs[i] = (struct option){
			option_table[i].name, option_table[i].has_arg, NULL, (int)i};
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1)
		if (opt < 0 || opt >= (int)OPTIONS || !option_table[opt].take(o, optarg))
			return false;
	return optind == argc;
}

/* --- one life --- */

static double wall_secs(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double peak_mib(void)
{
	struct rusage u;

	return getrusage(RUSAGE_SELF, &u) == 0 ? (double)u.ru_maxrss / 1024 : 0;
}

static void print_calls(const struct sim *s)
{
	uint64_t sent = 0, back = 0, relayed = 0;
	int64_t worst[2] = {0, 0};

	for (unsigned i = 0; i < s->cfg.nodes; i++) {
		const struct sim_node *n = s->nodes[i];

		sent += n->flow.sent;
		back += n->flow.back;
		relayed += n->relayed;
		for (int k = 0; k < 2; k++)
			if (n->flow.worst[k].ns > worst[k])
				worst[k] = n->flow.worst[k].ns;
	}
	if (sent)
		printf("calls         %" PRIu64 " sent, %" PRIu64 " answered, %" PRIu64
		       " datagrams relayed; longest silence with a way %.0f s, with one through "
		       "others %.0f s\n",
			sent, back, relayed, (double)worst[0] / 1e9, (double)worst[1] / 1e9);
}

static void print_pairs(const struct sim *s)
{
	const struct pairs_worst *w = checks_worst(s);

	printf("pairs         longest with different owners %u s, by others %u s, with one claim "
	       "%u s, by others %u s,\n              without a route %u s, by others %u s\n",
		w->owners[0], w->owners[1], w->claims[0], w->claims[1], w->unroutable[0],
		w->unroutable[1]);
}

static void print_result(const struct sim *s, const struct sim_result *r, double wall)
{
	struct sim_net_stats n;
	double virt = (double)s->now.ns / 1e9;

	sim_net_stats(s->net, &n);
	printf("nodes %u, seed %" PRIu64 ", faults %s%s\n", s->cfg.nodes, s->cfg.seed,
		s->cfg.profile, s->cfg.no_crypto ? ", no crypto" : "");
	printf("time          %.0f s virtual, %.1f s wall (%.0f to 1), %" PRIu64
	       " events, %.0f MiB at most\n",
		virt, wall, virt / (wall > 0 ? wall : 1e-9), s->events, peak_mib());
	printf("join          %.1f s from the last start to agreement\n", r->join);
	if (r->quiets)
		printf("agreement     %.1f s after quiet (median of %u), %.1f s at worst\n",
			r->converge_median, r->quiets, r->converge_worst);
	if (r->idle.secs > 0)
		printf("idle node     %.1f datagrams/s, %.0f bytes/s sent with outer headers "
		       "(busiest %.0f)\n",
			r->idle.msgs, r->idle.bytes, r->idle.worst);
	print_calls(s);
	print_pairs(s);
	printf("datagrams     %" PRIu64 " sent (%" PRIu64 " bytes), %" PRIu64
	       " of handshakes, %" PRIu64 " lost, %" PRIu64 " cut,\n              %" PRIu64
	       " filtered, %" PRIu64 " too big, %" PRIu64 " to nowhere, %" PRIu64
	       " doubled, %" PRIu64 " corrupted, %" PRIu64 " replayed\n",
		n.sent, n.bytes, n.handshakes, n.lost, n.cut, n.filtered, n.too_big, n.nowhere,
		n.duplicated, n.corrupted, n.replayed);
	printf("signatures    %" PRIu64 " verified%s\n", truth_verified(s->truth),
		s->cfg.own_signatures ? " (each node on its own: not counted)" : "");
	printf("trace         %016" PRIx64 "\n", s->digest);
}

static int run_once(const struct options *o)
{
	struct sim *s = sim_new(&o->cfg);
	struct sim_result r;
	double begin = wall_secs();
	bool ok;

	if (!s) {
		fputs("weft-sim: no memory\n", stderr);
		return 1;
	}
	ok = sim_live(s, o->length, &r);
	if (ok)
		print_result(s, &r, wall_secs() - begin);
	else
		sim_report(s);
	sim_free(s);
	return !ok;
}

/* --- sweeps and measurements --- */

#define COMMANDS 10 /* of those that failed */

static int run_sweep(const struct options *o)
{
	struct sweep w = {.cfg = o->cfg,
		.length = o->length,
		.from = o->from,
		.to = o->to,
		.jobs = (unsigned)o->jobs,
		.journal = o->journal,
		.out = stdout};
	struct sweep_result r;
	char command[SIM_COMMAND];
	int err = sim_sweep(&w, &r);

	if (err == ERR_CONFLICT)
		fprintf(stderr, "weft-sim: %s is the journal of other runs\n", o->journal);
	else if (err == ERR_VERSION)
		fprintf(stderr,
			"weft-sim: %s was begun by another build of weft-sim; name another "
			"--journal, or remove it to begin anew\n",
			o->journal);
	else if (err)
		fprintf(stderr, "weft-sim: %s\n", err_str(err));
	printf("%" PRIu64 " seeds run, %" PRIu64 " known from before, %" PRIu64 " failed%s", r.done,
		r.known, r.failed, r.failed ? ":" : "");
	for (uint64_t i = 0; i < r.failed; i++)
		printf(" %" PRIu64, r.seeds[i]);
	putchar('\n');
	for (uint64_t i = 0; i < r.failed && i < COMMANDS; i++) {
		w.cfg.seed = r.seeds[i];
		sim_command(&w.cfg, w.length, NULL, command, sizeof(command));
		printf("again with: %s\n", command);
	}
	free(r.seeds);
	return err || r.failed;
}

static void print_figures(const struct options *o, struct figures *f, double wall)
{
	for (size_t i = 0; i < f->count; i++) {
		struct figure *x = &f->f[i];

		printf(o->rows ? "| %s | %u | %.2f %s | %.2f %s | %zu |\n"
			       : "%-50s %u nodes  median %.2f %s, worst %.2f %s, of %zu\n",
			x->name, o->cfg.nodes + o->cfg.ghosts, figure_median(x), x->unit,
			figure_worst(x), x->unit, x->count);
	}
	if (!o->rows)
		printf("%.1f s wall, %.0f MiB at most\n", wall, peak_mib());
	fflush(stdout);
}

/* Counting is the purpose: what else fails a run must not end it. */
#define MEASURE_OFF                                                                                \
	(1u << CHECK_FALSE_DOWN | 1u << CHECK_FALSE_DEATH | 1u << CHECK_ROUTABLE |                 \
		1u << CHECK_OWNERS)

/* All that is asked for, in one life. What a long one has shown is told as it goes. */
static bool measure_life(const struct options *o, struct sim *s, struct figures *f, double begin)
{
	const char *left = o->measure;
	char name[NAME_BYTES];
	bool several = strchr(left, ',') != NULL;

	while (next_name(&left, name, sizeof(name))) {
		if (!measure_run(s, name, o->has_length ? o->length : measure_length(name), f)) {
			sim_report(s);
			return false;
		}
		if (several)
			fprintf(stderr, "seed %" PRIu64 ": %s done, %.0f s virtual, %.0f s wall\n",
				o->cfg.seed, name, (double)s->now.ns / 1e9, wall_secs() - begin);
		if (several && !o->rows)
			print_figures(o, f, wall_secs() - begin);
	}
	return true;
}

static int run_measure(struct options *o)
{
	struct figures f = {0};
	double begin = wall_secs();
	bool ok = true;

	o->cfg.checks |= MEASURE_OFF;
	if (!o->sweep)
		o->from = o->to = o->cfg.seed;
	for (o->cfg.seed = o->from; ok && o->cfg.seed <= o->to; o->cfg.seed++) {
		struct sim *s = sim_new(&o->cfg);

		if (s) {
			s->measure = o->measure;
			s->length = o->has_length ? o->length : DUR_NS(0);
		}
		ok = s && measure_life(o, s, &f, begin);
		sim_free(s);
	}
	print_figures(o, &f, wall_secs() - begin);
	figures_free(&f);
	return !ok;
}

#define HUGE_PAGES_NODES 200

/* Memory of thousands of nodes is walked through all the time: with small pages, finding these costs
 * as much as the work. glibc takes this wish from the environment only. */
static void ask_for_huge_pages(char **argv)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (len <= 0 || getenv("GLIBC_TUNABLES") ||
		setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 1) != 0)
		return;
	path[len] = '\0';
	(void)execv(path, argv);
}

int main(int argc, char **argv)
{
	struct options o = {.length = DUR_SEC(300)};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	o.jobs = cpus > 0 ? (uint64_t)cpus : 1;
	sim_cfg_default(&o.cfg);
	if (!parse_options(&o, argc, argv) ||
		(o.cfg.ghosts &&
			(!o.cfg.no_crypto || !o.measure || o.cfg.nodes + o.cfg.ghosts > LIM_NODES)))
		return bad_usage();
	if (o.cfg.nodes >= HUGE_PAGES_NODES)
		ask_for_huge_pages(argv);
	if (o.measure)
		return run_measure(&o);
	return o.sweep ? run_sweep(&o) : run_once(&o);
}
