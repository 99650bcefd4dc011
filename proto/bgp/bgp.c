/* bgp.c - the core's public face.
 *
 * Parts: bgp_fsm.c (peers, connections, state machine), bgp_conn.c (output queue), bgp_msg.c,
 * bgp_cap.c, bgp_update.c, bgp_attr.c, bgp_attr_out.c (codecs), bgp_session.c (what an Established
 * peer's messages do), bgp_restart.c (graceful restart), bgp_route.c (import, decision, export), bgp_table.c
 * (what concerns all routes, in portions), rib.c, bgp_intern.c, bgp_pool.c (tables), decide.c (which path
 * is best), ribout.c and ribout_group.c (what is announced to whom).
 *
 * In: configured peers, routes of our own, events and bytes of connections, the clock. A byte's way:
 * message - UPDATE taken apart - attribute set interned once - path of a prefix (Adj-RIB-In) -
 * prefix marked. Out: actions. While they are drained, marked prefixes are decided (Loc-RIB), told
 * as BGP_ROUTE and put into the logs of the groups (Adj-RIB-Out), from which output queues are
 * filled. So nothing is done twice for a prefix that changes twice between two drains, and a slow
 * peer holds up nobody.
 *
 * Order of one drain: log, states, connections that close or are to be made, routes, bytes, work on
 * whole tables.
 *
 * Bounds: LIM_BGP_* and LIM_SEGMENTS. Failure: no memory for a route of a peer, or for announcing to
 * it, closes its session with Cease/Out of Resources; our own routes are refused. */
#include "bgp.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_int.h"

#define PORTIONS 4 /* of work on whole tables, in one call that has nothing else to tell */

dur_t bgp_jitter(struct bgp *b, dur_t d)
{
	return DUR_NS(d.ns / 4 * 3 + (int64_t)prng_below(&b->prng, (uint64_t)(d.ns / 4 + 1)));
}

/* Room in the heap for the core's timer and those of one more peer, so that setting one can't fail
 * later. */
static int reserve_timers(struct bgp *b)
{
	size_t need = (size_t)(b->npeers + 1) * TIMERS_PER_PEER + 1;

	return need <= b->timers.cap ? 0 : tq_reserve(&b->timers, 2 * need);
}

struct bgp *bgp_new(const struct bgp_cfg *cfg, ts_t now)
{
	struct bgp *b;

	if (cfg->local_as == 0 || cfg->local_as == BGP_AS_TRANS || cfg->router_id == 0)
		return NULL;
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->cfg = *cfg;
	if (!b->cfg.cluster_id)
		b->cfg.cluster_id = cfg->router_id;
	b->now = now;
	prng_seed(&b->prng, cfg->seed);
	for (size_t i = 0; i < sizeof(b->seed); i++)
		b->seed[i] = (uint8_t)prng_next(&b->prng);
	tq_init(&b->timers);
	list_init(&b->states);
	list_init(&b->closing);
	list_init(&b->senders);
	bgp_pool_init(&b->outs, sizeof(struct out));
	bgp_pool_init(&b->wide_outs, sizeof(struct wide_out));
	if (attr_table_init(&b->attrs, b->seed) < 0) {
		free(b);
		return NULL;
	}
	if (reserve_timers(b) < 0) {
		bgp_free(b);
		return NULL;
	}
	bgp_restart_init(b);
	return b;
}

static void free_closing(struct bgp *b)
{
	struct list *l, *t;

	list_each(&b->closing, l, t)
	{
		bgp_conn_free(list_entry(l, struct bgp_conn, link));
	}
}

/* All that is known of @p goes; the connections are told nothing. */
static void peer_free(struct bgp *b, struct bgp_peer *p)
{
	p->stopped = true;
	bgp_peer_down(p, NULL, false, NULL);
	bgp_table_sweep(p, SIZE_MAX);
	bgp_table_stop(p);
	bgp_timer_set(b, &p->idle_hold, TS_NEVER);
	list_del(&p->state_link);
	b->peers[p->idx] = NULL;
	b->npeers--;
	free(p);
	bgp_restart_check(b);
}

