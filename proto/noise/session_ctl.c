/* session_ctl.c - lane 0: control messages sealed and opened here; liveness, round-trip time,
 * roaming, side ports, close, resets (DESIGN 5.9, 6.9).
 *
 * Endpoints: a peer's endpoint is where its handshake was answered, until an authenticated packet
 * from its main port, with the newest counter under a key that is in use, comes from elsewhere:
 * then a CHALLENGE goes there, and only its answer from there moves the endpoint (RFC 9000 9.3). */
#include "session_int.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>
#include "weft/buf.h"

#define BLOCK              16 /* bytes that count as one towards a key's limits (DESIGN 6.8) */
#define PING_JITTER_PCT    10
#define PINGS_SAVED_MAX    5 /* data saves so many pings in a row: RTT, keys must be seen alive */
#define SIDE_LOST_MAX      3
#define ROAM_HOLD          DUR_SEC(3)
#define CTL_FIRST_FOREIGN  32 /* types from here on belong to other cores (weft/wire.h) */
#define TOKEN_LEN          8
#define CLOSE_REASON_ENDED 1

/* An opened control message. */
struct ctl_in {
	struct sess *s;
	struct sess_peer *p;
	struct sess_slot *k;
	const struct ep *from;
	const struct ip *local;
	bool side;
	struct rd body;
	ts_t now;
};

static const struct ip no_ip = {.family = IP_NONE};

static uint64_t random_token(void)
{
	uint64_t v;

	randombytes_buf(&v, sizeof(v));
	return v;
}

static uint64_t blocks_of(size_t plain)
{
	return (plain + WIRE_TAG + BLOCK - 1) / BLOCK;
}

static bool may_seal(const struct sess_slot *k, const struct sess_tune *t, size_t plain)
{
	return !k->gone && !k->hard &&
	       k->tx_blocks + blocks_of(plain) <= t->hard_blocks[k->keys.suite];
}

int sess_ctl_write(struct sess_slot *k, const struct sess_tune *t, const struct sess_msg *m,
	uint8_t *out, size_t size)
{
	const size_t plain = size - WIRE_DATA_HDR - WIRE_TAG;
	uint8_t nonce[12], *sealed;
	struct wr w;

	if (!may_seal(k, t, plain))
		return ERR_STATE;
	k->tx_blocks += blocks_of(plain);
	if (k->tx_blocks >= t->soft_blocks[k->keys.suite])
		k->soft = true;
	wr_init(&w, out, size - WIRE_TAG);
	wr_u8(&w, WIRE_TYPE_BYTE(WIRE_DATA));
	wr_u8(&w, m->side ? WIRE_F_SIDE_PORT : 0);
	wr_u8(&w, WIRE_LANE_CONTROL);
	wr_u8(&w, 0);
	wr_u32(&w, k->keys.remote_index);
	wr_u64(&w, k->tx_counter);
	sealed = w.p;
	wr_u24(&w, VNI_CONTROL);
	wr_u8(&w, WIRE_IF_CONTROL);
	wr_u8(&w, m->type);
	wr_copy(&w, m->body, m->len);
	assert(!wr_bad(&w));
	memset(w.p, 0, wr_left(&w));
	aead_data_nonce(nonce, WIRE_LANE_CONTROL, k->tx_counter++);
	aead_seal(k->tx, nonce, out, WIRE_DATA_HDR, sealed, plain, sealed, sealed + plain);
	k->peer->ctl_tx++;
	return 0;
}

int sess_ctl_seal(struct sess *s, struct sess_slot *k, const struct sess_path *path, uint8_t type,
	const void *body, size_t len)
{
	const struct sess_msg m = {.type = type, .side = path->via > 0, .body = body, .len = len};
	const size_t plain = WIRE_SHIM + 1 + len;
	struct sess_act *a;
	uint8_t *buf;

	if (!may_seal(k, &s->tune, plain))
		return ERR_STATE; /* before anything is queued */
	a = sess_act_push_buf(s, SESS_SEND, WIRE_DATA_HDR + plain + WIRE_TAG, &buf);
	a->peer = k->peer->handle;
	a->to = *path->to;
	a->local = *path->local;
	a->via = path->via;
	return sess_ctl_write(k, &s->tune, &m, buf, a->len);
}

