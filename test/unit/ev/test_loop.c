/* loop: readiness, timers that are never early, signals, wakes from threads, callbacks that free. */
#include <fcntl.h>
#include <setjmp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <cmocka.h>
#include "fault.h"
#include "loop.h"

static struct loop *loop;

static int setup(void **state)
{
	loop = loop_new();
	return loop == NULL;
}

static int teardown(void **state)
{
	loop_free(loop);
	return 0;
}

/* What each callback below works on. */
struct probe {
	struct loop_io *io;
	struct loop_timer *timer, *other;
	struct loop_signal *sig;
	struct loop_wake *wake;
	int fd, calls, seen, signo;
	ts_t due;
	char text[16];
};

static void read_one(void *ctx, int events)
{
	struct probe *p = ctx;

	p->seen |= events;
	p->calls++;
	assert_int_equal(1, read(p->fd, p->text, 1));
	if (p->calls == 3) {
		/* Frees itself, inside its own callback. */
		loop_io_free(p->io);
		loop_stop(loop);
	}
}

static void test_io(void **state)
{
	struct probe p = {0};
	int fds[2];

	assert_int_equal(0, pipe(fds));
	p.fd = fds[0];
	p.io = loop_io_new(loop, fds[0], LOOP_READ, read_one, &p);
	assert_non_null(p.io);
	assert_int_equal(3, write(fds[1], "abc", 3));
	assert_int_equal(0, loop_run(loop));
	assert_int_equal(3, p.calls);
	assert_int_equal(LOOP_READ, p.seen);
	assert_int_equal('c', p.text[0]);
	close(fds[0]);
	close(fds[1]);
}

static void count_and_stop(void *ctx)
{
	struct probe *p = ctx;

	p->calls++;
	loop_stop(loop);
}

static void seen_and_stop(void *ctx, int events)
{
	struct probe *p = ctx;

	p->seen |= events;
	loop_stop(loop);
}

static void test_io_set(void **state)
{
	struct probe p = {0};
	struct loop_timer *t = loop_timer_new(loop, count_and_stop, &p);
	int fds[2];

	assert_int_equal(0, pipe(fds));
	p.io = loop_io_new(loop, fds[1], 0, seen_and_stop, &p);
	loop_timer_set(t, ts_add(loop_now(), DUR_MS(30)));
	assert_int_equal(0, loop_run(loop));
	assert_int_equal(0, p.seen); /* writable, but nobody asked */
	assert_int_equal(1, p.calls);
	assert_int_equal(0, loop_io_set(p.io, LOOP_WRITE));
	assert_int_equal(0, loop_run(loop));
	assert_int_equal(LOOP_WRITE, p.seen);
	assert_int_equal(0, loop_io_set(p.io, 0));
	p.seen = 0;
	loop_timer_set(t, ts_add(loop_now(), DUR_MS(30)));
	assert_int_equal(0, loop_run(loop));
	assert_int_equal(0, p.seen);
	loop_io_free(p.io);
	loop_timer_free(t);
	close(fds[0]);
	close(fds[1]);
	/* A regular file can't be polled. */
	int fd = open("/proc/self/exe", O_RDONLY);
	assert_null(loop_io_new(loop, fd, LOOP_READ, read_one, &p));
	close(fd);
}

static void at_due(void *ctx)
{
	struct probe *p = ctx;

	assert_false(ts_before(loop_now(), p->due));
	if (++p->calls == 20) {
		loop_timer_free(p->timer);
		loop_stop(loop);
		return;
	}
	/* Odd spans, and work in between that makes libevent's cached time old. */
	for (ts_t until = ts_add(loop_now(), DUR_US(700)); ts_before(loop_now(), until);)
		;
	p->due = ts_add(loop_now(), DUR_NS(1234567));
	loop_timer_set(p->timer, p->due);
}

static void test_timer_never_early(void **state)
{
	struct probe p = {.due = loop_now()};

	p.timer = loop_timer_new(loop, at_due, &p);
	loop_timer_set(p.timer, p.due); /* due already */
	assert_int_equal(0, loop_run(loop));
	assert_int_equal(20, p.calls);
}

static void fails(void *ctx)
{
	fail();
}

