/* The driver with real sockets on the loopback: two of them establish over TCP, exchange routes, lose and
 * find each other again; TCP-MD5 and a change of its key; unknown callers; no descriptors left. GTSM is in
 * test_driver_gtsm.c. */
#include "driver.h"

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

/* Who goes takes others of ranges along, whose places in the list change; nobody else is lost by that. */
static void places(void **state)
{
	struct rig *r = *state;
	struct bgpd_range_cfg range = {.limit = 1, .peer = caller_of(9, false)};
	struct bgpd_peer_cfg stays = caller_of(3, false), goes = caller_of(4, false);
	struct ip net = at(8, 0).ip;
	uint32_t gone, member, kept;
	int fd;

	assert_int_equal(pfx_make(&net, 30, &range.range), 0);
	listen_both(r);
	assert_int_equal(bgpd_range_add(r->a.d, &range), 0);
	fd = call(9, 64);
	say_open(fd, 9);
	assert_true(until(r, a_somebody, LIMIT));
	member = r->a.peer;
	assert_int_equal(bgpd_peer_add(r->a.d, &stays, &kept), 0);
	assert_int_equal(bgpd_peer_add(r->a.d, &goes, &gone), 0);
	assert_int_equal(bgp_peer_reset(bgpd_core(r->a.d), member, NULL, loop_now()), 0);
	assert_int_equal(bgpd_peer_del(r->a.d, gone), 0); /* the member goes first */
	close(fd);
	assert_int_equal(bgpd_peer_del(r->a.d, gone), ERR_NOT_FOUND);
	assert_int_equal(bgpd_peer_del(r->a.d, member), ERR_NOT_FOUND);
	assert_int_equal(bgpd_peer_add(r->a.d, &stays, &member), ERR_EXISTS);
	r->a.peer = kept;
	fd = call(3, 64);
	say_open(fd, 3);
	assert_true(until(r, a_up, LIMIT));
	close(fd);
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
	const struct CMUnitTest tests[] = {NET(routes), NET(passive), NET(unknown_caller),
		NET(places), NET(md5), NET(md5_range), NET(md5_inside), NET(no_descriptors),
		NET(busy_port), NET(deaf)};

	return RUN_ALL(tests);
}
