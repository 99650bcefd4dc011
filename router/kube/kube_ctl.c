/* kube_ctl.c - a request to weftd: connect, write, read one message, close.
 *
 * A socket does not outlive its request, so a weftd that was restarted needs no care. States: idle; busy
 * (socket open, or failed already), ending at the reply, an error, or KUBE_CTL_SECS. Bounds:
 * LIM_CTL_REQUEST_BYTES, KUBE_REPLY_BYTES; the buffer grows with what has arrived. */
#include "kube_ctl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "weft/bounds.h"
#include "weft/err.h"

/* Nothing that we ask for is long; a weftd gone mad does not fill our memory. */
#define KUBE_REPLY_BYTES (1024 * 1024)

struct kube_ctl {
	struct loop *loop;
	struct sockaddr_un at;
	struct loop_io *io;
	struct loop_timer *timer;
	int fd, failed; /* failed: told at the timer's next call */
	bool busy;
	void (*fn)(void *ctx, const struct ctl_reply *reply, int err);
	void *ctx;
	size_t sent, out_len, got, cap;
	uint8_t *in;
	uint8_t out[LIM_CTL_REQUEST_BYTES + CTL_HEADER];
};

static void close_socket(struct kube_ctl *k)
{
	loop_io_free(k->io);
	k->io = NULL;
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	loop_timer_set(k->timer, TS_NEVER);
	k->busy = false;
}

/* Tell the outcome; the reply's bytes live until the callback returns. */
static void finish(struct kube_ctl *k, int err)
{
	uint8_t *in = k->in;
	size_t got = k->got;
	struct ctl_reply r;

	close_socket(k);
	k->in = NULL;
	k->got = k->cap = 0;
	if (!err)
		err = ctl_reply_decode(in + CTL_HEADER, got - CTL_HEADER, &r);
	if (err) {
		k->fn(k->ctx, NULL, err);
	} else {
		k->fn(k->ctx, &r, 0);
		ctl_reply_free(&r);
	}
	free(in);
}

static void timer_due(void *ctx)
{
	struct kube_ctl *k = ctx;

	finish(k, k->failed ? k->failed : -ETIMEDOUT);
}

/* 0: all is sent, or will be when the socket takes more. */
static int send_some(struct kube_ctl *k)
{
	while (k->sent < k->out_len) {
		ssize_t n = send(k->fd, k->out + k->sent, k->out_len - k->sent, MSG_NOSIGNAL);

		if (n >= 0)
			k->sent += (size_t)n;
		else if (errno == EAGAIN)
			return loop_io_set(k->io, LOOP_READ | LOOP_WRITE);
		else if (errno != EINTR)
			return errno == EPIPE || errno == ECONNRESET ? ERR_NO_DAEMON : -errno;
	}
	return loop_io_set(k->io, LOOP_READ);
}

/* 1: the message is whole; 0: not yet. */
static int receive_some(struct kube_ctl *k)
{
	ssize_t n;

	if (k->got == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 4096;
		uint8_t *p = realloc(k->in, cap);

		if (!p)
			return ERR_NOMEM;
		k->in = p;
		k->cap = cap;
	}
	n = recv(k->fd, k->in + k->got, k->cap - k->got, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0
		       : errno == ECONNRESET             ? ERR_NO_DAEMON
							 : -errno;
	if (n == 0)
		return k->got == 0 ? ERR_NO_DAEMON : ERR_TRUNCATED;
	k->got += (size_t)n;
	int64_t whole = ctl_frame(k->in, k->got, KUBE_REPLY_BYTES);
	if (whole <= 0)
		return (int)whole;
	if ((size_t)whole < k->got)
		return ERR_MALFORMED; /* one reply to one request */
	return (size_t)whole == k->got;
}

static void socket_ready(void *ctx, int events)
{
	struct kube_ctl *k = ctx;
	int r = 0;

	if (events & LOOP_WRITE)
		r = send_some(k);
	if (r >= 0 && events & LOOP_READ)
		r = receive_some(k);
	if (r != 0)
		finish(k, r > 0 ? 0 : r);
}

int kube_ctl_new(struct loop *l, const char *path, struct kube_ctl **out)
{
	struct kube_ctl *k;

	if (strlen(path) >= sizeof(k->at.sun_path))
		return ERR_RANGE;
	k = calloc(1, sizeof(*k));
	if (!k)
		return ERR_NOMEM;
	k->loop = l;
	k->fd = -1;
	k->at.sun_family = AF_UNIX;
	strcpy(k->at.sun_path, path);
	k->timer = loop_timer_new(l, timer_due, k);
	if (!k->timer) {
		free(k);
		return ERR_NOMEM;
	}
	*out = k;
	return 0;
}

void kube_ctl_free(struct kube_ctl *k)
{
	if (!k)
		return;
	close_socket(k);
	loop_timer_free(k->timer);
	free(k->in);
	free(k);
}

static int open_socket(struct kube_ctl *k)
{
	k->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (k->fd < 0)
		return -errno;
	/* local: it connects now or never; a full queue of weftd's is EAGAIN, and asked again later */
	if (connect(k->fd, (const struct sockaddr *)&k->at, sizeof(k->at)) != 0)
		return -errno;
	k->io = loop_io_new(k->loop, k->fd, LOOP_READ | LOOP_WRITE, socket_ready, k);
	return k->io ? 0 : ERR_NOMEM;
}

int kube_ctl_ask(struct kube_ctl *k, const struct ctl_request *rq,
	void (*fn)(void *ctx, const struct ctl_reply *reply, int err), void *ctx)
{
	int n;

	if (k->busy)
		return ERR_BUSY;
	n = ctl_request_encode(rq, k->out, sizeof(k->out));
	if (n < 0)
		return n;
	k->busy = true;
	k->out_len = (size_t)n;
	k->sent = k->got = 0;
	k->fn = fn;
	k->ctx = ctx;
	k->failed = open_socket(k);
	loop_timer_set(
		k->timer, k->failed ? loop_now() : ts_add(loop_now(), DUR_SEC(KUBE_CTL_SECS)));
	return 0;
}
