/* One gossip core and what a linked peer can send it; want of memory at every step. */
#include "gossiprig.h"

static const struct cluster_id foreign = {"another cluster."};

/* A KEYS message that answers none, up to its first section. */
static void keys_begin(struct wr *w, uint8_t buf[WIRE_CTL_BODY_MAX])
{
	wr_init(w, buf, WIRE_CTL_BODY_MAX);
	wr_u8(w, GOSSIP_MSG_KEYS);
	wr_u8(w, 0);
}

/* What the core sent to one node. */
struct heard {
	const struct node_key *to;
	unsigned sent, records;
	size_t keys;
	uint64_t key[700], next; /* next: where the index heard so far ends */
	bool whole;              /* it ends at the last key */
};

static void hear(struct gossip *g, struct heard *h)
{
	struct gossip_section s;
	struct gossip_act a;
	struct record rec;
	struct rd r;

	while (gossip_next(g, &a)) {
		if (a.type != GOSSIP_SEND || !node_key_eq(&a.node, h->to))
			continue;
		h->sent++;
		rd_init(&r, a.buf + 1, a.len - 1);
		if (a.buf[0] == GOSSIP_MSG_RECORDS || a.buf[0] == GOSSIP_MSG_FILL)
			for (; rd_left(&r) > 0; h->records++)
				rd_take(&r, (size_t)record_parse(r.p, rd_left(&r), &rec));
		if (a.buf[0] != GOSSIP_MSG_KEYS)
			continue;
		assert_int_equal(rd_u8(&r), GOSSIP_KEYS_F_ANSWER);
		while (rd_left(&r) > 0) {
			assert_int_equal(gossip_section_decode(&r, &s), 0);
			assert_true(s.from == h->next);
			for (size_t i = 0; i < s.n; i++)
				h->key[h->keys++] = s.v[i].key;
			h->next = s.to + 1;
			h->whole = s.to == UINT64_MAX;
		}
	}
}

static void test_versions(void **state)
{
	struct gossip *g = linked();
	struct gossip_node_info info;

	assert_int_equal(recv_node(g, &peer, "peer", 2, 5), 0);
	assert_int_equal(drain(g, GOSSIP_NONE).n[GOSSIP_NODE_UP], 1);
	assert_int_equal(recv_node(g, &peer, "peer", 2, 5), 0); /* again: no news, no error */
	assert_int_equal(recv_node(g, &peer, "older", 2, 4), ERR_STALE);
	assert_int_equal(recv_node(g, &peer, "older", 1, 9), ERR_STALE);
	/* Who brings something stale is told the newer; and of what came from it before, that it did. */
	assert_int_equal(drain(g, GOSSIP_SEND).n[GOSSIP_SEND], 2);
	assert_int_equal(recv_node(g, &us, "us", 6, 1), ERR_STALE);
	assert_int_equal(drain(g, GOSSIP_SEND).n[GOSSIP_SEND], 1);
	assert_int_equal(recv_node(g, &peer, "newer", 3, 0), 0);
	assert_int_equal(gossip_node_get(g, &peer.pub, &info), 0);
	assert_string_equal(info.name, "newer");
	assert_true(info.epoch == 3 && info.linked && !info.self);
	assert_int_equal(stats(g).rx_new, 2);
	assert_int_equal(stats(g).rx_stale, 4);
	gossip_free(g);
}

