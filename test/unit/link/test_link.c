/* Links between clusters over a model network: sessions come up when somebody dials, messages are
 * delayed, lost and doubled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fault.h"
#include "link.h"
#include "prng.h"
#include "weft/err.h"

#define NODES  6
#define FLIGHT 256

struct node {
	struct node_key key;
	struct links *l;
	struct ep ep;
	unsigned ups, downs, learned, refused;
	uint32_t asn; /* of the last up */
	char text[LINK_WHY_MAX];
};

struct net {
	struct node node[NODES];
	size_t n;
	bool session[NODES][NODES];
	struct {
		bool used;
		size_t from, to;
		ts_t at;
		uint8_t buf[LINK_BODY_MAX];
		size_t len;
	} flight[FLIGHT];
	struct prng prng;
	unsigned loss_pct, double_pct, sent;
	uint32_t number; /* of the link, on all nodes */
	ts_t now;
};

static struct pfx pfx(const char *text)
{
	struct pfx p;

	assert_int_equal(pfx_parse(text, &p), 0);
	return p;
}

static struct link_cluster cluster(uint8_t id, uint32_t asn, const char *name, const char *range)
{
	struct link_cluster c = {.asn = asn, .nranges = 1};

	memset(c.id.b, id, sizeof(c.id.b));
	snprintf(c.name, sizeof(c.name), "%s", name);
	c.ranges[0] = pfx(range);
	return c;
}

static struct net *net_new(uint64_t seed)
{
	struct net *t = calloc(1, sizeof(*t));

	prng_seed(&t->prng, seed);
	t->now = (ts_t){DUR_SEC(1000).ns};
	t->number = 3;
	return t;
}

static size_t net_node(struct net *t, const struct link_cluster *c)
{
	struct node *n = &t->node[t->n];

	memset(n->key.b, (int)t->n + 1, sizeof(n->key.b));
	n->ep = (struct ep){.ip = ip_v4(0xc0000201u + (uint32_t)t->n), .port = 6793};
	n->l = links_new(&n->key, c, t->now);
	assert_non_null(n->l);
	return t->n++;
}

static void net_link(
	struct net *t, size_t i, const struct link_cluster *remote, const struct ep *ep)
{
	struct link_def d = {.number = t->number, .name = "other"};
	char why[LINK_WHY_MAX];

	if (remote)
		d.remote = *remote;
	if (ep)
		d.eps[d.neps++] = *ep;
	assert_int_equal(links_add(t->node[i].l, &d, why, t->now), 0);
}

static size_t node_at(struct net *t, const struct link_act *a)
{
	static const struct node_key none;

	for (size_t i = 0; i < t->n; i++)
		if (a->type == LINK_DIAL ? ip_eq(&t->node[i].ep.ip, &a->ep.ip)
					 : node_key_eq(&t->node[i].key, &a->key))
			return i;
	assert_memory_equal(&a->key, &none, 0);
	return NODES;
}

static void connect_nodes(struct net *t, size_t a, size_t b)
{
	if (t->session[a][b])
		return;
	t->session[a][b] = t->session[b][a] = true;
	links_session_up(t->node[a].l, t->number, &t->node[b].key, t->now);
	links_session_up(t->node[b].l, t->number, &t->node[a].key, t->now);
}

static void cut_nodes(struct net *t, size_t a, size_t b)
{
	t->session[a][b] = t->session[b][a] = false;
	links_session_down(t->node[a].l, t->number, &t->node[b].key, t->now);
	links_session_down(t->node[b].l, t->number, &t->node[a].key, t->now);
}

static void carry(struct net *t, size_t from, size_t to, const struct link_act *a)
{
	unsigned copies = prng_below(&t->prng, 100) < t->double_pct ? 2 : 1;

	t->sent++;
	assert_true(a->len <= LINK_BODY_MAX);
	if (prng_below(&t->prng, 100) < t->loss_pct)
		return;
	for (size_t i = 0; i < FLIGHT && copies; i++) {
		if (t->flight[i].used)
			continue;
		t->flight[i].used = true;
		t->flight[i].from = from;
		t->flight[i].to = to;
		t->flight[i].at = ts_add(t->now, DUR_MS(1 + prng_below(&t->prng, 50)));
		memcpy(t->flight[i].buf, a->buf, a->len);
		t->flight[i].len = a->len;
		copies--;
	}
	assert_int_equal(copies, 0);
}

