/* Membership, piece by piece: rings against a slow model, the codec, states and versions, what is
 * refused, want of memory. Whole clusters are in test_member_net.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "fault.h"
#include "map.h"
#include "member.h"
#include "member_wire.h"
#include "overlay.h"
#include "prng.h"

#define US 0
#define N  24

static struct identity ids[N];
static const struct cluster_id cluster = {{9}};

static int setup_group(void **state)
{
	if (key_init() < 0)
		return -1;
	for (uint8_t i = 0; i < N; i++)
		identity_from_seed((const uint8_t[32]){i, 0x55}, &ids[i]);
	return 0;
}

static struct members *make(ts_t now)
{
	struct members_cfg cfg = {.id = &ids[US], .cluster = cluster, .epoch = 5, .seed = 1};

	return members_new(&cfg, now);
}

static ts_t at(int64_t ms)
{
	return ts_add(TS_ZERO, DUR_MS(100000 + ms));
}

/* Drain; how often did @type come for @node (NULL: any)? */
static unsigned drain(struct members *m, enum member_act_type type, const struct node_key *node)
{
	struct member_act a;
	unsigned count = 0;

	while (members_next(m, &a)) {
		assert_true(a.type != MEMBER_SEND || (a.len > 0 && a.len <= MEMBER_MSG_MAX));
		count += a.type == type && (!node || node_key_eq(&a.node, node));
	}
	return count;
}

/* Call it whenever it asks to be called, until @end. */
static unsigned run(struct members *m, ts_t end, enum member_act_type type, int node)
{
	unsigned count = drain(m, type, node < 0 ? NULL : &ids[node].pub);

	while (!ts_before(end, members_deadline(m))) {
		members_tick(m, members_deadline(m));
		count += drain(m, type, node < 0 ? NULL : &ids[node].pub);
	}
	return count;
}

static struct member_fact fact(
	enum member_fact_type type, int subject, uint64_t epoch, uint64_t inc, int by)
{
	struct member_fact f = {
		.type = (uint8_t)type, .subject = ids[subject].pub, .epoch = epoch, .inc = inc};
	uint8_t msg[MEMBER_SIGNED_LEN];

	if (type == MEMBER_FACT_SUSPECT)
		f.origin = ids[by].pub;
	if (type != MEMBER_FACT_NOTICE) {
		member_fact_signed(&f, &cluster, msg);
		key_sign(&ids[by], MEMBER_SIGN_LABEL, msg, sizeof(msg), f.sig);
	}
	return f;
}

static int push(struct members *m, int from, const struct member_fact *f, ts_t now)
{
	uint8_t buf[MEMBER_MSG_MAX];
	struct wr w;

	wr_init(&w, buf, sizeof(buf));
	wr_u8(&w, MEMBER_MSG_PUSH);
	member_fact_encode(&w, f);
	return members_recv(m, &ids[from].pub, buf, wr_len(&w), now);
}

/* A core that knows nodes 1 to @n - 1 in their run 1, linked with all. */
static struct members *linked(int n)
{
	struct members *m = make(at(0));

	assert_non_null(m);
	for (int i = 1; i < n; i++) {
		assert_int_equal(members_node_add(m, &ids[i].pub, 1, at(0)), 0);
		assert_int_equal(members_link(m, &ids[i].pub, true, at(0)), 0);
	}
	run(m, at(0), MEMBER_NONE, -1);
	return m;
}

/* --- rings --- */

struct keys {
	struct node_key key[300];
};

static const struct node_key *key_of(const void *ctx, uint32_t n)
{
	return &((const struct keys *)ctx)->key[n];
}

static void test_ring(void **state)
{
	static struct keys k;
	const uint8_t salt[16] = {3};
	bool in[300] = {false};
	struct overlay_ring r;
	struct prng p;

	prng_seed(&p, 7);
	for (int i = 0; i < 300; i++)
		for (int b = 0; b < 32; b += 8) {
			uint64_t v = prng_next(&p);
			memcpy(&k.key[i].b[b], &v, 8);
		}
	overlay_init(&r, salt, key_of, &k);
	assert_int_equal(overlay_reserve(&r, 300), 0);
	for (int step = 0; step < 5000; step++) {
		uint32_t n = (uint32_t)prng_below(&p, 300);

		if (in[n])
			overlay_take(&r, n);
		else
			overlay_put(&r, n);
		in[n] = !in[n];
		n = (uint32_t)prng_below(&p, 300);
		assert_int_equal(overlay_find(&r, &k.key[n]), in[n] ? n : OVERLAY_NONE);
		for (size_t i = 1; i < r.count; i++)
			assert_true(r.v[i - 1].hash <= r.v[i].hash);
	}
	overlay_fini(&r);
}