static void empty_rib(struct bgp *b, struct rib *r)
{
	struct net *n, *cursor = NULL;
	size_t at = 0;

	while ((n = rib_next(r, &at, &cursor)) != NULL) {
		if (n->paths)
			bgp_path_remove(b, r, n, net_first(r, n), NULL);
		while (rib_pop(r, UINT32_MAX))
			; /* nobody will decide these any more */
		assert(!n->paths && !n->outs);
		attr_put(&b->attrs, n->best);
		n->best = NULL;
		n->flags = 0;
		rib_release(r, n);
	}
}

void bgp_free(struct bgp *b)
{
	if (!b)
		return;
	for (unsigned i = 1; i <= LIM_BGP_PEERS; i++)
		if (b->peers[i])
			peer_free(b, b->peers[i]);
	free_closing(b);
	while (ribout_work(b, UINT32_MAX))
		;
	assert(b->ngroups == 0 && list_empty(&b->senders) && b->connects == 0);
	for (unsigned i = 0; i < b->nribs; i++) {
		empty_rib(b, b->ribs[i]);
		rib_free(b->ribs[i]);
	}
	assert(b->npaths == 0 && b->outs.in_use == 0 && b->wide_outs.in_use == 0);
	bgp_pool_fini(&b->outs);
	bgp_pool_fini(&b->wide_outs);
	attr_table_fini(&b->attrs);
	tq_fini(&b->timers);
	free(b);
}

struct rib *bgp_rib(struct bgp *b, uint32_t vni)
{
	for (unsigned i = 0; i < b->nribs; i++)
		if (b->ribs[i]->vni == vni)
			return b->ribs[i];
	return NULL;
}

struct rib *bgp_rib_make(struct bgp *b, uint32_t vni, int *err)
{
	struct rib *r = bgp_rib(b, vni);

	*err = 0;
	if (r)
		return r;
	*err = b->nribs == LIM_SEGMENTS ? ERR_FULL : ERR_NOMEM;
	r = b->nribs == LIM_SEGMENTS ? NULL : rib_new(vni, b->seed);
	if (r)
		b->ribs[b->nribs++] = r;
	return r;
}

void bgp_say(struct bgp *b, uint16_t peer, const char *fmt, ...)
{
	struct bgp_peer *p = b->peers[peer];
	struct log_line *line;
	va_list ap;

	if (p) {
		va_start(ap, fmt);
		vsnprintf(p->last_fault, sizeof(p->last_fault), fmt, ap);
		va_end(ap);
	}
	if (b->line_count == LIM_BGP_LOG_LINES)
		return;
	line = &b->lines[(b->line_head + b->line_count++) % LIM_BGP_LOG_LINES];
	line->peer = peer;
	va_start(ap, fmt);
	vsnprintf(line->text, sizeof(line->text), fmt, ap);
	va_end(ap);
}

void bgp_timer_set(struct bgp *b, struct bgp_timer *t, ts_t when)
{
	int err = tq_set(&b->timers, &t->n, when);

	assert(err == 0);
}

static bool peer_cfg_ok(const struct bgp_peer_cfg *c)
{
	return ip_bits(&c->remote.ip) && !ip_is_unspecified(&c->remote.ip) && c->remote_as &&
	       c->remote_as != BGP_AS_TRANS && c->families && c->families < BGP_FAM(BGP_FAMILIES) &&
	       (c->hold_secs == 0 || c->hold_secs >= 3) && c->local_as != BGP_AS_TRANS &&
	       c->restart_secs <= RESTART_TIME_MAX && c->role <= BGP_ROLE_PEER &&
	       (c->next_hop[0].family == IP_NONE || c->next_hop[0].family == IP_V4) &&
	       (c->next_hop[1].family == IP_NONE || c->next_hop[1].family == IP_V6);
}

