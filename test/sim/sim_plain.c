/* sim_plain.c - sessions without cryptography: what they come to when everybody is who it says.
 *
 * A datagram: type byte as in wire.h | sender's key 32 | sender's life 64 | receiver's
 * life 64 | counter 64 | and in DATA a control type and its body. A life is a random number per start: a
 * datagram for another life of the receiver is answered with RESET, as an unknown index would be.
 *
 * Data packets are sim_data.c's: as on the wire. Their index is the low half of the receiver's life, their
 * tag both lives, the sender's first.
 *
 * States of a dial: INIT sent, then FINAL sent, until something arrives from the peer. A peer stands
 * from FINAL on at the responder, from the first DATA on at the initiator. */
#include "sim_plain.h"

#include <assert.h>
#include <endian.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/buf.h"
#include "weft/err.h"
#include "handshake.h"
#include "list.h"
#include "map.h"
#include "prng.h"
#include "timerq.h"

#define REDIAL_PATIENCE 2 /* as in session.c */
#define PLAIN_MAX       (PLAIN_HDR + 1 + WIRE_CTL_BODY_MAX)
#define PING_BODY       8                       /* when it was sent, ns */
#define PONG_BODY       (PING_BODY + 1 + 4 + 2) /* and the endpoint as it was seen: IPv4 */
#define NEAR_PEERS      64                      /* a power of two */
#define ROAM_HOLD       DUR_SEC(3)
#define LOST_REDIAL     DUR_SEC(30)
#define RESET_PERIOD    DUR_MS(20) /* LIM_RESETS_PER_SEC */
#define REKEY_FINAL     1          /* body of a FINAL that only stands for a rekey's traffic */

/* Which counters have come: RFC 6479's window, 64 wide. */
struct window {
	uint64_t top, seen;
};

struct plain_peer {
	struct tq_node timer;
	bool is_dial; /* false; tells timers apart */
	uint32_t handle;
	struct node_key key;
	struct ep ep;
	uint64_t life;
	struct window rx, lane; /* of control; of data, and relayed datagrams */
	uint64_t lane_tx;       /* counter; a session's are above those of the one before it */
	bool lane_newest;       /* the last that came was newer than all before */
	bool initiator, released;
	dur_t rtt; /* < 0: not measured */
	struct ep observed;
	ts_t last_rx, last_use, ping_at, rekey_at, moved_at;
};

struct plain_dial {
	struct tq_node timer;
	bool is_dial;
	struct list link;
	struct ep to;
	bool has_expect, final;
	unsigned finals; /* sent */
	struct node_key expect, found;
	uint64_t found_life;
	ts_t give_up;
	dur_t backoff;
};

struct plain_act {
	struct list link;
	struct sess_act act;
	uint8_t buf[];
};

struct plain {
	struct node_key self;
	struct sess_tune tune;
	struct prng prng;
	uint64_t life, counter, sessions;
	struct map *by_key;
	struct plain_peer *near[NEAR_PEERS]; /* by a byte of the key: who was looked for last */
	struct plain_peer **peers;           /* by handle; 0 is none */
	uint32_t npeers, cap_peers;
	uint32_t *spare; /* handles below npeers that are free */
	uint32_t nspare;
	struct list dials, acts;
	struct plain_act *taken; /* what the last action points to */
	struct timerq timers;
	ts_t reset_at;
};

/* --- actions --- */

static struct sess_act *push(struct plain *p, enum sess_act_type type, size_t len, uint8_t **buf)
{
	struct plain_act *a = malloc(sizeof(*a) + len);

	if (!a)
		abort();
	a->act = (struct sess_act){.type = type, .len = len, .buf = a->buf};
	if (buf)
		*buf = a->buf;
	list_add_tail(&p->acts, &a->link);
	return &a->act;
}

static struct sess_act *transmit(struct plain *p, uint8_t type, const struct ep *to,
	uint64_t to_life, const void *body, size_t len)
{
	uint8_t *buf;
	struct sess_act *a = push(p, SESS_SEND, PLAIN_HDR + len, &buf);
	struct wr w;

	a->to = *to;
	wr_init(&w, buf, PLAIN_HDR + len);
	plain_head(&w, type, &p->self, p->life, to_life, ++p->counter);
	wr_copy(&w, body, len);
	return a;
}

