/* udpgen.c - the UDP load of test/bench/tunnel.sh: datagrams in batches at a set rate, and a receiver that counts.
 *
 *	udpgen recv ADDR PORT
 *	    counts until it gets SIGTERM, takes what still waits, prints "COUNT BYTES".
 *	udpgen send ADDR PORT SIZE RATE SECS
 *	    RATE datagrams/s (0: as fast as it goes) of SIZE bytes of UDP payload, for SECS seconds; prints "COUNT NSECS".
 *
 * Batches of sendmmsg() without UDP_SEGMENT: each datagram enters the device as a packet of its own, as those of
 * many small flows do. The sender spins between batches, so that its pace does not hang on timers; a batch holds
 * what is due in 50 us, at most 64. What the socket refuses (ENOBUFS) counts as sent, since a loss it is. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH      64
#define MAX_SIZE   65507
#define BATCH_NS   50000 /* the time that one batch stands for, at most */
#define NS_PER_SEC 1000000000ull

static volatile sig_atomic_t ended;

static void on_term(int signo)
{
	(void)signo;
	ended = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

static int usage(void)
{
	fprintf(stderr, "usage: udpgen recv ADDR PORT | udpgen send ADDR PORT SIZE RATE SECS\n");
	return 2;
}

static bool parse_u64(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *out <= max;
}

static bool parse_addr(
	const char *addr, const char *port, struct sockaddr_storage *sa, socklen_t *len)
{
	struct sockaddr_in *v4 = (void *)sa;
	struct sockaddr_in6 *v6 = (void *)sa;
	uint64_t p;

	memset(sa, 0, sizeof(*sa));
	if (!parse_u64(port, 65535, &p))
		return false;
	if (inet_pton(AF_INET, addr, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)p);
		*len = sizeof(*v4);
		return true;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)p);
	*len = sizeof(*v6);
	return inet_pton(AF_INET6, addr, &v6->sin6_addr) == 1;
}

/* A large buffer, so that the receiver's turn on a busy core is not taken for loss in the tunnel. */
static int open_socket(int family, int option)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), bytes = 16 << 20;

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof(bytes)) != 0)
		perror("udpgen: socket buffer");
	return fd;
}

static int run_recv(const struct sockaddr_storage *sa, socklen_t len)
{
	static unsigned char bytes[BATCH][2048];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	uint64_t count = 0, total = 0;
	int fd = open_socket(sa->ss_family, SO_RCVBUFFORCE);
	struct pollfd readable = {.fd = fd, .events = POLLIN};

	if (fd < 0 || bind(fd, (const struct sockaddr *)sa, len) != 0) {
		perror("udpgen: bind");
		return 1;
	}
	memset(msgs, 0, sizeof(msgs));
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	for (;;) {
		int n = recvmmsg(fd, msgs, BATCH, MSG_DONTWAIT, NULL);

		for (int i = 0; i < n; i++)
			total += msgs[i].msg_len;
		count += n > 0 ? (uint64_t)n : 0;
		if (n > 0)
			continue;
		if (ended)
			break;
		(void)poll(&readable, 1, 100); /* SIGTERM just before it costs 100 ms */
	}
	printf("%" PRIu64 " %" PRIu64 "\n", count, total);
	close(fd);
	return 0;
}

/* How many of @rate per second are due @ns after the start. */
static uint64_t due(uint64_t rate, uint64_t ns)
{
	return ns / NS_PER_SEC * rate + ns % NS_PER_SEC * rate / NS_PER_SEC;
}

static int run_send(
	const struct sockaddr_storage *sa, socklen_t len, size_t size, uint64_t rate, uint64_t secs)
{
	static unsigned char bytes[MAX_SIZE];
	struct iovec iov = {bytes, size};
	struct mmsghdr msgs[BATCH];
	uint64_t sent = 0, start, ns = 0, batch = rate * BATCH_NS / NS_PER_SEC;
	int fd = open_socket(sa->ss_family, SO_SNDBUFFORCE);

	if (fd < 0 || connect(fd, (const struct sockaddr *)sa, len) != 0) {
		perror("udpgen: connect");
		return 1;
	}
	batch = batch < 1 ? 1 : batch > BATCH ? BATCH : batch;
	memset(msgs, 0, sizeof(msgs));
	for (int i = 0; i < BATCH; i++) {
		msgs[i].msg_hdr.msg_iov = &iov;
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	for (start = now_ns(); !ended && (ns = now_ns() - start) < secs * NS_PER_SEC;) {
		uint64_t want = rate ? due(rate, ns) : sent + BATCH;
		int n;

		if (rate && want < sent + batch)
			continue;
		want = want - sent > BATCH ? BATCH : want - sent;
		n = sendmmsg(fd, msgs, (unsigned)want, 0);
		if (n < 0 && errno != ENOBUFS && errno != ECONNREFUSED && errno != EINTR) {
			perror("udpgen: sendmmsg");
			close(fd);
			return 1;
		}
		sent += n > 0 ? (uint64_t)n : 1;
	}
	printf("%" PRIu64 " %" PRIu64 "\n", sent, ns);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = on_term};
	struct sockaddr_storage sa;
	uint64_t size, rate, secs;
	socklen_t len;

	if (argc < 4 || !parse_addr(argv[2], argv[3], &sa, &len))
		return usage();
	sigaction(SIGTERM, &act, NULL);
	if (argc == 4 && strcmp(argv[1], "recv") == 0)
		return run_recv(&sa, len);
	if (argc != 7 || strcmp(argv[1], "send") != 0 || !parse_u64(argv[4], MAX_SIZE, &size) ||
		!parse_u64(argv[5], 1000000000, &rate) || !parse_u64(argv[6], 3600, &secs))
		return usage();
	return run_send(&sa, len, size, rate, secs);
}
