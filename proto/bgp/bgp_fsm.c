/* bgp_fsm.c - the state machine of RFC 4271 8.
 *
 * A peer has at most two connections, one that we dialled and one that it opened; each has its own
 * state (RFC 4271 8.2.1), and a table says what each event does in each. Without connection a peer
 * is Idle (stopped, or waiting out IdleHoldTimer) or Active (waiting for the peer, or for
 * ConnectRetryTimer to dial again). When both connections have come far enough, one is closed
 * (6.8, collide()).
 *
 * In: events of the driver, messages, timers. Out: messages in the output queue, BGP_CONNECT,
 * BGP_CLOSE and BGP_STATE by flags and lists that bgp_next() looks at.
 *
 * Failure: a connection that fails takes the peer to Idle, unless the other connection is alive;
 * IdleHoldTimer doubles from 2 s to 128 s while sessions last under a minute (8.1.1,
 * DampPeerOscillations). No memory: the connection fails the same way. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_int.h"

#define OPEN_HOLD_SECS    240 /* RFC 4271 8.2.2: "a large value" */
#define IDLE_HOLD_SECS    2
#define BACKOFF_MAX       6  /* 2 s << 6 */
#define STABLE_SECS       60 /* a session this long starts the doubling over */
#define HOLD_DEFAULT      90
#define ADD_PATH_FAMILIES (BGP_FAM(BGP_IPV4) | BGP_FAM(BGP_IPV6))
#define RETRY_DEFAULT     30
#define RETRY_KEPT        2 /* while it restarts */

enum conn_event {
	EV_CONNECTED,
	EV_CLOSED,
	EV_OPEN,
	EV_UPDATE,
	EV_NOTIFICATION,
	EV_KEEPALIVE,
	EV_REFRESH,
	EV_BAD_HEADER,
	EV_HOLD,
	EV_KEEPALIVE_TIMER,
	EV_SEND_HOLD,
	EVENTS,
};

struct event {
	const uint8_t *msg; /* whole, of messages */
	size_t len;
	struct bgp_error err; /* of EV_BAD_HEADER */
};

static enum bgp_state state_of(const struct bgp_peer *p)
{
	static const enum bgp_state of_conn[CONN_STATES] = {
		[CONN_CONNECT] = BGP_CONNECTING,
		[CONN_OPENSENT] = BGP_OPENSENT,
		[CONN_OPENCONFIRM] = BGP_OPENCONFIRM,
		[CONN_ESTABLISHED] = BGP_ESTABLISHED,
	};
	enum bgp_state s = p->idle ? BGP_IDLE : BGP_ACTIVE;
	bool any = false;

	for (unsigned i = 0; i < SLOTS; i++) {
		if (!p->conn[i])
			continue;
		if (!any || of_conn[p->conn[i]->state] > s)
			s = of_conn[p->conn[i]->state];
		any = true;
	}
	return s;
}

/* Say so if the peer's state is another by now. */
static void note_state(struct bgp_peer *p)
{
	enum bgp_state s = state_of(p);

	if (s == p->state)
		return;
	p->state = s;
	p->since = p->b->now;
	if (list_empty(&p->state_link))
		list_add_tail(&p->b->states, &p->state_link);
}

struct bgp_conn *bgp_conn_find(struct bgp *b, uint32_t id)
{
	struct bgp_peer *p = id >> 16 <= LIM_BGP_PEERS ? b->peers[id >> 16] : NULL;
	struct bgp_conn *c = p ? p->conn[id & 1] : NULL;

	return c && c->id == id ? c : NULL;
}

static struct bgp_conn *conn_new(struct bgp_peer *p, enum conn_slot slot)
{
	struct bgp_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	p->gen = (uint16_t)(p->gen + 1) & 0x7fff;
	c->id = (uint32_t)p->idx << 16 | (uint32_t)p->gen << 1 | slot;
	c->slot = slot;
	c->peer = p;
	list_init(&c->link);
	c->hold = (struct bgp_timer){.kind = TIMER_HOLD, .owner = c};
	c->keepalive = (struct bgp_timer){.kind = TIMER_KEEPALIVE, .owner = c};
	c->send_hold = (struct bgp_timer){.kind = TIMER_SEND_HOLD, .owner = c};
	p->conn[slot] = c;
	return c;
}

