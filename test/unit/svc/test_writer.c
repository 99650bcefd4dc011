/* Files written by the writer's thread: the newest of what waits, each result told once, a disk that stands
 * still stalls nobody; and what the state directory makes of it.
 * wrap: file_state_write file_state_hint own_svc_saved mesh_drain gossip_epoch_stored daemon_warn */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fault.h"
#include "weft/buf.h"
#include "weft/err.h"
#include "daemon_int.h"
#include "own_svc.h"
#include "writer.h"

#define PATIENCE DUR_SEC(60)

int __wrap_file_state_write(
	const char *path, const char *kind, uint16_t format, const void *buf, size_t len);
int __wrap_file_state_hint(
	const char *path, const char *kind, uint16_t format, const void *buf, size_t len);
void __wrap_own_svc_saved(struct daemon *d, int err);
void __wrap_mesh_drain(struct daemon *d);
void __wrap_gossip_epoch_stored(struct gossip *g, uint64_t epoch, ts_t now);
void __wrap_daemon_warn(struct daemon *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The disk: all under the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool stands;                     /* writes begin and don't end */
static int answer;                      /* of the writes */
static char begun[4096], written[4096]; /* "path:content " of each */
static unsigned nbegun, hints;

static struct loop *loop;
static struct loop_timer *give_up;
static struct writer *w;
static unsigned told[WRITER_SLOTS];
static int told_err;
static enum writer_slot told_slot;

static int disk(const char *path, const void *buf, size_t len)
{
	char one[256];
	int e;

	snprintf(one, sizeof(one), "%s:%.*s ", path, (int)len, (const char *)buf);
	pthread_mutex_lock(&lock);
	strncat(begun, one, sizeof(begun) - strlen(begun) - 1);
	nbegun++;
	pthread_cond_broadcast(&changed);
	while (stands)
		pthread_cond_wait(&changed, &lock);
	e = answer;
	if (!e)
		strncat(written, one, sizeof(written) - strlen(written) - 1);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return e;
}

int __wrap_file_state_write(
	const char *path, const char *kind, uint16_t format, const void *buf, size_t len)
{
	assert_true(kind && format);
	return disk(path, buf, len);
}

int __wrap_file_state_hint(
	const char *path, const char *kind, uint16_t format, const void *buf, size_t len)
{
	assert_true(kind && format);
	hints++;
	return disk(path, buf, len);
}

static void disk_is(bool standing, int with)
{
	pthread_mutex_lock(&lock);
	stands = standing;
	answer = with;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void until_begun(unsigned n)
{
	pthread_mutex_lock(&lock);
	while (nbegun < n)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void until_written(const char *all)
{
	pthread_mutex_lock(&lock);
	while (strlen(written) < strlen(all))
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	assert_string_equal(written, all);
}

static void on_done(void *ctx, enum writer_slot slot, int err)
{
	assert_ptr_equal(ctx, &w);
	told[slot]++;
	told_slot = slot;
	told_err = err;
	loop_stop(loop);
}

static void on_give_up(void *ctx)
{
	(void)ctx;
	fail_msg("nothing was told");
}

/* Run the loop until something is told. */
static void until_told(void)
{
	loop_timer_set(give_up, ts_add(loop_now(), PATIENCE));
	assert_int_equal(loop_run(loop), 0);
}

static void on_soon(void *ctx)
{
	(void)ctx;
	loop_stop(loop);
}

/* The loop turns; nothing is told meanwhile. */
static void nothing_told(void)
{
	struct loop_timer *soon = loop_timer_new(loop, on_soon, NULL);

	assert_non_null(soon);
	memset(told, 0, sizeof(told));
	loop_timer_set(soon, ts_add(loop_now(), DUR_MS(30)));
	assert_int_equal(loop_run(loop), 0);
	loop_timer_free(soon);
	for (int i = 0; i < WRITER_SLOTS; i++)
		assert_int_equal(told[i], 0);
}

static int setup(void **state)
{
	begun[0] = written[0] = '\0';
	nbegun = hints = 0;
	memset(told, 0, sizeof(told));
	disk_is(false, 0);
	loop = loop_new();
	give_up = loop ? loop_timer_new(loop, on_give_up, NULL) : NULL;
	return !give_up;
}

static int teardown(void **state)
{
	loop_timer_free(give_up);
	loop_free(loop);
	return 0;
}

static void put(enum writer_slot slot, const char *path, const char *text)
{
	assert_int_equal(writer_put(w, slot, path, "kind", 1, text, strlen(text)), 0);
}

static void test_tells(void **state)
{
	assert_int_equal(writer_new(loop, on_done, &w, &w), 0);
	assert_false(writer_busy(w, WRITER_EPOCH));
	put(WRITER_EPOCH, "epoch", "1");
	assert_true(writer_busy(w, WRITER_EPOCH));
	assert_false(writer_busy(w, WRITER_CLAIMS));
	until_told();
	assert_int_equal(told_slot, WRITER_EPOCH);
	assert_int_equal(told_err, 0);
	assert_false(writer_busy(w, WRITER_EPOCH));
	assert_string_equal(written, "epoch:1 ");
	nothing_told(); /* a second time */
	assert_int_equal(hints, 0);
	put(WRITER_PEERS, "peers", "a");
	until_told();
	assert_int_equal(hints, 1);
	assert_int_equal(writer_free(w, PATIENCE), 0);
}

static void test_fails(void **state)
{
	assert_int_equal(writer_new(loop, on_done, &w, &w), 0);
	disk_is(false, -ENOSPC);
	put(WRITER_CLAIMS, "claims", "1");
	until_told();
	assert_int_equal(told_err, -ENOSPC);
	assert_false(writer_busy(w, WRITER_CLAIMS));
	disk_is(false, 0);
	put(WRITER_CLAIMS, "claims", "2");
	until_told();
	assert_int_equal(told_err, 0);
	assert_string_equal(written, "claims:2 ");
	assert_int_equal(writer_free(w, PATIENCE), 0);
}

/* Of what comes while the disk stands, the newest is written; only that is told. */
static void test_newest(void **state)
{
	char text[] = "0";

	assert_int_equal(writer_new(loop, on_done, &w, &w), 0);
	disk_is(true, 0);
	put(WRITER_CLAIMS, "claims", "first");
	until_begun(1);
	for (int i = 1; i <= 9; i++) {
		text[0] = (char)('0' + i);
		put(WRITER_CLAIMS, "claims", text);
	}
	put(WRITER_EPOCH, "epoch", "5");
	nothing_told();
	assert_int_equal(nbegun, 1);
	disk_is(false, 0);
	while (writer_busy(w, WRITER_CLAIMS) || writer_busy(w, WRITER_EPOCH))
		until_told();
	assert_string_equal(written, "claims:first claims:9 epoch:5 ");
	assert_int_equal(told[WRITER_CLAIMS], 1);
	assert_int_equal(told[WRITER_EPOCH], 1);
	assert_int_equal(writer_free(w, PATIENCE), 0);
}

static void *let_go(void *arg)
{
	(void)arg;
	until_begun(1);
	disk_is(false, 0);
	return NULL;
}

/* The end waits for what was put, also for what isn't begun. */
static void test_end(void **state)
{
	pthread_t t;

	assert_int_equal(writer_new(loop, on_done, &w, &w), 0);
	disk_is(true, 0);
	put(WRITER_CLAIMS, "claims", "1");
	until_begun(1);
	put(WRITER_CLAIMS, "claims", "2");
	put(WRITER_PEERS, "peers", "x");
	assert_int_equal(pthread_create(&t, NULL, let_go, NULL), 0);
	assert_int_equal(writer_free(w, PATIENCE), 0);
	pthread_join(t, NULL);
	assert_string_equal(written, "claims:1 claims:2 peers:x ");
	assert_int_equal(told[WRITER_CLAIMS] + told[WRITER_PEERS], 0);
	assert_int_equal(writer_free(NULL, PATIENCE), 0);
}

/* Who stops doesn't wait for ever: what isn't begun is dropped, and the thread ends by itself when it can. */
static void test_end_held_up(void **state)
{
	assert_int_equal(writer_new(loop, on_done, &w, &w), 0);
	disk_is(true, 0);
	put(WRITER_CLAIMS, "claims", "1");
	until_begun(1);
	put(WRITER_CLAIMS, "claims", "2");
	put(WRITER_PEERS, "peers", "x");
	assert_int_equal(writer_free(w, DUR_MS(1)), ERR_BUSY);
	nothing_told();
	disk_is(false, 0);
	until_written("claims:1 ");
	nothing_told();
	assert_int_equal(nbegun, 1);
}

static void test_no_memory(void **state)
{
	FAULT_EACH(n)
	{
		int e = writer_new(loop, on_done, &w, &w);

		if (e == 0)
			assert_int_equal(writer_free(w, PATIENCE), 0);
		else
			assert_int_equal(e, ERR_NOMEM);
	}
	assert_int_equal(writer_new(loop, on_done, &w, &w), 0);
	put(WRITER_EPOCH, "epoch", "1");
	fault_arm(1);
	assert_int_equal(writer_put(w, WRITER_EPOCH, "epoch", "kind", 1, "2", 1), ERR_NOMEM);
	assert_true(fault_disarm());
	until_told();
	assert_false(writer_busy(w, WRITER_EPOCH));
	assert_string_equal(written, "epoch:1 ");
	assert_int_equal(writer_free(w, PATIENCE), 0);
}

/* --- the state directory --- */

static struct daemon *d;
static unsigned claims_saved, drained;
static uint64_t epoch_stored;
static int claims_err;

void __wrap_own_svc_saved(struct daemon *dd, int err)
{
	assert_ptr_equal(dd, d);
	claims_saved++;
	claims_err = err;
}

/* Called last when something was written. */
void __wrap_mesh_drain(struct daemon *dd)
{
	assert_ptr_equal(dd, d);
	drained++;
	loop_stop(loop);
}

void __wrap_gossip_epoch_stored(struct gossip *g, uint64_t epoch, ts_t now)
{
	(void)now;
	assert_ptr_equal(g, d->gossip);
	epoch_stored = epoch;
}

static char warned[512];

void __wrap_daemon_warn(struct daemon *dd, const char *fmt, ...)
{
	va_list ap;

	assert_ptr_equal(dd, d);
	va_start(ap, fmt);
	vsnprintf(warned, sizeof(warned), fmt, ap);
	va_end(ap);
}

/* Was it said why the epoch isn't written, and what to do? Once. */
static void warned_of(const char *why)
{
	char begin[128];

	snprintf(begin, sizeof(begin), "the start counter can't be written (%s): ", why);
	assert_ptr_equal(strstr(warned, begin), warned);
	assert_non_null(strstr(warned, "make room on the disk of dir,"));
	warned[0] = '\0';
}

static int setup_daemon(void **state)
{
	if (setup(state))
		return 1;
	d = calloc(1, sizeof(*d));
	d->conf = calloc(1, sizeof(*d->conf));
	snprintf(d->conf->state_dir, sizeof(d->conf->state_dir), "dir");
	d->loop = loop;
	d->gossip = (struct gossip *)(void *)d; /* nobody looks into it */
	claims_saved = drained = 0;
	epoch_stored = 0;
	warned[0] = '\0';
	return 0;
}

static int teardown_daemon(void **state)
{
	free(d->conf);
	free(d);
	return teardown(state);
}

/* Without a thread: what follows is done when the call returns. */
static void test_state_at_once(void **state)
{
	assert_int_equal(state_jump_epoch(d, 7), 0);
	assert_int_equal(d->epoch, 7);
	assert_int_equal(epoch_stored, 7);
	disk_is(false, -EIO);
	assert_int_equal(state_jump_epoch(d, 9), -EIO);
	warned_of(err_str(-EIO));
	assert_int_equal(d->epoch, 7);
	assert_int_equal(epoch_stored, 7);
	assert_int_equal(state_save_claims(d, (const uint8_t *)"c", 1), -EIO);
	assert_int_equal(claims_saved, 1);
	assert_int_equal(claims_err, -EIO);
	assert_int_equal(drained, 0);
}

/* With one: an epoch counts when it is on the disk, and another one waits for that. */
static void test_state_later(void **state)
{
	assert_int_equal(state_writer_start(d), 0);
	disk_is(true, 0);
	assert_int_equal(state_jump_epoch(d, 7), 0);
	until_begun(1);
	assert_int_equal(state_jump_epoch(d, 8), ERR_BUSY);
	assert_string_equal(warned, "");
	assert_int_equal(state_jump_epoch(d, 7), ERR_BUSY); /* asked for again */
	warned_of("the disk takes long");
	assert_int_equal(state_save_claims(d, (const uint8_t *)"c", 1), 0);
	nothing_told();
	assert_int_equal(d->epoch, 0);
	assert_int_equal(epoch_stored + claims_saved, 0);
	disk_is(false, 0);
	while (claims_saved == 0 || epoch_stored == 0)
		until_told();
	assert_int_equal(d->epoch, 7);
	assert_int_equal(epoch_stored, 7);
	assert_int_equal(claims_err, 0);
	assert_int_equal(drained, 2);
	assert_non_null(strstr(written, "dir/claims:c "));
	disk_is(false, -ENOSPC);
	assert_string_equal(warned, "");
	assert_int_equal(state_jump_epoch(d, 8), 0);
	until_told();
	warned_of(err_str(-ENOSPC));
	assert_int_equal(d->epoch, 7);
	assert_int_equal(state_save_claims(d, (const uint8_t *)"c", 1), 0);
	until_told();
	assert_int_equal(claims_err, -ENOSPC);
	disk_is(false, 0);
	assert_int_equal(state_jump_epoch(d, 0), 0);
	until_told();
	assert_int_equal(epoch_stored, 8);
	assert_string_equal(warned, "");
	/* at the start, nobody has asked: weftd ends, and the log says why */
	disk_is(false, -ENOSPC);
	d->gossip = NULL;
	assert_int_equal(state_jump_epoch(d, 0), 0);
	until_told();
	assert_string_equal(warned, "");
	disk_is(false, 0);
	assert_int_equal(state_writer_stop(d), 0);
	assert_null(d->writer);
}

#define FRESH(f)        cmocka_unit_test_setup_teardown(f, setup, teardown)
#define FRESH_DAEMON(f) cmocka_unit_test_setup_teardown(f, setup_daemon, teardown_daemon)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(test_tells),
		FRESH(test_fails),
		FRESH(test_newest),
		FRESH(test_end),
		FRESH(test_end_held_up),
		FRESH(test_no_memory),
		FRESH_DAEMON(test_state_at_once),
		FRESH_DAEMON(test_state_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
