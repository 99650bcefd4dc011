/* path_ep.c - endpoints: what to dial in which order, NAT, keepalive, simultaneous open (DESIGN 7.8).
 *
 * A node that is wanted and has no session: its endpoints one after the other (configured, said by
 * itself, seen by us and others), up to DIALS_MAX per round; from the second step on common peers
 * are asked to arrange a simultaneous open; then relays are looked for, an endpoint being dialled again
 * now and then, and the session is made through them. It is not the end: a relayed session in use goes on trying the direct way
 * (path_route.c), and asks the other side, over the relay, to open at the same time.
 *
 * A simultaneous open: who wants sends PUNCH with its endpoints to a common peer. That peer sends
 * OPEN to both, each with the other's endpoints, as they say and as it sees them, and a delay that
 * makes up for the different distances. At that time each sends an empty datagram to every endpoint
 * of the other, which opens its own NAT, and dials.
 *
 * A member may lie in PUNCH and OPEN: what it gains is LIM_PATH_PUNCHES_PER_SEC times PATH_EPS_MAX
 * empty datagrams a second to unicast addresses. */
#include "path_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DIALS_MAX     3          /* endpoints dialled before relays are looked for */
#define PUNCH_PEERS   3          /* common peers asked */
#define OPEN_TIME     DUR_SEC(2) /* for a dial towards what was opened */
#define PUNCH_SLACK   DUR_MS(50)
#define CONNECT_RELAY DUR_SEC(3) /* for a handshake through relays */
#define CONNECT_RETRY DUR_SEC(5) /* between rounds, doubled up to tune.connect_retry_max */
#define CONNECT_SOON  DUR_SEC(1) /* until the next one, when somebody hurries */
#define SEARCH_TIME   DUR_SEC(15)
#define REDIAL        DUR_SEC(3) /* an endpoint, while relays are looked for */
#define STEP_RELAY    100        /* connect_step: relays are being looked for */
#define STEP_RELAYED  101        /* dialling through relays */
#define STEP_WAIT     102        /* until the next round */

bool ep_usable(const struct path *p, const struct ep *ep)
{
	return ep->ip.family == IP_V4 ? p->cfg.has_v4 : p->cfg.has_v6;
}

/* --- candidates --- */

static unsigned of_source(const struct peer *pr, enum cand_source source)
{
	unsigned n = 0;

	for (unsigned i = 0; i < pr->ncand; i++)
		n += pr->cand[i].source == source;
	return n;
}

static void cand_remove(struct peer *pr, unsigned i)
{
	memmove(&pr->cand[i], &pr->cand[i + 1], (pr->ncand - i - 1) * sizeof(*pr->cand));
	pr->ncand--;
}

