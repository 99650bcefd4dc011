/* The driver with real sockets on the loopback: two of them establish over TCP, exchange routes, lose and
 * find each other again; GTSM, TCP-MD5 and a change of its key; unknown callers; no descriptors left. Each
 * test has a network namespace of its own, so ports and addresses are free.
 * wrap: setsockopt */
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
#include "fault.h"
#include "weft/err.h"
#include "weft/log.h"

#define LIMIT DUR_SEC(20)

/* The kernel takes no filter while this is set. */
static int filter_error;
int __real_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	if (!filter_error || level != SOL_SOCKET || option != SO_ATTACH_FILTER)
		return __real_setsockopt(fd, level, option, value, len);
	errno = filter_error;
	return -1;
}

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

static void on_route(void *ctx, const struct bgp_act *a)
{
	struct speaker *s = ctx;

	if (a->attrs && a->peer != BGP_LOCAL)
		s->routes++;
	else if (!a->attrs)
		s->gone++;
}

static void on_flush(void *ctx)
{
	((struct speaker *)ctx)->flushes++;
}

static void on_peer_new(void *ctx, uint32_t tag, uint32_t peer, const struct ep *remote)
{
	(void)tag;
	(void)remote;
	((struct speaker *)ctx)->peer = peer;
}

static void on_peer_gone(void *ctx, uint32_t peer)
{
	(void)peer;
	((struct speaker *)ctx)->peer = 0;
}

static const struct bgpd_ops ops = {
	.route = on_route, .flush = on_flush, .peer_new = on_peer_new, .peer_gone = on_peer_gone};

static enum bgp_verdict take_all(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	(void)ctx;
	(void)r;
	(void)e;
	return BGP_ACCEPT;
}
static const struct bgp_policy_ops accept_ops = {take_all};
static const struct bgp_policy accept_all = {&accept_ops, NULL};

static struct ep at(unsigned n, uint16_t port)
{
	return (struct ep){.ip = ip_v4(0x7f000000u + n), .port = port};
}

static void speaker_new(struct rig *r, struct speaker *s, unsigned n, bool listens)
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
static struct bgpd_peer_cfg peer_of(unsigned self, unsigned n)
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

static void on_poll(void *ctx)
{
	struct rig *r = ctx;

	r->timed_out = ts_due(r->deadline, loop_now());
	if (r->done(r) || r->timed_out)
		loop_stop(r->loop);
	else
		loop_timer_set(r->poll, ts_add(loop_now(), DUR_MS(5)));
}

/* Run the loop until @done; false: it did not come in @limit. */
static bool until(struct rig *r, bool (*done)(struct rig *r), dur_t limit)
{
	r->done = done;
	r->deadline = ts_add(loop_now(), limit);
	loop_timer_set(r->poll, loop_now());
	assert_int_equal(loop_run(r->loop), 0);
	return !r->timed_out;
}

static enum bgp_state state_of(const struct speaker *s)
{
	struct bgp_peer_info i;

	assert_int_equal(bgp_peer_get(bgpd_core(s->d), s->peer, &i), 0);
	return i.state;
}

static bool both_up(struct rig *r)
{
	return state_of(&r->a) == BGP_ESTABLISHED && state_of(&r->b) == BGP_ESTABLISHED;
}
/* A knows nobody before somebody of its range connects. */
static bool range_up(struct rig *r)
{
	return r->a.peer && both_up(r);
}
static bool both_down(struct rig *r)
{
	return state_of(&r->a) != BGP_ESTABLISHED && state_of(&r->b) != BGP_ESTABLISHED;
}
static bool b_has_all(struct rig *r)
{
	return r->b.routes >= 1000;
}
static bool b_has_none(struct rig *r)
{
	return r->b.gone >= 1000;
}
static bool never(struct rig *r)
{
	(void)r;
	return false;
}

static int setup(void **state)
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

static int teardown(void **state)
{
	struct rig *r = *state;

	bgpd_free(r->a.d);
	bgpd_free(r->b.d);
	loop_timer_free(r->poll);
	loop_free(r->loop);
	return 0;
}

