/* MRT records read back by a reader of the test's own, field by field (RFC 6396, 8050). */
#include "bgpnet.h"
#include "bgp_watch.h"
#include "bgp_update.h"
#include "fault.h"
#include "mrt.h"

#define UNIX_SECS 1700000000u

static struct net_sim s;
static uint8_t buf[1024 * 1024];

/* --- the reader --- */

struct record {
	uint32_t secs;
	uint16_t type, subtype;
	struct rd r; /* the body */
};

static bool next_record(struct rd *all, struct record *out)
{
	if (rd_left(all) == 0)
		return false;
	out->secs = rd_u32(all);
	out->type = rd_u16(all);
	out->subtype = rd_u16(all);
	out->r = rd_sub(all, rd_u32(all));
	assert_false(rd_bad(all));
	return true;
}

static struct ip take_ip(struct rd *r, bool v6)
{
	uint8_t b[16];

	rd_copy(r, b, v6 ? 16 : 4);
	return v6 ? ip_v6_bytes(b) : ip_v4_bytes(b);
}

struct index {
	size_t n;
	struct ip ip[8];
	uint32_t as[8], id[8];
};

static void take_index(struct record *rec, struct index *x)
{
	struct rd *r = &rec->r;
	uint8_t name[16] = {0};
	size_t len;

	assert_int_equal(rec->type, MRT_TABLE_DUMP_V2);
	assert_int_equal(rec->subtype, MRT_PEER_INDEX_TABLE);
	assert_int_equal(rec->secs, UNIX_SECS);
	assert_int_equal(rd_u32(r), 0x0a0000fe);
	len = rd_u16(r);
	assert_int_equal(len, 4);
	rd_copy(r, name, len);
	assert_string_equal((char *)name, "view");
	x->n = rd_u16(r);
	assert_true(x->n <= 8);
	for (size_t i = 0; i < x->n; i++) {
		unsigned type = rd_u8(r);

		assert_true(type & 2); /* a 4-octet AS number */
		x->id[i] = rd_u32(r);
		x->ip[i] = take_ip(r, type & 1);
		x->as[i] = rd_u32(r);
	}
	assert_true(rd_done(r));
}

/* One entry's attributes, as an UPDATE would have them: the short MP_REACH is put aside. */
struct path {
	unsigned peer;
	uint32_t since, id;
	struct ip next_hop;
	char text[64];
	struct bgp_attr_in in;
};

static void take_attrs(struct rd *r, struct path *p)
{
	static const struct bgp_from from = {.ebgp = false, .as4 = true, .families = 3};
	uint8_t plain[4096];
	struct wr w;

	wr_init(&w, plain, sizeof(plain));
	while (rd_left(r)) {
		const uint8_t *at = r->p;
		unsigned flags = rd_u8(r), type = rd_u8(r);
		size_t len = flags & AF_EXTENDED ? rd_u16(r) : rd_u8(r);

		if (type == AT_MP_REACH) {
			struct rd mp = rd_sub(r, len);
			size_t n = rd_u8(&mp);

			assert_true(n == 16 || n == 32);
			p->next_hop = take_ip(&mp, true);
			(void)rd_take(&mp, n - 16);
			assert_true(rd_done(&mp));
			continue;
		}
		(void)rd_take(r, len);
		assert_false(rd_bad(r));
		wr_copy(&w, at, (size_t)(r->p - at));
	}
	bgp_attrs_decode(plain, wr_len(&w), &from, &p->in);
	if (p->in.a.next_hop.family != IP_NONE)
		p->next_hop = p->in.a.next_hop;
	bgp_attrs_path_fmt(&p->in.a, p->text, sizeof(p->text));
}