void bgp_conn_free(struct bgp_conn *c)
{
	list_del(&c->link);
	free(c->in);
	free(c->out);
	free(c);
}

/* Take @c from its peer. @told: the driver knows that it is gone. */
static void detach(struct bgp_conn *c, bool told)
{
	struct bgp_peer *p = c->peer;

	assert(p->up != c);
	bgp_timer_set(p->b, &c->hold, TS_NEVER);
	bgp_timer_set(p->b, &c->keepalive, TS_NEVER);
	bgp_timer_set(p->b, &c->send_hold, TS_NEVER);
	list_del(&c->link);
	p->conn[c->slot] = NULL;
	c->peer = NULL;
	if (c->tell_connect) {
		p->b->connects--;
		told = true; /* it never heard of it */
	}
	if (told)
		bgp_conn_free(c);
	else
		list_add_tail(&p->b->closing, &c->link);
}

static void drop_conn(struct bgp_conn *c, const struct bgp_error *e)
{
	struct bgp_error wire;
	struct wr w;

	if (e && c->out) {
		wire = *e;
		if (c->state == CONN_ESTABLISHED)
			bgp_restart_harden(c->peer, &wire);
		bgp_conn_begin(c, &w);
		bgp_notification_encode(&w, &wire);
		bgp_conn_end(c, &w, 1);
	}
	detach(c, false);
}

static void set_error(struct bgp_peer *p, const struct bgp_error *e, bool by_them, const char *why)
{
	char text[320];

	if (e)
		snprintf(p->last_error, sizeof(p->last_error), "%s %s",
			by_them ? "received" : "sent", bgp_error_fmt(e, text, sizeof(text)));
	else if (why)
		snprintf(p->last_error, sizeof(p->last_error), "%s", why);
	else
		return;
	p->tell_error = true;
}

/* @e: the NOTIFICATION that ends it, NULL: none. */
static void session_end(struct bgp_peer *p, const struct bgp_error *e)
{
	if (ts_sub(p->b->now, p->since).ns >= DUR_SEC(STABLE_SECS).ns)
		p->backoff = 0;
	bgp_session_down(p, bgp_restart_keep(p, e));
}

/* How long to stay Idle. A peer that restarts is waited for at once, the first time. */
static ts_t idle_until(struct bgp_peer *p, const struct bgp_error *e)
{
	dur_t wait = DUR_SEC((int64_t)IDLE_HOLD_SECS << p->backoff);

	if (p->stopped)
		return TS_NEVER;
	if (e && e->code == NOTIFY_CEASE && e->subcode == CEASE_MAX_PREFIX &&
		p->cfg.max_restart_secs && p->max_hit)
		return ts_add(p->b->now, DUR_SEC(p->cfg.max_restart_secs));
	if (p->kept && p->backoff == 0)
		return p->b->now;
	return ts_add(p->b->now, prng_jitter(&p->b->prng, wait, 25));
}

void bgp_peer_down(struct bgp_peer *p, const struct bgp_error *e, bool by_them, const char *why)
{
	if (p->up)
		session_end(p, e);
	else if (p->stopped || bgp_restart_is_hard(e))
		bgp_session_forget(p);
	set_error(p, e, by_them, why);
	for (unsigned i = 0; i < SLOTS; i++)
		if (p->conn[i])
			drop_conn(p->conn[i], by_them ? NULL : e);
	p->idle = true;
	bgp_timer_set(p->b, &p->retry, TS_NEVER);
	bgp_timer_set(p->b, &p->idle_hold, idle_until(p, e));
	p->max_hit = false;
	if (!p->stopped && p->backoff < BACKOFF_MAX)
		p->backoff++;
	note_state(p);
}

