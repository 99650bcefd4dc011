/* bgpgen - many BGP peers in one process: some announce, one listens; the time until the listener has
 * heard the last route of each phase is measured. What is announced is made before the clock starts: a
 * distinct attribute set for each 5 to 8 prefixes, AS paths of 3 to 6.
 *
 *	bgpgen DUT FROM LISTENER [sources N] [v4 N] [v6 N] [churn N] [settle SECS] [limit SECS] [pids P,P]
 *
 * DUT is the address of the speaker under test, AS 65000. The sources are N addresses from FROM on, AS
 * 65101 and up, each with its share of the prefixes; the listener has its own address and AS 65100. Phases:
 * load (all routes), settle (then the memory of the processes P is read), churn (N routes get other
 * attributes), withdraw (those N). Prints "WORD VALUE" lines; "PHASE_cpu" is what the processes used in
 * it. DUT "-" measures the generator: its sources speak to its own listener.
 *
 * A session that ends before the load is begun anew, for a minute. What goes wrong later ends the run with
 * status 1 and a line that says so: "PHASE >SECS" when that was too long, else "PHASE !WHY". */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "bgp_cap.h"
#include "bgp_msg.h"
#include "bgp_update.h"
#include "prng.h"

#define MAX_PEERS 64
#define FIRST_V4  0x10000000u /* 16.0.0.0, /24 each */
#define FIRST_V6  0x2a00u     /* 2a00:N:N::/48 */
#define BUF_BYTES (1024 * 1024)
#define GENS      2
#define DIAL_SECS 60

struct peer {
	int fd;
	uint32_t addr, as;
	bool listener, open_seen, up;
	struct wr out; /* what is to be sent */
	size_t sent;
	uint8_t *in;
	size_t in_len;
};

static struct {
	const char *dut;
	uint32_t from, listener;
	unsigned sources, v4, v6, churn, settle, limit;
	const char *pids;
} arg = {.sources = 1, .settle = 30, .limit = 400};

static struct peer peers[MAX_PEERS];
static unsigned npeers;
static uint8_t *state; /* of each prefix, v4 before v6: 0 absent, else 1 + generation */
static unsigned count[1 + GENS];
static unsigned total;
static double next_keepalive;
static const char *doing = "load"; /* the phase */
static bool connecting;            /* sessions that end are begun anew */

static double secs(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "bgpgen: %s: %s\n", what, errno ? strerror(errno) : "failed");
	printf("%s !%s\n", doing, what);
	exit(1);
}

static void begin_anew(struct peer *p);

/* The session of @p ended, as @why says. */
static void lost(struct peer *p, const char *why)
{
	fprintf(stderr, "bgpgen: AS %u: %s while %s\n", p->as, why,
		connecting ? "connecting" : doing);
	if (connecting) {
		begin_anew(p);
		return;
	}
	printf("%s !AS %u: %s\n", doing, p->as, why);
	exit(1);
}

/* --- what is announced --- */

static void put_prefix(struct wr *w, unsigned i)
{
	if (i < arg.v4) {
		wr_u8(w, 24);
		wr_u24(w, (FIRST_V4 >> 8) + i);
	} else {
		wr_u8(w, 48);
		wr_u16(w, FIRST_V6);
		wr_u32(w, i - arg.v4);
	}
}

static void put_path(
	struct wr *w, struct prng *r, const struct peer *p, unsigned group, unsigned gen)
{
	unsigned hops = 3 + (unsigned)prng_below(r, 4);

	bgp_attr_header(w, AF_TRANSITIVE, AT_AS_PATH, 2 + 4 * hops);
	wr_u8(w, SEG_SEQUENCE);
	wr_u8(w, (uint8_t)hops);
	wr_u32(w, p->as);
	for (unsigned i = 0; i + 3 < hops; i++)
		wr_u32(w, 300000 + (uint32_t)prng_below(r, 70000));
	wr_u32(w, 400000 + group); /* no two sets are equal */
	/* The origin tells the generation. */
	wr_u32(w, 100000 * (gen + 1) + (uint32_t)prng_below(r, 70000));
}

