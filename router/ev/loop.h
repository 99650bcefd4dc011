/* loop.h - event loop of the control thread. The only user of libevent's core; the rest of weft sees
 * this. One thread, but for loop_wake. */
#ifndef WEFT_LOOP_H
#define WEFT_LOOP_H

#include <stdbool.h>
#include "weft/ts.h"

struct loop;
struct loop_io;
struct loop_timer;
struct loop_signal;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop *loop_new(void); /* NULL: no memory */
void loop_free(struct loop *l); /* everything registered must have been freed */
int loop_run(struct loop *l); /* until loop_stop */
void loop_stop(struct loop *l);
ts_t loop_now(void);		 /* CLOCK_MONOTONIC */
uint64_t loop_unix_ns(void);	 /* CLOCK_REALTIME */

/* Watch @fd (borrowed) for @events until freed. Returns owned or NULL. */
struct loop_io *loop_io_new(struct loop *l, int fd, int events, void (*fn)(void *ctx, int events), void *ctx);
int loop_io_set(struct loop_io *io, int events); /* 0: pause */
void loop_io_free(struct loop_io *io);

struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *ctx), void *ctx);
void loop_timer_set(struct loop_timer *t, ts_t when); /* TS_NEVER: off */
void loop_timer_free(struct loop_timer *t);

struct loop_signal *loop_signal_new(struct loop *l, int signo, void (*fn)(void *ctx, int signo), void *ctx);
void loop_signal_free(struct loop_signal *s);

#endif
