/* session_hs.c - handshake messages that arrive (DESIGN 6.2 to 6.6).
 *
 * INIT	  known MAC1, never seen before, near our time (else a cookie), not too many: RESP; nothing
 *	  is kept
 * RESP	  for one of our dials, from whom we dialled: a key of ours (next-mine), FINAL
 * FINAL  of a RESP of ours, once: a key of theirs, CONFIRM. A repeat gets another CONFIRM, no key
 * COOKIE for the INIT that we sent last: the same again with MAC2 */
#include "session_int.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>
#include "weft/buf.h"

#define NOTES_PER_SEC 3

struct hs_in {
	const struct ep *from;
	const struct ip *local;
	const uint8_t *buf;
	size_t len;
	unsigned secret; /* whose MAC1 it was */
	ts_t now;
};

static bool is_self(const struct sess *s, const struct hs_peer *who)
{
	return node_key_eq(&who->key, &s->id->pub) ||
	       memcmp(who->x25519, s->id->x_pub, sizeof(who->x25519)) == 0;
}

static struct sess_peer *peer_of(const struct sess *s, const struct hs_peer *who)
{
	return map_get(s->by_x25519, who->x25519);
}

static int bad_handshake(struct sess *s, int err)
{
	sess_count(s, err == ERR_TRUNCATED || err == ERR_MALFORMED ? SESS_ST_MALFORMED
								   : SESS_ST_BAD_HANDSHAKE);
	return err;
}

/* --- INIT --- */

static bool time_ok(const struct sess *s, uint64_t secs, ts_t now)
{
	uint64_t ours = sess_wall_secs(s, now);
	uint64_t off = secs > ours ? secs - ours : ours - secs;

	return off <= (uint64_t)s->tune.time_window.ns / 1000000000u;
}

static int ask_cookie(struct sess *s, const struct hs_in *in)
{
	uint8_t buf[COOKIE_LEN];
	int len;

	if (!rl_take(&s->cookie_rate, LIM_HS_PER_SEC, in->now)) {
		sess_count(s, SESS_ST_RATE_LIMITED);
		return ERR_LIMIT;
	}
	len = cookie_write(&s->jar, &s->secrets[in->secret], in->from, in->buf, in->len, in->now,
		buf, sizeof(buf));
	if (len < 0)
		return bad_handshake(s, len);
	sess_act_send(s, in->from, in->local, buf, (size_t)len);
	sess_count(s, SESS_ST_COOKIES_TX);
	return 0;
}

static int answer_init(struct sess *s, const struct hs_in *in, const struct hs_init *init)
{
	uint8_t buf[WIRE_CONTROL_MAX];
	uint32_t index;
	int len;

	/* Stateless: the index is free now, and taken only when FINAL comes back with it. */
	do {
		index = sess_ix_random(s);
	} while (sess_ix_find(s, index));
	len = handshake_resp_write(&s->hs, init, &s->hs_seal, index, in->now, buf, sizeof(buf));
	if (len < 0)
		return bad_handshake(s, len);
	sess_act_send(s, in->from, in->local, buf, (size_t)len);
	return 0;
}

static int recv_init(struct sess *s, const struct hs_in *in)
{
	/* MAC1 covers the whole message, so it names it. */
	const uint8_t *id = in->buf + in->len - 2 * HS_MAC;
	struct hs_init init;
	enum rl_verdict rate;
	bool proven, demand;
	int err;

	sess_count(s, SESS_ST_HS_INIT_RX);
	if (memo_get(&s->seen, id, in->now)) {
		sess_count(s, SESS_ST_REPLAYED_INIT);
		return ERR_REPLAY;
	}
	err = handshake_init_read(&s->hs, in->secret, in->buf, in->len, &init);
	if (err)
		return bad_handshake(s, err);
	rate = ratelimit_take(&s->rate, &in->from->ip, in->now);
	if (rate == RL_SOURCE) {
		sess_count(s, SESS_ST_RATE_LIMITED);
		return ERR_LIMIT;
	}
	err = memo_put(&s->seen, id, 0, in->now);
	if (err == ERR_NOMEM)
		return err;
	proven = cookie_mac2_check(&s->jar, in->from, in->buf, in->len, in->now);
	demand = s->underload_cookies || rate == RL_ALL || err == ERR_FULL ||
		 memo_full(&s->consumed, in->now);
	if (!proven && !sodium_is_zero(in->buf + in->len - HS_MAC, HS_MAC))
		sess_count(s, SESS_ST_BAD_COOKIE);
	if (!proven && !time_ok(s, init.unix_secs, in->now)) {
		sess_count(s, SESS_ST_BAD_TIME);
		demand = true;
	}
	if (demand && !proven)
		return ask_cookie(s, in);
	return answer_init(s, in, &init);
}

