/* bgpd.c - drives the BGP core: sockets to events, actions to sockets.
 *
 * Parts: bgp_sock.c opens sockets and sets their options, bgp_conn_io.c reads, writes and closes
 * connections, bgpd_gtsm.c keeps the listeners' filters, this file holds peers, listeners, the timer and
 * the turn.
 *
 * Data in: readable and writable sockets, connections at the listeners, time. Data out: bytes, and
 * routes to the ops of whoever made us. After every event bgpd_kick() takes the core's actions, for
 * TURN_TIME in a row, so that a full table does not hold up the loop: what is left is taken in the
 * loop's next turn, as is what a peer sent beyond BGPD_READ_BYTES.
 *
 * A connection is dialling, open or closing. A closing one has no number any more: our side is shut,
 * so that the last NOTIFICATION arrives (a close with unread bytes would reset it), and it goes when
 * the peer closes too, or after CLOSING_TIME.
 *
 * Bounds: LIM_BGP_PEERS peers with at most two connections each (the core's), LIM_BGP_CLOSING closing
 * ones. Failure: a socket that can't be made counts as a connection that failed, and the core tries
 * again later; a listener without descriptors pauses for ACCEPT_PAUSE. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "weft/err.h"
#include "weft/log.h"
#include "bgpd_int.h"
#include "sockaddr.h"

#define TURN_TIME     DUR_MS(3)
#define LOOK_EVERY    64 /* actions between two looks at the clock */
#define ACCEPT_BUDGET 16
#define ACCEPT_PAUSE  DUR_SEC(1)
#define HOST_TTL      64

static struct bgpd_peer *peer_by_id(const struct bgpd *d, uint32_t id)
{
	for (size_t i = 0; i < d->npeers; i++)
		if (d->peers[i].id == id)
			return &d->peers[i];
	return NULL;
}

static struct bgpd_peer *peer_by_addr(const struct bgpd *d, const struct ip *ip, uint32_t scope)
{
	for (size_t i = 0; i < d->npeers; i++)
		if (ip_eq(&d->peers[i].remote, ip) &&
			(!ip_is_link_local(ip) || d->peers[i].scope == scope))
			return &d->peers[i];
	return NULL;
}

static struct bgp_sock_cfg sock_cfg(const struct bgpd *d, const struct bgpd_peer *p)
{
	struct bgp_sock_cfg c = {.mark = p->unmarked ? 0 : d->mark, .password = p->password};
	uint8_t hops = p->hops ? p->hops : 1;

	c.ttl = p->ttl_security ? UINT8_MAX : p->ebgp ? hops : HOST_TTL;
	c.min_ttl = bgpd_min_ttl(p->ttl_security, p->hops);
	return c;
}

/* --- actions --- */

static void on_connect(struct bgpd *d, const struct bgp_act *a)
{
	static struct log_limit limit;
	const struct bgpd_peer *p = peer_by_id(d, a->peer);
	char text[EP_STRLEN];
	int fd = -ENOENT, err;

	if (p) {
		struct bgp_sock_cfg c = sock_cfg(d, p);

		fd = bgp_sock_dial(&a->remote, &a->local, &c);
	}
	err = fd < 0 ? fd : bgpd_conn_new(d, a->conn, a->peer, fd, true);
	if (err == 0)
		return;
	if (err == -EMFILE || err == -ENFILE || err == -ENOBUFS || err == ERR_NOMEM)
		d->st.socket_errors++;
	log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "bgp", "can't dial %s: %s",
		ep_fmt(&a->remote, text), err_str(err));
	(void)bgp_closed(d->core, a->conn, loop_now());
}

static void on_send(struct bgpd *d, const struct bgp_act *a)
{
	bgpd_conn_send(d, a->conn, a->buf, a->len);
}

static void on_close(struct bgpd *d, const struct bgp_act *a)
{
	bgpd_conn_close(d, a->conn);
}

static void on_route(struct bgpd *d, const struct bgp_act *a)
{
	if (!d->ending)
		d->ops->route(d->ctx, a);
}

static void on_state(struct bgpd *d, const struct bgp_act *a)
{
	const struct bgpd_peer *p = peer_by_id(d, a->peer);
	char text[IP_STRLEN] = "a former peer";

	if (p)
		ip_fmt(&p->remote, text);
	if (a->state == BGP_ESTABLISHED)
		log_info("bgp", "%s: established", text);
	else if (a->text[0])
		log_warn("bgp", "%s: %s: %s", text, bgp_state_str(a->state), a->text);
	else
		log_debug("bgp", "%s: %s", text, bgp_state_str(a->state));
	if (d->ops->state && !d->ending)
		d->ops->state(d->ctx, a);
}

