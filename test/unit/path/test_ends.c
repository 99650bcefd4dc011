/* Path MTU end to end, endpoints, NATs and firewalls, and what members may send in. */
#include "pathnet.h"
#include "fault.h"

/* --- path MTU --- */

static void set_mtu(struct net *t, unsigned i, unsigned j, unsigned mtu)
{
	t->mtu[i][j] = t->mtu[j][i] = mtu;
}

/* Each size is found exactly, and where an inner 1280 does not fit, halves are said. */
static void test_mtu_exact(void **state)
{
	(void)state;
	for (unsigned mtu = 1280; mtu <= 9000; mtu += mtu < 1520 ? 7 : 311) {
		struct net *t = net_new(2, mtu);

		set_mtu(t, 0, 1, mtu);
		t->mtu[1][0] = 1280; /* the other direction is another matter */
		net_start(t, 9000);
		join_all(t);
		run(t, 8000);
		assert_int_equal(t->n[0].link[1].mtu, mtu);
		assert_int_equal(t->n[1].link[0].mtu, 1280);
		assert_int_equal(info(t, 0, 1).halves, mtu < 1280 + WIRE_OVERHEAD_V4);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_DIRECT);
		net_free(t);
	}
}

/* The path shrinks under a flow of full-size packets. Nothing comes back when they vanish, so it is
 * found soon; small packets in the other direction may hide it until the size is confirmed. */
static void test_mtu_shrinks(void **state)
{
	(void)state;
	for (unsigned hidden = 0; hidden < 2; hidden++) {
		struct net *t = net_new(3, 5);
		struct flow *ab;

		net_start(t, 9000);
		set_mtu(t, 0, 1, 9000);
		join_all(t);
		run(t, 3000);
		ab = flow(t, 0, 1, 0, 9000);
		if (hidden)
			flow(t, 1, 0, 0, 100);
		run(t, 10000);
		assert_int_equal(t->n[0].link[1].mtu, 9000);
		mark(t, ab);
		set_mtu(t, 0, 1, 1400);
		run(t, 20000);
		int64_t ms = gap(t, ab);
		if (ms >= (hidden ? 4000 : 1500))
			fail_msg("hidden %u: %lld ms without data", hidden, (long long)ms);
		assert_int_equal(t->n[0].link[1].mtu, 1400);
		assert_int_equal(info(t, 0, 1).black_holes, 1);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_DIRECT);
		assert_int_equal(info(t, 0, 1).switches, 1);
		/* It grows: by the raise timer, or at once when the interface does. */
		set_mtu(t, 0, 1, 5000);
		run(t, 620000);
		assert_int_equal(t->n[0].link[1].mtu, 5000);
		net_free(t);
	}
}

/* Through a relay the path is another: its own search, the relay's header inside the size. */
static void test_mtu_relayed(void **state)
{
	struct net *t = net_new(3, 5);

	(void)state;
	set_mtu(t, 0, 2, 1450);
	set_mtu(t, 1, 2, 1390);
	net_start(t, 1500);
	join_all(t);
	flow(t, 0, 1, 0, 1500);
	flow(t, 1, 0, 0, 1500);
	run(t, 3000);
	assert_int_equal(t->n[0].link[1].mtu, 1500);
	cut_both(t, 0, 1, true);
	run(t, 8000);
	assert_int_equal(info(t, 0, 1).state, PATH_ST_RELAYED);
	assert_int_equal(t->n[0].link[1].mtu, 1390);
	assert_true(info(t, 0, 1).halves); /* 1390 - 64 - 20 - 40 < 1280 */
	cut_both(t, 0, 1, false);
	run(t, 60000);
	assert_int_equal(t->n[0].link[1].mtu, 1500);
	net_free(t);
}

