/* The control socket's server: every caller has his answer, also when more call than may be served at
 * once; who is slow, silent or talks nonsense costs the others nothing. A real socket and loop, commands
 * of the test's own, and a clock that can be put forward.
 * wrap: ctl_cmds_run daemon_stop loop_now loop_timer_set */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include "weft/err.h"
#include "daemon_int.h"
#include "fault.h"

#define MANY (LIM_CTL_CLIENTS + 12)
#define LONG (4 * 1024 * 1024)

void __wrap_ctl_cmds_run(struct daemon *dd, const struct ctl_request *rq, struct ctl_answer *a);
void __wrap_daemon_stop(struct daemon *dd);
ts_t __real_loop_now(void);
ts_t __wrap_loop_now(void);
void __real_loop_timer_set(struct loop_timer *t, ts_t when);
void __wrap_loop_timer_set(struct loop_timer *t, ts_t when);

static struct daemon *d;
static struct loop_timer *enough;
static char dir[] = "/tmp/weft-ctl-srv-XXXXXX";
static dur_t ahead; /* of our clock before the loop's */
static unsigned nruns, nstops;

/* --- in place of the commands, the daemon, the clock --- */

/* "echo" gives its argument back; "long" LONG bytes; "end" stops the daemon; others are refused. */
void __wrap_ctl_cmds_run(struct daemon *dd, const struct ctl_request *rq, struct ctl_answer *a)
{
	const char *text = ctl_request_arg(rq, "text");

	(void)dd;
	nruns++;
	ctl_w_map(a->w, NULL);
	if (strcmp(rq->cmd, "long") == 0) {
		uint8_t *p = malloc(LONG);

		assert_non_null(p);
		memset(p, 7, LONG);
		ctl_w_bin(a->w, "bytes", p, LONG);
		free(p);
	}
	ctl_w_str(a->w, "text", text ? text : "");
	ctl_w_end(a->w);
	a->ok = strcmp(rq->cmd, "no") != 0;
	snprintf(a->error, sizeof(a->error), "refused");
	a->stop_after = strcmp(rq->cmd, "end") == 0;
}

void __wrap_daemon_stop(struct daemon *dd)
{
	(void)dd;
	nstops++;
}

ts_t __wrap_loop_now(void)
{
	return ts_add(__real_loop_now(), ahead);
}

void __wrap_loop_timer_set(struct loop_timer *t, ts_t when)
{
	__real_loop_timer_set(t, ts_add(when, DUR_NS(-ahead.ns)));
}

/* --- the test's own hands --- */

static void on_enough(void *ctx)
{
	(void)ctx;
	loop_stop(d->loop);
}

static void run(int64_t ms)
{
	__real_loop_timer_set(enough, ts_add(__real_loop_now(), DUR_MS(ms)));
	assert_int_equal(loop_run(d->loop), 0);
}

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_LVL_ERROR);
	d = calloc(1, sizeof(*d));
	assert_non_null(d);
	d->conf = calloc(1, sizeof(*d->conf));
	assert_non_null(d->conf);
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	assert_non_null(mkdtemp(dir));
	snprintf(d->conf->run_dir, sizeof(d->conf->run_dir), "%s", dir);
	d->loop = loop_new();
	assert_non_null(d->loop);
	enough = loop_timer_new(d->loop, on_enough, NULL);
	assert_non_null(enough);
	ahead = DUR_NS(0);
	nruns = nstops = 0;
	assert_int_equal(ctl_srv_new(d, &d->ctl), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ctl_srv_free(d->ctl);
	loop_timer_free(enough);
	loop_free(d->loop);
	assert_int_equal(rmdir(dir), 0); /* the socket is gone */
	free(d->conf);
	free(d);
	return 0;
}

/* A caller; the loop accepts those that don't fit the listen queue meanwhile. */
static int call(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/weft.sock", dir);
	while (connect(fd, (const struct sockaddr *)(const void *)&sa, sizeof(sa)) != 0) {
		assert_int_equal(errno, EAGAIN);
		run(5);
	}
	return fd;
}