static void on_log(struct bgpd *d, const struct bgp_act *a)
{
	static struct log_limit limit;
	const struct bgpd_peer *p = peer_by_id(d, a->peer);
	char text[IP_STRLEN] = "a former peer";

	if (p)
		ip_fmt(&p->remote, text);
	log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "bgp", "%s: %s", text, a->text);
}

static void (*const handlers[])(struct bgpd *d, const struct bgp_act *a) = {
	[BGP_CONNECT] = on_connect,
	[BGP_SEND] = on_send,
	[BGP_CLOSE] = on_close,
	[BGP_ROUTE] = on_route,
	[BGP_STATE] = on_state,
	[BGP_LOG] = on_log,
};

/* --- neighbours of a range --- */

static int peer_add(struct bgpd *d, const struct bgpd_peer_cfg *cfg, uint8_t range, uint32_t *peer);

static struct bgpd_peer *forgotten(struct bgpd *d)
{
	struct bgp_peer_info i;

	for (size_t k = 0; k < d->npeers; k++)
		if (d->peers[k].range && bgp_peer_get(d->core, d->peers[k].id, &i) == 0 &&
			i.state < BGP_OPENSENT && !i.restarting &&
			i.prefixes_received == 0) /* these go in portions first */
			return &d->peers[k];
	return NULL;
}

static void reap(struct bgpd *d)
{
	struct bgpd_peer *p;

	if (d->nranges == 0 || d->reaping || d->ending)
		return;
	d->reaping = true;
	while ((p = forgotten(d)) != NULL) {
		uint32_t id = p->id;

		(void)bgpd_peer_del(d, id);
		d->ops->peer_gone(d->ctx, id);
	}
	d->reaping = false;
}

/* One more than the number of the longest range with @ip; 0: none. */
static uint8_t range_of(const struct bgpd *d, const struct ip *ip)
{
	uint8_t found = 0;

	for (uint8_t i = 0; i < d->nranges; i++)
		if (pfx_has_ip(&d->ranges[i].range, ip) &&
			(!found || d->ranges[i].range.len > d->ranges[found - 1].range.len))
			found = (uint8_t)(i + 1);
	return found;
}

/* Who connects from @remote may be a neighbour of a range; NULL: not, or its range is full. */
static const struct bgpd_peer *admit(struct bgpd *d, const struct ep *remote)
{
	struct bgpd_peer_cfg cfg;
	const struct bgpd_range_cfg *r;
	uint32_t members = 0, id;
	uint8_t range = range_of(d, &remote->ip);
	struct bgpd_peer *p;
	int err;

	if (!range)
		return NULL;
	r = &d->ranges[range - 1];
	for (size_t i = 0; i < d->npeers; i++)
		members += d->peers[i].range == range;
	if (members >= r->limit)
		return NULL;
	cfg = r->peer;
	cfg.core.passive = true;
	cfg.core.remote = *remote;
	cfg.core.remote.port = 0;
	d->reaping = true; /* it has no connection yet */
	err = peer_add(d, &cfg, range, &id);
	d->reaping = false;
	explicit_bzero(cfg.password, sizeof(cfg.password));
	p = err ? NULL : peer_by_id(d, id);
	if (!p)
		return NULL;
	d->ops->peer_new(d->ctx, r->tag, id, remote);
	return p;
}

/* Tell the listeners of its family the key of @whose. Their filters give way where there is no room for
 * both: who has no key can't connect at all. */
static int listeners_password(struct bgpd *d, const struct pfx *whose, const char *password)
{
	bool dropped = false;
	int first = 0;

	for (size_t i = 0; i < d->nlisten; i++) {
		struct bgpd_listener *l = &d->listeners[i];
		int err = bgp_sock_password(l->fd, whose, password);

		if (err == -ENOMEM && l->tag) {
			bgpd_gtsm_drop(l);
			dropped = true;
			err = bgp_sock_password(l->fd, whose, password);
		}
		if (err && err != -EAFNOSUPPORT && !first)
			first = err;
	}
	if (dropped)
		bgpd_gtsm_update(d, NULL);
	return first;
}