static void test_mtu_interface(void **state)
{
	struct net *t = net_new(2, 5);

	(void)state;
	set_mtu(t, 0, 1, 9000);
	net_start(t, 1500);
	join_all(t);
	run(t, 5000);
	assert_int_equal(t->n[0].link[1].mtu, 1500);
	path_set_mtu(t->n[0].p, 9000, t->now);
	run(t, 5000);
	assert_int_equal(t->n[0].link[1].mtu, 9000);
	path_set_mtu(t->n[0].p, 1400, t->now);
	run(t, 1);
	assert_int_equal(t->n[0].link[1].mtu, 1400);
	/* What the kernel refuses need not be lost three times. */
	run(t, 200);
	path_set_mtu(t->n[0].p, 9000, t->now);
	path_refused(t->n[0].p, &t->n[1].key, 1401, t->now);
	run(t, 1);
	assert_int_equal(t->n[0].link[1].mtu, 1400);
	net_free(t);
}

/* --- endpoints, NAT --- */

/* Two nodes behind what @a and @b are, and one open node that both know. */
static struct net *natted(enum nat a, enum nat b, bool relay)
{
	struct net *t = net_new(3, 3 + a * 10u + b);

	t->n[0].nat = a;
	t->n[1].nat = b;
	t->n[2].relay = relay;
	net_start(t, 1500);
	/* They dial the open node by its address, as a seed. */
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(path_want(t->n[i].p, &t->n[2].key, t->now), 0);
	run(t, 3000);
	assert_int_equal(info(t, 0, 2).state, PATH_ST_DIRECT);
	assert_int_equal(info(t, 1, 2).state, PATH_ST_DIRECT);
	return t;
}

/* Whatever can be punched is direct, without a relay; then data keeps it open. */
static void test_punch(void **state)
{
	static const enum nat kinds[][2] = {
		{NAT_OPEN, NAT_CONE},
		{NAT_CONE, NAT_OPEN},
		{NAT_FIREWALL, NAT_FIREWALL},
		{NAT_CONE, NAT_FIREWALL},
		{NAT_CONE, NAT_CONE},
		{NAT_OPEN, NAT_SYMMETRIC},
	};

	(void)state;
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct net *t = natted(kinds[k][0], kinds[k][1], false);
		struct flow *ab = flow(t, 0, 1, 0, 500);

		assert_int_equal(path_want(t->n[0].p, &t->n[1].key, t->now), 0);
		run(t, 8000);
		if (info(t, 0, 1).state != PATH_ST_DIRECT || !ab->direct)
			fail_msg("%u and %u: state %u", kinds[k][0], kinds[k][1],
				info(t, 0, 1).state);
		if (kinds[k][0] == NAT_CONE)
			assert_int_equal(path_nat(t->n[0].p), PATH_NAT_STEADY);
		net_free(t);
	}
}

/* Two whose mappings depend on whom they send to: a relay, and only then. */
static void test_no_punch(void **state)
{
	for (unsigned relay = 0; relay < 2; relay++) {
		struct net *t = natted(NAT_SYMMETRIC, NAT_SYMMETRIC, relay);
		struct flow *ab = flow(t, 0, 1, 0, 500);

		(void)state;
		assert_int_equal(path_want(t->n[0].p, &t->n[1].key, t->now), 0);
		run(t, 20000);
		if (relay) {
			assert_int_equal(info(t, 0, 1).state, PATH_ST_RELAYED);
			assert_true(ab->rx > 0 && !ab->direct);
		} else {
			assert_int_equal(info(t, 0, 1).state, PATH_ST_CONNECTING);
			assert_true(t->n[0].unreachable[1]);
			assert_int_equal(t->relayed, 0);
			/* Given up when nobody wants it: no message, no timer but keepalives. */
			path_unwant(t->n[0].p, &t->n[1].key, t->now);
			t->n[0].dial[1].on = false;
			run(t, 100);
			unsigned before = t->n[0].sends;
			run(t, 100000);
			assert_in_range(t->n[0].sends - before, 1, 8);
		}
		net_free(t);
	}
}