static void test_forged(void **state)
{
	struct gossip *g = linked();
	uint8_t body[RECORD_BODY_MAX];
	struct record r = node_record("other", 1, 1, body);
	struct gossip_node_info info;
	struct msg m = {.len = 0};

	add(&m, &peer, &r);
	add(&m, &peer, &r);
	/* Somebody else's key in front of a signature of the peer's. */
	memcpy(m.b + 1 + 40, other.pub.b, 32);
	assert_int_equal(gossip_recv(g, &peer.pub, m.b, m.len, now), ERR_AUTH);
	assert_int_equal(stats(g).rx_forged, 1);
	assert_int_equal(stats(g).rx_new, 1); /* the good one behind it was used */
	m.len = 0;
	add(&m, &other, &r);
	for (size_t bit = 8; bit < 8 * m.len; bit += 7) {
		m.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
		gossip_recv(g, &peer.pub, m.b, m.len, now);
		m.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(gossip_node_get(g, &other.pub, &info), ERR_NOT_FOUND);
	}
	for (size_t n = 0; n < m.len; n++)
		assert_int_equal(
			gossip_recv(g, &peer.pub, m.b, n, now), n == 1 ? 0 : ERR_TRUNCATED);
	gossip_free(g);
}

static void test_refused(void **state)
{
	struct gossip *g = linked();
	uint8_t body[RECORD_BODY_MAX];
	struct record r = node_record("peer", 1, 1, body);
	struct msg m = {.len = 0};
	size_t len;

	r.cluster = foreign;
	add(&m, &peer, &r);
	assert_int_equal(gossip_recv(g, &peer.pub, m.b, m.len, now), ERR_FOREIGN);
	assert_int_equal(stats(g).rx_foreign, 1);
	/* A body that its author signed but that is none. */
	m.len = 0;
	r = node_record("peer", 1, 1, body);
	body[2] ^= 1;
	add(&m, &peer, &r);
	assert_int_equal(gossip_recv(g, &peer.pub, m.b, m.len, now), ERR_MALFORMED);
	assert_int_equal(stats(g).rx_bad, 1);
	/* A record that says it is longer than any may be, and all of that is there. */
	len = m.len;
	memset(m.b + len, 0, sizeof(m.b) - len);
	m.b[3] = (LIM_RECORD_BYTES + 1) >> 8;
	m.b[4] = (LIM_RECORD_BYTES + 1) & 0xff;
	assert_int_equal(gossip_recv(g, &peer.pub, m.b, sizeof(m.b), now), ERR_MALFORMED);
	/* Nobody without a link. */
	assert_int_equal(gossip_recv(g, &other.pub, m.b, len, now), ERR_STATE);
	/* A message type of a later version. */
	m.b[0] = 99;
	assert_int_equal(gossip_recv(g, &peer.pub, m.b, len, now), 0);
	assert_int_equal(gossip_recv(g, &peer.pub, m.b, 0, now), ERR_TRUNCATED);
	assert_int_equal(stats(g).rx_new, 0);
	assert_int_equal(stats(g).nodes, 2);
	gossip_free(g);
}

static void test_equivocation(void **state)
{
	struct gossip *g = linked();

	assert_int_equal(recv_node(g, &peer, "one", 1, 1), 0);
	int err = recv_node(g, &peer, "two", 1, 1);
	assert_true(err == 0 || err == ERR_STALE);
	err = recv_node(g, &peer, "one", 1, 1);
	assert_true(err == 0 || err == ERR_STALE);
	assert_true(stats(g).equivocations > 0);
	assert_int_equal(stats(g).records, 3); /* ours: node, endpoints */
	gossip_free(g);
}

