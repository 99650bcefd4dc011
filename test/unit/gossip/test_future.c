/* Versions that no node comes to: records, our own key, words about who is to be forgotten. And who lies is
 * named, once a minute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "weft/log.h"
#include "gossip.h"
#include "gossip_wire.h"
#include "record.h"

static struct identity us, peer, other;
static const struct cluster_id cluster = {"our cluster's id"}, foreign = {"another cluster."};
static ts_t now;
static struct gossip *g;

/* What the driver was told since it was last looked at. */
static struct {
	unsigned lies[GOSSIP_LIES], clones, forgotten, epochs;
	uint64_t clone_epoch, epoch;
	struct node_key liar;
	size_t neps;
	unsigned said; /* node records of ours */
} told;

static void drain(void)
{
	struct gossip_act a;
	struct record r;

	while (gossip_next(g, &a)) {
		if (a.type == GOSSIP_LIAR) {
			told.lies[a.lie]++;
			told.liar = a.node;
			told.neps = a.neps;
		} else if (a.type == GOSSIP_KEY_CLONE) {
			told.clones++;
			told.clone_epoch = a.epoch;
		} else if (a.type == GOSSIP_EPOCH) {
			told.epochs++;
			told.epoch = a.epoch;
			gossip_epoch_stored(g, a.epoch, now);
		} else if (a.type == GOSSIP_FORGOTTEN) {
			told.forgotten++;
		} else if (a.type == GOSSIP_SEND && a.buf[0] == GOSSIP_MSG_RECORDS) {
			for (size_t at = 1; at < a.len; at += r.len) {
				assert_true(record_parse(a.buf + at, a.len - at, &r) > 0);
				told.said += r.type == RECORD_NODE && node_key_eq(&r.node, &us.pub);
			}
		}
	}
}

static void pass(dur_t d)
{
	ts_t end = ts_add(now, d);

	for (ts_t t; ts_due(t = gossip_deadline(g), end);) {
		now = ts_before(now, t) ? t : now;
		gossip_tick(g, now);
		drain();
	}
	now = end;
	gossip_tick(g, now);
	drain();
}

static int setup(void **state)
{
	struct gossip_cfg cfg = {.full_mesh = true,
		.id = &us,
		.cluster = cluster,
		.name = "us",
		.version = "1",
		.epoch = 7,
		.seed = 1};
	struct ep e = {ip_v4(0xc0000209), 6793, 0};

	now = ts_add(TS_ZERO, DUR_SEC(1000));
	g = gossip_new(&cfg, now);
	if (!g || gossip_link_up(g, &peer.pub, &e, now) != 0)
		return -1;
	drain();
	memset(&told, 0, sizeof(told));
	return 0;
}

static int teardown(void **state)
{
	gossip_free(g);
	return 0;
}

static int say_in(const struct cluster_id *where, const struct identity *id, uint8_t type,
	uint64_t epoch, uint64_t seq, const uint8_t *body, int len)
{
	struct record r = {
		.type = type, .epoch = epoch, .seq = seq, .cluster = *where, .body = body};
	uint8_t msg[1 + LIM_RECORD_BYTES] = {GOSSIP_MSG_RECORDS};

	assert_true(len > 0);
	r.body_len = (size_t)len;
	len = record_sign(id, &r, msg + 1);
	assert_true(len > 0);
	len = gossip_recv(g, &peer.pub, msg, 1 + (size_t)len, now);
	drain();
	return len;
}

static int say_node(const struct identity *id, const char *name, uint64_t epoch, uint64_t seq)
{
	struct record_node n = {.version = "1"};
	uint8_t body[RECORD_BODY_MAX];

	snprintf(n.name, sizeof(n.name), "%s", name);
	return say_in(&cluster, id, RECORD_NODE, epoch, seq, body, record_node_encode(&n, body));
}

/* The peer says that others are to forget @whom. */
static int say_forget(uint64_t peer_seq, const struct identity *whom, uint64_t epoch, uint64_t seq)
{
	struct record_forget f = {whom->pub, epoch, seq, 1};
	uint8_t body[RECORD_BODY_MAX];

	return say_in(&cluster, &peer, RECORD_FORGET, 1, peer_seq, body,
		record_forgets_encode(&f, 1, body));
}

static uint64_t epoch_of(const struct identity *id)
{
	struct gossip_node_info i;

	return gossip_node_get(g, &id->pub, &i) == 0 ? i.epoch : 0;
}

