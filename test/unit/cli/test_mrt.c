/* weft bgp dump and record against a server that answers one connection after the other: the file is whole
 * or not there, and what is asked carries the number of the answer before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "cli.h"
#include "weft/bounds.h"

#define STEPS 64

/* What the server says to the n-th that asks. */
struct step {
	uint8_t *answer; /* NULL: hangs up */
	size_t len;
	struct ctl_request asked;
};
static struct step steps[STEPS];
static size_t nsteps, served;
static bool repeat; /* the last but one again and again, until "end" is asked for */
static int listen_fd = -1;
static pthread_t thread;
static char dir[64], path[96], file[128], part[160];

static size_t take_request(int fd, struct ctl_request *out)
{
	static uint8_t buf[LIM_CTL_REQUEST_BYTES + CTL_HEADER];
	size_t n = 0;
	int64_t whole;

	while ((whole = ctl_frame(buf, n, LIM_CTL_REQUEST_BYTES)) == 0 || (size_t)whole > n) {
		ssize_t got = read(fd, buf + n, sizeof(buf) - n);

		if (whole < 0 || got <= 0)
			return 0;
		n += (size_t)got;
	}
	return ctl_request_decode(buf + CTL_HEADER, (size_t)whole - CTL_HEADER, out) == 0 ? n : 0;
}

static void *serve(void *ctx)
{
	while (served < nsteps) {
		int fd = accept(listen_fd, NULL, NULL);
		struct step *s = &steps[served];
		struct ctl_request asked;

		if (fd < 0)
			return NULL;
		if (take_request(fd, &asked) && repeat && served + 2 == nsteps &&
			ctl_request_arg(&asked, "end"))
			s = &steps[++served];
		s->asked = asked;
		if (s->answer)
			(void)!write(fd, s->answer, s->len);
		close(fd);
		if (!repeat || served + 2 != nsteps)
			served++;
	}
	return NULL;
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/weft-test-mrt-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/weft.sock", dir);
	snprintf(file, sizeof(file), "%s/file", dir);
	snprintf(part, sizeof(part), "%s.part", file);
	memset(steps, 0, sizeof(steps));
	nsteps = served = 0;
	repeat = false;
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < nsteps; i++)
		free(steps[i].answer);
	unlink(path);
	unlink(file);
	return rmdir(dir); /* and there is nothing else */
}

static struct ctl_w *data_begin(void)
{
	struct ctl_w *w = ctl_w_new();

	ctl_w_map(w, NULL);
	ctl_w_str(w, "id", "77");
	return w;
}

static void say(struct ctl_w *w, const char *refusal)
{
	const uint8_t *data = NULL;
	size_t len = 0;

	if (w) {
		ctl_w_end(w);
		assert_int_equal(ctl_w_finish(w, &data, &len), 0);
	}
	assert_int_equal(ctl_reply_encode(!refusal, refusal, NULL, data, len, &steps[nsteps].answer,
				 &steps[nsteps].len),
		0);
	nsteps++;
	ctl_w_free(w);
}

static void say_part(bool more, uint64_t left_out, const char *bytes)
{
	struct ctl_w *w = data_begin();

	ctl_w_bool(w, "more", more);
	ctl_w_u64(w, "prefixes", 2);
	ctl_w_u64(w, "paths", 3);
	ctl_w_u64(w, "left_out", left_out);
	if (bytes)
		ctl_w_bin(w, "mrt", bytes, strlen(bytes));
	say(w, NULL);
}

static void say_record(uint64_t lost, const char *bytes)
{
	struct ctl_w *w = data_begin();

	ctl_w_u64(w, "lost", lost);
	ctl_w_bin(w, "mrt", bytes, strlen(bytes));
	say(w, NULL);
}

