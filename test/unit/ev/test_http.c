/* http: the parser by tables, prefixes and flips; the server over real connections: methods, bodies,
 * slow and silent clients, more clients than the bound. */
#include <setjmp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <cmocka.h>
#include "fault.h"
#include "http.h"
#include "http_req.h"
#include "weft/bounds.h"

static int parse(const char *text, struct http_req *q)
{
	return http_req_parse(text, strlen(text), q) ? q->status : -1;
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int status; /* -1: incomplete */
		const char *path;
	} rows[] = {
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, "/"},
		{"GET /metrics HTTP/1.0\r\n\r\n", 0, "/metrics"},
		{"GET /m?x=1&y HTTP/1.0\r\n\r\n", 0, "/m"},
		{"HEAD /m HTTP/1.0\r\n\r\n", 0, "/m"},
		{"\r\n\nGET / HTTP/1.0\n\n", 0, "/"},
		{"GET / HTTP/1.1\r\nhOsT:\r\n\r\n", 0, "/"},
		{"GET / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", 0, "/"},
		{"GET / HTTP/1.0\r\nContent-Length:  00 \r\n\r\n", 0, "/"},
		{"GET / HTTP/1.1\r\n\r\n", 400, NULL}, /* no host */
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, NULL},
		{"GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\n", 413, NULL},
		{"GET / HTTP/1.0\r\nContent-Length: 99999999999999999999999999\r\n\r\n", 413, NULL},
		{"GET / HTTP/1.0\r\nContent-Length: -1\r\n\r\n", 400, NULL},
		{"GET / HTTP/1.0\r\nContent-Length:\r\n\r\n", 400, NULL},
		{"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 413, NULL},
		{"GET / HTTP/1.0\r\nContent-Length : 0\r\n\r\n", 400, NULL},
		{"GET / HTTP/1.0\r\nA: b\r\n folded\r\n\r\n", 400, NULL},
		{"GET / HTTP/1.0\r\nno colon\r\n\r\n", 400, NULL},
		{"GET / HTTP/1.0\r\n: no name\r\n\r\n", 400, NULL},
		{"GET / HTTP/1.0\r\nA: b\rc\r\n\r\n", 400, NULL},
		{"POST / HTTP/1.0\r\n\r\n", 405, NULL},
		{"get / HTTP/1.0\r\n\r\n", 405, NULL},
		{"BREW / HTTP/1.0\r\n\r\n", 405, NULL},
		{"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", 405, NULL},
		{"G\"T / HTTP/1.0\r\n\r\n", 400, NULL},
		{"GET  / HTTP/1.0\r\n\r\n", 400, NULL},
		{"GET / /x HTTP/1.0\r\n\r\n", 400, NULL},
		{"GET http://a/ HTTP/1.0\r\n\r\n", 400, NULL},
		{"GET * HTTP/1.0\r\n\r\n", 400, NULL},
		{"GET /\x01 HTTP/1.0\r\n\r\n", 400, NULL},
		{"GET /\n", 400, NULL},
		{"GET / HTTP/2.0\r\n\r\n", 505, NULL},
		{"GET / HTTP/1.7\r\n\r\n", 505, NULL},
		{"GET / http/1.0\r\n\r\n", 400, NULL},
		{"GET / HTTP/1.00\r\n\r\n", 400, NULL},
		{"\x16\x03\x01\x02\n", 400, NULL}, /* TLS */
		{"", -1, NULL},
		{"\r\n\r\n", -1, NULL},
		{"GET / HTTP/1.0\r\nA: b", -1, NULL},
	};
	struct http_req q;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int got = parse(rows[i].text, &q);
		if (got != rows[i].status)
			fail_msg("row %zu \"%s\": %d", i, rows[i].text, got);
		if (rows[i].path)
			assert_string_equal(rows[i].path, q.path);
	}
	parse("HEAD / HTTP/1.0\r\n\r\n", &q);
	assert_true(q.head);
}

