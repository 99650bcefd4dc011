/* sim_report.c - what a failed simulation leaves: its last events, the invariant, and a command that
 * repeats it. In: a simulation that ended. Out: text. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "invariants.h"
#include "sim.h"

void sim_print_line(const struct sim_line *l)
{
	char from[16] = "", to[16] = "";

	if (l->from >= 0)
		snprintf(from, sizeof(from), "n%d", l->from);
	if (l->to >= 0)
		snprintf(to, sizeof(to), "> n%d", l->to);
	fprintf(stderr, "[%12.6f] %-5s %-7s %-18s", (double)l->at.ns / 1e9, from, to, l->what);
	if (l->value)
		fprintf(stderr, " %lld", (long long)l->value);
	fprintf(stderr, " %s\n", l->text);
}

struct text {
	char *buf;
	size_t size, len;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len = t->len + (size_t)n < t->size ? t->len + (size_t)n : t->size - 1;
}

/* To the nanosecond: a run is a function of its configuration. */
static void add_time(struct text *t, const char *option, dur_t d)
{
	if (d.ns % 1000000000 == 0)
		add(t, " --%s %" PRId64 "s", option, d.ns / 1000000000);
	else if (d.ns % 1000000 == 0)
		add(t, " --%s %" PRId64 "ms", option, d.ns / 1000000);
	else
		add(t, " --%s %" PRId64 ".%09" PRId64 "s", option, d.ns / 1000000000,
			d.ns % 1000000000);
}

static void add_changed_time(struct text *t, const char *option, dur_t d, dur_t usual)
{
	if (d.ns != usual.ns)
		add_time(t, option, d);
}

static void add_ignored(struct text *t, unsigned checks)
{
	const char *between = " --ignore ";

	for (unsigned i = 0; i < CHECK_COUNT; i++)
		if (checks >> i & 1) {
			add(t, "%s%s", between, check_name(i));
			between = ",";
		}
}

void sim_command(const struct sim_cfg *c, dur_t length, const char *measure, char *out, size_t size)
{
	const struct {
		bool on;
		const char *option;
	} flags[] = {
		{c->no_crypto, "no-crypto"},
		{c->data, "data"},
		{c->own_signatures, "own-signatures"},
		{c->full_mesh, "full-mesh"},
		{c->no_claims, "no-claims"},
		{c->no_paths, "no-paths"},
	};
	struct text t = {out, size, 0};
	struct sim_cfg usual;

	sim_cfg_default(&usual);
	add(&t, "weft-sim --nodes %u", c->nodes);
	if (c->ghosts)
		add(&t, " --ghosts %u", c->ghosts);
	add(&t, " --seed %" PRIu64 " --faults %s", c->seed, c->profile);
	if (length.ns)
		add_time(&t, "for", length);
	add_changed_time(&t, "converge", c->converge, usual.converge);
	add_changed_time(&t, "routable", c->routable, usual.routable);
	add_changed_time(&t, "join", c->join_spread, usual.join_spread);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (flags[i].on)
			add(&t, " --%s", flags[i].option);
	if (measure)
		add(&t, " --measure %s", measure);
	add_ignored(&t, c->checks);
	if (c->plant != PLANT_NONE)
		add(&t, " --plant %u", (unsigned)c->plant);
}

void sim_report(const struct sim *s)
{
	uint64_t first = s->ntrace > SIM_TRACE_LINES ? s->ntrace - SIM_TRACE_LINES : 0;
	char command[SIM_COMMAND];

	fprintf(stderr, "the last %llu events:\n", (unsigned long long)(s->ntrace - first));
	for (uint64_t i = first; i < s->ntrace; i++)
		sim_print_line(&s->trace[i % SIM_TRACE_LINES]);
	if (s->failed)
		fprintf(stderr, "FAILED at %.6f s: %s: %s\n", (double)s->now.ns / 1e9,
			check_name(s->failed_check), s->failure);
	sim_command(&s->cfg, s->length, s->measure, command, sizeof(command));
	fprintf(stderr, "again with: %s\n", command);
}