/* Neighbours as every node computes them: the same from both sides, and few. */
static void test_neighbours(void **state)
{
	struct members *m[N];
	unsigned most = 0;

	for (int i = 0; i < N; i++) {
		struct members_cfg cfg = {
			.id = &ids[i], .cluster = cluster, .epoch = 1, .seed = (uint64_t)i};

		m[i] = members_new(&cfg, at(0));
		assert_non_null(m[i]);
		for (int j = 0; j < N; j++)
			assert_int_equal(members_node_add(m[i], &ids[j].pub, 1, at(0)),
				i == j ? ERR_CONFLICT : 0);
		run(m[i], at(1000), MEMBER_NONE, -1);
	}
	for (int i = 0; i < N; i++) {
		unsigned count = 0;

		for (int j = 0; j < N; j++) {
			bool mine = members_is_neighbour(m[i], &ids[j].pub);

			assert_int_equal(mine, members_is_neighbour(m[j], &ids[i].pub));
			count += mine;
		}
		assert_true(count >= 2 && count <= 2 * MEMBER_RINGS);
		most = count > most ? count : most;
	}
	assert_true(most > MEMBER_RINGS);
	for (int i = 0; i < N; i++)
		members_free(m[i]);
}

static void test_watch(void **state)
{
	struct members *m = make(at(0));
	struct members_stats s;

	assert_int_equal(members_node_add(m, &ids[1].pub, 1, at(0)), 0);
	assert_int_equal(drain(m, MEMBER_ALIVE, &ids[1].pub), 1);
	assert_int_equal(run(m, at(600), MEMBER_WATCH, 1), 1);
	members_stats(m, &s);
	assert_int_equal(s.nodes, 2);
	assert_int_equal(s.neighbours, 1);
	assert_int_equal(s.neighbours_linked, 0);
	members_node_del(m, &ids[1].pub, at(700));
	assert_int_equal(run(m, at(2000), MEMBER_UNWATCH, 1), 1);
	assert_int_equal(members_state(m, &ids[1].pub), MEMBER_UNKNOWN);
	members_node_del(m, &ids[1].pub, at(2000));
	members_node_del(m, &ids[US].pub, at(2000));
	assert_true(ts_is_never(members_deadline(m)));
	members_free(m);
}

/* --- codec --- */

static size_t valid(uint8_t kind, uint8_t *buf)
{
	struct member_fact f[] = {
		fact(MEMBER_FACT_SUSPECT, 2, 1, 0, 3),
		fact(MEMBER_FACT_ALIVE, 4, 1, 7, 4),
		fact(MEMBER_FACT_LEAVE, 5, 1, 1, 5),
		fact(MEMBER_FACT_NOTICE, 6, 1, 0, 0),
	};
	struct member_probe p = {
		.seq = 3, .dead = 1, .digest = 9, .extra = (const uint8_t *)"root", .extra_len = 4};
	struct wr w;

	wr_init(&w, buf, MEMBER_MSG_MAX);
	switch (kind) {
	case MEMBER_MSG_PROBE:
	case MEMBER_MSG_ACK:
		member_probe_encode(&w, kind, &p);
		break;
	case MEMBER_MSG_REQ:
		member_req_encode(&w, 5, 2, &ids[2].pub);
		break;
	case MEMBER_MSG_HOLD:
		wr_u8(&w, kind);
		for (int i = 0; i < 4; i++)
			member_hold_encode(&w, &(struct member_hold){ids[i].pub, 1, 0});
		break;
	case MEMBER_MSG_PUSH:
		wr_u8(&w, kind);
		break;
	default:
		member_short_encode(&w, kind, 5);
	}
	if (kind == MEMBER_MSG_PROBE || kind == MEMBER_MSG_PUSH)
		for (size_t i = 0; i < sizeof(f) / sizeof(f[0]); i++)
			member_fact_encode(&w, &f[i]);
	assert_false(wr_bad(&w));
	return wr_len(&w);
}

