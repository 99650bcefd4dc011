/* tcpload.c - TCP connections that carry bytes both ways at once, each end knowing what must come.
 *
 *	tcpload serve PORT FLOWS MIB	accepts FLOWS connections, both families
 *	tcpload call ADDRESS PORT FLOWS MIB
 *
 * Each connection carries MIB MiB in each direction; both ends send and receive at the same time and
 * compare the stream with what the sender made (it follows from flow number and direction) and its
 * length. Prints one line; status 1 at the first difference, a short stream or a broken connection. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK     65536
#define MAX_FLOWS 64

struct conn {
	int fd;
	uint64_t flow, bytes;
	bool caller, failed;
	pthread_t tx, rx;
};

static void die(const char *what)
{
	fprintf(stderr, "tcpload: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void fill(uint8_t *buf, uint64_t *state)
{
	for (size_t i = 0; i < CHUNK; i += 8) {
		uint64_t z = *state += 0x9e3779b97f4a7c15u;

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z ^= z >> 27;
		memcpy(buf + i, &z, 8);
	}
}

static uint64_t stream_seed(const struct conn *c, bool from_caller)
{
	return (c->flow + 1) << 8 | (from_caller ? 1 : 2);
}

static void *sender(void *p)
{
	struct conn *c = p;
	uint64_t state = stream_seed(c, c->caller), left = c->bytes;
	uint8_t buf[CHUNK];

	while (left > 0) {
		size_t off = 0;

		fill(buf, &state);
		while (off < CHUNK) {
			ssize_t n = send(c->fd, buf + off, CHUNK - off, MSG_NOSIGNAL);

			if (n <= 0) {
				fprintf(stderr, "tcpload: flow %llu: send: %s\n",
					(unsigned long long)c->flow, strerror(errno));
				c->failed = true;
				return NULL;
			}
			off += (size_t)n;
		}
		left -= CHUNK;
	}
	(void)shutdown(c->fd, SHUT_WR);
	return NULL;
}

static void *receiver(void *p)
{
	struct conn *c = p;
	uint64_t state = stream_seed(c, !c->caller), got = 0;
	uint8_t buf[CHUNK], want[CHUNK];

	for (;;) {
		size_t at = (size_t)(got % CHUNK);
		ssize_t n = recv(c->fd, buf, CHUNK - at, 0);

		if (n < 0) {
			fprintf(stderr, "tcpload: flow %llu: recv after %llu bytes: %s\n",
				(unsigned long long)c->flow, (unsigned long long)got,
				strerror(errno));
			break;
		}
		if (n == 0) {
			if (got != c->bytes)
				fprintf(stderr, "tcpload: flow %llu: %llu of %llu bytes came\n",
					(unsigned long long)c->flow, (unsigned long long)got,
					(unsigned long long)c->bytes);
			c->failed |= got != c->bytes;
			return NULL;
		}
		if (at == 0)
			fill(want, &state);
		if (memcmp(buf, want + at, (size_t)n) != 0) {
			fprintf(stderr,
				"tcpload: flow %llu: differs within %zd bytes from %llu on\n",
				(unsigned long long)c->flow, n, (unsigned long long)got);
			break;
		}
		got += (uint64_t)n;
	}
	c->failed = true;
	(void)shutdown(c->fd, SHUT_RDWR);
	return NULL;
}

static int listen_on(const char *port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0, on = 1;

	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, MAX_FLOWS) != 0)
		die("listen");
	printf("ready\n");
	fflush(stdout);
	return fd;
}

static int call(const char *addr, const char *port)
{
	struct addrinfo hint = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *a;
	int fd;

	if (getaddrinfo(addr, port, &hint, &a) != 0)
		die(addr);
	fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, a->ai_addr, a->ai_addrlen) != 0)
		die("connect");
	freeaddrinfo(a);
	return fd;
}

/* The caller names its flow: connections may be accepted in another order. */
static void greet(struct conn *c, uint64_t flow)
{
	uint8_t b = (uint8_t)flow;

	if (c->caller ? send(c->fd, &b, 1, MSG_NOSIGNAL) != 1
		      : recv(c->fd, &b, 1, MSG_WAITALL) != 1)
		die("greeting");
	c->flow = b;
}

int main(int argc, char **argv)
{
	static struct conn conns[MAX_FLOWS];
	bool caller = argc == 6 && strcmp(argv[1], "call") == 0;
	struct timespec a, b;
	int flows, listener = -1;
	bool failed = false;
	double secs;

	if (!caller && !(argc == 5 && strcmp(argv[1], "serve") == 0)) {
		fprintf(stderr, "usage: see the head of tcpload.c\n");
		return 2;
	}
	flows = atoi(argv[argc - 2]);
	if (flows < 1 || flows > MAX_FLOWS)
		return 2;
	if (!caller)
		listener = listen_on(argv[2]);
	for (int i = 0; i < flows; i++) {
		struct conn *c = &conns[i];

		c->caller = caller;
		c->bytes = (uint64_t)atoll(argv[argc - 1]) << 20;
		c->fd = caller ? call(argv[2], argv[3]) : accept(listener, NULL, NULL);
		if (c->fd < 0)
			die("accept");
		greet(c, (uint64_t)i);
	}
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < flows; i++)
		if (pthread_create(&conns[i].tx, NULL, sender, &conns[i]) != 0 ||
			pthread_create(&conns[i].rx, NULL, receiver, &conns[i]) != 0)
			die("thread");
	for (int i = 0; i < flows; i++) {
		pthread_join(conns[i].tx, NULL);
		pthread_join(conns[i].rx, NULL);
		failed |= conns[i].failed;
		close(conns[i].fd);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	secs = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("flows=%d mib=%s seconds=%.2f %s\n", flows, argv[argc - 1], secs,
		failed ? "DIFFERENT" : "equal");
	return failed;
}