/* A relayed session between two that can be punched becomes direct while it carries data. */
static void test_relayed_to_direct(void **state)
{
	struct net *t = natted(NAT_CONE, NAT_CONE, true);

	(void)state;
	/* No way to open for a while: the session is made through the relay. */
	cut_both(t, 0, 1, true);
	struct flow *ab = flow(t, 0, 1, 0, 500);
	flow(t, 1, 0, 0, 500);
	assert_int_equal(path_want(t->n[0].p, &t->n[1].key, t->now), 0);
	run(t, 15000);
	assert_int_equal(info(t, 0, 1).state, PATH_ST_RELAYED);
	assert_true(ab->rx > 0);
	cut_both(t, 0, 1, false);
	run(t, 70000);
	assert_int_equal(info(t, 0, 1).state, PATH_ST_DIRECT);
	assert_int_equal(info(t, 1, 0).state, PATH_ST_DIRECT);
	assert_true(ab->direct);
	net_free(t);
}

/* Behind a NAT whose mappings live for 30 s an idle link stays open for what comes from outside. */
static void test_keepalive(void **state)
{
	for (unsigned nat = 0; nat < 2; nat++) {
		struct net *t = natted(nat ? NAT_CONE : NAT_OPEN, NAT_OPEN, true);

		(void)state;
		run(t, 20000);
		unsigned before = t->n[0].sends;
		run(t, 600000);
		if (nat)
			assert_in_range(t->n[0].sends - before, 24, 40);
		else
			assert_int_equal(t->n[0].sends, before);
		struct flow *in = flow(t, 2, 0, 0, 500);
		run(t, 2000);
		assert_true(in->tx - in->rx <= 1);
		net_free(t);
	}
}

/* Endpoints are dialled in order: configured, its own, seen; the first that answers is used. */
static void test_order(void **state)
{
	struct net *t = net_new(3, 1);
	const struct ep said[2] = {{ip_v4(0x0a0000f1), PORT, 0}, {ip_v4(0x0a0000f2), PORT, 0}};
	const struct ep configured = {ip_v4(0x0a0000f3), PORT, 0},
			seen = {ip_v4(0x0a0000f4), PORT, 0};
	const struct path_node of = {true, said, 2};
	struct ep tried[8];
	unsigned n = 0;

	(void)state;
	net_start(t, 1500);
	assert_int_equal(path_node_set(t->n[0].p, &t->n[1].key, &of, t->now), 0);
	assert_int_equal(path_endpoint_add(t->n[0].p, &t->n[1].key, &seen, false, t->now), 0);
	assert_int_equal(path_endpoint_add(t->n[0].p, &t->n[1].key, &configured, true, t->now), 0);
	assert_int_equal(
		path_endpoint_add(t->n[0].p, &t->n[1].key, &seen, false, t->now), ERR_EXISTS);
	assert_int_equal(path_endpoint_add(t->n[0].p, &t->n[1].key, &(struct ep){0}, false, t->now),
		ERR_RANGE);
	assert_int_equal(path_want(t->n[0].p, &t->n[1].key, t->now), 0);
	for (unsigned i = 0; i < 4000 && n < 3; i++) {
		struct ep was = t->n[0].dial[1].ep;

		run(t, 1);
		if (t->n[0].dial[1].on && !ep_eq(&was, &t->n[0].dial[1].ep))
			tried[n++] = t->n[0].dial[1].ep;
	}
	assert_int_equal(n, 3);
	assert_true(ep_eq(&tried[0], &configured));
	assert_true(ep_eq(&tried[1], &said[0]));
	assert_true(ep_eq(&tried[2], &said[1]));
	/* A dial that fails before its time: the next at once. */
	path_unwant(t->n[0].p, &t->n[1].key, t->now);
	assert_int_equal(path_want(t->n[0].p, &t->n[1].key, t->now), 0);
	run(t, 1);
	path_connect_failed(t->n[0].p, &t->n[1].key, t->now);
	run(t, 1);
	assert_true(ep_eq(&t->n[0].dial[1].ep, &said[0]));
	net_free(t);
}

/* --- what members may send --- */

static int send_in(struct net *t, unsigned to, unsigned from, const struct wr *w)
{
	struct path_from f = {.node = t->n[from].key, .ep = t->n[from].ep};

	return path_recv(t->n[to].p, &f, w->start, wr_len(w), t->now);
}