/* One UPDATE: the prefixes @at to @at + @n - 1, of one family. */
static void put_update(struct wr *w, struct prng *r, const struct peer *p, unsigned at, unsigned n,
	unsigned group, unsigned gen)
{
	uint8_t *msg = bgp_msg_begin(w, MSG_UPDATE), *len, *start;
	bool v6 = at >= arg.v4;

	wr_u16(w, 0);
	len = wr_skip(w, 2);
	start = w->p;
	bgp_attr_header(w, AF_TRANSITIVE, AT_ORIGIN, 1);
	wr_u8(w, 0);
	put_path(w, r, p, group, gen);
	if (v6) {
		bgp_attr_header(w, AF_OPTIONAL, AT_MP_REACH, 5 + 16 + 7 * n);
		wr_u16(w, 2);
		wr_u8(w, 1);
		wr_u8(w, 16);
		wr_u32(w, 0x20010db8); /* 2001:db8::ADDRESS */
		wr_u64(w, 0);
		wr_u32(w, p->addr & 0xff);
		wr_u8(w, 0);
		for (unsigned i = 0; i < n; i++)
			put_prefix(w, at + i);
	} else {
		bgp_attr_header(w, AF_TRANSITIVE, AT_NEXT_HOP, 4);
		wr_u32(w, p->addr);
	}
	len[0] = (uint8_t)((w->p - start) >> 8);
	len[1] = (uint8_t)(w->p - start);
	for (unsigned i = 0; !v6 && i < n; i++)
		put_prefix(w, at + i);
	bgp_msg_end(w, msg);
}

/* Withdrawals as a router packs them: as many as fit. */
static void put_withdraw(struct wr *w, unsigned at, unsigned n)
{
	uint8_t *msg = bgp_msg_begin(w, MSG_UPDATE);

	if (at < arg.v4) {
		wr_u16(w, (uint16_t)(4 * n));
		for (unsigned i = 0; i < n; i++)
			put_prefix(w, at + i);
		wr_u16(w, 0);
	} else {
		wr_u16(w, 0);
		wr_u16(w, (uint16_t)(4 + 3 + 7 * n));
		wr_u8(w, AF_OPTIONAL | AF_EXTENDED);
		wr_u8(w, AT_MP_UNREACH);
		wr_u16(w, (uint16_t)(3 + 7 * n));
		wr_u16(w, 2);
		wr_u8(w, 1);
		for (unsigned i = 0; i < n; i++)
			put_prefix(w, at + i);
	}
	bgp_msg_end(w, msg);
}

/* The share of source @k of the @n prefixes from @first on. */
static unsigned share(unsigned k, unsigned n)
{
	return (unsigned)((uint64_t)n * k / arg.sources);
}

static void room(struct peer *p, size_t bytes)
{
	uint8_t *buf = malloc(bytes + 65536);

	if (!buf)
		die("memory");
	free(p->out.start);
	wr_init(&p->out, buf, bytes + 65536);
	p->sent = 0;
}

/* Fill each source's output with @v4 and @v6 prefixes in all, each source the first of its own. */
static void generate(unsigned v4, unsigned v6, unsigned gen, bool withdraw)
{
	struct prng r;
	unsigned group = 0;

	prng_seed(&r, 42 + gen);
	for (unsigned k = 0; k < arg.sources; k++) {
		struct peer *p = &peers[k];

		room(p, (size_t)(v4 + v6) * 40 / arg.sources);
		for (unsigned f = 0; f < 2; f++) {
			unsigned base = f ? arg.v4 : 0, n = f ? v6 : v4;
			unsigned at = base + share(k, f ? arg.v6 : arg.v4);
			unsigned end = at + share(k + 1, n) - share(k, n);

			while (at < end) {
				unsigned most = withdraw ? 500 : 5 + (unsigned)prng_below(&r, 4);
				unsigned now = end - at < most ? end - at : most;

				if (withdraw)
					put_withdraw(&p->out, at, now);
				else
					put_update(&p->out, &r, p, at, now, group++, gen);
				at += now;
			}
		}
		if (wr_bad(&p->out))
			die("room");
	}
}

/* --- what is heard --- */

static void set_state(unsigned i, uint8_t to)
{
	if (i >= total)
		return;
	count[state[i]]--;
	count[to]++;
	state[i] = to;
}

