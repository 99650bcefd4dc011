/* bfd: two cores over a wire that delays, loses, repeats and can be cut one way; and single packets
 * made by hand. Virtual time; random tests print their seed when they fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "bfd.h"
#include "bfd_wire.h"
#include "fault.h"
#include "prng.h"
#include "weft/err.h"

#define FLIGHT 256

struct end {
	struct bfd *b;
	uint32_t id;
	struct ip addr;
	unsigned failed, states, refused, sent;
	enum bfd_state state; /* told last */
	enum bfd_diag diag;   /* of the last failure */
	bool cpi;
	ts_t failed_at, sent_at, heard; /* heard: as the last failure tells it */
	int64_t gap_min_us, gap_max_us; /* between packets without F */
	bool deaf;                      /* nothing arrives */
	uint8_t last[BFD_PACKET_BYTES];
};

struct flight {
	bool used;
	int to;
	ts_t at;
	uint8_t buf[BFD_PACKET_BYTES];
};

struct net {
	struct end e[2];
	struct flight f[FLIGHT];
	struct prng rnd;
	ts_t now;
	unsigned loss_pct, dup_pct;
	uint64_t delay_us, spread_us;
};

static const uint8_t seeds[3][16] = {{1}, {2}, {3}};

static void put(struct net *n, int to, const uint8_t *buf)
{
	for (unsigned i = 0; i < FLIGHT; i++)
		if (!n->f[i].used) {
			n->f[i] = (struct flight){.used = true,
				.to = to,
				.at = ts_add(
					n->now, DUR_US(n->delay_us +
							prng_below(&n->rnd, n->spread_us + 1)))};
			memcpy(n->f[i].buf, buf, BFD_PACKET_BYTES);
			return;
		}
	fail_msg("more packets in flight than the rules of sending allow");
}

static void note_gap(struct end *e, ts_t now)
{
	int64_t us = ts_sub(now, e->sent_at).ns / 1000;

	if (e->sent_at.ns && us > 0) {
		e->gap_min_us = us < e->gap_min_us ? us : e->gap_min_us;
		e->gap_max_us = us > e->gap_max_us ? us : e->gap_max_us;
	}
	e->sent_at = now;
}

static void drain(struct net *n, int i)
{
	struct end *e = &n->e[i];
	struct bfd_act a;

	while (bfd_next(e->b, &a)) {
		if (a.type == BFD_SEND) {
			uint8_t flags = a.buf[1] & (BFD_FLAG_POLL | BFD_FLAG_FINAL);

			assert_int_not_equal(flags, BFD_FLAG_POLL | BFD_FLAG_FINAL);
			e->sent++;
			memcpy(e->last, a.buf, sizeof(e->last));
			if (!(flags & BFD_FLAG_FINAL))
				note_gap(e, n->now);
			if (prng_below(&n->rnd, 100) >= n->loss_pct)
				put(n, !i, a.buf);
			if (prng_below(&n->rnd, 100) < n->dup_pct)
				put(n, !i, a.buf);
		} else if (a.type == BFD_STATE) {
			e->states++;
			e->state = a.state;
			if (a.failed) {
				e->failed++;
				e->failed_at = n->now;
				e->diag = a.diag;
				e->cpi = a.remote_cpi;
				e->heard = a.heard;
			}
		} else {
			e->refused++;
		}
	}
}

static struct bfd_session_cfg conf(const struct net *n, int i, uint32_t us, uint8_t mult)
{
	return (struct bfd_session_cfg){.remote = n->e[!i].addr,
		.local = n->e[i].addr,
		.min_tx_us = us,
		.min_rx_us = us,
		.mult = mult};
}

static void start(struct net *n, int i, uint32_t us, uint8_t mult)
{
	struct bfd_session_cfg c = conf(n, i, us, mult);

	n->e[i].b = bfd_new(seeds[i]);
	n->e[i].gap_min_us = INT64_MAX;
	assert_non_null(n->e[i].b);
	assert_int_equal(0, bfd_add(n->e[i].b, &c, n->now, &n->e[i].id));
	drain(n, i);
}

static void begin(struct net *n, uint64_t seed)
{
	memset(n, 0, sizeof(*n));
	prng_seed(&n->rnd, seed);
	n->now = (ts_t){1000000000};
	n->delay_us = 2000;
	n->e[0].addr = ip_v4(0x0a000001);
	n->e[1].addr = ip_v4(0x0a000002);
}