int sess_ctl_send(struct sess *s, struct sess_peer *p, uint8_t type, const void *body, size_t len)
{
	struct sess_path path = {.to = &p->ep, .local = &p->local};

	return p->seal ? sess_ctl_seal(s, p->seal, &path, type, body, len) : ERR_STATE;
}

/* Under next-mine as well: the peer may have switched to it already, and honours a CLOSE only under
 * the key that it uses itself. */
void sess_ctl_close(struct sess *s, struct sess_peer *p)
{
	const uint8_t reason = CLOSE_REASON_ENDED;
	struct sess_path path = {.to = &p->ep, .local = &p->local};

	(void)sess_ctl_send(s, p, WIRE_CTL_CLOSE, &reason, 1);
	if (p->next && p->next != p->seal)
		(void)sess_ctl_seal(s, p->next, &path, WIRE_CTL_CLOSE, &reason, 1);
}

/* --- messages --- */

static int on_confirm(struct ctl_in *in)
{
	return 0; /* that it could be opened is all that it says */
}

static void put_token(uint8_t body[TOKEN_LEN], uint64_t token)
{
	struct wr w;

	wr_init(&w, body, TOKEN_LEN);
	wr_u64(&w, token);
}

static void put_ep(struct wr *w, const struct ep *ep)
{
	wr_u8(w, ep->ip.family);
	wr_copy(w, ep->ip.b, ip_bits(&ep->ip) / 8);
	wr_u16(w, ep->port);
}

static bool get_ep(struct rd *r, struct ep *ep)
{
	memset(ep, 0, sizeof(*ep));
	ep->ip.family = rd_u8(r);
	if (ep->ip.family != IP_V4 && ep->ip.family != IP_V6)
		return false;
	rd_copy(r, ep->ip.b, ip_bits(&ep->ip) / 8);
	ep->port = rd_u16(r);
	return !rd_bad(r);
}

/* Always answered to the main endpoint: whether the side port's way leads here is the question, not
 * whether one leads back. */
static int on_ping(struct ctl_in *in)
{
	uint8_t body[TOKEN_LEN + 1 + 16 + 2];
	uint64_t token = rd_u64(&in->body);
	struct wr w;

	if (rd_bad(&in->body))
		return ERR_MALFORMED;
	wr_init(&w, body, sizeof(body));
	wr_u64(&w, token);
	put_ep(&w, in->from);
	return sess_ctl_send(in->s, in->p, WIRE_CTL_PONG, body, wr_len(&w));
}

/* RFC 6298 2.3: a first sample is taken whole, then one eighth each. */
static void take_rtt(struct sess_peer *p, dur_t sample)
{
	p->srtt.ns = p->srtt.ns < 0 ? sample.ns : p->srtt.ns + (sample.ns - p->srtt.ns) / 8;
}

static void side_set(struct sess *s, struct sess_peer *p, uint8_t n, bool on)
{
	struct sess_act *a;

	if (p->side[n].on == on)
		return;
	p->side[n].on = on;
	a = sess_act_peer(s, SESS_SIDE_PORT, p);
	a->via = (uint8_t)(n + 1);
	a->on = on;
}

static bool side_answered(struct ctl_in *in, uint64_t token)
{
	struct sess *s = in->s;

	for (uint8_t n = 0; n < s->side_ports; n++) {
		struct sess_side *side = &in->p->side[n];

		if (!side->waiting || side->token != token)
			continue;
		side->waiting = false;
		side->lost = 0;
		side->at = ts_add(in->now,
			prng_jitter(&s->prng, s->tune.side_probe_interval, PING_JITTER_PCT));
		side_set(s, in->p, n, true);
		return true;
	}
	return false;
}

static int on_pong(struct ctl_in *in)
{
	struct sess_peer *p = in->p;
	uint64_t token = rd_u64(&in->body);
	struct ep seen;

	if (!get_ep(&in->body, &seen))
		return ERR_MALFORMED;
	if (p->ping_waits && token == p->ping_token) {
		p->ping_waits = false;
		take_rtt(p, ts_sub(in->now, p->ping_sent));
		p->observed = seen;
		return 0;
	}
	return side_answered(in, token) ? 0 : ERR_STALE;
}

