/* nl_test.h - what the router/nl tests share: a fresh network namespace per test, commands with their
 * output, and a loop that plays the daemon's part. The kernel, asked through ip and nft, is the oracle. */
#ifndef WEFT_NL_TEST_H
#define WEFT_NL_TEST_H

#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "fault.h"
#include "kern_int.h"
#include "priv.h"
#include "weft/err.h"
#include "weft/log.h"

#define MARK 0x10000000u

static int tun_fds[16];
static unsigned ntun_fds;

/* Run a shell command; its output, at most 256 KiB, in one of four turning buffers. */
__attribute__((format(printf, 1, 2))) static inline const char *sh(const char *fmt, ...)
{
	static char out[4][256 * 1024];
	static unsigned turn;
	char cmd[2048], *o = out[turn++ % 4];
	va_list ap;
	size_t n;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	f = popen(cmd, "r");
	assert_non_null(f);
	n = fread(o, 1, sizeof(out[0]) - 1, f);
	o[n] = '\0';
	pclose(f);
	return o;
}

/* The same for a command that must succeed. */
#define run(...)                                                                                   \
	do {                                                                                       \
		const char *said_ = sh(__VA_ARGS__);                                               \
		(void)said_;                                                                       \
	} while (0)

static inline bool has(const char *text, const char *part)
{
	bool yes = strstr(text, part) != NULL;

	if (!yes)
		print_message("no \"%s\" in:\n%s\n", part, text);
	return yes;
}

#define assert_has(text, part)   assert_true(has(text, part))
#define assert_hasnt(text, part) assert_null(strstr(text, part))

static inline bool can_isolate(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Per test: new namespaces, so nothing is left to clean but descriptors. */
static inline int fresh(void **state)
{
	if (geteuid() != 0)
		return 0;
	assert_true(can_isolate());
	assert_int_equal(mount("none", "/run", "tmpfs", 0, NULL), 0); /* ip netns writes here */
	run("ip link set lo up");
	ntun_fds = 0;
	return 0;
}

static inline int tidy(void **state)
{
	(void)fault_disarm();
	while (ntun_fds > 0)
		close(tun_fds[--ntun_fds]);
	return 0;
}

#define NEED_ROOT                                                                                  \
	do {                                                                                       \
		if (geteuid() != 0) {                                                              \
			print_message("needs root and namespaces: skipped\n");                     \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

static inline ts_t now_ts(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (ts_t){(uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec};
}

static inline struct pfx P(const char *text) {
	struct pfx p;

	assert_int_equal(pfx_parse(text, &p), 0);
	return p;
}

static inline struct ip
A(const char *text) {
	struct ip ip;

	assert_int_equal(ip_parse(text, &ip), 0);
	return ip;
}

static inline void
tun(const char *name)
{
	bool created;

	assert_int_equal(priv_tun_open(name, 1, &tun_fds[ntun_fds], &created), 0);
	ntun_fds++;
}

static inline struct kern_cfg cfg(void)
{
	return (struct kern_cfg){
		.mark = MARK, .mark_mask = MARK, .port = 6793, .notrack = true, .ipv6 = true};
}

static inline struct kern *open_kern(const struct kern_cfg *c)
{
	struct kern *k = NULL;

	assert_int_equal(kern_open(c, &k), 0);
	return k;
}

static inline void sync_ok(struct kern *k)
{
	char why[200] = "";
	int err = kern_sync(k, why, sizeof(why));

	if (err != 0)
		print_message("kern_sync: %s\n", why);
	assert_int_equal(err, 0);
}

/* Play the daemon until nothing has happened for @quiet_ms; returns the number of syncs. */
static inline unsigned settle(struct kern *k, int quiet_ms)
{
	struct pollfd p = {.fd = kern_fd(k), .events = POLLIN};
	ts_t end = ts_add(now_ts(), DUR_SEC(20)), quiet = ts_add(now_ts(), DUR_MS(quiet_ms));
	unsigned syncs = 0;

	while (ts_before(now_ts(), end) &&
		(ts_before(now_ts(), quiet) ||
			ts_before(kern_deadline(k), ts_add(now_ts(), DUR_MS(500))))) {
		if (poll(&p, 1, 10) > 0) {
			kern_event(k, now_ts());
			quiet = ts_add(now_ts(), DUR_MS(quiet_ms));
		}
		if (ts_due(kern_deadline(k), now_ts())) {
			kern_sync(k, NULL, 0);
			syncs++;
		}
	}
	return syncs;
}

static inline struct kern_stats stats(const struct kern *k)
{
	struct kern_stats st;

	kern_stats(k, &st);
	return st;
}

/* A node as the daemon makes it: weft0 with a /16 of 10.0.0.0/8 and fd00:a::/32 each. */
static inline struct kern *node(const struct kern_cfg *c)
{
	struct kern *k = open_kern(c);
	struct ip addrs[2] = {A("10.1.0.1"), A("fd00:a:1::1")};

	tun("weft0");
	assert_int_equal(kern_segment_add(k, 1, "weft0", 1400, addrs, 2), 0);
	assert_int_equal(kern_range_add(k, 1, &(struct pfx){P("10.0.0.0/8").ip, 8}), 0);
	assert_int_equal(kern_range_add(k, 1, &(struct pfx){P("fd00:a::/32").ip, 32}), 0);
	assert_int_equal(kern_local_add(k, 1, &(struct pfx){P("10.1.0.0/16").ip, 16}, NULL), 0);
	assert_int_equal(kern_local_add(k, 1, &(struct pfx){P("fd00:a:1::/48").ip, 48}, NULL), 0);
	assert_int_equal(
		kern_route_add(k, 1, &(struct pfx){P("10.2.0.0/16").ip, 16}, 1300, &addrs[0]), 0);
	assert_int_equal(
		kern_route_add(k, 1, &(struct pfx){P("fd00:a:2::/48").ip, 48}, 1300, &addrs[1]), 0);
	return k;
}

#endif