static void control_to(struct plain *p, struct plain_peer *t, const struct ep *to, uint8_t type,
	const void *body, size_t len)
{
	uint8_t msg[1 + WIRE_CTL_BODY_MAX];

	assert(len <= WIRE_CTL_BODY_MAX);
	msg[0] = type;
	if (len)
		memcpy(msg + 1, body, len);
	transmit(p, WIRE_DATA, to, t->life, msg, len + 1)->peer = t->handle;
}

static void control(
	struct plain *p, struct plain_peer *t, uint8_t type, const void *body, size_t len)
{
	control_to(p, t, &t->ep, type, body, len);
}

static void about(struct plain *p, enum sess_act_type type, const struct plain_peer *t, int reason)
{
	struct sess_act *a = push(p, type, 0, NULL);

	a->peer = t->handle;
	a->key = t->key;
	a->ep = t->ep;
	a->reason = reason;
}

static struct plain_peer **near_of(struct plain *p, const struct node_key *key)
{
	return &p->near[key->b[0] % NEAR_PEERS];
}

static struct plain_peer *of_key(struct plain *p, const struct node_key *key)
{
	struct plain_peer **near = near_of(p, key);

	if (!*near || !node_key_eq(&(*near)->key, key))
		*near = map_get(p->by_key, key);
	return *near;
}

/* --- timers, peers, dials --- */

static void arm(struct plain *p, struct tq_node *n, ts_t when)
{
	if (tq_set(&p->timers, n, when) != 0)
		abort();
}

static void arm_peer(struct plain *p, struct plain_peer *t)
{
	ts_t when = ts_min(ts_add(t->last_rx, p->tune.peer_timeout), t->ping_at);

	if (t->released)
		when = ts_min(when, ts_add(t->last_use, p->tune.unused_expiry));
	arm(p, &t->timer, t->initiator ? ts_min(when, t->rekey_at) : when);
}

static ts_t rekey_time(struct plain *p, ts_t now)
{
	return ts_add(
		now, prng_jitter(&p->prng, p->tune.rekey_initiator, p->tune.rekey_jitter_pct));
}

static uint32_t new_handle(struct plain *p)
{
	if (p->nspare)
		return p->spare[--p->nspare];
	if (p->npeers + 1 >= p->cap_peers) {
		uint32_t cap = p->cap_peers ? 2 * p->cap_peers : 16;

		p->peers = realloc(p->peers, cap * sizeof(struct plain_peer *));
		p->spare = realloc(p->spare, cap * sizeof(*p->spare));
		if (!p->peers || !p->spare)
			abort();
		p->cap_peers = cap;
	}
	return ++p->npeers;
}

static struct plain_peer *peer_up(
	struct plain *p, const struct node_key *key, const struct ep *ep, uint64_t life, ts_t now)
{
	struct plain_peer *t = calloc(1, sizeof(*t));

	if (!t || map_put(p->by_key, key, t) != 0)
		abort();
	t->handle = new_handle(p);
	p->peers[t->handle] = t;
	t->key = *key;
	t->ep = *ep;
	t->life = life;
	t->lane_tx = ++p->sessions << 32;
	t->rtt = DUR_NS(-1);
	t->last_rx = t->last_use = t->moved_at = now;
	t->ping_at = now;
	t->rekey_at = rekey_time(p, now);
	arm_peer(p, t);
	about(p, SESS_UP, t, 0);
	about(p, SESS_ENDPOINT, t, 0);
	return t;
}

static void peer_down(struct plain *p, struct plain_peer *t, int reason)
{
	about(p, SESS_DOWN, t, reason);
	tq_cancel(&p->timers, &t->timer);
	(void)map_del(p->by_key, &t->key);
	if (*near_of(p, &t->key) == t)
		*near_of(p, &t->key) = NULL;
	p->peers[t->handle] = NULL;
	p->spare[p->nspare++] = t->handle;
	free(t);
}

static void dial_free(struct plain *p, struct plain_dial *d)
{
	tq_cancel(&p->timers, &d->timer);
	list_del(&d->link);
	free(d);
}

