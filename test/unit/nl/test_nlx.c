/* Sockets and messages: interrupted and lost replies through the seam, and parsers on cut and flipped
 * messages that the kernel really sent. */
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include "nl_test.h"

/* ---- the seam: the nth receive goes wrong ---- */

enum harm {
	HARM_NONE,
	HARM_EINTR,
	HARM_ENOBUFS,
	HARM_TORN,
	HARM_SHORT,
	HARM_STALE,
	HARM_EAGAIN,
	HARM_SEND_EINTR
};

static struct {
	enum harm harm;
	unsigned at, count, hits;
} seam;

static ssize_t bad_send(const struct mnl_socket *s, const void *buf, size_t len)
{
	if (seam.harm == HARM_SEND_EINTR && seam.count++ == seam.at) {
		seam.hits++;
		errno = EINTR;
		return -1;
	}
	return mnl_socket_sendto(s, buf, len);
}

static ssize_t bad_recv(const struct mnl_socket *s, void *buf, size_t len)
{
	struct nlmsghdr *nlh = buf;
	ssize_t n;

	if (seam.harm == HARM_NONE || seam.harm == HARM_SEND_EINTR || seam.count++ != seam.at)
		return mnl_socket_recvfrom(s, buf, len);
	seam.hits++;
	if (seam.harm == HARM_EINTR || seam.harm == HARM_EAGAIN) {
		errno = seam.harm == HARM_EINTR ? EINTR : EAGAIN;
		return -1;
	}
	n = mnl_socket_recvfrom(s, buf, len);
	if (seam.harm == HARM_ENOBUFS) { /* that one is lost */
		errno = ENOBUFS;
		return -1;
	}
	if (seam.harm == HARM_TORN)
		nlh->nlmsg_flags |= NLM_F_DUMP_INTR;
	if (seam.harm == HARM_SHORT)
		n = n > 20 ? 20 : n;
	if (seam.harm == HARM_STALE)
		nlh->nlmsg_seq += 1000;
	return n;
}

static const struct nlx_io bad_io = {.send = bad_send, .recv = bad_recv};

static void harm(enum harm h, unsigned at)
{
	seam.harm = h;
	seam.at = at;
	seam.count = seam.hits = 0;
}

struct counted {
	unsigned begun, n;
};

static void count_begin(void *ctx)
{
	struct counted *c = ctx;

	c->begun++;
	c->n = 0;
}

static int count_msg(void *ctx, const struct nlmsghdr *nlh)
{
	struct counted *c = ctx;

	c->n++;
	return 0;
}

static void dumps(void **state)
{
	struct nlx x;
	struct counted c = {0}, good = {0};
	struct nl_link l;

	NEED_ROOT;
	assert_int_equal(nlx_open(&x, NETLINK_ROUTE), 0);
	assert_int_equal(nl_rule_dump(&x, IP_V4, count_begin, count_msg, &good), 0);
	assert_int_equal(good.begun, 1);
	assert_int_equal(good.n, 3);
	x.io = &bad_io;
	for (int h = HARM_EINTR; h <= HARM_TORN; h++)
		for (unsigned at = 0; at < 2; at++) {
			c.begun = 0;
			harm((enum harm)h, at);
			assert_int_equal(nl_rule_dump(&x, IP_V4, count_begin, count_msg, &c), 0);
			assert_int_equal(c.n, good.n);
			if (seam.hits > 0 && (h == HARM_ENOBUFS || (h == HARM_TORN && at == 0)))
				assert_int_equal(c.begun, 2);
		}
	harm(HARM_SEND_EINTR, 0);
	assert_int_equal(nl_rule_dump(&x, IP_V4, count_begin, count_msg, &c), 0);
	/* A dump that is torn each time ends. */
	x.io = &nlx_io_kernel;
	assert_int_equal(nl_link_get(&x, "lo", 0, &l), 0);
	assert_string_equal(l.name, "lo");
	assert_int_equal(nl_link_get(&x, "nosuch", 0, &l), -ENODEV);
	assert_int_equal(nl_link_get(&x, "a-name-of-16-byte", 0, &l), -ENODEV);
	x.io = &bad_io;
	harm(HARM_EAGAIN, 0);
	assert_int_equal(nl_link_get(&x, "lo", 0, &l), -ETIMEDOUT);
	harm(HARM_NONE, 0);
	assert_int_equal(nl_link_get(&x, "lo", 0, &l), 0); /* what came late is skipped */
	assert_string_equal(l.name, "lo");
	nlx_close(&x);
	nlx_close(&x);
}

/* A dump of one table, a datagram at a time: how it ended. */
static int in_portions(struct nlx *x, uint32_t table, struct counted *c, unsigned *portions)
{
	int err = nl_route_dump_begin(x, IP_V4, 99, table);

	c->n = 0;
	for (*portions = 0; err == 0 || err == 1; ++*portions) {
		err = nlx_dump_some(x, 1, count_msg, c);
		if (err == 0)
			return 0;
	}
	return err;
}

