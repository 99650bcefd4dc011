/* session.c - the session core: its life, its tables, its calls.
 *
 * Parts: session_int.h lists the files and defines the objects: peers (by handle, by Ed25519 key,
 * by X25519 form), the keys of each, dials, receiver indexes of ours.
 *
 * In: datagrams that are not data of a known lane; the caller's wishes (connect, disconnect, send);
 * hints from the data plane; time. Out: actions (session_act.c), drained by sess_next().
 *
 * States: a peer begins with its first key: not up while nothing proves that it has the key too,
 * then up until silence, CLOSE, a reset, a limit or the caller end it. Its keys: session_key.c. A
 * dial: INIT sent, then FINAL sent (session_dial.c).
 *
 * Bounds: LIM_PEERS, LIM_HS_PENDING, LIM_HS_SEEN, LIM_HS_CONSUMED and the rates beside them.
 * Nothing is kept for who has not finished a handshake.
 *
 * Failure: without memory an input is refused before it changed anything; what must not be refused
 * (an end, a limit) is noted in the peer and done by its timer. */
#include "session_int.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define NO_MEMORY_RETRY DUR_MS(100)
#define LOST_REDIAL     DUR_SEC(30) /* how long a peer that lost its state is dialled */
#define REDIAL_PATIENCE                                                                            \
	2 /* a FINAL was sent so often at most: its dial is not given up for another */
/* A timer always stands somewhere: queueing it again can't fail. */
#define IDLE_TIMER DUR_SEC(60)

const char *const sess_stat_names[SESS_ST_COUNT] = {
	[SESS_ST_HS_INIT_RX] = "handshake_init_rx",
	[SESS_ST_HS_RESP_RX] = "handshake_resp_rx",
	[SESS_ST_HS_FINAL_RX] = "handshake_final_rx",
	[SESS_ST_HS_DONE] = "handshakes_done",
	[SESS_ST_BAD_MAC1] = "bad_mac1",
	[SESS_ST_BAD_TIME] = "bad_time",
	[SESS_ST_BAD_COOKIE] = "bad_cookie",
	[SESS_ST_BAD_HANDSHAKE] = "bad_handshake",
	[SESS_ST_BAD_KEY] = "bad_key",
	[SESS_ST_REPLAYED_INIT] = "replayed_init",
	[SESS_ST_REPLAYED_FINAL] = "replayed_final",
	[SESS_ST_COOKIES_TX] = "cookies_tx",
	[SESS_ST_RESETS_TX] = "resets_tx",
	[SESS_ST_RESETS_RX] = "resets_rx",
	[SESS_ST_BAD_RESET] = "bad_reset",
	[SESS_ST_UNKNOWN_INDEX] = "unknown_index",
	[SESS_ST_MALFORMED] = "malformed",
	[SESS_ST_BAD_VERSION] = "bad_version",
	[SESS_ST_BAD_TAG] = "bad_tag",
	[SESS_ST_REPLAY] = "replay",
	[SESS_ST_RATE_LIMITED] = "rate_limited",
	[SESS_ST_TABLE_FULL] = "table_full",
	[SESS_ST_UNKNOWN_CTL] = "unknown_control",
	[SESS_ST_REKEYS] = "rekeys",
	[SESS_ST_ROAMS] = "roams",
	[SESS_ST_BAD_TYPE] = "bad_type",
};