static void pair(struct rig *r, struct bgpd_peer_cfg *a, struct bgpd_peer_cfg *b)
{
	speaker_new(r, &r->a, 1, true);
	speaker_new(r, &r->b, 2, true);
	assert_int_equal(bgpd_peer_add(r->a.d, a, &r->a.peer), 0);
	assert_int_equal(bgpd_peer_add(r->b.d, b, &r->b.peer), 0);
}

static void originate(struct rig *r, bool add)
{
	for (unsigned i = 0; i < 1000; i++) {
		struct bgp_nlri n = {.family = BGP_IPV4};
		struct ip ip = ip_v4(0x0a000000u + (i << 8));

		assert_int_equal(pfx_make(&ip, 24, &n.pfx), 0);
		if (add)
			assert_int_equal(
				bgp_originate(bgpd_core(r->a.d), 1, &n, NULL, loop_now()), 0);
		else
			assert_int_equal(bgp_withdraw(bgpd_core(r->a.d), 1, &n, loop_now()), 0);
	}
	bgpd_kick(r->a.d);
}

static void routes(void **state)
{
	struct rig *r = *state;
	struct bgpd_peer_cfg a = peer_of(1, 2), b = peer_of(2, 1);
	struct bgpd_stats st;

	pair(r, &a, &b);
	assert_true(until(r, both_up, LIMIT));
	originate(r, true);
	assert_true(until(r, b_has_all, LIMIT));
	assert_true(r->b.flushes > 0);
	originate(r, false);
	assert_true(until(r, b_has_none, LIMIT));

	/* a reset, and the same again */
	assert_int_equal(bgp_peer_reset(bgpd_core(r->a.d), r->a.peer, "test", loop_now()), 0);
	bgpd_kick(r->a.d);
	assert_true(until(r, both_down, LIMIT));
	assert_true(until(r, both_up, LIMIT));
	bgpd_stats(r->a.d, &st);
	assert_int_equal(st.socket_errors, 0);
	assert_true(st.connections >= 1);
}

/* Only one of them can be dialled, and only one dials. */
static void passive(void **state)
{
	struct rig *r = *state;
	struct bgpd_peer_cfg a = peer_of(1, 2), b = peer_of(2, 1);
	struct bgpd_stats st;

	a.core.passive = true;
	speaker_new(r, &r->a, 1, true);
	speaker_new(r, &r->b, 2, false);
	assert_int_equal(bgpd_peer_add(r->a.d, &a, &r->a.peer), 0);
	assert_int_equal(bgpd_peer_add(r->b.d, &b, &r->b.peer), 0);
	assert_true(until(r, both_up, LIMIT));
	bgpd_stats(r->a.d, &st);
	assert_int_equal(st.accepted, 1);
}

static void unknown_caller(void **state)
{
	struct rig *r = *state;
	struct bgpd_peer_cfg a = peer_of(1, 3), b = peer_of(2, 1);
	struct bgpd_stats st;

	pair(r, &a, &b);
	assert_false(until(r, both_up, DUR_MS(500)));
	bgpd_stats(r->a.d, &st);
	assert_true(st.refused >= 1);
	assert_int_equal(st.accepted, 0);
}

/* RFC 5082: both ends, and one that sends with a TTL of 1. */
static void gtsm(void **state)
{
	struct rig *r = *state;
	struct bgpd_peer_cfg a = peer_of(1, 2), b = peer_of(2, 1);

	a.ttl_security = b.ttl_security = true;
	pair(r, &a, &b);
	assert_true(until(r, both_up, LIMIT));
}

static void gtsm_one_side(void **state)
{
	struct rig *r = *state;
	struct bgpd_peer_cfg a = peer_of(1, 2), b = peer_of(2, 1);

	a.ttl_security = true;
	pair(r, &a, &b);
	assert_false(until(r, both_up, DUR_SEC(2)));
}

static void say(int fd, const uint8_t *msg, size_t len)
{
	uint8_t m[64];

	memset(m, 0xff, 16);
	m[16] = 0;
	m[17] = (uint8_t)(16 + 2 + len);
	memcpy(m + 18, msg, len);
	assert_int_equal(send(fd, m, 18 + len, MSG_NOSIGNAL), 18 + (ssize_t)len);
}

