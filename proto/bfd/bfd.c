/* bfd.c - the sessions: who there is, whose a packet is, what is to be done next.
 *
 * A packet is given to the session whose discriminator it names, or, while the peer doesn't know that
 * one, to the session of its addresses (RFC 5881 3, 5883 4). Also with a discriminator it must come
 * from the session's peer and by the session's port: a neighbour is an address here, and a number that
 * somebody saw or guessed must not be enough to take it down.
 *
 * Bounds: LIM_BFD_SESSIONS. Memory is needed by bfd_add() alone. */
#include "bfd_int.h"

#include <stdlib.h>
#include <string.h>
#include "weft/err.h"

#define SAY_AUTH   "the peer asks for authentication of BFD, which weft does not do"
#define SAY_DEMAND "the peer asks for BFD's demand mode, which weft does not do"

static struct bfd_key make_key(
	const struct ip *remote, const struct ip *local, uint32_t scope, bool multihop)
{
	struct bfd_key k;

	memset(&k, 0, sizeof(k));
	memcpy(k.remote.b, remote->b, sizeof(k.remote.b));
	k.remote.family = remote->family;
	memcpy(k.local.b, local->b, sizeof(k.local.b));
	k.local.family = local->family;
	k.scope = scope;
	k.multihop = multihop;
	return k;
}

static bool interval_ok(uint32_t us)
{
	return us >= BFD_INTERVAL_MIN_US && us <= BFD_INTERVAL_MAX_US;
}

struct bfd *bfd_new(const uint8_t seed[16])
{
	struct bfd *b = calloc(1, sizeof(*b));
	uint64_t n;

	if (!b)
		return NULL;
	memcpy(b->seed, seed, sizeof(b->seed));
	memcpy(&n, seed, sizeof(n));
	prng_seed(&b->prng, n);
	list_init(&b->work);
	tq_init(&b->timers);
	b->by_id = map_new(sizeof(uint32_t), LIM_BFD_SESSIONS, seed);
	b->by_key = map_new(sizeof(struct bfd_key), LIM_BFD_SESSIONS, seed);
	if (!b->by_id || !b->by_key) {
		bfd_free(b);
		return NULL;
	}
	return b;
}

void bfd_free(struct bfd *b)
{
	size_t it = 0;
	void *v;

	if (!b)
		return;
	while (b->by_id && map_next(b->by_id, &it, NULL, &v))
		free(v);
	map_free(b->by_id);
	map_free(b->by_key);
	tq_fini(&b->timers);
	explicit_bzero(b->seed, sizeof(b->seed));
	free(b);
}

/* A number that nobody can foretell, not 0 and not in use. */
static uint32_t new_id(struct bfd *b)
{
	uint32_t id;

	do {
		b->counter++;
		id = (uint32_t)map_siphash(b->seed, &b->counter, sizeof(b->counter));
	} while (id == 0 || map_get(b->by_id, &id));
	return id;
}

/* Both timers into the queue, where they stay. */
static int queue_timers(struct bfd *b, struct bfd_session *s)
{
	int err;

	s->tx.s = s->detect.s = s;
	err = tq_set(&b->timers, &s->tx.q, (ts_t){UINT64_MAX - 1});
	return err ? err : tq_set(&b->timers, &s->detect.q, (ts_t){UINT64_MAX - 1});
}

static void session_free(struct bfd *b, struct bfd_session *s)
{
	tq_cancel(&b->timers, &s->tx.q);
	tq_cancel(&b->timers, &s->detect.q);
	list_del(&s->work);
	free(s);
}

int bfd_add(struct bfd *b, const struct bfd_session_cfg *cfg, ts_t now, uint32_t *id)
{
	struct bfd_session *s;
	int err;

	if (!interval_ok(cfg->min_tx_us) || !interval_ok(cfg->min_rx_us) || cfg->mult == 0 ||
		cfg->remote.family == IP_NONE)
		return ERR_RANGE;
	s = calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->cfg = *cfg;
	s->key = make_key(&cfg->remote, &cfg->local, cfg->scope, cfg->multihop);
	list_init(&s->work);
	s->id = new_id(b);
	err = queue_timers(b, s);
	if (!err)
		err = map_put(b->by_key, &s->key, s);
	if (err) {
		session_free(b, s);
		return err;
	}
	err = map_put(b->by_id, &s->id, s);
	if (err) {
		(void)map_del(b->by_key, &s->key);
		session_free(b, s);
		return err;
	}
	bfd_session_begin(b, s, now);
	*id = s->id;
	return 0;
}

