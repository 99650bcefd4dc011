/* The whole program against a small server: answers, refusals, and every way in which a daemon can be
 * absent, slow or wrong. The server is a thread that takes one connection and does what it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "cli.h"
#include "fault.h"
#include "key.h"
#include "weft/bounds.h"
#include "weft/err.h"

static char dir[64], path[96];

static int setup(void **state)
{
	strcpy(dir, "/tmp/weft-test-cli-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/weft.sock", dir);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return rmdir(dir);
}

/* What the server does with its one client. */
struct script {
	const uint8_t *answer;
	size_t len;
	bool byte_by_byte;
	bool silent;  /* never answers; holds the connection until the client goes */
	bool no_read; /* hangs up without reading */
	int listen_fd;
	pthread_t thread;
	struct ctl_request request; /* what was asked */
	bool got_request;
};

static void read_request(struct script *s, int fd)
{
	static uint8_t buf[LIM_CTL_REQUEST_BYTES + CTL_HEADER];
	size_t n = 0;
	int64_t whole;

	while ((whole = ctl_frame(buf, n, LIM_CTL_REQUEST_BYTES)) == 0) {
		ssize_t got = read(fd, buf + n, sizeof(buf) - n);
		if (got <= 0)
			return;
		n += (size_t)got;
	}
	s->got_request = whole > 0 && ctl_request_decode(buf + CTL_HEADER,
					      (size_t)whole - CTL_HEADER, &s->request) == 0;
}

static void *serve(void *ctx)
{
	struct script *s = ctx;
	int fd = accept(s->listen_fd, NULL, NULL);
	char c;

	if (fd < 0)
		return NULL;
	if (!s->no_read)
		read_request(s, fd);
	for (size_t n = 0; !s->silent && n < s->len;) {
		ssize_t did =
			send(fd, s->answer + n, s->byte_by_byte ? 1 : s->len - n, MSG_NOSIGNAL);
		if (did <= 0)
			break;
		n += (size_t)did;
	}
	while (s->silent && read(fd, &c, 1) > 0)
		;
	close(fd);
	return NULL;
}