static void drain(struct net *t, size_t i)
{
	struct node *n = &t->node[i];
	struct link_act a;

	while (links_next(n->l, &a)) {
		size_t to = a.type == LINK_LEARNED ? NODES : node_at(t, &a);

		assert_int_equal(a.link, t->number);
		if (a.type == LINK_SEND) {
			carry(t, i, to, &a);
		} else if (a.type == LINK_DIAL) {
			assert_true(to < NODES && to != i);
			connect_nodes(t, i, to);
		} else if (a.type == LINK_UP) {
			n->ups++;
			n->asn = a.remote->asn;
		} else if (a.type == LINK_DOWN) {
			n->downs++;
			snprintf(n->text, sizeof(n->text), "%s", a.text);
		} else if (a.type == LINK_LEARNED) {
			n->learned++;
		} else if (a.type == LINK_REFUSED) {
			n->refused++;
			snprintf(n->text, sizeof(n->text), "%s", a.text);
		}
	}
}

static void run(struct net *t, dur_t span)
{
	ts_t end = ts_add(t->now, span);

	for (; ts_before(t->now, end); t->now = ts_add(t->now, DUR_MS(5))) {
		for (size_t i = 0; i < FLIGHT; i++) {
			if (!t->flight[i].used || !ts_due(t->flight[i].at, t->now))
				continue;
			t->flight[i].used = false;
			if (t->session[t->flight[i].from][t->flight[i].to])
				(void)links_recv(t->node[t->flight[i].to].l, t->number,
					&t->node[t->flight[i].from].key, t->flight[i].buf,
					t->flight[i].len, t->now);
		}
		for (size_t i = 0; i < t->n; i++) {
			if (ts_due(links_deadline(t->node[i].l), t->now))
				links_tick(t->node[i].l, t->now);
			drain(t, i);
			assert_false(ts_due(links_deadline(t->node[i].l), t->now));
		}
	}
}

static unsigned up_count(const struct net *t, size_t i)
{
	struct link_peer_info p;
	unsigned n = 0;
	size_t it = 0;

	while (links_peer_each(t->node[i].l, t->number, &it, &p))
		n += p.up;
	return n;
}

static void net_free(struct net *t)
{
	for (size_t i = 0; i < t->n; i++)
		links_free(t->node[i].l);
	free(t);
}

/* East invites and waits; west dials. Both come up, east learns who it is linked to, and then nobody
 * says anything more. */
static void two_clusters(void **state)
{
	struct link_cluster east = cluster(1, 4200000001u, "east", "10.32.0.0/16"),
			    west = cluster(2, 4200000002u, "west", "10.33.0.0/16");
	struct net *t = net_new(1);
	unsigned sent;

	net_node(t, &east);
	net_node(t, &west);
	net_link(t, 0, NULL, NULL);
	net_link(t, 1, &east, &t->node[0].ep);
	run(t, DUR_SEC(5));
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(up_count(t, i), 1);
		assert_int_equal(t->node[i].ups, 1);
		assert_int_equal(t->node[i].downs + t->node[i].refused, 0);
	}
	assert_int_equal(t->node[0].asn, west.asn);
	assert_int_equal(t->node[0].learned, 1);
	assert_int_equal(t->node[1].learned, 0);
	sent = t->sent;
	run(t, DUR_SEC(300));
	assert_int_equal(t->sent, sent);
	/* Cut: down on both sides; the one with the invitation dials again. */
	cut_nodes(t, 0, 1);
	run(t, DUR_SEC(10));
	assert_int_equal(t->node[0].downs, 1);
	assert_string_equal(t->node[0].text, "");
	assert_int_equal(up_count(t, 0), 1);
	assert_int_equal(t->node[0].ups, 2);
	net_free(t);
}

