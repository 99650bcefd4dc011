/* Messages and attributes: what must be read, what must be refused, and how (RFC 7606 by table). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "weft/err.h"
#include "bgp_update.h"

static uint8_t buf[BGP_MSG_MAX];
static struct bgp_update u;

static size_t make_open(size_t caps_len, const uint8_t *caps)
{
	struct bgp_open o = {.as = 4200000000u, .hold_secs = 90, .id = 0x0a000001};
	struct wr w;

	wr_init(&w, buf, sizeof(buf));
	bgp_open_encode(&w, &o, caps, caps_len);
	assert_false(wr_bad(&w));
	return wr_len(&w);
}

static void test_open(void **state)
{
	struct bgp_caps c = {.families = 15,
		.refresh = true,
		.enhanced_refresh = true,
		.as4 = true,
		.as = 4200000000u};
	uint8_t caps[64], many[1024], type;
	struct bgp_error e;
	struct bgp_open o;
	size_t len, n = 0;
	struct wr w;

	wr_init(&w, caps, sizeof(caps));
	bgp_caps_encode(&w, &c);
	len = make_open(wr_len(&w), caps);
	assert_int_equal(bgp_msg_peek(buf, len, BGP_MSG_MAX, &type, &e), len);
	assert_int_equal(bgp_open_decode(buf + 19, len - 19, &o, &e), 0);
	assert_int_equal(o.as, 4200000000u);
	assert_int_equal(o.as2, BGP_AS_TRANS);
	assert_int_equal(o.caps.families, 15);
	assert_true(o.caps.refresh && o.caps.enhanced_refresh && o.caps.as4);
	for (size_t i = 0; i < len - 19; i++)
		assert_int_equal(bgp_open_decode(buf + 19, i, &o, &e), ERR_MALFORMED);
	for (size_t i = 0; i < 8 * (len - 19); i++) {
		buf[19 + i / 8] ^= (uint8_t)(1u << i % 8);
		if (bgp_open_decode(buf + 19, len - 19, &o, &e) < 0)
			assert_int_equal(e.code, NOTIFY_OPEN);
		buf[19 + i / 8] ^= (uint8_t)(1u << i % 8);
	}
	/* RFC 9072: more capabilities than the short form holds; unknown ones are skipped. */
	while (n + 40 < 600) {
		many[n] = 200;
		many[n + 1] = 30;
		memset(many + n + 2, 7, 30);
		n += 32;
	}
	memcpy(many + n, caps, wr_len(&w));
	len = make_open(n + wr_len(&w), many);
	assert_int_equal(buf[28], 255);
	assert_int_equal(bgp_open_decode(buf + 19, len - 19, &o, &e), 0);
	assert_int_equal(o.caps.families, 15);
	for (size_t i = 0; i < len - 19; i++)
		assert_int_equal(bgp_open_decode(buf + 19, i, &o, &e), ERR_MALFORMED);
}

static void test_open_refused(void **state)
{
	static const struct {
		size_t at, n;
		uint8_t bytes[4];
		int subcode;
	} rows[] = {
		{0, 1, {3}, OPEN_BAD_VERSION},                                    /* RFC 4271 6.2 */
		{1, 2, {0, 0}, OPEN_BAD_AS},                                      /* RFC 7607 */
		{3, 2, {0, 1}, OPEN_BAD_HOLD},                                    /* RFC 4271 6.2 */
		{3, 2, {0, 2}, OPEN_BAD_HOLD}, {5, 4, {0, 0, 0, 0}, OPEN_BAD_ID}, /* RFC 6286 2.2 */
		{10, 1, {1}, OPEN_BAD_PARAM},       /* authentication: long gone */
		{14, 4, {0, 0, 0, 0}, OPEN_BAD_AS}, /* 4-octet AS 0 */
	};
	static const uint8_t caps[] = {65, 4, 0, 1, 0, 1};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bgp_error e;
		struct bgp_open o;
		size_t len = make_open(sizeof(caps), caps);

		memcpy(buf + 19 + rows[i].at, rows[i].bytes, rows[i].n);
		assert_int_equal(bgp_open_decode(buf + 19, len - 19, &o, &e), ERR_MALFORMED);
		assert_int_equal(e.code, NOTIFY_OPEN);
		assert_int_equal(e.subcode, rows[i].subcode);
	}
}