static void dial_fail(struct plain *p, struct plain_dial *d, const struct node_key *key, int reason)
{
	struct sess_act *a = push(p, SESS_DIAL_FAILED, 0, NULL);

	if (key)
		a->key = *key;
	a->ep = d->to;
	a->reason = reason;
	dial_free(p, d);
}

static void dial_attempt(struct plain *p, struct plain_dial *d, ts_t now)
{
	if (ts_due(d->give_up, now)) {
		dial_fail(p, d, d->has_expect ? &d->expect : NULL, -ETIMEDOUT);
		return;
	}
	transmit(p, d->final ? WIRE_FINAL : WIRE_INIT, &d->to, d->found_life, NULL, 0);
	d->finals += d->final;
	arm(p, &d->timer, ts_min(d->give_up, ts_add(now, prng_jitter(&p->prng, d->backoff, 20))));
	if (d->backoff.ns < p->tune.hs_retry_max.ns)
		d->backoff.ns *= 2;
}

int plain_connect(
	struct plain *p, const struct ep *to, const struct node_key *expect, ts_t give_up, ts_t now)
{
	struct plain_peer *known = expect ? of_key(p, expect) : NULL;
	struct plain_dial *d;
	struct list *n, *t;

	if (expect && node_key_eq(expect, &p->self))
		return ERR_CONFLICT;
	if (known) {
		known->released = false;
		return 0;
	}
	list_each(&p->dials, n, t)
	{
		d = list_entry(n, struct plain_dial, link);
		if (ep_eq(&d->to, to) ||
			(expect && d->has_expect && node_key_eq(&d->expect, expect)))
			return 0;
	}
	for (uint32_t i = 1; i <= p->npeers; i++)
		if (p->peers[i] && !expect && ep_eq(&p->peers[i]->ep, to))
			return 0;
	d = calloc(1, sizeof(*d));
	if (!d)
		return ERR_NOMEM;
	d->is_dial = true;
	d->to = *to;
	d->has_expect = expect != NULL;
	if (expect)
		d->expect = *expect;
	d->give_up = give_up;
	d->backoff = p->tune.hs_retry;
	list_add_tail(&p->dials, &d->link);
	arm(p, &d->timer, now);
	return 0;
}

/* In place of other dials that expect @expect; one whose answer has come a moment ago goes on instead, as in
 * sess_redial(). */
int plain_redial(
	struct plain *p, const struct ep *to, const struct node_key *expect, ts_t give_up, ts_t now)
{
	struct list *n, *t;

	list_each(&p->dials, n, t)
	{
		struct plain_dial *d = list_entry(n, struct plain_dial, link);

		if (!d->has_expect || !node_key_eq(&d->expect, expect))
			continue;
		if (ep_eq(&d->to, to))
			d->give_up = give_up;
		else if (d->final && d->finals <= REDIAL_PATIENCE)
			return 0;
		else
			dial_free(p, d);
	}
	return plain_connect(p, to, expect, give_up, now);
}

/* Dials that a standing peer makes needless. */
static void settle(struct plain *p, const struct plain_peer *peer)
{
	struct list *n, *t;

	list_each(&p->dials, n, t)
	{
		struct plain_dial *d = list_entry(n, struct plain_dial, link);

		if ((d->has_expect && node_key_eq(&d->expect, &peer->key)) ||
			(d->final && node_key_eq(&d->found, &peer->key)))
			dial_free(p, d);
	}
}

/* --- messages --- */

static int on_resp(struct plain *p, const struct plain_msg *m, const struct ep *from, ts_t now)
{
	struct list *n, *t;

	list_each(&p->dials, n, t)
	{
		struct plain_dial *d = list_entry(n, struct plain_dial, link);

		if (!ep_eq(&d->to, from) || d->final)
			continue;
		if (node_key_eq(&m->key, &p->self)) {
			struct sess_act *a = push(p, SESS_NOTE, 0, NULL);

			a->reason = SESS_NOTE_SELF;
			a->ep = *from;
			dial_fail(p, d, &m->key, ERR_CONFLICT);
			return ERR_CONFLICT;
		}
		if (d->has_expect && !node_key_eq(&d->expect, &m->key)) {
			dial_fail(p, d, &d->expect, ERR_FOREIGN);
			return ERR_FOREIGN;
		}
		d->final = true;
		d->found = m->key;
		d->found_life = m->life;
		d->backoff = p->tune.hs_retry;
		dial_attempt(p, d, now);
		return 0;
	}
	return ERR_STATE;
}