void sess_tune_default(struct sess_tune *t)
{
	*t = (struct sess_tune){
		.rekey_initiator = DUR_SEC(120),
		.rekey_responder = DUR_SEC(150),
		.rekey_jitter_pct = 10,
		.key_lifetime = DUR_SEC(240),
		.previous_keep = DUR_SEC(30),
		.hs_retry = DUR_SEC(1),
		.hs_retry_max = DUR_SEC(8),
		.hs_state_life = DUR_SEC(20),
		.time_window = DUR_SEC(60),
		.cookie_life = DUR_SEC(120),
		.ping_interval = DUR_SEC(3),
		.peer_timeout = DUR_SEC(10),
		.idle_expiry = DUR_SEC(180),
		.unused_expiry = DUR_SEC(20),
		.side_probe_interval = DUR_SEC(15),
	};
	t->soft_blocks[WIRE_SUITE_CHACHA20_POLY1305] = UINT64_C(1) << 61;
	t->hard_blocks[WIRE_SUITE_CHACHA20_POLY1305] = UINT64_C(1) << 62;
	t->max_failed_opens[WIRE_SUITE_CHACHA20_POLY1305] = UINT64_C(1) << 36;
	t->soft_blocks[WIRE_SUITE_AES_256_GCM] = UINT64_C(1) << 34;
	t->hard_blocks[WIRE_SUITE_AES_256_GCM] = UINT64_C(1) << 35;
	t->max_failed_opens[WIRE_SUITE_AES_256_GCM] = UINT64_C(1) << 52;
}

/* --- life --- */

static int make_tables(struct sess *s)
{
	uint8_t seed[5][16];

	randombytes_buf(seed, sizeof(seed));
	s->by_index = map_new(sizeof(uint32_t), (size_t)LIM_PEERS * (SESS_SLOTS + 1), seed[0]);
	s->by_key = map_new(sizeof(struct node_key), LIM_PEERS, seed[1]);
	s->by_x25519 = map_new(32, LIM_PEERS, seed[2]);
	s->peers = calloc(LIM_PEERS, sizeof(struct sess_peer *));
	if (!s->by_index || !s->by_key || !s->by_x25519 || !s->peers)
		return ERR_NOMEM;
	/* A cookie's INIT is remembered as long as the cookie may hold. */
	if (memo_init(&s->seen, LIM_HS_SEEN,
		    DUR_NS(2 * (s->tune.time_window.ns > s->tune.cookie_life.ns
					       ? s->tune.time_window.ns
					       : s->tune.cookie_life.ns)),
		    seed[3]))
		return ERR_NOMEM;
	/* Longer than any sealed state that the entry stands for. */
	return memo_init(&s->consumed, LIM_HS_CONSUMED,
		DUR_NS(s->tune.hs_state_life.ns + DUR_SEC(1).ns), seed[4]);
}

struct sess *sess_new(const struct sess_cfg *cfg, ts_t now)
{
	struct sess *s;

	assert(cfg->nsecrets >= 1 && cfg->nsecrets <= LIM_SECRETS);
	assert(cfg->lanes >= 1 && cfg->lanes <= LIM_LANES && cfg->side_ports < cfg->lanes);
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->id = cfg->id;
	memcpy(s->secrets, cfg->secrets, cfg->nsecrets * sizeof(s->secrets[0]));
	for (size_t i = cfg->nsecrets; i < LIM_SECRETS; i++)
		s->realms[i] = REALM_NONE;
	s->hs = (struct hs_cfg){
		.id = cfg->id,
		.secrets = s->secrets,
		.nsecrets = cfg->nsecrets,
		.suites = cfg->suites,
		.lanes = cfg->lanes,
	};
	s->tune = cfg->tune;
	s->side_ports = cfg->side_ports;
	s->underload_cookies = cfg->underload_cookies;
	s->max_peers = LIM_PEERS - 1;
	s->max_dials = LIM_HS_PENDING;
	s->next_handle = 1;
	sess_set_wall(s, cfg->wall_unix_ns, now);
	handshake_seal_init(&s->hs_seal);
	randombytes_buf(s->ix_seed, sizeof(s->ix_seed));
	s->resets_until = ts_add(now, cfg->tune.key_lifetime);
	cookie_jar_init(&s->jar, cfg->tune.cookie_life, now);
	prng_seed(&s->prng, cfg->seed);
	tq_init(&s->timers);
	list_init(&s->dials);
	ratelimit_init(&s->rate, LIM_HS_PER_SOURCE, LIM_HS_PER_SEC);
	if (make_tables(s) || sess_act_reserve(s)) {
		sess_free(s);
		return NULL;
	}
	return s;
}