void bgp_peer_cease(struct bgp_peer *p, unsigned subcode, const char *text)
{
	struct bgp_error e;
	uint8_t data[256];
	size_t n = text ? strlen(text) : 0;

	if (n > 255) /* RFC 9003 2; never in the middle of a UTF-8 character */
		for (n = 255; n && ((uint8_t)text[n] & 0xc0) == 0x80;)
			n--;
	data[0] = (uint8_t)n;
	if (n)
		memcpy(data + 1, text, n);
	bgp_error_set(&e, NOTIFY_CEASE, subcode, data, n ? n + 1 : 0);
	bgp_peer_down(p, &e, false, NULL);
}

/* A connection has failed: the peer goes to Idle unless its other one is alive. */
static void conn_fail(struct bgp_conn *c, const struct bgp_error *e, bool by_them, const char *why)
{
	struct bgp_peer *p = c->peer;
	struct bgp_conn *other = p->conn[!c->slot];

	if (p->up == c || !other || other->state == CONN_CONNECT) {
		bgp_peer_down(p, e, by_them, why);
		return;
	}
	set_error(p, e, by_them, why);
	drop_conn(c, by_them ? NULL : e);
	note_state(p);
}

static unsigned offered_hold(const struct bgp_peer *p)
{
	return p->cfg.no_hold ? 0 : p->cfg.hold_secs ? p->cfg.hold_secs : HOLD_DEFAULT;
}

static ts_t in_secs(struct bgp_peer *p, unsigned secs)
{
	return ts_add(p->b->now, DUR_SEC(secs));
}

static void hold_restart(struct bgp_conn *c)
{
	struct bgp_peer *p = c->peer;

	bgp_timer_set(p->b, &c->hold, p->hold_secs ? in_secs(p, p->hold_secs) : TS_NEVER);
}

/* RFC 4271 10: a third of the hold time, made shorter at random by up to a quarter. */
void bgp_keepalive_restart(struct bgp_conn *c)
{
	struct bgp_peer *p = c->peer;
	dur_t third = bgp_jitter(p->b, DUR_NS(DUR_SEC(p->hold_secs).ns / 3));

	if (third.ns < DUR_SEC(1).ns) /* RFC 4271 4.4: never more often */
		third = DUR_SEC(1);
	bgp_timer_set(p->b, &c->keepalive, p->hold_secs ? ts_add(p->b->now, third) : TS_NEVER);
}

static void send_keepalive(struct bgp_conn *c)
{
	struct wr w;

	bgp_conn_begin(c, &w);
	bgp_keepalive_encode(&w);
	bgp_conn_end(c, &w, 1); /* a full queue does the same for the peer */
}

static void send_open(struct bgp_conn *c)
{
	struct bgp_peer *p = c->peer;
	struct bgp_caps caps = {.families = p->cfg.families,
		.refresh = true,
		.enhanced_refresh = true,
		.as4 = true,
		.as = p->local_as,
		.role = p->ebgp ? (uint8_t)p->cfg.role : 0,
		.ext_message = !p->cfg.no_ext_message,
		.v4_over_v6 = p->cfg.v4_over_v6 && p->cfg.families & BGP_FAM(BGP_IPV4),
		.paths_in = p->cfg.add_path_rx ? p->cfg.families & ADD_PATH_FAMILIES : 0,
		.paths_out = p->cfg.add_path_tx ? p->cfg.families & ADD_PATH_FAMILIES : 0};
	struct bgp_open o = {.as = p->local_as,
		.hold_secs = (uint16_t)offered_hold(p),
		.id = p->b->cfg.router_id};
	uint8_t buf[160];
	struct wr cw, w;

	bgp_restart_offer(p, &caps);
	wr_init(&cw, buf, sizeof(buf));
	if (!p->no_caps)
		bgp_caps_encode(&cw, &caps);
	assert(!wr_bad(&cw));
	bgp_conn_begin(c, &w);
	bgp_open_encode(&w, &o, buf, wr_len(&cw));
	bgp_conn_end(c, &w, 1);
}