/* What moves it is a packet that came directly, and never to or from a way through relays. */
static void follow(struct plain *p, struct plain_peer *t, const struct ep *from, ts_t now)
{
	if (ep_eq(&t->ep, from) || sess_relayed_label(from, NULL) ||
		sess_relayed_label(&t->ep, NULL))
		return;
	/* Of two that follow each other the one with the lower key waits, as in session_ctl.c. */
	if (!ts_due(ts_add(t->moved_at, ROAM_HOLD), now) && node_key_cmp(&p->self, &t->key) < 0)
		return;
	t->ep = *from;
	t->moved_at = t->ping_at = now;
	arm_peer(p, t);
	about(p, SESS_ENDPOINT, t, 0);
}

/* It has started anew, and counts from the beginning. */
static void new_life(struct plain_peer *t, uint64_t life)
{
	t->life = life;
	t->rx = t->lane = (struct window){0};
}

/* The peer's handshake is complete: it stands, perhaps in a new life. */
static int on_final(struct plain *p, const struct plain_msg *m, const struct ep *from, ts_t now)
{
	struct plain_peer *t = of_key(p, &m->key);

	if (m->my_life != p->life)
		return ERR_STALE;
	if (t && t->life == m->life) {
		control_to(p, t, from, WIRE_CTL_CONFIRM, NULL, 0);
		return 0;
	}
	if (t) {
		new_life(t, m->life);
		t->last_rx = now;
		follow(p, t, from, now);
		arm_peer(p, t);
	} else {
		t = peer_up(p, &m->key, from, m->life, now);
	}
	settle(p, t);
	control_to(p, t, from, WIRE_CTL_CONFIRM, NULL, 0);
	return 0;
}

/* Is the counter new? */
static bool fresh(struct window *w, uint64_t c)
{
	if (c > w->top) {
		w->seen = c - w->top >= 64 ? 0 : w->seen << (c - w->top);
		w->top = c;
		w->seen |= 1;
		return true;
	}
	if (w->top - c >= 64 || w->seen >> (w->top - c) & 1)
		return false;
	w->seen |= UINT64_C(1) << (w->top - c);
	return true;
}

static void reset(struct plain *p, const struct plain_msg *m, const struct ep *from, ts_t now)
{
	if (!ts_due(p->reset_at, now))
		return;
	p->reset_at = ts_add(now, RESET_PERIOD);
	transmit(p, WIRE_RESET, from, m->life, &m->my_life, 8);
}

/* The peer that our FINAL was for speaks in that life: it has the session. @from NULL: through relays. */
static struct plain_peer *confirm_dial(
	struct plain *p, uint64_t life, const struct ep *from, ts_t now)
{
	struct list *n, *next;

	list_each(&p->dials, n, next)
	{
		struct plain_dial *d = list_entry(n, struct plain_dial, link);
		struct plain_peer *t;

		if (!d->final || d->found_life != life)
			continue;
		t = of_key(p, &d->found);
		if (t)
			new_life(t, life);
		else
			t = peer_up(p, &d->found, from ? from : &d->to, life, now);
		t->initiator = true;
		settle(p, t);
		arm_peer(p, t);
		return t;
	}
	return NULL;
}

static void on_pong(struct plain_peer *t, struct rd *r, ts_t now)
{
	ts_t sent = {rd_u64(r)};

	if (rd_left(r) > 0) {
		t->observed = (struct ep){.ip = ip_v4(rd_u32(r))};
		t->observed.port = rd_u16(r);
	}
	if (!rd_bad(r) && !ts_before(now, sent))
		t->rtt = ts_sub(now, sent);
}

/* The token comes back, with how we see the peer; one behind relays has no endpoint. */
static void pong(struct plain *p, struct plain_peer *t, struct rd *r, const struct ep *from)
{
	uint8_t body[PONG_BODY];
	struct wr w;

	wr_init(&w, body, sizeof(body));
	wr_u64(&w, rd_u64(r));
	if (from->ip.family == IP_V4) {
		wr_copy(&w, from->ip.b, 4);
		wr_u16(&w, from->port);
	}
	control(p, t, WIRE_CTL_PONG, body, wr_len(&w));
}