void sess_free(struct sess *s)
{
	struct list *n, *t;

	if (!s)
		return;
	list_each(&s->dials, n, t)
	{
		struct sess_dial *d = list_entry(n, struct sess_dial, link);

		sess_dial_free(s, d);
	}
	for (uint32_t h = 1; s->peers && h < LIM_PEERS; h++) {
		struct sess_peer *p = s->peers[h];

		if (!p)
			continue;
		for (int i = 0; i < SESS_SLOTS; i++)
			sess_slot_free(s, p->slots[i]);
		sodium_memzero(p, sizeof(*p));
		free(p);
	}
	tq_fini(&s->timers);
	sess_act_fini(s);
	memo_fini(&s->seen);
	memo_fini(&s->consumed);
	map_free(s->by_index);
	map_free(s->by_key);
	map_free(s->by_x25519);
	free(s->peers);
	cookie_jar_wipe(&s->jar);
	sodium_memzero(s, sizeof(*s));
	free(s);
}

void sess_set_wall(struct sess *s, uint64_t unix_ns, ts_t now)
{
	s->wall_ns = unix_ns;
	s->wall_at = now;
}

uint64_t sess_wall_secs(const struct sess *s, ts_t now)
{
	return (s->wall_ns + (now.ns - s->wall_at.ns)) / 1000000000u;
}

/* --- endpoints that stand for relays --- */

static const uint8_t discard_prefix[8] = {0x01, 0x00}; /* 100::/64, RFC 6666 */

struct ep sess_relayed_ep(uint64_t label)
{
	struct ep ep = {.ip.family = IP_V6, .port = WIRE_DEFAULT_PORT};

	memcpy(ep.ip.b, discard_prefix, sizeof(discard_prefix));
	for (int i = 0; i < 8; i++)
		ep.ip.b[8 + i] = (uint8_t)(label >> (56 - 8 * i));
	return ep;
}

bool sess_relayed_label(const struct ep *ep, uint64_t *label)
{
	uint64_t v = 0;

	if (ep->ip.family != IP_V6 || memcmp(ep->ip.b, discard_prefix, sizeof(discard_prefix)) != 0)
		return false;
	for (int i = 0; i < 8; i++)
		v = v << 8 | ep->ip.b[8 + i];
	if (label)
		*label = v;
	return true;
}

/* --- receiver indexes --- */

struct sess_ix *sess_ix_find(const struct sess *s, uint32_t index)
{
	return map_get(s->by_index, &index);
}

int sess_ix_take(struct sess *s, uint32_t index, struct sess_ix **out)
{
	struct sess_ix *ix = calloc(1, sizeof(*ix));
	int err;

	if (!ix)
		return ERR_NOMEM;
	ix->index = index;
	err = map_put(s->by_index, &index, ix);
	if (err) {
		free(ix);
		return err;
	}
	*out = ix;
	return 0;
}

/* The lowest byte of an index is a MAC of the others. Resets are for indexes of the run before, and
 * for those that ended here alone: else whoever sees an index in a RESP could ask for its reset token before FINAL
 * makes the index known, and end the session with it later. */
static uint32_t mark(const struct sess *s, uint32_t index)
{
	const uint32_t high = index & ~UINT32_C(0xff);

	return high | (map_siphash(s->ix_seed, &high, sizeof(high)) & 0xff);
}

uint32_t sess_ix_random(const struct sess *s)
{
	uint32_t index;

	do {
		index = mark(s, randombytes_random());
	} while (index == 0 || sess_ended_has(s, index));
	return index;
}

bool sess_ix_marked(const struct sess *s, uint32_t index)
{
	return mark(s, index) == index;
}

struct sess_ix *sess_ix_new(struct sess *s)
{
	struct sess_ix *ix;
	int err;

	do {
		err = sess_ix_take(s, sess_ix_random(s), &ix);
	} while (err == ERR_EXISTS);
	return err ? NULL : ix;
}

void sess_ix_free(struct sess *s, struct sess_ix *ix)
{
	map_del(s->by_index, &ix->index);
	free(ix);
}

