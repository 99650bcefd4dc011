/* ctl_srv.c - the 0600 Unix socket that weft talks to. One request in, one reply out, any number
 * per connection; a client that is slow, silent or sends nonsense holds only its own place, and at
 * most LIM_CTL_CLIENTS hold one. Further callers wait in the listen queue, not for long: who has been
 * silent for CLIENT_YIELD makes room. Commands are in ctl_cmds.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "weft/err.h"
#include "daemon_int.h"

#define CLIENT_IDLE  DUR_SEC(60)
#define CLIENT_YIELD DUR_SEC(5) /* the same while others wait for a place */
#define ACCEPT_PAUSE DUR_SEC(1) /* no place, descriptor or memory is free: look again after */

struct client {
	struct ctl_srv *srv;
	struct loop_io *io;
	int fd;
	uint8_t *in; /* LIM_CTL_REQUEST_BYTES + 4 */
	size_t in_len;
	uint8_t *out; /* owned reply, NULL: none */
	size_t out_len, out_done;
	bool stop_after;
	ts_t last;
};

struct ctl_srv {
	struct daemon *d;
	struct loop_io *io;
	struct loop_timer *idle, *pause;
	int fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct client *clients[LIM_CTL_CLIENTS];
};

static void client_free(struct client *c)
{
	for (int i = 0; i < LIM_CTL_CLIENTS; i++)
		if (c->srv->clients[i] == c)
			c->srv->clients[i] = NULL;
	(void)loop_io_set(c->srv->io, LOOP_READ); /* a place is free */
	/* The command was carried out; that nobody waits for the answer does not undo it. */
	if (c->stop_after)
		daemon_stop(c->srv->d);
	loop_io_free(c->io);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

/* Write what is left; false: the client is gone (and freed). */
static bool flush(struct client *c)
{
	while (c->out && c->out_done < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_done, c->out_len - c->out_done,
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			(void)loop_io_set(c->io, LOOP_WRITE);
			return true;
		}
		if (n <= 0) {
			client_free(c);
			return false;
		}
		c->out_done += (size_t)n;
	}
	if (c->out) {
		free(c->out);
		c->out = NULL;
		(void)loop_io_set(c->io, LOOP_READ);
		if (c->stop_after)
			daemon_stop(c->srv->d);
	}
	return true;
}

static int run(struct client *c, const uint8_t *body, size_t len)
{
	struct ctl_answer a = {.ok = true};
	struct ctl_request *rq = malloc(sizeof(*rq));
	const uint8_t *data = NULL;
	size_t data_len = 0;
	int e;

	a.w = ctl_w_new();
	if (!rq || !a.w) {
		free(rq);
		ctl_w_free(a.w);
		return ERR_NOMEM;
	}
	e = ctl_request_decode(body, len, rq);
	if (e) {
		a.ok = false;
		snprintf(a.error, sizeof(a.error), "request not understood: %s", err_str(e));
		if (e == ERR_VERSION)
			snprintf(a.hint, sizeof(a.hint),
				"this weftd is version %s; use a weft of that version",
				WEFT_VERSION);
	} else {
		ctl_cmds_run(c->srv->d, rq, &a);
	}
	if (a.ok) {
		e = ctl_w_finish(a.w, &data, &data_len);
		if (e) {
			a.ok = false;
			snprintf(a.error, sizeof(a.error), "the answer could not be made: %s",
				err_str(e));
		}
	}
	e = ctl_reply_encode(a.ok, a.ok ? NULL : a.error, a.hint[0] ? a.hint : NULL,
		a.ok ? data : NULL, a.ok ? data_len : 0, &c->out, &c->out_len);
	c->out_done = 0;
	c->stop_after = a.stop_after;
	ctl_w_free(a.w);
	free(rq);
	return e;
}

/* Carry out complete requests, one at a time: the next waits until the reply has left. */
static void serve(struct client *c)
{
	while (!c->out) {
		int64_t body = ctl_frame(c->in, c->in_len, LIM_CTL_REQUEST_BYTES);
		size_t whole;

		if (body == 0)
			return;
		if (body < 0) {
			client_free(c);
			return;
		}
		whole = (size_t)body;
		if (c->in_len < whole)
			return;
		if (run(c, c->in + 4, whole - 4) != 0) {
			client_free(c);
			return;
		}
		memmove(c->in, c->in + whole, c->in_len - whole);
		c->in_len -= whole;
		if (!flush(c))
			return;
	}
}

static void on_client(void *ctx, int events)
{
	struct client *c = ctx;
	ssize_t n;

	c->last = loop_now();
	if (c->out) {
		if (flush(c) && !c->out)
			serve(c);
		return;
	}
	(void)events;
	n = recv(c->fd, c->in + c->in_len, LIM_CTL_REQUEST_BYTES + 4 - c->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_free(c);
		return;
	}
	c->in_len += (size_t)n;
	serve(c);
}