static void end(struct net *n)
{
	bfd_free(n->e[0].b);
	bfd_free(n->e[1].b);
}

static struct bfd_from from(const struct net *n, int to)
{
	return (struct bfd_from){
		.remote = n->e[!to].addr, .local = n->e[to].addr, .scope = 7, .ttl = 255};
}

/* Let @us of time pass, event by event. */
static void run(struct net *n, uint64_t us)
{
	ts_t until = ts_add(n->now, DUR_US(us));

	for (;;) {
		ts_t next = ts_min(bfd_deadline(n->e[0].b), bfd_deadline(n->e[1].b));
		int first = -1;

		for (int i = 0; i < FLIGHT; i++)
			if (n->f[i].used && ts_before(n->f[i].at, next)) {
				next = n->f[i].at;
				first = i;
			}
		if (ts_before(until, next))
			break;
		assert_false(ts_before(next, n->now));
		n->now = next;
		if (first >= 0) {
			struct flight *f = &n->f[first];
			struct bfd_from how = from(n, f->to);

			f->used = false;
			if (!n->e[f->to].deaf)
				bfd_recv(n->e[f->to].b, &how, f->buf, sizeof(f->buf), n->now);
			drain(n, f->to);
			continue;
		}
		for (int i = 0; i < 2; i++) {
			bfd_tick(n->e[i].b, n->now);
			drain(n, i);
		}
	}
	n->now = until;
}

static struct bfd_info info(const struct net *n, int i)
{
	struct bfd_info out;

	assert_int_equal(0, bfd_get(n->e[i].b, n->e[i].id, &out));
	return out;
}

static bool both(const struct net *n, enum bfd_state s)
{
	return info(n, 0).state == s && info(n, 1).state == s;
}

static void up(struct net *n, uint32_t us0, uint32_t us1, uint8_t mult)
{
	start(n, 0, us0, mult);
	start(n, 1, us1, mult);
	run(n, 10000000);
	assert_true(both(n, BFD_UP));
	assert_int_equal(BFD_UP, n->e[0].state);
	assert_false(info(n, 0).polling || info(n, 1).polling);
	assert_int_equal(0, n->e[0].failed + n->e[1].failed);
}

/* --- sessions --- */

/* 6.8.2, 6.8.4, 6.8.7: the slower of both wishes; a quarter of jitter; slow until Up. */
static void test_up(void **state)
{
	struct net n;

	begin(&n, 1);
	up(&n, 50000, 200000, 3);
	assert_int_equal(200000, info(&n, 0).tx_us);
	assert_int_equal(200000, info(&n, 1).tx_us);
	assert_int_equal(600000, info(&n, 0).detect_us);
	assert_int_equal(info(&n, 0).remote_id, info(&n, 1).id);
	assert_int_equal(0, info(&n, 0).diag);
	for (int i = 0; i < 2; i++) {
		n.e[i].gap_min_us = INT64_MAX;
		n.e[i].gap_max_us = 0;
	}
	run(&n, 60000000);
	assert_in_range(n.e[0].gap_min_us, 150000, 155000);
	assert_in_range(n.e[0].gap_max_us, 195000, 200001);
	end(&n);

	begin(&n, 2); /* alone: one packet a second, from 0.75 on */
	n.e[1].deaf = true;
	start(&n, 0, 50000, 3);
	start(&n, 1, 50000, 3);
	n.e[0].deaf = true;
	run(&n, 60000000);
	assert_true(both(&n, BFD_DOWN));
	assert_in_range(n.e[0].gap_min_us, 750000, 1000000);
	assert_in_range(n.e[0].sent, 60, 82);
	end(&n);

	begin(&n, 3); /* a multiplier of 1: at most nine tenths */
	up(&n, 100000, 100000, 1);
	n.e[0].gap_max_us = 0;
	run(&n, 30000000);
	assert_in_range(n.e[0].gap_max_us, 88000, 90001);
	assert_int_equal(0, n.e[0].failed);
	end(&n);
}

