/* Each invariant fails when the bug that it is there for is planted, and passes without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "weft/bounds.h"
#include "gossip_wire.h"
#include "invariants.h"
#include "record.h"
#include "sim.h"
#include "sim_net.h"
#include "sim_node.h"
#include "truth.h"

struct bug {
	enum sim_plant plant;
	enum check found_by;
	const char *profile;
	unsigned off;      /* checks that would see it too, and first */
	int converge_secs; /* 0: as usual, which is long */
};

#define EPOCH_LOW_BYTE 15 /* of a record */
#define CONVERGE_SECS  10 /* as in the sweeps of all faults */
/* Who says nothing is taken for dead. */
#define NOT_ALIVE      (1u << CHECK_FALSE_DEATH | 1u << CHECK_ROUTABLE | 1u << CHECK_OWNERS)
/* Who finds no way is alone. */
#define NOT_LINKED     (1u << CHECK_FALSE_DOWN | 1u << CHECK_FALSE_DEATH | 1u << CHECK_ROUTABLE)
/* Forged records are believed: all that follows from that. */
#define NOT_RECORDS                                                                                \
	(1u << CHECK_RECORDS | 1u << CHECK_ROUTES | 1u << CHECK_OWNERS | 1u << CHECK_AGREE |       \
		1u << CHECK_ROUTABLE | 1u << CHECK_FALSE_DEATH | 1u << CHECK_FALSE_DOWN)

static const struct bug bugs[] = {
	{PLANT_KEY_LEAK, CHECK_KEYS, "crash", 0},
	{PLANT_KEY_TWICE, CHECK_KEY_REUSE, "crash", 0},
	{PLANT_KEY_WRONG, CHECK_KEY_MATCH, "crash", 0},
	{PLANT_COUNTER, CHECK_COUNTER, "none", 0},
	{PLANT_ROUTE_LEAK, CHECK_ROUTES, "crash", 0},
	{PLANT_ROUTE_SPLIT, CHECK_ROUTES, "none", 0},
	{PLANT_ROUTE_SPLIT, CHECK_OWNERS, "none", 1u << CHECK_ROUTES},
	{PLANT_MUTE, CHECK_AGREE, "conflict", NOT_ALIVE},
	{PLANT_LATE, CHECK_AGREE, "conflict", NOT_ALIVE, .converge_secs = CONVERGE_SECS},
	{PLANT_FLAP, CHECK_AGREE, "mtu", 0, .converge_secs = CONVERGE_SECS},
	{PLANT_NO_SIGNATURE, CHECK_RECORDS, "hostile", 0},
	{PLANT_OLD_IS_NEW, CHECK_RECORDS, "hostile", 1u << CHECK_ROUTES | 1u << CHECK_OWNERS},
	{PLANT_DEAF, CHECK_FALSE_DOWN, "none", 0},
	{PLANT_SPIN, CHECK_SPIN, "none", 0},
	{PLANT_ROUTE_LOST, CHECK_ROUTES, "crash", 0},
	{PLANT_ROUTE_LOST, CHECK_ROUTABLE, "crash", 1u << CHECK_ROUTES},
	{PLANT_FALSE_DEATH, CHECK_FALSE_DEATH, "none", 0},
	{PLANT_CLAIM_TAKEN, CHECK_CLAIMS, "none", 0},
	{PLANT_BIG, CHECK_SIZE, "none", 0},
	{PLANT_ROUTE_TWICE, CHECK_RELAY, "ways", 0},
	{PLANT_RELAY_BACK, CHECK_RELAY, "ways", 0},
	{PLANT_NO_ANSWER, CHECK_REACHABLE, "ways", NOT_LINKED},
	{PLANT_WAY_LOST, CHECK_REACHABLE, "ways", NOT_LINKED},
	{PLANT_NO_SIGNATURE, CHECK_COUNTED, "forge", NOT_RECORDS},
};

/* These look at keys: where there are none they can't fail. */
#define OF_KEYS                                                                                    \
	(1u << CHECK_KEYS | 1u << CHECK_KEY_REUSE | 1u << CHECK_KEY_MATCH | 1u << CHECK_COUNTER)

