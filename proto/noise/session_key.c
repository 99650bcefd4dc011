/* session_key.c - the keys of a peer (DESIGN 6.6 to 6.8).
 *
 * A peer has at most four keys: the current one, which seals; next-mine, from a handshake of ours
 * that nothing has confirmed yet; and up to two that were replaced, or lost against a handshake
 * that crossed, and only open for a while. A key is confirmed when the peer has it for sure: theirs
 * by their FINAL, ours when something arrived under it. Only confirmed keys replace another; but
 * where there is none at all (first session), next-mine seals at once.
 *
 * Which of two confirmed keys seals: if one handshake was ours, the other theirs, and they
 * overlapped in time, the one whose initiator has the lower id, on both sides; else the newer. A
 * side that judges otherwise (an INIT overtook a CONFIRM) harms nothing: whatever still arrives
 * under a replaced key keeps it open. */
#include "session_int.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* After a FINAL of theirs was accepted, its CONFIRM gets a head start over an INIT of ours, so that
 * both sides see the same order. */
#define REKEY_HOLD  DUR_MS(500)
/* No memory for a rekey: the next try. */
#define REKEY_RETRY DUR_SEC(1)

struct sess_slot *sess_slot_make(struct sess *s, const struct sess_slot_new *n, ts_t now)
{
	struct sess_slot *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->tx = aead_new(n->keys->suite, AEAD_AUTO, n->keys->tx);
	k->rx = aead_new(n->keys->suite, AEAD_AUTO, n->keys->rx);
	if (!k->tx || !k->rx)
		goto fail;
	k->ix = n->ix;
	k->mine = n->mine;
	k->confirmed = !n->mine;
	k->began = n->began;
	k->settled = n->mine ? TS_NEVER : now;
	k->born = now;
	k->open_until = TS_NEVER;
	replay_init(&k->window);
	memcpy(k->reset_token, n->who->reset_token, sizeof(k->reset_token));
	k->keys.suite = n->keys->suite;
	k->keys.local_index = n->ix->index;
	k->keys.remote_index = n->who->index;
	k->keys.tx_lanes = s->hs.lanes;
	k->keys.rx_lanes = n->who->lanes;
	memcpy(k->keys.tx, n->keys->tx, sizeof(k->keys.tx));
	memcpy(k->keys.rx, n->keys->rx, sizeof(k->keys.rx));
	return k;
fail:
	aead_free(k->rx);
	aead_free(k->tx);
	free(k);
	return NULL;
}

void sess_slot_free(struct sess *s, struct sess_slot *k)
{
	if (!k)
		return;
	/* Before it is installed, a key of ours only borrows its index from the dial. */
	if (k->ix->slot == k || !k->ix->dial)
		sess_ix_free(s, k->ix);
	aead_free(k->rx);
	aead_free(k->tx);
	sodium_memzero(k, sizeof(*k));
	free(k);
}

static void take_back(struct sess *s, struct sess_slot *k)
{
	if (!k->gone) {
		struct sess_act *a = sess_act_peer(s, SESS_KEY_DEL, k->peer);

		a->index = k->keys.local_index;
		a->reason = k->peer->doom;
		k->gone = true;
	}
}

void sess_slot_drop(struct sess *s, struct sess_slot *k)
{
	struct sess_peer *p = k->peer;

	take_back(s, k);
	if (p->seal == k)
		p->seal = NULL;
	if (p->next == k)
		p->next = NULL;
	for (int i = 0; i < SESS_SLOTS; i++)
		if (p->slots[i] == k)
			p->slots[i] = NULL;
	sess_slot_free(s, k);
}

static int free_slot(struct sess *s, struct sess_peer *p)
{
	struct sess_slot *oldest = NULL;

	for (int i = 0; i < SESS_SLOTS; i++)
		if (!p->slots[i])
			return i;
	for (int i = 0; i < SESS_SLOTS; i++) {
		struct sess_slot *k = p->slots[i];

		if (k == p->seal || k == p->next)
			continue;
		if (!oldest || ts_before(k->open_until, oldest->open_until))
			oldest = k;
	}
	assert(oldest); /* seal and next are two of four */
	sess_slot_drop(s, oldest);
	return free_slot(s, p);
}