/* Keeps them ordered by source, the newest of a source last. */
static int cand_insert(struct peer *pr, const struct ep *ep, enum cand_source source)
{
	struct cand *grown;
	unsigned i;

	if (pr->ncand == CANDS_MAX)
		return ERR_FULL;
	grown = realloc(pr->cand, (pr->ncand + 1) * sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	pr->cand = grown;
	for (i = 0; i < pr->ncand && pr->cand[i].source <= source; i++)
		;
	memmove(&pr->cand[i + 1], &pr->cand[i], (pr->ncand - i) * sizeof(*pr->cand));
	pr->cand[i] = (struct cand){.ep = *ep, .source = source};
	pr->ncand++;
	return 0;
}

/* 0: it is new; ERR_EXISTS, ERR_RANGE, ERR_FULL, ERR_NOMEM. */
int ep_add(struct peer *pr, const struct ep *ep, enum cand_source source)
{
	if (ep->port == 0 || (ep->ip.family != IP_V4 && ep->ip.family != IP_V6) ||
		ip_is_unspecified(&ep->ip) || ip_is_multicast(&ep->ip))
		return ERR_RANGE;
	for (unsigned i = 0; i < pr->ncand; i++) {
		if (!ep_eq(&pr->cand[i].ep, ep))
			continue;
		if (pr->cand[i].source <= source)
			return ERR_EXISTS;
		cand_remove(pr, i);
		break;
	}
	if (source == CAND_SEEN && of_source(pr, CAND_SEEN) == LIM_PATH_SEEN) {
		unsigned oldest = pr->ncand - LIM_PATH_SEEN;

		/* Seen ones stand last; the one in use stays. */
		if (ep_eq(&pr->cand[oldest].ep, &pr->ep))
			oldest++;
		cand_remove(pr, oldest);
	}
	if (source != CAND_SEEN && pr->ncand - of_source(pr, CAND_SEEN) == LIM_ENDPOINTS_PER_NODE)
		return ERR_FULL;
	return cand_insert(pr, ep, source);
}

int ep_set(struct peer *pr, const struct path_node *info)
{
	int err = 0;

	for (unsigned i = pr->ncand; i-- > 0;) {
		bool kept = pr->cand[i].source != CAND_SAID;

		for (size_t k = 0; k < info->neps && !kept; k++)
			kept = ep_eq(&pr->cand[i].ep, &info->eps[k]);
		if (!kept)
			cand_remove(pr, i);
	}
	for (size_t k = 0; k < info->neps && err != ERR_NOMEM; k++)
		err = ep_add(pr, &info->eps[k], CAND_SAID);
	return err == ERR_NOMEM ? err : 0;
}

/* Where we can be reached, for others to open towards. */
static void own_eps(const struct path *p, struct path_eps *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned f = 0; f < 2; f++) {
		for (unsigned k = 0; k < 2 && out->n < PATH_EPS_MAX; k++) {
			const struct ep *e = &p->observed[f][k].ep;
			bool same = k && ep_eq(e, &p->observed[f][0].ep);

			if (path_ep_ok(e) && !same)
				out->v[out->n++] = *e;
		}
	}
	for (unsigned i = 0; i < p->nlocal && out->n < PATH_EPS_MAX; i++) {
		bool same = false;

		for (size_t k = 0; k < out->n; k++)
			same |= ep_eq(&out->v[k], &p->local[i]);
		if (!same && path_ep_ok(&p->local[i]))
			out->v[out->n++] = p->local[i];
	}
}

/* Where @pr can be reached, the way that works first. */
static void peer_eps(const struct peer *pr, struct path_eps *out)
{
	memset(out, 0, sizeof(*out));
	if (path_ep_ok(&pr->ep))
		out->v[out->n++] = pr->ep;
	for (unsigned i = 0; i < pr->ncand && out->n < PATH_EPS_MAX; i++) {
		const struct ep *e = &pr->cand[i].ep;

		if (path_ep_ok(e) && !ep_eq(e, &pr->ep))
			out->v[out->n++] = *e;
	}
}

/* --- NAT --- */

void path_local(struct path *p, const struct ep *eps, size_t n, ts_t now)
{
	struct list *it, *t;

	p->now = now;
	p->nlocal = n < LIM_ENDPOINTS_PER_NODE ? (unsigned)n : LIM_ENDPOINTS_PER_NODE;
	if (p->nlocal > 0)
		memcpy(p->local, eps, p->nlocal * sizeof(*eps));
	list_each(&p->links, it, t) ep_keepalive(p, list_entry(it, struct peer, links), now);
	path_settle(p);
}

static bool is_local(const struct path *p, const struct ep *ep)
{
	for (unsigned i = 0; i < p->nlocal; i++) {
		if (ep_eq(&p->local[i], ep))
			return true;
	}
	return false;
}

enum path_nat path_nat(const struct path *p)
{
	enum path_nat nat = PATH_NAT_UNKNOWN;

	for (unsigned f = 0; f < 2; f++) {
		const struct observed *o = p->observed[f];

		if (o[0].ep.ip.family == IP_NONE)
			continue;
		if (is_local(p, &o[0].ep)) {
			if (nat == PATH_NAT_UNKNOWN)
				nat = PATH_NAT_NONE;
		} else if (o[1].ep.ip.family != IP_NONE && !ep_eq(&o[0].ep, &o[1].ep) &&
			   !is_local(p, &o[1].ep)) {
			return PATH_NAT_VARYING;
		} else {
			nat = PATH_NAT_STEADY;
		}
	}
	return nat;
}