/* The caller stays in the queue, and the descriptor readable: don't spin on it. */
static void accept_later(struct ctl_srv *s)
{
	(void)loop_io_set(s->io, 0);
	loop_timer_set(s->pause, ts_add(loop_now(), ACCEPT_PAUSE));
}

/* A place for one more, or -1. */
static int find_place(struct ctl_srv *s)
{
	int oldest = 0;

	for (int i = 0; i < LIM_CTL_CLIENTS; i++) {
		if (!s->clients[i])
			return i;
		if (ts_before(s->clients[i]->last, s->clients[oldest]->last))
			oldest = i;
	}
	if (!ts_due(ts_add(s->clients[oldest]->last, CLIENT_YIELD), loop_now()))
		return -1;
	client_free(s->clients[oldest]);
	return oldest;
}

static void on_accept(void *ctx, int events)
{
	struct ctl_srv *s = ctx;
	struct client *c;
	int place = find_place(s), fd;

	(void)events;
	if (place < 0) {
		accept_later(s);
		return;
	}
	fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			accept_later(s);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	c->srv = s;
	c->fd = fd;
	c->last = loop_now();
	c->in = malloc(LIM_CTL_REQUEST_BYTES + 4);
	c->io = loop_io_new(s->d->loop, fd, LOOP_READ, on_client, c);
	s->clients[place] = c;
	if (!c->in || !c->io)
		client_free(c);
}

static void on_idle(void *ctx)
{
	struct ctl_srv *s = ctx;

	for (int i = 0; i < LIM_CTL_CLIENTS; i++)
		if (s->clients[i] && ts_due(ts_add(s->clients[i]->last, CLIENT_IDLE), loop_now()))
			client_free(s->clients[i]);
	loop_timer_set(s->idle, ts_add(loop_now(), CLIENT_IDLE));
}

static void on_pause(void *ctx)
{
	struct ctl_srv *s = ctx;

	(void)loop_io_set(s->io, LOOP_READ);
}

/* Does somebody listen there? The lock is the state directory's; the run directory may be another
 * weftd's too. */
static bool in_use(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes;

	if (fd < 0)
		return false;
	yes = connect(fd, (const struct sockaddr *)(const void *)sa, sizeof(*sa)) == 0 ||
	      errno == EAGAIN;
	close(fd);
	return yes;
}

static int listen_at(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;
	mode_t old;
	int e;

	if (fd < 0)
		return -errno;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (in_use(&sa)) {
		close(fd);
		return ERR_BUSY;
	}
	/* A dead one's; anything else in that place is not ours to remove. */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path);
	old = umask(0177);
	e = bind(fd, (const struct sockaddr *)(const void *)&sa, sizeof(sa)) != 0 ||
			    listen(fd, 16) != 0
		    ? -errno
		    : 0;
	umask(old);
	if (e) {
		close(fd);
		return e;
	}
	return fd;
}

int ctl_srv_new(struct daemon *d, struct ctl_srv **out)
{
	struct ctl_srv *s = calloc(1, sizeof(*s));
	int e;

	if (!s)
		return ERR_NOMEM;
	s->d = d;
	s->fd = -1;
	if ((size_t)snprintf(s->path, sizeof(s->path), "%s/weft.sock", d->conf->run_dir) >=
		sizeof(s->path)) {
		log_error("weftd", "--run-dir %s: too long for a socket's path; allowed: %zu bytes",
			d->conf->run_dir, sizeof(s->path) - sizeof("/weft.sock"));
		free(s);
		return ERR_RANGE;
	}
	s->fd = listen_at(s->path);
	if (s->fd < 0) {
		e = s->fd;
		log_error("weftd", "can't listen on %s: %s%s", s->path, err_str(e),
			e == ERR_BUSY ? "; another weftd listens there: give this one its own "
					"--run-dir"
				      : "");
		free(s);
		return e;
	}
	s->io = loop_io_new(d->loop, s->fd, LOOP_READ, on_accept, s);
	s->idle = loop_timer_new(d->loop, on_idle, s);
	s->pause = loop_timer_new(d->loop, on_pause, s);
	if (!s->io || !s->idle || !s->pause) {
		ctl_srv_free(s);
		return ERR_NOMEM;
	}
	on_idle(s);
	*out = s;
	return 0;
}

void ctl_srv_free(struct ctl_srv *s)
{
	if (!s)
		return;
	for (int i = 0; i < LIM_CTL_CLIENTS; i++)
		if (s->clients[i])
			client_free(s->clients[i]);
	loop_timer_free(s->pause);
	loop_timer_free(s->idle);
	loop_io_free(s->io);
	close(s->fd);
	(void)unlink(s->path);
	free(s);
}