static void portions(void **state)
{
	struct counted c = {0};
	unsigned n;
	struct nlx x;

	NEED_ROOT;
	run("ip link set lo up; for t in 77 78; do for i in $(seq 0 15); do for j in $(seq 0 127); "
	    "do"
	    " echo route add unreachable 10.0.$i.$j table $t proto 99; done; done; done |"
	    " ip -batch -");
	assert_int_equal(nlx_open(&x, NETLINK_ROUTE), 0);
	assert_int_equal(in_portions(&x, 77, &c, &n), 0);
	assert_int_equal(c.n, 2048);
	assert_true(n >= 3);
	assert_int_equal(in_portions(&x, 79, &c, &n), -ENOENT);
	c.n = 0;
	assert_int_equal(nl_route_dump_table(&x, IP_V4, 78, count_msg, &c), 0);
	assert_int_equal(c.n, 2048);
	assert_int_equal(nl_route_dump_table(&x, IP_V4, 79, count_msg, &c), 0);
	assert_int_equal(nl_route_dump_table(&x, IP_V6, 79, count_msg, &c), 0);
	assert_int_equal(c.n, 2048);
	x.io = &bad_io;
	harm(HARM_TORN, 1);
	assert_int_equal(in_portions(&x, 77, &c, &n), -EAGAIN);
	assert_true(n >= 2 && c.n < 2048); /* to its end, which nobody hears */
	harm(HARM_ENOBUFS, 1);
	assert_int_equal(in_portions(&x, 77, &c, &n), -EAGAIN);
	assert_int_equal(n, 2);
	harm(HARM_NONE, 0); /* the one that was left is still under way */
	assert_int_equal(in_portions(&x, 77, &c, &n), -EAGAIN);
	nlx_close(&x);
	assert_int_equal(nlx_open(&x, NETLINK_ROUTE), 0);
	assert_int_equal(in_portions(&x, 78, &c, &n), 0);
	assert_int_equal(c.n, 2048);
	nlx_close(&x);
}

static ssize_t torn_recv(const struct mnl_socket *s, void *buf, size_t len)
{
	ssize_t n = mnl_socket_recvfrom(s, buf, len);

	seam.count++;
	((struct nlmsghdr *)buf)->nlmsg_flags |= NLM_F_DUMP_INTR;
	return n;
}

static void torn_for_good(void **state)
{
	static const struct nlx_io io = {.send = mnl_socket_sendto, .recv = torn_recv};
	struct nlx x;
	struct counted c = {0};

	NEED_ROOT;
	assert_int_equal(nlx_open(&x, NETLINK_ROUTE), 0);
	x.io = &io;
	assert_int_equal(nl_rule_dump(&x, IP_V4, count_begin, count_msg, &c), -EAGAIN);
	assert_int_equal(c.begun, NLX_DUMP_TRIES);
	nlx_close(&x);
}

struct outcome {
	int err[8];
	unsigned n;
};

static void note_outcome(void *ctx, void *obj, int err)
{
	struct outcome *o = ctx;

	assert_ptr_equal(obj, &o->err[o->n]);
	o->err[o->n++] = err;
}

/* Each message of a batch hears its own error, the last one's too. */
static void batch_errors(void **state)
{
	struct nlx x;
	struct nlx_batch *b;
	struct outcome o = {.n = 0};
	struct nl_route r = {.dst = P("10.9.0.0/16"),
		.table = 77,
		.proto = 157,
		.metric = 5,
		.type = RTN_UNREACHABLE};

	NEED_ROOT;
	assert_int_equal(nlx_open(&x, NETLINK_ROUTE), 0);
	b = nlx_batch_new(&x);
	assert_non_null(b);
	assert_int_equal(nlx_batch_run(b, note_outcome, &o), 0);
	for (int round = 0; round < 2; round++) {
		o.n = 0;
		for (unsigned i = 0; i < 6 + (unsigned)round; i++) {
			bool bad = i == 2 || i == 6;
			struct nl_route m = r;

			m.metric = 5 + i;
			m.oif = bad ? 4711 : 0;
			m.type = bad ? RTN_UNICAST : RTN_UNREACHABLE;
			nl_route_put(nlx_batch_add(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE,
					     sizeof(struct rtmsg), &o.err[i]),
				&m);
		}
		assert_int_equal(nlx_batch_run(b, note_outcome, &o), 0);
		for (unsigned i = 0; i < o.n; i++)
			assert_int_equal(o.err[i], i == 2 || i == 6 ? -ENODEV : 0);
		assert_int_equal(o.n, 6 + round);
	}
	assert_int_equal(atoi(sh("ip route show table 77 | wc -l")), 5);
	/* Lost answers: every object hears of it. */
	x.io = &bad_io;
	harm(HARM_ENOBUFS, 0);
	o.n = 0;
	nl_route_put(nlx_batch_add(b, RTM_DELROUTE, 0, sizeof(struct rtmsg), &o.err[0]), &r);
	assert_int_equal(nlx_batch_run(b, note_outcome, &o), -ENOBUFS);
	assert_int_equal(o.err[0], -ENOBUFS);
	nlx_batch_free(b);
	nlx_batch_free(NULL);
	nlx_close(&x);
}