void path_observed(struct path *p, const struct node_key *reporter, const struct ep *ep, ts_t now)
{
	struct list *it, *t;
	struct observed *o;
	enum path_nat before = path_nat(p);

	p->now = now;
	if (!path_ep_ok(ep))
		return;
	o = p->observed[ep->ip.family == IP_V6];
	if (node_key_eq(&o[1].by, reporter) && o[1].ep.ip.family != IP_NONE) {
		o[1].ep = *ep;
	} else {
		if (!node_key_eq(&o[0].by, reporter))
			o[1] = o[0];
		o[0] = (struct observed){.ep = *ep, .by = *reporter};
	}
	if (path_nat(p) == before)
		return;
	list_each(&p->links, it, t) ep_keepalive(p, list_entry(it, struct peer, links), now);
	path_settle(p);
}

void ep_keepalive(struct path *p, struct peer *pr, ts_t now)
{
	const bool needed = pr->linked && pr->route.n == 0 && path_nat(p) >= PATH_NAT_STEADY;

	if (!needed)
		pr->alive_at = TS_NEVER;
	else if (ts_is_never(pr->alive_at))
		pr->alive_at = ts_add(now, prng_jitter(&p->prng, p->cfg.tune.keepalive, 20));
	peer_touch(p, pr);
}

static void alive_tick(struct path *p, struct peer *pr, ts_t now)
{
	const uint8_t msg = PATH_MSG_ALIVE;
	struct wr w;
	uint8_t buf[1];

	pr->alive_at = TS_NEVER;
	ep_keepalive(p, pr, now);
	/* Data keeps the mapping as well. */
	if (!pr->linked || pr->route.n > 0 ||
		ts_before(now, ts_add(pr->live[0].last_tx, p->cfg.tune.keepalive)))
		return;
	wr_init(&w, buf, sizeof(buf));
	wr_u8(&w, msg);
	peer_send(p, pr, NULL, NULL, 0, &w, 0);
}

/* --- connecting --- */

void ep_connect(struct path *p, struct peer *pr, ts_t now)
{
	assert(!pr->linked);
	pr->connect_step = 0;
	pr->relay_fails = 0;
	pr->punched = false;
	pr->connect_at = now;
	pr->route = path_direct;
	pr->search_depth = 0;
	pr->depth_max = PATH_REST_MAX;
	pr->search_backoff = DUR_NS(0);
	peer_state(p, pr, PATH_ST_CONNECTING);
	peer_touch(p, pr);
}

void ep_connect_stop(struct peer *pr)
{
	pr->connect_at = pr->open_at = TS_NEVER;
	pr->connect_backoff = DUR_NS(0);
	pr->dirty &= ~(DIRTY_CONNECT | DIRTY_UNREACHABLE);
}

void ep_connect_hasten(struct path *p, struct peer *pr, ts_t now)
{
	ts_t soon = ts_add(now, prng_jitter(&p->prng, CONNECT_SOON, 50));

	/* Or all relays were asked in vain: they would be asked again for a while, and meanwhile nobody
	 * dials. */
	if (!ep_exhausted(pr) || !ts_before(soon, pr->connect_at) ||
		(pr->connect_step != STEP_WAIT && pr->connect_step != STEP_RELAY))
		return;
	ask_stop(p, pr);
	pr->search_at = TS_NEVER;
	pr->search_backoff = DUR_NS(0);
	pr->connect_step = STEP_WAIT;
	pr->connect_at = soon;
	pr->connect_backoff = DUR_NS(0);
	peer_touch(p, pr);
}

static void look_for_relays(struct path *p, struct peer *pr, ts_t now)
{
	/* Long enough for a search at every depth, each with its "later"s. */
	pr->connect_step = STEP_RELAY;
	pr->search_until = ts_add(now, SEARCH_TIME);
	pr->connect_at = pr->redial_at = ts_add(now, REDIAL);
	pr->redials = 0;
	pr->search_depth = 0;
	pr->search_at = TS_NEVER;
	pr->search_backoff = DUR_NS(0);
	ask_start(p, pr, 0, now);
}

