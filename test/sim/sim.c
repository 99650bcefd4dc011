/* sim.c - the clock, the queue of events, the trace, and the life of a simulated cluster.
 *
 * In: a configuration with a seed. Out: a result, or the first invariant that failed with the last
 * events. A run is a pure function of the configuration: events of one instant fire in the order in
 * which they were queued, and every random number comes from the seed. The cluster's life: nodes
 * start one after another and join; then stretches with faults alternate with quiet, in which
 * agreement must come in time; last, the idle cluster's traffic is measured. */
#include "sim.h"

#include <assert.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/log.h"
#include "aead.h"
#include "map.h"
#include "invariants.h"
#include "sim_fault.h"
#include "sim_ghost.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_route.h"
#include "truth.h"

#define FAULT_STRETCH DUR_SEC(90)
#define QUIET_STRETCH DUR_SEC(20) /* quiet goes on so long after agreement */
#define FIRST_CLAIMS  DUR_SEC(10) /* nodes that all start at once have claimed by then */
#define DEATH_WORST   DUR_SEC(15) /* to find a silent node dead; as long as the longest stall */
#define IDLE_STRETCH  DUR_SEC(60)
#define FEW_NODES     128
#define QUIETS_MAX    1024

/* --- randomness --- */

static struct prng process_random;

static const char *random_name(void)
{
	return "simulation";
}

static uint32_t random_word(void)
{
	return (uint32_t)prng_next(&process_random);
}

static void random_buf(void *const buf, const size_t len)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = prng_next(&process_random);

		memcpy(p + i, &v, len - i < 8 ? len - i : 8);
	}
}

static struct randombytes_implementation seeded = {
	.implementation_name = random_name,
	.random = random_word,
	.buf = random_buf,
};

/* --- the queue --- */

void sim_at(struct sim *s, struct sim_event *e, ts_t when)
{
	if (ts_before(when, s->now))
		when = s->now;
	if (e->pos && e->when.ns == when.ns)
		return;
	if (ts_is_never(when))
		sim_queue_take(&s->queue, e);
	else
		sim_queue_put(&s->queue, e, when, s->now);
}

ts_t sim_next(struct sim *s)
{
	const struct sim_event *e = sim_queue_first(&s->queue, s->now);

	return e ? e->when : TS_NEVER;
}

bool sim_run(struct sim *s, ts_t until)
{
	struct sim_event *e;

	while (!s->failed && (e = sim_queue_first(&s->queue, s->now)) != NULL &&
		ts_due(e->when, until)) {
		sim_queue_take(&s->queue, e);
		s->now = e->when;
		s->events++;
		e->fire(s, e);
	}
	if (!s->failed)
		s->now = until;
	return !s->failed;
}

/* --- the trace --- */

/* Everything counts for the digest but what is printed of it. */
static void digest(struct sim *s, int from, int to, int64_t value)
{
	uint64_t h = s->digest ^ s->now.ns ^ (uint64_t)value << 32 ^
		     (uint64_t)(uint32_t)from << 16 ^ (uint64_t)(uint32_t)to;

	h *= 0x9e3779b97f4a7c15u;
	s->digest = h ^ h >> 29;
}

void sim_trace(struct sim *s, int from, int to, const char *what, int64_t value)
{
	struct sim_line *l = &s->trace[s->ntrace++ % SIM_TRACE_LINES];

	digest(s, from, to, value);
	*l = (struct sim_line){s->now, from, to, what, value, ""};
	if (s->cfg.print_trace)
		sim_print_line(l);
}

void sim_trace_often(struct sim *s, int from, int to, const char *what, int64_t value)
{
	struct sim_line l = {s->now, from, to, what, value, ""};

	digest(s, from, to, value);
	if (s->cfg.print_trace)
		sim_print_line(&l);
}

void sim_trace_text(struct sim *s, int from, int to, const char *what, const char *fmt, ...)
{
	struct sim_line *l = &s->trace[s->ntrace++ % SIM_TRACE_LINES];
	va_list ap;

	*l = (struct sim_line){s->now, from, to, what, 0, ""};
	va_start(ap, fmt);
	vsnprintf(l->text, sizeof(l->text), fmt, ap);
	va_end(ap);
	if (s->cfg.print_trace)
		sim_print_line(l);
}

