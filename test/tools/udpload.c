/* udpload.c - UDP datagrams whose content, order and number the receiver can judge.
 *
 *	udpload echo PORT
 *		answers each datagram with itself until it is killed
 *	udpload sweep ADDRESS PORT MIN MAX WINDOW
 *		sends one datagram of each payload size MIN..MAX to an echo, WINDOW under way at once, and
 *		compares what comes back. Status 1 if one is lost or differs.
 *	udpload recv PORT FLOWS SECONDS
 *		receives FLOWS flows of `send`, until each has ended, at most SECONDS. Prints a line of
 *		KEY=VALUE counts. Status 1 if a datagram was damaged, cut or joined, or an end is missing;
 *		lost and reordered ones are only counted.
 *	udpload send ADDRESS PORT FLOW COUNT RATE MIN MAX SEED [gso]
 *		COUNT datagrams at RATE a second (0: as fast as it goes), sizes MIN..MAX by chance; with gso
 *		in runs that the kernel segments (UDP_SEGMENT), the last of a run shorter.
 *
 * A datagram is a header (struct head, network order) and bytes that follow from seed, flow and number,
 * so the receiver needs no copy of what was sent. All ports are bound for both families. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#define MAX_PAYLOAD 65507
#define MAGIC       0x75646c31u
#define END         0x75646c65u
#define SOCK_BUF    (64 << 20)
#define MAX_FLOWS   64
#define BATCH       64
#define GSO_SEGS    60
#define GSO_BYTES   60000

struct head {
	uint32_t magic, flow, len, seed;
	uint64_t seq;
};

static void die(const char *what)
{
	fprintf(stderr, "udpload: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t mix(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void fill(uint8_t *buf, size_t len, uint64_t seed)
{
	uint64_t v;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		v = mix(&seed);
		memcpy(buf + i, &v, 8);
	}
	v = mix(&seed);
	memcpy(buf + i, &v, len - i);
}

static uint64_t body_seed(uint32_t seed, uint32_t flow, uint64_t seq)
{
	return ((uint64_t)seed << 32 | flow) ^ seq * 0xd1342543de82ef95u;
}

static void make(
	uint8_t *buf, uint32_t magic, uint32_t flow, uint64_t seq, uint32_t seed, size_t len)
{
	struct head h = {
		htonl(magic), htonl(flow), htonl((uint32_t)len), htonl(seed), htobe64(seq)};

	memcpy(buf, &h, sizeof(h));
	fill(buf + sizeof(h), len - sizeof(h), body_seed(seed, flow, seq));
}

static void big_buffers(int fd)
{
	int n = SOCK_BUF;

	/* FORCE needs root; without it the system's limit has to do. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &n, sizeof(n)) != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &n, sizeof(n)) != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n));
}

static int bound(const char *port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), off = 0;

	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0 ||
		bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		die("bind");
	big_buffers(fd);
	printf("ready\n");
	fflush(stdout);
	return fd;
}

static int connected(const char *addr, const char *port)
{
	struct addrinfo hint = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST}, *a;
	int fd;

	if (getaddrinfo(addr, port, &hint, &a) != 0)
		die(addr);
	fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, a->ai_addr, a->ai_addrlen) != 0)
		die("connect");
	freeaddrinfo(a);
	big_buffers(fd);
	return fd;
}

static _Noreturn void echo(const char *port)
{
	static uint8_t buf[MAX_PAYLOAD];
	int fd = bound(port);

	for (;;) {
		struct sockaddr_in6 from;
		socklen_t flen = sizeof(from);
		ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &flen);

		if (n < 0 && errno != ECONNREFUSED)
			die("recv");
		if (n >= 0 && sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, flen) != n)
			fprintf(stderr, "udpload: echo of %zd bytes: %s\n", n, strerror(errno));
	}
}

/* What comes back is recognised by its length: each size is sent once. */
static size_t sweep_take(int fd, bool *back, size_t min, size_t max)
{
	static uint8_t buf[MAX_PAYLOAD], want[MAX_PAYLOAD];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	if (n < 0)
		die("recv");
	if ((size_t)n < min || (size_t)n > max || back[n]) {
		fprintf(stderr, "udpload: an echo of %zd bytes that was not asked for\n", n);
		exit(1);
	}
	fill(want, (size_t)n, (uint64_t)n);
	if (memcmp(buf, want, (size_t)n) != 0) {
		fprintf(stderr, "udpload: the echo of %zd bytes differs\n", n);
		exit(1);
	}
	back[n] = true;
	return 1;
}