/* TCP stands: send OPEN, wait for theirs. ERR_NOMEM. */
static int open_conn(struct bgp_conn *c, const struct ip *local)
{
	const struct bgp_peer_cfg *cfg = &c->peer->cfg;

	c->out_cap = LIM_BGP_OUT_BYTES + (cfg->no_ext_message ? 0 : BGP_MSG_EXT_MAX);
	c->out = malloc(c->out_cap);
	c->in = malloc(cfg->no_ext_message ? BGP_MSG_MAX : BGP_MSG_EXT_MAX);
	if (!c->out || !c->in)
		return ERR_NOMEM;
	c->local = *local;
	c->state = CONN_OPENSENT;
	send_open(c);
	bgp_timer_set(c->peer->b, &c->hold, in_secs(c->peer, OPEN_HOLD_SECS));
	return 0;
}

static void retry_start(struct bgp_peer *p)
{
	unsigned secs = p->cfg.connect_retry_secs ? p->cfg.connect_retry_secs : RETRY_DEFAULT;

	if (p->kept && secs > RETRY_KEPT)
		secs = RETRY_KEPT;
	if (!p->cfg.passive)
		bgp_timer_set(p->b, &p->retry,
			ts_add(p->b->now, prng_jitter(&p->b->prng, DUR_SEC(secs), 25)));
}

static void dial(struct bgp_peer *p)
{
	struct bgp_conn *c;

	retry_start(p);
	c = p->conn[SLOT_DIAL] ? NULL : conn_new(p, SLOT_DIAL);
	if (c) {
		c->tell_connect = true;
		p->b->connects++;
	}
	note_state(p);
}

void bgp_peer_begin(struct bgp_peer *p)
{
	p->idle = false;
	bgp_timer_set(p->b, &p->idle_hold, TS_NEVER);
	if (p->cfg.passive)
		note_state(p);
	else
		dial(p);
}

void bgp_peer_timer(struct bgp_peer *p, enum timer_kind kind)
{
	if (kind == TIMER_IDLE_HOLD) {
		bgp_peer_begin(p);
	} else if (kind == TIMER_STALE) {
		bgp_restart_expire(p);
	} else if (kind == TIMER_MRAI) {
		bgp_peer_wake(p);
	} else if (!p->conn[SLOT_ACCEPT] || p->conn[SLOT_DIAL]) {
		/* ConnectRetryTimer: RFC 4271 8.2.2, Connect and Active, event 9 */
		if (p->conn[SLOT_DIAL] && p->conn[SLOT_DIAL]->state == CONN_CONNECT)
			detach(p->conn[SLOT_DIAL], false);
		if (!p->conn[SLOT_DIAL])
			dial(p);
	}
}

/* Connect, events 16 and 17. */
static void on_connected(struct bgp_conn *c, struct event *ev)
{
	bgp_timer_set(c->peer->b, &c->peer->retry, TS_NEVER);
	note_state(c->peer);
}

/* Connect, event 18, and OpenSent, event 18: try again after ConnectRetryTimer. */
static void on_lost_early(struct bgp_conn *c, struct event *ev)
{
	struct bgp_peer *p = c->peer;

	set_error(p, NULL, false,
		c->state == CONN_CONNECT ? "connection could not be made"
					 : "connection closed before OPEN");
	detach(c, true);
	if (!p->conn[SLOT_DIAL] && !p->conn[SLOT_ACCEPT])
		retry_start(p);
	note_state(p);
}

static void on_lost(struct bgp_conn *c, struct event *ev)
{
	struct bgp_peer *p = c->peer;
	bool alone = p->up == c || !p->conn[!c->slot];

	if (p->up == c)
		session_end(p, NULL);
	detach(c, true);
	if (alone)
		bgp_peer_down(p, NULL, false, "connection closed by the peer");
	note_state(p);
}