/* The way is cut without a word: both know within the detection time. */
static void test_detect(void **state)
{
	for (uint8_t mult = 2; mult < 6; mult++) {
		struct net n;
		ts_t cut;

		begin(&n, mult);
		up(&n, 50000, 50000, mult);
		n.e[0].deaf = n.e[1].deaf = true;
		cut = n.now;
		run(&n, 10000000);
		for (int i = 0; i < 2; i++) {
			int64_t us = ts_sub(n.e[i].failed_at, cut).ns / 1000;

			assert_int_equal(1, n.e[i].failed);
			assert_int_equal(BFD_DIAG_EXPIRED, n.e[i].diag);
			assert_in_range(us, (mult - 1) * 50000 - 2000, mult * 50000);
			assert_int_equal(0, info(&n, i).remote_id);
			assert_int_equal(BFD_DIAG_EXPIRED, info(&n, i).diag);
			assert_int_equal(1000000, info(&n, i).tx_us);
		}
		n.e[0].deaf = n.e[1].deaf = false;
		run(&n, 10000000);
		assert_true(both(&n, BFD_UP));
		end(&n);
	}
}

/* One way is cut: the deaf end says Down, so that the other stops using the way too. */
static void test_one_way(void **state)
{
	struct net n;
	ts_t cut;

	begin(&n, 5);
	up(&n, 100000, 100000, 3);
	n.e[1].deaf = true;
	cut = n.now;
	run(&n, 5000000);
	assert_int_equal(BFD_DIAG_EXPIRED, n.e[1].diag);
	assert_int_equal(BFD_DIAG_NEIGHBOUR, n.e[0].diag);
	assert_int_equal(1, n.e[0].failed);
	assert_in_range(ts_sub(n.e[0].failed_at, cut).ns / 1000, 190000, 310000);
	/* It hears Down, and is not heard: Init at the most, never Up. */
	assert_int_not_equal(BFD_UP, info(&n, 0).state);
	assert_int_equal(BFD_DOWN, info(&n, 1).state);
	end(&n);
}

/* 6.8.16, RFC 5882 3.2: told to end is no failure, at either end. */
static void test_admin(void **state)
{
	struct net n;

	begin(&n, 6);
	up(&n, 100000, 100000, 3);
	assert_int_equal(0, bfd_admin(n.e[0].b, n.e[0].id, true, n.now));
	drain(&n, 0);
	run(&n, 5000000);
	assert_int_equal(BFD_ADMIN_DOWN, info(&n, 0).state);
	assert_int_equal(BFD_DOWN, info(&n, 1).state);
	assert_int_equal(BFD_ADMIN_DOWN, info(&n, 1).remote_state);
	assert_int_equal(0, n.e[0].failed + n.e[1].failed);
	assert_int_equal(0, bfd_admin(n.e[0].b, n.e[0].id, false, n.now));
	drain(&n, 0);
	run(&n, 5000000);
	assert_true(both(&n, BFD_UP));
	assert_int_equal(ERR_NOT_FOUND, bfd_admin(n.e[0].b, 0, true, n.now));
	end(&n);
}

/* A peer that starts anew is found by its address, and told of as a failure. */
static void test_restart(void **state)
{
	struct net n;
	uint32_t old;

	begin(&n, 7);
	up(&n, 1000000, 1000000, 3);
	old = n.e[0].id;
	bfd_free(n.e[0].b);
	start(&n, 0, 1000000, 3);
	run(&n, 10000);
	assert_int_equal(1, n.e[1].failed);
	assert_int_equal(BFD_DIAG_NEIGHBOUR, n.e[1].diag);
	run(&n, 5000000);
	assert_true(both(&n, BFD_UP));
	/* The seed is the same here, so that the number may be; a true start has another one. */
	assert_int_equal(old, n.e[0].id);
	end(&n);
}

/* 6.8.3: whatever is changed while Up, nobody expires, and the change comes to count. */
static void test_retime(void **state)
{
	static const uint32_t us[] = {20000, 60000, 300000, 1500000};

	for (uint64_t seed = 100; seed < 160; seed++) {
		struct net n;
		uint32_t tx[2], rx[2];

		begin(&n, seed);
		n.spread_us = 2000;
		up(&n, 50000, 50000, 3);
		for (unsigned k = 0; k < 40; k++) {
			int i = (int)prng_below(&n.rnd, 2);

			tx[i] = us[prng_below(&n.rnd, 4)];
			rx[i] = us[prng_below(&n.rnd, 4)];
			assert_int_equal(
				0, bfd_retime(n.e[i].b, n.e[i].id, tx[i], rx[i], 3, n.now));
			drain(&n, i);
			run(&n, prng_below(&n.rnd, 3) * prng_below(&n.rnd, 2000000));
			if (n.e[0].failed + n.e[1].failed)
				fail_msg("seed %llu: a session expired in step %u",
					(unsigned long long)seed, k);
		}
		for (int i = 0; i < 2; i++) {
			tx[i] = 100000;
			assert_int_equal(
				0, bfd_retime(n.e[i].b, n.e[i].id, 100000, 200000, 4, n.now));
			drain(&n, i);
		}
		run(&n, 20000000);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(200000, info(&n, i).tx_us);
			assert_int_equal(800000, info(&n, i).detect_us);
			assert_false(info(&n, i).polling);
		}
		assert_true(both(&n, BFD_UP));
		end(&n);
	}
}