/* Each gateway of one side finds each of the other though one endpoint was told, whatever is lost. */
static void many_gateways(void **state)
{
	struct link_cluster east = cluster(1, 4200000001u, "east", "10.32.0.0/16"),
			    west = cluster(2, 4200000002u, "west", "10.33.0.0/16");

	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct net *t = net_new(seed);
		struct link_gateway g[2][2] = {0};

		t->loss_pct = 30;
		t->double_pct = 10;
		for (size_t i = 0; i < 4; i++)
			net_node(t, i < 2 ? &east : &west);
		for (size_t i = 0; i < 4; i++)
			g[i / 2][i % 2] = (struct link_gateway){
				.key = t->node[i].key, .neps = 1, .eps = {t->node[i].ep}};
		for (size_t i = 0; i < 4; i++)
			links_self(t->node[i].l, i < 2 ? &east : &west, g[i / 2], 2, t->now);
		net_link(t, 0, NULL, NULL);
		net_link(t, 1, NULL, NULL);
		net_link(t, 2, &east, &t->node[0].ep);
		net_link(t, 3, &east, &t->node[0].ep);
		run(t, DUR_SEC(40));
		for (size_t i = 0; i < 4; i++)
			if (up_count(t, i) != 2)
				fail_msg("seed %llu: node %zu has %u gateways",
					(unsigned long long)seed, i, up_count(t, i));
		/* One dies; it is forgotten by who no longer hears of it, and comes back. */
		cut_nodes(t, 0, 2);
		cut_nodes(t, 0, 3);
		assert_int_equal(up_count(t, 2), 1);
		run(t, DUR_SEC(40));
		assert_int_equal(up_count(t, 2), 2);
		net_free(t);
	}
}

static void refused(const struct link_cluster *a, const struct link_cluster *b, const char *text)
{
	struct net *t = net_new(7);
	struct link_def d = {.number = 9, .name = "x", .remote = *b};
	char why[LINK_WHY_MAX];
	struct link_peer_info p;
	size_t it = 0;

	net_node(t, a);
	net_node(t, b);
	/* At the invitation, if it is known there. */
	assert_int_equal(links_add(t->node[0].l, &d, why, t->now), ERR_CONFLICT);
	assert_string_equal(why, text);
	/* And at the greeting. */
	net_link(t, 0, NULL, NULL);
	net_link(t, 1, NULL, &t->node[0].ep);
	run(t, DUR_SEC(5));
	assert_int_equal(t->node[0].ups + t->node[1].ups, 0);
	assert_int_equal(t->node[1].refused, 1);
	assert_string_equal(t->node[1].text, text);
	assert_true(links_peer_each(t->node[0].l, t->number, &it, &p));
	assert_string_equal(p.refused, text);
	/* It is asked again at a slow pace only. */
	t->sent = 0;
	run(t, DUR_SEC(600));
	assert_in_range(t->sent, 10, 100);
	net_free(t);
}

static void refusals(void **state)
{
	struct link_cluster east = cluster(1, 4200000001u, "east", "10.32.0.0/16"),
			    asn = cluster(2, 4200000001u, "west", "10.33.0.0/16"),
			    over = cluster(2, 4200000002u, "west", "10.0.0.0/8"),
			    self = cluster(1, 4200000002u, "east2", "10.33.0.0/16");

	refused(&east, &asn, "clusters east and west have the same AS number 4200000001");
	refused(&east, &over,
		"range 10.32.0.0/16 of cluster east overlaps 10.0.0.0/8 of cluster west");
	refused(&east, &self, "the link leads from cluster east back to itself");
}

/* Against other links, and against who the link led to before. */
static void between_links(void **state)
{
	struct link_cluster east = cluster(1, 4200000001u, "east", "10.32.0.0/16"),
			    west = cluster(2, 4200000002u, "west", "10.33.0.0/16"),
			    north = cluster(3, 4200000003u, "north", "10.33.1.0/24");
	struct link_def d = {.number = 1, .name = "west", .remote = west};
	struct node_key key = {{9}};
	struct links *l = links_new(&key, &east, TS_ZERO);
	char why[LINK_WHY_MAX];

	assert_int_equal(links_add(l, &d, why, TS_ZERO), 0);
	assert_int_equal(links_add(l, &d, why, TS_ZERO), ERR_EXISTS);
	d.number = 2;
	assert_int_equal(links_add(l, &d, why, TS_ZERO), ERR_EXISTS);
	snprintf(d.name, sizeof(d.name), "again");
	assert_int_equal(links_add(l, &d, why, TS_ZERO), ERR_CONFLICT);
	assert_string_equal(why, "link west leads to cluster west already");
	d.remote = north;
	assert_int_equal(links_add(l, &d, why, TS_ZERO), ERR_CONFLICT);
	assert_string_equal(
		why, "range 10.33.0.0/16 of cluster west overlaps 10.33.1.0/24 of cluster north");
	north.ranges[0] = pfx("10.34.0.0/16");
	assert_int_equal(links_check(l, 1, &north, why), ERR_CONFLICT);
	assert_string_equal(why, "link west leads to cluster west, not to north");
	d.remote = north;
	for (d.number = 2; d.number <= LIM_LINKS; d.number++) {
		snprintf(d.name, sizeof(d.name), "n%u", d.number);
		assert_int_equal(links_add(l, &d, why, TS_ZERO), 0);
		d.remote.asn = 0;
	}
	snprintf(d.name, sizeof(d.name), "more");
	assert_int_equal(links_add(l, &d, why, TS_ZERO), ERR_FULL);
	assert_int_equal(links_del(l, 2), 0);
	assert_int_equal(links_del(l, 2), ERR_NOT_FOUND);
	assert_int_equal(links_add(l, &d, why, TS_ZERO), 0);
	links_free(l);
}