/* A RIB record; returns the entries. */
static unsigned take_rib(struct record *rec, uint32_t *sequence, struct pfx *pfx, struct path *p)
{
	bool v6 = rec->subtype == MRT_RIB_IPV6_UNICAST ||
		  rec->subtype == MRT_RIB_IPV6_UNICAST_ADDPATH;
	bool ids = rec->subtype >= MRT_RIB_IPV4_UNICAST_ADDPATH;
	struct rd *r = &rec->r;
	uint8_t b[16] = {0};
	struct ip ip;
	unsigned len, n;

	*sequence = rd_u32(r);
	len = rd_u8(r);
	rd_copy(r, b, (len + 7) / 8);
	ip = v6 ? ip_v6_bytes(b) : ip_v4_bytes(b);
	assert_int_equal(pfx_make(&ip, len, pfx), 0);
	n = rd_u16(r);
	for (unsigned i = 0; i < n; i++) {
		struct rd attrs;

		memset(&p[i], 0, sizeof(p[i]));
		p[i].peer = rd_u16(r);
		p[i].since = rd_u32(r);
		p[i].id = ids ? rd_u32(r) : 0;
		attrs = rd_sub(r, rd_u16(r));
		take_attrs(&attrs, &p[i]);
	}
	assert_true(rd_done(r));
	return n;
}

/* --- the table --- */

static const struct mrt_self self = {.local_as = 65000, .router_id = 0x0a0000fe};
static struct path paths[8];

/* Node 0 hears of node 1 (65001) and 2 (65002); v6 too. */
static void start(bool add_path)
{
	struct bgp_peer_cfg c;

	net_init(&s, 1);
	net_node(&s, 0, 65000, 0x0a0000fe);
	net_node(&s, 1, 65001, 1);
	net_node(&s, 2, 65002, 2);
	for (int i = 1; i <= 2; i++) {
		uint32_t as = 65000 + (uint32_t)i;

		c = net_peer_cfg(&s, i, as);
		c.families = BGP_FAM(BGP_IPV4) | BGP_FAM(BGP_IPV6);
		c.add_path_rx = add_path;
		net_add(&s, 0, &c);
		c = net_peer_cfg(&s, 0, 65000);
		c.families = BGP_FAM(BGP_IPV4) | BGP_FAM(BGP_IPV6);
		c.add_path_tx = add_path ? 2 : 0;
		assert_int_equal(ip_parse("2001:db8::1", &c.next_hop[1]), 0);
		net_add(&s, i, &c);
	}
	originate(&s, 1, "192.0.2.0/24");
	originate(&s, 2, "192.0.2.0/24");
	originate(&s, 2, "2001:db8:7::/48");
	originate(&s, 0, "198.51.100.128/25");
	net_run(&s, 5);
}

static size_t dump_all(struct mrt_dump *d, size_t part)
{
	size_t len = 0;
	struct wr w;
	bool more;

	do {
		assert_true(len + part <= sizeof(buf));
		wr_init(&w, buf + len, part);
		more = mrt_dump_next(d, s.n[0].b, &w);
		assert_false(wr_bad(&w));
		len += wr_len(&w);
	} while (more);
	return len;
}

static void test_table(void **state)
{
	struct mrt_dump_info info;
	struct mrt_dump *d;
	struct record rec;
	struct index x;
	struct pfx pfx;
	char text[PFX_STRLEN];
	uint32_t sequence, seen = 0;
	struct rd all;

	start(false);
	d = mrt_dump_new(s.n[0].b, &self, 1, "view", UNIX_SECS, s.now);
	assert_non_null(d);
	rd_init(&all, buf, dump_all(d, MRT_DUMP_ROOM));
	assert_true(next_record(&all, &rec));
	take_index(&rec, &x);
	assert_int_equal(x.n, 3);
	assert_int_equal(x.as[0], 65000);
	assert_int_equal(x.as[1], 65001);
	assert_int_equal(x.id[2], 2);
	assert_true(ip_eq(&x.ip[2], &s.n[2].addr));
	for (uint32_t k = 0; next_record(&all, &rec); k++) {
		unsigned n = take_rib(&rec, &sequence, &pfx, paths);

		assert_int_equal(sequence, k);
		pfx_fmt(&pfx, text);
		if (strcmp(text, "192.0.2.0/24") == 0) {
			assert_int_equal(rec.subtype, MRT_RIB_IPV4_UNICAST);
			assert_int_equal(n, 2);
			for (unsigned i = 0; i < 2; i++) {
				assert_string_equal(
					paths[i].text, paths[i].peer == 1 ? "65001" : "65002");
				assert_true(ip_eq(&paths[i].next_hop, &s.n[paths[i].peer].addr));
				assert_in_range(paths[i].since, UNIX_SECS - 5, UNIX_SECS);
			}
			seen |= 1;
		} else if (strcmp(text, "2001:db8:7::/48") == 0) {
			struct ip nh;

			assert_int_equal(ip_parse("2001:db8::1", &nh), 0);
			assert_int_equal(rec.subtype, MRT_RIB_IPV6_UNICAST);
			assert_int_equal(n, 1);
			assert_true(ip_eq(&paths[0].next_hop, &nh));
			seen |= 2;
		} else {
			assert_string_equal(text, "198.51.100.128/25");
			assert_int_equal(n, 1);
			assert_int_equal(paths[0].peer, 0);
			assert_int_equal(paths[0].since, UNIX_SECS);
			seen |= 4;
		}
	}
	assert_int_equal(seen, 7);
	mrt_dump_info(d, &info);
	assert_int_equal(info.prefixes, 3);
	assert_int_equal(info.done, 3);
	assert_int_equal(info.paths, 4);
	mrt_dump_free(d);
	net_free(&s);
}

