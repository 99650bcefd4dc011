/* bgpsim.c - the clock, the plan of clusters and links, and faults in turn. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bgp_msg.h"
#include "bgpsim_int.h"
#include "key.h"
#include "weft/err.h"

#define QUIET       DUR_SEC(20)
/* Sessions that lasted a minute are dialled again at once (bgp_fsm.c), so that each fault stands alone. */
#define QUIET_FEW   DUR_SEC(75) /* between faults of the same cluster, where there are few */
#define FEW         8
#define STRIDE      3
#define SPINS_MAX   100000 /* events at one time */
/* Long enough to be noticed. */
#define FLAPS       12
#define FLAP_OFF    DUR_MS(1000)
#define FLAP_ON     DUR_MS(1500)
/* From a fault, or its repair, until all is right: BGP's hold time of 9 s, a session's silence of 10 s
 * and a greeting's 5 s between dials are the longest parts. */
#define REACH_BOUND DUR_SEC(16)

const char *bgpsim_check_str(enum bgpsim_check c)
{
	static const char *const names[] = {[BGPSIM_REACH] = "reach",
		[BGPSIM_LOOP] = "loop",
		[BGPSIM_OWNER] = "owner",
		[BGPSIM_LEAK] = "leak",
		[BGPSIM_GHOST] = "ghost",
		[BGPSIM_SESSION] = "session",
		[BGPSIM_COUNT] = "count",
		[BGPSIM_SPIN] = "spin"};

	return c < BGPSIM_CHECKS ? names[c] : "none";
}

const char *bgpsim_shape_str(enum bgpsim_shape s)
{
	static const char *const names[] = {"line", "ring", "tree", "mesh"};

	return s < BGPSIM_SHAPES ? names[s] : "?";
}

void bgpsim_default(struct bgpsim_cfg *cfg)
{
	*cfg = (struct bgpsim_cfg){.clusters = 20,
		.nodes = 5,
		.gateways = 2,
		.shape = BGPSIM_RING,
		.seed = 1,
		.faults = BGPSIM_F_ALL};
}

/* --- what the parts use --- */

void bs_fail(struct bgpsim *s, enum bgpsim_check c, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	if (s->failed || s->cfg.off >> c & 1)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s->failed = true;
	s->r->failed = c;
	snprintf(s->r->why, sizeof(s->r->why), "%s at %.3f s, %.3f s after %s: %s",
		bgpsim_check_str(c), (double)s->now.ns / 1e9,
		(double)ts_sub(s->now, s->since).ns / 1e9, s->fault, text);
	bs_trace(s, "FAILED %s", s->r->why);
}

void bs_trace(struct bgpsim *s, const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int n;

	if (!s->cfg.trace)
		return;
	n = snprintf(line, sizeof(line), "%10.6f ", (double)s->now.ns / 1e9);
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	s->cfg.trace(line);
}

void bs_digest(struct bgpsim *s, uint64_t v)
{
	s->r->digest = (s->r->digest ^ v) * 0x100000001b3u + (v >> 29);
}

void bs_at(struct bgpsim *s, struct ev *e, ts_t when)
{
	if (tq_set(&s->q, &e->n, when) != 0)
		abort();
}

void *bs_event(struct bgpsim *s, size_t size, enum ev_kind kind, dur_t in)
{
	struct ev *e = calloc(1, size);

	if (!e)
		abort();
	e->kind = kind;
	bs_at(s, e, ts_add(s->now, in));
	return e;
}

/* --- the clock --- */

static void dispatch(struct bgpsim *s, struct ev *e)
{
	switch (e->kind) {
	case EV_NODE:
		bs_node_tick(tq_entry(e, struct bs_node, timer));
		break;
	case EV_SECOND:
		bs_node_second(tq_entry(e, struct bs_node, second));
		break;
	case EV_RX:
		bs_stream_rx(s, tq_entry(e, struct bs_side, rx));
		break;
	case EV_SESS:
		bs_sess_event(s, tq_entry(e, struct bs_sess, ev));
		break;
	case EV_SYN:
		bs_stream_syn(s, (struct bs_syn *)(void *)e);
		free(e);
		break;
	case EV_DGRAM:
		bs_dgram(s, (struct bs_dgram *)(void *)e);
		free(e);
		break;
	case EV_KNOWN:
	case EV_WAY:
		bs_node_known(s, (struct bs_news *)(void *)e);
		free(e);
		break;
	case EV_SAMPLE:
		bs_check_sample(s);
		bs_stream_reap(s);
		bs_at(s, e, ts_add(s->now, SAMPLE));
		break;
	}
}