/* A member that floods asks, punches, opens and probes is answered up to the bound of each. */
static void test_floods(void **state)
{
	struct net *t = net_new(4, 1);
	struct path_ask ask = {.depth = 0, .target = {{0}}};
	struct path_punch punch = {.eps = {.n = 1}};
	struct path_open open = {.eps = {.n = 1}};
	struct path_probe probe = {.token = 1};
	uint8_t buf[PATH_MSG_MAX];
	unsigned good[4] = {0}, limited = 0;
	struct wr w;

	(void)state;
	net_start(t, 1500);
	join_all(t);
	run(t, 2000);
	ask.target = punch.target = open.node = t->n[2].key;
	punch.eps.v[0] = open.eps.v[0] = t->n[3].ep;
	for (unsigned k = 0; k < 3000; k++) {
		int err[4];

		ask.id = k;
		wr_init(&w, buf, sizeof(buf));
		path_ask_encode(&w, &ask);
		err[0] = send_in(t, 0, 1, &w);
		wr_init(&w, buf, sizeof(buf));
		path_punch_encode(&w, &punch);
		err[1] = send_in(t, 0, 1, &w);
		wr_init(&w, buf, sizeof(buf));
		path_open_encode(&w, &open);
		err[2] = send_in(t, 0, 1, &w);
		wr_init(&w, buf, sizeof(buf));
		path_probe_encode(&w, PATH_MSG_PROBE, &probe);
		err[3] = send_in(t, 0, 1, &w);
		for (unsigned i = 0; i < 4; i++) {
			good[i] += err[i] == 0;
			limited += err[i] == ERR_LIMIT;
			assert_true(err[i] == 0 || err[i] == ERR_LIMIT);
		}
		drain(t, 0);
	}
	assert_int_equal(good[0], LIM_PATH_ASKS_PER_SEC);
	assert_int_equal(good[1] + good[2], LIM_PATH_PUNCHES_PER_SEC);
	assert_int_equal(good[3], LIM_PATH_REPLIES_PER_SEC);
	assert_int_equal(limited, stats(t, 0).rx_limited);
	/* Not drained: the queue drops, and says so. */
	run(t, 2000);
	for (unsigned k = 0; k < LIM_PATH_SENDS + 10 && k < LIM_PATH_REPLIES_PER_SEC; k++) {
		for (unsigned from = 1; from < 3; from++) {
			wr_init(&w, buf, sizeof(buf));
			path_probe_encode(&w, PATH_MSG_PROBE, &probe);
			(void)send_in(t, 0, from, &w);
		}
	}
	assert_true(stats(t, 0).dropped > 0);
	run(t, 1000);
	net_free(t);
}

