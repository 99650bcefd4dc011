/* GTSM (RFC 5082) of the driver, over TCP: what comes from afar is not read, before accept() neither; ranges; what the
 * filter has no room for, and no filter at all.
 * wrap: setsockopt */
#include "driver.h"
#include "fault.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {NET(gtsm), NET(gtsm_one_side), NET(gtsm_before_accept),
		NET(gtsm_taken_back), NET(gtsm_range), NET(gtsm_too_early), NET(gtsm_no_room),
		NET(gtsm_fails)};

	return RUN_ALL(tests);
}