/* --- timers --- */

/* Every timer is in the queue from its creation on, and taken out only at the end. */
void sess_timer_arm(struct sess *s, struct sess_timer *t, ts_t when)
{
	int err;

	assert(!ts_is_never(when));
	err = tq_set(&s->timers, &t->node, when);
	assert(!err);
	(void)err;
}

void sess_tick(struct sess *s, ts_t now)
{
	s->tick_after = TS_ZERO;
	do {
		struct tq_node *n;
		struct sess_timer *t;

		if (sess_act_reserve(s)) {
			s->tick_after = ts_add(now, NO_MEMORY_RETRY);
			return;
		}
		n = tq_pop(&s->timers, now);
		if (!n)
			return;
		t = tq_entry(n, struct sess_timer, node);
		sess_timer_arm(s, t, ts_add(now, IDLE_TIMER)); /* keeps its place in the heap */
		t->fire(s, t, now);
	} while (s->queue.count - s->queue.head < SESS_TICK_MAX);
}

ts_t sess_deadline(const struct sess *s)
{
	ts_t when = tq_deadline(&s->timers);

	return ts_before(when, s->tick_after) ? s->tick_after : when;
}

/* --- peers --- */

static void peer_fire(struct sess *s, struct sess_timer *t, ts_t now)
{
	sess_peer_run(s, tq_entry(t, struct sess_peer, timer), now);
}

/* Handles go round, so that a late word about an old one doesn't hit its successor. */
static uint32_t free_handle(struct sess *s)
{
	for (;;) {
		uint32_t h = s->next_handle;

		s->next_handle = h + 1 < LIM_PEERS ? h + 1 : 1;
		if (!s->peers[h])
			return h;
	}
}

int sess_peer_new(struct sess *s, uint32_t realm, const struct hs_peer *who, const struct ep *ep,
	const struct ip *local, ts_t now, struct sess_peer **out)
{
	struct sess_peer *p;
	int err = ERR_NOMEM;

	if (s->npeers >= s->max_peers)
		return ERR_FULL;
	p = calloc(1, sizeof(*p) + s->side_ports * sizeof(p->side[0]));
	if (!p)
		return ERR_NOMEM;
	p->realm = realm;
	p->key = who->key;
	memcpy(p->x25519, who->x25519, sizeof(p->x25519));
	p->ep = *ep;
	p->local = *local;
	p->wanted = true;
	p->srtt = DUR_NS(-1);
	p->keyless_until = p->rekey_at = TS_NEVER;
	p->last_rx = p->last_use = now;
	p->timer.fire = peer_fire;
	err = map_put(s->by_key, &p->key, p);
	if (err)
		goto fail;
	err = map_put(s->by_x25519, p->x25519, p);
	if (err)
		goto fail_key;
	err = tq_set(&s->timers, &p->timer.node, ts_add(now, IDLE_TIMER));
	if (err)
		goto fail_x25519;
	p->handle = free_handle(s);
	s->peers[p->handle] = p;
	s->npeers++;
	*out = p;
	return 0;
fail_x25519:
	map_del(s->by_x25519, p->x25519);
fail_key:
	map_del(s->by_key, &p->key);
fail:
	free(p);
	return err;
}

struct sess_peer *sess_peer_by_key(const struct sess *s, const struct node_key *key)
{
	return map_get(s->by_key, key);
}

static struct sess_peer *peer_by_handle(const struct sess *s, uint32_t handle)
{
	return handle < LIM_PEERS ? s->peers[handle] : NULL;
}

/* May the other end still seal, or begin to, since nothing told it, or the word got lost? With 0 the
 * peer never was up here, but its FINAL may be under way. */
static bool one_sided(int reason)
{
	return reason != SESS_DOWN_CLOSED && reason != SESS_DOWN_RESET &&
	       reason != SESS_DOWN_FORGOTTEN;
}