static void test_add_path(void **state)
{
	struct mrt_dump *d;
	struct record rec;
	struct pfx pfx;
	uint32_t sequence, found = 0;
	struct rd all;

	start(true);
	d = mrt_dump_new(s.n[0].b, &self, 1, "view", UNIX_SECS, s.now);
	assert_non_null(d);
	rd_init(&all, buf, dump_all(d, MRT_DUMP_ROOM));
	assert_true(next_record(&all, &rec));
	while (next_record(&all, &rec)) {
		unsigned n = take_rib(&rec, &sequence, &pfx, paths);

		if (rec.subtype != MRT_RIB_IPV4_UNICAST_ADDPATH)
			continue;
		assert_int_equal(n, 2);
		assert_true(paths[0].id != 0 && paths[1].id != 0);
		found++;
	}
	assert_int_equal(found, 1);
	mrt_dump_free(d);
	net_free(&s);
}

/* Parts end between records, whatever changes between them: what went is left out, what came is not
 * there, and all else is there once. */
static void test_parts(void **state)
{
	bool seen[1500] = {false};
	struct mrt_dump *d;
	size_t len = 0;
	struct record rec;
	struct pfx pfx;
	uint32_t sequence;
	struct rd all;
	struct wr w;
	unsigned parts = 0, records = 0;
	bool more;

	start(false);
	for (uint32_t i = 0; i < 1000; i++) {
		struct bgp_nlri n = {
			.family = BGP_IPV4, .pfx = {.ip = ip_v4(0x0b000000u | i << 8), .len = 24}};

		assert_int_equal(bgp_originate(s.n[1].b, 1, &n, NULL, s.now), 0);
	}
	net_run(&s, 5);
	d = mrt_dump_new(s.n[0].b, &self, 1, "view", UNIX_SECS, s.now);
	do {
		wr_init(&w, buf + len, 3000);
		more = mrt_dump_next(d, s.n[0].b, &w);
		assert_false(wr_bad(&w));
		len += wr_len(&w);
		for (uint32_t i = 0; i < 20; i++) {
			struct bgp_nlri n = {.family = BGP_IPV4};

			n.pfx = (struct pfx){
				.ip = ip_v4(0x0b000000u | (i + parts * 20) % 500 << 8), .len = 24};
			(void)bgp_withdraw(s.n[1].b, 1, &n, s.now);
			n.pfx.ip = ip_v4(0x0b000000u | (1000 + i) << 8);
			(void)bgp_originate(s.n[1].b, 1, &n, NULL, s.now);
		}
		net_settle(&s);
		parts++;
	} while (more);
	assert_true(parts > 5);
	mrt_dump_free(d);
	rd_init(&all, buf, len);
	assert_true(next_record(&all, &rec));
	while (next_record(&all, &rec)) {
		unsigned n = take_rib(&rec, &sequence, &pfx, paths);
		unsigned i = (unsigned)pfx.ip.b[1] << 16 | (unsigned)pfx.ip.b[2] << 8;

		assert_true(n > 0);
		assert_int_equal(sequence, records++);
		if (pfx.ip.family != IP_V4 || pfx.ip.b[0] != 11)
			continue;
		i >>= 8;
		assert_true(i < 1000 && !seen[i]);
		seen[i] = true;
	}
	for (unsigned i = 500; i < 1000; i++)
		assert_true(seen[i]);
	net_free(&s);
}