static void on_control(
	struct plain *p, struct plain_peer *t, struct rd *r, const struct ep *from, ts_t now)
{
	const uint8_t *body = r->p;
	size_t len = rd_left(r);
	uint8_t *buf;
	struct sess_act *a;

	t->last_rx = now;
	switch (rd_u8(r)) {
	case WIRE_CTL_CONFIRM:
		break;
	case WIRE_CTL_PONG:
		on_pong(t, r, now);
		break;
	case WIRE_CTL_PING:
		pong(p, t, r, from);
		break;
	case WIRE_CTL_CLOSE:
		peer_down(p, t, SESS_DOWN_CLOSED);
		return;
	default:
		t->last_use = now;
		a = push(p, SESS_RECV, len, &buf);
		a->peer = t->handle;
		a->key = t->key;
		a->ep = *from;
		memcpy(buf, body, len);
	}
	arm_peer(p, t);
}

static int on_data(
	struct plain *p, const struct plain_msg *m, struct rd *r, const struct ep *from, ts_t now)
{
	struct plain_peer *t = of_key(p, &m->key);
	bool newest;

	if (m->my_life == p->life && (!t || t->life != m->life)) {
		struct plain_peer *c = confirm_dial(p, m->life, from, now);

		t = c ? c : t;
	}
	if (m->my_life != p->life || !t || t->life != m->life) {
		reset(p, m, from, now);
		return ERR_NOT_FOUND;
	}
	newest = m->counter > t->rx.top;
	if (!fresh(&t->rx, m->counter))
		return ERR_REPLAY;
	if (newest)
		follow(p, t, from, now);
	if (rd_left(r) > 0)
		on_control(p, t, r, from, now);
	return 0;
}

/* The peer doesn't know the session: end it, dial where it was. */
static int on_reset(struct plain *p, const struct plain_msg *m, struct rd *r, ts_t now)
{
	struct plain_peer *t = of_key(p, &m->key);
	uint64_t meant;
	struct ep ep;

	rd_copy(r, &meant, 8);
	if (!t || rd_bad(r) || m->my_life != p->life)
		return ERR_STALE;
	/* It may be for what we sent to another node of that address before. */
	if (meant != t->life)
		return ERR_STALE;
	ep = t->ep;
	peer_down(p, t, SESS_DOWN_RESET);
	return plain_connect(p, &ep, &m->key, ts_add(now, LOST_REDIAL), now);
}

/* --- data packets --- */

/* The lives of both ends; false: too short for such. */
static bool mark_lives(const uint8_t *tag, size_t len, uint64_t *life, uint64_t *my_life)
{
	struct rd r;

	rd_init(&r, tag, len);
	*life = rd_u64(&r);
	*my_life = rd_u64(&r);
	return !rd_bad(&r);
}

static struct plain_peer *of_life(const struct plain *p, uint64_t life)
{
	for (uint32_t i = 1; i <= p->npeers; i++)
		if (p->peers[i] && p->peers[i]->life == life)
			return p->peers[i];
	return NULL;
}

static struct plain_peer *at(const struct plain *p, uint32_t handle)
{
	return handle && handle <= p->npeers ? p->peers[handle] : NULL;
}

bool plain_mark(struct plain *p, uint32_t handle, struct sim_sess_mark *out)
{
	struct plain_peer *t = at(p, handle);
	struct wr w;

	if (!t)
		return false;
	out->index = (uint32_t)t->life;
	out->counter = ++t->lane_tx;
	wr_init(&w, out->tag, sizeof(out->tag));
	wr_u64(&w, p->life);
	wr_u64(&w, t->life);
	return true;
}

int64_t plain_marked(
	struct plain *p, const struct sim_sess_mark *m, const struct ep *from, ts_t now)
{
	struct plain_peer *t;
	uint64_t life, my_life;

	if (!mark_lives(m->tag, sizeof(m->tag), &life, &my_life) || my_life != p->life ||
		m->index != (uint32_t)my_life)
		return 0;
	t = of_life(p, life);
	if (!t)
		t = confirm_dial(p, life, from, now);
	if (!t)
		return 0;
	t->lane_newest = m->counter > t->lane.top;
	return fresh(&t->lane, m->counter) ? (int64_t)t->handle : ERR_REPLAY;
}

