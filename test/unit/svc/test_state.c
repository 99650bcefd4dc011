/* The start counter on the disk: near its end, damaged, beyond what a node comes to. No file keeps a node from
 * starting, and none makes the counter wrap.
 * wrap: daemon_warn */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "weft/log.h"
#include "daemon_int.h"
#include "file.h"

void __wrap_daemon_warn(struct daemon *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static struct daemon *d;
static char path[PATH_MAX + 8], warned[512];
static unsigned warnings;

void __wrap_daemon_warn(struct daemon *dd, const char *fmt, ...)
{
	va_list ap;

	assert_ptr_equal(dd, d);
	va_start(ap, fmt);
	vsnprintf(warned, sizeof(warned), fmt, ap);
	va_end(ap);
	warnings++;
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	d = calloc(1, sizeof(*d));
	assert_non_null(d);
	d->conf = calloc(1, sizeof(*d->conf));
	assert_non_null(d->conf);
	snprintf(d->conf->state_dir, sizeof(d->conf->state_dir), "%s/weft-state-XXXXXX",
		tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(d->conf->state_dir));
	snprintf(path, sizeof(path), "%s/epoch", d->conf->state_dir);
	warnings = 0;
	warned[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	char aside[PATH_MAX + 16];

	(void)unlink(path);
	for (int i = 1; i <= 8; i++) {
		snprintf(aside, sizeof(aside), "%s.bad-%d", path, i);
		(void)unlink(aside);
	}
	assert_int_equal(rmdir(d->conf->state_dir), 0);
	free(d->conf);
	free(d);
	return 0;
}

static void put(uint64_t epoch)
{
	uint8_t buf[8];
	struct wr w;

	wr_init(&w, buf, sizeof(buf));
	wr_u64(&w, epoch);
	assert_int_equal(file_state_write(path, "epoch", 1, buf, sizeof(buf)), 0);
}

static uint64_t get(void)
{
	uint16_t format;
	uint64_t epoch;
	char *buf;
	size_t len;
	struct rd r;

	assert_int_equal(file_state_read(path, "epoch", 1, &format, &buf, &len), 0);
	rd_init(&r, buf, len);
	epoch = rd_u64(&r);
	free(buf);
	return epoch;
}

static void starts_at(uint64_t epoch)
{
	assert_int_equal(state_next_epoch(d), 0);
	assert_int_equal(d->epoch, epoch);
	assert_int_equal(get(), epoch);
}

static void test_counts(void **state)
{
	starts_at(1);
	starts_at(2);
	assert_int_equal(state_jump_epoch(d, 40), 0);
	assert_int_equal(get(), 40);
	assert_int_equal(state_jump_epoch(d, 7), 0);
	assert_int_equal(d->epoch, 41);
	assert_int_equal(warnings, 0);
}

/* Up to the highest that others believe; then it begins again, and says so. */
static void test_end(void **state)
{
	put(LIM_EPOCH - 2);
	starts_at(LIM_EPOCH - 1);
	starts_at(LIM_EPOCH);
	assert_int_equal(warnings, 0);
	starts_at(1);
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(warned, "start counter"));
	assert_non_null(strstr(warned, "epoch.bad-1"));
	starts_at(2);
	assert_int_equal(warnings, 1);
}

static void test_beyond(void **state)
{
	const uint64_t far[] = {LIM_EPOCH + 1, UINT64_MAX - 1, UINT64_MAX};

	for (unsigned i = 0; i < 3; i++) {
		put(far[i]);
		starts_at(1);
		assert_int_equal(warnings, i + 1);
		/* Nobody asks for these, and if: what is there stays. */
		assert_int_equal(state_jump_epoch(d, far[i]), ERR_RANGE);
		assert_int_equal(get(), 1);
	}
	assert_int_equal(state_jump_epoch(d, LIM_EPOCH), 0);
	assert_int_equal(get(), LIM_EPOCH);
	assert_int_equal(state_jump_epoch(d, 9), ERR_RANGE);
	/* Of what was set aside as bad, the jump is counted from the start. */
	put(UINT64_MAX);
	starts_at(1);
	assert_int_equal(state_jump_epoch(d, 9), 0);
	assert_int_equal(get(), 9);
}

static void test_torn(void **state)
{
	FILE *f;

	put(5);
	f = fopen(path, "r+");
	assert_non_null(f);
	assert_int_equal(fseek(f, -1, SEEK_END), 0);
	assert_int_not_equal(fputc(0x55, f), EOF);
	assert_int_equal(fclose(f), 0);
	starts_at(1);
	assert_int_equal(warnings, 1);
}

#define FRESH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(test_counts),
		FRESH(test_end),
		FRESH(test_beyond),
		FRESH(test_torn),
	};

	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