/* Answered to where it came from, under the key in use, from our main port. */
static int on_challenge(struct ctl_in *in)
{
	struct sess_path path = {.to = in->from, .local = in->local};
	uint8_t body[TOKEN_LEN];

	rd_copy(&in->body, body, sizeof(body));
	if (rd_bad(&in->body))
		return ERR_MALFORMED;
	if (!in->p->seal)
		return ERR_STATE;
	return sess_ctl_seal(in->s, in->p->seal, &path, WIRE_CTL_CHALLENGE_OK, body, sizeof(body));
}

void sess_act_endpoint(struct sess *s, struct sess_peer *p)
{
	struct sess_act *a = sess_act_peer(s, SESS_ENDPOINT, p);

	a->ep = p->ep;
	a->local = p->local;
}

void sess_ctl_moved(struct sess *s, struct sess_peer *p, ts_t now)
{
	p->challenge.on = false;
	p->moved_at = now;
	for (uint8_t n = 0; n < s->side_ports; n++) {
		side_set(s, p, n, false);
		p->side[n].waiting = false;
		p->side[n].lost = 0;
		p->side[n].at = now;
	}
	p->ping_at = now;
	sess_timer_arm(s, &p->timer, now);
}

static int on_challenge_ok(struct ctl_in *in)
{
	struct sess *s = in->s;
	struct sess_peer *p = in->p;
	uint64_t token = rd_u64(&in->body);

	if (rd_bad(&in->body))
		return ERR_MALFORMED;
	if (!p->challenge.on || token != p->challenge.token || in->side ||
		!ep_eq(in->from, &p->challenge.ep))
		return ERR_STALE;
	p->ep = p->challenge.ep;
	p->local = p->challenge.local;
	sess_count(s, SESS_ST_ROAMS);
	sess_act_endpoint(s, p);
	sess_act_note(s, SESS_NOTE_ENDPOINT_MOVED, &p->ep, &p->key);
	sess_ctl_moved(s, p, in->now);
	return 0;
}

static int on_close(struct ctl_in *in)
{
	/* One sealed before the session that stands now must not end it. */
	if (in->k != in->p->seal)
		return ERR_STALE;
	sess_peer_end(in->s, in->p, SESS_DOWN_CLOSED);
	return 0;
}

static int (*const handlers[CTL_FIRST_FOREIGN])(struct ctl_in *in) = {
	[WIRE_CTL_CONFIRM] = on_confirm,
	[WIRE_CTL_PING] = on_ping,
	[WIRE_CTL_PONG] = on_pong,
	[WIRE_CTL_CHALLENGE] = on_challenge,
	[WIRE_CTL_CHALLENGE_OK] = on_challenge_ok,
	[WIRE_CTL_CLOSE] = on_close,
};

/* @msg: type byte and body. */
static int dispatch(struct ctl_in *in, const uint8_t *msg, size_t len)
{
	struct sess *s = in->s;
	int err;

	if (msg[0] >= CTL_FIRST_FOREIGN) {
		uint8_t *dst;
		struct sess_act *a = sess_act_push_buf(s, SESS_RECV, len, &dst);

		memcpy(dst, msg, len);
		a->ep = *in->from;
		a->peer = in->p->handle;
		a->key = in->p->key;
		a->realm = in->p->realm;
		in->p->last_use = in->now;
		return 0;
	}
	if (!handlers[msg[0]]) {
		sess_count(s, SESS_ST_UNKNOWN_CTL);
		return ERR_UNSUPPORTED;
	}
	rd_init(&in->body, msg + 1, len - 1);
	err = handlers[msg[0]](in);
	if (err == ERR_MALFORMED)
		sess_count(s, SESS_ST_MALFORMED);
	return err;
}

/* --- receiving --- */

void sess_ended_put(struct sess *s, uint32_t index)
{
	s->ended[s->next_ended++ % LIM_ENDED_INDEXES] = index;
}

bool sess_ended_has(const struct sess *s, uint32_t index)
{
	for (unsigned i = 0; i < LIM_ENDED_INDEXES; i++)
		if (s->ended[i] == index)
			return index != 0;
	return false;
}

/* Somebody seals on an index that we don't have: we restarted, or gave up a peer that was silent
 * and believes the session to stand. The answer is shorter than any such datagram. None for another
 * index that may be this run's own (session.c says why), and none once every key from before our
 * start has died: tokens must not be had for the asking. */