static void test_codec_round_trip(void **state)
{
	for (int i = 0; i < 4; i++) {
		static const uint8_t types[] = {MEMBER_FACT_SUSPECT, MEMBER_FACT_ALIVE,
			MEMBER_FACT_LEAVE, MEMBER_FACT_NOTICE};
		struct member_fact f = fact(types[i], 3, 11, 12, 3), g;
		uint8_t buf[200], again[200];
		struct wr w, back;
		struct rd r;

		wr_init(&w, buf, sizeof(buf));
		member_fact_encode(&w, &f);
		assert_int_equal(wr_len(&w), member_fact_len(types[i]));
		for (size_t len = 0; len < wr_len(&w); len++) {
			rd_init(&r, buf, len);
			assert_int_equal(member_fact_decode(&r, &g), ERR_TRUNCATED);
		}
		rd_init(&r, buf, wr_len(&w));
		assert_int_equal(member_fact_decode(&r, &g), 0);
		assert_true(rd_done(&r));
		wr_init(&back, again, sizeof(again)); /* the structure itself has gaps */
		member_fact_encode(&back, &g);
		assert_int_equal(wr_len(&back), wr_len(&w));
		assert_memory_equal(buf, again, wr_len(&w));
		buf[1]++; /* a length that is not the type's */
		rd_init(&r, buf, sizeof(buf));
		assert_int_equal(member_fact_decode(&r, &g), ERR_MALFORMED);
	}
	assert_int_equal(member_fact_len(0), 0);
	assert_int_equal(member_fact_len(99), 0);
}

/* A fact of a later version is stepped over, and what follows it is used. */
static void test_unknown_fact(void **state)
{
	struct member_fact f = fact(MEMBER_FACT_LEAVE, 2, 1, 1, 2);
	struct members *m = linked(4);
	uint8_t buf[MEMBER_MSG_MAX];
	struct wr w;

	wr_init(&w, buf, sizeof(buf));
	wr_u8(&w, MEMBER_MSG_PUSH);
	wr_u8(&w, 77);
	wr_u8(&w, 10);
	wr_zero(&w, 10);
	member_fact_encode(&w, &f);
	assert_int_equal(members_recv(m, &ids[1].pub, buf, wr_len(&w), at(10)), 0);
	assert_int_equal(members_state(m, &ids[2].pub), MEMBER_AWAY);
	buf[0] = 99; /* nor is an unknown message an error */
	assert_int_equal(members_recv(m, &ids[1].pub, buf, wr_len(&w), at(10)), 0);
	members_free(m);
}

/* Each prefix, and each bit turned over: nothing breaks, no signed fact is believed that is not
 * whole, and nobody dies. */
static void test_mangled(void **state)
{
	for (uint8_t kind = MEMBER_MSG_PROBE; kind <= MEMBER_MSG_HOLD; kind++) {
		uint8_t buf[MEMBER_MSG_MAX], bad[MEMBER_MSG_MAX];
		size_t len = valid(kind, buf);
		struct members *m = linked(8);
		struct members_stats s;

		for (size_t i = 0; i < len; i++) {
			(void)members_recv(m, &ids[1].pub, buf, i, at(0));
			drain(m, MEMBER_NONE, NULL);
		}
		members_free(m);
		m = linked(8);
		for (size_t i = 8; i < 8 * len; i++) { /* but of the kind */
			memcpy(bad, buf, len);
			bad[i / 8] ^= (uint8_t)(1 << i % 8);
			(void)members_recv(m, &ids[2 + i % 6].pub, bad, len, at((int64_t)i));
			members_tick(m, at((int64_t)i));
			drain(m, MEMBER_NONE, NULL);
		}
		members_stats(m, &s);
		assert_int_equal(s.deaths, 0);
		assert_true(s.rx_bad > 0 || kind == MEMBER_MSG_NACK || kind == MEMBER_MSG_REACHED ||
			    kind == MEMBER_MSG_REQ || kind == MEMBER_MSG_HOLD);
		members_free(m);
	}
}

