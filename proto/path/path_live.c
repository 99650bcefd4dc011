/* path_live.c - liveness of what is in use (DESIGN 7.2), side ports, probes and their replies, and
 * the driving of the path MTU search (plpmtu.h).
 *
 * What is asked is always: does what WE send by THIS way arrive? The other direction is the other
 * side's question. Data is proven by whatever comes back later (main port), or by the reply to a
 * probe that was sent later (side ports: an answer to other ports' data says nothing of them). Data
 * that stays unproven for `quiet` starts LIVE_TRIES probes; if none is answered, the way is dead:
 * 300 + 2 * 100 ms, and the wait for the last, some 600 ms on a short path.
 *
 * One-way black holes: A sends to B in vain while B's own packets reach A. B, which sends and hears
 * nothing, probes; its probe says for how long it has heard nothing. A sees that it has sent since,
 * suspects its direction at once, and from then on only replies to its own probes count.
 *
 * A reply proves the way of its probe, whichever way it took itself. */
#include "path_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define COST_GAIN  8 /* RFC 6298 2.3: srtt moves by an eighth of the difference */
#define LOSS_GAIN  8
#define LOSS_ONE   65536
#define LOSS_US    1000000 /* what a loss of 1 costs: 1 % weighs like 10 ms */
#define TOKEN_KIND 56
#define TOKEN_VIA  48
#define TOKEN_SIZE 32

void live_init(struct live *l)
{
	memset(l, 0, sizeof(*l));
	l->unproven = l->at = TS_NEVER;
}

/* --- cost --- */

void cost_rtt(struct cost *c, dur_t rtt, ts_t now)
{
	uint64_t us = (uint64_t)rtt.ns / 1000;
	uint32_t r = us > PATH_COST_MAX ? PATH_COST_MAX : (uint32_t)us;

	if (!c->known) {
		c->srtt_us = r;
		c->var_us = r / 2;
	} else {
		uint32_t diff = r > c->srtt_us ? r - c->srtt_us : c->srtt_us - r;

		c->var_us = c->var_us - c->var_us / 4 + diff / 4;
		c->srtt_us = c->srtt_us - c->srtt_us / COST_GAIN + r / COST_GAIN;
	}
	c->known = true;
	c->at = now;
}

static void cost_loss(struct cost *c, bool lost)
{
	c->loss -= c->loss / LOSS_GAIN;
	if (lost)
		c->loss += LOSS_ONE / LOSS_GAIN;
}

uint32_t cost_us(const struct cost *c)
{
	uint64_t us = c->srtt_us + (uint64_t)c->loss * LOSS_US / LOSS_ONE;

	if (!c->known)
		return UINT32_MAX;
	return us > PATH_COST_MAX ? PATH_COST_MAX : (uint32_t)us;
}

dur_t live_wait(const struct path *p, const struct cost *c)
{
	dur_t w = DUR_US(c->known ? (uint64_t)c->srtt_us + 4 * (uint64_t)c->var_us : 0);

	if (w.ns < p->cfg.tune.probe_gap.ns)
		w = p->cfg.tune.probe_gap;
	return w.ns > p->cfg.tune.probe_wait_max.ns ? p->cfg.tune.probe_wait_max : w;
}

/* --- probes --- */

uint64_t probe_token(struct path *p, enum probe_kind kind, uint8_t via, uint16_t size, uint32_t *id)
{
	do
		*id = (uint32_t)prng_next(&p->prng);
	while (*id == 0);
	return (uint64_t)kind << TOKEN_KIND | (uint64_t)via << TOKEN_VIA |
	       (uint64_t)size << TOKEN_SIZE | *id;
}

static uint16_t heard_ms(const struct peer *pr, ts_t now)
{
	int64_t ms = pr->heard.ns ? dur_ms(ts_sub(now, pr->heard)) : PATH_HEARD_LONG;

	return ms < 0 ? 0 : ms > PATH_HEARD_LONG ? PATH_HEARD_LONG : (uint16_t)ms;
}

bool probe_send(struct path *p, struct peer *pr, const struct path_route *route,
	const struct ep *ep, uint8_t via, uint64_t token, uint16_t pad_to, ts_t now)
{
	struct path_probe m = {.token = token, .heard = heard_ms(pr, now)};
	uint8_t buf[PATH_MSG_MAX];
	struct wr w;

	if (!second_take(&p->probes_since, &p->probes, LIM_PATH_PROBES_PER_SEC, now)) {
		p->stats.dropped++;
		return false;
	}
	wr_init(&w, buf, sizeof(buf));
	path_probe_encode(&w, PATH_MSG_PROBE, &m);
	peer_send(p, pr, route, ep, via, &w, pad_to);
	p->stats.probes_tx++;
	p->stats.mtu_probes_tx += pad_to > 0;
	return true;
}

