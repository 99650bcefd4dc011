/* http.c - the HTTP server of /healthz, /readyz and /metrics.
 *
 * evhttp, libevent's own server, can't bound its connections (2.1 tells nobody when one closes), so this
 * stands on bufferevents: they buffer, the head is judged by http_req.c, and each connection lives
 *
 *	HEAD (until the head is whole) -> REPLY (until the answer is sent) -> LINGER (until the client
 *	closes, so that a reset doesn't overtake the answer to a request with a body)
 *
 * under one deadline from its accept on, however it trickles. Bounds: LIM_HTTP_CLIENTS connections,
 * HTTP_HEAD_MAX bytes in, the answer out. When all are taken, the one open longest is closed: an idle
 * crowd can't keep a probe out. Failure: a connection that fails is closed; when descriptors run out,
 * accepting rests for a second. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include "http.h"
#include "http_req.h"
#include "list.h"
#include "loop_base.h"
#include "weft/bounds.h"
#include "weft/err.h"
#include "weft/log.h"

#define CLIENT_TIME  DUR_SEC(10)
#define ACCEPT_PAUSE DUR_SEC(1)
#define BACKLOG      64

struct http_reply {
	struct evbuffer *body;
	const char *type;
	int status;
	bool failed;
};

enum state { HEAD, REPLY, LINGER };

struct client {
	struct list link; /* in http.clients, by age */
	struct http *http;
	struct bufferevent *bev;
	struct loop_timer *deadline;
	enum state state;
	bool eof; /* the client has closed its sending side */
};

struct http {
	struct loop *loop;
	struct loop_io *accept_io;
	struct loop_timer *accept_again;
	struct ep at;
	dur_t patience;
	int fd;
	bool (*fn)(void *ctx, const char *path, struct http_reply *r);
	void *ctx;
	struct list clients;
	unsigned count;
};

static const struct {
	int code;
	const char *text;
} reasons[] = {
	{200, "OK"},
	{400, "Bad Request"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{503, "Service Unavailable"},
	{505, "HTTP Version Not Supported"},
};

static const char *reason(int code)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].code == code)
			return reasons[i].text;
	return "Unnamed"; /* RFC 9112 4: clients ignore it */
}

void http_printf(struct http_reply *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (evbuffer_add_vprintf(r->body, fmt, ap) < 0)
		r->failed = true;
	va_end(ap);
}

void http_status(struct http_reply *r, int code)
{
	r->status = code;
}

void http_type(struct http_reply *r, const char *content_type)
{
	r->type = content_type;
}

static void client_free(struct client *c)
{
	list_del(&c->link);
	c->http->count--;
	bufferevent_free(c->bev);
	loop_timer_free(c->deadline);
	free(c);
}

static void on_deadline(void *ctx)
{
	client_free(ctx);
}

/* The body becomes the status' name: refusals, and answers that ran out of memory. */
static void plain(struct http_reply *r, int status)
{
	evbuffer_drain(r->body, evbuffer_get_length(r->body));
	r->status = status;
	r->type = "text/plain; charset=utf-8";
	r->failed = false;
	http_printf(r, "%s\n", reason(status));
}

/* Queue the answer. False: no memory, the connection has to go. */
static bool answer(struct client *c, const struct http_req *req)
{
	struct http_reply r = {.status = 200, .type = "text/plain; charset=utf-8"};
	struct evbuffer *out = bufferevent_get_output(c->bev);
	bool ok = false;

	r.body = evbuffer_new();
	if (!r.body)
		return false;
	if (req->status)
		plain(&r, req->status);
	else if (!c->http->fn(c->http->ctx, req->path, &r))
		plain(&r, 404);
	if (r.failed)
		plain(&r, 500);
	if (r.failed || evbuffer_add_printf(out,
				"HTTP/1.1 %d %s\r\n"
				"Content-Type: %s\r\n"
				"Content-Length: %zu\r\n"
				"Cache-Control: no-store\r\n"
				"%s"
				"Connection: close\r\n\r\n",
				r.status, reason(r.status), r.type, evbuffer_get_length(r.body),
				r.status == 405 ? "Allow: GET, HEAD\r\n" : "") < 0)
		goto out;
	ok = req->head || evbuffer_add_buffer(out, r.body) == 0;
out:
	evbuffer_free(r.body);
	return ok;
}

static void on_read(struct bufferevent *bev, void *ctx)
{
	struct client *c = ctx;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t len = evbuffer_get_length(in);
	struct http_req req;
	const char *head;

	if (c->state != HEAD) {
		evbuffer_drain(in, len); /* a body that was refused, or a second request */
		return;
	}
	if (len > HTTP_HEAD_MAX)
		len = HTTP_HEAD_MAX;
	head = (const char *)evbuffer_pullup(in, (ev_ssize_t)len);
	if (!head) {
		client_free(c);
		return;
	}
	if (!http_req_parse(head, len, &req))
		return;
	evbuffer_drain(in, evbuffer_get_length(in));
	c->state = REPLY;
	if (!answer(c, &req))
		client_free(c);
}