static void test_refuses(void **state)
{
	struct members *m = linked(3);
	const uint8_t long_extra[] = {MEMBER_MSG_PROBE, 0, 1, 0, 0, 0, 0, 0, 0,
		MEMBER_EXTRA_MAX + 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	const uint8_t nack[] = {MEMBER_MSG_NACK, 0, 1, 0};

	assert_int_equal(members_recv(m, &ids[1].pub, NULL, 0, at(0)), ERR_TRUNCATED);
	assert_int_equal(members_recv(m, &ids[9].pub, nack, 3, at(0)), ERR_NOT_FOUND);
	assert_int_equal(members_recv(m, &ids[US].pub, nack, 3, at(0)), ERR_NOT_FOUND);
	assert_int_equal(members_recv(m, &ids[1].pub, nack, 2, at(0)), ERR_TRUNCATED);
	assert_int_equal(members_recv(m, &ids[1].pub, nack, 4, at(0)), ERR_MALFORMED);
	assert_int_equal(
		members_recv(m, &ids[1].pub, long_extra, sizeof(long_extra), at(0)), ERR_MALFORMED);
	assert_int_equal(members_link(m, &ids[US].pub, true, at(0)), ERR_CONFLICT);
	assert_int_equal(members_link(m, &ids[9].pub, false, at(0)), 0);
	assert_int_equal(members_state(m, &ids[9].pub), MEMBER_UNKNOWN);
	members_free(m);
}

/* --- states --- */

/* Two nodes, one of them silent: how the states follow. */
static void test_silent(void **state)
{
	struct members *m = linked(2);
	struct members_stats s;

	assert_int_equal(run(m, at(3500), MEMBER_SUSPECT, 1), 1);
	assert_int_equal(members_state(m, &ids[1].pub), MEMBER_DOUBTED);
	assert_int_equal(run(m, at(4900), MEMBER_DEAD, 1), 0);
	assert_int_equal(run(m, at(7000), MEMBER_DEAD, 1), 1);
	members_stats(m, &s);
	assert_int_equal(s.alive, 1);
	assert_int_equal(s.dead, 1);
	assert_int_equal(s.own_suspicions, 1);
	/* It is heard: alive at once. */
	members_heard(m, &ids[1].pub, at(7100));
	assert_int_equal(drain(m, MEMBER_ALIVE, &ids[1].pub), 1);
	members_stats(m, &s);
	assert_int_equal(s.false_alarms, 1);
	members_free(m);
}

/* While a node is heard, by whatever it sends, it is not declared dead. */
static void test_heard_protects(void **state)
{
	struct members *m = linked(2);
	struct members_stats s;

	for (int64_t t = 0; t < 60000; t += 4000) {
		members_heard(m, &ids[1].pub, at(t));
		run(m, at(t + 3999), MEMBER_NONE, -1);
		assert_int_not_equal(members_state(m, &ids[1].pub), MEMBER_GONE);
	}
	members_stats(m, &s);
	assert_int_equal(s.deaths, 0);
	assert_true(s.own_suspicions > 0);
	members_free(m);
}

/* Others' suspicions: a quorum kills, but not one that we hear, and each counts once. */
static void test_quorum(void **state)
{
	struct members *m = linked(8);
	struct member_fact f;

	for (int i = 0; i < 5; i++) {
		f = fact(MEMBER_FACT_SUSPECT, 7, 1, 0, 1);
		assert_int_equal(push(m, 1 + i, &f, at(10 + i)), 0);
	}
	assert_int_equal(drain(m, MEMBER_SUSPECT, &ids[7].pub), 1);
	f = fact(MEMBER_FACT_SUSPECT, 7, 1, 0, 2);
	assert_int_equal(push(m, 2, &f, at(20)), 0);
	f = fact(MEMBER_FACT_SUSPECT, 7, 1, 0, 3);
	assert_int_equal(push(m, 3, &f, at(30)), 0);
	for (int64_t t = 100; t < 4900; t += 100) {
		for (int i = 1; i < 7; i++)
			members_heard(m, &ids[i].pub, at(t));
		members_tick(m, at(t));
		assert_int_equal(drain(m, MEMBER_DEAD, NULL), 0);
	}
	/* Its link came up at 0: after five seconds it may die. */
	members_tick(m, at(5100));
	assert_int_equal(drain(m, MEMBER_DEAD, &ids[7].pub), 1);
	members_free(m);
}

/* The subject's own word ends it, and older suspicions mean nothing any more. */
static void test_refuted(void **state)
{
	struct members *m = linked(8);
	struct member_fact f = fact(MEMBER_FACT_SUSPECT, 7, 1, 0, 1);
	struct members_stats s;

	assert_int_equal(push(m, 1, &f, at(10)), 0);
	assert_int_equal(drain(m, MEMBER_SUSPECT, &ids[7].pub), 1);
	f = fact(MEMBER_FACT_ALIVE, 7, 1, 1, 7);
	assert_int_equal(push(m, 2, &f, at(20)), 0);
	assert_int_equal(drain(m, MEMBER_ALIVE, &ids[7].pub), 1);
	f = fact(MEMBER_FACT_SUSPECT, 7, 1, 0, 2);
	assert_int_equal(push(m, 1, &f, at(30)), 0);
	assert_int_equal(drain(m, MEMBER_SUSPECT, &ids[7].pub), 0);
	members_stats(m, &s);
	assert_int_equal(s.refutations, 1);
	/* Who says what it already said is not news; a false signature is told. */
	f = fact(MEMBER_FACT_ALIVE, 7, 1, 2, 6);
	assert_int_equal(push(m, 2, &f, at(40)), ERR_AUTH);
	/* And from then on nothing signed is taken from that link. */
	f = fact(MEMBER_FACT_ALIVE, 7, 1, 2, 7);
	assert_int_equal(push(m, 2, &f, at(50)), ERR_AUTH);
	assert_int_equal(push(m, 3, &f, at(60)), 0);
	members_stats(m, &s);
	assert_int_equal(s.rx_forged, 2);
	members_free(m);
}

/* We are suspected: we refute above what was said, once, and not what is not about this run. */
static void test_self(void **state)
{
	struct members *m = linked(8);
	struct member_fact f = fact(MEMBER_FACT_SUSPECT, US, 5, 0, 1);
	struct members_stats s;

	assert_int_equal(push(m, 1, &f, at(10)), 0);
	assert_int_equal(drain(m, MEMBER_REFUTE, NULL), 1);
	assert_int_equal(push(m, 2, &f, at(600)), 0);
	assert_int_equal(drain(m, MEMBER_REFUTE, NULL), 0);
	f = fact(MEMBER_FACT_SUSPECT, US, 4, 9, 1);
	assert_int_equal(push(m, 1, &f, at(1200)), 0);
	f = fact(MEMBER_FACT_SUSPECT, US, 6, 9, 1);
	assert_int_equal(push(m, 1, &f, at(1200)), 0);
	f = fact(MEMBER_FACT_NOTICE, US, 5, (uint64_t)1 << 33, 0);
	assert_int_equal(push(m, 1, &f, at(1200)), 0);
	assert_int_equal(drain(m, MEMBER_REFUTE, NULL), 0);
	members_stats(m, &s);
	assert_int_equal(s.incarnation, 1);
	/* Who doubts what is past did not hear our word: it is said again, not raised. */
	run(m, at(5000), MEMBER_NONE, -1);
	f = fact(MEMBER_FACT_NOTICE, US, 5, 0, 0);
	assert_int_equal(push(m, 3, &f, at(5000)), 0);
	assert_int_equal(drain(m, MEMBER_REFUTE, NULL), 0);
	for (int i = 1; i < 8; i++)
		members_heard(m, &ids[i].pub, at(5010));
	assert_true(run(m, at(5020), MEMBER_SEND, 4) > 0);
	members_stats(m, &s);
	assert_int_equal(s.incarnation, 1);
	/* Ahead of us, as after a restart with an old disk: we jump above it. */
	f = fact(MEMBER_FACT_SUSPECT, US, 5, 8, 2);
	assert_int_equal(push(m, 1, &f, at(6000)), 0);
	members_stats(m, &s);
	assert_int_equal(s.incarnation, 9);
	members_set_epoch(m, 6, at(6100));
	members_stats(m, &s);
	assert_int_equal(s.incarnation, 0);
	members_free(m);
}

/* Versions that no node comes to: refused, counted; what is far ahead of the subject is no suspicion. */
static void test_future(void **state)
{
	const uint64_t far[] = {LIM_INCARNATION + 1, UINT64_MAX - 1, UINT64_MAX};
	struct members *m = linked(8);
	struct members_stats s;
	struct member_fact f;

	for (int type = MEMBER_FACT_SUSPECT; type <= MEMBER_FACT_NOTICE; type++)
		for (unsigned i = 0; i < 3; i++) {
			int by = type == MEMBER_FACT_SUSPECT ? 3 : 2;

			f = fact((enum member_fact_type)type, 2, 1, far[i], by);
			assert_int_equal(push(m, 1, &f, at(10)), ERR_RANGE);
			f = fact((enum member_fact_type)type, 2, far[i], 0, by);
			assert_int_equal(push(m, 1, &f, at(10)), ERR_RANGE);
		}
	members_stats(m, &s);
	assert_int_equal(s.rx_future, 4 * 3 * 2);
	assert_int_equal(members_state(m, &ids[2].pub), MEMBER_OK);
	/* Not answered by the subject, so not taken over: else no suspicion of it could be refuted. */
	f = fact(MEMBER_FACT_SUSPECT, 2, 1, LIM_INCARNATION, 3);
	assert_int_equal(push(m, 1, &f, at(20)), 0);
	assert_int_equal(members_state(m, &ids[2].pub), MEMBER_OK);
	f = fact(MEMBER_FACT_SUSPECT, 2, 1, ((uint64_t)1 << 32) + 1, 3);
	assert_int_equal(push(m, 1, &f, at(20)), 0);
	assert_int_equal(members_state(m, &ids[2].pub), MEMBER_OK);
	members_stats(m, &s);
	assert_int_equal(s.rx_future, 26);
	f = fact(MEMBER_FACT_SUSPECT, 2, 1, (uint64_t)1 << 32, 3);
	assert_int_equal(push(m, 1, &f, at(20)), 0);
	assert_int_equal(members_state(m, &ids[2].pub), MEMBER_DOUBTED);
	f = fact(MEMBER_FACT_ALIVE, 2, 1, ((uint64_t)1 << 32) + 1, 2);
	assert_int_equal(push(m, 1, &f, at(30)), 0);
	assert_int_equal(members_state(m, &ids[2].pub), MEMBER_OK);
	/* The highest there is: it lives by that, dies and comes back as others do. */
	f = fact(MEMBER_FACT_LEAVE, 2, LIM_EPOCH, LIM_INCARNATION, 2);
	assert_int_equal(push(m, 1, &f, at(40)), 0);
	assert_int_equal(members_state(m, &ids[2].pub), MEMBER_AWAY);
	members_free(m);
}

/* Lists of dead ones in such versions. */
static void test_future_hold(void **state)
{
	const struct member_hold h[] = {
		{ids[2].pub, UINT64_MAX, 0}, {ids[3].pub, 1, UINT64_MAX}, {ids[4].pub, 1, 0}};
	struct members *m = linked(8);
	uint8_t buf[MEMBER_MSG_MAX];
	struct members_stats s;
	struct wr w;

	wr_init(&w, buf, sizeof(buf));
	wr_u8(&w, MEMBER_MSG_HOLD);
	for (unsigned i = 0; i < 3; i++)
		member_hold_encode(&w, &h[i]);
	run(m, at(6000), MEMBER_NONE, -1);
	assert_int_equal(members_recv(m, &ids[1].pub, buf, wr_len(&w), at(6000)), ERR_RANGE);
	members_stats(m, &s);
	assert_int_equal(s.rx_future, 2);
	members_free(m);
}

/* Notices are free to send: new words about them are rare. */
static void test_notices_rest(void **state)
{
	struct members *m = linked(4);
	struct members_stats s;
	struct member_fact f;
	uint64_t before;

	for (int64_t t = 0; t < 60000; t += 100) {
		members_stats(m, &s);
		f = fact(MEMBER_FACT_NOTICE, US, 5, s.incarnation, 0);
		assert_int_equal(push(m, 1, &f, at(t)), 0);
		run(m, at(t), MEMBER_NONE, -1);
	}
	members_stats(m, &s);
	assert_in_range(s.self_refutes, 8, 10);
	/* A word that is said again costs little, and takes nothing from those that are new. */
	run(m, at(100000), MEMBER_NONE, -1);
	for (int64_t t = 100000; t < 130000; t += 100) {
		f = fact(MEMBER_FACT_NOTICE, US, 5, 0, 0);
		assert_int_equal(push(m, 1, &f, at(t)), 0);
		run(m, at(t), MEMBER_NONE, -1);
	}
	before = s.incarnation;
	f = fact(MEMBER_FACT_NOTICE, US, 5, before, 0);
	assert_int_equal(push(m, 1, &f, at(130000)), 0);
	run(m, at(130600), MEMBER_NONE, -1);
	members_stats(m, &s);
	assert_int_equal(s.incarnation, before + 1);
	members_free(m);
}

/* Held dead by the other side of one partition after the other, a node answers each time at once. */
static void test_notice_each_partition(void **state)
{
	struct members *m = linked(4);
	struct members_stats s;

	for (int64_t t = 0; t < 400000; t += 20000) {
		struct member_fact f;
		uint64_t before;

		members_stats(m, &s);
		before = s.incarnation;
		for (int i = 1; i < 4; i++) {
			f = fact(MEMBER_FACT_NOTICE, US, 5, before, 0);
			assert_int_equal(push(m, i, &f, at(t + i)), 0);
		}
		run(m, at(t + 600), MEMBER_NONE, -1);
		members_stats(m, &s);
		assert_int_equal(s.incarnation, before + 1);
	}
	members_free(m);
}

/* Is @subject's ALIVE among what is sent until @end? */
static bool says_alive(struct members *m, ts_t end, int subject)
{
	struct member_act a;
	bool said = false;

	for (;;) {
		while (members_next(m, &a))
			for (size_t i = 2; a.type == MEMBER_SEND && i + 32 <= a.len; i++)
				said |= memcmp(a.buf + i, ids[subject].pub.b, 32) == 0 &&
					a.buf[i - 2] == MEMBER_FACT_ALIVE;
		if (ts_before(end, members_deadline(m)))
			return said;
		members_tick(m, members_deadline(m));
	}
}

/* Who said goodbye and stays away is dead in the end; what proves its last word is that goodbye. */
static void test_overdue(void **state)
{
	struct members *m = linked(6);
	struct member_fact leave = fact(MEMBER_FACT_LEAVE, 3, 1, 1, 3);
	struct member_fact old = fact(MEMBER_FACT_ALIVE, 3, 1, 0, 3);
	struct members_stats s;

	members_overdue(m, &ids[3].pub, at(5)); /* it is here */
	members_overdue(m, &ids[20].pub, at(5));
	assert_int_equal(members_state(m, &ids[3].pub), MEMBER_OK);
	assert_int_equal(push(m, 3, &leave, at(10)), 0);
	assert_int_equal(drain(m, MEMBER_LEFT, &ids[3].pub), 1);
	assert_false(says_alive(m, at(1500), 3));
	assert_int_equal(push(m, 1, &old, at(1500)), 0);
	assert_false(says_alive(m, at(1600), 3));
	members_overdue(m, &ids[3].pub, at(1700));
	assert_int_equal(drain(m, MEMBER_DEAD, &ids[3].pub), 1);
	members_stats(m, &s);
	assert_int_equal(s.left, 0);
	assert_int_equal(s.dead, 1);
	assert_int_equal(push(m, 1, &old, at(1800)), 0);
	assert_int_equal(members_state(m, &ids[3].pub), MEMBER_GONE);
	assert_false(says_alive(m, at(16000), 3));
	assert_int_equal(members_node_add(m, &ids[3].pub, 2, at(16000)), 0);
	assert_int_equal(drain(m, MEMBER_ALIVE, &ids[3].pub), 1);
	members_free(m);
}

static void test_leave_and_return(void **state)
{
	struct members *m = linked(5);
	struct member_fact f = fact(MEMBER_FACT_LEAVE, 3, 1, 1, 3);
	struct members_stats s;

	assert_int_equal(push(m, 3, &f, at(10)), 0);
	assert_int_equal(drain(m, MEMBER_LEFT, &ids[3].pub), 1);
	/* Late words of the same run don't bring it back. */
	f = fact(MEMBER_FACT_ALIVE, 3, 1, 2, 3);
	assert_int_equal(push(m, 1, &f, at(20)), 0);
	members_heard(m, &ids[3].pub, at(20));
	assert_int_equal(members_node_add(m, &ids[3].pub, 1, at(20)), 0);
	assert_int_equal(members_state(m, &ids[3].pub), MEMBER_AWAY);
	members_stats(m, &s);
	assert_int_equal(s.left, 1);
	assert_int_equal(members_node_add(m, &ids[3].pub, 2, at(30)), 0);
	assert_int_equal(drain(m, MEMBER_ALIVE, &ids[3].pub), 1);
	/* So does its own word from a later run, before its record came. */
	f = fact(MEMBER_FACT_LEAVE, 3, 2, 1, 3);
	assert_int_equal(push(m, 3, &f, at(40)), 0);
	f = fact(MEMBER_FACT_ALIVE, 3, 3, 1, 3);
	assert_int_equal(push(m, 1, &f, at(50)), 0);
	assert_int_equal(members_state(m, &ids[3].pub), MEMBER_OK);
	/* We leave: all are told, and nothing is asked any more. */
	members_leave(m, at(60));
	assert_true(drain(m, MEMBER_SEND, NULL) >= 4);
	members_leave(m, at(60));
	assert_int_equal(push(m, 1, &f, at(70)), 0);
	run(m, at(60000), MEMBER_SEND, -1);
	assert_true(ts_is_never(members_deadline(m)));
	members_free(m);
}

/* What is attached to a probe comes out as it went in. */
static void test_attach(void **state)
{
	struct members *m = linked(3);
	const uint8_t root[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct member_act a;
	struct wr w;
	uint8_t buf[64];
	struct member_probe p = {.seq = 1, .extra = root, .extra_len = 8};
	unsigned extras = 0, acks = 0;

	members_attach(m, root, sizeof(root));
	wr_init(&w, buf, sizeof(buf));
	member_probe_encode(&w, MEMBER_MSG_PROBE, &p);
	assert_int_equal(members_recv(m, &ids[1].pub, buf, wr_len(&w), at(5)), 0);
	while (members_next(m, &a)) {
		if (a.type == MEMBER_EXTRA) {
			assert_int_equal(a.len, 8);
			assert_memory_equal(a.buf, root, 8);
			extras++;
		} else if (a.type == MEMBER_SEND && a.buf[0] == MEMBER_MSG_ACK) {
			struct member_probe q;
			struct rd r;

			rd_init(&r, a.buf + 1, a.len - 1);
			assert_int_equal(member_probe_decode(&r, &q), 0);
			assert_int_equal(q.seq, 1);
			assert_int_equal(q.extra_len, 8);
			assert_memory_equal(q.extra, root, 8);
			acks++;
		}
	}
	assert_int_equal(extras, 1);
	assert_int_equal(acks, 1);
	members_free(m);
}

/* Called much too late, a node judges nobody until it had time to read. */
static void test_stalled(void **state)
{
	struct members *m = linked(2);
	struct members_stats s;

	run(m, at(2000), MEMBER_NONE, -1);
	members_tick(m, at(60000));
	assert_int_equal(drain(m, MEMBER_DEAD, NULL), 0);
	members_heard(m, &ids[1].pub, at(60010));
	members_stats(m, &s);
	assert_int_equal(s.stalls, 1);
	assert_int_equal(s.deaths, 0);
	assert_int_equal(run(m, at(62000), MEMBER_DEAD, 1), 0);
	members_free(m);
}

/* --- bounds --- */

static void test_limits(void **state)
{
	struct members *m = make(at(0));
	struct node_key k = {{0}};
	struct members_stats s;
	int err = 0;

	for (uint32_t i = 1; i < LIM_NODES && err == 0; i++) {
		memcpy(k.b, &i, sizeof(i));
		err = members_node_add(m, &k, 1, at(0));
	}
	assert_int_equal(err, 0);
	k.b[31] = 1;
	assert_int_equal(members_node_add(m, &k, 1, at(0)), ERR_FULL);
	assert_int_equal(members_link(m, &k, true, at(0)), ERR_FULL);
	members_stats(m, &s);
	assert_int_equal(s.nodes, LIM_NODES);
	drain(m, MEMBER_NONE, NULL);
	/* A place that is given back is used again. */
	k = (struct node_key){{1}};
	members_node_del(m, &k, at(0));
	drain(m, MEMBER_NONE, NULL);
	k.b[31] = 2;
	assert_int_equal(members_node_add(m, &k, 1, at(0)), 0);
	members_free(m);
}

static void scenario(void)
{
	struct member_fact f;
	struct members *m = make(at(0));

	if (!m)
		return;
	for (int i = 1; i < N; i++) {
		(void)members_node_add(m, &ids[i].pub, 1, at(0));
		(void)members_link(m, &ids[i].pub, true, at(0));
	}
	drain(m, MEMBER_NONE, NULL);
	for (int i = 1; i < 6; i++) {
		f = fact(MEMBER_FACT_SUSPECT, 7, 1, 0, i);
		(void)push(m, i, &f, at(10));
	}
	f = fact(MEMBER_FACT_ALIVE, 7, 1, 1, 7);
	(void)push(m, 1, &f, at(20));
	f = fact(MEMBER_FACT_NOTICE, US, 5, 0, 0);
	(void)push(m, 1, &f, at(20));
	run(m, at(9000), MEMBER_NONE, -1);
	members_node_del(m, &ids[7].pub, at(9000));
	members_leave(m, at(9000));
	drain(m, MEMBER_NONE, NULL);
	members_free(m);
}

static void test_no_memory(void **state)
{
	FAULT_EACH(n)
	{
		scenario();
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_codec_round_trip),
		cmocka_unit_test(test_unknown_fact),
		cmocka_unit_test(test_mangled),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_heard_protects),
		cmocka_unit_test(test_quorum),
		cmocka_unit_test(test_refuted),
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_future),
		cmocka_unit_test(test_future_hold),
		cmocka_unit_test(test_notices_rest),
		cmocka_unit_test(test_notice_each_partition),
		cmocka_unit_test(test_overdue),
		cmocka_unit_test(test_leave_and_return),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_stalled),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_no_memory),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, setup_group, NULL);
}