/* RFC 6608 says in which state it was. */
static void on_unexpected(struct bgp_conn *c, struct event *ev)
{
	struct bgp_error e;
	uint8_t type = ev->msg[18];

	bgp_error_set(&e, NOTIFY_FSM, (unsigned)c->state, &type, 1);
	conn_fail(c, &e, false, NULL);
}

static void on_bad_header(struct bgp_conn *c, struct event *ev)
{
	conn_fail(c, &ev->err, false, NULL);
}

static void on_notification(struct bgp_conn *c, struct event *ev)
{
	struct bgp_error e;

	if (bgp_notification_decode(ev->msg + BGP_HDR_LEN, ev->len - BGP_HDR_LEN, &e) < 0)
		return; /* the header's length check makes this impossible */
	/* RFC 5492 3: try once without what the peer doesn't understand. */
	if (c->state != CONN_ESTABLISHED && e.code == NOTIFY_OPEN && e.subcode == OPEN_BAD_PARAM)
		c->peer->no_caps = true;
	conn_fail(c, &e, true, NULL);
}

static void on_hold(struct bgp_conn *c, struct event *ev)
{
	struct bgp_error e;

	bgp_error_set(&e, NOTIFY_HOLD, 0, NULL, 0);
	conn_fail(c, &e, false, NULL);
}

/* RFC 9687 3: the peer reads nothing, so the NOTIFICATION is for the log. */
static void on_send_hold(struct bgp_conn *c, struct event *ev)
{
	struct bgp_error e;

	bgp_error_set(&e, NOTIFY_SEND_HOLD, 0, NULL, 0);
	conn_fail(c, &e, false, NULL);
}

static void on_keepalive_timer(struct bgp_conn *c, struct event *ev)
{
	send_keepalive(c);
	bgp_keepalive_restart(c);
}

/* RFC 4271 6.8, 6286 2.3: of two connections the one lives that the speaker with the higher
 * identifier opened; with equal ones the higher AS number. false: @c is gone. */
static bool collide(struct bgp_conn *c)
{
	struct bgp_peer *p = c->peer;
	struct bgp_conn *other = p->conn[!c->slot], *loser;
	const struct bgp_cfg *cfg = &p->b->cfg;
	struct bgp_error e;
	bool ours;

	if (!other || other->state < CONN_OPENCONFIRM)
		return true;
	if (other->state == CONN_ESTABLISHED && bgp_restart_keep(p, NULL)) {
		/* RFC 4724 5: it has restarted before TCP noticed. The old connection gets no
		 * NOTIFICATION. */
		session_end(p, NULL);
		detach(other, false);
		return true;
	}
	ours = cfg->router_id != c->open.id ? cfg->router_id > c->open.id
					    : p->local_as > c->open.as;
	loser = (c->slot == SLOT_DIAL) == ours ? other : c;
	if (other->state == CONN_ESTABLISHED)
		loser = c;
	bgp_error_set(&e, NOTIFY_CEASE, CEASE_COLLISION, NULL, 0);
	drop_conn(loser, &e);
	return loser != c;
}

/* RFC 9234 4.2: roles that fit together, ours first. */
static bool roles_fit(const struct bgp_peer *p, const struct bgp_caps *theirs)
{
	static const uint8_t fits[] = {[BGP_ROLE_PROVIDER] = BGP_ROLE_CUSTOMER,
		[BGP_ROLE_CUSTOMER] = BGP_ROLE_PROVIDER,
		[BGP_ROLE_RS] = BGP_ROLE_RS_CLIENT,
		[BGP_ROLE_RS_CLIENT] = BGP_ROLE_RS,
		[BGP_ROLE_PEER] = BGP_ROLE_PEER};

	if (!p->ebgp || p->cfg.role == BGP_ROLE_NONE)
		return true;
	if (theirs->role == BGP_ROLE_NONE)
		return !p->cfg.role_strict;
	return !theirs->role_unequal && theirs->role == fits[p->cfg.role];
}