static void run_until(struct bgpsim *s, ts_t end)
{
	while (!s->failed) {
		ts_t next = tq_deadline(&s->q);
		struct ev *e;

		if (ts_before(end, next))
			break;
		s->spins = next.ns > s->now.ns ? 0 : s->spins + 1;
		if (next.ns > s->now.ns)
			s->now = next;
		if (s->spins > SPINS_MAX)
			bs_fail(s, BGPSIM_SPIN, "time stands still");
		e = tq_entry(tq_pop(&s->q, s->now), struct ev, n);
		s->r->events++;
		bs_digest(s, s->now.ns ^ (uint64_t)e->kind << 56);
		dispatch(s, e);
	}
	if (!s->failed)
		s->now = end;
}

/* --- the plan --- */

static unsigned degree(const struct bgpsim *s, unsigned c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->nlinks; i++)
		n += s->links[i].a == c || s->links[i].b == c;
	return n;
}

static bool linked(const struct bgpsim *s, unsigned a, unsigned b)
{
	for (unsigned i = 0; i < s->nlinks; i++)
		if ((s->links[i].a == a && s->links[i].b == b) ||
			(s->links[i].a == b && s->links[i].b == a))
			return true;
	return false;
}

static bool link_up(struct bgpsim *s, unsigned a, unsigned b)
{
	struct bs_link *k = &s->links[s->nlinks];

	if (a == b || linked(s, a, b) || degree(s, a) == LIM_LINKS || degree(s, b) == LIM_LINKS)
		return false;
	k->a = a < b ? a : b;
	k->b = a < b ? b : a;
	k->number[0] = (uint8_t)(degree(s, k->a) + 1);
	k->number[1] = (uint8_t)(degree(s, k->b) + 1);
	s->nlinks++;
	return true;
}

static void plan_links(struct bgpsim *s)
{
	unsigned n = s->cfg.clusters;

	for (unsigned c = 1; c < n; c++) {
		unsigned to =
			s->cfg.shape == BGPSIM_TREE ? (unsigned)prng_below(&s->rnd, c) : c - 1;

		while (s->cfg.shape == BGPSIM_TREE && !link_up(s, c, to))
			to = (unsigned)prng_below(&s->rnd, c);
		if (s->cfg.shape != BGPSIM_TREE)
			(void)link_up(s, c, to);
	}
	if (s->cfg.shape == BGPSIM_RING || s->cfg.shape == BGPSIM_MESH)
		(void)link_up(s, 0, n - 1);
	for (unsigned k = 0; k < 10 * n && s->cfg.shape == BGPSIM_MESH && s->nlinks < 2 * n; k++)
		(void)link_up(
			s, (unsigned)prng_below(&s->rnd, n), (unsigned)prng_below(&s->rnd, n));
}

static void plan_clusters(struct bgpsim *s)
{
	for (unsigned c = 0; c < s->cfg.clusters; c++) {
		struct link_cluster *k = &s->self[c];
		char text[PFX_STRLEN];

		k->asn = 4200000000u + c;
		k->id.b[0] = (uint8_t)(c + 1);
		k->id.b[15] = 1;
		snprintf(k->name, sizeof(k->name), "c%u", c);
		k->nranges = 2;
		snprintf(text, sizeof(text), "10.%u.0.0/16", c);
		(void)pfx_parse(text, &k->ranges[0]);
		snprintf(text, sizeof(text), "fd00:%x::/32", c);
		(void)pfx_parse(text, &k->ranges[1]);
		s->transit[c] =
			s->cfg.transit == BGPSIM_ALL ||
			(s->cfg.transit == BGPSIM_SOME && (c == 0 || prng_below(&s->rnd, 2)));
	}
}

