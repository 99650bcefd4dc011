/* loop.c - the event loop, a thin layer over libevent.
 *
 * It exists so that one folder knows libevent: times are ts_t, a timer never fires early (libevent
 * counts from a time it cached and rounds), and stopping before running works. Each watched thing is
 * one event; callbacks may free their own, since nothing here touches it after the call.
 *
 * States: none but what libevent keeps. Bounds: the callers' (each fd, timer, signal is one of theirs).
 * Failure: making things may fail; setting a timer may not, since a deadline that is lost silently is
 * worse than a restart: if libevent has no memory for it, the process stops. */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "loop_base.h"
#include "weft/err.h"
#include "weft/log.h"

#define SLICE_NS 100000 /* the least that the kernel gives */

/* The kernel's struct sched_attr in its first form: libcs had none for long, and the kernel's header
 * quarrels with theirs. */
struct slice_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period; /* ns; runtime is the slice of an ordinary thread */
};

struct loop {
	struct event_base *base;
	unsigned registered; /* things that must be freed first */
	bool stop;
};

struct loop_io {
	struct loop *loop;
	struct event *ev;
	void (*fn)(void *ctx, int events);
	void *ctx;
	int fd;
};

struct loop_timer {
	struct loop *loop;
	struct event *ev;
	ts_t when;
	void (*fn)(void *ctx);
	void *ctx;
};

struct loop_signal {
	struct loop *loop;
	struct event *ev;
	void (*fn)(void *ctx, int signo);
	void *ctx;
};

struct loop_wake {
	struct loop_io *io;
	void (*fn)(void *ctx);
	void *ctx;
	int fd;
};

/* libevent's own lines (level, text) go to ours. */
static void event_log(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_warn("loop", "%s", text);
	else
		log_debug("loop", "%s", text);
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));
	struct event_config *cfg = event_config_new();

	if (!l || !cfg)
		goto fail;
	event_set_log_callback(event_log);
	/* Precise: without it, deadlines have the grain of the kernel's tick. */
	if (event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER) < 0)
		goto fail;
	l->base = event_base_new_with_config(cfg);
	if (!l->base)
		goto fail;
	event_config_free(cfg);
	return l;
fail:
	if (cfg)
		event_config_free(cfg);
	free(l);
	return NULL;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	assert(l->registered == 0);
	event_base_free(l->base);
	free(l);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

int loop_prompt(void)
{
	struct slice_attr a = {.size = sizeof(a)};

	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) != 0)
		return -errno;
	if (a.policy != SCHED_OTHER)
		return 0;
	a.size = sizeof(a);
	a.runtime = SLICE_NS;
	return syscall(SYS_sched_setattr, 0, &a, 0) == 0 ? 0 : -errno;
}

int loop_thread_begin(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *arg), void *arg)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(out, attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

int loop_run(struct loop *l)
{
	int rc = 0;

	/* libevent forgets a break that comes before it runs. */
	if (!l->stop)
		rc = event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
	l->stop = false;
	return rc < 0 ? (errno ? -errno : -EIO) : 0;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
	event_base_loopbreak(l->base);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

ts_t loop_now(void)
{
	return (ts_t){clock_ns(CLOCK_BOOTTIME)};
}

uint64_t loop_unix_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	struct loop_io *io = arg;

	io->fn(io->ctx, (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0));
}

struct loop_io *loop_io_new(
	struct loop *l, int fd, int events, void (*fn)(void *ctx, int events), void *ctx)
{
	struct loop_io *io = calloc(1, sizeof(*io));

	if (!io)
		return NULL;
	*io = (struct loop_io){.loop = l, .fn = fn, .ctx = ctx, .fd = fd};
	io->ev = event_new(l->base, fd, EV_PERSIST | EV_READ, on_io, io);
	if (!io->ev) {
		free(io);
		return NULL;
	}
	l->registered++;
	if (loop_io_set(io, events) < 0) {
		loop_io_free(io);
		return NULL;
	}
	return io;
}

int loop_io_set(struct loop_io *io, int events)
{
	short what = EV_PERSIST;

	event_del(io->ev);
	if (!events)
		return 0;
	what |= events & LOOP_READ ? EV_READ : 0;
	what |= events & LOOP_WRITE ? EV_WRITE : 0;
	if (event_assign(io->ev, io->loop->base, io->fd, what, on_io, io) < 0 ||
		event_add(io->ev, NULL) < 0)
		return ERR_NOMEM;
	return 0;
}

void loop_io_free(struct loop_io *io)
{
	if (!io)
		return;
	io->loop->registered--;
	event_free(io->ev);
	free(io);
}

static void arm(struct loop_timer *t)
{
	ts_t now = loop_now();
	uint64_t us = ts_due(t->when, now) ? 0 : (t->when.ns - now.ns + 999) / 1000;
	struct timeval tv = {
		.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};

	if (event_add(t->ev, &tv) < 0) {
		log_error("loop", "no memory for a deadline");
		abort();
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	if (!ts_due(t->when, loop_now())) {
		arm(t);
		return;
	}
	t->when = TS_NEVER;
	t->fn(t->ctx);
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct loop_timer){.loop = l, .when = TS_NEVER, .fn = fn, .ctx = ctx};
	t->ev = event_new(l->base, -1, 0, on_timer, t);
	if (!t->ev) {
		free(t);
		return NULL;
	}
	l->registered++;
	return t;
}

void loop_timer_set(struct loop_timer *t, ts_t when)
{
	t->when = when;
	if (ts_is_never(when))
		event_del(t->ev);
	else
		arm(t);
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	t->loop->registered--;
	event_free(t->ev);
	free(t);
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;

	s->fn(s->ctx, (int)signo);
}

struct loop_signal *loop_signal_new(
	struct loop *l, int signo, void (*fn)(void *ctx, int signo), void *ctx)
{
	struct loop_signal *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct loop_signal){.loop = l, .fn = fn, .ctx = ctx};
	s->ev = evsignal_new(l->base, signo, on_signal, s);
	if (!s->ev || event_add(s->ev, NULL) < 0) {
		if (s->ev)
			event_free(s->ev);
		free(s);
		return NULL;
	}
	l->registered++;
	return s;
}

void loop_signal_free(struct loop_signal *s)
{
	if (!s)
		return;
	s->loop->registered--;
	event_free(s->ev);
	free(s);
}

static void on_wake(void *ctx, int events)
{
	struct loop_wake *w = ctx;
	eventfd_t n;

	/* Emptied before the call: a fire during it is not lost. */
	if (eventfd_read(w->fd, &n) == 0)
		w->fn(w->ctx);
}

struct loop_wake *loop_wake_new(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
	struct loop_wake *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	*w = (struct loop_wake){.fn = fn, .ctx = ctx};
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->fd < 0)
		goto fail;
	w->io = loop_io_new(l, w->fd, LOOP_READ, on_wake, w);
	if (!w->io)
		goto fail;
	return w;
fail:
	if (w->fd >= 0)
		close(w->fd);
	free(w);
	return NULL;
}

void loop_wake_fire(struct loop_wake *w)
{
	int saved = errno;

	/* Fails only when the counter is at its end: then it is readable already. */
	(void)eventfd_write(w->fd, 1);
	errno = saved;
}

void loop_wake_free(struct loop_wake *w)
{
	if (!w)
		return;
	loop_io_free(w->io);
	close(w->fd);
	free(w);
}
