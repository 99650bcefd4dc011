/* sim_measure.c - measurements. In: a simulation that has not begun. Out: samples of figures. Each
 * begins with a cluster that has joined and rested. What is counted is counted in the nodes' own
 * cores: what they know, whom they take for dead, what their hosts sent. */
#include "sim_measure.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "gossip.h"
#include "invariants.h"
#include "sim.h"
#include "sim_ghost.h"
#include "sim_net.h"
#include "sim_node.h"

#define REST         DUR_SEC(30)  /* between joining and measuring */
#define GHOST_REST   DUR_SEC(300) /* longer than an idle session lasts */
#define PATIENCE     DUR_SEC(120) /* for what is timed: longer counts as so long */
#define FINE_STEP    DUR_MS(20)
#define COARSE_STEP  DUR_MS(100)
#define ROUNDS       10 /* changes, deaths per run */
#define ROUND_REST   DUR_SEC(10)
#define MEASURE_LOSS SIM_HEALTHY_LOSS
#define SLOW_SHARE   10 /* one node in so many is slow */
#define SLOW_STALL   500
#define SLOW_EVERY   3000 /* at most, ms from one stall to the next */
#define CHANGES      200  /* records changed on each side of a partition */

/* --- figures --- */

void figures_free(struct figures *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->f[i].v);
	*f = (struct figures){0};
}