/* What we don't understand is kept and passed on, byte for byte. */
static void test_unknown_relayed(void **state)
{
	struct gossip *g = linked();
	const uint8_t body[] = "not msgpack \xc1";
	struct record kinds[] = {
		{.type = 77, .sub = 9, .epoch = 1, .seq = 1},
		{.type = RECORD_REVOCATION, .epoch = 1, .seq = 2},
		{.type = RECORD_NODE, .flags = 0x4000, .epoch = 1, .seq = 3},
		{.type = RECORD_PREFIXES, .flags = 0x0100, .epoch = 1, .seq = 4},
	};

	assert_int_equal(gossip_link_up(g, &other.pub, NULL, now), 0);
	drain(g, GOSSIP_NONE);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct msg m = {.len = 0};
		unsigned sent = 0, told = 0;
		struct gossip_act a;

		kinds[i].cluster = cluster;
		kinds[i].body = body;
		kinds[i].body_len = sizeof(body);
		add(&m, &peer, &kinds[i]);
		assert_int_equal(gossip_recv(g, &peer.pub, m.b, m.len, now), 0);
		/* To the other; back goes only the word that it came. */
		while (gossip_next(g, &a)) {
			if (a.type != GOSSIP_SEND)
				continue;
			if (node_key_eq(&a.node, &peer.pub)) {
				assert_int_equal(a.buf[0], GOSSIP_MSG_HAVE);
				told++;
				continue;
			}
			sent++;
			assert_int_equal(a.len, m.len);
			assert_memory_equal(a.buf, m.b, m.len);
		}
		assert_true(sent == 1 && told == 1);
	}
	gossip_free(g);
}

static void test_own(void **state)
{
	struct gossip *g = core();
	struct gossip_prefix p[2] = {
		{.vni = 1, .right = RIGHT_CONFIG}, {.vni = 2, .right = RIGHT_CLAIM}};
	struct ep eps[LIM_ENDPOINTS_PER_NODE + 1] = {endpoint("127.0.0.1:1"),
		endpoint("[fe80::1%3]:1"), endpoint("192.0.2.1:6793"), endpoint("0.0.0.0:1")};
	struct gossip_node_info info;

	assert_int_equal(pfx_parse("10.1.0.0/16", &p[0].pfx), 0);
	p[1].pfx = p[0].pfx;
	assert_int_equal(gossip_set_endpoints(g, eps, LIM_ENDPOINTS_PER_NODE + 1, now), ERR_FULL);
	assert_int_equal(gossip_set_endpoints(g, eps, 4, now), 0);
	assert_int_equal(gossip_set_prefixes(g, p, 2, now), 0);
	assert_int_equal(gossip_set_prefixes(g, p, LIM_PREFIXES_PER_NODE + 1, now), ERR_FULL);
	p[0].vni = 0;
	assert_int_equal(gossip_set_prefixes(g, p, 2, now), ERR_RANGE);
	p[0].vni = 1;
	p[0].pfx.ip.b[3] = 1;
	assert_int_equal(gossip_set_prefixes(g, p, 2, now), ERR_RANGE);
	assert_int_equal(gossip_node_get(g, &us.pub, &info), 0);
	assert_true(info.self && info.epoch == 7 && info.nprefixes == 2 && info.neps == 1);
	assert_true(ep_eq(&info.eps[0], &eps[2]));
	assert_int_equal(gossip_set_endpoints(g, eps, 1, now), 0); /* alone, loopback serves */
	assert_int_equal(gossip_node_get(g, &us.pub, &info), 0);
	assert_int_equal(info.neps, 1);
	struct drained d = drain(g, GOSSIP_NONE);
	assert_int_equal(d.n[GOSSIP_ROUTE_ADD], 0); /* no route to ourselves */
	gossip_free(g);
}

static size_t prefix_rows(struct gossip_prefix *p, size_t n, uint32_t vni, uint8_t *body)
{
	int len;

	for (size_t i = 0; i < n; i++) {
		p[i] = (struct gossip_prefix){.vni = vni, .right = RIGHT_CONFIG};
		p[i].pfx = (struct pfx){.ip = ip_v4(0x0a000000u + (uint32_t)i), .len = 32};
	}
	len = record_prefixes_encode(p, n, body);
	assert_true(len > 0);
	return (size_t)len;
}

static int recv_prefixes(struct gossip *g, const struct identity *id, uint16_t sub, uint16_t flags,
	uint64_t epoch, uint64_t seq, size_t n)
{
	struct gossip_prefix p[RECORD_PREFIXES_MAX];
	uint8_t body[RECORD_BODY_MAX];
	struct record r = {.type = RECORD_PREFIXES,
		.flags = flags,
		.sub = sub,
		.epoch = epoch,
		.seq = seq,
		.cluster = cluster,
		.body = body};
	struct msg m = {.len = 0};

	r.body_len = n ? prefix_rows(p, n, sub + 1u, body) : 0;
	add(&m, id, &r);
	return gossip_recv(g, &peer.pub, m.b, m.len, now);
}

