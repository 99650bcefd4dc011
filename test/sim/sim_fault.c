/* sim_fault.c - faults begin at random times, drawn every TICK for each kind, and end by a time of
 * their own or when all is healed. In: a profile. Out: calls of the network and of nodes. */
#include "sim_fault.h"

#include <stdlib.h>
#include <string.h>
#include "invariants.h"
#include "sim.h"
#include "sim_hostile.h"
#include "sim_net.h"
#include "sim_node.h"

#define TICK      DUR_MS(100)
#define TICKS_SEC 10
#define CUTS_MAX  16

enum kind {
	KIND_PART,
	KIND_CUT,
	KIND_CRASH,
	KIND_STALL,
	KIND_CLOCK,
	KIND_ROAM,
	KIND_PREFIX,
	KIND_REPLAY,
	KIND_LIE,
	KIND_FLOOD,
	KIND_DEAF,
	KIND_GREED,
	KIND_CLONE,
	KIND_NAT,
	KIND_MTU,
	KIND_FORGET,
	KIND_NEWS,
	KIND_ACCUSE,
	KIND_RELAY,
	KIND_FAR,
	KINDS
};

struct profile {
	const char *name;
	unsigned every
		[KINDS]; /* mean seconds between two; 0: never. REPLAY, LIE, FLOOD, NEWS, ACCUSE: ms */
	unsigned counted; /* enum hostile_act: must show in counters when faults end */
	unsigned liars;   /* who do all that members do to others; 0: anybody does */
	unsigned
		excused; /* bits of enum check: what they can bring about, see docs/membership.md */
	struct sim_link link;   /* from the start on; zero: the base */
	struct sim_rough rough; /* as link */
	uint32_t corrupt;       /* while faults last */
};

#define LOSSY_LINK                                                                                 \
	{                                                                                          \
		.delay_min = {1000000}, .delay_max = {60000000}, .jitter = {20000000},             \
		.loss = SIM_HEALTHY_LOSS, .dup = 10000, .reorder = 20000,                          \
		.reorder_by = {200000000},                                                         \
	}

/* What a member that lies in all ways does, among nodes that crash. */
#define ALL_LIES                                                                                   \
	[KIND_LIE] = 100, [KIND_FLOOD] = 500, [KIND_DEAF] = 30, [KIND_ACCUSE] = 300,               \
	[KIND_RELAY] = 15, [KIND_FAR] = 4, [KIND_GREED] = 5, [KIND_CRASH] = 20

static const struct profile profiles[] = {
	{.name = "none"},
	{.name = "lossy", .link = LOSSY_LINK},
	{.name = "partition", .every = {[KIND_PART] = 30, [KIND_PREFIX] = 10}},
	{.name = "cuts", .every = {[KIND_CUT] = 4}},
	{.name = "crash", .every = {[KIND_CRASH] = 8}},
	{.name = "slow", .every = {[KIND_STALL] = 1}},
	{.name = "clock", .every = {[KIND_CLOCK] = 5, [KIND_CRASH] = 20}},
	{.name = "roam", .every = {[KIND_ROAM] = 15}},
	{.name = "conflict", .every = {[KIND_PREFIX] = 2, [KIND_CRASH] = 30}},
	{.name = "hostile",
		.every = {[KIND_REPLAY] = 100,
			[KIND_LIE] = 200,
			[KIND_PREFIX] = 10,
			[KIND_CRASH] = 60},
		.corrupt = 10000},
	{.name = "forge", .every = {[KIND_LIE] = 100}, .counted = ACT_LIE},
	{.name = "flood", .every = {[KIND_FLOOD] = 200}, .counted = ACT_FLOOD},
	{.name = "news", .every = {[KIND_NEWS] = 100}, .counted = ACT_NEWS},
	{.name = "deaf", .every = {[KIND_DEAF] = 20}, .counted = ACT_DEAF},
	{.name = "accuse", .every = {[KIND_ACCUSE] = 200}, .counted = ACT_ACCUSE},
	{.name = "swallow", .every = {[KIND_RELAY] = 15, [KIND_FAR] = 2}, .counted = ACT_RELAY},
	{.name = "greed", .every = {[KIND_GREED] = 3}, .counted = ACT_GREED},
	{.name = "clone", .every = {[KIND_CLONE] = 5}, .counted = ACT_CLONE},
	{.name = "lies",
		.every = {ALL_LIES},
		.counted = ACT_LIE | ACT_FLOOD | ACT_GREED | ACT_ACCUSE | ACT_RELAY | ACT_DEAF,
		.liars = 1},
	{.name = "band",
		.every = {ALL_LIES, [KIND_CLONE] = 40},
		.counted = ACT_LIE | ACT_FLOOD | ACT_GREED | ACT_ACCUSE | ACT_RELAY | ACT_DEAF |
			   ACT_CLONE,
		.liars = 3,
		.excused = 1u << CHECK_FALSE_DEATH},
	{.name = "nat", .every = {[KIND_NAT] = 10}},
	{.name = "ways", .every = {[KIND_FAR] = 2, [KIND_NAT] = 30, [KIND_CRASH] = 40}},
	{.name = "claims", .every = {[KIND_PART] = 20, [KIND_CRASH] = 2, [KIND_FORGET] = 3}},
	{.name = "badlinks",
		.every = {[KIND_CRASH] = 20, [KIND_PREFIX] = 10},
		.rough = {.share = 100000,
			.loss_min = 200000,
			.loss_max = 400000,
			.jitter = {100000000}}},
	{.name = "mtu", .every = {[KIND_MTU] = 2}},
	{.name = "all",
		.every = {[KIND_PART] = 60,
			[KIND_CUT] = 10,
			[KIND_FAR] = 10,
			[KIND_CRASH] = 15,
			[KIND_STALL] = 3,
			[KIND_CLOCK] = 15,
			[KIND_ROAM] = 40,
			[KIND_PREFIX] = 5,
			[KIND_REPLAY] = 300,
			[KIND_LIE] = 500,
			[KIND_GREED] = 30,
			[KIND_NAT] = 60,
			[KIND_MTU] = 5,
			[KIND_FORGET] = 10},
		.link = LOSSY_LINK,
		.corrupt = 1000},
};

