/* A sweep tells which seeds failed, and goes on where its journal ends, whatever a crash left of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "weft/err.h"
#include "sim_sweep.h"

static char journal[] = "/tmp/weft-sweep-XXXXXX";

static void sweep_of(struct sweep *w)
{
	memset(w, 0, sizeof(*w));
	sim_cfg_default(&w->cfg);
	w->cfg.nodes = 4;
	w->cfg.profile = "lossy";
	w->length = DUR_SEC(20);
	w->from = 1;
	w->to = 5;
	w->jobs = 2;
	w->journal = journal;
}

static int begin(void **state)
{
	int fd;

	memcpy(journal + sizeof(journal) - 7, "XXXXXX", 6);
	fd = mkstemp(journal);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int end(void **state)
{
	return unlink(journal);
}

static void append(const char *text)
{
	FILE *f = fopen(journal, "a");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void goes_on(void **state)
{
	struct sweep_result r;
	struct sweep w;

	sweep_of(&w);
	w.to = 3;
	assert_int_equal(sim_sweep(&w, &r), 0);
	assert_int_equal(r.done, 3);
	assert_int_equal(r.known + r.failed, 0);
	append("4 fi"); /* cut short: seed 4 was not done */
	w.to = 5;
	assert_int_equal(sim_sweep(&w, &r), 0);
	assert_int_equal(r.done, 2);
	assert_int_equal(r.known, 3);
	assert_int_equal(sim_sweep(&w, &r), 0);
	assert_int_equal(r.done, 0);
	assert_int_equal(r.known, 5);
	assert_int_equal(r.failed, 0);
	free(r.seeds);
}

static void other_runs_are_refused(void **state)
{
	struct sweep_result r;
	struct sweep w;

	sweep_of(&w);
	w.to = 1;
	assert_int_equal(sim_sweep(&w, &r), 0);
	w.cfg.nodes = 5;
	assert_int_equal(sim_sweep(&w, &r), ERR_CONFLICT);
	assert_int_equal(r.done + r.known, 0);
}

/* As a journal of another build has it, and one of before programs were named. */
static void another_program_is_refused(void **state)
{
	struct sweep_result r;
	struct sweep w;
	char line[512], *at;
	FILE *f;

	sweep_of(&w);
	w.to = 1;
	assert_int_equal(sim_sweep(&w, &r), 0);
	f = fopen(journal, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	at = strstr(line, " program=");
	assert_non_null(at);
	assert_int_equal(strspn(at + 9, "0123456789abcdef"), 16);
	at[9] = at[9] == '0' ? '1' : '0';
	for (int i = 0; i < 2; i++) {
		f = fopen(journal, "w");
		assert_non_null(f);
		fputs(line, f);
		fclose(f);
		assert_int_equal(sim_sweep(&w, &r), ERR_VERSION);
		assert_int_equal(r.done + r.known, 0);
		strcpy(at, "\n");
	}
}

static void failures_are_told_now_and_later(void **state)
{
	struct sweep_result r;
	struct sweep w;

	sweep_of(&w);
	w.cfg.plant = PLANT_BIG;
	w.cfg.profile = "none";
	w.length = DUR_SEC(60);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sim_sweep(&w, &r), 0);
		assert_int_equal(i ? r.known : r.done, 5);
		assert_int_equal(r.failed, 5);
		free(r.seeds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(goes_on, begin, end),
		cmocka_unit_test_setup_teardown(other_runs_are_refused, begin, end),
		cmocka_unit_test_setup_teardown(another_program_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(failures_are_told_now_and_later, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
