/* peers_paper.c - see peers_paper.h. In: datagrams at hosts whose node doesn't run. Out: their answers, and
 * starts of nodes that the daemon calls. A record is made by a gossip core of its own, which lives only
 * until the first node has it. */
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

struct paper {
	struct sim *s;
	struct sim_stub *stubs; /* by host */
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

static void become_whole(struct paper *p, unsigned host)
{
	struct sim_node *n = p->s->nodes[host], *first = p->s->nodes[0];

	n->disk.peers[0].key = first->id.pub;
	n->disk.peers[0].ep = sim_net_ep(p->s->net, 0);
	n->disk.npeers = 1;
	sim_node_start_at(n, p->s->now);
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

/* All that @g says to @first of itself. */
static void hand_over(
	struct sim_node *first, struct gossip *g, const struct node_key *self, ts_t now, ts_t until)
{
	struct gossip_act a;

	while (ts_due(now, until)) {
		while (gossip_next(g, &a))
			if (a.type == GOSSIP_SEND && a.buf[0] == GOSSIP_MSG_RECORDS)
				(void)gossip_recv(
					first->gossip, self, a.buf, a.len, sim_node_now(first));
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
	hand_over(first, g, &id.pub, now, ts_add(now, RECORDS_WITHIN));
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
	free(p->stubs);
	free(p);
}