/* A prefix whose paths are too many for the room is left out and counted, and nothing else is lost. */
static void test_no_room(void **state)
{
	struct mrt_dump_info info;
	struct mrt_dump *d;
	struct wr w;

	start(false);
	d = mrt_dump_new(s.n[0].b, &self, 1, "view", UNIX_SECS, s.now);
	wr_init(&w, buf, 90); /* the index */
	while (mrt_dump_next(d, s.n[0].b, &w))
		wr_init(&w, buf, 60); /* too small for two paths, and for an IPv6 one */
	mrt_dump_info(d, &info);
	assert_int_equal(info.done, 3);
	assert_true(info.left_out >= 1 && info.left_out < 3);
	assert_int_equal(info.paths, 3 - info.left_out);
	mrt_dump_free(d);
	net_free(&s);
}

static void test_nomem(void **state)
{
	start(false);
	FAULT_EACH(n)
	{
		mrt_dump_free(mrt_dump_new(s.n[0].b, &self, 1, "view", UNIX_SECS, s.now));
	}
	net_free(&s);
}

/* --- messages --- */

struct tapped {
	struct wr w;
	unsigned sent, got;
};

static void on_message(
	void *ctx, uint32_t peer, const struct ip *local, bool sent, const uint8_t *msg, size_t len)
{
	struct tapped *t = ctx;
	struct bgp_peer_info i;

	assert_int_equal(bgp_peer_get(s.n[0].b, peer, &i), 0);
	mrt_message(&t->w, &i, local, 65000, sent, msg, len, UNIX_SECS * 1000000ull + 42);
	t->sent += sent;
	t->got += !sent;
}

static void test_messages(void **state)
{
	unsigned updates = 0, sent = 0, got = 0;
	struct tapped t = {.sent = 0};
	struct bgp_peer_info i;
	struct record rec;
	uint64_t rx, tx;
	struct rd all;

	start(false);
	i = net_info(&s, 0, 1);
	rx = i.rx_msgs + net_info(&s, 0, 2).rx_msgs;
	tx = i.tx_msgs + net_info(&s, 0, 2).tx_msgs;
	wr_init(&t.w, buf, sizeof(buf));
	bgp_tap(s.n[0].b, on_message, &t);
	originate(&s, 1, "203.0.113.0/24");
	originate(&s, 0, "203.0.114.0/24");
	net_run(&s, 60);
	bgp_tap(s.n[0].b, NULL, NULL);
	/* All of them, and none twice. */
	assert_int_equal(t.got, net_info(&s, 0, 1).rx_msgs + net_info(&s, 0, 2).rx_msgs - rx);
	assert_int_equal(t.sent, net_info(&s, 0, 1).tx_msgs + net_info(&s, 0, 2).tx_msgs - tx);
	assert_true(t.got >= 3 && t.sent >= 4);
	rd_init(&all, buf, wr_len(&t.w));
	while (next_record(&all, &rec)) {
		struct rd *r = &rec.r;
		struct bgp_error e;
		struct ip remote, local;
		uint8_t type;
		uint32_t as;

		assert_int_equal(rec.type, MRT_BGP4MP_ET);
		assert_int_equal(rd_u32(r), 42);
		as = rd_u32(r);
		assert_int_equal(rd_u32(r), 65000);
		assert_int_equal(rd_u16(r), 0);
		assert_int_equal(rd_u16(r), 1);
		remote = take_ip(r, false);
		local = take_ip(r, false);
		assert_true(ip_eq(&remote, &s.n[as - 65000].addr));
		assert_true(ip_eq(&local, &s.n[0].addr));
		assert_int_equal(
			bgp_msg_peek(r->p, rd_left(r), BGP_MSG_MAX, &type, &e), rd_left(r));
		updates += type == MSG_UPDATE;
		sent += rec.subtype == MRT_MESSAGE_AS4_LOCAL;
		got += rec.subtype == MRT_MESSAGE_AS4;
	}
	assert_int_equal(sent, t.sent);
	assert_int_equal(got, t.got);
	assert_true(updates >= 4);
	net_free(&s);
}