static int unknown_index(
	struct sess *s, const struct ep *from, const struct ip *local, uint32_t index, ts_t now)
{
	uint8_t buf[RESET_LEN];
	int len;

	sess_count(s, SESS_ST_UNKNOWN_INDEX);
	if (!sess_ended_has(s, index) && (sess_ix_marked(s, index) || ts_due(s->resets_until, now)))
		return ERR_NOT_FOUND;
	if (!rl_take(&s->reset_rate, LIM_RESETS_PER_SEC, now)) {
		sess_count(s, SESS_ST_RATE_LIMITED);
		return ERR_NOT_FOUND;
	}
	len = reset_write(s->id->reset_key, index, buf, sizeof(buf));
	if (len > 0) {
		sess_act_send(s, from, local, buf, (size_t)len);
		sess_count(s, SESS_ST_RESETS_TX);
	}
	return ERR_NOT_FOUND;
}

static int open_sealed(struct sess *s, struct sess_slot *k, uint8_t *buf, size_t len,
	uint64_t counter, bool *newest)
{
	uint8_t nonce[12], *body = buf + WIRE_DATA_HDR;
	size_t plain = len - WIRE_DATA_HDR - WIRE_TAG;

	if (!replay_check(&k->window, counter)) {
		sess_count(s, SESS_ST_REPLAY);
		return ERR_REPLAY;
	}
	aead_data_nonce(nonce, WIRE_LANE_CONTROL, counter);
	if (aead_open(k->rx, nonce, buf, WIRE_DATA_HDR, body, plain, body + plain, body)) {
		sess_count(s, SESS_ST_BAD_TAG);
		if (++k->failed_opens >= s->tune.max_failed_opens[k->keys.suite])
			sess_slot_limit(s, k, true);
		return ERR_AUTH;
	}
	*newest = replay_is_newest(&k->window, counter);
	return replay_accept(&k->window, counter);
}

/* What an opened packet says of its sender, whatever is in it. */
static void heard(struct ctl_in *in, bool newest)
{
	struct sess *s = in->s;
	struct sess_peer *p = in->p;
	struct sess_slot *k = in->k;
	bool retired;

	p->last_rx = in->now;
	p->ctl_rx++;
	sess_slot_heard(s, k, in->now);
	retired = k != p->seal && k != p->next;
	if (retired) /* still in use over there */
		k->open_until = ts_add(in->now, s->tune.previous_keep);
	else if (newest && !in->side)
		sess_ctl_roam(s, p, in->from, in->local, in->now);
}

int sess_ctl_recv_data(struct sess *s, const struct ep *from, const struct ip *local, uint8_t *buf,
	size_t len, ts_t now)
{
	struct ctl_in in = {.s = s, .from = from, .local = local, .now = now};
	uint8_t flags, lane, reserved;
	uint32_t index, vni;
	uint64_t counter;
	struct sess_ix *ix;
	bool newest;
	struct rd r;
	int err;

	rd_init(&r, buf, len);
	rd_u8(&r);
	flags = rd_u8(&r);
	lane = rd_u8(&r);
	reserved = rd_u8(&r);
	index = rd_u32(&r);
	counter = rd_u64(&r);
	if (len < WIRE_DATA_OVERHEAD || flags & ~WIRE_F_SIDE_PORT || reserved) {
		sess_count(s, SESS_ST_MALFORMED);
		return ERR_MALFORMED;
	}
	ix = sess_ix_find(s, index);
	if (!ix)
		return unknown_index(s, from, local, index, now);
	if (!ix->slot || ix->slot->gone || lane != WIRE_LANE_CONTROL)
		return ERR_NOT_FOUND; /* a race with the data plane; nobody lost anything */
	in.k = ix->slot;
	in.p = in.k->peer;
	in.side = flags & WIRE_F_SIDE_PORT;
	err = open_sealed(s, in.k, buf, len, counter, &newest);
	if (in.k->hard)
		sess_timer_arm(s, &in.p->timer, now);
	if (err)
		return err;
	heard(&in, newest);
	rd_init(&r, buf + WIRE_DATA_HDR, len - WIRE_DATA_HDR - WIRE_TAG);
	vni = rd_u24(&r);
	flags = rd_u8(&r);
	/* More than WIRE_CONTROL_MAX is a probe of the path's MTU, or nothing. */
	if (vni != VNI_CONTROL || flags != WIRE_IF_CONTROL || rd_left(&r) < 1 ||
		(len > WIRE_CONTROL_MAX && r.p[0] != WIRE_CTL_PATH)) {
		sess_count(s, SESS_ST_MALFORMED);
		return ERR_MALFORMED;
	}
	return dispatch(&in, r.p, rd_left(&r));
}