void sess_slot_install(struct sess *s, struct sess_peer *p, struct sess_slot *k)
{
	struct sess_act *a;
	int i = free_slot(s, p);

	p->slots[i] = k;
	k->peer = p;
	if (k->ix->dial)
		k->ix->dial->ix = NULL;
	k->ix->dial = NULL;
	k->ix->slot = k;
	a = sess_act_peer(s, SESS_KEY_ADD, p);
	a->index = k->keys.local_index;
	s->queue.ents[s->queue.count - 1].keys = k->keys;
	sodium_memzero(k->keys.tx, sizeof(k->keys.tx)); /* lane 0 has its own, expanded */
	sodium_memzero(k->keys.rx, sizeof(k->keys.rx));
}

static void retire(struct sess *s, struct sess_slot *k, ts_t now)
{
	k->open_until = ts_add(now, s->tune.previous_keep);
}

static void seal_with(struct sess *s, struct sess_slot *k, ts_t now)
{
	struct sess_peer *p = k->peer;
	dur_t life = k->mine ? s->tune.rekey_initiator : s->tune.rekey_responder;
	struct sess_act *a;

	if (p->seal == k)
		return;
	if (p->seal && p->seal != p->next)
		retire(s, p->seal, now);
	p->seal = k;
	p->keyless_until = TS_NEVER;
	p->rekey_at = ts_add(k->born, prng_jitter(&s->prng, life, s->tune.rekey_jitter_pct));
	k->open_until = TS_NEVER;
	a = sess_act_peer(s, SESS_KEY_USE, p);
	a->index = k->keys.local_index;
}

static bool we_are_lower(const struct sess *s, const struct sess_peer *p)
{
	return node_key_cmp(&s->id->pub, &p->key) < 0;
}

/* Were both handshakes under way at one time? */
static bool crossed(const struct sess_slot *mine, const struct sess_slot *theirs)
{
	return !ts_before(theirs->settled, mine->began) && !ts_before(mine->settled, theirs->began);
}

static bool takes_over(const struct sess *s, const struct sess_slot *k)
{
	const struct sess_slot *cur = k->peer->seal;

	if (!cur || !cur->confirmed)
		return true;
	if (cur->mine != k->mine && crossed(k->mine ? k : cur, k->mine ? cur : k))
		return we_are_lower(s, k->peer) == k->mine;
	return true;
}

static void settle(struct sess *s, struct sess_slot *k, ts_t now)
{
	if (takes_over(s, k))
		seal_with(s, k, now);
	else
		retire(s, k, now);
}

void sess_slot_accepted(struct sess *s, struct sess_slot *k, ts_t now)
{
	struct sess_peer *p = k->peer;

	p->newest_theirs = k->began;
	p->rekey_hold = ts_add(now, REKEY_HOLD);
	if (p->dial && p->dial->state == DIAL_INIT) {
		/* Nothing was agreed there yet: their handshake is as good. */
		sess_dial_free(s, p->dial);
	} else if (p->next && !we_are_lower(s, p)) {
		/* Crossed, and theirs wins; they may have ours already, so it goes on opening. */
		struct sess_slot *lost = p->next;

		if (p->dial)
			sess_dial_free(s, p->dial);
		p->next = NULL;
		if (p->seal != lost)
			retire(s, lost, now);
	}
	settle(s, k, now);
}

void sess_slot_heard(struct sess *s, struct sess_slot *k, ts_t now)
{
	struct sess_peer *p = k->peer;
	bool awaited = p->next == k;

	if (k->confirmed || k->gone)
		return;
	k->confirmed = true;
	k->settled = now;
	if (awaited) {
		p->next = NULL;
		if (p->dial)
			sess_dial_free(s, p->dial);
		sess_count(s, SESS_ST_HS_DONE);
		if (p->up)
			sess_count(s, SESS_ST_REKEYS);
		p->handshakes++;
		settle(s, k, now);
	}
	sess_peer_up(s, p, now);
	sess_timer_arm(s, &p->timer, now);
}

void sess_slot_offered(struct sess *s, struct sess_slot *k, ts_t now)
{
	struct sess_peer *p = k->peer;

	assert(!p->next);
	p->next = k;
	if (!p->seal)
		seal_with(s, k, now);
}

