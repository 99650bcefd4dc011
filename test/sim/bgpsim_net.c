/* bgpsim_net.c - what carries the cores: ways between hosts, sessions of gateways, ordered streams.
 *
 * A stream is TCP as the cores see it: bytes in order, cut anywhere, a bounded number of them under
 * way, sent again after a growing pause while the way is broken, a reset from a host that started anew,
 * and nothing at all from a dead one. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "bgp_msg.h"
#include "bgpsim_int.h"
#include "weft/err.h"
#include "weft/wire.h"

#define AGAIN_FIRST DUR_MS(200)
#define AGAIN_MAX   4 /* doublings */

/* --- ways --- */

bool bs_path(const struct bgpsim *s, unsigned a, unsigned b)
{
	return s->nodes[a].alive && s->nodes[b].alive && !s->cut[a][b];
}

/* Has each of them a route to the other's control address? */
static bool routed(const struct bgpsim *s, unsigned a, unsigned b)
{
	const struct bs_node *x = &s->nodes[a], *y = &s->nodes[b];

	return x->cluster == y->cluster || (x->link_of[b] && y->link_of[a]);
}

static void way_news(struct bgpsim *s, unsigned at, unsigned about, dur_t in)
{
	struct bs_news *k = bs_event(s, sizeof(*k), EV_WAY, in);

	k->at = at;
	k->about = about;
	k->way = true;
}

void bs_path_changed(struct bgpsim *s, unsigned a, unsigned b)
{
	dur_t in = bs_path(s, a, b) ? WAY_MENDS : WAY_FAILS;

	s->version++;
	way_news(s, a, b, in);
	way_news(s, b, a, in);
}

static dur_t latency(struct bgpsim *s, unsigned a, unsigned b)
{
	return (dur_t){s->latency[a][b].ns + (int64_t)prng_below(&s->rnd, 1000000)};
}

/* --- streams --- */

static struct bs_side *other(struct bs_side *me)
{
	return &me->st->s[me == &me->st->s[0]];
}

static bool owner_lives(const struct bgpsim *s, const struct bs_side *me)
{
	const struct bs_node *n = &s->nodes[me->node];

	return !me->gone && n->alive && n->life == me->life;
}

static struct bs_side *side_of(const struct bs_node *n, uint32_t conn)
{
	struct bs_side *x = n->sides;

	while (x && x->conn != conn)
		x = x->next;
	return x;
}

/* The owner of @me has done with it. */
static void leave(struct bgpsim *s, struct bs_side *me)
{
	struct bs_node *n = &s->nodes[me->node];

	if (owner_lives(s, me))
		for (struct bs_side **at = &n->sides; *at; at = &(*at)->next)
			if (*at == me) {
				*at = me->next;
				break;
			}
	me->gone = true;
	me->out_len = 0;
}

static void arm(struct bgpsim *s, struct bs_side *to, dur_t in)
{
	if (to->rx.n.pos == 0)
		bs_at(s, &to->rx, ts_add(s->now, in));
}

static void drop(struct bgpsim *s, struct bs_stream *st)
{
	for (int k = 0; k < 2; k++) {
		tq_cancel(&s->q, &st->s[k].rx.n);
		free(st->s[k].q);
		free(st->s[k].msg);
	}
	memset(st, 0, sizeof(*st));
}

void bs_stream_reap(struct bgpsim *s)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		struct bs_stream *st = &s->streams[i];

		if (st->used && !owner_lives(s, &st->s[0]) && !owner_lives(s, &st->s[1]))
			drop(s, st);
	}
}

/* The message that @me wrote is whole: count it, look at it. False: it is to be swallowed. */
static bool message(struct bgpsim *s, struct bs_side *me)
{
	unsigned type = me->msg[18];

	s->r->messages[0]++;
	s->r->messages[type < 8 ? type : 0]++;
	if (type == MSG_UPDATE) {
		s->updates++;
		bs_check_message(s, me->node, other(me)->node, me->msg, me->msg_len);
		if (s->cfg.plant == BGPSIM_PLANT_MUTE && prng_below(&s->rnd, 3) == 0)
			return false;
	}
	return true;
}

static void queue(struct bs_side *to, const uint8_t *p, size_t n)
{
	memcpy(to->q + to->len, p, n);
	to->len += n;
}

