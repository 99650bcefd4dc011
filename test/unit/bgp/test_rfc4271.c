/* Demands of RFC 4271 on what comes from the wire and goes to it, byte by byte: one core between peers
 * that the test plays. docs/bgp.md says which demand is tested where. */
#include "bgpnet.h"
#include "bgp_attr.h"

/* A peer that the test plays. */
struct raw {
	uint32_t peer, conn, as, id;
	struct ip addr;
	uint8_t update[BGP_MSG_MAX]; /* the last one that it was sent, header included */
	size_t update_len;
	uint8_t note[BGP_MSG_MAX]; /* the last NOTIFICATION, the same */
	size_t note_len;
	unsigned updates, keepalives;
	bool closed;
};

static struct bgp *b;
static ts_t now;
static struct raw p[3];
static const struct ip ours = {.family = IP_V4, .b = {10, 0, 0, 9}};
static unsigned routes, logs;

static void note(struct raw *r, const uint8_t *msg, size_t len)
{
	if (msg[18] == MSG_UPDATE) {
		memcpy(r->update, msg, len);
		r->update_len = len;
		r->updates++;
	} else if (msg[18] == MSG_NOTIFICATION) {
		memcpy(r->note, msg, len);
		r->note_len = len;
	} else if (msg[18] == MSG_KEEPALIVE) {
		r->keepalives++;
	}
}

static void drain(void)
{
	struct bgp_act a;

	while (bgp_next(b, &a)) {
		for (size_t k = 0; k < 3; k++) {
			struct raw *r = &p[k];

			if (a.conn == 0 || a.conn != r->conn)
				continue;
			if (a.type == BGP_CLOSE)
				r->closed = true;
			for (size_t i = 0; a.type == BGP_SEND && i < a.len;) {
				size_t n = (size_t)a.buf[i + 16] << 8 | a.buf[i + 17];

				note(r, a.buf + i, n);
				i += n;
			}
		}
		if (a.type == BGP_SEND)
			bgp_written(b, a.conn, a.len, now);
		routes += a.type == BGP_ROUTE && a.attrs;
		logs += a.type == BGP_LOG;
	}
}

static void give(struct raw *r, const uint8_t *msg, size_t len)
{
	bgp_recv(b, r->conn, msg, len, now);
	drain();
}

static void establish(struct raw *r, uint16_t hold)
{
	struct bgp_caps caps = {.families = BGP_FAM(BGP_IPV4), .as4 = true, .as = r->as};
	struct bgp_open o = {.as = r->as, .hold_secs = hold, .id = r->id};
	uint8_t m[256], cb[64];
	struct wr w, cw;

	assert_int_equal(bgp_accepted(b, 1, &r->addr, &ours, now, &r->conn), 0);
	drain();
	wr_init(&cw, cb, sizeof(cb));
	bgp_caps_encode(&cw, &caps);
	wr_init(&w, m, sizeof(m));
	bgp_open_encode(&w, &o, cb, wr_len(&cw));
	bgp_keepalive_encode(&w);
	give(r, m, wr_len(&w));
}

static struct bgp_peer_info info(const struct raw *r)
{
	struct bgp_peer_info i;

	assert_int_equal(bgp_peer_get(b, r->peer, &i), 0);
	return i;
}

static bool resolvable = true;
static bool resolve(void *ctx, uint32_t vni, const struct ip *nh, uint32_t *cost)
{
	*cost = 0;
	return resolvable;
}
static const struct bgp_nexthop_ops resolve_ops = {resolve};

static struct bgp_policy import = {&accept_ops, NULL};

/* We are 65000; peer 0 is 65001 and peer 1 65002 outside, peer 2 is inside, our client. */
static void start(uint16_t hold)
{
	static const uint32_t as[] = {65001, 65002, 65000};
	struct bgp_cfg cfg = {
		.local_as = 65000, .router_id = 0x0a000009, .seed = 1, .nexthop = &resolve_ops};

	now = (ts_t){1000000000};
	b = bgp_new(&cfg, now);
	assert_non_null(b);
	memset(p, 0, sizeof(p));
	routes = logs = 0;
	for (uint32_t k = 0; k < 3; k++) {
		struct bgp_peer_cfg pc = {.vni = 1,
			.remote_as = as[k],
			.families = BGP_FAM(BGP_IPV4),
			.passive = true,
			.rr_client = k == 2,
			.hold_secs = hold,
			.import = import,
			.export = {&accept_ops, NULL}};

		p[k].as = as[k];
		p[k].id = k + 1;
		p[k].addr = pc.remote.ip = ip_v4(0x0a000001u + k);
		assert_int_equal(bgp_peer_add(b, &pc, now, &p[k].peer), 0);
		establish(&p[k], hold ? hold : 90);
		assert_int_equal(info(&p[k]).state, BGP_ESTABLISHED);
	}
}

