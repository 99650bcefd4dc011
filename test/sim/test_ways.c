/* Nodes that can't reach each other directly do so through others: cuts one way and both, translators,
 * crashes of relays, relays that carry nothing. The invariants say how soon; here, that it happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "weft/wire.h"
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

/* --- bad links --- */

#define LINK_NODES  40
#define LINK_SENDS  1000
#define LINK_SHARE  100000 /* a tenth of 1,560 ordered pairs: 156, and 48 are four deviations */
#define LINK_SPREAD 48

static struct sim *bad_links(uint64_t seed)
{
	const struct sim_rough rough = {
		.share = LINK_SHARE, .loss_min = 200000, .loss_max = 400000, .jitter = DUR_MS(100)};
	struct sim_cfg cfg;
	struct sim *s;

	sim_cfg_default(&cfg);
	cfg.nodes = LINK_NODES;
	cfg.seed = seed;
	cfg.no_crypto = true;
	s = sim_new(&cfg);
	assert_non_null(s);
	sim_net_rough(s->net, &rough);
	return s;
}

/* How many of so many datagrams are lost on the way. */
static uint64_t lost(struct sim *s, unsigned from, unsigned to)
{
	const uint8_t buf[40] = {0};
	const struct ep ep = sim_net_ep(s->net, to);
	struct sim_net_stats before, after;

	sim_net_stats(s->net, &before);
	for (int i = 0; i < LINK_SENDS; i++)
		sim_net_send(s->net, from, WIRE_DEFAULT_PORT, &ep, buf, sizeof(buf), sizeof(buf));
	sim_net_stats(s->net, &after);
	return after.lost - before.lost;
}

static void a_share_of_the_links_is_bad_each_way_for_itself(void **state)
{
	struct sim *s = bad_links(1);
	uint64_t of_first = 0, of_again = 0, of_other = 0;
	unsigned bad = 0, both = 0, sent = 0;

	for (unsigned a = 0; a < LINK_NODES; a++)
		for (unsigned b = 0; b < LINK_NODES; b++) {
			uint32_t loss = sim_net_loss(s->net, a, b);
			bool is = a != b && loss > 0;

			if (!is)
				continue;
			assert_in_range(loss, 200000, 400000);
			bad++;
			both += sim_net_loss(s->net, b, a) > 0;
			of_first += loss * (uint64_t)(a * LINK_NODES + b);
			assert_true(sim_net_calm_since(s->net, a, b).ns == s->now.ns);
			assert_true(sim_net_calm_since(s->net, b, a).ns == s->now.ns);
			if (sent++ < 5)
				assert_in_range(lost(s, a, b), loss / 1000 - 70, loss / 1000 + 70);
			if (sent < 5 && sim_net_loss(s->net, b, a) == 0)
				assert_int_equal(lost(s, b, a), 0);
		}
	assert_in_range(bad, LINK_NODES * (LINK_NODES - 1) / 10 - LINK_SPREAD,
		LINK_NODES * (LINK_NODES - 1) / 10 + LINK_SPREAD);
	assert_true(both < bad / 2);
	sim_free(s);
	for (uint64_t seed = 1; seed <= 2; seed++) {
		s = bad_links(seed);
		for (unsigned i = 0; i < LINK_NODES * LINK_NODES; i++)
			if (i / LINK_NODES != i % LINK_NODES)
				*(seed == 1 ? &of_again : &of_other) +=
					sim_net_loss(s->net, i / LINK_NODES, i % LINK_NODES) *
					(uint64_t)i;
		sim_free(s);
	}
	assert_int_equal(of_again, of_first);
	assert_int_not_equal(of_other, of_first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_packets_are_as_on_the_wire),
		cmocka_unit_test(a_share_of_the_links_is_bad_each_way_for_itself),
		cmocka_unit_test(a_row_of_three_sealed),
		cmocka_unit_test(a_row_of_three_plain),
		cmocka_unit_test(through_others_sealed),
		cmocka_unit_test(through_others_plain),
		cmocka_unit_test(a_crook_among_the_relays_sealed),
		cmocka_unit_test(a_crook_among_the_relays_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