/* Of an earlier life somebody has a withdrawal, and somebody else what was published again after it:
 * in whichever order we hear of them, it is withdrawn for good. */
static void test_own_earlier_life(void **state)
{
	for (int order = 0; order < 2; order++) {
		struct gossip *g = linked();
		struct record r;
		struct drained d;

		for (int i = 0; i < 2; i++) {
			bool tomb = i == order;
			int err = recv_prefixes(g, &us, 3, tomb ? RECORD_F_TOMBSTONE : 0, 5,
				tomb ? 10 : 11, tomb ? 0 : 2);

			assert_int_equal(err, order == 1 && tomb ? ERR_STALE : 0);
		}
		d = drain(g, GOSSIP_SEND);
		assert_true(d.n[GOSSIP_SEND] > 0);
		assert_true(record_parse(d.buf + 1, d.last.len - 1, &r) > 0);
		while (r.raw + r.len < d.buf + d.last.len) /* the last of the datagram */
			assert_true(record_parse(r.raw + r.len,
					    (size_t)(d.buf + d.last.len - r.raw) - r.len, &r) > 0);
		assert_true(r.type == RECORD_PREFIXES && r.sub == 3 && r.epoch == 7);
		assert_int_equal(r.flags, RECORD_F_TOMBSTONE);
		gossip_free(g);
	}
}

/* At LIM_PREFIXES no new prefix is used, but who publishes the same as before keeps what he has. */
static void test_prefixes_full(void **state)
{
	const uint16_t rows = 64, subs = LIM_PREFIXES_PER_NODE / 64;
	struct gossip *g = linked();
	struct gossip_node_info info;

	assert_int_equal(recv_node(g, &peer, "peer", 1, 1), 0);
	for (size_t node = 0; node < LIM_PREFIXES / LIM_PREFIXES_PER_NODE; node++) {
		struct identity id;

		if (node == 0)
			id = peer;
		else
			identity_generate(&id);
		for (uint16_t sub = 0; sub < subs; sub++)
			assert_int_equal(recv_prefixes(g, &id, sub, 0, 1, 2u + sub, rows), 0);
		identity_wipe(&id);
	}
	assert_int_equal(stats(g).rx_full, 0);
	assert_int_equal(recv_prefixes(g, &peer, 3, 0, 1, 100, rows), 0);
	assert_int_equal(recv_prefixes(g, &peer, 4, 0, 2, 1, rows), 0);
	assert_int_equal(gossip_node_get(g, &peer.pub, &info), 0);
	assert_int_equal(info.nprefixes, LIM_PREFIXES_PER_NODE);
	assert_int_equal(stats(g).rx_full, 0);
	assert_int_equal(recv_node(g, &other, "other", 1, 1), 0);
	assert_int_equal(recv_prefixes(g, &other, 0, 0, 1, 2, 1), 0);
	assert_int_equal(gossip_node_get(g, &other.pub, &info), 0);
	assert_int_equal(info.nprefixes, 0);
	assert_int_equal(stats(g).rx_full, 1);
	gossip_free(g);
}