/* Run the words; what they wrote stands in @out and @err (512 bytes each). */
static int run(char *out, char *err, const char *const *words)
{
	char *argv[16] = {(char *)(uintptr_t) "weft"};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct cli c = {.socket = path, .timeout_ms = 5000};
	int argc = 1, code;

	for (; *words; words++)
		argv[argc++] = (char *)(uintptr_t)*words;
	strcpy(sun.sun_path, path);
	if (nsteps) {
		listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(listen_fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
		assert_int_equal(listen(listen_fd, 4), 0);
		assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
	}
	memset(out, 0, 512);
	memset(err, 0, 512);
	c.out = fmemopen(out, 511, "w");
	c.err = fmemopen(err, 511, "w");
	code = cli_run(&c, argc, argv);
	fclose(c.out);
	fclose(c.err);
	if (nsteps) {
		shutdown(listen_fd, SHUT_RDWR);
		pthread_join(thread, NULL);
		close(listen_fd);
	}
	return code;
}
#define RUN(...) run(out, err, (const char *const[]){__VA_ARGS__, NULL})

static void file_is(const char *want)
{
	char got[64] = "";
	FILE *f = fopen(file, "r");

	assert_int_equal(f != NULL, want != NULL);
	assert_int_equal(access(part, F_OK), -1);
	if (!f)
		return;
	(void)!fread(got, 1, sizeof(got) - 1, f);
	fclose(f);
	assert_string_equal(got, want);
}

static char out[512], err[512];

static void dumps(void **state)
{
	char want[256];

	say_part(true, 0, "abc");
	say_part(true, 0, "");
	say_part(false, 0, "def");
	assert_int_equal(RUN("bgp", "dump", file), CLI_FINE);
	file_is("abcdef");
	snprintf(want, sizeof(want), "%s: 2 prefixes, 3 paths, 6 bytes\n", file);
	assert_string_equal(out, want);
	assert_string_equal(steps[0].asked.cmd, "bgp dump");
	assert_null(ctl_request_arg(&steps[0].asked, "id"));
	assert_string_equal(ctl_request_arg(&steps[1].asked, "id"), "77");
	assert_string_equal(ctl_request_arg(&steps[2].asked, "id"), "77");
}

static void dumps_to_the_output(void **state)
{
	say_part(false, 0, "abc");
	assert_int_equal(RUN("bgp", "dump", "-"), CLI_FINE);
	assert_string_equal(out, "abc");
	file_is(NULL);
}

/* Whatever goes wrong, there is no file but a whole one. */
static void fails(void **state)
{
	for (int how = 0; how < 4; how++) {
		int code, want[] = {CLI_BAD, CLI_BAD, CLI_BAD, CLI_NO_DAEMON};

		if (how)
			assert_int_equal(setup(NULL), 0);
		say_part(true, 0, "abc");
		if (how == 0)
			say(NULL, "that dump has ended");
		else if (how == 1)
			say_part(false, 0, NULL); /* no MRT in it */
		else if (how == 2)
			say(NULL, "no");
		else
			nsteps++; /* hangs up */
		code = RUN("bgp", "dump", file);
		assert_int_equal(code, want[how]);
		assert_true(err[0] != '\0');
		file_is(NULL);
		if (how < 3)
			assert_int_equal(teardown(NULL), 0);
	}
}

static void leaves_out(void **state)
{
	say_part(false, 4, "abc");
	assert_int_equal(RUN("bgp", "dump", file), CLI_BAD);
	file_is("abc");
	assert_non_null(strstr(err, "4 prefixes"));
}

static void records(void **state)
{
	say_record(0, "abc");
	say_record(0, "");
	say_record(2, "xyz");
	repeat = true;
	assert_int_equal(
		RUN("bgp", "record", file, "--for", "1", "--neighbour", "192.0.2.1"), CLI_BAD);
	file_is("abcxyz");
	assert_non_null(strstr(err, "2 messages are missing"));
	assert_string_equal(ctl_request_arg(&steps[0].asked, "neighbour"), "192.0.2.1");
	assert_null(ctl_request_arg(&steps[0].asked, "id"));
	assert_string_equal(ctl_request_arg(&steps[2].asked, "id"), "77");
	assert_non_null(ctl_request_arg(&steps[2].asked, "end"));
}

static void usage(void **state)
{
	assert_int_equal(RUN("bgp", "dump"), CLI_USAGE);
	assert_int_equal(RUN("bgp", "dump", "--x"), CLI_USAGE);
	assert_int_equal(RUN("bgp", "dump", file, file), CLI_USAGE);
	assert_int_equal(RUN("bgp", "record"), CLI_USAGE);
	assert_int_equal(RUN("bgp", "record", file, "--for", "0"), CLI_USAGE);
	assert_int_equal(RUN("bgp", "record", file, "--for", "1s"), CLI_USAGE);
	assert_int_equal(RUN("bgp", "record", file, "--for"), CLI_USAGE);
	assert_int_equal(RUN("bgp", "dump", "/nonexistent/x"), CLI_BAD);
	assert_int_equal(RUN("bgp", "dump", file), CLI_NO_DAEMON);
	file_is(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(dumps, setup, teardown),
		cmocka_unit_test_setup_teardown(dumps_to_the_output, setup, teardown),
		cmocka_unit_test_setup_teardown(fails, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_out, setup, teardown),
		cmocka_unit_test_setup_teardown(records, setup, teardown),
		cmocka_unit_test_setup_teardown(usage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