/* Whatever reply goes wrong, the state is whole after at most one more sync. */
static void kern_under_harm(void **state)
{
	struct kern_cfg c = cfg();
	unsigned hits = 0;

	NEED_ROOT;
	for (int h = HARM_EINTR; h <= HARM_SEND_EINTR; h++) {
		if (h == HARM_SHORT || h == HARM_STALE)
			continue; /* these leave us waiting out the timeout: below */
		for (unsigned at = 0;; at++) {
			struct kern *k;
			int err;

			run("ip rule flush; ip rule add pref 32766 lookup main; ip rule add pref "
			    "32767 lookup default;"
			    "ip route flush table 679301 2>/dev/null");
			k = node(&c);
			k->x.io = &bad_io;
			harm((enum harm)h, at);
			err = kern_sync(k, NULL, 0);
			hits += seam.hits;
			if (h != HARM_EAGAIN && err != 0)
				assert_int_equal(err, -ENOBUFS);
			if (seam.hits == 0) {
				kern_close(k);
				tidy(NULL);
				break;
			}
			harm(HARM_NONE, 0);
			if (err != 0)
				sync_ok(k);
			assert_has(sh("ip route get 10.2.3.4"), "dev weft0");
			assert_has(sh("ip route get 10.9.3.4 2>&1"), "No route to host");
			assert_int_equal(stats(k).routes, 6);
			assert_int_equal(stats(k).rules, 6);
			kern_close(k);
			tidy(NULL);
		}
	}
	assert_true(hits > 20);
}

/* The kernel dropped events: everything is looked at. */
static void events_lost(void **state)
{
	struct kern *k;
	struct kern_cfg c = cfg();

	NEED_ROOT;
	k = node(&c);
	sync_ok(k);
	settle(k, 150);
	run("ip route del 10.2.0.0/16 table 679301; ip rule del pref 6795; ip link set weft0 down; "
	    "nft flush ruleset");
	k->mon.io = &bad_io;
	harm(HARM_ENOBUFS, 0);
	kern_event(k, now_ts());
	assert_int_equal(seam.hits, 1);
	harm(HARM_NONE, 0);
	sync_ok(k);
	settle(k, 50);
	assert_has(sh("ip route get 10.2.3.4"), "dev weft0");
	assert_has(sh("ip link show weft0"), "UP");
	assert_has(sh("nft list ruleset"), "table inet weft");
	/* Cut or foreign events harm nobody. */
	for (int h = HARM_SHORT; h <= HARM_STALE; h++) {
		run("ip link set lo mtu %d", 60000 + h);
		harm((enum harm)h, 0);
		kern_event(k, now_ts());
		assert_int_equal(seam.hits, 1);
	}
	harm(HARM_NONE, 0);
	assert_int_equal(stats(k).errors, 0);
	kern_close(k);
}

/* ---- parsers ---- */

#define KEPT 256

static struct {
	char *msg[KEPT];
	size_t n;
} kept;

static int keep(void *ctx, const struct nlmsghdr *nlh)
{
	if (kept.n < KEPT) {
		kept.msg[kept.n] = test_malloc(nlh->nlmsg_len);
		memcpy(kept.msg[kept.n++], nlh, nlh->nlmsg_len);
	}
	return 0;
}

static int parse_all(void *ctx, const struct nlmsghdr *nlh)
{
	unsigned *ok = ctx;
	struct nl_link l;
	struct nl_addr a;
	struct nl_route r;
	struct nl_rule u;

	*ok += nl_link_parse(nlh, &l) == 0;
	*ok += nl_addr_parse(nlh, &a) == 0;
	if (nl_route_parse(nlh, &r) == 0) {
		assert_true(r.dst.len <= ip_bits(&r.dst.ip) && r.nhops <= NL_ROUTE_HOPS);
		(*ok)++;
	}
	*ok += nl_rule_parse(nlh, &u) == 0;
	*ok += nl_nft_names(nlh, "weft");
	return 0;
}

