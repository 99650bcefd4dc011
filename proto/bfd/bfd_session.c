/* bfd_session.c - one session: states, timers, polls (RFC 5880 6.8).
 *
 * Two timers: `tx`, when the next periodic packet is due, and `detect`, when the peer's silence means
 * that the way is closed.
 *
 * States and their changes (6.2), all in go():
 *
 *	Down   hears Down -> Init, hears Init -> Up
 *	Init   hears Init or Up -> Up; silence -> Down
 *	Up     hears Down -> Down; silence -> Down
 *	any    hears AdminDown -> Down; told so -> AdminDown, and from there only -> Down */
#include <assert.h>
#include "bfd_int.h"

#define FAR ((ts_t){UINT64_MAX - 1}) /* a timer that is off: queued, never due */

static void arm(struct bfd *b, struct bfd_timer *t, ts_t when)
{
	int err = tq_set(&b->timers, &t->q, ts_is_never(when) ? FAR : when);

	assert(err == 0); /* it is queued, or was until just now */
	(void)err;
}

static void work(struct bfd *b, struct bfd_session *s)
{
	if (list_empty(&s->work))
		list_add_tail(&b->work, &s->work);
}

/* --- intervals --- */

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

uint64_t bfd_session_detect_us(const struct bfd_session *s)
{
	return (uint64_t)s->remote_mult * larger(s->use_rx_us, s->remote_tx_us);
}

/* 6.8.7: up to a quarter less, and with a multiplier of 1 at least a tenth less. */
static dur_t jittered(struct bfd *b, const struct bfd_session *s)
{
	unsigned least = 75, most = s->cfg.mult == 1 ? 90 : 100;
	uint64_t ns = (uint64_t)s->tx_us * 1000;

	return DUR_NS(ns * least / 100 + prng_below(&b->prng, ns * (most - least) / 100 + 1));
}

static void schedule(struct bfd *b, struct bfd_session *s, ts_t now)
{
	ts_t when = s->tx_us ? ts_add(s->sent, jittered(b, s)) : TS_NEVER;

	arm(b, &s->tx, ts_before(when, now) ? now : when);
}

/* 6.8.2; a change counts from the packet that was sent last. */
static void set_tx_interval(struct bfd *b, struct bfd_session *s, ts_t now)
{
	uint32_t us = s->remote_rx_us ? larger(s->use_tx_us, s->remote_rx_us) : 0;

	if (us == s->tx_us)
		return;
	s->tx_us = us;
	schedule(b, s, now);
}

/* Only what is heard moves the deadline; a session that is Down has none, but for the discriminator
 * of a peer that fell silent. */
static void set_detect(struct bfd *b, struct bfd_session *s)
{
	arm(b, &s->detect,
		s->remote_id ? ts_add(s->heard, DUR_US(bfd_session_detect_us(s))) : TS_NEVER);
}

/* What the state asks to be said, with the rules of 6.8.3 for when it counts. */
static void advertise(struct bfd *b, struct bfd_session *s, ts_t now)
{
	uint32_t tx = s->cfg.min_tx_us, rx = s->cfg.min_rx_us;

	if (s->state != BFD_UP)
		tx = larger(tx, BFD_SLOW_US);
	if (tx != s->say_tx_us || rx != s->say_rx_us) {
		/* A peer that is silent has nothing to agree to. */
		if (s->poll)
			s->poll_again = true;
		else
			s->poll = s->remote_id != 0;
		s->say_tx_us = tx;
		s->say_rx_us = rx;
	}
	if (s->state != BFD_UP || tx < s->use_tx_us)
		s->use_tx_us = tx;
	if (s->state != BFD_UP || rx > s->use_rx_us)
		s->use_rx_us = rx;
	if (s->remote_id == 0)
		s->poll = s->poll_again = false;
	set_tx_interval(b, s, now);
}

/* The peer agreed (6.5). What changed meanwhile may be newer than what it saw: ask once more. */
static void poll_over(struct bfd *b, struct bfd_session *s, ts_t now)
{
	if (s->poll_again) {
		s->poll_again = false;
		return;
	}
	s->poll = false;
	s->use_tx_us = s->say_tx_us;
	s->use_rx_us = s->say_rx_us;
	set_tx_interval(b, s, now);
}

/* --- states --- */

/* A packet at once, since what it says is new (6.8.7). */
static void send_now(struct bfd *b, struct bfd_session *s, ts_t now)
{
	s->send = true;
	s->sent = now;
	schedule(b, s, now);
	work(b, s);
}