void sess_slot_withdraw(struct sess *s, struct sess_peer *p)
{
	if (!p->next)
		return;
	/* A FINAL that is under way may still make it the key that they seal with. */
	sess_ended_put(s, p->next->ix->index);
	sess_slot_drop(s, p->next);
}

void sess_slot_limit(struct sess *s, struct sess_slot *k, bool hard)
{
	k->soft = true;
	k->hard |= hard;
}

/* The current key is no more: the newest confirmed one takes its place, or next-mine. */
static void seal_with_another(struct sess *s, struct sess_peer *p, ts_t now)
{
	struct sess_slot *best = NULL;

	for (int i = 0; i < SESS_SLOTS; i++) {
		struct sess_slot *k = p->slots[i];

		if (!k || k->gone || !k->confirmed)
			continue;
		if (!best || ts_before(best->settled, k->settled))
			best = k;
	}
	if (!best && p->next && !p->next->gone)
		best = p->next;
	if (best)
		seal_with(s, best, now);
}

static ts_t end_of(const struct sess *s, const struct sess_slot *k)
{
	return ts_min(k->open_until, ts_add(k->born, s->tune.key_lifetime));
}

/* At its hard limit a key stops at once, but its index stays known: the peer has done nothing wrong
 * and must not be sent a reset for it. */
static void stop(struct sess *s, struct sess_slot *k, ts_t now)
{
	struct sess_peer *p = k->peer;

	take_back(s, k);
	if (p->seal == k)
		p->seal = NULL;
	if (p->next == k) {
		p->next = NULL;
		if (p->dial)
			sess_dial_free(s, p->dial);
	}
	retire(s, k, now);
}

static void start_rekey(struct sess *s, struct sess_peer *p, ts_t now)
{
	ts_t give_up = p->seal ? end_of(s, p->seal) : p->keyless_until;
	struct sess_dial *d;

	if (sess_dial_new(s, p->realm, &p->ep, &p->key, give_up, now, &d)) {
		p->rekey_hold = ts_add(now, REKEY_RETRY);
		return;
	}
	d->rekey = true;
	d->peer = p;
	d->local = p->local;
	p->dial = d;
}

static bool wants_rekey(const struct sess_peer *p, ts_t now)
{
	if (!p->up || p->dial || p->next || !ts_due(p->rekey_hold, now))
		return false;
	return !p->seal || p->seal->soft || ts_due(p->rekey_at, now);
}

int sess_slot_run(struct sess *s, struct sess_peer *p, ts_t now)
{
	bool expired = false;

	for (int i = 0; i < SESS_SLOTS; i++) {
		struct sess_slot *k = p->slots[i];

		if (!k)
			continue;
		if (ts_due(end_of(s, k), now)) {
			expired |= k == p->seal;
			if (k == p->next && p->dial)
				sess_dial_free(s, p->dial);
			if (k == p->next)
				sess_slot_withdraw(s, p);
			else
				sess_slot_drop(s, k);
		} else if (k->hard && !k->gone) {
			stop(s, k, now);
		}
	}
	if (!p->seal)
		seal_with_another(s, p, now);
	if (!p->seal) {
		if (expired || !p->up)
			return SESS_DOWN_EXPIRED;
		if (ts_is_never(p->keyless_until))
			p->keyless_until = ts_add(now, s->tune.peer_timeout);
		if (ts_due(p->keyless_until, now))
			return SESS_DOWN_LIMIT;
	}
	if (wants_rekey(p, now))
		start_rekey(s, p, now);
	return 0;
}

ts_t sess_slot_deadline(const struct sess *s, const struct sess_peer *p)
{
	ts_t when = p->keyless_until;

	for (int i = 0; i < SESS_SLOTS; i++) {
		const struct sess_slot *k = p->slots[i];

		if (k)
			when = ts_min(when, k->hard && !k->gone ? TS_ZERO : end_of(s, k));
	}
	if (p->up && !p->dial && !p->next) {
		ts_t at = p->seal && !p->seal->soft ? p->rekey_at : TS_ZERO;

		when = ts_min(when, ts_before(at, p->rekey_hold) ? p->rekey_hold : at);
	}
	return when;
}