void sess_peer_end(struct sess *s, struct sess_peer *p, int reason)
{
	p->doom = reason; /* its keys say so */
	for (int i = 0; one_sided(reason) && i < SESS_SLOTS; i++)
		if (p->slots[i])
			sess_ended_put(s, p->slots[i]->ix->index);
	if (p->dial)
		sess_dial_free(s, p->dial);
	for (int i = 0; i < SESS_SLOTS; i++)
		if (p->slots[i])
			sess_slot_drop(s, p->slots[i]);
	if (p->up) {
		struct sess_act *a = sess_act_peer(s, SESS_DOWN, p);

		a->ep = p->ep;
		a->reason = reason;
	}
	tq_cancel(&s->timers, &p->timer.node);
	map_del(s->by_key, &p->key);
	map_del(s->by_x25519, p->x25519);
	s->peers[p->handle] = NULL;
	s->npeers--;
	sodium_memzero(p, sizeof(*p));
	free(p);
}

void sess_peer_lost(struct sess *s, struct sess_peer *p, ts_t now)
{
	struct ep ep = p->ep;
	struct node_key key = p->key;
	uint32_t realm = p->realm;
	struct sess_dial *d;
	int err;

	sess_act_note(s, SESS_NOTE_RESET, &ep, &key);
	sess_peer_end(s, p, SESS_DOWN_RESET);
	err = s->ndials < s->max_dials
		      ? sess_dial_new(s, realm, &ep, &key, ts_add(now, LOST_REDIAL), now, &d)
		      : ERR_FULL;
	if (err) {
		struct sess_act *a = sess_act_push(s, SESS_DIAL_FAILED);

		a->realm = realm;
		a->ep = ep;
		a->key = key;
		a->reason = err;
	}
}

void sess_peer_up(struct sess *s, struct sess_peer *p, ts_t now)
{
	struct sess_act *a;

	if (p->up)
		return;
	p->up = true;
	a = sess_act_peer(s, SESS_UP, p);
	a->ep = p->ep;
	a->local = p->local;
	sess_ctl_start(s, p, now);
}

static void close_and_end(struct sess *s, struct sess_peer *p, int reason)
{
	if (p->up)
		sess_ctl_close(s, p);
	sess_peer_end(s, p, reason);
}

void sess_peer_run(struct sess *s, struct sess_peer *p, ts_t now)
{
	int reason = p->doom;
	ts_t when;

	if (!reason)
		reason = sess_slot_run(s, p, now);
	if (!reason && p->up)
		reason = sess_ctl_run(s, p, now);
	if (reason) {
		close_and_end(s, p, reason);
		return;
	}
	when = ts_min(ts_add(now, IDLE_TIMER), sess_slot_deadline(s, p));
	if (p->up)
		when = ts_min(when, sess_ctl_deadline(s, p));
	sess_timer_arm(s, &p->timer, when);
}

/* --- calls --- */

/* The first of a realm: the cluster's others are for who still calls under them. */
int sess_realm_secret(const struct sess *s, uint32_t realm)
{
	for (int i = 0; i < LIM_SECRETS; i++)
		if (s->realms[i] == realm)
			return i;
	return ERR_NOT_FOUND;
}

int sess_realm_add(struct sess *s, uint32_t realm, const struct secret_keys *keys)
{
	int slot = sess_realm_secret(s, REALM_NONE);

	assert(realm != 0 && realm != REALM_NONE);
	if (sess_realm_secret(s, realm) >= 0)
		return ERR_EXISTS;
	if (slot < 0)
		return ERR_FULL;
	s->secrets[slot] = *keys;
	s->realms[slot] = realm;
	if ((size_t)slot >= s->hs.nsecrets)
		s->hs.nsecrets = (size_t)slot + 1;
	return 0;
}

int sess_connect(
	struct sess *s, const struct ep *to, const struct node_key *expect, ts_t give_up, ts_t now)
{
	return sess_realm_connect(s, 0, to, expect, give_up, now);
}