/* With a tenth of loss and a multiplier of 8 nobody expires. Much loss and disorder (an old Down that
 * comes late does take a session down, by the RFC): afterwards both agree. */
static void test_lossy(void **state)
{
	for (uint64_t seed = 1; seed < 60; seed++) {
		struct net n;

		begin(&n, seed);
		n.loss_pct = 10;
		n.dup_pct = 10;
		start(&n, 0, 50000, 8);
		start(&n, 1, 50000, 8);
		run(&n, 60000000);
		if (!both(&n, BFD_UP) || n.e[0].failed + n.e[1].failed > 0)
			fail_msg("seed %llu: %u and %u failures", (unsigned long long)seed,
				n.e[0].failed, n.e[1].failed);
		n.loss_pct = 70;
		n.spread_us = 300000;
		run(&n, 60000000);
		n.loss_pct = n.dup_pct = 0;
		n.spread_us = 0;
		run(&n, 15000000);
		if (!both(&n, BFD_UP))
			fail_msg("seed %llu: not up again", (unsigned long long)seed);
		end(&n);
	}
}

/* --- packets made by hand --- */

static struct bfd_pkt hello(const struct net *n, unsigned st)
{
	return (struct bfd_pkt){.state = (uint8_t)st,
		.mult = 3,
		.my_discr = 77,
		.your_discr = n->e[0].id,
		.min_tx_us = 100000,
		.min_rx_us = 100000};
}

static enum bfd_drop give_from(struct net *n, const struct bfd_pkt *p, const struct bfd_from *how)
{
	uint8_t buf[BFD_PACKET_BYTES];
	enum bfd_drop drop;

	bfd_pkt_encode(p, buf);
	drop = bfd_recv(n->e[0].b, how, buf, sizeof(buf), n->now);
	drain(n, 0);
	return drop;
}

static enum bfd_drop give(struct net *n, const struct bfd_pkt *p)
{
	struct bfd_from how = from(n, 0);

	return give_from(n, p, &how);
}

static void alone(struct net *n)
{
	begin(n, 9);
	start(n, 0, 100000, 3);
	n->e[1].b = bfd_new(seeds[1]);
	n->e[1].deaf = true;
	n->loss_pct = 100;
}

static unsigned flags_of(const struct net *n)
{
	return n->e[0].last[1] & 0x3f;
}

/* Each row of the state machine (6.2), by hand. */
static void test_machine(void **state)
{
	static const struct {
		unsigned n;
		enum bfd_state heard[2], now;
	} rows[] = {
		{1, {BFD_DOWN}, BFD_INIT},
		{1, {BFD_INIT}, BFD_UP},
		{1, {BFD_UP}, BFD_DOWN},
		{1, {BFD_ADMIN_DOWN}, BFD_DOWN},
		{2, {BFD_DOWN, BFD_DOWN}, BFD_INIT},
		{2, {BFD_DOWN, BFD_INIT}, BFD_UP},
		{2, {BFD_DOWN, BFD_UP}, BFD_UP},
		{2, {BFD_DOWN, BFD_ADMIN_DOWN}, BFD_DOWN},
		{2, {BFD_INIT, BFD_INIT}, BFD_UP},
		{2, {BFD_INIT, BFD_UP}, BFD_UP},
		{2, {BFD_INIT, BFD_DOWN}, BFD_DOWN},
		{2, {BFD_INIT, BFD_ADMIN_DOWN}, BFD_DOWN},
	};

	for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		struct net n;

		alone(&n);
		for (unsigned i = 0; i < rows[k].n; i++) {
			struct bfd_pkt p = hello(&n, rows[k].heard[i]);

			assert_int_equal(BFD_OK, give(&n, &p));
		}
		assert_int_equal(rows[k].now, info(&n, 0).state);
		end(&n);
	}
}

