/* Everything at random: crossing rekeys, and a storm of calls, faults and hostile datagrams, after which all
 * must be well again. Seeds: WEFT_TEST_SEED, WEFT_TEST_RUNS. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sessnet.h"
#include "fault.h"

static const struct ep thief = {.ip = {.b = {192, 0, 2, 66}, .family = IP_V4}, .port = 666};

static uint64_t random_seed;

static void say_seed(int sig)
{
	fprintf(stderr, "WEFT_TEST_SEED=%llu\n", (unsigned long long)random_seed);
}

static uint64_t env_or(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* Both want new keys whenever they like, handshakes are lost and everything is reordered: whatever
 * data was sent arrives. */
static void rekeys_cross_at_random(struct net *net)
{
	unsigned sent = 0;

	net_connect(net, 0, 1, true);
	net_run(net, DUR_SEC(1));
	net->strict = true;
	net->jitter = DUR_MS(1 + (int64_t)prng_below(&net->prng, 150));
	net->loss_pct = (unsigned)prng_below(&net->prng, 25);
	for (int i = 0; i < 3000; i++) {
		assert_true(net_dp_send(net, &net->n[0], &net->n[1], (uint16_t)i));
		assert_true(net_dp_send(net, &net->n[1], &net->n[0], (uint16_t)i));
		sent++;
		if (prng_below(&net->prng, 200) == 0)
			net_soft(net, 0, 1);
		if (prng_below(&net->prng, 200) == 0)
			net_soft(net, 1, 0);
		if (prng_below(&net->prng, 400) == 0) {
			net_soft(net, 0, 1);
			net_soft(net, 1, 0);
		}
		net_run(net, DUR_MS(10));
	}
	net->loss_pct = 0;
	net->jitter = DUR_NS(0);
	net_run(net, DUR_SEC(25));
	net_soft(net, 0, 1);
	net_soft(net, 1, 0);
	net_run(net, DUR_SEC(2));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(net_sum(net->n[i].seen_data, NET_SEQS), sent);
		assert_int_equal(net_stat(net, (unsigned)i, SESS_ST_RESETS_TX), 0);
		assert_true(net->n[i].key_adds > 5);
	}
	assert_true(net_agree(net, 0, 1));
}

static void crossing_rekeys(void **state)
{
	uint64_t first = env_or("WEFT_TEST_SEED", 1), runs = env_or("WEFT_TEST_RUNS", 20);

	signal(SIGABRT, say_seed);
	for (random_seed = first; random_seed < first + runs; random_seed++) {
		struct net *net = net_new(2, random_seed & 1, random_seed);

		print_message("seed %llu\n", (unsigned long long)random_seed);
		rekeys_cross_at_random(net);
		net_free(net);
	}
	signal(SIGABRT, SIG_DFL);
}

static void hostile(struct net *net, struct net_msg *m)
{
	uint64_t r = prng_below(&net->prng, 100);

	if (m->data || r >= 6)
		return;
	if (r < 2)
		m->buf[prng_below(&net->prng, m->len)] ^=
			(uint8_t)(1u << prng_below(&net->prng, 8));
	else if (r == 2)
		m->len = 1 + prng_below(&net->prng, m->len);
	else if (r == 3)
		m->src = thief;
	else
		net_queue(net, m, DUR_MS((int64_t)prng_below(&net->prng, 30000))); /* a replay */
}

static void tuned(struct sess_cfg *cfg, struct prng *prng)
{
	struct sess_tune *t = &cfg->tune;

	cfg->side_ports = (uint8_t)prng_below(prng, 4);
	t->rekey_initiator = DUR_MS(1000 + (int64_t)prng_below(prng, 20000));
	t->rekey_responder = DUR_MS(1000 + (int64_t)prng_below(prng, 20000));
	t->key_lifetime = DUR_SEC(60);
	t->previous_keep = DUR_SEC(10);
	t->idle_expiry = DUR_SEC(20);
	t->unused_expiry = DUR_SEC(5);
	t->side_probe_interval = DUR_SEC(5);
	cfg->underload_cookies = prng_below(prng, 4) == 0;
}