/* Nobody can have us send to groups of hosts, to any host, or into somebody's link. */
static void test_endpoints_not_dialled(void **state)
{
	struct gossip *g = linked();
	struct ep eps[] = {endpoint("224.0.0.1:1"), endpoint("0.0.0.0:1"), endpoint("[ff02::1]:1"),
		endpoint("[fe80::1]:1"), endpoint("169.254.1.1:1"),
		endpoint("[::ffff:239.1.1.1]:1"), endpoint("[::ffff:192.0.2.77]:7")};
	uint8_t body[RECORD_BODY_MAX];
	struct record e = {.type = RECORD_ENDPOINTS, .epoch = 1, .seq = 2, .cluster = cluster};
	struct gossip_node_info info;
	struct msg m = {.len = 0};
	struct ep want = endpoint("192.0.2.77:7");

	assert_int_equal(recv_node(g, &other, "other", 1, 1), 0);
	e.body = body;
	e.body_len = (size_t)record_endpoints_encode(eps, sizeof(eps) / sizeof(eps[0]), body);
	add(&m, &other, &e);
	assert_int_equal(gossip_recv(g, &peer.pub, m.b, m.len, now), 0);
	assert_int_equal(gossip_node_get(g, &other.pub, &info), 0);
	assert_int_equal(info.neps, 1);
	assert_true(ep_eq(&info.eps[0], &want));
	gossip_free(g);
}

/* The most that a node may publish fits its records, and comes back the same. */
static void test_own_most(void **state)
{
	static struct gossip_prefix p[LIM_PREFIXES_PER_NODE];
	struct gossip_node_info info;
	struct gossip *g = core();

	for (size_t i = 0; i < LIM_PREFIXES_PER_NODE; i++) {
		assert_int_equal(pfx_parse("fd00::/128", &p[i].pfx), 0);
		p[i].pfx.ip.b[1] = (uint8_t)(i >> 8);
		p[i].pfx.ip.b[2] = (uint8_t)i;
		p[i].vni = 0xffffff;
		p[i].right = RIGHT_CLAIM;
		p[i].claimed_at_secs = UINT64_MAX;
	}
	assert_int_equal(gossip_set_prefixes(g, p, LIM_PREFIXES_PER_NODE, now), 0);
	assert_int_equal(gossip_node_get(g, &us.pub, &info), 0);
	assert_int_equal(info.nprefixes, LIM_PREFIXES_PER_NODE);
	assert_true(stats(g).records <= LIM_RECORDS_PER_NODE);
	assert_int_equal(gossip_set_prefixes(g, p, 3, now), 0);
	assert_int_equal(gossip_node_get(g, &us.pub, &info), 0);
	assert_int_equal(info.nprefixes, 3);
	gossip_free(g);
}

/* Endpoints of a node that is not linked: dialled in its order, the one seen last behind them. */
static void test_dial(void **state)
{
	struct gossip *g = linked();
	struct ep eps[] = {endpoint("198.51.100.7:1"), endpoint("[2001:db8::7]:2")};
	uint8_t body[RECORD_BODY_MAX], node_body[RECORD_BODY_MAX];
	struct record n = node_record("peer", 1, 1, node_body);
	struct record e = {.type = RECORD_ENDPOINTS, .epoch = 1, .seq = 2, .cluster = cluster};
	struct msg m = {.len = 0};
	struct drained d;
	ts_t t = now;

	e.body = body;
	e.body_len = (size_t)record_endpoints_encode(eps, 2, body);
	add(&m, &peer, &n);
	add(&m, &peer, &e);
	assert_int_equal(gossip_recv(g, &peer.pub, m.b, m.len, t), 0);
	d = drain(g, GOSSIP_NONE);
	assert_int_equal(d.n[GOSSIP_DIAL], 0);
	t = ts_add(t, DUR_SEC(60));
	gossip_link_down(g, &peer.pub, t);
	d = drain(g, GOSSIP_NONE);
	assert_int_equal(d.n[GOSSIP_NODE_DOWN], 1);
	for (int dials = 0; dials < 8; dials++) {
		ts_t at = gossip_deadline(g);
		int64_t gap = dur_ms(ts_sub(at, t));

		if (dials == 0)
			assert_in_range(gap, 0, 300);
		else
			assert_true(gap >= 700 && gap <= 37500);
		gossip_tick(g, at);
		d = drain(g, GOSSIP_DIAL);
		assert_int_equal(d.n[GOSSIP_DIAL], 1);
		assert_int_equal(d.last.neps, 3);
		assert_true(ep_eq(&d.eps[0], &eps[0]) && ep_eq(&d.eps[1], &eps[1]));
		assert_true(d.eps[2].port == 6793);
		t = at;
	}
	assert_true(ts_sub(t, now).ns > DUR_SEC(120).ns);
	/* A link that breaks as soon as it stands doesn't start the back-off anew. */
	assert_int_equal(gossip_link_up(g, &peer.pub, &eps[0], t), 0);
	t = ts_add(t, DUR_SEC(1));
	gossip_link_down(g, &peer.pub, t);
	drain(g, GOSSIP_NONE);
	assert_true(ts_sub(gossip_deadline(g), t).ns > DUR_SEC(20).ns);
	gossip_free(g);
}