/* 6.8.6's checks, one by one; what is dropped changes nothing. */
static void test_drops(void **state)
{
	struct net n;
	struct bfd_pkt p;
	struct bfd_from how;
	struct bfd_stats st;

	alone(&n);
	how = from(&n, 0);
	how.ttl = 254; /* RFC 5881 5 */
	p = hello(&n, BFD_DOWN);
	assert_int_equal(BFD_DROP_TTL, give_from(&n, &p, &how));
	how = from(&n, 0);
	how.remote = ip_v4(0x0a000003);
	assert_int_equal(BFD_DROP_SESSION, give_from(&n, &p, &how));
	how = from(&n, 0);
	how.multihop = true;
	assert_int_equal(BFD_DROP_SESSION, give_from(&n, &p, &how));
	how = from(&n, 0);
	how.local = ip_v4(0x0a000009);
	assert_int_equal(BFD_DROP_SESSION, give_from(&n, &p, &how));
	p.your_discr++;
	assert_int_equal(BFD_DROP_SESSION, give(&n, &p));
	p = hello(&n, BFD_DOWN);
	p.mult = 0;
	assert_int_equal(BFD_DROP_MALFORMED, give(&n, &p));
	p = hello(&n, BFD_DOWN);
	p.my_discr = 0;
	assert_int_equal(BFD_DROP_MALFORMED, give(&n, &p));
	p = hello(&n, BFD_INIT);
	p.your_discr = 0;
	assert_int_equal(BFD_DROP_MALFORMED, give(&n, &p));
	p = hello(&n, BFD_DOWN);
	p.flags = BFD_FLAG_MULTIPOINT;
	assert_int_equal(BFD_DROP_MALFORMED, give(&n, &p));
	assert_int_equal(BFD_DOWN, info(&n, 0).state);
	assert_int_equal(0, info(&n, 0).remote_id);
	bfd_stats(n.e[0].b, &st);
	assert_int_equal(0, st.rx);
	assert_int_equal(4, st.dropped[BFD_DROP_SESSION]);
	assert_int_equal(4, st.dropped[BFD_DROP_MALFORMED]);
	end(&n);
}

/* What we refuse is said once, shown as long as it lasts, and does not bring the session up. */
static void test_refused(void **state)
{
	static const uint8_t auth[26] = {0x20, 0x44, 3, 26, 0, 0, 0, 77, 0, 0, 0, 0, 0, 1, 0, 0, 0,
		1, 0, 0, 0, 0, 0, 0, 4, 2};
	struct bfd_from how;
	struct bfd_pkt p;
	struct net n;

	alone(&n);
	how = from(&n, 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(
			BFD_DROP_AUTH, bfd_recv(n.e[0].b, &how, auth, sizeof(auth), n.now));
		drain(&n, 0);
	}
	assert_int_equal(1, n.e[0].refused);
	assert_non_null(strstr(info(&n, 0).refused, "authentication"));
	p = hello(&n, BFD_DOWN);
	p.flags = BFD_FLAG_DEMAND;
	assert_int_equal(BFD_DROP_DEMAND, give(&n, &p));
	assert_int_equal(2, n.e[0].refused);
	assert_non_null(strstr(info(&n, 0).refused, "demand"));
	assert_int_equal(BFD_DOWN, info(&n, 0).state);
	p.flags = 0;
	assert_int_equal(BFD_OK, give(&n, &p));
	assert_string_equal("", info(&n, 0).refused);
	end(&n);
}