static void sample(struct figures *out, const char *name, const char *unit, double value)
{
	struct figure *f = NULL;

	for (size_t i = 0; i < out->count && !f; i++)
		if (strcmp(out->f[i].name, name) == 0)
			f = &out->f[i];
	if (!f) {
		assert(out->count < FIGURES_MAX);
		f = &out->f[out->count++];
		*f = (struct figure){.name = name, .unit = unit};
	}
	if (f->count == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 64;
		f->v = realloc(f->v, f->cap * sizeof(*f->v));
		if (!f->v)
			abort();
	}
	f->v[f->count++] = value;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

double figure_median(struct figure *f)
{
	if (f->count == 0)
		return 0;
	qsort(f->v, f->count, sizeof(*f->v), by_value);
	return f->v[f->count / 2];
}

double figure_worst(struct figure *f)
{
	double worst = 0;

	for (size_t i = 0; i < f->count; i++)
		worst = f->v[i] > worst ? f->v[i] : worst;
	return worst;
}

/* --- parts --- */

static double secs(dur_t d)
{
	return (double)d.ns / 1e9;
}

static bool rested(struct sim *s)
{
	return (s->joined || sim_join(s) >= 0) && sim_run(s, ts_add(s->now, REST));
}

static struct sim_node *any_node(struct sim *s)
{
	return s->nodes[prng_below(&s->prng, s->cfg.nodes)];
}

/* A prefix more than before, or one less: such that two rounds never publish the same. */
static void change(struct sim_node *n)
{
	struct gossip_prefix v[SIM_PREFIXES];
	size_t count = n->nprefixes;

	memcpy(v, n->prefixes, sizeof(v));
	if (count == SIM_PREFIXES) {
		count = 1;
	} else {
		struct ip ip =
			ip_v4(0x0b000000u + ((n->index * SIM_PREFIXES + (uint32_t)count) << 4));

		v[count] = v[0];
		(void)pfx_make(&ip, 28, &v[count].pfx);
		count++;
	}
	sim_node_set_prefixes(n, v, count);
}

/* --- join --- */

static bool run_join(struct sim *s, dur_t length, struct figures *out)
{
	ts_t begin = s->now;

	if (sim_join(s) < 0)
		return false;
	sample(out, "all joined and agree, from the first start", "s", secs(ts_sub(s->now, begin)));
	return true;
}

/* --- spread --- */

/* How many have heard what @n publishes now? */
static unsigned have_heard(struct sim *s, const struct sim_node *n)
{
	struct gossip_node_info i;
	unsigned count = 0;

	for (unsigned k = 0; k < s->cfg.nodes; k++)
		count += s->nodes[k]->running &&
			 gossip_node_get(s->nodes[k]->gossip, &n->id.pub, &i) == 0 &&
			 i.nprefixes == n->nprefixes + n->nclaims;
	return count;
}

static bool spread_once(struct sim *s, struct figures *out)
{
	struct sim_node *n = any_node(s);
	ts_t begin = s->now;
	double most = -1, all = -1;

	change(n);
	while (all < 0 && ts_before(s->now, ts_add(begin, PATIENCE))) {
		unsigned heard;

		if (!sim_run(s, ts_add(s->now, FINE_STEP)))
			return false;
		heard = have_heard(s, n);
		if (most < 0 && heard * 100ul >= s->cfg.nodes * 99ul)
			most = secs(ts_sub(s->now, begin));
		if (heard == s->cfg.nodes)
			all = secs(ts_sub(s->now, begin));
	}
	sample(out, "a changed record known by 99 %", "s", most < 0 ? secs(PATIENCE) : most);
	sample(out, "a changed record known by all", "s", all < 0 ? secs(PATIENCE) : all);
	return true;
}

static bool run_spread(struct sim *s, dur_t length, struct figures *out)
{
	bool ok = rested(s);

	for (unsigned i = 0; ok && i < ROUNDS; i++)
		ok = spread_once(s, out) && sim_run(s, ts_add(s->now, ROUND_REST));
	return ok;
}

/* --- death --- */

static bool holds_for_alive(const struct sim_node *n, const struct node_key *key)
{
	struct gossip_node_info i;

	return gossip_node_get(n->gossip, key, &i) == 0 && sim_node_counts(&i);
}

static bool death_once(struct sim *s, struct figures *out)
{
	struct sim_node *victim = any_node(s);
	struct node_key key = victim->id.pub;
	bool *knows = calloc(s->cfg.nodes, sizeof(*knows));
	unsigned left = s->cfg.nodes - 1;
	ts_t begin = s->now;
	bool ok = true;

	if (!knows)
		abort();
	sim_node_crash(victim, DISK_KEPT);
	while (ok && left && ts_before(s->now, ts_add(begin, PATIENCE))) {
		ok = sim_run(s, ts_add(s->now, COARSE_STEP));
		for (unsigned k = 0; ok && k < s->cfg.nodes; k++) {
			if (k == victim->index || knows[k] || holds_for_alive(s->nodes[k], &key))
				continue;
			knows[k] = true;
			left--;
			sample(out, "a silent node declared dead, at each other node", "s",
				secs(ts_sub(s->now, begin)));
		}
	}
	for (unsigned k = 0; k < left; k++)
		sample(out, "a silent node declared dead, at each other node", "s", secs(PATIENCE));
	free(knows);
	sim_node_start_at(victim, s->now);
	return ok;
}

static bool run_death(struct sim *s, dur_t length, struct figures *out)
{
	bool ok = s->cfg.nodes > 1 && rested(s);

	for (unsigned i = 0; ok && i < ROUNDS; i++)
		ok = death_once(s, out) && sim_run(s, ts_add(s->now, REST));
	return ok;
}

/* --- loss and slow nodes --- */

static void clear_deaths(struct sim *s)
{
	for (unsigned i = 0; i < s->cfg.nodes; i++)
		s->nodes[i]->taken_for_dead = 0;
}

static bool is_slow(unsigned index)
{
	return index % SLOW_SHARE == SLOW_SHARE - 1;
}

static void count_deaths(
	struct sim *s, struct figures *out, bool slow, const char *nodes, const char *times)
{
	double count = 0, told = 0;

	for (unsigned i = 0; i < s->cfg.nodes; i++) {
		if (slow != is_slow(i))
			continue;
		count += s->nodes[i]->taken_for_dead > 0;
		told += (double)s->nodes[i]->taken_for_dead;
	}
	sample(out, nodes, "nodes", count);
	sample(out, times, "times", told);
}

static bool run_loss(struct sim *s, dur_t length, struct figures *out)
{
	struct sim_link link = *sim_net_base();
	double count = 0, told = 0;

	if (!rested(s))
		return false;
	link.loss = MEASURE_LOSS;
	sim_net_link(s->net, &link);
	clear_deaths(s);
	if (!sim_run(s, ts_add(s->now, length)))
		return false;
	sim_net_link(s->net, sim_net_base());
	for (unsigned i = 0; i < s->cfg.nodes; i++) {
		count += s->nodes[i]->taken_for_dead > 0;
		told += (double)s->nodes[i]->taken_for_dead;
	}
	sample(out, "healthy nodes declared dead, 5 % loss", "nodes", count);
	sample(out, "and how often, by whomever", "times", told);
	return true;
}

static bool run_slow(struct sim *s, dur_t length, struct figures *out)
{
	ts_t end, *next = calloc(s->cfg.nodes, sizeof(*next));
	bool ok = rested(s);

	if (!next)
		abort();
	end = ts_add(s->now, length);
	clear_deaths(s);
	while (ok && ts_before(s->now, end)) {
		for (unsigned i = 0; i < s->cfg.nodes; i++) {
			if (!is_slow(i) || !ts_due(next[i], s->now))
				continue;
			sim_node_stall(s->nodes[i], ts_add(s->now, DUR_MS(SLOW_STALL)));
			next[i] = ts_add(
				s->now, DUR_MS(SLOW_STALL + (int64_t)prng_below(&s->prng,
								    SLOW_EVERY - SLOW_STALL + 1)));
		}
		ok = sim_run(s, ts_add(s->now, COARSE_STEP));
	}
	free(next);
	if (!ok)
		return false;
	count_deaths(s, out, false, "fast nodes declared dead, a tenth of the others slow",
		"fast ones, how often");
	count_deaths(s, out, true, "slow nodes declared dead", "slow ones, how often");
	return true;
}

/* --- idle --- */

/* Every node learns of the ghosts, and sessions end that nobody needs. */
static bool meet_ghosts(struct sim *s)
{
	ts_t end = ts_add(s->now, PATIENCE);

	if (!s->ghosts)
		return true;
	sim_ghosts_introduce(s->ghosts);
	while (!sim_ghosts_known(s->ghosts)) {
		if (ts_due(end, s->now))
			sim_fail(s, CHECK_AGREE, "nodes don't know all ghosts");
		if (!sim_run(s, ts_add(s->now, COARSE_STEP)))
			return false;
	}
	return sim_run(s, ts_add(s->now, GHOST_REST));
}

static bool run_idle(struct sim *s, dur_t length, struct figures *out)
{
	struct sim_traffic t;

	if (!rested(s) || !meet_ghosts(s) || !sim_traffic(s, length, &t))
		return false;
	sample(out, "sent per idle node, mean", "bytes/s", t.bytes);
	sample(out, "sent per idle node, the busiest", "bytes/s", t.worst);
	sample(out, "sent per idle node", "datagrams/s", t.msgs);
	return true;
}

/* --- partition --- */

/* Change records of @count nodes of a side, each another node. */
static void change_side(struct sim *s, unsigned side, unsigned count)
{
	for (unsigned i = 0, at = 2 * (unsigned)prng_below(&s->prng, s->cfg.nodes); i < count;
		i++, at += 2)
		change(s->nodes[(at + side) % (s->cfg.nodes & ~1u)]);
}

static bool run_partition(struct sim *s, dur_t length, struct figures *out)
{
	unsigned changes = s->cfg.nodes / 2 < CHANGES ? s->cfg.nodes / 2 : CHANGES;
	double took;

	if (s->cfg.nodes < 2 || !rested(s))
		return false;
	checks_quiet(s, false);
	for (unsigned i = 0; i < s->cfg.nodes; i++)
		sim_net_side(s->net, i, i % 2);
	if (!sim_run(s, ts_add(s->now, DUR_NS(length.ns / 2))))
		return false;
	change_side(s, 0, changes);
	change_side(s, 1, changes);
	if (!sim_run(s, ts_add(s->now, DUR_NS(length.ns / 2))))
		return false;
	sim_net_heal(s->net);
	checks_quiet(s, true);
	took = sim_await_agreement(s);
	if (took < 0)
		return false;
	sample(out, "agreement after the halves meet again", "s", took);
	return true;
}

/* --- the table --- */

static const struct {
	const char *name;
	dur_t length;
	bool (*run)(struct sim *s, dur_t length, struct figures *out);
} measures[] = {
	{"join", {INT64_C(0) * 1000000000}, run_join},
	{"spread", {INT64_C(0) * 1000000000}, run_spread},
	{"death", {INT64_C(0) * 1000000000}, run_death},
	{"loss", {INT64_C(3600) * 1000000000}, run_loss},
	{"slow", {INT64_C(3600) * 1000000000}, run_slow},
	{"idle", {INT64_C(600) * 1000000000}, run_idle},
	{"partition", {INT64_C(600) * 1000000000}, run_partition},
};

const char *measure_name(unsigned i)
{
	return i < sizeof(measures) / sizeof(measures[0]) ? measures[i].name : NULL;
}

static int find(const char *name)
{
	for (unsigned i = 0; measure_name(i); i++)
		if (strcmp(name, measure_name(i)) == 0)
			return (int)i;
	return -1;
}

bool measure_known(const char *name)
{
	return find(name) >= 0;
}

dur_t measure_length(const char *name)
{
	return measures[find(name)].length;
}

bool measure_run(struct sim *s, const char *name, dur_t length, struct figures *out)
{
	return measures[find(name)].run(s, length, out);
}