static struct bgp_peer *find_peer(
	struct bgp *b, uint32_t vni, const struct ip *remote, uint32_t scope)
{
	for (unsigned i = 1; i <= LIM_BGP_PEERS; i++)
		if (b->peers[i] && b->peers[i]->cfg.vni == vni &&
			ip_eq(&b->peers[i]->cfg.remote.ip, remote) &&
			(!scope || b->peers[i]->cfg.remote.scope == scope))
			return b->peers[i];
	return NULL;
}

static struct bgp_peer *peer_of(struct bgp *b, uint32_t peer)
{
	return peer >= 1 && peer <= LIM_BGP_PEERS ? b->peers[peer] : NULL;
}

/* The next free number after the last one given, so that numbers come again late. */
static uint16_t next_index(struct bgp *b)
{
	do
		b->last_peer = b->last_peer % LIM_BGP_PEERS + 1;
	while (b->peers[b->last_peer]);
	return (uint16_t)b->last_peer;
}

static void peer_init(struct bgp *b, struct bgp_peer *p, const struct bgp_peer_cfg *cfg)
{
	p->b = b;
	p->cfg = *cfg;
	if (!p->cfg.remote.port)
		p->cfg.remote.port = 179;
	if (!p->cfg.max_prefixes)
		p->cfg.max_prefixes = LIM_BGP_PEER_PREFIXES;
	p->ebgp = !cfg->internal && cfg->remote_as != b->cfg.local_as;
	p->local_as = (p->ebgp || cfg->internal) && cfg->local_as ? cfg->local_as : b->cfg.local_as;
	p->idle = true;
	p->since = b->now;
	list_init(&p->state_link);
	p->idle_hold = (struct bgp_timer){.kind = TIMER_IDLE_HOLD, .owner = p};
	p->retry = (struct bgp_timer){.kind = TIMER_RETRY, .owner = p};
	p->stale = (struct bgp_timer){.kind = TIMER_STALE, .owner = p};
	p->mrai = (struct bgp_timer){.kind = TIMER_MRAI, .owner = p};
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		p->out[f].peer = p;
		list_init(&p->out[f].in_group);
	}
}

int bgp_peer_add(struct bgp *b, const struct bgp_peer_cfg *cfg, ts_t now, uint32_t *peer)
{
	struct bgp_peer *p;
	int err;

	b->now = now;
	if (!peer_cfg_ok(cfg))
		return ERR_CONFIG;
	if (find_peer(b, cfg->vni, &cfg->remote.ip, cfg->remote.scope))
		return ERR_EXISTS;
	if (b->npeers == LIM_BGP_PEERS)
		return ERR_FULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	p->rib = bgp_rib_make(b, cfg->vni, &err);
	if (!p->rib || (err = reserve_timers(b)) < 0) {
		free(p);
		return err;
	}
	peer_init(b, p, cfg);
	p->idx = next_index(b);
	b->peers[p->idx] = p;
	b->npeers++;
	*peer = p->idx;
	if (cfg->start_delay_ms)
		bgp_timer_set(b, &p->idle_hold, ts_add(now, DUR_MS(cfg->start_delay_ms)));
	else
		bgp_peer_begin(p);
	return 0;
}

int bgp_peer_del(struct bgp *b, uint32_t peer, ts_t now)
{
	struct bgp_peer *p = peer_of(b, peer);

	b->now = now;
	if (!p)
		return ERR_NOT_FOUND;
	p->stopped = true;
	bgp_peer_cease(p, CEASE_DECONFIGURED, NULL);
	peer_free(b, p);
	return 0;
}

int bgp_peer_stop(struct bgp *b, uint32_t peer, const char *text, ts_t now)
{
	struct bgp_peer *p = peer_of(b, peer);

	b->now = now;
	if (!p)
		return ERR_NOT_FOUND;
	p->stopped = true;
	p->backoff = 0;
	bgp_peer_cease(p, CEASE_SHUTDOWN, text);
	bgp_restart_check(b);
	return 0;
}

