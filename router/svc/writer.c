/* writer.c - see writer.h.
 *
 * One thread; per slot at most one write under way and one that waits, the newest. The thread owns the
 * job that it writes; all else of a slot is touched under the lock, but for `put`, `told`, which are the
 * loop thread's. The lock is never held over a system call that may wait for a disk.
 * At the end whoever is last frees it all: the loop's thread; or this one, should its write hold it up for so long
 * that the other has gone ahead.
 * Bounds: two jobs of LIM_STATE_BYTES per slot. Failure: told to the caller, who tries again. */
#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "file.h"
#include "weft/err.h"
#include "writer.h"

struct job {
	uint64_t number; /* of its slot, from 1 */
	char path[PATH_MAX];
	const char *kind;
	uint16_t format;
	size_t len;
	uint8_t buf[];
};

struct slot {
	uint64_t put, told; /* numbers; the loop's thread */
	struct job *waits;  /* owned */
	uint64_t ended;     /* number of the last that was written or failed */
	int err;            /* of that */
};

struct writer {
	struct loop_wake *wake;
	void (*done)(void *ctx, enum writer_slot slot, int err);
	void *ctx;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work, end;
	/* Under the lock: */
	bool stop;  /* once nothing waits */
	bool ended; /* the thread will touch nothing any more */
	bool alone; /* the loop's thread will: what waits is not begun, and the rest is the thread's to free */
	struct slot slots[WRITER_SLOTS];
};

/* Under the lock: what is to be written next, the caller's from now on; NULL when it is time to end. */
static struct job *wait_for_job(struct writer *w, struct slot **slot)
{
	while (!w->alone) {
		for (size_t i = 0; i < WRITER_SLOTS; i++) {
			struct job *j = w->slots[i].waits;

			if (!j)
				continue;
			w->slots[i].waits = NULL;
			*slot = &w->slots[i];
			return j;
		}
		if (w->stop)
			return NULL;
		pthread_cond_wait(&w->work, &w->lock);
	}
	return NULL;
}

static void destroy(struct writer *w)
{
	for (size_t i = 0; i < WRITER_SLOTS; i++)
		free(w->slots[i].waits);
	pthread_cond_destroy(&w->end);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static void *run(void *arg)
{
	struct writer *w = arg;
	struct slot *s;
	struct job *j;
	bool alone;

	pthread_mutex_lock(&w->lock);
	while ((j = wait_for_job(w, &s)) != NULL) {
		bool hint = s == &w->slots[WRITER_PEERS];
		uint64_t number = j->number;
		int err;

		pthread_mutex_unlock(&w->lock);
		err = (hint ? file_state_hint : file_state_write)(
			j->path, j->kind, j->format, j->buf, j->len);
		free(j);
		pthread_mutex_lock(&w->lock);
		s->ended = number;
		s->err = err;
		if (!w->alone)
			loop_wake_fire(w->wake);
	}
	w->ended = true;
	alone = w->alone;
	pthread_cond_signal(&w->end);
	pthread_mutex_unlock(&w->lock);
	if (alone)
		destroy(w);
	return NULL;
}

static void on_ended(void *ctx)
{
	struct writer *w = ctx;

	for (size_t i = 0; i < WRITER_SLOTS; i++) {
		struct slot *s = &w->slots[i];
		uint64_t ended;
		int err;

		pthread_mutex_lock(&w->lock);
		ended = s->ended;
		err = s->err;
		pthread_mutex_unlock(&w->lock);
		if (ended != s->put || s->told == s->put)
			continue; /* a newer one is on its way */
		s->told = ended;
		w->done(w->ctx, (enum writer_slot)i, err);
	}
}

static void init_conds(struct writer *w)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->work, NULL);
	pthread_cond_init(&w->end, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

int writer_new(struct loop *l, void (*done)(void *ctx, enum writer_slot slot, int err), void *ctx,
	struct writer **out)
{
	struct writer *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return ERR_NOMEM;
	w->done = done;
	w->ctx = ctx;
	pthread_mutex_init(&w->lock, NULL);
	init_conds(w);
	w->wake = loop_wake_new(l, on_ended, w);
	err = w->wake ? loop_thread_begin(&w->thread, NULL, run, w) : ERR_NOMEM;
	if (err) {
		loop_wake_free(w->wake);
		destroy(w);
		return err;
	}
	*out = w;
	return 0;
}

/* Under the lock: has the thread ended, or does it within @patience? */
static bool wait_for_end(struct writer *w, dur_t patience)
{
	struct timespec until;
	int64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &until);
	ns = until.tv_nsec + patience.ns % 1000000000;
	until.tv_sec += patience.ns / 1000000000 + ns / 1000000000;
	until.tv_nsec = ns % 1000000000;
	while (!w->ended)
		if (pthread_cond_timedwait(&w->end, &w->lock, &until) != 0)
			return w->ended;
	return true;
}

int writer_free(struct writer *w, dur_t patience)
{
	struct loop_wake *wake;
	bool ended;

	if (!w)
		return 0;
	wake = w->wake;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->work);
	ended = wait_for_end(w, patience);
	if (!ended) {
		w->alone = true;
		pthread_detach(w->thread);
	}
	pthread_mutex_unlock(&w->lock); /* if it is alone, @w is the thread's from here */
	if (ended) {
		pthread_join(w->thread, NULL);
		destroy(w);
	}
	loop_wake_free(wake);
	return ended ? 0 : ERR_BUSY;
}

int writer_put(struct writer *w, enum writer_slot slot, const char *path, const char *kind,
	uint16_t format, const void *buf, size_t len)
{
	struct job *j = malloc(sizeof(*j) + len), *replaced;
	struct slot *s = &w->slots[slot];

	assert(strlen(path) < PATH_MAX);
	if (!j)
		return ERR_NOMEM;
	j->number = ++s->put;
	j->kind = kind;
	j->format = format;
	j->len = len;
	snprintf(j->path, sizeof(j->path), "%s", path);
	memcpy(j->buf, buf, len);
	pthread_mutex_lock(&w->lock);
	replaced = s->waits;
	s->waits = j;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
	free(replaced);
	return 0;
}

bool writer_busy(const struct writer *w, enum writer_slot slot)
{
	return w->slots[slot].told != w->slots[slot].put;
}
