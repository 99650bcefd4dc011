/* worker.c - the run-to-completion loop (DESIGN 5.16).
 *
 * A worker sleeps in epoll over its TUN queues (one per segment) and its sockets, then gives each
 * ready descriptor a bounded turn, both directions on this one thread, and sends what was staged. The
 * descriptors are level-triggered: what is left over comes up again in the next round, behind the
 * others. A sleeping worker is offline for QSBR and wakes for packets only, and when it is kicked, or
 * when packets have waited for a session for too long; nothing is periodic.
 *
 * Descriptors are known to epoll by kind and segment slot, not by pointer: an event may be in hand
 * while the control thread takes the segment away, so the pointer is read after the worker is online
 * again. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include "weft/err.h"
#include "weft/log.h"
#include "dp_int.h"

enum watch_kind { WATCH_WAKE, WATCH_MAIN, WATCH_SIDE, WATCH_TUN };

#define EVENTS_PER_ROUND 64

uint64_t dp_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct epoll_event watch(enum watch_kind kind, unsigned slot, uint32_t events)
{
	return (struct epoll_event){.events = events, .data.u64 = (uint64_t)kind << 32 | slot};
}

int worker_watch(struct worker *w, const struct segment *s)
{
	struct epoll_event e = watch(WATCH_TUN, s->slot, EPOLLIN);

	return epoll_ctl(w->epfd, EPOLL_CTL_ADD, s->fd[w->number], &e) < 0 ? -errno : 0;
}

void worker_unwatch(struct worker *w, const struct segment *s)
{
	(void)epoll_ctl(w->epfd, EPOLL_CTL_DEL, s->fd[w->number], NULL);
}

int worker_watch_sock(struct worker *w, enum txq_which which, bool out)
{
	struct epoll_event e = watch(
		which == TXQ_MAIN ? WATCH_MAIN : WATCH_SIDE, 0, out ? EPOLLIN | EPOLLOUT : EPOLLIN);
	int fd = w->sock[which].fd;

	if (epoll_ctl(w->epfd, EPOLL_CTL_MOD, fd, &e) == 0)
		return 0;
	return errno == ENOENT && epoll_ctl(w->epfd, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : -errno;
}

static void tun_ready(struct worker *w, unsigned slot)
{
	const struct segment *s = rcu_get(&w->dp->segment[slot]);

	if (!s || tx_turn(w, s))
		return;
	/* Its device was deleted under us; without this, epoll would report it for ever. */
	log_warn("dp", "%s: queue %u can't be read any more", s->ifname, w->number);
	worker_unwatch(w, s);
}

static void sock_ready(struct worker *w, enum txq_which which, uint32_t events)
{
	if (events & EPOLLOUT)
		txq_drain(w, which);
	if (events & (EPOLLIN | EPOLLERR))
		rx_turn(&w->rx, &w->sock[which], TURN_PACKETS);
}

static uint64_t hold_ns(const struct worker *w)
{
	return UINT64_C(1000000) * (w->dp->cfg.hold_ms ? w->dp->cfg.hold_ms : HOLD_MS);
}

/* How long it may sleep, in milliseconds; -1: until something comes. */
static int sleep_ms(const struct worker *w)
{
	uint64_t due;

	if (w->retry)
		return 1;
	if (w->hold.count == 0)
		return -1;
	due = hold_since(&w->hold) + hold_ns(w);
	return due > w->rx.now_ns ? (int)((due - w->rx.now_ns) / 1000000 + 1) : 1;
}

