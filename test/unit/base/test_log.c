/* log: levels, the rate limit, what control characters become, the default sink. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include "weft/err.h"
#include "weft/log.h"

#define SEC UINT64_C(1000000000)

static struct {
	unsigned n;
	enum log_level level;
	char module[16], text[2048];
} got;

static void keep(void *ctx, enum log_level level, const char *module, const char *text)
{
	assert_ptr_equal(ctx, &got);
	got.n++;
	got.level = level;
	snprintf(got.module, sizeof(got.module), "%s", module);
	snprintf(got.text, sizeof(got.text), "%s", text);
}

static int setup(void **state)
{
	memset(&got, 0, sizeof(got));
	log_set_sink(keep, &got);
	log_set_level(LOG_LVL_INFO);
	return 0;
}

static int teardown(void **state)
{
	log_set_sink(NULL, NULL);
	return 0;
}

static void test_levels(void **state)
{
	enum log_level l;

	log_debug("m", "not seen");
	assert_int_equal(0, got.n);
	log_info("mod", "x=%d", 5);
	assert_int_equal(1, got.n);
	assert_int_equal(LOG_LVL_INFO, got.level);
	assert_string_equal("mod", got.module);
	assert_string_equal("x=5", got.text);
	log_set_level(LOG_LVL_ERROR);
	log_warn("m", "not seen");
	assert_int_equal(1, got.n);
	log_error("m", "seen");
	assert_int_equal(2, got.n);
	assert_true(log_enabled(LOG_LVL_ERROR) && !log_enabled(LOG_LVL_WARN));
	assert_int_equal(0, log_level_parse("debug", &l));
	assert_int_equal(LOG_LVL_DEBUG, l);
	assert_int_equal(ERR_MALFORMED, log_level_parse("Debug", &l));
	assert_int_equal(ERR_MALFORMED, log_level_parse("", &l));
}

/* A peer's name can't forge a second line or reach the terminal. */
static void test_control_characters(void **state)
{
	char big[3000];

	log_info("m", "a\nb\rc\033[1md\x7f\te");
	assert_string_equal("a?b?c?[1md??e", got.text);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_info("m", "%s", big);
	assert_in_range(strlen(got.text), 1000, 1100);
}

static void test_limit(void **state)
{
	static struct log_limit l;
	uint64_t now = 1000 * SEC;

	for (int i = 0; i < 100; i++)
		log_limited(&l, now, LOG_LVL_WARN, "m", "line %d", i);
	assert_int_equal(LOG_BURST, got.n);
	assert_string_equal("line 4", got.text);
	log_limited(&l, now + LOG_PERIOD_SECS * SEC - 1, LOG_LVL_WARN, "m", "still held");
	assert_int_equal(LOG_BURST, got.n);
	log_limited(&l, now + LOG_PERIOD_SECS * SEC, LOG_LVL_WARN, "m", "again");
	assert_int_equal(LOG_BURST + 1, got.n);
	assert_string_equal("again (and 96 like it, held back)", got.text);
	log_limited(&l, now + LOG_PERIOD_SECS * SEC, LOG_LVL_WARN, "m", "next");
	assert_string_equal("next", got.text);
	/* What the level hides is not counted as held back. */
	log_set_level(LOG_LVL_ERROR);
	log_limited(&l, now + 90 * SEC, LOG_LVL_WARN, "m", "hidden");
	log_set_level(LOG_LVL_INFO);
	log_limited(&l, now + 100 * SEC, LOG_LVL_WARN, "m", "plain");
	assert_string_equal("plain", got.text);
}

static atomic_uint lines;

static void count(void *ctx, enum log_level level, const char *module, const char *text)
{
	atomic_fetch_add(&lines, 1);
}

static struct log_limit shared;

static void *flood(void *arg)
{
	for (int i = 0; i < 20000; i++)
		log_limited(&shared, SEC, LOG_LVL_WARN, "m", "flood");
	return NULL;
}

static void test_limit_threads(void **state)
{
	pthread_t th[4];

	log_set_sink(count, NULL);
	for (int i = 0; i < 4; i++)
		assert_int_equal(0, pthread_create(&th[i], NULL, flood, NULL));
	for (int i = 0; i < 200; i++)
		log_set_sink(count, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	assert_int_equal(LOG_BURST, lines);
	assert_int_equal(4 * 20000 - LOG_BURST, shared.held_back);
}

static void test_stderr(void **state)
{
	char line[256] = "";
	int fds[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(0, pipe(fds));
	log_set_sink(NULL, NULL);
	dup2(fds[1], STDERR_FILENO);
	log_warn("mod", "text");
	dup2(saved, STDERR_FILENO);
	n = read(fds[0], line, sizeof(line) - 1);
	assert_true(n > 0);
	assert_string_equal("warn mod: text\n", line);
	close(saved);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_control_characters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stderr, setup, teardown),
	};

	unsetenv("JOURNAL_STREAM");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