struct cut {
	unsigned from, to;
	ts_t until; /* zero: free */
};

struct sim_faults {
	struct sim *s;
	const struct profile *p;
	struct sim_event tick;
	ts_t part_until;
	struct cut cuts[CUTS_MAX];
};

static uint64_t below(struct sim_faults *f, uint64_t n)
{
	return prng_below(&f->s->prng, n);
}

static unsigned any_host(struct sim_faults *f)
{
	return (unsigned)below(f, f->s->cfg.nodes);
}

static ts_t within(struct sim_faults *f, unsigned min_ms, unsigned max_ms)
{
	return ts_add(f->s->now, DUR_MS(min_ms + below(f, max_ms - min_ms + 1)));
}

/* --- the kinds --- */

static void part_end(struct sim_faults *f)
{
	sim_trace(f->s, -1, -1, "partition heals", 0);
	for (unsigned i = 0; i < f->s->cfg.nodes; i++)
		sim_net_side(f->s->net, i, 0);
	f->part_until = TS_ZERO;
}

static void part_begin(struct sim_faults *f)
{
	unsigned sides = 2 + (unsigned)below(f, 2);

	if (f->part_until.ns)
		return;
	sim_trace(f->s, -1, -1, "partition", sides);
	for (unsigned i = 0; i < f->s->cfg.nodes; i++)
		sim_net_side(f->s->net, i, (unsigned)below(f, sides));
	f->part_until = within(f, 2000, 40000);
}

static void cut_for(struct sim_faults *f, unsigned min_ms, unsigned max_ms)
{
	unsigned a = any_host(f), b = any_host(f);
	bool both = below(f, 2);

	for (unsigned i = 0; a != b && i + 1 < CUTS_MAX; i += 2) {
		if (f->cuts[i].until.ns || f->cuts[i + 1].until.ns)
			continue;
		f->cuts[i] = (struct cut){a, b, within(f, min_ms, max_ms)};
		sim_net_cut(f->s->net, a, b, true);
		if (both) {
			f->cuts[i + 1] = (struct cut){b, a, f->cuts[i].until};
			sim_net_cut(f->s->net, b, a, true);
		}
		return;
	}
}

static void cut_begin(struct sim_faults *f)
{
	cut_for(f, 500, 30000);
}

static void far_begin(struct sim_faults *f)
{
	cut_for(f, 25000, 80000);
}

static void crash_begin(struct sim_faults *f)
{
	struct sim_node *n = f->s->nodes[any_host(f)];
	uint64_t how = below(f, 10);

	if (!n->running)
		return;
	if (how < 3)
		sim_node_stop(n);
	else
		sim_node_crash(n, how < 7 ? DISK_KEPT : how < 8 ? DISK_LOST : DISK_ROLLED_BACK);
	sim_node_start_at(n, within(f, 200, 30000));
}

static void stall_begin(struct sim_faults *f)
{
	struct sim_node *n = f->s->nodes[any_host(f)];

	if (n->running && ts_due(n->stalled_until, f->s->now))
		sim_node_stall(n, below(f, 20) ? within(f, 20, 2000) : within(f, 12000, 15000));
}

static void clock_begin(struct sim_faults *f)
{
	int64_t far = below(f, 4) == 0 ? 315360000 : 100; /* ten years */

	sim_node_step_clock(f->s->nodes[any_host(f)],
		((int64_t)below(f, (uint64_t)(2 * far)) - far) * 1000000000);
}

