/* bfdd.c - drives the BFD core.
 *
 * Sockets: a listener for each family and kind of hops, opened with the first session that needs it
 * and closed with the last; and one to send by for each session, since each has a source port of its
 * own (RFC 5881 4). Listeners are read when they are readable, at the loop's usual turn and at most
 * READ_BUDGET packets in a row, so that a flood holds up nothing; and once more by the timer, which is
 * urgent, before it lets the core judge silence.
 *
 * Failure: a packet that the kernel doesn't take counts as lost on the way. */
#include "bfdd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bfd_sock.h"
#include "map.h"
#include "prng.h"
#include "weft/err.h"
#include "weft/log.h"

#define READ_BUDGET 256
#define PACKET_ROOM 256 /* a packet's own length is a byte */
#define PORT_TRIES  64
#define LISTENERS   4

struct listener {
	struct bfdd *d;
	struct loop_io *io;
	unsigned sessions;
	int fd;
	bool multihop;
};

struct session {
	uint32_t id;
	int fd;
	struct ep to;
	struct listener *l;
};

struct bfdd {
	struct loop *loop;
	const struct bfdd_ops *ops;
	void *ctx;
	struct bfd *core;
	uint32_t mark;
	struct prng prng;
	struct map *sessions; /* by number */
	struct listener listeners[LISTENERS];
	struct loop_timer *timer;
	ts_t due;    /* what the timer is set for */
	bool ending; /* the ops hear nothing any more */
	struct bfdd_stats st;
};

/* --- actions --- */

static void on_send(struct bfdd *d, const struct bfd_act *a)
{
	static struct log_limit limit;
	const struct session *s = map_get(d->sessions, &a->id);
	char text[EP_STRLEN];
	int err;

	if (!s)
		return;
	err = bfd_sock_send(s->fd, &s->to, a->buf, sizeof(a->buf));
	if (!err)
		return;
	d->st.send_errors++;
	log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "bfd", "can't send to %s: %s",
		ep_fmt(&s->to, text), err_str(err));
}

static void on_state(struct bfdd *d, const struct bfd_act *a)
{
	static struct log_limit limit; /* a peer can flap as fast as it sends */
	char text[IP_STRLEN];

	ip_fmt(&a->cfg->remote, text);
	if (a->failed)
		log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "bfd", "%s: down: %s", text,
			bfd_diag_str(a->diag));
	else if (a->state == BFD_UP)
		log_limited(&limit, loop_now().ns, LOG_LVL_INFO, "bfd", "%s: up", text);
	else
		log_debug("bfd", "%s: %s", text, bfd_state_str(a->state));
	if (!d->ending)
		d->ops->state(d->ctx, a);
}

static void on_refused(struct bfdd *d, const struct bfd_act *a)
{
	static struct log_limit limit;
	char text[IP_STRLEN];

	log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "bfd", "%s: %s",
		ip_fmt(&a->cfg->remote, text), a->text);
}

static void act(struct bfdd *d)
{
	struct bfd_act a;

	while (bfd_next(d->core, &a)) {
		if (a.type == BFD_SEND)
			on_send(d, &a);
		else if (a.type == BFD_STATE)
			on_state(d, &a);
		else if (a.type == BFD_REFUSED)
			on_refused(d, &a);
	}
}

static void kick(struct bfdd *d)
{
	act(d);
	d->due = bfd_deadline(d->core);
	loop_timer_set(d->timer, d->due);
}

/* --- packets and time --- */

static void read_listener(struct listener *l)
{
	struct bfdd *d = l->d;
	uint8_t buf[PACKET_ROOM];

	for (unsigned i = 0; i < READ_BUDGET; i++) {
		struct bfd_from from = {.multihop = l->multihop};
		int n = bfd_sock_recv(l->fd, buf, sizeof(buf), &from);

		if (n == -EAGAIN)
			return;
		if (n < 0) {
			d->st.recv_errors++;
			continue;
		}
		(void)bfd_recv(d->core, &from, buf, (size_t)n, loop_now());
		act(d); /* each poll has an answer of its own */
	}
}

static void on_listener(void *ctx, int events)
{
	struct listener *l = ctx;

	(void)events;
	read_listener(l);
	kick(l->d);
}

static void on_timer(void *ctx)
{
	struct bfdd *d = ctx;
	int64_t late_us = ts_sub(loop_now(), d->due).ns / 1000;

	if (late_us > 0 && (uint64_t)late_us > d->st.late_max_us)
		d->st.late_max_us = (uint64_t)late_us;
	for (unsigned i = 0; i < LISTENERS; i++)
		if (d->listeners[i].sessions > 0)
			read_listener(&d->listeners[i]);
	bfd_tick(d->core, loop_now());
	kick(d);
}

/* --- sockets --- */

static int listener_get(struct bfdd *d, bool v6, bool multihop, struct listener **out)
{
	struct listener *l = &d->listeners[2 * multihop + v6];
	int fd;

	*out = l;
	if (l->sessions > 0) {
		l->sessions++;
		return 0;
	}
	fd = bfd_sock_listen(v6 ? IP_V6 : IP_V4, multihop);
	if (fd < 0)
		return fd;
	*l = (struct listener){.d = d, .fd = fd, .multihop = multihop};
	l->io = loop_io_new(d->loop, fd, LOOP_READ, on_listener, l);
	if (!l->io) {
		close(fd);
		return ERR_NOMEM;
	}
	l->sessions = 1;
	return 0;
}