/* However much is to be sent, a link gets so many datagrams at a time, and all of it in the end; and
 * it is sent because the other asks, a window at a time. */
static void test_pacing(void **state)
{
	struct gossip *g = linked();
	unsigned sent = 0, windows = 0;
	struct gossip_want want = {.n = 0};
	ts_t t = now;

	for (uint16_t i = 0; i < 600; i++) {
		uint8_t body[RECORD_BODY_MAX] = {0}, seed[32] = {9, (uint8_t)i, (uint8_t)(i >> 8)};
		struct record r = {.type = 50, .epoch = 1, .seq = 1, .cluster = cluster};
		struct identity id;
		struct msg m = {.len = 0};

		identity_from_seed(seed, &id);
		r.body = body;
		r.body_len = 700; /* one a datagram */
		add(&m, &id, &r);
		assert_int_equal(gossip_recv(g, &peer.pub, m.b, m.len, t), 0);
	}
	drain(g, GOSSIP_NONE);
	t = ts_add(t, DUR_SEC(9)); /* old news by now */
	gossip_tick(g, t);
	assert_int_equal(gossip_link_up(g, &other.pub, NULL, t), 0);
	drain(g, GOSSIP_NONE);
	/* The other has nothing: an empty index for all keys. It is told what there is, not sent it. */
	struct wr w;
	uint8_t buf[WIRE_CTL_BODY_MAX];
	keys_begin(&w, buf);
	gossip_section_encode(&w, &(struct gossip_section){.to = UINT64_MAX});
	assert_int_equal(gossip_recv(g, &other.pub, buf, wr_len(&w), t), 0);
	struct heard h = {.to = &other.pub};
	for (; h.keys < 600; t = gossip_deadline(g)) {
		gossip_tick(g, t);
		hear(g, &h);
		assert_int_equal(h.records, 0);
	}
	assert_true(h.whole);
	for (size_t i = 0; i < h.keys; i++) {
		want.v[want.n++] = h.key[i];
		if (want.n < GOSSIP_WANT_MAX && i + 1 < h.keys)
			continue;
		wr_init(&w, buf, sizeof(buf));
		gossip_want_encode(&w, GOSSIP_MSG_WANT, &want);
		assert_int_equal(gossip_recv(g, &other.pub, buf, wr_len(&w), t), 0);
		want.n = 0;
	}
	for (; sent < h.keys; t = gossip_deadline(g)) {
		struct heard now_heard = {.to = &other.pub};

		gossip_tick(g, t);
		hear(g, &now_heard);
		assert_in_range(now_heard.sent, 0, 32);
		sent += now_heard.records;
		windows++;
	}
	assert_int_equal(sent, h.keys);
	assert_in_range(windows, 19, 40);
	gossip_free(g);
}