int bfd_del(struct bfd *b, uint32_t id)
{
	struct bfd_session *s = map_del(b->by_id, &id);

	if (!s)
		return ERR_NOT_FOUND;
	(void)map_del(b->by_key, &s->key);
	session_free(b, s);
	return 0;
}

int bfd_admin(struct bfd *b, uint32_t id, bool down, ts_t now)
{
	struct bfd_session *s = map_get(b->by_id, &id);

	if (!s)
		return ERR_NOT_FOUND;
	bfd_session_admin(b, s, down, now);
	return 0;
}

int bfd_retime(
	struct bfd *b, uint32_t id, uint32_t min_tx_us, uint32_t min_rx_us, uint8_t mult, ts_t now)
{
	struct bfd_session *s = map_get(b->by_id, &id);

	if (!s)
		return ERR_NOT_FOUND;
	if (!interval_ok(min_tx_us) || !interval_ok(min_rx_us) || mult == 0)
		return ERR_RANGE;
	s->cfg.min_tx_us = min_tx_us;
	s->cfg.min_rx_us = min_rx_us;
	s->cfg.mult = mult;
	bfd_session_retimed(b, s, now);
	return 0;
}

/* --- packets --- */

static bool comes_from_peer(const struct bfd_session *s, const struct bfd_from *from)
{
	return s->cfg.multihop == from->multihop && ip_eq(&s->cfg.remote, &from->remote) &&
	       (s->cfg.local.family == IP_NONE || ip_eq(&s->cfg.local, &from->local)) &&
	       (s->cfg.scope == 0 || s->cfg.scope == from->scope);
}

/* The session of an address: the most exactly given one. */
static struct bfd_session *by_address(const struct bfd *b, const struct bfd_from *from)
{
	static const struct ip none;
	struct bfd_session *s = NULL;

	for (unsigned i = 0; i < 4 && !s; i++) {
		struct bfd_key k = make_key(&from->remote, i & 1 ? &none : &from->local,
			i & 2 ? 0 : from->scope, from->multihop);

		s = map_get(b->by_key, &k);
	}
	return s;
}

static enum bfd_drop judge(struct bfd *b, const struct bfd_from *from, const uint8_t *buf,
	size_t len, struct bfd_pkt *p, struct bfd_session **out)
{
	struct bfd_session *s;
	enum bfd_drop drop;

	/* First what costs least: who is beyond the link gets no further (RFC 5881 5). */
	if (!from->multihop && from->ttl != BFD_TTL)
		return BFD_DROP_TTL;
	drop = bfd_pkt_decode(buf, len, p);
	if (drop)
		return drop;
	s = p->your_discr ? map_get(b->by_id, &p->your_discr) : by_address(b, from);
	if (!s || !comes_from_peer(s, from))
		return BFD_DROP_SESSION;
	if (from->multihop && from->ttl < s->cfg.min_ttl)
		return BFD_DROP_TTL;
	if (p->flags & BFD_FLAG_AUTH) {
		bfd_session_refuse(b, s, SAY_AUTH);
		return BFD_DROP_AUTH;
	}
	if (p->flags & BFD_FLAG_DEMAND) {
		bfd_session_refuse(b, s, SAY_DEMAND);
		return BFD_DROP_DEMAND;
	}
	*out = s;
	return BFD_OK;
}

enum bfd_drop bfd_recv(
	struct bfd *b, const struct bfd_from *from, const uint8_t *buf, size_t len, ts_t now)
{
	struct bfd_session *s = NULL;
	struct bfd_pkt p;
	enum bfd_drop drop = judge(b, from, buf, len, &p, &s);

	b->st.dropped[drop]++;
	if (drop)
		return drop;
	b->st.rx++;
	bfd_session_heard(b, s, &p, now);
	return BFD_OK;
}

/* 6.8.7. A poll and its answer never stand in one packet. */
static void encode(const struct bfd_session *s, bool final, uint8_t out[BFD_PACKET_BYTES])
{
	struct bfd_pkt p = {.diag = s->diag,
		.state = (uint8_t)s->state,
		.flags = final     ? BFD_FLAG_FINAL
			 : s->poll ? BFD_FLAG_POLL
				   : 0,
		.mult = s->cfg.mult,
		.my_discr = s->id,
		.your_discr = s->remote_id,
		.min_tx_us = s->say_tx_us,
		.min_rx_us = s->say_rx_us};

	_Static_assert(BFD_PACKET_BYTES == BFD_MIN_LEN, "no authentication section");
	bfd_pkt_encode(&p, out);
}