static void test_header(void **state)
{
	static const struct {
		uint8_t len_hi, len_lo, type;
		int subcode; /* 0: fine */
	} rows[] = {
		{0, 19, MSG_KEEPALIVE, 0},
		{0, 20, MSG_KEEPALIVE, HDR_BAD_LEN},
		{0, 18, MSG_UPDATE, HDR_BAD_LEN},
		{0, 22, MSG_UPDATE, HDR_BAD_LEN},
		{0, 23, MSG_UPDATE, 0},
		{0, 28, MSG_OPEN, HDR_BAD_LEN},
		{0, 29, MSG_OPEN, 0},
		{0, 20, MSG_NOTIFICATION, HDR_BAD_LEN},
		{16, 0, MSG_UPDATE, 0},
		{16, 1, MSG_UPDATE, HDR_BAD_LEN},
		{0, 19, 0, HDR_BAD_TYPE},
		{0, 19, 6, HDR_BAD_TYPE},
	};
	struct bgp_error e;
	uint8_t type;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int n;

		memset(buf, 0xff, 16);
		buf[16] = rows[i].len_hi, buf[17] = rows[i].len_lo, buf[18] = rows[i].type;
		n = bgp_msg_peek(buf, 19, BGP_MSG_MAX, &type, &e);
		if (!rows[i].subcode) {
			assert_int_equal(n, rows[i].len_hi << 8 | rows[i].len_lo);
			continue;
		}
		assert_int_equal(n, ERR_MALFORMED);
		assert_int_equal(e.code, NOTIFY_HEADER);
		assert_int_equal(e.subcode, rows[i].subcode);
		assert_int_equal(bgp_msg_peek(buf, 18, BGP_MSG_MAX, &type, &e), ERR_TRUNCATED);
	}
	for (int i = 0; i < 128; i++) {
		memset(buf, 0xff, 16);
		buf[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(bgp_msg_peek(buf, 19, BGP_MSG_MAX, &type, &e), ERR_MALFORMED);
		assert_int_equal(e.subcode, HDR_NOT_SYNC);
	}
}

/* A valid UPDATE body with one attribute put in place of, or besides, the usual ones. */
static size_t body(const uint8_t *attr, size_t len, int replaces, bool nlri)
{
	static const struct {
		uint8_t type;
		uint8_t n, b[12];
	} usual[] = {
		{AT_ORIGIN, 4, {0x40, 1, 1, 0}},
		{AT_AS_PATH, 9, {0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9}},
		{AT_NEXT_HOP, 7, {0x40, 3, 4, 10, 0, 0, 1}},
	};
	struct wr w;
	size_t attrs;

	wr_init(&w, buf, sizeof(buf));
	wr_u16(&w, 0);
	wr_u16(&w, 0);
	for (size_t i = 0; i < 3; i++)
		if (usual[i].type != replaces)
			wr_copy(&w, usual[i].b, usual[i].n);
	wr_copy(&w, attr, len);
	attrs = wr_len(&w) - 4;
	buf[2] = (uint8_t)(attrs >> 8), buf[3] = (uint8_t)attrs;
	if (nlri)
		wr_copy(&w, "\x18\xc0\x00\x02", 4);
	return wr_len(&w);
}