static void hear_prefixes(struct rd r, unsigned afi, uint8_t to)
{
	while (rd_left(&r) > 0) {
		unsigned len = rd_u8(&r);

		if (afi == 1 && len == 24) {
			set_state(rd_u24(&r) - (FIRST_V4 >> 8), to);
		} else if (afi == 2 && len == 48 && rd_u16(&r) == FIRST_V6) {
			set_state(arg.v4 + rd_u32(&r), to);
		} else {
			(void)rd_take(&r, (len + 7) / 8);
		}
		if (rd_bad(&r))
			return;
	}
}

static uint8_t generation(struct rd path)
{
	uint32_t last = 0;

	while (rd_left(&path) > 0) {
		unsigned n;

		(void)rd_u8(&path);
		n = rd_u8(&path);
		for (unsigned i = 0; i < n && !rd_bad(&path); i++)
			last = rd_u32(&path);
		if (rd_bad(&path))
			return 1;
	}
	return last >= 100000 && last < 100000 * (1 + GENS) ? (uint8_t)(last / 100000) : 1;
}

static void hear_update(struct rd body)
{
	struct rd gone = rd_sub(&body, rd_u16(&body)), attrs, reach = {0}, unreach = {0};
	uint8_t gen = 1;

	attrs = rd_sub(&body, rd_u16(&body));
	while (rd_left(&attrs) > 0 && !rd_bad(&attrs)) {
		uint8_t flags = rd_u8(&attrs), type = rd_u8(&attrs);
		struct rd v = rd_sub(&attrs, flags & AF_EXTENDED ? rd_u16(&attrs) : rd_u8(&attrs));

		if (type == AT_AS_PATH)
			gen = generation(v);
		else if (type == AT_MP_REACH)
			reach = v;
		else if (type == AT_MP_UNREACH)
			unreach = v;
	}
	hear_prefixes(gone, 1, 0);
	if (rd_left(&unreach) > 3) {
		unsigned afi = rd_u16(&unreach);

		(void)rd_u8(&unreach);
		hear_prefixes(unreach, afi, 0);
	}
	if (rd_left(&reach) > 5) {
		unsigned afi = rd_u16(&reach);

		(void)rd_u8(&reach);
		(void)rd_take(&reach, rd_u8(&reach));
		(void)rd_u8(&reach);
		hear_prefixes(reach, afi, gen);
	}
	hear_prefixes(body, 1, gen);
}

static void hear(struct peer *p)
{
	size_t at = 0;
	char why[40];

	while (p->in_len - at >= 19) {
		const uint8_t *m = p->in + at;
		size_t len = (size_t)m[16] << 8 | m[17];
		struct rd body;

		if (len < 19 || len > 4096)
			die("a message of a wrong length");
		if (p->in_len - at < len)
			break;
		rd_init(&body, m + 19, len - 19);
		if (m[18] == MSG_OPEN) {
			p->open_seen = true;
			bgp_keepalive_encode(&p->out);
		} else if (m[18] == MSG_KEEPALIVE)
			p->up = p->open_seen;
		else if (m[18] == MSG_UPDATE && p->listener)
			hear_update(body);
		else if (m[18] == MSG_NOTIFICATION) {
			snprintf(why, sizeof(why), "got notification %u/%u", m[19], m[20]);
			lost(p, why);
			return;
		}
		at += len;
	}
	memmove(p->in, p->in + at, p->in_len - at);
	p->in_len -= at;
}

/* --- sockets --- */

static void read_peer(struct peer *p)
{
	ssize_t n = recv(p->fd, p->in + p->in_len, BUF_BYTES - p->in_len, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		lost(p, n == 0 ? "the other side closed" : strerror(errno));
		return;
	}
	if (n > 0) {
		p->in_len += (size_t)n;
		hear(p);
	}
}