/* Who changes its record all the time is heard up to its allowance, and again with time. */
static void test_news_allowance(void **state)
{
	struct gossip *g = linked();
	unsigned taken = 0;

	for (uint64_t seq = 1; seq <= 300; seq++) {
		int err = recv_node(g, &other, "other", 1, seq);

		assert_true(err == 0 || err == ERR_LIMIT);
		taken += err == 0;
		drain(g, GOSSIP_NONE);
	}
	/* Its first record made it known; the allowance is for what follows. */
	assert_int_equal(taken, 1 + 2 * LIM_RECORDS_PER_NODE);
	assert_int_equal(stats(g).rx_limited, 300 - taken);
	/* Others are heard. */
	assert_int_equal(recv_node(g, &peer, "peer", 1, 1), 0);
	ts_t before = now;
	now = ts_add(now, DUR_SEC(1));
	for (uint64_t seq = 301; seq <= 310; seq++)
		taken += recv_node(g, &other, "other", 1, seq) == 0;
	assert_int_equal(taken, 1 + 2 * LIM_RECORDS_PER_NODE + 4);
	now = before;
	gossip_free(g);
}

/* What is offered is asked for once, and comes. */
static void test_offer(void **state)
{
	struct gossip_have have = {.n = 2, .v = {{77, 1}, {78, 1}}};
	struct gossip *g = linked();
	struct gossip_want want;
	uint8_t buf[WIRE_CTL_BODY_MAX];
	struct drained d;
	struct wr w;
	struct rd r;

	assert_int_equal(gossip_link_up(g, &other.pub, NULL, now), 0);
	drain(g, GOSSIP_NONE);
	wr_init(&w, buf, sizeof(buf));
	gossip_have_encode(&w, &have);
	assert_int_equal(gossip_recv(g, &peer.pub, buf, wr_len(&w), now), 0);
	d = drain(g, GOSSIP_SEND);
	assert_int_equal(d.n[GOSSIP_SEND], 1);
	assert_int_equal(d.buf[0], GOSSIP_MSG_WANT);
	rd_init(&r, d.buf + 1, d.last.len - 1);
	assert_int_equal(gossip_want_decode(&r, &want), 0);
	assert_true(want.n == 2 && want.v[0] == 77 && want.v[1] == 78);
	/* From another at the same time: it is under way. */
	assert_int_equal(gossip_recv(g, &other.pub, buf, wr_len(&w), now), 0);
	assert_int_equal(drain(g, GOSSIP_SEND).n[GOSSIP_SEND], 0);
	gossip_free(g);
}

/* Whatever bit of a message is wrong, the core stays whole and says why it refuses it, or takes it
 * for another message. */
static void test_bit_flips(void **state)
{
	struct gossip_section k = {.to = UINT64_MAX, .n = 3, .v = {{1, 1, 1, 1}, {2}, {3}}};
	struct gossip_group group = {.level = 0};
	uint8_t msgs[4][WIRE_CTL_BODY_MAX];
	size_t len[4];
	struct wr w;

	keys_begin(&w, msgs[0]);
	gossip_section_encode(&w, &k);
	len[0] = wr_len(&w);
	wr_init(&w, msgs[1], sizeof(msgs[1]));
	wr_u8(&w, GOSSIP_MSG_SUMS);
	gossip_group_encode(&w, &group);
	len[1] = wr_len(&w);
	wr_init(&w, msgs[2], sizeof(msgs[2]));
	gossip_root_encode(&w, 1);
	len[2] = wr_len(&w);
	wr_init(&w, msgs[3], sizeof(msgs[3]));
	gossip_have_encode(&w, &(struct gossip_have){.n = 2, .v = {{1, 2}, {3, 4}}});
	len[3] = wr_len(&w);
	for (size_t m = 0; m < 4; m++)
		for (size_t bit = 0; bit <= len[m] * 8; bit++) {
			struct gossip *g = linked();
			int err;

			if (bit < len[m] * 8)
				msgs[m][bit / 8] ^= (uint8_t)(1 << bit % 8);
			err = gossip_recv(g, &peer.pub, msgs[m], len[m], now);
			assert_true(err == 0 || err == ERR_MALFORMED || err == ERR_TRUNCATED ||
				    err == ERR_VERSION);
			if (bit == len[m] * 8)
				assert_int_equal(err, 0);
			assert_int_equal(stats(g).rx_bad, err != 0);
			drain(g, GOSSIP_NONE);
			if (bit < len[m] * 8)
				msgs[m][bit / 8] ^= (uint8_t)(1 << bit % 8);
			gossip_free(g);
		}
}

