/* What a linked peer forges, repeats or makes up costs one gossip core little, and fills no table for ever.
 * wrap: record_verify */
#include "gossiprig.h"

int __real_record_verify(const struct record *r);
int __wrap_record_verify(const struct record *r);

static unsigned verified; /* signatures */

int __wrap_record_verify(const struct record *r)
{
	verified++;
	return __real_record_verify(r);
}

#define FORGED_AT_MOST 16 /* looks at signatures of one that forges */

/* What a peer forges in another's name takes nothing from that one's allowance; and after some of it
 * nothing from that run of the peer is looked at. */
static void test_forger(void **state)
{
	struct gossip *g = linked();
	uint8_t body[RECORD_BODY_MAX];
	unsigned before;

	assert_int_equal(recv_node(g, &peer, "peer", 1, 1), 0);
	assert_int_equal(recv_node(g, &other, "other", 1, 1), 0);
	before = verified;
	for (uint64_t seq = 2; seq < 1000; seq++) {
		struct record r = node_record("other", 1, seq, body);
		struct msg m = {.len = 0};

		add(&m, &other, &r);
		m.b[m.len - 1] ^= 1;
		assert_int_equal(gossip_recv(g, &peer.pub, m.b, m.len, now), ERR_AUTH);
	}
	assert_int_equal(stats(g).rx_forged, 998);
	assert_in_range(verified - before, 1, FORGED_AT_MOST);
	assert_int_equal(stats(g).rx_limited, 0);
	assert_int_equal(recv_node(g, &other, "other", 1, 1000), ERR_AUTH); /* the peer forged */
	assert_int_equal(gossip_link_up(g, &other.pub, NULL, now), 0);
	for (uint64_t seq = 1000; seq < 1000 + 2 * LIM_RECORDS_PER_NODE; seq++) {
		struct record r = node_record("other", 1, seq, body);
		struct msg m = {.len = 0};

		add(&m, &other, &r);
		assert_int_equal(gossip_recv(g, &other.pub, m.b, m.len, now), 0);
		drain(g, GOSSIP_NONE);
	}
	/* A new run of the peer, as somebody else tells. */
	{
		struct record r = node_record("peer", 2, 1, body);
		struct msg m = {.len = 0};

		add(&m, &peer, &r);
		assert_int_equal(gossip_recv(g, &other.pub, m.b, m.len, now), 0);
	}
	assert_int_equal(recv_node(g, &peer, "peer", 2, 2), 0);
	gossip_free(g);
}

/* The same by copies of what is known, with one bit changed, and in our own name: neither costs more looks
 * at signatures than other forgeries. */
static void test_forger_of_copies(void **state)
{
	const struct identity *of[] = {&other, &us};

	for (unsigned k = 0; k < 2; k++) {
		struct gossip *g = linked();
		uint8_t body[RECORD_BODY_MAX];
		struct record r = node_record("other", k ? 9 : 1, 1, body);
		unsigned before, refused = 0;
		struct msg m = {.len = 0};

		assert_int_equal(recv_node(g, &peer, "peer", 1, 1), 0);
		assert_int_equal(recv_node(g, &other, "other", 1, 1), 0);
		add(&m, of[k], &r);
		before = verified;
		for (unsigned bit = 0; bit < 8 * 64; bit++) {
			uint8_t *at = &m.b[m.len - 1 - bit / 8];

			*at ^= (uint8_t)(1u << bit % 8);
			refused += gossip_recv(g, &peer.pub, m.b, m.len, now) == ERR_AUTH;
			*at ^= (uint8_t)(1u << bit % 8);
			drain(g, GOSSIP_NONE);
		}
		assert_in_range(verified - before, 1, FORGED_AT_MOST);
		assert_int_equal(stats(g).rx_forged, refused);
		assert_in_range(
			refused, 100, 512); /* of a copy, about half is older by its digest */
		assert_int_equal(stats(g).equivocations, 0);
		gossip_free(g);
	}
}

/* Who says two things under one version is found out, and who repeats that, or what a clone of ours says,
 * costs a look a second. */
static void test_repeated_lies(void **state)
{
	struct gossip *g = linked();
	uint8_t body[2][RECORD_BODY_MAX];
	struct record a = node_record("one", 1, 5, body[0]), b = node_record("two", 1, 5, body[1]);
	struct record ours = node_record("us", 9, 1, body[0]);
	struct msg m[3] = {{.len = 0}};
	struct gossip_act act;
	unsigned before;

	assert_int_equal(recv_node(g, &peer, "peer", 1, 1), 0);
	add(&m[0], &other, &a);
	add(&m[1], &other, &b);
	ours = node_record("us", 9, 1, body[0]);
	add(&m[2], &us, &ours);
	before = verified;
	for (unsigned i = 0; i < 200; i++) {
		(void)gossip_recv(g, &peer.pub, m[i % 2].b, m[i % 2].len, now);
		drain(g, GOSSIP_NONE);
	}
	assert_in_range(stats(g).equivocations, 1, 2);
	assert_in_range(verified - before, 2, 4);
	now = ts_add(now, DUR_SEC(2));
	for (unsigned i = 0; i < 2; i++)
		(void)gossip_recv(g, &peer.pub, m[i].b, m[i].len, now);
	assert_in_range(stats(g).equivocations, 2, 3); /* again, since it goes on */
	before = verified;
	for (unsigned i = 0; i < 200; i++)
		(void)gossip_recv(g, &peer.pub, m[2].b, m[2].len, now);
	assert_int_equal(verified - before, 1);
	while (gossip_next(g, &act) && act.type != GOSSIP_EPOCH)
		;
	assert_int_equal(act.type, GOSSIP_EPOCH);
	assert_int_equal(act.epoch, 10);
	gossip_free(g);
}

/* Of many nodes that came and went without a word, none is dropped while it may be us who are away; but they
 * don't fill the table for ever. */
static void test_come_and_gone(void **state)
{
	const unsigned counts[] = {200, LIM_NODES / 4 * 3};
	const dur_t longer_than_kept = DUR_SEC(49 * 3600), turn = DUR_SEC(600);

	for (unsigned k = 0; k < 2; k++) {
		struct gossip *g = linked();
		ts_t began = now;

		assert_int_equal(recv_node(g, &peer, "peer", 1, 1), 0);
		for (unsigned i = 0; i < counts[k]; i++) {
			uint8_t seed[32] = {1, (uint8_t)(i >> 8), (uint8_t)i};
			struct identity id;
			char name[32];

			identity_from_seed(seed, &id);
			snprintf(name, sizeof(name), "gone-%u", i);
			(void)recv_node(g, &id, name, 1, 1);
			drain(g, GOSSIP_NONE);
		}
		assert_int_equal(stats(g).nodes, counts[k] + 1);
		while (ts_sub(now, began).ns < longer_than_kept.ns) {
			now = ts_add(now, turn);
			gossip_tick(g, now);
			drain(g, GOSSIP_NONE);
		}
		if (k == 0)
			assert_int_equal(stats(g).nodes, counts[k] + 1);
		else
			assert_in_range(stats(g).nodes, 1, LIM_NODES / 4 * 3);
		gossip_free(g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forger),
		cmocka_unit_test(test_forger_of_copies),
		cmocka_unit_test(test_repeated_lies),
		cmocka_unit_test(test_come_and_gone),
	};

	if (sodium_init() < 0)
		return 1;
	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, setup, NULL);
}