/* A range that is added later and overlaps takes the link down on both sides, with the reason; taken
 * back, it comes up again within the pace at which the refused are asked. */
static void later_overlap(void **state)
{
	struct link_cluster east = cluster(1, 4200000001u, "east", "10.32.0.0/16"),
			    west = cluster(2, 4200000002u, "west", "10.33.0.0/16"), more = west;
	struct net *t = net_new(11);

	net_node(t, &east);
	net_node(t, &west);
	net_link(t, 0, NULL, NULL);
	net_link(t, 1, &east, &t->node[0].ep);
	run(t, DUR_SEC(5));
	assert_int_equal(up_count(t, 0) + up_count(t, 1), 2);
	more.ranges[more.nranges++] = pfx("10.32.5.0/24");
	links_self(t->node[1].l, &more, NULL, 0, t->now);
	run(t, DUR_SEC(2));
	assert_int_equal(up_count(t, 0) + up_count(t, 1), 0);
	assert_non_null(strstr(t->node[0].text, "10.32.0.0/16 of cluster east"));
	assert_non_null(strstr(t->node[0].text, "10.32.5.0/24 of cluster west"));
	links_self(t->node[1].l, &west, NULL, 0, t->now);
	run(t, DUR_SEC(3));
	assert_int_equal(up_count(t, 0) + up_count(t, 1), 2);
	net_free(t);
}

static void bad_senders(void **state)
{
	struct link_cluster east = cluster(1, 4200000001u, "east", "10.32.0.0/16"),
			    west = cluster(2, 4200000002u, "west", "10.33.0.0/16");
	struct net *t = net_new(13);
	struct link_hello h = {.serial = 1, .who = west};
	uint8_t buf[LINK_BODY_MAX];
	struct link_stats st;
	struct node_key key = {{0}};
	size_t len = link_hello_encode(&h, buf);
	unsigned limited = 0;

	net_node(t, &east);
	net_link(t, 0, NULL, NULL);
	assert_int_equal(links_recv(t->node[0].l, 3, &key, buf, len, t->now), ERR_NOT_FOUND);
	/* More gateways than there is room for. */
	for (unsigned i = 0; i < 2 * LIM_LINK_GATEWAYS; i++) {
		key.b[0] = (uint8_t)(0x80 + i);
		links_session_up(t->node[0].l, 3, &key, t->now);
	}
	links_stats(t->node[0].l, &st);
	assert_int_equal(st.full, LIM_LINK_GATEWAYS);
	/* One that talks without end, each time something new, and nobody drains. */
	key.b[0] = 0x80;
	for (unsigned i = 0; i < 1000; i++) {
		h.serial++;
		len = link_hello_encode(&h, buf);
		limited += links_recv(t->node[0].l, 3, &key, buf, len, t->now) == ERR_LIMIT;
		t->now = ts_add(t->now, DUR_MS(1));
	}
	assert_in_range(limited, 980, 995);
	assert_int_equal(links_recv(t->node[0].l, 3, &key, buf, 3, ts_add(t->now, DUR_SEC(2))),
		ERR_TRUNCATED);
	links_stats(t->node[0].l, &st);
	assert_int_equal(st.malformed, 1);
	assert_int_equal(st.limited, limited);
	net_free(t);
}

static void no_memory(void **state)
{
	struct link_cluster east = cluster(1, 4200000001u, "east", "10.32.0.0/16");
	struct node_key key = {{9}};

	FAULT_EACH(n)
	{
		links_free(links_new(&key, &east, TS_ZERO));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_clusters),
		cmocka_unit_test(many_gateways),
		cmocka_unit_test(refusals),
		cmocka_unit_test(between_links),
		cmocka_unit_test(later_overlap),
		cmocka_unit_test(bad_senders),
		cmocka_unit_test(no_memory),
	};

	if (key_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