int sess_realm_connect(struct sess *s, uint32_t realm, const struct ep *to,
	const struct node_key *expect, ts_t give_up, ts_t now)
{
	struct sess_dial *d;
	struct list *n, *t;

	if (realm == REALM_NONE || sess_realm_secret(s, realm) < 0)
		return ERR_NOT_FOUND;
	if (expect && node_key_eq(expect, &s->id->pub))
		return ERR_CONFLICT;
	if (expect) {
		struct sess_peer *p = sess_peer_by_key(s, expect);

		if (p && !p->doom && p->realm == realm) {
			p->wanted = true;
			return 0;
		}
	}
	for (uint32_t h = 1; !expect && h < LIM_PEERS; h++)
		if (s->peers[h] && s->peers[h]->realm == realm && ep_eq(&s->peers[h]->ep, to))
			return 0;
	list_each(&s->dials, n, t)
	{
		d = list_entry(n, struct sess_dial, link);
		if (!d->rekey && d->realm == realm &&
			(ep_eq(&d->to, to) ||
				(expect && d->has_expect && node_key_eq(&d->expect, expect))))
			return 0;
	}
	if (s->ndials >= s->max_dials)
		return ERR_FULL;
	return sess_dial_new(s, realm, to, expect, give_up, now, &d);
}

/* Ends a user's dial together with the peer that it may have half made. */
static void drop_dial(struct sess *s, struct sess_dial *d)
{
	struct sess_peer *p = d->peer;

	if (!p)
		sess_dial_free(s, d);
	else if (!p->up)
		sess_peer_end(s, p, 0);
}

int sess_redial(
	struct sess *s, const struct ep *to, const struct node_key *expect, ts_t give_up, ts_t now)
{
	struct list *n, *t;

	list_each(&s->dials, n, t)
	{
		struct sess_dial *d = list_entry(n, struct sess_dial, link);

		if (d->rekey || !d->has_expect || !node_key_eq(&d->expect, expect))
			continue;
		if (ep_eq(&d->to, to)) {
			d->give_up = give_up;
			continue;
		}
		if (d->state == DIAL_FINAL && d->attempts <= REDIAL_PATIENCE)
			return 0;
		if (sess_act_reserve(s))
			return ERR_NOMEM;
		drop_dial(s, d);
	}
	return sess_connect(s, to, expect, give_up, now);
}

void sess_disconnect(struct sess *s, const struct node_key *key, ts_t now)
{
	struct sess_peer *p = sess_peer_by_key(s, key);

	sess_dial_settle(s, key);
	if (!p)
		return;
	p->doom = SESS_DOWN_FORGOTTEN;
	if (sess_act_reserve(s))
		sess_timer_arm(s, &p->timer, now);
	else
		sess_peer_run(s, p, now);
}

int sess_realm_del(struct sess *s, uint32_t realm, ts_t now)
{
	int slot = realm == 0 ? ERR_NOT_FOUND : sess_realm_secret(s, realm);
	struct list *n, *t;

	if (slot < 0)
		return ERR_NOT_FOUND;
	for (uint32_t h = 1; h < LIM_PEERS; h++)
		if (s->peers[h] && s->peers[h]->realm == realm)
			sess_disconnect(s, &s->peers[h]->key, now);
	list_each(&s->dials, n, t)
	{
		struct sess_dial *d = list_entry(n, struct sess_dial, link);

		if (d->realm == realm && !d->rekey)
			drop_dial(s, d);
	}
	randombytes_buf(&s->secrets[slot], sizeof(s->secrets[slot]));
	s->realms[slot] = REALM_NONE;
	return 0;
}

void sess_release(struct sess *s, const struct node_key *key, ts_t now)
{
	struct sess_peer *p = sess_peer_by_key(s, key);

	if (!p)
		return;
	p->wanted = false;
	p->last_use = now;
	sess_timer_arm(s, &p->timer, now);
}

void sess_cancel(struct sess *s, const struct ep *to, ts_t now)
{
	struct list *n, *t;

	list_each(&s->dials, n, t)
	{
		struct sess_dial *d = list_entry(n, struct sess_dial, link);

		if (d->rekey || !ep_eq(&d->to, to))
			continue;
		/* There may be many, each with a peer that ends: room for each. Without memory it
		 * gives up at its next timer. */
		if (sess_act_reserve(s))
			d->give_up = now;
		else
			drop_dial(s, d);
	}
}