int bgpd_range_add(struct bgpd *d, const struct bgpd_range_cfg *cfg)
{
	if (d->nranges == BGPD_RANGES_MAX)
		return ERR_FULL;
	if (!d->ranges)
		d->ranges = calloc(BGPD_RANGES_MAX, sizeof(*d->ranges));
	if (!d->ranges)
		return ERR_NOMEM;
	if (cfg->peer.password[0]) {
		int err = listeners_password(d, &cfg->range, cfg->peer.password);

		if (err)
			return err;
	}
	d->ranges[d->nranges++] = *cfg;
	bgpd_gtsm_update(d, NULL);
	return 0;
}

int bgpd_range_password(struct bgpd *d, uint32_t tag, const char *password)
{
	size_t len = strlen(password);
	int err = ERR_NOT_FOUND;

	if (len > BGPD_PASSWORD_MAX)
		return ERR_RANGE;
	for (size_t r = 0; r < d->nranges; r++) {
		struct bgpd_range_cfg *range = &d->ranges[r];

		if (range->tag != tag)
			continue;
		err = listeners_password(d, &range->range, password);
		if (err)
			return err;
		explicit_bzero(range->peer.password, sizeof(range->peer.password));
		memcpy(range->peer.password, password, len);
		for (size_t i = 0; i < d->npeers && !err; i++)
			if (d->peers[i].range == r + 1)
				err = bgpd_peer_password(d, d->peers[i].id, password);
		if (err)
			return err;
	}
	return err;
}

/* Carry out actions for a turn; false: that was all. */
static bool take_actions(struct bgpd *d)
{
	ts_t until = ts_add(loop_now(), TURN_TIME);
	struct bgp_act a;

	for (unsigned n = 1; bgp_next(d->core, &a); n++) {
		if ((size_t)a.type < sizeof(handlers) / sizeof(handlers[0]) && handlers[a.type])
			handlers[a.type](d, &a);
		/* At the end all last words go out, which come first; tables don't matter any more. */
		if (d->ending && (a.type == BGP_ROUTE || a.type == BGP_NONE))
			return true;
		/* Work on whole tables takes longer than an action. */
		if (!d->ending && (a.type == BGP_NONE || n % LOOK_EVERY == 0) &&
			ts_due(until, loop_now()))
			return true;
	}
	return false;
}

void bgpd_kick(struct bgpd *d)
{
	bool more;
	ts_t when;

	if (d->busy) /* a callback that kicks: the run it is in goes on anyway */
		return;
	d->busy = true;
	more = take_actions(d);
	if (!d->ending)
		d->ops->flush(d->ctx);
	d->busy = false;
	reap(d);
	when = more ? loop_now() : bgp_deadline(d->core);
	when = ts_min(when, bgpd_conn_deadline(d));
	loop_timer_set(d->timer, ts_min(when, d->accept_again));
}

static void on_timer(void *ctx)
{
	struct bgpd *d = ctx;
	ts_t now = loop_now();

	bgpd_conn_expire(d, now);
	if (ts_due(d->accept_again, now)) {
		d->accept_again = TS_NEVER;
		for (size_t i = 0; i < d->nlisten; i++)
			(void)loop_io_set(d->listeners[i].io, LOOP_READ);
	}
	if (ts_due(bgp_deadline(d->core), now))
		bgp_tick(d->core, now);
	bgpd_kick(d);
}

/* --- listeners --- */

/* Out of descriptors or memory: leave the peer in the backlog instead of spinning. */
static void pause_accept(struct bgpd *d, int err)
{
	static struct log_limit limit;

	d->st.socket_errors++;
	d->accept_again = ts_add(loop_now(), ACCEPT_PAUSE);
	for (size_t i = 0; i < d->nlisten; i++)
		(void)loop_io_set(d->listeners[i].io, 0);
	log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "bgp",
		"can't accept connections: %s; trying again", err_str(err));
}

static void take_in(
	const struct bgpd_listener *l, int fd, const struct ep *remote, const struct ip *local)
{
	static struct log_limit limit;
	struct bgpd *d = l->d;
	const struct bgpd_peer *p = peer_by_addr(d, &remote->ip, remote->scope);
	char text[IP_STRLEN];
	uint32_t conn = 0;
	int err = ERR_NOT_FOUND;

	if (!p && d->nranges > 0)
		p = admit(d, remote);
	if (p) {
		struct bgp_sock_cfg c = sock_cfg(d, p);

		err = bgp_sock_setup(fd, &c);
		if (!err && c.min_ttl && !bgpd_gtsm_trusts(l, fd))
			err = ERR_STALE;
		(void)bgp_sock_filter(fd, NULL, 0); /* IP_MINTTL does that from now on, for less */
		if (!err)
			err = bgp_accepted_on(
				d->core, d->vni, &remote->ip, p->scope, local, loop_now(), &conn);
	}
	if (err) {
		d->st.refused++;
		log_limited(&limit, loop_now().ns, LOG_LVL_INFO, "bgp",
			"a connection of %s is refused: %s", ip_fmt(&remote->ip, text),
			!p ? "no such peer"
			: err == ERR_STALE
				? "it spoke before its neighbour's ttl-security was in force"
				: err_str(err));
		close(fd);
		return;
	}
	d->st.accepted++;
	if (bgpd_conn_new(d, conn, p->id, fd, false) != 0) {
		d->st.socket_errors++;
		(void)bgp_closed(d->core, conn, loop_now());
	}
}

