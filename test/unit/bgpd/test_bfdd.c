/* The driver of BFD on the loopback, in a network namespace of its own. The other side is a core in this
 * program: it hears what we send through a raw socket (the port itself is taken by the driver), and sends
 * from 127.0.0.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <linux/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bfd_sock.h"
#include "bfd_wire.h"
#include "bfdd.h"
#include "fault.h"
#include "weft/err.h"
#include "weft/log.h"

#define LIMIT    DUR_SEC(20)
#define INTERVAL 50000u          /* us */
#define SILENCE  (20 * INTERVAL) /* detection is 3 */

struct rig {
	struct loop *loop;
	struct loop_timer *poll;
	ts_t deadline;
	bool (*done)(struct rig *r);
	bool timed_out;

	struct bfdd *d;
	uint32_t id;
	unsigned failed;
	enum bfd_state state;

	struct bfd *peer; /* at 127.0.0.2 */
	uint32_t peer_id;
	int raw, out, ttl;
	bool deaf;
	uint16_t from_port; /* of what the driver sent */
	enum bfd_state said;
	unsigned heard;
};

static void on_state(void *ctx, const struct bfd_act *a)
{
	struct rig *r = ctx;

	r->failed += a->failed;
	r->state = a->state;
}
static const struct bfdd_ops ops = {on_state};

static const uint8_t seed[16] = {3, 1, 4};

static void peer_act(struct rig *r)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(BFD_PORT_ONE_HOP),
		.sin_addr.s_addr = htonl(0x7f000001)};
	struct bfd_act a;

	while (bfd_next(r->peer, &a))
		if (a.type == BFD_SEND)
			(void)sendto(
				r->out, a.buf, sizeof(a.buf), 0, (const void *)&to, sizeof(to));
}

/* What the driver sent to 127.0.0.2. */
static void peer_hear(struct rig *r)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
		uint8_t bfd[256];
	} p;
	ssize_t n;

	while ((n = recv(r->raw, &p, sizeof(p), MSG_DONTWAIT)) > 0) {
		struct bfd_from from = {.remote = ip_v4(0x7f000001), .local = ip_v4(0x7f000002)};
		uint16_t port = ntohs(p.udp.source);

		if (p.ip.daddr != htonl(0x7f000002) || p.udp.dest != htons(BFD_PORT_ONE_HOP))
			continue;
		assert_int_equal(5, p.ip.ihl);
		assert_int_equal(sizeof(p.ip) + sizeof(p.udp) + BFD_PACKET_BYTES, n);
		assert_int_equal(255, p.ip.ttl);
		assert_int_equal(0xc0, p.ip.tos);
		assert_in_range(port, BFD_SOURCE_FIRST, BFD_SOURCE_LAST);
		assert_true(r->from_port == 0 || r->from_port == port);
		r->from_port = port;
		r->said = p.bfd[1] >> 6;
		r->heard++;
		from.ttl = p.ip.ttl;
		if (!r->deaf)
			(void)bfd_recv(r->peer, &from, p.bfd, BFD_PACKET_BYTES, loop_now());
		peer_act(r);
	}
}

static void on_poll(void *ctx)
{
	struct rig *r = ctx;

	peer_hear(r);
	if (!r->deaf) {
		bfd_tick(r->peer, loop_now());
		peer_act(r);
	}
	r->timed_out = ts_due(r->deadline, loop_now());
	if (r->done(r) || r->timed_out)
		loop_stop(r->loop);
	else
		loop_timer_set(r->poll, ts_add(loop_now(), DUR_MS(2)));
}

static bool until(struct rig *r, bool (*done)(struct rig *r), dur_t limit)
{
	r->done = done;
	r->deadline = ts_add(loop_now(), limit);
	loop_timer_set(r->poll, loop_now());
	assert_int_equal(loop_run(r->loop), 0);
	return !r->timed_out;
}

static bool is_up(struct rig *r)
{
	struct bfd_info i;

	return r->state == BFD_UP && bfd_get(r->peer, r->peer_id, &i) == 0 && i.state == BFD_UP &&
	       !i.polling;
}
static bool has_failed(struct rig *r)
{
	return r->failed > 0;
}
static bool never(struct rig *r)
{
	return false;
}

static void set_ttl(struct rig *r, int ttl)
{
	assert_int_equal(0, setsockopt(r->out, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)));
}

static struct bfd_session_cfg conf(unsigned self, unsigned other)
{
	return (struct bfd_session_cfg){.remote = ip_v4(0x7f000000 + other),
		.local = ip_v4(0x7f000000 + self),
		.min_tx_us = INTERVAL,
		.min_rx_us = INTERVAL,
		.mult = 3};
}

static int setup(void **state)
{
	static struct rig r;
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002)};
	struct bfdd_cfg cfg = {.ops = &ops, .ctx = &r};
	struct bfd_session_cfg c = conf(2, 1);

	memset(&r, 0, sizeof(r));
	if (unshare(CLONE_NEWNET) != 0)
		return -1;
	r.raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP);
	r.out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (r.raw < 0 || ioctl(r.out, SIOCSIFFLAGS, &lo) != 0 ||
		bind(r.out, (const void *)&at, sizeof(at)) != 0)
		return -1;
	r.loop = loop_new();
	r.poll = loop_timer_new(r.loop, on_poll, &r);
	cfg.loop = r.loop;
	memcpy(cfg.seed, seed, sizeof(seed));
	r.d = bfdd_new(&cfg);
	r.peer = bfd_new(seed);
	if (!r.d || !r.peer || bfd_add(r.peer, &c, loop_now(), &r.peer_id) != 0)
		return -1;
	set_ttl(&r, 255);
	log_set_level(LOG_LVL_ERROR);
	*state = &r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	bfdd_free(r->d);
	bfd_free(r->peer);
	loop_timer_free(r->poll);
	loop_free(r->loop);
	close(r->raw);
	close(r->out);
	return 0;
}