/* 6.8.6: each poll is answered at once, in each state but AdminDown; 6.8.3: ours runs until F. */
static void test_poll(void **state)
{
	struct net n;
	struct bfd_pkt p;
	unsigned sent;

	alone(&n);
	p = hello(&n, BFD_ADMIN_DOWN);
	p.flags = BFD_FLAG_POLL;
	assert_int_equal(BFD_OK, give(&n, &p));
	assert_int_equal(BFD_FLAG_FINAL, flags_of(&n));
	p = hello(&n, BFD_INIT);
	assert_int_equal(BFD_OK, give(&n, &p));
	assert_int_equal(BFD_UP, info(&n, 0).state);
	assert_int_equal(BFD_FLAG_POLL, flags_of(&n)); /* from a second to 100 ms */
	p = hello(&n, BFD_UP);
	assert_int_equal(BFD_OK, give(&n, &p));
	run(&n, 100000);
	assert_int_equal(BFD_FLAG_POLL, flags_of(&n));
	p.flags = BFD_FLAG_FINAL;
	assert_int_equal(BFD_OK, give(&n, &p));
	assert_false(info(&n, 0).polling);
	run(&n, 100000);
	assert_int_equal(0, flags_of(&n));
	/* Slower sending counts only when the peer agreed. */
	assert_int_equal(0, bfd_retime(n.e[0].b, n.e[0].id, 5000000, 100000, 3, n.now));
	drain(&n, 0);
	assert_int_equal(100000, info(&n, 0).tx_us);
	assert_true(info(&n, 0).polling);
	assert_int_equal(BFD_OK, give(&n, &p));
	assert_int_equal(5000000, info(&n, 0).tx_us);
	/* Changed again while a poll runs: the first answer is not for that. */
	assert_int_equal(0, bfd_retime(n.e[0].b, n.e[0].id, 6000000, 100000, 3, n.now));
	assert_int_equal(0, bfd_retime(n.e[0].b, n.e[0].id, 7000000, 100000, 3, n.now));
	drain(&n, 0);
	assert_int_equal(BFD_OK, give(&n, &p));
	assert_int_equal(5000000, info(&n, 0).tx_us);
	assert_int_equal(BFD_OK, give(&n, &p));
	assert_int_equal(7000000, info(&n, 0).tx_us);
	assert_int_equal(0, bfd_admin(n.e[0].b, n.e[0].id, true, n.now));
	drain(&n, 0);
	sent = n.e[0].sent;
	p.flags = BFD_FLAG_POLL;
	assert_int_equal(BFD_OK, give(&n, &p));
	assert_int_equal(sent, n.e[0].sent);
	end(&n);
}

/* A peer that wants no packets gets none (6.8.7); when it falls silent it binds nobody. */
static void test_no_rx(void **state)
{
	struct net n;
	struct bfd_pkt p;
	unsigned sent;

	alone(&n);
	p = hello(&n, BFD_INIT);
	p.min_rx_us = 0;
	assert_int_equal(BFD_OK, give(&n, &p));
	sent = n.e[0].sent;
	assert_int_equal(0, info(&n, 0).tx_us);
	run(&n, 250000);
	assert_int_equal(sent, n.e[0].sent);
	run(&n, 5000000);
	assert_int_equal(BFD_DOWN, info(&n, 0).state);
	assert_true(n.e[0].sent > sent + 3);
	end(&n);
}

/* The C bit that counts is the one of before the failure. */
static void test_cpi(void **state)
{
	struct net n;
	struct bfd_pkt p;

	alone(&n);
	p = hello(&n, BFD_INIT);
	p.flags = BFD_FLAG_CPI;
	assert_int_equal(BFD_OK, give(&n, &p));
	p = hello(&n, BFD_DOWN);
	p.your_discr = 0;
	assert_int_equal(BFD_OK, give(&n, &p));
	assert_int_equal(1, n.e[0].failed);
	assert_true(n.e[0].cpi);
	assert_int_equal(BFD_DIAG_NEIGHBOUR, n.e[0].diag);
	end(&n);
}

/* When the peer was heard last, as a failure tells it: by its last packet where it fell silent or says
 * Down itself, and before the first one of its successor, which knows no discriminator of ours, or says
 * another one of its own. */
static void test_heard(void **state)
{
	for (unsigned k = 0; k < 4; k++) {
		struct net n;
		struct bfd_pkt p;
		ts_t last;

		alone(&n);
		p = hello(&n, BFD_INIT);
		assert_int_equal(BFD_OK, give(&n, &p));
		assert_int_equal(BFD_UP, n.e[0].state);
		last = n.now;
		run(&n, 50000);
		p = hello(&n, BFD_DOWN);
		if (k == 0)
			p.your_discr = 0;
		if (k == 1)
			p.my_discr = 78;
		if (k == 2)
			last = n.now;
		if (k < 3)
			assert_int_equal(BFD_OK, give(&n, &p));
		else
			run(&n, 400000);
		assert_int_equal(1, n.e[0].failed);
		assert_int_equal(last.ns, n.e[0].heard.ns);
		end(&n);
	}
}

