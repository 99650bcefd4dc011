/* peers_paper.c - see peers_paper.h. In: datagrams at hosts whose node doesn't run. Out: their answers, and
 * starts of nodes that the daemon calls. A record is made by a gossip core of its own, which lives only
 * until it has said it.
 *
 * Those on paper pass nothing on, so news would not get everywhere: whoever becomes whole is given all
 * records at once, as if it had been there all the time. */
#include "peers_paper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "weft/wire.h"
#include "gossip.h"
#include "gossip_wire.h"
#include "member_wire.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_sess.h"

#define RECORDS_WITHIN DUR_SEC(2) /* of virtual time: then a core has said its own records */

/* RECORDS messages that were said, and by whom. */
struct said {
	struct said *next;
	unsigned host;
	size_t len;
	uint8_t buf[];
};

struct paper {
	struct sim *s;
	struct sim_stub *stubs; /* by host */
	struct said *said, **said_end;
	struct whole *whole;
};

/* A node that begins. */
struct whole {
	struct sim_event ev;
	struct paper *p;
	struct whole *next;
	unsigned host;
};

/* --- what they answer --- */

/* A probe is answered by what it says itself: same records, same dead. */
static size_t answer_member(struct rd *r, uint8_t out[SIM_STUB_MAX])
{
	struct member_probe probe;
	uint8_t kind = rd_u8(r);
	struct wr w;

	wr_init(&w, out, SIM_STUB_MAX);
	wr_u8(&w, WIRE_CTL_GOSSIP);
	wr_u8(&w, GOSSIP_MSG_MEMBER);
	if (kind == MEMBER_MSG_PROBE && member_probe_decode(r, &probe) == 0)
		member_probe_encode(&w, MEMBER_MSG_ACK, &probe);
	else if (kind == MEMBER_MSG_REQ)
		member_short_encode(&w, MEMBER_MSG_NACK, rd_u16(r));
	else
		return 0;
	return wr_bad(&w) || rd_bad(r) ? 0 : wr_len(&w);
}

static size_t answer_control(const uint8_t *msg, size_t len, uint8_t out[SIM_STUB_MAX])
{
	struct rd r;

	rd_init(&r, msg, len);
	if (rd_u8(&r) != WIRE_CTL_GOSSIP || rd_u8(&r) != GOSSIP_MSG_MEMBER)
		return 0;
	return answer_member(&r, out);
}

/* It has just started: the first node tells it all. */
static void on_whole(struct sim *s, struct sim_event *e)
{
	struct whole *w = list_entry(e, struct whole, ev);
	struct sim_node *n = s->nodes[w->host], *first = s->nodes[0];
	struct ep ep = sim_net_ep(s->net, 0);
	ts_t now = sim_node_now(n);

	if (!n->running || gossip_link_up(n->gossip, &first->id.pub, &ep, now) != 0)
		return;
	for (const struct said *m = w->p->said; m; m = m->next)
		if (m->host != w->host)
			(void)gossip_recv(n->gossip, &first->id.pub, m->buf, m->len, now);
	gossip_link_down(n->gossip, &first->id.pub, now);
	sim_node_turn(n);
}

static void become_whole(struct paper *p, unsigned host)
{
	struct sim_node *n = p->s->nodes[host], *first = p->s->nodes[0];
	struct whole *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->ev.fire = on_whole;
	w->p = p;
	w->host = host;
	w->next = p->whole;
	p->whole = w;
	n->disk.peers[0].key = first->id.pub;
	n->disk.peers[0].ep = sim_net_ep(p->s->net, 0);
	n->disk.npeers = 1;
	sim_node_start_at(n, p->s->now);
	sim_at(p->s, &w->ev, p->s->now);
}