/* --- RESP --- */

static int offer_key(struct sess *s, struct sess_dial *d, const struct hs_in *in)
{
	const struct hs_peer *who = &d->hs.peer;
	struct sess_peer *p = peer_of(s, who);
	struct sess_slot *k;
	struct hs_keys keys;
	int len, err = 0;

	len = handshake_final_write(&d->hs, &s->hs, d->final, sizeof(d->final), &keys);
	if (len < 0)
		return bad_handshake(s, len);
	k = sess_slot_make(s,
		&(struct sess_slot_new){
			.who = who, .keys = &keys, .ix = d->ix, .mine = true, .began = in->now},
		in->now);
	sodium_memzero(&keys, sizeof(keys));
	if (!k)
		return ERR_NOMEM;
	if (!p)
		err = sess_peer_new(s, d->realm, who, &d->to, in->local, in->now, &p);
	if (err) {
		sess_slot_free(s, k);
		if (err != ERR_NOMEM) /* else the timer tries again */
			sess_dial_fail(s, d, &who->key, err);
		return err;
	}
	d->peer = p;
	p->dial = d;
	d->local = *in->local;
	d->final_len = (size_t)len;
	d->state = DIAL_FINAL;
	d->attempts = 0;
	d->final_end = ts_add(in->now, s->tune.hs_state_life);
	handshake_wipe(&d->hs);
	sess_slot_install(s, p, k);
	sess_slot_offered(s, k, in->now);
	sess_dial_send_final(s, d, in->now);
	return 0;
}

/* Is it whom we dialled? If not, the dial is over; but a rekey has a session to lose, and tries
 * again with who it knows. */
static int check_answer(struct sess *s, struct sess_dial *d)
{
	const struct hs_peer *who = &d->hs.peer;
	const struct sess_peer *known = peer_of(s, who);
	struct node_key key = who->key;

	if (is_self(s, who)) {
		sess_act_note(s, SESS_NOTE_SELF, &d->to, &key);
		if (!d->rekey)
			sess_dial_fail(s, d, &key, ERR_CONFLICT);
		return ERR_CONFLICT;
	}
	if (known && known->realm != d->realm) {
		sess_count(s, SESS_ST_BAD_KEY);
		sess_dial_fail(s, d, &key, ERR_FOREIGN); /* no rekey, which has its peer's realm */
		return ERR_FOREIGN;
	}
	if ((d->has_expect && !node_key_eq(&d->expect, &key)) ||
		(known && !node_key_eq(&known->key, &key))) {
		sess_count(s, SESS_ST_BAD_KEY);
		sess_act_note(s, SESS_NOTE_OTHER_KEY, &d->to, &key);
		if (!d->rekey)
			sess_dial_fail(s, d, &key, ERR_FOREIGN);
		return ERR_FOREIGN;
	}
	return 0;
}