/* All that was queued is sent. */
static void on_written(struct bufferevent *bev, void *ctx)
{
	struct client *c = ctx;

	if (c->state != REPLY)
		return;
	if (c->eof) {
		client_free(c);
		return;
	}
	c->state = LINGER;
	shutdown(bufferevent_getfd(bev), SHUT_WR);
}

static void on_event(struct bufferevent *bev, short what, void *ctx)
{
	struct client *c = ctx;

	/* A client that has only closed its sending side still waits for the answer. */
	if ((what & BEV_EVENT_EOF) && c->state == REPLY) {
		c->eof = true;
		bufferevent_disable(bev, EV_READ);
		return;
	}
	client_free(c);
}

/* Takes @fd. */
static int client_new(struct http *h, int fd)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		goto fail;
	c->http = h;
	list_init(&c->link);
	c->deadline = loop_timer_new(h->loop, on_deadline, c);
	if (!c->deadline)
		goto fail;
	c->bev = bufferevent_socket_new(loop_base(h->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c->bev)
		goto fail;
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_HEAD_MAX);
	if (h->count == LIM_HTTP_CLIENTS)
		client_free(list_entry(h->clients.next, struct client, link));
	list_add_tail(&h->clients, &c->link);
	h->count++;
	loop_timer_set(c->deadline, ts_add(loop_now(), h->patience));
	if (bufferevent_enable(c->bev, EV_READ | EV_WRITE) < 0) {
		client_free(c);
		return ERR_NOMEM;
	}
	return 0;
fail:
	if (c)
		loop_timer_free(c->deadline);
	free(c);
	close(fd);
	return ERR_NOMEM;
}

static void on_accept_again(void *ctx)
{
	struct http *h = ctx;

	if (loop_io_set(h->accept_io, LOOP_READ) < 0)
		loop_timer_set(h->accept_again, ts_add(loop_now(), ACCEPT_PAUSE));
}

static void on_accept(void *ctx, int events)
{
	static struct log_limit limit;
	struct http *h = ctx;
	int err, fd = accept4(h->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		err = -errno;
		/* The client gave up, or there is none: nothing of ours. */
		if (err == -EAGAIN || err == -EINTR || err == -ECONNABORTED)
			return;
	} else {
		err = client_new(h, fd);
		if (!err)
			return;
	}
	log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "http", "can't accept: %s", err_str(err));
	/* What is missing won't be back at once, and the waiting client would wake us without end. */
	loop_io_set(h->accept_io, 0);
	loop_timer_set(h->accept_again, ts_add(loop_now(), ACCEPT_PAUSE));
}

static socklen_t to_sockaddr(const struct ep *e, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (e->ip.family == IP_V4) {
		struct sockaddr_in *in = (struct sockaddr_in *)ss;
		in->sin_family = AF_INET;
		in->sin_port = htons(e->port);
		memcpy(&in->sin_addr, e->ip.b, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(e->port);
	in6->sin6_scope_id = e->scope;
	memcpy(&in6->sin6_addr, e->ip.b, 16);
	return sizeof(*in6);
}

static int listen_at(const struct ep *at, struct ep *bound)
{
	struct sockaddr_storage ss;
	socklen_t len = to_sockaddr(at, &ss);
	int one = 1, zero = 0, err;
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		goto fail;
	/* [::] is for both families. */
	if (ss.ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)) < 0)
		goto fail;
	if (bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, BACKLOG) < 0)
		goto fail;
	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		goto fail;
	*bound = *at;
	bound->port = ntohs(ss.ss_family == AF_INET ? ((struct sockaddr_in *)&ss)->sin_port
						    : ((struct sockaddr_in6 *)&ss)->sin6_port);
	return fd;
fail:
	err = -errno;
	close(fd);
	return err;
}

int http_new(struct loop *l, const struct ep *at,
	bool (*fn)(void *ctx, const char *path, struct http_reply *r), void *ctx, struct http **out)
{
	struct http *h = calloc(1, sizeof(*h));
	int err = ERR_NOMEM;

	if (!h)
		return ERR_NOMEM;
	*h = (struct http){.loop = l, .patience = CLIENT_TIME, .fn = fn, .ctx = ctx};
	list_init(&h->clients);
	h->fd = listen_at(at, &h->at);
	if (h->fd < 0) {
		err = h->fd;
		goto fail_listen;
	}
	h->accept_again = loop_timer_new(l, on_accept_again, h);
	if (!h->accept_again)
		goto fail_timer;
	h->accept_io = loop_io_new(l, h->fd, LOOP_READ, on_accept, h);
	if (!h->accept_io)
		goto fail_io;
	*out = h;
	return 0;
fail_io:
	loop_timer_free(h->accept_again);
fail_timer:
	close(h->fd);
fail_listen:
	free(h);
	return err;
}

void http_addr(const struct http *h, struct ep *out)
{
	*out = h->at;
}

void http_patience(struct http *h, dur_t d)
{
	h->patience = d;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	while (!list_empty(&h->clients))
		client_free(list_entry(h->clients.next, struct client, link));
	loop_io_free(h->accept_io);
	loop_timer_free(h->accept_again);
	close(h->fd);
	free(h);
}
