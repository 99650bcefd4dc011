/* driver.h - drivers with real sockets on the loopback, for tests: a rig of two speakers, A and B, and callers that the
 * test plays itself. Each test has a network namespace of its own, so ports and addresses are free. */
#ifndef WEFT_TEST_DRIVER_H
#define WEFT_TEST_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bgpd.h"
#include "weft/err.h"
#include "weft/log.h"

#define LIMIT DUR_SEC(20)

/* One speaker at 127.0.0.N, AS 64512 + N. */
struct speaker {
	struct bgpd *d;
	uint32_t peer;
	unsigned routes, gone, flushes;
};

struct rig {
	struct loop *loop;
	struct loop_timer *poll;
	ts_t deadline;
	struct speaker a, b;
	bool (*done)(struct rig *r);
	bool timed_out;
};

static inline void on_route(void *ctx, const struct bgp_act *a)
{
	struct speaker *s = ctx;

	if (a->attrs && a->peer != BGP_LOCAL)
		s->routes++;
	else if (!a->attrs)
		s->gone++;
}

static inline void on_flush(void *ctx)
{
	((struct speaker *)ctx)->flushes++;
}

static inline void on_peer_new(void *ctx, uint32_t tag, uint32_t peer, const struct ep *remote)
{
	(void)tag;
	(void)remote;
	((struct speaker *)ctx)->peer = peer;
}

static inline void on_peer_gone(void *ctx, uint32_t peer)
{
	(void)peer;
	((struct speaker *)ctx)->peer = 0;
}

static const struct bgpd_ops ops = {
	.route = on_route, .flush = on_flush, .peer_new = on_peer_new, .peer_gone = on_peer_gone};

static inline enum bgp_verdict take_all(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	(void)ctx;
	(void)r;
	(void)e;
	return BGP_ACCEPT;
}
static const struct bgp_policy_ops accept_ops = {take_all};
static const struct bgp_policy accept_all = {&accept_ops, NULL};

static inline struct ep at(unsigned n, uint16_t port)
{
	return (struct ep){.ip = ip_v4(0x7f000000u + n), .port = port};
}

static inline void speaker_new(struct rig *r, struct speaker *s, unsigned n, bool listens)
{
	struct bgpd_cfg cfg = {
		.loop = r->loop,
		.core = {.local_as = 64512 + n, .router_id = n, .seed = n},
		.vni = 1,
		.nlisten = listens,
		.ops = &ops,
		.ctx = s,
	};
	char why[200];

	memset(s, 0, sizeof(*s));
	cfg.listen[0] = at(n, 179);
	if (bgpd_new(&cfg, &s->d, why, sizeof(why)) != 0)
		fail_msg("%s", why);
}

/* The peer at 127.0.0.N; extra options by the caller. */
static inline struct bgpd_peer_cfg peer_of(unsigned self, unsigned n)
{
	return (struct bgpd_peer_cfg){
		.core = {.vni = 1,
			.remote = at(n, 179),
			.local = at(self, 0).ip,
			.remote_as = 64512 + n,
			.families = BGP_FAM(BGP_IPV4),
			.next_hop = {ip_v4(0xc0000200u + self)}, /* not the loopback: refused */
			.connect_retry_secs = 1,
			.import = accept_all,
			.export = accept_all},
	};
}

static inline void on_poll(void *ctx)
{
	struct rig *r = ctx;

	r->timed_out = ts_due(r->deadline, loop_now());
	if (r->done(r) || r->timed_out)
		loop_stop(r->loop);
	else
		loop_timer_set(r->poll, ts_add(loop_now(), DUR_MS(5)));
}

/* Run the loop until @done; false: it did not come in @limit. */
static inline bool until(struct rig *r, bool (*done)(struct rig *r), dur_t limit)
{
	r->done = done;
	r->deadline = ts_add(loop_now(), limit);
	loop_timer_set(r->poll, loop_now());
	assert_int_equal(loop_run(r->loop), 0);
	return !r->timed_out;
}

static inline enum bgp_state state_of(const struct speaker *s)
{
	struct bgp_peer_info i;

	assert_int_equal(bgp_peer_get(bgpd_core(s->d), s->peer, &i), 0);
	return i.state;
}

static inline bool both_up(struct rig *r)
{
	return state_of(&r->a) == BGP_ESTABLISHED && state_of(&r->b) == BGP_ESTABLISHED;
}
/* A knows nobody before somebody of its range connects. */
static inline bool range_up(struct rig *r)
{
	return r->a.peer && both_up(r);
}
static inline bool both_down(struct rig *r)
{
	return state_of(&r->a) != BGP_ESTABLISHED && state_of(&r->b) != BGP_ESTABLISHED;
}
static inline bool b_has_all(struct rig *r)
{
	return r->b.routes >= 1000;
}
static inline bool b_has_none(struct rig *r)
{
	return r->b.gone >= 1000;
}
static inline bool never(struct rig *r)
{
	(void)r;
	return false;
}