static void test_message_forms(void **state)
{
	static const uint8_t msg[19] = {0xff};
	static const struct {
		enum bgp_state state;
		bool as4, sent;
		uint32_t in, out;
		unsigned subtype;
	} rows[] = {
		{BGP_OPENSENT, false, true, 0, 0, MRT_MESSAGE_AS4_LOCAL},
		{BGP_ESTABLISHED, false, false, 0, 0, MRT_MESSAGE},
		{BGP_ESTABLISHED, false, true, 0, 0, MRT_MESSAGE_LOCAL},
		{BGP_ESTABLISHED, true, false, 1, 0, MRT_MESSAGE_AS4_ADDPATH},
		{BGP_ESTABLISHED, true, true, 1, 0, MRT_MESSAGE_AS4_LOCAL},
		{BGP_ESTABLISHED, true, true, 0, 1, MRT_MESSAGE_AS4_LOCAL_ADDPATH},
		{BGP_ESTABLISHED, false, false, 1, 1, MRT_MESSAGE_ADDPATH},
		{BGP_ESTABLISHED, false, true, 1, 1, MRT_MESSAGE_LOCAL_ADDPATH},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bgp_peer_info p = {.remote_as = 4200000000u,
			.state = rows[i].state,
			.as4 = rows[i].as4,
			.paths_in = rows[i].in,
			.paths_out = rows[i].out};
		struct ip local = {.family = IP_NONE};
		struct record rec;
		struct rd all;
		struct wr w;
		bool wide = rows[i].as4 || rows[i].state != BGP_ESTABLISHED;

		assert_int_equal(ip_parse("2001:db8::9", &p.remote.ip), 0);
		wr_init(&w, buf, sizeof(buf));
		mrt_message(&w, &p, &local, 65000, rows[i].sent, msg, sizeof(msg), 5);
		rd_init(&all, buf, wr_len(&w));
		assert_true(next_record(&all, &rec));
		assert_int_equal(rec.subtype, rows[i].subtype);
		assert_int_equal(rd_u32(&rec.r), 5);
		if (wide) {
			assert_int_equal(rd_u32(&rec.r), 4200000000u);
			assert_int_equal(rd_u32(&rec.r), 65000);
		} else {
			assert_int_equal(rd_u16(&rec.r), BGP_AS_TRANS);
			assert_int_equal(rd_u16(&rec.r), 65000);
		}
		(void)rd_u16(&rec.r);
		assert_int_equal(rd_u16(&rec.r), 2);
		(void)rd_take(&rec.r, 32);
		assert_int_equal(rd_left(&rec.r), sizeof(msg));
		/* No room: nothing is written, at any length. */
		for (size_t cap = 0; cap < wr_len(&w); cap++) {
			struct wr small;

			wr_init(&small, buf + 4096, cap);
			mrt_message(&small, &p, &local, 65000, rows[i].sent, msg, sizeof(msg), 5);
			assert_true(wr_bad(&small));
			assert_int_equal(wr_len(&small), 0);
		}
	}
}

static void test_states(void **state)
{
	struct bgp_peer_info p = {.remote_as = 65001, .remote = {.ip = ip_v4(0x0a000002)}};
	struct ip local = ip_v4(0x0a000001);
	struct record rec;
	struct rd all;
	struct wr w;

	wr_init(&w, buf, sizeof(buf));
	mrt_state(&w, &p, &local, 65000, BGP_OPENCONFIRM, BGP_ESTABLISHED, 1000001);
	rd_init(&all, buf, wr_len(&w));
	assert_true(next_record(&all, &rec));
	assert_int_equal(rec.secs, 1);
	assert_int_equal(rec.subtype, MRT_STATE_CHANGE_AS4);
	assert_int_equal(rd_u32(&rec.r), 1);
	assert_non_null(rd_take(&rec.r, 4 + 4 + 2 + 2 + 4 + 4));
	assert_int_equal(rd_u16(&rec.r), 5);
	assert_int_equal(rd_u16(&rec.r), 6);
	assert_true(rd_done(&rec.r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_add_path),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_nomem),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_message_forms),
		cmocka_unit_test(test_states),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