static void write_peer(struct peer *p)
{
	size_t len = wr_len(&p->out) - p->sent;
	ssize_t n = send(p->fd, p->out.start + p->sent, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	/* What the other side said last is still to be read. */
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		p->sent = wr_len(&p->out);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		die("send");
	p->sent += n > 0 ? (size_t)n : 0;
}

static void keepalives(void)
{
	if (secs() < next_keepalive)
		return;
	next_keepalive = secs() + 20;
	for (unsigned i = 0; i < npeers; i++) {
		struct peer *p = &peers[i];

		if (p->up && p->sent == wr_len(&p->out)) {
			room(p, 64);
			bgp_keepalive_encode(&p->out);
		}
	}
}

/* One turn of at most @ms. */
static void turn(int ms)
{
	struct pollfd fds[MAX_PEERS];

	keepalives();
	for (unsigned i = 0; i < npeers; i++) {
		struct peer *p = &peers[i];

		fds[i] = (struct pollfd){.fd = p->fd,
			.events = (short)(POLLIN | (p->sent < wr_len(&p->out) ? POLLOUT : 0))};
	}
	if (poll(fds, npeers, ms) < 0 && errno != EINTR)
		die("poll");
	for (unsigned i = 0; i < npeers; i++) {
		if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
			read_peer(&peers[i]);
		if ((fds[i].revents & POLLOUT) && peers[i].fd == fds[i].fd)
			write_peer(&peers[i]);
	}
}

static void options(int fd)
{
	int one = 1, size = 4 * BUF_BYTES;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Each try from a fresh socket, until the speaker accepts. */
static void dial(struct peer *p)
{
	struct sockaddr_in self = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(p->addr)};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(179)};
	double until = secs() + DIAL_SECS;

	if (inet_pton(AF_INET, arg.dut, &to.sin_addr) != 1)
		die("address");
	for (;;) {
		p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		options(p->fd);
		if (bind(p->fd, (const void *)&self, sizeof(self)) != 0)
			die("bind");
		if (connect(p->fd, (const void *)&to, sizeof(to)) == 0)
			return;
		close(p->fd);
		if (secs() > until)
			die("connect");
		usleep(200000);
	}
}

static void say_open(struct peer *p)
{
	struct bgp_caps caps = {.families = 3, .as4 = true, .as = p->as};
	struct bgp_open o = {.as = p->as, .hold_secs = 240, .id = p->addr};
	uint8_t cb[64];
	struct wr cw;

	wr_init(&cw, cb, sizeof(cb));
	bgp_caps_encode(&cw, &caps);
	bgp_open_encode(&p->out, &o, cb, wr_len(&cw));
}

static void begin_anew(struct peer *p)
{
	close(p->fd);
	p->open_seen = p->up = false;
	p->in_len = 0;
	room(p, 256);
	usleep(200000);
	dial(p);
	say_open(p);
}

static void add_peer(uint32_t addr, uint32_t as, bool listener)
{
	struct peer *p = &peers[npeers++];

	*p = (struct peer){.addr = addr, .as = as, .listener = listener, .fd = -1};
	p->in = malloc(BUF_BYTES);
	if (!p->in)
		die("memory");
	room(p, 256);
}

static bool all_up(void)
{
	for (unsigned i = 0; i < npeers; i++)
		if (!peers[i].up)
			return false;
	return true;
}

/* Until all sessions have been up for two seconds. */
static void connect_all(void)
{
	double until = secs() + DIAL_SECS, calm = 0;

	connecting = true;
	for (unsigned i = 0; i < npeers; i++) {
		dial(&peers[i]);
		say_open(&peers[i]);
	}
	while (!calm || secs() < calm) {
		turn(100);
		if (!all_up())
			calm = 0;
		else if (!calm)
			calm = secs() + 2;
		errno = 0;
		if (secs() > until)
			die("no sessions");
	}
	connecting = false;
}

/* The generator alone: its one source speaks to its listener. */
static void connect_self(void)
{
	int fds[2];

	if (arg.sources != 1 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		die("a pair");
	for (unsigned i = 0; i < 2; i++) {
		peers[i].fd = fds[i];
		peers[i].up = true;
	}
}

/* --- what the speaker costs --- */

/* Of all threads of one process; the first number of schedstat is nanoseconds. */
static double cpu_of(int pid)
{
	char path[320];
	unsigned long long ns;
	struct dirent *e;
	double sum = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		die(path);
	while ((e = readdir(d)) != NULL) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, e->d_name);
		f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += (double)ns / 1e9;
		if (f)
			fclose(f);
	}
	closedir(d);
	return sum;
}