/* What an OPEN must be like for this peer (RFC 4271 6.2). */
static int check_open(struct bgp_peer *p, const struct bgp_open *o, struct bgp_error *e)
{
	struct bgp_caps want = {.families = p->cfg.families};
	uint8_t buf[64];
	struct wr w;

	if (o->as != p->cfg.remote_as)
		return bgp_error_set(e, NOTIFY_OPEN, OPEN_BAD_AS, NULL, 0);
	if (!p->ebgp && o->id == p->b->cfg.router_id) /* RFC 6286 2.2 */
		return bgp_error_set(e, NOTIFY_OPEN, OPEN_BAD_ID, NULL, 0);
	if (!roles_fit(p, &o->caps))
		return bgp_error_set(e, NOTIFY_OPEN, OPEN_BAD_ROLE, NULL, 0);
	if (o->caps.families & p->cfg.families)
		return 0;
	wr_init(&w, buf, sizeof(buf));
	bgp_caps_encode(&w, &want);
	bgp_error_set(e, NOTIFY_OPEN, OPEN_BAD_CAP, buf, wr_len(&w)); /* RFC 5492 5 */
	e->word = bgp_caps_word(&o->caps);
	return ERR_MALFORMED;
}

/* OpenSent, event 19. */
static void on_open(struct bgp_conn *c, struct event *ev)
{
	struct bgp_peer *p = c->peer;
	struct bgp_error e;
	unsigned hold;

	if (bgp_open_decode(ev->msg + BGP_HDR_LEN, ev->len - BGP_HDR_LEN, &c->open, &e) < 0 ||
		check_open(p, &c->open, &e) < 0) {
		conn_fail(c, &e, false, NULL);
		return;
	}
	if (!collide(c)) {
		note_state(p);
		return;
	}
	hold = offered_hold(p);
	/* Of both connections the peer's offer is the same; RFC 4271 4.2: the smaller. */
	p->hold_secs = (uint16_t)(c->open.hold_secs < hold ? c->open.hold_secs : hold);
	c->state = CONN_OPENCONFIRM;
	send_keepalive(c);
	hold_restart(c);
	bgp_keepalive_restart(c);
	note_state(p);
}

/* What holds where both ends told it. */
static void negotiate(struct bgp_peer *p)
{
	const struct bgp_peer_cfg *cfg = &p->cfg;
	const struct bgp_caps *theirs = &p->caps;
	uint32_t several = p->no_caps ? 0 : p->families & ADD_PATH_FAMILIES;

	/* RFC 8654 leaves it to us what we send; paths of 2-octet numbers stay small. */
	p->msg_max = theirs->ext_message && !cfg->no_ext_message && p->as4 ? BGP_MSG_EXT_MAX
									   : BGP_MSG_MAX;
	p->v4_over_v6 = theirs->v4_over_v6 && cfg->v4_over_v6 && !p->no_caps;
	p->paths_in = cfg->add_path_rx ? several & theirs->paths_out : 0;
	p->paths_out = cfg->add_path_tx ? several & theirs->paths_in : 0;
}

/* OpenConfirm, event 26. */
static void on_confirmed(struct bgp_conn *c, struct event *ev)
{
	struct bgp_peer *p = c->peer;
	struct bgp_conn *other = p->conn[!c->slot];
	struct bgp_error e;

	bgp_error_set(&e, NOTIFY_CEASE, CEASE_COLLISION, NULL, 0);
	if (other)
		drop_conn(other, &e);
	bgp_timer_set(p->b, &p->retry, TS_NEVER);
	c->state = CONN_ESTABLISHED;
	p->families = c->open.caps.families & p->cfg.families;
	if (p->no_caps)
		p->families &= BGP_FAM(BGP_IPV4);
	p->as4 = c->open.caps.as4 && !p->no_caps;
	p->refresh = c->open.caps.refresh && !p->no_caps;
	p->enhanced = c->open.caps.enhanced_refresh && p->refresh;
	p->remote_id = c->open.id;
	p->caps = c->open.caps;
	negotiate(p);
	if (p->no_caps) /* we told them nothing, so nothing of it holds */
		p->caps.restart = false;
	p->notify = p->caps.restart_notify && p->caps.restart && p->cfg.restart;
	p->last_error[0] = '\0';
	hold_restart(c);
	if (bgp_session_up(p, c) < 0) {
		bgp_peer_cease(p, CEASE_RESOURCES, NULL);
		return;
	}
	note_state(p);
}

