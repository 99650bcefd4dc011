/* The client's side of the control socket. The socket does not block; poll() with what is left of the
 * whole call's time stands before every step, so a daemon that trickles bytes can't hold the caller
 * beyond it. The buffer grows with what has arrived, not with what a length announces. */
#include "client.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "weft/bounds.h"
#include "weft/err.h"

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* 0 when @fd is ready for @events, -ETIMEDOUT. */
static int wait_for(int fd, short events, int64_t deadline)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		int64_t left = deadline - now_ms();
		int n = poll(&p, 1, left > 0 ? (int)left : 0);

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int open_socket(const char *path, int64_t deadline)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int err;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	strcpy(sun.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* a full listen queue is EAGAIN and can't be polled for: try again for as long as there is time */
	while (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) != 0) {
		const struct timespec pause = {.tv_nsec = 20000000};

		err = -errno;
		if (err == -EAGAIN && now_ms() >= deadline)
			err = -ETIMEDOUT;
		if (err != -EINTR && err != -EAGAIN) {
			close(fd);
			return err;
		}
		(void)nanosleep(&pause, NULL);
	}
	return fd;
}

static int send_all(int fd, const uint8_t *buf, size_t len, int64_t deadline)
{
	while (len > 0) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

		if (n >= 0) {
			buf += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			int err = wait_for(fd, POLLOUT, deadline);
			if (err)
				return err;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return ERR_NO_DAEMON;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

/* Read more behind the @n bytes at *@buf; 0 at the end of the stream. */
static ssize_t read_some(int fd, uint8_t **buf, size_t *cap, size_t n, int64_t deadline)
{
	if (n == *cap) {
		size_t more = *cap ? 2 * *cap : 4096;
		uint8_t *p = realloc(*buf, more);
		if (!p)
			return ERR_NOMEM;
		*buf = p;
		*cap = more;
	}
	for (;;) {
		int err = wait_for(fd, POLLIN, deadline);
		if (err)
			return err;
		ssize_t got = recv(fd, *buf + n, *cap - n, 0);
		if (got >= 0)
			return got;
		if (errno == ECONNRESET)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
}

/* One whole message, its length included. */
static int read_message(int fd, int64_t deadline, uint8_t **out, size_t *len)
{
	size_t n = 0, cap = 0;

	for (;;) {
		int64_t whole = ctl_frame(*out, n, LIM_CTL_REPLY_BYTES);
		if (whole < 0)
			return (int)whole;
		if (whole > 0) {
			*len = (size_t)whole;
			return (size_t)whole == n ? 0
						  : ERR_MALFORMED; /* one reply to one request */
		}
		ssize_t got = read_some(fd, out, &cap, n, deadline);
		if (got < 0)
			return (int)got;
		if (got == 0)
			return n == 0 ? ERR_NO_DAEMON : ERR_TRUNCATED;
		n += (size_t)got;
	}
}

int client_call(
	const char *path, const struct ctl_request *req, int timeout_ms, struct client_answer *out)
{
	int64_t deadline = now_ms() + timeout_ms;
	uint8_t *request;
	size_t len = 0;
	int n, err, fd;

	*out = (struct client_answer){0};
	request = malloc(LIM_CTL_REQUEST_BYTES + CTL_HEADER);
	if (!request)
		return ERR_NOMEM;
	err = n = ctl_request_encode(req, request, LIM_CTL_REQUEST_BYTES + CTL_HEADER);
	if (n < 0)
		goto out_request;
	err = fd = open_socket(path, deadline);
	if (fd < 0)
		goto out_request;
	err = send_all(fd, request, (size_t)n, deadline);
	if (!err)
		err = read_message(fd, deadline, &out->buf, &len);
	close(fd);
	if (!err)
		err = ctl_reply_decode(out->buf + CTL_HEADER, len - CTL_HEADER, &out->reply);
	if (err)
		client_answer_free(out);
out_request:
	free(request);
	return err;
}

void client_answer_free(struct client_answer *a)
{
	if (!a)
		return;
	ctl_reply_free(&a->reply);
	free(a->buf);
	*a = (struct client_answer){0};
}