static void test_parse_bounds(void **state)
{
	static char big[HTTP_HEAD_MAX + 1];
	struct http_req q;

	/* A path of the longest kind, and one more. */
	memset(big, 'a', sizeof(big));
	memcpy(big, "GET /", 5);
	memcpy(big + 4 + HTTP_PATH_MAX, " HTTP/1.0\r\n\r\n", 14);
	assert_int_equal(0, parse(big, &q));
	assert_int_equal(HTTP_PATH_MAX, strlen(q.path));
	memset(big, 'a', sizeof(big));
	memcpy(big, "GET /", 5);
	memcpy(big + 5 + HTTP_PATH_MAX, " HTTP/1.0\r\n\r\n", 14);
	assert_int_equal(414, parse(big, &q));
	/* A head that never ends. */
	memset(big, 'a', sizeof(big));
	assert_false(http_req_parse(big, HTTP_HEAD_MAX - 1, &q));
	assert_true(http_req_parse(big, HTTP_HEAD_MAX, &q));
	assert_int_equal(414, q.status);
	memcpy(big, "GET / HTTP/1.0\r\n", 16);
	assert_false(http_req_parse(big, HTTP_HEAD_MAX - 1, &q));
	assert_true(http_req_parse(big, HTTP_HEAD_MAX, &q));
	assert_int_equal(431, q.status);
	/* Empty lines only. */
	memset(big, '\n', sizeof(big));
	assert_true(http_req_parse(big, HTTP_HEAD_MAX, &q));
}

/* Each shorter prefix is incomplete, each bit flip gets some verdict and touches nothing it should not. */
static void test_parse_cuts_and_flips(void **state)
{
	const char *text = "GET /metrics?a HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
	size_t n = strlen(text);
	struct http_req q;

	for (size_t cut = 0; cut < n; cut++) {
		char *s = malloc(cut ? cut : 1);
		memcpy(s, text, cut);
		assert_false(http_req_parse(s, cut, &q));
		free(s);
	}
	for (size_t bit = 0; bit < n * 8; bit++) {
		char *s = malloc(n);
		memcpy(s, text, n);
		s[bit / 8] ^= (char)(1 << bit % 8);
		if (http_req_parse(s, n, &q) && q.status == 0)
			assert_int_equal('/', q.path[0]);
		free(s);
	}
}

/* ---- over connections ---- */

static struct loop *loop;
static struct http *http;
static struct loop_wake *done;
static struct ep at;
static unsigned served;

static bool serve(void *ctx, const char *path, struct http_reply *r)
{
	served++;
	if (strcmp(path, "/healthz") == 0) {
		http_printf(r, "ok %d\n", 1);
	} else if (strcmp(path, "/readyz") == 0) {
		http_status(r, 503);
		http_printf(r, "no peer\n");
	} else if (strcmp(path, "/metrics") == 0) {
		http_type(r, "application/openmetrics-text; version=1.0.0; charset=utf-8");
		for (int i = 0; i < 20000; i++)
			http_printf(r, "weft_line{n=\"%06d\"} 1\n", i);
	} else {
		return false;
	}
	return true;
}

static void on_done(void *ctx)
{
	loop_stop(loop);
}

static int setup(void **state)
{
	struct ep any;

	served = 0;
	loop = loop_new();
	done = loop_wake_new(loop, on_done, NULL);
	if (ep_parse("127.0.0.1:1", 0, &any) < 0)
		return 1;
	any.port = 0;
	if (http_new(loop, &any, serve, NULL, &http) < 0)
		return 1;
	http_addr(http, &at);
	return at.port == 0;
}

static int teardown(void **state)
{
	http_free(http);
	loop_wake_free(done);
	loop_free(loop);
	return 0;
}

