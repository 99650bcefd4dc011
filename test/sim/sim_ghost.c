/* sim_ghost.c - see the header. In: datagrams, deadlines of their sessions. Out: datagrams. */
#include "sim_ghost.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "gossip_wire.h"
#include "list.h"
#include "member_wire.h"
#include "record.h"
#include "sim.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_sess.h"

#define RECORDS    3 /* of each ghost */
#define TELL_EVERY DUR_MS(50)
#define TELL_BURST 16 /* datagrams to each node in that time */
#define TELL_AGAIN DUR_SEC(10)

struct ghost {
	struct sim_ghosts *all;
	unsigned host;
	struct identity id;
	struct sim_sess *sess;
	struct sim_event wake;
};

/* What a node has been told. */
struct told {
	struct list link;
	uint32_t peer;
	const struct sim_node *node;
	size_t next;
	ts_t again; /* not before: what got lost on the way is told once more, all of it */
};

struct sim_ghosts {
	struct sim *s;
	struct ghost *v;
	unsigned count;
	uint8_t (*records)[LIM_RECORD_BYTES];
	uint16_t *lens;
	size_t nrecords;
	struct list told;
	struct sim_event tell;
};

/* --- records --- */

static void sign(struct sim_ghosts *g, struct ghost *x, uint8_t type, const uint8_t *body, int len)
{
	struct record r = {
		.type = type, .epoch = 1, .seq = type, .body = body, .body_len = (size_t)len};
	struct secret_keys keys;

	assert(len > 0);
	sim_node_secret(&keys, &r.cluster);
	len = record_sign(&x->id, &r, g->records[g->nrecords]);
	assert(len > 0);
	g->lens[g->nrecords++] = (uint16_t)len;
}

static void publish(struct sim_ghosts *g, struct ghost *x)
{
	struct record_node node = {.version = "sim"};
	struct ep ep = sim_net_ep(g->s->net, x->host);
	struct gossip_prefix p;
	uint8_t body[RECORD_BODY_MAX];

	snprintf(node.name, sizeof(node.name), "n%u", x->host);
	sim_node_own_prefix(x->host, &p);
	sign(g, x, RECORD_NODE, body, record_node_encode(&node, body));
	sign(g, x, RECORD_ENDPOINTS, body, record_endpoints_encode(&ep, 1, body));
	sign(g, x, RECORD_PREFIXES, body, record_prefixes_encode(&p, 1, body));
}

/* As many as one message holds. */
static void tell_some(struct sim_ghosts *g, struct told *t)
{
	uint8_t buf[WIRE_CTL_BODY_MAX];
	struct wr w;

	wr_init(&w, buf, sizeof(buf));
	wr_u8(&w, GOSSIP_MSG_RECORDS);
	while (t->next < g->nrecords && wr_left(&w) >= g->lens[t->next]) {
		wr_copy(&w, g->records[t->next], g->lens[t->next]);
		t->next++;
	}
	(void)sim_sess_send(g->v[0].sess, t->peer, WIRE_CTL_GOSSIP, buf, wr_len(&w), g->s->now);
}

/* --- what a ghost does --- */

static void say(struct ghost *x, uint32_t peer, const struct wr *w, const uint8_t *buf)
{
	(void)sim_sess_send(x->sess, peer, WIRE_CTL_GOSSIP, buf, wr_len(w), x->all->s->now);
}

/* A probe is answered with what it says itself; who wants to know of another hears that it's not
 * reached. */
static void on_recv(struct ghost *x, const struct sess_act *a)
{
	uint8_t buf[WIRE_CTL_BODY_MAX];
	struct member_probe p;
	struct rd r;
	struct wr w;

	rd_init(&r, a->buf, a->len);
	wr_init(&w, buf, sizeof(buf));
	wr_u8(&w, GOSSIP_MSG_MEMBER);
	if (rd_u8(&r) != WIRE_CTL_GOSSIP || rd_u8(&r) != GOSSIP_MSG_MEMBER)
		return;
	switch (rd_u8(&r)) {
	case MEMBER_MSG_PROBE:
		if (member_probe_decode(&r, &p) != 0)
			return;
		member_probe_encode(&w, MEMBER_MSG_ACK, &p);
		break;
	case MEMBER_MSG_REQ:
		member_short_encode(&w, MEMBER_MSG_NACK, rd_u16(&r));
		break;
	default:
		return;
	}
	say(x, a->peer, &w, buf);
}

/* The first ghost has reached a node. */
static void on_up(struct ghost *x, const struct sess_act *a)
{
	struct told *t;

	if (x != &x->all->v[0] || !sim_node_of(x->all->s, &a->key))
		return;
	t = calloc(1, sizeof(*t));
	if (!t)
		abort();
	t->peer = a->peer;
	t->node = sim_node_of(x->all->s, &a->key);
	list_add_tail(&x->all->told, &t->link);
}