/* --- one way's liveness --- */

/* How long data may stay unanswered. */
static dur_t quiet_of(const struct path *p, const struct cost *c)
{
	dur_t w = live_wait(p, c);

	return w.ns > p->cfg.tune.quiet.ns ? w : p->cfg.tune.quiet;
}

/* What was sent until @t has arrived. False: that was known. */
static bool live_proven(struct live *l, dur_t quiet, ts_t t)
{
	if (!ts_before(l->proof, t))
		return false;
	l->proof = t;
	if (ts_is_never(l->unproven) || ts_before(l->proof, l->unproven))
		return !l->suspect;
	l->suspect = l->told = l->checked = false;
	l->tries = 0;
	l->unproven = ts_before(l->proof, l->last_tx) ? l->last_tx : TS_NEVER;
	l->at = ts_add(l->unproven, quiet);
	return true;
}

void live_data(struct path *p, struct live *l, const struct cost *c, ts_t tx)
{
	if (!ts_before(l->last_tx, tx))
		return;
	l->last_tx = tx;
	if (ts_is_never(l->unproven) && ts_before(l->proof, tx)) {
		l->unproven = tx;
		l->at = ts_add(tx, quiet_of(p, c));
	}
}

void live_heard(struct path *p, struct peer *pr, ts_t rx)
{
	const unsigned way = peer_way(pr);
	struct live *l = &pr->live[way];

	/* While the other side says that it hears nothing, what comes from it proves nothing. */
	if (!rx.ns || l->told)
		return;
	if (live_proven(l, quiet_of(p, &pr->cost[way]), rx))
		route_alive(p, pr, way);
}

void live_forget(struct path *p, struct peer *pr, unsigned way)
{
	live_init(&pr->live[way]);
	if (way == 0) {
		for (unsigned i = 0; pr->sides && i < p->cfg.side_ports; i++)
			live_init(&pr->sides[i].live);
	}
}

void live_check(struct path *p, struct peer *pr, unsigned way, ts_t now)
{
	struct live *l = &pr->live[way];

	if (l->suspect)
		return;
	l->checked = true;
	l->unproven = now;
	l->at = now;
	peer_touch(p, pr);
}

/* The next probe, or the verdict. True: dead. */
static bool live_step(struct path *p, struct peer *pr, struct live *l, struct cost *c,
	enum probe_kind kind, uint8_t via, ts_t now)
{
	uint32_t id;

	if (!ts_due(l->at, now))
		return false;
	if (!l->suspect) {
		l->suspect = true;
		l->tries = 0;
		memset(l->sent, 0, sizeof(l->sent));
	}
	if (l->tries == LIVE_TRIES) {
		for (unsigned i = 0; i < LIVE_TRIES; i++)
			cost_loss(c, true);
		/* told stays: until a reply comes, hearing the other side proves nothing */
		l->suspect = l->checked = false;
		l->tries = 0;
		l->unproven = l->at = TS_NEVER;
		return true;
	}
	uint64_t token = probe_token(p, kind, via, 0, &id);
	if (!probe_send(p, pr, kind == PROBE_RELAY ? &pr->route : &path_direct, NULL, via, token, 0,
		    now)) {
		l->at = ts_add(p->probes_since, DUR_SEC(1));
		return false;
	}
	l->sent[l->tries++] = (struct sent){id, now};
	l->at = ts_add(now, l->tries < LIVE_TRIES ? p->cfg.tune.probe_gap : live_wait(p, c));
	return false;
}

/* A reply with @id. False: to nothing that is under way. */
static bool live_reply(struct path *p, struct live *l, struct cost *c, uint32_t id, ts_t now)
{
	for (unsigned i = 0; i < LIVE_TRIES; i++) {
		struct sent s = l->sent[i];

		if (s.id != id)
			continue;
		/* Probes before it were lost; of those after it nothing is known yet. */
		for (unsigned k = 0; k <= i; k++) {
			if (l->sent[k].id)
				cost_loss(c, k < i);
			l->sent[k].id = 0;
		}
		cost_rtt(c, ts_sub(now, s.at), now);
		l->told = false;
		(void)live_proven(l, quiet_of(p, c), s.at);
		return true;
	}
	return false;
}

/* --- side ports --- */