static void start(struct rig *r)
{
	struct bfd_session_cfg c = conf(1, 2);
	char why[200];

	if (bfdd_add(r->d, &c, &r->id, why, sizeof(why)) != 0)
		fail_msg("%s", why);
}

/* Up; silent: told within the detection time and what a busy machine adds; up again; a last word. */
static void test_session(void **state)
{
	struct rig *r = *state;
	struct bfdd_stats st;
	struct bfd_stats core;
	ts_t cut;

	start(r);
	assert_true(until(r, is_up, LIMIT));
	assert_int_equal(0, r->failed);
	/* The peer goes on living, but its packets lack a hop: in the kernel already they end. */
	set_ttl(r, 254);
	cut = loop_now();
	assert_true(until(r, has_failed, LIMIT));
	assert_in_range(dur_ms(ts_sub(loop_now(), cut)), 2 * INTERVAL / 1000 - 10, 2000);
	bfdd_core_stats(r->d, &core);
	assert_int_equal(0, core.dropped[BFD_DROP_TTL]);
	set_ttl(r, 255);
	assert_true(until(r, is_up, LIMIT));
	bfdd_stats(r->d, &st);
	assert_int_equal(0, st.send_errors + st.recv_errors);
	assert_int_equal(0, bfdd_del(r->d, r->id));
	assert_int_equal(ERR_NOT_FOUND, bfdd_del(r->d, r->id));
	peer_hear(r);
	assert_int_equal(BFD_ADMIN_DOWN, r->said);
}

/* The loop is held up for many intervals: the driver hears and speaks all the time. */
static void test_held_up(void **state)
{
	struct rig *r = *state;
	unsigned before;
	struct bfdd_stats st;

	start(r);
	assert_true(until(r, is_up, LIMIT));
	peer_hear(r);
	before = r->heard;
	for (unsigned i = 0; i < 40; i++) {
		usleep(INTERVAL / 2);
		peer_hear(r);
		bfd_tick(r->peer, loop_now());
		peer_act(r);
	}
	/* In 20 intervals; a busy machine may take some of them from us. */
	assert_true(r->heard >= before + 5);
	assert_int_equal(BFD_UP, r->said);
	assert_false(until(r, never, DUR_MS(20)));
	assert_int_equal(0, r->failed);
	bfdd_stats(r->d, &st);
	assert_int_equal(0, st.send_errors + st.recv_errors);
}

/* A failure while the loop is held up, and all is well again when it runs: told all the same. */
static void test_failed_meanwhile(void **state)
{
	struct rig *r = *state;
	struct bfd_info i;

	start(r);
	assert_true(until(r, is_up, LIMIT));
	usleep(SILENCE);
	assert_int_equal(0, bfdd_get(r->d, r->id, &i));
	assert_int_equal(BFD_DOWN, i.state);
	for (unsigned k = 0; k < 2000 && i.state != BFD_UP; k++) {
		peer_hear(r);
		bfd_tick(r->peer, loop_now());
		peer_act(r);
		usleep(1000);
		assert_int_equal(0, bfdd_get(r->d, r->id, &i));
	}
	assert_int_equal(BFD_UP, i.state);
	assert_int_equal(0, r->failed);
	assert_true(until(r, has_failed, LIMIT));
	assert_int_equal(1, r->failed);
	assert_int_equal(BFD_UP, r->state);
}

/* Another program has the port: told in words, and nothing is left over. */
static void test_busy_port(void **state)
{
	struct rig *r = *state;
	struct bfd_session_cfg c = conf(1, 2);
	int fd = bfd_sock_listen(IP_V4, false);
	char why[200];

	assert_true(fd >= 0);
	assert_int_equal(-EADDRINUSE, bfdd_add(r->d, &c, &r->id, why, sizeof(why)));
	assert_non_null(strstr(why, "3784"));
	assert_non_null(strstr(why, "another program"));
	close(fd);
	start(r);
	assert_true(until(r, is_up, LIMIT));
	assert_int_equal(ERR_EXISTS, bfdd_add(r->d, &c, &r->id, why, sizeof(why)));
}

/* No descriptors, no memory: an error, and the next try works. */
static void test_faults(void **state)
{
	struct rig *r = *state;
	struct bfd_session_cfg c = conf(1, 2);
	struct rlimit old, none;
	char why[200];

	assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &old));
	none = old;
	none.rlim_cur = (rlim_t)dup(r->out);
	close((int)none.rlim_cur);
	for (unsigned i = 0; i < 2; i++, none.rlim_cur++) {
		assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &none));
		assert_int_equal(-EMFILE, bfdd_add(r->d, &c, &r->id, why, sizeof(why)));
	}
	assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &old));
	FAULT_EACH(n)
	{
		if (bfdd_add(r->d, &c, &r->id, why, sizeof(why)) == 0)
			assert_int_equal(0, bfdd_del(r->d, r->id));
	}
	while (recv(r->raw, why, sizeof(why), MSG_DONTWAIT) > 0)
		;
	start(r);
	assert_true(until(r, is_up, LIMIT));
}

int main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {NET(test_session), NET(test_held_up),
		NET(test_failed_meanwhile), NET(test_busy_port), NET(test_faults)};

	if (unshare(CLONE_NEWNET) != 0) {
		printf("no network namespaces here: %s\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