static bool a_up(struct rig *r)
{
	return state_of(&r->a) == BGP_ESTABLISHED;
}
/* --- RFC 5082 before accept(): a caller that the test plays, at 127.0.0.N, or at ::1 for N = 1 --- */

static struct sockaddr_storage addr_of(unsigned n, uint16_t port)
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

static void set_ttl(int fd, unsigned n, int ttl)
{
	assert_int_equal(n == 1 ? setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof(ttl))
				: setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)),
		0);
}

/* Begins to connect to A's listener. */
static int call(unsigned n, int ttl)
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

static bool is_connected(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	return getpeername(fd, (void *)&a, &len) == 0;
}

static void say_open(int fd, unsigned n)
{
	const uint8_t open_msg[] = {1, 4, 0xfc, (uint8_t)n, 0, 0, 127, 0, 0, 2, 0};
	const uint8_t alive[] = {4};

	say(fd, open_msg, sizeof(open_msg));
	say(fd, alive, sizeof(alive));
}

static struct bgpd_peer_cfg caller_of(unsigned n, bool gtsm)
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
static void listen_both(struct rig *r)
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

static uint64_t messages_of(const struct speaker *s)
{
	struct bgp_peer_info i;

	assert_int_equal(bgp_peer_get(bgpd_core(s->d), s->peer, &i), 0);
	return i.rx_msgs;
}

static bool a_in_open(struct rig *r)
{
	return state_of(&r->a) >= BGP_OPENSENT;
}

/* What @n says with a TTL of 254 before it is accepted is not read, but is when it comes anew with 255. A
 * SYN with 254 is not answered. */
static void say_from_afar(struct rig *r, unsigned n)
{
	int afar = call(n, 254), fd = call(n, 255);

	assert_false(is_connected(afar));
	assert_true(is_connected(fd));
	set_ttl(fd, n, 254);
	say_open(fd, n);
	assert_true(until(r, a_in_open, LIMIT));
	assert_false(until(r, a_up, DUR_MS(500)));
	assert_int_equal(messages_of(&r->a), 0);
	assert_false(is_connected(afar));
	set_ttl(fd, n, 255); /* TCP sends it again */
	assert_true(until(r, a_up, LIMIT));
	close(afar);
	close(fd);
}

static void gtsm_before_accept(void **state)
{
	struct rig *r = *state;
	struct bgpd_peer_cfg near = caller_of(2, true), v6 = caller_of(1, true),
			     far = caller_of(3, false);
	struct bgpd_stats st;
	int fd;

	listen_both(r);
	assert_int_equal(bgpd_peer_add(r->a.d, &v6, &r->a.peer), 0);
	say_from_afar(r, 1);
	assert_int_equal(bgpd_peer_add(r->a.d, &near, &r->a.peer), 0);
	say_from_afar(r, 2);

	/* Whom it does not concern. */
	assert_int_equal(bgpd_peer_add(r->a.d, &far, &r->a.peer), 0);
	fd = call(3, 1);
	assert_true(is_connected(fd));
	say_open(fd, 3);
	assert_true(until(r, a_up, LIMIT));
	close(fd);
	bgpd_stats(r->a.d, &st);
	assert_int_equal(st.ttl_unfiltered, 0);
	assert_int_equal(st.refused, 0);
}

/* The filter goes with the neighbour, and comes back without. */
static void gtsm_taken_back(void **state)
{
	struct rig *r = *state;
	struct bgpd_peer_cfg near = caller_of(2, true);
	int fd;

	listen_both(r);
	assert_int_equal(bgpd_peer_add(r->a.d, &near, &r->a.peer), 0);
	assert_int_equal(bgpd_peer_del(r->a.d, r->a.peer), 0);
	near.ttl_security = false;
	assert_int_equal(bgpd_peer_add(r->a.d, &near, &r->a.peer), 0);
	fd = call(2, 1);
	say_open(fd, 2);
	assert_true(until(r, a_up, LIMIT));
	close(fd);
}

static bool a_alone(struct rig *r)
{
	return r->a.peer == 0;
}