/* How long what @me writes at present is to be: the header alone first. */
static size_t wanted(const struct bs_side *me)
{
	size_t len = (size_t)me->msg[16] << 8 | me->msg[17];

	assert(me->msg_len < BGP_HDR_LEN || len >= BGP_HDR_LEN);
	return me->msg_len < BGP_HDR_LEN ? BGP_HDR_LEN : len;
}

/* Take bytes that @me writes, message by message as they get whole; what is begun counts as under way. */
static size_t take(struct bgpsim *s, struct bs_side *me, const uint8_t *buf, size_t len)
{
	struct bs_side *to = other(me);
	size_t room = STREAM_ROOM - to->len - me->msg_len, used = 0;

	if (len > room)
		len = room;
	while (used < len) {
		size_t want = wanted(me), n = want - me->msg_len;

		if (n > len - used)
			n = len - used;
		memcpy(me->msg + me->msg_len, buf + used, n);
		me->msg_len += n;
		used += n;
		if (me->msg_len < BGP_HDR_LEN || me->msg_len < wanted(me))
			continue;
		if (message(s, me))
			queue(to, me->msg, me->msg_len);
		me->msg_len = 0;
	}
	return used;
}

static void on_send(struct bs_node *n, const struct bgp_act *a)
{
	struct bs_side *me = side_of(n, a->conn);
	size_t took;

	if (!me) {
		(void)bgp_closed(n->bgp, a->conn, n->s->now);
		return;
	}
	took = take(n->s, me, a->buf, a->len);
	me->out = took ? NULL : a->buf;
	me->out_len = took ? 0 : a->len;
	arm(n->s, other(me), latency(n->s, n->idx, other(me)->node));
	(void)bgp_written(n->bgp, a->conn, took, n->s->now);
}

static void on_close(struct bs_node *n, const struct bgp_act *a)
{
	struct bs_side *me = side_of(n, a->conn);

	if (!me)
		return; /* it was only asked for */
	leave(n->s, me);
	other(me)->fin = true;
	arm(n->s, other(me), latency(n->s, n->idx, other(me)->node));
}

static void on_connect(struct bs_node *n, const struct bgp_act *a)
{
	struct bgpsim *s = n->s;

	for (unsigned i = 0; i < s->nnodes; i++) {
		struct bs_syn *y;

		if (!ip_eq(&s->nodes[i].control, &a->remote.ip))
			continue;
		y = bs_event(s, sizeof(*y), EV_SYN, (dur_t){2 * latency(s, n->idx, i).ns});
		y->from = n->idx;
		y->life = n->life;
		y->conn = a->conn;
		y->to = i;
	}
}

void bs_stream_act(struct bs_node *n, const struct bgp_act *a)
{
	if (a->type == BGP_CONNECT)
		on_connect(n, a);
	else if (a->type == BGP_SEND)
		on_send(n, a);
	else if (a->type == BGP_CLOSE)
		on_close(n, a);
}

static struct bs_stream *new_stream(struct bgpsim *s, const struct bs_syn *y, uint32_t accepted)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		struct bs_stream *st = &s->streams[i];

		if (st->used)
			continue;
		st->used = true;
		for (int k = 0; k < 2; k++) {
			struct bs_side *x = &st->s[k];

			x->st = st;
			x->rx.kind = EV_RX;
			x->node = k ? y->to : y->from;
			x->life = s->nodes[x->node].life;
			x->conn = k ? accepted : y->conn;
			x->next = s->nodes[x->node].sides;
			s->nodes[x->node].sides = x;
			x->q = malloc(STREAM_ROOM);
			x->msg = malloc(STREAM_ROOM);
			if (!x->q || !x->msg)
				abort();
		}
		return st;
	}
	abort(); /* more than there can be sessions */
}

