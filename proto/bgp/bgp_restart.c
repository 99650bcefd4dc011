/* bgp_restart.c - graceful restart, both sides (RFC 4724), with NOTIFICATIONs (RFC 8538).
 *
 * We help: the connection of a peer that told the capability ends, by TCP or, where both know RFC
 * 8538, by a NOTIFICATION that is no Hard Reset. Its routes of the families that it listed and that
 * were negotiated become stale and stay in use. They go when the peer is not back within its
 * restart time (bounded by stale_secs), when it comes back without the forwarding bit of the family,
 * when its End-of-RIB comes and they were not told again, or after stale_secs. What was stale
 * already goes at once, so that a peer that restarts in a loop keeps nothing alive for ever.
 *
 * We restart: bgp_cfg.restarting says that what the process before installed still forwards. A
 * family is deferred until no peer is awaited for it any more: each has sent its End-of-RIB, or
 * restarts too, or doesn't know the capability; or until the deferral timer. Until then nothing of
 * it is decided, so nothing is told to the driver, and no End-of-RIB of ours goes out.
 *
 * In: ends and beginnings of sessions, End-of-RIB, timers. Out: stale paths removed, families
 * released to the decision. Failure: none; nothing here needs memory. */
#include <string.h>
#include "weft/err.h"
#include "bgp_int.h"

#define RESTART_SECS 120
#define STALE_SECS   360
#define DEFER_SECS   60

static unsigned stale_secs(const struct bgp_peer *p)
{
	return p->cfg.stale_secs ? p->cfg.stale_secs : STALE_SECS;
}

static void stale_timer(struct bgp_peer *p, unsigned secs)
{
	bgp_timer_set(p->b, &p->stale, ts_add(p->b->now, DUR_SEC(secs)));
}

void bgp_restart_init(struct bgp *b)
{
	unsigned secs = b->cfg.defer_secs ? b->cfg.defer_secs : DEFER_SECS;

	b->defer = (struct bgp_timer){.kind = TIMER_DEFER, .owner = b};
	if (!b->cfg.restarting)
		return;
	b->deferred = BGP_FAM(BGP_FAMILIES) - 1;
	bgp_timer_set(b, &b->defer, ts_add(b->now, DUR_SEC(secs)));
}

void bgp_restart_offer(struct bgp_peer *p, struct bgp_caps *caps)
{
	const struct bgp *b = p->b;

	if (p->cfg.restart == BGP_RESTART_NONE)
		return;
	caps->restart = caps->restart_notify = true;
	if (p->cfg.restart != BGP_RESTART_FULL)
		return; /* RFC 4724 3: no family, so nothing of ours is to be kept */
	caps->restart_state = b->deferred != 0;
	caps->restart_secs = p->cfg.restart_secs ? p->cfg.restart_secs : RESTART_SECS;
	caps->restart_families = p->cfg.families;
	/* A connection alone that broke leaves forwarding as it was. */
	if (b->cfg.restarting || p->was_up)
		caps->forward_families = p->cfg.families;
}

bool bgp_restart_is_hard(const struct bgp_error *e)
{
	if (!e || e->code != NOTIFY_CEASE)
		return false;
	switch (e->subcode) {
	case CEASE_MAX_PREFIX:
	case CEASE_SHUTDOWN:
	case CEASE_DECONFIGURED:
	case CEASE_RESET:
	case CEASE_RESOURCES:
	case CEASE_HARD_RESET:
	case CEASE_BFD_DOWN:
		return true;
	default:
		return false;
	}
}

void bgp_restart_harden(const struct bgp_peer *p, struct bgp_error *e)
{
	uint8_t data[2 + sizeof(e->data)];

	if (!p->notify || !bgp_restart_is_hard(e) || e->subcode == CEASE_HARD_RESET)
		return;
	data[0] = e->code; /* RFC 8538 3: what it would have been */
	data[1] = e->subcode;
	memcpy(data + 2, e->data, e->data_len);
	bgp_error_set(e, NOTIFY_CEASE, CEASE_HARD_RESET, data, 2u + e->data_len);
}

uint32_t bgp_restart_keep(const struct bgp_peer *p, const struct bgp_error *e)
{
	if (p->stopped || !p->up || p->cfg.restart == BGP_RESTART_NONE || !p->caps.restart ||
		p->caps.restart_secs == 0)
		return 0;
	if (e && (!p->notify || bgp_restart_is_hard(e)))
		return 0;
	return p->caps.restart_families & p->families;
}

void bgp_restart_away(struct bgp_peer *p, uint32_t families)
{
	unsigned secs = p->caps.restart_secs;

	p->kept = families != 0;
	p->stale_families = families;
	if (families)
		stale_timer(p, secs < stale_secs(p) ? secs : stale_secs(p));
}

void bgp_restart_up(struct bgp_peer *p)
{
	/* RFC 4724 4.2: what is not preserved, or not listed any more, goes at once. */
	uint32_t keep = p->caps.restart ? p->caps.forward_families & p->families : 0;

	p->was_up = true;
	p->kept = false;
	p->eor_families = p->caps.restart ? p->families : 0;
	bgp_session_stale_end(p, ~keep);
	if (p->stale_families)
		stale_timer(p, stale_secs(p));
	bgp_restart_check(p->b);
}

void bgp_restart_eor(struct bgp_peer *p, unsigned family)
{
	if (!(p->eor_families & BGP_FAM(family)))
		return;
	p->eor_families &= ~BGP_FAM(family);
	bgp_session_stale_end(p, BGP_FAM(family));
	bgp_restart_check(p->b);
}

void bgp_restart_expire(struct bgp_peer *p)
{
	bgp_say(p->b, p->idx, "%s: stale routes removed",
		p->kept ? "not back within its restart time"
			: "the end of its routes did not come");
	p->kept = false;
	bgp_session_stale_end(p, UINT32_MAX);
}

/* Is @p still to tell its routes of @f after our restart? RFC 4724 4.1. */
static bool is_awaited(const struct bgp_peer *p, unsigned f)
{
	if (p->stopped || p->cfg.restart == BGP_RESTART_NONE || !(p->cfg.families & BGP_FAM(f)))
		return false;
	if (!p->up)
		return true;
	return p->caps.restart && !p->caps.restart_state && p->eor_families & BGP_FAM(f);
}

static void release(struct bgp *b, uint32_t families)
{
	b->deferred &= ~families;
	if (!b->deferred)
		bgp_timer_set(b, &b->defer, TS_NEVER);
	for (unsigned i = 1; i <= LIM_BGP_PEERS; i++)
		if (b->peers[i])
			bgp_peer_wake(b->peers[i]); /* its End-of-RIB is due, at least */
}

void bgp_restart_check(struct bgp *b)
{
	uint32_t done = b->deferred;

	if (!done)
		return;
	for (unsigned i = 1; i <= LIM_BGP_PEERS; i++)
		for (unsigned f = 0; b->peers[i] && f < BGP_FAMILIES; f++)
			if (is_awaited(b->peers[i], f))
				done &= ~BGP_FAM(f);
	if (done)
		release(b, done);
}

void bgp_restart_timer(struct bgp *b)
{
	bgp_say(b, BGP_LOCAL, "not every peer told its routes in time after the restart");
	release(b, b->deferred);
}

bool bgp_restart_waits(const struct bgp *b, unsigned family)
{
	return b->deferred & BGP_FAM(family);
}