/* Does it show in this run, by the check that is there for it and no other? */
static bool shows(const struct bug *b, uint64_t seed, bool no_crypto, int converge_secs)
{
	struct sim_cfg cfg;
	struct sim_result r;
	struct sim *s;
	bool found;

	sim_cfg_default(&cfg);
	cfg.nodes = 5;
	cfg.seed = seed;
	cfg.no_crypto = no_crypto;
	cfg.profile = b->profile;
	cfg.plant = b->plant;
	cfg.checks = b->off;
	cfg.data = b->found_by == CHECK_REACHABLE || b->found_by == CHECK_RELAY;
	if (converge_secs)
		cfg.converge = DUR_SEC(converge_secs);
	s = sim_new(&cfg);
	assert_non_null(s);
	found = !sim_live(s, DUR_SEC(220), &r);
	if (found && s->failed_check != (unsigned)b->found_by)
		sim_report(s);
	if (found)
		assert_int_equal(s->failed_check, b->found_by);
	sim_free(s);
	return found;
}

/* Seeds until one shows it; each bug shows within a few. */
static void plant(const struct bug *b, bool no_crypto)
{
	bool found = false;

	for (uint64_t seed = 1; seed <= 8 && !found; seed++)
		found = shows(b, seed, no_crypto, b->converge_secs);
	if (!found)
		print_error("planted bug %d was not found\n", b->plant);
	assert_true(found);
}

static void planted_bugs_are_found(void **state)
{
	for (size_t i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++)
		plant(&bugs[i], false);
}

static void planted_bugs_are_found_without_crypto(void **state)
{
	for (size_t i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++)
		if (!(OF_KEYS & 1u << bugs[i].found_by))
			plant(&bugs[i], true);
}

/* --- pairs that talk through others --- */

struct far_bug {
	enum sim_plant plant;
	enum check found_by;
	unsigned off;
	bool restart; /* who is far off starts with another key: there are new routes to it */
	bool turns;   /* the way is direct now and then, but not for long */
};

static const struct far_bug far_bugs[] = {
	{PLANT_ROUTE_LOST, CHECK_ROUTABLE, 1u << CHECK_ROUTES, true, false},
	{PLANT_ROUTE_LOST, CHECK_ROUTABLE, 1u << CHECK_ROUTES, true, true},
	{PLANT_CLAIM_TAKEN, CHECK_CLAIMS, 0, false, false},
	{PLANT_OWNERS_TURN, CHECK_OWNERS, 1u << CHECK_ROUTES, false, false},
};

/* Node 1 reaches nobody but node 2, which relays; or all of them. */
static void part(struct sim *s, bool cut)
{
	for (unsigned i = 0; i < s->cfg.nodes; i++)
		if (i != 1 && i != 2) {
			sim_net_cut(s->net, 1, i, cut);
			sim_net_cut(s->net, i, 1, cut);
		}
}

static void plant_far(const struct far_bug *b)
{
	struct sim_cfg cfg;
	struct sim *s;

	sim_cfg_default(&cfg);
	cfg.no_crypto = true;
	cfg.plant = b->plant;
	cfg.checks = b->off;
	s = sim_new(&cfg);
	assert_non_null(s);
	assert_true(sim_join(s) >= 0);
	part(s, true);
	if (b->restart) {
		assert_true(sim_run(s, (ts_t){UINT64_C(25000000000)}));
		sim_node_crash(s->nodes[3], DISK_LOST);
		sim_node_start_at(s->nodes[3], ts_add(s->now, DUR_SEC(1)));
		assert_true(sim_run(s, ts_add(s->now, DUR_SEC(21))));
	}
	for (unsigned i = 1; i <= 12 && !s->failed; i++) {
		if (b->turns)
			part(s, i % 2);
		(void)sim_run(s, ts_add(s->now, DUR_SEC(8)));
	}
	if (!s->failed || s->failed_check != (unsigned)b->found_by)
		sim_report(s);
	assert_true(s->failed);
	assert_int_equal(s->failed_check, b->found_by);
	if (!b->turns)
		assert_non_null(strstr(s->failure, "through others"));
	assert_non_null(strstr(s->failure, " 21 s"));
	sim_free(s);
}

static void pairs_that_talk_through_others_are_asked_too(void **state)
{
	for (size_t i = 0; i < sizeof(far_bugs) / sizeof(far_bugs[0]); i++)
		plant_far(&far_bugs[i]);
}