static void side_dead(struct path *p, struct peer *pr, uint8_t via, ts_t now)
{
	struct side *sd = &pr->sides[via - 1];

	if (!sd->off) {
		if (!ts_before(now, ts_add(sd->on_since, p->cfg.tune.steady)))
			sd->backoff = p->cfg.tune.side_retry_min;
		sd->off = true;
		p->stats.side_off++;
		peer_side_dirty(p, pr, via);
		/* Is it the port, or the whole way? */
		if (pr->route.n == 0 && !pr->live[0].suspect)
			live_check(p, pr, 0, now);
	} else {
		sd->backoff.ns *= 2;
	}
	if (sd->backoff.ns > p->cfg.tune.side_retry_max.ns)
		sd->backoff = p->cfg.tune.side_retry_max;
	sd->retry_at = ts_add(now, prng_jitter(&p->prng, sd->backoff, 10));
	live_init(&sd->live);
}

static void side_tick(struct path *p, struct peer *pr, uint8_t via, ts_t now)
{
	struct side *sd = &pr->sides[via - 1];

	if (sd->off && ts_due(sd->retry_at, now) && peer_in_use(pr, now)) {
		sd->retry_at = TS_NEVER;
		sd->live.unproven = sd->live.at = now;
	}
	if (live_step(p, pr, &sd->live, &pr->cost[0], PROBE_SIDE, via, now))
		side_dead(p, pr, via, now);
}

static bool side_reply(struct path *p, struct peer *pr, uint8_t via, uint32_t id, ts_t now)
{
	struct side *sd;

	if (!pr->sides || via == 0 || via > p->cfg.side_ports)
		return false;
	sd = &pr->sides[via - 1];
	if (!live_reply(p, &sd->live, &pr->cost[0], id, now))
		return false;
	if (sd->off) {
		sd->off = false;
		sd->on_since = now;
		sd->retry_at = TS_NEVER;
		p->stats.side_on++;
		peer_side_dirty(p, pr, via);
	}
	return true;
}

/* --- path MTU --- */

bool peer_halves(const struct peer *pr)
{
	const unsigned way = peer_way(pr);
	unsigned outer = pr->mtu[way].on ? pr->mtu[way].cur : pr->mtu_told;
	uint8_t family = pr->ep.ip.family;
	unsigned over = WIRE_OVERHEAD_V6;

	/* The first relay's family isn't known here: the larger header is assumed. */
	if (way == 0 && family == IP_V4)
		over = WIRE_OVERHEAD_V4;
	if (way == 1)
		over += WIRE_RELAY_OVERHEAD(pr->route.n);
	return outer < over + 1280;
}

static dur_t mtu_wait(const struct path *p, const struct cost *c)
{
	dur_t w = live_wait(p, c);

	return w.ns < p->cfg.tune.mtu_wait_min.ns ? p->cfg.tune.mtu_wait_min : w;
}

/* Send what the search wants to know, and tell the driver what it found. */
static void mtu_tick(struct path *p, struct peer *pr, ts_t now)
{
	const unsigned way = peer_way(pr);
	struct plpmtu *m = &pr->mtu[way];
	dur_t wait = mtu_wait(p, &pr->cost[way]);
	uint16_t size;
	uint32_t id;

	plpmtu_tick(m, wait, !pr->live[way].suspect && pr->state != PATH_ST_LOST,
		peer_in_use(pr, now), now);
	for (;;) {
		enum probe_kind kind = way ? PROBE_MTU_RELAY : PROBE_MTU_DIRECT;
		uint64_t token = probe_token(p, kind, 0, 0, &id);

		if (!plpmtu_next(m, wait, &size, &id, now))
			break;
		token = (token & ~(uint64_t)UINT32_MAX) | (uint64_t)size << TOKEN_SIZE | id;
		/* One that is over the rate counts as lost once, and is tried again. */
		(void)probe_send(p, pr, NULL, NULL, 0, token, size, now);
	}
	if (m->on && m->cur != pr->mtu_told) {
		pr->mtu_told = m->cur;
		peer_dirty(p, pr, DIRTY_MTU);
	}
}

/* --- the peer --- */

void live_tick(struct path *p, struct peer *pr, ts_t now)
{
	if (!pr->linked)
		return;
	for (unsigned way = 0; way < 2; way++) {
		struct live *l = &pr->live[way];
		const uint8_t before = l->tries;

		if (live_step(p, pr, l, &pr->cost[way], way ? PROBE_RELAY : PROBE_DIRECT, 0, now)) {
			if (way == peer_way(pr))
				route_dead(p, pr, now);
			continue;
		}
		if (l->tries == before || way != peer_way(pr))
			continue;
		/* Silence may also mean that only large packets are lost. */
		if (l->tries == 1 && !l->checked)
			plpmtu_suspect(&pr->mtu[way], now);
		if (l->tries == 2)
			route_prepare(p, pr, now);
	}
	for (unsigned i = 0; pr->sides && i < p->cfg.side_ports; i++)
		side_tick(p, pr, (uint8_t)(i + 1), now);
	mtu_tick(p, pr, now);
}