void sim_fail(struct sim *s, unsigned check, const char *fmt, ...)
{
	va_list ap;

	if (s->failed || s->cfg.checks & 1u << check)
		return;
	s->failed = true;
	s->failed_check = check;
	va_start(ap, fmt);
	vsnprintf(s->failure, sizeof(s->failure), fmt, ap);
	va_end(ap);
	sim_trace(s, -1, -1, "FAILED", 0);
}

/* What the cores log belongs into the trace. */
static void log_to_trace(void *ctx, enum log_level level, const char *module, const char *text)
{
	(void)level;
	sim_trace_text(ctx, -1, -1, "log", "%s: %s", module, text);
}

/* --- life --- */

void sim_cfg_default(struct sim_cfg *c)
{
	*c = (struct sim_cfg){.nodes = 5,
		.seed = 1,
		.profile = "none",
		.converge = DUR_SEC(60),
		.routable = DUR_SEC(10),
		.join_spread = DUR_SEC(2)};
	sess_tune_default(&c->tune);
}

struct sim *sim_new(const struct sim_cfg *cfg)
{
	static const uint8_t map_seed[16];
	struct sim *s = calloc(1, sizeof(*s));

	/* libsodium takes random numbers when it starts: not from a seed's. */
	randombytes_set_implementation(&seeded);
	if (!s || aead_init() != 0)
		goto fail;
	s->cfg = *cfg;
	s->now = (ts_t){UINT64_C(1000000000)};
	s->queue.coarse = cfg->nodes + cfg->ghosts <= FEW_NODES;
	prng_seed(&s->prng, cfg->seed);
	prng_seed(&process_random, prng_next(&s->prng));
	log_set_sink(log_to_trace, s);
	s->truth = truth_new(s);
	s->net = sim_net_new(s);
	s->faults = sim_faults_new(s, cfg->profile);
	s->nodes = calloc(cfg->nodes, sizeof(struct sim_node *));
	s->by_key = map_new(sizeof(struct node_key), SIZE_MAX / 2, map_seed);
	s->routes = route_names_new();
	if (!s->truth || !s->net || !s->faults || !s->nodes || !s->by_key || !s->routes)
		goto fail;
	for (unsigned i = 0; i < cfg->nodes; i++) {
		s->nodes[i] = sim_node_new(s, i);
		if (!s->nodes[i])
			goto fail;
	}
	if (cfg->ghosts && !(s->ghosts = sim_ghosts_new(s, cfg->ghosts)))
		goto fail;
	s->checks = checks_new(s);
	if (!s->checks)
		goto fail;
	return s;
fail:
	sim_free(s);
	return NULL;
}

void sim_free(struct sim *s)
{
	if (!s)
		return;
	for (unsigned i = 0; s->nodes && i < s->cfg.nodes; i++)
		sim_node_free(s->nodes[i]);
	sim_ghosts_free(s->ghosts);
	checks_free(s->checks);
	sim_faults_free(s->faults);
	sim_net_free(s->net);
	truth_free(s->truth);
	route_names_free(s->routes);
	map_free(s->by_key);
	log_set_sink(NULL, NULL);
	free(s->nodes);
	sim_queue_fini(&s->queue);
	free(s);
}

static double secs(dur_t d)
{
	return (double)d.ns / 1e9;
}

