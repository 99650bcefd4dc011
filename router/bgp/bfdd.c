/* bfdd.c - drives the BFD core, on a thread.
 *
 * Sockets: a listener for each family and kind of hops, opened with the first session that needs it
 * and closed with the last; and one to send by for each session, since each has a source port of its
 * own (RFC 5881 4). The thread waits for listeners, for the core's deadline, or to be woken because the
 * loop changed something. Packets that wait are read before the core may judge silence, at most
 * READ_BUDGET in a row, so that a flood holds up nothing.
 *
 * One lock guards everything but the wait. It is held for short work without waiting; the loop's
 * thread takes it to add, end and look. The news of a session are left with it, and the loop is woken to
 * tell them: the newest state, and that there was a failure, even if all is well again.
 *
 * Failure: a packet that the kernel doesn't take counts as lost on the way. */
#include "bfdd.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
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
	unsigned sessions;
	int fd;
	bool multihop;
};

struct session {
	uint32_t id;
	int fd;
	struct ep to;
	struct listener *l;
	struct bfd_act news; /* not told yet: its type is BFD_STATE */
};

struct bfdd {
	const struct bfdd_ops *ops;
	void *ctx;
	struct bfd *core;
	uint32_t mark;
	struct prng prng;
	struct map *sessions; /* by number */
	struct listener listeners[LISTENERS];
	pthread_t thread;
	pthread_mutex_t lock;
	struct loop_wake *tell; /* there are news */
	int wake;               /* eventfd: something changed, look again */
	bool ending;            /* the ops hear nothing any more */
	bool started, quit;     /* the thread */
	struct bfdd_stats st;
};

/* --- actions --- */