static int sweep(char **arg)
{
	static uint8_t buf[MAX_PAYLOAD];
	static bool back[MAX_PAYLOAD + 1];
	size_t min = (size_t)atol(arg[2]), max = (size_t)atol(arg[3]),
	       window = (size_t)atol(arg[4]);
	size_t next = min, got = 0;
	int fd = connected(arg[0], arg[1]);

	while (got < max - min + 1) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		while (next <= max && next - min - got < window) {
			fill(buf, next, (uint64_t)next);
			if (send(fd, buf, next, 0) != (ssize_t)next) {
				fprintf(stderr, "udpload: send of %zu bytes: %s\n", next,
					strerror(errno));
				return 1;
			}
			next++;
		}
		if (poll(&p, 1, 3000) == 0)
			break;
		got += sweep_take(fd, back, min, max);
	}
	if (got == max - min + 1) {
		printf("sizes=%zu lost=0\n", got);
		return 0;
	}
	fprintf(stderr, "udpload: %zu of %zu sizes came back; lost:", got, max - min + 1);
	for (size_t i = min, told = 0; i < next && told < 20; i++)
		if (!back[i]) {
			fprintf(stderr, " %zu", i);
			told++;
		}
	fprintf(stderr, "\n");
	return 1;
}

struct flow {
	uint64_t got, next, late, total;
	bool ended;
};

struct result {
	struct flow flow[MAX_FLOWS];
	uint64_t damaged;
	unsigned ended;
};

static void take(struct result *r, const uint8_t *buf, size_t n)
{
	static uint8_t want[MAX_PAYLOAD];
	struct head h;
	struct flow *f;
	uint64_t seq;

	if (n < sizeof(h)) {
		r->damaged++;
		return;
	}
	memcpy(&h, buf, sizeof(h));
	seq = be64toh(h.seq);
	if (ntohl(h.flow) >= MAX_FLOWS || ntohl(h.len) != n ||
		(ntohl(h.magic) != MAGIC && ntohl(h.magic) != END)) {
		r->damaged++;
		return;
	}
	make(want, ntohl(h.magic), ntohl(h.flow), seq, ntohl(h.seed), n);
	if (memcmp(want, buf, n) != 0) {
		r->damaged++;
		return;
	}
	f = &r->flow[ntohl(h.flow)];
	if (ntohl(h.magic) == END) {
		r->ended += !f->ended;
		f->ended = true;
		f->total = seq;
		return;
	}
	f->got++;
	if (seq >= f->next) {
		f->next = seq + 1;
		return;
	}
	/* The first of each flow is told in full: a rare one can't be had again. */
	if (f->late++ == 0)
		fprintf(stderr, "udpload: flow %u: %llu came behind %llu\n", ntohl(h.flow),
			(unsigned long long)seq, (unsigned long long)f->next - 1);
}

static int result_print(const struct result *r, unsigned flows)
{
	uint64_t got = 0, lost = 0, late = 0, extra = 0;

	for (unsigned i = 0; i < MAX_FLOWS; i++) {
		const struct flow *f = &r->flow[i];

		got += f->got;
		late += f->late;
		if (f->ended && f->total > f->got)
			lost += f->total - f->got;
		if (f->ended && f->got > f->total)
			extra += f->got - f->total;
	}
	printf("got=%llu lost=%llu reordered=%llu doubled=%llu damaged=%llu ended=%u\n",
		(unsigned long long)got, (unsigned long long)lost, (unsigned long long)late,
		(unsigned long long)extra, (unsigned long long)r->damaged, r->ended);
	return r->damaged == 0 && r->ended == flows ? 0 : 1;
}

static int receive(char **arg)
{
	static uint8_t buf[BATCH][MAX_PAYLOAD];
	static struct result r;
	struct mmsghdr m[BATCH];
	struct iovec v[BATCH];
	unsigned flows = (unsigned)atoi(arg[1]);
	uint64_t until = now_ns() + (uint64_t)atoi(arg[2]) * 1000000000u;
	int fd = bound(arg[0]);

	while (now_ns() < until) {
		/* Late ones of a path that reorders are waited for. */
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int ready = poll(&p, 1, r.ended >= flows ? 500 : 200), n;

		if (ready == 0 && r.ended >= flows)
			break;
		if (ready <= 0)
			continue;
		for (int i = 0; i < BATCH; i++) {
			v[i] = (struct iovec){buf[i], MAX_PAYLOAD};
			m[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &v[i], .msg_iovlen = 1}};
		}
		n = recvmmsg(fd, m, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			take(&r, buf[i], m[i].msg_len);
	}
	return result_print(&r, flows);
}