static void finish(void)
{
	bgp_free(b);
	b = NULL;
}

/* An UPDATE for 192.0.2.0/24 (or @nlri) with these attributes and NLRI withdrawn. */
static void announce(struct raw *r, const uint8_t *attrs, size_t len, const char *gone,
	const uint8_t *nlri, size_t nlri_len)
{
	static const uint8_t usual[] = {24, 192, 0, 2};
	uint8_t m[BGP_MSG_MAX], *at;
	struct wr w;

	wr_init(&w, m, sizeof(m));
	at = bgp_msg_begin(&w, MSG_UPDATE);
	wr_u16(&w, gone ? 4 : 0);
	if (gone)
		wr_copy(&w, usual, 4);
	wr_u16(&w, (uint16_t)len);
	wr_copy(&w, attrs, len);
	wr_copy(&w, nlri ? nlri : usual, nlri ? nlri_len : 4);
	bgp_msg_end(&w, at);
	assert_false(wr_bad(&w));
	give(r, m, wr_len(&w));
}

#define ORIGIN_ 0x40, 1, 1, 0
#define PATH_   0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9 /* 65001 */
#define HOP_    0x40, 3, 4, 10, 0, 0, 1
#define GIVE(r, ...)                                                                               \
	do {                                                                                       \
		const uint8_t attrs_[] = {__VA_ARGS__};                                            \
		announce((r), attrs_, sizeof(attrs_), NULL, NULL, 0);                              \
	} while (0)

/* The attribute @type of the last UPDATE of @r: its first byte, or NULL; *@len of its value. */
static const uint8_t *sent_attr(const struct raw *r, unsigned type, size_t *len)
{
	size_t end, i = 23;

	assert_true(r->update_len >= 23);
	assert_int_equal(r->update[19] << 8 | r->update[20], 0);
	end = 23 + (size_t)(r->update[21] << 8 | r->update[22]);
	while (i < end) {
		const uint8_t *at = r->update + i;
		bool extended = at[0] & AF_EXTENDED;

		*len = extended ? (size_t)at[2] << 8 | at[3] : at[2];
		if (at[1] == type)
			return at;
		i += (extended ? 4 : 3) + *len;
	}
	return NULL;
}

static const uint8_t *value(const uint8_t *at)
{
	return at + (at[0] & AF_EXTENDED ? 4 : 3);
}

static bool has_best(struct bgp_attrs *out)
{
	struct bgp_nlri n = nlri4("192.0.2.0/24");
	struct found f = {.want = &n};

	assert_int_equal(bgp_walk(b, BGP_LOC_RIB, 1, 0, found_fn, &f), 0);
	if (out)
		*out = f.a;
	return f.hit;
}

/* 4.3: the low bits of the flags are zero on the way out and mean nothing on the way in; attributes
 * come in any order (5) and leave in that of their types. */
static void test_flags_and_order(void **state)
{
	size_t end, i;
	unsigned last = 0;

	start(0);
	GIVE(&p[0], 0xcf, 8, 4, 0xfd, 0xe9, 0, 7, 0x4f, 3, 4, 10, 0, 0, 1, 0x40, 2, 6, 2, 1, 0, 0,
		0xfd, 0xe9, 0x45, 1, 1, 0);
	assert_true(has_best(NULL));
	end = 23 + (size_t)(p[1].update[21] << 8 | p[1].update[22]);
	for (i = 23; i < end; i += 3u + p[1].update[i + 2]) {
		const uint8_t *at = p[1].update + i;

		assert_int_equal(at[0] & 0x1f, 0); /* short ones, and low bits */
		assert_true(at[1] > last);
		last = at[1];
		if (at[1] <= AT_NEXT_HOP) /* well-known: transitive, not optional, not partial */
			assert_int_equal(at[0], AF_TRANSITIVE);
	}
	assert_int_equal(last, AT_COMMUNITIES);
	finish();
}