static void start(struct script *s)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	strcpy(sun.sun_path, path);
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(s->listen_fd >= 0);
	assert_int_equal(bind(s->listen_fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(s->listen_fd, 1), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct script *s)
{
	shutdown(s->listen_fd, SHUT_RDWR); /* if nobody came */
	pthread_join(s->thread, NULL);
	close(s->listen_fd);
	unlink(path);
}

struct run {
	char *out, *err;
	int code;
};

static struct run run_words(int timeout_ms, const char *const *words)
{
	char *argv[16] = {(char *)(uintptr_t) "weft"};
	struct run r = {NULL, NULL, -1};
	size_t out_len, err_len;
	struct cli c = {.socket = path, .timeout_ms = timeout_ms};
	int argc = 1;

	for (; *words; words++)
		argv[argc++] = (char *)(uintptr_t)*words;
	c.out = open_memstream(&r.out, &out_len);
	c.err = open_memstream(&r.err, &err_len);
	r.code = cli_run(&c, argc, argv);
	fclose(c.out);
	fclose(c.err);
	return r;
}
#define RUN(...)         run_words(5000, (const char *const[]){__VA_ARGS__, NULL})
#define RUN_FOR(ms, ...) run_words(ms, (const char *const[]){__VA_ARGS__, NULL})

static void expect(struct run r, int code, const char *out, const char *err)
{
	if (r.code != code || strcmp(r.out, out) != 0 || strcmp(r.err, err) != 0)
		fail_msg("exit %d\nout: %s\nerr: %s\nwant %d\nout: %s\nerr: %s", r.code, r.out,
			r.err, code, out, err);
	free(r.out);
	free(r.err);
}

static struct script answering(bool ok, const char *error, const char *hint, struct ctl_w *w)
{
	const uint8_t *data = NULL;
	struct script s = {0};
	size_t len = 0;
	uint8_t *out;

	if (w)
		assert_int_equal(ctl_w_finish(w, &data, &len), 0);
	assert_int_equal(ctl_reply_encode(ok, error, hint, data, len, &out, &s.len), 0);
	s.answer = out;
	ctl_w_free(w);
	return s;
}

static struct ctl_w *message_data(const char *text)
{
	struct ctl_w *w = ctl_w_new();

	ctl_w_map(w, NULL);
	ctl_w_str(w, "message", text);
	ctl_w_end(w);
	return w;
}

static void asks_and_shows(void **state)
{
	struct script s = answering(true, NULL, NULL, message_data("dialling host2:6793"));

	start(&s);
	struct run r = RUN("connect", "host2:6793");
	stop(&s);
	expect(r, CLI_FINE, "dialling host2:6793\n", "");
	assert_true(s.got_request);
	assert_string_equal(s.request.cmd, "connect");
	assert_string_equal(ctl_request_arg(&s.request, "target"), "host2:6793");

	s.byte_by_byte = true;
	start(&s);
	r = RUN("-o", "json", "forget", "host2");
	stop(&s);
	expect(r, CLI_FINE, "{\n  \"message\": \"dialling host2:6793\"\n}\n", "");
	assert_string_equal(s.request.cmd, "forget");
	assert_string_equal(ctl_request_arg(&s.request, "what"), "host2");
	free((void *)(uintptr_t)s.answer);
}

static void two_words(void **state)
{
	struct ctl_w *w = ctl_w_new();

	ctl_w_map(w, NULL);
	ctl_w_array(w, "targets");
	ctl_w_end(w);
	ctl_w_end(w);
	struct script s = answering(true, NULL, NULL, w);
	start(&s);
	struct run r = RUN("status", "targets");
	stop(&s);
	expect(r, CLI_FINE, "TARGET  STATE  ENDPOINT  ERROR\n", "");
	assert_string_equal(s.request.cmd, "status targets");
	assert_int_equal(s.request.nargs, 0);
	/* report is JSON always */
	start(&s);
	r = RUN("report");
	stop(&s);
	expect(r, CLI_FINE, "{\n  \"targets\": []\n}\n", "");
	free((void *)(uintptr_t)s.answer);
}

static void ready_or_not(void **state)
{
	for (int ready = 0; ready < 2; ready++)
		for (int json = 0; json < 2; json++) {
			struct ctl_w *w = ctl_w_new();

			ctl_w_map(w, NULL);
			ctl_w_bool(w, "ready", ready);
			ctl_w_end(w);
			struct script s = answering(true, NULL, NULL, w);
			start(&s);
			struct run r = json ? RUN("status", "-o", "json") : RUN("status");
			stop(&s);
			assert_int_equal(r.code, ready ? CLI_FINE : CLI_BAD);
			assert_non_null(strstr(r.out, json    ? ready ? "true" : "false"
						      : ready ? "Status: ready"
							      : "Status: not ready"));
			free(r.out);
			free(r.err);
			free((void *)(uintptr_t)s.answer);
		}
}

static void refused(void **state)
{
	struct script s =
		answering(false, "no node or target 'x'\n\033[31m", "see: weft status peers", NULL);

	start(&s);
	struct run r = RUN("forget", "x");
	stop(&s);
	expect(r, CLI_BAD, "", "weft: no node or target 'x'??[31m\nweft: see: weft status peers\n");
	start(&s);
	r = RUN("-ojson", "forget", "x");
	stop(&s);
	expect(r, CLI_BAD,
		"{\n  \"error\": \"no node or target 'x'\\n\\u001B[31m\",\n  \"hint\": \"see: weft "
		"status peers\"\n}\n",
		"");
	free((void *)(uintptr_t)s.answer);
}

static void bad_answers(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int code;
		const char *why;
	} rows[] = {
		{"", 0, CLI_NO_DAEMON, "weftd is not running on "},
		{"\0\0", 2, CLI_BAD, "is bad: "},
		{"\0\0\0\x09\x82\xa1v", 7, CLI_BAD, "is bad: "},
		{"\0\0\0\x01\xc1", 5, CLI_BAD, "is bad: "},
		{"\xff\xff\xff\xff", 4, CLI_BAD, "is bad: "},
		{"HTTP/1.1 400 Bad Request\r\n\r\n", 28, CLI_BAD, "is bad: "},
		{"\0\0\0\x07\x82\xa1v\x02\xa2ok\xc3", 12, CLI_BAD, "is bad: "},
		{"\0\0\0\x08\x82\xa1v\x02\xa2ok\xc3", 12, CLI_BAD, "is bad: "}, /* version 2 */
		{"\0\0\0\x08\x82\xa1v\x01\xa2ok\xc3z", 13, CLI_BAD,
			"is bad: "}, /* more behind it */
		{"\0\0\0\x0c\x83\xa1v\x01\xa2ok\xc3\xa4"
		 "data\xdd\xff\xff\xff\xff",
			22, CLI_BAD, "is bad: "},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct script s = {.answer = (const uint8_t *)rows[i].bytes, .len = rows[i].len};
		start(&s);
		struct run r = RUN("status");
		stop(&s);
		if (r.code != rows[i].code || !strstr(r.err, rows[i].why) || r.out[0])
			fail_msg("row %zu: %d %s%s", i, r.code, r.out, r.err);
		free(r.out);
		free(r.err);
	}
	/* the least that is an answer, for comparison */
	struct script s = {
		.answer = (const uint8_t *)"\0\0\0\x08\x82\xa1v\x01\xa2ok\xc3", .len = 12};
	start(&s);
	expect(RUN("down"), CLI_FINE, "done\n", "");
	stop(&s);
}

