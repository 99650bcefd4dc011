/* pps.c - UDP packets per second, for benchmarks.
 *
 *	pps recv PORT SECONDS		counts datagrams until none came for a second, at most SECONDS;
 *					prints "received=N seconds=S"
 *	pps send ADDRESS PORT SIZE RATE SECONDS
 *					sends SIZE bytes of payload at RATE a second (0: as fast as it can)
 *					in batches of sendmmsg; prints "sent=N seconds=S"
 *
 * Batches keep the generator from being what is measured; pacing is per batch of a millisecond. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int receive(const char *port, double seconds)
{
	static char bufs[BATCH][2048];
	struct mmsghdr m[BATCH];
	struct iovec v[BATCH];
	struct sockaddr_in6 sa = {
		.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
	struct timeval tv = {1, 0};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), off = 0, size = 16 << 20;
	double end = now() + seconds, first = 0, last = 0;
	uint64_t n = 0;

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (bind(fd, (const struct sockaddr *)(const void *)&sa, sizeof(sa)) != 0) {
		perror("pps: bind");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	memset(m, 0, sizeof(m));
	for (int i = 0; i < BATCH; i++) {
		v[i] = (struct iovec){bufs[i], sizeof(bufs[i])};
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	while (now() < end) {
		int got = recvmmsg(fd, m, BATCH, MSG_WAITFORONE, NULL);

		if (got <= 0 && n > 0)
			break;
		if (got <= 0)
			continue;
		last = now();
		if (n == 0)
			first = last;
		n += (uint64_t)got;
	}
	printf("received=%llu seconds=%.3f\n", (unsigned long long)n, last - first);
	return 0;
}

static int send_all(char **arg)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *ai;
	static char payload[2048];
	struct mmsghdr m[BATCH];
	struct iovec v;
	size_t size = strtoul(arg[2], NULL, 10);
	double rate = atof(arg[3]), seconds = atof(arg[4]), start, t;
	uint64_t sent = 0;
	int fd, buf = 4 << 20;

	if (size > sizeof(payload) || getaddrinfo(arg[0], arg[1], &hints, &ai) != 0) {
		fprintf(stderr, "pps: bad address or size\n");
		return 2;
	}
	fd = socket(ai->ai_family, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buf, sizeof(buf));
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
		perror("pps: connect");
		return 1;
	}
	freeaddrinfo(ai);
	v = (struct iovec){payload, size};
	memset(m, 0, sizeof(m));
	for (int i = 0; i < BATCH; i++) {
		m[i].msg_hdr.msg_iov = &v;
		m[i].msg_hdr.msg_iovlen = 1;
	}
	start = now();
	while ((t = now() - start) < seconds) {
		double due = rate > 0 ? t * rate - (double)sent : BATCH;
		int n = due >= BATCH ? BATCH : (int)due;

		if (n <= 0) {
			struct timespec ms = {0, 200000};

			nanosleep(&ms, NULL);
			continue;
		}
		n = sendmmsg(fd, m, (unsigned)n, 0);
		if (n > 0)
			sent += (uint64_t)n;
	}
	printf("sent=%llu seconds=%.3f\n", (unsigned long long)sent, now() - start);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "recv") == 0)
		return receive(argv[2], atof(argv[3]));
	if (argc == 7 && strcmp(argv[1], "send") == 0)
		return send_all(argv + 2);
	fprintf(stderr, "usage: pps recv PORT SECONDS | pps send ADDRESS PORT SIZE RATE SECONDS\n");
	return 2;
}