void ep_connect_relayed(struct path *p, struct peer *pr, ts_t now)
{
	assert(!pr->linked && pr->route.n > 0);
	pr->connect_ep = (struct ep){0};
	pr->connect_step = STEP_RELAYED;
	pr->connect_at = ts_add(now, CONNECT_RELAY);
	pr->search_at = TS_NEVER;
	peer_dirty(p, pr, DIRTY_USE | DIRTY_CONNECT);
	peer_touch(p, pr);
}

bool ep_exhausted(const struct peer *pr)
{
	return pr->state == PATH_ST_CONNECTING &&
	       (pr->connect_step == STEP_WAIT || pr->search_backoff.ns > 0);
}

void ep_connect_deeper(struct path *p, struct peer *pr, ts_t now)
{
	if (pr->connect_step == STEP_WAIT || pr->connect_step == STEP_RELAY)
		look_for_relays(p, pr, now);
}

/* The @n-th endpoint that can be dialled; NULL: there are fewer. */
static const struct cand *dialable(const struct path *p, const struct peer *pr, unsigned n)
{
	for (unsigned i = 0; i < pr->ncand; i++) {
		if (ep_usable(p, &pr->cand[i].ep) && n-- == 0)
			return &pr->cand[i];
	}
	return NULL;
}

static void punch_ask(struct path *p, struct peer *pr)
{
	struct path_punch m = {.target = pr->key};
	uint8_t buf[PATH_MSG_MAX];
	struct list *it, *t;
	unsigned asked = 0, skip;
	struct wr w;

	own_eps(p, &m.eps);
	wr_init(&w, buf, sizeof(buf));
	path_punch_encode(&w, &m);
	skip = p->stats.links > PUNCH_PEERS
		       ? (unsigned)prng_below(&p->prng, p->stats.links - PUNCH_PEERS + 1)
		       : 0;
	list_each(&p->links, it, t)
	{
		struct peer *x = list_entry(it, struct peer, links);

		if (skip > 0) {
			skip--;
			continue;
		}
		if (x->route.n > 0 || x->state != PATH_ST_DIRECT)
			continue;
		peer_send(p, x, NULL, NULL, 0, &w, 0);
		p->stats.punches_asked++;
		if (++asked == PUNCH_PEERS)
			break;
	}
}

static void connect_wait(struct path *p, struct peer *pr, ts_t now)
{
	if (pr->connect_backoff.ns == 0)
		pr->connect_backoff = CONNECT_RETRY;
	pr->connect_step = STEP_WAIT;
	pr->connect_at = ts_add(now, prng_jitter(&p->prng, pr->connect_backoff, 20));
	pr->connect_backoff.ns *= 2;
	if (pr->connect_backoff.ns > p->cfg.tune.connect_retry_max.ns)
		pr->connect_backoff = p->cfg.tune.connect_retry_max;
	pr->route = path_direct;
	pr->search_at = TS_NEVER;
	ask_stop(p, pr);
	peer_dirty(p, pr, DIRTY_UNREACHABLE);
}

static void dial(struct path *p, struct peer *pr, const struct cand *c, ts_t now)
{
	pr->connect_at = ts_add(now, p->cfg.tune.connect_each);
	pr->connect_ep = c->ep;
	pr->route = path_direct;
	peer_dirty(p, pr, DIRTY_CONNECT);
}

/* No handshake through a relay. It need not be the relay's fault, and much may have changed since
 * the endpoints were dialled: one of them, before another relay is tried. */
static void relayed_failed(struct path *p, struct peer *pr, ts_t now)
{
	const struct cand *c;

	route_relay_bad(p, pr, &pr->route.label[0], now);
	if (++pr->relay_fails == CONNECT_RELAYS) {
		connect_wait(p, pr, now);
		return;
	}
	pr->connect_step = DIALS_MAX;
	pr->route = path_direct;
	c = dialable(p, pr, pr->relay_fails - 1);
	if (!c)
		c = dialable(p, pr, 0);
	if (c)
		dial(p, pr, c, now);
	else
		look_for_relays(p, pr, now);
}