static void on_keepalive(struct bgp_conn *c, struct event *ev)
{
	hold_restart(c);
}

static void on_update(struct bgp_conn *c, struct event *ev)
{
	struct bgp_error e;

	hold_restart(c);
	if (bgp_session_update(c->peer, ev->msg + BGP_HDR_LEN, ev->len - BGP_HDR_LEN, &e) < 0)
		conn_fail(c, &e, false, NULL);
}

static void on_refresh(struct bgp_conn *c, struct event *ev)
{
	struct bgp_error e;

	hold_restart(c);
	if (bgp_session_refresh(c->peer, ev->msg, ev->len, &e) < 0)
		conn_fail(c, &e, false, NULL);
}

typedef void (*event_fn)(struct bgp_conn *c, struct event *ev);
static const event_fn table[CONN_STATES][EVENTS] = {
	[CONN_CONNECT] =
		{
			[EV_CONNECTED] = on_connected,
			[EV_CLOSED] = on_lost_early,
		},
	[CONN_OPENSENT] =
		{
			[EV_CLOSED] = on_lost_early,
			[EV_OPEN] = on_open,
			[EV_UPDATE] = on_unexpected,
			[EV_NOTIFICATION] = on_notification,
			[EV_KEEPALIVE] = on_unexpected,
			[EV_REFRESH] = on_unexpected,
			[EV_BAD_HEADER] = on_bad_header,
			[EV_HOLD] = on_hold,
			[EV_SEND_HOLD] = on_send_hold,
		},
	[CONN_OPENCONFIRM] =
		{
			[EV_CLOSED] = on_lost,
			[EV_OPEN] = on_unexpected,
			[EV_UPDATE] = on_unexpected,
			[EV_NOTIFICATION] = on_notification,
			[EV_KEEPALIVE] = on_confirmed,
			[EV_REFRESH] = on_unexpected,
			[EV_BAD_HEADER] = on_bad_header,
			[EV_HOLD] = on_hold,
			[EV_KEEPALIVE_TIMER] = on_keepalive_timer,
			[EV_SEND_HOLD] = on_send_hold,
		},
	[CONN_ESTABLISHED] =
		{
			[EV_CLOSED] = on_lost,
			[EV_OPEN] = on_unexpected,
			[EV_UPDATE] = on_update,
			[EV_NOTIFICATION] = on_notification,
			[EV_KEEPALIVE] = on_keepalive,
			[EV_REFRESH] = on_refresh,
			[EV_BAD_HEADER] = on_bad_header,
			[EV_HOLD] = on_hold,
			[EV_KEEPALIVE_TIMER] = on_keepalive_timer,
			[EV_SEND_HOLD] = on_send_hold,
		},
};

static void happen(struct bgp_conn *c, enum conn_event what, struct event *ev)
{
	event_fn fn = table[c->state][what];

	if (fn)
		fn(c, ev);
}

void bgp_conn_timer(struct bgp_conn *c, enum timer_kind kind)
{
	struct event ev = {0};

	happen(c,
		kind == TIMER_HOLD        ? EV_HOLD
		: kind == TIMER_KEEPALIVE ? EV_KEEPALIVE_TIMER
					  : EV_SEND_HOLD,
		&ev);
}

void bgp_fsm_closed(struct bgp_conn *c)
{
	struct event ev = {0};

	happen(c, EV_CLOSED, &ev);
}

void bgp_fsm_connected(struct bgp_conn *c, const struct ip *local)
{
	struct event ev = {0};

	if (c->state != CONN_CONNECT)
		return;
	if (open_conn(c, local) < 0) {
		conn_fail(c, NULL, false, "no memory for a connection");
		return;
	}
	on_connected(c, &ev);
}