/* One that starts anew again and again, too soon to have found everybody, but not to have heard of them. */
static void starts_anew(enum sim_plant plant, enum check found_by, unsigned off)
{
	struct sim_cfg cfg;
	struct sim *s;

	sim_cfg_default(&cfg);
	cfg.no_crypto = true;
	cfg.plant = plant;
	cfg.checks = off;
	s = sim_new(&cfg);
	assert_non_null(s);
	assert_true(sim_join(s) >= 0 && sim_run(s, (ts_t){UINT64_C(15000000000)}));
	for (int i = 0; i < 4 && !s->failed; i++) {
		sim_node_crash(s->nodes[1], DISK_KEPT);
		sim_node_start_at(s->nodes[1], ts_add(s->now, DUR_MS(100)));
		(void)sim_run(s, ts_add(s->now, DUR_SEC(15)));
	}
	assert_true(s->failed);
	assert_int_equal(s->failed_check, found_by);
	sim_free(s);
}

static void who_has_just_started_is_asked_too(void **state)
{
	starts_anew(PLANT_CLAIM_TAKEN, CHECK_CLAIMS, 0);
	starts_anew(PLANT_ROUTE_LOST, CHECK_ROUTABLE, 1u << CHECK_ROUTES);
}

/* --- records of many nodes --- */

/* The last prefixes that were signed, with another last byte and a later epoch. 0: none. */
static size_t forge(struct sim *s, uint8_t out[LIM_RECORD_BYTES])
{
	for (int i = 0; i < 1000; i++) {
		size_t len;
		const uint8_t *raw = truth_any(s->truth, &s->prng, &len);
		struct record r;

		if (!raw || record_parse(raw, len, &r) != (int)len || r.type != RECORD_PREFIXES ||
			!sim_node_of(s, &r.node))
			continue;
		memcpy(out, raw, len);
		out[EPOCH_LOW_BYTE]++;
		out[len - RECORD_SIG - 1] ^= 1;
		return len;
	}
	return 0;
}

/* With so many nodes, not all of what a node believes is looked at all the time; what is new is. */
static void a_forged_record_is_seen_at_once(void **state)
{
	uint8_t msg[1 + LIM_RECORD_BYTES] = {GOSSIP_MSG_RECORDS};
	struct sim_cfg cfg;
	struct sim *s;
	size_t len;

	sim_cfg_default(&cfg);
	cfg.nodes = 120;
	cfg.no_crypto = true;
	cfg.no_claims = true;
	cfg.plant = PLANT_NO_SIGNATURE;
	s = sim_new(&cfg);
	assert_non_null(s);
	assert_true(sim_join(s) >= 0 && sim_run(s, (ts_t){UINT64_C(25000000000)}));
	len = forge(s, msg + 1);
	assert_true(len > 0);
	for (unsigned i = 0; i < s->cfg.nodes; i++)
		if (i != 1)
			sim_node_say(s->nodes[1], &s->nodes[i]->id.pub, msg, 1 + len);
	(void)sim_run(s, ts_add(s->now, DUR_MS(40)));
	assert_true(s->failed);
	assert_int_equal(s->failed_check, CHECK_RECORDS);
	sim_free(s);
}

/* Agreement that comes late does come: that it isn't in time is all that is wrong. */
static void late_is_not_never(void **state)
{
	for (size_t i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++)
		for (uint64_t seed = 1; bugs[i].converge_secs && seed <= 4; seed++)
			assert_false(shows(&bugs[i], seed, true, 0));
}

/* Every invariant has its bug in the table. */
static void each_invariant_can_fail(void **state)
{
	unsigned seen = 0;

	for (size_t i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++)
		seen |= 1u << bugs[i].found_by;
	assert_int_equal(seen, (1u << CHECK_COUNT) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(planted_bugs_are_found),
		cmocka_unit_test(planted_bugs_are_found_without_crypto),
		cmocka_unit_test(pairs_that_talk_through_others_are_asked_too),
		cmocka_unit_test(who_has_just_started_is_asked_too),
		cmocka_unit_test(a_forged_record_is_seen_at_once),
		cmocka_unit_test(late_is_not_never),
		cmocka_unit_test(each_invariant_can_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