static double cpu_secs(void)
{
	double sum = 0;

	for (const char *p = arg.pids; p && *p; p += strcspn(p, ","), p += *p == ',')
		sum += cpu_of(atoi(p));
	return sum;
}

static double rss_mb(void)
{
	double sum = 0;

	for (const char *p = arg.pids; p && *p; p += strcspn(p, ","), p += *p == ',') {
		char path[64];
		unsigned long size, rss = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/statm", atoi(p));
		f = fopen(path, "r");
		if (!f || fscanf(f, "%lu %lu", &size, &rss) != 2)
			die(path);
		sum += (double)rss * (double)sysconf(_SC_PAGESIZE) / 1e6;
		fclose(f);
	}
	return sum;
}

/* --- phases --- */

/* Send what was generated, until @k prefixes are in state @s. */
static void phase(const char *name, unsigned s, unsigned k)
{
	double t = secs(), until = t + arg.limit, written = 0, cpu = cpu_secs();

	doing = name;
	while (count[s] != k) {
		bool left = false;

		turn(100);
		for (unsigned i = 0; i < arg.sources; i++)
			left |= peers[i].sent < wr_len(&peers[i].out);
		if (!left && written == 0)
			written = secs() - t;
		if (secs() > until) {
			fprintf(stderr, "bgpgen: %s: %u of %u after %u s, all sent after %.1f s\n",
				name, count[s], k, arg.limit, written);
			printf("%s >%u\n%s_cpu >%.1f\n", name, arg.limit, name, cpu_secs() - cpu);
			exit(1);
		}
	}
	t = secs() - t;
	printf("%s %.3f\n%s_written %.3f\n%s_cpu %.3f\n", name, t, name, written, name,
		cpu_secs() - cpu);
	fflush(stdout);
}

static void parse_args(int argc, char **argv)
{
	struct in_addr a, b;

	if (argc < 4 || inet_pton(AF_INET, argv[2], &a) != 1 ||
		inet_pton(AF_INET, argv[3], &b) != 1) {
		fprintf(stderr, "usage: bgpgen DUT FROM LISTENER [WORD VALUE]...\n");
		exit(2);
	}
	arg.dut = argv[1];
	arg.from = ntohl(a.s_addr);
	arg.listener = ntohl(b.s_addr);
	for (int i = 4; i + 1 < argc; i += 2) {
		unsigned v = (unsigned)strtoul(argv[i + 1], NULL, 10);

		if (strcmp(argv[i], "sources") == 0)
			arg.sources = v;
		else if (strcmp(argv[i], "v4") == 0)
			arg.v4 = v;
		else if (strcmp(argv[i], "v6") == 0)
			arg.v6 = v;
		else if (strcmp(argv[i], "churn") == 0)
			arg.churn = v;
		else if (strcmp(argv[i], "settle") == 0)
			arg.settle = v;
		else if (strcmp(argv[i], "limit") == 0)
			arg.limit = v;
		else if (strcmp(argv[i], "pids") == 0)
			arg.pids = argv[i + 1];
	}
	total = arg.v4 + arg.v6;
	if (arg.sources == 0 || arg.sources >= MAX_PEERS || total == 0 || arg.churn > arg.v4) {
		fprintf(stderr, "bgpgen: out of range\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	parse_args(argc, argv);
	state = calloc(total, 1);
	if (!state)
		die("memory");
	count[0] = total;
	for (unsigned k = 0; k < arg.sources; k++)
		add_peer(arg.from + k, 65101 + k, false);
	add_peer(arg.listener, 65100, true);
	if (strcmp(arg.dut, "-") == 0)
		connect_self();
	else
		connect_all();
	generate(arg.v4, arg.v6, 0, false);
	phase("load", 1, total);
	doing = "settle";
	for (double until = secs() + arg.settle; secs() < until;)
		turn(100);
	printf("rss %.1f\n", rss_mb());
	if (arg.churn > 0) {
		generate(arg.churn, 0, 1, false);
		phase("churn", 2, arg.churn);
		generate(arg.churn, 0, 1, true);
		phase("withdraw", 0, arg.churn);
	}
	printf("rss_end %.1f\n", rss_mb());
	return 0;
}