static bool a_somebody(struct rig *r)
{
	return r->a.peer && a_up(r);
}

/* A range with it, in which one neighbour is without, and a wider range without. */
static void gtsm_range(void **state)
{
	struct rig *r = *state;
	struct bgpd_range_cfg wide = {.limit = 4, .peer = caller_of(9, false)};
	struct bgpd_range_cfg range = {.limit = 4, .peer = caller_of(9, true)};
	struct bgpd_peer_cfg inside = caller_of(8, false);
	struct ip net = at(8, 0).ip;
	int afar, fd;

	assert_int_equal(pfx_make(&net, 24, &wide.range), 0);
	assert_int_equal(pfx_make(&net, 30, &range.range), 0); /* 8 to 11 */
	listen_both(r);
	assert_int_equal(bgpd_range_add(r->a.d, &wide), 0);
	assert_int_equal(bgpd_range_add(r->a.d, &range), 0);
	assert_int_equal(bgpd_peer_add(r->a.d, &inside, &r->a.peer), 0);
	fd = call(8, 1);
	assert_true(is_connected(fd));
	say_open(fd, 8);
	assert_true(until(r, a_up, LIMIT));
	close(fd);

	r->a.peer = 0;
	afar = call(9, 254);
	fd = call(9, 255);
	assert_false(is_connected(afar));
	assert_true(is_connected(fd));
	say_open(fd, 9);
	assert_true(until(r, a_somebody, LIMIT));
	/* It is judged as one of the longer range, though the other came first. */
	set_ttl(fd, 9, 1);
	close(fd);
	close(afar);
	assert_false(until(r, a_alone, DUR_MS(300)));
	fd = call(12, 1);
	assert_true(is_connected(fd));
	close(fd);
}

static bool a_has_refused(struct rig *r)
{
	struct bgpd_stats st;

	bgpd_stats(r->a.d, &st);
	return st.refused > 0;
}

/* What waits when the neighbour comes into the configuration was judged by nobody. */
static void gtsm_too_early(void **state)
{
	struct rig *r = *state;
	struct bgpd_peer_cfg near = caller_of(2, true), other = caller_of(4, true);
	int fd, silent;

	listen_both(r);
	assert_int_equal(bgpd_peer_add(r->a.d, &other, &r->a.peer), 0);
	fd = call(2, 1);
	silent = call(2, 255); /* and says nothing yet */
	assert_true(is_connected(fd) && is_connected(silent));
	say_open(fd, 2);
	assert_int_equal(bgpd_peer_add(r->a.d, &near, &r->a.peer), 0);
	assert_true(until(r, a_has_refused, LIMIT));
	assert_int_equal(messages_of(&r->a), 0);
	say_open(silent, 2);
	assert_true(until(r, a_up, LIMIT));
	close(fd);
	close(silent);
}

/* With little memory for it some have no place in the filter, and passwords come first. */
static void gtsm_no_room(void **state)
{
	struct rig *r = *state;
	int fd = open("/proc/sys/net/core/optmem_max", O_WRONLY | O_CLOEXEC), err;
	struct bgpd_peer_cfg c;
	struct bgpd_stats st;
	uint32_t peer;
	size_t left;

	if (fd < 0 || write(fd, "4096", 4) != 4) {
		(void)close(fd);
		skip(); /* before Linux 6.8 all namespaces have one */
	}
	close(fd);
	listen_both(r);
	for (unsigned n = 2; n < 230; n++) {
		c = caller_of(n, true);
		assert_int_equal(bgpd_peer_add(r->a.d, &c, n == 2 ? &r->a.peer : &peer), 0);
	}
	bgpd_stats(r->a.d, &st);
	left = st.ttl_unfiltered;
	assert_in_range(left, 1, 200);
	say_from_afar(r, 2); /* the first has its place */
	for (unsigned n = 230; n < 254; n++) {
		c = caller_of(n, false);
		strcpy(c.password, "sesame");
		err = bgpd_peer_add(r->a.d, &c, &peer);
		if (err == -ENOPROTOOPT)
			skip();
		assert_int_equal(err, 0);
	}
	bgpd_stats(r->a.d, &st);
	assert_in_range(st.ttl_unfiltered, left + 1, 228);
}