/* The only place that changes a state. @failed: an Up session's client is to act. */
static void go(struct bfd *b, struct bfd_session *s, enum bfd_state to, enum bfd_diag diag,
	bool failed, ts_t now)
{
	static const uint8_t legal[] = {
		[BFD_ADMIN_DOWN] = 1u << BFD_DOWN,
		[BFD_DOWN] = 1u << BFD_ADMIN_DOWN | 1u << BFD_INIT | 1u << BFD_UP,
		[BFD_INIT] = 1u << BFD_ADMIN_DOWN | 1u << BFD_DOWN | 1u << BFD_UP,
		[BFD_UP] = 1u << BFD_ADMIN_DOWN | 1u << BFD_DOWN,
	};

	assert(legal[s->state] & 1u << to);
	if (s->state == BFD_UP && failed) {
		s->failures++;
		s->tell_failed = true;
		s->failed_diag = diag;
		s->failed_cpi = s->remote_cpi;
		s->failed_known = s->known;
	}
	s->state = to;
	s->diag = diag;
	s->since = now;
	s->tell = true;
	advertise(b, s, now);
	send_now(b, s, now);
}

void bfd_session_begin(struct bfd *b, struct bfd_session *s, ts_t now)
{
	s->state = BFD_DOWN;
	s->remote_state = BFD_DOWN;
	s->remote_rx_us = 1; /* 6.8.1: as if it wanted all that we have */
	s->refused = "";
	s->since = now;
	s->use_tx_us = s->say_tx_us = larger(s->cfg.min_tx_us, BFD_SLOW_US);
	s->use_rx_us = s->say_rx_us = s->cfg.min_rx_us;
	s->sent = now;
	set_tx_interval(b, s, now);
	send_now(b, s, now);
}

static void step(struct bfd *b, struct bfd_session *s, uint8_t heard, ts_t now)
{
	if (heard == BFD_ADMIN_DOWN) {
		if (s->state != BFD_DOWN)
			go(b, s, BFD_DOWN, BFD_DIAG_NEIGHBOUR, false, now);
	} else if (s->state == BFD_DOWN && heard != BFD_UP) {
		go(b, s, heard == BFD_DOWN ? BFD_INIT : BFD_UP, BFD_DIAG_NONE, false, now);
	} else if (s->state == BFD_INIT && heard != BFD_DOWN) {
		go(b, s, BFD_UP, BFD_DIAG_NONE, false, now);
	} else if (s->state == BFD_UP && heard == BFD_DOWN) {
		go(b, s, BFD_DOWN, BFD_DIAG_NEIGHBOUR, true, now);
	}
}

/* 6.8.6, from "set bfd.RemoteDiscr" on. */
void bfd_session_heard(struct bfd *b, struct bfd_session *s, const struct bfd_pkt *p, ts_t now)
{
	if (s->remote_id == p->my_discr && p->your_discr != 0)
		s->known = now;
	s->nrx++;
	s->heard = now;
	s->remote_id = p->my_discr;
	s->remote_state = p->state;
	s->remote_diag = p->diag;
	s->remote_mult = p->mult;
	s->remote_tx_us = p->min_tx_us;
	s->remote_rx_us = p->min_rx_us;
	bfd_session_refuse(b, s, "");
	if (s->poll && (p->flags & BFD_FLAG_FINAL))
		poll_over(b, s, now);
	set_tx_interval(b, s, now);
	set_detect(b, s);
	if (s->state == BFD_ADMIN_DOWN)
		return;
	/* A failure that this packet tells of is judged by what held before it. */
	step(b, s, p->state, now);
	s->known = now;
	s->remote_cpi = p->flags & BFD_FLAG_CPI;
	set_detect(b, s); /* another state, other intervals */
	if (p->flags & BFD_FLAG_POLL) {
		s->final = true;
		work(b, s);
	}
}

void bfd_session_sent(struct bfd *b, struct bfd_session *s, ts_t now)
{
	arm(b, &s->tx, TS_NEVER); /* back into the queue, whatever comes */
	if (s->tx_us)
		send_now(b, s, now);
}

void bfd_session_expired(struct bfd *b, struct bfd_session *s, ts_t now)
{
	arm(b, &s->detect, TS_NEVER);
	/* 6.8.1: nobody is there. What it last wanted does not bind its successor; with an interval
	 * of 0 we would never call again. */
	s->remote_id = 0;
	s->remote_rx_us = 1;
	s->remote_state = BFD_DOWN;
	if (s->state == BFD_INIT || s->state == BFD_UP)
		go(b, s, BFD_DOWN, BFD_DIAG_EXPIRED, true, now);
	else
		advertise(b, s, now);
}

void bfd_session_admin(struct bfd *b, struct bfd_session *s, bool down, ts_t now)
{
	if (down && s->state != BFD_ADMIN_DOWN)
		go(b, s, BFD_ADMIN_DOWN, BFD_DIAG_ADMIN, false, now);
	else if (!down && s->state == BFD_ADMIN_DOWN)
		go(b, s, BFD_DOWN, BFD_DIAG_NONE, false, now);
}

void bfd_session_retimed(struct bfd *b, struct bfd_session *s, ts_t now)
{
	advertise(b, s, now);
	set_detect(b, s);
}

void bfd_session_refuse(struct bfd *b, struct bfd_session *s, const char *what)
{
	if (s->refused == what)
		return;
	s->refused = what;
	s->tell_refused = what[0] ? what : NULL;
	if (what[0])
		work(b, s);
}