/* What answers nothing, comes from nobody or is no message: an error each, and nothing happens. */
static void test_refusals(void **state)
{
	struct net *t = net_new(4, 1);
	struct path_answer answer = {.id = 5, .verdict = PATH_ANSWER_OK};
	struct path_probe reply = {.token = UINT64_C(1) << 56 | 77};
	struct path_ask ask = {0};
	struct path_route r = {.n = 1};
	uint8_t buf[PATH_MSG_MAX] = {0};
	struct wr w;

	(void)state;
	t->n[0].relay = false;
	net_start(t, 1500);
	wr_init(&w, buf, sizeof(buf));
	path_probe_encode(&w, PATH_MSG_REPLY, &reply);
	assert_int_equal(send_in(t, 0, 1, &w), ERR_NOT_FOUND); /* no link */
	join(t, 0, 1);
	run(t, 1000);
	assert_int_equal(send_in(t, 0, 1, &w), ERR_STALE);
	for (unsigned kind = 0; kind < 256; kind++) {
		reply.token = (uint64_t)kind << 56 | UINT64_C(0xff) << 48 | 77;
		wr_init(&w, buf, sizeof(buf));
		path_probe_encode(&w, PATH_MSG_REPLY, &reply);
		assert_int_equal(send_in(t, 0, 1, &w), ERR_STALE);
	}
	answer.target = label(t, 2);
	wr_init(&w, buf, sizeof(buf));
	path_answer_encode(&w, &answer);
	assert_int_equal(send_in(t, 0, 1, &w), ERR_STALE);
	ask.target = t->n[2].key;
	wr_init(&w, buf, sizeof(buf));
	path_ask_encode(&w, &ask);
	assert_int_equal(send_in(t, 0, 1, &w), ERR_REFUSED); /* we don't relay */
	ask.target = t->n[0].key;
	wr_init(&w, buf, sizeof(buf));
	path_ask_encode(&w, &ask);
	assert_int_equal(send_in(t, 0, 1, &w), ERR_MALFORMED);
	struct path_from from = {.node = t->n[1].key};
	assert_int_equal(path_recv(t->n[0].p, &from, buf, 0, t->now), ERR_TRUNCATED);
	for (unsigned type = 0; type < 256; type++) {
		buf[0] = (uint8_t)type;
		assert_true(
			path_recv(t->n[0].p, &from, buf, 1, t->now) < 0 || type == PATH_MSG_ALIVE);
	}
	/* The driver's own mistakes */
	struct node_key nobody = {{9}};
	assert_int_equal(path_want(t->n[0].p, &nobody, t->now), ERR_NOT_FOUND);
	assert_int_equal(
		path_link_up(t->n[0].p, &nobody, &t->n[1].ep, NULL, t->now), ERR_NOT_FOUND);
	assert_int_equal(
		path_traffic(t->n[0].p, &t->n[2].key, 0, t->now, t->now, t->now), ERR_NOT_FOUND);
	assert_int_equal(
		path_traffic(t->n[0].p, &t->n[1].key, SIDE_PORTS + 1, t->now, t->now, t->now),
		ERR_RANGE);
	/* A way back through a node that we have no link with, through the node itself, through us */
	for (unsigned k = 0; k < 3; k++) {
		static const unsigned through[] = {3, 2, 0};

		r.first = t->n[through[k]].key;
		r.label[0] = label(t, through[k]);
		assert_int_equal(
			path_link_up(t->n[0].p, &t->n[2].key, NULL, &r, t->now), ERR_RANGE);
	}
	struct node_key twin = t->n[1].key;
	struct path_node of = {true, NULL, 0};
	twin.b[31] ^= 1; /* the same label */
	assert_int_equal(path_node_set(t->n[0].p, &twin, &of, t->now), ERR_CONFLICT);
	assert_int_equal(path_node_set(t->n[0].p, &t->n[0].key, &of, t->now), ERR_REFUSED);
	net_free(t);
}

/* Nodes come and go while others search through them. */
static void test_node_del(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct net *t = net_new(6, seed);

		net_start(t, 1500);
		join_all(t);
		flow(t, 0, 1, 0, 500);
		run(t, 2000);
		cut_both(t, 0, 1, true);
		run(t, 400 + (int64_t)seed * 20);
		for (unsigned k = 2; k < 6; k++) {
			path_node_del(t->n[0].p, &t->n[k].key, t->now);
			path_node_del(t->n[1].p, &t->n[k].key, t->now);
			t->n[0].link[k] = t->n[1].link[k] = (struct link){0};
			run(t, 50);
		}
		run(t, 3000);
		assert_int_equal(info(t, 0, 1).state, PATH_ST_LOST);
		assert_int_equal(stats(t, 0).nodes, 1);
		path_node_del(t->n[0].p, &t->n[1].key, t->now);
		t->n[0].link[1] = (struct link){0};
		run(t, 1000);
		assert_true(ts_is_never(path_deadline(t->n[0].p)));
		assert_int_equal(stats(t, 0).links + stats(t, 0).lost + stats(t, 0).relayed, 0);
		net_free(t);
	}
}