double sim_await_agreement(struct sim *s)
{
	ts_t begin = s->now, end = ts_add(begin, s->cfg.converge);
	ts_t last = s->joined ? end : ts_add(end, FIRST_CLAIMS);
	dur_t step = s->cfg.nodes <= 1000 ? DUR_MS(100) : DUR_SEC(1);
	bool lost = s->gone.ns && !ts_due(ts_add(s->gone, DUR_NS(2 * DEATH_WORST.ns)), begin);
	char why[160] = "";

	for (;;) {
		enum agreement now = checks_agree(s, why, sizeof(why));

		if (now == AGREE) {
			sim_trace(s, -1, -1, "agreement", 0);
			return secs(ts_sub(s->now, begin));
		}
		/* While all join, each claims as soon as it has looked round: a node's first claims have as
		 * much time to be known. Whatever else changes in quiet has none. */
		end = ts_min(last,
			ts_add(ts_before(begin, s->claimed) ? s->claimed : begin, s->cfg.converge));
		/* A death has its own bound; who just stalled begins to count when it is awake. */
		if (lost && now == AGREE_BUT_GONE && ts_before(end, ts_add(begin, DEATH_WORST)))
			end = ts_add(begin, DEATH_WORST);
		if (ts_due(end, s->now)) {
			sim_fail(s, CHECK_AGREE, "%.0f s after quiet: %s",
				secs(ts_sub(s->now, begin)), why);
			return -1;
		}
		if (!sim_run(s, ts_add(s->now, step)))
			return -1;
	}
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

bool sim_traffic(struct sim *s, dur_t length, struct sim_traffic *out)
{
	uint64_t *before = calloc(s->cfg.nodes, 2 * sizeof(*before));
	bool ok;

	*out = (struct sim_traffic){.secs = secs(length)};
	if (!before)
		abort();
	for (unsigned i = 0; i < s->cfg.nodes; i++)
		sim_net_sent(s->net, i, &before[2 * i], &before[2 * i + 1]);
	ok = sim_run(s, ts_add(s->now, length));
	for (unsigned i = 0; i < s->cfg.nodes; i++) {
		uint64_t m, b;

		sim_net_sent(s->net, i, &m, &b);
		out->msgs += (double)(m - before[2 * i]) / s->cfg.nodes / out->secs;
		out->bytes += (double)(b - before[2 * i + 1]) / s->cfg.nodes / out->secs;
		if ((double)(b - before[2 * i + 1]) / out->secs > out->worst)
			out->worst = (double)(b - before[2 * i + 1]) / out->secs;
	}
	free(before);
	return ok;
}

double sim_join(struct sim *s)
{
	double took;

	for (unsigned i = 0; i < s->cfg.nodes; i++) {
		uint64_t wait = i ? prng_below(&s->prng, (uint64_t)s->cfg.join_spread.ns + 1) : 0;

		sim_node_start_at(s->nodes[i], ts_add(s->now, DUR_NS(wait)));
	}
	if (!sim_run(s, ts_add(s->now, s->cfg.join_spread)))
		return -1;
	checks_quiet(s, true);
	took = sim_await_agreement(s);
	s->joined = took >= 0;
	return took;
}

bool sim_live(struct sim *s, dur_t length, struct sim_result *out)
{
	static double took[QUIETS_MAX];
	ts_t end = ts_add(s->now, length);

	s->length = length;
	memset(out, 0, sizeof(*out));
	out->join = -1;
	out->join = sim_join(s);
	if (out->join < 0 || !sim_run(s, ts_add(s->now, QUIET_STRETCH)))
		return false;
	while (sim_faults_any(s->faults) && ts_before(ts_add(s->now, FAULT_STRETCH), end) &&
		out->quiets < QUIETS_MAX) {
		checks_quiet(s, false);
		sim_faults_begin(s->faults);
		if (!sim_run(s, ts_add(s->now, FAULT_STRETCH)))
			return false;
		sim_faults_heal(s->faults);
		checks_quiet(s, true);
		took[out->quiets] = sim_await_agreement(s);
		if (took[out->quiets] < 0 || !sim_run(s, ts_add(s->now, QUIET_STRETCH)))
			return false;
		out->quiets++;
	}
	if (out->quiets) {
		qsort(took, out->quiets, sizeof(took[0]), by_value);
		out->converge_median = took[out->quiets / 2];
		out->converge_worst = took[out->quiets - 1];
	}
	return sim_traffic(s, IDLE_STRETCH, &out->idle) &&
	       (!ts_before(s->now, end) || sim_run(s, end));
}