int bgp_fsm_accept(struct bgp_peer *p, const struct ip *local, uint32_t *id)
{
	enum conn_slot slot = SLOT_ACCEPT;
	struct bgp_conn *c;
	int err;

	if (p->stopped || (p->idle && !p->kept)) /* RFC 4271 8.2.2, Idle: refuse */
		return ERR_REFUSED;
	/* RFC 4724 5: the one that stands may be dead; the other slot is free then. */
	if (p->conn[SLOT_ACCEPT] && p->up == p->conn[SLOT_ACCEPT] && bgp_restart_keep(p, NULL))
		slot = SLOT_DIAL;
	if (p->conn[slot])
		return ERR_EXISTS;
	if (p->idle) {
		p->idle = false;
		bgp_timer_set(p->b, &p->idle_hold, TS_NEVER);
		retry_start(p);
	}
	c = conn_new(p, slot);
	if (!c)
		return ERR_NOMEM;
	err = open_conn(c, local);
	if (err < 0) {
		detach(c, true);
		return err;
	}
	*id = c->id;
	note_state(p);
	return 0;
}

/* One whole message. */
static void got_message(struct bgp_conn *c, uint8_t type, const uint8_t *msg, size_t len)
{
	static const enum conn_event of_type[] = {
		[MSG_OPEN] = EV_OPEN,
		[MSG_UPDATE] = EV_UPDATE,
		[MSG_NOTIFICATION] = EV_NOTIFICATION,
		[MSG_KEEPALIVE] = EV_KEEPALIVE,
		[MSG_REFRESH] = EV_REFRESH,
	};
	struct event ev;

	ev.msg = msg;
	ev.len = len;
	c->peer->n.rx_msgs++;
	if (c->peer->b->tap)
		bgp_tap_tell(c, false, msg, len);
	happen(c, of_type[type], &ev);
}

/* How long a message may be: RFC 8654 4, once both have told that they can. */
static size_t in_max(const struct bgp_conn *c)
{
	return c->state >= CONN_OPENCONFIRM && c->open.caps.ext_message &&
			       !c->peer->cfg.no_ext_message && !c->peer->no_caps
		       ? BGP_MSG_EXT_MAX
		       : BGP_MSG_MAX;
}

/* Use up bytes of @buf; how many. Message by message from @buf itself where they are whole, else by
 * way of c->in. */
static size_t take_some(struct bgp_conn *c, const uint8_t *buf, size_t len)
{
	struct event ev = {0};
	uint8_t type;
	size_t take = len, max = in_max(c);
	int n;

	if (c->in_len == 0) {
		n = bgp_msg_peek(buf, len, max, &type, &ev.err);
		if (n > 0 && (size_t)n <= len) {
			got_message(c, type, buf, (size_t)n);
			return (size_t)n;
		}
	} else {
		n = bgp_msg_peek(c->in, c->in_len, max, &type, &ev.err);
		take = (n > 0 ? (size_t)n : BGP_HDR_LEN) - c->in_len;
		take = take < len ? take : len;
	}
	if (n != ERR_MALFORMED) {
		memcpy(c->in + c->in_len, buf, take);
		c->in_len += take;
		n = bgp_msg_peek(c->in, c->in_len, max, &type, &ev.err);
	}
	if (n == ERR_MALFORMED) {
		happen(c, EV_BAD_HEADER, &ev);
	} else if (n > 0 && c->in_len == (size_t)n) {
		c->in_len = 0;
		got_message(c, type, c->in, (size_t)n);
	}
	return take;
}

int bgp_fsm_recv(struct bgp_conn *c, const uint8_t *buf, size_t len)
{
	struct bgp *b = c->peer->b;
	uint32_t id = c->id;

	if (c->state == CONN_CONNECT)
		return ERR_NOT_FOUND;
	c->peer->n.rx_bytes += len;
	while (len > 0 && (c = bgp_conn_find(b, id)) != NULL) {
		size_t n = take_some(c, buf, len);

		buf += n;
		len -= n;
	}
	return 0;
}