static void roam_begin(struct sim_faults *f)
{
	unsigned host = any_host(f);

	sim_net_move(f->s->net, host);
	sim_node_moved(f->s->nodes[host]);
}

/* A claim that lies in, over or beside those of others. */
static void odd_prefix(struct sim_faults *f, struct gossip_prefix *out)
{
	static const uint8_t lens[] = {22, 23, 24, 25, 28, 32};

	sim_node_own_prefix(any_host(f), out);
	(void)pfx_make(&out->pfx.ip, lens[below(f, sizeof(lens))], &out->pfx);
	out->right = (uint8_t)(RIGHT_ORCHESTRATOR + below(f, 3));
	out->claimed_at_secs = below(f, 4) ? 1700000000 + below(f, 1000) : 0;
	out->vni = VNI_DEFAULT + (below(f, 5) == 0);
	out->exit = below(f, 4) == 0;
	if (out->exit && below(f, 2)) {
		struct ip any = ip_v4(0);

		(void)pfx_make(&any, 0, &out->pfx);
	}
}

static bool has(const struct gossip_prefix *v, size_t n, const struct gossip_prefix *p)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].vni == p->vni && v[i].exit == p->exit && pfx_eq(&v[i].pfx, &p->pfx))
			return true;
	return false;
}

static void prefix_begin(struct sim_faults *f)
{
	struct sim_node *n = f->s->nodes[any_host(f)];
	struct gossip_prefix v[SIM_PREFIXES], odd;
	size_t count = n->nprefixes;

	memcpy(v, n->prefixes, sizeof(v));
	odd_prefix(f, &odd);
	if (count == SIM_PREFIXES || (count > 1 && below(f, 2)))
		v[1 + below(f, count - 1)] = v[count - 1], count--;
	else if (!has(v, count, &odd))
		v[count++] = odd;
	sim_node_set_prefixes(n, v, count);
}

static void replay_begin(struct sim_faults *f)
{
	sim_net_replay(f->s->net);
}

static void lie_begin(struct sim_faults *f)
{
	hostile_lie(f->s);
}

static void flood_begin(struct sim_faults *f)
{
	hostile_flood(f->s);
}

static void deaf_begin(struct sim_faults *f)
{
	hostile_deaf(f->s);
}

static void news_begin(struct sim_faults *f)
{
	hostile_news(f->s);
}

static void accuse_begin(struct sim_faults *f)
{
	hostile_accuse(f->s);
}

static void relay_begin(struct sim_faults *f)
{
	hostile_relay(f->s);
}

static void greed_begin(struct sim_faults *f)
{
	hostile_greed(f->s);
}

static void clone_begin(struct sim_faults *f)
{
	hostile_clone(f->s);
}

static void nat_begin(struct sim_faults *f)
{
	sim_net_nat(f->s->net, any_host(f), (enum sim_nat_kind)below(f, NAT_KINDS));
}

static void mtu_begin(struct sim_faults *f)
{
	static const unsigned mtus[] = {1280, 1400, 1500, 9000};

	sim_net_mtu(f->s->net, any_host(f), mtus[below(f, sizeof(mtus) / sizeof(mtus[0]))]);
}

/* One of those that are down, if there are any. */
static void forget_begin(struct sim_faults *f)
{
	struct sim_node *n = f->s->nodes[any_host(f)];
	unsigned at = any_host(f);

	for (unsigned i = 0; i < f->s->cfg.nodes; i++) {
		struct sim_node *o = f->s->nodes[(at + i) % f->s->cfg.nodes];

		if (o->running || !o->disk.used)
			continue;
		sim_node_forget(n, o);
		return;
	}
}

static void (*const begin[KINDS])(struct sim_faults *f) = {
	[KIND_PART] = part_begin,
	[KIND_CUT] = cut_begin,
	[KIND_CRASH] = crash_begin,
	[KIND_STALL] = stall_begin,
	[KIND_CLOCK] = clock_begin,
	[KIND_ROAM] = roam_begin,
	[KIND_PREFIX] = prefix_begin,
	[KIND_REPLAY] = replay_begin,
	[KIND_LIE] = lie_begin,
	[KIND_FLOOD] = flood_begin,
	[KIND_DEAF] = deaf_begin,
	[KIND_GREED] = greed_begin,
	[KIND_CLONE] = clone_begin,
	[KIND_NAT] = nat_begin,
	[KIND_MTU] = mtu_begin,
	[KIND_FORGET] = forget_begin,
	[KIND_NEWS] = news_begin,
	[KIND_ACCUSE] = accuse_begin,
	[KIND_RELAY] = relay_begin,
	[KIND_FAR] = far_begin,
};

/* --- the whole --- */