static void test_timer_moves(void **state)
{
	struct probe p = {0};
	struct loop_timer *never = loop_timer_new(loop, fails, NULL);
	struct loop_timer *t = loop_timer_new(loop, count_and_stop, &p);

	loop_timer_set(never, ts_add(loop_now(), DUR_MS(5)));
	loop_timer_set(never, TS_NEVER);
	loop_timer_set(t, ts_add(loop_now(), DUR_SEC(3600)));
	loop_timer_set(t, ts_add(loop_now(), DUR_MS(20)));
	assert_int_equal(0, loop_run(loop));
	assert_int_equal(1, p.calls);
	/* One shot: it is off now, and can be freed while set. */
	loop_timer_set(never, ts_add(loop_now(), DUR_SEC(3600)));
	loop_timer_set(t, ts_add(loop_now(), DUR_MS(1)));
	assert_int_equal(0, loop_run(loop));
	assert_int_equal(2, p.calls);
	loop_timer_free(never);
	loop_timer_free(t);
	loop_timer_free(NULL);
}

static void test_stop_before_run(void **state)
{
	struct probe p = {0};
	struct loop_timer *t = loop_timer_new(loop, count_and_stop, &p);

	loop_stop(loop);
	assert_int_equal(0, loop_run(loop)); /* returns, though nothing happens */
	loop_timer_set(t, loop_now());
	assert_int_equal(0, loop_run(loop)); /* and the next run is not stopped by it */
	assert_int_equal(1, p.calls);
	loop_timer_free(t);
}

static void on_signal(void *ctx, int signo)
{
	struct probe *p = ctx;

	p->signo = signo;
	loop_signal_free(p->sig);
	loop_stop(loop);
}

static void test_signal(void **state)
{
	struct probe p = {0};

	p.sig = loop_signal_new(loop, SIGUSR1, on_signal, &p);
	assert_non_null(p.sig);
	raise(SIGUSR1);
	assert_int_equal(0, loop_run(loop));
	assert_int_equal(SIGUSR1, p.signo);
}

#define FIRES 20000

static void on_wake(void *ctx)
{
	struct probe *p = ctx;

	p->calls++;
	if (__atomic_load_n(&p->seen, __ATOMIC_ACQUIRE) == 2 * FIRES)
		loop_stop(loop);
}

static void *firing(void *arg)
{
	struct probe *p = arg;

	for (int i = 0; i < FIRES; i++) {
		__atomic_fetch_add(&p->seen, 1, __ATOMIC_RELEASE);
		loop_wake_fire(p->wake);
	}
	return NULL;
}

/* None is lost: the last fire of either thread runs the callback after its write. */
static void test_wake(void **state)
{
	struct probe p = {0};
	pthread_t th[2];

	p.wake = loop_wake_new(loop, on_wake, &p);
	assert_non_null(p.wake);
	for (int i = 0; i < 2; i++)
		assert_int_equal(0, pthread_create(&th[i], NULL, firing, &p));
	assert_int_equal(0, loop_run(loop));
	for (int i = 0; i < 2; i++)
		pthread_join(th[i], NULL);
	assert_true(p.calls >= 1 && p.calls <= 2 * FIRES);
	loop_wake_free(p.wake);
	loop_wake_free(NULL);
}

static void test_clocks(void **state)
{
	ts_t a = loop_now(), b = loop_now();

	assert_false(ts_before(b, a));
	assert_true(loop_unix_ns() > UINT64_C(1600000000) * 1000000000);
}

static void test_alloc_faults(void **state)
{
	FAULT_EACH(n)
	{
		struct loop *l = loop_new();
		struct loop_timer *t = l ? loop_timer_new(l, fails, NULL) : NULL;
		struct loop_wake *w = l ? loop_wake_new(l, fails, NULL) : NULL;
		struct loop_signal *s = l ? loop_signal_new(l, SIGUSR2, on_signal, NULL) : NULL;
		loop_timer_free(t);
		loop_wake_free(w);
		loop_signal_free(s);
		loop_free(l);
	}
}

/* The slice is asked for, and niceness stays. */
static void test_prompt(void **state)
{
	uint64_t attr[6] = {0}; /* struct sched_attr: the fourth word is the slice */
	unsigned major = 0, minor = 0;
	struct utsname u;

	assert_int_equal(0, setpriority(PRIO_PROCESS, 0, 5));
	assert_int_equal(0, loop_prompt());
	assert_int_equal(5, getpriority(PRIO_PROCESS, 0));
	assert_int_equal(0, uname(&u));
	assert_int_equal(2, sscanf(u.release, "%u.%u", &major, &minor));
	assert_int_equal(0, syscall(SYS_sched_getattr, 0, attr, sizeof(attr), 0));
	if (major > 6 || (major == 6 && minor >= 12))
		assert_int_equal(100000, attr[3]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_io, setup, teardown),
		cmocka_unit_test_setup_teardown(test_io_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timer_never_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timer_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_before_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wake, setup, teardown),
		cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_prompt),
		cmocka_unit_test(test_alloc_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
