/* loop.h - event loop of the control thread. The only user of libevent's core; the rest of weft sees
 * this. One thread, but for loop_wake_fire(). A callback may free the thing it was called for. */
#ifndef WEFT_LOOP_H
#define WEFT_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include "weft/ts.h"

struct loop;
struct loop_io;
struct loop_timer;
struct loop_signal;
struct loop_wake;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop *loop_new(void);    /* NULL: no memory */
void loop_free(struct loop *l); /* everything registered must have been freed; NULL is fine */
/* Run until loop_stop: 0, or -errno when the kernel's polling fails. */
int loop_run(struct loop *l);
/* For a thread whose answers are waited for: let the kernel run it soon after it wakes where there is more
 * work than CPUs. It gets no more of them, only in shorter slices (Linux 6.12; before that nothing
 * happens); niceness stays, other policies are left alone. Threads that this one begins later do as
 * it does. -errno: as before. */
int loop_prompt(void);
/* Begin a thread beside the loop's, which gets no signals: those are the loop's. @attr may be NULL. 0 or
 * -errno. */
int loop_thread_begin(
	pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *arg), void *arg);
/* Return from loop_run after the callback at hand; called before loop_run, it returns at once. */
void loop_stop(struct loop *l);
/* CLOCK_BOOTTIME, as everywhere in weftd: keys, leases and others' patience age while this machine is
 * suspended. A timer fires up to a second late after that. */
ts_t loop_now(void);
uint64_t loop_unix_ns(void); /* CLOCK_REALTIME */

/* Watch @fd (borrowed) for @events (0: none yet) until freed. A peer that hung up shows as whatever is
 * watched. Returns owned; NULL: no memory, or an @fd that can't be polled. */
struct loop_io *loop_io_new(
	struct loop *l, int fd, int events, void (*fn)(void *ctx, int events), void *ctx);
/* Watch for @events from now on; 0: pause. 0 or ERR_NOMEM; nothing is watched then. */
int loop_io_set(struct loop_io *io, int events);
void loop_io_free(struct loop_io *io); /* before the fd is closed; NULL is fine */

/* A timer that is off. NULL: no memory. */
struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *ctx), void *ctx);
/* Call once, never before @when (TS_NEVER: off); replaces what was set. */
void loop_timer_set(struct loop_timer *t, ts_t when);
void loop_timer_free(struct loop_timer *t); /* NULL is fine */

/* Call in the loop's thread when @signo arrives. One loop of a process only. NULL: no memory. */
struct loop_signal *loop_signal_new(
	struct loop *l, int signo, void (*fn)(void *ctx, int signo), void *ctx);
void loop_signal_free(struct loop_signal *s); /* NULL is fine */

/* Lets other threads have @fn called in the loop's thread. Several calls of loop_wake_fire before it runs
 * become one; what was written before the call is seen by @fn. Needs a file descriptor. NULL: none left,
 * or no memory. */
struct loop_wake *loop_wake_new(struct loop *l, void (*fn)(void *ctx), void *ctx);
void loop_wake_fire(struct loop_wake *w); /* any thread, signal handlers too; never blocks */
void loop_wake_free(struct loop_wake *w); /* when no thread fires any more; NULL is fine */

#endif