static bool shown(const struct identity *id)
{
	struct gossip_node_info i;

	return gossip_node_get(g, &id->pub, &i) == 0;
}

static uint64_t future(void)
{
	struct gossip_stats st;

	gossip_stats(g, &st);
	return st.rx_future;
}

static void test_record(void **state)
{
	const uint64_t far[] = {LIM_EPOCH + 1, UINT64_MAX - 1, UINT64_MAX};

	assert_int_equal(say_node(&other, "other", 3, 1), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(say_node(&other, "liar", far[i], 1), ERR_RANGE);
		assert_int_equal(say_node(&peer, "liar", far[i], UINT64_MAX), ERR_RANGE);
	}
	assert_int_equal(future(), 6);
	assert_int_equal(epoch_of(&other), 3);
	/* Who told it is named, with where it is; once. */
	assert_int_equal(told.lies[GOSSIP_LIE_FUTURE], 1);
	assert_true(node_key_eq(&told.liar, &peer.pub));
	assert_int_equal(told.neps, 1);
	/* What a node may come to is no lie, and the node goes on from there. */
	assert_int_equal(say_node(&other, "other", 4, UINT64_MAX - 1), 0);
	assert_int_equal(say_node(&other, "other", 4, UINT64_MAX), 0);
	assert_int_equal(say_node(&other, "other", LIM_EPOCH - 1, 1), 0);
	assert_int_equal(say_node(&other, "other", LIM_EPOCH, 1), 0);
	assert_int_equal(say_node(&other, "other", LIM_EPOCH, 2), 0);
	assert_int_equal(say_node(&other, "other", LIM_EPOCH, 1), ERR_STALE);
	assert_int_equal(epoch_of(&other), LIM_EPOCH);
	assert_int_equal(told.lies[GOSSIP_LIE_FUTURE], 1);
	pass(DUR_SEC(61));
	assert_int_equal(say_node(&other, "liar", UINT64_MAX, 1), ERR_RANGE);
	assert_int_equal(told.lies[GOSSIP_LIE_FUTURE], 2);
}

/* Who has our key speaks for us, up to the highest version: we say so, and neither wrap nor stop. */
static void test_own_key(void **state)
{
	assert_int_equal(say_node(&us, "us", UINT64_MAX, 1), ERR_RANGE);
	assert_int_equal(say_node(&us, "us", UINT64_MAX - 1, 1), ERR_RANGE);
	assert_int_equal(say_node(&us, "us", LIM_EPOCH + 1, 1), ERR_RANGE);
	pass(DUR_SEC(2));
	assert_int_equal(told.epochs, 0);
	assert_int_equal(told.clones, 0);
	assert_int_equal(epoch_of(&us), 7);
	assert_int_equal(say_node(&us, "us", LIM_EPOCH - 2, 1), 0);
	pass(DUR_SEC(2));
	assert_int_equal(told.epoch, LIM_EPOCH - 1);
	assert_int_equal(say_node(&us, "us", LIM_EPOCH - 1, UINT64_MAX), 0);
	pass(DUR_SEC(2));
	assert_int_equal(told.epoch, LIM_EPOCH);
	assert_int_equal(epoch_of(&us), LIM_EPOCH);
	assert_int_equal(told.epochs, 2);
	assert_int_equal(say_node(&us, "us", LIM_EPOCH, UINT64_MAX), 0);
	pass(DUR_SEC(2));
	assert_int_equal(told.epochs, 2);
	assert_int_equal(told.clones, 1);
	assert_int_equal(told.clone_epoch, LIM_EPOCH);
	pass(DUR_SEC(60));
	assert_int_equal(say_node(&us, "us", LIM_EPOCH, UINT64_MAX), 0);
	assert_int_equal(told.clones, 2);
	/* It is a node as before, if one that others don't believe. */
	assert_int_equal(say_node(&other, "other", 1, 1), 0);
	assert_true(shown(&other));
}

