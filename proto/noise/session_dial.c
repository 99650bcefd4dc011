/* session_dial.c - handshakes that we start: of the caller's (sess_connect) and our own (rekey).
 *
 * A dial sends a fresh INIT at each attempt, since a repeated one is taken for a replay, under one
 * receiver index. A RESP moves it on to repeating its FINAL until something arrives under the new
 * key (the key then frees the dial), or until the responder's sealed state has expired for sure:
 * then it starts over with another index. Bounds: LIM_HS_PENDING dials of the caller's, one rekey
 * per peer. */
#include "session_int.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_JITTER_PCT 20

static void fire(struct sess *s, struct sess_timer *t, ts_t now);

int sess_dial_new(struct sess *s, uint32_t realm, const struct ep *to,
	const struct node_key *expect, ts_t give_up, ts_t now, struct sess_dial **out)
{
	struct sess_dial *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return ERR_NOMEM;
	d->timer.fire = fire;
	err = tq_set(&s->timers, &d->timer.node, now);
	if (err) {
		free(d);
		return err;
	}
	d->realm = realm;
	d->to = *to;
	d->give_up = give_up;
	if (expect) {
		d->has_expect = true;
		d->expect = *expect;
	}
	list_add_tail(&s->dials, &d->link);
	s->ndials++;
	*out = d;
	return 0;
}

void sess_dial_free(struct sess *s, struct sess_dial *d)
{
	if (d->peer) {
		assert(d->peer->dial == d);
		d->peer->dial = NULL;
	}
	if (d->ix)
		sess_ix_free(s, d->ix);
	tq_cancel(&s->timers, &d->timer.node);
	list_del(&d->link);
	s->ndials--;
	handshake_wipe(&d->hs);
	sodium_memzero(d, sizeof(*d));
	free(d);
}

void sess_dial_fail(struct sess *s, struct sess_dial *d, const struct node_key *key, int reason)
{
	if (!d->rekey) {
		struct sess_act *a = sess_act_push(s, SESS_DIAL_FAILED);

		a->realm = d->realm;
		a->ep = d->to;
		a->reason = reason;
		if (key)
			a->key = *key;
		else if (d->has_expect)
			a->key = d->expect;
	}
	sess_dial_free(s, d);
}

void sess_dial_settle(struct sess *s, const struct node_key *key)
{
	struct list *n, *t;

	list_each(&s->dials, n, t)
	{
		struct sess_dial *d = list_entry(n, struct sess_dial, link);

		if (!d->peer && d->has_expect && node_key_eq(&d->expect, key))
			sess_dial_free(s, d);
	}
}

static ts_t next_try(struct sess *s, const struct sess_dial *d, ts_t now)
{
	dur_t wait = s->tune.hs_retry;

	for (unsigned i = 1; i < d->attempts && wait.ns < s->tune.hs_retry_max.ns; i++)
		wait.ns *= 2;
	if (wait.ns > s->tune.hs_retry_max.ns)
		wait = s->tune.hs_retry_max;
	return ts_add(now, prng_jitter(&s->prng, wait, RETRY_JITTER_PCT));
}

/* A rekey goes to where the peer is by now. */
static void follow_peer(struct sess_dial *d)
{
	if (d->rekey) {
		d->to = d->peer->ep;
		d->local = d->peer->local;
	}
}

void sess_dial_send_init(struct sess *s, struct sess_dial *d, ts_t now)
{
	uint8_t buf[WIRE_CONTROL_MAX];
	int len, secret = sess_realm_secret(s, d->realm);

	if (secret < 0)
		return; /* its realm is gone, and so is this as soon as there is memory for the word */
	if (!d->ix) {
		d->ix = sess_ix_new(s);
		if (!d->ix)
			return; /* the timer tries again */
		d->ix->dial = d;
	}
	follow_peer(d);
	len = handshake_init_write(&d->hs, &s->hs, (unsigned)secret, d->ix->index,
		sess_wall_secs(s, now), buf, sizeof(buf));
	assert(len > 0);
	if (d->has_cookie && ts_due(d->cookie_until, now))
		d->has_cookie = false;
	if (d->has_cookie)
		cookie_mac2_add(d->cookie, buf, (size_t)len);
	sess_act_send(s, &d->to, &d->local, buf, (size_t)len);
}

void sess_dial_send_final(struct sess *s, struct sess_dial *d, ts_t now)
{
	d->attempts++;
	follow_peer(d);
	sess_act_send(s, &d->to, &d->local, d->final, d->final_len);
	sess_timer_arm(s, &d->timer, ts_min(next_try(s, d, now), d->final_end));
}

/* Nobody confirmed our FINAL in time. False: @d is gone, since its peer came up otherwise. */
static bool start_over(struct sess *s, struct sess_dial *d, ts_t now)
{
	struct sess_peer *p = d->peer;

	sess_slot_withdraw(s, p);
	sess_timer_arm(s, &p->timer, now); /* that key may have been the one that seals */
	if (!d->rekey && p->up) {
		sess_dial_free(s, d);
		return false;
	}
	if (!d->rekey) {
		p->dial = NULL;
		d->peer = NULL;
		sess_peer_end(s, p, 0);
	}
	d->state = DIAL_INIT;
	d->attempts = 0;
	sodium_memzero(d->final, sizeof(d->final));
	return true;
}

static void fire(struct sess *s, struct sess_timer *t, ts_t now)
{
	struct sess_dial *d = tq_entry(t, struct sess_dial, timer);

	if (d->state == DIAL_FINAL) {
		if (!ts_due(d->final_end, now)) {
			sess_dial_send_final(s, d, now);
			return;
		}
		if (!start_over(s, d, now))
			return;
	}
	if (ts_due(d->give_up, now)) {
		struct sess_peer *p = d->peer;

		sess_dial_fail(s, d, NULL, -ETIMEDOUT);
		if (p)
			sess_timer_arm(s, &p->timer, now);
		return;
	}
	d->attempts++;
	d->cookie_used = false;
	sess_dial_send_init(s, d, now);
	sess_timer_arm(s, t, ts_min(next_try(s, d, now), d->give_up));
}