int bgp_peer_leave(struct bgp *b, uint32_t peer, ts_t now)
{
	struct bgp_peer *p = peer_of(b, peer);

	b->now = now;
	if (!p)
		return ERR_NOT_FOUND;
	if (p->cfg.restart != BGP_RESTART_FULL || !p->up || !p->caps.restart)
		return bgp_peer_stop(b, peer, NULL, now);
	p->stopped = true;
	bgp_peer_down(p, NULL, false, NULL);
	return 0;
}

int bgp_peer_bfd_down(struct bgp *b, uint32_t peer, bool c_bit, ts_t now)
{
	struct bgp_peer *p = peer_of(b, peer);

	b->now = now;
	if (!p)
		return ERR_NOT_FOUND;
	if (p->up && c_bit)
		bgp_peer_cease(p, CEASE_BFD_DOWN, NULL);
	else if (p->up)
		bgp_peer_down(p, NULL, false, "BFD: down");
	else if (p->kept && c_bit)
		bgp_restart_expire(p);
	else
		return ERR_STATE;
	return 0;
}

int bgp_peer_start(struct bgp *b, uint32_t peer, ts_t now)
{
	struct bgp_peer *p = peer_of(b, peer);

	b->now = now;
	if (!p)
		return ERR_NOT_FOUND;
	p->stopped = p->no_caps = false;
	p->backoff = 0;
	if (p->idle)
		bgp_peer_begin(p);
	return 0;
}

int bgp_peer_reset(struct bgp *b, uint32_t peer, const char *text, ts_t now)
{
	struct bgp_peer *p = peer_of(b, peer);

	b->now = now;
	if (!p)
		return ERR_NOT_FOUND;
	p->backoff = 0;
	p->no_caps = false;
	bgp_peer_cease(p, CEASE_RESET, text);
	return 0;
}

int bgp_peer_refresh(struct bgp *b, uint32_t peer, enum bgp_family family, ts_t now)
{
	struct bgp_peer *p = peer_of(b, peer);
	struct wr w;

	b->now = now;
	if (!p)
		return ERR_NOT_FOUND;
	if (!p->up || !(p->families & BGP_FAM(family)))
		return ERR_STATE;
	if (!p->refresh)
		return ERR_UNSUPPORTED;
	bgp_conn_begin(p->up, &w);
	bgp_refresh_encode(&w, family, REFRESH_NORMAL);
	return bgp_conn_end(p->up, &w, 1);
}

/* Export again; without memory for that the session can't go on. */
static int regroup(struct bgp_peer *p)
{
	int err = p->up ? bgp_session_regroup(p) : 0;

	if (err < 0)
		bgp_peer_cease(p, CEASE_RESOURCES, NULL);
	return err;
}

int bgp_peer_repolicy(struct bgp *b, uint32_t peer, const struct bgp_policy *import,
	const struct bgp_policy *export, ts_t now)
{
	struct bgp_peer *p = peer_of(b, peer);

	b->now = now;
	if (!p)
		return ERR_NOT_FOUND;
	if (import)
		p->cfg.import = *import;
	if (export)
		p->cfg.export = *export;
	bgp_table_judge(p);
	return regroup(p);
}

int bgp_peer_graceful_shutdown(struct bgp *b, uint32_t peer, bool on, ts_t now)
{
	struct bgp_peer *p = peer_of(b, peer);

	b->now = now;
	if (!p)
		return ERR_NOT_FOUND;
	p->gshut = on;
	return regroup(p);
}

static bool nlri_ok(const struct bgp_nlri *n)
{
	struct pfx p;

	return n->family < BGP_FAMILIES && n->label < 1u << 20 &&
	       ip_bits(&n->pfx.ip) == bgp_family_bits(n->family) &&
	       pfx_make(&n->pfx.ip, n->pfx.len, &p) == 0 && pfx_eq(&p, &n->pfx);
}