static size_t unfiltered(const struct rig *r)
{
	struct bgpd_stats st;

	bgpd_stats(r->a.d, &st);
	return st.ttl_unfiltered;
}

/* Without a filter a neighbour is judged from accept() on, and that is counted; the next change makes it good. */
static void gtsm_fails(void **state)
{
	static const int errors[] = {EPERM, ENOMEM};
	struct rig *r = *state;
	struct bgpd_peer_cfg near = caller_of(2, true), other = caller_of(3, true);
	unsigned less = 0;
	bool failed = true;
	uint32_t peer;
	int err = 1, fd;

	listen_both(r);
	assert_int_equal(bgpd_peer_add(r->a.d, &other, &r->a.peer), 0);
	for (size_t i = 0; i < 2; i++) {
		filter_error = errors[i];
		assert_int_equal(bgpd_peer_add(r->a.d, &near, &peer), 0);
		assert_int_equal(unfiltered(r), 2);
		fd = call(2, 1);
		assert_true(is_connected(fd)); /* the old filter is gone, too */
		close(fd);
		assert_int_equal(bgpd_peer_del(r->a.d, peer), 0);
		assert_int_equal(unfiltered(r), 1);
		filter_error = 0;
	}
	for (unsigned n = 1; failed; n++) {
		fault_arm(n);
		err = bgpd_peer_add(r->a.d, &near, &peer);
		failed = fault_disarm();
		if (err)
			assert_int_equal(err, ERR_NOMEM);
		if (!err && failed) /* the filter's alone */
			less += unfiltered(r) > 0;
		if (!err)
			assert_int_equal(bgpd_peer_del(r->a.d, peer), 0);
	}
	assert_true(less > 0);
	assert_int_equal(err, 0);
	assert_int_equal(unfiltered(r), 0);
	say_from_afar(r, 3);
}

/* RFC 2385, or skip where the kernel has none. */
static void md5(void **state)
{
	struct rig *r = *state;
	struct bgpd_peer_cfg a = peer_of(1, 2), b = peer_of(2, 1);
	int err;

	strcpy(a.password, "sesame");
	strcpy(b.password, "sesame");
	speaker_new(r, &r->a, 1, true);
	speaker_new(r, &r->b, 2, true);
	err = bgpd_peer_add(r->a.d, &a, &r->a.peer);
	if (err == -ENOPROTOOPT)
		skip();
	assert_int_equal(err, 0);
	assert_int_equal(bgpd_peer_add(r->b.d, &b, &r->b.peer), 0);
	assert_true(until(r, both_up, LIMIT));

	/* Another key at both ends: the session lives on and carries routes. */
	assert_int_equal(bgpd_peer_password(r->a.d, r->a.peer, "open"), 0);
	assert_int_equal(bgpd_peer_password(r->b.d, r->b.peer, "open"), 0);
	originate(r, true);
	assert_true(until(r, b_has_all, LIMIT));
	assert_true(both_up(r));

	/* At one end only, the next connection does not come up. */
	assert_int_equal(bgpd_peer_password(r->b.d, r->b.peer, "closed"), 0);
	assert_int_equal(bgp_peer_reset(bgpd_core(r->b.d), r->b.peer, NULL, loop_now()), 0);
	bgpd_kick(r->b.d);
	assert_false(until(r, both_up, DUR_SEC(3)));
	assert_int_equal(bgpd_peer_password(r->b.d, 77, "x"), ERR_NOT_FOUND);
}

static uint64_t flaps_of(const struct speaker *s)
{
	struct bgp_peer_info i;

	assert_int_equal(bgp_peer_get(bgpd_core(s->d), s->peer, &i), 0);
	return i.flaps;
}

/* The key of a range changes for who is there and for who comes later, and so it goes when there is none
 * any more. */