/* A word about a version that the node could never outdo does nothing, and hides none that is true. */
static void test_forget(void **state)
{
	assert_int_equal(say_node(&other, "other", 3, 5), 0);
	assert_int_equal(say_forget(1, &other, UINT64_MAX, UINT64_MAX), 0);
	assert_int_equal(future(), 1);
	assert_int_equal(told.lies[GOSSIP_LIE_FUTURE], 1);
	assert_true(node_key_eq(&told.liar, &peer.pub));
	assert_int_equal(say_forget(2, &other, LIM_EPOCH, UINT64_MAX), 0);
	assert_int_equal(say_forget(3, &other, 3, UINT64_MAX), 0);
	assert_int_equal(say_forget(4, &other, 3, 6), 0);
	assert_true(shown(&other));
	assert_int_equal(say_node(&other, "other", 4, 1), 0);
	assert_true(shown(&other));
	assert_int_equal(say_forget(5, &other, 3, 5), 0);
	assert_true(shown(&other));
	assert_int_equal(say_forget(6, &other, 4, 1), 0);
	assert_false(shown(&other));
	assert_int_equal(told.forgotten, 1);
	assert_int_equal(say_node(&other, "other", 4, 2), 0);
	assert_true(shown(&other));
}

/* The lie comes before the node that it is about, as it does to a joiner. */
static void test_forget_first(void **state)
{
	assert_int_equal(say_forget(1, &other, LIM_EPOCH, UINT64_MAX), 0);
	assert_int_equal(say_node(&other, "other", 3, 5), 0);
	assert_true(shown(&other));
	/* The word for the version that it has comes first too: it holds once that is here. */
	assert_int_equal(say_forget(2, &us, 1, 1), 0);
	assert_true(shown(&other));
	assert_int_equal(say_forget(3, &other, 3, 5), 0);
	assert_false(shown(&other));
}

/* We answer that we live: at once, and not as often as somebody says that we don't. */
static void test_forget_us(void **state)
{
	struct gossip_node_info i;
	uint64_t seq = 1;

	told.said = 0;
	assert_int_equal(say_forget(seq++, &us, 7, UINT64_MAX), 0);
	pass(DUR_MS(100));
	assert_int_equal(told.said, 1);
	for (int t = 0; t < 100; t++) {
		assert_int_equal(say_forget(seq++, &us, 7, UINT64_MAX), 0);
		pass(DUR_SEC(1));
	}
	assert_in_range(told.said, 12, 15);
	assert_int_equal(gossip_node_get(g, &us.pub, &i), 0);
	/* One that nobody repeats is answered at once again. */
	pass(DUR_SEC(60));
	told.said = 0;
	assert_int_equal(say_forget(seq++, &us, 7, UINT64_MAX), 0);
	pass(DUR_MS(100));
	assert_int_equal(told.said, 1);
}

static int garbage(void)
{
	const uint8_t bad[] = {GOSSIP_MSG_WANT, 1};
	int err = gossip_recv(g, &peer.pub, bad, sizeof(bad), now);

	drain();
	return err;
}

static int forged(uint64_t seq)
{
	struct record_node n = {.name = "x", .version = "1"};
	uint8_t body[RECORD_BODY_MAX], msg[1 + LIM_RECORD_BYTES] = {GOSSIP_MSG_RECORDS};
	struct record r = {
		.type = RECORD_NODE, .epoch = 1, .seq = seq, .cluster = cluster, .body = body};
	int len;

	r.body_len = (size_t)record_node_encode(&n, body);
	len = record_sign(&other, &r, msg + 1);
	msg[len] ^= 1;
	len = gossip_recv(g, &peer.pub, msg, 1 + (size_t)len, now);
	drain();
	return len;
}

static int prefixes(uint64_t seq)
{
	struct gossip_prefix rows[RECORD_PREFIXES_SAFE] = {{0}};
	uint8_t body[RECORD_BODY_MAX], msg[1 + LIM_RECORD_BYTES] = {GOSSIP_MSG_RECORDS};
	int err = 0;

	for (uint16_t sub = 0; sub <= LIM_PREFIXES_PER_NODE / RECORD_PREFIXES_SAFE; sub++) {
		struct record r = {.type = RECORD_PREFIXES,
			.sub = sub,
			.epoch = 1,
			.seq = seq + sub,
			.cluster = cluster,
			.body = body};
		struct ip ip;
		int len;

		for (unsigned i = 0; i < RECORD_PREFIXES_SAFE; i++) {
			ip = ip_v4(0x0a000000u + ((sub * RECORD_PREFIXES_SAFE + i) << 8));
			rows[i].vni = VNI_DEFAULT;
			rows[i].right = RIGHT_CONFIG;
			assert_int_equal(pfx_make(&ip, 24, &rows[i].pfx), 0);
		}
		r.body_len = (size_t)record_prefixes_encode(rows, RECORD_PREFIXES_SAFE, body);
		len = record_sign(&other, &r, msg + 1);
		assert_true(len > 0);
		len = gossip_recv(g, &peer.pub, msg, 1 + (size_t)len, now);
		err = err ? err : len;
		drain();
	}
	return err;
}