static void cut_and_flipped(void **state)
{
	struct nlx x;
	unsigned ok;

	NEED_ROOT;
	run("ip link add eth0 type veth peer name eth1; ip link set eth0 up; ip link set eth1 up;"
	    "ip addr add 192.0.2.1/24 dev eth0; ip -6 addr add 2001:db8::1/64 dev eth0 nodad;"
	    "ip route add 10.8.0.0/16 nexthop dev eth0 nexthop via 192.0.2.9 weight 3;"
	    "ip route add 10.7.0.0/16 dev eth0 src 192.0.2.1 mtu 1300 metric 7;"
	    "ip rule add pref 5 iif lo oif eth0 fwmark 3/7 to 10.0.0.0/8 goto 99; ip rule add pref "
	    "99 nop");
	tun("weft0");
	assert_int_equal(nlx_open(&x, NETLINK_ROUTE), 0);
	kept.n = 0;
	assert_int_equal(nl_link_dump(&x, keep, NULL), 0);
	assert_int_equal(nl_addr_dump(&x, IP_NONE, keep, NULL), 0);
	assert_int_equal(nl_route_dump(&x, IP_V4, 0, NULL, keep, NULL), 0);
	assert_int_equal(nl_route_dump(&x, IP_V6, 0, NULL, keep, NULL), 0);
	assert_int_equal(nl_rule_dump(&x, IP_V4, NULL, keep, NULL), 0);
	assert_true(kept.n > 20 && kept.n < KEPT);
	for (size_t i = 0; i < kept.n; i++) {
		const struct nlmsghdr *nlh = (const void *)kept.msg[i];
		size_t len = nlh->nlmsg_len;

		ok = 0;
		assert_int_equal(nlx_walk(nlh, len, parse_all, &ok), 0);
		assert_int_equal(ok, 1);
		/* The datagram is cut, and so is the length that the header tells. */
		for (size_t n = 0; n < len; n++) {
			char *cut = test_malloc(n + 1);

			memcpy(cut, nlh, n);
			ok = 0;
			assert_int_equal(
				nlx_walk(cut, n, parse_all, &ok), n > 0 ? ERR_MALFORMED : 0);
			assert_int_equal(ok, 0);
			if (n >= sizeof(*nlh)) {
				((struct nlmsghdr *)(void *)cut)->nlmsg_len = (uint32_t)n;
				nlx_walk(cut, n, parse_all, &ok);
			}
			test_free(cut);
		}
		for (size_t bit = 0; bit < len * 8; bit++) {
			char *flipped = test_malloc(len);

			memcpy(flipped, nlh, len);
			flipped[bit / 8] = (char)(flipped[bit / 8] ^ (1 << bit % 8));
			(void)nlx_walk(flipped, len, parse_all, &ok);
			test_free(flipped);
		}
		test_free(kept.msg[i]);
	}
	nlx_close(&x);
}

static void read_back(void **state)
{
	char buf[512];
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_NEWROUTE, 0, sizeof(struct rtmsg));
	struct nl_route r = {.dst = P("2001:db8::/33"),
				.table = 0x57000400,
				.proto = 157,
				.metric = 1024,
				.type = RTN_UNICAST,
				.oif = 7,
				.mtu = 1280,
				.src = A("2001:db8::1")},
			got;

	nl_route_put(nlh, &r);
	assert_int_equal(nl_route_parse(nlh, &got), 0);
	assert_true(pfx_eq(&got.dst, &r.dst) && ip_eq(&got.src, &r.src));
	assert_int_equal(got.table, r.table);
	assert_int_equal(got.metric, 1024);
	assert_int_equal(got.oif, 7);
	assert_int_equal(got.mtu, 1280);
	/* An address of the other family is a lie. */
	((struct rtmsg *)mnl_nlmsg_get_payload(nlh))->rtm_family = AF_INET;
	assert_int_equal(nl_route_parse(nlh, &got), ERR_MALFORMED);
	assert_int_equal(kern_table(0), 679300);
	assert_int_equal(kern_table(1023), 680323);
	assert_int_equal(kern_table(1024), 0x57000400);
	for (uint32_t vni = 0; vni < 0x1000000; vni += 997) {
		uint32_t back;

		assert_true(kern_table_vni(kern_table(vni), &back));
		assert_int_equal(back, vni);
	}
	assert_false(kern_table_vni(254, &(uint32_t){0}));
	assert_false(kern_table_vni(KERN_TABLE_HIGH + 1023, &(uint32_t){0}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(dumps, fresh, tidy),
		cmocka_unit_test_setup_teardown(portions, fresh, tidy),
		cmocka_unit_test_setup_teardown(torn_for_good, fresh, tidy),
		cmocka_unit_test_setup_teardown(batch_errors, fresh, tidy),
		cmocka_unit_test_setup_teardown(kern_under_harm, fresh, tidy),
		cmocka_unit_test_setup_teardown(events_lost, fresh, tidy),
		cmocka_unit_test_setup_teardown(cut_and_flipped, fresh, tidy),
		cmocka_unit_test(read_back),
	};

	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