static void md5_range(void **state)
{
	struct rig *r = *state;
	struct bgpd_peer_cfg b = peer_of(2, 1);
	struct bgpd_range_cfg range = {.limit = 1, .tag = 7, .peer = peer_of(1, 2)};
	struct ip net = ip_v4(0x7f000002);
	char long_one[BGPD_PASSWORD_MAX + 2];
	int err;

	assert_int_equal(pfx_make(&net, 31, &range.range), 0);
	strcpy(range.peer.password, "sesame");
	strcpy(b.password, "sesame");
	speaker_new(r, &r->a, 1, true);
	speaker_new(r, &r->b, 2, false);
	err = bgpd_range_add(r->a.d, &range);
	if (err == -ENOPROTOOPT)
		skip();
	assert_int_equal(err, 0);
	assert_int_equal(bgpd_peer_add(r->b.d, &b, &r->b.peer), 0);
	assert_true(until(r, range_up, LIMIT));

	/* At one end, and what is sent meanwhile waits for the other. */
	assert_int_equal(bgpd_range_password(r->a.d, 7, "open"), 0);
	originate(r, true);
	assert_false(until(r, b_has_all, DUR_MS(200)));
	assert_int_equal(bgpd_peer_password(r->b.d, r->b.peer, "open"), 0);
	assert_true(until(r, b_has_all, LIMIT));
	assert_int_equal(flaps_of(&r->a) + flaps_of(&r->b), 0);

	/* The next connection has it, too. */
	assert_int_equal(bgp_peer_reset(bgpd_core(r->b.d), r->b.peer, NULL, loop_now()), 0);
	bgpd_kick(r->b.d);
	assert_true(until(r, a_alone, LIMIT));
	assert_true(until(r, range_up, LIMIT));

	/* None at all, then none at one end. */
	assert_int_equal(bgpd_range_password(r->a.d, 7, ""), 0);
	assert_int_equal(bgpd_peer_password(r->b.d, r->b.peer, ""), 0);
	assert_int_equal(bgp_peer_reset(bgpd_core(r->b.d), r->b.peer, NULL, loop_now()), 0);
	bgpd_kick(r->b.d);
	assert_true(until(r, a_alone, LIMIT));
	assert_true(until(r, range_up, LIMIT));
	assert_int_equal(bgpd_peer_password(r->b.d, r->b.peer, "closed"), 0);
	assert_int_equal(bgp_peer_reset(bgpd_core(r->b.d), r->b.peer, NULL, loop_now()), 0);
	bgpd_kick(r->b.d);
	assert_false(until(r, range_up, DUR_SEC(2)));

	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	assert_int_equal(bgpd_range_password(r->a.d, 8, "x"), ERR_NOT_FOUND);
	assert_int_equal(bgpd_range_password(r->a.d, 7, long_one), ERR_RANGE);
}

/* A neighbour in a range with a password: with one of its own it has that, without it can't connect, for which the
 * configuration refuses it (unit/conf). */
static void md5_inside(void **state)
{
	struct rig *r = *state;
	struct bgpd_peer_cfg a = caller_of(2, false), b = peer_of(2, 1), bare = caller_of(3, false);
	struct bgpd_range_cfg range = {.limit = 1, .peer = peer_of(1, 9)};
	struct ip net = ip_v4(0x7f000000);
	uint32_t peer;
	int err, fd;

	assert_int_equal(pfx_make(&net, 24, &range.range), 0);
	strcpy(range.peer.password, "sesame");
	strcpy(a.password, "open");
	strcpy(b.password, "open");
	b.core.remote_as = 65000;
	listen_both(r);
	speaker_new(r, &r->b, 2, false);
	err = bgpd_range_add(r->a.d, &range);
	if (err == -ENOPROTOOPT)
		skip();
	assert_int_equal(err, 0);
	assert_int_equal(bgpd_peer_add(r->a.d, &bare, &peer), 0);
	assert_int_equal(bgpd_peer_add(r->a.d, &a, &r->a.peer), 0);
	assert_int_equal(bgpd_peer_add(r->b.d, &b, &r->b.peer), 0);
	assert_true(until(r, both_up, LIMIT));
	fd = call(3, 64);
	assert_false(until(r, never, DUR_MS(200)));
	assert_false(is_connected(fd));
	close(fd);
}