static void on_listener(void *ctx, int events)
{
	struct bgpd_listener *l = ctx;
	struct bgpd *d = l->d;

	(void)events;
	for (unsigned i = 0; i < ACCEPT_BUDGET; i++) {
		struct ep remote;
		struct ip local;
		int fd = bgp_sock_accept(l->fd, &remote, &local);

		if (fd == -EAGAIN)
			break;
		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
			pause_accept(d, fd);
			break;
		}
		if (fd >= 0)
			take_in(l, fd, &remote, &local);
		/* else: it was gone before we came (ECONNABORTED and the like) */
	}
	bgpd_kick(d);
}

static int open_listeners(struct bgpd *d, const struct bgpd_cfg *cfg, char *why, size_t why_len)
{
	char text[EP_STRLEN];

	for (size_t i = 0; i < cfg->nlisten && i < BGPD_LISTEN_MAX; i++) {
		struct bgpd_listener *l = &d->listeners[i];
		int fd = bgp_sock_listen(&cfg->listen[i], cfg->mark);

		if (fd < 0) {
			(void)snprintf(why, why_len, "can't listen on %s: %s",
				ep_fmt(&cfg->listen[i], text), err_str(fd));
			return fd;
		}
		l->fd = fd;
		l->d = d;
		l->v6 = cfg->listen[i].ip.family == IP_V6;
		l->room = GTSM_INSNS_MAX;
		d->nlisten++;
		l->io = loop_io_new(d->loop, fd, LOOP_READ, on_listener, l);
		if (!l->io)
			return ERR_NOMEM;
	}
	return 0;
}

/* --- peers --- */

static int peer_add(struct bgpd *d, const struct bgpd_peer_cfg *cfg, uint8_t range, uint32_t *peer)
{
	const struct pfx whose = sockaddr_host(&cfg->core.remote.ip);
	struct bgpd_peer *p, *peers;
	bool filtered;
	int err;

	peers = realloc(d->peers, (d->npeers + 1) * sizeof(*peers));
	if (!peers)
		return ERR_NOMEM;
	d->peers = peers;
	if (cfg->password[0]) {
		err = listeners_password(d, &whose, cfg->password);
		if (err)
			return err;
	}
	p = &peers[d->npeers];
	*p = (struct bgpd_peer){.remote = cfg->core.remote.ip,
		.scope = cfg->core.remote.scope,
		.range = range,
		.hops = cfg->hops,
		.ttl_security = cfg->ttl_security,
		.unmarked = cfg->unmarked,
		.ebgp = cfg->core.remote_as != d->local_as};
	/* Before it is a peer: nothing unjudged of it may wait by then. Those of a range are judged. */
	filtered = range == 0 && bgpd_gtsm_concerns(d, p);
	if (filtered)
		bgpd_gtsm_update(d, p);
	err = bgp_peer_add(d->core, &cfg->core, loop_now(), peer);
	if (err) {
		if (err != ERR_EXISTS && cfg->password[0])
			(void)listeners_password(d, &whose, "");
		if (filtered)
			bgpd_gtsm_update(d, NULL);
		return err;
	}
	p->id = *peer;
	memcpy(p->password, cfg->password, sizeof(p->password));
	d->npeers++;
	bgpd_kick(d);
	return 0;
}

int bgpd_peer_add(struct bgpd *d, const struct bgpd_peer_cfg *cfg, uint32_t *peer)
{
	return peer_add(d, cfg, 0, peer);
}