/* A full queue on the way out means: wait, as TCP would. */
static void send_all(int fd, const struct msghdr *m, size_t len)
{
	while (sendmsg(fd, m, 0) != (ssize_t)len) {
		if (errno != ENOBUFS && errno != ECONNREFUSED && errno != EAGAIN)
			die("send");
		usleep(200);
	}
}

static size_t pick(uint64_t *rnd, size_t min, size_t max)
{
	return min + (size_t)(mix(rnd) % (max - min + 1));
}

struct job {
	int fd;
	uint32_t flow, seed;
	uint64_t count, rate, rnd;
	size_t min, max;
	bool gso;
};

/* One send call from number @seq on; returns how many datagrams it was. */
static uint64_t send_run(struct job *j, uint64_t seq)
{
	static uint8_t buf[GSO_BYTES + MAX_PAYLOAD];
	union {
		char b[CMSG_SPACE(sizeof(uint16_t))];
		struct cmsghdr align;
	} c = {{0}};
	size_t seg = pick(&j->rnd, j->min, j->max), n = 1, len = 0;
	struct iovec v = {buf, 0};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	if (j->gso) {
		n = pick(&j->rnd, 1, GSO_SEGS);
		if (n > GSO_BYTES / seg)
			n = GSO_BYTES / seg ? GSO_BYTES / seg : 1;
		if (n > j->count - seq)
			n = j->count - seq;
	}
	for (size_t i = 0; i < n; i++) {
		size_t one = i + 1 == n && n > 1 ? pick(&j->rnd, j->min, seg) : seg;

		make(buf + len, MAGIC, j->flow, seq + i, j->seed, one);
		len += one;
	}
	if (n > 1) {
		uint16_t size = (uint16_t)seg;
		struct cmsghdr *h;

		m.msg_control = c.b;
		m.msg_controllen = sizeof(c.b);
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_UDP;
		h->cmsg_type = UDP_SEGMENT;
		h->cmsg_len = CMSG_LEN(sizeof(size));
		memcpy(CMSG_DATA(h), &size, sizeof(size));
	}
	v.iov_len = len;
	send_all(j->fd, &m, len);
	return n;
}

static int send_flow(char **arg, bool gso)
{
	struct job j = {.flow = (uint32_t)atoi(arg[2]),
		.count = (uint64_t)atoll(arg[3]),
		.rate = (uint64_t)atoll(arg[4]),
		.min = (size_t)atol(arg[5]),
		.max = (size_t)atol(arg[6]),
		.seed = (uint32_t)atol(arg[7]),
		.gso = gso};
	uint8_t end[sizeof(struct head)];
	uint64_t start, seq = 0;
	struct iovec v = {end, sizeof(end)};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	if (j.min < sizeof(struct head) || j.max < j.min || j.max > MAX_PAYLOAD ||
		j.flow >= MAX_FLOWS) {
		fprintf(stderr, "udpload: sizes %zu to %d, flows below %d\n", sizeof(struct head),
			MAX_PAYLOAD, MAX_FLOWS);
		return 2;
	}
	j.rnd = body_seed(j.seed, j.flow, 0);
	j.fd = connected(arg[0], arg[1]);
	start = now_ns();
	while (seq < j.count) {
		uint64_t due = j.rate ? (now_ns() - start) * j.rate / 1000000000u + 1 : j.count;

		if (seq < due) {
			seq += send_run(&j, seq);
			continue;
		}
		usleep(500);
	}
	make(end, END, j.flow, j.count, j.seed, sizeof(end));
	for (int i = 0; i < 5; i++) {
		usleep(50000);
		send_all(j.fd, &m, sizeof(end));
	}
	printf("sent=%llu seconds=%.2f\n", (unsigned long long)seq,
		(double)(now_ns() - start) / 1e9);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "echo") == 0 && argc == 3)
		echo(argv[2]);
	if (strcmp(what, "sweep") == 0 && argc == 7)
		return sweep(argv + 2);
	if (strcmp(what, "recv") == 0 && argc == 5)
		return receive(argv + 2);
	if (strcmp(what, "send") == 0 &&
		(argc == 10 || (argc == 11 && strcmp(argv[10], "gso") == 0)))
		return send_flow(argv + 2, argc == 11);
	fprintf(stderr, "usage: see the head of udpload.c\n");
	return 2;
}