static bool fault_came; /* in life() */

/* A short life of a core: link, records, prefixes, time, an own record from the future, the end. False:
 * it could not even be made. */
static bool life(void)
{
	struct gossip *g = core();
	struct ep e = endpoint("192.0.2.9:6793");
	struct gossip_prefix p[3] = {{.vni = 1, .right = RIGHT_CONFIG}};
	uint8_t body[RECORD_BODY_MAX];
	struct record r = {.type = RECORD_PREFIXES, .epoch = 1, .seq = 1, .cluster = cluster};
	struct msg m = {.len = 0};
	struct drained d;
	ts_t t = now;

	if (!g)
		return false;
	pfx_parse("10.0.0.0/24", &p[0].pfx);
	p[1] = p[2] = p[0];
	pfx_parse("10.0.1.0/24", &p[1].pfx);
	pfx_parse("10.0.2.0/24", &p[2].pfx);
	gossip_set_endpoints(g, &e, 1, t);
	gossip_set_prefixes(g, p, 1, t);
	gossip_link_up(g, &peer.pub, &e, t);
	gossip_link_up(g, &other.pub, &e, t);
	drain(g, GOSSIP_NONE);
	recv_node(g, &peer, "peer", 1, 1);
	recv_node(g, &us, "us", 9, 1);
	r.body = body;
	r.body_len = (size_t)record_prefixes_encode(p, 3, body);
	add(&m, &peer, &r);
	gossip_recv(g, &peer.pub, m.b, m.len, t);
	d = drain(g, GOSSIP_EPOCH);
	if (d.n[GOSSIP_EPOCH])
		gossip_epoch_stored(g, d.last.epoch, t);
	for (int i = 0; i < 20; i++) {
		t = gossip_deadline(g);
		gossip_tick(g, t);
		drain(g, GOSSIP_NONE);
	}
	/* Whatever failed: what we publish of ourselves is out in the end. */
	if (d.n[GOSSIP_EPOCH]) {
		struct gossip_node_info info;

		assert_int_equal(gossip_node_get(g, &us.pub, &info), 0);
		assert_true(info.epoch == 10);
	}
	/* And the peer's records are taken when they come again. */
	if (gossip_link_up(g, &peer.pub, &e, t) == 0) {
		struct gossip_node_info info;

		fault_came = fault_disarm();
		recv_node(g, &peer, "peer", 1, 1);
		gossip_recv(g, &peer.pub, m.b, m.len, t);
		assert_int_equal(gossip_node_get(g, &peer.pub, &info), 0);
		assert_int_equal(info.nprefixes, 3);
	}
	gossip_free(g);
	return true;
}

static void test_no_memory(void **state)
{
	unsigned lived = 0, n = 0;

	do {
		fault_came = true; /* if it lives too short to tell */
		fault_arm(++n);
		lived += life();
		fault_disarm();
	} while (fault_came);
	assert_in_range(n, 30, 1000);
	assert_true(lived > n / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_equivocation),
		cmocka_unit_test(test_unknown_relayed),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_own_earlier_life),
		cmocka_unit_test(test_prefixes_full),
		cmocka_unit_test(test_endpoints_not_dialled),
		cmocka_unit_test(test_own_most),
		cmocka_unit_test(test_dial),
		cmocka_unit_test(test_pacing),
		cmocka_unit_test(test_news_allowance),
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_bit_flips),
		cmocka_unit_test(test_no_memory),
	};

	if (sodium_init() < 0)
		return 1;
	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, setup, NULL);
}
