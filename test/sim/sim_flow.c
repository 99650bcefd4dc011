/* sim_flow.c - see sim_flow.h. In: seconds, data packets. Out: data packets, sim_fail().
 *
 * A body: what 8 | number 64 of the one that is called | of the call. An answer has the same number. */
#include "sim_flow.h"

#include <string.h>
#include "weft/buf.h"
#include "invariants.h"
#include "sim.h"
#include "sim_data.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_path.h"
#include "sim_ways.h"

#define KEEP_MIN     30 /* seconds with one partner */
#define KEEP_MAX     90
#define QUIET        DUR_SEC(2) /* no silence worth a look */
#define DIRECT_GRACE DUR_SEC(10)
#define RELAY_GRACE  DUR_SEC(20)

enum { FLOW_CALL = 1, FLOW_ANSWER = 2 };

static void put(uint8_t body[SIM_DATA_BODY], uint8_t what, uint64_t number)
{
	struct wr w;

	memset(body, 0, SIM_DATA_BODY);
	wr_init(&w, body, SIM_DATA_BODY);
	wr_u8(&w, what);
	wr_u64(&w, number);
}

static bool on(const struct sim_node *n)
{
	return n->s->cfg.data && n->path && n->s->cfg.nodes > 1;
}

static void begin(struct sim_node *n)
{
	struct sim_flow *f = &n->flow;

	f->to = (n->index + 1 + (unsigned)prng_below(&n->prng, n->s->cfg.nodes - 1)) %
		n->s->cfg.nodes;
	f->begun = f->hindered = n->s->now;
	f->called = TS_ZERO;
	f->until = ts_add(
		n->s->now, DUR_SEC(KEEP_MIN + (int64_t)prng_below(&n->prng, KEEP_MAX - KEEP_MIN)));
}

void sim_flow_second(struct sim_node *n)
{
	struct sim_flow *f = &n->flow;
	uint8_t body[SIM_DATA_BODY];
	struct sim_node *to;
	struct sim_slot *p;

	if (!on(n))
		return;
	if (ts_due(f->until, n->s->now))
		begin(n);
	to = n->s->nodes[f->to];
	if (!to->running)
		return;
	if (f->called.ns == 0)
		f->called = n->s->now;
	p = sim_node_slot(n, &to->id.pub);
	if (!p || !sim_data_ready(n, p)) {
		if (gossip_demand(n->gossip, &to->id.pub, sim_node_now(n)) == 0)
			sim_path_hasten(n->path, &to->id.pub);
		return;
	}
	put(body, FLOW_CALL, ++f->sent);
	sim_data_send(n, p, body);
}

void sim_flow_data(struct sim_node *n, struct sim_slot *p, const uint8_t *body)
{
	struct sim_flow *f = &n->flow;
	uint8_t answer[SIM_DATA_BODY], what;
	const struct sim_node *to = n->s->nodes[f->to];
	struct rd r;

	if (!on(n))
		return;
	rd_init(&r, body, SIM_DATA_BODY);
	what = rd_u8(&r);
	if (what == FLOW_CALL && sim_data_ready(n, p)) {
		put(answer, FLOW_ANSWER, rd_u64(&r));
		sim_data_send(n, p, answer);
	} else if (what == FLOW_ANSWER && to->running && node_key_eq(&to->id.pub, &p->key)) {
		f->called = TS_ZERO;
		f->back++;
	}
}

static ts_t later(ts_t a, ts_t b)
{
	return ts_before(a, b) ? b : a;
}

/* Does it know of @o, and that it lives? */
static bool knows(const struct sim_node *n, const struct sim_node *o)
{
	struct gossip_node_info i;

	return gossip_node_get(n->gossip, &o->id.pub, &i) == 0 && sim_node_counts(&i);
}

static void check(struct sim_node *n)
{
	struct sim_flow *f = &n->flow;
	struct sim *s = n->s;
	struct sim_node *to = s->nodes[f->to];
	ts_t since, direct, way;
	dur_t d, w;

	if (!sim_way_awake(n) || !sim_way_awake(to) || !knows(n, to) || !knows(to, n))
		f->hindered = s->now;
	/* Before the first call that was lost nobody asked, and nobody was refused. */
	since = later(f->called.ns ? f->called : s->now, f->hindered);
	if (ts_before(s->now, ts_add(since, QUIET)))
		return;
	direct = later(since, sim_net_calm_since(s->net, n->index, to->index));
	way = later(since, sim_way_since(s, n->index, to->index));
	d = ts_sub(s->now, direct);
	w = ts_sub(s->now, way);
	if (d.ns > f->worst[0].ns)
		f->worst[0] = d;
	if (d.ns == 0 && w.ns > f->worst[1].ns)
		f->worst[1] = w;
	if (d.ns > DIRECT_GRACE.ns)
		sim_fail(s, CHECK_REACHABLE,
			"n%u calls n%u, which nothing keeps it from, and has had no answer for "
			"%.0f s",
			n->index, to->index, (double)d.ns / 1e9);
	else if (w.ns > RELAY_GRACE.ns)
		sim_fail(s, CHECK_REACHABLE,
			"n%u calls n%u, which it can reach through others, and has had no answer "
			"for %.0f s",
			n->index, to->index, (double)w.ns / 1e9);
}

void sim_flows_forgive(struct sim *s)
{
	for (unsigned i = 0; i < s->cfg.nodes; i++)
		s->nodes[i]->flow.hindered = s->now;
}

void sim_flows_check(struct sim *s)
{
	for (unsigned i = 0; i < s->cfg.nodes && !s->failed; i++)
		if (s->nodes[i]->running && s->nodes[i]->flow.until.ns && on(s->nodes[i]))
			check(s->nodes[i]);
}