static void plan_nodes(struct bgpsim *s)
{
	for (unsigned i = 0; i < s->nnodes; i++) {
		struct bs_node *n = &s->nodes[i];

		n->s = s;
		n->idx = i;
		n->cluster = i / s->cfg.nodes;
		n->gateway = i % s->cfg.nodes < s->cfg.gateways;
		n->timer.kind = EV_NODE;
		n->second.kind = EV_SECOND;
		prng_seed(&n->rnd, prng_next(&s->rnd));
		for (size_t k = 0; k < sizeof(n->key.b); k++)
			n->key.b[k] = (uint8_t)prng_next(&s->rnd);
		key_control_addr(&s->self[n->cluster].id, &n->key, &n->control);
		n->ep = (struct ep){.ip = ip_v4(0xac100001u + i), .port = 6793};
		for (unsigned k = 0; k < i; k++) {
			int64_t span = LATENCY_MAX.ns - LATENCY_MIN.ns;

			s->latency[i][k].ns =
				LATENCY_MIN.ns + (int64_t)prng_below(&s->rnd, (uint64_t)span);
			s->latency[k][i] = s->latency[i][k];
		}
	}
}

static bool on_link(const struct bgpsim *s, unsigned link, unsigned gateway)
{
	return !s->cfg.split || gateway == link % s->cfg.gateways;
}

static void plan_sessions(struct bgpsim *s)
{
	for (unsigned i = 0; i < s->nlinks; i++)
		for (unsigned a = 0; a < s->cfg.gateways; a++)
			for (unsigned b = 0; b < s->cfg.gateways; b++) {
				if (!on_link(s, i, a) || !on_link(s, i, b))
					continue;
				s->sess[s->nsess++] = (struct bs_sess){.ev = {.kind = EV_SESS},
					.a = s->links[i].a * s->cfg.nodes + a,
					.b = s->links[i].b * s->cfg.nodes + b,
					.link = i,
					.silent_since = TS_NEVER};
			}
}

static bool config_ok(const struct bgpsim_cfg *c)
{
	return c->clusters >= 2 && c->clusters <= BGPSIM_CLUSTERS_MAX && c->nodes > 0 &&
	       c->clusters * c->nodes <= BGPSIM_NODES_MAX && c->gateways > 0 &&
	       c->gateways <= c->nodes && c->gateways <= LINK_GATEWAYS_MAX &&
	       c->shape < BGPSIM_SHAPES;
}

static void sim_free(struct bgpsim *s)
{
	struct tq_node *n;

	if (!s)
		return;
	for (unsigned i = 0; s->nodes && i < s->nnodes; i++)
		if (s->nodes[i].alive)
			bs_node_stop(&s->nodes[i], false);
	if (s->streams)
		bs_stream_reap(s);
	while ((n = tq_pop(&s->q, (ts_t){UINT64_MAX - 1})) != NULL) {
		struct ev *e = tq_entry(n, struct ev, n);

		if (e->kind == EV_SYN || e->kind == EV_DGRAM || e->kind == EV_KNOWN ||
			e->kind == EV_WAY)
			free(e);
	}
	tq_fini(&s->q);
	free(s->nodes);
	free(s->sess);
	free(s->streams);
	free(s);
}

static struct bgpsim *sim_new(const struct bgpsim_cfg *cfg, struct bgpsim_result *r)
{
	struct bgpsim *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->cfg = *cfg;
	s->r = r;
	s->now = s->since = (ts_t){1000000000};
	s->circle = TS_NEVER;
	s->fault = "the start";
	s->nnodes = cfg->clusters * cfg->nodes;
	tq_init(&s->q);
	prng_seed(&s->rnd, cfg->seed);
	s->nodes = calloc(s->nnodes, sizeof(*s->nodes));
	s->streams = calloc(STREAMS_MAX, sizeof(*s->streams));
	s->sess = calloc((size_t)cfg->clusters * LIM_LINKS * cfg->gateways * cfg->gateways,
		sizeof(*s->sess));
	if (!s->nodes || !s->streams || !s->sess) {
		sim_free(s);
		return NULL;
	}
	plan_clusters(s);
	plan_nodes(s);
	plan_links(s);
	plan_sessions(s);
	bs_policy_plan(s);
	s->sample.kind = EV_SAMPLE;
	bs_at(s, &s->sample, s->now);
	return s;
}

/* --- faults --- */

struct fault {
	unsigned kind; /* the bit's number */
	unsigned a, b; /* nodes; a link; a stream's nodes */
	unsigned cluster;
};
struct plan {
	struct fault *v;
	size_t n, cap;
	unsigned nth[BGPSIM_KINDS];
};