/* Up, Down, Init, Up between two drains: the failure is told, then what is. */
static void test_fast(void **state)
{
	static const enum bfd_state heard[] = {BFD_INIT, BFD_DOWN, BFD_DOWN, BFD_INIT};
	struct net n;
	struct bfd_from how;
	uint8_t buf[BFD_PACKET_BYTES];

	alone(&n);
	how = from(&n, 0);
	for (unsigned i = 0; i < 4; i++) {
		struct bfd_pkt p = hello(&n, heard[i]);

		bfd_pkt_encode(&p, buf);
		assert_int_equal(BFD_OK, bfd_recv(n.e[0].b, &how, buf, sizeof(buf), n.now));
	}
	drain(&n, 0);
	assert_int_equal(1, n.e[0].failed);
	assert_int_equal(BFD_UP, n.e[0].state);
	end(&n);
}

/* Sessions of one peer by kind and by our address; the most exact one gets the first packet. */
static void test_demux(void **state)
{
	struct net n;
	struct bfd_session_cfg c;
	struct bfd_from how;
	struct bfd_info i;
	struct bfd_pkt p;
	uint32_t any, multi, bad;

	alone(&n);
	c = conf(&n, 0, 100000, 3);
	assert_int_equal(ERR_EXISTS, bfd_add(n.e[0].b, &c, n.now, &bad));
	c.local = (struct ip){.family = IP_NONE};
	assert_int_equal(0, bfd_add(n.e[0].b, &c, n.now, &any));
	c.multihop = true;
	c.min_ttl = 250;
	assert_int_equal(0, bfd_add(n.e[0].b, &c, n.now, &multi));
	drain(&n, 0);
	p = hello(&n, BFD_DOWN);
	p.your_discr = 0;
	assert_int_equal(BFD_OK, give(&n, &p));
	assert_int_equal(BFD_INIT, info(&n, 0).state);
	how = from(&n, 0);
	how.local = ip_v4(0x0a0000aa);
	assert_int_equal(BFD_OK, give_from(&n, &p, &how));
	assert_int_equal(0, bfd_get(n.e[0].b, any, &i));
	assert_int_equal(BFD_INIT, i.state);
	how.multihop = true;
	how.ttl = 249;
	assert_int_equal(BFD_DROP_TTL, give_from(&n, &p, &how));
	how.ttl = 250;
	assert_int_equal(BFD_OK, give_from(&n, &p, &how));
	assert_int_equal(0, bfd_get(n.e[0].b, multi, &i));
	assert_int_equal(BFD_INIT, i.state);
	assert_int_equal(0, bfd_del(n.e[0].b, multi));
	assert_int_equal(ERR_NOT_FOUND, bfd_del(n.e[0].b, multi));
	assert_int_equal(BFD_DROP_SESSION, give_from(&n, &p, &how));
	c.min_tx_us = BFD_INTERVAL_MIN_US - 1;
	assert_int_equal(ERR_RANGE, bfd_add(n.e[0].b, &c, n.now, &bad));
	c.min_tx_us = BFD_INTERVAL_MIN_US;
	c.mult = 0;
	assert_int_equal(ERR_RANGE, bfd_add(n.e[0].b, &c, n.now, &bad));
	end(&n);
}

static void test_full(void **state)
{
	struct bfd *b = bfd_new(seeds[2]);
	struct bfd_session_cfg c = {.min_tx_us = 50000, .min_rx_us = 50000, .mult = 3};
	const ts_t now = {5};
	struct bfd_act a;
	uint32_t id;

	for (unsigned i = 0; i < LIM_BFD_SESSIONS; i++) {
		c.remote = ip_v4(0x0a000000 + i);
		assert_int_equal(0, bfd_add(b, &c, now, &id));
		assert_int_not_equal(0, id);
	}
	c.remote = ip_v4(0x0b000000);
	assert_int_equal(ERR_FULL, bfd_add(b, &c, now, &id));
	for (unsigned i = 0; i < LIM_BFD_SESSIONS; i++)
		assert_true(bfd_next(b, &a) && a.type == BFD_SEND);
	bfd_free(b);
}