/* Relays say "later", or none is left to ask, and what kept the direct way from working may be over. */
static void search_goes_on(struct path *p, struct peer *pr, ts_t now)
{
	const struct cand *c;

	if (ts_due(pr->search_until, now)) {
		connect_wait(p, pr, now);
		return;
	}
	if (ts_due(pr->redial_at, now)) {
		pr->redial_at = ts_add(now, REDIAL);
		c = dialable(p, pr, pr->redials++ % DIALS_MAX);
		if (!c)
			c = dialable(p, pr, 0);
		if (c)
			dial(p, pr, c, now);
	}
	pr->connect_at = ts_min(pr->redial_at, pr->search_until);
}

/* The next step of a round. */
static void connect_tick(struct path *p, struct peer *pr, ts_t now)
{
	const struct cand *c;

	if (!pr->wanted && ts_due(pr->asked_until, now)) {
		ep_connect_stop(pr);
		ask_stop(p, pr);
		pr->search_at = TS_NEVER;
		pr->route = path_direct;
		peer_state(p, pr, PATH_ST_IDLE);
		return;
	}
	switch (pr->connect_step) {
	case STEP_WAIT:
		pr->connect_step = 0;
		pr->relay_fails = 0;
		pr->punched = false;
		break;
	case STEP_RELAY:
		search_goes_on(p, pr, now);
		return;
	case STEP_RELAYED:
		relayed_failed(p, pr, now);
		return;
	default:
		break;
	}
	c = pr->connect_step < DIALS_MAX ? dialable(p, pr, pr->connect_step) : NULL;
	/* A punch takes as long as a dial. */
	const bool punch = !pr->punched && (pr->connect_step > 0 || !c);
	if (punch)
		punch_ask(p, pr);
	pr->punched |= punch;
	if (c) {
		pr->connect_step++;
		dial(p, pr, c, now);
	} else if (punch) {
		pr->connect_at = ts_add(now, p->cfg.tune.connect_each);
	} else {
		look_for_relays(p, pr, now);
	}
}

/* --- simultaneous open --- */

static void send_open(struct path *p, struct peer *to, const struct node_key *node, dur_t delay,
	const struct path_eps *eps)
{
	struct path_open m = {.node = *node, .eps = *eps};
	int64_t ms = dur_ms(delay);
	uint8_t buf[PATH_MSG_MAX];
	struct wr w;

	m.delay_ms = ms < 0 ? 0 : ms > PATH_DELAY_MAX ? PATH_DELAY_MAX : (uint16_t)ms;
	wr_init(&w, buf, sizeof(buf));
	path_open_encode(&w, &m);
	peer_send(p, to, NULL, NULL, 0, &w, 0);
}

static dur_t one_way(const struct peer *pr)
{
	const struct cost *c = &pr->cost[peer_way(pr)];

	return DUR_US(c->known ? c->srtt_us / 2 : 0);
}

int ep_on_punch(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now)
{
	struct path_eps theirs;
	struct path_punch m;
	int err = path_punch_decode(r, &m);

	if (err < 0)
		return err;
	if (node_key_eq(&m.target, &p->cfg.self) || node_key_eq(&m.target, &pr->key))
		return ERR_MALFORMED;
	struct peer *t = peer_get(p, &m.target);
	if (!t || !t->linked)
		return 0; /* somebody else may know it */
	if (!second_take(&p->punches_since, &p->punches, LIM_PATH_PUNCHES_PER_SEC, now))
		return ERR_LIMIT;
	/* How we see the one that asks comes first: that is its NAT's mapping. */
	if (!from->relayed && path_ep_ok(&from->ep)) {
		unsigned keep = m.eps.n < PATH_EPS_MAX ? (unsigned)m.eps.n : PATH_EPS_MAX - 1;

		memmove(&m.eps.v[1], &m.eps.v[0], keep * sizeof(m.eps.v[0]));
		m.eps.v[0] = from->ep;
		m.eps.n = keep + 1;
	}
	peer_eps(t, &theirs);
	dur_t a = one_way(pr), b = one_way(t), far = a.ns > b.ns ? a : b;
	send_open(p, t, &pr->key, DUR_NS(PUNCH_SLACK.ns + far.ns - b.ns), &m.eps);
	send_open(p, pr, &t->key, DUR_NS(PUNCH_SLACK.ns + far.ns - a.ns), &theirs);
	p->stats.punches_arranged++;
	return 0;
}

