/* resolve.c - see resolve.h. A thread shares nothing with the daemon but the write end of a pipe:
 * it gets a copy of the name and answers with one record, small enough to be written in one piece
 * (PIPE_BUF). */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include "weft/err.h"
#include "resolve.h"

struct answer {
	uint64_t tag;
	size_t n;
	struct ip ips[RESOLVE_ADDRS];
	char error[64];
};

struct resolver {
	struct loop_io *io;
	void (*fn)(void *ctx, uint64_t tag, const struct ip *ips, size_t n, const char *error);
	void *ctx;
	int rfd, wfd;
	unsigned running;
};

struct job {
	uint64_t tag;
	int fd; /* the thread's own duplicate */
	char host[256];
};

static void add_address(struct answer *a, const struct sockaddr *sa)
{
	struct ip ip;

	if (sa->sa_family == AF_INET)
		ip = ip_v4_bytes(
			(const uint8_t *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr);
	else if (sa->sa_family == AF_INET6)
		ip = ip_v6_bytes((const uint8_t *)&((const struct sockaddr_in6 *)(const void *)sa)
					 ->sin6_addr);
	else
		return;
	if (a->n < RESOLVE_ADDRS)
		a->ips[a->n++] = ip;
}

static void *look_up(void *arg)
{
	struct job *j = arg;
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list = NULL;
	struct answer a;
	int e = getaddrinfo(j->host, NULL, &hints, &list);

	memset(&a, 0, sizeof(a));
	a.tag = j->tag;
	if (e)
		snprintf(a.error, sizeof(a.error), "%.60s", gai_strerror(e));
	for (struct addrinfo *i = list; i; i = i->ai_next)
		add_address(&a, i->ai_addr);
	if (list)
		freeaddrinfo(list);
	while (write(j->fd, &a, sizeof(a)) < 0 && errno == EINTR)
		;
	close(j->fd);
	free(j);
	return NULL;
}

static void on_answer(void *ctx, int events)
{
	struct resolver *r = ctx;
	struct answer a;

	(void)events;
	while (read(r->rfd, &a, sizeof(a)) == (ssize_t)sizeof(a)) {
		r->running--;
		r->fn(r->ctx, a.tag, a.ips, a.n, a.error);
	}
}

int resolve_new(struct loop *l,
	void (*fn)(void *ctx, uint64_t tag, const struct ip *ips, size_t n, const char *error),
	void *ctx, struct resolver **out)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int fds[2];

	_Static_assert(
		sizeof(struct answer) <= 512, "an answer is written in one piece (POSIX PIPE_BUF)");
	if (!r)
		return ERR_NOMEM;
	if (pipe2(fds, O_CLOEXEC) != 0) {
		int e = -errno;

		free(r);
		return e;
	}
	r->rfd = fds[0];
	r->wfd = fds[1];
	r->fn = fn;
	r->ctx = ctx;
	(void)fcntl(r->rfd, F_SETFL, O_NONBLOCK);
	r->io = loop_io_new(l, r->rfd, LOOP_READ, on_answer, r);
	if (!r->io) {
		resolve_free(r);
		return ERR_NOMEM;
	}
	*out = r;
	return 0;
}

void resolve_free(struct resolver *r)
{
	if (!r)
		return;
	loop_io_free(r->io);
	close(r->rfd);
	close(r->wfd);
	free(r);
}

int resolve_start(struct resolver *r, const char *host, uint64_t tag)
{
	pthread_attr_t attr;
	pthread_t thread;
	struct job *j;
	int e;

	if (r->running >= RESOLVE_MAX)
		return ERR_BUSY;
	if (strlen(host) >= sizeof(j->host))
		return ERR_RANGE;
	j = calloc(1, sizeof(*j));
	if (!j)
		return ERR_NOMEM;
	j->tag = tag;
	snprintf(j->host, sizeof(j->host), "%s", host);
	j->fd = fcntl(r->wfd, F_DUPFD_CLOEXEC, 0);
	if (j->fd < 0) {
		e = -errno;
		free(j);
		return e;
	}
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	e = loop_thread_begin(&thread, &attr, look_up, j);
	pthread_attr_destroy(&attr);
	if (e) {
		close(j->fd);
		free(j);
		return e;
	}
	r->running++;
	return 0;
}