void plain_traffic(struct plain *p, uint32_t handle, ts_t last_rx)
{
	struct plain_peer *t = at(p, handle);

	if (t && ts_before(t->last_rx, last_rx))
		t->last_rx = last_rx;
}

void plain_roam_hint(struct plain *p, uint32_t handle, const struct ep *from, ts_t now)
{
	struct plain_peer *t = at(p, handle);

	if (t && t->lane_newest)
		follow(p, t, from, now);
}

/* It is for no session that there is. */
static int on_packet(
	struct plain *p, const uint8_t *buf, size_t len, const struct ep *from, ts_t now)
{
	struct plain_msg m = {0};

	if (len < WIRE_DATA_OVERHEAD ||
		!mark_lives(buf + len - WIRE_TAG, WIRE_TAG, &m.life, &m.my_life))
		return ERR_TRUNCATED;
	reset(p, &m, from, now);
	return ERR_NOT_FOUND;
}

int plain_recv(struct plain *p, const struct ep *from, const uint8_t *buf, size_t len, ts_t now)
{
	struct plain_msg m;
	struct rd r;

	if (plain_is_packet(buf, len))
		return on_packet(p, buf, len, from, now);
	if (!plain_read(&r, buf, len, &m))
		return ERR_TRUNCATED;
	switch (m.type) {
	case WIRE_INIT:
		transmit(p, WIRE_RESP, from, m.life, NULL, 0);
		return 0;
	case WIRE_RESP:
		return on_resp(p, &m, from, now);
	case WIRE_FINAL:
		return rd_left(&r) ? 0 : on_final(p, &m, from, now);
	case WIRE_DATA:
		return on_data(p, &m, &r, from, now);
	case WIRE_RESET:
		return on_reset(p, &m, &r, now);
	default:
		return ERR_UNSUPPORTED;
	}
}

/* --- time --- */

static void peer_tick(struct plain *p, struct plain_peer *t, ts_t now)
{
	static const uint8_t rekey[] = {REKEY_FINAL};
	uint8_t token[PING_BODY];
	dur_t every = p->tune.ping_interval;

	if (ts_due(ts_add(t->last_rx, p->tune.peer_timeout), now)) {
		peer_down(p, t, SESS_DOWN_TIMEOUT);
		return;
	}
	if (t->released && ts_due(ts_add(t->last_use, p->tune.unused_expiry), now)) {
		control(p, t, WIRE_CTL_CLOSE, NULL, 0);
		peer_down(p, t, SESS_DOWN_IDLE);
		return;
	}
	if (ts_due(t->ping_at, now)) {
		if (ts_due(ts_add(t->last_rx, DUR_NS(every.ns * 3 / 2)), now)) {
			struct sess_act *a = push(p, SESS_NOTE, 0, NULL);

			a->reason = SESS_NOTE_SILENT;
			a->ep = t->ep;
			a->key = t->key;
			every.ns /= 3;
		}
		memcpy(token, &(uint64_t){htobe64(now.ns)}, sizeof(token));
		control(p, t, WIRE_CTL_PING, token, sizeof(token));
		t->ping_at = ts_add(now, prng_jitter(&p->prng, every, 20));
	}
	/* The keys themselves don't exist here; what changing them sends does. */
	if (t->initiator && ts_due(t->rekey_at, now)) {
		transmit(p, WIRE_INIT, &t->ep, t->life, NULL, 0);
		transmit(p, WIRE_FINAL, &t->ep, t->life, rekey, sizeof(rekey));
		t->rekey_at = rekey_time(p, now);
	}
	arm_peer(p, t);
}

void plain_tick(struct plain *p, ts_t now)
{
	struct tq_node *n;

	while ((n = tq_pop(&p->timers, now)) != NULL) {
		struct plain_dial *d = tq_entry(n, struct plain_dial, timer);

		/* Both begin with the timer and the mark that tells them apart. */
		if (d->is_dial)
			dial_attempt(p, d, now);
		else
			peer_tick(p, tq_entry(n, struct plain_peer, timer), now);
	}
}