static int recv_resp(struct sess *s, const struct hs_in *in)
{
	const struct sess_peer *known;
	struct sess_dial *d;
	struct sess_ix *ix;
	struct rd r;
	int err;

	sess_count(s, SESS_ST_HS_RESP_RX);
	rd_init(&r, in->buf, in->len);
	rd_take(&r, 8); /* type and reserved, the responder's index */
	ix = sess_ix_find(s, rd_u32(&r));
	d = ix ? ix->dial : NULL;
	if (!d || d->attempts == 0)
		return ERR_NOT_FOUND; /* a duplicate, or one that came too late */
	err = handshake_resp_read(&d->hs, &s->hs, in->secret, in->buf, in->len);
	if (err)
		return err == ERR_STATE ? err : bad_handshake(s, err);
	err = check_answer(s, d);
	if (err)
		return err;
	known = peer_of(s, &d->hs.peer);
	if (known && known->dial != d) { /* reached on another way already */
		sess_dial_fail(s, d, &known->key, ERR_EXISTS);
		return 0;
	}
	return offer_key(s, d, in);
}

/* --- FINAL --- */

/* Anybody may send a recorded FINAL again, from any address: so the answer goes to the peer, at the
 * pace at which it repeats, and no source's rate is charged for it. */
static int repeat_confirm(struct sess *s, const struct hs_in *in, uint32_t index)
{
	struct sess_ix *ix = sess_ix_find(s, index);
	struct sess_slot *k = ix ? ix->slot : NULL;

	sess_count(s, SESS_ST_REPLAYED_FINAL);
	if (!k)
		return ERR_REPLAY;
	if (!ts_due(k->confirm_at, in->now)) {
		sess_count(s, SESS_ST_RATE_LIMITED);
		return ERR_LIMIT;
	}
	k->confirm_at = ts_add(in->now, DUR_NS(s->tune.hs_retry.ns / 2));
	(void)sess_ctl_seal(s, k, &(struct sess_path){.to = &k->peer->ep, .local = &k->peer->local},
		WIRE_CTL_CONFIRM, NULL, 0);
	return ERR_REPLAY;
}

/* All that can fail is done before anything is changed that can be seen. */
static int accept_key(struct sess *s, const struct hs_in *in, const struct hs_final *fin)
{
	struct sess_peer *p = peer_of(s, &fin->peer);
	bool fresh = !p;
	struct sess_slot *k = NULL;
	struct sess_ix *ix = NULL;
	int err;

	if (p && (!node_key_eq(&p->key, &fin->peer.key) || p->realm != s->realms[in->secret])) {
		sess_count(s, SESS_ST_BAD_KEY);
		return ERR_FOREIGN;
	}
	if (p && ts_before(fin->created, p->newest_theirs)) {
		sess_count(s, SESS_ST_REPLAYED_FINAL); /* they have moved on since */
		return ERR_STALE;
	}
	err = sess_ix_take(s, fin->local_index, &ix);
	if (err)
		return err;
	k = sess_slot_make(s,
		&(struct sess_slot_new){
			.who = &fin->peer, .keys = &fin->keys, .ix = ix, .began = fin->created},
		in->now);
	if (!k) {
		sess_ix_free(s, ix);
		return ERR_NOMEM;
	}
	if (!p)
		err = sess_peer_new(
			s, s->realms[in->secret], &fin->peer, in->from, in->local, in->now, &p);
	if (err)
		goto fail;
	err = memo_put(&s->consumed, fin->state_id, ix->index, in->now);
	if (err)
		goto fail_peer;
	sess_slot_install(s, p, k);
	sess_slot_accepted(s, k, in->now);
	sess_count(s, SESS_ST_HS_DONE);
	if (p->up)
		sess_count(s, SESS_ST_REKEYS);
	p->handshakes++;
	p->last_rx = in->now;
	sess_peer_up(s, p, in->now);
	if (fresh)
		sess_dial_settle(s, &p->key);
	(void)sess_ctl_seal(s, k, &(struct sess_path){.to = in->from, .local = in->local},
		WIRE_CTL_CONFIRM, NULL, 0);
	sess_ctl_roam(s, p, in->from, in->local, in->now);
	sess_timer_arm(s, &p->timer, in->now);
	return 0;
fail_peer:
	if (fresh)
		sess_peer_end(s, p, 0);
fail:
	if (err == ERR_FULL)
		sess_count(s, SESS_ST_TABLE_FULL);
	sess_slot_free(s, k);
	return err;
}