static void on_send(struct bfdd *d, const struct bfd_act *a)
{
	static struct log_limit limit; /* under the lock of whichever driver there is */
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

static void leave_news(struct bfdd *d, const struct bfd_act *a)
{
	struct session *s = map_get(d->sessions, &a->id);
	struct bfd_act old;

	if (!s || d->ending)
		return;
	old = s->news;
	s->news = *a;
	if (old.type == BFD_STATE && old.failed && !a->failed) {
		s->news.failed = true;
		s->news.diag = old.diag;
		s->news.remote_cpi = old.remote_cpi;
		s->news.heard = old.heard;
	}
	loop_wake_fire(d->tell);
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
	leave_news(d, a);
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

/* The loop's thread changed something, and holds the lock. */
static void kick(struct bfdd *d)
{
	act(d);
	(void)eventfd_write(d->wake, 1);
}

/* In the loop: the ops may do what they like, but not while the lock is held. */
static void on_news(void *ctx)
{
	struct bfdd *d = ctx;
	struct bfd_act news;
	size_t it = 0;
	void *v;

	/* None is added or ended meanwhile: only this thread does that. */
	while (map_next(d->sessions, &it, NULL, &v)) {
		struct session *s = v;

		pthread_mutex_lock(&d->lock);
		news = s->news;
		s->news.type = BFD_NONE;
		pthread_mutex_unlock(&d->lock);
		if (news.type == BFD_STATE)
			d->ops->state(d->ctx, &news);
	}
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

/* Wait for a packet, a change or the deadline; the lock is not held meanwhile. */
static void wait_for_work(struct bfdd *d)
{
	struct pollfd fds[LISTENERS + 1] = {{.fd = d->wake, .events = POLLIN}};
	ts_t due = bfd_deadline(d->core), now = loop_now();
	struct timespec limit = {0};
	eventfd_t n;

	for (unsigned i = 0; i < LISTENERS; i++)
		fds[i + 1] = (struct pollfd){
			.fd = d->listeners[i].sessions > 0 ? d->listeners[i].fd : -1,
			.events = POLLIN};
	if (!ts_is_never(due) && !ts_due(due, now)) {
		int64_t ns = ts_sub(due, now).ns;

		limit = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
	}
	pthread_mutex_unlock(&d->lock);
	(void)ppoll(fds, LISTENERS + 1, ts_is_never(due) ? NULL : &limit, NULL);
	if (fds[0].revents)
		(void)eventfd_read(d->wake, &n);
	pthread_mutex_lock(&d->lock);
}

static void *run(void *arg)
{
	struct bfdd *d = arg;

	(void)loop_prompt();
	pthread_mutex_lock(&d->lock);
	while (!d->quit) {
		ts_t due = bfd_deadline(d->core);
		int64_t late_us;

		/* All of them: what was closed meanwhile has no sessions, and reading costs little. */
		for (unsigned i = 0; i < LISTENERS; i++)
			if (d->listeners[i].sessions > 0)
				read_listener(&d->listeners[i]);
		if (ts_due(due, loop_now())) {
			late_us = ts_sub(loop_now(), due).ns / 1000;
			if (late_us > 0 && (uint64_t)late_us > d->st.late_max_us)
				d->st.late_max_us = (uint64_t)late_us;
			bfd_tick(d->core, loop_now());
		}
		act(d);
		wait_for_work(d);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static int start_thread(struct bfdd *d)
{
	int err = loop_thread_begin(&d->thread, NULL, run, d);

	d->started = err == 0;
	return err;
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
	l->sessions = 1;
	return 0;
}

static void listener_put(struct listener *l)
{
	if (--l->sessions > 0)
		return;
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

static int add(
	struct bfdd *d, const struct bfd_session_cfg *cfg, uint32_t *id, char *why, size_t why_len)
{
	struct session *s;
	int err;

	if (why_len > 0)
		why[0] = '\0';
	/* The core first: it alone knows what a session may be. Its packet waits until the lock is released. */
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
	return 0;
}

int bfdd_add(
	struct bfdd *d, const struct bfd_session_cfg *cfg, uint32_t *id, char *why, size_t why_len)
{
	int err;

	pthread_mutex_lock(&d->lock);
	err = add(d, cfg, id, why, why_len);
	kick(d);
	pthread_mutex_unlock(&d->lock);
	return err;
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
	struct session *s;

	pthread_mutex_lock(&d->lock);
	s = map_get(d->sessions, &id);
	if (s)
		session_end(d, s);
	kick(d);
	pthread_mutex_unlock(&d->lock);
	return s ? 0 : ERR_NOT_FOUND;
}

int bfdd_admin(struct bfdd *d, uint32_t id, bool down)
{
	int err;

	pthread_mutex_lock(&d->lock);
	err = bfd_admin(d->core, id, down, loop_now());
	kick(d);
	pthread_mutex_unlock(&d->lock);
	return err;
}

int bfdd_retime(struct bfdd *d, uint32_t id, uint32_t min_tx_us, uint32_t min_rx_us, uint8_t mult)
{
	int err;

	pthread_mutex_lock(&d->lock);
	err = bfd_retime(d->core, id, min_tx_us, min_rx_us, mult, loop_now());
	kick(d);
	pthread_mutex_unlock(&d->lock);
	return err;
}

/* --- life --- */

struct bfdd *bfdd_new(const struct bfdd_cfg *cfg)
{
	struct bfdd *d = calloc(1, sizeof(*d));
	uint64_t n;

	if (!d)
		return NULL;
	d->ops = cfg->ops;
	d->ctx = cfg->ctx;
	d->mark = cfg->mark;
	memcpy(&n, cfg->seed + 8, sizeof(n));
	prng_seed(&d->prng, n);
	pthread_mutex_init(&d->lock, NULL);
	d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->core = bfd_new(cfg->seed);
	d->sessions = map_new(sizeof(uint32_t), LIM_BFD_SESSIONS, cfg->seed);
	d->tell = loop_wake_new(cfg->loop, on_news, d);
	if (d->wake < 0 || !d->core || !d->sessions || !d->tell || start_thread(d) != 0) {
		bfdd_free(d);
		return NULL;
	}
	return d;
}

void bfdd_free(struct bfdd *d)
{
	size_t it = 0;
	void *v;

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->ending = true;
	while (d->sessions && map_next(d->sessions, &it, NULL, &v))
		session_end(d, v);
	d->quit = true;
	if (d->started)
		(void)eventfd_write(d->wake, 1);
	pthread_mutex_unlock(&d->lock);
	if (d->started)
		pthread_join(d->thread, NULL);
	loop_wake_free(d->tell);
	if (d->wake >= 0)
		close(d->wake);
	map_free(d->sessions);
	bfd_free(d->core);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

int bfdd_get(struct bfdd *d, uint32_t id, struct bfd_info *out)
{
	int err;

	pthread_mutex_lock(&d->lock);
	err = bfd_get(d->core, id, out);
	pthread_mutex_unlock(&d->lock);
	return err;
}

void bfdd_core_stats(struct bfdd *d, struct bfd_stats *out)
{
	pthread_mutex_lock(&d->lock);
	bfd_stats(d->core, out);
	pthread_mutex_unlock(&d->lock);
}

void bfdd_stats(struct bfdd *d, struct bfdd_stats *out)
{
	pthread_mutex_lock(&d->lock);
	*out = d->st;
	pthread_mutex_unlock(&d->lock);
}