static void storm_event(struct net *net)
{
	unsigned a = (unsigned)prng_below(&net->prng, net->count);
	unsigned b = (unsigned)prng_below(&net->prng, net->count);
	struct net_node *n = &net->n[a];
	const struct node_key *key = &net->n[b].id.pub;
	uint32_t h = net_handle(net, a, b);

	if (prng_below(&net->prng, 8) == 0)
		fault_arm(1 + (unsigned)prng_below(&net->prng, 20));
	switch (prng_below(&net->prng, 16)) {
	case 0:
	case 1:
		(void)sess_connect(n->s, &net->n[b].ep, prng_below(&net->prng, 2) ? key : NULL,
			ts_add(net->now, DUR_SEC(20)), net->now);
		break;
	case 2:
		sess_disconnect(n->s, key, net->now);
		break;
	case 3:
		sess_cancel(n->s, &net->n[b].ep, net->now);
		break;
	case 4:
		if (h)
			sess_key_limit(n->s, n->use[h], prng_below(&net->prng, 4) == 0, net->now);
		break;
	case 5:
		if (prng_below(&net->prng, 4) == 0) {
			(void)fault_disarm();
			net_restart_node(net, a);
		}
		break;
	case 6:
		n->ep.port = (uint16_t)(1000 + prng_below(&net->prng, 3) * 100);
		break;
	case 7:
		sess_roam_hint(n->s, h, &thief, &n->ep.ip, net->now);
		break;
	case 8:
		n->side_blocked = !n->side_blocked;
		break;
	case 9:
		sess_release(n->s, key, net->now);
		break;
	case 10:
		net->loss_pct = (unsigned)prng_below(&net->prng, 30);
		net->jitter = DUR_MS((int64_t)prng_below(&net->prng, 100));
		break;
	case 11:
		net->tap = prng_below(&net->prng, 3) ? hostile : NULL;
		break;
	case 12:
		sess_set_wall(n->s, prng_next(&net->prng) >> 1, net->now);
		break;
	default:
		(void)net_send(net, a, b, 1);
		(void)net_dp_send(net, n, &net->n[b], 1);
	}
	net_drain(net, n);
	net_run(net, DUR_MS((int64_t)prng_below(&net->prng, 400)));
	(void)fault_disarm();
}

/* However bad it was: with a good network everybody reaches everybody. */
static void calm(struct net *net)
{
	net->tap = NULL;
	net->loss_pct = 0;
	net->jitter = DUR_NS(0);
	net_run(net, DUR_SEC(40));
	for (unsigned i = 0; i < net->count; i++)
		for (unsigned k = 0; k < net->count; k++)
			if (i != k)
				net_connect(net, i, k, true);
	net_run(net, DUR_SEC(30));
	for (unsigned i = 0; i < net->count; i++) {
		for (unsigned k = 0; k < net->count; k++) {
			if (i == k)
				continue;
			memset(net->n[k].seen, 0, NET_SEQS);
			assert_true(net_is_up(net, i, k));
			assert_true(net_send(net, i, k, 77));
			net_run(net, DUR_MS(50));
			assert_int_equal(net->n[k].seen[77], 1);
		}
	}
	for (unsigned i = 0; i < net->count; i++) {
		for (unsigned k = 0; k < net->count; k++)
			sess_disconnect(net->n[i].s, &net->n[k].id.pub, net->now);
		net_drain(net, &net->n[i]);
	}
	net_run(net, DUR_SEC(1));
	for (unsigned i = 0; i < net->count; i++) {
		assert_int_equal(net->n[i].nkeys, 0);
		assert_int_equal(map_count(net->n[i].s->by_index), 0);
		assert_true(ts_is_never(sess_deadline(net->n[i].s)));
	}
}

static void storm(void **state)
{
	uint64_t first = env_or("WEFT_TEST_SEED", 1), runs = env_or("WEFT_TEST_RUNS", 40);

	signal(SIGABRT, say_seed);
	for (random_seed = first; random_seed < first + runs; random_seed++) {
		struct net *net = net_make(3, random_seed & 1, random_seed);

		print_message("seed %llu\n", (unsigned long long)random_seed);
		for (unsigned i = 0; i < 3; i++) {
			tuned(&net->n[i].cfg, &net->prng);
			net_start_node(net, i);
		}
		for (int i = 0; i < 400; i++)
			storm_event(net);
		calm(net);
		net_free(net);
	}
	signal(SIGABRT, SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crossing_rekeys),
		cmocka_unit_test(storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