static void ask(int fd, const char *cmd, const char *text)
{
	static uint8_t buf[LIM_CTL_REQUEST_BYTES + CTL_HEADER];
	struct ctl_request rq = {.nargs = 0};
	int n;

	snprintf(rq.cmd, sizeof(rq.cmd), "%s", cmd);
	assert_int_equal(ctl_request_add(&rq, "text", text), 0);
	n = ctl_request_encode(&rq, buf, sizeof(buf));
	assert_true(n > 0);
	assert_int_equal(send(fd, buf, (size_t)n, MSG_NOSIGNAL), n);
}

/* Exactly @len bytes, while the loop runs for as long as @ms; false: the server hung up before. */
static bool get(int fd, uint8_t *buf, size_t len, int64_t ms)
{
	for (size_t n = 0; n < len;) {
		ssize_t got = recv(fd, buf + n, len - n, 0);

		if (got > 0) {
			n += (size_t)got;
			continue;
		}
		if (got == 0 || errno == ECONNRESET)
			return false;
		assert_int_equal(errno, EAGAIN);
		assert_true(ms > 0);
		run(5);
		ms -= 5;
	}
	return true;
}

/* One whole reply; *@buf is to be freed after it. False: the server hung up. */
static bool reply(int fd, struct ctl_reply *out, uint8_t **buf)
{
	uint8_t head[CTL_HEADER];
	size_t len;

	if (!get(fd, head, sizeof(head), 5000))
		return false;
	len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	assert_true(len > 0 && len < LONG + 4096);
	*buf = malloc(len);
	assert_non_null(*buf);
	assert_true(get(fd, *buf, len, 5000));
	assert_int_equal(ctl_reply_decode(*buf, len, out), 0);
	return true;
}

static void answered(int fd, const char *text)
{
	struct ctl_reply r;
	uint8_t *buf;
	char got[64];

	assert_true(reply(fd, &r, &buf));
	assert_true(r.ok);
	assert_string_equal(ctl_get_str(r.data, "text", got, sizeof(got)), text);
	ctl_reply_free(&r);
	free(buf);
}

static void hung_up(int fd)
{
	struct ctl_reply r;
	uint8_t *buf;

	assert_false(reply(fd, &r, &buf));
}

/* Nothing has come, neither an answer nor an end. */
static bool is_silent(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

/* --- the tests --- */

static void any_number_per_connection(void **state)
{
	struct ctl_reply r;
	uint8_t *buf;
	int fd = call();

	(void)state;
	ask(fd, "echo", "one");
	answered(fd, "one");
	ask(fd, "echo", "two");
	ask(fd, "echo", "three");
	answered(fd, "two");
	answered(fd, "three");
	ask(fd, "no", "");
	assert_true(reply(fd, &r, &buf));
	assert_false(r.ok);
	assert_string_equal(r.error, "refused");
	ctl_reply_free(&r);
	free(buf);
	assert_int_equal(nruns, 4);
	close(fd);
	run(5);
}

/* More call at once than have a place: the others wait, and all are answered. */
static void all_are_answered(void **state)
{
	int fd[MANY];
	char text[16];

	(void)state;
	for (int i = 0; i < LIM_CTL_CLIENTS; i++)
		fd[i] = call();
	run(20);
	for (int i = LIM_CTL_CLIENTS; i < MANY; i++) {
		fd[i] = call();
		snprintf(text, sizeof(text), "%d", i);
		ask(fd[i], "echo", text);
	}
	run(50);
	for (int i = 0; i < MANY; i++)
		assert_true(is_silent(fd[i]));
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "%d", i);
		if (i < LIM_CTL_CLIENTS)
			ask(fd[i], "echo", text);
		answered(fd[i], text);
		close(fd[i]);
	}
	assert_int_equal(nruns, MANY);
}