int bgp_originate(struct bgp *b, uint32_t vni, const struct bgp_nlri *nlri,
	const struct bgp_attrs *attrs, ts_t now)
{
	struct bgp_attrs a = {.has = BGP_HAS_ORIGIN, .origin = BGP_ORIGIN_IGP};
	struct attr_set *set;
	struct rib *r;
	int err;

	b->now = now;
	if (!nlri_ok(nlri))
		return ERR_RANGE;
	if (attrs)
		a = *attrs;
	if (!(a.has & BGP_HAS_ORIGIN))
		a.origin = BGP_ORIGIN_INCOMPLETE;
	a.has |= BGP_HAS_ORIGIN | BGP_HAS_AS_PATH;
	if (!bgp_path_ok(a.as_path.p, a.as_path.len, 4) ||
		bgp_path_has_set(a.as_path.p, a.as_path.len, 4))
		return ERR_RANGE;
	r = bgp_rib_make(b, vni, &err);
	if (!r)
		return err;
	err = attr_intern(&b->attrs, &a, &set);
	if (err < 0)
		return err;
	err = bgp_path_set(b, r, NULL, nlri, set);
	attr_put(&b->attrs, set);
	return err;
}

int bgp_withdraw(struct bgp *b, uint32_t vni, const struct bgp_nlri *nlri, ts_t now)
{
	struct rib *r = bgp_rib(b, vni);

	b->now = now;
	if (!r || !nlri_ok(nlri) || !bgp_path_del(b, r, NULL, nlri))
		return ERR_NOT_FOUND;
	return 0;
}

void bgp_nexthops_changed(struct bgp *b, uint32_t vni, ts_t now)
{
	struct rib *r = bgp_rib(b, vni);

	b->now = now;
	if (r)
		bgp_table_mark(b, r);
}

int bgp_connected(struct bgp *b, uint32_t conn, const struct ip *local, ts_t now)
{
	struct bgp_conn *c = bgp_conn_find(b, conn);

	b->now = now;
	if (!c)
		return ERR_NOT_FOUND;
	bgp_fsm_connected(c, local);
	return 0;
}

int bgp_accepted(struct bgp *b, uint32_t vni, const struct ip *remote, const struct ip *local,
	ts_t now, uint32_t *conn)
{
	return bgp_accepted_on(b, vni, remote, 0, local, now, conn);
}

int bgp_accepted_on(struct bgp *b, uint32_t vni, const struct ip *remote, uint32_t scope,
	const struct ip *local, ts_t now, uint32_t *conn)
{
	struct bgp_peer *p = find_peer(b, vni, remote, scope);

	b->now = now;
	return p ? bgp_fsm_accept(p, local, conn) : ERR_NOT_FOUND;
}

int bgp_recv(struct bgp *b, uint32_t conn, const uint8_t *buf, size_t len, ts_t now)
{
	struct bgp_conn *c = bgp_conn_find(b, conn);

	b->now = now;
	return c ? bgp_fsm_recv(c, buf, len) : ERR_NOT_FOUND;
}

int bgp_closed(struct bgp *b, uint32_t conn, ts_t now)
{
	struct bgp_conn *c = bgp_conn_find(b, conn);
	struct list *l, *t;

	b->now = now;
	if (c) {
		bgp_fsm_closed(c);
		return 0;
	}
	list_each(&b->closing, l, t)
	{
		c = list_entry(l, struct bgp_conn, link);
		if (c->id == conn) {
			bgp_conn_free(c);
			return 0;
		}
	}
	return ERR_NOT_FOUND;
}

void bgp_tick(struct bgp *b, ts_t now)
{
	struct tq_node *n;

	b->now = now;
	while ((n = tq_pop(&b->timers, now)) != NULL) {
		struct bgp_timer *t = tq_entry(n, struct bgp_timer, n);

		if (t->kind == TIMER_DEFER)
			bgp_restart_timer(b);
		else if (t->kind >= TIMER_HOLD)
			bgp_conn_timer(t->owner, t->kind);
		else
			bgp_peer_timer(t->owner, t->kind);
	}
}