static const char *const kind_names[BGPSIM_KINDS] = {"a crashed node", "a crashed gateway",
	"a gateway that stopped", "a link cut", "a path cut", "a session reset",
	"a link that flaps"};

static void add(struct bgpsim *s, struct plan *p, unsigned kind, unsigned a, unsigned b, unsigned c)
{
	unsigned every = s->cfg.every ? s->cfg.every : 1;

	if (!(s->cfg.faults >> kind & 1) || p->nth[kind]++ % every)
		return;
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 64;
		p->v = realloc(p->v, p->cap * sizeof(*p->v));
		if (!p->v)
			abort();
	}
	p->v[p->n++] = (struct fault){kind, a, b, c};
}

static void plan_faults(struct bgpsim *s, struct plan *p)
{
	for (unsigned i = 0; i < s->nnodes; i++) {
		const struct bs_node *n = &s->nodes[i];

		add(s, p, n->gateway ? 1 : 0, i, 0, n->cluster);
		if (n->gateway)
			add(s, p, 2, i, 0, n->cluster);
		for (unsigned k = n->cluster * s->cfg.nodes; k < i; k++)
			if (s->nodes[k].gateway)
				add(s, p, 5, k, i, n->cluster);
	}
	for (unsigned i = 0; i < s->nlinks; i++) {
		add(s, p, 3, i, 0, s->links[i].a);
		add(s, p, 6, i, 0, s->links[i].a);
	}
	for (unsigned i = 0; i < s->nsess; i++) {
		add(s, p, 4, s->sess[i].a, s->sess[i].b, s->links[s->sess[i].link].a);
		add(s, p, 5, s->sess[i].a, s->sess[i].b, s->links[s->sess[i].link].a);
	}
}

/* Take the next fault of a cluster @from or beyond, STRIDE by STRIDE. */
static bool next_fault(const struct bgpsim *s, struct plan *p, unsigned *from, struct fault *out)
{
	for (unsigned tries = 0; tries < s->cfg.clusters; tries++) {
		unsigned c = (*from + tries) % s->cfg.clusters;

		for (size_t i = 0; i < p->n; i++) {
			if (p->v[i].cluster != c)
				continue;
			*out = p->v[i];
			p->v[i] = p->v[--p->n];
			*from = (c + STRIDE) % s->cfg.clusters;
			return true;
		}
	}
	return false;
}

static void cut(struct bgpsim *s, unsigned a, unsigned b, bool on)
{
	s->cut[a][b] = s->cut[b][a] = on;
	bs_path_changed(s, a, b);
}

static void reset(struct bgpsim *s, unsigned a, unsigned b)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		struct bs_stream *st = &s->streams[i];

		if (st->used && ((st->s[0].node == a && st->s[1].node == b) ||
					(st->s[0].node == b && st->s[1].node == a)))
			bs_stream_reset(s, st);
	}
}

static void do_fault(struct bgpsim *s, const struct fault *f, bool on)
{
	s->since = s->now;
	s->wrong = TS_ZERO;
	s->fault = kind_names[f->kind];
	bs_trace(s, "%s %s (%u %u)", on ? "fault:" : "repair of", s->fault, f->a, f->b);
	switch (1u << f->kind) {
	case BGPSIM_F_NODE:
	case BGPSIM_F_GATEWAY:
	case BGPSIM_F_STOP:
		if (on)
			bs_node_stop(&s->nodes[f->a], f->kind == 2);
		else if (bs_node_start(&s->nodes[f->a]) != 0)
			abort();
		break;
	case BGPSIM_F_LINK:
	case BGPSIM_F_FLAP:
		for (unsigned i = 0; i < s->nsess; i++)
			if (s->sess[i].link == f->a)
				cut(s, s->sess[i].a, s->sess[i].b, on);
		break;
	case BGPSIM_F_PATH:
		cut(s, f->a, f->b, on);
		break;
	default:
		if (on)
			reset(s, f->a, f->b);
	}
}

/* Let it be quiet, and say how long it took until all was right. */
static dur_t settle(struct bgpsim *s, dur_t quiet)
{
	dur_t took;

	run_until(s, ts_add(s->since, quiet));
	if (s->failed)
		return DUR_NS(0);
	took = s->wrong.ns > s->since.ns ? ts_sub(ts_add(s->wrong, SAMPLE), s->since) : DUR_NS(0);
	if (s->is_wrong || took.ns > REACH_BOUND.ns)
		bs_fail(s, BGPSIM_REACH, "not right after %lld ms: %s", (long long)dur_ms(took),
			s->what);
	bs_check_quiet(s);
	return took;
}