static int dial(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
		.sin_port = htons(at.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval tv = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		return -1;
	return fd;
}

/* One client in a thread of its own: sends, reads to the end. */
struct exchange {
	const char *send;
	size_t send_len, piece; /* piece: bytes per write, 0: all */
	bool half_close;
	char *got;
	size_t len;
	int end; /* what the last read said: 0 end, else errno */
};

static void *client(void *arg)
{
	struct exchange *x = arg;
	size_t sent = 0, cap = 1 << 20;
	int fd = dial();
	ssize_t n;

	x->got = malloc(cap);
	while (fd >= 0 && sent < x->send_len) {
		size_t want = x->send_len - sent;
		if (x->piece && want > x->piece)
			want = x->piece;
		n = send(fd, x->send + sent, want, MSG_NOSIGNAL);
		if (n < 0)
			break;
		sent += (size_t)n;
	}
	if (x->half_close)
		shutdown(fd, SHUT_WR);
	while ((n = read(fd, x->got + x->len, cap - 1 - x->len)) > 0)
		x->len += (size_t)n;
	x->end = n < 0 ? errno : 0;
	x->got[x->len] = '\0';
	close(fd);
	loop_wake_fire(done);
	return NULL;
}

static void exchange(struct exchange *x)
{
	pthread_t th;

	if (!x->send_len)
		x->send_len = strlen(x->send);
	assert_int_equal(0, pthread_create(&th, NULL, client, x));
	assert_int_equal(0, loop_run(loop));
	pthread_join(th, NULL);
}

/* Send @text; the answer starts with @status, its body is @body (NULL: any). */
static void expect(const char *text, const char *status, const char *body)
{
	struct exchange x = {.send = text};
	const char *sep;

	exchange(&x);
	if (strncmp(x.got, status, strlen(status)) != 0)
		fail_msg("%s -> %.60s", text, x.got);
	sep = strstr(x.got, "\r\n\r\n");
	assert_non_null(sep);
	if (body)
		assert_string_equal(body, sep + 4);
	assert_non_null(strstr(x.got, "\r\nConnection: close\r\n"));
	assert_int_equal(0, x.end);
	free(x.got);
}

static void test_serves(void **state)
{
	expect("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "ok 1\n");
	expect("GET /healthz?verbose HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "ok 1\n");
	expect("GET /readyz HTTP/1.0\r\n\r\n", "HTTP/1.1 503 Service Unavailable\r\n", "no peer\n");
	expect("GET /nope HTTP/1.0\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "Not Found\n");
	expect("HEAD /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "");
	assert_int_equal(5, served);
}

static void test_refuses(void **state)
{
	expect("POST /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n", NULL);
	expect("DELETE /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n", NULL);
	expect("GET /healthz HTTP/1.0\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 413 ", NULL);
	expect("rubbish\n", "HTTP/1.1 400 ", NULL);
	assert_int_equal(0, served);
}

static void test_allow_header(void **state)
{
	struct exchange x = {.send = "PUT / HTTP/1.0\r\n\r\n"};

	exchange(&x);
	assert_non_null(strstr(x.got, "\r\nAllow: GET, HEAD\r\n"));
	free(x.got);
}

/* The refusal arrives although the client keeps sending: no reset overtakes it. */
static void test_big_body(void **state)
{
	size_t len = 300000;
	char *text = malloc(len);
	struct exchange x = {.send = text, .send_len = len};
	int n;

	memset(text, 'b', len);
	n = snprintf(text, len, "POST /healthz HTTP/1.0\r\nContent-Length: %zu\r\n\r\n", len);
	text[n] = 'b';
	exchange(&x);
	assert_memory_equal("HTTP/1.1 405", x.got, 12);
	assert_int_equal(0, x.end);
	free(x.got);
	free(text);
}

static void test_large_answer(void **state)
{
	struct exchange x = {.send = "GET /metrics HTTP/1.0\r\n\r\n"};
	const char *body, *length;

	exchange(&x);
	body = strstr(x.got, "\r\n\r\n") + 4;
	length = strstr(x.got, "Content-Length: ");
	assert_non_null(length);
	assert_int_equal(strlen(body), atoi(length + 16));
	assert_non_null(strstr(body, "n=\"019999\""));
	assert_non_null(strstr(x.got, "Content-Type: application/openmetrics-text; version=1.0.0"));
	free(x.got);
}

static void test_pieces_and_half_close(void **state)
{
	struct exchange x = {.send = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", .piece = 1};
	struct exchange y = {.send = "GET /metrics HTTP/1.0\r\n\r\n", .half_close = true};
	struct exchange z = {.send = "GET /healthz HTT", .half_close = true};
	struct exchange two = {
		.send = "GET /healthz HTTP/1.0\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n"};

	exchange(&x);
	assert_memory_equal("HTTP/1.1 200", x.got, 12);
	exchange(&y);
	assert_true(y.len > 400000);
	exchange(&z); /* gives up: no answer, and the connection ends */
	assert_int_equal(0, z.len);
	served = 0;
	exchange(&two);
	assert_int_equal(1, served);
	free(x.got);
	free(y.got);
	free(z.got);
	free(two.got);
}

/* A crowd that says nothing doesn't keep anybody out; who came first goes first. */
static void test_crowd(void **state)
{
	int fd[3 * LIM_HTTP_CLIENTS];
	size_t n = sizeof(fd) / sizeof(fd[0]);
	char c;

	for (size_t i = 0; i < n; i++) {
		fd[i] = dial();
		assert_true(fd[i] >= 0);
		/* So that it is accepted before the next comes. */
		expect("GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "ok 1\n");
	}
	/* All but the newest (and the room those requests took) are closed by now. */
	for (size_t i = 0; i < n - LIM_HTTP_CLIENTS; i++) {
		ssize_t got = recv(fd[i], &c, 1, MSG_DONTWAIT);
		assert_true(got == 0 || (got < 0 && errno == ECONNRESET));
	}
	assert_true(recv(fd[n - 1], &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	for (size_t i = 0; i < n; i++)
		close(fd[i]);
}

/* However a client trickles or reads nothing, its time runs out. */
static void test_deadline(void **state)
{
	struct exchange mute = {.send = "GET /healthz HTTP/1.0\r\nA:"};
	struct exchange lingers = {.send = "GET /healthz HTTP/1.0\r\n\r\n"};
	ts_t start = loop_now();

	http_patience(http, DUR_MS(200));
	exchange(&mute);
	assert_int_equal(0, mute.len);
	assert_false(ts_before(loop_now(), ts_add(start, DUR_MS(200))));
	exchange(&lingers);
	assert_memory_equal("HTTP/1.1 200", lingers.got, 12);
	free(mute.got);
	free(lingers.got);
}

static void test_in_use(void **state)
{
	struct http *other;

	assert_int_equal(-EADDRINUSE, http_new(loop, &at, serve, NULL, &other));
}

static void test_v6(void **state)
{
	struct http *other;
	struct ep e;
	int err;

	assert_int_equal(0, ep_parse("[::1]:1", 0, &e));
	e.port = 0;
	err = http_new(loop, &e, serve, NULL, &other);
	if (err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL) {
		print_message("skipped: no IPv6 here\n");
		skip();
	}
	assert_int_equal(0, err);
	http_addr(other, &e);
	assert_true(e.port != 0 && e.ip.family == IP_V6);
	http_free(other);
	http_free(NULL);
}

static void test_alloc_faults(void **state)
{
	struct ep any = at;

	any.port = 0;
	FAULT_EACH(n)
	{
		struct http *other;
		int err = http_new(loop, &any, serve, NULL, &other);
		if (!err)
			http_free(other);
		else
			assert_int_equal(-ENOMEM, err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_bounds),
		cmocka_unit_test(test_parse_cuts_and_flips),
		cmocka_unit_test_setup_teardown(test_serves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_allow_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_big_body, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces_and_half_close, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crowd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_v6, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alloc_faults, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