int sess_recv(struct sess *s, const struct ep *from, const struct ip *local, uint8_t *buf,
	size_t len, ts_t now)
{
	if (sess_act_reserve_bytes(s, len > WIRE_CONTROL_MAX ? len : 0))
		return ERR_NOMEM;
	if (len == 0) {
		sess_count(s, SESS_ST_MALFORMED);
		return ERR_MALFORMED;
	}
	if (WIRE_VERSION_OF(buf[0]) != WIRE_VERSION) {
		sess_count(s, SESS_ST_BAD_VERSION);
		return ERR_VERSION;
	}
	switch (WIRE_TYPE_OF(buf[0])) {
	case WIRE_DATA:
		return sess_ctl_recv_data(s, from, local, buf, len, now);
	case WIRE_INIT:
	case WIRE_RESP:
	case WIRE_FINAL:
	case WIRE_COOKIE:
		return sess_hs_recv(s, from, local, buf, len, now);
	case WIRE_RESET:
		return sess_ctl_recv_reset(s, buf, len, now);
	default:
		sess_count(s, SESS_ST_BAD_TYPE);
		return ERR_UNSUPPORTED;
	}
}

int sess_send(struct sess *s, uint32_t peer, uint8_t type, const void *body, size_t len, ts_t now)
{
	struct sess_peer *p = peer_by_handle(s, peer);
	int err;

	if (!p || !p->up || p->doom)
		return ERR_NOT_FOUND;
	if (len > WIRE_CTL_BODY_MAX)
		return ERR_RANGE;
	err = sess_act_reserve(s);
	if (err)
		return err;
	p->last_use = now;
	err = sess_ctl_send(s, p, type, body, len);
	if (p->seal && p->seal->soft)
		sess_timer_arm(s, &p->timer, now);
	return err;
}

int sess_seal(struct sess *s, const struct sess_msg *m, uint8_t *out, size_t cap, ts_t now)
{
	const size_t least = WIRE_DATA_OVERHEAD + 1 + m->len, size = m->size ? m->size : least;
	struct sess_peer *p = peer_by_handle(s, m->peer);
	int err;

	if (!p || !p->up || p->doom)
		return ERR_NOT_FOUND;
	if (m->len > WIRE_CTL_BODY_MAX || size < least || size > cap || size > UINT16_MAX)
		return ERR_RANGE;
	p->last_use = now;
	err = p->seal ? sess_ctl_write(p->seal, &s->tune, m, out, size) : ERR_STATE;
	if (p->seal && p->seal->soft)
		sess_timer_arm(s, &p->timer, now);
	return err ? err : (int)size;
}

int sess_move(struct sess *s, uint32_t peer, const struct ep *to, ts_t now)
{
	struct sess_peer *p = peer_by_handle(s, peer);

	if (!p || !p->up || p->doom)
		return ERR_NOT_FOUND;
	if (ep_eq(&p->ep, to))
		return 0;
	if (sess_act_reserve(s))
		return ERR_NOMEM;
	p->ep = *to;
	p->local = (struct ip){.family = IP_NONE};
	sess_ctl_moved(s, p, now);
	return 0;
}

void sess_local_gone(struct sess *s, uint32_t peer, ts_t now)
{
	struct sess_peer *p = peer_by_handle(s, peer);

	/* Without memory: a silence will tell. */
	if (!p || !p->up || p->doom || p->local.family == IP_NONE || sess_act_reserve(s))
		return;
	p->local = (struct ip){.family = IP_NONE};
	sess_act_endpoint(s, p);
	p->ping_at = now;
	sess_timer_arm(s, &p->timer, now);
}