static void test_nomem(void **state)
{
	FAULT_EACH(n)
	{
		struct bfd *b = bfd_new(seeds[0]);
		struct bfd_session_cfg c = {
			.remote = ip_v4(1), .min_tx_us = 50000, .min_rx_us = 50000, .mult = 3};
		uint32_t id;
		int err = 0;

		/* More than the heap of timers begins with. */
		for (unsigned i = 0; b && i < 20 && !err; i++) {
			c.remote = ip_v4(1 + i);
			err = bfd_add(b, &c, (ts_t){1}, &id);
		}
		assert_true(!b || err == 0 || err == ERR_NOMEM);
		if (b && err) {
			assert_int_equal(0, bfd_add(b, &c, (ts_t){1}, &id));
			assert_int_equal(0, bfd_del(b, id));
		}
		if (b)
			bfd_tick(b, (ts_t){UINT64_MAX / 2});
		bfd_free(b);
	}
}

/* --- the codec --- */

static void test_wire(void **state)
{
	static const uint8_t seen[] = {/* a packet as RFC 5880 4.1 lays it out, diag 3, Up, P */
		0x23, 0xe0, 3, 24, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0, 0x0f, 0x42,
		0x40, 0, 0, 0xc3, 0x50, 0, 0, 0, 9};
	uint8_t buf[sizeof(seen) + 8], out[BFD_MIN_LEN];
	struct bfd_pkt p;

	assert_int_equal(BFD_OK, bfd_pkt_decode(seen, sizeof(seen), &p));
	assert_int_equal(BFD_DIAG_NEIGHBOUR, p.diag);
	assert_int_equal(BFD_UP, p.state);
	assert_int_equal(BFD_FLAG_POLL, p.flags);
	assert_int_equal(0x11223344, p.my_discr);
	assert_int_equal(0x55667788, p.your_discr);
	assert_int_equal(1000000, p.min_tx_us);
	assert_int_equal(50000, p.min_rx_us);
	assert_int_equal(9, p.min_echo_us);
	bfd_pkt_encode(&p, out);
	assert_memory_equal(seen, out, sizeof(seen));
	for (size_t len = 0; len < sizeof(seen); len++) {
		memcpy(buf, seen, len);
		assert_int_equal(BFD_DROP_LENGTH, bfd_pkt_decode(buf, len, &p));
	}
	for (size_t bit = 0; bit < sizeof(seen) * 8; bit++) {
		memcpy(buf, seen, sizeof(seen));
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (bfd_pkt_decode(buf, sizeof(seen), &p) != BFD_OK)
			continue;
		bfd_pkt_encode(&p, out);
		assert_memory_equal(buf, out, sizeof(seen));
	}
	memset(buf, 0xff, sizeof(buf));
	memcpy(buf, seen, sizeof(seen));
	assert_int_equal(BFD_OK, bfd_pkt_decode(buf, sizeof(buf), &p)); /* more than it says */
	buf[3] = 23;
	assert_int_equal(BFD_DROP_LENGTH, bfd_pkt_decode(buf, sizeof(buf), &p));
	buf[3] = sizeof(buf) + 1;
	assert_int_equal(BFD_DROP_LENGTH, bfd_pkt_decode(buf, sizeof(buf), &p));
	buf[3] = 24;
	buf[1] |= BFD_FLAG_AUTH;
	assert_int_equal(BFD_DROP_LENGTH, bfd_pkt_decode(buf, sizeof(buf), &p));
	buf[0] = 0x43;
	assert_int_equal(BFD_DROP_VERSION, bfd_pkt_decode(buf, sizeof(buf), &p));
}

static void test_names(void **state)
{
	for (unsigned i = 0; i < BFD_DROPS; i++)
		assert_string_not_equal("?", bfd_drop_str((enum bfd_drop)i));
	assert_string_equal("?", bfd_drop_str(BFD_DROPS));
	assert_string_equal("?", bfd_diag_str(31));
	assert_string_not_equal("?", bfd_diag_str(BFD_DIAG_REVERSE));
	assert_string_equal("Up", bfd_state_str(BFD_UP));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_up),
		cmocka_unit_test(test_detect),
		cmocka_unit_test(test_one_way),
		cmocka_unit_test(test_admin),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_retime),
		cmocka_unit_test(test_lossy),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_drops),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_poll),
		cmocka_unit_test(test_no_rx),
		cmocka_unit_test(test_cpi),
		cmocka_unit_test(test_heard),
		cmocka_unit_test(test_fast),
		cmocka_unit_test(test_demux),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_nomem),
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