static void at_paper(
	void *ctx, unsigned host, const struct ep *from, const uint8_t *buf, size_t len)
{
	struct paper *p = ctx;
	uint8_t out[SIM_STUB_MAX];
	size_t n;

	/* The daemon calls again: what it said is lost, as while a node starts. */
	if (sim_net_is_outside(p->s->net, from)) {
		become_whole(p, host);
		return;
	}
	n = sim_stub_answer(&p->stubs[host], buf, len, answer_control, out);
	if (n)
		sim_net_send(p->s->net, host, WIRE_DEFAULT_PORT, from, out, n, n);
}

/* --- their records --- */

static void keep(struct paper *p, unsigned host, const uint8_t *buf, size_t len)
{
	struct said *m = calloc(1, sizeof(*m) + len);

	if (!m)
		abort();
	m->host = host;
	m->len = len;
	memcpy(m->buf, buf, len);
	*p->said_end = m;
	p->said_end = &m->next;
}

/* All that @g of @host says of itself. */
static void hand_over(struct paper *p, unsigned host, struct gossip *g, ts_t now, ts_t until)
{
	struct sim_node *first = p->s->nodes[0];
	struct gossip_act a;

	while (ts_due(now, until)) {
		while (gossip_next(g, &a)) {
			if (a.type != GOSSIP_SEND || a.buf[0] != GOSSIP_MSG_RECORDS)
				continue;
			keep(p, host, a.buf, a.len);
			(void)gossip_recv(first->gossip, &p->stubs[host].self, a.buf, a.len,
				sim_node_now(first));
		}
		now = gossip_deadline(g);
		if (ts_due(now, until))
			gossip_tick(g, now);
	}
}

static bool introduce(struct paper *p, unsigned host)
{
	struct sim_node *n = p->s->nodes[host], *first = p->s->nodes[0];
	struct ep ep = sim_net_ep(p->s->net, host);
	struct gossip_cfg c = {.epoch = 1, .seed = host, .version = "sim"};
	struct secret_keys keys;
	struct identity id;
	struct gossip *g;
	ts_t now = sim_node_now(first);

	identity_generate(&id);
	memcpy(n->disk.seed, id.seed, sizeof(n->disk.seed));
	n->disk.used = true;
	n->disk.epoch = 1;
	p->stubs[host].self = id.pub;
	sim_node_secret(&keys, &c.cluster);
	c.id = &id;
	memcpy(c.name, n->name, sizeof(c.name));
	g = gossip_new(&c, now);
	if (!g || gossip_set_endpoints(g, &ep, 1, now) != 0 ||
		gossip_set_prefixes(g, n->prefixes, n->nprefixes, now) != 0 ||
		gossip_link_up(g, &first->id.pub, NULL, now) != 0 ||
		gossip_link_up(first->gossip, &id.pub, &ep, now) != 0) {
		gossip_free(g);
		return false;
	}
	hand_over(p, host, g, now, ts_add(now, RECORDS_WITHIN));
	gossip_link_down(first->gossip, &id.pub, now);
	gossip_free(g);
	identity_wipe(&id);
	sim_node_turn(first);
	return true;
}

struct paper *paper_new(struct sim *s)
{
	struct paper *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->s = s;
	p->said_end = &p->said;
	p->stubs = calloc(s->cfg.nodes, sizeof(*p->stubs));
	if (!p->stubs)
		goto fail;
	sim_net_stand_in(s->net, at_paper, p);
	sim_node_start_at(s->nodes[0], s->now);
	for (unsigned i = 1; i < s->cfg.nodes; i++)
		if (!sim_run(s, ts_add(s->now, DUR_MS(1))) || !introduce(p, i))
			goto fail;
	return p;
fail:
	paper_free(p);
	return NULL;
}

void paper_free(struct paper *p)
{
	if (!p)
		return;
	sim_net_stand_in(p->s->net, NULL, NULL);
	while (p->whole) {
		struct whole *w = p->whole;

		p->whole = w->next;
		sim_at(p->s, &w->ev, TS_NEVER);
		free(w);
	}
	while (p->said) {
		struct said *m = p->said;

		p->said = m->next;
		free(m);
	}
	free(p->stubs);
	free(p);
}