void sess_key_confirmed(struct sess *s, uint32_t index, ts_t now)
{
	struct sess_ix *ix = sess_ix_find(s, index);

	/* Without memory: FINAL is repeated, and its CONFIRM comes to lane 0. */
	if (!ix || !ix->slot || ix->slot->gone || sess_act_reserve(s))
		return;
	ix->slot->peer->last_rx = now;
	sess_slot_heard(s, ix->slot, now);
}

void sess_key_limit(struct sess *s, uint32_t index, bool hard, ts_t now)
{
	struct sess_ix *ix = sess_ix_find(s, index);

	if (!ix || !ix->slot || ix->slot->gone)
		return;
	sess_slot_limit(s, ix->slot, hard);
	sess_timer_arm(s, &ix->slot->peer->timer, now);
}

void sess_traffic(struct sess *s, uint32_t peer, ts_t last_rx, ts_t now)
{
	struct sess_peer *p = peer_by_handle(s, peer);

	if (!p || ts_before(now, last_rx))
		return;
	if (ts_before(p->last_rx, last_rx))
		p->last_rx = last_rx;
	if (ts_before(p->last_data, last_rx))
		p->last_data = last_rx;
	if (ts_before(p->data_use, last_rx))
		p->data_use = last_rx;
}

void sess_used(struct sess *s, uint32_t peer, ts_t when, ts_t now)
{
	struct sess_peer *p = peer_by_handle(s, peer);

	if (p && !ts_before(now, when) && ts_before(p->data_use, when))
		p->data_use = when;
}

void sess_roam_hint(
	struct sess *s, uint32_t peer, const struct ep *from, const struct ip *local, ts_t now)
{
	struct sess_peer *p = peer_by_handle(s, peer);

	if (p && sess_act_reserve(s) == 0)
		sess_ctl_roam(s, p, from, local, now);
}

/* --- status --- */

static void info_of(const struct sess_peer *p, struct sess_peer_info *out, ts_t now)
{
	memset(out, 0, sizeof(*out));
	out->peer = p->handle;
	out->realm = p->realm;
	out->key = p->key;
	out->ep = p->ep;
	out->local = p->local;
	out->up = p->up;
	out->rtt = p->srtt;
	out->handshakes = p->handshakes;
	out->ctl_rx = p->ctl_rx;
	out->ctl_tx = p->ctl_tx;
	out->observed = p->observed;
	if (p->seal) {
		out->initiator = p->seal->mine;
		out->suite = p->seal->keys.suite;
		out->key_age = ts_sub(now, p->seal->born);
		out->local_index = p->seal->keys.local_index;
	}
}

bool sess_peer_next(const struct sess *s, uint32_t *it, struct sess_peer_info *out, ts_t now)
{
	for (uint32_t h = *it + 1; h < LIM_PEERS; h++) {
		if (!s->peers[h])
			continue;
		info_of(s->peers[h], out, now);
		*it = h;
		return true;
	}
	return false;
}

int sess_peer_get(const struct sess *s, uint32_t peer, struct sess_peer_info *out, ts_t now)
{
	const struct sess_peer *p = peer_by_handle(s, peer);

	if (!p)
		return ERR_NOT_FOUND;
	info_of(p, out, now);
	return 0;
}

uint32_t sess_peer_find(const struct sess *s, const struct node_key *key)
{
	const struct sess_peer *p = sess_peer_by_key(s, key);

	return p ? p->handle : 0;
}

bool sess_dial_next(const struct sess *s, uint32_t *it, struct sess_dial_info *out)
{
	uint32_t i = 0;

	for (struct list *n = s->dials.next; n != &s->dials; n = n->next) {
		const struct sess_dial *d = list_entry(n, struct sess_dial, link);

		if (d->rekey || i++ < *it)
			continue;
		out->to = d->to;
		out->has_key = d->has_expect;
		out->key = d->expect;
		out->attempts = d->attempts;
		out->next = d->timer.node.when;
		*it = i;
		return true;
	}
	return false;
}

void sess_stats(const struct sess *s, uint64_t out[SESS_ST_COUNT])
{
	memcpy(out, s->stats, sizeof(s->stats));
}
