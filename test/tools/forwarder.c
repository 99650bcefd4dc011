/* forwarder.c - a cable between two interfaces, with delay, reordering and loss by chance.
 *
 *	forwarder IFACE IFACE [--delay USEC] [--reorder PERCENT] [--extra USEC] [--drop PERCENT] [--seed N]
 *
 * Every frame is taken from one interface by a packet socket and sent on the other after the delay; of
 * those that are to be reordered, up to --extra (5000) later still, so that others overtake them. Frames
 * go with their virtio-net header: segmentation and checksums stay as the sender's kernel left them.
 * SIGTERM ends it; it prints what it did. Lossless by itself: frames held are bounded (HELD_MAX, status
 * 1 if that is reached), and the kernel's count of frames lost on the way in is printed. */
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#define FRAME_MAX (sizeof(struct virtio_net_hdr) + 66000)
#define HELD_MAX  100000
#define SOCK_BUF  (64 << 20)

struct held {
	uint64_t due, order; /* ns; the order of arrival decides between equals */
	int out;
	size_t len;
	uint8_t *bytes;
};

struct cable {
	int fd[2];
	struct held heap[HELD_MAX];
	size_t n;
	uint64_t delay, extra, rnd, order; /* ns */
	double reorder, drop;              /* 0..1 */
	uint64_t passed, reordered, dropped, failed;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "forwarder: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t chance(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static bool lot(struct cable *c, double p)
{
	return (double)(chance(&c->rnd) >> 11) / (double)(1ull << 53) < p;
}

static bool before(const struct held *a, const struct held *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void heap_push(struct cable *c, const struct held *h)
{
	size_t i = c->n++;

	while (i > 0 && before(h, &c->heap[(i - 1) / 2])) {
		c->heap[i] = c->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	c->heap[i] = *h;
}

static struct held heap_pop(struct cable *c)
{
	struct held top = c->heap[0], last = c->heap[--c->n];
	size_t i = 0, kid;

	while ((kid = 2 * i + 1) < c->n) {
		if (kid + 1 < c->n && before(&c->heap[kid + 1], &c->heap[kid]))
			kid++;
		if (!before(&c->heap[kid], &last))
			break;
		c->heap[i] = c->heap[kid];
		i = kid;
	}
	c->heap[i] = last;
	return top;
}

static int tap(const char *ifname)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1,
	    n = SOCK_BUF;

	a.sll_ifindex = (int)if_nametoindex(ifname);
	if (a.sll_ifindex == 0)
		die(ifname);
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &n, sizeof(n)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &n, sizeof(n)) != 0 ||
		bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		die("packet socket");
	return fd;
}

static void take(struct cable *c, int from)
{
	static uint8_t buf[FRAME_MAX];
	struct held h;
	ssize_t n;

	while ((n = recv(c->fd[from], buf, sizeof(buf), 0)) > 0) {
		if (lot(c, c->drop)) {
			c->dropped++;
			continue;
		}
		if (c->n == HELD_MAX) {
			fprintf(stderr, "forwarder: %d frames held, no room for more\n", HELD_MAX);
			exit(1);
		}
		h = (struct held){
			now_ns() + c->delay, c->order++, !from, (size_t)n, malloc((size_t)n)};
		if (!h.bytes)
			die("memory");
		memcpy(h.bytes, buf, (size_t)n);
		if (lot(c, c->reorder)) {
			h.due += chance(&c->rnd) % (c->extra + 1);
			c->reordered++;
		}
		heap_push(c, &h);
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
		die("recv");
}

static void pass(struct cable *c)
{
	while (c->n > 0 && c->heap[0].due <= now_ns()) {
		struct held h = heap_pop(c);
		ssize_t n;

		while ((n = send(c->fd[h.out], h.bytes, h.len, 0)) < 0 &&
			(errno == ENOBUFS || errno == EAGAIN) && !stop)
			usleep(50);
		c->passed += n == (ssize_t)h.len;
		c->failed += n != (ssize_t)h.len;
		free(h.bytes);
	}
}

static void run(struct cable *c)
{
	struct pollfd p[2] = {
		{.fd = c->fd[0], .events = POLLIN}, {.fd = c->fd[1], .events = POLLIN}};

	while (!stop) {
		struct timespec wait = {.tv_sec = 1};
		uint64_t now = now_ns();

		if (c->n > 0) {
			uint64_t left = c->heap[0].due > now ? c->heap[0].due - now : 0;

			wait = (struct timespec){
				(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
		}
		if (ppoll(p, 2, &wait, NULL) < 0 && errno != EINTR)
			die("poll");
		for (int i = 0; i < 2; i++)
			if (p[i].revents)
				take(c, i);
		pass(c);
	}
}

static void options(struct cable *c, int argc, char **argv)
{
	for (int i = 3; i + 1 < argc; i += 2) {
		double v = atof(argv[i + 1]);

		if (strcmp(argv[i], "--delay") == 0)
			c->delay = (uint64_t)(v * 1000);
		else if (strcmp(argv[i], "--extra") == 0)
			c->extra = (uint64_t)(v * 1000);
		else if (strcmp(argv[i], "--reorder") == 0)
			c->reorder = v / 100;
		else if (strcmp(argv[i], "--drop") == 0)
			c->drop = v / 100;
		else if (strcmp(argv[i], "--seed") == 0)
			c->rnd = (uint64_t)atoll(argv[i + 1]);
		else {
			fprintf(stderr, "forwarder: unknown option %s\n", argv[i]);
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	static struct cable c = {.extra = 5000000};
	struct sigaction sa = {.sa_handler = on_signal};
	uint64_t lost = 0;

	if (argc < 3 || argc % 2 == 0) {
		fprintf(stderr, "usage: see the head of forwarder.c\n");
		return 2;
	}
	options(&c, argc, argv);
	for (int i = 0; i < 2; i++)
		c.fd[i] = tap(argv[i + 1]);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	printf("ready\n");
	fflush(stdout);
	run(&c);
	for (int i = 0; i < 2; i++) {
		struct tpacket_stats st = {0};
		socklen_t len = sizeof(st);

		(void)getsockopt(c.fd[i], SOL_PACKET, PACKET_STATISTICS, &st, &len);
		lost += st.tp_drops;
	}
	printf("passed=%llu reordered=%llu dropped=%llu unsent=%llu overrun=%llu\n",
		(unsigned long long)c.passed, (unsigned long long)c.reordered,
		(unsigned long long)c.dropped, (unsigned long long)c.failed,
		(unsigned long long)lost);
	return 0;
}