static int other_cluster(uint64_t seq)
{
	struct record_node n = {.name = "x", .version = "1"};
	uint8_t body[RECORD_BODY_MAX];

	return say_in(&foreign, &other, RECORD_NODE, 1, seq, body, record_node_encode(&n, body));
}

/* Who forged is not looked at for the rest of its run. Of the next one it tells us itself, perhaps over the
 * only link that it has. */
static void test_forger_returns(void **state)
{
	assert_int_equal(say_node(&peer, "peer", 3, 1), 0);
	for (unsigned i = 1; i < 20; i++)
		assert_int_equal(forged(i), ERR_AUTH);
	assert_int_equal(say_node(&peer, "peer", 3, 2), ERR_AUTH);
	assert_int_equal(say_node(&other, "other", 1, 1), ERR_AUTH);
	pass(DUR_SEC(2));
	assert_int_equal(say_node(&other, "other", 1, 1), ERR_AUTH);
	gossip_link_down(g, &peer.pub, now);
	assert_int_equal(gossip_link_up(g, &peer.pub, NULL, now), 0);
	drain();
	assert_int_equal(say_node(&peer, "peer", 4, 1), 0);
	assert_int_equal(epoch_of(&peer), 4);
	assert_int_equal(say_node(&other, "other", 1, 1), 0);
}

static void test_named(void **state)
{
	for (int minute = 1; minute <= 2; minute++) {
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(forged(i + 1), ERR_AUTH);
			assert_int_equal(garbage(), ERR_TRUNCATED);
			assert_int_equal(other_cluster(1), ERR_FOREIGN);
		}
		assert_int_equal(told.lies[GOSSIP_LIE_FORGED], minute);
		assert_int_equal(told.lies[GOSSIP_LIE_SENSELESS], minute);
		assert_int_equal(told.lies[GOSSIP_LIE_FOREIGN], minute);
		assert_true(node_key_eq(&told.liar, &peer.pub));
		pass(DUR_SEC(61));
	}
}

/* These are the author's lies, whoever told them. */
static void test_authors(void **state)
{
	struct gossip_stats st;
	unsigned n = 0;

	assert_int_equal(prefixes(1), 0);
	assert_int_equal(told.lies[GOSSIP_LIE_PREFIXES], 1);
	assert_true(node_key_eq(&told.liar, &other.pub));
	assert_int_equal(told.neps, 0);
	/* One that is started again and again; two records under one version. */
	for (uint64_t epoch = 2; epoch <= 6; epoch++) {
		assert_int_equal(told.lies[GOSSIP_LIE_TWICE], 0);
		assert_int_equal(say_node(&other, "other", epoch, 1), 0);
		pass(DUR_SEC(epoch == 2 ? 601 : 1));
	}
	assert_int_equal(told.lies[GOSSIP_LIE_TWICE], 0);
	assert_int_equal(say_node(&other, "other", 7, 1), 0);
	assert_int_equal(told.lies[GOSSIP_LIE_TWICE], 1);
	gossip_stats(g, &st);
	assert_int_equal(st.restless, 1);
	pass(DUR_SEC(121));
	(void)say_node(&other, "another", 7, 1);
	(void)say_node(&other, "other", 7, 1);
	(void)say_node(&other, "another", 7, 1);
	assert_int_equal(told.lies[GOSSIP_LIE_TWICE], 2);
	/* Who says too much. */
	for (uint64_t seq = 2; seq < 500; seq++)
		n += say_node(&other, "other", 8, seq) == ERR_LIMIT;
	assert_true(n > 0);
	assert_int_equal(told.lies[GOSSIP_LIE_FLOOD], 1);
	assert_true(node_key_eq(&told.liar, &other.pub));
}

#define FRESH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(test_record),
		FRESH(test_own_key),
		FRESH(test_forget),
		FRESH(test_forget_first),
		FRESH(test_forget_us),
		FRESH(test_forger_returns),
		FRESH(test_named),
		FRESH(test_authors),
	};

	if (sodium_init() < 0)
		return 1;
	log_set_level(LOG_LVL_ERROR);
	identity_from_seed((const uint8_t[32]){1}, &us);
	identity_from_seed((const uint8_t[32]){2}, &peer);
	identity_from_seed((const uint8_t[32]){3}, &other);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