#define BOTH 3
#define EBGP 1
#define IBGP 2
static void test_7606(void **state)
{
	static const struct {
		const char *what;
		int replaces;
		uint8_t n, b[40];
		int who;
		enum bgp_fix fix;
		uint8_t subcode;
	} rows[] = {
		{"nothing wrong", 0, 0, {0}, BOTH, FIX_NONE, 0},
		{"7.1 ORIGIN length", 1, 5, {0x40, 1, 2, 0, 0}, BOTH, FIX_WITHDRAW, UPD_ORIGIN},
		{"7.1 ORIGIN value", 1, 4, {0x40, 1, 1, 3}, BOTH, FIX_WITHDRAW, UPD_ORIGIN},
		{"ORIGIN missing", 1, 0, {0}, BOTH, FIX_WITHDRAW, UPD_MISSING},
		{"AS_PATH missing", 2, 0, {0}, BOTH, FIX_WITHDRAW, UPD_MISSING},
		{"NEXT_HOP missing", 3, 0, {0}, BOTH, FIX_WITHDRAW, UPD_MISSING},
		{"7.2 segment type", 2, 9, {0x40, 2, 6, 5, 1, 0, 0, 0, 1}, BOTH, FIX_WITHDRAW,
			UPD_AS_PATH},
		{"7.2 confederation", 2, 9, {0x40, 2, 6, 3, 1, 0, 0, 0, 1}, BOTH, FIX_WITHDRAW,
			UPD_AS_PATH},
		{"7.2 overrun", 2, 9, {0x40, 2, 6, 2, 2, 0, 0, 0, 1}, BOTH, FIX_WITHDRAW,
			UPD_AS_PATH},
		{"7.2 underrun", 2, 4, {0x40, 2, 1, 2}, BOTH, FIX_WITHDRAW, UPD_AS_PATH},
		{"7.2 empty segment", 2, 5, {0x40, 2, 2, 2, 0}, BOTH, FIX_WITHDRAW, UPD_AS_PATH},
		{"7607 AS 0", 2, 9, {0x40, 2, 6, 2, 1, 0, 0, 0, 0}, BOTH, FIX_WITHDRAW,
			UPD_AS_PATH},
		{"9774 AS_SET", 2, 9, {0x40, 2, 6, 1, 1, 0, 0, 0, 1}, BOTH, FIX_WITHDRAW,
			UPD_AS_PATH},
		{"9234 OTC length", 0, 6, {0xc0, 35, 3, 0, 0, 0}, BOTH, FIX_WITHDRAW, UPD_OPTIONAL},
		{"9234 OTC", 0, 7, {0xc0, 35, 4, 0, 0, 0, 1}, BOTH, FIX_NONE, 0},
		{"7.3 NEXT_HOP length", 3, 8, {0x40, 3, 5, 10, 0, 0, 1, 0}, BOTH, FIX_WITHDRAW,
			UPD_NEXT_HOP},
		{"NEXT_HOP 0.0.0.0", 3, 7, {0x40, 3, 4, 0, 0, 0, 0}, BOTH, FIX_WITHDRAW,
			UPD_NEXT_HOP},
		{"NEXT_HOP multicast", 3, 7, {0x40, 3, 4, 224, 0, 0, 5}, BOTH, FIX_WITHDRAW,
			UPD_NEXT_HOP},
		{"7.4 MED length", 0, 6, {0x80, 4, 3, 0, 0, 0}, BOTH, FIX_WITHDRAW, UPD_LENGTH},
		{"7.5 LOCAL_PREF outside", 0, 7, {0x40, 5, 4, 0, 0, 0, 1}, EBGP, FIX_DISCARD,
			UPD_LENGTH},
		{"7.5 LOCAL_PREF length", 0, 6, {0x40, 5, 3, 0, 0, 0}, IBGP, FIX_WITHDRAW,
			UPD_LENGTH},
		{"7.6 ATOMIC_AGGREGATE", 0, 4, {0x40, 6, 1, 0}, BOTH, FIX_DISCARD, UPD_LENGTH},
		{"7.7 AGGREGATOR length", 0, 9, {0xc0, 7, 6, 0, 1, 0, 0, 0, 1}, BOTH, FIX_DISCARD,
			UPD_OPTIONAL},
		{"7607 AGGREGATOR 0", 0, 11, {0xc0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1}, BOTH,
			FIX_DISCARD, UPD_OPTIONAL},
		{"7.8 COMMUNITIES", 0, 6, {0xc0, 8, 3, 0, 0, 0}, BOTH, FIX_WITHDRAW, UPD_OPTIONAL},
		{"7.8 COMMUNITIES empty", 0, 3, {0xc0, 8, 0}, BOTH, FIX_WITHDRAW, UPD_OPTIONAL},
		{"7.9 ORIGINATOR outside", 0, 7, {0x80, 9, 4, 0, 0, 0, 1}, EBGP, FIX_DISCARD,
			UPD_OPTIONAL},
		{"7.9 ORIGINATOR length", 0, 6, {0x80, 9, 3, 0, 0, 0}, IBGP, FIX_WITHDRAW,
			UPD_OPTIONAL},
		{"7.10 CLUSTER_LIST outside", 0, 7, {0x80, 10, 4, 0, 0, 0, 1}, EBGP, FIX_DISCARD,
			UPD_OPTIONAL},
		{"7.10 CLUSTER_LIST length", 0, 6, {0x80, 10, 3, 0, 0, 0}, IBGP, FIX_WITHDRAW,
			UPD_OPTIONAL},
		{"7.14 extended communities", 0, 7, {0xc0, 16, 4, 0, 0, 0, 1}, BOTH, FIX_WITHDRAW,
			UPD_OPTIONAL},
		{"8092 large communities", 0, 7, {0xc0, 32, 4, 0, 0, 0, 1}, BOTH, FIX_WITHDRAW,
			UPD_OPTIONAL},
		{"6793 AS4_PATH from a new speaker", 0, 9, {0xc0, 17, 6, 2, 1, 0, 0, 0, 1}, BOTH,
			FIX_DISCARD, UPD_OPTIONAL},
		{"3c flags of ORIGIN", 1, 4, {0xc0, 1, 1, 0}, BOTH, FIX_WITHDRAW, UPD_FLAGS},
		{"3c flags of MED", 0, 7, {0xc0, 4, 4, 0, 0, 0, 1}, BOTH, FIX_WITHDRAW, UPD_FLAGS},
		{"3g twice", 0, 4, {0x40, 1, 1, 0}, BOTH, FIX_DISCARD, UPD_ATTR_LIST},
		{"3g MP_UNREACH twice", 0, 12, {0x80, 15, 3, 0, 2, 1, 0x80, 15, 3, 0, 2, 1}, BOTH,
			FIX_RESET, UPD_ATTR_LIST},
		{"unknown well-known", 0, 4, {0x40, 99, 1, 0}, BOTH, FIX_RESET,
			UPD_UNKNOWN_WELL_KNOWN},
		{"unknown optional", 0, 4, {0x80, 99, 1, 0}, BOTH, FIX_NONE, 0},
		{"unknown transitive", 0, 4, {0xc0, 99, 1, 0}, BOTH, FIX_NONE, 0},
		{"4 attribute over the end", 0, 5, {0x80, 4, 9, 0, 0}, BOTH, FIX_WITHDRAW,
			UPD_ATTR_LIST},
		{"4 rest of two bytes", 0, 2, {0x80, 4}, BOTH, FIX_WITHDRAW, UPD_ATTR_LIST},
		{"7.11 next hop length", 0, 13, {0x80, 14, 10, 0, 2, 1, 4, 10, 0, 0, 1, 0, 0}, BOTH,
			FIX_RESET, UPD_OPTIONAL},
		{"7.11 truncated", 0, 6, {0x80, 14, 3, 0, 2, 1}, BOTH, FIX_RESET, UPD_OPTIONAL},
		{"7.12 truncated", 0, 5, {0x80, 15, 2, 0, 2}, BOTH, FIX_RESET, UPD_OPTIONAL},
		{"5.3 MP NLRI too long", 0, 8, {0x80, 15, 5, 0, 2, 1, 129, 0}, BOTH, FIX_RESET,
			UPD_OPTIONAL},
		{"family not negotiated", 0, 6, {0x80, 15, 3, 0, 1, 4}, BOTH, FIX_DISCARD,
			UPD_OPTIONAL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int who = EBGP; who <= IBGP; who++) {
			struct bgp_from from = {.ebgp = who == EBGP, .as4 = true, .families = 3};
			size_t len = body(rows[i].b, rows[i].n, rows[i].replaces, true);

			if (!(rows[i].who & who))
				continue;
			bgp_update_decode(buf, len, &from, &u);
			if (u.attrs.fix != rows[i].fix)
				fail_msg("%s: %d instead of %d", rows[i].what, u.attrs.fix,
					rows[i].fix);
			if (rows[i].fix)
				assert_int_equal(u.attrs.err.subcode, rows[i].subcode);
			/* 5.2: without NLRI a withdrawal can't be what helps. */
			len = body(rows[i].b, rows[i].n, rows[i].replaces, false);
			bgp_update_decode(buf, len, &from, &u);
			if (rows[i].fix == FIX_WITHDRAW && rows[i].subcode != UPD_MISSING)
				assert_int_equal(u.attrs.fix, FIX_RESET);
		}
}

/* What is not spoken is named with a remedy, and nothing else is. */
static void test_words(void **state)
{
	static const struct {
		bool as4, nlri;
		int replaces;
		uint8_t n, b[20];
		const char *word; /* NULL: none */
	} rows[] = {
		{true, true, 2, 9, {0x40, 2, 6, 3, 1, 0, 0, 0, 1}, "confederations (RFC 5065)"},
		{true, true, 2, 9, {0x40, 2, 6, 4, 1, 0, 0, 0, 1}, "confederations (RFC 5065)"},
		{true, true, 2, 15, {0x40, 2, 12, 2, 1, 0, 0, 0xfd, 0xe9, 3, 1, 0, 0, 0, 1},
			"confederations (RFC 5065)"},
		{true, false, 2, 9, {0x40, 2, 6, 3, 1, 0, 0, 0, 1}, "confederations (RFC 5065)"},
		{false, true, 2, 7, {0x40, 2, 4, 3, 1, 0, 1}, "confederations (RFC 5065)"},
		{false, true, 2, 7, {0x40, 2, 4, 2, 1, 3, 1}, NULL},
		{true, true, 2, 9, {0x40, 2, 6, 1, 1, 0, 0, 0, 1}, "AS_SET (RFC 9774)"},
		{true, true, 2, 9, {0x40, 2, 6, 5, 1, 0, 0, 0, 1}, NULL},
		{true, true, 2, 9, {0x40, 2, 6, 2, 2, 0, 0, 3, 1}, NULL}, /* cut inside a number */
		{true, true, 2, 3, {0x40, 2, 0}, NULL},
		/* It is of the attribute that it is said of. */
		{true, true, 2, 13, {0x40, 2, 6, 3, 1, 0, 0, 0, 1, 0x40, 99, 1, 0}, NULL},
	};
	char text[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bgp_from from = {.ebgp = true, .as4 = rows[i].as4, .families = 3};
		const char *word = rows[i].word;
		size_t len = body(rows[i].b, rows[i].n, rows[i].replaces, rows[i].nlri);

		bgp_update_decode(buf, len, &from, &u);
		bgp_error_fmt(&u.attrs.err, text, sizeof(text));
		if (word ? !strstr(text, word) || !strstr(text, "; let ")
			 : strstr(text, "RFC ") != 0)
			fail_msg("row %zu: %s", i, text);
		if (word && !rows[i].nlri)
			assert_int_equal(u.attrs.fix, FIX_RESET);
	}
}

/* Lengths of the frame and of NLRI. */
static void test_frame(void **state)
{
	struct bgp_from from = {.as4 = true, .families = 3};
	size_t len = body(NULL, 0, 0, true);

	for (size_t i = 0; i < len; i++) {
		bgp_update_decode(buf, i, &from, &u);
		if (i != len - 4) /* there the message ends before its NLRI */
			assert_int_equal(u.attrs.fix, FIX_RESET);
	}
	for (size_t i = 0; i < 8 * len; i++) {
		buf[i / 8] ^= (uint8_t)(1u << i % 8);
		bgp_update_decode(buf, len, &from, &u);
		buf[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	buf[len - 4] = 33;
	bgp_update_decode(buf, len, &from, &u);
	assert_int_equal(u.attrs.fix, FIX_RESET);
	assert_int_equal(u.attrs.err.subcode, UPD_NETWORK);
}

/* All capabilities there and back; each shorter form and each changed bit ends somewhere. */
static void test_caps(void **state)
{
	static struct bgp_caps in = {.families = 15,
		.refresh = true,
		.enhanced_refresh = true,
		.as4 = true,
		.as = 70000,
		.restart = true,
		.restart_state = true,
		.restart_notify = true,
		.restart_secs = 4095,
		.restart_families = 7,
		.forward_families = 5,
		.role = 4,
		.ext_message = true,
		.v4_over_v6 = true,
		.paths_in = 1,
		.paths_out = 3};
	struct bgp_caps out = {0};
	uint8_t raw[256];
	unsigned whole = 0;
	struct wr w;
	struct rd r;

	wr_init(&w, raw, sizeof(raw));
	bgp_caps_encode(&w, &in);
	assert_false(wr_bad(&w));
	rd_init(&r, raw, wr_len(&w));
	assert_int_equal(bgp_caps_decode(&r, &out), 0);
	in.any = in.mp = true;
	assert_memory_equal(&in, &out, sizeof(in));
	for (size_t i = 0; i < wr_len(&w); i++) {
		out = (struct bgp_caps){0};
		rd_init(&r, raw, i);
		whole += bgp_caps_decode(&r, &out) == 0; /* where one capability ends */
	}
	assert_int_equal(whole, 12);
	for (size_t i = 0; i < 8 * wr_len(&w); i++) {
		raw[i / 8] ^= (uint8_t)(1u << i % 8);
		out = (struct bgp_caps){0};
		rd_init(&r, raw, wr_len(&w));
		(void)bgp_caps_decode(&r, &out);
		raw[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	/* RFC 9234 4.2: two roles that differ; the same one twice is fine. */
	for (uint8_t second = 0; second < 2; second++) {
		uint8_t roles[] = {CAP_ROLE, 1, 0, CAP_ROLE, 1, second};

		out = (struct bgp_caps){0};
		rd_init(&r, roles, sizeof(roles));
		assert_int_equal(bgp_caps_decode(&r, &out), 0);
		assert_int_equal(out.role_unequal, second != 0);
	}
}

/* RFC 6793 4.2.3: what a speaker of 2-octet numbers passes on is put together again. */
static void test_as4_merge(void **state)
{
	static const uint8_t attrs[] = {0x40, 1, 1, 0, 0x40, 2, 8, 2, 3, 0, 10, 0x5b, 0xa0, 0x5b,
		0xa0, 0x40, 3, 4, 10, 0, 0, 1, 0xc0, 17, 10, 2, 2, 0, 1, 0, 1, 0, 1, 0, 2};
	struct bgp_from from = {.ebgp = true, .families = 1};
	struct bgp_attr_in *in = &u.attrs;
	bool exact;
	uint8_t out[64];
	char text[64];
	size_t n;

	bgp_attrs_decode(attrs, sizeof(attrs), &from, in);
	assert_int_equal(in->fix, FIX_NONE);
	assert_string_equal(bgp_attrs_path_fmt(&in->a, text, sizeof(text)), "10 65537 65538");
	n = bgp_path_narrow(in->a.as_path.p, in->a.as_path.len, out, &exact);
	assert_false(exact);
	assert_true(bgp_path_ok(out, n, 2));
}

/* Encoding and viewing are each other's reverse, with everything in it. */
static void test_canonical(void **state)
{
	static const uint8_t path[] = {2, 1, 0, 0, 0, 7}, comm[8] = {1}, ext[8] = {2},
			     large[12] = {3}, unknown[] = {0xe0, 99, 2, 1, 2};
	struct bgp_attrs a = {.has = 0xff,
		.otc = 10,
		.origin = 1,
		.med = 5,
		.local_pref = 6,
		.aggregator_as = 70000,
		.aggregator_id = 8,
		.originator_id = 9,
		.as_path = {path, 6},
		.communities = {comm, 8},
		.cluster_list = {comm, 4},
		.ext_communities = {ext, 8},
		.large_communities = {large, 12},
		.unknown = {unknown, 5}};
	struct bgp_attrs v;
	uint8_t again[512];
	struct wr w, w2;

	wr_init(&w, buf, sizeof(buf));
	bgp_attrs_encode(&w, &a);
	bgp_attrs_view(buf, wr_len(&w), &v);
	wr_init(&w2, again, sizeof(again));
	bgp_attrs_encode(&w2, &v);
	assert_int_equal(wr_len(&w), wr_len(&w2));
	assert_memory_equal(buf, again, wr_len(&w));
	assert_int_equal(v.aggregator_as, 70000);
	assert_int_equal(v.unknown.len, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_open_refused),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_7606),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_as4_merge),
		cmocka_unit_test(test_canonical),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
