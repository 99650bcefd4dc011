/* Who has what a node says of itself: acknowledgements, and roots that make up for lost ones. */
#include "meshnet.h"

/* Has node @i been told by @j that it has what @i publishes? */
static bool known(unsigned i, unsigned j)
{
	struct gossip_node_info info;

	return gossip_node_get(sim.n[i].g, &sim.n[j].id.pub, &info) == 0 && info.has_ours;
}

/* Does @j route to all that @i publishes? */
static bool routed(unsigned i, unsigned j)
{
	for (size_t k = 0; k < sim.n[i].nprefixes; k++)
		if (!has_route(&sim.n[j], &sim.n[i], &sim.n[i].prefixes[k].pfx))
			return false;
	return true;
}

/* Let time pass event by event, for @secs or until @i knows that @j has all; datagrams of type @lost are. */
static bool until_known(unsigned i, unsigned j, unsigned secs, uint8_t lost)
{
	ts_t end = ts_add(sim.now, DUR_SEC(secs));

	while (!known(i, j) && ts_before(next_event(), end)) {
		for (struct dgram **p = &sim.net; *p;) {
			struct dgram *d = *p;

			if (d->buf[0] != lost) {
				p = &d->next;
				continue;
			}
			*p = d->next;
			free(d);
		}
		run(DUR_NS((int64_t)(next_event().ns - sim.now.ns)));
		/* It is never believed before it is true. */
		if (known(i, j))
			check(routed(i, j));
	}
	return known(i, j);
}

static void two(uint64_t seed)
{
	sim_init(2, seed);
	start_all();
	join(0, 1);
}

static void republish(unsigned i, const char *text)
{
	struct sim_node *n = &sim.n[i];

	n->prefixes[n->nprefixes++] = prefix(text, RIGHT_CONFIG);
	check(gossip_set_prefixes(n->g, n->prefixes, n->nprefixes, sim.now) == 0);
	pump(i);
}

static void test_acknowledged(void **state)
{
	ts_t begun;

	two(1);
	begun = sim.now;
	check(!known(0, 1) && !known(1, 0));
	check(until_known(0, 1, 1, 0) && until_known(1, 0, 1, 0));
	/* There and back, and no more. */
	check(ts_sub(sim.now, begun).ns <= 4 * sim.delay_max.ns);
	/* What changes is not known, and then is, at once. */
	republish(0, "10.77.0.0/16");
	check(!known(0, 1) && known(1, 0));
	begun = sim.now;
	check(until_known(0, 1, 1, 0));
	check(ts_sub(sim.now, begun).ns <= 2 * sim.delay_max.ns);
	/* A peer that is gone knows nothing, and one that comes again says so again. */
	set_link(0, 1, false);
	check(!known(0, 1));
	join(0, 1);
	check(!known(0, 1));
	check(until_known(0, 1, 1, 0));
	/* Ourselves we don't ask. */
	check(!known(0, 0));
	sim_fini();
}

/* A prefix that is withdrawn is nobody's to know. */
static void test_withdrawn(void **state)
{
	two(2);
	check(until_known(0, 1, 1, 0));
	sim.n[0].nprefixes = 0;
	check(gossip_set_prefixes(sim.n[0].g, NULL, 0, sim.now) == 0);
	check(known(0, 1)); /* the node record is all there is */
	pump(0);
	republish(0, "10.78.0.0/16");
	check(!known(0, 1));
	check(until_known(0, 1, 1, 0));
	sim_fini();
}

/* No acknowledgement arrives, as from a peer that knows none: equal roots tell, once it has settled. */
static void test_by_roots(void **state)
{
	two(3);
	check(!until_known(0, 1, 3, GOSSIP_MSG_HAVE));
	check(until_known(0, 1, 40, GOSSIP_MSG_HAVE));
	republish(0, "10.79.0.0/16");
	check(!until_known(0, 1, 3, GOSSIP_MSG_HAVE));
	check(routed(0, 1));
	check(until_known(0, 1, 40, GOSSIP_MSG_HAVE));
	sim_fini();
}

/* The news is lost: nothing is known until it was mended, by whatever way. */
static void test_lost(void **state)
{
	two(4);
	check(until_known(0, 1, 1, 0));
	republish(0, "10.80.0.0/16");
	check(!until_known(0, 1, 2, GOSSIP_MSG_RECORDS));
	check(!routed(0, 1));
	check(until_known(0, 1, 60, 0));
	check(routed(0, 1));
	sim_fini();
}

/* What a peer says counts for the very record that stands, and for no other. */
static void test_said(void **state)
{
	struct gossip_have have = {.n = 1};
	uint8_t buf[WIRE_CTL_BODY_MAX];
	struct wr w;

	two(5);
	check(until_known(0, 1, 1, 0));
	republish(0, "10.81.0.0/16");
	for (uint16_t type = RECORD_NODE; type <= RECORD_PREFIXES; type++) {
		have.v[0].key = record_key_hash(&sim.n[0].id.pub, (uint8_t)type, 0);
		have.v[0].hash = 1;
		wr_init(&w, buf, sizeof(buf));
		gossip_have_encode(&w, &have);
		check(gossip_recv(sim.n[0].g, &sim.n[1].id.pub, buf, wr_len(&w), sim.now) == 0);
	}
	check(!known(0, 1));
	check(until_known(0, 1, 5, 0));
	sim_fini();
}

/* A mesh with neighbours only, under loss and reordering: each is told by somebody, and only what is true. */
static void test_mesh(void **state)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		bool all = false;

		sim_init(12, seed);
		sim.overlay = true;
		sim.loss_pct = 20;
		sim.dup_pct = 5;
		start_all();
		for (unsigned i = 1; i < sim.count; i++)
			join(i, 0);
		for (unsigned k = 0; k < 240 && !all; k++) {
			run(DUR_MS(250));
			all = true;
			for (unsigned i = 0; i < sim.count; i++) {
				bool one = false;

				for (unsigned j = 0; j < sim.count; j++) {
					one |= j != i && known(i, j);
					if (j != i && known(i, j))
						check(has_route(&sim.n[j], &sim.n[i],
							      &sim.n[i].prefixes[0].pfx) ||
							sim.n[j].nup < sim.count - 1);
				}
				all &= one;
			}
		}
		check(all);
		sim_fini();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acknowledged),
		cmocka_unit_test(test_withdrawn),
		cmocka_unit_test(test_by_roots),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_said),
		cmocka_unit_test(test_mesh),
	};

	if (sodium_init() < 0)
		return 1;
	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
