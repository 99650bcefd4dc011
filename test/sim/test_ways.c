/* Nodes that can't reach each other directly do so through others: cuts one way and both, translators,
 * crashes of relays, relays that carry nothing. The invariants say how soon; here, that it happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "path.h"
#include "sim.h"
#include "sim_data.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_path.h"

struct seen {
	uint64_t calls, answers, relayed, bad, deaths, returns;
};

static void count(const struct sim *s, struct seen *to)
{
	for (unsigned i = 0; i < s->cfg.nodes; i++) {
		const struct sim_node *n = s->nodes[i];
		struct path_stats st = {0};

		path_stats(sim_path_core(n->path), &st);
		to->calls += n->flow.sent;
		to->answers += n->flow.back;
		to->relayed += n->relayed;
		to->bad += st.relays_bad;
		to->deaths += st.deaths;
		to->returns += st.returns;
		/* Who doesn't relay was asked by nobody that knew. */
		if (n->no_relay)
			assert_int_equal(n->relayed, 0);
	}
}

static void live(
	const char *profile, bool no_crypto, unsigned nodes, uint64_t seeds, struct seen *to)
{
	*to = (struct seen){0};
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct sim_cfg cfg;
		struct sim_result r;
		struct sim *s;
		bool ok;

		sim_cfg_default(&cfg);
		cfg.nodes = nodes;
		cfg.seed = seed;
		cfg.profile = profile;
		cfg.no_crypto = no_crypto;
		cfg.data = true;
		s = sim_new(&cfg);
		assert_non_null(s);
		ok = sim_live(s, DUR_SEC(220), &r);
		if (!ok)
			sim_report(s);
		assert_true(ok);
		count(s, to);
		sim_free(s);
	}
}

static void through_others(bool no_crypto)
{
	struct seen seen;

	live("ways", no_crypto, 8, 4, &seen);
	assert_true(seen.relayed > 100 && seen.deaths > 0 && seen.returns > 0);
	assert_true(seen.answers > seen.calls / 2);
}

static void through_others_sealed(void **state)
{
	through_others(false);
}

static void through_others_plain(void **state)
{
	through_others(true);
}

static void a_crook_among_the_relays(bool no_crypto)
{
	struct seen seen;

	live("swallow", no_crypto, 8, 4, &seen);
	assert_true(seen.relayed > 100 && seen.bad > 0);
	assert_true(seen.answers > seen.calls / 2);
}

static void a_crook_among_the_relays_sealed(void **state)
{
	a_crook_among_the_relays(false);
}

static void a_crook_among_the_relays_plain(void **state)
{
	a_crook_among_the_relays(true);
}

/* Two that never reach each other, for ever: all data goes through the one in the middle. */
static void a_row_of_three(bool no_crypto)
{
	struct sim_cfg cfg;
	struct sim *s;

	sim_cfg_default(&cfg);
	cfg.nodes = 3;
	cfg.no_crypto = no_crypto;
	cfg.data = true;
	s = sim_new(&cfg);
	assert_non_null(s);
	sim_net_cut(s->net, 1, 2, true);
	sim_net_cut(s->net, 2, 1, true);
	assert_true(sim_join(s) >= 0);
	assert_true(sim_run(s, ts_add(s->now, DUR_SEC(120))));
	assert_true(s->nodes[0]->relayed > 50);
	assert_int_equal(s->nodes[1]->relayed + s->nodes[2]->relayed, 0);
	sim_free(s);
}

static void a_row_of_three_sealed(void **state)
{
	a_row_of_three(false);
}

static void a_row_of_three_plain(void **state)
{
	a_row_of_three(true);
}

/* A packet is as long without ciphers as with them, relayed or not: whoever counts bytes may leave them
 * out. And none is carried for a node that has started anew: it is told so. */
static void plain_packets_are_as_on_the_wire(void **state)
{
	static const uint8_t body[SIM_DATA_BODY] = "across";
	uint64_t msgs, bytes, msgs_after, bytes_after;
	struct sim_slot *p;
	struct sim_cfg cfg;
	struct sim *s;

	sim_cfg_default(&cfg);
	cfg.nodes = 2;
	cfg.no_crypto = true;
	s = sim_new(&cfg);
	assert_non_null(s);
	assert_true(sim_join(s) >= 0);
	p = sim_node_slot(s->nodes[0], &s->nodes[1]->id.pub);
	assert_true(p && sim_data_ready(s->nodes[0], p));
	sim_net_sent(s->net, 0, &msgs, &bytes);
	sim_data_send(s->nodes[0], p, body);
	sim_net_sent(s->net, 0, &msgs_after, &bytes_after);
	assert_int_equal(msgs_after - msgs, 1);
	assert_int_equal(bytes_after - bytes, SIM_DATA_LEN + SIM_OUTER_BYTES);
	assert_true(sim_run(s, ts_add(s->now, DUR_MS(200))));
	assert_int_equal(s->nodes[1]->data_got, 1);
	sim_node_crash(s->nodes[1], DISK_KEPT);
	sim_node_start_at(s->nodes[1], s->now);
	assert_true(sim_run(s, ts_add(s->now, DUR_MS(1))));
	p = sim_node_slot(s->nodes[0], &s->nodes[1]->id.pub);
	assert_true(p && p->up);
	sim_data_send(s->nodes[0], p, body);
	assert_true(sim_run(s, ts_add(s->now, DUR_MS(200))));
	assert_int_equal(s->nodes[1]->data_got, 1);
	assert_true(s->nodes[0]->downs >= 1);
	sim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_packets_are_as_on_the_wire),
		cmocka_unit_test(a_row_of_three_sealed),
		cmocka_unit_test(a_row_of_three_plain),
		cmocka_unit_test(through_others_sealed),
		cmocka_unit_test(through_others_plain),
		cmocka_unit_test(a_crook_among_the_relays_sealed),
		cmocka_unit_test(a_crook_among_the_relays_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