void bs_stream_syn(struct bgpsim *s, struct bs_syn *y)
{
	struct bs_node *from = &s->nodes[y->from], *to = &s->nodes[y->to];
	struct bs_stream *st;
	uint32_t conn;

	if (!from->alive || from->life != y->life || !from->bgp)
		return;
	/* No answer: the core has a timer for that. */
	if (!bs_path(s, y->from, y->to) || !routed(s, y->from, y->to))
		return;
	if (!to->bgp || !to->listens ||
		bgp_accepted(to->bgp, VNI_CONTROL, &from->control, &to->control, s->now, &conn) <
			0) {
		(void)bgp_closed(from->bgp, y->conn, s->now);
		bs_node_drain(from);
		return;
	}
	st = new_stream(s, y, conn);
	if (bgp_connected(from->bgp, y->conn, &from->control, s->now) != 0) {
		leave(s, &st->s[0]); /* it gave up meanwhile */
		st->s[1].fin = true;
		arm(s, &st->s[1], latency(s, y->from, y->to));
	}
	bs_node_drain(from);
	bs_node_drain(to);
}

static void told_closed(struct bgpsim *s, struct bs_side *me)
{
	struct bs_node *n = &s->nodes[me->node];

	leave(s, me);
	if (n->bgp)
		(void)bgp_closed(n->bgp, me->conn, s->now);
	bs_node_drain(n);
}

/* Is the owner of @me there to hear? Else its host says so to the other end. */
static bool answers(struct bgpsim *s, struct bs_side *me)
{
	struct bs_side *peer = other(me);

	if (owner_lives(s, me))
		return true;
	me->len = 0;
	if (owner_lives(s, peer) && !me->fin) {
		peer->rst = true;
		arm(s, peer, latency(s, me->node, peer->node));
	}
	return false;
}

void bs_stream_rx(struct bgpsim *s, struct bs_side *me)
{
	struct bs_node *n = &s->nodes[me->node];
	struct bs_side *peer = other(me);
	size_t part;

	if (me->rst && owner_lives(s, me)) {
		told_closed(s, me);
		return;
	}
	if (!bs_path(s, me->node, peer->node) || !routed(s, me->node, peer->node)) {
		if (me->backoff < AGAIN_MAX)
			me->backoff++;
		arm(s, me, (dur_t){AGAIN_FIRST.ns << me->backoff});
		return;
	}
	me->backoff = 0;
	if (!answers(s, me))
		return;
	while (me->len && owner_lives(s, me) && n->bgp) {
		part = 1 + prng_below(&s->rnd, me->len);
		(void)bgp_recv(n->bgp, me->conn, me->q, part, s->now);
		memmove(me->q, me->q + part, me->len - part);
		me->len -= part;
		bs_node_drain(n);
	}
	if (me->fin && !me->len && owner_lives(s, me)) {
		told_closed(s, me);
		return;
	}
	if (peer->out_len && owner_lives(s, peer)) { /* there is room again */
		size_t took = take(s, peer, peer->out, peer->out_len);

		peer->out_len = 0;
		arm(s, me, latency(s, me->node, peer->node));
		(void)bgp_written(s->nodes[peer->node].bgp, peer->conn, took, s->now);
		bs_node_drain(&s->nodes[peer->node]);
	}
}

void bs_stream_reset(struct bgpsim *s, struct bs_stream *st)
{
	for (int k = 0; k < 2 && st->used; k++)
		if (owner_lives(s, &st->s[k]))
			told_closed(s, &st->s[k]);
}

/* --- sessions of gateways --- */

struct bs_sess *bs_sess_find(struct bgpsim *s, unsigned a, unsigned b)
{
	for (unsigned i = 0; i < s->nsess; i++)
		if ((s->sess[i].a == a && s->sess[i].b == b) ||
			(s->sess[i].a == b && s->sess[i].b == a))
			return &s->sess[i];
	return NULL;
}

static bool end_lives(const struct bgpsim *s, const struct bs_sess *x, int k)
{
	const struct bs_node *n = &s->nodes[k ? x->b : x->a];

	return n->alive && n->life == x->life[k];
}

static void tell(struct bgpsim *s, const struct bs_sess *x, int k, bool up)
{
	struct bs_node *n = &s->nodes[k ? x->b : x->a], *peer = &s->nodes[k ? x->a : x->b];
	uint32_t number = s->links[x->link].number[n->cluster != s->links[x->link].a];

	if (up)
		links_session_up(n->links, number, &peer->key, s->now);
	else
		links_session_down(n->links, number, &peer->key, s->now);
	bs_node_drain(n);
}