static int64_t elapsed_ms(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)(now.tv_sec - since->tv_sec) * 1000 +
	       (now.tv_nsec - since->tv_nsec) / 1000000;
}

static void slow_daemon(void **state)
{
	struct script s = {.silent = true};
	struct timespec begin;
	char want[256];

	start(&s);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	struct run r = RUN_FOR(150, "status");
	assert_true(elapsed_ms(&begin) >= 140);
	stop(&s);
	snprintf(want, sizeof(want), "weft: weftd does not answer on %s (waited 150 ms)\n", path);
	expect(r, CLI_NO_DAEMON, "", want);
}

/* A daemon that hangs up before it has read: no signal ends the program. */
static void hang_up(void **state)
{
	struct script s = {.no_read = true};

	start(&s);
	struct run r = RUN("status");
	stop(&s);
	assert_int_equal(r.code, CLI_NO_DAEMON);
	assert_non_null(strstr(r.err, "weftd is not running on "));
	free(r.out);
	free(r.err);
}

static void no_daemon(void **state)
{
	char want[512], longer[200];

	snprintf(want, sizeof(want),
		"weft: weftd is not running on %s (No such file or directory)\n", path);
	expect(RUN("status", "peers"), CLI_NO_DAEMON, "", want);
	snprintf(want, sizeof(want),
		"weft: weftd is not running on %s (No such file or directory)\n"
		"weft: to remove what weft installed without a daemon: weftd --down\n",
		path);
	expect(RUN("down"), CLI_NO_DAEMON, "", want);

	struct script s = {0}; /* a socket that a dead daemon left */
	start(&s);
	shutdown(s.listen_fd, SHUT_RDWR);
	pthread_join(s.thread, NULL);
	close(s.listen_fd);
	snprintf(want, sizeof(want), "weft: weftd is not running on %s (Connection refused)\n",
		path);
	expect(RUN("status"), CLI_NO_DAEMON, "", want);
	unlink(path);

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	struct run r = RUN("--socket", longer, "status");
	assert_int_equal(r.code, CLI_USAGE);
	assert_non_null(strstr(r.err, "is too long for a socket's name"));
	free(r.out);
	free(r.err);
}

static void usage(void **state)
{
	static const char *const lines[][4] = {{"frobnicate"}, {"status", "frobs"}, {"connect"},
		{"connect", "a", "b"}, {"connect", "-a"}, {"status", "-o"}, {"status", "-o", "xml"},
		{"--socket"}, {"key"}, {"key", "new", "--frob"}, {"key", "new", "--out", ""},
		{"key", "show"}, {"help", "frob"}, {"version", "x"}, {"down", "now"}};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct run r = run_words(100, lines[i]);
		if (r.code != CLI_USAGE || r.out[0] || !strcasestr(r.err, "usage: weft"))
			fail_msg("%s: %d %s%s", lines[i][0], r.code, r.out, r.err);
		free(r.out);
		free(r.err);
	}
	struct run r = run_words(100, (const char *const[]){NULL});
	assert_int_equal(r.code, CLI_USAGE);
	free(r.out);
	free(r.err);
	r = RUN("frobnicate");
	assert_non_null(strstr(r.err, "weft: no verb 'frobnicate'\n"));
	for (size_t i = 0; i < cli_nverbs; i++)
		if (!strstr(r.err, cli_verbs[i].name))
			fail_msg("the usage lacks %s", cli_verbs[i].name);
	free(r.out);
	free(r.err);
}

/* The man page and the shell's completion know every verb. */
static void documented(void **state)
{
	static const char *const files[] = {"docs/man/weft.8", "deploy/completion/weft.bash"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char file[1024], text[64 * 1024];

		snprintf(file, sizeof(file), "%.*s/%s",
			(int)(strstr(__FILE__, "/test/unit/") - __FILE__), __FILE__, files[i]);
		FILE *f = fopen(file, "r");
		if (!f)
			fail_msg("%s cannot be opened", file);
		size_t n = fread(text, 1, sizeof(text) - 1, f);
		text[n] = '\0';
		fclose(f);
		for (size_t v = 0; v < cli_nverbs; v++) {
			char words[64], *word, *save = NULL;

			snprintf(words, sizeof(words), "%s", cli_verbs[v].name);
			for (word = strtok_r(words, " ", &save); word;
				word = strtok_r(NULL, " ", &save))
				if (!strstr(text, word))
					fail_msg("%s: nothing on %s", files[i], word);
		}
	}
}