/* With no descriptor left the listener waits, and goes on when there is one. */
static void no_descriptors(void **state)
{
	struct rig *r = *state;
	struct bgpd_peer_cfg a = peer_of(1, 2), b = peer_of(2, 1);
	struct rlimit old, none;
	struct bgpd_stats st;
	int top = open("/dev/null", O_RDONLY | O_CLOEXEC);

	pair(r, &a, &b);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = (rlim_t)top; /* below what is open: no new one */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_false(until(r, both_up, DUR_SEC(2)));
	bgpd_stats(r->a.d, &st);
	assert_true(st.socket_errors > 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	close(top);
	assert_true(until(r, both_up, LIMIT));
}

static bool a_lost(struct rig *r)
{
	struct bgp_peer_info i;

	assert_int_equal(bgp_peer_get(bgpd_core(r->a.d), r->a.peer, &i), 0);
	return i.flaps > 0;
}

/* A neighbour that establishes and then reads nothing: it costs a bounded queue, holds up nobody, and
 * goes when the send hold timer says so (RFC 9687). */
static void deaf(void **state)
{
	static const uint8_t open_msg[] = {1, 4, 0xfc, 2, 0, 0, 127, 0, 0, 2, 0}, alive[] = {4};
	struct rig *r = *state;
	struct bgpd_peer_cfg a = peer_of(1, 2);
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = {htonl(0x7f000002)}},
			   to = {.sin_family = AF_INET,
				   .sin_port = htons(179),
				   .sin_addr = {htonl(0x7f000001)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096;
	struct bgp_peer_info i;

	a.core.passive = a.core.no_hold = true;
	a.core.send_hold_secs = 1;
	speaker_new(r, &r->a, 1, true);
	assert_int_equal(bgpd_peer_add(r->a.d, &a, &r->a.peer), 0);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(bind(fd, (void *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (void *)&to, sizeof(to)), 0);
	say(fd, open_msg, sizeof(open_msg));
	say(fd, alive, sizeof(alive));
	assert_true(until(r, a_up, LIMIT));
	for (uint32_t k = 0; k < 400000; k++) {
		struct bgp_nlri n = {.family = BGP_IPV4};
		struct bgp_attrs at = {.has = BGP_HAS_MED, .med = k};

		n.pfx = (struct pfx){.ip = ip_v4(0x10000000u + (k << 8)), .len = 24};
		assert_int_equal(bgp_originate(bgpd_core(r->a.d), 1, &n, &at, loop_now()), 0);
	}
	bgpd_kick(r->a.d);
	assert_true(until(r, a_lost, LIMIT));
	assert_int_equal(bgp_peer_get(bgpd_core(r->a.d), r->a.peer, &i), 0);
	assert_non_null(strstr(i.last_error, "send hold"));
	assert_true(i.queued_bytes <= 2 * LIM_BGP_OUT_BYTES);
	close(fd);
}

static void busy_port(void **state)
{
	struct rig *r = *state;
	struct bgpd_cfg cfg = {.loop = r->loop,
		.core = {.local_as = 1, .router_id = 1},
		.nlisten = 1,
		.ops = &ops,
		.ctx = &r->b};
	struct bgpd *d = NULL;
	char why[200];

	speaker_new(r, &r->a, 1, true);
	cfg.listen[0] = at(1, 179);
	assert_int_equal(bgpd_new(&cfg, &d, why, sizeof(why)), -EADDRINUSE);
	assert_non_null(strstr(why, "127.0.0.1:179"));
	cfg.core.local_as = 0;
	assert_int_equal(bgpd_new(&cfg, &d, why, sizeof(why)), ERR_CONFIG);
	assert_false(until(r, never, DUR_MS(20)));
}

int main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {NET(routes), NET(passive), NET(unknown_caller),
		NET(gtsm), NET(gtsm_one_side), NET(gtsm_before_accept), NET(gtsm_taken_back),
		NET(gtsm_range), NET(gtsm_too_early), NET(gtsm_no_room), NET(gtsm_fails), NET(md5),
		NET(md5_range), NET(md5_inside), NET(no_descriptors), NET(busy_port), NET(deaf)};

	if (unshare(CLONE_NEWNET) != 0) {
		printf("no network namespaces here: %s\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