static void sess_down(struct bgpsim *s, struct bs_sess *x)
{
	bs_trace(s, "session %u-%u ends", x->a, x->b);
	x->up = false;
	for (int k = 0; k < 2; k++)
		if (end_lives(s, x, k))
			tell(s, x, k, false);
}

void bs_sess_dial(struct bs_node *n, const struct link_act *a)
{
	static const struct node_key none;
	struct bgpsim *s = n->s;

	for (unsigned i = 0; i < s->nnodes; i++) {
		struct bs_sess *x;

		if (!ep_eq(&s->nodes[i].ep, &a->ep))
			continue;
		if (!node_key_eq(&a->key, &none) && !node_key_eq(&a->key, &s->nodes[i].key))
			return;
		x = bs_sess_find(s, n->idx, i);
		if (!x || x->dialling || (x->up && end_lives(s, x, 0) && end_lives(s, x, 1)))
			return;
		x->dialling = true;
		tq_cancel(&s->q, &x->ev.n);
		bs_at(s, &x->ev, ts_add(s->now, (dur_t){3 * latency(s, n->idx, i).ns}));
	}
}

/* The handshake is over. Where one end had a session with an earlier life of the other, that ends. */
static void handshake(struct bgpsim *s, struct bs_sess *x)
{
	x->dialling = false;
	if (!bs_path(s, x->a, x->b)) {
		if (x->up)
			bs_at(s, &x->ev, ts_add(s->now, DUR_SEC(1)));
		return;
	}
	if (x->up)
		sess_down(s, x);
	x->up = true;
	x->silent_since = TS_NEVER;
	x->life[0] = s->nodes[x->a].life;
	x->life[1] = s->nodes[x->b].life;
	bs_trace(s, "session %u-%u stands", x->a, x->b);
	tell(s, x, 0, true);
	tell(s, x, 1, true);
	bs_at(s, &x->ev, ts_add(s->now, DUR_SEC(1)));
}

void bs_sess_event(struct bgpsim *s, struct bs_sess *x)
{
	if (x->dialling) {
		handshake(s, x);
		return;
	}
	if (!x->up)
		return;
	if (bs_path(s, x->a, x->b) && end_lives(s, x, 0) && end_lives(s, x, 1))
		x->silent_since = TS_NEVER;
	else if (bs_path(s, x->a, x->b)) { /* a reset: the other end knows no such session */
		sess_down(s, x);
		return;
	} else if (ts_is_never(x->silent_since))
		x->silent_since = s->now;
	else if (ts_due(ts_add(x->silent_since, SESS_SILENT), s->now)) {
		sess_down(s, x);
		return;
	}
	if (end_lives(s, x, 0) || end_lives(s, x, 1))
		bs_at(s, &x->ev, ts_add(s->now, DUR_SEC(1)));
	else
		x->up = false;
}

void bs_sess_send(struct bs_node *n, const struct link_act *a)
{
	struct bs_node *peer = bs_node_by_key(n->s, &a->key);
	struct bs_sess *x = peer ? bs_sess_find(n->s, n->idx, peer->idx) : NULL;
	struct bs_dgram *d;

	if (!x || !x->up || a->len > sizeof(d->buf))
		return;
	d = bs_event(n->s, sizeof(*d), EV_DGRAM, latency(n->s, n->idx, peer->idx));
	d->via = x;
	d->to = peer->idx;
	d->life = peer->life;
	d->from_life = n->life;
	d->len = a->len;
	memcpy(d->buf, a->buf, a->len);
}

void bs_dgram(struct bgpsim *s, struct bs_dgram *d)
{
	struct bs_sess *x = d->via;
	unsigned from = x->a == d->to ? x->b : x->a;
	struct bs_node *n = &s->nodes[d->to];
	int err;

	if (!x->up || !bs_path(s, from, d->to) || n->life != d->life || !n->links ||
		s->nodes[from].life != d->from_life)
		return;
	err = links_recv(n->links, s->links[x->link].number[n->cluster != s->links[x->link].a],
		&s->nodes[from].key, d->buf, d->len, s->now);
	if (err && err != ERR_STALE)
		bs_trace(s, "node %u: a greeting of %u: %s", d->to, from, err_str(err));
	bs_node_drain(n);
}