/* Who holds a place and says nothing gives it up when another needs it, and no sooner. */
static void silent_ones_make_room(void **state)
{
	int fd[LIM_CTL_CLIENTS], late[2];

	(void)state;
	for (int i = 0; i < LIM_CTL_CLIENTS; i++) {
		fd[i] = call();
		run(1);
	}
	ahead = DUR_SEC(30);
	run(20);
	for (int i = 0; i < LIM_CTL_CLIENTS; i++)
		assert_true(is_silent(fd[i]));
	/* All but the first two have just spoken. */
	for (int i = 2; i < LIM_CTL_CLIENTS; i++) {
		ask(fd[i], "echo", "x");
		answered(fd[i], "x");
	}
	for (int i = 0; i < 2; i++) {
		late[i] = call();
		ask(late[i], "echo", "late");
		answered(late[i], "late");
	}
	hung_up(fd[0]);
	hung_up(fd[1]);
	for (int i = 2; i < LIM_CTL_CLIENTS; i++)
		assert_true(is_silent(fd[i]));
	for (int i = 0; i < LIM_CTL_CLIENTS; i++)
		close(fd[i]);
	for (int i = 0; i < 2; i++)
		close(late[i]);
	run(10);
}

static void nonsense_costs_its_own_place(void **state)
{
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff}, mad[] = {0, 0, 0, 2, 0xc1, 0xc1};
	int good = call(), bad = call(), part = call();
	struct ctl_reply r;
	uint8_t *buf;

	(void)state;
	assert_int_equal(send(part, huge + 3, 1, MSG_NOSIGNAL), 1);
	assert_int_equal(send(bad, mad, sizeof(mad), MSG_NOSIGNAL), (ssize_t)sizeof(mad));
	assert_true(reply(bad, &r, &buf));
	assert_false(r.ok);
	assert_non_null(strstr(r.error, "not understood"));
	ctl_reply_free(&r);
	free(buf);
	assert_int_equal(send(bad, huge, sizeof(huge), MSG_NOSIGNAL), (ssize_t)sizeof(huge));
	hung_up(bad);
	ask(good, "echo", "still");
	answered(good, "still");
	assert_true(is_silent(part));
	close(good);
	close(bad);
	close(part);
	run(10);
}

/* Who doesn't read his answer holds nobody up, and has it whole when he does. */
static void a_slow_reader(void **state)
{
	int slow = call(), quick = call();
	const msgpack_object *bytes;
	struct ctl_reply r;
	uint8_t *buf;

	(void)state;
	ask(slow, "long", "slow");
	run(20);
	ask(slow, "echo", "after it");
	ask(quick, "echo", "quick");
	answered(quick, "quick");
	assert_int_equal(nruns, 2);
	assert_true(reply(slow, &r, &buf));
	bytes = ctl_get(r.data, "bytes");
	assert_true(bytes && bytes->type == MSGPACK_OBJECT_BIN && bytes->via.bin.size == LONG);
	for (size_t i = 0; i < LONG; i++)
		assert_true(bytes->via.bin.ptr[i] == 7);
	ctl_reply_free(&r);
	free(buf);
	answered(slow, "after it");
	close(slow);
	close(quick);
	run(10);
}

/* A command that ends the daemon: when its answer has left, or nobody waits for it. */
static void the_end(void **state)
{
	int fd = call();

	(void)state;
	ask(fd, "end", "bye");
	answered(fd, "bye");
	assert_int_equal(nstops, 1);
	close(fd);
	run(10);
	fd = call();
	ask(fd, "end", "bye");
	close(fd);
	run(20);
	assert_true(nstops >= 2);
}

/* Without memory a caller is hung up on; the next one has his answer. */
static void want_of_memory(void **state)
{
	struct ctl_reply r;
	uint8_t *buf;
	int fd;

	(void)state;
	for (unsigned n = 1; n < 40; n++) {
		fd = call();
		ask(fd, "echo", "x");
		fault_arm(n);
		run(10);
		(void)fault_disarm();
		if (reply(fd, &r, &buf)) {
			ctl_reply_free(&r);
			free(buf);
		}
		close(fd);
		fd = call();
		ask(fd, "echo", "next");
		answered(fd, "next");
		close(fd);
		run(5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(any_number_per_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(all_are_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(silent_ones_make_room, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_costs_its_own_place, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slow_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(want_of_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
