/* peers.c - weft-sim-peers: plays the other nodes of a cluster to a real weftd.
 *
 * The simulator with two differences. Its clock is the real one: once the simulated nodes are there, events
 * fire when their time has come (if the machine is slow, later, in order). And it is not closed: what is
 * sent to an address that is no simulated host's goes out by UDP with the host's own address as source, and
 * what comes in for a host's address enters there. Sessions with the daemon are real ones, those among the
 * simulated nodes plain (sim_sess.h). Hosts have the addresses 100.64.0.1 and up, port 6793: all of
 * 100.64.0.0/10 must be local in the network namespace that this runs in,
 *
 *	ip route add local 100.64.0.0/10 dev lo
 *
 * and the daemon must have a route there. One socket serves all; IP_PKTINFO tells hosts apart.
 *
 * With --faults PROFILE (sim_fault.h) one of the nodes does to the others, the daemon first of all, what the
 * profile says, from FAULTS_AFTER the daemon's first session on. Nothing checks the simulated nodes then:
 * whoever starts this looks at the daemon.
 *
 * Prints "ready" when the simulated cluster stands, before it "liar NAME" if there is one; on SIGTERM or SIGINT what there was, and ends. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "weft/bounds.h"
#include "weft/wire.h"
#include "key.h"
#include "peers_paper.h"
#include "sim_fault.h"
#include "sim_hostile.h"
#include "sim_net.h"
#include "sim_node.h"

#define DATAGRAMS_PER_TURN 256
#define DATAGRAM_MAX       65535
#define RCVBUF_BYTES       (8 << 20)
#define BEHIND_MAX         DUR_MS(100) /* then the socket is looked at, whatever is due */
#define FAULTS_AFTER       DUR_SEC(3)

static const char usage[] =
	"usage: weft-sim-peers [options]\n"
	"  --nodes N           nodes to play (10)\n"
	"  --seed S            everything random of theirs comes from it (1)\n"
	"  --whole             all have cores from the start; else only those that the daemon "
	"speaks to,\n"
	"                      the others answer probes and are known by their records\n"
	"  --faults PROFILE    as with weft-sim; one of them does it all, and all have cores\n"
	"  --secret-file FILE  where to write the cluster's secret, for the daemon\n";

struct player {
	struct sim *s;
	int fd;
	ts_t ahead; /* the simulation's clock is behind the monotonic one by so much */
	uint64_t in, out, unsent;
	ts_t faults_at; /* simulation time; TS_NEVER: the daemon isn't there yet, or they have begun */
	bool faults_begun;
};

static volatile sig_atomic_t stopped;

static void on_signal(int signo)
{
	(void)signo;
	stopped = 1;
}

static uint64_t clock_ns(clockid_t c)
{
	struct timespec t;

	clock_gettime(c, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static ts_t virtual_now(const struct player *p)
{
	return (ts_t){clock_ns(CLOCK_MONOTONIC) - p->ahead.ns};
}

/* --- the socket --- */

static struct sockaddr_in to_sockaddr(const struct ep *ep)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(ep->port)};

	memcpy(&sa.sin_addr, ep->ip.b, 4);
	return sa;
}

static struct ep from_sockaddr(const struct sockaddr_in *sa)
{
	return (struct ep){.ip = ip_v4(ntohl(sa->sin_addr.s_addr)), .port = ntohs(sa->sin_port)};
}