static void listener_put(struct listener *l)
{
	if (--l->sessions > 0)
		return;
	loop_io_free(l->io);
	close(l->fd);
}

static int open_sender(struct bfdd *d, const struct bfd_session_cfg *cfg)
{
	int fd = -EADDRINUSE;

	for (unsigned i = 0; i < PORT_TRIES && fd == -EADDRINUSE; i++)
		fd = bfd_sock_sender((enum ip_family)cfg->remote.family, &cfg->local,
			(uint16_t)(BFD_SOURCE_FIRST +
				   prng_below(&d->prng, BFD_SOURCE_LAST - BFD_SOURCE_FIRST + 1)),
			d->mark);
	return fd;
}

/* --- sessions --- */

static int session_open(struct bfdd *d, struct session *s, const struct bfd_session_cfg *cfg,
	char *why, size_t why_len)
{
	int port = cfg->multihop ? BFD_PORT_MULTI_HOP : BFD_PORT_ONE_HOP, err;
	char text[IP_STRLEN];

	s->to = (struct ep){.ip = cfg->remote, .port = (uint16_t)port, .scope = cfg->scope};
	s->fd = open_sender(d, cfg);
	if (s->fd < 0) {
		(void)snprintf(why, why_len, "can't send from %s: %s",
			cfg->local.family == IP_NONE ? "any address" : ip_fmt(&cfg->local, text),
			err_str(s->fd));
		return s->fd;
	}
	err = listener_get(d, cfg->remote.family == IP_V6, cfg->multihop, &s->l);
	if (err) {
		(void)snprintf(why, why_len, "can't listen on UDP port %d: %s%s", port,
			err_str(err),
			err == -EADDRINUSE ? "; another program on this host speaks BFD" : "");
		close(s->fd);
	}
	return err;
}

int bfdd_add(
	struct bfdd *d, const struct bfd_session_cfg *cfg, uint32_t *id, char *why, size_t why_len)
{
	struct session *s;
	int err;

	if (why_len > 0)
		why[0] = '\0';
	/* The core first: it alone knows what a session may be. Its packet waits until kick(). */
	err = bfd_add(d->core, cfg, loop_now(), id);
	if (err) {
		(void)snprintf(why, why_len, "%s", err_str(err));
		return err;
	}
	s = calloc(1, sizeof(*s));
	err = s ? session_open(d, s, cfg, why, why_len) : ERR_NOMEM;
	if (err) {
		free(s);
		(void)bfd_del(d->core, *id);
		return err;
	}
	s->id = *id;
	err = map_put(d->sessions, id, s);
	if (err) {
		listener_put(s->l);
		close(s->fd);
		free(s);
		(void)bfd_del(d->core, *id);
		return err;
	}
	kick(d);
	return 0;
}

static void session_end(struct bfdd *d, struct session *s)
{
	(void)bfd_admin(d->core, s->id, true, loop_now());
	act(d);
	(void)bfd_del(d->core, s->id);
	(void)map_del(d->sessions, &s->id);
	listener_put(s->l);
	close(s->fd);
	free(s);
}

int bfdd_del(struct bfdd *d, uint32_t id)
{
	struct session *s = map_get(d->sessions, &id);

	if (!s)
		return ERR_NOT_FOUND;
	session_end(d, s);
	kick(d);
	return 0;
}

int bfdd_admin(struct bfdd *d, uint32_t id, bool down)
{
	int err = bfd_admin(d->core, id, down, loop_now());

	kick(d);
	return err;
}

int bfdd_retime(struct bfdd *d, uint32_t id, uint32_t min_tx_us, uint32_t min_rx_us, uint8_t mult)
{
	int err = bfd_retime(d->core, id, min_tx_us, min_rx_us, mult, loop_now());

	kick(d);
	return err;
}

/* --- life --- */

struct bfdd *bfdd_new(const struct bfdd_cfg *cfg)
{
	struct bfdd *d = calloc(1, sizeof(*d));
	uint64_t n;

	if (!d)
		return NULL;
	d->loop = cfg->loop;
	d->ops = cfg->ops;
	d->ctx = cfg->ctx;
	d->mark = cfg->mark;
	memcpy(&n, cfg->seed + 8, sizeof(n));
	prng_seed(&d->prng, n);
	d->core = bfd_new(cfg->seed);
	d->sessions = map_new(sizeof(uint32_t), LIM_BFD_SESSIONS, cfg->seed);
	d->timer = loop_timer_new(d->loop, on_timer, d);
	if (!d->core || !d->sessions || !d->timer) {
		bfdd_free(d);
		return NULL;
	}
	loop_timer_urgent(d->timer);
	return d;
}

void bfdd_free(struct bfdd *d)
{
	size_t it = 0;
	void *v;

	if (!d)
		return;
	d->ending = true;
	while (d->sessions && map_next(d->sessions, &it, NULL, &v))
		session_end(d, v);
	loop_timer_free(d->timer);
	map_free(d->sessions);
	bfd_free(d->core);
	free(d);
}

const struct bfd *bfdd_core(const struct bfdd *d)
{
	return d->core;
}

void bfdd_stats(const struct bfdd *d, struct bfdd_stats *out)
{
	*out = d->st;
}