/* --- time and actions --- */

void bfd_tick(struct bfd *b, ts_t now)
{
	struct tq_node *n;

	while ((n = tq_pop(&b->timers, now)) != NULL) {
		struct bfd_timer *t = tq_entry(n, struct bfd_timer, q);

		if (t == &t->s->tx)
			bfd_session_sent(b, t->s, now);
		else
			bfd_session_expired(b, t->s, now);
	}
}

ts_t bfd_deadline(const struct bfd *b)
{
	ts_t when = tq_deadline(&b->timers);

	return when.ns >= UINT64_MAX - 1 ? TS_NEVER : when;
}

static bool take(struct bfd *b, struct bfd_session *s, struct bfd_act *out)
{
	*out = (struct bfd_act){.id = s->id,
		.cfg = &s->cfg,
		.state = s->state,
		.diag = (enum bfd_diag)s->diag,
		.remote_cpi = s->remote_cpi};
	/* Packets first: what they say is urgent to others. */
	if (s->final || s->send) {
		out->type = BFD_SEND;
		encode(s, s->final, out->buf);
		*(s->final ? &s->final : &s->send) = false;
		s->ntx++;
		b->st.tx++;
	} else if (s->tell_failed) {
		out->type = BFD_STATE;
		out->failed = true;
		out->diag = (enum bfd_diag)s->failed_diag;
		out->remote_cpi = s->failed_cpi;
		out->heard = s->failed_known;
		out->state = BFD_DOWN;
		s->tell_failed = false;
		s->tell = s->state != BFD_DOWN;
	} else if (s->tell) {
		out->type = BFD_STATE;
		s->tell = false;
	} else if (s->tell_refused) {
		out->type = BFD_REFUSED;
		out->text = s->tell_refused;
		s->tell_refused = NULL;
	} else {
		return false;
	}
	return true;
}

bool bfd_next(struct bfd *b, struct bfd_act *out)
{
	while (!list_empty(&b->work)) {
		struct bfd_session *s = list_entry(b->work.next, struct bfd_session, work);

		if (take(b, s, out))
			return true;
		list_del(&s->work);
	}
	memset(out, 0, sizeof(*out));
	return false;
}

/* --- for status --- */

int bfd_get(const struct bfd *b, uint32_t id, struct bfd_info *out)
{
	const struct bfd_session *s = map_get(b->by_id, &id);
	uint64_t detect;

	if (!s)
		return ERR_NOT_FOUND;
	detect = bfd_session_detect_us(s);
	*out = (struct bfd_info){.id = s->id,
		.remote_id = s->remote_id,
		.cfg = &s->cfg,
		.state = s->state,
		.remote_state = (enum bfd_state)s->remote_state,
		.diag = s->diag,
		.remote_diag = s->remote_diag,
		.remote_cpi = s->remote_cpi,
		.polling = s->poll,
		.remote_mult = s->remote_mult,
		.tx_us = s->tx_us,
		.detect_us = detect > UINT32_MAX ? UINT32_MAX : (uint32_t)detect,
		.since = s->since,
		.rx = s->nrx,
		.tx = s->ntx,
		.failures = s->failures,
		.refused = s->refused};
	return 0;
}

void bfd_stats(const struct bfd *b, struct bfd_stats *out)
{
	*out = b->st;
	out->sessions = map_count(b->by_id);
}

const char *bfd_drop_str(enum bfd_drop d)
{
	static const char *const names[BFD_DROPS] = {[BFD_OK] = "fine",
		[BFD_DROP_VERSION] = "version",
		[BFD_DROP_LENGTH] = "length",
		[BFD_DROP_MALFORMED] = "malformed",
		[BFD_DROP_TTL] = "ttl",
		[BFD_DROP_SESSION] = "no_session",
		[BFD_DROP_AUTH] = "authentication",
		[BFD_DROP_DEMAND] = "demand"};

	return (unsigned)d < BFD_DROPS ? names[d] : "?";
}

const char *bfd_diag_str(unsigned diag)
{
	static const char *const names[] = {"", "the neighbour is silent", "echo failed",
		"the neighbour says it is down", "forwarding plane reset", "path down",
		"concatenated path down", "administratively down",
		"reverse concatenated path down"};

	return diag < sizeof(names) / sizeof(names[0]) ? names[diag] : "?";
}

const char *bfd_state_str(enum bfd_state s)
{
	static const char *const names[] = {"AdminDown", "Down", "Init", "Up"};

	return (unsigned)s < 4 ? names[s] : "?";
}