static void ends(struct sim_faults *f)
{
	if (f->part_until.ns && ts_due(f->part_until, f->s->now))
		part_end(f);
	for (int i = 0; i < CUTS_MAX; i++)
		if (f->cuts[i].until.ns && ts_due(f->cuts[i].until, f->s->now)) {
			sim_net_cut(f->s->net, f->cuts[i].from, f->cuts[i].to, false);
			f->cuts[i].until = TS_ZERO;
		}
}

/* Beside a real daemon nodes lie but don't crash: it is asked whether it keeps all others. */
static bool happens(const struct sim_faults *f, int kind)
{
	return f->p->every[kind] && !(f->s->cfg.outside && kind == KIND_CRASH);
}

static void on_tick(struct sim *s, struct sim_event *e)
{
	struct sim_faults *f = s->faults;

	sim_at(s, e, ts_add(s->now, TICK));
	ends(f);
	for (int k = 0; k < KINDS && !s->failed; k++) {
		uint64_t ticks = (uint64_t)f->p->every[k] * TICKS_SEC;

		if (k == KIND_REPLAY || k == KIND_LIE || k == KIND_FLOOD || k == KIND_NEWS ||
			k == KIND_ACCUSE)
			ticks /= 1000;
		if (happens(f, k) && below(f, ticks ? ticks : 1) == 0)
			begin[k](f);
	}
}

struct sim_faults *sim_faults_new(struct sim *s, const char *profile)
{
	struct sim_faults *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->s = s;
	f->tick.fire = on_tick;
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		if (strcmp(profile, profiles[i].name) == 0)
			f->p = &profiles[i];
	if (!f->p) {
		free(f);
		return NULL;
	}
	s->cfg.checks |= f->p->excused;
	s->liars = f->p->liars ? f->p->liars : s->cfg.liars;
	if (f->p->link.delay_max.ns)
		sim_net_link(s->net, &f->p->link);
	sim_net_rough(s->net, &f->p->rough);
	sim_net_remember(s->net, f->p->every[KIND_REPLAY] && !s->cfg.no_crypto);
	return f;
}

void sim_faults_free(struct sim_faults *f)
{
	free(f);
}

bool sim_faults_any(const struct sim_faults *f)
{
	for (int k = 0; k < KINDS; k++)
		if (f->p->every[k])
			return true;
	return f->p->link.loss > 0 || f->p->rough.share > 0;
}

static void set_corrupt(struct sim_faults *f, uint32_t corrupt)
{
	struct sim_link l = f->p->link.delay_max.ns ? f->p->link : *sim_net_base();

	l.corrupt = corrupt;
	sim_net_link(f->s->net, &l);
}

void sim_faults_begin(struct sim_faults *f)
{
	set_corrupt(f, f->p->corrupt);
	sim_at(f->s, &f->tick, ts_add(f->s->now, TICK));
	/* Who watches a real daemon doesn't wait for each kind's turn. */
	for (int k = 0; k < KINDS && f->s->cfg.outside; k++)
		if (happens(f, k))
			begin[k](f);
}

/* Relays show only where data goes by them. */
static unsigned counted(const struct sim_faults *f)
{
	bool data = f->s->cfg.data && !f->s->cfg.no_paths;

	return f->p->counted & ~(data ? 0u : (unsigned)ACT_RELAY);
}

/* The translator before a host goes: it has another address now, and hears so. */
static void open_door(struct sim_faults *f, unsigned host)
{
	struct ep before = sim_net_inner_ep(f->s->net, host), after;

	sim_net_nat(f->s->net, host, NAT_NONE);
	after = sim_net_inner_ep(f->s->net, host);
	if (!ep_eq(&before, &after))
		sim_node_moved(f->s->nodes[host]);
}

void sim_faults_heal(struct sim_faults *f)
{
	const char *missing;

	sim_at(f->s, &f->tick, TS_NEVER);
	if (counted(f) && !hostile_counted(f->s, counted(f), &missing))
		sim_fail(f->s, CHECK_COUNTED, "nobody counted %s", missing);
	set_corrupt(f, 0);
	hostile_heal(f->s);
	if (f->part_until.ns)
		part_end(f);
	for (int i = 0; i < CUTS_MAX; i++)
		f->cuts[i].until = TS_ZERO;
	sim_net_heal(f->s->net);
	for (unsigned i = 0; i < f->s->cfg.nodes; i++) {
		struct sim_node *n = f->s->nodes[i];

		open_door(f, i);
		if (!n->running)
			sim_node_start_at(n, f->s->now);
		else if (!ts_due(n->stalled_until, f->s->now))
			sim_node_stall(n, f->s->now);
	}
}

const char *sim_faults_name(unsigned i)
{
	return i < sizeof(profiles) / sizeof(profiles[0]) ? profiles[i].name : NULL;
}
