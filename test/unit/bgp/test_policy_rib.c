/* Route policy in running cores: an import policy decides, what the other paths lost by, and a book
 * that takes another's place sends only what differs. */
#include "bgpnet.h"
#include "policy.h"

static struct net_sim s;
static bool reachable = true;

static bool resolve(void *ctx, uint32_t vni, const struct ip *nh, uint32_t *cost)
{
	(void)ctx;
	(void)vni;
	(void)nh;
	*cost = 0;
	return reachable;
}
static const struct bgp_nexthop_ops nexthop = {resolve};

static int setup(void **state)
{
	struct bgp_cfg cfg = {.local_as = 65000, .router_id = 1, .seed = 5, .nexthop = &nexthop};

	(void)state;
	net_init(&s, 77);
	for (int i = 0; i < 4; i++)
		s.n[i].addr = ip_v4(0x0a000001u + (uint32_t)i);
	s.n[0].b = bgp_new(&cfg, s.now);
	for (int i = 1; i < 4; i++)
		net_node(&s, i, 65000 + (uint32_t)i, 10u - (uint32_t)i);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	net_free(&s);
	return 0;
}

/* A book with the policies in (local preference @pref for what has @from's number in front) and out
 * (MED @med). */
static struct policy_book *book(uint32_t from, const char *pref, const char *med)
{
	const struct policy_key *asn = policy_key_find(POLICY_MATCH, "neighbour-asn"),
				*lp = policy_key_find(POLICY_CHANGE, "local-preference"),
				*m = policy_key_find(POLICY_CHANGE, "med");
	struct policy_book *b = policy_book_new();
	char why[POLICY_WHY], text[12];
	struct policy_rule *r;
	struct policy *p;

	snprintf(text, sizeof(text), "%u", from);
	assert_int_equal(policy_new(b, "in", &p, why), 0);
	assert_int_equal(policy_rule_new(p, NULL, &r, why), 0);
	assert_int_equal(policy_rule_take(b, r, POLICY_MATCH, asn, text, why), 0);
	assert_int_equal(policy_rule_take(b, r, POLICY_CHANGE, lp, pref, why), 0);
	assert_int_equal(policy_rule_verdict(r, "next", why), 0);
	assert_int_equal(policy_rule_new(p, NULL, &r, why), 0);
	assert_int_equal(policy_rule_verdict(r, "accept", why), 0);
	assert_int_equal(policy_new(b, "out", &p, why), 0);
	assert_int_equal(policy_rule_new(p, NULL, &r, why), 0);
	assert_int_equal(policy_rule_take(b, r, POLICY_CHANGE, m, med, why), 0);
	assert_int_equal(policy_rule_verdict(r, "accept", why), 0);
	assert_int_equal(policy_book_close(b, 65000), 0);
	return b;
}

static uint32_t join(int to, struct policy_book *b)
{
	struct bgp_peer_cfg mine = net_peer_cfg(&s, to, 65000 + (uint32_t)to),
			    theirs = net_peer_cfg(&s, 0, 65000);
	uint32_t peer;

	mine.import = policy_hook(policy_find(b, "in"), POLICY_IN);
	mine.export = policy_hook(policy_find(b, "out"), POLICY_OUT);
	peer = net_add(&s, 0, &mine);
	net_add(&s, to, &theirs);
	return peer;
}

struct why {
	char text[3][40];
	uint32_t best;
	unsigned n;
};

static bool see(void *ctx, const struct bgp_entry *e)
{
	struct why *w = ctx;

	assert_true(w->n < 3);
	if (e->best)
		w->best = e->peer;
	snprintf(w->text[w->n++], sizeof(w->text[0]), "%s%s", e->best ? e->step : "",
		e->lost ? e->lost : "");
	return true;
}

static struct why look(const char *text)
{
	struct bgp_nlri n = nlri4(text);
	struct why w = {.n = 0};

	(void)bgp_lookup(s.n[0].b, 1, &n, see, &w);
	return w;
}

static void repolicy(struct policy_book *b, const uint32_t peers[3])
{
	struct bgp_policy in = policy_hook(policy_find(b, "in"), POLICY_IN),
			  out = policy_hook(policy_find(b, "out"), POLICY_OUT);

	for (int i = 0; i < 3; i++)
		assert_int_equal(bgp_peer_repolicy(s.n[0].b, peers[i], &in, &out, s.now), 0);
	net_run(&s, 2);
}

static void policies(void **state)
{
	struct policy_book *old = book(65002, "200", "7"), *next;
	uint32_t peers[3];
	uint64_t updates;
	struct found f;
	struct why w;

	(void)state;
	for (int i = 0; i < 3; i++)
		peers[i] = join(i + 1, old);
	originate(&s, 1, "10.0.0.0/8");
	originate(&s, 2, "10.0.0.0/8");
	net_run(&s, 5);

	w = look("10.0.0.0/8");
	assert_int_equal(w.n, 2);
	assert_int_equal(w.best, peers[1]);
	assert_string_equal(w.text[0], "local preference");
	assert_string_equal(w.text[1], "local preference");
	assert_true(has_route(&s, 3, "10.0.0.0/8", &f));
	assert_int_equal(f.a.med, 7);

	/* The same again: judged, and nothing said. */
	updates = net_info(&s, 0, 3).tx_updates;
	next = book(65002, "200", "7");
	policy_book_succeed(next, old);
	repolicy(next, peers);
	policy_book_free(old);
	assert_int_equal(net_info(&s, 0, 3).tx_updates, updates);

	/* Another preference, another MED. */
	old = next;
	next = book(65001, "50", "9");
	policy_book_succeed(next, old);
	repolicy(next, peers);
	policy_book_free(old);
	w = look("10.0.0.0/8");
	assert_int_equal(w.best, peers[1]);
	assert_true(has_route(&s, 3, "10.0.0.0/8", &f));
	assert_int_equal(f.a.med, 9);

	/* No difference but the last: the router id. */
	old = next;
	next = book(1, "1", "9");
	policy_book_succeed(next, old);
	repolicy(next, peers);
	policy_book_free(old);
	w = look("10.0.0.0/8");
	assert_string_equal(w.text[0], "router id");
	assert_string_equal(w.text[1], "router id");

	reachable = false;
	bgp_nexthops_changed(s.n[0].b, 1, s.now);
	net_run(&s, 2);
	w = look("10.0.0.0/8");
	assert_int_equal(w.n, 2);
	assert_string_equal(w.text[0], "");
	reachable = true;
	teardown(NULL);
	memset(&s, 0, sizeof(s));
	policy_book_free(next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(policies, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