/* One round. False: told to stop. */
static bool round_of(struct worker *w, const struct epoll_event *ev, int n)
{
	bool go_on = true;
	uint64_t count;

	w->rx.now_ns = dp_now_ns();
	if (w->hold.count)
		hold_expire(&w->hold, w->rx.now_ns - hold_ns(w));
	if (w->retry) {
		w->retry = false;
		for (unsigned i = 0; i < TXQ_COUNT; i++)
			txq_drain(w, i);
	}
	for (int i = 0; i < n; i++) {
		unsigned slot = (uint32_t)ev[i].data.u64;

		switch ((enum watch_kind)(ev[i].data.u64 >> 32)) {
		case WATCH_WAKE:
			if (read(w->wakefd, &count, sizeof(count)) < 0 && errno != EAGAIN)
				log_warn("dp", "worker %u: wake-up counter: %s", w->number,
					err_str(-errno));
			go_on = !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE);
			tx_release(w);
			break;
		case WATCH_MAIN:
			sock_ready(w, TXQ_MAIN, ev[i].events);
			break;
		case WATCH_SIDE:
			sock_ready(w, TXQ_SIDE, ev[i].events);
			break;
		case WATCH_TUN:
			tun_ready(w, slot);
			break;
		}
	}
	txq_flush(w);
	return go_on;
}

static void *run(void *arg)
{
	struct worker *w = arg;
	struct epoll_event ev[EVENTS_PER_ROUND];
	int n;

	rcu_reader_begin();
	do {
		rcu_offline();
		n = epoll_wait(w->epfd, ev, EVENTS_PER_ROUND, sleep_ms(w));
		rcu_online();
	} while (round_of(w, ev, n));
	rcu_reader_end();
	return NULL;
}

static int open_epoll(struct worker *w)
{
	struct epoll_event e = watch(WATCH_WAKE, 0, EPOLLIN);

	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epfd < 0)
		return -errno;
	w->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wakefd < 0)
		return -errno;
	return epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->wakefd, &e) < 0 ? -errno : 0;
}

int worker_new(struct dp *dp, unsigned number, struct worker **out)
{
	size_t size = (sizeof(struct worker) + 63) & ~(size_t)63;
	struct worker *w = aligned_alloc(64, size);
	int err;

	if (!w)
		return ERR_NOMEM;
	memset(w, 0, size);
	w->dp = dp;
	w->number = number;
	w->epfd = w->wakefd = -1;
	for (unsigned i = 0; i < TXQ_COUNT; i++) {
		w->sock[i].fd = -1;
		w->txq[i].sock = &w->sock[i];
		backlog_init(&w->txq[i].backlog, LIM_PEER_BACKLOG_BYTES);
	}
	err = open_epoll(w);
	if (err < 0)
		goto fail;
	err = batch_pool_init(&w->pool, STAGES + BACKLOG_BATCH);
	if (err < 0)
		goto fail;
	err = hold_init(&w->hold, tx_held_dropped, w);
	if (err < 0)
		goto fail;
	err = rx_init(&w->rx, dp, number, &w->c, RX_BUF, UDP_RECV_BURST);
	if (err < 0)
		goto fail;
	w->rx.worker = w;
	w->tunbuf = malloc(TUN_READ_MAX);
	if (!w->tunbuf) {
		err = ERR_NOMEM;
		goto fail;
	}
	*out = w;
	return 0;
fail:
	worker_free(w);
	return err;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	free(w->tunbuf);
	rx_fini(&w->rx);
	hold_fini(&w->hold);
	txq_fini(w);
	batch_pool_fini(&w->pool);
	for (unsigned i = 0; i < TXQ_COUNT; i++)
		udp_close(&w->sock[i]);
	if (w->wakefd >= 0)
		close(w->wakefd);
	if (w->epfd >= 0)
		close(w->epfd);
	free(w);
}

int worker_start(struct worker *w)
{
	sigset_t all, old;
	char name[16];
	int err;

	/* Signals are the control thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	snprintf(name, sizeof(name), "weft-w%u", w->number);
	(void)pthread_setname_np(w->thread, name);
	return 0;
}

void worker_kick(struct worker *w)
{
	const uint64_t one = 1;

	/* One that can't take more is readable already. */
	if (write(w->wakefd, &one, sizeof(one)) < 0)
		return;
}

void worker_stop(struct worker *w)
{
	__atomic_store_n(&w->stop, 1, __ATOMIC_RELEASE);
	worker_kick(w);
	pthread_join(w->thread, NULL);
}