/* 4.3: a prefix in both fields of a message is announced. */
static void test_both_fields(void **state)
{
	static const uint8_t attrs[] = {ORIGIN_, PATH_, HOP_};

	start(0);
	announce(&p[0], attrs, sizeof(attrs), "", NULL, 0);
	assert_true(has_best(NULL));
	announce(&p[0], attrs, sizeof(attrs), "", NULL, 0);
	assert_true(has_best(NULL));
	/* Trailing bits of a prefix mean nothing. */
	announce(&p[0], attrs, sizeof(attrs), NULL, (const uint8_t *)"\x09\x0b\xff", 3);
	assert_int_equal(info(&p[0]).prefixes_received, 2);
	announce(&p[0], attrs, sizeof(attrs), NULL, (const uint8_t *)"\x09\x0b\x80", 3);
	assert_int_equal(info(&p[0]).prefixes_received, 2);
	finish();
}

/* 5: unknown transitive attributes travel, marked as partial; others don't. A partial bit of known
 * ones stays as it is. */
static void test_partial(void **state)
{
	static const struct {
		uint8_t n, b[16];
		int sent; /* flags without the length bit; -1: not at all */
	} rows[] = {
		{5, {0xc0, 99, 2, 1, 2}, 0xe0},
		{5, {0xe0, 99, 2, 1, 2}, 0xe0},
		{5, {0x80, 99, 2, 1, 2}, -1},
		{7, {0xc0, 8, 4, 0, 1, 0, 2}, 0xc0},
		{7, {0xe0, 8, 4, 0, 1, 0, 2}, 0xe0},
		{11, {0xc0, 7, 8, 0, 0, 0, 5, 1, 1, 1, 1}, 0xc0},
		{11, {0xe0, 7, 8, 0, 0, 0, 5, 1, 1, 1, 1}, 0xe0},
		{11, {0xe0, 16, 8, 0, 2, 0, 5, 1, 1, 1, 1}, 0xe0},
		{15, {0xe0, 32, 12, 0, 2, 0, 5, 1, 1, 1, 1, 0, 0, 0, 7}, 0xe0},
		{15, {0xc0, 32, 12, 0, 2, 0, 5, 1, 1, 1, 1, 0, 0, 0, 7}, 0xc0},
		{7, {0xe0, 35, 4, 0, 0, 0xfd, 0xe9}, 0xe0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t attrs[64] = {ORIGIN_, PATH_, HOP_};
		const uint8_t *at;
		size_t len;

		start(0);
		memcpy(attrs + 20, rows[i].b, rows[i].n);
		announce(&p[0], attrs, 20u + rows[i].n, NULL, NULL, 0);
		for (size_t to = 1; to < 3; to++) {
			at = sent_attr(&p[to], rows[i].b[1], &len);
			if (rows[i].sent < 0) {
				assert_null(at);
				continue;
			}
			assert_non_null(at);
			assert_int_equal(at[0], rows[i].sent);
			assert_memory_equal(value(at), rows[i].b + 3, len);
		}
		finish();
	}
}

/* 5.1.2: not touched towards the inside; our number in front towards the outside, in a segment of its
 * own where the first is full; an empty path of our own routes for the inside. */
static void test_as_path(void **state)
{
	uint8_t attrs[2048] = {ORIGIN_, HOP_, 0x50, 2, 3, 0xfe, 2, 255};
	struct bgp_nlri n = nlri4("198.51.100.0/24");
	const uint8_t *at;
	size_t len;

	start(0);
	for (size_t i = 0; i < 255; i++)
		memcpy(attrs + 17 + 4 * i, "\0\0\xfd\xe9", 4);
	announce(&p[0], attrs, 17 + 255 * 4, NULL, NULL, 0);
	assert_int_equal(info(&p[0]).prefixes_accepted, 1);
	at = sent_attr(&p[2], AT_AS_PATH, &len);
	assert_non_null(at);
	assert_int_equal(len, 2 + 255 * 4);
	assert_memory_equal(value(at), attrs + 15, len);
	at = sent_attr(&p[1], AT_AS_PATH, &len);
	assert_non_null(at);
	assert_int_equal(len, 6 + 2 + 255 * 4);
	assert_memory_equal(value(at), "\2\1\0\0\xfd\xe8\2\xff\0\0\xfd\xe9", 12);
	assert_int_equal(bgp_originate(b, 1, &n, NULL, now), 0);
	drain();
	at = sent_attr(&p[2], AT_AS_PATH, &len);
	assert_non_null(at);
	assert_int_equal(len, 0);
	at = sent_attr(&p[1], AT_AS_PATH, &len);
	assert_int_equal(len, 6);
	assert_memory_equal(value(at), "\2\1\0\0\xfd\xe8", 6);
	finish();
}

/* 5.1.3, 6.3: a route with us as its next hop is nobody's, and no reason to end the session; a peer
 * never hears its own address as next hop. */
static void test_next_hop(void **state)
{
	const uint8_t *at;
	size_t len;

	start(0);
	GIVE(&p[0], ORIGIN_, PATH_, 0x40, 3, 4, 10, 0, 0, 9);
	assert_false(has_best(NULL));
	assert_int_equal(info(&p[0]).state, BGP_ESTABLISHED);
	/* It takes the place of one that was good. */
	GIVE(&p[0], ORIGIN_, PATH_, HOP_);
	assert_true(has_best(NULL));
	GIVE(&p[0], ORIGIN_, PATH_, 0x40, 3, 4, 10, 0, 0, 9);
	assert_false(has_best(NULL));
	assert_int_equal(info(&p[0]).own_next_hops, 2);
	/* The next hop is peer 1's own address: it hears ours. */
	GIVE(&p[0], ORIGIN_, PATH_, 0x40, 3, 4, 10, 0, 0, 2);
	at = sent_attr(&p[1], AT_NEXT_HOP, &len);
	assert_non_null(at);
	assert_memory_equal(value(at), ours.b, 4);
	at = sent_attr(&p[2], AT_NEXT_HOP, &len); /* not changed towards the inside */
	assert_memory_equal(value(at), "\x0a\0\0\2", 4);
	finish();
}

static enum bgp_verdict no_med(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	return bgp_edit_no_med(e) == 0 ? BGP_ACCEPT : BGP_REJECT;
}

/* 5.1.4: passed on inside, never to another neighbour; where it is to be removed, that is done before
 * the decision. */
static void test_med(void **state)
{
	static const struct bgp_policy_ops ops = {no_med};
	struct bgp_attrs a;
	size_t len;

	start(0);
	GIVE(&p[0], ORIGIN_, PATH_, HOP_, 0x80, 4, 4, 0, 0, 0, 5);
	assert_null(sent_attr(&p[1], AT_MED, &len));
	assert_non_null(sent_attr(&p[2], AT_MED, &len));
	finish();
	/* Both by 65001: the inside's has the higher MED, but comes from inside. */
	import.ops = &ops;
	start(0);
	import.ops = &accept_ops;
	GIVE(&p[2], ORIGIN_, PATH_, HOP_, 0x40, 5, 4, 0, 0, 0, 100);
	GIVE(&p[0], ORIGIN_, PATH_, HOP_, 0x80, 4, 4, 0, 0, 0, 5);
	assert_true(has_best(&a));
	assert_false(a.has & BGP_HAS_MED);
	assert_null(sent_attr(&p[2], AT_MED, &len));
	assert_int_equal(p[2].updates, 1); /* the outer one won and was told: not MED decided */
	finish();
}

/* 5.1.5: one from outside means nothing; each one to the inside has it, none to the outside. */
static void test_local_pref(void **state)
{
	const uint8_t *at;
	size_t len;

	start(0);
	GIVE(&p[0], ORIGIN_, PATH_, HOP_, 0x40, 5, 4, 0, 0, 9, 9);
	at = sent_attr(&p[2], AT_LOCAL_PREF, &len);
	assert_non_null(at);
	assert_memory_equal(value(at), "\0\0\0\x64", 4);
	assert_null(sent_attr(&p[1], AT_LOCAL_PREF, &len));
	/* The higher one is preferred, before the path's length. */
	GIVE(&p[2], ORIGIN_, 0x40, 2, 10, 2, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0xfd, 0xe9, HOP_, 0x40, 5,
		4, 0, 0, 0, 101);
	at = sent_attr(&p[1], AT_AS_PATH, &len);
	assert_int_equal(len, 14);
	finish();
}

/* 5.1.6: ATOMIC_AGGREGATE stays, and the prefix as long as it is. 5.1.7: the aggregator stays too. */
static void test_atomic(void **state)
{
	size_t len;

	start(0);
	GIVE(&p[0], ORIGIN_, PATH_, HOP_, 0x40, 6, 0, 0xc0, 7, 8, 0, 0, 0, 5, 1, 1, 1, 1);
	for (size_t k = 1; k < 3; k++) {
		assert_non_null(sent_attr(&p[k], AT_ATOMIC, &len));
		assert_non_null(sent_attr(&p[k], AT_AGGREGATOR, &len));
		assert_memory_equal(p[k].update + p[k].update_len - 4, "\x18\xc0\0\2", 4);
	}
	finish();
}

/* 6.1, 6.2, 6.3: what the NOTIFICATION says: subcode and data. The connection is closed after it. */
static void test_notifications(void **state)
{
	static const struct {
		const char *what;
		uint8_t n, b[48]; /* behind a marker of ones */
		uint8_t code, subcode, data_len, data[4];
	} rows[] = {
		{"length too small", 3, {0, 18, 4}, 1, 2, 2, {0, 18}},
		{"length too large", 3, {16, 1, 2}, 1, 2, 2, {16, 1}},
		{"KEEPALIVE of 20", 3, {0, 20, 4}, 1, 2, 2, {0, 20}},
		{"type", 3, {0, 19, 9}, 1, 3, 1, {9}},
		{"UPDATE: lengths past its end", 7, {0, 23, 2, 0, 9, 0, 0}, 3, 1, 0, {0}},
		{"UPDATE: NLRI of 33 bits", 20 + 4 + 5 + 3,
			{0, 48, 2, 0, 0, 0, 20, ORIGIN_, PATH_, HOP_, 33, 1, 2, 3, 4}, 3, 10, 0,
			{0}},
		{"unknown well-known", 10, {0, 26, 2, 0, 0, 0, 3, 0x40, 99, 0}, 3, 2, 3,
			{0x40, 99, 0}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t m[64];

		start(0);
		memset(m, 0xff, 16);
		memcpy(m + 16, rows[i].b, rows[i].n);
		give(&p[0], m, 16u + rows[i].n);
		if (p[0].note_len != 21u + rows[i].data_len || p[0].note[19] != rows[i].code ||
			p[0].note[20] != rows[i].subcode || !p[0].closed ||
			memcmp(p[0].note + 21, rows[i].data, rows[i].data_len) != 0)
			fail_msg("%s: %u/%u with %zu bytes", rows[i].what, p[0].note[19],
				p[0].note[20], p[0].note_len);
		finish();
	}
}

/* As start(), but peer 0 has connected anew and said nothing yet. */
static void start_in_opensent(void)
{
	start(0);
	bgp_closed(b, p[0].conn, now);
	now = ts_add(now, DUR_SEC(300));
	bgp_tick(b, now);
	drain();
	p[0].closed = false;
	p[0].note_len = 0;
	assert_int_equal(bgp_accepted(b, 1, &p[0].addr, &ours, now, &p[0].conn), 0);
	drain();
}

/* 6.2: of an OPEN; a known parameter that can't be read is subcode 0. */
static void test_open_notifications(void **state)
{
	static const struct {
		uint8_t at, n, b[4];
		uint8_t subcode, data_len, data[2];
	} rows[] = {
		{19, 1, {3}, OPEN_BAD_VERSION, 2, {0, 4}},
		{19, 1, {5}, OPEN_BAD_VERSION, 2, {0, 4}},
		{22, 2, {0, 1}, OPEN_BAD_HOLD, 0, {0}},
		{22, 2, {0, 2}, OPEN_BAD_HOLD, 0, {0}},
		{24, 4, {0, 0, 0, 0}, OPEN_BAD_ID, 0, {0}},
		{29, 1, {77}, OPEN_BAD_PARAM, 0, {0}},
		{32, 1, {200}, 0, 0, {0}}, /* a capability longer than its parameter */
		{20, 2, {0xfd, 0xea}, OPEN_BAD_AS, 0, {0}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bgp_open o = {.as = 65001, .hold_secs = 90, .id = 1};
		uint8_t m[256], cb[64];
		struct bgp_caps caps = {.families = BGP_FAM(BGP_IPV4)};
		struct wr w, cw;

		start_in_opensent();
		wr_init(&cw, cb, sizeof(cb));
		bgp_caps_encode(&cw, &caps);
		wr_init(&w, m, sizeof(m));
		bgp_open_encode(&w, &o, cb, wr_len(&cw));
		memcpy(m + rows[i].at, rows[i].b, rows[i].n);
		give(&p[0], m, wr_len(&w));
		assert_true(p[0].closed);
		assert_true(p[0].note_len >= 21u + rows[i].data_len);
		assert_int_equal(p[0].note[19], NOTIFY_OPEN);
		if (p[0].note[20] != rows[i].subcode)
			fail_msg("row %zu: %u", i, p[0].note[20]);
		assert_memory_equal(p[0].note + 21, rows[i].data, rows[i].data_len);
		finish();
	}
}

/* RFC 5492 5: none of the families that it offers is ours. The NOTIFICATION holds ours, and the operator is
 * told what it offers and what to do. */
static void test_offer(void **state)
{
#define MP(afi, safi) 1, 4, 0, afi, 0, safi
	static const struct {
		uint8_t n, caps[12];
		const char *word;
	} rows[] = {
		{6, {MP(25, 70)}, "EVPN (RFC 7432) is not spoken; let "},
		{6, {MP(1, 133)}, "flowspec (RFC 8955) is not spoken; let "},
		{6, {MP(2, 134)}, "flowspec (RFC 8955) is not spoken; let "},
		{12, {MP(25, 70), MP(1, 133)}, "EVPN (RFC 7432) and flowspec (RFC 8955) are not "},
		{6, {MP(1, 2)}, "no family that it offers is spoken"},
		{12, {MP(2, 1), MP(25, 70)}, "this neighbour's `families`"},
		{6, {MP(25, 65)}, "no family that it offers is spoken"}, /* VPLS */
		{12, {MP(25, 70), MP(1, 1)}, NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static const uint8_t ours_only[] = {MP(1, 1)};
		struct bgp_open o = {.as = 65001, .hold_secs = 90, .id = 1};
		uint8_t m[256];
		struct wr w;

		start_in_opensent();
		wr_init(&w, m, sizeof(m));
		bgp_open_encode(&w, &o, rows[i].caps, rows[i].n);
		give(&p[0], m, wr_len(&w));
		assert_int_equal(p[0].closed, rows[i].word != NULL);
		if (rows[i].word) {
			assert_int_equal(p[0].note[19], NOTIFY_OPEN);
			assert_int_equal(p[0].note[20], OPEN_BAD_CAP);
			assert_int_equal(p[0].note_len, 21 + sizeof(ours_only));
			assert_memory_equal(p[0].note + 21, ours_only, sizeof(ours_only));
			if (!strstr(info(&p[0]).last_error, rows[i].word))
				fail_msg("row %zu: %s", i, info(&p[0]).last_error);
		}
		finish();
	}
}

/* 6.3: a path that does not begin with the neighbour (RFC 7606 2 makes a withdrawal of it). */
static void test_first_as(void **state)
{
	start(0);
	GIVE(&p[0], ORIGIN_, PATH_, HOP_);
	assert_true(has_best(NULL));
	GIVE(&p[0], ORIGIN_, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xea, HOP_);
	assert_false(has_best(NULL));
	assert_int_equal(info(&p[0]).state, BGP_ESTABLISHED);
	finish();
}

/* 6.3: a prefix that can't be is told in the log and ignored; its neighbours are used. An UPDATE
 * without NLRI is valid. */
static void test_martian(void **state)
{
	static const uint8_t attrs[] = {ORIGIN_, PATH_, HOP_};
	static const uint8_t nlri[] = {8, 224, 24, 192, 0, 2, 8, 127};

	start(0);
	announce(&p[0], attrs, sizeof(attrs), NULL, nlri, sizeof(nlri));
	assert_int_equal(info(&p[0]).state, BGP_ESTABLISHED);
	assert_int_equal(info(&p[0]).prefixes_received, 1);
	assert_true(has_best(NULL));
	assert_true(logs > 0);
	assert_int_equal(info(&p[0]).martians, 2);
	announce(&p[0], attrs, sizeof(attrs), NULL, nlri, 0);
	assert_int_equal(info(&p[0]).state, BGP_ESTABLISHED);
	assert_int_equal(info(&p[0]).malformed_resets, 0);
	announce(&p[0], attrs, sizeof(attrs), NULL, (const uint8_t[]){33, 1, 2, 3, 4, 5}, 6);
	assert_true(info(&p[0]).state < BGP_ESTABLISHED);
	assert_int_equal(info(&p[0]).malformed_resets, 1);
	finish();
}

/* 6.4: what is wrong in a NOTIFICATION is not answered, and the connection ends all the same. */
static void test_bad_notification(void **state)
{
	static const uint8_t codes[][2] = {{99, 1}, {3, 99}, {0, 0}};

	for (size_t i = 0; i < 3; i++) {
		uint8_t m[21];

		start(0);
		memset(m, 0xff, 16);
		m[16] = 0, m[17] = 21, m[18] = MSG_NOTIFICATION;
		memcpy(m + 19, codes[i], 2);
		give(&p[0], m, sizeof(m));
		assert_int_equal(p[0].note_len, 0);
		assert_true(p[0].closed);
		assert_true(info(&p[0]).last_error[0] != '\0');
		finish();
	}
}

/* 4.4: at the least hold time, no more than one in a second. */
static void test_keepalive_rate(void **state)
{
	ts_t end;
	unsigned at;

	start(3);
	assert_int_equal(info(&p[0]).hold_secs, 3);
	at = p[0].keepalives;
	end = ts_add(now, DUR_SEC(120));
	while (ts_before(bgp_deadline(b), end)) {
		uint8_t m[32];
		struct wr w;

		now = bgp_deadline(b);
		bgp_tick(b, now);
		drain();
		for (size_t k = 0; k < 3; k++) {
			wr_init(&w, m, sizeof(m));
			bgp_keepalive_encode(&w);
			give(&p[k], m, wr_len(&w));
		}
	}
	assert_int_equal(info(&p[0]).state, BGP_ESTABLISHED);
	assert_in_range(p[0].keepalives - at, 100, 121);
	finish();
}

/* 9.1.2.1: a route whose next hop leads nowhere is not used, and is once it does. */
static void test_resolvable(void **state)
{
	resolvable = false;
	start(0);
	GIVE(&p[0], ORIGIN_, PATH_, HOP_);
	assert_false(has_best(NULL));
	assert_int_equal(p[1].updates, 0);
	resolvable = true;
	bgp_nexthops_changed(b, 1, now);
	drain();
	assert_true(has_best(NULL));
	resolvable = false;
	bgp_nexthops_changed(b, 1, now);
	drain();
	resolvable = true;
	assert_false(has_best(NULL));
	finish();
}

/* 9.1.4: of routes that overlap, both are used and told. 9.2: from inside nothing goes inside but to
 * clients and theirs (RFC 4456). */
static void test_overlap(void **state)
{
	static const uint8_t attrs[] = {ORIGIN_, PATH_, HOP_};
	static const uint8_t nlri[] = {16, 192, 0, 24, 192, 0, 2};

	start(0);
	announce(&p[0], attrs, sizeof(attrs), NULL, nlri, sizeof(nlri));
	assert_int_equal(routes, 2);
	assert_int_equal(info(&p[1]).prefixes_announced, 2);
	assert_int_equal(info(&p[2]).prefixes_announced, 2);
	finish();
}

/* 6: when the connection ends, all that came by it goes, and others hear of that. */
static void test_closed(void **state)
{
	unsigned before;

	start(0);
	GIVE(&p[0], ORIGIN_, PATH_, HOP_);
	assert_true(has_best(NULL));
	before = p[1].updates;
	bgp_closed(b, p[0].conn, now);
	drain();
	assert_false(has_best(NULL));
	assert_int_equal(p[1].updates, before + 1);
	assert_memory_equal(p[1].update + 19, "\0\4\x18\xc0\0\2\0\0", 8);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags_and_order),
		cmocka_unit_test(test_both_fields),
		cmocka_unit_test(test_partial),
		cmocka_unit_test(test_as_path),
		cmocka_unit_test(test_next_hop),
		cmocka_unit_test(test_med),
		cmocka_unit_test(test_local_pref),
		cmocka_unit_test(test_atomic),
		cmocka_unit_test(test_notifications),
		cmocka_unit_test(test_open_notifications),
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_first_as),
		cmocka_unit_test(test_martian),
		cmocka_unit_test(test_bad_notification),
		cmocka_unit_test(test_keepalive_rate),
		cmocka_unit_test(test_resolvable),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_closed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
