/* Learned routes into the kernel's table: COUNT routes of each family by kfib, beside `ip -batch` for the same
 * ones, in a namespace of its own; and from one stated route until the kernel uses it. Time and, behind
 * strokes, CPU time, the kernel's part included, and for kfib the time in which it was ready and had no CPU: what
 * is left are waits for the kernel's locks.
 * Usage, as root: kfib_bench [COUNT] [ROUNDS] */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "kfib.h"

#define HOPS   50
#define BUDGET 4096 /* as the daemon's */

static unsigned count = 100000, rounds = 5;

static double secs(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct spent {
	double wall, cpu, ready;
};

/* For how long this process was ready to run and did not. */
static double ready_secs(void)
{
	FILE *f = fopen("/proc/self/schedstat", "r");
	unsigned long long ran, waited = 0;

	if (f && fscanf(f, "%llu %llu", &ran, &waited) != 2)
		waited = 0;
	if (f)
		fclose(f);
	return (double)waited / 1e9;
}

static double cpu_of(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static struct spent now(void)
{
	return (struct spent){secs(), cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN), ready_secs()};
}

static struct spent since(struct spent t)
{
	struct spent n = now();

	return (struct spent){n.wall - t.wall, n.cpu - t.cpu, n.ready - t.ready};
}

static void run(const char *cmd)
{
	if (system(cmd) != 0) {
		fprintf(stderr, "kfib_bench: failed: %s\n", cmd);
		exit(1);
	}
}

static struct pfx prefix(bool v6, unsigned i)
{
	struct pfx p = {.ip = ip_v4(0x0b000000u + (i << 8)), .len = 24};

	if (v6)
		p = (struct pfx){.ip = {.b = {0x2a, 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16),
						(uint8_t)(i >> 8), (uint8_t)i},
					 .family = IP_V6},
			.len = 48};
	return p;
}

static struct ip next_hop(bool v6, unsigned i)
{
	uint8_t n = (uint8_t)(2 + i % HOPS);

	if (!v6)
		return ip_v4(0xc0000200u + n);
	return (struct ip){.b = {0x20, 1, 0x0d, 0xb8, [15] = n}, .family = IP_V6};
}

static void sync_all(struct kfib *f)
{
	char why[200];
	int err;

	do
		err = kfib_sync(f, BUDGET, why, sizeof(why));
	while (err > 0);
	if (err < 0) {
		fprintf(stderr, "kfib_bench: %s\n", why);
		exit(1);
	}
}

static struct spent by_kfib(bool v6, bool add)
{
	static struct kfib *f;
	static const uint8_t seed[16] = {1};
	struct spent t;

	if (add && kfib_open(1, 0, true, seed, &f) != 0)
		exit(1);
	t = now();
	for (unsigned i = 0; i < count; i++) {
		struct pfx p = prefix(v6, i);
		struct ip nh = next_hop(v6, i);

		if ((add ? kfib_set(f, &p, &nh) : kfib_del(f, &p)) != 0)
			exit(1);
	}
	sync_all(f);
	t = since(t);
	if (!add)
		kfib_close(f);
	return t;
}

static void write_batch(bool v6, bool add, const char *path)
{
	FILE *out = fopen(path, "w");
	char p[PFX_STRLEN], nh[IP_STRLEN];

	if (!out)
		exit(1);
	for (unsigned i = 0; i < count; i++) {
		struct pfx x = prefix(v6, i);
		struct ip h = next_hop(v6, i);

		fprintf(out, "route %s %s via %s dev eth0 table 1000 proto 77\n",
			add ? "add" : "del", pfx_fmt(&x, p), ip_fmt(&h, nh));
	}
	fclose(out);
}

static struct spent by_ip(bool v6, bool add)
{
	char path[] = "/tmp/kfib_bench.XXXXXX", cmd[200];
	int fd = mkstemp(path);
	struct spent t;

	if (fd < 0)
		exit(1);
	close(fd);
	write_batch(v6, add, path);
	snprintf(cmd, sizeof(cmd), "ip %s -batch %s", v6 ? "-6" : "-4", path);
	t = now();
	run(cmd);
	t = since(t);
	unlink(path);
	return t;
}

/* One route beside @count others, until a lookup gives it. */
static double one_route(void)
{
	static const uint8_t seed[16] = {1};
	struct ip nh = next_hop(false, 0), dst = ip_v4(0x0a010101);
	struct pfx p = {.ip = ip_v4(0x0a010100), .len = 24};
	struct kfib *f;
	uint32_t cost;
	double t;

	if (kfib_open(2, 0, true, seed, &f) != 0)
		exit(1);
	run("ip rule add lookup 689302 pref 10");
	t = secs();
	if (kfib_set(f, &p, &nh) != 0)
		exit(1);
	sync_all(f);
	if (!kfib_resolve(f, &dst, &cost))
		exit(1);
	t = secs() - t;
	(void)kfib_del(f, &p);
	sync_all(f);
	kfib_close(f);
	run("ip rule del lookup 689302 pref 10");
	return t;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		count = (unsigned)atoi(argv[1]);
	if (argc > 2)
		rounds = (unsigned)atoi(argv[2]);
	if (unshare(CLONE_NEWNET) != 0) {
		perror("kfib_bench: unshare");
		return 1;
	}
	run("ip link add eth0 type veth peer name eth1; ip addr add 192.0.2.1/24 dev eth0;"
	    "ip link set eth0 up; ip link set eth1 up; ip -6 addr add 2001:db8::1/64 dev eth0 "
	    "nodad");
	printf("%u routes, seconds of time/CPU/waits for a CPU\n", count);
	for (unsigned r = 0; r < rounds; r++)
		for (unsigned v6 = 0; v6 < 2; v6++) {
			struct spent a = by_kfib(v6, true);
			double one = one_route();
			struct spent d = by_kfib(v6, false), ia = by_ip(v6, true),
				     id = by_ip(v6, false);

			printf("%s: kfib add %.2f/%.2f/%.2f del %.2f/%.2f/%.2f; ip -batch add "
			       "%.2f/%.2f del "
			       "%.2f/%.2f; one route %.0f us\n",
				v6 ? "ipv6" : "ipv4", a.wall, a.cpu, a.ready, d.wall, d.cpu,
				d.ready, ia.wall, ia.cpu, id.wall, id.cpu, one * 1e6);
			fflush(stdout);
		}
	return 0;
}
