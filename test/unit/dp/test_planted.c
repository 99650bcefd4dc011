/* Are races in the data plane's tables still found? Under the thread sanitizer (WEFT_TSAN) a reader
 * and a writer run in a child process: with the grace period the child must end well, without it the
 * sanitizer must stop it. So rcu.c's annotations neither cry wolf nor hide the wolf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include <sys/wait.h>
#include "rcu.h"

#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif

#define RACE_EXIT 66
#define ROUNDS    200

struct thing {
	uint64_t value;
};

static struct thing *published;
static uint32_t stop; /* atomic */
static uint32_t laps; /* atomic, of the reader; relaxed, so it orders nothing */
static uint64_t sum;  /* of the reader */

static void *reader(void *arg)
{
	rcu_reader_begin();
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		const struct thing *t = rcu_get(&published);

		if (t)
			sum += t->value;
		__atomic_fetch_add(&laps, 1, __ATOMIC_RELAXED);
		rcu_quiescent();
	}
	rcu_reader_end();
	return NULL;
}

/* Until the reader has surely looked at what is published. */
static void let_read(void)
{
	uint32_t from = __atomic_load_n(&laps, __ATOMIC_RELAXED);

	while (__atomic_load_n(&laps, __ATOMIC_RELAXED) - from < 3)
		sched_yield();
}

/* What the control thread does with a path or key, with or without waiting. */
static int play(bool wait)
{
	static struct rcu_bin bin;
	pthread_t t;

	if (pthread_create(&t, NULL, reader, NULL) != 0)
		return 1;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct thing *new = malloc(sizeof(*new)), *old = published;

		if (!new)
			return 1;
		new->value = i;
		rcu_set(&published, new);
		let_read();
		if (!old)
			continue;
		if (wait) {
			rcu_defer(&bin, free, old);
			rcu_empty(&bin);
		} else {
			free(old);
		}
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	free(published);
	return 0;
}

#ifdef WITH_TSAN
/* A fresh program image: a fork of one that has threads says nothing. */
static int play_in_child(const char *how)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		setenv("TSAN_OPTIONS", "exitcode=66 halt_on_error=1 log_path=/dev/null", 1);
		execl("/proc/self/exe", "test_dp_planted", how, (char *)NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void right_one_is_silent(void **state)
{
	assert_int_equal(play_in_child("right"), 0);
}

static void planted_one_is_found(void **state)
{
	assert_int_equal(play_in_child("planted"), RACE_EXIT);
}
#else
static void right_one_is_silent(void **state)
{
	assert_int_equal(play(true), 0);
}

static void planted_one_is_found(void **state)
{
	print_message("needs the thread sanitizer (WEFT_TSAN=ON)\n");
	skip();
}
#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_one_is_silent),
		cmocka_unit_test(planted_one_is_found),
	};

	if (argc == 2)
		return play(strcmp(argv[1], "right") == 0);
	return cmocka_run_group_tests_name("dp/planted", tests, NULL, NULL);
}