ts_t bgp_deadline(const struct bgp *b)
{
	return tq_deadline(&b->timers);
}

static bool next_line(struct bgp *b, struct bgp_act *out)
{
	struct log_line *line = &b->lines[b->line_head];

	if (!b->line_count)
		return false;
	memcpy(b->text, line->text, sizeof(line->text));
	*out = (struct bgp_act){.type = BGP_LOG, .peer = line->peer, .text = b->text};
	b->line_head = (b->line_head + 1) % LIM_BGP_LOG_LINES;
	b->line_count--;
	return true;
}

static bool next_state(struct bgp *b, struct bgp_act *out)
{
	struct bgp_peer *p;

	if (list_empty(&b->states))
		return false;
	p = list_entry(b->states.next, struct bgp_peer, state_link);
	list_del(&p->state_link);
	snprintf(b->text, sizeof(b->text), "%s", p->tell_error ? p->last_error : "");
	p->tell_error = false;
	*out = (struct bgp_act){.type = BGP_STATE,
		.peer = p->idx,
		.vni = p->cfg.vni,
		.remote = p->cfg.remote,
		.state = p->state,
		.text = b->text};
	return true;
}

/* A last word if there is room for it, then the end. */
static bool next_closing(struct bgp *b, struct bgp_act *out)
{
	struct bgp_conn *c;

	if (list_empty(&b->closing))
		return false;
	c = list_entry(b->closing.next, struct bgp_conn, link);
	*out = (struct bgp_act){.conn = c->id, .peer = c->id >> 16};
	if (c->out_tail > c->out_head && !c->offered) {
		c->offered = c->out_tail - c->out_head;
		out->type = BGP_SEND;
		out->buf = c->out + c->out_head;
		out->len = c->offered;
		return true;
	}
	out->type = BGP_CLOSE;
	bgp_conn_free(c);
	return true;
}

static bool next_connect(struct bgp *b, struct bgp_act *out)
{
	for (unsigned i = 1; b->connects && i <= LIM_BGP_PEERS; i++) {
		struct bgp_peer *p = b->peers[i];
		struct bgp_conn *c = p ? p->conn[SLOT_DIAL] : NULL;

		if (!c || !c->tell_connect)
			continue;
		c->tell_connect = false;
		b->connects--;
		*out = (struct bgp_act){.type = BGP_CONNECT,
			.conn = c->id,
			.vni = p->cfg.vni,
			.peer = p->idx,
			.remote = p->cfg.remote,
			.local = p->cfg.local};
		return true;
	}
	return false;
}

/* True and BGP_NONE: there is more to look at. */
static bool next_send(struct bgp *b, struct bgp_act *out)
{
	while (!list_empty(&b->senders)) {
		struct bgp_conn *c = list_entry(b->senders.next, struct bgp_conn, link);
		bool whole;

		if (c->offered) { /* bgp_written() puts it back */
			list_del(&c->link);
			continue;
		}
		whole = bgp_conn_fill(c);
		list_del(&c->link);
		if (c->out_tail == c->out_head) {
			if (whole)
				continue;
			list_add_tail(&b->senders, &c->link);
			return true;
		}
		c->offered = c->out_tail - c->out_head;
		*out = (struct bgp_act){.type = BGP_SEND,
			.conn = c->id,
			.peer = c->peer->idx,
			.buf = c->out + c->out_head,
			.len = c->offered};
		return true;
	}
	return false;
}

bool bgp_next(struct bgp *b, struct bgp_act *out)
{
	*out = (struct bgp_act){0};
	if (next_line(b, out) || next_state(b, out) || next_closing(b, out) || next_connect(b, out))
		return true;
	for (unsigned i = 0; i < PORTIONS; i++) {
		if (bgp_decide_next(b, out) || next_send(b, out))
			return true;
		if (!bgp_table_work(b))
			return false;
	}
	return true; /* BGP_NONE: there is more to do */
}