int sess_ctl_recv_reset(struct sess *s, const uint8_t *buf, size_t len, ts_t now)
{
	uint8_t token[RESET_TOKEN];
	uint32_t index;
	int err = reset_read(buf, len, &index, token);

	if (err) {
		sess_count(s, SESS_ST_MALFORMED);
		return err;
	}
	/* The peers' indexes are in no table: true resets are rare, floods are cut short. */
	if (!rl_take(&s->reset_rx_rate, LIM_RESETS_RX_PER_SEC, now)) {
		sess_count(s, SESS_ST_RATE_LIMITED);
		return ERR_LIMIT;
	}
	for (uint32_t h = 1; h < LIM_PEERS; h++) {
		struct sess_peer *p = s->peers[h];
		struct sess_slot *k = p ? p->seal : NULL;

		if (!k || k->keys.remote_index != index || !reset_token_eq(k->reset_token, token))
			continue;
		sess_count(s, SESS_ST_RESETS_RX);
		/* They restarted between their RESP and our FINAL: the dial is on its way. */
		if (!k->confirmed)
			return ERR_STATE;
		sess_peer_lost(s, p, now);
		return 0;
	}
	sess_count(s, SESS_ST_BAD_RESET);
	return ERR_AUTH;
}

/* --- roaming --- */

static void challenge(struct sess *s, struct sess_peer *p, ts_t now)
{
	struct sess_path path = {.to = &p->challenge.ep, .local = &p->challenge.local};
	uint8_t body[TOKEN_LEN];

	put_token(body, p->challenge.token);
	if (p->seal &&
		sess_ctl_seal(s, p->seal, &path, WIRE_CTL_CHALLENGE, body, sizeof(body)) == 0)
		p->challenge.sent = now;
}

void sess_ctl_roam(struct sess *s, struct sess_peer *p, const struct ep *from,
	const struct ip *local, ts_t now)
{
	if (!p->up || sess_relayed_label(from, NULL) || sess_relayed_label(&p->ep, NULL))
		return;
	if (ep_eq(from, &p->ep)) {
		/* The peer calls another of our addresses: answers must leave from it. */
		if (local->family != IP_NONE && !ip_eq(local, &p->local)) {
			p->local = *local;
			sess_act_endpoint(s, p);
		}
		return;
	}
	/* Two that know several addresses of each other may choose different ones at the same time, and
	 * would follow each other's choice back and forth: the one with the lower key keeps its own for
	 * a while, in which the other follows it. */
	if (!ts_due(ts_add(p->moved_at, ROAM_HOLD), now) && node_key_cmp(&s->id->pub, &p->key) < 0)
		return;
	if (p->challenge.on && !ts_due(ts_add(p->challenge.sent, s->tune.hs_retry), now))
		return; /* one challenge per retry time, wherever to */
	if (!p->challenge.on || !ep_eq(&p->challenge.ep, from)) {
		p->challenge.on = true;
		p->challenge.ep = *from;
		p->challenge.token = random_token();
	}
	p->challenge.local = *local;
	challenge(s, p, now);
}

/* --- what is due --- */

static dur_t pings_saved(const struct sess *s)
{
	int64_t most = s->tune.ping_interval.ns * PINGS_SAVED_MAX;
	int64_t keep = s->tune.previous_keep.ns / 3;

	return DUR_NS(most < keep ? most : keep);
}