static int recv_final(struct sess *s, const struct hs_in *in)
{
	const struct memo_ent *before;
	uint8_t id[HS_STATE_ID];
	struct hs_final fin;
	int err;

	sess_count(s, SESS_ST_HS_FINAL_RX);
	err = handshake_final_peek(in->buf, in->len, id);
	if (err)
		return bad_handshake(s, err);
	before = memo_get(&s->consumed, id, in->now);
	if (before)
		return repeat_confirm(s, in, before->value);
	/* Before the rate: what was recorded elsewhere or long ago must not use it up. */
	err = handshake_final_check(
		&s->hs_seal, in->now, s->tune.hs_state_life, in->secret, in->buf, in->len);
	if (err)
		return bad_handshake(s, err);
	if (memo_full(&s->consumed, in->now)) {
		sess_count(s, SESS_ST_TABLE_FULL);
		return ERR_FULL;
	}
	if (!rl_take(&s->final_rate, LIM_HS_PER_SEC, in->now)) {
		sess_count(s, SESS_ST_RATE_LIMITED);
		return ERR_LIMIT;
	}
	err = handshake_final_read(&s->hs, &s->hs_seal, in->now, s->tune.hs_state_life, in->secret,
		in->buf, in->len, &fin);
	if (err)
		return bad_handshake(s, err);
	if (is_self(s, &fin.peer)) {
		if (rl_take(&s->note_rate, NOTES_PER_SEC, in->now))
			sess_act_note(s, SESS_NOTE_SELF, in->from, &fin.peer.key);
		err = ERR_CONFLICT;
	} else {
		err = accept_key(s, in, &fin);
	}
	/* Refused for good: nobody can have the DH done for it again. */
	if (err == ERR_CONFLICT || err == ERR_FOREIGN || err == ERR_STALE)
		(void)memo_put(&s->consumed, id, 0, in->now);
	sodium_memzero(&fin, sizeof(fin));
	return err;
}

/* --- COOKIE --- */

static int recv_cookie(struct sess *s, const struct hs_in *in)
{
	struct sess_dial *d;
	struct sess_ix *ix;
	uint32_t index;
	int err = cookie_index(in->buf, in->len, &index);

	if (err)
		return bad_handshake(s, err);
	ix = sess_ix_find(s, index);
	d = ix ? ix->dial : NULL;
	if (!d || d->attempts == 0)
		return ERR_NOT_FOUND;
	err = cookie_read(
		&s->secrets[in->secret], index, d->hs.init_mac1, in->buf, in->len, d->cookie);
	if (err) {
		sess_count(s, SESS_ST_BAD_COOKIE);
		return err;
	}
	d->has_cookie = true;
	d->cookie_until = ts_add(in->now, s->tune.cookie_life);
	/* Once per attempt, or two nodes could play this at line rate. */
	if (d->cookie_used)
		return 0;
	d->cookie_used = true;
	sess_dial_send_init(s, d, in->now);
	return 0;
}

int sess_hs_recv(struct sess *s, const struct ep *from, const struct ip *local, const uint8_t *buf,
	size_t len, ts_t now)
{
	struct hs_in in = {.from = from, .local = local, .buf = buf, .len = len, .now = now};
	int secret = handshake_check_mac1(s->secrets, s->hs.nsecrets, buf, len);

	if (secret == ERR_AUTH) {
		sess_count(s, SESS_ST_BAD_MAC1);
		if (rl_take(&s->note_rate, NOTES_PER_SEC, now))
			sess_act_note(s, SESS_NOTE_WRONG_SECRET, from, NULL);
		return secret;
	}
	if (secret < 0) {
		sess_count(s, SESS_ST_MALFORMED);
		return secret;
	}
	in.secret = (unsigned)secret;
	switch (WIRE_TYPE_OF(buf[0])) {
	case WIRE_INIT:
		return recv_init(s, &in);
	case WIRE_RESP:
		return recv_resp(s, &in);
	case WIRE_FINAL:
		return recv_final(s, &in);
	default:
		assert(WIRE_TYPE_OF(buf[0]) == WIRE_COOKIE);
		return recv_cookie(s, &in);
	}
}