static void help_and_version(void **state)
{
	struct run r = RUN("status", "--help");

	assert_int_equal(r.code, CLI_FINE);
	assert_non_null(strstr(r.out, "  status connections "));
	assert_null(strstr(r.out, "  connect "));
	free(r.out);
	free(r.err);
	expect(RUN("version"), CLI_FINE, "weft " WEFT_VERSION "\n", "");
	expect(RUN("-o=json", "version"), CLI_FINE,
		"{\n  \"version\": \"" WEFT_VERSION "\",\n  \"schema\": 1\n}\n", "");
}

static void keys(void **state)
{
	char file[128], want[512], cluster[CLUSTER_ID_STRLEN], text[SECRET_STRLEN + 8] = "";
	struct secret s;
	struct cluster_id id;
	struct stat st;

	struct run r = RUN("key", "new");
	assert_int_equal(r.code, CLI_FINE);
	assert_int_equal(secret_parse(r.out, &s), 0);
	free(r.out);
	free(r.err);

	snprintf(file, sizeof(file), "%s/secret", dir);
	r = RUN("key", "new", "--out", file);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	int fd = open(file, O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_int_equal(secret_parse(text, &s), 0);
	secret_cluster_id(&s, &id);
	cluster_id_fmt(&id, cluster);
	snprintf(want, sizeof(want), "Secret file: %s\n    Cluster: %s\n", file, cluster);
	expect(r, CLI_FINE, want, "");
	expect(RUN("key", "show", file), CLI_FINE, want, "");

	char exists[256];
	snprintf(exists, sizeof(exists), "weft: %s exists already; a secret is never overwritten\n",
		file);
	expect(RUN("key", "new", "--out", file), CLI_BAD, "", exists);
	fd = open(file, O_RDONLY);
	char again[sizeof(text)] = "";
	assert_true(read(fd, again, sizeof(again) - 1) > 0);
	close(fd);
	assert_string_equal(again, text);

	assert_int_equal(chmod(file, 0644), 0);
	char warn[256];
	snprintf(warn, sizeof(warn), "weft: %s can be read by others (mode 644); chmod 600 it\n",
		file);
	expect(RUN("key", "show", file), CLI_FINE, want, warn);

	/* one wrong character, and a password */
	fd = open(file, O_WRONLY);
	assert_int_equal(pwrite(fd, text[10] == 'a' ? "b" : "a", 1, 10), 1);
	snprintf(want, sizeof(want),
		"weft: %s: a character of the secret is wrong; make one with: weft key "
		"new --out FILE\n",
		file);
	expect(RUN("key", "show", file), CLI_BAD, "", want);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, "hunter2\n", 8, 0), 8);
	snprintf(want, sizeof(want),
		"weft: %s: no weft secret; make one with: weft key new --out FILE\n", file);
	expect(RUN("key", "show", file), CLI_BAD, "", want);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	snprintf(want, sizeof(want), "weft: %s: too large for a secret\n", file);
	expect(RUN("key", "show", file), CLI_BAD, "", want);
	unlink(file);
	snprintf(want, sizeof(want), "weft: %s: No such file or directory\n", file);
	expect(RUN("key", "show", file), CLI_BAD, "", want);
}

static void no_memory(void **state)
{
	struct script s = answering(true, NULL, NULL, message_data("fine"));
	bool ended = false;

	for (unsigned n = 1; !ended && n < 60; n++) {
		char out[4096] = "", err[4096] = "";
		char *argv[] = {(char *)(uintptr_t) "weft", (char *)(uintptr_t) "down"};
		struct cli c = {.socket = path, .timeout_ms = 5000};

		c.out = fmemopen(out, sizeof(out), "w");
		c.err = fmemopen(err, sizeof(err), "w");
		start(&s);
		fault_arm(n); /* of this thread's */
		int code = cli_run(&c, 2, argv);
		ended = !fault_disarm();
		stop(&s);
		fclose(c.out);
		fclose(c.err);
		assert_int_equal(code, ended ? CLI_FINE : CLI_BAD);
		assert_string_equal(out, ended ? "fine\n" : "");
	}
	assert_true(ended);
	free((void *)(uintptr_t)s.answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_and_shows),
		cmocka_unit_test(two_words),
		cmocka_unit_test(ready_or_not),
		cmocka_unit_test(refused),
		cmocka_unit_test(bad_answers),
		cmocka_unit_test(slow_daemon),
		cmocka_unit_test(hang_up),
		cmocka_unit_test(no_daemon),
		cmocka_unit_test(usage),
		cmocka_unit_test(help_and_version),
		cmocka_unit_test(documented),
		cmocka_unit_test(keys),
		cmocka_unit_test(no_memory),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