static void turn_ends(struct ghost *x)
{
	struct sim *s = x->all->s;
	struct sess_act a;

	while (sim_sess_next(x->sess, &a)) {
		if (a.type == SESS_SEND)
			sim_net_send(s->net, x->host, WIRE_DEFAULT_PORT, &a.to, a.buf, a.len,
				sim_sess_wire_len(x->sess, a.buf, a.len));
		else if (a.type == SESS_RECV)
			on_recv(x, &a);
		else if (a.type == SESS_UP)
			on_up(x, &a);
	}
	sim_at(s, &x->wake, sim_sess_deadline(x->sess));
}

static void on_wake(struct sim *s, struct sim_event *e)
{
	struct ghost *x = list_entry(e, struct ghost, wake);

	sim_sess_tick(x->sess, s->now);
	turn_ends(x);
}

static bool knows_all(const struct sim_ghosts *g, const struct sim_node *n)
{
	struct members_stats st;

	gossip_member_stats(n->gossip, &st);
	return st.alive == g->s->cfg.nodes + g->count;
}

/* Ghosts can't be compared with: what a node lacks in the end it is told again. */
static void tell_node(struct sim_ghosts *g, struct told *t)
{
	if (t->next == g->nrecords && ts_due(t->again, g->s->now) && !knows_all(g, t->node))
		t->next = 0;
	for (int i = 0; i < TELL_BURST && t->next < g->nrecords; i++) {
		tell_some(g, t);
		t->again = ts_add(g->s->now, TELL_AGAIN);
	}
}

static void on_tell(struct sim *s, struct sim_event *e)
{
	struct sim_ghosts *g = list_entry(e, struct sim_ghosts, tell);
	struct list *n, *t;

	list_each(&g->told, n, t) tell_node(g, list_entry(n, struct told, link));
	turn_ends(&g->v[0]);
	sim_at(s, e, ts_add(s->now, TELL_EVERY));
}

void sim_ghost_datagram(struct sim_ghosts *g, unsigned host, const struct ep *from,
	const struct ip *local, uint8_t *buf, size_t len)
{
	struct ghost *x = &g->v[host - g->s->cfg.nodes];

	(void)sim_sess_recv(x->sess, from, local, buf, len, g->s->now);
	turn_ends(x);
}

void sim_ghosts_introduce(struct sim_ghosts *g)
{
	for (unsigned i = 0; i < g->s->cfg.nodes; i++) {
		struct ep ep = sim_net_ep(g->s->net, i);

		(void)sim_sess_connect(g->v[0].sess, &ep, NULL, TS_NEVER, g->s->now);
	}
	turn_ends(&g->v[0]);
	sim_at(g->s, &g->tell, ts_add(g->s->now, TELL_EVERY));
}

bool sim_ghosts_known(const struct sim_ghosts *g)
{
	for (unsigned i = 0; i < g->s->cfg.nodes; i++)
		if (!knows_all(g, g->s->nodes[i]))
			return false;
	return true;
}

/* --- life --- */

static bool ghost_init(struct sim_ghosts *g, struct ghost *x, unsigned host)
{
	struct sess_cfg c = {.id = &x->id, .seed = prng_next(&g->s->prng), .tune = g->s->cfg.tune};

	x->all = g;
	x->host = host;
	x->wake.fire = on_wake;
	identity_generate(&x->id);
	x->sess = sim_sess_new(&c, true, g->s->now);
	if (!x->sess)
		return false;
	publish(g, x);
	return true;
}

struct sim_ghosts *sim_ghosts_new(struct sim *s, unsigned count)
{
	struct sim_ghosts *g = calloc(1, sizeof(*g));

	assert(s->cfg.no_crypto);
	if (!g)
		return NULL;
	g->s = s;
	g->tell.fire = on_tell;
	list_init(&g->told);
	g->v = calloc(count + 1, sizeof(*g->v));
	g->records = calloc(RECORDS * count + 1, sizeof(*g->records));
	g->lens = calloc(RECORDS * count + 1, sizeof(*g->lens));
	if (!g->v || !g->records || !g->lens)
		goto fail;
	for (; g->count < count; g->count++)
		if (!ghost_init(g, &g->v[g->count], s->cfg.nodes + g->count))
			goto fail;
	return g;
fail:
	sim_ghosts_free(g);
	return NULL;
}

void sim_ghosts_free(struct sim_ghosts *g)
{
	struct list *n, *t;

	if (!g)
		return;
	list_each(&g->told, n, t) free(list_entry(n, struct told, link));
	for (unsigned i = 0; i < g->count; i++) {
		sim_sess_free(g->v[i].sess);
		identity_wipe(&g->v[i].id);
	}
	free(g->v);
	free(g->records);
	free(g->lens);
	free(g);
}