static inline int setup(void **state)
{
	static struct rig r;
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd;

	if (unshare(CLONE_NEWNET) != 0)
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) != 0)
		return -1;
	close(fd);
	memset(&r, 0, sizeof(r));
	r.loop = loop_new();
	r.poll = loop_timer_new(r.loop, on_poll, &r);
	log_set_level(LOG_LVL_ERROR);
	*state = &r;
	return 0;
}

static inline int teardown(void **state)
{
	struct rig *r = *state;

	bgpd_free(r->a.d);
	bgpd_free(r->b.d);
	loop_timer_free(r->poll);
	loop_free(r->loop);
	return 0;
}

static inline void pair(struct rig *r, struct bgpd_peer_cfg *a, struct bgpd_peer_cfg *b)
{
	speaker_new(r, &r->a, 1, true);
	speaker_new(r, &r->b, 2, true);
	assert_int_equal(bgpd_peer_add(r->a.d, a, &r->a.peer), 0);
	assert_int_equal(bgpd_peer_add(r->b.d, b, &r->b.peer), 0);
}

static inline void say(int fd, const uint8_t *msg, size_t len)
{
	uint8_t m[64];

	memset(m, 0xff, 16);
	m[16] = 0;
	m[17] = (uint8_t)(16 + 2 + len);
	memcpy(m + 18, msg, len);
	assert_int_equal(send(fd, m, 18 + len, MSG_NOSIGNAL), 18 + (ssize_t)len);
}

static inline bool a_up(struct rig *r)
{
	return state_of(&r->a) == BGP_ESTABLISHED;
}
/* --- a caller that the test plays, at 127.0.0.N, or at ::1 for N = 1 --- */

static inline struct sockaddr_storage addr_of(unsigned n, uint16_t port)
{
	struct sockaddr_storage s = {0};
	struct sockaddr_in *in = (void *)&s;
	struct sockaddr_in6 *in6 = (void *)&s;

	if (n != 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		in->sin_addr.s_addr = htonl(0x7f000000u + n);
	} else {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		in6->sin6_addr = in6addr_loopback;
	}
	return s;
}

static inline void set_ttl(int fd, unsigned n, int ttl)
{
	assert_int_equal(n == 1 ? setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof(ttl))
				: setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)),
		0);
}

/* Begins to connect to A's listener. */
static inline int call(unsigned n, int ttl)
{
	struct sockaddr_storage from = addr_of(n, 0), to = addr_of(n, 179);
	int fd = socket(n == 1 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (n != 1)
		((struct sockaddr_in *)(void *)&to)->sin_addr.s_addr = htonl(0x7f000001);
	assert_true(fd >= 0);
	set_ttl(fd, n, ttl);
	assert_int_equal(bind(fd, (void *)&from, sizeof(from)), 0);
	if (connect(fd, (void *)&to, sizeof(to)) != 0)
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static inline bool is_connected(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	return getpeername(fd, (void *)&a, &len) == 0;
}

static inline void say_open(int fd, unsigned n)
{
	const uint8_t open_msg[] = {1, 4, 0xfc, (uint8_t)n, 0, 0, 127, 0, 0, 2, 0};
	const uint8_t alive[] = {4};

	say(fd, open_msg, sizeof(open_msg));
	say(fd, alive, sizeof(alive));
}

static inline struct bgpd_peer_cfg caller_of(unsigned n, bool gtsm)
{
	struct bgpd_peer_cfg c = peer_of(1, n);

	c.core.passive = c.core.no_hold = true;
	c.ttl_security = gtsm;
	if (n == 1) {
		c.core.remote.ip = (struct ip){.family = IP_V6, .b[15] = 1};
		c.core.local = c.core.remote.ip;
	}
	return c;
}

/* A listens at 127.0.0.1 and ::1. */
static inline void listen_both(struct rig *r)
{
	struct bgpd_cfg cfg = {.loop = r->loop,
		.core = {.local_as = 65000, .router_id = 1, .seed = 1},
		.vni = 1,
		.listen = {at(1, 179), {.ip = {.family = IP_V6, .b[15] = 1}, .port = 179}},
		.nlisten = 2,
		.ops = &ops,
		.ctx = &r->a};
	char why[200];

	memset(&r->a, 0, sizeof(r->a));
	assert_int_equal(bgpd_new(&cfg, &r->a.d, why, sizeof(why)), 0);
}

static inline bool a_alone(struct rig *r)
{
	return r->a.peer == 0;
}

static inline bool a_somebody(struct rig *r)
{
	return r->a.peer && a_up(r);
}

/* Without namespaces: 77, a skip. */
#define RUN_ALL(tests) (no_namespaces() ? 77 : cmocka_run_group_tests(tests, NULL, NULL))
static inline bool no_namespaces(void)
{
	if (unshare(CLONE_NEWNET) == 0)
		return false;
	printf("no network namespaces here: %s\n", strerror(errno));
	return true;
}
#define NET(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