struct plain *plain_new(const struct sess_cfg *cfg)
{
	static const uint8_t seed[16];
	struct plain *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->self = cfg->id->pub;
	p->tune = cfg->tune;
	prng_seed(&p->prng, cfg->seed);
	p->life = prng_next(&p->prng) | 1;
	tq_init(&p->timers);
	list_init(&p->dials);
	list_init(&p->acts);
	p->by_key = map_new(sizeof(struct node_key), LIM_PEERS, seed);
	if (!p->by_key) {
		free(p);
		return NULL;
	}
	return p;
}

void plain_free(struct plain *p)
{
	struct list *n, *t;

	list_each(&p->dials, n, t) dial_free(p, list_entry(n, struct plain_dial, link));
	list_each(&p->acts, n, t) free(list_entry(n, struct plain_act, link));
	for (uint32_t i = 1; i <= p->npeers; i++)
		free(p->peers[i]);
	free(p->taken);
	free(p->peers);
	free(p->spare);
	map_free(p->by_key);
	tq_fini(&p->timers);
	free(p);
}

bool plain_next(struct plain *p, struct sess_act *out)
{
	free(p->taken);
	p->taken = NULL;
	memset(out, 0, sizeof(*out));
	if (list_empty(&p->acts))
		return false;
	p->taken = list_entry(p->acts.next, struct plain_act, link);
	list_del(&p->taken->link);
	*out = p->taken->act;
	return true;
}

/* A probe's padding is zeros behind the body, so that it stands for so many bytes on the wire. */
int plain_seal(struct plain *p, const struct sess_msg *m, uint8_t *out, size_t cap)
{
	struct plain_peer *t = m->peer && m->peer <= p->npeers ? p->peers[m->peer] : NULL;
	size_t len = PLAIN_HDR + 1 + m->len;
	struct wr w;

	if (!t)
		return ERR_NOT_FOUND;
	if (m->size > WIRE_DATA_OVERHEAD && m->size - WIRE_DATA_OVERHEAD + PLAIN_HDR > len)
		len = m->size - WIRE_DATA_OVERHEAD + PLAIN_HDR;
	if (len > cap)
		return ERR_RANGE;
	wr_init(&w, out, cap);
	plain_head(&w, WIRE_DATA, &p->self, p->life, t->life, ++p->counter);
	wr_u8(&w, m->type);
	wr_copy(&w, m->body, m->len);
	wr_zero(&w, len - wr_len(&w));
	return (int)len;
}

ts_t plain_deadline(const struct plain *p)
{
	return tq_deadline(&p->timers);
}

/* --- peers by key and handle --- */

uint32_t plain_find(struct plain *p, const struct node_key *key)
{
	const struct plain_peer *t = of_key(p, key);

	return t ? t->handle : 0;
}

void plain_disconnect(struct plain *p, const struct node_key *key)
{
	struct plain_peer *t = of_key(p, key);

	if (!t)
		return;
	control(p, t, WIRE_CTL_CLOSE, NULL, 0);
	peer_down(p, t, SESS_DOWN_FORGOTTEN);
}

void plain_release(struct plain *p, const struct node_key *key)
{
	struct plain_peer *t = of_key(p, key);

	if (!t)
		return;
	t->released = true;
	arm_peer(p, t);
}

int plain_send(
	struct plain *p, uint32_t handle, uint8_t type, const void *body, size_t len, ts_t now)
{
	struct plain_peer *t = at(p, handle);

	if (!t)
		return ERR_NOT_FOUND;
	t->last_use = now;
	control(p, t, type, body, len);
	return 0;
}

void plain_used(struct plain *p, uint32_t handle, ts_t when)
{
	if (at(p, handle))
		at(p, handle)->last_use = when;
}

void plain_move(struct plain *p, const struct node_key *key, const struct ep *to, ts_t now)
{
	struct plain_peer *t = of_key(p, key);

	if (!t || ep_eq(&t->ep, to))
		return;
	t->ep = *to;
	t->moved_at = t->ping_at = now;
	arm_peer(p, t);
}

bool plain_info_next(const struct plain *p, uint32_t *it, struct sim_sess_info *out)
{
	while (++*it <= p->npeers) {
		const struct plain_peer *t = p->peers[*it];

		if (!t)
			continue;
		*out = (struct sim_sess_info){t->key, true, t->rtt, t->observed};
		return true;
	}
	return false;
}