static void go_out(
	void *ctx, const struct ep *from, const struct ep *to, const uint8_t *buf, size_t len)
{
	struct player *p = ctx;
	struct sockaddr_in sa = to_sockaddr(to);
	union {
		char buf[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr align;
	} c = {.buf = {0}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr m = {.msg_name = &sa,
		.msg_namelen = sizeof(sa),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.buf,
		.msg_controllen = sizeof(c.buf)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	struct in_pktinfo info = {.ipi_ifindex = 0};

	memcpy(&info.ipi_spec_dst, from->ip.b, 4);
	h->cmsg_level = IPPROTO_IP;
	h->cmsg_type = IP_PKTINFO;
	h->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(h), &info, sizeof(info));
	if (p->fd < 0 || to->ip.family != IP_V4 || sendmsg(p->fd, &m, 0) < 0)
		p->unsent++;
	else
		p->out++;
}

/* One datagram into the simulation; false: none waits. */
static bool come_in(struct player *p)
{
	static uint8_t buf[DATAGRAM_MAX];
	struct sockaddr_in sa;
	union {
		char buf[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr align;
	} c;
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
	struct msghdr m = {.msg_name = &sa,
		.msg_namelen = sizeof(sa),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.buf,
		.msg_controllen = sizeof(c.buf)};
	ssize_t len = recvmsg(p->fd, &m, MSG_DONTWAIT);
	struct in_pktinfo info;
	struct ep from, to = {.port = WIRE_DEFAULT_PORT};

	if (len < 0)
		return false;
	from = from_sockaddr(&sa);
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level != IPPROTO_IP || h->cmsg_type != IP_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(h), sizeof(info));
		to.ip = ip_v4(ntohl(info.ipi_addr.s_addr));
		p->in++;
		if (len > 0)
			sim_net_inject(p->s->net, &from, &to, buf, (size_t)len);
	}
	return true;
}

static int open_socket(void)
{
	int on = 1, bytes = RCVBUF_BYTES, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(WIRE_DEFAULT_PORT)};

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) != 0 ||
		bind(fd, (const struct sockaddr *)(const void *)&sa, sizeof(sa)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* --- the run --- */

static void faults(struct player *p)
{
	if (p->faults_begun || !p->s->has_outside || !sim_faults_any(p->s->faults))
		return;
	if (ts_is_never(p->faults_at))
		p->faults_at = ts_add(p->s->now, FAULTS_AFTER);
	p->faults_begun = ts_due(p->faults_at, p->s->now);
	if (p->faults_begun)
		sim_faults_begin(p->s->faults);
}

static void play(struct player *p)
{
	struct pollfd pfd = {.fd = p->fd, .events = POLLIN};

	while (!stopped) {
		ts_t now = virtual_now(p), next = sim_next(p->s);
		int wait = -1;

		if (!ts_is_never(next))
			wait = ts_due(next, now) ? 0 : (int)(ts_sub(next, now).ns / 1000000) + 1;
		if (poll(&pfd, 1, wait) < 0 && errno != EINTR)
			return;
		for (int i = 0; i < DATAGRAMS_PER_TURN && come_in(p); i++)
			;
		now = virtual_now(p);
		if (ts_sub(now, p->s->now).ns > BEHIND_MAX.ns)
			now = ts_add(p->s->now, BEHIND_MAX);
		(void)sim_run(p->s, now);
		faults(p);
	}
}

static bool write_secret(const char *path)
{
	char text[SECRET_STRLEN + 1];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t len;
	bool ok;

	if (fd < 0)
		return false;
	secret_fmt(sim_node_secret_of_all(), text);
	len = strlen(text);
	text[len++] = '\n';
	ok = write(fd, text, len) == (ssize_t)len;
	return close(fd) == 0 && ok;
}

/* From now on simulated wall clocks show the real time. */
static void set_clocks(struct player *p)
{
	int64_t off = (int64_t)(clock_ns(CLOCK_REALTIME) - SIM_WALL_START - p->s->now.ns);

	for (unsigned i = 0; i < p->s->cfg.nodes; i++)
		sim_node_step_clock(p->s->nodes[i], off);
	p->ahead = (ts_t){clock_ns(CLOCK_MONOTONIC) - p->s->now.ns};
}

static void tell(const struct player *p)
{
	unsigned whole = 0;

	for (unsigned i = 0; i < p->s->cfg.nodes; i++)
		whole += sim_node_running(p->s->nodes[i]);
	printf("%u nodes, %u of them whole; datagrams: %llu to the daemon, %llu from it, %llu not "
	       "sent\n",
		p->s->cfg.nodes, whole, (unsigned long long)p->out, (unsigned long long)p->in,
		(unsigned long long)p->unsent);
}

static int run(const struct sim_cfg *cfg, bool all_whole)
{
	struct player p = {.s = sim_new(cfg), .fd = -1, .faults_at = TS_NEVER};
	struct paper *paper = NULL;
	int status = 1;

	if (!p.s) {
		fputs("weft-sim-peers: no memory, or no such profile\n", stderr);
		return 1;
	}
	p.fd = open_socket();
	if (p.fd < 0) {
		fprintf(stderr, "weft-sim-peers: UDP port %u: %s\n", WIRE_DEFAULT_PORT,
			strerror(errno));
		goto out;
	}
	sim_net_outside(p.s->net, go_out, &p);
	/* Nobody else relays: they can't for the daemon, whose packets are sealed. */
	for (unsigned i = 0; p.s->liars && i < p.s->cfg.nodes; i++)
		p.s->nodes[i]->no_relay = i + p.s->liars < p.s->cfg.nodes;
	if (!all_whole)
		paper = paper_new(p.s);
	if (all_whole ? sim_join(p.s) < 0 : !paper) {
		fputs("weft-sim-peers: the simulated nodes don't agree\n", stderr);
		goto out;
	}
	set_clocks(&p);
	if (sim_faults_any(p.s->faults))
		printf("liar %s\n", hostile_nth(p.s, 0)->name);
	puts("ready");
	(void)fflush(stdout);
	play(&p);
	tell(&p);
	status = 0;
out:
	if (p.fd >= 0)
		close(p.fd);
	paper_free(paper);
	sim_free(p.s);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"nodes", required_argument, NULL, 'n'},
		{"seed", required_argument, NULL, 's'}, {"faults", required_argument, NULL, 'l'},
		{"secret-file", required_argument, NULL, 'f'}, {"whole", no_argument, NULL, 'w'},
		{NULL, 0, NULL, 0}};
	const char *secret_file = NULL;
	struct sim_cfg cfg;
	bool whole = false;
	int opt;

	sim_cfg_default(&cfg);
	cfg.nodes = 10;
	cfg.no_crypto = cfg.outside = cfg.no_claims = cfg.no_paths = true;
	cfg.checks = ~0u; /* they know nothing of the daemon */
	cfg.converge = DUR_SEC(600);
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 'n')
			cfg.nodes = (unsigned)strtoul(optarg, NULL, 10);
		else if (opt == 's')
			cfg.seed = strtoull(optarg, NULL, 10);
		else if (opt == 'f')
			secret_file = optarg;
		else if (opt == 'w')
			whole = true;
		else if (opt == 'l')
			cfg.profile = optarg, cfg.liars = 1, cfg.no_paths = false, whole = true;
		else
			cfg.nodes = 0;
	}
	if (cfg.nodes < 2 || cfg.nodes >= LIM_NODES || optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	if (secret_file && !write_secret(secret_file)) {
		fprintf(stderr, "weft-sim-peers: %s: %s\n", secret_file, strerror(errno));
		return 1;
	}
	(void)signal(SIGTERM, on_signal);
	(void)signal(SIGINT, on_signal);
	return run(&cfg, whole);
}