ts_t live_deadline(const struct path *p, const struct peer *pr, ts_t now)
{
	const bool in_use = peer_in_use(pr, now);
	ts_t t = ts_min(pr->live[0].at, pr->live[1].at);

	if (!pr->linked)
		return TS_NEVER;
	for (unsigned i = 0; pr->sides && i < p->cfg.side_ports; i++) {
		t = ts_min(t, pr->sides[i].live.at);
		if (pr->sides[i].off && in_use)
			t = ts_min(t, pr->sides[i].retry_at);
	}
	return ts_min(t, plpmtu_deadline(&pr->mtu[peer_way(pr)], in_use));
}

/* --- messages --- */

/* @pr has heard nothing from us for so long. Have we sent something in that time? */
static void told_unheard(struct path *p, struct peer *pr, uint16_t heard, ts_t now)
{
	const unsigned way = peer_way(pr);
	struct live *l = &pr->live[way];
	/* What is still on its way may not be missed yet. */
	const dur_t transit = DUR_US(pr->cost[way].known ? pr->cost[way].srtt_us : 0);
	dur_t least = DUR_NS(p->cfg.tune.quiet.ns / 2 + transit.ns);

	if (l->suspect || !l->last_tx.ns || DUR_MS(heard).ns < least.ns)
		return;
	if (ts_before(l->last_tx, ts_add(now, DUR_NS(transit.ns - DUR_MS(heard).ns))))
		return;
	l->told = true;
	l->unproven = l->at = now;
}

int live_on_probe(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now)
{
	struct path_probe m;
	uint8_t buf[PATH_MSG_MAX];
	struct wr w;
	int err = path_probe_decode(r, &m);

	if (err < 0)
		return err;
	if (!second_take(&pr->replies_since, &pr->replies, LIM_PATH_REPLIES_PER_SEC, now))
		return ERR_LIMIT;
	if (!from->relayed && path_ep_ok(&from->ep) && ep_add(pr, &from->ep, CAND_SEEN) == 0 &&
		pr->route.n > 0) {
		/* A way from it to us that we didn't know of: is there one back? */
		pr->direct_at = ts_min(pr->direct_at, now);
	}
	/* An idle link stays with its relays, which may have lost the peer since. It reaches us. */
	if (!from->relayed && pr->route.n > 0 && !peer_in_use(pr, now))
		ask_wake(p, pr, now);
	told_unheard(p, pr, m.heard, now);
	m.heard = heard_ms(pr, now);
	wr_init(&w, buf, sizeof(buf));
	path_probe_encode(&w, PATH_MSG_REPLY, &m);
	peer_send(p, pr, NULL, NULL, 0, &w, 0);
	/* Our relays may be dead without our knowing, on a link that was idle. What came directly may
	 * be answered so. */
	if (!from->relayed && pr->route.n > 0 && path_ep_ok(&from->ep))
		peer_send(p, pr, &path_direct, &from->ep, 0, &w, 0);
	live_tick(p, pr, now);
	return 0;
}

int live_on_reply(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now)
{
	struct path_probe m;
	int err = path_reply_decode(r, &m);
	bool ours = false;

	if (err < 0)
		return err;
	const unsigned kind = (unsigned)(m.token >> TOKEN_KIND);
	const uint8_t via = (uint8_t)(m.token >> TOKEN_VIA);
	const uint16_t size = (uint16_t)(m.token >> TOKEN_SIZE);
	const uint32_t id = (uint32_t)m.token;

	if (id == 0)
		return ERR_STALE;
	if (kind == PROBE_DIRECT || kind == PROBE_RELAY) {
		const unsigned way = kind == PROBE_RELAY;

		ours = live_reply(p, &pr->live[way], &pr->cost[way], id, now);
		if (ours) {
			route_alive(p, pr, way);
			ask_measured(p, pr, now);
		}
	} else if (kind == PROBE_SIDE) {
		ours = side_reply(p, pr, via, id, now);
	} else if (kind == PROBE_MTU_DIRECT || kind == PROBE_MTU_RELAY) {
		ours = plpmtu_answered(&pr->mtu[kind == PROBE_MTU_RELAY], size, id, now);
	} else if (kind == PROBE_OFFER) {
		ours = route_offer_good(p, pr, id, now);
	} else if (kind == PROBE_CAND && via < pr->ncand && pr->cand[via].probe.id == id) {
		ours = true;
		cost_rtt(&pr->cost[0], ts_sub(now, pr->cand[via].probe.at), now);
		pr->cand[via].probe.id = 0;
		route_cand_good(p, pr, &pr->cand[via], now);
	}
	if (!ours)
		return ERR_STALE;
	p->stats.replies_rx++;
	live_tick(p, pr, now);
	return 0;
}