int ep_on_open(
	struct path *p, struct peer *pr, const struct path_from *from, struct rd *r, ts_t now)
{
	struct path_open m;
	int err = path_open_decode(r, &m);

	(void)from;
	if (err < 0)
		return err;
	if (node_key_eq(&m.node, &p->cfg.self))
		return ERR_MALFORMED;
	struct peer *t = peer_get(p, &m.node);
	if (!t)
		return ERR_NOT_FOUND;
	if (!second_take(&p->punches_since, &p->punches, LIM_PATH_PUNCHES_PER_SEC, now))
		return ERR_LIMIT;
	/* The first, as the arranging peer sees it, becomes the newest. */
	for (size_t i = m.eps.n; i-- > 0;)
		(void)ep_add(t, &m.eps.v[i], CAND_SEEN);
	t->open_ep = m.eps.n ? m.eps.v[0] : (struct ep){0};
	t->open_at = ts_add(now, DUR_MS(m.delay_ms));
	/* Over the session that there is: the other side tries at the same time. */
	t->obeyed = t == pr;
	peer_touch(p, t);
	return 0;
}

/* The time has come: open our side for it, and try. */
static void open_tick(struct path *p, struct peer *pr, ts_t now)
{
	unsigned opened = 0;

	pr->open_at = TS_NEVER;
	if (pr->linked && pr->route.n == 0)
		return; /* it found a way meanwhile */
	for (unsigned i = pr->ncand; i-- > 0 && opened < PATH_EPS_MAX;) {
		if (!path_ep_ok(&pr->cand[i].ep) || !ep_usable(p, &pr->cand[i].ep))
			continue;
		path_open_ep(p, &pr->cand[i].ep);
		opened++;
	}
	if (pr->linked) {
		pr->direct_at = now;
		pr->direct_tries = 0;
	} else if (pr->connect_step != STEP_RELAYED && ep_usable(p, &pr->open_ep)) {
		/* Both dial: one of the two may have mappings that nobody can foretell. */
		if (pr->state == PATH_ST_IDLE) {
			ep_connect(p, pr, now);
			pr->asked_until = ts_add(now, OPEN_TIME);
		}
		pr->connect_ep = pr->open_ep;
		pr->route = path_direct;
		pr->connect_step = DIALS_MAX;
		pr->punched = true;
		pr->connect_at = ts_add(now, OPEN_TIME);
		peer_dirty(p, pr, DIRTY_CONNECT);
	}
}

void ep_open_both(struct path *p, struct peer *pr, ts_t now)
{
	struct path_eps eps;

	(void)now;
	own_eps(p, &eps);
	send_open(p, pr, &p->cfg.self, one_way(pr), &eps);
}

void ep_tick(struct path *p, struct peer *pr, ts_t now)
{
	if (ts_due(pr->alive_at, now))
		alive_tick(p, pr, now);
	if (ts_due(pr->open_at, now))
		open_tick(p, pr, now);
	if (!pr->linked && pr->state == PATH_ST_CONNECTING && ts_due(pr->connect_at, now))
		connect_tick(p, pr, now);
}

ts_t ep_deadline(const struct path *p, const struct peer *pr, ts_t now)
{
	ts_t t = ts_min(pr->alive_at, pr->open_at);

	(void)p;
	(void)now;
	return pr->state == PATH_ST_CONNECTING ? ts_min(t, pr->connect_at) : t;
}