int bgpd_peer_del(struct bgpd *d, uint32_t peer)
{
	struct bgpd_peer *p = peer_by_id(d, peer);
	struct pfx whose;
	bool filtered;

	if (!p)
		return ERR_NOT_FOUND;
	(void)bgp_peer_del(d->core, peer, loop_now());
	bgpd_kick(d);
	p = peer_by_id(d, peer); /* others may have gone, and it to another place */
	if (!p)
		return 0;
	whose = sockaddr_host(&p->remote);
	if (p->password[0])
		(void)listeners_password(d, &whose, "");
	filtered = p->range == 0 && bgpd_gtsm_concerns(d, p);
	*p = d->peers[--d->npeers];
	explicit_bzero(&d->peers[d->npeers], sizeof(*p));
	if (filtered)
		bgpd_gtsm_update(d, NULL);
	return 0;
}

int bgpd_peer_password(struct bgpd *d, uint32_t peer, const char *password)
{
	struct bgpd_peer *p = peer_by_id(d, peer);
	size_t len = strlen(password);
	struct pfx whose;
	int err;

	if (!p)
		return ERR_NOT_FOUND;
	if (len > BGPD_PASSWORD_MAX)
		return ERR_RANGE;
	whose = sockaddr_host(&p->remote);
	err = listeners_password(d, &whose, password);
	if (err)
		return err;
	explicit_bzero(p->password, sizeof(p->password));
	memcpy(p->password, password, len);
	return bgpd_conn_password(d, peer, &p->remote, password);
}

/* --- life --- */

/* Small chunks that are freed join their neighbours at once. Else glibc collects them, and the next big
 * free() does all of a table's, which is tens of milliseconds. */
static void spread_frees(void)
{
#ifdef M_MXFAST
	(void)mallopt(M_MXFAST, 0);
#endif
}

int bgpd_new(const struct bgpd_cfg *cfg, struct bgpd **out, char *why, size_t why_len)
{
	uint8_t seed[16];
	struct bgpd *d = calloc(1, sizeof(*d));
	int err = ERR_NOMEM;

	if (why_len > 0)
		why[0] = '\0';
	if (!d)
		return ERR_NOMEM;
	spread_frees();
	d->loop = cfg->loop;
	d->ops = cfg->ops;
	d->ctx = cfg->ctx;
	d->vni = cfg->vni;
	d->mark = cfg->mark;
	d->local_as = cfg->core.local_as;
	d->accept_again = TS_NEVER;
	list_init(&d->closing);
	/* The keys of this map are numbers of our own core: nobody can aim at a bucket. */
	memset(seed, 0, sizeof(seed));
	memcpy(seed, &cfg->core.seed, sizeof(cfg->core.seed));
	d->conns = map_new(sizeof(uint32_t), 2 * LIM_BGP_PEERS, seed);
	d->timer = loop_timer_new(d->loop, on_timer, d);
	if (!d->conns || !d->timer)
		goto fail;
	d->core = bgp_new(&cfg->core, loop_now());
	if (!d->core) {
		err = ERR_CONFIG;
		goto fail;
	}
	err = open_listeners(d, cfg, why, why_len);
	if (err)
		goto fail;
	*out = d;
	return 0;
fail:
	if (why_len > 0 && !why[0])
		(void)snprintf(why, why_len, "%s", err_str(err));
	bgpd_free(d);
	return err;
}

void bgpd_leave(struct bgpd *d)
{
	d->ending = true;
	for (size_t i = 0; i < d->npeers; i++)
		(void)bgp_peer_leave(d->core, d->peers[i].id, loop_now());
	bgpd_kick(d);
}

void bgpd_free(struct bgpd *d)
{
	if (!d)
		return;
	d->ending = true;
	for (size_t i = 0; i < d->npeers; i++)
		(void)bgp_peer_stop(d->core, d->peers[i].id, NULL, loop_now());
	if (d->npeers > 0)
		bgpd_kick(d);
	bgpd_conn_free_all(d);
	for (size_t i = 0; i < d->nlisten; i++) {
		loop_io_free(d->listeners[i].io);
		close(d->listeners[i].fd);
	}
	loop_timer_free(d->timer);
	bgp_free(d->core);
	map_free(d->conns);
	if (d->ranges)
		explicit_bzero(d->ranges, BGPD_RANGES_MAX * sizeof(*d->ranges));
	free(d->ranges);
	if (d->peers)
		explicit_bzero(d->peers, d->npeers * sizeof(*d->peers));
	free(d->peers);
	free(d);
}

struct bgp *bgpd_core(struct bgpd *d)
{
	return d->core;
}

void bgpd_stats(const struct bgpd *d, struct bgpd_stats *out)
{
	*out = d->st;
	out->connections = map_count(d->conns) + d->nclosing;
}