static void run_ping(struct sess *s, struct sess_peer *p, ts_t now)
{
	dur_t every = s->tune.ping_interval;
	struct sess_path path = {.to = &p->ep, .local = &p->local};
	bool silent = ts_due(ts_add(p->last_rx, DUR_NS(every.ns * 3 / 2)), now);
	bool data = p->last_data.ns && !ts_due(ts_add(p->last_data, every), now);
	uint8_t body[TOKEN_LEN];

	if (!ts_due(p->ping_at, now))
		return;
	if (!data || ts_due(ts_add(p->ping_sent, pings_saved(s)), now)) {
		p->ping_token = random_token();
		p->ping_sent = now;
		p->ping_waits = true;
		put_token(body, p->ping_token);
		/* Perhaps our own address is gone: let the kernel choose. */
		if (silent)
			path.local = &no_ip;
		if (p->seal)
			(void)sess_ctl_seal(s, p->seal, &path, WIRE_CTL_PING, body, sizeof(body));
	}
	if (silent) {
		sess_act_note(s, SESS_NOTE_SILENT, &p->ep, &p->key);
		every.ns /= 3;
	}
	p->ping_at = ts_add(now, prng_jitter(&s->prng, every, PING_JITTER_PCT));
}

/* A probe of one side port, or the loss of the one before. */
static void run_side(struct sess *s, struct sess_peer *p, uint8_t n, ts_t now)
{
	struct sess_side *side = &p->side[n];
	struct sess_path path = {.to = &p->ep, .local = &p->local, .via = (uint8_t)(n + 1)};
	uint8_t body[TOKEN_LEN];

	if (side->waiting) {
		side->waiting = false;
		if (side->lost < SIDE_LOST_MAX)
			side->lost++;
		if (side->lost == SIDE_LOST_MAX) {
			side_set(s, p, n, false);
			side->at = ts_add(now, prng_jitter(&s->prng, s->tune.side_probe_interval,
						       PING_JITTER_PCT));
			return;
		}
	}
	side->token = random_token();
	side->waiting = true;
	side->at = ts_add(now, prng_jitter(&s->prng, s->tune.ping_interval, PING_JITTER_PCT));
	put_token(body, side->token);
	if (p->seal)
		(void)sess_ctl_seal(s, p->seal, &path, WIRE_CTL_PING, body, sizeof(body));
}

/* A relayed peer has none. */
static uint8_t probed_ports(const struct sess *s, const struct sess_peer *p)
{
	return sess_relayed_label(&p->ep, NULL) ? 0 : s->side_ports;
}

/* When a session that is not wanted is idle. Control messages say little of what comes next; data
 * comes in bursts, and keeps it longer. */
static ts_t unused_at(const struct sess *s, const struct sess_peer *p)
{
	ts_t control = ts_add(p->last_use, s->tune.unused_expiry);
	ts_t data = ts_add(p->data_use, s->tune.idle_expiry);

	return p->data_use.ns > 0 && ts_before(control, data) ? data : control;
}

int sess_ctl_run(struct sess *s, struct sess_peer *p, ts_t now)
{
	const uint8_t ports = probed_ports(s, p);
	int probes = 0;

	if (ts_due(ts_add(p->last_rx, s->tune.peer_timeout), now))
		return p->seal ? SESS_DOWN_TIMEOUT : SESS_DOWN_LIMIT;
	if (!p->wanted && ts_due(unused_at(s, p), now))
		return SESS_DOWN_IDLE;
	if (p->challenge.on && ts_due(ts_add(p->challenge.sent, s->tune.peer_timeout), now))
		p->challenge.on = false;
	run_ping(s, p, now);
	for (uint8_t n = 0; n < ports && probes < SESS_PROBES_PER_RUN; n++) {
		if (!ts_due(p->side[n].at, now))
			continue;
		run_side(s, p, n, now);
		probes++;
	}
	return 0;
}

ts_t sess_ctl_deadline(const struct sess *s, const struct sess_peer *p)
{
	ts_t when = ts_min(ts_add(p->last_rx, s->tune.peer_timeout), p->ping_at);

	if (!p->wanted)
		when = ts_min(when, unused_at(s, p));
	if (p->challenge.on)
		when = ts_min(when, ts_add(p->challenge.sent, s->tune.peer_timeout));
	for (uint8_t n = 0; n < probed_ports(s, p); n++)
		when = ts_min(when, p->side[n].at);
	return when;
}

void sess_ctl_start(struct sess *s, struct sess_peer *p, ts_t now)
{
	sess_act_endpoint(s, p);
	p->moved_at = p->last_rx = p->last_use = now;
	p->ping_at = now;
	for (uint8_t n = 0; n < s->side_ports; n++)
		p->side[n].at = now;
}