struct times {
	dur_t v[2][BGPSIM_NODES_MAX * 8];
	unsigned n;
};

static int by_length(const void *a, const void *b)
{
	int64_t x = ((const dur_t *)a)->ns, y = ((const dur_t *)b)->ns;

	return (x > y) - (x < y);
}

static void sum_up(struct bgpsim_kind *k, struct times *t)
{
	if (!t->n)
		return;
	for (int i = 0; i < 2; i++)
		qsort(t->v[i], t->n, sizeof(t->v[i][0]), by_length);
	k->fail_median = t->v[0][t->n / 2];
	k->fail_max = t->v[0][t->n - 1];
	k->repair_median = t->v[1][t->n / 2];
	k->repair_max = t->v[1][t->n - 1];
}

/* A fault may change what each session tells about each cluster, in two families, and the repair again;
 * where clusters let others pass, more often while longer ways are tried, the more gateways there are. */
static uint64_t updates_bound(const struct bgpsim *s)
{
	return (uint64_t)s->r->sessions * 2 * (s->cfg.gateways + 1) *
	       (s->cfg.transit ? s->cfg.clusters : 2);
}

static void one_fault(struct bgpsim *s, const struct fault *f, struct times *t)
{
	struct bgpsim_kind *k = &s->r->kinds[f->kind];
	dur_t quiet = s->cfg.clusters < FEW ? QUIET_FEW : QUIET;

	s->updates = 0;
	for (unsigned i = 1; 1u << f->kind == BGPSIM_F_FLAP && i < FLAPS; i++) {
		do_fault(s, f, true);
		run_until(s, ts_add(s->now, FLAP_OFF));
		do_fault(s, f, false);
		run_until(s, ts_add(s->now, FLAP_ON));
	}
	do_fault(s, f, true);
	t->v[0][t->n] = settle(s, QUIET);
	if (s->failed)
		return;
	do_fault(s, f, false);
	t->v[1][t->n] = settle(s, quiet);
	t->n++;
	k->count++;
	k->updates_sum += s->updates;
	if (s->updates > k->updates_max)
		k->updates_max = s->updates;
	if (s->updates > updates_bound(s))
		bs_fail(s, BGPSIM_COUNT, "%llu UPDATEs, more than %llu",
			(unsigned long long)s->updates, (unsigned long long)updates_bound(s));
}

static void live(struct bgpsim *s)
{
	static struct times times[BGPSIM_KINDS];
	struct plan p = {.n = 0};
	struct fault f;
	unsigned from = 0;

	memset(times, 0, sizeof(times));
	for (unsigned i = 0; i < s->nnodes; i++)
		if (bs_node_start(&s->nodes[i]) != 0)
			abort();
	s->r->start = settle(s, QUIET_FEW);
	s->r->start_updates = s->updates;
	plan_faults(s, &p);
	while (!s->failed && next_fault(s, &p, &from, &f))
		one_fault(s, &f, &times[f.kind]);
	free(p.v);
	for (unsigned i = 0; i < BGPSIM_KINDS; i++)
		sum_up(&s->r->kinds[i], &times[i]);
}

int bgpsim_run(const struct bgpsim_cfg *cfg, struct bgpsim_result *out)
{
	struct bgpsim *s;

	memset(out, 0, sizeof(*out));
	if (!config_ok(cfg))
		return ERR_CONFIG;
	s = sim_new(cfg, out);
	if (!s)
		return ERR_NOMEM;
	for (unsigned i = 0; i < BGPSIM_KINDS; i++)
		out->kinds[i].name = kind_names[i];
	out->links = s->nlinks;
	out->sessions = s->nsess + cfg->clusters * (cfg->gateways * (cfg->nodes - cfg->gateways) +
							   cfg->gateways * (cfg->gateways - 1) / 2);
	live(s);
	out->ok = !s->failed;
	out->end = s->now;
	for (unsigned i = 0; i < 8; i++)
		bs_digest(s, out->messages[i]);
	sim_free(s);
	return 0;
}