/* Any allocation may fail: an error, or a try later. */
static void test_no_memory(void **state)
{
	struct path_cfg cfg = {.self = {{1}},
		.relay = true,
		.has_v4 = true,
		.side_ports = 2,
		.mtu = 1500,
		.seed = 1};
	struct node_key a = {{2}}, b = {{3}};
	struct ep ep = {ip_v4(0x0a000001), PORT, 0};
	struct path_node of = {true, &ep, 1};
	ts_t now = {DUR_SEC(1).ns};

	(void)state;
	path_tune_default(&cfg.tune);
	FAULT_EACH(n)
	{
		struct path *p = path_new(&cfg, now);
		struct path_act act;
		int err;

		if (!p)
			continue;
		err = path_node_set(p, &a, &of, now);
		assert_true(err == 0 || err == ERR_NOMEM);
		err = path_node_set(p, &b, &of, now);
		assert_true(err == 0 || err == ERR_NOMEM);
		(void)path_link_up(p, &a, &ep, NULL, now);
		err = path_traffic(p, &a, 1, now, now, now);
		assert_true(err == 0 || err == ERR_NOMEM || err == ERR_NOT_FOUND);
		(void)path_want(p, &b, now);
		for (unsigned k = 0; k < 200; k++) {
			now = ts_add(now, DUR_MS(50));
			(void)path_traffic(p, &a, 0, now, TS_ZERO, now);
			path_tick(p, now);
			while (path_next(p, &act))
				;
		}
		path_free(p);
	}
	path_free(NULL);
}

/* Cut off for long, both wait for their next round; then data waits for it, and the other is there again. The
 * same while all relays are being asked in vain. */
static void test_hasten(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct net *t = net_new(3, seed);

		net_start(t, 1500);
		join(t, 0, 2);
		cut_both(t, 0, 1, true);
		cut_both(t, 2, 1, true);
		assert_int_equal(path_want(t->n[0].p, &t->n[1].key, t->now), 0);
		run(t, seed & 1 ? 100000 : 10000);
		assert_false(t->n[0].link[1].up);
		cut_both(t, 0, 1, false);
		t->n[0].dial[1].on = false; /* that dial is over */
		for (int k = 0; k < 6; k++) {
			path_hasten(t->n[0].p, &t->n[1].key, t->now);
			run(t, 1000);
		}
		if (!t->n[0].link[1].up)
			fail_msg("seed %u", (unsigned)seed);
		net_free(t);
	}
}

/* All relays promise a way and carry nothing. Between one and the next an endpoint is dialled, so that a direct way
 * that works by now is found soon. */
static void test_relays_in_vain(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct net *t = net_new(5, seed);

		net_start(t, 1500);
		for (unsigned r = 2; r < 5; r++) {
			t->n[r].crook = CROOK_SWALLOWS;
			join(t, 0, r);
			join(t, 1, r);
		}
		run(t, 1000);
		cut_both(t, 0, 1, true);
		assert_int_equal(path_want(t->n[0].p, &t->n[1].key, t->now), 0);
		while (t->n[0].dial[1].route.n == 0)
			run(t, 100);
		run(t, 2500);
		t->n[1].dial[0].on = false; /* what a common peer arranged is over */
		cut_both(t, 0, 1, false);
		run(t, 3000);
		if (!t->n[0].link[1].up)
			fail_msg("seed %u", (unsigned)seed);
		net_free(t);
	}
}

/* No relay knows a way, and goes on being asked. Meanwhile the direct way works again: nobody has to say so. */
static void test_redial(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct net *t = net_new(5, seed);

		net_start(t, 1500);
		for (unsigned r = 2; r < 5; r++) {
			join(t, 0, r);
			cut_both(t, r, 1, true);
		}
		cut_both(t, 0, 1, true);
		assert_int_equal(path_want(t->n[0].p, &t->n[1].key, t->now), 0);
		run(t, 3000 + (int64_t)seed * 300);
		assert_false(t->n[0].link[1].up);
		t->n[0].dial[1].on = false; /* that dial is over */
		cut_both(t, 0, 1, false);
		run(t, 4000);
		if (!t->n[0].link[1].up)
			fail_msg("seed %u", (unsigned)seed);
		net_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mtu_exact),
		cmocka_unit_test(test_mtu_shrinks),
		cmocka_unit_test(test_mtu_relayed),
		cmocka_unit_test(test_mtu_interface),
		cmocka_unit_test(test_punch),
		cmocka_unit_test(test_no_punch),
		cmocka_unit_test(test_relayed_to_direct),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_node_del),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_hasten),
		cmocka_unit_test(test_relays_in_vain),
		cmocka_unit_test(test_redial),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
